"""The pieces of the crash campaign (tests/chaos.py): it must see one wrong bit, and count right."""

import json
import os
import shutil
import subprocess
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from tests import chaos


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(20))
def test_flip_turns_one_bit(tmp_path, seed):
    data = rng(100 + seed).bytes(13)
    (tmp_path / "file").write_bytes(data)
    chaos.flip(tmp_path / "file", rng(seed))
    pairs = zip(data, (tmp_path / "file").read_bytes(), strict=True)
    assert sum((a ^ b).bit_count() for a, b in pairs) == 1


@pytest.mark.parametrize("seed", range(20))
def test_truncate_leaves_a_true_part(tmp_path, seed):
    (tmp_path / "file").write_bytes(bytes(range(7)))
    chaos.truncate(tmp_path / "file", rng(seed))
    left = (tmp_path / "file").read_bytes()
    assert len(left) < 7 and bytes(range(7)).startswith(left)


def checkpoints(directory, *names):
    for name in names:
        (directory / "checkpoints" / name / "state").mkdir(parents=True)
        (directory / "checkpoints" / name / "state" / "arrays").write_bytes(bytes(100))
        (directory / "checkpoints" / name / "state" / "small").write_bytes(bytes(10))


def test_damage_to_checkpoints_is_to_the_newest_and_only_where_another_is_left(tmp_path):
    assert chaos.damage("truncate", tmp_path, tmp_path, rng()) is None
    checkpoints(tmp_path, "20", "40.corrupt", "60.orbax-checkpoint-tmp")
    assert chaos.damage("truncate", tmp_path, tmp_path, rng()) is None
    checkpoints(tmp_path, "100")
    assert (
        chaos.damage("truncate", tmp_path, tmp_path, rng())
        == "warning: corrupt checkpoint (step 100: "
    )
    assert chaos.saved(tmp_path) == [20, 100]
    sizes = {
        p.parent.parent.name: p.stat().st_size
        for p in (tmp_path / "checkpoints").rglob("arrays")
    }
    assert sizes.pop("100") < 100 and set(sizes.values()) == {100}


def test_damage_to_the_data_is_in_one_file(tmp_path):
    (tmp_path / "cache/data/folder").mkdir(parents=True)
    for name in ("a.npy", "b.npy"):
        (tmp_path / "cache/data/folder" / name).write_bytes(bytes(8))
    sign = chaos.damage("flip", tmp_path, tmp_path, rng())
    changed = [p for p in (tmp_path / "cache/data/folder").iterdir() if any(p.read_bytes())]
    assert [f"warning: {p} has changed since it was written: " for p in changed] == [sign]


# Seeing


def flipped(data, i):
    data = bytearray(data)
    data[i] ^= 1
    return bytes(data)


TREE = {
    "params": {"w": jnp.arange(6.0).reshape(2, 3), "half": jnp.ones(4, "bfloat16")},
    "step": jnp.int32(3),
}
METRICS = b'{"step": 5, "train/loss": 0.5}\n{"step": 10, "train/loss": 0.25}\n'


def test_one_bit_of_an_array_is_a_difference():
    end = chaos.End(chaos.digests(TREE, "memory."), METRICS)
    assert chaos.differences(end, chaos.End(chaos.digests(TREE, "memory."), METRICS)) == []
    w = np.frombuffer(
        flipped(np.asarray(TREE["params"]["w"]).tobytes(), 20), np.float32
    ).reshape(2, 3)
    for other in (
        w,
        TREE["params"]["w"].reshape(3, 2),
        np.asarray(TREE["params"]["w"]).view(np.int32),
    ):
        tree = {**TREE, "params": {**TREE["params"], "w": other}}
        found = chaos.differences(end, chaos.End(chaos.digests(tree, "memory."), METRICS))
        assert found == ["memory.params.w"]
    fewer = chaos.End(chaos.digests(TREE["params"], "memory.params."), METRICS)
    assert chaos.differences(end, fewer) == chaos.differences(fewer, end) == ["memory.step"]


@pytest.mark.parametrize(
    ("metrics", "line"),
    [
        (flipped(METRICS, 20), 1),
        (flipped(METRICS, -3), 2),
        (METRICS[:-34], 2),
        (METRICS[:-1], 2),
    ],
)
def test_one_bit_of_the_metrics_is_a_difference(metrics, line):
    a, b = chaos.End({}, METRICS), chaos.End({}, metrics)
    assert chaos.differences(a, b) == [f"metrics.jsonl line {line}"]


def test_what_a_directory_shows(tmp_path):
    assert (
        not chaos.saved(tmp_path)
        and not chaos.unfinished(tmp_path)
        and not chaos.evaluating(tmp_path)
    )
    assert chaos.reached(tmp_path) == 0
    checkpoints(tmp_path, "20", "100")
    assert chaos.saved(tmp_path) == [20, 100] and not chaos.unfinished(tmp_path)
    checkpoints(tmp_path, "120.orbax-checkpoint-tmp")
    assert chaos.saved(tmp_path) == [20, 100] and chaos.unfinished(tmp_path)

    def write(*lines, torn=""):
        (tmp_path / "metrics.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines) + torn
        )

    due = {"step": chaos.EVALUATE, "train/loss": 1.0}
    write({"step": chaos.EVALUATE - chaos.LINE, "train/loss": 1.0}, torn='{"step": 30, "tra')
    assert (
        not chaos.evaluating(tmp_path)
        and chaos.reached(tmp_path) == chaos.EVALUATE - chaos.LINE
    )
    write(due)
    assert chaos.evaluating(tmp_path) and chaos.reached(tmp_path) == chaos.EVALUATE
    write(due, {"step": chaos.EVALUATE, "test/loss": 1.0})
    assert not chaos.evaluating(tmp_path)


def test_complaints_about_stderr():
    usual = "run directory runs/x\nstep 5/300 loss 1\nwarning: something\n"
    assert chaos.complaints(usual, 0) == chaos.complaints(usual + "error: disk full\n", 2) == []
    for text in (
        usual,
        usual + "error: a\nerror: b\n",
        usual + "Exception ignored\nerror: a\n",
        "oh\n",
    ):
        assert chaos.complaints(text, 2)
    assert chaos.complaints(usual + "Traceback (most recent call last):\n", 75)


def test_a_process_that_hangs_is_seen():
    start = object.__new__(chaos.Start)
    start.process = subprocess.Popen(["sleep", "60"])
    try:
        with pytest.raises(chaos.Hung):
            start.until(lambda: False, 0.05)
        assert start.until(lambda: False, 0.05, fails=False)
    finally:
        start.stop()
    assert start.process.returncode == -9 and not start.until(lambda: False, 0.05)


def test_a_full_disk_has_room_again(tmp_path):
    with chaos.small_disk(tmp_path / "disk") as disk:
        if not disk.mounted:
            pytest.skip("mounting is not permitted here")
        with disk.full(None, 8192):
            assert shutil.disk_usage(disk.folder).free == 8192
            with pytest.raises(OSError, match="No space left"):
                (disk.folder / "file").write_bytes(bytes(20_000))
        (disk.folder / "file").write_bytes(bytes(20_000))
    assert not os.path.ismount(tmp_path / "disk")


def test_slow_changes_nothing_else():
    class Adder:
        def add(self, a, b=1):
            return a + b

    chaos.slow(Adder, "add", 0.0)
    assert Adder().add(2, b=3) == 5 and Adder.add.__name__ == "add"


# Counting


def test_injuries_are_dealt_evenly():
    dealt = chaos.deal(chaos.KINDS, ("a", "b", "c", "d"), 50, seed=0)
    assert [len(mine) for mine in dealt.values()] == [13, 13, 12, 12]
    counts = {kind: sum(mine.count(kind) for mine in dealt.values()) for kind in chaos.KINDS}
    assert sum(counts.values()) == 50 and set(counts.values()) == {7, 8}
    assert all(set(mine) == set(chaos.KINDS) for mine in dealt.values())
    assert chaos.deal(chaos.KINDS, ("a", "b", "c", "d"), 50, seed=0) == dealt
    assert chaos.deal(chaos.KINDS, ("a", "b", "c", "d"), 50, seed=1) != dealt


def test_the_table_counts():
    tally = chaos.Tally()
    tally.injuries = [
        chaos.Injury("ae", "kill", "-9", 4),
        chaos.Injury("ae", "kill", "-9", 15),
        chaos.Injury("gan", "kill", "-9", 5),
        chaos.Injury("gan", "term", "75", 0),
        chaos.Injury("gan", "flip", "warned", 0),
    ]
    tally.starts.update({"ae": 4, "gan": 5})
    tally.verdicts |= {"ae": ["", "memory.step"], "gan": [""]}
    rows = {
        line.split("  ")[0]: line.split()
        for line in chaos.table(tally, ["ae", "gan"]).splitlines()
    }
    assert rows["kill"][1:] == ["2", "1", "3", "-9", "x", "3", "8.0,", "15"]
    assert rows["term"][1:] == ["0", "1", "1", "75", "x", "1", "0.0,", "0"]
    assert rows["disk"][1:] == ["0", "0", "0"]
    assert rows["all"][1:] == ["2", "3", "5", "4.8,", "15"]
    assert rows["starts"][1:] == ["4", "5", "9"] and rows["runs"][1:] == ["2", "1", "3"]
    assert rows["of them bit-equal"][3:] == ["1", "1", "2"]


def judge(
    tmp_path,
    monkeypatch,
    code,
    *,
    online,
    text="",
    todo=(),
    hurt=None,
    expected=40,
    resumed=40,
    name="run",
):
    """Books one start of a run whose directory shows what `tmp_path` holds."""
    tally, todo = chaos.Tally(), list(todo)
    monkeypatch.setattr(chaos, "place", lambda *_: tmp_path)
    disturbed = chaos.Disturbed(tmp_path, chaos.Disk(tmp_path, False), "ae", 0, rng(), tally)
    (tmp_path / "err").write_text(text)
    start = SimpleNamespace(err=tmp_path / "err", resumed=lambda: resumed, begun=0.0)
    done, left = disturbed.judged(start, code, online, hurt or {}, expected, 40, todo)
    return tally, todo, done, left is start


def test_booking_of_what_is_as_it_should_be(tmp_path, monkeypatch):
    checkpoints(tmp_path, "20", "40")
    (tmp_path / "metrics.jsonl").write_text('{"step": 55, "train/loss": 1.0}\n')
    judged = judge(tmp_path, monkeypatch, -9, online="kill", todo=["kill", "kill"])
    assert judged[0].injuries == [chaos.Injury("ae", "kill", "-9", 15)] and not judged[0].faults
    assert judged[1:] == (["kill"], False, True)
    tally, todo, *_ = judge(
        tmp_path, monkeypatch, -9, online="save", todo=["save"]
    )  # no save was going on
    assert tally.injuries == [chaos.Injury("ae", "kill", "-9", 15)] and todo == ["save"]
    tally, todo, done, _ = judge(
        tmp_path, monkeypatch, 0, online="disk", todo=["disk"]
    )  # it came too late
    assert not tally.injuries and not tally.faults and todo == ["disk"] and done
    tally, *_ = judge(
        tmp_path,
        monkeypatch,
        0,
        online=None,
        text="warning: a",
        hurt={"truncate": "warning: "},
        expected=20,
        resumed=20,
    )
    assert tally.injuries == [chaos.Injury("ae", "truncate", "warned", 20)] and not tally.faults


@pytest.mark.parametrize(
    ("code", "case"),
    [
        (1, {"online": "disk"}),
        (2, {"online": "term", "text": "error: disk full\n"}),
        (-15, {"online": "term"}),
        (75, {"online": None}),
        (2, {"online": "disk", "text": "two\nlines\n"}),
        (-9, {"online": "kill", "resumed": 20}),
        (-9, {"online": "kill", "hurt": {"flip": "warning: "}}),
    ],
)
def test_booking_of_a_fault(tmp_path, monkeypatch, code, case):
    checkpoints(tmp_path, "20", "40")
    assert len(judge(tmp_path, monkeypatch, code, **case)[0].faults) == 1


def test_make_runs_the_campaign():
    told = subprocess.check_output(
        ["make", "-n", "chaos"], cwd=chaos.ROOT, text=True
    )  # more words inside `make test`
    assert any(line.endswith("python -m tests.chaos") for line in told.splitlines())
