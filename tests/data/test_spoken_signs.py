"""Signs with their names: what a name says is true, and designs, tones and drawings that training must not have."""

import numpy as np
import pytest

from genjax.data import Emoji, Paired, SpokenSigns, signs, source, vector
from genjax.data.captions import text
from genjax.data.spoken import groups
from genjax.data.spoken.signs import never
from genjax.errors import UserError
from tests.data import packs

TONES = ("", *signs.TONE_CODES)
# firefighters and teachers are in training, artists in validation, scientists in test; and things
WORK = ("1f692", "1f3eb", "1f3a8", "1f52c")
THINGS = ("1f550", "0031-fe0f-20e3", "1f338")
PEOPLE = [
    "-200d-".join((f"{person}-{tone}" if tone else person, work))
    for work in WORK
    for person in ("1f9d1", "1f468", "1f469")
    for tone in TONES
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("packs")
    for name, version in (("noto", "1.2.9"), ("twemoji", "1.2.5")):
        packs.vendor(root, name, version, (*PEOPLE, *THINGS))
    packs.named(root, (*PEOPLE, *THINGS))
    return root


def spoken(folder, **changes) -> SpokenSigns:
    plain = {"styles": ("noto", "twemoji"), "size": 8, "tones": True, "path": str(folder)}
    return SpokenSigns(Emoji(**{**plain, **changes}))


@pytest.fixture(scope="module")
def found(folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector, "draw", packs.drawn)
        patch.setenv("GENJAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield spoken(folder).load()


def shown(found, split) -> list[dict[str, str]]:
    """{group: value} of each row, as the set tells it."""
    names = found.fields["attributes"].names
    rows = []
    for row in split["attributes"]:
        rows.append(dict(names[i].split("=") for i in np.flatnonzero(row)))
    return rows


def test_what_is_true_of_a_sign_is_what_its_code_says(found):
    source.check(found)
    codes = found.fields["sign"].names
    for split in found.splits().values():
        told = shown(found, split)
        lines = text(split["caption"])
        for sign, facts, line, k in zip(
            split["sign"], told, lines, split["language"], strict=True
        ):
            code = codes[sign]
            assert facts["tone"] == signs.tone(code)
            assert facts["occupation"] == signs.occupation(code)
            # packs call a sign by a word and its code
            word, _, name = line.rpartition(" ")
            assert word == packs.WORDS[found.fields["language"].names[k]]
            assert signs.design(name) == signs.design(code)


def test_a_name_says_what_is_not_plain(found):
    names = found.fields["attributes"].names
    own = groups(names)
    for split in found.splits().values():
        for said, facts, new in zip(
            split["said"], shown(found, split), split["wording"], strict=True
        ):
            asked = {group for group, columns in own.items() if said[columns].all()}
            assert not any(0 < said[columns].sum() < len(columns) for columns in own.values())
            assert ("tone" in asked) == (facts["tone"] != "none")
            assert ("gender" in asked) == (facts["gender"] in ("man", "woman"))
            # nobody has seen the occupation of an unseen design
            work = facts["occupation"] != "none" and not new
            assert ("occupation" in asked) == work
            # something is asked of every sign
            assert ("kind" in asked) == (asked <= {"kind"}) and asked


def test_what_training_has_and_has_not(found):
    codes = found.fields["sign"].names
    train, test = found.train, found.test
    there = {codes[i] for i in np.unique(train["sign"])}
    designs = {signs.design(code) for code in there}
    tones = {signs.tone(code) for code in there}
    for row, together, wording in zip(
        test["sign"], test["together"], test["wording"], strict=True
    ):
        code = codes[row]
        assert (signs.design(code) in designs) == (wording == 0)
        assert (code in there) == (together == 0 and wording == 0)
        # each part by itself is known
        if together:
            assert signs.design(code) in designs and signs.tone(code) in tones
    kinds = set(zip(test["together"].tolist(), test["wording"].tolist(), strict=True))
    assert kinds == {(0, 0), (1, 0), (0, 1)}
    assert not train["together"].any() and not train["wording"].any()
    # of each design of training one tone, in all genders and by both hands
    assert test["together"].sum() == 2 * 3 * 2
    # nobody's drawing of training is in test
    drawings = {image.tobytes() for image in train["image"]}
    assert not any(image.tobytes() in drawings for image in test["image"])
    assert len(train["sign"]) == 4 * len(drawings)


def test_one_tone_of_each_design_is_left_out():
    for design in ("1f9d1-1f692", "1f44d", "1f3c3"):
        left = [tone for tone in signs.TONE_CODES if never(design, f"1f469-{tone}-200d-1f692")]
        assert len(left) == 1 and not never(design, "1f469-200d-1f692")
        # of two people one is enough
        assert never(design, f"1f469-{left[0]}-200d-2764-200d-1f468-1f3fb")


def test_one_hand_alone_has_no_drawing_to_spare(folder, monkeypatch):
    monkeypatch.setattr(vector, "draw", packs.drawn)
    one = spoken(folder, styles=("noto",), languages=("en", "ar")).load()
    seen = (one.test["together"] == 0) & (one.test["wording"] == 0)
    assert not seen.any() and one.test["together"].sum() == 6
    assert one.fields["language"].names == ("en", "ar")


REFUSED = {
    "no language": ({"languages": ()}, "--data.emoji.languages=\\(\\) leaves nothing to say"),
    "a language": ({"languages": ("en", "fro")}, "--data.emoji.languages.* 'fro'"),
    "pairs": ({"form": Paired()}, "--data.emoji.form: a name tells of one drawing"),
    "a style": ({"styles": ("notto",)}, "--data.emoji.styles: .* 'notto'.*noto"),
    "no package": ({"path": "/nowhere"}, "npm pack @iconify-json/noto@1.2.9"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_cannot_be(folder, name):
    changes, line = REFUSED[name]
    with pytest.raises(UserError, match=line) as error:
        spoken(folder, **changes).load()
    assert "\n" not in str(error.value)
