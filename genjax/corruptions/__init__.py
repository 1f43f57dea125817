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
from genjax.corruptions.projections import Coarse, Grey, Hole, Projection

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
    "Lost",
    "Pixels",
    "Poisson",
    "Projection",
    "SaltPepper",
    "damaged",
]
