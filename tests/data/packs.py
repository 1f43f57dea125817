"""Tiny packages as npm and Debian have them: drawings of twelve signs by two vendors, names in four languages."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np

# firefighters (train), artists (valid), scientists (test), and things without a person
CODES = (
    "1f9d1-200d-1f692",
    "1f468-200d-1f692",
    "1f469-200d-1f692",
    "1f469-1f3fd-200d-1f692",
    "1f468-1f3ff-200d-1f692",
    "1f9d1-200d-1f3a8",
    "1f469-1f3fb-200d-1f3a8",
    "1f468-200d-1f52c",
    "1f469-200d-1f52c",
    "1f550",
    "0031-fe0f-20e3",
    "1f338",
)
WORDS = {"en": "sign", "es": "señal", "fr": "signe à", "ar": "علامة"}
WEIGHTS = ("", "-thin", "-light", "-bold", "-fill", "-duotone")


def body(vendor: str, name: str) -> str:
    """A disc whose colour tells who has drawn what."""
    colour = hashlib.sha256(f"{vendor} {name}".encode()).hexdigest()[:6]
    return f'<circle cx="8" cy="8" r="4" fill="#{colour}"/>'


def drawn(text: str, size: int) -> np.ndarray:
    """In the place of resvg: all of the picture in the colour that the elements name, its border transparent."""
    colour = text.partition("#")[2][:6]
    rgba = np.zeros((size, size, 4), np.uint8)
    rgba[1:-1, 1:-1, :3] = list(bytes.fromhex(colour))
    rgba[1:-1, 1:-1, 3] = 255
    return rgba


def colour(vendor: str, name: str) -> list[int]:
    """What the middle of such a picture is."""
    return list(bytes.fromhex(body(vendor, name).partition("#")[2][:6]))


def archive(path: Path, files: dict[str, bytes]) -> Path:
    """A .tgz of these files."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def iconify(
    prefix: str, version: str, icons: dict, chars: dict, /, **changes
) -> dict[str, bytes]:
    """The files of a set of drawings; changes: {part: what is there instead}."""
    parts = {
        "icons": {"prefix": prefix, "icons": icons, "width": 16, "height": 16},
        "chars": chars,
        "metadata": {"categories": {"People & Body": list(chars.values())}},
        "info": {"name": prefix.title(), "license": {"title": "MIT", "spdx": "MIT"}},
        "package": {"name": f"@iconify-json/{prefix}", "version": version},
    }
    parts |= changes
    return {f"package/{part}.json": json.dumps(each).encode() for part, each in parts.items()}


def vendor(folder: Path, prefix: str, version: str, codes=CODES, **changes) -> Path:
    """The package of a vendor who has drawn `codes`; a picture is called as its code is, after a word."""
    icons = {f"sign-{code}": {"body": body(prefix, code)} for code in codes}
    chars = {code: f"sign-{code}" for code in codes}
    files = iconify(prefix, version, icons, chars, **changes)
    return archive(folder / f"iconify-json-{prefix}-{version}.tgz", files)


def letters(code: str) -> str:
    """The sign itself, without the code point that asks for colour."""
    points = [int(part, 16) for part in code.split("-")]
    return "".join(chr(point) for point in points if point != 0xFE0F)


def named(folder: Path, codes=CODES) -> Path:
    """A folder of CLDR: plain signs in annotations, those with a skin tone in annotationsDerived."""
    for part, toned in (("annotations", False), ("annotationsDerived", True)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for language, word in WORDS.items():
            lines = ['<?xml version="1.0" encoding="UTF-8" ?>', "<ldml><annotations>"]
            for code in codes:
                if ("1f3f" in code) == toned:
                    cp = letters(code)
                    lines.append(f'<annotation cp="{cp}">{word} | keyword</annotation>')
                    lines.append(f'<annotation cp="{cp}" type="tts">{word} {code}</annotation>')
            lines.append("</annotations></ldml>")
            path = folder / part / f"{language}.xml"
            path.write_text("\n".join(lines), encoding="utf-8")
    return folder


def phosphor(folder: Path, names, lacking=(), hidden=()) -> Path:
    """Icons in six weights, but for those that are lacking; a hidden one is of an older version."""
    full = [name + weight for name in names for weight in WEIGHTS]
    icons = {name: {"body": body("ph", name)} for name in full if name not in lacking}
    for name in hidden:
        icons[name]["hidden"] = True
    files = iconify("ph", "1.2.2", icons, {}, metadata={"suffixes": {}})
    return archive(folder / "iconify-json-ph-1.2.2.tgz", files)
