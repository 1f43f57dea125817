"""A learned codec on whole held-out pictures: bytes of real files and what is lost, beside JPEG, WebP and AVIF."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.ae.compression.files import Codec
from genjax.codec.classical import Avif, Classical, Jpeg, WebP, decode
from genjax.config import field
from genjax.core import averaged
from genjax.data.scenes import photographs
from genjax.errors import UserError
from genjax.findings.samples import show
from genjax.metrics.images import ms_ssim, psnr
from genjax.metrics.intervals import bootstrap
from genjax.metrics.rates import Curve, bd_rate
from genjax.pictures.draw import captioned, grid
from genjax.pictures.figure import canvas, pixels
from genjax.training.experiment import Experiment
from genjax.training.run import Run

OURS = "learned"


class Point(NamedTuple):
    """One picture by one setting of one codec."""

    size: int  # of the file [bytes]
    psnr: float  # of red, green and blue [dB]
    similarity: float  # MS-SSIM
    encode: float  # [s]
    decode: float
    made: np.ndarray


class Shown(NamedTuple):
    """A codec under its name: encode(picture, setting) -> bytes, decode(bytes) -> picture."""

    name: str
    encode: Callable[[np.ndarray, Any], bytes]
    decode: Callable[[bytes], np.ndarray]
    settings: Sequence[Any]


@dataclasses.dataclass(frozen=True)
class Coding:
    """Rate and distortion of whole held-out scenes; BD-rates with intervals over the scenes; pictures."""

    least: tuple[int, int] = field((512, 768), "sides that a scene has at least [pixels]")
    splits: tuple[str, ...] = field(("valid", "test"), "held-out scenes that are taken")
    most: int = field(12, "scenes at most")
    rates: tuple[float, ...] = field((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), "of the learned codec")
    others: tuple[Classical, ...] = field(
        (Jpeg(0), Jpeg(2), WebP(), Avif("4:4:4"), Avif("4:2:0")),
        "codecs beside it; of those of one name the better counts",
    )
    against: str = field("JPEG", "the codec that the others are measured by")
    crop: int = field(128, "side of the details that are shown [pixels]")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for codecs that are not there, and for pictures of other channels."""
        if source.shape[-1] != 3:
            raise UserError(
                f"Coding compares colour pictures and {source.name} has {source.shape[-1]} channels: use --finish='()'."
            )
        for each in self.others:
            each.check()
        names = [each.name for each in self.others]
        if self.against not in names:
            raise UserError(
                f"--finish.Coding.against={self.against} is none of the codecs: {', '.join(names)}."
            )

    def __call__(self, this: Run) -> None:
        scenes = held_out(self)
        codecs = [*ours(this, self.rates), *classical(self.others)]
        found = [[points(codec, scene) for codec in codecs] for scene in scenes]
        names = [codec.name for codec in codecs]
        for name in dict.fromkeys(names):
            if name != self.against:
                self._compare(this, name, names, found, scenes)
        for name in dict.fromkeys(names):
            self._times(this, name, names, found, scenes)
        show(this, "rate-distortion", plot(names, found, scenes))
        show(this, "details", self._details(names, found, scenes))

    def _compare(
        self, this: Run, name: str, names: list[str], found: list, scenes: list[np.ndarray]
    ) -> None:
        """BD-rates of a codec: the mean over the scenes, and its interval."""
        entry: dict[str, Any] = {"n": len(scenes)}
        for measure in ("psnr", "similarity"):
            values = []
            for own, scene in zip(found, scenes, strict=True):
                sides = [
                    curves(side, names, own, scene, measure) for side in (name, self.against)
                ]
                values.append(bd_rate(*sides))
            rates = np.array(values)
            interval = bootstrap(lambda rows, rates=rates: rates[rows].mean(), len(rates))
            told = f"{100 * interval.value:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
            this.log.note(
                f"{name} against {self.against}, {measure}: {told} of the bits, {len(scenes)} scenes"
            )
            entry[measure] = 100.0 * interval.value
            entry |= {
                f"{measure}_low": 100.0 * interval.low,
                f"{measure}_high": 100.0 * interval.high,
            }
        this.log.result(f"coding {name}", entry)

    def _times(
        self, this: Run, name: str, names: list[str], found: list, scenes: list[np.ndarray]
    ) -> None:
        """Seconds that a codec needs for a megapixel, over all scenes and settings."""
        own = [place for place, other in enumerate(names) if other == name]
        mega = sum(scene[..., 0].size for scene in scenes) / 1e6
        runs = [point for scene in found for place in own for point in scene[place]]
        each = mega * len(runs) / len(scenes)
        encode = sum(point.encode for point in runs) / each
        back = sum(point.decode for point in runs) / each
        this.log.note(
            f"{name}: encodes a megapixel in {encode:.2f} s, decodes it in {back:.2f} s"
        )
        seconds = {"encode_seconds": encode, "decode_seconds": back}
        this.log.result(f"coding times {name}", seconds)

    def _details(self, names: list[str], found: list, scenes: list[np.ndarray]) -> np.ndarray:
        """Of some scenes a detail: the picture, the other codec's, ours, at about the same bytes."""
        rows, told = [], []
        for own, scene in list(zip(found, scenes, strict=True))[:4]:
            mine = own[names.index(OURS)][1]
            other = nearest(self.against, names, own, mine.size)
            part = detail(scene, self.crop)
            tiles = [scene[part], other.made[part], mine.made[part]]
            rows += [np.repeat(np.repeat(tile, 2, 0), 2, 1) for tile in tiles]
            told.append(
                f"{other.size} B {other.psnr:.1f} dB | {mine.size} B {mine.psnr:.1f} dB"
            )
        picture = grid(np.stack(rows), 3)
        even = picture.shape[0] // len(told) * len(told)
        return captioned(picture[:even], told)


def held_out(cfg: Coding) -> list[np.ndarray]:
    """Whole scenes that no training has seen, in either orientation; UserError where there are too few."""
    found = []
    for scene in photographs():
        sides = sorted(scene.image.shape[:2])
        large = sides[0] >= min(cfg.least) and sides[1] >= max(cfg.least)
        if scene.split in cfg.splits and large:
            found.append(scene.image)
    if len(found) < 2:
        raise UserError(
            f"--finish.Coding.least={cfg.least}: {len(found)} held-out scenes are that large: lower it."
        )
    return found[: cfg.most]


def ours(this: Run, rates: Sequence[float]) -> list[Shown]:
    """The run's codec."""
    codec = Codec(
        this.exp.algorithm, averaged(this.state), this.spec.shape[-1], compiled=jax.jit
    )
    # a net for one rate has no others
    settings = rates if this.exp.algorithm.knots > 1 else rates[:1]

    def encode(image: np.ndarray, rate: float) -> bytes:
        return codec.encode(image, rate).content

    return [Shown(OURS, encode, codec.decode, settings)]


def classical(others: Sequence[Classical]) -> list[Shown]:
    """The other codecs."""
    found = []
    for each in others:

        def back(content: bytes, kind: str = each.kind) -> np.ndarray:
            return decode(content, kind)

        found.append(Shown(each.name, each.encode, back, each.qualities))
    return found


def points(codec: Shown, image: np.ndarray) -> list[Point]:
    """A picture by every setting of a codec."""
    # programs are compiled for the first picture of a size: that is no part of the time
    codec.decode(codec.encode(image, codec.settings[0]))
    found = []
    for setting in codec.settings:
        begun = time.perf_counter()
        content = codec.encode(image, setting)
        between = time.perf_counter()
        made = codec.decode(content)
        ended = time.perf_counter()
        pair = image[None], made[None]
        decibels = float(psnr(*pair)[0])
        similarity = float(ms_ssim(*pair)[0])
        found.append(
            Point(len(content), decibels, similarity, between - begun, ended - between, made)
        )
    return found


def curves(
    name: str,
    names: Sequence[str],
    found: Sequence[Sequence[Point]],
    scene: np.ndarray,
    measure: str,
) -> list[Curve]:
    """The curves of all codecs of one name on one scene; MS-SSIM in decibels, -10 log10(1 - s)."""
    chosen = []
    for other, own in zip(names, found, strict=True):
        if other != name:
            continue
        quality = np.array([getattr(point, measure) for point in own])
        if measure == "similarity":
            quality = -10.0 * np.log10(1.0 - quality)
        rate = np.array([8.0 * point.size for point in own]) / scene[..., 0].size
        chosen.append(Curve(rate, quality))
    return chosen


def nearest(
    name: str, names: Sequence[str], found: Sequence[Sequence[Point]], size: int
) -> Point:
    """The best picture of a codec's at about as many bytes, at least so many if it can."""
    own = [
        point for other, row in zip(names, found, strict=True) if other == name for point in row
    ]
    enough = [point for point in own if point.size >= size]
    return min(enough or own, key=lambda point: abs(point.size - size))


def detail(scene: np.ndarray, side: int) -> tuple[slice, slice]:
    """Where a scene has most structure, of squares from a grid."""
    light = scene.mean(-1)
    best, place = -1.0, (0, 0)
    for y in range(0, scene.shape[0] - side + 1, side):
        for x in range(0, scene.shape[1] - side + 1, side):
            spread = float(light[y : y + side, x : x + side].std())
            if spread > best:
                best, place = spread, (y, x)
    y, x = place
    return slice(y, y + side), slice(x, x + side)


def plot(names: Sequence[str], found: list, scenes: list[np.ndarray]) -> np.ndarray:
    """Means over the scenes of bits a pixel and quality, setting by setting, uint8 [H, W, 3]."""
    figure, axes = canvas(1000, 440, 1, 2)
    for axis, measure in zip(axes[0], ("psnr", "similarity"), strict=True):
        seen: list[str] = []
        for place, name in enumerate(names):
            whole = [
                curves("", [""], [own[place]], scene, measure)[0]
                for own, scene in zip(found, scenes, strict=True)
            ]
            rate = np.mean([curve.rate for curve in whole], 0)
            quality = np.mean([curve.quality for curve in whole], 0)
            again = seen.count(name)  # 4:2:0 after 4:4:4
            label = name if not again else f"{name}, 4:2:0"
            axis.plot(rate, quality, ".-", label=label, linewidth=1 + (name == OURS))
            seen.append(name)
        axis.set_xlim(0, 1.5)
        axis.set_xlabel("bits a pixel")
        axis.set_ylabel("PSNR [dB]" if measure == "psnr" else "MS-SSIM [dB]")
        axis.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8)
    return pixels(figure)
