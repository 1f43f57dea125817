"""Learned lossy compression: pictures to few bits, with what is lost weighed against them (Ballé et al. 2017, 2018).

    loss = bits a pixel + lambda 255² mean squared error of pixels in [0, 1]

One net serves all rates: lambda is drawn for every example from a range, and told to the net as `rate`, 0 for the
smallest files and 1 for the largest, by gains for each channel (Cui et al. 2021, arXiv:2003.02012). A range of one
lambda is a net for one rate.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.ae.compression.priors import Coded, Hyper, Noise, Prior
from genjax.ae.compression.transforms import BLOCK, Analysis, Cosines, Synthesis, Told
from genjax.ae.restoration import decibel
from genjax.config import field
from genjax.core import (
    LOSS,
    Algorithm,
    Batch,
    Parts,
    Spec,
    State,
    averaged,
    example_keys,
    single,
)
from genjax.ema import Decay
from genjax.errors import UserError, above, at_least
from genjax.fields import Image, need
from genjax.optim import Adam, Optimiser
from genjax.pictures.draw import grid

UNIT = 32  # side of what the net sees as one: a number of z [pixels]
PEAK = 255.0  # errors are weighed in grey levels, as lambdas are given in papers


@dataclasses.dataclass(frozen=True)
class Compression:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    prior: Prior = field(Hyper(), "of the numbers that are coded")
    latent: int = field(320, "numbers for a block of 16x16 pixels")
    width: int = field(128, "channels of the transforms' nets")
    blocks: int = field(3, "residual blocks of each transform")
    low: float = field(0.0008, "lambda of rate 0")
    high: float = field(0.03, "lambda of rate 1; the same as `low`: a net for one rate")
    knots: int = field(8, "rates between which the nets are told a rate; 1 for one rate")
    shown: tuple[float, ...] = field(
        (0.0, 0.5, 1.0), "rates that evaluation measures and pictures show", execution=True
    )
    optimiser: Optimiser = field(Adam(), "of all nets together")
    ema: Decay = field(Decay(0.0), "average of the weights that evaluation uses")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)

    def analysis(self) -> Analysis:
        """Pixels to numbers."""
        return Analysis(self.latent, self.width, self.blocks, self.knots)

    def synthesis(self, channels: int) -> Synthesis:
        """Numbers to pixels."""
        return Synthesis(channels, self.width, self.blocks, self.knots)

    def gains(self, channels: int) -> Told:
        """The logarithm of steps a unit, for each rate and number."""
        rates = np.linspace(0.0, 1.0, self.knots)
        _, deviation = Cosines(BLOCK, channels, self.latent).basis()
        whole = finest(weight(rates, self))[:, None] * deviation

        def start(
            key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32
        ) -> jax.Array:
            return jnp.log(jnp.asarray(whole, dtype))

        return Told(self.latent, self.knots, start)


def weight(rate: Any, cfg: Compression) -> Any:
    """Lambda of a rate in [0, 1]: their logarithms lie on a line."""
    return cfg.low * (cfg.high / cfg.low) ** rate


def finest(weights: Any) -> Any:
    """Steps of the rounding in a unit of pixels within [0, 1] that are best for fine rounding.

    An error of 1 / (12 fine²) a number, and d bits / d log2(fine) = 1 a number, three a pixel: the loss is least at
    fine² = lambda 255² log(2) / 18.
    """
    return PEAK * (weights * (math.log(2.0) / 18.0)) ** 0.5


def init_params(
    key: jax.Array,
    x: jax.Array,
    cfg: Compression,
) -> dict[str, Any]:
    """Parameters by network, for pictures [B, H, W, C]."""
    keys = jax.random.split(key, 4)
    rate = jnp.zeros(len(x))
    analysis = cfg.analysis()
    found = {"analysis": analysis.init(keys[0], x, rate)["params"]}
    y = analysis.apply({"params": found["analysis"]}, x, rate)
    synthesis = cfg.synthesis(x.shape[-1])
    found["synthesis"] = synthesis.init(keys[1], y, rate)["params"]
    found["gains"] = cfg.gains(x.shape[-1]).init(keys[2], rate)["params"]
    found["prior"] = cfg.prior.init(keys[3], y, cfg.knots)
    return found


def fineness(
    params: dict,
    rate: jax.Array,
    cfg: Compression,
    channels: int,
) -> jax.Array:
    """Steps of the rounding in a unit of each number, [B, latent]."""
    return jnp.exp(cfg.gains(channels).apply({"params": params["gains"]}, rate))


def analyse(
    params: dict,
    x: jax.Array,
    rate: jax.Array,
    cfg: Compression,
) -> jax.Array:
    """Numbers y [B, H / 16, W / 16, latent] of pictures in [0, 1]."""
    return cfg.analysis().apply({"params": params["analysis"]}, x - 0.5, rate)


def synthesise(
    params: dict, y: jax.Array, rate: jax.Array, cfg: Compression, channels: int
) -> jax.Array:
    """Pictures [B, H, W, C] of rounded numbers, about within [0, 1]."""
    net = cfg.synthesis(channels)
    return 0.5 + net.apply({"params": params["synthesis"]}, y, rate)


def coded(
    params: dict, x: jax.Array, rate: jax.Array, noise: Noise | None, cfg: Compression
) -> tuple[jax.Array, Coded]:
    """(pictures as the decoder makes them, what they cost) of pictures in [0, 1]; no noise: numbers are rounded."""
    y = analyse(params, x, rate, cfg)
    channels = x.shape[-1]
    fine = fineness(params, rate, cfg, channels)
    found = cfg.prior(
        params["prior"],
        y,
        fine,
        rate,
        noise,
    )
    return synthesise(
        params,
        found.seen,
        rate,
        cfg,
        channels,
    ), found


def drawn(
    keys: jax.Array,
    shape: tuple[int, ...],
    cfg: Compression,
) -> Noise:
    """Noise for pictures [H, W, C], example by example."""
    latent = (shape[0] // BLOCK, shape[1] // BLOCK, cfg.latent)

    def draw(key: jax.Array) -> Noise:
        y_key, z_key = jax.random.split(key)
        shapes = cfg.prior.noise(latent)
        return Noise(_uniform(y_key, shapes.y), _uniform(z_key, shapes.z))

    return jax.vmap(draw)(keys)


def _uniform(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.uniform(key, shape, minval=-0.5, maxval=0.5)


def loss(
    params: dict,
    key: jax.Array,
    batch: Batch,
    cfg: Compression,
    spec: Spec,
) -> Parts:
    """Bits a pixel + lambda times the error, and both apart, [B]."""
    x = spec.unit(batch)
    keys = example_keys(key, batch["index"])
    rate_keys, noise_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    rate = jax.vmap(jax.random.uniform)(rate_keys)
    noise = drawn(noise_keys, spec.shape, cfg)
    made, found = coded(
        params,
        x,
        rate,
        noise,
        cfg,
    )
    return measured(x, made, found, weight(rate, cfg))


def measured(
    x: jax.Array,
    made: jax.Array,
    found: Coded,
    weights: jax.Array | float,
) -> Parts:
    """The loss and its parts, [B]: bits a pixel of y and z together and of z, mean squared error."""
    pixels = x.shape[1] * x.shape[2]
    bpp = (found.bits + found.side) / pixels
    mse = jnp.square(made - x).mean((1, 2, 3))
    whole = bpp + weights * PEAK**2 * mse
    return {"loss": whole, "bpp": bpp, "bpp_side": found.side / pixels, "mse": mse}


def evaluate(
    params: dict,
    batch: Batch,
    cfg: Compression,
    spec: Spec,
) -> Parts:
    """At each rate shown: the loss, bits a pixel as the model says, and the error [dB]; "loss" is their mean."""
    x = spec.unit(batch)
    found = {}
    losses = []
    for at in cfg.shown:
        rate = jnp.full(len(x), at)
        made, code = coded(
            params,
            x,
            rate,
            None,
            cfg,
        )
        parts = measured(x, jnp.clip(made, 0.0, 1.0), code, weight(at, cfg))
        losses.append(parts["loss"])
        found[f"bpp_{at:g}"] = parts["bpp"]
        found[f"side_{at:g}"] = parts["bpp_side"]
        found[f"psnr_{at:g}"] = decibel(parts["mse"])
    return {"loss": sum(losses) / len(losses), **found}


def sample(
    params: dict,
    given: Batch,
    cfg: Compression,
    spec: Spec,
) -> dict[str, jax.Array]:
    """Held-out pictures at each of the rates shown."""
    x = spec.unit(given)
    made = {}
    for at in cfg.shown:
        rate = jnp.full(len(x), at)
        made[f"{at:g}"], _ = coded(
            params,
            x,
            rate,
            None,
            cfg,
        )
    return made


def picture(
    samples: dict[str, Any],
    given: Batch,
    spec: Spec,
) -> np.ndarray:
    """Of each example a row, the picture itself last, uint8 [H, W, C]."""
    truth = np.asarray(spec.unit(given))
    columns = [np.asarray(x) for x in samples.values()] + [truth]
    rows = np.stack(columns, 1)  # [B, columns, H, W, C]
    return grid(np.clip(rows, 0.0, 1.0).reshape(-1, *spec.shape), len(columns))


def check(cfg: Compression, shape: Sequence[int]) -> None:
    """Raises UserError for settings and pictures that cannot be."""
    sizes = {"latent": cfg.latent, "width": cfg.width, "blocks": cfg.blocks, "knots": cfg.knots}
    at_least(1, "--algorithm.", **sizes)
    above(0, "--algorithm.", low=cfg.low)
    at_least(cfg.low, "--algorithm.", high=cfg.high)
    most = BLOCK * BLOCK * shape[-1]
    if cfg.latent > most:
        raise UserError(
            f"--algorithm.latent={cfg.latent}: a block has {most} numbers: use at most that many."
        )
    if cfg.knots == 1 and cfg.low != cfg.high:
        raise UserError(
            f"--algorithm.knots=1 tells the nets no rate, and lambda is {cfg.low:g} to {cfg.high:g}: use --algorithm."
            "knots=8, or the same low and high."
        )
    if any(side % UNIT for side in shape[:2]):
        raise UserError(
            f"Compression trains on pictures with sides divisible by {UNIT}, got {tuple(shape)}: choose another "
            "--data.size."
        )
    if any(not 0.0 <= at <= 1.0 for at in cfg.shown) or not cfg.shown:
        raise UserError("--algorithm.shown must name rates from 0 to 1, e.g. (0.0, 0.5, 1.0).")


def algorithm(cfg: Compression, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for what is no picture."""
    need("Compression", spec.main, spec.x, Image)
    check(cfg, spec.shape)

    def init_nets(key, batch):
        return init_params(key, spec.unit(batch), cfg)

    def rate_loss(
        params,
        key,
        batch,
        step,
    ):
        return loss(
            params,
            key,
            batch,
            cfg,
            spec,
        )

    init, step = single(
        init_nets, rate_loss, cfg.optimiser(spec.steps), cfg.ema, spec.microbatches
    )

    # what follows sees the averaged weights, where there are any
    def held_out(
        key: jax.Array,
        state: State,
        batch: Batch,
    ) -> Parts:
        return evaluate(averaged(state), batch, cfg, spec)

    def sampled(
        key: jax.Array,
        state: State,
        given: Batch,
    ) -> dict[str, jax.Array]:
        return sample(averaged(state), given, cfg, spec)

    def shown(samples: Any, given: Batch) -> np.ndarray:
        return picture(samples, given, spec)

    return Algorithm(
        init, step, held_out, sampled, asks=(spec.main,), picture=shown, criterion=LOSS
    )
