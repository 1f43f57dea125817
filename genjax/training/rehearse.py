"""`--rehearse=v5e:16x16`: an experiment compiled for a TPU slice that is not here, and what it would need there.

The programs are those of a run: the layout's own training step, evaluation and sampling. Nothing is computed and
nothing is written: a table is printed, and after it one line of JSON with the same numbers.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax.sharding import NamedSharding, PartitionSpec

from genjax.config import lookup
from genjax.core import Algorithm, guarded, size
from genjax.data import Source
from genjax.data.batches import domains
from genjax.errors import UserError
from genjax.machine import chips, hlo, roofline, tpu
from genjax.machine.chips import GIB, Slice
from genjax.machine.parallel import Mesh, moved
from genjax.machine.tpu import Measured
from genjax.training.experiment import Experiment, check, directory
from genjax.training.kept import kept
from genjax.training.task import batch_like, bind, check_data, example_of

STATE = 0.3  # share of the memory beyond which sharding the state is the first thing to try


@dataclasses.dataclass(frozen=True)
class Rehearsal:
    """What was found. Bytes and work are of one device, which is a chip but for tpu7x, whose chips are two each."""

    exp: Experiment
    place: Slice
    working: int  # devices that the layout uses
    parameters: int  # of the whole model
    state: int  # bytes of a device's part of the state
    programs: dict[str, Measured]  # by name, the training step first

    def times(self, name: str) -> roofline.Times | None:
        """The roofline of a program; None of one that does not fit."""
        work = self.programs[name].work
        return None if work is None else roofline.times(self.place, work)

    def lacking(self, name: str) -> int:
        """Bytes by which a program does not fit into a device, 0 where it does."""
        return tpu.lacking(self.place, self.programs[name].memory)


class Prepared(NamedTuple):
    """What is needed to compile an experiment's programs for a slice."""

    place: Slice
    asked: Experiment  # as it would be run
    here: Experiment  # the same, laid on the devices of the slice
    source: Source
    working: int  # devices that the layout uses
    slices: int  # that they lie in

    def measured(self, lowered: Any, held: int) -> Measured:
        """Compiles one program, see `tpu.measured`."""
        return tpu.measured(lowered, self.working, self.slices, held)


def rehearse(exp: Experiment, experiment: str, name: str) -> Any:
    """Compiles an experiment for the slice `exp.rehearse` and prints what it would need.

    Its data set is loaded for the shapes alone, and not even that where a run of it has kept them. UserError for a
    slice that there is not, without libtpu, and for what an ordinary run refuses too: a batch that does not divide.
    Returns the `Rehearsal`, in the place of the run that `loop.run` would return.
    """
    ready = prepared(exp, experiment, name)
    algorithm, like, held = modelled(ready, ready.here)
    programs = {}
    for title, lowered in _programs(ready.here, ready.source, algorithm, like):
        programs[title] = ready.measured(lowered, held)
    leaves = jax.tree.leaves(like.params)
    parameters = sum(leaf.size for leaf in leaves)
    found = Rehearsal(
        ready.asked, ready.place, ready.working, parameters, _bytes(like), programs
    )
    print(table(found, f"{experiment} {name}"))
    print(json.dumps(facts(found)), flush=True)
    return found


def prepared(exp: Experiment, experiment: str, name: str) -> Prepared:
    """The slice of `exp.rehearse`, its devices and the data's shapes; UserError as `rehearse`."""
    place = chips.read(exp.rehearse)
    # before anything asks JAX for a device
    tpu.prepare()
    devices = tpu.devices(place)
    exp = exp.resolved()
    # all that follows is what a run does, on devices that are not here
    here = dataclasses.replace(exp, layout=moved(exp.layout, devices))
    check(here)
    source = _source(here, experiment, name)
    working = here.layout.ways()
    # one device lies in one slice
    return Prepared(place, exp, here, source, working, min(place.count, working))


def modelled(ready: Prepared, exp: Experiment) -> tuple[Algorithm, Any, int]:
    """(algorithm, structs of its state, bytes that lie on a device in every program) of `here`, or an edit of it."""
    _, algorithm = bind(exp, ready.source)
    key = jax.random.key(exp.seed)
    like = exp.layout.like(algorithm.init, key, example_of(ready.source))
    held = _bytes(like)  # it lies there during evaluation and sampling too, and so does a set
    if exp.resident:
        arrays = jax.tree.leaves(dict(ready.source.train))
        held += sum(array.nbytes for array in arrays)
    return algorithm, like, held


def _source(exp: Experiment, experiment: str, name: str) -> Source:
    """The data as far as shapes go: those that a run has kept, else the whole set."""
    stored = kept(directory(exp, experiment, name))
    # a set on the device takes memory there, so its size matters too
    if stored is not None and not exp.resident:
        return stored
    source = exp.data.load()
    check_data(exp, source)
    return source


def steps(
    exp: Experiment, source: Source, algorithm: Algorithm, like: Any
) -> Iterator[tuple[str, Any]]:
    """(name, lowered) of the training step, or of each turn where several take turns, as the loop compiles them."""
    key = jax.eval_shape(lambda: jax.random.key(0))  # a struct lies nowhere yet
    batch = batch_like(source, exp.batch)
    resident = {}
    if exp.resident:
        resident = _structs(dict(source.train))
        batch = _numbers(batch)
    batches = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), batch)
    turns = algorithm.cycle or (algorithm.step,)
    # each step of a cycle once
    for i, step in enumerate(dict.fromkeys(turns)):
        program = exp.layout.train(guarded(step), like)
        title = (
            f"train {i + 1}, {turns.count(step)} of {len(turns)}" if len(turns) > 1 else "train"
        )
        yield title, program.lower(key, like, resident, batches)


def _programs(
    exp: Experiment, source: Source, algorithm: Algorithm, like: Any
) -> Iterator[tuple[str, Any]]:
    """(name, lowered) of every program that a run compiles: the training steps, evaluation, sampling."""
    yield from steps(exp, source, algorithm, like)
    key = jax.eval_shape(lambda: jax.random.key(0))
    yield "evaluate", _applied(exp, algorithm.evaluate, key, like, _evaluated(exp, source))
    if algorithm.sample is not None:
        asked = _asked(exp, source, algorithm)
        yield "sample", _applied(exp, algorithm.sample, key, like, asked)


def _applied(exp: Experiment, fn: Callable, key: Any, like: Any, batch: Any) -> Any:
    """fn(key, state, batch) lowered as `Run.compiled` compiles it, the batch split as `put` places it."""
    sharding = jax.tree.leaves(like)[0].sharding
    if isinstance(sharding, NamedSharding):
        mesh = sharding.mesh
        sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))  # over all devices

    def placed(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    return exp.layout.apply(fn).lower(key, like, jax.tree.map(placed, batch))


def _evaluated(exp: Experiment, source: Source) -> dict[str, Any]:
    """A batch of evaluation."""
    held = source.valid if size(source.valid) else source.test
    # nothing is known of the size of a set of which only the shapes were kept
    n = min(exp.evaluate_batch, size(held) or exp.evaluate_batch)
    batch = batch_like(source, _filled(exp, n))
    del batch["position"]  # training's own
    return batch


def _asked(exp: Experiment, source: Source, algorithm: Algorithm) -> dict[str, Any]:
    """What `sample` is given for as many as a run draws at a time."""
    wanted = exp.watch.samples if exp.watch.metrics else exp.samples
    n = min(exp.evaluate_batch, max(wanted, exp.samples))
    batch = batch_like(source, _filled(exp, n))
    given = {name: batch[name] for name in algorithm.asks}
    for name in domains(given):
        given[name] = {field: x for field, x in given[name].items() if field != "index"}
    return {"index": batch["index"], **given}


def _filled(exp: Experiment, n: int) -> int:
    """n, up to the next multiple of the devices."""
    return n + -n % exp.layout.ways()


def _numbers(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch of a set that lies on the device: the numbers of its examples alone."""
    kept_back = {name: batch[name] for name in ("position", "index")}
    for name in domains(batch):
        kept_back[name] = {"index": batch[name]["index"]}
    return kept_back


def _structs(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def _bytes(like: Any) -> int:
    """Of one device's part of a tree of structs."""
    total = 0
    for leaf in jax.tree.leaves(like):
        part = leaf.sharding.shard_shape(leaf.shape)
        # a key is numbers too
        width = getattr(leaf.dtype, "itemsize", 4)
        total += math.prod(part) * width
    return total


def facts(found: Rehearsal) -> dict[str, Any]:
    """All numbers as JSON has them: bytes, seconds and counts of one device."""
    place = found.place
    programs = {}
    for name, program in found.programs.items():
        # what is known of every program, then what only the compiled ones tell
        entry = {
            "fits": not found.lacking(name),
            "lacking": found.lacking(name),
            "memory": program.memory._asdict(),
            "compile_seconds": round(program.seconds, 3),
            "loops": list(program.loops),
        }
        times = found.times(name)
        if program.work is not None and times is not None:
            entry["work"] = program.work._asdict()
            entry["seconds"] = {**times._asdict(), "step": times.step, "by": times.by}
            entry["share_of_peak"] = times.share
        entry["collectives"] = [one._asdict() for one in program.collectives]
        programs[name] = entry
    return {
        "slice": str(place),
        "chips": place.chips,
        "devices": place.devices,
        "hbm": tpu.capacity(place),
        "parameters": found.parameters,
        "state": found.state,
        "batch": found.exp.batch,
        "programs": programs,
    }


def table(found: Rehearsal, title: str) -> str:
    """The numbers for people: a column for each program, lines of advice below."""
    place = found.place
    each = "chip" if place.chip.devices == 1 else "device (half a chip)"
    chips_there = "1 chip" if place.chips == 1 else f"{place.chips} chips"
    head = (
        f"{title} on {place}: {chips_there}, --layout={found.exp.layout}, batch {found.exp.batch}; "
        f"{found.parameters:,} parameters, {memory_text(found.state)} of state a {each}"
    )
    rows = [("", *found.programs)]
    columns = [_column(found, name) for name in found.programs]
    for label in dict.fromkeys(label for column in columns for label in column):
        cells = [column.get(label, "-") for column in columns]
        rows.append((label, *cells))
    # a program that does not fit has fewer numbers: its cells are dashes
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [head]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, *_notes(found)])


def _column(found: Rehearsal, name: str) -> dict[str, str]:
    """{label: cell} of one program."""
    program = found.programs[name]
    memory = program.memory
    hbm = memory.limit or tpu.capacity(found.place)
    lacking = found.lacking(name)
    cells = {
        "memory": f"{memory_text(memory.needed)} of {memory_text(hbm)}",
        "fits": f"no, by {memory_text(lacking)}" if lacking else "yes",
    }
    times = found.times(name)
    if program.work is not None and times is not None:
        cells |= {
            "arguments": memory_text(memory.arguments),
            "temporaries": memory_text(memory.temporaries),
            "arithmetic (XLA's count)": _count(program.work.flops, "FLOP"),
            "memory traffic (XLA's count)": memory_text(program.work.traffic),
            "messages sent": memory_text(program.work.inside + program.work.outside),
            "roofline": f"{time_text(times.step)}, by {times.by}",
            "  compute, memory, network": ", ".join(map(time_text, times)),
            "share of peak": f"{100 * times.share:.1f} %",
        }
    cells["compiled in"] = time_text(program.seconds)
    # last, as each column has others
    for name in dict.fromkeys(map(_named, program.collectives)):
        cells[name] = _told(program, name)
    return cells


def _named(one: hlo.Collective) -> str:
    return f"{one.kind} between slices" if one.between else one.kind


def _told(program: Measured, name: str) -> str:
    """How often a kind of collective runs, and the bytes of all."""
    of_kind = [one for one in program.collectives if _named(one) == name]
    times = sum(one.times for one in of_kind)
    total = sum(one.times * one.size for one in of_kind)
    return f"{times} x, {memory_text(total)}"


def _notes(found: Rehearsal) -> list[str]:
    """What the numbers do not say themselves."""
    notes = []
    looped = [name for name, program in found.programs.items() if program.loops]
    if looped:
        notes.append(
            f"{', '.join(looped)}: XLA counts the arithmetic and traffic of a loop's body once, however often it runs "
            f"({_trips(found, looped)}); collectives are counted as often as the program says."
        )
    idle = found.place.devices - found.working
    if idle:
        notes.append(f"{found.exp.layout} works on one device: {idle} of the slice are idle.")
    for name in found.programs:
        lacking = found.lacking(name)
        if lacking:
            notes.append(
                f"{name} does not fit by {lacking / GIB:.2f} GiB or more: {_advice(found, name)}."
            )
    return notes


def _trips(found: Rehearsal, names: list[str]) -> str:
    """How often each program's loops run."""
    told = []
    for name in names:
        trips = [str(n) if n else "unknown" for n in found.programs[name].loops]
        told.append(f"{name} {', '.join(trips)}")
    return "; ".join(told)


def _advice(found: Rehearsal, name: str) -> str:
    """Which flags would make a program smaller, the most promising first."""
    exp = found.exp
    flags = []
    fsdp = getattr(exp.layout, "fsdp", 1)
    # a state that takes little is not worth the messages
    heavy = found.state > STATE * tpu.capacity(found.place)
    if heavy and fsdp < found.place.devices:
        flags.append(
            f"shard the state, --layout='{Mesh(fsdp=min(4 * fsdp, found.place.devices))}'"
        )
    if name.startswith("train"):
        # parts must divide the examples of a device
        each = exp.batch // found.working // exp.microbatches  # examples at a time
        if each % 2 == 0:
            flags.append(f"--microbatches={2 * exp.microbatches}")
        if setting(exp, "algorithm.net.remat") is False:
            flags.append("--algorithm.net.remat=true")
        flags.append(
            f"a smaller --batch than {exp.batch} (--fit=10 looks for it), or more chips"
        )
    else:
        flags.append(f"a smaller --evaluate_batch than {exp.evaluate_batch}")
    return "; ".join(flags)


def setting(exp: Experiment, path: str) -> Any:
    """The value of a field, None where there is none."""
    try:
        return lookup(exp, path)[1]
    except UserError:
        return None


def memory_text(n: float) -> str:
    """Bytes for people: 1.50 GiB."""
    for unit, width in (("GiB", 2**30), ("MiB", 2**20)):
        if n >= width:
            return f"{n / width:.2f} {unit}"
    return f"{n / 2**10:.1f} KiB"


def _count(n: float, unit: str) -> str:
    """A count for people: 1.50 GFLOP."""
    for prefix, width in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if n >= width:
            return f"{n / width:.2f} {prefix}{unit}"
    return f"{n:.0f} {unit}"


def time_text(seconds: float) -> str:
    """A time for people: 1.5 ms."""
    for unit, width in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= width:
            return f"{seconds / width:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"
