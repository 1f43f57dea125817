"""The Inception net of December 2015 on which FID is defined (Szegedy et al. 2016, arXiv:1512.00567, figs. 5-7, 10).

As published in TensorFlow (inception-2015-12-05, 1008 outputs), for inference: it differs from later ones in that its
average pooling leaves the border out of the count, and its last block pools by maximum. Modules bear the names of the
PyTorch port, so that weights are taken over by name:

    x <- relu((kernel * x - mean) / sqrt(var + 0.001) scale + bias)
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

EPS = 0.001  # of batch norm
ROW, COLUMN = (1, 7), (7, 1)  # the factors of a 7 x 7 kernel
Layer = tuple  # (name, channels, kernel's sides) and perhaps the stride, 1 if not said

# the border is out of the count: a corner is the mean of 4 pixels, not a ninth of their sum
average = functools.partial(
    nn.avg_pool, window_shape=(3, 3), strides=(1, 1), padding="SAME", count_include_pad=False
)
largest = functools.partial(nn.max_pool, window_shape=(3, 3), strides=(1, 1), padding="SAME")
halve = functools.partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2), padding="VALID")


class Unit(nn.Module):
    """Convolution without bias, batch norm with given statistics, relu."""

    width: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        shape = (*self.kernel, x.shape[-1], self.width)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        # mean and variance are parameters: the net is for inference, nothing updates them
        scale = self.param("scale", ones, (self.width,))
        bias = self.param("bias", zeros, (self.width,))
        mean = self.param("mean", zeros, (self.width,))
        var = self.param("var", ones, (self.width,))
        strides = (self.stride, self.stride)
        axes = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(
            x, kernel, strides, self.padding, dimension_numbers=axes
        )
        gain = scale * jax.lax.rsqrt(var + EPS)  # [width]
        return nn.relu((y - mean) * gain + bias)


def chain(x: jax.Array, *layers: Layer) -> jax.Array:
    """Units one after another; those with a stride have no border."""
    for name, width, kernel, *stride in layers:
        padding = "VALID" if stride else "SAME"
        x = Unit(width, kernel, *stride, padding=padding, name=name)(x)
    return x


def cat(*branches: jax.Array) -> jax.Array:
    """Branches [B, H, W, C_i] side by side: [B, H, W, sum of C_i]."""
    return jnp.concatenate(branches, -1)


class A(nn.Module):
    """35 x 35 -> 35 x 35 x (224 + pool)."""

    pool: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # 64, 64, 96 and `pool` channels
        return cat(
            chain(x, ("branch1x1", 64, (1, 1))),
            chain(x, ("branch5x5_1", 48, (1, 1)), ("branch5x5_2", 64, (5, 5))),
            chain(
                x,
                ("branch3x3dbl_1", 64, (1, 1)),
                ("branch3x3dbl_2", 96, (3, 3)),
                ("branch3x3dbl_3", 96, (3, 3)),
            ),
            chain(average(x), ("branch_pool", self.pool, (1, 1))),
        )


class B(nn.Module):
    """35 x 35 x 288 -> 17 x 17 x 768."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # 384, 96 and the input's 288 channels
        return cat(
            chain(x, ("branch3x3", 384, (3, 3), 2)),
            chain(
                x,
                ("branch3x3dbl_1", 64, (1, 1)),
                ("branch3x3dbl_2", 96, (3, 3)),
                ("branch3x3dbl_3", 96, (3, 3), 2),
            ),
            halve(x),
        )


class C(nn.Module):
    """17 x 17 x 768 -> 17 x 17 x 768, 7 x 7 convolutions in two factors; n channels within."""

    n: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        n = self.n
        double = "branch7x7dbl_"
        # 192 channels each
        return cat(
            chain(x, ("branch1x1", 192, (1, 1))),
            chain(
                x,
                ("branch7x7_1", n, (1, 1)),
                ("branch7x7_2", n, ROW),
                ("branch7x7_3", 192, COLUMN),
            ),
            chain(
                x,
                (double + "1", n, (1, 1)),
                (double + "2", n, COLUMN),
                (double + "3", n, ROW),
                (double + "4", n, COLUMN),
                (double + "5", 192, ROW),
            ),
            chain(average(x), ("branch_pool", 192, (1, 1))),
        )


class D(nn.Module):
    """17 x 17 x 768 -> 8 x 8 x 1280."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        factors = (
            ("branch7x7x3_1", 192, (1, 1)),
            ("branch7x7x3_2", 192, ROW),
            ("branch7x7x3_3", 192, COLUMN),
        )
        # 320, 192 and the input's 768 channels
        return cat(
            chain(x, ("branch3x3_1", 192, (1, 1)), ("branch3x3_2", 320, (3, 3), 2)),
            chain(x, *factors, ("branch7x7x3_4", 192, (3, 3), 2)),
            halve(x),
        )


class E(nn.Module):
    """8 x 8 -> 8 x 8 x 2048; the last block of the net pools by maximum."""

    last: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # both fork: a 3 x 3 kernel's two factors side by side instead of one after the other
        one = chain(x, ("branch3x3_1", 384, (1, 1)))
        two = chain(x, ("branch3x3dbl_1", 448, (1, 1)), ("branch3x3dbl_2", 384, (3, 3)))
        pooled = largest(x) if self.last else average(x)
        return cat(
            chain(x, ("branch1x1", 320, (1, 1))),
            chain(one, ("branch3x3_2a", 384, (1, 3))),
            chain(one, ("branch3x3_2b", 384, (3, 1))),
            chain(two, ("branch3x3dbl_3a", 384, (1, 3))),
            chain(two, ("branch3x3dbl_3b", 384, (3, 1))),
            chain(pooled, ("branch_pool", 192, (1, 1))),
        )


class InceptionV3(nn.Module):
    """[B, 299, 299, 3] in [-1, 1] -> {"64", "192", "768", "2048": means over positions, "logits_unbiased" [B, 1008]}.

    The logits are without the bias of the last layer, as the inception score takes them.
    """

    classes: int = 1008

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        # the numbers of FID's features are their channels
        x = Unit(32, (3, 3), 2, "VALID", name="Conv2d_1a_3x3")(x)  # [B, 149, 149, 32]
        x = Unit(32, (3, 3), 1, "VALID", name="Conv2d_2a_3x3")(x)  # [B, 147, 147, 32]
        x = Unit(64, (3, 3), name="Conv2d_2b_3x3")(x)
        x = halve(x)  # [B, 73, 73, 64]
        found = {"64": x}
        x = Unit(80, (1, 1), name="Conv2d_3b_1x1")(x)
        x = Unit(192, (3, 3), 1, "VALID", name="Conv2d_4a_3x3")(x)
        x = found["192"] = halve(x)  # [B, 35, 35, 192]
        for name, pool in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = A(pool, name=name)(x)
        # [B, 35, 35, 288] here
        x = B(name="Mixed_6a")(x)
        for name, n in (
            ("Mixed_6b", 128),
            ("Mixed_6c", 160),
            ("Mixed_6d", 160),
            ("Mixed_6e", 192),
        ):
            x = found["768"] = C(n, name=name)(x)
        # [B, 17, 17, 768] here
        x = D(name="Mixed_7a")(x)
        x = E(False, name="Mixed_7b")(x)
        x = found["2048"] = E(True, name="Mixed_7c")(x)
        # FID by the last, or by an earlier one where examples are too few for 2048 dimensions
        means = {name: jnp.mean(maps, (1, 2)) for name, maps in found.items()}
        head = Head(self.classes, name="fc")(means["2048"])
        return {**means, "logits_unbiased": head}


class Head(nn.Module):
    """The last layer; its bias is kept among the weights and not added."""

    classes: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param(
            "kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.classes)
        )
        # made and not used, so that the published weights fit the parameters one to one
        self.param("bias", nn.initializers.zeros, (self.classes,))
        return x @ kernel
