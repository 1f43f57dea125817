"""Every alphabet gives back every text, learns from training alone, and says how its numbers are read."""

import sys

import numpy as np
import pytest

from genjax.data import signs
from genjax.data.alphabets import SPELLED, Bytes, Characters, Pieces, _printed
from genjax.data.source import check
from genjax.data.text import Document, Files, Text
from genjax.errors import UserError
from genjax.fields import Tokens, restored, stored

TRAIN = [f"مرحبا {i} ¿qué? the cat sat {i}\n".encode() for i in range(40)]
# what no alphabet has learned: a sign of four bytes, Greek, a combining accent, a tab
STRANGE = "🙂 αβγ e\u0301\tمرحبا the cat".encode()


def alphabet(cfg):
    if isinstance(cfg, Pieces):
        pytest.importorskip("tokenizers")
    return cfg(TRAIN)


ALPHABETS = [Bytes(), Characters(), Pieces(300)]


@pytest.mark.parametrize("cfg", ALPHABETS)
@pytest.mark.parametrize("text", [TRAIN[0], STRANGE, bytes(range(1, 128)), b""])
def test_every_text_comes_back(cfg, text):
    code = alphabet(cfg)
    tokens = code.numbers(text)
    assert tokens.dtype == np.int32 and not (tokens == 0).any()
    assert b"".join(code.pieces[token] for token in tokens) == text
    # the end is no byte, and the bytes are where they always are
    assert code.pieces[:256] == SPELLED and len(set(code.pieces)) == len(code.pieces)


def test_characters_are_those_that_training_has_often_enough():
    # a letter that two words of each text have, and those that one has
    texts = ["مرحبا ما".encode()] * 5
    code = Characters(least=6)(texts)
    often = {"م", "ا"}
    assert set(code.pieces[256:]) == {c.encode() for c in often}
    # one token a character
    assert len(Characters()(TRAIN).numbers(TRAIN[3])) == len(TRAIN[3].decode())


def test_pieces_are_learned_in_the_same_order_each_time():
    first, second = alphabet(Pieces(300)), alphabet(Pieces(300))
    assert first.pieces == second.pieces and len(first.pieces) == 300
    assert len(first.numbers(TRAIN[0])) < len(TRAIN[0]) / 2


def test_the_table_of_bytes_is_the_library_s():
    tokenizers = pytest.importorskip("tokenizers")
    split = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    assert set(split.alphabet()) == set(_printed())
    text = bytes(range(1, 128)).decode() + "".join(map(chr, range(128, 2048)))
    (written, _), *_ = split.pre_tokenize_str(text)
    assert written == "".join(_printed()[value] for value in text.encode())


@pytest.fixture
def folder(tmp_path):
    for i in range(40):
        text = f"número {i}: ¿qué? مرحبا بالعالم {i}\n" * (i % 4 + 1)
        (tmp_path / f"{i}.txt").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("cfg", ALPHABETS)
def test_windows_are_cut_in_tokens_and_give_back_all_bytes(cfg, folder):
    if isinstance(cfg, Pieces):
        pytest.importorskip("tokenizers")
    source = Text(Files(str(folder)), 7, cfg).load()
    check(source)
    kind = source.fields["tokens"]
    for split, arrays in source.splits().items():
        own = b""
        for path in sorted(folder.iterdir()):
            if signs.side(path.name) == split:
                own += path.read_bytes()
        assert arrays["tokens"].shape[1] == 7
        assert b"".join(kind.written(arrays["tokens"])) == own
    # a field is kept beside a run as JSON, and reads its samples without the data
    assert restored(stored(kind)) == kind


def test_samples_are_read_as_letters():
    code = Characters(1)([("وجه" * 2).encode()])
    kind = Tokens(6, len(code.pieces), pieces=code.letters)
    word = code.numbers("وجه".encode())
    # a byte that begins a character and stands alone, the end, and a line's end
    rows = np.array([[*word, 0, 0, 0], [0xD9, 65, 0, *word], [10, 0xD9, 0x88, 66, 0, 0]])
    assert kind.text(rows) == ["وجه", "\ufffdAوجه", " وB"]
    with pytest.raises(ValueError, match="256 tokens have 1 pieces"):
        Tokens(4, 256, pieces=("a",))


@pytest.mark.parametrize(
    "cfg, told",
    [
        (Pieces(256), "data.alphabet.size=256 must be at least 257"),
        (Characters(0), "data.alphabet.least=0 must be at least 1"),
    ],
)
def test_sizes_that_make_no_sense(cfg, told):
    with pytest.raises(UserError, match=told):
        cfg(TRAIN)


def test_more_pieces_than_the_text_has():
    with pytest.raises(
        UserError, match=r"size=5000: the training texts have no more than \d+ "
    ):
        alphabet(Pieces(5000))


def test_a_library_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"needs tokenizers: pip install 'deepgenjax\[text\]'"):
        Pieces()(TRAIN)


class Typed:
    """A corpus of a user's own."""

    labels = ()

    def __init__(self, *texts):
        self.texts = texts

    def __call__(self):
        return [Document(f"{i}", text) for i, text in enumerate(self.texts)]


@pytest.mark.parametrize(
    "texts, told",
    [
        ((b"ok", b"n\xe9"), "the text '1' is not UTF-8: byte 1 is 0xe9"),
        ((b"ok", b"a\0b"), "the text '1' is no text: byte 1 is 0x00"),
        ((), "the corpus has no text in its train split"),
        ((b"",) * 30, "the corpus has no text in its train split"),
    ],
)
def test_texts_that_are_none(texts, told):
    with pytest.raises(UserError, match=told):
        Text(Typed(*texts)).load()
