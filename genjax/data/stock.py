"""Any stock TFDS image set by its name, once it has been prepared as array_record: reading needs no TensorFlow,
preparing does (https://www.tensorflow.org/datasets/catalog)."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data import cache
from genjax.data.folder import fit
from genjax.data.source import Source, assemble
from genjax.data.stream import Records
from genjax.errors import UserError, nearest
from genjax.fields import Category, Image
from genjax.machine.files import typed


@dataclasses.dataclass(frozen=True)
class Stock:
    """A prepared TFDS set of 8-bit images. `name` as TFDS writes it: name, name:version or name/config:version."""

    name: str = field("mnist", "the set's TFDS name; the newest version unless one is given")
    data_dir: str | None = field(
        None,
        "where TFDS sets are; None = $TFDS_DATA_DIR, then ~/tensorflow_datasets",
        execution=True,
    )
    train: str = field("train", "split to train on, slices too: train[:90%]")
    test: str | None = field(
        "test", "split to test on, for instance validation or train[90%:]; None = none"
    )
    image: str = field("image", "name of the image feature")
    label: str | None = field("label", "name of the class feature; None = unlabelled")
    size: int | None = field(
        None, "short side scaled to it, then the centre square; None = as stored"
    )
    valid: int = field(0, "training images held out for validation, from the tail")
    stream: bool = field(
        False,
        "read through grain instead of an array cache: for sets beyond memory",
        execution=True,
    )

    def load(self) -> Source:
        """From the cache, else from the prepared set; UserError says how to prepare it."""
        found = find(self.name, data_dir(self.data_dir))
        # what changes the arrays
        request = {
            "name": self.name,
            "train": self.train,
            "test": self.test,
            "image": self.image,
        }
        request |= {"label": self.label, "size": self.size}
        mark = None  # no source here, but the cache may have the set
        if found:
            files = [path.name for path in found.iterdir() if path.is_file()]
            mark = cache.fingerprint(found, files)
        # Prepared by TFDS, not by us: nothing to write into the working directory.
        key = self.name.replace("/", "-").replace(":", "-")

        def prepare(_: Path) -> cache.Prepared:
            return _prepare(found, self)

        return assemble(self.name, key, request, mark, prepare, self.valid, self.stream)


def data_dir(given: str | None) -> Path:
    """The directory in which TFDS keeps its sets."""
    return typed(given or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def find(name: str, root: Path) -> Path | None:
    """The directory of the newest prepared version, or None; UserError when the name leaves several configs open."""
    stem, _, version = name.partition(":")
    infos = [
        *(root / stem).glob("*/dataset_info.json"),  # name/version
        *(root / stem).glob("*/*/dataset_info.json"),  # name/config/version
    ]
    found = [path.parent for path in infos if version in ("", path.parent.name)]
    # versions of one set lie side by side
    sets = {path.parent for path in found}
    if len(sets) > 1:
        configs = sorted(str(path.relative_to(root)) for path in sets)
        raise UserError(
            f"{name} is prepared in several configs: use --data.name= one of {', '.join(configs)}."
        )
    return max(found, key=_version, default=None)  # the newest


def _version(path: Path) -> tuple[int, ...]:
    # As numbers: as text 10.0.0 would come before 9.0.0.
    return tuple(int(part) for part in path.name.split(".") if part.isdigit())


def _unprepared(cfg: Stock) -> UserError:
    place = data_dir(cfg.data_dir)
    return UserError(
        f"{cfg.name} is not prepared as array_record in {place}: on a machine with tensorflow run `python -c "
        f"\"import tensorflow_datasets as tfds; tfds.builder('{cfg.name}', data_dir='{place}', "
        "file_format='array_record').download_and_prepare()\"` and copy the directory, or name it by --data.data_dir."
    )


def _prepare(found: Path | None, cfg: Stock) -> cache.Prepared:
    if found is None:
        raise _unprepared(cfg)
    import tensorflow_datasets as tfds
    from PIL import EpsImagePlugin

    # TFDS opens images of any format, and for an EPS Pillow would start ghostscript.
    EpsImagePlugin.gs_binary = False
    _check_own(found / "features.json")
    builder = tfds.builder_from_directory(found)
    features = builder.info.features
    for flag, key in (("image", cfg.image), ("label", cfg.label)):
        if key is not None and key not in features:
            raise UserError(
                f"{cfg.name} has no feature {key!r}, it has {', '.join(features)}: set --data.{flag}."
                + nearest(key, features)
            )
    image = features[cfg.image]
    shape = _shape(cfg, tuple(image.shape), image.np_dtype)
    names = _class_names(cfg, features[cfg.label]) if cfg.label else ()
    # decoded where it is read, in the threads of who reads
    read = functools.partial(_read, cfg=cfg, shape=shape)
    wanted = {"train": cfg.train, "test": cfg.test}
    sources = {}
    for flag, split in wanted.items():
        sources[flag] = _source(builder, cfg, flag, split) if split else ()
    return cache.Prepared(
        {flag: Records(source, read) for flag, source in sources.items()},
        {"image": Image(tuple(shape)), "label": Category(len(names), tuple(names))},
    )


def _check_own(path: Path) -> None:
    """Raises UserError where the features of a set are classes outside TFDS, whose modules it would import."""
    try:
        named = set(_classes(json.loads(path.read_text())))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} cannot be read ({error}): copy or prepare the set again."
        ) from error
    # a class's name is a path to import, and to import is to run
    foreign = sorted(name for name in named if not name.startswith("tensorflow_datasets."))
    if foreign:
        raise UserError(
            f"{path} names {foreign[0]}, code that is not of TFDS: only its own features are read."
        )


def _classes(tree: Any) -> Iterator[str]:
    """The feature classes that a features.json names: at any depth, in the old format too, and in JSON kept as text."""
    # some features keep their own features as JSON in a string
    if isinstance(tree, str):
        try:
            tree = json.loads(tree)
        except ValueError:
            return  # text that is only text
    elif isinstance(tree, dict):
        legacy = ("type",) if "content" in tree else ()
        keys = ("pythonClassName", "python_class_name", *legacy)
        yield from (str(tree[key]) for key in keys if key in tree)

    parts = ()  # plain values have none
    if isinstance(tree, dict):
        parts = tree.values()
    elif isinstance(tree, list):
        parts = tree
    for part in parts:
        yield from _classes(part)


def _shape(cfg: Stock, stored: tuple[int | None, ...], dtype: Any) -> tuple[int, ...]:
    # rounding other types to bytes would be a decision about the data
    if len(stored) != 3 or dtype != np.uint8:
        raise UserError(
            f"{cfg.name}: feature {cfg.image!r} is {dtype}{stored}, not an 8-bit image: set --data.image."
        )
    if cfg.size is not None:
        return (cfg.size, cfg.size, 1 if stored[2] == 1 else 3)
    # None: TFDS does not know the side in advance, so images differ
    if None in stored:
        raise UserError(
            f"{cfg.name} has images of several sizes: scale them to one, for instance --data.size=64."
        )
    return stored


def _class_names(cfg: Stock, feature: Any) -> tuple[str, ...]:
    if not hasattr(feature, "names"):
        raise UserError(
            f"{cfg.name}: feature {cfg.label!r} is not a class: use --data.label=None."
        )
    # a class feature may know its number of classes and no names
    return tuple(feature.names or ())


def _source(builder: Any, cfg: Stock, flag: str, split: str) -> Any:
    try:
        return builder.as_data_source(split=split)
    except NotImplementedError as error:  # prepared as tfrecord, TFDS's default
        raise _unprepared(cfg) from error
    except ValueError as error:
        has = ", ".join(builder.info.splits)
        raise UserError(
            f"{cfg.name} has no split {split!r}, it has {has}: set --data.{flag}."
        ) from error


def _read(example: dict[str, Any], cfg: Stock, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    image = example[cfg.image]
    if cfg.size is not None:
        from PIL import Image

        plane = image[..., 0] if image.shape[-1] == 1 else image  # Pillow's grey has no channel
        colour = shape[2] == 3
        image = fit(Image.fromarray(plane), cfg.size, colour)
    # unlabelled: all of class 0, so that every set has the field
    label = example[cfg.label] if cfg.label else 0
    return {"image": image, "label": np.int32(label)}
