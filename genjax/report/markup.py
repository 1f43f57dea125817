"""HTML from Python calls, safe by default: text is escaped unless it is `Html` already."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

# those of HTML's elements without an end that reports use
VOID = ("meta", "img", "br")


class Html(str):
    """Markup: everything else that goes into `tag` is text and is escaped."""


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """<name attributes>children</name>. `class_` is class; None leaves one out, True is bare."""
    written = ""
    for key, value in attributes.items():
        if value is not None:
            written += _attribute(key, value)
    opening = f"<{name}{written}>"
    if name in VOID:  # these have no end
        return Html(opening)
    return Html(f"{opening}{join(children)}</{name}>")


def _attribute(key: str, value: Any) -> str:
    """An attribute as it is written: class_ is class, aria_label is aria-label."""
    # `class` is a word of Python's
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{html.escape(str(value))}"'


def join(children: Iterable[Any]) -> Html:
    """The markup of several children; None is nothing, lists are flattened."""
    return Html("".join(_child(child) for child in children))


def _child(child: Any) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child  # markup already: escaped when it was made
    if isinstance(child, list | tuple):
        return join(child)
    return html.escape(str(child), quote=False)  # quotes matter in attributes alone


def table(
    caption: Any,
    head: Sequence[Any],
    rows: Sequence[Sequence[Any]],
    id: str,
    class_: str = "",
) -> Html:
    """A table in a container of its own that scrolls; the first cell of a row is its header.

    `head` names the columns; (name, [columns]) stands for a group of them under a common name.
    """
    named = f"{id}-caption"  # the container is named by the caption in it
    whole = tag(
        "table",
        tag("caption", caption, id=named),
        tag("thead", _head(head)),
        tag("tbody", [_row(row) for row in rows]),
    )
    return tag(
        "div",
        whole,
        class_=f"scroll {class_}".strip(),
        role="group",
        aria_labelledby=named,
        tabindex=0,  # so that keys can scroll it
    )


def _head(head: Sequence[Any]) -> list[Html]:
    """The row of the columns' names, below the row of the groups' names where there are groups."""
    # a tuple is a group, all else a column by itself
    groups = [cell for cell in head if isinstance(cell, tuple)]
    if not groups:
        return [tag("tr", [_header(cell, None) for cell in head])]
    # a column without a group is as high as both rows
    top = tag("tr", [_header(cell, 2) for cell in head])
    below = []
    for _, columns in groups:
        below += [tag("th", cell, scope="col") for cell in columns]
    return [top, tag("tr", below)]


def _row(row: Sequence[Any]) -> Html:
    """A row of the table's body; its first cell says what the others are of."""
    first, *others = row
    header = tag("th", first, scope="row")
    cells = [tag("td", cell) for cell in others]
    return tag("tr", header, cells)


def _header(cell: Any, rows: int | None) -> Html:
    if isinstance(cell, tuple):
        name, columns = cell
        return tag("th", name, scope="colgroup", colspan=len(columns))
    return tag("th", cell, scope="col", rowspan=rows)


def terms(pairs: Iterable[tuple[Any, Any]], class_: str) -> Html:
    """A list of names and values, those that are None left out."""
    # by None, not by truth: a seed of 0 is told
    kept = [(name, value) for name, value in pairs if value is not None]
    rows = []
    for name, value in kept:
        pair = (tag("dt", name), tag("dd", value))
        rows.append(tag("div", *pair))  # in a div, so that the two stay together
    return tag("dl", rows, class_=class_)
