"""Time and memory of principal components, the default features, by the number and the side of colour photographs.

    python -m benchmarks.components            180 images of 32, 64, 128 pixels; 5,000 of 64; 50,000 of 64 from a file

Images are sums of a few random waves, so that they have a spectrum. Each case has a process of its own: the peak of its
memory is that of the process, 0.2 GiB of imports and the images that it has read included.
"""

from __future__ import annotations

import subprocess
import sys

CASES = ((180, 32), (180, 64), (180, 128), (5000, 64), (50_000, 64))


def main() -> None:
    print("| images | side | fit [s] | peak memory [GiB] |\n|---|---|---|---|", flush=True)
    for n, side in CASES:
        worker = [sys.executable, "-m", "benchmarks.components_genjax", str(n), str(side)]
        subprocess.run(worker, check=True)


if __name__ == "__main__":
    main()
