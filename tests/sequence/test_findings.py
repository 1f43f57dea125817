"""What the findings of text count, against the sum over all sequences and a search by hand."""

import itertools

import numpy as np
import pytest

from experiments.text import EXPERIMENTS
from genjax.config import edit
from genjax.data import HiddenChain
from genjax.data.chains import log_likelihood
from genjax.errors import UserError
from genjax.findings.text import Infilling, Written, longest_copy, ngram_law
from genjax.training.loop import run


def test_the_law_of_ngrams_is_the_likelihood_of_each():
    law = HiddenChain(3, 4).law()
    every = np.array(list(itertools.product(range(4), repeat=3)))
    np.testing.assert_allclose(ngram_law(law, 3), np.exp(log_likelihood(law, every)))


def test_the_longest_copy_is_found():
    source = b"the cat sat on the mat"
    assert longest_copy(b"a cat sat in", source) == len(b" cat sat ")
    assert longest_copy(b"zzz", source) == 0 and longest_copy(source, source) == len(source)


@pytest.mark.parametrize("name", ["base", "masked"])
def test_a_run_on_a_chain_ends_with_its_entropy(name, tmp_path):
    changes = {"steps": 2, "batch": 8, "every.sample": 0, "every.save": 2, "samples": 4}
    small = {"data.train": 64, "data.test": 64, "data.length": 6, "data.vocabulary": 3}
    net = {"algorithm.net.width": 8, "algorithm.net.depth": 1, "algorithm.net.heads": 2}
    exp = edit(EXPERIMENTS[name], {**changes, **small, **net, "runs": str(tmp_path)})
    exp = edit(exp, {"algorithm.optimiser.warmup": 1})
    first = exp.finish[0]
    finish = (type(first)(samples=64), *exp.finish[1:])
    this = run("text", edit(exp, {"finish": finish, "chunk": 1}), name)
    found = first.__class__(samples=0)(this)
    # hardly trained, it costs more than the law
    assert found["excess"] == pytest.approx(found["bits"] - found["entropy"], abs=1e-6)
    assert found["excess"] > 0.05


@pytest.mark.parametrize(
    "finding, told",
    [(Written(), "needs bytes of text"), (Infilling(), "needs a chain and a model of masks")],
)
def test_findings_refuse_what_they_cannot_measure(finding, told):
    exp = edit(EXPERIMENTS["base"], {"data.train": 8, "data.test": 8})
    with pytest.raises(UserError, match=told):
        finding.check(exp, exp.data.load())
