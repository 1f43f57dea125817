"""Metrics of samples in the loop: what they are of, the best state, and a resumed run that knows it."""

import dataclasses
import json
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from genjax.conditions import asks
from genjax.config import edit, field
from genjax.core import LOSS, UP, Algorithm, Criterion, Spec, State, example_normal
from genjax.data import Digits, Toy
from genjax.errors import UserError
from genjax.metrics.evaluate import (
    Cas,
    DensityCoverage,
    Frechet,
    InceptionScore,
    Kernel,
    Memorisation,
    PrecisionRecall,
    Recognition,
    Seen,
    floors,
    measured,
    names,
)
from genjax.metrics.features import Pixels
from genjax.training import loop as train
from genjax.training.experiment import Every, Experiment
from genjax.training.watch import Watch

ALL = (
    Frechet(),
    Kernel(),
    PrecisionRecall(),
    DensityCoverage(),
    Memorisation(),
    InceptionScore(),
    Recognition(),
    Cas(),
)
LABEL = np.arange(400) % 4


def scene(key: int, shift: float = 0.0, label=LABEL) -> Seen:
    """Four well separated classes of points in 6 dimensions; the logits are right."""
    rng = np.random.default_rng(key)
    x = 0.4 * rng.standard_normal((len(label), 6)) + 4.0 * np.eye(6)[label] + shift
    return Seen((x + 4.0).reshape(-1, 2, 3, 1) / 12.0, label, x, 9.0 * np.eye(4)[label])


TRAIN, REAL = scene(0, label=np.arange(1200) % 4), scene(1)
FLOOR = floors(ALL, TRAIN, REAL, "x")


def test_a_floor_at_another_number_is_refused():
    few = TRAIN.rows(slice(399))
    with pytest.raises(ValueError, match="there are 399 and 400: measure 399 samples or fewer"):
        floors((Kernel(),), few, REAL, "x")


def values(samples: Seen) -> dict:
    return measured(ALL, TRAIN, REAL, samples, "x", FLOOR)


def test_fresh_data_are_at_the_floor_and_inside_their_intervals():
    found = values(scene(2))
    assert set(found) == set(names(ALL, "x")) == set(FLOOR) and all(
        v.n == 400 for v in found.values()
    )
    assert (
        found["fd_x"].value == pytest.approx(found["fd_x"].floor, rel=1.0)
        and found["fd_x"].value < 0.2
    )
    for name in ("precision_x", "recall_x", "coverage_x", "density_x", "cas", "recognised_x"):
        assert found[name].value == pytest.approx(found[name].floor, abs=0.12), name
    assert found["cas"].value > 0.98 and found["recognised_x"].value == 1.0
    assert found["is_x"].value == pytest.approx(4.0, rel=0.01)
    assert abs(found["closer_x"].value - 0.5) < 0.08 and abs(found["copying_x"].value) < 4.0
    for name, v in found.items():
        assert v.low is None or v.low <= v.value <= v.high, name


def test_what_is_wrong_with_samples_shows():
    fresh, copies = values(scene(2)), values(TRAIN.rows(slice(400)))
    assert (
        copies["authpct_x"].value == 0.0
        and copies["copying_x"].value < -10
        and copies["closer_x"].value > 0.6
    )
    noisy = scene(2)
    shifted, dropped = values(scene(2, 0.5)), values(scene(2, label=LABEL % 2))
    assert (
        shifted["fd_x"].value > 10 * fresh["fd_x"].value
        and shifted["precision_x"].value < fresh["precision_x"].value
    )
    assert (
        dropped["recall_x"].value < 0.55
        and dropped["coverage_x"].value < 0.55
        and dropped["is_x"].value < 2.1
    )
    wrong = values(noisy._replace(label=(LABEL + 1) % 4))
    assert wrong["recognised_x"].value == 0.0 and wrong["cas"].value < 0.05


@dataclasses.dataclass(frozen=True)
class Drift:
    """Samples are grey images whose level is (step - 20)² / 1000 off the data's mean: best at step 20."""

    condition: tuple = field((), "asked for by some metrics")
    spread: float = field(0.3, "of the noise of samples", execution=True)

    def __call__(self, spec: Spec) -> Algorithm:
        def init(key, batch):
            return State(
                jnp.zeros((), jnp.int32), {"net": {"level": jnp.zeros(())}}, {}, {}, {}
            )

        def step(key, state, batch, axis=None):
            off = jnp.square(state.step + 1.0 - 20.0) / 1000.0
            return state.replace(step=state.step + 1, params={"net": {"level": off}}), {
                "loss": off,
                "grad_norm": off,
            }

        def evaluate(key, state, batch):
            return {
                "loss": jnp.broadcast_to(state.params["net"]["level"], batch["index"].shape)
            }

        def sample(key, state, given):
            return (
                0.3
                + state.params["net"]["level"]
                + self.spread * example_normal(key, given["index"], spec.shape)
            )

        return Algorithm(
            init, step, evaluate, sample, asks=asks(self.condition), criterion=LOSS
        )


BASE = Experiment(
    data=Digits(),
    algorithm=Drift(),
    steps=40,
    batch=8,
    every=Every(log=10, evaluate=10, sample=0, save=15),
    watch=Watch((Frechet(),), every=10, extractor=Pixels(), best="fd_pixels", samples=200),
)


def run(tmp_path: Path, **changes) -> train.Run:
    return train.run("drift", edit(BASE, {"runs": str(tmp_path), **changes}), "base")


def lines(this: train.Run, name: str) -> dict[int, float]:
    found = [
        json.loads(line)
        for line in (this.log.directory / "metrics.jsonl").read_text().splitlines()
    ]
    return {line["step"]: line[name] for line in found if name in line}


def test_the_best_state_is_kept_and_the_curve_written(tmp_path):
    this = run(tmp_path)
    curve = lines(this, "samples/fd_pixels")
    assert list(curve) == [10, 20, 30, 40] and min(curve, key=curve.get) == 20
    step, state = this.best()
    assert step == 20 and float(state.params["net"]["level"]) == 0.0
    assert this.log.result("best") == {
        "fd_pixels": {"step": 20, "value": pytest.approx(curve[20])}
    }
    final = this.log.result("metrics")["fd_pixels"]
    assert (
        final["value"] == pytest.approx(curve[40])
        and final["n"] == 200
        and final["low"] < final["value"]
    )
    assert final["floor"] < curve[20]


def test_a_model_that_diverged_is_measured_as_nan_and_is_never_the_best(tmp_path):
    this = run(tmp_path, steps=20)
    label = np.zeros(200, np.int32)
    found = this.measure(np.full((200, 8, 8, 1), np.nan, np.float32), label)["fd_pixels"]
    assert math.isnan(found.value) and found.low is None and found.n == 200 and found.floor > 0
    watch = this.exp.watch
    assert not watch.better(math.nan, None) and watch.better(1.0, None)
    assert (
        watch.better(0.5, 1.0)
        and not watch.better(1.5, 1.0)
        and not watch.better(math.nan, 1.0)
    )


def test_the_best_by_the_loss_needs_no_metric(tmp_path):
    this = run(tmp_path, **{"watch": Watch(best="loss")})
    assert this.best()[0] == 20 and this.log.result("metrics") is None


@dataclasses.dataclass(frozen=True)
class Rising(Drift):
    """The same with a score in the place of the loss, of which more is better."""

    score: str = field("score", "its name in the summary")

    def __call__(self, spec: Spec) -> Algorithm:
        drift = super().__call__(spec)

        def evaluate(key, state, batch):
            return {self.score: -drift.evaluate(key, state, batch)["loss"]}

        return drift._replace(evaluate=evaluate, criterion=Criterion("score", UP))


def test_an_algorithm_names_its_criterion_and_its_better_way(tmp_path):
    watch = Watch(best="score")
    this = run(tmp_path, algorithm=Rising(), watch=watch)
    assert this.best()[0] == 20
    # one that has no loss is not kept by it, in silence
    with pytest.raises(UserError, match="--watch.best=loss is no number.*choose from score"):
        run(tmp_path, algorithm=Rising(), watch=Watch(best="loss"))
    with pytest.raises(UserError, match="evaluation gives points and no score"):
        run(tmp_path, algorithm=Rising(score="points"), watch=watch)


def test_a_run_that_was_stopped_after_its_best_state_knows_it(tmp_path):
    whole = run(tmp_path / "a")
    exp = edit(BASE, {"runs": str(tmp_path / "b")})
    this, checkpoints = train.start(exp, "drift", "base")
    taken = 0

    def stop(*args):
        nonlocal taken
        taken += 1
        if taken == 3:
            raise KeyboardInterrupt
        return quality()

    quality = this.quality
    this.quality = stop  # at step 30, after the best state of step 20; the last checkpoint is that of step 15
    with pytest.raises(KeyboardInterrupt):
        train.train(this, checkpoints)
    this.log.close()
    checkpoints.close()
    resumed = run(tmp_path / "b")
    assert resumed.best()[0] == 20
    for name in ("metrics.jsonl", "results.json"):
        assert (resumed.log.directory / name).read_bytes() == (
            whole.log.directory / name
        ).read_bytes()


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"watch.samples": 400},
            "--watch.samples=400 is more than the 360 held-out examples.*use 360 or fewer",
        ),
        (
            {"watch.samples": 64},
            "--watch: a Fréchet distance on 64 features needs more than 64 examples, got 64",
        ),
        (
            {"watch.best": "fid"},
            "--watch.best=fid is no number.*: choose from fd_pixels, loss",
        ),
        (
            {"watch.every": 0},
            "--watch.best=fd_pixels is no number.*: set --watch.every too",
        ),
        (
            {"watch.metrics": (Memorisation(),), "watch.best": "closer_pixels"},
            "no number with a best that training measures: choose from loss",
        ),
        ({"watch.every": -1}, "--watch.every=-1 must be at least 0"),
        (
            {"watch.metrics": (Cas(),), "watch.best": None},
            "Cas needs samples of a class that was asked for",
        ),
        (
            {"watch.metrics": (InceptionScore(),), "watch.best": None},
            "an Inception score needs a classifier's outputs",
        ),
        ({"data": Toy(train=64, test=64)}, "are of images and the examples have shape"),
    ],
    ids=str,
)
def test_bad_input(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, **changes)
    assert not list(tmp_path.glob("*/*/checkpoints/*"))
