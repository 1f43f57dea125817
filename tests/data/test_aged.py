"""Faces at two ages: nothing but the years differs, and these are even."""

import numpy as np
import pytest

from genjax.data import Aged
from genjax.data.heads import Heads, draw_people, draw_shots, render
from genjax.errors import UserError

SMALL = Aged(size=16, people=10, shots=2)


def test_all_but_the_age_is_as_it_was():
    rows = list(SMALL.rows("test"))
    people = draw_people(0, [2])
    shots = draw_shots(0, people, 2)
    assert set(rows[0]) == set(SMALL.fields()) and len(rows) == 2
    for name, years in (("input", "before"), ("image", "age")):
        drawn = np.array([row[years][0] for row in rows])
        wanted = render(people, shots._replace(years=drawn), 16).image
        np.testing.assert_array_equal([row[name] for row in rows], wanted)
    # pose and background are those of the heads of the same numbers
    heads = list(Heads(16, 10, 2).rows("test"))
    for row, head in zip(rows, heads, strict=True):
        np.testing.assert_array_equal(row["pose"], head["pose"])
        assert row["person"] == head["person"] == 2
    assert rows[0]["before"] != rows[0]["age"]


def test_years_are_even_over_the_range():
    cfg = Aged(people=2000, shots=4, years=(20.0, 80.0))
    before, asked = cfg.drawn(draw_people(0, np.arange(2000)))
    for years in (before.years, asked):
        assert years.min() >= 20 and years.max() <= 80
        # of 8000 even draws the distribution is nowhere further off than this in 999 of 1000 cases
        even = np.linspace(20, 80, 8000)
        assert np.abs(np.sort(years) - even).max() / 60 < 1.95 / np.sqrt(8000) + 1e-3
    assert abs(np.corrcoef(before.years, asked)[0, 1]) < 0.05


@pytest.mark.parametrize(
    "cfg, told",
    [
        (Aged(years=(0.0, 80.0)), "must rise within 1 and 90"),
        (Aged(years=(20.0, 95.0)), "must rise within 1 and 90"),
        (Aged(years=(50.0, 50.0)), "must rise within 1 and 90"),
        (Aged(size=7), "--data.size=7"),
        (Aged(people=2), "--data.people=2"),
        (Aged(shots=0), "--data.shots=0"),
        (Aged(seed=-1), "--data.seed=-1"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(cfg, told):
    with pytest.raises(UserError, match=told) as error:
        cfg.load()
    assert "\n" not in str(error.value)
