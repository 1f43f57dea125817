"""Logs: reproducible bytes, clean after a kill, and valid JSON whatever the numbers."""

import io
import json
import math
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.training.log import Log, _duration, _si


def train(directory, first, last, total=6):
    log = Log(directory, total, batch=10, first_step=first, stream=io.StringIO())
    for step in range(first + 1, last + 1):
        log.scalars(step, {"loss": np.float32(1 / step), "grad_norm": step / 3})
        if step % 3 == 0:
            log.scalars(step, {"loss": 2.0 / step}, kind="valid")
    log.close()
    return log.stream.getvalue()


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_the_resumed_run_writes_the_same_bytes(tmp_path):
    train(tmp_path / "straight", 0, 6)
    train(tmp_path / "resumed", 0, 5)  # killed in step 6; the newest checkpoint is of step 3
    with (tmp_path / "resumed" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "train/lo')
    train(tmp_path / "resumed", 3, 6)
    straight, resumed = (
        (tmp_path / name / "metrics.jsonl").read_bytes() for name in ("straight", "resumed")
    )
    assert straight == resumed
    assert lines(tmp_path / "resumed" / "metrics.jsonl")[3] == {"step": 3, "valid/loss": 2 / 3}
    assert [line["step"] for line in lines(tmp_path / "resumed" / "speed.jsonl")] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


def test_a_new_run_starts_its_files_anew(tmp_path):
    train(tmp_path, 0, 4)
    train(tmp_path, 0, 2)
    assert [line["step"] for line in lines(tmp_path / "metrics.jsonl")] == [1, 2]


def test_a_run_that_is_complete_changes_nothing(tmp_path):
    train(tmp_path, 0, 6)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    train(tmp_path, 6, 6)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_values_that_are_not_finite_stay_valid_json(tmp_path):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    log = Log(tmp_path, 2, 1, stream=io.StringIO())
    log.scalars(1, {"a": np.nan, "b": np.inf, "c": -np.inf, "d": 0.1})
    line = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    assert line == {
        "step": 1,
        "train/a": "nan",
        "train/b": "inf",
        "train/c": "-inf",
        "train/d": 0.1,
    }
    assert math.isnan(float(line["train/a"])) and float(line["train/c"]) == -math.inf
    log.result("test", {"elbo": np.float32(np.nan), "rows": np.arange(3), "n": np.int64(7)})
    text = (tmp_path / "results.json").read_text()
    assert json.loads(text, parse_constant=refuse) == {
        "test": {"elbo": "nan", "rows": [0, 1, 2], "n": 7}
    }


def test_plain_lines_tell_speed_and_time_left(tmp_path, monkeypatch):
    clock = iter(
        [0.0, 0.0, 10.0, 12.0, 12.0, 15.0, 17.0]
    )  # twice at the start, then as they are read below
    monkeypatch.setattr(
        "genjax.training.log.time", SimpleNamespace(perf_counter=lambda: next(clock))
    )
    log = Log(tmp_path, 1201, batch=100, stream=io.StringIO())
    log.advance(1)  # 10 s: compiled
    log.advance(2)
    log.scalars(201, {"loss": 231.4, "kl": 12.0})  # 12 s
    with log.apart():  # 12 s to 15 s: no training
        log.scalars(201, {"loss": 210.0}, kind="valid")
    log.scalars(401, {"loss": 200.0})  # 17 s
    log.note("a note")
    assert log.stream.getvalue().splitlines() == [
        "step 201/1201 loss 231.40 kl 12.000 | 100 steps/s 10.0k examples/s | 10s left",
        "step 201/1201 valid loss 210.00",
        "step 401/1201 loss 200.00 | 100 steps/s 10.0k examples/s | 8s left",
        "a note",
    ]
    speed = {"steps/s": 100.0, "examples/s": 1e4}
    assert lines(tmp_path / "speed.jsonl") == [
        {"step": 201, **speed, "seconds": 12.0, "goodput": 2 / 12},
        {"step": 401, **speed, "seconds": 17.0, "goodput": 4 / 17},
    ]


def test_the_share_of_the_peak_is_told_by_the_least_time_of_a_step(tmp_path, monkeypatch):
    clock = iter([0.0, 0.0, 10.0, 12.0])
    monkeypatch.setattr(
        "genjax.training.log.time", SimpleNamespace(perf_counter=lambda: next(clock))
    )
    log = Log(tmp_path, 401, batch=100, stream=io.StringIO(), ideal=0.00125)
    log.advance(1)
    log.scalars(201, {"loss": 1.0})
    (line,) = log.stream.getvalue().splitlines()
    assert line.endswith("| 100 steps/s 10.0k examples/s 12.5 % of peak | 2s left")
    (speed,) = lines(tmp_path / "speed.jsonl")
    assert speed["mfu"] == pytest.approx(0.125)


def test_a_terminal_gets_a_bar(tmp_path):
    stream = io.StringIO()
    stream.isatty = lambda: True
    log = Log(tmp_path, 10, batch=4, first_step=2, stream=stream)
    log.advance(3)
    log.scalars(5, {"loss": 0.5, "kl": 3.0})
    log.note("between")
    log.close()
    text = stream.getvalue()
    assert (
        "5/10" in text
        and "loss 0.50000" in text
        and "examples/s" in text
        and "\nbetween\n" in text.replace("\r", "\n")
    )


def test_rates_and_durations():
    assert [_si(x) for x in (0.4213, 14.83, 148.2, 14_830, 1_200_000)] == [
        "0.421",
        "14.8",
        "148",
        "14.8k",
        "1.20M",
    ]
    assert [_duration(x) for x in (4.4, 330, 7_500, 273_600)] == [
        "4s",
        "5m30s",
        "2h05m",
        "3d04h",
    ]


def test_results_merge(tmp_path):
    log = Log(tmp_path, 1, 1, stream=io.StringIO())
    assert log.result("test") is None
    log.result("test", {"mse": 0.1, "n": 3})
    log.result("valid", {"mse": 0.2})
    assert log.result("test", {"mse": 0.3}) == {"mse": 0.3, "n": 3} == log.result("test")
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(UserError, match="results.json is not valid JSON: mend it or remove it"):
        log.result("test")


def test_picture(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    path = Log(tmp_path, 1, 1, stream=io.StringIO()).picture("step_10/grid", pixels)
    assert path == tmp_path / "samples" / "step_10" / "grid.png"
    assert (np.asarray(image.open(path)) == pixels).all()


def test_only_process_0_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    text = train(tmp_path / "run", 0, 3)
    log = Log(tmp_path / "run", 3, 1, stream=io.StringIO())
    log.note("silent")
    log.picture("grid", np.zeros((2, 2, 3), np.uint8))
    assert log.result("test", {"a": 1}) is None
    assert not (tmp_path / "run").exists() and text == log.stream.getvalue() == ""


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for directory in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/genjax")):
        with pytest.raises(UserError, match="cannot write .* choose another run directory"):
            Log(directory, 1, 1)


def test_a_file_that_cannot_be_written(tmp_path):
    log = Log(tmp_path, 1, 1, stream=io.StringIO())
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match="metrics.jsonl .*free space"):
        log.scalars(1, {"loss": 1.0})
