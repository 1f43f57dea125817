"""Exact laws of chains against the sum over all sequences and all hidden paths."""

import itertools

import numpy as np
import pytest

from genjax.data.chains import (
    Chain,
    HiddenChain,
    conditional,
    draw,
    entropy_rate,
    log_likelihood,
)
from genjax.data.source import check
from genjax.errors import UserError

SMALL = {"chain": Chain(3, 4), "hidden": HiddenChain(2, 3, 4)}
each = pytest.mark.parametrize("cfg", SMALL.values(), ids=SMALL)
EVERY = np.array(list(itertools.product(range(3), repeat=4)), np.int32)  # [81, 4]


def joint(law):
    """p of every sequence, by the sum over every path."""
    total = np.zeros(len(EVERY))
    for path in itertools.product(range(len(law.start)), repeat=4):
        p = law.start[path[0]] * np.prod(law.move[path[:-1], path[1:]])
        total += p * np.prod(law.emit[path, EVERY], axis=1)
    return total


@each
def test_likelihood_is_the_sum_over_paths(cfg):
    law = cfg.law()
    p = joint(law)
    assert p.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(np.exp(log_likelihood(law, EVERY)), p)
    # places that are not known are summed out
    known = np.array([True, False, True, False])
    table = p.reshape(3, 3, 3, 3).sum((1, 3))
    found = np.exp(log_likelihood(law, EVERY, np.tile(known, (81, 1))))
    np.testing.assert_allclose(found, table[EVERY[:, 0], EVERY[:, 2]])


@each
def test_conditionals_are_those_of_the_joint_law(cfg):
    law = cfg.law()
    table = joint(law).reshape(3, 3, 3, 3)
    for known in itertools.product([False, True], repeat=4):
        said = conditional(law, EVERY, np.tile(known, (81, 1)))
        for t in range(4):
            hidden = tuple(i for i in range(4) if i != t and not known[i])
            left = table.sum(hidden, keepdims=True)  # of what is known, and place t
            left = np.moveaxis(np.broadcast_to(left, table.shape), t, -1)
            rest = np.delete(EVERY, t, 1)
            rows = left[tuple(rest.T)]  # [81, 3]
            np.testing.assert_allclose(said[:, t], rows / rows.sum(-1, keepdims=True))


def test_entropy_is_the_mean_of_the_likelihood():
    cfg = SMALL["chain"]
    law = cfg.law()
    p = joint(law)
    assert cfg.bits() == pytest.approx(-(p * np.log2(p)).sum() / 4)
    longer = Chain(3, 400).bits()
    assert entropy_rate(law) == pytest.approx(longer, abs=0.01)
    np.testing.assert_allclose(law.start @ law.move, law.start)


def test_draws_follow_the_law():
    from scipy import stats

    law = SMALL["hidden"].law()
    x = draw(law, np.random.default_rng(0), 20_000, 4)
    counts = np.bincount(x @ 3 ** np.arange(3, -1, -1), minlength=81)
    assert stats.chisquare(counts, 20_000 * joint(law)).pvalue > 1e-3


def test_sets_are_what_they_say():
    for cfg in (Chain(train=50, valid=10, test=20), HiddenChain(train=50, test=20)):
        source = cfg.load()
        check(source)
        assert source.test["tokens"].shape == (20, 32)
        again = cfg.load()
        np.testing.assert_array_equal(source.train["tokens"], again.train["tokens"])
    assert len(source.fields["tokens"].text(source.test["tokens"])[0]) == 32


@pytest.mark.parametrize(
    "wrong, told",
    [
        (Chain(vocabulary=1), "data.vocabulary=1 must be at least 2"),
        (Chain(spread=0.0), "data.spread=0.0 must be above 0"),
        (HiddenChain(length=0), "data.length=0 must be at least 1"),
    ],
)
def test_bad_input(wrong, told):
    with pytest.raises(UserError, match=told):
        wrong.load()
