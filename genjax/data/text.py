"""Running text that comes with Python and Debian, or a user's own, in bytes, characters or pieces of words.

* `Topics`: the reference of the language that CPython carries for its `help()`, pydoc_data/topics.py: PSF licence.
* `Docstrings`: what the modules of CPython's standard library say of themselves, four times as much: PSF licence.
* `Licences`: the licence texts of Debian, /usr/share/common-licenses: each says that it may be copied unchanged.
* `Names`: names of signs in four languages, from Unicode CLDR (Debian's unicode-cldr-core): Unicode licence.
* `Files`: text files of the user's.

A document is in one split as a whole, by a hash of its name: no window of the test overlaps one of training. Where
documents repeat each other that is not enough: what is said twice is left out the second time (Lee et al. 2022,
arXiv:2107.06499, find copies in most corpora, and models that write them down).
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import sysconfig
import tokenize
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from genjax.config import Own, field
from genjax.data import marked, signs
from genjax.data.alphabets import Bytes, Characters, Code, Pieces
from genjax.data.source import Source
from genjax.errors import UserError, at_least
from genjax.fields import Category, Tokens
from genjax.machine.files import typed

DEBIAN = Path("/usr/share/common-licenses")
# of the standard library: tests, what is installed beside it, and the text of `Topics`
LEFT_OUT = {"test", "tests", "site-packages", "dist-packages", "pydoc_data"}
TOLD = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
END = 0  # the token that fills up, and ends a text that is short


class Document(NamedTuple):
    """A text, and what its split is chosen by: documents of one key are in one split."""

    key: str
    text: bytes
    label: int = 0


@dataclasses.dataclass(frozen=True)
class Topics:
    """CPython's own reference, a document a topic, about 400 kB of English; differs between versions of Python."""

    once: int = field(
        30,
        "characters from which a paragraph that an earlier topic has is left out; 0 = none is",
    )
    labels: ClassVar[tuple[str, ...]] = ()

    def __call__(self) -> list[Document]:
        # large, so it is read only where it is asked for
        from pydoc_data.topics import topics

        at_least(0, data__corpus__once=self.once)
        seen: set[str] = set()
        documents = []
        for name, text in sorted(topics.items()):
            if self.once:
                text = unsaid(text, seen, self.once)
            documents.append(Document(name, text.encode()))
        return documents


def unsaid(text: str, seen: set[str], least: int) -> str:
    """A text without the paragraphs of `least` characters or more that were seen; those that it has join them."""
    kept = []
    for paragraph in text.split("\n\n"):
        # the same words may be indented otherwise
        words = " ".join(paragraph.split())
        if len(words) >= least:
            if words in seen:
                continue
            seen.add(words)
        kept.append(paragraph)
    return "\n\n".join(kept)


@dataclasses.dataclass(frozen=True)
class Docstrings:
    """What the standard library says of itself, a document a module, about 1.7 MB; it differs as `Topics` does."""

    once: int = field(
        30,
        "characters from which a paragraph that an earlier module has is left out; 0 = none is",
    )
    labels: ClassVar[tuple[str, ...]] = ()

    def __call__(self) -> list[Document]:
        at_least(0, data__corpus__once=self.once)
        root = Path(sysconfig.get_paths()["stdlib"])
        seen: set[str] = set()
        documents = []
        for file in sorted(root.rglob("*.py")):
            place = file.relative_to(root)
            if LEFT_OUT.intersection(place.parts):
                continue
            text = "\n\n".join(docstrings(file))
            if self.once:
                text = unsaid(text, seen, self.once)
            if text:
                # modules of one package repeat each other's words: one split for all of them
                package = place.parts[0].removesuffix(".py")
                documents.append(Document(package, text.encode()))
        return documents


# the whole library takes fifteen seconds: a run asks for it more than once
@functools.cache
def docstrings(file: Path) -> tuple[str, ...]:
    """Those of a module's source, its own and those of its classes and functions, those within others last."""
    with tokenize.open(file) as source:  # in the encoding that it names
        tree = ast.parse(source.read())
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, TOLD)]
    return tuple(text for text in found if text)


@dataclasses.dataclass(frozen=True)
class Licences:
    """The licences that Debian installs, a document each."""

    path: str = field(str(DEBIAN), "their folder", execution=True)
    labels: ClassVar[tuple[str, ...]] = ()

    def __call__(self) -> list[Document]:
        # versions of one licence have most of their text in common: one split for all of them
        return [each._replace(key=each.key.split("-")[0]) for each in _read(self.path, "")]


@dataclasses.dataclass(frozen=True)
class Files:
    """The user's own texts: every file of a folder that ends so, a document each."""

    path: str = field("", "the folder", execution=True)
    ending: str = field(".txt", "of the files' names")
    labels: ClassVar[tuple[str, ...]] = ()

    def __call__(self) -> list[Document]:
        # no folder by default: whose texts they are is the user's to say
        if not self.path:
            raise UserError("--data.corpus.path is not set: name the folder of your texts.")
        return _read(self.path, self.ending)


@dataclasses.dataclass(frozen=True)
class Names:
    """Names of signs, a document each, labelled by their languages; all names of one design are in one split."""

    languages: tuple[str, ...] = field(signs.LANGUAGES, "of en, es, fr, ar")

    @property
    def labels(self) -> tuple[str, ...]:
        """The languages, in the order of their numbers."""
        return self.languages

    def __call__(self) -> list[Document]:
        if not self.languages:
            raise UserError(
                "--data.corpus.languages=() is no language: name some of en, es, fr, ar."
            )
        # refuses a language that the data lack; here it is the corpus that has languages
        with marked.flagged("languages", "corpus.languages"):
            of = signs.names_package(self.languages)
        folder = signs.find_names(of, None)
        if folder is None:
            # a corpus has no folder of names that could be named by a flag
            of.missing(None, "GENJAX_DATA")
        documents = []
        for label, language in enumerate(self.languages):
            found = signs.read_names(of, folder, language)
            for code, name in sorted(found.items()):
                documents.append(Document(signs.design(code), name.encode(), label))
        return documents


def _read(path: str, ending: str) -> list[Document]:
    """The files of a folder by name; links are left out, which name one text twice."""
    folder = typed(path)
    if not folder.is_dir():
        raise UserError(f"--data.corpus.path={path} is no folder.")
    documents = []
    # a folder lists its files in no order of its own
    for file in sorted(folder.iterdir()):
        if file.is_file() and not file.is_symlink() and file.name.endswith(ending):
            documents.append(Document(file.name, utf8(file)))
    return documents


def utf8(file: Path) -> bytes:
    """The bytes of a file; UserError, with the place, where they are not UTF-8."""
    content = file.read_bytes()
    # decoded only to see that it can be: models are shown the bytes
    try:
        content.decode()
    except UnicodeDecodeError as error:
        # the line too: few editors count bytes
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{file} is not UTF-8: byte {error.start}, in line {line}, is 0x{content[error.start]:02x}: convert the "
            "file, e.g. by `iconv -f latin1 -t utf8`."
        ) from error
    return content


@dataclasses.dataclass(frozen=True)
class Text:
    """A corpus as tokens: windows one behind the other, or whole documents where these are short."""

    corpus: Topics | Docstrings | Licences | Files | Names | Own = field(
        Topics(), "where the text is from"
    )
    length: int = field(128, "tokens of an example")
    alphabet: Bytes | Characters | Pieces | Own = field(
        Bytes(), "what tokens are, learned from the training texts", added=True
    )

    def load(self) -> Source:
        """{"tokens": int32 [N, length], "label": int32 [N]}, 0 behind a text.

        UserError for an empty corpus, and for an alphabet that it is too small for.
        """
        at_least(1, data__length=self.length)
        name = type(self.corpus).__name__.lower()
        documents: dict[str, list[Document]] = {"train": [], "valid": [], "test": []}
        for document in self.corpus():
            _check(document)
            # a document that is added leaves the others in their splits
            documents[signs.side(document.key)].append(document)
        # valid may be empty: a few documents need not reach it
        for split in ("train", "test"):
            if not any(document.text for document in documents[split]):
                raise UserError(
                    f"{name}: the corpus has no text in its {split} split: give it more documents, since each is in "
                    "one split as a whole."
                )
        # learned from training alone: what test has beside is spelled
        code = self.alphabet([document.text for document in documents["train"]])
        splits, groups = {}, {}
        for split, its in documents.items():
            splits[split], groups[split] = self._rows(its, code)
        kinds = {"tokens": Tokens(self.length, len(code.pieces), pieces=code.letters)}
        # no labels but those of the languages: 0 classes are an unlabelled set
        names = self.corpus.labels
        kinds["label"] = Category(len(names), tuple(names))
        return Source(name, kinds, **splits, groups=groups)

    def _rows(
        self, documents: list[Document], code: Code
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """(The windows of documents with their labels, a number for each that says which are of one key [N])."""
        rows, labels, keys = [], [], []
        for document in documents:
            tokens = code.numbers(document.text)
            # the last window of a document is filled up
            for start in range(0, len(tokens), self.length):
                # tokens are cut and not characters: a window may begin within one
                part = tokens[start : start + self.length]
                row = np.full(self.length, END, np.int32)
                row[: len(part)] = part
                rows.append(row)
                labels.append(document.label)
                keys.append(document.key)
        # [0, length] of a split without text, which alone would be flat
        windows = np.array(rows, np.int32).reshape(-1, self.length)
        # of one key, as versions of a licence are, documents share text: they count as one
        _, group = np.unique(keys, return_inverse=True)
        return {"tokens": windows, "label": np.array(labels, np.int32)}, group


def _check(document: Document) -> None:
    """Raises UserError for a text that is not UTF-8, or has a byte that stands for the end."""
    text = document.text
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"the text {document.key!r} is not UTF-8: byte {error.start} is 0x{text[error.start]:02x}: convert it."
        ) from error
    if b"\0" in text:
        raise UserError(
            f"the text {document.key!r} is no text: byte {text.index(0)} is 0x00, which ends one: leave it out."
        )


def characters(text: bytes) -> int:
    """The characters of UTF-8: the bytes that begin one, wherever the text was cut."""
    x = np.frombuffer(text, np.uint8)
    # of a character's bytes the others are 10xxxxxx
    return int(np.sum((x & 0xC0) != 0x80))
