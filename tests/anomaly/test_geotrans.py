"""Transformations as a group, the algorithm that names them, one class as data, and the finding over classes."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.anomaly import EXPERIMENTS
from genjax import cli
from genjax.ae.autoencoder import Autoencoder
from genjax.anomaly import geotrans, judged
from genjax.anomaly.geotrans import GeoTrans
from genjax.anomaly.gradients import Gradients
from genjax.anomaly.scorers import Mahalanobis, Neighbours
from genjax.anomaly.transforms import Moves, moved, shifted
from genjax.config import digest, edit
from genjax.core import labelled
from genjax.data import Digits
from genjax.data.oneclass import OneClass
from genjax.data.source import Source
from genjax.errors import UserError
from genjax.fields import Category, Image
from genjax.findings.anomalies import FILE, Anomalies, of_run, stored
from genjax.findings.unlikeness import Codes, Evaluated
from genjax.nets import MLP, Gelu
from genjax.optim import Adam
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run

KEY = jax.random.key(0)


@dataclasses.dataclass(frozen=True)
class Bars:
    """Grey 8x8 pictures of a bar at the top, on the left, or on both, in noise."""

    tested: tuple[int, ...] = (0, 1, 2)

    def load(self) -> Source:
        fields = {"image": Image((8, 8, 1)), "label": Category(3)}
        train = self.some(80, (0, 1, 2), 0)
        test = self.some(20, self.tested, 1)
        return Source("bars", fields, train, {name: x[:0] for name, x in train.items()}, test)

    def some(self, each: int, classes: tuple[int, ...], seed: int) -> dict:
        rng = np.random.default_rng(seed)
        label = np.repeat(classes, each).astype(np.int32)
        image = rng.integers(0, 60, (len(label), 8, 8, 1)).astype(np.uint8)
        image[label != 1, 1:3] = 200
        image[label != 0, :, 1:3] = 200
        return {"image": image, "label": label}


TINY = Experiment(
    data=OneClass(Bars(), normal=0, valid=40),
    algorithm=GeoTrans(enc=MLP((16,), Gelu()), latent=8, optimiser=Adam(3e-3)),
    steps=4,
    batch=16,
    every=Every(2, 4, 0, 4),
    finish=(Anomalies(gradients=Gradients((2, 4)), pixels=(Neighbours(),), shown=4),),
)


def test_turns_and_mirrors_are_a_group_and_lose_no_pixel():
    x = jnp.arange(25.0).reshape(1, 5, 5, 1)
    moves = Moves().moves()
    found = {tuple(np.asarray(moved(x, move, 0)).ravel().astype(int)) for move in moves}
    assert len(moves) == len(found) == 8 and moves[0] == (0, 0, 0, 0)
    for first in moves:
        once = moved(x, first, 0)
        assert sorted(np.asarray(once).ravel()) == list(range(25))
        twice = {tuple(np.asarray(moved(once, each, 0)).ravel().astype(int)) for each in moves}
        # closed, and the identity is among what follows: each has its inverse
        assert twice == found


def test_with_shifts_they_are_the_72_of_the_paper_and_a_shift_is_undone_inside_the_frame():
    moves = Moves(shift=0.25)
    x = jax.random.uniform(KEY, (2, 8, 8, 1))
    views = np.asarray(jax.jit(moves.all)(x))
    assert views.shape == (2, 72, 8, 8, 1)
    assert len({view.tobytes() for view in views[0]}) == 72
    np.testing.assert_array_equal(views[:, 0], x)
    number = jnp.array([5, 71])
    np.testing.assert_array_equal(moves.some(x, number), views[[0, 1], [5, 71]])
    back = shifted(shifted(x, 2, -3), -2, 3)
    np.testing.assert_array_equal(back[:, :6, 3:], x[:, :6, 3:])
    assert not back[:, 6:].any() and not back[:, :, :3].any()
    assert float(shifted(x, 1, 0)[0, 1, 4, 0]) == float(x[0, 0, 4, 0])


def test_the_loss_is_log_k_of_a_net_that_says_nothing_and_falls():
    spec = labelled(Image((8, 8, 1)), 3, 60)
    cfg = GeoTrans(enc=MLP((32,), Gelu()), latent=16, optimiser=Adam(1e-2))
    algorithm = cfg(spec)
    image = Bars().some(32, (0,), 0)["image"]
    batch = {"image": image, "index": np.arange(32, dtype=np.uint32)}
    state = jax.jit(algorithm.init)(KEY, batch)
    silent = jax.tree.map(jnp.zeros_like, state.params)
    evaluate = jax.jit(algorithm.evaluate)
    parts = evaluate(KEY, state.replace(params=silent), batch)
    np.testing.assert_allclose(parts["loss"], np.log(8), rtol=1e-5)
    step = jax.jit(algorithm.step)
    before = evaluate(KEY, state, batch)
    for i in range(60):
        state, metrics = step(jax.random.fold_in(KEY, i), state, batch)
    after = evaluate(KEY, state, batch)
    assert after["loss"].shape == (32,) and algorithm.sample is None
    # a bar at the top has a mirror image, so at best half of the names are right
    assert float(after["loss"].mean()) < float(before["loss"].mean()) - 0.5
    assert float(after["accuracy"].mean()) > 0.3 and "grad_norm" in metrics
    # the whole's numbers are those of each transformation by itself
    look = jax.jit(geotrans.looked, static_argnums=(2, 3))
    log_y, code = look(state.params, batch, cfg, spec)
    view = moved(spec.unit(batch), cfg.moves.moves()[3], 0)
    alone = geotrans.codes(state.params, view, cfg)
    np.testing.assert_allclose(code[:, 3], alone, atol=1e-5)
    np.testing.assert_allclose(geotrans.unnamed(np.asarray(log_y)), after["loss"], rtol=1e-5)
    assert algorithm.encode(KEY, state, batch).shape == (32, 8 * 16)


def test_a_draw_is_an_example_s_own_whatever_the_batch():
    spec = labelled(Image((8, 8, 1)), 3, 1)
    cfg = GeoTrans(enc=MLP((8,)), latent=4)
    batch = {**Bars().some(8, (0,), 0), "index": np.arange(8, dtype=np.uint32)}
    params = jax.jit(cfg(spec).init)(KEY, batch).params
    loss = jax.jit(geotrans.loss, static_argnums=(3, 4))
    whole = loss(params, KEY, batch, cfg, spec)["loss"]
    part = {name: x[3:] for name, x in batch.items()}
    half = loss(params, KEY, part, cfg, spec)["loss"]
    np.testing.assert_allclose(whole[3:], half, rtol=1e-6)


@pytest.mark.parametrize(
    ("moves", "shape", "words"),
    [
        (Moves(turns=2), (8, 8, 1), "turns=2"),
        (Moves(), (8, 9, 1), "another shape"),
        (Moves(mirror=False, turns=1), (8, 8, 1), "nothing to tell apart"),
        (Moves(shift=0.01), (8, 8, 1), "less than one"),
        (Moves(shift=0.5), (8, 8, 1), "shift=0.5"),
    ],
)
def test_transformations_that_are_none_are_refused(moves, shape, words):
    with pytest.raises(UserError, match=words):
        GeoTrans(moves)(labelled(Image(shape), 2, 1))


def test_one_class_trains_and_the_test_holds_all():
    whole = Digits().load()
    source = OneClass(Digits(), normal=3, valid=30).load()
    assert set(source.train["label"]) == set(source.valid["label"]) == {3}
    assert not source.train["anomalous"].any() and len(source.valid["label"]) == 30
    both = np.concatenate([source.train["image"], source.valid["image"]])
    np.testing.assert_array_equal(both, whole.train["image"][whole.train["label"] == 3])
    np.testing.assert_array_equal(source.test["image"], whole.test["image"])
    np.testing.assert_array_equal(source.test["anomalous"], whole.test["label"] != 3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (OneClass(Bars((0, 1)), normal=2), "no test example of that class"),
        (OneClass(Bars((2,)), normal=2), "all 20 test examples of bars are normal"),
        (OneClass(Bars(), normal=3), "classes 0 to 2"),
        (OneClass(Bars(), valid=80), "less than the 80"),
        (OneClass(Bars(), valid=0), "valid=0"),
        (OneClass(None), "must be a data set"),
    ],
)
def test_one_class_of_what_cannot_be_ranked_is_one_line(data, words):
    with pytest.raises(UserError, match=words) as caught:
        data.load()
    assert "\n" not in str(caught.value)


def test_on_the_command_line_it_is_exit_code_2_and_nothing_is_written(tmp_path, capsys):
    bad = {"base": edit(TINY, {"data": OneClass(Bars((2,)), 2), "runs": str(tmp_path)})}
    with pytest.raises(SystemExit) as ended:
        cli.main(bad, lambda exp, name, origin: run("anomaly", exp, name), "?", [])
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert ended.value.code == 2 and told.startswith("error: --data.normal=2: all 20 test")
    assert not list(tmp_path.rglob("*.json"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of four steps with its finding."""
    exp = edit(TINY, {"runs": str(tmp_path_factory.mktemp("runs"))})
    return run("anomaly", exp, "tiny")


def results(this) -> dict:
    return json.loads((this.log.directory / "results.json").read_text())


def test_a_run_tells_every_method_and_keeps_the_scores(trained):
    found = results(trained)["anomaly"]
    wanted = {"transforms", "softmax", "codes_neighbours", "codes_mahalanobis"}
    wanted |= {"edges_neighbours", "edges_mahalanobis", "pixels_neighbours", "together"}
    assert set(found) == {*wanted, "chosen"} and found["chosen"] in wanted
    scores = stored(trained.log.directory / FILE, {})
    for method in wanted:
        assert scores[f"test/{method}"].shape == (60,)
        # of all together one half of the held-out normals says how rare the other is
        held = 20 if method == "together" else 40
        assert scores[f"valid/{method}"].shape == (held,)
        assert scores[f"made/{method}"].shape == (6 * 40,)
    # the pictures of one bar are told from those of another by their pixels
    its = found["pixels_neighbours"]["auroc"]
    assert its["value"] == 1.0 and its["low"] < 1.0
    nearest = Neighbours().fit(trained.source.train["image"].reshape(40, -1) / 255.0)
    rows = trained.source.test["image"].reshape(60, -1) / 255.0
    np.testing.assert_allclose(scores["test/pixels_neighbours"], nearest(rows), rtol=1e-4)
    assert "classes" not in results(trained)
    for name in ("anomalies", "made"):
        assert (trained.log.directory / "samples" / f"{name}.png").exists()


def test_the_last_of_the_classes_tells_the_mean(trained, monkeypatch):
    home = trained.log.directory
    exp = trained.exp
    (finding,) = exp.finish
    marks = finding.marks(trained)
    for normal in (1, 2):
        of_class = edit(exp, {"data.normal": normal})
        scores = stored(home / FILE, {})
        scores["anomalous"] = (scores["label"] != normal).astype(np.int32)
        place = home.parent / f"other-{digest(of_class)}"
        place.mkdir()
        np.savez(place / FILE, **scores, settings=marks["settings"])
    # what is kept is not measured again
    monkeypatch.setattr(Anomalies, "measured", None)
    trained.find(finding)
    found = results(trained)["classes"]
    its = found["pixels_neighbours"]
    assert its["each"][0] == 1.0 and its["auroc"]["value"] == pytest.approx(
        np.mean(its["each"])
    )
    assert found["chosen"] in judged.methods_of(stored(home / FILE, {}))
    # measured otherwise, a class is still to come
    scores["settings"] = "other"
    np.savez(place / FILE, **scores)
    assert of_run(home.parent, of_class, {"settings": marks["settings"]}) is None


def test_scores_of_other_settings_or_of_a_damaged_file_are_measured_again(trained, tmp_path):
    path = trained.log.directory / FILE
    (finding,) = trained.exp.finish
    assert stored(path, finding.marks(trained)) is not None
    assert stored(path, edit(finding, {"images": 7}).marks(trained)) is None
    (tmp_path / FILE).write_bytes(path.read_bytes()[:200])
    assert stored(tmp_path / FILE, {}) is None and stored(tmp_path / "none.npz", {}) is None


def test_scores_are_measured_again_once_the_results_are_gone(trained, monkeypatch):
    (finding,) = trained.exp.finish
    asked = []
    again = stored(trained.log.directory / FILE, {})
    monkeypatch.setattr(Anomalies, "measured", lambda self, this: asked.append(1) or again)
    trained.find(finding)
    assert not asked
    (trained.log.directory / "results.json").unlink()
    trained.find(finding)
    assert asked


def test_the_error_of_an_autoencoder_and_its_codes_are_scores(trained, tmp_path):
    changes = {
        "algorithm": Autoencoder(latent=4, optimiser=Adam(1e-2)),
        "finish.Anomalies.own": (Evaluated(), Codes((Mahalanobis(),))),
        "runs": str(tmp_path),
    }
    found = results(run("anomaly", edit(TINY, changes), "ae"))["anomaly"]
    assert {"mse", "codes_mahalanobis", "together"} <= set(found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": Digits()}, "what is normal"),
        ({"data.valid": 10}, "valid=10"),
        ({"finish.Anomalies.false_alarms": 0.01}, "too few for a rate"),
        ({"finish.Anomalies.pixels": ()}, "leave Neighbours"),
        ({"finish.Anomalies.pixels": (Neighbours(1), Neighbours(5))}, "one name"),
        ({"finish.Anomalies.own": (), "finish.Anomalies.edges": ()}, "one at least"),
        ({"finish.Anomalies.gradients": Gradients((9,))}, "cells"),
        ({"algorithm": Autoencoder()}, "Named"),
    ],
)
def test_what_cannot_be_measured_is_told_before_training(changes, words, tmp_path):
    exp = edit(TINY, {**changes, "runs": str(tmp_path)})
    (finding,) = exp.finish
    with pytest.raises(UserError, match=words):
        finding.check(exp, exp.data.load())


def test_every_experiment_is_of_ten_classes_and_says_its_scores():
    for name, entry in EXPERIMENTS.items():
        if name == "one":
            continue
        members = entry.outline(name)
        assert len(members) == 10 and len({member.digest for member in members}) == 10
        exp = members[0].cfg
        for own in exp.finish[0].own:
            own.check(exp)
