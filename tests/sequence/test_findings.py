"""What the findings of text count, against the sum over all sequences and a search by hand."""

import itertools
import lzma
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.text import EXPERIMENTS
from genjax.config import edit
from genjax.data import HiddenChain
from genjax.data.alphabets import Characters
from genjax.data.chains import log_likelihood
from genjax.data.text import Document, Files, Text
from genjax.errors import UserError
from genjax.fields import Tokens
from genjax.findings.language import Language
from genjax.findings.text import Entropy, Infilling, Written, longest_copy, ngram_law
from genjax.metrics.ngrams import kneser_ney
from genjax.sample import Options, write
from genjax.training.loop import run


def test_the_law_of_ngrams_is_the_likelihood_of_each():
    law = HiddenChain(3, 4).law()
    every = np.array(list(itertools.product(range(4), repeat=3)))
    np.testing.assert_allclose(ngram_law(law, 3), np.exp(log_likelihood(law, every)))


def test_the_longest_copy_is_found():
    source = b"the cat sat on the mat"
    assert longest_copy(b"a cat sat in", source) == len(b" cat sat ")
    assert longest_copy(b"zzz", source) == 0 and longest_copy(source, source) == len(source)


@pytest.mark.parametrize("name", ["base", "masked"])
def test_a_run_on_a_chain_ends_with_its_entropy(name, tmp_path):
    changes = {"steps": 2, "batch": 8, "every.sample": 0, "every.save": 2, "samples": 4}
    small = {"data.train": 64, "data.test": 64, "data.length": 6, "data.vocabulary": 3}
    net = {"algorithm.net.width": 8, "algorithm.net.depth": 1, "algorithm.net.heads": 2}
    exp = edit(EXPERIMENTS[name], {**changes, **small, **net, "runs": str(tmp_path)})
    exp = edit(exp, {"algorithm.optimiser.warmup": 1})
    first = exp.finish[0]
    finish = (type(first)(samples=64), *exp.finish[1:])
    this = run("text", edit(exp, {"finish": finish, "chunk": 1}), name)
    found = first.__class__(samples=0)(this)
    # hardly trained, it costs more than the law
    assert found["excess"] == pytest.approx(found["bits"] - found["entropy"], abs=1e-6)
    assert found["excess"] > 0.05


@pytest.mark.parametrize(
    "finding, told",
    [
        (Written(), "needs tokens that write text"),
        (Infilling(), "needs a chain and a model of masks"),
    ],
)
def test_findings_refuse_what_they_cannot_measure(finding, told):
    exp = edit(EXPERIMENTS["base"], {"data.train": 8, "data.test": 8})
    with pytest.raises(UserError, match=told):
        finding.check(exp, exp.data.load())


def test_too_few_samples_for_a_chi_square_are_told_before_training():
    exp = edit(EXPERIMENTS["base"], {"data.train": 8, "data.test": 8})
    with pytest.raises(UserError, match="samples=4 are too few for a chi-square of 2-grams"):
        Entropy(samples=4).check(exp, exp.data.load())
    Entropy(samples=0).check(exp, exp.data.load())


class Told(list):
    """The log of a run that was made up: its notes, and its entries by name."""

    def __init__(self):
        self.entries = {}
        self.note = self.append

    def result(self, name, values):
        self.entries[name] = values


def windows(lines):
    """Lines in characters, a window each, and how they are read."""
    code = Characters()(lines)
    x = np.zeros((len(lines), 16), np.int32)
    for row, line in zip(x, lines, strict=True):
        tokens = code.numbers(line)
        row[: len(tokens)] = tokens
    return x, Tokens(16, len(code.pieces), pieces=code.letters)


def made_up(cheaper):
    """A run on text in characters, whose model costs less than the n-grams of order 2, in bits a window."""
    lines = [f"سلام {i} señor\n".encode() for i in range(30)]
    x, kind = windows(lines)
    train, test = {"tokens": x[:20]}, {"tokens": x[20:]}
    rows = [row[: np.flatnonzero(row == 0)[0] + 1] for row in x]
    bits = kneser_ney(rows[:20], kind.vocabulary, 2).bits(rows[20:])
    this = SimpleNamespace(
        spec=SimpleNamespace(x=kind, main="tokens"),
        source=SimpleNamespace(train=train, test=test, class_names=("ar", "es"), groups=None),
        exp=SimpleNamespace(algorithm=SimpleNamespace(end=0)),
        algorithm=SimpleNamespace(asks=("label",)),
        evaluate=lambda split: {"text": bits - cheaper},
        sample=lambda n: x[:n],
        given=lambda n: {"label": np.arange(n) % 2},
        log=Told(),
    )
    return this, b"".join(lines)


@pytest.mark.parametrize("cheaper, word", [(1.0, "below it"), (0.0, "not below it")])
def test_text_is_paid_for_by_the_character(cheaper, word, monkeypatch):
    """A bit a window less than the n-grams is as many bits a character less as characters have windows."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    this, text = made_up(cheaper)
    Written((2,), samples=2)(this)
    found = this.log.entries["written"]
    signs = len(text.decode()) - len("".join(f"سلام {i} señor\n" for i in range(20)))
    expected = 0.0 - cheaper * 10 / signs
    less = found["model"]["distance"] - found["Kneser-Ney 2"]["distance"]
    assert less == pytest.approx(expected, abs=1e-6)
    assert any(f"character: {word}" in note for note in this.log)
    first = "".join(f"سلام {i} señor\n" for i in range(20)).encode()
    added = len(lzma.compress(text, preset=9)) - len(lzma.compress(first, preset=9))
    assert found["xz"]["distance"] == pytest.approx(8 * added / signs)
    assert "zstd" not in found and any("zstd is not measured" in note for note in this.log)
    # samples are read as letters, and are the training text's own here
    assert this.log.entries["texts"]["sample 1, es"] == "سلام 1 señor "
    assert found["copied samples"]["most"] == len("سلام 1 señor\n".encode())


def judged_of(this, **changes):
    """What `Written` keeps of a run on other test data."""
    this.source = SimpleNamespace(**{**vars(this.source), **changes})
    Written((2,), samples=0)(this)
    return this.log.entries["written"]


def test_windows_of_one_document_are_one_draw(monkeypatch):
    """Four copies of each window make no interval narrower: the documents are as many as they were."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    rng = np.random.default_rng(0)
    this, _ = made_up(0.0)
    test = this.source.test["tokens"]
    # ten windows of five documents, and a model that is good at some of these
    document = np.arange(10) // 2
    better = rng.normal(1.0, 2.0, 5)[document]
    bits = this.evaluate(test)["text"] - better
    this.evaluate = lambda split: {"text": np.repeat(bits, len(split["tokens"]) // 10)}
    once = judged_of(this, groups={"test": document})
    assert once["documents"] == {"n": 5, "windows": 10}
    copies = {"tokens": np.repeat(test, 4, axis=0)}
    often = judged_of(this, test=copies, groups={"test": np.repeat(document, 4)})
    apart = judged_of(this, test=copies, groups=None)
    for name in ("model", "Kneser-Ney 2", "model less Kneser-Ney"):
        width = {}
        for key, found in (("once", once), ("often", often), ("apart", apart)):
            assert found[name]["distance"] == pytest.approx(once[name]["distance"])
            width[key] = found[name]["high"] - found[name]["low"]
        assert width["often"] == pytest.approx(width["once"])
        # as forty draws they would be sure of what five documents cannot tell
        assert width["apart"] < 0.5 * width["once"]
    # of one document nobody knows what another would be like
    alone = judged_of(this, test=copies, groups={"test": np.zeros(40, int)})
    assert "low" not in alone["model"] and any("not below it" in note for note in this.log[-3:])


@pytest.mark.parametrize("listens", [True, False])
def test_languages_are_read_back(listens):
    """Samples that are real texts: as asked, or all of one language, which is what chance gets."""
    lines = [f"سلام {i % 9}".encode() for i in range(40)]
    lines += [f"señor {i % 9}".encode() for i in range(40)]
    x, kind = windows(lines)
    label = np.repeat([0, 1], 40)
    even = {"tokens": x[::2], "label": label[::2]}
    odd = {"tokens": x[1::2], "label": label[1::2]}

    def sample(n, label):
        rows = np.where(label == 0, 0, 40) if listens else np.zeros(n, int)
        return x[rows]

    this = SimpleNamespace(
        spec=SimpleNamespace(x=kind, main="tokens"),
        source=SimpleNamespace(train=even, test=odd, class_names=("ar", "es")),
        sample=sample,
        log=Told(),
    )
    found = Language(samples=50)(this)
    assert found["real"] == 1.0 and found["samples"] == (1.0 if listens else 0.5)
    entry = this.log.entries["language"]
    assert entry["samples, ar"]["n"] == 50 and entry["samples, ar"]["distance"] == 1.0
    assert entry["samples, es"]["distance"] == (1.0 if listens else 0.0)
    # whatever is drawn, half of the shuffled labels are of each language
    assert 0.3 < entry["samples shuffled"]["distance"] < 0.7
    assert this.log.entries["asked"]["ar"] == "سلام 0, سلام 0, سلام 0"


LINES = [Document(f"{i}", "سلام señor".encode(), i % 2) for i in range(60)]


class Spoken:
    """A corpus of two languages, of which only one was found."""

    labels = ("ar", "es")

    def __init__(self, most):
        self.most = most

    def __call__(self):
        return [each._replace(label=min(each.label, self.most)) for each in LINES]


class OneTongue(Spoken):
    """A corpus of one language."""

    labels = ("ar",)

    def __init__(self):
        super().__init__(0)


@pytest.mark.parametrize(
    "most, changes, told",
    [
        (0, {}, "has no training text in 'es'"),
        (1, {"algorithm.condition": ()}, "the model is told none"),
        (1, {"finish.Language.scales": (2.0,)}, "trained without its condition too"),
    ],
)
def test_languages_that_cannot_be_read_back(most, changes, told):
    exp = edit(EXPERIMENTS["signs"], changes)
    source = Text(Spoken(most), 16).load()
    with pytest.raises(UserError, match=told):
        exp.finish[1].check(exp, source)
    chain = edit(EXPERIMENTS["base"], {"data.train": 4, "data.test": 4})
    with pytest.raises(UserError, match=r"in several languages: use --data='Text\(Names"):
        Language().check(chain, chain.data.load())
    # of a corpus that has a flag for them the flag is named
    with pytest.raises(UserError, match="in several languages: name more by --data.corpus"):
        Language().check(exp, Text(OneTongue(), 16).load())


@pytest.mark.all
@pytest.mark.parametrize("name", ["corpus_masked", "characters"])
def test_a_run_on_text_ends_in_letters(name, tmp_path):
    """From files to samples in letters: a finding's, and those of `python -m genjax.sample`."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(40):
        (folder / f"{i}.txt").write_text(f"número {i} مرحبا\n", encoding="utf-8")
    data = Text(Files(str(folder)), 12, EXPERIMENTS[name].data.alphabet)
    changes = {"data": data, "steps": 2, "batch": 8, "chunk": 1, "samples": 4}
    changes |= {"every.sample": 0, "every.save": 2, "runs": str(tmp_path)}
    net = {"width": 8, "depth": 1, "heads": 2}
    changes |= {f"algorithm.net.{part}": value for part, value in net.items()}
    changes |= {"algorithm.optimiser.warmup": 1, "finish": (Written((2,), samples=4),)}
    exp = edit(EXPERIMENTS[name], {"algorithm.condition": (), "algorithm.drop": 0.0})
    this = run("text", edit(exp, changes), name)
    shown = this.log.result("texts")
    assert len(shown) == 4 and this.log.result("written")["model"]["distance"] > 1.0
    write(this.log.directory, Options(out=str(tmp_path / "out"), n=3))
    lines = (tmp_path / "out" / "samples.txt").read_text(encoding="utf-8").split("\n")
    found = np.load(tmp_path / "out" / "samples.npz")["samples"]
    assert lines == [*this.spec.x.text(found), ""]
