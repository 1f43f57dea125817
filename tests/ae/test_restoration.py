"""Restorers against exact answers: Tweedie's formula, noisy targets, hidden pixels, tiles against the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ae import restoration as r
from genjax.ae.tiles import tiled, tiles
from genjax.core import example_keys, guarded, labelled
from genjax.corruptions import Coarse, Gaussian, Lost, Pixels
from genjax.data.toy import Ring, draw
from genjax.errors import UserError
from genjax.fields import Image, Points, Tokens
from genjax.machine.parallel import Jit
from genjax.nets import TimeMLP
from genjax.nets.plain import PlainUNet
from genjax.optim import Adam, CosineDecay

KEY = jax.random.key(0)
loss = jax.jit(r.loss, static_argnums=(3, 4))
MIXTURE = Ring()()


def exact(y: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """E[x | y] of the mixture: each Gaussian's own mean, weighed by how likely it is to have made y."""
    variance = MIXTURE.scales**2
    total = variance + sigma[:, None] ** 2  # [B, K]
    offset = y[:, None] - MIXTURE.means  # [B, K, 2]
    log_weight = np.log(MIXTURE.weights) - np.log(total) - 0.5 * (offset**2).sum(-1) / total
    weight = np.exp(log_weight - log_weight.max(1, keepdims=True))
    weight /= weight.sum(1, keepdims=True)
    means = MIXTURE.means + (variance / total)[..., None] * offset
    return (weight[..., None] * means).sum(1)


@pytest.mark.parametrize("teacher", [r.Clean(), r.Second()], ids=["clean", "second"])
@pytest.mark.all
def test_a_trained_denoiser_is_tweedies_formula(teacher):
    steps, batch = 800, 512
    cfg = r.Restoration(
        (Gaussian(0.1, 0.6),),
        TimeMLP((64, 64)),
        teacher=teacher,
        optimiser=Adam(3e-3, decay=CosineDecay()),
    )
    spec = labelled(Points((2,)), 0, steps, name="points")
    algorithm = cfg(spec)
    rng = np.random.default_rng(0)

    def fresh(n):
        x, _ = draw(MIXTURE, rng, n)
        return {"points": x, "index": rng.integers(0, 2**31, n).astype(np.uint32)}

    first = fresh(batch)
    state = Jit().init(algorithm.init, KEY, first)
    step = Jit().train(guarded(algorithm.step), state)
    for _ in range(steps):
        placed = Jit().put({name: x[None] for name, x in fresh(batch).items()})
        state, _ = step(KEY, state, {}, placed)
    test = fresh(4096)
    seen = r.damage(jax.random.key(5), test, cfg, spec)
    found = np.asarray(r.restore(state.params, seen, cfg, spec))
    best = exact(np.asarray(seen.x), np.asarray(seen.level[:, 0]))
    # the error that no restorer is below, and how far this one is above it
    floor = np.mean((best - test["points"]) ** 2)
    above = np.mean((found - best) ** 2)
    assert above < 0.05 * floor


def test_noisy_targets_add_their_own_variance_and_nothing_else():
    """|f(y) - y'|² is |f(y) - x|² + sigma² on average for every f, so both have the same best f."""
    sigma, n = 0.5, 20_000
    spec = labelled(Points((2,)), 0, 1, name="points")
    x, _ = draw(MIXTURE, np.random.default_rng(0), n)
    batch = {"points": x, "index": np.arange(n, dtype=np.uint32)}
    clean = r.Restoration((Gaussian(sigma, sigma),), TimeMLP((16,)))
    noisy = r.Restoration((Gaussian(sigma, sigma),), TimeMLP((16,)), teacher=r.Second())
    params = jax.jit(clean(spec).init)(
        KEY, batch
    ).params  # says that nothing is wrong: f(y) = y
    losses = [loss(params, KEY, batch, cfg, spec)["loss"] for cfg in (clean, noisy)]
    assert jnp.mean(losses[0]) == pytest.approx(sigma**2, rel=0.03)
    assert jnp.mean(losses[1]) == pytest.approx(2 * sigma**2, rel=0.03)


def test_a_blind_spot_is_never_the_pixel_itself():
    keys = example_keys(KEY, jnp.arange(8))
    # every pixel has a value of its own
    x = jnp.arange(8 * 12 * 12, dtype=jnp.float32).reshape(8, 12, 12, 1)
    lesson = r.BlindSpot(0.3)(keys, x, x, None)
    hidden = np.asarray(lesson.weight) > 0
    changed = np.asarray(lesson.x != x)
    np.testing.assert_array_equal(hidden, changed)
    assert hidden.mean() == pytest.approx(0.3, abs=0.05)
    assert float(lesson.weight.max()) == pytest.approx(1 / 0.3)
    # and it comes from the same picture, no further away than two rows and columns
    step = np.asarray(jnp.abs(lesson.x - x))[changed]
    assert step.max() <= 2 * 12 + 2
    np.testing.assert_array_equal(lesson.target, x)


def test_damage_once_is_the_same_at_every_sight():
    spec = labelled(Image((8, 8, 1)), 0, 1)
    batch = {
        "image": np.full((4, 8, 8, 1), 99, np.uint8),
        "index": np.arange(4, dtype=np.uint32),
    }
    for once in (False, True):
        cfg = r.Restoration(once=once, net=PlainUNet((4,), 1))
        params = jax.jit(cfg(spec).init)(KEY, batch).params
        a, b = (loss(params, jax.random.key(k), batch, cfg, spec)["loss"] for k in (1, 2))
        assert bool(jnp.all(a == b)) is once


def _random(net, x, scale=0.2):
    """Parameters of a net that leaves no layer at zero."""
    level, out = jnp.ones(len(x)), x.shape[1:]
    shapes = jax.eval_shape(lambda: net.init(KEY, x, level, None, out))
    rng = np.random.default_rng(7)
    return jax.tree.map(lambda p: np.float32(scale * rng.standard_normal(p.shape)), shapes)


def test_tiles_are_equal_to_the_whole():
    net = PlainUNet((4,), blocks=1, patch=2)
    params = _random(net, jnp.zeros((1, 8, 8, 3)))

    @jax.jit
    def run(x):
        return net.apply(params, x, jnp.full(1, 0.3), None, x.shape[1:])

    # narrow, so that there are three shapes of tiles to compile: the first, the last, and those between
    image = np.random.default_rng(0).random((119, 23, 3)).astype(np.float32)
    padded = np.pad(image, [(0, 1), (0, 1), (0, 0)], mode="symmetric")
    whole = np.asarray(run(padded[None]))[0][:119, :23]
    parts = tiled(run, image, net.unit, net.reach, side=30)
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    # with less around it than the net's reach the seam shows
    cut = tiled(run, image, net.unit, 4, side=30)
    assert np.abs(cut - whole).max() > 1e-3
    with pytest.raises(UserError, match="smaller than the net's unit"):
        tiled(run, image[:1], net.unit, net.reach)


def test_tiles_cover_a_picture_once_and_lie_within_what_is_seen():
    count = np.zeros((50, 37), int)
    for kept, seen in tiles(50, 37, 16, 5):
        count[kept] += 1
        for n, inner, outer in zip((50, 37), kept, seen, strict=True):
            assert outer.start == max(0, inner.start - 5)
            assert outer.stop == min(n, inner.stop + 5)
    assert (count == 1).all()


def test_the_reach_is_the_gradients():
    net = PlainUNet((4, 6), blocks=1, patch=2)
    side = 96
    params = _random(net, jnp.zeros((1, side, side, 1)))

    def at(x):
        return net.apply(params, x, jnp.ones(1), None, (side, side, 1))[0, 48, 48, 0]

    # no rectifier is shut for all pixels at once
    x = jax.random.normal(KEY, (1, side, side, 1))
    touched = np.argwhere(np.asarray(jax.jit(jax.grad(at))(x))[0, :, :, 0] != 0)
    furthest = np.abs(touched - 48).max()
    assert furthest <= net.reach and furthest > net.reach // 2


def test_a_net_without_bias_is_homogeneous():
    net = PlainUNet((4, 6), blocks=1)
    x = jax.random.normal(KEY, (2, 16, 16, 1))
    params = _random(net, x)
    run = jax.jit(lambda x, level: net.apply(params, x, level, None, (16, 16, 1)))
    out, twice = run(x, jnp.ones(2)), run(2 * x, 2 * jnp.ones(2))
    np.testing.assert_allclose(twice, 2 * out, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("cfg", "kind", "told"),
    [
        (r.Restoration(()), Image((8, 8, 1)), "leaves nothing to restore"),
        (r.Restoration(), Tokens(8, 4), "takes Image"),
        (r.Restoration((Lost(Coarse(3)),)), Image((8, 8, 1)), "blocks of 3"),
        (r.Restoration(teacher=r.BlindSpot()), Points((2,)), "takes a? ?Image"),
        (
            r.Restoration((Pixels(),), teacher=r.BlindSpot()),
            Image((8, 8, 1)),
            "Pixels.. is none",
        ),
        (
            r.Restoration((Gaussian(), Pixels()), teacher=r.Second()),
            Image((8, 8, 1)),
            "the mean|whose mean",
        ),
        (r.Restoration(teacher=r.BlindSpot(0.0)), Image((8, 8, 1)), "hides nothing"),
        (r.Restoration((Gaussian(0.2, 0.1),)), Image((8, 8, 1)), "got 0.2 and 0.1"),
    ],
)
def test_what_cannot_be_restored_is_said_in_one_line(cfg, kind, told):
    with pytest.raises(UserError, match=told) as error:
        cfg(labelled(kind, 0, 1))
    assert "\n" not in str(error.value)


def test_an_example_that_damage_left_as_it_was_makes_no_mean_infinite():
    told = r.decibel(jnp.array([0.0, 1e-3]))
    np.testing.assert_allclose(told, [100.0, 30.0], rtol=1e-5)
