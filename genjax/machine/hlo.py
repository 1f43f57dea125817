"""The collectives of a compiled program, counted in its text: which, how often, how many bytes each.

A text of XLA has computations of one instruction a line, and an entry among them; a loop, a branch or a fusion names
the computations that it runs. On TPU a reduce-scatter is a fusion named all-reduce-scatter with an all-reduce inside,
and a collective that runs beside other work is a pair of -start and -done.
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
    operands: tuple[str, ...]
    attributes: str


class Collective(NamedTuple):
    """One that the program runs, with all that take part in it."""

    kind: str
    size: int  # of the whole: what is reduced, or what all have together in the end [byte]
    members: int  # devices of a group
    slices: int  # over which a group lies
    times: int  # in one run of the program


class Program(NamedTuple):
    """What was found in a text."""

    collectives: tuple[Collective, ...]
    loops: tuple[int, ...]  # how often the body of each loop runs, 0 = the text does not say


# f32[8,128]{1,0:T(8,128)}; a tuple has several
_SHAPE = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
_LINE = re.compile(r"\s*(?:ROOT )?%?([\w.\-]+) = (.*)")
_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_OPCODE = re.compile(r"([a-z][\w\-]*)\(")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|branch_computations|\w+_computation)=(\{[^}]*\}|%?[\w.\-]+)"
)
_TRIPS = re.compile(r'"?known_trip_count"?:\s*\{"?n"?:\s*"?(\d+)"?')
_LISTED = re.compile(r"replica_groups=\{(\{[\d,{} ]*\})\}")
# 2 groups of 4: the numbers 0 to 7 as [4,2], turned over
_IOTA = re.compile(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_RUNS = (
    "while",
    "call",
    "conditional",
    "fusion",
    "async-start",
)  # of what they name, the rest only applies it


def read(text: str, devices: int, slice_of: Sequence[int] = ()) -> Program:
    """What the entry of a program's text runs.

    devices: that the program is laid over; slice_of: the number of each one's slice, () = all in one. A loop whose
    trips the text does not tell counts once.
    """
    computations, entry = _computations(text)
    found: collections.Counter[Collective] = collections.Counter()
    loops: list[int] = []
    stack = [(entry, 1)]
    while stack:
        name, times = stack.pop()
        sizes = {line.name: line.size for line in computations.get(name, ())}
        for line in computations.get(name, ()):
            kind = _kind(line)
            if kind is not None:
                bodies = [computations.get(callee, ()) for callee in _callees(line)]
                found[_collective(kind, line, sizes, bodies, devices, slice_of)] += times
            elif line.opcode in _RUNS:
                trips = _trips(line)
                if line.opcode == "while":
                    loops.append(trips)
                stack += [(callee, times * max(trips, 1)) for callee in _callees(line)]
    collectives = [one._replace(times=times) for one, times in found.items()]
    order = sorted(collectives, key=lambda one: -one.size * one.times)
    return Program(tuple(order), tuple(sorted(loops, reverse=True)))


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
    name, rest = parts.groups()
    shape, rest = _shape(rest)
    opcode = _OPCODE.match(rest)
    if opcode is None:
        return
    inside, attributes = _parenthesis(rest[opcode.end() - 1 :])
    operands = tuple(re.findall(r"%([\w.\-]+)", inside))
    yield Instruction(name, size(shape), opcode[1], operands, attributes)


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


def _trips(line: Instruction) -> int:
    """How often a loop runs, 0 where the text does not say."""
    told = _TRIPS.search(line.attributes)
    return int(told[1]) if told else 0


def _collective(
    kind: str,
    line: Instruction,
    sizes: dict[str, int],
    bodies: list[Sequence[Instruction]],
    devices: int,
    slice_of: Sequence[int],
) -> Collective:
    """What an instruction moves: by the size of its operands, as results of a -start have more in them."""
    own = sum(sizes.get(name, 0) for name in line.operands)
    attributes = line.attributes
    for body in bodies:  # of a fusion the collective inside says who takes part
        for inner in body:
            if inner.opcode.removesuffix("-start") in KINDS:
                attributes = inner.attributes
                own = inner.size  # of an all-reduce, which has the same before and after
    groups = _groups(attributes, devices)
    members = groups.shape[1]
    whole = own * members if kind == ALL_GATHER else own
    over = 1
    if slice_of:
        of_each = np.asarray(slice_of)[groups]  # [groups, members]
        over = max(len(set(row)) for row in of_each.tolist())
    return Collective(kind, whole, members, over, 1)


def _groups(attributes: str, devices: int) -> np.ndarray:
    """The devices that work together, int [groups, members]; of a permutation each pair; without any all."""
    pairs = re.search(r"source_target_pairs=\{(\{[\d,{} ]*\})\}", attributes)
    listed = pairs or _LISTED.search(attributes)
    if listed:
        rows = re.findall(r"\{([\d, ]*)\}", listed[1])
        return np.array([[int(number) for number in row.split(",")] for row in rows])
    iota = _IOTA.search(attributes)
    if iota is None:
        return np.arange(devices)[None]
    shape, sides, turned = (
        [int(n) for n in part.split(",")] if part else [] for part in iota.groups()
    )
    numbers = np.arange(math.prod(sides)).reshape(sides)
    return numbers.transpose(turned or None).reshape(shape)
