"""Unpaired translation: what the equations say, exactly; the pool; a step, its bits on resume; what is refused."""

from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.config import edit
from genjax.core import Spec, guarded
from genjax.data import Digits, Domains
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.findings import cycles
from genjax.gan.games import Relativistic
from genjax.gan.penalties import R1
from genjax.machine.parallel import Jit, Pmap
from genjax.nets.adain import adain, instance_norm
from genjax.nets.patchgan import PatchGAN
from genjax.nets.translators import (
    AdainDecoder,
    ContentDecoder,
    ContentEncoder,
    ResidualTranslator,
    ResnetTranslator,
    StyleEncoder,
    UnetTranslator,
)
from genjax.optim import Adam
from genjax.training.checkpoint import Checkpoints
from genjax.translate import cycle, munit, unit
from genjax.translate.cut import CUT, drawn_places, patch_nce
from genjax.translate.cycle import CycleGAN
from genjax.translate.munit import MUNIT, ExampleStyle
from genjax.translate.unit import UNIT
from genjax.translate.unpaired import _everywhere, empty_pool, pooled

PLANE = Spec((("image", Image((16, 16, 1))),), 10, 1, ("a", "b"))
POINT = Spec((("image", Image((1, 1, 1))),), 10, 1, ("a", "b"))
TX = Adam(1e-3, b1=0.5, eps=1e-4)
USUAL = {"disc": PatchGAN((4,)), "optimiser": TX, "disc_optimiser": TX}
SIDE = {"widths": (4,), "blocks": 1, "patch": 2}
ALGORITHMS = {
    "cycle": CycleGAN(ResnetTranslator(**SIDE), pool=3, **USUAL),
    "cycle-unet": CycleGAN(
        UnetTranslator((4, 4), 2),
        game=Relativistic(),
        penalties=(R1(),),
        every=2,
        identity=0.0,
        **USUAL,
    ),
    "cycle-residual": CycleGAN(
        ResidualTranslator((4, 4), 1, 2), game=Relativistic(), identity=0.0, **USUAL
    ),
    "cut": CUT(ResnetTranslator(**SIDE), pool=3, **USUAL),
    "munit": MUNIT(
        3,
        ContentEncoder(**SIDE),
        StyleEncoder((4,), 2),
        AdainDecoder(**SIDE, hidden=8),
        cycle=1.0,
        **USUAL,
    ),
    "unit": UNIT(ContentEncoder(**SIDE), ContentDecoder(**SIDE), **USUAL),
}
FIRST = ("cycle",)  # compiling is dear: make test-all takes the others too
cases = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in FIRST else (pytest.mark.all,)) for n in ALGORITHMS],
)


def told(run) -> str:
    """The one line of the UserError that it raises."""
    with pytest.raises(UserError) as error:
        run()
    assert "\n" not in str(error.value)
    return str(error.value)


def batch(step: int, n: int = 4) -> dict:
    """Rows of two domains, each with numbers of its own."""
    rng = np.random.default_rng(step)

    def part(first):
        image = rng.integers(0, 256, (n, 16, 16, 1)).astype(np.uint8)
        return {"index": np.arange(first, first + n, dtype=np.uint32), "image": image}

    found = {"a": part(0), "b": part(50)}
    number = np.arange(n, dtype=np.uint32)
    return {"index": number, "position": number, **found}


# AdaIN and the critic


def test_adain_gives_channels_the_means_and_deviations_that_are_asked():
    rng = np.random.default_rng(0)
    x = 30.0 + 5.0 * rng.normal(size=(3, 8, 6, 5)).astype(np.float32)
    mean = rng.normal(size=(3, 5)).astype(np.float32)
    deviation = rng.uniform(0.5, 2.0, (3, 5)).astype(np.float32)
    y = np.float64(adain(x, mean, deviation))
    np.testing.assert_allclose(y.mean((1, 2)), mean, atol=2e-5)
    np.testing.assert_allclose(y.std((1, 2)), deviation, rtol=2e-5)
    normal = np.float64(instance_norm(x))
    np.testing.assert_allclose(normal.std((1, 2)), 1.0, rtol=2e-5)
    # a flat channel is no division by zero
    assert np.isfinite(instance_norm(np.ones((1, 4, 4, 1), np.float32))).all()


def test_a_residual_net_adds_to_its_input_and_starts_near_nothing():
    net = ResidualTranslator((4, 8), blocks=1, patch=2)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 1)).astype(np.float32)
    weights = jax.jit(net.init, static_argnums=3)(jax.random.key(0), x, None, x.shape[1:])
    apply = jax.jit(net.apply, static_argnums=3)
    first = apply(weights, x, None, x.shape[1:])
    assert 0 < np.abs(first - x).max() < 0.1
    # colours are no matter of norms: what is added hangs on how bright the picture is
    brighter = apply(weights, x + 0.5, None, x.shape[1:])
    assert np.abs((brighter - x - 0.5) - (first - x)).max() > 1e-4
    # without the last kernel nothing is added, to the bit
    last = max(weights["params"], key=lambda name: int(name.split("_")[-1]))
    weights["params"][last] = jax.tree.map(np.zeros_like, weights["params"][last])
    np.testing.assert_array_equal(apply(weights, x, None, x.shape[1:]), x)


# The pool


def by_the_rule(key, size, sequence):
    """The rule in plain Python, with the draws of `pooled`: (what is shown, what is held)."""
    held, shown = [], []
    for number, picture in enumerate(sequence):
        coin, which = jax.random.split(jax.random.fold_in(key, number))
        if len(held) < size:
            held.append(picture)
            shown.append(picture)
        elif bool(jax.random.bernoulli(coin)):
            place = int(jax.random.randint(which, (), 0, size))
            shown.append(held[place])
            held[place] = picture
        else:
            shown.append(picture)
    return shown, held


def test_the_pool_holds_and_shows_what_the_rule_says():
    key = jax.random.key(5)
    sequence = np.arange(1.0, 13.0, dtype=np.float32)
    take = jax.jit(pooled)
    pool, shown = take(key, empty_pool(4, ()), sequence)
    expected, held = by_the_rule(key, 4, sequence.tolist())
    assert shown.tolist() == expected and pool["pictures"].tolist() == held
    # older ones are shown, some are let go, and the coin falls on both sides
    later = np.array(expected[4:]) != sequence[4:]
    assert later.any() and not later.all() and int(pool["held"]) == 4
    # a pool that is not full stays open at the end
    part, _ = pooled(key, empty_pool(4, ()), sequence[:3])
    assert part["pictures"].tolist() == [1.0, 2.0, 3.0, 0.0] and int(part["held"]) == 3


def test_every_layout_holds_the_same_pool():
    key = jax.random.key(5)
    fresh = np.arange(1.0, 9.0, dtype=np.float32)
    pool = empty_pool(3, ())
    one, shown = jax.jit(pooled)(key, pool, fresh)

    def here(part):
        return _everywhere(key, pool, part, "devices")

    many, parts = jax.pmap(here, "devices")(fresh.reshape(4, 2))
    assert parts.reshape(-1).tolist() == shown.tolist()
    for pictures in many["pictures"]:
        assert pictures.tolist() == one["pictures"].tolist()


# CycleGAN's losses


class Line(nn.Module):
    """x -> s x + t, of one pixel."""

    @nn.compact
    def __call__(self, x, cond, out):
        return self.param("s", nn.initializers.ones, ()) * x + self.param(
            "t", nn.initializers.zeros, ()
        )


def line(s: float, t: float) -> dict:
    return {"s": jnp.float32(s), "t": jnp.float32(t)}


def gaussians(n: int) -> tuple[dict, dict]:
    """Two 1-D Gaussians as domains, in the units that fields store, and their (mean, deviation)."""
    laws = {"a": (0.3, 0.5), "b": (-0.4, 0.8)}
    quantiles = (np.arange(n) + 0.5) / n
    grid = np.asarray(jax.scipy.stats.norm.ppf(quantiles), np.float32)
    found = {}
    for name, (mean, deviation) in laws.items():
        x = mean + deviation * grid
        # in [0, 1] where encoded values are in [-1, 1]
        unit_values = (x + 1.0) / 2.0
        found[name] = {"image": unit_values.reshape(-1, 1, 1, 1)}
    return found, laws


def folded(mean: float, deviation: float) -> float:
    """E |z| of N(mean, deviation²)."""
    if not deviation:
        return abs(mean)
    phi = jax.scipy.stats.norm.cdf(-mean / deviation)
    peak = deviation * np.sqrt(2 / np.pi) * np.exp(-(mean**2) / (2 * deviation**2))
    return float(peak + mean * (1 - 2 * phi))


def test_the_cycle_of_lines_is_the_mean_of_a_folded_gaussian_and_least_at_the_inverse():
    data, laws = gaussians(4001)
    cfg = CycleGAN(Line(), cycle=1.0, identity=0.0)

    def loss(gen):
        _, parts = cycle.cost(cfg, POINT, gen, data)
        return parts["cycle"].mean()

    # b = s a + t, and back a = p b + q
    for s, t, p, q in ((2.0, 0.3, 0.25, 0.1), (-1.0, 0.2, 0.5, -0.4)):
        found = float(loss({"b": line(s, t), "a": line(p, q)}))
        slope = s * p - 1.0
        expected = 0.0
        for name, rest in (("a", p * t + q), ("b", s * q + t)):
            mean, deviation = laws[name]
            expected += folded(slope * mean + rest, abs(slope) * deviation)
        assert found == pytest.approx(expected, rel=1e-3)
    inverse = {"b": line(2.0, 0.3), "a": line(0.5, -0.15)}
    assert float(loss(inverse)) < 1e-6
    # and descent from another pair ends at some inverse pair
    gen = {"b": line(1.5, 0.2), "a": line(0.4, 0.3)}
    down = jax.jit(jax.grad(loss))
    for i in range(400):
        rate = 0.05 * (1 - i / 400)
        gen = jax.tree.map(lambda w, g, rate=rate: w - rate * g, gen, down(gen))
    (p, q), (s, t) = ((float(gen[n]["s"]), float(gen[n]["t"])) for n in "ab")
    assert s * p == pytest.approx(1.0, abs=0.01) and p * t + q == pytest.approx(0.0, abs=0.01)


def test_the_identity_loss_is_that_of_each_generator_on_its_own_domain():
    data, _ = gaussians(1001)
    gen = {"b": line(1.0, 0.25), "a": line(1.0, -0.5)}
    cfg = CycleGAN(Line(), cycle=2.0, identity=0.5)
    made, parts = cycle.cost(cfg, POINT, gen, data)
    np.testing.assert_allclose(parts["identity"], 2.0 * 0.5 * (0.25 + 0.5), rtol=1e-4)
    # there + 0.25, back - 0.5: 0.25 away, both ways round
    np.testing.assert_allclose(parts["cycle"], 2.0 * (0.25 + 0.25), rtol=1e-4)
    away = np.asarray(made["b"]) - np.asarray(POINT.encode(data["a"]))
    np.testing.assert_allclose(away, 0.25, atol=1e-5)


# CUT, MUNIT, UNIT


def test_patch_nce_is_cross_entropy():
    rng = np.random.default_rng(1)
    asked, known = rng.normal(size=(2, 3, 5, 4)).astype(np.float32)
    found = patch_nce(asked, known, 0.5)
    for row in range(3):
        logits = np.float64(asked[row]) @ np.float64(known[row]).T / 0.5
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        assert float(found[row]) == pytest.approx(-np.log(np.diag(shares)).mean(), rel=1e-5)
    # places that are all alike cannot be told: log S
    alike = np.ones((1, 5, 4), np.float32)
    assert float(patch_nce(alike, alike, 0.07)[0]) == pytest.approx(np.log(5), rel=1e-5)
    places = np.asarray(drawn_places(jax.random.key(0), np.arange(3), 9, 6))
    assert places.shape == (3, 6) and all(len(set(row)) == 6 for row in places.tolist())


class Shape(nn.Module):
    """What a picture is about its mean."""

    @nn.compact
    def __call__(self, x, cond, out):
        return x - x.mean((1, 2), keepdims=True)


class Tone(nn.Module):
    """The mean of a picture."""

    @nn.compact
    def __call__(self, x, cond, out):
        return x.mean((1, 2))


class Toned(nn.Module):
    """A shape with a mean."""

    @nn.compact
    def __call__(self, content, style, out):
        return content + style[:, None, None]


def test_munit_comes_back_where_its_nets_take_apart_and_put_together():
    cfg = MUNIT(1, Shape(), Tone(), Toned(), cycle=1.0)
    empty = {"content": {}, "reader": {}, "dec": {}}
    gen = {"a": empty, "b": empty}
    seen = batch(0)
    made, parts = munit.cost(cfg, PLANE, gen, jax.random.key(0), seen)
    for name, value in parts.items():
        np.testing.assert_allclose(value, 0.0, atol=1e-5, err_msg=name)
    # what is made has the input's shape and a drawn tone
    x = np.asarray(PLANE.encode(seen["a"]))
    away = np.asarray(made["b"]) - x
    assert np.ptp(away, (1, 2)).max() < 1e-5 and np.abs(away).mean((1, 2, 3)).min() > 1e-3
    # an example's tone is taken as it is
    y = np.asarray(PLANE.encode(seen["b"]))
    style = munit.example_styles(cfg, PLANE, gen, y)
    like = np.asarray(munit.translated(cfg, PLANE, gen, x, style))
    np.testing.assert_allclose(like.mean((1, 2)), y.mean((1, 2)), atol=1e-5)


def test_units_divergence_is_that_of_two_gaussians():
    mean = np.array([[0.0, 1.0], [-2.0, 0.5]], np.float32)
    z = np.linspace(-12, 12, 4001)
    expected = []
    for row in mean:
        total = 0.0
        for m in row:
            density = np.exp(-((z - m) ** 2) / 2) / np.sqrt(2 * np.pi)
            log_ratio = (z**2 - (z - m) ** 2) / 2
            total += np.trapezoid(density * log_ratio, z)
        expected.append(total / 2)
    np.testing.assert_allclose(unit.divergence(mean), expected, rtol=1e-5)


# A step


@pytest.fixture(scope="module")
def play():
    """play(name, steps, start=None) -> (state, metrics); compiled steps are kept."""
    compiled = {}

    def run(name, steps, start=None):
        if name not in compiled:
            algorithm = ALGORITHMS[name](PLANE)
            turns = algorithm.cycle or (algorithm.step,)
            compiled[name] = algorithm, [jax.jit(guarded(turn)) for turn in turns]
        algorithm, turns = compiled[name]
        state = start
        if state is None:
            state = jax.jit(algorithm.init)(jax.random.key(3), batch(0, 1))
        metrics = []
        for i in range(int(state.step), int(state.step) + steps):
            key = jax.random.fold_in(jax.random.key(1), i)
            state, values = turns[i % len(turns)](key, state, batch(i))
            metrics.append(jax.device_get(values))
        return state, metrics

    return run


def same(a, b) -> bool:
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in leaves)


@cases
def test_resume_is_bit_identical_pool_and_all(name, play, tmp_path):
    straight, metrics = play(name, 4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(straight))
    assert not any(m["skipped"] for m in metrics)
    assert all(m["grad_norm"] > 0 and m["gen_grad_norm"] > 0 for m in metrics)
    half, _ = play(name, 2)
    checkpoints = Checkpoints(tmp_path, "{}", 1)
    checkpoints.save(2, half, {})
    like = Jit().like(ALGORITHMS[name](PLANE).init, jax.random.key(3), batch(0, 1))
    restored, _ = checkpoints.restore(like)
    checkpoints.close()
    resumed, _ = play(name, 2, restored)
    assert same(straight, resumed)
    for pool in straight.extra["pool"].values():
        # four steps of four, as far as there is room
        assert int(pool["held"]) == min(len(pool["pictures"]), 16) and pool["pictures"].any()


@cases
def test_evaluate_is_per_example_and_sample_is_a_function_of_the_index(name, play):
    algorithm = ALGORITHMS[name](PLANE)
    state, _ = play(name, 1)
    one = batch(7)
    # the same examples at other places of a batch
    other = jax.tree.map(lambda x: np.roll(x, 1, 0), one)
    evaluate = jax.jit(algorithm.evaluate)
    values = evaluate(jax.random.key(0), state, one)
    again = evaluate(jax.random.key(0), state, other)
    for key, value in values.items():
        assert value.shape == (4,)
        moved = np.roll(value, 1)
        np.testing.assert_allclose(moved, again[key], rtol=1e-4, atol=1e-5, err_msg=key)
    sample = jax.jit(algorithm.sample)
    x = sample(jax.random.key(0), state, one)
    y = sample(jax.random.key(0), state, other)
    assert x.shape == (4, 16, 16, 1) and float(x.min()) >= 0 and float(x.max()) <= 1
    np.testing.assert_allclose(np.roll(x, 1, 0), y, atol=1e-5)
    assert algorithm.picture(x, one).shape[1] % (3 * 33) == 98


@pytest.mark.all
@pytest.mark.parametrize("name", ["cycle", "munit"])
def test_devices_together_do_what_one_does(name, play):
    one, metrics = play(name, 2)
    layout = Pmap()
    algorithm = ALGORITHMS[name](PLANE)
    state = layout.init(algorithm.init, jax.random.key(3), batch(0, 1))
    step = layout.train(guarded(algorithm.step), state)
    for i in range(2):
        rows = jax.tree.map(lambda x: x[None], batch(i))
        state, values = step(jax.random.key(1), state, {}, layout.put(rows, 1))
        values = jax.device_get(values)
        np.testing.assert_allclose(values["loss"][0], metrics[i]["loss"], rtol=1e-4)
        assert values["gen_grad_norm"][0] == pytest.approx(metrics[i]["gen_grad_norm"], 1e-3)
    for a, b in zip(jax.tree.leaves(one.extra), jax.tree.leaves(state.extra), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.all
def test_styles_of_examples_are_those_of_the_other_domains_pictures(play):
    state, _ = play("munit", 1)
    given = batch(7)
    cfg = edit(ALGORITHMS["munit"], {"given": ExampleStyle()})
    x = cfg(PLANE).sample(jax.random.key(0), state, given)
    z = cfg(PLANE).sample(jax.random.key(9), state, given)
    # no draw is in it
    np.testing.assert_array_equal(x, z)


# What a cycle hides


def test_a_hidden_message_falls_and_an_honest_one_does_not():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.2, 0.8, (4, 16, 16, 1)).astype(np.float32)
    # a translation that is grey, with the picture in what nobody sees
    hidden = 0.5 + 1e-3 * x
    # an honest one: the negative
    honest = 1.0 - x
    found = {}
    for name, y, back in (
        ("hidden", hidden, lambda y: (y - 0.5) * 1e3),
        ("honest", honest, lambda y: 1.0 - y),
    ):
        for how, disturbed in cycles.disturbances(y, (0.01,)).items():
            found[name, how] = cycles.fidelity(back(disturbed), x).mean()
    assert found["hidden", "clean"] > 60 and found["honest", "clean"] > 60
    assert found["hidden", "8 bits"] < 15 and found["honest", "8 bits"] > 55
    assert found["hidden", "noise 0.01"] < 15
    # noise that goes through as it is: -20 log10 of its deviation
    assert found["honest", "noise 0.01"] == pytest.approx(40.0, abs=0.5)


def test_near_copies_make_no_interval_of_messages_narrower():
    rng = np.random.default_rng(1)
    # four people, ten shots of each that are all but the same
    of_person = rng.normal(30.0, 3.0, 4)
    person = np.repeat(np.arange(4), 10)
    psnr = of_person[person] + 1e-3 * rng.normal(size=40)
    kept = {}
    log = SimpleNamespace(result=kept.__setitem__, note=lambda words: None)
    this = SimpleNamespace(log=log)
    half = {}
    for name, groups in (("grouped", person), ("alone", np.arange(40))):
        cycles.Messages().tell(this, name, {"clean": psnr}, groups)
        entry = kept[f"cycle: {name}, clean"]
        half[name] = (entry["high"] - entry["low"]) / 2
        assert entry["psnr"] == pytest.approx(psnr.mean())
        assert (entry["fall_low"], entry["fall"], entry["fall_high"]) == (0.0, 0.0, 0.0)
    # Student's interval of four means
    error = of_person.std(ddof=1) / 2
    assert half["grouped"] == pytest.approx(3.182 * error, rel=1e-2)
    assert half["grouped"] > 3 * half["alone"] and entry["n"] == 40


def test_messages_groups_are_those_of_the_rows_that_are_sent():
    place = np.stack([np.arange(30) // 5, np.zeros(30)], 1) * 10.0 + 3.0
    image = np.arange(30, dtype=np.uint8).reshape(-1, 1, 1, 1)
    test = {"a": {"image": image, "place": place}}
    spec = Spec((("image", Image((1, 1, 1))),), 10, 1, ("a", "b"))
    source = SimpleNamespace(test=test, fields={"place": None})
    this = SimpleNamespace(source=source, spec=spec, exp=SimpleNamespace(view=()))
    finding = cycles.Messages(images=12, group="place", cell=10.0)
    rows = np.round(cycles.seen(this, "a", 12) * 255).astype(int).ravel()
    assert finding.groups(this, "a").tolist() == (rows // 5).tolist()
    assert len(set(cycles.Messages(images=12).groups(this, "a"))) == 12


# What is refused


def test_what_cannot_be_is_told_in_one_line():
    small = ALGORITHMS["cycle"]

    def using(changes, spec=PLANE):
        return told(lambda: edit(small, changes)(spec))

    assert "patch of 22x22" in using({"disc": PatchGAN((4, 8), halvings=2)})
    assert "has one answer to a picture" in using({"styles": 3})
    assert "--algorithm.cycle=-1.0" in using({"cycle": -1.0})
    assert "--algorithm.pool=-1" in using({"pool": -1})
    assert "divisible by 32" in using({"gen": ResnetTranslator((4,) * 6)})
    assert "maps of one pixel" in using({"gen": ResnetTranslator((4,) * 5)})
    with pytest.raises(
        UserError, match="its input, which has 1 channels, and the answer has 3"
    ):
        x = np.zeros((1, 16, 16, 1))
        jax.eval_shape(
            lambda: ResidualTranslator().init(jax.random.key(0), x, None, (16, 16, 3))
        )
    # a decoder beside an encoder that folds less
    for name, dec in (("munit", AdainDecoder((4, 4), 1, 2)), ("unit", ContentDecoder((4,), 1))):
        error = told(lambda name=name, dec=dec: edit(ALGORITHMS[name], {"dec": dec})(PLANE))
        assert "of maps of 8x8, and the data have 16x16" in error
    one = Spec((("image", Image((16, 16, 1))),))
    assert "between two domains, and the data have none" in using({}, one)
    points = Spec((("x", Points((2,))),), domains=("a", "b"))
    assert "CycleGAN() takes Image" in using({}, points)
    assert "at least 2" in told(lambda: edit(ALGORITHMS["cut"], {"places": 1})(PLANE))
    # nothing to measure is told before the training
    source = Domains(Digits(), Digits()).load()
    cfg = SimpleNamespace(algorithm=ALGORITHMS["cycle"])
    for change, words in (({"group": "writer"}, "no such field"), ({"cell": 0.0}, "cell=0.0")):
        finding = edit(cycles.Messages(), change)
        assert words in told(lambda f=finding: f.check(cfg, source))
    one = {name: values[:0] for name, values in source.test["b"].items()}
    for test in ({}, {**source.test, "b": one}):
        for finding in (cycles.Messages(), cycles.Styled()):
            exp = SimpleNamespace(algorithm=ALGORITHMS["cycle"])
            words = told(lambda f=finding, t=test, e=exp: f.check(e, source._replace(test=t)))
            assert "of test pictures of both domains" in words
    assert "--data.b is no data set" in told(lambda: Domains(Digits(), None).load())
