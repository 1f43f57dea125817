"""The trackers of one run: opened with it, told what its log writes, switched off where they fail."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from genjax.config import Own, digest, to_json
from genjax.errors import UserError
from genjax.machine.files import whole
from genjax.training.trackers.about import About, Row
from genjax.training.trackers.mlflow import MLflow
from genjax.training.trackers.tensorboard import TensorBoard
from genjax.training.trackers.wandb import WandB

if TYPE_CHECKING:
    from genjax.training.run import Run

# any config with open(about) will do; it may have a check(), which raises UserError before anything is written
Tracker = TensorBoard | WandB | MLflow | Own


def check(trackers: tuple[Any, ...]) -> None:
    """Raises UserError for a tracker that cannot be opened here, as its package is not installed."""
    for tracker in trackers:
        name = type(tracker).__name__
        if not callable(getattr(tracker, "open", None)):
            raise UserError(f"--track: {name} is no tracker: it has no open(about).")
        check_tracker = getattr(tracker, "check", _no_check)
        check_tracker()


def _no_check() -> None:
    """Of a tracker that needs nothing."""


class Tracking:
    """The trackers of one run. None that fails stops the run, and where there are none nothing is done."""

    def __init__(self, trackers: tuple[Any, ...] = ()):
        self._trackers = trackers
        self._opened: list[tuple[str, Any]] = []  # (class, what it opened) of those at work
        self._note: Callable[[str], None] = print

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, kind: type | None, *error: Any) -> None:
        done = kind is None
        self._each(lambda opened: opened.close(done))
        self._opened = []

    def open(self, run: Run, experiment: str, ablation: str) -> None:
        """Opens all trackers for a run whose log is open; from now on the log tells them."""
        # the numbers are the same in all processes
        if not self._trackers or jax.process_index() != 0:
            return
        self._note = run.log.note
        run.log.tracking = self
        try:
            about = _about(run, experiment, ablation)
        except OSError as error:
            self._off("tracking", error)
            return
        for tracker in self._trackers:
            name = type(tracker).__name__
            try:
                self._opened.append((name, tracker.open(about)))
            except Exception as error:
                self._off(name, error)

    def scalars(self, step: int, values: Mapping[str, float], kind: str) -> None:
        """Tells values as "<kind>/<name>"."""
        if self._opened:
            named = {f"{kind}/{name}": value for name, value in values.items()}
            self._each(lambda opened: opened.scalars(step, named))

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        """Tells a picture."""
        self._each(lambda opened: opened.picture(name, image, step))

    def results(self, entry: str, values: Mapping[str, Any]) -> None:
        """Tells the plain numbers of an entry of results.json."""
        named = {}
        for name, value in values.items():
            if isinstance(value, Mapping):  # a metric with its interval
                value = value.get("value")
            if isinstance(value, int | float):
                named[f"results/{entry}/{name}"] = float(value)
        if named:
            self._each(lambda opened: getattr(opened, "results", _no_results)(named))

    def _each(self, tell: Callable[[Any], None]) -> None:
        """Calls tell(opened) for all; those that raise are told no more."""
        working = []
        for name, opened in self._opened:
            try:
                tell(opened)
                working.append((name, opened))
            except Exception as error:  # whatever it is: the training matters more
                self._off(name, error)
        self._opened = working

    def _off(self, name: str, error: Exception) -> None:
        reason = " ".join(str(error).split())  # one line
        kind = type(error).__name__
        self._note(f"{name} is switched off, the run goes on ({kind}: {reason[:300]})")


def _no_results(values: Mapping[str, float]) -> None:
    """Of a tracker that wants none."""


def _about(run: Run, experiment: str, ablation: str) -> About:
    """What trackers are told of a run; OSError where its directory cannot be written."""
    step = int(run.state.step)
    home = run.log.directory
    return About(
        directory=home,
        experiment=experiment,
        ablation=ablation,
        digest=digest(run.exp),
        config=json.loads(to_json(run.exp)),
        id=_identity(home, step),
        first_step=step,
        history=_history(home),
        note=run.log.note,
    )


def _identity(directory: Path, first_step: int) -> str:
    """What trackers know the run in a directory by: kept there, made anew for a run that starts from nothing.

    Random at its end: two people may train the same config, and a run that starts anew must not go on with the points
    of the one before. OSError where it cannot be written.
    """
    path = directory / "track.json"
    if first_step > 0 and path.exists():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # damaged: a new one
            return str(json.loads(path.read_text())["id"])
    plain = re.sub(r"[^\w-]", "_", directory.name)  # W&B admits no others
    made = f"{plain[-64:]}-{secrets.token_hex(4)}"
    with whole(path) as new:
        new.write_text(json.dumps({"id": made}) + "\n")
    return made


def _history(directory: Path) -> list[Row]:
    """The lines of metrics.jsonl and speed.jsonl, by step."""
    rows = list(_rows(directory / "metrics.jsonl", ""))
    rows += _rows(directory / "speed.jsonl", "speed/")
    # W&B takes no step after a later one
    return sorted(rows, key=lambda row: row[0])


def _rows(path: Path, above: str) -> Iterator[Row]:
    """The lines of a file of the log, names with `above` before them."""
    if not path.exists():
        return
    for text in path.read_text().splitlines():
        line = json.loads(text)
        step = line.pop("step")
        # "nan" and "inf" are texts there
        yield step, {f"{above}{name}": float(value) for name, value in line.items()}
