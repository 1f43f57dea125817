"""Pictures or texts, looked at by a finished run of a detector: how much each looks generated, and how sure that is.

    python -m genjax.audit detect RUN photo.png
    python -m genjax.audit detect RUN a.png b.jpg --json
    python -m genjax.audit detect RUN letter.txt      # RUN is one of TextDetector()

For every file the score (above 0 the net takes it for generated), the rate of false alarms if one raised the alarm at
that score, by held-out real pictures, and whether it is one at `--rate`. Then what alarms are of: the share of flagged
files that is real if 1 % or 50 % of all are generated. All of that holds for pictures that come from where the
run's real pictures did, went through the same hands, and for the generator that it learned from; of others nothing
is promised.

    --rate=0.05   share of real pictures that may be flagged
    --json        one JSON object on stdout, nothing else
    --step=N      the checkpoint; by default the newest
    --trust='("mine",)'   modules of your own that the run's config.json may name

RUN is the folder of one detector, such as runs/detect/flow-cnn-5496dbe4, and not that of the matrix. Pictures have the
size that the run's own had before they were handled, halved and saved say, and go through the same here. A text is
UTF-8; it is judged by its first bytes, by the longest texts that scores were kept of, and for each file it is told what
flags of texts of that length are worth. Nothing is written.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genjax import command
from genjax.audit import alarms
from genjax.audit.detector import HELD, Detector
from genjax.audit.handling import Handling
from genjax.audit.words import TextDetector
from genjax.config import field
from genjax.data import given
from genjax.errors import UserError, above, below
from genjax.findings import spotted
from genjax.machine.files import place
from genjax.metrics.features import STRANGE
from genjax.metrics.prediction import threshold
from genjax.training.opened import Opened, open_run

DO = ("detect",)


@dataclasses.dataclass(frozen=True)
class Options:
    """What is told of pictures."""

    rate: float = field(0.05, "share of real pictures that may be flagged")
    json: bool = field(False, "one JSON object")
    step: int | None = field(None, "the checkpoint; None = the newest")
    trust: tuple[str, ...] = field((), "modules of your own that a run's config may name")


def detect(run: str | Path, files: Sequence[str | Path], options: Options) -> dict[str, Any]:
    """{"files": [{"file", "score", "false_alarms", "low", "high", "flagged"}], "threshold", "flagged": [...]}.

    Of texts see `spotted`. UserError for what is no run of a detector, no picture, or a picture of another size.
    """
    above(0, rate=options.rate)
    below(1, rate=options.rate)
    # before the run is opened, which takes seconds
    for file in files:
        given.check_file(place(file))
    model = open_run(run, options.step, trust=options.trust)
    if isinstance(model.config.algorithm, TextDetector):
        return spotted.spotted(model, files, options.rate)
    if not isinstance(model.config.algorithm, Detector):
        kind = type(model.config.algorithm).__name__
        raise UserError(
            f"{run} is a run of {kind} and tells nothing apart: name one of Detector() or TextDetector(), as "
            "`experiments.detect` and `detect_text` make them in runs/detect and runs/detect_text."
        )
    known = _known(Path(model.directory))
    limit = threshold(known["held"], options.rate)
    scores = _scores(model, files)
    found = []
    for file, score in zip(files, scores, strict=True):
        rare = alarms.rarity(float(score), known["held"])
        found.append(
            {
                "file": str(file),
                "score": float(score),
                "false_alarms": rare.value,
                "low": rare.low,
                "high": rare.high,
                "flagged": bool(score > limit),
            }
        )
    behind = alarms.alarmed(known["real"], known["generated"], limit)
    return {
        "of": "pictures",
        "files": found,
        "rate": options.rate,
        "threshold": limit,
        "held_out": len(known["held"]),
        "flagged": [
            {"generated": each.prior, "real_of_flagged": _known_share(each)} for each in behind
        ],
    }


def _known_share(each: alarms.Behind) -> dict[str, float] | None:
    """The share of real ones among alarms; None where no picture of the test was one."""
    return None if np.isnan(each.real.value) else each.real._asdict()


def _known(directory: Path) -> dict[str, np.ndarray]:
    """The scores that were kept with a run: held-out real pictures', and those of its test."""
    path = directory / HELD
    try:
        # a pickle could run code
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in ("held", "real", "generated")}
    except STRANGE as error:
        raise UserError(
            f"{path} has no scores of real pictures ({type(error).__name__}), so no score has a rate of false alarms: "
            "make the run by `python -m experiments.detect`, which keeps them."
        ) from error


def _scores(model: Opened, files: Sequence[str | Path]) -> np.ndarray:
    """The logits of picture files, [N], after what the run's pictures went through."""
    height, width, channels = model.run.spec.shape
    # of other data than `RealAndGenerated` nothing is known
    handling = getattr(model.config.data, "handling", Handling())
    unit = 2**handling.halvings
    pictures = []
    for file in files:
        pixels, _ = given.read(place(file), colour=channels == 3)
        if pixels.shape[:2] != (unit * height, unit * width):
            halved = f", halved to {height}x{width}" if unit > 1 else ""
            raise UserError(
                f"{file} is {pixels.shape[0]}x{pixels.shape[1]} pixels, and this run has learned pictures of "
                f"{unit * height}x{unit * width}{halved}: another size would be another past; cut or scale it as the "
                "run's own were."
            )
        pictures.append(pixels)
    # the truth is not known: the label changes no score
    label = np.zeros(len(pictures), np.int32)
    arrays = {model.run.spec.main: handling(np.stack(pictures)), "label": label}
    return model.evaluate(arrays)["logit"]


def told(found: dict[str, Any]) -> list[str]:
    """A line for each file, and what flags are worth."""
    lines = []
    for each in found["files"]:
        rate = f"{100 * each['false_alarms']:.2g} % [{100 * each['low']:.2g}, {100 * each['high']:.2g}]"
        mark = "  FLAGGED" if each["flagged"] else ""
        lines.append(
            f"{each['file']}: score {each['score']:+.2f}, as high of real pictures {rate}{mark}"
        )
    lines.append(
        f"flagged above {found['threshold']:+.2f}, set for {100 * found['rate']:g} % of real pictures by "
        f"{found['held_out']} held-out ones"
    )
    for each in found["flagged"]:
        if each["real_of_flagged"] is None:
            continue
        value, low, high = each["real_of_flagged"].values()
        lines.append(
            f"if {100 * each['generated']:g} % of all files are generated, {100 * value:.0f} % "
            f"[{100 * low:.0f}, {100 * high:.0f}] of flagged ones are real"
        )
    if any(each["real_of_flagged"] is None for each in found["flagged"]):
        lines.append(
            "no picture of the run's test was flagged, so what flagged files are is not known"
        )
    return lines


def plain(value: Any) -> Any:
    """The same with None in the place of NaN, which is no JSON."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _act(do: str, run: str, *rest: Any) -> None:
    *files, options = rest
    if do not in DO:
        raise UserError(f"{do!r} is nothing that can be asked: use {' or '.join(DO)}.")
    found = detect(run, files, options)
    if options.json:
        print(json.dumps(plain(found), allow_nan=False))
        return
    tell = spotted.told if found["of"] == spotted.TEXTS else told
    for line in tell(found):
        print(line)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    return command.main(_act, ("detect", "RUN", "FILE..."), Options(), __doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
