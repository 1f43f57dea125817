"""A trained detector of texts: its contract, and how near the best test it comes, by the sum over all texts."""

import jax
import numpy as np
import pytest

from genjax.audit import best, words
from genjax.audit.words import TextDetector
from genjax.core import Spec
from genjax.data.chains import Chain, draw, log_likelihood
from genjax.errors import UserError
from genjax.fields import Category, Image, Tokens
from genjax.nets.evidence import TokenEvidence
from genjax.optim import Adam

SPEC = Spec((("tokens", Tokens(5, 3)), ("label", Category(2))))
CFG = TextDetector(TokenEvidence(16, 1, 3, 4), Adam(1e-2))


def batch(n: int) -> dict:
    rng = np.random.default_rng(0)
    laws = (Chain(3, 5).law(), Chain(3, 5, seed=1).law())
    x = np.concatenate([draw(law, rng, n // 2, 5) for law in laws])
    label = np.repeat([0, 1], n // 2).astype(np.int32)
    return {"tokens": x, "label": label, "index": np.arange(n, dtype=np.uint32)}


@pytest.fixture(scope="module")
def trained():
    algorithm = CFG(SPEC)
    key, examples = jax.random.key(0), batch(1024)
    state = jax.jit(algorithm.init)(key, examples)
    evaluate = jax.jit(algorithm.evaluate)
    first = evaluate(key, state, examples)
    step = jax.jit(algorithm.step)
    for _ in range(150):
        state, metrics = step(key, state, examples)
    return algorithm, first, state, metrics, evaluate(key, state, examples)


def evidence(state, x):
    say = jax.jit(lambda params, x: words.evidence(params, {"tokens": x}, CFG, SPEC))
    return np.asarray(say(state.params, x), np.float64)


def test_it_comes_near_the_best_test_and_is_never_better(trained):
    """By the sum over all texts: no draw of a test can favour either."""
    x = best.every(3, 5)
    laws = [Chain(3, 5, seed=i).law() for i in (0, 1)]
    p, q = (np.exp(log_likelihood(law, x)) for law in laws)
    found = best.ranked(p, q, evidence(trained[2], x))
    bar = best.best(*laws, 5)
    assert bar.auroc - 0.01 < found.auroc <= bar.auroc
    assert bar.precision - 0.01 < found.precision <= bar.precision


def test_it_is_an_algorithm_without_samples(trained):
    algorithm, first, _, metrics, last = trained
    assert algorithm.sample is None and {"loss", "accuracy", "grad_norm"} <= set(metrics)
    # nothing is known at the start, and then something
    np.testing.assert_allclose(first["loss"], np.log(2.0), rtol=1e-6)
    told = algorithm.summary(last)
    assert told["loss"] < 0.6 < told["auroc"] and set(told) == {"loss", "accuracy", "auroc"}
    real = {name: values[:8] for name, values in last.items()}
    assert "auroc" not in algorithm.summary(real)


def test_evidence_of_places_that_are_far_apart_adds_up(trained):
    text = np.array([0, 1, 2, 2, 2, 2, 1, 1, 0])
    x = np.stack([text] * 4)
    # each place sees one neighbour on each side: the ends never meet
    x[[1, 3], 0] = 2
    x[[2, 3], 8] = 2
    a, b, c, d = evidence(trained[2], x)
    assert d - c == pytest.approx(b - a, abs=1e-4) and b != a


@pytest.mark.parametrize(
    "fields, message",
    [
        ((("image", Image((8, 8, 1))), ("label", Category(2))), "TextDetector"),
        ((("tokens", Tokens(5, 3)), ("label", Category(3))), "3 classes: give a field 'label'"),
        ((("tokens", Tokens(5, 3)),), "0 classes: give a field 'label'"),
    ],
)
def test_other_data_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        CFG(Spec(fields))


def test_a_window_has_a_middle():
    net = TextDetector(TokenEvidence(window=4))
    with pytest.raises(UserError, match="window=4 has no middle"):
        jax.eval_shape(net(SPEC).init, jax.random.key(0), batch(4))
