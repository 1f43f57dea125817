"""Pictures and sentences by contrast: the loss by its sums, what is wrong, and an encoder that another run takes."""

import jax
import numpy as np
import pytest

from genjax.conditions import Caption
from genjax.config import edit
from genjax.core import Spec
from genjax.diffusion import named
from genjax.errors import UserError
from genjax.fields import Attributes, Category, Image, Points, Tokens
from genjax.nets import TokenEncoder, UNet, Worded
from genjax.nets.places import ConvPlaces
from genjax.optim import Adam
from genjax.sequence.matching import Contrastive, Matched, loss, wrong

CAPTION = ("caption", Tokens(6, 256))
SPEC = Spec((("image", Image((8, 8, 1))), CAPTION))
READER = TokenEncoder(width=8, depth=1, heads=2, stride=2, letter=4)
CFG = Contrastive(ConvPlaces((8,), features=4), READER, optimiser=Adam(1e-2, clip=1.0))
KEY = jax.random.key(0)


def batch(n: int = 12) -> dict:
    """Pictures of six levels of grey, each with a sentence of its own: every pair twice."""
    level = np.arange(n) % 6
    image = np.zeros((n, 8, 8, 1), np.uint8) + (50 * level)[:, None, None, None].astype(
        np.uint8
    )
    words = np.stack([97 + level, 98 + level, 99 + 0 * level, *3 * [0 * level]], 1)
    index = np.arange(n, dtype=np.uint32)
    return {"image": image, "caption": words.astype(np.int32), "index": index}


@pytest.fixture(scope="module")
def run():
    algorithm, examples = CFG(SPEC), batch()
    state = jax.jit(algorithm.init)(KEY, examples)
    evaluate = jax.jit(algorithm.evaluate)
    first = evaluate(KEY, state, examples)
    begun = jax.tree.map(np.asarray, state.params)
    step = jax.jit(algorithm.step)
    for _ in range(120):
        state, _ = step(KEY, state, examples)
    return algorithm, begun, first, evaluate(KEY, state, examples)


def test_it_learns_which_sentence_is_whose_and_samples_nothing(run):
    algorithm, _, first, last = run
    assert algorithm.sample is None
    assert all(part.shape == (12,) for part in last.values())
    assert last["loss"].mean() < 0.1 < 1.0 < first["loss"].mean()
    assert last["nearest"].all() and not first["nearest"].all()


def test_the_loss_is_the_sum_over_what_is_wrong_and_the_own_sentence(run):
    examples = batch(8)  # of the first two pairs there are two each
    tokens = Caption()(examples, SPEC).tokens
    net = Matched(CFG.picture, CFG.encoder)
    sides = jax.jit(net.apply)({"params": run[1]["net"]}, SPEC.encode(examples), tokens)
    places, pieces = np.asarray(sides.places), np.asarray(sides.pieces)
    assert places.shape == (8, 16, 4) and pieces.shape == (8, 4, 4)
    # three letters in pieces of two, and the first piece, are there
    np.testing.assert_array_equal(sides.there, [[True, True, True, False]] * 8)
    np.testing.assert_allclose(np.linalg.norm(pieces[:, :3], axis=2), 1.0, rtol=1e-5)
    near = {(i, j): places[i] @ pieces[j, :3].T for i in range(8) for j in range(8)}
    s = {pair: value.max(1).mean() for pair, value in near.items()}
    t = {pair: value.max(0).mean() for pair, value in near.items()}
    c = float(sides.scale)
    found = jax.jit(lambda params: loss(params, examples, CFG, SPEC))(run[1])
    for i in range(8):
        others = [j for j in range(8) if j % 6 != i % 6]
        captions = sum(np.exp(c * (s[i, j] - s[i, i])) for j in others)
        pictures = sum(np.exp(c * (t[j, i] - t[i, i])) for j in others)
        expected = 0.5 * (np.log(1 + captions) + np.log(1 + pictures))
        np.testing.assert_allclose(found["loss"][i], expected, rtol=1e-4)
        assert bool(found["nearest"][i]) == all(s[i, i] > s[i, j] for j in others)


def test_attributes_tell_what_is_wrong_where_the_data_have_them():
    # the third sentence, of a picture with both things, says the second one alone
    rows = {
        "attributes": np.array([[1, 0], [0, 1], [1, 1]]),
        "said": np.array([[1, 1], [1, 1], [0, 1]]),
    }
    spec = Spec(
        (*SPEC.fields, ("attributes", Attributes(("a", "b"))), ("said", Attributes("ab")))
    )
    found = wrong(rows, CFG, spec)
    np.testing.assert_array_equal(found, [[0, 1, 1], [1, 0, 0], [1, 1, 0]])


def test_a_model_of_pictures_can_begin_with_its_encoder(run):
    """`Start` takes arrays by their paths: the encoder has the same ones in both."""
    net = Worded(UNet((8, 8), blocks=1, patch=2, attention=(), words=(2,)), READER, whole=False)
    told = edit(named.FLOW, {"net": net, "condition": (Caption(),)})(SPEC)
    theirs = jax.eval_shape(told.init, KEY, batch()).params["net"]["encoder"]
    ours = run[1]["net"]["encoder"]
    shapes = [jax.tree.map(lambda x: x.shape, tree) for tree in (ours, theirs)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ((CAPTION,), "Contrastive"),
        ((("image", Image((8, 8, 1))), ("label", Category(2))), "caption"),
        ((("image", Image((8, 8, 1))), ("caption", Points((6,)))), "caption"),
    ],
    ids=["no picture", "no caption", "numbers"],
)
def test_data_without_both_are_refused(fields, what):
    with pytest.raises(UserError, match=what):
        CFG(Spec(fields))
