"""StarGAN of a number: its losses against numpy, pictures whose brightness is the number, and what is refused."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.conditions import Numbers
from genjax.config import edit
from genjax.core import Spec, averaged
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.gan.games import LeastSquares, Relativistic
from genjax.gan.penalties import R1, R2
from genjax.nets.patchgan import PatchGAN
from genjax.nets.translators import ResidualChange, ResidualTranslator
from genjax.optim import Adam
from genjax.translate.stargan import StarGAN, disc_loss, gen_loss, scaled

IMAGE, NUMBER = Image((4, 4, 1)), Points((1,))
FIELDS = (("image", IMAGE), ("input", IMAGE), ("age", NUMBER), ("before", NUMBER))
SPEC = Spec(FIELDS, 400)
ASKED = Numbers("age", 20.0, 80.0, places=3)


class Moves(nn.Module):
    """A change that is the same everywhere: of the picture's mean and of what is asked."""

    @nn.compact
    def __call__(self, x, time, cond, out):
        mean = x.mean((1, 2, 3))[:, None]
        seen = jnp.concatenate([mean, cond.vector], 1)
        change = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.zeros)(seen)
        return jnp.broadcast_to(change[:, :, None, None], (len(x), *out))


class Means(nn.Module):
    """A score and a number of every pixel's own brightness."""

    @nn.compact
    def __call__(self, x, cond, out):
        return nn.Dense(out[-1])(x)


CFG = StarGAN(
    asked=ASKED,
    gen=Moves(),
    disc=Means(),
    game=LeastSquares(),
    optimiser=Adam(2e-2, b1=0.5),
    disc_optimiser=Adam(2e-2, b1=0.5),
)


def batch() -> dict:
    """Pictures as bright as their number says; answers that nobody may look at."""
    rng = np.random.default_rng(0)
    before, asked = rng.uniform(20, 80, (2, 32, 1)).astype(np.float32)
    grey = np.round(255 * (before - 20) / 60)[:, :, None, None]
    return {
        "image": rng.integers(0, 256, (32, 4, 4, 1), np.uint8),
        "input": np.uint8(grey * np.ones((1, 4, 4, 1))),
        "age": asked,
        "before": before,
        "index": np.arange(32, dtype=np.uint32),
    }


def compiled(loss, cfg):
    """A loss(mine, other's, key, batch) as one program."""
    return jax.jit(functools.partial(loss, cfg=cfg, spec=SPEC))


def test_losses_are_those_of_the_equations():
    rows = batch()
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(4, 1)).astype(np.float32) / 4
    head, bias = rng.normal(size=(1, 2)).astype(np.float32), np.float32([0.3, -0.2])
    gen = {"Dense_0": {"kernel": kernel}}
    disc = {"Dense_0": {"kernel": head, "bias": bias}}
    x = 2.0 * rows["input"].mean((1, 2, 3)) / 255 - 1.0  # one number a picture

    def share(number):
        places = np.array([20.0, 50.0, 80.0])
        return np.maximum(1 - np.abs(number - places) / 30, 0)

    def moved(at, number):
        return at + kernel[0, 0] * at + share(number) @ kernel[1:, 0]

    def of(at):
        return at * head[0, 0] + bias[0], at * head[0, 1] + bias[1]

    own = (rows["before"][:, 0] - 20) / 30 - 1
    wanted = (rows["age"][:, 0] - 20) / 30 - 1
    made = moved(x, rows["age"])
    back = moved(made, rows["before"])
    (real, seen), (fake, read) = of(x), of(made)
    # least squares towards 1 of what is real and 0 of what is made, halved
    game = CFG.game.gen(real, fake)
    parts = compiled(gen_loss, CFG)(gen, disc, jax.random.key(0), rows)
    np.testing.assert_allclose(parts["game"], game, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(parts["asked"], (read - wanted) ** 2, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(parts["cycle"], 10.0 * np.abs(back - x), rtol=1e-3, atol=1e-5)
    total = parts["game"] + parts["asked"] + parts["cycle"]
    np.testing.assert_allclose(parts["loss"], total, rtol=1e-6)
    cfg = edit(CFG, {"penalties": (R1(2.0),)})
    parts = compiled(disc_loss, cfg)(disc, gen, jax.random.key(0), rows)
    np.testing.assert_allclose(parts["misread"], (seen - own) ** 2, rtol=1e-3, atol=1e-5)
    # of a score that is the mean of 16 pixels the slope is head / 16 everywhere
    np.testing.assert_allclose(parts["penalty"], head[0, 0] ** 2 / 16, rtol=1e-4)
    total = CFG.game.disc(real, fake) + parts["misread"] + parts["penalty"]
    np.testing.assert_allclose(parts["loss"], total, rtol=1e-4, atol=1e-5)


class Weighed(nn.Module):
    """A score of every pixel: of its brightness, and of brightness times what is told."""

    @nn.compact
    def __call__(self, x, cond, out):
        told = jnp.broadcast_to(cond.vector[:, None, None], (*x.shape[:3], 3))
        score = nn.Dense(1, use_bias=False)(jnp.concatenate([x, x * told, x**2 / 2], -1))
        return jnp.broadcast_to(score, (*x.shape[:3], out[-1]))


TOLD = edit(
    CFG,
    {
        "disc": Weighed(),
        "told": True,
        "game": Relativistic(),
        "penalties": (R1(2.0), R2(6.0)),
        "every": 4,
    },
)


def test_losses_of_a_critic_that_is_told_the_number():
    rows = batch()
    rng = np.random.default_rng(2)
    kernel = rng.normal(size=(4, 1)).astype(np.float32) / 4
    head = rng.normal(size=(5, 1)).astype(np.float32)
    gen = {"Dense_0": {"kernel": kernel}}
    disc = {"Dense_0": {"kernel": head}}
    x = 2.0 * rows["input"].mean((1, 2, 3)) / 255 - 1.0
    own, asked = rows["before"], rows["age"]

    def share(number):
        return np.maximum(1 - np.abs(number - np.array([20.0, 50.0, 80.0])) / 30, 0)

    def moved(at, number):
        return at + kernel[0, 0] * at + share(number) @ kernel[1:, 0]

    def score(at, number):
        return head[0, 0] * at + at * (share(number) @ head[1:4, 0]) + head[4, 0] * at**2 / 2

    def slope2(at, number):
        # a picture's score is the mean of 16 pixels
        return (head[0, 0] + share(number) @ head[1:4, 0] + head[4, 0] * at) ** 2 / 16

    def paid(high, low):
        return np.log1p(np.exp(low - high))

    made = moved(x, asked)
    real, fake, wrong = score(x, own), score(made, asked), score(x, asked)
    close = {"rtol": 1e-3, "atol": 1e-5}
    parts = compiled(gen_loss, TOLD)(gen, disc, jax.random.key(0), rows)
    # arXiv:1807.00734: what is made against the real one, each with its number
    np.testing.assert_allclose(parts["game"], paid(fake, real), **close)
    np.testing.assert_allclose(parts["asked"], 0.0)
    np.testing.assert_allclose(
        parts["cycle"], 10.0 * np.abs(moved(made, own) - x), rtol=1e-3, atol=1e-5
    )
    parts = compiled(disc_loss, TOLD)(disc, gen, jax.random.key(0), rows)
    # a real picture with another's number
    np.testing.assert_allclose(parts["misread"], paid(real, wrong), **close)
    # gamma / 2 of each, four times over
    penalty = 4 * (1.0 * slope2(x, own) + 3.0 * slope2(made, asked))
    np.testing.assert_allclose(parts["penalty"], penalty, **close)
    total = paid(real, fake) + paid(real, wrong) + penalty
    np.testing.assert_allclose(parts["loss"], total, **close)
    late = compiled(functools.partial(disc_loss, due=False), edit(TOLD, {"read": 0.0}))
    parts = late(disc, gen, jax.random.key(0), rows)
    np.testing.assert_allclose(parts["loss"], paid(real, fake), **close)
    # due once in four steps
    steps = TOLD(SPEC).cycle
    assert len(steps) == 4 and steps[0] is not steps[1] and steps[1] is steps[3]


@pytest.mark.all
def test_a_critic_that_is_told_the_number_moves_brightness_to_what_was_asked():
    rows = batch()
    quick = Adam(1e-2, b1=0.0, b2=0.99)
    cfg = edit(
        TOLD,
        {
            "gen": ResidualChange((8,), blocks=1),
            "disc": PatchGAN((16, 16), halvings=0, side=1),
            "penalties": (R1(0.01), R2(0.01)),
            "cycle": 0.3,
            "optimiser": quick,
            "disc_optimiser": quick,
        },
    )
    algorithm = cfg(SPEC)
    state = jax.jit(algorithm.init)(jax.random.key(0), rows)
    steps = {each: jax.jit(each) for each in set(algorithm.cycle)}
    for i in range(300):
        turn = algorithm.cycle[i % 4]
        state, _ = steps[turn](jax.random.key(i), state, rows)
    given = rows["input"].mean((1, 2, 3)) / 255.0
    made = jax.jit(algorithm.sample)(jax.random.key(0), state, rows)
    change = np.asarray(made).mean((1, 2, 3)) - given
    wanted = np.asarray(scaled(CFG, rows["age"])) / 2 + 0.5 - given
    # least squares: 1 is as asked, 0 nothing
    assert 0.7 < np.sum(change * wanted) / np.sum(wanted**2) < 1.3
    assert np.corrcoef(change, wanted)[0, 1] > 0.9


def test_a_change_is_that_of_the_residual_net_and_hears_what_it_is_told():
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, 4, 4, 1)), jnp.float32)
    out = (4, 4, 1)
    whole, change = ResidualTranslator((4, 4), blocks=1), ResidualChange((4, 4), blocks=1)
    time = jnp.zeros(2)

    @jax.jit
    def same(key):
        params = whole.init(key, x, None, out)
        # a net that is told nothing has the weights of the other
        return whole.apply(params, x, None, out) - x, change.apply(params, x, time, None, out)

    np.testing.assert_allclose(*same(jax.random.key(0)), atol=1e-6)

    @jax.jit
    def told(key, cond):
        params = change.init(key, x, time, cond, out)
        return change.apply(params, x, time, cond, out)

    young, old = (ASKED({"age": jnp.full((2, 1), years)}, SPEC) for years in (20.0, 80.0))
    moved = told(jax.random.key(0), young)
    assert np.abs(moved - told(jax.random.key(0), old)).max() > 1e-5
    # slight at the start
    assert np.abs(moved).max() < 0.05
    words = young._replace(tokens=jnp.zeros((2, 2, 4)))
    for cond, shape, line in (young, (4, 4, 3), "channels"), (words, out, "cannot attend"):
        with pytest.raises(UserError, match=line):
            change.init(jax.random.key(0), x, time, cond, shape)


def test_brightness_that_is_the_number_becomes_what_was_asked():
    rows = batch()
    # a way back that weighs as much as the paper's holds so small a net where it starts
    cfg = edit(CFG, {"cycle": 0.3})
    algorithm = cfg(SPEC)
    assert algorithm.asks == ("input", "image", "age")
    state = jax.jit(algorithm.init)(jax.random.key(0), rows)
    step = jax.jit(algorithm.step)
    for i in range(400):
        state, metrics = step(jax.random.key(i), state, rows)
    assert metrics["disc_misread"] < 1e-3 and metrics["asked"] < 1e-2
    wanted = np.asarray(scaled(CFG, rows["age"])) / 2 + 0.5
    made = jax.jit(algorithm.sample)(jax.random.key(0), state, rows)
    np.testing.assert_allclose(made.mean((1, 2, 3)), wanted, atol=0.06)
    # the answers were never looked at
    hidden = {**rows, "image": np.zeros_like(rows["image"])}
    other = jax.jit(algorithm.init)(jax.random.key(0), hidden)
    for i in range(2):
        other, _ = step(jax.random.key(i), other, hidden)
    again = jax.jit(algorithm.init)(jax.random.key(0), rows)
    for i in range(2):
        again, _ = step(jax.random.key(i), again, rows)
    jax.tree.map(np.testing.assert_array_equal, averaged(other), averaged(again))
    # half the strength is half the way
    weaker = edit(cfg, {"strength": 0.5})(SPEC)
    half = jax.jit(weaker.sample)(jax.random.key(0), state, rows)
    given = rows["input"] / 255.0
    np.testing.assert_allclose(half, (given + np.asarray(made)) / 2, atol=0.02)


def test_a_net_of_zeros_leaves_pictures_alone():
    rows = batch()
    algorithm = CFG(SPEC)
    state = jax.jit(algorithm.init)(jax.random.key(0), rows)
    made = jax.jit(algorithm.sample)(jax.random.key(0), state, rows)
    np.testing.assert_allclose(made, rows["input"] / 255.0, atol=1e-6)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"asked": Numbers("hats", 0.0, 1.0)}, "hats"),
        ({"own": "hats"}, "--algorithm.own=hats"),
        ({"own": "image"}, "--algorithm.own=image"),
        ({"given": "hats"}, "--algorithm.given=hats"),
        ({"read": -1.0}, "--algorithm.read=-1"),
        ({"cycle": -1.0}, "--algorithm.cycle=-1"),
        ({"strength": 0.0}, "--algorithm.strength=0"),
        ({"every": 0}, "--algorithm.every=0"),
    ],
)
def test_what_cannot_be_trained_is_one_line(changes, told):
    with pytest.raises(UserError, match=told) as error:
        edit(CFG, changes)(SPEC)
    assert "\n" not in str(error.value)
