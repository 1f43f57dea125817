"""What the tokens of a text stand for: its bytes, its characters, or pieces of words.

In all three token 0 fills up and ends a text, and tokens 1 to 255 are the bytes of these numbers: what an alphabet has
no token for is spelled in bytes, so that every text comes back as it was. What else there is, each learns from the
training texts alone.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from genjax.config import field
from genjax.errors import UserError, at_least

BYTES = 256  # tokens that every alphabet has, the end among them
INSTALL = "pip install 'deepgenjax[text]'"


class Code(NamedTuple):
    """An alphabet that has seen the training texts."""

    pieces: tuple[bytes, ...]  # what each token writes; the end writes nothing
    numbers: Callable[
        [bytes], np.ndarray
    ]  # a text, UTF-8 without zeros -> its tokens int32 [T]

    @property
    def letters(self) -> tuple[str, ...]:
        """The pieces as a field keeps them: a character for each byte (latin-1)."""
        return tuple(piece.decode("latin-1") for piece in self.pieces)


# the end, which stands for no byte, and the bytes themselves
SPELLED = (b"", *(bytes([value]) for value in range(1, BYTES)))


@dataclasses.dataclass(frozen=True)
class Bytes:
    """The bytes of UTF-8, nothing else: 256 tokens."""

    def __call__(self, texts: Sequence[bytes]) -> Code:
        return Code(SPELLED, _spelled)


def _spelled(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8).astype(np.int32)


@dataclasses.dataclass(frozen=True)
class Characters:
    """A token for each character of more than one byte; those that training has too rarely are spelled in bytes."""

    least: int = field(2, "times that the training texts must have a character")

    def __call__(self, texts: Sequence[bytes]) -> Code:
        at_least(1, data__alphabet__least=self.least)
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text.decode())
        # ASCII has its tokens among the bytes
        wide = [each for each, n in counts.items() if n >= self.least and not each.isascii()]
        number = {}
        # in the order of Unicode, whatever the order of the texts
        for i, each in enumerate(sorted(wide)):
            number[each] = BYTES + i

        def numbers(text: bytes) -> np.ndarray:
            found: list[int] = []
            for each in text.decode():
                known = number.get(each)
                found += each.encode() if known is None else (known,)
            return np.array(found, np.int32)

        pieces = (*SPELLED, *(each.encode() for each in number))
        return Code(pieces, numbers)


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Byte pairs that are joined again and again, the most frequent first (Sennrich et al. 2016, arXiv:1508.07909).

    Learned on bytes within words, as GPT-2 has it (Radford et al. 2019, sec. 2.2), by the library tokenizers.
    """

    size: int = field(1024, "tokens, the 256 of the bytes among them")

    def __call__(self, texts: Sequence[bytes]) -> Code:
        # none to be learned would be Bytes()
        at_least(BYTES + 1, data__alphabet__size=self.size)
        coder = self._learned(texts)
        bytes_of = {letter: bytes([value]) for value, letter in enumerate(_printed())}
        # the library numbers its tokens in the order in which it learned them
        order = sorted(coder.get_vocab().items(), key=lambda each: each[1])
        piece_of = {}
        for written, _ in order:
            piece_of[written] = b"".join([bytes_of[letter] for letter in written])
        # its own single bytes come first, in another order than ours
        pieces = (*SPELLED, *(piece for piece in piece_of.values() if len(piece) > 1))
        if len(pieces) < self.size:
            raise UserError(
                f"--data.alphabet.size={self.size}: the training texts have no more than {len(pieces)} pieces that "
                "occur twice: use at most as many."
            )
        number = {piece: i for i, piece in enumerate(pieces)}
        # a byte of 0 is a token of the library's, and in no text
        token = {written: number.get(piece, 0) for written, piece in piece_of.items()}

        def numbers(text: bytes) -> np.ndarray:
            found = coder.encode(text.decode()).tokens
            return np.array([token[written] for written in found], np.int32)

        return Code(pieces, numbers)

    def _learned(self, texts: Sequence[bytes]) -> Any:
        """The library's coder, learned from the texts."""
        library = _tokenizers()
        coder = library.Tokenizer(library.models.BPE())
        # no blank is put before a text: it would not come back as it was
        split = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        coder.pre_tokenizer = split
        trainer = library.trainers.BpeTrainer(
            vocab_size=self.size,
            min_frequency=2,  # what occurs once tells nothing of other texts
            initial_alphabet=split.alphabet(),
            show_progress=False,
        )
        coder.train_from_iterator([text.decode() for text in texts], trainer)
        return coder


def _printed() -> str:
    """The character that the library writes for each byte, 256 of them (GPT-2's table).

    Bytes that are printed in latin-1 are themselves; the others are the characters from number 256 on, in order.
    """
    printed = {*range(33, 127), *range(161, 173), *range(174, 256)}
    letters = []
    other = BYTES
    for value in range(BYTES):
        if value in printed:
            letters.append(chr(value))
        else:
            letters.append(chr(other))
            other += 1
    return "".join(letters)


def _tokenizers() -> Any:
    """The library that learns pieces; UserError where it is not installed."""
    try:
        import tokenizers
    except ImportError:
        raise UserError(f"Pieces() needs tokenizers: {INSTALL}.") from None
    return tokenizers
