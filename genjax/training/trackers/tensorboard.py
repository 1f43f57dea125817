"""TensorBoard: event files beside the run's own, written without its thread and without TensorFlow."""

from __future__ import annotations

import dataclasses
import functools
import io
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from genjax.training.trackers.about import About, Opened, drawable, installed


@dataclasses.dataclass(frozen=True)
class TensorBoard:
    """Event files in <run>/tensorboard: `tensorboard --logdir runs`. It has curves and pictures, no results."""

    def check(self) -> None:
        """Raises UserError where the package is not installed."""
        installed("TensorBoard", "tensorboard>=2.20,<3")

    def open(self, about: About) -> Opened:
        """Opens an event file of its own; on a local disk, so in the thread that trains."""
        return _Events(about)


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
        Image.fromarray(drawable(image)).save(png, format="PNG")
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
