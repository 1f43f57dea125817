"""Classifiers against answers that are known: cross-entropy, exact denoisers, linear VAEs, chains that are counted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.audit.bayes import posterior
from genjax.audit.classifier import Classifier
from genjax.conditions import Label
from genjax.core import State, labelled
from genjax.diffusion import classifier
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.findings.likelihood import Iwae
from genjax.nets import MLP
from genjax.optim import SGD
from genjax.vae.likelihoods import Gaussian
from genjax.vae.vae import VAE

RNG = np.random.default_rng(0)
SPEC = labelled(Image((4, 4, 1)), 3, 50)
LABEL = np.arange(24, dtype=np.int32) % 3
IMAGE = RNG.integers(0, 80, (24, 4, 4, 1)) + 80 * LABEL[:, None, None, None]
BATCH = {
    "image": IMAGE.astype(np.uint8),
    "label": LABEL,
    "index": np.arange(24, dtype=np.uint32),
}


def test_the_loss_is_the_cross_entropy_of_logistic_regression_and_so_is_its_gradient():
    rate = 0.1
    algorithm = Classifier(MLP(), optimiser=SGD(rate, momentum=0.0))(SPEC)

    @jax.jit
    def first(key):
        state = algorithm.init(key, BATCH)
        new, _ = algorithm.step(key, state, BATCH)
        return state, new, algorithm.evaluate(key, state, BATCH)

    state, new, parts = first(jax.random.key(0))
    dense = state.params["net"]["Dense_0"]
    w, b = np.asarray(dense["kernel"]), np.asarray(dense["bias"])
    x = BATCH["image"].reshape(24, -1) / 127.5 - 1.0
    p = posterior(x @ w + b)
    np.testing.assert_allclose(parts["loss"], -np.log(p[np.arange(24), LABEL]), rtol=1e-4)
    np.testing.assert_array_equal(parts["accuracy"], p.argmax(1) == LABEL)
    moved = np.asarray(new.params["net"]["Dense_0"]["kernel"]) - w
    # d loss / d W = x (p - one hot), a mean over the batch
    gradient = x.T @ (p - np.eye(3)[LABEL]) / 24
    np.testing.assert_allclose(moved, -rate * gradient, atol=1e-6)
    assert algorithm.sample is None


@pytest.mark.all
def test_steps_lower_the_loss_and_smoothing_is_of_training_alone():
    algorithm = Classifier(MLP((16,)), smoothing=0.2)(SPEC)
    step = jax.jit(algorithm.step)
    state = algorithm.init(jax.random.key(0), BATCH)
    for i in range(300):
        state, metrics = step(jax.random.key(i), state, BATCH)
    parts = algorithm.evaluate(jax.random.key(0), state, BATCH)
    assert float(jnp.mean(parts["accuracy"])) == 1.0
    # smoothed labels cannot be met: their entropy is left
    assert float(metrics["loss"]) > 0.3 > float(jnp.mean(parts["loss"]))


def test_what_has_no_classes_is_told_so():
    with pytest.raises(
        UserError, match="Classifier tells classes apart, and the field 'label' has 0"
    ):
        Classifier()(labelled(Image((4, 4, 1)), 0))
    with pytest.raises(UserError, match="Classifier"):
        Classifier(of="mood")(SPEC)


# Two classes of points of the plane, each a mixture of two Gaussians
MEANS = np.array([[[-1.0, 0.0], [1.0, 1.0]], [[0.0, -1.0], [1.5, 0.0]]], np.float32)
SPREAD = 0.6


def denoiser(c):
    """E[x | x + sigma eps] of class c, exactly."""

    def denoise(z, sigma):
        variance = SPREAD**2 + sigma[:, None] ** 2  # [B, 1]
        away = z[:, None] - MEANS[c]  # [B, 2, 2]
        log_r = -0.5 * jnp.sum(away**2, -1) / variance
        r = jax.nn.softmax(log_r, -1)[..., None]
        kept = (SPREAD**2 / variance)[..., None]
        return jnp.sum(r * (MEANS[c] + kept * away), 1)

    return denoise


def log_p(c, x):
    """log p(x | c) [N]."""
    laws = [stats.multivariate_normal(mean, SPREAD**2 * np.eye(2)) for mean in MEANS[c]]
    return np.log(np.mean([law.pdf(x) for law in laws], 0))


def test_a_diffusion_classifier_with_the_exact_denoiser_is_bayes():
    """Within the error of its draws, which is known from several keys; the bound is then the density itself."""
    x = RNG.uniform(-1.5, 2.0, (6, 2)).astype(np.float32)
    index = jnp.arange(6, dtype=jnp.uint32)
    low, high = 1e-3, 300.0

    @jax.jit
    def found(key):
        each = [
            classifier.bound(denoiser(c), x, key, index, 500, low, high, 1.0) for c in (0, 1)
        ]
        return jnp.stack(each, 1)

    keys = jax.random.split(jax.random.key(0), 24)
    values = np.stack([found(key) for key in keys])  # [keys, N, 2]
    exact = np.stack([log_p(c, x) for c in (0, 1)], 1)
    ratio = values[..., 0] - values[..., 1]
    error = ratio.std(0, ddof=1) / np.sqrt(len(keys))
    away = ratio.mean(0) - (exact[:, 0] - exact[:, 1])
    assert (np.abs(away) < 4 * error + 2e-3).all() and error.max() < 0.1
    joint = values.mean(0) + np.log(0.5)
    np.testing.assert_allclose(
        posterior(joint), posterior(exact + np.log(0.5)), atol=4 * error.max()
    )
    single = values.std(0, ddof=1) / np.sqrt(len(keys))
    assert (np.abs(values.mean(0) - exact) < 4 * single + 5e-3).all()
    # the same noise for both classes: what they differ by is surer than what each is
    assert (error < 0.7 * single.max(1)).mean() > 0.5


@pytest.mark.all
def test_levels_and_noise_are_the_example_s_own():
    x = jnp.asarray(RNG.standard_normal((4, 2)), jnp.float32)
    index = jnp.arange(4, dtype=jnp.uint32)

    @jax.jit
    def found(rows):
        return classifier.errors(
            denoiser(0), x[rows], jax.random.key(3), index[rows], 3, 0.01, 10.0
        )

    rows = jnp.array([2, 0])
    np.testing.assert_allclose(found(rows), found(jnp.arange(4))[rows], rtol=1e-5)


def test_iwae_of_a_linear_vae_gives_the_closed_form_posterior():
    """p(x | y) = N(W z + b_y, s² I) has N(b_y, W W' + s² I); the encoder is off, so that weights matter."""
    scale, k = 0.7, 400
    cfg = VAE(2, MLP(), MLP(), Gaussian(scale), condition=(Label(),))
    spec = labelled(Points((3,)), 3, name="point")
    w = RNG.standard_normal((2, 3)).astype(np.float32)
    b = RNG.standard_normal((3, 3)).astype(np.float32)
    x = RNG.standard_normal((5, 3)).astype(np.float32)
    covariance = w.T @ w + scale**2 * np.eye(3)
    # q(z | x, y): the true mean, and a variance that is not the true one
    gain = w @ np.linalg.inv(covariance)  # [2, 3]
    enc = np.zeros((6, 4), np.float32)
    enc[:3, :2] = gain.T
    enc[3:, :2] = -b @ gain.T
    params = {
        "enc": {"Dense_0": {"kernel": enc, "bias": np.array([0, 0, -0.5, -0.5], np.float32)}},
        "dec": {"Dense_0": {"kernel": np.concatenate([w, b]), "bias": np.zeros(3, np.float32)}},
    }
    state = State(jnp.zeros((), jnp.int32), params, {}, {}, {})
    by = Iwae(k, k)
    keys = jax.random.split(jax.random.key(0), 20)

    @jax.jit
    def log_p(label, keys):
        batch = {
            "point": x,
            "label": jnp.full(5, label),
            "index": jnp.arange(5, dtype=jnp.uint32),
        }
        return jax.vmap(lambda key: by.log_p(key, state, batch, cfg, spec))(keys)

    columns = [log_p(c, keys) for c in range(3)]
    values = np.stack(columns, -1)  # [keys, N, classes]
    exact = np.stack([stats.multivariate_normal(m, covariance).logpdf(x) for m in b], 1)
    error = values.std(0, ddof=1)
    assert 1e-3 < error.max() < 0.3
    np.testing.assert_allclose(values.mean(0), exact, atol=2 * error.max())
    np.testing.assert_allclose(posterior(values.mean(0)), posterior(exact), atol=error.max())
