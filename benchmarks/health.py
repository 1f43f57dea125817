"""A long run at full speed, watched from outside: does it leak memory, files or threads, slow down, or compile again?

    python -m benchmarks.health                 an hour
    python -m benchmarks.health --minutes 2     does it run at all; an hour is needed for the slopes

The run is `python -m experiments.<...>` on scikit-learn's digits in a process of its own, with metrics, evaluations,
sample grids and checkpoints, and more steps than there is time for. Every ten seconds /proc/PID tells its resident
memory, open files and threads, speed.jsonl its steps/s, and its stderr how often XLA has compiled. At the end it is
asked to stop by SIGTERM, and must save and leave with exit code 75.

After the first minutes (`--warm`), and the first evaluation, grid and checkpoint, straight lines are fitted to memory
and to the time of a step:

    y_i = a + b t_i + e_i,   b +- t_{0.975} s_b sqrt((1 + r) / (1 - r)),

r being the correlation of neighbouring residuals, which is why ten seconds are not ten independent seconds. The
verdict is "broken", and the exit code 1, only where the whole interval of a slope lies above its limit, or where a
count has grown. Where the interval reaches across the limit, or the line is of less than a quarter of an hour, the run
was too short to tell: memory still fills up then.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import every

EVERY = 10.0  # seconds between two looks
ROW = 5.0  # minutes a row of the table
LEAST = 15.0  # minutes that a line must be of to be judged
PREEMPTED = 75  # the exit code of a run that was asked to stop and has saved
PATIENCE = 120.0  # seconds that it may take to save and leave
COMPILED = b"Finished XLA compilation of"  # a line of JAX's log
COMMON = ("--steps=1000000000", "--finish=()")
RUNS = {  # name: (module, ablation, steps between lines of metrics, between evaluations, grids and checkpoints)
    "vae": ("experiments.vae", "digits", 100, 2000),
    "flow": ("experiments.diffusion", "digits", 10, 200),
}


class Limits(NamedTuple):
    """What is still healthy."""

    memory: float = 30.0  # growth [MiB/hour]
    step: float = 5.0  # growth of the time of a step [%/hour]
    files: int = 2  # more at the end than after the warm-up
    threads: int = 2
    compiles: int = 0


class Look(NamedTuple):
    """One look at the process."""

    seconds: float  # since its start
    memory: float  # resident [MiB]
    files: int
    threads: int
    compiles: int  # since its start
    step: int  # training steps done, by the last line of speed.jsonl
    time: float  # of a step, median over the lines since the last look [s]; nan where there was none


class Slope(NamedTuple):
    """Of a straight line, with a 95% interval."""

    value: float
    low: float
    high: float


class Tail:
    """What has been added to a file since it was last read, in whole lines."""

    def __init__(self, find):
        self._find, self._at = find, 0

    def lines(self) -> list[bytes]:
        path = self._find()
        if path is None:
            return []
        with path.open("rb") as file:
            file.seek(self._at)
            text = file.read()
        whole = text[
            : text.rfind(b"\n") + 1
        ]  # half a line is being written: it is read next time
        self._at += len(whole)
        return whole.splitlines()


def process(pid: int) -> tuple[float, int, int]:
    """(resident memory [MiB], open files, threads) of a running process, from Linux's /proc."""
    folder = Path(f"/proc/{pid}")
    lines = (folder / "status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    resident, _ = status["VmRSS"].split()  # "123456 kB"
    files = len(os.listdir(folder / "fd"))
    return float(resident) / 1024.0, files, int(status["Threads"])


def speeds(lines: Sequence[bytes]) -> tuple[int | None, float]:
    """(last step, median time of a step [s]) of lines of speed.jsonl; (None, nan) of none."""
    found = [json.loads(line) for line in lines]
    if not found:
        return None, math.nan
    seconds = [1.0 / line["steps/s"] for line in found]
    return found[-1]["step"], statistics.median(seconds)


def slope(t: Sequence[float], y: Sequence[float]) -> Slope:
    """Least squares of y on t, with an interval that allows for neighbours that are alike; nan for under 4 points."""
    import numpy as np
    from scipy.stats import t as student

    t = np.asarray(t, float)
    y = np.asarray(y, float)
    seen = np.isfinite(y)  # a look between two lines of the log has no time of a step
    t, y = t[seen], y[seen]
    if len(t) < 4:
        return Slope(math.nan, -math.inf, math.inf)
    freedom = len(t) - 2
    centred = t - t.mean()
    width = float(centred @ centred)
    b = float(centred @ y / width)
    residual = y - y.mean() - b * centred
    squares = float(residual @ residual)
    # r of neighbours; below 0 would narrow the interval, 1 would make it infinite
    r = 0.0
    if squares > 0:
        products = float(residual[1:] @ residual[:-1])
        r = products / squares
    r = min(max(r, 0.0), 0.99)
    independent = squares / freedom / width  # s_b² of independent residuals
    variance = independent * (1 + r) / (1 - r)
    quantile = float(student.ppf(0.975, freedom))
    half = quantile * math.sqrt(variance)
    return Slope(b, b - half, b + half)


def fits(looks: Sequence[Look]) -> tuple[Slope, Slope]:
    """(memory [MiB/hour], time of a step [% of its median an hour]) of the looks after the warm-up."""
    hours = [look.seconds / 3600.0 for look in looks]
    times = [look.time for look in looks if math.isfinite(look.time)]
    typical = statistics.median(times or [math.nan])
    memory = [look.memory for look in looks]
    percent = [100.0 * look.time / typical for look in looks]
    return slope(hours, memory), slope(hours, percent)


def ends(looks: Sequence[Look], name: str) -> tuple[float, float]:
    """The median of a count over the first and over the last tenth of the looks: a file is open while it is written."""
    values = [getattr(look, name) for look in looks]
    few = max(len(looks) // 10, 3)
    first, last = values[:few], values[-few:]
    return statistics.median(first), statistics.median(last)


def verdict(
    looks: Sequence[Look], code: int | None, limits: Limits = Limits()
) -> tuple[list[str], list[str]]:
    """(what is broken, what the run was too short to tell), a line each; `looks` are those after the warm-up."""
    broken, open_ = [], []
    if code != PREEMPTED:
        broken.append(f"the run ended with exit code {code}, not {PREEMPTED}")
    if not looks:
        return [*broken, "nothing was seen after the warm-up"], open_
    if looks[-1].step <= looks[0].step:
        broken.append(f"no step was taken after step {looks[0].step}")
    minutes = _minutes(looks)
    memory, step = fits(looks)
    lines = (("memory", memory, limits.memory), ("time of a step", step, limits.step))
    for what, found, limit in lines:
        interval = f"({found.low:.1f}, {found.high:.1f})"
        if minutes < LEAST:
            open_.append(f"{what}: a line of {minutes:.1f} minutes, {LEAST:g} are needed")
        elif found.low > limit:
            least = f"{found.value:.1f} an hour, at least {found.low:.1f}"
            broken.append(f"{what} grows by {least}: limit {limit:g}")
        elif not found.high <= limit:  # of a NaN too
            open_.append(f"{what}: the interval {interval} reaches across the limit {limit:g}")
    return broken + grown(looks, limits), open_


def grown(looks: Sequence[Look], limits: Limits) -> list[str]:
    """The counts that have grown by more than they may, a line each."""
    found = {name: ends(looks, name) for name in ("files", "threads")}
    # compilations only ever add up: one more at the very end counts
    found["compiles"] = (looks[0].compiles, looks[-1].compiles)
    lines = []
    for name, (first, last) in found.items():
        allowed = getattr(limits, name)
        if last - first > allowed:
            lines.append(f"{name} went from {first:g} to {last:g}: {allowed} more are allowed")
    return lines


def settled(looks: Sequence[Look], minutes: float, step: int) -> list[Look]:
    """The looks after so many minutes and after what is done for the first time at `step`."""
    seconds = 60.0 * minutes
    return [look for look in looks if look.seconds >= seconds and look.step > step]


def _minutes(looks: Sequence[Look]) -> float:
    return (looks[-1].seconds - looks[0].seconds) / 60.0


# --- what is printed --------------------------------------------------------------------------------------------------

HEAD = (
    "| minutes | memory [MiB] | steps/s | time of a step [ms] | files | threads | compiles |\n"
    + "|---" * 7
    + "|"
)


def row(looks: Sequence[Look], before: Look | None) -> str:
    """A line of Markdown: means or medians of some minutes; steps/s over all that happened, evaluations included."""
    first, last = before or looks[0], looks[-1]
    seconds = last.seconds - first.seconds
    steps = last.step - first.step
    rate = f"{steps / seconds:.1f}" if seconds > 0 else "-"
    times = [look.time for look in looks if math.isfinite(look.time)]
    begin = looks[0].seconds / 60
    end = last.seconds / 60
    memory = statistics.mean(look.memory for look in looks)
    files = statistics.median(look.files for look in looks)
    threads = statistics.median(look.threads for look in looks)
    cells = [
        f"{begin:.1f} to {end:.1f}",
        f"{memory:.1f}",
        rate,
        f"{1000 * statistics.median(times):.3f}" if times else "-",  # no line of the log yet
        f"{files:g}",
        f"{threads:g}",
        str(last.compiles),
    ]
    return f"| {' | '.join(cells)} |"


def summary(looks: Sequence[Look], limits: Limits) -> str:
    """The slopes with their intervals, the first and last counts, each beside its limit."""
    memory, step = fits(looks)
    first_look, last_look = looks[0], looks[-1]
    minute = first_look.seconds / 60
    of_memory = "{:+.1f} MiB/hour ({:+.1f}, {:+.1f})".format(*memory)
    of_step = "{:+.2f} %/hour ({:+.2f}, {:+.2f})".format(*step)
    lines = [
        f"\nfrom minute {minute:.1f}, step {first_look.step}, to step {last_look.step}:",
        f"memory {of_memory}, limit {limits.memory:g}",
        f"time of a step {of_step}, limit {limits.step:g}",
    ]
    for name in ("files", "threads"):
        first, last = ends(looks, name)
        allowed = getattr(limits, name)
        lines.append(f"{name} {first:g} -> {last:g}, limit +{allowed}")
    compiled = f"{first_look.compiles} -> {last_look.compiles}"
    lines.append(f"compiles {compiled}, limit +{limits.compiles}")
    return "\n".join(lines)


# --- the run ----------------------------------------------------------------------------------------------------------


class Child:
    """The run, in a process and a folder of its own."""

    def __init__(self, which: str, folder: Path):
        module, ablation, log, others = RUNS[which]
        runs = folder / "runs"
        flags = [*every(log, others), *COMMON, f"--runs={runs}"]
        self.words = folder / "stderr"
        self.began = time.monotonic()
        self._file = self.words.open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, ablation, *flags],
            env=os.environ | {"JAX_LOG_COMPILES": "1"},
            stdout=self._file,
            stderr=subprocess.STDOUT,
        )
        # the run makes its folder when it starts, and names it by its digest
        self._speed = Tail(lambda: next(runs.glob("*/*/speed.jsonl"), None))
        self._said = Tail(lambda: self.words)
        self._compiles, self._step = 0, 0

    def look(self) -> Look | None:
        """None once the process has ended."""
        if self.process.poll() is not None:
            return None
        try:
            memory, files, threads = process(self.process.pid)
        except (OSError, KeyError):  # it ended just now
            return None
        said = self._said.lines()
        self._compiles += sum(COMPILED in line for line in said)
        step, seconds = speeds(self._speed.lines())
        if step is not None:  # nothing was logged since the last look
            self._step = step
        now = time.monotonic() - self.began
        return Look(now, memory, files, threads, self._compiles, self._step, seconds)

    def stop(self) -> int | None:
        """Asks it to stop; its exit code, None if it would not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """Ends it, if it has not ended."""
        if self.process.poll() is None:  # it would not stop, or was not asked to
            self.process.kill()
            self.process.wait()
        self._file.close()


def watch(child: Child, minutes: float, row_minutes: float) -> list[Look]:
    """Looks every ten seconds until the time is over or the run has ended; prints a row as soon as it is full."""
    looks, shown, width = [], 0, 60.0 * row_minutes
    print(HEAD, flush=True)
    while (now := time.monotonic() - child.began) < 60.0 * minutes:
        to_next = EVERY - now % EVERY
        to_end = max(60.0 * minutes - now, 0.0)
        time.sleep(min(to_next, to_end))
        look = child.look()
        if look is None:
            break
        if looks and look.seconds // width > looks[shown].seconds // width:
            show(looks, shown)
            shown = len(looks)
        looks.append(look)
    if looks:
        show(looks, shown)
    return looks


def show(looks: Sequence[Look], shown: int) -> None:
    """Prints the row of the looks after the first `shown`."""
    before = looks[shown - 1] if shown else None
    print(row(looks[shown:], before), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """0 healthy or too short to tell, 1 broken."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.health", description="A long run, watched."
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long")
    parser.add_argument(
        "--warm", type=float, default=None, help="minutes left out of the fits; 5, or a quarter"
    )
    parser.add_argument("--run", choices=list(RUNS), default="vae", help="what is trained")
    args = parser.parse_args(argv)
    row_minutes = min(ROW, args.minutes / 4)
    warm = row_minutes if args.warm is None else args.warm
    with contextlib.ExitStack() as stack:
        child = Child(args.run, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(child.close)
        print(f"python {' '.join(child.process.args[1:])}\n", flush=True)
        looks = watch(child, args.minutes, row_minutes)
        code = child.stop()
        last_words = child.words.read_text(errors="replace").splitlines()[-3:]
    *_, once = RUNS[args.run]  # the step of the first evaluation, grid and checkpoint
    return tell(settled(looks, warm, once), code, last_words)


def tell(looks: Sequence[Look], code: int | None, last_words: Sequence[str]) -> int:
    """Prints what was found and the verdict; the exit code."""
    limits = Limits()
    if looks:
        print(summary(looks, limits))
    broken, open_ = verdict(looks, code, limits)
    print(f"exit code {code}; its last words: {' / '.join(last_words)}")
    for line in open_:
        print(f"too short to tell: {line}")
    print(
        "\n".join(f"broken: {line}" for line in broken)
        if broken
        else "healthy, as far as can be told"
    )
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
