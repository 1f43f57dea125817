"""Recipes at full size: their nets have as many parameters as the papers print, and all is of the papers' length."""

import math

import jax
import jax.numpy as jnp
import pytest

from experiments.recipes import EXPERIMENTS
from genjax.conditions import Label
from genjax.config import edit, from_json, to_json
from genjax.core import labelled
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.training.experiment import check
from tests import test_deviations

KINDS = {
    "dit_xl_2": (Points((32, 32, 4)), 1000),
    "jit_b_16": (Image((256, 256, 3)), 1000),
    "edm_cifar10": (Image((32, 32, 3)), 0),
    "edm_cifar10_labels": (Image((32, 32, 3)), 10),
}
PAPERS = {"dit_xl_2": 675e6, "jit_b_16": 131e6, "edm_cifar10": 55.7e6}


def algorithm(name):
    """The recipe's algorithm on its data, and a batch of their shape."""
    exp = EXPERIMENTS[name]
    kind, classes = KINDS[name]
    spec = labelled(kind, classes, exp.steps)
    dtype = jnp.uint8 if isinstance(kind, Image) else jnp.float32
    batch = {
        "image": jax.ShapeDtypeStruct((2, *kind.shape), dtype),
        "label": jax.ShapeDtypeStruct((2,), jnp.int32),
        "index": jax.ShapeDtypeStruct((2,), jnp.uint32),
        "position": jax.ShapeDtypeStruct((2,), jnp.uint32),
    }
    return exp.algorithm(spec), batch


@pytest.mark.parametrize("name", PAPERS)
def test_a_recipe_is_of_the_size_of_its_paper(name):
    made, batch = algorithm(name)
    state = jax.eval_shape(made.init, jax.random.key(0), batch)
    size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params))
    assert size == pytest.approx(PAPERS[name], rel=0.01), size


@pytest.mark.all
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_recipe_takes_a_step_and_draws_samples(name):
    made, batch = algorithm(name)
    key = jax.random.key(0)
    # shapes alone: that all goes together
    state = jax.eval_shape(made.init, key, batch)
    after, metrics = jax.eval_shape(made.step, key, state, batch)
    assert jax.tree.structure(after) == jax.tree.structure(state) and "loss" in metrics
    drawn = jax.eval_shape(made.sample, key, state, batch)
    assert drawn.shape == batch["image"].shape


def test_recipes_are_configs_with_numbers_of_fifty_thousand_samples():
    for name, exp in EXPERIMENTS.items():
        assert repr(from_json(to_json(exp))) == repr(exp), name
        (published,) = exp.published
        many = edit(exp, {"watch.samples": 50_000})
        few = edit(exp, {"watch.samples": 10_000})
        assert published.stands(many) == (exp.data is not None), name
        assert not published.stands(few), name
    plain, labels = EXPERIMENTS["edm_cifar10"], EXPERIMENTS["edm_cifar10_labels"]
    assert labels.algorithm.condition == (Label(),)
    many = edit(labels, {"watch.samples": 50_000})
    assert not plain.published[0].stands(many)


def test_a_recipe_without_its_data_asks_for_them():
    with pytest.raises(UserError, match="--data and --algorithm must be configs"):
        check(EXPERIMENTS["dit_xl_2"])


def test_steps_are_those_of_the_papers_in_images():
    images = {name: exp.steps * exp.batch for name, exp in EXPERIMENTS.items()}
    assert images["dit_xl_2"] == 7_000_000 * 256
    assert images["jit_b_16"] == pytest.approx(600 * 1_281_167, rel=1e-3)
    assert images["edm_cifar10"] == pytest.approx(200e6, rel=1e-5)
    warm = EXPERIMENTS["edm_cifar10"].algorithm
    assert warm.optimiser.warmup * 512 == pytest.approx(10e6, rel=1e-4)
    assert warm.ema.decay ** (500_000 / 512) == pytest.approx(0.5)


def test_every_recipe_has_its_row_of_deviations():
    text = test_deviations.PAGE.read_text(encoding="utf-8")
    named = {first for first, *_ in test_deviations.rows(text)}
    for name in ("DIT_XL_2", "JIT_B_16", "EDM_CIFAR10"):
        assert any(f"`recipes.{name}`" in first for first in named), name
