"""Cut-outs on scenes: the mask is where a thing is at least half opaque, and no thing or scene is in two splits."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genjax.data import Stamps, scenes, source, stamps, summary
from genjax.data.apart import apart, shared
from genjax.errors import UserError
from tests.data.packaged import COLOURS, lay_scenes, lay_stamps, write_scenes, write_stamps
from tests.data.test_scenes import installed, refusal


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    """A set of the two small packages; its pictures are so small that no thing is scaled."""
    lay_scenes(monkeypatch)
    lay_stamps(monkeypatch)
    # the smallest that is drawn is larger than every thing, and none is enlarged
    monkeypatch.setattr(stamps, "LEAST_SIDE", 0.4)
    write_scenes(tmp_path / "scenes")
    write_stamps(tmp_path / "stamps")
    folders = {"path": str(tmp_path / "stamps"), "scenes": str(tmp_path / "scenes")}
    return Stamps(size=24, train=60, valid=20, test=20, **folders)


def test_the_cutouts_that_are_taken(cfg):
    found = stamps.cutouts(cfg.path)
    # no drawing and no mirrored copy
    assert [thing.name for thing in found] == [
        *(f"animals/birds/bird{i}x" for i in range(4)),
        *(f"vehicles/cars/car{i}x" for i in range(4)),
    ]
    # without the empty border
    assert [thing.image.shape for thing in found[:4]] == [(4 + i, 5, 4) for i in range(4)]
    assert found[0].kind == "birds" and found[7].kind == "vehicles"
    assert found[0].captions == {"en": "A bird0x.", "ar": "طائر.", "de": "Ein Ding."}
    (Path(cfg.path) / "animals/birds/bird0x.txt").unlink()
    assert stamps.cutouts(cfg.path)[0].captions == {}


def test_masks_are_where_the_things_are(cfg):
    loaded = cfg.load()
    source.check(loaded)
    assert loaded.class_names == ("birds", "vehicles")
    seen = Counter()
    for arrays in loaded.splits().values():
        for image, mask, label, things in zip(
            *(arrays[name] for name in ("image", "mask", "label", "things")), strict=True
        ):
            # opaque or not at all: a pixel has the colour of a class, or no thing is there
            for number, colour in enumerate(COLOURS.values(), 1):
                np.testing.assert_array_equal(mask == number, (image == colour).all(-1))
            covered = [(mask == 1).sum(), (mask == 2).sum()]
            assert label == np.argmax(covered) and max(covered) > 10
            n = np.count_nonzero(things)
            seen[n] += 1
            assert (things[n:] == 0).all() and set(np.unique(mask)) - {0} <= {
                1 + (thing > 4) for thing in things[:n]
            }
    assert set(seen) == {1, 2, 3}


def test_the_splits_are_apart(cfg):
    loaded = cfg.load()
    assert {split: len(arrays["image"]) for split, arrays in loaded.splits().items()} == {
        "train": 60,
        "valid": 20,
        "test": 20,
    }
    apart(loaded, "scene")
    apart(loaded, "things", none=0)
    assert list(shared(loaded, "things")) == [0]
    # both classes are in every split
    for arrays in loaded.splits().values():
        assert set(arrays["label"].tolist()) == {0, 1}
    told = summary.summary(loaded)
    assert "train 4 things on 6 scenes, valid 2 things on 2 scenes" in told and "GPL 2" in told


def test_a_part_of_its_opacity_is_a_part_of_a_thing():
    image = np.full((3, 4, 3), 100, np.uint8)
    mask = np.zeros((3, 4), np.uint8)
    thing = np.zeros((2, 2, 4), np.uint8)
    thing[..., :3] = 200
    thing[..., 3] = [[0, 127], [128, 255]]
    stamps.paste(image, mask, thing, (1, 2), 5)
    np.testing.assert_array_equal(mask, [[0] * 4, [0] * 4, [0, 0, 5, 5]])
    np.testing.assert_array_equal(image[1, :, 0], [100, 100, 100, 150])
    np.testing.assert_array_equal(image[2, :, 0], [100, 100, 150, 200])
    # a later one lies above, where it is there
    stamps.paste(image, mask, thing, (1, 1), 7)
    np.testing.assert_array_equal(mask[2], [0, 7, 7, 5])


def test_several_pictures_of_a_thing_are_on_one_side(cfg):
    image = np.zeros((2, 2, 4), np.uint8)
    names = [f"birds/{chr(97 + i)}" for i in range(30)]
    series = [
        "birds/gnu-baby",
        "birds/gnu-stand",
        "birds/Lion",
        "birds/x/lion-2",
        "birds/lion_2",
    ]
    things = [stamps.Cutout(name, image, "birds", {}) for name in names + series]
    sides = stamps._sides(things)
    assert len({sides[name] for name in series[:2]}) == 1
    assert len({sides[name] for name in series[2:]}) == 1
    assert Counter(sides.values()) == pytest.approx({"train": 22, "test": 6, "valid": 3}, abs=4)


def test_draws_are_of_their_split_and_seed_alone(cfg):
    before = cfg.load()
    more = dataclasses.replace(cfg, train=70, valid=21).load()
    np.testing.assert_array_equal(more.train["image"][:60], before.train["image"])
    np.testing.assert_array_equal(more.test["mask"], before.test["mask"])
    other = dataclasses.replace(cfg, seed=1).load()
    assert (other.test["things"] != before.test["things"]).any()
    # the draws are raw bits: the same wherever this runs
    bits = np.random.Philox(key=[0, 2]).random_raw(1)
    grounds = [scene for scene in scenes.photographs(cfg.scenes) if scene.split == "test"]
    first = grounds[int(bits[0]) * len(grounds) >> 64]
    names = before.fields["scene"].names
    assert names[before.test["scene"][0]] == first.name


def test_cached_and_streamed_are_the_same(cfg):
    kept = cfg.load()
    streamed = dataclasses.replace(cfg, stream=True).load()
    assert source.fingerprint(kept) == source.fingerprint(streamed)
    for name, column in streamed.train.items():
        np.testing.assert_array_equal(kept.train[name], column[:])
    # neither package is needed any more
    again = dataclasses.replace(cfg, path=None, scenes=None).load()
    assert source.fingerprint(again) == source.fingerprint(kept)


def test_what_is_missing_or_other_is_one_line(cfg, monkeypatch, tmp_path):
    for flags, told in (
        ({"size": 41}, "--data.size=41 is larger than the scenes of a split: use at most 40"),
        ({"size": 7}, "--data.size=7 must be at least 8"),
        ({"test": 0}, "--data.test=0 must be at least 1"),
    ):
        assert told in refusal(dataclasses.replace(cfg, **flags).load)
    monkeypatch.setenv("GENJAX_DATA", str(tmp_path / "nowhere"))
    told = refusal(dataclasses.replace(cfg, path=None).load)
    assert "tuxpaint-stamps-default is not in" in told and "--data.path=" in told
    told = refusal(dataclasses.replace(cfg, scenes=None).load)
    assert "gcompris-qt-data is not in" in told and "--data.scenes=FOLDER" in told
    bird = Path(cfg.path) / "animals/birds/bird0x.png"
    whole = bird.read_bytes()
    for content in (whole[: len(whole) // 2], b"no", _opaque(tmp_path)):
        bird.write_bytes(content)
        told = refusal(cfg.load)
        assert "bird0x.png cannot be read as a cut-out" in told and "apt-get install" in told
    bird.with_suffix(".txt").write_bytes(b"\xff\xfe")
    bird.write_bytes(whole)
    assert "bird0x.txt cannot be read as captions" in refusal(cfg.load)
    bird.unlink()
    told = refusal(cfg.load)
    assert "birds has 3 cut-out photographs and not 4: version 2022.06.04-1" in told
    for path in Path(cfg.path).glob("vehicles/**/*.png"):
        path.unlink()
    assert "lacks vehicles/**/*.png" in refusal(cfg.load)


def _opaque(folder):
    """A PNG of which nothing is transparent."""
    path = folder / "opaque.png"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    return path.read_bytes()


def test_a_seed_that_numpy_would_round_is_refused():
    with pytest.raises(UserError, match=f"--data.seed={2**63} must be at most"):
        Stamps(seed=2**63).load()


@pytest.mark.all
def test_the_packages_themselves(monkeypatch):
    installed(monkeypatch, scenes.PACKAGE, stamps.PACKAGE)
    found = stamps.cutouts()
    assert len(found) == 221 and all(len(thing.captions) > 5 for thing in found)
    loaded = Stamps(train=200, valid=50, test=50).load()
    source.check(loaded)
    apart(loaded, "scene")
    apart(loaded, "things", none=0)
    assert len(loaded.class_names) == 10


def test_a_class_of_too_few_things_is_told(cfg, monkeypatch):
    shelves = stamps.SHELVES
    few = (shelves[0], shelves[1]._replace(folder="vehicles/cars", count=2))
    for i in (2, 3):
        (Path(cfg.path) / f"vehicles/cars/car{i}x.png").unlink()
    monkeypatch.setattr(stamps, "SHELVES", few)
    loaded = cfg.load()
    assert set(loaded.test["label"].tolist()) == {0}
    assert any("in train alone" in note and "vehicles" in note for note in loaded.notes)
    with pytest.raises(UserError):
        apart(loaded, "things")  # 0 is no thing
