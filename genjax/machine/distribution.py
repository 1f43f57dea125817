"""Under which name genjax is installed, and its release. On PyPI `genjax` is another project, with this import name."""

from __future__ import annotations

import warnings
from importlib import metadata
from pathlib import Path

NAME = "deepgenjax"
OTHER = "genjax"
# of pyproject.toml: releases before 0.2 were installed under the other's name
SUMMARY = "Deep generative models in JAX as pure functions, every family under one contract"


def version() -> str:
    """The release: in a clone that of its pyproject.toml, else that of the installed distribution."""
    import tomllib  # not at every start of a program

    # the clone first: an installation of an older state may lie beside it
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.exists():
        found = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
        # some packages leave a pyproject.toml among the installed ones
        if found.get("name") == NAME:
            return found["version"]
    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:  # files that were copied by hand
        return "unknown"


def warn_of_namesake() -> None:
    """Warns, in one line, where the other project is installed: the two write to one folder and hide each other."""
    try:
        other = metadata.distribution(OTHER)
    except metadata.PackageNotFoundError:
        return
    told = other.metadata
    if told["Summary"] == SUMMARY:
        return
    warnings.warn(
        f"another project called {OTHER} ({told['Version']}) is installed here, and what `import {OTHER}` finds "
        "depends on the folder and the order of installing: give each an environment of its own, or pip uninstall "
        f"{OTHER} and install {NAME} again.",
        stacklevel=3,  # the line that imports genjax
    )
