"""Maps of strangeness: a number for each pixel, by what a model makes of a picture, or without any model.

Each is a config value, called with the run and pictures uint8 [N, H, W, C]; it gives [N, H, W], higher = stranger.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.ae.restoration import restore
from genjax.config import (
    Own,
    field,
)
from genjax.core import (
    Batch,
    State,
    averaged,
)
from genjax.corruptions import Damaged
from genjax.errors import (
    UserError,
    above,
    at_least,
)
from genjax.findings.samples import some
from genjax.metrics.components import principal
from genjax.pictures.draw import to_uint8
from genjax.training.experiment import Experiment
from genjax.training.run import Run

Made = Callable[[Array, State, Batch], Array]  # (key, state, batch) -> pictures [B, H, W, C]


def _apart(
    this: Run,
    made: Made,
    images: np.ndarray,
) -> np.ndarray:
    """How far pictures are from what is made of them, the mean over channels of |difference|, [N, H, W]."""
    spec = this.spec

    # compiled once for all of them, in parts that fit the memory
    def measured(
        key: Array,
        state: State,
        batch: Batch,
    ) -> dict[str, Array]:
        difference = jnp.abs(made(key, state, batch) - spec.unit(batch))
        return {"map": jnp.mean(difference, -1)}

    return this.evaluate({spec.main: images}, measured)["map"]


@dataclasses.dataclass(frozen=True)
class Mended:
    """What a restorer that was taught to mend painted defects takes away."""

    def check(self, exp: Experiment) -> None:
        """Raises UserError for what mends nothing, or must be told where."""
        # by what it has: a restorer of a user's own is as good
        cfg = exp.algorithm
        if not hasattr(cfg, "corruption"):
            raise UserError(
                "--finish.Localising.own=Mended() is for Restoration: use Rebuilt() for autoencoders and VAEs."
            )
        if not getattr(cfg, "blind", False):
            raise UserError(
                "--algorithm.blind=False: a net that is told where the defect is finds none, use True."
            )

    def __call__(
        self,
        this: Run,
        images: np.ndarray,
    ) -> np.ndarray:
        cfg, spec = this.exp.algorithm, this.spec

        def made(
            key: Array,
            state: State,
            batch: Batch,
        ) -> Array:
            x = spec.unit(batch)
            zeros = jnp.zeros(len(x))  # nobody knows how much was done
            return restore(averaged(state), Damaged(x, zeros), cfg, spec)

        return _apart(this, made, images)


@dataclasses.dataclass(frozen=True)
class Rebuilt:
    """What is lost on the way through a model's codes: of defects most, if the codes know normal pictures alone."""

    def check(self, exp: Experiment) -> None:
        """Raises UserError for models that have no code."""
        # a game's z is no code, and a decoder that is told a label is none of a picture alone
        told = getattr(exp.algorithm, "condition", ())
        if not hasattr(exp.algorithm, "dec") or told:
            raise UserError(
                "--finish.Localising.own=Rebuilt() is for autoencoders and VAEs: use Mended() for Restoration."
            )

    def __call__(
        self,
        this: Run,
        images: np.ndarray,
    ) -> np.ndarray:
        # codes of what was seen, so that what they cannot say is missing from the picture
        encode, decode = this.algorithm.encode, this.algorithm.decode

        def made(
            key: Array,
            state: State,
            batch: Batch,
        ) -> Array:
            codes = encode(key, state, batch)
            return decode(key, state, codes)

        return _apart(this, made, images)


@dataclasses.dataclass(frozen=True)
class Constant:
    """The same everywhere: what no map should be worse than."""

    def __call__(
        self,
        this: Run,
        images: np.ndarray,
    ) -> np.ndarray:
        # all pixels are one tie
        return np.zeros(images.shape[:3])


@dataclasses.dataclass(frozen=True)
class HighPass:
    """How far a pixel is from the weighted mean around it."""

    sigma: float = field(4.0, "of the Gaussian weights [pixels]")

    def __call__(
        self,
        this: Run,
        images: np.ndarray,
    ) -> np.ndarray:
        from scipy.ndimage import gaussian_filter

        above(0, "HighPass: ", sigma=self.sigma)
        x = images / 255.0
        # neither pictures nor channels are mixed
        sigmas = (0, self.sigma, self.sigma, 0)
        difference = x - gaussian_filter(x, sigmas)
        return np.abs(difference).mean(-1)


@dataclasses.dataclass(frozen=True)
class Patches:
    """How far the patch about a pixel is from the nearest patch of training pictures: PatchCore (Roth et al. 2022,
    arXiv:2106.08265) on the pixels themselves, a random part of the patches kept, no features of a pretrained net."""

    side: int = field(8, "of a patch [pixels]")
    stride: int = field(2, "from a patch that is looked at to the next [pixels]")
    kept: int = field(8000, "training patches")
    components: int = field(24, "principal components of patches that are compared")
    pictures: int = field(1000, "training pictures that they come from")

    def __call__(
        self,
        this: Run,
        images: np.ndarray,
    ) -> np.ndarray:
        at_least(1, "Patches: ", **dataclasses.asdict(self))
        # of training pictures alone: nothing of the test is known
        known = some(this.source.train, self.pictures)[this.spec.main]
        # the same patches for every run of the same data
        rng = np.random.default_rng(0)
        memory = _drawn(to_uint8(known), self.side, self.kept, rng)
        # of what patches have in common a few numbers tell nearly all, and distances cost as many products
        space = principal(memory, self.components)
        codes = space.codes(_flat(memory))
        maps = []
        for picture in images:
            found = self._one(picture, space, codes)
            maps.append(found)
        return np.stack(maps)

    def _one(
        self,
        picture: np.ndarray,
        space: Any,
        known: np.ndarray,
    ) -> np.ndarray:
        """The map [H, W] of one picture: a distance for each patch, and between patches straight lines."""
        from scipy.ndimage import map_coordinates

        windows = _windows(picture, self.side)[:: self.stride, :: self.stride]
        rows, columns = windows.shape[:2]
        patches = windows.reshape(rows * columns, -1)
        own = space.codes(_flat(patches))
        distance = _nearest(own, known)
        lattice = distance.reshape(rows, columns)
        # a patch's number is that of its middle; at the border the outermost is repeated
        height, width = picture.shape[:2]
        middle = 0.5 * (self.side - 1)
        down = (np.arange(height) - middle) / self.stride
        across = (np.arange(width) - middle) / self.stride
        places = np.meshgrid(down, across, indexing="ij")
        return map_coordinates(
            lattice,
            places,
            order=1,
            mode="nearest",
        )


Method = Constant | HighPass | Patches | Own


def _windows(picture: np.ndarray, side: int) -> np.ndarray:
    """All patches of a picture [H, W, C], a view [H - side + 1, W - side + 1, C, side, side]."""
    return np.lib.stride_tricks.sliding_window_view(picture, (side, side), (0, 1))


def _flat(patches: np.ndarray) -> np.ndarray:
    """Bytes [N, ...] -> float32 [N, D] in [0, 1]."""
    return patches.reshape(len(patches), -1).astype(np.float32) / np.float32(255.0)


def _drawn(
    images: np.ndarray,
    side: int,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """n patches from random places of random pictures, uint8 [n, side, side, C]."""
    _, height, width, channels = images.shape
    # all places of all pictures are as likely
    which = rng.integers(0, len(images), n)
    tops = rng.integers(0, height - side + 1, n)
    lefts = rng.integers(0, width - side + 1, n)
    found = np.empty((n, channels, side, side), np.uint8)
    for i, (number, top, left) in enumerate(zip(which, tops, lefts, strict=True)):
        part = images[number, top : top + side, left : left + side]
        # the order that windows have
        found[i] = np.moveaxis(part, -1, 0)
    return found


def _nearest(some_codes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The distance [N] of each code to the nearest of those known."""
    # |a - b|² = |b|² - 2 a b + |a|², of which the last is the same for all b
    products = some_codes @ known.T
    squares = np.sum(known**2, 1) - 2.0 * products
    least = squares.min(1) + np.sum(some_codes**2, 1)
    # rounding may leave a little less than nothing
    return np.sqrt(np.maximum(least, 0.0))


def smoothed(maps: np.ndarray, sigma: float) -> np.ndarray:
    """Maps [N, H, W] under Gaussian weights, as all are before they are compared; sigma [pixels], 0 = as they are."""
    from scipy.ndimage import gaussian_filter

    maps = np.asarray(maps, np.float64)
    # 0 would be a division by it
    if not sigma:
        return maps
    return gaussian_filter(maps, (0, sigma, sigma))


def heat(maps: np.ndarray) -> np.ndarray:
    """Maps [N, H, W] as grey pictures [N, H, W, 1] in [0, 1]: white from the 99.8th percentile of them all on."""
    # of all pictures at once, so that they compare within a row
    white = np.quantile(maps, 0.998)
    black = np.quantile(maps, 0.02)
    spread = max(white - black, 1e-12)
    return np.clip((maps - black) / spread, 0.0, 1.0)[..., None]
