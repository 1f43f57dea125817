"""Every experiment: each config is sound, each BASE runs two steps, finishes, and resumes."""

import gzip
import struct

import jax
import numpy as np
import pytest

from experiments import autoencoder, toy2d, vae
from genjax.config import edit
from genjax.core import Spec
from genjax.data import Digits, FashionMNIST
from genjax.train import run

ALL = [(m, name) for m in (autoencoder, toy2d, vae) for name in m.EXPERIMENTS]
SHRUNK = {
    "steps": 2,
    "log_every": 1,
    "evaluate_every": 2,
    "sample_every": 2,
    "save_every": 2,
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
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))
    return str(folder)


def shape_of(data) -> Spec:
    images = {FashionMNIST: (28, 28, 1), Digits: (8, 8, 1)}
    return Spec(images.get(type(data), (2,)), 10, 10)


@pytest.mark.parametrize("module, name", ALL, ids=[f"{m.__name__.split('.')[-1]}-{n}" for m, n in ALL])
def test_every_config_traces_a_step_an_evaluation_and_a_sample(module, name):
    exp = module.EXPERIMENTS[name]
    spec = shape_of(exp.data)
    algorithm = exp.algorithm(spec)
    dtype = np.float32 if spec.shape == (2,) else np.uint8
    batch = {
        "image": np.zeros((4, *spec.shape), dtype),
        "label": np.zeros(4, np.int32),
        "index": np.zeros(4, np.uint32),
    }

    def one(key):
        state, metrics = algorithm.step(key, algorithm.init(key, batch), batch)
        return metrics, algorithm.evaluate(key, state, batch), algorithm.sample(key, state, batch)

    metrics, parts, x = jax.eval_shape(one, jax.random.key(0))
    assert "grad_norm" in metrics and all(v.shape == (4,) for v in parts.values()) and x.shape == (4, *spec.shape)


def shrink(exp, tmp_path, **more):
    return edit(exp, {**SHRUNK, "runs": str(tmp_path / "runs"), **more})


def pngs(this):
    return {path.stem for path in (this.log.directory / "samples").glob("*.png")}


def test_vae_base_draws_and_measures_what_it_says(fashion, tmp_path, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    exp = shrink(vae.BASE, tmp_path, **{"data.path": fashion, "finish.iwae": 10, "finish.chunk": 5})
    this = run("vae", exp, "base")
    drawn = {"samples", "reconstructions", "interpolation-linear", "interpolation-spherical", "traversal", "00000002"}
    assert pngs(this) == drawn
    scores = this.log.result("iwae10")
    assert scores["elbo"] < scores["log_p"] and scores["n"] == 100
    again = run("vae", exp, "base")  # nothing left to train, nothing measured twice
    assert int(again.state.step) == 2 and again.log.result("iwae10") == scores


def test_linear_autoencoder_reports_pca_and_the_plane_compares_two_models(fashion, tmp_path, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    this = run(
        "autoencoder", shrink(autoencoder.BASE, tmp_path, **{"data.path": fashion, "algorithm.latent": 8}), "linear"
    )
    values = this.log.result("reconstruction")
    assert values["mse"] > values["pca_mse"] > 0 and 0 < values["mean_angle"] <= values["largest_angle"] <= 90
    assert pngs(this) - {"00000002"} == {"reconstructions", "interpolation-linear", "interpolation-spherical"}
    small = {"data.path": fashion, "finish.samples": 10, "seed": 3}
    plane = run("autoencoder", shrink(autoencoder.EXPERIMENTS["plane"], tmp_path, **small), "plane")
    (twin,) = (tmp_path / "runs" / "autoencoder").glob("plane-vae-*")
    assert '"seed": 3' in (twin / "config.json").read_text()  # the twin's run is the autoencoder's in all but the model
    assert {"plane-autoencoder", "plane-vae", "codes-autoencoder", "codes-vae"} <= pngs(plane)
    assert 0 < plane.log.result("plane_vae")["empty"] < 1


def test_toy2d_measures_the_distance_from_the_truth(tmp_path):
    exp = shrink(
        toy2d.BASE, tmp_path, **{"data.train": 500, "data.test": 500, "finish.density.samples": 100, "finish.samples": 500}
    )
    values = run("toy2d", exp, "base").log.result("truth")
    assert values["kl"] > 0.3 and 0 <= values["modes"] <= 8  # two steps: far from the truth


def test_modes_counts_modes_and_good_samples():
    from genjax.data import Ring

    mixture = Ring()()
    centres = np.asarray(mixture.means)
    assert toy2d.modes(mixture, np.repeat(centres, 10, 0)) == (8, 1.0)
    half = np.concatenate([np.repeat(centres[:4], 10, 0), np.full((40, 2), 99.0)])
    assert toy2d.modes(mixture, half) == (4, 0.5)
