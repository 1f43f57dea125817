"""What discriminator and generator play for: losses of the discriminator's outputs, per example.

r = D(x) on data, f = D(G(z)) on samples, each [B], any real number. `disc(r, f)` is what the discriminator minimises,
`gen(r, f)` what the generator minimises. `optimal(log_ratio)` is the best D where log p(x) - log q(x) is known, p the
data's density and q the generator's; None where it is no function of it. `balance` is the output at which D finds data
and samples as likely, p = q; None where D may move by a constant at no cost and no output means anything by itself.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

softplus = jax.nn.softplus


@dataclasses.dataclass(frozen=True)
class Minimax:
    """min_G max_D E log s(r) + E log(1 - s(f)), s = sigmoid (Goodfellow et al. 2014, arXiv:1406.2661, eq. 1)."""

    balance: ClassVar[float | None] = 0.0  # a logit: s(0) = 1/2

    def disc(self, r: jax.Array, f: jax.Array) -> jax.Array:
        # -log s(r) = softplus(-r) and -log(1 - s(f)) = softplus(f), without a log of 0
        return softplus(-r) + softplus(f)

    def gen(self, r: jax.Array, f: jax.Array) -> jax.Array:
        return -softplus(f)  # log(1 - s(f)), flat where D is sure that f is fake

    def optimal(self, log_ratio: jax.Array) -> jax.Array:
        return log_ratio  # s(D) = p / (p + q), prop. 1


@dataclasses.dataclass(frozen=True)
class NonSaturating:
    """As `Minimax`, but the generator maximises E log s(f): a gradient where D is sure (ibid., sec. 3)."""

    balance: ClassVar[float | None] = 0.0  # a logit, too

    def disc(self, r: jax.Array, f: jax.Array) -> jax.Array:
        return softplus(-r) + softplus(f)

    def gen(self, r: jax.Array, f: jax.Array) -> jax.Array:
        return softplus(-f)

    def optimal(self, log_ratio: jax.Array) -> jax.Array:
        return log_ratio


@dataclasses.dataclass(frozen=True)
class LeastSquares:
    """Data are to score 1, samples 0; the generator wants 1 (Mao et al. 2017, arXiv:1611.04076, eq. 9)."""

    balance: ClassVar[float | None] = 0.5  # halfway between the targets 0 and 1

    def disc(self, r: jax.Array, f: jax.Array) -> jax.Array:
        of_real = jnp.square(r - 1.0)
        of_fake = jnp.square(f)
        return 0.5 * (of_real + of_fake)

    def gen(self, r: jax.Array, f: jax.Array) -> jax.Array:
        return 0.5 * jnp.square(f - 1.0)

    def optimal(self, log_ratio: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(log_ratio)  # p / (p + q), the mean of 1 and 0 by their weights


@dataclasses.dataclass(frozen=True)
class Hinge:
    """D pays only within the margins (Lim & Ye 2017, arXiv:1705.02894; arXiv:1802.05957, eq. 17)."""

    balance: ClassVar[float | None] = 0.0  # halfway between the margins -1 and 1

    def disc(self, r: jax.Array, f: jax.Array) -> jax.Array:
        of_real = jax.nn.relu(1.0 - r)  # 0 from 1 upwards
        of_fake = jax.nn.relu(1.0 + f)  # 0 from -1 downwards
        return of_real + of_fake

    def gen(self, r: jax.Array, f: jax.Array) -> jax.Array:
        return -f

    def optimal(self, log_ratio: jax.Array) -> jax.Array:
        return jnp.sign(log_ratio)  # anything between the margins where p = q


@dataclasses.dataclass(frozen=True)
class Wasserstein:
    """E r - E f over 1-Lipschitz D is the distance W_1 (Arjovsky et al. 2017, arXiv:1701.07875, eq. 2).

    D must be kept Lipschitz, by `penalties.Gradient` or by clipped weights.
    """

    balance: ClassVar[float | None] = None  # a constant in D leaves E r - E f as it is

    def disc(self, r: jax.Array, f: jax.Array) -> jax.Array:
        return f - r

    def gen(self, r: jax.Array, f: jax.Array) -> jax.Array:
        return -f

    def optimal(self, log_ratio: jax.Array) -> None:
        return None  # it depends on where the mass must go, not on p / q at x


@dataclasses.dataclass(frozen=True)
class Relativistic:
    """Each sample against a real example: -log s(r - f), the generator's with the signs turned.

    Jolicoeur-Martineau 2019, arXiv:1807.00734, sec. 4.3 (RSGAN); no bad local minima by collapsed modes: Sun et al.
    2020, arXiv:2011.04926; the game of R3GAN (Huang et al. 2024, arXiv:2501.05441, eq. 2).
    """

    balance: ClassVar[float | None] = None  # differences r - f alone count

    def disc(self, r: jax.Array, f: jax.Array) -> jax.Array:
        return softplus(f - r)

    def gen(self, r: jax.Array, f: jax.Array) -> jax.Array:
        return softplus(r - f)

    def optimal(self, log_ratio: jax.Array) -> jax.Array:
        return log_ratio  # + any constant


Game = Minimax | NonSaturating | LeastSquares | Hinge | Wasserstein | Relativistic
