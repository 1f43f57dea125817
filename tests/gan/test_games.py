"""Games and penalties against what is known of them: optimal discriminators, slopes of known functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.gan.games import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    Wasserstein,
)
from genjax.gan.penalties import R1, R2, Gradient, slope2


@pytest.mark.parametrize(
    "game",
    [Minimax(), NonSaturating(), LeastSquares(), Hinge()],
    ids=lambda g: type(g).__name__,
)
def test_the_optimal_discriminator_minimises_the_loss_point_by_point(game):
    d = jnp.linspace(-6.0, 6.0, 24_001)
    for p, q in ((0.5, 0.5), (0.9, 0.1), (0.2, 0.7), (0.05, 0.9)):
        # the loss is a sum of a part of r and a part of f: at a point it is p disc_r(d) + q disc_f(d)
        loss = p * game.disc(d, jnp.zeros_like(d)) + q * game.disc(jnp.zeros_like(d), d)
        best = float(game.optimal(jnp.log(p / q)))
        if game == Hinge() and p == q:
            assert float(loss[d.searchsorted(best)]) == pytest.approx(
                float(loss.min()), abs=1e-6
            )  # flat between the margins
        else:
            assert float(d[loss.argmin()]) == pytest.approx(
                best, abs=0.01
            )  # float32 is flat near a minimum


@pytest.mark.parametrize(
    "game",
    [Minimax(), NonSaturating(), LeastSquares(), Hinge()],
    ids=lambda g: type(g).__name__,
)
def test_at_its_balance_a_discriminator_is_undecided(game):
    b = game.balance
    assert float(game.optimal(0.0)) == b  # where p = q
    # of a constant D the balance is the best, and data and samples cost it the same
    d = jnp.linspace(b - 2.0, b + 2.0, 401)
    assert float(game.disc(d, d).min()) == pytest.approx(float(game.disc(b, b)), abs=1e-6)
    above, below = b + 0.3, b - 0.3
    np.testing.assert_allclose(game.disc(above, b), game.disc(b, below), rtol=1e-5)


def test_wasserstein_and_the_relativistic_game_see_differences_only():
    r, f = jnp.array([0.3, -2.0]), jnp.array([1.1, 0.4])
    for game in (Wasserstein(), Relativistic()):
        np.testing.assert_allclose(game.disc(r + 5.0, f + 5.0), game.disc(r, f), rtol=1e-5)
        assert game.balance is None
    assert Wasserstein().optimal(r) is None  # no function of the densities' ratio
    np.testing.assert_allclose(Relativistic().disc(r, f), -jax.nn.log_sigmoid(r - f), rtol=1e-6)
    np.testing.assert_allclose(Relativistic().gen(r, f), Relativistic().disc(f, r), rtol=1e-6)


@pytest.mark.parametrize(
    "game", [Minimax(), NonSaturating(), LeastSquares(), Hinge(), Wasserstein(), Relativistic()]
)
def test_each_player_gains_by_moving_its_own_way(game):
    r, f = jnp.zeros(1), jnp.zeros(1)
    disc = jax.grad(lambda r, f: game.disc(r, f).sum(), (0, 1))(r + 0.2, f + 0.1)
    gen = jax.grad(lambda f: game.gen(r, f).sum())(f + 0.1)
    assert disc[0] < 0 < disc[1] and gen < 0  # D lifts data and lowers samples, G lifts samples


def test_minimax_is_zero_sum_and_saturates_where_the_other_does_not():
    f = jnp.array([-8.0])
    minimax, other = (
        jax.grad(lambda f, g=g: g.gen(f, f).sum())(f) for g in (Minimax(), NonSaturating())
    )
    assert abs(float(minimax[0])) < 1e-3 and abs(float(other[0])) > 0.999
    value = jax.grad(
        lambda f: (
            Minimax().disc(f, f).sum() + Minimax().gen(f, f).sum() - jax.nn.softplus(-f).sum()
        )
    )(f)
    np.testing.assert_allclose(value, 0.0, atol=1e-7)


def test_slopes_of_known_functions():
    rng = np.random.default_rng(0)
    real, fake = (jnp.asarray(rng.normal(size=(5, 2, 3)), jnp.float32) for _ in range(2))
    keys, a = (
        jax.random.split(jax.random.key(0), 5),
        jnp.asarray(rng.normal(size=(2, 3)), jnp.float32),
    )

    def linear(x):
        return jnp.sum(a * x, (1, 2)) + 3.0

    def square(x):
        return 0.5 * jnp.sum(x * x, (1, 2))

    norm2 = float(jnp.sum(a * a))
    np.testing.assert_allclose(slope2(linear, real), norm2, rtol=1e-5)
    np.testing.assert_allclose(R1(3.0)(linear, real, fake, keys), 1.5 * norm2, rtol=1e-5)
    np.testing.assert_allclose(
        R1(2.0)(square, real, fake, keys), jnp.sum(real**2, (1, 2)), rtol=1e-5
    )
    np.testing.assert_allclose(
        R2(2.0)(square, real, fake, keys), jnp.sum(fake**2, (1, 2)), rtol=1e-5
    )
    np.testing.assert_allclose(
        Gradient(7.0)(linear, real, fake, keys), 7.0 * (norm2**0.5 - 1.0) ** 2, rtol=1e-4
    )
    same = Gradient(1.0)(square, real, real, keys)  # the line is a point: |grad| = |x|
    np.testing.assert_allclose(same, (jnp.sqrt(jnp.sum(real**2, (1, 2))) - 1.0) ** 2, rtol=1e-4)


def test_the_gradient_penalty_looks_between_data_and_samples():
    real, fake = jnp.full((4000, 1), 2.0), jnp.zeros((4000, 1))
    keys = jax.random.split(jax.random.key(0), 4000)
    found = Gradient(1.0)(
        lambda x: 0.5 * (x[:, 0] + 1.0) ** 2, real, fake, keys
    )  # |grad| - 1 = x, uniform on [0, 2]
    assert (
        float(found.mean()) == pytest.approx(4.0 / 3.0, rel=0.05)
        and 3.9 < float(found.max()) <= 4.0
    )
    flat = jax.grad(
        lambda a: Gradient(1.0)(lambda x: a * 0.0 * x[:, 0], real, fake, keys).sum()
    )(1.0)
    assert np.isfinite(flat)  # no infinite derivative of the root at slope zero
