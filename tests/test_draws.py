"""Draws of tokens: the law that is asked for, to a tail of 1e-8."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.draws import PLAIN, Sharpness, draw
from genjax.errors import UserError

P = np.array([0.5, 0.2, 0.15, 0.1, 0.05])
LOGITS = jnp.log(jnp.asarray(P))


def drawn(n, logits, sharpness=PLAIN):
    keys = jax.random.split(jax.random.key(0), n)
    many = jnp.broadcast_to(logits, (n, *logits.shape))
    return np.asarray(jax.jit(lambda k, x: draw(k, x, sharpness))(keys, many))


def test_tokens_follow_their_law():
    counts = np.bincount(drawn(20_000, LOGITS), minlength=5)
    assert stats.chisquare(counts, 20_000 * P).pvalue > 1e-3


def test_a_tail_of_one_in_a_hundred_million_is_drawn():
    """A key whose noise takes one of 65,535 tokens of probability 1e-8; found by trying 2,656 keys.

    Those keys were expected to take 1.7 rare tokens, and took one. Coarse noise reaches 15.9 at most, and a token of
    1e-8 lies 18.4 below the other: with it no key does.
    """
    logits = jnp.full(2**16, np.log(1e-8)).at[0].set(0.0)
    key = jax.random.key(1801)
    assert draw(key[None], logits[None])[0] == 5300
    assert jax.random.categorical(key, logits) == 0  # JAX's own default


def test_sharpness_by_hand():
    half = Sharpness(temperature=0.5)(LOGITS)
    np.testing.assert_allclose(jax.nn.softmax(half), P**2 / (P**2).sum(), rtol=1e-5)
    two = jax.nn.softmax(Sharpness(top_k=2)(LOGITS))
    np.testing.assert_allclose(two, np.array([5, 2, 0, 0, 0]) / 7, rtol=1e-5)
    # .5 + .2 < .8, so the third is inside
    nucleus = jax.nn.softmax(Sharpness(top_p=0.8)(LOGITS))
    np.testing.assert_allclose(nucleus, np.array([0.5, 0.2, 0.15, 0, 0]) / 0.85, rtol=1e-5)
    assert (drawn(50, LOGITS, Sharpness(temperature=0.0)) == 0).all()
    # of equal tokens as many are left as were asked for
    even = Sharpness(top_k=2)(jnp.zeros(4))
    assert np.isfinite(even).sum() == 2
    tiny = Sharpness(top_p=1e-6)(LOGITS)
    assert np.isfinite(tiny).sum() == 1
    assert PLAIN.plain and not Sharpness(top_k=2).plain


@pytest.mark.parametrize(
    "wrong, told",
    [
        (Sharpness(temperature=-1.0), "temperature=-1.0 must be at least 0"),
        (Sharpness(top_k=9), "top_k=9: there are 5 tokens"),
        (Sharpness(top_p=0.0), "top_p=0.0 must be above 0"),
        (Sharpness(top_p=1.5), "top_p=1.5 must be at most 1"),
    ],
)
def test_bad_sharpness(wrong, told):
    with pytest.raises(UserError, match=told):
        wrong.check(5)
