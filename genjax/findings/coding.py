"""A learned codec on whole held-out pictures: bytes of real files and what is lost, beside JPEG, WebP and AVIF."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.ae.compression.files import Codec
from genjax.ae.compression.model import Compression
from genjax.codec.classical import Avif, Classical, Jpeg, WebP, decode
from genjax.codec.stream import library
from genjax.config import field
from genjax.core import averaged
from genjax.data.scenes import photographs
from genjax.errors import UserError, at_least
from genjax.findings.samples import show
from genjax.metrics.images import SIDE, ms_ssim, psnr
from genjax.metrics.intervals import of_mean
from genjax.metrics.rates import Curve, bd_rate, overlap
from genjax.pictures.draw import captioned, grid
from genjax.pictures.figure import canvas, pixels
from genjax.training.experiment import Experiment
from genjax.training.run import Run

OURS = "learned"
THIN = 0.25  # of the narrower range of qualities: a BD-rate over less of it is told as doubtful


class Point(NamedTuple):
    """One picture by one setting of one codec."""

    size: int  # of the file [bytes]
    psnr: float  # of red, green and blue [dB]
    similarity: float  # MS-SSIM as -10 log10(1 - s) [dB]
    encode: float  # [s]
    decode: float  # [s]
    made: np.ndarray  # uint8 [H, W, 3]


class Tried(NamedTuple):
    """A codec: encode(picture, setting) -> bytes, decode(bytes) -> picture."""

    name: str  # of those of one name the better counts
    label: str
    settings: Sequence[Any]
    encode: Callable[[np.ndarray, Any], bytes]
    decode: Callable[[bytes], np.ndarray]


class Measured(NamedTuple):
    """What a codec did with every scene."""

    codec: Tried
    scenes: list[list[Point]]  # by scene, then by setting


@dataclasses.dataclass(frozen=True)
class Coding:
    """Rate and distortion of whole held-out scenes; BD-rates with intervals over the scenes; pictures."""

    least: tuple[int, int] = field((512, 768), "sides that a scene has at least [pixels]")
    # few scenes are so large, so both; where settings are chosen on valid, name test alone
    splits: tuple[str, ...] = field(("valid", "test"), "held-out scenes that are taken")
    most: int = field(12, "scenes at most")
    rates: tuple[float, ...] = field((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), "of the learned codec")
    others: tuple[Classical, ...] = field(
        (
            Jpeg(0),
            Jpeg(2),
            WebP(),
            Avif("4:4:4"),
            Avif("4:2:0"),
            Avif("4:4:4", "psnr"),
            Avif("4:2:0", "psnr"),
        ),
        "codecs beside it; of those of one name the better counts",
    )
    against: str = field("JPEG", "the codec that the others are measured by")
    shown: int = field(4, "scenes of which a detail is shown")
    crop: int = field(128, "side of a detail [pixels]")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for codecs that are not there, and for pictures of other channels."""
        channels = source.shape[-1]
        if channels != 3:
            raise UserError(
                f"Coding compares colour pictures and {source.name} has {channels} channels: use --finish='()'."
            )
        if not isinstance(exp.algorithm, Compression):
            name = type(exp.algorithm).__name__
            raise UserError(
                f"Coding measures a codec and {name} is none: use a run of experiments.compress."
            )
        # all before the training, and not after it
        library()
        at_least(1, finish__Coding__most=self.most, finish__Coding__shown=self.shown)
        at_least(1, finish__Coding__crop=self.crop)
        low = min(self.least)
        at_least(max(SIDE, self.crop), finish__Coding__least=low)
        if not self.rates or not all(0.0 <= rate <= 1.0 for rate in self.rates):
            raise UserError(
                "--finish.Coding.rates must name rates from 0 to 1, e.g. (0.0, 0.5, 1.0)."
            )
        for each in self.others:
            each.check()
        names = [each.name for each in self.others]
        if self.against not in names:
            raise UserError(
                f"--finish.Coding.against={self.against} is none of the codecs: {', '.join(names)}."
            )
        held_out(self)

    def __call__(self, this: Run) -> None:
        scenes = held_out(self)
        codecs = [ours(this, self.rates)]
        codecs += [classical(each) for each in self.others]
        found = []
        for codec in codecs:
            of_scenes = [points(codec, scene) for scene in scenes]
            found.append(Measured(codec, of_scenes))
        # a name once, in order
        names = dict.fromkeys(codec.name for codec in codecs)
        for name in names:
            if name != self.against:
                self.compare(this, name, found, scenes)
            times(this, name, found, scenes)
        show(this, "rate-distortion", plot(found, scenes))
        show(this, "details", self.details(found, scenes))

    def compare(
        self,
        this: Run,
        name: str,
        found: list[Measured],
        scenes: list[np.ndarray],
    ) -> None:
        """BD-rates of a codec in per cent: the mean over the scenes that both reach a quality of, and its interval."""
        entry: dict[str, Any] = {"n": len(scenes)}
        for measure in ("psnr", "similarity"):
            values, shares = [], []
            for place, scene in enumerate(scenes):
                own = curves(name, found, place, scene, measure)
                other = curves(self.against, found, place, scene, measure)
                values.append(100.0 * bd_rate(own, other))
                shares.append(overlap(own, other))
            # how many scenes are left is told: they may be easier ones
            rates = np.array(values)
            reached = np.isfinite(rates)
            rates = rates[reached]
            common = np.array(shares)[reached]
            entry[f"{measure}_n"] = len(rates)
            if len(rates) < 2:
                this.log.note(f"{name} and {self.against} reach no common {measure}")
                continue
            value, low, high = of_mean(rates)
            this.log.note(
                f"{name} against {self.against} at equal {measure}: {value:+.1f} % of the bits [{low:+.1f}, "
                f"{high:+.1f}], {len(rates)} of {len(scenes)} scenes"
            )
            entry[measure] = value
            entry[f"{measure}_low"] = low
            entry[f"{measure}_high"] = high
            # the least over the scenes: a mean would hide the one that is compared at its ends
            entry[f"{measure}_overlap"] = float(common.min())
            if common.min() < THIN:
                this.log.note(
                    f"  doubtful: in {np.sum(common < THIN)} scenes they have less than {THIN:.0%} of the narrower "
                    "range of qualities in common: choose settings that reach as far"
                )
        this.log.result(f"coding {name}", entry)

    def details(self, found: list[Measured], scenes: list[np.ndarray]) -> np.ndarray:
        """Of some scenes a detail: the picture, the other codec's at as many bytes, ours; uint8 [H, W, 3]."""
        mine, *rest = found
        others = [each.codec for each in rest if each.codec.name == self.against]
        tiles, told = [], []
        for scene, own in list(zip(scenes, mine.scenes, strict=True))[: self.shown]:
            # of a low rate, where codecs differ most
            chosen = own[min(1, len(own) - 1)]
            other = matched(others, scene, chosen.size)
            part = detail(scene, self.crop)
            for picture in (scene, other.made, chosen.made):
                tiles.append(picture[part])
            told.append(
                f"{self.against} {other.size} B, {other.psnr:.1f} dB; ours {chosen.size} B, {chosen.psnr:.1f} dB"
            )
        picture = grid(np.stack(tiles), 3, pad=0, zoom=2)
        return captioned(picture, told)


def held_out(cfg: Coding) -> list[np.ndarray]:
    """Whole scenes that no training has seen, in either orientation; UserError where there are too few."""
    low, high = sorted(cfg.least)
    found = []
    for scene in photographs():
        short, long = sorted(scene.image.shape[:2])
        large = short >= low and long >= high
        if large and scene.split in cfg.splits:
            found.append(scene.image)
    if len(found) < 2:  # an interval needs two
        raise UserError(
            f"--finish.Coding.least={cfg.least}: {len(found)} held-out scenes are that large: lower it."
        )
    return found[: cfg.most]


def ours(this: Run, rates: Sequence[float]) -> Tried:
    """The run's codec."""
    cfg = this.exp.algorithm
    channels = this.spec.shape[-1]
    codec = Codec(cfg, averaged(this.state), channels, compiled=jax.jit)
    # a net for one rate has no others
    settings = rates if cfg.knots > 1 else rates[:1]

    def encode(image: np.ndarray, rate: float) -> bytes:
        return codec.encode(image, rate).content

    return Tried(
        OURS,
        OURS,
        settings,
        encode,
        codec.decode,
    )


def classical(codec: Classical) -> Tried:
    """One of the other codecs."""

    def back(content: bytes) -> np.ndarray:
        return decode(content, codec.kind)

    return Tried(
        codec.name,
        codec.label,
        codec.qualities,
        codec.encode,
        back,
    )


def points(codec: Tried, image: np.ndarray) -> list[Point]:
    """A picture by every setting of a codec."""
    # programs are compiled for the first picture of a size: that is no part of the time
    first = codec.encode(image, codec.settings[0])
    codec.decode(first)
    return [point(codec, image, setting) for setting in codec.settings]


def point(codec: Tried, image: np.ndarray, setting: Any) -> Point:
    """A picture by one setting of a codec."""
    begun = time.perf_counter()
    content = codec.encode(image, setting)
    between = time.perf_counter()
    made = codec.decode(content)
    ended = time.perf_counter()
    decibels = psnr(image[None], made[None])[0]
    similarity = ms_ssim(image[None], made[None])[0]
    # its values lie close to 1, where only a logarithm tells them apart
    spread = -10.0 * np.log10(1.0 - similarity)
    return Point(
        size=len(content),
        psnr=float(decibels),
        similarity=float(spread),
        encode=between - begun,
        decode=ended - between,
        made=made,
    )


def curve(row: list[Point], scene: np.ndarray, measure: str) -> Curve:
    """Bits a pixel and quality of every setting on one scene."""
    area = scene[..., 0].size
    rate = [8.0 * each.size / area for each in row]
    quality = [getattr(each, measure) for each in row]
    return Curve(np.array(rate), np.array(quality))


def curves(
    name: str,
    found: list[Measured],
    place: int,  # of the scene
    scene: np.ndarray,
    measure: str,
) -> list[Curve]:
    """The curves of all codecs of one name on one scene."""
    chosen = []
    for each in found:
        if each.codec.name == name:
            own = curve(each.scenes[place], scene, measure)
            chosen.append(own)
    return chosen


def times(
    this: Run,
    name: str,
    found: list[Measured],
    scenes: list[np.ndarray],
) -> None:
    """Seconds that a codec needs for a megapixel, over all scenes and settings."""
    encode = back = mega = 0.0
    for each in found:
        if each.codec.name != name:
            continue
        for scene, row in zip(scenes, each.scenes, strict=True):
            size = scene[..., 0].size / 1e6
            mega += size * len(row)
            encode += sum(own.encode for own in row)
            back += sum(own.decode for own in row)
    encode /= mega
    back /= mega
    this.log.note(f"{name}: encodes a megapixel in {encode:.2f} s, decodes it in {back:.2f} s")
    seconds = {"encode_seconds": encode, "decode_seconds": back}
    this.log.result(f"coding times {name}", seconds)


def matched(codecs: Sequence[Tried], image: np.ndarray, size: int) -> Point:
    """The best picture of some codecs at about as many bytes, at least so many if their settings go so far."""
    found = []
    for codec in codecs:
        low, high = 1, 95  # qualities of Pillow's
        while low < high:
            middle = (low + high) // 2
            enough = len(codec.encode(image, middle)) >= size
            if enough:
                high = middle
            else:
                low = middle + 1
        found.append(point(codec, image, low))
    return max(found, key=_quality)


def _quality(found: Point) -> float:
    return found.psnr


def detail(scene: np.ndarray, side: int) -> tuple[slice, slice]:
    """Where a scene has most structure, of squares from a grid."""
    light = scene.mean(-1)
    height, width = light.shape
    best, place = -1.0, (slice(0, side), slice(0, side))
    for top in range(0, height - side + 1, side):
        for left in range(0, width - side + 1, side):
            part = slice(top, top + side), slice(left, left + side)
            spread = float(light[part].std())
            if spread > best:
                best, place = spread, part
    return place


def plot(found: list[Measured], scenes: list[np.ndarray]) -> np.ndarray:
    """Means over the scenes of bits a pixel and quality, setting by setting, uint8 [H, W, 3]."""
    figure, axes = canvas(1000, 440, 1, 2)
    measures = {"psnr": "PSNR [dB]", "similarity": "MS-SSIM [dB]"}
    for axis, (measure, title) in zip(axes[0], measures.items(), strict=True):
        for each in found:
            own = []
            for scene, row in zip(scenes, each.scenes, strict=True):
                own.append(curve(row, scene, measure))
            # [2, settings]: a setting is about as good in all scenes
            rate, quality = np.mean(own, 0)
            wide = 2.0 if each.codec.name == OURS else 1.0
            label = each.codec.label
            axis.plot(rate, quality, ".-", label=label, linewidth=wide)
        axis.set_xlim(0.0, 1.5)  # beyond it nothing is lost that is seen
        axis.set_xlabel("bits a pixel")
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8)
    return pixels(figure)
