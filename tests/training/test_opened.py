"""A run in a user's hands: opened anywhere, without its data, to the bit what the training would have drawn."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from genjax.ae.autoencoder import Autoencoder
from genjax.conditions import Label
from genjax.config import edit
from genjax.data import Digits, Source
from genjax.data.batches import chosen
from genjax.errors import UserError
from genjax.fields import Points
from genjax.machine.checksum import crc32
from genjax.metrics.evaluate import Frechet
from genjax.metrics.features import Pixels
from genjax.nets import MLP
from genjax.optim import Adam
from genjax.training import loop
from genjax.training.checkpoint import Reader
from genjax.training.experiment import Every, Experiment
from genjax.training.kept import keep, kept
from genjax.training.opened import open_run
from genjax.training.preempt import alone
from genjax.training.watch import Watch
from genjax.vae.likelihoods import Gaussian
from genjax.vae.vae import VAE

SMALL = MLP((16,))
EXP = Experiment(
    Digits(),
    VAE(2, enc=SMALL, dec=SMALL, likelihood=Gaussian(), condition=(Label(),), optimiser=Adam()),
    steps=6,
    batch=32,
    every=Every(log=3, evaluate=6, sample=0, save=3),
    watch=Watch((Frechet(),), every=3, best="fd_pixels", extractor=Pixels()),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(the run as the training left it, its directory moved and renamed)."""
    home = tmp_path_factory.mktemp("home")
    exp = edit(EXP, {"runs": str(home / "runs")})
    this = loop.run("vae", exp, "labelled")
    moved = tmp_path_factory.mktemp("elsewhere") / "a" / "my model"
    shutil.copytree(this.log.directory, moved)
    return this, moved


@pytest.fixture
def opened(trained, monkeypatch, tmp_path):
    """The moved run, opened in another folder and where its data are not to be had."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Digits, "load", no_data)
    return open_run(trained[1])


def no_data(self):
    raise UserError("the data are not here.")


def listing(folder):
    return sorted((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*"))


def test_samples_codes_and_losses_are_those_of_the_training(trained, opened):
    this, moved = trained
    before = listing(moved)
    assert (opened.step, opened.finished, opened.config.steps) == (6, True, 6)
    x = opened.sample(9)
    assert x.shape == (9, 8, 8, 1) and x.dtype == np.float32
    np.testing.assert_array_equal(x, this.sample(9).clip(0.0, 1.0))
    np.testing.assert_array_equal(opened.run.sample(9), this.sample(9))
    part = {name: array[:7] for name, array in this.source.test.items()}
    np.testing.assert_array_equal(opened.encode(part), this.encode(part))
    ours, theirs = opened.evaluate(part), this.evaluate(part)
    assert set(ours) == set(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])
    for a, b in zip(
        opened.params["dec"].values(), this.state.params["dec"].values(), strict=True
    ):
        assert a.keys() == b.keys()
    assert opened.picture(x).dtype == np.uint8
    assert listing(moved) == before, "opening a run must not write in it"


def test_a_sample_is_a_function_of_seed_number_and_what_is_given(opened):
    given = opened.given(10, label=3)
    assert given["label"].tolist() == [3] * 10
    whole = opened.draw(given, seed=5)
    tail = {name: values[6:] for name, values in given.items()}
    np.testing.assert_array_equal(opened.draw(tail, seed=5), whole[6:])
    assert not np.array_equal(opened.draw(given, seed=6), whole)
    # a class by its name, and one for each sample
    np.testing.assert_array_equal(opened.sample(10, 5, label="3"), whole)
    assert opened.given(4, label=["3", 5])["label"].tolist() == [3, 5, 3, 5]


def test_codes_are_decoded_where_a_model_has_a_way_back(tmp_path):
    exp = edit(EXP, {"algorithm": Autoencoder(3), "watch": Watch(), "runs": str(tmp_path)})
    found = open_run(loop.run("ae", exp, "small").log.directory)
    images = Digits().load().test["image"][:5]
    codes = found.encode(images)
    assert codes.shape == (5, 3)
    again = found.decode(codes)
    assert again.shape == (5, 8, 8, 1)
    mse = np.mean((again - images / 255.0) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(mse, found.evaluate(images)["mse"], rtol=1e-3)
    with pytest.raises(UserError, match="this model does not ask for 'label'"):
        found.sample(3, label=1)


def test_another_step_and_the_best_state(trained, capsys):
    this, moved = trained
    earlier = open_run(moved, step=3)
    assert "was stopped" not in capsys.readouterr().err
    assert earlier.step == 3 and not np.array_equal(
        earlier.sample(4), open_run(moved).sample(4)
    )
    best = open_run(moved, best="fd_pixels")
    assert best.step == this.best()[0]
    with pytest.raises(UserError, match=r"no best state by 'fid': it has fd_pixels"):
        open_run(moved, best="fid")
    with pytest.raises(UserError, match=r"step 4: it is not there\): there are 3, 6"):
        open_run(moved, step=4)


def test_a_run_at_work_is_looked_at_and_says_its_step(trained, tmp_path, capsys):
    stopped = tmp_path / "runs" / "stopped"
    shutil.copytree(trained[1], stopped)
    shutil.rmtree(stopped / "checkpoints" / "6")
    # what a save that is under way looks like
    shutil.copytree(
        stopped / "checkpoints" / "3", stopped / "checkpoints" / "6.orbax-checkpoint-tmp"
    )
    before = listing(stopped)
    assert open_run(stopped).step == 3
    assert f"{stopped} was stopped, it is at step 3 of 6" in capsys.readouterr().err
    with alone(stopped):
        assert open_run(stopped).step == 3
    assert f"{stopped} is training, it is at step 3 of 6" in capsys.readouterr().err
    assert listing(stopped) == before


def test_what_is_no_run_is_one_line(trained, tmp_path):
    this, moved = trained
    for path, error in (
        (tmp_path / "nothing", "is not a run: there is no such folder"),
        (moved.parent, "is not a run: it holds no config.json.*Did you mean .*my model"),
    ):
        with pytest.raises(UserError, match=error):
            open_run(path)
    empty = tmp_path / "runs" / "empty"
    empty.mkdir(parents=True)
    shutil.copy(moved / "config.json", empty)
    shutil.copy(moved / "data.json", empty)
    with pytest.raises(UserError, match="none was saved"):
        open_run(empty)
    assert sorted(p.name for p in empty.iterdir()) == ["config.json", "data.json"]
    text = (moved / "config.json").read_text()
    for changed, error in (
        (
            text.replace("genjax.vae.vae:VAE", "mine:VAE"),
            "names the class 'mine:VAE': if you trust that module, import it first",
        ),
        (
            text.replace('"latent": 2', '"latent": 3'),
            "not that of its checkpoints: algorithm.latent = 2",
        ),
        (text[:90], "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
    ):
        (empty / "config.json").write_text(changed)
        shutil.copytree(moved / "checkpoints", empty / "checkpoints", dirs_exist_ok=True)
        with pytest.raises(UserError, match=error):
            open_run(empty)


def test_a_path_may_be_relative_and_a_users_home(trained, monkeypatch):
    monkeypatch.chdir(trained[1])
    assert open_run(".").step == 6
    monkeypatch.chdir(trained[1].parent)
    assert open_run("my model").step == 6
    with pytest.raises(UserError, match="~nobody9/run: .* write the whole path"):
        open_run("~nobody9/run")


def test_what_is_kept_of_several_fields_is_of_the_same_examples(tmp_path, monkeypatch):
    monkeypatch.setattr("genjax.training.kept.MOST", 100 * (64 + 4))
    test = Digits().load().test
    keep(tmp_path, Digits().load(), test, ("label", "image"))
    found = kept(tmp_path).test
    assert len(found["image"]) == len(found["label"]) == 100
    rows = chosen(100, 360)
    np.testing.assert_array_equal(found["image"], test["image"][rows])
    np.testing.assert_array_equal(found["label"], test["label"][rows])


def test_the_scale_of_codes_is_kept(tmp_path):
    codes = {"code": np.zeros((3, 2), np.float32)}
    source = Source("codes", {"code": Points((2,))}, codes, {}, {})
    for name, scale in (("scaled", 1.5), ("plain", None)):
        folder = tmp_path / name
        folder.mkdir()
        keep(folder, source._replace(scale=scale), {}, ())
        assert kept(folder).scale == scale
    about = tmp_path / "scaled" / "data.json"
    about.write_text(about.read_text().replace("1.5", '"wide"'))
    with pytest.raises(UserError, match="data.json .* is not as it was written"):
        kept(tmp_path / "scaled")


def test_wrong_values_are_one_line(opened):
    for look, error in (
        (lambda: opened.sample(0), "n=0 must be at least 1"),
        (lambda: opened.sample(2, label="cat"), "there is no class 'cat': they are 0, 1"),
        (lambda: opened.sample(2, label=10), "label asked for has values from 10 to 10"),
        (lambda: opened.sample(2, colour=1), "does not ask for 'colour'"),
        (
            lambda: opened.encode(np.zeros((2, 8, 8, 1), np.uint8)),
            "needs the field 'label' too",
        ),
        (lambda: opened.encode({"imag": np.zeros(2)}), "no field 'imag'.*Did you mean image"),
        (lambda: opened.encode(np.zeros((2, 9, 9, 1))), r"has shape \[2, 9, 9, 1\]"),
        (lambda: opened.evaluate(np.zeros((0, 8, 8, 1), np.uint8)), "n=0 must be at least 1"),
        (lambda: opened.decode(np.zeros((2, 2))), "has no way back"),
    ):
        with pytest.raises(UserError, match=error):
            look()


def test_another_code_is_named_and_what_does_not_fit_is_refused(trained, tmp_path, capsys):
    other = tmp_path / "runs" / "other"
    shutil.copytree(trained[1], other)
    for step in (other / "checkpoints").glob("[0-9]*"):
        file = next(
            p
            for p in (step / "meta").rglob("*")
            if p.is_file() and b'"config"' in p.read_bytes()
        )
        about = json.loads(file.read_text())
        about["meta"]["code"]["VAE"] = "00000000"
        write(step, file, about)
    open_run(other)
    assert "note: code changed since this run began: VAE" in capsys.readouterr().err
    for step in (other / "checkpoints").glob("[0-9]*"):
        file = next(
            p
            for p in (step / "meta").rglob("*")
            if p.is_file() and b'"config"' in p.read_bytes()
        )
        about = json.loads(file.read_text())
        about["state"]["step"] = "int32[7]"
        write(step, file, about)
    with pytest.raises(
        UserError, match=r"step is int32\[7\] \(now int32\[\]\); the code of VAE has"
    ):
        open_run(other)


def write(step, file, about):
    """Puts what a checkpoint says of itself back, with its checksum."""
    file.write_text(json.dumps(about))
    sums = json.loads((step / "crc32.json").read_text())
    sums[str(file.relative_to(step))] = crc32(file)
    (step / "crc32.json").write_text(json.dumps(sums))


def test_a_run_of_an_earlier_release_is_opened_with_its_data(trained, tmp_path, monkeypatch):
    old = tmp_path / "runs" / "old"
    shutil.copytree(trained[1], old)
    (old / "data.json").unlink()
    np.testing.assert_array_equal(open_run(old).sample(5), open_run(trained[1]).sample(5))
    monkeypatch.setattr(Digits, "load", no_data)
    with pytest.raises(UserError, match="has no data.json.*the data are not here"):
        open_run(old)
    (old / "data.json").write_text("{}")
    with pytest.raises(UserError, match="is not as it was written"):
        open_run(old)


def test_opened_is_a_plain_value(opened):
    assert dataclasses.is_dataclass(opened) and opened.class_names == tuple("0123456789")


def test_a_checkpoint_that_a_run_at_work_removes_meanwhile_is_not_missed(
    trained, tmp_path, monkeypatch
):
    work = tmp_path / "runs" / "work"
    shutil.copytree(trained[1], work)
    read = Reader.state

    def late(self, step, like):
        if step == 6:  # as if the training had gone on and kept others
            shutil.rmtree(work / "checkpoints" / "6")
        return read(self, step, like)

    monkeypatch.setattr(Reader, "state", late)
    assert open_run(work).step == 3
