"""Features of the Inception net of December 2015: distances on them, and no others, are FID and KID as published.

(Heusel et al. 2017, arXiv:1706.08500; Binkowski et al. 2018, arXiv:1801.01401.) Net, resize and scaling follow
torch-fidelity, whose weight file is converted once:

    python -m genjax.metrics.inception convert weights-inception-2015-12-05-6726825d.pth inception.npz

Images are rounded to bytes, as in a file, and enlarged to 299 x 299 in the way of TensorFlow 1: output pixel i lies at
i n / 299 of n input pixels, between its neighbours floor(i n / 299) and the next; then x <- (x - 128) / 128.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from genjax.config import field
from genjax.errors import UserError
from genjax.machine.files import typed
from genjax.machine.parallel import Jit, Layout
from genjax.metrics.features import (
    STRANGE,
    Extract,
    Extracted,
    batched,
    load_arrays,
    save_arrays,
)
from genjax.nets.inception import InceptionV3
from genjax.pictures.draw import to_uint8

SIDE = 299
LEVELS = (64, 192, 768, 2048)
FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
COMMAND = "python -m genjax.metrics.inception convert"
TORCH = {  # our name in a unit -> PyTorch's
    "kernel": "conv.weight",
    "scale": "bn.weight",
    "bias": "bn.bias",
    "mean": "bn.running_mean",
    "var": "bn.running_var",
}


@dataclasses.dataclass(frozen=True)
class Inception:
    """Inception-2015's features, by the weights in a file that `convert` wrote."""

    # whose classes the logits are: no label of another data set is the number of one of these
    classes: ClassVar[str] = "imagenet"

    weights: str = field("inception.npz", "the converted weight file", execution=True)
    features: int = field(2048, "64, 192, 768 or 2048: the level; FID's is 2048")
    batch: int = field(50, "images at a time", execution=True)

    @property
    def name(self) -> str:
        return "inception" if self.features == LEVELS[-1] else f"inception{self.features}"

    def size(self, shape: tuple[int, ...]) -> int:
        """The number of features of images of `shape`."""
        return self.features

    def fit(
        self, train: Any = None, folder: str | Path | None = None, layout: Layout = Jit()
    ) -> Extract:
        """images [N, H, W, 1 or 3] -> features [N, 2048], logits without bias [N, 1008]; nothing is fitted.

        UserError when the weight file is missing or strange.
        """
        if self.features not in LEVELS:
            levels = ", ".join(map(str, LEVELS))
            raise UserError(
                f"Inception(features={self.features}): the net has levels {levels}."
            )
        params = load(self.weights)
        apply = functools.partial(_apply, InceptionV3(), str(self.features))
        extract = batched(apply, params, None, layout, self.batch)  # None: of any size
        return lambda images: extract(to_uint8(images))


def _apply(net: InceptionV3, level: str, params: Any, image: jax.Array) -> Extracted:
    found: Any = net.apply({"params": params}, prepare(image))
    return Extracted(found[level], found["logits_unbiased"])


def prepare(image: jax.Array) -> jax.Array:
    """uint8 [B, H, W, 1 or 3] -> float32 [B, 299, 299, 3] in [-1, 1): what the net takes."""
    x = image.astype(jnp.float32)
    _, height, width, channels = x.shape
    rows = jnp.asarray(stretch(height, SIDE))
    columns = jnp.asarray(stretch(width, SIDE))
    x = jnp.einsum("ih,bhwc,jw->bijc", rows, x, columns)
    if channels == 1:  # grey: the same in red, green and blue
        x = jnp.repeat(x, 3, -1)
    return x / 128.0 - 1.0


def stretch(n: int, out: int) -> np.ndarray:
    """[out, n]: the linear map of TensorFlow 1's bilinear resize along one side, corners not aligned."""
    row = np.arange(out)
    place = row * (n / out)  # in the input, in pixels
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, n - 1)  # the last pixel goes on beyond the border
    part = place - low
    found = np.zeros((out, n), np.float32)
    # `add.at`, not an assignment: at the border both are the same pixel
    np.add.at(found, (row, low), 1.0 - part)
    np.add.at(found, (row, high), part)
    return found


@functools.cache
def shapes() -> dict[str, Any]:
    """The net's weights as shapes, a tree."""
    image = jnp.zeros((1, SIDE, SIDE, 3))
    variables = jax.eval_shape(InceptionV3().init, jax.random.key(0), image)
    return variables["params"]


def load(weights: str | Path) -> Any:
    """The weights in a file that `convert` wrote, a tree; UserError says how to get one."""
    path = typed(weights)
    if not path.is_file():
        raise UserError(
            f"there are no Inception weights {path}: download {URL} and run `{COMMAND} {FILE} {path}`."
        )
    try:
        return load_arrays(path, shapes())
    except STRANGE as error:
        raise UserError(
            f"{path} holds no Inception weights ({error}): make it anew by `{COMMAND} {FILE} {path}`."
        ) from error


def convert(state: dict[str, np.ndarray]) -> Any:
    """PyTorch's state dict as arrays -> our tree of weights; UserError for a key or a shape that does not match."""
    wanted: Any = traverse_util.flatten_dict(shapes())
    names = {(*path, name): torch_name((*path, name)) for *path, name in wanted}
    # PyTorch's batch norm counts its steps, of which nothing here makes use
    left = {key for key in state if not key.endswith("num_batches_tracked")}
    if odd := sorted(left ^ set(names.values())):
        raise UserError(
            f"this is not the state of Inception-2015: {len(odd)} keys do not match, {odd[0]} for one."
        )
    flat = {}
    for path, key in names.items():
        array = np.asarray(state[key], np.float32)
        if array.ndim == 4:  # [O, I, H, W] -> [H, W, I, O]
            array = array.transpose(2, 3, 1, 0)
        elif array.ndim == 2:  # [O, I] -> [I, O]
            array = array.T
        if array.shape != wanted[path].shape:
            raise UserError(
                f"this is not the state of Inception-2015: {key} has the shape {np.shape(state[key])}."
            )
        flat[path] = np.ascontiguousarray(array)
    return traverse_util.unflatten_dict(flat)


def torch_name(path: tuple[str, ...]) -> str:
    """Our path -> PyTorch's key: ("Mixed_5b", "branch1x1", "kernel") -> "Mixed_5b.branch1x1.conv.weight"."""
    *above, name = path
    if above == ["fc"]:  # the last layer has no batch norm
        return {"kernel": "fc.weight", "bias": "fc.bias"}[name]
    return ".".join([*above, TORCH[name]])


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a state dict that torch.save wrote; UserError without PyTorch or for another kind of file."""
    if not path.is_file():
        raise UserError(f"there is no file {path}: download {URL}.")
    try:
        import torch  # type: ignore  # not among the requirements: one command needs it, once
    except ImportError:
        raise UserError(
            "to read a .pth file needs PyTorch, for this command only: pip install torch."
        ) from None
    try:
        # weights_only: a pickle that could run code is refused
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {str(key): value.numpy() for key, value in state.items()}
    except Exception as error:  # zip, pickle and type errors of many kinds
        # some come without words, others with pages
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path} is not a state dict of PyTorch ({line}): download {URL} again."
        ) from error


def main(argv: Sequence[str] | None = None) -> int:
    """`convert weights.pth out.npz`; 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m genjax.metrics.inception", description=__doc__
    )
    command = parser.add_subparsers(required=True).add_parser(
        "convert", help="PyTorch's weight file -> .npz"
    )
    command.add_argument("weights", type=Path, help=f"from {URL}")
    command.add_argument("out", type=Path, help="the file to write")
    given = parser.parse_args(argv)
    try:
        save_arrays(given.out, convert(read_torch(given.weights)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
