"""Neighbourhoods: expectations that hold for every distribution, failures that must show, copies that are caught."""

import numpy as np
import pytest

from genjax.metrics import manifold
from genjax.metrics.manifold import density_coverage, precision_recall, radii
from genjax.metrics.memorisation import authpct, closer, copying, nearest, neighbours


def test_density_and_coverage_of_a_line():
    line = np.arange(10.0)[:, None]
    density, coverage = density_coverage(line, line[:5] + 0.25, k=1)
    # Each ball reaches one step: 0.25 and the like lie in those of the two points around them.
    assert density == 2.0 and coverage == 0.6
    assert density_coverage(line, line + 500.0, k=2) == (0.0, 0.0)


def test_density_and_coverage_of_the_same_distribution():
    n, m, k = 40, 25, 3
    rng = np.random.default_rng(0)
    draw = lambda n: rng.standard_t(3, size=(n, 2)) * [1.0, 9.0]  # noqa: E731
    values = np.array([density_coverage(draw(n), draw(m), k) for _ in range(600)])
    missed = np.prod([(n - i) / (m + n - i) for i in range(1, k + 1)])
    mean, error = values.mean(0), values.std(0) / np.sqrt(len(values))
    print(
        f"\ndensity {mean[0]:.3f} +- {error[0]:.3f}, coverage {mean[1]:.4f} +- {error[1]:.4f}, known {1 - missed:.4f}"
    )
    assert abs(mean[0] - 1.0) < 4 * error[0] < 0.1
    assert abs(mean[1] - (1.0 - missed)) < 4 * error[1] < 0.02


def test_each_measure_falls_for_the_failure_that_it_is_for(monkeypatch):
    rng = np.random.default_rng(0)
    modes = 8.0 * rng.normal(size=(10, 6))
    draw = lambda n, modes: modes[np.arange(n) % len(modes)] + rng.normal(size=(n, 6))  # noqa: E731
    real = draw(800, modes)
    measure = lambda x: np.array([*precision_recall(real, x), *density_coverage(real, x)])  # noqa: E731
    good, dropped = measure(draw(800, modes)), measure(draw(800, modes[:7]))
    noisy = measure(draw(800, modes) + 1.5 * rng.normal(size=(800, 6)))
    print(
        "\nprecision, recall, density, coverage",
        *(np.round(v, 3) for v in (good, dropped, noisy)),
    )
    assert (good > [0.85, 0.85, 0.9, 0.9]).all()
    assert (np.abs(dropped - good)[[0, 2]] < 0.1).all() and (
        dropped[[1, 3]] < 0.75 * good[[1, 3]]
    ).all()
    assert (noisy[[0, 2]] < 0.6 * good[[0, 2]]).all()
    few = real[::8]
    whole = (precision_recall(few, real), density_coverage(few, real))
    monkeypatch.setattr(manifold, "CELLS", 1000)  # a few rows of a block at a time
    assert (precision_recall(few, real), density_coverage(few, real)) == whole


def test_nearest_is_exact_far_from_the_origin(monkeypatch):
    rng = np.random.default_rng(0)
    b = 1e4 + rng.normal(size=(300, 5))
    a = np.concatenate([b[:50], 1e4 + rng.normal(size=(50, 5))])
    wanted = np.linalg.norm(a[:, None] - b[None], axis=2)
    for cells in (manifold.CELLS, 700):
        monkeypatch.setattr(manifold, "CELLS", cells)
        found, index = neighbours(a, b)
        np.testing.assert_array_equal(index, wanted.argmin(1))
        np.testing.assert_allclose(found, wanted.min(1), rtol=1e-12)
    assert (found[:50] == 0.0).all()


def test_honest_samples_and_copies():
    rng = np.random.default_rng(0)
    train, held, honest = (rng.random((2000, 2)) for _ in range(3))
    copies = train[rng.permutation(2000)[:1000]]
    assert abs(closer(honest, train, held) - 0.5) < 0.05 and closer(copies, train, held) == 1.0
    assert closer(held, train, held) == 0.0 and closer(honest, held, held) == 0.5  # ties
    assert closer(train, train, held[:500]) == pytest.approx(
        0.5 + 500 / 2000 / 2, abs=0.05
    )  # 1 of 4 originals drawn
    # Two points that are each other's nearest are not authentic. In a plane a share of pi / (pi + pi/3 + sqrt(3)/2) of
    # points are: the area of a disc over that of two discs through each other's centres.
    mutual = np.pi / (4 * np.pi / 3 + np.sqrt(3) / 2)
    print(
        f"\nauthentic {authpct(honest, train):.1f} % of honest samples, known {100 * (1 - mutual):.1f}"
    )
    assert authpct(honest, train) == pytest.approx(100 * (1 - mutual), abs=4.0)
    assert authpct(copies, train) == 0.0 and authpct(train + 9.0, train) == 100.0
    assert authpct(np.concatenate([copies, copies + 9.0]), train) == 50.0
    assert copying(copies, train, held) < -30 < 30 < copying(honest + 9.0, train, held)


def test_copying_is_a_standard_normal_without_copies():
    rng = np.random.default_rng(0)
    z = [
        copying(rng.normal(size=(40, 3)), rng.normal(size=(60, 3)), rng.normal(size=(50, 3)))
        for _ in range(800)
    ]
    assert abs(np.mean(z)) < 4 / np.sqrt(800) and np.std(z) == pytest.approx(1.0, abs=0.1)


def test_too_few_points():
    x = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(ValueError, match="neighbour number 5 needs more than 5 points"):
        density_coverage(x, x, k=5)
    with pytest.raises(ValueError, match="neighbour number 0"):
        radii(x, 0)
    with pytest.raises(ValueError, match="5 held-out examples need as many of training, got 4"):
        closer(x, x[:4], x)
    with pytest.raises(ValueError, match="needs more than 1 points"):
        authpct(x, x[:1])
    with pytest.raises(ValueError, match="no examples to be near to"):
        nearest(x, x[:0])
