"""How well marks are taken off pictures: inside and outside of them, beside inpainting and beside who knows all of it.

Held-out pictures under marks of families, words and folds that training has not seen, rounded to bytes as files are.
Four answers: nothing; the biharmonic equation solved inside the mark, given where it is (scikit-image; Damelin & Hoang
2018, 10.1155/2018/3950312), which sees nothing of what shines through; the net; and eq. 1 of `genjax.corruptions.marks`
turned round by who is told coverage, opacity and colour. Intervals are over scenes, whose tiles are no independent
pictures. A mean of decibels is made by skies, which inpainting fills nearly without error; the decibels of the mean
square (`pooled`) by what has structure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.ae.restoration import LEAST, restore
from genjax.config import edit, field
from genjax.core import averaged, example_keys, size
from genjax.corruptions.damage import Damaged
from genjax.corruptions.marks import Mark, Marks, laid, removed
from genjax.corruptions.stencils import Bank, shared, unseen
from genjax.errors import UserError, at_least
from genjax.findings.restored import still
from genjax.findings.samples import check_images, show, some
from genjax.metrics.evaluate import Value
from genjax.metrics.images import ssim
from genjax.metrics.intervals import by_group
from genjax.pictures.draw import captioned, grid
from genjax.training.experiment import Experiment
from genjax.training.run import Run

Arrays = dict[str, np.ndarray]
WHO = ("nothing", "biharmonic", "net", "told_all")
BOUNDS = np.linspace(0.01, 0.3, 30)  # of a change of a pixel, from which on it counts as marked


class Looked(NamedTuple):
    """What was looked at under marks of one bank."""

    seen: Arrays  # as `looked_at` gives it
    answers: Arrays  # {who: pictures [N, H, W, C] in [0, 1]}
    measured: dict[str, Arrays]  # {who: {what: [N]}}


@dataclasses.dataclass(frozen=True)
class Marking:
    """Marks that training has not seen, on test pictures: PSNR inside and outside, SSIM, paired differences."""

    banks: tuple[Bank, ...] = field(
        unseen(),
        "what the marks of the test are drawn with",
    )
    images: int = field(200, "test pictures, each under a mark of each bank")
    shown: int = field(6, "of them in a picture")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what removes no marks, and for banks that training has seen a part of."""
        check_images(source)
        at_least(
            1,
            finish__Marking__images=self.images,
            finish__Marking__shown=self.shown,
        )
        if not self.banks:
            raise UserError("--finish.Marking.banks is empty: name one, e.g. (Letters(),).")
        marks = _marks(exp)
        both = shared(marks.banks, self.banks)
        if both:
            raise UserError(
                f"--finish.Marking.banks are to be unseen, and training has {', '.join(both[:3])} too: leave it out "
                "on one side."
            )
        _inpainter()

    def __call__(self, this: Run) -> None:
        test = some(this.source.test, self.images)
        looked = {}
        for bank in self.banks:
            # two of a class, as of two fonts, are told by their places
            name = type(bank).__name__.lower()
            if name in looked:
                name += str(len(looked))
            seen = looked_at(this, test, (bank,))
            answers = answered(seen)
            measured = {who: quality(answers[who], seen) for who in WHO}
            looked[name] = Looked(seen, answers, measured)
        groups = _groups(test)
        found = numbers(looked, groups)
        if this.exp.algorithm.blind:
            found |= self.found_where(this, looked, groups)
        kept = {}
        for name, value in found.items():
            kept[name] = value._asdict()
        this.log.result("marking", kept)
        _tell(this, found)
        for name, each in looked.items():
            picture = drawn(each, self.shown)
            show(this, f"marks-{name}", picture)

    def found_where(
        self,
        this: Run,
        looked: dict[str, Looked],
        groups: np.ndarray,
    ) -> dict[str, Value]:
        """How well what a blind net changes is the mark: the overlap by a bound that is chosen on training's marks."""
        banks = _marks(this.exp).banks
        split = _apart(this.source)
        known = looked_at(this, some(split, self.images), banks)
        means = []
        for bound in BOUNDS:
            means.append(overlap(known, bound).mean())
        best = float(BOUNDS[np.argmax(means)])
        tested = []
        for each in looked.values():
            tested.append(overlap(each.seen, best))
        return {
            "overlap": _over_groups(tested, groups),
            "bound": Value(best, None, None, len(known["clean"]), None),
        }


def _marks(exp: Experiment) -> Marks:
    """The damage that the run was trained on; UserError where it is anything but marks."""
    found = getattr(exp.algorithm, "corruption", ())
    if len(found) != 1 or not hasattr(found[0], "banks"):
        raise UserError(
            "Marking() measures how marks are removed: use --algorithm.corruption='(Marks(),)', or --finish='()'."
        )
    return found[0]


def _apart(source: Any) -> dict[str, Any]:
    """Pictures to choose a bound on: the valid split, else what was trained on; never those of the test."""
    if size(source.valid):
        return source.valid
    # seen pictures under marks that are drawn anew: nearer to the test than its own pictures are honest
    return source.train


def _inpainter() -> Any:
    """scikit-image's solver; UserError where it is not installed."""
    try:
        from skimage.restoration import inpaint_biharmonic
    except ImportError as error:
        raise UserError(
            "Marking() compares with scikit-image, which is not installed: pip install 'deepgenjax[floors]'."
        ) from error
    return inpaint_biharmonic


def _groups(test: dict[str, Any]) -> np.ndarray:
    """What each picture [N] is a part of: its scene, else it is one by itself."""
    if "scene" in test:
        return np.asarray(test["scene"])
    return np.arange(size(test))


def looked_at(this: Run, split: dict[str, Any], banks: tuple[Bank, ...]) -> Arrays:
    """A split under marks of some banks: {"clean", "seen", "restored", "known", and what `Mark` has}, each [N, ...]."""
    cfg = this.exp.algorithm
    spec = this.spec
    marks = edit(_marks(this.exp), {"banks": banks})

    def look(key: Array, state: Any, batch: dict[str, Any]) -> dict[str, Array]:
        clean = spec.unit(batch)
        keys = example_keys(key, batch["index"])
        mark = marks.draw(keys, spec.shape)
        # bytes: what is known of a marked picture is its file
        steps = 255.0 * laid(clean, mark)
        seen = jnp.round(steps) / 255.0
        outside = mark.coverage == 0
        known = outside.astype(jnp.float32)
        levels = mark.alpha[:, None]  # [B, corruptions]
        damage = Damaged(seen, levels, known)
        weights = averaged(state)
        restored = restore(weights, damage, cfg, spec)
        return {
            **mark._asdict(),
            "clean": clean,
            "seen": seen,
            "known": known,
            "restored": jnp.clip(restored, 0.0, 1.0),
        }

    # marks lie over what the model sees: in grey, or cut
    pictures = still(this.exp.view, {spec.main: split[spec.main]})
    pictures = {name: np.asarray(x) for name, x in pictures.items()}
    return this.evaluate(pictures, look)


def answered(seen: Arrays) -> Arrays:
    """{who: pictures [N, H, W, C] in [0, 1]} of the four who remove the marks."""
    mark = Mark(seen["coverage"], seen["alpha"], seen["colour"])
    exact = removed(seen["seen"], mark)
    return {
        "nothing": seen["seen"],
        "biharmonic": biharmonic(seen["seen"], seen["known"]),
        "net": seen["restored"],
        "told_all": np.clip(exact, 0.0, 1.0),
    }


def biharmonic(pictures: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Pictures [N, H, W, C] whose unknown pixels solve the biharmonic equation, given those around them."""
    inpaint = _inpainter()
    filled = []
    for picture, left in zip(pictures, known, strict=True):
        lost = left[..., 0] == 0
        whole = inpaint(picture, lost, channel_axis=-1)
        filled.append(whole)
    cut = np.clip(filled, 0.0, 1.0)
    return cut.astype(np.float32)


def quality(answer: np.ndarray, seen: Arrays) -> Arrays:
    """{"inside", "outside": squared error of these pixels; "ssim"}, each [N]."""
    clean = seen["clean"]
    known = seen["known"]
    square = np.square(answer - clean)
    # Wang's window, or the largest odd one that small pictures hold
    side = min(clean.shape[1:3])
    window = min(11, side // 2 * 2 - 1)
    return {
        "inside": _mean(square, 1.0 - known),
        "outside": _mean(square, known),
        "ssim": ssim(answer, clean, window),
    }


def _mean(square: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Of each picture [N, H, W, C] over the pixels where [N, H, W, 1] is 1, [N]."""
    pixels = (1, 2, 3)
    weight = np.broadcast_to(where, square.shape)
    total = np.sum(weight * square, pixels)
    count = np.sum(weight, pixels)
    return total / np.maximum(count, 1.0)


def decibels(square: Any) -> np.ndarray:
    """Of squared errors against a peak of 1, at most 100."""
    told = np.maximum(square, LEAST)
    return -10.0 * np.log10(told)


def overlap(seen: Arrays, bound: float) -> np.ndarray:
    """Of each picture the pixels that are changed by more than a bound and marked, over those that are either, [N]."""
    change = np.abs(seen["restored"] - seen["seen"])
    changed = change.max(-1) > bound  # [N, H, W]
    marked = seen["known"][..., 0] == 0
    both = changed & marked
    either = changed | marked
    pixels = (1, 2)
    return both.sum(pixels) / np.maximum(either.sum(pixels), 1)


def numbers(looked: dict[str, Looked], groups: np.ndarray) -> dict[str, Value]:
    """All numbers by name: of each answer over all banks, and what the net has more than inpainting, over each."""
    found = {}
    for who in WHO:
        banks = [each.measured[who] for each in looked.values()]
        for what in ("inside", "outside"):
            squares = [of_bank[what] for of_bank in banks]
            found[f"{who}_{what}"] = _over_groups(map(decibels, squares), groups)
        squares = [of_bank["inside"] for of_bank in banks]
        found[f"{who}_pooled"] = _pooled(squares, groups)
        alike = [of_bank["ssim"] for of_bank in banks]
        found[f"{who}_ssim"] = _over_groups(alike, groups)
    gains = {name: _gain(each) for name, each in looked.items()}
    found["gain"] = _over_groups(gains.values(), groups)
    for name, gain in gains.items():
        found[f"gain_{name}"] = _over_groups([gain], groups)
    return found


def _gain(looked: Looked) -> np.ndarray:
    """Decibels inside that the net has more than biharmonic inpainting, picture by picture, [N]."""
    net = looked.measured["net"]
    other = looked.measured["biharmonic"]
    return decibels(net["inside"]) - decibels(other["inside"])


def _over_groups(
    parts: Iterable[np.ndarray],
    groups: np.ndarray,
    scale: Callable[[Any], Any] = float,
) -> Value:
    """scale(mean) of values [N] of each bank, with an interval over whole groups; none for one group."""
    each = np.stack(list(parts))  # [banks, N]
    names, of = np.unique(groups, return_inverse=True)
    totals = np.bincount(of, each.mean(0))
    counts = np.bincount(of)

    def mean(rows: np.ndarray) -> float:
        total = totals[rows].sum()
        count = counts[rows].sum()
        return float(scale(total / count))

    if len(names) < 2:
        value = mean(np.arange(len(names)))
        return Value(value, None, None, each.size, None)
    places = np.arange(len(names))
    value, low, high = by_group(mean, list(places[:, None]))
    return Value(value, low, high, each.size, None)


def _pooled(squares: list[np.ndarray], groups: np.ndarray) -> Value:
    """Decibels of the mean of squared errors [N]."""
    return _over_groups(squares, groups, decibels)


def _tell(this: Run, found: dict[str, Value]) -> None:
    """A line for each answer, and one for each gain."""
    for who in WHO:
        line = [who.ljust(10)]
        for what in ("inside", "pooled", "outside", "ssim"):
            value = _worded(found[f"{who}_{what}"])
            line.append(f"{what} {value}")
        this.log.note("  ".join(line))
    for name, value in found.items():
        if name.startswith("gain"):
            told = _worded(value)
            this.log.note(f"net above biharmonic inside, {name}: {told} dB")
    if "overlap" in found:
        bound = found["bound"].value
        told = _worded(found["overlap"])
        this.log.note(
            f"pixels that change by more than {bound:.2f} are the mark: overlap {told}"
        )


def _worded(value: Value) -> str:
    """A value with its interval, if it has one."""
    if value.low is None:
        return f"{value.value:.3f}"
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def drawn(looked: Looked, n: int) -> np.ndarray:
    """Rows with captions, a picture a column: as it came, answers, truth, and four times what the net is off."""
    clean = looked.seen["clean"]
    restored = looked.answers["net"]
    error = 4.0 * np.abs(restored - clean)
    rows = {
        "marked": looked.seen["seen"],
        "biharmonic": looked.answers["biharmonic"],
        "restored": restored,
        "truth": clean,
        "4 |error|": np.clip(error, 0.0, 1.0),
    }
    # evenly over all: neighbours are of one scene
    n = min(n, len(clean))
    places = np.linspace(0, len(clean) - 1, n)
    columns = places.astype(int)
    tiles = [row[columns] for row in rows.values()]
    picture = grid(np.concatenate(tiles), n)
    return captioned(picture, list(rows))
