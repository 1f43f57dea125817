"""Painted defects and their masks, PRO and pixel AUROC against what is known, and the finding on textures."""

import dataclasses
import io
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from genjax.ae.restoration import Restoration
from genjax.config import edit
from genjax.core import example_keys
from genjax.corruptions.defects import (
    Blot,
    Defects,
    Dent,
    Patch,
    Scratch,
    Stain,
    Thread,
    shared,
)
from genjax.data import textures
from genjax.data.textures import Textures
from genjax.errors import UserError
from genjax.findings.defects import Localising
from genjax.findings.maps import Constant, HighPass, Patches, Rebuilt
from genjax.metrics.prediction import auroc
from genjax.metrics.where import Counts, counted, pixel_auroc, pro, pro_difference
from genjax.nets.plain import PlainUNet
from genjax.training import loop
from genjax.training.experiment import Every, Experiment

FAMILIES = (Scratch(), Blot(), Stain(), Dent(), Patch(), Thread())


@pytest.fixture(scope="module")
def painted():
    """Grain with defects of all families, and of one example after the other from the last."""
    x = jax.random.uniform(jax.random.key(0), (60, 32, 32, 1), minval=0.3, maxval=0.7)
    keys = example_keys(jax.random.key(1), jnp.arange(60))
    paint = jax.jit(Defects(FAMILIES).painted)  # once: it is slow to compile
    return np.asarray(x), paint(keys, x), paint(keys[::-1], x[::-1])


def test_a_defect_touches_its_mask_and_nothing_else(painted):
    x, found, _ = painted
    changed = np.abs(np.asarray(found.x) - x).max(-1)
    mask = np.asarray(found.mask)
    np.testing.assert_array_equal(changed[~mask], 0.0)
    assert set(np.asarray(found.family).tolist()) == set(range(len(FAMILIES)))
    for number in range(len(FAMILIES)):
        own = np.asarray(found.family) == number
        assert mask[own].any((1, 2)).all()
        assert 0.005 < mask[own].mean() < 0.25
        # nearly all that is marked is another grey, by more than bytes would hide
        assert (changed[own][mask[own]] > 1 / 255).mean() > 0.85


def test_defects_are_of_the_examples_keys(painted):
    _, found, backwards = painted
    np.testing.assert_array_equal(found.x, np.asarray(backwards.x)[::-1])
    np.testing.assert_array_equal(found.mask, np.asarray(backwards.mask)[::-1])


def test_a_restorer_is_told_what_was_painted_and_some_pictures_stay_whole():
    defects = Defects((Stain(),), clean=0.5)
    x = jnp.full((40, 16, 16, 1), 0.5)
    keys = example_keys(jax.random.key(0), jnp.arange(40))
    found, damaged = jax.jit(lambda: (defects.painted(keys, x), defects(keys, x)))()
    mask = np.asarray(found.mask)
    assert 8 < mask.any((1, 2)).sum() < 32
    np.testing.assert_array_equal(damaged.x, found.x)
    np.testing.assert_array_equal(damaged.known[..., 0] == 0, mask)
    np.testing.assert_allclose(damaged.level, mask.mean((1, 2)), atol=1e-6)


def test_what_cannot_be_painted():
    assert shared((Blot(), Dent()), (Blot(high=0.3),)) == ["Blot"]
    for bad, told in ((Defects(()), "paints nothing"), (Defects(clean=1.0), "a share")):
        with pytest.raises(UserError, match=told):
            bad.check((32, 32, 1))
    with pytest.raises(UserError, match="16 pixels"):
        Defects().check((8, 8, 1))


def two_regions():
    """A large region [4, 4] and a small one [2, 1] in 10x10 pixels."""
    mask = np.zeros((1, 10, 10), bool)
    mask[0, 1:5, 1:5] = True
    mask[0, 7:9, 7] = True
    return mask


def test_a_small_region_counts_as_much_as_a_large_one():
    mask = two_regions()
    assert counted(mask * 1.0, mask).regions.tolist() == [2]
    assert pro(counted(mask * 1.0, mask)).value == pytest.approx(1.0)
    # only the large one is found: half of the regions at once, the other half by chance
    large = mask * 1.0
    large[0, 7:9, 7] = 0.0
    by_chance = 0.5 * 0.3 / 2
    assert pro(counted(large, mask)).value == pytest.approx(0.5 + by_chance)
    pixels = pixel_auroc(counted(large, mask)).value
    assert pixels == pytest.approx((16 + 2 * 0.5) / 18)


def test_chance_and_constants_are_at_a_half_and_at_half_the_limit():
    rng = np.random.default_rng(0)
    masks = np.concatenate([two_regions()] * 60)
    for maps in (rng.random(masks.shape), np.zeros(masks.shape)):
        counts = counted(maps, masks)
        assert pixel_auroc(counts).value == pytest.approx(0.5, abs=0.02)
        assert pro(counts).value == pytest.approx(0.15, abs=0.02)
        assert pro(counts, 1.0).value == pytest.approx(0.5, abs=0.02)


def test_bins_change_little_and_few_scores_are_exact():
    rng = np.random.default_rng(1)
    masks = rng.random((8, 32, 32)) < 0.1
    maps = rng.normal(size=masks.shape) + masks
    exact = auroc(maps.ravel(), masks.ravel()).value
    assert pixel_auroc(counted(maps, masks)).value == pytest.approx(exact, abs=1e-4)
    few = np.round(maps)
    exact = auroc(few.ravel(), masks.ravel()).value
    assert pixel_auroc(counted(few, masks)).value == pytest.approx(exact, abs=1e-12)


def test_intervals_are_over_pictures_and_differences_are_of_pairs():
    rng = np.random.default_rng(2)
    masks = np.concatenate([two_regions()] * 20 + [np.zeros((20, 10, 10), bool)])
    maps = rng.normal(size=masks.shape) + masks
    counts = counted(maps, masks)
    area = pro(counts)
    assert area.low < area.value < area.high < area.low + 0.3
    assert pro_difference(counts, counts) == (0.0, 0.0, 0.0)
    one = Counts(*(part[:1] for part in counts))
    assert np.isnan(pro(one).low)  # of one picture it is not known


@pytest.mark.parametrize(
    ("maps", "masks", "told"),
    [
        (np.zeros((2, 8, 8)), np.zeros((2, 8, 7), bool), "agree"),
        (np.zeros((2, 8, 8)), np.zeros((2, 8, 8), bool), "none of 2 pictures has a defect"),
        (np.zeros((2, 8, 8)), np.ones((2, 8, 8), bool), "all pixels"),
        (np.full((2, 8, 8), np.nan), np.ones((2, 8, 8), bool), "NaN"),
    ],
)
def test_what_cannot_be_ranked_is_told(maps, masks, told):
    with pytest.raises(UserError, match=told) as error:
        counted(maps, masks)
    assert "\n" not in str(error.value)


# Textures of a small wheel.


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A folder with a wheel whose textures are waves, each column of its own number."""
    folder = tmp_path_factory.mktemp("wheel")
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "scikit_image-0.26.0-cp311-linux.whl", "w") as archive:
        for i, name in enumerate(textures.NAMES):
            wave = np.sin(np.arange(512) / (2.0 + i))
            grain = rng.normal(0, 0.05, (512, 512))
            picture = 128 + 60 * (wave[:, None] * wave + grain)
            file = io.BytesIO()
            Image.fromarray(np.uint8(np.clip(picture, 0, 255))).save(file, "PNG")
            archive.writestr(f"skimage/data/{name}.png", file.getvalue())
    return str(folder)


def test_strips_of_the_splits_do_not_meet():
    ends = [end for place in textures.PLACES.values() for end in place]
    assert ends == sorted(ends) and ends[0] == 0.0 and ends[-1] == 1.0
    for last, first in ((ends[1], ends[2]), (ends[3], ends[4])):
        assert round(first * 512) > round(last * 512)


def test_crops_lie_in_their_strips(wheel):
    source = Textures(32, train=6, valid=3, test=9, path=wheel).load()
    assert source.test["image"].shape == (9, 32, 32, 1)
    assert source.test["label"].tolist() == [0, 1, 2] * 3
    picture = np.asarray(Image.open(io.BytesIO(textures.WHEEL.contents(wheel)["brick.png"])))
    for split, (low, high) in textures.PLACES.items():
        crop = source.splits()[split]["image"][0, ..., 0]
        strip = picture[:, round(low * 512) : round(high * 512)]
        windows = np.lib.stride_tricks.sliding_window_view(strip, (32, 32))
        # the first row decides: only where it fits the rest is looked at
        alike = (windows[:, :, 0] == crop[0]).all(-1)
        assert any((windows[row, column] == crop).all() for row, column in np.argwhere(alike))


def test_what_textures_cannot_be(wheel, tmp_path):
    for bad, told in (
        (Textures(200, path=wheel), "at most"),
        (Textures(textures=("wood",), path=wheel), "must name some"),
        (Textures(path=str(tmp_path)), "pip install scikit-image"),
    ):
        with pytest.raises(UserError, match=told):
            bad.load()


EXP = Experiment(
    None,
    Restoration((Defects((Blot(),)),), PlainUNet((4,), 1), blind=True),
    steps=2,
    batch=8,
    every=Every(log=2, evaluate=0, sample=0, save=2),
    samples=2,
)
FINDING = Localising(
    floors=(Constant(), HighPass(), Patches(4, 4, 100, 8, 20)), images=24, shown=2
)


def asked(wheel, **changes):
    data = Textures(32, train=24, valid=24, test=24, path=wheel)
    return edit(EXP, {"data": data, "finish": (FINDING,), **changes})


@pytest.fixture(scope="module")
def this(wheel, tmp_path_factory):
    home = str(tmp_path_factory.mktemp("runs"))
    return loop.run("defects", asked(wheel, runs=home), "tiny")


def test_the_table_has_every_map_with_its_floor(this):
    log = this.log
    rows = {
        name: log.result(f"where {name}")
        for name in ("model", "constant", "highpass", "patches")
    }
    assert rows["constant"]["pro"]["value"] == pytest.approx(0.15)
    assert rows["constant"]["pixel_auroc"]["value"] == 0.5
    for row in rows.values():
        assert row["n"] == 24
        assert row["pro"]["low"] <= row["pro"]["value"] <= row["pro"]["high"]
        assert 0.0 <= row["false_alarms"]["value"] <= 1.0
    # an untrained net finds nothing, patches that were seen nowhere are found
    assert rows["patches"]["pro"]["value"] > 0.25
    assert rows["patches"]["model_pro_above"]["value"] == pytest.approx(
        rows["model"]["pro"]["value"] - rows["patches"]["pro"]["value"]
    )
    assert (log.directory / "samples" / "where.png").exists()


def in_floats(this, field):
    """The same run of data that are kept as floats in [0, 1]."""
    splits = {}
    for split in ("train", "valid", "test"):
        arrays = dict(getattr(this.source, split))
        arrays[field] = np.asarray(arrays[field]) / np.float32(255.0)
        splits[split] = arrays
    return dataclasses.replace(this, source=this.source._replace(**splits))


def test_floats_are_looked_at_as_bytes(this):
    floats = in_floats(this, "image")
    seen, expected = FINDING._test(floats), FINDING._test(this)
    for name, each in expected._asdict().items():
        np.testing.assert_array_equal(getattr(seen, name), each, name)
    patches = FINDING.floors[2]
    np.testing.assert_allclose(patches(floats, expected.seen), patches(this, expected.seen))


def test_every_second_test_picture_has_a_defect_of_an_unseen_family(this):
    test = FINDING._test(this)
    assert (test.family[::2] >= 0).all() and (test.family[1::2] == -1).all()
    differs = (test.seen != test.clean).any(-1)
    assert not differs[~test.mask].any() and differs[::2].any((1, 2)).all()
    again = FINDING._test(this)
    np.testing.assert_array_equal(again.seen, test.seen)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"finish.Localising.families": (Blot(),)}, "training has Blot too"),
        ({"finish.Localising.own": Rebuilt()}, "for autoencoders"),
        ({"algorithm.blind": False}, "use True"),
        ({"data.valid": 0}, "holds out no pictures"),
        ({"data.valid": 10}, "too few"),
    ],
)
def test_what_cannot_be_measured_is_told_before_training(wheel, changes, told):
    exp = asked(wheel, **changes)
    with pytest.raises(UserError, match=told) as error:
        exp.finish[0].check(exp, exp.data.load())
    assert "\n" not in str(error.value)
