"""Who is in a picture: a net whose embeddings of one person lie close together, whatever the age, pose and light.

It learns to tell the people of a training split apart by a softmax over cosines with a margin,

    L = -log e^{s (cos t_y - m)} / (e^{s (cos t_y - m)} + sum_{j != y} e^{s cos t_j})

(Wang et al. 2018, arXiv:1801.09414, eq. 4): cos t_j is that between the embedding and the weights of person j, s a
scale, and the margin m asks that the right person wins by more than a hair, so that people of whom none was in training
fall apart as well. `csim` is the cosine of two embeddings; `verified` says of held-out people what it is worth.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.config import digest, field
from genjax.core import size
from genjax.data.batches import indices, take
from genjax.errors import UserError, at_least
from genjax.machine.parallel import Jit, Layout
from genjax.metrics.classifier import ConvNet, augment, fingerprint
from genjax.metrics.features import batched, pixels, trained_once
from genjax.metrics.intervals import Interval, by_group
from genjax.metrics.prediction import auroc
from genjax.optim import Adam, CosineDecay

VERSION = 1  # of the net and its training: a new number makes every stored one be trained again
LEAST = 1e-8  # of a length that is divided by

Embed = Callable[[Any], np.ndarray]  # images [N, H, W, C] -> embeddings [N, D] of length 1


class Embedder(nn.Module):
    """[B, H, W, C] in [0, 1] -> embeddings [B, D] of length 1."""

    widths: tuple[int, ...]
    features: int
    embedding: int

    @nn.compact
    def __call__(self, image: jax.Array, train: bool = False) -> jax.Array:
        net = ConvNet(self.widths, self.features, self.embedding)
        out = net(image, train)
        return _unit(out.logits)


@dataclasses.dataclass(frozen=True)
class CosFace:
    """A small convolutional net that learns who is who of the people of a training split."""

    widths: tuple[int, ...] = field(
        (32, 64), "channels of each level, half the size of the one before"
    )
    features: int = field(256, "width of the layer before the embedding")
    embedding: int = field(64, "numbers of an embedding, D")
    scale: float = field(16.0, "s, by which cosines are multiplied")
    margin: float = field(0.2, "m, by which the right person must win")
    steps: int = field(2000, "training steps")
    batch: int = field(128, "examples a step")
    optimiser: Adam = field(
        Adam(3e-3, weight_decay=0.02, warmup=100, decay=CosineDecay()), "optimiser"
    )
    shift: float = field(
        0.03, "largest random shift in training, share of the side, rounded up to whole pixels"
    )
    group: str = field("person", "name of the field that says who is in a picture")
    seed: int = field(0, "of the weights, the order of the data and the shifts")
    extract_batch: int = field(500, "images at a time after training", execution=True)

    def embedding_of(
        self,
        train: Mapping[str, Any],
        folder: str | Path | None = None,
        layout: Layout = Jit(),
    ) -> Embed:
        """The embedding, trained on one device unless `folder` has it; UserError for data without people."""
        known = self.known(train)
        shape = tuple(known["image"].shape[1:])
        net = Embedder(self.widths, self.features, self.embedding)
        path = self._path(known, folder)
        # a fresh net's shapes say whether the file is of this one
        like = _like(net, shape)
        variables = trained_once(
            path, like, "the net of identities is", lambda: _train(self, net, known)
        )
        apply = functools.partial(_apply, net)
        return batched(apply, variables, shape, layout, self.extract_batch)

    def known(self, split: Mapping[str, Any]) -> dict[str, Any]:
        """Pictures, and who is in them numbered from 0 on; UserError where that cannot be learned."""
        at_least(1, "CosFace: ", steps=self.steps, batch=self.batch, embedding=self.embedding)
        at_least(0, "CosFace: ", margin=self.margin)
        for name in ("image", self.group):
            if name not in split:
                raise UserError(
                    f"CosFace: the data have {', '.join(split)} and no field {name!r}: set group to the field that "
                    "says who is in a picture."
                )
        # numbered anew: a split need not have every number, and each costs a row of weights
        people, label, counts = np.unique(
            np.asarray(split[self.group]), return_inverse=True, return_counts=True
        )
        if len(people) < 2:
            raise UserError(
                "CosFace: the data show one person: two are needed to be told apart."
            )
        check_shots(people, counts)
        return {"image": split["image"], "label": label.astype(np.int32)}

    def _path(self, known: Mapping[str, Any], folder: str | Path | None) -> Path | None:
        """The file of the trained net: other settings or other data have another name. None without a folder."""
        if not folder:
            return None
        return Path(folder) / f"identity-{digest(self)}-{fingerprint(known)}-v{VERSION}.npz"


def check_shots(people: np.ndarray, counts: np.ndarray) -> None:
    """UserError for a person with one picture: nothing says what of it is the person."""
    alone = people[counts < 2]
    if len(alone):
        raise UserError(
            f"CosFace: person {alone[0]} has one picture, and {len(alone)} of {len(people)} have: each needs two, "
            "as with --data.shots=2."
        )


def csim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines of embeddings [..., D] of any length, pair by pair: [...] from -1 to 1."""
    a = np.asarray(a, np.float64)
    b = np.asarray(b, np.float64)
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    # an embedding of length 0 is like nobody: a cosine of 0, and no NaN
    return np.sum(a * b, -1) / np.maximum(lengths, LEAST)


class Verified(NamedTuple):
    """What embeddings are worth on people that nobody was trained on; cosines with intervals over people."""

    auroc: float  # of two pictures of one person against two of two people
    eer: float  # the rate of errors where as many are let in as are kept out
    same_age: Interval  # cosine of two pictures of one person within `near` years
    other_age: Interval  # of one person, further apart
    others: Interval  # of two people


def verified(
    embeddings: np.ndarray,
    person: np.ndarray,
    years: np.ndarray,
    near: float = 10.0,
) -> Verified:
    """All pairs of pictures, of embeddings [N, D], persons [N] and years [N]; UserError for data without such pairs."""
    person = np.ravel(person)
    years = np.ravel(years)
    # each pair once, and no picture with itself
    first, second = np.triu_indices(len(person), 1)
    cosine = csim(embeddings[first], embeddings[second])
    same = person[first] == person[second]
    if not same.any() or same.all():
        raise UserError("verification needs people with two pictures, and two people at least.")
    apart = np.abs(years[first] - years[second])
    close = apart <= near
    # a pair of two people counts for the first: groups may not share pairs
    who = person[first]
    ranking = auroc(cosine, same)
    return Verified(
        auroc=ranking.value,
        eer=equal_error_rate(cosine, same),
        same_age=_over(cosine, who, same & close),
        other_age=_over(cosine, who, same & ~close),
        others=_over(cosine, who, ~same),
    )


def _over(values: np.ndarray, who: np.ndarray, which: np.ndarray) -> Interval:
    """The mean of the values at `which`, with an interval over whom they are of, NaN for fewer than two of these."""
    chosen = values[which]
    mean = float(np.mean(chosen)) if len(chosen) else float("nan")
    # people numbered anew from 0: some have no such pairs
    _, of = np.unique(who[which], return_inverse=True)
    count = int(of.max(initial=-1)) + 1
    # the jackknife leaves one group out each time: of one, nothing would be left
    if count < 2:
        return Interval(mean, float("nan"), float("nan"))
    groups = [np.flatnonzero(of == i) for i in range(count)]
    return by_group(lambda rows: float(np.mean(chosen[rows])), groups)


def equal_error_rate(scores: np.ndarray, positive: np.ndarray) -> float:
    """The rate of both errors at the threshold where they are nearest, their mean there; of scores [N], truth [N]."""
    positive = np.asarray(positive, bool)
    order = np.argsort(scores, kind="stable")
    right = positive[order]
    ordered = np.asarray(scores)[order]
    # a threshold lies below all, or above the last of equal scores
    ends = np.append(ordered[1:] > ordered[:-1], True)
    # the 0 in front is the threshold below all: nobody missed, everybody let in
    missed = np.append(0, np.cumsum(right)[ends]) / right.sum()
    passed = np.append(0, np.cumsum(~right)[ends])
    let_in = 1.0 - passed / (~right).sum()
    # of finitely many scores the two rates need not meet
    nearest = np.argmin(np.abs(missed - let_in))
    return float((missed[nearest] + let_in[nearest]) / 2)


def margin_loss(
    cosines: jax.Array,
    label: jax.Array,
    scale: float,
    margin: float,
) -> jax.Array:
    """The module's L of cosines [B, P] between embeddings and the people's weights, of people [B]: [B]."""
    own = jax.nn.one_hot(label, cosines.shape[1])
    # eq. 4: the margin is taken from the right person's cosine alone
    logits = scale * (cosines - margin * own)
    return optax.softmax_cross_entropy(logits, own)


def _unit(x: jax.Array) -> jax.Array:
    """Rows [N, D] divided by their lengths."""
    squares = jnp.sum(x * x, -1, keepdims=True)
    # LEAST inside the root, whose slope at 0 has no bound
    return x * jax.lax.rsqrt(squares + LEAST**2)


def _apply(net: Embedder, variables: Any, image: jax.Array) -> jax.Array:
    found: Any = net.apply(variables, pixels(image))
    return found


def _like(net: Embedder, shape: tuple[int, ...]) -> Any:
    """Shapes and types of the net's variables for images of `shape`."""
    image = jnp.zeros((1, *shape))
    # eval_shape: nothing is computed
    return jax.eval_shape(net.init, jax.random.key(0), image)


def _train(cfg: CosFace, net: Embedder, known: Any) -> Any:
    """The variables of the trained net: a function of cfg and the data alone. The people's weights are not kept."""
    n = size(known)
    batch = min(cfg.batch, n)
    people = int(known["label"].max()) + 1
    told = f"learning who is who of {people} people in {n} images, {cfg.steps} steps of {batch}"
    print(told, file=sys.stderr, flush=True)
    init, step = _steps(cfg, net, people)
    key = jax.random.key(cfg.seed)
    _, *shape = known["image"].shape
    state = init(key, jnp.zeros((1, *shape)))
    # no scan: on CPU the gradients of convolutions are slow in one (jax#12868)
    for i in range(cfg.steps):
        rows = indices(cfg.seed, i, n, batch)
        step_key = jax.random.fold_in(key, i)
        state = step(state, step_key, take(known, rows))
    variables = jax.device_get(state[0])
    return jax.tree.map(lambda x: np.asarray(x, np.float32), variables)


def _steps(cfg: CosFace, net: Embedder, people: int):
    """`init(key, image)` and `step(state, key, batch)`; state = (net's variables, people's weights, optimiser's)."""
    tx = cfg.optimiser(cfg.steps)

    @jax.jit
    def init(key: jax.Array, image: jax.Array):
        of_net, of_people = jax.random.split(key)
        variables = net.init(of_net, image)
        # of any length: the loss divides by it
        centres = jax.random.normal(of_people, (people, cfg.embedding))
        learned = {"net": variables["params"], "people": centres}
        return variables, centres, tx.init(learned)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: Any, key: jax.Array, batch: Any):
        variables, centres, opt = state
        # no flips: a mirrored face is another's
        x = augment(key, pixels(batch["image"]), cfg.shift, False)

        def loss(learned):
            given = {**variables, "params": learned["net"]}
            # batch norm's averages change in the forward pass: they come out beside the loss
            embedding, new = net.apply(given, x, True, mutable=["batch_stats"])
            cosines = embedding @ _unit(learned["people"]).T  # [B, P]
            each = margin_loss(cosines, batch["label"], cfg.scale, cfg.margin)
            return jnp.mean(each), new

        learned = {"net": variables["params"], "people": centres}
        grads, new = jax.grad(loss, has_aux=True)(learned)
        # params too: AdamW's decay is of them
        updates, opt = tx.update(grads, opt, learned)
        learned = optax.apply_updates(learned, updates)
        return {"params": learned["net"], **new}, learned["people"], opt

    return init, step
