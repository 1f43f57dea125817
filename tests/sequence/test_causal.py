"""The causal model: nothing is seen ahead, kept keys change nothing, and a chain's law is learned."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.conditions import Label, blank
from genjax.config import edit
from genjax.core import State, example_keys, labelled
from genjax.draws import Sharpness
from genjax.errors import UserError
from genjax.fields import Image, Tokens
from genjax.nets.attention import attend
from genjax.nets.transformer import Transformer
from genjax.sequence import causal
from genjax.sequence.causal import Causal, counted

NET = Transformer(16, 2, 2)
SPEC = labelled(Tokens(6, 5), 3, name="tokens")
B = 8
# one program instead of one for each operation
of = functools.partial(jax.jit, static_argnames=("cfg", "spec"))
logits, loss = of(causal.logits), of(causal.loss)
sample, trained = of(causal.sample), of(causal.trained)
BATCH = {
    "tokens": np.random.default_rng(0).integers(0, 5, (B, 6)).astype(np.int32),
    "label": np.arange(B, dtype=np.int32) % 3,
    "index": np.arange(B, dtype=np.uint32),
}


@pytest.fixture(scope="module")
def params():
    """Random ones: those of a start give every token the same logits."""
    start = jax.eval_shape(CFG(SPEC).init, jax.random.key(0), BATCH).params
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: np.float32(0.5 * rng.standard_normal(x.shape)), start)


CFG = Causal(NET, condition=(Label(),))
COND = Label()(BATCH, SPEC)


def test_causal_attention_is_the_softmax_over_what_lies_before():
    q, k, v = (np.random.default_rng(i).normal(size=(2, 5, 3, 4)) for i in range(3))
    found = attend(*(jnp.asarray(x, jnp.float32) for x in (q, k, v)), causal=True)
    for i in range(5):
        scores = np.einsum("bhd,blhd->bhl", q[:, i], k[:, : i + 1]) / 2.0
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        expected = np.einsum("bhl,blhd->bhd", weights, v[:, : i + 1])
        np.testing.assert_allclose(found[:, i], expected, atol=1e-5)


def test_no_token_is_seen_before_its_turn(params):
    x = jnp.asarray(BATCH["tokens"])
    before = logits(params, x, COND, CFG, SPEC)
    changed = logits(params, x.at[:, 3].set((x[:, 3] + 1) % 5), COND, CFG, SPEC)
    np.testing.assert_allclose(before[:, :4], changed[:, :4], atol=1e-5)
    assert np.abs(before[:, 4:] - changed[:, 4:]).max() > 1e-2


def test_kept_keys_give_the_logits_of_the_whole_text(params):
    x = jnp.asarray(BATCH["tokens"])
    whole = logits(params, x, COND, CFG, SPEC)
    cache = NET.empty(B, 6)
    last = jnp.full(B, 5)
    step = jax.jit(
        lambda last, cache, at: NET.apply(
            {"params": params["net"]}, last[:, None], COND, 5, True, cache=cache, at=at
        )
    )
    for t in range(6):
        said, cache = step(last, cache, t)
        np.testing.assert_allclose(said[:, 0], whole[:, t], atol=1e-5)
        last = x[:, t]


def test_samples_follow_the_model(params):
    """Texts of two tokens: the counts of all 25 against their exact probability."""
    spec = labelled(Tokens(2, 5), 3, name="tokens")
    n = 4000
    given = {"index": np.arange(n, dtype=np.uint32), "label": np.ones(n, np.int32)}
    drawn = sample(params, jax.random.key(2), given, CFG, spec)
    every = np.stack(np.meshgrid(range(5), range(5), indexing="ij"), -1).reshape(25, 2)
    batch = {"tokens": every, "label": np.ones(25, np.int32)}
    p = 2.0 ** -np.asarray(loss(params, batch, CFG, spec)["text"], np.float64)
    assert p.sum() == pytest.approx(1.0, abs=1e-5)
    counts = np.bincount(np.asarray(drawn) @ [5, 1], minlength=25)
    assert stats.chisquare(counts, n * p / p.sum()).pvalue > 1e-3


def test_dropout_hides_by_the_example_and_in_training_alone(params):
    cfg = edit(CFG, {"net.dropout": 0.5})
    keys = example_keys(jax.random.key(0), jnp.arange(B))
    hidden, turned = (
        loss(params, BATCH, cfg, SPEC, None, each)["loss"] for each in (keys, keys[::-1])
    )
    assert (np.asarray(hidden) != np.asarray(turned)).all()
    # one text by itself: what is hidden of it does not depend on its batch
    alone = {name: values[:1] for name, values in BATCH.items()}
    np.testing.assert_allclose(
        loss(params, alone, cfg, SPEC, None, keys[:1])["loss"], hidden[:1], rtol=1e-5
    )
    whole = loss(params, BATCH, cfg, SPEC)["loss"]
    np.testing.assert_array_equal(whole, loss(params, BATCH, CFG, SPEC)["loss"])


def test_guided_texts_follow_the_power_law_of_each_token(params):
    """p(x_t | c)^s p(x_t)^(1 - s), normalised for each token, by the logits of whole texts; scale 1 changes nothing."""
    spec = labelled(Tokens(2, 5), 3, name="tokens")
    n = 4000
    given = {"index": np.arange(n, dtype=np.uint32), "label": np.ones(n, np.int32)}

    def drawn(scale):
        cfg = edit(CFG, {"drop": 0.1, "guidance.scale": scale})
        return np.asarray(sample(params, jax.random.key(2), given, cfg, spec))

    every = np.stack(np.meshgrid(range(5), range(5), indexing="ij"), -1).reshape(25, 2)
    batch = {"label": np.ones(25, np.int32), "index": np.arange(25)}
    said = []
    for cond in (Label()(batch, spec), blank((Label(),), batch, spec)):
        found = logits(params, jnp.asarray(every), cond, CFG, spec)
        said.append(np.asarray(jax.nn.log_softmax(found), np.float64))
    law = 2.0 * said[0] - 1.0 * said[1]
    p = np.exp(law) / np.exp(law).sum(-1, keepdims=True)
    each = np.take_along_axis(p, every[..., None], -1)[..., 0].prod(1)
    counts = np.bincount(drawn(2.0) @ [5, 1], minlength=25)
    likely = n * each > 5
    observed = np.append(counts[likely], counts[~likely].sum() + 1e-9)
    wanted = n * np.append(each[likely], each[~likely].sum() + 1e-9 / n)
    assert stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 1e-3
    plain = sample(params, jax.random.key(2), given, CFG, spec)
    np.testing.assert_array_equal(drawn(1.0), plain)


def test_conditions_are_hidden_from_a_share_of_training(params):
    cfg = edit(CFG, {"drop": 0.5})
    batch = jax.tree.map(lambda x: np.concatenate([x] * 25), BATCH)
    batch["index"] = np.arange(200, dtype=np.uint32)
    mixed = trained(params, jax.random.key(0), batch, cfg, SPEC)["text"]
    told = np.asarray(loss(params, batch, cfg, SPEC)["text"])
    hidden = np.asarray(loss(params, batch, cfg, SPEC, np.zeros(200))["text"])
    of_told = np.isclose(mixed, told, rtol=1e-5)
    assert 0.35 < of_told.mean() < 0.65
    assert (of_told | np.isclose(mixed, hidden, rtol=1e-5)).all()


def test_what_lies_behind_an_end_is_not_counted(params):
    x = np.array([[1, 0, 3, 0, 4, 4], [1, 2, 3, 4, 1, 2]])
    inside = counted(jnp.asarray(x), 0)
    np.testing.assert_array_equal(inside, [[1, 1, 0, 0, 0, 0], [1] * 6])
    other = x.copy()
    other[0, 2:] = 1
    cfg = Causal(NET, end=0, condition=(Label(),))
    found = []
    for tokens in (x, other):
        batch = {"tokens": tokens, "label": np.zeros(2, np.int32)}
        found.append(loss(params, batch, cfg, SPEC))
    np.testing.assert_allclose(found[0]["text"], found[1]["text"], rtol=1e-5)
    np.testing.assert_allclose(found[0]["loss"] * np.array([2, 6]), found[0]["text"], rtol=1e-5)
    drawn = np.asarray(sample(params, jax.random.key(0), BATCH, cfg, SPEC))
    behind = np.cumsum(drawn == 0, 1) - (drawn == 0) > 0
    assert behind.any() and (drawn[behind] == 0).all()


@pytest.mark.parametrize(
    "cfg, spec, told",
    [
        (Causal(NET, end=9), SPEC, "algorithm.end=9 is no token of the data"),
        (Causal(NET), labelled(Image((8, 8, 1))), "Causal takes Tokens"),
        (Causal(NET, sharpness=Sharpness(top_k=9)), SPEC, "top_k=9: there are 5 tokens"),
        (CFG, labelled(Tokens(6, 5), name="tokens"), "needs labels"),
        (edit(CFG, {"guidance.scale": 2.0}), SPEC, "trained without its condition too"),
    ],
)
def test_bad_input(cfg, spec, told):
    with pytest.raises(UserError, match=told):
        cfg(spec)


def test_bad_nets():
    for net, told in ((Transformer(16, 2, 3), "do not divide"), (Transformer(6, 1, 2), "even")):
        with pytest.raises(UserError, match=told):
            Causal(net)(SPEC).init(jax.random.key(0), BATCH)
    start = jax.eval_shape(Causal(NET)(SPEC).init, jax.random.key(0), BATCH)
    assert isinstance(start, State)
