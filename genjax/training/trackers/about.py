"""What a tracker is told, what it must have, and what all of them need."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from genjax.errors import UserError

# (step, {name: value}), one line of metrics.jsonl or speed.jsonl
Row = tuple[int, dict[str, float]]


class About(NamedTuple):
    """What a tracker is told of the run when it is opened."""

    directory: Path  # of the run
    experiment: str  # "vae"
    ablation: str  # "base"
    digest: str  # of the config
    config: dict[str, Any]  # as in config.json
    id: str  # of this run and no other: kept in the directory, so a resumed run has the same
    first_step: int  # the run goes on after it; 0 = a new run
    history: list[Row]  # what was logged up to the first step, in order
    note: Callable[[str], None]  # prints a line


class Opened(Protocol):
    """A tracker at work. Whatever it raises switches it off. All four are called in the thread that trains."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Values by name; NaN and infinities too. A step may come several times, each time with other names."""

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        """A grid of samples, uint8 [H, W, C]."""

    def results(self, values: Mapping[str, float]) -> None:
        """Numbers of results.json, "results/<entry>/<name>"; again where they are measured again. May be left out."""

    def close(self, done: bool) -> None:
        """The end; done: the run came to its own end and was not stopped."""


def installed(name: str, requirement: str) -> None:
    """Raises UserError where a package cannot be imported; imports nothing.

    requirement: as in pyproject.toml.
    """
    package, *_ = requirement.split(">")
    found = importlib.util.find_spec(package)
    # a mere folder of that name, as W&B leaves one, is found too: it has no origin
    if found is None or found.origin is None:
        # not genjax[...]: on PyPI that name is another project's
        raise UserError(f'--track={name} needs {package}: pip install "{requirement}"')


def drawable(image: np.ndarray) -> np.ndarray:
    """A grey picture as [H, W], which is all that PIL and W&B know of them."""
    return image[..., 0] if image.shape[2:] == (1,) else image
