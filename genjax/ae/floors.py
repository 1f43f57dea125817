"""What a restorer is measured against: methods that were never trained, each a config value.

A floor is called with one damaged picture [H, W, C], float in [0, 1] and beyond; how much was done to it, in the
damage's own unit (of noise its standard deviation); and which pixels are as they were, [H, W, 1] or None. It gives a
picture of the same shape. `check(shape)` says before a training whether it can: scikit-image and bm3d are no part of
genjax. `undoes` names the damage whose amount it is told: of several, one after the other, it is told of that one, as
strong as it was drawn; () = it is told nothing of amounts.

* `NonLocalMeans` (Buades et al. 2005, 10.1109/CVPR.2005.38), `TotalVariation` (Rudin et al. 1992; Chambolle 2004,
  10.1023/B:JMIV.0000011325.36760.1e), `Wavelets` (BayesShrink, Chang et al. 2000, 10.1109/83.862633; VisuShrink, Donoho
  & Johnstone 1994), `BM3D` (Dabov et al. 2007, 10.1109/TIP.2007.901238): white noise of known deviation.
* `Stabilised`: any of these for photons (Anscombe 1948). `Median`: pixels that are black or white.
* `Biharmonic` (Damelin & Hoang 2018, 10.1155/2018/3950312), `Nearest`, `MeanFill`: pixels that are lost.
* `Bicubic` (Keys 1981, 10.1109/TASSP.1981.1163711): means of blocks.

Their settings are the best of a small search on three grey pictures of held-out scenes, with noise of 25/255: `python
-m benchmarks.floors_genjax search`.
"""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import ClassVar

import numpy as np

from genjax.config import Own, field
from genjax.corruptions import Gaussian, Poisson
from genjax.errors import UserError, above, at_least

Picture = np.ndarray  # [H, W, C], float
Undone = tuple[type, ...]  # classes of damage


def _missing(name: str, how: str, error: ImportError) -> UserError:
    """What is said of a package that is no part of genjax."""
    return UserError(f"{name} is not there ({error}): {how}.")


def _skimage() -> ModuleType:
    try:
        import skimage.restoration
    except ImportError as error:
        raise _missing("scikit-image", "pip install 'deepgenjax[floors]'", error) from error
    return skimage.restoration


def _pywt() -> ModuleType:
    try:
        import pywt
    except ImportError as error:
        raise _missing("PyWavelets", "pip install 'deepgenjax[floors]'", error) from error
    return pywt


def _bm3d() -> ModuleType:
    try:
        import bm3d
    except ImportError as error:
        how = "pip install bm3d, whose licence is for non-commercial use"
        raise _missing("bm3d", how, error) from error
    return bm3d


def _need_known(name: str, known: Picture | None) -> Picture:
    """Which pixels are known, bool [H, W]; UserError where nothing says it."""
    if known is None:
        raise UserError(
            f"{name} fills pixels that are lost, and this damage does not say which: leave it out of the floors."
        )
    return known[..., 0] > 0.5


@dataclasses.dataclass(frozen=True)
class NonLocalMeans:
    """Means over pixels whose neighbourhoods look alike, the noise's part in their distance taken off."""

    undoes: ClassVar[Undone] = (Gaussian,)

    # with neighbourhoods of 5 0.4 to 0.8 were tried, with 7 0.5 to 0.7
    h: float = field(0.6, "how unlike a neighbourhood may be [deviations of the noise]")
    patch: int = field(7, "side of a neighbourhood [pixels]")
    distance: int = field(11, "how far away is looked [pixels]")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for a missing package, and for settings that mean nothing."""
        _skimage()
        above(0, "NonLocalMeans: ", h=self.h)
        at_least(1, "NonLocalMeans: ", patch=self.patch, distance=self.distance)

    def __call__(self, seen: Picture, level: float, known: Picture | None) -> Picture:
        smooth = _skimage().denoise_nl_means(
            seen,
            patch_size=self.patch,
            patch_distance=self.distance,
            h=self.h * level,
            sigma=level,
            channel_axis=-1,
        )
        return smooth.reshape(seen.shape)  # of one channel it has dropped the axis


@dataclasses.dataclass(frozen=True)
class TotalVariation:
    """The picture of least |x - y|² / 2 + weight TV(x)."""

    undoes: ClassVar[Undone] = (Gaussian,)

    # 0.6 to 1.05 were tried
    weight: float = field(1.0, "of the total variation [deviations of the noise]")
    steps: int = field(200, "iterations")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for a missing package, and for settings that mean nothing."""
        _skimage()
        above(0, "TotalVariation: ", weight=self.weight)
        at_least(1, "TotalVariation: ", steps=self.steps)

    def __call__(self, seen: Picture, level: float, known: Picture | None) -> Picture:
        weight = self.weight * level
        return _skimage().denoise_tv_chambolle(
            seen,
            weight,
            eps=0.0,  # its own measure of having arrived stops it far too soon
            max_num_iter=self.steps,
            channel_axis=-1,
        )


@dataclasses.dataclass(frozen=True)
class Wavelets:
    """Small coefficients of wavelets go; the mean over shifts of the grid, as its place means nothing."""

    undoes: ClassVar[Undone] = (Gaussian,)

    # db1, db2, sym4 and sym8 were tried: with shifts they are nearly alike
    wavelet: str = field("db1", "as PyWavelets calls it; db1 is Haar's")
    universal: bool = field(
        False,
        "one threshold sigma sqrt(2 ln n) (VisuShrink), not one for each band (BayesShrink)",
    )
    levels: int = field(5, "of halving at most")
    shifts: int = field(4, "places of the grid along a side, which are averaged")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for missing packages, and for a wavelet that nobody knows."""
        _skimage()
        pywt = _pywt()
        at_least(1, "Wavelets: ", levels=self.levels, shifts=self.shifts)
        if self.wavelet not in pywt.wavelist(kind="discrete"):
            raise UserError(f"Wavelets: no wavelet is called {self.wavelet!r}: sym4 is one.")

    def __call__(self, seen: Picture, level: float, known: Picture | None) -> Picture:
        total = np.zeros(seen.shape)
        for rows in range(self.shifts):
            for columns in range(self.shifts):
                moved = np.roll(seen, (rows, columns), (0, 1))
                smooth = self._shrunk(moved, level)
                total += np.roll(smooth, (-rows, -columns), (0, 1))
        return total / self.shifts**2

    def _shrunk(self, seen: Picture, level: float) -> Picture:
        import pywt

        method = "VisuShrink" if self.universal else "BayesShrink"
        # skimage would leave the three lowest out, and the noise in them
        most = pywt.dwtn_max_level(seen.shape[:2], self.wavelet)
        return _skimage().denoise_wavelet(
            seen,
            sigma=level,
            wavelet=self.wavelet,
            method=method,
            wavelet_levels=max(1, min(self.levels, most)),
            # light and colour apart: noise is alike in both, pictures are not
            convert2ycbcr=seen.shape[-1] == 3,
            channel_axis=-1,
        )


@dataclasses.dataclass(frozen=True)
class BM3D:
    """Alike patches stacked and filtered together: the best method that learns nothing, at some seconds a picture."""

    undoes: ClassVar[Undone] = (Gaussian,)

    # high, with more overlap, was tried on two of the pictures: 0.1 to 0.7 dB less
    profile: str = field("np", "as the package calls it: that of the paper")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for a missing package."""
        _bm3d()

    def __call__(self, seen: Picture, level: float, known: Picture | None) -> Picture:
        bm3d = _bm3d()
        exact = np.asarray(seen, np.float64)
        if seen.shape[-1] == 3:
            return bm3d.bm3d_rgb(exact, level, profile=self.profile)
        return bm3d.bm3d(exact[..., 0], level, profile=self.profile)[..., None]


@dataclasses.dataclass(frozen=True)
class Stabilised:
    """A floor for white noise, for photons: of the root of what is seen, whose noise is the same everywhere."""

    undoes: ClassVar[Undone] = (Poisson,)

    by: NonLocalMeans | TotalVariation | Wavelets | BM3D | Own = field(
        NonLocalMeans(), "the floor"
    )

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError as the floor does."""
        self.by.check(shape)

    def __call__(self, seen: Picture, level: float, known: Picture | None) -> Picture:
        """level: of `Poisson`, peak^-1/2."""
        share = level**2  # of one photon
        # Anscombe's root of n + 3/8, in units of pixels: its noise is level / 2
        root = np.sqrt(np.maximum(seen + 0.375 * share, 0.0))
        smooth = self.by(root, 0.5 * level, known)
        # the inverse for many photons, which has no bias
        return smooth**2 - 0.125 * share


@dataclasses.dataclass(frozen=True)
class Median:
    """Pixels that are black or white become the median of the others around; a window without others grows."""

    undoes: ClassVar[Undone] = ()

    side: int = field(3, "least side of the window [pixels]")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for a window without a middle."""
        if self.side < 3 or self.side % 2 == 0:
            raise UserError(f"Median(side={self.side}): use an odd side of 3 or more.")

    def __call__(self, seen: Picture, level: float, known: Picture | None) -> Picture:
        dark = np.all(seen <= 0.0, -1)
        bright = np.all(seen >= 1.0, -1)
        spoilt = dark | bright
        out = np.array(seen)
        for row, column in np.argwhere(spoilt):
            out[row, column] = self._around(seen, ~spoilt, row, column)
        return out

    def _around(self, seen: Picture, good: Picture, row: int, column: int) -> np.ndarray:
        """The median [C] of the good pixels around one; the pixel itself where the picture has none."""
        reach = self.side // 2
        while reach < max(good.shape):
            rows = slice(max(row - reach, 0), row + reach + 1)
            columns = slice(max(column - reach, 0), column + reach + 1)
            inside = good[rows, columns]
            if inside.any():
                return np.median(seen[rows, columns][inside], 0)
            reach += 1
        return seen[row, column]


@dataclasses.dataclass(frozen=True)
class Biharmonic:
    """What bends least between the pixels that are known: Δ² x = 0 in the hole."""

    undoes: ClassVar[Undone] = ()

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for a missing package."""
        _skimage()

    def __call__(self, seen: Picture, level: float, known: Picture | None) -> Picture:
        lost = ~_need_known("Biharmonic()", known)
        if not lost.any():
            return seen
        exact = np.asarray(seen, np.float64)
        return _skimage().inpaint_biharmonic(exact, lost, channel_axis=-1)


@dataclasses.dataclass(frozen=True)
class Nearest:
    """A lost pixel becomes the nearest that is known."""

    undoes: ClassVar[Undone] = ()

    def check(self, shape: tuple[int, ...]) -> None:
        """Nothing can be wrong."""

    def __call__(self, seen: Picture, level: float, known: Picture | None) -> Picture:
        from scipy.ndimage import distance_transform_edt

        lost = ~_need_known("Nearest()", known)
        _, (rows, columns) = distance_transform_edt(lost, return_indices=True)
        return seen[rows, columns]


@dataclasses.dataclass(frozen=True)
class MeanFill:
    """A lost pixel becomes the mean of all that are known."""

    undoes: ClassVar[Undone] = ()

    def check(self, shape: tuple[int, ...]) -> None:
        """Nothing can be wrong."""

    def __call__(self, seen: Picture, level: float, known: Picture | None) -> Picture:
        there = _need_known("MeanFill()", known)
        if not there.any():  # nothing is known of it
            return seen
        mean = seen[there].mean(0)  # [C]
        return np.where(there[..., None], seen, mean)


@dataclasses.dataclass(frozen=True)
class Bicubic:
    """Means of blocks, scaled up again: a cubic between them along each side."""

    undoes: ClassVar[Undone] = ()

    factor: int = field(4, "side of a block [pixels], as `Coarse` has it")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for blocks that do not fit."""
        at_least(1, "Bicubic: ", factor=self.factor)
        height, width, _ = shape
        if height % self.factor or width % self.factor:
            raise UserError(
                f"Bicubic(factor={self.factor}): pictures of {height}x{width} have no whole blocks of that side."
            )

    def __call__(self, seen: Picture, level: float, known: Picture | None) -> Picture:
        from PIL import Image

        height, width, _ = seen.shape
        blocks = seen[:: self.factor, :: self.factor]  # all pixels of a block are equal
        planes = []
        for plane in np.moveaxis(blocks, -1, 0):
            small = Image.fromarray(np.asarray(plane, np.float32))  # floats: nothing is rounded
            large = small.resize((width, height), Image.Resampling.BICUBIC)
            planes.append(np.asarray(large))
        return np.stack(planes, -1)


Floor = (
    NonLocalMeans
    | TotalVariation
    | Wavelets
    | BM3D
    | Stabilised
    | Median
    | Biharmonic
    | Nearest
    | MeanFill
    | Bicubic
    | Own
)
