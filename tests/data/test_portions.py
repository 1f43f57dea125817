"""Portions of a set: every picture is in one, what belongs together is together, and generators see no test."""

import dataclasses

import numpy as np
import pytest

from genjax.data import Digits
from genjax.data.portions import OF_HELD, OF_TRAIN, Portion, Reals
from genjax.data.source import Source
from genjax.errors import UserError
from genjax.fields import Category, Image


@dataclasses.dataclass(frozen=True)
class Numbered:
    """Pictures that carry their number, five of each person."""

    train: int = 400
    test: int = 80

    def load(self) -> Source:
        fields = {"image": Image((1, 2, 1)), "person": Category(1000)}
        splits = []
        first = 0
        for n in (self.train, 0, self.test):
            numbers = np.arange(first, first + n)
            image = np.stack([numbers // 256, numbers % 256], -1).astype(np.uint8)
            person = np.int32(numbers // 5)
            splits.append({"image": image.reshape(n, 1, 2, 1), "person": person})
            first += n
        return Source("numbered", fields, *splits)


def numbers(arrays):
    pairs = arrays["image"].reshape(-1, 2).astype(int)
    return pairs @ [256, 1]


def test_every_picture_is_in_one_portion_of_its_own_split():
    reals = Reals(Numbered())
    found = reals.portions(reals.load())
    names = [[name for names in shares for name in names] for shares in (OF_TRAIN, OF_HELD)]
    assert set(found) == {*names[0], *names[1]}
    of_train, of_held = (
        np.concatenate([numbers(found[name]) for name in of_split]) for of_split in names
    )
    np.testing.assert_array_equal(np.sort(of_train), np.arange(400))
    np.testing.assert_array_equal(np.sort(of_held), np.arange(400, 480))
    assert [len(numbers(found[name])) for name in names[0]] == [200, 100, 100]
    assert [len(numbers(found[name])) for name in names[1]] == [20, 20, 20, 20]
    # a draw and no head; another seed another one
    assert not np.array_equal(numbers(found["generator"]), np.arange(200))
    again = Reals(Numbered(), seed=1)
    other = again.portions(again.load())
    assert not np.array_equal(numbers(found["test"]), numbers(other["test"]))


def test_a_person_is_in_one_portion_or_in_both_halves_of_real_against_real():
    reals = Reals(Numbered(), "person")
    found = reals.portions(reals.load())
    of_shares = []
    for names in (*OF_TRAIN, *OF_HELD):
        people = [sorted(found[name]["person"].tolist()) for name in names]
        shots = sum(map(len, people))
        # whole people, and as many of their pictures in either half
        assert shots == 5 * len({person for half in people for person in half})
        assert max(map(len, people)) - min(map(len, people)) <= 1
        for person in set(people[0]):
            counts = [half.count(person) for half in people]
            assert max(counts) - min(counts) <= 1
        of_shares.append({person for half in people for person in half})
    assert sum(map(len, of_shares)) == len(set().union(*of_shares)) == 96


def test_real_against_real_of_few_groups_is_worth_half():
    # the picture is its person's: nothing else tells two halves apart
    from genjax.metrics.prediction import average_precision

    found = []
    for seed in range(20):
        reals = Reals(Numbered(test=100), "person", seed)
        portions = reals.portions(reals.load())
        first, second = portions["test"]["person"], portions["test_other"]["person"]
        truth = np.arange(len(first) + len(second)) >= len(first)
        scores = np.concatenate([first, second]).astype(float)
        found.append(average_precision(scores, truth, 2).value)
    # of whole people, five against five, the spread is 0.11
    assert np.std(found) < 0.05 and abs(np.mean(found) - 0.5) < 0.05


def test_a_generator_is_trained_on_its_portion_and_never_sees_the_test():
    reals = Reals(Numbered())
    source = Portion(reals).load()
    found = reals.portions(reals.load())
    np.testing.assert_array_equal(numbers(source.train), numbers(found["generator"]))
    np.testing.assert_array_equal(numbers(source.test), numbers(found["train"]))
    assert len(source.valid["image"]) == 0 and source.name == "numbered_generator"


@pytest.mark.parametrize(
    "reals, told",
    [
        (Reals(Numbered(test=2)), "nothing is left for"),
        (Reals(Digits(), "person"), "no such field"),
        (Reals(None), "must be a data set"),
        (Reals(Numbered(), seed=-1), "reals.seed"),
    ],
)
def test_a_set_that_cannot_be_shared_out_is_told(reals, told):
    with pytest.raises(UserError, match=told):
        reals.portions(reals.load())
