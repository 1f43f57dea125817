"""Augmentations against numpy, closed forms and the frequencies that they promise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import config
from genjax.core import example_keys, labelled
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.gan import augment
from genjax.gan.augment import Ada, DiffAugment, Plain

N = 4000  # draws: a share of p comes out within 5 sqrt(p (1 - p) / N) < 0.04


def keys(n):
    return example_keys(jax.random.key(0), jnp.arange(n))


def image(*shape):
    return jax.random.uniform(jax.random.key(1), shape, minval=-1.0, maxval=1.0)


def share(of, p):
    """A frequency is p, within five standard errors."""
    of = np.asarray(of)
    assert abs(of.mean() - p) <= 5 * np.sqrt(p * (1 - p) / len(of)) + 1e-9, (of.mean(), p)


def spread(values, mean, std):
    """Moments within five standard errors, those of the normal or less."""
    values, n = np.asarray(values), len(values)
    assert abs(values.mean() - mean) < 5 * std / np.sqrt(n)
    assert abs(values.std() - std) < 5 * std / np.sqrt(2 * n)


@functools.partial(jax.jit, static_argnums=0)
def run_at(cfg, x, p, index):
    return cfg(example_keys(jax.random.key(0), index), x, {"p": p})


def run(cfg, x, p=1.0, index=None):
    return run_at(cfg, x, p, jnp.arange(len(x)) if index is None else index)


def drawn(draw, n=N):
    """draw(key) of n keys, as arrays of numpy."""
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(draw))(keys(n)))


def test_plain_lets_everything_pass():
    x = jnp.ones((3, 2))
    assert Plain()(keys(3), x, Plain().init()) is x
    assert Plain().adapt({}, {"sign": 1.0}, 8) == Plain().metrics({}) == {}
    Plain().check(labelled(Points((2,))))


# DiffAugment


def test_shifts_are_numpys():
    x = np.asarray(image(5, 7, 2))
    t = np.stack(np.meshgrid(np.arange(-6, 7), np.arange(-8, 9), indexing="ij"), -1).reshape(
        -1, 2
    )
    wide = np.pad(x, ((6, 6), (8, 8), (0, 0)))
    want = np.stack([wide[6 + a : 11 + a, 8 + b : 15 + b] for a, b in t])
    assert np.array_equal(
        jax.jit(jax.vmap(lambda x, t: augment.shift(x, t, (6, 8)), (None, 0)))(x, t), want
    )


@pytest.mark.parametrize("most", [(1, 1), (4, 2)])
def test_shifts_are_uniform(most):
    t = drawn(lambda k: augment.random_shift(k, most))
    for axis, m in enumerate(most):
        assert set(t[:, axis]) == set(range(-m, m + 1))
        for value in range(-m, m + 1):
            share(t[:, axis] == value, 1 / (2 * m + 1))
    assert abs(np.corrcoef(t.T)[0, 1]) < 0.08


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_colours_change_as_the_closed_form_says(channels):
    x = np.asarray(image(4, 4, channels))
    y = drawn(lambda k: augment.recolour(k, x))
    # Saturation keeps each pixel's mean, contrast the image's: the mean moves by the brightness alone, U(-1/2, 1/2).
    brightness, mean = y.mean((1, 2, 3)) - x.mean(), x.mean()
    spread(brightness, 0.0, 12**-0.5)
    assert np.abs(brightness).max() < 0.5 + 1e-6
    grey = x.mean(-1, keepdims=True) if channels == 3 else x
    of_grey = y.mean(-1, keepdims=True) if channels == 3 else y
    centred = of_grey - y.mean((1, 2, 3), keepdims=True)
    contrast = np.sum(centred * (grey - mean), (1, 2, 3)) / np.sum((grey - mean) ** 2)
    spread(contrast, 1.0, 12**-0.5)
    assert contrast.min() > 0.5 - 1e-6 and contrast.max() < 1.5 + 1e-6
    if channels == 3:
        saturation = (
            np.sum((y - of_grey) * (x - grey), (1, 2, 3)) / np.sum((x - grey) ** 2) / contrast
        )
        spread(saturation, 1.0, 3**-0.5)
        assert saturation.min() > -1e-5 and saturation.max() < 2 + 1e-5
        assert abs(np.corrcoef(saturation, contrast)[0, 1]) < 0.08
    else:
        saturation = np.ones(N)
    b, c, s = (v[:, None, None, None] for v in (brightness, contrast, saturation))
    np.testing.assert_allclose(y, mean + b + c * (grey - mean) + c * s * (x - grey), atol=1e-5)


@pytest.mark.parametrize(
    "sides, lengths",
    [
        ((8, 6), ([2, 3, 4, 4, 4, 4, 4, 3, 2], [2, 3, 3, 3, 3, 2])),
        ((6, 4), ([2, 3, 3, 3, 3, 2], [1, 2, 2, 2, 1])),
    ],
)
def test_the_hole_has_half_the_sides_and_is_cut_at_the_border(sides, lengths):
    hole = 1.0 - drawn(lambda k: augment.outside(k, sides, 0.5))
    rows, columns = hole.max(2), hole.max(1)
    assert np.array_equal(hole, rows[:, :, None] * columns[:, None])  # a rectangle
    for line, length in ((rows, lengths[0]), (columns, lengths[1])):
        assert np.abs(np.diff(line, axis=1)).sum(1).max() <= 2  # without gaps
        for n in set(length):
            share(line.sum(1) == n, length.count(n) / len(length))
        share(
            line[:, 0], (max(length) // 2 + 1) / len(length)
        )  # the border is hidden less often than the middle
    area = np.mean(lengths[0]) * np.mean(lengths[1])
    assert hole.sum((1, 2)).mean() == pytest.approx(area, rel=0.04)


def test_cutout_empties_the_hole_and_nothing_else():
    x = jnp.broadcast_to(image(8, 8, 2), (50, 8, 8, 2))
    y = np.asarray(run(DiffAugment(colour=False, translation=0.0), x))
    empty = y == 0
    assert np.array_equal(y[~empty], np.asarray(x)[~empty]) and np.array_equal(
        empty[..., 0], empty[..., 1]
    )
    assert empty[..., 0].sum((1, 2)).min() >= 4 and empty[..., 0].sum((1, 2)).max() == 16
    off = DiffAugment(colour=False, translation=0.0, cutout=0.0)
    assert np.array_equal(run(off, x), x)


@pytest.mark.parametrize(
    "sides, most", [((8, 8), (1, 1)), ((28, 12), (4, 2))]
)  # a half is rounded up, as in the paper
def test_translation_goes_an_eighth_of_the_side(sides, most):
    """An image of its own coordinates shows how far it was moved."""
    x = np.stack(np.meshgrid(*(10.0 + np.arange(n) for n in sides), indexing="ij"), -1)
    y = np.asarray(
        run(DiffAugment(colour=False, cutout=0.0), jnp.broadcast_to(x, (400, *x.shape)))
    )
    moved = (y - x)[
        :, sides[0] // 2, sides[1] // 2
    ]  # the centre never comes from beyond the border
    for axis, m in enumerate(most):
        assert set(moved[:, axis]) == set(range(-m, m + 1))
    inside = y[..., 0] > 0
    assert (np.abs(moved).max(1) > 0)[~inside.all((1, 2))].all() and np.array_equal(
        (y - x)[inside], np.broadcast_to(moved[:, None, None], y.shape)[inside]
    )
    assert np.array_equal(inside.sum((1, 2)), np.prod(np.array(sides) - np.abs(moved), 1))


# Ada


@pytest.mark.parametrize("shape", [(6, 6, 3), (4, 6, 1)])
def test_nothing_changes_at_p_zero(shape):
    cfg, x = Ada(turns=shape[0] == shape[1]), image(6, *shape)
    assert np.array_equal(run(cfg, x, float(cfg.init()["p"])), x)
    changed = np.asarray(run(cfg, x, 1.0)) != np.asarray(x)
    assert changed.any((1, 2, 3)).all()


RESAMPLE = jax.jit(augment.resample)


def test_resampling_is_exact_where_it_can_be():
    x = np.asarray(image(6, 6, 2))
    assert np.array_equal(RESAMPLE(x, jnp.eye(3)), x)
    for k in range(
        4
    ):  # (y, x) -> rotated by +90 degrees: output (i, j) shows input (j, n - 1 - i), numpy's rot90
        place = augment._turned(-k * jnp.pi / 2)
        np.testing.assert_allclose(RESAMPLE(x, place), np.rot90(x, k), atol=1e-5)
    wide = np.pad(x, ((5, 5), (5, 5), (0, 0)), mode="reflect")
    for t in ((2, -3), (-5, 5), (1, 0)):
        place = augment._affine(1.0, 0.0, 0.0, 1.0, t)
        assert np.array_equal(
            RESAMPLE(x, place), wide[5 + t[0] : 11 + t[0], 5 + t[1] : 11 + t[1]]
        )
    half = RESAMPLE(x, augment._affine(1.0, 0.0, 0.0, 1.0, (0.0, 0.5)))
    np.testing.assert_allclose(half[:, :-1], (x[:, :-1] + x[:, 1:]) / 2, atol=1e-6)
    np.testing.assert_allclose(half[:, -1], (x[:, -1] + x[:, -2]) / 2, atol=1e-6)


def test_bilinear_resampling_of_a_plane_is_the_plane_at_the_places():
    y, x = np.mgrid[-2.5:3.0, -4.0:4.5]
    plane = lambda y, x: (0.3 * y - 0.2 * x + 0.1)[..., None]  # noqa: E731
    a, t = np.array([[0.4, 0.2], [-0.3, 0.5]]), (0.3, -0.7)
    got = RESAMPLE(jnp.asarray(plane(y, x), jnp.float32), augment._affine(*a.ravel(), t))
    np.testing.assert_allclose(
        got,
        plane(a[0, 0] * y + a[0, 1] * x + t[0], a[1, 0] * y + a[1, 1] * x + t[1]),
        atol=1e-5,
    )


def test_flips_are_half_of_those_chosen():
    x = np.asarray(image(5, 5, 1))
    y = drawn(
        lambda k: augment.resample(x, augment.blits(augment.draws(k, 4), 1.0, (5, 5), True)[0]),
        400,
    )
    flipped = np.array([np.array_equal(one, x[:, ::-1]) for one in y])
    assert all(np.array_equal(one, x) for one in y[~flipped])
    share(flipped, 0.5)


PLACES = jax.jit(
    jax.vmap(
        lambda k, p: [
            f(augment.draws(k, n), p, (64, 32), True)
            for f, n in ((augment.blits, 4), (augment.geometries, 5))
        ],
        (0, None),
    )
)


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_places_change_with_probability_p(p):
    one = jnp.eye(3)
    blits, geometries = jax.tree.map(np.asarray, PLACES(keys(N), p))
    flip, turn, shift = blits
    share(flip[:, 1, 1] == -1, p / 2)
    for k in (1, 2, 3):
        quarter = np.round(np.asarray(augment._turned(k * jnp.pi / 2)))
        share((turn == quarter).all((1, 2)), p / 4)
    for axis, most in ((0, 8), (1, 4)):  # U(-8, 8) rounds to 0 in one of 16, to 8 in one of 32
        share(shift[:, axis, 2] != 0, p * (1 - 0.5 / most))
        share(shift[:, axis, 2] == most, p * 0.25 / most)
    assert np.array_equal(shift, np.round(shift))
    scale, before, stretch, after, moved = geometries
    for m in (scale, stretch, moved):
        share((m != one).any((1, 2)), p)
    share(((before != one) | (after != one)).any((1, 2)), p)
    share((after != one).any((1, 2)), 1 - np.sqrt(1 - p))
    on = lambda m: m[(m != one).any((1, 2))]  # noqa: E731
    spread(np.log2(on(scale)[:, 0, 0]), 0.0, 0.2)
    spread(np.log2(on(stretch)[:, 1, 1]), 0.0, 0.2)
    np.testing.assert_allclose(np.linalg.det(stretch), 1.0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(scale), scale[:, 0, 0] ** 2, rtol=1e-5)
    spread(on(moved)[:, 0, 2], 0.0, 8.0)
    spread(on(moved)[:, 1, 2], 0.0, 4.0)
    spread(np.arctan2(on(before)[:, 1, 0], on(before)[:, 0, 0]), 0.0, np.pi / np.sqrt(3))


def test_without_turns_there_are_none():
    blits, geometries = lambda r, *a: augment.blits(r[:, :4], *a), augment.geometries
    (shift,), scales = drawn(
        lambda k: [f(augment.draws(k, 5), 1.0, (8, 8), False) for f in (blits, geometries)], 200
    )
    assert (
        np.array_equal(shift[:, :2, :2], np.broadcast_to(np.eye(2), (200, 2, 2)))
        and shift[:, :2, 2].any()
    )
    linear = np.stack(scales)[..., :2, :2]
    assert not linear[..., 0, 1].any() and not linear[..., 1, 0].any()
    assert (linear[..., 0, 0] > 0).all() and (linear[..., 1, 1] > 0).all()


BLACK_WHITE = jnp.array([0.0, 1.0]).reshape(1, 2, 1)
TINTS = jax.jit(
    jax.vmap(
        lambda k, p: (
            augment.tint(augment.draws(k, 5), p, BLACK_WHITE),
            augment.hues(augment.draws(k, 3), p),
        ),
        (0, None),
    )
)


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_tints_change_with_probability_p(p):
    tints, hues = (np.asarray(v, np.float64) for v in TINTS(keys(N), p))
    black, white = tints[:, 0, :, 0].T
    contrast, brightness = white - black, black / (white - black)
    share(np.abs(contrast - 1) > 1e-6, p)
    share(brightness != 0, p)
    spread(np.log2(contrast[np.abs(contrast - 1) > 1e-6]), 0.0, 0.5)
    spread(brightness[brightness != 0], 0.0, 0.2)
    grey = np.ones(3) / np.sqrt(3)
    luma = grey @ hues @ grey  # the greys are mapped to themselves or their negatives
    np.testing.assert_allclose(hues @ grey, luma[:, None] * grey, atol=2e-6)
    share(luma < 0, p / 2)
    saturation = np.sqrt(
        np.linalg.det(hues) / luma
    )  # the plane across them is scaled and turned
    share(np.abs(saturation - 1) > 1e-5, p)
    spread(np.log2(saturation[np.abs(saturation - 1) > 1e-5]), 0.0, 1.0)
    cos = (np.trace(hues, axis1=1, axis2=2) - luma) / (2 * saturation)
    turned = np.abs(hues[:, 0, 1] - hues[:, 1, 0]) / saturation > 1e-5  # 2 sin(angle) / 3^½
    share(turned, p)
    assert abs(cos[turned].mean()) < 5 / np.sqrt(2 * p * N)
    plane = np.eye(3) - np.outer(grey, grey)
    across = hues - luma[:, None, None] * np.outer(grey, grey)
    gram = saturation[:, None, None] ** 2 * plane
    np.testing.assert_allclose(across.swapaxes(1, 2) @ across, gram, atol=1e-4 * gram.max())


def test_every_pixel_has_its_colour_mapped_alike():
    x = np.asarray(image(3, 4, 3))
    both = lambda r: (augment.tint(r, 1.0, x), augment.hues(r[:, 2:], 1.0))  # noqa: E731
    y, hues = drawn(lambda k: both(augment.draws(k, 5)), 20)
    # y = contrast * hues (x + brightness): differences of pixels are hues' up to the contrast
    d_x, d_y = np.diff(x.reshape(12, 3), axis=0), np.diff(y.reshape(20, 12, 3), axis=1)
    want = d_x @ hues.swapaxes(1, 2)
    contrast = np.sum(want * d_y, (1, 2)) / np.sum(want**2, (1, 2))
    np.testing.assert_allclose(
        d_y, contrast[:, None, None] * want, atol=1e-5 * np.abs(d_y).max()
    )
    assert (contrast > 0).all() and contrast.std() > 0.1


def test_greys_flip_as_colours_do():
    """C = 1 is what the luma flip makes of three equal channels: dark for light in half of p."""
    grey = jnp.tile(jnp.linspace(-1.0, 1.0, 6).reshape(2, 3, 1), (1, 1, 3))

    def tinted(key):
        r = augment.draws(key, 5)
        only = r.at[0, 3:].set(1.0)  # coins above p: no hue, no saturation
        one = augment.tint(r, 0.6, grey[..., :1], True)
        return one, augment.tint(only, 0.6, grey), augment.tint(r, 0.6, grey[..., :1])

    flipped, colour, plain = drawn(tinted)
    np.testing.assert_allclose(flipped, colour[..., :1], atol=1e-6)
    inverted = flipped[:, 0, 0, 0] > flipped[:, 1, 2, 0]
    share(inverted, 0.3)
    np.testing.assert_array_equal(
        flipped, np.where(inverted[:, None, None, None], -plain, plain)
    )
    x = image(20, 6, 6, 1)
    off = Ada(blit=False, geometry=False)
    assert (np.abs(run(off, x)) == np.abs(run(Ada(False, False, grey_flip=True), x))).all()
    assert not np.array_equal(run(off, x), run(Ada(False, False, grey_flip=True), x))


def test_p_follows_the_sign():
    cfg = Ada(rate=0.25)
    memory, step = cfg.init(), jax.jit(lambda memory, seen: cfg.adapt(memory, seen, 8))
    assert float(memory["p"]) == 0.0
    seen = []
    for sign in (0.7, 0.9, 0.61, 0.7, 0.7, 0.5, -1.0, 0.7):
        memory = step(memory, {"sign": jnp.float32(sign)})
        seen.append(float(cfg.metrics(memory)["augment_p"]))
    assert seen == [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.75]
    assert float(cfg.adapt(cfg.init(), {"sign": 0.0}, 8)["p"]) == 0.0
    kept = Ada(p=0.3, rate=0.0)
    assert float(kept.adapt(kept.init(), {"sign": 1.0}, 8)["p"]) == np.float32(0.3)
    low = Ada(target=-0.5, rate=0.5)
    assert float(low.adapt({"p": 0.0}, {"sign": -0.4}, 8)["p"]) == 0.5
    assert memory["p"].dtype == jnp.float32 and memory["p"].shape == ()


@pytest.mark.parametrize("batch", [64, 250])
def test_p_crosses_in_as_many_images_whatever_the_batch(batch):
    cfg = Ada(images=500_000)
    p = cfg.init()
    for step in range(1, 5):
        p = cfg.adapt(p, {"sign": 0.7}, batch)
        assert float(p["p"]) == pytest.approx(step * batch / 500_000, rel=1e-6)
    # all the way, and no further
    steps = 500_000 // batch
    climb = lambda memory, _: (cfg.adapt(memory, {"sign": 0.7}, batch), memory["p"])  # noqa: E731
    end, path = jax.lax.scan(climb, cfg.init(), None, steps + 5)
    assert path[steps - 1] < 1.0 and float(path[steps]) == pytest.approx(1.0, abs=1e-3)
    assert float(end["p"]) == 1.0


def test_p_changes_every_four_steps_by_the_mean_of_their_signs():
    cfg = Ada(images=1000, every=4)
    step = jax.jit(lambda memory, seen: cfg.adapt(memory, seen, 50))
    memory, seen = cfg.init(), []
    # means 0.65, 0.55, 0.7: by the last sign alone the first two would go the other way
    for sign in (1.0, 0.7, 0.5, 0.4, 0.3, 0.3, 0.6, 1.0, 0.7, 0.7, 0.7, 0.7):
        memory = step(memory, {"sign": jnp.float32(sign)})
        seen.append(float(memory["p"]))
    # a change is that of four steps, 4 * 50 / 1000
    np.testing.assert_allclose(seen, [0, 0, 0, 0.2, 0.2, 0.2, 0.2, 0, 0, 0, 0, 0.2], atol=1e-7)
    assert jax.tree.map(jnp.shape, memory) == {"p": (), "steps": (), "signs": ()}
    assert set(Ada().init()) == {"p"}  # what runs have on disk


# all of them


@pytest.mark.parametrize("cfg", [DiffAugment(), Ada()], ids=lambda c: type(c).__name__)
def test_gradients_are_those_of_an_affine_map_and_second_ones_finite(cfg):
    """T(x) = A x + b given the key, so <v, T(x + u) - T(x)> = <A' v, u>, and |grad of |T|²/2|² differentiates."""
    x, u, v = (jax.random.normal(jax.random.key(i), (4, 6, 6, 3)) for i in range(3))
    memory = {"p": jnp.float32(1.0)}

    @jax.jit
    def parts(x, u, v):
        change = lambda x: cfg(keys(4), x, memory)  # noqa: E731
        y, pull = jax.vjp(change, x)
        slope2 = lambda x: jnp.sum(jax.grad(lambda x: 0.5 * jnp.sum(change(x) ** 2))(x) ** 2)  # noqa: E731
        return (
            jnp.sum(v * (change(x + u) - y)),
            jnp.sum(pull(v)[0] * u),
            jax.grad(slope2)(x),
            pull(pull(y)[0])[0],
        )

    forward, backward, second, _ = parts(x, u, v)
    assert float(forward) == pytest.approx(float(backward), rel=1e-3, abs=1e-3)
    assert np.isfinite(second).all() and np.abs(second).max() > 0.1


@pytest.mark.parametrize("cfg", [DiffAugment(), Ada()], ids=lambda c: type(c).__name__)
def test_an_example_does_not_depend_on_its_batch(cfg):
    x, mates = image(6, 6, 6, 3), jnp.array([4, 1, 1, 3, 1, 1])
    whole, part = run(cfg, x, 0.8), run(cfg, x[mates], 0.8, mates)
    np.testing.assert_allclose(part, whole[mates], atol=1e-6)
    same = np.asarray(run(cfg, jnp.broadcast_to(x[0], x.shape), 0.8))
    assert len(np.unique(same.reshape(6, -1), axis=0)) == 6  # each example draws its own
    assert config.from_json(config.to_json(cfg)) == cfg


def test_groups_of_ada_are_switched_one_by_one():
    x, off = image(30, 6, 6, 1), Ada(blit=False, geometry=False, colour=False)
    assert np.array_equal(run(off, x, 1.0), x)
    blit = np.asarray(run(Ada(geometry=False, colour=False), x, 1.0))
    assert all(
        np.isin(np.round(after, 5), np.round(before, 5)).all()
        for before, after in zip(np.asarray(x), blit, strict=True)
    )
    assert not np.array_equal(blit, x)
    geometry = np.asarray(run(Ada(blit=False, colour=False), x, 1.0))
    assert geometry.max() <= x.max() + 1e-5 and not np.allclose(
        geometry, x
    )  # interpolation, no new colours
    colour = np.asarray(run(Ada(blit=False, geometry=False), x, 1.0))
    order = np.argsort(np.asarray(x).reshape(30, -1))
    assert (
        np.diff(np.take_along_axis(colour.reshape(30, -1), order, 1)) >= -1e-5
    ).all()  # brighter stays brighter


@pytest.mark.parametrize(
    "cfg, shape, message",
    [
        (DiffAugment(), (2,), r"--algorithm.augment='DiffAugment\(\)'.*Plain"),
        (Ada(), (2,), r"--algorithm.augment='Ada\(\)'.*\(2,\)"),
        (Ada(), (1, 8, 1), "2x2"),
        (Ada(p=1.1), (8, 8, 1), "--algorithm.augment.p=1.1 "),
        (Ada(p=-0.1), (8, 8, 1), "--algorithm.augment.p=-0.1 "),
        (Ada(p=float("nan")), (8, 8, 1), "--algorithm.augment.p=nan "),
        (Ada(rate=-1.0), (8, 8, 1), "--algorithm.augment.rate=-1.0 "),
        (Ada(every=0), (8, 8, 1), "--algorithm.augment.every=0 "),
        (Ada(images=0), (8, 8, 1), "--algorithm.augment.images=0 "),
        (Ada(images=500, rate=0.0), (8, 8, 1), "images=500 and rate=0.0 both say"),
        (Ada(), (8, 6, 1), "--algorithm.augment.turns=false"),
        (DiffAugment(translation=1.5), (8, 8, 1), "--algorithm.augment.translation=1.5 "),
        (DiffAugment(cutout=-0.5), (8, 8, 1), "--algorithm.augment.cutout=-0.5 "),
    ],
)
def test_bad_configs_are_refused(cfg, shape, message):
    with pytest.raises(UserError, match=message):
        cfg.check(labelled(Image(shape)))


@pytest.mark.parametrize("cfg", [DiffAugment(cutout=1.0), Ada(turns=False), Ada(blit=False)])
def test_oblongs_are_accepted_where_they_can_be(cfg):
    cfg.check(labelled(Image((8, 6, 1))))
