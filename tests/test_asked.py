"""What is read back of samples: shares by hand, and a model that samples real pictures is as good as these."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import text2image
from genjax.config import edit
from genjax.core import Algorithm, Spec, single
from genjax.data import Digits
from genjax.data.spoken import DigitPairs
from genjax.ema import Decay
from genjax.errors import UserError
from genjax.findings.asked import Asked, Judges, agreed, asked, parts, turned
from genjax.metrics.features import Components
from genjax.metrics.frechet import moments
from genjax.optim import Adam
from genjax.training.experiment import Every
from genjax.training.loop import run

NAMES = ("hair=dark", "hair=fair", "hair=red", "smiling", "side=left", "side=right")


def test_what_is_read_is_the_likeliest_value_of_each_group():
    true = np.array([[1, 0, 0, 1, 1, 0], [0, 1, 0, 0, 0, 1]])
    read = np.array([[0.2, 0.1, 0.15, 0.4, 0.1, 0.3], [0.1, 0.9, 0.2, 0.2, 0.3, 0.4]])
    right = agreed(read, true, NAMES)
    np.testing.assert_array_equal(right, [[True, False, False], [True, True, True]])


def test_shares_are_of_what_is_said():
    right = np.array([[True, False], [True, True], [False, False]])
    said = np.array([[True, True], [True, False], [True, False]])
    value, low, high, n = asked(right, said)
    assert value == 2 / 4 and low <= value <= high and n == 3


def test_parts_are_apart():
    test = {
        "language": np.array([0, 0, 1, 1, 1]),
        "together": np.array([0, 1, 0, 1, 0]),
        "wording": np.array([0, 0, 1, 1, 0]),
    }
    found = {name: rows.tolist() for name, rows in parts(test, ("en", "ar")).items()}
    assert found["ar"] == [2, 3, 4] and found["all, seen"] == [0, 4]
    assert found["all, combination unseen"] == [1] and found["all, wording unseen"] == [2]
    assert found["all, both unseen"] == [3]
    assert found["en, seen"] == [0] and found["ar, both unseen"] == [3]
    turned_ = turned(
        {
            name: np.arange(5)
            for name in ("caption", "attributes", "said", "language", "together", "wording")
        },
        2,
    )
    assert turned_["caption"].tolist() == [3, 4, 0, 1, 2]


QUICK = text2image.EXPERIMENTS["quick"]


@dataclasses.dataclass(frozen=True)
class Perfect:
    """Samples are the test pictures that the captions belong to."""

    def __call__(self, spec: Spec) -> Algorithm:
        test = QUICK.data.load().test
        images = jnp.asarray(test["image"]) / 255.0
        captions = jnp.asarray(test["caption"])

        def loss(params, key, batch, step):
            return {"loss": jnp.square(params["net"]["w"]) + jnp.zeros(len(batch["index"]))}

        def sample(key, state, given):
            same = (given["caption"][:, None] == captions).all(-1)  # [B, N]
            return images[jnp.argmax(same, 1)]

        init, step = single(
            lambda key, batch: {"net": {"w": jnp.ones(())}}, loss, Adam()(1), Decay(0.0)
        )
        return Algorithm(
            init, step, lambda *a: loss(a[1].params, *a, 0), sample, asks=("caption",)
        )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One folder of runs: judges of one data set are trained once."""
    return str(tmp_path_factory.mktemp("runs"))


def test_samples_that_are_real_are_read_as_real_ones_are(home):
    finding = edit(QUICK.finish[0], {"scales": (), "samples": 100, "shown": 1})
    changes = {"algorithm": Perfect(), "steps": 1, "finish": (finding,), "runs": home}
    this = run("asked", edit(QUICK, {**changes, "every": Every(1, 0, 0, 1)}), "perfect")
    real, ours = this.log.result("asked: real"), this.log.result("asked: samples")
    for name in ("asked", "all", "first", "r_precision", "fd_reader"):
        # but for two captions that are the same
        assert abs(real[name]["value"] - ours[name]["value"]) < 0.05, name
    # in one's own words
    caption = this.given(3, caption="a two above a one")["caption"]
    assert caption.shape == (3, 96) and bytes(caption[2, :5].tolist()) == b"a two"
    others = this.log.result("asked: others")
    # what is told of a part is of its pictures alone
    of_parts = [real[f"{name}, seen"]["n"] for name in ("en", "es", "fr", "ar")]
    assert sum(of_parts) == real["all, seen"]["n"] < real["all"]["n"] == 100
    of_languages = [real[f"{name}, first"]["n"] for name in ("en", "es", "fr", "ar")]
    assert sum(of_languages) == real["first"]["n"] == 100
    unseen = real["all, combination unseen, layout"]
    assert unseen["n"] == real["all, combination unseen"]["n"] and 0 <= unseen["value"] <= 1
    assert others["all"]["value"] < 0.2 and "r_precision" not in others
    assert real["asked"]["low"] <= real["asked"]["value"] <= real["asked"]["high"]
    drawn = {path.stem for path in (this.log.directory / "samples").glob("*.png")}
    assert {"asked", "nearest", "sentences"} <= drawn


@pytest.mark.all
def test_the_experiment_trains_draws_and_measures_at_several_scales(home):
    this = run("text2image", edit(QUICK, {"runs": home}), "quick")
    for name in ("real", "scale 1", "scale 2", "others"):
        assert 0 <= this.log.result(f"asked: {name}")["asked"]["value"] <= 1


def test_of_captions_alone_all_is_measured_that_needs_no_attributes():
    rng = np.random.default_rng(0)
    train = {"image": rng.integers(0, 256, (300, 4, 4, 1), np.uint8)}
    test = {"image": train["image"][:100], "caption": np.arange(100)[:, None]}
    cfg = edit(QUICK.finish[0], {"reader": None, "features": Components(4)})
    extract = cfg.features.fit(train)
    unit = np.eye(100)

    def match(images, captions):
        return unit[np.arange(len(images))], unit[captions[:, 0]]

    seen = moments(np.float64(extract(train["image"]).features))
    judges = Judges((), (), ("", ""), None, extract, "fd_pca4", match, train, seen)
    found = cfg.measured(judges, test["image"], test)
    assert list(found) == ["r_precision", "r_precision by chance", "fd_pca4", "nearest"]
    np.testing.assert_allclose(found["r_precision by chance"].value, 1 / cfg.towers.choices)
    assert found["r_precision"].value == 1.0 and found["nearest"].value == 0.0
    # a third of them from the same law are near, white pictures are not
    white = cfg.measured(judges, 255 + 0 * test["image"], test)
    assert found["fd_pca4"].value < 0.5 < white["fd_pca4"].value
    # of too few pictures there is no distance
    few = {name: column[:32] for name, column in test.items()}
    assert "fd_pca4" not in cfg.measured(judges, few["image"], few)
    assert cfg.others(judges, test["image"], test) == {}


@pytest.fixture
def folder(tmp_path):
    """Forty pictures of a colour, each with a line that names it."""
    root = tmp_path / "pictures"
    root.mkdir()
    for i in range(40):
        name, colour = (("red", (200, i, i)), ("azul", (i, i, 200)))[i % 2]
        Image.new("RGB", (40, 32), colour).save(root / f"{i}.png")
        (root / f"{i}.txt").write_text(f"{name} {i}", encoding="utf-8")
    return root


@pytest.mark.all
def test_a_folder_of_one_s_own_goes_the_same_way(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    changes = {"data.path": str(folder), "data.test": 0.3, "runs": str(tmp_path / "runs")}
    exp = edit(text2image.EXPERIMENTS["quick_folder"], changes)
    this = run("text2image", exp, "quick_folder")
    for name in ("real", "scale 1", "scale 2"):
        found = this.log.result(f"asked: {name}")
        assert {"r_precision", "nearest"} <= set(found) and "asked" not in found
    assert {path.stem for path in (this.log.directory / "samples").glob("*.png")} >= {
        "asked",
        "nearest",
    }


def test_a_folder_that_is_not_named_is_one_line():
    with pytest.raises(UserError, match="--data.path is not set: name a folder") as error:
        text2image.EXPERIMENTS["folder"].data.load()
    assert "\n" not in str(error.value)


def test_data_and_models_that_cannot_be_asked():
    digits = Digits().load()
    with pytest.raises(UserError, match="digits has no field 'caption'"):
        Asked().check(QUICK, digits)
    with pytest.raises(UserError, match="digits has no field 'caption'"):
        Asked(reader=None).check(QUICK, digits)
    pairs = DigitPairs(train=20, test=20).load()
    with pytest.raises(UserError, match="nothing tells what captions ask for"):
        Asked(reader=None, towers=None).check(QUICK, pairs)
    exp = edit(QUICK, {"algorithm": Perfect()})
    with pytest.raises(UserError, match="Perfect has no guidance to try"):
        Asked(scales=(1.0,)).check(exp, pairs)
    with pytest.raises(UserError, match="keeps an encoder that has learned nothing"):
        Asked().check(edit(QUICK, {"algorithm.net.frozen": True}), pairs)
    with pytest.raises(UserError, match="samples=1 must be at least 2"):
        Asked(samples=1).check(QUICK, pairs)


@pytest.mark.parametrize(
    "name",
    [
        n if n == "quick" else pytest.param(n, marks=pytest.mark.all)
        for n in text2image.EXPERIMENTS
        if n != "digits2_words"  # it samples nothing
    ],
)
def test_every_config_traces_a_step_and_a_sample(name):
    exp = text2image.EXPERIMENTS[name]
    cfg = edit(exp.algorithm, {"net.encoder.depth": 1})
    source = DigitPairs(train=8, test=8).load()
    algorithm = cfg(Spec(tuple(source.fields.items()), 10))
    batch = {**source.train, "index": np.arange(8, dtype=np.uint32)}

    def one(key):
        state, metrics = algorithm.step(key, algorithm.init(key, batch), batch)
        return metrics, algorithm.sample(key, state, batch)

    metrics, x = jax.eval_shape(one, jax.random.key(0))
    assert x.shape == (8, 16, 16, 1) and "grad_norm" in metrics


@pytest.mark.all
def test_digits_begin_with_the_encoder_of_their_words():
    source = DigitPairs(train=8, test=8).load()
    spec = Spec(tuple(source.fields.items()), 10)
    batch = {**source.train, "index": np.arange(8, dtype=np.uint32)}
    shapes = []
    for name in ("digits2", "digits2_words"):
        algorithm = text2image.EXPERIMENTS[name].algorithm(spec)
        state = jax.eval_shape(algorithm.init, jax.random.key(0), batch)
        shapes.append(jax.tree.map(lambda x: x.shape, state.params["net"]["encoder"]))
    assert shapes[0] == shapes[1]
