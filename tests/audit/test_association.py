"""How two categories go together: tables whose answer is known by hand, and intervals that hold it."""

import numpy as np
import pytest

from genjax.audit.association import (
    amplification,
    association,
    conditional,
    cramers_v,
    directional,
    independent,
    phi2,
    raked,
    slope,
    spread,
)
from genjax.audit.confusion import corrected, crossed, known, perfect


def planted(bias: float) -> np.ndarray:
    """Shares of two occupations and two sexes, which differ by `bias` in their share of women."""
    return np.array([[1 + bias, 1 - bias], [1 - bias, 1 + bias]]) / 4


@pytest.mark.parametrize("bias", [0.0, 0.2, 0.5, 1.0])
def test_v_of_a_balanced_table_of_four_is_the_bias_itself(bias):
    assert cramers_v(planted(bias)) == pytest.approx(bias)


def test_v_of_counts_is_scipys():
    from scipy.stats.contingency import association as scipys

    counts = np.array([[20, 30, 5], [10, 10, 40]])
    assert cramers_v(counts / counts.sum()) == pytest.approx(scipys(counts, "cramer"))


def bergsma(counts: np.ndarray) -> float:
    """V with Bergsma's correction (2013): φ² less what independent columns have, and fewer rows and columns."""
    n = counts.sum()
    rows, columns = counts.shape
    left = max(phi2(counts / n) - (rows - 1) * (columns - 1) / (n - 1), 0.0)
    fewest = min(rows, columns)
    return np.sqrt(left / (fewest - (fewest - 1) ** 2 / (n - 1) - 1))


def test_the_draws_own_correction_is_bergsmas_where_the_reader_is_perfect():
    counts = np.array([[60, 40], [45, 55.0]])
    table = corrected(counts.ravel(), perfect(4), times=20_000)
    table = table._replace(value=table.value.reshape(2, 2), draws=table.draws.reshape(-1, 2, 2))
    assert association(table).value == pytest.approx(bergsma(counts), abs=0.02)


@pytest.mark.parametrize("bias", [0.0, 0.5])
def test_intervals_of_v_hold_it_behind_a_readers_errors(bias):
    reader = known(np.array([[0.9, 0.1], [0.15, 0.85]]))
    both = crossed(reader, reader)
    held = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        counts = rng.multinomial(4000, planted(bias).ravel() @ both.matrix)
        found = corrected(counts, both, times=300, seed=seed)
        table = found._replace(
            value=found.value.reshape(2, 2), draws=found.draws.reshape(-1, 2, 2)
        )
        _, low, high = association(table)
        held += low <= bias <= high
    # fewer than 34 of 40 come by chance in 1 of 100
    assert held >= 34


def test_permutations_of_independent_columns_give_even_p():
    p = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        a, b = rng.integers(0, 3, 80), rng.integers(0, 2, 80)
        p.append(independent(a, b, times=60, seed=seed))
    assert np.mean(np.array(p) < 0.2) < 0.35 and 0.35 < np.mean(p) < 0.65
    a = np.tile([0, 1], 40)
    assert independent(a, a, times=99) == pytest.approx(0.01)
    # nothing is to be told of one column of a single value
    assert independent(a, np.zeros(80, int), times=20) == 1.0


def test_amplification_is_that_of_hand():
    data = planted(0.2)  # 60 % of each occupation are of its sex
    more = planted(0.5)  # 75 %
    assert amplification(data, data) == 0.0
    # Zhao: of each occupation one sex leads, by .15 more
    assert amplification(more, data) == pytest.approx(0.15)
    # the other sex is less by as much, which the directional one counts too: .15 of every pair
    assert directional(more, data) == pytest.approx(0.15)
    assert directional(planted(-0.5), data) == pytest.approx(-0.35)
    # draws [S, A, B] at once
    np.testing.assert_allclose(
        directional(np.stack([data, more]), data), [0.0, 0.15], atol=1e-12
    )


def test_direction_matters_where_margins_move():
    """p(b | a) is the data's, and a alone is another: from a to b nothing is amplified, back it is."""
    data = np.array([[0.3, 0.2], [0.1, 0.4]])
    moved = conditional(data) * np.array([[0.8], [0.2]])
    assert directional(moved, data) == pytest.approx(0.0)
    back = conditional(moved.T) - conditional(data.T)
    signs = np.array([[1, -1], [-1, 1]])
    found = directional(moved.T, data.T)
    assert found == pytest.approx(np.mean(signs * back))
    assert found < -0.05


def test_raking_keeps_odds_ratios_and_takes_the_margin():
    data = np.array([[0.3, 0.2], [0.1, 0.4]])
    found = raked(data, np.array([0.7, 0.3]))
    np.testing.assert_allclose(found.sum(0), [0.7, 0.3])
    np.testing.assert_allclose(found.sum(1), data.sum(1))
    assert found[0, 0] * found[1, 1] / (found[0, 1] * found[1, 0]) == pytest.approx(6.0)
    # nobody of a group is shown
    none = raked(data, np.array([1.0, 0.0]))
    np.testing.assert_allclose(none, [[0.5, 0.0], [0.5, 0.0]], atol=1e-9)


def test_a_moved_margin_alone_is_zhaos_amplification_and_no_tie():
    data = np.outer(np.full(4, 0.25), [0.4, 0.3, 0.2, 0.1])
    moved = np.outer(np.full(4, 0.25), [0.6, 0.2, 0.1, 0.1])
    assert amplification(moved, data) == pytest.approx(0.1)
    assert directional(moved, data) == pytest.approx(0.0)
    # of data that are independent but for chance the directional one needs the same margins
    rng = np.random.default_rng(0)
    counts = rng.multinomial(4000, data.ravel()).reshape(4, 4)
    chance = conditional(counts) / 4
    alike = raked(chance, moved.sum(0))
    assert abs(directional(moved, alike)) < 0.02


def test_spread_is_1_of_all_alike_and_0_of_one_alone():
    joint = np.array([[0.25, 0.25], [0.5, 0.0]])
    np.testing.assert_allclose(spread(joint), [1.0, 0.0], atol=1e-9)


def test_the_slope_over_a_scale_is_least_squares():
    scale = np.array([1, 1 / 3, -1 / 3, -1])
    shares = 0.5 + 0.4 * scale
    assert slope(shares, scale) == pytest.approx(0.4)
    noisy = shares + np.array([0.1, 0.0, 0.05, 0.0])
    assert slope(noisy, scale) == pytest.approx(np.polyfit(scale, noisy, 1)[0])
