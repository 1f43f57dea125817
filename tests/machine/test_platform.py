"""What the process gives back to the system."""

import ctypes
import sys
import threading
from pathlib import Path

import pytest

from genjax.machine import platform

BLOCK, COUNT = (
    64 * 1024,
    1600,
)  # below the size for which malloc asks the system by itself; 100 MiB


def resident() -> float:
    """Resident memory of this process [MiB]."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="of Linux with glibc",
)
def test_memory_that_malloc_keeps_for_a_thread_is_given_back():
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes, kept = [ctypes.c_void_p], []

    def work():
        blocks = [libc.malloc(BLOCK) for _ in range(COUNT)]
        for block in blocks:
            ctypes.memset(block, 1, BLOCK)
        kept.extend(
            blocks[:: COUNT - 1]
        )  # the first and the last, so that all between them is held back
        for block in blocks[1:-1]:
            libc.free(block)

    before = resident()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    held = resident()
    platform.trim_memory()
    trimmed = resident()
    for block in kept:
        libc.free(block)
    assert held - before > 50.0  # else there is nothing to show
    assert trimmed - before < 20.0


def test_nothing_is_asked_of_other_systems(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: pytest.fail("asked"))
    platform.trim_memory()
