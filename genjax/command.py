"""What the commands over finished runs share: the command line, and drawing batch by batch.

The command line has words, and flags that are the fields of a config. A value is read as on that of an experiment, by
`cli.read`; a yes-or-no flag may stand alone: --npz, --no-grid. Exit codes: 0 done, 1 crash (traceback), 2 user error
(one line on stderr), 130 interrupted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from genjax import cli, config
from genjax.core import size
from genjax.errors import UserError
from genjax.training.opened import Opened

PATIENCE = 20.0  # seconds between two lines of progress


def main(
    act: Callable[..., None],
    wanted: Sequence[str],
    options: Any,
    doc: str,
    argv: Sequence[str] | None = None,
) -> int:
    """Calls act(*words, options) as the arguments say and returns the exit code; --help prints `doc`.

    wanted: what each word stands for, ("RUN",), or ("RUN", "FILE...") where the last may be several; options: the
    config whose fields are the flags, at its defaults.
    """
    tokens = sys.argv[1:] if argv is None else argv

    def call() -> None:
        words, chosen = read(tokens, wanted, options)
        if chosen is None:
            print(doc.strip())  # help is the module's own text
        else:
            act(*words, chosen)

    return cli.outcome(call)


def read(argv: Sequence[str], wanted: Sequence[str], options: Any) -> tuple[list[str], Any]:
    """(words, options as the flags say; None where help is asked for); UserError for what is not understood."""
    words = []
    tokens = list(argv)
    while tokens:
        token = tokens.pop(0)
        if token in ("--help", "-h"):
            return [], None
        if token.startswith("-"):
            options = _set(options, token.lstrip("-"), tokens)
        else:
            words.append(token)
    # the last may stand for several: FILE...
    several = wanted[-1].endswith("...") and len(words) > len(wanted)
    if len(words) != len(wanted) and not several:
        got = " ".join(words) or "nothing"
        raise UserError(
            f"expected {' '.join(wanted)}, got {got}: values are given as --flag=value, see --help."
        )
    return words, options


def _set(options: Any, flag: str, tokens: list[str]) -> Any:
    """`options` with one flag set; its value, where it stands apart, is taken from `tokens`."""
    path, given, text = flag.partition("=")
    denied = path.removeprefix("no-")
    known = config.hints(type(options))
    if not given and known.get(denied) is bool:  # --npz, --no-npz
        return config.edit(options, {denied: denied == path})
    try:
        hint, current = config.lookup(options, path)
    except UserError as error:
        raise UserError(f"unknown flag --{error} See --help.") from None
    if not given:
        # --n -3: a number below 0 is a value too
        apart = bool(tokens) and not tokens[0].startswith("--")
        if not apart:
            raise UserError(
                f"{path}: missing value, expected {config.type_name(hint)}: write --{path}=value"
            )
        text = tokens.pop(0)
    value = cli.read(path, text, hint, current)
    return config.edit(options, {path: value})


def batches(n: int, batch: int) -> list[tuple[int, int]]:
    """(first, last + 1) of every batch of n samples."""
    return [(first, min(first + batch, n)) for first in range(0, n, batch)]


def drawn(
    opened: Opened,
    given: dict[str, Any],
    seed: int,
    batch: int,
    wanted: Sequence[tuple[int, int]],
) -> Iterator[tuple[int, Any]]:
    """(first, samples [last - first, ...] or {name: …}) of each wanted one of `batches`; tells how far it is.

    given: of all samples, whichever are wanted.
    """
    n = size(given)
    rows_of_one = min(batch, n)
    told = time.monotonic()
    for first, last in wanted:
        # the last batch starts again from sample 0: one size, one compiled program
        rows = np.arange(first, first + rows_of_one) % n
        made = opened.draw(_rows(given, rows), seed)
        yield first, _rows(made, slice(last - first))
        if time.monotonic() - told > PATIENCE:
            told = time.monotonic()
            print(f"{last} of {n} samples", file=sys.stderr, flush=True)


def _rows(tree: Any, rows: Any) -> Any:
    """These rows of every array."""
    return jax.tree.map(lambda x: np.asarray(x)[rows], tree)
