"""A trained codec: pictures to bytes and back.

What decides about symbols is computed in whole numbers (`genjax.codec.exact`), so that a file can be decoded on any
machine; the pictures that are made of it may differ by a grey level from one machine to another.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.ae.compression.model import (
    UNIT,
    Compression,
    analyse,
    synthesise,
)
from genjax.ae.compression.transforms import BLOCK, FOLD
from genjax.ae.tiles import tiled
from genjax.codec import exact
from genjax.codec.container import FINEST, Packed, pack, unpack
from genjax.codec.stream import Reader, Writer
from genjax.errors import UserError
from genjax.nets.blocks import depth_to_space, space_to_depth

TILE = 64  # blocks that are seen at a time, a side


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A file, and what an ideal coder would have needed for its numbers [bits]."""

    content: bytes
    ideal: float


class Codec:
    """A net with its weights; `compiled` makes a function of arrays quick, as jax.jit does."""

    def __init__(
        self,
        cfg: Compression,
        params: dict[str, Any],
        channels: int,
        compiled: Callable[[Callable], Callable] = lambda fn: fn,
    ) -> None:
        self.cfg = cfg
        self.channels = channels
        self.params = jax.tree.map(np.asarray, params)
        self.digest = digest(self.params)

        def to_numbers(
            weights: Any,
            folded: jax.Array,
            rate: jax.Array,
        ) -> jax.Array:
            return analyse(weights, depth_to_space(folded, BLOCK), rate, cfg)

        def to_pixels(
            weights: Any,
            y: jax.Array,
            rate: jax.Array,
        ) -> jax.Array:
            made = synthesise(
                weights,
                y,
                rate,
                cfg,
                channels,
            )
            return space_to_depth(made, BLOCK)

        def to_side(
            weights: Any,
            y: jax.Array,
            rate: jax.Array,
        ) -> jax.Array:
            return cfg.prior.hidden(weights["prior"], y, rate)

        self._to_numbers = compiled(to_numbers)
        self._to_pixels = compiled(to_pixels)
        self._to_side = compiled(to_side)

    @property
    def reach(self) -> int:
        """Blocks around one that its numbers, and its pixels, depend on."""
        convolutions = 2 * self.cfg.blocks + 1
        return -(-convolutions * FOLD // BLOCK)

    def encode(self, image: np.ndarray, rate: float) -> Encoded:
        """A picture, uint8 [H, W, C], as the bytes of a file; rate in [0, 1]: 1 keeps the most.

        UserError for a picture of other channels, and where the file does not decode to what went in.
        """
        self._check(image)
        level = round(FINEST * rate)
        y, z = self._numbers(image, level / FINEST)
        coder = self._coder(level)
        writer = Writer()
        seen = coder.code(writer, y, z)
        beyond, coded = writer.parts()
        height, width, channels = image.shape
        crc = writer.crc
        packed = Packed(
            self.digest, coder.mark, crc, level, height, width, channels, beyond, coded
        )
        # what is not read now will not be read later
        again = self._read(packed, "the file just made")
        if not np.array_equal(seen, again):
            raise UserError("the file just made decodes to other numbers: nothing was written.")
        return Encoded(pack(packed), writer.bits)

    def decode(self, content: bytes, name: str = "the file") -> np.ndarray:
        """The picture, uint8 [H, W, C]; UserError for a file that is broken or of another model."""
        packed = self.checked(content, name)
        y = self._read(packed, name)
        made = self.render(y, packed.rate / FINEST)
        return made[: packed.height, : packed.width]

    def checked(self, content: bytes, name: str = "the file") -> Packed:
        """What a file holds, as far as that is seen without decoding it; UserError as of `decode`."""
        packed = unpack(content, name)
        if packed.weights != self.digest:
            raise UserError(
                f"{name} was written with other weights ({packed.weights.hex()}) than these ({self.digest.hex()}): "
                "decode it with the run that encoded it."
            )
        if packed.channels != self.channels:
            raise UserError(
                f"{name} is damaged: it tells of {packed.channels} channels, and these weights have {self.channels}."
            )
        return packed

    def render(self, y: np.ndarray, rate: float) -> np.ndarray:
        """Pixels, uint8 [16 h, 16 w, C], of numbers [h, w, latent]."""
        told = jnp.full(1, rate, jnp.float32)

        def net(part: np.ndarray) -> np.ndarray:
            return np.asarray(self._to_pixels(self.params, jnp.asarray(part), told))

        numbers = y.astype(np.float32)
        folded = tiled(
            net,
            numbers,
            unit=1,
            reach=self.reach,
            side=TILE,
        )
        whole = depth_to_space(folded[None], BLOCK)[0]
        # as bytes they would be a picture like any other
        if not np.isfinite(whole).all():
            raise UserError(
                "the net makes pixels that are no numbers: its training has diverged, use another run."
            )
        unit = np.clip(whole, 0.0, 1.0)
        return np.floor(unit * 255.0 + 0.5).astype(np.uint8)

    def _numbers(self, image: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
        """(y [h, w, latent], what is coded before it), not rounded."""
        height, width = image.shape[:2]
        rim = [(0, -height % UNIT), (0, -width % UNIT), (0, 0)]
        whole = np.pad(image, rim, mode="symmetric")
        unit = whole[None] * np.float32(1.0 / 255.0)
        folded = space_to_depth(unit, BLOCK)[0]
        told = jnp.full(1, rate, jnp.float32)

        def net(part: np.ndarray) -> np.ndarray:
            return np.asarray(self._to_numbers(self.params, jnp.asarray(part), told))

        y = tiled(
            net,
            folded,
            unit=1,
            reach=self.reach,
            side=TILE,
        )
        z = self._to_side(self.params, jnp.asarray(y[None]), told)
        return y.astype(np.float64), np.asarray(z, np.float64)[0]

    def _read(self, packed: Packed, name: str) -> np.ndarray:
        """The numbers of a file; UserError where they are not those that were written."""
        coder = self._coder(packed.rate)
        if coder.mark != packed.tables:
            raise UserError(
                f"{name} was written with tables that come out otherwise on this machine: decode it where it was "
                "encoded, or with the same versions of numpy and scipy."
            )
        height = -(-packed.height // UNIT) * UNIT
        width = -(-packed.width // UNIT) * UNIT
        y = np.zeros((height // BLOCK, width // BLOCK, self.cfg.latent))
        like = jax.eval_shape(
            self._to_side, self.params, jnp.zeros((1, *y.shape)), jnp.zeros(1)
        )
        try:
            reader = Reader(packed.beyond, packed.coded)
            seen = coder.code(reader, y, np.zeros(like.shape[1:]))
        except (
            AssertionError,
            ValueError,
        ) as error:  # of the range coder, for bits that are none
            raise UserError(f"{name} is damaged: its bits are none of a picture.") from error
        if reader.crc != packed.numbers:
            raise UserError(
                f"{name} decodes to other numbers than were written: decode it where it was encoded, or with the same "
                "versions."
            )
        return seen

    def _coder(self, level: int) -> Any:
        rate = level / FINEST
        levels = exact.between(self.params["gains"]["table"], rate)
        return self.cfg.prior.coder(self.params["prior"], levels, rate)

    def _check(self, image: np.ndarray) -> None:
        """Raises UserError for a picture that the net has no channels for."""
        if image.ndim != 3 or image.shape[-1] != self.channels:
            raise UserError(
                f"the codec is of pictures with {self.channels} channels, got an array of {image.shape}."
            )


def digest(params: dict[str, Any]) -> bytes:
    """Eight bytes that tell weights from others."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        found.update(jax.tree_util.keystr(path).encode())
        found.update(np.asarray(leaf, "<f4").tobytes())
    return found.digest()[:8]
