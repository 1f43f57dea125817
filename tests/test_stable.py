"""The names of docs/stable.md: each can be imported, is documented, and has the signature on record.

After a change that is meant, say it in CHANGELOG.md and write the record again: `python -m tests.test_stable`.
"""

import dataclasses
import importlib
import inspect
import json
import re
from pathlib import Path

import pytest

from genjax import cli, config

PAGE = Path(__file__).parent.parent / "docs" / "stable.md"
STORED = Path(__file__).parent / "stable.json"
MOST = 80  # a promise is worth what can be kept


def listed() -> list[tuple[str, str]]:
    """(module, name) of every row of the page."""
    found = []
    for line in PAGE.read_text().splitlines():
        module, *names = re.findall(r"`([^`]+)`", line) if line.startswith("| `") else ["", ""]
        found += [(module, name) for name in names if module]
    return found


def lacking(recorded: list[str], now: list[str]) -> list[str]:
    """What is on record and is not so now; new fields, arguments and methods are no break of a promise."""
    return [line for line in recorded if line not in now]


def signature(found) -> list[str]:
    """What a name promises, a line each: the fields of a config, else the arguments; public methods of a class."""
    if not inspect.isclass(found):
        return _arguments("", found)
    lines = []
    if config.is_config_type(found):
        lines += [_field(field) for field in config.fields(found)]
    elif not issubclass(found, Exception):
        lines += _arguments("", found)
    for name, member in vars(found).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            lines.append(f".{name}")
        # what a library adds to a class, as flax does, is its own promise
        elif inspect.isfunction(member) and member.__module__ == found.__module__:
            lines += _arguments(f".{name}", member)
    return lines


def _arguments(name: str, function) -> list[str]:
    """A line for each argument, its place with it: one that comes behind them changes none of the lines."""
    lines = []
    for place, argument in enumerate(inspect.signature(function).parameters.values()):
        if argument.name == "self":
            continue
        where = "keyword" if argument.kind is argument.KEYWORD_ONLY else place
        plain = argument.replace(annotation=argument.empty)
        annotation = (
            _type(argument.annotation) if argument.annotation is not argument.empty else "Any"
        )
        lines.append(f"{name} {where}. {plain}: {annotation}".strip())
    return lines or [f"{name}()"]


def _field(field) -> str:
    """The field of a config with its type and default, as they are typed."""
    default = "" if field.default is dataclasses.MISSING else f" = {cli.show(field.default)}"
    return f"{field.name}: {_type(field.type)}{default}"


def _type(annotation) -> str:
    """An annotation as it is written, whatever the release of Python makes of it."""
    written = getattr(annotation, "__forward_arg__", annotation)
    return written if isinstance(written, str) else config.type_name(written)


def record() -> dict[str, list[str]]:
    found = {}
    for module, name in listed():
        value = getattr(importlib.import_module(module), name)
        found[f"{module}.{name}"] = signature(value)
    return found


def test_the_list_is_not_longer_than_can_be_kept():
    names = listed()
    assert 40 < len(names) <= MOST
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("module, name", listed(), ids=str)
def test_a_stable_name_is_documented_and_keeps_its_signature(module, name):
    found = getattr(importlib.import_module(module), name)
    # a dataclass without a docstring has its signature in the place of one
    told = inspect.getdoc(found) or ""
    assert len(told.split()) > 1 and not told.startswith(f"{name}("), "is not documented"
    stored = json.loads(STORED.read_text())[f"{module}.{name}"]
    broken = lacking(stored, signature(found))
    assert not broken, (
        f"another promise than that on record: see this file's docstring, {broken}"
    )


def test_the_record_is_of_the_list_and_of_now():
    assert json.loads(STORED.read_text()) == record(), "python -m tests.test_stable writes it"


def test_a_renamed_argument_a_new_default_and_a_lost_method_are_noticed():
    def before(cfg, steps=1): ...

    def after(cfg, steps=1, more=None): ...

    def renamed(config, steps=1): ...

    assert not lacking(signature(before), signature(after))
    assert lacking(signature(before), signature(renamed))

    class Old:
        """What it was."""

        def sample(self, n): ...

    class New:
        """What it is."""

    assert lacking(signature(Old), signature(New))


if __name__ == "__main__":
    STORED.write_text(json.dumps(record(), indent=1) + "\n")
