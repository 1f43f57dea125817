"""Editing against Gaussians: SDEdit's law, inpainting's conditional law, restorations that keep what is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.corruptions import Coarse, Grey, Hole
from genjax.diffusion import editing as edit
from genjax.diffusion import samplers, schedules
from genjax.diffusion.paths import Exploding
from genjax.errors import UserError

M, S = 0.3, 0.5
SIGMAS = schedules.Karras(60)(Exploding())


def independent(x, sigma):
    """The denoiser of independent pixels N(M, S²)."""
    return (S**2 * x + sigma**2 * M) / (S**2 + sigma**2)


def correlated(rho):
    """The denoiser of two pixels with unit variance and correlation rho, images [B, 1, 2, 1]."""
    cov = jnp.array([[1.0, rho], [rho, 1.0]])

    def denoiser(x, sigma):
        gain = cov @ jnp.linalg.inv(cov + sigma**2 * jnp.eye(2))
        return (x.reshape(-1, 2) @ gain.T).reshape(x.shape)

    return denoiser


def noise_of(shape, seed=0):
    return lambda i: jax.random.normal(jax.random.fold_in(jax.random.key(seed), i), shape)


def test_sdedit_follows_the_flow_from_the_noisy_image():
    n, level = 20_000, 0.8
    image = jnp.full((n, 1, 1, 1), 2.0)
    sigmas = jnp.concatenate([jnp.array([level]), SIGMAS[level > SIGMAS]])
    x = edit.sdedit(samplers.Heun(), independent, image, sigmas, noise_of(image.shape))
    shrink = S / np.sqrt(
        S**2 + level**2
    )  # of the deviation from the mean along the probability flow
    assert abs(float(x.mean()) - (M + shrink * (2.0 - M))) < 0.02
    assert abs(float(x.std()) - shrink * level) < 0.02


def test_inversion_and_back():
    image = jax.random.normal(jax.random.key(0), (6, 2, 2, 1))
    up = edit.invert(independent, image, schedules.Karras(300)(Exploding()))
    back = samplers.sample(
        samplers.Euler(),
        independent,
        up,
        schedules.Karras(300)(Exploding()),
        samplers.still(up),
    )
    np.testing.assert_allclose(back, image, atol=0.05)
    assert float(jnp.std(up)) > 20.0  # it is noise of the greatest level, not the image


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_inpainting_draws_from_the_conditional_distribution(rho):
    n, known = 8000, 1.5
    image = jnp.broadcast_to(jnp.array([known, -9.0]).reshape(1, 1, 2, 1), (n, 1, 2, 1))
    mask = jnp.array([1.0, 0.0]).reshape(1, 2, 1)
    x = jax.jit(
        lambda: edit.inpaint(
            correlated(rho), image, mask, SIGMAS, noise_of(image.shape), repeats=12
        )
    )()
    assert (x[:, 0, 0] == known).all()
    filled = np.asarray(x[:, 0, 1, 0])
    assert abs(filled.mean() - rho * known) < 0.1
    assert (
        abs(filled.std() / np.sqrt(1 - rho**2) - 1) < 0.15
    )  # repeated steps of finite size lose some variance


def test_resampling_is_what_lets_the_parts_agree():
    image = jnp.broadcast_to(jnp.array([1.5, 0.0]).reshape(1, 1, 2, 1), (4000, 1, 2, 1))
    mask, wanted = jnp.array([1.0, 0.0]).reshape(1, 2, 1), 0.8 * 1.5

    def fill(r):
        return edit.inpaint(
            correlated(0.8), image, mask, SIGMAS[::3], noise_of(image.shape), r
        )[:, 0, 1].mean()

    assert abs(float(fill(15)) - wanted) < 0.5 * abs(float(fill(1)) - wanted)


MASK = jnp.array([1.0, 0.0]).reshape(1, 2, 1)


def law(repeats, jump, sigmas, rho=0.8, known=1.5):
    """Mean and deviation of the pixel that is filled in, exactly: x is linear in the known one and in each draw."""
    draws = 3 * len(sigmas) * repeats + 2
    place = jnp.arange(
        2 * draws
    )  # one row for each draw of each pixel, one with no noise at all

    def unit(i):
        rows = (place // 2 == i)[:, None] & (place[:, None] % 2 == jnp.arange(2))
        still = jnp.zeros((1, 2))
        return jnp.concatenate([rows.astype(jnp.float32), still]).reshape(-1, 1, 2, 1)

    image = jnp.zeros((2 * draws + 1, 1, 2, 1)).at[-1].set(known)
    fill = lambda: edit.inpaint(correlated(rho), image, MASK, sigmas, unit, repeats, jump=jump)  # noqa: E731
    x = np.asarray(jax.jit(fill)()[:, 0, 1, 0])
    return x[-1], np.sqrt(np.sum(x[:-1] ** 2))


def test_jumps_agree_as_single_steps_do():
    """Given the known pixel the other is N(rho known, 1 - rho²), which resampling comes near, with jumps too."""
    away = {}
    for repeats, jump in ((1, 1), (4, 1), (4, 5)):
        mean, std = law(repeats, jump, SIGMAS)
        away[repeats, jump] = np.hypot(mean - 0.8 * 1.5, std - 0.6)
    assert away[4, 5] < 1.2 * away[4, 1] < 0.5 * away[1, 1]


@pytest.mark.parametrize("sampler", [samplers.DDPM(), samplers.Heun(churn=0.2)], ids=repr)
def test_jumps_of_one_step_are_the_form_of_single_steps_to_the_bit(sampler):
    shape, sigmas, repeats = (50, 1, 2, 1), SIGMAS[::6], 3
    image, noise = jnp.full(shape, 1.5), noise_of(shape)
    denoiser, n = correlated(0.8), len(SIGMAS[::6])

    def known(x, sigma, eps):
        return MASK * (image + sigma * eps) + (1.0 - MASK) * x

    def attempt(r, carry):
        x, i = carry
        sigma, after = sigmas[i], sigmas[i + 1]
        j = 3 * (i * repeats + r)
        x, _ = sampler(
            denoiser, known(x, sigma, noise(j)), x, (sigma, sigma, after), noise(j + 1)
        )
        back = x + jnp.sqrt(sigma**2 - after**2) * noise(j + 2)
        return jnp.where(r < repeats - 1, back, x), i

    @jax.jit
    def single():
        step = lambda x, i: (jax.lax.fori_loop(0, repeats, attempt, (x, i))[0], None)  # noqa: E731
        x, _ = jax.lax.scan(step, sigmas[0] * noise(3 * n * repeats), jnp.arange(n - 1))
        x = denoiser(known(x, sigmas[-1], noise(3 * n * repeats + 1)), sigmas[-1])
        return MASK * image + (1.0 - MASK) * x

    ours = jax.jit(
        lambda: edit.inpaint(denoiser, image, MASK, sigmas, noise, repeats, sampler, jump=1)
    )
    np.testing.assert_array_equal(ours(), single())


@pytest.mark.parametrize("n, jump, repeats", [(8, 3, 3), (7, 2, 2), (6, 1, 2), (4, 3, 1)])
def test_jumps_visit_the_levels_in_the_papers_order(n, jump, repeats):
    seen, sigmas = [], jnp.arange(n, 0.0, -1.0)  # sigma t + 1 at the paper's t, 0 the last

    def spy(x, sigma):
        seen.append(int(sigma) - 1)
        return x

    image = jnp.zeros((1, 1, 2, 1))
    with jax.disable_jit():
        edit.inpaint(spy, image, MASK, sigmas, lambda i: image, repeats, jump=jump)
    # from every multiple of the jump length that leaves room up again, as often as is left
    left = dict.fromkeys(range(0, n - jump, jump), repeats - 1)
    t, wanted = n - 1, [n - 1]
    while t:
        t -= 1
        if left.get(t):
            left[t] -= 1
            t += jump
        wanted.append(t)
    assert seen == wanted


@pytest.mark.parametrize(
    "how", [edit.Replace(), edit.PseudoInverse(std=S)], ids=["replace", "pseudo-inverse"]
)
@pytest.mark.parametrize("known", [Coarse(2), Grey(), Hole(0.0, 0.0, 0.5, 1.0)], ids=repr)
def test_restorations_keep_what_is_known_and_draw_the_rest_from_the_data(how, known):
    image = 0.7 * jax.random.normal(jax.random.key(3), (3000, 4, 4, 3))
    x = edit.restore(
        how, known, samplers.Heun(), independent, image, SIGMAS, noise_of(image.shape)
    )
    np.testing.assert_allclose(known(x), known(image), atol=2e-3)
    rest = x - known(x)
    mean = M - known(jnp.full_like(x, M))
    free = float(jnp.mean(jnp.var(rest, 0)) / S**2)  # share of the dimensions that are free
    lost = {Coarse: 0.75, Grey: 2 / 3, Hole: 0.5}[type(known)]
    assert abs(free - lost) < 0.02
    np.testing.assert_allclose(rest.mean(0), mean[0], atol=0.06)


def test_projections_project():
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    y = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    for known in (Coarse(4), Grey(), Hole()):
        np.testing.assert_allclose(known(known(x)), known(x), atol=1e-6)
        np.testing.assert_allclose(
            jnp.sum(known(x) * y), jnp.sum(x * known(y)), rtol=1e-4
        )  # symmetric: orthogonal
        assert float(jnp.abs(known(x) - x).max()) > 0.1
    np.testing.assert_allclose(Coarse(2)(x)[0, 0, 1, 2], x[0, :2, :2, 2].mean(), rtol=1e-5)
    assert Hole().mask(8, 8).sum() == 64 - 16


def test_bad_input():
    image, noise = jnp.zeros((2, 8, 8, 1)), noise_of((2, 8, 8, 1))
    with pytest.raises(
        UserError, match=r"the mask is \(7, 8, 1\) and the model makes \(8, 8, 1\)"
    ):
        edit.inpaint(independent, image, jnp.ones((7, 8, 1)), SIGMAS, noise)
    with pytest.raises(UserError, match="at least once, got repeats=0"):
        edit.inpaint(independent, image, jnp.ones((8, 8, 1)), SIGMAS, noise, repeats=0)
    for jump in (0, 60):
        with pytest.raises(UserError, match=f"on 60 levels .* 1 to 59 .* jump={jump}"):
            edit.inpaint(independent, image, jnp.ones((8, 8, 1)), SIGMAS, noise, jump=jump)
    with pytest.raises(UserError, match="images of 8x8 do not divide into blocks of 3"):
        Coarse(3)(image)
    with pytest.raises(UserError, match="have no colour to lose"):
        Grey()(image)
    with pytest.raises(ValueError, match="a hole lies in the image"):
        Hole(top=0.9, bottom=0.1)
