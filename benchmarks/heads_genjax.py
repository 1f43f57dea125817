"""How many pictures of heads are rendered a second, on one core.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m benchmarks.heads_genjax

The variables keep numpy's products of matrices to one thread. Counts the processor's time, so that others on the
machine disturb little: the best and the middle of five rounds.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from genjax.data.heads import draw_people, draw_shots, render

SIZES = (32, 64)
ROUNDS = 5
PEOPLE = 64


def rate(size: int) -> float:
    """Pictures a second of the processor's time."""
    people = draw_people(0, np.arange(PEOPLE))
    shots = draw_shots(0, people, 1)
    start = time.process_time()
    render(people, shots, size)
    return PEOPLE / (time.process_time() - start)


def main() -> None:
    print("| size | pictures a second, best | middle |\n| --- | --- | --- |")
    rate(min(SIZES))  # reads the file
    for size in SIZES:
        rates = [rate(size) for _ in range(ROUNDS)]
        print(f"| {size} | {max(rates):.0f} | {statistics.median(rates):.0f} |")


if __name__ == "__main__":
    main()
