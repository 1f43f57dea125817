"""A net that reads pictures back: their class, yes-or-no attributes, and numbers such as an age or an angle.

`Reader` learns it from a data set's own training split, so it is an extractor with a classifier's logits, and its
features tell apart whatever it was taught: `fd_reader` sees a change of pose where a classifier of ages would not.
`Shares` compares how often samples and real examples are read as each class and with each attribute. A reader is as
good as it is on pictures that it was not taught by: `certainty` measures that, and stands beside all it says.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.config import digest, field, suffix
from genjax.core import DOWN, size
from genjax.data.batches import indices, take
from genjax.errors import UserError, at_least
from genjax.machine.parallel import Jit, Layout
from genjax.metrics.classifier import ConvNet, augment, fingerprint
from genjax.metrics.evaluate import Seen
from genjax.metrics.features import (
    Extract,
    Extracted,
    batched,
    pixels,
    trained_once,
)
from genjax.metrics.intervals import Interval, jackknife
from genjax.optim import Adam, CosineDecay

VERSION = 1  # of the net and its training: a new number makes every stored one be trained again


class Read(NamedTuple):
    """What is read of pictures."""

    features: Any  # [N, D]
    logits: Any  # [N, K], of the classes
    answers: Any  # [N, A], probabilities of a yes
    numbers: Any  # [N, M], in their own units


class Taught(NamedTuple):
    """What is to be read of the pictures of a split."""

    label: np.ndarray  # [N] int32
    answers: np.ndarray  # [N, A], 0 or 1
    numbers: np.ndarray  # [N, M]


@dataclasses.dataclass(frozen=True)
class Reader:
    """A small convolutional net that learns class, attributes and numbers at once, from the training split."""

    # whose classes the logits are, see `evaluate.check_classes`
    classes: ClassVar[str] = "data"

    attributes: str = field("", "name of the field of yes-or-no attributes; '' = none")
    numbers: tuple[str, ...] = field((), "names of the fields of real numbers to read")
    called: tuple[str, ...] = field((), "names of these numbers in order; () = their fields'")
    widths: tuple[int, ...] = field(
        (32, 64), "channels of each level, half the size of the one before"
    )
    features: int = field(64, "width of the layer before what is read")
    steps: int = field(1500, "training steps")
    batch: int = field(128, "examples a step")
    optimiser: Adam = field(
        Adam(3e-3, weight_decay=0.02, warmup=100, decay=CosineDecay()), "optimiser"
    )
    smoothing: float = field(0.1, "share of the label that is spread over all classes")
    shift: float = field(
        0.03, "largest random shift in training, share of the side, rounded up to whole pixels"
    )
    seed: int = field(0, "of the weights, the order of the data and the shifts")
    extract_batch: int = field(500, "images at a time after training", execution=True)

    @property
    def name(self) -> str:
        # which fields it reads is the data's matter, as which classes there are
        plain = dataclasses.replace(self, attributes="", numbers=(), called=())
        return f"reader{suffix(plain)}"

    def size(self, shape: tuple[int, ...]) -> int:
        """The number of features of images of `shape`."""
        return self.features

    def fit(
        self, train: Any, folder: str | Path | None = None, layout: Layout = Jit()
    ) -> Extract:
        """images [N, H, W, C] -> features [N, D], logits [N, K] and answers [N, A]; UserError for data without."""
        read = self.reading(train, folder, layout)

        def extract(images: Any) -> Extracted:
            found = read(images)
            return Extracted(found.features, found.logits, found.answers)

        return extract

    def reading(
        self, train: Any, folder: str | Path | None = None, layout: Layout = Jit()
    ) -> Callable[[Any], Read]:
        """images [N, H, W, C] -> `Read`, trained on one device unless `folder` has it; UserError as `fit`."""
        taught = self.taught(train)
        shape = tuple(train["image"].shape[1:])
        classes, answers, numbers = _sizes(taught)
        net = ConvNet(self.widths, self.features, classes + answers + numbers)
        path = self._path(train, folder)
        like = _like(net, shape, numbers)
        kept = trained_once(
            path, like, "the reader is", lambda: _train(self, net, train, taught)
        )
        apply = functools.partial(_apply, net, classes, answers)
        return batched(apply, kept, shape, layout, self.extract_batch)

    def taught(self, split: Mapping[str, Any]) -> Taught:
        """What is true of a split; UserError for a field that it lacks, and for one class alone."""
        at_least(1, "Reader: ", steps=self.steps, batch=self.batch, features=self.features)
        wanted = ["image", "label", *self.numbers]
        if self.attributes:
            wanted.append(self.attributes)
        for name in wanted:
            if name not in split:
                raise UserError(
                    f"Reader: the data have {', '.join(split)} and no field {name!r}: set attributes and numbers."
                )
        label = np.asarray(split["label"])
        n = len(label)
        if len(split["image"].shape) != 4 or label.max(initial=0) < 1:
            raise UserError(
                "Reader: it reads images [H, W, C] with labels of two classes or more: use Components()."
            )
        answers = np.zeros((n, 0), np.float32)
        if self.attributes:
            answers = np.asarray(split[self.attributes], np.float32)
        columns = [np.zeros((n, 0), np.float32)]
        for name in self.numbers:
            values = np.asarray(split[name], np.float32)
            columns.append(values.reshape(n, -1))
        return Taught(label, answers, np.concatenate(columns, 1))

    def names(self, fields: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the answers and of the numbers, of a data set with these fields, in the order of `Read`.

        UserError for a field that they lack.
        """
        for name in filter(None, (*self.numbers, self.attributes)):
            if name not in fields:
                raise UserError(
                    f"Reader: the data have {', '.join(fields)} and no field {name!r}: set attributes and numbers."
                )
        answers = fields[self.attributes].names if self.attributes else ()
        numbers: list[str] = []
        for name in self.numbers:
            count = math.prod(fields[name].shape)
            if count == 1:
                numbers.append(name)
                continue
            for i in range(count):
                numbers.append(f"{name}_{i}")
        count = len(numbers)
        if self.called and len(self.called) != count:
            told = ", ".join(numbers)
            raise UserError(
                f"Reader: called={self.called} must name the {count} numbers {told}."
            )
        return tuple(answers), self.called or tuple(numbers)

    def _path(self, train: Any, folder: str | Path | None) -> Path | None:
        """The file of the trained net: other settings or other data have another name. None without a folder."""
        if not folder:
            return None
        return Path(folder) / f"reader-{digest(self)}-{fingerprint(train)}-v{VERSION}.npz"


def certainty(read: Read, taught: Taught) -> dict[str, np.ndarray]:
    """How well pictures are read: {"label": share, "answers": [A] shares, "numbers": [M] R²}.

    R² = 1 - mean (y - read)² / var y: 1 where every number is read, 0 where the mean would do as well.
    """
    likeliest = np.argmax(read.logits, 1)
    label = np.mean(likeliest == taught.label)
    said = np.asarray(read.answers) > 0.5
    true = taught.answers > 0.5
    answers = np.mean(said == true, 0)
    difference = np.asarray(read.numbers) - taught.numbers
    misses = np.mean(difference**2, 0)
    variance = np.var(taught.numbers, 0)
    variance = np.maximum(variance, 1e-12)  # a constant is no number to read
    return {"label": label, "answers": answers, "numbers": 1.0 - misses / variance}


@dataclasses.dataclass(frozen=True)
class Shares:
    """How far the classes and attributes that are read of samples are from those of real examples.

    Total variation 1/2 sum_k |p_k - q_k| of the classes, and |p - q| of each attribute, their mean; each example is
    read as its likeliest class, and as a yes from a probability of 1/2.
    """

    def names(self, on: str) -> dict[str, int]:
        return {f"tv_label_{on}": DOWN, f"tv_attributes_{on}": DOWN}

    def __call__(self, train: Seen, real: Seen, samples: Seen, on: str) -> dict[str, Interval]:
        label, attributes = self.names(on)
        # half the sum over classes; of an attribute yes and no are apart by as much, so one of them is enough
        classes = _read_classes(real, on)
        apart = variation(classes, _read_classes(samples, on), 0.5)
        answers = _read_answers(real, on)
        of_one = 1.0 / answers.shape[1]
        mean = variation(answers, _read_answers(samples, on), of_one)
        return {label: apart, attributes: mean}

    def floor(self, train: Seen, drawn: Seen, real: Seen, on: str) -> dict[str, Interval]:
        return self(train, real, drawn, on)


def variation(real: np.ndarray, samples: np.ndarray, weight: float) -> Interval:
    """weight sum_k |p_k - q_k| of the means of rows [N, K] and [M, K]; the interval is over the draw of the samples."""
    p = real.mean(0)

    def apart(rows: np.ndarray | slice) -> float:
        q = samples[rows].mean(0)
        differences = np.abs(p - q)
        return float(weight * differences.sum())

    value = apart(slice(None))
    if len(samples) < 50:  # groups of the jackknife
        return Interval(value, np.nan, np.nan)
    around = jackknife(apart, len(samples))
    # only its width is of use: a distance is at least 0, and its bias makes the value at n another number
    low = value + around.low - around.value
    return Interval(value, max(low, 0.0), value + around.high - around.value)


def _read_classes(seen: Seen, on: str) -> np.ndarray:
    """The class that each example is read as, one-hot: [N, K]."""
    if seen.logits is None:
        raise ValueError(f"shares of classes need a classifier's outputs and {on} has none")
    likeliest = np.argmax(seen.logits, 1)
    return np.eye(seen.logits.shape[1])[likeliest]


def _read_answers(seen: Seen, on: str) -> np.ndarray:
    """Whether each example is read as having each attribute: [N, A] of 0 and 1."""
    if seen.answers is None or not seen.answers.shape[1]:
        raise ValueError(
            f"shares of attributes need a Reader that is told of some, and {on} is not"
        )
    return (np.asarray(seen.answers) > 0.5).astype(np.float64)


def _sizes(taught: Taught) -> tuple[int, int, int]:
    """(K, A, M): classes, attributes, numbers. A class between that no example has is a class too."""
    classes = int(taught.label.max()) + 1
    _, answers = taught.answers.shape
    _, numbers = taught.numbers.shape
    return classes, answers, numbers


def _like(net: ConvNet, shape: tuple[int, ...], numbers: int) -> Any:
    """Shapes and types of what is kept of a trained net, for images of `shape`."""
    image = jnp.zeros((1, *shape))
    # eval_shape: nothing is computed
    variables = jax.eval_shape(net.init, jax.random.key(0), image)
    unit = jax.ShapeDtypeStruct((numbers,), np.float32)
    return {"net": variables, "mean": unit, "std": unit}


def _apply(net: ConvNet, classes: int, answers: int, kept: Any, image: jax.Array) -> Read:
    out: Any = net.apply(kept["net"], pixels(image))
    logits, yes, unit = _parted(out.logits, classes, answers)
    answers_of = jax.nn.sigmoid(yes)
    # back to their own units
    numbers = kept["mean"] + kept["std"] * unit
    return Read(out.features, logits, answers_of, numbers)


def _parted(out: jax.Array, classes: int, answers: int) -> list[jax.Array]:
    """[B, K + A + M] -> logits of the classes [B, K], of the answers [B, A], and the numbers [B, M]."""
    return jnp.split(out, [classes, classes + answers], 1)


def _train(cfg: Reader, net: ConvNet, train: Any, taught: Taught) -> Any:
    """The trained net with the numbers' means and deviations: a function of cfg and the data alone."""
    n = size(train)
    batch = min(cfg.batch, n)
    told = f"training a reader on {n} images, {cfg.steps} steps of {batch}"
    print(told, file=sys.stderr, flush=True)
    mean = taught.numbers.mean(0)  # [M]
    std = taught.numbers.std(0)
    std = np.maximum(std, 1e-6)  # of a constant
    # numbers of unit variance weigh alike
    unit = (taught.numbers - mean) / std
    known = {
        "image": train["image"],
        "label": taught.label,
        "answers": taught.answers,
        "numbers": unit.astype(np.float32),
    }
    init, step = _steps(cfg, net, taught)
    key = jax.random.key(cfg.seed)
    _, *shape = train["image"].shape
    state = init(key, jnp.zeros((1, *shape)))
    # no scan: on CPU the gradients of convolutions are slow in one (jax#12868)
    for i in range(cfg.steps):
        rows = indices(cfg.seed, i, n, batch)
        step_key = jax.random.fold_in(key, i)
        state = step(state, step_key, take(known, rows))
    variables, _ = state
    kept = {"net": variables, "mean": mean, "std": std}
    kept = jax.device_get(kept)
    return jax.tree.map(lambda x: np.asarray(x, np.float32), kept)


def _steps(cfg: Reader, net: ConvNet, taught: Taught):
    """`init(key, image)` and `step(state, key, batch)` of the training; state = (variables, optimiser's)."""
    tx = cfg.optimiser(cfg.steps)
    classes, answers, _ = _sizes(taught)

    @jax.jit
    def init(key: jax.Array, image: jax.Array):
        variables = net.init(key, image)
        return variables, tx.init(variables["params"])

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: Any, key: jax.Array, batch: Any):
        variables, opt = state
        # no flips: a mirrored face looks the other way
        x = augment(key, pixels(batch["image"]), cfg.shift, False)
        one_hot = jax.nn.one_hot(batch["label"], classes)
        target = optax.smooth_labels(one_hot, cfg.smoothing)  # [B, K]

        def loss(params):
            given = {**variables, "params": params}
            # batch norm's averages change in the forward pass: they come out beside the loss
            out, new = net.apply(given, x, True, mutable=["batch_stats"])
            logits, yes, unit = _parted(out.logits, classes, answers)
            of_class = optax.softmax_cross_entropy(logits, target)  # [B]
            of_answers = optax.sigmoid_binary_cross_entropy(yes, batch["answers"])  # [B, A]
            of_numbers = jnp.square(unit - batch["numbers"])  # [B, M]
            # sums over what there is, also of none: each question weighs as much as the class
            rest = of_answers.sum(1) + 0.5 * of_numbers.sum(1)
            return jnp.mean(of_class + rest), new

        params = variables["params"]
        grads, new = jax.grad(loss, has_aux=True)(params)
        # params too: AdamW's decay is of them
        updates, opt = tx.update(grads, opt, params)
        params = optax.apply_updates(params, updates)
        return {"params": params, **new}, opt

    return init, step
