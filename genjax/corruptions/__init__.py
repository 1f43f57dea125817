"""What can happen to a picture: projections that lose a part of it, and damage that is drawn for each example."""

from genjax.corruptions.damage import (
    Blur,
    Corruption,
    Damaged,
    Gaussian,
    Holes,
    Jpeg,
    Lost,
    Pixels,
    Poisson,
    SaltPepper,
    damaged,
)
from genjax.corruptions.marks import Marks
from genjax.corruptions.projections import Coarse, Grey, Hole, Projection
from genjax.corruptions.stencils import Letters, Logos, unseen

__all__ = [
    "Blur",
    "Coarse",
    "Corruption",
    "Damaged",
    "Gaussian",
    "Grey",
    "Hole",
    "Holes",
    "Jpeg",
    "Letters",
    "Logos",
    "Lost",
    "Marks",
    "Pixels",
    "Poisson",
    "Projection",
    "SaltPepper",
    "damaged",
    "unseen",
]
