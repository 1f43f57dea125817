"""Latent spaces: images projected into them, directions found in them.

w* = argmin_w mean |make(w) - x|² + pull mean |w - mean|²     by Adam (Karras et al. 2020, arXiv:1912.04958, app. D)
A' A n = lambda n                                             (Shen & Zhou 2021, arXiv:2007.06600, eq. 5)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.config import field
from genjax.core import example_normal
from genjax.errors import UserError, at_least

Make = Callable[[jax.Array], jax.Array]  # w [B, ...] -> x [B, ...], example by example


@dataclasses.dataclass(frozen=True)
class Projector:
    """How an image is projected; the shares of the steps are those of StyleGAN2's projector."""

    steps: int = field(1000, "descents")
    lr: float = field(0.1, "peak learning rate of Adam")
    rise: float = field(0.05, "share of the steps in which the learning rate rises from 0")
    fall: float = field(0.25, "share of the steps in which it falls to 0 along a cosine")
    noise: float = field(
        0.0, "standard deviation of noise on w at the start; StyleGAN2: 0.05 of w's own"
    )
    quiet: float = field(0.75, "share of the steps after which there is none")
    pull: float = field(
        0.0, "weight of mean |w - mean|², which keeps w where the generator is at home"
    )

    def rate(self, i: jax.Array) -> jax.Array:
        """The learning rate at step i = 0, 1, …"""
        rising = max(self.rise * self.steps, 1.0)  # steps
        falling = max(self.fall * self.steps, 1.0)
        up = jnp.minimum(1.0, (i + 1) / rising)  # i + 1: a step at rate 0 would be lost
        down = jnp.minimum(1.0, (self.steps - i) / falling)
        cosine = 0.5 - 0.5 * jnp.cos(math.pi * down)
        return self.lr * up * cosine

    def level(self, i: jax.Array) -> jax.Array:
        """The noise's standard deviation at step i: noise t², t from 1 to 0."""
        noisy = max(self.quiet * self.steps, 1.0)  # steps
        t = jnp.maximum(0.0, 1.0 - i / noisy)  # 1 at the start, 0 from `quiet` on
        return self.noise * t**2


class Inverted(NamedTuple):
    """What `invert` found."""

    w: jax.Array  # [B, ...]
    loss: jax.Array  # [B], mean squared error + the pull, without noise


def errors(
    w: jax.Array,
    noise: jax.Array | float,
    make: Make,
    target: jax.Array,
    mean: jax.Array,
    pull: float,
):
    """mean |make(w + noise) - target|² + pull mean |w - mean|², example by example: [B]."""
    b = len(target)
    # per example, so that one that fits badly does not hurry the others
    miss = jnp.square(make(w + noise) - target)
    miss = miss.reshape(b, -1)
    away = jnp.square(w - mean)
    away = away.reshape(b, -1)
    return miss.mean(-1) + pull * away.mean(-1)


def step(
    key: jax.Array,
    i: jax.Array,
    w: jax.Array,
    opt: Any,
    target: jax.Array,
    mean: jax.Array,
    make: Make,
    cfg: Projector,
) -> tuple[jax.Array, Any, jax.Array]:
    """Descent number i of w [B, ...]: (w, opt, the loss [B] before it). No example sees another."""
    index = jnp.arange(len(w), dtype=jnp.uint32)
    now = jax.random.fold_in(key, i)
    level = cfg.level(i)
    noise = level * example_normal(now, index, w.shape[1:])

    def total(
        w,
    ):  # the sum, so that an example's gradient does not depend on how many there are
        loss = errors(w, noise, make, target, mean, cfg.pull)
        return jnp.sum(loss), loss

    gradient, loss = jax.grad(total, has_aux=True)(w)
    updates, opt = optax.adam(cfg.rate).update(gradient, opt)
    return optax.apply_updates(w, updates), opt, loss


def invert(
    key: jax.Array,
    make: Make,
    target: jax.Array,
    start: jax.Array,
    cfg: Projector = Projector(),
    mean: jax.Array | None = None,
    watch: Callable[[int, jax.Array], None] | None = None,
    compile: Callable[[Callable], Callable] = lambda f: f,
) -> Inverted:
    """Projects images `target` [B, ...] into the latent space of `make`, from `start` [B, ...], w or w+ or z.

    `make` must map examples one by one. `mean` (default: `start`) is where cfg.pull pulls to; watch(i, loss [B]) sees
    every step; `compile`, e.g. jax.jit, is applied to the step. Raises UserError, before anything is compiled, where
    `make` gives another size than the target's.
    """
    at_least(1, steps=cfg.steps)  # before anything is traced
    target = jnp.asarray(target)
    start = jnp.asarray(start)
    made = jax.eval_shape(make, start).shape
    if made != target.shape:
        raise UserError(
            f"the target is {target.shape} and make(start) is {made}: give as many images as codes, of the size that "
            "the generator makes."
        )
    mean = start if mean is None else jnp.broadcast_to(jnp.asarray(mean), start.shape)

    def descent(key, i, w, opt, target, mean):
        return step(key, i, w, opt, target, mean, make, cfg)

    def without_noise(w, target, mean):
        return errors(w, 0.0, make, target, mean, cfg.pull)

    # The arrays are arguments and not closed over: as constants they would be compiled in.
    descent = compile(descent)
    w = start
    opt = optax.adam(cfg.rate).init(start)
    # No scan: gradients of convolutions in a loop of XLA are slow on CPU.
    for i in range(cfg.steps):
        number = jnp.asarray(i, jnp.int32)  # an array, so that all steps share one program
        w, opt, loss = descent(key, number, w, opt, target, mean)
        if watch is not None:
            watch(i, loss)
    loss = compile(without_noise)(w, target, mean)
    return Inverted(w, loss)


def _axes(matrix: np.ndarray, k: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The k leading eigenvectors [k, W] and eigenvalues [k] of a positive symmetric matrix, largest first.

    The largest entry of each is positive, which settles its sign.
    """
    size = len(matrix)
    k = size if k is None else k  # None: all
    if not 1 <= k <= size:
        raise UserError(
            f"a latent space of {size} dimensions has 1 to {size} directions, not k={k}."
        )
    values, columns = np.linalg.eigh(matrix)  # smallest first
    values = values[::-1][:k]
    vectors = columns.T[::-1][:k]
    values = np.maximum(values, 0.0)  # rounding may leave a zero a little below
    place = np.abs(vectors).argmax(-1)
    largest = np.take_along_axis(vectors, place[:, None], -1)  # [k, 1]
    return vectors * np.sign(largest), values


def sefa(weight: np.ndarray, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Directions n [k, W] that change A w most, and eigenvalues |A n|² [k], largest first (SeFa, arXiv:2007.06600).

    weight [W, ...] is A' as linen keeps it (a Dense's kernel); several layers count together when concatenated along
    their last axis.
    """
    # float64: small eigenvalues are differences of large numbers
    a = np.asarray(weight, np.float64).reshape(len(weight), -1)
    return _axes(a @ a.T, k)


def pca(w: np.ndarray, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Principal directions [k, W] of codes w [N, W] and their standard deviations [k] (GANSpace, arXiv:2004.02546)."""
    # the covariance divides by N - 1
    if np.ndim(w) != 2 or len(w) < 2:
        raise UserError(f"pca needs at least two codes, [N, W], got an array of {np.shape(w)}.")
    w = np.asarray(w, np.float64)
    w = w - w.mean(0)
    covariance = w.T @ w / (len(w) - 1)  # [W, W]
    directions, variances = _axes(covariance, k)
    return directions, np.sqrt(variances)
