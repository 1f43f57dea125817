"""Faces in coats: occupations are planted as the formula says, and show in the coat alone."""

import numpy as np
import pytest

from genjax.data.captions import text
from genjax.data.spoken import sentences
from genjax.data.spoken.workers import (
    NAMES,
    OCCUPATIONS,
    SCALE,
    Workers,
    attributes,
    dressed,
    sentence,
)
from genjax.errors import UserError
from genjax.fields import check_split

FEW = Workers(16, people=30, shots=2, bias=0.8)


@pytest.mark.parametrize("bias", [0.0, 0.5, 1.0])
def test_occupations_go_with_sex_as_planted(bias):
    man = np.tile([False, True], 20_000)
    work = Workers(bias=bias).work(man)
    for k, place in enumerate(SCALE):
        own = work == k
        assert np.mean(own) == pytest.approx(0.25, abs=0.01)
        assert np.mean(~man[own]) == pytest.approx((1 + bias * place) / 2, abs=0.015)


def test_who_is_added_leaves_the_others_at_their_work():
    few, more = Workers(people=20).known(), Workers(people=40).known()
    for name in few:
        np.testing.assert_array_equal(few[name], more[name][:20])


def test_skins_are_about_thirds():
    tone = Workers(people=600).known()["tone"]
    assert np.bincount(tone, minlength=3).min() > 120


def test_a_coat_is_at_the_foot_and_a_person_s_shade_tells_nothing():
    image = np.full((8, 32, 32, 3), 100, np.uint8)
    work = np.tile(np.arange(4), 2)
    found = dressed(image, work, np.repeat([3, 7], 4))
    np.testing.assert_array_equal(found[:, :26], image[:, :26])
    colours = found[:, -1, 0].astype(int)
    assert len(np.unique(colours, axis=0)) == 8
    # occupations are further apart than people of one
    same = np.abs(colours[:4] - colours[4:]).max()
    other = min(np.abs(colours[i] - colours[j]).max() for i in range(4) for j in range(i))
    assert same < other


def test_a_split_is_what_its_fields_say_and_its_words_are_true():
    source = FEW.load()
    for split in ("train", "test"):
        check_split(split, source.fields, source.splits()[split])
    train = source.train
    names = source.fields["label"].names
    groups = sentences.groups(NAMES)
    for i, line in enumerate(text(train["caption"])):
        assert names[train["label"][i]] in line
        said = train["said"][i] > 0
        for group, values in (("sex", ("woman", "man")), ("tone", ("light", "medium", "dark"))):
            words = {value for value in values if f" {value}" in line}
            true = values[train[group][i]]
            assert words == ({true} if said[groups[group][0]] else set())
    # one person, one occupation
    assert len({*zip(train["person"], train["label"], strict=True)}) == len(
        np.unique(train["person"])
    )


def test_sentences():
    values = {name: np.array([0]) for name in ("occupation", "sex", "tone", "age")}
    values["occupation"] = np.array([OCCUPATIONS.index("engineer")])
    true = attributes(values)[0]
    said = np.zeros(len(NAMES), np.uint8)
    groups = sentences.groups(NAMES)
    said[groups["occupation"]] = 1
    assert sentence(true, said) == "an engineer"
    said[groups["tone"]] = 1
    assert sentence(true, said) == "an engineer, light skin"
    assert sentence(true, np.ones_like(said)) == "an engineer, woman, light skin, child"


def test_a_bias_that_no_share_can_have_is_refused():
    with pytest.raises(UserError, match="--data.bias=1.5"):
        Workers(bias=1.5).load()
