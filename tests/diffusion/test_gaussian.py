"""The one Gaussian loss: its optimum on Gaussian data for every named config; labels, shapes, likelihood."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.conditions import Label, Picture
from genjax.config import edit
from genjax.core import Spec, labelled
from genjax.corruptions import Coarse
from genjax.diffusion import gaussian, likelihood, named, paths, samplers, schedules
from genjax.diffusion.consistency import Consistency
from genjax.diffusion.guidance import Guidance, Keep, Stepwise
from genjax.diffusion.onestep import MeanFlow
from genjax.diffusion.vdm import VDM
from genjax.errors import UserError
from genjax.fields import Category, Image, Points
from genjax.nets import TimeMLP, UNet
from genjax.nets.blocks import dropout, masks

M, S = 0.3, 0.5
SPEC = labelled(Points((2,)), 3, 10)


class Oracle(nn.Module):
    """The best net for data N(M, S²) under a config's path and prediction; `shift` makes it worse."""

    cfg: gaussian.Diffusion

    @nn.compact
    def __call__(self, seen, clock, label, out):
        shift = self.param("shift", nn.initializers.zeros, ())
        path, std = self.cfg.path, self.cfg.std
        t = jnp.exp(4.0 * clock) if isinstance(path, paths.Exploding) else clock
        alpha, sigma = path.alpha(t)[:, None], path.sigma(t)[:, None]
        z = seen * jnp.sqrt((std * alpha) ** 2 + sigma**2)  # undoes the scaling of the input
        x = M + alpha * S**2 * (z - alpha * M) / (alpha**2 * S**2 + sigma**2)
        return paths.combine(self.cfg.predict, path, t, x, (z - alpha * x) / sigma) + shift


def oracle(cfg):
    return edit(cfg, {"net": Oracle(cfg), "threshold": Keep()})


def batch(n, seed=0, d=2):
    x = M + S * np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return {
        "image": x,
        "label": np.arange(n, dtype=np.int32) % 3,
        "index": np.arange(n, dtype=np.uint32),
    }


def optimum(cfg, t):
    """weight(t) E |T - E[T | z]|² per dimension: (c - d alpha / sigma)² Var(x | z) for a target c x + d eps."""
    alpha, sigma = cfg.path.alpha(t), cfg.path.sigma(t)
    c, d = (cfg.target or cfg.predict).coefficients(cfg.path, t)
    variance = S**2 * sigma**2 / (alpha**2 * S**2 + sigma**2)
    return cfg.weight(cfg.path, t) * (c - d * alpha / sigma) ** 2 * variance


@pytest.mark.parametrize("name", named.ALL)
def test_the_optimal_loss_on_gaussian_data_is_its_closed_form(name):
    cfg = oracle(named.ALL[name])
    n = 100_000
    data = batch(n) | {"position": np.arange(n, dtype=np.uint32)}
    params = {"net": {"shift": jnp.zeros(())}}
    found = np.asarray(
        jax.jit(gaussian.loss, static_argnums=(3, 4))(
            params, jax.random.key(0), data, cfg, SPEC
        )["loss"]
    )
    u = (jnp.arange(n) + 0.5) / n
    wanted = float(jnp.mean(optimum(cfg, cfg.time(u))))
    assert abs(found.mean() - wanted) < 5 * found.std() / np.sqrt(n), (found.mean(), wanted)
    off = {"net": {"shift": jnp.asarray(0.1)}}
    worse = jax.jit(gaussian.loss, static_argnums=(3, 4))(
        off, jax.random.key(0), data, cfg, SPEC
    )["loss"]
    more = np.asarray(worse) - found  # example by example: the same times and noise
    assert more.mean() > 5 * more.std() / np.sqrt(n)


@pytest.mark.parametrize("name", named.ALL)
def test_every_named_config_samples_gaussian_data(name):
    cfg = oracle(named.ALL[name])
    given = {"index": np.arange(4000, dtype=np.uint32), "label": np.zeros(4000, np.int32)}
    x = gaussian.sample({"net": {"shift": jnp.zeros(())}}, jax.random.key(1), given, cfg, SPEC)
    assert abs(float(x.mean()) - M) < 0.03 and abs(float(x.std()) - S) < 0.03


@pytest.mark.parametrize("name", named.ALL)
def test_likelihood_by_the_flow_is_the_density(name):
    cfg = oracle(named.ALL[name])
    x = jnp.asarray(batch(16)["image"])
    denoise = gaussian.denoiser({"net": {"shift": jnp.zeros(())}}, None, cfg, SPEC)
    # the data with noise of the least level: N(M, S² + low²); levels that every path reaches
    solver = likelihood.Flow(
        low=0.02, high=100.0, std=S, trace=likelihood.Exact(), tolerance=1e-5
    )
    found = jax.jit(lambda x: solver(denoise, x, jax.random.key(0), jnp.arange(16)))(x)
    v = S**2 + 0.02**2
    wanted = -0.5 * jnp.sum((x - M) ** 2, -1) / v - jnp.log(2 * jnp.pi * v)
    np.testing.assert_allclose(
        found, wanted, atol=1e-2
    )  # of which 0.3 / 100 · |x_T| / 100 is the end's mean
    assert float(jnp.std(wanted)) > 0.5


@pytest.mark.all
def test_hutchinson_is_unbiased_and_exact_for_diagonal_derivatives():
    x, index = jax.random.normal(jax.random.key(0), (4, 3)), jnp.arange(4)
    a = jax.random.normal(jax.random.key(1), (3, 3))
    linear = lambda v, sigma: v @ a.T  # noqa: E731
    traces = [
        likelihood.Hutchinson()(linear, x, 1.0, jax.random.key(i), index)[1]
        for i in range(2000)
    ]
    np.testing.assert_allclose(np.mean(traces), jnp.trace(a), atol=0.06)
    _, exact = likelihood.Exact()(linear, x, 1.0, None, index)
    np.testing.assert_allclose(exact, jnp.trace(a), rtol=1e-5)
    square = lambda v, sigma: v**2  # noqa: E731
    _, one = likelihood.Hutchinson()(square, x, 1.0, jax.random.key(0), index)
    np.testing.assert_allclose(one, 2 * x.sum(-1), rtol=1e-5)


def test_min_snr_is_the_smaller_of_the_two():
    t = jnp.array([1 / 11, 0.5, 0.75])  # alpha / sigma = 10, 1, 1 / 3
    np.testing.assert_allclose(
        gaussian.MinSNR(5.0)(paths.Linear(), t), [5.0, 1.0, 1 / 9], rtol=1e-5
    )


def test_uniform_bytes_have_eight_bits():
    image = jnp.asarray(np.random.default_rng(0).integers(0, 256, (8, 4, 4, 1), np.uint8))
    x = likelihood.dequantised(image, jax.random.key(0), jnp.arange(8))
    np.testing.assert_array_equal(
        jnp.round((x + 1.0) * 127.5), image
    )  # around the values that nets are trained on
    uniform = jnp.asarray(
        -16 * np.log(256 / 127.5)
    )  # the density of 256 bins, each 1 / 127.5 wide
    assert float(likelihood.bits_per_dim(uniform, 16)) == pytest.approx(8.0)


def test_labels_are_hidden_from_a_share_and_shown_in_evaluation():
    class Tell(nn.Module):
        """Says 1 where it sees a label, else 0."""

        @nn.compact
        def __call__(self, x, time, label, out):
            return jnp.sum(label.vector, -1)[:, None] * jnp.ones(out) + self.param(
                "none", nn.initializers.zeros, ()
            )

    cfg = gaussian.Diffusion(net=Tell(), predict=paths.X(), condition=(Label(),), drop=0.3)
    data = batch(4000) | {"image": np.zeros((4000, 2), np.float32)}
    params = {"net": {"none": jnp.zeros(())}}
    training = gaussian.loss(params, jax.random.key(0), data, cfg, SPEC)["loss"]
    assert abs(float(training.mean()) - 0.7) < 0.04
    assert (
        float(gaussian.evaluate(params, jax.random.key(0), data, cfg, SPEC)["loss"].min())
        == 1.0
    )
    cfg = edit(
        cfg,
        {
            "guidance": Guidance(3.0),
            "schedule": schedules.Times(1),
            "sampler": samplers.Euler(),
        },
    )
    x = gaussian.sample(params, jax.random.key(0), data, cfg, SPEC)
    np.testing.assert_allclose(x, 3.0)  # 0 + 3 (1 - 0)
    half = {
        "net": {"none": jnp.asarray(0.5)}
    }  # autoguidance: the weak model sees the label too, 1.5 + 3 (1 - 1.5)
    np.testing.assert_allclose(
        gaussian.sample(params, jax.random.key(0), data, cfg, SPEC, half), 0.0, atol=1e-6
    )


@pytest.mark.all
class Hears(nn.Module):
    """Says 1 where it sees a label and 10 more where it sees a picture, at any time and noise."""

    @nn.compact
    def __call__(self, x, time, told, out):
        none = self.param("none", nn.initializers.zeros, ())
        picture = jnp.abs(told.maps).max((1, 2, 3)) > 0
        said = jnp.sum(told.vector, -1) + 10.0 * picture
        return said[:, None, None, None] * jnp.ones(out) + none


def test_each_condition_is_hidden_by_itself_and_guided_by_itself():
    both = (Label(), Picture(of="input", guided=True))
    shape = Image((2, 2, 1))
    spec = Spec((("image", shape), ("label", Category(3)), ("input", shape)), 10)
    n = 4000
    rows = {
        "image": np.zeros((n, 2, 2, 1), np.float32),
        "input": np.ones((n, 2, 2, 1), np.float32),
        "label": np.arange(n) % 3,
        "index": np.arange(n, dtype=np.uint32),
    }
    cfg = gaussian.Diffusion(
        net=Hears(), predict=paths.X(), condition=both, drop=0.1, alone=0.2, threshold=Keep()
    )
    params = {"net": {"none": jnp.zeros(())}}
    loss = gaussian.loss(params, jax.random.key(0), rows, cfg, spec)["loss"]
    # data are 0 in bytes, -1 for the net: (said + 1)² tells who was shown what
    said = np.round(np.sqrt(loss) - 1.0)
    shares = [np.mean(said == value) for value in (0, 10, 1, 11)]
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.2, 0.5], atol=0.03)
    # D_0 + s_I (D_I - D_0) + s_T (D_IT - D_I), eq. 3 of arXiv:2211.09800
    one_step = {"schedule": schedules.Times(1), "sampler": samplers.Euler()}
    for of, scales in ((("input", "label"), (1.5, 4.0)), (("label", "input"), (0.5, 1.5))):
        guided = edit(cfg, {**one_step, "guidance": Stepwise(of, scales)})
        few = {name: column[:5] for name, column in rows.items()}
        x = gaussian.sample(params, jax.random.key(0), few, guided, spec)
        change = {"input": 10.0, "label": 1.0}
        wanted = sum(scale * change[name] for name, scale in zip(of, scales, strict=True))
        # unit values, of a net that speaks of [-1, 1]
        np.testing.assert_allclose(2 * x - 1, wanted, rtol=1e-5)
    plain = edit(cfg, {**one_step, "guidance": Stepwise(("input", "label"), (1.0, 1.0))})
    x = gaussian.sample(params, jax.random.key(0), few, plain, spec)
    np.testing.assert_allclose(2 * x - 1, 11.0, rtol=1e-5)


def test_guidance_step_by_step_names_each_condition_once():
    shape = Image((2, 2, 1))
    spec = Spec((("image", shape), ("label", Category(3)), ("input", shape)), 10)
    both = (Label(), Picture(of="input", guided=True))
    cfg = gaussian.Diffusion(condition=both, guidance=Stepwise(("label",), (2.0,)))
    with pytest.raises(
        UserError, match="must name each condition that is guided once.* label, input"
    ):
        cfg(spec)
    cfg = edit(cfg, {"guidance": Stepwise(("label", "input"), (2.0, 2.0))})
    with pytest.raises(UserError, match="use --algorithm.alone=0.05"):
        cfg(spec)
    with pytest.raises(UserError, match="of each of 2 conditions are more than all"):
        edit(cfg, {"drop": 0.5, "alone": 0.3})(spec)
    with pytest.raises(ValueError, match="a scale for each condition"):
        Stepwise(("label",), (1.0, 2.0))
    with pytest.raises(ValueError, match="finite scales"):
        Stepwise(("label",), (float("nan"),))


def test_a_net_that_is_given_a_degraded_image_sees_it():
    spec = labelled(Image((4, 4, 1)), 0, 10)
    cfg = gaussian.Diffusion(
        net=TimeMLP((8,)), condition=(Picture(through=Coarse(2)),), schedule=schedules.Times(2)
    )
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), np.uint8)
    data = {
        "image": image,
        "label": np.zeros(3, np.int32),
        "index": np.arange(3, dtype=np.uint32),
    }
    algorithm = cfg(spec)
    state = algorithm.init(jax.random.key(0), data)
    leaves, tree = jax.tree.flatten(state.params)
    noisy = [
        x + 0.1 * jax.random.normal(jax.random.key(i), x.shape) for i, x in enumerate(leaves)
    ]
    state = dataclasses.replace(state, ema={}, params=jax.tree.unflatten(tree, noisy))
    x, y = (
        algorithm.sample(jax.random.key(0), state, data | {"image": i})
        for i in (image, image[::-1])
    )
    assert x.shape == (3, 4, 4, 1) and float(jnp.abs(x - y).max()) > 1e-3
    same = algorithm.sample(
        jax.random.key(0), state, data | {"image": np.asarray(Coarse(2)(image / 255.0))}
    )
    np.testing.assert_allclose(x, same, rtol=1e-4, atol=1e-3)  # only the degraded image matters


def test_the_data_have_one_standard_deviation():
    both = {"net": TimeMLP((8,)), "std": 0.6, "predict.std": 0.6}
    edit(named.EDM, both)(SPEC)
    # half of the change alone would scale the net's output by another number than its input
    for half in ("std", "predict.std"):
        changes = {"net": TimeMLP((8,)), half: 0.6}
        with pytest.raises(UserError, match="set both to the same") as refused:
            edit(named.EDM, changes)(SPEC)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "changes, spec, told",
    [
        (
            {"condition": (Label(),)},
            labelled(Points((2,)), 0, 10),
            "needs labels",
        ),
        (
            {"guidance": Guidance(2.0)},
            SPEC,
            "sets the condition against none",
        ),
        (
            {"guidance": Guidance(2.0), "condition": (Label(),), "drop": 0.0},
            SPEC,
            "use --algorithm.drop=0.1",
        ),
        (
            {"schedule": schedules.Karras(0)},
            SPEC,
            "--algorithm.schedule.steps=0 must be at least 1",
        ),
        (
            {"schedule": schedules.Times(4, first=1.0)},
            SPEC,
            "noise levels that do not fall, finite and above 0",
        ),
        ({"schedule": schedules.Karras(4, low=90.0)}, SPEC, "with low below high"),
        ({"drop": 1.5}, SPEC, "--algorithm.drop=1.5 must be at most 1"),
        (
            {"predict": paths.Preconditioned(0.6)},
            SPEC,
            "--algorithm.predict.std=0.6 and --algorithm.std=0.5 are both the standard deviation",
        ),
        (
            {"predict": paths.X(), "target": paths.Preconditioned(0.5), "std": 0.7},
            SPEC,
            "--algorithm.target.std=0.5 and --algorithm.std=0.7 are both the standard deviation",
        ),
    ],
)
def test_bad_configs_are_refused_before_anything_is_compiled(changes, spec, told):
    with pytest.raises(UserError, match=told):
        edit(named.FLOW, {"net": TimeMLP((8,)), **changes})(spec)


class Dropping(nn.Module):
    """A net that does nothing but to drop."""

    dropout: float = 0.5

    @nn.compact
    def __call__(self, x, time, cond, out):
        scale = self.param("scale", nn.initializers.ones, ())
        return dropout(scale * x, self.dropout, masks(self))


def test_dropout_is_of_training_alone_and_the_same_in_any_part_of_a_batch():
    cfg = edit(named.FLOW, {"net": Dropping()})
    without = edit(cfg, {"net.dropout": 0.0})
    data = batch(6, d=40) | {"position": np.arange(6, dtype=np.uint32)}
    spec = labelled(Points((40,)), 3, 10)
    params = {"net": {"scale": jnp.ones(())}}

    def call(fn, cfg, data):
        return jax.jit(fn, static_argnums=(3, 4))(params, jax.random.key(3), data, cfg, spec)[
            "loss"
        ]

    whole = call(gaussian.loss, cfg, data)
    part = {name: rows[1::2] for name, rows in data.items()}
    np.testing.assert_allclose(call(gaussian.loss, cfg, part), whole[1::2], rtol=1e-5)
    assert np.abs(whole / call(gaussian.loss, without, data) - 1).min() > 1e-3
    held = [call(gaussian.evaluate, each, data) for each in (cfg, without)]
    np.testing.assert_array_equal(*held)


@pytest.mark.parametrize("model", [Consistency, MeanFlow, VDM])
def test_models_that_give_no_keys_refuse_dropout(model):
    spec = labelled(Image((8, 8, 1)), 3, 10)
    with pytest.raises(
        UserError, match=f"^{model.__name__} does not train with dropout, .*=0.1"
    ):
        model(net=UNet(dropout=0.1))(spec)
