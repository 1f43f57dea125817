"""Where numbers and pictures of a run go besides its directory: TensorBoard, W&B, MLflow, or a class of one's own.

Off by default, see `Experiment.track`. The files of the run directory stay the record: trackers are told of what is in
them, by the same names ("train/loss", "samples/fd_pca64", and "speed/examples/s" of speed.jsonl), and nothing is read
back from a tracker but how far it has been told. So a run that was killed and resumed shows each point once. A tracker
that fails is switched off with one note. Of several processes the first one tracks. Libraries are imported when a
tracker is opened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import io
import json
import os
import queue
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import jax
import numpy as np

from genjax.config import Own, digest, field, to_json
from genjax.errors import UserError
from genjax.machine.files import whole

if TYPE_CHECKING:
    from genjax.training.run import Run

WAIT = 20.0  # seconds that the end of a run waits for a tracker; a preempted machine may give no more
BEHIND = 1000  # calls that a tracker may be late by before it is switched off

Row = tuple[
    int, dict[str, float]
]  # (step, {name: value}), one line of metrics.jsonl or speed.jsonl


class About(NamedTuple):
    """What a tracker is told of the run when it is opened."""

    directory: Path  # of the run
    experiment: str  # "vae"
    ablation: str  # "base"
    digest: str  # of the config
    config: dict[str, Any]  # as in config.json
    id: str  # of this run and no other: kept in the directory, so a resumed run has the same
    first_step: int  # the run goes on after it; 0 = a new run
    history: list[Row]  # what was logged up to the first step, in order
    note: Callable[[str], None]  # prints a line


class Opened(Protocol):
    """A tracker at work. Whatever it raises switches it off. All four are called in the thread that trains."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Values by name; NaN and infinities too. A step may come several times, each time with other names."""

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        """A grid of samples, uint8 [H, W, C]."""

    def results(self, values: Mapping[str, float]) -> None:
        """Numbers of results.json, "results/<entry>/<name>"; again where they are measured again. May be left out."""

    def close(self, done: bool) -> None:
        """The end; done: the run came to its own end and was not stopped."""


@dataclasses.dataclass(frozen=True)
class TensorBoard:
    """Event files in <run>/tensorboard: `tensorboard --logdir runs`. It has curves and pictures, no results."""

    def check(self) -> None:
        """Raises UserError where the package is not installed."""
        _installed("TensorBoard", "tensorboard>=2.20,<3")

    def open(self, about: About) -> Opened:
        """Opens an event file of its own; on a local disk, so in the thread that trains."""
        return _Events(about)


@dataclasses.dataclass(frozen=True)
class WandB:
    """A run of Weights & Biases, whose id is `About.id`; its files are in <run>/wandb."""

    project: str = field("genjax", "project")
    entity: str | None = field(None, "user or team; None = yours")
    mode: Literal["online", "offline"] | None = field(
        None, "offline: `wandb sync` sends it later; None = as WANDB_MODE says"
    )

    def check(self) -> None:
        """Raises UserError where the package is not installed."""
        _installed("WandB", "wandb>=0.28.2,<1")

    def open(self, about: About) -> Opened:
        """Starts or resumes the run of W&B, aside from training."""
        return Aside(functools.partial(_WandBRun, self, about))


@dataclasses.dataclass(frozen=True)
class MLflow:
    """A run of MLflow, found again by its tag genjax.run."""

    uri: str = field("", "http(s)://…, sqlite:///…; '' = MLFLOW_TRACKING_URI or MLflow's own")
    experiment: str = field("", "its experiment in MLflow; '' = the name of ours")

    def check(self) -> None:
        """Raises UserError where the package is not installed."""
        _installed("MLflow", "mlflow>=3.17,<4")

    def open(self, about: About) -> Opened:
        """Starts or finds the run of MLflow, aside from training."""
        return Aside(functools.partial(_MLflowRun, self, about))


# any config with open(about) will do; it may have a check(), which raises UserError before anything is written
Tracker = TensorBoard | WandB | MLflow | Own


def check(trackers: tuple[Any, ...]) -> None:
    """Raises UserError for a tracker that cannot be opened here, as its package is not installed."""
    for tracker in trackers:
        name = type(tracker).__name__
        if not callable(getattr(tracker, "open", None)):
            raise UserError(f"--track: {name} is no tracker: it has no open(about).")
        check_tracker = getattr(tracker, "check", _no_check)
        check_tracker()


def _no_check() -> None:
    """Of a tracker that needs nothing."""


def _installed(name: str, requirement: str) -> None:
    """Raises UserError where a package cannot be imported; imports nothing.

    requirement: as in pyproject.toml.
    """
    package, *_ = requirement.split(">")
    found = importlib.util.find_spec(package)
    # a mere folder of that name, as W&B leaves one, is found too: it has no origin
    if found is None or found.origin is None:
        # not genjax[...]: on PyPI that name is another project's
        raise UserError(f'--track={name} needs {package}: pip install "{requirement}"')


class Tracking:
    """The trackers of one run. None that fails stops the run, and where there are none nothing is done."""

    def __init__(self, trackers: tuple[Any, ...] = ()):
        self._trackers = trackers
        self._opened: list[tuple[str, Any]] = []  # (class, what it opened) of those at work
        self._note: Callable[[str], None] = print

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, kind: type | None, *error: Any) -> None:
        done = kind is None
        self._each(lambda opened: opened.close(done))
        self._opened = []

    def open(self, run: Run, experiment: str, ablation: str) -> None:
        """Opens all trackers for a run whose log is open; from now on the log tells them."""
        # the numbers are the same in all processes
        if not self._trackers or jax.process_index() != 0:
            return
        self._note = run.log.note
        run.log.tracking = self
        try:
            about = _about(run, experiment, ablation)
        except OSError as error:
            self._off("tracking", error)
            return
        for tracker in self._trackers:
            name = type(tracker).__name__
            try:
                self._opened.append((name, tracker.open(about)))
            except Exception as error:
                self._off(name, error)

    def scalars(self, step: int, values: Mapping[str, float], kind: str) -> None:
        """Tells values as "<kind>/<name>"."""
        if self._opened:
            named = {f"{kind}/{name}": value for name, value in values.items()}
            self._each(lambda opened: opened.scalars(step, named))

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        """Tells a picture."""
        self._each(lambda opened: opened.picture(name, image, step))

    def results(self, entry: str, values: Mapping[str, Any]) -> None:
        """Tells the plain numbers of an entry of results.json."""
        named = {}
        for name, value in values.items():
            if isinstance(value, Mapping):  # a metric with its interval
                value = value.get("value")
            if isinstance(value, int | float):
                named[f"results/{entry}/{name}"] = float(value)
        if named:
            self._each(lambda opened: getattr(opened, "results", _no_results)(named))

    def _each(self, tell: Callable[[Any], None]) -> None:
        """Calls tell(opened) for all; those that raise are told no more."""
        working = []
        for name, opened in self._opened:
            try:
                tell(opened)
                working.append((name, opened))
            except Exception as error:  # whatever it is: the training matters more
                self._off(name, error)
        self._opened = working

    def _off(self, name: str, error: Exception) -> None:
        reason = " ".join(str(error).split())  # one line
        kind = type(error).__name__
        self._note(f"{name} is switched off, the run goes on ({kind}: {reason[:300]})")


def _no_results(values: Mapping[str, float]) -> None:
    """Of a tracker that wants none."""


def _about(run: Run, experiment: str, ablation: str) -> About:
    """What trackers are told of a run; OSError where its directory cannot be written."""
    step = int(run.state.step)
    home = run.log.directory
    return About(
        directory=home,
        experiment=experiment,
        ablation=ablation,
        digest=digest(run.exp),
        config=json.loads(to_json(run.exp)),
        id=_identity(home, step),
        first_step=step,
        history=_history(home),
        note=run.log.note,
    )


def _identity(directory: Path, first_step: int) -> str:
    """What trackers know the run in a directory by: kept there, made anew for a run that starts from nothing.

    Random at its end: two people may train the same config, and a run that starts anew must not go on with the points
    of the one before. OSError where it cannot be written.
    """
    path = directory / "track.json"
    if first_step > 0 and path.exists():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # damaged: a new one
            return str(json.loads(path.read_text())["id"])
    plain = re.sub(r"[^\w-]", "_", directory.name)  # W&B admits no others
    made = f"{plain[-64:]}-{secrets.token_hex(4)}"
    with whole(path) as new:
        new.write_text(json.dumps({"id": made}) + "\n")
    return made


def _history(directory: Path) -> list[Row]:
    """The lines of metrics.jsonl and speed.jsonl, by step."""
    rows = list(_rows(directory / "metrics.jsonl", ""))
    rows += _rows(directory / "speed.jsonl", "speed/")
    # W&B takes no step after a later one
    return sorted(rows, key=lambda row: row[0])


def _rows(path: Path, above: str) -> Iterator[Row]:
    """The lines of a file of the log, names with `above` before them."""
    if not path.exists():
        return
    for text in path.read_text().splitlines():
        line = json.loads(text)
        step = line.pop("step")
        # "nan" and "inf" are texts there
        yield step, {f"{above}{name}": float(value) for name, value in line.items()}


class Aside:
    """A tracker whose calls are carried out by a thread of its own, in order: training waits for no network.

    What the tracker raises is raised by the next call. Made with a function that opens it, which the thread calls too.
    """

    def __init__(self, start: Callable[[], Opened]):
        self._calls: queue.Queue = queue.Queue(BEHIND)
        self._error: Exception | None = None
        # a daemon: a tracker that hangs must not keep the process
        self._thread = threading.Thread(
            target=self._work, args=(start,), name="tracker", daemon=True
        )
        self._thread.start()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._later(lambda opened: opened.scalars(step, values))

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        self._later(lambda opened: opened.picture(name, image, step))

    def results(self, values: Mapping[str, float]) -> None:
        self._later(lambda opened: opened.results(values))

    def close(self, done: bool) -> None:
        """Waits for what is still to be told, WAIT seconds at most; TimeoutError after that."""
        self._later(lambda opened: opened.close(done))
        self._later(None)
        self._thread.join(WAIT)
        if self._thread.is_alive():
            raise TimeoutError(f"not all was told within {WAIT:.0f} s after the end")
        self._complain()

    def _later(self, call: Callable[[Any], None] | None) -> None:
        self._complain()
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            raise TimeoutError(f"it is {BEHIND} calls behind") from None

    def _complain(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self, start: Callable[[], Opened]) -> None:
        try:
            opened = start()
            while (call := self._calls.get()) is not None:
                call(opened)
        except Exception as error:  # for the thread that trains, which tells it
            self._error = error


class _Events:
    """One event file of TensorBoard, which makes it forget what a killed process wrote after the first step.

    Written by `tensorboard`'s own record writer, without TensorFlow and without the thread of its `EventFileWriter`:
    lines are with the system before any checkpoint is, and a full disk is an OSError here.
    """

    def __init__(self, about: About):
        self._home = about.directory / "tensorboard"
        self._first = about.first_step
        self._before = sorted(self._home.glob("events.out.tfevents.*"))
        # a run that was begun without it; what it knows already must not come twice
        if not self._before:
            for step, values in about.history:
                self.scalars(step, values)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        points = []
        for name, value in values.items():
            points.append(Summary.Value(tag=name, simple_value=value))
        self._write(step=step, summary=Summary(value=points))

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        height, width, channels = image.shape
        png = io.BytesIO()
        Image.fromarray(_drawable(image)).save(png, format="PNG")
        drawn = Summary.Image(
            height=height,
            width=width,
            colorspace=channels,
            encoded_image_string=png.getvalue(),
        )
        value = Summary.Value(tag=name, image=drawn)
        self._write(step=step, summary=Summary(value=[value]))

    def results(self, values: Mapping[str, float]) -> None:
        """None: a curve of one point says less than the report."""

    def close(self, done: bool) -> None:
        if "_records" in vars(self):
            self._records.close()

    @functools.cached_property
    def _records(self) -> Any:
        """The file, made at the first event: who only looks at a finished run leaves none."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._home.mkdir(exist_ok=True)
        # TensorBoard reads files in the order of their names: later than all before, also within a second of them
        times = [int(path.name.split(".")[3]) for path in self._before]
        number = max([int(time.time()), *(last + 1 for last in times)])
        path = self._home / f"events.out.tfevents.{number:010d}.genjax"
        records = RecordWriter(path.open("xb"))
        head = Event(wall_time=time.time(), file_version="brain.Event:2")
        records.write(head.SerializeToString())
        # a start at a step purges what is of that step or later
        start = SessionLog(status=SessionLog.START)
        purge = Event(wall_time=time.time(), step=self._first + 1, session_log=start)
        records.write(purge.SerializeToString())
        return records

    def _write(self, **what: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(wall_time=time.time(), **what)
        self._records.write(event.SerializeToString())
        self._records.flush()


class _WandBRun:
    """A run of W&B, online or offline.

    W&B cannot forget points. But a resumed run computes the same ones again, so it is told of those alone that it has
    not: online its server knows how far it has come; offline a file in the run directory does.
    """

    def __init__(self, cfg: WandB, about: About):
        import wandb

        # else it asks on the terminal who has not logged in, and the run would wait
        wandb.setup(settings=wandb.Settings(silent=True))
        settings = wandb.Settings(
            silent=True,
            console="off",  # the terminal is the log's
            disable_git=True,
            disable_code=True,
            finish_timeout=WAIT,  # also of what it does at the end of the process
        )
        self._run = wandb.init(
            project=cfg.project,
            entity=cfg.entity,
            mode=cfg.mode,
            id=about.id,
            name=about.directory.name,
            group=about.experiment,
            config=about.config,
            dir=str(about.directory),
            resume="allow",
            reinit="create_new",  # whatever else of W&B is open in this process
            settings=settings,
        )
        self._image = wandb.Image
        self._told = about.directory / "wandb" / "told.json"
        # the last step of which it knows
        self._last = self._run.starting_step - 1
        if self._run.offline:
            self._last = self._recorded()
        else:
            about.note(f"W&B {self._run.url}")
        self._row = self._last  # the step whose row is not whole yet
        for step, values in about.history:
            self.scalars(step, values)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._tell(step, dict(values))

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        self._tell(step, {name: self._image(_drawable(image))})

    def results(self, values: Mapping[str, float]) -> None:
        self._run.summary.update(dict(values))

    def close(self, done: bool) -> None:
        self._run.finish(exit_code=0 if done else 1)
        self._record(self._row)

    def _tell(self, step: int, values: dict[str, Any]) -> None:
        if step <= self._last:
            return
        # what is of one step is one row, which is kept when the next one comes
        self._run.log(values, step=step)
        if step > self._row:
            self._record(self._row)
            self._row = step

    def _record(self, step: int) -> None:
        """Keeps how far it has been told offline: no server could say."""
        if self._run.offline:
            with whole(self._told) as new:
                new.write_text(json.dumps({"id": self._run.id, "step": step}))

    def _recorded(self) -> int:
        """The last step that was told offline of the run of this id."""
        try:
            told = json.loads(self._told.read_text())
            return told["step"] if told["id"] == self._run.id else 0
        except (OSError, ValueError, KeyError, TypeError):  # none, or not whole
            return 0


MINE, DRAWN = (
    "genjax.run",
    "genjax.drawn",
)  # tags of MLflow: `About.id`, the last step with a picture


class _MLflowRun:
    """A run of MLflow, by its client alone: nothing of the user's own active run is touched.

    MLflow forgets no points either: of each name only steps after its last one are told.
    """

    def __init__(self, cfg: MLflow, about: About):
        # it reports its use over the network, unless the user has said otherwise
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=cfg.uri or None)
        home = self._home(cfg.experiment or about.experiment, _beside(cfg.uri))
        run = self._found(home, about)
        self._id = run.info.run_id
        self._last = {}  # name: its last step
        for name in run.data.metrics:
            points = self._client.get_metric_history(self._id, name)
            self._last[name] = max(point.step for point in points)
        self._results = dict(run.data.metrics)
        self._drawn = int(run.data.tags.get(DRAWN, -1))  # the last step with a picture
        for step, values in about.history:
            self.scalars(step, values)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        new = {}
        for name, value in values.items():
            name = _plain(name)
            if step > self._last.get(name, -1):
                new[name] = value
        self._log(step, new)

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        if step > self._drawn:
            self._client.log_image(self._id, image, key=name, step=step, synchronous=True)
            self._client.set_tag(self._id, DRAWN, str(step))

    def results(self, values: Mapping[str, float]) -> None:
        # one that is read back and written again is no new point
        new = {}
        for name, value in values.items():
            name = _plain(name)
            if self._results.get(name) != value:
                new[name] = value
        self._results |= new
        self._log(0, new)

    def close(self, done: bool) -> None:
        self._client.set_terminated(self._id, status="FINISHED" if done else "KILLED")

    def _log(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        if metrics:
            self._client.log_batch(self._id, metrics=metrics)

    def _home(self, name: str, pictures: str | None) -> str:
        """The id of an experiment, which is made where there is none, with its pictures in a place (None: MLflow's)."""
        from mlflow.exceptions import MlflowException

        if self._client.get_experiment_by_name(name) is None:
            with contextlib.suppress(MlflowException):  # another run may be faster
                self._client.create_experiment(name, artifact_location=pictures)
        return self._client.get_experiment_by_name(name).experiment_id

    def _found(self, home: str, about: About) -> Any:
        """The run with the tag, or a new one."""
        from mlflow.entities import Param

        mine = f"tags.`{MINE}` = '{about.id}'"
        found = self._client.search_runs([home], mine, max_results=1)
        if found:
            self._client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0]
        tags = {MINE: about.id, "digest": about.digest, "ablation": about.ablation}
        run = self._client.create_run(home, run_name=about.directory.name, tags=tags)
        params = []
        for path, value in _leaves(about.config):
            params.append(Param(_plain(path), str(value)[:500]))
        # now and not later, as they cannot be changed; a request takes 100
        for i in range(0, len(params), 100):
            self._client.log_batch(run.info.run_id, params=params[i : i + 100])
        return run


def _beside(uri: str) -> str | None:
    """Where pictures go with a database in a file: beside it, as MLflow's own place is whatever folder one is in."""
    above, _, path = uri.partition("sqlite:///")
    if above or not path:
        return None
    folder = Path(path).absolute().parent / "mlruns"
    return folder.as_uri()


def _drawable(image: np.ndarray) -> np.ndarray:
    """A grey picture as [H, W], which is all that PIL and W&B know of them."""
    return image[..., 0] if image.shape[2:] == (1,) else image


def _plain(name: str) -> str:
    """A name as MLflow admits it: letters, digits and _-. :/"""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


def _leaves(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of every value in a config as JSON."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
