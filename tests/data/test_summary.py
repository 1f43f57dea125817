"""The line or two that tell what a data set is: right numbers, nothing read that is costly, always printable."""

import time

import numpy as np
import pytest
from PIL import Image as Picture

from genjax.data import Digits, Folder, Ring, Source, StackedDigits, Toy
from genjax.data.stream import Column, Records
from genjax.data.summary import summary
from genjax.fields import Attributes, Category, Columns, Image, Tokens

IMAGE = Image((4, 6, 3))


def source(label, classes=3, names=("cat", "dog", "eel"), **more):
    """Pictures with these labels for training, and one of each class for test."""
    fields = {"image": IMAGE, "label": Category(classes, names)}
    splits = {}
    for split, of_split in (("train", label), ("valid", ()), ("test", range(classes))):
        of_split = np.array(of_split, np.int32)
        image = np.zeros((len(of_split), 4, 6, 3), np.uint8)
        splits[split] = {"image": image, "label": of_split}
    return Source("pets", fields, **splits, **more)


def test_a_few_classes_are_told_one_by_one():
    told = summary(source([0, 0, 2, 2, 2], notes=("skipped 2 of 10",))).splitlines()
    assert told == [
        "pets: image 4x6x3; train 5, test 3 examples",
        "3 classes, train/test: cat 2/1, dog 0/1, eel 3/1; no training example of dog; skipped 2 of 10",
    ]


def test_many_classes_are_told_by_the_fewest_and_the_most():
    names = tuple(f"n{k:03d}" for k in range(1000))
    label = np.repeat(np.arange(1000), 3)[:-2]  # of the last one example
    first, second = summary(source(label, 1000, names)).splitlines()
    assert first == "pets: image 4x6x3; train 2998, test 1000 examples"
    assert second == (
        "1000 classes (n000, n001, n002, …), 1 to 3 examples each in train, 1 in test; "
        "a single training example of n999"
    )
    none = summary(source(label[60:], 1000, names))
    assert "no training example of n000, n001, n002 and 17 more; a single" in none


def test_sets_of_every_kind():
    assert summary(Digits(valid=100).load()).splitlines()[0] == (
        "digits: image 8x8x1; train 1337, valid 100, test 360 examples"
    )
    toy = summary(Toy(Ring(2), train=10, test=4).load()).splitlines()
    assert toy[0] == "ring: point (Points) 2; train 10, test 4 examples"
    assert toy[1].startswith("2 classes, train/test: 0 ")
    stacked = summary(StackedDigits(train=20, test=5).load())
    assert "1000 classes (000, 001, 002, …), 0 to 2 examples each in train" in stacked


def split(n, **fields):
    return {name: np.zeros((n, *shape), np.int32) for name, shape in fields.items()}


def test_sets_without_classes_are_one_line():
    tokens = {"tokens": Tokens(24, 3)}
    parts = [split(n, tokens=(24,)) for n in (6, 0, 2)]
    assert summary(Source("chain", tokens, *parts)) == (
        "chain: tokens 24 of 3; train 6, test 2 examples"
    )
    row = {"row": Columns(("age", "kind"), (0, 3)), "traits": Attributes(tuple("abcdefghi"))}
    parts = [split(n, row=(2,), traits=(9,)) for n in (6, 1, 0)]
    assert summary(Source("people", row, *parts)) == (
        "people: row (Columns) 2: age, kind with traits (Attributes) 9: a, b, c, …; "
        "train 6, valid 1, test 0 examples"
    )
    parts = [split(n, image=(4, 6, 3), label=()) for n in (6, 1, 2)]
    unlabelled = Source("flat", {"image": IMAGE, "label": Category()}, *parts)
    assert summary(unlabelled) == "flat: image 4x6x3; train 6, valid 1, test 2 examples"


def test_domains_are_told_apart_and_their_classes_together():
    fields = {"image": IMAGE, "label": Category(2, ("cat", "dog"))}
    empty = {"a": split(0, image=(4, 6, 3), label=()), "b": split(0, image=(4, 6, 3), label=())}
    train = {"a": split(5, image=(4, 6, 3), label=()), "b": split(3, image=(4, 6, 3), label=())}
    train["b"]["label"][0] = 1
    first, second = summary(Source("paints", fields, train, empty, empty)).splitlines()
    assert first == "paints: image 4x6x3; train 5 a and 3 b, test 0 a and 0 b examples"
    assert second == "2 classes, train: cat 7, dog 1; a single training example of dog"


def test_a_streamed_set_is_not_read():
    def read(i):
        raise AssertionError("a record was read")

    records = Records(range(10**6), read)
    fields = {"image": IMAGE, "label": Category(2, ("cat", "dog"))}
    columns = {
        name: Column(records, name, (10**6, *kind.shape), kind.dtype)
        for name, kind in fields.items()
    }
    assert summary(Source("web", fields, columns, {}, columns, records)).splitlines() == [
        "web: image 4x6x3; train 1000000, test 1000000 examples, streamed",
        "2 classes: cat, dog",
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_of_a_folder_the_classes_and_what_was_left_out(tmp_path, stream):
    for name, n in (("train/cat", 4), ("train/line\nbreak", 1), ("test/cat", 2)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(n):
            Picture.new("L", (4, 4)).save(tmp_path / "pets" / name / f"{i}.png")
    (tmp_path / "pets" / "train" / "cat" / "phone.heic").write_bytes(b"?")
    told = summary(Folder(path=str(tmp_path / "pets"), size=4, stream=stream).load())
    first, second = told.splitlines()
    assert first.startswith("pets: image 4x4x3; train 5, test 2 examples")
    assert "train/test: cat 4/2, 'line\\nbreak' 1/0" in second
    assert "a single training example of 'line\\nbreak'" in second
    assert "passed over 1 files of other suffixes: 1 '.heic'" in second


def test_sixty_thousand_rows_are_counted_at_once():
    label = np.arange(60_000) % 10
    big = source(label, 10, tuple("abcdefghij"))
    begun = time.perf_counter()
    told = summary(big)
    assert time.perf_counter() - begun < 0.5
    assert "10 classes (a, b, c, …), 6000 examples each in train, 1 in test" in told
