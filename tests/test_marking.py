"""Taking marks off: eq. 1 of the veil, what is kept, and the numbers of the finding against their definitions."""

import json
from pathlib import Path
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ae import restoration as r
from genjax.config import edit
from genjax.core import labelled
from genjax.corruptions import Damaged, Gaussian, Letters, Marks, Pixels, stencils
from genjax.corruptions.marks import Mark, laid
from genjax.data import Photographs
from genjax.errors import UserError
from genjax.fields import Image
from genjax.findings import marking
from genjax.nets import veil
from genjax.nets.plain import PlainUNet
from genjax.training.experiment import Every, Experiment
from genjax.training.log import Log
from genjax.training.loop import run
from genjax.training.run import Run
from genjax.training.task import bind, example_of
from genjax.views import Luma

KEY = jax.random.key(0)
SPEC = labelled(Image((16, 16, 3)), 0, 1)
NET = PlainUNet((4,), blocks=1, bias=True)
restore = jax.jit(r.restore, static_argnums=(2, 3))
loss = jax.jit(r.loss, static_argnums=(3, 4))
UNSEEN = (Letters(("STIX",), ("demo",)),)
TINY = Experiment(
    data=Photographs(32, train=16, test=6, valid=4),
    algorithm=r.Restoration((Marks(side=32, count=4),), veil.Unveil(NET, NET), blind=True),
    steps=2,
    batch=4,
    view=(Luma(),),  # marks lie over the grey pictures that the model sees
    every=Every(1, 2, 0, 2),
    finish=(marking.Marking(UNSEEN, images=6, shown=3),),
)


def begun(exp):
    """A run before its first step, with its finding: how it is trained is no matter of that."""
    source = exp.data.load()
    spec, algorithm = bind(exp, source)
    state = jax.jit(algorithm.init)(KEY, example_of(source))
    log = Log(Path(exp.runs) / "run", exp.steps, exp.batch, 0)
    this = Run(exp, source, spec, algorithm, log, state, {})
    (finding,) = exp.finish
    finding.check(exp, source)
    finding(this)
    return this


def whole(exp):
    """A run of two steps, its evaluation and its finding: four programs more to compile."""
    return run("marks", exp, "tiny")


@pytest.fixture(scope="module", params=[begun, pytest.param(whole, marks=pytest.mark.all)])
def measured(request, tmp_path_factory):
    """A run with its finding."""
    exp = edit(TINY, {"runs": str(tmp_path_factory.mktemp("runs"))})
    return request.param(exp)


class Sure(nn.Module):
    """Finds a mark wherever it is told of one, and has nothing to mend."""

    @nn.compact
    def __call__(self, x, time, cond, out):
        if cond is None:
            return jnp.full((*x.shape[:3], out[2]), 0.0).at[..., -1].set(-50.0)
        return jnp.where(cond.maps > 0, -50.0, 50.0)


def test_the_line_is_exact_where_the_coverage_and_what_lies_under_are():
    x = jax.random.uniform(KEY, (2, 16, 16, 3), minval=-1.0)
    s = jnp.zeros((2, 16, 16, 1)).at[:, 4:9, 3:12].set(1.0).at[:, 3, 3:12].set(0.4)
    a = jnp.array([0.6, 0.3]).reshape(2, 1, 1, 1)
    colour = jnp.array([1.0, -0.5, 0.2])
    y = (1 - a * s) * x + a * s * colour
    opacity, light = veil.fitted(y, x, s)
    np.testing.assert_allclose(opacity, a, atol=2e-3)  # SOME pulls it to 0 a little
    np.testing.assert_allclose(light, a * colour, atol=2e-3)
    # nothing covered: nothing is fitted, and nothing is 0 by 0
    for fitted in veil.fitted(y, x, jnp.zeros_like(s)):
        np.testing.assert_array_equal(fitted, 0.0)


def test_each_pixel_implies_its_coverage():
    x = jax.random.uniform(KEY, (2, 16, 16, 3), minval=-1.0)
    s = jax.random.uniform(KEY, (2, 16, 16, 1))
    a = jnp.array([0.6, 0.3]).reshape(2, 1, 1, 1)
    b = a * jnp.array([1.5, -2.0, 1.5])
    y = x + s * (b - a * x)
    known = veil.Lifted(s, s, x, a, b, x)
    coverage, left = veil.implied(y, known)
    np.testing.assert_allclose(coverage, s, atol=5e-3)  # FLAT pulls it to 0 a little
    np.testing.assert_allclose(left, 0.0, atol=5e-3)
    # an edge of the picture in a colour that the mark cannot give
    whole = b - a * x
    across = jnp.cross(whole, jnp.ones(3))
    coverage, left = veil.implied(x + across, known)
    np.testing.assert_allclose(coverage, 0.0, atol=1e-4)
    np.testing.assert_allclose(left, across, atol=1e-4)


class Late(nn.Module):
    """Finds nothing at first, and the mark of rows 4 to 8 and columns 3 to 11 at the second sight."""

    @nn.compact
    def __call__(self, x, time, cond, out):
        if out[2] < 3:
            return jnp.full((*x.shape[:3], out[2]), -50.0)
        said = jnp.zeros((*x.shape[:3], out[2])).at[..., 3].set(-50.0)
        return said.at[:, 4:9, 3:12, 4:].set(100.0)


def test_the_second_sight_fits_the_line_again():
    # smooth, so that the filling is nearly what is hidden
    ramp = jnp.linspace(-1.0, 0.5, 16)
    x = jnp.stack(jnp.broadcast_arrays(ramp[:, None], ramp, 0.3 * ramp), -1)[None]
    coverage = jnp.zeros((1, 16, 16, 1)).at[:, 4:9, 3:12].set(1.0)
    y = laid(x, Mark(coverage, jnp.full(1, 0.6), jnp.ones((1, 3))))
    asked = (y, jnp.zeros(1), None, (16, 16, 3))
    wrong, logits = veil.Unveil(Late(), Late(), again=True).apply({}, *asked, method="found")
    assert logits.shape == (1, 16, 16, 2) and not (logits[..., 0] > 0).any()
    np.testing.assert_array_equal(logits[..., 1:] > 0, coverage > 0)
    fitted = veil.lifted(y, logits[..., 1:], None)
    np.testing.assert_array_equal(fitted.p, fitted.s)
    np.testing.assert_allclose(y - wrong, fitted.taken, atol=1e-5)
    np.testing.assert_allclose(fitted.a.ravel(), 0.6, atol=0.05)
    once, _ = veil.Unveil(Late(), Late()).apply({}, *asked, method="found")
    np.testing.assert_allclose(once, 0.0, atol=1e-5)


def test_a_mark_on_plain_ground_is_taken_off_and_elsewhere_nothing_is():
    x = jnp.broadcast_to(jnp.array([0.3, 0.6, 0.1]), (2, 16, 16, 3))
    coverage = jnp.zeros((2, 16, 16, 1)).at[:, 4:9, 3:12].set(1.0)
    mark = Mark(coverage, jnp.full(2, 0.6), jnp.ones((2, 3)))
    seen = Damaged(laid(x, mark), jnp.ones((2, 1)), 1.0 - coverage)
    cfg = r.Restoration((Marks(side=16),), veil.Unveil(Sure(), Sure()))
    np.testing.assert_allclose(restore({"net": {}}, seen, cfg, SPEC), x, atol=1e-3)
    busy = jax.random.uniform(KEY, x.shape)
    bare = Damaged(busy, jnp.ones((2, 1)), jnp.ones((2, 16, 16, 1)))
    np.testing.assert_allclose(restore({"net": {}}, bare, cfg, SPEC), busy, atol=1e-6)


def test_where_the_mark_is_is_learned_beside():
    cfg = r.Restoration(
        (Marks(side=16, count=4),),
        veil.Unveil(NET, NET),
        blind=True,
        where=0.5,
        error=r.Absolute(),
    )
    batch = {"image": jax.random.uniform(KEY, (2, 16, 16, 3)), "index": jnp.arange(2)}
    params = jax.jit(cfg(SPEC).init)(KEY, batch | {"label": jnp.zeros(2, jnp.int32)}).params
    parts = loss(params, KEY, batch, cfg, SPEC)
    np.testing.assert_allclose(parts["loss"], parts["error"] + 0.5 * parts["missed"], rtol=1e-6)
    # the last layer begins at zero: all pixels are held for covered by the same share
    seen = jax.jit(r.damage, static_argnums=(2, 3))(KEY, batch, cfg, SPEC)
    covered = np.mean(np.asarray(seen.known) == 0, (1, 2, 3))
    share = 1 / (1 + np.exp(veil.RARE))
    nats = -covered * np.log(share) - (1 - covered) * np.log(1 - share)
    np.testing.assert_allclose(parts["missed"], nats, rtol=1e-5)
    heavy = loss(params, KEY, batch, edit(cfg, {"rare": 3.0}), SPEC)
    weighed = -3 * covered * np.log(share) - (1 - covered) * np.log(1 - share)
    np.testing.assert_allclose(heavy["missed"], weighed, rtol=1e-5)
    # the error of what is covered weighs as much more
    wrong = np.abs(restore(params, seen, cfg, SPEC) - SPEC.unit(batch))
    of_pixel = np.where(np.asarray(seen.known) == 0, 3.0, 1.0) * wrong
    np.testing.assert_allclose(heavy["error"], np.mean(of_pixel, (1, 2, 3)), rtol=1e-5)
    for change in ({"net": NET}, {"corruption": (Gaussian(),)}):
        with pytest.raises(UserError, match="a net to find the damage"):
            edit(cfg, change)(SPEC)
    with pytest.raises(UserError, match="rare=3 weighs the pixels that are damaged"):
        edit(cfg, {"corruption": (Gaussian(),), "rare": 3.0, "where": 0.0})(SPEC)


TOLD = r.Restoration((Pixels(),), NET)


@pytest.fixture(scope="module")
def given():
    """(params of a net that says something, two pictures of which the left half is known)."""
    known = jnp.zeros((2, 16, 16, 1)).at[:, :, :8].set(1.0)
    x = jax.random.uniform(KEY, (2, 16, 16, 3))
    seen = Damaged(x, jnp.ones((2, 1)), known)
    batch = {"image": x, "label": jnp.zeros(2, jnp.int32), "index": jnp.arange(2)}
    params = jax.jit(TOLD(SPEC).init)(KEY, batch).params
    # the last layer begins with zeros, and would hide all before it
    rng = np.random.default_rng(0)
    noisy = jax.tree.map(lambda p: p + 0.1 * rng.normal(size=p.shape), params)
    return noisy, seen


def test_what_is_told_to_be_known_is_kept_to_the_bit(given):
    cfg = edit(TOLD, {"keep": True})
    params, seen = given
    restored = np.asarray(restore(params, seen, cfg, SPEC))
    np.testing.assert_array_equal(restored[:, :, :8], seen.x[:, :, :8])
    free = np.asarray(restore(params, seen, TOLD, SPEC))
    np.testing.assert_allclose(restored[:, :, 8:], free[:, :, 8:], atol=1e-6)
    assert np.abs(free - restored).max() > 1e-3
    noisy = {"corruption": (Pixels(), Gaussian())}  # what is not lost is not as it was either
    for change in ({"blind": True}, {"corruption": (Gaussian(),)}, noisy):
        blind = edit(cfg, change)
        with pytest.raises(UserError, match="told of no pixel") as error:
            blind(SPEC)
        assert "\n" not in str(error.value)


def test_where_and_how_much_are_told_apart(given):
    params, seen = given
    little, much = (seen._replace(level=jnp.full((2, 1), level)) for level in (0.1, 0.9))
    answers = [restore(params, seen, TOLD, SPEC) for seen in (little, much)]
    assert jnp.abs(answers[0] - answers[1]).max() > 1e-4
    cfg = edit(TOLD, {"amount": False})
    answers = [restore(params, seen, cfg, SPEC) for seen in (little, much)]
    np.testing.assert_array_equal(*answers)
    elsewhere = little._replace(known=1.0 - little.known)
    assert jnp.abs(restore(params, elsewhere, cfg, SPEC) - answers[0]).max() > 1e-4


def test_squares_and_overlaps_are_of_the_pixels_that_they_name():
    rng = np.random.default_rng(0)
    clean, answer, seen = rng.random((3, 4, 12, 12, 3))
    known = (rng.random((4, 12, 12, 1)) > 0.2).astype(np.float32)
    arrays = {"clean": clean, "known": known, "restored": answer, "seen": seen}
    found = marking.quality(answer, arrays)
    for i in range(4):
        inside = known[i, ..., 0] == 0
        for name, where in (("inside", inside), ("outside", ~inside)):
            expected = np.mean((answer[i][where] - clean[i][where]) ** 2)
            assert found[name][i] == pytest.approx(expected)
        changed = np.abs(answer[i] - seen[i]).max(-1) > 0.6
        expected = (changed & inside).sum() / (changed | inside).sum()
        assert marking.overlap(arrays, 0.6)[i] == pytest.approx(expected)
    np.testing.assert_allclose(marking.decibels([0.0, 1e-4]), [100.0, 40.0])


def test_inpainting_sees_nothing_of_what_is_marked():
    pytest.importorskip("skimage")
    y, x = np.mgrid[0:16, 0:16] / 16
    plane = np.stack([x, y, 0.5 * (x + y)], -1)[None]
    known = np.ones((1, 16, 16, 1))
    known[0, 5:9, 4:11] = 0
    spoilt = np.where(known == 1, plane, 0.9)
    np.testing.assert_allclose(marking.biharmonic(spoilt, known), plane, atol=1e-5)


def test_intervals_are_over_scenes_and_none_is_told_of_one():
    values = np.arange(6.0)
    one = marking._over_groups([values], np.zeros(6, int))
    assert one.value == 2.5 and one.low is None
    two = marking._over_groups([values, values + 1], np.array([0, 0, 0, 1, 1, 1]))
    # scenes of 1.5 and 4.5, whose mean has the standard error 1.5, and Student's t of one degree of freedom
    reach = 12.7062 * 1.5
    ends = (two.low, two.value, two.high)
    assert ends == pytest.approx((3.0 - reach, 3.0, 3.0 + reach), rel=1e-4) and two.n == 12


def test_a_bound_is_chosen_on_no_test_picture():
    splits = {name: {"image": np.zeros((n, 4))} for name, n in (("train", 3), ("test", 2))}
    held = SimpleNamespace(valid={"image": np.zeros((1, 4))}, **splits)
    assert marking._apart(held) is held.valid
    none = SimpleNamespace(valid={}, **splits)
    assert marking._apart(none) is none.train


def test_a_run_measures_all_who_remove_marks(measured):
    entry = json.loads((measured.log.directory / "results.json").read_text())["marking"]
    value = {name: each["value"] for name, each in entry.items()}
    assert value["nothing_outside"] == pytest.approx(100)
    assert value["told_all_inside"] > 48 > value["biharmonic_inside"] > value["nothing_inside"]
    gain = value["net_inside"] - value["biharmonic_inside"]
    assert value["gain"] == pytest.approx(gain)
    assert value["gain"] == pytest.approx(value["gain_letters"])
    assert 0 <= value["overlap"] <= 1 and entry["bound"]["value"] in marking.BOUNDS
    for each in entry.values():
        assert each["low"] is None or each["low"] <= each["value"] <= each["high"]
    pictures = {path.name for path in (measured.log.directory / "samples").iterdir()}
    assert "marks-letters.png" in pictures


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"algorithm.corruption": (Gaussian(),)}, "how marks are removed"),
        ({"finish.Marking.banks": (Letters(),)}, "dejavu sans"),
        ({"finish.Marking.banks": ()}, "is empty"),
        ({"finish.Marking.images": 0}, "images=0"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(change, told):
    exp = edit(TINY, change)
    with pytest.raises(UserError, match=told) as error:
        exp.finish[0].check(exp, exp.data.load())
    assert "\n" not in str(error.value)


def test_the_test_of_the_experiment_is_unseen():
    from experiments import marks

    for exp in marks.EXPERIMENTS.values():
        (own,) = exp.algorithm.corruption
        assert stencils.shared(own.banks, exp.finish[0].banks) == []
