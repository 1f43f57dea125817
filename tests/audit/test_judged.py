"""Scores on one scale: against the logits of two known normals, with ranks of nothing, thresholds, calibration."""

import numpy as np
import pytest

from genjax.audit.judged import Halves, ensemble, judged, scale_of
from genjax.errors import UserError

APART = 2.0


def normals(n: int, seed: int, apart: float = APART) -> Halves:
    """Real scores of N(0, 1) and generated ones of N(apart, 1)."""
    rng = np.random.default_rng(seed)
    return Halves(rng.standard_normal(n), apart + rng.standard_normal(n))


def test_scores_become_the_logits_of_two_normals():
    # log N(s; d, 1) - log N(s; 0, 1) = d s - d² / 2
    scale = scale_of(normals(20_000, 0))
    assert scale.slope == pytest.approx(APART, rel=0.05)
    assert scale.intercept == pytest.approx(-(APART**2) / 2, rel=0.05)
    # in whatever unit and direction
    far = Halves(*(5.0 - 1000.0 * half for half in normals(20_000, 0)))
    again = scale_of(far)
    np.testing.assert_allclose(again(far.real), scale(normals(20_000, 0).real), atol=1e-6)


def test_halves_without_overlap_have_the_finite_scale_of_platts_targets():
    held = Halves(np.zeros(20), np.ones(20))
    scale = scale_of(held)
    # two values, two numbers: the probabilities are the targets, 1 / 22 and 21 / 22
    np.testing.assert_allclose(
        scale(np.array([0.0, 1.0])), [-np.log(21), np.log(21)], rtol=1e-5
    )


def test_a_ranking_of_nothing_is_worth_half_and_a_false_alarm_costs_what_was_asked():
    held, test = normals(1000, 1, 0.0), normals(1000, 2, 0.0)
    cell = judged(test, held.real, (0.05,))
    low, high = cell.average_precision.low, cell.average_precision.high
    assert 0.45 < cell.average_precision.value < 0.55 and 0.02 < high - low < 0.08
    assert cell.bars[0.05].false_alarms.value == pytest.approx(0.05, abs=0.02)
    assert cell.bars[0.05].accuracy.value == pytest.approx(0.5, abs=0.02)


def test_what_is_told_agrees_with_two_normals():
    from scipy.stats import norm

    scale = scale_of(normals(4000, 3))
    held, test = normals(2000, 4), normals(2000, 5)
    logits = Halves(scale(test.real), scale(test.generated))
    cell = judged(logits, scale(held.real), (0.01, 0.05))
    for rate in (0.01, 0.05):
        power = norm.sf(norm.isf(rate) - APART)
        wanted = 0.5 * (1 - rate) + 0.5 * power
        assert cell.bars[rate].accuracy.value == pytest.approx(wanted, abs=0.03)
    # probabilities that are right are calibrated, and twice the logit is overconfident
    assert cell.ece.value < 0.03
    sure = Halves(3 * logits.real, 3 * logits.generated)
    assert judged(sure, scale(held.real), (0.05,)).ece.low > 0.05


def test_pictures_of_a_few_groups_have_wide_intervals():
    # all 50 pictures of a scene have its score: 10 draws and no 500
    held = normals(1000, 0)
    inside, outside = 0, 0
    widths = []
    for seed in range(20):
        few = normals(10, 10 + seed, 0.0)
        many = Halves(*(np.repeat(half, 50) for half in few))
        scenes = Halves(np.repeat(np.arange(10), 50), np.repeat(np.arange(10, 20), 50))
        cell = judged(many, held.real, (0.05,), scenes)
        alone = judged(many, held.real, (0.05,))
        # of no difference, average precision in the mean of draws is a half and a little more
        inside += cell.average_precision.low <= 0.5 <= cell.average_precision.high
        outside += not alone.average_precision.low <= 0.5 <= alone.average_precision.high
        widths.append([np.ptp(each.average_precision[1:]) for each in (cell, alone)])
        assert np.ptp(cell.ece[1:]) > np.ptp(alone.ece[1:])
    assert inside >= 17 and outside >= 10
    assert np.mean(widths, 0)[0] > 3 * np.mean(widths, 0)[1]


def test_a_threshold_is_written_beside_its_rate():
    held, test = normals(100, 1), normals(50, 2)
    cell = judged(test, held.real, (0.05,))
    told = cell.kept(50)["false_alarms_at_0.05"]
    assert told["asked"] == 0.05 and told["n"] == 50
    assert told["value"] == np.mean(test.real > told["threshold"])


def test_all_together_is_the_mean_logit():
    found = ensemble({"a": np.array([1.0, 3.0]), "b": np.array([3.0, -3.0])})
    np.testing.assert_array_equal(found, [2.0, 0.0])


def test_too_few_and_what_is_no_number_are_told():
    with pytest.raises(UserError, match="9 real"):
        scale_of(normals(9, 0))
    broken = normals(20, 0)
    broken.real[3] = np.nan
    with pytest.raises(UserError, match="diverged"):
        scale_of(broken)
    with pytest.raises(UserError, match="hold out 99"):
        judged(normals(20, 0), normals(50, 1).real, (0.01,))
