"""Four virtual devices for every test, one compilation cache, small real data."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
# Compiling is most of the time of tiny tests: XLA's dear passes are left out here. Set it to 0 to test the code that
# users run.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

import genjax  # noqa: E402, F401  (settles XLA's flags before the first backend)
from genjax.machine import platform  # noqa: E402

jax.config.update("jax_num_cpu_devices", 4)
platform.enable_compilation_cache()


@pytest.fixture(scope="session")
def digits() -> dict[str, np.ndarray]:
    """scikit-learn's digits as a split: {"image": uint8 [1797, 8, 8, 1], "label": int32 [1797]}."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return {
        "image": np.round(x * 255 / 16).astype(np.uint8).reshape(-1, 8, 8, 1),
        "label": y.astype(np.int32),
    }


def pytest_collection_modifyitems(items):
    """Long subprocess tests last, so that a mistake in the mathematics shows first."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
