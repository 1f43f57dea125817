"""Line drawings, and faces in two lights."""

import numpy as np
import pytest

from genjax.data import Digits, Domains, Relit, Sketched
from genjax.data.heads import Heads
from genjax.data.sketched import gradient, lines, sketches
from genjax.data.toy import Ring, Toy
from genjax.errors import UserError


def test_the_gradient_of_a_slope_is_its_slope():
    down, across = np.mgrid[0:6, 0:7]
    plane = (0.03 * across - 0.02 * down)[None].astype(np.float32)
    right, below = gradient(plane)
    np.testing.assert_allclose(right[0, 1:-1, 1:-1], 0.03, atol=1e-6)
    np.testing.assert_allclose(below[0, 1:-1, 1:-1], -0.02, atol=1e-6)


def test_an_edge_is_one_line_wherever_it_lies():
    step = np.zeros((1, 8, 8), np.float32)
    step[:, :, 4:] = 1.0
    drawn = lines(step, 0.1)[0]
    np.testing.assert_array_equal(drawn.sum(1), np.ones(8))
    np.testing.assert_array_equal(lines(step.transpose(0, 2, 1), 0.1)[0], drawn.T)
    assert not lines(0.05 * step, 0.1).any()  # too faint
    picture = np.repeat(step[..., None], 3, -1)
    found = sketches(picture, 0.1)
    assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 255}
    np.testing.assert_array_equal(found[0, :, :, 0] == 0, drawn)


def test_a_set_gets_an_input_of_its_own_kind():
    source = Sketched(Digits()).load()
    assert source.fields["input"] == source.fields["image"] and source.main == "image"
    for split in (source.train, source.test):
        assert split["input"].shape == split["image"].shape
        share = np.mean(np.asarray(split["input"]) == 0)
        assert 0.02 < share < 0.5  # neither blank nor black
    assert source.valid["input"].shape == (0, 8, 8, 1)  # nothing held out, and its shape


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        (Sketched(Toy(Ring())), "draws pictures"),
        (Sketched(Sketched(Digits())), "has the fields"),
        (Sketched(Domains(Digits(), Digits())), "has the domains a, b"),
        (Sketched(Digits(), least=0.0), "least=0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(cfg, words):
    with pytest.raises(UserError, match=words):
        cfg.load()


def test_two_lights_leave_all_but_the_light():
    cfg = Relit(size=16, people=10, shots=1)
    rows = list(cfg.rows("test"))
    plain = list(Heads(16, 10, 1).rows("test"))
    assert set(rows[0]) == set(cfg.fields()) and len(rows) == len(plain) == 1
    for name in ("label", "landmarks", "age", "pose", "person", "parts"):
        np.testing.assert_array_equal(rows[0][name], plain[0][name])
    right, left = np.float64(rows[0]["image"]), np.float64(rows[0]["input"])
    # a face that looks ahead is brighter on the side of the light
    skin = rows[0]["parts"] > 0
    change = (right - left).mean(-1) * skin
    assert change[:, 8:].sum() > change[:, :8].sum()
    assert rows[0]["attributes"][-1] == 0  # "light from the left", of what is modelled
