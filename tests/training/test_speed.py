"""The share of the machine's peak that a run reaches, where that is known; a warm-up that is cut off."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from genjax.config import field
from genjax.core import Algorithm, Spec, single
from genjax.data import Toy
from genjax.ema import Decay
from genjax.machine import chips
from genjax.machine.chips import Rates
from genjax.optim import Adam
from genjax.training import loop
from genjax.training.experiment import Every, Experiment
from genjax.training.task import bind, fastest, unreached

WIDTH, BATCH = 64, 32
# the products of a step: the point with the kernel, forward and for the kernel's gradient; and the gradient's norm
ROUNDED = 2 * (2 * BATCH * 2 * WIDTH)
EXACT = 2 * 2 * WIDTH


@dataclasses.dataclass(frozen=True)
class Product:
    """One product of matrices."""

    optimiser: Adam = field(Adam(0.1, warmup=8), "optimiser")
    turns: int = field(0, "of which the first does nothing")

    def __call__(self, spec: Spec) -> Algorithm:
        def init_params(key, batch):
            return {"net": {"kernel": jnp.ones((2, WIDTH))}}

        def loss(params, key, batch, step):
            return {"loss": jnp.sum(batch["point"] @ params["net"]["kernel"], -1)}

        def still(key, state, batch, axis=None):
            return state.replace(step=state.step + 1), {"loss": jnp.zeros(())}

        init, step = single(init_params, loss, self.optimiser(spec.steps), Decay(0.0))
        cycle = (still, *(self.turns - 1) * (step,))
        return Algorithm(init, step, None, cycle=cycle if self.turns else ())


def experiment(**changes):
    whole = {"data": Toy(), "algorithm": Product(), "steps": 4, "batch": BATCH}
    return Experiment(**{**whole, "every": Every(2, 0, 0, 4), **changes})


@pytest.fixture
def known(monkeypatch):
    """The CPU has a peak."""
    monkeypatch.setitem(chips.RATES, jax.devices()[0].device_kind, Rates(9e99, 1e9, 1e8))


@pytest.fixture(scope="module")
def source():
    return Toy().load()


def of(source, **changes):
    exp = experiment(**changes)
    _, algorithm = bind(exp, source)
    example = {"point": jnp.zeros((1, 2)), "index": jnp.zeros(1, jnp.uint32)}
    state = jax.eval_shape(algorithm.init, jax.random.key(0), example)
    return fastest(exp, source, algorithm, state)


def test_the_least_time_of_a_step_is_that_of_its_products(known, source):
    one = ROUNDED / 1e9 + EXACT / 1e8
    assert of(source) == pytest.approx(one)
    # of four turns three take it
    assert of(source, algorithm=Product(turns=4)) == pytest.approx(0.75 * one)
    # two devices share the batch
    two = SimpleNamespace(devices=jax.devices, ways=lambda: 2)
    assert of(source, layout=two) == pytest.approx(one / 2)


def test_of_a_machine_without_a_known_peak_nothing_is_told(source):
    assert of(source) is None


def test_a_run_tells_its_share_of_the_peak(known, tmp_path, capsys):
    this = loop.run("product", experiment(runs=str(tmp_path), finish=()), "base")
    text = (this.log.directory / "speed.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == 2
    for line in lines:
        # operations of a step x steps a second / peak
        share = ROUNDED * line["steps/s"] / 1e9 + EXACT * line["steps/s"] / 1e8
        assert line["mfu"] == pytest.approx(share)
    told = capsys.readouterr().err
    assert told.count(" % of peak | ") == 2
    assert (
        "the warm-up is longer than the run: the learning rate gets to 50 % of its peak" in told
    )


def test_a_warm_up_within_the_run_is_nothing_to_tell():
    assert unreached(experiment(steps=8)) is None
    assert "--algorithm.optimiser.warmup=8, --steps=7" in unreached(experiment(steps=7))
    assert unreached(experiment(algorithm=SimpleNamespace())) is None
