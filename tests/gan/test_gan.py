"""The GAN's step: its order, its lazy penalties, the discriminators and distances that it must find."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.conditions import Cond, Label
from genjax.config import edit
from genjax.core import descend, divided, labelled
from genjax.ema import Decay
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.gan import gan
from genjax.gan.augment import Ada
from genjax.gan.games import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    Wasserstein,
)
from genjax.gan.gan import GAN
from genjax.gan.penalties import R1, Gradient
from genjax.nets import (
    MLP,
    R3Discriminator,
    R3Generator,
    ResnetDiscriminator,
    ResnetGenerator,
    Tanh,
)
from genjax.optim import Adam

LINE, PLANE = labelled(Points((1,)), 0, 100), labelled(Points((2,)), 4, 100)
TINY = GAN(
    latent=2,
    gen=MLP((8,), Tanh()),
    disc=MLP((8,), Tanh()),
    optimiser=Adam(1e-2),
    disc_optimiser=Adam(1e-2),
)


def points(n, shape=(2,), seed=0):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(n, *shape)).astype(np.float32)
    return {
        "image": image,
        "label": np.arange(n, dtype=np.int32) % 4,
        "index": np.arange(n, dtype=np.uint32),
    }


def learned(cfg, spec, x, steps=400, lr=0.05):
    """A discriminator trained against one generator that stands still: its function [n, d] -> [n]."""
    state = jax.jit(cfg(spec).init)(jax.random.key(0), x)
    gen, tx = state.params["gen"], optax.adam(lr)

    def step(playing, key):
        def mean(disc, x):
            return jnp.mean(
                gan.disc_loss(disc, gen, state.extra, key, x, cfg, spec)["loss"]
            ), {}

        disc, opt = playing
        return descend(mean, tx, disc, opt, x)[:2], None

    # all steps are one program
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(1), i))(jnp.arange(steps))
    disc = state.params["disc"]
    (disc, _), _ = jax.jit(lambda *start: jax.lax.scan(step, start, keys))(disc, tx.init(disc))
    return lambda x: gan.discriminate(disc, {}, x, None, cfg)


class Shift(MLP):
    """G(z) = z - 1."""

    def __call__(self, z, label, out):
        return z - 1.0


@pytest.mark.parametrize(
    "game", [Minimax(), NonSaturating(), Relativistic()], ids=lambda g: type(g).__name__
)
def test_the_best_discriminator_of_two_gaussians_is_their_log_ratio(game):
    x = points(4000, (1,)) | {
        "image": np.random.default_rng(3).normal(1.0, 1.0, (4000, 1)).astype(np.float32)
    }
    cfg = edit(
        TINY, {"latent": 1, "gen": Shift(), "disc": MLP(), "game": game, "penalties": ()}
    )
    disc = learned(cfg, LINE, x)
    d = disc(jnp.array([[-1.0], [0.0], [1.0]]))  # log N(x; 1, 1) - log N(x; -1, 1) = 2 x
    assert float(d[2] - d[0]) == pytest.approx(4.0, rel=0.08)
    if game != Relativistic():
        assert float(d[1]) == pytest.approx(0.0, abs=0.15)


class Origin(MLP):
    """G(z) = 0."""

    def __call__(self, z, label, out):
        return jnp.zeros((len(z), *out))


def test_the_wasserstein_critic_finds_how_far_points_were_shifted():
    shift, weight = np.array([0.6, 0.8], np.float32), 10.0
    x = points(64) | {"image": np.tile(shift, (64, 1))}
    cfg = edit(
        TINY,
        {
            "gen": Origin(),
            "disc": MLP(),
            "game": Wasserstein(),
            "penalties": (Gradient(weight),),
        },
    )
    disc = learned(cfg, PLANE, x, 1500, 0.01)
    distance = disc(shift[None]) - disc(np.zeros((1, 2), np.float32))
    assert float(distance[0]) == pytest.approx(
        1.0 + 1.0 / (2 * weight), rel=2e-3
    )  # d s - w (s - 1)² at its best s


@pytest.mark.all
def test_the_generator_answers_the_discriminator_that_has_moved():
    cfg, key, batch = edit(TINY, {"ema": Decay(0.0)}), jax.random.key(5), points(16)
    state = jax.jit(cfg(PLANE).init)(jax.random.key(0), batch)
    new, metrics = jax.jit(functools.partial(gan.step, cfg=cfg, spec=PLANE))(key, state, batch)

    def means(loss, who, other, turn):
        def mean(params, batch):
            found = loss(params, other, state.extra, turn, batch, cfg, PLANE)
            return jnp.mean(found["loss"] if isinstance(found, dict) else found), {}

        return descend(mean, cfg.optimiser(100), state.params[who], state.opt[who], batch)[0]

    disc = means(gan.disc_loss, "disc", state.params["gen"], jax.random.fold_in(key, 0))
    gen = means(gan.gen_loss, "gen", disc, jax.random.fold_in(key, 1))
    together = means(gan.gen_loss, "gen", state.params["disc"], jax.random.fold_in(key, 1))

    def apart(a, b):
        return max(
            float(jnp.abs(x - y).max())
            for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
        )

    assert apart(new.params["disc"], disc) < 1e-6 and apart(new.params["gen"], gen) < 2e-5
    assert (
        apart(new.params["gen"], together) > 1e-4
    )  # which simultaneous descent would have given
    assert {
        "loss",
        "gen_loss",
        "grad_norm",
        "gen_grad_norm",
        "real",
        "fake",
        "higher",
        "penalty",
    } <= set(metrics)


def test_critic_steps_divide_the_batch_and_clipped_weights_stay_in_their_box():
    parts = divided(points(12), 3)
    np.testing.assert_array_equal([p["index"] for p in parts], np.arange(12).reshape(4, 3).T)
    cfg = edit(
        TINY, {"critic_steps": 3, "weight_clip": 0.01, "penalties": (), "game": Wasserstein()}
    )
    algorithm = cfg(PLANE)
    state = jax.jit(algorithm.init)(jax.random.key(0), points(12))
    new, _ = jax.jit(algorithm.step)(jax.random.key(1), state, points(12))
    assert max(
        float(jnp.abs(w).max()) for w in jax.tree.leaves(new.params["disc"])
    ) == pytest.approx(0.01)
    assert (
        int(jax.tree.leaves(new.opt["disc"])[0]) == 3
        and int(jax.tree.leaves(new.opt["gen"])[0]) == 1
    )
    with pytest.raises(UserError, match="critic_steps=3 does not divide the 16 examples"):
        algorithm.step(jax.random.key(1), state, points(16))
    with pytest.raises(
        UserError,
        match="microbatches=8 does not divide the 4 examples of each of .*critic_steps=3",
    ):
        cfg(PLANE._replace(microbatches=8)).step(jax.random.key(1), state, points(12))


def test_lazy_penalties_weigh_as_much_as_those_of_every_step():
    cfg = edit(TINY, {"every": 3, "penalties": (R1(2.0),)})
    algorithm, batch = cfg(PLANE), points(16)
    assert len(algorithm.cycle) == 3 and algorithm.cycle[0] is algorithm.step
    assert algorithm.cycle[1] is algorithm.cycle[2] is not algorithm.step
    state = jax.jit(algorithm.init)(jax.random.key(0), batch)
    due, idle = (jax.jit(fn)(jax.random.key(1), state, batch)[1] for fn in algorithm.cycle[:2])
    always = jax.jit(edit(cfg, {"every": 1})(PLANE).step)(jax.random.key(1), state, batch)[1]
    assert float(idle["penalty"]) == 0.0 < float(always["penalty"])
    np.testing.assert_allclose(due["penalty"], 3.0 * always["penalty"], rtol=1e-5)
    np.testing.assert_allclose(due["loss"] - due["penalty"], idle["loss"], rtol=1e-5)
    assert edit(cfg, {"penalties": ()})(PLANE).cycle == ()


def excess(state):
    """By how much the norm of each spectrally normalised kernel is above 1 in the next call."""
    found = []
    for path, u in jax.tree_util.tree_leaves_with_path(state.extra["disc"]["spectral"]):
        kernel = state.params["disc"]
        for entry in path[:-1]:
            kernel = kernel[entry.key]
        w = np.asarray(kernel["kernel"], np.float64).reshape(-1, len(u))
        v = w @ u / np.linalg.norm(w @ u)  # the one iteration that a call goes on
        u = v @ w / np.linalg.norm(v @ w)
        found.append(np.linalg.norm(w, 2) / (v @ w @ u) - 1.0)
    return found


@pytest.mark.all
@pytest.mark.parametrize("lr", [4e-4, 1e-2], ids=["sngan", "fast"])
def test_spectrally_normalised_kernels_have_norm_one_at_every_step(lr):
    """Kernels start orthogonal: their singular values stay close, where power iteration is slow to choose."""
    spec = labelled(Image((8, 8, 1)), 4, 100)
    nets = {"gen": MLP((8,)), "disc": ResnetDiscriminator((16, 32))}
    optimiser = Adam(lr, b1=0.0, b2=0.9)
    more = {"penalties": (), "condition": (Label(),), "disc_optimiser": optimiser}
    algorithm = edit(TINY, {**nets, **more})(spec)
    start = points(16, (8, 8, 1))
    state, step = jax.jit(algorithm.init)(jax.random.key(0), start), jax.jit(algorithm.step)
    assert len(excess(state)) == 10
    assert max(excess(state)) < 1e-5
    worst = 0.0
    for i in range(60):
        batch = points(16, (8, 8, 1), i)
        state, _ = step(jax.random.fold_in(jax.random.key(1), i), state, batch)
        worst = max(worst, *excess(state))
    assert worst < 0.025


class Level(nn.Module):
    """D(x) = a number, whatever x."""

    start: float = 0.0

    @nn.compact
    def __call__(self, x, cond, out):
        level = self.param("level", nn.initializers.constant(self.start), ())
        return jnp.full((len(x), 1), level)


@pytest.mark.parametrize(
    "game",
    [Minimax(), NonSaturating(), LeastSquares(), Hinge()],
    ids=lambda g: type(g).__name__,
)
def test_ada_goes_by_the_side_of_the_balance_on_which_d_is(game):
    spec, batch = labelled(Image((4, 4, 1)), 0, 10), points(4, (4, 4, 1))
    still = {"penalties": (), "disc_optimiser": Adam(0.0), "game": game}
    cfg = edit(TINY, {**still, "augment": Ada(p=0.5, rate=0.25, colour=False, geometry=False)})
    moved = []
    for away in (0.01, 0.0, -0.01):
        algorithm = edit(cfg, {"disc": Level(game.balance + away)})(spec)
        state = jax.jit(algorithm.init)(jax.random.key(0), batch)
        state, metrics = jax.jit(algorithm.step)(jax.random.key(1), state, batch)
        moved.append(float(state.extra["augment"]["p"]))
        assert float(metrics["sign"]) == np.sign(away)
    assert moved == [0.75, 0.25, 0.25]  # undecided is below the target of 0.6


def test_p_moves_by_the_images_that_d_saw_on_all_devices():
    spec, batch = labelled(Image((4, 4, 1)), 0, 10), points(8, (4, 4, 1))
    still = {"penalties": (), "disc_optimiser": Adam(0.0), "game": NonSaturating()}
    augment = Ada(images=100, blit=False, colour=False, geometry=False)
    algorithm = edit(TINY, {**still, "augment": augment, "disc": Level(1.0)})(spec)
    state = jax.jit(algorithm.init)(jax.random.key(0), batch)
    # two devices, each with half of the batch, as an axis of vmap
    halves = jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[1:]), batch)
    step = functools.partial(algorithm.step, axis="two")
    after, _ = jax.jit(jax.vmap(step, (None, None, 0), axis_name="two"))(
        jax.random.key(1), state, halves
    )
    np.testing.assert_allclose(after.extra["augment"]["p"], 0.08, rtol=1e-6)
    assert gan.everywhere(batch, None) == 8


@pytest.mark.parametrize(
    "game", [Wasserstein(), Relativistic()], ids=lambda g: type(g).__name__
)
def test_without_a_balance_the_sample_is_the_measure_and_ada_is_refused(game):
    real, fake = jnp.array([5.0, 5.0, 7.0]), jnp.array([4.0, 6.0, 7.0])
    parts = gan.judged(game, jnp.ones(3), real, fake)
    assert parts["sign"].tolist() == [1.0, -1.0, 0.0]
    np.testing.assert_array_equal(parts["loss"], game.disc(real, fake) + 1.0)
    with pytest.raises(
        UserError, match=f"adapts by the sign of D.* {type(game).__name__} leaves"
    ):
        edit(TINY, {"game": game, "augment": Ada()})(labelled(Image((4, 4, 1)), 0, 10))


def test_samples_are_functions_of_key_and_index_and_truncation_keeps_codes_near():
    z = gan.latents(jax.random.key(0), np.arange(500, dtype=np.uint32), 16, 0.5)
    assert 0.45 < float(jnp.abs(z).max()) <= 0.5
    whole = gan.latents(jax.random.key(0), np.arange(500, dtype=np.uint32), 16)
    assert float(whole.std()) == pytest.approx(1.0, abs=0.03)
    np.testing.assert_array_equal(
        gan.latents(jax.random.key(0), np.array([7], np.uint32), 16)[0], whole[7]
    )


@pytest.mark.all
def test_r3gan_starts_as_it_should():
    """Fixup: residual branches are silent at the start; labels matter from the first step on."""
    z, x = (
        jax.random.normal(jax.random.key(0), (6, 16)),
        jax.random.normal(jax.random.key(1), (6, 12, 12, 3)),
    )
    label = Cond(jax.nn.one_hot(jnp.arange(6), 6))
    gen, disc = R3Generator((8, 16), patch=2), R3Discriminator((8, 16), patch=2)
    make = jax.jit(lambda p, z: gen.apply(p, z, label, (12, 12, 3)))
    score = jax.jit(lambda p, x, label: disc.apply(p, x, label, (1,)))
    params = jax.jit(lambda key: gen.init(key, z, label, (12, 12, 3)))(jax.random.key(2))
    y = make(params, z)
    assert y.shape == (6, 12, 12, 3) and 0.3 < float(y.std()) < 3.0
    np.testing.assert_allclose(
        y, make(params, 5.0 * z), rtol=1e-3, atol=1e-3
    )  # only the direction of z counts
    variables = jax.jit(lambda key: disc.init(key, x, label, (1,)))(jax.random.key(3))
    scores = score(variables, x, label)
    assert scores.shape == (6, 1) and 0.1 < float(scores.std()) < 5.0
    assert (
        float(jnp.abs(scores - score(variables, x, Cond(jnp.roll(label.vector, 1, 0)))).max())
        > 1e-2
    )
    grads = jax.jit(jax.grad(lambda p: jnp.sum(score(p, x, label) ** 2)))(variables)["params"][
        "Block_0"
    ]
    first, last = (float(jnp.abs(grads[name]["kernel"]).max()) for name in ("Conv_0", "Conv_2"))
    assert first == 0.0 < last  # the last kernel is zero, so only it has a gradient


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"critic_steps": 0}, "--algorithm.critic_steps=0 must be at least 1"),
        ({"every": 0}, "--algorithm.every=0 must be at least 1"),
        ({"latent": 0}, "--algorithm.latent=0 must be at least 1"),
        ({"weight_clip": 0.0}, "--algorithm.weight_clip=0.0 must be above 0"),
        ({"truncation": -1.0}, "--algorithm.truncation=-1.0 must be above 0"),
        (
            {"augment": Ada(rate=0.1)},
            "adapts by the sign of D(x), which Relativistic leaves free",
        ),
        ({"condition": (Label(),)}, "needs labels and this data set has none"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes, told):
    with pytest.raises(UserError, match=re.escape(told)):
        edit(TINY, changes)(LINE)


def test_nets_refuse_sizes_that_they_cannot_make():
    spec, batch = labelled(Image((9, 9, 1)), 0, 10), points(4, (9, 9, 1))
    for gen, disc in (
        (ResnetGenerator((8,)), MLP()),
        (MLP(), ResnetDiscriminator((8,))),
        (R3Generator((8, 8)), MLP()),
    ):
        with pytest.raises(UserError, match=r"divisible by \d, got \(9, 9, 1\)"):
            edit(TINY, {"gen": gen, "disc": disc, "game": LeastSquares()})(spec).init(
                jax.random.key(0), batch
            )
