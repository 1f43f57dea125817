"""The facts of one run directory, as train.py and log.py write them, read without JAX and without the config's types.

Only config.json must be there. What a killed run leaves behind, a last line without its newline, is passed over; any
other line or file that cannot be read is the user's to mend and raises UserError.
"""

from __future__ import annotations

import base64
import json
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genjax.errors import UserError

# what a browser shows without a script; all else in samples/ is passed over
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
    "data": str,
    "start": str,
    "parameters": int,
    "memory_mib": (int, float),
}


@dataclass(frozen=True)
class Picture:
    """A file of samples/; `same` are the names of other files that hold the same bytes."""

    name: str
    # held whole: a page contains its pictures
    data: bytes
    same: tuple[str, ...] = ()

    @property
    def step(self) -> int | None:
        """The training step, where the file's name is one."""
        # loop.py names grids by their step, 00001000.png
        stem = Path(self.name).stem
        if not stem.isdecimal():
            return None
        return int(stem)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels, None for JPEG."""
        if self.data[:4] == b"\x89PNG":  # in the first chunk, big end first
            return struct.unpack(">II", self.data[16:24])
        if self.data[:3] == b"GIF":  # after the version, little end first
            return struct.unpack("<HH", self.data[6:10])
        return None

    @property
    def uri(self) -> str:
        """The picture itself as an address, so that a page needs no other file."""
        kind = TYPES[Path(self.name).suffix.lower()]
        text = base64.b64encode(self.data).decode()
        return f"data:{kind};base64,{text}"


@dataclass(frozen=True)
class Facts:
    """One run: `about` is run.json, `curves` are {"train/loss": [(step, value)]}, `speed` the lines of speed.jsonl."""

    directory: Path
    experiment: str
    ablation: str
    digest: str
    config: dict[str, Any]  # as JSON, without the types: old runs have reports too
    about: dict[str, Any]
    results: dict[str, Any]
    measured: dict[str, Any]  # of results.json: what its entries are of, and published numbers
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
        steps = [line["step"] for line in self.speed]
        for points in self.curves.values():
            last, _ = points[-1]
            steps.append(last)
        return max(steps, default=0)

    @property
    def seconds(self) -> float | None:
        """Seconds of training with its evaluations; the clock of speed.jsonl starts anew when a run is resumed."""
        # "seconds" counts from the start of a process, evaluations included
        seconds = [number(line.get("seconds")) for line in self.speed]
        clock = [s for s in seconds if s is not None]
        if not clock:
            return None
        # where the next line says less a clock ends; -1 lets the last one end as well
        following = [*clock[1:], -1.0]
        return sum(now for now, after in zip(clock, following, strict=True) if after < now)

    @property
    def grids(self) -> list[Picture]:
        """The sample grids of training, by step."""
        grids = [p for p in self.pictures if p.step is not None]
        return sorted(grids, key=lambda p: p.step)

    @property
    def drawn(self) -> list[Picture]:
        """The pictures made at the end, by name."""
        return [p for p in self.pictures if p.step is None]

    def published(self) -> list[dict[str, Any]]:
        """The published numbers that are of this run's data and settings: dicts with entry, name, value and source."""
        found = self.measured.get("published")
        if not isinstance(found, list):
            return []
        # a file is not trusted to hold what a run would write
        dicts = [p for p in found if isinstance(p, dict)]
        named = [p for p in dicts if isinstance(p.get("entry"), str)]
        return [p for p in named if isinstance(p.get("name"), str)]

    def settings(self, entry: str) -> str:
        """How an entry of results.json, or samples/<name>, was measured unlike config.json says; "" = as it says."""
        known = _dict(self.measured.get("measured"))
        found = _dict(_dict(known.get(entry)).get("settings"))
        return ", ".join(f"{path}={value}" for path, value in found.items())


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def read(directory: str | Path) -> Facts:
    """Reads a run directory; raises UserError for a folder that is none and for files that cannot be read."""
    directory = Path(directory)
    config = _config(directory)
    # "." and links have no name of their own
    whole = directory.resolve()
    # base-7422f6eb: the ablation and the digest, which a folder that was renamed may lack
    parts = re.fullmatch(r"(.+?)(?:-([0-9a-f]{8}))?", whole.name or "run")
    ablation, digest = parts.groups()
    about = _about(directory / "run.json")
    curves = _curves(directory / "metrics.jsonl")
    pictures, broken = _pictures(directory / "samples")
    # {} until the first finding is written
    results = _object(directory / "results.json", missing={})
    measured = _dict(results.pop("about", {}))
    return Facts(
        directory=directory,
        experiment=about.get("experiment", whole.parent.name),
        ablation=about.get("ablation", ablation),
        digest=digest or "",
        config=config,
        about=about,
        results=results,
        measured=measured,
        curves=curves,
        speed=_lines(directory / "speed.jsonl"),
        pictures=pictures,
        broken=broken,
    )


def _curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    """{name: [(step, value)]} of the lines of metrics.jsonl, each of which has some of the metrics."""
    curves: dict[str, list] = {}
    for line in _lines(path):
        for name, value in line.items():
            found = number(value)
            if name != "step" and found is not None:
                curves.setdefault(name, []).append((line["step"], found))
    return curves


def number(value: Any) -> float | int | None:
    """A number of a JSON file ("nan", "inf", "-inf" and {"__float__": "inf"} are numbers too), or None."""
    if isinstance(value, dict):
        value = value.get("__float__")
    # log.py writes non-finite numbers as strings, config.py as {"__float__": …}
    if isinstance(value, str):
        return float(value) if value in ("nan", "inf", "-inf") else None
    if isinstance(value, bool):  # an int to Python
        return None
    return value if isinstance(value, int | float) else None


def _config(directory: Path) -> dict[str, Any]:
    """config.json, which every run has: without it the UserError names runs that may have been meant."""
    path = directory / "config.json"
    # os.path: of a folder that may not be looked into pathlib raises
    if os.path.isfile(path):
        return _object(path)
    why = "there is no such folder"
    near = []
    if os.path.isdir(directory):
        why = "it holds no config.json"
        # the folder above runs is named by mistake most often
        runs = sorted(str(p.parent) for p in directory.glob("*/config.json"))
        near = runs[:3]
    hint = "Name one such as runs/vae/base-7422f6eb."
    if near:
        hint = f"Did you mean {', '.join(near)}?"
    raise UserError(f"{directory} is not a run directory: {why}. {hint}")


def _about(path: Path) -> dict[str, Any]:
    """run.json with its types checked, as the page relies on them; {} where there is none."""
    # a run that was killed before its end has none
    whole = _object(path, missing={})
    found = {name: value for name, value in whole.items() if value is not None}
    for name, kind in ABOUT.items():
        if name in found and not isinstance(found[name], kind):
            raise UserError(
                f"{path}: {name!r} has the wrong type ({type(found[name]).__name__}): mend it or remove it."
            )
    for field, pair in found.get("differences", {}).items():
        is_pair = isinstance(pair, list) and len(pair) == 2
        if not is_pair:
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
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise UserError(f"cannot read {path} ({why}): mend it.") from None


def _object(path: Path, missing: dict | None = None) -> dict[str, Any]:
    """The object of a JSON file; `missing` where there is no file, which without it is an error."""
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
    # an empty file has no lines, as one that is missing
    text = _text(path) or ""
    *lines, _ = text.split(
        "\n"
    )  # after the last newline: nothing, or a line that was never finished
    found = []
    for i, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise UserError(
                f"{path}, line {i} is not valid JSON: mend it or remove the line."
            ) from None
        if not isinstance(value, dict) or not isinstance(value.get("step"), int):
            raise UserError(
                f"{path}, line {i} must be a JSON object with an integer 'step': mend or remove the line."
            )
        found.append(value)
    return found


def _pictures(folder: Path) -> tuple[list[Picture], list[str]]:
    """The pictures of a folder, each content once, and the names of files that are no pictures."""
    found: dict[bytes, Picture] = {}
    broken = []
    # sorted: the same files give the same page on every file system
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() not in TYPES:
            continue
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        # 24 bytes hold a PNG's size; the beginnings are those of PNG, GIF and JPEG
        if len(data) < 24 or not data.startswith((b"\x89PNG\r\n\x1a\n", b"GIF8", b"\xff\xd8")):
            broken.append(path.name)
        # whole bytes as keys: a picture is shown once, with all its names
        elif data in found:
            first = found[data]
            same = (*first.same, path.name)
            found[data] = Picture(first.name, data, same)
        else:
            found[data] = Picture(
                path.name, data
            )  # sorted: a step's number comes before a name
    return list(found.values()), broken
