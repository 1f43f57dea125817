from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.config import (
    diff,
    digest,
    edit,
    field,
    from_json,
    identity,
    lookup,
    to_json,
    type_name,
    walk,
)
from genjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Bernoulli:
    pass


@dataclasses.dataclass(frozen=True)
class Gaussian:
    scale: float = field(1.0, "standard deviation")

    def __call__(self, x):
        return x * self.scale

    def __post_init__(self):
        if self.scale < 0:
            raise ValueError("scale must not be negative")


class Shape(Protocol):
    def __call__(self, x): ...


class Net(nn.Module):
    hidden: tuple[int, ...] = field((4,), "widths")
    activation: Callable = field(Gaussian(), "after every layer")
    inner: nn.Module | None = field(None, "a net in a net")
    remat: bool = field(False, "trade time for memory", execution=True)

    @nn.compact
    def __call__(self, x):
        for width in self.hidden:
            x = self.activation(nn.Dense(width)(x))
        return x


class Own(nn.Module):
    """A researcher's module: plain annotations and no docs."""

    width: int = 3
    rate: float = None

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


class Act(nn.Module):
    act: Callable = nn.relu


@dataclasses.dataclass(frozen=True)
class VAE:
    enc: nn.Module = field(Net(), "x -> z")
    likelihood: Bernoulli | Gaussian = field(Bernoulli(), "p(x | z)")
    beta: float = field(1.0, "weight of the KL")
    clip: float | None = field(None, "largest gradient norm")
    count: int = field(1, "importance samples")
    limits: tuple[float, float] = field((-6.0, 2.0), "of the log variance")
    names: Sequence[str] = field(("a",), "of the parts")
    padding: Literal["same", "valid"] = field("same", "of the convolutions")
    either: float | int = field(1, "a number")
    shape: Shape = field(Gaussian(), "a protocol")
    extra: Any = field(None, "anything")
    dynamic: bool = field(True, "binarise")
    terms: tuple[Gaussian | Bernoulli, ...] = field((), "mixture")
    note: str = field("", "a remark")


@dataclasses.dataclass(frozen=True)
class Mesh:
    fsdp: int = field(1, "devices")


@dataclasses.dataclass(frozen=True)
class Run:
    algorithm: VAE = field(VAE(), "what is trained")
    steps: int = field(100, "of training")
    layout: Mesh = field(Mesh(), "over devices", execution=True)
    path: str = field("runs", "where", execution=True)


RUN = Run()


def test_edit_returns_a_new_config_and_leaves_the_old():
    new = edit(RUN, {"algorithm.beta": 4.0, "steps": 5})
    assert (new.algorithm.beta, new.steps) == (4.0, 5)
    assert Run() == RUN and new.algorithm.enc == RUN.algorithm.enc


def test_edits_apply_in_order_so_a_choice_can_be_made_and_then_tuned():
    new = edit(RUN, {"algorithm.likelihood": Gaussian(), "algorithm.likelihood.scale": 0.5})
    assert new.algorithm.likelihood == Gaussian(0.5)
    with pytest.raises(
        UserError, match="algorithm.likelihood.scale: Bernoulli has no field 'scale'"
    ):
        edit(RUN, {"algorithm.likelihood.scale": 0.5})


def test_edit_reaches_into_linen_modules_and_the_result_is_a_working_module():
    new = edit(RUN, {"algorithm.enc.hidden": (7, 5), "algorithm.enc.activation.scale": 2.0})
    assert isinstance(new.algorithm.enc, Net) and new.algorithm.enc.activation == Gaussian(2.0)
    shape = jax.eval_shape(
        new.algorithm.enc.init_with_output, jax.random.key(0), jnp.zeros((2, 3))
    )[0].shape
    assert shape == (2, 5)


def test_a_module_from_elsewhere_drops_in():
    new = edit(RUN, {"algorithm.enc": Own(), "algorithm.enc.width": 9, "algorithm.enc.rate": 1})
    assert new.algorithm.enc == Own(9, 1.0) and from_json(to_json(new)) == new
    nested = edit(RUN, {"algorithm.enc.inner": Own(), "algorithm.enc.inner.width": 2})
    assert nested.algorithm.enc.inner.width == 2 and from_json(to_json(nested)) == nested


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("algorithm.bta", "algorithm.bta: VAE has no field 'bta'. Did you mean beta"),
        ("beta", "beta: Run has no field 'beta'. Did you mean algorithm.beta?"),
        (
            "algoritm.beta",
            "algoritm.beta: Run has no field 'algoritm'. Did you mean algorithm.beta?",
        ),
        ("algorithm.enc.widths.x", "algorithm.enc.widths.x: Net has no field 'widths'."),
        ("steps.x", "steps.x: int has no field 'x'."),
        ("algorithm.enc.parent", "algorithm.enc.parent: Net has no field 'parent'."),
        ("algorithm.enc.name", "algorithm.enc.name: Net has no field 'name'."),
        ("", ": Run has no field ''."),
    ],
)
def test_unknown_paths_are_named_with_the_nearest(path, message):
    with pytest.raises(UserError) as error:
        edit(RUN, {path: 1})
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("beta", "x", "expected float, got 'x' (str)"),
        ("beta", True, "expected float, got True (bool)"),
        ("beta", None, "expected float, got None (NoneType)"),
        ("count", 1.0, "expected int, got 1.0 (float)"),
        ("count", True, "expected int, got True (bool)"),
        ("dynamic", 1, "expected bool, got 1 (int)"),
        ("clip", "x", "expected float | None, got 'x' (str)"),
        ("limits", (1.0,), "expected tuple[float, float], got (1.0,) (tuple)"),
        ("limits", 1.0, "expected tuple[float, float], got 1.0 (float)"),
        ("enc.hidden", (1, 2.5), "expected tuple[int, ...], got (1, 2.5) (tuple)"),
        ("names", "abc", "expected Sequence[str], got 'abc' (str)"),
        ("padding", "circular", "expected Literal['same', 'valid'], got 'circular' (str)"),
        ("likelihood", Mesh(), "expected Bernoulli | Gaussian, got Mesh"),
        ("likelihood", Gaussian, "Gaussian'> (type) cannot be part of a config"),
        ("enc", Gaussian(), "expected Module, got Gaussian"),
        ("enc.activation", Bernoulli(), "expected Callable, got Bernoulli"),
        ("enc.activation", 3, "expected Callable, got 3 (int)"),
        ("shape", 3, "expected Shape, got 3 (int)"),
        (
            "extra",
            {"a": 1},
            "{'a': 1} (dict) cannot be part of a config, which holds int, float,",
        ),
        ("extra", (1, len), "cannot be part of a config"),
    ],
)
def test_wrong_types_are_named_with_path_expectation_and_value(path, value, message):
    with pytest.raises(UserError) as error:
        edit(RUN, {f"algorithm.{path}": value})
    assert str(error.value).startswith(f"algorithm.{path}: ") and message in str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "result"),
    [
        ("beta", 4, 4.0),
        ("beta", np.float32(0.5), 0.5),
        ("beta", np.float64(0.1), 0.1),
        ("count", np.int64(3), 3),
        ("clip", 1, 1.0),
        ("clip", None, None),
        ("limits", [1, 2], (1.0, 2.0)),
        ("names", ["x", "y"], ("x", "y")),
        ("enc.hidden", (), ()),
        ("either", 3, 3),
        ("either", 3.0, 3.0),
        ("padding", "valid", "valid"),
        ("extra", (1, "a", None), (1, "a", None)),
        ("extra", Mesh(2), Mesh(2)),
        ("enc.activation", Gaussian(3), Gaussian(3.0)),
        ("terms", (Gaussian(1), Bernoulli()), (Gaussian(1.0), Bernoulli())),
    ],
)
def test_values_become_what_the_annotation_says(path, value, result):
    found = lookup(edit(RUN, {f"algorithm.{path}": value}), f"algorithm.{path}")[1]
    assert repr(found) == repr(result)  # repr: 4 is not 4.0, nor a numpy number a float


def test_values_inside_a_constructed_value_are_checked_too():
    with pytest.raises(
        UserError, match=r"algorithm.likelihood.scale: expected float, got '0' \(str\)"
    ):
        edit(RUN, {"algorithm.likelihood": _unchecked("0")})
    with pytest.raises(UserError, match=r"algorithm.terms\[1\].scale: expected float"):
        edit(RUN, {"algorithm.terms": (Bernoulli(), _unchecked("0"))})


def _unchecked(scale):
    value = Gaussian()
    object.__setattr__(value, "scale", scale)
    return value


def test_what_a_config_itself_refuses_is_a_user_error():
    with pytest.raises(UserError, match="algorithm.shape.scale: scale must not be negative"):
        edit(RUN, {"algorithm.shape.scale": -1.0})


def test_functions_are_refused_with_the_remedy():
    with pytest.raises(UserError, match=r"algorithm.enc.act: .*one with __call__"):
        edit(RUN, {"algorithm.enc": Act()})


def test_diff_names_what_an_edit_changed():
    changes = {"algorithm.beta": 4.0, "algorithm.enc.hidden": (1, 2), "layout.fsdp": 2}
    assert diff(RUN, edit(RUN, changes)) == {
        "algorithm.beta": (1.0, 4.0),
        "algorithm.enc.hidden": ((4,), (1, 2)),
        "layout.fsdp": (1, 2),
    }
    other = edit(RUN, {"algorithm.likelihood": Gaussian()})
    assert diff(RUN, other) == {"algorithm.likelihood": (Bernoulli(), Gaussian())}
    assert diff(RUN, RUN) == {} and diff(Mesh(), Bernoulli()) == {"": (Mesh(), Bernoulli())}


def test_diff_compares_values_not_spellings():
    nan = edit(RUN, {"algorithm.beta": math.nan})
    assert diff(nan, edit(RUN, {"algorithm.beta": float("nan")})) == {}
    assert diff(VAE(beta=1), VAE(beta=1.0)) == {}
    assert diff(VAE(extra=1), VAE(extra=True)) == {"extra": (1, True)}


@pytest.mark.parametrize("value", [0.1, 1e-300, 1 / 3, -0.0, math.inf, -math.inf, 1e22, 5e-324])
def test_json_keeps_every_float_exactly(value):
    again = from_json(to_json(VAE(beta=value)))
    assert again.beta == value and math.copysign(1, again.beta) == math.copysign(1, value)


def test_json_round_trip():
    assert math.isnan(from_json(to_json(VAE(beta=math.nan))).beta)
    changes = {
        "algorithm.likelihood": Gaussian(0.3),
        "algorithm.limits": (-math.inf, 0.5),
        "algorithm.extra": (1, 1.0, True, None, "é\n", (), (Mesh(3), (2,))),
        "algorithm.terms": (Gaussian(), Bernoulli()),
        "algorithm.enc": Net((1,), inner=Own(2)),
        "path": "/elsewhere",
    }
    cfg = edit(RUN, changes)
    again = from_json(to_json(cfg))
    assert again == cfg and repr(again) == repr(cfg)  # repr: 1 is not True
    assert to_json(again) == to_json(cfg)
    json.loads(to_json(cfg), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_json_is_canonical_and_names_types():
    data = json.loads(to_json(RUN))
    assert (
        data["__type__"] == f"{__name__}:Run"
        and data["algorithm"]["enc"]["__type__"] == f"{__name__}:Net"
    )
    assert "parent" not in data["algorithm"]["enc"] and "name" not in data["algorithm"]["enc"]
    assert list(data["algorithm"]) == sorted(data["algorithm"])
    assert to_json(VAE(beta=1)) == to_json(VAE(beta=1.0))
    assert "layout" not in identity(RUN) and "remat" not in identity(RUN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the JSON of a config: Expecting property name"),
        ("3", "the JSON of a config: expected an object with a __type__, got 3 (int)"),
        ("{}", "there is no type None to import"),
        ('{"__type__": "no_such_module:A"}', "there is no type 'no_such_module:A' to import"),
        ('{"__type__": ":A"}', "there is no type ':A' to import"),
        ('{"__type__": "HERE:Nothing"}', "there is no type 'HERE:Nothing' to import"),
        (
            '{"__type__": "os:system"}',
            "'os:system' is neither a frozen dataclass nor a linen module",
        ),
        (
            '{"__type__": "collections:OrderedDict"}',
            "is neither a frozen dataclass nor a linen module",
        ),
        (
            '{"__type__": "HERE:Mesh", "fdsp": 1}',
            "Mesh.fdsp: Mesh has no field 'fdsp'. Did you mean fsdp?",
        ),
        ('{"__type__": "HERE:Mesh", "fsdp": "1"}', "Mesh.fsdp: expected int, got '1' (str)"),
        ('{"__type__": "HERE:Net", "name": "x"}', "Net.name: Net has no field 'name'."),
        (
            '{"__type__": "HERE:Gaussian", "scale": {"__float__": "1e5"}}',
            "there is no type None",
        ),
        (
            '{"__type__": "HERE:Gaussian", "scale": -1.0}',
            "Gaussian: scale must not be negative",
        ),
    ],
)
def test_bad_json_is_a_user_error(text, message):
    with pytest.raises(UserError) as error:
        from_json(text.replace("HERE", __name__))
    assert message.replace("HERE", __name__) in str(error.value)


def test_a_mutable_dataclass_is_no_config(monkeypatch):
    mutable = dataclasses.make_dataclass("Mutable", [("a", int, 1)])
    monkeypatch.setitem(sys.modules, "a_module", types.SimpleNamespace(Mutable=mutable))
    with pytest.raises(UserError, match="neither a frozen dataclass"):
        from_json('{"__type__": "a_module:Mutable"}')
    with pytest.raises(UserError, match="cannot be part of a config"):
        edit(RUN, {"algorithm.extra": mutable()})


def test_a_missing_required_field_is_a_user_error(monkeypatch):
    required = dataclasses.make_dataclass("Required", [("a", int)], frozen=True)
    monkeypatch.setitem(sys.modules, "a_module", types.SimpleNamespace(Required=required))
    with pytest.raises(UserError, match="Required: .*missing.*'a'"):
        from_json('{"__type__": "a_module:Required"}')


def test_digest_depends_on_the_result_only():
    assert digest(RUN) == digest(Run()) and len(digest(RUN)) == 8 and int(digest(RUN), 16) >= 0
    same = {"layout": Mesh(4), "layout.fsdp": 2, "path": "/x", "algorithm.enc.remat": True}
    assert digest(edit(RUN, same)) == digest(RUN)
    others = {
        "algorithm.beta": 2.0,
        "steps": 1,
        "algorithm.enc.hidden": (5,),
        "algorithm.likelihood": Gaussian(),
    }
    assert (
        len(
            {digest(edit(RUN, {path: value})) for path, value in others.items()} | {digest(RUN)}
        )
        == 5
    )
    assert digest(VAE(beta=1)) == digest(VAE(beta=1.0)) and digest(VAE(extra=1)) != digest(
        VAE(extra=True)
    )


def test_digest_is_that_of_the_identity_in_any_process():
    text = '{\n  "__type__": "Mesh",\n  "fsdp": 2\n}'
    assert identity(Mesh(2)) == text
    assert digest(Mesh(2)) == hashlib.sha256(text.encode()).hexdigest()[:8]


def moved(cls: type, module: str) -> type:
    """A class of the same name and fields in another module."""
    specs = [
        (f.name, f.type, dataclasses.field(default=f.default)) for f in dataclasses.fields(cls)
    ]
    new = dataclasses.make_dataclass(cls.__name__, specs, frozen=True)
    new.__module__ = module
    return new


def test_a_class_may_move_and_keeps_its_digest():
    assert digest(moved(Mesh, "elsewhere")(2)) == digest(Mesh(2))


def test_two_classes_of_one_name_are_refused():
    other = moved(Gaussian, "elsewhere")
    with pytest.raises(
        UserError, match="Gaussian and elsewhere:Gaussian share the name Gaussian"
    ):
        digest(VAE(extra=(Gaussian(0.3), other(0.3))))


def test_a_field_added_later_changes_no_digest_at_its_default():
    old = dataclasses.make_dataclass("Grown", [("a", int, 1)], frozen=True)
    fields = [("a", int, 1), ("b", int, field(2, "new", added=True))]
    new = dataclasses.make_dataclass("Grown", fields, frozen=True)
    assert digest(new(5)) == digest(old(5))
    assert digest(new(5, 3)) != digest(old(5))


def test_a_class_of_the_running_script_is_named_by_its_module(monkeypatch):
    own = dataclasses.make_dataclass("OfMain", [("a", int, 1)], frozen=True)
    own.__module__ = "__main__"
    main = types.SimpleNamespace(
        OfMain=own, __spec__=types.SimpleNamespace(name="experiments.mine")
    )
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert json.loads(to_json(own()))["__type__"] == "experiments.mine:OfMain"
    assert type(from_json(to_json(own(2)))) is own  # not a second copy, imported
    main.__spec__ = None
    assert json.loads(to_json(own()))["__type__"] == "__main__:OfMain"


def test_walk_lists_every_field_a_config_before_its_own():
    rows = {
        path: (hint, value, doc, execution) for path, hint, value, doc, execution in walk(RUN)
    }
    assert rows["algorithm.beta"] == (float, 1.0, "weight of the KL", False)
    assert rows["algorithm.enc.hidden"] == (tuple[int, ...], (4,), "widths", False)
    assert rows["layout.fsdp"] == (int, 1, "devices", True)  # below an execution field
    assert rows["algorithm.enc.remat"][3] is True
    assert not {"algorithm.enc.name", "algorithm.enc.parent"} & set(rows)
    paths = list(rows)
    assert paths.index("algorithm.enc") + 1 == paths.index("algorithm.enc.hidden")
    assert paths[0] == "algorithm" and paths[-1] == "path"
    assert all(lookup(RUN, path)[1] is value for path, (_, value, _, _) in rows.items())


def test_unresolved_annotations_name_the_class():
    class Local(nn.Module):
        width: NoSuchType = 1  # noqa: F821

    with pytest.raises(
        UserError, match=r"annotations of .*Local: name 'NoSuchType' is not defined"
    ):
        edit(RUN, {"algorithm.enc": Local()})


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (float, "float"),
        (float | None, "float | None"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Bernoulli | Gaussian, "Bernoulli | Gaussian"),
        (nn.Module | None, "Module | None"),
        (Callable[[int], float], "Callable[[int], float]"),
        (Any, "Any"),
    ],
)
def test_type_names_are_short(hint, name):
    assert type_name(hint) == name
