"""Sets of a user's own files: what the files hold and not where they lie.

`content`, a mark of the files, is a part of the digest and of the cache's key, and the folders are not. The cache is
taken where the bytes of all files are those that it was made from. They are read for that once: after that their names,
sizes and times tell, which the cache notes beside the set.

A config of such a set has the fields `content`, `valid` and `stream`. It says where it lies (`Home`) and what lies
there (`Found`); `resolved` and `load` do the rest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

from genjax.data import cache, files
from genjax.data.decoding import readable, skipped
from genjax.data.source import Source, assemble, check_held
from genjax.errors import UserError
from genjax.machine.files import place

_MUCH = 10**9  # bytes: more than that takes a while or much room, which is told


class Home(NamedTuple):
    """Where the files of a set lie, and what the cache calls it."""

    key: str  # of all sets of this config in the cache
    name: str  # of the set, for people
    # (flag, folder as it was typed, the folder); a folder may be there twice, for files of two kinds
    folders: tuple[tuple[str, str, Path], ...]
    request: dict[str, Any]  # what changes the arrays, but for the mark

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders."""
        return tuple(root for _, _, root in self.folders)

    @property
    def path(self) -> str:
        """All folders in a line, for the cache's notes."""
        return " | ".join(map(str, dict.fromkeys(self.roots)))

    def gone(self) -> str:
        """The first folder that is not there, as it was typed; "" where all are."""
        missing = [typed for _, typed, root in self.folders if not root.is_dir()]
        return next(iter(missing), "")

    def flags(self) -> str:
        """How the folders are named: --data.a=FOLDER --data.b=FOLDER."""
        flags = dict.fromkeys(flag for flag, _, _ in self.folders)
        return " ".join(f"--data.{flag}=FOLDER" for flag in flags)


class Found(Protocol):
    """What lies in the folders of a set."""

    @property
    def splits(self) -> dict[str, list[Any]]:
        """What each split is made of."""
        raise NotImplementedError

    @property
    def notes(self) -> tuple[str, ...]:
        """For the user."""
        raise NotImplementedError

    def parts(self) -> tuple[list[str], ...]:
        """The names of the files that are read, of each folder of the `Home`."""
        raise NotImplementedError


Statuses = tuple[dict[str, files.Status], ...]  # of the files of each folder
Prepare = Callable[[Path, Any, Any], cache.Prepared]  # (directory, what is found, config)


def home(key: str, request: dict[str, Any], **typed: str) -> Home:
    """The home of a set whose folders are `typed` {flag: path}; UserError where one of them is not named."""
    folders = []
    for flag, path in typed.items():
        if not path:
            raise UserError(
                f"--data.{flag} is not set: name a folder of images by --data.{flag}=FOLDER."
            )
        # resolved: the same folder by another path has the same notes
        folders.append((flag, path, place(path).resolve()))
    names = dict.fromkeys(root.name for _, _, root in folders)
    return Home(key, "-".join(names), tuple(folders), request)


def check_share(test: float) -> None:
    """Raises UserError for a share of test images that is none."""
    if not 0 <= test < 1:  # all of it would leave nothing to train on
        raise UserError(f"--data.test={test} must be in [0, 1).")


@contextlib.contextmanager
def flagged(old: str, new: str) -> Iterator[None]:
    """What the block complains of, with the flags that the user knows."""
    try:
        yield
    except UserError as error:
        text = str(error).replace(f"--data.{old}", f"--data.{new}")
        raise type(error)(text) from error


def resolved(cfg: Any, at: Home, find: Callable[[], Found]) -> Any:
    """The config with `content` as its folders have it; without them as the cache remembers it.

    UserError where neither is there, where they are no data set, and where `content` is given and is another.
    """
    if at.gone():
        return _remembered(cfg, at)
    there = _statuses(at, find())
    return _marked(cfg, at, _content(at, there))


def load(cfg: Any, at: Home, find: Callable[[], Found], prepare: Prepare) -> Source:
    """From the cache when its files are those of the folders, else by `prepare`.

    UserError names what cannot be read.
    """
    if at.gone():  # the cache may still have the set
        _check_streamed(cfg, at)
        return _read(_remembered(cfg, at), at, None, lambda directory: _nowhere(at))
    found = find()
    check_held(at.folders[0][1], found.splits, cfg.valid)
    # before the files are looked at: what is written later has a later time
    now = time.time_ns()
    there = _statuses(at, found)
    seen = _sighting(at, there, now)
    cfg = _marked(cfg, at, seen.content)

    def prepared(directory: Path) -> cache.Prepared:
        fresh = not directory.exists()  # records to stream are prepared once and stay
        if cfg.stream and fresh:
            where = f"preparing {at.path} for streaming in {directory} (once)"
            print(where, file=sys.stderr)
        made = prepare(directory, found, cfg)
        if fresh:
            _check_still(directory, at, found, there)
        return made

    source = _read(cfg, at, seen.fingerprint, prepared)
    cache.note(at.key, _request(cfg, at), seen, cfg.stream)
    return source._replace(notes=(*source.notes, *found.notes))


def rows(
    directory: Path,
    at: Home,
    found: Found,
    fields: dict[str, Any],
    read: Callable[[Any], dict[str, Any]],
    skip_bad: bool,
    tell: Callable[[], list[str]] = list,
) -> cache.Prepared:
    """The set as rows of `fields`: read(item) -> {field: array} of each item of a split, see `decoding.readable`.

    tell: notes on what was read, asked for afterwards.
    """
    from genjax.data import builders

    bad: list[str] = []
    splits = {}  # functions: a split is decoded when the builder asks for it
    for split, items in found.splits.items():
        if items:
            how = (at.roots[0], read, items, skip_bad, bad)
            splits[split] = functools.partial(readable, *how)
    total = sum(map(len, found.splits.values()))
    _tell_size(total, fields)
    fresh = not directory.exists()
    prepared = builders.rows(directory, fields, splits)
    # of records that were there nothing has been read: who wrote them has kept the notes
    # each file once: a picture with several captions is as many examples
    images = len(set(found.parts()[0]))
    notes = [*skipped(sorted(set(bad)), images), *tell()] if fresh else []
    return prepared._replace(notes=kept(directory, notes))


def _tell_size(n: int, fields: dict[str, Any]) -> None:
    """Tells of a large set before the hours that it may take, and the disk that it may fill."""
    each = sum(math.prod(kind.shape) * kind.dtype.itemsize for kind in fields.values())
    if n * each > _MUCH:
        print(f"{n} examples are {n * each / 1e9:.1f} GB", file=sys.stderr, flush=True)


def kept(directory: Path, notes: Sequence[str]) -> tuple[str, ...]:
    """The notes of a set that was just prepared; of one that was prepared before what was written beside its records.

    Beside the records: who finds them there still hears of it.
    """
    told = directory / "skipped.txt"
    if notes:
        told.write_text("\n".join(notes))
    if not told.exists():
        return ()
    return tuple(told.read_text().splitlines())


def _request(cfg: Any, at: Home) -> dict[str, Any]:
    """What changes the arrays; `valid` cuts them later."""
    return {"content": cfg.content, **at.request}


def _read(
    cfg: Any, at: Home, mark: str | None, prepare: Callable[[Path], cache.Prepared]
) -> Source:
    """The set of `content`, prepared where the cache lacks it or has it of other bytes than `mark` says."""
    how = (_request(cfg, at), mark, prepare, cfg.valid, cfg.stream)
    return assemble(at.name, at.key, *how)


def _check_streamed(cfg: Any, at: Home) -> None:
    """Raises UserError, where a folder is gone, for a set of which the cache has records alone."""
    if cfg.stream:  # the names of files and classes are not among them
        raise UserError(
            f"there is no folder {at.gone()!r}, which a streamed set is read with: put it back, or name another by "
            f"{at.flags()}."
        )


def _nowhere(at: Home) -> NoReturn:
    """In place of preparing, where there is nothing to prepare from."""
    raise UserError(
        f"there is no folder {at.gone()!r}, and the cache has no such set that was read from it: name a folder of "
        f"images by {at.flags()}."
    )


def _marked(cfg: Any, at: Home, mark: str) -> Any:
    """The config with the mark of what lies in the folders; UserError where it is to be another."""
    if cfg.content not in ("", mark):
        typed = " or ".join(dict.fromkeys(typed for _, typed, _ in at.folders))
        raise UserError(
            f"{typed} has changed: its images have the mark {mark} and the run's have {cfg.content}: put the "
            "old ones back, or train on what is there now without --data.content."
        )
    return dataclasses.replace(cfg, content=mark)


def _remembered(cfg: Any, at: Home) -> Any:
    """The config with the mark of the last set that was read from the folders, of which one is gone."""
    if cfg.content:
        return cfg
    for seen in cache.sightings(at.key):
        if seen.path == at.path:
            return dataclasses.replace(cfg, content=seen.content)
    return _nowhere(at)


def _statuses(at: Home, found: Found) -> Statuses:
    of_folders = zip(at.roots, found.parts(), strict=True)
    return tuple(files.statuses(root, names) for root, names in of_folders)


def _joined(marks: Sequence[str]) -> str:
    """One mark of those of all folders; "" where one of them is."""
    if len(marks) == 1 or "" in marks:
        return min(marks)
    digest = hashlib.sha256(" ".join(marks).encode())
    return digest.hexdigest()[:16]


def _content(at: Home, there: Statuses) -> str:
    of_folders = zip(at.roots, there, strict=True)
    return _joined([files.content(root, its) for root, its in of_folders])


def _sighting(at: Home, there: Statuses, now: int) -> cache.Sighting:
    """What the folders hold, by the cache's notes where the files' times are those of a note, else by all bytes."""
    content = _content(at, there)
    times = _joined([files.times(its, now) for its in there])
    for seen in cache.sightings(at.key):
        # the content too: an earlier release may have made another mark of the same files
        if times and seen.times == times and seen.content == content:
            return seen._replace(path=at.path)
    total = sum(status.size for its in there for status in its.values())
    if total > _MUCH:
        told = f"reading {total / 1e9:.1f} GB in {at.path}, to know whether the cache has them"
        print(told, file=sys.stderr, flush=True)
    of_folders = zip(at.roots, there, strict=True)
    every_byte = _joined([files.fingerprint(root, its) for root, its in of_folders])
    return cache.Sighting(at.path, content, times, every_byte)


def _check_still(directory: Path, at: Home, found: Found, there: Statuses) -> None:
    """Raises UserError, and leaves nothing prepared, where files have changed while they were read."""
    if _statuses(at, found) != there:
        shutil.rmtree(directory, ignore_errors=True)
        raise UserError(
            f"{at.path} has changed while it was read: wait until nothing is written there, and run the command again."
        )
