"""Facts about TPUs, and their slices by name: "v5e:16x16", "v5p-256", "2x v6e:8x8"; peaks of GPUs. It needs no JAX.

The figures of a chip are those of its page under https://docs.cloud.google.com/tpu/docs (v4, v5e, v5p, v6e, tpu7x; read
in 2026). Its network is told there as the bytes that pass all its links in both directions; of v4 it is 6 links of
50 GB/s each way (Jouppi et al. 2023, arXiv:2304.01433).

The peaks of GPUs are those of NVIDIA's data sheets (H200, H100, A100, L40S, L4, A10, HGX B200, GH200) and white papers
(Ada for the RTX 4090, GA102 for the RTX 3090), without sparsity: half of what they print where they count it in. They
are recalled and partly compared with tables of others; the sheets themselves were not opened.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import NamedTuple

from genjax.errors import UserError, nearest

GIB = 2**30


class Chip(NamedTuple):
    """One generation."""

    name: str
    topology: str  # what libtpu calls it
    config: str  # how its cores are used: "megacore" = two cores that are one device
    devices: int  # that JAX sees of a chip
    counted: int  # what the number in v5p-256 counts of a chip: its cores, or itself
    sides: int  # of a slice: 2 on a plane, 3 in space
    most: int  # chips of a slice
    flops: float  # peak in bfloat16 [1/s]
    hbm: float  # memory [GiB]
    bandwidth: float  # of the memory [byte/s]
    network: float  # all links of a chip, both directions together [byte/s]
    outside: float  # share of the network between slices [byte/s]; 0 = not published

    @property
    def link(self) -> float:
        """What one link carries one way [byte/s]: there are two along each side."""
        return self.network / (4 * self.sides)


V4 = Chip("v4", "v4", "megacore", 1, 2, 3, 4096, 275e12, 32, 1200e9, 600e9, 0)
# 6.4 Tbit/s of a pod of 256
V5E = Chip("v5e", "v5e", "default", 1, 1, 2, 256, 197e12, 16, 819e9, 400e9, 3.125e9)
V5P = Chip("v5p", "v5", "megacore", 1, 2, 3, 8960, 459e12, 95, 2765e9, 1200e9, 6.25e9)
V6E = Chip("v6e", "v6e", "default", 1, 1, 2, 256, 918e12, 32, 1638e9, 800e9, 12.5e9)
TPU7X = Chip("tpu7x", "tpu7x", "default", 2, 2, 3, 9216, 2307e12, 192, 7380e9, 1200e9, 12.5e9)

CHIPS = (V4, V5E, V5P, V6E, TPU7X)
# other names of the same, as gcloud and GKE have them
ALIASES = {
    "v5litepod": "v5e",
    "v5": "v5p",
    "v7x": "tpu7x",
    "trillium": "v6e",
    "ironwood": "tpu7x",
}


class Rates(NamedTuple):
    """The peaks of one device as JAX sees it, without sparsity [1/s]."""

    half: float  # bfloat16 and float16, with sums in float32
    rounded: float  # float32 as it is multiplied by default: as TF32 on GPU, as bfloat16 on TPU
    exact: float  # float32 at the highest precision: on TPU six products in bfloat16

    def of(self, dtype: str, exact: bool) -> float | None:
        """The peak for a type; None where none is known."""
        if dtype in ("bfloat16", "float16"):
            return self.half
        if dtype != "float32":
            return None
        return self.exact if exact else self.rounded


def _tpu(chip: Chip) -> Rates:
    """Of a device, which may be half a chip."""
    peak = chip.flops / chip.devices
    return Rates(peak, peak, peak / 6)


_HOPPER = Rates(989.4e12, 494.7e12, 66.9e12)
_NVL = Rates(835.5e12, 417.5e12, 60e12)
_A100 = Rates(312e12, 156e12, 19.5e12)
# by what JAX calls a device; of a part of one (MIG), and of what is not here, no peak is known
RATES = {
    "TPU v4": _tpu(V4),
    "TPU v5 lite": _tpu(V5E),
    "TPU v5e": _tpu(V5E),
    "TPU v5": _tpu(V5P),
    "TPU v5p": _tpu(V5P),
    "TPU v6 lite": _tpu(V6E),
    "TPU v6e": _tpu(V6E),
    "TPU7x": _tpu(TPU7X),
    "NVIDIA B200": Rates(2250e12, 1100e12, 75e12),
    "NVIDIA GH200 480GB": _HOPPER,
    "NVIDIA H200": _HOPPER,
    "NVIDIA H200 NVL": _NVL,
    "NVIDIA H100 80GB HBM3": _HOPPER,
    "NVIDIA H100 NVL": _NVL,
    "NVIDIA H100 PCIe": Rates(756.5e12, 378e12, 51.2e12),
    "NVIDIA A100-SXM4-80GB": _A100,
    "NVIDIA A100-SXM4-40GB": _A100,
    "NVIDIA A100 80GB PCIe": _A100,
    "NVIDIA A100-PCIE-40GB": _A100,
    "NVIDIA L40S": Rates(362e12, 183e12, 91.6e12),
    "NVIDIA L4": Rates(121e12, 60e12, 30.3e12),
    "NVIDIA A10": Rates(125e12, 62.5e12, 31.2e12),
    "NVIDIA GeForce RTX 4090": Rates(165.2e12, 82.6e12, 82.6e12),
    "NVIDIA GeForce RTX 3090": Rates(71e12, 35.6e12, 35.6e12),
}

# of the pages above, which agree with MaxText's accelerator_to_spec_map.py
PLANES = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
# less than a cube of 4x4x4: a part of one rack, without its optical switches
PARTS = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4))
SINGLE = (1, 1, 1)


class Slice(NamedTuple):
    """Chips that one fast network joins, or several such, which the network of the house joins."""

    chip: Chip
    shape: tuple[int, ...]
    count: int = 1

    def __str__(self) -> str:
        several = f"{self.count}x " if self.count > 1 else ""
        return f"{several}{self.chip.name}:{_sides(self.shape)}"

    @property
    def chips(self) -> int:
        """Of all slices together."""
        return self.count * math.prod(self.shape)

    @property
    def devices(self) -> int:
        """What JAX sees of them."""
        return self.chips * self.chip.devices

    @property
    def wraps(self) -> tuple[bool, ...]:
        """Along which of three sides the last chip has the first as neighbour: in whole cubes, at 16 on a plane."""
        if self.chip.sides == 3:
            cubes = all(side % 4 == 0 for side in self.shape)
            return (cubes,) * 3
        return (*(side == 16 for side in self.shape), False)

    @property
    def links(self) -> int:
        """Links of the chip that has fewest, one at the edge where a side does not wrap."""
        found = 0
        for side, wraps in zip(self.shape, self.wraps, strict=False):
            if side > 1:
                found += 2 if wraps else 1
        return found

    @property
    def topology(self) -> str:
        """One slice as libtpu calls it."""
        return f"{self.chip.topology}:{_sides(self.shape)}"

    @property
    def host(self) -> tuple[int, int, int]:
        """The chips of one host along each side."""
        return (1, 1, 1) if math.prod(self.shape) == 1 else (2, 2, 1)


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def shapes(chip: Chip) -> list[tuple[int, ...]]:
    """The slices that there are of a generation, smallest first: every one of whole cubes, and parts of one."""
    if chip.sides == 2:
        return list(PLANES)
    single = (SINGLE,) if chip is TPU7X else ()
    most = chip.most // 64  # cubes of 4x4x4 chips
    found: list[tuple[int, ...]] = [*single, *PARTS]
    for a in range(1, most + 1):
        for b in range(a, most // a + 1):
            for c in range(b, most // (a * b) + 1):
                found.append((4 * a, 4 * b, 4 * c))
    return sorted(found, key=math.prod)


def read(text: str, where: str = "--rehearse") -> Slice:
    """The slice of a name: "v5e:4x4", "v5p-256" (cores are counted, as gcloud does), "2x v5e:4x4".

    UserError for one that there is not; `where` is the flag that it came from.
    """
    found = re.fullmatch(
        r"(?:([1-9]\d{0,3})x\s+)?([a-z0-9]+)(?:[:-]([0-9x]+))?", text.strip().lower()
    )
    if found is None:
        raise UserError(f"{where}={text}: expected a TPU slice such as {_examples()}.")
    several, name, size = found.groups()
    by_name = {chip.name: chip for chip in CHIPS}
    chip = by_name.get(ALIASES.get(name, name))
    if chip is None:
        raise UserError(
            f"{where}={text}: there is no TPU {name!r} among {', '.join(by_name)}: write {_examples()}."
            f"{nearest(name, by_name)}"
        )
    counted = "-" in text
    shape = _counted(chip, size) if counted else _shape(chip, size)
    if shape is None:
        raise UserError(f"{where}={text}: {_known(chip, size or '', counted)}")
    return Slice(chip, shape, int(several or 1))


def _examples() -> str:
    return "v5e:4x4, v5p-256 or '2x v6e:8x8'"


def _shape(chip: Chip, size: str | None) -> tuple[int, ...] | None:
    """The shape that "4x4x8" names, None if there is no such slice."""
    shape = tuple(int(side) for side in (size or "").split("x") if side)
    return shape if shape in shapes(chip) else None


def _counted(chip: Chip, size: str | None) -> tuple[int, ...] | None:
    """The shape of so many cores, or chips: of several the one that is most like a cube; None if there is none."""
    if not size or not size.isdecimal():
        return None
    chips = int(size) / chip.counted
    fitting = [shape for shape in shapes(chip) if math.prod(shape) == chips]
    return min(fitting, key=_surface, default=None)


def _surface(shape: tuple[int, ...]) -> int:
    """Half the surface of a box; of a rectangle its area."""
    return sum(math.prod(pair) for pair in itertools.combinations(shape, 2))


def _known(chip: Chip, size: str, counted: bool) -> str:
    """Which slices there are, and the nearest."""
    all_of_them = shapes(chip)
    few = [shape for shape in all_of_them if chip.sides == 2 or math.prod(shape) <= 64]
    more = f" and larger ones of whole cubes up to {chip.most} chips" if chip.sides == 3 else ""
    if counted and size.isdecimal():
        numbers = [math.prod(shape) * chip.counted for shape in all_of_them]
        near = min(numbers, key=lambda number: abs(number - int(size)))
        names = ", ".join(str(number) for number in numbers[: len(few)])
        return f"there is no such slice of {chip.name}: there are {names}{more}. Did you mean {chip.name}-{near}?"
    # the same sides in another order come first
    asked = sorted(int(side) for side in size.split("x") if side)
    names = list(map(_sides, all_of_them))
    same = [_sides(shape) for shape in all_of_them if sorted(shape) == asked]
    near = f" Did you mean {same[0]}?" if same else nearest(size, names)
    return f"there is no such slice of {chip.name}: there are {', '.join(names[: len(few)])}{more}.{near}"
