"""The bound against data whose likelihood is known, the schedule's gradients against brute force, and bad input."""

import dataclasses
import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.conditions import Label
from genjax.config import edit
from genjax.core import labelled
from genjax.data.batches import batch_at
from genjax.diffusion import vdm
from genjax.diffusion.vdm import VDM, LinearGamma, MonotoneGamma
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.nets import TimeMLP
from genjax.optim import Adam

LN2 = math.log(2)
M, S = 0.7, 0.6  # mean and standard deviation of the points
POINTS = labelled(Points((2,)), 0, 100)


def noise_level(time, low, high):
    """gamma from the net's clock, and alpha and sigma, [B, 1]."""
    gamma = (0.5 * (time * (high - low) + low + high))[:, None]
    return gamma, jnp.sqrt(jax.nn.sigmoid(-gamma)), jnp.sqrt(jax.nn.sigmoid(gamma))


class Optimal(nn.Module):
    """eps_hat = E[eps | z] of data N(M, S²), plus an `error` of every component."""

    low: float
    high: float

    @nn.compact
    def __call__(self, z, time, label, out):
        _, alpha, sigma = noise_level(time, self.low, self.high)
        error = self.param("error", nn.initializers.zeros, ())
        return sigma * (z - alpha * M) / (alpha**2 * S**2 + sigma**2) - sigma * z + error


class Known(nn.Module):
    """For x = 0, where eps = z / sigma: a predictor whose squared error is mmse(gamma), whatever the noise."""

    low: float
    high: float

    @nn.compact
    def __call__(self, z, time, label, out):
        gamma, _, sigma = noise_level(time, self.low, self.high)
        self.param("unused", nn.initializers.zeros, ())
        return z / sigma - jnp.sqrt(mmse(gamma)) - sigma * z


class Coin(nn.Module):
    """eps_hat = E[eps | z] of pixels that are black or white, each with probability one half."""

    low: float
    high: float

    @nn.compact
    def __call__(self, z, time, label, out):
        _, alpha, sigma = (v[:, None, None] for v in noise_level(time, self.low, self.high))
        self.param("unused", nn.initializers.zeros, ())
        return (z - alpha * jnp.tanh(alpha * z / sigma**2)) / sigma - sigma * z


class Plain(nn.Module):
    """A small smooth net of everything, which is not zero at the start."""

    @nn.compact
    def __call__(self, z, time, label, out):
        parts = [z.reshape(len(z), -1), time[:, None]] + (
            [] if label is None else [label.vector]
        )
        return nn.Dense(math.prod(out))(
            nn.tanh(nn.Dense(16)(jnp.concatenate(parts, -1)))
        ).reshape(-1, *out)


def mmse(gamma):
    """E |eps - E[eps | z]|² of a dimension of data N(M, S²)."""
    return S**2 / (S**2 + jnp.exp(gamma))


def closed_form(low, high):
    """The three terms of the optimal model's bound on N(M, S²), continuous time, in bits per dimension."""
    alpha2 = 1.0 / (1.0 + math.exp(high))
    prior = 0.5 * (1.0 - alpha2 + alpha2 * (M**2 + S**2) - 1.0 - math.log(1.0 - alpha2))
    diffusion = 0.5 * (
        (high - low) - math.log((S**2 + math.exp(high)) / (S**2 + math.exp(low)))
    )
    reconstruction = 0.5 * (math.log(2.0 * math.pi * math.e) + low)
    return {
        "prior": prior / LN2,
        "reconstruction": reconstruction / LN2,
        "diffusion": diffusion / LN2,
    }


ENTROPY = (
    0.5 * math.log(2.0 * math.pi * math.e * S**2) / LN2
)  # the true -log p(x), bits per dimension


def ready(cfg, spec, batch):
    """Initial parameters."""
    return cfg(spec).init(jax.random.key(0), batch).params


def points(n, seed=0):
    x = M + S * np.random.default_rng(seed).standard_normal((n, 2))
    index = np.arange(n, dtype=np.uint32)
    return {
        "image": x.astype(np.float32),
        "label": np.zeros(n, np.int32),
        "index": index,
        "position": index,
    }


def exact(net, low, high, schedule=LinearGamma, **more):
    return VDM(net=net(low, high), schedule=schedule(low, high), fourier=False, **more)


def random_schedule(cfg, seed=0):
    """Parameters of a schedule that is far from a line."""
    leaves, tree = jax.tree.flatten(vdm.init_schedule(cfg))
    rng = np.random.default_rng(seed)
    params = jax.tree.unflatten(
        tree, [leaf + rng.standard_normal(leaf.shape).astype(np.float32) for leaf in leaves]
    )
    return params | {"out": params["out"] * 4.0, "line": jnp.asarray(-3.0)}


def evenly(n):
    return (jnp.arange(n) + 0.5) / n


def bound_of(cfg, batch, draws=4, spec=POINTS, error=0.0):
    params = ready(cfg, spec, batch)
    params["net"] = jax.tree.map(lambda value: value + error, params["net"])
    fn = jax.jit(functools.partial(vdm.bound, draws=draws, cfg=cfg, spec=spec))
    return {
        name: np.asarray(value, np.float64)
        for name, value in fn(params, jax.random.key(1), batch).items()
    }


@pytest.mark.parametrize("low, high", [(-4.0, 3.0), (-13.3, 8.0)])
def test_the_optimal_model_of_gaussian_data_has_the_bound_of_theory(low, high):
    batch, truth = points(20_000), closed_form(low, high)
    parts = bound_of(exact(Optimal, low, high), batch)
    for name, value in truth.items():
        error = parts[name].std() / math.sqrt(len(parts[name]))
        assert abs(parts[name].mean() - value) < 4.0 * error + 1e-5, name
    np.testing.assert_allclose(
        parts["bits_per_dim"], sum(parts[name] for name in truth), rtol=1e-5, atol=1e-5
    )


def test_the_bound_lies_above_the_truth_and_meets_it_as_the_ends_move_out():
    gaps = [sum(closed_form(-r, r).values()) - ENTROPY for r in (2.0, 4.0, 8.0, 16.0)]
    assert (
        all(a > 3.0 * b > 0 for a, b in zip(gaps, gaps[1:], strict=False)) and gaps[-1] < 1e-6
    )
    parts = bound_of(exact(Optimal, -12.0, 12.0), points(20_000))
    likelihood = (
        0.5 * np.log2(2.0 * np.pi * S**2) + 0.5 * ((points(20_000)["image"] - M) / S) ** 2 / LN2
    )
    difference = parts["bits_per_dim"] - likelihood.mean(
        1
    )  # pairs: the spread of the data falls out
    assert abs(difference.mean()) < 4.0 * difference.std() / math.sqrt(len(difference))


def test_a_wrong_predictor_pays_for_its_error_exactly():
    low, high, batch = -6.0, 4.0, points(20_000)
    right, wrong = (
        bound_of(exact(Optimal, low, high), batch, error=error) for error in (0.0, 0.5)
    )
    extra = (
        wrong["diffusion"] - right["diffusion"]
    )  # error² / 2 for every unit of gamma, plus noise of mean zero
    assert abs(
        extra.mean() - 0.5 * 0.5**2 * (high - low) / LN2
    ) < 4.0 * extra.std() / math.sqrt(len(extra))
    assert wrong["bits_per_dim"].mean() > right["bits_per_dim"].mean() + 1.0


def test_a_fair_coin_for_every_pixel_costs_one_bit():
    image = 255 * np.random.default_rng(0).integers(0, 2, (4000, 4, 4, 1), dtype=np.uint8)
    batch = {
        "image": image,
        "label": np.zeros(4000, np.int32),
        "index": np.arange(4000, dtype=np.uint32),
    }
    parts = bound_of(exact(Coin, -13.3, 6.0), batch, 8, labelled(Image((4, 4, 1))))
    error = parts["bits_per_dim"].std() / math.sqrt(4000)
    assert error < 0.012 and -3.0 * error < parts["bits_per_dim"].mean() - 1.0 < 3.0 * error


def test_a_model_that_sees_nothing_pays_eight_bits_for_any_image(digits):
    cfg = VDM(net=Plain(), schedule=LinearGamma(20.0, 20.001), fourier=False)
    parts = bound_of(cfg, batch_at(digits, 0, 0, 32), 1, labelled(Image((8, 8, 1))))
    np.testing.assert_allclose(parts["reconstruction"], 8.0, atol=1e-3)
    np.testing.assert_allclose(parts["bits_per_dim"], 8.0, atol=5e-3)


def flat(cfg, schedule, t, n=None):
    """The diffusion loss at times t of x = 0 under `Known`, [B]."""
    x, eps = jnp.zeros((len(t), 2)), jax.random.normal(jax.random.key(0), (len(t), 2))
    params = {"net": {"unused": jnp.zeros(())}, "schedule": schedule}
    return vdm.diffusion(params, t, x, eps, None, cfg, POINTS)


def test_more_steps_lower_the_bound_towards_continuous_time():
    low, high = -6.0, 5.0
    limit = closed_form(low, high)["diffusion"]
    losses = []
    for steps in (1, 4, 32, 1000):
        cfg = exact(Known, low, high, bound_steps=steps)
        t = 1.0 - evenly(steps)  # one time within each step, last step first
        losses.append(float(flat(cfg, vdm.init_schedule(cfg.schedule), t).mean()))
        grid = np.linspace(low, high, steps + 1)
        sums = (
            0.5 * np.sum(np.expm1(np.diff(grid)) * np.asarray(mmse(grid[1:]), np.float64)) / LN2
        )
        np.testing.assert_allclose(losses[-1], sums, rtol=2e-4)
    assert all(a > b for a, b in zip(losses, losses[1:], strict=False))
    assert limit < losses[-1] < 1.01 * limit


def test_every_time_of_a_step_is_that_step_and_the_edges_are_inside():
    cfg = exact(Known, -6.0, 5.0, bound_steps=4)
    loss = np.asarray(
        flat(
            cfg,
            vdm.init_schedule(cfg.schedule),
            jnp.array([1e-6, 0.24, 0.26, 0.99, 1.0 - 1e-7, 1.0]),
        )
    )
    np.testing.assert_allclose(loss[[0, 3, 3]], loss[[1, 4, 5]], rtol=1e-3)
    assert abs(loss[1] / loss[2] - 1.0) > 0.1


def test_continuous_loss_does_not_depend_on_the_interior_of_the_schedule():
    low, high = -6.0, 5.0
    shape = MonotoneGamma(low, high, hidden=16)
    curved = random_schedule(shape) | {
        k: v for k, v in vdm.init_schedule(shape).items() if k in ("low", "span")
    }
    cases = {
        "linear": (LinearGamma(low, high), vdm.init_schedule(LinearGamma(low, high))),
        "curved": (shape, curved),
    }
    per_time = {}
    for name, (schedule, params) in cases.items():
        cfg = dataclasses.replace(exact(Known, low, high), schedule=schedule)
        per_time[name] = np.asarray(flat(cfg, params, evenly(4096)))
        np.testing.assert_allclose(
            per_time[name].mean(), closed_form(low, high)["diffusion"], rtol=1e-4
        )
    assert np.abs(per_time["linear"] - per_time["curved"]).max() > 1.0


@pytest.mark.parametrize("seed", range(3))
def test_the_monotone_net_rises_and_has_its_ends(seed):
    cfg = MonotoneGamma(-7.0, 4.0, hidden=32)
    for params in (vdm.init_schedule(cfg), random_schedule(cfg, seed)):
        t = jnp.linspace(0.0, 1.0, 501)
        gamma = np.asarray(vdm.gamma(params, t, cfg))
        low, span = (float(v) for v in vdm.ends(params, cfg))
        assert (np.diff(gamma) > 0).all()
        np.testing.assert_allclose(gamma[[0, -1]], [low, low + span], rtol=1e-5)
    line = np.asarray(vdm.gamma(vdm.init_schedule(cfg), t, cfg))
    np.testing.assert_allclose(line[[0, -1]], [-7.0, 4.0], rtol=1e-5)
    assert np.abs(line - np.linspace(-7.0, 4.0, 501)).max() < 1.0  # it starts near a line
    assert (
        np.abs(gamma - np.linspace(low, low + span, 501)).max() > 0.3
    )  # and the random one is none


def test_ends_that_are_not_learned_are_no_parameters():
    for cfg in (LinearGamma(learn_ends=False), MonotoneGamma(learn_ends=False, hidden=4)):
        params = vdm.init_schedule(cfg)
        assert not {"low", "span"} & set(params)
        np.testing.assert_allclose(
            vdm.gamma(params, jnp.array([0.0, 1.0]), cfg), [-13.3, 5.0], rtol=1e-5
        )


def plain(params, t, x, eps, cfg):
    """Sec. 5 written down again, without any care for gradients."""
    gamma, rate = jax.jvp(
        lambda t: vdm.gamma(params["schedule"], t, cfg.schedule), (t,), (jnp.ones_like(t),)
    )
    z = (
        jnp.sqrt(jax.nn.sigmoid(-gamma))[:, None] * x
        + jnp.sqrt(jax.nn.sigmoid(gamma))[:, None] * eps
    )
    square = jnp.square(eps - vdm.predict(params["net"], z, gamma, None, cfg, POINTS)).mean(1)
    return 0.5 * rate * square / LN2


def test_interior_descends_the_square_of_the_loss_and_all_else_the_loss():
    cfg = VDM(net=Plain(), schedule=MonotoneGamma(-5.0, 4.0, hidden=8), fourier=False)
    batch = points(256)
    params = {
        "net": ready(cfg, POINTS, batch)["net"],
        "schedule": random_schedule(cfg.schedule),
    }
    x, eps = batch["image"], jax.random.normal(jax.random.key(5), (256, 2))
    t = evenly(256)
    got = jax.jit(jax.grad(lambda p: vdm.diffusion(p, t, x, eps, None, cfg, POINTS).mean()))(
        params
    )
    mean = jax.jit(jax.grad(lambda p: plain(p, t, x, eps, cfg).mean()))(params)
    square = jax.jit(jax.grad(lambda p: jnp.square(plain(p, t, x, eps, cfg)).mean()))(params)
    for name in ("line", "slope", "bias", "out"):
        expected = square["schedule"][name]
        np.testing.assert_allclose(
            got["schedule"][name], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
        )
        far = np.abs(np.asarray(expected - mean["schedule"][name])).max()
        assert (
            far > 0.1 * np.abs(np.asarray(expected)).max()
        )  # the two gradients are not the same
    for name in ("low", "span"):
        np.testing.assert_allclose(got["schedule"][name], mean["schedule"][name], rtol=1e-4)
    for a, b in zip(jax.tree.leaves(got["net"]), jax.tree.leaves(mean["net"]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_descending_the_interior_lowers_the_variance_and_not_the_mean():
    low, high = -6.0, 5.0
    cfg = dataclasses.replace(
        exact(Known, low, high), schedule=MonotoneGamma(low, high, learn_ends=False, hidden=16)
    )
    t = evenly(512)
    params = vdm.init_schedule(cfg.schedule)
    descent = jax.jit(jax.grad(lambda p: flat(cfg, p, t).mean()))
    before = np.asarray(flat(cfg, params, t))
    for _ in range(200):
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, descent(params))
    after = np.asarray(flat(cfg, params, t))
    assert after.var() < 0.5 * before.var()
    np.testing.assert_allclose(after.mean(), before.mean(), rtol=2e-3)


def test_the_ends_know_what_the_bound_gains_from_them():
    low, high = (
        -3.0,
        2.0,
    )  # d / d gamma_1 of the diffusion loss is mmse(gamma_1) / 2, by gamma_0 minus mmse(gamma_0) / 2
    cfg = exact(Known, low, high)
    grad = jax.grad(lambda p: flat(cfg, p, evenly(4096)).mean())(
        vdm.init_schedule(cfg.schedule)
    )
    first, last = float(mmse(low)) / 2 / LN2, float(mmse(high)) / 2 / LN2
    np.testing.assert_allclose(grad["low"], last - first, rtol=1e-3)
    np.testing.assert_allclose(grad["span"], last * -math.expm1(-5.0), rtol=1e-3)  # d softplus


def naive(gamma_0, x, eps):
    """-log p(x | z_0) [B] by a softmax over all grey levels."""
    z = jnp.sqrt(jax.nn.sigmoid(-gamma_0)) * x + jnp.sqrt(jax.nn.sigmoid(gamma_0)) * eps
    values = jnp.arange(256) / 127.5 - 1.0
    logits = (
        -0.5
        * jnp.exp(-gamma_0)
        * (z[..., None] / jnp.sqrt(jax.nn.sigmoid(-gamma_0)) - values) ** 2
    )
    level = jnp.round((x + 1.0) * 127.5).astype(int)
    return (
        -jnp.take_along_axis(jax.nn.log_softmax(logits), level[..., None], -1).mean(
            (1, 2, 3, 4)
        )
        / LN2
    )


@pytest.mark.parametrize("gamma_0", [-13.3, -10.0, -6.0, 0.0, 4.0])
def test_reconstruction_is_the_softmax_over_grey_levels_in_value_and_gradient(gamma_0):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(0, 256, (6, 4, 4, 1)) / 127.5 - 1.0, jnp.float32)
    eps = jnp.asarray(rng.standard_normal(x.shape), jnp.float32)
    weights = jnp.asarray(rng.standard_normal(6), jnp.float32)
    with jax.enable_x64(True):  # the reference needs it: z / alpha - v cancels
        x64, eps64 = (
            jnp.asarray(np.asarray(v), jnp.float64) for v in (jnp.round((x + 1) * 127.5), eps)
        )
        reference = functools.partial(naive, x=x64 / 127.5 - 1.0, eps=eps64)
        expected = np.asarray(reference(jnp.float64(gamma_0)))
        slope = float(jax.grad(lambda g: jnp.sum(weights * reference(g)))(jnp.float64(gamma_0)))
    gamma_0 = jnp.float32(gamma_0)
    np.testing.assert_allclose(
        vdm.reconstruction(gamma_0, x, eps), expected, rtol=1e-4, atol=1e-5
    )
    grad = jax.grad(lambda g: jnp.sum(weights * vdm.reconstruction(g, x, eps)))(gamma_0)
    np.testing.assert_allclose(grad, slope, rtol=2e-3, atol=1e-5)


def test_prior_is_the_divergence_of_two_gaussians():
    from scipy.stats import norm

    x = jnp.array([[0.3, -1.0], [2.0, 0.0]])
    got = vdm.prior(jnp.float32(0.4), x)
    for row, value in zip(np.asarray(x), got, strict=True):
        alpha, sigma = (float(jnp.sqrt(jax.nn.sigmoid(g))) for g in (-0.4, 0.4))
        grid = np.linspace(-12.0, 12.0, 20_001)
        q = [norm(alpha * v, sigma) for v in row]
        kl = [np.trapezoid(d.pdf(grid) * (d.logpdf(grid) - norm.logpdf(grid)), grid) for d in q]
        np.testing.assert_allclose(value, np.mean(kl) / LN2, rtol=1e-5)
    assert float(vdm.prior(jnp.float32(30.0), x).max()) < 1e-6


def test_float_images_are_rounded_to_grey_levels_and_points_are_not():
    spec = labelled(Image((4, 4, 1)))
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)
    near = (image + np.random.default_rng(1).uniform(-0.4, 0.4, image.shape)) / 255
    rounded = vdm.observe({"image": jnp.asarray(near, jnp.float32)}, spec)
    np.testing.assert_allclose(rounded, vdm.observe({"image": image}, spec), atol=1e-6)
    np.testing.assert_allclose(rounded, image / 127.5 - 1.0, atol=1e-6)
    np.testing.assert_array_equal(vdm.observe(points(5), POINTS), points(5)["image"])


def test_fourier_features_show_the_net_where_between_two_grey_levels_z_is():
    seen = []

    class Spy(nn.Module):
        @nn.compact
        def __call__(self, z, time, label, out):
            seen.append(np.asarray(z))
            return jnp.zeros(z.shape[:-1] + out[-1:])

    levels = (jnp.arange(256) / 127.5 - 1.0).reshape(1, 16, 16, 1)
    cfg, spec = VDM(net=Spy()), labelled(Image((16, 16, 1)))
    for z in (levels, levels + 0.25 / 127.5):
        vdm.predict({}, z, jnp.full(1, -13.3), None, cfg, spec)
    on, off = (v.reshape(256, 5) for v in seen)
    np.testing.assert_allclose(on[:, 0], np.ravel(levels))
    np.testing.assert_allclose(
        np.abs(np.diff(on[:, 1:], axis=0)).max(0)[[1, 3]], 0.0, atol=2e-3
    )  # alike on all levels
    assert np.abs(np.diff(on[:, [1, 3]], axis=0)).max() > 1.5  # and neighbours are told apart
    assert np.abs(off[:, [2, 4]] - on[:, [2, 4]]).max(1).min() > 0.9


def test_the_denoiser_is_the_posterior_mean_and_samples_are_the_data():
    cfg = exact(Optimal, -9.0, 7.0, sampling_steps=100)
    batch = points(5000)
    params = ready(cfg, POINTS, batch)
    denoise = vdm.denoiser(params, None, cfg, POINTS)
    x = jnp.linspace(-3.0, 3.0, 10).reshape(5, 2)
    for sigma in (0.05, 1.0, 20.0):
        expected = M + S**2 / (S**2 + sigma**2) * (x - M)
        np.testing.assert_allclose(
            denoise(x, jnp.float32(sigma)), expected, rtol=1e-3, atol=1e-3
        )
    draws = np.asarray(
        jax.jit(functools.partial(vdm.sample, cfg=cfg, spec=POINTS))(
            params, jax.random.key(2), batch
        )
    )
    np.testing.assert_allclose(draws.mean(0), M, atol=4 * S / math.sqrt(5000))
    np.testing.assert_allclose(draws.std(0), S, rtol=0.05)
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.06


def test_sampling_starts_at_the_prior_and_takes_even_times():
    cfg = VDM(schedule=LinearGamma(-9.0, 1.0), sampling_steps=11)
    params = {"schedule": vdm.init_schedule(cfg.schedule)}
    x, sigmas, noise = vdm.start(
        params, jax.random.key(0), np.arange(5000, dtype=np.uint32), cfg, POINTS
    )
    np.testing.assert_allclose(
        2.0 * np.log(sigmas), np.linspace(1.0, -9.0, 11), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        np.std(x) * math.sqrt(1.0 / (1.0 + math.e)), 1.0, atol=0.03
    )  # z_1 = alpha_1 x
    assert np.abs(noise(0) - noise(1)).max() > 1 and np.abs(np.std(noise(3)) - 1.0) < 0.03


def test_images_are_sampled_in_their_range():
    cfg, spec = exact(Coin, -13.3, 6.0, sampling_steps=30), labelled(Image((4, 4, 1)))
    given = {"index": np.arange(200, dtype=np.uint32)}
    params = {"net": {"unused": jnp.zeros(())}, "schedule": vdm.init_schedule(cfg.schedule)}
    x = np.asarray(vdm.sample(params, jax.random.key(0), given, cfg, spec))
    assert x.shape == (200, 4, 4, 1) and 0.45 < x.mean() < 0.55
    assert (
        x.min() >= 0.0 and x.max() <= 1.0 and np.minimum(x, 1.0 - x).max() < 1e-2
    )  # black or white
    one = dataclasses.replace(cfg, sampling_steps=1)
    assert vdm.sample(params, jax.random.key(0), given, one, spec).shape == (200, 4, 4, 1)


def train(cfg, spec, arrays, steps, batch):
    """State, losses and the last metrics after some steps."""
    algorithm = cfg(spec._replace(steps=steps))
    state, step = (
        algorithm.init(jax.random.key(0), batch_at(arrays, 0, 0, 1)),
        jax.jit(algorithm.step),
    )
    losses = []
    for i in range(steps):
        state, metrics = step(
            jax.random.fold_in(jax.random.key(1), i), state, batch_at(arrays, 0, i, batch)
        )
        losses.append(float(metrics["loss"]))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    assert {"loss", "prior", "reconstruction", "diffusion", "grad_norm"} == set(metrics)
    return state, losses


@pytest.mark.parametrize("steps", [0, 50])
def test_training_approaches_the_likelihood_of_the_data(steps):
    arrays = {name: value for name, value in points(4000).items() if name in ("image", "label")}
    arrays["image"] = 0.2 * arrays["image"]  # far from N(0, I), with which the net starts
    truth = ENTROPY + math.log2(0.2)
    cfg = VDM(
        TimeMLP((32,)),
        MonotoneGamma(-10.0, 2.0, hidden=32),
        steps,
        fourier=False,
        optimiser=Adam(1e-2),
    )
    _, losses = train(cfg, POINTS, arrays, 100, 256)
    first, last = np.mean(losses[:5]), np.mean(losses[-20:])
    assert truth < last < truth + 0.5 * (first - truth)


def test_steps_on_images_lower_the_bound_and_train_every_parameter(digits):
    cfg = VDM(
        net=Plain(),
        schedule=MonotoneGamma(-8.0, 4.0, hidden=16),
        condition=(Label(),),
        optimiser=Adam(1e-2),
    )
    start = cfg(labelled(Image((8, 8, 1)), 10)).init(
        jax.random.key(0), batch_at(digits, 0, 0, 1)
    )
    state, losses = train(cfg, labelled(Image((8, 8, 1)), 10), digits, 20, 32)
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    moved = jax.tree.map(
        lambda a, b: np.abs(np.asarray(a - b)).max() > 0, start.params, state.params
    )
    assert all(jax.tree.leaves(moved))


@pytest.mark.all
def test_a_conditional_model_sees_the_label_and_another_does_not(digits):
    batch, spec = batch_at(digits, 0, 0, 16), labelled(Image((8, 8, 1)), 10)
    other = batch | {"label": (batch["label"] + 1) % 10}
    for conditional in (True, False):
        cfg = VDM(
            net=Plain(),
            schedule=LinearGamma(-8.0, 4.0),
            condition=(Label(),) * conditional,
            sampling_steps=2,
        )
        params = ready(cfg, spec, batch)
        a, b = (
            vdm.bound(params, jax.random.key(1), v, 1, cfg, spec)["diffusion"]
            for v in (batch, other)
        )
        c, d = (vdm.sample(params, jax.random.key(1), v, cfg, spec) for v in (batch, other))
        assert (
            np.array_equal(a, b) is not conditional and np.array_equal(c, d) is not conditional
        )


def test_times_of_evaluation_are_the_examples_own_and_evenly_spaced_draws_agree():
    cfg = exact(Optimal, -6.0, 4.0)
    batch = points(2000)
    one, many = (bound_of(cfg, batch, draws)["diffusion"] for draws in (1, 16))
    assert many.std() < 0.4 * one.std()  # 16 independent times would give 0.25 of it at best
    half = bound_of(cfg, {k: v[1000:] for k, v in batch.items()}, 1)["diffusion"]
    np.testing.assert_allclose(half, one[1000:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"condition": (Label(),)}, "needs labels"),
        ({"bound_steps": -1}, "--algorithm.bound_steps=-1 must be at least 0"),
        ({"sampling_steps": 0}, "--algorithm.sampling_steps=0 must be at least 1"),
        (
            {"schedule": LinearGamma(5.0, 5.0)},
            "--algorithm.schedule.gamma_min=5 must be below --algorithm.schedule.gamma_max",
        ),
        (
            {"schedule": MonotoneGamma(5.0, -13.3)},
            "gamma_min=5 must be below --algorithm.schedule.gamma_max=-13.3",
        ),
        ({"schedule.hidden": 0}, "hidden must be at least 1"),
        ({"schedule.slope": 0.0}, "slope above 0"),
    ],
)
def test_bad_input_is_one_clear_line(changes, match):
    with pytest.raises(UserError, match=match) as error:
        edit(VDM(), changes)(POINTS)
    assert "\n" not in str(error.value)
