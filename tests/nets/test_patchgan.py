"""PatchGAN: what an output sees, by its formula, by the paper, and by the gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.nets.patchgan import PatchGAN


@pytest.mark.parametrize(
    ("net", "patch"),
    [
        # Isola et al. 2017, appendix 6.1.2
        (PatchGAN((64, 128, 256, 512), 3), 70),
        (PatchGAN((64, 128), 1), 16),
        (PatchGAN((64, 128), 0, 1), 1),
    ],
)
def test_patches_are_of_the_papers_sizes(net, patch):
    assert net.patch == patch


def seen(net: PatchGAN, side: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """Which rows of a picture the output in the middle depends on, and the shape of all outputs."""
    x = jax.random.normal(jax.random.key(0), (1, side, side, 1))
    variables = jax.jit(net.init, static_argnums=3)(jax.random.key(1), x, None, (1,))

    def middle(x):
        y = net.apply(variables, x, None, (1,))
        return y[0, y.shape[1] // 2, y.shape[2] // 2, 0], y

    gradient, y = jax.jit(jax.grad(middle, has_aux=True))(x)
    return np.flatnonzero(np.abs(gradient[0, :, :, 0]).sum(1)), y.shape


@pytest.mark.parametrize(
    ("net", "side"),
    [
        (PatchGAN((4, 4), 1), 32),
        (PatchGAN((4, 4), 1), 31),  # odd sides take the convolution with strides
        (PatchGAN((4, 4), 2), 48),
        (PatchGAN((4, 4), 1, 3), 24),
        (PatchGAN((4,), 0, 1), 8),
    ],
)
def test_an_output_sees_its_patch_and_nothing_else(net, side):
    rows, shape = seen(net, side)
    assert rows[-1] - rows[0] + 1 == net.patch
    assert shape[1] * shape[2] == net.outputs((side, side, 1))


def test_a_norm_lets_it_see_the_whole_picture():
    rows, _ = seen(PatchGAN((4, 4), 1, norm=True), 32)
    assert len(rows) == 32


def test_the_folded_layer_is_the_convolution_with_strides():
    x = jax.random.normal(jax.random.key(0), (2, 12, 12, 3))
    net = PatchGAN((5,), 1)
    variables = jax.jit(net.init, static_argnums=3)(jax.random.key(1), x, None, (1,))
    folded = variables["params"]["layer_0"]["kernel"]  # [2, 2, 4 * 3, 5]
    kernel = folded.reshape(2, 2, 2, 2, 3, 5).transpose(0, 2, 1, 3, 4, 5).reshape(4, 4, 3, 5)
    axes = ("NHWC", "HWIO", "NHWC")
    pads = ((1, 1), (1, 1))
    h = jax.lax.conv_general_dilated(x, kernel, (2, 2), pads, dimension_numbers=axes)
    h = jax.nn.leaky_relu(h, 0.2)
    last = variables["params"]["score"]["kernel"]
    y = jax.lax.conv_general_dilated(h, last, (1, 1), pads, dimension_numbers=axes)
    np.testing.assert_allclose(net.apply(variables, x, None, (1,)), y, atol=1e-6)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (PatchGAN((8, 8, 8, 8), 3), "patch of 70x70 pixels is larger than the picture, 32x32"),
        (PatchGAN((8,), 2), "only the 1 layers"),
        (PatchGAN((8,), 1, 0), "side"),
    ],
)
def test_what_fits_no_picture_is_told_in_a_line(net, words):
    with pytest.raises(UserError, match=words) as error:
        jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)), None, (1,))
    assert "\n" not in str(error.value)
