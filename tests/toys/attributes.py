"""A diffusion model of points that is told eight yes-or-no attributes at once, with guidance.

x = W a + noise for attributes a in {-1, 1}^8, so the mean of samples given a is known.
"""

import dataclasses

import numpy as np

from genjax.conditions import Traits
from genjax.config import edit
from genjax.data import Source
from genjax.diffusion import named, schedules
from genjax.diffusion.guidance import Guidance, Keep
from genjax.ema import Decay
from genjax.fields import Attributes, Points
from genjax.nets import TimeMLP
from genjax.optim import Adam, CosineDecay

W = 0.35 * np.random.default_rng(7).standard_normal((8, 2))
NAMES = tuple(f"trait{i}" for i in range(8))


@dataclasses.dataclass(frozen=True)
class Traited:
    """Points whose place is a sum of their attributes."""

    def load(self) -> Source:
        splits = {}
        for i, (name, n) in enumerate({"train": 4000, "valid": 0, "test": 500}.items()):
            rng = np.random.default_rng(i)
            a = rng.integers(0, 2, (n, 8), dtype=np.uint8)
            x = (2.0 * a - 1.0) @ W + 0.1 * rng.standard_normal((n, 2))
            splits[name] = {"point": x.astype(np.float32), "attributes": a}
        return Source(
            "traited", {"point": Points((2,)), "attributes": Attributes(NAMES)}, **splits
        )


_FLOW = {
    "net": TimeMLP((64, 64), waves=0),
    "std": 1.0,
    "condition": (Traits(),),
    "schedule": schedules.Times(steps=8),
    "guidance": Guidance(1.2),
    "threshold": Keep(),
    "optimiser": Adam(5e-3, decay=CosineDecay()),
    "ema": Decay(0.99),
}
DATA = Traited()
ALGORITHM = edit(named.FLOW, _FLOW)


def truth(this) -> None:
    """Samples lie where their attributes say; guidance towards them, away from none, exaggerates a little."""
    given = this.given(300)
    x = this.sample(300)
    wanted = (2.0 * given["attributes"] - 1.0) @ W
    slope = np.sum(x * wanted) / np.sum(wanted**2)
    assert 0.85 < slope < 1.5
    assert np.mean((x - slope * wanted) ** 2) < 0.5 * np.mean((x - x.mean(0)) ** 2)
