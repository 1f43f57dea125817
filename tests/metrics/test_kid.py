"""The kernel distance against its definition and against Gaussians with a known one."""

import numpy as np
import pytest

from genjax.metrics import manifold
from genjax.metrics.kid import kid, kid_subsets


def known(a: float, d: int) -> float:
    """MMD² of N(0, I) and N(m, I) with |m| = a in d dimensions, from the moments of x.y up to the third."""
    real = 1 + 3 / d
    across = 1 + 3 * (d + a**2) / d**2
    third = a**6 + 6 * a**4 + 3 * (d + 2) * a**2
    within = 1 + 3 * a**2 / d + 3 * (d + 2 * a**2 + a**4) / d**2 + third / d**3
    return real + within - 2 * across


def test_definition_and_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    k = lambda a, b: (a @ b / 3 + 1) ** 3  # noqa: E731
    mean = lambda values: np.mean(list(values))  # noqa: E731
    wanted = mean(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j)
    wanted += mean(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j)
    wanted -= 2 * mean(k(a, b) for a in x for b in y)
    for cells in (manifold.CELLS, 10, 1):
        monkeypatch.setattr(manifold, "CELLS", cells)
        assert kid(x, y) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("a", [0.0, 0.8])
def test_unbiased_at_any_number_of_samples(a):
    d, shift = 4, a * np.eye(4)[0]
    rng = np.random.default_rng(1)
    values = [
        kid(rng.normal(size=(9, d)), rng.normal(size=(6, d)) + shift) for _ in range(6000)
    ]
    error = np.std(values) / np.sqrt(len(values))
    print(f"\nmean {np.mean(values):.4f} +- {error:.4f}, known {known(a, d):.4f}")
    assert (
        abs(np.mean(values) - known(a, d)) < 4 * error < 0.2
    )  # the diagonal would add 0.7 or more
    large = kid(rng.normal(size=(8000, d)), rng.normal(size=(8000, d)) + shift)
    assert large == pytest.approx(known(a, d), abs=0.02)


def test_subsets():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(50, 3)) + 0.5
    values = kid_subsets(x, y, size=20, subsets=400)
    assert values.shape == (400,) and values.mean() == pytest.approx(
        kid(x, y), abs=4 * values.std() / 20
    )
    np.testing.assert_allclose(
        kid_subsets(x, y, size=50, subsets=1), kid_subsets(x, y[::-1], size=50, subsets=1)
    )
    np.testing.assert_array_equal(values[:5], kid_subsets(x, y, size=20, subsets=5))
    with pytest.raises(ValueError, match="subsets of 51 cannot be drawn from 60 and 50"):
        kid_subsets(x, y, size=51)
    with pytest.raises(ValueError, match="at least 2 examples of each, got 60 and 1"):
        kid(x, y[:1])
