"""Answers to instructions: numbers and floors by hand, what the model is told, and what is refused."""

import functools

import jax
import numpy as np
import pytest

from experiments import instruct
from genjax.config import edit
from genjax.core import Spec
from genjax.data import Digits
from genjax.data.spoken import InstructedHeads
from genjax.errors import UserError
from genjax.fields import Tokens
from genjax.findings.instructed import Instructed, Judge, measured, moved, over, parts
from genjax.metrics.reader import Read
from genjax.training.loop import run

NAMES = ("age=young", "age=old", "mood=smiling", "mood=not")
QUICK = instruct.EXPERIMENTS["quick"]


def judge(answers) -> Judge:
    """A reader that says the same whatever it sees."""

    def read(pictures):
        return Read(None, None, np.asarray(answers, float), None)

    return Judge(
        read, NAMES, ("en", "ar"), ("older", "smile"), ("wording seen", "wording unseen")
    )


def rows() -> dict[str, np.ndarray]:
    """Four pictures of two people: of the first two the age is asked, of the others a smile."""
    return {
        "image": np.full((4, 2, 2, 1), 100, np.uint8),
        "attributes": np.array([[0, 1, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 1, 0]]),
        "said": np.array([[1, 1, 0, 0]] * 2 + [[0, 0, 1, 1]] * 2),
        "language": np.array([0, 1, 0, 0]),
        "wording": np.array([0, 0, 1, 1]),
        "edit": np.array([0, 0, 1, 1]),
        "person": np.array([5, 5, 7, 5]),
    }


def test_what_was_asked_and_what_was_not_are_told_apart():
    # ages read as old, old, old, old; smiling, smiling, smiling, not
    read = [[0.1, 0.9, 0.8, 0.1]] * 3 + [[0.1, 0.9, 0.1, 0.8]]
    pictures = (
        np.full((4, 2, 2, 1), 100 / 255) + np.array([0.1, 0.1, 0.01, 0.01])[:, None, None, None]
    )
    found = measured(judge(read), pictures, rows())
    assert found["asked"].value == 3 / 4 and found["kept"].value == 2 / 4
    assert found["psnr"].value == pytest.approx(30.0, abs=1e-3)
    assert found["smile, psnr"].value == pytest.approx(40.0, abs=1e-3)
    assert found["smile, asked"].value == 1 / 2 and found["en, asked"].value == 2 / 3
    # of one person there is no interval
    assert "older, asked" not in found and found["en, asked"].n == 3
    assert {"wording unseen", "en, wording unseen"} <= set(parts(judge(read), rows()))


def test_intervals_are_over_people():
    person = np.repeat(np.arange(10), 20)
    same = np.repeat(np.arange(10) % 2, 20).astype(float)
    value, low, high, n = over(same, person)
    assert value == 0.5 and n == 200
    # 200 independent rows would have .07 to either side
    assert high - low > 0.4


def test_the_floor_is_the_mean_change_of_the_same_instruction():
    train = {
        "input": np.zeros((3, 1, 1, 1), np.uint8),
        "image": np.array([51, 153, 255], np.uint8).reshape(3, 1, 1, 1),
        "edit": np.array([0, 0, 4]),
    }
    given = np.array([0.1, 0.9, 0.2, 0.3]).reshape(4, 1, 1, 1)
    found = moved(given, np.array([0, 0, 4, 2]), train)
    # 0.4 on the mean, cut to the range; 1; an instruction that training has not
    np.testing.assert_allclose(found.ravel(), [0.5, 1.0, 1.0, 0.3])


def test_data_and_models_that_cannot_be_measured():
    finding = QUICK.finish[0]
    with pytest.raises(UserError, match="digits has no field 'input'"):
        finding.check(QUICK, Digits().load())

    class Source:
        name, main = "faces", "image"
        fields = InstructedHeads(8).fields() | dict.fromkeys(
            ("caption", "said", "language", "wording")
        )

    finding.check(QUICK, Source)
    one = edit(QUICK, {"algorithm": instruct.EXPERIMENTS["one"].algorithm})
    with pytest.raises(UserError, match="Palette is not guided by a picture and by words"):
        finding.check(one, Source)
    Instructed().check(one, Source)
    frozen = edit(QUICK, {"algorithm.model.net.frozen": True})
    with pytest.raises(UserError, match="--algorithm.model.net.frozen=true keeps an encoder"):
        finding.check(frozen, Source)
    with pytest.raises(UserError, match="samples=1 must be at least 2"):
        Instructed(samples=1).check(QUICK, Source)


@pytest.mark.parametrize(
    "name",
    [
        n if n == "base" else pytest.param(n, marks=pytest.mark.all)
        for n in instruct.EXPERIMENTS
    ],
)
def test_every_config_traces_a_step_and_an_answer(name):
    exp = instruct.EXPERIMENTS[name]
    cfg = edit(exp.algorithm, {"model.net.encoder.depth": 1})
    fields = {**InstructedHeads(16).fields(), "caption": Tokens(80, 256)}
    algorithm = cfg(Spec(tuple(fields.items()), 10))
    assert algorithm.asks == ("input", "caption", "image")
    batch = {
        "image": np.zeros((8, 16, 16, 3), np.uint8),
        "index": np.arange(8, dtype=np.uint32),
    }
    batch |= {"input": batch["image"], "caption": np.ones((8, 80), np.int32)}

    def one(key):
        state, metrics = algorithm.step(key, algorithm.init(key, batch), batch)
        return metrics, algorithm.sample(key, state, batch)

    metrics, x = jax.eval_shape(one, jax.random.key(0))
    assert x.shape == (8, 16, 16, 3) and "grad_norm" in metrics


@pytest.mark.all
@pytest.mark.parametrize("name", ["quick", "one"])
def test_the_experiment_trains_and_answers(name, tmp_path, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    changes = {"algorithm.model.guidance": instruct.EXPERIMENTS[name].algorithm.model.guidance}
    exp = edit(QUICK, {"runs": str(tmp_path / "runs")})
    if name == "one":
        more = {"algorithm.guided": False, "algorithm.model.alone": 0.0}
        exp = edit(exp, {**more, **changes, "finish.Instructed.scales": ()})
    this = functools.partial(run, "instruct")(exp, name)
    told = {
        row: this.log.result(f"instructed: {row}")
        for row in ("truth", "nothing", "mean change")
    }
    # of the true pictures nothing is missing but what the reader cannot see
    assert told["truth"]["psnr"]["value"] > 90 > told["nothing"]["psnr"]["value"]
    ours = "answers" if name == "one" else "picture 1.5, words 2"
    assert 0 <= this.log.result(f"instructed: {ours}")["kept"]["value"] <= 1
    assert (this.log.directory / "samples" / "instructed.png").exists()
