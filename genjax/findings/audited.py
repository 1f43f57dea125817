"""What an audit is of: anything that gives pictures, asked for one value of a category after the other.

A sampler is a config value with `start(name, task)`, which gives pictures under one name or several: `Held`, pictures
that training never saw, in the place of a sampler; `Filed`, pictures in a folder, whatever made them; `Sampled`, a run
that is trained or restored, asked through its own conditions, at several scales of guidance if wanted. Conditions are
those of rows of the training data, so that what is not asked for is as the data have it; `even` asks for one category
in even shares instead, which is fair guidance in the sense of Friedrich et al. 2023 (arXiv:2302.10893), who turn a coin
for what to guide by.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from genjax.config import edit, field
from genjax.core import size
from genjax.data.balanced import Balanced
from genjax.data.decoding import opened
from genjax.data.files import scan
from genjax.data.folder import Folder
from genjax.data.source import Source
from genjax.data.spoken.sentences import groups
from genjax.errors import UserError
from genjax.machine.files import typed
from genjax.pictures.draw import to_uint8
from genjax.training import loop
from genjax.training.experiment import Experiment

HOME = "bias"  # the folder of these runs


class Task(NamedTuple):
    """What all samplers of an audit are asked."""

    data: Any  # the data set's config
    source: Source
    about: str  # the category that is asked for
    n: int  # pictures
    seed: int
    runs: str
    origin: Mapping[str, Any]  # what a report tells of where a run comes from

    @property
    def columns(self) -> list[int]:
        """Of what is asked for, among the attributes."""
        return groups(names_of(self.source))[self.about]


class Drawn(NamedTuple):
    """Pictures uint8 [N, H, W, C], and the number of the value that each was asked for; None = nothing was asked."""

    images: np.ndarray
    asked: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Held:
    """Real pictures that no model was trained on: what an audit says of the data themselves."""

    def check(self, task: Task) -> None:
        """Raises UserError for data without any."""
        if not size(held(task.source)):
            raise UserError(
                f"--samplers: {task.source.name} holds no pictures out of training: leave Held() out."
            )

    def start(self, name: str, task: Task) -> dict[str, Drawn]:
        """One picture of each person, for several of one are no independent draws."""
        split = single(held(task.source))
        asked = value_of(split, task.columns)
        return {name: Drawn(np.asarray(split["image"]), asked)}


@dataclasses.dataclass(frozen=True)
class Sampled:
    """A model of this library: an experiment whose data, seed and folders the audit sets."""

    exp: Experiment = field(Experiment(), "the run")
    data: Any = field(
        None,
        "what it is trained on; None = the audit's data, Balanced() = these drawn again, whatever its `of`",
    )
    scales: tuple[float, ...] = field(
        (), "scales of guidance, each audited by itself; () = the config's alone"
    )
    even: str = field("", "category that is asked for in even shares; '' = as in the data")

    def check(self, task: Task) -> None:
        """Raises UserError for scales of what has no guidance, and for what cannot be asked for or never comes."""
        guidance = getattr(self.exp.algorithm, "guidance", None)
        kind = type(self.exp.algorithm).__name__
        if self.scales and not hasattr(guidance, "scale"):
            raise UserError(f"--samplers: {kind} has no guidance to try scales of: use ().")
        told = [each.of for each in getattr(self.exp.algorithm, "condition", ())]
        if self.even:
            check_group("even", self.even, task.source)
            # a sentence that is asked says the category that is asked for and nothing else
            beside = [name for name in told if name != "caption"]
            if not says(task.source, self.even, beside):
                raise UserError(
                    f"--samplers: even={self.even!r} needs a model that is told it, and this one is told "
                    f"{', '.join(told) or 'nothing'} (captions say {task.about} alone): add Label({self.even!r}) to "
                    "its condition."
                )
        if self.data is not None and not isinstance(self.data, Balanced):
            check_shape("samplers, data", self.data.load(), task.source)
        # rows that are not there, before minutes of training
        self.rows(task, "caption" in told)

    def start(self, name: str, task: Task) -> dict[str, Drawn]:
        """Trains or restores the run, and asks."""
        changes = {
            "data": self.trained_on(task),
            "seed": task.seed,
            "runs": task.runs,
            "finish": (),
        }
        exp = edit(self.exp, changes)
        this = loop.run(HOME, exp, name, {**task.origin, "differences": {}})
        asks = this.algorithm.asks
        rows, asked = self.rows(task, "caption" in asks)
        # of what is told nothing the occupation has to be read
        known = asked if says(task.source, task.about, asks) else None
        given = {field: np.asarray(task.source.train[field])[rows] for field in asks}
        given["index"] = np.arange(len(rows), dtype=np.uint32)
        found = {}
        for scale in self.scales or (None,):
            sample = this.algorithm.sample
            title = name
            if scale is not None:
                # the weights stay, and so do noise and conditions
                sample = edit(exp.algorithm, {"guidance.scale": scale})(this.spec).sample
                title = f"{name}, scale {scale:g}"
            images = to_uint8(this.draw(sample, given))
            found[title] = Drawn(images, known)
        return found

    def trained_on(self, task: Task) -> Any:
        """The config of its data: balanced ones are the audit's, also where --data.people or --data.bias was given."""
        if self.data is None:
            return task.data
        if isinstance(self.data, Balanced):
            return edit(self.data, {"of": task.data})
        return self.data

    def rows(self, task: Task, words: bool) -> tuple[np.ndarray, np.ndarray]:
        """(training rows [N] whose conditions are asked, the value of each), as many of every value.

        words: only sentences that say the value and nothing else. UserError where there are none.
        """
        train = task.source.train
        asked = value_of(train, task.columns)
        usable = np.ones(len(asked), bool)
        if words:
            said = np.asarray(train["said"]) > 0
            others = np.delete(said, task.columns, 1)
            # the first column says of all whether the category is said
            usable = said[:, task.columns[0]] & ~others.any(1)
        rng = np.random.default_rng(task.seed)
        parts = []
        for k in range(len(task.columns)):
            own = np.flatnonzero(usable & (asked == k))
            if not len(own):
                value = names_of(task.source)[task.columns[k]]
                how = " in a sentence that says nothing else" if words else ""
                raise UserError(
                    f"--data: no training example asks for {value}{how}: use more data."
                )
            count = task.n // len(task.columns)
            odds = self._odds(task, own, k)
            parts.append(rng.choice(own, count, p=odds))
        rows = np.concatenate(parts)
        return rows, asked[rows]

    def _odds(self, task: Task, own: np.ndarray, k: int) -> np.ndarray | None:
        """How likely each of the rows of value k is taken; None = all alike. UserError for what never comes with k."""
        # a category with itself is even already
        if self.even in ("", task.about):
            return None
        columns = groups(names_of(task.source))[self.even]
        value = value_of(task.source.train, columns)[own]
        count = np.bincount(value, minlength=len(columns))
        missing = np.flatnonzero(count == 0)
        if len(missing):
            names = names_of(task.source)
            raise UserError(
                f"--samplers: even={self.even!r}: {names[columns[missing[0]]]} never comes with "
                f"{names[task.columns[k]]} in {task.source.name}: use more data, or another category."
            )
        odds = 1.0 / count[value]
        return odds / odds.sum()


@dataclasses.dataclass(frozen=True)
class Filed:
    """Pictures in a folder, whatever made them; sub-folders are named after the values that were asked for.

    Without sub-folders nothing was asked for. How a folder is read is said in `genjax.data.folder`.
    """

    # execution: pictures that have moved are the same pictures
    path: str = field("", "the folder", execution=True)
    scaled: bool = field(
        False,
        "scale pictures of another size till they cover the data's, and cut; False = refuse",
    )
    content: str = field(
        "", "mark of the files, filled in when the folder is read; leave empty"
    )

    def resolved(self) -> Filed:
        """The same with `content` as the folder has it; UserError where it is no folder of pictures, or another one."""
        with _renamed():
            found = Folder(self.path, content=self.content, test=0.0).resolved()
        return dataclasses.replace(self, content=found.content)

    def check(self, task: Task) -> None:
        """Raises UserError for what `start` cannot read."""
        self.read(task)

    def start(self, name: str, task: Task) -> dict[str, Drawn]:
        """All pictures of the folder."""
        drawn, notes = self.read(task)
        for line in notes:
            print(f"{name}: {line}", file=sys.stderr, flush=True)
        return {name: drawn}

    def read(self, task: Task) -> tuple[Drawn, tuple[str, ...]]:
        """(the pictures, what is to be told of the folder).

        UserError for no folder, files that are no pictures or of another size, and sub-folders that are no values.
        """
        where = "--samplers, Filed.path"
        # of a data set the cache would do; here it would be a folder that nobody can look at
        if not self.path or not typed(self.path).is_dir():
            raise UserError(f"{where}={self.path!r} is no folder: name one of pictures.")
        height, width, channels = task.source.shape
        with _renamed():
            if not self.scaled:
                self._check_sizes(height, width)
            colour = channels == 3
            files = Folder(self.path, (height, width), colour, test=0.0, content=self.content)
            source = files.load()
        # sub-folders called train and test are parts of one sampler
        parts = [split for split in source.splits().values() if size(split)]
        images = np.concatenate([np.asarray(split["image"]) for split in parts])
        if not source.classes:
            return Drawn(images, None), source.notes
        # a folder numbers its classes by name, attributes have an order of their own
        place = self._places(source.class_names, task)
        label = np.concatenate([np.asarray(split["label"]) for split in parts])
        return Drawn(images, place[label]), source.notes

    def _check_sizes(self, height: int, width: int) -> None:
        """Raises UserError for a picture of another size."""
        root = typed(self.path)
        for name in scan(root, 0.0).names():
            with opened(root / name) as image:
                own = (image.height, image.width)
            if own != (height, width):
                raise UserError(
                    f"{root / name} is {own[0]}x{own[1]}, and pictures of --data are {height}x{width}: make all of one "
                    "size, or have them scaled and cut by Filed(..., scaled=True)."
                )

    def _places(self, names: Sequence[str], task: Task) -> np.ndarray:
        """The number of the value that each sub-folder is named after; UserError for others, and for one that lacks."""
        values = []
        for column in task.columns:
            values.append(names_of(task.source)[column].partition("=")[2])
        for name in names:
            if name not in values:
                raise UserError(
                    f"{self.path}: the sub-folder {name!r} is no {task.about}: name them {', '.join(values)}, or put "
                    "all pictures into one folder, of which nothing was asked for."
                )
        # shares of what was never asked for are none
        missing = [value for value in values if value not in names]
        if missing:
            raise UserError(
                f"{self.path}: no sub-folder has pictures of {', '.join(missing)}: an audit asks for every "
                f"{task.about}."
            )
        return np.array([values.index(name) for name in names])


@contextlib.contextmanager
def _renamed() -> Iterator[None]:
    """What the block complains of, by names that the user of an audit knows."""
    try:
        yield
    except UserError as error:
        text = str(error).replace("--data.path", "--samplers, Filed.path")
        # nothing is left out of an audit
        text = text.replace(", or skip all such files by --data.skip_bad=true", "")
        raise UserError(text) from error


@dataclasses.dataclass(frozen=True)
class Audited:
    """A sampler under the name that tables give it."""

    name: str = field("", "in the tables and of the run directory")
    of: Held | Sampled | Filed = field(Held(), "where pictures come from")


def names_of(source: Source, flag: str = "data") -> Sequence[str]:
    """The names of a set's attributes, "group=value"; UserError for data without labels of this kind."""
    kind = source.fields.get("attributes")
    names = getattr(kind, "names", ())
    if not any("=" in name for name in names):
        raise UserError(
            f"--{flag}: an audit needs pictures of which the groups are known, as attributes named sex=woman or so, "
            f"and {source.name} has none: use Workers(), SpokenHeads() or a set of your own with such a field."
        )
    return names


def says(source: Source, category: str, asks: Sequence[str]) -> bool:
    """Whether a model that is told these fields is told the category: labels of its values, or all attributes.

    Captions count, for only those that say the category are asked; a person's number or another category does not.
    """
    names = names_of(source)
    columns = groups(names)[category]
    values = tuple(names[column].partition("=")[2] for column in columns)
    for name in asks:
        if name in (category, "attributes", "caption"):
            return True
        # such as `label`, by the names of its classes
        if tuple(getattr(source.fields.get(name), "names", ())) == values:
            return True
    return False


def check_group(flag: str, group: str, source: Source) -> None:
    """Raises UserError for a category that the attributes do not have."""
    known = groups(names_of(source))
    there = [name for name, columns in known.items() if len(columns) > 1]
    if group not in there:
        raise UserError(
            f"--{flag}: {source.name} has no category {group!r}, it has {', '.join(there)}."
        )


def check_shape(flag: str, other: Source, source: Source) -> None:
    """Raises UserError for pictures of another shape than the audit's."""
    own = tuple(other.fields["image"].shape)
    wanted = tuple(source.fields["image"].shape)
    if own != wanted:
        raise UserError(
            f"--{flag}: its pictures are {own} and those of --data {wanted}: give both the same size."
        )


def value_of(split: Mapping[str, Any], columns: Sequence[int]) -> np.ndarray:
    """The number of the value that is true of each example [N], of a category with these columns."""
    # exactly one is 1
    return np.asarray(split["attributes"])[:, columns].argmax(1)


def single(split: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The first picture of each person, where it is known whose they are."""
    if "person" not in split:
        return dict(split)
    _, first = np.unique(split["person"], return_index=True)
    return {name: array[first] for name, array in split.items()}


def held(source: Source) -> dict[str, np.ndarray]:
    """What is not in training: the validation and test splits one after the other."""
    found = {}
    # a set need not have both
    for name in source.fields:
        parts = [np.asarray(split[name]) for split in (source.valid, source.test) if split]
        found[name] = np.concatenate(parts)
    return found
