"""Series with what is anomalous in them, point by point: two that PyPI's `aeon` carries, read from its files as text.

A series is cut in time into a stretch to train on, one that thresholds are set by, both without anomalies, and one to
test; a split is all windows of its stretch, number i beginning at point i. Channels are scaled by the mean and the
deviation of the training stretch.
"""

from __future__ import annotations

import dataclasses
import io
from typing import NamedTuple

import numpy as np

from genjax.config import field
from genjax.data.source import Source
from genjax.data.wheels import Wheel
from genjax.errors import UserError, at_least, at_most
from genjax.fields import Series, Tokens

BLEEDING = "135_UCR_Anomaly_InternalBleeding16_TEST.csv"
GAIT = "S06R02E0.csv"
_HOME = "aeon/datasets/data"
TRIED = "1.6.0"
BLEEDING_WHEEL = Wheel("aeon", (f"{_HOME}/KDD-TSAD_135/{BLEEDING}",), TRIED)
GAIT_WHEEL = Wheel("aeon", (f"{_HOME}/Daphnet_S06R02E0/{GAIT}",), TRIED)
CHANNELS = tuple(
    f"{place}_{axis}"
    for place in ("ankle", "leg", "trunk")
    for axis in ("forward", "vertical", "lateral")
)
PATH = "folder of the wheel or of what is in it; None = $GENJAX_DATA, then where pip installs"


class Labelled(NamedTuple):
    """A whole series."""

    x: np.ndarray  # [T, C]
    anomaly: np.ndarray  # bool [T]


class Ends(NamedTuple):
    """The points before which training, validation and test end; training begins at `first`."""

    first: int
    train: int
    valid: int
    test: int


# The archive ends training at 1,200, of which the last third sets thresholds; a beat is 183 points long
_BLEEDING = Ends(0, 800, 1200, 7501)
# The person walks throughout: the ankle's deviation over 100 points is above 700 here, and not before or after
_GAIT = Ends(1700, 3600, 4600, 6800)


@dataclasses.dataclass(frozen=True)
class Bleeding:
    """A pressure in a vessel, beat by beat, with one anomaly of 12 points in 6,301: number 135 of the UCR archive
    (Wu & Keogh 2021, arXiv:2009.13807)."""

    window: int = field(64, "points of a window")
    # execution: a set that has moved is the same set
    path: str | None = field(None, PATH, execution=True)

    def load(self) -> Source:
        """Windows float32 [N, window, 1], `anomaly` int32 [N, window]; UserError says how the package is got."""
        # its number, the value, whether it is anomalous
        table = _table(BLEEDING_WHEEL, BLEEDING, self.path, 3)
        series = Labelled(table[:, 1:-1], table[:, -1] > 0)
        return windowed("bleeding", series, _BLEEDING, self.window)


@dataclasses.dataclass(frozen=True)
class Gait:
    """Nine accelerometers of a person who walks, 64 Hz (Daphnet, Bächlin et al. 2010), with planted anomalies.

    The recording in the package has no anomaly of its own, whatever its name says: every label in it is 0. Those of
    the test stretch are planted, a third of each kind: one sensor that holds its value, all sensors backwards in time,
    all at half the speed. What a person's own anomaly looks like is another question.
    """

    window: int = field(64, "points of a window, one second")
    events: int = field(12, "anomalies in the test stretch")
    length: int = field(48, "points of an anomaly")
    seed: int = field(0, "seed of their places, independent of the run's seed")
    # execution: a set that has moved is the same set
    path: str | None = field(None, PATH, execution=True)

    def load(self) -> Source:
        """Windows float32 [N, window, 9], `anomaly` int32 [N, window]; UserError says how the package is got."""
        at_least(1, data__events=self.events)
        at_least(4, data__length=self.length)
        at_least(0, data__seed=self.seed)
        stretch = _GAIT.test - _GAIT.valid
        # half of the room between two stays free
        most = stretch // (2 * self.events)
        at_most(most, data__length=self.length)
        # the date, nine sensors, a label that is always 0
        table = _table(GAIT_WHEEL, GAIT, self.path, 11)
        x = planted(table[:, 1:-1], self, _GAIT)
        return windowed("gait", x, _GAIT, self.window)


def _table(
    wheel: Wheel,
    file: str,
    path: str | None,
    columns: int,
) -> np.ndarray:
    """A table of numbers with a head, float64 [T, columns]; the first column, the time, is its row's number."""
    content = wheel.contents(path)[file]
    try:
        table = np.genfromtxt(io.BytesIO(content), delimiter=",", skip_header=1)
    except ValueError as error:
        raise wheel.installed.other(file, f"cannot be read ({error})") from error
    if table.ndim != 2 or table.shape[1] != columns:
        raise wheel.installed.other(file, f"has not {columns} columns")
    # a date is no number
    table[:, 0] = np.arange(len(table))
    if not np.isfinite(table).all():
        raise wheel.installed.other(file, "has values that are no numbers")
    return table


def planted(
    x: np.ndarray,
    cfg: Gait,
    ends: Ends,
) -> Labelled:
    """A series [T, C] with anomalies in its test stretch, evenly spaced but for a random shift."""
    x = np.array(x, np.float64)
    rng = np.random.default_rng(cfg.seed)
    anomaly = np.zeros(len(x), bool)
    room = (ends.test - ends.valid) // cfg.events
    # one for each equal part of the stretch, so that no two meet
    for number in range(cfg.events):
        shift = rng.integers(room // 4, room - cfg.length + 1)
        first = ends.valid + number * room + shift
        last = first + cfg.length
        # a copy: what it is made of is overwritten
        part = x[first:last].copy()
        # in turn: as many of each
        kind = KINDS[number % len(KINDS)]
        x[first:last] = kind(part, rng)
        anomaly[first:last] = True
    return Labelled(x, anomaly)


def _held(part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One sensor repeats its first value."""
    sensor = rng.integers(part.shape[1])
    part[:, sensor] = part[0, sensor]
    return part


def _backwards(part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return part[::-1]


def _slowed(part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The first half, at half the speed."""
    time = np.arange(len(part)) / 2.0
    points = np.arange(len(part))
    slow = [np.interp(time, points, channel) for channel in part.T]
    return np.stack(slow, 1)


KINDS = (_held, _backwards, _slowed)


def windowed(
    name: str,
    series: Labelled,
    ends: Ends,
    window: int,
) -> Source:
    """All windows of the three stretches of a series.

    UserError for a window longer than a stretch, for a series that ends before its splits, and for anomalies in what
    is to be normal.
    """
    at_least(2, data__window=window)
    if len(series.x) < ends.test:
        raise UserError(
            f"{name} has {len(series.x)} points and its test ends at {ends.test}: it is another file than was tried."
        )
    normal = slice(ends.first, ends.valid)
    if series.anomaly[normal].any():
        raise UserError(f"{name} has anomalies before its test begins, at {ends.valid}.")
    # by what was trained on alone: the test is not known yet
    train = series.x[ends.first : ends.train]
    mean, deviation = train.mean(0), train.std(0)
    # a channel that never moves stays at 0
    scaled = (series.x - mean) / np.where(deviation > 0, deviation, 1.0)
    splits = {}
    # a split begins where the one before it ends: no point is in two
    borders = zip(ends[:-1], ends[1:], strict=True)
    for split, (first, last) in zip(("train", "valid", "test"), borders, strict=True):
        if last - first < window:
            raise UserError(
                f"--data.window={window} is longer than the stretch of {split}, {last - first} points: use fewer."
            )
        x = _windows(scaled[first:last], window)
        marks = _windows(series.anomaly[first:last, None], window)
        splits[split] = {
            "series": x.astype(np.float32),
            "anomaly": marks[..., 0].astype(np.int32),
        }
    channels = series.x.shape[1]
    fields = {"series": Series((window, channels)), "anomaly": Tokens(window, 2)}
    return Source(name, fields, **splits)


def _windows(x: np.ndarray, window: int) -> np.ndarray:
    """[T, C] -> all windows [T - window + 1, window, C]."""
    views = np.lib.stride_tricks.sliding_window_view(x, window, 0)
    # the view has the window last
    return np.moveaxis(views, -1, 1)
