"""A convolutional classifier of ours, trained on a data set's own training split; its last layer gives features.

It does for small images what Inception does for photographs: features that tell classes apart carry a Fréchet distance
(Heusel et al. 2017, arXiv:1706.08500), logits an inception score (Salimans et al. 2016, arXiv:1606.03498).
Trained by AdamW with a cosine on the smoothed cross-entropy (Szegedy et al. 2016, arXiv:1512.00567, sec. 7),

    -sum_k q_k log p_k,    q_k = (1 - a) [k = label] + a / K,

on images shifted by a few pixels. Batch norm (arXiv:1502.03167) makes the training short; features use its averages.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import sys
import time
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.config import digest, field
from genjax.data.batches import indices, take
from genjax.errors import UserError
from genjax.machine.parallel import Jit, Layout
from genjax.metrics.features import (
    STRANGE,
    Extract,
    Extracted,
    batched,
    load_arrays,
    pixels,
    save_arrays,
)
from genjax.nets.blocks import space_to_depth
from genjax.optim import Adam, CosineDecay

VERSION = 1  # of the net and its training: a new number makes every stored one be trained again


class ConvNet(nn.Module):
    """[B, H, W, C] in [0, 1] -> (features [B, D], logits [B, K]), of any H and W.

    Pixels are folded into channels until about 14 x 14 are left, then each level but the first halves the size.
    """

    widths: tuple[int, ...]
    features: int
    classes: int

    @nn.compact
    def __call__(self, image: jax.Array, train: bool = False) -> Extracted:
        # averages with a short memory: those of a run of 100 steps have forgotten the start
        norm = functools.partial(nn.BatchNorm, use_running_average=not train, momentum=0.95)
        conv = functools.partial(nn.Conv, kernel_size=(3, 3), use_bias=False)
        patch = 2 ** max(0, math.floor(math.log2(max(image.shape[1:3]) / 14)))
        unit = patch * 2 ** (len(self.widths) - 1)
        border = [(0, -n % unit) for n in image.shape[1:3]]
        x = space_to_depth(
            jnp.pad(2.0 * image - 1.0, [(0, 0), *border, (0, 0)], constant_values=-1.0), patch
        )
        for level, width in enumerate(self.widths):
            # a 2x2 convolution of stride 2 as a product: on CPU faster than a convolution with strides
            x = (
                nn.Conv(width, (1, 1), use_bias=False)(space_to_depth(x, 2))
                if level
                else conv(width)(x)
            )
            x = nn.relu(norm()(x))
            x = nn.relu(norm()(conv(width)(x)))
        x = nn.Dense(self.features, use_bias=False)(x.reshape(len(x), -1))
        x = nn.relu(norm()(x))
        return Extracted(x, nn.Dense(self.classes)(x))


@dataclasses.dataclass(frozen=True)
class Convolutional:
    """A small convolutional net trained on the training split: 92.9 % of Fashion-MNIST's test split, 99 % of digits'.

    Five minutes of one core for Fashion-MNIST, 15 s for digits.
    """

    widths: tuple[int, ...] = field(
        (32, 64), "channels of each level, half the size of the one before"
    )
    features: int = field(64, "width of the layer before the classes")
    steps: int = field(4000, "training steps at most")
    epochs: int = field(40, "passes over the data at most")
    batch: int = field(128, "examples a step")
    optimiser: Adam = field(
        Adam(3e-3, weight_decay=0.02, warmup=200, decay=CosineDecay()), "optimiser"
    )
    smoothing: float = field(0.1, "a, share of the label that is spread over all classes")
    shift: float = field(
        0.03, "largest random shift in training, share of the side, rounded up to whole pixels"
    )
    flips: bool = field(False, "mirror half of the images in training: not for digits")
    seed: int = field(0, "of the weights, the order of the data and the shifts")
    extract_batch: int = field(500, "images at a time after training", execution=True)

    @property
    def name(self) -> str:
        return "classifier"

    def size(self, shape: tuple[int, ...]) -> int:
        """The number of features of images of `shape`."""
        return self.features

    def fit(self, train: Any, folder: str | Path | None = None, layout: Layout = Jit()) -> Extract:
        """images [N, H, W, C] -> features [N, 64] and logits [N, K], trained on one device unless `folder` has it.

        The label of a class is its number in the logits. UserError for data without labels.
        """
        labels, shape = np.asarray(train["label"]), tuple(train["image"].shape[1:])
        self._check(labels, shape)
        net = ConvNet(self.widths, self.features, int(labels.max()) + 1)
        path = (
            Path(folder) / f"classifier-{digest(self)}-{fingerprint(train)}-v{VERSION}.npz"
            if folder
            else None
        )
        variables = _stored(path, _like(net, shape))
        if variables is None:
            variables = _train(self, net, train)
            if path is not None and jax.process_index() == 0:
                save_arrays(path, variables)
        return batched(functools.partial(_apply, net), variables, shape, layout, self.extract_batch)

    def _check(self, labels: np.ndarray, shape: tuple[int, ...]) -> None:
        for name in ("steps", "epochs", "batch", "features"):
            if getattr(self, name) < 1:
                raise UserError(
                    f"Convolutional({name}={getattr(self, name)}): {name} must be at least 1."
                )
        if not self.widths or min(self.widths) < 1:
            raise UserError(
                f"Convolutional(widths={self.widths}): at least one width, each at least 1."
            )
        if len(shape) != 3 or not len(labels) or labels.min() < 0 or labels.max() < 1:
            raise UserError(
                f"the features of a classifier need images [H, W, C] with labels of two classes or more, got {shape} "
                "and one class: use Components() or RandomNet()."
            )


def accuracy(extract: Extract, split: Any) -> float:
    """The share of a split whose largest logit is its label's; ValueError for features without logits."""
    logits = extract(split["image"]).logits
    if logits is None:
        raise ValueError("these features come from no classifier: they have no logits")
    return float(np.mean(np.argmax(logits, 1) == np.asarray(split["label"])))


def fingerprint(train: Any) -> str:
    """16 hex digits of all bytes of a split's images and labels; about 1 GB a second."""
    found = hashlib.blake2b(digest_size=8)
    for name in ("image", "label"):
        array = train[name]
        found.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        for i in range(0, len(array), 4096):  # bounded memory for a mapped file
            found.update(np.ascontiguousarray(array[i : i + 4096]).data)
    return found.hexdigest()


def _like(net: ConvNet, shape: tuple[int, ...]) -> Any:
    return jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, *shape)))


def _stored(path: Path | None, like: Any) -> Any:
    """The variables in the file, None where there is none; a damaged one is told and passed over."""
    if path is None or not path.exists():
        return None
    try:
        return load_arrays(path, like)
    except STRANGE as error:
        print(
            f"warning: {path} cannot be read ({error}): the classifier is trained again",
            file=sys.stderr,
            flush=True,
        )
        return None


def _apply(net: ConvNet, variables: Any, image: jax.Array) -> Extracted:
    return net.apply(variables, pixels(image))


def _train(cfg: Convolutional, net: ConvNet, train: Any) -> Any:
    """The variables of the trained net: a function of cfg and the data alone."""
    n, start = len(train["image"]), time.monotonic()
    batch = min(cfg.batch, n)
    steps = min(cfg.steps, cfg.epochs * (n // batch))
    print(
        f"training a classifier on {n} images, {steps} steps of {batch}",
        file=sys.stderr,
        flush=True,
    )
    init, step = _steps(cfg, net, steps)
    key = jax.random.key(cfg.seed)
    state = init(key, jnp.zeros((1, *train["image"].shape[1:])))
    for i in range(
        steps
    ):  # no scan: on CPU the gradients of convolutions are slow in one (jax#12868)
        rows = take(train, indices(cfg.seed, i, n, batch))
        state = step(state, jax.random.fold_in(key, i), rows["image"], rows["label"])
    variables = jax.device_get(state[0])
    print(f"classifier trained in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return variables


def _steps(cfg: Convolutional, net: ConvNet, steps: int):
    """`init(key, image)` and `step(state, key, image, label)` of the training; state = (variables, optimiser's)."""
    tx = cfg.optimiser(steps)

    @jax.jit
    def init(key: jax.Array, image: jax.Array):
        variables = net.init(key, image)
        return variables, tx.init(variables["params"])

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: Any, key: jax.Array, image: jax.Array, label: jax.Array):
        variables, opt = state
        x = augment(key, pixels(image), cfg.shift, cfg.flips)
        target = optax.smooth_labels(jax.nn.one_hot(label, net.classes), cfg.smoothing)

        def loss(params):
            out, new = net.apply({**variables, "params": params}, x, True, mutable=["batch_stats"])
            return optax.softmax_cross_entropy(out.logits, target).mean(), new

        grads, new = jax.grad(loss, has_aux=True)(variables["params"])
        updates, opt = tx.update(grads, opt, variables["params"])
        return {"params": optax.apply_updates(variables["params"], updates), **new}, opt

    return init, step


def augment(key: jax.Array, x: jax.Array, share: float, flips: bool) -> jax.Array:
    """x [B, H, W, C], each moved by up to `share` of the side in whole pixels, 0 from beyond, and perhaps mirrored."""
    by_place, by_flip = jax.random.split(key)
    b, h, w, c = x.shape
    up, left = math.ceil(share * h), math.ceil(share * w)
    place = jax.random.randint(by_place, (b, 2), 0, jnp.array([2 * up + 1, 2 * left + 1]))
    wide = jnp.pad(x, ((0, 0), (up, up), (left, left), (0, 0)))
    x = jax.vmap(lambda x, t: jax.lax.dynamic_slice(x, (t[0], t[1], 0), (h, w, c)))(wide, place)
    if flips:
        x = jnp.where(jax.random.bernoulli(by_flip, shape=(b, 1, 1, 1)), x[:, :, ::-1], x)
    return x
