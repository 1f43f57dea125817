"""The comparisons of classifiers: their parts against counted answers, then whole, at toy size."""

import json

import numpy as np
import pytest
from scipy.stats import t as student

from experiments import classify
from genjax.audit import bayes
from genjax.audit.gaussians import LDA, NAIVE
from genjax.config import edit
from genjax.corruptions import SaltPepper
from genjax.data import Blank, Digits, Toy
from genjax.data.cornered import Cornered
from genjax.errors import UserError
from genjax.findings.classified import (
    Classified,
    paired,
    spoilt,
    task_of,
    tilted,
)
from genjax.findings.classifiers import (
    Bayes,
    Chosen,
    Conditional,
    Contestant,
    Discriminative,
    Errors,
    LogisticRegression,
    Tokenwise,
    check_task,
)
from genjax.findings.fewlabels import FewLabels, crossing, drawn, means, told
from genjax.findings.shortcut import Shortcut
from genjax.metrics.intervals import Interval, of_mean

DATA = Digits(valid=300)
CLOSED = (Contestant("LDA", Bayes(LDA)), Contestant("naive Bayes", Bayes(NAIVE)))
TOY = Classified(
    DATA,
    CLOSED,
    reference="LDA",
    corruptions=(SaltPepper(0.2, 0.2),),
    strangers=(Cornered(DATA),),
    others=100,
)


def results(home, name):
    (folder,) = (home / "classify").glob(f"{name}-*")
    return json.loads((folder / "results.json").read_text())


def test_differences_are_of_the_same_pictures():
    hits = np.array([1.0, 1, 1, 0] * 50)
    others = np.array([1.0, 1, 0, 0] * 50)
    found = paired(hits, others)
    assert found.value == 0.25 and 0.15 < found.low < found.high < 0.35
    # of 200 pictures without a difference there may be one in a hundred
    same = paired(hits, hits)
    assert same.value == 0.0 and -0.02 < same.low < -0.005 and 0.005 < same.high < 0.02


@pytest.mark.parametrize(
    "ends, words",
    [
        ((-0.01, -0.02, 0.0), "is within 2 % of LDA: -0.010 [-0.020, 0.000]"),
        # who is better has not missed it
        ((0.1, 0.05, 0.15), "is within 2 % of LDA: 0.100 [0.050, 0.150]"),
        ((-0.01, -0.03, 0.01), "is within 2 % of LDA: -0.010 [-0.030, 0.010], which the"),
        ((-0.03, -0.05, -0.01), "is not within 2 % of LDA: -0.030 [-0.050, -0.010], which the"),
        ((-0.05, -0.07, -0.03), "is not within 2 % of LDA: -0.050 [-0.070, -0.030]"),
    ],
)
def test_a_verdict_says_whether_it_is_sure(ends, words):
    told = TOY.verdict(Interval(*ends))
    assert told.startswith(words) and told.endswith("open") == words.endswith("which the")


def test_shifted_labels_have_the_asked_shares():
    label = np.repeat(np.arange(4), 64)
    rows = tilted(label, 4, 0.5)
    np.testing.assert_array_equal(np.bincount(label[rows]), [64, 32, 16, 8])
    assert len(np.unique(rows)) == len(rows)
    np.testing.assert_array_equal(tilted(label, 4, 1.0), np.arange(256))
    # 64, 6, and of the third 0.64: none
    with pytest.raises(UserError, match="tilt=0.1: class 2 has no test picture left"):
        tilted(label, 4, 0.1)
    # a class that is not there at all
    with pytest.raises(UserError, match="tilt=1: class 0 has"):
        tilted(label[64:], 4, 1.0)


def test_corrupted_pictures_are_bytes_and_always_the_same():
    images = np.full((4, 8, 8, 1), 100, np.uint8)
    found = spoilt(images, SaltPepper(0.5, 0.5), 0)
    assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 100, 255}
    np.testing.assert_array_equal(found, spoilt(images, SaltPepper(0.5, 0.5), 0))


def test_a_lead_ends_where_the_line_between_two_points_does():
    assert crossing({2: 0.1, 8: 0.1, 32: -0.1}) == pytest.approx(16.0)
    # what is ahead again later has not crossed for good
    assert crossing({2: 0.1, 4: -0.1, 8: 0.1, 16: -0.3}) == pytest.approx(8 * 2**0.25)
    assert crossing({2: -0.1, 4: -0.1}) is None
    assert crossing({2: 0.1, 4: 0.0, 8: 0.1}) is None and crossing({2: 0.0}) is None
    # who is behind first crosses too
    assert crossing({2: -0.1, 8: 0.1}) == pytest.approx(4.0)
    assert crossing({2: -0.1, 4: 0.0, 8: 0.1}) == pytest.approx(4.0)


@pytest.mark.parametrize(
    "signs, words",
    [
        ("++.-", "ahead up to 4, behind from 16 labels of a class"),
        ("+...", "ahead up to 2 labels of a class"),
        ("-..+", "behind up to 2, ahead from 16 labels of a class"),
        (".--.", "behind from 4 to 8 labels of a class"),
        (".+.-", "ahead at 4, behind from 16 labels of a class"),
        ("....", "never told apart"),
        ("----", "behind throughout"),
        ("++++", "ahead throughout"),
    ],
)
def test_a_lead_is_told_where_its_band_leaves_0_out(signs, words):
    bands = {"+": Interval(0.2, 0.1, 0.3), "-": Interval(-0.2, -0.3, -0.1)}
    # a mean ahead, and not surely
    bands["."] = Interval(0.1, -0.1, 0.3)
    lead = {}
    for i, sign in enumerate(signs):
        lead[2 ** (i + 1)] = bands[sign]
    assert told(lead) == words


def test_bands_are_of_other_draws_and_other_pictures():
    # rows differ, columns do not: Student's of two draws
    rows = np.array([[0.0] * 4, [1.0] * 4])
    assert means({2: rows})[2] == pytest.approx(of_mean(rows[:, 0]))
    # the other way round all draws say the same, and their number counts for nothing
    assert means({2: rows.T})[2] == pytest.approx(of_mean(rows[:, 0]))
    # both: se^2 is 1/4 + 1/12, and 1 and 3 degrees of freedom are 1.72 together
    both = np.array([[0.0, 0, 1, 1], [1.0, 1, 2, 2]])
    found = means({2: both})[2]
    half = student.ppf(0.975, (1 / 3) ** 2 / (1 / 16 + 1 / 432)) * np.sqrt(1 / 3)
    assert found == pytest.approx(Interval(1.0, 1.0 - half, 1.0 + half))
    # paired: what is hard for both is of no account
    assert means({2: both - both})[2] == Interval(0.0, 0.0, 0.0)


def test_draws_are_of_every_class_and_grow():
    split = {"label": np.arange(60) % 3, "image": np.arange(60)}
    few, more = drawn(split, 2, [0, 1]), drawn(split, 5, [0, 1])
    np.testing.assert_array_equal(np.bincount(more["label"]), [5, 5, 5])
    assert set(few["image"]) < set(more["image"])
    assert set(few["image"]) != set(drawn(split, 2, [0, 2])["image"])


@pytest.mark.all
def test_what_is_chosen_is_likeliest_on_validation_examples():
    source = DATA.load()
    task = task_of(TOY, source, {})
    silly, fair = Bayes(edit(LDA, {"shrinkage": 1.0})), Bayes(LDA)
    reading = Chosen((silly, fair)).start("x", task)
    assert reading.told["choice"] == 1 and reading.density
    images = np.asarray(source.test["image"][:50])
    np.testing.assert_array_equal(
        reading.log_joint(images), fair.start("x", task).log_joint(images)
    )


def test_closed_forms_are_compared(tmp_path, capsys):
    edit(TOY, {"runs": str(tmp_path)})("toy", {"question": "?"})
    found = results(tmp_path, "toy")
    assert found["LDA, test"]["accuracy"]["value"] > 0.93
    assert found["naive Bayes, test"]["accuracy less that of LDA"]["high"] < 0.05
    # corruption costs, and labels that shift do not cost more than they did
    assert found["LDA, corrupted"]["SaltPepper 0.2"]["value"] < 0.9
    assert found["LDA, shifted"]["shares off by"] < 0.1
    # the same digits with a mark in a corner that is always black: p(x) sees nothing else
    strange = found["naive Bayes, strangers"]
    assert strange["digits_cornered, by p(x)"]["value"] > 0.6
    tests = found["LDA, test"]["accuracy"]["n"]
    assert strange["digits_cornered, by p(x)"]["n"] == tests + 100
    told, noted = capsys.readouterr()
    assert "| naive Bayes |" in told and "by EM" in told
    assert "naive Bayes is not within 2 % of LDA: -0.0" in noted
    shifted = found["LDA, shifted"]["by EM"]["n"]
    assert shifted < tests


def test_a_shortcut_is_told_by_group(tmp_path):
    cfg = Shortcut(Cornered(DATA), CLOSED, "LDA", runs=str(tmp_path))
    cfg("toy", {"question": "?"})
    found = results(tmp_path, "toy")["naive Bayes, shortcut"]
    agrees, contradicts = found["mark agrees"], found["mark contradicts"]
    assert agrees["value"] > contradicts["value"] == found["worst group"]["value"]
    assert found["contradicts less agrees"]["high"] < 0
    assert found["its worst class"]["value"] <= contradicts["value"]


@pytest.mark.all
def test_few_labels_are_a_curve_with_bands(tmp_path, capsys):
    models = (CLOSED[1], Contestant("logistic regression", LogisticRegression(0.1)))
    cfg = FewLabels(DATA, models, labels=(2, 16), draws=3, runs=str(tmp_path))
    cfg("toy", {"question": "?"})
    curve = results(tmp_path, "toy")["naive Bayes, accuracy over labels of a class"]
    assert 0.4 < curve["2"]["value"] < curve["16"]["value"] < 0.95
    assert curve["2"]["low"] < curve["2"]["value"] < curve["2"]["high"]
    assert "ahead of logistic regression" in capsys.readouterr().out


@pytest.mark.all
def test_models_that_are_told_the_class_are_compared(tmp_path):
    few = {"experiment.steps": 3, "experiment.every.save": 3, "experiment.chunk": 1}
    entries = []
    for one in classify.DEEP:
        of = edit(one.of, few)
        if isinstance(of, Conditional):
            of = edit(of, {"batch": 20})
        if hasattr(getattr(of, "by", None), "samples"):
            of = edit(of, {"by.samples": 2})
        if isinstance(getattr(of, "by", None), Errors):
            of = edit(of, {"by.draws": 2})
        entries.append(edit(one, {"of": of}))
    small = {"contestants": tuple(entries), "corruptions": (), "strangers": ()}
    small |= {"tilt": 1.0, "valid": 20, "test": 60, "others": 20, "runs": str(tmp_path)}
    edit(classify.BASE, small)("toy", {"question": "?"})
    found = results(tmp_path, "toy")
    for one in classify.DEEP:
        row = found[f"{one.name}, test"]
        assert 0.0 <= row["accuracy"]["value"] <= 1.0 and row["training seconds"] >= 0
        assert np.isfinite(row["log loss at temperature"]["value"])


# Bad input


@pytest.mark.parametrize(
    "data, message",
    [
        (Toy(), "classifiers here are of images"),
        (Blank(classes=0), "blank has no labels"),
        (Blank(classes=3), "class 1 has no training example"),
        (Digits(), "data.valid=0: settings and temperatures"),
    ],
)
def test_data_that_nothing_can_be_learned_of_are_told_in_one_line(data, message, tmp_path):
    for cfg in (TOY, FewLabels(contestants=CLOSED, reference="LDA")):
        with pytest.raises(UserError, match=message):
            edit(cfg, {"data": data, "runs": str(tmp_path)})("x", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"fit": 10}, "fit=10: class . has no example among"),
        ({"tilt": 0.3}, "tilt=0.3: class . has no test picture left"),
    ],
)
def test_classes_that_are_left_out_are_told_before_anything_is_written(
    changes, message, tmp_path
):
    with pytest.raises(UserError, match=message):
        edit(TOY, {**changes, "runs": str(tmp_path)})("x", {})
    assert not list(tmp_path.iterdir())


def test_shares_that_em_starts_from_are_of_what_was_fitted():
    source = DATA.load()
    few = task_of(edit(TOY, {"fit": 100}), source, {})
    count = np.bincount(few.fit["label"])
    reading = CLOSED[0].of.start("x", few)
    np.testing.assert_allclose(reading.prior, count / 100)
    assert np.abs(reading.prior - bayes.shares(source.train["label"], 10)).max() > 0.01


def test_contestants_that_cannot_be_are_told_in_one_line():
    source = DATA.load()
    pixels, flow = classify.DEEP[3].of, classify.DEEP[2].of
    without = edit(flow, {"experiment.algorithm.condition": ()})
    for of, message in (
        (without, "is told nothing: give it condition"),
        (edit(flow, {"by": Tokenwise()}), "Tokenwise.. is for Causal"),
        (edit(pixels, {"by": Errors()}), "Errors.. is for diffusion models"),
        (edit(flow, {"by.high": 0.01}), "high=0.01 must be above"),
        (Discriminative(flow.experiment), "Diffusion gives no p"),
        (Chosen(()), "nothing to choose from"),
        (LogisticRegression(0.0), "strength=0.0 must be above 0"),
    ):
        with pytest.raises(UserError, match=message):
            check_task(source, (Contestant("one", of),), "one")
    with pytest.raises(UserError, match="--reference=two: no contestant is called so"):
        check_task(source, CLOSED, "two")
    curve = FewLabels(DATA, (Contestant("one", flow),), "one")
    with pytest.raises(UserError, match="a curve takes hundreds of fits"):
        curve.check(source)
    with pytest.raises(UserError, match="some class has"):
        edit(curve, {"contestants": CLOSED, "reference": "LDA", "labels": (900,)})("x", {})
