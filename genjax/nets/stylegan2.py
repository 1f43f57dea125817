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
    power = jnp.mean(jnp.square(x), -1, keepdims=True)  # [B, 1]
    return x * jax.lax.rsqrt(power + EPS)


def resized(x: jax.Array, up: int = 1, down: int = 1) -> jax.Array:
    """[B, H, W, C] -> [B, H up / down, W up / down, C], low-passed by [1, 3, 3, 1] for a factor of 2."""
    b, h, w, c = x.shape
    # bilinear resizing by 2 is this filter, in both directions: down, jax widens it against aliases
    new_h = h * up // down
    new_w = w * up // down
    return jax.image.resize(x, (b, new_h, new_w, c), "bilinear")


def convolved(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """[B, H, W, I] with a kernel [k, k, I, J] -> [B, H, W, J], zeros around."""
    axes = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=axes)


def modulated(
    x: jax.Array, kernel: jax.Array, style: jax.Array, demodulate: bool = True, up: int = 1
) -> jax.Array:
    """x [B, H, W, I] with a kernel [k, k, I, J] whose input channels style [B, I] scales -> [B, up H, up W, J].

    Demodulated, every kernel of every example has the norm 1 (eq. 3): inputs of unit variance give such outputs.
    """
    x = x * style[:, None, None, :]  # eq. 1, on the input instead of the kernel
    if up > 1:
        x = resized(x, up)
    y = convolved(x, kernel)
    if not demodulate:
        return y
    energy = jnp.sum(jnp.square(kernel), (0, 1))  # [I, J], over the taps
    sigma2 = jnp.square(style) @ energy  # eq. 2, [B, J]
    scale = jax.lax.rsqrt(sigma2 + EPS)
    return y * scale[:, None, None, :]


def deviation(x: jax.Array, group: int) -> jax.Array:
    """The standard deviation among `group` neighbours in the batch, averaged over all else, as a map [B, H, W, 1].

    Minibatch standard deviation (arXiv:1710.10196, sec. 3).
    """
    if len(x) % group:
        raise UserError(
            f"StyleDiscriminator: --algorithm.disc.group={group} does not divide the {len(x)} examples that a device "
            "has: use one that divides --batch over the devices and --evaluate_batch, or 0."
        )
    groups = x.reshape(-1, group, *x.shape[1:])  # [B / group, group, H, W, C]
    std = jnp.sqrt(jnp.var(groups, 1) + EPS)
    mean = jnp.mean(std, (1, 2, 3))  # [B / group]
    each = jnp.repeat(mean, group)  # [B]: neighbours have one value
    maps = each[:, None, None, None]
    shape = (*x.shape[:3], 1)
    return jnp.broadcast_to(maps, shape)


def _equalised(module: nn.Module, shape: tuple[int, ...], rate: float = 1.0) -> jax.Array:
    """The kernel to use: stored as N(0, 1 / rate²), in use rate / sqrt(fan in) of it, so it learns `rate` as fast."""
    kernel = module.param("kernel", nn.initializers.normal(1.0 / rate), shape)
    fan_in = math.prod(shape[:-1])
    return kernel * (rate / math.sqrt(fan_in))


class EqualDense(nn.Module):
    """x W + b at equalised learning rate; `rate` multiplies it; bias None = no bias, else its first value."""

    width: int
    bias: float | None = 0.0
    rate: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1], self.width)
        kernel = _equalised(self, shape, self.rate)
        y = x @ kernel  # [B, width]
        if self.bias is None:
            return y
        # kept at 1 / rate of its value, as the kernel is, so that it too learns `rate` as fast
        start = nn.initializers.constant(self.bias / self.rate)
        bias = self.param("bias", start, (self.width,))
        return y + self.rate * bias


class EqualConv(nn.Module):
    """Convolution at equalised learning rate."""

    width: int
    size: int = 3
    bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        shape = (self.size, self.size, channels, self.width)
        kernel = _equalised(self, shape)
        y = convolved(x, kernel)  # [B, H, W, width]
        if not self.bias:
            return y
        return y + self.param("bias", nn.initializers.zeros, (self.width,))


class StyledConv(nn.Module):
    """leaky(modulated 3x3 convolution + strength * noise + bias); one noise value a pixel, for all channels."""

    width: int
    up: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array, noise: jax.Array | None) -> jax.Array:
        style = EqualDense(x.shape[-1], bias=1.0, name="style")(w)
        shape = (3, 3, x.shape[-1], self.width)
        kernel = _equalised(self, shape)
        x = modulated(x, kernel, style, up=self.up)
        # a parameter without noise too: evaluation without noise has the same parameters
        strength = self.param("noise", nn.initializers.zeros, ())
        if noise is not None:
            maps = noise.reshape(*x.shape[:3], 1)  # [B, H, W, 1]
            x = x + strength * maps
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        return leaky(x + bias)


class ToImage(nn.Module):
    """tRGB: a modulated 1x1 convolution to the image's channels, not demodulated."""

    channels: int

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array) -> jax.Array:
        style = EqualDense(x.shape[-1], bias=1.0, name="style")(w)
        shape = (1, 1, x.shape[-1], self.channels)
        kernel = _equalised(self, shape)
        # the norm of a pixel's channels is what the image is made of, so it stays
        y = modulated(x, kernel, style, demodulate=False)
        bias = self.param("bias", nn.initializers.zeros, (self.channels,))
        return y + bias


def base(
    net: str, flag: str, shape: tuple[int, ...], widths: tuple[int, ...]
) -> tuple[int, int]:
    """Height and width of the smallest maps, shape / 2^(levels - 1); raises UserError where there are none."""
    if len(shape) != 3:
        raise UserError(
            f"{net} needs images [H, W, C], got data of shape {tuple(shape)}: use GAN(), e.g. with MLPs."
        )
    if not widths or min(widths) < 1:
        raise UserError(
            f"{net}: --algorithm.{flag}.widths={widths} must be numbers of channels, e.g. (32, 64)."
        )
    h, w = shape[:2]
    unit = 2 ** (len(widths) - 1)
    if h % unit or w % unit:
        common = math.gcd(h, w)
        power = common & -common  # the greatest power of two in both
        most = power.bit_length()  # halvings that leave whole pixels, and 1
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
            embed = EqualDense(z.shape[-1], bias=None, name="label")
            # of unit moment as z is, so that neither outweighs the other
            x = jnp.concatenate([x, unit(embed(label))], -1)
        hidden = [self.width] * (self.depth - 1)
        for i, width in enumerate((*hidden, math.prod(out))):
            x = EqualDense(width, rate=self.rate, name=f"layer_{i}")(x)
            x = leaky(x)  # after the last layer too, as in the authors' code
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
        widest = self.widths[-1]
        normal = nn.initializers.normal(1.0)
        start = self.param("constant", normal, (*size, widest))
        noise = self._noise(keys, size)

        def styled(x, width, i, up=1):
            conv = StyledConv(width, up, name=f"conv_{i}")
            return conv(x, w[:, i], noise[i])

        x = jnp.broadcast_to(start, (len(w), *start.shape))  # [B, h, w, widest]
        x = styled(x, widest, 0)
        image = ToImage(out[2], name="image_0")(x, w[:, 1])
        finer = reversed(self.widths[:-1])
        for level, width in enumerate(finer, 1):
            x = styled(x, width, 2 * level - 1, up=2)
            x = styled(x, width, 2 * level)
            larger = resized(image, up=2)
            # the image's style is shared with the next level's first convolution
            to_image = ToImage(out[2], name=f"image_{level}")
            last = w[:, 2 * level + 1]  # [B, D]
            image = larger + to_image(x, last)
        return image

    def _noise(self, keys: jax.Array | None, size: tuple[int, int]) -> list:
        """Normals [B, pixels] of every convolution, or None for each; `size`: of the smallest maps."""
        convolutions = range(self.layers - 1)
        if keys is None:
            return [None for _ in convolutions]
        smallest = size[0] * size[1]
        pixels = [
            smallest * 4 ** ((i + 1) // 2) for i in convolutions
        ]  # two a level but the first
        total = sum(pixels)

        def draw(key):
            return jax.random.normal(key, (total,))

        # drawn at once: compiles and runs faster than layer by layer
        drawn = jax.vmap(draw)(keys)  # [B, total]
        borders = list(itertools.accumulate(pixels[:-1]))
        return jnp.split(drawn, borders, -1)


class StyleDiscriminator(nn.Module):
    """(x [B, H, W, C], condition or None, out) -> [B, *out]: residual blocks, each halving the image.

    A label is embedded and projected on the last features (Miyato & Koyama 2018, arXiv:1802.05637, eq. 3). With
    `group`, examples are no longer judged one by one: `group` neighbours in the batch see each other's spread, so D(x)
    depends on the batch, and layouts agree only where the group divides what each device has. `gan.in_groups` keeps the
    neighbours together in microbatches.
    """

    widths: tuple[int, ...] = field(
        (32, 64, 128), "channels of each level, from the largest size down"
    )
    group: int = field(
        0,
        "examples whose minibatch standard deviation is a feature, 0 = none; it couples examples",
    )

    @property
    def coupled(self) -> int:
        """How many neighbours in a batch are judged together, 0 = each alone."""
        return self.group

    @nn.compact
    def __call__(self, x: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        base("StyleDiscriminator", "disc", x.shape[1:], self.widths)
        if self.group < 0:
            raise UserError(
                f"StyleDiscriminator: --algorithm.disc.group={self.group} must be at least 0, 0 = none."
            )
        x = EqualConv(self.widths[0], 1, name="from_image")(beside(x, cond))
        x = leaky(x)
        for i, (width, wider) in enumerate(itertools.pairwise(self.widths)):
            half = resized(x, down=2)
            skip = EqualConv(wider, 1, bias=False, name=f"skip_{i}")(half)
            h = EqualConv(width, name=f"conv_{i}")(x)
            h = resized(leaky(h), down=2)  # [B, H / 2, W / 2, width]
            h = EqualConv(wider, name=f"down_{i}")(h)
            x = (leaky(h) + skip) / math.sqrt(2.0)  # the sum of two has twice the variance
        if self.group:  # parameters are drawn with a batch of one
            group = 1 if self.is_initializing() else self.group
            x = jnp.concatenate([x, deviation(x, group)], -1)
        x = EqualConv(self.widths[-1], name="last")(x)
        flat = leaky(x).reshape(len(x), -1)
        h = EqualDense(self.widths[-1], name="features")(flat)
        h = leaky(h)  # [B, widths[-1]]
        y = EqualDense(math.prod(out), name="out")(h)
        label = vector("StyleDiscriminator", cond)
        if label is not None:
            embed = EqualDense(h.shape[-1], bias=None, name="label")
            embedded = unit(embed(label))
            agreement = jnp.sum(h * embedded, -1, keepdims=True)  # [B, 1]
            features = h.shape[-1]
            y = y + agreement / math.sqrt(features)
        return y.reshape(-1, *out)
