"""Nine toys that show how to write an algorithm, and that the contract carries them: each is a file beside this one.

All resume to the bit, agree under jit, pmap and mesh, and do not compile twice; each then meets a truth of its own.
"""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from genjax.ae.autoencoder import Autoencoder
from genjax.config import digest, edit, field
from genjax.core import guarded
from genjax.data import Digits
from genjax.data.batches import batch_at
from genjax.data.source import Source, check, spec_of
from genjax.diffusion import named, schedules
from genjax.errors import UserError
from genjax.fields import Points
from genjax.machine.parallel import Jit, Mesh, Pmap
from genjax.nets import MLP, Gelu, TimeMLP
from genjax.optim import Adam
from genjax.training.encoded import Encoded
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.training.opened import open_run
from genjax.training.task import example_of

sys.path.insert(0, str(Path(__file__).parent))

import attributes  # noqa: E402
import classifier  # noqa: E402
import codebook  # noqa: E402
import film  # noqa: E402
import markov  # noqa: E402
import paired  # noqa: E402
import table  # noqa: E402
import unpaired  # noqa: E402

TOYS = {
    "paired": (paired, 300),
    "unpaired": (unpaired, 400),
    "markov": (markov, 150),
    "table": (table, 400),
    "classifier": (classifier, 150),
    "attributes": (attributes, 800),
    "codebook": (codebook, 200),
    "film": (film, 400),
}
B = 64
each = pytest.mark.parametrize("name", TOYS)


@pytest.fixture(scope="module")
def sources():
    return {name: toy.DATA.load() for name, (toy, _) in TOYS.items()}


def played(name, source, layout, steps, start=None, kept={}):  # noqa: B006 - compiled steps are kept
    """(state, losses, compiled step) after `steps` more steps."""
    if (name, layout) not in kept:
        algorithm = TOYS[name][0].ALGORITHM(spec_of(source, 100))
        args = jax.random.key(3), example_of(source)
        like = layout.like(algorithm.init, *args)
        step = layout.train(guarded(algorithm.step), like)
        kept[name, layout] = algorithm, args, step
    algorithm, args, step = kept[name, layout]
    state = layout.init(algorithm.init, *args) if start is None else start
    losses = []
    for i in range(int(state.step), int(state.step) + steps):
        batch = jax.tree.map(lambda x: x[None], batch_at(source.train, 7, i, B))
        state, values = step(jax.random.key(1), state, {}, layout.put(batch, 1))
        losses.append({key: float(value[0]) for key, value in jax.device_get(values).items()})
    return state, losses, step


def leaves(state):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


@each
def test_resumes_to_the_bit_and_compiles_once(name, sources):
    check(sources[name])
    straight, losses, step = played(name, sources[name], Jit(), 6)
    half, *_ = played(name, sources[name], Jit(), 3)
    copied = jax.tree.map(lambda x: jax.numpy.asarray(np.array(x)), half)  # through memory
    resumed, later, _ = played(name, sources[name], Jit(), 3, start=copied)
    assert all(
        np.array_equal(a, b) for a, b in zip(leaves(straight), leaves(resumed), strict=True)
    )
    assert losses[3:] == later and all(np.isfinite(list(m.values())).all() for m in losses)
    assert step._cache_size() == 1


@each
@pytest.mark.parametrize(
    "layout", [Pmap(), Mesh(data=2, fsdp=2, min_shard=64)], ids=["pmap", "mesh"]
)
def test_layouts_agree(name, layout, sources):
    one, losses, _ = played(name, sources[name], Jit(), 3)
    other, others, _ = played(name, sources[name], layout, 3)
    for a, b in zip(losses, others, strict=True):
        for key in a:
            np.testing.assert_allclose(a[key], b[key], rtol=5e-4, atol=1e-6)
    for a, b in zip(
        leaves((one.params, one.extra)), leaves((other.params, other.extra)), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=5e-4)


@each
def test_a_run_meets_its_truth(name, tmp_path):
    toy, steps = TOYS[name]
    every = Every(log=50, evaluate=steps, sample=0 if name in SILENT else steps, save=steps)
    exp = Experiment(toy.DATA, toy.ALGORITHM, steps, 64, every=every, runs=str(tmp_path))
    this = run("toys", exp, name)
    toy.truth(this)
    if name not in SILENT:  # opened without its data, it draws the same
        drawn = open_run(this.log.directory).run.sample(5)
        jax.tree.map(np.testing.assert_array_equal, drawn, this.sample(5))


SILENT = ("classifier", "codebook")  # they make no samples


def test_a_model_without_samples_says_so(tmp_path):
    exp = Experiment(classifier.DATA, classifier.ALGORITHM, 2, 64, runs=str(tmp_path))
    this = run("toys", exp, "silent")
    assert not list(this.log.directory.glob("samples/*"))
    with pytest.raises(UserError, match="Reader makes no samples"):
        this.sample(3)


@dataclasses.dataclass(frozen=True)
class Both:
    """Two outputs by name: what was drawn and its negative."""

    def __call__(self, spec):
        plain = paired.Regression()(spec)

        def sample(key, state, given):
            x = plain.sample(key, state, given)
            return {"x": x, "negative": 1.0 - x}

        return plain._replace(sample=sample, picture=None)


def test_a_model_may_make_several_outputs(tmp_path):
    every = Every(log=1, evaluate=2, sample=2, save=2)
    exp = Experiment(paired.DATA, Both(), 2, 64, every=every, samples=3, runs=str(tmp_path))
    this = run("toys", exp, "both")
    samples = this.sample(3)
    np.testing.assert_allclose(samples["x"], 1.0 - samples["negative"], atol=1e-6)
    tile = 33  # pictures of 8 pixels, four times as large, and a line between
    assert this.picture(3).shape == (3 * tile - 1, 2 * tile - 1, 1)  # an output a column


# A run from a run: a flow on the codes of an autoencoder


INNER = Experiment(
    Digits(),
    Autoencoder(4, MLP((32,), Gelu()), MLP((32,), Gelu()), optimiser=Adam(3e-3)),
    steps=60,
    batch=64,
    every=Every(20, 0, 0, 60),
)


def latent_flow(runs: str) -> Experiment:
    flow = edit(
        named.FLOW, {"net": TimeMLP((16,), waves=0), "schedule": schedules.Times(steps=3)}
    )
    data = Encoded(edit(INNER, {"runs": runs}), "autoencoder", "inner")
    return Experiment(data, edit(flow, {"std": 1.0}), 4, 64, every=Every(2, 4, 4, 2), runs=runs)


@pytest.mark.all
def test_a_run_on_the_codes_of_another(tmp_path, capsys):
    exp = latent_flow(str(tmp_path))
    this = run("latent", exp, "base")
    assert this.spec.main == "code" and this.spec.shape == (4,) and this.spec.classes == 10
    assert np.std(this.source.train["code"]) == pytest.approx(1.0, abs=1e-3)
    assert this.source.picture(this.sample(4)).shape[2] == 1  # pictures of digits, not of codes
    assert (this.log.directory / "samples" / "00000004.png").exists()
    (inner,) = (tmp_path / "autoencoder").iterdir()
    capsys.readouterr()
    run("latent", exp, "base")
    told = capsys.readouterr().err
    assert told.count("resumed at") == 2 and "step 60/60" not in told  # neither is trained anew
    other = edit(exp, {"data.experiment.seed": 1})
    assert digest(other) != digest(exp)  # the digest holds that of the run that encodes
    assert digest(edit(exp, {"data.experiment.every.log": 7})) == digest(exp)
    assert inner.name.startswith("inner-")
    # opened it draws as in its training, wherever the two lie together; without the first run it draws codes
    moved = tmp_path / "moved"
    moved.mkdir()
    for folder in ("latent", "autoencoder"):
        (tmp_path / folder).rename(moved / folder)
    (place,) = (moved / "latent").iterdir()
    capsys.readouterr()
    samples = this.sample(4)
    opened = open_run(place)
    np.testing.assert_allclose(opened.sample(4), samples, atol=1e-5)
    np.testing.assert_array_equal(opened.picture(samples), this.source.picture(samples))
    assert not capsys.readouterr().err
    (moved / "autoencoder").rename(moved / "elsewhere")
    scattered = this.source.fields["code"].picture(samples)
    np.testing.assert_array_equal(open_run(place).picture(samples), scattered)
    told = capsys.readouterr().err
    assert "pictures are of codes, not of what they decode to" in told
    assert f"put it back to {moved / 'autoencoder' / inner.name}" in told


def test_codes_are_points_where_nothing_can_decode_them(tmp_path, capsys):
    data = latent_flow(str(tmp_path)).data
    codes = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    source = Source("codes", {"code": Points((4,))}, {"code": codes}, {}, {})
    for scale, why in (
        (None, "of an earlier release"),
        (2.0, "is not at hand: put it back to"),
    ):
        drawn = data.drawing(source._replace(scale=scale), tmp_path)
        for _ in range(2):
            np.testing.assert_array_equal(drawn(codes), Points((4,)).picture(codes))
        # told once
        (told,) = capsys.readouterr().err.splitlines()
        assert why in told


@dataclasses.dataclass(frozen=True)
class Filed:
    """Digits of a file: the config does not know what lies in it."""

    path: str = field("", "an .npz", execution=True)

    def load(self):
        digits = Digits().load()
        with np.load(self.path) as file:
            train = dict(file)
        return Source(digits.name, digits.fields, **{**digits.splits(), "train": train})


def test_codes_of_other_data_are_refused(tmp_path):
    path = tmp_path / "digits.npz"
    train = Digits().load().train
    np.savez(path, **train)
    changes = {"data": Filed(str(path)), "steps": 2, "every.save": 2, "runs": str(tmp_path)}
    data = Encoded(edit(INNER, changes), "autoencoder", "inner")
    before = data.load().train["code"]
    np.testing.assert_array_equal(data.load().train["code"], before)
    np.savez(path, **{**train, "image": 255 - train["image"]})
    with pytest.raises(
        UserError, match="inner-.* was trained on other data than digits holds now"
    ):
        data.load()


def test_bad_input(tmp_path):
    exp = latent_flow(str(tmp_path))
    with pytest.raises(UserError, match="--data.of is not set"):
        run("latent", edit(exp, {"data.of": ""}), "base")
    silent = dataclasses.replace(
        INNER, algorithm=classifier.ALGORITHM, steps=2, runs=str(tmp_path)
    )
    with pytest.raises(UserError, match="Reader has no codes"):
        run("latent", edit(exp, {"data.experiment": silent}), "base")
