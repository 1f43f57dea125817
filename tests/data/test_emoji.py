"""Signs drawn by several vendors, and icons in six weights: the same figures in every form, splits by design."""

import functools
import importlib.util
import shutil
import sys

import numpy as np
import pytest

from genjax import fields
from genjax.data import Emoji, Icons, Paired, Unpaired, signs, source, vector
from genjax.data.batches import domains
from genjax.data.packages import Package
from genjax.data.summary import summary
from genjax.errors import UserError
from tests.data import packs

BOTH = ("noto", "twemoji")
REAL = importlib.util.find_spec("resvg_py") is not None
needs_resvg = pytest.mark.skipif(not REAL, reason="resvg-py, which draws SVG, is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two vendors, the second without the blossom and with a sign of its own; names of all; icons."""
    root = tmp_path_factory.mktemp("packs")
    packs.vendor(root, "noto", "1.2.9")
    packs.vendor(root, "twemoji", "1.2.5", (*packs.CODES[:-1], "e1d1"))
    packs.named(root)
    names = (
        "arrow-up",
        "arrow-down",
        "bell",
        "caret",
        "dog",
        "file-plus",
        "gear",
        "heart",
        "key",
    )
    packs.phosphor(root, (*names, "odd", "old"), lacking=("odd-thin",), hidden=("old",))
    return root


@pytest.fixture(autouse=True)
def without_resvg(monkeypatch):
    monkeypatch.setattr(vector, "draw", packs.drawn)


def emoji(folder, **changes) -> Emoji:
    return Emoji(**{"size": 8, "tones": True, "path": str(folder), **changes})


def rows(found: source.Source) -> dict[str, np.ndarray]:
    """All examples, whatever their split."""
    parts = found.splits().values()
    return {name: np.concatenate([part[name][:] for part in parts]) for name in found.fields}


def check_apart(found: source.Source) -> None:
    """No design is on two sides."""
    seen: dict[int, str] = {}
    for split, arrays in found.splits().items():
        for design in np.asarray(arrays["design"][:]):
            assert seen.setdefault(int(design), split) == split
    assert len(set(seen.values())) == 3  # all three splits have examples


def test_signs_one_by_one_with_what_they_show_and_how_they_are_called(folder):
    config = emoji(folder, styles=BOTH)
    found = config.load()
    source.check(found)
    check_apart(found)
    table = config.signs()
    # the blossom is drawn by one of them alone
    assert len(table) == len(packs.CODES) - 1
    all_rows = rows(found)
    assert len(all_rows["image"]) == 2 * len(table)
    captions = {
        language: signs.text(all_rows[f"caption_{language}"]) for language in packs.WORDS
    }
    codes = {signs_code(code): code for code in packs.CODES}
    for i, k in enumerate(all_rows["sign"]):
        sign = table[k]
        assert found.fields["sign"].names[k] == sign.code
        vendor = BOTH[all_rows["style"][i]]
        colour = packs.colour(vendor, codes[sign.code])
        np.testing.assert_array_equal(all_rows["image"][i, 4, 4], colour)
        # the border is transparent: white is behind it
        assert (all_rows["image"][i, 0] == 255).all()
        for field in ("gender", "tone", "occupation", "design"):
            assert found.fields[field].names[all_rows[field][i]] == getattr(sign, field)
        for language, word in packs.WORDS.items():
            assert captions[language][i] == f"{word} {codes[sign.code]}" == sign.names[language]
    assert found.class_names[all_rows["label"][0]] == "People Body"
    told = summary(found)
    assert (
        "Noto 1.2.9, MIT; Twemoji 1.2.5, MIT; names of Unicode CLDR in en, es, fr, ar" in told
    )


def signs_code(code: str) -> str:
    return code.replace("-fe0f", "").lstrip("0")


def test_pairs_show_the_same_sign_and_are_the_same_cached_and_streamed(folder):
    config = emoji(folder, styles=BOTH[::-1], form=Paired(), background=(9, 0, 0))
    found = config.load()
    source.check(found)
    check_apart(found)
    assert found.main == "twemoji" and found.shape == (8, 8, 3)
    all_rows = rows(found)
    codes = {signs_code(code): code for code in packs.CODES}
    for i, k in enumerate(all_rows["sign"]):
        code = codes[found.fields["sign"].names[k]]
        for vendor in BOTH:
            colour = packs.colour(vendor, code)
            np.testing.assert_array_equal(all_rows[vendor][i, 4, 4], colour)
            np.testing.assert_array_equal(all_rows[vendor][i, 0, 0], [9, 0, 0])
    streamed = emoji(
        folder, styles=BOTH[::-1], form=Paired(), background=(9, 0, 0), stream=True
    ).load()
    assert streamed.records is not None
    for name, array in rows(streamed).items():
        np.testing.assert_array_equal(array, all_rows[name])
        assert array.dtype == all_rows[name].dtype
    assert source.fingerprint(streamed) == source.fingerprint(found)


def test_unpaired_domains_are_the_pairs_taken_apart(folder):
    pairs = emoji(folder, styles=BOTH, form=Paired())
    apart = Unpaired(pairs, of=BOTH, names=BOTH).load()
    source.check(apart)
    assert domains(apart.train) == BOTH and apart.main == "image"
    assert isinstance(apart.fields["image"], fields.Image)
    whole = pairs.load().test
    for style in BOTH:
        np.testing.assert_array_equal(apart.test[style]["image"], whole[style])
        np.testing.assert_array_equal(apart.test[style]["sign"], whole["sign"])
    # no sign is in both domains of the training split
    seen = [set(apart.train[style]["sign"].tolist()) for style in BOTH]
    assert all(seen) and not set.intersection(*seen)
    with pytest.raises(UserError, match="--data.called=sign is another field"):
        Unpaired(pairs, of=BOTH, names=BOTH, called="sign").load()


def test_without_tones_without_names_and_by_one_vendor(folder):
    plain = emoji(folder, tones=False, languages=(), styles=("twemoji",))
    table = plain.signs()
    # the vendor's own sign has no meaning in Unicode
    assert {sign.code for sign in table} == {
        signs_code(code) for code in packs.CODES[:-1] if "1f3f" not in code
    }
    assert plain.load().fields.keys().isdisjoint({"caption_en", "caption_ar"})


def test_a_set_in_the_cache_needs_neither_the_packages_nor_resvg(tmp_path, folder, monkeypatch):
    here = shutil.copytree(folder, tmp_path / "packs")
    before = emoji(here).load()
    shutil.rmtree(here)
    monkeypatch.undo()  # the cache's folder too
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "genjax-cache"))
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    again = emoji(here).load()
    assert source.fingerprint(again) == source.fingerprint(before)
    with pytest.raises(
        UserError, match=r"^to draw SVG needs resvg-py.*: pip install resvg-py\.$"
    ):
        emoji(folder, size=9).load()


def test_what_is_missing_is_said_in_one_line(tmp_path, folder, monkeypatch):
    elsewhere = functools.partial(Package, installed=("/no/where",))
    monkeypatch.setattr(signs, "Package", lambda *about: elsewhere(*about[:4]))
    with pytest.raises(UserError, match=r"iconify-json-noto is not in .*`npm pack @iconify"):
        emoji(tmp_path).load()
    packs.vendor(tmp_path, "noto", "1.2.9")
    missing = r"unicode-cldr-core is not in /no/where: on Debian .*apt-get install"
    with pytest.raises(UserError, match=missing):
        emoji(tmp_path).load()
    packs.named(tmp_path)
    (tmp_path / "annotations" / "ar.xml").unlink()
    half = r"unicode-cldr-core in .* lacks annotations/ar.xml: get it again.*\(version 41 was"
    with pytest.raises(UserError, match=half):
        emoji(tmp_path).load()
    # a language that is not asked for may be missing, and a name is
    (tmp_path / "annotationsDerived" / "en.xml").write_text("<ldml/>")
    english = emoji(tmp_path, languages=("en",)).load()
    assert "CLDR in en, Unicode-DFS-2016, 3 signs without one left out" in summary(english)
    packs.vendor(tmp_path, "noto", "1.3.0")
    with pytest.raises(UserError, match=r"noto-1.2.9.tgz and .*noto-1.3.0.tgz: leave one"):
        emoji(tmp_path, languages=()).load()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"icons": {}}, "has not the files of such a set .KeyError: 'icons'."),
        ({"icons": {"icons": {"a": {}}}}, "KeyError: 'body'"),
        ({"info": {"name": "x"}}, "KeyError: 'license'"),
        ({"chars": ["a"]}, "AttributeError"),
        ({"chars": {"xyz": "sign-1f338"}}, "ValueError"),
    ],
)
def test_a_package_of_another_structure_names_the_version_that_was_tried(
    tmp_path, changes, told
):
    path = packs.vendor(tmp_path, "noto", "2.0.0", **changes)
    with pytest.raises(UserError, match=told) as found:
        emoji(tmp_path, languages=()).signs()
    line = str(found.value)
    assert line.startswith(str(path)) and "version 1.2.9 of iconify-json-noto" in line
    assert "\n" not in line


def test_a_package_that_is_damaged_or_would_leave_the_folder(tmp_path):
    path = packs.vendor(tmp_path, "noto", "1.2.9")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"1\.2\.9\.tgz is cut off or damaged .*was tried"):
        emoji(tmp_path, languages=()).signs()
    packs.archive(path, {"../../package/icons.json": b"{}"})
    with pytest.raises(UserError, match="KeyError: 'package/icons.json'"):
        emoji(tmp_path, languages=()).signs()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_other_mistakes(folder):
    for changes, told in (
        ({"styles": ("notto",)}, "no style 'notto', .* Did you mean noto"),
        ({"styles": ()}, "names none: choose from noto"),
        ({"styles": ("noto", "noto")}, "names noto twice"),
        ({"languages": ("arab",)}, "no language 'arab', .* Did you mean ar"),
        ({"size": 0}, "--data.size=0 must be at least 1"),
        ({"length": 5}, "--data.length=5 is less than the .* bytes of"),
        ({"background": (0, 0, 256)}, "must be a colour"),
    ):
        with pytest.raises(UserError, match=told):
            emoji(folder, **changes).load()
    with pytest.raises(UserError, match="no style 'bald', .* Did you mean bold"):
        Icons(("bald",)).load()


def test_icons_in_all_weights_and_in_pairs(folder):
    found = Icons(size=8, path=str(folder)).load()
    source.check(found)
    all_rows = rows(found)
    assert found.shape == (8, 8, 1) and found.classes == 6
    names = found.fields["sign"].names
    # one has no thin drawing, another is kept for those who used an older version
    assert len(names) == 9 and {"odd", "old"}.isdisjoint(names)
    designs = {
        names[k]: design for k, design in zip(all_rows["sign"], all_rows["design"], strict=True)
    }
    assert designs["arrow-up"] == designs["arrow-down"] != designs["bell"]
    check_apart(found)
    pairs = Icons(("thin", "fill"), Paired(), size=8, path=str(folder)).load()
    red = {
        style: [packs.colour("ph", f"{names[k]}-{style}")[0] for k in pairs.train["sign"]]
        for style in ("thin", "fill")
    }
    for style, values in red.items():
        assert pairs.train[style][:, 4, 4, 0].tolist() == values
    assert "Ph 1.2.2, MIT" in pairs.notes and summary(pairs)


def test_few_signs_need_not_be_in_every_split(tmp_path):
    packs.vendor(tmp_path, "noto", "1.2.9", codes=("1f415", "1f431"))
    found = emoji(tmp_path, languages=()).load()
    source.check(found)
    sizes = [len(arrays["image"]) for arrays in found.splits().values()]
    assert sum(sizes) == 2 and 0 in sizes


@pytest.mark.parametrize(
    "body",
    [
        '<image href="/etc/passwd"/>',
        '<filter id="f"><feImage xlink:href="/etc/passwd"/></filter>',
        "<x:image xmlns:x=\"http://www.w3.org/2000/svg\" y:href = 'file:///etc/passwd'/>",
        '<feImage href="&#47;etc/passwd"/>',
    ],
)
def test_a_picture_that_would_read_a_file_is_not_drawn(body):
    with pytest.raises(UserError, match="may read any file of this machine"):
        vector.svg(body, vector.Box(0, 0, 16))


def test_elements_of_the_picture_itself_may_be_named():
    body = '<g id="a"/><use xlink:href="#a"/><use href=\'#a\'/>'
    assert body in vector.svg(body, vector.Box(0, 0, 16))


@needs_resvg
def test_what_resvg_draws(monkeypatch):
    monkeypatch.undo()
    box = vector.Box(0.0, 0.0, 16.0)
    body = '<circle cx="4" cy="5" r="2" fill="#ff0000"/>'
    rgba = vector.draw(vector.svg(body, box), 32)
    assert rgba.shape == (32, 32, 4) and rgba[10, 8].tolist() == [255, 0, 0, 255]
    assert vector.laid_over(rgba, (1, 2, 3))[20, 20].tolist() == [1, 2, 3]
    close = vector.close_up(body, box, 0.1)
    assert abs(close.left + close.side / 2 - 4) < 0.3 and 4 <= close.side < 5
    # a dot stays a dot
    assert vector.close_up(body, box, 0.5).side == 8
    assert vector.close_up("<g/>", box, 0.1) == box
    with pytest.raises(UserError, match=r"an SVG cannot be drawn \(.+\): get the package"):
        vector.draw(vector.svg("<path", box), 32)
