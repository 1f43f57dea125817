"""The command line of an experiment: `python -m experiments.vae [ablation] --algorithm.beta=4 --layout='Mesh(fsdp=2)'`.

A value is a Python literal or a constructor call of a type that the field admits, read with `ast` and never evaluated.
Where the ablation is a sweep (`genjax.sweep`), its runs are carried out in turn; `--part=2/8` does the second of eight
parts of them, so that eight machines share them out.
Exit codes: 0 done, 1 crash (traceback), 2 user error (one line on stderr), 75 preempted, 130 interrupted.
"""

from __future__ import annotations

import ast
import dataclasses
import os
import re
import shlex
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import flax.linen as nn

from genjax import config
from genjax.errors import Preempted, UserError, nearest
from genjax.machine.terminal import print_everything
from genjax.sweep import Member, Sweep, carry_out, resolved, share

WIDEST = 44  # characters of a column; a longer cell pushes the rest of its line
MANY = 8  # values of an axis beyond which only the first and the last are shown
WORDS = {"true": True, "false": False, "inf": float("inf"), "nan": float("nan")}


def main(
    experiments: Mapping[str, Any],
    run: Callable,
    doc: str,
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """Calls run(config, name, origin) for one of `experiments` (unnamed: the first) as the arguments say, and exits.

    An entry is a config, or a Sweep, each member of which is run under a name of its own; what `run` returns tells
    where it lies (`training.run.Run`). origin: {"command", "question", "differences"}, what a report tells of where a
    run comes from.
    """
    tokens = sys.argv[1:] if argv is None else argv
    sys.exit(outcome(lambda: _main(experiments, run, doc, tokens)))


def outcome(act: Callable[[], None]) -> int:
    """act() and the exit code of its command, as the module says; what ended it is told in one line on stderr."""
    print_everything()  # before the first character, which may be one of a docstring
    code, message = 0, ""
    try:
        act()
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
    return code


def read(path: str, text: str, hint: Any, current: Any = None) -> Any:
    """Returns the value that `text` gives to the field at `path`, where str needs no quotes, or raises UserError.

    hint: the field's annotation; current: its value, which says what an open annotation (Any, Callable) admits. What is
    no literal and no call is for an admitted type to read that has a classmethod of_text(text), else for str.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        node = ast.Name(text)  # no Python, so at best a bare word such as /data/x
    try:
        value = _value(path, node, hint, current)
        return config.settle(path, value, hint)
    except UserError:
        admitted = constructors(hint, current)
        # of a call of a type its own error says more
        if isinstance(node, ast.Call) and admitted:
            raise
        for cls in admitted.values():
            if hasattr(cls, "of_text"):
                return config.settle(path, _of_text(path, cls, text), hint)
        takes_text = str in (hint, *typing.get_args(hint)) or isinstance(current, str)
        if not takes_text:
            raise
        return config.settle(path, text, hint)


def _of_text(path: str, cls: Any, text: str) -> Any:
    """What a type makes of a text that it reads itself."""
    try:
        return cls.of_text(text)
    except (UserError, ValueError) as error:
        raise UserError(f"{path}: {error}") from error


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


class _Asked(NamedTuple):
    """What was typed, and of which experiments."""

    experiments: Mapping[str, Any]
    doc: str
    argv: Sequence[str]
    action: str  # help, list, print or "" = run
    name: str  # of the ablation
    flags: list[tuple[str, str | None]]  # (path, text or None where it is missing)

    @property
    def base(self) -> Any:
        """The config that the others are told as differences from: the first."""
        return _written(next(iter(self.experiments.values())))


def _written(entry: Any) -> Any:
    """The config that stands in an entry of the experiments."""
    return entry.base if isinstance(entry, Sweep) else entry


def _main(
    experiments: Mapping[str, Any],
    run: Callable,
    doc: str,
    argv: Sequence[str],
) -> None:
    """`main` without its exit."""
    action, name, flags = _split(list(argv))
    name = name or next(iter(experiments))
    if name not in experiments:
        raise UserError(
            f"unknown ablation {name!r}: choose from {', '.join(experiments)}.{nearest(name, experiments)}"
        )
    asked = _Asked(experiments, doc, argv, action, name, flags)
    entry = experiments[name]
    if isinstance(entry, Sweep):
        _do_sweep(asked, entry, run)
    else:
        _do_one(asked, entry, run)


def _do_one(asked: _Asked, cfg: Any, run: Callable) -> None:
    """What was asked of a config."""
    for path, text in asked.flags:
        if path == "part" and path not in config.hints(type(cfg)):
            raise _no_parts(asked)
        cfg = _set(cfg, path, text)
    if asked.action == "help":
        _print(_help(asked, cfg, {}))
    elif asked.action == "list":
        _print(_list(asked.experiments))
    elif asked.action == "print":
        cfg = resolved(cfg)
        digest = config.digest(cfg)  # may refuse the config: then nothing is printed
        _print(f"{config.to_json(cfg)}\ndigest {digest}")
    else:
        run(cfg, asked.name, _origin(asked, cfg))


def _do_sweep(asked: _Asked, sweep: Sweep, run: Callable) -> None:
    """What was asked of a sweep: the flags edit all of its members."""
    part, parts = 1, 1
    for path, text in asked.flags:
        if path == "part":
            part, parts = _part(text)
            continue
        axis = sweep.axis_of(path)
        if axis is not None:
            raise UserError(
                f"--{path}: the sweep {asked.name} sets {axis} itself, as one of its axes: leave the flag out."
            )
        # below the axes, which are set after it
        sweep = dataclasses.replace(sweep, base=_set(sweep.base, path, text))
    # what only tells of a sweep needs none of the files that its runs begin with
    if asked.action in ("help", "list"):
        sweep.outline(asked.name)
        told = _list(asked.experiments)
        if asked.action == "help":
            told = _help(asked, sweep.base, _axes(sweep))
        _print(told)
        return
    members = sweep.members(asked.name)
    mine = share(members, part, parts)
    if asked.action == "print":
        _print(_printed(asked.base, sweep, mine))
    else:
        carry_out(asked.name, members, mine, lambda member: _run(asked, member, run))


def _run(asked: _Asked, member: Member, run: Callable) -> Any:
    """A member of a sweep as an ordinary run."""
    return run(member.cfg, member.name, _origin(asked, member.written))


def _printed(base: Any, sweep: Sweep, members: Sequence[Member]) -> str:
    """A line a member with name, digest and the flags of its axes, then the flags that all have in common."""
    rows = []
    for member in members:
        flags = []
        for path in sweep.columns():
            _, value = config.lookup(member.written, path)
            flags.append(_flag(path, value))
        rows.append((member.name, member.digest, shlex.join(flags)))
    common = _flags(base, sweep.base)
    if common:
        rows.append(("all with", "", common))
    return _table(rows)


def _print(text: str) -> None:
    """Prints what was asked for; a reader that leaves early, such as head, has seen enough."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # what is left is for nobody: Python would try to write it again at its end
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())


def _part(text: str | None) -> tuple[int, int]:
    """The numbers of --part=2/8, from 1."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text or "")
    part, parts = map(int, found.groups()) if found else (0, 0)
    if not 1 <= part <= parts:
        raise UserError(
            f"--part={text or ''}: expected the number of a part and how many there are, as 2/8 of 1/8 to 8/8."
        )
    return part, parts


def _no_parts(asked: _Asked) -> UserError:
    """The error for --part of what is no sweep."""
    sweeps = [name for name, entry in asked.experiments.items() if isinstance(entry, Sweep)]
    there = f": choose {' or '.join(sweeps)}" if sweeps else ""
    return UserError(f"--part: {asked.name} is one run, and only sweeps have parts{there}.")


def _same_data(a: Any, b: Any) -> bool:
    """Whether two configs have the same data set, wherever its files lie; true of configs without."""
    a, b = getattr(a, "data", None), getattr(b, "data", None)
    if config.is_config(a) and config.is_config(b):
        return config.identity(a) == config.identity(b)
    return repr(a) == repr(b)


def _origin(asked: _Asked, cfg: Any) -> dict[str, Any]:
    """What was typed, the first paragraph of the docs, {path: [value in the base, value here]}, all as texts."""
    words = ["python", *_program().split(), *asked.argv]
    differences = {}
    for path, (in_base, here) in config.diff(asked.base, cfg).items():
        differences[path] = [show(in_base), show(here)]
    origin = {"command": shlex.join(words), "differences": differences}
    paragraph = asked.doc.strip().split("\n\n")[0]
    # the docs speak of the data that the ablation was written for
    written = _written(asked.experiments[asked.name])
    if paragraph and _same_data(written, cfg):
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
    """Every ablation with the flags that make it out of the base, ready to be typed; every sweep in a line."""
    base = _written(next(iter(experiments.values())))
    rows = []
    for name, entry in experiments.items():
        told = _listed(base, name, entry) if isinstance(entry, Sweep) else _flags(base, entry)
        rows.append((name, told or "the base"))
    return _table(rows)


def _flags(base: Any, cfg: Any) -> str:
    """The flags that make a config out of the base, "" of the base itself."""
    differences = config.diff(base, cfg)
    return shlex.join([_flag(path, value) for path, (_, value) in differences.items()])


def _flag(path: str, value: Any) -> str:
    """A value as a flag."""
    text = value if isinstance(value, str) else show(value)  # a text needs no quotes
    return f"--{path}={text}"


def _listed(base: Any, name: str, sweep: Sweep) -> str:
    """A sweep in one line, its own mistakes included: a list is of all ablations."""
    try:
        runs = len(sweep.outline(name))
    except UserError as error:
        return f"error: {error}"
    axes = [f"{path} {values}" for path, values in _axes(sweep).items()]
    common = _flags(base, sweep.base)
    return f"a sweep of {runs}: {'; '.join(axes)}{common and f'; all with {common}'}"


def _axes(sweep: Sweep) -> dict[str, str]:
    """{path: its values} of every field that a sweep sets."""
    return {path: _brief_values(values) for path, values in sweep.columns().items()}


def _brief_values(values: Sequence[Any]) -> str:
    """The values of an axis, of many the first and the last."""
    texts = [show(value) for value in values]
    if len(texts) > MANY:
        texts = [*texts[: MANY - 2], "...", texts[-1]]
    return ", ".join(texts)


def _help(asked: _Asked, cfg: Any, axes: Mapping[str, str]) -> str:
    """The docs, the usage and a line for every field; `axes`: the values of the fields that a sweep sets."""
    part = " [--part=1/8]" if axes else ""
    usage = f"usage: python {_program()} [ablation] [--path=value ...]{part} [--help | --list | --print]"
    swept = (
        [f"{asked.name} is a sweep: runs with each {' and each '.join(axes)}."] if axes else []
    )
    rows = [("field", "type", f"in {asked.name}", "meaning")]
    for path, hint, value, meaning, execution in config.walk(cfg):
        star = "*" if execution else ""
        row = (
            f"--{path}{star}",
            config.type_name(hint),
            axes.get(path) or _brief(value),
            _one_line(meaning),
        )
        rows.append(row)
    note = "* does not change the result: runs that differ only in these fields are one run with one digest"
    parts = [
        asked.doc.strip(),
        usage,
        f"ablations: {', '.join(asked.experiments)} (see --list)",
        *swept,
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
