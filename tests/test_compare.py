"""The comparison of families and the table of experiments: all are measured alike, files say what they are."""

import json

import numpy as np
import pytest

from experiments import compare
from genjax import cli
from genjax.classical import Mixture, Ppca
from genjax.config import edit
from genjax.data import Digits
from genjax.errors import UserError
from genjax.findings import comparison, contenders
from genjax.machine.parallel import Jit
from genjax.metrics.evaluate import Frechet, Memorisation, PrecisionRecall, Recognition
from genjax.metrics.features import Components
from genjax.nets import MLP, Gelu, TimeMLP
from genjax.training.log import trained_for
from genjax.training.watch import Watch

NETS = {f"exp.algorithm.{name}": MLP((16,), Gelu()) for name in ("enc", "dec")}


def small(cfg: comparison.Comparison) -> comparison.Comparison:
    """BASE with tiny nets and hardly any training."""
    entries = {entry.name: entry.of for entry in cfg.contenders}
    ae, vae, gan, flow = (entries[name] for name in ("autoencoder", "vae", "gan", "flow"))
    shrunk = {
        "training_set": entries["training_set"],
        "ppca": contenders.Classical(Ppca(4)),
        "autoencoder": edit(ae, {**NETS, "draw.density": Mixture(1, 8)}),
        "vae": edit(vae, {**NETS, "bits.samples": 3}),
        "gan": edit(gan, {"exp.algorithm.gen": MLP((16,)), "exp.algorithm.disc": MLP((16,))}),
        "flow": edit(
            flow,
            {"exp.algorithm.net": TimeMLP((16,), waves=0), "exp.algorithm.schedule.steps": 2},
        ),
    }
    entries = tuple(comparison.Entry(name, of) for name, of in shrunk.items())
    watch = Watch(
        (Frechet(), PrecisionRecall(), Memorisation()), samples=100, extractor=Components(16)
    )
    return edit(cfg, {"contenders": entries, "watch": watch, "seconds": 1e-3, "likelihood": 3})


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """(folder, {name: results.json}) of a small comparison."""
    runs = tmp_path_factory.mktemp("runs")
    cfg = edit(small(compare.BASE), {"runs": str(runs)})
    compare.compare(
        cfg, "digits", {"command": "python", "question": "Which?", "differences": {}}
    )
    found = {}
    for path in (runs / "compare").glob("*/results.json"):
        found[path.parent.name.rsplit("-", 1)[0]] = json.loads(path.read_text())
    return runs / "compare", found


@pytest.mark.all
def test_every_contender_is_measured_by_the_same_yardstick(compared):
    folder, found = compared
    assert set(found) == {"training_set", "ppca", "autoencoder", "vae", "gan", "flow"}
    floors = {
        tuple(v["floor"] for v in results["metrics"].values()) for results in found.values()
    }
    assert len(floors) == 1 and all(v["n"] == 100 for v in found["gan"]["metrics"].values())
    assert found["training_set"]["metrics"]["authpct_pca16"]["value"] == 0.0
    assert (
        found["ppca"]["metrics"]["fd_pca16"]["value"]
        < found["gan"]["metrics"]["fd_pca16"]["value"]
    )
    assert {name for name, results in found.items() if "likelihood" in results} == {
        "ppca",
        "vae",
        "flow",
    }
    assert 4.0 < found["ppca"]["likelihood"]["bits_per_dim"] < 9.0
    assert found["vae"]["cost"]["steps"] == 100 and found["vae"]["cost"]["training_seconds"] > 0


@pytest.mark.all
def test_the_page_holds_all_and_each_has_its_own(compared):
    folder, found = compared
    page = (folder / "digits.html").read_text()
    assert all(name in page for name in found) and "fd_pca16" in page
    assert len(list(folder.glob("*/report.html"))) == len(found)
    assert (folder / "digits.md").read_text().count("\n") == 3 + len(found)
    assert (folder / "digits.png").exists()


def test_the_training_set_is_drawn_by_class_without_repeats(monkeypatch):
    source = Digits().load()
    cfg = edit(compare.BASE, {"runs": "/nonexistent"})
    monkeypatch.setattr(contenders, "directory", lambda *args: None)
    made = contenders.TrainingSet()("x", cfg, source, {})
    train = np.asarray(source.train["image"]).reshape(-1, 64)
    rows = [
        int(np.flatnonzero((train == image.reshape(-1)).all(1))[0]) for image in made.images
    ]
    assert (
        np.asarray(source.train["label"])[rows] == contenders.labels(360, source)
    ).all() and len(set(rows)) > 350


@pytest.mark.parametrize(
    "flags, told",
    [
        (["--seconds=0.0"], "--seconds=0.0 must be above 0"),
        (["--contenders=()"], "--contenders and --watch.metrics must not be empty"),
        (["--data=Toy()"], "compare is of images with labels, and ring has none"),
        (
            ["--watch.samples=1000"],
            "--watch.samples=1000 is more than the 360 held-out examples",
        ),
        (["--watch.extractor=Inception(weights='none.npz')"], "none.npz"),
    ],
)
def test_bad_input(flags, told, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(
            compare.EXPERIMENTS,
            compare.compare,
            compare.__doc__,
            [*flags, f"--runs={tmp_path}"],
        )
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2 and error.startswith("error: ") and told in error


def test_the_time_of_training_is_the_sum_of_its_stretches(tmp_path):
    (tmp_path / "speed.jsonl").write_text(
        '{"step": 1000, "steps/s": 50.0}\n{"step": 4000, "steps/s": 25.0}\n'
    )
    assert trained_for(tmp_path) == pytest.approx(140.0)


def test_the_recognised_share_needs_a_classifier():
    with pytest.raises(UserError, match="needs a classifier's outputs and pca16 has none"):
        source = Digits().load()
        Watch((Recognition(),), extractor=Components(16)).start(
            source.train, source.test, "x", Jit()
        )
