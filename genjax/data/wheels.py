"""Files of a package of PyPI: of the package as it is installed, or of its wheel in a folder. It is never imported."""

from __future__ import annotations

import dataclasses
import sysconfig
from pathlib import Path

from genjax.data import archives
from genjax.data.packages import Package
from genjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Wheel:
    """A package that carries a set: no config, but what the code of a set knows of its source."""

    name: str  # as PyPI spells it
    files: tuple[
        str, ...
    ]  # below the folder of installed packages, each of which must be there
    tried: str  # the version whose files were read when this was written

    @property
    def get(self) -> str:
        """How it is got."""
        return f"`pip install {self.name}`, or `pip download --no-deps {self.name}`"

    @property
    def installed(self) -> Package:
        """Its files, where pip puts them."""
        here = sysconfig.get_paths()["purelib"]
        return Package(self.name, self.files, self.get, self.tried, (here,))

    @property
    def packed(self) -> Package:
        """The wheel itself."""
        # in names of wheels a dash parts name and version
        stem = self.name.replace("-", "_")
        return Package(self.name, (f"{stem}-*.whl",), self.get, self.tried)

    def contents(self, path: str | None) -> dict[str, bytes]:
        """{name of a file, without its folders: content}; UserError says how the package is got."""
        folder = self.installed.find(path)
        # an unpacked package is quicker to read
        if folder is not None:
            paths = self.installed.paths(folder)
            return {each.name: each.read_bytes() for each in paths}
        folder = self.packed.find(path)
        if folder is None:
            self.installed.missing(path)
        return self._unpacked(folder)

    def _unpacked(self, folder: Path) -> dict[str, bytes]:
        wheel, *more = self.packed.paths(folder)
        if more:
            raise UserError(
                f"{folder} has {wheel.name} and {more[0].name}: leave one of them there."
            )
        try:
            members = archives.read(wheel, self.files)
        except archives.Broken as error:
            raise self.packed.other(wheel, str(error)) from error
        for name in self.files:
            # what is missing is told with the version that has it
            if name not in members:
                raise self.packed.other(wheel, f"lacks {name}")
        return {name.rpartition("/")[2]: content for name, content in members.items()}
