"""Nets from pictures to pictures: ResNet and U-Net generators, and MUNIT's encoders and decoder, of the same parts.

All are called `net(x, cond, out)`; out = (H, W, C) are the pixels of the answer, in [-1, 1] through a tanh but for
`ResidualTranslator`, whose answer is the picture and what is added to it. H and W must divide by
patch * 2^(levels - 1). What the encoders see on the way is sown in the collection "features", from small strides to
large ones, which contrastive translation compares.

Two changes to the papers' nets make them quick on every processor: sizes change by folding pixels into channels and
back, where the papers have strides and transposed convolutions; and the borders are zeros, where they are reflections.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.conditions import Cond
from genjax.config import field
from genjax.errors import UserError
from genjax.nets.adain import adain, instance_norm
from genjax.nets.blocks import check_sizes, depth_to_space, space_to_depth, vector
from genjax.nets.gan import check_levels
from genjax.nets.norm import GroupNorm
from genjax.nets.thin import Conv

FEATURES = "features"  # the collection that maps are sown in
normal = nn.initializers.normal(0.02)  # of CycleGAN's kernels (arXiv:1703.10593, sec. 7.1)
# of nets without a norm, where 0.02 would let the signal fade
scaled = nn.initializers.he_normal()
# of what is added to a picture: not quite nothing, or no gradient would pass
slight = nn.initializers.normal(1e-3)


def _lrelu(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, 0.2)


class Down(nn.Module):
    """Pixels [B, H, W, C] -> maps [B, h, w, widths[-1]]: a convolution a level, each of half the size of the last."""

    widths: tuple[int, ...]
    patch: int
    norm: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # a norm makes good for any scale
        start = normal if self.norm else scaled
        h = space_to_depth(x, self.patch)
        for level, width in enumerate(self.widths):
            if level:
                # half the size, four times the channels
                h = space_to_depth(h, 2)
            h = Conv(width, start)(h)
            if self.norm:
                h = instance_norm(h)
            h = nn.relu(h)
            # nobody keeps it unless the collection is asked for
            self.sow(FEATURES, f"level_{level}", h)
        return h


class Residuals(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), several times; instance norm, or AdaIN where a style asks for it.

    `style` [B, 2 * blocks, 2, C]: for each convolution the means and the deviations of its channels.
    """

    blocks: int

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        style: jax.Array | None = None,
    ) -> jax.Array:
        width = x.shape[-1]
        for i in range(self.blocks):
            h = Conv(width, normal)(x)
            h = nn.relu(_styled(h, style, 2 * i))
            h = Conv(width, normal)(h)
            # no activation after the sum, as in the paper
            x = x + _styled(h, style, 2 * i + 1)
            self.sow(FEATURES, f"block_{i}", x)
        return x


def _styled(
    h: jax.Array,
    style: jax.Array | None,
    place: int,
) -> jax.Array:
    """The norm of one convolution's output."""
    if style is None:
        return instance_norm(h)
    mean = style[:, place, 0]
    deviation = style[:, place, 1]
    return adain(h, mean, deviation)


class Up(nn.Module):
    """Maps [B, h, w, C] -> pixels [B, H, W, channels] in [-1, 1]: twice the size at each level."""

    widths: tuple[int, ...]  # from the largest size down, as `Down` has them
    patch: int
    channels: int
    # instance norm would undo what AdaIN has set: MUNIT has a norm over all channels here
    instance: bool = True

    @nn.compact
    def __call__(self, h: jax.Array) -> jax.Array:
        # the smallest size is where we are
        larger = self.widths[-2::-1]
        for width in larger:
            h = Conv(4 * width, normal)(h)
            h = depth_to_space(h, 2)
            h = instance_norm(h) if self.instance else GroupNorm()(h)
            h = nn.relu(h)
        patches = Conv(self.patch**2 * self.channels, normal)(h)
        pixels = depth_to_space(patches, self.patch)
        return jnp.tanh(pixels)


class ResnetTranslator(nn.Module):
    """CycleGAN's generator: down, residual blocks at the smallest size, up (Johnson et al. 2016, arXiv:1603.08155)."""

    widths: tuple[int, ...] = field((32, 64), "channels of each level, from the largest size")
    blocks: int = field(4, "residual blocks at the smallest size")
    patch: int = field(1, "side of the patches that are folded into channels first [pixels]")

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        cond: Cond | None,
        out: tuple[int, ...],
    ) -> jax.Array:
        check("ResnetTranslator", self, x.shape[1:], blocks=self.blocks)
        # all of the thinking is done where maps are small
        h = Down(self.widths, self.patch)(x)
        h = Residuals(self.blocks)(h)
        return Up(self.widths, self.patch, out[-1])(h)


class UnetTranslator(nn.Module):
    """A U-Net: what is seen on the way down is laid beside what is made on the way up (arXiv:1505.04597)."""

    widths: tuple[int, ...] = field(
        (32, 64, 96), "channels of each level, from the largest size"
    )
    patch: int = field(1, "side of the patches that are folded into channels first [pixels]")

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        cond: Cond | None,
        out: tuple[int, ...],
    ) -> jax.Array:
        check("UnetTranslator", self, x.shape[1:])
        h = space_to_depth(x, self.patch)
        seen = []
        for level, width in enumerate(self.widths):
            if level:
                h = space_to_depth(h, 2)
            h = instance_norm(Conv(width, normal)(h))
            h = _lrelu(h)
            self.sow(FEATURES, f"level_{level}", h)
            # beside what comes up again at this size
            seen.append(h)
        # the smallest has nothing to be laid beside
        for beside in seen[-2::-1]:
            width = beside.shape[-1]
            h = depth_to_space(Conv(4 * width, normal)(h), 2)
            h = nn.relu(instance_norm(h))
            h = jnp.concatenate([h, beside], -1)
        patches = Conv(self.patch**2 * out[-1], normal)(h)
        pixels = depth_to_space(patches, self.patch)
        return jnp.tanh(pixels)


class ResidualTranslator(nn.Module):
    """x + f(x): a U-Net without norms says what is to be changed, and starts at nothing.

    An instance norm takes means and deviations out of a picture, and a generator that must keep its colours and its
    background has to smuggle them past the norms, which shows as speckles (Karras et al. 2020, arXiv:1912.04958,
    sec. 2). Here what is not to be changed passes by. The sum has no tanh, and samples are cut to [-1, 1].
    """

    widths: tuple[int, ...] = field((32, 64), "channels of each level, from the largest size")
    blocks: int = field(3, "residual blocks at the smallest size")
    patch: int = field(1, "side of the patches that are folded into channels first [pixels]")

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        cond: Cond | None,
        out: tuple[int, ...],
    ) -> jax.Array:
        return x + change(self, x, cond, out)


class ResidualChange(nn.Module):
    """f(x) of `ResidualTranslator` without the x, for who adds it: net(x, time, cond, out), which needs no time.

    It is told what is asked by a scale and a shift of every channel (FiLM: Perez et al. 2018, arXiv:1709.07871).
    """

    widths: tuple[int, ...] = field((32, 64), "channels of each level, from the largest size")
    blocks: int = field(3, "residual blocks at the smallest size")
    patch: int = field(1, "side of the patches that are folded into channels first [pixels]")

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        time: jax.Array,
        cond: Cond | None,
        out: tuple[int, ...],
    ) -> jax.Array:
        return change(self, x, cond, out)


def change(
    net: ResidualTranslator | ResidualChange,
    x: jax.Array,
    cond: Cond | None,
    out: tuple[int, ...],
) -> jax.Array:
    """What a net adds to a picture, in its own scope: slight at the start. UserError for sizes that do not fit."""
    check(type(net).__name__, net, x.shape[1:], blocks=net.blocks)
    check_channels(x.shape[1:], out)
    told = vector(type(net).__name__, cond)
    h = space_to_depth(x, net.patch)
    seen = []
    for level, width in enumerate(net.widths):
        if level:
            h = space_to_depth(h, 2)
        h = nn.relu(_told(Conv(width, scaled)(h), told))
        net.sow(FEATURES, f"level_{level}", h)
        seen.append(h)
    for i in range(net.blocks):
        inner = nn.relu(_told(Conv(h.shape[-1], scaled)(h), told))
        # each block starts as no change
        h = h + Conv(h.shape[-1], nn.initializers.zeros)(inner)
        net.sow(FEATURES, f"block_{i}", h)
    # the smallest has nothing to be laid beside
    for beside in seen[-2::-1]:
        width = beside.shape[-1]
        h = nn.relu(Conv(4 * width, scaled)(h))
        h = depth_to_space(h, 2)
        h = jnp.concatenate([h, beside], -1)
        h = nn.relu(_told(Conv(width, scaled)(h), told))
    patches = Conv(net.patch**2 * out[-1], slight)(h)
    return depth_to_space(patches, net.patch)


def _told(h: jax.Array, told: jax.Array | None) -> jax.Array:
    """Maps [B, h, w, C] with every channel scaled and shifted by what is told [B, D]; as they are where nothing is."""
    # a net that is told nothing has no weights for it
    if told is None:
        return h
    both = nn.Dense(2 * h.shape[-1])(told)
    scale, shift = jnp.split(both[:, None, None], 2, -1)
    return h * (1.0 + scale) + shift


class ContentEncoder(nn.Module):
    """Pixels -> maps of what is shown: instance norm takes away what a style says (MUNIT, arXiv:1804.04732, app. B)."""

    widths: tuple[int, ...] = field((32, 64), "channels of each level, from the largest size")
    blocks: int = field(2, "residual blocks at the smallest size")
    patch: int = field(1, "side of the patches that are folded into channels first [pixels]")

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        cond: Cond | None = None,
        out: tuple[int, ...] = (),
    ) -> jax.Array:
        check("ContentEncoder", self, x.shape[1:], blocks=self.blocks)
        # means and deviations are gone after every layer
        h = Down(self.widths, self.patch)(x)
        return Residuals(self.blocks)(h)


class StyleEncoder(nn.Module):
    """Pixels -> a style [B, *out]: without a norm, for what a norm takes away is what is asked (MUNIT, app. B)."""

    widths: tuple[int, ...] = field((32, 64), "channels of each level, from the largest size")
    patch: int = field(1, "side of the patches that are folded into channels first [pixels]")

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        cond: Cond | None,
        out: tuple[int, ...],
    ) -> jax.Array:
        check("StyleEncoder", self, x.shape[1:])
        h = Down(self.widths, self.patch, norm=False)(x)
        # of the whole picture: where something is, a style does not say
        whole = h.mean((1, 2))
        return nn.Dense(*out)(whole)


class ContentDecoder(nn.Module):
    """Maps -> pixels without a style: residual blocks, then up (UNIT, arXiv:1703.00848, app. A)."""

    widths: tuple[int, ...] = field((32, 64), "channels of each level, from the largest size")
    blocks: int = field(2, "residual blocks at the smallest size")
    patch: int = field(1, "side of the patches that are unfolded at the end [pixels]")

    @nn.compact
    def __call__(
        self,
        h: jax.Array,
        cond: Cond | None,
        out: tuple[int, ...],
    ) -> jax.Array:
        check("ContentDecoder", self, out, blocks=self.blocks)
        check_fit("ContentDecoder", self, h.shape[1:], out)
        h = Residuals(self.blocks)(h)
        return Up(self.widths, self.patch, out[-1])(h)


class AdainDecoder(nn.Module):
    """Content maps and a style [B, S] -> pixels: the style says means and deviations of the residual blocks' channels.

    `widths` and `patch` are those of the encoder.
    """

    widths: tuple[int, ...] = field((32, 64), "channels of each level, from the largest size")
    blocks: int = field(2, "residual blocks at the smallest size, with AdaIN")
    patch: int = field(1, "side of the patches that are unfolded at the end [pixels]")
    hidden: int = field(64, "width of the net that reads the style")

    @nn.compact
    def __call__(
        self,
        h: jax.Array,
        style: jax.Array,
        out: tuple[int, ...],
    ) -> jax.Array:
        check("AdainDecoder", self, out, blocks=self.blocks, hidden=self.hidden)
        check_fit("AdainDecoder", self, h.shape[1:], out)
        # two convolutions a block, a mean and a deviation for each channel
        width = h.shape[-1]
        norms = 2 * self.blocks
        # a style says the same of all places
        told = nn.relu(nn.Dense(self.hidden)(style))
        told = nn.relu(nn.Dense(self.hidden)(told))
        told = nn.Dense(norms * 2 * width)(told)
        asked = told.reshape(-1, norms, 2, width)
        # about deviation 1 and mean 0, where an instance norm would be
        about = jnp.array([0.0, 1.0])[:, None]
        h = Residuals(self.blocks)(h, asked + about)
        return Up(self.widths, self.patch, out[-1], instance=False)(h)


def check(name: str, net: nn.Module, shape: tuple[int, ...], **sizes: int) -> None:
    """Raises UserError for a net without levels, and for pictures that do not divide or end in a single pixel."""
    # 0, which is refused, where there are no widths
    narrowest = min(net.widths, default=0)
    check_sizes(name, widths=narrowest, patch=net.patch, **sizes)
    unit = net.patch * 2 ** (len(net.widths) - 1)
    check_levels(name, shape, unit)
    if min(shape[:2]) < 2 * unit:
        # the norm of a map of one pixel is 0, whatever the picture
        raise UserError(
            f"{name} makes maps of one pixel of pictures {tuple(shape)}: give it fewer widths or a smaller patch."
        )


def check_channels(shape: tuple[int, ...], out: tuple[int, ...]) -> None:
    """Raises UserError for pictures to which an answer cannot be added."""
    if shape[-1] != out[-1]:
        raise UserError(
            f"ResidualTranslator adds to its input, which has {shape[-1]} channels, and the answer has {out[-1]}: use "
            "ResnetTranslator or UnetTranslator."
        )


def check_fit(
    name: str,
    net: nn.Module,
    maps: tuple[int, ...],
    shape: tuple[int, ...],
) -> None:
    """Raises UserError for a decoder that makes pictures of another size than `shape` of an encoder's maps."""
    # what the encoder has folded, the decoder unfolds
    unit = net.patch * 2 ** (len(net.widths) - 1)
    made = tuple(unit * side for side in maps[:2])
    if made != tuple(shape[:2]):
        raise UserError(
            f"{name} makes pictures of {made[0]}x{made[1]} of maps of {maps[0]}x{maps[1]}, and the data have "
            f"{shape[0]}x{shape[1]}: give it as many widths, and the patch, of the encoder."
        )
