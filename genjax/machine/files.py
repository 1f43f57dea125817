"""Files that are whole or not there: written under another name first, and renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from genjax.errors import UserError


def place(path: str | Path) -> Path:
    """A path as it is typed, absolute; UserError for the home directory of a user who has none."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise UserError(f"{path}: {error}: write the whole path.") from None


def typed(path: str | Path) -> Path:
    """A path as it is typed, for messages, with the home directory in the place of `~`; UserError as of `place`."""
    return place(path) if str(path).startswith("~") else Path(path)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to: it becomes `path` where the block ends well, and is removed where it does not.

    A kill leaves the old file or the new one, never half of one. OSError where a file cannot be written or renamed.
    """
    # on the same disk, so that the rename is atomic; of this process, so that two writers do not meet
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):  # it is gone where all went well
            partial.unlink()
