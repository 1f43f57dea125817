"""The sizes at which the cost of our own side is measured: what grows, over which values, for which nets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Point(NamedTuple):
    """One program: the size of everything."""

    net: str
    job: str = "train"
    batch: int = 64  # examples a step, or samples a draw
    width: int = 128
    side: int = 28  # of the square grey images [pixels]
    devices: int = 0  # virtual CPU devices of a mesh; 0 = one device, no mesh
    steps: int = 10  # of Euler's method, in sampling
    depth: int = 6  # of the transformer


class Axis(NamedTuple):
    """What grows, over which values, for which nets."""

    title: str
    field: str
    job: str
    values: dict[str, tuple[int, ...]]
    base: dict[str, int]  # what else is not as in `BASES`


BASES = {
    "dit": Point("dit", width=128),  # flow matching; the net of `benchmarks.diffusion`
    "unet": Point("unet", width=32),  # flow matching, widths (w, 2 w)
    "mlp": Point("mlp", width=256),  # VAE, hidden layers (2 w, w)
    "conv": Point("conv", width=32),  # VAE, widths (w, 2 w)
}
BATCHES = (16, 32, 64, 128, 256)
AXES = {
    "batch": Axis(
        "Training against the batch",
        "batch",
        "train",
        dict.fromkeys(BASES, BATCHES),
        {},
    ),
    "width": Axis(
        "Training against the width",
        "width",
        "train",
        {"dit": (32, 64, 128, 256), "mlp": (64, 128, 256, 512, 1024), "conv": (8, 16, 32, 64)},
        {"batch": 32},
    ),
    "size": Axis(
        "Training against the image's side",
        "side",
        "train",
        {"dit": (8, 16, 32, 64), "mlp": (8, 16, 32, 64, 128), "conv": (8, 16, 32, 64)},
        {"batch": 16},
    ),
    "devices": Axis(
        "Training against the number of virtual CPU devices, which share the same cores",
        "devices",
        "train",
        dict.fromkeys(("dit", "mlp", "conv"), (1, 2, 4)),
        {},
    ),
    "steps": Axis(
        "Sampling against Euler steps",
        "steps",
        "sample",
        dict.fromkeys(("dit", "unet"), (2, 4, 8, 16)),
        {},
    ),
    "images": Axis(
        "Sampling against images",
        "batch",
        "sample",
        dict.fromkeys(("dit", "unet"), (16, 32, 64, 128)),
        {},
    ),
}


def points(axis: Axis, net: str, quick: bool = False) -> dict[int, Point]:
    """The points of one line of a table, by their sizes; `quick`: two small ones."""
    base = BASES[net]._replace(job=axis.job, **axis.base)
    values: Sequence[int] = axis.values[net]
    if quick:
        base, values = base._replace(depth=1), values[:2]
    return {value: base._replace(**{axis.field: value}) for value in values}
