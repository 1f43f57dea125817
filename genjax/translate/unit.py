"""UNIT: two VAEs whose latents are one (Liu et al. 2017, arXiv:1703.00848).

    z = E(x) + N(0, I)    x = G(z)    KL(N(E(x), I) || N(0, I)) = |E(x)|² / 2

The last layers of both encoders are the same weights, and so are the first of both decoders (sec. 3): what is common is
said in one language. Each way round is a VAE too, with the cycle's latent in the place of its own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.core import Algorithm, Batch, Parts, Spec, example_normal
from genjax.ema import Decay
from genjax.errors import at_least
from genjax.gan.games import Game, LeastSquares
from genjax.gan.penalties import Penalty
from genjax.nets.patchgan import PatchGAN
from genjax.nets.translators import ContentDecoder, ContentEncoder, Residuals
from genjax.optim import Optimiser
from genjax.translate import unpaired
from genjax.translate.munit import TX, ways
from genjax.translate.unpaired import Made, Makers, distance


@dataclasses.dataclass(frozen=True)
class UNIT:
    """Config of the algorithm; called with a `Spec` it becomes one."""

    # a domain has ends of its own, where pixels are read and made
    enc: nn.Module = field(ContentEncoder(), "picture -> maps: net(x, None, ()); one a domain")
    dec: nn.Module = field(ContentDecoder(), "maps -> picture: net(z, None, shape)")
    # what lies between is in one language
    shared: int = field(
        1, "residual blocks that both encoders end with, and both decoders begin"
    )
    disc: nn.Module = field(
        PatchGAN((32, 64), halvings=2),
        "picture -> scores [B, h, w, 1]: net(x, None, (1,)); one a domain",
    )
    # the game is what makes a translation look like its domain
    game: Game = field(LeastSquares(), "what is played for, place by place")
    penalties: tuple[Penalty, ...] = field(
        (), "added to the critics' loss, of the mean of all places"
    )
    every: int = field(
        1, "steps from one penalty to the next, which weighs as many times as much"
    )
    # weights of their code; the paper has 10 of the game to 0.1 and 100, sums over numbers
    picture: float = field(10.0, "weight of |G(z) - x|, a mean over pixels")
    kl: float = field(0.01, "weight of KL, a mean over the numbers of z")
    # round the cycle too
    cycle: float = field(10.0, "weight of the picture that comes back")
    cycle_kl: float = field(0.01, "weight of KL on the way back")
    # their code shows fresh pictures alone
    pool: int = field(0, "older pictures of each domain that critics are shown, 0 = none")
    optimiser: Optimiser = field(TX, "of encoders and decoders")
    disc_optimiser: Optimiser = field(TX, "of both critics")
    ema: Decay = field(
        Decay(0.999), "average of encoders and decoders that evaluation and samples use"
    )

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)

    def ways(self, spec: Spec) -> tuple[Any, Any]:
        """(there, back): functions (weights, x [B, H, W, C] in [-1, 1]) -> the same of the other domain."""
        # both in one tree, so each takes what it needs of it
        first, second = spec.domains

        def there(weights: Any, x: jax.Array) -> jax.Array:
            return translated(self, spec, weights, x, first, second)

        def back(weights: Any, x: jax.Array) -> jax.Array:
            return translated(self, spec, weights, x, second, first)

        return there, back


def encoded(
    cfg: UNIT,
    gen: Any,
    x: jax.Array,
    domain: str,
) -> jax.Array:
    """The mean of z [B, h, w, C]."""
    # first what is the domain's own, then what is common
    own = {"params": gen["own"][domain]["enc"]}
    h = cfg.enc.apply(own, x, None, ())
    return _common(cfg, gen, "enc", h)


def decoded(
    cfg: UNIT,
    spec: Spec,
    gen: Any,
    z: jax.Array,
    domain: str,
) -> jax.Array:
    """G(z) [B, *shape] in [-1, 1]."""
    # the other way round: what is common comes first
    h = _common(cfg, gen, "dec", z)
    own = {"params": gen["own"][domain]["dec"]}
    return cfg.dec.apply(own, h, None, spec.shape)


def _common(
    cfg: UNIT,
    gen: Any,
    side: str,
    h: jax.Array,
) -> jax.Array:
    shared = {"params": gen["shared"][side]}
    return Residuals(cfg.shared).apply(shared, h)


def noised(
    key: jax.Array,
    index: jax.Array,
    mean: jax.Array,
) -> jax.Array:
    """z from N(mean, I)."""
    # by the example's number: the same on every layout
    noise = example_normal(key, index, mean.shape[1:])
    return mean + noise


def divergence(mean: jax.Array) -> jax.Array:
    """KL(N(mean, I) || N(0, I)) of each number of z, its mean [B]."""
    # both have unit variance, so the means alone are left
    square = jnp.square(mean)
    return 0.5 * square.reshape(len(mean), -1).mean(-1)


def translated(
    cfg: UNIT, spec: Spec, gen: Any, x: jax.Array, here: str, there: str
) -> jax.Array:
    """Pictures x of a domain in the other, in [-1, 1]: by the mean of z, so that one has one answer."""
    mean = encoded(cfg, gen, x, here)
    return decoded(cfg, spec, gen, mean, there)


def cost(
    cfg: UNIT,
    spec: Spec,
    gen: Any,
    key: jax.Array,
    batch: Batch,
) -> tuple[Made, Parts]:
    """What is made in each domain, and both VAEs' losses, at home and round the cycle, weighed; each [B]."""
    made: Made = {}
    found: dict[str, list[jax.Array]] = {"picture": [], "kl": [], "cycle": [], "cycle_kl": []}
    for number, here, there in ways(spec):
        x = spec.encode(batch[here])
        index = batch[here]["index"]
        # two draws: one at home, one on the way back
        at, again = jax.random.split(jax.random.fold_in(key, number))
        mean = encoded(cfg, gen, x, here)
        z = noised(at, index, mean)
        # one latent, read in both languages
        same = decoded(cfg, spec, gen, z, here)
        made[there] = decoded(cfg, spec, gen, z, there)
        # what was made is a picture like any other
        mean_again = encoded(cfg, gen, made[there], there)
        z_again = noised(again, index, mean_again)
        back = decoded(cfg, spec, gen, z_again, here)
        found["picture"].append(distance(same, x))
        found["kl"].append(divergence(mean))
        found["cycle"].append(distance(back, x))
        found["cycle_kl"].append(divergence(mean_again))
    parts = {name: getattr(cfg, name) * sum(values) for name, values in found.items()}
    return made, parts


def algorithm(cfg: UNIT, spec: Spec) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    unpaired.check(cfg, spec)
    names = ("picture", "kl", "cycle", "cycle_kl", "shared")
    # a weight below 0 would reward what it is to punish
    at_least(0, "--algorithm.", **{name: getattr(cfg, name) for name in names})
    first, second = spec.domains

    def init(key: jax.Array, batch: Batch) -> Any:
        at, enc_key, dec_key = jax.random.split(key, 3)
        # one module, two sets of weights: ends of encoders, beginnings of decoders
        common = Residuals(cfg.shared)
        gen: dict[str, Any] = {"own": {}, "shared": {}}
        for i, name in enumerate(spec.domains):
            of_enc, of_dec = jax.random.split(jax.random.fold_in(at, i))
            x = spec.encode(batch[name])
            enc = cfg.enc.init(of_enc, x, None, ())["params"]
            # shapes are known where a net has seen its input
            maps = cfg.enc.apply({"params": enc}, x, None, ())
            dec = cfg.dec.init(of_dec, maps, None, spec.shape)["params"]
            gen["own"][name] = {"enc": enc, "dec": dec}
            # of no shared blocks there are no weights
            for side, own in (("enc", enc_key), ("dec", dec_key)):
                gen["shared"][side] = common.init(own, maps).get("params", {})
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
        return translated(cfg, spec, gen, spec.encode(given[first]), first, second)

    makers = Makers(init, costs, spec.domains)
    return unpaired.algorithm(cfg, spec, makers, sample)
