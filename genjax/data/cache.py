"""The array cache: what a builder prepared, read once through its data source and kept as memory-mapped .npy files.

A set is a directory $GENJAX_CACHE/data/<name> (default ~/.cache/genjax/data/<name>) of `<split>-<field>.npy` and
`meta.json` with shapes, dtypes, class names, the fingerprint of the source files and the CRC-32 of every file. It is
written beside its place and renamed, so a half-written cache is never seen; another fingerprint, or a file whose bytes
are not those that were written, means that it is built again. Reading needs numpy alone: copy the directory to a
machine that has nothing else.

Checksums cost about a second a GB, so each machine compares them once, and again when a file's size or times change.
What it has compared is noted under $GENJAX_CACHE/verified, not in the set: the set may be read-only or shared, and a
note that were copied with it to another machine would vouch for bytes that the copying may have spoilt.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform as system
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genjax import fields as kinds
from genjax.data.batches import prefetch
from genjax.data.stream import Records
from genjax.errors import UserError
from genjax.machine.checksum import crc32
from genjax.machine.files import whole
from genjax.machine.platform import cache_root

# of the files' layout and of the builders: a new number makes every cache be built again
VERSION = 3
_CHUNK = 512  # examples read at a time
_SEEN = "seen.json"  # the sightings noted in a set
_PATHS = 16  # paths that it keeps beside the last


class Prepared(NamedTuple):
    """What a builder hands over: its splits ("train", "test") as records, their fields, and notes for the user."""

    splits: dict[str, Records]
    fields: dict[str, Any]  # {name: kind of genjax.fields}, what is modelled first
    notes: tuple[str, ...] = ()


class Stored(NamedTuple):
    """What the cache holds: {split: {field: array [N, ...]}}, memory-mapped."""

    splits: dict[str, dict[str, np.ndarray]]
    fields: dict[str, Any]
    notes: tuple[str, ...] = ()


def fingerprint(root: Path, names: Iterable[str]) -> str:
    """A digest of the files' names, sizes and times: changes when one is added, removed or written again.

    `names` are relative to `root`. About 10 µs a file.
    """
    digest = hashlib.sha256()
    for name in sorted(names):
        try:
            status = os.stat(os.path.join(root, name))
            # not the bytes: to read them all would take as long as to prepare
            size, time = status.st_size, status.st_mtime_ns
        except OSError:  # a dangling link: who reads it will say so
            size = time = 0
        # fsencode: names need not be valid text
        about = b"\0%d\0%d\n" % (size, time)
        digest.update(os.fsencode(name) + about)
    return digest.hexdigest()[:16]


def place(name: str, request: dict[str, Any]) -> Path:
    """The directory of a set; `request` holds the options that change its arrays."""
    text = json.dumps(
        request, sort_keys=True
    )  # sorted: the same whatever the order of the options
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    directory = f"{name}-{digest}" if request else name
    return cache_root() / "data" / directory


class Sighting(NamedTuple):
    """A source as it was when a set was read from it, for who would else read all of it to know what it holds."""

    path: str  # of the source, absolute
    content: str  # the mark that is a part of the set's request
    times: str  # a digest of names, sizes and times; "" = too young to tell
    fingerprint: str  # of all bytes
    at: float = 0.0  # s since 1970


class Changed(Exception):
    """A file of the cache is not what was written; the message says which, as the beginning of a sentence."""


def sightings(name: str) -> list[Sighting]:
    """What is noted in the sets of a name, the last first; a note that has changed is said and removed."""
    found = []
    for path in (cache_root() / "data").glob(f"{name}-*/{_SEEN}"):
        try:
            found += _sightings(path)
        except Changed as error:
            print(f"warning: {error}: {name} is compared again", file=sys.stderr, flush=True)
            with contextlib.suppress(OSError):
                path.unlink()
    return sorted(found, key=lambda seen: seen.at, reverse=True)


def _sightings(path: Path) -> list[Sighting]:
    """The sightings of one set, [] where none are noted; Changed where they are not as they were written."""
    try:
        noted = json.loads(path.read_text())
        intact = noted["crc32"] == _sum(noted["seen"])
        rows = [Sighting(*row) for row in noted["seen"]]
    except OSError:
        return []
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact:
        raise Changed(f"{path} has changed since it was written")
    return rows


def note(name: str, request: dict[str, Any], seen: Sighting, streamed: bool) -> None:
    """Notes a sighting in the set that `arrays` or `records` has given, quietly where it cannot be written.

    In the set, so that a copy of it on another machine is known by the path of its source.
    """
    path = place(name, request) / _SEEN
    if streamed:
        path = _records_place(name, request, seen.fingerprint) / _SEEN
    others: list[Sighting] = []
    with contextlib.suppress(Changed):  # then it is written anew
        # one for each path; of the oldest no one is likely to ask
        others = [old for old in _sightings(path) if old.path != seen.path][-_PATHS:]
    rows = [*others, seen._replace(at=time.time())]
    text = json.dumps({"seen": rows, "crc32": _sum(rows)})
    with contextlib.suppress(OSError), whole(path) as new:
        new.write_text(text)


def read(directory: Path, mark: str | None) -> Stored | None:
    """The cached set, or None if there is none, or it is of another version or fingerprint (mark None: any will do).

    Raises Changed if a file is not what was written.
    """
    path = directory / "meta.json"
    try:
        meta = json.loads(path.read_text())
        # not changed but old: built again without a warning
        if meta["version"] != VERSION:
            return None
        intact = meta.pop("crc32") == _sum(meta)
    except OSError:
        return None
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact:
        raise Changed(f"{path} has changed since it was written")
    if mark not in (None, meta["fingerprint"]):
        return None

    specs = meta["splits"]  # {split: {field: {"shape", "dtype", "crc32"}}}
    sums = {}
    for split, fields in specs.items():
        for name, spec in fields.items():
            sums[_file(split, name)] = spec["crc32"]
    _verify(directory, sums)
    try:
        splits = {split: _split(directory, split, fields) for split, fields in specs.items()}
    except (OSError, ValueError) as error:
        # Changed after it was verified, to the same size and time.
        raise Changed(f"a file of {directory} has changed since it was written") from error
    fields = {}
    for name, kind in meta["fields"].items():
        fields[name] = kinds.restored(kind)
    return Stored(splits, fields, tuple(meta["notes"]))


def _split(directory: Path, split: str, fields: dict[str, dict]) -> dict[str, np.ndarray]:
    arrays = {}
    for name, spec in fields.items():
        path = directory / _file(split, name)
        arrays[name] = _open(path, spec)
    return arrays


def _file(split: str, name: str) -> str:
    return f"{split}-{name}.npy"


def _sum(content: Any) -> int:
    """The CRC-32 of what meta.json or a note holds, whatever its order and white space."""
    text = json.dumps(content, sort_keys=True)
    return zlib.crc32(text.encode())


def _open(path: Path, spec: dict) -> np.ndarray:
    empty = 0 in spec["shape"]  # an empty file cannot be mapped
    array = np.load(path, mmap_mode=None if empty else "r", allow_pickle=False)
    same_shape = list(array.shape) == spec["shape"]
    same_type = str(array.dtype) == spec["dtype"]
    if not same_shape or not same_type:
        raise ValueError(f"{path} does not fit meta.json")
    return array


def _verify(directory: Path, sums: dict[str, int]) -> None:
    """Raises Changed unless the CRC-32 of the files are `sums` {file: CRC-32}; reads none that this machine knows."""
    stamp = _stamp(directory)
    try:
        # The marks are taken before the bytes are read: a change in between shows the next time.
        seen = {}
        for file, crc in sums.items():
            seen[file] = [*_marks(directory / file), crc]
        with contextlib.suppress(OSError, ValueError):  # no note, or a torn one
            known = json.loads(stamp.read_text())
            if known == seen:
                return
        for file, crc in sums.items():
            if crc32(directory / file) != crc:
                raise Changed(f"{directory / file} has changed since it was written")
    except OSError as error:
        raise Changed(f"{error.filename} cannot be read ({error.strerror})") from error

    # A note that cannot be kept costs the next run the comparison, no more.
    with contextlib.suppress(OSError):
        stamp.parent.mkdir(parents=True, exist_ok=True)
        with whole(stamp) as new:
            new.write_text(json.dumps(seen))


def _marks(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    # With ctime, as a copy that keeps mtime is a new file.
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _stamp(directory: Path) -> Path:
    """Where this machine notes what it has verified; by name, as home directories are shared between machines."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    machine = machine or system.node()  # a container's machine-id may be empty or missing
    names = [machine, str(directory.absolute())]
    # hashed: a path is no file name
    digests = [hashlib.sha256(name.encode()).hexdigest()[:12] for name in names]
    return cache_root() / "verified" / ("-".join(digests) + ".json")


def arrays(
    name: str, request: dict[str, Any], mark: str | None, prepare: Callable[[Path], Prepared]
) -> Stored:
    """The set as memory-mapped arrays, built with `prepare(working directory)` unless the cache has it."""
    directory = place(name, request)
    changed = ""
    try:
        stored = read(directory, mark)
    except Changed as error:
        if mark is None:
            mend = f"put the source or a good copy of {directory} back"
            raise UserError(f"{error}, and the source of {name} is gone: {mend}.") from error
        stored = None
        changed = str(error)
        print(f"warning: {changed}: {name} is prepared again", file=sys.stderr, flush=True)
    if stored is None:
        with _explained(name, directory, changed):
            _build(directory, name, mark or "", prepare)
        # Without the mark: of several processes that build at once another's work may be there.
        stored = _own(directory)
    if stored is None:
        raise UserError(
            f"the data cache {directory} cannot be read back: delete it and run the same command again."
        )
    _tell(stored.notes)
    return stored


def records(
    name: str, request: dict[str, Any], mark: str | None, prepare: Callable[[Path], Prepared]
) -> Prepared:
    """The set as records to stream; their files stay in a directory of their own, one for each fingerprint."""
    directory = _records_place(name, request, mark)
    fresh = not directory.exists()
    try:
        with _explained(name, directory):
            prepared = prepare(directory)
    except BaseException:
        # an interruption too: a part of a set takes room, and who finds it takes it for one that was prepared
        if fresh:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    _tell(prepared.notes)
    return prepared


def _records_place(name: str, request: dict[str, Any], mark: str | None) -> Path:
    # the fingerprint is a part of the name: nothing tells here whether old records are whole
    full = {**request, "fingerprint": mark, "version": VERSION}
    return place(f"{name}-records", full)


def _own(directory: Path) -> Stored | None:
    """The set as it was just built, whatever its fingerprint; None if it does not read back as it was written."""
    try:
        return read(directory, None)  # None: any fingerprint
    except Changed:
        return None


def _tell(notes: Iterable[str]) -> None:
    for note in notes:
        # at every load: who did not prepare the set must hear of it too
        print(note, file=sys.stderr)


def _build(directory: Path, name: str, mark: str, prepare: Callable[[Path], Prepared]) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    _sweep(directory)
    # in the same file system, or it could not be renamed into its place
    work = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        if mark:  # else there is no source, and `prepare` is about to say so
            print(f"preparing {name} in {directory} (once)", file=sys.stderr)
        prepared = prepare(work / "records")
        new = work / "arrays"
        new.mkdir()
        splits = {}
        for split, source in prepared.splits.items():
            splits[split] = _write(new, split, source, prepared.fields)
        fields = {name: kinds.stored(kind) for name, kind in prepared.fields.items()}
        # all that `read` checks or gives back
        meta = {"version": VERSION, "name": name, "fingerprint": mark, "fields": fields}
        meta |= {"splits": splits, "notes": prepared.notes}
        # last: a directory without meta.json is no set
        text = json.dumps({**meta, "crc32": _sum(meta)}, indent=1)
        (new / "meta.json").write_text(text)
        _publish(new, directory, work / "old")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sweep(directory: Path) -> None:
    """Removes what builds that were killed left behind, once it is a day old: a younger one may be at work."""
    for left in directory.parent.glob(f".{directory.name}-*"):
        with contextlib.suppress(OSError):
            age = time.time() - left.stat().st_mtime  # seconds
            if age > 86_400:
                shutil.rmtree(left)


def _write(
    directory: Path, split: str, source: Records, fields: dict[str, Any]
) -> dict[str, dict]:
    """Writes a split in chunks, so that memory stays bounded; by plain writes, for a full disk to be an error."""
    n = len(source)
    specs = {}  # {field: (shape [N, ...], dtype)}
    files = {}
    for name, kind in fields.items():
        specs[name] = ((n, *kind.shape), kind.dtype)
        path = directory / _file(split, name)
        files[name] = path.open("wb")
    sums = dict.fromkeys(specs, 0)

    def put(name: str, content: bytes) -> None:
        files[name].write(content)
        # of what was meant: reading back would bless a bad disk
        sums[name] = zlib.crc32(content, sums[name])

    try:
        for name, (full, dtype) in specs.items():
            put(name, _header(full, dtype))
        chunks = []
        for first in range(0, n, _CHUNK):
            last = min(first + _CHUNK, n)
            chunks.append(np.arange(first, last))
        workers = os.cpu_count() or 1  # decoding is most of the work
        for rows in prefetch(source.rows, chunks, depth=4, workers=workers):
            for name, (full, dtype) in specs.items():
                got = rows[name]
                # The header promised it, and nothing else would notice.
                if got.shape[1:] != full[1:] or got.dtype != dtype:
                    found = f"{got.dtype}{got.shape[1:]}"
                    wanted = f"{dtype}{full[1:]}"
                    raise ValueError(f"{split} {name}: {found} is not {wanted}")
                put(name, got.tobytes())
    finally:
        for file in files.values():
            file.close()
    about = {}
    for name, (full, dtype) in specs.items():
        about[name] = {"shape": list(full), "dtype": str(dtype), "crc32": sums[name]}
    return about


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """What a .npy file of such an array begins with."""
    header = io.BytesIO()
    about = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(header, about)
    return header.getvalue()


def _publish(new: Path, directory: Path, old: Path) -> None:
    """Puts `new` in its place; of several processes that build at once, any one's work serves all."""
    try:
        # of another fingerprint, or changed
        if directory.exists():
            directory.rename(old)  # who has mapped its files keeps them
        new.rename(directory)
    except OSError:
        if _own(directory) is None:
            raise


@contextlib.contextmanager
def _explained(name: str, directory: Path, changed: str = "") -> Iterator[None]:
    """What can go wrong in preparing, as the user's one line; `changed`: what is wrong with the set that is there."""
    try:
        yield
    # TFDS and grain are needed to prepare and not to read
    except ImportError as error:
        state = changed or f"{name} is not in the cache {directory}"
        raise UserError(
            f"{state} and cannot be prepared here ({error}): "
            f"pip install -r requirements.txt, or copy that directory from a machine that has it."
        ) from error
    except OSError as error:
        raise UserError(
            f"cannot write the data cache {directory} ({error.strerror or error}): "
            f"free space, or set GENJAX_CACHE to another directory."
        ) from error
