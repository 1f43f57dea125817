"""Inception score at its ends; image distances in closed form and against scikit-image's figures."""

import numpy as np
import pytest

from genjax.metrics.images import mse, psnr, ssim
from genjax.metrics.inception_score import inception_score, inception_score_splits


def test_inception_score_at_its_ends():
    sure = (
        2000.0 * np.eye(7)[np.arange(70) % 7]
    )  # so sure that the other probabilities are 0 in float64
    assert inception_score(sure) == pytest.approx(7.0, rel=1e-12)
    assert inception_score(np.tile([3.0, -1.0, 0.5], (20, 1))) == pytest.approx(1.0, rel=1e-12)
    assert inception_score(sure[np.arange(70) % 7 < 2]) == pytest.approx(
        2.0
    )  # two classes of seven
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    wanted = np.exp(np.mean(np.sum(p * np.log(p / p.mean(0)), 1)))
    assert inception_score(np.log(p) + [[1.0], [-70.0], [900.0]]) == pytest.approx(
        wanted, rel=1e-12
    )


def test_inception_score_in_splits():
    sure = 50.0 * np.eye(10)[np.arange(1000) // 100]  # sorted by class
    assert inception_score_splits(sure, seed=None) == pytest.approx((1.0, 0.0))
    mean, std = inception_score_splits(sure)
    assert 9.0 < mean < 10.0 and 0.0 < std < 0.5
    assert inception_score_splits(sure, splits=1) == pytest.approx((10.0, 0.0))
    logits = np.random.default_rng(0).normal(size=(11, 3))
    thirds = [
        inception_score(part) for part in (logits[:3], logits[3:7], logits[7:])
    ]  # all rows, none twice
    assert inception_score_splits(logits, 3, None) == pytest.approx(
        (np.mean(thirds), np.std(thirds))
    )
    with pytest.raises(ValueError, match="12 splits need .* 11"):
        inception_score_splits(logits, 12)


def test_errors_of_images():
    a = np.full((3, 4, 5, 2), 0.5)
    b = a + np.array([0.0, 0.1, 0.5])[:, None, None, None]
    np.testing.assert_allclose(mse(a, b), [0.0, 0.01, 0.25], atol=1e-12)
    np.testing.assert_allclose(psnr(a, b), [np.inf, 20.0, 10 * np.log10(4.0)])
    black, white = np.zeros((300, 2, 2, 1), np.uint8), np.full((300, 2, 2, 1), 255, np.uint8)
    np.testing.assert_array_equal(
        mse(black, white), np.ones(300)
    )  # bytes neither wrap nor count as 255
    np.testing.assert_array_equal(psnr(white, black.astype(float)), np.zeros(300))
    with pytest.raises(ValueError, match="of one shape"):
        mse(a, a[:, :, :, :1])


def test_similarity_as_scikit_image():
    """structural_similarity(data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False), 0.26.0."""
    rng = np.random.RandomState(11)
    a = rng.rand(3, 20, 17, 3)
    a = (a + np.roll(a, 1, 1) + np.roll(a, 1, 2)) / 3
    b = np.clip(a + np.array([0.02, 0.1, 0.3])[:, None, None, None] * rng.randn(*a.shape), 0, 1)
    np.testing.assert_allclose(
        ssim(a, b), [0.9923710998056947, 0.828121420455164, 0.38858990507761515], rtol=1e-10
    )
    np.testing.assert_allclose(
        psnr(a, b), [33.98171421565913, 20.018017711741294, 11.646053571564588], rtol=1e-10
    )
    # window 7: eq. 13 with scipy.ndimage.gaussian_filter(radius=3), SciPy 1.17.1
    np.testing.assert_allclose(
        ssim(a, b, 7), [0.9924734343017428, 0.8195865565361861, 0.37157142315568925], rtol=1e-10
    )


def test_similarity_in_closed_form():
    a, b = np.full((1, 12, 12, 1), 0.3), np.full((1, 12, 12, 1), 0.7)
    np.testing.assert_allclose(
        ssim(a, b), [(2 * 0.21 + 1e-4) / (0.09 + 0.49 + 1e-4)]
    )  # no variance: means alone
    x = np.random.default_rng(0).random((300, 11, 13, 3))
    np.testing.assert_allclose(ssim(x, x), np.ones(300))
    assert (np.abs(ssim(x, x[::-1])) < 0.6).all()
    with pytest.raises(ValueError, match="11 does not in 8x8"):
        ssim(x[:, :8, :8], x[:, :8, :8])
    assert ssim(x[:, :8, :8], x[:, :8, :8], window=7).shape == (300,)
    with pytest.raises(ValueError, match="must be odd"):
        ssim(x, x, window=6)
