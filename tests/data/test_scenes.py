"""Tiles of a package's photographs: halved in linear light, split by scene, with the licence of each."""

import dataclasses
import io
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genjax.data import Scenes, scenes, source, summary
from genjax.data.apart import apart
from genjax.errors import UserError
from tests.data.packaged import lay_scenes, photograph, resources, webp, write_scenes

DATA = os.environ.get("GENJAX_DATA")  # before every test unsets it
NAMES = [f"hills/{name}" for name in "abcde"] + [f"waters/seas/sea{i}" for i in range(1, 6)]


@pytest.fixture
def package(tmp_path, monkeypatch):
    lay_scenes(monkeypatch)
    write_scenes(tmp_path / "package")
    return str(tmp_path / "package")


def test_the_photographs_that_are_taken(package):
    found = scenes.photographs(package)
    halves = scenes.photographs(package, 3)
    assert [scene.split for scene in halves] == [scene.split for scene in found]
    # no painting, no drawing, no fish, and nothing that the README does not name
    assert [scene.name for scene in found] == NAMES
    assert [scene.kind for scene in found] == ["monuments"] * 5 + ["sea"] * 5
    assert [scene.image.shape for scene in found[:5]] == [(40, 52, 3)] * 4 + [(30, 36, 3)]
    with Image.open(io.BytesIO(webp(photograph(0)))) as image:
        whole = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(found[0].image, scenes.halved(whole, 1))
    np.testing.assert_array_equal(scenes.photographs(package, 0)[0].image, whole)


def test_what_is_said_of_each(package):
    found = scenes.attributions(package)
    assert list(found) == NAMES
    a, b, c = (found[name] for name in NAMES[:3])
    assert a == ("Ann Alpha, 2020", "CC-BY-SA-4.0", "https://example.org/a", "")
    assert b == ("Bo Beta", "Public Domain", "", "cropping, sharpening")
    assert c[:3] == ("Cy Gamma", "CC-BY-4.0", "https://example.org/c")
    licences = [scene.licence for scene in scenes.photographs(package)]
    assert licences == [about.licence for about in found.values()]


def test_tiles_of_the_splits(package):
    loaded = Scenes(size=16, path=package).load()
    source.check(loaded)
    assert loaded.class_names == ("monuments", "sea") and loaded.shape == (16, 16, 3)
    assert loaded.fields["scene"].names == tuple(NAMES)
    apart(loaded, "scene")
    told = {scene.name: scene for scene in scenes.photographs(package)}
    for split, arrays in loaded.splits().items():
        assert len(arrays["image"])
        for tile, label, number in zip(*arrays.values(), strict=True):
            scene = told[NAMES[number]]
            assert scene.split == split and scene.kind == loaded.class_names[label]
            found = np.lib.stride_tricks.sliding_window_view(scene.image, (16, 16, 3))
            places = np.argwhere((found[:, :, 0] == tile).all((2, 3, 4)))
            (y, x) = places[0]
            spare = np.array(scene.image.shape[:2]) - 16
            assert (np.array([y, x]) % 16 == spare % 16 // 2).all()
    # 3 x 2 of 52x40, 2 x 1 of 36x30, 3 x 2 of 49x38
    counts = Counter(np.concatenate([arrays["scene"] for arrays in loaded.splits().values()]))
    assert [counts[i] for i in range(10)] == [6, 6, 6, 6, 2, 6, 6, 6, 6, 6]
    told = summary.summary(loaded)
    assert (
        "10 scenes of 0.0 Mpixel" in told and "GPLv2+ 4" in told and "Public Domain 2" in told
    )


def test_the_stride_is_that_of_training_tiles(package):
    plain = Scenes(size=16, path=package).load()
    dense = Scenes(size=16, stride=4, path=package).load()
    assert len(dense.train["image"]) > 5 * len(plain.train["image"])
    for split in ("valid", "test"):
        own, other = plain.splits()[split], dense.splits()[split]
        np.testing.assert_array_equal(own["image"], other["image"])


def test_scales_are_halves_of_each_other(package):
    several = Scenes(size=16, scales=2, path=package).load()
    number = several.train["scene"][0]
    scene = scenes.photographs(package)[number]
    own = several.train["image"][several.train["scene"] == number]
    assert len(own) == 6 + 1  # of 52x40, and of 26x20
    small = scenes.halved(scene.image, 1)
    np.testing.assert_array_equal(own[-1], small[2:18, 5:21])


def test_copies_are_on_one_side(package):
    """The first hill is among the seas too: smaller, packed otherwise, by another name and of no source."""
    sides = {scene.name: scene.split for scene in scenes.photographs(package)}
    assert sides["hills/a"] == sides["waters/seas/sea5"]
    images = {"a": photograph(0), "b": photograph(1), "c": photograph(2), "x/b": photograph(3)}
    sources = {"a": "here", "b": "", "c": "here", "x/b": ""}
    prints = {name: scenes.looks(image) for name, image in images.items()}
    groups = scenes.grouped(scenes.ties(prints, sources))
    # by source, and by name
    assert groups == {"a": "a", "b": "b", "c": "a", "x/b": "b"}
    looks = [scenes.looks(photograph(seed)) for seed in range(12)]
    apart = [np.count_nonzero(a != b) for i, a in enumerate(looks) for b in looks[:i]]
    assert min(apart) > scenes.NEAR


def test_halving_is_a_mean_of_light():
    grey = np.arange(256, dtype=np.uint8).repeat(12).reshape(256 * 2, 2, 3)
    np.testing.assert_array_equal(scenes.halved(grey, 1)[:, 0, 0], np.arange(256))
    # half the light of white is stored as 188, not as 128
    board = np.indices((4, 4)).sum(0)[..., None].repeat(3, 2) % 2 * 255
    assert (scenes.halved(board.astype(np.uint8), 1) == 188).all()
    odd = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    assert scenes.halved(odd, 1).shape == (3, 2, 3) and scenes.halved(odd, 2).shape == (1, 1, 3)
    assert scenes.halved(odd, 0) is odd


def test_cached_and_streamed_are_the_same(package):
    cfg = Scenes(size=12, path=package)
    kept = cfg.load()
    streamed = dataclasses.replace(cfg, stream=True).load()
    assert source.fingerprint(kept) == source.fingerprint(streamed)
    for split, arrays in kept.splits().items():
        for name, column in streamed.splits()[split].items():
            np.testing.assert_array_equal(arrays[name], column[:])
    assert streamed.notes == kept.notes
    apart(streamed, "scene")
    # the package is not needed any more
    again = dataclasses.replace(cfg, path=None).load()
    assert source.fingerprint(again) == source.fingerprint(kept)


def test_what_is_missing_or_other_is_one_line(package, monkeypatch):
    folder = Path(package)
    for flags, told in (
        ({"size": 41}, "--data.size=41 is larger than the scenes of a split: use at most 40"),
        ({"size": 0}, "--data.size=0 must be at least 1"),
        ({"stride": 0}, "--data.stride=0 must be at least 1"),
        ({"halvings": -1}, "--data.halvings=-1 must be at least 0"),
        ({"scales": 0}, "--data.scales=0 must be at least 1"),
    ):
        cfg = Scenes(**{"size": 16, "path": package, **flags})
        assert told in refusal(cfg.load)
    with monkeypatch.context() as patch:
        other = scenes.ALBUMS[0]._replace(count=6)
        patch.setattr(scenes, "ALBUMS", (other, *scenes.ALBUMS[1:]))
        told = refusal(Scenes(path=package).load)
        assert "hills.rcc has 5 photographs in resource and not 6: version 3.1-2" in told
    monkeypatch.setenv("GENJAX_DATA", str(folder.parent / "nowhere"))
    assert "apt-get install gcompris-qt-data" in refusal(Scenes().load)
    (folder / "waters.rcc").unlink()
    assert "lacks waters.rcc" in refusal(Scenes(path=package).load)


@pytest.mark.parametrize("broken", ["cut", "huge", "text", "no README", "no text"])
def test_files_inside_that_are_broken_are_one_line(package, monkeypatch, broken):
    root = "/gcompris/src/activities/hills/resource"
    path = Path(package) / "hills.rcc"
    files = dict(scenes.Resources(path))
    whole = files[f"{root}/b.webp"]
    if broken == "huge":
        monkeypatch.setattr(scenes, "_MOST", 1000)
    files[f"{root}/b.webp"] = {"cut": whole[:-30], "text": b"no"}.get(broken, whole)
    if broken == "no README":
        del files[f"{root}/README"]
    if broken == "no text":
        files[f"{root}/README"] = b"\xff\xfe\xff"
    path.write_bytes(resources(files))
    told = refusal(Scenes(size=16, path=package).load)
    wanted = "README that is text" if "no " in broken else "cannot be read as an image"
    assert wanted in told and "hills.rcc" in told and "apt-get install" in told


def refusal(call):
    """The one line of a UserError."""
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def installed(monkeypatch, *packages):
    """Skips a test where a package is neither in its own place nor in $GENJAX_DATA as the user has it."""
    if DATA:
        monkeypatch.setenv("GENJAX_DATA", DATA)
    for package in packages:
        if package.find(None) is None:
            pytest.skip(f"{package.name} is not there")


@pytest.mark.all
def test_the_package_itself(monkeypatch):
    installed(monkeypatch, scenes.PACKAGE)
    found = scenes.photographs()
    assert len(found) == 260 == len(scenes.attributions())
    pixels = sum(scene.image[..., 0].size for scene in found)
    assert round(pixels / 1e6, 1) == 35.3
    assert Counter(scene.split for scene in found) == {"train": 204, "valid": 27, "test": 29}
    loaded = Scenes().load()
    source.check(loaded)
    apart(loaded, "scene")
    assert len(loaded.class_names) == 7
