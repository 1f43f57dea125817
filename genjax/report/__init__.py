"""report.html of a run, comparison.html of several: one file with text, tables, curves and pictures, nothing to load.

    python -m genjax.report runs/vae/base-7422f6eb              writes report.html into that run
    python -m genjax.report runs/vae/* --out=vae.html           compares runs: comparison.html, or the file named

Of several arguments those that are there and are no runs, files and folders without config.json, are passed over.
The page holds no script and forbids itself to load anything. The same run gives the same bytes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from genjax.errors import UserError
from genjax.machine.files import whole
from genjax.machine.terminal import print_everything
from genjax.report.compare import comparison
from genjax.report.facts import read
from genjax.report.page import single

TOLD = 5  # names in a line; the rest is a number
USAGE = "usage: python -m genjax.report RUN [RUN ...] [--out FILE]"


def write(directories: Sequence[Path], out: Path | None = None) -> Path:
    """Writes the report of one run directory, or the comparison of several, and returns its path.

    out: the file, by default <run>/report.html, or comparison.html in the current directory. Raises UserError for a
    directory that is no run, a file in it that cannot be read, and a report that cannot be written.
    """
    # a run that is named twice is one run; a link to it as well
    unique = {Path(directory).resolve(): Path(directory) for directory in directories}
    # all are read before anything is written
    runs = [read(directory) for directory in unique.values()]
    if not runs:
        raise UserError(f"no run directory is given. {USAGE}")
    if len(runs) == 1:
        (run,) = runs
        # one run: its report lies with what it reports
        path = run.directory / "report.html"
        text = single(run)
    else:
        path = Path("comparison.html")
        text = comparison(runs)
    if out is not None:
        path = Path(out)
    if path.is_dir():
        raise UserError(f"--out={path} is a folder: name a file in it.")
    try:
        with whole(path) as new:  # whoever has the page open never reads half of it
            new.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(
            f"cannot write {path} ({error.strerror}): mend it or choose another --out."
        ) from None
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: prints the path and returns 0, or one line on stderr and 2."""
    print_everything()  # names of directories may hold any character
    try:
        tokens = sys.argv[1:] if argv is None else argv
        directories, out = _arguments(list(tokens))
        if directories is None:
            print(__doc__.strip())  # help is the module's own text
        else:
            runs, others = _told_apart(directories)
            page = write(runs, out)
            if others:
                print(_passed_over(others), file=sys.stderr, flush=True)
            print(page)
        return 0
    except UserError as error:
        message = " ".join(str(error).splitlines())  # one line, whatever is in it
        # no traceback: what a UserError says is the user's to mend
        print(f"error: {message}", file=sys.stderr, flush=True)
        return 2


def _told_apart(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """(runs, others): what runs/vae/* names besides runs is passed over, but not what is not there at all.

    A run whose config.json cannot be read counts as a run, so that it is mended and not missed. All are runs where none
    is: `read` says what is wrong with the first.
    """
    others = [path for path in paths if os.path.lexists(path) and not _holds_config(path)]
    runs = [path for path in paths if path not in others]
    return (runs, others) if runs else (list(paths), [])


def _holds_config(path: Path) -> bool:
    return os.path.lexists(path / "config.json")


def _passed_over(others: Sequence[Path]) -> str:
    """A line on what was named and is no run."""
    names = [str(path) for path in others[:TOLD]]
    more = len(others) - len(names)
    if more:
        names.append(f"{more} more")
    return f"passed over, as no run is there: {', '.join(names)}"


def _arguments(tokens: list[str]) -> tuple[list[Path] | None, Path | None]:
    """The run directories (None: help is asked for) and --out."""
    directories = []
    out = None
    while tokens:
        token = tokens.pop(0)
        name, given, text = token.partition("=")
        if token in ("--help", "-h"):
            return None, None
        if name == "--out":
            if not given:  # --out FILE
                text = tokens.pop(0) if tokens else ""
            out = text
            if not out:
                raise UserError(f"--out: missing value, expected the name of a file. {USAGE}")
        elif token.startswith("-"):
            raise UserError(f"unknown flag {token}. {USAGE}")
        else:
            directories.append(_path(token))
    return directories, _path(out) if out else None


def _path(text: str) -> Path:
    """A path as it is typed; ~ is the home also where the shell has not seen it, as in --out=~/vae.html."""
    return Path(os.path.expanduser(text))
