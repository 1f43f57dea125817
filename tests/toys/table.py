"""A table of mixed columns through a VAE, by a likelihood of one's own: normal for real columns, else categorical."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import example_keys
from genjax.data import Source
from genjax.fields import Columns
from genjax.nets import MLP, Gelu
from genjax.optim import Adam
from genjax.vae.vae import VAE

COLUMNS = Columns(("height", "kind", "weight"), (0, 3, 0))


@dataclasses.dataclass(frozen=True)
class People:
    """Height and weight follow the kind, one of three."""

    def load(self) -> Source:
        splits = {}
        for i, (name, n) in enumerate({"train": 2000, "valid": 0, "test": 500}.items()):
            rng = np.random.default_rng(i)
            kind = rng.integers(0, 3, n)
            height = kind - 1 + 0.2 * rng.standard_normal(n)
            weight = 2 * height + 0.2 * rng.standard_normal(n)
            splits[name] = {"row": np.stack([height, kind, weight], 1).astype(np.float32)}
        return Source("people", {"row": COLUMNS}, **splits)


@dataclasses.dataclass(frozen=True)
class Mixed:
    """`outputs` numbers a column: mean and log scale of a real one, logits of a category."""

    classes: tuple[int, ...] = field(COLUMNS.classes, "of each column, 0 = real")

    @property
    def outputs(self) -> int:
        return max(2, *self.classes)

    @property
    def discrete(self) -> bool:
        return False  # real columns have a density

    def observe(self, key, x, index):
        return x

    def _columns(self, out):
        return enumerate(jnp.moveaxis(out.reshape(len(out), len(self.classes), -1), 1, 0))

    def log_prob(self, out, x):
        total = 0.0
        for k, numbers in self._columns(out):  # numbers [B, outputs]
            n = self.classes[k]
            if n:
                log_p = jax.nn.log_softmax(numbers[:, :n])
                total += jnp.take_along_axis(log_p, x[:, k, None].astype(jnp.int32), 1)[:, 0]
            else:
                mean, log_scale = numbers[:, 0], jnp.clip(numbers[:, 1], -3.0, 2.0)
                z = (x[:, k] - mean) * jnp.exp(-log_scale)
                total += -0.5 * z**2 - log_scale - 0.5 * jnp.log(2 * jnp.pi)
        return total

    def mean(self, out):
        found = [
            jnp.argmax(numbers[:, : self.classes[k]], -1).astype(jnp.float32)
            if self.classes[k]
            else numbers[:, 0]
            for k, numbers in self._columns(out)
        ]
        return jnp.stack(found, -1)

    def sample(self, key, out, index):
        keys = example_keys(key, index)
        noise = jax.vmap(lambda key: jax.random.normal(key, (len(self.classes),)))(keys)
        real = jnp.array([n == 0 for n in self.classes])
        return self.mean(out) + 0.1 * noise * real


NETS = {"enc": MLP((32,), Gelu()), "dec": MLP((32,), Gelu())}
DATA = People()
ALGORITHM = VAE(2, **NETS, likelihood=Mixed(), optimiser=Adam(1e-2))


def truth(this) -> None:
    """The bound beats independent columns; reconstructed kinds are right."""
    parts = this.summary(this.evaluate(this.source.test))
    x = this.source.test["row"]
    alone = [0.5 * np.log(2 * np.pi * np.e * x[:, k].var()) for k in (0, 2)]
    independent = -(sum(alone) + np.log(3))
    assert parts["elbo"] > independent + 0.5
    kinds = this.sample(200)[:, 1]
    assert set(np.unique(kinds)) <= {0.0, 1.0, 2.0}
