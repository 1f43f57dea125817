"""`--rehearse`: what is asked of libtpu, what is told of it, and, where libtpu is installed, one small rehearsal."""

import dataclasses
import functools
import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.vae import EXPERIMENTS
from genjax import cli
from genjax.config import digest, edit
from genjax.core import State, guarded
from genjax.data import Blank
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.machine import chips, tpu
from genjax.machine.hlo import ALL_REDUCE, Collective
from genjax.machine.parallel import Jit, Mesh, Pmap, moved
from genjax.machine.roofline import Work
from genjax.machine.tpu import Measured, Memory
from genjax.nets import MLP
from genjax.training import fit, loop
from genjax.training.experiment import directory
from genjax.training.fit import Try, fitted
from genjax.training.kept import keep
from genjax.training.rehearse import (
    Prepared,
    Rehearsal,
    _programs,
    _source,
    facts,
    rehearse,
    table,
)
from genjax.training.task import bind, check_data, example_of

SMALL = {"algorithm.enc": MLP((8,)), "algorithm.dec": MLP((8,)), "algorithm.latent": 2}
EXP = edit(EXPERIMENTS["digits"], {**SMALL, "batch": 16, "finish": ()})
GIB = chips.GIB

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason='libtpu is not installed: pip install "jax[tpu]"',
)


def asked(tmp_path, flags, capsys):
    """(exit code, stdout, stderr) of a command line."""
    exp = edit(EXP, {"runs": str(tmp_path / "runs")})
    with pytest.raises(SystemExit) as end:
        cli.main({"base": exp}, functools.partial(loop.run, "vae"), "A test.", flags)
    told = capsys.readouterr()
    return end.value.code, told.out, told.err


def test_an_unknown_slice_ends_with_one_line_and_nothing_written(tmp_path, capsys):
    code, out, err = asked(tmp_path, ["--rehearse=v5e:4x5"], capsys)
    assert code == 2 and out == "" and err.count("\n") == 1 and "4x4" in err
    assert not list(tmp_path.iterdir())


def test_without_libtpu_the_line_to_install_it_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TPU_LIBRARY_PATH", raising=False)
    monkeypatch.setattr(tpu.importlib.util, "find_spec", lambda name: None)
    code, out, err = asked(tmp_path, ["--rehearse=v5e:2x2"], capsys)
    assert code == 2 and out == "" and err.count("\n") == 1 and tpu.INSTALL in err
    assert not list(tmp_path.iterdir())


def test_a_rehearsal_is_no_part_of_the_digest():
    assert digest(edit(EXP, {"rehearse": "v5e:2x2"})) == digest(EXP)


def test_where_jax_has_started_on_another_machine_a_new_process_is_asked_for(monkeypatch):
    monkeypatch.setattr(tpu.importlib.util, "find_spec", lambda name: "there")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(UserError, match="JAX has started on gpu"):
        tpu.prepare()


def test_what_the_compiler_says_of_a_program_that_is_too_large():
    told = "RESOURCE_EXHAUSTED: out of memory in memory space hbm. Used 20.00G of 15.75G hbm. Exceeded hbm by 4.25G."
    found = tpu._exceeded(RuntimeError(told))
    assert (found.needed, found.limit) == (20 * GIB, int(15.75 * GIB))
    made = (
        "the total memory required for HLO temporaries (17.00G) exceeds available HBM (15.75G)."
    )
    found = tpu._exceeded(RuntimeError(f"RESOURCE_EXHAUSTED: Ran out of memory on HBM, {made}"))
    assert (found.needed, found.limit) == (17 * GIB, int(15.75 * GIB))
    with pytest.raises(UserError, match="XLA does not compile this: INTERNAL: no such thing$"):
        tpu._exceeded(RuntimeError("INTERNAL: no such thing\nand pages of stacks"))


def rehearsed(memory: Memory, **changes) -> Rehearsal:
    """One that was made up: a training step of a second of arithmetic."""
    work = Work(197e12, 81.9e9, 1e9, 0)
    summed = Collective(ALL_REDUCE, 2**20, 4, False, 3)
    step = Measured(memory, 2.0, work, (summed,), (7,))
    exp = edit(EXP, {"layout": Mesh(fsdp=1), **changes})
    return Rehearsal(exp, chips.read("v5e:2x2"), 4, 1_234_567, 12 * GIB, {"train": step})


def test_the_table_and_the_line_of_json():
    found = rehearsed(Memory(14 * GIB, 12 * GIB, 2 * GIB, 0))
    told = table(found, "vae base")
    for text in (
        "vae base on v5e:2x2: 4 chips",
        "1,234,567 parameters",
        "14.00 GiB of 16.00 GiB",
    ):
        assert text in told
    for text in ("197.00 TFLOP", "1 s, by compute", "100.0 %", "3 x, 3.00 MiB", "(train 7)"):
        assert text in told
    assert "does not fit" not in told
    step = json.loads(json.dumps(facts(found)))["programs"]["train"]
    assert step["fits"] and step["seconds"]["step"] == 1.0 and step["seconds"]["memory"] == 0.1
    assert step["collectives"][0]["kind"] == ALL_REDUCE


def test_by_how_much_it_does_not_fit_and_what_to_change():
    found = rehearsed(Memory(20 * GIB, limit=int(15.75 * GIB)))
    told = table(found, "vae base")
    assert "train does not fit by 4.25 GiB" in told and "no, by 4.25 GiB" in told
    for flag in (
        "--layout='Mesh(data=-1, fsdp=4",
        "--microbatches=2",
        "smaller --batch than 16",
    ):
        assert flag in told
    assert "remat" not in told  # this net has no such setting
    assert facts(found)["programs"]["train"]["lacking"] == int(4.25 * GIB)


def test_an_idle_slice_is_told():
    found = rehearsed(Memory(GIB), layout=Jit())
    assert "works on one device: 3 of the slice are idle" in table(
        Rehearsal(found.exp, found.place, 1, 1, 1, found.programs), ""
    )


@pytest.mark.parametrize("layout", [Jit(), Pmap(), Mesh(fsdp=2)])
def test_a_layout_on_other_devices_lowers_the_same_step_for_them(layout):
    devices = jax.devices()[2:]
    there = moved(layout, devices)
    assert repr(there) == repr(layout)
    assert there.ways() == (1 if layout == Jit() else 2)

    def init(key):
        return State(jnp.zeros((), jnp.int32), {}, {}, {}, {})

    like = there.like(init, jax.random.key(0))
    for leaf in jax.tree.leaves(like):
        assert leaf.sharding.device_set <= set(devices)

    def step(key, state, rows, axis):
        mean = rows["x"].mean()
        if axis is not None:
            mean = jax.lax.pmean(mean, axis)
        return state.replace(step=state.step + 1), {"loss": mean}

    batch = {
        "index": jax.ShapeDtypeStruct((1, 4), np.uint32),
        "x": jax.ShapeDtypeStruct((1, 4), np.float32),
    }
    key = jax.eval_shape(lambda: jax.random.key(0))
    lowered = there.train(guarded(step), like).lower(key, like, {}, batch)
    assert lowered.compile() is not None


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A rehearsal of a tiny net on four chips, and the folder that it was to leave alone."""
    folder = tmp_path_factory.mktemp("rehearsal")
    changes = {"layout": Mesh(fsdp=2, min_shard=8), "rehearse": "v5e:2x2"}
    exp = edit(EXP, {**changes, "runs": str(folder / "runs")})
    return rehearse(exp, "vae", "base"), folder


@needs_libtpu
def test_a_small_rehearsal(tiny):
    found, folder = tiny
    assert list(found.programs) == ["train", "evaluate", "sample"]
    for name, program in found.programs.items():
        assert not found.lacking(name) and program.work.flops > 0
        assert 0 < program.memory.needed < GIB
    assert found.programs["train"].collectives  # the gradients meet
    assert found.working == 4 and found.parameters > 1000
    assert 0 < found.state < 12 * found.parameters
    assert not list(folder.iterdir())


@needs_libtpu
def test_a_batch_that_does_not_divide_over_the_slice_is_refused():
    exp = edit(EXP, {"rehearse": "v5e:2x2", "layout": Pmap(), "batch": 6})
    with pytest.raises(UserError, match="--batch=6 does not divide over the 4 devices"):
        rehearse(exp, "vae", "base")


def test_a_run_that_has_kept_its_shapes_is_rehearsed_without_its_data(tmp_path):
    exp = edit(EXP, {"runs": str(tmp_path)})
    whole = exp.data.load()
    folder = directory(exp, "vae", "base")
    folder.mkdir(parents=True)
    keep(folder, whole, whole.test, ())
    assert len(_source(exp, "vae", "base").train["image"]) == 1
    # on the device it takes memory, so its size must be known
    resident = edit(exp, {"resident": True})
    assert len(_source(resident, "vae", "base").train["image"]) == len(whole.train["image"])


def test_the_programs_are_those_of_a_run_a_set_on_the_device_included():
    layout = moved(Mesh(fsdp=2, min_shard=8), jax.devices()[:2])
    exp = dataclasses.replace(EXP, resident=True, layout=layout)
    source = exp.data.load()
    _, algorithm = bind(exp, source)
    like = layout.like(algorithm.init, jax.random.key(0), example_of(source))
    programs = dict(_programs(exp, source, algorithm, like))
    assert list(programs) == ["train", "evaluate", "sample"]
    # the whole set goes in, and of a batch the numbers alone
    key, state, resident, batches = programs["train"].args_info[0]
    assert resident["image"].shape == source.train["image"].shape
    assert sorted(batches) == ["index", "position"] and batches["index"].shape == (1, 16)


def ready():
    """What a search for a batch is given; nothing of it is compiled."""
    exp = edit(EXP, {"batch": 64, "rehearse": "v5e:4x4", "fit": 1.0})
    return Prepared(chips.read("v5e:4x4"), exp, exp, None, 16, 1)


@pytest.mark.parametrize(
    "most, batches",
    [
        (300, [64, 128, 256, 512]),
        (20, [64, 32, 16]),
        (10, [64, 32, 16]),  # an example a device: there is no smaller
    ],
)
def test_a_batch_is_doubled_while_it_fits_or_halved_until_it_does(most, batches, monkeypatch):
    def made_up(ready, batch, flags):
        lacking = max(batch - most, 0) * GIB
        return Try(batch, flags, Measured(Memory(batch * GIB), 1.0), lacking)

    monkeypatch.setattr(fit, "tried", made_up)
    tries = list(fit.climbed(ready(), {}, lambda: True))
    assert [one.batch for one in tries] == batches
    best = [one.batch for one in fit.largest(tries)]
    assert best == [batch for batch in batches if batch <= most][-1:]
    assert not list(fit.climbed(ready(), {}, lambda: False))  # no time is left


def test_the_table_of_a_search_names_the_largest_and_what_costs_time_only_where_it_brings_more():
    def one(batch, remat, lacking=0):
        flags = {fit.REMAT: remat}
        return Try(batch, flags, Measured(Memory(batch * GIB), 1.0), lacking * GIB)

    tries = [
        one(64, False),
        one(128, False, 4),
        one(64, True),
        one(128, True),
        one(256, True, 9),
    ]
    told = fit.table(ready(), tries, "recipes dit")
    assert "--batch=128 --algorithm.net.remat=false  128.00 GiB, lacks 4.00 GiB" in told
    assert told.endswith(
        "largest that was found to fit: --batch=64 --algorithm.net.remat=false\n"
        "largest that was found to fit: --batch=128 --algorithm.net.remat=true"
    )
    found = json.loads(json.dumps(fit.facts(ready(), tries)))
    assert [row["fits"] for row in found["tried"]] == [True, False, True, True, False]
    assert found["largest"][1] == {"batch": 128, "flags": {fit.REMAT: True}}
    # as large without
    assert len(fit.largest([one(64, False), one(64, True)])) == 1
    assert "none of these fits" in fit.table(ready(), [one(64, False, 1)], "")


def test_a_search_without_a_rehearsal_ends_with_one_line(tmp_path, capsys):
    code, out, err = asked(tmp_path, ["--fit=10"], capsys)
    assert code == 2 and out == "" and err.count("\n") == 1 and "add --rehearse=" in err
    assert not list(tmp_path.iterdir())


@needs_libtpu
def test_a_small_search():
    exp = edit(EXP, {"rehearse": "v5e:2x2", "layout": Mesh(), "batch": 8, "fit": 0.001})
    (one,) = fitted(exp, "vae", "base")  # the time is over when the first is done
    assert one.batch == 8 and one.flags == {} and not one.lacking


def test_a_blank_set_has_the_shapes_of_one_that_is_not_here():
    blank = Blank(Points((32, 32, 4)), classes=1000, n=2**40)
    source = blank.load()
    assert source.train["image"].shape == (2**40, 32, 32, 4) and source.classes == 1000
    assert source.train["image"].strides == (0, 0, 0, 0)  # it takes no memory
    exp = edit(EXP, {"data": Blank(Image((8, 8, 1)), 10, n=64)})
    check_data(exp, exp.data.load())
    for wrong in (Blank(n=0), Blank(classes=-1)):
        with pytest.raises(UserError, match="--data.*must be at least"):
            wrong.load()
    with pytest.raises(UserError, match="--data.kind=3 is no kind of an example"):
        Blank(3).load()
