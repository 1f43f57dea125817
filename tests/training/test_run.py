"""The training loop as a user meets it: killed, preempted, poisoned or repeated, a run ends in the same bits."""

import dataclasses
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from genjax import cli
from genjax.config import edit, field
from genjax.core import Algorithm, Spec, averaged, example_normal, single
from genjax.data import Toy
from genjax.ema import Decay
from genjax.optim import Adam
from genjax.training import loop as train
from genjax.training.checkpoint import Checkpoints
from genjax.training.experiment import Every, Experiment
from genjax.training.log import Log

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Walk:
    """The smallest algorithm: a point that walks to the mean of noisy data; its loss is NaN in some steps."""

    rate: float = field(0.1, "of learning")
    nan: tuple[int, int] = field((0, 0), "the loss is NaN from this step up to that one")

    def __call__(self, spec: Spec) -> Algorithm:
        def loss(params, key, batch, step):
            x = batch["point"] + 0.1 * example_normal(key, batch["index"], spec.shape)
            poison = jnp.where((step >= self.nan[0]) & (step < self.nan[1]), jnp.nan, 1.0)
            return {
                "loss": poison * jnp.sum(jnp.square(x - params["net"]["centre"]), -1),
                "first": x[:, 0],
            }

        def evaluate(key, state, batch):
            return {"first": batch["point"][:, 0], "index": batch["index"].astype(jnp.float32)}

        def sample(key, state, given):
            return averaged(state)["net"]["centre"] + example_normal(
                key, given["index"], spec.shape
            )

        def init_params(key, batch):
            return {"net": {"centre": jax.random.normal(key, spec.shape)}}

        init, step = single(init_params, loss, Adam(self.rate)(spec.steps), ema=Decay(0.9))
        return Algorithm(init, step, evaluate, sample)


@dataclasses.dataclass(frozen=True)
class Count:
    """After training: how often this was called, and with which state."""

    def __call__(self, this: train.Run) -> None:
        calls = (this.log.result("count") or {"calls": 0})["calls"]
        this.log.result("count", {"calls": calls + 1, "step": this.state.step})


BASE = Experiment(
    data=Toy(train=64, test=24),
    algorithm=Walk(),
    steps=20,
    batch=16,
    every=Every(log=5, evaluate=10, sample=0, save=8),
)


def command(runs, *flags, **changes) -> int:
    """Runs BASE, changed, through the command line; returns the exit code."""
    exp = edit(BASE, {"runs": str(runs), **changes})
    with pytest.raises(SystemExit) as end:
        cli.main({"base": exp}, functools.partial(train.run, "walk"), "A test.", flags)
    return end.value.code


def only(runs) -> Path:
    """The one run directory."""
    (directory,) = Path(runs).glob("*/*")
    return directory


def steps_saved(directory: Path) -> list[int]:
    return sorted(
        int(path.name) for path in (directory / "checkpoints").iterdir() if path.name.isdigit()
    )


def state(directory: Path, step: int) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint, by path, read by Orbax itself."""
    with ocp.StandardCheckpointer() as reader:
        tree = reader.restore((directory / "checkpoints" / str(step) / "state").absolute())
    return {
        jax.tree_util.keystr(path): np.asarray(x)
        for path, x in jax.tree_util.tree_leaves_with_path(tree)
    }


def same_bits(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(
        (a[k].dtype, a[k].tobytes()) == (b[k].dtype, b[k].tobytes()) for k in a
    )


def assert_same_end(a: Path, b: Path, step: int) -> None:
    """Parameters, optimiser and averages at the end, and every metric on the way, to the bit."""
    assert steps_saved(a)[-1] == steps_saved(b)[-1] == step
    one, other = state(a, step), state(b, step)
    assert {path.split("'")[1] for path in one} >= {"params", "opt", "ema", "step"}
    assert same_bits(one, other)
    assert (a / "metrics.jsonl").read_bytes() == (b / "metrics.jsonl").read_bytes()


def metrics(directory: Path, split: str = "train") -> dict[int, dict[str, float]]:
    """{step: {name: value}} of one split."""
    lines = [
        json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()
    ]
    found = {
        line["step"]: {
            k.split("/")[1]: float(v) for k, v in line.items() if k.startswith(split)
        }
        for line in lines
        if any(k.startswith(split) for k in line)
    }
    return found


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """straight(**changes) -> the directory of a run that nothing disturbed."""

    @functools.cache
    def directory(**changes):
        runs = tmp_path_factory.mktemp("straight")
        assert command(runs, **changes) == 0
        return only(runs)

    return directory


def at_step(monkeypatch, step, act):
    """Calls act() in the loop, after `step` was dispatched and before it is logged."""
    advance = Log.advance

    def hooked(self, now):
        advance(self, now)
        if now == step:
            act()

    monkeypatch.setattr(Log, "advance", hooked)


def interrupt(number, times=1):
    def act():
        for _ in range(times):
            signal.raise_signal(number)

    return act


def crash():
    raise OSError("the machine is on fire")


CHUNKED = {"chunk": 5, "resident": True, "every.save": 10}


@pytest.mark.parametrize(
    ("act", "code", "step", "resumes", "changes"),
    [
        (
            interrupt(signal.SIGTERM),
            75,
            11,
            12,
            {},
        ),  # neither is a multiple of every.log or every.save
        (interrupt(signal.SIGTERM), 75, 2, 3, {}),  # before the first save
        (interrupt(signal.SIGINT), 75, 11, 12, {}),
        (
            interrupt(signal.SIGINT, times=2),
            130,
            11,
            8,
            {},
        ),  # at once, so back to the last save
        (interrupt(signal.SIGTERM), 75, 5, 10, CHUNKED),
        (crash, None, 11, 8, {}),
        (crash, None, 2, 0, {}),
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(
    straight, tmp_path, monkeypatch, capsys, act, code, step, resumes, changes
):
    with monkeypatch.context() as patch:
        at_step(patch, step, act)
        if code is None:
            with pytest.raises(OSError, match="on fire"):
                command(tmp_path, **changes)
        else:
            assert command(tmp_path, **changes) == code
    err = capsys.readouterr().err
    if code == 75:
        assert err.endswith(
            f"preempted: stopped and saved at step {resumes}: run the same command again to go on.\n"
        )
    assert (steps_saved(only(tmp_path)) or [0])[-1] == resumes
    assert command(tmp_path, **changes) == 0
    assert (f"resumed at step {resumes}\n" in capsys.readouterr().err) == (resumes > 0)
    assert_same_end(straight(**changes), only(tmp_path), 20)


def test_an_error_in_the_thread_that_makes_batches_stops_the_run_where_it_happened(
    straight, tmp_path, monkeypatch
):
    batches = train.train_batches

    def failing(source, seed, first, *rest):
        for step, batch in enumerate(batches(source, seed, first, *rest), first):
            if step == 10:
                crash()
            yield batch

    with monkeypatch.context() as patch, pytest.raises(OSError, match="on fire"):
        patch.setattr(train, "train_batches", failing)
        command(tmp_path)
    assert steps_saved(only(tmp_path)) == [8]
    assert command(tmp_path) == 0
    assert_same_end(straight(), only(tmp_path), 20)


def test_the_signal_handlers_of_the_caller_come_back(tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    at_step(monkeypatch, 1, interrupt(signal.SIGTERM))
    assert command(tmp_path) == 75
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ([], ["--layout=Mesh()"]),
        ([], ["--layout=Pmap()"]),
        ([], ["--layout=Mesh(data=2,fsdp=2,min_shard=1)"]),
        (["--layout=Mesh(data=2,fsdp=2,min_shard=1)"], []),  # from four devices to one
        (
            [],
            ["--chunk=5", "--every.save=10", "--layout=Mesh()", "--resident=true"],
        ),  # 12 is no multiple of the chunk
    ],
)
def test_a_run_moves_to_another_layout_in_its_directory(
    straight, tmp_path, monkeypatch, capsys, first, then
):
    with monkeypatch.context() as patch:
        at_step(patch, 11, interrupt(signal.SIGTERM))
        assert command(tmp_path, *first) == 75
    assert command(tmp_path, *then) == 0
    assert "resumed at step 12\n" in capsys.readouterr().err
    one, other = (
        state(straight(), 20),
        state(only(tmp_path), 20),
    )  # `only`: there is still one directory
    for path in one:
        np.testing.assert_allclose(one[path], other[path], rtol=1e-5, atol=1e-6)
    a, b = metrics(straight()), metrics(only(tmp_path))
    assert a.keys() == b.keys()
    for step in a:
        assert a[step] == pytest.approx(b[step], rel=1e-5)


def test_a_complete_run_trains_nothing_when_it_is_run_again(tmp_path, monkeypatch, capsys):
    assert command(tmp_path, finish=(Count(),)) == 0
    directory = only(tmp_path)
    files = {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}
    monkeypatch.setattr(Log, "advance", lambda *_: pytest.fail("a step was taken"))
    assert command(tmp_path, finish=(Count(),)) == 0
    assert "resumed at step 20\n" in capsys.readouterr().err
    assert Log(directory, 20, 16, 20).result("count") == {
        "calls": 2,
        "step": 20,
    }  # what is measured is measured again
    changed = {path.name for path, when in files.items() if path.stat().st_mtime_ns != when}
    assert changed <= {"results.json", "config.json", "report.html"}


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_a_corrupt_newest_checkpoint_is_said_and_costs_only_its_steps(
    straight, tmp_path, capsys
):
    directory = tmp_path / "walk" / straight().name
    shutil.copytree(straight(), directory)
    flip(
        max(
            (directory / "checkpoints/20/state").rglob("*"),
            key=lambda path: path.is_file() * path.stat().st_size,
        )
    )
    assert command(tmp_path) == 0
    err = capsys.readouterr().err
    assert (
        err.startswith("warning: corrupt checkpoint (step 20: ")
        and "going on from step 16\n" in err
    )
    assert "resumed at step 16\n" in err
    assert_same_end(straight(), directory, 20)


# What is measured on the way


@pytest.mark.parametrize(("valid", "split"), [(0, "test"), (7, "valid")])
def test_evaluation_is_on_held_out_data_at_its_steps(tmp_path, valid, split):
    exp = {"data.valid": valid, "every.evaluate": 8, "evaluate_batch": 5, "every.log": 6}
    assert command(tmp_path, **exp) == 0
    held_out = getattr(Toy(train=64, test=24, valid=valid).load(), split)["point"]
    found = metrics(only(tmp_path), split)
    assert list(found) == [8, 16, 20]  # every 8 steps and at the end
    for values in found.values():
        assert (
            values["index"] == np.arange(len(held_out)).mean()
        )  # each example once, in its order
        assert values["first"] == pytest.approx(held_out[:, 0].mean(dtype=np.float64), abs=1e-7)
    assert list(metrics(only(tmp_path))) == [6, 12, 18, 20]
    order = [
        json.loads(line)["step"]
        for line in (only(tmp_path) / "metrics.jsonl").read_text().splitlines()
    ]
    assert order == sorted(order)


def test_sample_grids_are_drawn_at_their_steps_from_the_same_noise(tmp_path, monkeypatch):
    monkeypatch.setattr(
        train.Run, "sample", functools.partialmethod(spy, train.Run.sample, seen := [])
    )
    assert command(tmp_path, **{"every.sample": 8}, samples=9, **{"every.evaluate": 0}) == 0
    assert sorted(path.name for path in (only(tmp_path) / "samples").iterdir()) == [
        "00000008.png",
        "00000016.png",
        "00000020.png",
    ]
    noise = [x - centre for x, centre in seen]
    assert all(x.shape == (9, 2) for x in noise)
    np.testing.assert_allclose(noise[0], noise[1], atol=1e-6)
    assert not metrics(only(tmp_path), "test")


def spy(run, sample, seen, n):
    x = sample(run, n)
    seen.append((x, np.asarray(averaged(run.state)["net"]["centre"])))
    return x


# NaN


class Recorder:
    """Keeps every state that it is asked to save."""

    def __init__(self):
        self.states = {}

    def save(self, step, state, meta):
        self.states[step] = {
            jax.tree_util.keystr(path): np.array(x)
            for path, x in jax.tree_util.tree_leaves_with_path(state)
        }

    def wait(self):
        pass


def record(tmp_path, **changes) -> dict[int, dict[str, np.ndarray]]:
    """The state after every step of a run, as far as it came."""
    exp, recorder = edit(BASE, {"runs": str(tmp_path), "every.save": 1, **changes}), Recorder()
    run, checkpoints = train.start(exp, "walk", "base")
    checkpoints.close()
    try:
        train.train(run, recorder)
    except train.UserError as error:
        recorder.error = error
    return recorder.states


@pytest.mark.parametrize("chunk", [1, 5])
def test_steps_with_nan_change_nothing_and_are_counted(tmp_path, chunk):
    nan = {"algorithm.nan": (7, 10)}
    states = record(tmp_path / "each", **{"every.log": 1}, **nan)
    for step in (8, 9, 10):
        assert int(states[step][".step"]) == step
        assert same_bits({**states[step], ".step": states[7][".step"]}, states[7])
    assert not same_bits({**states[11], ".step": states[7][".step"]}, states[7])
    assert all(np.isfinite(x).all() for x in states[20].values())
    assert command(tmp_path / "window", chunk=chunk, **{"every.save": 10}, **nan) == 0
    each, window = metrics(only(tmp_path / "each")), metrics(only(tmp_path / "window"))
    assert [step for step in each if each[step]["skipped"]] == [8, 9, 10]
    assert set(each[9]) == {"skipped"}  # there is no loss to tell of
    assert {step: line["skipped"] for step, line in window.items()} == {
        5: 0,
        10: 3,
        15: 0,
        20: 0,
    }
    assert window[10]["loss"] == pytest.approx(
        (each[6]["loss"] + each[7]["loss"]) / 2, rel=1e-5
    )
    assert window[15]["loss"] == pytest.approx(
        np.mean([each[i]["loss"] for i in range(11, 16)]), rel=1e-5
    )


POISONED = {"algorithm.nan": (7, 60), "steps": 60}


def test_twenty_steps_with_nan_in_a_row_stop_the_run_with_a_good_checkpoint(tmp_path, capsys):
    good = record(tmp_path / "recorded", **POISONED)[7]
    for _ in range(2):  # run again, it stops again and harms nothing
        assert command(tmp_path / "run", **POISONED) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert (
            line.startswith("error: the loss or a gradient was not finite in 20 steps in a row")
            and "lr" in line
        )
    exp = edit(BASE, {"runs": str(tmp_path / "run"), **POISONED})
    run, checkpoints = train.start(exp, "walk", "base")
    checkpoints.close()
    kept = {
        jax.tree_util.keystr(path): np.array(x)
        for path, x in jax.tree_util.tree_leaves_with_path(run.state)
    }
    assert int(run.state.step) == 24 and same_bits({**kept, ".step": good[".step"]}, good)


def test_nineteen_in_a_row_are_survived(tmp_path):
    assert command(tmp_path, steps=30, **{"algorithm.nan": (7, 26)}) == 0
    assert sum(line["skipped"] for line in metrics(only(tmp_path)).values()) == 19


def test_the_count_of_skipped_steps_survives_a_restart(straight, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        at_step(patch, 13, interrupt(signal.SIGTERM))
        assert command(tmp_path / "halved", **{"every.log": 1}, **POISONED) == 75
    assert command(tmp_path / "halved", **{"every.log": 1}, **POISONED) == 2
    assert command(tmp_path / "straight", **{"every.log": 1}, **POISONED) == 2
    halved, whole = (only(tmp_path / name) for name in ("halved", "straight"))
    assert (
        list(metrics(halved))[-1] == 26
    )  # the 20th in a row is step 27, which tells of nothing more
    assert (halved / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_a_failed_save_ends_the_run_with_its_reason(tmp_path, monkeypatch, capsys):
    save = Checkpoints.save

    def full(self, step, *args):
        if step == 16:
            raise train.UserError(
                "disk full while saving step 16: free some space and run the same command again"
            )
        save(self, step, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", full)
        assert command(tmp_path) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .startswith("error: disk full while saving step 16")
    )
    assert steps_saved(only(tmp_path)) == [8]
    assert command(tmp_path) == 0


# Processes that are really killed

TINY = [
    "digits",
    "--steps=60",
    "--batch=50",
    "--chunk=1",
    "--every.log=7",
    "--every.evaluate=20",
    "--every.sample=30",
    "--every.save=4",
    "--algorithm.enc=GatedMLP((16,))",
    "--algorithm.dec=GatedMLP((16,))",
    "--algorithm.latent=4",
    "--algorithm.ema.decay=0.99",
    "--algorithm.warmup=10",
    "--algorithm.optimiser.warmup=5",
    "--finish.VaeBounds.by.samples=20",
    "--finish.VaeBounds.by.chunk=10",
]


class Process:
    """`python -m experiments.vae` with the flags above; its stderr goes to a file."""

    def __init__(self, runs: Path):
        self.runs, self.told = runs, runs.with_suffix(".err")
        env = os.environ | {"JAX_PLATFORMS": "cpu"}
        with self.told.open("w") as told:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "experiments.vae", *TINY, f"--runs={runs}"],
                cwd=ROOT,
                env=env,
                stderr=told,
            )

    def saved(self) -> int:
        """The newest whole checkpoint."""
        return max(
            [
                0,
                *(
                    step
                    for path in self.runs.glob("*/*/checkpoints")
                    for step in steps_saved(path.parent)
                ),
            ]
        )

    def saving(self) -> bool:
        """Whether a checkpoint is being written, or was when the process died."""
        return any(self.runs.glob("*/*/checkpoints/*.orbax-checkpoint-tmp*"))

    def until_saved(self, after: int, saving: bool, seconds: float = 240) -> None:
        """Waits for a checkpoint newer than `after`, and on request for the next one to be in progress."""
        deadline = time.monotonic() + seconds
        while self.saved() <= after or (saving and not self.saving()):
            assert self.popen.poll() is None, f"ended too early:\n{self.told.read_text()}"
            assert time.monotonic() < deadline, self.told.read_text()
            time.sleep(0.001)

    def end(self, number: int | None = None) -> int:
        """Sends a signal, if any; returns the exit code."""
        if number is not None:
            self.popen.send_signal(number)
        return self.popen.wait(240)


@pytest.mark.all
@pytest.mark.slow
def test_processes_that_are_killed_in_a_save_and_preempted_end_in_the_same_bits(tmp_path):
    whole, torn, last = Process(tmp_path / "whole"), False, 0
    for _ in range(4):  # a kill may come just after the save
        process = Process(tmp_path / "killed")
        process.until_saved(last, saving=True)
        assert process.end(signal.SIGKILL) == -signal.SIGKILL
        last = process.saved()
        if torn := process.saving():
            break
    assert torn, "no kill came in the middle of a save"

    process = Process(tmp_path / "killed")
    process.until_saved(last, saving=False)
    assert process.end(signal.SIGTERM) == 75
    step = int(
        re.search(r"preempted: stopped and saved at step (\d+)", process.told.read_text())[1]
    )
    assert (
        f"resumed at step {last}\n" in process.told.read_text()
        and last < step == process.saved() < 60
    )
    assert not process.saving()

    process = Process(tmp_path / "killed")
    assert process.end() == 0, process.told.read_text()
    assert f"resumed at step {step}\n" in process.told.read_text()
    assert whole.end() == 0, whole.told.read_text()

    a, b = only(whole.runs), only(process.runs)
    assert_same_end(a, b, 60)
    assert list(metrics(a)) == [*range(7, 60, 7), 60] and list(metrics(a, "test")) == [
        20,
        40,
        60,
    ]
    pictures = sorted(path.name for path in (a / "samples").iterdir())
    assert pictures[:2] == ["00000030.png", "00000060.png"] and {
        "samples.png",
        "reconstructions.png",
    } < set(pictures)
    for path in a.rglob("*"):
        if path.suffix == ".png" or path.name == "results.json":
            assert path.read_bytes() == (b / path.relative_to(a)).read_bytes(), path
    assert json.loads((a / "results.json").read_text())["iwae20"]["n"] == 360
