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
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from genjax.config import field
from genjax.errors import UserError
from genjax.machine.lent import PARTS


def chunked(step: Callable) -> Callable:
    """K steps in one dispatch: a scan over the leading axis of the batches, none when K = 1.

    (On CPU keep K = 1 with convolutions: XLA runs their gradients 6-37 times slower inside a loop, jax#12868.)
    """

    def run(key, state, resident, batches, axis=None):
        def one(state, batch):
            # the key of a step is folded with its number here, once for all families
            rows = gathered(resident, batch)
            return step(jax.random.fold_in(key, state.step), state, rows, axis)

        if len(batches["index"]) > 1:
            return jax.lax.scan(one, state, batches)
        # K = 1: the same shapes without a loop
        batch = jax.tree.map(lambda x: x[0], batches)
        state, metrics = one(state, batch)
        return state, jax.tree.map(lambda x: x[None], metrics)

    return run


def gathered(resident: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
    """The batch with the rows that its "index" names of arrays that live on the device; domain by domain."""
    if "index" not in batch:
        raise ValueError("a batch has the numbers of its examples under 'index'")
    found = {}
    for name, value in resident.items():
        if isinstance(value, dict):  # a domain, with numbers of its own
            found[name] = gathered(value, batch[name])
        else:
            found[name] = value[batch["index"]]
    # "index" stays: noise is drawn by it
    return {**batch, **found}


def _place(sharding: NamedSharding, tree: Any) -> Any:
    """Global arrays out of each process's own part (the whole, when there is one process)."""

    def place(x: Any) -> jax.Array:
        # each process holds its own part of a batch alone
        return jax.make_array_from_process_local_data(sharding, np.asarray(x))

    return jax.tree.map(place, tree)


def _structs(tree: Any, shardings: Any) -> Any:
    """Shapes and types of `tree` with the placements of `shardings`, a tree of the same structure."""

    def struct(leaf: Any, sharding: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(struct, tree, shardings)


class Placed:
    """Where a layout lies: on all devices that JAX has found, or, after `moved`, on others."""

    def chosen(self) -> Sequence[Any] | None:
        """The devices that were given; None = all."""
        return None

    def devices(self) -> Sequence[Any]:
        return self.chosen() or jax.devices()

    def own(self) -> int:
        """The number of devices of this process."""
        return len(self.chosen() or jax.local_devices())

    def mesh_of(self, sides: dict[str, int]) -> jax.sharding.Mesh:
        """A mesh whose neighbours are neighbours on the chips' network, {axis: devices along it}.

        Slices, which only a slow network joins, are laid along the first axis: UserError where they do not divide it.
        """
        devices = self.devices()
        # of TPUs alone: GPUs have a number of that name too, and lie in one network
        tpus = [device for device in devices if device.platform == "tpu"]
        slices = {getattr(device, "slice_index", 0) for device in tpus}
        names, shape = tuple(sides), tuple(sides.values())
        # Auto: with make_mesh's default, Explicit axes, ordinary code fails under fsdp
        automatic = (AxisType.Auto,) * len(shape)
        if len(slices) <= 1:
            return jax.make_mesh(shape, names, automatic, devices=devices)
        first, *rest = shape
        if first % len(slices):
            raise UserError(
                f"--layout: {first} devices along the axis {names[0]} do not divide over {len(slices)} slices: use an "
                "fsdp that fits into one slice."
            )
        within = (first // len(slices), *rest)
        across = (len(slices), *(1 for _ in rest))
        # split: one logical axis may run along several of the chips' network, as make_mesh allows on v5e
        laid = mesh_utils.create_hybrid_device_mesh(
            within, across, devices, allow_split_physical_axes=True
        )
        return jax.sharding.Mesh(laid, names, axis_types=automatic)


def moved(layout: Layout, devices: Sequence[Any]) -> Layout:
    """The same layout on other devices than JAX's own: those of a machine that is not here."""
    own = type(layout)

    class Moved(own):
        def chosen(self) -> Sequence[Any]:
            return devices

    Moved.__qualname__ = own.__qualname__  # errors tell of the layout as it was written
    return Moved(**vars(layout))


@dataclasses.dataclass(frozen=True)
class Jit(Placed):
    """One device."""

    def ways(self) -> int:
        return 1

    def like(self, init: Callable, *args: Any) -> Any:
        """Shapes, types and placement of the state that `init(*args)` would build: what a restore needs."""
        shapes = jax.eval_shape(init, *args)
        given = self.chosen() or jax.local_devices()  # of several hosts each has its own
        first = given[0]
        shardings = jax.tree.map(lambda _: jax.sharding.SingleDeviceSharding(first), shapes)
        return _structs(shapes, shardings)

    def init(self, init: Callable, *args: Any) -> Any:
        # compiled: the leaves are then born on the device
        return jax.jit(init)(*args)

    def train(self, step: Callable, like: Any) -> Callable:
        return jax.jit(chunked(step), donate_argnums=1)

    def apply(self, fn: Callable) -> Callable:
        return jax.jit(fn)

    def put(self, tree: Any, dim: int | None = 0) -> Any:
        """Training batches (dim 1) stay on the host: a compiled function moves them faster itself."""
        return tree if dim == 1 else jax.device_put(tree)


@dataclasses.dataclass(frozen=True)
class Pmap(Placed):
    """Data parallel over all devices by `jax.pmap`: the state is replicated, gradients are averaged by `pmean`."""

    def _mesh(self) -> jax.sharding.Mesh:
        return self.mesh_of({"devices": self.ways()})

    def _replicated(self) -> NamedSharding:
        """The whole on every device."""
        return NamedSharding(self._mesh(), P())

    def ways(self) -> int:
        return len(self.devices())

    def like(self, init: Callable, *args: Any) -> Any:
        """As `Jit.like`, replicated over the devices."""
        shapes = jax.eval_shape(init, *args)
        replicated = self._replicated()
        shardings = jax.tree.map(lambda _: replicated, shapes)
        return _structs(shapes, shardings)

    def init(self, init: Callable, *args: Any) -> Any:
        # one program on all devices: no copy is sent from the first
        build = jax.jit(init, out_shardings=self._replicated())
        return build(*args)

    def train(self, step: Callable, like: Any) -> Callable:
        run = functools.partial(chunked(step), axis="devices")
        compiled = jax.pmap(
            run,
            axis_name="devices",
            devices=self.chosen(),
            donate_argnums=1,
            in_axes=(None, None, None, 1),  # the batches alone are split, along B
            out_axes=(None, None),  # equal on all devices: no device axis comes out
        )
        n = self.own()  # of this process: it brings its own part of the batch

        def split(x):  # [K, B, ...] -> [K, n, B / n, ...]
            k, _, *rest = x.shape
            return x.reshape(k, n, -1, *rest)

        def train(key, state, resident, batches):
            # the device axis is second: K stays first, as `chunked` scans over it
            parts = jax.tree.map(split, batches)
            state, metrics = compiled(key, state, resident, parts)
            return self._everywhere(state), metrics

        def lower(key, state, resident, batches):
            parts = jax.eval_shape(lambda x: jax.tree.map(split, x), batches)
            # where a leaf lies is pmap's own matter
            bare = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
            return compiled.lower(key, bare, resident, parts)

        train.lower = lower  # pyright: ignore[reportFunctionMemberAccess]; as of `jax.jit`
        return train

    def _everywhere(self, tree: Any) -> Any:
        """The same buffers as arrays of all processes: `pmap` hands out arrays of this process's devices alone."""
        if jax.process_count() == 1:
            return tree
        # no data move: each device has had the whole all along
        whole = self._replicated()

        def spread(x: jax.Array) -> jax.Array:
            buffers = [shard.data for shard in x.addressable_shards]
            return jax.make_array_from_single_device_arrays(x.shape, whole, buffers)

        return jax.tree.map(spread, tree)

    def apply(self, fn: Callable) -> Callable:
        return jax.jit(fn, out_shardings=self._replicated())

    def put(self, tree: Any, dim: int | None = 0) -> Any:
        """Training batches (dim 1) stay on the host: `pmap` splits them itself."""
        if dim == 1:
            return tree
        spec = P() if dim is None else P("devices")  # None: parameters, whole on every device
        sharding = NamedSharding(self._mesh(), spec)
        return _place(sharding, tree)


@dataclasses.dataclass(frozen=True)
class Mesh(Placed):
    """`jit` over a mesh of data x fsdp devices; with fsdp > 1 parameters and optimiser are sharded, born so."""

    # -1, so that one config fits machines of any size
    data: int = field(-1, "devices along the data axis, -1 = all that fsdp leaves")
    fsdp: int = field(1, "devices among which the state is sharded")
    min_shard: int = field(2**14, "smaller leaves stay replicated [elements]")

    def _mesh(self) -> jax.sharding.Mesh:
        n = len(self.devices())
        data = self.data
        if data <= 0:
            data = n // max(self.fsdp, 1)  # an fsdp of 0 is refused below, not divided by
        if self.fsdp < 1 or data * self.fsdp != n:
            raise UserError(
                f"--layout=Mesh(data={self.data}, fsdp={self.fsdp}) does not fill {n} devices: make the product {n}."
            )
        return self.mesh_of({"data": data, PARTS: self.fsdp})

    def _within(self, fn: Callable) -> Callable:
        """fn, traced with this mesh around it: what lends weights finds it there."""
        mesh = self._mesh().abstract_mesh

        @functools.wraps(fn)  # programs have its name
        def run(*args: Any) -> Any:
            with jax.sharding.use_abstract_mesh(mesh):
                return fn(*args)

        return run

    def _spec(self, leaf: Any) -> P:
        """Shards a leaf's first divisible axis."""
        small = leaf.size < self.min_shard  # gathering it would cost more than it saves
        if self.fsdp == 1 or small:
            return P()
        for i, side in enumerate(leaf.shape):
            # the first: parts lie one behind the other in memory, and layers that are cut in several, as queries, keys
            # and values are, are cut along the last; an axis that fsdp does not divide would need padding
            if side % self.fsdp == 0:
                return P(*(None,) * i, PARTS)
        return P()

    def ways(self) -> int:
        return self._mesh().size

    def like(self, init: Callable, *args: Any) -> Any:
        """As `Jit.like`, sharded over the axis fsdp."""
        mesh = self._mesh()
        shapes = jax.eval_shape(init, *args)

        def sharding(leaf: Any) -> NamedSharding:
            return NamedSharding(mesh, self._spec(leaf))

        shardings = jax.tree.map(sharding, shapes)
        return _structs(shapes, shardings)

    def init(self, init: Callable, *args: Any) -> Any:
        # born sharded: a state too large for one device is never whole on any
        like = self.like(init, *args)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, like)
        build = jax.jit(init, out_shardings=shardings)
        return build(*args)

    def train(self, step: Callable, like: Any) -> Callable:
        mesh = self._mesh()
        state = jax.tree.map(lambda leaf: leaf.sharding, like)
        replicated = NamedSharding(mesh, P())
        # [K, B, ...]: examples are split among all devices, whatever axis they lie on
        batches = NamedSharding(mesh, P(None, ("data", PARTS)))
        return jax.jit(
            self._within(chunked(step)),
            donate_argnums=1,
            in_shardings=(replicated, state, replicated, batches),
            out_shardings=(state, replicated),
        )

    def apply(self, fn: Callable) -> Callable:
        return jax.jit(self._within(fn), out_shardings=NamedSharding(self._mesh(), P()))

    def put(self, tree: Any, dim: int | None = 0) -> Any:
        if dim == 1 and jax.process_count() == 1:  # as in `Jit`
            return tree
        both = ("data", PARTS)
        parts = {
            None: P(),
            0: P(both),
            1: P(None, both),
        }
        sharding = NamedSharding(self._mesh(), parts[dim])
        return _place(sharding, tree)


Layout = Jit | Pmap | Mesh


def check_batch(layout: Layout, batch: int, parts: int = 1) -> None:
    """Raises UserError unless the batch divides among the layout's devices, and on each into `parts`."""
    # each process would train a run of its own into one directory
    if jax.process_count() > 1 and isinstance(layout, Jit):
        raise UserError(
            "--layout=Jit() is of one device, and several processes have more: use --layout='Mesh()'."
        )
    ways = layout.ways()
    if batch < 1 or batch % ways:
        raise UserError(
            f"--batch={batch} does not divide over the {ways} devices of --layout={layout}: use a multiple of {ways}."
        )
    each = batch // ways  # examples of a device
    if each % parts:
        raise UserError(
            f"--microbatches={parts} does not divide the {each} examples a device has: use a --batch that is "
            f"a multiple of {parts * ways}."
        )
