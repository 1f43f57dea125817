"""Optimisers: what is refused before a run starts."""

import math

import pytest

from genjax.errors import UserError
from genjax.optim import Adam, CosineDecay


@pytest.mark.parametrize(
    "name, wrong, words",
    [
        ("lr", (-1.0, 0.0), "must be above 0"),
        ("b1", (-0.1,), "must be at least 0"),
        ("b1", (1.0, 1.5), "must be below 1"),
        ("b2", (-0.1,), "must be at least 0"),
        ("b2", (1.0, 1.5), "must be below 1"),
        ("eps", (-1e-8, 0.0), "must be above 0"),
        ("weight_decay", (-0.1,), "must be at least 0"),
        ("warmup", (-1,), "must be at least 0"),
        ("clip", (0.0, -1.0), "must be above 0"),
        ("lr", (math.nan, math.inf), "must be a finite number"),
        ("b1", (math.nan,), "must be a finite number"),
        ("b2", (math.nan,), "must be a finite number"),
        ("eps", (math.nan, math.inf), "must be a finite number"),
        ("weight_decay", (math.nan, math.inf), "must be a finite number"),
        ("clip", (math.nan, math.inf), "must be a finite number"),
    ],
)
def test_an_optimiser_that_cannot_learn_is_refused_by_the_name_of_its_value(name, wrong, words):
    for value in wrong:
        with pytest.raises(UserError) as refused:
            Adam(**{name: value})(10)
        assert str(refused.value) == f"Adam: {name}={value} {words}."


@pytest.mark.parametrize("final", [-0.1, 1.1, math.nan])
def test_a_decay_ends_between_nothing_and_all_of_the_learning_rate(final):
    with pytest.raises(UserError, match=f"^CosineDecay: final={final} must be "):
        Adam(decay=CosineDecay(final))(10)


def test_values_at_their_ends_are_admitted():
    Adam(b1=0.0, b2=0.0, warmup=20, decay=CosineDecay(0.0), clip=1e-6)(10)
    Adam(decay=CosineDecay(1.0))(0)
