"""What the training loop costs a step beyond the compiled step itself, on CPU.

    python -m benchmarks.overhead            about a minute; --quick: does it run at all

The step is as small as a step can be (a linear autoencoder with one code on digits), so that what is left is the loop:
the batch, its way to the device, the metrics and the log. "bare" calls the same compiled step from a plain
Python loop on one batch that lies on the device, with as many steps in flight.
"""

from __future__ import annotations

import argparse
import statistics

from benchmarks.common import measure
from benchmarks.turns import Worker

BATCHES = (16, 128, 1024)  # examples a step
SIDES = {"bare": "1", "loop": "1", "loop, 10 in a scan": "10"}  # steps in a dispatch
HEAD = "| batch | | µs a step | more than bare, median (least, most) | CPU time, µs a step |"


def more(one: Worker, bare: Worker) -> str:
    """What a step costs beyond the bare one, round by round [µs]."""
    over = []
    for rate, other in zip(one.rates, bare.rates, strict=True):
        over.append(1e6 / rate - 1e6 / other)  # of one round: both met the same machine
    median = statistics.median(over)
    return f"{median:.0f} ({min(over):.0f}, {max(over):.0f})"


def rows(batch: int, seconds: float, rounds: int) -> list[str]:
    """Lines of the table for one batch size."""
    commands = {}
    for side, chunk in SIDES.items():
        commands[side] = ("overhead_genjax", side, str(batch), chunk)
    workers = measure(commands, seconds, rounds, 10)  # steps by ten: the scan has no fewer
    bare = workers["bare"]
    return [line(batch, one, bare) for one in workers.values()]


def line(batch: int, one: Worker, bare: Worker) -> str:
    """Of one side; the bare one has nothing to be compared with."""
    took = 1e6 / statistics.median(one.rates)
    over = "" if one is bare else more(one, bare)
    processor = 1e6 * one.cpu  # of all threads [µs]
    return f"| {batch} | {one.name} | {took:.0f} | {over} | {processor:.0f} |"


def arguments() -> argparse.Namespace:
    """The command line of this process."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a block")
    parser.add_argument("--rounds", type=int, default=7, help="blocks of every side")
    parser.add_argument("--quick", action="store_true", help="does it run at all")
    args = parser.parse_args()
    args.batches = BATCHES
    if args.quick:
        args.seconds = 0.05
        args.rounds = 2
        args.batches = BATCHES[:1]  # one is enough to see that it runs
    return args


def main() -> None:
    args = arguments()
    print(f"{HEAD}\n" + "|---" * 5 + "|")
    for batch in args.batches:
        print("\n".join(rows(batch, args.seconds, args.rounds)), flush=True)


if __name__ == "__main__":
    main()
