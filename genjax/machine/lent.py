"""Weights that lie in parts on several devices, lent whole to who computes with them.

A partitioner that is left alone splits products along the parts of a weight and moves activations about, at every use
anew. Here each weight is gathered where a layer reads it, and its gradient is reduced into parts (Rajbhandari et al.
2020, arXiv:1910.02054, stage 3). Nets know nothing of it: linen opens whatever box its parameters come in. A layout
names the mesh around what it traces, by JAX's own `use_abstract_mesh`.
"""

from __future__ import annotations

from typing import Any

import jax
from flax import struct
from flax.core.meta import AxisMetadata, unbox
from jax.sharding import PartitionSpec

from genjax.machine.chips import GIB

PARTS = "fsdp"  # the axis of a mesh along which weights lie in parts
AT_ONCE = 4 * GIB  # a quarter of the memory of the smallest chip that `chips` knows


@jax.custom_jvp
def whole(x: jax.Array) -> jax.Array:
    """A weight, whole on every device of the mesh around."""
    return jax.lax.with_sharding_constraint(x, PartitionSpec())


@whole.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    # a gradient need not be whole anywhere: it takes the parts that the optimiser has of its weight
    return whole(*primals), *tangents


class Lent(struct.PyTreeNode, AxisMetadata):
    """A box around one weight, or around several that are stacked: what uses it opens it."""

    value: Any

    def unbox(self) -> jax.Array:
        return whole(self.value)

    # for losses that compute with a matrix of parameters themselves, without a module of linen
    def __jax_array__(self) -> jax.Array:
        return self.unbox()

    def __getitem__(self, place: Any) -> jax.Array:
        return self.unbox()[place]

    def replace_boxed(self, value: Any) -> Lent:
        return self.replace(value=value)

    # of linen's own loops over layers; a box fits any rank
    def add_axis(self, index: int, params: dict) -> Lent:
        return self

    def remove_axis(self, index: int, params: dict) -> Lent:
        return self


def lent(weights: Any) -> Any:
    """A tree of weights, each gathered where it is used; in a layer that is computed again, again."""
    sides = jax.sharding.get_abstract_mesh().shape
    if sides.get(PARTS, 1) == 1:  # they are whole already: no operation is added
        return weights
    # numbers and vectors are small, and losses do all kinds of things with them
    return jax.tree.map(lambda x: Lent(x) if x.ndim > 1 else x, weights)


def at_once(weights: Any) -> Any:
    """A tree of weights that a loop uses in every turn, as a sampler does: gathered before it, if they are small."""
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(weights))
    boxes = lent(weights)
    if size > AT_ONCE:
        return boxes
    return unbox(boxes)
