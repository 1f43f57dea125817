"""The collectives of a compiled program, counted in its text: which, how often, how many bytes each.

A text of XLA has computations of one instruction a line, and an entry among them; a loop, a branch or a fusion names
the computations that it runs. On TPU a reduce-scatter is a fusion named all-reduce-scatter with an all-reduce inside,
and a collective that runs beside other work is a pair of -start and -done, or in several fusions under one channel.
Between slices data travel by the hosts: a send to the runtime "megascale" that says what it is a part of.
"""

from __future__ import annotations

import collections
import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

ALL_REDUCE, REDUCE_SCATTER, ALL_GATHER = "all-reduce", "reduce-scatter", "all-gather"
ALL_TO_ALL, PERMUTE, BROADCAST = "all-to-all", "collective-permute", "collective-broadcast"
KINDS = (
    ALL_REDUCE,
    REDUCE_SCATTER,
    ALL_GATHER,
    ALL_TO_ALL,
    "ragged-all-to-all",
    PERMUTE,
    BROADCAST,
)
# the name of TPU's fusions that are one collective
SCATTER = "all-reduce-scatter"


class Instruction(NamedTuple):
    """One line: name = shape opcode(operands), attributes."""

    name: str
    size: int  # of the result [byte]
    opcode: str
    inside: str  # the parenthesis: names of operands, or the value of a constant
    attributes: str
    root: bool  # its result is that of its computation

    @property
    def operands(self) -> list[str]:
        return re.findall(r"%([\w.\-]+)", self.inside)


class Collective(NamedTuple):
    """One that the program runs, with all that take part in it."""

    kind: str
    size: int  # of the whole: what is reduced, or what all have together in the end [byte]
    members: int  # devices that work together, or slices
    between: bool  # of slices, over the slow network
    times: int  # in one run of the program


class Program(NamedTuple):
    """What was found in a text."""

    collectives: tuple[Collective, ...]
    loops: tuple[int, ...]  # how often the body of each loop runs, 0 = the text does not tell


# f32[8,128]{1,0:T(8,128)}; a tuple has several
_SHAPE = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
_LINE = re.compile(r"\s*(ROOT )?%?([\w.\-]+) = (.*)")
_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_OPCODE = re.compile(r"([a-z][\w\-]*)\(")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|branch_computations|\w+_computation)=(\{[^}]*\}|%?[\w.\-]+)"
)
_TRIPS = re.compile(r'"?known_trip_count"?:\s*\{"?n"?:\s*"?(\d+)"?')
_LISTED = re.compile(r"replica_groups=\{(\{[\d,{} ]*\})\}")
_PAIRS = re.compile(r"source_target_pairs=\{(\{[\d,{} ]*\})\}")
# [2,4]<=[4,2]T(1,0): 2 groups of 4, the numbers 0 to 7 as [4,2], its axes turned
_IOTA = re.compile(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
# mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'b'}: along the axis b of a mesh of such devices
_MESH = re.compile(
    r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?\))? \{([^}]*)\}"
)
# what they name runs; what others name, as the sum of a reduction, is only applied
_RUNS = ("while", "call", "call-start", "conditional", "async-start")


def read(text: str, devices: int, slices: int = 1) -> Program:
    """What the entry of a program's text runs.

    devices: of a slice that the program is laid over. A loop whose trips the text does not tell counts once.
    """
    computations, entry = _computations(text)
    found: collections.Counter[Collective] = collections.Counter()
    loops: list[int] = []
    # (computation, how often it runs, channels whose collective was seen in a fusion beside it)
    stack: list[tuple[str, int, set[str] | None]] = [(entry, 1, None)]
    while stack:
        name, times, beside = stack.pop()
        lines = computations.get(name, [])
        sizes = {line.name: line.size for line in lines}
        fused: set[str] = set()
        for line in lines:
            kind = _kind(line)
            if kind is not None:
                # one that runs beside other work is in each fusion from its start to its end
                if not _again(line, beside):
                    bodies = [computations.get(callee, []) for callee in _callees(line)]
                    found[_collective(kind, line, sizes, bodies, devices)] += times
            elif line.opcode == "send" and _between(line) is not None:
                found[_sent(line, sizes, slices)] += times
            elif line.opcode == "fusion":
                channels = fused if beside is None else beside
                stack += [(callee, times, channels) for callee in _callees(line)]
            elif line.opcode in _RUNS:
                trips = _trips(line, computations)
                if line.opcode == "while":
                    loops.append(trips)
                stack += [(callee, times * max(trips, 1), None) for callee in _callees(line)]
    collectives = [one._replace(times=times) for one, times in found.items()]
    order = sorted(collectives, key=lambda one: -one.size * one.times)
    return Program(tuple(order), tuple(sorted(loops, reverse=True)))


def _again(line: Instruction, beside: set[str] | None) -> bool:
    """Whether a collective within a fusion goes on with one that was counted in another, by its channel."""
    # channels alone may be shared: XLA numbers the chains of fusions too
    marks = re.findall(r'channel_id=\d+|chain_id="\d+"', line.attributes)
    if beside is None or not marks:
        return False
    chain = " ".join(marks)
    seen = chain in beside
    beside.add(chain)
    return seen


def _computations(text: str) -> tuple[dict[str, list[Instruction]], str]:
    """{name: its instructions} and the name of the entry."""
    found: dict[str, list[Instruction]] = {}
    entry, own = "", None
    for line in text.splitlines():
        head = _COMPUTATION.match(line)
        if head and " = " not in line.partition("(")[0]:
            own = found.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        elif own is not None:
            own += _instructions(line)
    return found, entry


def _instructions(line: str) -> Iterator[Instruction]:
    """The instruction of a line, none where it has none."""
    parts = _LINE.match(line)
    if parts is None:
        return
    root, name, rest = parts.groups()
    shape, rest = _shape(rest)
    opcode = _OPCODE.match(rest)
    if opcode is None:
        return
    inside, attributes = _parenthesis(rest[opcode.end() - 1 :])
    yield Instruction(name, size(shape), opcode[1], inside, attributes, bool(root))


def _shape(rest: str) -> tuple[str, str]:
    """A line behind its = as (shape, what follows); the shape may be a tuple."""
    if rest.startswith("("):
        inside, after = _parenthesis(rest)
        return inside, after.lstrip()
    shape, _, after = rest.partition(" ")
    return shape, after


def _parenthesis(text: str) -> tuple[str, str]:
    """(what is within the parenthesis that the text begins with, what follows it)."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return text[1:i], text[i + 1 :]
    return text[1:], ""


def size(shape: str) -> int:
    """The bytes of all arrays in a shape, padding aside: f32[2,3] has 24."""
    bits = 0
    for name, sides in _SHAPE.findall(shape):
        lengths = [int(side) for side in sides.split(",") if side]
        bits += _bits(name) * math.prod(lengths)
    return math.ceil(bits / 8)


def _bits(name: str) -> int:
    """Of one element: bf16 16, f8e4m3fn 8, pred 8; 0 of what is no number, as token."""
    width = re.search(r"\d+", name)
    if width is None:
        return 8 if name == "pred" else 0
    return int(width[0])


def _kind(line: Instruction) -> str | None:
    """The kind of collective that an instruction is; None of the others, and of the end of a pair."""
    if line.opcode == "fusion" and any(
        SCATTER in callee for callee in (line.name, *_callees(line))
    ):
        return REDUCE_SCATTER
    kind = line.opcode.removesuffix("-start")
    return kind if kind in KINDS else None


def _callees(line: Instruction) -> list[str]:
    """The computations that an instruction names, the condition of a loop aside."""
    found = []
    for names in _CALLED.findall(line.attributes):
        found += re.findall(r"[\w.\-]+", names)
    return found


def _trips(line: Instruction, computations: dict[str, list[Instruction]]) -> int:
    """How often a loop runs, 0 where the text does not tell."""
    told = _TRIPS.search(line.attributes)
    if told:
        return int(told[1])
    # a scan's condition is i < N, with i from 0
    condition = re.search(r"condition=%?([\w.\-]+)", line.attributes)
    lines = computations.get(condition[1], []) if condition else []
    constants = {one.name: one.inside for one in lines if one.opcode == "constant"}
    for one in lines:
        if one.root and one.opcode == "compare" and "direction=LT" in one.attributes:
            bound = constants.get(one.operands[-1], "")
            return int(bound) if bound.isdecimal() else 0
    return 0


def _collective(
    kind: str,
    line: Instruction,
    sizes: dict[str, int],
    bodies: list[Sequence[Instruction]],
    devices: int,
) -> Collective:
    """What an instruction moves: by the size of its operands, as results of a -start have more in them."""
    own = sum(sizes.get(name, 0) for name in line.operands)
    attributes = line.attributes
    for body in bodies:  # of a fusion the collective inside says who takes part
        for inner in body:
            if inner.opcode.removesuffix("-start") in KINDS:
                attributes = inner.attributes
                own = inner.size  # of an all-reduce, which has the same before and after
    members = _groups(attributes, devices).shape[1]
    whole = own * members if kind == ALL_GATHER else own
    return Collective(kind, whole, members, False, 1)


def _between(line: Instruction) -> str | None:
    """The kind of collective between slices that a send is a part of; None of any other send."""
    told = re.search(r'_xla_megascale_transfer_type="(\w+)"', line.attributes)
    return told[1].lower().replace("_", "-") if told else None


def _sent(line: Instruction, sizes: dict[str, int], slices: int) -> Collective:
    """What a send moves between slices; its first operand is what a device has of it."""
    kind = _between(line) or ""
    own = sizes.get(line.operands[0], 0)
    whole = own * slices if kind == ALL_GATHER else own
    return Collective(kind, whole, slices, True, 1)


def _groups(attributes: str, devices: int) -> np.ndarray:
    """The devices that work together, int [groups, members]; of a permutation each pair; without any all."""
    listed = _PAIRS.search(attributes) or _LISTED.search(attributes)
    if listed:
        rows = re.findall(r"\{([\d, ]*)\}", listed[1])
        return np.array([_numbers(row) for row in rows])
    iota = _IOTA.search(attributes)
    if iota:
        shape, sides, turned = iota.groups()
        return _laid(sides, turned).reshape(_numbers(shape))
    mesh = _MESH.search(attributes)
    if mesh:
        return _along(*mesh.groups())
    return np.arange(devices)[None]


def _along(axes: str, sides: str | None, turned: str | None, along: str) -> np.ndarray:
    """Groups along some axes of a mesh: "'a'=2,'b'=4", its devices as [4,2] turned by "1,0", and "'b'"."""
    lengths = dict(re.findall(r"'(\w+)'=(\d+)", axes))
    shape = [int(length) for length in lengths.values()]
    numbers = _laid(sides or str(math.prod(shape)), turned).reshape(shape)
    own = [i for i, name in enumerate(lengths) if f"'{name}'" in along]
    members = math.prod(shape[i] for i in own)
    # the axes of a group come last
    return np.moveaxis(numbers, own, range(-len(own), 0)).reshape(-1, members)


def _laid(sides: str, turned: str | None) -> np.ndarray:
    """0, 1, 2, … in an array of these sides, its axes turned."""
    lengths = _numbers(sides)
    numbers = np.arange(math.prod(lengths)).reshape(lengths)
    return numbers.transpose(_numbers(turned)) if turned else numbers


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number.strip()]
