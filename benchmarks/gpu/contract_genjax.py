"""Every algorithm of tests/test_contract.py takes steps: finite, and the same by all layouts of one device.

The limits are those of that file, with products in float32 proper: TF32, which XLA takes by default on a GPU, rounds to
three digits, and two programs of one function need not round alike.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn.datasets import load_digits

from benchmarks.gpu import lines
from benchmarks.tasks.gpu import SIZES
from genjax.core import guarded
from genjax.data.batches import batch_at
from genjax.machine.parallel import Jit, Layout, Mesh, Pmap
from tests.test_contract import ALGORITHMS, SPEC, B

STEPS = 3
HALVES = {
    "contract-a": 0,
    "contract-b": 1,
}  # two processes: tracing is Python's, which does one thing at a time
LAYOUTS = {"pmap": Pmap(), "mesh": Mesh()}
LIMITS = {"loss": 2e-5, "norm": 2e-4, "moved": 0.02}  # relative, relative, in learning rates


def digits() -> dict[str, np.ndarray]:
    """scikit-learn's, which needs no cache: {"image": uint8 [1797, 8, 8, 1], "label": int32 [1797]}."""
    ink, label = load_digits(return_X_y=True)
    image = np.round(ink * 255 / 16).astype(np.uint8)
    return {"image": image.reshape(-1, 8, 8, 1), "label": label.astype(np.int32)}


def played(name: str, layout: Layout, data: dict) -> tuple[Any, list[dict]]:
    """(the state after some steps, the metrics of each)."""
    algorithm = ALGORITHMS[name](SPEC)
    start = (algorithm.init, jax.random.key(3), batch_at(data, 0, 0, 4))
    step = layout.train(guarded(algorithm.step), layout.like(*start))
    state = layout.init(*start)
    metrics = []
    for i in range(STEPS):
        batch = jax.tree.map(lambda x: x[None], batch_at(data, 7, i, B))
        state, values = step(jax.random.key(1), state, {}, layout.put(batch, 1))
        metrics.append(jax.device_get(values))
    return state, metrics


def apart(name: str, one: tuple, other: tuple) -> dict[str, float]:
    """How far two layouts are apart, as `LIMITS` has it."""
    (state, metrics), (other_state, other_metrics) = one, other
    lr = ALGORITHMS[name].optimiser.lr
    moves = jax.tree.map(
        lambda a, b: np.abs(np.asarray(a) - np.asarray(b)).max() / lr,
        state.params,
        other_state.params,
    )
    return {
        "loss": relative(metrics, other_metrics, "loss"),
        "norm": relative(metrics, other_metrics, "grad_norm"),
        "moved": float(max(jax.tree.leaves(moves))),
    }


def relative(metrics: Sequence[dict], others: Sequence[dict], name: str) -> float:
    """The largest relative difference of a metric."""
    a = np.array([values[name] for values in metrics])
    b = np.array([values[name] for values in others])
    return float((np.abs(a - b) / np.abs(b)).max())


def finite(tree: Any) -> bool:
    return all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(tree))


def examined(name: str, data: dict) -> dict[str, Any]:
    """A line of the table, with "ok"."""
    one = played(name, Jit(), data)
    state, metrics = one
    taken = all(values["skipped"][0] == 0 for values in metrics)
    few = batch_at(data, 0, 0, 4)
    sample = jax.jit(ALGORITHMS[name](SPEC).sample)(jax.random.key(0), state, few)
    found = {"finite": finite((state, metrics, sample)) and taken}
    good = found["finite"]
    for layout, value in LAYOUTS.items():
        far = apart(name, one, played(name, value, data))
        # a NaN is not within any limit
        good = good and all(far[what] <= limit for what, limit in LIMITS.items())
        found |= {f"{layout}: {what}": number for what, number in far.items()}
    return {"ok": bool(good), **found}


def main(part: str, size: str, path: str) -> None:
    """A line for each algorithm as soon as it is known; exit code 1 where one is not as it must be."""
    jax.config.update("jax_default_matmul_precision", "highest")
    sizes, file, data = SIZES[size], Path(path), digits()
    bad = []
    # compiling is most of it, and Python waits there for nobody
    with ThreadPoolExecutor(sizes.threads) as pool:
        names = (sizes.algorithms or tuple(ALGORITHMS))[HALVES[part] :: 2]
        pending = {pool.submit(examined, name, data): name for name in names}
        for done in as_completed(pending):
            name = pending[done]
            try:
                found = done.result()
            except Exception:  # the others go on
                found = {"ok": False, "stack": traceback.format_exc()}
            lines.write(file, part, algorithm=name, **found)
            bad += [] if found["ok"] else [name]
    if bad:
        sys.exit(f"not as it must be: {', '.join(bad)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
