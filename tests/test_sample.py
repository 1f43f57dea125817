"""`python -m genjax.sample`: files of samples, the same bytes however they came about, and never two draws in one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genjax import sample
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import Digits, Toy
from genjax.errors import UserError
from genjax.nets import MLP
from genjax.optim import Adam
from genjax.pictures.draw import to_uint8
from genjax.training import loop
from genjax.training.experiment import Every, Experiment
from genjax.training.opened import Opened, open_run
from genjax.vae.likelihoods import Gaussian
from genjax.vae.vae import VAE

SMALL = MLP((8,))
NET = VAE(2, enc=SMALL, dec=SMALL, likelihood=Gaussian(), optimiser=Adam())
EXP = Experiment(Digits(), NET, steps=2, batch=16, every=Every(evaluate=0, sample=0, save=1))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{name: directory} of a class-conditional run of images and one of points, without classes."""
    home = {"runs": str(tmp_path_factory.mktemp("runs"))}
    labelled = {"algorithm.condition": (Label(),)}
    changes = {"labelled": labelled, "points": {"data": Toy(train=64, test=32)}}
    made = {}
    for name, change in changes.items():
        made[name] = loop.run("vae", edit(EXP, home | change), name).log.directory
    return made


@pytest.fixture
def command(capsys):
    """command(*arguments) -> (exit code, stdout, stderr)."""

    def run(*arguments):
        code = sample.main([str(each) for each in arguments])
        return code, *capsys.readouterr()

    return run


def content(folder: Path) -> dict[str, bytes]:
    """Every file but the lock, by its path in the folder."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def stopped_after(monkeypatch, batches: int) -> None:
    """Ctrl-C when so many batches are drawn."""
    draw = Opened.draw
    left = iter(range(batches))

    def drawn(self, given, seed=None):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return draw(self, given, seed)

    monkeypatch.setattr(Opened, "draw", drawn)


def test_images_are_the_bytes_of_the_samples(runs, tmp_path, command):
    out = tmp_path / "made" / "here"
    told = command(runs["labelled"], f"--out={out}", "--n=5", "--label=3", "--npz")
    assert told == (0, f"5 samples of class 3 of step 2 in {out}: 5 drawn, 0 were there\n", "")
    assert json.loads((out / "samples.json").read_text())["class"] == "3"
    opened = open_run(runs["labelled"])
    drawn = to_uint8(opened.sample(5, seed=0, label=3))
    names = sorted(path.name for path in (out / "images").iterdir())
    assert names == [f"0000{i}.png" for i in range(5)]
    for name, wanted in zip(names, drawn, strict=True):
        with Image.open(out / "images" / name) as picture:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), wanted[..., 0])
    with np.load(out / "samples.npz") as file:
        assert {name: str(file[name].dtype) for name in file} == {
            "index": "uint32",
            "label": "int32",
            "samples": "uint8",
        }
        np.testing.assert_array_equal(file["samples"], drawn)
        assert file["label"].tolist() == [3] * 5 and file["index"].tolist() == [0, 1, 2, 3, 4]
    with Image.open(out / "grid.png") as grid:
        np.testing.assert_array_equal(np.asarray(grid), opened.picture(drawn)[..., 0])


def test_the_same_bytes_whatever_the_batch_and_in_parts(runs, tmp_path, command, monkeypatch):
    run, flags = runs["labelled"], ["--n=11", "--npz", "--seed=4"]
    assert command(run, f"--out={tmp_path / 'whole'}", *flags)[0] == 0
    with monkeypatch.context() as patch:
        stopped_after(patch, 2)
        code, out, err = command(run, f"--out={tmp_path / 'parts'}", "--batch=3", *flags)
    assert (code, out, err) == (130, "", "interrupted\n")
    there = content(tmp_path / "parts")
    assert sorted(there) == [*(f"images/0000{i}.png" for i in range(6)), "samples.json"]
    # one of a batch is lost, and a kill left half of another
    (tmp_path / "parts" / "images" / "00001.png").unlink()
    (tmp_path / "parts" / "images" / ".00007.png.123").write_bytes(b"half")
    code, out, _ = command(run, f"--out={tmp_path / 'parts'}", "--batch=4", *flags)
    assert code == 0 and "11 drawn" in out  # samples 0 to 3, and 4 to 10
    assert content(tmp_path / "parts") == content(tmp_path / "whole")
    code, out, _ = command(run, f"--out={tmp_path / 'parts'}", *flags)
    assert code == 0 and "0 drawn, 11 were there" in out
    command(run, f"--out={tmp_path / 'other'}", "--n=11", "--npz", "--seed=5")
    assert content(tmp_path / "other")["images/00003.png"] != there["images/00003.png"]


def test_what_is_no_image_is_an_array_and_a_picture(runs, tmp_path, command, monkeypatch):
    run, flags = runs["points"], ["--n=10", "--batch=4"]
    with monkeypatch.context() as patch:
        stopped_after(patch, 1)
        assert command(run, f"--out={tmp_path / 'parts'}", *flags)[0] == 130
    assert sorted(content(tmp_path / "parts")) == ["parts/00000-00004.npz", "samples.json"]
    assert "6 drawn, 4 were there" in command(run, f"--out={tmp_path / 'parts'}", *flags)[1]
    assert command(run, f"--out={tmp_path / 'whole'}", *flags)[0] == 0
    assert sorted(content(tmp_path / "whole")) == ["grid.png", "samples.json", "samples.npz"]
    assert content(tmp_path / "parts") == content(tmp_path / "whole")
    with np.load(tmp_path / "whole" / "samples.npz") as file:
        assert sorted(file) == ["index", "samples"]
        np.testing.assert_array_equal(file["samples"], open_run(run).sample(10, seed=0))


def test_all_classes_in_turn_and_the_first_step(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    out = sample.sample(runs["labelled"], 2, "~/all", label="all", step=1, npz=True, grid=False)
    assert out == tmp_path / "all" and not (out / "grid.png").exists()
    plan = json.loads((out / "samples.json").read_text())
    assert plan["step"] == 1 and plan["label"] == "all" and plan["n"] == 2
    with np.load(out / "samples.npz") as file:
        assert file["label"].tolist() == [*range(10)] * 2
        wanted = open_run(runs["labelled"], 1).sample(20, seed=0, label=file["label"])
        np.testing.assert_array_equal(file["samples"], to_uint8(wanted))


def test_a_name_is_before_a_number(runs, tmp_path, command):
    """Classes that are called 1 to 10 have in the order of their names the numbers 0, 9, 1, 2 …"""
    run = tmp_path / "runs" / "vae" / "numbered"
    shutil.copytree(runs["labelled"], run)
    about = json.loads((run / "data.json").read_text())
    names = sorted(map(str, range(1, 11)))
    about["fields"]["label"]["names"] = names
    (run / "data.json").write_text(json.dumps(about))
    for typed, number, of in (
        ("1", 0, "1 (number 0)"),
        ("10", 1, "10 (number 1)"),
        ("0", 0, "1 (number 0)"),
    ):
        out = tmp_path / typed
        code, told, _ = command(run, f"--out={out}", "--n=1", f"--label={typed}")
        assert code == 0 and f"1 samples of class {of} of step 2" in told
        plan = json.loads((out / "samples.json").read_text())
        assert (plan["label"], plan["class"]) == (number, names[number])
    # in Python a number is one
    out = sample.sample(run, 1, tmp_path / "python", label=1)
    assert json.loads((out / "samples.json").read_text())["class"] == "10"


def test_another_command_for_the_same_folder_is_refused(runs, tmp_path, command):
    run = runs["labelled"]
    assert command(run, f"--out={tmp_path / 'x'}", "--n=3", "--label=3", "--no-grid")[0] == 0
    before = content(tmp_path / "x")
    for flags, told in (
        (("--n=4", "--label=3"), "n 3 (now 4)"),
        (("--n=3",), "label 3 (now None)"),
        (("--n=3", "--label=5", "--seed=1"), "seed 0 (now 1), label 3 (now 5)"),
        (("--n=3", "--label=3", "--step=1"), "step 2 (now 1)"),
    ):
        code, out, err = command(run, f"--out={tmp_path / 'x'}", *flags)
        # of an early step there is a note before
        assert (code, out) == (2, "") and told in err.splitlines()[-1]
    assert content(tmp_path / "x") == before
    # "3" is the name of the class, and a grid may be asked for later
    assert command(run, f"--out={tmp_path / 'x'}", "--n=3", "--label='3'", "--npz")[0] == 0
    assert sorted({*content(tmp_path / "x")} - {*before}) == ["grid.png", "samples.npz"]


@pytest.mark.parametrize(
    ("run", "flags", "told"),
    [
        ("labelled", ["--n=0"], "--n=0 must be at least 1"),
        ("labelled", ["--n", "-3"], "--n=-3 must be at least 1"),
        ("labelled", ["--batch=0"], "--batch=0 must be at least 1"),
        ("labelled", ["--seed=-1"], "--seed=-1 must be at least 0"),
        ("labelled", [f"--seed={2**32}"], "less than 2**32"),
        ("labelled", ["--label=12"], "0 to 9"),
        ("labelled", ["--label=cat"], "no class 'cat'"),
        ("labelled", ["--step=7"], "there are 1, 2"),
        ("labelled", ["--lable=3"], "Did you mean label"),
        ("labelled", ["--n=many"], "n: expected int, got many"),
        ("labelled", ["--n"], "n: missing value"),
        ("labelled", ["more"], "expected RUN, got"),
        ("points", ["--label=0"], "does not ask for 'label'"),
        ("points", ["--label=all"], "does not ask for 'label'"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    runs, tmp_path, command, run, flags, told
):
    code, out, err = command(runs[run], f"--out={tmp_path / 'x'}", *flags)
    assert (code, out) == (2, "") and told in err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_places_that_are_none(runs, tmp_path, command):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    for arguments, told in (
        ((runs["points"], f"--out={tmp_path / 'file'}"), "is a file"),
        ((runs["points"], f"--out={tmp_path / 'full'}"), "holds other files (thesis.txt)"),
        ((runs["points"], f"--out={tmp_path / 'file' / 'x'}"), "cannot write"),
        ((runs["points"],), "--out is not set"),
        ((tmp_path / "full", f"--out={tmp_path / 'x'}"), "is not a run"),
    ):
        code, out, err = command(*arguments)
        assert (code, out) == (2, "") and told in err and err.count("\n") == 1
    assert content(tmp_path) == {"file": b"mine", "full/thesis.txt": b"mine"}
    with pytest.raises(UserError, match="is a file"):
        sample.sample(runs["points"], 2, tmp_path / "file")


def test_a_plan_that_cannot_be_read(runs, tmp_path, command):
    (tmp_path / "samples.json").write_text("{}")
    code, _, err = command(runs["points"], f"--out={tmp_path}")
    assert code == 2 and "samples.json cannot be read" in err


def test_a_damaged_image_is_named(runs, tmp_path, command):
    flags = (f"--out={tmp_path}", "--n=3")
    command(runs["labelled"], *flags, "--no-grid")
    broken = tmp_path / "images" / "00001.png"
    for content in (b"no", broken.read_bytes()[:60]):
        broken.write_bytes(content)
        code, _, err = command(runs["labelled"], *flags)
        assert code == 2 and "00001.png cannot be read" in err and "remove it" in err
    broken.unlink()
    assert command(runs["labelled"], *flags)[0] == 0


def test_a_place_that_cannot_be_looked_at(runs, tmp_path, command, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    code, _, err = command(runs["points"], f"--out={tmp_path}")
    assert code == 2 and "cannot be looked at (Permission denied)" in err
    code, _, err = command(runs["points"], "--out=~nobody9/x")
    assert code == 2 and "write the whole path" in err


def test_help_names_every_flag(command):
    code, out, _ = command("--help")
    assert code == 0 and out.strip() == sample.__doc__.strip()
    for name in ("out", "n", "label", "seed", "step", "batch"):
        assert f"--{name}=" in out
    assert "--npz" in out and "--no-grid" in out


@pytest.mark.all
@pytest.mark.slow
def test_a_kill_leaves_whole_files_and_the_same_command_goes_on(runs, tmp_path, command):
    """SIGKILL somewhere among hundreds of files, on a terminal that knows no Unicode."""
    out = tmp_path / "é"
    flags = [f"--out={out}", "--n=800", "--batch=20"]
    run = runs["labelled"]
    words = [sys.executable, "-m", "genjax.sample", str(run), *flags]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    process = subprocess.Popen(words, env=env, stderr=subprocess.DEVNULL)
    while not (out / "images" / "00050.png").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = content(out)
    assert len(there) > 50
    assert command(run, *flags)[0] == 0
    after = content(out)
    whole = [name for name in there if not Path(name).name.startswith(".")]
    assert all(after[name] == there[name] for name in whole)
    assert len(after) == 800 + 2 and not [name for name in after if "/." in name]
