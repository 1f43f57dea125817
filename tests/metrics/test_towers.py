"""Pictures and captions in one space: the loss and the wrong captions by all pairs, R-precision by hand.

R-precision is also that of a scorer that knows all, and of one that knows nothing, on a world that can be listed.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.metrics.features import trained_once
from genjax.metrics.intervals import share
from genjax.metrics.towers import (
    Pooled,
    Towers,
    apart,
    chance,
    contradictions,
    contrast,
    distractors,
    meanings,
    precision,
    wrong,
)
from genjax.nets import TokenEncoder
from genjax.nets.words import Reading

RNG = np.random.default_rng(0)
TRUE = RNG.integers(0, 2, (7, 5))
SAID = RNG.integers(0, 2, (7, 5))


def false_of(i: int, j: int) -> int:
    """Attributes that caption j says and picture i has not."""
    return sum(int(SAID[j, a] and TRUE[i, a] != TRUE[j, a]) for a in range(5))


def test_wrong_captions_are_those_that_say_what_is_not_there():
    found = wrong(TRUE, TRUE, SAID)
    expected = [[false_of(i, j) for j in range(7)] for i in range(7)]
    np.testing.assert_array_equal(found, expected)
    assert not found.diagonal().any()


def test_the_loss_is_the_sum_over_wrong_captions_and_the_own_one():
    a, b = (RNG.normal(size=(7, 3)).astype(np.float32) for _ in range(2))
    s = 2.0
    batch = {"attributes": jnp.asarray(TRUE), "said": jnp.asarray(SAID)}
    terms = []
    for i in range(7):
        own = np.exp(s * a[i] @ b[i])
        captions = sum(np.exp(s * a[i] @ b[j]) for j in range(7) if j != i and false_of(i, j))
        pictures = sum(np.exp(s * a[j] @ b[i]) for j in range(7) if j != i and false_of(j, i))
        terms.append(-np.log(own / (own + captions)) - np.log(own / (own + pictures)))
    logits = s * a @ b.T
    found = contrast(logits, logits, apart(batch))
    np.testing.assert_allclose(found, np.array(terms) / 2, rtol=1e-5)


def test_queries_read_pieces_in_any_order_and_nothing_that_is_not_there():
    pool = Pooled(3, 2)
    pieces = RNG.normal(size=(2, 5, 8)).astype(np.float32)
    there = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    given = Reading(jnp.asarray(pieces), jnp.asarray(pieces[:, 0]), jnp.asarray(there))
    params = pool.init(jax.random.key(0), given)
    found = pool.apply(params, given)
    assert found.shape == (2, 24)
    turned = given._replace(pieces=given.pieces[:, ::-1], there=given.there[:, ::-1])
    np.testing.assert_allclose(pool.apply(params, turned), found, atol=1e-5)
    other = given._replace(pieces=given.pieces.at[0, 3:].set(7.0))
    np.testing.assert_array_equal(pool.apply(params, other), found)
    with pytest.raises(UserError, match="Pooled"):
        Pooled(3, 3).init(jax.random.key(0), given)


def test_precision_counts_pictures_whose_own_caption_is_nearest():
    true = np.eye(6, dtype=np.uint8)
    test = {
        "caption": np.arange(6)[:, None],
        "attributes": true,
        "said": np.ones_like(true),
        "language": np.zeros(6, int),
    }
    cfg = Towers(choices=6)
    unit = np.eye(6)

    def match(images, captions):
        return unit[images], unit[captions[:, 0]]

    assert precision(match, np.arange(6), test, cfg).all()
    # two that are taken for each other, and the others right
    swapped = np.array([1, 0, 2, 3, 4, 5])
    assert precision(match, swapped, test, cfg).tolist() == [False, False, *[True] * 4]
    # of a space without differences nothing is known: ties are no hits
    assert not precision(
        lambda x, y: (np.ones((6, 2)), np.ones((6, 2))), swapped, test, cfg
    ).any()
    # a caption that says nothing is wrong of none, and another language is no choice: nothing is left to count
    silent = {**test, "said": 0 * true}
    assert not len(precision(match, swapped, silent, cfg)) and np.isnan(chance(silent, cfg))
    apart = {**test, "language": np.arange(6)}
    assert not len(precision(match, swapped, apart, cfg))


COLOURS, SHAPES = range(3), range(3)
# what a caption says: colour, shape, both; in one of two wordings
SAYS = ((1, 0), (0, 1), (1, 1))


def listed() -> dict:
    """Every caption of a world of three colours and shapes, each of a picture of its own: 9 x 3 x 2."""
    columns = {"attributes": [], "said": [], "caption": []}
    for values in itertools.product(COLOURS, SHAPES):
        for says, wording in itertools.product(SAYS, (1, 2)):
            true = [int(value == own) for own in values for value in range(3)]
            columns["attributes"].append(true)
            columns["said"].append(np.repeat(says, 3))
            # the words: 9 stands for what is not said
            told = [own if say else 9 for own, say in zip(values, says, strict=True)]
            columns["caption"].append([*told, wording])
    found = {name: np.array(rows) for name, rows in columns.items()}
    return {**found, "language": np.zeros(len(found["said"]), np.int32)}


def knowing(attributes: np.ndarray, test: dict):
    """A scorer that knows all: minus the number of attributes that a caption says and the picture has not."""
    yes = test["said"] * test["attributes"]
    return lambda images, captions: (1 - attributes, -yes)


def drawn(test: dict, rng: np.random.Generator) -> np.ndarray:
    """The attributes of pictures that have what is asked for, and all else as chance has it."""
    free = rng.integers(3, size=(len(test["said"]), 2))
    other = np.eye(3, dtype=int)[free].reshape(len(free), 6)
    return np.where(test["said"] > 0, test["attributes"], other)


def test_captions_that_are_as_true_are_no_distractors():
    test, cfg = listed(), Towers(choices=100)
    n = len(test["said"])
    assert n == 54
    for i, some in enumerate(distractors(test, cfg)):
        # by hand: another colour where both say one, or another shape
        expected = set()
        for j in range(n):
            for place in range(2):
                own, other = test["caption"][i, place], test["caption"][j, place]
                if 9 not in (own, other) and own != other:
                    expected.add(tuple(test["caption"][j]))
        found = [tuple(test["caption"][j]) for j in some]
        # of equal words one is enough
        assert set(found) == expected and len(found) == len(expected)
    counts = contradictions(test["attributes"], test["said"])
    assert not counts.diagonal().any() and (counts == counts.T).all()


def test_who_knows_all_is_never_wrong_and_who_knows_nothing_is_as_good_as_chance():
    rng = np.random.default_rng(0)
    test, cfg = listed(), Towers(choices=8)
    n = len(test["said"])
    # the captions' own pictures, and others that have all that was asked for
    for attributes in (test["attributes"], drawn(test, rng), drawn(test, rng)):
        hits = precision(knowing(attributes, test), np.arange(n), test, cfg)
        assert len(hits) == n and hits.all()
    # a world of pictures that have none of it
    turned = np.roll(test["attributes"].reshape(n, 2, 3), 1, 2).reshape(n, 6)
    assert not precision(knowing(turned, test), np.arange(n), test, cfg).any()
    # likeness by chance: anew for each pair of a picture and a caption
    luck = []
    for seed in range(40):
        # the captions' vectors are the axes: a picture's numbers are its likenesses
        vectors = rng.normal(size=(n, n)), np.eye(n)
        luck.append(precision(lambda x, y, v=vectors: v, np.arange(n), test, cfg, seed))
    hits = np.concatenate(luck)
    assert chance(test, cfg) == 1 / 8
    _, low, high = share(hits.sum(), len(hits))
    assert low < 1 / 8 < high and high - low < 0.03


def test_other_captions_of_one_picture_are_true_of_it():
    image = np.zeros((4, 2, 2, 1), np.uint8)
    image[2:] = [[[[1]]], [[[2]]]]
    # two captions of the first picture, and one of each other, the last with words of the first; of equal words one
    caption = np.array([[1, 0], [2, 0], [3, 0], [1, 0]])
    test = {"image": image, "caption": caption}
    known = meanings(test)
    assert set(known) == {"meaning", "picture"}
    found = [set(rows.tolist()) for rows in distractors(test, Towers())]
    assert found == [{2}, {2, 3}, {0, 1}, {1, 2}]
    # of pictures of one caption each it is the words alone, as it was
    assert set(meanings({"image": np.arange(4), "caption": caption})) == {"meaning"}


def test_captions_are_wrong_by_attributes_by_a_number_or_by_their_words():
    split = {
        "caption": np.array([[1, 2], [1, 2], [3, 0], [1, 3]]),
        "attributes": np.array([[1], [0], [1], [1]], np.uint8),
        "said": np.array([[1], [1], [0], [1]], np.uint8),
        "sign": np.array([7, 7, 7, 2]),
    }
    true = apart(meanings(split))
    assert true.astype(int).tolist() == [[0, 1, 0, 0], [1, 0, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0]]
    same = apart(meanings(split, "sign"))
    np.testing.assert_array_equal(same, split["sign"][:, None] != split["sign"])
    # of a folder of pictures nothing is known but the words
    words = apart(meanings({"caption": split["caption"]}))
    assert words.astype(int).tolist() == [
        [0, 0, 1, 1],
        [0, 0, 1, 1],
        [1, 1, 0, 1],
        [1, 1, 1, 0],
    ]
    # and all captions count as of one language
    bare = {"caption": np.arange(6)[:, None]}
    unit = np.eye(6)
    swapped = np.array([1, 0, 2, 3, 4, 5])
    hits = precision(lambda x, y: (unit[x], unit[y[:, 0]]), swapped, bare, Towers(choices=6))
    assert hits.tolist() == [False, False, *[True] * 4]


def pairs(n: int) -> dict:
    """Black and white pictures with a letter for each."""
    which = np.arange(n) % 2
    image = (
        np.zeros((n, 8, 8, 1), np.uint8) + (255 * which).astype(np.uint8)[:, None, None, None]
    )
    return {
        "image": image,
        "caption": np.stack([65 + which, 0 * which], 1).astype(np.int32),
        "attributes": which[:, None].astype(np.uint8),
        "said": np.ones((n, 1), np.uint8),
        "language": np.zeros(n, np.int32),
    }


@pytest.mark.all
def test_towers_learn_what_belongs_together_and_are_kept(tmp_path, capsys):
    cfg = Towers((4,), 4, TokenEncoder(8, 1, 2, 1, 4), steps=40, batch=16, choices=2)
    train = pairs(32)
    match = cfg.fit(train, tmp_path)
    assert precision(match, train["image"], train, cfg).all()
    assert not precision(match, 255 - train["image"], train, cfg).any()
    assert "training towers on 32 pairs" in capsys.readouterr().err
    again = cfg.fit(train, tmp_path)
    assert not capsys.readouterr().err  # read back
    for one, other in zip(
        match(train["image"], train["caption"]),
        again(train["image"], train["caption"]),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1.0, rtol=1e-4)
    (kept,) = tmp_path.glob("towers-*.npz")
    kept.write_bytes(b"broken")
    assert trained_once(kept, {}, "the towers are", dict) == {}
    assert "cannot be read" in capsys.readouterr().err


def test_data_without_captions_are_refused():
    with pytest.raises(UserError, match="the data have image and no field 'caption'"):
        Towers().fit({"image": np.zeros((4, 8, 8, 1))})
    with pytest.raises(UserError, match="no field 'sign'"):
        Towers(same="sign").fit(pairs(4))
    with pytest.raises(UserError, match="choices=1 must be at least 2"):
        Towers(choices=1).fit(pairs(4))
