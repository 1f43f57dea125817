"""Whom tools serve worse, where it is known: planted rates, exact tests, a detector and a classifier that are told."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from genjax.audit.alarms import exact
from genjax.audit.comparisons import Alone, Holm
from genjax.audit.disparities import Groups, Outcome, disparities, fisher, grouped
from genjax.errors import UserError

VALUES = {
    "sex": ("woman", "man"),
    "tone": ("light", "medium", "dark"),
    "age": ("child", "young", "middle", "old"),
}
OF = tuple(VALUES)


def people(n: int, seed: int) -> dict[str, np.ndarray]:
    """n people, whose categories are independent."""
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, len(own), n) for name, own in VALUES.items()}


def told(rate_of_dark: float, seed: int) -> set[str]:
    """The groups that are told where .05 of all are flagged, and of the dark a rate of their own."""
    true = people(2000, seed)
    rng = np.random.default_rng(1000 + seed)
    rate = np.where(true["tone"] == 2, rate_of_dark, 0.05)
    groups = grouped(true, VALUES, OF, OF, 40)
    outcome = Outcome(rng.random(2000) < rate, groups)
    (rows,) = disparities({"detector": outcome}, Holm()).values()
    assert len(rows) == 9 + 24
    return {row.name for row in rows if row.differs}


@pytest.mark.parametrize("hits, n, others, m", [(3, 5, 1, 9), (0, 4, 2, 3), (7, 7, 0, 2)])
def test_fishers_p_is_that_of_all_tables_with_these_margins(hits, n, others, m):
    """In whole numbers: C(n, h) C(m, T - h) of the C(n + m, T) ways to share T hits out."""
    total = hits + others
    ways = [math.comb(n, h) * math.comb(m, total - h) for h in range(total + 1)]
    as_far = sum(own for own in ways if own <= ways[hits])
    exactly = Fraction(as_far, math.comb(n + m, total))
    assert fisher(hits, n, others, m) == pytest.approx(float(exactly), rel=1e-9)


def test_fishers_p_is_below_a_level_no_more_often_than_the_level():
    """Enumerated: two groups of 12 and 20, every outcome with its probability, at a rate of .3."""
    n, m, rate = 12, 20, 0.3
    false = 0.0
    for h, k in itertools.product(range(n + 1), range(m + 1)):
        chance = math.comb(n, h) * math.comb(m, k) * rate ** (h + k)
        chance *= (1 - rate) ** (n + m - h - k)
        false += chance * (fisher(h, n, k, m) < 0.05)
    assert 0.01 < false <= 0.05


def test_a_group_that_is_flagged_more_often_is_told_in_all_of_twenty_seeds():
    found = [told(0.2, seed) for seed in range(20)]
    assert all("tone=dark" in names for names in found)
    # nothing was planted in what tone is no part of
    alone = [name for names in found for name in names if name.startswith(("sex", "age"))]
    assert len(alone) <= 1


def test_a_detector_that_flags_all_alike_is_told_of_nothing():
    found = [told(0.05, seed) for seed in range(20)]
    # each in a share of .05 at most: three or more in 1 of 13 draws
    assert sum(bool(names) for names in found) <= 2


def test_all_outcomes_are_compared_together():
    rng = np.random.default_rng(0)
    true = people(400, 3)
    groups = grouped(true, VALUES, ("sex",), (), 1)
    hits = {str(i): rng.random(400) < 0.3 for i in range(5)}
    outcomes = {name: Outcome(own, groups) for name, own in hits.items()}
    alone = disparities(outcomes, Alone())
    strict = disparities(outcomes, Holm())
    p = np.array([[row.p for row in rows] for rows in alone.values()]).ravel()
    adjusted = np.array([[row.p for row in rows] for rows in strict.values()]).ravel()
    np.testing.assert_allclose(adjusted, Holm()(p))
    woman = true["sex"] == 0
    first = alone["0"][0]
    assert first.share == exact(int(hits["0"][woman].sum()), int(woman.sum()))
    assert first.others == pytest.approx(hits["0"][~woman].mean())
    # women beside men is men beside women
    assert p[0] == pytest.approx(p[1])


def test_a_group_that_is_too_small_is_said_and_not_averaged():
    true = {"sex": np.repeat([0, 1], [50, 10]), "tone": np.repeat([0, 1, 2], [40, 15, 5])}
    groups = grouped(true, VALUES, ("sex", "tone"), (), 12)
    assert list(groups.members) == ["sex=woman", "tone=light", "tone=medium"]
    assert "sex=man (10)" in groups.notes[0] and "tone=dark (5)" in groups.notes[0]
    with pytest.raises(UserError, match="no group has 100 members"):
        grouped(true, VALUES, ("sex", "tone"), (), 100)


def test_a_group_of_everybody_has_no_others():
    true = {"sex": np.zeros(50, int), "tone": np.arange(50) % 3}
    assert set(grouped(true, VALUES, ("sex", "tone"), (), 1).members) == {
        "tone=light",
        "tone=medium",
        "tone=dark",
    }
    assert isinstance(grouped(true, VALUES, ("tone",), ("sex", "tone"), 5), Groups)
