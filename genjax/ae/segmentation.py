"""Segmentation: a class for every pixel of a picture, as a distribution over the classes.

A net says logits [H, W, K]; the softmax of them is what `predict` gives. What training minimises, for truth g (one-hot)
and said p, over the pixels i of one picture:

    CrossEntropy    mean over i of -w_g log p_g,       whose best answer is the probability itself
    Dice            1 - mean over k of (2 sum_i p g + s) / (sum_i p² + sum_i g² + s)

Dice is Milletari et al. 2016 (arXiv:1606.04797, eq. 1), each class by itself and then their mean: a class of few pixels
counts as much as one of many, and the answer is pressed to 0 and 1, so that it is no probability. Both together are a
tuple of the two. There is nothing to sample: an answer is judged, by `summary`, on all pixels of a split together.

A class of weight 0 in CrossEntropy is void: of its pixels nobody knows what they are. No loss learns from them, they
are not judged, and no pixel is taken for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import UP, Algorithm, Batch, Criterion, Parts, Spec, State, averaged, single
from genjax.ema import Decay
from genjax.errors import UserError, above, at_least
from genjax.fields import Image, Mask, need
from genjax.metrics.masks import iou
from genjax.nets.plain import PlainUNet
from genjax.optim import Adam, Optimiser


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
    """-w log p of the true class, the mean over pixels: w is 1, or the class's own."""

    weight: float = field(1.0, "in the sum of the losses")
    # 0 leaves a class out of training: pixels of which nobody knows what they are
    classes: tuple[float, ...] = field((), "a weight for each class; () = all alike")

    # of its part among the metrics; no field
    name = "cross_entropy"

    @property
    def void(self) -> tuple[int, ...]:
        """The classes that are left out."""
        return tuple(k for k, weight in enumerate(self.classes) if not weight)

    def check(self, classes: int) -> None:
        """Raises UserError for weights that are no weights of these classes."""
        where = "CrossEntropy: "
        above(0, where, weight=self.weight)
        if self.classes and len(self.classes) != classes:
            raise UserError(
                f"CrossEntropy: {len(self.classes)} weights, and the masks have {classes} classes: give one for each."
            )
        at_least(0, where, classes=min(self.classes, default=0.0))

    def __call__(
        self,
        logits: jax.Array,
        truth: jax.Array,
        void: tuple[int, ...] = (),
    ) -> jax.Array:
        """[B] of logits [B, H, W, K] and classes [B, H, W]; what is `void` its own weights say."""
        log_p = jax.nn.log_softmax(logits)
        one_hot = jax.nn.one_hot(truth, logits.shape[-1])
        # a product: a gather has a scatter for its gradient, which is slow on CPU
        of_truth = jnp.sum(one_hot * log_p, -1)  # [B, H, W]
        if self.classes:
            weights = jnp.array(self.classes)
            # not divided by their sum: a picture of light classes alone stays a light one
            of_truth = of_truth * weights[truth]
        return -jnp.mean(of_truth, (1, 2))


@dataclasses.dataclass(frozen=True)
class Dice:
    """1 - the soft Dice coefficient of a picture, the mean over classes."""

    weight: float = field(1.0, "in the sum of the losses")
    # without it a class that a picture lacks has no gradient: 0 / sum p² is 0 whatever p is
    smooth: float = field(1.0, "s, added above and below [pixels]; 0 = the paper's")

    name = "dice"
    # classes that are left out: those of the loss beside it
    void = ()

    def check(self, classes: int) -> None:
        """Raises UserError for settings without a meaning."""
        where = "Dice: "
        above(0, where, weight=self.weight)
        at_least(0, where, smooth=self.smooth)

    def __call__(
        self,
        logits: jax.Array,
        truth: jax.Array,
        void: tuple[int, ...] = (),
    ) -> jax.Array:
        """[B] of logits [B, H, W, K] and classes [B, H, W], without the pixels of the classes `void`."""
        classes = logits.shape[-1]
        p = jax.nn.softmax(logits)
        g = jax.nn.one_hot(truth, classes)
        if void:
            unknown = g[..., np.array(void)].sum(-1, keepdims=True)
            seen = 1.0 - unknown  # 0 where nobody knows
            # the mean is over the others: of these there is nothing to find
            others = np.setdiff1d(np.arange(classes), void)
            p = (seen * p)[..., others]
            g = (seen * g)[..., others]
        both = jnp.sum(p * g, (1, 2))  # [B, K]
        said = jnp.sum(p * p, (1, 2))
        there = jnp.sum(g, (1, 2))  # ones and zeros are their own squares
        # a class that is on neither side, where s = 0, is 0 / 0: nothing was to be said
        sizes = jnp.maximum(said + there + self.smooth, 1e-12)
        coefficient = (2.0 * both + self.smooth) / sizes
        return 1.0 - jnp.mean(coefficient, -1)


Loss = CrossEntropy | Dice


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    net: nn.Module = field(PlainUNet(), "net(x, 1, None, (H, W, classes)) -> logits")
    mask: str = field("mask", "field of the classes: 'parts' of Heads")
    losses: tuple[Loss, ...] = field((CrossEntropy(),), "their weighted sum is minimised")
    optimiser: Optimiser = field(Adam(), "of the net")
    ema: Decay = field(Decay(0.0), "average of the weights that evaluation uses")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)

    def check_views(self, views: Sequence[Any], main: str) -> None:
        """Raises UserError for a view that moves pictures and leaves masks where they were, or the other way."""
        both = (main, self.mask)
        # nothing else would tell: shapes still agree, and the loss is only higher
        for view in views:
            of = getattr(view, "moved", ())
            moved = [name for name in both if name in of]
            if len(moved) == 1:
                kind = type(view).__name__
                raise UserError(
                    f"--view={kind}(of={of}) moves the field {moved[0]!r} alone, and masks would lie beside their "
                    f"pictures: write {kind}(of={both})."
                )


def classes_of(cfg: Segmentation, spec: Spec) -> int:
    """K, the number of classes."""
    return spec.find(cfg.mask).classes


def void_of(cfg: Segmentation) -> tuple[int, ...]:
    """The classes that any of the losses leaves out, rising."""
    found: set[int] = set()
    for loss in cfg.losses:
        found |= set(loss.void)
    return tuple(sorted(found))


def known(logits: jax.Array, cfg: Segmentation) -> jax.Array:
    """Logits [..., K] of who knows that a pixel is not void: its probability goes to the other classes."""
    void = void_of(cfg)
    # so low that a softmax is exactly 0
    return logits.at[..., np.array(void)].set(-1e9) if void else logits


def seen_by(x: jax.Array, classes: int) -> tuple:
    """What the net is called with for pictures [B, H, W, C] in [-1, 1]: input, clock, condition, shape."""
    _, height, width, _ = x.shape
    # nets of this library have a clock: of what has no time it stands still
    still = jnp.ones(len(x))
    return x, still, None, (height, width, classes)


def answer(params: dict, x: jax.Array, cfg: Segmentation, classes: int) -> jax.Array:
    """Logits [B, H, W, K] of pictures [B, H, W, C] in [-1, 1], of any size that the net takes."""
    variables = {"params": params["net"]}
    logits = cfg.net.apply(variables, *seen_by(x, classes))
    # a softmax of 16 bits would lose rare classes
    return logits.astype(jnp.float32)


def predict(params: dict, batch: Batch, cfg: Segmentation, spec: Spec) -> jax.Array:
    """The probabilities of the classes at every pixel, [B, H, W, K]; 0 of those that are void."""
    logits = answer(params, spec.encode(batch), cfg, classes_of(cfg, spec))
    return jax.nn.softmax(known(logits, cfg))


def parts(logits: jax.Array, truth: jax.Array, cfg: Segmentation) -> Parts:
    """The loss and each of its parts, [B]."""
    found = {}
    total = jnp.zeros(len(logits))
    void = void_of(cfg)
    for loss in cfg.losses:
        value = loss(logits, truth, void)
        # without its weight, so that runs with other weights compare
        found[loss.name] = value
        total = total + loss.weight * value
    return {"loss": total, **found}


def counted(logits: jax.Array, truth: jax.Array, cfg: Segmentation) -> jax.Array:
    """Pixels [B, K, K] of true class i that are taken for class j; of void neither row nor column has any."""
    classes = logits.shape[-1]
    taken = jnp.argmax(known(logits, cfg), -1)
    of_truth = jax.nn.one_hot(truth, classes)
    void = void_of(cfg)
    if void:
        of_truth = of_truth.at[..., np.array(void)].set(0.0)
    of_taken = jax.nn.one_hot(taken, classes)
    # zeros and ones: exact up to 16 million pixels
    return jnp.einsum("bhwi,bhwj->bij", of_truth, of_taken)


def evaluate(params: dict, batch: Batch, cfg: Segmentation, spec: Spec) -> Parts:
    """The loss and its parts, [B], and counts of classes against classes, [B, K, K]."""
    logits = answer(params, spec.encode(batch), cfg, classes_of(cfg, spec))
    truth = batch[cfg.mask]
    found = parts(logits, truth, cfg)
    return {**found, "counts": counted(logits, truth, cfg)}


def summary(values: dict[str, Any]) -> dict[str, float]:
    """Means of the losses, the share of pixels that are right, and the mean over classes of the IoU of all pixels."""
    found = {}
    arrays = {name: np.asarray(each, np.float64) for name, each in values.items()}
    counts = arrays.pop("counts").sum(0)  # [K, K]
    for name, each in arrays.items():
        found[name] = float(each.mean())
    hits = np.trace(counts)
    found["accuracy"] = float(hits / counts.sum())
    # not the mean of pictures' own: a class that a picture lacks has none there
    found["mean_iou"] = float(np.nanmean(iou(counts)))
    return found


def _check(cfg: Segmentation, spec: Spec) -> None:
    """Raises UserError for data without pictures or masks, and for settings that do not fit them."""
    need("Segmentation", spec.main, spec.x, Image)
    found = spec.find(cfg.mask)
    # a field of several pictures or of numbers would fail far from here
    need("--algorithm.mask", cfg.mask, found, Mask)
    if found.shape != spec.shape[:2]:
        raise UserError(
            f"the field {cfg.mask!r} is {found.shape} and pictures are {spec.shape}: name both fields in every --view "
            f"that cuts, Crop(of=({spec.main!r}, {cfg.mask!r}))."
        )
    if found.classes < 2:
        raise UserError(
            f"the field {cfg.mask!r} has {found.classes} class, and there is nothing to tell it from: use data of two."
        )
    if not cfg.losses:
        raise UserError(
            "--algorithm.losses=() leaves nothing to learn: name one, e.g. (CrossEntropy(),)."
        )
    # of two with one name the later would be told as both
    names = [loss.name for loss in cfg.losses]
    if len(set(names)) < len(names):
        raise UserError(
            f"--algorithm.losses names {names[0]} twice: name each once, with its weight."
        )
    for loss in cfg.losses:
        loss.check(found.classes)
    void = void_of(cfg)
    if found.classes - len(void) < 2:
        raise UserError(
            f"CrossEntropy: weights of 0 leave out {len(void)} of {found.classes} classes, and two are needed to tell "
            "apart: give more of them a weight."
        )


def algorithm(cfg: Segmentation, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for data without masks."""
    _check(cfg, spec)
    classes = classes_of(cfg, spec)

    def init_params(key, batch):
        x = spec.encode(batch)
        variables = cfg.net.init(key, *seen_by(x, classes))
        return {"net": variables["params"]}

    def error_loss(params, key, batch, step):
        logits = answer(params, spec.encode(batch), cfg, classes)
        return parts(logits, batch[cfg.mask], cfg)

    init, step = single(
        init_params,
        error_loss,
        cfg.optimiser(spec.steps),
        cfg.ema,
        spec.microbatches,
    )

    # what follows sees the averaged weights, where there are any
    def measured(key: jax.Array, state: State, batch: Batch) -> Parts:
        return evaluate(averaged(state), batch, cfg, spec)

    return Algorithm(
        init,
        step,
        measured,
        summary=summary,
        criterion=Criterion("mean_iou", UP),
    )
