"""Pictures with masks: numbers, palettes and colours are the same masks; what has no class is told with its file."""

import dataclasses
import re

import numpy as np
import pytest
from PIL import Image

from genjax import config
from genjax.data import Masks, source
from genjax.errors import UserError

RNG = np.random.default_rng(0)
COLOURS = ((0, 0, 0), (255, 0, 0), (0, 0, 255))


def save(path, array, mode=None, palette=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette:
        image = Image.fromarray(array, "P")
        image.putpalette([value for colour in palette for value in colour])
    image.save(path)


@pytest.fixture
def three(tmp_path):
    """Six pictures with random masks of three classes, as numbers; (config, {pixels: mask})."""
    known = {}
    for i in range(6):
        picture = RNG.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        mask = RNG.integers(0, 3, (6, 8)).astype(np.uint8)
        save(tmp_path / "image" / f"{i}.png", picture)
        save(tmp_path / "mask" / f"{i}.png", mask)
        known[picture.tobytes()] = mask
    folders = str(tmp_path / "image"), str(tmp_path / "mask")
    return Masks(*folders, size=(6, 8), classes=3, test=0.3), known


def told(cfg):
    with pytest.raises(UserError) as caught:
        cfg.load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def masks(found):
    """{pixels: mask} of all splits."""
    pairs = {}
    for split in (found.train, found.test):
        for image, mask in zip(split["image"][:], split["mask"][:], strict=True):
            pairs[image.tobytes()] = mask
    return pairs


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key, mask in one.items():
        np.testing.assert_array_equal(mask, other[key])


def test_numbers_palettes_and_colours_are_the_same_masks(three, tmp_path):
    cfg, known = three
    cfg = dataclasses.replace(cfg, names=("ground", "road", "sea"))
    found = cfg.load()
    source.check(found)
    assert found.main == "image" and found.fields["mask"].classes == 3
    assert_same(masks(found), known)
    shares = np.bincount(np.concatenate([mask.ravel() for mask in known.values()])) / (6 * 48)
    (note,) = found.notes
    assert note == (
        f"pixels of each class: ground {shares[0]:.1%}, road {shares[1]:.1%}, sea {shares[2]:.1%}"
    )
    streamed = dataclasses.replace(cfg, stream=True)
    for _ in range(2):  # built, and found
        assert source.fingerprint(streamed.load()) == source.fingerprint(found)
        assert streamed.load().notes == found.notes
    mask_of = {}
    for path in (tmp_path / "mask").iterdir():
        mask_of[path] = np.asarray(Image.open(path))
    for path, mask in mask_of.items():
        save(path, mask, palette=((9, 9, 9), (8, 8, 8), (255, 255, 255)))
    assert_same(masks(cfg.load()), known)
    for path, mask in mask_of.items():
        save(path, np.repeat(mask[..., None], 3, 2))  # numbers, saved in colour
    assert_same(masks(cfg.load()), known)
    for path, mask in mask_of.items():
        save(path, np.array(COLOURS, np.uint8)[mask])
    assert "is a picture of mode RGB and not of class numbers: name the colours" in told(cfg)
    coloured = dataclasses.replace(cfg, classes=0, colours=COLOURS)
    assert_same(masks(coloured.load()), known)
    few = dataclasses.replace(coloured, names=(), colours=COLOURS[:2])
    assert re.search(r"\d pixels of \(0, 0, 255\), and the classes are 2 colours", told(few))


def test_a_mask_is_scaled_without_new_classes(tmp_path):
    mask = np.zeros((16, 24), np.uint8)
    mask[:, 12:] = 2
    save(tmp_path / "image" / "1.png", np.repeat(100 * mask[..., None], 3, 2).astype(np.uint8))
    save(tmp_path / "mask" / "1.png", mask)
    cfg = Masks(str(tmp_path / "image"), str(tmp_path / "mask"), size=8, classes=3, test=0.0)
    found = cfg.load()
    want = np.zeros((8, 8), np.uint8)
    want[:, 4:] = 2
    np.testing.assert_array_equal(found.train["mask"][0], want)
    # where the picture is
    assert (found.train["image"][0, :, 5:] > 150).all() and (
        found.train["image"][0, :, :3] < 50
    ).all()
    assert found.notes[1] == "no pixel of 1 classes, for instance 1"


def test_black_and_white_masks_are_understood(three, tmp_path):
    cfg, known = three
    cfg = dataclasses.replace(cfg, classes=0)
    inside = {key: (mask > 0).astype(np.uint8) for key, mask in known.items()}
    order = [
        np.asarray(Image.open(tmp_path / "image" / f"{i}.png")).tobytes() for i in range(6)
    ]
    for i, key in enumerate(order):
        stored = inside[key] * (255 if i < 4 else 1)
        save(tmp_path / "mask" / f"{i}.png", stored.astype(bool) if i == 5 else stored)
    found = cfg.load()
    assert_same(masks(found), inside)
    assert found.notes[0] == "4 masks of 0 and 255 are read as 0 and 1"
    both = inside[order[0]].copy()
    both[0, :2] = 1, 255
    save(tmp_path / "mask" / "0.png", both)
    assert "0.png has 1 pixels of 255, and the classes are 0 to 1" in told(cfg)


def test_a_picture_that_is_turned_without_its_mask_is_told(tmp_path):
    for i in range(5):
        save(tmp_path / "image" / f"{i}.png", random_picture(4, 6))
        save(tmp_path / "mask" / f"{i}.png", np.zeros((4, 6), np.uint8))
    cfg = Masks(str(tmp_path / "image"), str(tmp_path / "mask"), size=4, test=0.0)
    assert "EXIF" not in " ".join(cfg.load().notes)
    turn(tmp_path / "image" / "1.png", 3)  # upside down
    assert cfg.load().notes[0] == (
        "of 1 files (1.png) one of the two is turned by its EXIF tag and the other is not: look whether they agree"
    )
    turn(tmp_path / "mask" / "1.png", 3)
    assert "EXIF" not in " ".join(cfg.load().notes)
    turn(tmp_path / "image" / "1.png", 6)  # to its side
    assert "its picture 4x6 once turned by its EXIF tag, width by height" in told(cfg)


def random_picture(height, width):
    return RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)


def turn(path, orientation):
    """Gives a file the EXIF tag that turns it."""
    with Image.open(path) as image:
        image.load()
        tags = image.getexif()
    tags[0x112] = orientation
    image.save(path, exif=tags)


def test_void_is_void_in_masks_that_lack_the_second_class_too(tmp_path):
    both, alone = np.array([[0, 1], [255, 0]], np.uint8), np.array([[0, 0], [255, 0]], np.uint8)
    for name, mask in (("1", both), ("2", alone)):
        save(tmp_path / "image" / f"{name}.png", np.zeros((2, 2, 3), np.uint8))
        save(tmp_path / "mask" / f"{name}.png", mask)
    cfg = Masks(str(tmp_path / "image"), str(tmp_path / "mask"), size=2, other=0, test=0.0)
    found = cfg.load().train["mask"]
    assert sorted(found.sum((1, 2)).tolist()) == [0, 1]


def test_pixels_of_no_class_are_told_or_given_one(three, tmp_path):
    cfg, known = three
    mask = np.asarray(Image.open(tmp_path / "mask" / "3.png")).copy()
    mask[2, 1:4] = 255
    mask[0, 0] = 7
    save(tmp_path / "mask" / "3.png", mask)
    assert re.search(
        r"mask/3\.png has 3 pixels of 255, and the classes are 0 to 2: .*--data\.other",
        told(cfg),
    )
    found = masks(dataclasses.replace(cfg, other=1).load())
    mask[mask > 2] = 1
    assert any(np.array_equal(mask, each) for each in found.values())


def test_what_does_not_belong_together(three, tmp_path):
    cfg, _ = three
    save(tmp_path / "mask" / "2.png", np.zeros((6, 9), np.uint8))
    assert re.search(r"mask/2\.png is 9x6 and its picture 8x6, width by height", told(cfg))
    (tmp_path / "mask" / "2.png").unlink()
    assert re.search(r"1 files \(2.png\) of \S+image have no partner", told(cfg))
    (tmp_path / "mask" / "2.png").write_text("?")
    found = dataclasses.replace(cfg, skip_bad=True).load()
    assert len(masks(found)) == 5 and "skipped 1 unreadable of 6 images" in found.notes[0]
    assert "--data.mask is not set" in told(Masks("x"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": 300}, "give one number of classes, from 1 to 256"),
        ({"classes": 3, "names": ("a", "b")}, "--data.classes=3 with 2 --data.names and 0"),
        ({"names": ("a", "b"), "colours": COLOURS}, "with 2 --data.names and 3 --data.colours"),
        ({"colours": ((0, 0, 0), (0, 0, 0))}, "must be different colours"),
        ({"colours": ((0, 0, 256),)}, "must be different colours of red, green, blue"),
        ({"other": 2}, "--data.other=2 must be a class, 0 to 1"),
    ],
)
def test_classes_that_do_not_agree(change, message):
    cfg = Masks("x", "y", **change)
    assert message in told(cfg) and config.from_json(config.to_json(cfg)) == cfg


def test_the_digest_knows_the_masks(three, tmp_path):
    cfg, _ = three
    digest = config.digest(cfg.resolved())
    mask = np.asarray(Image.open(tmp_path / "mask" / "3.png")).copy()
    save(tmp_path / "mask" / "3.png", 2 - mask)
    assert config.digest(cfg.resolved()) != digest
