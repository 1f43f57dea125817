"""Where a run begins that is not the first of its kind: from another run's weights."""

from __future__ import annotations

import dataclasses
import hashlib

from genjax.config import field
from genjax.errors import UserError
from genjax.machine.files import place
from genjax.training.checkpoint import Reader


@dataclasses.dataclass(frozen=True)
class Start:
    """Another run, whose weights this one begins with: `--start=runs/vae/base-7422f6eb@2000`, or its newest.

    Parameters, averages and what else the model has learned are taken; the optimiser and the step begin anew, and with
    the step averages that forget by it (`ema.Power`, the ramp of `ema.Decay`).
    """

    # where they lie does not matter, whose they are does
    run: str = field("", "directory of the run", execution=True)
    step: int | None = field(None, "of which checkpoint, None = the newest", execution=True)
    of: str = field("", "digest@step of what lies there: filled in, leave it empty")
    partial: bool = field(False, "begin anew what does not fit, instead of refusing")

    @classmethod
    def of_text(cls, text: str) -> Start:
        """RUN or RUN@STEP, as it is typed."""
        run, _, step = text.rpartition("@")
        if run and step.isdecimal():
            return cls(run, int(step))
        return cls(text)

    def resolved(self) -> Start:
        """The same with `of` filled in; UserError where there is no such run, or another than `of` says.

        Whose weights they are, any checkpoint of the run tells: who resumes needs the one that it began with no more,
        nor the run, where `of` is known.
        """
        directory = place(self.run)
        if self.of and not directory.is_dir():
            return self
        if not (directory / "config.json").is_file():
            why = "it holds no config.json" if directory.is_dir() else "there is no such folder"
            raise UserError(
                f"--start={self.run} is not a run: {why}. Name one such as runs/vae/base-7422f6eb, or "
                "runs/vae/base-7422f6eb@2000 for a step."
            )
        step = self.step
        if step is None and self.of:
            step = int(self.of.rpartition("@")[2])  # a run that went on has a newer one
        newest, about = Reader(directory / "checkpoints").about()
        whole = hashlib.sha256(about["config"].encode()).hexdigest()
        of = f"{whole[:8]}@{newest if step is None else step}"  # the run's digest
        if self.of not in ("", of):
            raise UserError(
                f"--start={self.run} has the weights of {of}, and this run began with those of {self.of}: name that "
                "run's directory."
            )
        return dataclasses.replace(self, of=of)
