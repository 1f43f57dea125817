"""The crash campaign: runs that are injured again and again must end in the same bits as one that was left alone.

    make chaos                                           50 injuries over four families, about 12 minutes on two cores
    python -m tests.chaos --kills 8 --only ae --seed 1   a shorter one

For an autoencoder, a VAE, a GAN and a diffusion model, small nets on scikit-learn's digits read as a folder of images,
it makes one undisturbed run and disturbed ones, each a process that ends through `genjax.cli.main`. A disturbed run is
started until it is done, and its starts suffer, in an order drawn from the seed:

    kill        SIGKILL within a second after the first line of metrics
    term        SIGTERM within that second: exit code 75
    save        SIGKILL while a checkpoint is being written (Orbax's temporary directory is there)
    evaluation  SIGKILL during an evaluation (its training line is written and its own line is not)
    disk        the disk of the run directory is filled: exit code 2 and one line; then it has room again. A small
                tmpfs and a ballast file; where that may not be mounted, a limit on file sizes (RLIMIT_FSIZE, Linux)
    truncate    a file of the newest checkpoint is cut short between two starts: warned of, one checkpoint lost
    flip        one bit of the data cache is turned between two starts: warned of, prepared again

Damage between two starts comes together with the next injury of a start, so that both are mended at once. A start must
resume from the newest whole checkpoint. At its end a run must have exit code 0 and the undisturbed run's parameters,
optimiser, averages, step (in memory and in the last checkpoint) and metrics.jsonl to the bit. A process that hangs is
killed after LIMIT seconds and is a failure, like any other exit code. Steps and evaluations are slowed down by sleeping
so that the injuries fall into training; that changes no result. pytest does not collect this file.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax import cli
from genjax.ae import autoencoder as ae
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import Folder
from genjax.diffusion import named, schedules
from genjax.ema import Decay, Power
from genjax.gan import gan
from genjax.gan.augment import Ada
from genjax.gan.games import NonSaturating
from genjax.gan.penalties import R1
from genjax.machine import platform
from genjax.nets import MLP, GatedMLP, TimeMLP
from genjax.optim import Adam, CosineDecay
from genjax.pictures.draw import save_png
from genjax.training import loop as train
from genjax.training.experiment import Every, Experiment
from genjax.training.log import Log
from genjax.vae import vae

ROOT = Path(__file__).parents[1]
LIMIT = 180.0  # seconds to the first line of metrics, and again to the end
SPAN = 1.0  # seconds in which an injury at a random time falls
STEPS, SAVE, EVALUATE, LINE = 300, 20, 30, 5
STEP_SECONDS, EVALUATION_SECONDS = 0.02, 0.2
DISK_MIB = 64
OFFLINE = ("truncate", "flip")
CODES = {"kill": -9, "term": 75, "save": -9, "evaluation": -9, "disk": 2}
KINDS = (*CODES, *OFFLINE)
USUAL = (
    "run directory ",
    "step ",
    "preparing ",
    "warning: ",
    "report ",
    "done: ",
    "pictures: ",
    "10 classes ",
)  # lines of a run on stderr

TX = Adam(1e-3, warmup=20, decay=CosineDecay())
GAME = Adam(5e-4, b1=0.0, b2=0.99)
HIDDEN = (96, 96)
FAMILIES: dict[str, Any] = {
    "ae": ae.Autoencoder(
        latent=8, enc=MLP(HIDDEN), dec=MLP(HIDDEN), optimiser=TX, ema=Decay(0.99)
    ),
    "vae": vae.VAE(
        latent=8,
        enc=GatedMLP((64, 64)),
        dec=GatedMLP((64, 64)),
        warmup=100,
        condition=(Label(),),
        optimiser=TX,
        ema=Decay(0.99),
    ),
    "gan": gan.GAN(  # steps that take turns, and a state of its own besides parameters: ADA's probability
        latent=16,
        gen=MLP(HIDDEN),
        disc=MLP(HIDDEN),
        game=NonSaturating(),
        penalties=(R1(0.3),),
        every=4,
        condition=(Label(),),
        augment=Ada(geometry=False, rate=0.01),
        optimiser=GAME,
        disc_optimiser=GAME,
        ema=Decay(0.99),
    ),
    "diffusion": edit(
        named.FLOW,
        {
            "net": TimeMLP(HIDDEN, waves=0),
            "std": 0.7,
            "condition": (Label(),),
            "schedule": schedules.Times(steps=6),
            "optimiser": TX,
            "ema": Power((0.1,)),
        },
    ),
}


def experiment(family: str, pictures: Path, runs: Path) -> Experiment:
    """The run of a family on the images in `pictures`."""
    return Experiment(
        data=Folder(str(pictures), size=8, colour=False),
        algorithm=FAMILIES[family],
        steps=STEPS,
        batch=32,
        every=Every(log=LINE, evaluate=EVALUATE, sample=100, save=SAVE),
        samples=16,
        keep=3,
        runs=str(runs),
    )


def place(family: str, scratch: Path, runs: Path) -> Path:
    """The directory of a family's run, whose digest knows what the pictures are."""
    exp = experiment(family, scratch / "pictures", runs)
    return train.directory(exp.resolved(), "chaos", family)


# The child: one start of a run


def child(family: str, runs: Path) -> None:
    """Runs until done or injured; prints the digests of its final state as one line of JSON on stdout; exits."""

    def carry_out(exp, name, origin):
        this = train.run("chaos", exp, name, origin)
        *_, (_, saved) = this.snapshots()
        print(json.dumps({**digests(this.state, "memory."), **digests(saved, "checkpoint.")}))

    slow(Log, "advance", STEP_SECONDS)
    slow(train.Run, "evaluate", EVALUATION_SECONDS)
    exp = experiment(family, platform.cache_root().parent / "pictures", runs)
    cli.main({family: exp}, carry_out, "The crash campaign.", [])


def slow(owner: type, name: str, seconds: float) -> None:
    """Lets a method sleep before it does its work."""
    real = getattr(owner, name)

    @functools.wraps(real)
    def slower(*args, **kwargs):
        time.sleep(seconds)
        return real(*args, **kwargs)

    setattr(owner, name, slower)


def digests(tree: Any, prefix: str = "") -> dict[str, str]:
    """{path: "float32[3, 4] 1f2e…"} of every array of a tree."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        x = np.asarray(leaf)
        name = prefix + jax.tree_util.keystr(path, simple=True, separator=".")
        found[name] = f"{x.dtype}{list(x.shape)} {hashlib.sha256(x.tobytes()).hexdigest()[:16]}"
    return found


# What a run directory shows


def saved(directory: Path) -> list[int]:
    """The steps of the whole checkpoints, in ascending order."""
    return sorted(int(name) for name in listed(directory / "checkpoints") if name.isdigit())


def unfinished(directory: Path) -> bool:
    """Whether a checkpoint is being written, or was when the process died."""
    return any("orbax-checkpoint-tmp" in name for name in listed(directory / "checkpoints"))


def listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def lines(directory: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl."""
    with contextlib.suppress(OSError):
        text = (directory / "metrics.jsonl").read_text()
        return [
            json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")
        ]
    return []


def evaluating(directory: Path) -> bool:
    """Whether an evaluation is due whose training line is written and whose own line is not."""
    last = (lines(directory) or [{"step": 1}])[-1]
    return last["step"] % EVALUATE == 0 and any(name.startswith("train/") for name in last)


def reached(directory: Path) -> int:
    """The last step whose metrics are written."""
    return max((line["step"] for line in lines(directory)), default=0)


# A start, as the campaign sees it


class Hung(Exception):
    """A process that did not do in LIMIT seconds what it should."""


class Start:
    """One process of a run, its output in files."""

    def __init__(self, scratch: Path, family: str, runs: Path):
        self.directory = place(family, scratch, runs)
        self.begun = time.monotonic()
        env = os.environ | {"GENJAX_CACHE": str(scratch / "cache")}
        env.setdefault(
            "JAX_PLATFORMS", "cpu"
        )  # the one platform that gives the same bits without being asked to
        self.out, self.err = (
            scratch / "output" / f"{time.time_ns()}.{name}" for name in ("out", "err")
        )
        self.out.parent.mkdir(exist_ok=True)
        with self.out.open("w") as out, self.err.open("w") as err:
            command = [sys.executable, "-m", "tests.chaos", "child", family, str(runs)]
            self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=err)

    def until(
        self, holds: Callable[[], bool], seconds: float = LIMIT, fails: bool = True
    ) -> bool:
        """Waits until holds() or the process has ended, and returns whether it still runs.

        After `seconds` it goes on too, or raises Hung where it `fails`.
        """
        end = time.monotonic() + seconds
        while self.process.poll() is None and not holds():
            if time.monotonic() > end:
                if fails:
                    raise Hung(f"no sign of life that was waited for in {seconds:.0f} s")
                break
            time.sleep(0.001)
        return self.process.poll() is None

    def rest(self, seconds: float) -> None:
        self.until(lambda: False, seconds, fails=False)

    def training(self) -> bool:
        return re.search(r"^step \d+/", self.err.read_text(), re.MULTILINE) is not None

    def wait(self) -> int:
        self.until(lambda: False)
        return self.process.returncode

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def resumed(self) -> int:
        """The step that this start went on from."""
        found = re.search(r"resumed at step (\d+)", self.err.read_text())
        return int(found[1]) if found else 0


# Injuries of a process


class Disk(NamedTuple):
    """Where disturbed runs are: a small file system of its own, or a plain folder."""

    folder: Path
    mounted: bool

    @contextlib.contextmanager
    def full(self, start: Start, left: int) -> Iterator[None]:
        """No more than `left` bytes can be written."""
        if not self.mounted:
            limit = (
                24_000 + left
            )  # above what metrics.jsonl and stderr hold, below a checkpoint
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(
                    start.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)
                )
            yield  # the limit dies with the process
            return
        ballast = self.folder / "ballast"
        try:
            fill(ballast, left)
            yield
        finally:
            ballast.unlink(missing_ok=True)


def fill(ballast: Path, left: int) -> None:
    """Writes until the disk is full, then gives `left` bytes back."""
    with ballast.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass
        file.truncate(max(file.tell() - left, 0))


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """A tmpfs in `folder`, or the folder itself where mounting is not permitted."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "genjax-chaos", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield Disk(folder, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def kill(start: Start, rng: np.random.Generator, disk: Disk) -> None:
    start.rest(rng.uniform(0, SPAN))
    start.process.kill()


def term(start: Start, rng: np.random.Generator, disk: Disk) -> None:
    start.rest(rng.uniform(0, SPAN))
    start.process.terminate()


def kill_when(shows: Callable[[Path], bool], most: float) -> Callable:
    """Kills within `most` seconds after the directory `shows` something for the first or second time."""

    def injure(start: Start, rng: np.random.Generator, disk: Disk) -> None:
        for _ in range(rng.integers(1, 3)):
            start.until(lambda: not shows(start.directory))
            start.until(lambda: shows(start.directory))
        start.rest(rng.uniform(0, most))
        start.process.kill()

    return injure


def fill_disk(start: Start, rng: np.random.Generator, disk: Disk) -> None:
    start.rest(rng.uniform(0, SPAN))
    with disk.full(start, int(rng.choice([0, 4096, 32_768]))):
        start.wait()


INJURE = {
    "kill": kill,
    "term": term,
    "save": kill_when(unfinished, 0.02),
    "evaluation": kill_when(evaluating, EVALUATION_SECONDS / 2),
    "disk": fill_disk,
}
SHOWS = {
    "save": unfinished,
    "evaluation": evaluating,
}  # what the directory of a dead run must show for a hit


# Injuries between two starts


def truncate(path: Path, rng: np.random.Generator) -> None:
    """Cuts a file to a part of its length."""
    os.truncate(path, int(rng.integers(path.stat().st_size)))


def flip(path: Path, rng: np.random.Generator) -> None:
    """Turns one bit of a file."""
    data = bytearray(path.read_bytes())
    byte, bit = divmod(int(rng.integers(8 * len(data))), 8)
    data[byte] ^= 1 << bit
    path.write_bytes(data)


def largest(folder: Path) -> Path:
    return max(
        (path for path in folder.rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )


def damage(kind: str, scratch: Path, directory: Path, rng: np.random.Generator) -> str | None:
    """Does the damage; returns what the next start must say of it, or None where there is nothing to damage yet."""
    if kind == "flip":
        paths = sorted(
            path for path in (scratch / "cache" / "data").rglob("*") if path.is_file()
        )
        flip(path := paths[rng.integers(len(paths))], rng)
        return f"warning: {path} has changed since it was written: "
    if len(steps := saved(directory)) < 2:
        return None
    truncate(largest(directory / "checkpoints" / str(steps[-1]) / "state"), rng)
    return f"warning: corrupt checkpoint (step {steps[-1]}: "


# The campaign


class Injury(NamedTuple):
    """One that happened: `end` is the exit code, or "warned"; `lost` the steps that had to be taken again."""

    family: str
    kind: str
    end: str
    lost: int


class End(NamedTuple):
    """What must be equal: digests of all arrays, and metrics.jsonl."""

    arrays: dict[str, str]
    metrics: bytes


class Tally:
    """What happened so far."""

    def __init__(self) -> None:
        self.injuries: list[Injury] = []
        self.faults: list[str] = []
        self.starts: collections.Counter[str] = collections.Counter()
        self.verdicts: dict[str, list[str]] = collections.defaultdict(
            list
        )  # of every disturbed run, "" = same bits

    def fault(self, name: str, text: str) -> None:
        self.faults.append(f"{name}: {text}")
        say(f"FAULT {name}: {text}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def deal(
    kinds: Sequence[str], families: Sequence[str], n: int, seed: int
) -> dict[str, list[str]]:
    """n injuries, each kind as often as any other, dealt to the families in turn, each in an order of its own."""
    dealt = {
        family: [kinds[i % len(kinds)] for i in range(n) if i % len(families) == k]
        for k, family in enumerate(families)
    }
    return {
        family: np.random.default_rng([seed, k]).permutation(mine).tolist()
        for k, (family, mine) in enumerate(dealt.items())
    }


def differences(a: End, b: End) -> list[str]:
    """What is not bit-equal: paths of arrays, and the first line of metrics.jsonl."""
    found = [
        path for path in sorted(a.arrays | b.arrays) if a.arrays.get(path) != b.arrays.get(path)
    ]
    if a.metrics != b.metrics:
        pairs = zip(
            [*a.metrics.splitlines(), b""], [*b.metrics.splitlines(), b""], strict=False
        )
        last = len(
            a.metrics.splitlines()
        )  # they differ in the end of the last line, if in none
        found.append(
            f"metrics.jsonl line {next((i for i, (x, y) in enumerate(pairs, 1) if x != y), last)}"
        )
    return found


def ended(start: Start) -> End:
    """The end of a run with exit code 0."""
    arrays = json.loads(start.out.read_text().splitlines()[-1])
    return End(arrays, (start.directory / "metrics.jsonl").read_bytes())


def complaints(text: str, code: int) -> list[str]:
    """What is wrong with the stderr of a start that ended in `code`: one line of error for 2, no traceback ever."""
    found, count = [], text.count("Traceback (most recent call last)")
    if count:
        kinds = collections.Counter(
            re.findall(r"^\w+(?:Error|Exception)\b.*$", text, re.MULTILINE)
        )
        found.append(f"{count} tracebacks on stderr: {'; '.join(kinds)[:200]}")
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    others = [line for line in text.splitlines() if not line.startswith((*USUAL, "error: "))]
    if code == 2 and (len(errors) != 1 or (others and not count)):
        found.append(f"not one line of error but {[*errors, *others][:5]}")
    return found


def undisturbed(scratch: Path, family: str) -> End:
    """The run that nothing happens to."""
    start = Start(scratch, family, scratch / "calm")
    try:
        code = start.wait()
    finally:
        start.stop()
    if code != 0:
        raise SystemExit(
            f"the undisturbed run of {family} ended in {code}: {start.err.read_text()[-2000:]}"
        )
    end = ended(start)
    assert {path.split(".")[1] for path in end.arrays} >= {"params", "opt", "ema", "step"}, (
        "there is nothing to compare"
    )
    say(
        f"{family}: undisturbed run in {time.monotonic() - start.begun:.1f} s, {len(end.arrays) // 2} arrays"
    )
    return end


class Disturbed:
    """One disturbed run: `to_the_end` starts it, with injuries of `todo` that it takes off, until it is done."""

    def __init__(
        self,
        scratch: Path,
        disk: Disk,
        family: str,
        number: int,
        rng: np.random.Generator,
        tally: Tally,
    ):
        self.scratch, self.disk, self.family, self.rng, self.tally = (
            scratch,
            disk,
            family,
            rng,
            tally,
        )
        self.name, self.runs = f"{family}-{number}", disk.folder / f"{family}-{number}"
        self.directory = place(family, scratch, self.runs)
        self.misses = 0

    def to_the_end(self, todo: list[str]) -> Start | None:
        """The start that ended in 0; None after a fault that no further start would mend."""
        for _ in range(10 * len(KINDS)):
            done, start = self.start(todo)
            if done:
                return start
            if start is None:
                return None
        self.tally.fault(self.name, "does not get to its end")
        return None

    def start(self, todo: list[str]) -> tuple[bool, Start | None]:
        """Damage, a start and its injury; (whether the run is done, the start or None after a fault)."""
        newest, hurt = (saved(self.directory) or [0])[-1], self.damaged(todo)
        online = next((kind for kind in todo if kind in CODES), None)
        if (
            online is None and todo
        ):  # what is left is damage, and it needs a run that is not over
            online = "kill"
        expected = saved(self.directory)[-2] if "truncate" in hurt else newest
        start = Start(self.scratch, self.family, self.runs)
        try:
            if online and start.until(start.training):
                if set(todo) == {"truncate"}:  # it waits for a second checkpoint
                    start.until(lambda: len(saved(self.directory)) > 1)
                INJURE[online](start, self.rng, self.disk)
            code = start.wait()
        except Hung as error:
            self.tally.fault(
                self.name, f"hung, {error}; injury {online}; {start.err.read_text()[-500:]}"
            )
            return False, None
        finally:
            start.stop()
            self.tally.starts[self.family] += 1
        return self.judged(start, code, online, hurt, expected, newest, todo)

    def damaged(self, todo: list[str]) -> dict[str, str]:
        """{kind: what the next start must say}: one damage at most, taken off `todo` if it could be done."""
        for kind in [kind for kind in todo if kind in OFFLINE][:2]:
            if sign := damage(kind, self.scratch, self.directory, self.rng):
                todo.remove(kind)
                return {kind: sign}
        return {}

    def judged(
        self, start, code, online, hurt, expected, newest, todo
    ) -> tuple[bool, Start | None]:
        """Books what a start came to."""
        text, whole = start.err.read_text(), (saved(self.directory) or [0])[-1]
        resumed, lost = start.resumed(), max(reached(self.directory) - whole, 0)
        for kind, sign in hurt.items():
            self.tally.injuries.append(
                Injury(
                    self.family,
                    kind,
                    "warned" if sign in text else "unnoticed",
                    newest - resumed,
                )
            )
            if sign not in text:
                self.tally.fault(self.name, f"{kind} went unnoticed: {text[-500:]}")
        over = code == 0 or (code == -signal.SIGTERM and whole == STEPS)
        if not over and online:
            kind = online
            if kind in SHOWS and not SHOWS[kind](self.directory):
                kind, self.misses = (
                    "kill",
                    self.misses + 1,
                )  # it fell beside: a kill like any other
            if online in todo and (kind == online or self.misses > 5):
                todo.remove(online)
            self.tally.injuries.append(Injury(self.family, kind, str(code), lost))
        told = "+".join([*hurt, *[online] * bool(online and not over)]) or "left alone"
        seconds = time.monotonic() - start.begun
        say(
            f"{self.name}: {told}: exit {code}, from step {resumed} to {reached(self.directory)}, {seconds:.1f} s"
        )
        mended = over or code == CODES.get(online)
        wrong = complaints(text, code)
        if not mended:
            wrong.append(f"exit code {code} after {online}: {text[-1000:]}")
        if resumed != expected:
            wrong.append(f"resumed at step {resumed}, and {expected} was there")
        for fault in wrong:
            self.tally.fault(self.name, fault)
        return code == 0, start if mended else None


def campaign(scratch: Path, disk: Disk, dealt: dict[str, list[str]], seed: int) -> Tally:
    """All runs of all families."""
    tally = Tally()
    for family, todo in dealt.items():
        if not todo:
            continue
        calm, rng = (
            undisturbed(scratch, family),
            np.random.default_rng([seed, *family.encode()]),
        )
        todo, number = list(todo), 0
        while todo and number < 20:
            run = Disturbed(scratch, disk, family, number, rng, tally)
            start = run.to_the_end(todo)
            differ = differences(calm, ended(start)) if start else ["it did not end"]
            tally.verdicts[family].append(", ".join(differ[:3]))
            if differ:
                tally.fault(run.name, f"differs: {', '.join(differ[:10])}")
                shutil.copytree(run.runs, scratch / "failed" / run.name)
            shutil.rmtree(run.runs)  # room for the next
            number += 1
        if todo:
            tally.fault(family, f"injuries that never happened: {todo}")
    return tally


def table(tally: Tally, families: Iterable[str]) -> str:
    """Injuries by kind and family, how they ended, what they cost; then the verdict of each family."""
    families = list(families)
    rows = [["injury", *families, "all", "ended in", "steps lost: mean, most"]]
    for kind in KINDS:
        mine = [injury for injury in tally.injuries if injury.kind == kind]
        count = [sum(injury.family == family for injury in mine) for family in families]
        ends = collections.Counter(injury.end for injury in mine)
        lost = [injury.lost for injury in mine]
        told = f"{np.mean(lost):.1f}, {max(lost)}" if lost else ""
        rows.append(
            [
                kind,
                *count,
                len(mine),
                ", ".join(f"{end} x {n}" for end, n in sorted(ends.items())),
                told,
            ]
        )
    each = [sum(injury.family == family for injury in tally.injuries) for family in families]
    lost = [injury.lost for injury in tally.injuries]
    rows.append(
        ["all", *each, sum(each), "", f"{np.mean(lost):.1f}, {max(lost)}" if lost else ""]
    )
    rows.append(
        [
            "starts",
            *(tally.starts[family] for family in families),
            sum(tally.starts.values()),
            "",
            "",
        ]
    )
    runs = [len(tally.verdicts[family]) for family in families]
    rows.append(["runs", *runs, sum(runs), "", ""])
    same = [sum(not verdict for verdict in tally.verdicts[family]) for family in families]
    rows.append(["of them bit-equal", *same, sum(same), "", ""])
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in texts)


def pictures(folder: Path, n: int = 600) -> None:
    """scikit-learn's digits as PNG files, one sub-folder a class."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = np.round(x * 255 / 16).astype(np.uint8).reshape(-1, 8, 8, 1)
    for i in range(n):
        (folder / str(y[i])).mkdir(parents=True, exist_ok=True)
        save_png(folder / str(y[i]) / f"{i:04d}.png", x[i])


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    if argv[:1] == ["child"]:
        child(argv[1], Path(argv[2]))
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="The crash campaign."
    )
    parser.add_argument("--kills", type=int, default=50, help="injuries in all (50)")
    parser.add_argument("--seed", type=int, default=0, help="of their order and times (0)")
    parser.add_argument(
        "--only", nargs="+", choices=FAMILIES, default=list(FAMILIES), help="families (all)"
    )
    options, begun = parser.parse_args(argv), time.monotonic()
    scratch = Path(tempfile.mkdtemp(prefix="genjax-chaos-"))
    pictures(scratch / "pictures")
    with small_disk(scratch / "disk") as disk:
        limited = hasattr(resource, "prlimit")
        means = (
            f"a tmpfs of {DISK_MIB} MiB"
            if disk.mounted
            else "RLIMIT_FSIZE"
            if limited
            else "not to be had here"
        )
        say(f"scratch {scratch}; full disk: {means}")
        kinds = [kind for kind in KINDS if kind != "disk" or disk.mounted or limited]
        dealt = deal(kinds, options.only, options.kills, options.seed)
        tally = campaign(scratch, disk, dealt, options.seed)
    print(table(tally, options.only))
    for fault in tally.faults:
        print(f"fault: {fault}")
    verdict = (
        f"{len(tally.faults)} faults, see {scratch}"
        if tally.faults
        else "every run ended in the same bits"
    )
    print(
        f"{verdict}; {len(tally.injuries)} injuries, full disk by {means}, {time.monotonic() - begun:.0f} s"
    )
    if not tally.faults:
        shutil.rmtree(scratch)
    return bool(tally.faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
