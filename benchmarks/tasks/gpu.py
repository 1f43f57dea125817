"""Sizes of what `python -m benchmarks.gpu` runs: "full" on a GPU, "quick" on a CPU, which only proves that it runs.

The nets are those of the other comparisons in the sizes that papers name, on pictures of 28x28 as everywhere here:
DiT-B/4 and DiT-S/2 (arXiv:2212.09748, table 1) have 49 and 196 tokens.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.tasks.diffusion import Transformer, Unet
from benchmarks.tasks.gan import R3gan

Net = Transformer | Unet | R3gan


class Sizes(NamedTuple):
    """Of one way to run it."""

    device: str  # as `benchmarks.side_genjax.TYPES` calls it
    nets: dict[str, Net]  # of the rows
    examples: int  # pictures of noise that are trained on
    drawn: int  # pictures in a draw
    product: int  # side of the square matrices of the product
    algorithms: tuple[str, ...]  # of tests/test_contract.py; () = all
    threads: int  # algorithms that are compiled at a time
    settings: int  # how many of the ways to compile are tried
    interrupted: int  # steps of the run that is killed and resumed
    compared: int  # steps after which the bits of two processes are compared
    seconds: float  # of a block
    rounds: int  # blocks of every side
    patience: float  # how long all sides of a row may take to their first step [s]
    compile: bool  # whether torch.compile takes part
    flow: str  # of experiments/diffusion.py
    pilot: int  # steps that its speed is measured over
    training: float  # how long it is trained [s]
    style: str  # of `benchmarks.tasks.gan.STYLES`


FULL = Sizes(
    device="gpu",
    nets={
        "dit-b4": Transformer(4, width=768, depth=12, heads=12, batch=256),
        "dit-s2": Transformer(2, width=384, depth=12, heads=6, batch=256),
        "unet": Unet(2, (128, 256), blocks=2, batch=256),
        "r3gan": R3gan((128, 256), batch=256),
    },
    examples=16_384,
    drawn=256,
    product=8192,
    algorithms=(),
    threads=8,
    settings=9,  # all
    interrupted=200,
    compared=50,
    seconds=0.7,
    rounds=4,
    patience=90.0,
    compile=True,
    flow="base",
    pilot=3000,
    training=180.0,
    style="full",
)
QUICK = Sizes(
    device="cpu",
    nets={
        "dit-b4": Transformer(7, width=16, depth=1, heads=2, batch=4),
        "dit-s2": Transformer(14, width=16, depth=1, heads=2, batch=4),
        "unet": Unet(2, (8, 16), heads=2, batch=4),
        "r3gan": R3gan((8, 16), batch=4),
    },
    examples=64,
    drawn=4,
    product=256,
    algorithms=("flow",),
    threads=2,
    settings=1,
    interrupted=40,
    compared=2,
    seconds=0.02,
    rounds=2,
    patience=60.0,
    compile=False,  # a minute on two cores
    flow="digits",
    pilot=40,
    training=1.0,
    style="quick",
)
SIZES = {"full": FULL, "quick": QUICK}


class Flags(NamedTuple):
    """XLA's flags of two processes that are compared; {file} is one that lies beside the results."""

    first: str
    second: str


def both(flags: str) -> Flags:
    return Flags(flags, flags)


DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
KEPT = Flags(
    "--xla_gpu_dump_autotune_results_to={file}", "--xla_gpu_load_autotune_results_from={file}"
)
FLAGS = {
    "none": both(""),
    "deterministic ops": both(DETERMINISTIC),
    "exclude nondeterministic ops": both("--xla_gpu_exclude_nondeterministic_ops=true"),
    "autotune level 0": both("--xla_gpu_autotune_level=0"),
    "autotune results kept": KEPT,
}
FLAGGED = "unet"  # the net that they are tried on: convolutions and attention
