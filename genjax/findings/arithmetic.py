"""Arithmetic with codes of faces, held against the renderer: attributes as directions, and paths between two people.

What a code changes by for one unit of a knob is learned from training pictures, whose truth is known: as the difference
of two means (Larsen et al. 2016, arXiv:1512.09300, sec. 3.2), or by least squares on all knobs at once. Test codes are
moved by a known amount and decoded, the renderer draws the same person and shot with the knob turned by itself, and
three things are compared: what a reader says of both, how far pixels of the head lie apart, and what else has changed.

Rows that are no arithmetic say what it is worth: what the reader says of the renderer's own pictures is its error;
pictures left as they are; codes left as they are; the renderer's picture through the code, which is what the code can
hold at all. Pixels and principal components go through the same arithmetic: a linear code that does as well needs no
net.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.config import field
from genjax.data.batches import chosen
from genjax.data.heads import Heads, render
from genjax.errors import UserError, at_least
from genjax.findings.directions import (
    PEAK,
    Direction,
    Effect,
    Means,
    Regression,
    Truth,
    effect,
    largest_step,
    over_people,
    psnr,
    said,
    square,
)
from genjax.findings.encoders import HOME, Coder, Entry, Task, check_names
from genjax.findings.knobs import Age, Knob, Sex, Smile, World, Yaw, between, world_of
from genjax.findings.latents import Facts, Values
from genjax.findings.tabled import Row, cell, finish, keep_picture, place, stored, wide
from genjax.machine.files import typed
from genjax.metrics.reader import Reader
from genjax.pictures.draw import captioned, grid
from genjax.training.log import Log

STEPS = 9  # places of a path between two people, ends included
SHOWN = 3  # people in a picture


class Scene(NamedTuple):
    """What all encoders are asked."""

    learned: Mapping[str, np.ndarray]  # training pictures that directions are learned from
    values: np.ndarray  # [N, K], where their knobs are
    tested: World  # test people, a picture each
    start: np.ndarray  # uint8 [M, H, W, C], their pictures
    truth: Mapping[str, Truth]  # by knob
    facts: Facts
    spread: Values  # standard deviation of each thing that is read of `start`


class Sheet(NamedTuple):
    """What is filled in, encoder by encoder."""

    log: Log
    tables: dict[str, dict[str, Row]]  # knob -> title -> row
    strips: dict[str, dict[str, np.ndarray]]  # knob -> title -> pictures [J, SHOWN, H, W, C]


@dataclasses.dataclass(frozen=True)
class Arithmetic:
    """The comparison."""

    data: Heads = field(Heads(), "the faces")
    encoders: tuple[Entry, ...] = field((), "whose codes are moved: they need a way back")
    knobs: tuple[Knob, ...] = field((Age(), Yaw(), Smile(), Sex()), "what is turned")
    directions: tuple[Direction, ...] = field(
        (Means(), Regression()),
        "how directions are found",
    )
    reader: Reader = field(Reader(), "what reads pictures back; it must know all knobs")
    # children's heads have other proportions: no line in years leads to them
    years: tuple[float, float] = field(
        (20.0, 90.0),
        "ages of the pictures that are learned from, moved, and mixed",
    )
    people: int = field(100, "test people whose codes are moved, at most")
    pairs: int = field(40, "pairs of them that paths lead between, at most")
    seed: int = field(0, "of weights and orders")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Trains or restores all, moves, reads; UserError, before anything is written, for what cannot be done."""
        source = self.data.load()
        self.check(source)
        scene = self.scene(source)
        log = place(HOME, name, self, origin)
        sheet = self.sheet(scene, log)
        plain = {**origin, "differences": {}}
        task = Task(self.data, source, {}, {}, self.seed, self.runs, plain)
        # what the renderer itself does is the first row
        paths = {"renderer": self.path(None, scene, log, "renderer")}
        for entry in self.encoders:
            coder = entry.of.start(entry.name, task)
            check_back(entry.name, coder)
            self.move(entry.name, coder, scene, sheet)
            paths[entry.name] = self.path(coder, scene, log, entry.name)
        for knob, rows in sheet.strips.items():
            keep_picture(log, f"moved-{knob}", pictured(rows))
        title = "paths between two people, beside the renderer's mixture of both"
        finish(log, {**sheet.tables, title: paths})

    def check(self, source: Any) -> None:
        """Raises UserError for knobs that the reader cannot read, and for numbers that leave nothing."""
        check_names(self.encoders, "--encoders")
        for entry in self.encoders:
            check_way_back(entry, source)
        at_least(2, people=self.people, pairs=self.pairs)
        at_least(0, seed=self.seed)
        answers, numbers = self.reader.names(source.fields)
        read = answers + numbers
        turned = [knob.name for knob in self.knobs]
        if len(set(turned)) < len(turned):
            raise UserError(
                f"--knobs: each is turned once, and their rows go by name, got {', '.join(turned)}: put all places of "
                "a knob into its `to`."
            )
        # paths between people are told in years
        if "age" not in read:
            raise UserError("--reader: it does not read 'age', by which paths are judged.")
        for knob in self.knobs:
            if knob.name not in read:
                raise UserError(
                    f"--reader: it does not read {knob.name!r}, which a knob turns: set its attributes and numbers."
                )
        world = world_of(self.data, "test")
        count = len(self.tested(world).shots.years)
        low, high = self.years
        if not low < high or count < 4:
            raise UserError(
                f"--years={self.years}: {count} test people have a picture at such an age, and four are needed."
            )

    def grown(self, world: World) -> np.ndarray:
        """The rows of pictures of people of these years."""
        low, high = self.years
        years = world.shots.years
        inside = (years >= low) & (years <= high)
        return np.flatnonzero(inside)

    def tested(self, world: World) -> World:
        """One picture of each person of these years, the first."""
        grown = self.grown(world)
        people = world.shots.person[grown]
        _, first = np.unique(people, return_index=True)
        rows = grown[first]
        n = min(self.people, len(rows))
        some = chosen(n, len(rows))
        return world.rows(rows[some])

    def scene(self, source: Any) -> Scene:
        """What is learned from, what is moved, and the truth of it."""
        world = world_of(self.data, "train")
        grown = self.grown(world)
        learned = {name: array[grown] for name, array in source.train.items()}
        columns = [knob.of(world)[grown] for knob in self.knobs]
        values = np.stack(columns, 1)
        tested = self.tested(world_of(self.data, "test"))
        start = self.rendered(tested).image
        facts = self.facts(source)
        spread = {}
        for name, value in facts.said(start).items():
            spread[name] = np.std(value)
        truth = {}
        for knob in self.knobs:
            worlds = [knob.turned(tested, to) for to in knob.to]
            truth[knob.name] = self.truth(worlds, facts)
        return Scene(learned, values, tested, start, truth, facts, spread)

    def facts(self, source: Any) -> Facts:
        """What can be read of pictures, by a reader that has learned from the training people."""
        # beside the runs: one reader of a data set serves them all
        folder = typed(self.runs) / "features"
        read = self.reader.reading(source.train, folder)
        answers, numbers = self.reader.names(source.fields)
        return Facts(self.reader, read, answers, numbers)

    def rendered(self, world: World) -> Any:
        """The renderer's pictures of a world, with their parts."""
        return render(world.people, world.shots, self.data.size)

    def truth(self, worlds: list[World], facts: Facts) -> Truth:
        """The renderer's pictures of J worlds of M pictures, and what is read of them."""
        images = []
        heads = []
        for world in worlds:
            found = self.rendered(world)
            images.append(found.image)
            heads.append(found.parts > 0)  # 0 is the background
        stacked = np.stack(images)
        head = np.stack(heads)
        return Truth(stacked, head, said(stacked, facts))

    def sheet(self, scene: Scene, log: Log) -> Sheet:
        """The tables with what the reader makes of the renderer's own pictures, and of those that are left alone."""
        sheet = Sheet(log, {}, {})
        for knob in self.knobs:
            truth = scene.truth[knob.name].images
            sheet.tables[knob.name] = {}
            first = truth[:, :SHOWN]
            sheet.strips[knob.name] = {"renderer": first / PEAK}
            write("the renderer itself", truth / PEAK, knob, scene, sheet)
            left = everywhere(scene.start, knob)
            write("left as it is", left / PEAK, knob, scene, sheet)
        return sheet

    def move(
        self,
        name: str,
        coder: Coder,
        scene: Scene,
        sheet: Sheet,
    ) -> None:
        """An encoder's rows of all tables, and of all pictures."""
        codes = coder.encode(scene.learned)
        start = coder.encode({"image": scene.start})
        for i, knob in enumerate(self.knobs):
            truth = scene.truth[knob.name].images
            rows = {"through the code": through(coder, truth)}
            still = everywhere(start, knob)
            rows["unmoved"] = decoded(coder, still)
            own = knob.of(scene.tested)  # [M]
            to = np.array(knob.to)[:, None]
            # from where each is to every place: [J, M, 1]
            far = (to - own)[..., None]
            for how in self.directions:
                step = how(codes, scene.values, i)
                rows[how.name] = decoded(coder, start + far * step)
            for what, images in rows.items():
                title = f"{name}, {what}"
                write(title, images, knob, scene, sheet)
                sheet.strips[knob.name][title] = images[:, :SHOWN]

    def path(
        self,
        coder: Coder | None,
        scene: Scene,
        log: Log,
        name: str,
    ) -> Row:
        """Straight paths between codes of pairs of people; None: the renderer's own, the floor."""
        people = len(scene.start) // 2
        n = min(self.pairs, people)
        numbers = np.arange(2 * n)
        first = scene.tested.rows(numbers[:n])
        second = scene.tested.rows(numbers[n:])
        times = np.linspace(0.0, 1.0, STEPS)
        worlds = [between(first, second, t) for t in times]
        truth = self.truth(worlds, scene.facts)
        seen = np.float32(truth.images / PEAK)
        if coder is not None:
            seen = mixed(coder, truth.images[0], truth.images[-1], times)
        years = [world.shots.years for world in worlds]
        read = said(seen, scene.facts)
        off = np.abs(read["age"] - np.stack(years))
        middle = STEPS // 2
        near = square(seen[middle], truth.images[middle], truth.head[middle])
        steps = largest_step(seen, scene.facts)
        found = {
            "age error [years]": over_people(off.mean(0)),
            "PSNR at the middle [dB]": over_people(psnr(near)),
            "largest step, in mean steps": over_people(steps),
        }
        row = {}
        for column, value in found.items():
            log.result(f"path: {name}", {column: stored(value, n)})
            row[column] = wide(value, 2)
        # a path a row
        few = seen[:, : 2 * SHOWN]
        tiles = np.swapaxes(few, 0, 1).reshape(-1, *seen.shape[2:])
        keep_picture(log, f"path-{name}", grid(tiles, STEPS, zoom=2))
        return row


def write(
    title: str,
    images: np.ndarray,
    knob: Knob,
    scene: Scene,
    sheet: Sheet,
) -> None:
    """A row of a knob's table, of pictures [J, M, H, W, C] in [0, 1] that should show it turned."""
    truth = scene.truth[knob.name]
    found = effect(np.float32(images), knob, truth, scene.facts, scene.spread)
    row = cells(found, knob)
    sheet.tables[knob.name][title] = row
    n = len(scene.start)
    values = {
        "error": stored(found.error, n),
        "psnr": stored(found.psnr, n),
        "slope": found.slope,
        "leak": found.leak,
    }
    entry = f"{knob.name}: {title}"
    sheet.log.result(entry, values)
    sheet.log.result(f"{entry}: leaks", found.leaks)
    told = ", ".join(f"{column} {text}" for column, text in row.items())
    sheet.log.note(f"{entry}: {told}")


def everywhere(rows: np.ndarray, knob: Knob) -> np.ndarray:
    """What is the same at all J places of a knob: [M, ...] -> [J, M, ...]."""
    places = len(knob.to)
    return np.repeat(rows[None], places, 0)


def check_way_back(entry: Entry, source: Any) -> None:
    """Raises UserError for an encoder without a way back, before anything is trained."""
    if not entry.of.returns(source):
        raise no_way_back(entry.name)


def no_way_back(name: str) -> UserError:
    """What is told of an encoder that pictures cannot be got back from."""
    return UserError(
        f"--encoders: {name} has no way back from codes to pictures: use an autoencoder, a VAE or Principal()."
    )


def check_back(name: str, coder: Coder) -> None:
    """Raises UserError for an encoder without a way back."""
    if coder.decode is None:
        raise no_way_back(name)


def decoded(coder: Coder, places: np.ndarray) -> np.ndarray:
    """Pictures of codes [J, M, D]: float32 [J, M, H, W, C] in [0, 1]."""
    j, m, size = places.shape
    flat = places.reshape(j * m, size)
    decode: Any = coder.decode
    images = np.float32(decode(flat))
    inside = np.clip(images, 0.0, 1.0)
    return inside.reshape(j, m, *inside.shape[1:])


def through(coder: Coder, images: np.ndarray) -> np.ndarray:
    """Pictures uint8 [J, M, H, W, C] by way of their codes, float32 in [0, 1]."""
    j, m, *shape = images.shape
    flat = images.reshape(j * m, *shape)
    codes = coder.encode({"image": flat})
    places = codes.reshape(j, m, -1)
    return decoded(coder, places)


def mixed(
    coder: Coder,
    first: np.ndarray,
    last: np.ndarray,
    times: np.ndarray,
) -> np.ndarray:
    """Straight paths between the codes of pictures [M, H, W, C] at times [J] from 0 to 1, decoded: [J, M, H, W, C]."""
    start = coder.encode({"image": first})
    end = coder.encode({"image": last})
    t = times[:, None, None]
    places = (1.0 - t) * start + t * end
    return decoded(coder, places)


def cells(found: Effect, knob: Knob) -> Row:
    """An effect as a row."""
    digits = 1 if knob.unit == "years" else 3  # tenths of years
    # of the truth itself it is the end of the scale
    same = found.psnr.value > 90.0
    decibels = "" if same else wide(found.psnr, 1)
    return {
        f"error [{knob.unit}]": wide(found.error, digits),
        "slope": cell(found.slope, 2),
        "PSNR [dB]": decibels,
        "leak": cell(found.leak, 2),
    }


def pictured(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """A row for each way, [J, people, H, W, C] each: people side by side, each from the first place to the last."""
    strips = []
    for row in rows.values():
        by_person = np.swapaxes(row, 0, 1)
        flat = by_person.reshape(-1, *row.shape[2:])
        strips.append(flat)
    columns = len(strips[0])
    tiles = np.concatenate(strips)
    return captioned(grid(tiles, columns), list(rows))
