"""genjax: deep generative models in JAX as pure functions, every family under one contract.

`genjax.open(RUN)` opens a run that was trained, to sample from it; `genjax.__version__` is the release.
"""

from typing import TYPE_CHECKING, Any

from genjax.machine import distribution as _distribution
from genjax.machine import platform as _platform

if TYPE_CHECKING:  # who reads the code without running it sees what `__getattr__` gives
    from genjax.training.opened import open_run as open  # noqa: F401

    __version__: str

_platform.refuse_windows()
_platform.disable_ynn_fusion()
_distribution.warn_of_namesake()


def __getattr__(name: str) -> Any:
    """`open` and `__version__` when they are asked for: importing genjax alone imports no JAX and reads no file."""
    if name == "open":
        from genjax.training.opened import open_run as open

        return open
    if name == "__version__":
        return _distribution.version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
