"""Pictures in pairs: found by name, scaled alike, and known by what they hold, as a folder is."""

import dataclasses
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from genjax import config
from genjax.data import Pairs, files, source
from genjax.data.decoding import decode
from genjax.errors import UserError

RNG = np.random.default_rng(0)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def random(height=8, width=8):
    return RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)


def two(root, names, suffixes=(".png", ".png"), **shape):
    """Random pairs in root/a and root/b; the config that reads them to the bit."""
    for name in names:
        for side, suffix in zip("ab", suffixes, strict=True):
            save(root / side / f"{name}{suffix}", random(**shape))
    return Pairs(str(root / "a"), str(root / "b"), size=8, test=0.0)


def told(cfg):
    with pytest.raises(UserError) as caught:
        cfg.load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_of_one_name_are_a_pair(tmp_path):
    names = [*map(str, range(9)), "deep/1"]
    cfg = two(tmp_path, names, (".png", ".bmp"))
    cfg = dataclasses.replace(cfg, test=0.4, colour_input=False)
    found = cfg.load()
    source.check(found)
    assert found.name == "a-b" and found.shape == (8, 8, 3) and found.main == "image"
    assert found.fields["input"].shape == (8, 8, 1)
    pairs = {}
    for name in names:
        image = decode(tmp_path / "b" / f"{name}.bmp", 8, True)
        pairs[image.tobytes()] = decode(tmp_path / "a" / f"{name}.png", 8, False).tobytes()
    seen = {}
    for split in (found.train, found.test):
        assert len(split["image"]) > 0
        for image, given in zip(split["image"], split["input"], strict=True):
            seen[image.tobytes()] = given.tobytes()
    assert seen == pairs
    # the other way round, in the same splits
    other = dataclasses.replace(cfg, colour_input=True, swapped=True).load()
    plain = dataclasses.replace(cfg, colour_input=True).load()
    for split in ("train", "test"):
        one, two_ = plain.splits()[split], other.splits()[split]
        np.testing.assert_array_equal(one["image"], two_["input"])
        np.testing.assert_array_equal(one["input"], two_["image"])


def test_sub_folders_are_splits_of_both_sides(tmp_path):
    two(tmp_path, ["train/1", "train/2", "train/x/1", "val/1", "test/1"])
    shutil.move(tmp_path / "b" / "train", tmp_path / "b" / "Training")
    cfg = Pairs(str(tmp_path / "a"), str(tmp_path / "b"), size=8)
    sizes = {split: len(its["image"]) for split, its in cfg.load().splits().items()}
    assert sizes == {"train": 3, "valid": 1, "test": 1}
    assert "for validation already" in told(dataclasses.replace(cfg, valid=1))
    shutil.rmtree(tmp_path / "b" / "val")
    assert "a has the splits test, train, valid and" in told(cfg)


def test_both_halves_of_one_file(tmp_path):
    whole = [random(width=16) for _ in range(6)]
    for i, array in enumerate(whole):
        save(tmp_path / "maps" / f"{i}.png", array)
    cfg = Pairs(str(tmp_path / "maps"), size=8, side_by_side=True, test=0.0)
    left = {array[:, :8].tobytes(): array[:, 8:].tobytes() for array in whole}
    found = cfg.load()
    assert found.name == "maps"
    rows = zip(found.train["input"], found.train["image"], strict=True)
    assert {given.tobytes(): image.tobytes() for given, image in rows} == left
    swapped = dataclasses.replace(cfg, swapped=True).load().train
    np.testing.assert_array_equal(swapped["input"], found.train["image"])
    assert "names a second folder" in told(dataclasses.replace(cfg, b="x"))
    save(tmp_path / "maps" / "9.png", random(width=15))
    assert re.search(r"9\.png is 15 pixels wide, which are no two halves", told(cfg))


def test_pairs_stay_where_they_are_when_others_are_added(tmp_path):
    cfg = dataclasses.replace(two(tmp_path, map(str, range(20))), test=0.3)
    before = {image.tobytes() for image in cfg.load().test["image"]}
    two(tmp_path, map(str, range(20, 40)))
    after = {image.tobytes() for image in cfg.load().test["image"]}
    assert before and before < after


def test_a_moved_set_is_the_same_and_a_changed_one_another(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "YOUNG", 0)
    cfg = two(tmp_path / "old", map(str, range(5)))
    digest = config.digest(cfg.resolved())
    before = cfg.load()
    shutil.move(tmp_path / "old", tmp_path / "new")
    assert cfg.resolved().content == before_mark(cfg)  # of the cache's note
    np.testing.assert_array_equal(cfg.load().train["image"], before.train["image"])
    moved = dataclasses.replace(cfg, a=str(tmp_path / "new/a"), b=str(tmp_path / "new/b"))
    assert config.digest(moved.resolved()) == digest
    # input and target that change places are another set, though the files are the same
    turned = dataclasses.replace(cfg, a=moved.b, b=moved.a)
    assert config.digest(turned.resolved()) != digest
    save(tmp_path / "new" / "a" / "3.png", random())
    assert config.digest(moved.resolved()) != digest
    known = dataclasses.replace(moved, content=cfg.resolved().content)
    assert "has changed: its images have the mark" in told(known)
    gone = dataclasses.replace(cfg, size=4)
    assert "there is no folder" in told(gone) and "--data.a=FOLDER --data.b=" in told(gone)


def before_mark(cfg):
    """The mark by which the cache remembers the folders."""
    (seen,) = [seen for seen in source.cache.sightings("pairs") if str(cfg.a) in seen.path]
    return seen.content


def test_streamed_pairs_are_the_same_bytes(tmp_path):
    cfg = dataclasses.replace(two(tmp_path, map(str, range(12))), test=0.3, valid=2)
    kept, streamed = (dataclasses.replace(cfg, stream=flag).load() for flag in (False, True))
    assert source.fingerprint(kept) == source.fingerprint(streamed)
    batches = [source.train_batches(each, 1, 2, 3) for each in (kept, streamed)]
    for _ in range(3):
        a, b = map(next, batches)
        assert a.keys() == b.keys()
        assert all(a[name].tobytes() == b[name].tobytes() for name in a)


def test_files_without_a_partner_are_counted(tmp_path):
    cfg = two(tmp_path, map(str, range(3)))
    for i in range(5):
        save(tmp_path / "a" / f"x{i}.png", random())
    text = told(cfg)
    assert re.search(r"5 files \(x0.png, x1.png, x2.png, …\) of \S+/a have no partner", text)
    assert re.search(r"and 0 files of \S+/b have none in \S+/a: ", text)
    save(tmp_path / "b" / "1.jpg", random())
    assert "b holds 1.jpg and 1.png, one name but for the suffix" in told(cfg)


def test_what_no_size_brings_together_is_refused(tmp_path):
    cfg = two(tmp_path, ["1"])
    save(tmp_path / "a" / "2.png", random(16, 33))
    save(tmp_path / "b" / "2.png", random(8, 17))  # scaled, with its sides rounded
    assert cfg.load().shape == (8, 8, 3)
    save(tmp_path / "b" / "2.png", random(8, 20))
    assert re.search(r"2\.png is 33x16 and \S+b/2\.png is 20x8, width by height", told(cfg))


def test_links_in_the_place_of_partners_are_told(tmp_path):
    cfg = two(tmp_path, ["1", "2"])
    assert "count as none" not in told(dataclasses.replace(two(tmp_path / "c", ["1"]), a=cfg.a))
    (tmp_path / "b" / "2.png").unlink()
    (tmp_path / "b" / "2.png").symlink_to("1.png")  # one target of two inputs
    assert "(1 links to a file that is there already count as none)" in told(cfg)


def test_one_half_that_is_turned_by_its_tag_is_told(tmp_path):
    cfg = two(tmp_path, map(str, range(3)))
    assert cfg.load().notes == ()
    tags = Image.Exif()
    tags[0x112] = 3  # upside down
    Image.fromarray(random()).save(tmp_path / "b" / "2.png", exif=tags)
    assert re.search(r"of 1 files \(2\.png\) one of the two is turned", cfg.load().notes[0])


def test_what_could_not_be_streamed_leaves_nothing(tmp_path, cache_dir):
    cfg = dataclasses.replace(two(tmp_path, map(str, range(4))), stream=True)
    (tmp_path / "b" / "2.png").write_text("no picture")
    assert "b/2.png cannot be read as an image" in told(cfg)
    assert not list(cache_dir.glob("*"))


def test_unreadable_pairs_are_left_out_as_a_whole(tmp_path, capsys):
    cfg = two(tmp_path, map(str, range(4)))
    (tmp_path / "b" / "2.png").write_text("no picture")
    assert "b/2.png cannot be read as an image" in told(cfg)
    for stream in (False, True, True):  # built, and found
        found = dataclasses.replace(cfg, skip_bad=True, stream=stream).load()
        assert len(found.train["image"]) == len(found.train["input"]) == 3
        assert found.notes == ("skipped 1 unreadable of 4 images, for instance 2.png",)


def test_folders_that_are_not_there_or_empty(tmp_path):
    cfg = two(tmp_path, ["1"])
    assert "--data.b is not set: name a folder" in told(dataclasses.replace(cfg, b=""))
    (tmp_path / "none").mkdir()
    empty = told(dataclasses.replace(cfg, b=str(tmp_path / "none")))
    assert "none holds no images" in empty and "--data.b=FOLDER" in empty
    assert "--data.test=1.0" in told(dataclasses.replace(cfg, test=1.0))
    assert "--data.size=0" in told(dataclasses.replace(cfg, size=0))
