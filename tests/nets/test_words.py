"""The reader of sentences: its definition, what is not there changes nothing, and DiT hears what it is told."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.conditions import Cond
from genjax.errors import UserError
from genjax.nets import Context, Cross, DiT, TokenEncoder, Worded
from genjax.nets.flops import Told

KEY = jax.random.key(0)
NET = TokenEncoder(width=8, depth=1, heads=2, stride=2, letter=4)
TOKENS = np.eye(6, dtype=np.float32)[np.array([[1, 2, 3, 4, 0, 0, 0], [5, 1, 5, 2, 3, 4, 1]])]
TOKENS[0, 4:] = 0.0  # the first sentence has four letters, the second seven


@pytest.fixture(scope="module")
def params():
    found = jax.jit(NET.init)(KEY, TOKENS)["params"]
    return jax.tree.map(lambda p: p + 0.3 * jax.random.normal(KEY, p.shape), found)


def begun(net, cond: Cond) -> dict:
    """Parameters of a denoiser, moved off their start, where many are zero."""
    init = jax.jit(lambda: net.init(KEY, X, TIME, cond, (8, 8, 1)))
    return noisy(init()["params"])


def applied(net):
    """(params, cond) -> the denoiser's output, compiled once."""
    return jax.jit(lambda p, cond: net.apply({"params": p}, X, TIME, cond, (8, 8, 1)))


@pytest.fixture(scope="module")
def read(params):
    """tokens -> Reading, compiled once."""
    return jax.jit(lambda tokens: NET.apply({"params": params}, tokens))


def norm(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


def turned(x: np.ndarray) -> np.ndarray:
    """Pairs (x_i, x_{i + d/2}) of [N, d] as complex numbers, turned by n / 1000^(2 i / d) rad."""
    half = x.shape[1] // 2
    z = x[:, :half] + 1j * x[:, half:]
    speed = 1000.0 ** -(np.arange(half) / half)
    z = z * np.exp(1j * np.arange(len(x))[:, None] * speed)
    return np.concatenate([z.real, z.imag], 1)


def reference(p: dict, letters: np.ndarray) -> np.ndarray:
    """One sentence of n letters [n, V], as if there were no filling: [1 + P, 8]."""
    e = letters @ p["letters"]["kernel"]
    e = np.concatenate(
        [e, np.zeros((-len(e) % 2 + 2, 4))]
    )  # to whole pieces, and nothing behind the last
    own = e.reshape(-1, 8)
    windows = np.concatenate([own[:-1], own[1:]], 1)
    x = np.concatenate([p["first"][0], windows @ p["pieces"]["kernel"] + p["pieces"]["bias"]])
    qkv = norm(x) @ p["qkv_0"]["kernel"] + p["qkv_0"]["bias"]
    q, k, v = np.split(qkv, 3, 1)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        scores = turned(q[:, part]) @ turned(k[:, part]).T / 2.0
        weights = np.exp(scores)
        heads.append(weights / weights.sum(1, keepdims=True) @ v[:, part])
    x = x + np.concatenate(heads, 1) @ p["out_0"]["kernel"] + p["out_0"]["bias"]
    h = np.asarray(nn.gelu(norm(x) @ p["mlp_0_0"]["kernel"] + p["mlp_0_0"]["bias"]))
    return norm(x + h @ p["mlp_0_1"]["kernel"] + p["mlp_0_1"]["bias"])


def test_the_encoder_is_its_definition_and_filling_changes_nothing(params, read):
    p = jax.tree.map(np.float64, params)
    found = read(TOKENS)
    for row, n in enumerate((4, 7)):
        expected = reference(p, TOKENS[row, :n])
        pieces = 1 + -(-n // 2)
        assert expected.shape == (pieces, 8)
        np.testing.assert_allclose(found.pieces[row, :pieces], expected, atol=2e-4)
        assert not found.pieces[row, pieces:].any()
        np.testing.assert_array_equal(found.there[row], np.arange(5) < pieces)
        np.testing.assert_array_equal(found.whole[row], found.pieces[row, 0])


def test_an_empty_sentence_is_the_first_piece_alone_and_the_last_letter_is_heard_first(
    params, read
):
    found = read(0 * TOKENS)
    np.testing.assert_allclose(
        found.pieces[0, 0],
        reference(jax.tree.map(np.float64, params), TOKENS[0, :0])[0],
        atol=2e-4,
    )
    assert not found.pieces[:, 1:].any()
    other = TOKENS.copy()
    other[1, 6] = np.eye(6)[2]
    before = read(TOKENS).pieces
    after = read(other).pieces
    np.testing.assert_array_equal(before[0], after[0])
    assert np.abs(before[1] - after[1]).min(-1).shape == (5,)
    assert (np.abs(before[1] - after[1]).max(-1) > 1e-4).all()  # in every piece


def small(words, depth: int = 1) -> DiT:
    return DiT(patch=4, width=16, depth=depth, heads=2, words=words)


def noisy(params):
    return jax.tree.map(lambda p: p + 0.1 * jax.random.normal(KEY, p.shape), params)


X, TIME = jnp.ones((2, 8, 8, 1)), jnp.full(2, 0.5)
WORDS = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)


def test_words_in_context_have_no_order_but_that_of_their_places():
    """Attention is of sets: words that change their order together with their places change nothing."""
    net = small(Context())
    cond = Cond(tokens=WORDS)
    p = begun(net, cond)
    apply = applied(net)
    before = apply(p, cond)
    assert before.shape == (2, 8, 8, 1)
    turn = np.array([2, 0, 1])
    moved = {**p, "word_places": p["word_places"][turn]}
    same = apply(moved, Cond(tokens=WORDS[:, turn]))
    np.testing.assert_allclose(same, before, atol=1e-5)
    other = apply(p, Cond(tokens=WORDS[:, turn]))
    assert np.abs(other - before).max() > 1e-3
    assert "cross_0" not in p


@pytest.mark.all
def test_words_in_context_are_the_same_in_a_loop_over_layers():
    cond = Cond(tokens=WORDS)
    net = small(Context(), 2)
    p = begun(net, cond)
    plain = applied(net)(p, cond)
    looped = applied(net.clone(scan=True))(p, cond)
    np.testing.assert_allclose(looped, plain, atol=1e-5)


@pytest.mark.parametrize(
    "words",
    [Cross(), pytest.param(Context(), marks=pytest.mark.all)],
    ids=["cross", "context"],
)
def test_a_worded_net_hears_the_sentence_and_its_encoder_learns(words):
    net = Worded(small(words), NET)
    cond = Cond(tokens=jnp.asarray(TOKENS))
    p = begun(net, cond)

    def total(p):
        y = net.apply({"params": p}, X, TIME, cond, (8, 8, 1))
        return jnp.square(y).sum(), y

    (_, y), grads = jax.jit(jax.value_and_grad(total, has_aux=True))(p)
    assert np.abs(y[0] - y[1]).max() > 1e-3  # the same noise, told otherwise
    for leaf in jax.tree.leaves(grads["encoder"]):
        assert np.abs(leaf).max() > 0
    told = Told(tokens=(7, 6))
    assert net.flops((8, 8, 1), (8, 8, 1), told) > NET.flops(told) > 0


def test_a_frozen_encoder_is_read_and_does_not_learn():
    net = Worded(small(Cross()), NET)
    cond = Cond(tokens=jnp.asarray(TOKENS))
    p = begun(net, cond)

    @jax.jit
    def both(p):
        def total(p, net):
            y = net.apply({"params": p}, X, TIME, cond, (8, 8, 1))
            return jnp.square(y).sum(), y

        learn = [jax.grad(total, has_aux=True)(p, net.clone(frozen=f)) for f in (False, True)]
        return [(grads, y) for grads, y in learn]

    (free, y), (held, same) = both(p)
    np.testing.assert_array_equal(same, y)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(held["encoder"]))
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(free["encoder"]))
    # what is behind it learns as before
    for one, other in zip(
        *(jax.tree.leaves(grads["net"]) for grads in (free, held)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


REFUSED = {
    "no sentence": (Worded(small(Cross()), NET), Cond(vector=np.ones((2, 3))), "is told none"),
    "nothing of it": (
        Worded(small(Cross()), NET, whole=False, pieces=False),
        Cond(tokens=TOKENS),
        "nothing is told",
    ),
    "dropout": (
        Worded(small(Cross()).clone(dropout=0.1), NET),
        Cond(tokens=TOKENS),
        "does not train with dropout",
    ),
    "heads": (
        Worded(small(Cross()), NET.clone(heads=3)),
        Cond(tokens=TOKENS),
        "divide into 3 heads",
    ),
    "odd heads": (
        Worded(small(Cross()), NET.clone(heads=8)),
        Cond(tokens=TOKENS),
        "cannot turn in pairs",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_nets_that_cannot_be(name):
    net, cond, line = REFUSED[name]
    with pytest.raises(UserError, match=line):
        jax.eval_shape(lambda: net.init(KEY, X, TIME, cond, (8, 8, 1)))
