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
from genjax.gan.games import LeastSquares
from genjax.gan.penalties import R1
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


def test_brightness_that_is_the_number_becomes_what_was_asked():
    rows = batch()
    # a way back that weighs as much as the paper's holds so small a net where it starts
    cfg = edit(CFG, {"cycle": 0.3})
    algorithm = cfg(SPEC)
    assert algorithm.asks == ("input", "image", "age")
    state = algorithm.init(jax.random.key(0), rows)
    step = jax.jit(algorithm.step)
    for i in range(400):
        state, metrics = step(jax.random.key(i), state, rows)
    assert metrics["disc_misread"] < 1e-3 and metrics["asked"] < 1e-2
    wanted = np.asarray(scaled(CFG, rows["age"])) / 2 + 0.5
    made = algorithm.sample(jax.random.key(0), state, rows)
    np.testing.assert_allclose(made.mean((1, 2, 3)), wanted, atol=0.06)
    # the answers were never looked at
    hidden = {**rows, "image": np.zeros_like(rows["image"])}
    other = algorithm.init(jax.random.key(0), hidden)
    for i in range(2):
        other, _ = step(jax.random.key(i), other, hidden)
    again = algorithm.init(jax.random.key(0), rows)
    for i in range(2):
        again, _ = step(jax.random.key(i), again, rows)
    jax.tree.map(np.testing.assert_array_equal, averaged(other), averaged(again))
    # half the strength is half the way
    half = edit(cfg, {"strength": 0.5})(SPEC).sample(jax.random.key(0), state, rows)
    given = rows["input"] / 255.0
    np.testing.assert_allclose(half, (given + np.asarray(made)) / 2, atol=0.02)


def test_a_net_of_zeros_leaves_pictures_alone():
    rows = batch()
    algorithm = CFG(SPEC)
    state = algorithm.init(jax.random.key(0), rows)
    made = algorithm.sample(jax.random.key(0), state, rows)
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
    ],
)
def test_what_cannot_be_trained_is_one_line(changes, told):
    with pytest.raises(UserError, match=told) as error:
        edit(CFG, changes)(SPEC)
    assert "\n" not in str(error.value)
