"""The two commands for a GPU: parts that fail or hang lose only themselves, and what is told of the others is right."""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.common import COMPILED, EAGER
from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import lines, row
from benchmarks.gpu.__main__ import Command, Part
from benchmarks.gpu.row import OURS, Side
from benchmarks.tasks.gpu import FLAGGED, FLAGS, FULL, QUICK

ROOT = Path(__file__).parents[2]
PARTS = {
    "fine": "lines.write(file, name, what='one', ms=2.0)",
    "broken": "lines.write(file, name, what='half'); raise ValueError('lost')",
    "elsewhere": "lines.write(file, name, what='not here'); sys.exit(lines.LEFT_OUT)",
    # what it has started must end with it
    "stuck": "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "lines.write(file, name, child=child.pid)\ntime.sleep(60)  # here",
}


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """part(name, limit) of a module that does what `PARTS` says."""
    head = "import subprocess, sys, time\nfrom pathlib import Path\nfrom benchmarks.gpu import lines\n"
    for name, body in PARTS.items():
        told = "name, size, file = sys.argv[1], sys.argv[2], Path(sys.argv[3])\n"
        (tmp_path / f"{name}.py").write_text(head + told + body + "\n")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{tmp_path}")
    return lambda name, limit=60.0: Part(name, name, limit)


def test_a_part_that_fails_is_told_and_keeps_what_it_has_found(parts, tmp_path):
    file = tmp_path / "found.jsonl"
    assert gpu.carry_out(parts("fine"), "quick", file, 100.0, []) == "ok"
    assert gpu.carry_out(parts("elsewhere"), "quick", file, 100.0, []) == "left out"
    assert gpu.carry_out(parts("broken"), "quick", file, 100.0, []) == "failed: exit code 1"
    assert gpu.carry_out(parts("fine"), "quick", file, 5.0, []) == "not begun: no time was left"
    found = lines.read(file)
    assert [line["part"] for line in found] == ["fine"] * 2 + ["elsewhere"] * 2 + [
        "broken"
    ] * 2 + ["fine"]
    assert "ValueError: lost" in found[-2]["stack"] and "stack" not in found[1]
    text = lines.markdown("gpu", found)
    assert "## broken: failed: exit code 1" in text and "ValueError: lost" in text
    assert "| half |" in text and "| one | 2 |" in text


def test_a_part_that_hangs_is_ended_with_its_stack_and_all_that_it_started(
    parts, tmp_path, monkeypatch
):
    monkeypatch.setattr(gpu, "MOURNING", 10.0)  # it writes its stack at once and ends
    file = tmp_path / "found.jsonl"
    begun = time.monotonic()
    assert (
        gpu.carry_out(parts("stuck", 3.0), "quick", file, 100.0, [])
        == "failed: ended after 3 s"
    )
    assert time.monotonic() - begun < 12.0
    child, end = lines.read(file)
    assert "Fatal Python error: Aborted" in end["stack"] and "stuck.py" in end["stack"]
    with pytest.raises(ProcessLookupError):
        for _ in range(100):  # whoever inherits it may take a moment to bury it
            state = Path(f"/proc/{child['child']}/stat")
            if state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                raise ProcessLookupError
            os.kill(child["child"], 0)
            time.sleep(0.05)


def test_the_others_go_on_and_the_exit_code_tells(parts, tmp_path, monkeypatch, capsys):
    stages = ((parts("broken"), parts("fine")), (parts("elsewhere"),))
    monkeypatch.setattr(gpu, "MEASURE", Command("gpu", 100.0, stages))
    monkeypatch.setattr(gpu, "TRAIN", Command("gpu-train", 100.0, ((parts("fine"),),)))
    monkeypatch.setattr(gpu, "NAMES", list(PARTS))
    # of this process, which goes on
    monkeypatch.setattr(gpu.signal, "signal", lambda *args: None)
    monkeypatch.setattr(gpu.resource, "setrlimit", lambda *args: None)
    folder = tmp_path / "results"
    assert gpu.main(["--quick", "--results", str(folder)]) == 1
    assert capsys.readouterr().out.endswith("\nfailed: broken\n")
    ends = [line["part"] for line in lines.read(folder / "gpu-quick.jsonl") if "ended" in line]
    assert sorted(ends) == ["broken", "elsewhere", "fine"]
    assert "## fine: ok" in (folder / "gpu-train-quick.md").read_text()
    # a second run tells of itself alone; what is left out is no failure
    assert gpu.main(["--quick", "--results", str(folder), "--only", "fine", "elsewhere"]) == 0
    assert "broken" not in (folder / "gpu-quick.md").read_text()


def test_parts_of_a_stage_run_at_a_time_on_a_gpu(parts, tmp_path):
    waits = "while lines.value(lines.read(file), other, 'ms') is None: time.sleep(0.01)\n"
    head = "import sys, time\nfrom pathlib import Path\nfrom benchmarks.gpu import lines\n"
    told = "name, _, file = sys.argv[1:]\nfile = Path(file)\n"
    for name, other in (("one", "two"), ("two", "one")):
        body = f"other = '{other}'\nlines.write(file, name, ms=1.0)\n{waits}"
        (tmp_path / f"{name}.py").write_text(head + told + body)
    stage = (parts("one", 20.0), parts("two", 20.0), parts("broken"))
    command = Command("gpu", 100.0, (stage,))
    assert gpu.run(command, "full", tmp_path, ["one", "two", "broken"]) == ["broken"]


def test_without_a_gpu_or_a_package_nothing_is_run(tmp_path, monkeypatch, capsys):
    def said(text):
        done = SimpleNamespace(stdout=text, stderr="first\nno driver\n")
        monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: done)

    said("a library's greeting\ngpu:NVIDIA H200\n")
    assert gpu.gpu() == ("NVIDIA H200", "")
    for text in ("cpu:cpu\n", "", "greeting\n"):
        said(text)
        assert gpu.gpu() == (None, "no driver")
    folder = tmp_path / "results"
    assert gpu.main(["--results", str(folder)]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: this needs a GPU") and told.err.count("\n") == 1
    assert not told.out and not folder.exists()
    monkeypatch.setattr(gpu, "NEEDED", ("json", "no_such_package", "nor_this"))
    assert gpu.main(["--quick", "--results", str(folder)]) == 2
    assert "lacks no_such_package, nor_this: nothing was run\n" in capsys.readouterr().err


def test_the_commands_install_nothing_and_fit_their_time():
    text = (ROOT / "Makefile").read_text()
    for target in ("gpu", "gpu-train", "gpu-quick"):
        body = re.search(rf"^{target}:(.*)\n\t(.*)\n\n", text, re.MULTILINE)
        assert body[1] == "" and body[2].startswith("$(PYTHON) -m benchmarks.gpu ")
    assert gpu.MEASURE.total <= 480.0 and gpu.TRAIN.total <= 360.0
    for command in (gpu.MEASURE, gpu.TRAIN):
        for stage in command.stages:
            assert all(part.limit < command.total for part in stage)
            assert all(importlib.util.find_spec(part.module) for part in stage)


def test_a_torn_line_is_no_line_and_cells_stay_in_their_table(tmp_path):
    file = tmp_path / "found.jsonl"
    assert lines.read(file) == []
    lines.write(file, "a", x=1.0)
    lines.write(file, "b", y="one | two\nthree")
    lines.write(file, "a", x=1234.56, z=None)
    with file.open("a") as torn:
        torn.write('{"part": "a", "x": 9')
    found = lines.read(file)
    assert lines.value(found, "a", "x") == 1234.56 and lines.value(found, "a", "y") is None
    assert lines.section("a", [found[0], found[2]]) == (
        "## a: at work\n\n| x | z |\n|---|---|\n| 1 | – |\n| 1235 | – |"
    )
    assert "| one / two three |" in lines.markdown("all", found)


def test_whoever_is_alone_waits_for_all_others(tmp_path):
    lock, seen = tmp_path / "lock", []

    def alone():
        with lines.locked(lock, alone=True):
            seen.append("alone")

    with lines.locked(lock, alone=False), lines.locked(lock, alone=False):
        thread = threading.Thread(target=alone)
        thread.start()
        time.sleep(0.2)
        seen.append("shared")
    thread.join()
    assert seen == ["shared", "alone"]


def made(rates, **hello):
    return SimpleNamespace(rates=rates, hello=hello)


def a_row():
    """A row whose sides have gone through their rounds but for one draw of torch.compile."""
    found = row.Row("dit", "quick", Path("images"), Path("lock"))
    for name, rates in {
        EAGER: [10.0, 20.0],
        COMPILED: [40.0, 40.0],
        OURS: [20.0, 20.0],
    }.items():
        side = Side("train", name)
        found.workers[side] = made(rates, attention="flash") if name == EAGER else made(rates)
        found.workers[side].name = name
        found.firsts[side] = 5.0
    found.lost[Side("sample", COMPILED)] = "no compiler"
    return found


def test_a_row_is_told_with_ratios_and_its_share_of_the_product():
    eager, compiled, ours = row.told(a_row(), "train", {"train": 1e12}, 1e14)
    assert ours["ms"] == 50.0 and ours["TFLOP/s"] == 20.0 and ours["of JAX's product"] == 0.2
    assert ours[f"against {EAGER}"] == "1.50 (1.00, 2.00)"
    assert ours[f"against {COMPILED}"] == "0.50 (0.50, 0.50)"
    assert eager["attention"] == "flash" and "attention" not in ours
    assert list(row.told(a_row(), "sample", {}, None)) == [
        {"what": "draw", "side": COMPILED, "left out": "no compiler"}
    ]


def test_a_side_that_does_not_start_in_time_is_left_out(tmp_path, monkeypatch):
    head = "import sys, time\nfrom benchmarks.turns import blocks\n"
    steps = "for n in blocks():\n    time.sleep(0.001 * n)\n"
    for name, body in {
        "steps": steps,
        "hangs": "time.sleep(60)\n" + steps,
        "ends": "sys.exit('no compiler')\n",
    }.items():
        (tmp_path / f"{name}.py").write_text(head + body)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{tmp_path}")
    hasty = QUICK._replace(device="gpu", patience=1.5, seconds=0.02)
    monkeypatch.setitem(row.SIZES, "hasty", hasty)
    three = {EAGER: "hangs", COMPILED: "ends", OURS: "steps"}
    monkeypatch.setattr(row, "MODULES", three)
    monkeypatch.setattr(row, "sides", lambda sizes: [Side("train", name) for name in three])
    found = row.Row("dit", "hasty", tmp_path / "images", tmp_path / "file.lock")
    found.start()
    assert list(found.workers) == [Side("train", OURS)] and found.firsts
    reasons = {side.name: reason for side, reason in found.lost.items()}
    assert "exit code -9" in reasons[EAGER] and "no compiler" in reasons[COMPILED]
    assert row.measure(found, "train") is None
    *_, ours = row.told(found, "train", {}, None)
    assert 8.0 < 1.0 / ours["ms"] * 1000.0 < 1200.0 and "against" not in str(ours)
    found.close()


def test_rounds_that_not_every_side_has_gone_are_left_out():
    cut = a_row()
    cut.workers[Side("train", COMPILED)].rates.pop()  # it failed in the second
    *_, ours = row.told(cut, "train", {}, None)
    assert ours[f"against {EAGER}"] == "2.00 (2.00, 2.00)" and "TFLOP/s" not in ours


def test_flags_are_told_with_their_cost():
    from benchmarks.gpu import flags_genjax

    def pair(first, second):
        return [
            made([10.0, 20.0, 40.0], bits=first),
            made([20.0, 20.0, 20.0], bits=second),
        ]

    same = flags_genjax.told(pair(["a", "a"], ["a", "a"]), 40.0)
    assert same["the same twice in a process"] and same["the same in two processes"]
    assert (same["ms"], same["least"], same["most"]) == (50.0, 25.0, 100.0)
    assert same["time against no flags"] == 2.0
    other = flags_genjax.told(pair(["a", "a"], ["b", "b"]), 40.0)
    assert other["the same twice in a process"] and not other["the same in two processes"]
    assert not flags_genjax.told(pair(["a", "b"], ["a", "a"]), 40.0)[
        "the same twice in a process"
    ]


def test_both_sizes_have_every_net_and_every_side_knows_it():
    from benchmarks.gpu import contract_genjax, speed_genjax

    assert set(contract_genjax.HALVES) | set(gpu.SKIPPED) <= set(gpu.NAMES)
    names = set(FULL.nets)
    assert names == set(QUICK.nets) == set(speed_genjax.MODELS) and FLAGGED in names
    assert names <= set(gpu.NAMES) and list(FLAGS)[0] == "none"
    assert all(net.batch <= FULL.examples for net in FULL.nets.values())


@pytest.mark.all
@pytest.mark.parametrize("name", FULL.nets)
def test_the_work_that_xla_counts_is_that_of_the_hand(name, capsys):
    import jax

    from benchmarks.gpu import speed_genjax
    from benchmarks.tasks.diffusion import STEPS

    speed_genjax.count(name, "full")
    found = json.loads(capsys.readouterr().out)
    net = FULL.nets[name]
    if name == "r3gan":  # passes as `benchmarks.tasks.gan.work` has them
        g, d = net.generator(), net.discriminator()
        hand = {"train": 2.0 * net.batch * (4 * g + 15 * d), "sample": 2.0 * FULL.drawn * g}
    else:
        hand = {"train": 3 * net.batch, "sample": STEPS * FULL.drawn}
        hand = {job: n * net.flops() for job, n in hand.items()}
    # of convolutions XLA leaves out products with the padding
    apart = 0.1 if name.startswith("dit") else 0.2
    for job, flops in hand.items():
        assert found[job] == pytest.approx(flops, rel=apart), job
    assert jax.default_backend() == "cpu"


@pytest.mark.parametrize("name", QUICK.nets)
def test_pytorchs_side_takes_steps_and_draws(name, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is installed by `make bench`")
    from benchmarks.gpu import speed_torch

    row.save_noise(tmp_path / "images.npy", QUICK.examples)
    device = torch.device("cpu")
    more = (device, speed_torch.pictures(str(tmp_path / "images.npy"), device), False)
    for job in row.JOBS:
        run, kernel = speed_torch.MODELS[name](job, QUICK, QUICK.nets[name], more)
        with speed_torch.forced(kernel):
            run(2)
    ours = sum(p.size for p in leaves(name))
    nets = [speed_torch.Game(QUICK.nets[name], None)] if name == "r3gan" else []
    family = {"unet": speed_torch.diffusion_torch.UNet}
    if not nets:
        dit = speed_torch.diffusion_torch.DiT
        nets = [speed_torch.Flow(family.get(name, dit), QUICK.nets[name])]
    assert sum(p.numel() for p in nets[0].parameters()) == ours


def test_the_fastest_attention_is_named_and_forced(monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is installed by `make bench`")
    from benchmarks.gpu import speed_torch

    on = torch.backends.cuda

    def trial(inputs):
        if on.flash_sdp_enabled() and not on.math_sdp_enabled():
            raise RuntimeError("no available kernel")
        return 1.0 if on.cudnn_sdp_enabled() and not on.math_sdp_enabled() else 2.0

    monkeypatch.setattr(torch, "randn", lambda *args, **kwargs: None)
    monkeypatch.setattr(speed_torch, "trial", trial)
    shape = speed_torch.of_transformer(FULL.nets["dit-s2"])
    assert shape == (256, 6, 196, 64)
    assert speed_torch.of_unet(FULL.nets["unet"]) == (256, 4, 49, 64)
    name = speed_torch.fastest(shape, torch.device("cuda"))
    assert name == "cuDNN's attention"
    with speed_torch.forced(name):
        assert on.cudnn_sdp_enabled() and not on.mem_efficient_sdp_enabled()
    assert speed_torch.fastest(shape, torch.device("cpu")) == speed_torch.OWN


def leaves(name):
    """Our weights of a net of the quick size."""
    import jax

    from benchmarks import side_genjax
    from benchmarks.gpu import speed_genjax

    config, classes = speed_genjax.MODELS[name]
    spec = side_genjax.spec((28, 28, 1), classes)
    batch = speed_genjax.of_zeros(4, classes)
    init = config(QUICK, name, 1)(spec).init
    return jax.tree.leaves(jax.eval_shape(init, jax.random.key(0), batch).params)


def test_layouts_that_differ_are_seen():
    from benchmarks.gpu import contract_genjax as contract

    def end(value, loss, norm=1.0):
        metrics = [{"loss": np.array([loss]), "grad_norm": np.array([norm])}]
        return SimpleNamespace(params={"w": np.array([value, 0.0])}), metrics

    far = contract.apart("vae", end(1.0, 2.0), end(1.003, 2.2, 2.0))
    assert far["loss"] == pytest.approx(0.2 / 2.2) and far["norm"] == 0.5
    assert far["moved"] == pytest.approx(1.0)  # in learning rates
    assert not contract.finite({"a": np.ones(2), "b": np.array([1.0, math.inf])})


def test_a_run_that_was_not_killed_or_began_anew_proves_nothing():
    from benchmarks.gpu import resume_genjax as resume

    ways = resume.WAYS
    found = {
        "exit code of the killed": -9,
        "resumed at": 50,
        "metrics.jsonl the same": True,
        "arrays that differ": 0,
    }
    demanded, free = ways["deterministic ops"], ways["no flags"]
    assert resume.good(demanded, found)
    assert not resume.good(free, found | {"resumed at": 0})
    assert not resume.good(free, found | {"exit code of the killed": 0})
    for other in ({"arrays that differ": 1}, {"metrics.jsonl the same": False}):
        assert resume.good(free, found | other) and not resume.good(demanded, found | other)


def test_without_the_set_a_flow_is_left_out_with_the_way_to_make_it(tmp_path, monkeypatch):
    from benchmarks.gpu import train_genjax
    from genjax.data import FashionMNIST
    from genjax.errors import UserError

    def load(self):
        raise UserError("not in the cache")

    monkeypatch.setattr(FashionMNIST, "load", load)
    with pytest.raises(SystemExit) as ended:
        train_genjax.flow("flow", "full", tmp_path / "found.jsonl")
    assert ended.value.code == lines.LEFT_OUT
    (line,) = lines.read(tmp_path / "found.jsonl")
    assert "GENJAX_CACHE=FOLDER python -c" in line["left out"] and "\n" not in line["left out"]
    exp = train_genjax.experiment("full", str(tmp_path))
    same = train_genjax.EXPERIMENTS["base"]
    assert exp.algorithm == same.algorithm and exp.batch == same.batch and exp.resident


@pytest.mark.all
@pytest.mark.slow
def test_both_commands_run_on_a_cpu(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--quick", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    ran = [line for file in tmp_path.glob("*.jsonl") for line in lines.read(file)]
    ended = {line["part"]: line["ended"] for line in ran if "ended" in line}
    assert ended == dict.fromkeys(set(gpu.NAMES) - set(gpu.SKIPPED), "ok")
