"""Every config of the four experiments fits its data, by shapes alone; an experiment's BASE traces a step too."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import bridge, cyclegan, munit, pix2pix
from genjax.core import Spec
from genjax.data import Digits, Domains, Emoji, Heads, Icons, Maps, Relit, Sketched, Unpaired
from genjax.fields import Image
from genjax.findings.translating import Translating


def pictures_of(data) -> tuple[Image, tuple[str, ...], tuple[str, ...]]:
    """(kind of the pictures, their names, domains) of the data of a config."""
    if isinstance(data, Unpaired):
        return *pictures_of(data.pairs)[:1], ("image",), ("a", "b")
    if isinstance(data, Domains):
        return *pictures_of(data.a)[:1], ("image",), data.names
    if isinstance(data, Sketched):
        shape = (8, 8, 1) if isinstance(data.of, Digits) else (data.of.size, data.of.size, 3)
        return Image(shape), ("image", "input"), ()
    names = {Emoji: "styles", Maps: "fields"}.get(type(data))
    found = getattr(data, names) if names else ("image", "input")
    channels = 1 if isinstance(data, Icons) else 3
    return Image((data.size, data.size, channels)), tuple(found), ()


def spec_of(exp) -> Spec:
    kind, names, domains = pictures_of(exp.data)
    return Spec(tuple((name, kind) for name in names), 100, 1, domains)


def batch_of(spec: Spec, n: int) -> dict:
    number = jax.ShapeDtypeStruct((n,), jnp.uint32)
    pictures = {
        name: jax.ShapeDtypeStruct((n, *kind.shape), jnp.uint8) for name, kind in spec.fields
    }
    if not spec.domains:
        return {"index": number, "position": number, **pictures}
    rows = {"index": number, **pictures}
    return {"index": number, "position": number, **dict.fromkeys(spec.domains, rows)}


def case(module, name):
    """One config, left to make test-all unless it is its experiment's BASE."""
    marks = () if name == "base" else (pytest.mark.all,)
    return pytest.param(
        module, name, marks=marks, id=f"{module.__name__.split('.')[-1]}-{name}"
    )


MODULES = (pix2pix, bridge, cyclegan, munit)
CASES = [case(module, name) for module in MODULES for name in module.EXPERIMENTS]


@pytest.mark.parametrize(("module", "name"), CASES)
def test_every_config_fits_its_data(module, name):
    exp = module.EXPERIMENTS[name]
    spec = spec_of(exp)
    algorithm = exp.algorithm(spec)
    given, truth = algorithm.asks
    assert given != truth
    # without a draw of noise there is one answer, and the finding must not ask for two to be different
    (finding,) = [each for each in exp.finish if isinstance(each, Translating)]
    if not getattr(exp.algorithm, "varied", True) and name not in ("digits",):
        assert finding.draws == 1


def traced(module, name):
    """One config; those beside the BASE of pairs are left to make test-all."""
    marks = () if name == "base" and module in (pix2pix, bridge) else (pytest.mark.all,)
    return pytest.param(
        module, name, marks=marks, id=f"{module.__name__.split('.')[-1]}-{name}"
    )


def different(module) -> list[str]:
    """The names of an experiment's configs, of those with the same algorithm the first."""
    found = {}
    for name, exp in module.EXPERIMENTS.items():
        found.setdefault(repr(exp.algorithm), name)
    return list(found.values())


TRACED = [traced(module, name) for module in MODULES for name in different(module)]


@pytest.mark.parametrize(("module", "name"), TRACED)
def test_every_algorithm_traces_its_steps_an_evaluation_and_a_sample(module, name):
    exp = module.EXPERIMENTS[name]
    spec = spec_of(exp)
    algorithm = exp.algorithm(spec)
    batch = batch_of(spec, exp.batch)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(algorithm.init, key, batch)
    for step in dict.fromkeys(algorithm.cycle or (algorithm.step,)):
        after, _ = jax.eval_shape(step, key, state, batch)
        assert jax.tree.structure(after) == jax.tree.structure(state)
    values = jax.eval_shape(algorithm.evaluate, key, state, batch)
    assert all(value.shape == (exp.batch,) for value in values.values())
    given = {each: batch[each] for each in ("index", *algorithm.asks)}
    made = jax.eval_shape(algorithm.sample, key, state, given)
    assert made.shape == (exp.batch, *spec.shape)


def test_two_lights_come_apart_in_training_and_are_whole_in_the_test():
    exp = cyclegan.EXPERIMENTS["lights"]
    assert exp.data.pairs == Relit()
    small = dataclasses.replace(exp.data, pairs=Relit(size=8, people=12, shots=2))
    source = small.load()
    whole = small.pairs.load()
    left, right = (source.train[name] for name in exp.data.names)
    # one pair gives one picture: what one domain has the other has not
    shots = {"left": whole.train["input"], "right": whole.train["image"]}
    rows = {}
    for name, arrays in (("left", left), ("right", right)):
        same = (arrays["image"][:, None] == shots[name][None]).all((2, 3, 4))
        rows[name] = set(same.argmax(1).tolist())
        assert same.any(1).all()
    assert rows["left"] and rows["right"] and not rows["left"] & rows["right"]
    # the truth of the test is known row by row, of people whom no training has
    for name, of in (("left", "input"), ("right", "image")):
        np.testing.assert_array_equal(source.test[name]["image"], whole.test[of])
    trained = {*left["person"].tolist(), *right["person"].tolist()}
    assert not trained & set(source.test["left"]["person"].tolist())
    # and shots of one person are no independent examples, in either finding
    groups = [each.group for each in exp.finish if hasattr(each, "group")]
    assert groups == ["person", "person"]


def test_the_data_of_the_base_are_those_of_heads():
    assert pix2pix.BASE.data == Sketched(Heads()) and pix2pix.LIGHTS.data == Relit()
