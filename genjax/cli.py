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

WIDEST = 44  # characters of a column; a longer cell pushes the rest of its line
WORDS = {"true": True, "false": False, "inf": float("inf"), "nan": float("nan")}


def main(
    experiments: Mapping[str, Any],
    run: Callable,
    doc: str,
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """Calls run(config, name, origin) for one of `experiments` (unnamed: the first) as the arguments say, and exits.

    origin: {"command", "question", "differences"}, what a report tells of where a run comes from.
    """
    if argv is None:
        argv = sys.argv[1:]
    code, message = 0, ""
    try:
        _main(experiments, run, doc, argv)
    except UserError as error:
        code, message = 2, f"error: {error}"
    except Preempted as error:
        code, message = 75, f"preempted: {error}"
    except KeyboardInterrupt:
        code, message = 130, "interrupted"
    sys.stdout.flush()  # what was printed comes before the message
    if message:
        line = " ".join(message.splitlines())  # one line, as scripts expect it
        print(line, file=sys.stderr, flush=True)
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
        value = _value(path, node, hint, current)
        return config.settle(path, value, hint)
    except UserError:
        # a text without quotes, unless it is a call of a type: then its own error says more
        annotated = str in (hint, *typing.get_args(hint))
        takes_text = annotated or isinstance(current, str)
        called = isinstance(node, ast.Call)
        if not takes_text or (called and constructors(hint, current)):
            raise
        return config.settle(path, text, hint)


def constructors(hint: Any, current: Any = None) -> dict[str, type]:
    """Returns {"module.QualName": class} of the config types that an annotation admits, loaded linen modules too."""
    if _open(hint):
        found = _neighbours(current)
    elif hint is nn.Module:
        found = [cls for cls in _family(hint) if _ours(cls)]
    elif config.is_config_type(hint):
        found = [cls for cls in _family(hint) if cls is hint or _ours(cls)]
    else:  # a union or a tuple: what its parts admit
        present = current if isinstance(current, tuple) and current else (current,)
        admitted = {}
        for part in typing.get_args(hint):
            for each in present:
                admitted |= constructors(part, each)
        return admitted
    by_name = {}
    for cls in found:
        name = config.type_path(cls).replace(":", ".")
        by_name[name] = cls  # a class defined again replaces the old one
    return by_name


def _open(hint: Any) -> bool:
    """Whether an annotation says nothing of the types that it admits."""
    if hint in (Any, object):
        return True
    if Callable in (hint, typing.get_origin(hint)):
        return True
    return getattr(hint, "_is_protocol", False)


def _neighbours(current: Any) -> list[type]:
    """The config types of the module that the value's own comes from: what probably stands in for it."""
    if not config.is_config(current):
        return []
    home = type(current).__module__
    near = [*vars(sys.modules[home]).values(), type(current)]
    types = [found for found in near if config.is_config_type(found)]
    return [cls for cls in types if cls.__module__ == home]  # not those imported there


def _ours(cls: type) -> bool:
    """Whether a linen module is none of flax's own, which have too many arguments to be typed."""
    return not cls.__module__.startswith("flax.")


def show(value: Any) -> str:
    """Returns a value as `read` takes it: constructors with the arguments that are not the defaults."""
    if isinstance(value, tuple):
        parts = ", ".join(map(show, value))
        comma = "," if len(value) == 1 else ""  # without it (1) is a number
        return f"({parts}{comma})"
    if not config.is_config(value):
        return repr(value)
    given = []
    for f in config.fields(type(value)):
        inner = getattr(value, f.name)
        if repr(inner) != repr(f.default):  # by repr: nan is nan
            given.append(f"{f.name}={show(inner)}")
    return f"{type(value).__name__}({', '.join(given)})"


def _main(
    experiments: Mapping[str, Any],
    run: Callable,
    doc: str,
    argv: Sequence[str],
) -> None:
    """`main` without its exit."""
    action, name, flags = _split(list(argv))
    first = next(iter(experiments))
    name = name or first
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
        digest = config.digest(cfg)  # may refuse the config: then nothing is printed
        print(f"{config.to_json(cfg)}\ndigest {digest}")
    else:
        base = experiments[first]
        # the docs speak of the data that the ablation was written for
        about = doc if _same_data(experiments[name], cfg) else ""
        run(cfg, name, _origin(base, cfg, about, argv))


def _same_data(a: Any, b: Any) -> bool:
    """Whether two configs have the same data set, wherever its files lie; true of configs without."""
    a, b = getattr(a, "data", None), getattr(b, "data", None)
    if config.is_config(a) and config.is_config(b):
        return config.identity(a) == config.identity(b)
    return repr(a) == repr(b)


def _origin(base: Any, cfg: Any, doc: str, argv: Sequence[str]) -> dict[str, Any]:
    """What was typed, the first paragraph of the docs, {path: [value in the base, value here]}, all as texts."""
    words = ["python", *_program().split(), *argv]
    paragraph = doc.strip().split("\n\n")[0]  # "" of an unknown question
    differences = {}
    for path, (in_base, here) in config.diff(base, cfg).items():
        differences[path] = [show(in_base), show(here)]
    origin = {"command": shlex.join(words), "differences": differences}
    if paragraph:
        origin["question"] = _one_line(paragraph)
    return origin


def _one_line(text: str) -> str:
    """A text without its line breaks and indents."""
    return " ".join(text.split())


def _program() -> str:
    """How the running script is called: -m experiments.vae, or the path of a file."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"-m {spec.name}" if spec else sys.argv[0]


def _split(tokens: list[str]) -> tuple[str, str, list[tuple[str, str | None]]]:
    """The arguments as (action or '', ablation or '', [(path, text or None where it is missing)])."""
    action = ""
    words = []
    flags: list[tuple[str, str | None]] = []
    while tokens:
        token = tokens.pop(0)
        path, given, text = token.lstrip("-").partition("=")
        if not token.startswith("-"):
            words.append(token)
        elif given:  # --path=value
            flags.append((path, text))
        elif path in ("help", "h", "list", "print"):
            action = "help" if path == "h" else path
        elif tokens and not tokens[0].startswith("--"):  # --path value; -3 is a value too
            flags.append((path, tokens.pop(0)))
        else:
            flags.append((path, None))
    if len(words) > 1:
        raise UserError(
            f"expected one ablation, got {' '.join(words)}: values are given as --path=value"
        )
    return action, "".join(words), flags


def _set(cfg: Any, path: str, text: str | None) -> Any:
    """`cfg` with the value that `text` gives to the field at `path`."""
    try:
        hint, current = config.lookup(cfg, path)
    except UserError as error:
        raise UserError(f"unknown flag --{error} See --help.") from None
    if text is None:
        raise UserError(
            f"{path}: missing value, expected {config.type_name(hint)}: write --{path}=value"
        )
    value = read(path, text, hint, current)
    return config.edit(cfg, {path: value})


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
            values = []
            for i, part in enumerate(parts):
                values.append(_value(f"{path}[{i}]", part, hint, current))
            return tuple(values)
        case ast.Call():
            name = ast.unparse(node.func)  # dotted, where one name has several meanings
            cls = _choose(path, name, hint, current)
            return _construct(path, node, cls)
    raise UserError(
        f"{path}: expected {config.type_name(hint)}, got {ast.unparse(node)} (types need (), texts quotes)"
    )


def _construct(path: str, node: ast.Call, cls: type) -> Any:
    """The config that a call of `cls` names, its arguments read as the fields admit."""
    fields = config.fields(cls)
    known = config.hints(cls)
    order = [f.name for f in fields if not f.kw_only]
    default = {f.name: f.default for f in fields}
    if len(node.args) > len(order):
        raise UserError(
            f"{path}: {cls.__name__} takes {len(order)} values, got {len(node.args)}"
        )
    # not strict: fewer arguments than fields are usual
    arguments = list(zip(order, node.args, strict=False))
    arguments += [(keyword.arg, keyword.value) for keyword in node.keywords]
    values = {}
    for name, argument in arguments:
        # a ** has no name: "None" is then not known
        below = config.join(path, str(name))
        if name not in known:
            raise config.unknown(below, cls, str(name), known)
        if name in values:
            raise UserError(f"{below}: given twice")
        values[name] = _value(below, argument, known[name], default[name])
    return config.build(path, cls, values)


def _choose(path: str, name: str, hint: Any, current: Any) -> type:
    """The type that `name` means among those admitted: the end of its full name is enough."""
    admitted = constructors(hint, current)
    # with a dot before both, so that Adam is no end of MyAdam
    found = [full for full in admitted if f".{full}".endswith(f".{name}")]
    if len(found) > 1:
        raise UserError(f"{path}: {name} has several meanings: write {' or '.join(found)}")
    if not found:
        short = sorted({cls.__name__ for cls in admitted.values()})
        choice = ""
        if short:
            choice = f"; constructors: {', '.join(short)}.{nearest(name, short)}"
        raise UserError(
            f"{path}: expected {config.type_name(hint)}, got a call of {name}{choice}"
        )
    return admitted[found[0]]


def _family(cls: type) -> list[type]:
    """A class and all that derive from it, as far as they are loaded."""
    found = [cls]
    for below in cls.__subclasses__():
        found += _family(below)
    return found


def _list(experiments: Mapping[str, Any]) -> str:
    """Every ablation with the flags that make it out of the base, ready to be typed."""
    base = next(iter(experiments.values()))
    rows = []
    for name, cfg in experiments.items():
        flags = []
        for path, (_, value) in config.diff(base, cfg).items():
            text = value if isinstance(value, str) else show(value)  # a text needs no quotes
            flags.append(f"--{path}={text}")
        rows.append((name, shlex.join(flags) or "the base"))
    return _table(rows)


def _help(experiments: Mapping[str, Any], name: str, cfg: Any, doc: str) -> str:
    """The docs, the usage and a line for every field."""
    usage = (
        f"usage: python {_program()} [ablation] [--path=value ...] [--help | --list | --print]"
    )
    rows = [("field", "type", f"in {name}", "meaning")]
    for path, hint, value, meaning, execution in config.walk(cfg):
        star = "*" if execution else ""
        row = (
            f"--{path}{star}",
            config.type_name(hint),
            _brief(value),
            _one_line(meaning),
        )
        rows.append(row)
    note = "* does not change the result: runs that differ only in these fields are one run with one digest"
    parts = [
        doc.strip(),
        usage,
        f"ablations: {', '.join(experiments)} (see --list)",
        _table(rows),
        note,
    ]
    return "\n\n".join(parts)


def _brief(value: Any) -> str:
    """A value in a line of the help; the fields of a config follow, each on its own line."""
    if config.is_config(value) and config.fields(type(value)):
        return f"{type(value).__name__}(...)"
    return show(value)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of texts in columns."""
    widths = []
    for column in zip(*rows, strict=True):
        longest = max(map(len, column))
        widths.append(min(longest, WIDEST))
    lines = []
    for row in rows:
        cells = map(str.ljust, row, widths)
        lines.append("  ".join(cells).rstrip())  # no blanks at the ends of lines
    return "\n".join(lines)
