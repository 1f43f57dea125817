"""Pictures: floats and bytes, grids, scatter plots, PNG files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from genjax.errors import UserError
from genjax.fields import to_float
from genjax.pictures.draw import captioned, grid, save_png, scatter, to_uint8, told

BYTES = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)


def test_bytes_to_floats_and_back():
    x = jax.jit(to_float)(BYTES)
    assert x.dtype == jnp.float32 and float(x.min()) == 0.0 and float(x.max()) == 1.0
    assert np.array_equal(to_uint8(x), BYTES)
    assert np.array_equal(to_float(jnp.array([[-1.5, 2.5]])), [[-1.5, 2.5]])  # toys pass
    assert to_uint8(np.array([np.nan, -1.0, 2.0])).tolist() == [0, 0, 255]


def test_a_grid_is_read_row_by_row():
    tiles = np.stack([np.full((2, 3, 1), 10 * (i + 1), np.uint8) for i in range(5)])
    picture = grid(tiles, columns=2, pad=1, zoom=1)
    assert picture.shape == (3 * 3 - 1, 2 * 4 - 1, 1)
    assert picture[::3, ::4, 0].tolist() == [[10, 20], [30, 40], [50, 0]]
    assert (picture[2] == 0).all() and (picture[:, 3] == 0).all()
    assert grid(tiles, zoom=1).shape == (2 * 3 - 1, 3 * 4 - 1, 1)
    assert np.array_equal(grid(tiles, zoom=3, pad=0)[::3, 2::3], grid(tiles, zoom=1, pad=0))
    assert grid(np.zeros((1, 8, 8, 1))).shape == (32, 32, 1)
    assert np.array_equal(grid(BYTES, pad=0, zoom=1)[..., 0], BYTES[0, ..., 0])


def test_names_stand_beside_their_rows():
    tiles = np.full((2, 3, 16, 16, 1), 255, np.uint8)
    tiles[1] = 0
    picture = grid(tiles.reshape(6, 16, 16, 1), columns=3, zoom=1)
    named = captioned(picture, ["a", "a long name ä"])
    margin = named.shape[1] - picture.shape[1]
    assert named.shape == (33, margin + 50, 3) and margin > 40
    assert np.array_equal(named[:, margin:], np.broadcast_to(picture, (33, 50, 3)))
    dark = (named[:, :margin] < 128).all(-1)
    # each row has letters of its own, the longer name more of them
    assert 0 < dark[:16].sum() < dark[17:].sum()


def test_sentences_stand_beside_their_pictures_and_are_broken():
    tiles = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8, 1)
    long = "a picture of a three to the left of a seven"
    page = told(tiles, [long, "a three", "a three", "ثلاثة"], columns=2, side=16, wide=80)
    high, across = len(page) // 2, 16 + 80 + 12
    # four lines need more room than a picture
    assert page.shape == (2 * high, 2 * across, 3) and high > 40
    whole = page.reshape(2, high, 2, across, 3).swapaxes(1, 2).reshape(4, high, across, 3)
    for tile, cell in zip(tiles, whole, strict=True):
        large = np.kron(tile[..., 0], np.ones((2, 2), np.uint8))
        assert np.array_equal(cell[:16, :16, 1], large)
    ink = (whole[:, :, 18:] < 128).all(-1)
    assert np.array_equal(ink[1], ink[2]) and not np.array_equal(ink[1], ink[3])
    # one line and more: what is beyond is not lost at the right
    assert ink[0].sum() > 2 * ink[1].sum() > 0 and not ink[0, :, -8:].any()
    with pytest.raises(ValueError, match="argument 2"):
        told(tiles, ["one"])


def test_a_scatter_plot_shows_the_points_where_they_are():
    low, high = (scatter(np.full((50, 2), v), limit=1.0) for v in (-0.6, 0.6))
    difference = np.abs(low.astype(int) - high).sum(-1)
    rows, columns = np.nonzero(difference)
    assert low.shape == high.shape == (320, 320, 3)
    assert rows.min() < 120 and rows.max() > 200 and columns.min() < 120 and columns.max() > 200
    assert scatter(np.array([[np.nan, 1.0]]), colours=[0]).shape == (320, 320, 3)
    assert scatter(np.zeros((0, 2))).dtype == np.uint8


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 3)])
def test_png_round_trip(tmp_path, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    path = save_png(tmp_path / "samples" / "a.png", picture)
    assert np.array_equal(np.asarray(Image.open(path)), picture.squeeze())
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_a_picture_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the picture"):
        save_png(tmp_path / "file" / "a.png", np.zeros((2, 2), np.uint8))
