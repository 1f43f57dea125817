"""Runs of release 0.1 resume after `python -m genjax.training.migrate`, and end as they ended then."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genjax.config import digest, edit, from_json, to_json
from genjax.data import Folder
from genjax.training.experiment import Experiment
from genjax.training.loop import run
from genjax.training.migrate import known_classes, main, modern
from genjax.vae.vae import VAE

# Four runs of 8 steps that release 0.1 left at step 4, and (expected.jsonl) the metrics that it ended with
OLD = Path(__file__).parent / "old" / "runs-0.1.tgz"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(OLD) as archive:
        archive.extractall(folder, filter="data")
    return folder / "runs"


@pytest.mark.all
def test_old_runs_get_the_names_of_now_and_resume(runs, capsys):
    assert main([str(runs)]) == 0
    assert capsys.readouterr().out.count("is now") == 4
    for directory in sorted(runs.glob("*/*")):
        exp = edit(from_json((directory / "config.json").read_text()), {"runs": str(runs)})
        assert directory.name == f"small-{digest(exp)}"
        this = run(directory.parent.name, exp, "small")
        assert "resumed at step 4" in capsys.readouterr().err
        assert int(this.state.step) == 8
        lines = (directory / "metrics.jsonl").read_text().splitlines()
        expected = (directory / "expected.jsonl").read_text().splitlines()
        for line, old in zip(map(json.loads, lines), map(json.loads, expected), strict=True):
            assert list(line) == list(old)
            # of a game of differences it is about the samples now, and was about 0, which meant nothing
            for changed in ("train/sign",):
                line.pop(changed, None)
                old.pop(changed, None)
            # another processor rounds otherwise; another draw of noise would differ in the first digit
            np.testing.assert_allclose(list(line.values()), list(old.values()), rtol=2e-3)


def test_what_is_up_to_date_is_left_alone(runs, capsys):
    main([str(runs)])
    capsys.readouterr()
    assert main([str(runs)]) == 0
    assert capsys.readouterr().out.count("up to date") == 4


def test_a_name_that_meant_two_things_is_told_apart():
    def old(name, **fields):
        return {"__type__": name, **fields}

    classes = known_classes()
    tree = old(
        "genjax.training.experiment:Experiment",
        steps=5,
        algorithm=old(
            "genjax.gan.gan:GAN", clip=0.1, optimiser=old("genjax.optim:Adam", clip=1.0)
        ),
    )
    now = modern(tree, classes)
    assert now["steps"] == 5 and now["algorithm"]["weight_clip"] == 0.1
    assert now["algorithm"]["optimiser"]["clip"] == 1.0
    for name, then, field in (
        ("genjax.diffusion.vdm:VDM", "steps", "bound_steps"),
        ("genjax.diffusion.onestep:MeanFlow", "steps", "sampling_steps"),
        ("genjax.diffusion.consistency:Consistency", "steps", "sampling_steps"),
    ):
        once = modern(old(name, **{then: 3}), classes)
        assert once == {"__type__": name, field: 3} and modern(once, classes) == once


def test_positions_that_were_decayed_stay_so():
    classes = known_classes()
    old = {"__type__": "genjax.nets.dit:Learned", "std": 0.1}
    now = modern(old, classes)
    assert now == {**old, "decayed": True} and modern(now, classes) == now
    new = {**old, "decayed": False}
    assert modern(new, classes) == new


def test_a_folder_without_runs_and_a_config_that_cannot_be_read(tmp_path, capsys):
    assert main([]) == 2 and main([str(tmp_path)]) == 2
    broken = tmp_path / "vae" / "base-12345678"
    broken.mkdir(parents=True)
    (broken / "config.json").write_text('{"__type__": "genjax.nowhere:Nothing"}')
    assert main([str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert (
        "is left as it is" in told and "is no config of genjax" in told
    )  # nothing is imported
    assert broken.exists()


def test_a_run_on_a_folder_is_known_by_what_lies_there(tmp_path, capsys):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(6):
        Image.new("L", (8, 8), 40 * i).save(pictures / f"{i}.png")
    exp = Experiment(Folder(str(pictures), size=8, test=0.0), VAE())
    old = tmp_path / "runs" / "vae" / "base-12345678"
    old.mkdir(parents=True)
    (old / "config.json").write_text(to_json(exp))
    pictures.rename(tmp_path / "away")
    assert main([str(tmp_path / "runs")]) == 2 and old.exists()
    assert "is left as it is" in capsys.readouterr().err
    (tmp_path / "away").rename(pictures)
    assert main([str(tmp_path / "runs")]) == 0
    (now,) = old.parent.iterdir()
    assert now.name == f"base-{digest(exp.resolved())}" != f"base-{digest(exp)}"
