"""What lies in a folder of images: which files are read, their classes and splits, and marks of what they hold.

Every folder, and every file at the end of a link, is read once: another link to it is passed over and told.

Sub-folders that are called as a split is (`split_of`) are the splits where one means train and another valid or test,
or where all of them mean a split; else they are classes. Without a sub-folder for test, a hash of each file's name
relative to the folder draws the test images from those for training, so that a draw stays when files are added; the
same hash gives the order. What lies beside splits is passed over and told.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from genjax.data.batches import prefetch
from genjax.errors import UserError
from genjax.machine.checksum import crc32

# Pillow's formats that start no other program, and their suffixes. Not among them: EPS, for which Pillow starts
# ghostscript, IPTC, which may hold an EPS, WMF, which Windows draws, and .pfm, whose floats have no known range.
FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "DDS": (".dds",),
    "ICNS": (".icns",),
    "ICO": (".ico",),
    "PSD": (".psd",),
    "QOI": (".qoi",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "XBM": (".xbm",),
    "XPM": (".xpm",),
    "PCX": (".pcx",),
    # last: nothing at its beginning says that a file is one
    "TGA": (".tga", ".icb", ".vda", ".vst"),
}
TEXT = ".txt"
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
_SPLIT = re.compile(
    r"((?P<train>train|training|trainval)|(?P<valid>val|valid|validation|dev)|(?P<test>test|testing|eval|evaluation))"
    r"(set|data|images)?(\d{4})?"
)
READ = 64  # files whose bytes are a part of `content`
YOUNG = 2 * 10**9  # ns: the coarsest clock of a file system in use, FAT's
_CHUNK = 256  # files whose bytes are compared in one task
_TOLD = 3  # names that a message tells


class Scan(NamedTuple):
    """What a folder holds: class names; for each split (name relative to the folder, label) in hash order.

    The splits are train and test, and valid where the folder has one. Notes are for the user.
    """

    class_names: tuple[str, ...]
    splits: dict[str, list[tuple[str, int]]]
    notes: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """The files of all splits."""
        return [name for found in self.splits.values() for name, _ in found]

    def parts(self) -> tuple[list[str], ...]:
        """The files, as a set of one folder has them; see `marked.Found`."""
        return (self.names(),)


class Listed(NamedTuple):
    """What lies in a folder, by names relative to it."""

    names: list[str]  # of images
    others: Counter  # how many other files there are of each suffix
    again: list[tuple[str, str]]  # a name, and another that leads to the same folder or file
    strange: list[str]  # pipes, sockets and devices that are called as images are
    texts: list[str]  # names of text files, which are among the others too


class Status(NamedTuple):
    """What tells quickly that a file may be another."""

    size: int  # bytes
    modified: int  # ns
    # this one nobody can set back
    changed: int  # ns


def split_of(name: str, domain: str = "") -> str:
    """The split that a folder's name means: train, Training_Set, VAL, valid-data, dev, test2017 …; "" = none.

    domain: how the names end that mean one: of A trainA and testA, and not trainB.
    """
    if not name.endswith(domain):
        return ""
    word = re.sub(r"[\W_]", "", name.removesuffix(domain).casefold())
    found = _SPLIT.fullmatch(word)
    if not found:
        return ""
    meanings = found.groupdict()
    return next(split for split, matched in meanings.items() if matched)


def scan(root: Path, test: float, domain: str = "") -> Scan:
    """Finds the images under `root`, their classes and splits; hidden files and other suffixes are passed over.

    test: the share of the images that the hash draws for test. domain: see `split_of`, other images are passed over.
    UserError, in one line, for what is no data set.
    """
    listed = listed_images(root)
    if domain:
        listed = _of_domain(root, listed, domain)
    folders, parts = split_up(root, listed, domain)
    classes = _classes(root, parts, folders)
    # by the sorted names: the same numbers on every machine
    label = {name: i for i, name in enumerate(sorted(classes))}
    splits: dict[str, list[tuple[str, int]]] = {}
    for split, names in drawn(parts, test).items():
        splits[split] = [(name, label[_class_of(name, folders)]) for name in names]
    check_trained(root, splits, test)
    notes = notes_of(listed, folders, splits, test)
    class_names = () if "" in classes else tuple(label)  # "": images of no class
    return Scan(class_names, splits, notes)


def listed_images(root: Path) -> Listed:
    """What lies below `root`; UserError where nothing of it is an image."""
    listed = _listed(root)
    if not listed.names:
        raise UserError(
            f"{root} holds no images ({', '.join(FORMATS)}){_kinds(listed.others, '; its files are')}: "
            "name another by --data.path=FOLDER."
        )
    return listed


def _of_domain(root: Path, listed: Listed, domain: str) -> Listed:
    """The images in folders that mean a split of the domain; UserError where there is none."""
    names = [name for name in listed.names if split_of(name.partition("/")[0], domain)]
    if not names:
        raise UserError(
            f"{root} has no images of --data.domain={domain}: they are looked for in sub-folders such as "
            f"train{domain} and test{domain}."
        )
    return listed._replace(names=names)


def split_up(
    root: Path, listed: Listed, domain: str = ""
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """({sub-folder: split}, {split: names}); without sub-folders for splits all names are for training."""
    folders = _split_folders(root, listed.names, listed.again, domain)
    _check_apart(root, folders, listed.again)
    return folders, parts_of(listed.names, folders)


def drawn(parts: Mapping[str, Iterable[str]], test: float) -> dict[str, list[str]]:
    """{split: names in the order of their hashes}; a share of those for training are the test where there is none.

    The tail of a split, which may be held out, is then a fair draw of all classes.
    """
    splits: dict[str, list[str]] = {"train": [], "test": []}
    for split, names in parts.items():
        of_test = 0.0 if "test" in parts or split == "valid" else test
        for share, name in sorted((_share(name), name) for name in names):
            part = "test" if share < of_test else split
            splits.setdefault(part, []).append(name)
    return splits


def check_trained(root: Path, splits: Mapping[str, Sequence[Any]], test: float) -> None:
    """Raises UserError where nothing is left to train on."""
    if not splits["train"]:
        raise UserError(
            f"{root} has no image left for training: add images or lower --data.test={test}."
        )


def _listed(root: Path) -> Listed:
    """What lies below `root`, each folder and each file at the end of a link once."""
    found = Listed([], Counter(), [], [], [])
    known: dict[str, str] = {}  # where a folder or a link's file really is -> its name
    starts = [("", os.path.realpath(root))]
    links = []  # to files
    # what lies below `root` itself first: it keeps the name that it has there, whatever leads to it
    while starts:
        further = []
        for name, entry in _walk(root, starts, known, found.again):
            if not entry.is_symlink():
                _sort(name, entry.is_file(follow_symlinks=False), found)
            elif os.path.isdir(entry.path):
                further.append((name, os.path.realpath(entry.path)))
            else:
                links.append((name, entry.path))
        starts = sorted(further)
    for name, path in sorted(links):
        if not os.path.exists(path):  # who reads it will say so
            _sort(name, True, found)
            continue
        real = os.path.realpath(path)
        first = _known(real, known)
        if first and _suffix(name) in SUFFIXES:
            found.again.append((first, name))
            continue
        known[real] = name
        _sort(name, os.path.isfile(path), found)
    return found


def _walk(
    root: Path, starts: list[tuple[str, str]], known: dict[str, str], again: list
) -> Iterator[tuple[str, os.DirEntry]]:
    """(name relative to `root`, entry) of files and links in some folders and their sub-folders, but for hidden ones.

    starts: (name, where it really is); a folder that is known goes into `again` and is not entered.
    """
    todo = starts[::-1]  # the first is taken first
    while todo:
        folder, real = todo.pop()
        if real in known:
            again.append((known[real], folder))
            continue
        known[real] = folder
        for entry in _entries(root / folder):
            name = f"{folder}/{entry.name}" if folder else entry.name
            # some systems leave "._name.jpg" beside name.jpg, others a folder of such
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if entry.is_dir(follow_symlinks=False):
                todo.append((name, os.path.join(real, entry.name)))
            else:
                yield name, entry


def _entries(folder: Path) -> list[os.DirEntry]:
    """What a folder holds; UserError where it cannot be listed."""
    try:
        return list(os.scandir(folder))
    except OSError as error:
        _refuse(error)


def _known(real: str, known: dict[str, str]) -> str:
    """The name by which a file is listed already, "" = none."""
    if real in known:  # another link leads to it
        return known[real]
    folder, name = os.path.split(real)
    if folder not in known or name.startswith(".") or _suffix(name) not in SUFFIXES:
        return ""
    return f"{known[folder]}/{name}".lstrip("/")


def _sort(name: str, regular: bool, found: Listed) -> None:
    """Puts a file where it belongs; whoever opens a pipe or a device may wait for ever."""
    suffix = _suffix(name)
    if suffix == TEXT and regular:
        found.texts.append(name)
    if suffix not in SUFFIXES:
        found.others[suffix or name.rpartition("/")[2]] += 1
    elif regular:
        found.names.append(name)
    else:
        found.strange.append(name)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _refuse(error: OSError) -> NoReturn:
    """Of a folder that cannot be listed: without its images the set would be another."""
    raise UserError(
        f"{error.filename} cannot be listed ({error.strerror}): make it readable, or move it elsewhere."
    ) from error


def _split_folders(
    root: Path, names: list[str], again: list[tuple[str, str]], domain: str
) -> dict[str, str]:
    """{sub-folder: split} where the sub-folders are splits; {} where they are classes or there are none."""
    tops = {name.partition("/")[0] for name in names if "/" in name}
    # a test that is a link to what lies in train is meant as a split too
    linked = {second.partition("/")[0] for _, second in again}
    tops |= {top for top in linked if split_of(top, domain) and (root / top).is_dir()}
    beside = any("/" not in name for name in names)
    meanings = {top: split_of(top, domain) for top in sorted(tops) if split_of(top, domain)}
    splits = sorted(set(meanings.values()))
    # else a class of trains, among cars and ships, would be a split
    alone = bool(meanings) and len(meanings) == len(tops) and not beside
    if alone and "train" not in splits:
        first = next(iter(meanings))
        raise UserError(
            f"{root} holds {' and '.join(meanings)} and no train: add a sub-folder train, or name the images by "
            f"--data.path={root / first}."
        )
    if not alone and not ("train" in splits and len(splits) > 1):
        return {}
    for split in splits:
        same = [top for top, meaning in meanings.items() if meaning == split]
        if len(same) > 1:
            raise UserError(
                f"{root} holds {' and '.join(same)}, which mean one split, {split}: put their images into one of them."
            )
    return meanings


def _check_apart(root: Path, folders: dict[str, str], again: list[tuple[str, str]]) -> None:
    """Raises UserError where the same images are in two splits, of which one says nothing of the other then."""
    for first, second in again:
        one, other = (folders.get(name.partition("/")[0]) for name in (first, second))
        if one and other and one != other:
            raise UserError(
                f"{root}: {second} leads to {first}, so that {other} and {one} share images: remove the link."
            )


def parts_of(names: list[str], folders: dict[str, str]) -> dict[str, list[str]]:
    """{split: names} by the sub-folders; all are for training where there are none."""
    if not folders:
        return {"train": names}
    parts: dict[str, list[str]] = {}
    for name in names:
        top, inside, _ = name.partition("/")
        if inside and top in folders:
            parts.setdefault(folders[top], []).append(name)
    return parts


def _classes(root: Path, parts: dict[str, list[str]], folders: dict[str, str]) -> set[str]:
    """The names of all classes, {""} of images without; UserError where some have a class and some have none."""
    places = {split: root / top for top, split in folders.items()} or {"train": root}
    of_split = {}
    for split, found in parts.items():
        classes = {_class_of(name, folders) for name in found}
        of_split[split] = classes
        if "" in classes and len(classes) > 1:
            raise UserError(
                f"{places[split]} holds images both beside and inside sub-folders (for instance "
                f"{sorted(classes)[1]}): put every image into a sub-folder, its class, or none."
            )
    bare = [split for split, classes in of_split.items() if "" in classes]
    sorted_out = [split for split in of_split if split not in bare]
    if bare and sorted_out:
        flat, other = places[bare[0]], places[sorted_out[0]]
        raise UserError(
            f"{flat} holds its {len(parts[bare[0]])} images without sub-folders and {other} holds its own in "
            f"{len(of_split[sorted_out[0]])} folders, one for each class: put every image of {flat.name} into the "
            f"folder of its class (ImageNet's valprep.sh does it for val), or move {flat.name} out of {root}."
        )
    return set().union(*of_split.values())


def _class_of(name: str, folders: dict[str, str]) -> str:
    """The first folder of a name, below that of its split; "" = none."""
    *above, _ = name.split("/")
    below = above[1:] if folders else above
    return below[0] if below else ""


def _share(name: str) -> float:
    """A number in [0, 1) that belongs to the name for ever."""
    digest = hashlib.sha256(os.fsencode(name)).digest()
    # 64 bits: no two names of a set are likely to tie
    return int.from_bytes(digest[:8], "big") / 2**64


def notes_of(
    listed: Listed, folders: dict[str, str], splits: Mapping[str, Sequence[Any]], test: float
) -> tuple[str, ...]:
    """What the user may not expect of the folder."""
    names, others, again, strange, _ = listed
    notes = []
    if folders and "test" not in folders.values() and splits["test"]:
        n = len(splits["test"])
        notes.append(f"no folder of test images: {n} of train are, by --data.test={test}")
    if folders:
        tops = Counter(name.partition("/")[0] for name in names)
        beside = sorted(top for top in tops if top not in folders)
        n = sum(tops[top] for top in beside)
        if n:
            shown = ", ".join(map(repr, beside[:_TOLD]))
            told = " and ".join(folders)
            notes.append(f"passed over {n} images beside {told}, for instance in {shown}")
    if again:
        first, second = min(again, key=lambda names: names[1])
        notes.append(
            f"passed over {len(again)} links to what is there already, for instance {second!r} to {first or '.'!r}"
        )
    if strange:
        told = f"passed over {len(strange)} pipes or devices, for instance {min(strange)!r}"
        notes.append(told)
    if others:
        n = sum(others.values())
        notes.append(f"passed over {n} files of other suffixes{_kinds(others, ':')}")
    return tuple(notes)


def _kinds(others: Counter, before: str) -> str:
    """The most frequent suffixes, after `before`; "" of none."""
    if not others:
        return ""
    told = [f"{n} {suffix!r}" for suffix, n in others.most_common(_TOLD)]
    return f"{before} {', '.join(told)}"


def statuses(root: Path, names: Iterable[str]) -> dict[str, Status]:
    """{name: Status}, in the order of the names. About 5 µs a file."""
    found = {}
    for name in sorted(names):
        try:
            status = os.stat(f"{root}/{name}")
        except OSError:  # a dangling link: who reads it will say so
            found[name] = Status(0, 0, 0)
            continue
        found[name] = Status(status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


def content(root: Path, files: dict[str, Status]) -> str:
    """16 hex digits of the names and sizes of all files, and of the bytes of up to 64 evenly spaced.

    Not of times or of the folder's own name: a moved or copied folder is the same set.
    """
    digest = hashlib.sha256()
    for name, status in files.items():
        # fsencode: names need not be valid text
        digest.update(os.fsencode(name) + b"\0%d\n" % status.size)
    names = list(files)
    spaced = np.linspace(0, len(names) - 1, min(len(names), READ))
    for i in np.unique(spaced.astype(np.int64)):
        digest.update(b"%d\n" % _crc(root, names[i]))
    return digest.hexdigest()[:16]


def times(files: dict[str, Status], now: int) -> str:
    """A digest of names, sizes and times: where it is the same the bytes are.

    now: ns since 1970. "" where a file is so young that it might be written again within the same tick of the clock.
    """
    for status in files.values():
        # the distance: a file from the future is not young, a new time would differ from its own
        if min(abs(now - status.modified), abs(now - status.changed)) < YOUNG:
            return ""
    digest = hashlib.sha256()
    for name, status in files.items():
        digest.update(os.fsencode(name) + b"\0%d\0%d\0%d\n" % status)
    return digest.hexdigest()[:16]


def fingerprint(root: Path, files: dict[str, Status]) -> str:
    """A digest of the names and of all bytes: about a second a GB, 40 µs a file."""
    digest = hashlib.sha256()
    names = list(files)
    chunks = [names[first : first + _CHUNK] for first in range(0, len(names), _CHUNK)]

    def sums(chunk: list[str]) -> list[int]:
        return [_crc(root, name) for name in chunk]

    # threads: reading waits for the disk, and summing is without the interpreter's lock
    workers = os.cpu_count() or 1
    of_chunks = prefetch(sums, chunks, depth=2 * workers, workers=workers)
    for chunk, found in zip(chunks, of_chunks, strict=True):
        for name, crc in zip(chunk, found, strict=True):
            digest.update(os.fsencode(name) + b"\0%d\n" % crc)
    return digest.hexdigest()[:16]


def _crc(root: Path, name: str) -> int:
    """The CRC-32 of a file; of one that cannot be read 0, as who decodes it will say so."""
    try:
        return crc32(root / name)
    except OSError:
        return 0
