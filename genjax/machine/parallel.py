"""Three ways to lay one pure step over devices, the same state in all: `Jit`, `Pmap`, `Mesh`.

A layout is a config value with five functions: `ways()` among which a batch is split; `init` builds a placed state;
`train` compiles a step; `apply` compiles evaluation or sampling; `put` places host batches. The state never grows a
device axis, so a checkpoint moves between layouts.

A compiled training step is `f(key, state, resident, batches) -> state, metrics`: `batches` has leaves [K, B, ...] for K
steps in one dispatch, `resident` holds whole arrays [N, ...] that live on the device and are gathered by
batches["index"] inside the step; metrics have leaves [K].
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from genjax.config import field
from genjax.errors import UserError


def chunked(step: Callable) -> Callable:
    """K steps in one dispatch: a scan over the leading axis of the batches, none when K = 1.

    (On CPU keep K = 1 with convolutions: XLA runs their gradients 6-37 times slower inside a loop, jax#12868.)
    """

    def run(key, state, resident, batches, axis=None):
        def one(state, batch):
            rows = gathered(resident, batch)
            return step(jax.random.fold_in(key, state.step), state, rows, axis)

        if len(batches["index"]) > 1:
            return jax.lax.scan(one, state, batches)
        state, metrics = one(state, jax.tree.map(lambda x: x[0], batches))
        return state, jax.tree.map(lambda x: x[None], metrics)

    return run


def gathered(resident: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
    """The batch with the rows that its "index" names of arrays that live on the device; domain by domain."""
    if "index" not in batch:
        raise ValueError("a batch has the numbers of its examples under 'index'")
    found = {}
    for name, value in resident.items():
        inside = isinstance(value, dict)  # a domain, with numbers of its own
        found[name] = gathered(value, batch[name]) if inside else value[batch["index"]]
    return {**batch, **found}


def _place(sharding: NamedSharding, tree: Any) -> Any:
    """Global arrays out of each process's own part (the whole, when there is one process)."""
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree
    )


def _structs(tree: Any, shardings: Any) -> Any:
    return jax.tree.map(
        lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), tree, shardings
    )


@dataclasses.dataclass(frozen=True)
class Jit:
    """One device."""

    def ways(self) -> int:
        return 1

    def like(self, init: Callable, *args: Any) -> Any:
        """Shapes, types and placement of the state that `init(*args)` would build: what a restore needs."""
        shapes = jax.eval_shape(init, *args)
        return _structs(
            shapes,
            jax.tree.map(lambda _: jax.sharding.SingleDeviceSharding(jax.devices()[0]), shapes),
        )

    def init(self, init: Callable, *args: Any) -> Any:
        return jax.jit(init)(*args)

    def train(self, step: Callable, like: Any) -> Callable:
        return jax.jit(chunked(step), donate_argnums=1)

    def apply(self, fn: Callable) -> Callable:
        return jax.jit(fn)

    def put(self, tree: Any, dim: int | None = 0) -> Any:
        """Training batches (dim 1) stay on the host: a compiled function moves them faster itself."""
        return tree if dim == 1 else jax.device_put(tree)


@dataclasses.dataclass(frozen=True)
class Pmap:
    """Data parallel over all devices by `jax.pmap`: the state is replicated, gradients are averaged by `pmean`."""

    def _mesh(self) -> jax.sharding.Mesh:
        return jax.make_mesh((jax.device_count(),), ("devices",), axis_types=(AxisType.Auto,))

    def ways(self) -> int:
        return jax.device_count()

    def like(self, init: Callable, *args: Any) -> Any:
        """As `Jit.like`, replicated over the devices."""
        shapes, replicated = jax.eval_shape(init, *args), NamedSharding(self._mesh(), P())
        return _structs(shapes, jax.tree.map(lambda _: replicated, shapes))

    def init(self, init: Callable, *args: Any) -> Any:
        return jax.jit(init, out_shardings=NamedSharding(self._mesh(), P()))(*args)

    def train(self, step: Callable, like: Any) -> Callable:
        run = functools.partial(chunked(step), axis="devices")
        axes = {"in_axes": (None, None, None, 1), "out_axes": (None, None)}
        compiled = jax.pmap(run, axis_name="devices", donate_argnums=1, **axes)
        n = jax.local_device_count()

        def split(key, state, resident, batches):  # [K, B, ...] -> [K, n, B / n, ...]
            parts = jax.tree.map(lambda x: x.reshape(x.shape[0], n, -1, *x.shape[2:]), batches)
            state, metrics = compiled(key, state, resident, parts)
            return self._everywhere(state), metrics

        return split

    def _everywhere(self, tree: Any) -> Any:
        """The same buffers as arrays of all processes: `pmap` hands out arrays of this process's devices alone."""
        if jax.process_count() == 1:
            return tree
        whole, make = NamedSharding(self._mesh(), P()), jax.make_array_from_single_device_arrays
        return jax.tree.map(
            lambda x: make(x.shape, whole, [shard.data for shard in x.addressable_shards]), tree
        )

    def apply(self, fn: Callable) -> Callable:
        return jax.jit(fn, out_shardings=NamedSharding(self._mesh(), P()))

    def put(self, tree: Any, dim: int | None = 0) -> Any:
        """Training batches (dim 1) stay on the host: `pmap` splits them itself."""
        if dim == 1:
            return tree
        return _place(NamedSharding(self._mesh(), P() if dim is None else P("devices")), tree)


@dataclasses.dataclass(frozen=True)
class Mesh:
    """`jit` over a mesh of data x fsdp devices; with fsdp > 1 parameters and optimiser are sharded, born so."""

    data: int = field(-1, "devices along the data axis, -1 = all that fsdp leaves")
    fsdp: int = field(1, "devices among which the state is sharded")
    min_shard: int = field(4096, "smaller leaves stay replicated [elements]")

    def _mesh(self) -> jax.sharding.Mesh:
        n = jax.device_count()
        data = self.data if self.data > 0 else n // max(self.fsdp, 1)
        if self.fsdp < 1 or data * self.fsdp != n:
            raise UserError(
                f"--layout=Mesh(data={self.data}, fsdp={self.fsdp}) does not fill {n} devices: make the product {n}."
            )
        # Auto: with make_mesh's default, Explicit axes, ordinary code fails under fsdp
        return jax.make_mesh((data, self.fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)

    def _spec(self, leaf: Any) -> P:
        """Shards a leaf's longest divisible axis."""
        axes = [i for i in range(leaf.ndim) if leaf.shape[i] % self.fsdp == 0]
        if self.fsdp == 1 or leaf.size < self.min_shard or not axes:
            return P()
        longest = max(axes, key=lambda i: leaf.shape[i])
        return P(*["fsdp" if i == longest else None for i in range(leaf.ndim)])

    def ways(self) -> int:
        return self._mesh().size

    def like(self, init: Callable, *args: Any) -> Any:
        """As `Jit.like`, sharded over the axis fsdp."""
        mesh, shapes = self._mesh(), jax.eval_shape(init, *args)
        return _structs(
            shapes, jax.tree.map(lambda leaf: NamedSharding(mesh, self._spec(leaf)), shapes)
        )

    def init(self, init: Callable, *args: Any) -> Any:
        shardings = jax.tree.map(lambda leaf: leaf.sharding, self.like(init, *args))
        return jax.jit(init, out_shardings=shardings)(*args)

    def train(self, step: Callable, like: Any) -> Callable:
        mesh = self._mesh()
        state, replicated = jax.tree.map(lambda leaf: leaf.sharding, like), NamedSharding(mesh, P())
        batches = NamedSharding(mesh, P(None, ("data", "fsdp")))
        placed = (replicated, state, replicated, batches)
        return jax.jit(
            chunked(step), donate_argnums=1, in_shardings=placed, out_shardings=(state, replicated)
        )

    def apply(self, fn: Callable) -> Callable:
        return jax.jit(fn, out_shardings=NamedSharding(self._mesh(), P()))

    def put(self, tree: Any, dim: int | None = 0) -> Any:
        if dim == 1 and jax.process_count() == 1:  # as in `Jit`
            return tree
        parts = {None: P(), 0: P(("data", "fsdp")), 1: P(None, ("data", "fsdp"))}
        return _place(NamedSharding(self._mesh(), parts[dim]), tree)


Layout = Jit | Pmap | Mesh


def check_batch(layout: Layout, batch: int, parts: int = 1) -> None:
    """Raises UserError unless the batch divides among the layout's devices, and on each into `parts`."""
    if jax.process_count() > 1 and isinstance(layout, Jit):
        raise UserError(
            "--layout=Jit() is of one device, and several processes have more: use --layout='Mesh()'."
        )
    ways = layout.ways()
    if batch < 1 or batch % ways:
        raise UserError(
            f"--batch={batch} does not divide over the {ways} devices of --layout={layout}: use a multiple of {ways}."
        )
    if batch // ways % parts:
        raise UserError(
            f"--microbatches={parts} does not divide the {batch // ways} examples a device has: use a --batch that is "
            f"a multiple of {parts * ways}."
        )
