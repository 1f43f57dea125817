"""The bound of masked diffusion against the exact any-order bound, by the sum over all sets of hidden places."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.conditions import Label
from genjax.core import labelled
from genjax.data.chains import Chain, conditional, log_likelihood
from genjax.diffusion.discrete import (
    CosineShare,
    EvenShare,
    MaskedDiffusion,
    Masking,
    UniformState,
    bound,
    evaluate,
    loss,
    sample,
)
from genjax.draws import TokenGuidance
from genjax.ema import Decay
from genjax.errors import UserError
from genjax.fields import Image, Tokens
from genjax.nets.transformer import Transformer
from genjax.optim import Adam

T, V = 3, 3
LAW = Chain(V, T).law()
EVERY = np.array(list(itertools.product(range(V), repeat=T)), np.int32)  # [27, 3]
SEEN = np.array(list(itertools.product(range(V + 1), repeat=T)), np.int32)  # with masks
# p(x_t | what is shown), [64, T, V]
EXACT = conditional(LAW, np.minimum(SEEN, V - 1), SEEN < V)
SPEC = labelled(Tokens(T, V), name="tokens")


class Table(nn.Module):
    """Logits of every sequence of tokens and masks: exact conditionals, or those of a power of them."""

    power: float = 1.0

    @nn.compact
    def __call__(self, z, cond, vocabulary, causal, time=None):
        number = z @ jnp.asarray((V + 1) ** np.arange(T - 1, -1, -1))
        return self.power * jnp.log(jnp.asarray(EXACT, jnp.float32))[number]


def any_order(power):
    """sum over sizes k of 1 / k times the mean over sets S of k places of sum in S of -log p, nats [27]."""
    p = EXACT**power
    p = p / p.sum(-1, keepdims=True)
    total = np.zeros(len(EVERY))
    for k in range(1, T + 1):
        sets = list(itertools.combinations(range(T), k))
        for hidden in sets:
            z = EVERY.copy()
            z[:, hidden] = V
            said = p[z @ (V + 1) ** np.arange(T - 1, -1, -1)]
            for i in hidden:
                cost = -np.log(said[np.arange(len(EVERY)), i, EVERY[:, i]])
                total += cost / k / len(sets)
    return total


def estimated(cfg, n=2000):
    """The bound of every sequence at n times and masks each, nats [27], with its standard error."""
    u = (np.arange(n) + 0.5) / n
    batch = {
        "tokens": np.repeat(EVERY, n, 0),
        "index": np.arange(n * len(EVERY), dtype=np.uint32),
    }
    times = np.tile(u, len(EVERY)).astype(np.float32)
    fn = jax.jit(lambda: bound({"net": {}}, jax.random.key(0), times, batch, cfg, SPEC))
    values = np.asarray(fn(), np.float64).reshape(len(EVERY), n)
    return values.mean(1), values.std(1) / np.sqrt(n)


def test_exact_conditionals_have_the_likelihood_itself_as_their_bound():
    np.testing.assert_allclose(any_order(1.0), -log_likelihood(LAW, EVERY))


@pytest.mark.parametrize("schedule", [EvenShare(), CosineShare()])
@pytest.mark.parametrize("power", [1.0, 0.5])
def test_the_bound_is_the_mean_over_all_orders(schedule, power):
    found, error = estimated(MaskedDiffusion(Table(power), schedule=schedule))
    far = (found - any_order(power)) / error
    # 27 of them: the largest of as many normal numbers is below 4
    assert np.abs(far).max() < 4.5
    if power != 1.0:  # another law costs more, on average
        p = np.exp(log_likelihood(LAW, EVERY))
        assert p @ any_order(power) > p @ any_order(1.0) + 0.02


def test_the_pseudo_likelihood_is_no_bound():
    p = np.exp(log_likelihood(LAW, EVERY))
    said = conditional(LAW, EVERY)
    own = np.take_along_axis(said, EVERY[..., None], -1)[..., 0]
    pseudo = -np.log(own).sum(1)
    # it is below the entropy, which no code can be
    assert p @ pseudo < -p @ np.log(p) - 0.1


class Prior(nn.Module):
    """The law of one token, whatever is seen: the exact answer of one place to what all others say."""

    @nn.compact
    def __call__(self, z, cond, vocabulary, causal, time=None):
        log_p = jnp.log(jnp.asarray(LAW.start, jnp.float32))
        return jnp.broadcast_to(log_p, (*z.shape, V))


@pytest.mark.parametrize("schedule", [EvenShare(), CosineShare()])
def test_uniform_noise_of_one_token_has_its_probability_as_bound(schedule):
    """With the exact jump rates the two laws of paths differ in their end alone: the bound is -log p(x)."""
    n = 20_000
    cfg = MaskedDiffusion(Prior(), UniformState(), schedule)
    spec = labelled(Tokens(1, V), name="tokens")
    u = np.tile((np.arange(n) + 0.5) / n, V).astype(np.float32)
    batch = {
        "tokens": np.repeat(np.arange(V, dtype=np.int32), n)[:, None],
        "index": np.arange(n * V, dtype=np.uint32),
    }
    fn = jax.jit(lambda: bound({"net": {}}, jax.random.key(0), u, batch, cfg, spec))
    values = np.asarray(fn(), np.float64).reshape(V, n)
    assert np.isfinite(values).all() and values.min() > -1e-5
    error = values.std(1) / np.sqrt(n)
    assert (np.abs(values.mean(1) + np.log(LAW.start)) < 4 * error).all()


def drawn(cfg, n=4000, known=None, spec=SPEC):
    given = {"index": np.arange(n, dtype=np.uint32)}
    fn = jax.jit(lambda: sample({"net": {}}, jax.random.key(1), given, cfg, spec, known))
    return np.asarray(fn())


# of 500 steps, two tokens shown at once are rare
@pytest.mark.parametrize("steps", [None, 500])
def test_samples_follow_the_law(steps):
    cfg = MaskedDiffusion(Table(), steps=steps)
    counts = np.bincount(drawn(cfg) @ [9, 3, 1], minlength=27)
    expected = 4000 * np.exp(log_likelihood(LAW, EVERY))
    likely = expected > 5
    observed = np.append(counts[likely], counts[~likely].sum())
    wanted = np.append(expected[likely], expected[~likely].sum())
    assert stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 1e-3


def test_samples_of_uniform_noise_follow_the_law():
    one = drawn(MaskedDiffusion(Prior(), UniformState(), steps=16), spec=_one())
    counts = np.bincount(one[:, 0], minlength=V)
    assert stats.chisquare(counts, 4000 * LAW.start).pvalue > 1e-3


def _one():
    return labelled(Tokens(1, V), name="tokens")


class Two(nn.Module):
    """Exact conditionals of the chain where a label is told, an even law for some places where it is hidden."""

    @nn.compact
    def __call__(self, z, cond, vocabulary, causal, time=None):
        own = Table()(z, cond, vocabulary, causal)
        shown = cond.vector.sum(-1)[:, None, None]  # 1, or 0 of nothing told
        return shown * own + (1.0 - shown) * jnp.asarray(WEAK)


WEAK = np.float32([[0.0, 1.0, -1.0]])  # logits of every token, whatever is seen
LABELLED = labelled(Tokens(T, V), 2, name="tokens")


def guided_law(scale):
    """The law of texts whose tokens are drawn by p_c^s p_0^(1 - s), the mean over all orders of the places, [27]."""
    p = EXACT**scale * np.exp(WEAK) ** (1.0 - scale)
    p = p / p.sum(-1, keepdims=True)  # [64, T, V]
    total = np.zeros(len(EVERY))
    orders = list(itertools.permutations(range(T)))
    for order in orders:
        own = np.ones(len(EVERY))
        z = np.full_like(EVERY, V)
        for place in order:
            said = p[z @ (V + 1) ** np.arange(T - 1, -1, -1), place]
            own *= said[np.arange(len(EVERY)), EVERY[:, place]]
            z[:, place] = EVERY[:, place]
        total += own / len(orders)
    return total


def labelled_draws(cfg, n=4000):
    given = {"index": np.arange(n, dtype=np.uint32), "label": np.arange(n) % 2}
    fn = jax.jit(lambda: sample({"net": {}}, jax.random.key(1), given, cfg, LABELLED))
    return np.asarray(fn())


@pytest.mark.parametrize("scale", [2.0, 0.0])
def test_guided_texts_follow_the_power_law_of_each_token(scale):
    cfg = MaskedDiffusion(Two(), condition=(Label(),), drop=0.1, guidance=TokenGuidance(scale))
    counts = np.bincount(labelled_draws(cfg) @ [9, 3, 1], minlength=27)
    expected = 4000 * guided_law(scale)
    assert expected.sum() == pytest.approx(4000)
    likely = expected > 5
    observed = np.append(counts[likely], counts[~likely].sum() + 1e-9)
    wanted = np.append(expected[likely], expected[~likely].sum() + 1e-9)
    assert stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 1e-3
    # another scale is another law: the test could fail
    assert np.abs(guided_law(scale) - guided_law(1.0)).sum() > 0.2


def test_a_scale_of_one_is_no_guidance():
    plain = MaskedDiffusion(Two(), condition=(Label(),))
    ones = MaskedDiffusion(Two(), condition=(Label(),), drop=0.1, guidance=TokenGuidance(1.0))
    np.testing.assert_array_equal(labelled_draws(plain, 64), labelled_draws(ones, 64))


def test_conditions_are_hidden_from_a_share_of_training():
    """The bound of a mixture: with all hidden that of the weak law, which is the same for every order."""
    n = 400
    batch = {
        "tokens": np.tile(EVERY[5], (n, 1)),
        "label": np.zeros(n, np.int32),
        "index": np.arange(n, dtype=np.uint32),
    }
    key = jax.random.key(3)
    found = {}
    for drop in (0.0, 0.5, 1.0):
        cfg = MaskedDiffusion(Two(), condition=(Label(),), drop=drop)
        found[drop] = np.asarray(loss({"net": {}}, key, batch, cfg, LABELLED)["text"])
    told = np.asarray(found[0.5] == found[0.0])
    hidden = found[0.5] == found[1.0]
    assert (told | hidden).all() and 0.4 < told.mean() < 0.75
    with pytest.raises(UserError, match="algorithm.drop=1.5 must be at most 1"):
        MaskedDiffusion(condition=(Label(),), drop=1.5)(LABELLED)
    guided = {"condition": (Label(),), "guidance": TokenGuidance(2.0)}
    with pytest.raises(UserError, match="trained without its condition too"):
        MaskedDiffusion(**guided)(LABELLED)
    with pytest.raises(UserError, match="this model has no condition to hide"):
        MaskedDiffusion(guidance=TokenGuidance(2.0))(LABELLED)
    with pytest.raises(ValueError, match="a finite scale"):
        TokenGuidance(float("nan"))


@pytest.mark.parametrize("steps", [None, 4])
def test_infilling_keeps_what_is_known_and_follows_the_conditional(steps):
    known = np.tile(np.array([0, -1, 2], np.int32), (4000, 1))
    x = drawn(MaskedDiffusion(Table(), steps=steps), known=known)
    assert (x[:, 0] == 0).all() and (x[:, 2] == 2).all()
    p = conditional(LAW, np.array([[0, 0, 2]]), np.array([[True, False, True]]))[0, 1]
    counts = np.bincount(x[:, 1], minlength=V)
    assert np.abs(counts / 4000 - p).max() < 4 * np.sqrt(0.25 / 4000)
    with pytest.raises(UserError, match="infilling needs a net that has learned from masks"):
        drawn(MaskedDiffusion(Prior(), UniformState()), known=known)


def test_evaluation_is_the_bound_in_bits():
    cfg = MaskedDiffusion(Table(0.5), times=64)
    batch = {"tokens": np.tile(EVERY, (20, 1)), "index": np.arange(540, dtype=np.uint32)}
    parts = jax.jit(lambda: evaluate({"net": {}}, jax.random.key(0), batch, cfg, SPEC))()
    expected = any_order(0.5).mean() / np.log(2.0)
    assert np.asarray(parts["text"]).mean() == pytest.approx(expected, rel=0.02)
    np.testing.assert_allclose(parts["loss"] * T, parts["text"], rtol=1e-5)


@pytest.mark.parametrize("noise", [Masking(), UniformState()])
def test_a_step_lowers_the_bound_of_a_text(noise):
    net = Transformer(16, 1, 2)
    cfg = MaskedDiffusion(net, noise, times=16, steps=4, optimiser=Adam(1e-2), ema=Decay(0.0))
    algorithm = cfg(SPEC)
    text = np.tile(np.array([0, 2, 1], np.int32), (16, 1))
    batch = {"tokens": text, "index": np.arange(16, dtype=np.uint32)}
    state = algorithm.init(jax.random.key(0), batch)
    step = jax.jit(algorithm.step)
    for i in range(60):
        state, metrics = step(jax.random.key(i), state, batch)
    # a text that is known costs nothing, one of three even tokens log2 3 a token
    parts = algorithm.evaluate(jax.random.key(0), state, batch)
    assert np.asarray(parts["loss"]).mean() < 0.5 and np.isfinite(metrics["grad_norm"])


@pytest.mark.parametrize(
    "cfg, spec, told",
    [
        (MaskedDiffusion(), labelled(Image((8, 8, 1))), "MaskedDiffusion takes Tokens"),
        (MaskedDiffusion(times=0), SPEC, "algorithm.times=0 must be at least 1"),
        (MaskedDiffusion(noise=UniformState()), SPEC, "algorithm.steps=None needs masks"),
        (MaskedDiffusion(steps=0), SPEC, "algorithm.steps=0 must be at least 1"),
        (MaskedDiffusion(condition=(Label(),)), SPEC, "needs labels"),
    ],
)
def test_bad_input(cfg, spec, told):
    with pytest.raises(UserError, match=told):
        cfg(spec)
