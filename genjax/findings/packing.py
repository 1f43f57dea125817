"""Test images packed by a VAE, in bytes of a file, beside its bound and general codecs: see `genjax.vae.bitsback`."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import averaged, example_keys, size
from genjax.errors import UserError, at_least
from genjax.findings.samples import check_images, mean_and_error, show
from genjax.metrics.intervals import bootstrap
from genjax.pictures import lossless
from genjax.pictures.draw import captioned, grid
from genjax.training.experiment import Experiment
from genjax.training.run import Run
from genjax.vae import bitsback, packed, vae
from genjax.vae.bitsback import Array, Buckets, Nets, Packed

SHOWN = 12  # images of each row of the picture
BIT = math.log(2.0)  # nats
AT_A_TIME = 50  # images whose bound is found together: each is decoded once a draw

PARTS = ("given", "rate", "coder", "head", "buckets")
TIMES = ("encode_ms", "decode_ms")
Numbers = dict[str, float]


class Coded(NamedTuple):
    """Images packed and unpacked again."""

    data: bytes  # the whole file
    packed: Packed
    encoding: float  # seconds
    decoding: float


class Bound(NamedTuple):
    """-ELBO of images, each a mean over draws of z."""

    bits: Array  # [N]
    error: float  # standard error of their sum, by the draws alone: the images are given


def nets(this: Run) -> Nets:
    """The nets of a run's VAE, compiled for one example; UserError for a run whose bits cannot be coded."""
    params = averaged(this.state)
    cfg = this.exp.algorithm
    return bitsback.of_vae(params, cfg, this.spec, jax.jit)


def coded(this: Run, of: Nets, x: Array) -> Coded:
    """Levels [N, *shape] as one file, in memory, and back; RuntimeError where they do not come back."""
    n = len(x)
    flat = x.reshape(n, -1)
    # compiled before it is timed
    about = bitsback.fingerprint(of)

    begun = time.perf_counter()
    made = bitsback.encode(flat, of)
    encoded = time.perf_counter()
    back = bitsback.decode(made.words, made.borrowed, n, of)
    decoded = time.perf_counter()
    # the claim is that nothing is lost: no number is told without it
    if not np.array_equal(back, flat):
        raise RuntimeError("the images that were unpacked are not those that were packed")

    params = averaged(this.state)
    name = packed.weights(params, this.exp.algorithm)
    bits = of.buckets.bits
    head = packed.Head(bits, of.levels, name, about, n, n, this.spec.shape)
    data = packed.head_bytes(head) + packed.chunk_bytes(flat, made)
    return Coded(data, made, encoded - begun, decoded - encoded)


def observed(this: Run, test: dict[str, Any]) -> Array:
    """What the likelihood observes of test images, as levels [N, *shape]: the images of which `elbo` is the bound."""
    cfg = this.exp.algorithm
    spec = this.spec
    highest = bitsback.levels(cfg) - 1

    def look(key, state, batch):
        x, _ = bitsback.observed(key, batch, cfg, spec)
        return {"level": jnp.round(x * highest)}

    found = this.evaluate(test, look)
    return found["level"].astype(np.int32)


def bound(this: Run, test: dict[str, Any], draws: int) -> Bound:
    """-ELBO of test images by `draws` of log w each, of which the bits of an example are one."""
    cfg = this.exp.algorithm
    spec = this.spec

    def weigh(key, state, batch):
        params = averaged(state)
        x, noise = bitsback.observed(key, batch, cfg, spec)
        posterior = vae.encode(params, x, None, cfg)
        keys = example_keys(noise, batch["index"])
        told = params, keys, x, posterior, None, cfg, spec
        log_w, _ = vae.log_weights(*told, draws)  # [draws, B]
        return {
            "mean": jnp.mean(log_w, 0),
            "variance": jnp.var(log_w, 0, ddof=1),
        }

    # no larger than the split: padding would be computed for nothing
    batch = min(AT_A_TIME, size(test))
    found = this.evaluate(test, weigh, batch)
    nats = found["mean"].astype(np.float64)
    # examples have noise of their own, so variances add
    variance = found["variance"].sum(dtype=np.float64)
    error = math.sqrt(variance / draws)
    return Bound(-nats / BIT, error / BIT)


@dataclasses.dataclass(frozen=True)
class Packing:
    """The bytes of test images packed by bits back, beside -ELBO, PNG, WebP and xz; what the buckets cost."""

    images: int = field(1000, "test images, the first ones in their order")
    buckets: Buckets = field(Buckets(), "of the latents")
    compared: tuple[Buckets, ...] = field(
        (Buckets(6), Buckets(8), Buckets(12), Buckets(16), Buckets(16, fair=False)),
        "buckets that are compared",
    )
    few: int = field(200, "images for that comparison")
    draws: int = field(32, "draws of z for the bound of an image")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for a model that is no VAE of grey values, and for numbers that are too small."""
        check_images(source)
        at_least(
            2,
            finish__Packing__images=self.images,
            finish__Packing__few=self.few,
            finish__Packing__draws=self.draws,
        )
        bitsback.check(exp.algorithm)
        # before training, not after it
        bitsback.library()
        channels = source.shape[-1]
        if channels not in (1, 3):
            raise UserError(
                f"PNG has no pictures of {channels} channels: leave Packing() out of --finish."
            )

    def __call__(self, this: Run) -> None:
        if this.log.result("packing") is None:
            self._measure(this)
        _tell(this)

    def _measure(self, this: Run) -> None:
        test = {}
        for name, array in this.source.test.items():
            test[name] = array[: self.images]
        of = nets(this)
        x = observed(this, test)
        least = bound(this, test, self.draws)
        found = coded(this, of._replace(buckets=self.buckets), x)

        rows = self._compare(this, of, x, least)
        this.log.result("buckets", rows)
        codecs = general(x, of.levels)
        this.log.result("codecs", codecs)
        bits = found.packed.costs[:, 3]
        _draw(this, x / (of.levels - 1), bits)
        # last: whoever finds it finds the others
        numbers = summary(found, least, x.size)
        this.log.result("packing", numbers)

    def _compare(self, this: Run, of: Nets, x: Array, least: Bound) -> dict[str, Numbers]:
        """{buckets: bits per dimension, and the excess over the bound in percent} of fewer images."""
        few = x[: self.few]
        its = least.bits[: self.few]
        percent = 100 / its.mean()
        rows = {}
        # the same images, weights and bound: only the buckets differ
        for buckets in self.compared:
            found = coded(this, of._replace(buckets=buckets), few)
            grown = found.packed.costs[:, 3]
            excess, error = mean_and_error(grown - its)
            name = f"2^{buckets.bits}"
            if not buckets.fair:
                name = f"{name} as they are"
            rows[name] = {
                "bits_per_dim": grown.sum() / few.size,
                "excess_percent": excess * percent,
                "excess_error": error * percent,
            }
        return rows


def summary(found: Coded, least: Bound, values: int) -> Numbers:
    """The numbers of one file of `values` pixels: bits per dimension, their parts, the ratio to the bound.

    The parts add up: bits_per_dim = given + rate + coder + head. rate is log q(z | x) / p(z) of the buckets; head is
    all that is no image, borrowed words too. buckets is what the images' bits are above the bound.
    """
    given, prior, back, grown = found.packed.costs.T
    n = len(grown)
    length = 8 * len(found.data)
    head = length - grown.sum()
    rate = prior - back
    rounded = grown - given - rate

    def ratio(rows: Array) -> float:
        # the head is there whatever the images are
        whole = grown[rows].sum() + head
        return whole / least.bits[rows].sum()

    interval = bootstrap(ratio, n)
    bits = {
        "bits_per_dim": length,
        "elbo_bits_per_dim": least.bits.sum(),
        "elbo_error": least.error,
        "net_bits_per_dim": grown.sum(),
        "given": given.sum(),
        "rate": rate.sum(),
        "coder": rounded.sum(),
        "head": head,
        "buckets": (given + rate - least.bits).sum(),
    }
    per_value = {name: number / values for name, number in bits.items()}
    milliseconds = 1000 / n
    return {
        **per_value,
        "ratio": interval.value,
        "ratio_low": interval.low,
        "ratio_high": interval.high,
        "bytes": len(found.data),
        "borrowed_bytes": 4 * found.packed.borrowed,
        "encode_ms": found.encoding * milliseconds,
        "decode_ms": found.decoding * milliseconds,
        "n": n,
    }


def general(x: Array, levels: int) -> Numbers:
    """Bits per dimension of levels [N, H, W, C] by general codecs."""
    black = levels == 2
    # black and white as pictures have them
    bytes_ = x.astype(np.uint8)
    if black:
        bytes_ = bytes_ * np.uint8(255)
    sizes = lossless.sizes(bytes_, black)
    bits = {}
    for name, length in sizes.items():
        bits[name] = 8 * length / x.size
    return bits


# In words and as a picture.


def _tell(this: Run) -> None:
    """The stored numbers in words."""
    log = this.log
    one = log.result("packing")
    bits = f"{one['bits_per_dim']:.4f} bits/dim"
    least = f"-ELBO {one['elbo_bits_per_dim']:.4f} +- {one['elbo_error']:.4f}"
    ratio = f"ratio {one['ratio']:.4f} [{one['ratio_low']:.4f}, {one['ratio_high']:.4f}]"
    log.note(f"{one['n']} test images, {one['bytes']} bytes: {bits}, {least}, {ratio}")
    # what the bits are of, and what they took
    _row(this, "parts", {name: one[name] for name in PARTS})
    _row(this, "milliseconds an image", {name: one[name] for name in TIMES})
    _row(this, "bits/dim of others", log.result("codecs"))
    for name, row in log.result("buckets").items():
        _row(this, f"buckets {name}", row)


def _row(this: Run, title: str, numbers: Numbers) -> None:
    """One line of numbers with their names."""
    shown = []
    for name, number in numbers.items():
        shown.append(f"{name} {number:.4f}")
    this.log.note(f"      {title}: {', '.join(shown)}")


def _draw(this: Run, x: Array, bits: Array) -> None:
    """The images [N, H, W, C] that cost least, and most."""
    order = np.argsort(bits)
    shown = min(SHOWN, len(x))
    cheap = order[:shown]
    dear = order[::-1][:shown]
    both = np.concatenate([cheap, dear])
    tiles = grid(x[both], shown)
    size_of = bits / 8  # bytes
    least = size_of.min()
    most = size_of.max()
    names = (
        f"least, {least:.0f} bytes",
        f"most, {most:.0f} bytes",
    )
    picture = captioned(tiles, names)
    show(this, "packing", picture)
