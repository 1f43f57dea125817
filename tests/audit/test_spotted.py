"""A text file's score and what it is worth; what is no text, or too short, is told in a line with its place."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from genjax.audit.__main__ import main
from genjax.audit.alarms import exact
from genjax.audit.words import TextDetector
from genjax.config import edit
from genjax.core import Spec
from genjax.data import Chain
from genjax.data.alphabets import Bytes
from genjax.data.windows import Windows
from genjax.errors import UserError
from genjax.fields import Tokens
from genjax.findings import spotted
from genjax.findings.suspects import ChainAuthor, Suspect
from genjax.findings.tabled import carry_out
from genjax.findings.verdicts import Verdicts
from genjax.findings.witnesses import GROUP, KEPT, TrainedDetector
from genjax.metrics.features import save_arrays
from genjax.sequence.causal import Causal
from genjax.training.experiment import Every, Experiment

PIECES = Bytes()([]).letters


def model(folder, algorithm=None, pieces=PIECES):
    """A detector whose evidence is the share of the letter z among the bytes."""
    kind = Tokens(4, len(pieces) or 12, pieces=pieces)
    share = lambda arrays: {"evidence": np.mean(arrays["tokens"] == ord("z"), 1)}  # noqa: E731
    return SimpleNamespace(
        directory=folder,
        config=SimpleNamespace(algorithm=algorithm or TextDetector()),
        run=SimpleNamespace(spec=Spec((("tokens", kind),)), evaluate=share),
    )


@pytest.fixture
def folder(tmp_path):
    real = {"held": np.arange(99.0) / 200, "real": np.zeros(50), "generated": np.ones(40)}
    # a document each
    real |= {f"{part}{GROUP}": np.arange(len(scores)) for part, scores in real.items()}
    longer = {**real, "held": np.zeros(99)}
    save_arrays(tmp_path / KEPT, {"4": real, "8": longer})
    return tmp_path


def test_a_file_is_judged_by_as_many_bytes_as_scores_were_kept_of(folder):
    for name, text in {"short.txt": "zzzba", "long.txt": "zabczabczzzzzz"}.items():
        (folder / name).write_text(text)
    found = spotted.spotted(model(folder), [folder / "short.txt", folder / "long.txt"], 0.05)
    short, long = found["files"]
    assert (short["bytes"], short["score"]) == (4, 0.75) and (long["bytes"], long["score"]) == (
        8,
        0.25,
    )
    # 0.75 is above all 99 real texts
    assert short["false_alarms"] == 0.01 and short["flagged"] and long["flagged"]
    # of 50 real texts and 40 generated ones: no false alarm and no miss
    [rare, even] = short["behind"]
    assert rare["real_of_flagged"]["value"] == 0.0 < even["real_of_flagged"]["high"]
    assert rare["real_of_flagged"]["high"] > 0.8
    lines = spotted.told(found)
    assert len(lines) == 6 and lines[0].endswith("as high of real texts 1 % [0, 3.7]  FLAGGED")
    # 0 of 50 may be 8.4 % at 97.5 %, 40 of 40 may be 89.6 %: 0.99 * 8.4 of 0.99 * 8.4 + 0.01 * 89.6
    assert "if 1 % of all texts are generated, 0 % [0, 90] of flagged ones are real" in lines[1]


def test_pieces_of_few_documents_are_worth_as_many_documents():
    known = {"held": np.arange(1000.0), "real": np.zeros(1000), "generated": np.ones(40)}
    known |= {f"{part}{GROUP}": np.arange(len(x)) % 10 for part, x in known.items()}
    found = spotted.judged(1000.0, known, 0.05)
    # none of a hundred pieces of each of ten documents is as high
    assert found["false_alarms"] == 1 / 1001 and found["high"] == exact(0, 10).high
    # nothing of the test is above the threshold, 950: no share
    for each in found["behind"]:
        assert each["real_of_flagged"] == {"value": None, "low": 0.0, "high": 1.0}
    json.dumps(found, allow_nan=False)
    lines = spotted.told({"files": [{"file": "a", "bytes": 4, "score": 1000.0, **found}]})
    assert lines[1].endswith("no text of the test is flagged: nothing is known of flagged ones")
    assert not any("nan" in line for line in lines)


def test_scores_that_are_not_all_there_are_refused_in_a_line(folder):
    whole = spotted.kept(folder)[4]
    for parts, fault in (
        ({}, "it is empty"),
        ({"4/held": np.zeros(9)}, "4/held_group is missing"),
        ({f"4/{name}": x for name, x in whole.items() if name != "real"}, "4/real is missing"),
        (
            {f"4/{name}": x[:-1] if name == "real" else x for name, x in whole.items()},
            r"\(49,\)",
        ),
        ({"odd": np.zeros(9)}, "ValueError"),
    ):
        np.savez(folder / KEPT, **parts)
        with pytest.raises(UserError, match=fault) as error:
            spotted.spotted(model(folder), [], 0.05)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"ab\nc\xffde", "byte 4, in line 2, is 0xff"),
        (b"abc\0def", "is no text: byte 3 is 0x00"),
        (b"abc", "has 3 bytes, and a detector needs 4"),
        (None, "cannot read"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(folder, content, message):
    file = folder / "odd.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        spotted.spotted(model(folder), [file], 0.05)
    assert "\n" not in str(error.value)


def test_runs_that_tell_no_texts_apart_are_refused(folder):
    with pytest.raises(UserError, match="run of Causal and tells no texts apart"):
        spotted.spotted(model(folder, Causal()), [], 0.05)
    with pytest.raises(UserError, match="tokens that are no bytes"):
        spotted.spotted(model(folder, pieces=()), [], 0.05)
    with pytest.raises(UserError, match="rate=1.5 must be below 1"):
        spotted.spotted(model(folder), [], 1.5)
    (folder / KEPT).unlink()
    with pytest.raises(UserError, match="no scores of real texts"):
        spotted.spotted(model(folder), [], 0.05)


@pytest.mark.all
def test_the_command_judges_a_file_by_a_detector_that_a_finding_trained(tmp_path, capsys):
    """Real text against bytes of a chain, all the way: trained, its scores kept, a file asked about."""
    every = Every(log=2, evaluate=0, sample=0, save=20)
    exp = Experiment(algorithm=TextDetector(), steps=20, batch=16, every=every)
    cfg = Verdicts(
        Windows(length=64, most=40),
        (Suspect("noise", ChainAuthor(Chain(256, 64, 1.0))),),
        (TrainedDetector(exp, length=32),),
        lengths=(32, 64),
        false_alarms=(0.05,),
    )
    carry_out(edit(cfg, {"runs": str(tmp_path)}), "noise", {})
    (run,) = (tmp_path / "detect_text").glob("trained-on-noise-*")
    file = tmp_path / "a.txt"
    file.write_text(
        "The import statement combines two operations: it searches for the named module."
    )
    capsys.readouterr()
    assert main(["detect", str(run), str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    [one] = found["files"]
    with np.load(run / KEPT) as kept:
        held = kept["64/held"]
    # kept in float64 of what the net says in float32
    assert one["bytes"] == 64 and one["false_alarms"] == (np.sum(held >= one["score"]) + 1) / (
        len(held) + 1
    )
    assert main(["detect", str(run), str(file)]) == 0
    assert "64 bytes: score" in capsys.readouterr().out
    file.write_bytes(b"\x89PNG\r\n")
    assert main(["detect", str(run), str(file)]) == 2
    assert "is not UTF-8: byte 0, in line 1, is 0x89" in capsys.readouterr().err
