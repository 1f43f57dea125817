"""A user's folder of images: any mode, size and layout; broken files are named or counted."""

import numpy as np
import pytest
from PIL import Image

from genjax.data import Folder
from genjax.data.folder import decode, scan
from genjax.errors import UserError


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def coloured(folder, per_class=12, classes=("cat", "dog"), side=(9, 14)):
    """Random pictures, one file each; returns {relative name: (pixels, class)}."""
    rng, files = np.random.default_rng(0), {}
    for name in classes:
        for i in range(per_class):
            files[f"{name}/{i}.png"] = rng.integers(0, 256, (*side, 3)).astype(np.uint8)
            save(folder / name / f"{i}.png", files[f"{name}/{i}.png"])
    return files


def test_sub_folders_are_classes(tmp_path):
    files = coloured(tmp_path / "pets")
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "pets" / ".hidden").mkdir()
    source = Folder(path=str(tmp_path / "pets"), size=8, test=0.25).load()
    assert source.name == "pets" and source.shape == (8, 8, 3)
    assert source.classes == 2 and source.class_names == ("cat", "dog")
    n, m = len(source.train["image"]), len(source.test["image"])
    assert n + m == len(files) and m > 0
    assert np.bincount(
        np.concatenate([source.train["label"], source.test["label"]])
    ).tolist() == [
        12,
        12,
    ]
    got = {
        image.tobytes()
        for image in np.concatenate([source.train["image"], source.test["image"]])
    }
    assert got == {decode(tmp_path / "pets" / name, 8, True).tobytes() for name in files}


def test_no_sub_folders_no_classes(tmp_path):
    coloured(tmp_path, classes=("",), per_class=4)
    source = Folder(path=str(tmp_path), size=4, colour=False, test=0.0).load()
    assert source.classes == 0 and source.class_names == () and source.shape == (4, 4, 1)
    assert source.train["label"].tolist() == [0] * 4 and source.test["image"].shape == (
        0,
        4,
        4,
        1,
    )


def test_the_split_stays_when_files_are_added(tmp_path):
    coloured(tmp_path, per_class=30)
    before = scan(tmp_path, 0.3)
    coloured(tmp_path, per_class=45, classes=("cat", "dog", "bird"))
    after = scan(tmp_path, 0.3)
    for split in ("train", "test"):
        names = [name for name, _ in before.splits[split]]
        assert set(names) <= {name for name, _ in after.splits[split]}
        assert names == [
            name for name, _ in after.splits[split] if name in set(names)
        ]  # the order stays too
    assert 0.15 < len(after.splits["test"]) / 135 < 0.45
    assert Folder(path=str(tmp_path), size=4).load().classes == 3


def test_given_train_and_test_folders_are_the_splits(tmp_path):
    coloured(tmp_path / "train", per_class=3)
    coloured(tmp_path / "test", per_class=2)
    source = Folder(path=str(tmp_path), size=4, test=0.9).load()
    assert (len(source.train["image"]), len(source.test["image"])) == (6, 4)
    assert source.class_names == ("cat", "dog") and sorted(source.test["label"].tolist()) == [
        0,
        0,
        1,
        1,
    ]


def test_images_change_the_cache(tmp_path):
    coloured(tmp_path / "p", per_class=3)
    cfg = Folder(path=str(tmp_path / "p"), size=4, test=0.0)
    assert len(cfg.load().train["image"]) == 6
    save(tmp_path / "p" / "cat" / "new.png", np.zeros((5, 5, 3), np.uint8))
    assert len(cfg.load().train["image"]) == 7


@pytest.mark.parametrize("stream", [False, True])
def test_an_unreadable_image_is_named_or_skipped(tmp_path, capsys, stream):
    coloured(tmp_path, per_class=3)
    whole = (tmp_path / "cat" / "0.png").read_bytes()
    (tmp_path / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "dog" / "text.jpg").write_text("not a picture")
    with pytest.raises(
        UserError, match="dog/(cut.png|text.jpg) cannot be read .*--data.skip_bad=true"
    ) as caught:
        Folder(path=str(tmp_path), size=4, test=0.0, stream=stream).load()
    assert "\n" not in str(caught.value)
    for _ in range(2):  # built, then from the cache
        capsys.readouterr()
        source = Folder(
            path=str(tmp_path), size=4, test=0.0, skip_bad=True, stream=stream
        ).load()
        assert len(source.train["image"]) == 6 and source.train["image"][:].shape == (
            6,
            4,
            4,
            3,
        )
        told = [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]
        assert (
            len(told) == 1
            and "skipped 2 unreadable of 8 images" in told[0]
            and "dog/cut.png" in told[0]
        )


def test_every_image_unreadable(tmp_path):
    (tmp_path / "a.png").write_text("no")
    with pytest.raises(
        UserError, match="a split with no readable image, 1 are bad, for instance a.png"
    ):
        Folder(path=str(tmp_path), skip_bad=True, test=0.0).load()


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(UserError, match="--data.path is not set"):
        Folder().load()
    with pytest.raises(UserError, match="no folder .*nowhere'.*--data.path=FOLDER"):
        Folder(path=str(tmp_path / "nowhere")).load()
    with pytest.raises(UserError, match="holds no images"):
        Folder(path=str(tmp_path)).load()
    coloured(tmp_path, per_class=1)
    save(tmp_path / "stray.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UserError, match="beside and inside"):
        Folder(path=str(tmp_path)).load()
    with pytest.raises(UserError, match="--data.test=1.5"):
        Folder(path=str(tmp_path), test=1.5).load()


def test_short_side_then_centre(tmp_path):
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 200  # the centre square
    save(tmp_path / "wide.png", wide)
    save(tmp_path / "tall.png", wide.swapaxes(0, 1))
    for name in ("wide.png", "tall.png"):
        assert (decode(tmp_path / name, 8, True) == 200).all()
    assert decode(tmp_path / "wide.png", 4, False).shape == (4, 4, 1)


def test_an_image_of_the_right_size_is_kept_to_the_bit(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    save(tmp_path / "x.png", image)
    assert np.array_equal(decode(tmp_path / "x.png", 16, True), image)


def test_every_mode_of_image(tmp_path):
    left = np.zeros((8, 8), np.uint8)
    left[:, :4] = 255  # white left half
    save(tmp_path / "deep.png", left.astype(np.uint16) * 257)
    assert np.array_equal(decode(tmp_path / "deep.png", 8, False)[..., 0], left)
    rgba = np.dstack(
        [np.zeros((8, 8, 3), np.uint8), 255 - left]
    )  # black, see-through on the left
    save(tmp_path / "alpha.png", rgba)
    assert np.array_equal(decode(tmp_path / "alpha.png", 8, True)[..., 1], left)
    Image.fromarray(left).convert("P").save(tmp_path / "palette.gif")
    assert np.array_equal(decode(tmp_path / "palette.gif", 8, True)[..., 2], left)
    Image.fromarray(left).convert("1").save(tmp_path / "bits.png")
    assert np.array_equal(decode(tmp_path / "bits.png", 8, False)[..., 0], left)
    Image.fromarray(np.dstack([left] * 4)).convert("CMYK").save(tmp_path / "ink.jpg")
    assert decode(tmp_path / "ink.jpg", 8, True).shape == (8, 8, 3)
    Image.fromarray(left.astype(np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(UserError, match="float.tiff .*floating-point"):
        decode(tmp_path / "float.tiff", 8, True)


def test_the_exif_tag_turns_the_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    top = np.zeros((16, 16, 3), np.uint8)
    top[:8] = 255
    save(tmp_path / "turned.png", top, exif=exif)
    shown = decode(tmp_path / "turned.png", 16, False)[..., 0]
    assert (shown[:, 8:] > 250).all() and (
        shown[:, :8] < 5
    ).all()  # the top is now at the right
