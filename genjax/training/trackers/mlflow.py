"""MLflow: on a server, or in a file."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genjax.config import field
from genjax.training.trackers.about import About, Opened, installed
from genjax.training.trackers.aside import Aside

# tags of MLflow: `About.id`, the last step with a picture
MINE, DRAWN = "genjax.run", "genjax.drawn"


@dataclasses.dataclass(frozen=True)
class MLflow:
    """A run of MLflow, found again by its tag genjax.run."""

    uri: str = field("", "http(s)://…, sqlite:///…; '' = MLFLOW_TRACKING_URI or MLflow's own")
    experiment: str = field("", "its experiment in MLflow; '' = the name of ours")

    def check(self) -> None:
        """Raises UserError where the package is not installed."""
        installed("MLflow", "mlflow>=3.17,<4")

    def open(self, about: About) -> Opened:
        """Starts or finds the run of MLflow, aside from training."""
        return Aside(functools.partial(_MLflowRun, self, about))


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
