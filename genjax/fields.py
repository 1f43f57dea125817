"""What the arrays of a data set are: each kind knows its shape, type and range, its coordinates, and how it is drawn.

A field is a frozen config value. A model sees data through it, so that no code guesses from rank or dtype:

    unit(x)    stored values -> float32 in the field's own units: pictures in [0, 1]; samples come in these units
    encode(x)  stored or unit values -> float32, pictures in [-1, 1]: the range of diffusion models and GANs
    decode(y)  the inverse of `encode`, into unit values
    check      refuses, in one line, an array that is not what the field says
    picture    unit values [B, ...] -> a uint8 picture for people

Tokens, categories and masks are numbers of things: they have no `encode`, and stay integers.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import build, field
from genjax.errors import UserError, nearest
from genjax.pictures import draw

CHECKED = 65_536  # rows looked at in one go, so that a large set is never copied whole
# ends of lines, tabs and other signs that move a pen: a blank each
BLANKS = dict.fromkeys((*range(32), *range(127, 160)), " ")


def to_float(x: jax.Array) -> jax.Array:
    """Pixels: uint8 in [0, 255] -> float32 in [0, 1]; floats pass as float32. For use inside jitted steps."""
    x = jnp.asarray(x)
    pixels = jnp.issubdtype(x.dtype, jnp.integer)
    # a product, cheaper than a quotient; 255 becomes exactly 1
    scale = 1.0 / 255.0 if pixels else 1.0
    return x.astype(jnp.float32) * scale


def check_array(what: str, array: Any, shape: tuple[int, ...], kinds: str, holds: str) -> None:
    """Raises UserError unless `array` is [N, *shape] of a dtype whose kind is in `kinds` (numpy's letters: u, i, f, b).

    what: the data set, split and field, for the message; holds: what the field holds, with its dtype.
    """
    dtype = getattr(array, "dtype", None)
    if dtype is None or dtype.kind == "O":
        raise UserError(
            f"{what} is no array of equal rows but {type(array).__name__} of dtype {dtype}: make it one, e.g. by "
            f"padding its rows to one length; the field holds {holds}."
        )
    found = tuple(array.shape)  # (N, *shape) if all is well
    if len(found) < 1 or found[1:] != tuple(shape):
        raise UserError(
            f"{what} has shape {list(found)}, expected [N, {_listed(shape)}]: {holds}."
        )
    if dtype.kind not in kinds:
        raise UserError(
            f"{what} is {dtype}, expected {holds}: convert it when the set is loaded."
        )


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape)) or "…"


def extremes(array: Any) -> tuple[float, float]:
    """(least, greatest) value of an array, NaN where one is not a number; (0, 0) of none. Read in parts."""
    if not len(array):
        return 0.0, 0.0
    lows, highs = [], []
    # in parts: a memory map is never read whole into memory
    for start in range(0, len(array), CHECKED):
        part = np.asarray(array[start : start + CHECKED])
        lows.append(part.min())
        highs.append(part.max())
    return float(np.min(lows)), float(np.max(highs))  # NaN wins in numpy's min and max


def check_range(what: str, array: Any, low: float, high: float, mend: str) -> None:
    """Raises UserError unless all values are finite and in [low, high]; `mend` says what to do."""
    least, greatest = extremes(array)
    finite = np.isfinite(least) and np.isfinite(greatest)
    if not finite:
        raise UserError(
            f"{what} holds NaN or infinite values: remove those rows, or fill them in."
        )
    if least < low or greatest > high:
        raise UserError(
            f"{what} has values from {least:g} to {greatest:g}, expected {low:g} to {high:g}: {mend}."
        )


def _check_pixels(what: str, array: Any, shape: tuple[int, ...]) -> None:
    check_array(what, array, shape, "uf", "pixels: uint8 in 0 to 255, or floats in [0, 1]")
    if array.dtype == np.uint8:  # every byte is a grey value
        return
    # uint16 and wider: the greatest grey level is anybody's guess
    if array.dtype.kind == "u":
        raise UserError(
            f"{what} is {array.dtype}: scale pixels to uint8, or to floats in [0, 1]."
        )
    mend = "divide by 255 what runs to 255, and use (x + 1) / 2 of what runs from -1 to 1"
    check_range(what, array, 0.0, 1.0, mend)


def _float(self: Any, x: jax.Array) -> jax.Array:
    """Real numbers are their own units."""
    return jnp.asarray(x).astype(jnp.float32)


# Real numbers need no way back
def _same(self: Any, y: jax.Array) -> jax.Array:
    return y


def _pixels(self: Any, x: jax.Array) -> jax.Array:
    return to_float(x)


# The range of diffusion models and GANs: [0, 1] -> [-1, 1]
def _signed(self: Any, x: jax.Array) -> jax.Array:
    return 2.0 * to_float(x) - 1.0


# Its inverse; samples may leave [-1, 1], so nothing is cut here
def _unsigned(self: Any, y: jax.Array) -> jax.Array:
    return 0.5 * (y + 1.0)


# Samples on the host: what leaves [0, 1] would come out as any grey level once it is made bytes
def _cut(self: Any, x: np.ndarray) -> np.ndarray:
    return np.clip(x, 0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Image:
    """Pictures [H, W, C], stored as uint8 or as floats in [0, 1]."""

    shape: tuple[int, ...] = field((32, 32, 3), "height, width, channels")

    unit = _pixels
    encode = _signed
    decode = _unsigned
    cut = _cut

    @property
    def dtype(self) -> Any:
        """The type that its arrays have in the data cache."""
        return np.dtype(np.uint8)

    def check(self, what: str, array: Any) -> None:
        """Raises UserError for what is no picture of this shape: other types, and floats outside [0, 1]."""
        _check_pixels(what, array, self.shape)

    def picture(self, x: Any) -> np.ndarray:
        """A grid of the pictures [B, H, W, C]."""
        return draw.grid(x)


@dataclasses.dataclass(frozen=True)
class Film:
    """Short films [T, H, W, C], stored as uint8 or as floats in [0, 1]."""

    shape: tuple[int, ...] = field((8, 16, 16, 1), "frames, height, width, channels")

    unit = _pixels
    encode = _signed
    decode = _unsigned
    cut = _cut

    @property
    def dtype(self) -> Any:
        """The type that its arrays have in the data cache."""
        return np.dtype(np.uint8)

    def check(self, what: str, array: Any) -> None:
        """Raises UserError for what is no film of this shape: other types, and floats outside [0, 1]."""
        _check_pixels(what, array, self.shape)

    def picture(self, x: Any) -> np.ndarray:
        """A row of frames for each film [B, T, H, W, C]."""
        frame = self.shape[1:]
        frames = np.asarray(x).reshape(-1, *frame)  # [B T, H, W, C]
        return draw.grid(frames, columns=self.shape[0])


@dataclasses.dataclass(frozen=True)
class Points:
    """Real numbers of any shape and range: points of the plane, codes."""

    shape: tuple[int, ...] = field((2,), "of one example")
    limit: float | None = field(
        None, "drawn over [-limit, limit]²; None = as far as the points"
    )

    unit = _float
    encode = _float
    decode = _same

    @property
    def dtype(self) -> Any:
        """The type that its arrays have in the data cache."""
        return np.dtype(np.float32)

    def check(self, what: str, array: Any) -> None:
        """Raises UserError for another shape, for what is no float, and for values that are not finite."""
        check_array(what, array, self.shape, "f", "real numbers, float32")
        check_range(what, array, -np.inf, np.inf, "")

    def picture(self, x: Any) -> np.ndarray:
        """A scatter of the first two numbers of each example [B, ...]."""
        flat = np.asarray(x).reshape(len(x), -1)
        pairs = flat[:, :2]
        if flat.shape[1] < 2:  # a line of numbers lies on the first axis
            zeros = np.zeros(len(flat))
            pairs = np.stack([flat[:, 0], zeros], 1)
        return draw.scatter(pairs, self.limit)


@dataclasses.dataclass(frozen=True)
class Series:
    """Real numbers over time, [T, C]; the unit of each channel is the data's own."""

    shape: tuple[int, ...] = field((64, 1), "times, channels")

    unit = _float
    encode = _float
    decode = _same

    @property
    def dtype(self) -> Any:
        """The type that its arrays have in the data cache."""
        return np.dtype(np.float32)

    def check(self, what: str, array: Any) -> None:
        """Raises UserError for another shape, for what is no float, and for values that are not finite."""
        check_array(what, array, self.shape, "f", "real numbers over time, float32 [T, C]")
        check_range(what, array, -np.inf, np.inf, "")

    def picture(self, x: Any) -> np.ndarray:
        """The first nine examples [B, T, C] as curves over time."""
        return draw.curves(np.asarray(x)[:9])


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Sequences of token numbers, int32 [T], each below `vocabulary`."""

    length: int = field(32, "tokens of an example")
    vocabulary: int = field(256, "number of different tokens")
    letters: str = field("", "the character of each token, for people; '' = its number")
    pieces: tuple[str, ...] = field(
        (), "the bytes of UTF-8 that each token writes, a character for a byte; () = letters"
    )

    def __post_init__(self):
        if self.pieces and len(self.pieces) != self.vocabulary:
            raise ValueError(f"{self.vocabulary} tokens have {len(self.pieces)} pieces")

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def dtype(self) -> Any:
        """The type that its arrays have in the data cache."""
        return np.dtype(np.int32)

    def check(self, what: str, array: Any) -> None:
        """Raises UserError for another length, for what is no integer, and for tokens outside the vocabulary."""
        check_array(
            what, array, self.shape, "iu", f"tokens, int32 in 0 to {self.vocabulary - 1}"
        )
        mend = "set the field's vocabulary, or number the tokens anew"
        check_range(what, array, 0, self.vocabulary - 1, mend)

    def number(self, value: Any) -> Any:
        """The bytes of a sentence, or of several, int32 [K, T]; other values as they are.

        UserError for a sentence that is longer than the field, and for a field whose tokens are no bytes.
        """
        lines = [value] if isinstance(value, str) else value
        if not isinstance(lines, list | tuple) or not all(isinstance(x, str) for x in lines):
            return value
        if self.vocabulary < 256:
            raise UserError(
                f"{lines[0]!r} is written in bytes, and there are {self.vocabulary} tokens: give their numbers."
            )
        rows = []
        for line in lines:
            tokens, cut = encoded(line, self.length)
            # in a data set it is cut and counted; what somebody asks for is to be said whole
            if cut:
                raise UserError(
                    f"{line!r} has {len(line.encode())} bytes, and there is room for {self.length}: say it in fewer."
                )
            rows.append(tokens)
        return np.stack(rows)

    def written(self, tokens: Any) -> list[bytes]:
        """The bytes that each example [B, T] writes; ValueError of tokens that write none."""
        if not self.pieces:
            raise ValueError(f"{self.vocabulary} tokens without pieces")
        bytes_of = [piece.encode("latin-1") for piece in self.pieces]
        return [
            b"".join([bytes_of[token] for token in row]) for row in np.asarray(tokens).tolist()
        ]

    def text(self, tokens: Any) -> list[str]:
        """Each example [B, T] as a line; bytes that are no UTF-8, as a model may make them, become U+FFFD."""
        if self.pieces:
            # decoded as a whole: a character may be spelled in several tokens
            decoded = [row.decode(errors="replace") for row in self.written(tokens)]
            # a line is one line
            return [row.translate(BLANKS) for row in decoded]
        rows = np.asarray(tokens).tolist()
        if not self.letters:
            return [" ".join(map(str, row)) for row in rows]
        lines = []
        for row in rows:
            letters = [self.letters[token] for token in row]
            lines.append("".join(letters))
        return lines

    def picture(self, x: Any) -> np.ndarray:
        """A row of cells for each of the first 32 examples [B, T], dark to light by number."""
        tokens = np.asarray(x)[:32].astype(np.float32)
        largest = max(self.vocabulary - 1, 1)  # a vocabulary of one is all black
        rows = tokens / largest
        cells = rows[:, None, :, None]  # [B, 1, T, 1]: pictures of one line
        return draw.grid(cells, columns=1, zoom=8)


@dataclasses.dataclass(frozen=True)
class Category:
    """One of `classes` things, int32; 0 classes: an unlabelled set, whose labels are all 0."""

    classes: int = field(0, "number of classes")
    names: tuple[str, ...] = field((), "of the classes, in order; () = their numbers")

    def __post_init__(self):
        if self.names and len(self.names) != self.classes:
            raise ValueError(f"{self.classes} classes have {len(self.names)} names")

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def dtype(self) -> Any:
        """The type that its arrays have in the data cache."""
        return np.dtype(np.int32)

    def check(self, what: str, array: Any) -> None:
        """Raises UserError for what is no integer in 0 to classes - 1."""
        last = max(self.classes - 1, 0)  # of an unlabelled set all are 0
        check_array(what, array, (), "iu", f"labels, int32 in 0 to {last}")
        mend = f"there are {self.classes} classes"
        check_range(what, array, 0, last, mend)

    def number(self, value: Any) -> Any:
        """The number of a class that is named; other values as they are, of a list each by itself.

        UserError, with the nearest, for a name that no class has.
        """
        if isinstance(value, list | tuple):
            return [self.number(each) for each in value]
        if not isinstance(value, str):
            return value
        if value in self.names:
            return self.names.index(value)
        # before the search for near ones: classes without names have these
        if value.isdecimal():
            return int(value)
        names = ", ".join(self.names[:20]) or f"numbers, 0 to {self.classes - 1}"
        raise UserError(
            f"there is no class {value!r}: they are {names}.{nearest(value, self.names)}"
        )


@dataclasses.dataclass(frozen=True)
class Attributes:
    """Many yes-or-no answers, uint8 [K] of 0 and 1."""

    names: tuple[str, ...] = field((), "of the attributes, in order")

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.names),)

    @property
    def dtype(self) -> Any:
        """The type that its arrays have in the data cache."""
        return np.dtype(np.uint8)

    def check(self, what: str, array: Any) -> None:
        """Raises UserError for other than 0 and 1."""
        check_array(what, array, self.shape, "uib", "attributes, 0 or 1")
        check_range(what, array, 0, 1, "an attribute is 0 (no) or 1 (yes); make -1 a 0")


@dataclasses.dataclass(frozen=True)
class Mask:
    """A class for each pixel, uint8 [H, W]."""

    shape: tuple[int, ...] = field((32, 32), "height, width")
    classes: int = field(2, "number of classes; 2 = outside and inside")

    @property
    def dtype(self) -> Any:
        """The type that its arrays have in the data cache."""
        return np.dtype(np.uint8)

    def check(self, what: str, array: Any) -> None:
        """Raises UserError for what is no integer in 0 to classes - 1."""
        last = self.classes - 1
        check_array(what, array, self.shape, "uib", f"a mask, uint8 in 0 to {last}")
        mend = "a mask of 0 and 255 is one of 0 and 1 times 255"
        check_range(what, array, 0, last, mend)

    def picture(self, x: Any) -> np.ndarray:
        """A grid of the masks [B, H, W], class 0 black."""
        largest = max(self.classes - 1, 1)
        grey = np.asarray(x)[..., None]  # [B, H, W, 1]
        return draw.grid(grey / largest)


@dataclasses.dataclass(frozen=True)
class Columns:
    """A row of a table, float32 [K]: real numbers, and categories as their numbers."""

    names: tuple[str, ...] = field((), "of the columns, in order")
    classes: tuple[int, ...] = field((), "of each column: its number of categories, 0 = real")

    def __post_init__(self):
        if len(self.classes) != len(self.names):
            raise ValueError(
                f"{len(self.names)} columns and {len(self.classes)} numbers of classes"
            )

    unit = _float
    encode = _float
    decode = _same

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.names),)

    @property
    def dtype(self) -> Any:
        """The type that its arrays have in the data cache."""
        return np.dtype(np.float32)

    def check(self, what: str, array: Any) -> None:
        """Raises UserError for what is no float, not finite, or no category in a column of categories."""
        check_array(what, array, self.shape, "f", "rows of a table, float32")
        check_range(what, array, -np.inf, np.inf, "")
        of_columns = zip(self.names, self.classes, strict=True)
        for k, (name, classes) in enumerate(of_columns):
            if not classes:  # a column of real numbers
                continue
            column = np.asarray(array[:, k])  # [N]
            broken = column != np.round(column)
            if broken.any():
                raise UserError(
                    f"{what}, column {name}: categories are whole numbers from 0 up."
                )
            mend = f"the column says that it has {classes} categories"
            check_range(f"{what}, column {name}", column, 0, classes - 1, mend)

    def picture(self, x: Any) -> np.ndarray:
        """A scatter of the first two columns [B, K]."""
        pairs = np.asarray(x)[:, :2]  # more axes than two cannot be drawn
        return draw.scatter(pairs)


Field = (
    Image | Film | Points | Series | Tokens | Category | Attributes | Mask | Columns
)  # and any frozen dataclass with their methods
PIXELS = (Image, Film)
REAL = (Image, Film, Points, Series, Columns)  # kinds with unit, encode and decode


def encoded(line: str, length: int) -> tuple[np.ndarray, bool]:
    """(the UTF-8 bytes of a line, int32 [length], filled up with 0; whether some were cut off).

    It is cut between two characters. UserError for what a command line was given in another encoding.
    """
    try:
        data = line.encode()
    except UnicodeEncodeError as error:
        # bytes that are no UTF-8 come from there as half characters
        raise UserError(
            f"{line!a} is not UTF-8 at character {error.start + 1}: write the sentence in UTF-8."
        ) from error
    # the bytes of a character that is cut through are no character
    whole = data[:length].decode(errors="ignore").encode()
    tokens = np.zeros(length, np.int32)
    tokens[: len(whole)] = np.frombuffer(whole, np.uint8)
    return tokens, len(whole) < len(data)


def need(who: str, name: str, found: Any, *kinds: type) -> None:
    """Raises UserError unless the field `found`, called `name`, is of one of the kinds that `who` can take.

    A field of a user's own passes: it is known by its methods.
    """
    # None, a field that is missing, is refused like one of the wrong kind
    ours = found is None or isinstance(found, Field)
    if ours and not isinstance(found, kinds):
        takes = " or ".join(kind.__name__ for kind in kinds)
        what = f"a {type(found).__name__}" if found is not None else "not in the data"
        raise UserError(f"{who} takes {takes}, and the field {name!r} is {what}.")


def stored(kind: Any) -> dict[str, Any]:
    """A field as JSON can hold it, for a file of the data cache."""
    values = {}
    for each in dataclasses.fields(kind):
        values[each.name] = getattr(kind, each.name)
    return {"kind": type(kind).__name__, **values}


def restored(data: Mapping[str, Any]) -> Any:
    """The inverse of `stored`, of the kinds of this module alone; KeyError or UserError for anything else."""
    # by name from a closed set: a file of the cache may not name any class it likes
    kinds = {kind.__name__: kind for kind in typing.get_args(Field)}
    values = {name: value for name, value in data.items() if name != "kind"}  # its settings
    return build("field", kinds[data["kind"]], values)


def check_split(what: str, fields: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Raises UserError unless a split {field: array} has all `fields`, with as many rows each, and each as it says."""
    for name in fields:
        if name not in arrays:
            has = ", ".join(arrays)
            raise UserError(
                f"{what} has no array {name!r}, which its fields name: it has {has}."
            )
    if taken := {"index", "position"} & set(arrays):
        raise UserError(
            f"{what} has a field {min(taken)!r}, the name of the examples' numbers: give it another."
        )
    lengths = {name: len(array) for name, array in arrays.items()}
    different = set(lengths.values())
    if len(different) > 1:
        told = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise UserError(
            f"{what} has arrays of different lengths ({told}): a row is one example."
        )
    for name, kind in fields.items():
        kind.check(f"{what}, field {name}", arrays[name])
