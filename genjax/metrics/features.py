"""Feature extractors: images become rows of numbers, in which samples and data are compared.

An extractor is a config value with a `name` and `fit(train, folder=None, layout=Jit())`, which gives a function
images [N, H, W, C], uint8 or float in [0, 1] -> `Extracted`. `train` is a split with "image", "label" and what other
fields the data have; what was fitted at some cost is kept in `folder` and read back from there. A Fréchet distance d²
on features f,

    d²(f(x), f(y)) = |m_x - m_y|² + tr(C_x + C_y - 2 (C_x C_y)^(1/2)),

depends on f and its scale: it is named after the extractor, fd_<name>, and only distances of one name compare.
Here: pixels, principal components and a random net (Naeem et al. 2020, arXiv:2002.09797, measure data unlike
photographs by one); `classifier.Convolutional` and `inception.Inception` are trained nets.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from genjax.config import field, suffix
from genjax.data.batches import eval_batches
from genjax.errors import UserError
from genjax.fields import to_float
from genjax.machine.files import whole
from genjax.machine.parallel import Jit, Layout
from genjax.metrics import components
from genjax.metrics.components import rows

STRANGE = (  # what numpy and zipfile raise at a damaged .npz, depending on where the damage is
    OSError,
    ValueError,
    KeyError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
)


class Extracted(NamedTuple):
    """Features [N, D], float32, and the logits [N, K] of an extractor that is a classifier.

    One that reads many attributes gives the probabilities of a yes, [N, A], too.
    """

    features: Any  # np.ndarray; within a compiled function jax.Array
    logits: Any = None
    answers: Any = None


# what `fit` gives
Extract = Callable[[Any], Extracted]


@dataclasses.dataclass(frozen=True)
class Pixels:
    """The pixels themselves, in [0, 1]."""

    @property
    def name(self) -> str:
        return "pixels"

    def size(self, shape: tuple[int, ...]) -> int:
        """The number of features of images of `shape`."""
        return math.prod(shape)  # H W C

    def fit(
        self, train: Any, folder: str | Path | None = None, layout: Layout = Jit()
    ) -> Extract:
        """images [N, ...] -> features [N, H * W * C]."""
        return lambda images: Extracted(rows(images))


@dataclasses.dataclass(frozen=True)
class Components:
    """Whitened principal components of the training images: every direction that varies in real data counts alike."""

    k: int = field(64, "components")

    @property
    def name(self) -> str:
        return f"pca{self.k}"

    def size(self, shape: tuple[int, ...]) -> int:
        """The number of features of images of `shape`, at most."""
        return min(self.k, math.prod(shape))

    def fit(
        self, train: Any, folder: str | Path | None = None, layout: Layout = Jit()
    ) -> Extract:
        """images [N, ...] -> features [N, k], fewer where the data vary in fewer directions; UserError for k < 1."""
        if self.k < 1:
            raise UserError(f"Components(k={self.k}): k must be at least 1.")
        pca = components.principal(train["image"], self.k)
        if not len(pca.variance):
            raise UserError("all training images are the same: there is nothing to compare.")
        deviation = np.sqrt(pca.variance).astype(np.float32)

        def extract(images: Any) -> Extracted:
            parts = []
            for i in range(0, len(images), 1000):  # bytes become floats, a part at a time
                codes = pca.codes(rows(images[i : i + 1000]))
                parts.append(codes / deviation)
            return Extracted(np.concatenate(parts))

        return extract


@dataclasses.dataclass(frozen=True)
class RandomNet:
    """A convolutional net that was never trained: it knows the size of the images and nothing else of the data.

    Levels of convolution 3x3, stride 2, and relu until the maps are at most 4x4, then a linear layer; weights are
    N(0, 2 / fan in), so that numbers stay of order one.
    """

    width: int = field(64, "channels of every level, and features")
    seed: int = field(0, "of the weights")
    batch: int = field(500, "images at a time", execution=True)

    @property
    def name(self) -> str:
        return f"random{suffix(self)}"

    def size(self, shape: tuple[int, ...]) -> int:
        """The number of features of images of `shape`."""
        return self.width

    def fit(
        self, train: Any, folder: str | Path | None = None, layout: Layout = Jit()
    ) -> Extract:
        """images [N, H, W, C] -> features [N, width]; UserError for a width or seed out of range."""
        if self.width < 1 or self.seed < 0:
            raise UserError(
                f"RandomNet(width={self.width}, seed={self.seed}): a width of 1, a seed of 0 or more."
            )
        # all that it learns of the data
        shape = tuple(train["image"].shape[1:])
        weights = random_weights(self.seed, self.width, shape)
        return batched(random_net, weights, shape, layout, self.batch)


def random_weights(seed: int, width: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Kernels [3, 3, C, width] of the levels and the matrix of the last layer, for images of `shape`."""
    # NumPy's Philox, not jax.random, whose numbers may change with its settings: distances must stay comparable
    rng = np.random.Generator(np.random.Philox(seed))
    h, w, channels = shape
    sizes: list[tuple[int, ...]] = []
    while max(h, w) > 4:
        sizes.append((3, 3, channels, width))
        # stride 2 halves a side, rounded up
        h = -(-h // 2)
        w = -(-w // 2)
        channels = width
    sizes.append((h * w * channels, width))
    weights = []
    for size in sizes:
        fan_in = np.prod(size[:-1])
        # He's variance: relu halves what passes (arXiv:1502.01852, eq. 10)
        normal = rng.standard_normal(size) * np.sqrt(2.0 / fan_in)
        weights.append(normal.astype(np.float32))
    return weights


def random_net(weights: list[jax.Array], image: jax.Array) -> Extracted:
    """[B, H, W, C] -> features [B, width]."""
    *kernels, matrix = weights
    axes = ("NHWC", "HWIO", "NHWC")
    x = 2.0 * pixels(image) - 1.0  # [-1, 1]
    for kernel in kernels:
        x = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=axes)
        x = jax.nn.relu(x)
    flat = x.reshape(len(x), -1)  # [B, h w width]
    return Extracted(flat @ matrix)


def pixels(image: jax.Array) -> jax.Array:
    """As `rows`, for use in a compiled function: bytes or floats -> [0, 1], what is beyond is clipped."""
    return jnp.clip(to_float(image), 0.0, 1.0)


def batched(
    fn: Callable,
    params: Any,
    shape: tuple[int, ...] | None,
    layout: Layout = Jit(),
    batch: int = 500,
) -> Extract:
    """images -> Extracted by fn(params, image [B, H, W, C]) -> Extracted, through one program over a layout's devices.

    Every batch has one size, the last one filled up. ValueError for images that are not [N, *shape] with N > 0.
    """
    ways = layout.ways()
    # examples are split among the devices
    batch += -batch % ways  # up to the next multiple

    def exact(params: Any, image: jax.Array) -> Extracted:
        with jax.default_matmul_precision(
            "highest"
        ):  # accelerators would round to 8 or 10 bits
            return fn(params, image)

    compiled = layout.apply(exact)
    placed = layout.put(params, None)  # once, not with every batch

    def extract(images: Any) -> Extracted:
        fits = shape in (None, tuple(images.shape[1:]))
        if not len(images) or not fits:
            raise ValueError(
                f"features are of images [N, {shape}], N at least 1, got {tuple(images.shape)}"
            )
        # on one device every process computes all of it; on several each brings its part
        process = (jax.process_index(), jax.process_count()) if ways > 1 else (0, 1)
        parts = []
        for host, valid in eval_batches({"image": images}, batch, process):
            out = compiled(placed, layout.put(host["image"]))
            parts.append(jax.tree.map(lambda x: np.asarray(x)[:valid], out))  # noqa: B023  (used at once)
        return jax.tree.map(lambda *x: np.concatenate(x), *parts)

    return extract


def save_arrays(path: Path, tree: Any) -> None:
    """Writes a tree of dicts of arrays as one .npz, whole or not at all; UserError if it cannot be written."""
    arrays = jax.tree.map(np.asarray, tree)
    # .npz knows names, no tree
    flat: dict[str, Any] = traverse_util.flatten_dict(arrays, sep="/")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # a file, for numpy would add .npz to a name
        with whole(path) as work, work.open("wb") as file:
            np.savez(file, **flat)
    except OSError as error:
        raise UserError(
            f"cannot write {path} ({error.strerror or error}): free space or mend the folder."
        ) from error


def load_arrays(path: Path, like: Any) -> Any:
    """What `save_arrays` wrote, of the tree, shapes and types of `like`; else one of `STRANGE`, ValueError mostly."""
    wanted = traverse_util.flatten_dict(like, sep="/")
    # a pickle could run code
    with np.load(path, allow_pickle=False) as file:
        odd = sorted(set(file.files) ^ set(wanted))  # in one of them alone
        if odd:
            raise ValueError(f"{len(odd)} arrays are missing or too many, {odd[0]} for one")
        # a member that is no .npy comes as bytes
        flat = {name: np.asarray(file[name]) for name in wanted}
    for name, array in flat.items():
        like = wanted[name]
        same_shape = array.shape == tuple(like.shape)
        if not same_shape or array.dtype != like.dtype:
            raise ValueError(
                f"{name} is {array.dtype}{array.shape}, not {like.dtype}{like.shape}"
            )
    return traverse_util.unflatten_dict(flat, sep="/")


def trained_once(path: Path | None, like: Any, what: str, train: Callable[[], Any]) -> Any:
    """The trees of arrays in a file, as `load_arrays`; where there are none, what `train()` gives, which is kept there.

    what: the net, as the warning about a damaged file calls it. No path: nothing is read, nothing kept.
    """
    if path is not None and path.exists():
        try:
            return load_arrays(path, like)
        except STRANGE as error:
            told = f"warning: {path} cannot be read ({error}): {what} trained again"
            print(told, file=sys.stderr, flush=True)
    found = train()
    # all processes train the same; one of them writes
    if path is not None and jax.process_index() == 0:
        save_arrays(path, found)
    return found
