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
from genjax.vae.bitsback import Buckets, Nets, Packed

SHOWN = 12  # images of each row of the picture


class Coded(NamedTuple):
    """Images packed and unpacked again."""

    data: bytes  # the whole file
    packed: Packed
    encoding: float  # seconds
    decoding: float


def nets(this: Run) -> Nets:
    """The nets of a run's VAE, compiled for one example; UserError for a run whose bits cannot be coded."""
    params = averaged(this.state)
    return bitsback.of_vae(params, this.exp.algorithm, this.spec, jax.jit)


def coded(this: Run, of: Nets, x: np.ndarray, buckets: Buckets) -> Coded:
    """Levels [N, *shape] as one file, in memory, and back; AssertionError where they do not come back."""
    name = packed.weights(averaged(this.state), this.exp.algorithm)
    flat = x.reshape(len(x), -1).astype(np.int32)
    _warm(of, flat[0], buckets)
    begun = time.perf_counter()
    made = bitsback.encode(flat, of, buckets)
    encoded = time.perf_counter()
    back = bitsback.decode(made.words, made.borrowed, len(flat), of, buckets)
    decoded = time.perf_counter()
    # the claim is that nothing is lost: no number is told without it
    if not np.array_equal(back, flat):
        raise AssertionError("the images that were unpacked are not those that were packed")
    about = bitsback.fingerprint(of, buckets)
    head = packed.Head(buckets.bits, of.levels, name, about, len(x), len(x), this.spec.shape)
    data = packed.head_bytes(head) + packed.chunk_bytes(flat, made)
    return Coded(data, made, encoded - begun, decoded - encoded)


def _warm(of: Nets, x: np.ndarray, buckets: Buckets) -> None:
    """Compiles what is to be timed."""
    bitsback.encode(x[None], of, buckets)


def observed(this: Run, test: dict[str, Any]) -> np.ndarray:
    """What the likelihood observes of test images, as levels [N, *shape]: the images of which `elbo` is the bound."""
    cfg, spec = this.exp.algorithm, this.spec
    highest = bitsback.levels(cfg) - 1

    def look(key, state, batch):
        x, _ = bitsback.observed(key, batch, cfg, spec)
        return {"level": jnp.round(x * highest)}

    return this.evaluate(test, look)["level"].astype(np.int32)


def bound(this: Run, test: dict[str, Any], draws: int) -> tuple[np.ndarray, float]:
    """(-ELBO [N] in bits, a mean over draws of z; the standard error of their sum by the draws alone)."""
    cfg, spec = this.exp.algorithm, this.spec

    def weigh(key, state, batch):
        params = averaged(state)
        x, noise = bitsback.observed(key, batch, cfg, spec)
        posterior = vae.encode(params, x, None, cfg)
        keys = example_keys(noise, batch["index"])
        log_w, _ = vae.log_weights(params, keys, x, posterior, None, cfg, spec, draws)
        return {"elbo": jnp.mean(log_w, 0), "variance": jnp.var(log_w, 0, ddof=1)}

    found = this.evaluate(test, weigh, min(50, size(test)))
    bit = math.log(2.0)
    bits = -found["elbo"].astype(np.float64) / bit
    variance = found["variance"].astype(np.float64).sum() / draws
    return bits, math.sqrt(variance) / bit


@dataclasses.dataclass(frozen=True)
class Packing:
    """The bytes of test images packed by bits back, beside -ELBO, PNG, WebP and xz; what the buckets cost."""

    images: int = field(1000, "test images, the first ones in their order")
    buckets: Buckets = field(Buckets(16), "of the latents")
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
        bitsback.library()
        if source.shape[-1] not in (1, 3):
            raise UserError(
                f"PNG has no pictures of {source.shape[-1]} channels: leave Packing() out of --finish."
            )

    def __call__(self, this: Run) -> None:
        test = {name: array[: self.images] for name, array in this.source.test.items()}
        if this.log.result("packing") is None:
            self._measure(this, test)
        _tell(this)

    def _measure(self, this: Run, test: dict[str, Any]) -> None:
        of = nets(this)
        x = observed(this, test)
        bits, error = bound(this, test, self.draws)
        found = coded(this, of, x, self.buckets)
        this.log.result("buckets", self._compare(this, of, x, bits))
        others = general(x, of.levels)
        this.log.result("codecs", _per_value(others, x.size))
        _draw(this, x, found.packed.costs[:, 3], of.levels)
        # last: whoever finds it finds the others
        this.log.result("packing", summary(found, bits, error, x.size))

    def _compare(
        self, this: Run, of: Nets, x: np.ndarray, bits: np.ndarray
    ) -> dict[str, dict[str, float]]:
        """{buckets: bits per dim and the excess over the bound} of fewer images."""
        few = x[: self.few]
        its = bits[: self.few]
        rows = {}
        for buckets in self.compared:
            costs = coded(this, of, few, buckets).packed.costs
            grown = costs[:, 3]
            excess, error = mean_and_error(grown - its)
            name = f"2^{buckets.bits}" if buckets.fair else f"2^{buckets.bits} as they are"
            rows[name] = {
                "bits_per_dim": grown.sum() / few.size,
                "excess_percent": 100 * excess / its.mean(),
                "excess_error": 100 * error / its.mean(),
            }
        return rows


def summary(found: Coded, bound: np.ndarray, error: float, values: int) -> dict[str, float]:
    """The numbers of one file of `values` pixels: bits/dim, their parts, the ratio to the bound [N bits] with interval.

    The parts add up: bits_per_dim = given + rate + coder + head, where rate is log q(z | x) / p(z) of the buckets, and
    head all that is no image, borrowed words too. buckets is what the images cost above the bound.
    """
    given, prior, back, grown = found.packed.costs.T
    size = 8 * len(found.data)
    head = size - grown.sum()  # head, borrowed words, and the last word's unused bits

    def ratio(rows: np.ndarray) -> float:
        return (grown[rows].sum() + head) / bound[rows].sum()

    interval = bootstrap(ratio, len(bound))
    n = len(bound)
    rounded = grown - given - prior + back
    per_value = {
        "bits_per_dim": size,
        "elbo_bits_per_dim": bound.sum(),
        "elbo_error": error,
        "net_bits_per_dim": grown.sum(),
        "given": given.sum(),
        "rate": (prior - back).sum(),
        "coder": rounded.sum(),
        "head": head,
        "buckets": (given + prior - back).sum() - bound.sum(),
    }
    return {
        **_per_value(per_value, values, 1),
        "ratio": interval.value,
        "ratio_low": interval.low,
        "ratio_high": interval.high,
        "bytes": len(found.data),
        "borrowed_bytes": 4 * found.packed.borrowed,
        "encode_ms": 1000 * found.encoding / n,
        "decode_ms": 1000 * found.decoding / n,
        "n": n,
    }


def _per_value(numbers: dict[str, float], values: int, unit: int = 8) -> dict[str, float]:
    """Bytes (unit=8) or bits (unit=1) as bits per dimension."""
    return {name: unit * number / values for name, number in numbers.items()}


def general(x: np.ndarray, levels: int) -> dict[str, int]:
    """Bytes of levels [N, H, W, C] by general codecs."""
    black = levels == 2
    scale = 255 if black else 1
    return lossless.sizes((x * scale).astype(np.uint8), black)


def _tell(this: Run) -> None:
    """The stored numbers in words."""
    one = this.log.result("packing")
    codecs = this.log.result("codecs")
    rows = this.log.result("buckets")
    this.log.note(
        f"{one['n']} test images in {one['bytes']} bytes: {one['bits_per_dim']:.4f} bits/dim, -ELBO "
        f"{one['elbo_bits_per_dim']:.4f} +- {one['elbo_error']:.4f}, ratio {one['ratio']:.4f} "
        f"[{one['ratio_low']:.4f}, {one['ratio_high']:.4f}]"
    )
    names = ("given", "rate", "coder", "head")
    parts = " + ".join(f"{one[name]:.5f} ({name})" for name in names)
    this.log.note(f"      = {parts}; above the bound by buckets {one['buckets']:.5f}")
    this.log.note(
        f"      {one['borrowed_bytes']} bytes borrowed; {one['encode_ms']:.1f} ms an image, back "
        f"{one['decode_ms']:.1f} ms"
    )
    shown = ", ".join(f"{name} {bits:.4f}" for name, bits in codecs.items())
    this.log.note(f"      {shown} bits/dim")
    for name, row in rows.items():
        excess = f"{row['excess_percent']:.3f} +- {row['excess_error']:.3f} %"
        this.log.note(
            f"      buckets {name}: {row['bits_per_dim']:.4f}, above the bound by {excess}"
        )


def _draw(this: Run, x: np.ndarray, bits: np.ndarray, levels: int) -> None:
    """The images that cost least, and most."""
    order = np.argsort(bits)
    shown = min(SHOWN, len(x))
    ends = np.concatenate([order[:shown], order[::-1][:shown]])
    tiles = grid(x[ends] / (levels - 1), shown)
    least, most = bits[order[0]] / 8, bits[order[-1]] / 8
    names = [f"least, {least:.0f} bytes", f"most, {most:.0f} bytes"]
    show(this, "packing", captioned(tiles, names))
