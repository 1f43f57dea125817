"""Text files, looked at by a finished run of `TextDetector`: how much each looks generated, and how sure that is.

A file is judged by its first bytes, as many as the longest texts that scores were kept of and that it has. What is said
holds of text that comes from where the run's real texts did, and of the author that it learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genjax.audit import alarms
from genjax.audit.words import TextDetector
from genjax.data.alphabets import Bytes
from genjax.data.text import utf8
from genjax.errors import UserError, above, below
from genjax.findings.witnesses import KEPT
from genjax.machine.files import place
from genjax.metrics.features import STRANGE
from genjax.metrics.prediction import threshold
from genjax.training.opened import Opened

TEXTS = "texts"  # what is judged, as the answer names it
Known = dict[int, dict[str, np.ndarray]]  # length -> held, real, generated -> scores


def spotted(model: Opened, files: Sequence[str | Path], rate: float) -> dict[str, Any]:
    """{"of", "files": [{"file", "bytes", "score", "false_alarms", "low", "high", "flagged", "behind"}], "rate"}.

    behind: of flagged texts of that length, the share that is real if 1 % or 50 % of all are generated. UserError for
    what is no run of a detector of texts, no text, and shorter than the shortest texts that scores were kept of.
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
    """What a score says, by the scores of real and generated texts of that length."""
    # anew for each file: a threshold is of texts of one length
    limit = threshold(known["held"], rate)
    # by held-out texts too: no text of the test set this threshold
    rare = alarms.rarity(score, known["held"])
    behind = alarms.alarmed(known["real"], known["generated"], limit)
    return {
        "false_alarms": rare.value,
        "low": rare.low,
        "high": rare.high,
        "flagged": bool(score > limit),
        "behind": [
            {"generated": each.prior, "real_of_flagged": each.real._asdict()} for each in behind
        ],
    }


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
    """The scores beside a run; UserError for a run without."""
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
        raise UserError(
            f"{path} has no scores of real texts ({type(error).__name__}), so no score has a rate of false alarms: "
            "make the run by `python -m experiments.detect_text`, which keeps them."
        ) from error
    return found


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
            lines.append(
                f"  if {100 * behind['generated']:g} % of all texts are generated, {100 * value:.0f} % "
                f"[{100 * low:.0f}, {100 * high:.0f}] of flagged ones are real"
            )
    return lines
