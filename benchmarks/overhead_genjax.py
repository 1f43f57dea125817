"""A side of `benchmarks.overhead` in a process of its own: the compiled step by itself, or the training loop."""

from __future__ import annotations

import sys
from collections import deque

import jax

from benchmarks import side_genjax
from benchmarks.turns import blocks
from genjax.ae.autoencoder import Autoencoder
from genjax.data import Digits
from genjax.data.batches import batch_at
from genjax.training.loop import IN_FLIGHT, Run


def bare(run: Run) -> None:
    """Blocks of the compiled step alone."""
    exp, step = run.exp, side_genjax.compiled_step(run)
    # one batch that lies on the device: its way there is a part of what the loop costs
    batch = batch_at(run.source.train, exp.seed, 0, exp.batch)
    batch = jax.device_put(side_genjax.stack([batch]))
    state, key = run.state, run.key(0)
    pending = deque()  # as many as the loop has
    for steps in blocks():
        for _ in range(steps):
            state, metrics = step(key, state, {}, batch)
            pending.append(metrics)
            # brought to the host, as the loop does for its log
            if len(pending) >= IN_FLIGHT:
                jax.device_get(pending.popleft())
        jax.block_until_ready(state)


def main(side: str, batch: str, chunk: str) -> None:
    started = side_genjax.started(
        Digits(),
        Autoencoder(latent=1),  # as small as a step can be
        int(batch),
        "overhead",
        int(chunk),
        log=1000,  # seldom, but it is a part of what the loop does
    )
    with started as (run, checkpoints):
        if side == "bare":
            bare(run)
        else:
            side_genjax.loop(run, checkpoints)


if __name__ == "__main__":
    main(*sys.argv[1:])
