"""What a sign is: its design, what it shows of a person, and its names."""

from collections import Counter

import numpy as np
import pytest

from genjax.data import signs
from genjax.errors import UserError
from tests.data.packs import CODES, WORDS, named

ONE_DESIGN = {
    "tones, genders, hair": "1f9d1 1f468 1f469-1f3ff 1f468-200d-1f9b0 1f471-1f3fb-200d-2640",
    "runners, to the right too": "1f3c3 1f3c3-1f3fb-200d-2642 1f3c3-200d-2640-200d-27a1",
    "firefighters": "1f9d1-200d-1f692 1f469-1f3fd-200d-1f692",
    "hand in hand": "1f46b 1f46d-1f3fb 1f9d1-1f3fb-200d-1f91d-200d-1f9d1-1f3ff",
    "a kiss": "1f48f 1f469-200d-2764-200d-1f48b-200d-1f468",
    "families": "1f46a 1f468-200d-1f469-200d-1f467-200d-1f466 1f9d1-200d-1f9d2",
    "handshakes": "1f91d 1faf1-1f3fb-200d-1faf2-1f3ff",
    "clocks": "1f550 1f567",
    "keycaps": "31-20e3 23-20e3 1f51f",
    "hearts": "2764 1f5a4 1fa77",
    "cats": "1f431 1f63a",
    "faces that smile": "1f60a 263a",
    "flags that look alike": "1f1eb-1f1f7 1f1f2-1f1eb",
    "a black cat": "1f408 1f408-200d-2b1b",
}


@pytest.mark.parametrize("codes", ONE_DESIGN.values(), ids=ONE_DESIGN)
def test_variants_are_one_design(codes):
    assert len({signs.design(code) for code in codes.split()}) == 1


def test_other_signs_are_other_designs():
    codes = [codes.split()[0] for codes in ONE_DESIGN.values()]
    codes += [
        "2640",
        "2642",
        "1f476",
        "1f9d1-200d-1f52c",
        "1f1eb-1f1ee",
        "1f511",
        "2194",
        "2b1b",
    ]
    assert len({signs.design(code) for code in codes}) == len(codes)


def test_what_a_sign_shows_of_a_person():
    groups = dict.fromkeys([*CODES, "1f3c3", "1f3c3-200d-2640", "1f44d-1f3fb", "2640"], "x")
    found = {sign.code: sign for sign in signs.table(groups, {})}
    woman = found["1f469-1f3fd-200d-1f692"]
    assert (woman.gender, woman.tone, woman.occupation) == ("woman", "medium", "firefighter")
    person = found["1f9d1-200d-1f3a8"]
    assert (person.gender, person.tone, person.occupation) == ("person", "none", "artist")
    # a runner is a person since there is a woman who runs; a hand and the sign of Venus are not
    told = {code: found[code].gender for code in ("1f3c3", "1f44d-1f3fb", "2640", "1f338")}
    assert told == {"1f3c3": "person", "1f44d-1f3fb": "none", "2640": "none", "1f338": "none"}
    assert signs.gender("1f468-200d-2764-200d-1f469") == "both"
    assert signs.tone("1f9d1-1f3fb-200d-1f91d-200d-1f9d1-1f3ff") == "several"
    # the order is that of the code points as numbers
    assert [sign.code for sign in signs.table({"1f550": "", "2640": ""}, {})] == [
        "2640",
        "1f550",
    ]
    assert signs.is_private("e1d1") and not signs.is_private("1f550")


def test_the_split_is_a_hash_that_never_changes():
    shares = Counter(signs.side(str(i)) for i in range(5000))
    assert abs(shares["train"] - 4000) < 120 and abs(shares["test"] - 500) < 90
    known = ("1f9d1-1f692", "1f9d1-1f3a8", "1f9d1-1f52c")
    assert [signs.side(key) for key in known] == ["train", "valid", "test"]


def test_names_are_read_in_four_languages_and_are_captions(tmp_path):
    package = signs.names_package(signs.LANGUAGES)
    folder = package.find(str(named(tmp_path)))
    for language, word in WORDS.items():
        names = signs.read_names(package, folder, language)
        assert names["1f469-1f3fd-200d-1f692"] == f"{word} 1f469-1f3fd-200d-1f692"
        assert names["31-20e3"] == f"{word} 0031-fe0f-20e3" and len(names) == len(CODES)
        rows = np.stack([signs.tokens(name, 64) for name in names.values()])
        assert rows.dtype == np.int32 and rows.max() < 256
        assert signs.text(rows) == list(names.values())
    with pytest.raises(UserError, match="--data.length=3 is less than the 4 bytes of 'sign'"):
        signs.tokens("sign", 3)
    assert signs.text([[0xD8, 0, 0]]) == ["\ufffd"]  # half a letter, as a sample may end


def test_a_language_that_is_not_there_and_files_that_are_broken(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no language 'es_MX', .* Did you mean es"):
        signs.names_package(("es_MX",))
    package = signs.names_package(("fr",))
    path = named(tmp_path) / "annotations" / "fr.xml"
    good = path.read_text(encoding="utf-8")
    entity = '<!DOCTYPE ldml [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    cases = {
        "cannot be read .unclosed token": good[:-30],
        "it defines entities": good.replace("?>", f"?>{entity}", 1),
        "can't decode": good.encode("utf-16"),
    }
    for told, content in cases.items():
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(UserError, match=f"(?s)^[^\n]*{told}[^\n]*version 41 [^\n]*$"):
            signs.read_names(package, tmp_path, "fr")
    monkeypatch.setattr(signs, "LARGEST", 10)
    with pytest.raises(UserError, match="more than 10 bytes"):
        signs.read_names(package, tmp_path, "fr")
    monkeypatch.undo()
    for part in ("annotations", "annotationsDerived"):
        (tmp_path / part / "fr.xml").write_text("<ldml/>")
    with pytest.raises(UserError, match="has no names in the language fr"):
        signs.read_names(package, tmp_path, "fr")
