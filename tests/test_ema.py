"""Averages of weights: the ramp, the power profile in closed form, any width from snapshots of two."""

import jax.numpy as jnp
import numpy as np
import pytest

from genjax import ema


def run(average, thetas):
    state = average.init({"net": jnp.asarray(thetas[0])})
    for step, theta in enumerate(thetas):
        state = average.update(state, {"net": jnp.asarray(theta)}, jnp.asarray(step))
    return state


def test_decay_follows_its_ramp():
    thetas, b = [1.0, 5.0, 2.0], 1.0
    for t, p in enumerate(thetas):
        d = min(0.2, (1 + t) / (10 + t))
        b = d * b + (1 - d) * p
    np.testing.assert_allclose(run(ema.Decay(0.2), thetas)["net"], b, rtol=1e-6)
    assert run(ema.Decay(0.0), thetas) == {}
    plain = (
        0.2 * (0.2 * 1.0 + 0.8 * 5.0) + 0.8 * 2.0
    )  # of the first, which every average starts at
    found = run(ema.Decay(0.2, ramp=False), thetas)["net"]
    np.testing.assert_allclose(found, plain, rtol=1e-6)


@pytest.mark.parametrize("width", [0.02, 0.1, 0.25])
def test_a_width_is_the_standard_deviation_of_the_power_profile(width):
    g, t = ema.gamma(width), (np.arange(200_000) + 0.5) / 200_000
    p = (g + 1) * t**g
    mean = np.mean(p * t)
    assert abs(np.sqrt(np.mean(p * (t - mean) ** 2)) - width) < 1e-5


def test_the_running_average_has_the_power_profile():
    n = 2000
    thetas = np.sin(np.arange(n) / 300)
    found = run(ema.Power((0.1, 0.25)), thetas)
    for key, width in (("net", 0.1), ("net@0.25", 0.25)):
        g = ema.gamma(width)
        p = (np.arange(n) + 0.5) ** g
        assert abs(float(found[key]) - np.sum(p * thetas) / np.sum(p)) < 2e-3
        assert (
            abs(float(found[key]) - thetas[-1]) > 0.02
        )  # so that the last weights alone would fail


@pytest.mark.parametrize("width", [0.07, 0.13, 0.2])
def test_snapshots_of_two_widths_make_any_other(width):
    n, every = 1600, 100
    thetas = np.sin(np.arange(n) / 150)
    average, snapshots, steps, widths = ema.Power((0.05, 0.1)), [], [], []
    state = average.init({"net": jnp.asarray(thetas[0])})
    for step, theta in enumerate(thetas):
        state = average.update(state, {"net": jnp.asarray(theta)}, jnp.asarray(step))
        if (step + 1) % every == 0:
            snapshots += [
                state["net"],
                state["net@0.05" if average.widths[0] != 0.05 else "net@0.1"],
            ]
            steps += [step + 1, step + 1]
            widths += [0.05, 0.1]
    wanted = float(run(ema.Power((width,)), thetas)["net"])
    mixed = float(ema.mix(snapshots, steps, widths, n, width))
    nearest = min(abs(float(s) - wanted) for s in snapshots[-2:])
    assert abs(mixed - wanted) < 5e-3 < nearest


def test_a_width_that_no_power_has():
    with pytest.raises(ValueError, match="width must be above 0 and below 0.2887, got 0.5"):
        ema.Power((0.1, 0.5))


@pytest.mark.parametrize("widths", [(0.05, 0.05), (0.1, 0.05, 0.05), (0.1, 0.05, 0.05000001)])
def test_widths_of_one_name_are_refused(widths):
    with pytest.raises(ValueError, match="two of the averages' widths are 0.05 in print"):
        ema.Power(widths)
    # six digits tell these apart
    state = ema.Power((0.05, 0.05001, 0.1)).init({"net": jnp.ones(())})
    assert set(state) == {"net", "net@0.05001", "net@0.1"}


@pytest.mark.parametrize("decay", [-0.1, 1.5, float("nan")])
def test_a_decay_that_is_no_share_is_refused(decay):
    with pytest.raises(ValueError, match=r"an average keeps a share in \[0, 1\], got"):
        ema.Decay(decay)
