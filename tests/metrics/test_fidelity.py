"""The same numbers as torch-fidelity 0.4.0 (PyTorch 2.13.0, NumPy 2.4.6) on the same features, float32.

Its fid_statistics_to_metric, kid_features_to_metric (20 subsets of 300), isc_features_to_metric and
prc_features_to_metric were run on the arrays that `features` and `logits` rebuild. It is not needed here.
"""

import numpy as np
import pytest

from genjax.metrics.frechet import frechet, moments
from genjax.metrics.inception_score import inception_score, inception_score_splits
from genjax.metrics.kid import kid_subsets
from genjax.metrics.manifold import precision_recall


@pytest.fixture(scope="module")
def made():
    """(real [900, 24], samples [800, 24], logits [800, 10]), drawn in this order from NumPy's legacy generator."""
    rng = np.random.RandomState(7)
    mix = rng.randn(24, 24) / 5
    real = np.maximum(rng.randn(900, 24) @ mix + 0.5, 0).astype(np.float32)
    samples = np.maximum(1.1 * rng.randn(800, 24) @ mix + 0.6, 0).astype(np.float32)
    return real, samples, (3 * rng.randn(800, 10)).astype(np.float32)


def test_frechet(made):
    assert frechet(moments(made[0]), moments(made[1])) == pytest.approx(
        0.7027251739727518, rel=1e-5
    )


def test_kid_subsets(made):
    values = kid_subsets(made[0], made[1], size=300, subsets=20)
    assert values.mean() == pytest.approx(0.1612550735473633, rel=1e-5)
    assert values.std() == pytest.approx(0.03070008523645713, rel=1e-5)


def test_inception_score(made):
    assert inception_score_splits(made[2]) == pytest.approx(
        (3.8245029891024473, 0.2730915416891298), rel=1e-6
    )
    in_order = inception_score_splits(made[2], splits=7, seed=None)
    assert in_order == pytest.approx((3.807675875959817, 0.11426740224683615), rel=1e-6)
    assert inception_score(made[2]) == pytest.approx(3.8806514165533823, rel=1e-6)


def test_precision_recall(made):
    assert precision_recall(*made[:2], k=3) == pytest.approx(
        (0.6787499785423279, 0.9555555582046509), rel=1e-6
    )
    assert precision_recall(*made[:2], k=5) == pytest.approx(
        (0.768750011920929, 0.9766666889190674), rel=1e-6
    )
