"""The linear autoencoder against PCA, its exact answer."""

import jax
import numpy as np
from sklearn.decomposition import PCA

from genjax.ae import autoencoder as ae
from genjax.core import guarded, labelled
from genjax.fields import Image
from genjax.findings.codes import angles, nearest
from genjax.machine.parallel import Jit
from genjax.optim import Adam, CosineDecay


def test_a_linear_autoencoder_finds_the_principal_subspace(digits):
    spec, k = labelled(Image((8, 8, 1)), 10, 4000), 6
    cfg = ae.Autoencoder(latent=k, optimiser=Adam(2e-2, decay=CosineDecay()))
    algorithm = cfg(spec)
    n = 450  # few are enough: the answer is that of PCA on the same ones
    batch = {name: array[:n] for name, array in digits.items()}
    batch["index"] = np.arange(n, dtype=np.uint32)
    state = Jit().init(algorithm.init, jax.random.key(0), batch)
    step = Jit().train(guarded(algorithm.step), state)
    chunk = 100  # steps in one dispatch
    placed = Jit().put({name: np.stack([x] * chunk) for name, x in batch.items()})
    for _ in range(spec.steps // chunk):
        state, _ = step(jax.random.key(0), state, {}, placed)
    x = batch["image"].reshape(n, 64) / 255.0
    pca = PCA(k, svd_solver="full").fit(x)
    floor = np.mean((pca.inverse_transform(pca.transform(x)) - x) ** 2)
    mse = float(algorithm.evaluate(jax.random.key(0), state, batch)["mse"].mean())
    assert floor * (1 - 1e-4) < mse < floor * 1.0002  # never below PCA, which is the optimum
    assert angles(state.params, pca.components_)["largest_angle"] < 1.0


def test_errors_are_the_formulas():
    x, out = np.array([[0.0, 1.0, 0.25]]), np.array([[0.5, -2.0, 3.0]])
    np.testing.assert_allclose(ae.SquaredError()(out, x), np.mean((out - x) ** 2), rtol=1e-6)
    p = 1 / (1 + np.exp(-out))
    expected = -np.mean(x * np.log(p) + (1 - x) * np.log(1 - p))
    np.testing.assert_allclose(ae.BernoulliError()(out, x), expected, rtol=1e-5)
    np.testing.assert_allclose(ae.BernoulliError().mean(out), p, rtol=1e-5)


def test_psnr_of_a_known_error(digits):
    spec = labelled(Image((8, 8, 1)), 10, 1)
    cfg = ae.Autoencoder(latent=2)
    batch = {
        "image": np.full((2, 8, 8, 1), 255, np.uint8),
        "index": np.arange(2, dtype=np.uint32),
    }
    params = jax.tree.map(
        np.zeros_like, jax.jit(cfg(spec).init)(jax.random.key(0), batch).params
    )  # reconstructs 0 for 1
    parts = ae.evaluate(params, batch, cfg, spec)
    np.testing.assert_allclose(parts["mse"], 1.0)
    np.testing.assert_allclose(parts["psnr"], 0.0, atol=1e-6)


def test_nearest_is_brute_force(digits):
    x = np.random.default_rng(0).random((5, 8, 8, 1)).astype(np.float32)
    t = digits["image"][:300] / 255.0
    brute = ((x[:, None] - t[None]) ** 2).mean((2, 3, 4)).min(1)
    np.testing.assert_allclose(nearest(x, digits["image"][:300], chunk=70), brute, rtol=1e-4)
