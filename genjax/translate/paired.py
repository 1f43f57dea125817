"""What all translation with pairs shares: the given picture, what is known of an answer, and the rows that show it."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Batch, Spec
from genjax.errors import UserError, nearest
from genjax.fields import Image, need
from genjax.pictures.draw import grid

LEAST = 1e-10  # the least squared error that is told in decibels: 100 dB


def encoded(
    batch: Batch,
    name: str,
    spec: Spec,
) -> jax.Array:
    """The given pictures, float32 [B, H, W, C] in [-1, 1]."""
    return spec.find(name).encode(batch[name])


def check_pair(
    who: str,
    name: str,
    spec: Spec,
) -> None:
    """Raises UserError unless the data have pairs: a field `name` with pictures of the size of what is modelled."""
    if spec.domains:
        raise UserError(
            f"{who} learns from pairs, and the data have the domains {', '.join(spec.domains)}, of which no two "
            "pictures belong together: use data with a field for either, or a system without pairs."
        )
    # what is modelled
    need(who, spec.main, spec.x, Image)
    # and what is given: another field of the same row
    found = spec.find(name)
    if name == spec.main or found is None:
        others = [other for other, kind in spec.fields if _is_picture(other, kind, spec)]
        known = ", ".join(others) or "none"
        raise UserError(
            f"--algorithm.given={name}: {who} translates another picture into {spec.main!r}, and the data have "
            f"{known}.{nearest(name, others)}"
        )
    need(f"{who}, --algorithm.given", name, found, Image)
    # channels may differ: a grey drawing of a face in colour
    given = found.shape[:2]
    wanted = spec.shape[:2]
    if given != wanted:
        raise UserError(
            f"--algorithm.given={name} is {_told(given)} and {spec.main} {_told(wanted)}, height by width: bring both "
            "to one size."
        )


def check_alike(
    who: str,
    name: str,
    spec: Spec,
) -> None:
    """Raises UserError where the two have not as many channels: what moves one into the other needs that."""
    given = spec.find(name).shape
    # a path from one to the other adds and subtracts them
    if given != spec.shape:
        raise UserError(
            f"{who} moves every value of {name} {given} to one of {spec.main} {spec.shape}: give both as many channels."
        )


def _is_picture(
    name: str,
    kind: Any,
    spec: Spec,
) -> bool:
    return isinstance(kind, Image) and name != spec.main


def _told(sides: tuple[int, ...]) -> str:
    return "x".join(map(str, sides))


def mean(x: jax.Array) -> jax.Array:
    """The mean of each example, [B]."""
    # of pixels and channels alike
    flat = x.reshape(len(x), -1)
    return jnp.mean(flat, -1)


def decibels(error: jax.Array) -> jax.Array:
    """-10 log10 of squared errors of pictures in [0, 1], at most 100."""
    # one infinity would be the mean of all
    least = jnp.maximum(error, LEAST)
    return -10.0 / math.log(10.0) * jnp.log(least)


def nearness(
    made: jax.Array,
    truth: jax.Array,
) -> dict[str, jax.Array]:
    """Of pictures in [0, 1], each [B]: the mean absolute error, and the squared one in decibels below a peak of 1."""
    difference = made - truth
    square = mean(jnp.square(difference))
    return {"absolute": mean(jnp.abs(difference)), "psnr": decibels(square)}


def in_rows(
    given: Any,
    made: Any,
    truth: Any,
) -> np.ndarray:
    """What was given, what was made of it and the truth, [B, H, W, C] each in unit values: a row each, uint8."""
    columns = [given, made, truth]
    # on the host: pictures are for people
    arrays = [np.asarray(column, np.float32) for column in columns]
    # grey beside colour: of as many channels as the widest
    channels = max(array.shape[-1] for array in arrays)
    alike = [_of_channels(array, channels) for array in arrays]
    rows = np.stack(alike, 1)  # [B, 3, H, W, C]
    # row by row: three columns of the grid
    tiles = rows.reshape(-1, *rows.shape[2:])
    return grid(np.clip(tiles, 0.0, 1.0), 3)


def _of_channels(
    x: np.ndarray,
    channels: int,
) -> np.ndarray:
    """Pictures [B, H, W, C] with so many channels: a single one is repeated."""
    if x.shape[-1] == channels:
        return x
    # also of fewer channels than the widest but more than one
    grey = x.mean(-1, keepdims=True)
    return np.repeat(grey, channels, -1)


def picture(
    samples: Any,
    given: Batch,
    name: str,
    spec: Spec,
) -> np.ndarray:
    """Input, output and truth of each example in a row, uint8 [H, W, C]."""
    source = spec.find(name).unit(given[name])
    truth = spec.unit(given)
    return in_rows(source, samples, truth)
