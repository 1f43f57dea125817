"""Talking heads without a game: a flow from noise to a frame, told a drawing and K frames of the person.

    v(x_t, t | y, e),    e = mean_k E(x(s_k), y(s_k))

It is a `Diffusion` whose net has an embedder inside (`nets.talking.TalkingDenoiser`), trained with it by the one loss;
whatever path, prediction, sampler or schedule that has. What a drawing does not tell, as where somebody looks, is drawn
anew with the noise. A new person is fitted by the same loss on K frames, each told of all the others and itself.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import Cond, Picture
from genjax.config import edit, field
from genjax.core import Algorithm, Batch, Parts, Spec, State, descend
from genjax.diffusion import gaussian, named
from genjax.diffusion.gaussian import Diffusion
from genjax.errors import UserError, at_least
from genjax.nets.talking import TalkingDenoiser
from genjax.optim import Adam
from genjax.translate import paired
from genjax.translate.talking import Fitting, Portraits, Portrayer, check_sitting, frames_of

# few steps: somebody who talks is many frames, and each costs all of them
MODEL = edit(
    named.FLOW,
    {
        "net": TalkingDenoiser(),
        "schedule.steps": 10,
        "optimiser": Adam(1e-3, warmup=100),
    },
)
SHOWN = 8  # known frames that a step of fitting embeds, at most


@dataclasses.dataclass(frozen=True)
class Frames:
    """A drawing, then K frames and their drawings as maps, in the order that `TalkingDenoiser` has them."""

    of: str = field("drawing", "name of the drawing's field")
    guided: bool = field(False, "hidden in the weak model of guidance")

    def check(self, spec: Spec) -> None:
        """Raises UserError where the data are no sittings, and for drawings of other channels than frames."""
        check_sitting("TalkingFlow", spec)
        # `divided` cuts maps into parts of equal size
        drawn = spec.find("drawing").shape
        if drawn != spec.shape:
            raise UserError(
                f"TalkingFlow lays drawings {drawn} beside frames {spec.shape}: give both as many channels."
            )

    def __call__(self, batch: Batch, spec: Spec) -> Cond:
        drawing = paired.encoded(batch, self.of, spec)
        # the order in which `divided` takes them apart
        parts = [drawing]
        for name in ("shots", "shot_drawings"):
            frames = paired.encoded(batch, name, spec)  # [B, K, H, W, C]
            # channels of the first frame, then those of the next
            beside = jnp.moveaxis(frames, 1, 3)  # [B, H, W, K, C]
            parts.append(beside.reshape(*drawing.shape[:3], -1))
        return Cond(maps=jnp.concatenate(parts, -1))


@dataclasses.dataclass(frozen=True)
class Embedding:
    """What the embedder has said already: nobody's frames are looked at again at every step of a sampler."""

    of: str = field("embedding", "name of the field")
    guided: bool = field(False, "hidden in the weak model of guidance")

    def __call__(self, batch: Batch, spec: Spec) -> Cond:
        return Cond(vector=batch[self.of])


@dataclasses.dataclass(frozen=True)
class TalkingFlow:
    """Config of the algorithm; called with a `Spec` it becomes one. Data come through the view `FewShots`."""

    model: Diffusion = field(MODEL, "of frames; what is known is added to its conditions")
    fitting: Fitting = field(
        Fitting(optimiser=Adam(3e-4)), "to a new person; nobody judges here", execution=True
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)

    def portrayer(
        self,
        params: dict,
        spec: Spec,
        compiled: Callable,
    ) -> Portrayer:
        """What makes pictures of new people, by trained weights; compiled: `jax.jit`, or as it is."""
        return portrayer(params, self, spec, compiled)


def inner(cfg: TalkingFlow) -> Diffusion:
    """The model, told a drawing and the frames."""
    return edit(cfg.model, {"condition": (*cfg.model.condition, Frames())})


def told_at_once(cfg: TalkingFlow) -> Diffusion:
    """The model, told a drawing and an embedding."""
    # the vector tells `TalkingDenoiser` that all maps are the drawing
    known = (*cfg.model.condition, Embedding(), Picture(of="drawing"))
    return edit(cfg.model, {"condition": known})


def embedded(
    params: dict,
    shots: jax.Array,
    drawings: jax.Array,
    cfg: TalkingFlow,
) -> jax.Array:
    """e [N] of a person by K frames [K, H, W, C] and their drawings, in [-1, 1]."""
    # the embedder by itself: it knows no time and no noise
    each = cfg.model.net.embed.apply({"params": params["net"]["embed"]}, shots, drawings)
    # as inside of the net, for any K
    return each.mean(0)


def portray(
    params: dict,
    key: jax.Array,
    e: jax.Array,
    asked: jax.Array,
    cfg: TalkingFlow,
    spec: Spec,
) -> jax.Array:
    """Drawings [T, H, W, C] as pictures of a person [T, *shape], in [0, 1]; number t is a function of (key, t)."""
    given = {
        # noise is drawn by it: each frame has its own
        "index": jnp.arange(len(asked), dtype=jnp.uint32),
        "drawing": asked,
        "embedding": jnp.broadcast_to(e, (len(asked), *e.shape)),
    }
    return gaussian.sample(params, key, given, told_at_once(cfg), spec)


def fit_step(
    key: jax.Array,
    params: dict,
    opt: Any,
    batch: Batch,
    cfg: TalkingFlow,
    spec: Spec,
) -> tuple[dict, Any, Parts]:
    """A step of the loss on frames of one person: a batch as the view makes it, all of the same."""

    def mean_loss(params: dict, batch: Batch) -> tuple[jax.Array, Parts]:
        # times and noise of this step's key
        parts = gaussian.loss(params, key, batch, inner(cfg), spec)
        return parts["loss"].mean(), {}

    # of all weights: what was learned of faces is where a person begins
    tx = cfg.fitting.optimiser(cfg.fitting.steps)
    return descend(mean_loss, tx, params, opt, batch)


def fit(
    key: jax.Array,
    params: dict,
    shots: np.ndarray,
    drawings: np.ndarray,
    cfg: TalkingFlow,
    take: Callable[[jax.Array, dict, Any, Batch], tuple[dict, Any, Parts]],
) -> dict:
    """The weights after `cfg.fitting.steps` steps on K frames as they are stored, and their drawings in [0, 1].

    take: `fit_step` with cfg and spec bound, compiled once for all people.
    """
    k = len(shots)
    count = min(cfg.fitting.batch, k)
    # frames have no number in a data set: it only tells their draws apart
    index = np.arange(count, dtype=np.uint32)
    opt = cfg.fitting.optimiser(cfg.fitting.steps).init(params)
    for i, rows in enumerate(frames_of(key, k, cfg.fitting)):
        # they are embedded again for each frame of the step: few keep it cheap
        known = rows[:SHOWN]
        # every frame of the step is told of the same ones
        some = {
            "index": index,
            "position": index,
            "image": shots[rows[:count]],
            "drawing": drawings[rows[:count]],
            "shots": np.repeat(shots[known][None], count, 0),
            "shot_drawings": np.repeat(drawings[known][None], count, 0),
        }
        # other times and other noise at each step
        params, opt, _ = take(jax.random.fold_in(key, i), params, opt, some)
    return params


def portrayer(
    params: dict,
    cfg: TalkingFlow,
    spec: Spec,
    compiled: Callable,
) -> Portrayer:
    """Makes pictures of new people, with the functions above compiled once for all of them."""
    first = compiled(functools.partial(embedded, cfg=cfg))
    take = compiled(functools.partial(fit_step, cfg=cfg, spec=spec))
    draw = compiled(functools.partial(portray, cfg=cfg, spec=spec))

    def known_by(
        key: jax.Array,
        shots: Any,
        drawings: Any,
        fitted: bool,
    ) -> Portraits:
        # all weights are a person's own: there is no part that is hers alone
        own = fit(key, params, shots, drawings, cfg, take) if fitted else params
        x = spec.find("shots").encode(shots)
        y = spec.find("drawing").encode(drawings)
        # by the fitted embedder, of all K frames, once for all drawings
        e = first(own, x, y)

        def portraits(asked: Any) -> jax.Array:
            # one key: who asks twice is answered alike
            return draw(own, key, e, asked)

        return portraits

    return known_by


def algorithm(
    cfg: TalkingFlow,
    spec: Spec,
) -> Algorithm:
    """The inner model, with drawing, output and truth as its picture. Raises UserError for data without sittings."""
    check_sitting("TalkingFlow", spec)
    at_least(0, "--algorithm.fitting.", steps=cfg.fitting.steps)
    at_least(1, "--algorithm.fitting.", batch=cfg.fitting.batch)
    # it refuses what a diffusion model cannot be trained on
    model = inner(cfg)(spec)

    def sampled(
        key: jax.Array,
        state: State,
        given: Batch,
    ) -> jax.Array:
        # the model must not see the truth
        names = ("index", "drawing", "shots", "shot_drawings")
        return model.sample(key, state, {name: given[name] for name in names})

    def drawn(
        samples: Any,
        given: Batch,
    ) -> np.ndarray:
        return paired.picture(samples, given, "drawing", spec)

    # what the view makes shots, drawing and truth of
    return model._replace(sample=sampled, asks=("image", "landmarks"), picture=drawn)
