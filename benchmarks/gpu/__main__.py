"""What one GPU shows of this code: two commands, and both of them with tiny sizes on a CPU.

    python -m benchmarks.gpu            contract, resume, speed beside PyTorch, XLA's flags: under 8 minutes; make gpu
    python -m benchmarks.gpu --train    a flow trained for three minutes, StyleGAN2's steps: under 6; make gpu-train
    python -m benchmarks.gpu --quick    do both run, tiny and on a CPU; its numbers mean nothing; make gpu-quick

Every part is a process with a time limit of its own, and what it finds is written at once: a part that fails or hangs
loses only itself, and its stack stands among the results. Exit code 0, 1 where a part failed, 2 where nothing was run.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

from benchmarks.gpu import lines

NEEDED = (
    *("jax", "flax", "optax", "orbax", "diffrax", "chex", "numpy", "scipy", "sklearn"),
    *("PIL", "matplotlib", "tqdm", "pytest"),  # the list of algorithms is in a file of tests
)
LEAST = 10.0  # with less time left a part is not begun [s]
PATIENT = 6.0  # how many times as long a part may take where nothing is measured
SKIPPED = ("contract-b", "dit-b4", "unet")  # there: their code is that of others
WORDS = 6000  # characters of what a failed part has said that are kept
MOURNING = 3.0  # time to write the stacks [s]


class Part(NamedTuple):
    """`python -m <module> <name> <size> <file>`."""

    name: str
    module: str
    limit: float  # [s]


class Command(NamedTuple):
    """Stages one after the other; the parts of a stage run at a time, as nothing in them is timed unguarded."""

    title: str
    total: float  # what all of it may take [s]
    stages: tuple[tuple[Part, ...], ...]


HERE = "benchmarks.gpu."
MEASURE = Command(
    "gpu",
    465.0,
    (
        (Part("product", HERE + "speed_genjax", 45.0),),
        (
            Part("contract-a", HERE + "contract_genjax", 130.0),
            Part("contract-b", HERE + "contract_genjax", 130.0),
            Part("resume", HERE + "resume_genjax", 130.0),
        ),
        # one pair compiles and measures, then the other: their locks keep blocks apart
        (Part("dit-b4", HERE + "row", 150.0), Part("unet", HERE + "row", 150.0)),
        (Part("dit-s2", HERE + "row", 150.0), Part("r3gan", HERE + "row", 150.0)),
        (Part("flags", HERE + "flags_genjax", 100.0),),
    ),
)
TRAIN = Command(
    "gpu-train",
    345.0,
    (
        (Part("stylegan2", HERE + "train_genjax", 75.0),),
        (Part("flow", HERE + "train_genjax", 290.0),),
    ),
)
NAMES = [part.name for command in (MEASURE, TRAIN) for s in command.stages for part in s]


# --- what is there ----------------------------------------------------------------------------------------------------


def missing() -> list[str]:
    """The packages that this Python lacks."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def environment(size: str) -> dict[str, str]:
    """Of all parts: where they compute, and nothing that was compiled before."""
    settings = {
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "PYTHONFAULTHANDLER": "1",  # SIGABRT then writes the stacks of all threads
        "PYTHONUNBUFFERED": "1",
    }
    if size == "quick":
        # threads of PyTorch that wait for each other are slow on a busy machine
        cheap = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "OMP_NUM_THREADS": "1"}
        return os.environ | settings | cheap
    on_gpu = {
        "JAX_PLATFORMS": "cuda,cpu",
        # several processes share its memory
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        # 16 of them for each of several processes would be in each other's way
        "TORCHINDUCTOR_COMPILE_THREADS": "4",
    }
    return os.environ | settings | on_gpu


def gpu() -> tuple[str | None, str]:
    """(what JAX calls the first GPU, or None where it finds none; its last words then)."""
    asks = "import jax; print(jax.default_backend(), jax.devices()[0].device_kind, sep=':')"
    command = [sys.executable, "-c", asks]
    try:
        done = subprocess.run(
            command, env=environment("full"), capture_output=True, text=True, timeout=90.0
        )
    except subprocess.TimeoutExpired as expired:
        return None, str(expired)
    # whatever a library prints comes before
    *_, last = ["", *done.stdout.split("\n")[:-1]]
    backend, _, kind = last.partition(":")
    *_, words = ["", *done.stderr.strip().splitlines()]
    return (kind, "") if backend == "gpu" else (None, words)


# --- a part -----------------------------------------------------------------------------------------------------------


Running = list[subprocess.Popen]  # all that were started


def carry_out(part: Part, size: str, file: Path, left: float, running: Running) -> str:
    """Runs a part for as long as it and the command may; writes how it ended, and returns that."""
    limit = min(part.limit, left)
    if left < LEAST:
        ended = "not begun: no time was left"
        lines.write(file, part.name, ended=ended, seconds=0.0)
        return ended
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        process = started(part, size, file, said)
        running.append(process)
        code = exit_code(process, limit)
        said.seek(0)
        words = shortened(said.read())
    seconds = time.monotonic() - begun
    ended = told(code, limit)
    stack = {"stack": words} if failed(ended) else {}
    lines.write(file, part.name, ended=ended, seconds=seconds, **stack)
    return ended


def started(part: Part, size: str, file: Path, said: IO[str]) -> subprocess.Popen:
    """The part's process, in a group of its own: its workers end with it."""
    return subprocess.Popen(
        [sys.executable, "-m", part.module, part.name, size, str(file)],
        env=environment(size),
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        # no session of its own: whoever ends ours ends it too
        process_group=0,
    )


def exit_code(process: subprocess.Popen, limit: float) -> int | None:
    """None: it was ended for its time. Nothing that it started is left."""
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        signal_all(process, signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(MOURNING)
        return None
    finally:
        signal_all(process, signal.SIGKILL)
        process.wait()


def shortened(words: str) -> str:
    """The end of what a part has said, without the list of loaded libraries that ends a stack."""
    told = [line for line in words.splitlines() if not line.startswith("Extension modules:")]
    return "\n".join(told)[-WORDS:]


def signal_all(process: subprocess.Popen, number: int) -> None:
    """To the process and to what it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def told(code: int | None, limit: float) -> str:
    """How a part ended."""
    if code is None:
        return f"failed: ended after {limit:.0f} s"
    known = {0: "ok", lines.LEFT_OUT: "left out"}
    return known.get(code, f"failed: exit code {code}")


def failed(ended: str) -> bool:
    return ended.startswith(("failed", "not begun"))


# --- the command ------------------------------------------------------------------------------------------------------


def run(command: Command, size: str, folder: Path, only: Sequence[str]) -> list[str]:
    """All stages; returns the names of the parts that failed."""
    file = folder / f"{command.title}{'-quick' * (size == 'quick')}.jsonl"
    file.unlink(missing_ok=True)  # one file tells of one run
    # on few cores several at a time would only share them
    at_once, slack, skipped = 8, 1.0, ()
    if size == "quick":
        at_once, slack, skipped = 1, PATIENT, SKIPPED
    end = time.monotonic() + slack * command.total
    printing = threading.Lock()
    running: Running = []
    ends = {}

    def one(part: Part) -> None:
        longer = part._replace(limit=slack * part.limit)
        ends[part.name] = carry_out(longer, size, file, end - time.monotonic(), running)
        with printing:
            show(command.title, part.name, file)

    for stage in command.stages:
        parts = [part for part in stage if part.name in (only or set(NAMES) - set(skipped))]
        with ThreadPoolExecutor(at_once) as pool:
            try:
                list(pool.map(one, parts))
            except BaseException:  # an interrupt: none is left behind
                end = 0.0  # what has not begun does not
                for process in running:
                    if process.poll() is None:
                        signal_all(process, signal.SIGKILL)
                raise
    return [name for name, ended in ends.items() if failed(ended)]


def show(title: str, name: str, file: Path) -> None:
    """Writes the Markdown anew, and prints what it says of one part."""
    found = lines.read(file)
    file.with_suffix(".md").write_text(lines.markdown(title, found))
    own = [line for line in found if line["part"] == name]
    print("\n" + lines.section(name, own), flush=True)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--train", action="store_true", help="the second command")
    parser.add_argument("--quick", action="store_true", help="both, tiny, on a CPU")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=[], metavar="NAME")
    folder = "of the results: <command>.jsonl and .md"
    parser.add_argument("--results", type=Path, default=Path("runs/gpu"), help=folder)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    if lacking := missing():
        names = ", ".join(lacking)
        print(f"error: {sys.executable} lacks {names}: nothing was run", file=sys.stderr)
        return 2
    kind, words = ("this processor; its numbers mean nothing", "") if args.quick else gpu()
    if kind is None:
        told = "JAX finds none here: nothing was run; `make gpu-quick` runs the same on a CPU"
        print(f"error: this needs a GPU and {told} ({words})", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an interrupt
    # a part that is ended by SIGABRT would leave gigabytes
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    args.results.mkdir(parents=True, exist_ok=True)
    print(f"on {kind}; results in {args.results}", flush=True)
    commands = [TRAIN if args.train else MEASURE]
    if args.quick:
        commands = [MEASURE, TRAIN]
    size = "quick" if args.quick else "full"
    lost = []
    for command in commands:
        lost += run(command, size, args.results.resolve(), args.only)
    print(f"\nfailed: {', '.join(lost)}" if lost else "\nevery part has run", flush=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
