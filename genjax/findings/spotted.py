"""Text files, looked at by a finished run of `TextDetector`: how much each looks generated, and how sure that is.

A file is judged by its first bytes, as many as the longest texts that scores were kept of and that it has. What is said
holds of text that comes from where the run's real texts did, and of the author that it learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genjax.audit import ranking
from genjax.audit.words import TextDetector
from genjax.data.alphabets import Bytes
from genjax.data.text import utf8
from genjax.errors import UserError, above, below
from genjax.findings.witnesses import GROUP, KEPT
from genjax.machine.files import place
from genjax.metrics.features import STRANGE
from genjax.metrics.intervals import Interval
from genjax.metrics.prediction import threshold
from genjax.training.opened import Opened

TEXTS = "texts"  # what is judged, as the answer names it
PARTS = ("held", "real", "generated")  # of each scores and groups
Known = dict[int, dict[str, np.ndarray]]  # length -> held, held_group, ... -> [N]


def spotted(model: Opened, files: Sequence[str | Path], rate: float) -> dict[str, Any]:
    """{"of", "files": [{"file", "bytes", "score", "false_alarms", "low", "high", "flagged", "behind"}], "rate"}.

    behind: of flagged texts of that length, the share that is real if 1 % or 50 % of all are generated; its value is
    None where no text of the test is flagged. Intervals count documents, not pieces. UserError for what is no run of a
    detector of texts, no text, and shorter than the shortest texts that scores were kept of.
    """
    above(0, rate=rate)
    below(1, rate=rate)
    if not isinstance(model.config.algorithm, TextDetector):
        kind = type(model.config.algorithm).__name__
        raise UserError(
            f"{model.directory} is a run of {kind} and tells no texts apart: name one of TextDetector(), as "
            "`experiments.detect_text` makes them in runs/detect_text."
        )
    if tuple(model.run.spec.x.pieces) != Bytes()([]).letters:
        raise UserError(
            f"{model.directory} has learned tokens that are no bytes, and a file has nothing else: name a run on text."
        )
    known = kept(Path(model.directory))
    # all files are read before the first is scored
    texts = [read(place(file), min(known)) for file in files]
    found = []
    for file, text in zip(files, texts, strict=True):
        # the longer the text, the surer: by the longest that the file has
        length = max(n for n in known if n <= len(text))
        score = _score(model, text[:length])
        one = judged(score, known[length], rate)
        found.append({"file": str(file), "bytes": length, "score": score, **one})
    return {"of": TEXTS, "files": found, "rate": rate}


def judged(score: float, known: dict[str, np.ndarray], rate: float) -> dict[str, Any]:
    """What a score says, by the scores and groups of real and generated texts of that length."""
    # anew for each file: a threshold is of texts of one length
    limit = threshold(known["held"], rate)
    # by held-out texts too: no text of the test set this threshold
    rare = ranking.rarity(score, known["held"], known[f"held{GROUP}"])
    # as the finding's own table counts them
    real, generated = (
        ranking.Flags(known[part] > limit, known[f"{part}{GROUP}"])
        for part in ("real", "generated")
    )
    behind = ranking.alarmed(real, generated)
    return {
        "false_alarms": rare.value,
        "low": rare.low,
        "high": rare.high,
        "flagged": bool(score > limit),
        "behind": [
            {"generated": each.prior, "real_of_flagged": _share(each.real)} for each in behind
        ],
    }


def _share(value: Interval) -> dict[str, float | None]:
    """An interval as JSON can hold it: a share of nothing is None."""
    nothing = np.isnan(value.value)
    return {**value._asdict(), "value": None if nothing else value.value}


def read(file: Path, least: int) -> np.ndarray:
    """The bytes of a text file, int32 [T]; UserError, with the place, for what is no text, and for too short a one."""
    try:
        content = utf8(file)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}.") from error
    if b"\0" in content:
        raise UserError(f"{file} is no text: byte {content.index(0)} is 0x00.")
    if len(content) < least:
        raise UserError(
            f"{file} has {len(content)} bytes, and a detector needs {least}: give it a longer text."
        )
    return np.frombuffer(content, np.uint8).astype(np.int32)


def kept(directory: Path) -> Known:
    """The scores and groups beside a run; UserError for a run without, or without some of them."""
    path = directory / KEPT
    found: Known = {}
    try:
        # a pickle could run code
        with np.load(path, allow_pickle=False) as file:
            # names as `save_arrays` makes them of a tree
            for name in file.files:
                length, part = name.split("/")
                found.setdefault(int(length), {})[part] = np.asarray(file[name])
    except STRANGE as error:
        raise _refused(path, type(error).__name__) from error
    fault = _fault(found)
    if fault:
        raise _refused(path, fault)
    return found


def _fault(known: Known) -> str:
    """What is wrong with scores and groups, "" for nothing: no length, a part less, other groups than scores."""
    if not known:
        return "it is empty"
    for length, own in known.items():
        for part in PARTS:
            for name in (part, f"{part}{GROUP}"):
                if name not in own:
                    return f"{length}/{name} is missing"
            scores, group = own[part], own[f"{part}{GROUP}"]
            if scores.ndim != 1 or not len(scores) or scores.shape != group.shape:
                return f"{length}/{part} has scores {scores.shape} of groups {group.shape}"
    return ""


def _refused(path: Path, fault: str) -> UserError:
    """A file that no score can be judged by."""
    return UserError(
        f"{path} has no scores of real texts with their documents ({fault}), so no score has a rate of false alarms: "
        "call `python -m experiments.detect_text` for this run, which keeps them."
    )


def _score(model: Opened, tokens: np.ndarray) -> float:
    """The log odds of one text that it is generated."""
    # the truth is not known: the label changes no score
    arrays = {model.run.spec.main: tokens[None], "label": np.zeros(1, np.int32)}
    # not by `model.evaluate`, which wants the length of the training
    found = model.run.evaluate(arrays)["evidence"]
    return float(found[0])


def told(found: dict[str, Any]) -> list[str]:
    """Two lines for each file: its score with the rate of false alarms, and what flags of such texts are worth."""
    lines = []
    for each in found["files"]:
        ends = f"[{100 * each['low']:.2g}, {100 * each['high']:.2g}]"
        mark = "  FLAGGED" if each["flagged"] else ""
        lines.append(
            f"{each['file']}, {each['bytes']} bytes: score {each['score']:+.2f}, as high of real texts "
            f"{100 * each['false_alarms']:.2g} % {ends}{mark}"
        )
        for behind in each["behind"]:
            value, low, high = behind["real_of_flagged"].values()
            if value is None:
                lines.append(
                    "  no text of the test is flagged: nothing is known of flagged ones"
                )
                break
            lines.append(
                f"  if {100 * behind['generated']:g} % of all texts are generated, {100 * value:.0f} % "
                f"[{100 * low:.0f}, {100 * high:.0f}] of flagged ones are real"
            )
    return lines
