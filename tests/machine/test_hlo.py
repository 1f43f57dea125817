"""Collectives counted in texts written by hand, in the ways that XLA writes them for TPUs."""

import pytest

from genjax.machine import hlo
from genjax.machine.hlo import ALL_GATHER, ALL_REDUCE, PERMUTE, REDUCE_SCATTER

ADD = """
%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}
"""


def entry(lines: str, before: str = "") -> str:
    """A program whose entry has an argument %x of 4 KiB."""
    head = "HloModule jit_run, is_scheduled=true, num_partitions=8\n"
    argument = "  %x = f32[8,128]{1,0:T(8,128)} parameter(0)\n"
    return f"{head}{ADD}{before}\nENTRY %main.7 (x: f32[8,128]) -> f32[8,128] {{\n{argument}{lines}\n}}\n"


def found(lines: str, before: str = "", devices: int = 8):
    """[(kind, bytes, members, times)] of a program."""
    program = hlo.read(entry(lines, before), devices)
    return [(one.kind, one.size, one.members, one.times) for one in program.collectives]


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ("f32[8,128]{1,0:T(8,128)}", 4096),
        ("bf16[3]{0:T(256)(2,1)S(1)}", 6),
        ("pred[]", 1),
        ("(f32[2]{0}, s32[], u8[5]{0})", 17),
        ("f8e4m3fn[10]", 10),
        ("s4[3]", 2),
        ("c64[2]", 16),
        ("token[]", 0),
    ],
)
def test_the_bytes_of_a_shape(shape, size):
    assert hlo.size(shape) == size


@pytest.mark.parametrize(
    ("groups", "members"),
    [
        ("replica_groups={{0,1,2,3},{4,5,6,7}}", 4),
        ("replica_groups=[2,4]<=[8]", 4),
        ("replica_groups=[4,2]<=[2,4]T(1,0)", 2),
        ("replica_groups=mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'a'}", 4),
        ("replica_groups=mesh['a'=2,'b'=2,'c'=2] {'a','c'}", 4),
        ("replica_groups={}", 8),
        ("channel_id=3", 8),
    ],
)
def test_who_takes_part(groups, members):
    line = f"  ROOT %r = f32[8,128]{{1,0}} all-reduce(%x), {groups}, to_apply=%add"
    assert found(line) == [(ALL_REDUCE, 4096, members, 1)]


def test_the_larger_side_counts():
    lines = """
  %g = f32[32,128]{1,0} all-gather(%x), replica_groups=[2,4]<=[8], dimensions={0}
  %s = f32[2,128]{1,0} reduce-scatter(%x), replica_groups=[2,4]<=[8], dimensions={0}, to_apply=%add
  ROOT %p = f32[8,128]{1,0} collective-permute(%x), source_target_pairs={{0,1},{1,0}}
"""
    assert found(lines) == [
        (ALL_GATHER, 4 * 4096, 4, 1),
        (REDUCE_SCATTER, 4096, 4, 1),
        (PERMUTE, 4096, 2, 1),
    ]


def test_a_pair_counts_once_and_its_result_is_not_what_moves():
    lines = """
  %begun = (f32[8,128]{1,0}, f32[32,128]{1,0}) all-gather-start(%x), replica_groups=[2,4]<=[8], dimensions={0}
  %other = f32[8,128]{1,0} negate(%x)
  %done = f32[32,128]{1,0} all-gather-done(%begun)
  %r = f32[8,128]{1,0} all-reduce-start(%other), replica_groups=[2,4]<=[8], to_apply=%add
  ROOT %e = f32[8,128]{1,0} all-reduce-done(%r)
"""
    assert found(lines) == [(ALL_GATHER, 16384, 4, 1), (ALL_REDUCE, 4096, 4, 1)]


def test_a_reduce_scatter_that_hides_in_a_fusion_is_no_all_reduce():
    inside = """
%all-reduce-scatter.5 (y: f32[8,128]) -> f32[2,128] {
  %y = f32[8,128]{1,0} parameter(0)
  %r = f32[8,128]{1,0} all-reduce(%y), channel_id=2, replica_groups=[2,4]<=[8], to_apply=%add
  %i = s32[] constant(0)
  ROOT %d = f32[2,128]{1,0} dynamic-slice(%r, %i, %i), dynamic_slice_sizes={2,128}
}
"""
    line = "  ROOT %f = f32[2,128]{1,0} fusion(%x), kind=kCustom, calls=%all-reduce-scatter.5"
    assert found(line, inside) == [(REDUCE_SCATTER, 4096, 4, 1)]


def test_an_ordinary_fusion_and_a_call_are_looked_into():
    inside = """
%fused.1 (y: f32[8,128]) -> f32[8,128] {
  %y = f32[8,128]{1,0} parameter(0)
  ROOT %r = f32[8,128]{1,0} all-reduce(%y), replica_groups={}, to_apply=%add
}
"""
    lines = """
  %f = f32[8,128]{1,0} fusion(%x), kind=kLoop, calls=%fused.1
  ROOT %c = f32[8,128]{1,0} call(%f), to_apply=%fused.1
"""
    assert found(lines, inside) == [(ALL_REDUCE, 4096, 8, 2)]


def test_what_another_core_computes_beside_the_chip_is_looked_into():
    inside = """
%called.1 (y: f32[8,128]) -> f32[8,128] {
  %y = f32[8,128]{1,0} parameter(0)
  ROOT %r = f32[8,128]{1,0} all-reduce(%y), replica_groups={}, to_apply=%add
}
"""
    lines = """
  %s = ((f32[8,128]{1,0}), f32[8,128]{1,0}) call-start(%x), async_execution_thread="sparsecore", to_apply=%called.1
  ROOT %d = f32[8,128]{1,0} call-done(%s)
"""
    assert found(lines, inside) == [(ALL_REDUCE, 4096, 8, 1)]


LOOP = """
%body (y: f32[8,128]) -> f32[8,128] {
  %y = f32[8,128]{1,0} parameter(0)
  ROOT %r = f32[8,128]{1,0} all-reduce(%y), replica_groups={}, to_apply=%add
}

%cond (z: f32[8,128]) -> pred[] {
  %z = f32[8,128]{1,0} parameter(0)
  ROOT %t = pred[] constant(true)
}
"""
TOLD = ', backend_config={"known_trip_count":{"n":"5"},"flag":1}'


@pytest.mark.parametrize(("config", "times", "loops"), [(TOLD, 5, (5,)), ("", 1, (0,))])
def test_the_body_of_a_loop_counts_as_often_as_it_is_told_to_run(config, times, loops):
    line = f"  ROOT %w = f32[8,128]{{1,0}} while(%x), condition=%cond, body=%body{config}"
    program = hlo.read(entry(line, LOOP), 8)
    assert [one.times for one in program.collectives] == [times]
    assert program.loops == loops


def test_all_branches_count():
    lines = """
  %i = s32[] constant(0)
  ROOT %c = f32[8,128]{1,0} conditional(%i, %x, %x), branch_computations={%body, %body}
"""
    assert found(lines, LOOP) == [(ALL_REDUCE, 4096, 8, 2)]


@pytest.mark.parametrize(("kind", "size"), [(ALL_REDUCE, 4096), (ALL_GATHER, 3 * 4096)])
def test_between_slices_data_are_sent_by_the_hosts(kind, size):
    name = kind.replace("-", "_").upper()
    host = "is_host_transfer=true"
    mark = f'{host}, frontend_attributes={{_xla_megascale_transfer_type="{name}"}}'
    lines = f"""
  %after = token[] after-all()
  %send.1 = (f32[8,128]{{1,0}}, u32[], token[]) send(%x, %after), channel_id=2, {mark}
  %done = token[] send-done(%send.1), channel_id=2, {host}
  %other = (f32[8,128]{{1,0}}, u32[], token[]) send(%x, %after), channel_id=5, {host}
"""
    program = hlo.read(entry(lines), 4, slices=3)
    assert program.collectives == (hlo.Collective(kind, size, 3, True, 1),)


def test_groups_along_an_axis_of_a_mesh():
    turned = "replica_groups=mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {AXES}"
    long = hlo._groups(turned.replace("AXES", "'b'"), 8)
    short = hlo._groups(turned.replace("AXES", "'a'"), 8)
    assert long.tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert short.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    plain = "replica_groups=mesh['a'=2,'b'=1,'c'=2] {'a'}"
    assert hlo._groups(plain, 4).tolist() == [[0, 2], [1, 3]]


def test_a_scan_tells_its_trips_by_its_condition():
    condition = """
%until (z: s32[]) -> pred[] {
  %n = s32[]{:T(128)} constant(24)
  %i = s32[]{:T(128)} parameter(0)
  ROOT %lt = pred[]{:T(512)} compare(%i, %n), direction=LT
}
"""
    line = "  ROOT %w = f32[8,128]{1,0} while(%x), condition=%until, body=%body"
    program = hlo.read(entry(line, LOOP + condition), 8)
    assert program.loops == (24,) and [one.times for one in program.collectives] == [24]


def test_a_collective_that_several_fusions_carry_on_is_one():
    groups = "channel_id=3, replica_groups=[2,4]<=[8], dimensions={0}"
    pieces = ""
    for name, chain in (("begun", 0), ("carried", 0), ("awaited", 0), ("other", 1)):
        mark = f'{groups}, frontend_attributes={{chain_id="{chain}"}}'
        pieces += f"""
%{name}.1 (y: f32[8,128]) -> f32[32,128] {{
  %y = f32[8,128]{{1,0}} parameter(0)
  ROOT %g = f32[32,128]{{1,0}} all-gather(%y), {mark}
}}
"""
    lines = """
  %a = f32[32,128]{1,0} fusion(%x), kind=kCustom, calls=%begun.1
  %b = f32[32,128]{1,0} fusion(%x), kind=kOutput, calls=%carried.1
  %c = f32[32,128]{1,0} fusion(%x), kind=kCustom, calls=%awaited.1
  ROOT %d = f32[32,128]{1,0} fusion(%x), kind=kCustom, calls=%other.1
"""
    assert found(lines, pieces) == [(ALL_GATHER, 16384, 4, 2)]
