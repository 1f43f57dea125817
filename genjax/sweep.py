"""Sweeps: many runs as one value, every combination of what several fields are to be.

    grid(BASE, {"algorithm.beta": (1, 2, 4), "seed": range(3)})           nine runs
    grid(BASE, {("batch", "steps"): ((64, 2000), (128, 1000))})           two: the fields of one axis change together

A sweep is lazy: it is looked at when it is used, so a mistake in one is no obstacle to the rest of its file. Its
members are ordinary runs in directories of their own, and several processes may share them out.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import jax

from genjax import report
from genjax.config import diff, digest, edit, is_config, lookup, part_names, to_json, walk
from genjax.errors import UserError
from genjax.machine import hosts

TOLD = 3  # names in a message; the rest is a number
# characters of a value in the name of a directory, and of the name: the digest after it tells runs apart
LONGEST, LONGEST_NAME = 24, 160
# of these Python knows no parts, or none in an order that is the same on every machine
NO_AXES = (str, bytes, Mapping, Set)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Every combination of the axes' values in a config; an axis is (path or paths, values), the last turns fastest."""

    base: Any
    axes: tuple[tuple[Any, Any], ...]

    def members(self, title: str) -> list[Member]:
        """The runs of the sweep of that title, in order, with the marks of what lies in this machine's files.

        UserError for axes that do not fit, for equal runs, and for files that cannot be read.
        """
        written = self.outline(title)
        try:
            found = _filled(written)
        except UserError as error:
            raise UserError(f"sweep {title}: {error}") from None
        _check_distinct(title, found, digest)
        return found

    def outline(self, title: str) -> list[Member]:
        """The same as they are written, for what only tells of them: no file is read. UserError as for `members`."""
        try:
            rows = [_rows(paths, values) for paths, values in self.axes]
            found = [_member(self.base, title, parts) for parts in itertools.product(*rows)]
        except UserError as error:
            raise UserError(f"sweep {title}: {error}") from None
        _check_distinct(title, found, _known)
        return found

    def columns(self) -> dict[str, list[Any]]:
        """{path: the values that it has in turn} of every field that the axes set; UserError as for `members`."""
        found: dict[str, list[Any]] = {}
        for paths, values in self.axes:
            for row in _rows(paths, values):
                for path, value in row.items():
                    found.setdefault(path, []).append(value)
        return found

    def axis_of(self, path: str) -> str | None:
        """The path of the axis that sets the field at `path`, or a config that it lies in; None if no axis does."""
        wanted = _spelt(self.base, path)
        for its in self.columns():
            set_here = _spelt(self.base, its)
            if wanted == set_here or wanted.startswith(f"{set_here}."):
                return its
        return None


@dataclasses.dataclass(frozen=True, eq=False)  # by identity, which is quick to hash
class Member:
    """One run of a sweep."""

    name: str  # of its directory, before the digest
    digest: str
    # what is run: with the marks of what lies in files, so that it stays this run while those change
    cfg: Any
    written: Any  # the same without them, as it was typed

    def directory(self) -> str:
        """The name of its directory, <name>-<digest>."""
        return f"{self.name}-{self.digest}"


class _Mark(NamedTuple):
    """What was filled in at `path`, in the config that was written at `place`."""

    place: str
    config: Any
    path: str
    value: Any


def grid(base: Any, axes: Mapping[Any, Any]) -> Sweep:
    """The sweep of {path: values} over a config; {(path, path): ((value, value), ...)} for fields that change together.

    Whatever is wrong with it is told by `Sweep.members`.
    """
    listed = []
    for paths, values in axes.items():
        listed.append((paths, _listed(values)))
    return Sweep(base, tuple(listed))


def resolved(cfg: Any) -> Any:
    """A config with what is known on this machine alone filled in, by its own `resolved()` where it has one."""
    fill = getattr(cfg, "resolved", None)
    return fill() if callable(fill) else cfg


def share(members: Sequence[Member], part: int, parts: int) -> Sequence[Member]:
    """The members of part 1 .. `parts`: each is in one part, and the parts differ by one member at most."""
    return members[part - 1 :: parts]


def carry_out(
    title: str,
    members: Sequence[Member],
    mine: Sequence[Member],
    run: Callable[[Member], Any],
) -> None:
    """Runs those members of a sweep that are `mine` in turn; compares all, once all of them are finished.

    run(member) -> a `training.run.Run`, or None of what keeps no directory. A UserError of one member does not stop the
    others and is raised at the end; Preempted and KeyboardInterrupt stop all. The page of the comparison is
    <title>-<digest of all members>.html, beside the run directories.
    """
    failed: dict[Member, str] = {}  # and why
    untold: list[str] = []
    homes: list[Path] = []  # of those that are finished
    for i, member in enumerate(mine):
        before = f", {len(failed)} ended in an error" if failed else ""
        _tell(f"{title}: run {i + 1} of {len(mine)}{before}: {member.name}")
        try:
            homes += _finished(run(member))
        except UserError as error:
            failed[member] = _cause(error, member, title)
            untold.append(f"{member.name} ended in an error: {error}")
        # what all have in common, as a flag that none can do with, is told once, at the end
        if len(failed) <= i or len(set(failed.values())) > 1:
            for line in untold:
                _tell(line)
            untold.clear()
    if not mine:
        _tell(f"{title}: this part of its {len(members)} runs is empty.")
    if homes:
        _compare(title, members, failed, homes[0].parent)
    if failed:
        raise _failure(title, failed, len(mine))


def _finished(run: Any) -> list[Path]:
    """The directory of a run that is through; none of what keeps no log."""
    log = getattr(run, "log", None)
    if log is None:
        return []
    # JAX keeps the programs of all runs of a process: of a hundred runs they would fill the memory
    jax.clear_caches()
    return [log.directory]


def _cause(error: UserError, member: Member, title: str) -> str:
    """An error as it reads for any member: a message may name the directory."""
    directory = rf"{re.escape(member.name)}(-[0-9a-f]{{8}})?"
    return re.sub(directory, lambda _: title, str(error))


def _failure(title: str, failed: Mapping[Member, str], tried: int) -> UserError:
    """The error of a sweep some of whose members failed: each cause once, with the members that it stopped."""
    # many runs may have failed of one cause: it is told once
    causes: dict[str, list[str]] = {}
    for member, cause in failed.items():
        causes.setdefault(cause, []).append(member.name)
    if len(causes) == 1 and len(failed) == tried:
        (cause,) = causes
        return UserError(cause)
    told = [f"{_some(names)}: {cause}" for cause, names in causes.items()]
    return UserError(f"{len(failed)} of {tried} runs of {title} failed: {' '.join(told)}")


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - TOLD
    told = ", ".join(names[:TOLD])
    return f"{told} and {more} more" if more > 0 else told


def _compare(
    title: str, members: Sequence[Member], failed: Mapping[Member, str], above: Path
) -> None:
    """Writes the comparison of all finished members, or tells which are still to come."""
    number, _ = hosts.process()
    if number:  # of several processes the first one writes
        return
    # other processes may have run them, so the files say how far they are
    finished = []
    missing = []
    for member in members:
        home = above / member.directory()
        # written when all is measured
        if (home / "run.json").exists():
            finished.append(home)
        elif member not in failed:
            missing.append(member.name)
    if missing:
        _tell(
            f"{title}: {len(finished)} of {len(members)} runs are finished and will be compared when all are; "
            f"missing: {_some(missing)}"
        )
    elif len(finished) > 1:
        page = report.write(finished, above / f"{title}-{_digest(members)}.html")
        _tell(f"{title}: {len(finished)} of {len(members)} runs are compared in {page}")


def _digest(members: Sequence[Member]) -> str:
    """8 hex digits that name a sweep: those of its runs, in whatever order."""
    marks = sorted(member.digest for member in members)
    whole = hashlib.sha256("".join(marks).encode()).hexdigest()
    return whole[:8]


def _tell(line: str) -> None:
    """A line of progress, where runs tell theirs."""
    print(" ".join(line.splitlines()), file=sys.stderr, flush=True)


def _paths(paths: Any) -> tuple[str, ...]:
    """The paths of an axis."""
    return paths if isinstance(paths, tuple) else (paths,)


def _listed(values: Any) -> Any:
    """The values of an axis as a tuple; what is no axis stays as it is, for `_rows` to tell of."""
    if isinstance(values, NO_AXES):
        return values
    if hasattr(values, "tolist"):  # Python's own numbers, out of numpy's arrays
        values = values.tolist()
    try:
        return tuple(values)
    except TypeError:
        return values


def _rows(paths: Any, values: Any) -> list[dict[str, Any]]:
    """The edits that an axis makes in turn; UserError for what is no axis."""
    named = _paths(paths)
    if not named or not all(isinstance(path, str) for path in named):
        raise UserError(
            f"{paths!r} is no path of a field: an axis is {{'algorithm.beta': (1, 2)}}."
        )
    where = " and ".join(named)
    if not isinstance(values, tuple):
        raise UserError(
            f"{where}: the values of an axis are a tuple, a list or a range, such as (1, 2); got {values!r} "
            f"({type(values).__name__})"
        )
    if not values:
        raise UserError(f"{where}: the axis has no values: give it some, or leave it out")
    rows = []
    for value in values:
        # fields that change together have a value each
        each = value if isinstance(paths, tuple) else (value,)
        if not isinstance(each, tuple | list) or len(each) != len(named):
            raise UserError(
                f"{where}: expected {len(named)} values that go together, got {value!r}"
            )
        rows.append(dict(zip(named, each, strict=True)))
    return rows


def _member(base: Any, title: str, parts: Sequence[dict[str, Any]]) -> Member:
    """The run with one row of every axis."""
    changes: dict[str, Any] = {}
    for part in parts:
        changes |= part
    cfg = edit(
        base, changes
    )  # as if each flag had been typed, so a mistake is told with its path
    name = title
    for path in changes:
        _, value = lookup(cfg, path)  # as the field has it: 1.0 for 1
        name += f"_{path.split('.')[-1]}{_word(value)}"
    return Member(name[:LONGEST_NAME], digest(cfg), cfg, cfg)


def _filled(members: Sequence[Member]) -> list[Member]:
    """The members with what is known on this machine alone filled in, alike wherever they are written alike."""
    found = []
    marks: list[_Mark] = []
    for member in members:
        written = _parts(member.written)
        cfg = member.written
        # of a run that still trains the first member says which step is the newest
        for mark in marks:
            if written.get(mark.place) == mark.config:
                cfg = edit(cfg, {mark.path: mark.value})
        cfg = resolved(cfg)
        found.append(dataclasses.replace(member, digest=digest(cfg), cfg=cfg))
        for path, (_, value) in diff(member.written, cfg).items():
            place, _, _ = path.rpartition(".")
            # what a whole experiment marks itself with may depend on any of its fields
            mark = _Mark(place, written.get(place), path, value)
            if is_config(mark.config) and mark not in marks:
                marks.append(mark)
    return found


def _parts(cfg: Any) -> dict[str, Any]:
    """{path: value} of all fields of a config and of the configs in it."""
    return {path: value for path, _, value, *_ in walk(cfg)}


def _known(cfg: Any) -> str:
    """What tells runs apart before any file is read: the digest, and in full what is still to be filled in."""
    parts = _parts(cfg).values()
    open_parts = [part for part in parts if callable(getattr(part, "resolved", None))]
    return "".join([digest(cfg), *map(to_json, open_parts)])


def _check_distinct(title: str, members: Sequence[Member], mark: Callable[[Any], str]) -> None:
    """UserError where two members have one mark: they would share a directory."""
    seen: dict[str, Member] = {}
    for member in members:
        other = seen.setdefault(mark(member.cfg), member)
        if other is not member:
            raise UserError(
                f"sweep {title}: {other.name} and {member.name} are the same run, {member.digest}: fields marked * in "
                "--help make no other run."
            )


def _spelt(cfg: Any, path: str) -> str:
    """A path with the parts of tuples by their numbers: finish.0.n where it is written finish.Samples.n."""
    names = []
    value = cfg
    for name in path.split("."):
        if isinstance(value, tuple):
            known = part_names(value)
            place = known.index(name) if name in known else name
            name = str(place)
            inside = name.isdecimal() and int(name) < len(value)
            value = value[int(name)] if inside else None
        else:
            # a path that leads nowhere stays as it is: who sets it is told
            value = getattr(value, name, None)
        names.append(name)
    return ".".join(names)


def _word(value: Any) -> str:
    """A value as a part of a directory's name: the same in whatever order an axis has it."""
    text = type(value).__name__ if is_config(value) else str(value)
    word = re.sub(r"[^\w.+-]+", "-", text, flags=re.ASCII).strip("-")
    return word[:LONGEST]
