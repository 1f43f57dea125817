"""One-step generators against a Gaussian, whose flow map, average velocity and consistency function are known exactly.

Data N(m, s²) on z_t = (1 - t) x + t eps: z_t ~ N(mu_t, std_t²) with mu_t = (1 - t) m, std_t² = (1 - t)² s² + t², and
the flow keeps (z_t - mu_t) / std_t. At noise level sigma, x + sigma eps, it keeps (x - m) / sqrt(s² + sigma²).
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from experiments import onestep as experiment
from genjax.conditions import Label, told
from genjax.config import edit
from genjax.core import example_normal, guarded, labelled
from genjax.data.toy import Ring, draw
from genjax.diffusion import consistency as ct
from genjax.diffusion import onestep as mf
from genjax.diffusion.consistency import SNR, Consistency, Gap
from genjax.diffusion.onestep import MeanFlow
from genjax.diffusion.times import Uniform
from genjax.ema import Decay
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.nets import TimeMLP
from genjax.optim import Adam
from genjax.training.loop import run

velocity_loss = jax.jit(mf.loss, static_argnums=(3, 4))
evaluate = jax.jit(mf.evaluate, static_argnums=(3, 4))
residual = jax.jit(mf.residual, static_argnums=7)
clocks = jax.jit(mf.clocks, static_argnums=2)
consistency = jax.jit(ct.consistency, static_argnums=4)
difference = jax.jit(ct.difference, static_argnums=6)

M, S = np.array([0.7, -1.3]), np.array([0.6, 1.4])
SPEC, N = labelled(Points((2,)), 0, 800), 4000


def std_of(t):
    return jnp.sqrt((1 - t) ** 2 * S**2 + t**2)


def velocity(z, t):
    """The marginal velocity of the flow, by differentiating mu_t and std_t; t [B, 1]."""
    return -M + (t - (1 - t) * S**2) / std_of(t) ** 2 * (z - (1 - t) * M)


class ExactVelocity(nn.Module):
    """(z_t - z_r) / (t - r) of the flow map in a form without 0 / 0; parameters shift and gain, 0 and 1 when exact."""

    per_example: bool = (
        False  # every example has parameters of its own, so that one gradient holds them all
    )

    @nn.compact
    def __call__(self, z, time, label, out):
        shape = z.shape if self.per_example else out
        shift, gain = (
            self.param("shift", nn.initializers.zeros, shape),
            self.param("gain", nn.initializers.ones, shape),
        )
        t, r = time[:, :1], time[:, :1] - time[:, 1:]
        rise = ((t + r) - (2 - t - r) * S**2) / (
            std_of(t) + std_of(r)
        )  # (std_t - std_r) / (t - r)
        return shift + gain * (-M + rise * (z - (1 - t) * M) / std_of(t))


class ExactConsistency(nn.Module):
    """The net for which the preconditioned f(x, sigma) is m + s (x - m) / sqrt(s² + sigma²), or the denoiser."""

    std: float
    denoiser: bool = False

    @nn.compact
    def __call__(self, x, time, label, out):
        shift, sigma = (
            self.param("shift", nn.initializers.zeros, out),
            jnp.exp(4 * time)[:, None],
        )
        total = sigma**2 + self.std**2
        x = x * jnp.sqrt(total)
        ratio = S**2 / (S**2 + sigma**2)
        f = M + (ratio if self.denoiser else jnp.sqrt(ratio)) * (x - M)
        return shift + (f - self.std**2 / total * x) / (sigma * self.std / jnp.sqrt(total))


def parameters(cfg, clocks=2):
    return {
        "net": cfg.net.init(
            jax.random.key(0), jnp.ones((1, 2)), jnp.ones((1, clocks)), None, (2,)
        )["params"]
    }


def batch_of(n, seed=0):
    x = M + S * np.random.default_rng(seed).standard_normal((n, 2))
    return {"image": jnp.asarray(x, jnp.float32), "index": jnp.arange(n, dtype=jnp.uint32)}


def times_of(n):
    a, b = jnp.sort(jax.random.uniform(jax.random.key(5), (2, n), minval=0.01, maxval=0.99), 0)
    return a, b


EXACT = MeanFlow(net=ExactVelocity(), p=0.0, share=0.5)


def test_the_exact_average_velocity_meets_the_identity_and_is_the_flow_map():
    r, t = times_of(100)
    z = jnp.asarray(np.random.default_rng(1).standard_normal((100, 2)), jnp.float32)
    v = velocity(z, t[:, None])
    u, du = jax.jit(mf.derivative, static_argnums=6)(parameters(EXACT), z, r, t, v, None, EXACT)
    np.testing.assert_allclose(u + (t - r)[:, None] * du, v, atol=1e-4)
    ends = (1 - r[:, None]) * M + std_of(r[:, None]) / std_of(t[:, None]) * (
        z - (1 - t[:, None]) * M
    )
    np.testing.assert_allclose(z - (t - r)[:, None] * u, ends, atol=1e-5)
    step = 1e-2  # the derivative itself, against differences along the same line
    ahead, behind = (
        mf.average_velocity(parameters(EXACT), z + h * v, r, t + h, None, EXACT)
        for h in (step, -step)
    )
    np.testing.assert_allclose(du, (ahead - behind) / (2 * step), atol=0.02, rtol=0.02)
    assert np.abs(du).max() > 0.5  # no identity of zeros


def test_the_expected_gradient_is_zero_at_the_exact_average_velocity_and_only_there():
    cfg, n = dataclasses.replace(EXACT, net=ExactVelocity(per_example=True)), 50_000
    batch = batch_of(n)

    def total(net):
        return jnp.sum(mf.loss({"net": net}, jax.random.key(3), batch, cfg, SPEC)["loss"])

    gradient = jax.jit(jax.grad(total))

    def scores(shift, gain):
        """|mean| / standard error of the gradients of all examples, {parameter: [2]}."""
        grads = gradient({"shift": jnp.full((n, 2), shift), "gain": jnp.full((n, 2), gain)})
        return {name: np.abs(g.mean(0)) / (g.std(0) / np.sqrt(n)) for name, g in grads.items()}

    assert max(score.max() for score in scores(0.0, 1.0).values()) < 4
    assert (
        scores(0.1, 1.0)["shift"].min() > 8 and scores(0.0, 1.1)["gain"].min() > 8
    )  # it could fail


def test_no_gradient_flows_through_the_target():
    batch, params = batch_of(50), {"net": {"shift": jnp.full(2, 0.3), "gain": jnp.full(2, 1.2)}}
    r, t = times_of(50)
    eps = example_normal(jax.random.key(9), batch["index"], (2,))

    def mean_square(params):
        return jnp.mean(
            jnp.square(residual(params, batch["image"], eps, r, t, None, None, EXACT)).sum(-1)
        )

    z = (1 - t[:, None]) * batch["image"] + t[:, None] * eps
    delta = residual(params, batch["image"], eps, r, t, None, None, EXACT)
    u = mf.average_velocity(parameters(EXACT), z, r, t, None, EXACT)  # du/dgain
    grad = jax.jit(jax.grad(mean_square))(params)["net"]
    np.testing.assert_allclose(grad["shift"], 2 * delta.mean(0), rtol=1e-4)
    np.testing.assert_allclose(grad["gain"], 2 * (delta * u).mean(0), rtol=1e-4, atol=1e-5)
    v = eps - batch["image"]
    _, du = mf.derivative(params, z, r, t, v, None, EXACT)
    np.testing.assert_allclose(
        delta, 0.3 + 1.2 * u - (v - (t - r)[:, None] * du), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("steps", [1, 4])
def test_samples_of_the_exact_average_velocity_are_the_data(steps):
    cfg, index = (
        dataclasses.replace(EXACT, sampling_steps=steps),
        jnp.arange(N, dtype=jnp.uint32),
    )
    x = mf.sample(parameters(cfg), jax.random.key(1), {"index": index}, cfg, SPEC)
    noise = example_normal(jax.random.key(1), index, (2,))
    np.testing.assert_allclose(x, M + S * noise, atol=1e-4)  # the flow map, example by example
    for i in range(2):
        assert stats.kstest(np.asarray(x[:, i]), stats.norm(M[i], S[i]).cdf).pvalue > 1e-3


def test_times_follow_their_law_and_a_share_has_two():
    cfg, n = MeanFlow(share=0.25), 20_000
    batch = {
        "index": jnp.arange(n, dtype=jnp.uint32),
        "position": jnp.arange(n, dtype=jnp.uint32),
    }
    r, t = clocks(jax.random.key(0), batch, cfg)
    assert (r <= t).all() and (r > 0).all() and (t < 1).all()
    assert abs((r < t).mean() - 0.25) < 0.02
    law = stats.norm(-0.4, 1.0)
    both = np.asarray(r < t)
    assert (
        stats.kstest(law.cdf(np.log(t / (1 - t))), lambda u: u**2).pvalue > 1e-3
    )  # the greater of two draws
    low = law.cdf(np.log(r / (1 - r)))[both]
    assert stats.kstest(low, lambda u: 1 - (1 - u) ** 2).pvalue > 1e-3  # the lesser
    assert (clocks(jax.random.key(0), batch, MeanFlow(share=1.0))[0] < t).all()
    held = clocks(jax.random.key(0), batch, MeanFlow(share=0.0))
    np.testing.assert_array_equal(*held)


def test_with_one_time_it_is_flow_matching_whatever_the_net():
    cfg = MeanFlow(net=TimeMLP((16,)), share=0.0, p=0.0)
    params, batch = parameters(cfg), batch_of(64)
    params = jax.tree.map(lambda x: x + 0.1, params)  # the last layer starts at zero
    r, t = times_of(64)
    eps = example_normal(jax.random.key(9), batch["index"], (2,))
    delta = residual(params, batch["image"], eps, t, t, None, None, cfg)
    z = (1 - t[:, None]) * batch["image"] + t[:, None] * eps
    said = cfg.net.apply({"params": params["net"]}, z, jnp.stack([t, 0 * t], -1), None, (2,))
    np.testing.assert_allclose(delta, said - (eps - batch["image"]), atol=1e-5)
    other = residual(params, batch["image"], eps, r, t, None, None, cfg)
    assert np.abs(other - delta).max() > 0.1


@pytest.mark.parametrize("p, c", [(0.0, 1e-3), (0.5, 0.1), (1.0, 2.0)])
def test_the_adaptive_weight(p, c):
    cfg = dataclasses.replace(EXACT, p=p, c=c)
    parts = velocity_loss(parameters(cfg), jax.random.key(0), batch_of(50), cfg, SPEC)
    square = 2 * parts["error"]  # a sum over two dimensions
    np.testing.assert_allclose(parts["loss"], square / (square + c) ** p, rtol=1e-5)

    def gradient(p):
        cfg = dataclasses.replace(EXACT, p=p, c=c)
        grad = jax.grad(
            lambda q: velocity_loss(q, jax.random.key(0), one, cfg, SPEC)["loss"].sum()
        )(parameters(cfg))
        return grad["net"]["shift"]

    one = batch_of(1)
    square = 2 * velocity_loss(parameters(cfg), jax.random.key(0), one, cfg, SPEC)["error"]
    np.testing.assert_allclose(
        gradient(p), gradient(0.0) / (square + c) ** p, rtol=1e-5
    )  # the weight is a constant


class Labelled(nn.Module):
    """u = table[label] + none, whatever z and the clocks: (3, 7) for label 0, (5, 9) for 1, (2, 2) without."""

    @nn.compact
    def __call__(self, z, time, label, out):
        table = self.param("table", lambda _: jnp.array([[1.0, 5.0], [3.0, 7.0]]))
        return 2.0 + (label.vector @ table if label is not None else 0.0) + 0 * z


def test_guidance_mixes_the_velocities_and_spares_the_examples_without_label():
    spec, batch = (
        labelled(Points((2,)), 2, 10),
        batch_of(4) | {"label": jnp.array([0, 1, 0, 1])},
    )
    cfg = MeanFlow(net=Labelled(), condition=(Label(),), omega=3.0, kappa=0.5)
    params = {"net": {"table": jnp.array([[1.0, 5.0], [3.0, 7.0]])}}
    label, shown = told(cfg.condition, batch, spec), jnp.array([True, True, False, False])
    eps, t = jnp.ones((4, 2)), jnp.full(4, 0.5)
    delta = residual(params, batch["image"], eps, t - 0.2, t, label, shown, cfg)
    v = np.asarray(eps - batch["image"])
    u = np.array([[3.0, 7.0], [5.0, 9.0], [2.0, 2.0], [2.0, 2.0]])
    want = np.where(shown[:, None], 3.0 * v + 0.5 * u + (1 - 3.0 - 0.5) * 2.0, v)
    np.testing.assert_allclose(delta, u - want, rtol=1e-5)  # u is constant: du/dt = 0
    plain = dataclasses.replace(cfg, omega=1.0, kappa=0.0)
    np.testing.assert_allclose(
        residual(params, batch["image"], eps, t, t, label, shown, plain),
        u - v,
        rtol=1e-5,
        atol=1e-6,
    )
    x = mf.sample(
        params,
        jax.random.key(0),
        {"index": jnp.zeros(2, jnp.uint32), "label": jnp.array([0, 1])},
        cfg,
        spec,
    )
    np.testing.assert_allclose(x[0] - x[1], [2.0, 2.0], rtol=1e-5)  # one noise, two labels


def test_guidance_keeps_to_its_interval_of_times():
    spec, n = labelled(Points((2,)), 2, 10), 5
    batch = batch_of(n) | {"label": jnp.zeros(n, jnp.int32)}
    cfg = MeanFlow(
        net=Labelled(), condition=(Label(),), omega=3.0, kappa=0.5, interval=(0.25, 0.75)
    )
    params = {"net": {"table": jnp.array([[1.0, 5.0], [3.0, 7.0]])}}
    label, shown = told(cfg.condition, batch, spec), jnp.ones(n, bool)
    t, eps = jnp.array([0.2, 0.25, 0.5, 0.75, 0.8]), jnp.ones((n, 2))
    delta = residual(params, batch["image"], eps, t, t, label, shown, cfg)
    v, u = np.asarray(eps - batch["image"]), np.array([3.0, 7.0])
    guided = 3.0 * v + 0.5 * u + (1 - 3.0 - 0.5) * 2.0
    inside = np.array([False, True, True, True, False])[:, None]
    np.testing.assert_allclose(delta, u - np.where(inside, guided, v), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_a_share_of_the_labels_is_hidden(drop):
    spec, n = labelled(Points((2,)), 2, 10), 5000
    cfg = MeanFlow(net=Labelled(), condition=(Label(),), drop=drop, p=0.0, share=0.0)
    params = {
        "net": {"table": jnp.full((2, 2), 1e4)}
    }  # the error of an example tells whether the label was seen
    batch = batch_of(n) | {"label": jnp.zeros(n, jnp.int32)}
    hidden = velocity_loss(params, jax.random.key(0), batch, cfg, spec)["error"] < 1e6
    assert abs(hidden.mean() - drop) < 0.03
    assert not (
        evaluate(params, jax.random.key(0), batch, cfg, spec)["error"] < 1e6
    ).any()  # all are shown


def test_evaluation_tells_the_flow_matching_error():
    cfg, batch = (
        dataclasses.replace(EXACT, time=Uniform(0.0, 1.0), share=1.0),
        batch_of(100_000),
    )
    parts = evaluate(parameters(cfg), jax.random.key(0), batch, cfg, SPEC)
    # E |v(z) - v|² = Var(v | z): x and eps given z are perfectly correlated, so v has variance s² / std_t²; t has the
    # law of the greater of two uniforms, density 2 t
    t = (np.arange(100_000) + 0.5) / 100_000
    want = np.mean([np.mean(2 * t * s**2 / ((1 - t) ** 2 * s**2 + t**2)) for s in S])
    assert abs(parts["flow"].mean() - want) < 4 * parts["flow"].std() / np.sqrt(100_000)
    assert set(parts) == {"loss", "error", "flow"} and all(
        v.shape == (100_000,) for v in parts.values()
    )


def test_images_are_trained_in_minus_one_to_one_and_sampled_in_zero_to_one():
    class Zero(nn.Module):
        @nn.compact
        def __call__(self, x, time, label, out):
            return self.param("one", nn.initializers.ones, ()) * 0 * x

    spec, index = labelled(Image((2, 2, 1)), 0, 10), jnp.arange(3, dtype=jnp.uint32)
    batch = {"image": jnp.full((3, 2, 2, 1), 255, jnp.uint8), "index": index}
    cfg = MeanFlow(net=Zero(), p=0.0)
    state = cfg(spec).init(jax.random.key(0), batch)
    x = cfg(spec).sample(jax.random.key(0), state, {"index": index})
    np.testing.assert_allclose(
        2 * x - 1, example_normal(jax.random.key(0), index, (2, 2, 1)), atol=1e-6
    )
    black = cfg(spec).evaluate(
        jax.random.key(0), state, batch | {"image": jnp.zeros((3, 2, 2, 1), jnp.uint8)}
    )
    white = cfg(spec).evaluate(jax.random.key(0), state, batch)
    noise = np.sqrt(np.asarray(jnp.abs(white["error"] - black["error"])))
    assert (
        noise.max() > 0.1
    )  # |eps - 1|² against |eps + 1|²: with one range for both they would not differ in sign only
    other = Consistency(net=Zero())
    y = other(spec).sample(
        jax.random.key(0), other(spec).init(jax.random.key(0), batch), {"index": index}
    )
    first = 80 * example_normal(jax.random.fold_in(jax.random.key(0), 0), index, (2, 2, 1))
    np.testing.assert_allclose(2 * y - 1, 0.25 / (80**2 + 0.25) * first, atol=1e-6)


CM = Consistency(net=ExactConsistency(0.5), huber=1e-8)


def test_the_boundary_and_the_exact_consistency_function():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(50, 2)), jnp.float32)
    params = {"net": {"shift": jnp.array([3.0, -2.0])}}  # no net can break the boundary
    np.testing.assert_allclose(consistency(params, x, jnp.zeros(50), None, CM), x, atol=1e-6)
    assert np.abs(consistency(params, x, jnp.full(50, 0.1), None, CM) - x).max() > 0.1
    sigma = jnp.geomspace(0.01, 80.0, 50)
    z = M + jnp.sqrt(S**2 + sigma[:, None] ** 2) * x
    np.testing.assert_allclose(
        consistency(parameters(CM, 1), z, sigma, None, CM), M + S * x, rtol=1e-4, atol=1e-4
    )


def test_the_teacher_closes_in_from_the_data():
    spec, t = labelled(Points((2,)), 0, 800), jnp.geomspace(0.01, 80.0, 30)
    ratio = np.stack(
        [
            np.asarray(ct.nearer(t, jnp.asarray(step), CM, spec) / t)
            for step in range(0, 1000, 100)
        ]
    )
    np.testing.assert_allclose(
        ratio[0], np.maximum(0, 1 - (1 + 8 / (1 + np.exp(t))) / 2), atol=1e-6
    )
    assert (ratio[0][t < 1.0] == 0).all() and (
        ratio[0] < 0.5 + 1e-6
    ).all()  # at first: denoising
    assert (np.diff(ratio[:8], axis=0) >= 0).all() and (
        ratio[:8][1:].max(1) > ratio[:7].max(1)
    ).all()
    np.testing.assert_array_equal(ratio[7], ratio[9])  # beyond the end the last stage stays
    np.testing.assert_allclose(ratio[7], 1 - (1 + 8 / (1 + np.exp(t))) / 2**8, rtol=1e-5)
    inside = ct.nearer(t, jnp.asarray(99), CM, spec) / t
    np.testing.assert_array_equal(inside, ratio[0])
    finer = dataclasses.replace(CM, stages=16)
    assert (ct.nearer(t, jnp.asarray(799), finer, spec) / t).min() > 0.9999
    short = ct.nearer(
        t, jnp.asarray(1), CM, labelled(Points((2,)), 0, 2)
    )  # fewer steps than stages
    assert np.isfinite(short).all()


def errors_at(cfg, closeness, n=200_000):
    """(x_t, f(x_t, t) - f(x_r, r)) with t log-uniform, r = t (1 - closeness)."""
    batch = batch_of(n)
    t = jnp.exp(
        jax.random.uniform(jax.random.key(1), (n,), minval=np.log(0.2), maxval=np.log(3.0))
    )
    eps = example_normal(jax.random.key(2), batch["index"], (2,))
    delta = difference(
        parameters(cfg, 1), batch["image"], eps, t * (1 - closeness), t, None, cfg
    )
    return (
        np.asarray(batch["image"] + t[:, None] * eps),
        np.asarray(t),
        np.asarray(delta, np.float64),
    )


def test_the_exact_consistency_function_has_no_loss_as_r_closes_in_on_t():
    gaps = np.array([0.2, 0.1, 0.05, 0.025])
    squares = [np.mean(errors_at(CM, gap, 20_000)[2] ** 2) for gap in gaps]
    slope = np.polyfit(np.log(gaps), np.log(squares), 1)[0]
    assert 1.9 < slope < 2.1 and squares[-1] < 1e-3


def test_only_the_exact_consistency_function_is_unbiased_as_r_closes_in_on_t():
    scores = {}
    for name, net in (
        ("exact", ExactConsistency(0.5)),
        ("denoiser", ExactConsistency(0.5, denoiser=True)),
    ):
        x, t, delta = errors_at(dataclasses.replace(CM, net=net), 0.01)
        slope = (
            delta * (x - M) / t[:, None]
        )  # the gradient of the squared error towards a steeper f
        scores[name] = np.abs(slope.mean(0)) / (slope.std(0) / np.sqrt(len(x)))
    assert scores["exact"].max() < 5 < 20 < scores["denoiser"].min(), scores


@pytest.mark.parametrize("weight", [Gap(), SNR()])
def test_the_consistency_loss_is_a_weighted_pseudo_huber_error(weight):
    cfg = dataclasses.replace(CM, net=TimeMLP((8,)), huber=0.3, weight=weight)
    params, batch, key = parameters(cfg, 1), batch_of(64), jax.random.key(4)
    parts = ct.loss(params, key, batch, jnp.asarray(250), cfg, SPEC)
    t = cfg.time(ct.strata(jax.random.split(key)[0], batch))
    r = ct.nearer(t, jnp.asarray(250), cfg, SPEC)
    c, square = 0.3 * np.sqrt(2), 2 * np.asarray(parts["error"], np.float64)
    scale = 1 / (t - r) if weight == Gap() else (t**2 + 0.25) / (t * 0.5) ** 2
    np.testing.assert_allclose(parts["loss"], scale * (np.sqrt(square + c**2) - c), rtol=1e-4)
    eps = example_normal(jax.random.split(key)[1], batch["index"], (2,))

    def mean(params):
        return difference(params, batch["image"], eps, r, t, None, cfg).mean()

    def student(params):
        return consistency(params, batch["image"] + t[:, None] * eps, t, None, cfg).mean()

    for a, b in zip(
        *(jax.tree.leaves(jax.grad(f)(params)) for f in (mean, student)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)  # the teacher has no gradient


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_samples_of_the_exact_consistency_function_are_the_data(steps):
    cfg = dataclasses.replace(CM, sampling_steps=steps)
    given = {"index": jnp.arange(N, dtype=jnp.uint32)}
    x = np.asarray(ct.sample(parameters(cfg, 1), jax.random.key(1), given, cfg, SPEC))
    for i in range(2):  # the mean of the first input, m, is left out: 1 % of it at sigma = 80
        assert stats.kstest(x[:, i], stats.norm(M[i], S[i]).cdf).pvalue > 1e-4
    for i in range(2):
        assert (
            stats.kstest(x[:, i], stats.norm(M[i], 1.2 * S[i]).cdf).pvalue < 1e-4
        )  # it could fail


def energy(a, b):
    """Energy distance of two samples [N, 2]: 0 if and only if the laws agree."""
    far = lambda p, q: np.linalg.norm(p[:, None] - q[None], axis=-1).mean()  # noqa: E731
    return 2 * far(a, b) - far(a, a) - far(b, b)


SMALL = {"optimiser": Adam(3e-3), "ema": Decay(0.9)}
TRAINED = {
    "meanflow": MeanFlow(net=TimeMLP((64, 64), frequency=2.0), share=0.5, **SMALL),
    "consistency": Consistency(
        net=TimeMLP((64, 64), frequency=2.0), std=1.4, stages=4, **SMALL
    ),
}


@pytest.mark.parametrize("name", TRAINED)
def test_training_on_a_ring_brings_one_step_samples_near_the_data(name):
    steps, rng, mixture = 300, np.random.default_rng(0), Ring(scale=0.2)()
    algorithm, n = TRAINED[name](labelled(Points((2,)), 0, steps)), 256
    x, _ = draw(mixture, rng, 10_000)

    def batch():
        i = rng.integers(0, len(x), n).astype(np.uint32)
        return {"image": x[i], "index": i, "position": np.arange(n, dtype=np.uint32)}

    state = algorithm.init(jax.random.key(0), batch())
    given = {"index": np.arange(1000, dtype=np.uint32)}
    sample = jax.jit(algorithm.sample)
    before = np.asarray(sample(jax.random.key(1), state, given))
    step = jax.jit(
        lambda s, b: guarded(algorithm.step)(
            jax.random.fold_in(jax.random.key(2), s.step), s, b
        )[0]
    )
    for _ in range(steps):
        state = step(state, batch())
    after = np.asarray(sample(jax.random.key(1), state, given))
    test, _ = draw(mixture, rng, 1000)
    assert energy(after, test) < 0.25 * energy(before, test)


LABELLED = labelled(Image((8, 8, 1)), 10, 10)


@pytest.mark.parametrize(
    "cfg, spec, told",
    [
        (MeanFlow(condition=(Label(),)), SPEC, "needs labels"),
        (Consistency(condition=(Label(),)), SPEC, "needs labels"),
        (MeanFlow(sampling_steps=0), SPEC, "--algorithm.sampling_steps=0 must be at least 1"),
        (
            Consistency(sampling_steps=0),
            SPEC,
            "--algorithm.sampling_steps=0 must be at least 1",
        ),
        (MeanFlow(drop=-0.1), SPEC, "--algorithm.drop=-0.1 must be at least 0"),
        (MeanFlow(drop=1.5), SPEC, "--algorithm.drop=1.5 must be at most 1"),
        (MeanFlow(share=2.0), SPEC, "--algorithm.share=2.0 must be at most 1"),
        (MeanFlow(c=0.0), SPEC, "--algorithm.c=0.0 must be above 0"),
        (MeanFlow(interval=(0.8, 0.3)), SPEC, r"--algorithm.interval=\(0.8, 0.3\) .* first"),
        (MeanFlow(interval=(-0.1, 0.3)), SPEC, "--algorithm.interval=-0.1 must be at least 0"),
        (MeanFlow(interval=(0.1, 1.3)), SPEC, "--algorithm.interval=1.3 must be at most 1"),
        (MeanFlow(omega=2.0), LABELLED, "omega=2.0 .* --algorithm.condition"),
        (MeanFlow(kappa=0.5), LABELLED, "kappa=0.5 .* --algorithm.condition"),
        (MeanFlow(omega=2.0, condition=(Label(),), drop=0.0), LABELLED, "--algorithm.drop=0.1"),
        (Consistency(stages=0), SPEC, "--algorithm.stages=0 must be at least 1"),
        (Consistency(stages=25), SPEC, "--algorithm.stages=25 with q=2.0 .* float32"),
        (Consistency(q=1.0), SPEC, "--algorithm.q=1.0 must be above 1"),
        (Consistency(std=0.0), SPEC, "--algorithm.std=0.0 must be above 0"),
        (Consistency(huber=0.0), SPEC, "--algorithm.huber=0.0 must be above 0"),
        (
            Consistency(most=0.5),
            SPEC,
            "--algorithm.most=0.5 must be above --algorithm.last=0.821",
        ),
    ],
)
def test_bad_configs_are_refused_in_one_line(cfg, spec, told):
    with pytest.raises(UserError, match=told) as error:
        cfg(spec)
    assert "\n" not in str(error.value)


SHRUNK = {
    "steps": 2,
    "every.log": 1,
    "every.evaluate": 0,
    "every.sample": 0,
    "every.save": 2,
    "batch": 16,
    "samples": 4,
    "finish.FewSteps.samples": 50,
    "finish.FewSteps.steps": (1, 2),
}


@pytest.mark.all
def test_the_experiment_reports_every_number_of_steps(tmp_path, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    net = {"algorithm.net": TimeMLP((8,)), "runs": str(tmp_path / "runs")}
    toy = edit(
        experiment.EXPERIMENTS["toy"], {**SHRUNK, **net, "data.train": 200, "data.test": 200}
    )
    this = run("onestep", toy, "toy")
    for n in (1, 2):
        values = this.log.result(f"steps{n}")
        assert 0 <= values["modes"] <= 8 and 0 <= values["good"] <= 1
    names = {path.stem for path in (this.log.directory / "samples").glob("*.png")}
    assert {"steps1", "steps2"} <= names
    digits = edit(experiment.EXPERIMENTS["digits"], {**SHRUNK, **net})
    this = run("onestep", digits, "digits")
    one = this.log.result("steps1")
    assert (
        0 <= one["recognised"] <= 0.6 and this.log.result("real")["recognised"] > 0.9
    )  # untrained against real
    with pytest.raises(UserError, match="--algorithm.condition"):
        run("onestep", edit(digits, {"algorithm.condition": ()}), "digits")
    with pytest.raises(UserError, match="--finish.FewSteps.steps"):
        run("onestep", edit(toy, {"finish.FewSteps.steps": (0,)}), "toy")
