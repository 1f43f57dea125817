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

EVERY = 10.0  # seconds between two looks
ROW = 5.0  # minutes a row of the table
LEAST = 15.0  # minutes that a line must be of to be judged
PREEMPTED = 75  # the exit code of a run that was asked to stop and has saved
PATIENCE = 120.0  # seconds that it may take to save and leave
COMPILED = b"Finished XLA compilation of"  # a line of JAX's log
COMMON = ("--steps=1000000000", "--finish=None")
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
    time: (
        float  # of a step, median over the lines since the last look [s]; nan where there was none
    )


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
        whole = text[: text.rfind(b"\n") + 1]
        self._at += len(whole)
        return whole.splitlines()


def process(pid: int) -> tuple[float, int, int]:
    """(resident memory [MiB], open files, threads) of a running process, from Linux's /proc."""
    status = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if ":" in line
    )
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return float(status["VmRSS"].split()[0]) / 1024.0, files, int(status["Threads"])


def speeds(lines: Sequence[bytes]) -> tuple[int | None, float]:
    """(last step, median time of a step [s]) of lines of speed.jsonl; (None, nan) of none."""
    found = [json.loads(line) for line in lines]
    if not found:
        return None, math.nan
    return found[-1]["step"], statistics.median(1.0 / line["steps/s"] for line in found)


def slope(t: Sequence[float], y: Sequence[float]) -> Slope:
    """Least squares of y on t, with an interval that allows for neighbours that are alike; nan for under 4 points."""
    import numpy as np
    from scipy.stats import t as student

    t, y = np.asarray(t, float), np.asarray(y, float)
    t, y = t[np.isfinite(y)], y[np.isfinite(y)]
    if len(t) < 4:
        return Slope(math.nan, -math.inf, math.inf)
    centred = t - t.mean()
    b = float(centred @ y / (centred @ centred))
    residual = y - y.mean() - b * centred
    squares = float(residual @ residual)
    r = float(residual[1:] @ residual[:-1]) / squares if squares > 0 else 0.0
    r = min(max(r, 0.0), 0.99)
    deviation = math.sqrt(squares / (len(t) - 2) / float(centred @ centred) * (1 + r) / (1 - r))
    half = float(student.ppf(0.975, len(t) - 2)) * deviation
    return Slope(b, b - half, b + half)


def fits(looks: Sequence[Look]) -> tuple[Slope, Slope]:
    """(memory [MiB/hour], time of a step [% of its median an hour]) of the looks after the warm-up."""
    hours = [look.seconds / 3600.0 for look in looks]
    typical = statistics.median(
        [look.time for look in looks if math.isfinite(look.time)] or [math.nan]
    )
    return slope(hours, [look.memory for look in looks]), slope(
        hours, [100.0 * look.time / typical for look in looks]
    )


def ends(looks: Sequence[Look], name: str) -> tuple[float, float]:
    """The median of a count over the first and over the last tenth of the looks: a file is open while it is written."""
    values, few = [getattr(look, name) for look in looks], max(len(looks) // 10, 3)
    return statistics.median(values[:few]), statistics.median(values[-few:])


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
    lines, minutes = (
        zip(("memory", "time of a step"), fits(looks), limits[:2], strict=True),
        _minutes(looks),
    )
    for what, found, limit in lines:
        if minutes < LEAST:
            open_.append(f"{what}: a line of {minutes:.1f} minutes, {LEAST:g} are needed")
        elif found.low > limit:
            broken.append(
                f"{what} grows by {found.value:.1f} an hour, at least {found.low:.1f}: limit {limit:g}"
            )
        elif not found.high <= limit:
            open_.append(
                f"{what}: the interval ({found.low:.1f}, {found.high:.1f}) reaches across the limit {limit:g}"
            )
    for name in ("files", "threads", "compiles"):
        first, last = ends(looks, name)
        if name == "compiles":
            first, last = looks[0].compiles, looks[-1].compiles
        if last - first > getattr(limits, name):
            broken.append(
                f"{name} went from {first:g} to {last:g}: {getattr(limits, name)} more are allowed"
            )
    return broken, open_


def settled(looks: Sequence[Look], minutes: float, step: int) -> list[Look]:
    """The looks after so many minutes and after what is done for the first time at `step`."""
    return [look for look in looks if look.seconds >= 60.0 * minutes and look.step > step]


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
    rate = f"{(last.step - first.step) / seconds:.1f}" if seconds > 0 else "-"
    times = [look.time for look in looks if math.isfinite(look.time)]
    cells = [
        f"{looks[0].seconds / 60:.1f} to {last.seconds / 60:.1f}",
        f"{statistics.mean(look.memory for look in looks):.1f}",
        rate,
        f"{1000 * statistics.median(times):.3f}" if times else "-",
        f"{statistics.median(look.files for look in looks):g}",
        f"{statistics.median(look.threads for look in looks):g}",
        str(last.compiles),
    ]
    return f"| {' | '.join(cells)} |"


def summary(looks: Sequence[Look], limits: Limits) -> str:
    """The slopes with their intervals, the first and last counts, each beside its limit."""
    memory, step = fits(looks)
    lines = [
        "",
        f"memory {memory.value:+.1f} MiB/hour ({memory.low:+.1f}, {memory.high:+.1f}), limit {limits.memory:g}",
        f"time of a step {step.value:+.2f} %/hour ({step.low:+.2f}, {step.high:+.2f}), limit {limits.step:g}",
    ]
    for name in ("files", "threads"):
        first, last = ends(looks, name)
        lines.append(f"{name} {first:g} -> {last:g}, limit +{getattr(limits, name)}")
    lines[0] = (
        f"\nfrom minute {looks[0].seconds / 60:.1f}, step {looks[0].step}, to step {looks[-1].step}:"
    )
    return "\n".join(
        [*lines, f"compiles {looks[0].compiles} -> {looks[-1].compiles}, limit +{limits.compiles}"]
    )


# --- the run ----------------------------------------------------------------------------------------------------------


class Child:
    """The run, in a process and a folder of its own."""

    def __init__(self, which: str, folder: Path):
        module, ablation, log, others = RUNS[which]
        cadences = [
            f"--log_every={log}",
            *(f"--{what}_every={others}" for what in ("evaluate", "sample", "save")),
        ]
        command = [
            sys.executable,
            "-m",
            module,
            ablation,
            *cadences,
            *COMMON,
            f"--runs={folder / 'runs'}",
        ]
        self.words, self.began = folder / "stderr", time.monotonic()
        self._file = self.words.open("wb")
        env = os.environ | {"JAX_LOG_COMPILES": "1"}
        self.process = subprocess.Popen(
            command, env=env, stdout=self._file, stderr=subprocess.STDOUT
        )
        self._speed = Tail(lambda: next((folder / "runs").glob("*/*/speed.jsonl"), None))
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
        self._compiles += sum(COMPILED in line for line in self._said.lines())
        step, seconds = speeds(self._speed.lines())
        self._step = self._step if step is None else step
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
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._file.close()


def watch(child: Child, minutes: float, row_minutes: float) -> list[Look]:
    """Looks every ten seconds until the time is over or the run has ended; prints a row as soon as it is full."""
    looks, shown, width = [], 0, 60.0 * row_minutes
    print(HEAD, flush=True)
    while (now := time.monotonic() - child.began) < 60.0 * minutes:
        time.sleep(min(EVERY - now % EVERY, max(60.0 * minutes - now, 0.0)))
        look = child.look()
        if look is None:
            break
        if looks and look.seconds // width > looks[shown].seconds // width:
            print(row(looks[shown:], looks[shown - 1] if shown else None), flush=True)
            shown = len(looks)
        looks.append(look)
    if looks:
        print(row(looks[shown:], looks[shown - 1] if shown else None), flush=True)
    return looks


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
    warm = min(ROW, args.minutes / 4) if args.warm is None else args.warm
    with contextlib.ExitStack() as stack:
        child = Child(args.run, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(child.close)
        print(f"python {' '.join(child.process.args[1:])}\n", flush=True)
        looks = watch(child, args.minutes, min(ROW, args.minutes / 4))
        code = child.stop()
        last_words = child.words.read_text(errors="replace").splitlines()[-3:]
    return tell(settled(looks, warm, RUNS[args.run][-1]), code, last_words)


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
