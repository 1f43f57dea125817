"""Who is who: the loss against numpy, errors of verification by hand, and a net on people who are colours."""

import numpy as np
import pytest

from genjax.errors import UserError
from genjax.metrics.identity import (
    CosFace,
    csim,
    equal_error_rate,
    margin_loss,
    verified,
)


def colours(people: int, shots: int, seed: int) -> dict[str, np.ndarray]:
    """People who are a colour each, in pictures of noise and of any brightness."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), shots)
    colour = rng.dirichlet((1, 1, 1), people)[person]
    light = rng.uniform(120, 255, (len(person), 1))
    image = (colour * light)[:, None, None] + rng.normal(0, 12, (len(person), 8, 8, 3))
    return {
        "image": image.clip(0, 255).astype(np.uint8),
        "person": person.astype(np.int32),
        "age": rng.uniform(1, 90, (len(person), 1)),
    }


def test_cosines_are_those_of_the_angle():
    turned = np.deg2rad([0.0, 60.0, 90.0, 180.0])
    b = 3.0 * np.stack([np.cos(turned), np.sin(turned)], 1)
    a = np.tile([2.0, 0.0], (4, 1))
    np.testing.assert_allclose(csim(a, b), [1.0, 0.5, 0.0, -1.0], atol=1e-12)


def test_the_loss_is_the_equation():
    rng = np.random.default_rng(0)
    cosines = rng.uniform(-1, 1, (5, 7))
    label = np.array([0, 3, 6, 2, 2])
    wanted = []
    for row, y in zip(cosines, label, strict=True):
        right = np.exp(9.0 * (row[y] - 0.3))
        wrong = np.exp(9.0 * np.delete(row, y)).sum()
        wanted.append(-np.log(right / (right + wrong)))
    found = margin_loss(cosines, label, 9.0, 0.3)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    # a margin makes it harder, never easier
    assert (np.asarray(found) > margin_loss(cosines, label, 9.0, 0.0)).all()


def test_equal_errors_by_hand():
    scores = np.array([0.9, 0.8, 0.4, 0.7, 0.2, 0.1])
    same = np.array([1, 1, 1, 0, 0, 0], bool)
    # between 0.4 and 0.7 one of three is missed and one of three let in
    assert equal_error_rate(scores, same) == pytest.approx(1 / 3)
    assert equal_error_rate(-scores, same) == pytest.approx(2 / 3)
    assert equal_error_rate(np.arange(6.0), np.arange(6) > 2) == 0.0
    # of scores that say nothing one error is all
    assert equal_error_rate(np.zeros(6), same) == pytest.approx(0.5)


def test_verification_tells_ages_apart():
    # two people at right angles; the third picture of each is old and turned by 60 degrees
    place = np.deg2rad([0, 0, 60, 90, 90, 150])
    embeddings = np.stack([np.cos(place), np.sin(place)], 1)
    person = np.array([0, 0, 0, 1, 1, 1])
    years = np.array([20, 25, 70, 20, 25, 70])[:, None]
    found = verified(embeddings, person, years)
    assert found.same_age.value == pytest.approx(1.0)
    assert found.other_age.value == pytest.approx(0.5)
    pairs = np.cos(np.subtract.outer(place[:3], place[3:]))
    assert found.others.value == pytest.approx(pairs.mean())
    # of 6 pairs of one person and 9 of two, counted by hand: ties by half
    cosines = [np.cos(place[i] - place[j]) for i, j in ((0, 1), (0, 2), (1, 2))] * 2
    wins = np.sign(np.subtract.outer(np.round(cosines, 9), np.round(pairs.ravel(), 9)))
    assert found.auroc == pytest.approx((wins.mean() + 1) / 2)
    assert 0 < found.eer < 0.5


def test_people_of_whom_none_was_in_training_are_told_apart(tmp_path):
    cfg = CosFace(widths=(8, 8), features=16, embedding=8, steps=100, batch=64)
    train = colours(40, 4, 0)
    embed = cfg.embedding_of(train, tmp_path)
    held = colours(20, 4, 1)
    seen = embed(held["image"])
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1.0, atol=1e-5)
    found = verified(seen, held["person"], held["age"])
    pixels = held["image"].reshape(len(held["image"]), -1) / 255.0
    assert found.auroc > 0.9 > verified(pixels, held["person"], held["age"]).auroc - 0.1
    # it is kept, and other people in the same pictures are other data
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    np.testing.assert_array_equal(cfg.embedding_of(train, tmp_path)(held["image"]), seen)
    assert file.stat().st_mtime_ns == before
    other = cfg.known({**train, "person": train["person"][::-1] // 2})
    assert cfg._path(other, tmp_path) != file == cfg._path(cfg.known(train), tmp_path)


@pytest.mark.parametrize(
    "cfg, train, told",
    [
        (CosFace(), {"image": np.zeros((2, 8, 8, 3))}, "no field 'person': set group"),
        (CosFace(), colours(1, 4, 0), "the data show one person"),
        (CosFace(), colours(3, 1, 0), "person 0 has one picture, and 3 of 3 have"),
        (CosFace(steps=0), colours(3, 2, 0), "steps=0 must be at least 1"),
        (CosFace(margin=-0.1), colours(3, 2, 0), "margin=-0.1 must be at least 0"),
    ],
)
def test_what_cannot_be_learned_is_one_line(cfg, train, told):
    with pytest.raises(UserError, match=told) as error:
        cfg.embedding_of(train)
    assert "\n" not in str(error.value)


def test_a_set_without_pairs_cannot_be_verified():
    with pytest.raises(UserError, match="people with two pictures"):
        verified(np.eye(3), np.arange(3), np.arange(3))
