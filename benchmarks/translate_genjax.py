"""Our side of the translators: the configs of their experiments, the worker of the table, the check beside PyTorch."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import side_genjax
from benchmarks.side_genjax import Tree
from benchmarks.tasks import SAMPLES
from benchmarks.tasks import translate as tasks
from benchmarks.tasks.translate import CHANNELS, CHECK_LR, CHECK_POOL, DOMAINS, KINDS
from experiments import cyclegan, munit, pix2pix
from genjax.config import edit, field
from genjax.core import Spec, State, example_normal
from genjax.data import Source, train_batches
from genjax.data.source import spec_of
from genjax.fields import Image
from genjax.optim import Adam
from genjax.translate import cycle, unpaired
from genjax.translate import munit as styles
from genjax.translate import pix2pix as pairs

BASES = {
    "pix2pix": pix2pix.EXPERIMENTS["base"],
    "cyclegan": cyclegan.EXPERIMENTS["base"],
    "munit": munit.EXPERIMENTS["base"],
}
NOISE = 0.03  # added to all weights before the check: layers that start at zero would hide what is before them

Draws = tuple[jax.Array, jax.Array]
Outputs = dict[str, jax.Array]
# axes that run over (pixels, channels) here and over (channels, pixels) there: where, which, how many pixels
Folds = Sequence[tuple[str, int, int]]


# --- the data and the configs -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Two sets of pictures from a .npy file, uint8 [2, N, H, W, C]: in pairs, or two domains."""

    path: str = field("", "the file; the parent wrote it for both sides")
    paired: bool = field(False, "pictures of equal number belong together")

    def load(self) -> Source:
        first, second = np.load(self.path)
        shape = first.shape[1:]
        fields: Any = {"image": Image(shape)}
        if self.paired:
            # what is modelled comes first
            fields["input"] = Image(shape)
            train: Any = {"image": second, "input": first}
        else:
            a, b = DOMAINS
            train = {a: {"image": first}, b: {"image": second}}
        # nothing is held out
        none = jax.tree.map(lambda x: x[:0], train)
        return Source("pictures", fields, train=train, valid=none, test=none)


def data(name: str, path: str) -> Pictures:
    """The pictures as a system takes them."""
    return Pictures(path, name == "pix2pix")


def model(name: str) -> Any:
    """The config of the experiment, both players with Adam at one rate: its own but for warm-up and decay."""
    cfg = BASES[name].algorithm
    players = {}
    for player in ("optimiser", "disc_optimiser"):
        tx = getattr(cfg, player)
        # whatever else it has, PyTorch's side knows these alone
        own = numbers(tasks.Adam, tx)
        known = own._asdict()
        players[player] = Adam(**known)
    return edit(cfg, players)


def checked(cfg: Any) -> Any:
    """The same for the check: slow, and with a pool that swaps at once."""
    changes: dict[str, Any] = {
        "optimiser.lr": CHECK_LR,
        "disc_optimiser.lr": CHECK_LR,
    }
    # others have none
    if getattr(cfg, "pool", 0):
        changes["pool"] = CHECK_POOL
    return edit(cfg, changes)


def numbers(kind: Any, cfg: Any) -> Any:
    """The numbers of a part of a config that PyTorch's side has to know."""
    known = {name: getattr(cfg, name) for name in kind._fields}
    return kind(**known)


def sizes(name: str, cfg: Any) -> tasks.System:
    """The numbers of a config that PyTorch's side has to know."""
    kind, parts = KINDS[name]
    base = BASES[name]
    # these are the run's and the data's
    known = {"batch": base.batch, "channels": CHANNELS[name]}
    for own in kind._fields:
        if own in known:
            continue
        value = getattr(cfg, own)
        part = parts.get(own)
        known[own] = numbers(part, value) if part else value
    return kind(**known)


# --- what a step draws, and what its nets say -------------------------------------------------------------------------
# as the algorithms draw it; if they change, the two sides disagree


def pair_draws(cfg: Any, key: jax.Array, batch: dict) -> Draws:
    """z of both players' turns, [B, latent] each."""
    drawn = []
    for player in jax.random.split(key):
        of_gen, _ = jax.random.split(player)
        drawn.append(told(cfg, of_gen, batch["index"]))
    of_disc, of_gen = drawn
    return of_disc, of_gen


def told(cfg: Any, key: jax.Array, index: jax.Array) -> jax.Array:
    """z [B, latent] as pix2pix's generator is told it."""
    at, _ = jax.random.split(key)  # the other one is dropout's
    return example_normal(at, index, (cfg.latent,))


def cycle_draws(cfg: Any, key: jax.Array, batch: dict) -> Draws:
    """Whether a picture of the pool is shown, and which: [2, B] each, of the second domain first."""
    # the others are of makers and penalties
    _, _, coins = jax.random.split(key, 3)
    examples = len(batch["index"])

    def of_picture(own: jax.Array) -> Draws:
        coin, which = jax.random.split(own)
        place = jax.random.randint(which, (), 0, cfg.pool)
        return jax.random.bernoulli(coin), place

    def of_domain(own: jax.Array) -> Draws:
        keys = fold_all(own, examples)
        return jax.vmap(of_picture)(keys)

    domains = fold_all(coins, len(DOMAINS))
    return jax.vmap(of_domain)(domains)


def fold_all(key: jax.Array, n: int) -> jax.Array:
    """Keys of n places, [n]."""
    places = np.arange(n)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, places)


def style_draws(cfg: Any, key: jax.Array, batch: dict) -> Draws:
    """The styles of both ways, [B, style] each."""
    at, *_ = jax.random.split(key, 3)
    # a way is known by where it starts
    there, back = fold_all(at, 2)
    a, b = (batch[name]["index"] for name in DOMAINS)
    one = styles.drawn_styles(there, a, cfg)
    two = styles.drawn_styles(back, b, cfg)
    return one, two


def pair_outputs(cfg: Any, spec: Spec, params: Tree, key: jax.Array, given: dict) -> Outputs:
    """Of generator and discriminator."""
    beside = pairs.shown(given, cfg, spec)
    y = spec.encode(given)
    made = pairs.generate(params["gen"], key, given, cfg, spec)
    scores = pairs.discriminate(params["disc"], y, beside, cfg)
    return {"generator": made, "discriminator": scores}


def cycle_outputs(cfg: Any, spec: Spec, params: Tree, key: jax.Array, given: dict) -> Outputs:
    """Of the second domain's generator and critic."""
    x, y = (spec.encode(given[name]) for name in DOMAINS)
    made = cycle.translate(cfg, params["gen"]["b"], x)
    scores = unpaired.scores(cfg, params["disc"]["b"], y)
    return {"generator": made, "critic": scores}


def style_outputs(cfg: Any, spec: Spec, params: Tree, key: jax.Array, given: dict) -> Outputs:
    """Of the first domain's encoders, of its decoder with the picture's own codes, and of the second's critic."""
    x, y = (spec.encode(given[name]) for name in DOMAINS)
    own = params["gen"]["a"]
    content = styles.content_of(cfg, own, x)
    style = styles.style_of(cfg, own, x)
    made = styles.decoded(cfg, own, content, style, spec)
    scores = unpaired.scores(cfg, params["disc"]["b"], y)
    return {"content": content, "style": style, "decoder": made, "critic": scores}


def no_draw(cfg: Any, key: jax.Array, index: jax.Array) -> np.ndarray:
    """Of a system with one answer."""
    # something is saved for each
    return np.zeros(0, np.float32)


def drawn_style(cfg: Any, key: jax.Array, index: jax.Array) -> jax.Array:
    """The styles of samples."""
    return styles.drawn_styles(key, index, cfg)


# --- our parameters as PyTorch has them -------------------------------------------------------------------------------


def unet_folds(cfg: Any) -> Folds:
    """Of the plain U-Net."""
    patch = cfg.gen.patch**2
    return (
        (r"gen/patches/kernel", 2, patch),
        (r"gen/down_\d+/kernel", 2, 4),
        (r"gen/up_\d+/kernel", -1, 4),
        (r"gen/last/kernel", -1, patch),
    )


def translator_folds(net: Any) -> Folds:
    """Of nets that go down like `net`, and up."""
    patch = net.patch**2
    last = len(net.widths) - 1  # which unfolds the patches
    return (
        (r".*/Down_0/Conv_0/kernel", 2, patch),
        (r".*/Down_0/Conv_[1-9]\d*/kernel", 2, 4),
        (rf".*/Up_0/Conv_(?!{last}/)\d+/", -1, 4),
        (rf".*/Up_0/Conv_{last}/", -1, patch),
    )


def cycle_folds(cfg: Any) -> Folds:
    """Of both generators."""
    return translator_folds(cfg.gen)


def style_folds(cfg: Any) -> Folds:
    """Of encoders and decoders, which go down and up alike."""
    return translator_folds(cfg.dec)


NAMES = (
    (r"(down|up)_(\d+)_(\d+)", r"\1.\2.\3"),  # a block of a level
    (r"down_(\d+)/", r"shrink.\1/"),  # between two levels
    (r"up_(\d+)/", r"grow.\1/"),
    (r"(Down|Residuals|Up)_0", r"\1"),
    (r"(Conv|Dense|GroupNorm|layer|norm)_(\d+)", r"\1.\2"),
    ("GroupNorm", "norm"),
    (r"(kernel|scale)$", "weight"),
    ("/", "."),
)
AXES = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}  # of ours, in PyTorch's order


def torch_names(params: Tree, folds: Folds) -> dict[str, np.ndarray]:
    """{"gen.patches.weight": [out, in, 3, 3], …}: our parameters under the names that the PyTorch nets have."""
    out = {}
    for place, p in side_genjax.places(params):
        alike = side_genjax.all_turned(place, p, folds)
        # of a critic alone, where it halves the size
        if p.shape[:2] == (2, 2):
            alike = spread(p)
        theirs = side_genjax.renamed(place, NAMES).lower()
        out[theirs] = alike.transpose(AXES[p.ndim])
    return out


def spread(kernel: np.ndarray) -> np.ndarray:
    """A kernel [2, 2, 4 C, out] on blocks of 2 x 2 as the one of side 4 at every second pixel, [4, 4, C, out]."""
    *_, folded, out = kernel.shape
    channels = folded // 4
    # the block, by row and column, then the pixel in it
    parts = kernel.reshape(2, 2, 2, 2, channels, out)
    # block and pixel of rows, then of columns
    interleaved = parts.transpose(0, 2, 1, 3, 4, 5)
    return interleaved.reshape(4, 4, channels, out)


# --- the check --------------------------------------------------------------------------------------------------------


class System(NamedTuple):
    """What the check has to know of one of the three."""

    draws: Callable[..., Draws]  # (cfg, key, batch): of a step
    sampled: Callable[..., jax.Array]  # (cfg, key, index): of samples
    outputs: Callable[..., Outputs]  # (cfg, spec, params, key, given)
    folds: Callable[[Any], Folds]
    metrics: dict[str, Sequence[str]]  # of both players, under the check's names


# pix2pix's generator has the plain names, of two domains the critics have them
PAIRED = {"loss": ("disc_loss", "loss"), "grad_norm": ("disc_grad_norm", "grad_norm")}
UNPAIRED = {"loss": ("loss", "gen_loss"), "grad_norm": ("grad_norm", "gen_grad_norm")}
SYSTEMS = {
    "pix2pix": System(pair_draws, told, pair_outputs, unet_folds, PAIRED),
    "cyclegan": System(cycle_draws, no_draw, cycle_outputs, cycle_folds, UNPAIRED),
    "munit": System(style_draws, drawn_style, style_outputs, style_folds, UNPAIRED),
}


def perturbed(state: State) -> State:
    """The state with seeded noise on all its weights, the average of the generators, where there is one, with them."""
    params = side_genjax.noisy(state.params, NOISE)
    averaged = {name: params[name] for name in state.ema}
    return state.replace(params=params, ema=averaged)


def shown(batch: dict) -> dict[str, Any]:
    """The pictures of a batch, the given ones first."""
    if "input" in batch:
        return {"first": batch["input"], "second": batch["image"]}
    first, second = (batch[name]["image"] for name in DOMAINS)
    return {"first": first, "second": second}


def rows(source: Source, n: int) -> dict[str, Any]:
    """The first n examples, as `sample` is given them."""
    index = np.arange(n, dtype=np.uint32)
    given = jax.tree.map(lambda x: x[:n], source.train)
    for name in DOMAINS:
        if name in given:
            given[name]["index"] = index
    return {**given, "index": index}


def check(name: str, path: str, out: str, cfg: Any = None) -> None:
    """What the nets say, then steps by the algorithm itself, then samples; prints the metrics and the sizes.

    Saves weights, pictures, draws, outputs and samples for PyTorch. Metrics are of critics and makers in turn. `cfg`:
    that of the experiment, where none is given.
    """
    system = SYSTEMS[name]
    if cfg is None:
        cfg = checked(model(name))
    key = jax.random.key(0)
    source = data(name, path).load()
    spec = spec_of(source)
    algorithm = cfg(spec)
    known = sizes(name, cfg)
    batches = train_batches(source, 0, 0, known.batch)
    first = next(batches)
    state = perturbed(jax.jit(algorithm.init)(key, first))
    saved = torch_names(state.params, system.folds(cfg))
    # what every net says, before the first step
    given = rows(source, SAMPLES)
    say = functools.partial(system.outputs, cfg, spec)
    for net, value in jax.jit(say)(state.params, key, given).items():
        saved[f"out {net}"] = np.asarray(value)
    step, flops = side_genjax.ahead(algorithm.step, key, state, first)

    def draws(key: jax.Array, batch: dict) -> dict[str, Any]:
        one, two = system.draws(cfg, key, batch)
        return {**shown(batch), "one": one, "two": two}

    every = itertools.chain([first], batches)
    state, drawn, found = side_genjax.checked_steps(
        step,
        key,
        state,
        every,
        draws,
        system.metrics,
    )
    # of the average, where there is one
    samples = jax.jit(algorithm.sample)(key, state, given)
    for place, images in shown(given).items():
        saved[f"given {place}"] = images
    saved["told"] = system.sampled(cfg, key, given["index"])
    np.savez(out, **saved, **drawn, samples=samples)
    more = {"flops": flops, "sizes": known._asdict()}
    print(json.dumps(found | more))


# --- the workers ------------------------------------------------------------------------------------------------------


def work(job: str, name: str, path: str) -> None:
    """Blocks of steps."""
    batch = BASES[name].batch
    pictures = data(name, path)
    with side_genjax.started(pictures, model(name), batch, name) as (run, _):
        # before the first block, in the same process
        fastest = side_genjax.peak()
        side_genjax.step(run, peak=fastest)


def tell(name: str) -> None:
    """Prints the sizes of the experiment."""
    known = sizes(name, model(name))
    print(tasks.words(known))


def main(what: str, *args: str) -> None:
    {"check": check, "ours": work, "sizes": tell}[what](*args)


if __name__ == "__main__":
    main(*sys.argv[1:])
