"""People who sit for several pictures: what talking heads are learned from (Zakharov et al. 2019, arXiv:1905.08233).

An example is a person: some frames and their landmarks. A view, `FewShots`, chooses K of them as what is known of the
person, and one more as what is to be made of its landmarks' drawing; training sees other choices at every sight,
evaluation the first K frames and the one after them.

    Experiment(data=Sittings(), view=(FewShots(8),), algorithm=TalkingHeads(), …)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import Batch
from genjax.data import cache, marked
from genjax.data.heads import Heads, draw_people, draw_shots, examples, shapes, split_of
from genjax.data.heads.people import Shots
from genjax.data.heads.rendering import VERSION
from genjax.data.heads.sets import SPLITS
from genjax.data.landmarks import Drawing, check_inside
from genjax.data.source import Source, assemble
from genjax.errors import UserError, at_least, at_most
from genjax.fields import Film, Image, Points, need

_AT_A_TIME = 20  # people whose pictures are in memory
NEEDED = ("landmarks", "person")  # fields beside the pictures


@dataclasses.dataclass(frozen=True)
class Sitters:
    """The people of `Heads`, each at one age, in one light, before one background: pose and expression vary.

    As in a film of somebody who talks, a few frames tell all that the others show, but for the pose.
    """

    size: int = field(32, "side of the pictures [pixels]")
    people: int = field(400, "people, in all splits")
    shots: int = field(40, "pictures of each: all poses and expressions")
    seed: int = field(0, "seed of people and shots, independent of the run's seed")
    stream: bool = field(
        False, "read from disk during training, for sets beyond memory", execution=True
    )

    def load(self) -> Source:
        """From the cache, else rendered, about two minutes; UserError for sizes that are too small."""
        at_least(8, data__of__size=self.size)
        at_least(3, data__of__people=self.people)  # one for each split
        at_least(1, data__of__shots=self.shots)
        at_least(0, data__of__seed=self.seed)
        at_most(2**63 - 1, data__of__seed=self.seed)
        # what changes the arrays
        request = {
            "size": self.size,
            "people": self.people,
            "shots": self.shots,
            "seed": self.seed,
            # another renderer makes other bytes of the same numbers
            "renderer": VERSION,
        }

        def prepare(directory: Path) -> cache.Prepared:
            from genjax.data import builders

            shapes.model()  # its errors before anything is written
            known = Heads(self.size, self.people, self.shots, self.seed).fields()
            splits = {split: lambda split=split: self.rows(split) for split in SPLITS}
            return builders.rows(directory, known, splits)

        mark = f"{shapes.CRC:08x}"
        return assemble("sitters", "sitters", request, mark, prepare, 0, self.stream)

    def rows(self, split: str) -> Iterator[dict[str, np.ndarray]]:
        """The pictures of a split, person by person, rendered as they are asked for."""
        numbers = np.arange(self.people)
        own = numbers[split_of(numbers) == SPLITS.index(split)]
        for first in range(0, len(own), _AT_A_TIME):
            people = draw_people(self.seed, own[first : first + _AT_A_TIME])
            # drawn as those of `Heads`, and then held
            shots = still_shots(draw_shots(self.seed, people, self.shots), self.shots)
            columns = examples(people, shots, self.size)
            for i in range(len(shots.person)):
                yield {name: column[i] for name, column in columns.items()}


def still_shots(
    shots: Shots,
    each: int,
) -> Shots:
    """The same poses and expressions, `each` a person, all at the age, in the light and the place of the first."""
    # the row of the first picture of whoever is shown
    first = np.arange(len(shots.person)) // each * each
    return shots._replace(
        years=shots.years[first],
        light=shots.light[first],
        background=shots.background[first],
    )


@dataclasses.dataclass(frozen=True)
class Sittings:
    """People with their frames: `image` [S, H, W, C] and `landmarks` [S, 14, 2] of a person are an example."""

    # Any: a data set of one's own is as good
    of: Sitters | Heads | Any = field(
        Sitters(), "the data; any config whose sets have image, landmarks and person"
    )

    def resolved(self) -> Sittings:
        """The same with the marks of what lies in files filled in."""
        fill = getattr(self.of, "resolved", None)
        if fill is None:
            return self
        with marked.flagged("", "of."):
            inner = fill()
        return dataclasses.replace(self, of=inner)

    def load(self) -> Source:
        """A row for each person; UserError for a person with one picture, and for landmarks outside of theirs."""
        with marked.flagged("", "of."):
            source = self.of.load()
        check_source(source)
        # everybody gives as many: examples are of one shape
        each = frames_of(source)
        splits = {}
        for split, arrays in source.splits().items():
            splits[split] = seated(arrays, each, tuple(NEEDED)) if arrays else {}
        height_width = source.fields["image"].shape
        marks = source.fields["landmarks"].shape
        fields = {
            "image": Film((each, *height_width)),
            "landmarks": Points((each, *marks)),
            "person": source.fields["person"],
        }
        return Source(f"sittings of {source.name}", fields, notes=source.notes, **splits)


def check_source(source: Source) -> None:
    """Raises UserError for a set that has no pictures of people with their landmarks."""
    need("Sittings()", source.main, source.fields[source.main], Image)
    lacking = [name for name in NEEDED if name not in source.fields]
    if lacking or source.main != "image":
        raise UserError(
            f"--data.of: {source.name} has the fields {', '.join(source.fields)}: Sittings() needs image, "
            f"{' and '.join(NEEDED)}, as Sitters() and Heads() have them."
        )
    if source.records is not None:
        raise UserError(
            "--data.of.stream=true: Sittings() brings a person's pictures together in memory: use stream=false."
        )
    shape = source.fields["image"].shape[:2]
    for split, arrays in source.splits().items():
        if arrays:
            check_inside(f"{source.name} ({split}), landmarks", arrays["landmarks"], shape)


def frames_of(source: Source) -> int:
    """How many pictures each person has, the least of all; UserError for somebody with one alone."""
    # nobody is in two splits
    counts = {}
    for arrays in source.splits().values():
        numbers, found = np.unique(arrays.get("person", ()), return_counts=True)
        counts |= dict(zip(numbers.tolist(), found.tolist(), strict=True))
    poorest = min(counts, key=lambda number: counts[number])
    if counts[poorest] < 2:
        raise UserError(
            f"person {poorest} of {source.name} has one picture, and a sitting is of two or more, one to know the "
            "person by and one to make: leave such people out, or use more --data.of.shots."
        )
    return counts[poorest]


def seated(
    arrays: Mapping[str, Any],
    each: int,
    names: tuple[str, ...] = NEEDED,
) -> dict[str, np.ndarray]:
    """Rows of pictures as rows of people, the first `each` pictures of everybody; people by their numbers."""
    person = np.asarray(arrays["person"])
    # the pictures of one person may lie anywhere in the split
    rows = []
    for number in np.unique(person):
        rows.append(np.flatnonzero(person == number)[:each])
    # a split without people keeps its shapes
    places = np.array(rows, np.int64).reshape(-1, each)
    found = {name: np.asarray(arrays[name])[places] for name in ("image", *names)}
    # one number for all of somebody's pictures
    found["person"] = found["person"][:, 0]
    return found


@dataclasses.dataclass(frozen=True)
class FewShots:
    """A view of sittings: K frames as `shots` with their drawings, `image` and `drawing` are of one more."""

    shots: int = field(8, "K, frames that are known of a person")
    drawing: Drawing = field(Drawing(), "how landmarks are drawn")

    def check(self, fields: dict[str, Any]) -> None:
        """Raises UserError where people have not so many pictures, and for data that are no sittings."""
        need("the view FewShots()", "image", fields.get("image"), Film)
        need("the view FewShots()", "landmarks", fields.get("landmarks"), Points)
        self.drawing.check()
        at_least(1, view__shots=self.shots)
        frames = fields["image"].shape[0]
        if self.shots >= frames:
            raise UserError(
                f"--view=FewShots(shots={self.shots}) takes {self.shots} pictures of a person and one more to make, "
                f"and people have {frames}: use shots={frames - 1} or less, or more --data.of.shots."
            )

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        # of each frame
        _, *picture = fields["image"].shape
        _, *points = fields["landmarks"].shape
        sides = picture[:2]
        drawn = (*sides, 3)
        return {
            **fields,
            "image": Image(tuple(picture)),
            "landmarks": Points(tuple(points)),
            "drawing": Image(drawn),
            "shots": Film((self.shots, *picture)),
            "shot_drawings": Film((self.shots, *drawn)),
        }

    def __call__(self, keys: jax.Array, batch: Batch) -> Batch:
        frames = batch["image"].shape[1]

        # a draw without repeats: nobody is asked for a picture that is known
        def order(key: jax.Array) -> jax.Array:
            return jax.random.permutation(key, frames)

        return self.chosen(batch, jax.vmap(order)(keys))

    def still(self, batch: Batch) -> Batch:
        # sampling may be given less than training
        if "image" not in batch:
            return batch
        people, frames = batch["image"].shape[:2]
        order = jnp.broadcast_to(jnp.arange(frames), (people, frames))
        return self.chosen(batch, order)

    def chosen(
        self,
        batch: Batch,
        order: jax.Array,
    ) -> Batch:
        """The first K frames in this order [B, S] are known, the next is what is to be made."""
        some = order[:, : self.shots + 1]

        def taken(values: jax.Array) -> jax.Array:
            each = jax.vmap(lambda own, rows: own[rows])
            return each(jnp.asarray(values), some)

        frames = taken(batch["image"])  # [B, K + 1, H, W, C]
        landmarks = taken(batch["landmarks"])
        # drawn here: drawings that were stored would be as large as the pictures
        drawings = self.drawing(landmarks, frames.shape[2:4])
        return {
            **batch,
            "shots": frames[:, :-1],
            "shot_drawings": drawings[:, :-1],
            "image": frames[:, -1],
            "drawing": drawings[:, -1],
            "landmarks": landmarks[:, -1],
        }
