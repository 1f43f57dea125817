"""HTML from Python calls, safe by default: text is escaped unless it is `Html` already."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

VOID = ("meta", "img", "br")


class Html(str):
    """Markup: everything else that goes into `tag` is text and is escaped."""


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """<name attributes>children</name>. `class_` is class; None leaves one out, True is bare."""
    given = {
        key.rstrip("_").replace("_", "-"): value
        for key, value in attributes.items()
        if value is not None
    }
    written = "".join(
        f" {k}" if v is True else f' {k}="{html.escape(str(v))}"' for k, v in given.items()
    )
    return Html(
        f"<{name}{written}>" if name in VOID else f"<{name}{written}>{join(children)}</{name}>"
    )


def join(children: Iterable[Any]) -> Html:
    """The markup of several children; None is nothing, lists are flattened."""
    return Html("".join(_child(child) for child in children))


def _child(child: Any) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, list | tuple):
        return join(child)
    return html.escape(str(child), quote=False)


def table(
    caption: Any, head: Sequence[Any], rows: Sequence[Sequence[Any]], id: str, class_: str = ""
) -> Html:
    """A table in a container of its own that scrolls; the first cell of a row is its header.

    `head` names the columns; (name, [columns]) stands for a group of them under a common name.
    """
    groups = [cell for cell in head if isinstance(cell, tuple)]
    top = [tag("tr", [_header(cell, 2 if groups else None) for cell in head])]
    if groups:
        top.append(
            tag("tr", [tag("th", cell, scope="col") for _, columns in groups for cell in columns])
        )
    body = [
        tag("tr", tag("th", row[0], scope="row"), [tag("td", cell) for cell in row[1:]])
        for row in rows
    ]
    whole = tag(
        "table", tag("caption", caption, id=f"{id}-caption"), tag("thead", top), tag("tbody", body)
    )
    container = {
        "role": "group",
        "aria-labelledby": f"{id}-caption",
        "tabindex": 0,
    }  # so that keys can scroll it
    return tag("div", whole, class_=f"scroll {class_}".strip(), **container)


def _header(cell: Any, rows: int | None) -> Html:
    if isinstance(cell, tuple):
        return tag("th", cell[0], scope="colgroup", colspan=len(cell[1]))
    return tag("th", cell, scope="col", rowspan=rows)


def terms(pairs: Iterable[tuple[Any, Any]], class_: str) -> Html:
    """A list of names and values, those that are None left out."""
    kept = [(name, value) for name, value in pairs if value is not None]
    return tag(
        "dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in kept], class_=class_
    )
