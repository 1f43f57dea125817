"""genjax: deep generative models in JAX as pure functions, every family under one contract."""

from genjax.machine import platform as _platform

_platform.disable_ynn_fusion()
