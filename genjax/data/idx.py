"""The idx format of the MNIST family (http://yann.lecun.com/exdb/mnist): two zero bytes, a type code, the number of
dimensions, the dimensions as big-endian uint32, then the values; usually gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from genjax.errors import UserError

_REMEDY = "copy or download the file again."
_UINT8 = 8  # the type code of unsigned bytes, the only type of images and labels


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is truncated or not gzip ({error}): {_REMEDY}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {_REMEDY}") from error


def read_idx(path: str | Path, dims: int) -> np.ndarray:
    """Reads an idx(.gz) file of unsigned bytes with `dims` dimensions: uint8, read only.

    UserError names the file when it is missing, truncated, too long, or of another kind.
    """
    path = Path(path)
    data = _content(path)
    head = 4 + 4 * dims  # bytes: type and number of dimensions, then each dimension
    if len(data) < head:
        raise UserError(
            f"{path} is truncated, {len(data)} bytes where the header alone needs {head}: {_REMEDY}"
        )
    zero, code, ndim = struct.unpack(">HBB", data[:4])  # big-endian: 2, 1 and 1 bytes
    if (zero, code, ndim) != (0, _UINT8, dims):
        start = data[:4].hex()
        raise UserError(
            f"{path} is not an idx file of bytes in {dims} dimensions (it starts {start}): {_REMEDY}"
        )
    shape = struct.unpack(f">{dims}I", data[4:head])
    promised = math.prod(shape)
    held = len(data) - head
    if held != promised:
        kind = "truncated" if held < promised else "too long"
        raise UserError(
            f"{path} is {kind}: its header says {shape}, it holds {held} values: {_REMEDY}"
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def read_pairs(
    images: Path, labels: Path, side: int, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, side, side, 1] and labels int32 [N] of two idx files that must agree."""
    x = read_idx(images, 3)  # [N, H, W]
    y = read_idx(labels, 1)  # [N]
    if len(x) != len(y):
        raise UserError(
            f"{images} holds {len(x)} images and {labels} holds {len(y)} labels: they must be of one set."
        )
    if x.shape[1:] != (side, side):
        raise UserError(
            f"{images} holds images of {x.shape[1]}x{x.shape[2]} pixels, not {side}x{side}: wrong file?"
        )
    if len(y) and y.max() >= classes:  # an empty array has no maximum
        raise UserError(
            f"{labels} holds label {y.max()}, more than the {classes} classes: wrong file?"
        )
    return x[..., None], y.astype(np.int32)
