"""A user's folder of images: any mode, size and layout; broken files are named or counted; wherever it lies."""

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genjax import cli, config
from genjax.data import Folder, cache, files, folder
from genjax.data.files import FORMATS, SUFFIXES, split_of
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


def touch(root, *names):
    """Empty files: to find splits needs no more than names."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_the_names_of_splits():
    train = (
        "train",
        "Train",
        "TRAINING",
        "training_set",
        "train-data",
        "train2017",
        "trainval",
    )
    valid = ("val", "Valid", "validation", "dev", "val_images", "VALIDATION SET")
    test = ("test", "Testing", "test.set", "eval", "evaluation")
    for split, names in (("train", train), ("valid", valid), ("test", test)):
        assert [split_of(name) for name in names] == [split] * len(names)
    for name in ("trains", "cat", "value", "latest", "set", "test1", "development hell", "_"):
        assert split_of(name) == ""


@pytest.mark.parametrize(
    ("given", "sizes", "classes"),
    [
        # {folder: images of it}, the sizes of the splits, the classes
        ({"train": 40, "val": 4}, {"train": 30, "test": 10, "valid": 4}, "ab"),
        ({"Training": 40, "TEST": 4}, {"train": 40, "test": 4}, "ab"),
        ({"train": 8, "dev": 4, "eval": 2}, {"train": 8, "test": 2, "valid": 4}, "ab"),
        ({"train": 40}, {"train": 30, "test": 10}, "ab"),
        # classes, among them trains
        ({"bus": 20, "train": 20}, {"train": 30, "test": 10}, ["bus", "train"]),
        ({"bus": 20, "test": 20}, {"train": 30, "test": 10}, ["bus", "test"]),
        # what lies beside is no class
        ({"train": 8, "test": 2, "more": 9}, {"train": 8, "test": 2}, "ab"),
    ],
)
def test_sub_folders_are_splits_or_classes(tmp_path, monkeypatch, given, sizes, classes):
    monkeypatch.setattr(files, "_share", lambda name: int(Path(name).stem) % 4 / 4)
    for top, n in given.items():
        touch(tmp_path, *(f"{top}/{'ab'[i // 4 % 2]}/{i}.JPEG" for i in range(n)))
    found = scan(tmp_path, 0.25)
    assert {split: len(names) for split, names in found.splits.items()} == sizes
    assert found.class_names == tuple(classes)
    told = " ".join(found.notes)
    assert ("no folder of test images: 10 of train are" in told) == (
        classes == "ab" and len(found.splits["test"]) == 10
    )
    assert ("passed over 9 images beside test and train, for instance in 'more'" in told) == (
        "more" in given
    )


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("train/a/0.png", "Train/a/1.png"), "Train and train, which mean one split, train"),
        (
            ("train/a/0.png", "val/a/1.png", "valid/a/1.png"),
            "val and valid, which mean one split, valid",
        ),
        (("val/a/0.png", "test/a/1.png"), "test and val and no train: .* --data.path=.*/test"),
        (
            ("train/n01440764/0.JPEG", "train/n01443537/0.JPEG", "val/0.JPEG", "val/1.JPEG"),
            "/val holds its 2 images without sub-folders and .*/train holds its own in 2 folders.* put every image of "
            "val into the folder of its class .*or move val out of",
        ),
        (("train/0.png", "test/a/1.png"), "/train holds its 1 images without sub-folders"),
        (("train/a/0.png", "train/1.png", "test/a/1.png"), "/train holds .* beside and inside"),
    ],
)
def test_splits_that_cannot_be_told_are_one_line(tmp_path, names, told):
    touch(tmp_path, *names)
    with pytest.raises(UserError, match=told) as caught:
        scan(tmp_path, 0.1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("stream", [False, True])
def test_a_folder_of_validation_images_is_the_validation_split(tmp_path, stream):
    for split, n in (("train", 6), ("val", 3), ("test", 2)):
        coloured(tmp_path / "pets" / split, per_class=n)
    cfg = Folder(path=str(tmp_path / "pets"), size=4, stream=stream)
    source = cfg.load()
    sizes = {split: len(arrays["image"]) for split, arrays in source.splits().items()}
    assert sizes == {"train": 12, "valid": 6, "test": 4}
    names = dict(scan(tmp_path / "pets", 0.1).splits["valid"])
    want = sorted(decode(tmp_path / "pets" / name, 4, True).tobytes() for name in names)
    assert sorted(image.tobytes() for image in source.valid["image"][:]) == want
    with pytest.raises(UserError, match="--data.valid=2: .* for validation already"):
        dataclasses.replace(cfg, valid=2).load()
    if not stream:  # from the cache alone too
        shutil.move(tmp_path / "pets", tmp_path / "away")
        with pytest.raises(UserError, match="--data.valid=2: .* for validation already"):
            dataclasses.replace(cfg, valid=2).load()


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


def test_a_name_that_is_no_text_is_told(tmp_path, capsys):
    coloured(tmp_path, per_class=1)
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / "cat" / name).write_text("no")
    Folder(path=str(tmp_path), size=4, test=0.0, skip_bad=True).load()
    assert "instance 'cat/caf\\udce9.png'" in capsys.readouterr().err


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


def test_a_rectangle_is_covered_from_the_centre(tmp_path):
    image = np.zeros((16, 24, 3), np.uint8)
    image[4:12] = 200  # of a picture of 24 x 16 the middle 24 x 8
    save(tmp_path / "set" / "x.png", image)
    save(tmp_path / "set" / "y.png", image)
    assert decode(tmp_path / "set" / "x.png", (8, 24), True).shape == (8, 24, 3)
    assert (decode(tmp_path / "set" / "x.png", (8, 24), True) == 200).all()
    hint, _ = config.lookup(Folder(), "size")
    size = cli.read("size", "(4, 12)", hint, 64)
    source = Folder(path=str(tmp_path / "set"), size=size, colour=False, test=0.0).load()
    assert source.shape == (4, 12, 1) and (source.train["image"] >= 190).all()
    for bad in (0, (0, 5), (4, -1), (1, 2, 3), ()):
        with pytest.raises(
            UserError, match="--data.size=.* must be at least 1: .*width"
        ) as caught:
            Folder(path=str(tmp_path), size=bad).load()
        assert "\n" not in str(caught.value)


def test_formats_are_those_that_start_no_program():
    known = {}
    for suffix, name in Image.registered_extensions().items():
        known.setdefault("JPEG" if name == "MPO" else name, set()).add(suffix)
    # each suffix of a format, no other; .pfm holds floats alone
    known["PPM"].remove(".pfm")
    assert {name: set(FORMATS[name]) for name in FORMATS if name in known} == {
        name: known[name] for name in FORMATS if name in known
    }
    assert not {".eps", ".ps", ".iim", ".wmf", ".emf", ".pdf"} & SUFFIXES


def test_every_format_is_read_whatever_its_name(tmp_path):
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, 8:] = 255
    read = set()
    for name, suffixes in FORMATS.items():
        for suffix in suffixes:
            path = tmp_path / f"x{suffix.upper()}"
            bits = name == "XBM" or suffix == ".bw"
            try:
                Image.fromarray(image).convert(
                    "1" if name == "XBM" else "L" if bits else "RGB"
                ).save(path, format=name)
            except (KeyError, OSError):  # this Pillow reads it and cannot write it
                continue
            shutil.copy(path, tmp_path / "other.png")
            for file in (path, tmp_path / "other.png"):
                grey = decode(file, 16, False)[..., 0].astype(int)
                assert abs(grey - image[..., 0]).max() < 40, path
            read.add(name)
    assert read >= {
        "PNG",
        "JPEG",
        "GIF",
        "TIFF",
        "PPM",
        "BMP",
        "TGA",
        "ICO",
        "PCX",
        "SGI",
        "DDS",
    }


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


def test_numbers_of_no_known_range_are_refused(tmp_path):
    grey = np.arange(64, dtype=np.int32).reshape(8, 8)
    Image.fromarray(4 * grey).save(tmp_path / "eight.tif")  # 0 to 252
    with pytest.raises(UserError, match="eight.tif .*none is above 255 have no known range"):
        decode(tmp_path / "eight.tif", 8, False)
    Image.fromarray(1000 * grey).save(tmp_path / "sixteen.tif")
    assert decode(tmp_path / "sixteen.tif", 8, False).max() == round(63_000 / 257)
    (tmp_path / "dark.pgm").write_bytes(b"P5 1 1 65535\n\x00\x09")  # its range is known
    assert decode(tmp_path / "dark.pgm", 8, False).max() == 0


@pytest.mark.parametrize(("largest", "told"), [(4095, True), (65535, False)])
def test_a_set_in_the_dark_is_told(tmp_path, capsys, largest, told):
    save(tmp_path / "0.png", np.full((8, 8), largest, np.uint16))
    save(tmp_path / "1.png", np.zeros((8, 8), np.uint16))
    for _ in range(2):  # built, then from the cache
        capsys.readouterr()
        source = Folder(path=str(tmp_path), size=8, colour=False, test=0.0).load()
        assert any("no pixel is above 1/8" in note for note in source.notes) == told


def test_a_large_array_is_told_before_it_is_prepared(tmp_path, capsys, monkeypatch):
    coloured(tmp_path, per_class=1)
    monkeypatch.setattr(folder, "_MUCH", 2 * 8 * 8 * 3 - 1)
    for told in (True, False):  # built, then from the cache
        Folder(path=str(tmp_path), size=8, test=0.0).load()
        assert ("2 images of 8x8x3 are 0.0 GB" in capsys.readouterr().err) == told


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


# --- a set is what its files hold, wherever they lie ------------------------------------------------------------------


@pytest.fixture
def built(monkeypatch):
    """The folders that were decoded, in turn."""
    roots, real = [], folder._prepare

    def prepare(directory, root, *rest):
        roots.append(root.name)
        return real(directory, root, *rest)

    monkeypatch.setattr(folder, "_prepare", prepare)
    return roots


@pytest.fixture
def compared(monkeypatch):
    """The folders whose bytes were all read, in turn."""
    roots, real = [], files.fingerprint

    def fingerprint(root, *rest):
        roots.append(root.name)
        return real(root, *rest)

    monkeypatch.setattr(files, "fingerprint", fingerprint)
    return roots


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """A folder that nobody has written to for a while, of whose files few are read for its mark."""
    coloured(tmp_path / "pets", per_class=4)
    monkeypatch.setattr(files, "READ", 2)
    monkeypatch.setattr(files, "YOUNG", 0)
    return Folder(path=str(tmp_path / "pets"), size=4, test=0.25)


def at(cfg, path):
    return dataclasses.replace(cfg, path=str(path))


def same(a, b):
    pairs = [(a.splits()[split], b.splits()[split]) for split in a.splits()]
    return all(np.array_equal(x[name], y[name]) for x, y in pairs for name in x)


def test_a_moved_or_copied_folder_is_the_same_set(tmp_path, pets, built, compared):
    before = pets.load()
    digest = config.digest(pets.resolved())
    assert built == compared == ["pets"]
    shutil.copytree(tmp_path / "pets", tmp_path / "copy", copy_function=shutil.copyfile)
    for path in (tmp_path / "copy").rglob("*.png"):
        os.utime(path, (1, 1))
    copy = at(pets, tmp_path / "copy")
    assert same(copy.load(), before) and copy.load().name == "copy"
    # its times are others: its bytes are read, and once
    assert built == ["pets"] and compared == ["pets", "copy"]
    shutil.move(tmp_path / "pets", tmp_path / "moved")
    moved = at(pets, tmp_path / "moved")
    assert same(moved.load(), before)
    assert built == ["pets"] and compared == ["pets", "copy"]
    assert {config.digest(cfg.resolved()) for cfg in (copy, moved)} == {digest}
    save(tmp_path / "moved" / "cat" / "new.png", np.zeros((5, 5, 3), np.uint8))
    assert config.digest(moved.resolved()) != digest
    assert len(moved.load().train["image"]) + len(moved.load().test["image"]) == 9


def flip_a_pixel(path):
    """Another picture in a file of the same size; returns the old bytes."""
    old = path.read_bytes()
    image = np.asarray(Image.open(path)).copy()
    n = len(old)
    for value in range(256):
        image[0, 0] = value
        Image.fromarray(image).save(path)
        if path.stat().st_size == n and path.read_bytes() != old:
            return old
    raise AssertionError("no picture of the same size")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("keep_time", [False, True])
def test_a_file_edited_in_place_is_noticed(tmp_path, pets, built, stream, keep_time):
    cfg = dataclasses.replace(pets, stream=stream)
    cfg.load()
    names = sorted(scan(tmp_path / "pets", 0.25).names())
    path = tmp_path / "pets" / names[3]  # none of those whose bytes are in the mark
    status = path.stat()
    mark = cfg.resolved().content
    old = flip_a_pixel(path)
    if keep_time:  # mtime can be set back, ctime cannot
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size and cfg.resolved().content == mark
    after = cfg.load()
    assert len(built) == 2
    want = decode(path, 4, True)
    assert any(
        np.array_equal(want, x) for part in (after.train, after.test) for x in part["image"][:]
    )
    path.write_bytes(old)
    again = cfg.load()
    assert not any(
        np.array_equal(want, x) for part in (again.train, again.test) for x in part["image"][:]
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_folder_that_changes_while_it_is_read_is_not_kept(
    tmp_path, pets, monkeypatch, stream
):
    cfg, real = dataclasses.replace(pets, stream=stream), folder._prepare

    def prepare(directory, root, *rest):
        prepared = real(directory, root, *rest)
        os.utime(root / "cat" / "0.png", (7, 7))
        return prepared

    monkeypatch.setattr(folder, "_prepare", prepare)
    with pytest.raises(UserError, match="pets has changed while it was read: .*again"):
        cfg.load()
    monkeypatch.undo()
    path = tmp_path / "pets" / "cat" / "0.png"
    flip_a_pixel(path)
    source = cfg.load()
    images = [*source.train["image"][:], *source.test["image"][:]]
    assert any(np.array_equal(decode(path, 4, True), image) for image in images)


def test_young_files_are_compared_at_every_load(pets, monkeypatch, built, compared):
    monkeypatch.setattr(files, "YOUNG", 10**12)
    for _ in range(3):
        pets.load()
    assert built == ["pets"] and compared == ["pets"] * 3


def test_a_touched_file_of_the_same_bytes_is_not_decoded(tmp_path, pets, built, compared):
    pets.load()
    os.utime(tmp_path / "pets" / "cat" / "0.png", (5, 5))
    pets.load()
    pets.load()
    assert built == ["pets"] and compared == ["pets", "pets"]


def test_other_options_of_the_same_files_need_no_second_comparison(pets, built, compared):
    pets.load()
    assert dataclasses.replace(pets, size=(2, 6)).load().shape == (2, 6, 3)
    dataclasses.replace(pets, stream=True).load()
    assert built == ["pets"] * 3 and compared == ["pets"]


def test_without_the_folder_the_cache_serves(tmp_path, pets, built):
    before = pets.load()
    known = pets.resolved()
    shutil.move(tmp_path / "pets", tmp_path / "away")
    assert pets.resolved() == known and same(pets.load(), before)
    # a set that was copied here alone is known by its mark, whatever the path
    assert same(at(known, "/no/where").load(), before) and built == ["pets"]
    for cfg in (at(pets, "/no/where"), at(pets, tmp_path / "nowhere")):
        with pytest.raises(UserError, match="no folder .*no such set .*--data.path=FOLDER"):
            cfg.resolved()
    with pytest.raises(UserError, match="no folder .*--data.path=FOLDER"):
        dataclasses.replace(pets, size=5).load()  # it has no set of this size


def test_a_streamed_set_needs_its_folder(tmp_path, pets):
    streamed = dataclasses.replace(pets, stream=True)
    streamed.load()
    shutil.move(tmp_path / "pets", tmp_path / "away")
    with pytest.raises(UserError, match="no folder .*, which a streamed set is read with: put"):
        streamed.load()


def test_the_last_set_that_was_read_from_a_folder_is_meant(tmp_path, pets):
    pets.load()
    save(tmp_path / "pets" / "cat" / "new.png", np.zeros((5, 5, 3), np.uint8))
    last = pets.load()
    shutil.move(tmp_path / "pets", tmp_path / "away")
    assert same(pets.load(), last)


def test_a_folder_that_has_changed_since_is_one_line(tmp_path, pets):
    known = pets.resolved()
    assert len(known.content) == 16 and known.resolved() == known
    (tmp_path / "pets" / "cat" / "0.png").unlink()
    for read in (known.resolved, known.load):
        with pytest.raises(
            UserError, match=f"has changed: .* {known.content}: put the old ones back, or"
        ) as caught:
            read()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("harm", ["flip", "cut", "[]", "null", '{"seen": [[1]], "crc32": 0}'])
def test_a_note_that_has_changed_is_said_and_made_anew(
    tmp_path, pets, built, compared, cache_dir, capfd, harm
):
    before = pets.load()
    (note,) = cache_dir.glob("*/seen.json")
    good = note.read_text()
    times = cache.sightings("folder")[0].times
    harmed = {"flip": good.replace(times, times[::-1]), "cut": good[:-9]}
    note.write_text(harmed.get(harm, harm))
    capfd.readouterr()
    assert same(pets.load(), before) and built == ["pets"] and compared == ["pets"] * 2
    told = capfd.readouterr().err
    assert (
        told == f"warning: {note} has changed since it was written: folder is compared again\n"
    )
    assert same(pets.load(), before) and compared == ["pets"] * 2
    assert [seen.path for seen in cache.sightings("folder")] == [str(tmp_path / "pets")]


def test_a_cache_that_is_read_only_serves_without_notes(pets, built, compared, cache_dir):
    before = pets.load()
    (note,) = cache_dir.glob("*/seen.json")
    note.unlink()
    note.mkdir()  # nothing can be written there
    for _ in range(2):
        assert same(pets.load(), before)
    assert built == ["pets"] and compared == ["pets"] * 3


@pytest.mark.parametrize("stream", [False, True])
def test_names_of_classes_survive_the_cache(tmp_path, stream):
    names = ("new\nline", "café", os.fsdecode(b"\xff"), " a")
    coloured(tmp_path / "set", per_class=2, classes=names)
    for _ in range(2):
        source = Folder(path=str(tmp_path / "set"), size=4, test=0.0, stream=stream).load()
        assert source.class_names == tuple(sorted(names))


def test_a_folder_that_cannot_be_listed_is_not_passed_over(tmp_path, monkeypatch):
    coloured(tmp_path / "pets", per_class=1)
    real = os.scandir

    def refuse(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="dog cannot be listed .Permission denied."):
        scan(tmp_path / "pets", 0.1)


def links(folder, *pairs):
    """Links of names to places, relative to the folder."""
    for name, place in pairs:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(folder / place)


def test_what_links_lead_to_is_there_once(tmp_path):
    """Folders that link to each other would be read as often as there are ways through them."""
    names = [f"d{i}" for i in range(9)]
    coloured(tmp_path / "own", per_class=1, classes=names)
    for name in names:
        others = [other for other in names if other != name]
        links(tmp_path / "own", *((f"{name}/{other}", other) for other in others))
    links(tmp_path / "own", ("d0/copy.png", "d3/0.png"), ("up", "."))
    coloured(tmp_path / "else", per_class=2)
    # in the order of names: of two ways to a folder the first
    links(tmp_path / "own", ("x", "../else"), ("y", "../else/cat"))
    found = scan(tmp_path / "own", 0.0)
    ways = [*(f"{name}/0.png" for name in names), "x/cat/0.png", "x/cat/1.png"]
    assert sorted(found.names()) == [*ways, "x/dog/0.png", "x/dog/1.png"]
    (told,) = found.notes
    assert (
        told
        == "passed over 75 links to what is there already, for instance 'd0/copy.png' to 'd3/0.png'"
    )


@pytest.mark.parametrize(
    ("name", "place", "told"),
    [
        ("test/cat", "train/cat", "test/cat leads to train/cat, so that test and train share"),
        ("test", "train", "test leads to train, so"),
        ("test/cat/7.png", "train/cat/0.png", "test/cat/7.png leads to train/cat/0.png"),
    ],
)
def test_splits_that_links_join_are_one_line(tmp_path, name, place, told):
    coloured(tmp_path / "train", per_class=1)
    links(tmp_path, (name, place))
    with pytest.raises(UserError, match=told):
        scan(tmp_path, 0.0)


def test_what_would_be_waited_for_is_passed_over(tmp_path):
    coloured(tmp_path, per_class=1)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    (tmp_path / "cat" / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "cat" / "round.png").symlink_to("round.png")  # an image that cannot be read
    found = scan(tmp_path, 0.0)
    assert sorted(found.names()) == ["cat/0.png", "cat/round.png", "dog/0.png"]
    assert found.notes == ("passed over 2 pipes or devices, for instance 'cat/pipe.png'",)


def test_a_class_may_begin_with_underscores(tmp_path):
    coloured(tmp_path, per_class=1, classes=("__cat__", "dog", "__MACOSX"))
    assert scan(tmp_path, 0.0).class_names == ("__cat__", "dog")
