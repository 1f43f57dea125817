"""Unpaired data: two sets as domains, and pairs that are taken apart in training and whole in the test."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image as Picture

from genjax import config
from genjax.data import Digits, Domains, Folder, Pairs, Source, Stock, Unpaired, source
from genjax.data.batches import batch_at, domains, eval_batches
from genjax.data.summary import summary
from genjax.errors import UserError
from genjax.fields import Category, Image

RNG = np.random.default_rng(0)


class TinyHorses(tfds.core.GeneratorBasedBuilder):
    """A set as TFDS has cycle_gan's: the domains are splits."""

    VERSION = tfds.core.Version("3.0.0")
    pkg_dir_path = Path(__file__).parent  # TFDS looks for it by the package's name

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(6, 6, 3)),
            "label": tfds.features.ClassLabel(names=["A", "B"]),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl):
        sizes = {"trainA": 7, "trainB": 5, "testA": 3, "testB": 4}
        return {split: self._generate_examples(split, n) for split, n in sizes.items()}

    def _generate_examples(self, split, n):
        for i in range(n):
            pixels = np.full((6, 6, 3), 10 * i + 100 * split.endswith("B"), np.uint8)
            yield i, {"image": Picture.fromarray(pixels), "label": split[-1]}


def picture(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(np.full((4, 4, 3), value, np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path):
    """Domains of two folders, dark and light, of 9 and 6 pictures for training."""
    for name, first, n in (("dark", 0, 9), ("light", 200, 6)):
        for i in range(n):
            picture(tmp_path / name / "train" / f"{i}.png", first + i)
        for i in range(3):
            picture(tmp_path / name / "test" / f"{i}.png", first + 50 + i)
    sides = [Folder(str(tmp_path / name), size=4) for name in ("dark", "light")]
    return Domains(*sides, names=("dark", "light"))


@pytest.fixture
def pairs(tmp_path):
    """Pairs whose target is the input plus 100."""
    for i in range(30):
        picture(tmp_path / "in" / f"{i}.png", i)
        picture(tmp_path / "out" / f"{i}.png", i + 100)
    return Pairs(str(tmp_path / "in"), str(tmp_path / "out"), size=4, test=0.3, valid=3)


def told(cfg):
    with pytest.raises(UserError) as caught:
        cfg.load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_two_folders_are_two_domains(folders):
    found = folders.load()
    source.check(found)
    assert domains(found.train) == ("dark", "light") and found.shape == (4, 4, 3)
    assert not found.aligned and found.records is None
    assert summary(found).startswith(
        "dark and light: image 4x4x3; train 9 dark and 6 light, test 3 dark and 3 light"
    )
    assert found.train["dark"]["image"].max() < 50 <= found.train["light"]["image"].min()
    assert source.spec_of(found).domains == ("dark", "light")
    batch = batch_at(found.train, 0, 0, 4)
    assert batch["light"]["image"].shape == (4, 4, 4, 3)


def streamed(cfg, *names):
    """A config whose parts are read through grain."""
    parts = {name: dataclasses.replace(getattr(cfg, name), stream=True) for name in names}
    return dataclasses.replace(cfg, **parts)


def assert_same_batches(kept, other):
    source.check(other)
    assert source.fingerprint(kept) == source.fingerprint(other)
    batches = [source.train_batches(each, 5, 2, 2, (1, 2)) for each in (kept, other)]
    for _ in range(9):  # over epochs
        a, b = map(next, batches)
        assert a.keys() == b.keys() and a["a"].keys() == b["a"].keys()
        for name in ("index", "position"):
            np.testing.assert_array_equal(a[name], b[name])
        for domain in ("a", "b"):
            for name, values in a[domain].items():
                assert values.tobytes() == b[domain][name].tobytes()
    batches[1].close()
    for (a, n), (b, m) in zip(
        eval_batches(kept.test, 2), eval_batches(other.test, 2), strict=True
    ):
        assert n == m
        np.testing.assert_array_equal(a["b"]["image"], b["b"]["image"])


def test_streamed_domains_are_the_same_bytes(folders, pairs):
    plain = dataclasses.replace(folders, names=("a", "b"))
    both = streamed(plain, "a", "b").load()
    assert "streamed" in summary(both)
    assert_same_batches(plain.load(), both)
    apart = Unpaired(pairs)
    assert_same_batches(apart.load(), streamed(apart, "pairs").load())
    assert "of the domains a alone is streamed" in told(streamed(plain, "a"))


def test_the_digest_knows_the_files_of_both(folders, pairs, tmp_path):
    for cfg in (folders, Unpaired(pairs)):
        assert config.from_json(config.to_json(cfg)) == cfg
        known = cfg.resolved()
        digest = config.digest(known)
        folder = "light/train" if cfg is folders else "out"
        picture(tmp_path / folder / "0.png", 77)
        assert config.digest(cfg.resolved()) != digest
        # with the flag of the part that it is of
        assert re.search(r"without --data\.(b|pairs)\.content", told(known))


def test_cycle_gan_of_tfds(tmp_path):
    """Its domains are splits of one prepared set."""
    TinyHorses(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    part = Stock("tiny_horses", data_dir=str(tmp_path))
    a = dataclasses.replace(part, train="trainA", test="testA")
    b = dataclasses.replace(part, train="trainB", test="testB")
    found = Domains(a, b).load()
    sizes = {
        split: [len(its["image"]) for its in parts.values()]
        for split, parts in found.splits().items()
    }
    assert sizes == {"train": [7, 5], "valid": [0, 0], "test": [3, 4]}
    assert found.train["b"]["image"].min() == 100 and set(found.train["b"]["label"]) == {1}
    wrong = Domains(a, dataclasses.replace(b, test="test"))
    assert "it has trainA, trainB, testA, testB: set --data.b.test" in told(wrong)


def test_cycle_gan_in_one_folder(tmp_path):
    """As it is published: trainA, trainB, testA, testB."""
    for top, n in (("trainA", 4), ("trainB", 3), ("testA", 2), ("testB", 1)):
        for i in range(n):
            picture(tmp_path / "set" / top / f"{i}.png", 50 + i + 100 * top.endswith("B"))
    folders = [Folder(str(tmp_path / "set"), size=4, domain=domain) for domain in "AB"]
    found = Domains(*folders).load()
    sizes = {
        split: [len(its["image"]) for its in parts.values()]
        for split, parts in found.splits().items()
    }
    assert sizes == {"train": [4, 3], "valid": [0, 0], "test": [2, 1]} and not found.notes
    assert found.name == "set"
    assert (
        found.classes == 0
        and found.train["a"]["image"].max() < 100 <= found.train["b"]["image"].min()
    )
    marks = {config.digest(folder.resolved()) for folder in folders}
    assert len(marks) == 2 and config.digest(Folder(domain="")) == config.digest(Folder())
    lost = dataclasses.replace(folders[0], domain="C")
    assert (
        "no images of --data.a.domain=C: they are looked for in sub-folders such as trainC"
        in told(Domains(lost, folders[1]))
    )


@dataclasses.dataclass(frozen=True)
class Made:
    """Pictures of one size, with labels of so many classes."""

    side: int = 4
    classes: int = 3
    test: int = 2

    def load(self):
        fields = {"image": Image((self.side, self.side, 1)), "label": Category(self.classes)}
        splits = []
        for n in (5, 0, self.test):
            splits.append(
                {"image": np.zeros((n, self.side, self.side, 1)), "label": np.zeros(n, int)}
            )
        return Source("made", fields, *splits)


def test_sets_that_are_no_two_domains():
    assert "models image" in told(Domains(Made(), Made(side=5)))
    assert "test split of a 2, b 0 examples" in told(Domains(Made(), Made(test=0)))
    assert "--data.b is no data set" in told(Domains(Made(), None))
    assert "has the domains a, b already" in told(Domains(Domains(Made(), Made()), Made()))
    for names in (("a", "a"), ("a", ""), ("image", "b"), ("a", "index")):
        assert "must be two different names" in told(Domains(Made(), Made(), names))
    found = Domains(Made(), Made(classes=9)).load()
    assert list(found.fields) == ["image"] == list(found.test["b"])
    assert found.notes == ("left out label, which the two domains do not share",)


def test_no_pair_is_in_both_domains_and_the_test_is_whole(pairs):
    found = Unpaired(pairs).load()
    source.check(found)
    assert found.aligned and list(found.fields) == ["image"]
    whole = pairs.load()
    seen = {name: np.asarray(its["image"])[:, 0, 0, 0] for name, its in found.train.items()}
    of_a, of_b = set(seen["a"].tolist()), set((seen["b"] - 100).tolist())
    # every training pair gives one half
    assert not of_a & of_b
    assert of_a | of_b == set(whole.train["input"][:, 0, 0, 0].tolist())
    assert abs(len(of_a) - len(of_b)) <= 1
    for split in (found.valid, found.test):
        assert len(split["a"]["image"]) > 0
        np.testing.assert_array_equal(split["a"]["image"] + 100, split["b"]["image"])
    # what is evaluated together is a pair
    for batch, _ in eval_batches(found.test, 2):
        np.testing.assert_array_equal(batch["a"]["image"] + 100, batch["b"]["image"])


def test_fields_that_make_no_two_domains(pairs):
    assert "has no field 'inputs', it has image, input. Did you mean input" in told(
        Unpaired(pairs, of=("inputs", "image"))
    )
    grey = dataclasses.replace(pairs, colour_input=False)
    assert "two domains are of two fields of one kind" in told(Unpaired(grey))
    assert "two domains are of two fields" in told(Unpaired(pairs, of=("image", "image")))
    assert "--data.pairs is no data set" in told(Unpaired())
    assert "has no field 'input'" in told(Unpaired(Digits()))
