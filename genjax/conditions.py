"""What a model is told besides its noise: conditions, made of the data's fields by config values, in one form for nets.

An algorithm has `condition: tuple[Conditioner, ...]`; () = nothing. `told` makes of them what nets receive: a `Cond`,
or None. Every conditioner writes "nothing is said" as zeros, and no value of its field is all zeros, so that hiding is
multiplying by 0: that is what classifier-free guidance needs (Ho & Salimans 2022, arXiv:2207.12598).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import Own, field
from genjax.core import Batch, Spec, example_keys
from genjax.corruptions import Projection
from genjax.errors import UserError, at_least, at_most
from genjax.fields import Attributes, Category, Image, Points, Tokens, encoded, need


class Cond(NamedTuple):
    """What a net is told, as arrays; None where there is nothing of that kind. A tree, so jax maps over it."""

    vector: jax.Array | None = None  # [B, D]: labels, attributes
    tokens: jax.Array | None = None  # [B, L, D]: a sequence to attend to
    maps: jax.Array | None = None  # [B, H, W, C]: pictures beside the input


@dataclasses.dataclass(frozen=True)
class Label:
    """The class, one-hot."""

    of: str = field("label", "name of the field")
    guided: bool = field(
        True, "hidden in the weak model of guidance, and from a share of training"
    )

    def check(self, spec: Spec) -> None:
        """Raises UserError where the data have no such labels."""
        found = spec.find(self.of)
        if not getattr(found, "classes", 1):  # an unlabelled set has 0 classes
            raise UserError(
                "--algorithm.condition=(Label(),) needs labels and this data set has none: use one with classes, or ()."
            )
        need("the condition Label()", self.of, found, Category)

    def __call__(self, batch: Batch, spec: Spec) -> Cond:
        classes = spec.find(self.of).classes
        one_hot = jax.nn.one_hot(batch[self.of], classes)  # [B, classes]
        return Cond(vector=one_hot)


@dataclasses.dataclass(frozen=True)
class Traits:
    """Many yes-or-no attributes at once: yes is 1, no is -1, so that 0 says nothing."""

    of: str = field("attributes", "name of the field")
    guided: bool = field(
        True, "hidden in the weak model of guidance, and from a share of training"
    )

    def check(self, spec: Spec) -> None:
        """Raises UserError where the data have no such attributes."""
        need("the condition Traits()", self.of, spec.find(self.of), Attributes)

    def __call__(self, batch: Batch, spec: Spec) -> Cond:
        answers = batch[self.of].astype(jnp.float32)  # [B, K]
        return Cond(vector=2.0 * answers - 1.0)


@dataclasses.dataclass(frozen=True)
class Numbers:
    """One real number, such as an age: shares of the two nearest of `places` even places from `low` to `high`.

    The shares sum to 1, so that no number is all zeros, and between two places all that follows linearly is a line.
    What lies outside the range is told as its nearest end.
    """

    of: str = field("age", "name of the field, a number of each example")
    low: float = field(0.0, "the first place, in the field's unit")
    high: float = field(1.0, "the last place")
    places: int = field(8, "how many places, the ends included")
    guided: bool = field(
        True, "hidden in the weak model of guidance, and from a share of training"
    )

    def check(self, spec: Spec) -> None:
        """Raises UserError where the data have no such number, and for a range without a length."""
        found = spec.find(self.of)
        need("the condition Numbers()", self.of, found, Points)
        at_least(2, "Numbers: ", places=self.places)
        if found.shape != (1,) or not self.low < self.high:
            raise UserError(
                f"the condition Numbers(of={self.of!r}, low={self.low:g}, high={self.high:g}) needs one number an "
                f"example and a range that rises, and {self.of} is {found.shape}."
            )

    def allow(self, values: Any) -> None:
        """Raises UserError for numbers outside the range, of which a model would be told the end of it."""
        outside = [value for value in np.ravel(values) if not self.low <= value <= self.high]
        if outside:
            raise UserError(
                f"the {self.of} asked for is {outside[0]:g}, and this model knows {self.low:g} to {self.high:g}: ask "
                "for one within."
            )

    def __call__(self, batch: Batch, spec: Spec) -> Cond:
        last = self.places - 1
        value = batch[self.of].reshape(-1, 1)  # [B, 1]
        # in units of the distance between two places
        at = last * (value - self.low) / (self.high - self.low)
        at = jnp.clip(at, 0.0, last)
        away = jnp.abs(at - jnp.arange(self.places))  # [B, places]
        return Cond(vector=jnp.maximum(1.0 - away, 0.0))


@dataclasses.dataclass(frozen=True)
class Words:
    """A sequence of tokens, each one-hot: nets embed them, and attend to them or flatten them."""

    of: str = field("tokens", "name of the field")
    guided: bool = field(
        True, "hidden in the weak model of guidance, and from a share of training"
    )

    def check(self, spec: Spec) -> None:
        """Raises UserError where the data have no such tokens."""
        need("the condition Words()", self.of, spec.find(self.of), Tokens)

    def __call__(self, batch: Batch, spec: Spec) -> Cond:
        vocabulary = spec.find(self.of).vocabulary
        one_hot = jax.nn.one_hot(batch[self.of], vocabulary)  # [B, T, vocabulary]
        return Cond(tokens=one_hot)


@dataclasses.dataclass(frozen=True)
class Said:
    """One sentence for all, never hidden: what the weak model of guidance is told where samples shall be unlike it."""

    of: str = field("caption", "name of the field whose tokens it is written in")
    text: str = field("", "the sentence, UTF-8")
    guided: bool = field(False, "hidden in the weak model of guidance")

    def check(self, spec: Spec) -> None:
        """Raises UserError where the field holds no bytes, and for a sentence that is longer than it."""
        kind = spec.find(self.of)
        need("the condition Said()", self.of, kind, Tokens)
        if kind.vocabulary < 256:
            raise UserError(
                f"a sentence is written in bytes, and the field {self.of!r} has {kind.vocabulary} tokens: use a field "
                "of 256, or no sentence."
            )
        _, cut = encoded(self.text, kind.length)
        if cut:
            raise UserError(
                f"{self.text!r} has {len(self.text.encode())} bytes, and {self.of!r} has room for {kind.length}: say "
                "it in fewer."
            )

    def __call__(self, batch: Batch, spec: Spec) -> Cond:
        kind = spec.find(self.of)
        row, _ = encoded(self.text, kind.length)
        rows = jnp.tile(row, (len(batch["index"]), 1))  # [B, T]
        return Cond(tokens=_one_hot(rows, kind.vocabulary))


@dataclasses.dataclass(frozen=True)
class Caption:
    """A sentence, each of its tokens one-hot; what fills it up, token 0, is zeros: an empty sentence says nothing.

    A net reads it with `nets.Worded`, whose encoder is trained along.
    """

    of: str = field("caption", "name of the field")
    guided: bool = field(
        True, "hidden in the weak model of guidance, and from a share of training"
    )
    negative: str = field(
        "",
        "a sentence that the weak model of guidance is told: samples shall be unlike it; '' = nothing",
        execution=True,
    )

    def check(self, spec: Spec) -> None:
        """Raises UserError where the data have no such tokens, and for a negative sentence that does not fit."""
        need("the condition Caption()", self.of, spec.find(self.of), Tokens)
        if self.negative:
            self.against.check(spec)

    @property
    def against(self) -> Caption | Said:
        """What the weak model of guidance is told in the place of this."""
        return Said(self.of, self.negative) if self.negative else self

    def __call__(self, batch: Batch, spec: Spec) -> Cond:
        vocabulary = spec.find(self.of).vocabulary
        return Cond(tokens=_one_hot(batch[self.of], vocabulary))


def _one_hot(tokens: jax.Array, vocabulary: int) -> jax.Array:
    """[B, T] -> [B, T, vocabulary], zeros of token 0."""
    there = (tokens != 0)[..., None]
    return jax.nn.one_hot(tokens, vocabulary) * there


@dataclasses.dataclass(frozen=True)
class Embedding:
    """What another encoder made of a caption: real numbers [D], or [T, D] of its tokens, as they are.

    Data bring them by `Embedded`; a caption of zeros says nothing.
    """

    of: str = field("embedding", "name of the field")
    guided: bool = field(
        True, "hidden in the weak model of guidance, and from a share of training"
    )

    def check(self, spec: Spec) -> None:
        """Raises UserError where the data have no such numbers."""
        found = spec.find(self.of)
        need("the condition Embedding()", self.of, found, Points)
        if len(found.shape) not in (1, 2):
            raise UserError(
                f"the condition Embedding() takes [D] or [T, D], and {self.of!r} is {tuple(found.shape)}."
            )

    def __call__(self, batch: Batch, spec: Spec) -> Cond:
        values = batch[self.of].astype(jnp.float32)
        return Cond(vector=values) if values.ndim == 2 else Cond(tokens=values)


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of the input's height and width, in [-1, 1]: the field itself, or what a degradation leaves of it."""

    of: str = field("image", "name of the field")
    through: Projection | None = field(None, "what is left of it; None = all")
    guided: bool = field(
        False, "hidden in the weak model of guidance, and from a share of training"
    )

    def check(self, spec: Spec) -> None:
        """Raises UserError where the data have no such picture, or it cannot be degraded so."""
        found = spec.find(self.of)
        need("the condition Picture()", self.of, found, Image)
        if self.through is not None:
            # the degradation itself refuses what it cannot do; shapes alone, nothing is computed
            one = jnp.zeros((1, *found.shape))
            jax.eval_shape(self.through, one)

    def __call__(self, batch: Batch, spec: Spec) -> Cond:
        kind = spec.find(self.of)
        x = kind.encode(batch[self.of])  # [B, H, W, C] in [-1, 1]
        if self.through is not None:
            x = self.through(x)
        return Cond(maps=x)


Conditioner = Label | Traits | Numbers | Words | Caption | Said | Embedding | Picture | Own


def asks(conditioners: Sequence[Any]) -> tuple[str, ...]:
    """The fields that sampling needs, in order, each once."""
    return tuple(dict.fromkeys(each.of for each in conditioners))


def check(conditioners: Sequence[Any], spec: Spec) -> None:
    """Raises UserError for a condition that the data cannot give."""
    for each in conditioners:
        each.check(spec)


def told(
    conditioners: Sequence[Any],
    batch: Batch,
    spec: Spec,
    shown: jax.Array | Sequence[jax.Array] | None = None,
) -> Cond | None:
    """What nets receive, or None for an unconditional model.

    shown: [B], 1 or 0 (False): where it is 0 the guided conditions are hidden; one for each of them, or None = all are
    shown.
    """
    if not conditioners:  # nets then have no input for it at all
        return None
    guided = [each for each in conditioners if each.guided]
    own = shown if isinstance(shown, list | tuple) else [shown] * len(guided)
    left = iter(own)
    found = []
    for each in conditioners:
        cond = each(batch, spec)
        # what is not guided stays: a picture to restore is no matter of guidance
        seen = next(left) if each.guided else None
        if seen is not None:
            cond = hidden(cond, seen)
        found.append(cond)
    return joined(found)


def blank(conditioners: Sequence[Any], batch: Batch, spec: Spec) -> Cond | None:
    """What the weak model of guidance receives: `told` with the guided conditions hidden, or their negative ones."""
    return partly(conditioners, batch, spec, ())


def partly(
    conditioners: Sequence[Any], batch: Batch, spec: Spec, names: Sequence[str]
) -> Cond | None:
    """`told` with the guided conditions of these fields; the others are hidden, or their negative ones."""
    none = jnp.zeros(len(batch["index"]))  # [B], shown to nobody
    used, shown = [], []
    for each in conditioners:
        open_ = not each.guided or each.of in names
        one = each if open_ else getattr(each, "against", each)
        used.append(one)
        # a negative sentence is not hidden: it is told in the place of nothing
        if one.guided:
            shown.append(None if open_ else none)
    return told(used, batch, spec, shown)


def coins(key: jax.Array, batch: Batch) -> jax.Array:
    """A number in [0, 1) for each example [B], the same whichever device and microbatch it falls into."""
    keys = example_keys(key, batch["index"])
    return jax.vmap(jax.random.uniform)(keys)


def shown(key: jax.Array, batch: Batch, drop: float) -> jax.Array:
    """Whether an example is told its condition in training, bool [B]: hidden from a share `drop` of them."""
    return coins(key, batch) >= drop


def check_guidance(conditioners: Sequence[Any], drop: float, guidance: Any) -> None:
    """Raises UserError for a share that is none, and for guidance by what is never hidden."""
    at_least(0, algorithm__drop=drop)
    at_most(1, algorithm__drop=drop)
    # a scale that does nothing, or guides by what was never trained, would go unnoticed
    guided_by = [each for each in conditioners if each.guided]
    if guidance.plain:
        return
    if not guided_by:
        raise UserError(
            f"--algorithm.guidance={guidance} sets the condition against none, and this model has no condition to "
            "hide: use --algorithm.condition='(Label(),)', or a scale of 1."
        )
    if not drop:
        raise UserError(
            "--algorithm.guidance needs a model that was trained without its condition too: use --algorithm.drop=0.1."
        )


def hidden(cond: Cond | None, shown: jax.Array) -> Cond | None:
    """The condition with zeros, "nothing is said", where shown [B] is 0."""

    def hide(x: jax.Array) -> jax.Array:
        ones = [1] * (x.ndim - 1)
        mask = shown.reshape(-1, *ones)  # [B, 1, ...]
        return x * mask.astype(x.dtype)

    return jax.tree.map(hide, cond)


def joined(conds: Sequence[Cond]) -> Cond:
    """Several conditions as one: vectors and maps side by side in the last axis, sequences one after the other."""
    vectors, sequences, maps = zip(*conds, strict=True)
    return Cond(
        _beside(vectors, -1),
        _beside(sequences, 1),
        _beside(maps, -1),
    )


def _beside(arrays: Sequence[jax.Array | None], axis: int) -> jax.Array | None:
    there = [x for x in arrays if x is not None]  # of this kind
    if not there:
        return None
    return jnp.concatenate(there, axis)
