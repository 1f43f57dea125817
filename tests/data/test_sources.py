"""Digits and Fashion-MNIST: the right examples, found where they are, explained where they are not."""

import gzip
import shutil
import struct

import numpy as np
import pytest

from genjax import config
from genjax.data import Digits, FashionMNIST, Folder, Spiral, Stock, Toy, source, train_batches
from genjax.data.idx import read_pairs
from genjax.errors import UserError


def write_fashion(folder, seed=0, train=12, test=5, suffix=".gz"):
    """Four small idx files; returns the arrays of the two splits."""
    folder.mkdir(exist_ok=True)
    rng, splits = np.random.default_rng(seed), []
    for part, n in (("train", train), ("t10k", test)):
        x, y = (
            rng.integers(0, 256, (n, 28, 28)).astype(np.uint8),
            rng.integers(0, 10, n).astype(np.uint8),
        )
        for kind, array in (("images-idx3", x), ("labels-idx1", y)):
            data = (
                struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
                + array.tobytes()
            )
            (folder / f"{part}-{kind}-ubyte{suffix}").write_bytes(
                gzip.compress(data) if suffix else data
            )
        splits.append((x[..., None], y))
    return splits


def test_digits_are_scikit_learns_and_split_once():
    from sklearn.datasets import load_digits

    loaded, whole = Digits().load(), load_digits()
    assert (
        loaded.shape == (8, 8, 1)
        and loaded.classes == 10
        and loaded.class_names == tuple("0123456789")
    )
    assert (
        len(loaded.train["image"]),
        len(loaded.valid["image"]),
        len(loaded.test["image"]),
    ) == (
        1437,
        0,
        360,
    )
    images = np.concatenate([loaded.train["image"], loaded.test["image"]])
    labels = np.concatenate([loaded.train["label"], loaded.test["label"]])
    assert images.dtype == np.uint8 and images.max() == 255
    ink = np.rint(images[..., 0] * (16 / 255))
    pairs = sorted(zip(map(bytes, ink.astype(np.uint8)), labels.tolist(), strict=True))
    assert pairs == sorted(
        zip(map(bytes, whole.images.astype(np.uint8)), whole.target.tolist(), strict=True)
    )
    assert np.bincount(loaded.test["label"]).min() > 20  # every class is in the test split


def test_validation_is_the_tail_of_training():
    whole, part = Digits().load(), Digits(valid=37).load()
    assert np.array_equal(part.valid["image"], whole.train["image"][-37:])
    assert np.array_equal(part.train["label"], whole.train["label"][:-37])
    with pytest.raises(UserError, match="--data.valid=1437"):
        Digits(valid=1437).load()


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_fashion_by_path(tmp_path, suffix):
    (x, y), (test_x, test_y) = write_fashion(tmp_path / "f", suffix=suffix)
    loaded = FashionMNIST(path=str(tmp_path / "f"), valid=2).load()
    assert np.array_equal(np.concatenate([loaded.train["image"], loaded.valid["image"]]), x)
    assert (
        np.array_equal(loaded.train["label"], y[:10])
        and loaded.train["label"].dtype == np.int32
    )
    assert np.array_equal(loaded.test["image"], test_x) and np.array_equal(
        loaded.test["label"], test_y
    )
    assert loaded.class_names[9] == "ankle boot"
    assert loaded.picture(loaded.test["image"]).shape == (
        2 * 57 - 1,
        3 * 57 - 1,
        1,
    )  # each pixel drawn as 2 x 2


def test_fashion_by_environment_then_from_the_cache_then_rebuilt(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "DEBIAN", tmp_path / "none")
    monkeypatch.setenv("GENJAX_DATA", str(tmp_path))
    folder = tmp_path / "fashion-mnist"
    (x, _), _ = write_fashion(folder)
    assert np.array_equal(FashionMNIST().load().train["image"], x)
    (x, _), _ = write_fashion(folder, seed=1, train=7)
    assert np.array_equal(FashionMNIST().load().train["image"], x)
    shutil.rmtree(folder)
    assert np.array_equal(FashionMNIST().load().train["image"], x)


def test_missing_fashion_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "DEBIAN", tmp_path / "none")
    for cfg, missing in ((FashionMNIST(), 4), (FashionMNIST(path=str(tmp_path / "part")), 1)):
        write_fashion(tmp_path / "part")
        (tmp_path / "part" / "t10k-labels-idx1-ubyte.gz").unlink()
        with pytest.raises(UserError) as caught:
            cfg.load()
        text = str(caught.value)
        assert (
            "\n" not in text
            and text.count("-ubyte.gz") == missing
            and "t10k-labels-idx1-ubyte.gz" in text
        )
        for remedy in (
            "apt-get install dataset-fashion-mnist",
            "--data.path=",
            "GENJAX_DATA",
            "TFDS",
        ):
            assert remedy in text


def test_a_truncated_fashion_file_is_named_and_nothing_is_kept(tmp_path, cache_dir):
    folder = tmp_path / "f"
    write_fashion(folder)
    broken = folder / "t10k-images-idx3-ubyte.gz"
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.raises(UserError, match="t10k-images-idx3-ubyte.gz is truncated"):
        FashionMNIST(path=str(folder)).load()
    assert list(cache_dir.iterdir()) == []


def test_batches_complain_before_the_first_one():
    loaded = Digits().load()
    with pytest.raises(UserError, match="batch 2000 is larger"):
        train_batches(loaded, seed=0, first_step=0, batch=2000)


@pytest.mark.skipif(
    not source.DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)
def test_the_true_fashion_mnist_is_whole():
    for part, n in (("train", 60_000), ("t10k", 10_000)):
        paths = [
            source.DEBIAN / f"{part}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")
        ]
        _, labels = read_pairs(*paths, side=28, classes=10)
        assert np.bincount(labels).tolist() == [n // 10] * 10


@pytest.mark.parametrize(
    "cfg",
    [
        Digits(valid=3),
        FashionMNIST(path="/a"),
        Folder(path="/a", colour=False),
        Stock(name="x", size=64),
        Toy(mixture=Spiral(arms=3)),
    ],
    ids=lambda cfg: type(cfg).__name__,
)
def test_configs_are_plain_values(cfg):
    assert config.from_json(config.to_json(cfg)) == cfg
    assert all(doc for _, _, _, doc, _ in config.walk(cfg))


def test_where_a_set_lies_is_not_what_it_is():
    assert config.digest(FashionMNIST(path="/a")) == config.digest(FashionMNIST())
    assert config.digest(Stock(data_dir="/a", stream=True)) == config.digest(Stock())
    assert config.digest(Folder(path="/a", stream=True)) == config.digest(Folder(path="/b"))
    assert config.digest(Folder(content="1")) != config.digest(Folder(content="2"))
