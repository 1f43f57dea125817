"""Every experiment: each config is sound, each BASE runs two steps, finishes, and resumes."""

import gzip
import struct

import jax
import numpy as np
import pytest

from experiments import (
    autoencoder,
    bits,
    diffusion,
    gan,
    gan_game,
    onestep,
    samplers,
    stacked,
    stylegan2,
    toy2d,
    vae,
)
from experiments import edit as edit_
from genjax.config import digest, edit
from genjax.core import Spec, labelled
from genjax.corruptions import Hole
from genjax.data import Digits, FashionMNIST, Photographs, StackedDigits
from genjax.diffusion.samplers import DDPM, Euler
from genjax.fields import Image, Points
from genjax.findings.denoising import SamplerTables
from genjax.findings.truth import modes
from genjax.metrics.features import Components
from genjax.metrics.judges import Svm
from genjax.nets import MLP, TimeMLP
from genjax.training.loop import run

MODULES = (
    autoencoder,
    bits,
    diffusion,
    edit_,
    gan,
    gan_game,
    onestep,
    samplers,
    stacked,
    stylegan2,
    toy2d,
    vae,
)
SHRUNK = {
    "steps": 2,
    "every.log": 1,
    "every.evaluate": 2,
    "every.sample": 2,
    "every.save": 2,
    "batch": 16,
    "samples": 4,
}


@pytest.fixture(scope="module")
def fashion(tmp_path_factory):
    """A folder with four idx files of the real names and few random images."""
    folder, rng = tmp_path_factory.mktemp("idx"), np.random.default_rng(0)
    for part, n in (("train", 200), ("t10k", 100)):
        for kind, shape, high in (("images-idx3", (n, 28, 28), 256), ("labels-idx1", (n,), 10)):
            values = rng.integers(0, high, shape).astype(np.uint8)
            head = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(
                gzip.compress(head + values.tobytes())
            )
    return str(folder)


def shape_of(data) -> Spec:
    if type(data) is Photographs:
        return labelled(Image((32, 32, 3)), 2, 10)
    if type(data) is StackedDigits:
        return labelled(Image((8, 8, 3)), 1000, 10)
    images = {FashionMNIST: (28, 28, 1), Digits: (8, 8, 1)}
    if type(data) in images:
        return labelled(Image(images[type(data)]), 10, 10)
    return labelled(Points((2,)), 10, 10)


ALL = {}  # configs that differ in data of one shape or in execution alone trace alike: the first stands for all
for _m in MODULES:
    for _name, _exp in _m.EXPERIMENTS.items():
        _exp = getattr(_exp, "base", _exp)  # of a sweep
        ALL.setdefault((digest(_exp.algorithm), shape_of(_exp.data)), (_m, _name))
ALL = list(ALL.values())


def traced(module, name):
    """The parameters of one config, left to make test-all unless it is its experiment's BASE."""
    marks = () if name == "base" else (pytest.mark.all,)
    return pytest.param(
        module, name, marks=marks, id=f"{module.__name__.split('.')[-1]}-{name}"
    )


@pytest.mark.parametrize("module, name", [traced(*pair) for pair in ALL])
def test_every_config_traces_a_step_an_evaluation_and_a_sample(module, name):
    entry = module.EXPERIMENTS[name]
    exp = getattr(entry, "base", entry)
    spec = shape_of(exp.data)
    cfg = exp.algorithm
    deep = (
        getattr(getattr(cfg, "net", None), "depth", 0) > 1
    )  # blocks are alike: one tells what all do
    algorithm = (edit(cfg, {"net.depth": 1}) if deep else cfg)(spec)
    dtype = np.float32 if spec.shape == (2,) else np.uint8
    n = exp.batch
    batch = {
        "image": np.zeros((n, *spec.shape), dtype),
        "label": np.zeros(n, np.int32),
        "index": np.zeros(n, np.uint32),
    }

    def one(key):
        state, metrics = algorithm.step(key, algorithm.init(key, batch), batch)
        return (
            metrics,
            algorithm.evaluate(key, state, batch),
            algorithm.sample(key, state, batch),
        )

    metrics, parts, x = jax.eval_shape(one, jax.random.key(0))
    assert (
        "grad_norm" in metrics
        and all(v.shape == (n,) for v in parts.values())
        and x.shape == (n, *spec.shape)
    )


def shrink(exp, tmp_path, **more):
    return edit(exp, {**SHRUNK, "runs": str(tmp_path / "runs"), **more})


def pngs(this):
    return {path.stem for path in (this.log.directory / "samples").glob("*.png")}


def test_vae_base_draws_and_measures_what_it_says(fashion, tmp_path, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    exp = shrink(
        vae.BASE,
        tmp_path,
        **{
            "data.path": fashion,
            "finish.VaeBounds.by.samples": 10,
            "finish.VaeBounds.by.chunk": 5,
        },
    )
    this = run("vae", exp, "base")
    drawn = {
        "samples",
        "reconstructions",
        "interpolation-linear",
        "interpolation-spherical",
        "traversal",
        "00000002",
    }
    assert pngs(this) == drawn
    scores = this.log.result("iwae10")
    assert scores["elbo"] < scores["log_p"] and scores["n"] == 100
    again = run("vae", exp, "base")  # nothing left to train, nothing measured twice
    assert int(again.state.step) == 2 and again.log.result("iwae10") == scores


@pytest.mark.all
def test_linear_autoencoder_reports_pca_and_the_plane_compares_two_models(
    fashion, tmp_path, monkeypatch
):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    this = run(
        "autoencoder",
        shrink(autoencoder.BASE, tmp_path, **{"data.path": fashion, "algorithm.latent": 8}),
        "linear",
    )
    values = this.log.result("reconstruction")
    assert (
        values["mse"] > values["pca_mse"] > 0
        and 0 < values["mean_angle"] <= values["largest_angle"] <= 90
    )
    assert pngs(this) - {"00000002"} == {
        "reconstructions",
        "interpolation-linear",
        "interpolation-spherical",
    }
    small = {"data.path": fashion, "finish.Plane.samples": 10, "seed": 3}
    plane = run(
        "autoencoder", shrink(autoencoder.EXPERIMENTS["plane"], tmp_path, **small), "plane"
    )
    (twin,) = (tmp_path / "runs" / "autoencoder").glob("plane-vae-*")
    assert (
        '"seed": 3' in (twin / "config.json").read_text()
    )  # the twin's run is the autoencoder's in all but the model
    assert {"plane-autoencoder", "plane-vae", "codes-autoencoder", "codes-vae"} <= pngs(plane)
    assert 0 < plane.log.result("plane_vae")["empty"] < 1


@pytest.mark.all
def test_toy2d_measures_the_distance_from_the_truth(tmp_path):
    exp = shrink(
        toy2d.BASE,
        tmp_path,
        **{
            "data.train": 500,
            "data.test": 500,
            "finish.Truth.density.samples": 100,
            "finish.Truth.samples": 500,
        },
    )
    values = run("toy2d", exp, "base").log.result("truth")
    assert values["kl"] > 0.3 and 0 <= values["modes"] <= 8  # two steps: far from the truth


def test_modes_counts_modes_and_good_samples():
    from genjax.data import Ring

    mixture = Ring()()
    centres = np.asarray(mixture.means)
    assert modes(mixture, np.repeat(centres, 10, 0)) == (8, 1.0)
    half = np.concatenate([np.repeat(centres[:4], 10, 0), np.full((40, 2), 99.0)])
    assert modes(mixture, half) == (4, 0.5)


TINY = {
    "algorithm.net": TimeMLP((16,), waves=0),
    "algorithm.schedule.steps": 3,
    "keep": 2,
}  # quick to compile


def test_diffusion_draws_and_measures_samples(tmp_path):
    small = {"watch.samples": 60, "finish.Bits.images": 4}
    exp = shrink(diffusion.EXPERIMENTS["digits"], tmp_path, **TINY, **small)
    this = run("diffusion", exp, "digits")
    assert pngs(this) == {"samples", "forward", "backward", "00000002"}
    bits = this.log.result("likelihood")["bits_per_dim"]
    assert 4 < bits < 20  # of a model that has learned nothing
    values = this.log.result("metrics")
    assert values["fd_pca16"]["value"] > values["fd_pca16"]["floor"] > 0
    recognised = values["recognised_svm"]
    assert 0 <= recognised["value"] < recognised["floor"] and recognised["n"] == 60
    tables = SamplerTables(
        (Euler(),), (DDPM(),), (1, 2), (1.0, 2.0), (0.08,), 20, 5, Components(4), Svm()
    )
    again = run("diffusion", edit(exp, {"finish": (tables,)}), "digits")  # nothing trained anew
    assert again.log.directory == this.log.directory and {"samplers", "guidance"} <= pngs(again)
    found = again.log.result("samplers")
    assert found["Euler() 2"]["error"] > 0 and "error" not in found["DDPM() 2"]
    assert (
        len(again.log.result("guidance")) == 4
        and again.log.result("widths")["0.08"]["distance"] > 0
    )


def test_gan_draws_and_measures_samples(tmp_path):
    nets = {"algorithm.gen": MLP((16,)), "algorithm.disc": MLP((16,))}
    this = run("gan", shrink(gan.EXPERIMENTS["digits"], tmp_path, **nets), "digits")
    assert pngs(this) == {"samples", "interpolation", "outputs", "00000002"}
    balance = this.log.result("balance")
    assert 0.3 < balance["overfitting"] < 0.7 and balance["n"] == 360
    assert 0.0 <= balance["higher"] <= 1.0
    values = this.log.result("metrics")  # two steps from noise: far from every image
    recall, worst = values["recall_pca16"], values["worst_recall_pca16"]
    assert recall["value"] < 0.2 < 0.7 < recall["floor"] and recall["n"] == 360
    assert worst["value"] < 0.2 < worst["floor"]


@pytest.mark.all
def test_the_game_is_measured_at_every_checkpoint(tmp_path):
    nets = {
        "algorithm.gen": MLP((16,)),
        "algorithm.disc": MLP((16,)),
        "every.save": 1,
        "steps": 2,
    }
    small = {
        "data.train": 500,
        "data.test": 200,
        "finish.GameCourse.density": 2000,
        "finish.GameCourse.samples": 500,
        "finish.GameCourse.descents": 2,
    }
    this = run("gan_game", shrink(gan_game.BASE, tmp_path, **nets, **small), "base")
    assert {"samples", "outputs", "curves"} <= pngs(this)
    for step in (1, 2):
        values = this.log.result(f"step {step}")
        assert (
            0 <= values["modes"] < 25
            and values["good"] < 0.5
            and 0.0 <= values["higher"] <= 1.0
        )
        assert {"gap", "from_optimal", "overfitting", "real", "fake"} <= set(values)


@pytest.mark.all
def test_stylegan2_shows_what_its_styles_do(tmp_path):
    psis = {"finish.Styles.psis": (0.5,), "finish.TruncationCurve.psis": (0.5,)}
    nets = {
        "algorithm.synthesis.widths": (4,),
        "algorithm.disc": MLP((16,)),
        "algorithm.mapping.depth": 1,
    }
    small = {
        "algorithm.latent": 8,
        "finish.TruncationCurve.samples": 60,
        "finish.Styles.images": 2,
        "finish.Styles.projector.steps": 3,
    }
    exp = shrink(
        stylegan2.EXPERIMENTS["digits"],
        tmp_path,
        **nets,
        **small,
        **psis,
    )
    this = run("stylegan2", exp, "digits")
    assert {
        "truncation",
        "mixing",
        "directions-pca",
        "directions-sefa",
        "projection",
        "samples",
    } <= pngs(this)
    assert (this.log.directory / "samples" / "path.gif").exists()
    assert (
        this.log.result("truncation")["psi 0.5"]["fd_pca16"] > 0
        and this.log.result("projection")["mse"] > 0
    )


@pytest.mark.all
def test_stacked_counts_modes(tmp_path):
    nets = {
        "algorithm.gen": MLP((16,)),
        "algorithm.disc": MLP((16,)),
        "data.train": 300,
        "data.test": 50,
    }
    this = run(
        "stacked",
        shrink(stacked.BASE, tmp_path, **nets, **{"finish.StackedModes.samples": 200}),
        "base",
    )
    values = this.log.result("modes")
    assert (
        values["modes_samples"] < values["modes_real"] <= 200
        and values["kl_samples"] > values["kl_real"]
    )


@pytest.mark.all
def test_edits_of_a_trained_model(tmp_path):
    exp = shrink(
        edit_.EXPERIMENTS["digits"],
        tmp_path,
        **TINY,
        **{"finish.Edits.steps": 2, "finish.Edits.images": 4, "finish.Edits.strengths": (0.7,)},
    )
    this = run("diffusion", exp, "digits")
    drawn = {"sdedit", "inpainting", "super-resolution", "inversion", "interpolation"}
    assert drawn <= pngs(this)
    restored = this.log.result("Replace Coarse(factor=2)")
    assert restored["known"] < 1e-6 and restored["lost"] > 0
    assert this.log.result("RePaint " + repr(Hole()))["known"] < 1e-12
    colour = {"algorithm.net": TimeMLP((16,), waves=0), "algorithm.schedule.steps": 2}
    small = {
        "data.size": 8,
        "data.train": 40,
        "data.test": 12,
        "finish.Restored.measured": 8,
        "finish.Restored.images": 4,
    }
    this = run(
        "diffusion", shrink(edit_.EXPERIMENTS["colour"], tmp_path, **colour, **small), "colour"
    )
    assert "restored" in pngs(this) and this.log.result("conditioned Grey()")["lost"] > 0


@pytest.mark.all
def test_toy2d_knows_the_density_of_a_flow(tmp_path):
    exp = shrink(
        toy2d.EXPERIMENTS["flow"],
        tmp_path,
        **{"data.train": 500, "data.test": 64, "finish.Truth.samples": 100},
    )
    values = run("toy2d", exp, "flow").log.result("truth")
    assert 0.3 < values["kl"] < 20
