"""Pictures with sentences: what a sentence says is true, says it in one way only, and what is held out is held out."""

import itertools

import numpy as np
import pytest

from genjax.data import Digits, source
from genjax.data.captions import text
from genjax.data.heads import Heads
from genjax.data.spoken import DigitPairs, SpokenHeads, faces, groups, portraits, relations
from genjax.data.spoken.digits import NAMES, held_out
from genjax.data.spoken.sentences import LANGUAGES, Dice
from genjax.errors import UserError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENJAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def pairs(cache):
    return DigitPairs(train=6000, test=1200).load()


@pytest.fixture(scope="module")
def heads(cache):
    return SpokenHeads(Heads(16, people=60, shots=5)).load()


def facts(split) -> np.ndarray:
    """(first, second, layout) of each picture, [N, 3]."""
    true = np.asarray(split["attributes"])
    columns = groups(NAMES).values()
    return np.stack([true[:, own].argmax(1) for own in columns], 1)


def meanings(language: str) -> dict[str, set]:
    """{sentence: all that it may say} of two digits, by going through all of them."""
    found: dict[str, set] = {}
    words = relations.SENTENCES[language]
    ways = len(words.seen + words.unseen)
    for wording, layout, first, second, of in itertools.product(
        range(ways), range(2), range(10), range(10), range(2)
    ):
        line = relations.sentence(language, wording, layout, first, second, of)
        found.setdefault(line, set()).add((first, second, layout))
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_on_digits_has_one_meaning_and_its_picture_has_it(pairs, language):
    known = meanings(language)
    assert len(known) == 10 * 400  # no two of them are the same
    assert all(len(meant) == 1 for meant in known.values())
    number = LANGUAGES.index(language)
    for split in (pairs.train, pairs.test):
        own = split["language"] == number
        assert 0.2 < own.mean() < 0.3
        true = facts(split)[own]
        for line, row in zip(text(split["caption"][own]), true, strict=True):
            assert known[line] == {tuple(row.tolist())}


def test_held_out_pairs_are_never_in_training_and_each_digit_is():
    ring = np.arange(10)
    table = held_out(ring[:, None], ring[None])
    assert table.sum() == 20 and (table.sum(0) == 2).all() and (table == table.T).all()
    assert not table.diagonal().any()


def test_what_training_has_and_has_not(pairs):
    train, test = facts(pairs.train), facts(pairs.test)
    seen = set(map(tuple, train.tolist()))
    # all others: 80 ordered pairs, in two layouts
    assert len(seen) == 160 and not held_out(train[:, 0], train[:, 1]).any()
    unseen = held_out(test[:, 0], test[:, 1])
    np.testing.assert_array_equal(unseen, pairs.test["together"] == 1)
    assert 0.45 < unseen.mean() < 0.55 and not pairs.train["together"].any()
    assert len(set(map(tuple, test[unseen].tolist()))) == 40
    said = set(text(pairs.train["caption"]))
    fresh = pairs.test["wording"] == 1
    assert 0.45 < fresh.mean() < 0.55 and not pairs.train["wording"].any()
    assert not said & set(text(pairs.test["caption"][fresh]))


def test_each_digit_is_where_it_is_said_to_be(pairs):
    source.check(pairs)
    single = Digits().load().test
    of_class = [
        {x.tobytes() for x in single["image"][single["label"] == digit]} for digit in range(10)
    ]
    for image, (first, second, layout) in zip(
        pairs.test["image"][:200], facts(pairs.test), strict=False
    ):
        upright = image if layout == 0 else image.swapaxes(0, 1)  # along the second axis
        for half, digit in ((upright[:, :8], first), (upright[:, 8:], second)):
            found = [half[top : top + 8] for top in range(9)]
            turned = [x if layout == 0 else x.swapaxes(0, 1) for x in found]
            assert any(np.ascontiguousarray(x).tobytes() in of_class[digit] for x in turned)


def test_a_set_of_another_size_begins_alike(cache, pairs):
    again = DigitPairs(train=6000, test=500).load()
    np.testing.assert_array_equal(again.train["caption"], pairs.train["caption"])
    np.testing.assert_array_equal(again.train["image"], pairs.train["image"])
    one = Dice(0, 0, 1000).below(np.array([3, 5] * 500))
    assert one[::2].max() == 2 and one[1::2].max() == 4


def test_long_sentences_are_cut_between_characters_and_counted(cache):
    short = DigitPairs(train=200, test=50, length=21).load()
    lines = text(short.train["caption"])
    assert not any("\ufffd" in line for line in lines)
    assert any("cut " in note and "more than 21 bytes" in note for note in short.notes)
    assert max(len(line.encode()) for line in lines) <= 21


REFUSED = {
    "a language": (
        {"languages": ("en", "fro")},
        "no sentences in 'fro', only in en, es, fr, ar",
    ),
    "no language": ({"languages": ()}, "leaves nothing to say"),
    "one twice": ({"languages": ("en", "en")}, "names one of them twice"),
    "no pictures": ({"train": 0}, "data.train=0 must be at least 1"),
    "no bytes": ({"length": 0}, "data.length=0 must be at least 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_cannot_be(name):
    changes, line = REFUSED[name]
    with pytest.raises(UserError, match=line):
        DigitPairs(**changes).load()


# Faces

# as people write it: agreement of person, hair, verb and, in Arabic, of "with" with its case
WRITTEN = {
    ("en", 0, "female"): "an old woman with long, grey hair, smiling, looking to the right",
    ("en", 0, "male"): "an old man with long, grey hair, smiling, looking to the right",
    (
        "es",
        1,
        "female",
    ): "la cara de una anciana con el pelo largo y gris, que sonríe, vuelta hacia la derecha",
    (
        "es",
        1,
        "male",
    ): "la cara de un anciano con el pelo largo y gris, que sonríe, vuelto hacia la derecha",
    (
        "fr",
        1,
        "female",
    ): "le visage d'une femme âgée aux cheveux longs et gris, souriante, tournée vers la droite",
    (
        "fr",
        1,
        "male",
    ): "le visage d'un homme âgé aux cheveux longs et gris, souriant, tourné vers la droite",
    ("ar", 0, "female"): "امرأة مسنة ذات شعر طويل رمادي، تبتسم، تنظر إلى اليمين",
    ("ar", 0, "male"): "رجل مسن ذو شعر طويل رمادي، يبتسم، ينظر إلى اليمين",
    ("ar", 1, "male"): "وجه رجل مسن ذي شعر طويل رمادي، يبتسم، ينظر إلى اليمين",
    ("ar", 3, "male"): "في هذه الصورة رجل مسن ذو شعر طويل رمادي، يبتسم، ينظر إلى اليمين",
}


@pytest.mark.parametrize("case", WRITTEN, ids=str)
def test_sentences_agree_in_gender_and_case(case):
    language, wording, sex = case
    said = {
        "sex": sex,
        "age": "old",
        "hair": "grey",
        "length": "long",
        "mood": "smiling",
        "side": "right",
    }
    assert portraits.sentence(language, wording, said) == WRITTEN[case]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_on_a_face_has_one_meaning(language):
    choices = [
        values if name in ("sex", "age") else ("", *values)
        for name, values in portraits.GROUPS.items()
    ]
    found: dict[str, set] = {}
    for values in itertools.product(*choices):
        said = dict(zip(portraits.GROUPS, values, strict=True))
        # what goes without saying is not said
        if said["mood"] == "not" or said["eyes"] == "open":
            continue
        for wording, order in itertools.product(range(4), range(2)):
            line = portraits.sentence(language, wording, said, order)
            found.setdefault(line, set()).add(values)
    assert all(len(meant) == 1 for meant in found.values())
    assert not any("{" in line or "  " in line for line in found)


def test_faces_never_have_both_parts_of_a_pair_in_training(heads):
    source.check(heads)
    true = heads.train["attributes"]
    column = faces.COLUMN
    for one, other in portraits.APART:
        assert not (true[:, column[one]] & true[:, column[other]]).any()
        assert true[:, column[one]].any() and true[:, column[other]].any()
    np.testing.assert_array_equal(
        faces.together(heads.test["attributes"]), heads.test["together"]
    )
    assert heads.test["together"].any() and not heads.train["together"].any()
    plain = Heads(16, people=60, shots=5).load().train
    kept = faces.together(faces.shown(plain)) == 0
    # each picture that may be seen, once in each language
    assert (
        len(true) == 4 * kept.sum()
        and np.bincount(heads.train["language"]).tolist() == [kept.sum()] * 4
    )


def test_a_sentence_says_what_is_true_of_its_face(heads):
    for split in (heads.train, heads.test):
        for i in range(0, len(split["caption"]), 7):
            row = split["attributes"][i] & split["said"][i]
            said = faces.facts_of(row)
            assert {"sex", "age"} <= set(said)
            language = LANGUAGES[split["language"][i]]
            may = {
                portraits.sentence(language, wording, said, order)
                for wording in range(4)
                for order in range(2)
            }
            assert text(split["caption"][i : i + 1])[0] in may
        unseen = split["together"] == 1
        for one, other in portraits.APART:
            both = (
                split["attributes"][:, faces.COLUMN[one]]
                & split["attributes"][:, faces.COLUMN[other]]
            )
            rows = unseen & (both > 0)
            assert split["said"][rows][:, [faces.COLUMN[one], faces.COLUMN[other]]].all()
