"""Talking heads: the equations against numpy, what is learned on a toy, a new person, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import heads
from genjax.config import edit
from genjax.core import Spec, averaged
from genjax.data import FewShots, Sitters
from genjax.diffusion.paths import X
from genjax.ema import Decay
from genjax.errors import UserError
from genjax.fields import Category, Film, Image
from genjax.findings.talking import between, posed
from genjax.metrics.features import Components
from genjax.metrics.identity import CosFace
from genjax.metrics.reader import Reader
from genjax.nets import TimeMLP
from genjax.nets.talking import (
    Embedder,
    TalkingDenoiser,
    TalkingDiscriminator,
    TalkingGenerator,
    divided,
)
from genjax.optim import Adam
from genjax.training.experiment import Every
from genjax.training.loop import run
from genjax.translate import talking
from genjax.translate.pix2pix import Pix2pix
from genjax.translate.talking import Fitting, TalkingHeads
from genjax.translate.talkingflow import TalkingFlow

SIDE, K = 8, 2
PICTURE = Image((SIDE, SIDE, 3))
FILM = Film((K, SIDE, SIDE, 3))
FIELDS = (
    ("image", PICTURE),
    ("person", Category(6)),
    ("drawing", PICTURE),
    ("shots", FILM),
    ("shot_drawings", FILM),
)
SPEC = Spec(FIELDS, 100)
NETS = {
    "embed": Embedder((8,), 2, size=4),
    "gen": TalkingGenerator((4, 8), blocks=1, patch=1),
    "disc": TalkingDiscriminator((8, 8), 1, size=4),
}
TX = Adam(1e-2, b1=0.5)
CFG = TalkingHeads(
    **NETS,
    optimiser=TX,
    disc_optimiser=TX,
    fitting=Fitting(12, 2, Adam(3e-3), Adam(3e-3)),
    ema=Decay(0.0),
)


def people(numbers) -> dict:
    """People of one colour each; a drawing is a bright column, where a picture of them is dark."""
    colours = np.random.default_rng(0).uniform(0.4, 1.0, (6, 3))
    batch = {name: [] for name, _ in FIELDS}
    for number in numbers:
        frames, drawings = [], []
        for column in range(K + 1):
            drawn = np.zeros((SIDE, SIDE, 3), np.float32)
            drawn[:, 2 * column] = 1.0
            frames.append(colours[number] * (1.0 - 0.7 * drawn))
            drawings.append(drawn)
        batch["image"].append(frames[-1])
        batch["drawing"].append(drawings[-1])
        batch["shots"].append(frames[:-1])
        batch["shot_drawings"].append(drawings[:-1])
        batch["person"].append(number)
    found = {name: np.array(rows, np.float32) for name, rows in batch.items()}
    found["person"] = found["person"].astype(np.int32)
    return {**found, "index": np.arange(len(numbers), dtype=np.uint32)}


@pytest.fixture(scope="module")
def trained():
    algorithm = CFG(SPEC)
    batch = people(range(5))
    first = jax.jit(algorithm.init)(jax.random.key(0), batch)
    step = jax.jit(algorithm.step)
    state, history = first, []
    for i in range(40):
        state, metrics = step(jax.random.key(i), state, batch)
        history.append({name: float(value) for name, value in metrics.items()})
    return algorithm, first, state, history


def test_a_discriminator_weighs_what_it_sees_by_the_row_of_the_person(trained):
    """Eq. 3 and 4 in numpy."""
    *_, state, _ = trained
    disc, batch = state.params["disc"], people([1, 4])
    x, y = 2 * batch["image"] - 1, 2 * batch["drawing"] - 1
    answer, seen = CFG.disc.apply({"params": disc["net"]}, x, y)
    row = np.asarray(disc["rows"])[[1, 4]] + np.asarray(disc["row"])
    wanted = np.einsum("bn,bn->b", np.asarray(answer), row) + float(disc["bias"])
    judge = talking.trained_judge(disc, batch)
    parts = talking.disc_parts(judge, jnp.asarray(x), batch, CFG, SPEC)
    np.testing.assert_allclose(parts["real"], wanted, rtol=1e-5)
    # the true picture as if it were made: both terms of the hinge are of one number
    hinge = np.maximum(0, 1 + wanted) + np.maximum(0, 1 - wanted)
    np.testing.assert_allclose(parts["loss"], hinge, rtol=1e-5)
    of_gen = talking.gen_parts(judge, jnp.asarray(x), batch, CFG, SPEC)
    # nothing is missed: what is left is -D
    np.testing.assert_allclose(of_gen["loss"], -wanted, rtol=1e-5)
    assert [maps.shape[1] for maps in seen] == [8, 4]


def test_an_embedding_is_the_mean_over_frames_in_any_order(trained):
    """Eq. 5."""
    *_, state, _ = trained
    gen, batch = state.params["gen"], people([0, 3])
    e = talking.known(gen, batch, CFG, SPEC)
    each = []
    for k in range(K):
        frame = 2 * batch["shots"][:, k] - 1
        drawing = 2 * batch["shot_drawings"][:, k] - 1
        each.append(CFG.embed.apply({"params": gen["embed"]}, frame, drawing))
    np.testing.assert_allclose(e, np.mean(each, 0), atol=1e-5)
    turned = {name: batch[name][:, ::-1] for name in ("shots", "shot_drawings")}
    again = talking.known(gen, {**batch, **turned}, CFG, SPEC)
    np.testing.assert_allclose(e, again, atol=1e-5)


def test_rows_are_of_those_who_were_seen_and_all_parts_learn(trained):
    algorithm, first, state, history = trained
    assert history[-1]["absolute"] < 0.5 * history[0]["absolute"]
    moved = np.abs(np.asarray(state.params["disc"]["rows"])).sum(1)
    assert (moved[:5] > 0).all() and moved[5] == 0  # nobody has seen the sixth
    changed = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), first.params, state.params)
    for net in ("embed", "gen", "project"):
        assert max(jax.tree.leaves(changed["gen"][net])) > 1e-4, net
    values = jax.jit(algorithm.evaluate)(jax.random.key(0), state, people([5]))
    assert {"loss", "absolute", "game", "features", "psnr"} == set(values)
    assert all(value.shape == (1,) for value in values.values())
    sample = jax.jit(algorithm.sample)
    made = sample(jax.random.key(0), state, people([0, 5]))
    assert made.shape == (2, SIDE, SIDE, 3) and made.min() >= 0 and made.max() <= 1
    # what is made of a drawing depends on who is shown
    given = people([0, 1])
    swapped = {**given, "shots": given["shots"][::-1]}
    other = sample(jax.random.key(0), state, swapped)
    assert np.abs(other - sample(jax.random.key(0), state, given)).mean() > 0.01


def test_a_new_person_begins_at_the_embedding_and_fitting_brings_her_nearer(trained):
    algorithm, _, state, _ = trained
    batch = people([5])
    shots, drawings = batch["shots"][0], batch["shot_drawings"][0]
    person = talking.begin(state.params, 2 * shots - 1, 2 * drawings - 1, CFG)
    # before any step it is what the meta-trained nets make, and what their critic says with e as the row
    drawing = 2 * batch["drawing"] - 1
    draw = jax.jit(functools.partial(talking.portray, cfg=CFG, spec=SPEC))
    made = draw(person, drawing)
    unfitted = jax.jit(algorithm.sample)(jax.random.key(0), state, batch)
    np.testing.assert_allclose(SPEC.decode(made), unfitted, atol=1e-5)
    e = talking.known(state.params["gen"], batch, CFG, SPEC)[0]
    np.testing.assert_allclose(
        person["disc"]["row"], state.params["disc"]["row"] + e, atol=1e-5
    )
    take = jax.jit(functools.partial(talking.fit_step, cfg=CFG, spec=SPEC))
    fitted = talking.fit(jax.random.key(0), person, shots, drawings, CFG, take)

    def missed(who):
        told = SPEC.decode(draw(who, 2 * drawings - 1))
        return float(jnp.abs(told - shots).mean())

    assert missed(fitted) < 0.9 * missed(person)
    # the meta-trained weights are as they were
    np.testing.assert_array_equal(
        person["gen"]["style"],
        talking.begin(state.params, 2 * shots - 1, 2 * drawings - 1, CFG)["gen"]["style"],
    )


def test_without_a_game_nobody_judges():
    cfg = edit(CFG, {"play": 0.0})
    algorithm, batch = cfg(SPEC), people([0, 1])
    state = jax.jit(algorithm.init)(jax.random.key(0), batch)
    assert set(state.params) == {"gen"}
    _, metrics = jax.eval_shape(algorithm.step, jax.random.key(0), state, batch)
    assert set(metrics) == {"loss", "absolute", "grad_norm"}
    person = talking.begin(state.params, batch["shots"][0], batch["shots"][0], cfg)
    assert set(person) == {"gen"}


def test_maps_are_divided_into_what_they_are_made_of():
    rng = np.random.default_rng(0)
    drawing = rng.normal(size=(2, 4, 4, 3))
    shots, drawings = rng.normal(size=(2, 2, 5, 4, 4, 3))
    flat = [drawing, *np.moveaxis(shots, 1, 0), *np.moveaxis(drawings, 1, 0)]
    found = divided(jnp.asarray(np.concatenate(flat, -1)), 3)
    for made, wanted in zip(found, (drawing, shots, drawings), strict=True):
        np.testing.assert_allclose(made, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("cfg", "spec", "words"),
    [
        (CFG, Spec(FIELDS[:3]), "FewShots"),
        (edit(CFG, {"content": 0.0, "play": 0.0}), SPEC, "nothing to learn"),
        (edit(CFG, {"disc.size": 5}), SPEC, "must be the same"),
        (edit(CFG, {"match": -1.0}), SPEC, "match=-1"),
        (edit(CFG, {"fitting.batch": 0}), SPEC, "fitting.batch=0"),
        (edit(CFG, {"gen.widths": (4, 4, 4, 4)}), SPEC, "one pixel"),
    ],
)
def test_what_cannot_be_trained_is_told_in_a_line(cfg, spec, words):
    with pytest.raises(UserError, match=words) as error:
        cfg(spec)
    assert "\n" not in str(error.value)


# The form without a game, and the yardstick of both

FLOW = TalkingFlow(
    edit(
        TalkingFlow().model,
        {
            "net": TalkingDenoiser(TimeMLP((128,), waves=0), Embedder((8, 8), 1, size=4)),
            # of a person and a pose there is one picture: a small net can say it
            "predict": X(),
            "schedule.steps": 4,
            "optimiser": Adam(5e-3),
        },
    ),
    Fitting(40, 2, Adam(2e-3)),
)


def test_a_flow_traces_a_step_and_a_sample():
    algorithm, batch = FLOW(SPEC), people([0, 3])

    def one(key):
        state = algorithm.init(key, batch)
        _, metrics = algorithm.step(key, state, batch)
        return metrics, algorithm.sample(key, state, batch)

    metrics, made = jax.eval_shape(one, jax.random.key(0))
    assert {"loss", "grad_norm"} == set(metrics)
    assert made.shape == (2, SIDE, SIDE, 3) and algorithm.asks == ("image", "landmarks")


@pytest.mark.all
def test_a_flow_that_is_told_frames_makes_pictures_of_whom_they_show():
    algorithm, batch = FLOW(SPEC), people(range(5))
    state = jax.jit(algorithm.init)(jax.random.key(0), batch)
    step = jax.jit(algorithm.step)
    for i in range(120):
        state, metrics = step(jax.random.key(i), state, batch)
    assert np.isfinite(metrics["loss"])
    params = averaged(state)
    known_by = FLOW.portrayer(params, SPEC, jax.jit)

    def missed(of, by):
        own = known_by(jax.random.key(0), batch["shots"][by], batch["shot_drawings"][by], False)
        made = own(batch["drawing"][of][None])
        return float(np.abs(np.asarray(made) - batch["image"][of]).mean())

    # by her own pictures she is nearer to the truth than by somebody else's
    assert missed(0, 0) < missed(0, 3) - 0.02
    # fitted to pictures that were not in training, to the poses of these
    shots, drawings = batch["shots"][2], batch["shot_drawings"][2]
    plain, own = (known_by(jax.random.key(0), shots, drawings, fitted) for fitted in (0, 1))
    far = [np.abs(np.asarray(draw(drawings[:1])) - shots[:1]).mean() for draw in (plain, own)]
    assert far[1] < far[0]
    # an embedding that is said at once is that of the frames laid beside the drawing
    given = {name: batch[name][:1] for name in ("drawing", "shots", "shot_drawings")}
    given["index"] = np.zeros(1, np.uint32)
    key = jax.random.key(4)
    sampled = jax.jit(algorithm.sample)(key, state, given)
    own = known_by(key, batch["shots"][0], batch["shot_drawings"][0], False)
    np.testing.assert_allclose(own(batch["drawing"][:1]), sampled, atol=1e-4)


def test_a_flow_wants_sittings():
    with pytest.raises(UserError, match="FewShots"):
        FLOW(Spec(FIELDS[:3]))
    grey = dict(FIELDS) | {"drawing": Image((SIDE, SIDE, 1))}
    with pytest.raises(UserError, match="as many channels"):
        FLOW(Spec(tuple(grey.items())))


def test_poses_are_copied_and_films_go_round():
    frames = np.arange(6.0).reshape(2, 3, 1)
    marks = np.array([0.0, 5.0, 9.0])[None, :, None, None] * np.ones((2, 3, 14, 2))
    asked = np.array([4.0, 8.0, 1.0, 0.0])[None, :, None, None] * np.ones((2, 4, 14, 2))
    copied = posed(frames, marks, asked)[..., 0]
    np.testing.assert_array_equal(copied, [[1, 2, 0, 0], [4, 5, 3, 3]])
    path = between(marks[0], 4)[:, 0, 0]
    np.testing.assert_allclose(path[[0, 2, 4, 8, 10]], [0.0, 2.5, 5.0, 9.0, 4.5])


SMALL = {
    "data.of": Sitters(16, 20, 5),
    "steps": 2,
    "every": Every(1, 2, 0, 2),
    "algorithm": edit(CFG, {"fitting.steps": 1}),
    "finish.Talking.shots": (1, 2),
    "finish.Talking.made": 3,
    "finish.Talking.between": 2,
    "finish.Talking.landmarks": Reader(numbers=("landmarks",), widths=(4,), steps=2),
    "finish.Talking.identity": CosFace((4,), 8, 4, steps=2),
    "finish.Talking.on": Components(2),
}


@pytest.mark.all
def test_a_run_is_measured_beside_its_floors(tmp_path, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path))
    this = run("heads", edit(heads.BASE, {**SMALL, "runs": str(tmp_path)}), "base")
    truth = this.log.result("talking: truth")
    assert {"landmarks", "csim", "fd", "stranger"} == set(truth)
    rows = [f"{way} {k}" for way in ("mean", "copy", "model", "fitted") for k in (1, 2)]
    for name in (*rows, "nothing", "nearest"):
        found = this.log.result(f"talking: {name}")
        assert {"psnr", "ssim", "landmarks", "csim", "fd"} == set(found), name
        assert np.isfinite(list(found.values())).all()
    # of one picture mean and copy are that picture
    assert this.log.result("talking: mean 1") == this.log.result("talking: nothing")
    readers = this.log.result("readers")
    assert readers["landmarks"] == pytest.approx(truth["landmarks"])
    gains = this.log.result("gains")
    better = this.log.result("talking: copy 2")["psnr"]
    fitted = this.log.result("talking: fitted 2")["psnr"]
    assert gains["fitted 2 over copy 2"]["value"] == pytest.approx(fitted - better)
    drawn = {path.name for path in (this.log.directory / "samples").iterdir()}
    assert {"talking.png", "driven.png", "driven.gif"} <= drawn


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"finish.Talking.shots": (1, 4)}, "more than the 5 that people have"),
        ({"view": (FewShots(5),)}, "people have 5"),
        ({"algorithm": Pix2pix(given="drawing")}, "Pix2pix makes none"),
        ({"data": Sitters(16, 20, 5), "view": ()}, "several pictures"),
        ({"data.of.people": 5, "batch": 2}, "an interval over people needs two"),
        ({"finish.Talking.shots": ()}, "shots=0"),
    ],
)
def test_what_cannot_be_measured_is_told_before_training(edits, words, tmp_path, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path))
    exp = edit(edit(heads.BASE, {**SMALL, "runs": str(tmp_path)}), edits)
    with pytest.raises(UserError, match=words) as error:
        run("heads", exp, "base")
    assert "\n" not in str(error.value)
