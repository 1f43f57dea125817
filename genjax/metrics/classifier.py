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
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.config import digest, field, suffix
from genjax.data.batches import indices, take
from genjax.errors import UserError
from genjax.machine.parallel import Jit, Layout
from genjax.metrics.features import (
    Extract,
    Extracted,
    batched,
    pixels,
    trained_once,
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
        sides = image.shape[1:3]
        halvings = math.floor(math.log2(max(sides) / 14))
        patch = 2 ** max(0, halvings)  # small images are not folded at all
        # every level halves the sides, which must come out even: black is added at the end
        unit = patch * 2 ** (len(self.widths) - 1)
        border = [(0, -n % unit) for n in sides]  # (before, after) of H and W
        x = 2.0 * image - 1.0  # [-1, 1], so that black is the padding's value
        widths = [(0, 0), *border, (0, 0)]
        x = jnp.pad(x, widths, constant_values=-1.0)
        x = space_to_depth(x, patch)  # [B, h, w, patch² C]
        for level, width in enumerate(self.widths):
            if level:
                # a 2x2 convolution of stride 2 as a product: on CPU faster than a convolution with strides
                x = space_to_depth(x, 2)
                x = nn.Conv(width, (1, 1), use_bias=False)(x)
            else:
                x = conv(width)(x)
            x = nn.relu(norm()(x))
            x = conv(width)(x)
            x = nn.relu(norm()(x))
        flat = x.reshape(len(x), -1)  # [B, h w width]
        x = nn.Dense(self.features, use_bias=False)(flat)
        features = nn.relu(norm()(x))
        logits = nn.Dense(self.classes)(features)
        return Extracted(features, logits)


@dataclasses.dataclass(frozen=True)
class Convolutional:
    """A small convolutional net trained on the training split: 92.9 % of Fashion-MNIST's test split, 99 % of digits'.

    Five minutes of one core for Fashion-MNIST, 15 s for digits.
    """

    # whose classes the logits are: of the training set, numbered as its labels, so that samples can be read by them
    classes: ClassVar[str] = "data"

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
        return f"classifier{suffix(self)}"

    def size(self, shape: tuple[int, ...]) -> int:
        """The number of features of images of `shape`."""
        return self.features

    def fit(
        self, train: Any, folder: str | Path | None = None, layout: Layout = Jit()
    ) -> Extract:
        """images [N, H, W, C] -> features [N, 64] and logits [N, K], trained on one device unless `folder` has it.

        The label of a class is its number in the logits. UserError for data without labels.
        """
        labels = np.asarray(train["label"])  # [N]
        shape = tuple(train["image"].shape[1:])
        self._check(labels, shape)
        classes = int(labels.max()) + 1  # a number between that no example has is a class too
        net = ConvNet(self.widths, self.features, classes)
        # trained once for a data set, whichever run asks first
        path = self._path(train, folder)
        like = _like(net, shape)
        variables = trained_once(
            path, like, "the classifier is", lambda: _train(self, net, train)
        )
        apply = functools.partial(_apply, net)
        return batched(apply, variables, shape, layout, self.extract_batch)

    def _path(self, train: Any, folder: str | Path | None) -> Path | None:
        """The file of the trained net: other settings or other data have another name. None without a folder."""
        if not folder:
            return None
        data = fingerprint(train)
        name = f"classifier-{digest(self)}-{data}-v{VERSION}.npz"
        return Path(folder) / name

    def _check(self, labels: np.ndarray, shape: tuple[int, ...]) -> None:
        """UserError for settings or data that no classifier can be trained with."""
        for name in ("steps", "epochs", "batch", "features"):
            value = getattr(self, name)
            if value < 1:
                raise UserError(f"Convolutional({name}={value}): {name} must be at least 1.")
        # later these would be shapes that Flax complains of
        if not self.widths or min(self.widths) < 1:
            raise UserError(
                f"Convolutional(widths={self.widths}): at least one width, each at least 1."
            )
        images = len(shape) == 3
        labelled = len(labels) > 0 and labels.min() >= 0 and labels.max() >= 1
        if not images or not labelled:
            raise UserError(
                f"the features of a classifier need images [H, W, C] with labels of two classes or more, got {shape} "
                "and one class: use Components() or RandomNet()."
            )


def accuracy(extract: Extract, split: Any) -> float:
    """The share of a split whose largest logit is its label's; ValueError for features without logits."""
    logits = extract(split["image"]).logits
    if logits is None:
        raise ValueError("these features come from no classifier: they have no logits")
    read = np.argmax(logits, 1)  # [N]
    right = read == np.asarray(split["label"])
    return float(np.mean(right))


def fingerprint(train: Any) -> str:
    """16 hex digits of all bytes of a split's images and labels; about 1 GB a second."""
    # a fingerprint and no signature: it has to be fast
    found = hashlib.blake2b(digest_size=8)
    for name in ("image", "label"):
        array = train[name]
        # the same bytes of another type or shape are other data
        about = f"{name} {array.dtype} {tuple(array.shape)}"
        found.update(about.encode())
        for i in range(0, len(array), 4096):  # bounded memory for a mapped file
            part = np.ascontiguousarray(array[i : i + 4096])
            found.update(part.data)
    return found.hexdigest()


def _like(net: ConvNet, shape: tuple[int, ...]) -> Any:
    """Shapes and types of the net's variables for images of `shape`."""
    # eval_shape: nothing is computed
    image = jnp.zeros((1, *shape))
    return jax.eval_shape(net.init, jax.random.key(0), image)


def _apply(net: ConvNet, variables: Any, image: jax.Array) -> Extracted:
    found: Any = net.apply(variables, pixels(image))
    return found


def _train(cfg: Convolutional, net: ConvNet, train: Any) -> Any:
    """The variables of the trained net: a function of cfg and the data alone."""
    start = time.monotonic()
    n = len(train["image"])  # all of the split: nothing is held out
    # the steps that one gets, told before they are taken
    batch = min(cfg.batch, n)
    epoch = n // batch  # steps
    steps = min(cfg.steps, cfg.epochs * epoch)
    print(
        f"training a classifier on {n} images, {steps} steps of {batch}",
        file=sys.stderr,
        flush=True,
    )
    init, step = _steps(cfg, net, steps)
    key = jax.random.key(cfg.seed)
    _, *shape = train["image"].shape
    state = init(key, jnp.zeros((1, *shape)))
    # no scan: on CPU the gradients of convolutions are slow in one (jax#12868)
    for i in range(steps):
        rows = take(train, indices(cfg.seed, i, n, batch))
        step_key = jax.random.fold_in(key, i)
        state = step(state, step_key, rows["image"], rows["label"])
    variables, _ = state
    variables = jax.device_get(variables)
    seconds = time.monotonic() - start
    print(f"classifier trained in {seconds:.0f} s", file=sys.stderr, flush=True)
    return variables


def _steps(cfg: Convolutional, net: ConvNet, steps: int):
    """`init(key, image)` and `step(state, key, image, label)` of the training; state = (variables, optimiser's)."""
    tx = cfg.optimiser(steps)  # warmup and decay over what is really trained

    @jax.jit
    def init(key: jax.Array, image: jax.Array):
        variables = net.init(key, image)
        return variables, tx.init(variables["params"])

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: Any, key: jax.Array, image: jax.Array, label: jax.Array):
        variables, opt = state
        x = augment(key, pixels(image), cfg.shift, cfg.flips)
        one_hot = jax.nn.one_hot(label, net.classes)
        target = optax.smooth_labels(one_hot, cfg.smoothing)  # [B, K], q

        def loss(params):
            given = {**variables, "params": params}
            # batch norm's averages change in the forward pass: they come out beside the loss
            out, new = net.apply(given, x, True, mutable=["batch_stats"])
            entropy = optax.softmax_cross_entropy(out.logits, target)  # [B]
            return entropy.mean(), new

        params = variables["params"]
        grads, new = jax.grad(loss, has_aux=True)(params)
        # params too: AdamW's decay is of them
        updates, opt = tx.update(grads, opt, params)
        params = optax.apply_updates(params, updates)
        return {"params": params, **new}, opt

    return init, step


def augment(key: jax.Array, x: jax.Array, share: float, flips: bool) -> jax.Array:
    """x [B, H, W, C], each moved by up to `share` of the side in whole pixels, 0 from beyond, and perhaps mirrored."""
    by_place, by_flip = jax.random.split(key)
    b, h, w, c = x.shape
    up = math.ceil(share * h)  # pixels
    left = math.ceil(share * w)
    # a window of the old size, anywhere in an image that is wider on all sides
    ends = jnp.array([2 * up + 1, 2 * left + 1])
    place = jax.random.randint(by_place, (b, 2), 0, ends)
    border = ((0, 0), (up, up), (left, left), (0, 0))
    wide = jnp.pad(x, border)  # [B, H + 2 up, W + 2 left, C]

    def window(image: jax.Array, corner: jax.Array) -> jax.Array:
        top, first = corner[0], corner[1]
        return jax.lax.dynamic_slice(image, (top, first, 0), (h, w, c))

    x = jax.vmap(window)(wide, place)
    if flips:
        mirrored = x[:, :, ::-1]  # left and right
        chosen = jax.random.bernoulli(by_flip, shape=(b, 1, 1, 1))
        x = jnp.where(chosen, mirrored, x)
    return x
