"""A file is whole or not there; `~` is read in one way everywhere."""

from pathlib import Path

import pytest

from genjax.data import FashionMNIST, Stock
from genjax.errors import UserError
from genjax.findings.comparison import Comparison
from genjax.findings.contenders import TrainingSet, directory
from genjax.machine.files import typed, whole
from genjax.machine.platform import cache_root
from genjax.metrics import inception
from genjax.training.experiment import Experiment, home


def test_a_home_is_read_and_one_that_there_is_not_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert typed("~/runs") == tmp_path / "runs" and typed("runs") == Path("runs")
    monkeypatch.setenv("GENJAX_CACHE", "~nobody9/x")
    for read in (
        FashionMNIST("~nobody9/x").load,
        Stock("mnist", data_dir="~nobody9/x").load,
        cache_root,
        lambda: directory("x", TrainingSet(), Comparison(runs="~nobody9/x")),
        lambda: home(Experiment(runs="~nobody9/x")),
        lambda: inception.load("~nobody9/x"),
    ):
        with pytest.raises(UserError, match="^~nobody9/x: .* write the whole path.$"):
            read()


def test_a_file_becomes_the_new_one_as_a_whole(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with whole(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old" and partial.parent == tmp_path
    assert path.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), whole(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["x.txt"]
    with pytest.raises(OSError), whole(tmp_path / "none" / "x.txt") as partial:
        partial.write_text("nowhere")
