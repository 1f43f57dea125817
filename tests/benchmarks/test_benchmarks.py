"""The benchmarks' arithmetic: hand counts of work against PyTorch's own counter, fits, verdicts."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import growth, growth_genjax, health, side_genjax
from benchmarks.tasks.growth import AXES, BASES, Point, points


def test_a_gan_step_has_the_work_that_pytorch_counts():
    torch = pytest.importorskip("torch", reason="PyTorch is installed by `make bench`")
    from torch.utils.flop_counter import FlopCounterMode, _FlopCounterMode

    from benchmarks import gan_torch
    from benchmarks.tasks import gan

    for name, net in gan.NETS.items():
        step, _ = gan_torch.stepper(gan_torch.Game(name))
        image, z = (
            torch.zeros(net.batch, 1, 28, 28, dtype=torch.uint8),
            torch.randn(net.batch, gan.LATENT),
        )
        counter = FlopCounterMode(display=False)
        with _FlopCounterMode(
            counter
        ):  # the public mode cannot look through torch.autograd.grad
            step(image, z, z)
        assert counter.get_total_flops() == pytest.approx(gan.work(name), rel=0.01)


def test_exponents_of_power_laws():
    sizes = (16, 32, 64, 128, 256)
    assert growth.exponent(sizes, [3.0 * n**1.7 for n in sizes]) == pytest.approx(1.7)
    assert math.isnan(growth.exponent((16,), [1.0]))
    rates = [[1 / n, 1 / n**2, 1 / n**3] for n in sizes]  # three rounds
    found = growth.exponents(sizes, rates)
    assert found["whole range"] == pytest.approx((2.0, 1.0, 3.0)) == found["upper half"]


def test_a_cost_that_does_not_grow_weighs_less_in_the_upper_half():
    sizes = (16, 32, 64, 128, 256)
    found = growth.exponents(sizes, [[1 / (100.0 + n)] for n in sizes])
    high = growth.exponent(sizes[2:], [100.0 + n for n in sizes[2:]])
    assert found["upper half"][0] == pytest.approx(high)
    assert found["whole range"][0] < found["upper half"][0] < 1.0


def test_the_upper_half():
    assert [list(growth.upper(list(range(n)))) for n in range(1, 6)] == [
        [0],
        [0, 1],
        [1, 2],
        [2, 3],
        [2, 3, 4],
    ]


def test_the_points_of_an_axis_differ_in_it_alone():
    for axis in AXES.values():
        for net, values in axis.values.items():
            line = points(axis, net)
            assert (
                tuple(line)
                == values
                == tuple(getattr(point, axis.field) for point in line.values())
            )
            assert len({point._replace(**{axis.field: 0}) for point in line.values()}) == 1
            assert all(n % max(axis.base.get("devices", 0), 1) == 0 for n in values)
            assert len(points(axis, net, quick=True)) == 2


@pytest.mark.parametrize("net", BASES)
def test_every_net_of_every_size_can_be_built(net):
    import jax

    for axis in AXES.values():
        for point in points(axis, net, quick=True).values() if net in axis.values else ():
            batch = growth_genjax.images(point)
            spec = side_genjax.spec((point.side, point.side, 1), 10)
            state = jax.eval_shape(
                growth_genjax.algorithm(point)(spec).init, jax.random.key(0), batch
            )
            assert batch["image"].shape == (point.batch, *spec.shape) and jax.tree.leaves(
                state.params
            )


@pytest.mark.all
def test_a_step_and_a_draw_of_a_tiny_point():
    import jax

    for point in (
        Point("mlp", batch=4, width=4, side=4),
        Point("mlp", batch=4, width=4, side=4, devices=jax.device_count()),
        Point("mlp", "sample", batch=4, width=4, side=4),
    ):
        run, known = growth_genjax.program(point)
        run(3)
        run(1)
        assert known["compile"] > 0 and known["planned"] >= 0


def test_a_row_names_every_size():
    class Made:
        def __init__(self, rate):
            self.rates, self.peak, self.hello = (
                [rate] * 3,
                100.0,
                {"compile": 1.25, "planned": 7.0},
            )

    line = growth.row("dit", {16: Made(10.0), 32: Made(5.0)})
    assert line == (
        "| dit | 16: 100.0, 32: 200.0 | 1.00 (1.00, 1.00) | 1.00 (1.00, 1.00) | 16: 100, 32: 100 | 16: 7, 32: 7 "
        "| 16: 1.2, 32: 1.2 |"
    )


def test_a_straight_line_has_its_slope_and_no_doubt():
    t = np.arange(20.0)
    assert health.slope(t, 5.0 - 2.0 * t) == pytest.approx((-2.0, -2.0, -2.0))
    holes = np.where(t % 3 == 0, math.nan, 5.0 - 2.0 * t)
    assert health.slope(t, holes) == pytest.approx((-2.0, -2.0, -2.0))
    assert health.slope([1, 2, 3], [1, 2, 3]).high == math.inf


def test_intervals_hold_the_truth_as_often_as_they_say():
    t, rng = np.arange(100.0), np.random.default_rng(0)
    for r in (0.0, 0.6):  # independent noise, and noise whose neighbours are alike
        held = 0
        for _ in range(400):
            e = rng.standard_normal(len(t))
            for i in range(1, len(t)):
                e[i] = r * e[i - 1] + math.sqrt(1 - r * r) * e[i]
            found = health.slope(t, 0.3 * t + e)
            held += found.low <= 0.3 <= found.high
        assert 0.88 < held / 400 < 0.985, r  # without the correction 0.69 for r = 0.6


def looks(n=360, leak=0.0, slower=0.0, files=0.0, threads=0.0, compiles=0.0, steps=1000.0):
    """n looks, ten seconds apart, of a run that gets worse by so much in the hour."""
    rng = np.random.default_rng(0)
    for i in range(n):
        hours = i / 360.0
        memory, time = (
            500.0 + leak * hours + rng.normal(),
            1e-3 * (1 + slower / 100 * hours + 0.02 * rng.normal()),
        )
        counts = (
            round(base + more * hours)
            for base, more in ((20, files), (40, threads), (30, compiles))
        )
        yield health.Look(10.0 * i, memory, *counts, round(steps * i), time)


@pytest.mark.parametrize(
    ("worse", "said"),
    [
        ({"leak": 60.0}, "memory"),
        ({"slower": 20.0}, "time of a step"),
        ({"files": 30}, "files"),
        ({"threads": 30}, "threads"),
        ({"compiles": 1.0}, "compiles"),
        ({"steps": 0.0}, "no step"),
    ],
)
def test_what_gets_worse_is_broken(worse, said):
    assert health.verdict(list(looks()), 75) == ([], [])
    broken, _ = health.verdict(list(looks(**worse)), 75)
    assert len(broken) == 1 and broken[0].startswith(said)


def test_the_exit_code_and_a_run_that_is_too_short(capsys):
    for code in (0, 1, None, -9):
        assert health.verdict(list(looks()), code)[0] == [
            f"the run ended with exit code {code}, not 75"
        ]
    broken, open_ = health.verdict(list(looks(100, slower=5.0)), 75)  # just at the limit
    assert (
        not broken and len(open_) == 1 and open_[0].startswith("time of a step: the interval")
    )
    broken, open_ = health.verdict(list(looks(80, leak=1e4)), 75)
    assert not broken and len(open_) == 2 and "15 are needed" in open_[0]
    assert health.tell(list(looks()), 75, ["bye"]) == 0 and "healthy" in capsys.readouterr().out
    assert (
        health.tell(list(looks(leak=60.0)), 75, ["bye"]) == 1
        and "broken: memory" in capsys.readouterr().out
    )
    assert health.tell([], 1, []) == 1


def test_what_comes_before_the_first_evaluation_is_left_out():
    every = list(looks())
    assert health.settled(every, 0, 5000) == every[6:]  # 1000 steps a look
    assert (
        health.settled(every, 5, 5000) == every[30:]
        and health.settled(every, 5, 40_000) == every[41:]
    )


SEEN = """
import sys, threading
import numpy as np
from benchmarks import health
before = health.process(health.os.getpid())
end = threading.Event()
thread = threading.Thread(target=end.wait)
thread.start()
ballast = np.ones(8 << 20)  # 64 MiB
with open(sys.argv[1], "w"):
    after = health.process(health.os.getpid())
end.set()
print(*(b - a for a, b in zip(before, after)), len(ballast))
"""


def test_a_process_is_seen(tmp_path):
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs Linux's /proc")
    # a process of its own: in this one the threads of other tests come and go
    command = [sys.executable, "-c", SEEN, str(tmp_path / "open")]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    memory, files, threads, _ = map(float, told.stdout.split())
    assert memory == pytest.approx(64.0, abs=16.0)
    assert (files, threads) == (1, 1)


def test_a_growing_file_is_read_once_in_whole_lines(tmp_path):
    path = tmp_path / "speed.jsonl"
    tail = health.Tail(lambda: path if path.exists() else None)
    assert tail.lines() == [] and health.speeds([])[0] is None
    path.write_bytes(b'{"step": 10, "steps/s": 100.0}\n{"step": 20, "ste')
    assert health.speeds(tail.lines()) == (10, 0.01) and tail.lines() == []
    with path.open("ab") as file:
        file.write(b'ps/s": 50.0}\n{"step": 30, "steps/s": 25.0}\n')
    assert health.speeds(tail.lines()) == (30, pytest.approx(0.03))
