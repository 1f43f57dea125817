"""Short films of handwritten digits that move evenly and bounce at the walls, with the motion that made them.

The films of Srivastava et al. (2015, arXiv:1502.04681), small and exact: every place is known in closed form, so that
what a model predicts has a truth at any time, as far ahead as one likes. There the digits are MNIST's 28x28 in 64x64
pixels; here scikit-learn's 8x8, so numbers do not compare with theirs.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data.batches import Arrays
from genjax.data.source import Digits, Source, hold_out
from genjax.errors import UserError, at_least, at_most
from genjax.fields import Attributes, Film, Points, Tokens

# Places are whole sixteenths of a pixel: all weights and sums of `films` are exact in floating point, and a film has
# the same bytes on every machine.
GRID = 16
_NAMES = tuple("0123456789")
_CHUNK = 512  # films that are drawn at a time


@dataclasses.dataclass(frozen=True)
class MovingDigits:
    """Films in grey of some digits each, which pass over each other; drawn once, alike in chance.

    The training digits of `Digits` move in the training films and its test digits in the test films.
    """

    frames: int = field(8, "pictures of a film")
    size: int = field(24, "side of a picture [pixels]")
    digits: int = field(2, "digits in a film")
    zoom: int = field(1, "a digit's pixel becomes zoom x zoom ones; 1 = 8x8 as they are")
    speed: float = field(2.0, "most pixels a frame, down and to the right each")
    train: int = field(5000, "training films")
    test: int = field(1000, "test films")
    valid: int = field(0, "training films held out for validation, from the tail")
    seed: int = field(0, "seed of the films, independent of the run's seed")

    def load(self) -> Source:
        """{"film": uint8 [N, T, H, W, 1] and what made it}, K digits in each film.

        digits: int32 [N, K], the numbers. attributes: uint8 [N, 10], which numbers are there. motion: float32
        [N, K, 4], of each digit x, y [pixels] of its upper left corner in the first picture and its x, y [pixels a
        frame] then. glyphs: uint8 [N, K, h, w, 1], their pictures. UserError for sizes that do not fit.
        """
        self._check()
        carried = Digits().load()
        # a stream of its own for each split: the size of one leaves the other as it is
        train = self._drawn(carried.train, np.random.Philox(key=[self.seed, 0]), self.train)
        test = self._drawn(carried.test, np.random.Philox(key=[self.seed, 1]), self.test)
        train, valid = hold_out(train, self.valid)
        side = carried.shape[0] * self.zoom
        fields = {
            "film": Film((self.frames, self.size, self.size, 1)),
            "digits": Tokens(self.digits, 10, "".join(_NAMES)),
            "attributes": Attributes(_NAMES),
            "motion": Points((self.digits, 4)),
            "glyphs": Film((self.digits, side, side, 1)),
        }
        return Source("moving_digits", fields, train, valid, test)

    def _check(self) -> None:
        at_least(1, data__frames=self.frames, data__digits=self.digits, data__zoom=self.zoom)
        at_least(1, data__train=self.train, data__test=self.test)
        at_least(0, data__seed=self.seed, data__speed=self.speed)
        # above, numpy rounds a seed, and several draw the same
        at_most(2**63 - 1, data__seed=self.seed)
        at_most(2**32, data__speed=self.speed)  # that draws of 64 bits have room
        side = 8 * self.zoom
        if self.size < side:
            raise UserError(
                f"--data.size={self.size} has no room for digits of {side}x{side}: use at least {side}, or a smaller "
                "--data.zoom."
            )

    def _drawn(self, carried: Arrays, bits: np.random.Philox, n: int) -> Arrays:
        """n films of a split of single digits, from raw bits, which no release of numpy changes (NEP 19)."""
        draws = bits.random_raw(n * self.digits * 5).reshape(n, self.digits, 5)  # uint64
        image = np.asarray(carried["image"])  # [N, 8, 8, 1]
        # 2^64 is so much larger that the remainder is uniform for all purposes
        chosen = (draws[..., 0] % len(image)).astype(np.int64)  # [n, K]
        numbers = np.asarray(carried["label"])[chosen]
        glyphs = image[chosen].repeat(self.zoom, 2).repeat(self.zoom, 3)  # [n, K, h, w, 1]
        room = GRID * (self.size - glyphs.shape[2])  # [sixteenths of a pixel]
        fastest = int(GRID * self.speed)
        # unsigned as the draws are: numpy would make floats of a mixture
        place = draws[..., 1:3] % np.uint64(room + 1)
        pace = draws[..., 3:5] % np.uint64(2 * fastest + 1)
        sixteenths = np.concatenate([place, pace], -1).astype(np.int64)
        sixteenths[..., 2:] -= fastest
        motion = (sixteenths / GRID).astype(np.float32)  # exact: the numbers are small
        there = np.zeros((n, 10), np.uint8)
        rows = np.arange(n)[:, None]
        there[rows, numbers] = 1
        return {
            "film": films(glyphs, motion, self.frames, self.size),
            "digits": numbers.astype(np.int32),
            "attributes": there,
            "motion": motion,
            "glyphs": glyphs,
        }


def places(motion: Any, frames: int, room: int) -> np.ndarray:
    """x, y [pixels] of digits in pictures 0 to frames - 1, float64 [B, T, K, 2], of their motion [B, K, 4].

    room: largest x and y. A wall turns a digit round in the moment in which it is touched, also between two pictures.
    """
    start, pace = np.split(np.asarray(motion, np.float64)[:, None], 2, -1)  # [B, 1, K, 2] each
    time = np.arange(frames)[:, None, None]  # [T, 1, 1]
    free = start + pace * time  # where it would be without walls
    if room == 0:
        return np.zeros_like(free)
    # walls are mirrors: there and back is 2 room long
    return room - np.abs(free % (2 * room) - room)


def films(glyphs: Any, motion: Any, frames: int, size: int) -> np.ndarray:
    """The films uint8 [B, frames, size, size, 1] of digits' pictures [B, K, h, w, 1] and their motion [B, K, 4].

    Between pixels a digit is placed by bilinear weights; where digits meet the lighter one is seen.
    """
    glyphs, motion = np.asarray(glyphs), np.asarray(motion)
    parts = []
    # in parts: the weights would be larger than the films
    for first in range(0, len(glyphs), _CHUNK):
        rows = slice(first, first + _CHUNK)
        parts.append(_films(glyphs[rows], motion[rows], frames, size))
    return np.concatenate(parts)


def _films(glyphs: np.ndarray, motion: np.ndarray, frames: int, size: int) -> np.ndarray:
    side = glyphs.shape[2]
    at = places(motion, frames, size - side)  # [B, T, K, 2]
    across = _weights(at[..., 0], side, size)  # [B, T, K, size, side]
    down = _weights(at[..., 1], side, size)
    light = glyphs[..., 0].astype(np.float64)[:, None]  # [B, 1, K, h, w]
    layers = down @ light @ np.swapaxes(across, -1, -2)  # [B, T, K, size, size]
    levels = np.rint(layers.max(2))
    return levels.astype(np.uint8)[..., None]


def _weights(at: np.ndarray, side: int, size: int) -> np.ndarray:
    """How much of pixel j of a digit, which begins at `at` [...], falls on pixel i: [..., size, side]."""
    pixel = np.arange(size)[:, None]
    own = np.arange(side)
    distance = np.abs(pixel - own - at[..., None, None])
    return np.maximum(1.0 - distance, 0.0)
