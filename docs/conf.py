"""Builds the pages of this folder: `make docs`, or sphinx-build -W docs site.

Pages are Markdown. The reference is made of docstrings, which are plain sentences with `code` in backticks, and of the
fields of configs, as `--help` prints them. Nothing of what is built loads anything from elsewhere.
"""

from __future__ import annotations

import re
import sys
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import genjax  # noqa: E402
from genjax import config  # noqa: E402
from genjax.cli import show  # noqa: E402

project = "genjax"
author = "The genjax authors"
copyright = author
release = genjax.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"genjax {release}"
smartquotes = False  # what is written is what is typed
html_copy_source = False
# equations and output are no Python
highlight_language = "none"
templates_path = []
exclude_patterns = ["requirements.txt"]
# a heading can be linked to from another page, as GitHub links to it
myst_heading_anchors = 4
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
# a type that is known by its short name alone may be of several modules
suppress_warnings = ["ref.python"]
toc_object_entries_show_parents = "hide"


def as_rst(text: str) -> list[str]:
    """The lines of a docstring in reStructuredText: `code` as a literal, an indented block as it is."""
    lines = []
    for kind, group in groupby(text.splitlines(), key=_kind):
        part = list(group)
        if kind == "code":
            lines += ["::", "", *part, ""]
        elif kind == "prose":
            lines += [*_prose(part), ""]
    return lines


def _kind(line: str) -> str:
    if not line.strip():
        return "blank"
    return "code" if line.startswith("    ") else "prose"


def _prose(lines: list[str]) -> list[str]:
    """A paragraph, in which nothing but backticks has a meaning."""
    words, *others = "\n".join(line.strip() for line in lines).split("`")
    if len(others) % 2:  # a backtick without its fellow is a character
        return _plain("`".join([words, *others])).splitlines()
    found = _plain(words)
    # code and words in turn
    for code, after in zip(others[::2], others[1::2], strict=True):
        found += rf"\ ``{' '.join(code.split())}``\ " if code.strip() else ""
        found += _plain(after)
    return found.splitlines()


def _plain(text: str) -> str:
    """Text without the marks of reStructuredText: [B, *shape] is no emphasis, E_p no link, "1. " no list."""
    text = re.sub(r"([\\*_|`])", r"\\\1", text)
    return re.sub(r"^(\w+[.)]|[-+:>.]+)(?=\s|$)", r"\\\1", text, flags=re.MULTILINE)


def docstring(app, what, name, obj, options, lines) -> None:
    """Every docstring as above; of a config its fields too."""
    text = "\n".join(lines)
    lines[:] = as_rst(text)
    if what == "class" and config.is_config_type(obj):
        for field in config.fields(obj):
            lines += _told(obj, field)


def _told(cls: type, field) -> list[str]:
    """A field of a config as an item of a list: `latent: int = 40` size of z."""
    hint = config.type_name(config.hints(cls)[field.name])
    meaning = _prose([field.metadata.get("doc", "")])
    default = ""
    # a class without field() may have one without a default
    if repr(field.default) != repr(type(field).default):
        default = (
            f" = {show(field.default)}"
            if not callable(field.default) or config.is_config(field.default)
            else ""
        )
    return [f"* ``{field.name}: {hint}{default}`` {' '.join(meaning)}"]


def signature(app, what, name, obj, options, arguments, returns):
    """Of a config the names alone: types, defaults and meanings are listed below it."""
    if what != "class" or not config.is_config_type(obj):
        return arguments, returns
    names = [field.name for field in config.fields(obj)]
    return f"({', '.join(names)})", None


def left_out(app, what, name, obj, skip, options) -> bool | None:
    """The fields of a named tuple, which have no docstring of their own."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app) -> None:
    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", left_out)
