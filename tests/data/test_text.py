"""Text as bytes: whole documents in one split, every byte kept, and errors that say where."""

import sysconfig

import numpy as np
import pytest

from genjax.data import signs
from genjax.data.alphabets import Bytes
from genjax.data.source import check
from genjax.data.text import (
    Docstrings,
    Document,
    Files,
    Names,
    Text,
    Topics,
    characters,
    unsaid,
)
from genjax.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """Files of every split, in several scripts."""
    for i in range(30):
        text = f"número {i}: ¿qué? مرحبا {i}\n" * (i % 4 + 1)
        (tmp_path / f"{i}.txt").write_text(text, encoding="utf-8")
    return tmp_path


def test_all_bytes_of_a_document_are_in_one_split(folder):
    source = Text(Files(str(folder)), 16).load()
    check(source)
    for split, arrays in source.splits().items():
        own = [
            path.read_bytes()
            for path in sorted(folder.iterdir())
            if signs.side(path.name) == split
        ]
        written = b"".join(source.fields["tokens"].written(arrays["tokens"]))
        assert written == b"".join(own)
        assert characters(written) == sum(len(text.decode()) for text in own)


def test_windows_know_their_documents(folder):
    source = Text(Files(str(folder)), 16).load()
    for split, arrays in source.splits().items():
        group = source.groups[split]
        assert len(group) == len(arrays["tokens"])
        own = [
            path.read_bytes()
            for path in sorted(folder.iterdir())
            if signs.side(path.name) == split
        ]
        written = source.fields["tokens"].written(arrays["tokens"])
        # by their numbers the windows make up the documents
        found = dict.fromkeys(group.tolist(), b"")
        for number, row in zip(group.tolist(), written, strict=True):
            found[number] += row
        assert sorted(found.values()) == sorted(own)


def test_documents_of_one_key_count_as_one():
    texts = [Document(f"{i // 3}", b"abc", 0) for i in range(60)]
    source = Text(lambda: texts, 2)._rows(texts, Bytes()([]))
    _, group = source
    # two windows of each, three of a key
    np.testing.assert_array_equal(np.bincount(group), np.full(20, 6))


def test_what_python_carries_is_text():
    source = Text(Topics()).load()
    assert source.train["tokens"].shape[1] == 128 and len(source.test["tokens"]) > 50
    b"".join(source.fields["tokens"].written(source.test["tokens"])).decode()
    assert source.classes == 0 and not source.test["label"].any()


def copied(once: int) -> float:
    """The share of test windows of whose bytes half, in one piece, stand in training."""
    source = Text(Topics(once)).load()
    of = {
        split: source.splits()[split]["tokens"].astype(np.uint8) for split in ("train", "test")
    }
    read = of["train"].tobytes()
    halves = [row[32:96] for row in of["test"] if row[32:96].all()]
    return float(np.mean([half.tobytes() in read for half in halves]))


def test_what_topics_repeat_is_not_in_two_splits():
    # without it much of the test has been read: a topic is a chapter, or a part of one
    assert copied(0) > 0.3
    assert copied(Topics().once) < 0.01


def test_a_paragraph_is_told_once_however_it_is_indented():
    seen: set[str] = set()
    assert unsaid("one two three\n\nfour", seen, 8) == "one two three\n\nfour"
    assert unsaid("a\n\n   one two\n   three\n\nfour", seen, 8) == "a\n\nfour"
    assert seen == {"one two three"}


def test_docstrings_of_a_library_are_its_text_and_nothing_else(tmp_path, monkeypatch):
    class_ = 'class A:\n    """of a class"""\n\n    def f(self):\n        """of a method"""\n'
    plain = 'def g():\n    "of é"\n    return "no docstring"\n'
    files = {
        "a.py": f'"""Of a module."""\n{class_}x = """none"""\n',
        "b/one.py": plain,
        "b/two.py": "x = 1\n",
        "test/c.py": '"""a test"""',
        "pydoc_data/topics.py": '"""what `Topics` has"""',
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    # an encoding of its own, which the file names
    (tmp_path / "b" / "old.py").write_bytes(b'# coding: latin-1\n"""\xe9"""\n')
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    found = [(document.key, document.text.decode()) for document in Docstrings()()]
    assert found == [
        ("a", "Of a module.\n\nof a class\n\nof a method"),
        ("b", "é"),
        ("b", "of é"),
    ]


def test_bytes_that_are_not_utf8_are_told_with_their_place(folder):
    (folder / "wrong.txt").write_bytes(b"good\nbad: " + b"\xe9t\xe9")
    with pytest.raises(UserError, match="wrong.txt is not UTF-8: byte 10, in line 2, is 0xe9"):
        Text(Files(str(folder))).load()


@pytest.mark.parametrize(
    "cfg, told",
    [
        (Text(Names(("en", "xx"))), "--data.corpus.languages: there is no language 'xx'"),
        (Text(Files()), "data.corpus.path is not set"),
        (Text(Files("/nowhere/at/all")), "is no folder"),
        (Text(Topics(-1)), "data.corpus.once=-1 must be at least 0"),
        (Text(Docstrings(-1)), "data.corpus.once=-1 must be at least 0"),
        (Text(length=0), "data.length=0 must be at least 1"),
    ],
)
def test_bad_input(cfg, told):
    with pytest.raises(UserError, match=told):
        cfg.load()


def test_an_empty_corpus_is_told(tmp_path):
    with pytest.raises(UserError, match="the corpus has no text in its train split"):
        Text(Files(str(tmp_path))).load()


def test_names_have_the_languages_as_labels(monkeypatch, tmp_path):
    names = {"en": {"1f600": "face", "1f601": "grin"}, "ar": {"1f600": "وجه", "2764": "قلب"}}
    monkeypatch.setattr(signs, "find_names", lambda of, path: tmp_path)
    monkeypatch.setattr(signs, "read_names", lambda of, folder, language: names[language])
    monkeypatch.setattr(signs, "side", lambda key: "test" if key == "hearts" else "train")
    source = Text(Names(("en", "ar")), 16).load()
    assert source.class_names == ("en", "ar")
    assert signs.text(source.train["tokens"]) == ["face", "grin", "وجه"]
    np.testing.assert_array_equal(source.test["label"], [1])
