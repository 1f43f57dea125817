"""Is a run that was killed and goes on in another process the run that was not, to the bit?

A small U-Net with attention is trained by the loop itself: once undisturbed, once until it kills itself (SIGKILL) after
its first whole checkpoint, and then to the end. metrics.jsonl and every array of the state are compared. Three ways:
without flags; without flags but with compiled programs kept on disk, as every run of ours keeps them; with XLA's
deterministic operations. Only the last is demanded; the others are what is found.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.gpu import lines
from benchmarks.side_genjax import LABELLED, Images
from benchmarks.tasks.gpu import DETERMINISTIC, SIZES
from genjax.config import edit
from genjax.diffusion import named
from genjax.nets import UNet
from genjax.optim import Adam
from genjax.training.checkpoint import Reader
from genjax.training.experiment import Every, Experiment
from genjax.training.log import Log
from genjax.training.loop import start, train

BATCH, SAVES = 64, 4  # examples a step, checkpoints in the run
NETS = {
    "full": UNet((16, 32), blocks=1, attention=(2,)),
    "quick": UNet((8,), blocks=1, attention=()),
}
KILLED = -signal.SIGKILL


class Way(NamedTuple):
    """How the processes compile."""

    flags: str
    keeps: bool  # whether programs are kept on disk
    demanded: bool


WAYS = {
    "deterministic ops": Way(DETERMINISTIC, False, True),
    "no flags": Way("", False, False),
    "no flags, programs kept": Way("", True, False),
}


# --- a process of a run -----------------------------------------------------------------------------------------------


def child(flags: str, keeps: str, size: str, images: str, folder: str, dies: str) -> None:
    """Trains from wherever the folder stands; prints {"first", "state", "metrics"}, unless it dies before."""
    lines.with_flags(flags)
    if keeps == "True":
        # of both runs, as on a machine where both are started
        kept = Path(folder).parent / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(kept))
        jax.config.update("jax_enable_compilation_cache", True)
    most = SIZES[size].interrupted
    changes = {"net": NETS[size], "optimiser": Adam(1e-3)}
    exp = Experiment(
        Images(images, 10),
        edit(named.FLOW, changes | LABELLED),
        steps=most,
        batch=BATCH,
        every=Every(log=5, evaluate=0, sample=0, save=most // SAVES),
        runs=folder,
    )
    run, checkpoints = start(exp, "gpu", "resume")
    first = int(run.state.step)
    if dies == "True":
        doom(run.log, most)
    try:
        train(run, checkpoints)
    finally:
        run.log.close()
        checkpoints.close()
    metrics = (run.log.directory / "metrics.jsonl").read_text()
    print(json.dumps({"first": first, "state": digests(run.state), "metrics": metrics}))


def digests(state: Any) -> dict[str, str]:
    """Of every array: its type, shape and bits, by its place."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        x = np.asarray(leaf)
        bits = hashlib.sha256(x.tobytes()).hexdigest()
        found[jax.tree_util.keystr(path)] = f"{x.dtype}{x.shape} {bits[:16]}"
    return found


def doom(log: Log, steps: int) -> None:
    """Lets the process kill itself in the middle, once a checkpoint is whole."""
    advance, checkpoints = log.advance, Reader(log.directory / "checkpoints")

    def advanced(step: int) -> None:
        advance(step)
        # the save goes on in the background: it may take until the last step
        if step == steps - 1 or (step > steps // 2 and checkpoints.steps()):
            os.kill(os.getpid(), signal.SIGKILL)

    log.advance = advanced


# --- what is compared -------------------------------------------------------------------------------------------------


def process(way: Way, size: str, images: Path, folder: Path, dies: bool = False) -> Any:
    """What a process has printed; its exit code where it was to die."""
    told = (way.flags, str(way.keeps), size, str(images), str(folder), str(dies))
    command = [sys.executable, "-m", "benchmarks.gpu.resume_genjax", "child", *told]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=not dies)
    return done.returncode if dies else json.loads(done.stdout.splitlines()[-1])


def tried(way: Way, size: str, images: Path, folder: Path) -> dict[str, Any]:
    """A line of the table."""
    straight = process(way, size, images, folder / "straight")
    code = process(way, size, images, folder / "killed", dies=True)
    resumed = process(way, size, images, folder / "killed")
    names = straight["state"]
    other = [name for name in names if resumed["state"].get(name) != names[name]]
    return {
        "exit code of the killed": code,
        "resumed at": resumed["first"],
        "of steps": SIZES[size].interrupted,
        "metrics.jsonl the same": straight["metrics"] == resumed["metrics"],
        "arrays that differ": len(other),
        "of arrays": len(names),
    }


def good(way: Way, found: dict[str, Any]) -> bool:
    """Whether it was a trial at all and, where that is demanded, to the bit."""
    tried = found["exit code of the killed"] == KILLED and found["resumed at"] > 0
    same = found["metrics.jsonl the same"] and not found["arrays that differ"]
    return tried and (same or not way.demanded)


def main(part: str, size: str, path: str) -> None:
    """A line for each way as soon as it is known; exit code 1 where one is not as it must be."""
    sizes, bad = SIZES[size], []
    ways = dict(list(WAYS.items())[: sizes.settings])
    # here: the processes of a run start sooner without it
    from benchmarks.gpu.contract_genjax import digits

    with tempfile.TemporaryDirectory() as scratch:
        images = Path(scratch) / "images.npy"
        np.save(images, digits()["image"])

        def one(name: str) -> None:
            folder = Path(scratch) / name.replace(" ", "-")
            found = tried(ways[name], size, images, folder)
            ok = good(ways[name], found)
            lines.write(Path(path), part, way=name, ok=ok, **found)
            bad.extend([] if ok else [name])

        # nothing is timed
        with ThreadPoolExecutor(len(ways)) as pool:
            pending = [pool.submit(one, name) for name in ways]
        for done in pending:
            done.result()  # raises what it has raised, after the others have ended
    if bad:
        sys.exit(f"not as it must be: {', '.join(bad)}")


if __name__ == "__main__":
    if sys.argv[1] == "child":
        child(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
