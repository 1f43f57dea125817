"""More steps than were first asked for: a run goes on where a shorter one of the same config stands.

All is a function of (seed, step), so the first steps of two lengths are the same unless something depends on the
length: then a longer run is, to the bit, what it would be from the beginning. What depends on it is found and not
trusted: rates say how long they are free of it (`optim.Constant.free`), and all else is compared as compiled programs.
"""

from __future__ import annotations

import json
import shutil
import sys
import typing
from pathlib import Path
from typing import Any, NamedTuple

import jax

from genjax.config import digest, edit, walk
from genjax.data import Source, fingerprint
from genjax.errors import UserError
from genjax.machine import hosts
from genjax.optim import Constant, Rate
from genjax.training.basis import changed, code
from genjax.training.checkpoint import Reader, leaves, misfit
from genjax.training.experiment import Experiment, cadences
from genjax.training.task import batch_like, bind, example_of

STABLE = "stable"  # folder of the last checkpoint before the rate falls
STABLE_BEST = "stable-best"  # of the best states of then


class Shorter(NamedTuple):
    """A run of the same config with fewer steps."""

    directory: Path
    steps: int


def prolonged(
    exp: Experiment, path: Path, source: Source, like: Any
) -> tuple[Any, dict] | None:
    """(state, meta) that a run in `path` goes on with, of the longest shorter run that allows it; None if none does.

    The metrics and pictures of those steps are copied. Says on stderr what it goes on from, or why it does not.
    """
    first = jax.process_index() == 0
    # by process 0, so that all decide alike
    found = hosts.from_first(_found(exp, path, source, leaves(like)) if first else None)
    folder, step, directory, told = found
    if told and first:
        print(f"note: {told}", file=sys.stderr)
    if not folder:
        return None
    reader = Reader(folder)
    _, about = reader.about(step)
    state = reader.state(step, like)
    if first:
        _copy(Path(directory), path, Path(folder), step)
    return state, about["meta"]


def _found(
    exp: Experiment, path: Path, source: Source, like: dict[str, str]
) -> tuple[str, int, str, str]:
    """(folder and step of a checkpoint, its run's directory, what is told of it); no folder: none will do."""
    told = ""
    for name, steps in _shorter(exp, path):
        shorter = Shorter(Path(name), steps)
        try:
            folder, step, why = _place(exp, shorter)
            why = why or _obstacle(exp, shorter, source, folder, step, like)
        except (UserError, OSError) as error:  # of a run at work, or damaged
            folder, step, why = shorter.directory, 0, f"it cannot be read ({error})"
        if not why:
            told = f"goes on from step {step} of {name}, as if it had been asked for {exp.steps} steps at once"
            return str(folder), step, name, told
        told = told or (
            f"{name} has {steps} of these {exp.steps} steps, but {why}: this run begins anew; to go on from its "
            f"weights instead: --start={name}"
        )
    return "", 0, "", "" if exp.start is not None else told


def level(exp: Experiment) -> int:
    """The last step that is saved before a rate falls, for longer runs to go on from; 0 where none falls at the end."""
    free = _free(exp)
    if free >= exp.steps:  # the end itself will do
        return 0
    return free - free % exp.every.save


def _shorter(exp: Experiment, path: Path) -> list[tuple[str, int]]:
    """(directory, steps) of the runs beside `path` that differ in their steps alone, the longest first."""
    found = []
    digests: dict[int, str] = {}  # by steps: a folder may hold thousands of runs
    for config in path.parent.glob("*/config.json"):
        try:
            steps = json.loads(config.read_text())["steps"]  # as data: nothing is imported
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if not isinstance(steps, int) or not 0 < steps < exp.steps:
            continue
        if steps not in digests:
            digests[steps] = digest(edit(exp, {"steps": steps}))
        if config.parent.name.endswith(f"-{digests[steps]}"):
            found.append((str(config.parent), steps))
    return sorted(found, key=lambda pair: -pair[1])


def _rates(exp: Experiment) -> dict[str, Rate]:
    """{path: learning rate} of the optimisers of an experiment's algorithm."""
    found = {}
    for path, _, value, _, _ in walk(exp):
        # a class derived from one of them may do what it likes: it is compared with all else
        if path.startswith("algorithm.") and type(value) in typing.get_args(Rate):
            found[path] = value
    return found


def _free(exp: Experiment) -> int:
    """How many steps of a run do not depend on its length, as far as learning rates go."""
    # of one that takes several updates a step these are fewer than it could be
    return min((rate.free(exp.steps) for rate in _rates(exp).values()), default=exp.steps)


def _place(exp: Experiment, shorter: Shorter) -> tuple[Path, int, str]:
    """(folder, step) of the checkpoint to go on from, and why there is none, or ""."""
    short = edit(exp, {"steps": shorter.steps})
    free = _free(short)
    folders = {}
    for name in (STABLE, "checkpoints"):
        folder = shorter.directory / name
        for step in Reader(folder).intact():
            # at its end a run logs and evaluates out of turn
            in_turn = all(step % every == 0 for every in cadences(exp) if every)
            if step <= free and (step < shorter.steps or in_turn):
                folders[step] = folder
    if folders:
        step = max(folders)
        return folders[step], step, ""
    if free < shorter.steps:
        falling = [type(rate).__name__ for rate in _rates(short).values() if rate.free(9) < 9]
        why = f"its learning rate depends on the length from step {free} on ({falling[0]})"
    else:
        why = "it has no checkpoint to go on from"
    return shorter.directory, 0, why


def _obstacle(
    exp: Experiment,
    shorter: Shorter,
    source: Source,
    folder: Path,
    step: int,
    like: dict[str, str],
) -> str:
    """Why a checkpoint of a shorter run is none of this one; "" where it is."""
    _, about = Reader(folder).about(step)
    meta = about["meta"]
    if meta.get("data") != fingerprint(source):
        return "its data are not these"
    since = changed(meta.get("code", {}), code(exp))
    if since:
        return f"the code of {', '.join(since)} has changed since"
    if misfit(about["state"], like):
        return "its state was saved by other code"
    for name, best in meta.get("best", {}).items():
        if not (_bests(shorter.directory, folder) / name / str(best["step"])).is_dir():
            return f"its best state by {name} of step {best['step']} is kept no more"
    short = edit(exp, {"steps": shorter.steps})
    if _program(short, source) != _program(exp, source):
        return "its training rule depends on the length of the run"
    return ""


def _bests(directory: Path, folder: Path) -> Path:
    """Where the best states lie that a checkpoint in `folder` knows."""
    return directory / (STABLE_BEST if folder.name == STABLE else "best")


def _program(exp: Experiment, source: Source) -> list[str]:
    """The steps of an experiment's algorithm as compiled for it, at a constant rate."""
    level_rates = {path: Constant() for path in _rates(exp)}
    _, algorithm = bind(edit(exp, level_rates), source)
    key = jax.random.key(0)
    example = example_of(source)
    state = jax.eval_shape(algorithm.init, key, example)
    batch = batch_like(source, exp.batch)
    cycle = algorithm.cycle or (algorithm.step,)
    turns = list(dict.fromkeys(cycle))  # each once
    order = [turns.index(turn) for turn in cycle]
    programs = [jax.jit(algorithm.init).lower(key, example).as_text(), str(order)]
    for fn in (*turns, algorithm.evaluate):
        programs.append(jax.jit(fn).lower(key, state, batch).as_text())
    return programs


def keep_best(directory: Path) -> None:
    """Copies the best states so far beside the checkpoint of `level`: later ones take their place."""
    best = directory / "best"
    if best.is_dir():
        shutil.copytree(best, directory / STABLE_BEST, dirs_exist_ok=True)


def _copy(old: Path, new: Path, folder: Path, step: int) -> None:
    """Copies what a run has written up to a step; lines of later ones are dropped when the log is opened."""
    try:
        for name in ("metrics.jsonl", "speed.jsonl"):
            if (old / name).exists():
                shutil.copyfile(old / name, new / name)
        for picture in (old / "samples").glob("*.png"):
            # grids have their step as a name
            if picture.stem.isdecimal() and int(picture.stem) <= step:
                (new / "samples").mkdir(exist_ok=True)
                shutil.copyfile(picture, new / "samples" / picture.name)
        for best in _bests(old, folder).glob("*/*"):
            if best.name.isdecimal() and int(best.name) <= step:
                there = new / "best" / best.parent.name / best.name
                shutil.copytree(best, there, dirs_exist_ok=True)
    except OSError as error:
        (new / "metrics.jsonl").unlink(missing_ok=True)  # nothing of a run that has not begun
        raise UserError(
            f"cannot copy what {old} has written to {new} ({error}): free space or mend it, or choose other --runs."
        ) from error
