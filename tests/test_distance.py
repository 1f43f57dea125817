"""`python -m genjax.distance`: folders, data sets and runs side by side, with interval and floor."""

import contextlib
import json
import os
import shutil

import pytest

from genjax import distance as package
from genjax import sample
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import Digits, Folder, Toy
from genjax.distance import distance
from genjax.distance.sides import usual
from genjax.errors import UserError
from genjax.metrics.evaluate import Frechet, Kernel, PrecisionRecall
from genjax.metrics.features import Components, Pixels, RandomNet
from genjax.nets import MLP
from genjax.optim import Adam
from genjax.pictures.draw import save_png
from genjax.training import loop
from genjax.training.experiment import Every, Experiment
from genjax.training.watch import Watch
from genjax.vae.likelihoods import Gaussian
from genjax.vae.vae import VAE

SMALL = MLP((8,))
NET = VAE(
    2, enc=SMALL, dec=SMALL, likelihood=Gaussian(), condition=(Label(),), optimiser=Adam()
)
EXP = Experiment(
    Digits(),
    NET,
    steps=2,
    batch=16,
    every=Every(evaluate=0, sample=0, save=1),
    watch=Watch((Frechet(), Kernel()), extractor=Pixels()),
)
FEW = {"features": Components(8)}
ON_8 = "--features=Components(8)"


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    """Folders of tests do not fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENJAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory, digits):
    """A folder with those of the digits: a [100], b [80] others, copy of a renamed, colour, empty, of points."""
    home = tmp_path_factory.mktemp("folders")
    image = digits["image"]
    for i in range(100):
        save_png(home / "a" / f"{i}.png", image[i])
        save_png(home / "copy" / f"x{(37 * i) % 100}.png", image[i])
    for i in range(80):
        save_png(home / "b" / f"{i}.png", image[500 + i])
        tall = image[i].repeat(3, 0).repeat(2, 1).repeat(3, 2)  # [24, 16, 3]
        save_png(home / "colour" / f"{i}.png", tall)
    for i in range(100):
        save_png(home / "large" / f"{i}.png", image[i].repeat(2, 0).repeat(2, 1))
    (home / "empty").mkdir()
    (home / "deep").mkdir()
    (home / "deep" / "config.json").write_text("[" * 200_000)
    save_png(home / "tests" / "test" / "0.png", image[0])
    (home / "points").mkdir()
    (home / "points" / "samples.json").write_text("{}")
    return home


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A class-conditional run of digits, as it was left."""
    exp = edit(EXP, {"runs": str(tmp_path_factory.mktemp("runs"))})
    return loop.run("vae", exp, "labelled")


@pytest.fixture
def command(capsys):
    """command(*arguments) -> (exit code, stdout, lines of stderr but for the cache's)."""

    def run(*arguments):
        code = package.main([str(each) for each in arguments])
        out, err = capsys.readouterr()
        return code, out, [line for line in err.splitlines() if "preparing" not in line]

    return run


def test_two_folders(folders, tmp_path, command):
    file = tmp_path / "d.json"
    code, out, err = command(folders / "a", folders / "b", ON_8, f"--json={file}")
    assert code == 0 and not err
    told = json.loads(file.read_text())
    assert list(told["values"]) == ["fd_pca8", "kd_pca8"]
    for name, value in told["values"].items():
        assert value["low"] < value["value"] < value["high"] and value["n"] == 50
        assert value["floor"] < value["value"] + 1.0 and f"{value['value']:.4g}" in out
        assert value["floor_low"] < value["floor"] < value["floor_high"]
        assert f"{value['floor_low']:.4g} to {value['floor_high']:.4g}" in out
        (line,) = [line for line in out.splitlines() if line.startswith(name)]
        assert line.endswith("50") and f"{value['floor']:.4g}" in line
    assert (told["n"], told["shape"], told["seed"]) == (50, [8, 8, 1], 0)
    assert told["features"] == {"name": "pca8", "config": "Components(k=8)"}
    a, b = told["a"], told["b"]
    assert a["path"] == str((folders / "a").resolve()) and a["sizes"] == {"8x8x1": 100}
    assert (a["reference"], a["held"], b["images"], b["samples"]) == (50, 50, 80, 50)
    assert "50 images of A held apart at random (seed 0)" in out and b["in_a"] == 0


def test_a_set_and_a_run_give_the_numbers_of_the_training(run, command, tmp_path):
    """Against the training split, at the size of the test split, with its floor: as `--watch.metrics` measures."""
    known = json.loads((run.log.directory / "results.json").read_text())["metrics"]
    found = distance("Digits()", run.log.directory, features=Pixels())
    assert sorted(found) == sorted(known) == ["fd_pixels", "kd_pixels"]
    for name, value in found.items():
        assert value.n == known[name]["n"] == 360
        # samples are rounded to bytes here
        assert value.value == pytest.approx(known[name]["value"], rel=0.02)
        assert value.floor == pytest.approx(known[name]["floor"], rel=1e-6)


def test_a_run_is_the_folder_of_its_samples(run, folders, command, tmp_path):
    out = sample.sample(run.log.directory, 60, tmp_path / "made")
    numbers = []
    for b in (run.log.directory, out, out / "images"):
        file = tmp_path / "d.json"
        code, _, err = command("Digits()", b, ON_8, "--n=60", f"--json={file}")
        assert code == 0 and not err
        told = json.loads(file.read_text())
        numbers.append((told["values"]["fd_pca8"]["value"], told["b"]["mark"]))
    for value, mark in numbers[1:]:  # grid.png is none of the samples
        assert value == pytest.approx(numbers[0][0], rel=1e-9) and mark == numbers[0][1]
    # a reference of larger images changes nothing in that
    numbers = []
    for b in (run.log.directory, out, out / "images"):
        command(folders / "large", b, ON_8, "--n=50", f"--json={file}")
        told = json.loads(file.read_text())
        numbers.append(told["b"]["mark"])
        assert told["shape"] == [8, 8, 1]
    # the first 50 of a run, any 50 of a folder
    assert numbers[1] == numbers[2]
    told = command("Digits()", run.log.directory, ON_8, "--n=60", "--step=1")
    assert told[0] == 0 and "step 1" in told[1]


def test_one_run_on_both_sides_is_two_draws(run, tmp_path):
    file = tmp_path / "d.json"
    found = distance(run.log.directory, run.log.directory, n=200, json=str(file), **FEW)
    told = json.loads(file.read_text())
    assert told["a"]["seed"] != told["b"]["seed"] and told["b"]["in_a"] == 0
    assert (told["a"]["reference"], told["a"]["held"], told["b"]["samples"]) == (200, 200, 200)
    value = found["fd_pca8"]
    assert value.low < value.floor < value.high
    assert (
        told["b"]["digest"] == run.log.directory.name.split("-")[1] and told["b"]["step"] == 2
    )


def test_a_copy_is_below_the_floor_and_is_told(folders, command):
    code, out, _ = command(folders / "a", folders / "copy", ON_8)
    assert code == 0 and "B: 50 of the 50 images compared are in A too" in out
    found = distance(folders / "a", folders / "copy", **FEW)
    assert found["fd_pca8"].value < found["fd_pca8"].floor
    # one folder as both is allowed, and gives nothing else
    assert "B: 50 of the 50" in command(folders / "a", folders / "a", ON_8)[1]


def test_names_and_order_of_files_do_not_matter(folders, digits, tmp_path):
    """All of B is taken: then names decide nothing but the groups of the interval."""
    for i in range(50):
        save_png(tmp_path / "one" / f"{i:02d}.png", digits["image"][900 + i])
        save_png(tmp_path / "two" / f"{99 - i:02d}.jpg.png", digits["image"][900 + i])
    one, two = (distance(folders / "a", tmp_path / name, **FEW) for name in ("one", "two"))
    for name in one:
        assert one[name].value == pytest.approx(two[name].value, rel=1e-9, abs=1e-9)


def test_other_sizes_are_brought_to_one_and_told(folders, command, tmp_path):
    file = tmp_path / "d.json"
    flags = (ON_8, f"--json={file}")
    code, out, _ = command(folders / "a", folders / "colour", *flags)
    assert code == 0 and json.loads(file.read_text())["shape"] == [8, 8, 3]
    assert "A: all images were brought from [8, 8, 1] to [8, 8, 3]: grey in three" in out
    assert "B: all images were brought from [24, 16, 3] to [8, 8, 3]: scaled by the" in out
    # the other way round the reference decides; 24x16 keeps its ratio
    command("Digits()", folders / "colour", *flags)
    assert json.loads(file.read_text())["shape"] == [8, 8, 3]
    code, out, _ = command(folders / "a", "Digits()", "--size=10", *flags)
    assert json.loads(file.read_text())["shape"] == [10, 10, 1]
    assert out.count("were brought from [8, 8, 1] to [10, 10, 1]") == 2
    _, out, _ = command(folders / "colour", folders / "a", "--metrics=(Kernel(),)", *flags)
    assert json.loads(file.read_text())["shape"] == [24, 16, 3]
    assert "at 24x16x3" in out and "enlarged, which blurs: --size='8' brings the other" in out
    # a set's own format goes before the most usual of a folder
    command(folders / "colour", "Digits()", "--metrics=(Kernel(),)", *flags)
    assert json.loads(file.read_text())["shape"] == [8, 8, 3]


def test_the_usual_size(tmp_path):
    assert usual({(8, 6, 1): 3, (9, 9, 3): 2, (8, 6, 3): 1}) == (8, 6, 3)
    assert usual({(8, 6, 1): 2, (9, 9, 1): 2}) == (9, 9, 1)  # whatever the order
    assert usual({(9, 9, 1): 2, (8, 6, 1): 2}) == (9, 9, 1)
    assert usual({(1024, 512, 3): 1}) == (256, 128, 3)


def test_held_out_images_are_the_floor(folders, digits, tmp_path, command):
    """Of a folder that has the splits `train` and `test`."""
    for i in range(90):
        split = "train" if i < 40 else "test"
        save_png(tmp_path / "split" / split / f"{i}.png", digits["image"][i])
    save_png(tmp_path / "split" / "cover.png", digits["image"][0])
    _, out, _ = command(tmp_path / "split", folders / "b", "--metrics=(Kernel(),)")
    assert "A: " in out and "cover.png" in out  # it lies beside the splits
    # of more than the reference has no floor could be drawn from it
    assert "floor: 40 held-out images of A, against the 40 others" in out
    assert "40 images, and 40 apart" in out
    flags = ("--metrics=(Kernel(),)", "--n=41")
    code, _, err = command(tmp_path / "split", folders / "b", *flags)
    assert code == 2 and "50 held-out ones against 40 others: use --n=40 or fewer" in err[-1]


def test_held_out_images_of_another_size_are_told(folders, digits, tmp_path, command):
    for i in range(60):
        save_png(tmp_path / "train" / f"{i}.png", digits["image"][i])
        save_png(tmp_path / "test" / f"{i}.png", digits["image"][i].repeat(2, 0).repeat(2, 1))
    _, out, _ = command(tmp_path, folders / "b", "--metrics=(Kernel(),)", "--size=8")
    assert "A: 60 of 120 images that were looked at were brought from [16, 16, 1]" in out


def test_other_metrics_and_features(folders):
    asked = {"metrics": (PrecisionRecall(k=2),), "features": RandomNet(8)}
    found = distance(folders / "a", Folder(str(folders / "b"), size=8, colour=False), **asked)
    assert sorted(found) == ["precision_random_width8_k2", "recall_random_width8_k2"]
    assert all(0 <= value.low <= value.high <= 1 for value in found.values())


@pytest.mark.parametrize(
    ("a", "b", "flags", "told"),
    [
        ("a", "none", [], "B: {home}/none is not there"),
        ("a", "empty", [], "B: {home}/empty holds no images ("),
        ("a", "a/1.png", [], "is a file: name a folder"),
        (
            "a",
            "tests",
            [],
            "test and no train: add a sub-folder train, or name {home}/tests/test.",
        ),
        ("a", "deep", [], "deep holds no images ("),
        ("a", "~nobody9/x", [], "write the whole path"),
        ("a", "x" * 300, [], "is not there"),
        ("a", "b", ["--json=/proc/d.json"], "--json=/proc/d.json cannot be written"),
        ("a", "points", [], "holds samples that are no images"),
        ("a", "Toy()", [], "B: Toy() holds Points"),
        ("Digit()", "a", [], "Did you mean Digits"),
        ("Digits(valid=9999)", "a", [], "A: valid=9999 must be"),
        ("Digits(vald=1)", "a", [], "Did you mean valid"),
        ("a", "b", ["--n=0"], "--n=0 must be at least 1"),
        ("a", "b", ["--n=51"], "half of its 100: use --n=50 or fewer"),
        ("Digits()", "b", ["--n=81"], "--n=81 is more than the 80 images of B"),
        ("Digits()", "Digits()", ["--n=361"], "360 held-out ones"),
        ("a", "b", ["--size=0"], "--size=0 must be at least 1"),
        ("a", "b", ["--size=(8,-1)"], "--size=-1 must be at least 1"),
        ("a", "b", ["--seed=-1"], "--seed=-1 must be at least 0"),
        ("a", "b", ["--step=1"], "--step=1 is a checkpoint of a run, and B is none"),
        ("a", "b", ["--metrics=()"], "leaves nothing to measure"),
        ("a", "b", ["--metrics=(Cas(),)"], "constructors: "),
        ("a", "b", ["--metrics=(InceptionScore(),)", ON_8], "a classifier's outputs"),
        ("a", "b", ["--feature=Pixels()"], "Did you mean features"),
        ("a", "b", ["--features=Component(3)"], "Did you mean Components"),
        ("a", "b", ["--json={home}/no/d.json"], "there is no folder {home}/no"),
        ("a", "b", ["--json={home}"], "is a folder"),
        ("a", "b", ["c"], "expected A B, got"),
        (
            "a",
            "b",
            ["--n=20", ON_8],
            "needs at least 50 images of each side, and there are 20 to",
        ),
        (
            "a",
            "b",
            [],
            "on the 64 features of Components() needs at least 65 images of each side, and there are 50 to compare "
            "with 50 of A: give more, or use --features='Components(32)' or --metrics='(Kernel(),)'",
        ),
    ],
)
def test_mistakes_are_one_line(folders, command, a, b, flags, told):
    before = sorted(folders.rglob("*"))
    named = [each if each[0] in "~" or "(" in each else str(folders / each) for each in (a, b)]
    flags = [flag.format(home=folders) for flag in flags]
    code, out, err = command(*named, *flags)
    assert (code, out) == (2, "")
    (line,) = err
    assert line.startswith("error: ") and told.format(home=folders) in line
    assert "--data" not in line and sorted(folders.rglob("*")) == before


def test_an_unreadable_image_is_named_with_a_way_out(folders, tmp_path, command):
    shutil.copytree(folders / "a", tmp_path / "a")
    (tmp_path / "a" / "cut.png").write_bytes((folders / "a" / "1.png").read_bytes()[:60])
    code, _, err = command(tmp_path / "a", folders / "b", ON_8)
    way = f"\"Folder('{tmp_path / 'a'}', skip_bad=True)\""
    assert code == 2 and "cut.png cannot be read" in err[-1] and way in err[-1]
    asked = Folder(str(tmp_path / "a"), size=8, colour=False, skip_bad=True, test=0.0)
    assert distance(asked, folders / "b", **FEW)["fd_pca8"].n == 50


def test_a_place_that_is_not_to_be_looked_at(folders, monkeypatch, command):
    real = os.stat

    def refuse(path, *args, **kwargs):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", refuse)
    code, _, err = command(folders / "a", folders / "secret")
    assert code == 2 and "secret cannot be looked at (Permission denied)" in err[-1]


def test_numbers_are_printed_before_they_are_written(folders, tmp_path, monkeypatch, command):
    @contextlib.contextmanager
    def full(path):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(package, "whole", full)
    code, out, err = command(folders / "a", folders / "b", ON_8, f"--json={tmp_path / 'd'}")
    assert code == 2 and "No space left" in err[-1] and "fd_pca8" in out


def test_what_is_no_data_set():
    with pytest.raises(UserError, match="no load"):
        distance(Frechet(), Toy())
    with pytest.raises(UserError, match="no field 'feature'.* Did you mean features"):
        distance(Digits(), Digits(), feature=1)


def test_help_names_every_flag(command):
    code, out, _ = command("--help")
    assert code == 0 and out.strip() == package.__doc__.strip()
    for name in ("features", "metrics", "n", "size", "seed", "step", "json"):
        assert f"--{name}=" in out
