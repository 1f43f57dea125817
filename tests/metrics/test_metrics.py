"""Fréchet distance in closed form; judges that know the real from the rest."""

import functools

import numpy as np
import pytest

from genjax.metrics.evaluate import PrecisionRecall, Seen, distance
from genjax.metrics.features import Components
from genjax.metrics.frechet import Moments, frechet, merge, moments
from genjax.metrics.intervals import share
from genjax.metrics.judges import Neighbours, Svm


def test_distance_of_two_gaussians():
    diagonal = lambda v: np.diag(np.asarray(v, float))  # noqa: E731
    a = Moments(np.array([0.0, 1.0]), diagonal([1.0, 4.0]))
    b = Moments(np.array([3.0, 1.0]), diagonal([9.0, 4.0]))
    assert frechet(a, b) == pytest.approx(9.0 + (1.0 - 3.0) ** 2)
    assert frechet(a, a) == pytest.approx(0.0, abs=1e-12)
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.standard_normal((2, 2)))  # rotated together, the distance stays
    turn = lambda m: Moments(q @ m.mean, q @ m.covariance @ q.T)  # noqa: E731
    assert frechet(turn(a), turn(b)) == pytest.approx(13.0)


def test_distance_of_covariances_that_do_not_commute():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(1)
    c = [x @ x.T for x in rng.standard_normal((2, 5, 5))]
    wanted = np.trace(c[0] + c[1] - 2 * np.real(sqrtm(c[0] @ c[1])))
    assert frechet(Moments(np.zeros(5), c[0]), Moments(np.zeros(5), c[1])) == pytest.approx(
        wanted, rel=1e-8
    )


def test_moments_are_those_of_numpy_and_too_few_are_refused():
    x = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)
    found = moments(x)
    np.testing.assert_allclose(found.mean, x.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.covariance, np.cov(x.T), atol=1e-6)
    assert found.n == 100
    for few in (1, 3):  # three examples of three features have a covariance of rank two
        with pytest.raises(ValueError, match=f"needs more than 3 examples, got {few}"):
            frechet(found, moments(x[:few]))
    assert np.isfinite(frechet(found, moments(x[:4])))
    with pytest.raises(ValueError, match="no features"):
        moments(x[:0])
    with pytest.raises(ValueError, match="NaN"):
        moments(np.where(x == x[7, 1], np.nan, x))


def test_moments_of_parts_merge_into_those_of_the_whole():
    x = 1e4 + np.random.default_rng(0).standard_normal((1000, 5)) * np.arange(
        1, 6
    )  # far from 0: sums would cancel
    whole, cuts = moments(x), np.split(x, [1, 2, 300, 999])  # parts of one example among them
    parts = [moments(part) for part in cuts]
    left, right = (
        functools.reduce(merge, parts),
        functools.reduce(lambda a, b: merge(b, a), parts[::-1]),
    )
    for joined in (
        left,
        right,
        merge(merge(parts[3], parts[0]), merge(parts[4], merge(parts[1], parts[2]))),
    ):
        np.testing.assert_allclose(joined.mean, whole.mean, rtol=1e-14)
        np.testing.assert_allclose(joined.covariance, whole.covariance, rtol=1e-10, atol=1e-10)
        assert joined.n == 1000
    np.testing.assert_allclose(
        whole.covariance, np.cov(x, rowvar=False), rtol=1e-10, atol=1e-10
    )
    with pytest.raises(ValueError, match="without a number"):
        merge(whole, Moments(np.zeros(5), np.eye(5)))


def test_judges_of_the_digits(digits):
    train, test = (
        {name: v[part] for name, v in digits.items()}
        for part in (slice(1437), slice(1437, None))
    )
    for classifier, least in ((Svm(), 0.95), (Neighbours(components=32), 0.93)):
        read = classifier.fit(train)
        assert np.mean(read(test["image"]) == test["label"]) > least
        assert (
            np.mean(read(test["image"] / 255.0) == test["label"]) > least
        )  # floats as well as bytes
        assert np.mean(read(test["image"]) == np.roll(test["label"], 1)) < 0.3
    name, between = distance(Components(16), train)
    noise = np.random.default_rng(0).random((360, 8, 8, 1))
    blurred = (test["image"] / 255.0 + np.roll(test["image"] / 255.0, 1, 2)) / 2
    assert (
        between(train["image"]).value
        < 1e-6
        < between(test["image"]).value
        < between(blurred).value
        < between(noise).value
    )
    assert name == "fd_pca16"


def test_precision_and_recall_of_sets_with_a_known_overlap():
    from genjax.metrics.manifold import precision_recall, radii

    line = np.arange(40.0)[:, None]
    np.testing.assert_array_equal(
        radii(line, 2)[[0, 1, 20, 39]], [4.0, 1.0, 1.0, 4.0]
    )  # squared
    assert precision_recall(line, line, 1) == (1.0, 1.0)
    half = line[:20]  # samples that miss half of the modes, none of them bad
    precision, recall = precision_recall(line, half, 1)
    assert precision == 1.0 and recall == pytest.approx(21 / 40)  # 20 is within one step of 19
    wide = np.concatenate([line, line + 1000.0])  # all modes, half of the samples bad
    assert precision_recall(line, wide, 1) == (0.5, 1.0)
    far = line + 500.0
    assert precision_recall(line, far, 1) == (0.0, 0.0)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(1500, 4)), rng.normal(size=(1500, 4))
    assert all(0.8 < value <= 1.0 for value in precision_recall(a, b, 3))
    with pytest.raises(ValueError, match="needs more than 3 points"):
        radii(line[:3], 3)


def test_each_share_has_the_interval_of_those_that_were_asked_about():
    def points(features):
        n = len(features)
        return Seen(np.zeros((n, 1, 1, 1)), np.zeros(n, np.int32), features, None)

    # 40 real examples on a line, and 30 samples, of which 10 are far away
    line = np.arange(40.0)[:, None]
    real, samples = points(line), points(np.concatenate([line[:20], line[:10] + 1000.0]))
    found = PrecisionRecall(1)(real, real, samples, "x")
    assert list(found.values()) == [share(20, 30), share(21, 40)]
