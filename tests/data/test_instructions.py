"""Faces before and after an instruction: what is asked is true after and was not before, and all else stays."""

import itertools

import numpy as np
import pytest

from genjax.data import InstructedHeads, source
from genjax.data.captions import text
from genjax.data.heads import draw_people, draw_shots
from genjax.data.spoken import LANGUAGES, groups, instructed, instructions
from genjax.data.spoken.faces import COLUMN
from genjax.data.spoken.instructions import EDITS, SEEN, instruction
from genjax.data.spoken.portraits import NAMES
from genjax.errors import UserError

SMALL = InstructedHeads(8, people=20, shots=4)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENJAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield SMALL.load()


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_instruction_asks_for_one_thing(language):
    meant: dict[str, set] = {}
    for edit, wording, male in itertools.product(EDITS, range(SEEN + 1), range(2)):
        line = instruction(language, edit, wording, bool(male))
        assert "{" not in line and "<" not in line and "  " not in line
        meant.setdefault(line, set()).add((edit, wording))
    assert all(len(edits) == 1 for edits in meant.values())
    assert {edit for own in meant.values() for edit, _ in own} == set(EDITS)
    assert instructions.INSTRUCTIONS[language].says.keys() == EDITS.keys()


# as people write it: pronouns, suffixes, participles and verbs agree with the person
WRITTEN = {
    ("en", "older", 1, False): "add thirty years to her age",
    ("en", "closed", 0, True): "close his eyes",
    ("es", "left", 0, False): "gírala a la izquierda",
    ("es", "older", 0, True): "hazlo mayor",
    ("fr", "older", 0, False): "rends-la plus âgée",
    ("fr", "right", 2, True): "montre-le tourné vers la droite",
    ("ar", "left", 2, False): "أظهرها وهي تنظر إلى اليسار",
    ("ar", "left", 2, True): "أظهره وهو ينظر إلى اليسار",
    ("ar", "closed", 0, False): "أغمض عينيها",
    ("ar", "long", 0, True): "اجعل شعره طويلا",
}


@pytest.mark.parametrize("case", WRITTEN, ids=str)
def test_instructions_agree_with_the_person(case):
    assert instruction(*case) == WRITTEN[case]


def test_what_is_asked_is_new_and_all_else_stays(found):
    source.check(found)
    own = groups(NAMES)
    names = found.fields["edit"].names
    for split in found.splits().values():
        for before, after, said, k in zip(
            split["before"], split["attributes"], split["said"], split["edit"], strict=True
        ):
            group, value = EDITS[names[k]]
            asked = {name for name, columns in own.items() if said[columns].all()}
            assert asked == {group} and said.sum() == len(own[group])
            other = {g for g, columns in own.items() if (before != after)[columns].any()}
            # hair follows the years
            assert group in other and other <= (
                {"age", "hair", "length"} if group == "age" else {group}
            )
            if value:
                assert after[COLUMN[f"{group}={value}"]] == 1
            # one value of each group
            assert all(after[columns].sum() == 1 for columns in own.values())
    # another picture, the same corners, where no head is
    assert (found.train["image"] != found.train["input"]).any((1, 2, 3)).all()
    np.testing.assert_array_equal(found.train["image"][:, 0, 0], found.train["input"][:, 0, 0])


def test_sentences_ask_for_what_is_changed_and_wordings_are_held_out(found):
    names = found.fields["edit"].names
    for split in found.splits().values():
        male = split["attributes"][:, COLUMN["sex=male"]]
        for i, line in enumerate(text(split["caption"])):
            language = found.fields["language"].names[split["language"][i]]
            ways = [SEEN] if split["wording"][i] else range(SEEN)
            edit = names[split["edit"][i]]
            assert line in {instruction(language, edit, way, bool(male[i])) for way in ways}
    assert not found.train["wording"].any() and found.test["wording"].any()
    everyone = [set(split["person"].tolist()) for split in found.splits().values()]
    assert not set.intersection(*everyone) and sum(map(len, everyone)) == 20


def test_older_is_thirty_years_and_only_where_there_are_so_many():
    people = draw_people(0, np.arange(30))
    shots = draw_shots(0, people, 1)
    one = type(people)(*(column[shots.person] for column in people))
    before = instructed.facts(one, shots)
    for edit, way in (("older", 30.0), ("younger", -30.0)):
        after = instructed.changed(one, shots, edit)
        can = instructed.possible(edit, shots, before, instructed.facts(*after))
        assert can.any() and not can.all()
        years = after[1].years
        np.testing.assert_allclose((years - shots.years)[can], way, rtol=1e-5)
        assert (shots.years + way)[can].min() >= 1 and (shots.years + way)[can].max() <= 90


def test_a_person_s_pairs_depend_on_nobody_else():
    people = draw_people(0, np.arange(4))
    alone = draw_people(0, [2])
    shots, own = draw_shots(0, people, 2), draw_shots(0, alone, 2)
    several, one = SMALL.pairs(people, shots), SMALL.pairs(alone, own)
    for name, column in one.items():
        np.testing.assert_array_equal(several[name][4:6], column)


REFUSED = {
    "a language": ({"languages": ("en", "fro")}, "no sentences in 'fro'"),
    "no people": ({"people": 2}, "data.people=2 must be at least 3"),
    "no pixels": ({"size": 4}, "data.size=4 must be at least 8"),
    "no bytes": ({"length": 0}, "data.length=0 must be at least 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_cannot_be(name):
    changes, line = REFUSED[name]
    with pytest.raises(UserError, match=line):
        InstructedHeads(**changes).load()
