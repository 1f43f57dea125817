"""The VAE against models that can be solved: a linear-Gaussian one has log p(x) in closed form."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.conditions import Label
from genjax.core import guarded, labelled
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.machine.parallel import Jit
from genjax.nets import MLP
from genjax.optim import Adam, CosineDecay
from genjax.vae import vae
from genjax.vae.bounds import importance, importance_in_chunks, kl_normal, log_normal
from genjax.vae.likelihoods import Bernoulli, Gaussian

D, L, S = 5, 2, 0.4
SPEC = labelled(Points((D,)), 0, 3000)
CFG = vae.VAE(latent=L, enc=MLP(), dec=MLP(), likelihood=Gaussian(S), log_var=(-12.0, 4.0))


def linear_model() -> tuple[np.ndarray, np.ndarray]:
    """x = W z + b + S eps; the columns of W are orthogonal, so the true posterior is diagonal."""
    rng = np.random.default_rng(0)
    w = np.linalg.qr(rng.normal(size=(D, L)))[0] * np.array([1.5, 0.7])
    return w, rng.normal(size=D)


def exact_params() -> dict:
    """p(z | x) = N(M^-1 W'(x - b), S^2 M^-1), M = W'W + S^2 I (Tipping & Bishop 1999)."""
    w, b = linear_model()
    m_inverse = np.linalg.inv(w.T @ w + S**2 * np.eye(L))
    to_mu = (m_inverse @ w.T).T  # [D, L]
    log_var = np.log(S**2 * np.diag(m_inverse))
    enc = {
        "kernel": np.concatenate([to_mu, np.zeros((D, L))], 1),
        "bias": np.concatenate([-b @ to_mu, log_var]),
    }
    f32 = functools.partial(jax.tree.map, lambda x: jnp.asarray(x, jnp.float32))
    return f32({"enc": {"Dense_0": enc}, "dec": {"Dense_0": {"kernel": w.T, "bias": b}}})


def data(n: int, seed: int) -> tuple[dict, np.ndarray]:
    """A batch of the model and its exact log density."""
    w, b = linear_model()
    law = stats.multivariate_normal(b, w @ w.T + S**2 * np.eye(D))
    x = law.rvs(n, random_state=seed)
    return {
        "image": jnp.asarray(x, jnp.float32),
        "index": jnp.arange(n, dtype=jnp.uint32),
    }, law.logpdf(x)


@pytest.mark.parametrize("k", [1, 4])
def test_with_the_true_posterior_every_importance_weight_is_p_of_x(k):
    batch, log_p = data(50, 0)
    estimate = vae.log_likelihood(exact_params(), jax.random.key(0), batch, CFG, SPEC, k, 1)
    np.testing.assert_allclose(estimate, log_p, atol=1e-3)


def test_with_the_true_posterior_the_elbo_is_log_p_on_average():
    batch, log_p = data(4000, 0)
    parts = vae.elbo(exact_params(), jax.random.key(0), batch, CFG, SPEC)
    gap = np.asarray(parts["elbo"]) - log_p
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(
        4000
    )  # exact KL + sampled distortion: unbiased, not exact


def test_the_bound_rises_with_k_and_stays_below_log_p():
    batch, log_p = data(2000, 0)
    params = exact_params()
    params["enc"]["Dense_0"]["bias"] += jnp.array([0.5, -0.5, 1.0, 0.5])  # a wrong posterior
    means = [
        vae.log_likelihood(params, jax.random.key(0), batch, CFG, SPEC, k, 1).mean()
        for k in (1, 5, 50)
    ]
    assert means[0] + 0.05 < means[1] and means[1] + 0.01 < means[2] < log_p.mean() + 0.01
    assert abs(means[2] - log_p.mean()) < 0.1


def test_training_a_linear_vae_reaches_log_p():
    cfg = dataclasses.replace(CFG, optimiser=Adam(3e-2, decay=CosineDecay()))
    algorithm, (test, log_p) = cfg(SPEC), data(4000, 1)
    train, _ = data(8000, 2)
    state = Jit().init(algorithm.init, jax.random.key(0), train)
    step = Jit().train(guarded(algorithm.step), state)
    # 40 steps in one dispatch
    batches = {k: v.reshape(40, 200, *v.shape[1:]) for k, v in train.items()}
    for _ in range(SPEC.steps // 40):
        state, _ = step(jax.random.key(1), state, {}, batches)
    parts = vae.elbo(state.params, jax.random.key(0), test, cfg, SPEC)
    assert abs(parts["elbo"].mean() - log_p.mean()) < 0.06
    w = np.asarray(state.params["dec"]["Dense_0"]["kernel"]).T
    np.testing.assert_allclose(w @ w.T, linear_model()[0] @ linear_model()[0].T, atol=0.1)


def test_chunks_give_the_whole_estimate_in_less_memory():
    log_w = 30 * jax.random.normal(jax.random.key(0), (60, 7))
    whole = importance(log_w)
    np.testing.assert_allclose(
        importance_in_chunks(lambda i: log_w.reshape(6, 10, 7)[i], 60, 10), whole, rtol=1e-6
    )
    with pytest.raises(ValueError, match="60 samples do not divide into chunks of 7"):
        importance_in_chunks(lambda i: log_w, 60, 7)

    def peak(chunk):
        batch, _ = data(50, 0)
        estimate = jax.jit(
            lambda p, b: vae.log_likelihood(p, jax.random.key(0), b, CFG, SPEC, 2000, chunk)
        )
        return (
            estimate.lower(exact_params(), batch).compile().memory_analysis().temp_size_in_bytes
        )

    assert peak(20) < 0.1 * peak(2000)


def test_kl_and_log_normal_against_scipy():
    mu, log_var = jnp.array([[0.5, -1.0]]), jnp.array([[0.3, -2.0]])
    z = stats.norm(np.asarray(mu), np.exp(0.5 * np.asarray(log_var)))
    np.testing.assert_allclose(
        log_normal(jnp.array([[0.1, 0.2]]), mu, log_var),
        z.logpdf([[0.1, 0.2]]).sum(),
        rtol=1e-5,
    )
    draws = z.rvs((400_000, 2), random_state=0)
    sampled = (z.logpdf(draws) - stats.norm.logpdf(draws)).mean(0)
    np.testing.assert_allclose(kl_normal(mu, log_var)[0], sampled, atol=0.01)


def losses(cfg, step=0, params=None):
    batch, _ = data(20, 0)
    return vae.loss(
        params or exact_params(), jax.random.key(0), batch, jnp.asarray(step), cfg, SPEC
    )


def test_beta_warm_up_and_free_bits_enter_the_loss_as_stated():
    plain = losses(CFG)
    np.testing.assert_allclose(plain["loss"], plain["distortion"] + plain["rate"], rtol=1e-6)
    heavy = losses(dataclasses.replace(CFG, beta=4.0))
    np.testing.assert_allclose(
        heavy["loss"], plain["distortion"] + 4 * plain["rate"], rtol=1e-6
    )
    for step, weight in ((0, 0.0), (5, 0.5), (10, 1.0), (99, 1.0)):
        warm = losses(dataclasses.replace(CFG, warmup=10), step)
        np.testing.assert_allclose(
            warm["loss"], plain["distortion"] + weight * plain["rate"], rtol=1e-5
        )
    collapsed = exact_params()
    collapsed["enc"] = jax.tree.map(jnp.zeros_like, collapsed["enc"])  # q = prior: no KL at all
    floor = losses(dataclasses.replace(CFG, free_bits=0.7), params=collapsed)
    np.testing.assert_allclose(floor["loss"] - floor["distortion"], 0.7 * L, rtol=1e-5)
    np.testing.assert_allclose(floor["rate"], 0.0, atol=1e-6)


def test_the_importance_weighted_loss_is_below_the_elbo_loss_on_average():
    params = exact_params()
    params["enc"]["Dense_0"]["bias"] += 0.7
    one, many = (
        losses(CFG, params=params),
        losses(dataclasses.replace(CFG, samples=20), params=params),
    )
    assert many["loss"].mean() < one["loss"].mean() - 0.1


def test_a_conditional_model_uses_the_label_and_needs_labels():
    cfg, spec = (
        dataclasses.replace(CFG, condition=(Label(),), likelihood=Bernoulli(dynamic=False)),
        labelled(Image((4, 4, 1)), 3, 10),
    )
    batch = {
        "image": np.zeros((2, 4, 4, 1), np.uint8),
        "label": np.array([0, 2]),
        "index": np.array([5, 5], np.uint32),
    }
    state = jax.jit(cfg(spec).init)(jax.random.key(0), batch)
    a, b = jax.jit(cfg(spec).sample)(
        jax.random.key(0), state, batch
    )  # the same z: only the label differs
    assert np.abs(a - b).max() > 1e-3
    with pytest.raises(UserError, match="needs labels"):
        cfg(SPEC)


def test_the_elbo_and_the_likelihood_see_the_same_binary_image():
    cfg, spec = (
        dataclasses.replace(CFG, likelihood=Bernoulli()),
        labelled(Image((4, 4, 1)), 0, 10),
    )
    batch = {
        "image": np.full((3, 4, 4, 1), 128, np.uint8),
        "index": np.arange(3, dtype=np.uint32),
    }
    params = jax.jit(cfg(spec).init)(jax.random.key(0), batch).params
    params["dec"] = jax.tree.map(lambda x: 0 * x, params["dec"])
    params["dec"]["Dense_0"]["bias"] = jnp.linspace(
        -3, 3, 16
    )  # p(x | z) does not depend on z ...
    params["enc"] = jax.tree.map(
        lambda x: 0 * x, params["enc"]
    )  # ... and q = prior, so both bounds are log p(x)
    key = jax.random.key(4)
    parts = jax.jit(vae.elbo, static_argnums=(3, 4))(params, key, batch, cfg, spec)
    likelihood = jax.jit(vae.log_likelihood, static_argnums=(3, 4, 5, 6))
    estimate = likelihood(params, key, batch, cfg, spec, 10, 5)
    np.testing.assert_allclose(parts["elbo"], estimate, rtol=1e-5)
    np.testing.assert_allclose(parts["bits_per_dim"], -estimate / (16 * np.log(2)), rtol=1e-5)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"log_var": (2.0, -6.0)}, "must have the lower limit first"),
        ({"log_var": (float("nan"), 2.0)}, "--algorithm.log_var=nan must be a finite number"),
        ({"log_var": (-6.0, float("inf"))}, "--algorithm.log_var=inf must be a finite number"),
        ({"beta": float("nan")}, "--algorithm.beta=nan must be a finite number"),
        ({"free_bits": float("nan")}, "--algorithm.free_bits=nan must be a finite number"),
    ],
)
def test_numbers_that_train_nothing_are_refused(changes, told):
    with pytest.raises(UserError, match=told):
        dataclasses.replace(CFG, **changes)(SPEC)
