"""Two processes of two devices each, on loopback: the numbers of one process, and nobody left waiting."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from genjax.errors import UserError
from genjax.machine.hosts import Hosts, from_first

ROOT = Path(__file__).parents[2]
TINY = [
    "digits",
    "--batch=52",
    "--chunk=1",
    "--every.log=10",
    "--every.evaluate=20",
    "--every.sample=20",
    "--samples=10",
    "--algorithm.enc=GatedMLP((16,))",
    "--algorithm.dec=GatedMLP((16,))",
    "--algorithm.latent=4",
    "--algorithm.ema.decay=0.99",
    "--algorithm.optimiser.eps=1e-4",
    "--finish.VaeBounds.by.samples=20",
    "--finish.VaeBounds.by.chunk=10",
]


class Job:
    """`count` processes of `python -m experiments.vae` that work together, 4 devices in all."""

    def __init__(self, runs: Path, *flags: str, count: int = 2):
        self.runs = runs
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        hosts = [
            f"--hosts.coordinator=127.0.0.1:{port}",
            f"--hosts.count={count}",
            "--hosts.lost=10",
        ]
        env = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(4 // count)}
        self.told, self.popens = [runs.with_suffix(f".{i}.err") for i in range(count)], []
        for i, path in enumerate(self.told):
            own = [*hosts, f"--hosts.index={i}"] if count > 1 else []
            command = [
                sys.executable,
                "-m",
                "experiments.vae",
                *TINY,
                *own,
                *flags,
                f"--runs={runs}",
            ]
            with path.open("w") as told:
                self.popens.append(subprocess.Popen(command, cwd=ROOT, env=env, stderr=told))

    def codes(self, seconds: float = 200) -> list[int]:
        """The exit codes; no process outlives the time."""
        try:
            deadline = time.monotonic() + seconds
            return [popen.wait(max(deadline - time.monotonic(), 0.1)) for popen in self.popens]
        finally:
            for popen in self.popens:
                popen.kill()

    def directory(self) -> Path:
        """The one run directory."""
        (found,) = self.runs.glob("*/*")
        return found

    def metrics(self) -> list[dict]:
        return [
            json.loads(line)
            for line in (self.directory() / "metrics.jsonl").read_text().splitlines()
        ]

    def state(self, step: int) -> dict[str, np.ndarray]:
        """The arrays of a checkpoint, as one process reads them."""
        path = (self.directory() / "checkpoints" / str(step) / "state").absolute()
        here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        with ocp.StandardCheckpointer() as reader:
            known = reader.metadata(path).item_metadata.tree
            like = jax.tree.map(
                lambda m: jax.ShapeDtypeStruct(m.shape, m.dtype, sharding=here), known
            )
            tree = reader.restore(path, like)
        return {
            jax.tree_util.keystr(p): np.asarray(x)
            for p, x in jax.tree_util.tree_leaves_with_path(tree)
        }

    def steps_saved(self) -> list[int]:
        return sorted(
            int(path.name)
            for path in (self.directory() / "checkpoints").iterdir()
            if path.name.isdigit()
        )

    def until(self, step: int, seconds: float = 120) -> None:
        """Waits until the metrics of `step` are written."""
        deadline = time.monotonic() + seconds
        while not any(
            f'"step": {step},' in p.read_text() for p in self.runs.glob("*/*/metrics.jsonl")
        ):
            assert all(popen.poll() is None for popen in self.popens), self.words()
            assert time.monotonic() < deadline, self.words()
            time.sleep(0.01)

    def words(self) -> str:
        return "\n\n".join(path.read_text() for path in self.told)


def alike(a: list[dict], b: list[dict], tolerance: float) -> None:
    assert [sorted(line) for line in a] == [sorted(line) for line in b]
    for one, other in zip(a, b, strict=True):
        for name in one:
            assert float(one[name]) == pytest.approx(
                float(other[name]), rel=tolerance, abs=1e-5
            ), (
                name,
                one,
                other,
            )


@pytest.mark.alone
@pytest.mark.parametrize("layout", ["Mesh(data=2, fsdp=2, min_shard=64)", "Pmap()"])
def test_two_processes_give_the_numbers_of_one(layout, tmp_path):
    watch = "--watch=Watch((Frechet(),),extractor=RandomNet(16))"
    flags = f"--layout={layout}", "--steps=40", watch
    one, two = Job(tmp_path / "one", *flags, count=1), Job(tmp_path / "two", *flags)
    assert one.codes() == [0] and two.codes() == [0, 0], one.words() + two.words()
    alike(one.metrics(), two.metrics(), 1e-4)
    for a, b in zip(one.state(40).values(), two.state(40).values(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    results = [json.loads((job.directory() / "results.json").read_text()) for job in (one, two)]
    assert results[0]["iwae20"] == pytest.approx(results[1]["iwae20"], rel=1e-4)
    one_fd, two_fd = (
        result["metrics"]["fd_random_width16"]["value"] for result in results
    )  # features over processes
    assert one_fd == pytest.approx(two_fd, rel=1e-3) and one_fd > 0
    assert (two.directory() / "report.html").exists()
    said = [path.read_text() for path in two.told]
    assert (
        "step 40/40" in said[0] and "step" not in said[1]
    )  # process 0 speaks, the other works


@pytest.mark.alone
def test_one_asked_to_stop_stops_both_at_one_step_and_one_killed_ends_the_other(tmp_path):
    flags = (
        "--layout=Mesh()",
        "--steps=400",
        "--every.save=20",
        "--every.evaluate=0",
        "--every.sample=0",
    )
    job = Job(tmp_path / "two", *flags)
    job.until(30)
    job.popens[1].send_signal(signal.SIGTERM)
    assert job.codes() == [75, 75], job.words()
    stopped = [
        int(re.search(r"stopped and saved at step (\d+)", path.read_text())[1])
        for path in job.told[:1]
    ]
    assert job.steps_saved()[-1] == stopped[0] >= 30

    job = Job(tmp_path / "two", *flags)
    job.until(stopped[0] // 10 * 10 + 60)
    assert f"resumed at step {stopped[0]}" in job.told[0].read_text()
    job.popens[1].kill()
    begun = time.monotonic()
    codes = job.codes()
    assert (
        time.monotonic() - begun < 60
        and codes[1] == -signal.SIGKILL
        and codes[0] not in (0, 2, 75)
    ), job.words()

    resumed, whole = Job(tmp_path / "two", *flags), Job(tmp_path / "whole", *flags)
    assert resumed.codes() == whole.codes() == [0, 0], resumed.words() + whole.words()
    assert "resumed at step" in resumed.told[0].read_text()
    assert (resumed.directory() / "metrics.jsonl").read_bytes() == (
        whole.directory() / "metrics.jsonl"
    ).read_bytes()
    for a, b in zip(resumed.state(400).values(), whole.state(400).values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_flags_that_contradict_each_other_are_named():
    for hosts, what in [
        (Hosts(count=2), "--hosts.count=2 needs --hosts.coordinator"),
        (Hosts("10.0.0.1", 2), "--hosts.coordinator=10.0.0.1 must be host:port"),
        (Hosts("10.0.0.1:99999", 2), "must be host:port"),
        (Hosts("10.0.0.1:8476", 2, 2), "--hosts.index=2 must be 0 to 1 for --hosts.count=2"),
        (Hosts("10.0.0.1:8476", detect=True), "leave --hosts.coordinator out"),
        (Hosts("10.0.0.1:8476", 2, lost=0), "--hosts.lost=0 must be at least 1"),
    ]:
        with pytest.raises(UserError, match=what) as caught:
            hosts.join()
        assert "\n" not in str(caught.value)


def test_who_waits_in_vain_says_so_in_one_line():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for index in (0, 1):  # the coordinator, to whom nobody comes; one who finds no coordinator
        join = f"from genjax.machine.hosts import Hosts; Hosts('127.0.0.1:{port}', 2, {index}, wait=2).join()"
        ended = subprocess.run(
            [sys.executable, "-c", join], capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 2, ended.stderr
        said = ended.stderr.splitlines()
        assert (
            len(said) == 1
            and f"process {index} waited 2 s" in said[0]
            and f"at 127.0.0.1:{port}" in said[0]
        )


def test_alone_nothing_is_joined_and_nothing_sent():
    Hosts().join()
    assert not jax.distributed.is_initialized() and from_first({"a": 1}) == {"a": 1}
