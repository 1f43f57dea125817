"""Which peaks a generator leaves in the spectrum: at which frequency, how high, and which of them are no chance.

Layers that make pictures larger repeat what lies below: a checkerboard, or stripes of a layer's step (Zhang et al.
2019, arXiv:1907.06515, sec. 3; Frank et al. 2020, arXiv:2003.08685, sec. 3). With P(u, v) the power of a picture at u
cycles down and v across, as in `audit.fronts`,

    d(u, v) = mean_generated log P - mean_real log P,    t = d / sqrt(se_generated^2 + se_real^2)

A filter multiplies P by what is the same in both and leaves d as it is, so pictures themselves are looked at: the
residual of KV has no power on either axis, where stripes are. A wave of amplitude A in white noise of variance s^2 has
P = A^2 H W / 4 at its two frequencies, and against that noise alone

    d = log x + E_1(x) + gamma,    x = A^2 H W / (4 s^2)

by the mean logarithm of a noncentral chi square of two degrees of freedom (Lapidoth & Moser 2003, IEEE Transactions on
Information Theory 49), E_1 the exponential integral and gamma Euler's number. At (1/2, 1/2), a
checkerboard, the two are one and P = A^2 H W.

A generator may be smooth or noisy, which slopes d without a peak. So a peak is what stands out along every line through
it: down, across and both diagonals,

    b_k(u, v) = log P(u, v) - (log P((u, v) + k) + log P((u, v) - k)) / 2,    k in (0, 1), (1, 0), (1, 1), (1, -1)

is linear in log P and tested as d is, by Welch's t over groups of pictures. All four must exceed `LEAST`: the greatest
of their p is a p of that (Berger 1982, Technometrics 24, 295), and times the number of frequencies that of
any peak (Bonferroni).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from genjax.audit.fronts import FLOOR

DECIBELS = 10.0 / math.log(10.0)  # of a power whose logarithm is 1
LEAST = 2.0 / DECIBELS  # what a peak stands out by: folded ends of smooth spectra bend by less
ALPHA = 0.01  # chance of any peak where there is none
LINES = ((0, 1), (1, 0), (1, 1), (1, -1))
AT_A_TIME = 100  # pictures whose transforms are in memory


class Mean(NamedTuple):
    """A mean over pictures."""

    value: np.ndarray  # [...]
    square: np.ndarray  # of its standard error [...]
    freedom: int  # groups less one


class Apart(NamedTuple):
    """How far two means are apart."""

    value: np.ndarray  # generated less real [...]
    error: np.ndarray  # its standard error [...]
    freedom: np.ndarray  # of Student's law, by Welch [...]


class Peak(NamedTuple):
    """A frequency at which generated pictures have more power than beside it, against real ones."""

    down: Fraction  # [cycles a pixel], 0 to 1/2
    across: Fraction  # -1/2 to 1/2
    height: float  # above its neighbours along the line where it is lowest [dB]
    p: float  # of that by chance at any frequency


def log_power(images: np.ndarray) -> np.ndarray:
    """log P of pictures uint8 [N, H, W, C], the mean power of channels; [N, H, W], frequency 0 first."""
    height, width = images.shape[1:3]
    found = []
    for first in range(0, len(images), AT_A_TIME):
        unit = images[first : first + AT_A_TIME] / 255.0
        transform = np.fft.fft2(unit, axes=(1, 2))
        power = np.square(np.abs(transform)) / (height * width)
        found.append(power.mean(-1))
    # a floor as of rings: rounding alone has as much
    return np.log(np.concatenate(found) + FLOOR)


def mean_of(values: np.ndarray, group: np.ndarray) -> Mean:
    """The mean of values [N, ...] and its error where those of a group [N] go together.

    se^2 = G / (G - 1) sum_g (sum_{i in g} (x_i - mean))^2 / N^2, of groups of one s^2 / N. Of one group: infinite.
    """
    n = len(values)
    mean = values.mean(0)
    _, place = np.unique(group, return_inverse=True)
    order = np.argsort(place, kind="stable")
    every = np.arange(place.max() + 1)
    starts = np.searchsorted(place[order], every)
    sums = np.add.reduceat(values[order] - mean, starts)  # [G, ...]
    g = len(sums)
    if g < 2:
        return Mean(mean, np.full(mean.shape, np.inf), 1)
    between = g / (g - 1) * np.square(sums).sum(0)
    square = between / n**2
    return Mean(mean, square, g - 1)


def apart(real: Mean, generated: Mean) -> Apart:
    """The difference, with Welch's error and degrees of freedom (1947, eq. 28)."""
    square = real.square + generated.square
    of_real = real.square**2 / real.freedom
    of_generated = generated.square**2 / generated.freedom
    each = of_real + of_generated
    finite = np.isfinite(square) & (each > 0)
    # where nothing varies, or nothing is known, the least that there can be
    freedom = np.ones(square.shape)
    np.divide(square**2, each, out=freedom, where=finite)
    return Apart(generated.value - real.value, np.sqrt(square), freedom)


def bend(values: np.ndarray, line: tuple[int, int]) -> np.ndarray:
    """b_k of log P [N, H, W] along a line k; frequencies go round."""
    before = np.roll(values, line, (1, 2))
    behind = np.roll(values, (-line[0], -line[1]), (1, 2))
    return values - 0.5 * (before + behind)


def asked(height: int, width: int) -> np.ndarray:
    """Which frequencies are asked for, bool [H, W]: one of each pair, none beside the mean, which is what is shown."""
    i, j = np.indices((height, width))
    # real pictures have the same power at (-u, -v)
    pair = (-i % height) * width + (-j % width)
    once = i * width + j <= pair
    down = np.minimum(i, height - i)
    across = np.minimum(j, width - j)
    low = (down <= 1) & (across <= 1)
    return once & ~low


def peaks(
    real: np.ndarray,
    generated: np.ndarray,
    group: np.ndarray,
    others: np.ndarray,
    alpha: float = ALPHA,
) -> list[Peak]:
    """The peaks that no chance gives, highest first, of log P [N, H, W] and [M, H, W].

    group, others: what belongs together among real pictures [N] and among generated ones [M].
    """
    from scipy.stats import t as student

    height, width = real.shape[1:]
    heights, chances = [], []
    for line in LINES:
        of_real = mean_of(bend(real, line), group)
        of_generated = mean_of(bend(generated, line), others)
        found = apart(of_real, of_generated)
        heights.append(found.value)
        # of equal pictures no error is left
        t = (found.value - LEAST) / np.maximum(found.error, 1e-12)
        chances.append(student.sf(t, found.freedom))
    lowest = np.min(heights, 0)
    which = asked(height, width)
    greatest = np.max(chances, 0)
    p = np.minimum(greatest * which.sum(), 1.0)
    kept = []
    for i, j in np.argwhere(which & (p < alpha)):
        down = Fraction(int(i), height)
        across = _signed(int(j), width)
        height_db = float(DECIBELS * lowest[i, j])
        kept.append(Peak(down, across, height_db, float(p[i, j])))
    return sorted(kept, key=lambda peak: -peak.height)


def _signed(j: int, width: int) -> Fraction:
    """Frequency number j [cycles a pixel], -1/2 to 1/2."""
    return Fraction(j if 2 * j <= width else j - width, width)


def described(peak: Peak) -> str:
    """What a peak looks like in a picture, and where the wave goes."""
    half = Fraction(1, 2)
    if peak.down == peak.across == half:
        return "a checkerboard"
    if not peak.across:
        return f"down, every {float(1 / peak.down):.3g} pixels"
    if not peak.down:
        return f"across, every {float(1 / peak.across):.3g} pixels"
    # of the wave, from across towards down
    angle = math.degrees(math.atan2(peak.down, peak.across))
    period = 1.0 / math.hypot(peak.down, peak.across)
    return f"{angle:.0f}° from across to down, every {period:.3g} pixels"
