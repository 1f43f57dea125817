"""StyleGAN2: convolutions against the explicit form, path lengths of linear maps, turns, mixing and truncation."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.conditions import Cond, Label
from genjax.config import edit
from genjax.core import divided, example_keys, labelled
from genjax.data.batches import batch_at
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.gan import stylegan2 as sg
from genjax.gan.augment import Ada
from genjax.gan.games import LeastSquares
from genjax.gan.gan import GAN, in_groups
from genjax.gan.penalties import R1
from genjax.gan.stylegan2 import StyleGAN2
from genjax.machine.parallel import Jit, Pmap
from genjax.nets import MLP, R3Discriminator
from genjax.nets.stylegan2 import (
    EqualDense,
    StyleDiscriminator,
    StyleMapping,
    StyleSynthesis,
    deviation,
    modulated,
    resized,
)
from genjax.optim import Adam

SPEC, INDEX = labelled(Image((8, 8, 1)), 10, 100), np.arange(6, dtype=np.uint32)
TINY = StyleGAN2(
    latent=6,
    mapping=StyleMapping(2, 7),
    synthesis=StyleSynthesis((4, 5)),
    disc=StyleDiscriminator((4, 5)),
    condition=(Label(),),
)
LABEL = Cond(jax.nn.one_hot(INDEX % 10, 10))
synthesise = jax.jit(sg.synthesise, static_argnames=("cfg", "spec"))
convolved = jax.jit(modulated, static_argnums=(3, 4))


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.fixture(scope="module")
def state(digits):
    """A state with noise that is heard and a mean style that is not zero."""
    state = jax.jit(TINY(SPEC).init)(jax.random.key(0), batch_at(digits, 0, 0, 1))
    louder = functools.partial(
        jax.tree_util.tree_map_with_path, lambda p, x: x + 0.5 * (p[-1].key == "noise")
    )
    return state.replace(
        params=louder(state.params),
        ema=louder(state.ema),
        extra=state.extra | {"w": normal(9, 6)},
    )


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("up", [1, 2])
def test_modulated_convolution_is_the_per_example_kernel(up, demodulate):
    x, kernel, style = normal(0, 3, 4, 6, 5), normal(1, 3, 3, 5, 7), 1.0 + normal(2, 3, 5)
    y = convolved(x, kernel, style, demodulate, up)
    for b in range(3):
        own = np.asarray(style)[b, :, None] * np.asarray(kernel)  # eq. 1
        if demodulate:
            own = own / np.sqrt((own**2).sum((0, 1, 2)) + 1e-8)  # eq. 3
        padded = np.pad(resized(x[b : b + 1], up=up)[0], ((1, 1), (1, 1), (0, 0)))
        for i, j in ((0, 0), (2, 3), (4 * up - 1, 6 * up - 1)):
            expected = np.einsum("abi,abij->j", padded[i : i + 3, j : j + 3], own)
            np.testing.assert_allclose(y[b, i, j], expected, rtol=2e-4, atol=2e-5)


def test_demodulated_outputs_have_unit_variance_whatever_the_style():
    x, kernel, style = (
        normal(0, 4, 40, 40, 8),
        3.0 * normal(1, 3, 3, 8, 6),
        jnp.exp(normal(2, 4, 8)),
    )
    inner = np.asarray(convolved(x, kernel, style))[:, 1:-1, 1:-1]
    np.testing.assert_allclose(inner.var((1, 2)), 1.0, atol=0.25)  # 1444 correlated pixels each
    assert abs(inner.var((1, 2)).mean() - 1.0) < 0.05
    assert np.asarray(convolved(x, kernel, style, False)).var() > 100


def test_resizing_is_the_filter_1_3_3_1():
    point = jnp.zeros((1, 6, 6, 1)).at[0, 2, 3, 0].set(1.0)
    tent = np.outer([1, 3, 3, 1], [1, 3, 3, 1])
    np.testing.assert_allclose(resized(point, up=2)[0, 3:7, 5:9, 0], tent / 16, atol=1e-6)
    x = normal(0, 1, 8, 8, 1)
    down = np.sum(np.asarray(x)[0, 1:5, 3:7, 0] * tent) / 64
    np.testing.assert_allclose(resized(x, down=2)[0, 1, 2, 0], down, rtol=1e-5)


def test_equalised_learning_rate():
    x = normal(0, 64, 400)
    params = {
        r: EqualDense(300, bias=2.0, rate=r).init(jax.random.key(1), x)["params"]
        for r in (1.0, 0.01)
    }
    out = {
        r: EqualDense(300, bias=2.0, rate=r).apply({"params": p}, x) for r, p in params.items()
    }
    assert (
        abs(params[1.0]["kernel"].std() - 1.0) < 0.02
        and abs(params[0.01]["kernel"].std() - 100.0) < 2.0
    )
    np.testing.assert_allclose(
        out[1.0], out[0.01], rtol=1e-3, atol=1e-3
    )  # the same function at first …
    assert abs((out[1.0] - 2.0).std() - 1.0) < 0.05
    slow = jax.grad(lambda p: EqualDense(300, rate=0.01).apply({"params": p}, x).sum())(
        params[0.01]
    )
    fast = jax.grad(lambda p: EqualDense(300).apply({"params": p}, x).sum())(params[1.0])
    for name in ("kernel", "bias"):  # … which a step of Adam moves a hundredth as far
        np.testing.assert_allclose(slow[name], 0.01 * fast[name], rtol=1e-4, atol=1e-6)


def test_mapping_sees_the_direction_of_z_and_the_label(state):
    gen, z = state.params["gen"], normal(1, 6, 6)
    np.testing.assert_allclose(
        sg.w(gen, 5.0 * z, LABEL, TINY), sg.w(gen, z, LABEL, TINY), rtol=1e-4, atol=1e-5
    )
    assert (
        np.abs(sg.w(gen, z, Cond(LABEL.vector[::-1]), TINY) - sg.w(gen, z, LABEL, TINY)).max()
        > 1e-2
    )


@pytest.mark.parametrize(
    "shape, widths, size",
    [
        ((8, 8, 1), (4, 4), 4),
        ((28, 28, 1), (4, 4, 4), 7),
        ((32, 32, 3), (2, 4, 4, 8), 4),
        ((64, 48, 3), (2,) * 5, 4),
    ],
)
def test_sizes(shape, widths, size):
    net = StyleSynthesis(widths)
    x, params = jax.eval_shape(
        lambda key: net.init_with_output(key, jnp.zeros((2, net.layers, 3)), None, shape),
        jax.random.key(0),
    )
    assert x.shape == (2, *shape) and params["params"]["constant"].shape[0] == size
    d = StyleDiscriminator(widths)
    y = jax.eval_shape(
        lambda key: d.init_with_output(key, jnp.zeros((2, *shape)), None, (1,))[0],
        jax.random.key(0),
    )
    assert y.shape == (2, 1)


def test_path_length_of_a_linear_map_is_in_closed_form():
    a, w = normal(0, 3, 5, 4, 4, 2), normal(1, 3000, 3, 5)  # [layers, D, H, W, C]
    y = normal(2, 3000, 4, 4, 2) / 4.0

    def lengths(scale):
        return sg.path_lengths(lambda w: scale * jnp.einsum("bld,ldhwc->bhwc", w, a), w, y)

    x, length = lengths(1.0)
    np.testing.assert_allclose(x, np.einsum("bld,ldhwc->bhwc", w, a), rtol=1e-3, atol=1e-4)
    exact = np.sqrt(np.mean(np.sum(np.einsum("ldhwc,bhwc->bld", a, y) ** 2, -1), -1))
    np.testing.assert_allclose(length, exact, rtol=1e-4)
    # E |A^T y|² = |A|_F² / (H W), by the layer
    assert abs(np.mean(length**2) / (np.sum(a**2) / 3 / 16) - 1.0) < 0.05
    slope = jax.grad(lambda scale: jnp.mean(lengths(scale)[1]))(
        2.0
    )  # the penalty trains the map itself
    np.testing.assert_allclose(slope, np.mean(length), rtol=1e-4)


class Linear(nn.Module):
    """A synthesis whose image is 3 times the mean of the styles' first values: its path length is known."""

    layers: int = 2

    @nn.compact
    def __call__(self, w, keys, out):
        strength = self.param("strength", nn.initializers.constant(3.0), ())
        return jnp.broadcast_to(
            strength * w[:, :, 0].mean(1)[:, None, None, None], (len(w), *out)
        )


def test_losses_are_the_formulas(digits):
    """D(x) = v x + b has the slope |v|; J^T y of `Linear` is 3/2 sum(y) in each of its 2 layers."""
    cfg = dataclasses.replace(TINY, synthesis=Linear(), disc=MLP(()), condition=(), r1=R1(0.7))
    n = 1500
    batch, key = batch_at(digits, 0, 0, n), jax.random.key(1)
    state = jax.jit(cfg(SPEC).init)(jax.random.key(0), batch_at(digits, 0, 0, 1))
    gen, disc, extra = (
        state.params["gen"],
        state.params["disc"],
        state.extra | {"path": jnp.asarray(0.4)},
    )

    @jax.jit
    def losses(gen, disc, extra):
        both = (True, False)
        of_disc = {
            due: sg.disc_loss(disc, gen, extra, key, batch, cfg, SPEC, due) for due in both
        }
        return of_disc, {
            due: sg.gen_loss(gen, disc, extra, key, batch, cfg, SPEC, due) for due in both
        }

    of_disc, of_gen = losses(gen, disc, extra)
    penalty = 16 * 0.35 * float(jnp.sum(disc["Dense_0"]["kernel"] ** 2))
    np.testing.assert_allclose(of_disc[True]["penalty"], penalty, rtol=1e-4)
    np.testing.assert_allclose(
        of_disc[True]["loss"] - of_disc[False]["loss"], penalty, rtol=1e-4
    )
    real, fake = of_disc[False]["real"], of_disc[False]["fake"]
    np.testing.assert_allclose(
        of_disc[False]["loss"], np.log1p(np.exp(-real)) + np.log1p(np.exp(fake)), rtol=1e-4
    )
    length = of_gen[True]["length"]
    assert (
        abs(float(jnp.mean(length**2)) / 1.5**2 - 1.0) < 0.12
    )  # sum(y) ~ N(0, 1); 1500 chi squares
    np.testing.assert_allclose(
        of_gen[True]["penalty"], 2.0 * 4 * (length - 0.4) ** 2, rtol=1e-4
    )
    np.testing.assert_allclose(
        of_gen[True]["loss"] - of_gen[False]["loss"],
        of_gen[True]["penalty"],
        rtol=1e-3,
        atol=1e-5,
    )
    held = jax.jit(cfg(SPEC).evaluate)(key, state, batch)
    np.testing.assert_allclose(
        held["real"], real, rtol=1e-4, atol=1e-5
    )  # the same data, other samples
    np.testing.assert_allclose(
        held["loss"], np.log1p(np.exp(-real)) + np.log1p(np.exp(held["fake"])), rtol=1e-4
    )
    np.testing.assert_allclose(held["gen_loss"], np.log1p(np.exp(-held["fake"])), rtol=1e-4)
    assert np.all(of_gen[False]["penalty"] == 0) and np.all(
        of_gen[False]["length"] == np.float32(0.4)
    )


def test_truncation_goes_from_the_mean_to_the_style(state, digits):
    w, mean = normal(0, 6, 6), normal(1, 6)
    np.testing.assert_array_equal(sg.truncated(w, mean, 0.0), np.broadcast_to(mean, (6, 6)))
    np.testing.assert_array_equal(sg.truncated(w, mean, 1.0), w)
    np.testing.assert_allclose(
        sg.truncated(w, mean, 0.3), mean + 0.3 * (w - mean), rtol=1e-5, atol=1e-6
    )
    given = {"index": INDEX, "label": INDEX % 10}
    none = dataclasses.replace(TINY, psi=0.0)
    quiet = jax.tree_util.tree_map_with_path(lambda p, x: x * (p[-1].key != "noise"), state.ema)
    still = state.replace(ema=quiet)
    x = jax.jit(none(SPEC).sample)(jax.random.key(3), still, given)
    expected = synthesise(quiet["gen"], state.extra["w"][None], None, none, SPEC)
    np.testing.assert_allclose(
        x, np.broadcast_to(0.5 * (expected + 1.0), x.shape), rtol=1e-5, atol=1e-6
    )


def test_mixing(state):
    gen, (a, b), layers = (
        state.params["gen"],
        (normal(1, 6, 6), normal(2, 6, 6)),
        TINY.synthesis.layers,
    )
    wa, wb = (sg.w(gen, z, LABEL, TINY) for z in (a, b))
    for at in range(layers + 1):
        same = sg.style_mix(gen, a, a, at, LABEL, TINY)
        np.testing.assert_array_equal(same, np.repeat(wa[:, None], layers, 1))
        mixed = sg.style_mix(gen, a, b, at, LABEL, TINY)
        np.testing.assert_array_equal(mixed[:, :at], np.repeat(wa[:, None], at, 1))
        np.testing.assert_array_equal(mixed[:, at:], np.repeat(wb[:, None], layers - at, 1))
    each = sg.style_mix(gen, a, b, jnp.array([0, 1, 2, 3, 4, 2]), LABEL, TINY)
    np.testing.assert_array_equal(each[3], sg.style_mix(gen, a, b, 3, LABEL, TINY)[3])
    np.testing.assert_array_equal(
        synthesise(gen, sg.style_mix(gen, a, a, 2, LABEL, TINY), None, TINY, SPEC),
        synthesise(gen, wa, None, TINY, SPEC),
    )


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_training_mixes_a_share_at_every_layer(state, share):
    index = np.arange(3000, dtype=np.uint32)
    cfg = dataclasses.replace(TINY, mixing=share)
    draw = jax.jit(
        lambda gen: sg.styles(
            gen, jax.random.key(4), index, Cond(jax.nn.one_hot(index % 10, 10)), cfg
        )
    )
    made = np.asarray(draw(state.params["gen"]))  # [B, 4, D]
    differs = (made != made[:, :1]).any(-1)
    assert abs(differs.any(1).mean() - share) < 0.025
    first = np.argmax(differs, 1)[differs.any(1)]
    counts = np.bincount(first, minlength=4)
    assert counts[0] == 0 and (not share or np.all(np.abs(counts[1:] - 900) < 100))
    assert np.all(differs[:, 3] == differs.any(1))  # once changed, to the end


def test_without_strength_noise_is_not_heard(state):
    w, keys = normal(0, 6, 4, 6), [example_keys(jax.random.key(k), INDEX) for k in (1, 2)]
    quiet = jax.tree_util.tree_map_with_path(
        lambda p, x: x * (p[-1].key != "noise"), state.params["gen"]
    )
    images = [synthesise(quiet, w, k, TINY, SPEC) for k in (*keys, None)]
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])
    heard = [synthesise(state.params["gen"], w, k, TINY, SPEC) for k in keys]
    assert np.abs(heard[0] - heard[1]).max() > 1e-2
    same = synthesise(
        state.params["gen"], jnp.broadcast_to(w[:1], w.shape), keys[0], TINY, SPEC
    )
    assert np.abs(same[0] - same[1]).max() > 1e-2  # each example has its own


def test_samples_and_losses_are_functions_of_key_and_index(state, digits):
    @jax.jit
    def everything(given):
        gen, disc, extra, key = (
            state.params["gen"],
            state.params["disc"],
            state.extra,
            jax.random.key(6),
        )
        of_gen = sg.gen_loss(gen, disc, extra, key, given, TINY, SPEC)
        of_disc = sg.disc_loss(disc, gen, extra, key, given, TINY, SPEC, due=False)
        return of_gen, of_disc, TINY(SPEC).sample(key, state, given)

    whole = everything(batch := batch_at(digits, 0, 0, 6))
    other = batch_at(digits, 0, 1, 6)  # rows 3 to 5 at another place in another company
    part = everything(jax.tree.map(lambda a, b: np.concatenate([a[3:], b[:3]]), batch, other))
    assert whole[-1].shape == (6, 8, 8, 1) and np.abs(whole[-1][0] - whole[-1][1]).max() > 1e-2
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(part), strict=True):
        np.testing.assert_allclose(a[3:], b[:3], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "r1, path, length, distinct", [(16, 4, 16, 3), (2, 3, 6, 4), (4, 1, 4, 2)]
)
def test_turns_of_the_lazy_penalties(r1, path, length, distinct):
    algorithm = dataclasses.replace(TINY, r1_every=r1, path_every=path)(SPEC)
    cycle = algorithm.cycle
    assert len(cycle) == length and len(set(cycle)) == distinct and algorithm.step is cycle[0]
    assert [fn.keywords["r1"] for fn in cycle] == [i % r1 == 0 for i in range(length)]
    assert [fn.keywords["path"] for fn in cycle] == [i % path == 0 for i in range(length)]


def test_no_turns_where_there_is_nothing_to_take_turns():
    none = dataclasses.replace(TINY, r1=R1(0.0), path_weight=0.0)(SPEC)
    assert none.cycle == () and not none.step.keywords["r1"] and not none.step.keywords["path"]
    assert dataclasses.replace(TINY, r1_every=1, path_every=1)(SPEC).cycle == ()
    only = dataclasses.replace(TINY, path_weight=0.0)(SPEC).cycle
    assert len(set(only)) == 2 and not any(fn.keywords["path"] for fn in only)


def play(cfg, layout, digits, steps):
    """The states after 0, 1, … steps and the metrics of each."""
    algorithm = cfg(SPEC)
    init = algorithm.init, jax.random.key(3), batch_at(digits, 0, 0, 1)
    state, run = layout.init(*init), layout.train(algorithm.step, layout.like(*init))
    states, metrics = [jax.device_get(state)], []
    for i in range(steps):
        batch = jax.tree.map(lambda x: x[None], batch_at(digits, 7, i, 8))
        state, values = run(jax.random.key(1), state, {}, layout.put(batch, 1))
        states.append(jax.device_get(state))
        metrics.append(jax.device_get(values))
    return states, metrics


@pytest.mark.all
def test_a_step_without_learning_moves_the_means_and_one_with_it_every_parameter(digits):
    tx = Adam(1e-3, b1=0.0, warmup=1)  # the first step has a learning rate of 0
    cfg = edit(TINY, {"optimiser": tx, "disc_optimiser": tx})
    (start, still, moved), metrics = play(cfg, Jit(), digits, 2)
    assert all(np.isfinite(value).all() for values in metrics for value in values.values())
    assert all(
        values[name] > 0
        for values in metrics
        for name in ("penalty", "gen_penalty", "grad_norm")
    )
    for a, b in zip(
        jax.tree.leaves((start.params, start.ema)),
        jax.tree.leaves((still.params, still.ema)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    for (path, a), b in zip(
        jax.tree.leaves_with_path(still.params), jax.tree.leaves(moved.params), strict=True
    ):
        assert np.any(a != b), jax.tree_util.keystr(path)
    key = jax.random.split(jax.random.fold_in(jax.random.key(1), 0))[1]
    gen, disc = start.params["gen"], start.params["disc"]
    loss = jax.jit(functools.partial(sg.gen_loss, cfg=cfg, spec=SPEC))
    parts = loss(gen, disc, start.extra, key, batch_at(digits, 7, 0, 8))
    np.testing.assert_allclose(still.extra["path"], 0.01 * parts["length"].mean(), rtol=1e-4)
    np.testing.assert_allclose(
        still.extra["w"], 0.005 * parts["w"].mean(0), rtol=1e-3, atol=1e-7
    )
    assert int(moved.step) == 2


@pytest.mark.all
def test_the_means_are_those_of_the_whole_batch_in_every_layout(digits):
    tx = Adam(1e-3, b1=0.0, eps=1e-3)
    nets = {"synthesis": Linear(), "disc": MLP(())}
    augment = Ada(p=0.5, rate=0.1, geometry=False)
    cfg = dataclasses.replace(
        TINY, **nets, condition=(), augment=augment, optimiser=tx, disc_optimiser=tx
    )
    (one, metrics), (other, values) = (
        play(cfg, layout, digits, 2) for layout in (Jit(), Pmap())
    )
    assert one[1].extra["augment"]["p"] != one[0].extra["augment"]["p"]
    for name in metrics[1]:
        np.testing.assert_allclose(metrics[1][name], values[1][name], rtol=2e-4, atol=1e-6)
    for a, b in zip(
        jax.tree.leaves(one[2].extra), jax.tree.leaves(other[2].extra), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)
    for a, b in zip(
        jax.tree.leaves(one[2].params), jax.tree.leaves(other[2].params), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_the_sign_is_about_the_games_balance(digits):
    cfg = dataclasses.replace(
        TINY, synthesis=Linear(), disc=MLP(()), condition=(), game=LeastSquares()
    )
    batch = batch_at(digits, 7, 0, 8)
    state = jax.jit(cfg(SPEC).init)(jax.random.key(0), batch)
    for level, sign in ((0.51, 1.0), (0.49, -1.0)):
        disc = jax.tree.map(
            lambda w, a=level: jnp.full_like(w, a if w.ndim == 1 else 0.0), state.params["disc"]
        )
        parts = sg.disc_loss(
            disc, state.params["gen"], state.extra, jax.random.key(1), batch, cfg, SPEC
        )
        assert parts["sign"].tolist() == [sign] * 8


def test_the_discriminator_judges_one_by_one_unless_it_has_groups():
    x, key = normal(0, 6, 8, 8, 1), jax.random.key(1)
    groups = np.asarray(x).reshape(3, 2, 8, 8, 1).std(1).mean((1, 2, 3))
    np.testing.assert_allclose(deviation(x, 2)[:, 3, 4, 0], np.repeat(groups, 2), rtol=1e-4)
    for group in (0, 2):
        net = StyleDiscriminator((4, 5), group)
        init, apply = (jax.jit(each, static_argnums=3) for each in (net.init, net.apply))
        params = init(key, x[:1], Cond(LABEL.vector[:1]), (1,))
        change = apply(params, x, LABEL, (1,)) - apply(params, x.at[5].set(0.0), LABEL, (1,))
        change = np.asarray(change)[:, 0]
        assert np.flatnonzero(np.abs(change) > 1e-6).tolist() == list(
            range(6 - max(group, 1), 6)
        )
    with pytest.raises(UserError, match="does not divide the 6 examples"):
        StyleDiscriminator((4, 5), 4).apply(params, x, LABEL, (1,))


class Coupled(nn.Module):
    """StyleGAN2's minibatch deviation in a net without convolutions, which compiles sooner."""

    group: int = 2

    @property
    def coupled(self):
        return self.group

    @nn.compact
    def __call__(self, x, cond, out):
        h = nn.Dense(5)(x.reshape(len(x), -1))
        group = 1 if self.is_initializing() else self.group
        spread = deviation(h[:, None, None], group)[:, 0, 0]  # [B, 1]
        return nn.Dense(1)(jnp.tanh(jnp.concatenate([h, 10.0 * spread], -1)))


def grouped(group=2):
    """Both families with a discriminator that couples neighbours."""
    tx = Adam(1e-3, b1=0.0, eps=1e-3)
    same = {"optimiser": tx, "disc_optimiser": tx, "disc": Coupled(group)}
    style = dataclasses.replace(TINY, synthesis=Linear(), condition=(), **same)
    gan = GAN(latent=6, gen=MLP((8,)), penalties=(R1(1.0),), critic_steps=2, **same)
    return {"stylegan2": style, "gan": gan}


@pytest.mark.parametrize("name", ["stylegan2", "gan"])
def test_microbatches_keep_the_groups_of_the_whole_batch(name, digits):
    cfg, batch = grouped()[name], batch_at(digits, 7, 0, 16)
    state = jax.jit(cfg(SPEC).init)(jax.random.key(0), batch)
    results = []
    for parts in (1, 4):
        algorithm = cfg(SPEC._replace(microbatches=parts))
        results.append(jax.jit(algorithm.step)(jax.random.key(1), state, batch))
    (one, metrics), (other, values) = results
    for key in metrics:
        np.testing.assert_allclose(values[key], metrics[key], rtol=5e-4, atol=1e-6, err_msg=key)
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)  # of a step of 1e-3
    # parts whose groups would not be whole
    torn = grouped(4)[name](SPEC._replace(microbatches=4))
    with pytest.raises(UserError, match=r"--microbatches=4 would tear the groups of .*group=4"):
        torn.step(jax.random.key(1), state, batch_at(digits, 7, 0, 24))


def test_parts_hold_whole_groups():
    batch = {"index": jnp.arange(24), "image": jnp.arange(24.0)[:, None]}
    ordered = in_groups(batch, StyleDiscriminator((4,), 3), 4)
    parts = [part["index"].tolist() for part in divided(ordered, 4)]
    assert parts == [[3 * i + j for i in (k, k + 4) for j in range(3)] for k in range(4)]
    np.testing.assert_array_equal(ordered["image"][:, 0], ordered["index"])
    # groups of channels couple no examples
    for disc in (StyleDiscriminator((4,)), MLP(), R3Discriminator((4,), group=7)):
        assert in_groups(batch, disc, 4) is batch
    assert in_groups(batch, StyleDiscriminator((4,), 3), 1) is batch


def test_the_discriminator_projects_the_label():
    x, net = normal(0, 6, 8, 8, 1), StyleDiscriminator((4, 5))
    init, apply = (jax.jit(each, static_argnums=3) for each in (net.init, net.apply))
    params = init(jax.random.key(1), x, LABEL, (1,))
    values = [
        np.asarray(apply(params, x, label, (1,)))
        for label in (LABEL, Cond(LABEL.vector[::-1]), Cond(0 * LABEL.vector), None)
    ]
    assert np.abs(values[0] - values[1]).max() > 1e-2
    np.testing.assert_allclose(values[2], values[3], rtol=1e-5)  # a row of zeros is no label


@pytest.mark.parametrize(
    "changes, spec, message",
    [
        ({"condition": (Label(),)}, labelled(Image((8, 8, 1))), "needs labels"),
        ({}, labelled(Points((2,)), 10), "makes images"),
        ({"r1_every": 0}, SPEC, "--algorithm.r1_every=0 must be at least 1"),
        ({"path_every": 0}, SPEC, "--algorithm.path_every=0 must be at least 1"),
        ({"r1": R1(-1.0)}, SPEC, "--algorithm.r1.gamma=-1.0 must be at least 0"),
        ({"mixing": 1.5}, SPEC, "--algorithm.mixing=1.5 must lie between 0 and 1"),
        ({"path_decay": -0.1}, SPEC, "--algorithm.path_decay=-0.1"),
        ({"synthesis": StyleSynthesis((4, 4, 4, 4, 4))}, SPEC, "use at most 4 widths"),
        ({"synthesis": StyleSynthesis((4, 0))}, SPEC, "--algorithm.synthesis.widths="),
        (
            {"disc": StyleDiscriminator((4, 4, 4))},
            labelled(Image((10, 10, 1)), 10),
            "--algorithm.synthesis.widths|use at most 2",
        ),
        ({"disc": StyleDiscriminator((4,), -1)}, SPEC, "--algorithm.disc.group=-1"),
        ({"mapping": StyleMapping(0)}, SPEC, "--algorithm.mapping.depth=4"),
    ],
)
def test_user_errors(changes, spec, message):
    with pytest.raises(UserError, match=message) as error:
        algorithm = edit(TINY, changes)(spec)
        batch = {"image": np.zeros((1, *spec.shape), np.uint8), "label": np.zeros(1, np.int32)}
        jax.eval_shape(algorithm.init, jax.random.key(0), batch)
    assert "\n" not in str(error.value)
