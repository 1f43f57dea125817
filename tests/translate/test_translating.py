"""The yardstick of translations: floors beside their closed form, and a whole run on pairs and on two domains."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from genjax.config import edit
from genjax.core import Spec
from genjax.data import Digits, Source, Unpaired
from genjax.errors import UserError
from genjax.fields import Category, Image
from genjax.findings import translating
from genjax.findings.translating import Translating
from genjax.metrics.classifier import Convolutional
from genjax.metrics.features import Pixels
from genjax.nets import PlainUNet
from genjax.nets.patchgan import PatchGAN
from genjax.optim import Adam
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.translate import floors
from genjax.translate.bridge import Bridge, Straight
from genjax.translate.pix2pix import Pix2pix
from genjax.translate.transport import Transport


def test_the_ridge_is_its_closed_form():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype(np.float32) + 3.0
    y = (x @ rng.normal(size=(6, 4)) + rng.normal(size=(200, 4))).astype(np.float32)
    found, strength = floors.ridge(x, y, (0.1,))
    away = np.float64(x) - x.mean(0)
    penalty = 0.1 * np.trace(away.T @ away) / 6 * np.eye(6)
    weights = np.linalg.inv(away.T @ away + penalty) @ away.T @ (y - y.mean(0))
    assert strength == 0.1
    np.testing.assert_allclose(found.weights, weights, atol=1e-4)
    np.testing.assert_allclose(found(x).mean(0), y.mean(0), atol=1e-4)


def test_the_strength_is_chosen_where_it_was_not_fitted():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 50)).astype(np.float32)
    noise = rng.normal(size=(60, 2)).astype(np.float32)
    # nothing to learn: the strongest is best; all of it without noise: the weakest
    assert floors.ridge(x, noise, (1e-3, 10.0))[1] == 10.0
    assert floors.ridge(x, x[:, :2], (1e-3, 10.0))[1] == 1e-3


def test_the_strength_is_chosen_on_every_channel():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 50)).astype(np.float32)
    y = rng.normal(size=(60, 16, 16, 3)).astype(np.float32)
    # red follows the input, the other two are noise
    y[..., 0] = (x @ rng.normal(size=(50, 256)) * 0.1).reshape(60, 16, 16)
    assert floors.ridge(x, y[..., 0].reshape(60, -1), (1e-3, 10.0))[1] == 1e-3
    assert floors.ridge(x, y.reshape(60, -1), (1e-3, 10.0))[1] == 10.0


def test_the_other_floors_are_what_they_say():
    rng = np.random.default_rng(2)
    given = rng.random((5, 4, 4, 1)).astype(np.float32)
    truth = rng.random((5, 4, 4, 1)).astype(np.float32)
    np.testing.assert_array_equal(floors.nearest(given[::-1] + 0.01, given, truth), truth[::-1])
    assert floors.nothing(given, 3).shape == (5, 4, 4, 3)
    # the same linear map for all: exactly undone
    toned = 0.2 + 0.5 * given
    np.testing.assert_allclose(floors.recoloured(given, given, toned), toned, atol=1e-5)


def test_of_fewer_pairs_than_pixels_the_ridge_is_the_same_map():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(40, 90)).astype(np.float32) + 2.0
    y = (x @ rng.normal(size=(90, 5)) + rng.normal(size=(40, 5))).astype(np.float32)
    away = np.float64(x) - x.mean(0)
    penalty = 0.1 * np.trace(away.T @ away) / 90 * np.eye(90)
    weights = np.linalg.inv(away.T @ away + penalty) @ away.T @ (y - y.mean(0))
    new = rng.normal(size=(7, 90)).astype(np.float32)
    wanted = y.mean(0) + (new - x.mean(0)) @ weights
    found, strength = floors.ridge(x, y, (0.1,))
    assert strength == 0.1 and found.weights.shape == (40, 5)
    np.testing.assert_allclose(found(new), wanted, atol=2e-4)
    # both ways choose alike: the errors that choose are those of the same maps
    several = (1e-3, 1e-1, 10.0)
    some = np.arange(5)
    mean_y = y - y.mean(0)
    chosen = []
    for solve in (floors.of_pixels, floors.of_pairs):
        chosen.append(solve(np.float32(away), mean_y, 36, some, several)[1])
    assert chosen[0] == chosen[1]


def judged(truth) -> translating.Features:
    """Pixels as features, of some true pictures."""
    flat = np.float64(truth).reshape(len(truth), -1)

    def extract(pictures):
        features = np.asarray(pictures).reshape(len(pictures), -1)
        return SimpleNamespace(features=features)

    return translating.Features("pixels", extract, None, flat, 1.0)


def test_the_truth_is_found_though_it_is_drawn_twice():
    truth = np.random.default_rng(7).random((6, 8, 8, 1)).astype(np.float32)
    truth[4] = truth[1]
    groups = np.arange(6)
    found = translating._near(truth[None], truth, [judged(truth)], groups)
    # the truth itself: nothing can be nearer
    assert found["found_pixels"].value == 1.0 and found["apart_pixels"].value == 0.0
    assert found["psnr"].value == pytest.approx(100.0) and found["ssim"].value == 1.0
    # of all others it is a miss to find another's
    other = np.roll(truth, 1, 0)[None]
    found = translating._near(other, truth, [judged(truth)], groups)
    assert found["found_pixels"].value == 0.0


def test_the_spread_of_draws_is_the_mean_square_between_pairs():
    draws = np.random.default_rng(3).normal(size=(4, 7, 5))
    pairs = [np.square(a - b).sum(-1) for a in draws for b in draws]
    wanted = np.sum(pairs, 0) / (4 * 3)
    np.testing.assert_allclose(translating._spread(draws), wanted)


@dataclasses.dataclass(frozen=True)
class Negatives:
    """Digits beside their negatives; writers in groups of four."""

    def load(self) -> Source:
        source = Digits().load()
        splits = {}
        for name, split in source.splits().items():
            n = len(split.get("image", ()))
            if not n:
                splits[name] = {}
                continue
            image = np.asarray(split["image"])
            writer = np.arange(n, dtype=np.int32) // 4
            splits[name] = {**split, "input": 255 - image, "writer": writer}
        picture = Image((8, 8, 1))
        fields = {**source.fields, "input": picture, "writer": Category(400)}
        return source._replace(name="negatives", fields=fields, **splits)


def halves(n: int, m: int) -> SimpleNamespace:
    """A finished run on two domains of n and m test pictures; the model gives back what stands beside."""
    rng = np.random.default_rng(5)
    test = {}
    for name, rows in (("a", n), ("b", m)):
        image = rng.integers(0, 256, (rows, 8, 8, 1), dtype=np.uint8)
        # sorted, in groups of two in a and of four in b
        place = np.arange(rows, dtype=np.float32)[:, None] / (2 if name == "a" else 4)
        test[name] = {"image": image, "place": place}
    spec = Spec((("image", Image((8, 8, 1))),), 1, 1, ("a", "b"))
    algorithm = SimpleNamespace(asks=("a", "b"), sample=lambda given: spec.unit(given["b"]))
    return SimpleNamespace(
        spec=spec,
        source=SimpleNamespace(test=test, train=test, aligned=n == m),
        exp=SimpleNamespace(view=()),
        algorithm=algorithm,
        draw=lambda sample, given: sample(given),
    )


def test_domains_of_unequal_sizes_are_measured_at_the_smallers():
    finding = Translating(images=30, library=30, draws=2, group="place", on=())
    this = halves(40, 24)
    test, _ = finding.sides(this)
    assert len(test.given) == len(test.truth) == 24
    assert finding.answers(this).shape == (2, 24, 8, 8, 1)
    # what is given is grouped by its own fields, and the truth by its own
    _, own = np.unique(test.about["place"][:, 0] // 1, return_inverse=True)
    assert finding.groups(test).tolist() == own.tolist()
    sizes = []
    for rows in (test.about, test.known):
        sizes.append(np.bincount(finding._grouped(rows, 24)).max())
    assert sizes == [2, 4]


def test_no_answer_sees_its_own_truth():
    this = halves(20, 20)
    test, _ = Translating(images=20).sides(this)
    (made,) = Translating(images=20, draws=1).answers(this)
    apart = np.abs(made - test.truth).mean((1, 2, 3))
    assert apart.min() > 0.1
    # it is an example all the same, that of another row
    np.testing.assert_allclose(made, np.roll(test.truth, 10, 0), atol=1e-6)


MEASURE = Translating(
    images=200,
    library=800,
    draws=2,
    on=(Pixels(),),
    group="writer",
    content="label",
    reader=Convolutional((8,), steps=60),
)
BASE = Experiment(
    data=Negatives(),
    algorithm=Pix2pix(
        gen=PlainUNet((8,), blocks=1, patch=2, bias=True),
        disc=PatchGAN((8,), 1, 3),
        optimiser=Adam(3e-3, b1=0.5),
    ),
    steps=60,
    batch=32,
    every=Every(log=60, evaluate=60, sample=60, save=60),
    evaluate_batch=100,
    finish=(MEASURE,),
)


def measured(this) -> tuple[dict, dict]:
    """(rows, intervals) of a finished run."""
    found = json.loads((this.log.directory / "results.json").read_text())
    found = found.get("results", found)
    rows = {name.removeprefix("translated: "): x for name, x in found.items()}
    return rows, found["intervals"]


@pytest.fixture(scope="module")
def paired(tmp_path_factory):
    home = tmp_path_factory.mktemp("runs")
    this = run("test", edit(BASE, {"runs": str(home)}), "pix2pix")
    return this, *measured(this)


def test_every_row_is_measured_alike(paired):
    this, rows, intervals = paired
    names = {
        "psnr",
        "ssim",
        "apart_pixels",
        "found_pixels",
        "read",
        "fd_pixels",
        "diversity_pixels",
    }
    assert names <= set(rows["model"])
    for floor in ("nothing", "nearest", "ridge"):
        assert names - {"diversity_pixels"} <= set(rows[floor])
        low, value, high = (intervals[f"{floor} psnr"][k] for k in ("low", "value", "high"))
        assert low < value < high
    # a negative is a linear map: the ridge is all but right, and everything it writes is found
    assert rows["ridge"]["psnr"] > 30 > rows["model"]["psnr"] > rows["nothing"]["psnr"]
    assert rows["ridge"]["found_pixels"] == 1.0
    assert rows["truth"]["read"] == pytest.approx(rows["ridge"]["read"], abs=0.05)
    assert rows["truth"]["read"] > 0.5 > rows["nothing"]["read"]
    assert (
        rows["truth"]["fd_pixels"] < rows["model"]["fd_pixels"] < rows["nothing"]["fd_pixels"]
    )
    # a net without noise has one answer; two true ones differ as 1, by the unit
    assert rows["model"]["diversity_pixels"] == 0.0
    assert rows["truth"]["diversity_pixels"] == pytest.approx(1.0, abs=0.15)
    assert rows["patches"] == {"side": 7, "judged": 16}
    assert any(this.log.directory.rglob("*translated*"))


@pytest.mark.all
def test_two_domains_are_measured_against_the_hidden_truth(tmp_path):
    cfg = edit(
        BASE,
        {
            "runs": str(tmp_path),
            "data": Unpaired(Negatives()),
            "algorithm": Bridge(
                "a",
                PlainUNet((8,), blocks=1, patch=2, bias=True),
                Transport(16),
                told=False,
                sigma=0.0,
                sampler=Straight(),
                steps=3,
            ),
            "steps": 4,
            "every": Every(log=4, evaluate=4, sample=4, save=4),
            "finish": (edit(MEASURE, {"content": "", "draws": 1, "group": ""}),),
        },
    )
    rows, _ = measured(run("test", cfg, "unpaired"))
    assert {"nothing", "nearest", "recoloured", "model", "truth"} <= set(rows)
    assert "ridge" not in rows and "psnr" in rows["model"]


GROUPED = Negatives().load()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"styles": 3}, "Pix2pix as it is set has one answer"),
        ({"group": "writter"}, "has no such field"),
        ({"cell": 0.0}, "cell=0"),
        ({"content": "image"}, "reads classes"),
        ({"draws": 0}, "draws=0"),
        ({"images": 50}, "needs more samples"),
    ],
)
def test_what_cannot_be_measured_is_told_before_the_training(change, words):
    finding = edit(MEASURE, change)
    with pytest.raises(UserError, match=words) as error:
        finding.check(BASE, GROUPED)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("split", "domain"), [("test", "b"), ("test", "a"), ("train", "b")])
def test_the_smallest_domain_says_whether_there_are_enough(split, domain):
    source = Unpaired(Negatives()).load()
    arrays = getattr(source, split)
    few = {name: values[:60] for name, values in arrays[domain].items()}
    source = source._replace(**{split: {**arrays, domain: few}})
    finding = edit(MEASURE, {"content": ""})
    with pytest.raises(UserError, match="there are 60"):
        finding.check(BASE, source)
