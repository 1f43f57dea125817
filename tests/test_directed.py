"""Styles moved along the direction of age: everything is known of a linear generator, and of what reads it."""

import dataclasses
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.config import edit
from genjax.core import Spec, State
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.findings.directed import Directed, moved, reach, seen_per_year
from genjax.findings.directions import Means, Regression
from genjax.findings.years import Asked
from genjax.gan.gan import GAN
from genjax.gan.invert import Projector
from genjax.gan.stylegan2 import StyleGAN2
from genjax.metrics.reader import Read, Reader
from genjax.training.experiment import Experiment

SHAPE = (4, 4, 1)
LATENT, LAYERS = 3, 2
RNG = np.random.default_rng(0)
# styles -> pixels in [-1, 1]: short columns at right angles, so that nothing is clipped and a descent is quick
A = 0.1 * np.linalg.qr(RNG.normal(size=(16, LATENT * LAYERS)))[0].T
# pixels in [0, 1] -> years and a pose
READ = RNG.normal(size=(16, 2)) * np.array([60.0, 1.0])
YEARS = 50.0


class Linear(nn.Module):
    """w [B, layers, latent] -> w A."""

    layers: int = LAYERS

    @nn.compact
    def __call__(self, w, keys, out):
        flat = w.reshape(len(w), -1)
        return (flat @ jnp.asarray(A, jnp.float32)).reshape(-1, *out)


class Same(nn.Module):
    """w = z."""

    @nn.compact
    def __call__(self, z, cond, out):
        return z


def numbers_of(pictures):
    """Years and pose of pictures in [0, 1], by the rule that is the truth here."""
    flat = np.asarray(pictures, np.float64).reshape(len(pictures), -1)
    return (flat - 0.5) @ READ + [YEARS, 0.0]


@dataclasses.dataclass(frozen=True)
class Exact:
    """A reader that says what is so, or shares of it."""

    numbers: tuple = ("age", "pose")
    share: float = 1.0

    def names(self, fields):
        return (), self.numbers

    def reading(self, train, folder):
        return lambda pictures: Read(None, None, None, self.share * numbers_of(pictures))

    def taught(self, split):
        return types.SimpleNamespace(numbers=split["numbers"])


ALGORITHM = StyleGAN2(latent=LATENT, mapping=Same(), synthesis=Linear())
WAY = Directed(
    Experiment(algorithm=ALGORITHM),
    samples=200,
    reader=Exact(),
    projector=Projector(steps=120, lr=0.2),
    most=10.0,
)
FIELDS = {"image": Image(SHAPE), "age": Points((1,)), "pose": Points((1,))}


class Log:
    """Keeps what is told."""

    def __init__(self):
        self.results = {}

    def note(self, text):
        pass

    def result(self, name, values):
        self.results[name] = values


def run_of(way: Directed):
    """A run of the linear generator, and pictures of its training set."""
    mean = jnp.zeros(LATENT)
    gen = {"mapping": {}, "synthesis": {}}
    state = State(jnp.zeros((), jnp.int32), {"gen": gen}, {}, {}, {"w": mean})
    flat = RNG.normal(size=(100, LAYERS * LATENT)) @ A
    image = np.uint8(np.round(255 * (0.5 + flat / 2))).reshape(-1, *SHAPE)

    # as they are: compiling would take longer
    def draw(fn, given):
        return np.asarray(fn(jax.random.key(2), state, given))

    return types.SimpleNamespace(
        exp=way.exp,
        spec=Spec(tuple(FIELDS.items())),
        state=state,
        log=Log(),
        source=types.SimpleNamespace(
            fields=FIELDS, train={"image": image, "numbers": numbers_of(image / 255)}
        ),
        draw=draw,
        key=jax.random.key,
        given=lambda n: {"index": np.arange(n, dtype=np.uint32)},
    )


def asked(years: float, layers: bool = True) -> Asked:
    """Faces that the generator can draw, of other styles in each layer or the same in all."""
    rng = np.random.default_rng(1)
    w = rng.normal(size=(5, LAYERS if layers else 1, LATENT))
    flat = np.broadcast_to(w, (5, LAYERS, LATENT)).reshape(5, -1) @ A
    given = (0.5 + flat / 2).reshape(-1, *SHAPE)
    before = numbers_of(given)[:, :1]
    # bytes would be read as other years: the way is given what it inverts as it is
    nothing = np.zeros((5, 0))
    return Asked(given, before, before + years, *[nothing] * 5)


def test_the_direction_is_that_of_the_law_of_styles():
    rng = np.random.default_rng(2)
    mixed = rng.normal(size=(4, 4))
    codes = rng.normal(size=(300, 4)) @ mixed + 1.0
    u = rng.normal(size=(4, 2))
    values = codes @ u + [30.0, 0.0]
    # of a normal law E[w | numbers] is linear: S u (u' S u)^-1 (Rao 1973, sec. 8a.2)
    covariance = np.cov(codes, rowvar=False)
    slope = covariance @ u @ np.linalg.inv(u.T @ covariance @ u)
    step = dataclasses.replace(WAY, direction=Regression()).step(codes, values, 0)
    np.testing.assert_allclose(step, slope[:, 0], rtol=1e-8)
    # a year more is a year more, and the pose stays
    older = moved(codes, step, np.full(300, 7.0)) @ u - codes @ u
    np.testing.assert_allclose(older, np.tile([7.0, 0.0], (300, 1)), atol=1e-8)
    # means of two halves do not hold what goes with the age
    other = dataclasses.replace(WAY, direction=Means()).step(codes, values, 0)
    assert abs(other @ u[:, 1]) > 0.01
    layered = WAY.step(codes.reshape(-1, 2, 2), values, 0)
    np.testing.assert_allclose(layered, step.reshape(2, 2), rtol=1e-8)


def test_a_direction_in_which_nobody_grows_older_is_not_followed():
    assert [reach(seen, 4.0) for seen in (2.0, 0.5, 0.1, 0.0, -0.3)] == [
        0.5,
        2.0,
        4.0,
        0.0,
        0.0,
    ]


def test_a_year_moved_is_seen_as_the_reader_sees_it():
    codes = RNG.normal(size=(20, 2, 3))
    step = RNG.normal(size=(2, 3))
    along = step / np.sum(step**2)

    def years_of(w):
        return 0.4 * np.sum(w * along, (1, 2)) + 3.0

    assert seen_per_year(codes, step, 25.0, years_of) == pytest.approx(0.4)
    # the same step in all layers
    np.testing.assert_allclose(
        moved(codes, step[0], np.arange(20.0))[:, 1],
        codes[:, 1] + np.outer(np.arange(20), step[0]),
    )


def test_a_face_of_a_linear_generator_becomes_as_old_as_asked(monkeypatch):
    share = 0.5
    way = dataclasses.replace(WAY, reader=Exact(share=share))
    run = run_of(way)
    monkeypatch.setattr(
        Image, "encode", lambda self, x: 2.0 * jnp.asarray(x, jnp.float32) - 1.0
    )
    answer = way.start(run)
    # who sees half of the years has seen half of them in the search too
    assert run.log.results["direction of age"]["seen"] == pytest.approx(1.0, rel=1e-3)
    question = asked(12.0)
    made = numbers_of(answer(question))
    wanted = numbers_of(question.given) + np.array([12.0 / share, 0.0])
    np.testing.assert_allclose(made, wanted, atol=0.1)
    # no years: what the inversion alone makes of them, here all
    still = answer(asked(0.0))
    np.testing.assert_allclose(still, question.given, atol=1e-3)


@pytest.mark.all
def test_faces_of_known_years_tell_the_direction():
    way = dataclasses.replace(WAY, faces=100, reader=Exact(share=0.5))
    run = run_of(way)
    way.start(run)
    # the direction knows the years, and the reader sees half: so styles go twice as far as it says
    assert run.log.results["direction of age"]["seen"] == pytest.approx(0.5, rel=0.02)


@pytest.mark.all
def test_one_style_for_all_layers(monkeypatch):
    monkeypatch.setattr(
        Image, "encode", lambda self, x: 2.0 * jnp.asarray(x, jnp.float32) - 1.0
    )
    run = run_of(WAY)
    narrow = dataclasses.replace(WAY, wide=False).start(run)
    question = asked(10.0, layers=False)
    made = numbers_of(narrow(question))
    np.testing.assert_allclose(made[:, 0], question.years[:, 0], atol=0.1)
    # of styles that differ from layer to layer one style is not enough
    question = asked(0.0)
    assert np.abs(narrow(question) - question.given).max() > 0.02


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"exp.algorithm": GAN()}, "Directed\\(\\) moves styles, and GAN has none"),
        ({"reader": Reader(numbers=("pose",))}, "needs the years of faces"),
        ({"reader": Reader("hats", ("age",))}, "no field 'hats'"),
        ({"projector.steps": 0}, "projector.steps=0"),
        ({"samples": 9}, "samples=9"),
        ({"faces": 9}, "faces=9"),
        ({"faces": -1}, "faces=-1"),
        ({"span": 0.0}, "span=0"),
        ({"most": 0.5}, "most=0.5"),
    ],
)
def test_what_cannot_be_moved_is_one_line(changes, told):
    source = types.SimpleNamespace(fields=FIELDS)
    with pytest.raises(UserError, match=told) as error:
        edit(Directed(WAY.exp), changes).check(source)
    assert "\n" not in str(error.value)
    Directed(WAY.exp).check(source)


def test_data_without_years_are_refused():
    with pytest.raises(UserError, match="needs the years of faces"):
        Directed(WAY.exp).check(types.SimpleNamespace(fields={"image": Image(SHAPE)}))
