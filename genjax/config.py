"""Configs as values: frozen dataclasses that are edited, compared, printed, read back and hashed.

A config holds int, float, bool, str, None, tuples, other frozen dataclasses and linen modules (without linen's own
fields `parent` and `name`). A choice is a value: `likelihood: Bernoulli | Gaussian = field(Bernoulli(), "p(x | z)")`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import json
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import numpy as np

from genjax.errors import UserError, nearest

PLAIN = (bool, int, float, str, types.NoneType)
SEQUENCES = (tuple, list, Sequence, Iterable)
UNFIT = object()  # the answer of _fit where a value has the wrong type; None is a value
HOLDS = "int, float, bool, str, None, tuples, linen modules, frozen dataclasses (for a function: one with __call__)"


class Own(typing.Protocol):
    """Any config: in a union, the place of a user's own class beside those that are named."""


def field(default: Any, doc: str, execution: bool = False, added: bool = False) -> Any:
    """A field of a frozen dataclass or linen module.

    execution: it does not change the result (layout, paths). added: the class had runs before it had this field, and
    its default does what was done then: at the default it is no part of the digest, so those runs stay what they are.
    """
    metadata = {"doc": doc, "execution": execution, "added": added}
    return dataclasses.field(default=default, metadata=metadata)


def edit(cfg: Any, changes: Mapping[str, Any]) -> Any:
    """Returns `cfg` with the values at dotted paths replaced in order; UserError for an unknown path or wrong type."""
    for path, value in changes.items():
        hint, _ = lookup(cfg, path)
        settled = settle(path, value, hint)
        cfg = _replace(cfg, path, path.split("."), settled)
    return cfg


def lookup(cfg: Any, path: str) -> tuple[Any, Any]:
    """Returns the annotated type and the value of the field at a dotted path; raises UserError if there is none.

    A part of a tuple has the name of its class, if no other there has it, or its number: "finish.Samples.n".
    """
    hint, value = type(cfg), cfg
    for name in path.split("."):
        if isinstance(value, tuple):
            place = _place(path, value, name)
            hint, value = _part_hint(hint, place), value[place]
            continue
        known = hints(type(value)) if is_config(value) else {}
        if name not in known:
            last = path.split(".")[-1]
            same = [other for other, *_ in walk(cfg) if other.split(".")[-1] == last]
            raise unknown(path, type(value), name, known, same)
        hint, value = known[name], getattr(value, name)
    return hint, value


def part_names(parts: tuple) -> list[str]:
    """The names of a tuple's parts in dotted paths: the class where one alone has it, else the number."""
    classes = [type(part).__name__ for part in parts]
    return [name if classes.count(name) == 1 else str(i) for i, name in enumerate(classes)]


def _place(path: str, parts: tuple, name: str) -> int:
    """The number of the part of a tuple that a path names."""
    if name.isdecimal() and int(name) < len(parts):
        return int(name)
    names = part_names(parts)
    if name not in names:
        has = ", ".join(names) or "none"
        raise UserError(
            f"{path}: there is no part {name!r}, the parts are {has}.{nearest(name, names)}"
        )
    return names.index(name)


def _part_hint(hint: Any, place: int) -> Any:
    """The annotation of one part of a tuple that is annotated by `hint`."""
    args = typing.get_args(hint)
    if not args:
        return Any
    return args[0] if ... in args or len(args) <= place else args[place]


def walk(
    cfg: Any,
    above: str = "",
    execution: bool = False,
) -> Iterator[tuple[str, Any, Any, str, bool]]:
    """Yields (dotted path, annotated type, value, doc, execution) of every field, a config before its own fields."""
    for f in fields(type(cfg)):
        hint = hints(type(cfg))[f.name]
        path = join(above, f.name)
        value = getattr(cfg, f.name)
        doc = f.metadata.get("doc", "")
        # whatever lies in an execution field is of the execution too
        off = execution or f.metadata.get("execution", False)
        yield path, hint, value, doc, off
        for inner, part in _inside(path, value):
            yield from walk(part, inner, off)


def _inside(path: str, value: Any) -> list[tuple[str, Any]]:
    """The configs in a value, with their paths: itself, or the parts of a tuple."""
    if is_config(value):
        return [(path, value)]
    if isinstance(value, tuple):
        named = zip(part_names(value), value, strict=True)
        return [(join(path, name), part) for name, part in named if is_config(part)]
    return []


def diff(a: Any, b: Any, above: str = "") -> dict[str, tuple[Any, Any]]:
    """Returns {dotted path: (value in a, value in b)} where two configs differ; '' is the path of the whole."""
    # 1 and 1.0 are the same for a float
    a = settle(above, a, type(a))
    b = settle(above, b, type(b))
    if type(a) is type(b) and is_config(a):
        names = [f.name for f in fields(type(a))]
        parts = [diff(getattr(a, name), getattr(b, name), join(above, name)) for name in names]
        return {path: pair for part in parts for path, pair in part.items()}
    same_parts = (
        isinstance(a, tuple) and isinstance(b, tuple) and len(_inside("", a)) == len(a) > 0
    )
    if same_parts and [type(x) for x in a] == [type(x) for x in b]:
        named = zip(part_names(a), a, b, strict=True)
        parts = [diff(x, y, join(above, name)) for name, x, y in named]
        return {path: pair for part in parts for path, pair in part.items()}
    return (
        {above: (a, b)} if repr(a) != repr(b) else {}
    )  # by repr: nan is nan, and True is not 1


def to_json(cfg: Any) -> str:
    """Returns the whole config as canonical JSON: sorted keys, types as "module:QualName"."""
    settled = settle("", cfg, type(cfg))
    return _text(settled, type_path, lambda field, value: True)


def from_json(text: str) -> Any:
    """Returns the config that `to_json` wrote; imports the modules named there, calls nothing but config types."""
    cfg = _checked("the JSON of a config", json.loads, text, object_hook=_decode)
    if not is_config(cfg):
        raise UserError(
            f"the JSON of a config: expected an object with a __type__, got {_describe(cfg)}"
        )
    return cfg


def identity(cfg: Any) -> str:
    """Returns what the result depends on, as canonical JSON: no execution fields, no added fields at their default.

    Types have their class name alone, so that a class may move to another module. UserError where two classes in the
    config share a name: one digest would stand for two results.
    """
    classes: dict[str, type] = {}

    def name(cls: type) -> str:
        other = classes.setdefault(cls.__name__, cls)
        # a class that was defined again, as in a notebook, is the same one
        if other is not cls and type_path(other) != type_path(cls):
            raise UserError(
                f"{type_path(other)} and {type_path(cls)} share the name {cls.__name__}, and a digest knows classes by "
                "their names: give one of them another."
            )
        return cls.__name__

    def counts(field: dataclasses.Field, value: Any) -> bool:
        if field.metadata.get("execution", False):
            return False
        if field.metadata.get("added", False):
            return repr(value) != repr(field.default)
        return True

    settled = settle("", cfg, type(cfg))
    return _text(settled, name, counts)


def digest(cfg: Any) -> str:
    """Returns 8 hex digits that name the result: the hash of `identity`."""
    text = identity(cfg)
    whole = hashlib.sha256(text.encode()).hexdigest()
    return whole[:8]  # 32 bits are enough for the runs of one folder and short in its name


def suffix(cfg: Any) -> str:
    """What tells a config's name from that of its class at its defaults: "_width16_seed1", "" at the defaults.

    So two configs of a class that do not compare have different names. More than two fields, and those that are no
    plain values, are told by 6 digits of the digest.
    """
    parts = []
    plain = True
    for f in fields(type(cfg)):
        value = getattr(cfg, f.name)
        # execution fields do not change the result
        if f.metadata.get("execution", False) or repr(value) == repr(f.default):
            continue
        plain = plain and isinstance(value, int | float | str)
        parts.append(f"_{f.name}{value}")
    if plain and len(parts) <= 2:
        return "".join(parts)
    return f"_{digest(cfg)[:6]}"


def is_config_type(cls: Any) -> bool:
    """Whether `cls` is a frozen dataclass or a linen module (frozen too, though its dataclass does not say so)."""
    if not isinstance(cls, type):
        return False
    # linen freezes its modules by a __setattr__ of its own, of which the dataclass does not know
    params = getattr(cls, "__dataclass_params__", None)
    if not params:
        return False
    return params.frozen or issubclass(cls, nn.Module)


def is_config(value: Any) -> bool:
    """Whether `value` is an instance of a frozen dataclass or a linen module."""
    return is_config_type(type(value))


def fields(cls: type) -> list[dataclasses.Field]:
    """The fields of a config class that its constructor takes, without linen's own."""
    # what linen adds says where a module lies in its parent, not what it computes
    own = ("parent", "name") if issubclass(cls, nn.Module) else ()
    return [f for f in dataclasses.fields(cls) if f.init and f.name not in own]


@functools.cache
def hints(cls: type) -> dict[str, Any]:
    """The resolved annotation of each field; a default of None admits None."""
    found = _checked(f"the annotations of {type_path(cls)}", typing.get_type_hints, cls)
    admitted = {}
    for f in fields(cls):
        # `k: int = None` is common and means `int | None`
        hint = found[f.name]
        admitted[f.name] = hint | None if f.default is None else hint
    return admitted


def unknown(
    path: str,
    cls: type,
    name: str,
    known: Iterable[str],
    elsewhere: Sequence[str] = (),
) -> UserError:
    """The error for a field that is not `known` of `cls`; `elsewhere`: the full paths of fields with that name."""
    near = nearest(name, known)
    if elsewhere:  # a right name in a wrong place says more than a similar one
        near = f" Did you mean {', '.join(elsewhere[:3])}?"
    return UserError(f"{path}: {cls.__name__} has no field {name!r}.{near}")


def build(path: str, cls: type, values: Mapping[str, Any]) -> Any:
    """Returns cls(**values) with every value checked; raises UserError with the full path (`path` is that of cls)."""
    known = hints(cls)
    for name in values:  # before any value is looked at
        if name not in known:
            raise unknown(join(path, name), cls, name, known)
    settled = {}
    for name, value in values.items():
        settled[name] = settle(join(path, name), value, known[name])
    return _checked(path, cls, **settled)


def settle(path: str, value: Any, hint: Any) -> Any:
    """Returns `value`, and all in it, as annotated (3 for a float becomes 3.0, a list a tuple), or raises UserError."""
    fit = _fit(value, hint)
    if fit is UNFIT:
        raise _misfit(path, value, hint)
    if isinstance(
        fit, tuple
    ):  # its own parts fit already; configs within them are still to be settled
        return tuple(settle(f"{path}[{i}]", v, Any) for i, v in enumerate(fit))
    if not is_config(fit):
        return fit
    changed = {}
    for f in fields(type(fit)):
        old = getattr(fit, f.name)
        hint = hints(type(fit))[f.name]
        new = settle(join(path, f.name), old, hint)
        if repr(new) != repr(old):
            changed[f.name] = new
    if not changed:  # the object itself, so that what is equal stays identical
        return fit
    return _checked(path, dataclasses.replace, fit, **changed)


def _misfit(path: str, value: Any, hint: Any) -> UserError:
    """The error for a value that is not as annotated, or of a kind that no config holds."""
    where = path or "config"
    if _recordable(value):
        return UserError(f"{where}: expected {type_name(hint)}, got {_describe(value)}")
    return UserError(
        f"{where}: {_describe(value)} cannot be part of a config, which holds {HOLDS}"
    )


def type_name(hint: Any) -> str:
    """Returns an annotation as it is read, without modules: `float`, `Bernoulli | Gaussian`, `tuple[int, ...]`."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__name__
    return re.sub(r"[\w.<>]*\.(?=\w)", "", str(hint))  # "module." before each name goes


def type_path(cls: type) -> str:
    """Returns "module:QualName", also for a class of the running script the name that others import it by."""
    module = cls.__module__
    if module == "__main__":
        module = _main_name()
    return f"{module}:{cls.__qualname__}"


def join(above: str, name: str) -> str:
    """Returns the dotted path of the field `name` of the config at `above` ('' is the root)."""
    return f"{above}.{name}" if above else name


def _main_name() -> str:
    """The name that others import the running script by."""
    script = sys.modules["__main__"]
    spec = getattr(
        script, "__spec__", None
    )  # None where a file or a notebook runs, not a module
    return spec.name if spec else "__main__"


def _describe(value: Any) -> str:
    """A value for an error: a config by its type alone, as it may be pages long."""
    kind = type(value).__name__
    return kind if is_config(value) else f"{value!r} ({kind})"


def _checked(path: str, make: Any, /, *args: Any, **kwargs: Any) -> Any:
    """make(*args, **kwargs); what it refuses (bad JSON, a missing argument, a __post_init__) is the user's mistake."""
    try:
        return make(*args, **kwargs)
    except (TypeError, ValueError, NameError) as error:
        raise UserError(f"{path or 'config'}: {error}") from error


def _replace(cfg: Any, path: str, names: list[str], value: Any) -> Any:
    """`cfg` with the value at the end of `names` replaced; `path` is for the error."""
    name, *rest = names
    if isinstance(cfg, tuple):
        place = _place(path, cfg, name)
        new = _replace(cfg[place], path, rest, value) if rest else value
        return (*cfg[:place], new, *cfg[place + 1 :])
    new = _replace(getattr(cfg, name), path, rest, value) if rest else value
    return _checked(path, dataclasses.replace, cfg, **{name: new})


def _recordable(value: Any) -> bool:
    """Whether a config may hold the value, whatever its annotation says."""
    if isinstance(value, (*PLAIN, np.bool_, np.integer, np.floating)):
        return True
    if type(value) in (tuple, list):
        return all(map(_recordable, value))
    return is_config(value)


def _fit(value: Any, hint: Any) -> Any:
    """The value as `hint` wants it, or UNFIT; the fields of a config in it are not looked at."""
    if isinstance(value, np.generic):  # a sweep over np.logspace gives numpy's numbers
        value = value.item()
    if type(value) is list:
        value = tuple(value)
    origin = typing.get_origin(hint)
    args = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _fit_union(value, args)
    if hint in SEQUENCES or origin in SEQUENCES:
        fixed = origin is tuple and ... not in args  # tuple[int, str], an annotation each
        return _fit_tuple(value, args, args if fixed else None)
    if hint is float and type(value) is int:
        return float(value)
    return value if _fits(value, hint, origin, args) else UNFIT


def _fits(value: Any, hint: Any, origin: Any, args: tuple) -> bool:
    """Whether a value is as annotated without any change."""
    if hint in PLAIN:
        return type(value) is hint  # so True is no int
    if origin is typing.Literal:
        return value in args
    if Callable in (hint, origin):
        return is_config(value) and callable(value)  # a bare function could not be recorded
    if isinstance(hint, type) and hint not in (object, Any):
        protocol = getattr(
            hint, "_is_protocol", False
        )  # what it asks for shows when it is called
        return is_config(value) and (protocol or isinstance(value, hint))
    return _recordable(value)


def _fit_union(value: Any, args: tuple) -> Any:
    """The value as the first of the types wants it that leaves it as it is: 3 stays 3 in `float | int`."""
    fits = []
    for arg in args:
        fit = _fit(value, arg)
        if fit is not UNFIT:
            fits.append(fit)
    for fit in fits:
        if repr(fit) == repr(value):  # not ==, by which 3 is 3.0
            return fit
    return fits[0] if fits else UNFIT


def _fit_tuple(value: Any, args: tuple, each: tuple | None) -> Any:
    """A tuple with its parts as `each` wants them, or all as args[0] does where `each` is None."""
    if type(value) is not tuple:
        return UNFIT
    if each is not None and len(each) != len(value):
        return UNFIT
    if not each:
        one = args[0] if args else Any
        each = (one,) * len(value)
    # in this order: an annotation for each part
    fits = tuple(map(_fit, value, each))
    if any(fit is UNFIT for fit in fits):
        return UNFIT
    return fits


def _text(
    cfg: Any,
    name: Callable[[type], str],
    counts: Callable[[dataclasses.Field, Any], bool],
) -> str:
    """The JSON of a config whose types are named by `name`, of the fields that `counts(field, value)` picks."""

    def encode(value: Any) -> Any:
        if is_config(value):
            return encode_fields(value)
        if isinstance(value, tuple):  # read back as a list, which `settle` makes a tuple
            return [encode(v) for v in value]
        if isinstance(value, float) and not math.isfinite(value):  # JSON has no such numbers
            return {"__float__": repr(value)}
        return value

    def encode_fields(value: Any) -> dict[str, Any]:
        kept = {}
        for f in fields(type(value)):
            inner = getattr(value, f.name)
            if counts(f, inner):
                kept[f.name] = encode(inner)
        kept["__type__"] = name(type(value))
        return kept

    return json.dumps(encode(cfg), indent=2, sort_keys=True, allow_nan=False)


def _decode(data: dict[str, Any]) -> Any:
    if data.get("__float__") in ("inf", "-inf", "nan"):
        return float(data["__float__"])
    # json calls this for the innermost objects first, so the values of `data` are configs already
    cls = _find(data.pop("__type__", None))
    return build(cls.__name__, cls, data)


def _find(name: Any) -> type:
    """The config type that `type_path` named."""
    module, _, qualname = str(name).partition(":")
    if module == _main_name():  # importing the running script by its name would run it again
        module = "__main__"
    try:
        home: Any = importlib.import_module(module)
        found = functools.reduce(getattr, qualname.split("."), home)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(f"there is no type {name!r} to import: {error}") from None
    if not is_config_type(found):
        raise UserError(f"{name!r} is neither a frozen dataclass nor a linen module")
    return found
