"""What must be settled before JAX's first backend starts: one XLA flag on CPU and the persistent compilation cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from genjax.machine.files import typed

_YNN = "--xla_cpu_experimental_ynn_fusion_type="


def refuse_windows() -> None:
    """Says in one line that Windows is not among the systems that this runs on; ImportError there."""
    if sys.platform == "win32":
        raise ImportError(
            "genjax runs on Linux and macOS, not on Windows itself (locks, signals, array_record): use WSL, "
            "https://learn.microsoft.com/windows/wsl."
        )


def disable_ynn_fusion() -> None:
    """Turns jaxlib's YNNPACK fusions off on CPU unless the user set the flag: wrong reductions (jax#39103), slow convs.

    An unknown flag aborts the process, so it is set only for jaxlib releases known to have it. XLA reads the variable
    when the first backend starts, so importing genjax before any computation is early enough.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    known = metadata.version("jaxlib") in ("0.10.2", "0.11.2")
    if not known or any(flag.startswith(_YNN) for flag in flags):
        return
    # no leading space: XLA would read it as a file name
    os.environ["XLA_FLAGS"] = " ".join([*flags, _YNN])


def cpu_model() -> str:
    """The processor's name and a hash of its instruction sets: compiled CPU code is valid only where it was made."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith(("model name", "Model name")):
                _, model = line.split(":", 1)
                return model.strip() + _cpu_flags(info)
    # no such file, as on macOS, or no such line, as on some ARM machines
    return platform.processor() or platform.machine()


def _cpu_flags(info: Path) -> str:
    """Virtual machines report one model name for several generations: the instruction sets tell them apart."""
    for line in info.read_text(errors="replace").splitlines():
        if line.startswith(("flags", "Features")):  # x86's word and ARM's
            # of the first core: the others are taken to be the same
            whole = hashlib.sha256(line.encode()).hexdigest()
            return f" {whole[:8]}"
    return ""


def hardware() -> str:
    """The machine in words, for a report; starts JAX's backend."""
    import jax

    first = jax.devices()[0]
    kind = "CPU" if first.platform == "cpu" else first.device_kind
    processor = cpu_model().rsplit(" ", 1)[0]  # without the hash of its instruction sets
    return f"{jax.device_count()} x {kind}; {os.cpu_count()} cores {processor}"


def versions() -> dict[str, str]:
    """Of Python and of the packages that numbers depend on."""
    names = ("jax", "jaxlib", "flax", "optax", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        found[name] = metadata.version(name)
    return found


def facts() -> dict[str, Any]:
    """What a report tells of the machine and of this process."""
    return {"hardware": hardware(), "versions": versions(), "memory_mib": peak_memory()}


def peak_memory() -> float:
    """The process's largest resident memory so far [MiB]."""
    import resource  # not on Windows, where this file must be readable to say so

    usage = resource.getrusage(resource.RUSAGE_SELF)
    scale = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB on Linux
    return usage.ru_maxrss / scale


def trim_memory() -> None:
    """Gives the system back what malloc keeps for itself; does nothing without glibc.

    glibc has an arena for almost every thread, and one that has filled and emptied keeps its pages: work that is always
    done in new threads takes more and more of them (malloc_trim(3)).
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)  # what the process itself is linked with
    trim = getattr(library, "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)


def cache_root() -> Path:
    """Where data and compiled code are kept between runs: $GENJAX_CACHE, else ~/.cache/genjax."""
    named = os.environ.get("GENJAX_CACHE")
    if named:
        return typed(named)
    return Path.home() / ".cache" / "genjax"


def enable_compilation_cache() -> Path:
    """Keeps compiled programs on disk, one folder per jaxlib version and CPU model; returns the folder.

    The user's own JAX_COMPILATION_CACHE_DIR wins, and so does JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS: what compiles
    in less time is not kept, by default 0.3 s. A folder that cannot be written only costs the compile time.
    """
    import jax

    folder = jax.config.jax_compilation_cache_dir
    if folder is None:
        whole = hashlib.sha256(cpu_model().encode()).hexdigest()
        name = f"jaxlib-{metadata.version('jaxlib')}-{whole[:8]}"
        folder = str(cache_root() / "compiled" / name)
        jax.config.update("jax_compilation_cache_dir", folder)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    return Path(folder)
