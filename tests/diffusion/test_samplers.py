"""Samplers on data N(m, s²), whose denoiser, flow and marginals are known at every level."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.diffusion import samplers, schedules
from genjax.diffusion.guidance import Dynamic, Guidance, Keep, Static
from genjax.diffusion.paths import Exploding, Linear
from genjax.diffusion.samplers import (
    DDIM,
    DDPM,
    Churn,
    DDPMLarge,
    DPMSolver2M,
    Euler,
    EulerMaruyama,
    FlowHeun,
    Heun,
)

M, S = 0.3, 0.5


def exact(x, sigma):
    """E[data | x] for data N(M, S²)."""
    return (S**2 * x + sigma**2 * M) / (S**2 + sigma**2)


def flow(x, a, b):
    """The probability flow from level a to level b."""
    return M + (x - M) * np.sqrt((S**2 + b**2) / (S**2 + a**2))


def normals(n):
    return lambda i: jax.random.normal(jax.random.fold_in(jax.random.key(1), i), (n, 1))


STOCHASTIC = [DDPM(), DDIM(1.0), DDIM(0.5), EulerMaruyama(), Heun(churn=0.3)]


@pytest.mark.parametrize(
    "sampler", [Euler(), DDIM(), Heun(), FlowHeun(), DPMSolver2M(), *STOCHASTIC], ids=repr
)
def test_every_sampler_returns_the_data_distribution(sampler):
    n, noise = 40_000, normals(40_000)
    sigmas = schedules.Karras(500 if sampler in STOCHASTIC else 100)(Exploding())
    x = np.asarray(samplers.sample(sampler, exact, sigmas[0] * noise(10**6), sigmas, noise))
    assert abs(x.mean() - M) < 4 * S / np.sqrt(n) + 2e-3
    assert abs(x.std() - S) < 4 * S / np.sqrt(2 * n) + 8e-3
    z = (x - x.mean()) / x.std()
    assert abs(np.mean(z**4) - 3.0) < 0.15


@pytest.mark.parametrize(
    "sampler, order",
    [(Euler(), 1), (DDIM(), 1), (Heun(), 2), (FlowHeun(), 2), (DPMSolver2M(), 2)],
    ids=repr,
)
def test_orders_of_convergence(sampler, order):
    with jax.enable_x64(True):
        x, errors, ns = jnp.array([[60.0], [-25.0]]), [], np.array([32, 64, 128, 256])
        for n in ns:
            sigmas = schedules.LogUniform(n + 1)(Exploding())
            end, _ = samplers.walk(sampler, exact, x, sigmas, samplers.still(x))
            errors.append(float(jnp.abs(end - flow(x, 80.0, 0.002)).max()))
    slope = -np.polyfit(np.log(ns), np.log(errors), 1)[0]
    assert abs(slope - order) < 0.12, (slope, errors)


@pytest.mark.parametrize("n", [2, 4, 8, 18])
def test_few_even_steps_of_a_flow(n):
    """From t = 0.999 the level falls a thousandfold in one step: second order must still be better than first."""
    sigmas = schedules.Times(n)(Linear())
    x = sigmas[0] * normals(2000)(0)
    error = {}
    for sampler in (Euler(), FlowHeun(), DPMSolver2M(), Heun()):
        end, _ = samplers.walk(sampler, exact, x, sigmas, samplers.still(x))
        error[sampler] = float(jnp.sqrt(jnp.mean((end - flow(x, sigmas[0], sigmas[-1])) ** 2)))
    assert error[FlowHeun()] < 0.9 * error[Euler()] < 0.5 and error[DPMSolver2M()] < 0.5
    if n == 4:
        assert error[Heun()] > 1.0  # why FlowHeun exists


LEVELS = schedules.Karras(40)(Exploding())


@pytest.mark.parametrize("churn, gamma", [(10.0, 0.25), (40.0, np.sqrt(2) - 1), (0.0, 0.0)])
def test_churn_is_the_papers_gamma_between_its_levels(churn, gamma):
    """N(M, S² + sigma²) of line 3 is N(M, S² + up²) after line 6, up = (1 + gamma) sigma, and off outside."""
    seen = []

    def spy(x, sigma):
        seen.append((np.asarray(x), float(sigma)))
        return x

    x = jnp.array([[-1.0], [1.0]])  # a point of the spread and its opposite
    for sigma in (0.04, 0.05, 3.0, 50.0, 51.0):
        levels = jnp.array([sigma, sigma, sigma / 2])
        for noise in (1.0, 1.003):
            seen.clear()
            at = M + np.sqrt(S**2 + sigma**2) * x
            sampler = samplers.of_steps(Churn(churn, noise=noise), 40)
            sampler(spy, jnp.repeat(at, 2, 1), x, levels, jnp.array([[-1.0, 1.0]] * 2))
            churned, up = seen[0]
            raised = 1.0 + gamma * (0.05 <= sigma <= 50.0)
            assert up == pytest.approx(raised * sigma, rel=1e-6)
            # both signs of x and of eps: means and variances of the four are those of the law
            added = noise**2 * (up**2 - sigma**2)
            assert churned.mean() == pytest.approx(M, abs=1e-4)
            assert churned.var() == pytest.approx(S**2 + sigma**2 + added, rel=1e-5, abs=1e-5)
            if noise == 1.0:
                assert churned.var() == pytest.approx(S**2 + up**2, rel=1e-5, abs=1e-5)


def test_churn_is_heun_of_the_same_gamma_to_the_bit():
    noise = normals(16)
    x = 80.0 * noise(99)
    run = jax.jit(lambda s: samplers.sample(s, exact, x, LEVELS, noise), static_argnums=0)
    ours = run(Heun(10.0 / 40, 0.05, 50.0, 1.003))
    np.testing.assert_array_equal(run(Churn(10.0)), ours)
    assert np.abs(run(Churn(20.0)) - ours).max() > 1e-3
    # beyond the limit nothing changes any more
    np.testing.assert_array_equal(run(Churn(17.0)), run(Churn(400.0)))


def test_ddim_is_euler_without_eta_and_ddpm_with_eta_one():
    noise, sigmas = normals(64), schedules.Karras(10)(Exploding())
    x = 80.0 * noise(99)
    run = lambda sampler: samplers.sample(sampler, exact, x, sigmas, noise)  # noqa: E731
    np.testing.assert_allclose(run(DDIM()), run(Euler()), atol=1e-4)
    np.testing.assert_allclose(run(DDIM(1.0)), run(DDPM()), atol=1e-4)
    assert np.abs(run(DDIM(1.0)) - run(DDIM())).max() > 0.1


@pytest.mark.parametrize("sampler, std", [(DDPM(), 0.0), (DDPMLarge(), 1.0)], ids=repr)
def test_ddpms_variances_are_each_exact_at_one_end(sampler, std):
    """Data without variance and N(0, 1): one step of any length brings the variance std² + sigma² to std² + after²."""
    denoiser = lambda x, sigma: std**2 * x / (std**2 + sigma**2)  # noqa: E731
    for sigma, after in ((80.0, 3.0), (3.0, 2.9), (1.0, 0.01)):
        levels = jnp.array([sigma, sigma, after])
        # x and eps apart: the step is linear in both
        step = lambda x, eps: float(sampler(denoiser, jnp.float32(x), 0.0, levels, eps)[0])  # noqa: E731, B023
        variance = step(1.0, 0.0) ** 2 * (std**2 + sigma**2) + step(0.0, 1.0) ** 2
        assert variance == pytest.approx(std**2 + after**2, rel=1e-5)


def test_ddpm_with_the_large_variance_is_the_papers_step():
    """Algorithm 2 in its own coordinates, z = alpha x, with sigma_t² = beta_t."""
    kept, beta = (
        0.6,
        0.1,
    )  # alpha-bar before the step of the forward chain, and that step's beta
    there = kept * (1.0 - beta)
    sigma, after = (np.sqrt((1.0 - bar) / bar) for bar in (there, kept))
    z, eps_hat, eps = 0.7, -1.1, 0.4
    denoised = (z - np.sqrt(1.0 - there) * eps_hat) / np.sqrt(there)
    levels = jnp.array([sigma, sigma, after])
    x, _ = DDPMLarge()(lambda x, sigma: denoised, z / np.sqrt(there), 0.0, levels, eps)
    mean = (z - beta / np.sqrt(1.0 - there) * eps_hat) / np.sqrt(1.0 - beta)
    assert np.sqrt(kept) * float(x) == pytest.approx(mean + np.sqrt(beta) * eps, rel=1e-5)


def test_one_step_is_the_denoiser_and_a_flow_step_is_euler_in_flow_time():
    noise = normals(8)
    x = 3.0 * noise(0)
    one = samplers.sample(Euler(), exact, x, jnp.array([3.0]), noise)
    np.testing.assert_allclose(one, exact(x, 3.0), rtol=1e-6)
    t, s = (
        0.8,
        0.6,
    )  # z' = z + (s - t) v with z = (1 - t) x~, v = (z - D) / t: the same step in other coordinates
    z = (1 - t) * x
    d = exact(x, t / (1 - t))
    stepped, _ = samplers.walk(Euler(), exact, x, jnp.array([t / (1 - t), s / (1 - s)]), noise)
    np.testing.assert_allclose((1 - s) * stepped, z + (s - t) * (z - d) / t, rtol=1e-5)


def test_inversion_returns_to_where_it_came_from():
    x = jnp.array([[0.9], [-0.4]])
    sigmas = schedules.Karras(400)(Exploding())
    up, _ = samplers.walk(Euler(), exact, x, sigmas[::-1], samplers.still(x))
    np.testing.assert_allclose(up, flow(x, 0.002, 80.0), rtol=0.05)
    np.testing.assert_allclose(
        samplers.sample(Euler(), exact, up, sigmas, samplers.still(x)), x, atol=0.02
    )


def test_the_path_is_kept_and_watched():
    noise, sigmas, seen = normals(4), schedules.Karras(6)(Exploding()), []
    x = sigmas[0] * noise(9)
    noisy, denoised = samplers.sample(
        Heun(), exact, x, sigmas, noise, keep=True, watch=lambda i: seen.append(int(i))
    )
    jax.effects_barrier()
    assert noisy.shape == denoised.shape == (6, 4, 1) and sorted(seen) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(noisy[0], x)
    np.testing.assert_array_equal(
        denoised[-1], samplers.sample(Heun(), exact, x, sigmas, noise)
    )
    np.testing.assert_allclose(denoised[2], exact(noisy[2], sigmas[2]), rtol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0, 3.5])
def test_guidance_moves_the_mean_as_the_formula_says(scale):
    # main N(1, S²), weak N(0, S²): guided D = (S² x + sigma² scale) / (S² + sigma²), the denoiser of N(scale, S²)
    main = lambda x, sigma: (S**2 * x + sigma**2 * 1.0) / (S**2 + sigma**2)  # noqa: E731
    weak = lambda x, sigma: S**2 * x / (S**2 + sigma**2)  # noqa: E731
    noise, sigmas = normals(20_000), schedules.Karras(40)(Exploding())
    x = samplers.sample(
        Heun(), Guidance(scale)(main, weak), sigmas[0] * noise(0), sigmas, noise
    )
    late = scale * S / 80  # the walk starts from N(0, 80²) and not from N(scale, 80² + S²)
    assert abs(float(x.mean()) - scale + late) < 0.012 and abs(float(x.std()) - S) < 0.01


def test_guidance_keeps_to_its_interval():
    main, weak = (lambda x, sigma: x + 1.0), (lambda x, sigma: x)
    guided = Guidance(3.0, low=0.5, high=2.0)(main, weak)
    x = jnp.zeros((1, 1))
    assert [float(guided(x, jnp.asarray(s))[0, 0]) for s in (0.4, 1.0, 2.5)] == [1.0, 3.0, 1.0]
    assert Guidance()(main, weak) is main


def test_thresholds():
    big = lambda x, sigma: jnp.array([[0.5, -3.0, 0.2, 2.0], [0.1, 0.2, -0.3, 0.4]])  # noqa: E731
    static = Static()(big)(None, None)
    assert float(jnp.abs(static).max()) == 1.0 and float(static[1, 3]) == pytest.approx(0.4)
    dynamic = Dynamic(quantile=1.0)(big)(None, None)
    np.testing.assert_allclose(dynamic[0], np.array([0.5, -3.0, 0.2, 2.0]) / 3, rtol=1e-6)
    np.testing.assert_allclose(dynamic[1], [0.1, 0.2, -0.3, 0.4], rtol=1e-6)
    assert Keep()(big) is big
    with pytest.raises(ValueError, match="a quantile lies in"):
        Dynamic(0.0)


def test_values_that_no_sampler_takes():
    with pytest.raises(ValueError, match="eta lies in"):
        DDIM(1.2)
    with pytest.raises(ValueError, match="cannot be negative"):
        Heun(churn=-0.1)
