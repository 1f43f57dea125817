"""What tells two halves apart that is no picture: sizes, types, unused levels, a JPEG or a WebP in the past of one.

A detector that finds these has learned how files were kept. So they are looked for first, and told:

* the share of the 256 levels that a half uses at all: 17 of scikit-learn's digits, all of a net's output;
* a JPEG in the past. A second JPEG of the same quality changes next to nothing (Farid 2009, "Exposing Digital
  Forgeries from JPEG Ghosts", 10.1109/TIFS.2008.2012215). With m(q) the mean change by JPEG of quality q and
  r(q) = log m_generated(q) - log m_real(q),

      ghost = max_q |r(q) - (r(q - 6) + r(q + 6)) / 2|

  What makes one half smoother, or noisier, moves r(q) slowly; a past at one quality is a peak;
* a WebP in the past. VP8 keeps whole numbers of video's Y'CbCr (RFC 6386, sec. 9.2; BT.601: 16 to 235 for luma, 16 to
  240 for colour), which has fewer colours than bytes of red, green and blue. With A the matrix from these to those,
  rounding to them and back, x -> round(A^-1 round(A x)), changes no colour x of a decoded picture, and leaves of any
  other colours a share s_0 = det A = .156, of greys 219 / 255 = .859, as they are. With s the share of a half's
  distinct colours that come back,

      video = (s - s_0) / (1 - s_0)

  is 0 by chance and 1 for a picture that was WebP, or a film's, and has not been changed since: whatever it shows,
  however smooth or noisy it is, for each colour counts once. Rendered heads of 32x32 have 0.00, and 0.98 after WebP;
* the grid of blocks: bends at multiples of 8 pixels over those half a block away, a ratio's logarithm. Nets of patches
  leave grids too, of 2 or 4 pixels, which are in both.

WebP in the past of one half is told in 20 of 20 draws, and of smooth, noisy or two WebP halves none is refused. What a
change after WebP leaves is not told. Of colour noise with a spectrum of 1/f, 100 pictures a half, WebP of quality 80:
bends at its blocks of 4 pixels are 3 to 4 % above their mean at 64x64, far below `GRID`; a second WebP of 32x32 has no
ghost, for its encoder chooses anew; and after a halving `video` is 0.02 or less and bends at blocks differ by less than
1 %. A detector may still find that with many pictures: halve first, then write all by one encoder.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.corruptions.jpeg import SIDE, jpeg
from genjax.data.batches import chosen
from genjax.errors import UserError

QUALITIES = tuple(range(30, 99, 2))
LOOKED_AT = 100  # pictures of a half: the traces are in all of them
FEWEST = 10  # of a half, below which a difference may be chance
BESIDE = 3  # places of `QUALITIES` to the neighbours that a ghost is held against
# from where on a difference is told. Digits against those of a poor autoencoder have 0.08 and 0.13, against themselves
# with noise or blur 0.10 and 0.01
LEVELS, GHOST, GRID, VIDEO = 0.2, 0.4, 0.5, 0.5
FEWEST_COLOURS = 192  # distinct ones, below which the share that comes back is chance
# BT.601: bytes of red, green and blue -> Y', Cb, Cr of video, and what is added
TO_VIDEO = (
    np.array(
        [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]],
    )
    / 255.0
)
ZERO = np.array([16.0, 128.0, 128.0])


class Traces(NamedTuple):
    """How two halves differ by what is no picture."""

    levels: tuple[float, float]  # share of the 256 levels that are used: real, generated
    ghost: float  # nats, see above
    quality: int  # where the ghost is
    grid: float  # of generated less that of real pictures [nats]
    video: tuple[float, float]  # real, generated: 0 = by chance, 1 = as decoded from WebP

    def told(self) -> str:
        """What differs, in a line; "" where nothing does."""
        words = []
        real, generated = self.levels
        if abs(real - generated) > LEVELS:
            words.append(
                f"real pictures use {256 * real:.0f} grey levels and generated ones {256 * generated:.0f}"
            )
        if self.ghost > GHOST:
            words.append(f"one half was saved as JPEG of a quality of about {self.quality}")
        first, second = self.video
        if abs(second - first) > VIDEO:
            which = "generated" if second > first else "real"
            words.append(f"{which} pictures have the colours of a WebP that was decoded")
        if abs(self.grid) > GRID:
            which = "generated" if self.grid > 0 else "real"
            words.append(f"{which} pictures have edges at blocks of {SIDE} pixels")
        return ", ".join(words)


def traces(real: np.ndarray, generated: np.ndarray) -> Traces:
    """The traces of two halves, uint8 [N, H, W, C] and [M, H, W, C]; UserError for too few, other sizes or types."""
    check_container(real, generated)
    halves = [some(real), some(generated)]
    levels = [len(np.unique(half)) / 256 for half in halves]
    ghost, quality = ghost_of(*map(luma, halves))
    first, second = (grid(luma(half)) for half in halves)
    of_real, of_generated = map(video, halves)
    return Traces(
        (levels[0], levels[1]), ghost, quality, second - first, (of_real, of_generated)
    )


def check_alike(real: np.ndarray, generated: np.ndarray) -> Traces:
    """The traces; UserError, which says what differs, where a detector could tell the halves by them alone."""
    found = traces(real, generated)
    told = found.told()
    if told:
        raise UserError(
            f"{told}: a detector would learn that, and nothing of what was generated. Let both go the same way, e.g. "
            "--handling='Handling(halvings=1,kind=\"JPEG\",quality=90)', or use pictures that were never compressed."
        )
    return found


def check_container(real: np.ndarray, generated: np.ndarray) -> None:
    """Raises UserError for halves of other sizes, channels or types, and for fewer pictures than can say anything."""
    for name, half in (("real", real), ("generated", generated)):
        if half.dtype != np.uint8 or half.ndim != 4:
            raise UserError(
                f"{name} pictures are {half.dtype} {list(half.shape)}, expected bytes [N, H, W, C]: round both the "
                "same way."
            )
        if len(half) < FEWEST:
            raise UserError(
                f"{len(half)} {name} pictures are too few to compare: give {FEWEST} or more."
            )
    if real.shape[1:] != generated.shape[1:]:
        raise UserError(
            f"real pictures are {real.shape[1:]} and generated ones {generated.shape[1:]}: a detector would tell them "
            "by their size, so bring both to one."
        )


def some(half: np.ndarray) -> np.ndarray:
    """The pictures that are looked at, always the same."""
    n = min(LOOKED_AT, len(half))
    return half[chosen(n, len(half))]


def luma(half: np.ndarray) -> np.ndarray:
    """[N, H, W, C] -> float32 [N, H, W] in [0, 1]: JPEG keeps the luma at full resolution."""
    unit = np.float32(half) / np.float32(255.0)
    if half.shape[-1] == 1:
        return unit[..., 0]
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return unit @ weights


def _changes(pictures: jax.Array) -> jax.Array:
    """The mean change of pictures [N, H, W] by JPEG of each quality, [qualities] grey levels."""

    def one(picture: jax.Array, quality: jax.Array) -> jax.Array:
        x = picture[..., None]
        return jnp.mean(jnp.abs(jpeg(x, quality) - x))

    of_all = jax.vmap(one, (0, None))  # [N]
    every = jax.vmap(of_all, (None, 0))  # [qualities, N]
    return 255.0 * jnp.mean(every(pictures, jnp.array(QUALITIES, jnp.float32)), 1)


def ghost_of(real: np.ndarray, generated: np.ndarray) -> tuple[float, int]:
    """(the ghost in nats, the quality where it is) of lumas [N, H, W]."""
    changes = [np.asarray(_changes(jnp.asarray(half))) for half in (real, generated)]
    # pictures of one grey change by nothing: a hundredth of a level is as good as that
    of_real, of_generated = (np.log(change + 0.01) for change in changes)
    ratio = of_generated - of_real
    lower = ratio[: -2 * BESIDE]
    middle = ratio[BESIDE:-BESIDE]
    higher = ratio[2 * BESIDE :]
    peak = np.abs(middle - 0.5 * (lower + higher))
    place = int(np.argmax(peak))
    return float(peak[place]), QUALITIES[place + BESIDE]


def grid(lumas: np.ndarray) -> float:
    """How much sharper bends are at borders of blocks than in their middles [nats], of pictures [N, H, W]."""
    at_borders, at_middles = 0.0, 0.0
    for pictures in (lumas, lumas.transpose(0, 2, 1)):
        # what a straight line through the neighbours does not foretell
        step = np.diff(pictures, axis=2)
        bend = np.abs(step[..., 1:-1] - 0.5 * (step[..., :-2] + step[..., 2:]))
        # bend i lies between the pixels i + 1 and i + 2
        border = np.arange(bend.shape[-1]) + 2
        if border[-1] >= SIDE:  # of smaller pictures no border is inside
            at_borders += float(bend[..., border % SIDE == 0].mean())
            at_middles += float(bend[..., border % SIDE == SIDE // 2].mean())
    # a hundredth of a level is as good as none
    least = 0.01 / 255.0
    return float(np.log((at_borders + least) / (at_middles + least)))


def video(half: np.ndarray) -> float:
    """How many distinct colours of a half, uint8 [N, H, W, C], are whole numbers of video, beyond chance; see above.

    0 where there are too few colours to say, and of channels that are neither grey nor red, green and blue.
    """
    channels = half.shape[-1]
    if channels not in (1, 3):
        return 0.0
    seen = np.unique(half.reshape(-1, channels), axis=0).astype(np.float64)
    # what was cut at an end is no whole number any more
    inside = ((seen > 0) & (seen < 255)).all(1)
    if channels == 3:  # greys come back far more often than colours
        inside &= np.ptp(seen, 1) > 0
    colours = seen[inside]
    if len(colours) < FEWEST_COLOURS:
        return 0.0
    # volume of a step of bytes in steps of video; along the greys its length
    chance = np.linalg.det(TO_VIDEO) if channels == 3 else TO_VIDEO[0].sum()
    share = np.mean(came_back(colours))
    return float((share - chance) / (1.0 - chance))


def came_back(colours: np.ndarray) -> np.ndarray:
    """Whether colours [K, 1 or 3], bytes, are what they were after rounding to whole numbers of video, bool [K]."""
    rgb = np.broadcast_to(colours, (len(colours), 3))
    ycc = np.rint(rgb @ TO_VIDEO.T + ZERO)
    again = np.rint((ycc - ZERO) @ np.linalg.inv(TO_VIDEO).T)
    return np.all(again == rgb, 1)
