"""A restorer on pictures that it has never seen, beside methods that were never trained.

The mean of decibels over pictures is the field's convention, and differences are of pairs: the same picture, the same
noise. Tiles of one scene are no independent witnesses, so intervals are jackknives over scenes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from genjax.ae.figures import Figures
from genjax.ae.floors import Floor
from genjax.config import field, suffix
from genjax.corruptions import Corruption
from genjax.data import Known
from genjax.errors import UserError, at_least
from genjax.findings.restored import (
    Crops,
    Made,
    Method,
    Seen,
    crops,
    evenly,
    measured,
    over_groups,
    spoilt,
    still,
    worked,
)
from genjax.findings.restorer import check_restoration, damage_of, restorer
from genjax.findings.samples import check_images, show
from genjax.metrics.evaluate import Extractor
from genjax.pictures.draw import captioned, grid
from genjax.training.experiment import Experiment, home
from genjax.training.run import Run
from genjax.views import seen_fields

NET, INPUT, TRUTH = "net", "input", "truth"
OTHER = "untrained"  # in titles: damage of a kind that training had none of
Damage = tuple[Corruption, ...]
Found = dict[str, Made]  # by method


@dataclasses.dataclass(frozen=True)
class Restoring:
    """PSNR and SSIM of the net and of other methods for each damage, the difference to each, and a picture.

    Gives {"psnr Gaussian 0.098": …}, which a comparison shows beside its metrics.
    """

    data: Known | Any = field(
        None,
        "whose test pictures; None = the run's own. They may be larger than those trained on",
    )
    crops: int = field(64, "pictures at most")
    group: str = field("scene", "field that says which pictures belong together, where there")
    damages: tuple[Corruption, ...] = field(
        (), "each in the place of the run's; () = the run's own as it is"
    )
    floors: tuple[Floor, ...] = field((), "methods to compare with, which run here")
    figures: Figures | None = field(None, "of a method that ran elsewhere")
    judge: Extractor | None = field(
        None, "whose features are compared too, fitted to the training split of `data`"
    )
    tile: int | None = field(None, "side of tiles [pixels]; None = whole pictures")
    shown: int = field(4, "pictures that are drawn for each damage")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what cannot be measured, before the training."""
        check_images(source)
        check_restoration(exp.algorithm)
        at_least(1, finish__Restoring__crops=self.crops)
        at_least(0, finish__Restoring__shown=self.shown)
        if self.tile is not None:
            at_least(1, finish__Restoring__tile=self.tile)
        trained = _shape(exp, source)
        shape = _shape(exp, self._source(source))
        channels = shape[-1]
        if channels != trained[-1]:
            raise UserError(
                f"--finish.Restoring.data has pictures of {channels} channels, and the model is trained on "
                f"{trained[-1]}: choose data and --view that agree."
            )
        # a package that is missing is told now, and not after hours
        for floor in self.floors:
            floor.check(shape)
        for damage in self._damages(exp):
            _check_damage(exp, damage, trained, shape)
            for floor in self.floors:
                _place(floor, damage)

    def __call__(self, this: Run) -> dict[str, float]:
        source = self._source(this.source)
        held = crops(source, this.exp.view, self.crops, self.group)
        judge = self._judge(this, source, held)
        net = restorer(this, self.tile)
        columns = {}
        for damage in self._damages(this.exp):
            methods = {NET: net, **self._floors(damage)}
            seen = spoilt(damage, held)
            found = self._found(this, methods, damage, held, seen)
            found = {name: judge(made) for name, made in found.items()}
            title = _title(damage, seen)
            if not _trained_on(this.exp, damage):
                title += f" {OTHER}"
                _warn(this, title, damage)
            # two of one kind and level, as means of 2x2 and of 4x4, have a row each
            if f"psnr {title}" in columns:
                title += f" {len(columns)}"
            _tell(this, title, found, held)
            self._show(this, title, found, held)
            psnr = found[NET].psnr
            columns[f"psnr {title}"] = float(psnr.mean())
        return columns

    def _damages(self, exp: Experiment) -> list[Damage]:
        if not self.damages:
            return [exp.algorithm.corruption]
        return [(damage,) for damage in self.damages]

    def _source(self, own: Any) -> Any:
        if self.data is None:
            return own
        return self.data.load()

    def _floors(self, damage: Damage) -> dict[str, Method]:
        methods: dict[str, Method] = {}
        for floor in self.floors:
            # of two of a class the settings tell which is which
            name = type(floor).__name__ + suffix(floor)
            methods[name] = levelled(floor, _place(floor, damage))
        return methods

    def _found(
        self, this: Run, methods: Mapping, damage: Damage, held: Crops, seen: Seen
    ) -> Found:
        """What each method makes; what was given comes first."""
        clean = held.image
        found = {INPUT: measured(seen.x, clean, seen.known)}
        known = None
        if seen.known is not None:
            known = seen.known[0]
        # compiled before the clock runs
        methods[NET](seen.x[0], seen.level[0], known)
        for name, method in methods.items():
            found[name] = worked(method, seen, clean)
        if self.figures is not None:
            found |= self._elsewhere(this, damage, held, seen)
        return found

    def _elsewhere(self, this: Run, damage: Damage, held: Crops, seen: Seen) -> Found:
        """The method of the figures; nothing, and a note, where they are of other pictures."""
        try:
            name, figures = self.figures.of(damage[0], held.image, seen.x)
        except UserError as error:  # better no figures than those of something else
            this.log.note(f"left out: {error}")
            return {}
        psnr, ssim = np.transpose(figures)
        return {name: Made(psnr, ssim)}

    def _judge(self, this: Run, source: Any, held: Crops) -> Callable[[Made], Made]:
        """What adds the distance of features: 0 = the picture itself, 1 = as far as another picture."""
        if self.judge is None:
            return lambda made: made
        # the views may take all colour away
        train = {name: np.asarray(x) for name, x in source.train.items()}
        train = still(this.exp.view, train)
        # beside the runs: one judge of a data set serves them all
        folder = home(this.exp) / "features"
        extract = self.judge.fit(train, folder)
        clean = np.float64(extract(held.image).features)
        # two pictures drawn from these are that far apart: twice the variance
        another = 2.0 * clean.var(0).sum()

        def judged(made: Made) -> Made:
            if made.images is None:
                return made
            shown = np.clip(made.images, 0.0, 1.0)
            features = extract(shown).features
            difference = features - clean
            square = np.square(difference).sum(-1)
            return made._replace(apart=square / another)

        return judged

    def _show(self, this: Run, title: str, found: Found, held: Crops) -> None:
        """A row for each method, a column for each picture, the truth below."""
        if not self.shown:
            return
        places = evenly(self.shown, len(held.image))
        rows = {}
        for name, made in found.items():
            # figures of elsewhere have no pictures
            if made.images is not None:
                rows[name] = made.images[places]
        rows[TRUTH] = held.image[places]
        of_all = list(rows.values())
        tiles = np.concatenate(of_all)
        picture = grid(tiles, len(places))
        name = title.replace(" ", "-")  # of a file
        show(this, f"restored-{name}", captioned(picture, list(rows)))


def _shape(exp: Experiment, source: Any) -> tuple[int, ...]:
    """Of a picture as the model sees it."""
    fields = seen_fields(exp.view, source.fields)
    return tuple(fields[source.main].shape)


def _check_damage(exp: Experiment, damage: Damage, trained: tuple, shape: tuple) -> None:
    """Raises UserError for damage of which the model is told otherwise than of its own."""
    for corruption in damage:
        corruption.check(shape)
    own = damage_of(exp.algorithm.corruption, trained)
    other = damage_of(damage, shape)
    as_many = own.level.shape == other.level.shape
    as_known = (own.known is None) == (other.known is None)
    # a level is in its damage's own unit: the width of a blur means nothing as a deviation of noise
    hears = not exp.algorithm.blind and exp.algorithm.amount
    # of pixels that are lost it is their share, whatever they were lost by
    of_share = other.known is not None
    as_told = _trained_on(exp, damage) or not hears or of_share
    if not as_many or not as_known or not as_told:
        raise UserError(
            f"--finish.Restoring.damages: of {damage[0]!r} a model is told other things than of what this one was "
            "trained to undo: name damage of the same kind."
        )


def _trained_on(exp: Experiment, damage: Damage) -> bool:
    """Whether damage is of the kinds, one by one, that the model was trained to undo; how strong is no matter."""
    kinds = [type(each) for each in damage]
    own = [type(each) for each in exp.algorithm.corruption]
    return kinds == own


def _title(damage: Damage, seen: Seen) -> str:
    """The kinds of damage in turn, and how much of each was done on the average."""
    words = []
    for each, level in zip(damage, seen.level.mean(0), strict=True):
        words.append(f"{type(each).__name__} {level:.3f}")
    return " ".join(words)


def _warn(this: Run, title: str, damage: Damage) -> None:
    """Says that a model is measured on what it was not trained for: it can be, and may fail."""
    own = " and ".join(type(each).__name__ for each in this.exp.algorithm.corruption)
    this.log.note(
        f"{title}: trained on {own}, never on {type(damage[0]).__name__}: a lower number is no fault of the net"
    )


def _place(floor: Floor, damage: Damage) -> int:
    """Which of some damages a floor is told the amount of; UserError where it undoes none of them."""
    name = type(floor).__name__
    undoes = getattr(floor, "undoes", None)
    if not undoes:
        # told of the first: one of `()` does not listen, and of one of your own nothing is known
        if undoes is None and len(damage) > 1:
            raise UserError(
                f"--finish.Restoring.floors: {name} does not say whose amount it is told, and there are {len(damage)} "
                "damages: give the class undoes = (Gaussian,), for instance."
            )
        return 0
    for place, each in enumerate(damage):
        if isinstance(each, undoes):
            return place
    wanted = " or ".join(f"{kind.__name__}()" for kind in undoes)
    got = ", ".join(f"{type(each).__name__}()" for each in damage)
    raise UserError(
        f"--finish.Restoring.floors: {name} is told how strong {wanted} is, and the damage is {got}: leave it out."
    )


def levelled(floor: Floor, place: int = 0) -> Method:
    """A floor as the net is called: with all levels, of which it is told one; place: which of several damages'."""

    def method(seen: np.ndarray, level: np.ndarray, known: np.ndarray | None) -> np.ndarray:
        own = float(level[place])
        return floor(seen, own, known)

    return method


def _tell(this: Run, title: str, found: Found, held: Crops) -> None:
    """The table of one damage, as notes and in results.json."""
    n = len(held.image)
    scenes = len(np.unique(held.group))
    this.log.note(f"{title}: {n} pictures of {scenes} scenes")
    net = found[NET]
    entry = {}
    for name, made in found.items():
        row = _row(made)
        if name != NET:
            above = net.psnr - made.psnr
            value, low, high = over_groups(above, held.group)
            row |= {"net_above": value, "low": low, "high": high}
        # NaN is no JSON: one scene has no interval
        kept = {key: x for key, x in row.items() if np.isfinite(x)}
        said = ", ".join(f"{key} {x:.4g}" for key, x in kept.items())
        this.log.note(f"  {name}: {said}")
        entry[name] = {**kept, "n": n, "groups": scenes}
    this.log.result(f"restored {title}", entry)


def _row(made: Made) -> dict[str, float]:
    """Means over pictures, of what was measured."""
    several = {
        "psnr": made.psnr,
        "ssim": made.ssim,
        "psnr_lost": made.lost,
        "features": made.apart,
    }
    row = {}
    for name, values in several.items():
        if values is not None and not np.all(np.isnan(values)):
            row[name] = float(np.nanmean(values))
    if made.seconds is not None:
        row["s/Mpixel"] = made.seconds
    return row
