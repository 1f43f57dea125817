"""Being asked to stop, and having a run directory to oneself."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from jax.experimental import multihost_utils

from genjax.errors import UserError
from genjax.machine import hosts

# Of this process: JAX's service knows the polls of all processes by their numbers.
_POLLS = itertools.count()


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """A function, to be called after every dispatch, that says whether SIGTERM or SIGINT has asked to stop.

    A second SIGINT interrupts at once. Of several processes any one may be asked: all hear of it after the same
    dispatch, by JAX's preemption service, which must keep SIGTERM. Handlers are put back at the end, and belong to the
    main thread: a run in another one is not stopped by signals.
    """
    asked = threading.Event()
    before = {}  # the handlers to put back
    alone = jax.process_count() == 1

    def ask(number, frame):
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()
        if not alone:  # JAX's service hears of SIGTERM only
            os.kill(os.getpid(), signal.SIGTERM)

    def poll() -> bool:
        if alone:
            return asked.is_set()
        return multihost_utils.reached_preemption_sync_point(next(_POLLS))

    if threading.current_thread() is threading.main_thread():
        # With other processes SIGTERM stays JAX's.
        numbers = (signal.SIGTERM, signal.SIGINT) if alone else (signal.SIGINT,)
        before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield poll
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds the lock of a run directory; UserError when another job has it. The kernel frees it on any death.

    Of a job of several processes the first one holds it.
    """
    with (path / "lock").open("a") as file:  # not "w", which would touch it
        ours = True
        if jax.process_index() == 0:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # NB: do not wait
            except OSError:
                ours = False
        if not hosts.from_first(ours):
            raise UserError(f"{path} is in use by another process: wait for it, or stop it.")
        yield
