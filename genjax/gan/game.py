"""The game measured: how far D is from optimal, how far the pair is from an equilibrium, how D scores what it sees.

    D*(x) = game.optimal(log p(x) - log q(x))           p the data's density, q the generator's
    V(G, D) = -E disc(D(x), D(G(z)))                    what D maximises, without penalties
    gap = max_D' V(G, D') - min_G' V(G', D) >= 0        0 at an equilibrium (Grnarova et al. 2019, arXiv:1811.05512)

Everything is of the pair as it plays: the generator's weights of now, not their average. Drivers run a Python loop and
take `compile`, e.g. jax.jit, for the functions that they call many times.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import told
from genjax.core import Batch, Spec, State, descend
from genjax.core import size as count
from genjax.data.toy import Gaussians, log_prob
from genjax.errors import UserError, at_least
from genjax.gan.density import fitted_density
from genjax.gan.games import Game
from genjax.gan.gan import GAN, disc_loss, discriminate, generate, latents, remembered
from genjax.optim import Adam, CosineDecay, Optimiser

Compile = Callable[[Callable], Callable]


class Distance(NamedTuple):
    """How far D is from the optimal discriminator."""

    mean: float  # mean |D - D*|; nan where no point is kept
    kept: float  # share of the points where both densities are above the floor
    shift: float  # what was subtracted from D - D* first, its median, if the game leaves a constant free; else 0
    bandwidth: float  # of the kernel density of the generator


class Player(NamedTuple):
    """A copy of one player on its way to its best response."""

    params: Any
    opt: Any
    memory: Any  # the vectors of D's spectral norms; {} for G


class Gap(NamedTuple):
    """An estimate of the duality gap on held-out data, in units of the discriminator's loss."""

    gap: float  # disc - gen
    error: float  # standard error of the gap over the held-out examples
    value: float  # V(G, D)
    disc: float  # V(G, D'), D' the best response to G
    gen: float  # V(G', D), G' the best response to D


class Outputs(NamedTuple):
    """D's outputs, one number an example."""

    train: np.ndarray  # [N]
    held: np.ndarray  # [M], on held-out data
    samples: np.ndarray  # [M]
    overfitting: float  # share of (train, held-out) pairs in which the training example scores higher; 1/2 = none
    # Mean sigmoid(D) of the three where D is log odds; all 1/2 at equilibrium.
    odds: tuple[float, float, float] | None


def drawn(rng: np.random.Generator, data: Batch, size: int) -> Batch:
    """`size` examples drawn with replacement; "index" is the place in the batch, so that each has its own noise."""
    rows = rng.integers(count(data), size=size)
    batch = {name: np.asarray(values)[rows] for name, values in data.items()}
    batch["index"] = np.arange(size, dtype=np.uint32)
    return batch


def joined(run: Callable[[Batch], Any], data: Batch, size: int) -> Any:
    """run(batch) over a split {name: [N, ...]} in its order, `size` at a time: a tree of numpy arrays [N, ...]."""
    n = count(data)
    results = []
    for first in range(0, n, size):
        last = min(first + size, n)
        part = {}
        for name, values in data.items():
            part[name] = values[first:last]
        # The place in the whole split, so that the noise does not depend on `size`.
        part["index"] = np.arange(first, last, dtype=np.uint32)
        results.append(run(part))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *results)


def scores(
    key: jax.Array, gen: Any, disc: Any, memory: Any, batch: Batch, cfg: GAN, spec: Spec
):
    """(D(x), D(G(z))), each [B], without augmentation; z number i is a function of (key, batch["index"][i])."""
    cond = told(cfg.condition, batch, spec)
    z = latents(key, batch["index"], cfg.latent)
    sampled = generate(gen, z, cond, cfg, spec)
    x = spec.encode(batch)
    real = discriminate(disc, memory, x, cond, cfg)
    fake = discriminate(disc, memory, sampled, cond, cfg)
    return real, fake


def value(
    key: jax.Array,
    gen: Any,
    disc: Any,
    memory: Any,
    batch: Batch,
    cfg: GAN,
    spec: Spec,
) -> jax.Array:
    """V(G, D) [B], minus the discriminator's loss: D wants it large and, in the zero-sum game, G small."""
    real, fake = scores(key, gen, disc, memory, batch, cfg, spec)
    return -cfg.game.disc(real, fake)


def best_disc(
    key: jax.Array,
    mine: Player,
    gen: Any,
    augment: Any,
    batch: Batch,
    cfg: GAN,
    spec: Spec,
    tx: Any,
) -> Player:
    """One descent of D alone against G as it is, as in training: penalties, clipped weights, augmentation."""
    # The penalties are due at every step here, so none counts many times.
    each = dataclasses.replace(cfg, every=1)
    extra = {"disc": mine.memory, "augment": augment}

    def mean_loss(disc, batch):
        parts = disc_loss(disc, gen, extra, key, batch, each, spec)
        return jnp.mean(parts["loss"]), {}

    disc, opt, _ = descend(mean_loss, tx, mine.params, mine.opt, batch)
    if cfg.weight_clip is not None:  # WGAN's way to keep D Lipschitz
        disc = jax.tree.map(lambda w: jnp.clip(w, -cfg.weight_clip, cfg.weight_clip), disc)
    x = spec.encode(batch)
    cond = told(cfg.condition, batch, spec)
    memory = remembered(disc, mine.memory, x, cond, cfg)
    return Player(disc, opt, memory)


def best_gen(
    key: jax.Array,
    mine: Player,
    disc: Any,
    memory: Any,
    batch: Batch,
    cfg: GAN,
    spec: Spec,
    tx: Any,
) -> Player:
    """One descent of G alone on V(G, D), whatever loss the generator trains on: D as it is."""

    def mean_value(gen, batch):
        v = value(key, gen, disc, memory, batch, cfg, spec)
        return jnp.mean(v), {}

    # no penalty for G: none of the games bounds it
    gen, opt, _ = descend(mean_value, tx, mine.params, mine.opt, batch)
    return Player(gen, opt, mine.memory)


def responses(
    key: jax.Array,
    state: State,
    cfg: GAN,
    spec: Spec,
    train: Batch,
    steps: int,
    batch: int,
    tx: Any,
    compile: Compile,
) -> tuple[Player, Player]:
    """(D', G'): copies of the players after `steps` descents, each against the other as it is in `state`."""
    gen = state.params["gen"]
    disc = state.params["disc"]
    memory = state.extra["disc"]
    augment = state.extra["augment"]
    disc_step = compile(lambda *args: best_disc(*args, cfg, spec, tx))
    gen_step = compile(lambda *args: best_gen(*args, cfg, spec, tx))

    d = Player(disc, tx.init(disc), memory)
    g = Player(gen, tx.init(gen), {})
    seed = np.asarray(jax.random.key_data(key))
    rng = np.random.default_rng(seed)
    for i in range(
        steps
    ):  # no scan: gradients of convolutions in a loop of XLA are slow on CPU
        turn = jax.random.fold_in(key, i)
        part = drawn(rng, train, batch)
        # Each against the other as it was at the start, `gen` and `disc`, and not against its copy.
        d = disc_step(turn, d, gen, augment, part)
        g = gen_step(turn, g, disc, memory, part)
    return d, g


def duality_gap(
    key: jax.Array,
    state: State,
    cfg: GAN,
    spec: Spec,
    train: Batch,
    test: Batch,
    steps: int = 1000,
    batch: int = 256,
    optimiser: Optimiser = Adam(1e-3, decay=CosineDecay()),
    compile: Compile = lambda f: f,
) -> Gap:
    """Estimates V(G, D') - V(G', D) on `test`: D' and G' are the players after `steps` descents on `train`.

    V is the zero-sum value of every game, NonSaturating and Hinge too: G' descends V and not its own loss. Finite
    descents make it an estimate from below, and where D grows without end far from the data G' runs there, the further
    the more descents: compare gaps of equal `steps` and `optimiser` only. D' is bound as D is in training (penalties,
    clip), else Wasserstein's gap has no bound; with penalties D' may have the lesser V and the gap be below 0.
    """
    at_least(1, steps=steps, batch=batch)
    gen = state.params["gen"]
    disc = state.params["disc"]
    memory = state.extra["disc"]
    descent, held = jax.random.split(key)
    tx = optimiser(steps)  # a schedule of its own, over these descents
    d, g = responses(descent, state, cfg, spec, train, steps, batch, tx, compile)

    # Compiled once for three pairs; the same z in all, so that their noise cancels in differences.
    compiled = compile(lambda *args: value(*args, cfg, spec))

    def held_out(*pair) -> np.ndarray:
        """V of (generator, discriminator, its memory), [M]."""
        return joined(lambda part: compiled(held, *pair, part), test, batch)

    now = held_out(gen, disc, memory)
    best_d = held_out(gen, d.params, d.memory)
    best_g = held_out(g.params, disc, memory)
    difference = best_d - best_g  # [M], example by example: what they share cancels
    error = difference.std() / math.sqrt(len(difference))
    return Gap(
        gap=float(difference.mean()),
        error=float(error),
        value=float(now.mean()),
        disc=float(best_d.mean()),
        gen=float(best_g.mean()),
    )


def optimal_distance(
    key: jax.Array,
    state: State,
    cfg: GAN,
    spec: Spec,
    mixture: Gaussians,
    data: np.ndarray,
    samples: int = 200_000,
    error: float = 0.1,
    compile: Compile = lambda f: f,
) -> Distance | None:
    """Mean |D - D*| over held-out `data` [M, 2] from `mixture` and M samples; None if the game does not tell D*.

    q is a kernel density of `samples` samples. Its bandwidth is one of 1/8, 1/4 … 4 times the mixture's least scale:
    what is finer in q is not seen. D* has no bound where one density vanishes: points count where both p and q are
    above the value at which q's relative standard error is `error`. Where q = p and D = 0 the four toys give 0.03 to
    0.05, which is the noise. D is asked about plain points, not augmented ones. Wasserstein's D* is no function of the
    densities' ratio: None. Relativistic's is log p - log q + any constant: the median of the difference is subtracted.
    Raises UserError unless the data are unlabelled points of the plane.
    """
    if spec.shape != (2,) or cfg.condition:
        raise UserError(
            f"optimal_distance needs densities of the plane without labels, got examples of {spec.shape}: use e.g. "
            "--data='Toy()' --algorithm.condition='()'."
        )
    # asked before the samples, which take long
    if cfg.game.optimal(0.0) is None:
        return None
    data = np.asarray(data, np.float32)
    sampled, d = _play(key, state, cfg, spec, data, samples, compile)
    # q comes from the first samples and is asked at others: at its own points a kernel density is too high.
    for_density, asked = sampled[:samples], sampled[samples:]
    x = np.concatenate([data, asked])  # [2 M, 2], where D gave d

    far = 6.0 * mixture.scales.max()  # beyond it p is nothing
    low = mixture.means.min(0) - far
    high = mixture.means.max(0) + far
    finest = mixture.scales.min()
    # the bandwidth is that of the least squared error; octaves are fine enough
    ladder = [finest * 2.0**k for k in range(-3, 3)]
    q, bandwidth = fitted_density(for_density, x, ladder, low, high)
    log_p = np.asarray(log_prob(mixture, x))
    p = np.exp(log_p)

    # The kernel's variance is 11 q / (24 pi b² N), so the relative error sqrt(variance) / q falls with q.
    floor = 11.0 / (24.0 * math.pi * bandwidth**2 * samples * error**2)
    kept = np.minimum(p, q) > floor
    if not kept.any():
        return Distance(math.nan, 0.0, 0.0, bandwidth)

    # log p - log q, where neither is nothing
    log_ratio = np.log(p[kept] / q[kept])
    optimal = np.asarray(cfg.game.optimal(log_ratio))
    difference = d[kept] - optimal
    shift = 0.0
    # D is known up to a constant; a median: a few points far out do not move it
    if cfg.game.balance is None:
        shift = float(np.median(difference))
    away = np.abs(difference - shift)
    mean = float(away.mean())
    share = float(kept.mean())
    return Distance(mean, share, shift, bandwidth)


def _play(
    key,
    state: State,
    cfg: GAN,
    spec: Spec,
    data: np.ndarray,
    samples: int,
    compile: Compile,
    size=10_000,
):
    """(samples + M points G(z), D on the data and on the last M of them)."""
    gen = state.params["gen"]
    disc = state.params["disc"]
    memory = state.extra["disc"]

    def drawn_at(key, gen, index):
        z = latents(key, index, cfg.latent)
        return generate(gen, z, None, cfg, spec)

    draw = compile(drawn_at)
    score = compile(lambda disc, memory, x: discriminate(disc, memory, x, None, cfg))

    # `joined` cuts what is called "image": here the numbers of the samples.
    index = np.arange(samples + len(data), dtype=np.uint32)
    numbers = {"image": index}
    points = joined(lambda part: draw(key, gen, part["image"]), numbers, size)
    points = np.where(
        np.isfinite(points), points, 1e9
    )  # what diverged lies nowhere near the data
    asked = np.concatenate([data, points[samples:]])
    seen = {"image": asked}
    d = joined(lambda part: score(disc, memory, part["image"]), seen, size)
    return points, d


def higher(a: np.ndarray, b: np.ndarray) -> float:
    """The share of all pairs with a_i > b_j, ties half: the area under the ROC curve."""
    b = np.sort(b)
    # For each a the b's below it and the b's not above it: a tie is in one of the two.
    below = np.searchsorted(b, a, "left")
    not_above = np.searchsorted(b, a, "right")
    twice = below + not_above
    return float(twice.mean() / (2 * len(b)))


def log_odds(game: Game) -> bool:
    """Whether the best D is log p - log q, so that sigmoid(D) is the probability of data."""
    if game.balance is None:  # with any constant added D's sigmoid is no probability
        return False
    probes = (-1.5, 0.0, 2.0)  # asked and not declared: a new game cannot forget to say so
    return all(float(game.optimal(t)) == t for t in probes)


def outputs(
    key: jax.Array,
    state: State,
    cfg: GAN,
    spec: Spec,
    train: Batch,
    test: Batch,
    batch: int = 256,
    compile: Compile = lambda f: f,
) -> Outputs:
    """D on training data, on held-out data and on as many samples, which take their labels; no augmentation."""
    pair = (state.params["gen"], state.params["disc"], state.extra["disc"])
    compiled = compile(lambda *args: scores(*args, cfg, spec))

    def of(data: Batch) -> tuple[np.ndarray, np.ndarray]:
        return joined(lambda part: compiled(key, *pair, part), data, batch)

    seen, _ = of(train)
    held, fake = of(test)
    overfitting = higher(seen, held)
    odds = None
    if log_odds(cfg.game):
        odds = (_odds(seen), _odds(held), _odds(fake))
    return Outputs(seen, held, fake, overfitting, odds)


def _odds(d: np.ndarray) -> float:
    """The mean probability of data that D's outputs stand for."""
    probability = jax.nn.sigmoid(d)
    return float(np.mean(probability))


def picture(
    steps: Sequence[int],
    real: Sequence[np.ndarray],
    fake: Sequence[np.ndarray],
    game: Game,
    bins: int = 60,
) -> np.ndarray:
    """Histograms of D(x) and D(G(z)), a panel a step, all with the same axes: uint8 [H, W, 3].

    The dashed line is D at the equilibrium, where the game says what it is. Values that are not finite are left out.
    """
    from matplotlib.backends.backend_agg import (
        FigureCanvasAgg,
    )  # half a second: only for who draws
    from matplotlib.figure import Figure

    real = [_finite(d) for d in real]
    fake = [_finite(d) for d in fake]
    # A few outliers must not squeeze the rest; the zero is for panels in which nothing is finite.
    everything = np.concatenate([*real, *fake, np.zeros(1)])
    low, high = np.quantile(everything, (0.002, 0.998))
    # one set of edges: panels are compared
    edges = np.linspace(low - 0.1, high + 0.1, bins + 1)
    line = game.balance

    size = (1.0 + 2.4 * len(steps), 2.8)
    figure = Figure(figsize=size, dpi=100, layout="constrained")  # no pyplot: global state
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(steps), sharex=True, sharey=True, squeeze=False)[0]
    for axes, step, r, f in zip(panels, steps, real, fake, strict=True):
        _stairs(axes, r, edges, "D(x), data")
        _stairs(axes, f, edges, "D(G(z)), samples")
        if line is not None:
            style = {"color": "black", "linestyle": "--", "linewidth": 1.0}
            axes.axvline(line, label="equilibrium", **style)
        axes.set_title(f"step {step}", fontsize=9)
        axes.set_xlabel("output of D", fontsize=8)
        axes.tick_params(labelsize=7)
    panels[0].set_ylabel("density", fontsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    canvas.draw()
    rgba = np.asarray(canvas.buffer_rgba())
    return rgba[..., :3].copy()  # a copy: the buffer goes with the canvas


def _finite(d: np.ndarray) -> np.ndarray:
    d = np.asarray(d)
    return d[np.isfinite(d)]


def _stairs(axes: Any, d: np.ndarray, edges: np.ndarray, name: str) -> None:
    """The histogram of d as a density: what lies beyond the edges is missing from its area."""
    counts, _ = np.histogram(d, edges)
    width = edges[1] - edges[0]
    n = max(len(d), 1)  # a panel may be empty
    heights = counts / n / width
    axes.stairs(heights, edges, fill=True, alpha=0.5, label=name)
