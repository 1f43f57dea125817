"""Detectors of text by author: chains of known law without any training, and what is refused before anything begins."""

import json

import numpy as np
import pytest

from experiments import detect_text
from genjax.config import edit
from genjax.data import Chain
from genjax.data.windows import Sequences, Windows
from genjax.errors import UserError
from genjax.findings.suspects import Author, ChainAuthor, Suspect, Suspected, Task
from genjax.findings.tabled import carry_out
from genjax.findings.verdicts import NO_ALARM, Verdicts, kept, shown
from genjax.findings.witnesses import (
    BestRatio,
    Case,
    MeanLogP,
    NgramRatio,
    Texts,
    TrainedDetector,
)
from genjax.metrics.intervals import Interval
from genjax.sequence.causal import Causal
from genjax.training.experiment import Experiment

REAL = Sequences(Chain(4, 8), fit=60, held=40, test=50)
KNOWN = Verdicts(
    REAL,
    (
        Suspect("other", ChainAuthor(Chain(4, 8, seed=1))),
        Suspect("same", ChainAuthor(Chain(4, 8))),
    ),
    (BestRatio(), NgramRatio(2), MeanLogP()),
    ChainAuthor(Chain(4, 8)),
    lengths=(8,),
    false_alarms=(0.05,),
    draws=500,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    carry_out(edit(KNOWN, {"runs": str(runs)}), "known", {})
    (folder,) = (runs / "detect_text").glob("known-*")
    assert "alarms, 8 tokens" in (folder / "table.md").read_text()
    return json.loads((folder / "results.json").read_text())


def test_detectors_find_another_law_and_nothing_where_there_is_nothing(results):
    own, bar = results["AP 8: best, of other: other"], results["bar other, 8"]
    assert own["low"] <= bar["AP"] <= own["high"] and bar["AP"] > 0.8
    # the ratio of a law to itself is 0 of every text: one threshold, and the share of either kind
    assert results["AP 8: best, of same: other"]["value"] == 0.5
    for witness in ("best", "2-grams", "log p"):
        for column in ("same", "real"):
            found = results[f"AP 8: {witness}, of other: {column}"]
            assert found["low"] < 0.5 < found["high"], (witness, column)
    assert results["AP 8: 2-grams, of other: other"]["value"] > 0.8


def test_no_detector_passes_the_best_for_certain(results):
    for witness in ("2-grams", "log p"):
        less = results[f"less than the best other, 8: {witness}"]
        assert less["low"] <= 0.0 and less["value"] < 0.05


def test_thresholds_keep_their_rate_and_say_what_is_behind_an_alarm(results):
    title = "best, of other, 5 %"
    false = results[f"false alarms 8: {title}"]
    assert false["low"] <= 0.05 <= false["high"]
    hits, right = (results[f"{what} 8: {title}"]["value"] for what in ("hits", "accuracy"))
    assert right == pytest.approx(0.5 * (hits + 1.0 - false["value"]))
    rare = results[f"real behind alarms, 1 % generated 8: {title}"]["value"]
    odds = 99.0 * false["value"] / hits
    assert rare == pytest.approx(odds / (1.0 + odds))


def test_a_statistic_learns_its_direction():
    tokens = np.zeros((20, 4), np.int32)
    low, high = (Texts(tokens, np.arange(20), {"log_p": x + np.arange(20.0)}) for x in (0, 50))
    for real, generated in ((low, high), (high, low)):
        case = Case(KNOWN.suspects[0], {4: real}, {4: generated}, 4, Task(REAL, 0, "", {}))
        judge = MeanLogP().learn(case)
        assert judge(generated).min() > judge(real).max()


def test_a_detector_learns_from_whole_windows_of_either_kind():
    data = Suspected(REAL, KNOWN.suspects[0], length=4)
    source = data.load()
    # 60 windows of each kind, one of eight held out, two pieces each
    assert len(source.train["label"]) == 2 * 2 * 52 and len(source.valid["label"]) == 2 * 2 * 8
    assert np.mean(source.train["label"]) == 0.5 and not len(source.test["label"])
    parts = KNOWN.suspects[0].parts(Task(REAL, 0, "", {}))
    assert not set(map(bytes, source.train["tokens"])) - set(
        map(
            bytes,
            np.concatenate(
                [REAL.parts()["fit"].pieces(4).tokens, parts["fit"].pieces(4).tokens]
            ),
        )
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"scorer": None}, "MeanLogP is of a model that scores"),
        ({"lengths": (9,)}, "9 is longer than the texts, 8"),
        ({"lengths": ()}, "must name one each"),
        ({"false_alarms": (0.01,)}, "hold out 99 or more"),
        ({"false_alarms": (0.0,)}, "false_alarms=0.0 must be above 0"),
        ({"suspects": ()}, "leaves nothing to compare"),
        (
            {"suspects": (Suspect("real", ChainAuthor(Chain(4, 8))),)},
            "'real' is a name of the tables",
        ),
        (
            {"suspects": (Suspect("odd", ChainAuthor(Chain(5, 8))),)},
            "5 tokens beside real texts of 4",
        ),
        ({"suspects": (Suspect("a", Author(detect_text.CAUSAL)),)}, "a is a trained model"),
        ({"scorer": Author(detect_text.MASKED)}, "MaskedDiffusion gives no law"),
        ({"witnesses": (NgramRatio(2), NgramRatio(2))}, "two of them are '2-grams'"),
        ({"lengths": (8, 8)}, "lengths: two of its values are 8"),
        ({"false_alarms": (0.05, 0.05)}, "false_alarms: two of its values are 0.05"),
        (
            {"witnesses": (TrainedDetector(Experiment(algorithm=Causal()), 8),)},
            r"Causal\(\) tells no texts apart",
        ),
        ({"data": Windows(length=100)}, "nobody knows the law"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_written(
    changes, message, tmp_path
):
    cfg = edit(KNOWN, {**changes, "runs": str(tmp_path / "runs")})
    with pytest.raises(UserError, match=message):
        cfg("x", {})
    assert not (tmp_path / "runs").exists()


def test_n_grams_of_several_orders_have_a_row_each():
    cfg = edit(KNOWN, {"witnesses": (NgramRatio(1), NgramRatio(2))})
    cfg.check(Task(REAL, 0, "", {}))
    assert [each.name for each in cfg.witnesses] == ["1-grams", "2-grams"]


def test_a_share_of_no_alarm_is_told_in_words_and_kept_as_null():
    nothing, some = Interval(np.nan, 0.0, 1.0), Interval(0.5, 0.25, 0.75)
    assert shown(nothing) == NO_ALARM and shown(some) == "0.500 [0.250, 0.750]"
    assert kept(nothing, 9) == {"value": None, "low": 0.0, "high": 1.0, "n": 9}
    assert kept(some, 9)["value"] == 0.5


def test_lengths_of_running_text_are_bytes():
    assert edit(KNOWN, {"data": Windows()}).unit == "bytes" and KNOWN.unit == "tokens"


@pytest.mark.all
def test_the_quick_row_runs_to_its_end(tmp_path):
    cfg = edit(detect_text.EXPERIMENTS["quick"], {"runs": str(tmp_path)})
    carry_out(cfg, "quick", {})
    (folder,) = (tmp_path / "detect_text").glob("quick-*")
    found = json.loads((folder / "results.json").read_text())
    assert "AP 32: trained, of masked: causal" in found and (folder / "report.html").exists()
