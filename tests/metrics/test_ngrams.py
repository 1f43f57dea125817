"""n-grams against hand counts: Kneser-Ney sums to one, and chi-square is the textbook's."""

import numpy as np
import pytest
from scipy import stats

from genjax.metrics.ngrams import cells, chi_square, kneser_ney, numbers


def test_kneser_ney_by_hand():
    """The text a b a b, of three letters: its bigrams are begin-a 1, ab 2, ba 1."""
    model = kneser_ney(np.array([[0, 1, 0, 1]]), 3, 2)
    # bigrams: two were seen once, one twice: d = 2 / 4; a comes behind two (begin, b), b behind one (a): d = 1 / 3
    assert model.discounts == pytest.approx((1 / 3, 0.5))
    one_b = (1 - 1 / 3 + 1 / 3 * 2 / 3) / 3
    assert model.p((0,), 1) == pytest.approx((2 - 0.5 + 0.5 * 1 * one_b) / 2)
    one_c = 1 / 3 * 2 / 3 / 3
    assert model.p((0,), 2) == pytest.approx(0.5 * one_c / 2)
    # a context that was never seen has the shorter one's law
    assert model.p((2,), 1) == pytest.approx(one_b)
    expected = -np.log2(model.p((3,), 0)) - np.log2(model.p((0,), 2))
    assert model.bits(np.array([[0, 2]]))[0] == pytest.approx(expected)


def test_kneser_ney_sums_to_one():
    rng = np.random.default_rng(0)
    model = kneser_ney(rng.integers(0, 4, (20, 12)), 5, 3)
    for context in [(0, 1), (3, 3), (4, 4), (5, 5), (5, 2), (4, 0)]:
        total = sum(model.p(context, w) for w in range(5))
        assert total == pytest.approx(1.0)
        assert all(model.p(context, w) > 0 for w in range(5))


def test_kneser_ney_finds_the_entropy_of_a_chain():
    from genjax.data.chains import Chain

    cfg = Chain(4, 32, train=1000, test=200)
    source = cfg.load()
    cost = kneser_ney(source.train["tokens"], 4, 2).bits(source.test["tokens"]).mean() / 32
    assert cost == pytest.approx(cfg.bits(), rel=0.03)


def test_chi_square_is_that_of_scipy():
    rng = np.random.default_rng(0)
    p = np.array([0.1, 0.2, 0.3, 0.4])
    x = rng.choice(4, 500, p=p)
    pairs = np.stack(np.divmod(x, 2), -1)
    np.testing.assert_array_equal(numbers(pairs, 2), x)
    found = chi_square(pairs, p)
    counts = np.bincount(x, minlength=4)
    expected = stats.chisquare(counts, 500 * p)
    assert found.statistic == pytest.approx(expected.statistic) and found.freedom == 3
    assert found.p == pytest.approx(expected.pvalue)
    assert chi_square(pairs, p[::-1]).p < 1e-6
    assert cells(500, p) == found.freedom + 1 and cells(8, p) == 1
    with pytest.raises(ValueError, match="too few"):
        chi_square(pairs[:8], p)


def test_rare_cells_are_one():
    p = np.array([0.6, 0.36, 0.02, 0.02])
    x = np.array([0] * 60 + [1] * 36 + [2] * 4)
    found = chi_square(x[:, None], p)
    # four are expected of both together: they join the rarest of the others
    assert found == (0.0, 1, 1.0)
