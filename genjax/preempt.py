"""Being asked to stop, and having a run directory to oneself."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import jax

from genjax.errors import UserError


@contextlib.contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """An event that SIGTERM or SIGINT sets; a second SIGINT interrupts at once. Handlers are put back at the end.

    Only in the main thread of a job of one process: with several, JAX's own preemption service must keep the signal.
    """
    asked, before = threading.Event(), {}

    def ask(number, frame):
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is threading.main_thread() and jax.process_count() == 1:
        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds the lock of a run directory; UserError when another process has it. The kernel frees it on any death."""
    with (path / "lock").open("a") as file:  # not "w", which would touch it
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{path} is in use by another process: wait for it, or stop it.") from None
        yield
