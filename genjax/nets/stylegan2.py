"""The nets of StyleGAN2: mapping, synthesis with image skips, residual discriminator (Karras et al. 2020,
arXiv:1912.04958).

A style s = A w (bias 1) scales the input channels i of a shared kernel w_ijk, j the output's channels, k the taps:

    w'_ijk = s_i w_ijk (eq. 1),    w''_ijk = w'_ijk / sqrt(sum_ik w'_ijk² + eps) (eq. 3)

A convolution is linear in both: so the style scales the channels of the input, one kernel serves the whole batch, and
the root scales the channels of the output. All weights are kept as N(0, 1) and multiplied by 1 / sqrt(fan in) in use
(equalised learning rate: arXiv:1710.10196, sec. 4.1). Up and down go by bilinear resizing, the filter [1, 3, 3, 1].
"""

from __future__ import annotations

import itertools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.conditions import Cond
from genjax.config import field
from genjax.errors import UserError
from genjax.nets.blocks import beside, vector

EPS = 1e-8  # the paper's, in every root


def leaky(x: jax.Array) -> jax.Array:
    """Leaky ReLU of slope 0.2, times sqrt 2 to keep the second moment near that of the input."""
    return math.sqrt(2.0) * nn.leaky_relu(x, 0.2)


def unit(x: jax.Array) -> jax.Array:
    """x [B, D] divided by its root mean square."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + EPS)


def resized(x: jax.Array, up: int = 1, down: int = 1) -> jax.Array:
    """[B, H, W, C] -> [B, H up / down, W up / down, C], low-passed by [1, 3, 3, 1] for a factor of 2."""
    b, h, w, c = x.shape
    return jax.image.resize(x, (b, h * up // down, w * up // down, c), "bilinear")


def convolved(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """[B, H, W, I] with a kernel [k, k, I, J] -> [B, H, W, J], zeros around."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def modulated(
    x: jax.Array, kernel: jax.Array, style: jax.Array, demodulate: bool = True, up: int = 1
) -> jax.Array:
    """x [B, H, W, I] with a kernel [k, k, I, J] whose input channels style [B, I] scales -> [B, up H, up W, J].

    Demodulated, every kernel of every example has the norm 1 (eq. 3): inputs of unit variance give such outputs.
    """
    y = convolved(
        resized(x * style[:, None, None, :], up) if up > 1 else x * style[:, None, None, :], kernel
    )
    if not demodulate:
        return y
    sigma2 = jnp.square(style) @ jnp.sum(jnp.square(kernel), (0, 1))  # eq. 2, [B, J]
    return y * jax.lax.rsqrt(sigma2 + EPS)[:, None, None, :]


def deviation(x: jax.Array, group: int) -> jax.Array:
    """The standard deviation among `group` neighbours in the batch, averaged over all else, as a map [B, H, W, 1].

    Minibatch standard deviation (arXiv:1710.10196, sec. 3).
    """
    if len(x) % group:
        raise UserError(
            f"StyleDiscriminator: --algorithm.disc.group={group} does not divide the {len(x)} examples that a device "
            "has: use one that divides --batch over the devices and --evaluate_batch, or 0."
        )
    std = jnp.sqrt(jnp.var(x.reshape(-1, group, *x.shape[1:]), 1) + EPS)
    each = jnp.repeat(jnp.mean(std, (1, 2, 3)), group)
    return jnp.broadcast_to(each[:, None, None, None], (*x.shape[:3], 1))


def _equalised(module: nn.Module, shape: tuple[int, ...], rate: float = 1.0) -> jax.Array:
    """The kernel to use: stored as N(0, 1 / rate²), in use rate / sqrt(fan in) of it, so it learns `rate` as fast."""
    kernel = module.param("kernel", nn.initializers.normal(1.0 / rate), shape)
    return kernel * (rate / math.sqrt(math.prod(shape[:-1])))


class EqualDense(nn.Module):
    """x W + b at equalised learning rate; `rate` multiplies it; bias None = no bias, else its first value."""

    width: int
    bias: float | None = 0.0
    rate: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = x @ _equalised(self, (x.shape[-1], self.width), self.rate)
        if self.bias is None:
            return y
        return y + self.rate * self.param(
            "bias", nn.initializers.constant(self.bias / self.rate), (self.width,)
        )


class EqualConv(nn.Module):
    """Convolution at equalised learning rate."""

    width: int
    size: int = 3
    bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = convolved(x, _equalised(self, (self.size, self.size, x.shape[-1], self.width)))
        return y + self.param("bias", nn.initializers.zeros, (self.width,)) if self.bias else y


class StyledConv(nn.Module):
    """leaky(modulated 3x3 convolution + strength * noise + bias); one noise value a pixel, for all channels."""

    width: int
    up: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array, noise: jax.Array | None) -> jax.Array:
        style = EqualDense(x.shape[-1], bias=1.0, name="style")(w)
        x = modulated(x, _equalised(self, (3, 3, x.shape[-1], self.width)), style, up=self.up)
        strength = self.param("noise", nn.initializers.zeros, ())
        if noise is not None:
            x = x + strength * noise.reshape(*x.shape[:3], 1)
        return leaky(x + self.param("bias", nn.initializers.zeros, (self.width,)))


class ToImage(nn.Module):
    """tRGB: a modulated 1x1 convolution to the image's channels, not demodulated."""

    channels: int

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array) -> jax.Array:
        style = EqualDense(x.shape[-1], bias=1.0, name="style")(w)
        y = modulated(
            x, _equalised(self, (1, 1, x.shape[-1], self.channels)), style, demodulate=False
        )
        return y + self.param("bias", nn.initializers.zeros, (self.channels,))


def base(net: str, flag: str, shape: tuple[int, ...], widths: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of the smallest maps, shape / 2^(levels - 1); raises UserError where there are none."""
    if len(shape) != 3:
        raise UserError(
            f"{net} needs images [H, W, C], got data of shape {tuple(shape)}: use GAN(), e.g. with MLPs."
        )
    if not widths or min(widths) < 1:
        raise UserError(
            f"{net}: --algorithm.{flag}.widths={widths} must be numbers of channels, e.g. (32, 64)."
        )
    h, w, unit = *shape[:2], 2 ** (len(widths) - 1)
    if h % unit or w % unit:
        most = (
            math.gcd(h, w) & -math.gcd(h, w)
        ).bit_length()  # halvings that leave whole pixels, and 1
        raise UserError(
            f"{net}: images of {h}x{w} cannot be halved {len(widths) - 1} times, once for each of "
            f"--algorithm.{flag}.widths={widths} but the first: use at most {most} widths."
        )
    return h // unit, w // unit


class StyleMapping(nn.Module):
    """(z [B, D], condition or None, out) -> w [B, *out]; z and the embedded label at unit second moment."""

    depth: int = field(4, "layers, the paper's is 8")
    width: int = field(128, "of the hidden layers")
    rate: float = field(0.01, "learning rate of this net as a share of that of the others")

    @nn.compact
    def __call__(self, z: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        if self.depth < 1 or self.width < 1 or self.rate <= 0:
            raise UserError(
                f"StyleMapping: depth={self.depth} and width={self.width} must be at least 1 and rate={self.rate} "
                "above 0, e.g. --algorithm.mapping.depth=4."
            )
        x = unit(z)
        label = vector("StyleMapping", cond)
        if label is not None:
            x = jnp.concatenate(
                [x, unit(EqualDense(z.shape[-1], bias=None, name="label")(label))], -1
            )
        for i in range(self.depth):
            last = i == self.depth - 1
            x = leaky(
                EqualDense(
                    math.prod(out) if last else self.width, rate=self.rate, name=f"layer_{i}"
                )(x)
            )
        return x.reshape(-1, *out)


class StyleSynthesis(nn.Module):
    """(w [B, layers, D], keys [B] of the noise or None for none, out = (H, W, C)) -> [B, *out].

    From a learned constant of H / 2^(levels - 1) pixels up; the image is the sum of what every level says of it. Level
    l (0 the coarsest) takes w number 2 l - 1 and 2 l for its convolutions (the coarsest has one: 0) and 2 l + 1 for its
    image, which is also the next level's first.
    """

    widths: tuple[int, ...] = field(
        (32, 64, 128), "channels of each level, from the largest size down"
    )

    @property
    def layers(self) -> int:
        """How many w the net takes."""
        return 2 * len(self.widths)

    @nn.compact
    def __call__(self, w: jax.Array, keys: jax.Array | None, out: tuple[int, ...]) -> jax.Array:
        size = base("StyleSynthesis", "synthesis", out, self.widths)
        start = self.param("constant", nn.initializers.normal(1.0), (*size, self.widths[-1]))

        pixels = [
            size[0] * size[1] * 4 ** ((i + 1) // 2) for i in range(self.layers - 1)
        ]  # of every convolution
        noise = [None] * len(pixels)
        if keys is not None:  # drawn at once: compiles and runs faster than layer by layer
            drawn = jax.vmap(lambda key: jax.random.normal(key, (sum(pixels),)))(keys)
            noise = jnp.split(drawn, list(itertools.accumulate(pixels[:-1])), -1)

        def styled(x, width, i, up=1):
            return StyledConv(width, up, name=f"conv_{i}")(x, w[:, i], noise[i])

        x = styled(jnp.broadcast_to(start, (len(w), *start.shape)), self.widths[-1], 0)
        image = ToImage(out[2], name="image_0")(x, w[:, 1])
        for level, width in enumerate(reversed(self.widths[:-1]), 1):
            x = styled(styled(x, width, 2 * level - 1, up=2), width, 2 * level)
            image = resized(image, up=2) + ToImage(out[2], name=f"image_{level}")(
                x, w[:, 2 * level + 1]
            )
        return image


class StyleDiscriminator(nn.Module):
    """(x [B, H, W, C], condition or None, out) -> [B, *out]: residual blocks, each halving the image.

    A label is embedded and projected on the last features (Miyato & Koyama 2018, arXiv:1802.05637, eq. 3). With
    `group`, examples are no longer judged one by one: `group` neighbours in the batch see each other's spread, so D(x)
    depends on the batch, and layouts agree only where the group divides what each device has.
    """

    widths: tuple[int, ...] = field(
        (32, 64, 128), "channels of each level, from the largest size down"
    )
    group: int = field(
        0, "examples whose minibatch standard deviation is a feature, 0 = none; it couples examples"
    )

    @nn.compact
    def __call__(self, x: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        base("StyleDiscriminator", "disc", x.shape[1:], self.widths)
        if self.group < 0:
            raise UserError(
                f"StyleDiscriminator: --algorithm.disc.group={self.group} must be at least 0, 0 = none."
            )
        x = leaky(EqualConv(self.widths[0], 1, name="from_image")(beside(x, cond)))
        for i, (width, wider) in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            skip = EqualConv(wider, 1, bias=False, name=f"skip_{i}")(resized(x, down=2))
            h = leaky(EqualConv(width, name=f"conv_{i}")(x))
            h = leaky(EqualConv(wider, name=f"down_{i}")(resized(h, down=2)))
            x = (h + skip) / math.sqrt(2.0)
        if self.group:  # parameters are drawn with a batch of one
            x = jnp.concatenate([x, deviation(x, 1 if self.is_initializing() else self.group)], -1)
        x = leaky(EqualConv(self.widths[-1], name="last")(x))
        h = leaky(EqualDense(self.widths[-1], name="features")(x.reshape(len(x), -1)))
        y = EqualDense(math.prod(out), name="out")(h)
        label = vector("StyleDiscriminator", cond)
        if label is not None:
            embedded = unit(EqualDense(h.shape[-1], bias=None, name="label")(label))
            y = y + jnp.sum(h * embedded, -1, keepdims=True) / math.sqrt(h.shape[-1])
        return y.reshape(-1, *out)
