"""Sets inside ordinary packages of Debian, PyPI and npm: where their files are looked for, and what is said if they
are not there.

A set is read from `--data.path`, else from $GENJAX_DATA or a folder there that is called as the package is, else from
where the package installs itself. Nothing is downloaded: one line says how the files are got.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from genjax.data import cache
from genjax.errors import UserError
from genjax.machine.files import place


@dataclasses.dataclass(frozen=True)
class Package:
    """A package that carries a set: no config, but what the code of a set knows of its source."""

    name: str  # the package's, and the name of its folder in $GENJAX_DATA
    files: tuple[
        str, ...
    ]  # what is read of it: names or patterns below the folder, each of which must be there
    get: str  # how it is got, as the end of a sentence: "on Debian and Ubuntu `apt-get install …`"
    tried: str  # the version whose files were read when this was written
    installed: tuple[str, ...] = ()  # folders in which it installs itself

    def find(self, path: str | None) -> Path | None:
        """The first folder that has all the files; None where there is none."""
        for folder in self.folders(path):
            if not self.lacking(folder):
                return folder
        return None

    def folders(self, path: str | None) -> list[Path]:
        """Where the files are looked for, in this order: in `path` alone if it is given."""
        if path:
            return [place(path)]
        folders = []
        named = os.environ.get("GENJAX_DATA")
        if named:
            root = place(named)
            folders += [root / self.name, root]
        return folders + [Path(folder) for folder in self.installed]

    def lacking(self, folder: Path) -> list[str]:
        """The names and patterns of `files` that nothing in the folder has."""
        return [name for name in self.files if next(folder.glob(name), None) is None]

    def paths(self, folder: Path) -> list[Path]:
        """The files in the folder, sorted within each pattern."""
        return [path for name in self.files for path in sorted(folder.glob(name))]

    def mark(self, folder: Path) -> str:
        """What tells the cache that the files are the same ones."""
        names = [str(path.relative_to(folder)) for path in self.paths(folder)]
        return cache.fingerprint(folder, names)

    def missing(
        self, path: str | None, named: str = "--data.path=FOLDER or GENJAX_DATA"
    ) -> NoReturn:
        """Raises the UserError of a package that is not there, or of which a part is not; named: how its place is."""
        folders = self.folders(path)
        for folder in folders:
            lacking = self.lacking(folder)
            if len(lacking) < len(
                self.files
            ):  # some are there: this is the place, and it is half installed
                raise UserError(
                    f"{self.name} in {folder} lacks {_some(lacking)}: get it again, {self.get} "
                    f"(version {self.tried} was tried)."
                )
        # a package that has no place of its own is looked for nowhere until a folder is named
        told = " nor ".join(map(str, folders)) or "any folder that is named"
        raise UserError(
            f"{self.name} is not in {told}: {self.get}; name the folder of its files by {named}."
        )

    def other(self, where: str | Path, what: str) -> UserError:
        """The error for files that are there and are not as they were in the version that was tried."""
        return UserError(
            f"{where} {what}: version {self.tried} of {self.name} was tried, {self.get}."
        )


def _some(names: Iterable[str]) -> str:
    first, *rest = names
    return f"{first} and {len(rest)} more" if rest else first
