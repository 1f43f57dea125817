"""Conditions: what nets receive, what hides it, how nets take it; labels of samples follow the data."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from genjax import conditions
from genjax.conditions import (
    Caption,
    Cond,
    Embedding,
    Label,
    Numbers,
    Picture,
    Traits,
    Words,
    blank,
    told,
)
from genjax.config import digest, edit, field
from genjax.core import Algorithm, Spec, labelled, single
from genjax.corruptions import Coarse
from genjax.data import Digits, Source
from genjax.data.batches import chosen
from genjax.diffusion import named
from genjax.diffusion.gaussian import Diffusion
from genjax.ema import Decay
from genjax.errors import UserError
from genjax.fields import Attributes, Category, Image, Points, Tokens, encoded
from genjax.metrics.evaluate import Frechet
from genjax.metrics.features import Components
from genjax.nets import MLP, ConvEncoder, DiT, TimeMLP, UNet
from genjax.optim import Adam
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run
from genjax.training.watch import Watch
from genjax.vae.vae import VAE
from genjax.views import (
    Colours,
    Crop,
    Erase,
    Flip,
    Frames,
    Luma,
    Noise,
    Shift,
    Turn,
    seen_fields,
    viewed,
)

FIELDS = {
    "image": Image((8, 8, 1)),
    "label": Category(3),
    "attributes": Attributes(("a", "b")),
    "tokens": Tokens(4, 5),
}
SPEC = Spec(tuple(FIELDS.items()), 10)
BATCH = {
    "image": np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8),
    "label": np.array([0, 2, 1]),
    "attributes": np.array([[0, 1], [1, 1], [0, 0]], np.uint8),
    "tokens": np.array([[0, 1, 2, 3], [4, 4, 4, 4], [1, 0, 1, 0]]),
    "index": np.arange(3, dtype=np.uint32),
}
ALL = (Label(), Traits(), Words(), Picture(through=Coarse(2)))


def test_a_number_is_shares_of_its_two_places():
    spec = Spec((*FIELDS.items(), ("age", Points((1,)))), 10)
    cfg = Numbers("age", 20.0, 60.0, places=5)
    batch = {"age": np.array([[20.0], [60.0], [33.0], [5.0], [99.0]])}
    wanted = np.zeros((5, 5))
    wanted[[0, 1, 3, 4], [0, 4, 0, 4]] = 1.0  # beyond the ends: the nearest one
    wanted[2, 1:3] = 0.7, 0.3
    found = cfg(batch, spec).vector
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    # a line through the places is the number itself
    np.testing.assert_allclose(found[2] @ np.linspace(20, 60, 5), 33.0, rtol=1e-6)
    cfg.check(spec)


@dataclasses.dataclass(frozen=True)
class Aged:
    """Points with an age each."""

    def load(self) -> Source:
        split = {"point": np.zeros((40, 2), np.float32), "age": np.ones((40, 1), np.float32)}
        return Source("aged", {"point": Points((2,)), "age": Points((1,))}, split, {}, split)


def test_a_number_outside_the_range_is_not_asked_for(tmp_path):
    flow = edit(named.FLOW, {"net": TimeMLP((8,), waves=0), "schedule.steps": 2})
    told = edit(flow, {"condition": (Numbers("age", 0.0, 10.0),)})
    exp = Experiment(Aged(), told, 1, 16, every=Every(1, 0, 0, 1), runs=str(tmp_path))
    this = run("aged", exp, "base")
    np.testing.assert_array_equal(this.given(3, age=5)["age"], [[5.0]] * 3)
    np.testing.assert_array_equal(this.given(3, age=[5, 6, 7])["age"], [[5.0], [6.0], [7.0]])
    assert this.sample(3, age=10).shape == (3, 2)
    # in silence it would be told as 10
    for asked in (10.5, -1.0):
        with pytest.raises(
            UserError, match=f"age asked for is {asked:g}, and .* knows 0 to 10"
        ):
            this.sample(3, age=[5.0, asked, 5.0])


@pytest.mark.parametrize(
    "cfg, told",
    [
        (Numbers("hats"), "hats"),
        (Numbers("label"), "label"),
        (Numbers("age", 3.0, 3.0), "a range that rises"),
        (Numbers("age", places=1), "places=1"),
        (Numbers("pose"), "needs one number an example"),
    ],
)
def test_numbers_that_the_data_lack_are_one_line(cfg, told):
    fields = {**FIELDS, "age": Points((1,)), "pose": Points((2,))}
    with pytest.raises(UserError, match=told) as error:
        cfg.check(Spec(tuple(fields.items()), 10))
    assert "\n" not in str(error.value)


def test_all_kinds_come_in_one_form_and_zeros_say_nothing():
    cond = told(ALL, BATCH, SPEC)
    assert cond.vector.shape == (3, 5) and cond.tokens.shape == (3, 4, 5)
    assert cond.maps.shape == (3, 8, 8, 1) and conditions.asks(ALL)[-1] == "image"
    np.testing.assert_array_equal(cond.vector[0], [1, 0, 0, -1, 1])
    for row in cond.vector:
        assert (row != 0).any()  # no value is "nothing"
    nothing = blank(ALL, BATCH, SPEC)
    assert not nothing.vector.any() and not nothing.tokens.any()
    np.testing.assert_array_equal(nothing.maps, cond.maps)  # a picture to restore stays
    half = told(ALL, BATCH, SPEC, jnp.array([True, False, True]))
    assert half.vector[0].any() and not half.vector[1].any() and not half.tokens[1].any()
    assert told((), BATCH, SPEC) is None


NETS = {
    "mlp": (TimeMLP((16,), waves=0), ALL),
    "dit": (DiT(patch=4, width=16, depth=1, heads=2), ALL),
    "unet": (UNet((8, 8), blocks=1, attention=(), heads=2), (Label(), Traits(), ALL[3])),
    "heard": (UNet((8, 8), blocks=1, attention=(), heads=2, words=(2,)), ALL),
}


@pytest.mark.parametrize(
    "name", [n if n == "mlp" else pytest.param(n, marks=pytest.mark.all) for n in NETS]
)
def test_denoisers_see_every_condition_that_they_take(name):
    net, given = NETS[name]
    x, time = jnp.ones((3, 8, 8, 1)), jnp.full(3, 0.5)
    cond = told(given, BATCH, SPEC)
    params = jax.jit(net.init, static_argnums=4)(jax.random.key(0), x, time, cond, (8, 8, 1))
    noisy = jax.tree.map(
        lambda p: p + 0.1 * jax.random.normal(jax.random.key(1), p.shape), params
    )
    apply = jax.jit(net.apply, static_argnums=4)
    before = apply(noisy, x, time, cond, (8, 8, 1))
    for part, value in cond._asdict().items():
        if value is not None:
            other = cond._replace(**{part: value[::-1]})
            after = apply(noisy, x, time, other, (8, 8, 1))
            assert np.abs(before - after).max() > 1e-4, part


def test_a_net_that_cannot_attend_says_so():
    cond = told((Words(),), BATCH, SPEC)
    with pytest.raises(UserError, match="UNet: no map attends to the sequence"):
        NETS["unet"][0].init(
            jax.random.key(0), jnp.ones((3, 8, 8, 1)), jnp.ones(3), cond, (8, 8, 1)
        )
    with pytest.raises(UserError, match="ConvEncoder cannot attend"):
        ConvEncoder((4,)).init(jax.random.key(0), jnp.ones((3, 8, 8, 1)), cond, (2,))
    flat = MLP().init_with_output(jax.random.key(0), jnp.ones((3, 2)), cond, (2,))[0]
    assert flat.shape == (3, 2)


REFUSED = {
    "no such field": (Label("kind"), "the field 'kind' is not in the data"),
    "another kind": (Traits("label"), "takes Attributes, and the field 'label' is a Category"),
    "tokens": (Words("image"), "takes Tokens, and the field 'image' is a Image"),
    "picture": (Picture("tokens"), "takes Image, and the field 'tokens' is a Tokens"),
    "degradation": (Picture(through=Coarse(3)), "do not divide into blocks of 3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_conditions_that_the_data_cannot_give(name):
    condition, line = REFUSED[name]
    with pytest.raises(UserError, match=line):
        Diffusion(net=TimeMLP((8,)), condition=(condition,))(SPEC)


def test_a_field_of_a_kind_that_the_algorithm_cannot_take_is_named():
    spec = Spec((("tokens", Tokens(4, 5)),))
    with pytest.raises(UserError, match="VAE takes Image or .* the field 'tokens' is a Tokens"):
        VAE(2)(spec)


# Samples: what is asked for


@dataclasses.dataclass(frozen=True)
class Perfect:
    """Samples are training images of the class asked for."""

    def __call__(self, spec: Spec) -> Algorithm:
        source = Skewed().load()
        of = [np.flatnonzero(source.train["label"] == c) for c in range(2)]
        images = jnp.asarray(source.train["image"]) / 255.0

        def loss(params, key, batch, step):
            return {"loss": jnp.square(params["net"]["w"]) + jnp.zeros(len(batch["index"]))}

        def evaluate(key, state, batch):
            return loss(state.params, key, batch, 0)

        def sample(key, state, given):
            first = images[jnp.asarray(of[0])[given["index"] % len(of[0])]]
            second = images[jnp.asarray(of[1])[given["index"] % len(of[1])]]
            return jnp.where((given["label"] == 0)[:, None, None, None], first, second)

        init, step = single(
            lambda key, batch: {"net": {"w": jnp.ones(())}}, loss, Adam()(1), Decay(0.0)
        )
        return Algorithm(init, step, evaluate, sample, asks=("label",))


@dataclasses.dataclass(frozen=True)
class Skewed:
    """Zeros and ones of the digits, nine to one."""

    def load(self) -> Source:
        split, rng = Digits().load().train, np.random.default_rng(0)
        zeros = np.flatnonzero(split["label"] == 0)
        ones = np.flatnonzero(split["label"] == 1)[: len(zeros) // 9]
        rows = rng.permutation(np.concatenate([zeros, ones]))
        halves = [
            {k: array[part] for k, array in split.items()} for part in np.split(rows, [80])
        ]
        none = {k: array[:0] for k, array in split.items()}
        fields = {"image": Image((8, 8, 1)), "label": Category(2)}
        return Source("skewed", fields, halves[0], none, halves[1])


def test_labels_of_samples_follow_the_data(tmp_path):
    """Perfect conditional samples of 90/10 data score as real ones do; with labels in turn they would not."""
    watch = Watch((Frechet(),), extractor=Components(4))
    exp = Experiment(Skewed(), Perfect(), 1, 16, watch=watch, every=Every(1, 0, 0, 1))
    this = run("skewed", edit(exp, {"runs": str(tmp_path)}), "base")
    value = this.log.result("metrics")["fd_pca4"]
    assert value["value"] < 1.5 * value["floor"]
    given = this.given(value["n"])
    assert 0.05 < given["label"].mean() < 0.15
    np.testing.assert_array_equal(given["label"], this.source.test["label"])
    assert (this.given(5, label=1)["label"] == 1).all()
    turns = this.sample(value["n"], label=np.arange(value["n"]) % 2)
    wrong = this.measure(turns, np.arange(value["n"]) % 2)["fd_pca4"].value
    assert wrong > 2 * value["value"]


def test_a_condition_on_an_unconditional_model_is_refused(tmp_path):
    flow = edit(named.FLOW, {"net": TimeMLP((8,), waves=0), "schedule.steps": 2})
    exp = Experiment(Digits(), flow, 1, 16, every=Every(1, 0, 0, 1), runs=str(tmp_path))
    this = run("plain", exp, "base")
    with pytest.raises(
        UserError, match="does not ask for 'label': it samples without conditions"
    ):
        this.sample(3, label=1)
    with pytest.raises(
        UserError, match="asks for the field 'label' to sample, and points has point"
    ):
        run("x", dataclasses.replace(exp, data=Unlabelled(), algorithm=Perfect()), "base")


@dataclasses.dataclass(frozen=True)
class Unlabelled:
    def load(self) -> Source:
        split = {"point": np.zeros((40, 2), np.float32)}
        return Source("points", {"point": Points((2,))}, split, {}, split)


def test_a_part_of_a_split_is_a_fixed_fair_draw():
    assert (chosen(5, 5) == np.arange(5)).all() and (
        chosen(7, 5) == [0, 1, 2, 3, 4, 0, 1]
    ).all()
    part = chosen(100, 1000)
    assert (np.diff(part) > 0).all() and (part == chosen(100, 1000)).all()
    assert 400 < part.mean() < 600  # of a sorted set the head would be another set


# Views


KEYS = jax.random.split(jax.random.key(0), 3)
MASKED = {**BATCH, "mask": BATCH["image"][..., 0] > 99}


def through(view, batch):
    """What a view makes of a batch, by one program."""
    return jax.jit(view.__call__)(KEYS, batch)


def test_views_do_the_same_to_all_that_they_name():
    flipped = through(Flip(("image", "mask")), MASKED)
    for i in range(3):
        turned = not np.array_equal(flipped["image"][i], MASKED["image"][i])
        assert np.array_equal(flipped["image"][i], MASKED["image"][i][:, ::-1]) is turned
        assert np.array_equal(flipped["mask"][i], flipped["image"][i, ..., 0] > 99)
    cut = through(Crop(5, ("image", "mask")), MASKED)
    assert cut["image"].shape == (3, 5, 5, 1)
    np.testing.assert_array_equal(cut["mask"], np.asarray(cut["image"])[..., 0] > 99)
    still = Crop(4).still(MASKED)["image"]
    np.testing.assert_array_equal(still, MASKED["image"][:, 2:6, 2:6])
    moved = through(Shift(1), MASKED)["image"]
    assert moved.shape == (3, 8, 8, 1) and moved.dtype == np.uint8
    noisy = through(Noise(0.1), MASKED)["image"]
    assert noisy.dtype == np.float32 and noisy.min() >= 0 and noisy.max() <= 1
    erased = through(
        Erase(3), {"image": np.full((3, 8, 8, 1), 9, np.uint8), "index": BATCH["index"]}
    )
    assert all(4 <= (x == 0).sum() <= 9 for x in np.asarray(erased["image"]))


def test_luma_is_that_of_pillow_and_the_same_at_every_sight():
    colours = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    grey = through(Luma(), {"image": colours})["image"]
    assert grey.shape == (3, 8, 8, 1) and grey.dtype == np.uint8
    expected = [np.asarray(PIL.Image.fromarray(x).convert("L")) for x in colours]
    difference = np.asarray(grey)[..., 0].astype(int) - expected
    assert (
        abs(difference).max() <= 1 and (difference == 0).mean() > 0.9
    )  # Pillow's are integers
    halves = Luma().still({"image": colours / np.float32(255)})["image"]  # bytes or not
    np.testing.assert_allclose(255 * np.asarray(halves), grey, atol=0.51)
    assert seen_fields((Luma(),), {"image": Image((8, 8, 3))})["image"].shape == (8, 8, 1)
    assert Luma().still({}) == {}


def test_a_turn_is_a_rotation_and_a_scale_and_the_mask_goes_along():
    side = np.arange(16) / 15
    y, x = np.meshgrid(side, side, indexing="ij")
    ramp = np.stack([y, x], -1)[None].repeat(3, 0)
    mask = (x > 0.5)[None].repeat(3, 0).astype(np.uint8)
    fields = ("image", "mask")
    same = through(Turn(0.0, 1.0, fields), {"image": ramp, "mask": mask})
    np.testing.assert_allclose(same["image"], ramp, atol=1e-6)
    seen = through(Turn(30.0, 1.25, fields), {"image": ramp, "mask": mask})
    middle = np.asarray(seen["image"])[:, 5:11, 5:11]  # nothing here is mirrored
    down, right = (15 * np.diff(middle, axis=axis) for axis in (1, 2))
    for a, b in zip(down.reshape(3, -1, 2), right.reshape(3, -1, 2), strict=True):
        # of a plane bilinear values are exact: one vector everywhere, and one at a right angle
        np.testing.assert_allclose(a, a[:1].repeat(len(a), 0), atol=1e-4)
        np.testing.assert_allclose(b[0], [-a[0, 1], a[0, 0]], atol=1e-4)
        assert 0.79 < np.hypot(*a[0]) < 1.26 and abs(np.arctan2(*a[0][::-1])) < np.pi / 6
    assert len({round(float(d[0, 0, 0]), 4) for d in down}) == 3  # each picture its own
    there = abs(middle[..., 1] - 0.5) > 0.05  # within a pixel of the border either is right
    np.testing.assert_array_equal(
        np.asarray(seen["mask"])[:, 5:11, 5:11][there], (middle[..., 1] > 0.5)[there]
    )


def test_colours_keep_grey_and_mean_where_they_say_so():
    pictures = np.random.default_rng(0).integers(90, 160, (3, 8, 8, 3), np.uint8)
    before = pictures / np.float32(255)
    luma = np.array([0.299, 0.587, 0.114])
    drawn = np.asarray(through(Colours(0.5, 0.0, 0.0), {"image": pictures})["image"])
    np.testing.assert_allclose(drawn @ luma, before @ luma, atol=1e-5)
    drawn = np.asarray(through(Colours(0.0, 0.3, 0.0), {"image": pictures})["image"])
    np.testing.assert_allclose(drawn.mean((1, 2, 3)), before.mean((1, 2, 3)), atol=1e-5)
    drawn = np.asarray(through(Colours(0.0, 0.0, 0.2), {"image": pictures})["image"])
    gains = np.log(drawn / before)
    assert gains.std((1, 2)).max() < 1e-4 and 0.05 < abs(gains).max() <= 0.2001


def test_frames_are_different_shots_of_one_example():
    shots = {"point": np.arange(12.0).reshape(3, 4, 1), "index": BATCH["index"]}
    chosen = np.asarray(Frames(2, ("point",))(KEYS, shots)["point"])[..., 0]
    assert (chosen // 4 == np.arange(3)[:, None]).all() and (chosen[:, 0] != chosen[:, 1]).all()


@pytest.mark.all
def test_views_are_of_training_alone_and_change_what_is_modelled():
    fields = seen_fields((Crop(4), Flip()), {"image": Image((8, 8, 1)), "label": Category(3)})
    assert fields["image"].shape == (4, 4, 1)
    spec = Spec(tuple(fields.items()), 10)
    plain = VAE(2, MLP(), MLP())(spec)
    algorithm = viewed(plain, (Crop(4), Flip()), spec)
    state = jax.jit(algorithm.init)(jax.random.key(0), BATCH)
    key = jax.random.key(1)
    values = jax.jit(algorithm.evaluate)(key, state, BATCH)
    middle = {**BATCH, "image": BATCH["image"][:, 2:6, 2:6]}
    np.testing.assert_allclose(
        values["mse"], jax.jit(plain.evaluate)(key, state, middle)["mse"], rtol=1e-5
    )
    one = algorithm.step(key, state, BATCH)[1]["loss"]
    other = algorithm.step(jax.random.key(2), state, BATCH)[1]["loss"]
    assert float(one) != float(other)
    assert viewed(plain, (), spec) is plain


VIEWS = {
    "a flip of tokens": (Flip(("tokens",)), "takes Image or Mask, and the field 'tokens'"),
    "a turn of tokens": (Turn(of=("tokens",)), "takes Image or Mask, and the field 'tokens'"),
    "a scale of half": (Turn(scale=0.5), "view.scale=0.5 must be at least 1"),
    "colours of grey": (Colours(), "takes pictures of 3 channels"),
    "a contrast of two": (Colours(contrast=2.0), "view.contrast=2.0 must be at most 1"),
    "a large crop": (Crop(9), r"does not fit pictures of 8x8: use 1 to 8"),
    "noise on labels": (Noise(0.1, "label"), "the field 'label' is a Category"),
    "frames of a picture": (Frames(2), "takes Film or Points or Series"),
    "luma of grey": (Luma(), r"takes pictures of 3 channels, and 'image' is \(8, 8, 1\)"),
    "no shift": (Shift(0), "must be at least 1"),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_that_do_not_fit(name):
    view, line = VIEWS[name]
    with pytest.raises(UserError, match=line):
        seen_fields((view,), FIELDS)


def test_metrics_of_samples_that_are_smaller_than_the_data_are_refused(tmp_path):
    watch = Watch((Frechet(),), extractor=Components(4))
    exp = Experiment(Digits(), VAE(2, MLP(), MLP()), 1, 16, view=(Crop(4),), watch=watch)
    with pytest.raises(UserError, match=r"makes examples of \(4, 4, 1\) out of \(8, 8, 1\)"):
        run("cropped", dataclasses.replace(exp, runs=str(tmp_path)), "base")


def test_a_view_of_the_command_line():
    from genjax.cli import read
    from genjax.config import lookup

    exp = Experiment(Digits(), VAE())
    hint, value = lookup(exp, "view")
    assert read("view", "(Flip(),Shift(pixels=2))", hint, value) == (Flip(), Shift(2))
    assert labelled(Image((2, 2, 1))).main == "image" and field is not None
    assert isinstance(told((Label(),), BATCH, SPEC), Cond)


# Sentences


SPOKEN = Spec((("image", Image((8, 8, 1))), ("caption", Tokens(8, 256))), 10)


def lines(*texts: str) -> dict:
    rows = [encoded(line, 8)[0] for line in texts]
    return {"caption": np.stack(rows), "index": np.arange(len(texts), dtype=np.uint32)}


def test_an_empty_sentence_is_a_hidden_one():
    batch = lines("a b", "", "añb")
    cond = told((Caption(),), batch, SPOKEN)
    assert cond.tokens.shape == (3, 8, 256) and not cond.tokens[1].any()
    np.testing.assert_array_equal(cond.tokens.sum((1, 2)), [3, 0, 4])  # bytes, and no filling
    nothing = blank((Caption(),), batch, SPOKEN)
    np.testing.assert_array_equal(nothing.tokens, 0 * cond.tokens)
    one = told((Caption(),), batch, SPOKEN, jnp.array([0, 1, 1]))
    np.testing.assert_array_equal(one.tokens[0], one.tokens[1])


def test_a_negative_sentence_takes_the_place_of_nothing_in_guidance_alone():
    condition = (Caption(negative="no"), Label())
    batch = {**lines("yes", ""), "label": np.array([1, 2])}
    fields = (*SPOKEN.fields, ("label", Category(3)))
    spec = Spec(fields, 10)
    weak = blank(condition, batch, spec)
    said = told((Caption(),), lines("no", "no"), SPOKEN)
    np.testing.assert_array_equal(weak.tokens, said.tokens)
    assert not weak.vector.any()  # the label is hidden as before
    # in training a hidden sentence is nothing, not the negative one
    hidden = told(condition, batch, spec, jnp.zeros(2))
    assert not hidden.tokens.any()
    assert digest(Caption(negative="no")) == digest(Caption())


def test_embeddings_of_another_encoder_are_told_as_they_are():
    fields = {"image": Image((8, 8, 1)), "one": Points((5,)), "many": Points((4, 5))}
    spec = Spec(tuple(fields.items()), 10)
    batch = {"one": np.ones((2, 5)), "many": np.ones((2, 4, 5)), "index": np.arange(2)}
    cond = told((Embedding("one"), Embedding("many")), batch, spec)
    assert cond.vector.shape == (2, 5) and cond.tokens.shape == (2, 4, 5)
    with pytest.raises(UserError, match=r"takes \[D\] or \[T, D\], and 'film' is \(2, 3, 4\)"):
        Embedding("film").check(Spec((("film", Points((2, 3, 4))),)))


def test_negative_sentences_that_do_not_fit():
    with pytest.raises(
        UserError, match="'far too long' has 12 bytes, and 'caption' has room for 8"
    ):
        Caption(negative="far too long").check(SPOKEN)
    few = Spec((("caption", Tokens(8, 30)),))
    with pytest.raises(
        UserError, match="written in bytes, and the field 'caption' has 30 tokens"
    ):
        Caption(negative="no").check(few)
    with pytest.raises(UserError, match="field 'caption' is not in the data"):
        Caption().check(Spec((("image", Image((8, 8, 1))),)))


def test_a_sentence_is_asked_for_in_words():
    kind = SPOKEN.find("caption")
    rows = kind.number(["año", "b"])
    assert rows.shape == (2, 8) and bytes(rows[0, :4].tolist()).decode() == "año"
    np.testing.assert_array_equal(kind.number("b"), rows[1:])
    np.testing.assert_array_equal(kind.number(rows), rows)
    with pytest.raises(UserError, match="has 9 bytes, and there is room for 8"):
        kind.number("nine char")
    with pytest.raises(UserError, match="'b' is written in bytes, and there are 5 tokens"):
        Tokens(4, 5).number("b")


def test_a_sentence_in_another_encoding_is_refused_with_its_place():
    # as Python reads the byte 0xf1, an "ñ" of Latin 1, from a command line
    line = b"ni\xf1o".decode("utf-8", "surrogateescape")
    with pytest.raises(UserError, match="is not UTF-8 at character 3: write the") as error:
        Tokens(8, 256).number(line)
    assert str(error.value).isascii()
    with pytest.raises(UserError, match="is not UTF-8"):
        Caption(negative=line).check(SPOKEN)
