"""Pictures and captions in one space: which caption of several is a picture's own?

Two nets, one of pictures and one of sentences, trained on the training pairs so that what belongs together lies close
(Radford et al. 2021, arXiv:2103.00020, fig. 3): over a batch

    loss = 1/2 mean_i [ -log softmax_j(s a_i . b_j)_i  - log softmax_j(s a_j . b_i)_i ],   |a| = |b| = 1, s learned,

where a caption that is true of another picture of the batch is left out of its sum: it is no wrong answer. Which are
true is told by attributes, by a number (`same`), or, where nothing else is known, by being the same words or of the
same picture. R-precision (Xu et al. 2018, arXiv:1711.10485, sec. 4) is the share of pictures whose own caption is
nearer than R - 1 wrong ones: each says at least one thing that the own caption says otherwise, see `distractors`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import operator
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.config import digest, field
from genjax.core import size
from genjax.data.batches import eval_batches, indices, take
from genjax.errors import UserError, at_least
from genjax.metrics.classifier import ConvNet, fingerprint
from genjax.metrics.features import pixels, trained_once
from genjax.nets.blocks import check_heads, check_sizes
from genjax.nets.words import Reading, TokenEncoder
from genjax.optim import Adam, CosineDecay

VERSION = (
    2  # of the nets and their training: a new number makes every stored one be trained again
)
FAR = -1e9  # a logit that is as good as none
LOG_SCALE = 2.66  # s = e^2.66 = 1 / 0.07 at the start (arXiv:2103.00020, sec. 2.4)

# (images [N, H, W, C], captions [N, T]) -> unit vectors of both, each [N, D]
Match = Callable[[Any, Any], tuple[np.ndarray, np.ndarray]]


class Pooled(nn.Module):
    """`Reading` of B sentences -> [B, queries width]: what learned queries find among the pieces, each by its content.

    Pooling by attention (Lee et al. 2019, arXiv:1810.00825, sec. 3.2, that layer's attention alone).
    """

    queries: int = field(4, "what is asked of a sentence")
    heads: int = field(4, "attention heads")

    @nn.compact
    def __call__(self, reading: Reading) -> jax.Array:
        b, n, d = reading.pieces.shape
        check_sizes("Pooled", queries=self.queries, heads=self.heads)
        check_heads("Pooled", d, self.heads)
        size = d // self.heads
        start = nn.initializers.normal(1.0)
        asked = self.param("queries", start, (self.queries, self.heads, size))
        q = jnp.broadcast_to(asked, (b, *asked.shape))
        # without places: who is where, the pieces must say themselves
        k, v = (
            nn.Dense(d, use_bias=False, name=name)(reading.pieces).reshape(
                b, n, self.heads, size
            )
            for name in ("k", "v")
        )
        there = reading.there[:, None, None]  # [B, 1, 1, N]: of keys
        found = jax.nn.dot_product_attention(q, k, v, mask=there)
        return found.reshape(b, self.queries * d)


class Pair(nn.Module):
    """(image [B, H, W, C] in [0, 1], one-hot tokens [B, T, V]) -> unit vectors [B, D] of both, and s."""

    widths: tuple[int, ...]
    features: int
    encoder: TokenEncoder

    @nn.compact
    def __call__(
        self, image: jax.Array, tokens: jax.Array, train: bool = False
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        seen = ConvNet(self.widths, self.features, self.features)(image, train).logits
        # a vector of the whole sentence may learn pairs of things by heart
        found = Pooled()(self.encoder(tokens))
        read = nn.Dense(self.features)(found)
        log_scale = self.param("scale", nn.initializers.constant(LOG_SCALE), ())
        return unit(seen), unit(read), jnp.exp(log_scale)


@dataclasses.dataclass(frozen=True)
class Towers:
    """Two small nets that learn which caption belongs to which picture, from the training split."""

    widths: tuple[int, ...] = field((32, 64), "channels of the picture's levels")
    features: int = field(64, "numbers of a vector")
    encoder: TokenEncoder = field(TokenEncoder(), "of the sentences")
    steps: int = field(1500, "training steps")
    batch: int = field(128, "pairs a step")
    optimiser: Adam = field(
        Adam(2e-3, weight_decay=0.02, warmup=100, decay=CosineDecay(), clip=1.0), "optimiser"
    )
    seed: int = field(0, "of the weights and the order of the data")
    choices: int = field(10, "R, captions to choose from: a picture's own, and wrong ones")
    same: str = field(
        "",
        "name of a field of numbers: captions are true of each other's pictures where it is equal; '' = as attributes "
        "say, and of data without these captions of the same words",
        added=True,
    )

    def fit(self, train: Mapping[str, Any], folder: str | Path | None = None) -> Match:
        """The trained nets, from `folder` where it has them; UserError for data without captions, or without `same`."""
        at_least(1, "Towers: ", steps=self.steps, batch=self.batch, features=self.features)
        at_least(2, "Towers: ", choices=self.choices)
        for name in ("image", "caption", self.same or "caption"):
            if name not in train:
                raise UserError(
                    f"Towers: the data have {', '.join(train)} and no field {name!r}: use Captions, DigitPairs or "
                    "SpokenHeads."
                )
        net = Pair(self.widths, self.features, self.encoder)
        path = self._path(train, folder)
        # fresh nets' shapes say whether the file is of these
        like = _like(net, train)
        kept = trained_once(path, like, "the towers are", lambda: _train(self, net, train))
        return _matching(net, kept)

    def _path(self, train: Mapping[str, Any], folder: str | Path | None) -> Path | None:
        """The file of the trained nets; None without a folder."""
        if not folder:
            return None
        words = np.asarray(train["caption"])
        # captions are told apart by the fingerprint of labels: as a picture of one line
        both = {"image": train["image"], "label": words}
        # once a picture's other captions counted as wrong of it: nets of that training are not these
        several = "-several" if "picture" in meanings(train, self.same) else ""
        name = f"towers-{digest(self)}-{fingerprint(both)}{several}-v{VERSION}.npz"
        return Path(folder) / name


def wrong(true: Any, meant: Any, said: Any) -> Any:
    """How many attributes of caption j are wrong of picture i: [N, M].

    true: 0 and 1 [N, A], of the pictures; meant: those of the captions' own pictures [M, A]; said: which of them a
    caption says, 0 and 1 [M, A].
    """
    # |a - b| = a + b - 2 a b of zeros and ones, summed where it is said
    yes = said * meant
    return true @ said.T + yes.sum(1) - 2 * true @ yes.T


def contradictions(meant: Any, said: Any) -> Any:
    """How many attributes two captions both say, each otherwise: [N, N], of `meant` and `said` as in `wrong`."""
    yes = said * meant
    # sum_a said_ia said_ja |a - b|, with |a - b| = a + b - 2 a b of zeros and ones
    return yes @ said.T + said @ yes.T - 2 * yes @ yes.T


def meanings(split: Mapping[str, Any], same: str = "") -> dict[str, np.ndarray]:
    """What tells of a split which of its captions are wrong of which pictures, for `apart`."""
    if same:
        return {"meaning": np.asarray(split[same])}
    if "attributes" in split and "said" in split:
        return {name: np.asarray(split[name]) for name in ("attributes", "said")}
    # of any other words nobody knows whether they are true of the picture: they count as wrong
    found = {"meaning": _numbers(split["caption"])}
    # but for those that were written of the picture itself
    if "image" in split:
        picture = _numbers(split["image"])
        if len(np.unique(picture)) < len(picture):
            found["picture"] = picture
    return found


def _numbers(rows: Any) -> np.ndarray:
    """A number for each row [N, ...], the same for equal ones: int32 [N]."""
    # short marks of the rows' bytes: a split may be large
    keys = [
        hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in np.asarray(rows)
    ]
    _, number = np.unique(keys, return_inverse=True)
    return number.astype(np.int32)


def apart(rows: Mapping[str, Any]) -> Any:
    """Whether caption j is wrong of picture i, bool [N, N], of N rows of `meanings`."""
    if "meaning" in rows:
        # of another meaning, and of another picture where that is known
        others = [rows[name] for name in ("meaning", "picture") if name in rows]
        unlike = [number[:, None] != number[None] for number in others]
        return functools.reduce(operator.and_, unlike)
    true, said = (1.0 * rows[name] for name in ("attributes", "said"))
    # counts are whole numbers: one wrong attribute makes a caption wrong
    return wrong(true, true, said) > 0.5


def false_of(rows: Mapping[str, Any]) -> Any:
    """Whether caption j says something that caption i says otherwise, bool [N, N], of N rows of `meanings`.

    More than `apart`: a picture that was drawn for caption i may have what it does not ask for in any way, so that
    another caption about just that is true of some such pictures.
    """
    if "meaning" in rows:
        return apart(rows)
    true, said = (1.0 * rows[name] for name in ("attributes", "said"))
    return contradictions(true, said) > 0.5


def distractors(test: Mapping[str, Any], towers: Towers, seed: int = 0) -> list[np.ndarray]:
    """The captions, by their rows, that each one's picture is to choose its own among: N arrays of `choices` - 1.

    Only such as are wrong of any picture that its caption is true of: at least one attribute that they say is false by
    what the asked caption says (of data without attributes, captions of another meaning, see `meanings`). Other
    wordings, and captions about other things, are none. All are in its language and no two have the same words, so
    that chance is 1 / (1 + their number). Where there are fewer, all there are.
    """
    words = _numbers(test["caption"])
    # of a set that names none all are of one language
    language = np.asarray(test.get("language", np.zeros(len(words), int)))
    false = np.asarray(false_of(meanings(test, towers.same)))
    # always the same ones for a seed, so that models can be compared
    rng = np.random.default_rng(seed)
    found = []
    # one after the other: which captions are wrong is another matter for each picture
    for i in range(len(words)):
        spoken = language == language[i]
        there = false[i] & spoken & (words != words[i])
        others = np.flatnonzero(there)
        # of equal words the first
        _, first = np.unique(words[others], return_index=True)
        found.append(rng.permutation(others[first])[: towers.choices - 1])
    return found


def precision(
    match: Match, pictures: Any, test: Mapping[str, Any], towers: Towers, seed: int = 0
) -> np.ndarray:
    """Whether each picture's own caption is nearer than all its `distractors`: bool [M], of those that have any."""
    seen, read = match(pictures, test["caption"])
    likeness = seen @ read.T  # [N, N]
    hits = []
    for i, some in enumerate(distractors(test, towers, seed)):
        # with nothing to choose from nothing is shown
        if len(some):
            # nearer, not as near: a net that says the same of everything wins nothing
            nearer = likeness[i, i] > likeness[i, some]
            hits.append(bool(nearer.all()))
    return np.array(hits, bool)


def chance(test: Mapping[str, Any], towers: Towers, seed: int = 0) -> float:
    """What `precision` is of vectors that know nothing: the mean of 1 / R; NaN where no caption is wrong of another."""
    counts = [len(some) for some in distractors(test, towers, seed)]
    # who has nothing to choose from is not asked
    shares = [1.0 / (1 + count) for count in counts if count]
    return float(np.mean(shares)) if shares else float("nan")


def unit(x: jax.Array) -> jax.Array:
    """[B, D], each of length 1."""
    # inside the root, whose slope at 0 has no bound
    length = jnp.sqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-12)
    return x / length


def one_hot(tokens: jax.Array, vocabulary: int = 256) -> jax.Array:
    """[B, T] -> [B, T, vocabulary], zeros of token 0, which fills up."""
    return jax.nn.one_hot(tokens, vocabulary) * (tokens != 0)[..., None]


def contrast(of_captions: jax.Array, of_pictures: jax.Array, against: jax.Array) -> jax.Array:
    """The loss [B] of logits [B, B] of picture i and caption j: of captions for a picture, of pictures for a caption.

    against: whether caption j is wrong of picture i, bool [B, B], as `apart` tells.
    """
    # its own is true of it too, and would be left out with the others that are
    against = against | jnp.eye(len(against), dtype=bool)
    # what is true of another's picture is no wrong answer
    to_captions = jax.nn.log_softmax(jnp.where(against, of_captions, FAR), 1)
    to_pictures = jax.nn.log_softmax(jnp.where(against, of_pictures, FAR), 0)
    return -0.5 * (jnp.diagonal(to_captions) + jnp.diagonal(to_pictures))


def _like(net: Pair, train: Mapping[str, Any]) -> Any:
    """Shapes and types of the nets' variables."""
    image, tokens = _example(train)
    # eval_shape: nothing is computed
    return jax.eval_shape(net.init, jax.random.key(0), image, tokens)


def _example(train: Mapping[str, Any]) -> tuple[jax.Array, jax.Array]:
    _, *shape = train["image"].shape
    return jnp.zeros((1, *shape)), jnp.zeros((1, train["caption"].shape[1], 256))


def _matching(net: Pair, kept: Any) -> Match:
    @jax.jit
    def vectors(image: jax.Array, caption: jax.Array) -> tuple[jax.Array, jax.Array]:
        seen, read, _ = net.apply(kept, pixels(image), one_hot(caption))
        return seen, read

    def match(images: Any, captions: Any) -> tuple[np.ndarray, np.ndarray]:
        parts = []
        rows = {"image": images, "caption": np.asarray(captions)}
        for host, valid in eval_batches(rows, min(200, len(images)), (0, 1)):
            pair = vectors(host["image"], host["caption"])
            # the last batch is filled up to the size of the others
            parts.append([np.asarray(x)[:valid] for x in pair])
        seen, read = zip(*parts, strict=True)
        return np.concatenate(seen), np.concatenate(read)

    return match


def _train(cfg: Towers, net: Pair, train: Mapping[str, Any]) -> Any:
    """The variables of the trained nets: a function of cfg and the data alone."""
    n = size(dict(train))
    batch = min(cfg.batch, n)
    told = f"training towers on {n} pairs, {cfg.steps} steps of {batch}"
    print(told, file=sys.stderr, flush=True)
    # other fields need not travel
    known = {"image": train["image"], "caption": train["caption"]}
    known |= meanings(train, cfg.same)
    init, step = _steps(cfg, net)
    state = init(jax.random.key(cfg.seed), *_example(train))
    # no scan: on CPU the gradients of convolutions are slow in one (jax#12868)
    for i in range(cfg.steps):
        state = step(state, take(known, indices(cfg.seed, i, n, batch)))
    variables, _ = jax.device_get(state)
    return variables


def _steps(cfg: Towers, net: Pair):
    """`init(key, image, tokens)` and `step(state, batch)` of the training; state = (variables, optimiser's)."""
    tx = cfg.optimiser(cfg.steps)

    @jax.jit
    def init(key: jax.Array, image: jax.Array, tokens: jax.Array):
        variables = net.init(key, image, tokens)
        return variables, tx.init(variables["params"])

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: Any, batch: Any):
        variables, opt = state

        def loss(params):
            given = {**variables, "params": params}
            x, words = pixels(batch["image"]), one_hot(batch["caption"])
            # batch norm's averages change in the forward pass: they come out beside the loss
            out, new = net.apply(given, x, words, True, mutable=["batch_stats"])
            seen, read, scale = out
            logits = scale * seen @ read.T
            return contrast(logits, logits, apart(batch)).mean(), new

        grads, new = jax.grad(loss, has_aux=True)(variables["params"])
        updates, opt = tx.update(grads, opt, variables["params"])
        params = optax.apply_updates(variables["params"], updates)
        return {"params": params, **new}, opt

    return init, step
