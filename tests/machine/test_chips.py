"""Slices by name, and the roofline of some work on them."""

import pytest

from genjax.errors import UserError
from genjax.machine import chips, roofline
from genjax.machine.hlo import ALL_GATHER, ALL_REDUCE, PERMUTE, REDUCE_SCATTER, Collective
from genjax.machine.roofline import Work


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        ("v5e:16x16", "v5e:16x16", 256),
        ("v5e-16", "v5e:4x4", 16),
        ("v5litepod-16", "v5e:4x4", 16),
        ("v4-8", "v4:2x2x1", 4),
        # cores are counted, and of several shapes the most compact is meant
        ("v5p-256", "v5p:4x4x8", 128),
        ("v5p-3072", "v5p:8x12x16", 1536),
        ("v5p-11520", "v5p:12x20x24", 5760),
        ("v5p:4x4x8", "v5p:4x4x8", 128),
        ("tpu7x-2", "tpu7x:1x1x1", 1),
        ("2x v6e:8x8", "2x v6e:8x8", 128),
    ],
)
def test_both_spellings_name_one_slice(text, name, count):
    found = chips.read(text)
    assert str(found) == name and found.chips == count
    assert chips.read(name) == found


def test_what_libtpu_is_asked_for():
    assert chips.read("v5p-8").topology == "v5:2x2x1"
    assert chips.read("v5e:1x1").host == (1, 1, 1)
    assert chips.read("v6e:2x4").host == (2, 2, 1)
    assert chips.read("tpu7x:2x2x1").devices == 8


@pytest.mark.parametrize(
    ("text", "wraps", "links"),
    [
        ("v5e:1x1", (False, False, False), 0),
        ("v5e:8x16", (False, True, False), 3),
        ("v5e:16x16", (True, True, False), 4),
        ("v5p:2x4x4", (False, False, False), 3),
        ("v5p:4x4x4", (True, True, True), 6),
    ],
)
def test_where_a_slice_closes_to_a_ring(text, wraps, links):
    found = chips.read(text)
    assert found.wraps == wraps and found.links == links


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("v5e:3x3", "16x16"),
        ("v5p:8x4x4", "Did you mean 4x4x8"),
        ("v5p-250", "Did you mean v5p-256"),
        ("v5q:2x2", "Did you mean v5p, v5e"),
        ("v5e", "16x16"),
        ("v5e:x", "16x16"),
        ("0x v5e:2x2", "expected a TPU slice"),
        ("a wish", "expected a TPU slice"),
    ],
)
def test_an_unknown_slice_is_told_in_one_line(text, told):
    with pytest.raises(UserError, match=told) as error:
        chips.read(text)
    assert "\n" not in str(error.value) and f"--rehearse={text}" in str(error.value)


def test_the_roofline_is_the_time_of_the_slowest():
    v5e = chips.read("v5e:2x2")
    second = Work(flops=197e12, traffic=2 * 819e9, inside=0, outside=0)
    found = roofline.times(v5e, second)
    assert found == pytest.approx((1.0, 2.0, 0.0))
    assert found.by == "memory" and found.step == pytest.approx(2) and found.share == 0.5
    # two links of 50 GB/s each way
    assert roofline.times(v5e, Work(0, 0, 100e9, 0)).network == pytest.approx(1)
    # half a chip each
    half = roofline.times(chips.read("tpu7x:2x2x1"), second._replace(flops=2307e12))
    assert half.compute == pytest.approx(2)
    assert roofline.times(v5e, Work(0, 0, 0, 0)).share == 0


def test_between_slices_the_slow_network_counts():
    work = Work(0, 0, 0, 6.25e9)
    assert roofline.times(chips.read("2x v5e:2x2"), work).network == pytest.approx(2)
    assert roofline.times(chips.read("2x v5p:2x2x1"), work).network == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "sent"),
    [(ALL_REDUCE, 150), (REDUCE_SCATTER, 75), (ALL_GATHER, 75), (PERMUTE, 100)],
)
def test_what_each_must_send(kind, sent):
    assert roofline.sent(kind, 100, 4) == sent
    assert roofline.sent(kind, 100, 1) == 0
    assert roofline.messages([Collective(kind, 100, 4, False, 3)]) == (3 * sent, 0)


def test_what_goes_between_slices_is_apart():
    sums = [Collective(ALL_REDUCE, 100, 4, False, 1), Collective(ALL_REDUCE, 50, 2, True, 2)]
    assert roofline.messages(sums) == (150, 100)
