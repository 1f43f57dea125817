"""Time and memory of principal components, the default features, by the number and the side of colour photographs.

    python -m benchmarks.components            180 images of 32, 64, 128 pixels; 5,000 of 64; 50,000 of 64 from a file
    python -m benchmarks.components 180 64     one of them

Images are sums of a few random waves, so that they have a spectrum. Each case has a process of its own: the peak of its
memory is that of the process, 0.2 GiB of imports and the images in memory included.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from genjax.metrics import features

CASES = ((180, 32), (180, 64), (180, 128), (5000, 64), (50_000, 64))


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


def main(argv: list[str]) -> None:
    if argv:
        n, side = map(int, argv)
        print(one(n, side), flush=True)
        return
    print("| images | side | fit [s] | peak memory [GiB] |\n|---|---|---|---|", flush=True)
    for n, side in CASES:
        command = [sys.executable, "-m", "benchmarks.components", str(n), str(side)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
