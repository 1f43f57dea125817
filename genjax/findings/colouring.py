"""Colourings of held-out pictures beside the truth: how colourful, how near, how varied, and who is fooled by them.

Every row is measured alike: the model, and what takes no model. `truth` is the picture itself with its colour at the
resolution that the model works at, the best that any answer of it could be; `grey` adds nothing; `mean` has the
training set's mean colour everywhere; `nearest` has the colour of the training picture whose light is nearest.

A judge, a convolutional net, learns to tell coloured pictures from true ones on one half of the scenes and is asked on
the other. Both have the same light, so that colour alone tells. `fooled` is the share of pairs in which it takes the
coloured picture for the true one, as people are asked in Zhang et al. (2016, arXiv:1603.08511, sec. 3.1): 1/2 is the
most that an honest answer gets. Intervals are jackknives over scenes: tiles of one scene are no independent examples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import size
from genjax.errors import UserError, at_least
from genjax.findings.restored import over_groups, still
from genjax.findings.samples import check_images, show, some, told
from genjax.findings.steering import members
from genjax.metrics import colour, prediction
from genjax.metrics.classifier import Convolutional
from genjax.metrics.intervals import Interval, by_group
from genjax.metrics.memorisation import neighbours
from genjax.optim import Adam, CosineDecay
from genjax.pictures import lab
from genjax.pictures.draw import to_uint8
from genjax.training.experiment import Experiment
from genjax.training.run import Run

JUDGE = Convolutional(
    steps=400,
    flips=True,
    optimiser=Adam(3e-3, weight_decay=0.02, warmup=50, decay=CosineDecay()),
)

JUDGED = ("fooled", "accuracy", "auroc")
CHANCE = Interval(0.5, 0.5, 0.5)


class Asked(NamedTuple):
    """What the judge said of pairs that it had not seen."""

    coloured: np.ndarray  # [n] log odds that a coloured picture is coloured
    true: np.ndarray  # [n] and that the true one is
    groups: np.ndarray  # [n] the scene of each pair


@dataclasses.dataclass(frozen=True)
class Colours:
    """Colourfulness, PSNR of ab, AuC, error and diversity of colourings, and how often a judge is fooled by them."""

    images: int = field(800, "test pictures that are measured, at most")
    shown: int = field(8, "of them in the picture", execution=True)
    library: int = field(4000, "training pictures that the floors are made of, at most")
    group: str = field(
        "scene", "field of the data: what has one value of it is on one side of the judge"
    )
    judge: Convolutional = field(JUDGE, "tells coloured pictures from true ones")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for models that colour nothing and data that cannot be divided."""
        check_images(source)
        least = {
            "images": self.images,
            "shown": self.shown,
            "library": self.library,
        }
        at_least(1, "--finish.Colours.", **least)
        name = type(exp.algorithm).__name__
        if not hasattr(exp.algorithm, "fold"):
            raise UserError(
                f"the finding Colours() is of models that colour pictures, and {name}() does not: use Colouring() or "
                "Colourings()."
            )
        if self.group not in source.fields:
            known = ", ".join(source.fields)
            raise UserError(
                f"--finish.Colours.group={self.group}: {source.name} has no such field, it has {known}."
            )
        found = np.unique(source.test[self.group])
        if len(found) < 2:
            raise UserError(
                f"--finish.Colours.group={self.group}: all test pictures have one value of it, and the judge needs two "
                "sides: name another field."
            )

    def __call__(self, this: Run) -> dict[str, float]:
        test = some(this.source.test, self.images)
        groups = np.asarray(test[self.group])
        # the model samples through the views itself, and is measured against what it saw
        seen = still(this.exp.view, test)
        truth = this.spec.unit(seen)
        light, ab = lab.apart(truth, this.exp.algorithm.fold)
        best = np.asarray(_together(light, ab))
        made = self.coloured(this, test)
        rows = {
            "truth": best[:, None],
            **self.floors(this, light),
            "model": made,
        }
        numbers: dict[str, float] = {}
        for name, pictures in rows.items():
            found = measured(pictures, truth, groups)
            if name == "truth":  # beside itself it leaves a judge nothing but ties
                found |= dict.fromkeys(JUDGED, CHANCE)
            else:
                first = pictures[:, 0]
                found |= self.fooling(first, best, groups)
            numbers = tell(this, name, found, len(best))
        self.draw(this, light, made, truth)
        return numbers  # the model's, which is the last

    def coloured(self, this: Run, test: dict[str, Any]) -> np.ndarray:
        """The model's colourings of test pictures, [n, K, H, W, 3]."""
        given: dict[str, Any] = {}
        for name in this.algorithm.asks:
            given[name] = np.asarray(test[name])
        given["index"] = np.arange(size(test), dtype=np.uint32)
        samples = this.draw(this.algorithm.sample, given)
        return np.asarray(samples["coloured"])

    def floors(self, this: Run, light: jax.Array) -> dict[str, np.ndarray]:
        """What takes no training, each [n, 1, H, W, 3] for light [n, H, W, 1]."""
        fold = this.exp.algorithm.fold
        library = some(this.source.train, self.library)
        pictures = this.spec.unit(still(this.exp.view, library))
        of_theirs, theirs = lab.apart(pictures, fold)
        _, index = neighbours(
            _thumbnails(light, fold),
            _thumbnails(of_theirs, fold),
        )
        nearest = theirs[index]  # [n, h, w, 2]
        mean = theirs.mean((0, 1, 2))
        answers = {
            "grey": jnp.zeros_like(nearest),
            "mean": jnp.broadcast_to(mean, nearest.shape),
            "nearest": nearest,
        }
        floors = {}
        for name, ab in answers.items():
            painted = np.asarray(_together(light, ab))
            floors[name] = painted[:, None]
        return floors

    def fooling(
        self,
        coloured: np.ndarray,
        best: np.ndarray,
        groups: np.ndarray,
    ) -> dict[str, Interval]:
        """How well a fresh judge tells coloured [n, H, W, 3] from true pictures, on scenes that it has not seen."""
        asked = self.judged(to_uint8(coloured), to_uint8(best), groups)
        return judgement(asked)

    def judged(
        self,
        coloured: np.ndarray,
        best: np.ndarray,
        groups: np.ndarray,
    ) -> Asked:
        """Trains the judge on one half of the groups, and asks it of the other; pictures as bytes."""
        learning = half(groups)
        parts = [coloured[learning], best[learning]]
        image = np.concatenate(parts)
        first = np.arange(len(image)) < learning.sum()
        lesson = {
            "image": image,
            "label": first.astype(np.int32),  # 1 = coloured
        }
        read = self.judge.fit(lesson)
        asked = ~learning

        def odds(images: np.ndarray) -> np.ndarray:
            logits = np.asarray(read(images[asked]).logits)
            true, coloured = logits.T
            return coloured - true

        return Asked(
            odds(coloured),
            odds(best),
            groups[asked],
        )

    def draw(
        self,
        this: Run,
        light: jax.Array,
        made: np.ndarray,
        truth: jax.Array,
    ) -> None:
        """The light, its colourings and the truth of a few pictures, a row each."""
        last = len(made) - 1
        count = min(self.shown, len(made))
        # from all over the set: it is sorted by scene
        rows = np.linspace(0, last, count)
        places = rows.round().astype(int)
        samples = {
            "input": lab.grey(light[places]),
            "coloured": made[places],
        }
        picture = lab.rows(samples, truth[places])
        show(this, "colours", picture)


def tell(
    this: Run,
    name: str,
    found: dict[str, Interval],
    n: int,
) -> dict[str, float]:
    """Records a row, and its intervals; returns its numbers."""
    numbers = {}
    ends = {}
    words = []
    for key, interval in found.items():
        numbers[key] = interval.value
        ends[f"{name} {key}"] = interval._asdict()
        words.append(f"{key} {told(interval)}")
    this.log.result(f"colours: {name}", {**numbers, "n": n})
    this.log.result("intervals", ends)
    this.log.note(f"{name}: {', '.join(words)}")
    return numbers


def measured(
    pictures: np.ndarray,
    truth: jax.Array,
    groups: np.ndarray,
) -> dict[str, Interval]:
    """Numbers of colourings [n, K, H, W, 3] against the truth [n, H, W, 3], without a judge."""
    found = {}
    for name, values in _measures(pictures, truth).items():
        found[name] = over_groups(np.asarray(values), groups)
    # means of squares are what the two have in common; roots are in units of ab
    for name in ("error", "diversity"):
        found[name] = rooted(found[name])
    return found


def rooted(squares: Interval) -> Interval:
    """The interval of a mean square, as one of its root."""
    # of two scenes the jackknife reaches far below 0, which no square does
    possible = np.maximum(squares, 0.0)
    return Interval(*np.sqrt(possible))


def judgement(asked: Asked) -> dict[str, Interval]:
    """`fooled`, `accuracy` and `auroc` of what a judge said."""
    higher = asked.coloured > asked.true
    ties = asked.coloured == asked.true
    found_out = higher + 0.5 * ties
    # right of a coloured picture above 0, of a true one below
    hits = asked.coloured > 0.0
    passes = asked.true <= 0.0
    right = 0.5 * hits + 0.5 * passes

    def area(rows: np.ndarray) -> float:
        parts = [asked.coloured[rows], asked.true[rows]]
        scores = np.concatenate(parts)
        positive = np.arange(len(scores)) < len(rows)
        return prediction.auroc(scores, positive).value

    found = (
        over_groups(1.0 - found_out, asked.groups),
        over_groups(right, asked.groups),
        over_groups_of(area, asked.groups),
    )
    return {name: _share(each) for name, each in zip(JUDGED, found, strict=True)}


def _share(found: Interval) -> Interval:
    """An interval of a share: a jackknife knows no bounds, and a share has two."""
    low, high = np.clip(found[1:], 0.0, 1.0)
    return Interval(found.value, float(low), float(high))


# A finding is no algorithm: it may compile what it does to a thousand pictures
_together = jax.jit(lab.together)


@jax.jit
def _measures(pictures: jax.Array, truth: jax.Array) -> dict[str, jax.Array]:
    """Of colourings [n, K, H, W, 3], each [n]: means over the K, `error` and `diversity` as squares."""
    _, true_ab = lab.apart(truth)
    ab = lab.to_lab(pictures)[..., 1:]  # [n, K, H, W, 2]
    against = true_ab[:, None]
    each = {
        "colourfulness": colour.colourfulness(pictures),
        "psnr_ab": colour.psnr(ab, against),
        "auc": colour.auc(ab, against),
        "error": colour.mean_square(ab, against),
        "diversity": _spread(ab),
    }
    return {name: values.mean(1) for name, values in each.items()}


def _spread(ab: jax.Array) -> jax.Array:
    """The mean square by which two of K draws [n, K, H, W, 2] differ, [n, 1]; 0 of a single one."""
    draws = ab.shape[1]
    others = max(draws - 1, 1)
    middle = ab.mean(1, keepdims=True)
    variance = colour.mean_square(ab, middle)  # [n, K]
    # a difference has the variance of both, and the mean is that of the draws themselves
    twice = 2.0 * draws / others
    return twice * variance.mean(1, keepdims=True)


def _thumbnails(light: jax.Array, fold: int) -> np.ndarray:
    """Light [N, H, W, 1] at the resolution of colour, [N, D]."""
    small = np.asarray(lab.means(light, fold))
    return small.reshape(len(small), -1)


def half(groups: np.ndarray) -> np.ndarray:
    """Which of n examples are in one half of their groups, bool [n]: from the largest down, in turn."""
    names, counts = np.unique(groups, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    falling = names[order]
    return np.isin(groups, falling[::2])


def over_groups_of(statistic: Callable[[np.ndarray], float], groups: np.ndarray) -> Interval:
    """statistic(rows) of n examples, with the jackknife over groups; of a single group the value alone."""
    of_group = members(groups)
    if len(of_group) < 2:
        value = statistic(np.arange(len(groups)))
        return Interval(value, np.nan, np.nan)
    return by_group(statistic, of_group)
