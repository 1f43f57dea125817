"""Arithmetic with codes of faces, held against the renderer: attributes as directions, and paths between two people.

What a code changes by for one unit of a knob is learned from training pictures, whose truth is known: as the difference
of two means (Larsen et al. 2016, arXiv:1512.09300, sec. 3.2), or by least squares on all knobs at once, so that none
answers for another. Test codes are moved by a known amount and decoded, the renderer draws the same person and shot
with the knob turned by itself, and three things are compared: what a reader says of both, how far pixels of the head
lie apart, and what else has changed. What a reader says of the renderer's own pictures is its error, the floor.

Pixels and principal components go through the same arithmetic: a linear code that does as well needs no deep net.
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
from genjax.findings.encoders import HOME, Coder, Entry, Task, check_names
from genjax.findings.knobs import Age, Knob, Sex, Smile, World, Yaw, between, world_of
from genjax.findings.latents import Facts, Values
from genjax.findings.tabled import cell, finish, place, stored
from genjax.machine.files import typed
from genjax.metrics.intervals import Interval, bootstrap
from genjax.metrics.reader import Reader
from genjax.pictures.draw import captioned, grid
from genjax.training.log import Log

STEPS = 9  # places of a path between two people, ends included
SHOWN = 4  # people in a picture
PEAK = 255.0


class Turned(NamedTuple):
    """Test pictures with a knob turned to J places, by the renderer."""

    images: np.ndarray  # uint8 [J, M, H, W, C]
    head: np.ndarray  # bool [J, M, H, W]: pixels that are no background
    read: Values  # what a reader says of them, name -> [J, M]


class Effect(NamedTuple):
    """What moving codes along a direction does."""

    error: Interval  # mean |read - wanted|, in the knob's unit, over people
    still: float  # the same of codes that are not moved
    slope: float  # of what is read on what is wanted: 1 = as asked
    psnr: Interval  # towards the renderer's own pictures, pixels of the head [dB]
    leak: float  # mean change of what else is read, beside the renderer's, in deviations of real pictures
    others: dict[str, float]  # the same by name


@dataclasses.dataclass(frozen=True)
class Means:
    """The codes' means of the higher and the lower half of a knob, divided by how far these lie apart in its unit."""

    def __call__(self, codes: np.ndarray, values: np.ndarray, of: int) -> np.ndarray:
        """The change of codes [N, D] for one unit of knob number `of`, of values [N, K]: [D]."""
        value = values[:, of]
        high = value > np.median(value)
        if high.all() or not high.any():
            high = value > value.mean()
        apart = value[high].mean() - value[~high].mean()
        return (codes[high].mean(0) - codes[~high].mean(0)) / apart


@dataclasses.dataclass(frozen=True)
class Regression:
    """Least squares of the codes on all knobs at once."""

    def __call__(self, codes: np.ndarray, values: np.ndarray, of: int) -> np.ndarray:
        """As `Means`."""
        ones = np.ones((len(values), 1))
        design = np.concatenate([values, ones], 1)
        solution, *_ = np.linalg.lstsq(design, codes, rcond=None)
        return solution[of]


Direction = Means | Regression


@dataclasses.dataclass(frozen=True)
class Arithmetic:
    """The comparison."""

    data: Heads = field(Heads(), "the faces")
    encoders: tuple[Entry, ...] = field((), "whose codes are moved: they need a way back")
    knobs: tuple[Knob, ...] = field((Age(), Yaw(), Smile(), Sex()), "what is turned")
    directions: tuple[Direction, ...] = field(
        (Means(), Regression()), "how directions are found"
    )
    reader: Reader = field(Reader(), "what reads pictures back; it must know all knobs")
    years: tuple[float, float] = field(
        (20.0, 90.0), "ages of the pictures that are learned from, moved, and mixed"
    )
    people: int = field(100, "test people whose codes are moved, at most")
    pairs: int = field(40, "pairs of them that paths lead between, at most")
    seed: int = field(0, "of weights and orders")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def __call__(self, name: str, origin: Mapping[str, Any]) -> None:
        """Trains or restores all, moves, reads; UserError, before anything is written, for what cannot be done."""
        source = self.data.load()
        self.check(source)
        log = place(HOME, name, self, origin)
        task = Task(
            self.data, source, {}, {}, self.seed, self.runs, {**origin, "differences": {}}
        )
        read = self.reader.reading(source.train, typed(self.runs) / "features")
        answers, numbers = self.reader.names(source.fields)
        facts = Facts(self.reader, read, answers, numbers)
        learned = world_of(self.data, "train")
        grown = self._grown(learned)
        train = {key: array[grown] for key, array in source.train.items()}
        columns = [knob.of(learned)[grown] for knob in self.knobs]
        values = np.stack(columns, 1).astype(np.float64)
        tested = self._tested(world_of(self.data, "test"))
        truth = {knob.name: self.turned(knob, tested, facts) for knob in self.knobs}
        spread = _deviations(facts.said(self._drawn(tested)))
        table, paths = self._floors(log, truth, spread), {}
        strips = _strips(truth)
        for entry in self.encoders:
            coder = entry.of.start(entry.name, task)
            codes = coder.encode(train)
            start = coder.encode({"image": self._drawn(tested)})
            for how in self.directions:
                title = f"{entry.name}, {type(how).__name__.lower()}"
                row = {}
                for i, knob in enumerate(self.knobs):
                    step = how(codes, values, i)
                    moved = self.moved(coder, start, knob, tested, step)
                    found = effect(moved, knob, truth[knob.name], facts, spread)
                    _store(log, f"{title}, {knob.name}", found, knob)
                    row |= _cells(found, knob)
                    strips[knob.name][title] = moved[:, :SHOWN]
                table[title] = row
                log.note(f"{title}: {row}")
            paths[entry.name] = self.path(coder, tested, facts, log, entry.name)
        paths["renderer"] = self.path(None, tested, facts, log, "renderer")
        for knob, rows in strips.items():
            log.note(f"picture {log.picture(f'moved-{knob}', _picture(rows))}")
        moved_title = f"Codes of {len(tested.shots.years)} test people, moved"
        path_title = "Paths between two of them: beside the renderer's own mixture"
        finish(log, {moved_title: table, path_title: paths})

    def check(self, source: Any) -> None:
        """Raises UserError for knobs that the reader cannot read, and for numbers that leave nothing."""
        check_names(self.encoders, "--encoders")
        at_least(2, people=self.people, pairs=self.pairs)
        answers, numbers = self.reader.names(source.fields)
        for knob in self.knobs:
            if knob.name not in answers + numbers:
                raise UserError(
                    f"--reader: it does not read {knob.name!r}, which a knob turns: set its attributes and numbers."
                )
        low, high = self.years
        count = len(self._grown(world_of(self.data, "test")))
        if not low < high or count < 4:
            raise UserError(
                f"--years={self.years}: {count} test pictures are of such people, and four are needed."
            )

    def _grown(self, world: World) -> np.ndarray:
        """The rows of pictures of people of these years."""
        low, high = self.years
        years = world.shots.years
        return np.flatnonzero((years >= low) & (years <= high))

    def _tested(self, world: World) -> World:
        """One picture of each test person of these years, the first."""
        grown = self._grown(world)
        _, first = np.unique(world.shots.person[grown], return_index=True)
        rows = grown[first]
        picked = rows[chosen(min(self.people, len(rows)), len(rows))]
        return world.rows(picked)

    def _drawn(self, world: World) -> np.ndarray:
        """The renderer's pictures of a world, uint8 [M, H, W, C]."""
        return render(world.people, world.shots, self.data.size).image

    def turned(self, knob: Knob, tested: World, facts: Facts) -> Turned:
        """The truth: the same people and shots with the knob turned."""
        images, heads = [], []
        for to in knob.to:
            world = knob.turned(tested, to)
            found = render(world.people, world.shots, self.data.size)
            images.append(found.image)
            heads.append(found.parts > 0)
        stacked = np.stack(images)
        return Turned(stacked, np.stack(heads), _said(stacked, facts))

    def moved(
        self, coder: Coder, start: np.ndarray, knob: Knob, tested: World, step: np.ndarray
    ) -> np.ndarray:
        """Decoded codes [M, D], each moved from where its knob is to each place: [J + 1, M, H, W, C] in [0, 1].

        The last are of codes that were not moved.
        """
        own = knob.of(tested)  # [M]
        places = []
        for to in knob.to:
            far = to - own
            places.append(start + far[:, None] * step)
        places.append(start)
        return decoded(coder, np.stack(places))

    def path(
        self, coder: Coder | None, tested: World, facts: Facts, log: Log, name: str
    ) -> dict[str, str]:
        """Straight paths between codes of pairs of people; None: the renderer's own, which are the floor."""
        n = min(self.pairs, len(tested.shots.years) // 2)
        numbers = np.arange(2 * n)
        first, second = tested.rows(numbers[:n]), tested.rows(numbers[n:])
        times = np.linspace(0.0, 1.0, STEPS)
        worlds = [between(first, second, t) for t in times]
        truth = [render(world.people, world.shots, self.data.size) for world in worlds]
        images = np.stack([one.image for one in truth])
        heads = np.stack([one.parts > 0 for one in truth])
        seen = images / PEAK
        if coder is not None:
            a = coder.encode({"image": images[0]})
            b = coder.encode({"image": images[-1]})
            mixed = np.stack([(1.0 - t) * a + t * b for t in times])
            seen = decoded(coder, mixed)
        own = np.stack([world.shots.years for world in worlds])
        said = _said(seen, facts)["age"]
        off = np.abs(said - own).mean(0)  # [n], a path each
        middle = STEPS // 2
        near = psnr(seen[middle], images[middle], heads[middle])
        steps = _steps(seen, facts)
        values = {
            "age error": _over_people(off),
            "middle psnr": _over_people(near),
            "largest step": _over_people(steps),
        }
        log.result(f"path {name}", {key: stored(value, n) for key, value in values.items()})
        shown = np.swapaxes(seen[:, :SHOWN], 0, 1)
        tiles = shown.reshape(-1, *shown.shape[2:])
        log.note(f"picture {log.picture(f'path-{name}', grid(tiles, STEPS, zoom=2))}")
        return {
            "age error [years]": cell(values["age error"], 1),
            "PSNR at the middle [dB]": "" if coder is None else cell(values["middle psnr"], 1),
            "largest step, in mean steps": cell(values["largest step"], 2),
        }

    def _floors(
        self, log: Log, truth: Mapping[str, Turned], spread: Values
    ) -> dict[str, dict[str, str]]:
        """What the reader gets wrong of the renderer's own pictures."""
        row = {}
        for knob in self.knobs:
            own = truth[knob.name]
            off = _off(own.read[knob.name], knob)
            floor = _over_people(off)
            log.result(f"reader, {knob.name}", {"error": stored(floor, len(off))})
            row[_title(knob, "error")] = cell(floor, _digits(knob))
            row[_title(knob, "slope")] = f"{_slope(own.read[knob.name], knob):.2f}"
        log.result("deviations", {key: float(value) for key, value in spread.items()})
        return {"the renderer itself, read": row}


def decoded(coder: Coder, places: np.ndarray) -> np.ndarray:
    """Pictures of codes [J, M, D], [J, M, H, W, C] in [0, 1]; UserError for an encoder without a way back."""
    if coder.decode is None:
        raise UserError("--encoders: one of them has no way back from codes to pictures.")
    j, m, size = places.shape
    images = coder.decode(places.reshape(j * m, size))
    images = np.clip(images, 0.0, 1.0)
    return images.reshape(j, m, *images.shape[1:])


def effect(
    moved: np.ndarray, knob: Knob, truth: Turned, facts: Facts, spread: Values
) -> Effect:
    """What moved pictures [J + 1, M, H, W, C] do, beside the renderer's; the last are of codes that stayed."""
    turned, still = moved[:-1], moved[-1:]
    read = _said(turned, facts)
    unmoved = _said(still, facts)[knob.name]
    off = _off(read[knob.name], knob)
    stayed = _off(np.repeat(unmoved, len(knob.to), 0), knob)
    each = [psnr(*three) for three in zip(turned, truth.images, truth.head, strict=True)]
    others = {}
    for name, said in read.items():
        if name != knob.name:
            change = np.abs(said - truth.read[name])
            others[name] = float(change.mean() / max(spread[name], 1e-6))
    return Effect(
        error=_over_people(off),
        still=float(stayed.mean()),
        slope=_slope(read[knob.name], knob),
        psnr=_over_people(np.mean(each, 0)),
        leak=float(np.mean(list(others.values()))),
        others=others,
    )


def psnr(images: np.ndarray, truth: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio [M] in dB of pictures [M, H, W, C] in [0, 1] to uint8 ones, over pixels [M, H, W]."""
    square = np.square(images - truth / PEAK).mean(-1)
    counted = np.sum(square * where, (1, 2)) / np.maximum(where.sum((1, 2)), 1)
    return -10.0 * np.log10(np.maximum(counted, 1e-10))


def _said(images: np.ndarray, facts: Facts) -> Values:
    """What is read of pictures [J, M, H, W, C], name -> [J, M]."""
    j, m, *shape = images.shape
    flat = images.reshape(j * m, *shape)
    # floats in [0, 1] or bytes: the reader takes both
    said = facts.said(flat if flat.dtype == np.uint8 else flat.astype(np.float32))
    return {name: np.asarray(value).reshape(j, m) for name, value in said.items()}


def _steps(seen: np.ndarray, facts: Facts) -> np.ndarray:
    """The largest step of paths [J, M, H, W, C] in the reader's features, in mean steps: 1 = even; [M]."""
    j, m, *shape = seen.shape
    flat = seen.reshape(j * m, *shape).astype(np.float32)
    features = np.asarray(facts.read(flat).features).reshape(j, m, -1)
    length = np.linalg.norm(np.diff(features, axis=0), axis=-1)  # [J - 1, M]
    return length.max(0) / np.maximum(length.mean(0), 1e-9)


def _off(read: np.ndarray, knob: Knob) -> np.ndarray:
    """Mean |read - wanted| over places, [M], of what is read [J, M]."""
    wanted = np.array([knob.wanted(to) for to in knob.to])
    return np.abs(read - wanted[:, None]).mean(0)


def _slope(read: np.ndarray, knob: Knob) -> float:
    """The slope of what is read [J, M] on what is wanted, over places and people."""
    wanted = np.array([knob.wanted(to) for to in knob.to])
    centred = wanted - wanted.mean()
    # within each person: what differs between people is no slope
    along = (centred[:, None] * read).sum(0) / (centred**2).sum()
    return float(along.mean())


def _over_people(values: np.ndarray) -> Interval:
    """The mean of values [M], a person each, with a bootstrap's interval."""
    return bootstrap(lambda rows: float(values[rows].mean()), len(values), 500)


def _deviations(values: Values) -> Values:
    """The standard deviation of each thing that is read of real pictures."""
    return {name: np.std(value) for name, value in values.items()}


def _title(knob: Knob, what: str) -> str:
    unit = f" [{knob.unit}]" if what == "error" else ""
    return f"{knob.name}, {what}{unit}"


def _digits(knob: Knob) -> int:
    """Decimals of an error: tenths of years."""
    return 1 if knob.unit == "years" else 3


def _cells(found: Effect, knob: Knob) -> dict[str, str]:
    """An effect in a row."""
    return {
        _title(knob, "error"): cell(found.error, _digits(knob)),
        f"{knob.name}, unmoved": cell(found.still, _digits(knob)),
        _title(knob, "slope"): f"{found.slope:.2f}",
        f"{knob.name}, PSNR [dB]": f"{found.psnr.value:.1f}",
        f"{knob.name}, leak": f"{found.leak:.2f}",
    }


def _store(log: Log, title: str, found: Effect, knob: Knob) -> None:
    """An effect's numbers, and its leaks by name."""
    n = len(knob.to)
    values = {
        "error": stored(found.error, n),
        "unmoved": found.still,
        "slope": found.slope,
        "psnr": stored(found.psnr, n),
        "leak": found.leak,
    }
    log.result(title, values)
    log.result(f"{title}, leaks", found.others)


def _strips(truth: Mapping[str, Turned]) -> dict[str, dict[str, np.ndarray]]:
    """The rows of each knob's picture, the renderer's own first."""
    return {knob: {"renderer": one.images[:, :SHOWN] / PEAK} for knob, one in truth.items()}


def _picture(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """A row for each way to move; people side by side, each from the first place to the last, unmoved at its end."""
    most = max(len(row) for row in rows.values())
    strips = []
    for row in rows.values():
        blank = np.zeros((most - len(row), *row.shape[1:]))  # the renderer has none unmoved
        filled = np.concatenate([row, blank])
        strips.append(np.swapaxes(filled, 0, 1))
    tiles = np.concatenate([strip.reshape(-1, *strip.shape[2:]) for strip in strips])
    people = strips[0].shape[0]
    return captioned(grid(tiles, people * most), list(rows))
