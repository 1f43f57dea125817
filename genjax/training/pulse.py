"""Signs of life of a run: a heartbeat file for who watches it, and a watchdog for a run that hangs.

A collective whose partner is alive but stuck waits for ever, and so does a read from a dead file system (jax#38503): no
exception is raised, the job only stops. The watchdog ends such a process with the stacks of its threads, and a
supervisor starts it again.
"""

from __future__ import annotations

import faulthandler
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

from genjax.machine.files import whole

EVERY = 10.0  # seconds between heartbeats


class Pulse:
    """A thread that writes heartbeat.json into `directory` (None: nowhere) and ends the process when `beat` stays out.

    minutes: the longest time without a `beat` that a healthy run may have, 0 = any. Compiling and saving count.
    """

    def __init__(self, directory: Path | None, minutes: float, every: float = EVERY):
        self.directory = directory
        self.limit = 60.0 * minutes  # seconds
        self.every = every
        self._last = (
            time.monotonic()
        )  # of the last beat; not the wall clock, which may be set back
        self._step = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self.beat(self._step)
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._end.set()
        self._thread.join()

    def beat(self, step: int | None = None) -> None:
        """Says that the run is alive, and at which step if that has changed; costs less than a microsecond."""
        self._last = time.monotonic()
        if step is not None:
            self._step = step

    def _watch(self) -> None:
        while True:
            silent = time.monotonic() - self._last
            self._write(silent)
            if self.limit and silent > self.limit:
                self._give_up(silent)
            # Often enough to notice a limit that is shorter than the time between heartbeats.
            pause = min(self.every, self.limit / 4 or self.every)
            if self._end.wait(pause):
                return

    def _write(self, silent: float) -> None:
        """{"step", "silent": seconds since the last beat, "time": of this line [Unix], "process", "host"}."""
        if self.directory is None:
            return
        told = {
            "step": self._step,
            "silent": round(silent, 1),
            "time": round(time.time(), 1),
            "process": os.getpid(),
            "host": socket.gethostname(),
        }
        path = self.directory / "heartbeat.json"
        try:
            with whole(path) as new:  # who watches never reads half a line
                new.write_text(json.dumps(told) + "\n")
        except OSError:
            return  # a full disk is the loop's to tell, when it saves

    def _give_up(self, silent: float) -> None:
        print(
            f"watchdog: no step for {silent / 60:.1f} minutes after step {self._step}: the stacks of all threads "
            "follow. The last checkpoint is intact: run the same command again to go on.",
            file=sys.stderr,
            flush=True,
        )
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        sys.stderr.flush()
        os._exit(1)  # and not sys.exit, which would wait for the thread that hangs
