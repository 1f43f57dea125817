"""pix2pix and Palette: what the absolute error alone learns, what the game adds, and what is refused."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.conditions import Numbers
from genjax.config import edit
from genjax.core import Spec
from genjax.data.batches import batch_at
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.gan.games import LeastSquares
from genjax.gan.penalties import R1
from genjax.nets import ResnetDiscriminator, TimeMLP
from genjax.nets.blocks import dropout, join, masks
from genjax.nets.patchgan import PatchGAN
from genjax.optim import Adam
from genjax.translate.palette import Palette
from genjax.translate.pix2pix import Pix2pix

IMAGE = Image((4, 4, 1))
SPEC = Spec((("image", IMAGE), ("input", IMAGE)), 100)
SHADES = (0.1, 0.2, 0.9)  # what a black input may become; their median is not their mean
TX = Adam(3e-2, b1=0.5)


class Table(nn.Module):
    """One number for black inputs and one for white ones: nothing that could not reach the best answer."""

    @nn.compact
    def __call__(self, x, time, cond, out):
        values = self.param("values", nn.initializers.zeros, (2,))
        white = (x.mean((1, 2, 3)) > 0).astype(jnp.int32)
        noise = 0.0 if cond is None else cond.vector.mean(-1)
        answer = values[white] + noise
        return jnp.broadcast_to(answer[:, None, None, None], (len(x), *out))


class Drops(nn.Module):
    """A dense layer whose values are dropped as those of the larger nets are."""

    dropout: float = 0.5

    @nn.compact
    def __call__(self, x, time, cond, out):
        h = nn.relu(nn.Dense(32)(join(x, cond)))
        h = dropout(h, self.dropout, masks(self))
        return nn.Dense(16)(h).reshape(len(x), *out)


class Told(nn.Module):
    """A number for each place of what it is told."""

    @nn.compact
    def __call__(self, x, time, cond, out):
        values = nn.Dense(1, use_bias=False)(cond.vector)
        return jnp.broadcast_to(values[:, :, None, None], (len(x), *out))


def pairs() -> dict:
    """Black inputs with three truths in turn, white ones with white."""
    n = 60
    white = np.arange(n) % 2
    shade = np.array(SHADES)[np.arange(n) // 2 % 3]
    target = np.where(white, 1.0, shade)
    columns = {"image": target, "input": white}
    return {
        name: np.full((n, 4, 4, 1), np.round(255 * values)[:, None, None, None], np.uint8)
        for name, values in columns.items()
    }


def trained(cfg, steps):
    algorithm = cfg(SPEC)
    batch = batch_at(pairs(), 0, 0, 60)
    state = jax.jit(algorithm.init)(jax.random.key(0), batch)
    step = jax.jit(algorithm.step)
    metrics = {}
    for i in range(steps):
        state, metrics = step(jax.random.fold_in(jax.random.key(1), i), state, batch)
    given = {name: batch[name] for name in ("index", *algorithm.asks)}
    return algorithm, state, metrics, given


def test_what_is_asked_for_is_what_is_made():
    asked = Numbers("age", 0.0, 10.0, places=3)
    cfg = Pix2pix(gen=Told(), play=0.0, optimiser=TX, condition=(asked,))
    spec = Spec((*SPEC.fields, ("age", Points((1,)))), 100)
    years = np.tile([0.0, 5.0, 10.0], 4)[:, None]
    shade = np.tile([0.2, 0.5, 0.9], 4)[:, None, None, None] * np.ones((1, 4, 4, 1))
    batch = {
        "image": np.round(255 * shade).astype(np.uint8),
        "input": np.zeros((12, 4, 4, 1), np.uint8),
        "age": np.float32(years),
        "index": np.arange(12, dtype=np.uint32),
    }
    algorithm = cfg(spec)
    assert algorithm.asks == ("input", "image", "age")
    state = jax.jit(algorithm.init)(jax.random.key(0), batch)
    step = jax.jit(algorithm.step)
    for i in range(200):
        state, _ = step(jax.random.key(i), state, batch)
    made = jax.jit(algorithm.sample)(jax.random.key(0), state, batch)
    np.testing.assert_allclose(made[:3, 0, 0, 0], [0.2, 0.5, 0.9], atol=0.03)
    # between two places what the net makes of them is mixed, before the tanh
    half = {**batch, "age": np.full((12, 1), 7.5, np.float32)}
    between = jax.jit(algorithm.sample)(jax.random.key(0), state, half)[0, 0, 0, 0]
    ends = np.arctanh(2.0 * np.asarray(made[1:3, 0, 0, 0]) - 1.0)
    np.testing.assert_allclose(between, (np.tanh(ends.mean()) + 1.0) / 2.0, atol=1e-3)
    with pytest.raises(UserError, match="age"):
        cfg(SPEC)
    # a discriminator is told too
    played = edit(cfg, {"play": 1.0, "disc": PatchGAN((4,), side=1, halvings=0)})(spec)
    made = jax.eval_shape(played.init, jax.random.key(0), batch).params["disc"]
    assert made["layer_0"]["kernel"].shape == (1, 1, 5, 4)  # answer, input, three places


def test_the_absolute_error_alone_learns_the_conditional_median():
    cfg = Pix2pix(gen=Table(), play=0.0, optimiser=TX)
    algorithm, state, metrics, given = trained(cfg, 150)
    made = jax.jit(algorithm.sample)(jax.random.key(2), state, given)[:, 0, 0, 0]
    black = np.asarray(given["input"])[:, 0, 0, 0] == 0
    np.testing.assert_allclose(made[black], np.median(SHADES), atol=0.02)  # their mean is .4
    assert made[~black].min() > 0.95
    # no discriminator is made, none is trained
    assert set(state.params) == {"gen"} and "disc_loss" not in metrics


@pytest.fixture(scope="module")
def game():
    cfg = Pix2pix(
        gen=Drops(),
        disc=PatchGAN((8,), 0, 1),
        game=LeastSquares(),
        penalties=(R1(0.1),),
        latent=3,
        weight=1.0,
        optimiser=Adam(2e-3, b1=0.5),
        disc_optimiser=Adam(2e-3, b1=0.5),
    )
    return cfg, *trained(cfg, 40)


def test_both_players_learn_and_every_number_is_of_an_example(game):
    cfg, algorithm, state, metrics, given = game
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics["disc_higher"] > 0.5 and metrics["absolute"] < 0.9
    values = jax.jit(algorithm.evaluate)(jax.random.key(0), state, given)
    assert {"loss", "absolute", "game", "psnr", "real", "fake", "higher"} == set(values)
    assert all(value.shape == (60,) for value in values.values())


def test_an_answer_is_a_function_of_the_input_and_its_number(game):
    cfg, algorithm, state, _, given = game
    key = jax.random.key(2)
    made = jax.jit(algorithm.sample)(key, state, given)
    assert made.min() >= 0 and made.max() <= 1
    part = {name: values[7:12] for name, values in given.items()}
    np.testing.assert_allclose(
        jax.jit(algorithm.sample)(key, state, part), made[7:12], atol=1e-5
    )
    other = jax.jit(algorithm.sample)(key, state, {**given, "index": given["index"] + 60})
    assert np.abs(other - made).mean() > 1e-3  # noise and dropout: another answer
    # by dropout alone too, which stays on
    undropped = edit(cfg, {"gen.dropout": 0.0})(SPEC)
    quiet = jax.jit(undropped.sample)(key, state, given)
    assert np.abs(quiet - made).mean() > 1e-3
    assert algorithm.picture(made[7:12], part).shape[2] == 1


def test_it_is_known_whether_answers_vary():
    assert Pix2pix().varied  # by dropout
    assert Pix2pix(gen=Table(), latent=1).varied
    assert not Pix2pix(gen=Table()).varied


def test_palette_is_a_diffusion_told_what_is_given():
    net = TimeMLP((32,), waves=0)
    model = edit(Palette().model, {"net": net, "optimiser": Adam(1e-2), "schedule.steps": 4})
    algorithm, state, metrics, given = trained(Palette(model=model), 60)
    assert algorithm.asks == ("input", "image")
    made = jax.jit(algorithm.sample)(jax.random.key(0), state, given)
    white = np.asarray(given["input"])[:, 0, 0, 0] == 255
    assert made[white].mean() > made[~white].mean() + 0.2  # it looks at what is given
    assert algorithm.picture(made, given).shape[2] == 1


TINY = {"gen": Table(), "disc": PatchGAN((8,), 0, 1)}


@pytest.mark.parametrize(
    ("cfg", "spec", "words"),
    [
        (Pix2pix(gen=Table(), disc=PatchGAN((8, 8), 1)), SPEC, "16x16 pixels is larger"),
        (Pix2pix(**TINY, given="iput"), SPEC, "Did you mean input"),
        (Pix2pix(**TINY, given="image"), SPEC, "another picture into 'image'"),
        (Pix2pix(**TINY), SPEC._replace(domains=("a", "b")), "have the domains a, b"),
        (Pix2pix(**TINY, weight=0.0, play=0.0), SPEC, "nothing to learn"),
        (Pix2pix(**TINY, latent=-1), SPEC, "latent=-1"),
        (Pix2pix(gen=Table(), disc=ResnetDiscriminator((8,))), SPEC, "no memory"),
        (Palette("noise"), SPEC, "the data have input"),
    ],
)
def test_what_cannot_be_translated_is_told_in_a_line(cfg, spec, words):
    with pytest.raises(UserError, match=words) as error:
        cfg(spec)
    assert "\n" not in str(error.value)
