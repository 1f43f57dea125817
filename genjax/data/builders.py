"""TFDS builders of our own that need no TensorFlow: array_record files, `features.Tensor` (encoding a
`features.Image` from arrays needs TensorFlow). The only module that imports tensorflow_datasets at its top: import it
inside a function, so that a warm cache is read without it.

TFDS: https://www.tensorflow.org/datasets/add_dataset
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from genjax.data.batches import order
from genjax.data.cache import Prepared
from genjax.data.idx import read_pairs
from genjax.data.stream import Records
from genjax.fields import Category, Image

DIGITS_TEST = 360
FASHION_CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
Examples = Iterator[tuple[int, dict[str, Any]]]
Rows = Callable[[], Iterator[dict[str, Any]]]  # what yields a split's examples, {field: array}
Pairs = Callable[[], Iterator[tuple[np.ndarray, int]]]


def _info(
    builder: Any, shape: tuple[int, ...], names: tuple[str, ...]
) -> tfds.core.DatasetInfo:
    # Bytes, not the default list of integers: 2.4 times faster to write and to read.
    image = tfds.features.Tensor(
        shape=shape, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
    )
    features = {
        "image": image,
        "label": tfds.features.ClassLabel(names=list(names) or ["unlabelled"]),
    }
    return builder.dataset_info_from_configs(
        features=tfds.features.FeaturesDict(features), disable_shuffling=True
    )


def _enumerate(images: np.ndarray, labels: np.ndarray) -> Examples:
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield i, {"image": image, "label": int(label)}


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,797 scans of handwritten digits, 8x8, carried by scikit-learn (E. Alpaydin & C. Kaynak, 1998, UCI).

    Ink 0..16 becomes round(v * 255 / 16). The set has no split of its own: its examples are permuted by
    `batches.order(seed=0, epoch=0)`; the first 1,437 train, the last 360 test.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return _info(self, (8, 8, 1), tuple("0123456789"))

    def _split_generators(self, dl: Any) -> dict[str, Examples]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        levels = np.rint(digits.images * (255 / 16))  # [N, 8, 8]
        images = levels.astype(np.uint8)[..., None]
        rank = order(0, 0, len(images))
        train, test = rank[:-DIGITS_TEST], rank[-DIGITS_TEST:]
        return {
            "train": self._generate_examples(images[train], digits.target[train]),
            "test": self._generate_examples(images[test], digits.target[test]),
        }

    def _generate_examples(self, images: np.ndarray, labels: np.ndarray) -> Examples:
        return _enumerate(images, labels)


class FashionMnistIdx(tfds.core.GeneratorBasedBuilder):
    """Fashion-MNIST (Xiao et al., 2017, arXiv:1708.07747) from its four idx files, in the files' order."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put train-images-idx3-ubyte.gz and the three other files in manual_dir."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return _info(self, (28, 28, 1), FASHION_CLASSES)

    def _split_generators(self, dl: Any) -> dict[str, Examples]:
        folder = Path(dl.manual_dir)
        return {
            "train": self._generate_examples(folder, "train"),
            "test": self._generate_examples(folder, "t10k"),
        }

    def _generate_examples(self, folder: Path, part: str) -> Examples:
        names = (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte")
        paths = [
            folder / name if (folder / name).exists() else folder / f"{name}.gz"
            for name in names
        ]
        yield from _enumerate(*read_pairs(*paths, side=28, classes=10))


class PictureFolder(tfds.core.GeneratorBasedBuilder):
    """A user's own folder of images; `splits` gives for each split a function that yields (image, label)."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(
        self,
        shape: tuple[int, ...],
        class_names: tuple[str, ...],
        splits: dict[str, Pairs],
        **options: Any,
    ):
        # before the parent's, which asks for `_info` at once
        self.pictures = shape, class_names, splits
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        shape, class_names, _ = self.pictures
        return _info(self, shape, class_names)

    def _split_generators(self, dl: Any) -> dict[str, Examples]:
        return {
            split: self._generate_examples(pairs) for split, pairs in self.pictures[2].items()
        }

    def _generate_examples(self, pairs: Pairs) -> Examples:
        for i, (image, label) in enumerate(pairs()):
            yield i, {"image": image, "label": label}


class FieldRows(tfds.core.GeneratorBasedBuilder):
    """Examples of any fields of `genjax.fields`; `splits` gives for each split a function that yields its rows."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, fields: dict[str, Any], splits: dict[str, Rows], **options: Any):
        # before the parent's, which asks for `_info` at once
        self.rows = fields, splits
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {}
        for name, kind in self.rows[0].items():
            features[name] = tfds.features.Tensor(
                shape=kind.shape, dtype=kind.dtype, encoding=tfds.features.Encoding.BYTES
            )
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl: Any) -> dict[str, Examples]:
        splits = self.rows[1].items()
        return {split: self._generate_examples(rows) for split, rows in splits}

    def _generate_examples(self, rows: Rows) -> Examples:
        fields = self.rows[0].items()
        for i, row in enumerate(rows()):
            # to the field's type here: TFDS refuses a Python number where an array is due
            yield i, {name: np.asarray(row[name], kind.dtype) for name, kind in fields}


def decoded(example: dict[str, Any]) -> dict[str, np.ndarray]:
    """An example of our builders -> {"image": uint8 [H, W, C], "label": int32 []}."""
    return {"image": example["image"], "label": np.int32(example["label"])}


def prepare(builder: tfds.core.DatasetBuilder, manual_dir: Path | None = None) -> Prepared:
    """Writes the builder's files unless they are there; its splits as records."""
    _write(builder, manual_dir)
    features = builder.info.features
    splits = {
        split: Records(source, decoded) for split, source in builder.as_data_source().items()
    }
    names = tuple(features["label"].names)
    fields = {
        "image": Image(tuple(features["image"].shape)),
        "label": Category(len(names), names),
    }
    return Prepared(splits, fields)


def _write(builder: tfds.core.DatasetBuilder, manual_dir: Path | None = None) -> None:
    # our own log tells of progress; bars would break its lines
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(
            io.StringIO()
        ):  # it tells of downloads where there are none
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
            )
    except RuntimeError as error:  # array_record's writer has no other type for a full disk
        if "write() failed" in str(error):
            raise OSError(errno.EIO, str(error).partition(";")[0]) from error
        raise


def rows(
    directory: Path,
    fields: dict[str, Any],
    splits: dict[str, Rows],
    notes: tuple[str, ...] = (),
) -> Prepared:
    """A set of any fields, prepared in `directory`: what is modelled is the first of `fields`.

    splits: {"train", "valid" or "test": a function that yields {field: array} for each example}; one that would have no
    example is left out. A function is called when its split is written, and not at all where `directory` has the set.
    """
    builder = FieldRows(fields, splits, data_dir=directory, file_format="array_record")
    _write(builder)
    written = builder.as_data_source()
    read = functools.partial(_typed, fields=fields)
    # every set has these two, though they may be empty
    records = {"train": Records((), read), "test": Records((), read)}
    for split, source in written.items():
        records[split] = Records(source, read)
    return Prepared(records, fields, notes)


def _typed(example: dict[str, Any], fields: dict[str, Any]) -> dict[str, np.ndarray]:
    """An example of `FieldRows` as the fields say; TFDS gives scalars as numbers."""
    return {name: np.asarray(example[name], kind.dtype) for name, kind in fields.items()}


def digits(directory: Path) -> Prepared:
    """Digits, prepared in `directory`."""
    return prepare(Digits(data_dir=directory, file_format="array_record"))


def fashion_mnist(directory: Path, source: Path) -> Prepared:
    """Fashion-MNIST from the idx files in `source`, prepared in `directory`."""
    return prepare(
        FashionMnistIdx(data_dir=directory, file_format="array_record"), manual_dir=source
    )


def pictures(
    directory: Path,
    shape: tuple[int, ...],
    class_names: tuple[str, ...],
    splits: dict[str, Pairs],
) -> Prepared:
    """A folder of images, prepared in `directory`."""
    # numbers: TFDS keeps names a line each, and names of folders may hold line breaks or be no valid text
    numbers = tuple(map(str, range(len(class_names))))
    builder = PictureFolder(
        shape, numbers, splits, data_dir=directory, file_format="array_record"
    )
    prepared = prepare(builder)
    # what has no example the builder does not write
    records = {"train": Records((), decoded), "test": Records((), decoded), **prepared.splits}
    # the features need a class name, we do not
    labels = Category(len(class_names), tuple(class_names))
    return prepared._replace(splits=records, fields={**prepared.fields, "label": labels})
