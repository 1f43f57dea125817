"""Beside public repositories: a row for each, and a reason for one that is not there."""

import sys
from types import SimpleNamespace

from benchmarks import common, peers


def test_a_row_has_both_speeds_and_their_ratio_and_the_peer_runs_in_its_own_python(
    monkeypatch, tmp_path
):
    asked = {}

    def measure(commands, *rest, pythons):
        asked.update(commands=commands, pythons=pythons)
        rates = {"pythae": [50.0, 100.0, 80.0], peers.OURS: [100.0, 150.0, 160.0]}
        return {side: SimpleNamespace(rates=rates[side], peak=1.0) for side in commands}

    monkeypatch.setattr(common, "measure", measure)
    args = peers.arguments(["--peer-python=theirs"])
    row = peers.compared("pythae", tmp_path, args)
    assert row == "| VAE beside pythae | 80 | 150 | 2.00 (1.50, 2.00) | 1 / 1 |"
    assert asked["pythons"] == {"pythae": "theirs"}
    assert list(asked["commands"]) == ["pythae", peers.OURS]


def test_a_repository_that_is_not_there_is_left_out(monkeypatch, tmp_path, capsys):
    commands = {"pythae": ("no_such_module",)}
    assert (
        common.measure(commands, 0.1, 1, 1, ("pythae",), pythons={"pythae": sys.executable})
        == {}
    )
    assert "left out: pythae" in capsys.readouterr().err
    monkeypatch.setattr(common, "measure", lambda *args, **kwargs: {})
    row = peers.compared("pythae", tmp_path, peers.arguments([]))
    assert row.startswith("| VAE beside pythae | left out")
    assert "make bench-peers" in row


def test_quick_is_two_rounds_of_next_to_nothing():
    args = peers.arguments(["--quick", "--only", "pythae"])
    assert (args.seconds, args.rounds, args.only) == (0.1, 2, ["pythae"])
    assert peers.arguments([]).rounds == 5
