"""Weights & Biases, online or offline."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from genjax.config import field
from genjax.machine.files import whole
from genjax.training.trackers.about import About, Opened, drawable, installed
from genjax.training.trackers.aside import WAIT, Aside


@dataclasses.dataclass(frozen=True)
class WandB:
    """A run of Weights & Biases, whose id is `About.id`; its files are in <run>/wandb."""

    project: str = field("genjax", "project")
    entity: str | None = field(None, "user or team; None = yours")
    mode: Literal["online", "offline"] | None = field(
        None, "offline: `wandb sync` sends it later; None = as WANDB_MODE says"
    )

    def check(self) -> None:
        """Raises UserError where the package is not installed."""
        installed("WandB", "wandb>=0.28.2,<1")

    def open(self, about: About) -> Opened:
        """Starts or resumes the run of W&B, aside from training."""
        return Aside(functools.partial(_WandBRun, self, about))


class _WandBRun:
    """A run of W&B, online or offline.

    W&B cannot forget points. But a resumed run computes the same ones again, so it is told of those alone that it has
    not: online its server knows how far it has come; offline a file in the run directory does.
    """

    def __init__(self, cfg: WandB, about: About):
        import wandb

        # else it asks on the terminal who has not logged in, and the run would wait
        wandb.setup(settings=wandb.Settings(silent=True))
        settings = wandb.Settings(
            silent=True,
            console="off",  # the terminal is the log's
            disable_git=True,
            disable_code=True,
            finish_timeout=WAIT,  # also of what it does at the end of the process
        )
        self._run = wandb.init(
            project=cfg.project,
            entity=cfg.entity,
            mode=cfg.mode,
            id=about.id,
            name=about.directory.name,
            group=about.experiment,
            config=about.config,
            dir=str(about.directory),
            resume="allow",
            reinit="create_new",  # whatever else of W&B is open in this process
            settings=settings,
        )
        self._image = wandb.Image
        self._told = about.directory / "wandb" / "told.json"
        # the last step of which it knows
        self._last = self._run.starting_step - 1
        if self._run.offline:
            self._last = self._recorded()
        else:
            about.note(f"W&B {self._run.url}")
        self._row = self._last  # the step whose row is not whole yet
        for step, values in about.history:
            self.scalars(step, values)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._tell(step, dict(values))

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        self._tell(step, {name: self._image(drawable(image))})

    def results(self, values: Mapping[str, float]) -> None:
        self._run.summary.update(dict(values))

    def close(self, done: bool) -> None:
        self._run.finish(exit_code=0 if done else 1)
        self._record(self._row)

    def _tell(self, step: int, values: dict[str, Any]) -> None:
        if step <= self._last:
            return
        # what is of one step is one row, which is kept when the next one comes
        self._run.log(values, step=step)
        if step > self._row:
            self._record(self._row)
            self._row = step

    def _record(self, step: int) -> None:
        """Keeps how far it has been told offline: no server could say."""
        if self._run.offline:
            with whole(self._told) as new:
                new.write_text(json.dumps({"id": self._run.id, "step": step}))

    def _recorded(self) -> int:
        """The last step that was told offline of the run of this id."""
        try:
            told = json.loads(self._told.read_text())
            return told["step"] if told["id"] == self._run.id else 0
        except (OSError, ValueError, KeyError, TypeError):  # none, or not whole
            return 0
