"""The idx reader takes whole files and names the broken ones."""

import gzip
import struct

import numpy as np
import pytest

from genjax.data.idx import read_idx, read_pairs
from genjax.errors import UserError

IMAGES = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)


def packed(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("name", ["x-idx3-ubyte", "x-idx3-ubyte.gz"])
def test_round_trip(tmp_path, name):
    content = packed(IMAGES)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert np.array_equal(read_idx(tmp_path / name, 3), IMAGES)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(
            gzip.compress(packed(IMAGES))[:-12], "truncated or not gzip", id="short gzip"
        ),
        pytest.param(packed(IMAGES), "truncated or not gzip", id="not gzip"),
        pytest.param(
            gzip.compress(packed(IMAGES)[:-1]),
            "is truncated: its header says",
            id="a pixel short",
        ),
        pytest.param(
            gzip.compress(packed(IMAGES)[:7]), "is truncated, 7 bytes", id="short header"
        ),
        pytest.param(gzip.compress(packed(IMAGES) + b"x"), "is too long", id="a byte too many"),
        pytest.param(
            gzip.compress(packed(IMAGES[0])[:4] + bytes(40)),
            "not an idx file of bytes in 3 dimensions",
            id="2 dimensions",
        ),
        pytest.param(
            gzip.compress(b"<html>not found</html>"), "not an idx file", id="a web page"
        ),
        pytest.param(b"", "truncated or not gzip|is truncated", id="empty"),
    ],
)
def test_a_broken_file_is_named(tmp_path, content, what):
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=what) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.gz cannot be read"):
        read_idx(tmp_path / "nowhere.gz", 3)


def test_images_and_labels_must_agree(tmp_path):
    x, y = tmp_path / "x", tmp_path / "y"
    x.write_bytes(packed(IMAGES))
    y.write_bytes(packed(np.array([0, 1, 9], np.uint8)))
    images, labels = read_pairs(x, y, side=4, classes=10)
    assert images.shape == (3, 4, 4, 1) and labels.dtype == np.int32
    with pytest.raises(UserError, match="label 9"):
        read_pairs(x, y, side=4, classes=9)
    with pytest.raises(UserError, match="4x4 pixels, not 28x28"):
        read_pairs(x, y, side=28, classes=10)
    y.write_bytes(packed(np.array([0, 1], np.uint8)))
    with pytest.raises(UserError, match="3 images .* 2 labels"):
        read_pairs(x, y, side=4, classes=10)
