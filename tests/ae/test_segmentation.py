"""Segmentation against answers that are known: losses by hand, Bayes, ramps; floors; masks of one's own pictures."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image as Pillow
from scipy.stats import norm

from experiments.segment import EXPERIMENTS
from genjax import cli, segment
from genjax.ae.autoencoder import Autoencoder
from genjax.ae.pixelwise import Forest, Majority, Place
from genjax.ae.segmentation import (
    CrossEntropy,
    Dice,
    Segmentation,
    counted,
    parts,
    predict,
    summary,
    void_of,
)
from genjax.config import edit, field
from genjax.core import Spec
from genjax.data import Digits, Masks
from genjax.data.source import Source
from genjax.errors import UserError
from genjax.fields import Category, Image, Mask, Points
from genjax.findings.regions import MEASURES, grouped, interval, judge, total
from genjax.findings.segmenter import check_segmentation, segmenter
from genjax.findings.segmenting import Segmenting
from genjax.metrics import masks
from genjax.metrics.prediction import ece
from genjax.nets import MLP
from genjax.nets.fcn import FCN, Doubled, enlarged, triangle
from genjax.nets.plain import PlainUNet
from genjax.optim import Adam, CosineDecay
from genjax.pictures.classes import legend, mistakes, palette, save_mask
from genjax.training import loop
from genjax.training.experiment import Every, Experiment
from genjax.training.task import bind
from genjax.views import Crop, Flip, Shift

FLAT = Image((8, 8, 3))
predicted = jax.jit(predict, static_argnums=(2, 3))


def spec(x=FLAT, mask=Mask((8, 8), 3), steps=10) -> Spec:
    return Spec((("image", x), ("mask", mask)), steps)


# --- losses ----------------------------------------------------------------------------------------------------------


def logits_of(p) -> jax.Array:
    return jnp.log(jnp.asarray(p, jnp.float32))


def test_cross_entropy_is_the_mean_of_what_each_true_class_was_given():
    p = np.array([[[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]]])  # one row of two pixels
    truth = np.array([[[0, 2]]])
    found = CrossEntropy()(logits_of(p), truth)
    np.testing.assert_allclose(found, [-(np.log(0.5) + np.log(0.1)) / 2], rtol=1e-6)
    found = CrossEntropy(classes=(2.0, 1.0, 3.0))(logits_of(p), truth)
    np.testing.assert_allclose(found, [-(2 * np.log(0.5) + 3 * np.log(0.1)) / 2], rtol=1e-6)


def test_dice_of_masks_by_hand():
    # two classes, four pixels, said with certainty: class 1 is said twice, is there twice, and both are once
    said = np.eye(2)[[[[0, 0], [1, 1]]]]
    truth = np.array([[[0, 1], [0, 1]]])
    hard = logits_of(np.clip(said, 1e-9, 1))
    np.testing.assert_allclose(Dice(smooth=0.0)(hard, truth), [0.5], atol=1e-6)
    np.testing.assert_allclose(Dice(smooth=1.0)(hard, truth), [1 - 3 / 5], atol=1e-6)
    # squares below, as Milletari et al. have them: all 1/2 is 2 (2 / 2) / (4 / 4 + 2)
    even = jnp.zeros((1, 2, 2, 2))
    np.testing.assert_allclose(Dice(smooth=0.0)(even, truth), [1 - 2 / 3], atol=1e-6)


def test_dice_counts_a_small_class_as_much_as_a_large_one_and_a_missing_one_can_be_unlearned():
    truth = np.zeros((1, 4, 4), int)
    truth[0, 0, 0] = 1
    missed = 20.0 * jax.nn.one_hot(np.zeros((1, 4, 4), int), 2)
    # of the large class 2 * 15 / (16 + 15), of the other one nothing
    np.testing.assert_allclose(Dice(smooth=0.0)(missed, truth), [1 - (30 / 31) / 2], rtol=1e-5)
    absent = np.zeros((1, 4, 4), int)
    even = jnp.zeros((1, 4, 4, 2))

    def of_class_1(x, smooth):
        return Dice(smooth=smooth)(x, absent)[0]

    # that p of class 1 should fall is told by the smoothed part of class 1 too
    with_ = jax.grad(of_class_1)(even, 1.0)[..., 1].sum()
    without = jax.grad(of_class_1)(even, 0.0)[..., 1].sum()
    assert with_ > without > 0
    nothing = Dice(smooth=0.0)(20.0 * jax.nn.one_hot(absent, 3), absent)
    assert np.isfinite(nothing).all()


def test_the_loss_is_the_weighted_sum_and_the_summary_is_of_all_pixels_together():
    cfg = Segmentation(PlainUNet((4,), 1), losses=(CrossEntropy(0.5), Dice(2.0)))
    algorithm = cfg(spec())
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (5, 8, 8, 3)).astype(np.uint8),
        "mask": rng.integers(0, 3, (5, 8, 8)).astype(np.uint8),
        "index": np.arange(5, dtype=np.uint32),
    }
    state = jax.jit(algorithm.init)(jax.random.key(0), batch)
    noisy = jax.tree.map(lambda p: p + 0.1 * rng.normal(size=p.shape), state.params)
    state = state.replace(params=noisy)
    values = jax.jit(algorithm.evaluate)(jax.random.key(1), state, batch)
    total = 0.5 * values["cross_entropy"] + 2.0 * values["dice"]
    np.testing.assert_allclose(values["loss"], total, rtol=1e-6)
    p = np.asarray(predicted(noisy, batch, cfg, spec()))
    np.testing.assert_allclose(p.sum(-1), 1.0, rtol=1e-5)
    counts = masks.confusion(batch["mask"], p.argmax(-1), 3)
    np.testing.assert_array_equal(values["counts"], counts)
    found = summary(values)
    assert found["mean_iou"] == pytest.approx(masks.mean_iou(counts).value)
    assert found["accuracy"] == pytest.approx(masks.pixel_accuracy(counts).value)
    assert algorithm.sample is None and algorithm.criterion.name in found


VOID = (CrossEntropy(classes=(1.0, 2.0, 0.0, 1.0)), Dice())


def test_void_pixels_are_neither_learned_nor_judged():
    rng = np.random.default_rng(0)
    cfg = Segmentation(PlainUNet((4,), 1), losses=VOID)
    logits = jnp.asarray(rng.normal(size=(2, 5, 5, 4)), jnp.float32)
    truth = rng.integers(0, 4, (2, 5, 5))
    truth[0, 0] = 2
    unknown = truth == 2
    assert void_of(cfg) == (2,) and void_of(Segmentation()) == ()

    of_parts, counts_of = (jax.jit(each, static_argnums=2) for each in (parts, counted))

    def total(x):
        return parts(x, truth, cfg)["loss"].sum()

    # whatever is said there
    gradient = jax.jit(jax.grad(total))(logits)
    assert not np.any(gradient[unknown]) and np.all(np.any(gradient[~unknown], -1))
    # of who is certain and right about all others there is nothing to lose
    right = 50.0 * jax.nn.one_hot(np.where(unknown, 0, truth), 4)
    np.testing.assert_allclose(of_parts(right, truth, cfg)["dice"], 0.0, atol=1e-6)
    counts = np.asarray(counts_of(right, truth, cfg))
    assert counts.sum() == (~unknown).sum() and not counts[:, 2].any()
    # and void is no answer
    void_said = right + 100.0 * jax.nn.one_hot(np.full(truth.shape, 2), 4)
    np.testing.assert_array_equal(counts_of(void_said, truth, cfg), counts)
    found = summary({"loss": np.zeros(2), "counts": counts})
    assert found["accuracy"] == 1.0 and found["mean_iou"] == 1.0


def test_void_pixels_are_left_out_of_every_measure():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (3, 4, 4))
    p = rng.dirichlet([1, 1, 1], truth.shape)
    rest = p[..., :2] / p[..., :2].sum(-1, keepdims=True)
    unknown = np.zeros(truth.shape, bool)
    unknown[:2, :2] = True
    unknown[2] = True  # a whole picture
    mask = np.where(unknown, 2, truth)
    sums = total(judge(p, mask, (2,)), np.arange(3))
    # by hand, of the known pixels alone
    said, true = rest[~unknown], truth[~unknown]
    of_truth = said[np.arange(len(true)), true]
    flat = masks.confusion(true[None], said.argmax(-1)[None], 2)
    wanted = {
        "accuracy": np.mean(said.argmax(-1) == true),
        "mean_iou": masks.mean_iou(flat).value,
        "nats": -np.log(of_truth).mean(),
        "brier": np.square(said - np.eye(2)[true]).sum(-1).mean(),
        "ece": ece(said, true).value,
    }
    for name, value in wanted.items():
        assert MEASURES[name](sums) == pytest.approx(value, abs=1e-9), name
    # who is right wherever anything is known has all boundaries
    sure = judge(np.eye(3)[np.where(unknown, 0, truth)], mask, (2,))
    np.testing.assert_allclose(sure.edges, 1.0)


# --- a task whose best answer is known -------------------------------------------------------------------------------


class OneByOne(nn.Module):
    """Logits that are linear in a pixel: the smallest fully convolutional net."""

    @nn.compact
    def __call__(self, x, time, cond, out):
        return nn.Conv(out[-1], (1, 1))(x)


def two_normals(n: int, seed: int, side: int = 8) -> dict:
    """Pixels of one class about .4 and of the other about .6 with deviation .1, as often as not; colours are alike."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 2, (n, side, side)).astype(np.uint8)
    middle = np.where(mask, 0.6, 0.4)[..., None]
    image = middle + 0.1 * rng.normal(size=(n, side, side, 1))
    return {
        "image": image.astype(np.float32),
        "mask": mask,
        "index": np.arange(n, dtype=np.uint32),
    }


def test_a_linear_net_reaches_the_accuracy_that_no_other_is_above():
    task = spec(Points((8, 8, 1)), Mask((8, 8), 2), 300)
    task = task._replace(fields=(("image", Image((8, 8, 1))), task.fields[1]))
    cfg = Segmentation(OneByOne(), optimiser=Adam(0.3, decay=CosineDecay()))
    algorithm = cfg(task)
    step = jax.jit(algorithm.step)
    state = jax.jit(algorithm.init)(jax.random.key(0), two_normals(1, 0))
    for i in range(300):
        state, _ = step(jax.random.key(i), state, two_normals(8, i))
    held = two_normals(500, 10_000)
    values = jax.jit(algorithm.evaluate)(jax.random.key(0), state, held)
    found = summary(values)
    # a threshold at 1/2, a deviation from either mean; 32,000 pixels have an error of 0.2 %
    assert found["accuracy"] == pytest.approx(norm.cdf(1.0), abs=0.008)
    # of two classes alike, both IoU are a / (2 - a)
    best = norm.cdf(1.0) / (2 - norm.cdf(1.0))
    assert found["mean_iou"] == pytest.approx(best, abs=0.012)
    # log odds are 20 (x - 1/2), and so are probabilities: they are right as often as they say
    p = np.asarray(predicted(state.params, held, cfg, task))
    exact = 1.0 / (1.0 + np.exp(-20.0 * (held["image"][..., 0] - 0.5)))
    assert np.abs(p[..., 1] - exact).mean() < 0.02
    assert ece(p.reshape(-1, 2)[:5000], held["mask"].ravel()[:5000]).value < 0.02


# --- the net ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 8])
def test_the_ways_up_keep_a_ramp_a_ramp(factor):
    rows = np.arange(6.0)
    ramp = np.float32(rows[:, None] + 10 * rows)[None, :, :, None]
    ramp = np.concatenate([ramp, -ramp], -1)
    up = enlarged(jnp.asarray(ramp), factor)
    if factor == 2:
        net = Doubled()
        up, _ = jax.jit(net.init_with_output)(jax.random.key(0), ramp)
        np.testing.assert_allclose(up, enlarged(jnp.asarray(ramp), 2), atol=1e-5)
    # a fine pixel's place in the coarse map, and what a line has there; the border's values go on
    places = np.clip((np.arange(6 * factor) + 0.5) / factor - 0.5, 0, 5)
    exact = places[:, None] + 10 * places
    np.testing.assert_allclose(up[0, ..., 0], exact, atol=1e-5)
    np.testing.assert_allclose(up[0, ..., 1], -exact, atol=1e-5)


def test_the_kernel_of_a_way_up_is_that_of_the_paper():
    # Long et al.'s code: 1 - |x / f - c| with f = ceil(side / 2), c = (2 f - 1 - f mod 2) / (2 f)
    for factor in (2, 4, 8):
        centre = (2 * factor - 1) / (2 * factor)
        line = 1 - np.abs(np.arange(2 * factor) / factor - centre)
        np.testing.assert_allclose(triangle(factor), line, atol=1e-6)


SMALL = {"widths": (4, 4, 4, 4, 4), "convolutions": 1, "head": 8}


def test_skips_begin_at_nothing_and_then_they_are_heard():
    x = jax.random.normal(jax.random.key(1), (1, 32, 64, 3))
    net = FCN(**SMALL, stride=8)
    out = (32, 64, 3)
    params = jax.jit(lambda: net.init(jax.random.key(0), x, jnp.ones(1), None, out))()["params"]

    @jax.jit
    def answer(params):
        return net.apply({"params": params}, x, jnp.ones(1), None, out)

    deep = answer(params)
    assert deep.shape == (1, *out) and {"up_16", "up_8", "last_16", "last_8"} < set(params)
    further = answer({**params, "last_8": jax.tree.map(lambda p: p + 1.0, params["last_8"])})
    assert not any(np.any(p) for p in jax.tree.leaves(params["last_8"]))
    assert np.abs(further - deep).max() > 0.1


@pytest.mark.all
def test_what_lies_beyond_the_reach_is_not_heard():
    net = FCN(**SMALL, stride=8)
    out = (320, 32, 2)
    x = jax.random.normal(jax.random.key(1), (1, 320, 32, 1))
    params = net.init(jax.random.key(0), x, jnp.ones(1), None, out)
    noisy = jax.tree.map(lambda p: p + 0.1, params)

    def at(x):
        return net.apply(noisy, x, jnp.ones(1), None, out)[0, 160, 16, 0]

    heard = np.abs(jax.grad(at)(x))[0].sum((1, 2)) > 0
    rows = np.flatnonzero(heard)
    assert np.abs(rows - 160).max() <= net.reach < 160


@pytest.mark.parametrize(
    ("net", "shape", "said"),
    [
        (FCN(widths=(4, 4)), (64, 64, 3), "2 widths, and there are 5 pools"),
        (FCN(stride=4), (64, 64, 3), "stride=4 is none of 8, 16, 32"),
        (FCN(), (48, 64, 3), "48x64 does not divide by 32"),
        (FCN(head=0), (64, 64, 3), "head=0 must be at least 1"),
    ],
)
def test_sizes_that_do_not_fit_are_told(net, shape, said):
    with pytest.raises(UserError, match=said):
        net.init(jax.random.key(0), jnp.zeros((1, *shape)), jnp.ones(1), None, (*shape[:2], 2))


# --- what cannot be segmented ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "task", "said"),
    [
        ({}, Spec((("image", FLAT),)), "the field 'mask' is not in the data"),
        ({"mask": "image"}, spec(), "the field 'image' is a Image"),
        ({}, spec(Points((2,))), "Segmentation takes Image"),
        (
            {"losses": (CrossEntropy(classes=(1.0, 0.0, 0.0)),)},
            spec(),
            "leave out 2 of 3 classes",
        ),
        ({}, spec(mask=Mask((4, 4), 3)), "name both fields in every --view"),
        ({}, spec(mask=Mask((8, 8), 1)), "has 1 class"),
        ({"losses": ()}, spec(), "leaves nothing to learn"),
        ({"losses": (Dice(), Dice())}, spec(), "names dice twice"),
        ({"losses": (Dice(smooth=-1.0),)}, spec(), "smooth=-1.0 must be at least 0"),
        ({"losses": (CrossEntropy(0.0),)}, spec(), "weight=0.0 must be above 0"),
        (
            {"losses": (CrossEntropy(classes=(1.0, 2.0)),)},
            spec(),
            "2 weights, and .* 3 classes",
        ),
    ],
)
def test_what_cannot_be_segmented_is_said_in_one_line(changes, task, said):
    cfg = dataclasses.replace(Segmentation(), **changes)
    with pytest.raises(UserError, match=said) as error:
        cfg(task)
    assert "\n" not in str(error.value)


def test_a_flip_moves_the_mask_with_its_picture():
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 3, (64, 4, 5)).astype(np.uint8)
    batch = {"image": np.repeat(mask[..., None], 3, -1), "mask": mask}
    keys = jax.random.split(jax.random.key(0), 64)
    turned = 0
    for view in (Flip(("image", "mask")), Shift(1, ("image", "mask"))):
        seen = view(keys, batch)
        np.testing.assert_array_equal(seen["image"][..., 0], seen["mask"])
        turned += np.any(np.asarray(seen["mask"]) != mask, (1, 2)).sum()
    assert 64 < turned < 128


# --- floors ----------------------------------------------------------------------------------------------------------


def test_floors_know_frequencies_places_and_colours():
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 2, (40, 6, 6)).astype(np.uint8)
    mask[:, 0] = 2  # the first row is always of another class
    image = np.where(mask == 1, 0.8, 0.2)[..., None] * np.ones(3)
    shares = np.bincount(mask.ravel()) / mask.size
    majority = Majority().fit(image, mask, 3)(image[:2])
    np.testing.assert_allclose(majority[1, 3, 3], shares)
    place = Place().fit(image, mask, 4)(image[:2])
    np.testing.assert_allclose(place[0, 0], np.tile([0, 0, 1, 0], (6, 1)))
    np.testing.assert_allclose(place[1, 3, 2, 1], np.mean(mask[:, 3, 2] == 1))
    forest = Forest(10, 1000).fit(image[:30], mask[:30], 4)(image[30:])
    np.testing.assert_allclose(forest.sum(-1), 1.0)
    assert (forest.argmax(-1) == mask[30:]).mean() > 0.99
    again = Forest(10, 1000).fit(image[:30], mask[:30], 4)(image[30:])
    # the same trees, whose votes threads add up in any order
    np.testing.assert_allclose(again, forest, rtol=1e-12, atol=1e-14)
    with pytest.raises(UserError, match="trees=0 must be at least 1"):
        Forest(0).check()


# --- what is measured ------------------------------------------------------------------------------------------------


def test_measures_of_known_probabilities():
    mask = np.zeros((2, 2, 2), int)
    mask[1] = 1
    p = np.zeros((2, 2, 2, 2))
    p[..., 0] = 0.75
    p[..., 1] = 0.25
    judged = judge(p, mask)
    sums = total(judged, np.arange(2))
    found = {name: measure(sums) for name, measure in MEASURES.items()}
    # all is said to be class 0 with 3/4, and half is: right in one half, IoU 1/2 and 0
    assert found["accuracy"] == 0.5 and found["mean_iou"] == 0.25
    assert found["ece"] == pytest.approx(0.25)
    assert found["brier"] == pytest.approx((2 * 0.25**2 + 2 * 0.75**2) / 2)
    assert found["nats"] == pytest.approx(-(np.log(0.75) + np.log(0.25)) / 2)
    flat = ece(p.reshape(-1, 2), mask.ravel())
    assert found["ece"] == pytest.approx(flat.value)


def test_intervals_are_over_groups_and_differences_over_pairs():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (60, 4, 4))
    p = rng.dirichlet([1, 1], (60, 4, 4))
    # five pictures of a person that are one and the same say no more than one of them
    same = np.repeat(np.arange(60), 5)
    alone = interval(MEASURES["mean_iou"], judge(p, truth))
    five = judge(p[same], truth[same])
    together = interval(MEASURES["mean_iou"], grouped(five, same))
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    naive = interval(MEASURES["mean_iou"], five)
    assert naive.high - naive.low < 0.6 * (alone.high - alone.low)
    # a method against itself differs by nothing, for certain
    none = interval(MEASURES["mean_iou"], judge(p, truth), judge(p, truth))
    np.testing.assert_allclose(none, 0.0, atol=1e-12)
    one = interval(MEASURES["ece"], grouped(five, np.zeros(300)))
    assert np.isnan(one.low)


# --- a run -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Bright rectangles on dark ground: class 1, or 2 where they are red. Two pictures of a group are alike."""

    classes: int = field(3, "of the masks")
    size: int = field(16, "side")

    def load(self) -> Source:
        rng = np.random.default_rng(0)
        splits = {}
        for split, n in (("train", 64), ("valid", 8), ("test", 12)):
            image = rng.integers(0, 60, (n, self.size, self.size, 3)).astype(np.uint8)
            mask = np.zeros((n, self.size, self.size), np.uint8)
            for i in range(n):
                top, left = rng.integers(0, self.size - 6, 2)
                kind = 1 + i % 2
                mask[i, top : top + 6, left : left + 6] = kind
                bright = (200, 200, 200) if kind == 1 else (220, 30, 30)
                image[i][mask[i] > 0] = bright
            pair = (np.arange(n) // 2).astype(np.int32)
            splits[split] = {"image": image, "mask": mask, "pair": pair}
        fields = {
            "image": Image((self.size, self.size, 3)),
            "mask": Mask((self.size, self.size), self.classes),
            "pair": Category(32),
        }
        return Source("blocks", fields=fields, **splits)


FLOORS = (Majority(), Place(), Forest(5, 2000))
EXP = Experiment(
    Blocks(),
    Segmentation(PlainUNet((8,), 1, bias=True), optimiser=Adam(3e-3)),
    steps=60,
    batch=16,
    view=(Flip(("image", "mask")),),
    every=Every(log=20, evaluate=30, sample=0, save=60),
    finish=(Segmenting(group="pair", names=("ground", "grey", "red"), floors=FLOORS, shown=3),),
)


@pytest.fixture(scope="module")
def this(tmp_path_factory):
    home = {"runs": str(tmp_path_factory.mktemp("runs"))}
    return loop.run("segment", edit(EXP, home), "blocks")


def test_a_run_is_measured_beside_its_floors_and_drawn(this):
    found = this.log.result("segmented: net")
    assert found["n"] == 12 and found["groups"] == 6
    # rectangles of clear colours are easy, and where they are nobody could know
    assert found["mean_iou"] > 0.8
    place = this.log.result("segmented: place")["mean_iou"]
    ends = this.log.result("segmented: above")
    assert ends["place"] == pytest.approx(found["mean_iou"] - place)
    assert ends["place low"] < ends["place"] < ends["place high"]
    assert this.log.result("iou red")["net"] > 0.7
    for name in ("segmented", "worst", "reliability"):
        picture = this.log.directory / "samples" / f"{name}.png"
        assert np.asarray(Pillow.open(picture)).ndim == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"algorithm": Autoencoder(enc=MLP((4,)), dec=MLP((4,)))}, "says no class of a pixel"),
        ({"finish.Segmenting.group": "scene"}, "no such field, it has image, mask, pair"),
        ({"finish.Segmenting.group": "mask"}, r"group=mask has \(16, 16\) numbers a picture"),
        ({"finish.Segmenting.names": ("a", "b")}, "has 2 names, and the masks have 3 classes"),
        ({"finish.Segmenting.images": 0}, "images=0 must be at least 1"),
        ({"view": (Flip(),)}, "moves the field 'image' alone"),
        ({"view": (Shift(1, ("mask",)),)}, "moves the field 'mask' alone"),
        ({"view": (Crop(8),)}, "moves the field 'image' alone"),
        ({"data": Digits(), "finish.Segmenting.group": ""}, "not in the data"),
    ],
)
def test_what_cannot_be_measured_is_told_before_training(changes, said, tmp_path):
    with pytest.raises(UserError, match=said):
        loop.run("segment", edit(EXP, {"runs": str(tmp_path / "r"), **changes}), "blocks")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("view", [Flip(), Shift(1, ("mask",)), Crop(8)])
def test_masks_are_never_left_beside_their_pictures_whatever_is_measured(view):
    exp = edit(EXP, {"finish": (), "view": (view,)})
    with pytest.raises(UserError, match="masks would lie beside their pictures"):
        bind(exp, Blocks(size=8).load())


@pytest.mark.parametrize("view", [Crop(4, ("image", "mask")), Shift(1, ("mask", "image"))])
def test_fields_of_two_sizes_are_not_cut_or_moved_together(view):
    fields = {"image": Image((8, 8, 3)), "mask": Mask((4, 4), 3)}
    with pytest.raises(UserError, match="needs fields of one size") as error:
        view.check(fields)
    assert "\n" not in str(error.value)
    view.check({**fields, "mask": Mask((8, 8), 3)})


# --- pictures of one's own -------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    """A folder with pictures: large, grey, too small, and none."""
    home = tmp_path / "in"
    home.mkdir()
    rng = np.random.default_rng(0)
    large = rng.integers(0, 60, (50, 37, 3)).astype(np.uint8)
    large[10:30, 5:25] = (220, 30, 30)
    Pillow.fromarray(large).save(home / "large.png")
    Pillow.fromarray(large[..., 0]).save(home / "grey.png")
    Pillow.fromarray(large[:1, :1]).save(home / "tiny.png")
    (home / "text.png").write_text("no picture")
    return home


@pytest.fixture
def command(this, pictures, capsys):
    """command(*arguments) -> (exit code, folder, stdout, stderr); $ stands for the folder of pictures."""

    def call(*arguments):
        out = pictures.parent / "out"
        given = [each.replace("$", str(pictures)) for each in arguments]
        code = segment.main([str(this.log.directory), *given, f"--out={out}"])
        return code, out, *capsys.readouterr()

    return call


def test_the_mask_of_a_picture_of_any_size_is_what_the_net_says_whatever_the_tiles(
    command, pictures, this
):
    code, out, said, _ = command(
        "$/large.png", "$/grey.png", "--tile=40", "--names=('ground','grey','red')"
    )
    assert code == 0 and "ground 7" in said
    image = Pillow.open(out / "large.png")
    assert image.mode == "P" and image.size == (37, 50)
    found = np.asarray(image)
    seen = np.asarray(Pillow.open(pictures / "large.png")) / np.float32(255)
    np.testing.assert_array_equal(found, segmenter(this)(seen))
    assert (found[12:28, 7:23] == 2).mean() > 0.95
    # the colours are those of the classes
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette()[found])


def test_masks_that_were_written_are_data_to_train_on(command, pictures, this):
    command("$/large.png")
    Pillow.open(pictures / "large.png").save(pictures.parent / "large.png")
    home = pictures.parent / "only"
    home.mkdir()
    (home / "large.png").write_bytes((pictures / "large.png").read_bytes())
    data = Masks(str(home), str(pictures.parent / "out"), size=(50, 37), classes=3, test=0.0)
    source = data.load()
    found = np.asarray(Pillow.open(pictures.parent / "out" / "large.png"))
    np.testing.assert_array_equal(source.train["mask"][0], found)


def test_a_net_that_says_no_numbers_makes_no_mask(command, monkeypatch):
    def diverged(params, x, cfg, classes):
        return jnp.full((*x.shape[:3], classes), jnp.nan)

    monkeypatch.setattr("genjax.findings.segmenter.answer", diverged)
    code, out, _, error = command("$/large.png")
    assert code == 2 and not out.exists()
    assert "large.png: the net says no numbers" in error and "diverged" in error


def test_a_picture_may_be_looked_at_in_another_size_and_shown_with_its_mask(command):
    code, out, _, _ = command("$/large.png", "--scale=0.5", "--overlay")
    shown = np.asarray(Pillow.open(out / "large.png"))
    assert code == 0 and shown.shape == (50, 37, 3)
    # half red, half the colour of class 2
    half = (np.array([220, 30, 30]) + palette()[2]) / 2
    assert np.abs(shown[20, 15] - half).max() < 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("$/gone.png", "is no file"),
        ("$/text.png", "cannot be read as an image"),
        ("$/large.png $/tiny.png", "tiny.png: .*smaller than the net's unit"),
        ("$/large.png $/large.png", "2 of the pictures are called large"),
        ("$/large.png --scale=0", "scale=0.0 must be above 0"),
        ("$/large.png --scale=1e9", "choose another"),
        ("$/large.png --tile=0", "tile=0 must be at least 1"),
        ("$/large.png --names=('a','b')", "2 names, and this model tells 3 classes"),
        ("", "expected RUN FILE..."),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(command, arguments, said):
    code, out, _, error = command(*arguments.split())
    assert code == 2 and not out.exists()
    assert len(error.strip().splitlines()) == 1
    with pytest.raises(UserError, match=said):
        raise UserError(error.strip())


# --- a folder of one's own -------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, capsys):
    """folder(*flags, change=…) -> (exit code, lines of stderr, folder of runs) of the experiment on such pictures."""

    def call(*flags, change=None):
        rng = np.random.default_rng(0)
        for name in "abcdefghijklmnopqrst":
            mask = np.zeros((20, 24), np.uint8)
            mask[5:15, 5:15] = 1
            image = (200 * mask)[..., None] + rng.integers(0, 50, (20, 24, 3))
            for kind, array in (("images", image), ("masks", mask)):
                (tmp_path / kind).mkdir(exist_ok=True)
                picture = Pillow.fromarray(array.astype(np.uint8))
                picture.save(tmp_path / kind / f"{name}.png")
        if change is not None:
            change(tmp_path / "masks" / "c.png")
        runs = tmp_path / "runs"
        argv = [f"--data.{kind}={tmp_path / kind}s" for kind in ("image", "mask")]
        argv = ["folder", *argv, "--data.size=16", "--data.test=0.3", f"--runs={runs}", *flags]
        with pytest.raises(SystemExit) as end:
            cli.main(EXPERIMENTS, functools.partial(loop.run, "segment"), "", argv)
        return end.value.code, capsys.readouterr().err.splitlines(), runs

    return call


def smaller(path):
    Pillow.open(path).resize((12, 10)).save(path)


def strange(path):
    mask = np.array(Pillow.open(path))
    mask[0, 0] = 7
    Pillow.fromarray(mask).save(path)


@pytest.mark.parametrize(
    ("change", "flags", "said"),
    [
        (smaller, (), "c.png is 12x10 and its picture 24x20"),
        (strange, (), "c.png has 1 pixels of 7, and the classes are 0 to 1"),
        (
            None,
            ("--batch=4", "--finish.Segmenting.names=('a',)"),
            "1 names, and the masks have 2 classes",
        ),
    ],
)
def test_masks_that_do_not_fit_are_told_in_one_line_and_nothing_is_written(
    folder, change, flags, said
):
    code, lines, runs = folder(*flags, change=change)
    errors = [line for line in lines if line.startswith("error: ")]
    assert code == 2 and len(errors) == 1 and said in errors[0]
    assert not runs.exists()


@pytest.mark.all
def test_a_folder_of_one_s_own_is_trained_on_and_measured(folder):
    tiny = ["--steps=2", "--batch=4", "--algorithm.net=PlainUNet((4,), 1)"]
    floors = "--finish.Segmenting.floors=(Majority(), Place())"
    code, lines, runs = folder(*tiny, floors)
    assert code == 0 and any("mean IoU above that of place" in line for line in lines)
    assert len(list(runs.glob("segment/*/samples/*.png"))) == 3


def test_a_run_of_another_kind_is_refused_and_help_is_the_module_s_own(capsys):
    with pytest.raises(UserError, match="Autoencoder says no class of a pixel"):
        check_segmentation(Autoencoder())
    assert segment.main(["--help"]) == 0
    assert "--overlay" in capsys.readouterr().out


def test_colours_legend_and_mistakes(tmp_path):
    colours = palette(30)
    apart = np.abs(colours[:, None].astype(int) - colours).sum(-1)
    assert apart[~np.eye(30, dtype=bool)].min() > 20 and not colours[0].any()
    narrow = legend([f"class {i}" for i in range(20)], 200)
    assert narrow.shape[1] == 200 and narrow.shape[0] > 100
    taken = np.zeros((1, 2, 2), int)
    truth = taken.copy()
    truth[0, 1, 1] = 1
    drawn = mistakes(np.ones((1, 2, 2, 3)), taken, truth)
    np.testing.assert_allclose(drawn[0, 0, 0], 0.5)
    assert drawn[0, 1, 1, 0] == 1.0
    with pytest.raises(UserError, match="cannot write the mask"):
        save_mask(tmp_path, truth[0].astype(np.uint8))
