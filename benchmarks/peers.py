"""Two families beside public repositories, each trained as its users train it.

    make bench-peers                 installs benchmarks/peers.txt into its own environment, then the next line
    python -m benchmarks.peers --peer-python .venv-peers/bin/python     --quick: does it run at all

A repository that is not there is left out, with the reason. What the rows mean is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import common
from benchmarks.common import Workers, against, machine
from benchmarks.turns import Failed

OURS = "ours"
INSTALL = "make bench-peers"  # or benchmarks/peers.txt, in an environment of its own


class Peer(NamedTuple):
    """A repository, what of ours stands beside it, and the steps that a block is a multiple of."""

    title: str
    mine: tuple[str, ...]  # module and arguments before the images
    after: tuple[str, ...]  # arguments after them
    multiple: int = 1


PEERS = {
    # pythae trains by epochs, here of 50 steps
    "pythae": Peer("VAE", ("vae_genjax", "loop", "one layer"), ("10",), 50),
    "smalldiffusion": Peer("DiT", ("diffusion_genjax", "ours", "train", "dit-196"), ("cpu",)),
}


def line(name: str, workers: Workers) -> str:
    """A line of the table."""
    theirs, mine = workers[name], workers[OURS]
    rates = [statistics.median(worker.rates) for worker in (theirs, mine)]
    cells = (
        f"{PEERS[name].title} beside {name}",
        *(f"{rate:.3g}" for rate in rates),
        against(mine, theirs),
        f"{theirs.peak:.0f} / {mine.peak:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def compared(name: str, images: Path, args: argparse.Namespace) -> str:
    """Measures one of them; a line of the table."""
    peer = PEERS[name]
    commands = {
        name: ("peers_torch", name, str(images)),
        OURS: (*peer.mine, str(images), *peer.after),
    }
    pythons = {name: args.peer_python}  # in an environment of their own
    workers = common.measure(
        commands, args.seconds, args.rounds, peer.multiple, (name,), pythons=pythons
    )
    if name not in workers:
        return (
            f"| {peer.title} beside {name} | left out, see above; to have it: {INSTALL} | | | |"
        )
    return line(name, workers)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; of this process by default."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description="Beside public repositories."
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a block")
    parser.add_argument("--rounds", type=int, default=5, help="blocks of every side")
    told = "the Python that has the repositories; this one by default"
    parser.add_argument("--peer-python", default=sys.executable, help=told)
    names = list(PEERS)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    told = "only whether it runs: the numbers mean nothing"
    parser.add_argument("--quick", action="store_true", help=told)
    args = parser.parse_args(argv)
    if args.quick:  # two rounds: forwards and backwards
        args.seconds, args.rounds = 0.1, 2
    return args


def main() -> None:
    args = arguments()
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the workers too
    with common.images_for_both() as (images, data):
        print(f"{machine(('jax',))}; {data}\n", flush=True)
        lines = []
        for name in args.only:
            try:
                lines.append(compared(name, images, args))
            except Failed as failed:  # ours
                sys.exit(f"error: {failed}")
    head = "| | theirs [steps/s] | ours [steps/s] | ours over theirs, median (least, most) "
    print(f"{head}| peak memory [MiB] |\n|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
