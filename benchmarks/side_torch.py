"""PyTorch's side, what its families share: choosing what is fastest here, serving blocks, averages, checks."""

from __future__ import annotations

import copy
import functools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.turns import blocks

EPS = 1e-6  # of all norms, as in `genjax.nets`
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}

Run = Callable[[int], None]  # does so many steps, or draws


# --- eager, or compiled -----------------------------------------------------------------------------------------------


def wrapped(fn: Callable, compiled: bool) -> Callable:
    """`fn` itself, or compiled."""
    # the sizes never change, and a program for any size would be slower
    return torch.compile(fn, dynamic=False) if compiled else fn


# --- what eager mode is fastest with ----------------------------------------------------------------------------------


def fastest(jobs: dict[str, Run], rounds: int = 4, steps: int = 10) -> tuple[int, str]:
    """The number of threads and the name in `jobs` that are fastest here and now, by medians of alternating blocks.

    The threads are chosen with the first of the jobs. One can win: OpenMP's threads wait for each other after every
    operation, which is dear on a busy machine.
    """
    first, *_ = jobs
    by_threads = [(number, first) for number in sorted({1, cores()})]
    threads, _ = _best(jobs, by_threads, rounds, steps)
    by_name = [(threads, name) for name in jobs]
    return _best(jobs, by_name, rounds, steps)


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _best(
    jobs: dict[str, Run],
    choices: list[tuple[int, str]],
    rounds: int,
    steps: int,
) -> tuple[int, str]:
    """The one of (threads, name) with the least median time."""
    if len(choices) == 1:
        return choices[0]
    seconds = {choice: [] for choice in choices}
    for choice in choices * rounds:  # in turns, so that a slow minute hits all of them
        threads, name = choice
        torch.set_num_threads(threads)
        begun = time.perf_counter()
        jobs[name](steps)
        seconds[choice].append(time.perf_counter() - begun)

    def median(choice: tuple[int, str]) -> float:
        _, *others = seconds[choice]  # the first warms up
        return statistics.median(others)

    return min(choices, key=median)


def choose(jobs: dict[str, Run], rounds: int = 5, steps: int = 1) -> None:
    """Prints the choice and the threads that eager mode is fastest with; the workers hold only what was chosen."""
    threads, choice = fastest(jobs, rounds, steps)
    print(json.dumps({"choice": choice, "threads": threads}))


# --- the worker -------------------------------------------------------------------------------------------------------


def serve(make: Callable[[], Run], threads: int) -> None:
    """Blocks of what `make` makes; the first step, with compiling, is in the first block."""
    torch.set_num_threads(threads)
    run = make()
    for steps in blocks():
        run(steps)


def work(
    side: str,
    make: Callable[[str, bool], Run],
    choices: Iterable[str],
    how: tuple[str, ...] = (),
    steps: int = 1,
) -> None:
    """A family's process: it chooses one of the `choices`, or does steps or draws with `how`, what was chosen.

    make(choice, compiled) makes what is run; `steps` of it are a block while choosing.
    """
    if side == "choose":
        jobs = {choice: make(choice, False) for choice in choices}
        return choose(jobs, steps=steps)
    choice, threads = how
    compiled = side == "compile"
    # not made here: what is compiled must be in the first block
    serve(functools.partial(make, choice, compiled), int(threads))


def channels_first(images: np.ndarray) -> Tensor:
    """Images [N, H, W, C] as PyTorch has them, [N, C, H, W]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def signed(image: Tensor) -> Tensor:
    """Bytes to [-1, 1]."""
    # in place on the copy that float() made
    return image.float().div_(127.5).sub_(1.0)


def shuffled(
    examples: int,
    batch: int,
    device: torch.device | None = None,
) -> Iterator[Tensor]:
    """Indices [batch] of examples without end, each once an epoch but for those that fill no batch at its end."""
    while True:
        order = torch.randperm(examples, device=device)  # anew for every epoch
        last = max(examples - batch, 0)
        for at in range(0, last + 1, batch):
            yield order[at : at + batch]


def demand_finite(total: Tensor) -> None:
    """Ends the process if a sum of losses is not finite; once a block, for it waits for a GPU."""
    if not torch.isfinite(total):
        raise SystemExit("PyTorch's loss is not finite")


class Average:
    """A copy of a model that follows its weights: decay rises from 1/10 to its value."""

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).requires_grad_(False)
        # as lists: all of them are updated in one call
        self._averaged = list(self.model.parameters())
        self._weights = list(model.parameters())
        self._decay, self._taken = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Called after every step."""
        # without it the average would keep the initial weights for 1 / (1 - decay) steps
        warm = (1.0 + self._taken) / (10.0 + self._taken)  # as `genjax.ema.Decay` warms up
        weight = 1.0 - min(self._decay, warm)
        torch._foreach_lerp_(self._averaged, self._weights, weight)
        self._taken += 1


# --- the check --------------------------------------------------------------------------------------------------------


def saved(path: str) -> dict[str, Tensor]:
    """The arrays that our side has saved, by their names."""
    arrays = np.load(path)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def given_weights(model: nn.Module, arrays: dict[str, Tensor]) -> None:
    """Loads the model's weights from arrays among which there may be others; a wrong shape raises."""
    model.load_state_dict({name: arrays[name] for name in model.state_dict()})


def empty_report(model: nn.Module) -> dict:
    """What a check prints, before its first step."""
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss": [],
        "grad_norm": [],
    }


def gradient_norm(model: nn.Module) -> float:
    """Of the gradients that the last step left."""
    flat = torch.cat([p.grad.flatten() for p in model.parameters()])
    # in double precision: a sum of a million squares is compared to 1e-4
    return flat.double().norm().item()
