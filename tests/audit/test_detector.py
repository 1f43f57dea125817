"""The detector under the contract: its loss by hand, what it learns of two known kinds, its views, its errors."""

import jax
import numpy as np
import pytest

from genjax.audit.augment import BlurJpeg
from genjax.audit.detector import Detector, algorithm, logit, loss, summary
from genjax.audit.fronts import Residual, Spectrum, radial
from genjax.core import labelled
from genjax.corruptions import Blur, Jpeg
from genjax.corruptions.jpeg import jpeg
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.metrics.prediction import average_precision
from genjax.nets import MLP
from genjax.optim import Adam

SIDE = 8
SPEC = labelled(Image((SIDE, SIDE, 1)), 2, 100)
LINEAR = Detector(net=MLP(), optimiser=Adam(0.05))


def batch(n: int, seed: int) -> dict[str, np.ndarray]:
    """Noise; what was generated has a wave of 2 pixels laid over it."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    columns = np.where(np.arange(SIDE) % 2, 1.0, -1.0)
    x = 128 + 30 * rng.standard_normal((n, SIDE, SIDE, 1))
    x += 20 * label[:, None, None, None] * columns[None, None, :, None]
    return {
        "image": np.uint8(np.clip(x, 0, 255)),
        "label": label.astype(np.int32),
        "index": np.arange(n, dtype=np.uint32),
    }


def test_the_loss_is_the_cross_entropy_of_the_logit():
    made = algorithm(LINEAR, SPEC)
    few = batch(6, 0)
    state = made.init(jax.random.key(0), few)
    parts = loss(state.params, few, LINEAR, SPEC)
    f = np.asarray(logit(state.params, few["image"] / np.float32(255), LINEAR), np.float64)
    p = 1.0 / (1.0 + np.exp(-f))
    by_hand = -np.log(np.where(few["label"] == 1, p, 1 - p))
    np.testing.assert_allclose(parts["loss"], by_hand, rtol=1e-5)
    np.testing.assert_array_equal(parts["accuracy"], (f > 0) == (few["label"] == 1))


def matched(x: np.ndarray) -> np.ndarray:
    """What the wave leaves: the best statistic of pixels, of white noise (Neyman and Pearson's, but for clipping)."""
    columns = np.where(np.arange(SIDE) % 2, 1.0, -1.0)
    return (x[..., 0] * columns).sum((1, 2))


def ring(x: np.ndarray) -> np.ndarray:
    """The power of the ring on which the wave lies: of radial numbers no other knows anything of it."""
    return np.asarray(radial(x / np.float32(255)))[:, SIDE // 2]


@pytest.mark.all
@pytest.mark.parametrize(
    "cfg, best", [(LINEAR, matched), (Detector(Spectrum(), MLP(), Adam(0.1)), ring)]
)
def test_a_planted_wave_is_found_as_well_as_it_can_be(cfg, best):
    made = algorithm(cfg, SPEC)
    train, test = batch(128, 1), batch(400, 2)
    state = made.init(jax.random.key(0), train)
    step = jax.jit(made.step)
    before = summary(made.evaluate(jax.random.key(1), state, test))
    key = jax.random.key(0)  # a detector draws nothing
    for _ in range(600):
        state, _ = step(key, state, train)
    after = summary(made.evaluate(jax.random.key(1), state, test))
    assert after["loss"] < before["loss"]
    limit = average_precision(best(test["image"]), test["label"] == 1, 2).value
    assert limit > 0.95
    assert limit - 0.02 < after["average_precision"] < limit + 0.02


def test_a_summary_of_one_kind_or_of_a_net_that_diverged_has_no_ranking():
    values = {"loss": np.ones(3), "accuracy": np.zeros(3)}
    alone = {**values, "logit": np.arange(3.0), "generated": np.ones(3)}
    assert summary(alone) == {"loss": 1.0, "accuracy": 0.0}
    broken = {**values, "logit": np.full(3, np.nan), "generated": np.arange(3) % 2}
    assert summary(broken) == {"loss": 1.0, "accuracy": 0.0}
    known = {**values, "logit": np.array([0.0, 2.0, 1.0]), "generated": np.array([0, 1, 1])}
    assert summary(known)["average_precision"] == 1.0


@pytest.mark.all
def test_the_view_is_a_jpeg_or_none_and_evaluation_sees_neither():
    images = batch(40, 3)
    keys = jax.random.split(jax.random.key(0), 40)
    # one quality, and a blur that blurs nothing: what is left is JPEG's
    view = BlurJpeg(0.5, Blur(1e-3, 1e-3), Jpeg(50.0, 50.0))
    seen = np.asarray(jax.jit(view)(keys, images)["image"])
    left = jax.vmap(jpeg, (0, None))(images["image"] / np.float32(255), 50.0)
    left = np.uint8(np.rint(255 * np.asarray(left)))
    plain = (seen == images["image"]).all((1, 2, 3))
    saved = (seen == left).all((1, 2, 3))
    assert np.all(plain | saved) and 8 < saved.sum() < 32
    assert view.still(images) is images
    never = BlurJpeg(0.0)(keys, images)["image"]
    np.testing.assert_array_equal(never, images["image"])


@pytest.mark.all
def test_blur_comes_as_often_as_it_should_and_keeps_the_mean():
    images = batch(60, 4)
    keys = jax.random.split(jax.random.key(1), 60)
    view = BlurJpeg(0.5, Blur(1.0, 1.0), Jpeg(100.0, 100.0))
    seen = np.float32(view(keys, images)["image"])
    spread = seen.std((1, 2, 3)) / images["image"].std((1, 2, 3))
    blurred = spread < 0.6
    assert 15 < blurred.sum() < 45
    np.testing.assert_allclose(seen.mean((1, 2, 3)), images["image"].mean((1, 2, 3)), atol=6.0)


@pytest.mark.parametrize(
    "cfg, spec, told",
    [
        (LINEAR, labelled(Image((SIDE, SIDE, 1)), 10), "two kinds"),
        (LINEAR, labelled(Points((2,)), 2), "Detector"),
        (Detector(Residual()), labelled(Image((4, 4, 1)), 2), "Residual"),
        (Detector(Spectrum()), labelled(Image((2, 2, 1)), 2), "Spectrum"),
    ],
)
def test_what_cannot_be_told_apart_is_told(cfg, spec, told):
    with pytest.raises(UserError, match=told):
        cfg(spec)


@pytest.mark.parametrize(
    "view, told",
    [
        (BlurJpeg(1.5), "at most 1"),
        (BlurJpeg(blur=Blur(0.5, 9.0)), "reaches"),
        (BlurJpeg(jpeg=Jpeg(0, 50)), "quality"),
        (BlurJpeg(of="label"), "BlurJpeg"),
    ],
)
def test_a_view_that_does_not_fit_is_told(view, told):
    with pytest.raises(UserError, match=told):
        view.check(dict(SPEC.fields))
