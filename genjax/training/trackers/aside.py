"""A tracker in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from genjax.training.trackers.about import Opened

WAIT = 20.0  # seconds that the end of a run waits for a tracker; a preempted machine may give no more
BEHIND = 1000  # calls that a tracker may be late by before it is switched off


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
