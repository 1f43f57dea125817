"""Nets of talking heads (Zakharov et al. 2019, arXiv:1905.08233, sec. 3.1): embedder, generator, discriminator.

    e = E(x, y)                  what a frame x with its drawing y says of a person                       `Embedder`
    x^ = G(y, s)                 a drawing as a picture, in the style s of a person               `TalkingGenerator`
    V(x, y)                      what a critic weighs by what it knows of the person          `TalkingDiscriminator`

s has the mean and the deviation of every channel that AdaIN sets; who makes it of e is the algorithm, which lets it go
free when a person is fitted. `TalkingDenoiser` makes of any denoiser one that is told frames and drawings.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.conditions import Cond
from genjax.config import field
from genjax.nets.adain import adain
from genjax.nets.blocks import depth_to_space, space_to_depth
from genjax.nets.translators import Down, Residuals, check, normal, scaled
from genjax.nets.unet import UNet


class Embedder(nn.Module):
    """(frame [B, H, W, C], drawing [B, H, W, D]) -> [B, size]: without a norm, which would take colours away."""

    widths: tuple[int, ...] = field((32, 64, 96), "channels of each level, from the largest")
    patch: int = field(2, "side of the patches that are folded into channels first [pixels]")
    size: int = field(128, "numbers of an embedding")

    @nn.compact
    def __call__(
        self,
        frame: jax.Array,
        drawing: jax.Array,
    ) -> jax.Array:
        check("Embedder", self, frame.shape[1:], size=self.size)
        # the drawing tells what is pose, so that e need not
        both = jnp.concatenate([frame, drawing], -1)
        *_, last = levels(both, self.widths, self.patch)
        # where in the picture something is tells hair from skin: no mean over places
        flat = last.reshape(len(last), -1)
        return nn.Dense(self.size)(flat)


class TalkingGenerator(nn.Module):
    """(drawing [B, H, W, D], style [B, styles]) -> pixels [B, *out] in [-1, 1]; all norms on the way up are AdaIN."""

    widths: tuple[int, ...] = field((48, 96), "channels of each level, from the largest")
    blocks: int = field(3, "residual blocks at the smallest size")
    patch: int = field(2, "side of the patches that are folded into channels first [pixels]")

    @property
    def styles(self) -> int:
        """How many means and deviations a style has."""
        # two convolutions a block
        in_blocks = 2 * self.blocks * self.widths[-1]
        on_the_way = sum(self.widths[:-1])
        # a mean and a deviation of each channel
        return 2 * (in_blocks + on_the_way)

    @nn.compact
    def __call__(
        self,
        drawing: jax.Array,
        style: jax.Array,
        out: tuple[int, ...],
    ) -> jax.Array:
        check("TalkingGenerator", self, out, blocks=self.blocks)
        # a drawing is the same whoever is shown: an instance norm takes nothing away
        h = Down(self.widths, self.patch)(drawing)
        # the first numbers are those of the blocks
        used = 4 * self.blocks * self.widths[-1]
        # [B, convolution, mean or deviation, channel]
        of_blocks = style[:, :used].reshape(len(h), 2 * self.blocks, 2, -1)
        h = Residuals(self.blocks)(h, about(of_blocks, 2))
        # the smallest size is where we are
        for width in self.widths[-2::-1]:
            # four times the channels, for twice the height and the width
            h = depth_to_space(nn.Conv(4 * width, (3, 3), kernel_init=scaled)(h), 2)
            own = style[:, used : used + 2 * width].reshape(len(h), 2, width)
            used += 2 * width
            asked = about(own, 1)
            h = nn.relu(adain(h, asked[:, 0], asked[:, 1]))
        patches = nn.Conv(self.patch**2 * out[-1], (3, 3), kernel_init=normal)(h)
        return jnp.tanh(depth_to_space(patches, self.patch))


def about(
    style: jax.Array,
    axis: int,
) -> jax.Array:
    """Means about 0 and deviations about 1, where an instance norm would be; they lie along an axis of two."""
    shape = [1] * style.ndim
    shape[axis] = 2
    # so that a style of zeros asks for a plain instance norm
    return style + jnp.array([0.0, 1.0]).reshape(shape)


class TalkingDiscriminator(nn.Module):
    """(frame, drawing) [B, H, W, ...] -> (V(x, y) [B, size], what each layer sees, which features are matched by)."""

    widths: tuple[int, ...] = field((48, 96, 96), "channels of each level, from the largest")
    patch: int = field(2, "side of the patches that are folded into channels first [pixels]")
    # the rows of people are embeddings, and V is weighed by them
    size: int = field(128, "numbers of an answer, as of an embedding")

    @nn.compact
    def __call__(
        self,
        frame: jax.Array,
        drawing: jax.Array,
    ) -> tuple[jax.Array, list[jax.Array]]:
        check("TalkingDiscriminator", self, frame.shape[1:], size=self.size)
        both = jnp.concatenate([frame, drawing], -1)
        seen = levels(both, self.widths, self.patch)
        # places kept apart, as in the embedder
        whole = seen[-1].reshape(len(frame), -1)
        return nn.Dense(self.size)(whole), seen


def levels(
    x: jax.Array,
    widths: tuple[int, ...],
    patch: int,
) -> list[jax.Array]:
    """The maps of a convolution a level, each of half the size of the last, without norms; within a module."""
    h = space_to_depth(x, patch)
    seen = []
    for level, width in enumerate(widths):
        if level:
            # half the size, nothing thrown away
            h = space_to_depth(h, 2)
        # leaky: without a norm some would fall silent for ever
        h = nn.leaky_relu(nn.Conv(width, (3, 3), kernel_init=scaled)(h), 0.2)
        seen.append(h)
    return seen


class TalkingDenoiser(nn.Module):
    """A denoiser that is told a drawing, then K frames and their drawings, one beside the other as maps.

    Frames have the channels of the picture and drawings as many; an embedder makes a vector of each frame, and the net
    inside is told their mean and the drawing. K may be another when samples are drawn. Told a vector, it takes that as
    the mean, and all maps as the drawing.
    """

    net: nn.Module = field(
        UNet((48, 96), blocks=1, patch=2, attention=()), "net(x, time, cond, out) inside"
    )
    embed: nn.Module = field(Embedder(), "a frame and its drawing -> a vector")

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        time: jax.Array,
        cond: Cond,
        out: tuple[int, ...],
    ) -> jax.Array:
        # said already: a sampler need not embed the same frames at every step
        mean, drawing = cond.vector, cond.maps
        if mean is None:
            drawing, shots, drawings = divided(cond.maps, out[-1])
            mean = self.known(shots, drawings)
        told = Cond(vector=mean, maps=drawing)
        return self.net(x, time, told, out)

    def known(
        self,
        shots: jax.Array,
        drawings: jax.Array,
    ) -> jax.Array:
        """The mean over K frames [B, K, H, W, C] of what the embedder says, [B, size]."""
        people, k = shots.shape[:2]

        def flat(frames: jax.Array) -> jax.Array:
            return frames.reshape(people * k, *frames.shape[2:])

        each = self.embed(flat(shots), flat(drawings))
        return each.reshape(people, k, -1).mean(1)


def divided(
    maps: jax.Array,
    channels: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Maps [B, H, W, (1 + 2 K) C]: the drawing [B, H, W, C], then K frames and K drawings, [B, K, H, W, C] each."""
    drawing = maps[..., :channels]
    rest = maps[..., channels:]
    # frames and drawings are as many
    k = rest.shape[-1] // (2 * channels)
    # all frames lie before all drawings
    parts = rest.reshape(*rest.shape[:3], 2, k, channels)
    # [B, H, W, 2, K, C] -> [2, B, K, H, W, C]
    shots, drawings = jnp.moveaxis(parts, (3, 4), (0, 2))
    return drawing, shots, drawings
