"""Groups on both sides of a split are found and named."""

import numpy as np
import pytest

from genjax.data import Source
from genjax.data.apart import apart, grouped, parted, shared
from genjax.errors import UserError
from genjax.fields import Category, Points, Tokens

SCENES = ("sea", "hill", "town", "wood")


def made(train, valid, test, kind=None):
    """A set of points with the groups of three splits; a split of None has no arrays at all."""
    fields = {"x": Points((1,)), "group": kind or Category(4, SCENES)}
    splits = []
    for groups in (train, valid, test):
        column = np.array([] if groups is None else groups, np.int32)
        arrays = {"x": np.zeros((len(column), 1), np.float32), "group": column}
        splits.append({} if groups is None else arrays)
    return Source("places", fields, *splits)


def test_a_group_on_two_sides_is_named():
    source = made([0, 1, 1, 2], [2], [3, 0])
    assert shared(source, "group") == {0: ["train", "test"], 2: ["train", "valid"]}
    wanted = "places: 2 groups of group .* sea in train and test, town in train and valid"
    with pytest.raises(UserError, match=wanted) as caught:
        apart(source, "group")
    assert "\n" not in str(caught.value)


def test_splits_that_are_apart_pass():
    apart(made([0, 1, 1], [2, 2], [3]), "group")
    apart(made([0, 1], None, [3]), "group")
    # twice in one split is no fault
    assert shared(made([0, 0], [], []), "group") == {}


def test_several_groups_in_an_example_and_a_number_for_none():
    several = Tokens(2, 9)
    source = made([[1, 0], [2, 3]], [[4, 0]], [[3, 0]], several)
    assert shared(source, "group") == {0: ["train", "valid", "test"], 3: ["train", "test"]}
    assert list(shared(source, "group", none=0)) == [3]


def test_domains_are_looked_at_together():
    source = made([0], [1], [2])
    domains = {"a": source.train, "b": source.test}
    both = source._replace(train=domains, valid={}, test={"a": source.valid, "b": source.test})
    assert shared(both, "group") == {2: ["train", "test"]}


def test_a_field_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match="places has no field 'scene': it has x, group"):
        apart(made([0], [], []), "scene")


def test_names_that_share_a_key_are_one_group():
    keys = {"d": [4], "a": [1], "c": [2, 3], "b": [1, 2], "e": [], "f": [3, 4]}
    groups = grouped(keys)
    # a shares with b, b with c, c with f, f with d
    assert groups == dict.fromkeys("dacbf", "a") | {"e": "e"}


def test_groups_are_parted_whole_and_every_kind_is_in_every_split():
    names = [f"{kind}{i}" for kind in "abc" for i in range(20)] + ["x0", "x1"]
    kinds = {name: name[0] for name in names}
    groups = {name: name for name in names} | {"a7": "a3", "b9": "a3"}
    sides = parted(kinds, groups, 0.1, 0.2)
    assert list(sides) == names and sides["a7"] == sides["b9"] == sides["a3"]
    for kind in "abc":
        found = [sides[name] for name in names if name[0] == kind]
        assert found.count("test") in (3, 4, 5) and found.count("valid") in (1, 2, 3, 4)
    # two groups are too few to be shared out
    assert sides["x0"] == sides["x1"] == "train"
    # names that are added to another kind move none of these
    more = {**kinds, **{f"y{i}": "y" for i in range(9)}}
    again = parted(
        more, {**groups, **{name: name for name in more if name[0] == "y"}}, 0.1, 0.2
    )
    assert {name: again[name] for name in names} == sides
