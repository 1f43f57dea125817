"""Codes that are looked at: probes, maps, sizes, strangers and arithmetic, against answers that are known."""

import json
from types import SimpleNamespace

import flax.linen as nn
import jax
import numpy as np
import pytest
from PIL import Image as Pillow
from scipy.stats import norm

from experiments import latents
from genjax import config
from genjax.ae import autoencoder
from genjax.ae.autoencoder import Autoencoder
from genjax.classical import Ppca
from genjax.conditions import Label
from genjax.config import edit
from genjax.core import Spec, example_normal, labelled
from genjax.data import Blank, Digits, Folder, Toy
from genjax.data.enlarged import Enlarged
from genjax.data.heads import Heads, render
from genjax.diffusion import features
from genjax.diffusion.gaussian import Diffusion, algorithm
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.findings import tabled
from genjax.findings.directions import Means, Regression, Truth, effect, psnr, said, square
from genjax.findings.encoders import (
    Coder,
    Entry,
    Learned,
    Middle,
    Pixels,
    Principal,
    Projected,
    Task,
)
from genjax.findings.knobs import Age, Sex, Smile, Yaw, between, world_of
from genjax.findings.latents import Facts
from genjax.findings.seen import Seen, alike
from genjax.findings.sized import Kind, Sizes, principal_errors
from genjax.findings.specific import Asked, Specific, loss, told_apart
from genjax.metrics import maps
from genjax.metrics.components import principal
from genjax.metrics.probe import Labelled, majority, probed, scale_of
from genjax.metrics.reader import Read, Reader
from genjax.nets import MLP, DiT, UNet
from genjax.training.experiment import Experiment
from genjax.vae import vae
from genjax.vae.likelihoods import Gaussian as GaussianLikelihood
from genjax.vae.vae import VAE
from genjax.views import Crop

RNG = np.random.default_rng(0)
CLOUDS = np.concatenate([RNG.standard_normal((60, 8)) + 6 * i * np.eye(8)[i] for i in range(3)])
LABELS = np.repeat(np.arange(3), 60)


# Probes


def two_gaussians(n, seed):
    """Two classes as often, N(± m, S): Bayes' rule is linear, right with probability Φ(sqrt(m' S⁻¹ m))."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    root = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 0.5, 30.0]])
    mean = np.array([0.4, 0.9, 20.0])
    sides = 2.0 * labels - 1.0
    codes = sides[:, None] * mean + rng.standard_normal((n, 3)) @ root.T
    distance = np.sqrt(mean @ np.linalg.solve(root @ root.T, mean))
    return Labelled(codes, labels), norm.cdf(distance)


def test_a_probe_of_two_gaussians_is_as_good_as_bayes():
    train, best = two_gaussians(1500, 0)
    valid, _ = two_gaussians(1000, 1)
    test, _ = two_gaussians(20_000, 2)
    found = probed(train, valid, test)
    error = np.sqrt(best * (1 - best) / 20_000)
    assert 0.6 < best < 0.95 and abs(found.accuracy.value - best) < 4 * error
    assert found.accuracy.low < best < found.accuracy.high + error


def test_a_probe_of_noise_finds_nothing_and_its_penalty_is_strong():
    codes = RNG.standard_normal((600, 50))
    labels = RNG.integers(0, 2, 600)
    part = [Labelled(codes[i : i + 200], labels[i : i + 200]) for i in (0, 200, 400)]
    found = probed(*part)
    assert 0.35 < found.accuracy.value < 0.65


def test_scale_and_unit_of_a_code_do_not_matter_to_a_probe():
    train, _ = two_gaussians(500, 3)
    other = Labelled(train.codes * [1e-3, 50.0, 1e4] + 7.0, train.labels)
    assert probed(train, train, train).accuracy == probed(other, other, other).accuracy
    constant = np.full((9, 2), 3.0)
    np.testing.assert_array_equal(scale_of(constant)(constant), 0.0)


def test_who_always_says_the_same_has_its_share():
    train, test = np.array([2, 2, 0, 1]), np.array([2, 0, 2, 2, 1])
    assert majority(train, test).value == 0.6


# Maps


def test_identity_is_trusted_wholly_and_a_shuffle_is_not():
    assert maps.trustworthiness(CLOUDS, CLOUDS) == 1.0
    order = np.random.default_rng(1).permutation(len(CLOUDS))
    assert maps.trustworthiness(CLOUDS, CLOUDS[order]) < 0.7


def test_divergence_is_that_of_scikit_learns_exact_method():
    from sklearn.manifold import TSNE

    few = CLOUDS[::3]
    model = TSNE(2, method="exact", perplexity=8, init="pca", random_state=0, max_iter=750)
    points = model.fit_transform(few.astype(np.float32))
    ours = maps.divergence(few, points, 8.0)
    np.testing.assert_allclose(ours, model.kl_divergence_, rtol=2e-3)


def test_every_point_minds_as_many_neighbours_as_its_perplexity_says():
    squares = maps.distances(CLOUDS)
    p = maps.affinities(squares, 20.0)
    np.testing.assert_allclose(p.sum(), 1.0)
    np.testing.assert_array_equal(p, p.T)
    assert not np.diag(p).any()
    # on a ring all points are alike, so that p_j|i = N p_ij
    angle = 2 * np.pi * np.arange(40) / 40
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    row = 40 * maps.affinities(maps.distances(ring), 7.0)[0]
    row = row[row > 0]
    np.testing.assert_allclose(np.exp(-np.sum(row * np.log(row))), 7.0, rtol=1e-6)


def test_distances_are_exact_where_codes_lie_far_from_the_origin():
    x = np.array([[1e6, 0.0], [1e6 + 3, 4.0]])
    np.testing.assert_allclose(maps.distances(x), [[0, 25], [25, 0]])


def test_neighbours_vote_without_the_point_itself():
    assert maps.votes(CLOUDS, LABELS).value > 0.98
    line = np.array([[0.0], [1.0], [2.1], [3.3]])
    # one neighbour: 1, 0, 1, 2, so the labels of 0 and 1 agree and those of 2 and 3 are 1's and 2's
    assert maps.votes(line, np.array([0, 0, 1, 1]), 1).value == 0.75
    # of two votes for different labels the nearer counts
    assert maps.votes(line, np.array([0, 0, 1, 1]), 2).value == 0.75


def test_a_map_draws_clouds_apart():
    few, labels = CLOUDS[::3], LABELS[::3]
    points = maps.tsne(few, 8.0)
    assert points.shape == (60, 2) and maps.votes(points, labels, 5).value > 0.95
    assert maps.trustworthiness(few, points, 5) > 0.8


def test_codes_of_one_number_have_a_map_too():
    line = np.arange(40.0)[:, None]
    points = maps.tsne(line, 5.0)
    assert points.shape == (40, 2) and maps.trustworthiness(line, points, 5) > 0.9


def test_what_no_map_can_be_made_of_is_one_line():
    with pytest.raises(
        UserError, match="perplexity=30 needs more than 90 points and there are 40"
    ):
        maps.tsne(CLOUDS[:40])
    with pytest.raises(UserError, match="all codes are the same"):
        maps.tsne(np.ones((100, 3)))
    with pytest.raises(UserError, match="trustworthiness of 10 neighbours"):
        maps.trustworthiness(CLOUDS[:20], CLOUDS[:20])
    with pytest.raises(UserError, match="10 neighbours of 5 points"):
        maps.votes(CLOUDS[:5], LABELS[:5])


# The middle of a net


class Net(nn.Module):
    """Its block is linear, so that its features are known."""

    @nn.compact
    def __call__(self, x, time, cond, out):
        seen = x if cond is None else x + 100.0 * cond.vector.sum()
        h = nn.Dense(5, name="middle")(seen)
        return nn.Dense(out[-1], name="last")(h)


def task(cfg, shape, n=4, classes=3):
    """(params, batch, cfg, spec) of a diffusion model on pictures."""
    spec = labelled(Image(shape), classes)
    images = RNG.integers(0, 256, (n, *shape)).astype(np.uint8)
    index = np.arange(n, dtype=np.uint32)
    batch = {"image": images, "label": index.astype(np.int32) % classes, "index": index}
    return algorithm(cfg, spec), batch, cfg, spec


def test_features_are_the_blocks_output_in_the_mean_over_places():
    cfg = Diffusion(Net(), condition=(Label(),), std=0.5)
    made, batch, _, spec = task(cfg, (4, 4, 1))
    params = jax.jit(made.init)(jax.random.key(0), batch).params
    key, level = jax.random.key(1), 0.5
    found = features.middle(params, key, batch, cfg, spec, level)
    # by hand: on the straight path sigma / alpha = 1/2 is t = 1/3; the label is hidden, so the net adds 0
    x = spec.encode(batch)
    eps = example_normal(key, batch["index"], (4, 4, 1))
    z = (2 / 3) * x + (1 / 3) * eps
    seen = z / np.sqrt((0.5 * 2 / 3) ** 2 + (1 / 3) ** 2)
    layer = params["net"]["middle"]
    wanted = (seen.mean((1, 2)) @ layer["kernel"]) + layer["bias"]
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=1e-5)
    other = {**batch, "label": (batch["label"] + 1) % 3}
    again = features.middle(params, key, other, cfg, spec, level)
    np.testing.assert_array_equal(found, again)
    with pytest.raises(UserError, match="no block 'block_3': read one of last, middle"):
        features.middle(params, key, batch, cfg, spec, level, "block_3")
    with pytest.raises(UserError, match="level=0"):
        features.middle(params, key, batch, cfg, spec, 0.0)


def test_the_middle_sees_pictures_as_its_run_does(tmp_path):
    exp = Experiment(Digits(), Diffusion(Net(), std=0.5), batch=16, view=(Crop(4),))
    source = Digits().load()
    few = {name: array[:60] for name, array in source.train.items()}
    run = Learned(exp, Middle("middle", (0.5,)), trained=False)
    coder = run.start("x", Task(Digits(), source, few, few, 0, str(tmp_path), {}))
    # the middle of the middle is itself
    inner = {**few, "image": few["image"][:, 2:6, 2:6]}
    np.testing.assert_array_equal(coder.encode(few), coder.encode(inner))


@pytest.mark.parametrize(
    ("net", "block", "shape"),
    [
        (UNet((8, 16), 1, 2, ()), "middle", (2, 2, 2, 16)),
        (DiT(2, 16, 2, 2), "block_1", (2, 16, 16)),
    ],
    ids=["unet", "dit"],
)
def test_the_blocks_of_the_nets_have_names(net, block, shape):
    made, batch, cfg, spec = task(Diffusion(net), (8, 8, 1), 2)
    params = jax.eval_shape(made.init, jax.random.key(0), batch).params
    assert features.blocks(params, batch, cfg, spec)[block] == shape


# Linear nets, whose answers are known


def rows_of_rank(n, seed):
    rng = np.random.default_rng(seed)
    spread = np.array([3.0, 2.0, 1.5, 0.3, 0.2, 0.1])
    turn, _ = np.linalg.qr(np.random.default_rng(9).standard_normal((6, 6)))
    return ((rng.standard_normal((n, 6)) * spread) @ turn + 2.0).astype(np.float32)


def test_a_linear_vae_at_its_best_is_probabilistic_pca():
    x, k = rows_of_rank(500, 0), 3
    centred = x - x.mean(0)
    variances, directions = np.linalg.eigh(centred.T @ centred / len(x))
    noise = variances[:-k].mean()  # Tipping & Bishop, eq. 8
    w = directions[:, -k:] * np.sqrt(variances[-k:] - noise)  # eq. 7
    m = (w**2).sum(0) + noise  # W' W + s² I is diagonal
    inverse = w / m
    enc = np.concatenate([inverse, np.zeros((6, k))], 1)  # mean and log variance
    shift = np.concatenate([-x.mean(0) @ inverse, np.log(noise / m)])
    params = {
        "enc": {"Dense_0": {"kernel": enc, "bias": shift}},
        "dec": {"Dense_0": {"kernel": w.T, "bias": x.mean(0)}},
    }
    cfg = VAE(k, MLP(), MLP(), GaussianLikelihood(float(np.sqrt(noise))), log_var=(-20.0, 5.0))
    spec = Spec((("point", Points((6,))),))
    new = rows_of_rank(40, 1)
    posterior = vae.encode(params, new, None, cfg)
    np.testing.assert_allclose(posterior[0], (new - x.mean(0)) @ inverse, rtol=1e-4, atol=1e-4)
    keys = jax.random.split(jax.random.key(0), 40)
    log_w, _ = vae.log_weights(params, keys, new, posterior, None, cfg, spec, 5)
    # q is the posterior: log p(x, z) - log q(z | x) is log p(x) whatever z was drawn, and the bound is tight
    zeros = np.zeros(500, np.int32)
    exact = Ppca(k).fit(x, zeros).log_prob(new, zeros[:40])
    np.testing.assert_allclose(log_w, np.broadcast_to(exact, (5, 40)), rtol=1e-4, atol=2e-3)


def test_a_linear_autoencoder_at_its_best_has_the_error_of_components():
    x, new = rows_of_rank(500, 0), rows_of_rank(200, 1)
    low, high = x.min(), x.max()
    x, new = (x - low) / (high - low), np.clip((new - low) / (high - low), 0, 1)
    found = principal(x, 6, rank=0.0)
    d = found.directions[:2]
    params = {
        "enc": {"Dense_0": {"kernel": d.T, "bias": -found.mean @ d.T}},
        "dec": {"Dense_0": {"kernel": d, "bias": found.mean}},
    }
    spec = Spec((("point", Points((6,))),))
    batch = {"point": new, "index": np.arange(200, dtype=np.uint32)}
    parts = autoencoder.loss(params, batch, Autoencoder(2), spec)
    np.testing.assert_allclose(parts["mse"], principal_errors(found, new, 2), rtol=1e-4)
    # of the training set it is what the other components vary by
    left = found.variance[2:].sum() * (499 / 500) / 6
    np.testing.assert_allclose(principal_errors(found, x, 2).mean(), left, rtol=1e-3)
    assert principal_errors(found, x, 6).max() < 1e-10
    gradient = jax.grad(
        lambda p: autoencoder.loss(p, {**batch, "point": x[:200]}, Autoencoder(2), spec)[
            "mse"
        ].mean()
    )
    own = principal(x[:200], 6, rank=0.0)
    d = own.directions[:2]
    best = {
        "enc": {"Dense_0": {"kernel": d.T, "bias": -own.mean @ d.T}},
        "dec": {"Dense_0": {"kernel": d, "bias": own.mean}},
    }
    for leaf in jax.tree.leaves(gradient(best)):
        assert np.abs(leaf).max() < 1e-5  # nothing is left to learn


# Strangers


def test_errors_tell_strangers_as_often_as_they_are_higher():
    own, strange = np.array([1.0, 2.0, 3.0]), np.array([2.5, 4.0])
    assert told_apart(own, strange) == 5 / 6
    assert told_apart(own, own) == 0.5 and told_apart(strange + 9, own) == 0.0


def test_the_mean_picture_loses_all_and_the_truth_nothing():
    images = RNG.integers(0, 256, (50, 3, 3, 1)).astype(np.uint8)
    mean = images.mean(0) / 255
    coder = Coder(lambda split: split["image"] / 255, lambda codes: codes)
    assert loss(coder, images).share.value < 1e-10
    flat_ = Coder(coder.encode, lambda codes: np.broadcast_to(mean, codes.shape))
    np.testing.assert_allclose(loss(flat_, images).share.value, 1.0, rtol=1e-5)


def test_pictures_are_enlarged_within_a_border():
    source = Enlarged(Digits(), 28, 4).load()
    image = source.test["image"]
    assert image.shape == (360, 28, 28, 1) and source.shape == (28, 28, 1)
    assert not image[:, :4].any() and not image[:, :, -4:].any()
    small = Digits().load().test["image"]
    means = image[:, 4:-4, 4:-4].mean((1, 2, 3)), small.mean((1, 2, 3))
    assert np.corrcoef(*means)[0, 1] > 0.98
    with pytest.raises(UserError, match="border=14 leaves nothing of 28"):
        Enlarged(Digits(), 28, 14).load()
    with pytest.raises(UserError, match="has none"):
        Enlarged(Toy(), 28).load()


# Arithmetic


HEADS = Heads(16, people=60, shots=3)


def test_the_renderers_worlds_are_the_pictures_of_the_set():
    world = world_of(HEADS, "test")
    source = HEADS.load()
    people = world.people.number[world.shots.person]
    np.testing.assert_array_equal(people, source.test["person"])
    np.testing.assert_array_equal(world.shots.years, source.test["age"][:, 0])
    few = world.rows(np.array([4, 1]))
    drawn = render(few.people, few.shots, 16).image
    np.testing.assert_array_equal(drawn, source.test["image"][[4, 1]])


@pytest.mark.parametrize("knob", [Age(), Yaw(), Smile(), Sex()], ids=lambda knob: knob.name)
def test_a_knob_turns_one_thing_alone(knob):
    world = world_of(HEADS, "test").rows(np.arange(4))
    for to in knob.to:
        turned = knob.turned(world, to)
        np.testing.assert_allclose(knob.of(turned), to, rtol=1e-6)
        for other in (Age(), Yaw(), Smile(), Sex()):
            if other.name != knob.name:
                np.testing.assert_array_equal(other.of(turned), other.of(world))
    assert knob.wanted(knob.to[-1]) != knob.wanted(knob.to[0])


def test_a_path_of_the_renderer_begins_and_ends_at_its_people():
    world = world_of(HEADS, "test")
    first, second = world.rows(np.arange(3)), world.rows(np.arange(3, 6))
    for t, end in ((0.0, first), (1.0, second)):
        one = between(first, second, t)
        image = render(one.people, one.shots, 16).image
        wanted = render(end.people, end.shots, 16).image
        assert np.abs(image.astype(int) - wanted).max() <= 1  # the light's length, rounded
    middle = between(first, second, 0.5)
    np.testing.assert_allclose(middle.shots.years, (first.shots.years + second.shots.years) / 2)
    np.testing.assert_allclose(np.linalg.norm(middle.shots.light, axis=1), 1.0, rtol=1e-5)


def test_regression_finds_directions_of_knobs_that_go_together():
    rng = np.random.default_rng(5)
    first = rng.standard_normal(4000)
    values = np.stack([first, 0.8 * first + 0.6 * rng.standard_normal(4000)], 1)
    true = rng.standard_normal((2, 7))
    codes = values @ true + 3.0 + 0.1 * rng.standard_normal((4000, 7))
    for i in range(2):
        np.testing.assert_allclose(Regression()(codes, values, i), true[i], atol=0.02)
    # the difference of means answers for both
    mixed = Means()(codes, values, 0)
    np.testing.assert_allclose(mixed, true[0] + 0.8 * true[1], atol=0.1)
    alone = Means()(codes, values[:, :1], 0)
    assert alone.shape == (7,)


def test_means_of_a_knob_that_is_mostly_at_one_end():
    values = np.zeros((10, 1))
    values[7:] = 2.0
    codes = np.where(values > 0, [5.0, 1.0], [1.0, 1.0])
    np.testing.assert_allclose(Means()(codes, values, 0), [2.0, 0.0])


def read_levels(images):
    """A reader to whom the left half's level is the age, 0 to 100 years, and the right half's the yaw."""
    x = np.asarray(images, np.float32)
    x = x / 255 if images.dtype == np.uint8 else x
    numbers = np.stack([100 * x[:, :, :2].mean((1, 2, 3)), x[:, :, 2:].mean((1, 2, 3))], 1)
    return Read(x.reshape(len(x), -1), None, np.zeros((len(x), 0)), numbers)


FACTS = Facts(Reader(), read_levels, (), ("age", "yaw"))


def test_an_effect_is_measured_by_what_is_read_and_by_what_else_changes():
    knob = Age((20.0, 60.0))
    images = np.zeros((2, 3, 4, 4, 1))
    images[:, :, :, 2:] = 0.5
    images[0, :, :, :2], images[1, :, :, :2] = 0.2, 0.6
    truth_ = np.rint(255 * images).astype(np.uint8)
    head = np.ones((2, 3, 4, 4), bool)
    truth = Truth(truth_, head, said(truth_, FACTS))
    spread = {"age": 10.0, "yaw": 0.1}
    perfect = effect(images, knob, truth, FACTS, spread)
    assert perfect.error.value < 1e-4 and perfect.leak < 0.03 and perfect.psnr.value > 50
    np.testing.assert_allclose(perfect.slope, 1.0, rtol=1e-4)
    half = images.copy()
    half[1, :, :, :2] = 0.4  # as far as half of what was asked
    half[..., 2:, :] += 0.2  # and the other half went along: two deviations
    found = effect(half, knob, truth, FACTS, spread)
    np.testing.assert_allclose(
        [found.error.value, found.slope, found.leak], [10.0, 0.5, 2.0], rtol=0.02
    )
    # squares 0 and 0.04 of the halves at the first place, 0.04 and 0.04 at the second
    np.testing.assert_allclose(found.psnr.value, -10 * np.log10(0.03), rtol=0.01)


def test_pixels_outside_of_the_head_do_not_count():
    image = np.zeros((1, 2, 2, 1))
    truth_ = np.array([[255, 0], [51, 0]], np.uint8).reshape(1, 2, 2, 1)
    where = np.array([[[False, True], [True, True]]])
    near = square(image, truth_, where)
    np.testing.assert_allclose(psnr(near), -10 * np.log10(0.04 / 3))


# The findings, whole


@pytest.mark.all
def test_everything_is_seen_side_by_side(tmp_path, capsys):
    small = {"steps": 2, "every.save": 2, "evaluate_batch": 20}
    # one size of batch for all splits: one program a level
    flow = edit(latents.experiment(latents.FLOW, 2, 16), {"evaluate_batch": 20})
    flow = edit(flow, {"algorithm.net": DiT(4, 16, 1, 2)})
    middle = Middle("block_0", (0.2, 0.8))
    cfg = edit(
        latents.EXPERIMENTS["digits"],
        {
            "encoders": (
                Entry("pixels", Pixels()),
                Entry("PCA", Principal(4)),
                Entry("random", Projected(4)),
                Entry("flow", Learned(flow, middle, trained=False)),
                Entry("ae", Learned(edit(latents.LINEAR, {**small, "algorithm.latent": 4}))),
                Entry("ae at first", Learned(latents.LINEAR, trained=False)),
            ),
            "shown": ("PCA", "ae"),
            "points": 60,
            "perplexity": 5.0,
            "fit": 200,
            "valid": 60,
            "test": 200,
            "runs": str(tmp_path),
        },
    )
    cfg("digits", {"question": "?"})
    (folder,) = (tmp_path / "latents").glob("digits-*")
    results = json.loads((folder / "results.json").read_text())
    assert results["PCA"]["size"] == 4 and results["pixels"]["trustworthiness_to_pixels"] == 1.0
    assert (
        results["PCA"]["linear_probe"]["value"] > 0.6 > results["majority"]["accuracy"]["value"]
    )
    assert results["flow"]["level"] in (0.2, 0.8) and results["flow"]["size"] == 16
    assert results["ae"]["linear_probe"]["n"] == 200
    assert (folder / "samples" / "maps.png").exists() and (folder / "report.html").exists()
    assert "| ae at first | 64 |" in capsys.readouterr().out
    names = sorted(path.name.split("-")[0] for path in (tmp_path / "latents").iterdir())
    assert names == ["ae", "digits"]  # what is untrained leaves nothing


def test_sizes_and_strangers_are_measured(tmp_path, capsys):
    linear = edit(latents.LINEAR, {"steps": 2, "batch": 32, "every.save": 2})
    sizes = Sizes(Digits(), (Kind("linear", linear),), (1, 3), runs=str(tmp_path))
    sizes("sizes", {})
    sets = (Asked("a", Digits(), 2), Asked("b", Enlarged(Digits(), 8, 1), 2))
    specific = Specific(edit(linear, {"algorithm.latent": 3}), sets, 100, runs=str(tmp_path))
    specific("specific", {})
    told = capsys.readouterr().out
    assert "| PCA of a |" in told and "| 3 |" in told
    (folder,) = (tmp_path / "latents").glob("sizes-*")
    results = json.loads((folder / "results.json").read_text())
    assert results["PCA"]["3"]["ratio"]["value"] == 1.0
    assert results["linear"]["1"]["ratio"]["low"] > 1.0
    assert results["PCA"]["1"]["mse"]["high"] < results["mean picture"]["mse"]["low"]
    (folder,) = (tmp_path / "latents").glob("specific-*")
    results = json.loads((folder / "results.json").read_text())
    # PCA of its own data keeps more of them than of others'
    assert results["PCA of a"]["a"]["value"] < results["PCA of a"]["b"]["value"]
    assert (folder / "samples" / "asked.png").exists()


@pytest.mark.all
def test_codes_of_faces_are_moved_and_mixed(tmp_path, capsys):
    reader = edit(latents.HEADS.reader, {"widths": (8,), "features": 8, "steps": 3})
    entries = (Entry("pixels", Pixels()), Entry("PCA", Principal(8)))
    changes = {"data": HEADS, "encoders": entries, "reader": reader, "runs": str(tmp_path)}
    cfg = edit(latents.HEADS, {**changes, "years": (1.0, 90.0)})
    cfg("heads", {})
    (folder,) = (tmp_path / "latents").glob("heads-*")
    results = json.loads((folder / "results.json").read_text())
    itself = results["age: the renderer itself"]
    assert itself["leak"] < 1e-4 and itself["psnr"]["value"] == pytest.approx(100.0)
    # pixels hold every picture
    held = results["age: pixels, through the code"]
    assert held["psnr"]["value"] > 60 and abs(held["slope"] - itself["slope"]) < 1e-3
    assert results["age: pixels, unmoved"]["slope"] == pytest.approx(0.0, abs=1e-6)
    assert results["path: renderer"]["PSNR at the middle [dB]"]["value"] == pytest.approx(100.0)
    assert (folder / "samples" / "moved-yaw.png").exists()
    assert "| PCA, regression |" in capsys.readouterr().out


# Where it is kept


def folder_of(home, levels):
    """A folder of grey pictures, two of a class."""
    for name, level in levels.items():
        (home / name).mkdir(parents=True)
        for i in range(2):
            tile = np.full((8, 8), level + i, np.uint8)
            Pillow.fromarray(tile).save(home / name / f"{i}.png")
    return Enlarged(Folder(str(home), size=8, colour=False), 12, 2)


def test_comparisons_of_other_files_lie_in_other_folders(tmp_path):
    data = folder_of(tmp_path / "a", {"x": 0, "y": 100})
    other = folder_of(tmp_path / "b", {"x": 0, "y": 200})
    # other files by the same path are other data
    places = []
    for each in (data, other):
        for cfg in (Seen(each), Specific(sets=(Asked("one", each),))):
            cfg = edit(cfg, {"runs": str(tmp_path / "runs")})
            places.append(tabled.place("latents", "x", cfg, {}).directory)
    again = tabled.place("latents", "x", edit(Seen(data), {"runs": str(tmp_path / "runs")}), {})
    assert len(set(places)) == 4 and again.directory == places[0]
    plain = Seen(Digits())
    assert config.digest(tabled.filled(plain)) == config.digest(plain)


def test_pictures_of_one_person_are_told_to_be_alike():
    people = alike(HEADS.load())
    assert people is not None and "too narrow" in people and alike(Digits().load()) is None


def test_a_comparison_that_was_broken_off_leaves_no_numbers(tmp_path):
    cfg = Seen(Digits(), runs=str(tmp_path))
    log = tabled.place("latents", "x", cfg, {})
    log.result("old", {"value": 1.0})
    log = tabled.place("latents", "x", cfg, {})
    assert log.result("old") is None
    log.result("new", {"value": 1.0})
    (log.directory / tabled.TABLE).write_text("finished")
    assert tabled.place("latents", "x", cfg, {}).result("new") == {"value": 1.0}


# What cannot be done


def refused(cfg, changes, tmp_path):
    edited = edit(cfg, {**changes, "runs": str(tmp_path / "runs")})
    with pytest.raises(UserError) as error:
        edited("x", {})
    assert not (tmp_path / "runs").exists()  # before anything is written
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"points": 60},
            "more than 90 points and there are 60: use at most 19, or more points",
        ),
        ({"perplexity": 200.0}, "perplexity=200 needs more than 600 points and there are 360"),
        ({"data": Blank(Image((8, 8, 1)))}, "has no labels"),
        ({"data": Toy()}, "latents are of images"),
        ({"neighbours": 200}, "neighbours=200 needs more than 400"),
        ({"shown": ("PCB",)}, "no encoder is called 'PCB'"),
        ({"encoders": ()}, "leaves nothing to compare"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_seen_is_one_line(changes, told, tmp_path):
    message = refused(latents.EXPERIMENTS["digits"], changes, tmp_path)
    assert told in message and "\n" not in message


def test_what_cannot_be_measured_is_one_line(tmp_path):
    sizes = Sizes(Digits(), ())
    assert "must rise" in refused(sizes, {"sizes": (4, 2)}, tmp_path)
    assert "at most 64" in refused(sizes, {"sizes": (65,)}, tmp_path)
    specific = Specific(latents.LINEAR, (Asked("a", Digits()), Asked("b", Enlarged(Digits()))))
    assert "of one shape" in refused(specific, {}, tmp_path)
    points = {"sets": (Asked("a", Toy()), Asked("b", Toy()))}
    assert "a models 'point' of (2,)" in refused(specific, points, tmp_path)
    few = SimpleNamespace(
        main="image", shape=(8, 8, 1), test={"image": np.zeros((11, 8, 8, 1))}
    )
    with pytest.raises(UserError, match="a has 11 test pictures, and 12 are shown"):
        specific.check({"a": few, "b": few})
    assert "test=11 must be at least 12" in refused(specific, {"test": 11}, tmp_path)
    assert "under a name of its own" in refused(specific, {"sets": ()}, tmp_path)
    heads = edit(latents.HEADS, {"data": HEADS})
    assert "does not read 'age'" in refused(heads, {"reader": Reader()}, tmp_path)
    twice = {"knobs": (Age((20.0, 40.0)), Age((60.0, 80.0)))}
    assert "each is turned once" in refused(heads, twice, tmp_path)
    yaw_alone = edit(heads.reader, {"numbers": ("pose",), "called": ("yaw", "pitch")})
    blind = {"reader": yaw_alone, "knobs": (Yaw(),)}
    assert "does not read 'age', by which" in refused(heads, blind, tmp_path)
    for of in (Projected(4), Learned(latents.experiment(latents.FLOW, 2, 16), Middle())):
        oneway = {"encoders": (Entry("oneway", of),)}
        assert "oneway has no way back" in refused(heads, oneway, tmp_path)
    assert "four are needed" in refused(heads, {"years": (89.5, 90.0)}, tmp_path)
