"""The facts of one run directory, as train.py and log.py write them, read without JAX and without the config's types.

Only config.json must be there. What a killed run leaves behind, a last line without its newline, is passed over; any
other line or file that cannot be read is the user's to mend and raises UserError.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genjax.errors import UserError

TYPES = {".png": "image/png", ".gif": "image/gif", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
ABOUT = {  # run.json: the types of what may be in it; null is as good as absent
    "experiment": str,
    "ablation": str,
    "question": str,
    "command": str,
    "differences": dict,
    "seed": int,
    "versions": dict,
    "hardware": str,
    "parameters": int,
    "memory_mib": (int, float),
}


@dataclass(frozen=True)
class Picture:
    """A file of samples/; `same` are the names of other files that hold the same bytes."""

    name: str
    data: bytes
    same: tuple[str, ...] = ()

    @property
    def step(self) -> int | None:
        """The training step, where the file's name is one."""
        stem = Path(self.name).stem
        return int(stem) if stem.isdecimal() else None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels, None for JPEG."""
        if self.data[:4] == b"\x89PNG":
            return struct.unpack(">II", self.data[16:24])
        return struct.unpack("<HH", self.data[6:10]) if self.data[:3] == b"GIF" else None

    @property
    def uri(self) -> str:
        return f"data:{TYPES[Path(self.name).suffix.lower()]};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True)
class Facts:
    """One run: `about` is run.json, `curves` are {"train/loss": [(step, value)]}, `speed` the lines of speed.jsonl."""

    directory: Path
    experiment: str
    ablation: str
    digest: str
    config: dict[str, Any]
    about: dict[str, Any]
    results: dict[str, Any]
    curves: dict[str, list[tuple[int, float]]]
    speed: list[dict[str, Any]]
    pictures: list[Picture]
    broken: list[str]  # files of samples/ that are no pictures

    @property
    def name(self) -> str:
        return f"{self.experiment} {self.ablation}"

    @property
    def seed(self) -> Any:
        return self.about.get("seed", self.config.get("seed"))

    @property
    def last_step(self) -> int:
        steps = [points[-1][0] for points in self.curves.values()]
        return max([*steps, *(line["step"] for line in self.speed)], default=0)

    @property
    def seconds(self) -> float | None:
        """Seconds of training with its evaluations; the clock of speed.jsonl starts anew when a run is resumed."""
        clock = [s for s in (number(line.get("seconds")) for line in self.speed) if s is not None]
        return (
            sum(a for a, b in zip(clock, [*clock[1:], -1.0], strict=True) if b < a)
            if clock
            else None
        )

    @property
    def grids(self) -> list[Picture]:
        """The sample grids of training, by step."""
        return sorted((p for p in self.pictures if p.step is not None), key=lambda p: p.step)

    @property
    def drawn(self) -> list[Picture]:
        """The pictures made at the end, by name."""
        return [p for p in self.pictures if p.step is None]

    def published(self) -> list[dict[str, Any]]:
        """The published numbers: dicts with entry and name, value and source."""
        found = self.config.get("published")
        dicts = [p for p in found if isinstance(p, dict)] if isinstance(found, list) else []
        return [
            p for p in dicts if isinstance(p.get("entry"), str) and isinstance(p.get("name"), str)
        ]


def read(directory: str | Path) -> Facts:
    """Reads a run directory; raises UserError for a folder that is none and for files that cannot be read."""
    directory = Path(directory)
    config = _config(directory)
    whole = directory.resolve()
    ablation, digest = re.fullmatch(r"(.+?)(?:-([0-9a-f]{8}))?", whole.name or "run").groups()
    about = _about(directory / "run.json")
    curves: dict[str, list] = {}
    for line in _lines(directory / "metrics.jsonl"):
        for name, value in line.items():
            if name != "step" and (value := number(value)) is not None:
                curves.setdefault(name, []).append((line["step"], value))
    pictures, broken = _pictures(directory / "samples")
    return Facts(
        directory=directory,
        experiment=about.get("experiment", whole.parent.name),
        ablation=about.get("ablation", ablation),
        digest=digest or "",
        config=config,
        about=about,
        results=_object(directory / "results.json", missing={}),
        curves=curves,
        speed=_lines(directory / "speed.jsonl"),
        pictures=pictures,
        broken=broken,
    )


def number(value: Any) -> float | int | None:
    """A number of a JSON file ("nan", "inf", "-inf" and {"__float__": "inf"} are numbers too), or None."""
    if isinstance(value, dict):
        value = value.get("__float__")
    if isinstance(value, str):
        return float(value) if value in ("nan", "inf", "-inf") else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _config(directory: Path) -> dict[str, Any]:
    path = directory / "config.json"
    if path.is_file():
        return _object(path)
    near = (
        sorted(str(p.parent) for p in directory.glob("*/config.json"))[:3]
        if directory.is_dir()
        else []
    )
    why = "it holds no config.json" if directory.is_dir() else "there is no such folder"
    hint = (
        f"Did you mean {', '.join(near)}?" if near else "Name one such as runs/vae/base-7422f6eb."
    )
    raise UserError(f"{directory} is not a run directory: {why}. {hint}")


def _about(path: Path) -> dict[str, Any]:
    found = {name: value for name, value in _object(path, missing={}).items() if value is not None}
    for name, kind in ABOUT.items():
        if not isinstance(
            found.get(name), kind | type(None) if isinstance(kind, type) else (*kind, type(None))
        ):
            raise UserError(
                f"{path}: {name!r} has the wrong type ({type(found[name]).__name__}): mend it or remove it."
            )
    for field, pair in found.get("differences", {}).items():
        if not (isinstance(pair, list) and len(pair) == 2):
            raise UserError(
                f"{path}: 'differences' of {field!r} must be [BASE's value, this run's]."
            )
    return found


def _text(path: Path) -> str | None:
    """The text of a file, or None where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read {path} ({getattr(error, 'strerror', None) or 'not UTF-8'}): mend it."
        ) from None


def _object(path: Path, missing: dict | None = None) -> dict[str, Any]:
    text = _text(path)
    if text is None and missing is not None:
        return missing
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        raise UserError(f"{path} is not valid JSON: mend it or remove it.") from None
    if not isinstance(found, dict):
        raise UserError(
            f"{path} must hold a JSON object, got {type(found).__name__}: mend it or remove it."
        )
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a .jsonl file, [] where there is none; a torn last line is left out."""
    *lines, torn = (_text(path) or "").split("\n")
    found = []
    for i, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            raise UserError(
                f"{path}, line {i} is not valid JSON: mend it or remove the line."
            ) from None
        if not isinstance(found[-1], dict) or not isinstance(found[-1].get("step"), int):
            raise UserError(
                f"{path}, line {i} must be a JSON object with an integer 'step': mend or remove the line."
            )
    return found


def _pictures(folder: Path) -> tuple[list[Picture], list[str]]:
    """The pictures of a folder, each content once, and the names of files that are no pictures."""
    found, broken = {}, []
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() not in TYPES:
            continue
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        if len(data) < 24 or not data.startswith((b"\x89PNG\r\n\x1a\n", b"GIF8", b"\xff\xd8")):
            broken.append(path.name)
        elif data in found:
            found[data] = Picture(found[data].name, data, (*found[data].same, path.name))
        else:
            found[data] = Picture(path.name, data)  # sorted: a step's number comes before a name
    return list(found.values()), broken
