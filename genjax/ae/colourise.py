"""Colourisation: from a picture's light L to its colour ab, as a mean or as a distribution.

Zhang, Isola & Efros 2016 (arXiv:1603.08511). Many colours fit one grey, and the best answer in squared error is their
mean, which is greyer than any of them. `Classes` has the net say a distribution over bins of the ab plane instead,

    loss = -v(Z) sum_q Z_q log p_q,       Z: the five bins nearest to the colour, by a Gaussian of sigma 5       (2)
    v = w of the bin nearest to it,       w_q ∝ 1 / ((1 - u) p_q + u / Q),   sum_q p_q w_q = 1                  (3, 4)
    colour = sum_q f_T(p)_q c_q,          f_T(p) ∝ p^(1 / T)                                                   (5)

where p of (4) is how often the training data's pixels fall into each bin, smoothed by the same Gaussian. An algorithm
sees its data in training alone, so p is the mean over all that was seen so far, kept in the state: after one epoch it
is the training set's own, without a pass over the data before the first step. No exponential average: it would forget
for nothing, as the data do not change.

The net sees and says blocks of `fold` x `fold` pixels as one; the light of the answer is the given one, to the pixel.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import (
    LOSS,
    Algorithm,
    Batch,
    Memory,
    Parts,
    Spec,
    State,
    averaged,
    single,
)
from genjax.ema import Decay
from genjax.errors import above, at_least, at_most
from genjax.metrics.colour import auc, check_colour, colourfulness, mean_square, psnr
from genjax.nets import UNet
from genjax.nets.blocks import space_to_depth
from genjax.optim import Adam, Optimiser
from genjax.pictures import lab

STEP = 10.0  # side of a bin of the ab plane
UNIT = 40.0  # of ab, what the net's 1 stands for: about their spread
TIE = 4e-4  # added to a squared distance from one bin to the next [ab²]: far less than matters, more than rounding
SHADES = 256  # colours along each edge of the cube whose ab are looked up
Kept = dict[str, jax.Array]  # what a loss knows of the data that it has seen


@functools.cache
def bins() -> np.ndarray:
    """Centres [Q, 2] of the bins of the ab plane that are nearest to some sRGB colour, whatever its L: 261 of them.

    The six faces of the cube of colours suffice: of all colours of one ab the lightest lies on one of them. The paper
    keeps 313 and does not tell how it found them; more than these could never be the nearest to a colour.
    """
    shades = np.linspace(0.0, 1.0, SHADES, dtype=np.float32)
    first, second = np.meshgrid(shades, shades)
    pairs = np.stack([first, second], -1)
    pairs = pairs.reshape(-1, 2)
    faces = []
    for channel in range(3):
        for end in (0.0, 1.0):
            face = np.insert(pairs, channel, end, 1)
            faces.append(face)
    rgb = np.concatenate(faces)
    # numbers at once, also where the first to ask is being traced
    with jax.ensure_compile_time_eval():
        colours = np.asarray(lab.to_lab(rgb))
    ab = colours[:, 1:]
    numbers = np.rint(ab / STEP)
    # each once; whole numbers, so that none is there as 0 and as -0
    places = np.unique(numbers.astype(int), axis=0)
    centres = STEP * places
    return centres.astype(np.float32)


def distances(ab: jax.Array) -> jax.Array:
    """Squares of the distance of colours [..., 2] from each bin, [..., Q]."""
    colours = ab[..., None, :]
    offset = colours - bins()
    squares = jnp.square(offset)
    return jnp.sum(squares, -1)


@dataclasses.dataclass(frozen=True)
class SquaredError:
    """The colour itself, by squares of the error [ab²]: the best answer is the mean of what could be."""

    def check(self) -> None:
        """It has no settings."""

    def outputs(self) -> int:
        """Numbers that the net says of a block."""
        return 2

    def memory(self) -> Kept:
        """What is kept of the data: nothing."""
        return {}

    def update(self, extra: Kept, seen: Kept) -> Kept:
        """Nothing was kept and nothing is."""
        return extra

    def loss(
        self,
        said: jax.Array,
        ab: jax.Array,
        extra: Kept,
    ) -> tuple[jax.Array, Kept]:
        """(the loss [B], what is to be kept) of what is said [B, h, w, 2] of colours [B, h, w, 2]."""
        error = mean_square(self.colour(said), ab)
        return error, {}

    def colour(self, said: jax.Array) -> jax.Array:
        """ab [B, h, w, 2]."""
        return UNIT * said


@dataclasses.dataclass(frozen=True)
class Classes:
    """A distribution over bins of the ab plane, rare colours weighing more than frequent ones."""

    uniform: float = field(
        0.5,
        "u: share of an even distribution in what the weights are made of; 1 = none weigh more",
    )
    neighbours: int = field(5, "bins that a colour is shared out to")
    width: float = field(5.0, "sigma of the Gaussians [ab]")
    temperature: float = field(
        0.38, "T of the annealed mean: 1 = the mean, towards 0 the mode", execution=True
    )

    def check(self) -> None:
        """Raises UserError for settings without a meaning."""
        where = "Classes: "
        at_least(0, where, uniform=self.uniform)
        at_most(1, where, uniform=self.uniform)
        at_least(1, where, neighbours=self.neighbours)
        at_most(len(bins()), where, neighbours=self.neighbours)
        above(0, where, width=self.width, temperature=self.temperature)

    def outputs(self) -> int:
        """Numbers that the net says of a block: Q logits."""
        return len(bins())

    def memory(self) -> Kept:
        """How often each bin was seen, [Q], and in how many steps."""
        q = len(bins())
        return {
            "share": jnp.full(q, 1.0 / q),
            "steps": jnp.zeros(()),
        }

    def update(self, extra: Kept, seen: Kept) -> Kept:
        """The mean over all steps so far: the first replaces the even distribution."""
        steps = extra["steps"] + 1.0
        before = extra["share"]
        change = seen["share"] - before
        return {
            "share": before + change / steps,
            "steps": steps,
        }

    def weights(self, share: jax.Array) -> jax.Array:
        """w [Q], eq. 4, of how often each bin was seen [Q]."""
        smooth = self.smoothed(share)
        own = 1.0 - self.uniform
        even = self.uniform / len(share)
        mixed = own * smooth + even
        # without the even part a bin that was never seen would weigh without end
        some = jnp.maximum(mixed, 1e-8)
        raw = 1.0 / some
        mean = jnp.sum(smooth * raw)
        return raw / mean

    def smoothed(self, share: jax.Array) -> jax.Array:
        """A distribution [Q] through the Gaussian, each bin's share handed out to all."""
        centres = jnp.asarray(bins())
        squares = distances(centres)  # [Q, Q]
        kernel = self._gaussian(squares)
        handed = kernel / kernel.sum(1, keepdims=True)
        return share @ handed

    def _gaussian(self, squares: jax.Array) -> jax.Array:
        variance = self.width**2
        exponent = -0.5 * squares / variance
        return jnp.exp(exponent)

    def encoded(self, ab: jax.Array) -> jax.Array:
        """Z of eq. 2, [..., Q], of colours [..., 2]: shares of the nearest bins, which sum to 1."""
        squares = distances(ab)
        nearest = jnp.min(squares, -1, keepdims=True)
        chosen = self._nearest(squares)
        # less the nearest: far from every bin all would round to 0
        weight = self._gaussian(squares - nearest)
        weight = jnp.where(chosen, weight, 0.0)
        total = weight.sum(-1, keepdims=True)
        return weight / total

    def _nearest(self, squares: jax.Array) -> jax.Array:
        """Which bins are among the nearest, [..., Q] of squares [..., Q]: as many as `neighbours`.

        One minimum after the other: top_k sorts all bins of every pixel, and takes twenty times as long on a CPU.
        """
        # grey is as far from four bins: the first of equals is the nearest
        order = TIE * jnp.arange(squares.shape[-1])
        ranked = squares + order
        left = ranked
        for _ in range(self.neighbours - 1):
            least = jnp.min(left, -1, keepdims=True)
            left = jnp.where(left <= least, jnp.inf, left)
        last = jnp.min(left, -1, keepdims=True)
        return ranked <= last

    def loss(
        self,
        said: jax.Array,
        ab: jax.Array,
        extra: Kept,
    ) -> tuple[jax.Array, Kept]:
        """(the loss [B], what is to be kept) of logits [B, h, w, Q] of colours [B, h, w, 2]."""
        log_p = jax.nn.log_softmax(said)
        nats = -jnp.sum(self.encoded(ab) * log_p, -1)  # [B, h, w]
        nearest = jnp.argmin(distances(ab), -1)
        weights = self.weights(extra["share"])
        heavy = weights[nearest] * nats
        one_hot = jax.nn.one_hot(nearest, len(weights))
        seen = jnp.mean(one_hot, (1, 2))  # [B, Q]
        error = jnp.mean(heavy, (1, 2))
        return error, {"share": seen}

    def colour(self, said: jax.Array) -> jax.Array:
        """ab [B, h, w, 2]: the annealed mean of eq. 5."""
        logits = said / self.temperature
        p = jax.nn.softmax(logits)
        centres = jnp.asarray(bins())
        return p @ centres


@dataclasses.dataclass(frozen=True)
class Colouring:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    by: SquaredError | Classes = field(Classes(), "what the net says of a colour, and its loss")
    net: nn.Module = field(
        UNet((64, 128), blocks=1, patch=1, attention=()), "net(light, 1, None, shape)"
    )
    fold: int = field(2, "side of the block of pixels that has one colour [pixels]")
    optimiser: Optimiser = field(Adam(), "of the net")
    ema: Decay = field(Decay(0.0), "average of the weights that evaluation uses")

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def seen_by(light: jax.Array, cfg: Colouring) -> tuple:
    """What the net is called with for light L [B, H, W, 1]: its input, clock, condition, shape of the answer."""
    signed = light / 50.0 - 1.0  # about 0, of range 2
    blocks = space_to_depth(signed, cfg.fold)
    _, height, width, _ = blocks.shape
    # nets of this library have a clock: of what has no time it stands still
    still = jnp.ones(len(light))
    out = (height, width, cfg.by.outputs())
    return blocks, still, None, out


def answer(params: dict, light: jax.Array, cfg: Colouring) -> jax.Array:
    """What the net says [B, h, w, outputs] of light L [B, H, W, 1]."""
    variables = {"params": params["net"]}
    return cfg.net.apply(variables, *seen_by(light, cfg))


def loss(
    params: dict,
    extra: Kept,
    batch: Batch,
    cfg: Colouring,
    spec: Spec,
) -> tuple[Parts, Kept]:
    """(the training loss [B], what of the colours is to be kept)."""
    pictures = spec.unit(batch)
    light, ab = lab.apart(pictures, cfg.fold)
    said = answer(params, light, cfg)
    value, seen = cfg.by.loss(said, ab, extra)
    return {"loss": value}, seen


def evaluate(
    params: dict,
    extra: Kept,
    batch: Batch,
    cfg: Colouring,
    spec: Spec,
) -> Parts:
    """The loss, and of the finished pictures PSNR of ab [dB], AuC and colourfulness, each [B]."""
    clean = spec.unit(batch)
    light, ab = lab.apart(clean, cfg.fold)
    said = answer(params, light, cfg)
    value, _ = cfg.by.loss(said, ab, extra)
    colour = cfg.by.colour(said)
    painted = lab.together(light, colour)
    # of every pixel, as it is seen: blocks and the gamut are a part of the error
    _, found = lab.apart(painted)
    _, truth = lab.apart(clean)
    return {
        "loss": value,
        "psnr_ab": psnr(found, truth),
        "auc": auc(found, truth),
        "colourfulness": colourfulness(painted),
    }


def sample(params: dict, given: Batch, cfg: Colouring, spec: Spec) -> dict[str, jax.Array]:
    """The light of held-out pictures, and the one colouring that the net has for it, [B, 1, H, W, 3]."""
    pictures = spec.unit(given)
    light, _ = lab.apart(pictures)
    said = answer(params, light, cfg)
    colour = cfg.by.colour(said)
    painted = lab.together(light, colour)
    return {
        "input": lab.grey(light),
        "coloured": painted[:, None],
    }


def algorithm(cfg: Colouring, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for data without colour."""
    check_colour("Colouring", spec, cfg.fold)
    cfg.by.check()

    def init_params(key, batch):
        pictures = spec.unit(batch)
        light, _ = lab.apart(pictures)
        variables = cfg.net.init(key, *seen_by(light, cfg))
        return {"net": variables["params"]}

    def error_loss(params, extra, key, batch, step):
        return loss(params, extra, batch, cfg, spec)

    def begin(key, batch):
        return cfg.by.memory()

    memory = Memory(begin, cfg.by.update)
    init, step = single(
        init_params,
        error_loss,
        cfg.optimiser(spec.steps),
        cfg.ema,
        spec.microbatches,
        memory,
    )

    # what follows sees the averaged weights, where there are any
    def measured(key: jax.Array, state: State, batch: Batch) -> Parts:
        return evaluate(averaged(state), state.extra, batch, cfg, spec)

    # one answer for a picture: there is nothing to draw by a key
    def sampled(key: jax.Array, state: State, given: Batch) -> dict[str, jax.Array]:
        return sample(averaged(state), given, cfg, spec)

    def drawn(samples: Any, given: Batch) -> np.ndarray:
        truth = spec.unit(given)
        return lab.rows(samples, truth)

    return Algorithm(
        init,
        step,
        measured,
        sampled,
        asks=(spec.main,),
        picture=drawn,
        criterion=LOSS,
    )
