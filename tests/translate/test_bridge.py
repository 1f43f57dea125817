"""Bridges beside the exact answer: Gaussians, where E[b | x_t] is linear and known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core import Spec, labelled
from genjax.data.batches import batch_at
from genjax.ema import Decay
from genjax.errors import UserError
from genjax.fields import Image
from genjax.nets import TimeMLP
from genjax.optim import Adam
from genjax.translate import bridge
from genjax.translate.bridge import Bridge, Stochastic, Straight, walk
from genjax.translate.transport import Transport

N = 20_000
MEANS = jnp.array([1.0, -1.0, 0.0, 2.0])  # of a, of b
ROOT = jnp.array([[0.8, 0, 0, 0], [0.3, 0.6, 0, 0], [-0.5, 0.2, 0.7, 0], [0.4, 0.5, -0.2, 0.6]])
JOINT = ROOT @ ROOT.T
A, B = slice(0, 2), slice(2, 4)


def regression(x, mean_x, of_x, across):
    """(x - mean) Cov(x)^-1 Cov(x, b)."""
    return (x - mean_x) @ jnp.linalg.solve(of_x, across)


def unaware(sigma):
    """E[b | x_t] for a net that sees x_t alone."""

    def guess(x, t):
        mean = (1 - t) * MEANS[A] + t * MEANS[B]
        both = t * (1 - t) * (JOINT[A, B] + JOINT[B, A] + sigma**2 * jnp.eye(2))
        of_x = (1 - t) ** 2 * JOINT[A, A] + t**2 * JOINT[B, B] + both
        across = (1 - t) * JOINT[A, B] + t * JOINT[B, B]
        return MEANS[B] + regression(x, mean, of_x, across)

    return guess


def conditional(a):
    """Mean and covariance of b given a."""
    mean = MEANS[B] + regression(a, MEANS[A], JOINT[A, A], JOINT[A, B])
    explained = JOINT[B, A] @ jnp.linalg.solve(JOINT[A, A], JOINT[A, B])
    return mean, JOINT[B, B] - explained


def aware(sigma, a):
    """E[b | x_t, a]."""
    mean_b, of_b = conditional(a)

    def guess(x, t):
        mean = (1 - t) * a + t * mean_b
        of_x = t**2 * of_b + (t * (1 - t) * sigma**2 + 1e-9) * jnp.eye(2)
        return mean_b + regression(x, mean, of_x, t * of_b)

    return guess


def noise(i):
    return jax.random.normal(jax.random.fold_in(jax.random.key(2), i), (N, 2))


def compare(x, mean, covariance, atol):
    np.testing.assert_allclose(x.mean(0), mean, atol=atol)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=atol)


@pytest.mark.parametrize(("sampler", "sigma"), [(Straight(), 0.0), (Stochastic(), 0.7)])
def test_the_law_at_the_end_is_that_of_the_target(sampler, sigma):
    a = MEANS[A] + jax.random.normal(jax.random.key(1), (N, 2)) @ ROOT[A, A].T
    x = walk(sampler, unaware(sigma), a, sigma, 300, noise)
    compare(x, MEANS[B], JOINT[B, B], 0.05)


def test_told_the_start_it_draws_from_the_conditional():
    a = jnp.tile(jnp.array([2.0, 0.0]), (N, 1))
    x = walk(Stochastic(), aware(0.7, a), a, 0.7, 100, noise)
    mean, covariance = conditional(a[0])
    compare(x, mean, covariance, 0.05)
    # without noise on the way there is one answer, the mean
    still = walk(Straight(), aware(0.7, a), a, 0.7, 100, noise)
    np.testing.assert_allclose(still, jnp.tile(mean, (N, 1)), atol=1e-4)


def test_the_law_between_is_that_of_a_brownian_bridge():
    a, b = jnp.full((N, 2), -1.0), jnp.full((N, 2), 3.0)
    x = bridge.between(a, b, jnp.full(N, 0.25), noise(0), 0.8)
    compare(x, [0.0, 0.0], 0.64 * 0.1875 * np.eye(2), 0.01)
    # of which a walk to an end that is known passes through the same law: a quarter of the steps
    steps = 8
    for i in range(2):
        times = (jnp.float32(i / steps), jnp.float32((i + 1) / steps))
        a = Stochastic()(a, b, times, 0.8, noise(i))
    compare(a, [0.0, 0.0], 0.64 * 0.1875 * np.eye(2), 0.01)


@pytest.mark.parametrize("steps", [1, 3, 10, 49])  # of some 1 - then is below 0 in floats
def test_the_last_step_ends_at_the_guess(steps):
    b = jnp.ones((N, 2))
    x = walk(Stochastic(), lambda x, t: b, jnp.zeros((N, 2)), 0.5, steps, noise)
    np.testing.assert_allclose(x, b, atol=1e-3)


def test_the_unit_of_the_error_is_what_is_left_to_go():
    cfg = Bridge(sigma=0.6, span=0.7)
    t = jnp.full(N, 0.4)
    a = jnp.zeros((N, 2))
    b = 0.7 * noise(1)
    x = bridge.between(a, b, t, noise(2), cfg.sigma)
    left = np.sqrt(np.mean(np.square(b - x)))
    assert left == pytest.approx(float(bridge.size_left(t, cfg)[0]), rel=0.02)


IMAGE = Image((4, 4, 1))
PAIRED = Spec((("image", IMAGE), ("input", IMAGE)), 60)
APART = labelled(IMAGE, 0, 60, domains=("a", "b"))
SMALL = {"net": TimeMLP((64,), waves=0), "ema": Decay(0.0), "optimiser": Adam(1e-2)}


def pictures(n=64):
    rng = np.random.default_rng(0)
    given = rng.integers(0, 256, (n, 4, 4, 1), dtype=np.uint8)
    return {"input": given, "image": 255 - given, "label": np.zeros(n, np.int32)}


def trained(cfg, spec, batch, steps=60):
    algorithm = cfg(spec)
    state = jax.jit(algorithm.init)(jax.random.key(0), batch)
    step = jax.jit(algorithm.step)
    losses = []
    for i in range(steps):
        key = jax.random.fold_in(jax.random.key(1), i)
        state, metrics = step(key, state, batch)
        losses.append(float(metrics["loss"]))
    return algorithm, state, losses


@pytest.fixture(scope="module")
def flow():
    batch = batch_at(pictures(), 0, 0, 64)
    return *trained(Bridge(sigma=0.0, sampler=Straight(), **SMALL), PAIRED, batch), batch


def test_training_brings_what_it_makes_nearer_to_the_truth(flow):
    algorithm, state, losses, batch = flow
    assert losses[-1] < 0.5 * losses[0]
    given = {name: batch[name] for name in ("index", *algorithm.asks)}
    made = jax.jit(algorithm.sample)(jax.random.key(2), state, given)
    truth = batch["image"] / 255.0
    before = np.mean((batch["input"] / 255.0 - truth) ** 2)
    assert np.mean((made - truth) ** 2) < 0.5 * before
    assert algorithm.picture(made, given).shape[2] == 1
    # the answer to an input is a function of it and of its number
    part = {name: values[5:9] for name, values in given.items()}
    again = jax.jit(algorithm.sample)(jax.random.key(2), state, part)
    np.testing.assert_allclose(again, made[5:9], atol=1e-5)


def test_two_domains_are_coupled_within_the_step():
    found = pictures(32)
    rows = {name: {"image": found[of]} for name, of in (("a", "input"), ("b", "image"))}
    batch = batch_at(rows, 0, 0, 32)
    cfg = Bridge("a", coupling=Transport(16), told=False, **SMALL)
    algorithm, state, losses = trained(cfg, APART, batch, 20)
    assert losses[-1] < losses[0]
    given = {name: batch[name] for name in ("index", *algorithm.asks)}
    made = jax.jit(algorithm.sample)(jax.random.key(0), state, given)
    assert made.shape == (32, 4, 4, 1) and algorithm.asks == ("a", "b")
    # pairs that are hidden choose no state; those that are seen may
    assert algorithm.criterion is None and Bridge(**SMALL)(PAIRED).criterion is not None
    values = jax.jit(algorithm.evaluate)(jax.random.key(0), state, batch)
    assert values["loss"].shape == (32,)


WIDE = Spec((("image", IMAGE), ("input", Image((4, 4, 3)))), 1)
LARGE = Spec((("image", IMAGE), ("input", Image((8, 8, 1)))), 1)


@pytest.mark.parametrize(
    ("cfg", "spec", "words"),
    [
        (Bridge("inptu"), PAIRED, "Did you mean input"),
        (Bridge(), WIDE, "give both as many channels"),
        (Bridge(), LARGE, "input is 8x8 and image 4x4"),
        (Bridge("c"), APART, "one domain to the other"),
        (Bridge(coupling=Transport()), PAIRED, "these data are pairs"),
        (Bridge(sigma=-1.0), PAIRED, "sigma=-1"),
        (Bridge(steps=0), PAIRED, "steps=0"),
    ],
)
def test_what_cannot_be_bridged_is_told_in_a_line(cfg, spec, words):
    with pytest.raises(UserError, match=words) as error:
        cfg(spec)
    assert "\n" not in str(error.value)
