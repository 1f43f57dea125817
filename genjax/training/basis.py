"""What a stored number was measured on, so that it is never read back, or shown, as one of something else.

A run's digest knows nothing of execution fields: the sampler's steps, the samples that are counted, a metric's
neighbours. Results depend on them, so each entry of results.json carries its `Basis`: the step of the weights, the
algorithm with all its fields, the data's mark (of sizes and some examples: `data.fingerprint`) and the config of what
was measured. An entry of another basis is measured again.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genjax.config import fields, is_config, to_json
from genjax.report.text import differing, kind

Basis = dict[str, Any]  # hash, step, settings {path: text}, code {class: hash}
PYTHON = "python"  # among the classes of `code`: the syntax tree is written differently by each release


def basis(what: Any, of: Any, data: str, step: int, settings: Mapping[str, str]) -> Basis:
    """The basis of what the config `what` measures of the config `of`, an algorithm say, at `step`.

    data: the data's mark; settings: what differs from the config that the run's directory tells of. `what`
    may be a tuple of configs and plain values.
    """
    # whole configs: execution fields are no part of a digest, and decide what a sampler makes
    depends = [_text(what), _text(of), data, step]
    text = json.dumps(depends)
    whole = hashlib.sha256(text.encode()).hexdigest()
    return {
        "hash": whole[:16],
        "step": step,
        "settings": dict(settings),
        "code": code((what, of)),
    }


def _text(value: Any) -> str:
    """A config, or a tuple of configs and plain values, as text that is equal for what is equal."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    return to_json(value) if is_config(value) else repr(value)


def settings(config: Path, algorithm: Any) -> dict[str, str]:
    """{path: its value here} where an algorithm differs from that of a run's config.json: execution fields only."""
    try:
        # as data: reading it as a config would import what the file names
        before = json.loads(config.read_text())["algorithm"]
    except (OSError, ValueError, KeyError, TypeError):  # none there, or no run's
        return {}
    here = json.loads(to_json(algorithm))
    both = [{"algorithm": _filled(before, here, algorithm)}, {"algorithm": here}]
    return {path: texts[1] for path, texts in differing(both)}


def _filled(before: Any, here: Any, cfg: Any) -> Any:
    """The JSON of a config, as data, with fields that its class had not yet, where they are at their defaults here.

    here: the JSON of `cfg`. A field that was added does at its default what was done without it.
    """
    if isinstance(cfg, tuple) and isinstance(before, list) and len(before) == len(cfg):
        parts = zip(before, here, cfg, strict=True)
        return [_filled(*part) for part in parts]
    if not (is_config(cfg) and isinstance(before, dict)) or kind(before) != kind(here):
        return before
    found = dict(before)
    for f in fields(type(cfg)):
        value = getattr(cfg, f.name)
        added = f.metadata.get("added", False) and repr(value) == repr(f.default)
        if f.name in before:
            found[f.name] = _filled(before[f.name], here[f.name], value)
        elif added:
            found[f.name] = here[f.name]
    return found


def code(cfg: Any) -> dict[str, str]:
    """{class: 8 hex digits of its module's source} of every class in a config, comments and layout aside.

    The module and not the class alone: what a config does stands in functions beside it. Classes without a file, typed
    in a notebook, have their own source, or are left out where Python knows none.
    """
    found = {PYTHON: ".".join(platform.python_version_tuple()[:2])}
    for cls in _classes(cfg):
        mark = _mark(cls)
        if mark is not None:
            found[cls.__name__] = mark
    return found


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The classes whose code is another than it was; none where another Python has read it."""
    if before.get(PYTHON) != now.get(PYTHON):
        return []
    return [name for name, mark in now.items() if before.get(name, mark) != mark]


def _classes(value: Any) -> Iterator[type]:
    """Every class of configs in a value, each as often as it is there."""
    if isinstance(value, tuple):
        for part in value:
            yield from _classes(part)
    if not is_config(value):
        return
    yield type(value)
    for f in fields(type(value)):
        yield from _classes(getattr(value, f.name))


@functools.cache
def _mark(cls: type) -> str | None:
    """The hash of the source that a class stands in; None where there is none."""
    module = sys.modules.get(cls.__module__)
    try:
        source = inspect.getsource(module or cls)
    except (OSError, TypeError):
        try:
            source = inspect.getsource(cls)
        except (OSError, TypeError):
            return None
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a class within a function is indented
        return _hash(source)
    for node in ast.walk(tree):
        _without_doc(node)
    return _hash(ast.unparse(tree))


def _without_doc(node: ast.AST) -> None:
    """Takes a docstring away: what is said of code is not what it does."""
    body = getattr(node, "body", None)
    if not isinstance(body, list) or len(body) < 2:  # what is left must not be empty
        return
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        del body[0]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
