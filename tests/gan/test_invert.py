"""Projection against linear algebra, directions against known spectra, an animation read back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from genjax.errors import UserError
from genjax.gan.invert import Projector, errors, invert, pca, sefa
from genjax.pictures.draw import animation

RNG = np.random.default_rng(0)
A = jnp.asarray(RNG.standard_normal((6, 3 * 4)), jnp.float32)
W = jnp.asarray(RNG.standard_normal((3, 2, 3)), jnp.float32)  # three codes with two layers each
QUICK = Projector(steps=400)


def make(w):  # linear: [B, 2, 3] -> [B, 3, 4]
    return (w.reshape(-1, 6) @ A).reshape(-1, 3, 4) + 0.5


def project(target, start, cfg=QUICK, **more):
    return invert(jax.random.key(0), make, target, start, cfg, compile=jax.jit, **more)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_linear_generator_is_inverted(noise):
    found = project(make(W), jnp.zeros_like(W), Projector(steps=400, noise=noise))
    np.testing.assert_allclose(found.w, W, atol=2e-3 if noise else 1e-4)
    assert found.loss.shape == (3,) and float(found.loss.max()) < 1e-5


def test_the_pull_is_ridge_regression():
    target, mean, pull = make(W) + 1.0, 0.3 * jnp.ones((2, 3)), 0.7
    found = project(target, jnp.zeros_like(W), Projector(steps=400, pull=pull), mean=mean)
    a, m = np.asarray(A, np.float64), np.full(6, 0.3)
    y = (np.asarray(target, np.float64) - 0.5).reshape(3, 12)
    exact = np.linalg.solve(
        a @ a.T / 12 + pull / 6 * np.eye(6), a @ y.T / 12 + pull / 6 * m[:, None]
    ).T
    np.testing.assert_allclose(found.w.reshape(3, 6), exact, atol=1e-3)
    loss = np.mean((exact @ a - y) ** 2, -1) + pull * np.mean((exact - m) ** 2, -1)
    np.testing.assert_allclose(found.loss, loss, rtol=1e-4)


def test_no_example_sees_another():
    cfg = Projector(steps=20, noise=0.1, pull=0.1)
    whole, one = (
        project(make(W), jnp.zeros_like(W), cfg),
        project(make(W[:1]), jnp.zeros_like(W[:1]), cfg),
    )
    np.testing.assert_allclose(whole.w[0], one.w[0], atol=1e-5)


def test_noise_moves_the_path_and_every_step_is_watched():
    seen = []
    project(
        make(W),
        W,
        Projector(steps=10, noise=0.1),
        watch=lambda i, loss: seen.append((i, np.asarray(loss))),
    )
    assert (
        [i for i, _ in seen] == list(range(10))
        and seen[0][1].shape == (3,)
        and seen[0][1].min() > 0
    )
    fixed, constant = [], Projector(steps=2, lr=0.0, noise=0.1, quiet=1e9)
    project(make(W), W, constant, watch=lambda i, loss: fixed.append(np.asarray(loss)))
    assert np.abs(fixed[0] - fixed[1]).min() > 1e-5  # fresh noise at every step
    still = []
    project(
        make(W), W, Projector(steps=2), watch=lambda i, loss: still.append(float(loss.max()))
    )
    assert still == [0.0, 0.0]
    assert float(errors(W, 0.1, make, make(W), W, 0.0).min()) > 0


def test_the_ramps():
    cfg = Projector(noise=0.4)
    rate = lambda i: float(cfg.rate(jnp.asarray(i)))  # noqa: E731
    assert rate(0) == pytest.approx(0.1 / 50) and rate(24) == pytest.approx(0.05)
    assert rate(49) == rate(500) == rate(750) == pytest.approx(0.1)
    assert rate(875) == pytest.approx(0.05) and 0 < rate(999) < 1e-5
    assert [float(cfg.level(i)) for i in (0, 375, 750, 900)] == pytest.approx(
        [0.4, 0.1, 0.0, 0.0]
    )


def test_a_target_of_another_size_is_refused_before_anything_is_compiled():
    refuse = lambda f: pytest.fail("compiled")  # noqa: E731
    for target in (jnp.zeros((3, 4, 4)), jnp.zeros((2, 3, 4)), jnp.zeros((3, 12))):
        with pytest.raises(UserError, match=r"make\(start\) is \(3, 3, 4\)"):
            invert(jax.random.key(0), make, target, W, compile=refuse)
    with pytest.raises(UserError, match="steps=0"):
        project(make(W), W, Projector(steps=0))


def orthogonal(n, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]


def test_sefa_finds_the_singular_vectors():
    u, v, s = orthogonal(4, 1), orthogonal(18, 2), np.array([0.5, 3.0, 1.0, 2.0])
    weight = ((u * s) @ v[:, :4].T).reshape(4, 3, 3, 2)  # a kernel [W, ...]
    directions, values = sefa(weight)
    np.testing.assert_allclose(values, [9.0, 4.0, 1.0, 0.25], rtol=1e-10)
    expected = u.T[[1, 3, 2, 0]]
    np.testing.assert_allclose(np.abs(np.sum(directions * expected, -1)), 1.0, rtol=1e-10)
    largest = np.take_along_axis(directions, np.abs(directions).argmax(-1)[:, None], -1)
    assert (largest > 0).all()
    np.testing.assert_allclose(sefa(-weight, 2)[0], directions[:2], atol=1e-10)
    assert sefa(weight[:, 0, 0])[1][-1] == pytest.approx(
        0.0, abs=1e-12
    )  # fewer outputs than dimensions
    with pytest.raises(UserError, match="not k=5"):
        sefa(weight, 5)


def test_pca_of_a_known_covariance():
    q, std, n = orthogonal(5, 3), np.array([0.3, 4.0, 1.0, 2.0, 0.1]), 40
    scores = np.linalg.qr(np.c_[np.ones(n), np.random.default_rng(4).standard_normal((n, 5))])[
        0
    ][:, 1:]
    w = 7.0 + np.sqrt(n - 1) * scores * std @ q.T  # mean 7, covariance q diag(std²) q' exactly
    directions, deviations = pca(w, 3)
    np.testing.assert_allclose(deviations, [4.0, 2.0, 1.0], rtol=1e-8)
    np.testing.assert_allclose(np.abs(np.sum(directions * q.T[[1, 3, 2]], -1)), 1.0, rtol=1e-8)
    assert directions.shape == (3, 5)
    with pytest.raises(UserError, match="two codes"):
        pca(w[0])


def read(path):
    with Image.open(path) as gif:
        frames = []
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("RGB")))
        return np.stack(frames), gif.info


def test_an_animation_is_read_back(tmp_path):
    grey = RNG.integers(0, 256, (5, 8, 6, 1), dtype=np.uint8)
    frames, info = read(animation(tmp_path / "new" / "grey.gif", grey, seconds=0.2))
    np.testing.assert_array_equal(frames, np.broadcast_to(grey, (5, 8, 6, 3)))
    assert info["duration"] == 200 and info["loop"] == 0
    colour = RNG.integers(
        0, 256, (4, 8, 8, 3), dtype=np.uint8
    )  # 64 colours a frame, 256 in all
    frames, _ = read(animation(tmp_path / "colour.gif", colour))
    np.testing.assert_array_equal(frames, colour)
    ramp = np.linspace(0, 1, 3 * 32 * 32 * 3).reshape(3, 32, 32, 3)
    frames, _ = read(animation(tmp_path / "ramp.gif", ramp))
    assert np.abs(frames / 255.0 - ramp).mean() < 0.02
    assert {p.name for p in tmp_path.iterdir()} == {"new", "colour.gif", "ramp.gif"}


def test_an_animation_that_cannot_be_written_leaves_nothing(tmp_path):
    for frames in (np.zeros((0, 4, 4, 1)), np.zeros((4, 4, 3)), np.zeros((2, 4, 4, 2))):
        with pytest.raises(UserError, match="needs frames"):
            animation(tmp_path / "x.gif", frames)
    (tmp_path / "x.gif").mkdir()
    with pytest.raises(UserError, match="cannot write the animation"):
        animation(tmp_path / "x.gif", np.zeros((2, 4, 4, 1)))
    assert [p.name for p in tmp_path.iterdir()] == ["x.gif"]
