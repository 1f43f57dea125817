"""The measurements of the game, on pairs whose optimal discriminator and duality gap are known."""

import dataclasses
import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core import labelled
from genjax.data.toy import Gaussians, draw
from genjax.errors import UserError
from genjax.fields import Points
from genjax.gan import density, game
from genjax.gan.games import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    Wasserstein,
)
from genjax.gan.gan import GAN, algorithm
from genjax.gan.penalties import R1
from genjax.optim import Adam, CosineDecay


class Shift(nn.Module):
    """G(z) = z + m with m = 2 sin(u): a normal whose mean is free within [-2, 2]."""

    @nn.compact
    def __call__(self, z, label, out):
        return z + 2.0 * jnp.sin(self.param("u", nn.initializers.zeros, out))


class Line(nn.Module):
    """D(x) = f(a x + b)."""

    f: Any = staticmethod(lambda d: d)

    @nn.compact
    def __call__(self, x, label, out):
        a = self.param("a", nn.initializers.zeros, x.shape[1:])
        return self.f(x @ a + self.param("b", nn.initializers.zeros, ()))[:, None]


class Counting(Line):
    """Remembers how often it was asked to."""

    @nn.compact
    def __call__(self, x, label, out):
        seen = self.variable("memory", "seen", lambda: jnp.zeros(()))
        if self.is_mutable_collection("memory") and not self.is_initializing():
            seen.value += 1.0
        return Line(name="line")(x, label, out)


def pair(rule, mean, a, b=0.0, disc=None, **more):
    """A config and a state: data of any density, G = N(mean, I), D(x) = a x + b."""
    spec, a = labelled(Points((len(mean),))), np.asarray(a, np.float32)
    cfg = GAN(
        latent=len(mean),
        gen=Shift(),
        disc=disc or Line(),
        game=rule,
        **{"penalties": (), **more},
    )
    state = algorithm(cfg, spec).init(jax.random.key(0), points(np.zeros((2, len(mean)))))
    gen, disc = (
        {"u": jnp.arcsin(jnp.asarray(mean) / 2.0)},
        {"a": jnp.asarray(a), "b": jnp.asarray(b)},
    )
    return cfg, spec, state.replace(params={"gen": gen, "disc": disc})


def points(x):
    return {"image": np.asarray(x, np.float32)}


def normal(seed, n, *mean):
    return np.random.default_rng(seed).standard_normal((n, len(mean))) + np.array(mean)


KEY = jax.random.key(7)
ONE = Gaussians(np.array([[1.0, 0.0]]), np.ones(1), np.ones(1), np.zeros(1, np.int32))
HELD = draw(ONE, np.random.default_rng(1), 8000)[0]
TRUE = {
    "mean": (-1.0, 0.0),
    "a": (2.0, 0.0),
}  # log N(x; (1, 0), I) - log N(x; (-1, 0), I) = 2 x_0


def far(rule, b=0.0, mean=TRUE["mean"], a=TRUE["a"], **more):
    cfg, spec, state = pair(rule, mean, a, b, **more)
    return game.optimal_distance(KEY, state, cfg, spec, ONE, HELD, compile=jax.jit)


def normal_density(x, mean=0.0, var=1.0):
    return np.exp(-0.5 * np.sum((x - mean) ** 2, -1) / var) / (2.0 * math.pi * var)


def relative_error(bandwidth, n, q):
    return np.sqrt(11.0 / (24.0 * math.pi * bandwidth**2 * n * q))


def test_kernel_density_of_one_point_and_of_a_normal():
    at = np.array([[0.0, 0.0], [0.2, 0.0], [0.0, -0.4], [0.3, 0.3]])
    middle = np.full(2, -0.425)  # so that the point lies in the middle of a cell
    one, error = density.kernel_density(np.zeros((2, 2)), at, 0.2, middle, -middle)
    np.testing.assert_allclose(
        one, 2.0 * normal_density(at, var=0.04) - normal_density(at, var=0.08), atol=0.02
    )
    assert error == pytest.approx(
        (11.0 / 24.0 - 2.0 * 3.0 / 4.0) / (math.pi * 0.04), rel=1e-2
    )  # each sees the other
    n, at = 100_000, normal(1, 4000, 0.0, 0.0)
    q = normal_density(at)
    at, q = at[q > 0.02], q[q > 0.02]
    low, high = np.full(2, -0.5), np.full(2, 3.0)
    inside = np.all((at > low) & (at < high), -1)
    found, _ = density.kernel_density(normal(0, n, 0.0, 0.0), at[inside], 0.2, low, high)
    error = found / q[inside] - 1.0
    assert abs(error.mean()) < 0.005
    assert (
        0.85
        < np.sqrt(np.mean(error**2) / np.mean(relative_error(0.2, n, q[inside]) ** 2))
        < 1.15
    )


def test_the_bandwidth_is_that_of_least_squared_error():
    for scale in (0.3, 1.0):
        ladder, box = [0.02, 0.05, 0.12, 0.3, 0.8, 2.0], (np.full(2, -3.0), np.full(2, 3.0))
        drawn = scale * normal(0, 40_000, 0.0, 0.0)
        grid = np.stack(np.meshgrid(*[np.linspace(-3.0, 3.0, 121)] * 2), -1).reshape(-1, 2)
        exact = normal_density(grid, var=scale**2)
        found = [density.kernel_density(drawn, grid, b, *box) for b in ladder]
        errors = np.array([np.mean((q - exact) ** 2) * 36.0 for q, _ in found])
        # the estimates of the errors lack the integral of the density's square, 1 / (4 pi scale²)
        lacking, estimates = 1.0 / (4.0 * math.pi * scale**2), np.array([e for _, e in found])
        np.testing.assert_allclose(estimates[:4] + lacking, errors[:4], atol=0.02 * lacking)
        q, chosen = density.fitted_density(drawn, grid, ladder, *box)
        assert chosen == ladder[int(np.argmin(errors))]
        np.testing.assert_array_equal(q, found[int(np.argmin(errors))][0])


def test_the_true_discriminator_is_at_distance_zero_and_one_moved_by_c_at_c():
    true, moved = far(Minimax()), far(Minimax(), b=1.0)
    assert true.mean < 0.03  # q's relative error is 0.1 at the floor and less everywhere else
    assert abs(moved.mean - 1.0) < 0.01 and true.shift == moved.shift == 0.0
    x = np.concatenate([HELD, normal(2, 8000, -1.0, 0.0)])
    least = np.minimum(
        normal_density(x, np.array([1.0, 0.0])), normal_density(x, np.array([-1.0, 0.0]))
    )
    kept = relative_error(true.bandwidth, 200_000, least) < 0.1
    assert abs(true.kept - kept.mean()) < 0.01
    assert abs(far(NonSaturating(), a=(3.0, 0.0)).mean - np.abs(x[kept, 0]).mean()) < 0.03


def test_distance_in_the_units_of_the_game():
    assert far(LeastSquares(), disc=Line(jax.nn.sigmoid)).mean < 0.005
    assert far(LeastSquares()).mean > 0.5
    assert far(Hinge(), disc=Line(jnp.sign)).mean < 0.01


def test_a_free_constant_is_taken_out_and_a_free_slope_has_no_distance():
    true, flat = far(Relativistic(), b=3.0), far(Relativistic(), b=3.0, a=(0.0, 0.0))
    assert true.mean < 0.03 and abs(true.shift - 3.0) < 0.01 and flat.mean > 1.0
    assert far(Wasserstein()) is None


def test_distance_zero_where_the_densities_agree():
    assert far(Minimax(), mean=(1.0, 0.0), a=(0.0, 0.0)).mean < 0.02


def test_densities_that_do_not_meet_and_data_off_the_plane():
    cfg, spec, state = pair(Minimax(), (-2.0, 2.0), (0.0, 0.0))
    tight = ONE._replace(scales=np.full(1, 0.05))
    apart = game.optimal_distance(
        KEY, state, cfg, spec, tight, HELD[:50] * 0.05, samples=1000, compile=jax.jit
    )
    assert math.isnan(apart.mean) and apart.kept == 0.0
    with pytest.raises(UserError, match="of the plane"):
        game.optimal_distance(KEY, state, cfg, labelled(Points((3,))), ONE, HELD)


def expectation(f, mean):
    """E f(x), x ~ N(mean, 1), by numerical integration."""
    x = np.linspace(mean - 9.0, mean + 9.0, 20_001)
    return (
        np.sum(f(x) * np.exp(-0.5 * (x - mean) ** 2)) / math.sqrt(2.0 * math.pi) * (x[1] - x[0])
    )


def softplus(x):
    return np.logaddexp(0.0, x)


def gap(cfg, spec, state, train, test, steps=150, **more):
    options = {
        "optimiser": Adam(0.1, decay=CosineDecay()),
        "batch": 1000,
        "compile": jax.jit,
    } | more
    return game.duality_gap(KEY, state, cfg, spec, train, test, steps, **options)


def test_duality_gap_of_one_dimensional_normals():
    cfg, spec, state = pair(Minimax(), (-1.0,), (0.5,), 0.2)
    train, test = points(normal(3, 20_000, 1.0)), points(normal(4, 20_000, 1.0))
    found = gap(cfg, spec, state, train, test)

    def value(a, b, mean):
        real, fake = (
            expectation(lambda x: softplus(-a * x - b), 1.0),
            expectation(lambda x: softplus(a * x + b), mean),
        )
        return -(real + fake)

    assert abs(found.value - value(0.5, 0.2, -1.0)) < 0.015
    assert (
        abs(found.disc - value(2.0, 0.0, -1.0)) < 0.02
    )  # the log ratio of the densities is 2 x
    assert abs(found.gen - value(0.5, 0.2, 2.0)) < 0.02  # the mean that D likes best
    assert (
        abs(found.gap - (value(2.0, 0.0, -1.0) - value(0.5, 0.2, 2.0))) < 0.03
        and found.gap > 0.8
    )
    assert found.error < 0.015 and found.gap == pytest.approx(found.disc - found.gen, abs=1e-5)


@pytest.mark.parametrize("rule", [Minimax(), Relativistic()], ids=repr)
def test_no_gap_at_an_equilibrium(rule):
    cfg, spec, state = pair(rule, (1.0,), (0.0,), 0.0 if rule == Minimax() else 0.7)
    found = gap(
        cfg, spec, state, points(normal(3, 20_000, 1.0)), points(normal(4, 20_000, 1.0))
    )
    assert abs(found.gap) < 0.005 and found.gap > -4.0 * found.error - 1e-3
    assert found.value == pytest.approx(
        -math.log(2.0) * (2.0 if rule == Minimax() else 1.0), abs=1e-4
    )


def test_duality_gap_of_a_clipped_line():
    # V = a (m_p - m_q): D' has a_i = c sign(m_p - m_q)_i, G' has m_i = 2 sign(a_i)
    c, a, p, q = 0.1, np.array([0.05, -0.02]), np.array([1.0, 1.5]), np.array([-1.0, 0.5])
    cfg, spec, state = pair(Wasserstein(), tuple(q), a, weight_clip=c)
    found = gap(cfg, spec, state, points(normal(3, 5000, *p)), points(normal(4, 5000, *p)))
    exact = c * np.abs(p - q).sum(), a @ p - 2.0 * np.abs(a).sum()
    assert abs(found.disc - exact[0]) < 0.01 and abs(found.gen - exact[1]) < 0.005
    assert abs(found.gap - (exact[0] - exact[1])) < 5.0 * found.error and found.error < 0.004


def test_the_responses_are_those_of_the_zero_sum_game_with_penalties_once():
    batch = {**points(normal(5, 64, 1.0)), "index": np.arange(64, dtype=np.uint32)}
    # large eps and no memory: a step of Adam about as long as the gradient
    tx, after, disc = Adam(1e-3, b1=0.0, b2=0.0, eps=1.0)(1), {}, {}
    for rule in (Minimax(), NonSaturating()):
        cfg, spec, state = pair(rule, (-1.0,), (0.5,))
        gen = game.Player(state.params["gen"], tx.init(state.params["gen"]), {})
        descent = jax.jit(functools.partial(game.best_gen, cfg=cfg, spec=spec, tx=tx))
        after[rule] = descent(KEY, gen, state.params["disc"], {}, batch).params["u"]
    assert (
        float(after[Minimax()][0])
        == float(after[NonSaturating()][0])
        > float(state.params["gen"]["u"][0])
    )
    lazy, (none, strong) = (
        8,
        (pair(Minimax(), (-1.0,), (0.5,), penalties=p) for p in ((), (R1(50.0),))),
    )
    for name, cfg in {
        "none": none[0],
        "once": strong[0],
        "lazy": dataclasses.replace(strong[0], every=lazy),
    }.items():
        mine = game.Player(state.params["disc"], tx.init(state.params["disc"]), {})
        descent = jax.jit(functools.partial(game.best_disc, cfg=cfg, spec=spec, tx=tx))
        disc[name] = float(descent(KEY, mine, state.params["gen"], {}, batch).params["a"][0])
    assert disc["lazy"] == disc["once"] < disc["none"]


def test_the_net_keeps_its_memory_and_its_clip():
    cfg, spec, _ = pair(Wasserstein(), (-1.0,), (0.05,))
    cfg = dataclasses.replace(cfg, disc=Counting(), weight_clip=0.1)
    batch = {**points(normal(5, 8, 1.0)), "index": np.arange(8, dtype=np.uint32)}
    state, tx = algorithm(cfg, spec).init(KEY, batch), Adam(1.0)(1)
    mine = game.Player(state.params["disc"], tx.init(state.params["disc"]), state.extra["disc"])
    descent = jax.jit(functools.partial(game.best_disc, cfg=cfg, spec=spec, tx=tx))
    mine = descent(KEY, mine, state.params["gen"], {}, batch)
    assert float(mine.memory["memory"]["seen"]) == 1.0
    assert abs(float(mine.params["line"]["a"][0])) == pytest.approx(0.1)


def test_outputs_of_a_line():
    cfg, spec, state = pair(Minimax(), (-1.0,), (2.0,), 0.5)
    train, test = points(normal(6, 10, 3.0)), points(normal(7, 7, -3.0))
    found = game.outputs(KEY, state, cfg, spec, train, test, batch=4, compile=jax.jit)
    np.testing.assert_allclose(found.train, 2.0 * train["image"][:, 0] + 0.5, rtol=1e-5)
    np.testing.assert_allclose(found.held, 2.0 * test["image"][:, 0] + 0.5, rtol=1e-5)
    assert found.samples.shape == (7,) and found.overfitting == 1.0
    np.testing.assert_allclose(
        found.odds[0], np.mean(1.0 / (1.0 + np.exp(-found.train))), rtol=1e-5
    )
    assert found.odds[0] > 0.9 and found.odds[1] < 0.1
    whole = game.outputs(KEY, state, cfg, spec, test, test, batch=100, compile=jax.jit)
    np.testing.assert_allclose(
        whole.samples, found.samples, rtol=1e-6
    )  # sample i is a function of (key, i)
    assert whole.overfitting == pytest.approx(0.5)
    assert [
        game.log_odds(g())
        for g in (Minimax, NonSaturating, LeastSquares, Hinge, Wasserstein, Relativistic)
    ] == [True, True, False, False, False, False]


def test_the_share_of_pairs_counts_ties_half():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 40), rng.integers(1, 5, 30)
    brute = np.mean((a[:, None] > b) + 0.5 * (a[:, None] == b))
    assert game.higher(a, b) == pytest.approx(brute)


def test_a_picture_of_the_game_over_training():
    rng = np.random.default_rng(0)
    real, fake = (
        [m + rng.standard_normal(500) for m in means]
        for means in ((3.0, 1.0, 0.0), (-3.0, -1.0, 0.0))
    )
    real[0][0] = np.nan
    drawn = {
        g: game.picture([0, 1000, 20_000], real, fake, g())
        for g in (Minimax, LeastSquares, Wasserstein)
    }
    assert (
        drawn[Minimax].dtype == np.uint8
        and drawn[Minimax].ndim == 3
        and drawn[Minimax].shape[2] == 3
    )
    assert (drawn[Minimax] < 128).any() and (drawn[Minimax] != drawn[Wasserstein]).any()
    assert (drawn[Minimax] != drawn[LeastSquares]).any()  # their equilibria: 0 and 1/2
    assert (drawn[Minimax] != game.picture([0, 1000, 20_000], fake, real, Minimax())).any()
