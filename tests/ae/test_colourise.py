"""Colourisation against exact answers: two colours of one grey, weights of mean 1, encodings and their inverse."""

import dataclasses
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ae.colourise import Classes, Colouring, SquaredError, bins
from genjax.config import edit
from genjax.core import labelled
from genjax.data import Digits, Photographs
from genjax.data.source import Source
from genjax.diffusion import named, schedules
from genjax.diffusion.colourings import Colourings
from genjax.errors import UserError
from genjax.fields import Category, Image, Tokens
from genjax.findings import colouring
from genjax.findings.colouring import Colours
from genjax.metrics import colour
from genjax.metrics.classifier import Convolutional
from genjax.metrics.intervals import Interval
from genjax.nets import PlainUNet
from genjax.optim import Adam, CosineDecay
from genjax.pictures import lab
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.views import Crop

KEY = jax.random.key(0)
LIGHT = 60.0
OFTEN, SELDOM = np.array([40.0, 30.0]), np.array([-30.0, 20.0])  # both are bins, and in gamut


class Constant(nn.Module):
    """Says the same of every block: what it can learn is the law of the colours."""

    @nn.compact
    def __call__(self, x, time, cond, out):
        said = self.param("said", nn.initializers.zeros, out[-1:])
        return jnp.broadcast_to(said, (len(x), *out))


def two_colours() -> dict[str, np.ndarray]:
    """Four pictures of one grey: three of one colour, the fourth of another."""
    ab = np.stack([OFTEN, OFTEN, OFTEN, SELDOM])[:, None, None, :]
    ab = np.broadcast_to(ab, (4, 2, 2, 2)).astype(np.float32)
    light = np.full((4, 2, 2, 1), LIGHT, np.float32)
    assert np.asarray(lab.in_gamut(np.concatenate([light, ab], -1))).all()
    image = np.asarray(lab.painted(light, ab))
    return {"image": image, "index": np.arange(4, dtype=np.uint32)}


def learned(by, steps: int = 400):
    """(what a net says of every picture [Q] after training on the two colours, the state, the algorithm)."""
    cfg = Colouring(by, Constant(), 1, Adam(0.2, decay=CosineDecay()))
    algorithm = cfg(labelled(Image((2, 2, 3)), 0, steps))
    batch = two_colours()

    @jax.jit
    def trained(batch):
        def step(i, state):
            return algorithm.step(KEY, state, batch)[0]

        # one program: no convolution is in it, whose gradients would be slow in a loop
        return jax.lax.fori_loop(0, steps, step, algorithm.init(KEY, batch))

    state = trained(batch)
    return np.asarray(state.params["net"]["said"]), state, algorithm


@pytest.fixture(scope="module")
def even():
    return learned(Classes(uniform=1.0))


def nearest(ab) -> int:
    """The number of the bin at a colour."""
    return int(np.argmin(np.sum((bins() - ab) ** 2, 1)))


def test_the_bins_are_those_that_some_colour_is_nearest_to():
    rng = np.random.default_rng(0)
    ab = np.asarray(lab.to_lab(rng.random((100_000, 3)).astype(np.float32)))[:, 1:]
    used = {tuple(10.0 * place) for place in np.rint(ab / 10.0)}
    known = {tuple(place) for place in bins().astype(float)}
    assert used <= known
    # no bin is a corner of sampling: by the surface alone more are found than by chance, and few more
    assert len(bins()) == 261 and len(used) > 220


@pytest.mark.parametrize("neighbours", [1, 5])
def test_an_encoding_sums_to_one_and_decodes_to_its_colour(neighbours):
    by = Classes(neighbours=neighbours)
    rng = np.random.default_rng(0)
    ab = rng.uniform(-25, 25, (500, 2)).astype(np.float32)  # where all neighbours are in gamut
    z = np.asarray(by.encoded(ab))
    np.testing.assert_allclose(z.sum(-1), 1.0, rtol=1e-5)
    assert ((z > 0).sum(-1) == neighbours).all()
    # its nearest bin has most, and the mean of bins is no further off than half a bin
    assert (z.argmax(-1) == np.argmin(np.sum((bins() - ab[:, None]) ** 2, -1), -1)).all()
    assert np.abs(z @ bins() - ab).max() < 5.0 + 1e-4
    # at a bin the neighbours lie evenly about it
    exact = np.asarray(by.encoded(bins()[[nearest((0, 0)), nearest((20, -10))]]))
    np.testing.assert_allclose(exact @ bins(), [[0, 0], [20, -10]], atol=1e-4)
    # which are four at one distance: no more are taken than asked for
    assert ((exact > 0).sum(-1) == neighbours).all()


def test_shares_are_of_a_gaussian_of_the_distance():
    z = np.asarray(Classes(width=7.0).encoded(jnp.array([3.0, -2.0])))
    squares = np.sum((bins() - [3.0, -2.0]) ** 2, -1)
    nearest = np.argsort(squares)[:5]
    assert set(np.flatnonzero(z)) == set(nearest)
    expected = np.exp(-squares[nearest] / (2 * 7.0**2))
    np.testing.assert_allclose(z[nearest], expected / expected.sum(), rtol=1e-4)


def test_weights_have_the_mean_one_and_favour_what_is_rare():
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.full(len(bins()), 0.1)).astype(np.float32)
    by = Classes()
    w, smooth = np.asarray(by.weights(share)), np.asarray(by.smoothed(share))
    assert smooth.sum() == pytest.approx(1.0, rel=1e-5)
    assert (smooth * w).sum() == pytest.approx(1.0, rel=1e-5)
    # eq. 4 itself, and its two ends
    raw = 1 / (0.5 * smooth + 0.5 / len(share))
    np.testing.assert_allclose(w, raw / (smooth * raw).sum(), rtol=1e-4)
    np.testing.assert_allclose(Classes(uniform=1.0).weights(share), 1.0, rtol=1e-5)
    assert w[smooth.argmax()] < 1.0 < w[smooth.argmin()]


def test_the_shares_are_the_mean_of_all_that_was_seen():
    by = Classes()
    extra = by.memory()
    rng = np.random.default_rng(0)
    seen = rng.dirichlet(np.ones(len(bins())), 7).astype(np.float32)
    for row in seen:
        extra = by.update(extra, {"share": row})
    np.testing.assert_allclose(extra["share"], seen.mean(0), rtol=1e-4)


def test_squared_error_says_the_mean_which_is_neither():
    said, state, algorithm = learned(SquaredError())
    mean = 0.75 * OFTEN + 0.25 * SELDOM
    np.testing.assert_allclose(SquaredError().colour(said), mean, atol=0.1)
    batch = two_colours()
    found = jax.jit(algorithm.evaluate)(KEY, state, batch)
    # its loss is the variance, and the pictures are greyer than the true ones
    variance = 0.75 * 0.25 * np.sum((OFTEN - SELDOM) ** 2) / 2
    assert np.mean(found["loss"]) == pytest.approx(variance, rel=1e-3)
    assert np.mean(found["colourfulness"]) < 0.9 * np.mean(colour.colourfulness(batch["image"]))


def test_classes_say_the_distribution_and_its_mode_as_t_falls(even):
    said, state, _ = even
    by = Classes(uniform=1.0)
    expected = 0.75 * by.encoded(OFTEN) + 0.25 * by.encoded(SELDOM)
    np.testing.assert_allclose(jax.nn.softmax(said), expected, atol=3e-3)
    # a quarter of all pixels were of the rarer colour
    assert float(state.extra["share"][nearest(SELDOM)]) == pytest.approx(0.25, abs=1e-6)

    def annealed(t):
        return np.asarray(dataclasses.replace(by, temperature=t).colour(said))

    np.testing.assert_allclose(annealed(1.0), 0.75 * OFTEN + 0.25 * SELDOM, atol=0.5)
    away = [np.linalg.norm(annealed(t) - OFTEN) for t in (1.0, 0.38, 0.05)]
    assert away[0] > away[1] > away[2] and away[2] < 0.1


def test_rebalancing_weighs_the_rarer_colour_as_its_weights_say(even):
    by = Classes()
    said, state, _ = learned(by)
    w = np.asarray(by.weights(state.extra["share"]))
    # cross-entropy weighs each colour by w of its nearest bin: the optimum is the tilted law
    often, seldom = 0.75 * w[nearest(OFTEN)], 0.25 * w[nearest(SELDOM)]
    tilted = often * by.encoded(OFTEN) + seldom * by.encoded(SELDOM)
    np.testing.assert_allclose(jax.nn.softmax(said), tilted / tilted.sum(), atol=3e-3)
    plain = jax.nn.softmax(even[0])
    assert jax.nn.softmax(said)[nearest(SELDOM)] > 1.5 * plain[nearest(SELDOM)]


def test_measures_of_known_pictures():
    grey = np.full((1, 4, 4, 3), 0.4, np.float32)
    assert float(colour.colourfulness(grey)[0]) == pytest.approx(0.0, abs=1e-4)
    # half red, half green: rg = ±255, yb = 127.5
    halves = np.zeros((1, 4, 4, 3), np.float32)
    halves[:, :2, :, 0] = halves[:, 2:, :, 1] = 1.0
    assert float(colour.colourfulness(halves)[0]) == pytest.approx(255 + 0.3 * 127.5, rel=1e-5)
    truth = np.zeros((1, 4, 4, 2), np.float32)
    assert float(colour.psnr(truth + 22.0, truth)[0]) == pytest.approx(20.0, abs=1e-4)
    assert float(colour.psnr(truth, truth)[0]) == pytest.approx(100.0, abs=1e-3)
    # a distance of 30 is within all thresholds from 30 to 150
    off = truth + np.array([18.0, 24.0], np.float32)
    assert float(colour.auc(off, truth)[0]) == pytest.approx(0.8, abs=1e-5)


FLOW = edit(
    named.FLOW, {"net": PlainUNet((4,), 1, patch=1), "schedule": schedules.Times(steps=3)}
)


@pytest.fixture(scope="module")
def drawn():
    """Photographs' crops, three colourings of each by an untrained flow, and how to draw more."""
    given = {
        "image": Photographs(16, train=1, test=4).load().test["image"],
        "index": np.arange(4, dtype=np.uint32),
    }
    spec = labelled(Image((16, 16, 3)), 0, 1)
    algorithm = Colourings(FLOW)(spec)
    state = jax.jit(algorithm.init)(KEY, given)
    sample = jax.jit(algorithm.sample)
    return given, sample(KEY, state, given), sample, state, algorithm


def test_every_colouring_has_the_light_it_was_given(drawn):
    given, samples, *_ = drawn
    apart = jax.jit(lab.apart)
    light, _ = apart(given["image"] / 255.0)
    assert samples["coloured"].shape == (4, 3, 16, 16, 3)
    found, _ = apart(samples["coloured"].reshape(-1, 16, 16, 3))
    np.testing.assert_allclose(found, np.repeat(light, 3, 0), atol=5e-3)
    np.testing.assert_allclose(samples["input"], jax.jit(lab.grey)(light), atol=1e-6)
    first, second, third = np.moveaxis(np.asarray(samples["coloured"]), 1, 0)
    assert min(np.abs(first - second).max(), np.abs(first - third).max()) > 0.05


def test_a_colouring_is_a_function_of_key_number_and_picture(drawn):
    given, samples, sample, state, algorithm = drawn
    turned = {name: x[::-1] for name, x in given.items()}
    again = sample(KEY, state, turned)
    np.testing.assert_allclose(again["coloured"][::-1], samples["coloured"], atol=1e-4)
    picture = algorithm.picture(samples, given)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3


def test_parts_of_a_picture_come_back():
    from genjax.diffusion import colourings

    cfg, spec = Colourings(FLOW, fold=1), labelled(Image((2, 2, 3)), 0, 1)
    batch = two_colours()
    seen = colourings.parts(batch, cfg, spec)
    assert set(seen) == {"ab", "light", "index"}
    again = lab.together(100.0 * seen["light"], colourings.colour(seen["ab"], cfg))
    np.testing.assert_allclose(again, batch["image"], atol=3e-5)


@pytest.mark.parametrize("cfg", [Colouring(Classes()), Colourings(FLOW)], ids=["ae", "flow"])
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Image((8, 8, 1)), "is grey"),
        (Image((8, 8, 4)), "3 channels"),
        (Image((7, 8, 3)), "fold=2 does not divide"),
        (Tokens(8, 4), "takes Image"),
    ],
    ids=["grey", "four", "odd", "tokens"],
)
def test_data_without_colour_are_refused_in_one_line(cfg, kind, says):
    with pytest.raises(UserError, match=says) as refused:
        cfg(labelled(kind, 0, 1))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "by", [Classes(uniform=1.5), Classes(temperature=0.0), Classes(neighbours=0)]
)
def test_settings_without_a_meaning_are_refused(by):
    with pytest.raises(UserError, match="Classes"):
        Colouring(by)(labelled(Image((8, 8, 3)), 0, 1))


def test_a_judge_never_sees_the_scenes_that_it_is_asked_of():
    groups = np.repeat(np.arange(7), [9, 8, 7, 6, 5, 4, 3])
    learning = colouring.half(groups)
    assert not set(groups[learning]) & set(groups[~learning])
    assert abs(learning.sum() - (~learning).sum()) <= 9


def test_intervals_are_over_scenes_and_not_over_tiles():
    rng = np.random.default_rng(0)
    # a scene's tiles are all alike: a hundred of them know no more than one
    groups = np.repeat(np.arange(12), 100)
    values = rng.normal(size=12)[groups]
    found = colouring.over_groups(values, groups)
    error = rng.normal(size=12).std() / np.sqrt(12)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low > 2 * error
    alone = colouring.over_groups(values[:100], groups[:100])
    assert np.isnan(alone.low) and alone.value == pytest.approx(values[0])


def test_the_root_of_an_interval_that_reaches_below_0():
    with np.errstate(invalid="raise"):
        assert colouring.rooted(Interval(4.0, -9.0, 16.0)) == (2.0, 0.0, 4.0)
        one = colouring.rooted(Interval(4.0, np.nan, np.nan))  # a single scene has none
    assert one.value == 2.0 and np.isnan(one.low)


def test_what_a_judge_says_becomes_shares_of_pairs():
    asked = colouring.Asked(np.array([2.0, -1, 0, 3]), np.array([1.0, 1, 0, -3]), np.arange(4))
    found = colouring.judgement(asked)
    # one pair the wrong way round, one tie
    assert found["fooled"].value == pytest.approx(1.5 / 4)
    assert found["accuracy"].value == pytest.approx(0.5 * (2 / 4 + 2 / 4))
    # AUROC is the same over all sixteen pairs
    wins = (asked.coloured[:, None] > asked.true) + 0.5 * (
        asked.coloured[:, None] == asked.true
    )
    assert found["auroc"].value == pytest.approx(wins.mean())


@dataclasses.dataclass(frozen=True)
class Flats:
    """Crops of two photographs with eight made-up scenes."""

    def load(self) -> Source:
        crops = Photographs(16, train=32, test=32).load()
        splits = []
        for split in (crops.train, crops.test):
            scene = np.arange(32) % 8
            splits.append({"image": split["image"], "scene": scene.astype(np.int32)})
        fields = {"image": Image((16, 16, 3)), "scene": Category(8)}
        return Source("flats", fields, splits[0], {}, splits[1])


@dataclasses.dataclass(frozen=True)
class Redness(Convolutional):
    """A judge that is trained to nothing: coloured is what is redder than the mean of its lesson."""

    def fit(self, train, folder=None, layout=None):
        image, label = train["image"], train["label"]
        assert image.dtype == np.uint8 and len(image) == len(label)
        assert label.dtype == np.int32 and set(label) == {0, 1}
        middle = image[..., 0].mean()

        def read(images):
            red = images[..., 0].mean((1, 2)) - middle
            return SimpleNamespace(logits=np.stack([-red, red], 1))

        return read


NET = Convolutional(widths=(4,), features=4, steps=2, epochs=2, batch=8)
TINY = Experiment(
    data=Flats(),
    algorithm=Colouring(SquaredError(), PlainUNet((4,), 1, patch=1)),
    steps=2,
    batch=8,
    view=(Crop(8),),  # measured against what the model saw
    every=Every(log=1, evaluate=2, sample=2, save=2),
    evaluate_batch=32,
    samples=4,
    finish=(Colours(shown=2, judge=Redness()),),
)


@pytest.mark.parametrize(
    ("cfg", "judge"),
    [
        (TINY.algorithm, Redness()),
        pytest.param(TINY.algorithm, NET, marks=pytest.mark.all),
        pytest.param(Colourings(FLOW), NET, marks=pytest.mark.all),
    ],
)
def test_a_run_measures_its_colourings_beside_what_takes_no_model(tmp_path, cfg, judge):
    changes = {"algorithm": cfg, "finish.Colours.judge": judge, "runs": str(tmp_path)}
    # beside the judge: programs of evaluations and grids, which the finding does not need
    if judge != NET:
        changes["every"] = Every(log=1, evaluate=0, sample=0, save=2)
    done = run("colourise", edit(TINY, changes), "tiny")
    rows = {name: done.log.result(f"colours: {name}") for name in ("truth", "grey", "mean")}
    rows |= {name: done.log.result(f"colours: {name}") for name in ("nearest", "model")}
    # one table in the report: all rows have the same names
    assert len({tuple(sorted(row)) for row in rows.values()}) == 1
    assert rows["grey"]["colourfulness"] < 1.0 < rows["truth"]["colourfulness"]
    assert rows["truth"]["psnr_ab"] > rows["mean"]["psnr_ab"]
    several = rows["model"]["diversity"]
    assert several > 1.0 if cfg.__class__ is Colourings else several == 0.0
    ends = done.log.result("intervals")["model auroc"]
    assert ends["low"] <= rows["model"]["auroc"] <= ends["high"]
    assert (done.log.directory / "samples" / "colours.png").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"finish": (Colours(),), "data": Photographs(16, train=8, test=8)}, "no such field"),
        ({"data": Digits()}, "is grey|no such field"),
    ],
    ids=["scene", "grey"],
)
def test_what_cannot_be_measured_is_refused_before_training(tmp_path, changes, says):
    with pytest.raises(UserError, match=says):
        run("colourise", edit(TINY, {**changes, "runs": str(tmp_path)}), "bad")
    assert not list(tmp_path.rglob("config.json"))
