"""Brings runs of an earlier release to the names that are used now: `python -m genjax.training.migrate runs/`

A run's directory has the digest of its config in its name, and its checkpoints hold that config. Where classes and
fields got other names, the same result has another digest, and a run would start from the beginning beside the old one.
This rewrites config.json, the config inside every checkpoint with its checksum, and the directory's name; weights,
metrics and results are not touched. A directory that is up to date is left alone, so it may run twice.

What it knows of: releases up to 0.1, whose digests hashed module paths (fields `conditional`, `given`,
`evaluate_every`, an `ema` of AE and VAE that was a number, and classes that have other names now); `steps` and `clip`
where they meant other things than the length of a run and the norm of a gradient; learned positions, which weight decay
of kernels took for one; and folders of images, whose path was a part of the digest: such a run is migrated where its
folder is.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path
from typing import Any

import genjax
from genjax import config
from genjax.errors import UserError
from genjax.machine.checksum import crc32
from genjax.training.experiment import Experiment

# only what was renamed: to rename one more, add a line here
CLASSES = {  # "module:name" then -> the class's name now; others have kept theirs
    "genjax.optim:Cosine": "CosineDecay",
    "genjax.diffusion.times:Grid": "Discrete",
    "genjax.diffusion.vdm:Linear": "LinearGamma",
    "genjax.diffusion.vdm:Monotone": "MonotoneGamma",
    "genjax.metrics.evaluate:Score": "InceptionScore",
}
EVERY = {
    "log_every": "log",
    "evaluate_every": "evaluate",
    "sample_every": "sample",
    "save_every": "save",
}
FIELDS = {  # (the class's name now, its field then) -> the field's name now
    ("Consistency", "steps"): "sampling_steps",
    ("MeanFlow", "steps"): "sampling_steps",
    ("VDM", "steps"): "bound_steps",
    ("GAN", "clip"): "weight_clip",
}
SUMS = "crc32.json"  # as in `checkpoint`


def modern(tree: Any, classes: dict[str, type]) -> Any:
    """A config of an earlier release as JSON data -> the same as it is written now."""
    if isinstance(tree, list):
        return [modern(value, classes) for value in tree]
    if not isinstance(tree, dict) or "__type__" not in tree:
        return tree  # a plain value, or a dict that is none of ours
    old = str(tree["__type__"])
    # modules have moved and their classes are unique: the name is enough
    name = CLASSES.get(old, old.partition(":")[2])
    found = {key: modern(value, classes) for key, value in tree.items()}
    found = _renamed(name, found)
    # an unknown class stays as it was, and `from_json` will say so
    if name in classes:
        found["__type__"] = config.type_path(classes[name])
    return found


def _renamed(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """The fields of one config under the names, and in the forms, that they have now."""
    found = {FIELDS.get((name, key), key): value for key, value in found.items()}
    if name == "Experiment":
        # flat fields then, one config now
        every = {}
        for key in list(found):  # a list: the dict shrinks meanwhile
            if key in EVERY:
                every[EVERY[key]] = found.pop(key)
        if every:
            found["every"] = {"__type__": "genjax.training.experiment:Every", **every}
        found["finish"] = []  # measured anew by what the experiment lists now
    # two fields then, a tuple of conditions now
    condition = []
    if found.pop("conditional", False):
        condition.append({"__type__": "genjax.conditions:Label"})
    through = found.pop("given", None) if name == "Diffusion" else None
    if through is not None:
        condition.append({"__type__": "genjax.conditions:Picture", "through": through})
    if condition:
        found["condition"] = condition
    # its parameter had the name of one that weight decay of kernels does not spare
    if name == "Learned":
        found.setdefault("decayed", True)
    if name in ("VAE", "Autoencoder") and isinstance(found.get("ema"), float):
        found["ema"] = {"__type__": "genjax.ema:Decay", "decay": found["ema"]}
    return found


def known_classes() -> dict[str, type]:
    """{name: class} of every config class of genjax, wherever it lives."""
    found = {}
    for module in pkgutil.walk_packages(genjax.__path__, "genjax."):
        # the one would run when imported, the other needs TensorFlow
        if module.name.endswith("__main__") or module.name == "genjax.data.builders":
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if config.is_config_type(value) and value.__module__.startswith("genjax."):
                found[value.__name__] = value
    return found


def _check_types(tree: Any, classes: dict[str, type]) -> None:
    """Raises UserError for a type that is not of genjax: reading it would import whatever module the file names."""
    if isinstance(tree, dict):
        named = tree.get("__type__")
        if named is not None and named not in map(config.type_path, classes.values()):
            raise UserError(
                f"{named!r} is no config of genjax, and only those are read: edit config.json, or start anew."
            )
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    for part in parts:
        _check_types(part, classes)


def migrate(path: Path, classes: dict[str, type]) -> Path | None:
    """Brings one run directory up to date and returns its new place; None if it needs nothing.

    UserError for a config that cannot be read now; then nothing is changed.
    """
    text = (path / "config.json").read_text()
    tree = modern(json.loads(text), classes)
    _check_types(tree, classes)
    exp = config.from_json(json.dumps(tree))
    if not isinstance(exp, Experiment):
        return None
    # folders of images were known by their path, and are by what lies there
    exp = exp.resolved()
    # from the right: an ablation's name may hold a hyphen, a digest cannot
    ablation = path.name.rpartition("-")[0]
    new = path.with_name(f"{ablation}-{config.digest(exp)}")
    if new == path:  # up to date
        return None
    # two runs of one digest: which is right is not ours to say
    if new.exists():
        raise UserError(
            f"{path} would become {new}, which is there already: remove one of them."
        )
    kept = sorted(path.glob("checkpoints/[0-9]*"))
    best = sorted(path.glob("best/*/[0-9]*"))
    identity = config.identity(exp)
    for step in kept + best:
        _rewrite(step, identity, "mixture" in text)
    # last but one: a kill before it leaves a directory that is migrated again
    (path / "config.json").write_text(config.to_json(exp))
    path.rename(new)
    return new


def _rewrite(step: Path, identity: str, toy: bool) -> None:
    """Puts the config as it is now into a checkpoint's metadata, and mends that file's checksum."""
    files = [file for file in (step / "meta").rglob("*") if file.is_file()]
    for file in files:
        try:
            about = json.loads(file.read_text())
        except ValueError:
            continue
        # Orbax has JSON of its own beside ours
        if not isinstance(about, dict) or "config" not in about:
            continue
        about["config"] = identity
        if toy:  # points have another name in the data now, which their config alone determines
            about["meta"].pop("data", None)
        file.write_text(json.dumps(about))
        sums = json.loads((step / SUMS).read_text())
        # else `restore` would take the checkpoint for corrupt
        sums[str(file.relative_to(step))] = crc32(file)
        (step / SUMS).write_text(json.dumps(sums))


def main(arguments: list[str]) -> int:
    """Migrates all runs below the folders named; returns the exit code."""
    if not arguments:
        print(
            "error: name a folder of runs: python -m genjax.training.migrate runs",
            file=sys.stderr,
        )
        return 2
    classes = known_classes()
    code = 0
    for folder in arguments:
        found = sorted(Path(folder).glob("**/config.json"))
        if not found:
            print(
                f"error: {folder} holds no runs: name a folder such as runs.", file=sys.stderr
            )
            code = 2
        for file in found:
            try:
                new = migrate(file.parent, classes)
                state = "up to date" if new is None else f"is now {new}"
                print(f"{file.parent}: {state}")
            except (UserError, OSError, ValueError) as error:
                print(f"error: {file.parent} is left as it is: {error}", file=sys.stderr)
                code = 2
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
