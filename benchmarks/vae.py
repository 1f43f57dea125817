"""The MLP VAE's training step beside the same step in plain PyTorch, on CPU, and the time to a first step.

    python -m benchmarks.vae            about ten minutes on two cores; --quick: does it run at all

Prints Markdown tables; what they mean and what they were is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import CHECKED, agreement, answer, machine, measure, need_torch, save_images
from benchmarks.turns import Worker, ratio

TOLERANCE = 1e-4  # relative, of losses and gradient norms in float32


class Net(NamedTuple):
    """A row: an MLP VAE with a mirrored decoder on 784 pixels."""

    gated: bool
    hidden: tuple[int, ...]
    latent: int
    batch: int


NETS = {
    "published": Net(True, (300, 300), 40, 100),  # `python -m experiments.vae`
    "plain": Net(False, (512, 256), 32, 128),
}
SIDES = {  # name -> (module, its first argument, its last ones)
    "PyTorch eager": ("vae_torch", "eager", ()),
    "PyTorch eager, defaults": ("vae_torch", "defaults", ()),
    "PyTorch compile": ("vae_torch", "compile", ()),
    "step, one by one": ("vae_genjax", "step", ("1",)),
    "step, 10 in a scan": ("vae_genjax", "step", ("10",)),
    "loop, one by one": ("vae_genjax", "loop", ("1",)),
    "loop, 10 in a scan": ("vae_genjax", "loop", ("10",)),
}
REFERENCE = "PyTorch eager"
OPTIONAL = "PyTorch compile"  # needs a C++ compiler: the one side that may be absent


def same_computation(name: str, images: Path, folder: Path) -> str:
    """Runs both sides from the same weights with the same noise; a line of what agreed, SystemExit if it did not."""
    saved = str(folder / f"{name}.npz")
    ours, theirs = answer("vae_genjax", "check", name, str(images), saved), answer("vae_torch", "check", name, saved)
    error = agreement(name, ours, theirs, TOLERANCE)
    first = " and ".join(f"{side['loss'][0]:.4f}" for side in (ours, theirs))
    return (
        f"{name}: {ours['parameters']:,} parameters on both sides, first loss {first} nats; losses and gradient norms "
        f"of {CHECKED} Adam steps agree to {error:.0e}"
    )


def sides(name: str, images: Path, eager: bool) -> dict[str, tuple[str, ...]]:
    """The commands of all sides of one net."""
    commands = {side: (module, what, name, str(images), *more) for side, (module, what, more) in SIDES.items()}
    if eager:
        del commands[OPTIONAL]
    return commands


def table(name: str, workers: dict[str, Worker]) -> str:
    """Markdown: steps/s (median), ratio to the reference round by round, CPU time of the last block, peak memory."""
    net, reference = NETS[name], workers[REFERENCE]
    lines = [
        f"**{name}**: {'gated ' * net.gated}784-{'-'.join(map(str, net.hidden))}-{net.latent}, batch {net.batch}; "
        f"PyTorch's fastest here: {reference.hello['adam']} Adam, threads: {reference.hello['threads']}",
        "",
        f"| | steps/s | against {REFERENCE}, median (least, most) | CPU time a step | peak memory |",
        "|---|---|---|---|---|",
    ]
    for side, worker in workers.items():
        against = "1" if worker is reference else "{:.2f} ({:.2f}, {:.2f})".format(*ratio(worker, reference))
        lines.append(
            f"| {side} | {statistics.median(worker.rates):.1f} | {against} | "
            f"{1000 * worker.cpu:.1f} ms | {worker.peak:.0f} MiB |"
        )
    lines += ["", "The loop's speed over the bare step's: "]
    shares = [(how, *ratio(workers[f"loop, {how}"], workers[f"step, {how}"])) for how in ("one by one", "10 in a scan")]
    lines[-1] += "; ".join("{} {:.2f} ({:.2f}, {:.2f})".format(*share) for share in shares) + "."
    return "\n".join(lines)


def first_step(args: list[str], chunk: int, compiled: str, limit: float = 300.0) -> float:
    """Seconds from `python -m experiments.vae *args`, in a fresh run directory, to metrics of its first dispatch.

    `chunk` is the steps in a dispatch; `compiled` the folder of compiled code. Data stays in the usual cache.
    """
    env = os.environ | {"JAX_COMPILATION_CACHE_DIR": compiled}
    with tempfile.TemporaryDirectory() as runs, tempfile.TemporaryFile("w+") as said:
        command = [sys.executable, "-m", "experiments.vae", *args, f"--runs={runs}", f"--log_every={chunk}"]
        start = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=said)
        try:
            while not any(path.stat().st_size for path in Path(runs).glob("vae/*/metrics.jsonl")):
                if process.poll() is not None or time.perf_counter() - start > limit:
                    said.seek(0)
                    raise SystemExit(f"error: {' '.join(command[1:])} wrote no metrics:\n{said.read()}")
                time.sleep(0.005)
            return time.perf_counter() - start
        finally:
            process.kill()  # SIGTERM would have it save first
            process.wait()


def first_steps(warm: int, fashion: bool) -> str:
    """Markdown: cold and warm times to the first step."""
    from experiments.vae import EXPERIMENTS
    from genjax.data import Digits

    Digits().load()  # prepares the data cache, which is not what is measured
    lines = ["| command to first step | nothing compiled yet | compiled code cached |", "|---|---|---|"]
    for args in [["digits"]] + [[]] * fashion:
        chunk = EXPERIMENTS[[*args, "base"][0]].chunk
        with tempfile.TemporaryDirectory() as compiled:
            cold, *rest = [first_step(args, chunk, compiled) for _ in range(1 + warm)]
        shown = ", ".join(f"{seconds:.1f}" for seconds in rest)
        lines.append(f"| `{' '.join(['python -m experiments.vae', *args])}` | {cold:.1f} s | {shown} s |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vae", description="The MLP VAE beside plain PyTorch.")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a block")
    parser.add_argument("--rounds", type=int, default=11, help="blocks of every side")
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    parser.add_argument("--eager", action="store_true", help="leave out torch.compile, which takes minutes to start")
    parser.add_argument("--warm", type=int, default=3, help="starts from a warm cache, 0 = do not time starts at all")
    parser.add_argument("--quick", action="store_true", help="only whether it runs: the numbers mean nothing")
    args = parser.parse_args()
    if args.quick:
        args.seconds, args.rounds, args.warm, args.eager = 0.2, 2, min(args.warm, 1), True
    return args


def main() -> None:
    args = _arguments()
    need_torch()
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the workers too
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        data = save_images(images)
        print(f"{machine()}; {data}; {args.rounds} rounds of {args.seconds:g} s\n")
        for name in args.nets:
            print(same_computation(name, images, Path(folder)), flush=True)
        for name in args.nets:
            workers = measure(sides(name, images, args.eager), args.seconds, args.rounds, 10, (OPTIONAL,))
            print("\n" + table(name, workers), flush=True)
    if args.warm:
        print("\n" + first_steps(args.warm, data == "Fashion-MNIST"))


if __name__ == "__main__":
    main()
