"""Bars with intervals: as many as there are numbers, below 0 too."""

import numpy as np

from genjax.pictures.bars import bars

ONE = {"a": [(0.5, 0.4, 0.6), (0.2, 0.1, 0.3)]}


def test_a_series_and_a_mark_more_are_seen():
    plain = bars(ONE, ["x", "y"], "share")
    assert plain.dtype == np.uint8 and plain.shape == (360, 480, 3)
    more = bars({**ONE, "b": ONE["a"]}, ["x", "y"], "share")
    marked = bars(ONE, ["x", "y"], "share", {"data": [0.5, 0.5]})
    assert (more != plain).any() and (marked != plain).any()


def test_an_interval_below_0_has_room():
    up = bars({"a": [(0.1, 0.0, 0.2)]}, ["x"], "gap")
    down = bars({"a": [(-0.1, -0.8, 0.2)]}, ["x"], "gap")
    # with the axis at 0 the bar would fill nothing
    blue = (np.abs(down.astype(int) - [31, 119, 180]) < 10).all(-1)
    assert blue.sum() > 100 and up.shape == down.shape
