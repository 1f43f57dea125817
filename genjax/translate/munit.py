"""MUNIT: what a picture shows and how it is drawn, as two codes (Huang et al. 2018, arXiv:1804.04732).

    content c = E_c(x) [B, h, w, C]    style s = E_s(x) [B, S], of N(0, I) over a domain    x = G(c, s)

A translation keeps the content and has a style of the other domain: drawn, so that one picture has many answers, or
that of an example. Losses beside the game: pictures come back from their own codes, and codes that made a picture are
read from it again (eq. 1 to 3).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax

from genjax.config import field
from genjax.core import Algorithm, Batch, Parts, Spec, example_normal
from genjax.ema import Decay
from genjax.errors import at_least
from genjax.gan.games import Game, LeastSquares
from genjax.gan.penalties import Penalty
from genjax.nets.patchgan import PatchGAN
from genjax.nets.translators import AdainDecoder, ContentEncoder, StyleEncoder
from genjax.optim import Adam, Optimiser, StableDecay
from genjax.translate import unpaired
from genjax.translate.unpaired import Made, Makers, distance

TX = Adam(2e-4, b1=0.5, b2=0.999, weight_decay=1e-4, decay=StableDecay(0.5))


@dataclasses.dataclass(frozen=True)
class AnyStyle:
    """Styles from N(0, I), by the number of the sample."""


@dataclasses.dataclass(frozen=True)
class ExampleStyle:
    """Styles of pictures of the other domain: of those that are given beside the inputs."""


@dataclasses.dataclass(frozen=True)
class MUNIT:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    # 8 in all of the paper's experiments
    style: int = field(8, "numbers of a style")
    # each of the two domains has three nets of its own
    content: nn.Module = field(ContentEncoder(), "picture -> maps: net(x, None, ())")
    reader: nn.Module = field(StyleEncoder(), "picture -> style: net(x, None, (style,))")
    dec: nn.Module = field(
        AdainDecoder(), "maps and a style -> picture: net(maps, style, shape)"
    )
    disc: nn.Module = field(
        PatchGAN((32, 64), halvings=2),
        "picture -> scores [B, h, w, 1]: net(x, None, (1,)); one a domain",
    )
    # the paper's choice (sec. 5.1); its three scales of critics are one here
    game: Game = field(LeastSquares(), "what is played for, place by place")
    penalties: tuple[Penalty, ...] = field(
        (), "added to the critics' loss, of the mean of all places"
    )
    every: int = field(
        1, "steps from one penalty to the next, which weighs as many times as much"
    )
    # the paper's weights, of the same three (app. B)
    picture: float = field(10.0, "weight of |G(E_c(x), E_s(x)) - x|, a mean over pixels")
    same_content: float = field(1.0, "weight of |E_c(G(c, s)) - c|, a mean over numbers")
    same_style: float = field(1.0, "weight of |E_s(G(c, s)) - s|, a mean over numbers")
    # the other three imply it where all is optimal: no part of the loss by default
    cycle: float = field(0.0, "weight of the way back with a picture's own style (sec. 4)")
    # their code shows fresh pictures alone
    pool: int = field(0, "older pictures of each domain that critics are shown, 0 = none")
    optimiser: Optimiser = field(TX, "of encoders and decoders")
    disc_optimiser: Optimiser = field(TX, "of both critics")
    ema: Decay = field(
        Decay(0.999), "average of encoders and decoders that evaluation and samples use"
    )
    # execution: what is sampled, and not what is trained
    given: AnyStyle | ExampleStyle = field(
        AnyStyle(), "whose styles samples have: AnyStyle() or ExampleStyle()", execution=True
    )
    styles: int = field(4, "answers to one picture, in grids", execution=True)

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)


def content_of(
    cfg: MUNIT,
    weights: Any,
    x: jax.Array,
) -> jax.Array:
    """E_c(x) [B, h, w, C]; `weights` are those of the domain of x."""
    # of one domain: the caller takes its part of the tree
    net = {"params": weights["content"]}
    return cfg.content.apply(net, x, None, ())


def style_of(
    cfg: MUNIT,
    weights: Any,
    x: jax.Array,
) -> jax.Array:
    """E_s(x) [B, style]."""
    net = {"params": weights["reader"]}
    return cfg.reader.apply(net, x, None, (cfg.style,))


def decoded(
    cfg: MUNIT,
    weights: Any,
    content: jax.Array,
    style: jax.Array,
    spec: Spec,
) -> jax.Array:
    """G(c, s) [B, *shape] in [-1, 1]; `weights` are those of the domain that it is made in."""
    # the decoder is that of the domain that is made, whosever the content
    net = {"params": weights["dec"]}
    return cfg.dec.apply(net, content, style, spec.shape)


def drawn_styles(
    key: jax.Array,
    index: jax.Array,
    cfg: MUNIT,
) -> jax.Array:
    """Styles [B, style] from N(0, I)."""
    # by the example's number: the same on every layout
    return example_normal(key, index, (cfg.style,))


def ways(spec: Spec) -> tuple[tuple[int, str, str], ...]:
    """(number, from, into) of both ways."""
    first, second = spec.domains
    return (0, first, second), (1, second, first)


def cost(
    cfg: MUNIT,
    spec: Spec,
    gen: Any,
    key: jax.Array,
    batch: Batch,
) -> tuple[Made, Parts]:
    """What is made in each domain, and the reconstructions of pictures, contents and styles, weighed; each [B]."""
    made: Made = {}
    pictures, contents, styles, cycles = [], [], [], []
    for number, here, there in ways(spec):
        x = spec.encode(batch[here])
        content = content_of(cfg, gen[here], x)
        # at home: the picture from its own two codes (eq. 1)
        own = style_of(cfg, gen[here], x)
        same = decoded(cfg, gen[here], content, own, spec)
        pictures.append(distance(same, x))
        # abroad: its content in a style that was drawn
        at = jax.random.fold_in(key, number)
        style = drawn_styles(at, batch[here]["index"], cfg)
        fake = decoded(cfg, gen[there], content, style, spec)
        made[there] = fake
        # read from the picture alone
        content_again = content_of(cfg, gen[there], fake)
        style_again = style_of(cfg, gen[there], fake)
        # eq. 2 and 3: codes that made a picture are read from it again
        contents.append(distance(content_again, content))
        styles.append(distance(style_again, style))
        # two nets more: not where they weigh nothing
        if cfg.cycle:
            back = decoded(cfg, gen[here], content_again, own, spec)
            cycles.append(distance(back, x))
    parts = {
        "picture": cfg.picture * sum(pictures),
        "content": cfg.same_content * sum(contents),
        "style": cfg.same_style * sum(styles),
    }
    if cycles:
        parts["cycle"] = cfg.cycle * sum(cycles)
    return made, parts


def translated(
    cfg: MUNIT,
    spec: Spec,
    gen: Any,
    x: jax.Array,
    style: jax.Array,
) -> jax.Array:
    """Pictures x [B, *shape] of the first domain in a style [B, style] of the second, in [-1, 1]."""
    first, second = spec.domains
    # the only thing that goes across
    content = content_of(cfg, gen[first], x)
    return decoded(cfg, gen[second], content, style, spec)


def example_styles(
    cfg: MUNIT,
    spec: Spec,
    gen: Any,
    y: jax.Array,
) -> jax.Array:
    """The styles [B, style] of pictures y of the second domain."""
    _, second = spec.domains
    return style_of(cfg, gen[second], y)


def algorithm(cfg: MUNIT, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    unpaired.check(cfg, spec)
    # a weight below 0 would reward what it is to punish
    weights = {
        "picture": cfg.picture,
        "same_content": cfg.same_content,
        "same_style": cfg.same_style,
        "cycle": cfg.cycle,
    }
    at_least(0, "--algorithm.", **weights)
    at_least(1, algorithm__style=cfg.style, algorithm__styles=cfg.styles)
    first, second = spec.domains

    def init(key: jax.Array, batch: Batch) -> Any:
        gen = {}
        for i, name in enumerate(spec.domains):
            own = jax.random.fold_in(key, i)
            # nets of two domains share nothing but their shapes
            gen[name] = _domain(cfg, spec, own, spec.encode(batch[name]))
        return gen

    def costs(
        gen: Any,
        key: jax.Array,
        batch: Batch,
    ) -> tuple[Made, Parts]:
        return cost(cfg, spec, gen, key, batch)

    def sample(
        gen: Any,
        key: jax.Array,
        given: Batch,
    ) -> jax.Array:
        x = spec.encode(given[first])
        # by value: a choice is a config
        if cfg.given == ExampleStyle():
            style = example_styles(cfg, spec, gen, spec.encode(given[second]))
        else:
            style = drawn_styles(key, given["index"], cfg)
        return translated(cfg, spec, gen, x, style)

    makers = Makers(init, costs, spec.domains)
    return unpaired.algorithm(cfg, spec, makers, sample)


def _domain(
    cfg: MUNIT,
    spec: Spec,
    key: jax.Array,
    x: jax.Array,
) -> dict[str, Any]:
    """The nets of one domain."""
    of_content, of_reader, of_dec = jax.random.split(key, 3)
    content = cfg.content.init(of_content, x, None, ())["params"]
    reader = cfg.reader.init(of_reader, x, None, (cfg.style,))["params"]
    nets = {"content": content, "reader": reader}
    # shapes are known where a net has seen its input
    maps = content_of(cfg, nets, x)
    style = style_of(cfg, nets, x)
    nets["dec"] = cfg.dec.init(of_dec, maps, style, spec.shape)["params"]
    return nets
