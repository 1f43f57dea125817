"""Checkpoints: the newest states of a run, saved in the background, restored exactly on the same or another layout.

A small interface over Orbax (https://orbax.readthedocs.io, v0 `CheckpointManager`), which writes every step into a
temporary directory and renames it when it is whole: a kill in mid-save leaves no half checkpoint. Two things are added.
Orbax does not notice a flipped byte in array data, so each checkpoint carries the CRC-32 of its files, and they are
compared before anything is restored: a corrupt checkpoint is moved aside and the one before it taken. And each
checkpoint knows its config and the shapes of its state.

Saving in the background is safe with donated buffers: Orbax holds host views of the arrays (on CPU the buffers
themselves), and JAX copies a buffer that is viewed instead of donating it. So on CPU the step after a save needs room
for a second state.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import inspect
import json
import logging
import os
import re
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from genjax.errors import UserError
from genjax.machine.checksum import crc32
from genjax.machine.platform import trim_memory
from genjax.training.log import make_directory

# beside Orbax's own files, inside the directory of the step
SUMS = "crc32.json"
# no space, no quota left, larger than the file system allows
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Checkpoints:
    """The checkpoints in `directory` of the run with the canonical JSON text `config`, of which the newest `keep` stay.

    In a job of several processes each makes one and calls the same methods; all must see the directory. UserError
    if the directory cannot be written.
    """

    def __init__(self, directory: str | Path, config: str, keep: int = 2):
        self.directory = make_directory(directory)
        self.config = config
        self.keep = keep
        self._saving: int | None = None  # the step of the save in the background
        _silence_orbax()
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self.keep,
            cleanup_tmp_directories=True,  # what a kill in mid-save left
            async_options=ocp.AsyncOptions(post_finalization_callback=self._write_sums),
        )
        return ocp.CheckpointManager(self.directory, options=options)

    def all_steps(self) -> list[int]:
        """Returns the steps that can be restored, in ascending order; one that is being saved counts."""
        return sorted(self._manager.all_steps())  # Orbax promises no order

    def save(self, step: int, state: Any, meta: dict[str, Any]) -> None:
        """Saves the pytree of arrays `state` and the JSON dict `meta` in the background; no-op up to the newest step.

        The arrays may be donated as soon as this returns. Raises UserError if this or the last save failed, e.g. for
        a full disk.
        """
        self.wait()
        trim_memory()  # every save of Orbax runs in new threads
        if step <= max(self.all_steps(), default=-1):
            return
        # what a later run is compared with before it restores
        about = {"config": self.config, "state": leaves(state), "meta": meta}
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            meta=ocp.args.JsonSave(about),
        )
        self._saving = step
        try:
            self._manager.save(step, args=args)
        except Exception as error:  # of many kinds: Orbax wraps what the system says
            self._fail(error)

    def wait(self) -> None:
        """Waits for the save in the background; raises UserError if it failed."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            self._fail(error)
        self._saving = None

    def close(self) -> None:
        """Waits and frees the threads; raises UserError if the last save failed."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def restore(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """Returns the newest intact (state, meta), or None if nothing was saved.

        `like` is the state as ShapeDtypeStructs; their shardings place the arrays (none = the first device), whatever
        the layout that saved them. Corrupt checkpoints newer than the one returned are renamed `<step>.corrupt`, with
        a warning on stderr. Raises UserError if none is intact, or if the checkpoint is of another config or another
        state; then nothing is renamed.
        """
        self.wait()
        steps = self.all_steps()[::-1]  # the newest first
        if not steps:
            return None
        # of the newest only, up to the first that is intact
        faults = self._corrupt(steps)
        count = len(faults)
        if count == len(steps):
            raise UserError(
                f"no checkpoint in {self.directory} is intact ({'; '.join(faults)}): put back a copy, "
                "or remove the directory to start from the beginning"
            )
        step = steps[count]
        about = _about(self._manager, step)
        # Checked before anything is moved: who names the wrong directory finds it as it was.
        self._check_config(about["config"])
        self._check_state(step, about["state"], leaves(like))
        self._move_aside(steps[:count], faults, step)
        return self._state(step, like), about["meta"]

    def _state(self, step: int, like: Any) -> Any:
        return _restored(self._manager, step, like)

    def at(self, step: int, like: Any) -> Any:
        """Returns the state of one step of `all_steps`; UserError if that checkpoint is not there or not intact."""
        self.wait()
        steps = self.all_steps()
        fault = "it is not there"
        # a step that is not there has no files to be read
        if step in steps:
            fault = _fault(self.directory / str(step))
        if fault is not None:
            kept = ", ".join(map(str, steps)) or "none"
            raise UserError(
                f"no checkpoint of step {step} in {self.directory} ({fault}): there are {kept}"
            )
        return self._state(step, like)

    def _corrupt(self, steps: list[int]) -> list[str]:
        """Returns what is wrong with the leading, corrupt ones of `steps`; all processes get the same number."""
        faults = []
        if jax.process_index() == 0:  # the files are read once, not by every process
            for step in steps:
                fault = _fault(self.directory / str(step))
                if fault is None:
                    break
                faults.append(f"step {step}: {fault}")
        if jax.process_count() > 1:
            found = np.int32(len(faults))
            count = int(multihost_utils.broadcast_one_to_all(found))
            faults = (
                faults or ["corrupt"] * count
            )  # only numbers travel; process 0 tells the words
        return faults

    def _move_aside(self, steps: list[int], faults: list[str], intact: int) -> None:
        if not steps:
            return
        if jax.process_index() == 0:
            for step, fault in zip(steps, faults, strict=True):
                aside = self.directory / f"{step}.corrupt"
                shutil.rmtree(aside, ignore_errors=True)
                (self.directory / str(step)).rename(aside)
                print(
                    f"warning: corrupt checkpoint ({fault}) moved to {aside}; going on from step {intact}",
                    file=sys.stderr,
                    flush=True,
                )
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("corrupt checkpoints moved aside")
        self._manager.reload()

    def _check_config(self, saved: str) -> None:
        other = differing(saved, self.config)
        if other:
            raise UserError(
                f"{self.directory} holds checkpoints of another config: {other}; "
                "choose another run directory or remove this one"
            )

    def _check_state(self, step: int, saved: dict[str, str], like: dict[str, str]) -> None:
        other = misfit(saved, like)
        if other:
            raise UserError(
                f"the checkpoint of step {step} in {self.directory} was saved by other code: {other}; "
                "choose another run directory or remove this one"
            )

    def _write_sums(self) -> None:
        """Runs in Orbax's thread on process 0, when the files are whole and the directory not yet renamed."""
        unfinished = self.directory.glob(f"{self._saving}.orbax-checkpoint-tmp*")
        step_dir = next(unfinished, self.directory / str(self._saving))
        # Not all that lies there: Orbax has files of its own beside these two.
        files = _files(step_dir, "state") + _files(step_dir, "meta")
        sums = {str(path.relative_to(step_dir)): crc32(path) for path in files}
        (step_dir / SUMS).write_text(json.dumps(sums))

    def _fail(self, error: Exception) -> None:
        """Removes what the failed save left, which frees its space, and raises a UserError if the disk is the cause."""
        # Orbax and TensorStore wrap the system's errors in their own
        code = _errno(error)
        if code is None:  # not the system's: a mistake in the program keeps its traceback
            raise error
        # Orbax may hold a second error of the same save, which the first close raises.
        for _ in range(2):
            with contextlib.suppress(Exception):
                self._manager.close()
        _close_unstarted()
        if jax.process_index() == 0:
            for left in self.directory.glob(f"{self._saving}.orbax-checkpoint-tmp*"):
                shutil.rmtree(left, ignore_errors=True)
        # To open it again needs all processes, and the others may not have failed.
        if jax.process_count() == 1:
            self._manager = self._open()

        kept = "no checkpoint was saved before"
        before = [step for step in self.all_steps() if step != self._saving]
        if before:
            kept = f"the checkpoint of step {max(before)} is intact"
        full = code in FULL
        what = "disk full" if full else os.strerror(code)
        remedy = "free some space" if full else "mend the directory"
        where = f"step {self._saving} in {self.directory}"
        raise UserError(
            f"{what} while saving {where}: {remedy} and run the same command again; {kept}"
        ) from error


class Reader:
    """The checkpoints of a run as one finds them: nothing is written, moved or removed, also beside a training run.

    UserError where there is none.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory).absolute()  # as Orbax wants it
        _silence_orbax()

    def steps(self) -> list[int]:
        """The steps of which there is a checkpoint, in ascending order."""
        # by name: one that is being written, or was found corrupt, has a longer one
        names = [path.name for path in self.directory.glob("*") if path.name.isdecimal()]
        return sorted(map(int, names))

    def intact(self) -> list[int]:
        """Those of `steps` whose files are as they were written."""
        return [step for step in self.steps() if _fault(self.directory / str(step)) is None]

    def about(self, step: int | None = None) -> tuple[int, dict[str, Any]]:
        """(step, {"config", "state", "meta"}) of the newest intact checkpoint, or of the one of `step`.

        "config" is canonical JSON, "state" names the arrays as `leaves` does.
        """
        steps = self.steps()
        kept = ", ".join(map(str, steps)) or "none"
        wanted = steps[::-1] if step is None else [step]  # the newest first
        faults = []
        for each in wanted:
            fault = _fault(self.directory / str(each)) if each in steps else "it is not there"
            if fault is None:
                with self._opened() as manager:
                    return each, _about(manager, each)
            faults.append(f"step {each}: {fault}")
        why = "; ".join(faults) or "none was saved"
        raise UserError(
            f"no checkpoint to be read in {self.directory} ({why}): there are {kept}"
        )

    def state(self, step: int, like: Any) -> Any:
        """The state of a step that `about` has told of; `like` as in `Checkpoints.restore`."""
        with self._opened() as manager:
            return _restored(manager, step, like)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[ocp.CheckpointManager]:
        options = ocp.CheckpointManagerOptions(read_only=True, create=False)
        manager = ocp.CheckpointManager(self.directory, options=options)
        try:
            yield manager
        finally:
            manager.close()


def _about(manager: ocp.CheckpointManager, step: int) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    args = ocp.args.Composite(meta=ocp.args.JsonRestore())
    restored: Any = manager.restore(step, args=args)
    return restored.meta


def _restored(manager: ocp.CheckpointManager, step: int, like: Any) -> Any:
    """The state of a checkpoint."""
    # onto the layout of now, whatever it was saved from
    where = jax.tree.map(_placed, like)
    args = ocp.args.Composite(state=ocp.args.StandardRestore(where))
    restored: Any = manager.restore(step, args=args)
    return restored.state


def differing(saved: str, now: str) -> str:
    """What differs between two configs in canonical JSON, up to three fields of it; "" where they are the same."""
    # field by field: the message must name what differs
    there = _flat(json.loads(saved))
    here = _flat(json.loads(now))
    paths = here | there  # a field may be new, or gone
    differ = [path for path in paths if here.get(path) != there.get(path)]
    shown = []
    for path in differ[:3]:  # a line holds no more
        shown.append(f"{path} = {there.get(path, 'absent')} (now {here.get(path, 'absent')})")
    more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
    return ", ".join(shown) + more


def misfit(saved: dict[str, str], like: dict[str, str]) -> str:
    """The first array that is not the same in two states, as `leaves` names them; "" where all are."""
    for path in saved | like:
        # the first difference is enough: it is the code that changed, not a setting
        was = saved.get(path, "absent")
        now = like.get(path, "absent")
        if was != now:
            return f"{path} is {was} (now {now})"
    return ""


def _close_unstarted() -> None:
    """Closes Orbax's writes that the failed save made and never began.

    Each would have Python print "coroutine was never awaited" when it is freed; at exit no filter of warnings is heard.
    """
    for thing in gc.get_objects():
        # by the exact type: `isinstance` asks proxies for their class, which may import
        if type(thing) is not types.CoroutineType:
            continue
        of_orbax = "orbax" in thing.cr_code.co_filename
        if of_orbax and inspect.getcoroutinestate(thing) == inspect.CORO_CREATED:
            thing.close()


def _fault(step_dir: Path) -> str | None:
    """Returns what is wrong with the files of a checkpoint, None if each has the checksum it was saved with."""
    try:
        sums = dict(json.loads((step_dir / SUMS).read_bytes()))
        # every byte is read: a flipped one shows nowhere else
        for name, crc in sums.items():
            if crc32(step_dir / name) != crc:
                return f"{name} has changed"
    except (FileNotFoundError, NotADirectoryError) as error:
        return f"{Path(error.filename).relative_to(step_dir)} is missing"
    except PermissionError as error:
        # not corrupt: it must not be moved aside
        raise UserError(f"cannot read {error.filename}: mend its permissions") from error
    except OSError as error:
        return f"{error.filename or 'a file'} cannot be read ({error.strerror})"
    except (ValueError, TypeError):
        return f"{SUMS} is not valid"
    return None if sums else f"{SUMS} is empty"


def _files(step_dir: Path, item: str) -> list[Path]:
    return sorted(path for path in (step_dir / item).rglob("*") if path.is_file())


def _errno(error: BaseException | None) -> int | None:
    """Returns the system's error number behind `error`; TensorStore gives it only in the text."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        if found := re.search(r"os_error_code=\D{0,3}(\d+)", str(error)):
            return int(found[1])
        error = error.__cause__ or error.__context__
    return None


def leaves(state: Any) -> dict[str, str]:
    """Returns {path: "float32[64,10]"} of the arrays of a state."""
    leaves = {}
    flat, _ = jax.tree_util.tree_flatten_with_path(state)
    for path, leaf in flat:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        # what must agree for a state to be put back
        kind = f"{leaf.dtype}{list(leaf.shape)}"
        leaves[name] = kind.replace(" ", "")
    return leaves


def _placed(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    # Always a place: without one Orbax would take the saved layout, of devices that may not be here.
    first = jax.local_devices()[0]
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(first)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """Returns {dotted path: JSON text} of the plain values in nested dicts."""
    if not isinstance(value, dict):
        return {path: json.dumps(value)}
    flat = {}
    for name, item in value.items():
        below = f"{path}.{name}" if path else name
        flat |= _flat(item, below)
    return flat


def _from_elsewhere(record: logging.LogRecord) -> bool:
    # absl's logger is shared: others may have something to say
    return "orbax" not in Path(record.pathname).parts


def _awaited(record: logging.LogRecord) -> bool:
    # by their words, as asyncio gives these errors no type of their own
    told = record.getMessage()
    unheard = ("exception was never retrieved", "Task was destroyed but it is pending")
    return not any(words in told for words in unheard)


def _silence_orbax() -> None:
    """Keeps Orbax's words off the terminal: what fails is raised as well, and said there in one line.

    When a save fails, Orbax ends its event loop while TensorStore still has writes to report to it: one "Event loop is
    closed" for every array, and failed writes that nobody awaits.
    """
    for name, keep in (("absl", _from_elsewhere), ("asyncio", _awaited)):
        logger = logging.getLogger(name)
        if keep not in logger.filters:
            logger.addFilter(keep)
    if sys.unraisablehook is not _unraisable:
        _unraisable.others = sys.unraisablehook
        sys.unraisablehook = _unraisable


def _unraisable(caught: Any) -> None:
    error = caught.exc_value
    # what a destructor raises goes to this hook, and nowhere else
    closed = isinstance(error, RuntimeError) and str(error) == "Event loop is closed"
    if not closed:
        _unraisable.others(caught)
