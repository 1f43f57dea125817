"""The one table of `python -m benchmarks`: its numbers, its failures, and the proof that both VAEs are the same."""

import json
import os
import sys

import numpy as np
import pytest

from benchmarks import __main__ as bench
from benchmarks import common, diffusion, gan, translate, turns, vae
from benchmarks.common import COMPILED, EAGER, Row
from benchmarks.tasks import TOLERANCE
from benchmarks.tasks.translate import words
from benchmarks.tasks.vae import Net
from benchmarks.turns import Failed, Worker, alternate
from tests.benchmarks.translators import TINY


@pytest.fixture
def torch():
    """PyTorch on one thread: beside other work on the cores, threads that wait for each other are slow."""
    torch = pytest.importorskip("torch", reason="PyTorch is installed by `make bench`")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


class Fake:
    """A worker that takes its rates [steps/s] from a list, the first of them while compiling."""

    def __init__(self, name, rates, first=1.0, peak=100.0, log=None):
        self.name, self.rates, self.first, self.cpu, self.peak, self.hello = (
            name,
            [],
            first,
            0.0,
            peak,
            {"peak": 1e12},
        )
        self._next, self._log = iter(rates), [] if log is None else log

    def block(self, steps):
        self._log.append((self.name, steps))
        rate = next(self._next)
        if rate is None:
            raise Failed(f"{self.name}: no compiler")
        return rate


def row(net, ours, eager, compiled=None, job="sampling"):
    """A row whose workers have gone through their rounds."""
    workers = {
        EAGER: Fake(EAGER, [], peak=200.0),
        "ours": Fake("ours", [], first=3.25, peak=300.4),
    }
    workers["ours"].rates, workers[EAGER].rates = ours, eager
    if compiled:
        workers[COMPILED] = Fake(COMPILED, [], first=20.0, peak=900.0)
        workers[COMPILED].rates = compiled
    return Row(net, job, workers, EAGER, "ours")


def test_the_first_block_is_timed_and_the_order_turns_back():
    log = []
    a = Fake("a", [2.0, 50.0, 40.0, 1.0, 2.0, 3.0], log=log)
    b = Fake("b", [5.0, 70.0, 20.0, 4.0, 5.0, 6.0], log=log)
    assert alternate([a, b], 2.0, 3, 10) == [a, b]
    assert (a.first, b.first) == (5.0, 2.0)  # ten steps, at the rate of the first block
    assert (a.rates, b.rates) == ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert log[:6] == [("a", 10), ("a", 10), ("a", 20), ("b", 10), ("b", 10), ("b", 20)]
    assert log[6:] == [("a", 80), ("b", 40), ("b", 40), ("a", 80), ("a", 80), ("b", 40)]


def test_only_an_optional_side_may_fail_in_its_first_block(capsys):
    def pair():
        return Fake("fine", [1.0] * 5), Fake("broken", [None])

    fine, broken = pair()
    assert alternate([fine, broken], 1.0, 2, 1, ("broken",)) == [fine] and len(fine.rates) == 2
    assert "left out: broken: no compiler" in capsys.readouterr().err
    with pytest.raises(Failed):
        alternate(list(pair()), 1.0, 2, 1, ("fine",))


def test_a_side_that_cannot_compile_is_no_side(monkeypatch):
    class Started(Fake):
        def __init__(self, name, module, *rates):
            super().__init__(name, [None if rate == "None" else float(rate) for rate in rates])

        def close(self):
            closed.append(self.name)

    closed = []
    monkeypatch.setattr(common, "Worker", Started)
    commands = {EAGER: ("m", *["2"] * 5), COMPILED: ("m", "None"), "ours": ("m", *["4"] * 5)}
    workers = common.measure(commands, 1.0, 2, 1, (COMPILED,))
    assert list(workers) == [EAGER, "ours"] and sorted(closed) == sorted(commands)
    assert common.against(workers["ours"], workers[EAGER]) == "2.00 (2.00, 2.00)"


def test_a_line_has_medians_and_ranges_by_rounds():
    one = row("U-Net", [20.0, 10.0, 40.0], [5.0, 20.0, 20.0], [40.0, 30.0, 50.0])
    assert bench.line(
        one
    ) == (  # ratios 4, 1/2, 2 and 1/2, 1/3, 4/5; 50 ms is the median of 50, 100, 25
        "| U-Net sampling | 50.0 | 2.00 (0.50, 4.00) | 0.50 (0.33, 0.80) | 300 / 200 | 3.2 / 20.0 |"
    )
    assert (
        bench.line(row("DiT", [1.0], [4.0]))
        == "| DiT sampling | 1000.0 | 0.25 (0.25, 0.25) | – | 300 / 200 | 3.2 / – |"
    )


def test_slower_rows_are_named():
    # by the median of the ratios: ours is slower in two rounds of three though the median rates are the same
    behind, level, ahead = (
        row("a", [1.0, 2.0, 9.0], [2.0, 4.0, 1.0]),
        row("b", [3.0], [3.0]),
        row("c", [5.0, 1.0, 6.0], [4.0] * 3),
    )
    assert bench.slower([behind, level, ahead]) == ["a sampling"]
    assert bench.table([behind, level]).endswith(
        "by the median. Slower are 1 of 2: a sampling."
    )
    text = bench.table([level, ahead])
    assert text.endswith("No row is slower.") and text.count("\n| ") == 2
    assert {cells.count("|") for cells in text.splitlines() if cells.startswith("|")} == {
        len(bench.HEAD) + 1
    }


def test_a_part_that_fails_is_told_and_the_others_go_on(capsys):
    def half():
        yield row("first", [1.0], [1.0])
        raise ValueError("lost")

    def disagrees():
        raise SystemExit("error: not the same")

    parts = {"half": half, "disagrees": disagrees, "whole": lambda: [row("last", [2.0], [1.0])]}
    rows, failed = bench.carried_out(parts)
    assert [one.net for one in rows] == ["first", "last"] and failed == ["half", "disagrees"]
    error = capsys.readouterr().err
    assert "failed: half: Traceback" in error and "ValueError: lost" in error
    assert "failed: disagrees: error: not the same" in error
    assert bench.conclude(rows, failed) == 1
    said = capsys.readouterr().out
    assert "| last sampling |" in said and said.endswith("half, disagrees\n")
    assert bench.conclude([], ["half"]) == 1 and bench.conclude(rows, []) == 0

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.carried_out({"stopped": stopped})


def test_flags_go_on_to_the_scripts():
    assert bench.arguments([]) == (list(bench.PARTS), [])
    only, flags = bench.arguments(
        ["--only", "dit", "mlp", "--seconds", "2", "--rounds=4", "--eager"]
    )
    assert only == ["dit", "mlp"] and flags == ["--seconds=2.0", "--rounds=4", "--eager"]
    for script in (vae, gan, diffusion, translate):
        args = script.arguments(flags)
        assert (args.seconds, args.rounds, args.eager) == (2.0, 4, True)
        assert script.arguments(["--quick"]).rounds == 2
        assert script.arguments(
            bench.arguments(["--profile"])[1]
        ).eager  # no torch.compile there
    with pytest.raises(SystemExit):
        bench.arguments(["--only", "nothing"])


def test_the_rows_of_the_table(monkeypatch, tmp_path, capsys):
    def measure(commands, seconds, rounds, multiple, optional, profiled):
        assert optional == (COMPILED,) and COMPILED in commands and profiled == 0
        workers = {side: Fake(side, []) for side in commands}
        for worker in workers.values():
            worker.rates = [float(len(commands))] * rounds
        return workers

    for script in (vae, gan, diffusion, translate):
        monkeypatch.setattr(script, "same_computation", lambda *args: "the same")
        monkeypatch.setattr(script, "answer", lambda *args: {"choice": "any", "threads": 1})
        monkeypatch.setattr(script, "measure", measure)
    monkeypatch.setattr(
        translate, "prepare", lambda name, images: translate.Given(images, words(TINY[name]))
    )
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    rows = [
        one
        for part in bench.PARTS.values()
        for one in bench.rows_of(part, tmp_path / "images.npy", ["--rounds=1"])
    ]
    assert [bench.told(one) for one in rows] == [
        "MLP VAE training step",
        "MLP VAE sampling",
        "conv VAE training step",
        "conv VAE sampling",
        "DCGAN pair training step",
        "DCGAN sampling",
        "R3GAN pair training step",
        "U-Net diffusion training step",
        "U-Net sampling",
        "DiT flow training step",
        "DiT sampling",
        "DiT of 196 tokens flow training step",
        "DiT of 196 tokens sampling",
        "pix2pix training step",
        "CycleGAN training step",
        "MUNIT training step",
    ]
    assert all({one.ours, one.reference, COMPILED} <= set(one.workers) for one in rows)
    assert [one.ours for one in rows[:4]] == [
        "step, 10 in a scan",
        vae.DRAWS,
        "step, one by one",
        vae.DRAWS,
    ]
    assert (
        len(bench.table(rows).splitlines()) == 2 + len(rows) + 4
        and "conv, training step" in capsys.readouterr().out
    )


def test_a_worker_tells_what_its_first_block_took(monkeypatch, tmp_path):
    (tmp_path / "sleeper.py").write_text(
        "import os, sys, time\nfrom benchmarks.turns import blocks\n"
        "for i, steps in enumerate(blocks(cache=os.environ['TORCHINDUCTOR_CACHE_DIR'])):\n"
        "    sys.exit('bye') if sys.argv[1:] else time.sleep(0.3 if i == 0 else 0.01 * steps)\n"
    )
    paths = [str(tmp_path), *filter(None, sys.path)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), *paths]))
    worker = Worker("sleeper", "sleeper")
    assert os.path.isdir(worker.hello["cache"])
    assert alternate([worker], 0.05, 2, 1) == [worker]
    assert 0.3 <= worker.first < 3.0 and all(rate < 100.0 for rate in worker.rates)
    worker.close()
    assert not os.path.exists(worker.hello["cache"])
    leaver = Worker("leaver", "sleeper", "now")
    for _ in range(2):  # the second time nobody reads
        with pytest.raises(Failed, match="(?s)leaver: .*exit code 1.*bye"):
            leaver.block(1)
    leaver.close()


def test_agreement_is_demanded():
    a, b = (
        {"parameters": 3, "loss": [1.0], "grad_norm": [2.0]},
        {"parameters": 3, "loss": [1.0], "grad_norm": [2.002]},
    )
    assert common.agreement("net", a, b, 1e-2) == pytest.approx(1e-3, rel=2e-3)
    for other in (b, dict(a, parameters=4), dict(a, loss=[float("nan")])):
        with pytest.raises(SystemExit):
            common.agreement("net", a, other, 1e-4)
    x = np.array([[1.0, -4.0], [2.0, 0.0]])
    assert common.samples_agreement("net", x, x[:, :, None] * 1.01, 0.1) == pytest.approx(
        0.01 / 1.01
    )
    for y in (x * 1.01, x * np.nan):
        with pytest.raises(SystemExit):
            common.samples_agreement("net", x, y, 1e-3)
    with pytest.raises(SystemExit):
        common.samples_agreement("net", np.ones((3, 2)), np.ones((1, 2)), 1e-3)  # not as many


NETS = {
    "conv": Net(3, 8, widths=(16, 24)),
    "gated": Net(4, 8, (12, 10), gated=True),
    "plain": Net(4, 8, (12,)),
}


@pytest.mark.parametrize("name", NETS)
def test_both_sides_of_a_vae_compute_the_same(name, torch, tmp_path, capsys):
    from benchmarks import vae_genjax, vae_torch

    net, images, saved, drawn = (
        NETS[name],
        tmp_path / "images.npy",
        tmp_path / "saved.npz",
        tmp_path / "drawn.npz",
    )
    # height, width and channels all differ, so that none is taken for another
    np.save(images, np.random.default_rng(0).integers(0, 256, (32, 8, 12, 3), np.uint8))

    def theirs():
        vae_torch.check(net, str(saved), str(drawn))
        return json.loads(capsys.readouterr().out)

    def same(ours, found):
        for way in found:
            common.agreement(name, ours, found[way], TOLERANCE)
            common.samples_agreement(
                name, np.load(saved)["samples"], np.load(drawn)[way], TOLERANCE
            )

    vae_genjax.check(net, str(images), str(saved))
    ours = json.loads(capsys.readouterr().out)
    found = theirs()
    assert len(found) == (2 if net.widths else 1) and ours["loss"][0] > 10.0
    same(ours, found)
    given = dict(np.load(saved))
    for wrong in (
        ("enc.dense.weight", "dec.conv.1.bias", "enc.norm.weight")
        if net.widths
        else ("dec.last.weight",)
    ):
        np.savez(saved, **given | {wrong: given[wrong][::-1]})  # the channels in another order
        with pytest.raises(SystemExit):
            same(ours, theirs())


def test_a_strided_convolution_is_one_of_folded_pixels(torch):
    from benchmarks import vae_torch

    folded, whole, x = vae_torch.Folded(3, 5), vae_torch.strided(3, 5), torch.randn(2, 3, 8, 12)
    with torch.no_grad():
        whole.weight.copy_(vae_torch.spread(folded.weight))
        whole.bias.copy_(folded.bias)
        np.testing.assert_allclose(folded(x).numpy(), whole(x).numpy(), atol=1e-5)


@pytest.mark.parametrize("job", vae.JOBS)
def test_every_choice_of_pytorch_takes_a_step(job, torch):
    from benchmarks import vae_torch

    images = torch.randint(0, 256, (8, 28, 28, 1), dtype=torch.uint8)
    for net in (Net(2, 4, widths=(8, 8)), Net(2, 4, (8,))):
        for choice in vae_torch.choices(net, job).values():
            if job == "train":
                vae_torch.trainer(net, vae_torch.shaped(net, images), choice)(3)
            else:
                vae_torch.sampler(net, choice)(1)


def test_ratios_are_of_the_worker_over_the_reference():
    fast, slow = Fake("fast", []), Fake("slow", [])
    fast.rates, slow.rates = [4.0, 6.0, 9.0], [2.0, 2.0, 1.0]
    assert turns.ratio(fast, slow) == (3.0, 2.0, 9.0)
