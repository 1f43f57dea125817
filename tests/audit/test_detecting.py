"""Data of two halves and the matrix: exact reconstruction of normals, planted shortcuts, real against real, errors."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.detect import EXPERIMENTS
from genjax.ae.autoencoder import Autoencoder
from genjax.audit.detector import Detector
from genjax.audit.fronts import Residual
from genjax.audit.handling import Handling
from genjax.audit.judged import Halves, scale_of
from genjax.config import edit
from genjax.core import labelled, size
from genjax.data import Digits, Ring, Toy
from genjax.data.enlarged import Enlarged
from genjax.data.portions import OF_TRAIN, Reals
from genjax.errors import UserError
from genjax.fields import Image
from genjax.findings import crossed, detecting, generated
from genjax.findings.detecting import Detection, Line
from genjax.findings.detectors import Entry, Known, Near, Recovered, Task, Told, dire
from genjax.findings.generated import Generator, Handled, RealAndGenerated, Untouched, kept
from genjax.gan import named as gan
from genjax.metrics.features import Pixels, save_arrays
from genjax.training.experiment import Experiment

REALS = Reals(Enlarged(Digits(valid=300), side=16, border=0))
# as many and as large as those of test_traces: one program for all
SMALL = {"train": 40, "held": 40, "test": 50}


@dataclasses.dataclass(frozen=True)
class Planted:
    """Real pictures again, after something that is no picture."""

    change: object = None
    name: str = "planted"

    def pictures(self, cfg, source):
        found = Untouched().pictures(cfg, source)
        return {part: self.change(images) for part, images in found.items()}


def test_dire_of_normals_is_that_of_the_product_of_its_steps():
    # of data N(0, c²) the denoiser is D(x, s) = c² / (c² + s²) x, so every step multiplies x by a number
    c2 = 0.04
    sigmas = np.array([2.0, 1.0, 0.5, 0.2, 0.05])
    spec = labelled(Image((4, 4, 1)))

    def denoise(x, sigma):
        return c2 / (c2 + sigma**2) * x

    x = np.random.default_rng(0).uniform(-0.5, 0.5, (6, 4, 4, 1)).astype(np.float32)
    found = dire(denoise, jnp.asarray(x), jnp.asarray(sigmas, jnp.float32), spec)
    factor = 1.0
    up = sigmas[::-1]
    for levels in (up, sigmas):  # inverted, and drawn again
        for at, to in zip(levels[:-1], levels[1:], strict=True):
            factor *= 1.0 + (to - at) * at / (c2 + at**2)
    factor *= c2 / (c2 + sigmas[-1] ** 2)
    # in units of [0, 1]: half of that of the net's; what leaves them is cut
    unit = 0.5 * (x + 1.0)
    again = np.clip(0.5 * (factor * x + 1.0), 0.0, 1.0)
    by_hand = np.abs(unit - again).mean((1, 2, 3))
    np.testing.assert_allclose(found, by_hand, rtol=1e-4)
    # with small steps the flow comes back to where it began
    many = jnp.geomspace(2.0, 0.002, 400)
    assert np.all(np.asarray(dire(denoise, jnp.asarray(x), many, spec)) < 0.1 * by_hand)


def test_both_halves_are_of_pictures_that_nobody_else_has():
    data = RealAndGenerated(REALS, Untouched(), **SMALL)
    source = data.load()
    assert [size(split) for split in source.splits().values()] == [80, 80, 100]
    assert source.classes == 2 and source.shape == (16, 16, 1)
    for split in source.splits().values():
        half = len(split["label"]) // 2
        assert not split["label"][:half].any() and split["label"][half:].all()
    portions = REALS.portions(REALS.load())
    whole = [picture.tobytes() for picture in portions["generator"]["image"]]
    tested = {picture.tobytes() for picture in source.test["image"]}
    assert not tested & {*whole, *(picture.tobytes() for picture in source.train["image"])}


def test_a_planted_jpeg_and_lost_levels_are_refused_unless_all_go_the_same_way():
    saved = Handling(kind="JPEG", quality=60)
    planted = RealAndGenerated(REALS, Planted(saved), **SMALL)
    with pytest.raises(UserError, match="saved as JPEG"):
        planted.load()
    # scikit-learn's digits have 17 levels, and no net has
    few = RealAndGenerated(REALS, Planted(lambda images: images // 16 * 16), **SMALL)
    with pytest.raises(UserError, match="grey levels"):
        few.load()
    assert dataclasses.replace(few, refuse=False).load().classes == 2
    alike = RealAndGenerated(REALS, Untouched(), saved, **SMALL)
    assert alike.load().shape == (16, 16, 1)


def test_a_model_that_recovers_sees_what_all_see():
    found = Handled(handling=Handling(1, "WEBP", 80))
    data = dataclasses.replace(found, data=edit(found.data, {"reals": REALS}))
    source = data.load()
    assert source.shape == (8, 8, 1) and set(source.fields) == {"image", "label"}
    whole = REALS.portions(REALS.load())["generator"]["image"]
    np.testing.assert_array_equal(source.train["image"], found.handling(whole))


def test_samples_are_kept_and_those_of_other_marks_are_not_taken(tmp_path):
    path = tmp_path / "generated.npz"
    assert kept(path, {"a": (1, 2)}) is None
    image = np.zeros((2, 4, 4, 1), np.uint8)
    save_arrays(path, {"image": image, "marks": np.array('{"a": [1, 2]}')})
    np.testing.assert_array_equal(kept(path, {"a": (1, 2)}), image)
    assert kept(path, {"a": (1, 3)}) is None
    path.write_bytes(path.read_bytes()[:100])
    assert kept(path, {"a": (1, 2)}) is None


def test_every_part_has_samples_of_every_class():
    sorted_ = np.repeat(np.arange(10), 40)
    found = generated.mixed(sorted_)
    np.testing.assert_array_equal(np.sort(found), sorted_)
    for part in np.split(found, [200, 300]):
        assert np.all(np.bincount(part, minlength=10) > len(part) / 30)
    np.testing.assert_array_equal(found, generated.mixed(sorted_))


def test_neighbours_know_which_side_is_nearer(tmp_path):
    rng = np.random.default_rng(0)
    dark, bright = (rng.integers(low, low + 40, (30, 4, 4, 1), np.uint8) for low in (20, 190))
    task = Task(RealAndGenerated(), dark, bright, None, 0, str(tmp_path))
    score = Near(Pixels(), k=3).start("near", task)
    grey = rng.integers(100, 150, (10, 4, 4, 1), np.uint8)
    found = score(np.concatenate([dark[:10], grey, bright[:10]])).reshape(3, 10)
    assert np.all(found[0] < found[1]) and np.all(found[1] < found[2])
    # by hand, of one
    flat = [known.reshape(30, -1) / 255.0 for known in (dark, bright)]
    away = [
        np.sort(np.linalg.norm(known - grey[0].ravel() / 255.0, axis=1))[:3] for known in flat
    ]
    assert found[1][0] == pytest.approx(away[0].mean() - away[1].mean(), rel=1e-4)
    with pytest.raises(UserError, match="31 neighbours"):
        Near(Pixels(), k=31).fits("near", Known((4, 4, 1), 10, 30, 60))


def lines(n: int = 200):
    """Scores of two generators, of which a detector of the first sees the second badly, and of nothing."""
    rng = np.random.default_rng(1)
    scores = {}
    apart = {"real": (0, 0, 0), "a": (0, 6, 1), "b": (0, 0, 6)}
    for trained, means in apart.items():
        held = Halves(
            rng.standard_normal(n), rng.standard_normal(n) + means[list(apart).index(trained)]
        )
        scale = scale_of(held)
        tested = {
            name: scale(rng.standard_normal(n) + mean)
            for name, mean in zip(apart, means, strict=True)
        }
        logits = Halves(*(scale(half) for half in held))
        scores[trained] = Line(logits, scale(rng.standard_normal(n)), tested)
    return scores


def test_a_matrix_of_known_scores_says_what_they_are():
    cells = Detection(rates=(0.05,)).cells(lines())
    assert cells["a"]["a"].average_precision.value > 0.99
    assert cells["b"]["b"].bars[0.05].accuracy.value > 0.95
    assert 0.45 < cells["b"]["a"].average_precision.value < 0.6
    assert 0.65 < cells["a"]["b"].average_precision.value < 0.85
    found = crossed.numbers(crossed.values(cells), list(cells))
    assert found["least on its own"] > 0.99
    assert 0.4 < found["real against real, least"] <= found["real against real, most"] < 0.6
    away = [cells["a"]["b"], cells["b"]["a"]]
    by_hand = np.mean([cell.average_precision.value for cell in away])
    assert found["on others"] == pytest.approx(by_hand)
    # a column that a detector knows from elsewhere says nothing of strangers
    without = crossed.numbers(crossed.values(cells), list(cells), {"b"})
    assert without["on others"] == cells["b"]["a"].average_precision.value
    assert "on others" not in crossed.numbers(crossed.values(cells), list(cells), {"a", "b"})
    kept_ = cells["a"]["a"].kept(200)
    assert set(kept_) == {
        "average_precision", "ece", "accuracy_at_0.05", "false_alarms_at_0.05", "hits_at_0.05",
    }  # fmt: skip


def test_all_together_are_as_sure_as_they_are_right():
    rng = np.random.default_rng(2)
    rows = {}
    # one that tells them apart, and three that see nothing and water its logits down
    for name, mean in (("sharp", 4), ("blind", 0), ("deaf", 0), ("dumb", 0)):
        halves = [rng.standard_normal(500) + add for add in (0, mean, 0, mean)]
        scale = scale_of(Halves(*halves[:2]))
        held, tested, generated = Halves(*map(scale, halves[:2])), *map(scale, halves[2:])
        rows[name] = Line(held, tested, {"a": generated})
    [[cell]] = [
        row.values()
        for row in Detection(rates=()).cells({"a": detecting._together(rows)}).values()
    ]
    assert cell.average_precision.value > 0.98
    assert cell.ece.value < 0.03  # 0.16 of their mean as it is


def test_cells_that_miss_are_named():
    values = np.array([[0.44, 0.5, 0.5], [0.55, 0.96, 0.3], [0.45, 0.2, 0.94]])
    assert crossed.missed(values, ["real", "a", "b"]) == [
        "real on real is 0.440, outside 0.45 to 0.55",
        "b on b is 0.940, below 0.95",
    ]


def test_what_lasts_is_of_a_fair_part_and_has_an_interval_over_groups():
    cfg = Detection(lasting=20, hardships=())
    images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    [some] = cfg.worn(images)
    assert len(some) == 20 and some.max() > 60
    rng = np.random.default_rng(0)
    real = np.repeat(rng.standard_normal(10), 20)
    pair = Halves(real, 1.0 + rng.standard_normal(200))
    of_ten = detecting._precision(pair, np.repeat(np.arange(10), 20))
    of_all = detecting._precision(pair, np.arange(200))
    assert of_ten.value == of_all.value and of_ten.low <= of_ten.value <= of_ten.high
    assert np.ptp(of_ten[1:]) > 1.5 * np.ptp(of_all[1:])


def test_generators_of_the_family_that_recovers_are_told():
    base = EXPERIMENTS["base"]
    told = {entry.name: base.twins(entry.name) for entry in base.detectors}
    assert told.pop("dire") == {"flow"} and told.pop("recoded") == {"autoencoder"}
    assert not any(told.values())
    assert base.twins("together") == {"flow", "autoencoder"}


def test_what_recovers_is_no_generator_weight_for_weight(tmp_path, monkeypatch):
    from genjax.findings import detectors

    seeds = []
    monkeypatch.setattr(detectors.loop, "run", lambda home, exp, *more: seeds.append(exp.seed))
    task = Task(RealAndGenerated(REALS), None, None, None, 3, str(tmp_path))
    with pytest.raises(AttributeError):  # of no run nothing more can be asked
        Recovered().start("dire", task)
    assert seeds == [4] and task.data.set(Experiment()).seed == 0


def test_a_score_of_nobody_s_is_computed_once():
    asked = []
    score = detecting._once(lambda images: asked.append(1) or images.mean((1, 2, 3)))
    images = np.ones((3, 2, 2, 1))
    np.testing.assert_array_equal(score(images), score(images))
    assert len(asked) == 1
    score(2 * images)
    assert len(asked) == 2


AE = Generator("ae", Experiment(algorithm=Autoencoder()))


LARGE = Experiment(algorithm=Autoencoder(), batch=5000)
NET = Experiment(algorithm=Detector(), batch=32)
RESIDUALS = Told(Experiment(algorithm=Detector(front=Residual()), batch=32))
GAME = Experiment(algorithm=gan.DCGAN)
FLAT = Told(edit(NET, {"batch": 500}))


@dataclasses.dataclass(frozen=True)
class Dimmed:
    """Real pictures of which every other one, by its number, has only a few levels."""

    def load(self):
        source = REALS.of.load()
        train = {**source.train, "image": source.train["image"].copy()}
        reals = dataclasses.replace(REALS, of=self)
        # whichever are in the place of generated ones
        numbered = {**train, "image": np.arange(size(train))}
        other = reals._shared(numbered, OF_TRAIN)["train_other"]["image"]
        train["image"][other] = train["image"][other] // 64 * 64
        return source._replace(train=train)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"generators": ()}, "nothing to tell apart"),
        ({"detectors": ()}, "nobody to do it"),
        ({"generators": (AE, AE)}, "a name of its own"),
        ({"generators": (dataclasses.replace(AE, name="real"),)}, "a name of its own"),
        ({"detectors": (Entry("", Near()),)}, "a name of its own"),
        ({"detectors": (Entry("cnn", Told(Experiment(algorithm=Autoencoder()))),)}, "Detector"),
        ({"detectors": (Entry("dire", Recovered(steps=1)),)}, "at least 2"),
        ({"detectors": (Entry("near", Near(k=0)),)}, "at least 1"),
        ({"rates": (0.001,)}, "hold out 999"),
        ({"rates": (1.5,)}, "below 1"),
        ({"held": 0}, "--held"),
        ({"hardships": (detecting.Resaved(0),)}, "Resaved"),
        ({"reals": Reals(Toy(Ring(), train=400))}, "no pictures"),
        ({"handling": Handling(halvings=5)}, "sides that 32 divides"),
        ({"reals": Reals(Dimmed())}, "grey levels"),
        ({"held": 9}, "9 held-out"),
        ({"train": 40, "detectors": (Entry("near", Near(k=41)),)}, "41 neighbours, and 40"),
        ({"detectors": (Entry("rec", Recovered(GAME)),)}, "codes with a way back"),
        ({"detectors": (Entry("cnn", FLAT),), "train": 40}, "batches of 500, and there are 80"),
        ({"generators": (Generator("ae", LARGE),)}, "batches of 5000"),
        ({"generators": (Generator("net", NET),)}, "2 kinds|two kinds"),
        (
            {"detectors": (Entry("res", RESIDUALS),), "handling": Handling(2)},
            "more than 4 pixels",
        ),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_written(changes, told, tmp_path):
    base = Detection(REALS, (AE,), (Entry("near", Near()),), rates=(0.1,), runs=str(tmp_path))
    with pytest.raises(UserError, match=told):
        dataclasses.replace(base, **changes)("wrong", {})
    assert not list(tmp_path.iterdir())


def test_too_few_real_pictures_for_a_rate_are_told():
    few = Reals(Digits())
    with pytest.raises(UserError, match="90 normal examples are too few"):
        Detection(few, (AE,), (Entry("near", Near()),)).check()


def test_too_few_groups_for_a_rate_are_told_and_no_group_is_a_generated_picture_s():
    grouped = Detection(dataclasses.replace(REALS, group="label"), (AE,), rates=(0.05, 0.2))
    # five of ten classes are held out
    [line] = grouped.few()
    assert line.startswith("5 held-out groups by --reals.group='label' promise no rate of 0.05")
    assert "takes 19" in line
    assert not Detection(REALS, (AE,), rates=(0.05,)).few()
    groups = grouped.groups("test")
    assert set(groups.real) == set(groups.generated) and len(set(groups.real)) == 5
    assert detecting._groups(groups, "real") is groups
    made = detecting._groups(groups, "ae").generated
    assert len(set(made)) == len(made) and not set(made) & set(groups.real)


def test_what_is_no_picture_is_told():
    with pytest.raises(UserError, match="no pictures"):
        RealAndGenerated(Reals(Toy(Ring(), train=100))).halves()
    with pytest.raises(UserError, match="--train"):
        RealAndGenerated(REALS, train=0).halves()
    assert generated.HOME == "detect"


def traced(name: str, exp: Experiment, shape: tuple[int, ...]):
    return pytest.param(exp, shape, marks=pytest.mark.all, id=f"{name}-{shape[0]}")


RUNS = {each.name: each.exp for each in EXPERIMENTS["base"].generators}
RUNS |= {e.name: e.of.exp for e in EXPERIMENTS["base"].detectors if hasattr(e.of, "exp")}
TRACED = [traced(*run, shape) for shape in ((28, 28, 1), (32, 32, 3)) for run in RUNS.items()]


@pytest.mark.parametrize("exp, shape", TRACED)
def test_every_run_of_base_traces_a_step_and_its_samples(exp, shape):
    detector = isinstance(exp.algorithm, Detector)
    spec = labelled(Image(shape), 2 if detector else 10, exp.steps)
    algorithm = exp.algorithm(spec)
    batch = {
        "image": np.zeros((8, *shape), np.uint8),
        "label": np.zeros(8, np.int32),
        "index": np.arange(8, dtype=np.uint32),
        "position": np.arange(8, dtype=np.uint32),
    }

    def one(key):
        state, metrics = algorithm.step(key, algorithm.init(key, batch), batch)
        made = None if algorithm.sample is None else algorithm.sample(key, state, batch)
        return metrics, made

    metrics, made = jax.eval_shape(one, jax.random.key(0))
    assert metrics
    assert made is None or made.shape == (8, *shape)


@pytest.mark.all
def test_the_quick_matrix_runs_to_its_end_and_says_all_that_it_promises(tmp_path):
    cfg = edit(EXPERIMENTS["quick"], {"runs": str(tmp_path)})
    cfg("quick", {})
    [home] = (tmp_path / "detect").glob("quick-*")
    results = json.loads((home / "results.json").read_text())
    names = ["real", "autoencoder", "flow"]
    detectors = [entry.name for entry in cfg.detectors]
    for detector in (*detectors, "together"):
        cells = results[f"matrix {detector}"]
        for trained in names:
            for tested in names:
                cell = cells[f"{trained} on {tested}"]
                assert set(cell) >= {"average_precision", "ece", "accuracy_at_0.05"}
                ap = cell["average_precision"]
                assert 0.0 <= ap["low"] <= ap["value"] <= ap["high"] <= 1.0
        # the diagonal before any hardship is of the same pictures, but fewer
        assert len(results[f"lasting {detector}"]["mean"]) == 1 + len(cfg.hardships)
    assert list(results["peaks"]) == names and 1 <= results["peaks"]["flow"]["ring"] <= 11
    text = (home / "table.md").read_text()
    assert "together: accuracy at 5 % false alarms" in text and "JPEG" in text
    for picture in ("matrix", "spectra", "peaks", "lasting", "generators"):
        assert list(home.rglob(f"{picture}*.png")), picture
    # each net keeps what says how rare a score is
    assert len(list((tmp_path / "detect").glob("*-cnn-*/scores.npz"))) == len(names)
