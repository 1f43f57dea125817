"""Talking heads from a few pictures of somebody (Zakharov et al. 2019, arXiv:1905.08233).

    L(phi, psi, P) = L_CNT + L_ADV + L_MCH                                                                    (eq. 1)
    L_ADV = -D(x^, y, i) + L_FM,    x^ = G(y, P e_i; psi)                                                     (eq. 2)
    D(x, y, i) = V(x, y)' (W_i + w_0) + b                                                                     (eq. 3)
    L_DSC = max(0, 1 + D(x^, y, i)) + max(0, 1 - D(x, y, i))                                                  (eq. 4)
    e_i = mean_k E(x_i(s_k), y_i(s_k); phi)                                                                   (eq. 5)

x is a frame, y the drawing of its landmarks, i a person of the training set, s_k the K frames that are known of them.
L_CNT is the distance from the true frame, L_FM that of the features of D, L_MCH that of e_i from W_i: of somebody new
there is no row W_i, and e stands in its place. That is how `fit` begins with K pictures of somebody: psi' = P e and
w' = w_0 + e become free, and generator and discriminator go on as before, on this person alone (eq. 6).

The content's distance is the absolute error of pixels: no net that was taught on photographs is at hand, a rendered
face has one right picture, and features are compared by L_FM already.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import Algorithm, Batch, Parts, Spec, State, averaged, descend
from genjax.ema import Decay
from genjax.errors import UserError, at_least
from genjax.fields import Category, Film, Image, need
from genjax.gan.games import Game, Hinge
from genjax.nets.talking import Embedder, TalkingDiscriminator, TalkingGenerator
from genjax.optim import Adam, Optimiser
from genjax.translate import paired

# drawings [T, H, W, D] in [0, 1] -> pictures of one person [T, *shape] in [0, 1]
Portraits = Callable[[Any], jax.Array]
# (key, K frames as they are stored, their drawings in [0, 1], whether to fit) -> Portraits
Portrayer = Callable[[jax.Array, Any, Any, bool], Portraits]

# b1 = 0.5: in a game old gradients are of an opponent that is no more
TX = Adam(5e-4, b1=0.5, warmup=100)
# a fitting is shorter than that warmup, so it has none
FIT = Adam(2e-4, b1=0.5)


@dataclasses.dataclass(frozen=True)
class Fitting:
    """How a person is fitted to K pictures."""

    steps: int = field(40, "steps of both players", execution=True)
    batch: int = field(8, "pictures of a step, at most K", execution=True)
    optimiser: Optimiser = field(FIT, "of the generator and the style", execution=True)
    disc_optimiser: Optimiser = field(FIT, "of the discriminator and the row", execution=True)


@dataclasses.dataclass(frozen=True)
class TalkingHeads:
    """Config of the algorithm; called with a `Spec` it becomes one. Data come through the view `FewShots`."""

    embed: nn.Module = field(Embedder(), "a frame and its drawing -> a vector: net(x, y)")
    gen: nn.Module = field(
        TalkingGenerator(), "a drawing and a style -> pixels in [-1, 1]: net(y, style, out)"
    )
    disc: nn.Module = field(
        TalkingDiscriminator(), "both -> (a vector, features): net(x, y); not made if play = 0"
    )
    game: Game = field(Hinge(), "what both play for")
    # of the generator's loss
    content: float = field(50.0, "of the mean absolute error in [-1, 1]")
    play: float = field(1.0, "of the game; 0 = the absolute error alone, without a game")
    features: float = field(5.0, "of the mean absolute error of the discriminator's features")
    match: float = field(1.0, "of the mean absolute distance of an embedding from its row")
    optimiser: Optimiser = field(TX, "of embedder, generator and what lies between")
    disc_optimiser: Optimiser = field(TX, "of the discriminator and its rows")
    ema: Decay = field(
        Decay(0.99), "average of the generator's weights that evaluation and samples use"
    )
    fitting: Fitting = field(Fitting(), "to a new person", execution=True)

    def __call__(self, spec: Spec) -> Algorithm:
        return algorithm(self, spec)

    def portrayer(
        self,
        params: dict,
        spec: Spec,
        compiled: Callable,
    ) -> Portrayer:
        """What makes pictures of new people, by trained weights; compiled: `jax.jit`, or as it is."""
        return portrayer(params, self, spec, compiled)


class Judge(NamedTuple):
    """A discriminator with what it knows of the people it is asked about."""

    # theta, the weights of V
    net: Any
    row: jax.Array  # [B, N], W_i + w_0
    bias: jax.Array


def embedded(
    gen: Any,
    shots: jax.Array,
    drawings: jax.Array,
    cfg: TalkingHeads,
) -> jax.Array:
    """e [B, N] of people by K frames [B, K, H, W, C] and their drawings, in [-1, 1] (eq. 5)."""
    # K is read off the frames: in training and at a fitting it may differ
    people, k = shots.shape[:2]

    def flat(frames: jax.Array) -> jax.Array:
        return frames.reshape(people * k, *frames.shape[2:])

    # all frames of all people at once
    each = cfg.embed.apply({"params": gen["embed"]}, flat(shots), flat(drawings))
    # a mean, so that neither K nor the order of frames matters
    return each.reshape(people, k, -1).mean(1)


def known(
    gen: Any,
    batch: Batch,
    cfg: TalkingHeads,
    spec: Spec,
) -> jax.Array:
    """e [B, N] by the shots of a batch."""
    shots = paired.encoded(batch, "shots", spec)
    drawings = paired.encoded(batch, "shot_drawings", spec)
    return embedded(gen, shots, drawings, cfg)


def styled(
    gen: Any,
    e: jax.Array,
) -> jax.Array:
    """P e, the style [B, S] of embeddings [B, N]."""
    # what `start` made as an nn.Dense
    return e @ gen["project"]["kernel"] + gen["project"]["bias"]


def generate(
    net: Any,
    style: jax.Array,
    drawing: jax.Array,
    cfg: TalkingHeads,
    spec: Spec,
) -> jax.Array:
    """x^ [B, *shape] of drawings [B, H, W, D] and styles [B, S], all in [-1, 1]."""
    return cfg.gen.apply({"params": net}, drawing, style, spec.shape)


def translate(
    params: dict,
    given: Batch,
    cfg: TalkingHeads,
    spec: Spec,
) -> jax.Array:
    """The drawings of a batch as pictures of its people, not fitted: [B, *shape] in [0, 1]."""
    gen = params["gen"]
    style = styled(gen, known(gen, given, cfg, spec))
    drawing = paired.encoded(given, "drawing", spec)
    made = generate(gen["gen"], style, drawing, cfg, spec)
    return spec.decode(made)


def judged(
    judge: Judge,
    x: jax.Array,
    drawing: jax.Array,
    cfg: TalkingHeads,
) -> tuple[jax.Array, list[jax.Array]]:
    """(D(x, y, i) [B], the features on the way), eq. 3."""
    # V' row, person by person
    answer, seen = cfg.disc.apply({"params": judge.net}, x, drawing)
    return jnp.sum(answer * judge.row, -1) + judge.bias, seen


def trained_judge(
    disc: Any,
    batch: Batch,
) -> Judge:
    """D of the people of a training batch, with their rows."""
    # W_i + w_0: what is learned of one person, and of all
    row = disc["rows"][batch["person"]] + disc["row"]
    return Judge(disc["net"], row, disc["bias"])


def disc_parts(
    judge: Judge,
    made: jax.Array,
    batch: Batch,
    cfg: TalkingHeads,
    spec: Spec,
) -> Parts:
    """The discriminator's loss (eq. 4) and its parts, each [B]."""
    drawing = paired.encoded(batch, "drawing", spec)
    # D is shown the drawing too, so that a good face in a wrong pose is told
    real, _ = judged(judge, spec.encode(batch), drawing, cfg)
    # it is D's turn
    fake, _ = judged(judge, jax.lax.stop_gradient(made), drawing, cfg)
    return {"loss": cfg.game.disc(real, fake), "real": real, "fake": fake}


def gen_parts(
    judge: Judge | None,
    made: jax.Array,
    batch: Batch,
    cfg: TalkingHeads,
    spec: Spec,
) -> Parts:
    """L_CNT + L_ADV of pictures (eq. 2) and its parts, each [B]; without a judge the content alone."""
    x = spec.encode(batch)
    # L_CNT
    parts = {"absolute": paired.mean(jnp.abs(made - x))}
    loss = cfg.content * parts["absolute"]
    if judge is not None:
        drawing = paired.encoded(batch, "drawing", spec)
        fake, of_made = judged(judge, made, drawing, cfg)
        # eq. 2 needs its features alone; its score is for relativistic games
        real, of_true = judged(judge, x, drawing, cfg)
        # L_FM: layer by layer, each as much
        apart = [paired.mean(jnp.abs(a - b)) for a, b in zip(of_made, of_true, strict=True)]
        parts["game"] = cfg.game.gen(real, fake)
        parts["features"] = sum(apart) / len(apart)
        loss = loss + cfg.play * parts["game"] + cfg.features * parts["features"]
    return {"loss": loss, **parts}


def disc_loss(
    disc: Any,
    batch: Batch,
    gen: Any,
    cfg: TalkingHeads,
    spec: Spec,
) -> tuple[jax.Array, Parts]:
    """`descend`'s form of eq. 4, on training people."""
    # gen is given and not moved here: `descend` differentiates disc alone
    e = known(gen, batch, cfg, spec)
    drawing = paired.encoded(batch, "drawing", spec)
    made = generate(gen["gen"], styled(gen, e), drawing, cfg, spec)
    return _meaned(disc_parts(trained_judge(disc, batch), made, batch, cfg, spec))


def gen_loss(
    gen: Any,
    batch: Batch,
    disc: Any,
    cfg: TalkingHeads,
    spec: Spec,
) -> tuple[jax.Array, Parts]:
    """`descend`'s form of eq. 1, on training people."""
    e = known(gen, batch, cfg, spec)
    drawing = paired.encoded(batch, "drawing", spec)
    made = generate(gen["gen"], styled(gen, e), drawing, cfg, spec)
    # without a game there are no rows, and nothing to match
    if not cfg.play:
        return _meaned(gen_parts(None, made, batch, cfg, spec))
    parts = gen_parts(trained_judge(disc, batch), made, batch, cfg, spec)
    # the row is D's own; what is moved here is the embedder
    rows = disc["rows"][batch["person"]]
    # L_MCH, without which e could not stand in the place of a row later
    parts["match"] = paired.mean(jnp.abs(e - rows))
    parts["loss"] = parts["loss"] + cfg.match * parts["match"]
    return _meaned(parts)


def _meaned(parts: Parts) -> tuple[jax.Array, Parts]:
    # the loss is what is differentiated; all else is only told
    means = {name: jnp.mean(value) for name, value in parts.items()}
    return means.pop("loss"), means


def step(
    key: jax.Array,
    state: State,
    batch: Batch,
    axis: str | None = None,
    *,
    cfg: TalkingHeads,
    spec: Spec,
) -> tuple[State, dict[str, jax.Array]]:
    """The discriminator's step, then that of the embedder and the generator; without a game the latter alone."""
    # nothing is drawn: frames were chosen by the view
    how = {"axis": axis, "microbatches": spec.microbatches}
    # copies: the old state is what the guard falls back on
    params = dict(state.params)
    opt = dict(state.opt)
    metrics = {}
    if cfg.play:
        loss = functools.partial(disc_loss, cfg=cfg, spec=spec)
        tx = cfg.disc_optimiser(spec.steps)
        params["disc"], opt["disc"], played = descend(
            loss, tx, params["disc"], opt["disc"], batch, params["gen"], **how
        )
        # both players have a loss and a gradient norm
        metrics = {f"disc_{name}": value for name, value in played.items()}
    # against D as it is after its step, or None where nobody plays
    loss = functools.partial(gen_loss, cfg=cfg, spec=spec)
    tx = cfg.optimiser(spec.steps)
    params["gen"], opt["gen"], made = descend(
        loss, tx, params["gen"], opt["gen"], batch, params.get("disc"), **how
    )
    # D is not averaged
    average = cfg.ema.update(state.ema, {"gen": params["gen"]}, state.step)
    new = state.replace(step=state.step + 1, params=params, opt=opt, ema=average)
    return new, {**metrics, **made}


def evaluate(
    params: dict,
    batch: Batch,
    cfg: TalkingHeads,
    spec: Spec,
) -> Parts:
    """Of people who were not trained on, not fitted, each [B]: L_CNT + L_ADV with its parts, and PSNR."""
    gen = params["gen"]
    e = known(gen, batch, cfg, spec)
    drawing = paired.encoded(batch, "drawing", spec)
    made = generate(gen["gen"], styled(gen, e), drawing, cfg, spec)
    judge = None
    if cfg.play:
        # they have no row: the embedding is what it would be
        disc = params["disc"]
        judge = Judge(disc["net"], e + disc["row"], disc["bias"])
    parts = gen_parts(judge, made, batch, cfg, spec)
    # of pictures in [0, 1], whatever range nets work in
    near = paired.nearness(spec.decode(made), spec.unit(batch))
    return {**parts, "psnr": near["psnr"]}


# A new person: pure functions of K pictures


def begin(
    params: dict,
    shots: jax.Array,
    drawings: jax.Array,
    cfg: TalkingHeads,
) -> dict[str, Any]:
    """Somebody by K frames [K, H, W, C] and their drawings in [-1, 1], before any step of `fit`.

    {"gen": psi and psi' = P e, "disc": theta, w' = w_0 + e and b}; without a game "gen" alone.
    """
    gen = params["gen"]
    # a batch of one person
    e = embedded(gen, shots[None], drawings[None], cfg)
    # psi' is free from here on: no embedding makes it any more
    found = {"gen": {"gen": gen["gen"], "style": styled(gen, e)[0]}}
    if cfg.play:
        disc = params["disc"]
        # w' of eq. 6: e where W_i would be
        row = disc["row"] + e[0]
        found["disc"] = {"net": disc["net"], "row": row, "bias": disc["bias"]}
    return found


def portray(
    person: dict,
    drawing: jax.Array,
    cfg: TalkingHeads,
    spec: Spec,
) -> jax.Array:
    """Drawings [B, H, W, D] in [-1, 1] as pictures of one person, [B, *shape] in [-1, 1]."""
    gen = person["gen"]
    # one person: one style for all drawings
    style = jnp.broadcast_to(gen["style"], (len(drawing), *gen["style"].shape))
    return generate(gen["gen"], style, drawing, cfg, spec)


def own_judge(
    disc: Any,
    batch: Batch,
) -> Judge:
    """D' of a person, V' w' + b."""
    # all frames are of one person
    row = jnp.broadcast_to(disc["row"], (len(batch["drawing"]), *disc["row"].shape))
    return Judge(disc["net"], row, disc["bias"])


def fit_step(
    person: dict,
    opt: dict,
    batch: Batch,
    cfg: TalkingHeads,
    spec: Spec,
) -> tuple[dict, dict, Parts]:
    """A step of both players on frames of one person (eq. 6); batch: "image" and "drawing", [B, H, W, C] each."""

    def of_disc(disc: Any, batch: Batch, gen: Any) -> tuple[jax.Array, Parts]:
        drawing = paired.encoded(batch, "drawing", spec)
        # by the style that is fitted: frames are not embedded again
        made = portray({"gen": gen}, drawing, cfg, spec)
        return _meaned(disc_parts(own_judge(disc, batch), made, batch, cfg, spec))

    def of_gen(gen: Any, batch: Batch, disc: Any) -> tuple[jax.Array, Parts]:
        drawing = paired.encoded(batch, "drawing", spec)
        made = portray({"gen": gen}, drawing, cfg, spec)
        judge = own_judge(disc, batch) if cfg.play else None
        # eq. 6 has no L_MCH: no embedding is left to match
        return _meaned(gen_parts(judge, made, batch, cfg, spec))

    # copies: who calls keeps what she had
    person, opt = dict(person), dict(opt)
    if cfg.play:
        tx = cfg.fitting.disc_optimiser(cfg.fitting.steps)
        person["disc"], opt["disc"], _ = descend(
            of_disc, tx, person["disc"], opt["disc"], batch, person["gen"]
        )
    tx = cfg.fitting.optimiser(cfg.fitting.steps)
    person["gen"], opt["gen"], metrics = descend(
        of_gen, tx, person["gen"], opt["gen"], batch, person.get("disc")
    )
    return person, opt, metrics


def fit_start(
    person: dict,
    cfg: TalkingHeads,
) -> dict:
    """The optimisers' state before the first step."""
    how = cfg.fitting
    opt = {"gen": how.optimiser(how.steps).init(person["gen"])}
    if cfg.play:
        opt["disc"] = how.disc_optimiser(how.steps).init(person["disc"])
    return opt


def frames_of(
    key: jax.Array,
    k: int,
    how: Fitting,
) -> Iterator[np.ndarray]:
    """The order of K frames at every step of a fitting, int [K], by key: on the host, no part of a compiled step."""
    # the key's own numbers: orders follow from it alone
    seed = np.asarray(jax.random.key_data(key)).ravel().tolist()
    rng = np.random.default_rng(seed)
    for _ in range(how.steps):
        # a permutation, so that no frame comes twice in a step
        yield rng.permutation(k)


def fit(
    key: jax.Array,
    person: dict,
    shots: np.ndarray,
    drawings: np.ndarray,
    cfg: TalkingHeads,
    take: Callable[[dict, dict, Batch], tuple[dict, dict, Parts]],
) -> dict:
    """A person after `cfg.fitting.steps` steps on K frames as they are stored, and their drawings in [0, 1].

    take: `fit_step` with cfg and spec bound, compiled once for all people. Frames of a step are drawn by key and step.
    """
    opt = fit_start(person, cfg)
    # a python loop: gradients of convolutions are slow in a scan on CPU
    for rows in frames_of(key, len(shots), cfg.fitting):
        some = rows[: cfg.fitting.batch]
        # as many at every step: `take` is compiled once for each K
        batch = {"image": shots[some], "drawing": drawings[some]}
        person, opt, _ = take(person, opt, batch)
    return person


def portrayer(
    params: dict,
    cfg: TalkingHeads,
    spec: Spec,
    compiled: Callable,
) -> Portrayer:
    """Makes pictures of new people, with the functions above compiled once for all of them."""
    first = compiled(functools.partial(begin, cfg=cfg))
    take = compiled(functools.partial(fit_step, cfg=cfg, spec=spec))
    draw = compiled(functools.partial(portray, cfg=cfg, spec=spec))

    def known_by(
        key: jax.Array,
        shots: Any,
        drawings: Any,
        fitted: bool,
    ) -> Portraits:
        x = spec.find("shots").encode(shots)
        y = spec.find("drawing").encode(drawings)
        person = first(params, x, y)
        if fitted:
            # frames as they are stored: the losses encode them
            person = fit(key, person, shots, drawings, cfg, take)

        def portraits(asked: Any) -> jax.Array:
            # no chance in it: a drawing has one answer
            made = draw(person, spec.find("drawing").encode(asked))
            return spec.decode(made)

        return portraits

    return known_by


def check(
    cfg: TalkingHeads,
    spec: Spec,
) -> None:
    """Raises UserError for what cannot be trained, before anything is compiled."""
    check_sitting("TalkingHeads", spec)
    need("TalkingHeads", "person", spec.find("person"), Category)
    weights = {"content": cfg.content, "play": cfg.play, "features": cfg.features}
    at_least(0, "--algorithm.", **weights, match=cfg.match)
    # 0 steps leave a person as the embedder saw her
    at_least(0, "--algorithm.fitting.", steps=cfg.fitting.steps)
    at_least(1, "--algorithm.fitting.", batch=cfg.fitting.batch)
    # features and match come with the game alone
    if not cfg.content and not cfg.play:
        raise UserError(
            "--algorithm.content=0 and --algorithm.play=0 leave the generator nothing to learn: set one of them."
        )
    # nets of a user's own may have no such field
    sizes = getattr(cfg.embed, "size", None), getattr(cfg.disc, "size", None)
    if cfg.play and sizes[0] != sizes[1]:
        raise UserError(
            f"--algorithm.embed.size={sizes[0]} and --algorithm.disc.size={sizes[1]} must be the same: an embedding "
            "stands in the place of a row."
        )
    # shapes alone: nets refuse what does not fit before anything is computed
    jax.eval_shape(functools.partial(start, cfg=cfg, spec=spec), jax.random.key(0))


def check_sitting(
    who: str,
    spec: Spec,
) -> None:
    """Raises UserError unless the data come as a person's frames, their drawings, and one frame more."""
    need(who, spec.main, spec.x, Image)
    for name, kind in (("shots", Film), ("shot_drawings", Film), ("drawing", Image)):
        if spec.find(name) is None:
            known = ", ".join(each for each, _ in spec.fields)
            raise UserError(
                f"{who} makes pictures of people of whom some are known, and the data have {known} and no field "
                f"{name!r}: use --data='Sittings()' --view='(FewShots(8),)'."
            )
        need(who, name, spec.find(name), kind)


def start(
    key: jax.Array,
    cfg: TalkingHeads,
    spec: Spec,
) -> dict[str, Any]:
    """The parameters of all nets; nets refuse sizes here."""
    of_embed, of_gen, of_project, of_disc = jax.random.split(key, 4)
    x = jnp.zeros((1, *spec.shape))
    drawing = jnp.zeros((1, *spec.find("drawing").shape))
    embed = cfg.embed.init(of_embed, x, drawing)
    # how long an embedding is the net alone knows
    e = cfg.embed.apply(embed, x, drawing)
    # of its size alone the generator must know
    style = jnp.zeros((1, cfg.gen.styles))
    gen = cfg.gen.init(of_gen, drawing, style, spec.shape)
    project = nn.Dense(cfg.gen.styles).init(of_project, e)
    made = {
        "gen": {
            "embed": embed["params"],
            "gen": gen["params"],
            "project": project["params"],
        }
    }
    if cfg.play:
        # rows begin at nothing: a person is told from the others as D learns to
        made["disc"] = {
            "net": cfg.disc.init(of_disc, x, drawing)["params"],
            "rows": jnp.zeros((spec.find("person").classes, e.shape[-1])),
            # of length 1: at first D is a mean of what V says
            "row": jnp.ones(e.shape[-1]) / e.shape[-1] ** 0.5,
            "bias": jnp.zeros(()),
        }
    return made


def algorithm(
    cfg: TalkingHeads,
    spec: Spec,
) -> Algorithm:
    """Binds the functions above to a config. Raises UserError for a config that cannot be trained on this data."""
    check(cfg, spec)

    def init(
        key: jax.Array,
        batch: Batch,
    ) -> State:
        params = start(key, cfg, spec)
        opt = {"gen": cfg.optimiser(spec.steps).init(params["gen"])}
        if cfg.play:
            opt["disc"] = cfg.disc_optimiser(spec.steps).init(params["disc"])
        average = cfg.ema.init({"gen": params["gen"]})
        return State(jnp.zeros((), jnp.int32), params, opt, average, {})

    def measured(
        key: jax.Array,
        state: State,
        batch: Batch,
    ) -> Parts:
        return evaluate(averaged(state), batch, cfg, spec)

    def sampled(
        key: jax.Array,
        state: State,
        given: Batch,
    ) -> jax.Array:
        # not fitted: samples of a run need no steps of their own
        return translate(averaged(state), given, cfg, spec)

    def drawn(
        samples: Any,
        given: Batch,
    ) -> np.ndarray:
        return paired.picture(samples, given, "drawing", spec)

    whole = functools.partial(step, cfg=cfg, spec=spec)
    # what the view makes shots, drawing and truth of
    asks = ("image", "landmarks")
    return Algorithm(init, whole, measured, sampled, asks=asks, picture=drawn)
