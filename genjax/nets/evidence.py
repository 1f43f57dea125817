"""A net that reads a text of any length and sums up what each place of it says.

    evidence(x) = b + sum over t of f(x_(t-r), …, x_(t+r))

Evidence of independent parts adds up, as logarithms of likelihood ratios do: of a Markov chain against another one it
is the best test, where f is log q(x_t | x_(t-1)) - log p(x_t | x_(t-1)). It so serves texts of all lengths.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.errors import UserError
from genjax.nets.blocks import check_sizes, rowwise, xavier

zeros = nn.initializers.zeros
NAME = "TokenEvidence"  # as messages have it


class TokenEvidence(nn.Module):
    """Tokens int [B, T] below V -> what is summed over the places [B], float32."""

    width: int = field(64, "channels of a place")
    depth: int = field(2, "layers")
    window: int = field(5, "places that a layer sees at once, an odd number")
    letter: int = field(16, "channels of a token")

    @nn.compact
    def __call__(self, tokens: jax.Array, vocabulary: int) -> jax.Array:
        self._check()
        x = nn.Embed(vocabulary, self.letter, name="embed")(tokens)  # [B, T, letter]
        for i in range(self.depth):
            layer = nn.Dense(self.width, kernel_init=xavier, name=f"layer_{i}")
            h = nn.gelu(rowwise(layer, neighbours(x, self.window)))
            # the first layer has another width, and nothing to be added to
            x = x + h if i else h
        # nothing is known at the start
        last = nn.Dense(1, kernel_init=zeros, use_bias=False, name="last")
        each = rowwise(last, x)[..., 0]  # [B, T]
        bias = self.param("bias", zeros, ())
        return bias + jnp.sum(each, -1)

    def _check(self) -> None:
        """Raises UserError for sizes that do not fit."""
        names = ("width", "depth", "window", "letter")
        check_sizes(NAME, **{name: getattr(self, name) for name in names})
        if not self.window % 2:
            raise UserError(
                f"{NAME}: window={self.window} has no middle: use an odd number, --algorithm.net.window=5 say."
            )


def neighbours(x: jax.Array, window: int) -> jax.Array:
    """Each place of x [B, T, C] with those around it, [B, T, window C]; zeros beyond the ends.

    With a Dense it is a convolution, whose gradient on CPU is slow within a loop (jax#12868).
    """
    t = x.shape[1]
    reach = window // 2
    padded = jnp.pad(x, ((0, 0), (reach, reach), (0, 0)))
    shifted = [padded[:, k : k + t] for k in range(window)]
    return jnp.concatenate(shifted, -1)
