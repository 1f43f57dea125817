"""Short films [T, H, W, C] through an autoencoder: a bright dot that moves at its own pace."""

import dataclasses

import numpy as np

from genjax.ae.autoencoder import Autoencoder
from genjax.data import Source
from genjax.fields import Film
from genjax.nets import MLP, Gelu
from genjax.optim import Adam

SHAPE = (4, 6, 6, 1)


@dataclasses.dataclass(frozen=True)
class Dots:
    """A row, a start and a pace make a film."""

    def load(self) -> Source:
        splits = {}
        for i, (name, n) in enumerate({"train": 600, "valid": 0, "test": 100}.items()):
            rng = np.random.default_rng(i)
            row, first, pace = (
                rng.integers(0, 6, n),
                rng.integers(0, 6, n),
                rng.integers(0, 3, n),
            )
            films = np.zeros((n, *SHAPE), np.uint8)
            for t in range(SHAPE[0]):
                films[np.arange(n), t, row, (first + pace * t) % 6] = 255
            splits[name] = {"film": films}
        return Source("dots", {"film": Film(SHAPE)}, **splits)


DATA = Dots()
ALGORITHM = Autoencoder(16, MLP((128,), Gelu()), MLP((128,), Gelu()), optimiser=Adam(3e-3))


def truth(this) -> None:
    """Better than the mean film; a row of frames for each film in the picture."""
    test = this.source.test["film"] / 255.0
    mean = this.source.train["film"].mean(0) / 255.0
    assert this.summary(this.evaluate(this.source.test))["mse"] < 0.7 * np.mean(
        (test - mean) ** 2
    )
    assert this.source.picture(test[:3]).shape[1] > this.source.picture(test[:3]).shape[0]
    assert this.encode(this.source.test).shape == (100, 16)
