"""Measures of predictions against scikit-learn, against answers by hand, and their intervals against known truths."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics

from genjax.errors import UserError
from genjax.metrics import masks, prediction


def _scores(n=400, shift=1.0, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    # rounded, so that there are ties
    return np.round(rng.normal(size=n) + shift * truth, 1), truth


def test_rankings_agree_with_scikit_learn_ties_included():
    scores, truth = _scores()
    area = prediction.auroc(scores, truth)
    assert area.value == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)
    precision = prediction.average_precision(scores, truth, times=50)
    expected = metrics.average_precision_score(truth, scores)
    assert precision.value == pytest.approx(expected, abs=1e-12)
    for found in (area, precision):
        assert found.low < found.value < found.high


def test_intervals_of_the_area_hold_the_truth_as_often_as_they_say():
    shift = 1.5
    exact = norm.cdf(shift / np.sqrt(2))  # of two normals with this distance
    other = norm.cdf(1.0 / np.sqrt(2))
    rng = np.random.default_rng(1)
    truth = np.arange(80) < 40
    held = apart = 0
    for _ in range(400):
        base = rng.normal(size=80)
        better = base + shift * truth
        worse = (
            0.6 * base + 0.8 * rng.normal(size=80) + 1.0 * truth
        )  # variance 1, correlated with the other
        found = prediction.auroc(better, truth)
        held += found.low <= exact <= found.high
        gap = prediction.auroc_difference(better, worse, truth)
        apart += gap.low <= exact - other <= gap.high
    # 95 % of 400 within four standard errors
    assert 362 <= held <= 398 and 362 <= apart <= 398


def test_a_perfect_ranking_is_not_certain():
    area = prediction.auroc(np.arange(20.0), np.arange(20) >= 10)
    assert area.value == 1.0 == area.high and 0.6 < area.low < 0.8
    # the same ranking, and no difference to itself
    assert prediction.auroc_difference(
        np.arange(20.0), np.arange(20.0) ** 3, np.arange(20) >= 10
    ) == (
        0.0,
        0.0,
        0.0,
    )


def test_the_threshold_keeps_its_rate_of_false_alarms():
    rng = np.random.default_rng(2)
    alarms = []
    for _ in range(2000):
        limit = prediction.threshold(rng.normal(size=99), 0.05)
        alarms.append(norm.sf(limit))
    # exactly (n + 1 - k) / (n + 1) on average: 5 of 100
    assert np.mean(alarms) == pytest.approx(0.05, abs=4 * np.std(alarms) / np.sqrt(2000))
    assert prediction.threshold(np.arange(19.0), 0.05) == 18.0
    with pytest.raises(UserError, match="hold out 19 or more"):
        prediction.threshold(np.arange(18.0), 0.05)
    assert prediction.rate(np.arange(10.0), 6.5).value == 0.3


def test_probabilities_agree_with_scikit_learn():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(300, 4))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = rng.integers(0, 4, 300)
    assert prediction.log_loss(p, y).value == pytest.approx(metrics.log_loss(y, p))
    binary = np.stack([1 - p[:, 0], p[:, 0]], 1)
    expected = metrics.brier_score_loss(y % 2, p[:, 0])
    # over both classes: twice what scikit-learn counts for one
    assert prediction.brier(binary, y % 2).value == pytest.approx(2 * expected)


def test_calibration_error_is_that_of_a_model_sure_by_a_known_amount():
    # always 0.9 sure and right three times in four: 0.15 apart
    p = np.tile([0.9, 0.1], (400, 1))
    y = (np.arange(400) % 4 == 0).astype(int)
    found = prediction.ece(p, y)
    assert found.value == pytest.approx(0.15) and found.low < 0.15 < found.high
    confidence, accuracy, count = prediction.calibration(p, y, bins=10)
    assert count[8] == 400 and confidence[8] == pytest.approx(0.9)
    assert accuracy[8] == pytest.approx(0.75)


def test_masks_agree_with_scikit_learn_and_an_absent_class_counts_for_nothing():
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, (5, 8, 8))
    guess = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 3, truth.shape))
    counts = masks.confusion(truth, guess, 4)  # class 3 is nowhere
    whole = metrics.confusion_matrix(truth.ravel(), guess.ravel(), labels=range(4))
    np.testing.assert_array_equal(counts.sum(0), whole)
    jaccard = metrics.jaccard_score(truth.ravel(), guess.ravel(), average=None, labels=range(3))
    np.testing.assert_allclose(masks.iou(counts.sum(0))[:3], jaccard)
    found = masks.mean_iou(counts)
    assert found.value == pytest.approx(jaccard.mean()) and found.low < found.value < found.high
    accuracy = masks.pixel_accuracy(counts)
    assert accuracy.value == pytest.approx((truth == guess).mean())


def test_boundaries_forgive_what_lies_within_the_tolerance():
    truth = np.zeros((3, 40, 40), np.uint8)
    truth[:, 10:30, 10:30] = 1
    guess = np.zeros_like(truth)
    guess[0, 10:30, 11:31] = 1  # a pixel aside
    guess[1, 10:30, 16:36] = 1  # six aside
    scores = masks.boundary_f(truth, guess, 2)
    assert scores[0] == 1.0 and 0.2 < scores[1] < 0.8 and scores[2] == 0.0
    wide = masks.boundary_f(truth, guess, 2, tolerance=0.2)
    assert wide[1] == 1.0


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: prediction.auroc(np.ones(3), np.ones(3)), "all 3 examples are positive"),
        (lambda: prediction.auroc(np.ones(3), np.zeros(3)), "all 3 examples are negative"),
        (lambda: prediction.auroc(np.array([0.0, np.nan]), np.array([0, 1])), "NaN"),
        (lambda: prediction.auroc(np.ones((3, 1)), np.ones(3)), "one length"),
        (lambda: prediction.log_loss(np.ones((2, 3)), np.zeros(2)), "not logits"),
        (lambda: prediction.brier(np.eye(2), np.array([0, 2])), "from 0 to 2"),
        (lambda: prediction.threshold(np.ones(9), 1.0), "between 0 and 1"),
        (lambda: prediction.threshold(np.full(99, np.nan), 0.1), "NaN"),
        (lambda: masks.confusion(np.ones((1, 2)), np.ones((1, 3)), 2), "must agree"),
        (lambda: masks.confusion(np.full((1, 2), 5), np.ones((1, 2)), 2), "from 5 to 5"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(call, told):
    with pytest.raises(UserError, match=told) as error:
        call()
    assert "\n" not in str(error.value)


def test_of_one_positive_example_the_difference_of_areas_has_no_interval():
    found = prediction.auroc_difference([0.9, 0.1, 0.2], [0.1, 0.5, 0.0], [1, 0, 0])
    assert found.value == pytest.approx(0.5)
    assert np.isnan([found.low, found.high]).all()
