"""Trackers: each point once whatever happens to the run, and nothing that happens to them matters to the run."""

import ast
import contextlib
import dataclasses
import functools
import io
import json
import math
import sys
import threading
import time
import tomllib
import types
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments.vae import EXPERIMENTS
from genjax import cli
from genjax.config import edit, field, from_json
from genjax.errors import Preempted, UserError
from genjax.nets import MLP
from genjax.training import loop, trackers
from genjax.training.log import Log
from genjax.training.trackers import Aside, MLflow, TensorBoard, Tracking, WandB

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Keep:
    """A tracker of a user's own: writes what it is told to a file."""

    path: str = field("", "the file")

    def open(self, about):
        return Keeping(Path(self.path), about)


class Keeping:
    def __init__(self, path, about):
        self.path = path
        told = [about.experiment, about.ablation, about.first_step, about.config["steps"]]
        self.tell("open", *told, about.id, len(about.history))

    def tell(self, *what):
        with self.path.open("a") as file:
            file.write(json.dumps(what) + "\n")

    def scalars(self, step, values):
        self.tell("scalars", step, dict(values))

    def picture(self, name, image, step):
        self.tell("picture", step, name, str(image.dtype), image.ndim)

    def results(self, values):
        self.tell("results", dict(values))

    def close(self, done):
        self.tell("close", done)


@dataclasses.dataclass(frozen=True)
class Numbers:
    """A finding with a plain number, one with an interval, and what is no number."""

    def __call__(self, this):
        values = {
            "a": 1.5,
            "b": {"value": 2, "low": 1.0},
            "c": [1, 2],
            "d": "text",
            "e": np.nan,
        }
        this.log.result("numbers", values)


SMALL = edit(
    EXPERIMENTS["digits"],
    {
        "algorithm.enc": MLP((4,)),
        "algorithm.dec": MLP((4,)),
        "algorithm.latent": 2,
        "steps": 6,
        "batch": 8,
        "chunk": 1,
        "samples": 4,
        "every.log": 1,
        "every.evaluate": 2,
        "every.sample": 2,
        "every.save": 2,
        "finish": (Numbers(),),
    },
)


def train(runs: Path, **changes) -> Path:
    """Trains SMALL; returns the run directory."""
    exp = edit(SMALL, {"runs": str(runs), **changes})
    return loop.run("vae", exp, "base").log.directory


def lines(path: Path) -> list:
    return [json.loads(line) for line in path.read_text().splitlines()]


def logged(home: Path) -> dict[str, list]:
    """{name: [(step, value)]} of metrics.jsonl and speed.jsonl."""
    found = {}
    for name, above in (("metrics", ""), ("speed", "speed/")):
        for line in lines(home / f"{name}.jsonl"):
            step = line.pop("step")
            for key, value in line.items():
                found.setdefault(above + key, []).append((step, float(value)))
    return found


def shown(home: Path):
    """What TensorBoard shows of a run, by its own reader."""
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    everything = {"scalars": 0, "images": 0}
    reader = event_accumulator.EventAccumulator(str(home / "tensorboard"), everything)
    reader.Reload()
    return reader


def points(home: Path) -> dict[str, list]:
    reader = shown(home)
    return {
        tag: [(event.step, event.value) for event in reader.Scalars(tag)]
        for tag in reader.Tags()["scalars"]
    }


def assert_same_points(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, pairs in expected.items():
        assert [step for step, _ in found[name]] == [step for step, _ in pairs], name
        values = np.float32([value for _, value in pairs])  # event files have float32
        np.testing.assert_array_equal([value for _, value in found[name]], values)


# --- a whole run -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A run without trackers, which nothing disturbed."""
    return train(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def tracked(tmp_path_factory) -> tuple[Path, list]:
    """(directory, what the user's tracker heard) of a run that crashed in step 6, resumed and was looked at."""
    runs = tmp_path_factory.mktemp("tracked")
    told = runs / "told.jsonl"
    track = (TensorBoard(), Keep(str(told)))
    advance = Log.advance

    def crash(self, step):
        advance(self, step)
        if step == 6:
            raise RuntimeError("the machine is on fire")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Log, "advance", crash)
        with pytest.raises(RuntimeError, match="on fire"):
            train(runs, track=track)
    train(runs, track=track)
    home = train(runs, track=track)
    return home, lines(told)


def test_a_run_is_the_same_with_trackers_and_without(plain, tracked):
    home, _ = tracked
    assert home.name == plain.name  # one digest
    assert (home / "metrics.jsonl").read_bytes() == (plain / "metrics.jsonl").read_bytes()
    for name in ("00000002", "00000006"):
        picture = f"samples/{name}.png"
        assert (home / picture).read_bytes() == (plain / picture).read_bytes()
    assert not (plain / "track.json").exists() and not (plain / "tensorboard").exists()


def test_tensorboard_shows_each_line_of_the_logs_once(tracked):
    home, heard = tracked
    expected = logged(home)
    assert {"train/loss", "test/elbo", "speed/examples/s"} <= expected.keys()
    assert_same_points(points(home), expected)
    grids = shown(home).Images("samples/grid")
    assert [event.step for event in grids] == [2, 4, 6]
    assert grids[0].encoded_image_string.startswith(b"\x89PNG") and grids[0].width > 32
    # step 5 was told twice, and measured once: of a first step no speed is; who only looked on wrote no file
    assert sum(what[:2] == ["scalars", 5] for what in heard) == 2 + 1
    assert len(list((home / "tensorboard").iterdir())) == 2


def test_a_tracker_of_ones_own_hears_it_all(tracked):
    home, heard = tracked
    openings = [what[1:] for what in heard if what[0] == "open"]
    mine = json.loads((home / "track.json").read_text())["id"]
    assert mine.startswith(home.name)
    history = len(lines(home / "metrics.jsonl")) + len(lines(home / "speed.jsonl"))
    # (experiment, ablation, first step, steps, id): a resumed run has the same
    assert [opening[:-1] for opening in openings] == [
        ["vae", "base", step, 6, mine] for step in (0, 4, 6)
    ]
    assert openings[0][-1] == 0 and openings[2][-1] == history
    assert [what[1] for what in heard if what[0] == "close"] == [False, True, True]
    assert ["picture", 2, "samples/grid", "uint8", 3] in heard
    numbers = {"results/numbers/a": 1.5, "results/numbers/b": 2.0}
    assert [what for what in heard if what[0] == "results"] == 2 * [["results", numbers]]


def test_a_run_that_starts_from_nothing_is_another_one(tmp_path):
    first = trackers.tracking._identity(tmp_path, 0)
    assert trackers.tracking._identity(tmp_path, 2) == first
    assert trackers.tracking._identity(tmp_path, 0) != first
    (tmp_path / "track.json").write_text("{")  # torn
    assert trackers.tracking._identity(tmp_path, 2) != first


# --- what is not there -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tracker", [TensorBoard(), WandB(), MLflow()])
def test_a_package_that_is_missing_is_told_before_anything_is_written(
    tracker, tmp_path, monkeypatch, capsys
):
    name = type(tracker).__name__
    monkeypatch.setattr(trackers.about.importlib.util, "find_spec", lambda name: None)
    argv = [f"--runs={tmp_path / 'runs'}", f"--track=({name}(),)"]
    with pytest.raises(SystemExit) as end:
        cli.main({"base": SMALL}, functools.partial(loop.run, "vae"), "A test.", argv)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (requirement,) = extras["optional-dependencies"][name.lower()]
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and line.endswith(f'pip install "{requirement}"')
    assert f"--track={name} needs {name.lower()}:" in line
    assert not list(tmp_path.iterdir())


def test_the_tests_have_what_the_extra_asks_for():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (requirement,) = extras["optional-dependencies"]["tensorboard"]
    assert f"\n{requirement} " in (ROOT / "requirements-dev.txt").read_text()


def test_a_folder_of_its_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "nowhere_installed").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="needs nowhere_installed: pip install"):
        trackers.about.installed("X", "nowhere_installed>=1,<2")
    (tmp_path / "nowhere_installed" / "__init__.py").write_text("raise AssertionError")
    trackers.about.importlib.invalidate_caches()
    trackers.about.installed("X", "nowhere_installed>=1,<2")  # found, and not imported


def test_configs_of_before_name_trackers_where_they_were():
    told = '{"__type__": "genjax.training.trackers:WandB", "project": "mine"}'
    assert from_json(told) == WandB("mine")


def test_what_is_no_tracker_is_refused():
    with pytest.raises(UserError, match="--track: Numbers is no tracker"):
        trackers.check((Numbers(),))


def test_no_library_is_imported_before_it_is_used():
    named = set()
    for path in Path(trackers.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                named |= {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                named.add(node.module.split(".")[0])
    assert "numpy" in named and not named & {"tensorboard", "wandb", "mlflow", "PIL"}


# --- what fails ------------------------------------------------------------------------------------------------------


@pytest.fixture
def begin(tmp_path):
    """begin(*trackers, step=0) -> (log, tracking) of a run in tmp_path/run that has got to `step`."""

    def opened(*track, step=0):
        log = Log(tmp_path / "run", 100, 8, step, stream=io.StringIO())
        run = SimpleNamespace(exp=SMALL, log=log, state=SimpleNamespace(step=step))
        tracking = Tracking(track)
        tracking.open(run, "vae", "base")
        return log, tracking

    return opened


@dataclasses.dataclass(frozen=True)
class Fails:
    """A tracker that raises where it is told to."""

    where: str = field("", "the method")

    def open(self, about):
        self._maybe("open")
        return SimpleNamespace(
            scalars=lambda step, values: self._maybe("scalars"),
            picture=lambda name, image, step: self._maybe("picture"),
            close=lambda done: self._maybe("close"),
        )

    def _maybe(self, here):
        if here == self.where:
            raise ConnectionError("no route\nto host")


@pytest.mark.parametrize("where", ["open", "scalars", "picture", "close", "nowhere"])
def test_a_tracker_that_fails_is_switched_off_with_one_note(begin, tmp_path, where):
    told = tmp_path / "told.jsonl"
    log, tracking = begin(Fails(where), Keep(str(told)))
    with tracking:
        for step in (1, 2):
            log.scalars(step, {"loss": 1.0}, "test")
            log.picture(f"{step}", np.zeros((2, 2, 1), np.uint8), step)
            log.result("best", {"loss": 1.0})  # which it has no method for
    notes = [line for line in log.stream.getvalue().splitlines() if "switched off" in line]
    expected = "Fails is switched off, the run goes on (ConnectionError: no route to host)"
    assert notes == ([] if where == "nowhere" else [expected])
    kinds = [what[0] for what in lines(told)]  # the other tracker has not noticed
    assert kinds == ["open", *2 * ["scalars", "picture", "results"], "close"]
    assert len(lines(log.directory / "metrics.jsonl")) == 2


def test_only_the_first_process_tracks(begin, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    log, tracking = begin(Keep(str(tmp_path / "told.jsonl")))
    with tracking:
        log.scalars(1, {"loss": 1.0})
    assert not (tmp_path / "told.jsonl").exists() and not (tmp_path / "run").exists()


@pytest.fixture
def stuck(monkeypatch):
    """(a tracker that hangs until it is let go, what lets it go)."""
    monkeypatch.setattr(trackers.aside, "BEHIND", 5)
    monkeypatch.setattr(trackers.aside, "WAIT", 0.05)
    free = threading.Event()

    def hang(*_):
        free.wait(10)

    still = SimpleNamespace(scalars=hang, close=hang)
    yield SimpleNamespace(open=lambda about: Aside(lambda: still)), free
    free.set()


def test_training_does_not_wait_for_a_tracker_that_hangs(begin, stuck):
    tracker, _ = stuck
    start = time.monotonic()
    log, tracking = begin(tracker)
    with tracking:
        log.scalars(1, {"loss": 1.0}, "test")
    assert time.monotonic() - start < 5  # and not the 10 s that it hangs
    assert "TimeoutError: not all was told" in log.stream.getvalue()
    log, tracking = begin(tracker)
    with tracking:
        for step in range(1, 20):
            log.scalars(step, {"loss": 1.0}, "test")
    assert log.stream.getvalue().count("TimeoutError: it is 5 calls behind") == 1


def test_what_goes_wrong_aside_is_told(begin):
    def start():
        raise PermissionError("not logged in")

    log, tracking = begin(SimpleNamespace(open=lambda about: Aside(start)))
    with tracking:
        pass
    assert "(PermissionError: not logged in)" in log.stream.getvalue()


def test_what_is_told_aside_keeps_its_order(begin, tmp_path):
    keep = Keep(str(tmp_path / "told.jsonl"))
    tracker = SimpleNamespace(open=lambda about: Aside(lambda: keep.open(about)))
    log, tracking = begin(tracker)
    with tracking:
        for step in range(1, 30):
            log.scalars(step, {"loss": 1 / step}, "test")
    told = [what[1] for what in lines(tmp_path / "told.jsonl") if what[0] == "scalars"]
    assert told == list(range(1, 30)) and "switched off" not in log.stream.getvalue()


# --- TensorBoard -----------------------------------------------------------------------------------------------------


@pytest.fixture
def tensorboard():
    return pytest.importorskip("tensorboard")


def test_what_a_killed_process_wrote_too_much_is_not_shown(tensorboard, begin, tmp_path):
    log, _ = begin(TensorBoard())
    for step in range(1, 8):
        log.scalars(step, {"loss": float(step)}, "test")
    # killed: never closed, its last record torn; the next process starts in the same second
    (file,) = (tmp_path / "run" / "tensorboard").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    log, tracking = begin(TensorBoard(), step=4)
    with tracking:
        for step in range(5, 7):
            log.scalars(step, {"loss": 10.0 * step}, "test")
    expected = [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 50.0), (6, 60.0)]
    assert points(tmp_path / "run") == {"test/loss": expected}


def test_tensorboard_of_a_run_that_was_begun_without_it(tensorboard, begin, tmp_path):
    log, _ = begin()
    for step in range(1, 5):
        log.advance(step)
        log.scalars(step, {"loss": step / 3})
    for step in (4, 6):
        log, tracking = begin(TensorBoard(), step=step)
        with tracking:
            for later in (step + 1, step + 2):
                log.scalars(later, {"loss": later / 3})
    assert_same_points(points(tmp_path / "run"), logged(tmp_path / "run"))


def test_tensorboard_has_what_is_not_finite(tensorboard, begin, tmp_path):
    log, tracking = begin(TensorBoard())
    with tracking:
        log.scalars(1, {"a": np.nan, "b": np.inf, "c": -np.inf}, "test")
        log.picture("00000001", np.full((4, 6, 1), 128, np.uint8), 1)
    found = {name: pairs[0][1] for name, pairs in points(tmp_path / "run").items()}
    assert math.isnan(found["test/a"]) and found["test/b"] == -found["test/c"] == math.inf
    (grid,) = shown(tmp_path / "run").Images("samples/grid")
    assert (grid.height, grid.width) == (4, 6)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's disk that is full")
def test_a_full_disk_switches_tensorboard_off(tensorboard, begin, tmp_path):
    from tensorboard.summary.writer.record_writer import RecordWriter

    log, tracking = begin(TensorBoard())
    ((_, opened),) = tracking._opened
    with open("/dev/full", "wb", buffering=0) as full:
        opened._records = RecordWriter(full)
        log.scalars(1, {"loss": 1.0}, "test")
        log.scalars(2, {"loss": 1.0}, "test")
    assert log.stream.getvalue().count("TensorBoard is switched off") == 1
    assert "No space left" in log.stream.getvalue()


# --- Weights & Biases ------------------------------------------------------------------------------------------------


class Served:
    """As much of the package `wandb` as is used: values of a step are one row, kept when the next one comes."""

    def __init__(self, offline: bool):
        self.offline = offline
        self.kept: list[tuple[str, int, dict]] = []  # (id, step, row)
        self.open: tuple[str, int, dict] | None = None
        self.ids, self.codes = [], []
        self.module = types.ModuleType("wandb")
        self.module.setup = lambda settings: None
        self.module.Settings = lambda **_: None
        self.module.Image = lambda image: image.shape
        self.module.init = self.init

    def init(self, id, resume, dir, **_):
        assert resume == "allow"
        (Path(dir) / "wandb").mkdir(exist_ok=True)
        self.ids.append(id)
        self.open = None  # what a killed process had not kept is lost
        mine = [step for which, step, _ in self.kept if which == id]
        step = 0 if self.offline else max(mine, default=-1) + 1
        run = SimpleNamespace(id=id, url="https://w", offline=self.offline, summary={})
        run.starting_step = step
        run.log = lambda values, step: self.log(id, step, values)
        run.finish = self.finish
        return run

    def log(self, id, step, values):
        if self.open is None or self.open[1] != step:
            self.keep()
            self.open = (id, step, {})
        row = self.open[2]
        assert not row.keys() & values.keys(), "told twice"
        row.update(values)

    def keep(self):
        if self.open is not None:
            self.kept.append(self.open)

    def finish(self, exit_code):
        self.keep()
        self.codes.append(exit_code)


@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize("offline", [True, False])
def test_wandb_resumes_and_is_told_each_row_once(begin, monkeypatch, offline, killed):
    served = Served(offline)
    monkeypatch.setitem(sys.modules, "wandb", served.module)

    def tell(log, first, last):
        for step in range(first + 1, last + 1):
            if step == 6:  # a picture alone
                log.picture("00000006", np.zeros((2, 2, 1), np.uint8), step)
            else:
                log.scalars(step, {"loss": 1 / step}, "train")
                log.scalars(step, {"loss": 1 / step}, "test")

    log, tracking = begin(WandB())
    with contextlib.suppress(Preempted), contextlib.ExitStack() as stack:
        if not killed:  # else it is never closed
            stack.enter_context(tracking)
        tell(log, 0, 7)
        raise Preempted
    ((_, aside),) = tracking._opened or [(None, None)]
    while killed and not aside._calls.empty():
        time.sleep(0.01)
    for first, last in ((4, 10), (0, 2)):
        log, tracking = begin(WandB(), step=first)
        with tracking:
            tell(log, first, last)
    assert served.codes == [0, 0] if killed else [1, 0, 0]
    one, again, other = served.ids  # a run that starts from nothing is another one
    assert one == again != other
    assert [step for id, step, _ in served.kept if id == one] == list(range(1, 11))
    for _, _, row in served.kept:
        assert {"train/loss", "test/loss"} <= row.keys() or row == {"samples/grid": (2, 2)}
    assert ("W&B https://w" in log.stream.getvalue()) == (not offline)


def test_wandb_itself_offline(begin, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    for first in (0, 3):
        log, tracking = begin(WandB(mode="offline"), step=first)
        with tracking:
            for step in range(first + 1, first + 5):
                log.scalars(step, {"loss": np.nan}, "test")
            log.result("test", {"elbo": 1.0})
    assert "switched off" not in log.stream.getvalue()
    told = json.loads((tmp_path / "run" / "wandb" / "told.json").read_text())
    assert told["step"] == 7
    found = list((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(found) == 2 and {path.stem for path in found} == {f"run-{told['id']}"}


# --- MLflow ----------------------------------------------------------------------------------------------------------


def test_mlflow_itself_finds_its_run_again(begin, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for first in (0, 3):
        log, tracking = begin(MLflow(uri), step=first)
        with tracking:
            for step in range(first + 1, first + 5):
                log.scalars(step, {"loss": 1 / step, "odd (name)": np.nan}, "test")
                log.picture(f"{step:08d}", np.zeros((2, 2, 1), np.uint8), step)
            log.result("test", {"elbo": 1.0})
    assert "switched off" not in log.stream.getvalue()
    client = mlflow.MlflowClient(uri)
    home = client.get_experiment_by_name("vae")
    (run,) = client.search_runs([home.experiment_id])
    assert run.info.status == "FINISHED" and run.data.params["steps"] == "6"
    history = functools.partial(client.get_metric_history, run.info.run_id)
    told = sorted((point.step, point.value) for point in history("test/loss"))
    assert told == [(step, 1 / step) for step in range(1, 8)]
    assert len(history("test/odd _name_")) == 7 and len(history("results/test/elbo")) == 1
    drawn = client.list_artifacts(run.info.run_id, "images")
    assert len([file for file in drawn if file.path.endswith(".png")]) == 7
    assert not list((tmp_path / "here").iterdir())  # pictures are beside the database
