"""Codes that are looked at: probes, maps, sizes, strangers and arithmetic, against answers that are known."""

import numpy as np
import pytest
from scipy.stats import norm

from genjax.errors import UserError
from genjax.metrics import maps
from genjax.metrics.probe import Labelled, majority, probed, scale_of

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
