"""What is known of the numbers before they are coded: how many bits each costs.

A prior works on numbers y of deviations about 1, of which the rate says how finely they are rounded: `fine` [B, latent]
steps a unit. So one prior serves all rates.

* `Factorised`: a learned density of each channel (Ballé et al. 2017).
* `Hyper`: a mean and a deviation for every number, out of few further numbers z that are coded before (Ballé et al.
  2018; means of Minnen et al. 2018, arXiv:1809.02736). With `context` half of the numbers, as the dark fields of a
  chessboard, are told to the other half (He et al. 2021, arXiv:2103.15306).

Training rounds what the decoder sees, with the gradient of the identity, and measures bits with noise in the place of
rounding (Minnen & Singh 2020, arXiv:2007.08739, sec. 3.4).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.ae.compression.coding import FactorisedCoder, HyperCoder
from genjax.ae.compression.density import LARGEST, SMALLEST, Learned, Logistic, Normal
from genjax.ae.compression.transforms import ABOVE, Told, chessboard, leaky, zeros
from genjax.config import field
from genjax.nets.blocks import depth_to_space, space_to_depth


class Coded(NamedTuple):
    """What a prior makes of numbers."""

    seen: jax.Array  # what the decoder sees of y, rounded, in units of y
    bits: jax.Array  # [B], of the numbers
    side: jax.Array  # [B], of what is coded before them


class Noise(NamedTuple):
    """Uniform numbers in [-1/2, 1/2) beside y and z, in the place of rounding."""

    y: jax.Array
    z: jax.Array


def rounded(x: jax.Array) -> jax.Array:
    """Whole numbers, with the gradient of the identity."""
    return x + jax.lax.stop_gradient(jnp.round(x) - x)


def total(x: jax.Array) -> jax.Array:
    """The sum over each example, [B]."""
    return x.reshape(len(x), -1).sum(-1)


def maps(x: jax.Array) -> jax.Array:
    """[B, C] beside maps [B, H, W, C]."""
    return x[:, None, None]


class HyperAnalysis(nn.Module):
    """Numbers y -> z [B, H / 2, W / 2, size], not rounded."""

    size: int
    width: int
    knots: int

    @nn.compact
    def __call__(self, y: jax.Array, rate: jax.Array) -> jax.Array:
        # numbers of blocks with and without structure are of other sizes by far
        close = jnp.sign(y) * jnp.log1p(jnp.abs(y))
        h = nn.Conv(self.width, (3, 3))(close)
        told = Told(self.width, self.knots)(rate)
        h = leaky(h + maps(told))
        h = space_to_depth(h, ABOVE)
        h = nn.Conv(self.width, (1, 1))(h)
        h = leaky(h)
        return nn.Conv(self.size, (3, 3))(h)


class HyperSynthesis(nn.Module):
    """z, rounded, -> (features [B, H, W, width], means and log deviations [B, H, W, 2 latent]).

    Of products, sums and `leaky` alone: `genjax.codec.exact` computes it in whole numbers.
    """

    latent: int
    width: int
    knots: int

    @nn.compact
    def __call__(self, z: jax.Array, rate: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = nn.Conv(self.width, (3, 3), name="first")(z)
        told = Told(self.width, self.knots, name="told")(rate)
        h = leaky(h + maps(told))
        h = nn.Conv(ABOVE * ABOVE * self.width, (1, 1), name="up")(h)
        h = leaky(depth_to_space(h, ABOVE))
        h = nn.Conv(self.width, (3, 3), name="second")(h)
        h = leaky(h)
        # zeros: all numbers begin with the mean 0 and the deviation 1
        last = nn.Conv(2 * self.latent, (1, 1), kernel_init=zeros, name="last")
        return h, last(h)


class Context(nn.Module):
    """Numbers on the dark fields, 0 on the light ones, and the features -> what to add to means and deviations."""

    latent: int
    width: int

    @nn.compact
    def __call__(self, dark: jax.Array, features: jax.Array) -> jax.Array:
        around = nn.Conv(self.width, (3, 3), name="around")(dark)
        here = nn.Conv(self.width, (1, 1), use_bias=False, name="here")(features)
        h = leaky(around + here)
        # zeros: a hyperprior alone, to begin with
        last = nn.Conv(2 * self.latent, (1, 1), kernel_init=zeros, name="last")
        return last(h)


@dataclasses.dataclass(frozen=True)
class Factorised:
    """A density for each channel, the same at every place."""

    def init(
        self,
        key: jax.Array,
        y: jax.Array,
        knots: int,
    ) -> dict:
        density = Learned(y.shape[-1])
        return {"density": density.init(key, y)["params"]}

    def noise(self, y: tuple[int, ...]) -> Noise:
        """The shapes of what `Noise` holds beside y [H, W, latent]."""
        return Noise(y, (0, 0, 0))

    def hidden(
        self,
        params: dict,
        y: jax.Array,
        rate: jax.Array,
    ) -> jax.Array:
        """What is coded before y, [B, h, w, any], not rounded: nothing."""
        return y[..., :0]

    def coder(
        self,
        params: dict,
        levels: np.ndarray,
        rate: float,
    ) -> FactorisedCoder:
        """What makes y whole numbers in a file; levels: the logarithm of `fine` at the rate, [latent]."""
        return FactorisedCoder(params["density"], levels)

    def __call__(
        self,
        params: dict,
        y: jax.Array,
        fine: jax.Array,
        rate: jax.Array,
        noise: Noise | None,
    ) -> Coded:
        """Codes y; no noise: rounded."""
        density = Learned(y.shape[-1])
        steps = maps(fine)
        whole = rounded(y * steps)
        at = whole if noise is None else y * steps + noise.y
        width = jnp.broadcast_to(1.0 / steps, y.shape)
        weights = {"params": params["density"]}
        bits = density.apply(weights, at / steps, width, method="bits")
        return Coded(whole / steps, total(bits), jnp.zeros(len(y)))


@dataclasses.dataclass(frozen=True)
class Hyper:
    """A mean and a deviation for every number, out of z and, on half of the fields, of the other half."""

    size: int = field(64, "channels of z")
    width: int = field(128, "channels of the nets between z and y")
    context: bool = field(True, "code the dark fields of a chessboard before the light ones")
    density: Normal | Logistic = field(Logistic(), "of a number with its mean and deviation")

    def nets(self, latent: int, knots: int) -> dict[str, nn.Module]:
        """The nets by their names in the parameters."""
        found = {
            "hyper_analysis": HyperAnalysis(self.size, self.width, knots),
            "hyper_synthesis": HyperSynthesis(latent, self.width, knots),
            "density": Learned(self.size),
        }
        if self.context:
            found["context"] = Context(latent, self.width)
        return found

    def init(
        self,
        key: jax.Array,
        y: jax.Array,
        knots: int,
    ) -> dict:
        nets = self.nets(y.shape[-1], knots)
        rate = jnp.zeros(len(y))
        keys = jax.random.split(key, 4)
        batch, height, width, _ = y.shape
        z = jnp.zeros((batch, height // ABOVE, width // ABOVE, self.size))
        features = jnp.zeros((batch, height, width, self.width))
        given = {
            "hyper_analysis": (y, rate),
            "hyper_synthesis": (z, rate),
            "density": (z,),
            "context": (y, features),
        }
        found = {}
        for own, (name, net) in zip(keys, nets.items(), strict=False):
            found[name] = net.init(own, *given[name])["params"]
        return found

    def noise(self, y: tuple[int, ...]) -> Noise:
        """As `Factorised.noise`."""
        return Noise(y, (y[0] // ABOVE, y[1] // ABOVE, self.size))

    def hidden(
        self,
        params: dict,
        y: jax.Array,
        rate: jax.Array,
    ) -> jax.Array:
        """As `Factorised.hidden`: z."""
        knots = params["hyper_analysis"]["Told_0"]["table"].shape[0]
        net = HyperAnalysis(self.size, self.width, knots)
        return net.apply({"params": params["hyper_analysis"]}, y, rate)

    def coder(
        self,
        params: dict,
        levels: np.ndarray,
        rate: float,
    ) -> HyperCoder:
        """As `Factorised.coder`."""
        return HyperCoder(params, levels, rate, self.density)

    def __call__(
        self,
        params: dict,
        y: jax.Array,
        fine: jax.Array,
        rate: jax.Array,
        noise: Noise | None,
    ) -> Coded:
        """As `Factorised`."""
        knots = len(params["hyper_synthesis"]["told"]["table"])
        nets = self.nets(y.shape[-1], knots)

        def apply(name: str, *x: jax.Array, **more: Any) -> Any:
            return nets[name].apply({"params": params[name]}, *x, **more)

        z = apply("hyper_analysis", y, rate)
        whole = rounded(z)
        features, moments = apply("hyper_synthesis", whole, rate)
        unit = maps(fine)
        steps = y * unit
        if self.context:
            mean, _ = in_steps(moments, unit)
            dark = chessboard(*y.shape[1:3])
            # the dark fields as the decoder has them, before it has the others
            seen = rounded(steps - mean) + mean
            first = seen * dark / unit
            more = apply("context", first, features)
            moments = moments + more * (1.0 - dark)
        mean, deviation = in_steps(moments, unit)
        off = steps - mean
        seen = rounded(off) + mean
        at = rounded(off) if noise is None else off + noise.y
        at_z = whole if noise is None else z + noise.z
        bits = self.density.bits(at, deviation)
        side = apply("density", at_z, method="bits")
        return Coded(seen / unit, total(bits), total(side))


def in_steps(moments: jax.Array, unit: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(means, deviations) in steps of the rounding, of those in units of y; unit: steps of one of these."""
    mean, level = jnp.split(moments, 2, -1)
    levels = level + jnp.log(unit)
    low, high = math.log(SMALLEST), math.log(LARGEST)
    # within the table, and with a gradient where it is left
    inside = jnp.clip(levels, low, high)
    outside = 0.01 * (levels - inside)
    held = inside + outside - jax.lax.stop_gradient(outside)
    return mean * unit, jnp.exp(held)


Prior = Factorised | Hyper
