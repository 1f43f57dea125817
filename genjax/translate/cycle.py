"""CycleGAN: translation without pairs, held in place by the way back (Zhu et al. 2017, arXiv:1703.10593).

    x -> G_b(x) -> G_a(G_b(x)) = x        and the same from b

Each generator plays against the critic of the domain that it makes pictures of. The cycle binds an answer to its input;
`identity` asks that a generator leave pictures of its own domain alone, which keeps colours where they are (sec. 5.2).
The cycle asks that nothing be lost, not that it be seen: `genjax.findings.cycles` measures what is hidden.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.core import Algorithm, Batch, Parts, Spec
from genjax.ema import Decay
from genjax.errors import UserError, at_least
from genjax.gan.games import Game, LeastSquares
from genjax.gan.penalties import Penalty
from genjax.nets.patchgan import PatchGAN
from genjax.nets.translators import ResidualTranslator, ResnetTranslator, UnetTranslator
from genjax.optim import Adam, Optimiser, StableDecay
from genjax.translate import unpaired
from genjax.translate.unpaired import Made, Makers, distance

# half of the run at one rate, then down to 0 in a straight line (arXiv:1703.10593, sec. 4)
TX = Adam(2e-4, b1=0.5, decay=StableDecay(0.5))


@dataclasses.dataclass(frozen=True)
class CycleGAN:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    # four players: two that make, two that judge
    gen: ResnetTranslator | UnetTranslator | ResidualTranslator | nn.Module = field(
        ResnetTranslator(), "picture -> picture: net(x, None, shape); one each way"
    )
    disc: nn.Module = field(
        PatchGAN((32, 64), halvings=2, norm=True),
        "picture -> scores [B, h, w, 1]: net(x, None, (1,)); one a domain",
    )
    game: Game = field(LeastSquares(), "what generators and critics play for, place by place")
    penalties: tuple[Penalty, ...] = field(
        (), "added to the critics' loss, of the mean of all places"
    )
    every: int = field(
        1, "steps from one penalty to the next, which weighs as many times as much"
    )
    # lambda of eq. 3; our least squares are half of the paper's, so it weighs twice as much
    cycle: float = field(10.0, "weight of |G_a(G_b(x)) - x|, a mean over pixels, and back")
    identity: float = field(
        0.5, "weight of |G_b(y) - y| for y of b, and of G_a, in weights of the cycle"
    )
    # so that a critic does not forget what it has learned (sec. 4)
    pool: int = field(50, "older pictures of each domain that critics are shown too, 0 = none")
    optimiser: Optimiser = field(TX, "of both generators")
    disc_optimiser: Optimiser = field(TX, "of both critics")
    ema: Decay = field(
        Decay(0.999), "average of the generators that evaluation and samples use"
    )
    # so that whoever asks is told, and not given the same answer several times
    styles: int = field(1, "answers to one picture: it has one", execution=True)

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)

    def ways(self, spec: Spec) -> tuple[Any, Any]:
        """(there, back): functions (weights, x [B, H, W, C] in [-1, 1]) -> the same of the other domain."""
        # weights are named by the domain that is made
        first, second = spec.domains

        def there(weights: Any, x: jax.Array) -> jax.Array:
            return translate(self, weights[second], x)

        def back(weights: Any, x: jax.Array) -> jax.Array:
            return translate(self, weights[first], x)

        return there, back


def translate(
    cfg: Any,
    weights: Any,
    x: jax.Array,
) -> jax.Array:
    """G(x) [B, H, W, C] in [-1, 1]."""
    # what else a net has, maps that it sows, is not kept
    net = {"params": weights}
    return cfg.gen.apply(net, x, None, x.shape[1:])


def cost(
    cfg: CycleGAN,
    spec: Spec,
    gen: Any,
    batch: Batch,
) -> tuple[Made, Parts]:
    """What is made of each other's pictures, and what it costs that they do not come back as they were; each [B]."""
    first, second = spec.domains
    # both ways at once: what one makes the other sends back
    true = {name: spec.encode(batch[name]) for name in spec.domains}
    made: Made = {}
    parts: Parts = {}
    for here, there in ((first, second), (second, first)):
        given = true[here]
        if not cfg.identity:
            made[there] = translate(cfg, gen[there], given)
            continue
        # one call for both: a generator looks at examples one by one
        both = jnp.concatenate([given, true[there]])
        answers = translate(cfg, gen[there], both)
        made[there], same = jnp.split(answers, 2)
        moved = distance(same, true[there])
        weight = cfg.cycle * cfg.identity
        parts["identity"] = parts.get("identity", 0.0) + weight * moved
    # the way back begins where the way there has ended, so it is a second round
    away = 0.0
    for here, there in ((first, second), (second, first)):
        back = translate(cfg, gen[here], made[there])
        away = away + distance(back, true[here])
    return made, {"cycle": cfg.cycle * away, **parts}


def algorithm(cfg: CycleGAN, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    unpaired.check(cfg, spec)
    weights = {"cycle": cfg.cycle, "identity": cfg.identity}
    at_least(0, "--algorithm.", **weights)
    # the answer is a function of the picture
    single(cfg.styles, "CycleGAN")
    first, second = spec.domains

    def init(key: jax.Array, batch: Batch) -> Any:
        gen = {}
        for i, name in enumerate(spec.domains):
            # each generator starts elsewhere
            own = jax.random.fold_in(key, i)
            x = spec.encode(batch[name])
            gen[name] = cfg.gen.init(own, x, None, spec.shape)["params"]
        return gen

    def costs(
        gen: Any,
        key: jax.Array,
        batch: Batch,
    ) -> tuple[Made, Parts]:
        return cost(cfg, spec, gen, batch)

    def sample(
        gen: Any,
        key: jax.Array,
        given: Batch,
    ) -> jax.Array:
        return translate(cfg, gen[second], spec.encode(given[first]))

    makers = Makers(init, costs, spec.domains)
    return unpaired.algorithm(cfg, spec, makers, sample)


def single(styles: int, name: str) -> None:
    """Raises UserError where more answers are asked for than a system of one has."""
    if styles != 1:
        raise UserError(
            f"--algorithm.styles={styles}: {name}() has one answer to a picture, so only 1 can be asked of it: use "
            "--algorithm='MUNIT()' for several."
        )
