"""The command line of an experiment: `python -m experiments.vae [ablation] --algorithm.beta=4 --layout='Mesh(fsdp=2)'`.

A value is a Python literal or a constructor call of a type that the field admits, read with `ast` and never evaluated.
Exit codes: 0 done, 1 crash (traceback), 2 user error (one line on stderr), 75 preempted, 130 interrupted.
"""

from __future__ import annotations

import ast
import shlex
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import flax.linen as nn

from genjax import config
from genjax.errors import Preempted, UserError, nearest

WORDS = {"true": True, "false": False, "inf": float("inf"), "nan": float("nan")}


def main(
    experiments: Mapping[str, Any], run: Callable, doc: str, argv: Sequence[str] | None = None
) -> NoReturn:
    """Calls run(config, name, origin) for one of `experiments` (unnamed: the first) as the arguments say, and exits.

    origin: {"command", "question", "differences"}, what a report tells of where a run comes from.
    """
    try:
        _main(experiments, run, doc, sys.argv[1:] if argv is None else argv)
        code, message = 0, ""
    except UserError as error:
        code, message = 2, f"error: {error}"
    except Preempted as error:
        code, message = 75, f"preempted: {error}"
    except KeyboardInterrupt:
        code, message = 130, "interrupted"
    sys.stdout.flush()
    if message:
        print(" ".join(message.splitlines()), file=sys.stderr, flush=True)
    sys.exit(code)


def read(path: str, text: str, hint: Any, current: Any = None) -> Any:
    """Returns the value that `text` gives to the field at `path`, where str needs no quotes, or raises UserError.

    hint: the field's annotation; current: its value, which says what an open annotation (Any, Callable) admits.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        node = ast.Name(text)  # no Python, so at best a bare word such as /data/x
    try:
        return config.settle(path, _value(path, node, hint, current), hint)
    except UserError:
        takes_text = str in (hint, *typing.get_args(hint)) or isinstance(current, str)
        if not takes_text or (isinstance(node, ast.Call) and constructors(hint, current)):
            raise
        return config.settle(path, text, hint)


def constructors(hint: Any, current: Any = None) -> dict[str, type]:
    """Returns {"module.QualName": class} of the config types that an annotation admits, loaded linen modules too."""
    if (
        hint in (Any, object)
        or Callable in (hint, typing.get_origin(hint))
        or getattr(hint, "_is_protocol", False)
    ):
        home = type(current).__module__
        near = (
            [*vars(sys.modules[home]).values(), type(current)] if config.is_config(current) else []
        )
        found = [c for c in near if config.is_config_type(c) and c.__module__ == home]
    elif config.is_config_type(hint) or hint is nn.Module:
        found = [
            c
            for c in _family(hint)
            if c is not nn.Module and (c is hint or not c.__module__.startswith("flax."))
        ]
    else:  # a union or a tuple: what its parts admit
        present = current if isinstance(current, tuple) and current else (current,)
        admitted = {}
        for part in typing.get_args(hint):
            for each in present:
                admitted |= constructors(part, each)
        return admitted
    return {
        config.type_path(c).replace(":", "."): c for c in found
    }  # a class defined again replaces the old one


def show(value: Any) -> str:
    """Returns a value as `read` takes it: constructors with the arguments that are not the defaults."""
    if isinstance(value, tuple):
        return f"({', '.join(map(show, value))}{',' * (len(value) == 1)})"
    if not config.is_config(value):
        return repr(value)
    pairs = [(f, getattr(value, f.name)) for f in config.fields(type(value))]
    given = [f"{f.name}={show(v)}" for f, v in pairs if repr(v) != repr(f.default)]
    return f"{type(value).__name__}({', '.join(given)})"


def _main(experiments: Mapping[str, Any], run: Callable, doc: str, argv: Sequence[str]) -> None:
    action, name, flags = _split(list(argv))
    name = name or next(iter(experiments))
    if name not in experiments:
        raise UserError(
            f"unknown ablation {name!r}: choose from {', '.join(experiments)}.{nearest(name, experiments)}"
        )
    cfg = experiments[name]
    for path, text in flags:
        cfg = _set(cfg, path, text)
    if action == "help":
        print(_help(experiments, name, cfg, doc))
    elif action == "list":
        print(_list(experiments))
    elif action == "print":
        print(f"{config.to_json(cfg)}\ndigest {config.digest(cfg)}")
    else:
        run(cfg, name, _origin(next(iter(experiments.values())), cfg, doc, argv))


def _origin(base: Any, cfg: Any, doc: str, argv: Sequence[str]) -> dict[str, Any]:
    """What was typed, the first paragraph of the docs, {path: [value in the base, value here]}, all as texts."""
    command = shlex.join(["python", *_program().split(), *argv])
    differences = {path: [show(a), show(b)] for path, (a, b) in config.diff(base, cfg).items()}
    return {
        "command": command,
        "question": " ".join(doc.strip().split("\n\n")[0].split()),
        "differences": differences,
    }


def _program() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"-m {spec.name}" if spec else sys.argv[0]


def _split(tokens: list[str]) -> tuple[str, str, list[tuple[str, str | None]]]:
    """The arguments as (action or '', ablation or '', [(path, text or None where it is missing)])."""
    action, words, flags = "", [], []
    while tokens:
        token = tokens.pop(0)
        path, given, text = token.lstrip("-").partition("=")
        if not token.startswith("-"):
            words.append(token)
        elif path in ("help", "h", "list", "print") and not given:
            action = "help" if path == "h" else path
        else:
            follows = not given and tokens and not tokens[0].startswith("--")
            flags.append((path, text if given else tokens.pop(0) if follows else None))
    if len(words) > 1:
        raise UserError(
            f"expected one ablation, got {' '.join(words)}: values are given as --path=value"
        )
    return action, "".join(words), flags


def _set(cfg: Any, path: str, text: str | None) -> Any:
    try:
        hint, current = config.lookup(cfg, path)
    except UserError as error:
        raise UserError(f"unknown flag --{error} See --help.") from None
    if text is None:
        raise UserError(
            f"{path}: missing value, expected {config.type_name(hint)}: write --{path}=value"
        )
    return config.edit(cfg, {path: read(path, text, hint, current)})


def _value(path: str, node: ast.expr, hint: Any, current: Any) -> Any:
    """The value of a syntax tree; the types of plain values are left to `config.settle`."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(word) if word in WORDS:
            return WORDS[word]
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float()) | ast.Name("inf")):
            return -_value(path, node.operand, hint, current)
        case ast.Tuple(parts) | ast.List(parts):
            return tuple(
                _value(f"{path}[{i}]", part, hint, current) for i, part in enumerate(parts)
            )
        case ast.Call():
            return _construct(path, node, _choose(path, ast.unparse(node.func), hint, current))
    raise UserError(
        f"{path}: expected {config.type_name(hint)}, got {ast.unparse(node)} (types need (), texts quotes)"
    )


def _construct(path: str, node: ast.Call, cls: type) -> Any:
    fields, known = config.fields(cls), config.hints(cls)
    order, default = [f.name for f in fields if not f.kw_only], {f.name: f.default for f in fields}
    if len(node.args) > len(order):
        raise UserError(f"{path}: {cls.__name__} takes {len(order)} values, got {len(node.args)}")
    values = {}
    for name, argument in [
        *zip(order, node.args, strict=False),
        *((k.arg, k.value) for k in node.keywords),
    ]:
        below = config.join(path, str(name))
        if name not in known:
            raise config.unknown(below, cls, str(name), known)
        if name in values:
            raise UserError(f"{below}: given twice")
        values[name] = _value(below, argument, known[name], default[name])
    return config.build(path, cls, values)


def _choose(path: str, name: str, hint: Any, current: Any) -> type:
    admitted = constructors(hint, current)
    found = [full for full in admitted if f".{full}".endswith(f".{name}")]
    if len(found) > 1:
        raise UserError(f"{path}: {name} has several meanings: write {' or '.join(found)}")
    if not found:
        short = sorted({c.__name__ for c in admitted.values()})
        choice = f"; constructors: {', '.join(short)}.{nearest(name, short)}" if short else ""
        raise UserError(f"{path}: expected {config.type_name(hint)}, got a call of {name}{choice}")
    return admitted[found[0]]


def _family(cls: type) -> list[type]:
    return [cls, *(c for below in cls.__subclasses__() for c in _family(below))]


def _list(experiments: Mapping[str, Any]) -> str:
    rows, base = [], next(iter(experiments.values()))
    for name, cfg in experiments.items():
        flags = [
            f"--{p}={v if isinstance(v, str) else show(v)}"
            for p, (_, v) in config.diff(base, cfg).items()
        ]
        rows.append((name, shlex.join(flags) or "the base"))
    return _table(rows)


def _help(experiments: Mapping[str, Any], name: str, cfg: Any, doc: str) -> str:
    usage = f"usage: python {_program()} [ablation] [--path=value ...] [--help | --list | --print]"
    rows = [("field", "type", f"in {name}", "meaning")]
    for path, hint, value, meaning, execution in config.walk(cfg):
        inner = config.is_config(value) and config.fields(
            type(value)
        )  # they follow, each on its own line
        brief = f"{type(value).__name__}(...)" if inner else show(value)
        rows.append(
            (f"--{path}{'*' * execution}", config.type_name(hint), brief, " ".join(meaning.split()))
        )
    note = "* does not change the result: runs that differ only in these fields are one run with one digest"
    return "\n\n".join(
        [
            doc.strip(),
            usage,
            f"ablations: {', '.join(experiments)} (see --list)",
            _table(rows),
            note,
        ]
    )


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [min(max(map(len, column)), 44) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
