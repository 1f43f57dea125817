"""Runs that go on: more steps than first asked for, and from another run's weights; and mistakes that leave nothing."""

import contextlib
import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.config import digest, edit, field
from genjax.core import Algorithm, Spec, averaged, example_normal, single
from genjax.data import Digits, Toy
from genjax.ema import Decay
from genjax.errors import UserError
from genjax.gan.gan import GAN
from genjax.nets import MLP
from genjax.optim import Adam, Constant, CosineDecay, StableDecay
from genjax.training import loop
from genjax.training.basis import code
from genjax.training.begin import Start
from genjax.training.experiment import Every, Experiment, directory
from genjax.training.preempt import alone


@dataclasses.dataclass(frozen=True)
class Halves(Constant):
    """A rate of a user's own, which says of itself what its base says, and does otherwise."""

    def __call__(self, lr, steps):
        return lambda count: jnp.where(count < steps // 2, lr, lr / 2)


@dataclasses.dataclass(frozen=True)
class Line:
    """A point that walks to the mean of noisy data, and `width` numbers that walk to 0."""

    width: int = field(3, "of what nobody asked for")
    optimiser: Adam = field(Adam(0.1), "optimiser")
    late: bool = field(False, "noise in the second half of the run alone")
    scaled: bool = field(False, "the first weights depend on the length of the run")
    nan: int = field(10**6, "the loss is NaN from this step on")

    def __call__(self, spec: Spec) -> Algorithm:
        def loss(params, key, batch, step):
            noise = example_normal(key, batch["index"], spec.shape)
            if self.late:
                noise = jnp.where(step > spec.steps / 2, noise, 0.0)
            x = batch["point"] + 0.1 * noise
            apart = jnp.sum(jnp.square(x - params["net"]["centre"]), -1)
            rest = jnp.sum(jnp.square(params["rest"]["many"]))
            return {"loss": jnp.where(step >= self.nan, jnp.nan, 1.0) * (apart + rest)}

        def init_params(key, batch):
            centre = jax.random.normal(key, spec.shape)
            if self.scaled:
                centre = centre * spec.steps
            return {"net": {"centre": centre}, "rest": {"many": jnp.ones(self.width)}}

        def evaluate(key, state, batch):
            return loss(averaged(state), key, batch, 0)

        def sample(key, state, given):
            noise = example_normal(key, given["index"], spec.shape)
            return averaged(state)["net"]["centre"] + noise

        init, step = single(
            init_params, loss, self.optimiser(spec.steps), ema=Decay(0.9, ramp=False)
        )
        return Algorithm(init, step, evaluate, sample)


EXP = Experiment(
    Toy(train=64, test=24),
    Line(),
    8,
    16,
    every=Every(log=4, evaluate=4, sample=4, save=4),
    samples=4,
)


def trained(home, changes):
    """The finished run of EXP with changes, and the run directory's files beside what tells times."""
    exp = edit(EXP, {"runs": str(home), **changes})
    this = loop.run("line", exp, "base")
    files = {}
    for path in sorted(this.log.directory.rglob("*")):
        if path.name == "metrics.jsonl" or path.suffix == ".png":
            files[str(path.relative_to(this.log.directory))] = path.read_bytes()
    return this, files


def report(this):
    return (this.log.directory / "report.html").read_text()


def same(a, b):
    return all(
        np.array_equal(x, y)
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


@pytest.mark.parametrize(
    "rate, steps, longer, begun",
    [
        (Constant(), 8, 16, 8),  # from its end
        (Constant(), 10, 16, 8),  # at 10 it has logged out of turn
        (StableDecay(0.5), 16, 24, 8),  # from where its rate began to fall
    ],
)
def test_a_longer_run_is_what_it_would_be_from_the_beginning(
    rate, steps, longer, begun, tmp_path, capsys
):
    changes = {"algorithm.optimiser.decay": rate}
    trained(tmp_path / "a", {**changes, "steps": steps})
    capsys.readouterr()
    ours, files = trained(tmp_path / "a", {**changes, "steps": longer})
    assert f"goes on from step {begun} of" in capsys.readouterr().err
    fresh, its = trained(tmp_path / "b", {**changes, "steps": longer})
    assert same(ours.state, fresh.state) and int(ours.state.step) == longer
    assert files == its and len(files) == 1 + longer // 4


@pytest.mark.parametrize(
    "changes, why",
    [
        (
            {"algorithm.optimiser.decay": CosineDecay()},
            "on the length from step 0 on (CosineDecay)",
        ),
        ({"algorithm.optimiser.decay": StableDecay(0.9)}, "from step 0 on (StableDecay)"),
        ({"algorithm.late": True}, "its training rule depends on the length of the run"),
        ({"algorithm.scaled": True}, "its training rule depends on the length of the run"),
        ({"algorithm.optimiser.decay": Halves()}, "its training rule depends on the length"),
    ],
)
def test_what_depends_on_the_length_begins_anew_and_says_so(changes, why, tmp_path, capsys):
    short, _ = trained(tmp_path / "a", changes)
    capsys.readouterr()
    ours, files = trained(tmp_path / "a", {**changes, "steps": 12})
    told = capsys.readouterr().err
    assert why in told and f"--start={short.log.directory}" in told
    fresh, its = trained(tmp_path / "b", {**changes, "steps": 12})
    assert same(ours.state, fresh.state) and files == its


def test_other_code_other_data_and_a_lost_checkpoint_are_nothing_to_go_on_from(
    tmp_path, capsys, monkeypatch
):
    trained(tmp_path, {})
    now = {**code(EXP), "Line": "another"}
    monkeypatch.setattr("genjax.training.longer.code", lambda exp: now)
    trained(tmp_path, {"steps": 12})
    assert "the code of Line has changed since" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr("genjax.training.longer.fingerprint", lambda source: "other")
    trained(tmp_path, {"steps": 16})
    assert "its data are not these" in capsys.readouterr().err
    monkeypatch.undo()
    # the longest that will do is taken, and of it the newest checkpoint that is as it was written
    longest, _ = trained(tmp_path, {"steps": 20})
    hurt = next((longest.log.directory / "checkpoints" / "20" / "state").rglob("*/*"))
    hurt.write_bytes(b"damaged")
    capsys.readouterr()
    trained(tmp_path, {"steps": 24})
    assert "goes on from step 16 of" in capsys.readouterr().err
    shutil.rmtree(longest.log.directory / "checkpoints")
    trained(tmp_path, {"steps": 28, "every.log": 1})
    assert "goes on from step 24 of" in capsys.readouterr().err


def test_a_stable_rate_stays_and_falls_in_a_line():
    rate = StableDecay(0.25, final=0.2)(2.0, 8)
    found = [float(rate(i)) for i in range(9)]
    np.testing.assert_allclose(found, [2.0] * 7 + [1.2, 0.4], rtol=1e-6)
    for wrong in (StableDecay(-0.1), StableDecay(1.1), StableDecay(final=2.0)):
        with pytest.raises(UserError, match="StableDecay: "):
            wrong(1.0, 8)


def test_a_run_begins_with_the_weights_of_another(tmp_path):
    first, _ = trained(tmp_path, {})
    where = str(first.log.directory)
    assert "point" in report(first) and "train 64" in report(first)  # what the data are
    changes = {"start": Start(where), "algorithm.optimiser.lr": 0.0, "steps": 4}
    later, _ = trained(tmp_path, changes)
    # at a rate of 0 they are what they were
    assert same(later.state.params, first.state.params)
    known = json.loads((later.log.directory / "config.json").read_text())["start"]
    of = f"{digest(first.exp)}@8"
    assert known["of"] == of and f"the weights of {of}" in report(later)
    # averages were taken over as well, and went on
    average = np.asarray(later.state.ema["net"]["centre"])
    old, target = (
        np.asarray(s["net"]["centre"]) for s in (first.state.ema, first.state.params)
    )
    np.testing.assert_allclose(average, target + (old - target) * 0.9**4, rtol=1e-4)
    # a moved run is the same one, another step of it is not
    moved = tmp_path / "moved"
    shutil.copytree(where, moved)
    exp = edit(later.exp, {"start": Start(str(moved))}).resolved()
    assert digest(exp) == digest(later.exp)
    assert digest(edit(exp, {"start": Start(where, 4)}).resolved()) != digest(exp)
    # one that is gone is not missed by who knows whose weights they were
    shutil.rmtree(where)
    again = loop.run("line", later.exp, "base")
    assert same(again.state, later.state)


@pytest.mark.all
def test_a_game_begins_with_the_weights_of_another(tmp_path):
    # its memory has empty parts: nothing is measured of a discriminator without spectral norms
    small = {"gen": MLP((8,)), "disc": MLP((8,)), "latent": 4, "every": 1}
    game = {"algorithm": GAN(**small), "data": Digits(), "steps": 4, "every.evaluate": 0}
    first, _ = trained(tmp_path, game)
    start = Start(str(first.log.directory))
    later, _ = trained(
        tmp_path, {**game, "start": start, "algorithm.optimiser.lr": 0.0, "seed": 1}
    )
    assert same(later.state.params["gen"], first.state.params["gen"])
    assert not same(later.state.params["disc"], first.state.params["disc"])


def test_shapes_that_do_not_fit_are_named_and_begin_anew_only_where_that_is_asked_for(
    tmp_path, capsys
):
    first, _ = trained(tmp_path, {})
    start = Start(str(first.log.directory))
    wider = {"algorithm.width": 5, "steps": 4, "algorithm.optimiser.lr": 0.0}
    fits = r"1 of 2 arrays fit \(of net\), 1 do not: rest/many is \[3\] there and \[5\] here"
    with pytest.raises(UserError, match=f"{fits}.*--start.partial=true"):
        trained(tmp_path, {**wider, "start": start})
    later, _ = trained(tmp_path, {**wider, "start": dataclasses.replace(start, partial=True)})
    assert "1 of 2 arrays fit" in capsys.readouterr().err
    assert same(later.state.params["net"], first.state.params["net"])
    np.testing.assert_array_equal(later.state.params["rest"]["many"], np.ones(5))


@pytest.mark.parametrize(
    "start, error",
    [
        ("nowhere", "--start=nowhere is not a run: there is no such folder"),
        (".", "is not a run: it holds no config.json"),
        (
            "RUN@3",
            r"no checkpoint to be read in .* \(step 3: it is not there\): there are 4, 8",
        ),
    ],
)
def test_no_run_to_start_from(start, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, _ = trained(tmp_path / "a", {})
    start = Start.of_text(start.replace("RUN", str(first.log.directory)))
    with pytest.raises(UserError, match=error):
        trained(tmp_path / "b", {"start": start})
    assert not (tmp_path / "b").exists()
    assert Start.of_text("a@b") == Start("a@b") and Start.of_text("a@7") == Start("a", 7)


def test_after_a_stop_for_nan_the_checkpoint_is_offered(tmp_path):
    changes = {"steps": 40, "algorithm.nan": 6, "runs": str(tmp_path)}
    exp = edit(EXP, changes)
    where = directory(exp, "line", "base").absolute()
    with pytest.raises(
        UserError, match=f"go on from the intact checkpoint by --start={where}@"
    ):
        loop.run("line", exp, "base")
    where = directory(edit(exp, {"algorithm.nan": 0}), "line", "base")
    with pytest.raises(
        UserError, match=r"clip=1\.$"
    ):  # nothing was saved, so nothing is offered
        loop.run(
            "line", edit(exp, {"algorithm.nan": 0, "every": Every(100, 0, 0, 100)}), "base"
        )
    assert not where.exists()


def test_who_loses_the_lock_leaves_the_directory_of_the_other(tmp_path, monkeypatch):
    exp = edit(EXP, {"runs": str(tmp_path)})
    place = directory(exp, "line", "base")
    with contextlib.ExitStack() as other:

        def made(path):  # by another process, after it was seen that there is none
            path.mkdir(parents=True)
            other.enter_context(alone(path))
            return path

        monkeypatch.setattr(loop, "make_directory", made)
        with pytest.raises(UserError, match="in use by another process"):
            loop.run("line", exp, "base")
        assert (place / "lock").exists()


@pytest.mark.parametrize(
    "changes",
    [{"batch": 65}, {"algorithm.optimiser.b1": 1.5}, {"steps": 0}, {"data": Toy(train=0)}],
    ids=str,
)
def test_mistakes_leave_no_directory_behind(changes, tmp_path):
    home = tmp_path / "new" / "runs"
    with pytest.raises(UserError):
        trained(home, changes)
    assert not home.parent.exists()
    # what was there before stays
    (home / "line").mkdir(parents=True)
    with pytest.raises(UserError):
        trained(home, changes)
    assert [p.name for p in home.rglob("*")] == ["line"]


def test_a_home_directory_is_found_by_its_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    this, _ = trained("~/runs", {"steps": 4})
    assert (
        this.log.directory.is_relative_to(tmp_path / "runs") and not (tmp_path / "~").exists()
    )
