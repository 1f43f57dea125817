"""Bounds on numbers: what is beyond is refused in one line that names its flag, and nan is beyond every bound."""

import math

import pytest

from genjax.errors import UserError, above, at_least, at_most, below, finite

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    "bound, inside, outside, words",
    [
        (at_least, (1, 1.5, 10**400), (0.999, 0, -1), "must be at least 1."),
        (above, (1.001, 2), (1, 0.5), "must be above 1."),
        (at_most, (1, 0.5, -(10**400)), (1.001, 2), "must be at most 1."),
        (below, (0.999, -3), (1, 1.5), "must be below 1."),
    ],
)
def test_a_bound_admits_what_is_inside_and_no_other(bound, inside, outside, words):
    for value in inside:
        bound(1, algorithm__share=value)
    for value in outside:
        with pytest.raises(UserError) as refused:
            bound(1, fine=inside[0], algorithm__share=value)
        assert str(refused.value) == f"--algorithm.share={value} {words}"
    # nan < 1 is False, and so is nan >= 1: no comparison alone refuses it
    for value in (NAN, INF, -INF):
        with pytest.raises(UserError) as refused:
            bound(1, algorithm__share=value)
        assert str(refused.value) == f"--algorithm.share={value} must be a finite number."


def test_a_value_without_a_flag_is_told_by_its_class():
    with pytest.raises(UserError, match=r"^Adam: lr=-1 must be above 0\.$"):
        above(0, "Adam: ", lr=-1)
    finite("Adam: ", lr=-1.0)
    with pytest.raises(UserError, match=r"^Adam: lr=nan must be a finite number\.$"):
        finite("Adam: ", lr=NAN)
