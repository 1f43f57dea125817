"""Stock TFDS sets, as another machine prepared them: found by name, read without TensorFlow, explained when missing."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from genjax.data import Stock, train_batches
from genjax.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 12, 12, 3)).astype(np.uint8)


class TinyStock(tfds.core.GeneratorBasedBuilder):
    """Encoded images as stock sets have them, of one size and of several."""

    VERSION = tfds.core.Version("1.2.0")
    pkg_dir_path = Path(
        __file__
    ).parent  # TFDS looks for it by the package's name, and this module has none

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(12, 12, 3)),
            "wild": tfds.features.Image(),
            "grey": tfds.features.Image(shape=(12, 12, 1)),
            "label": tfds.features.ClassLabel(names=["x", "y", "z"]),
            "age": tfds.features.Scalar(np.int64),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl):
        return {
            "train": self._generate_examples(range(7)),
            "validation": self._generate_examples(range(7, 9)),
        }

    def _generate_examples(self, which):
        for i in which:
            image = Image.fromarray(PIXELS[i])
            pictures = {
                "image": image,
                "wild": image.resize((12 + i, 24)),
                "grey": image.convert("L"),
            }
            yield i, {**pictures, "label": i % 3, "age": i}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tfds")
    TinyStock(data_dir=directory, file_format="array_record").download_and_prepare()
    return directory


def cfg(directory, **options):
    return Stock(
        **{"name": "tiny_stock", "data_dir": str(directory), "test": "validation", **options}
    )


def test_a_prepared_set_is_read_as_it_is(prepared):
    source = cfg(prepared).load()
    assert source.shape == (12, 12, 3) and source.class_names == ("x", "y", "z")
    assert np.array_equal(source.train["image"], PIXELS[:7]) and np.array_equal(
        source.test["image"], PIXELS[7:]
    )
    assert (
        source.train["label"].tolist() == [0, 1, 2, 0, 1, 2, 0]
        and source.train["label"].dtype == np.int32
    )
    assert "tensorflow" not in sys.modules


def test_slices_sizes_and_unlabelled(prepared):
    source = cfg(prepared, train="train[:3]", test="train[3:]", label=None).load()
    assert (len(source.train["image"]), len(source.test["image"]), source.classes) == (3, 4, 0)
    assert source.train["label"].tolist() == [0, 0, 0]
    small = cfg(prepared, image="wild", size=8, test=None).load()
    assert small.train["image"].shape == (7, 8, 8, 3) and small.test["image"].shape == (
        0,
        8,
        8,
        3,
    )
    assert cfg(prepared, image="grey", size=8).load().train["image"].shape == (7, 8, 8, 1)


def test_streamed_batches_are_the_same(prepared):
    a, b = (train_batches(cfg(prepared, stream=flag).load(), 0, 1, 3) for flag in (False, True))
    for _ in range(4):
        assert {k: v.tobytes() for k, v in next(a).items()} == {
            k: v.tobytes() for k, v in next(b).items()
        }


def test_the_cache_outlives_the_set_and_the_newest_version_is_taken(prepared, tmp_path):
    root = tmp_path / "tfds"
    shutil.copytree(prepared / "tiny_stock", root / "tiny_stock")
    assert len(cfg(root).load().train["image"]) == 7
    shutil.copytree(root / "tiny_stock" / "1.2.0", root / "tiny_stock" / "1.10.0")
    shutil.rmtree(root / "tiny_stock" / "1.2.0")
    assert len(cfg(root, name="tiny_stock:1.10.0").load().train["image"]) == 7
    shutil.rmtree(root)
    assert len(cfg(root).load().train["image"]) == 7


def test_what_can_be_wrong_is_said(prepared, tmp_path):
    def error(**options):
        with pytest.raises(UserError) as caught:
            cfg(prepared, **options).load()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "has no split 'test', it has train, validation: set --data.test" in error(
        test="test"
    )
    assert "no feature 'imag', it has" in error(image="imag") and "Did you mean image" in error(
        image="imag"
    )
    assert "'age' is not a class: use --data.label=None" in error(label="age")
    assert "several sizes" in error(image="wild") and "--data.size=64" in error(image="wild")
    assert "not an 8-bit image" in error(image="age")
    for name in ("cifar10", "tiny_stock:9.9.9"):
        text = error(name=name)
        assert (
            f"tfds.builder('{name}'" in text
            and "file_format='array_record'" in text
            and str(prepared) in text
        )


def test_a_set_in_tensorflows_own_format_is_not_readable(prepared, tmp_path):
    shutil.copytree(prepared / "tiny_stock", tmp_path / "tiny_stock")
    info = tmp_path / "tiny_stock" / "1.2.0" / "dataset_info.json"
    info.write_text(json.dumps({**json.loads(info.read_text()), "fileFormat": "tfrecord"}))
    with pytest.raises(UserError, match="not prepared as array_record"):
        cfg(tmp_path).load()


def test_several_configs_are_listed(prepared, tmp_path):
    for name in ("big", "small"):
        shutil.copytree(
            prepared / "tiny_stock" / "1.2.0", tmp_path / "tiny_stock" / name / "1.2.0"
        )
    with pytest.raises(UserError, match="tiny_stock/big, tiny_stock/small"):
        cfg(tmp_path).load()
    assert len(cfg(tmp_path, name="tiny_stock/small").load().train["image"]) == 7
