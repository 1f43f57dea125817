"""R3GAN's generator and discriminator (Huang et al. 2024, arXiv:2501.05441, sec. 4): ResNets of today without a norm.

A block adds conv1x1(lrelu(conv3x3(lrelu(conv1x1(x))))) to x, an inverted bottleneck; without norms depth is held in
check by Fixup (arXiv:1901.09321): the last kernel of a block starts at zero, the others are smaller by L^(-1/4), L the
number of blocks. The generator starts from a learned picture that z scales channel by channel; the discriminator ends
with a learned weight for every pixel of its last maps. Sizes change by bilinear resampling.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.conditions import Cond
from genjax.config import field
from genjax.nets.blocks import beside, check_sizes, depth_to_space, join, space_to_depth
from genjax.nets.gan import check_levels, projection

GAIN = (2.0 / (1.0 + 0.2**2)) ** 0.5  # keeps the variance through a leaky ReLU of slope 0.2


def _lrelu(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, 0.2)


def _init(scale: float) -> nn.initializers.Initializer:
    """Normal with variance scale² / fan-in; 0 = zeros."""
    if not scale:  # nothing to draw
        return nn.initializers.zeros
    return nn.initializers.variance_scaling(scale**2, "fan_in", "normal")


def _mix(width: int, scale: float = 1.0) -> nn.Conv:
    """A 1x1 convolution without bias: each pixel's channels mixed."""
    return nn.Conv(width, (1, 1), use_bias=False, kernel_init=_init(scale))


class Block(nn.Module):
    """x [B, H, W, C] -> the same, a residual bottleneck; `total`: blocks in the net."""

    total: int
    expansion: int
    group: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        # Fixup's L^(-1 / (2 m - 2)) for the m = 3 layers of a branch
        start = _init(GAIN * self.total**-0.25)
        inner = self.expansion * width
        groups = inner // self.group if self.group else 1
        h = nn.Conv(inner, (1, 1), kernel_init=start)(x)
        h = _lrelu(h)
        h = nn.Conv(inner, (3, 3), feature_group_count=groups, kernel_init=start)(h)
        h = _lrelu(h)
        last = _mix(width, 0.0)  # zeros: a block starts as the identity
        return x + last(h)


def resized(x: jax.Array, h: int, w: int) -> jax.Array:
    """Bilinear resampling of [B, H, W, C], with a filter wide enough when it shrinks."""
    b, _, _, c = x.shape
    return jax.image.resize(x, (b, h, w, c), "bilinear")


class R3Generator(nn.Module):
    """z [B, D] and label -> [B, *out]; linear at the end, as in the paper."""

    widths: tuple[int, ...] = field(
        (64, 128), "channels of each level, from the largest size down"
    )
    blocks: int = field(1, "residual blocks a level")
    patch: int = field(1, "side of the patch unfolded at the end [pixels]")
    expansion: int = field(2, "inner width of a block, in widths")
    group: int = field(
        0, "channels of a group of the 3x3 convolution, 0 = one group; groups are slow on CPU"
    )

    @nn.compact
    def __call__(self, z: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        _check("R3Generator", self, out)
        levels = len(self.widths)
        total = self.blocks * levels
        unit = self.patch * 2 ** (levels - 1)  # pixels of the smallest map's pixel
        h = out[0] // unit
        w = out[1] // unit
        square = jnp.square(z)
        power = jnp.mean(square, -1, keepdims=True)
        z = z * jax.lax.rsqrt(power + 1e-6)
        widest = self.widths[-1]
        normal = nn.initializers.normal(1.0)
        basis = self.param("basis", normal, (h, w, widest))
        told = join(z, cond)  # [B, D]
        style = nn.Dense(widest, use_bias=False, kernel_init=_init(1.0))(told)
        x = basis * style[:, None, None]  # [B, h, w, widest]
        from_small = reversed(list(enumerate(self.widths)))
        for level, width in from_small:
            if level < levels - 1:
                h, w = 2 * h, 2 * w
                # narrowed while the maps are small: the two linear maps may change places
                x = _mix(width)(x)
                x = resized(x, h, w)
            for _ in range(self.blocks):
                x = Block(total, self.expansion, self.group)(x)
        channels = self.patch**2 * out[2]
        patches = nn.Conv(channels, (1, 1), kernel_init=_init(1.0))(x)
        return depth_to_space(patches, self.patch)  # [B, *out]


class R3Discriminator(nn.Module):
    """Pixels [B, H, W, C] and label -> [B, 1]; the label by projection."""

    widths: tuple[int, ...] = field(
        (64, 128), "channels of each level, from the largest size down"
    )
    blocks: int = field(1, "residual blocks a level")
    patch: int = field(1, "side of the patch folded into channels first [pixels]")
    expansion: int = field(2, "inner width of a block, in widths")
    group: int = field(
        0, "channels of a group of the 3x3 convolution, 0 = one group; groups are slow on CPU"
    )

    @nn.compact
    def __call__(self, x: jax.Array, cond: Cond | None, out: tuple[int, ...]) -> jax.Array:
        _check("R3Discriminator", self, x.shape[1:])
        blocks = self.blocks * len(self.widths)
        x = beside(x, cond)
        x = space_to_depth(x, self.patch)  # [B, H / patch, W / patch, patch² C]
        x = nn.Conv(self.widths[0], (1, 1), kernel_init=_init(1.0))(x)
        for level, width in enumerate(self.widths):
            if level:  # smaller first, then wider: the convolution sees a quarter of the pixels
                _, h, w, _ = x.shape
                x = resized(x, h // 2, w // 2)
                x = _mix(width)(x)
            for _ in range(self.blocks):
                x = Block(blocks, self.expansion, self.group)(x)
        _, h, w, width = x.shape
        normal = nn.initializers.normal(1.0)
        weight = self.param("basis", normal, (h, w, width))
        weighted = x * weight
        total = jnp.sum(weighted, (1, 2))
        # the root keeps the variance: a sum of independent terms, not a mean
        features = total / (h * w) ** 0.5  # [B, width]
        # made in this order: parameters are named by it
        score = nn.Dense(*out, use_bias=False, kernel_init=_init(1.0))
        embed = nn.Dense(width, use_bias=False, kernel_init=_init(width**-0.5))
        return projection("R3Discriminator", features, cond, score, embed)


def _check(name: str, net: nn.Module, shape: tuple[int, ...]) -> None:
    names = ("blocks", "patch", "expansion")
    sizes = {size: getattr(net, size) for size in names}
    narrowest = min(net.widths, default=0)  # 0, which is refused, where there are no widths
    check_sizes(name, widths=narrowest, **sizes)
    halvings = len(net.widths) - 1
    check_levels(name, shape, net.patch * 2**halvings)
