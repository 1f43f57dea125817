"""Where a defect is: maps by the run's own model and by methods without one, against the masks of painted defects.

Half of the test pictures get a defect of a family that nothing was trained on, drawn by the picture's number: the same
in every run. Pictures are rounded to bytes, as files are. A picture's own score is the highest of its map; its
threshold is set at a stated rate of false alarms on held-out normal pictures, and told with what it came to.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.config import field
from genjax.core import (
    example_keys,
    size,
)
from genjax.corruptions.defects import (
    Defects,
    Dent,
    Family,
    Patch,
    Thread,
    shared,
)
from genjax.errors import (
    UserError,
    at_least,
)
from genjax.findings.maps import (
    Constant,
    HighPass,
    Mended,
    Method,
    Patches,
    Rebuilt,
    heat,
    smoothed,
)
from genjax.findings.samples import (
    check_images,
    show,
    some,
)
from genjax.metrics.intervals import Interval
from genjax.metrics.prediction import (
    auroc,
    rate,
    threshold,
)
from genjax.metrics.where import (
    Counts,
    counted,
    pixel_auroc,
    pro,
    pro_difference,
)
from genjax.pictures.draw import (
    captioned,
    grid,
    to_uint8,
)
from genjax.training.experiment import Experiment
from genjax.training.run import Run

OWN = "model"  # the run's own map, beside those of the floors
TEST = 0xDEFEC7  # of the keys of test defects, whatever the run's seed: runs compare


class Test(NamedTuple):
    """Test pictures, every second with a defect."""

    seen: np.ndarray  # uint8 [N, H, W, C]
    clean: np.ndarray  # uint8 [N, H, W, C]: the same without
    mask: np.ndarray  # bool [N, H, W]
    family: np.ndarray  # [N], -1 = no defect


@dataclasses.dataclass(frozen=True)
class Localising:
    """Pixel AUROC and PRO of each map, AUROC of pictures, false alarms of a threshold, and what the maps look like."""

    own: Mended | Rebuilt = field(Mended(), "how the run's model gives a map")
    families: tuple[Family, ...] = field(
        (Dent(), Patch(), Thread()), "defects of the test, none of which was trained on"
    )
    floors: tuple[Method, ...] = field(
        (Constant(), HighPass(), Patches()), "maps to compare with, without a trained model"
    )
    images: int = field(300, "test pictures at most, and as many held-out ones")
    smooth: float = field(
        2.0, "Gaussian weights over every map [pixels]; chosen before any test"
    )
    false_alarms: float = field(0.05, "rate of normal pictures above the threshold, as asked")
    shown: int = field(8, "pictures in a picture")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what cannot be measured, before the training."""
        check_images(source)
        at_least(4, finish__Localising__images=self.images)
        at_least(1, finish__Localising__shown=self.shown)
        at_least(0, finish__Localising__smooth=self.smooth)
        self.own.check(exp)
        Defects(self.families).check(source.shape)
        # a family that training has seen would not be one of the unknown
        trained = []
        for corruption in getattr(exp.algorithm, "corruption", ()):
            trained += getattr(corruption, "families", ())
        both = shared(trained, self.families)
        if both:
            raise UserError(
                f"--finish.Localising.families are to be unseen, and training has {', '.join(both)} too: leave it "
                "out on one side."
            )
        # as many as the threshold will be of
        held = min(self.images, size(source.valid))
        if not held:
            raise UserError(
                f"{source.name} holds out no pictures, by which a threshold is set: --data.valid=300, for instance."
            )
        threshold(np.zeros(held), self.false_alarms)  # for its error

    def __call__(self, this: Run) -> dict[str, float]:
        test = self._test(this)
        # normal pictures from another place, by which thresholds are set
        held = some(this.source.valid, self.images)[this.spec.main]
        held = to_uint8(held)
        # all maps under the same weights: none wins by being smoother
        maps, of_held = {}, {}
        methods = {OWN: self.own}
        methods |= {type(floor).__name__.lower(): floor for floor in self.floors}
        for name, method in methods.items():
            both = np.concatenate([test.seen, held])
            found = smoothed(method(this, both), self.smooth)
            maps[name], of_held[name] = np.split(found, [len(test.seen)])
        areas = self._keep(this, test, maps, of_held)
        _draw(this, test, maps, self.shown)
        return areas

    def _test(self, this: Run) -> Test:
        """Every second picture with a defect, by its number alone."""
        clean = to_uint8(some(this.source.test, self.images)[this.spec.main])
        index = np.arange(len(clean), dtype=np.uint32)
        keys = example_keys(jax.random.key(TEST), index)
        # painted in [0, 1], then rounded: a camera gives bytes
        x = np.asarray(this.spec.x.unit(clean))
        # compiled: one by one its many small operations take a minute
        paint = jax.jit(Defects(self.families).painted)
        painted = paint(keys, x)
        # the others stay as they are, and are what false alarms are counted on
        has = index % 2 == 0
        bytes_ = np.rint(255.0 * np.asarray(painted.x)).astype(np.uint8)
        seen = np.where(has[:, None, None, None], bytes_, clean)
        mask = np.asarray(painted.mask) & has[:, None, None]
        family = np.where(has, np.asarray(painted.family), -1)
        return Test(seen, clean, mask, family)

    def _keep(
        self,
        this: Run,
        test: Test,
        maps: dict[str, np.ndarray],
        of_held: dict[str, np.ndarray],
    ) -> dict[str, float]:
        """The table, as notes and in results.json; gives {"pro model": …}."""
        strange = test.family >= 0
        this.log.note(
            f"{strange.sum()} test pictures with a defect, {(~strange).sum()} without; maps under weights of "
            f"{self.smooth:g} pixels"
        )
        counts = {name: counted(each, test.mask) for name, each in maps.items()}
        # what a comparison of runs shows
        areas = {}
        for name, each in maps.items():
            own = counts[name]
            area, overlap = pixel_auroc(own), pro(own)
            # a picture is as strange as its strangest place
            highest = each.max((1, 2))
            above = threshold(of_held[name].max((1, 2)), self.false_alarms)
            values = {
                "pixel_auroc": area,
                "pro": overlap,
                "picture_auroc": auroc(highest, strange),
                "false_alarms": rate(highest[~strange], above),
                "hits": rate(highest[strange], above),
            }
            if name != OWN:
                values["model_pro_above"] = pro_difference(counts[OWN], own)
            entry = {key: _finite(value) for key, value in values.items()}
            families = self._by_family(own, test.family)
            self._tell(this, name, values, families)
            this.log.result(f"where {name}", {**entry, "families": families, "n": len(strange)})
            areas[f"pro {name}"] = overlap.value
        return areas

    def _by_family(self, counts: Counts, family: np.ndarray) -> dict[str, float]:
        """PRO of the pictures of each family, with the normal ones."""
        found = {}
        for number, each in enumerate(self.families):
            # normal pictures stand beside each family
            (rows,) = np.nonzero((family == number) | (family < 0))
            of_family = Counts(*(part[rows] for part in counts))
            # a family may not have been drawn
            if of_family.regions.any():
                found[type(each).__name__] = pro(of_family).value
        return found

    def _tell(
        self,
        this: Run,
        name: str,
        values: dict[str, Interval],
        families: dict[str, float],
    ) -> None:
        # in the order of a table
        told = []
        for key in ("pixel_auroc", "pro", "picture_auroc", "false_alarms", "hits"):
            value = values[key]
            told.append(f"{key} {value.value:.3f} [{value.low:.3f}, {value.high:.3f}]")
        this.log.note(f"{name}: {', '.join(told)}")
        of_each = ", ".join(f"{family} {value:.3f}" for family, value in families.items())
        this.log.note(f"  pro of {of_each}")


def _finite(interval: Interval) -> dict[str, float]:
    """Without ends that are not known: NaN is no JSON."""
    return {key: x for key, x in interval._asdict().items() if math.isfinite(x)}


def _draw(this: Run, test: Test, maps: dict[str, np.ndarray], n: int) -> None:
    """A row for what was seen, where the defect is, and each map; a column for each of n pictures, two without any."""
    strange = np.flatnonzero(test.family >= 0)
    normal = np.flatnonzero(test.family < 0)
    # neighbours in the set may be of one place
    # and two that have none
    columns = np.concatenate([_evenly(strange, n), _evenly(normal, 2)])
    rows = {"seen": test.seen[columns] / 255.0}
    channels = test.seen.shape[-1]
    rows["mask"] = _wide(test.mask[columns][..., None], channels)
    for name, each in maps.items():
        shades = heat(each)[columns]
        rows[name] = _wide(shades, channels)
    tiles = np.concatenate(list(rows.values()))
    picture = grid(tiles, len(columns))
    show(this, "where", captioned(picture, list(rows)))


def _evenly(rows: np.ndarray, n: int) -> np.ndarray:
    places = np.linspace(0, len(rows) - 1, min(n, len(rows)))
    return rows[places.astype(int)]


def _wide(grey: np.ndarray, channels: int) -> np.ndarray:
    """Grey pictures [N, H, W, 1] with as many channels as the others in a grid."""
    return np.repeat(grey.astype(np.float64), channels, -1)
