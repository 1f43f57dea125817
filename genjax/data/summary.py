"""What a data set is, in a line or two: a run tells it at its start, so that a wrong set shows before the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genjax.core import size
from genjax.data.batches import Arrays, domains
from genjax.data.source import Source

MOST = 8  # classes told one by one
_TOLD = 3  # names where there are more


def summary(source: Source) -> str:
    """One line of what the examples are and how many; a second of classes and notes, if there are any.

    Labels in memory are counted, those of a streamed set are not read. Of a source that `source.check` has passed.
    """
    first = f"{plain(source.name)}: {_fields(source)}; {_sizes(source)}"
    second = [*_labels(source), *map(plain, source.notes)]
    return "\n".join([first, "; ".join(second)]) if second else first


def plain(text: str) -> str:
    """A name in one line of printable characters: files and classes may have any."""
    return text if text.isprintable() else ascii(text)


def _fields(source: Source) -> str:
    """What is modelled and what comes with it: image 8x8x1 with attributes 3: round, red, large."""
    told = []
    for name, kind in source.fields.items():
        # classes are told in a line of their own
        if name != "label":
            told.append(_kind(name, kind))
    first, *beside = told or [_kind(source.main, source.fields[source.main])]
    return f"{first} with {', '.join(beside)}" if beside else first


def _kind(name: str, kind: Any) -> str:
    """A field: its name, its kind where the name does not say it, its shape, and what its numbers are."""
    words = [plain(name)]
    about = type(kind).__name__
    if about.lower() != name.lower():
        words.append(f"({about})")
    if kind.shape:
        words.append("x".join(map(str, kind.shape)))
    vocabulary = getattr(kind, "vocabulary", 0)
    if vocabulary:
        words.append(f"of {vocabulary}")
    told = " ".join(words)
    names = getattr(kind, "names", ())
    return f"{told}: {_some(names)}" if names else told


def _some(names: Sequence[str]) -> str:
    """The names, or the first of many."""
    shown = names if len(names) <= MOST else (*names[:_TOLD], "…")
    return ", ".join(map(plain, shown))


def _sizes(source: Source) -> str:
    """The examples of each split; of data with domains those of each domain."""
    told = []
    for split, arrays in source.splits().items():
        # most sets have no validation split; that one has no test split is worth a word
        if not size(arrays) and split == "valid":
            continue
        parts = [f"{size(arrays[name])} {plain(name)}" for name in domains(arrays)]
        n = " and ".join(parts) or str(size(arrays))
        told.append(f"{split} {n}")
    streamed = "" if source.records is None else ", streamed"
    return f"{', '.join(told)} examples{streamed}"


def _labels(source: Source) -> list[str]:
    """The classes, with how many examples each has where that is known."""
    names = source.class_names
    if not names:
        return []
    told = f"{len(names)} classes" if len(names) > 1 else "1 class"
    if source.records is not None:  # a label costs as much as its picture
        return [f"{told}: {_some(names)}"]
    counts = {}
    for split, arrays in source.splits().items():
        if size(arrays):
            counts[split] = _counts(arrays, source.classes)
    each, *few = of_classes(names, counts)
    if len(names) > MOST:
        told += f" ({_some(names)})"
    return [f"{told}, {each}", *few]


def _counts(arrays: Arrays, classes: int) -> np.ndarray:
    """Examples of each class, [classes], in all domains together."""
    parts = [arrays[name] for name in domains(arrays)] or [arrays]
    total = np.zeros(classes, np.int64)
    for part in parts:
        label = np.asarray(part["label"])
        total += np.bincount(label, minlength=classes)
    return total


def of_classes(names: Sequence[str], counts: Mapping[str, np.ndarray]) -> list[str]:
    """{split: examples of each class [K]} in words, and which classes have too few to learn from."""
    each = _each(names, counts) if len(names) <= MOST else _ranges(counts)
    return [each, *_few(names, counts.get("train", ()))]


def _each(names: Sequence[str], counts: Mapping[str, np.ndarray]) -> str:
    """Every class with its examples in each split: train/test: cat 40/4, dog 38/5."""
    told = []
    for k, name in enumerate(names):
        numbers = [str(count[k]) for count in counts.values()]
        told.append(f"{plain(name)} {'/'.join(numbers)}")
    return f"{'/'.join(counts)}: {', '.join(told)}"


def _ranges(counts: Mapping[str, np.ndarray]) -> str:
    """The fewest and the most examples of a class: 732 to 1300 examples each in train, 50 in test."""
    told = []
    for split, count in counts.items():
        least, most = min(count), max(count)
        between = f"{least}" if least == most else f"{least} to {most}"
        each = "" if told else " examples each"
        told.append(f"{between}{each} in {split}")
    return ", ".join(told)


def _few(names: Sequence[str], train: Sequence[int]) -> list[str]:
    """The classes without a training example, of which a model learns nothing, and those with one."""
    told = []
    for n, what in ((0, "no training example"), (1, "a single training example")):
        found = [name for name, count in zip(names, train, strict=False) if count == n]
        if found:
            rest = f" and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
            shown = ", ".join(map(plain, found[:_TOLD]))
            told.append(f"{what} of {shown}{rest}")
    return told
