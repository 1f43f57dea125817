"""One case of `benchmarks.components` in a process of its own: python -m benchmarks.components_genjax 180 64"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from genjax.metrics import features


def pictures(n: int, side: int, path: Path) -> np.ndarray:
    """uint8 [n, side, side, 3] in a mapped file, made 500 at a time."""
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (n, side, side, 3))
    rng = np.random.default_rng(0)
    line = np.linspace(0.0, 1.0, side)
    y, x = line[:, None, None], line[None, :, None]
    for i in range(0, n, 500):
        count = min(500, n - i)
        total = np.full((count, side, side, 3), 0.5, np.float32)
        for frequency in range(1, 6):
            phase = rng.uniform(0.0, 2.0 * np.pi, (count, 1, 1, 3))
            turn = rng.uniform(0.0, 2.0 * np.pi, (count, 1, 1, 1))
            along = np.cos(turn) * x + np.sin(turn) * y
            total += 0.15 / frequency * np.cos(2.0 * np.pi * frequency * along + phase)
        noise = rng.normal(0.0, 0.02, total.shape)
        images[i : i + count] = np.clip(255.0 * (total + noise), 0.0, 255.0)
    images.flush()
    del images
    return np.load(path, mmap_mode="r")


def one(n: int, side: int) -> str:
    """A row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        images = pictures(n, side, Path(folder) / "images.npy")
        start = time.perf_counter()
        features.Components().fit({"image": images})
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    return f"| {n:,} | {side} | {seconds:.1f} | {peak:.2f} |"


if __name__ == "__main__":
    print(one(*map(int, sys.argv[1:])), flush=True)
