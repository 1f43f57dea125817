"""What a model of density says of pictures from elsewhere, and what mends it: see `genjax.metrics.strangeness`.

Held-out pictures of the run's own set and pictures of other sets, scaled to its size, get a score each; AUROC says how
often a stranger is the stranger of two. A threshold is set at a stated rate of false alarms on held-out normal pictures
and told with what it came to on test pictures. Beside the strangers stand controls: the test pictures themselves made
smooth, flat and noisy ones, the coder without any model, the nearest training picture.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from jax import Array

from genjax.config import field
from genjax.core import (
    Batch,
    Spec,
    State,
    averaged,
    size,
)
from genjax.data import Known
from genjax.diffusion import vdm
from genjax.errors import (
    UserError,
    at_least,
)
from genjax.fields import Image
from genjax.findings.background import Background
from genjax.findings.likelihood import (
    Iwae,
    Ode,
    log_p_of,
)
from genjax.findings.samples import (
    check_images,
    show,
    some,
    told,
)
from genjax.metrics.intervals import Interval
from genjax.metrics.nearest import nearest
from genjax.metrics.prediction import (
    auroc,
    auroc_difference,
    rate,
    threshold,
)
from genjax.metrics.strangeness import (
    complexity,
    ratio,
    surplus,
    untypical,
)
from genjax.pictures import figure
from genjax.pictures.draw import (
    captioned,
    grid,
    to_uint8,
)
from genjax.training.experiment import Experiment
from genjax.training.run import Run

NORMAL = "test"  # what is no stranger
LIKELIHOOD = "likelihood"  # what the other scores are compared with
Sets = dict[str, np.ndarray]  # {set: uint8 [N, H, W, C]}
Scores = dict[str, np.ndarray]  # {score: [N]}


@dataclasses.dataclass(frozen=True)
class Bound:
    """A variational diffusion model's bound: at most log p(x)."""

    draws: int = field(10, "times and noises a picture, evenly spaced in time")

    def check(self, exp: Experiment) -> None:
        """Raises UserError for models that have no such bound, and for a number below 1."""
        at_least(1, finish__Strangers__by__draws=self.draws)
        if not hasattr(exp.algorithm, "bound_steps"):
            raise UserError(
                "Bound() is for VDM: use Iwae() for VAEs, Ode() for diffusion and flows."
            )

    def log_p(
        self,
        key: Array,
        state: State,
        batch: Batch,
        cfg: Any,
        spec: Spec,
    ) -> Array:
        """The bound, [B] nats."""
        parts = vdm.bound(
            averaged(state),
            key,
            batch,
            self.draws,
            cfg,
            spec,
        )
        # from bits per dimension back to nats of a picture
        nats = math.prod(spec.shape) * math.log(2.0)
        return -nats * parts["bits_per_dim"]

    def bits(self, log_p: np.ndarray, dimensions: int) -> np.ndarray:
        """Bits per dimension, [B]."""
        return -log_p / (dimensions * math.log(2.0))

    def __str__(self) -> str:
        return f"at most, by the diffusion bound with {self.draws} draws"


class Limit(NamedTuple):
    """A threshold and what it came to."""

    above: float
    false_alarms: Interval  # of test pictures
    hits: dict[str, Interval]  # of each set of strangers


@dataclasses.dataclass(frozen=True)
class Strangers:
    """AUROC of test pictures against others by likelihood, by what mends it, and by what knows no likelihood."""

    others: tuple[Known | Any, ...] = field((), "sets whose test pictures are the strangers")
    by: Iwae | Ode | Bound = field(Iwae(100), "how log p(x) is found")
    background: Background | None = field(
        None, "models for the likelihood ratio, trained for it; None = without"
    )
    images: int = field(1000, "pictures of each set, and held-out normal ones for each purpose")
    batch: int = field(250, "pictures at a time")
    coarse: int = field(
        8, "side to which the control of smooth pictures is made small [pixels]"
    )
    false_alarms: float = field(0.05, "rate of normal pictures above the threshold, as asked")
    shown: int = field(10, "pictures of each set in a picture")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what cannot be asked, before the training."""
        check_images(source)
        at_least(
            1,
            finish__Strangers__images=self.images,
            finish__Strangers__batch=self.batch,
            finish__Strangers__coarse=self.coarse,
            finish__Strangers__shown=self.shown,
        )
        self.by.check(exp)
        # a label that is made up would be part of what is strange
        if getattr(exp.algorithm, "condition", ()):
            raise UserError(
                "--finish.Strangers asks a model that is told nothing, as a stranger has no label: use "
                "--algorithm.condition='()'."
            )
        self._check_held(source)
        if not self.others:
            raise UserError("--finish.Strangers.others is empty: name sets, e.g. (Digits(),).")
        # read now: a package that is missing is told before hours of training
        for other in self.others:
            _pictures(other, source.shape, 1)
        if self.background is not None:
            self.background.check(exp, source)

    def _check_held(self, source: Any) -> None:
        """Raises UserError where too few pictures are held out for a threshold at the rate."""
        held = min(size(source.valid), 2 * self.images)
        if not held:
            raise UserError(
                "--data.valid=0: thresholds are set by held-out normal pictures, so hold some out, --data.valid=2000."
            )
        # one half chooses, the other sets thresholds
        limiting = np.zeros(held // 2)
        threshold(limiting, self.false_alarms)  # for its error

    def __call__(self, this: Run) -> dict[str, float]:
        # one call for all pictures: a model is compiled once
        sets = self._sets(this)
        # two halves of what was held out: what chooses sets no threshold
        choosing, limiting = self._held(this)
        asked = {"choosing": choosing, "limiting": limiting, **sets}
        images = np.concatenate(list(asked.values()))
        scores = self._scores(this, images, choosing)
        parted = _parted(asked, scores)
        self._keep(this, sets, parted)
        _draw(this, sets, parted, self.shown)
        # the first of the strangers stands beside other runs in a comparison
        _, first, *_ = sets
        areas = {}
        for name in scores:
            areas[f"auroc {name}"] = _area(parted, first, name).value
        return areas

    # The pictures.

    def _sets(self, this: Run) -> Sets:
        """Test pictures, strangers, controls; the normal ones first."""
        main, shape = this.spec.main, this.spec.shape
        # a fair part: a head of a sorted set would be of few classes
        test = some(this.source.test, self.images)[main]
        sets = {NORMAL: to_uint8(test)}
        for other in self.others:
            name, images = _pictures(other, shape, self.images)
            # a second set of one name, as of another seed, has a number
            if name in sets:
                name += str(len(sets))
            sets[name] = images
        return sets | self._controls(sets[NORMAL])

    def _controls(self, test: np.ndarray) -> Sets:
        """What is no stranger of any kind: pictures made smooth, flat ones, noise."""
        rng = np.random.default_rng(0)
        n = len(test)
        # each of another grey
        levels = rng.integers(0, 256, (n, 1, 1, 1), np.uint8)
        flat = np.broadcast_to(levels, test.shape)
        noise = rng.integers(0, 256, test.shape, np.uint8)
        return {
            "smooth": _smooth(test, self.coarse),
            "flat": np.array(flat),
            "noise": noise,
        }

    def _held(self, this: Run) -> tuple[np.ndarray, np.ndarray]:
        """Held-out normal pictures: those that choose, and others that set thresholds."""
        held = some(this.source.valid, 2 * self.images)[this.spec.main]
        held = to_uint8(held)
        # in turn, so that both halves are alike
        return held[::2], held[1::2]

    # The scores.

    def _bits(self, this: Run, images: np.ndarray) -> np.ndarray:
        """-log2 p(x) [N]."""
        arrays = {this.spec.main: images}
        log_p = log_p_of(this, self.by, arrays, self.batch)
        dimensions = math.prod(this.spec.shape)
        bits = self.by.bits(log_p, dimensions)
        return dimensions * np.float64(bits)

    def _scores(self, this: Run, images: np.ndarray, choosing: np.ndarray) -> Scores:
        """Each score of all pictures, bits per dimension but for the distance."""
        bits = self._bits(this, images)
        # by a coder that has seen none of the data
        of_coder = complexity(images)
        # a part is enough for a floor
        train = some(this.source.train, 10 * self.images)[this.spec.main]
        distance, _ = nearest(images, to_uint8(train))
        # per dimension, as bits of pictures are told
        per = 1.0 / math.prod(this.spec.shape)
        normal = bits[: len(choosing)]
        scores = {
            LIKELIHOOD: per * bits,
            "complexity": per * surplus(bits, of_coder),
            "typicality": per * untypical(bits, normal),
            # without a model of density
            "coder": per * of_coder,
            "nearest": distance,
        }
        if self.background is not None:
            chosen = self.background.chosen(this, self._bits, choosing, images)
            # kept: which share it was is a part of the result
            best, area, of_background = chosen
            this.log.result("background", {"rate": best, "auroc_quarter_turns": area})
            scores["ratio"] = per * ratio(bits, of_background)
        return scores

    # The numbers.

    def _keep(self, this: Run, sets: Sets, parted: dict[str, Scores]) -> None:
        """The tables, as notes and in results.json."""
        bits = {}
        for name in sets:
            bits[name] = float(parted[name][LIKELIHOOD].mean())
        means = [f"{name} {value:.3f}" for name, value in bits.items()]
        this.log.note(f"bits/dim {self.by}: {', '.join(means)}")
        this.log.result("bits", bits)
        for score in parted[NORMAL]:
            self._keep_score(this, sets, parted, score)

    def _keep_score(
        self,
        this: Run,
        sets: Sets,
        parted: dict[str, Scores],
        score: str,
    ) -> None:
        limit = self._limit(parted, sets, score)
        alarms = limit.false_alarms
        entry: dict[str, Any] = {"false_alarms": alarms._asdict()}
        said = []
        for name, hits in limit.hits.items():
            area = _area(parted, name, score)
            row = {"auroc": _finite(area), "hits": _finite(hits)}
            if score != LIKELIHOOD:
                above = _difference(parted, name, score)
                row["above_likelihood"] = _finite(above)
            entry[name] = {**row, "n": len(sets[name])}
            said.append(f"{name} {told(area)}")
        this.log.result(f"strangers {score}", entry)
        this.log.note(f"{score}: AUROC {', '.join(said)}")
        this.log.note(
            f"  a threshold for {self.false_alarms:.1%} gives {alarms.value:.1%} [{alarms.low:.1%}, "
            f"{alarms.high:.1%}] false alarms on test pictures"
        )

    def _limit(self, parted: dict[str, Scores], sets: Sets, score: str) -> Limit:
        # of pictures that chose nothing
        limiting = parted["limiting"][score]
        above = threshold(limiting, self.false_alarms)
        hits = {}
        for name in sets:
            hits[name] = rate(parted[name][score], above)
        return Limit(above, hits.pop(NORMAL), hits)


def _pictures(other: Any, shape: tuple[int, ...], n: int) -> tuple[str, np.ndarray]:
    """(name, up to n test pictures in another shape, uint8) of a set; UserError for what is no set of pictures."""
    load = getattr(other, "load", None)
    if load is None:
        raise UserError(
            f"--finish.Strangers.others: {type(other).__name__} is no data set: name one, e.g. Digits()."
        )
    source = load()
    # words or points cannot be scaled to a picture's size
    kind = source.fields[source.main]
    if not isinstance(kind, Image):
        raise UserError(
            f"--finish.Strangers.others: {source.name} has no pictures, and strangers are scaled to the size of those "
            "that were trained on: name a set that has."
        )
    images = some(source.test, n)[source.main]
    return source.name, scaled(to_uint8(images), shape)


def scaled(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Pictures uint8 [N, h, w, c] in another shape (H, W, C): bilinear, of colour the light, of grey three times."""
    from PIL import Image as Pillow

    height, width, channels = shape
    mode = "L" if channels == 1 else "RGB"
    found = []
    for picture in images:
        # Pillow knows grey pictures as [H, W] alone
        pixels = picture[..., 0] if picture.shape[-1] == 1 else picture
        drawn = Pillow.fromarray(pixels).convert(mode)
        drawn = drawn.resize((width, height), Pillow.Resampling.BILINEAR)
        found.append(np.asarray(drawn).reshape(height, width, channels))
    return np.stack(found)


def _smooth(images: np.ndarray, coarse: int) -> np.ndarray:
    """Pictures made small and large again, as scans of 8x8 are: what of a stranger's score is its smoothness?"""
    _, height, width, channels = images.shape
    small = scaled(images, (min(coarse, height), min(coarse, width), channels))
    return scaled(small, (height, width, channels))


def _parted(asked: Sets, scores: Scores) -> dict[str, Scores]:
    """The scores of each set."""
    parted = {}
    first = 0  # of the set, among all pictures
    for name, images in asked.items():
        rows = slice(first, first + len(images))
        parted[name] = {score: values[rows] for score, values in scores.items()}
        first += len(images)
    return parted


def _both(parted: dict[str, Scores], name: str, score: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores of test pictures and of a set, and which are strangers."""
    normal = parted[NORMAL][score]
    strange = parted[name][score]
    both = np.concatenate([normal, strange])
    place = np.arange(len(both))
    # the normal ones come first
    return both, place >= len(normal)


def _area(parted: dict[str, Scores], name: str, score: str) -> Interval:
    scores, truth = _both(parted, name, score)
    return auroc(scores, truth)


def _difference(parted: dict[str, Scores], name: str, score: str) -> Interval:
    """How much better than likelihood, on the same pictures."""
    scores, truth = _both(parted, name, score)
    # the same pictures in the same order: what both find hard cancels
    likelihood, _ = _both(parted, name, LIKELIHOOD)
    return auroc_difference(scores, likelihood, truth)


def _finite(interval: Interval) -> dict[str, float]:
    """Without ends that are not known: NaN is no JSON."""
    found = interval._asdict()
    return {key: x for key, x in found.items() if math.isfinite(x)}


# Pictures.


def _draw(this: Run, sets: Sets, parted: dict[str, Scores], n: int) -> None:
    """Pictures of each set, the likeliest first; how the scores are distributed; likelihood against the coder."""
    # the sets need not be of one size
    columns = min(n, *map(len, sets.values()))
    tiles = []
    for name, images in sets.items():
        # from the likeliest to the least likely
        order = np.argsort(parted[name][LIKELIHOOD])
        places = np.linspace(0, len(order) - 1, columns).astype(int)
        tiles.append(images[order[places]])
    picture = grid(np.concatenate(tiles), columns)
    show(this, "strangers", captioned(picture, list(sets)))
    show(this, "strangers-scores", _histograms(sets, parted))
    show(this, "strangers-complexity", _against_coder(sets, parted))


def _histograms(sets: Sets, parted: dict[str, Scores]) -> np.ndarray:
    """A frame for each score, a line for each set."""
    # a score a frame, two beside each other
    names = list(parted[NORMAL])
    columns = 2
    rows = math.ceil(len(names) / columns)
    canvas, axes = figure.canvas(900, 240 * rows, rows, columns)
    for plot in axes.flat[len(names) :]:
        plot.set_visible(False)
    for plot, score in zip(axes.flat, names, strict=False):
        # noise would make every other set one bar
        drawn = {name: parted[name][score] for name in sets if name != "noise"}
        low = min(values.min() for values in drawn.values())
        high = max(values.max() for values in drawn.values())
        # the same bins for all sets; a width of 0 would be none
        edges = np.linspace(low, high + 1e-9, 60)
        for name, values in drawn.items():
            plot.hist(
                values,
                edges,
                density=True,
                histtype="step",
                label=name,
            )
        plot.set_title(score, fontsize=9)
        plot.set_yticks([])
    axes[0, 0].legend(fontsize=7)
    canvas.tight_layout()
    return figure.pixels(canvas)


def _against_coder(sets: Sets, parted: dict[str, Scores]) -> np.ndarray:
    """-log2 p(x) over L(x): simple pictures are likely, whatever they show."""
    canvas, axes = figure.canvas(560, 460)
    plot = axes[0, 0]
    for name in sets:
        # noise needs more bits than all else, and would leave no room
        if name == "noise":
            continue
        scores = parted[name]
        plot.scatter(
            scores["coder"],
            scores[LIKELIHOOD],
            s=3,
            alpha=0.4,
            label=name,
        )
    plot.set_xlabel("bits/dim of the shortest coder")
    plot.set_ylabel("bits/dim of the model")
    plot.legend(fontsize=8, markerscale=3)
    canvas.tight_layout()
    return figure.pixels(canvas)
