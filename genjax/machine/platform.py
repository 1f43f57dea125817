"""What must be settled before JAX's first backend starts: one XLA flag on CPU and the persistent compilation cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import resource
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_YNN = "--xla_cpu_experimental_ynn_fusion_type="


def disable_ynn_fusion() -> None:
    """Turns jaxlib's YNNPACK fusions off on CPU unless the user set the flag: wrong reductions (jax#39103), slow convs.

    An unknown flag aborts the process, so it is set only for jaxlib releases known to have it. XLA reads the variable
    when the first backend starts, so importing genjax before any computation is early enough.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    if metadata.version("jaxlib") in ("0.10.2", "0.11.2") and not any(
        flag.startswith(_YNN) for flag in flags
    ):
        os.environ["XLA_FLAGS"] = " ".join(
            [*flags, _YNN]
        )  # no leading space: XLA would read it as a file name


def cpu_model() -> str:
    """The processor's name and a hash of its instruction sets: compiled CPU code is valid only where it was made."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith(("model name", "Model name")):
                return line.split(":", 1)[1].strip() + _cpu_flags(info)
    return platform.processor() or platform.machine()


def _cpu_flags(info: Path) -> str:
    """Virtual machines report one model name for several generations: the instruction sets tell them apart."""
    lines = [
        line
        for line in info.read_text(errors="replace").splitlines()
        if line.startswith(("flags", "Features"))
    ]
    return " " + hashlib.sha256(lines[0].encode()).hexdigest()[:8] if lines else ""


def hardware() -> str:
    """The machine in words, for a report; starts JAX's backend."""
    import jax

    devices = jax.devices()
    kind = devices[0].device_kind if devices[0].platform != "cpu" else "CPU"
    return f"{jax.device_count()} x {kind}; {os.cpu_count()} cores {cpu_model().rsplit(' ', 1)[0]}"


def versions() -> dict[str, str]:
    """Of Python and of the packages that numbers depend on."""
    names = ("jax", "jaxlib", "flax", "optax", "numpy")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def facts() -> dict[str, Any]:
    """What a report tells of the machine and of this process."""
    return {"hardware": hardware(), "versions": versions(), "memory_mib": peak_memory()}


def peak_memory() -> float:
    """The process's largest resident memory so far [MiB]."""
    scale = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def trim_memory() -> None:
    """Gives the system back what malloc keeps for itself; does nothing without glibc.

    glibc has an arena for almost every thread, and one that has filled and emptied keeps its pages: work that is always
    done in new threads takes more and more of them (malloc_trim(3)).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def cache_root() -> Path:
    """Where data and compiled code are kept between runs: $GENJAX_CACHE, else ~/.cache/genjax."""
    named = os.environ.get("GENJAX_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "genjax"


def enable_compilation_cache() -> Path:
    """Keeps compiled programs on disk, one folder per jaxlib version and CPU model; returns the folder.

    The user's own JAX_COMPILATION_CACHE_DIR wins. A folder that cannot be written only costs the compile time.
    """
    import jax

    folder = jax.config.jax_compilation_cache_dir
    if folder is None:
        key = hashlib.sha256(cpu_model().encode()).hexdigest()[:8]
        folder = str(cache_root() / "compiled" / f"jaxlib-{metadata.version('jaxlib')}-{key}")
        jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    return Path(folder)
