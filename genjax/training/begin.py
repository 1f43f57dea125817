"""Where a run begins that is not the first of its kind: from another run's weights."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from genjax.config import field
from genjax.errors import UserError
from genjax.training.checkpoint import Reader


@dataclasses.dataclass(frozen=True)
class Start:
    """Another run, whose weights this one begins with: `--start=runs/vae/base-7422f6eb@2000`, or its newest.

    Parameters, averages and what else the model has learned are taken; the optimiser and the step begin anew.
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
        """The same with `of` filled in; UserError where there is no such checkpoint, or other weights than `of` says.

        Where `of` is known and the run is gone it stays as it is: who resumes needs the other run no more.
        """
        directory = Path(self.run).expanduser()
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
        found, about = Reader(directory / "checkpoints").about(step)
        whole = hashlib.sha256(about["config"].encode()).hexdigest()
        of = f"{whole[:8]}@{found}"  # the run's digest
        if self.of not in ("", of):
            raise UserError(
                f"--start={self.run} has the weights of {of}, and this run began with those of {self.of}: name that "
                "run's directory."
            )
        return dataclasses.replace(self, of=of)
