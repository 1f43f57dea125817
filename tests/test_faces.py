"""Faces: what reads them, what a latent holds and steers, and the comparison of families that draws them."""

import json

import numpy as np
import pytest

from experiments import faces
from genjax import nets
from genjax.config import edit
from genjax.data.heads import Heads
from genjax.errors import UserError
from genjax.fields import Attributes, Points
from genjax.findings import comparison
from genjax.findings.contenders import Outcome
from genjax.findings.latents import Facts, Known
from genjax.findings.steering import Steering, balanced, effects, fitted, readable
from genjax.machine.parallel import Jit
from genjax.metrics.evaluate import Frechet, Recognition, Seen, Value
from genjax.metrics.nearest import NearestTraining, beside, nearest
from genjax.metrics.reader import Read, Reader, Shares, certainty, variation
from genjax.optim import Adam, CosineDecay
from genjax.training.watch import Watch

CODES = np.random.default_rng(0).standard_normal((900, 20))
WEIGHT = np.random.default_rng(7).standard_normal(20)
FAST = Adam(1e-2, warmup=10, decay=CosineDecay())
READS = Reader("traits", ("years",), (), (8, 8), 16, steps=150, batch=64, optimiser=FAST)


def known(codes, values, groups=None):
    groups = np.arange(len(codes)) if groups is None else groups
    return Known(codes, {"y": values}, groups)


# Probes


def test_a_probe_finds_a_linear_map_and_nothing_in_noise():
    y = CODES @ WEIGHT + 3.0
    probe = fitted(CODES[:600], y[:600], False)
    assert readable(probe, known(CODES[600:], y[600:]), "y", False).value > 0.999
    noise = np.random.default_rng(1).standard_normal(900)
    probe = fitted(CODES[:600], noise[:600], False)
    value, low, high = readable(probe, known(CODES[600:], noise[600:]), "y", False)
    assert abs(value) < 0.05 and low <= value <= high


def test_a_yes_or_no_is_read_however_rare():
    said = CODES @ WEIGHT / np.linalg.norm(WEIGHT)
    yes = (said > 1.3).astype(float)  # one of ten
    probe = fitted(CODES[:600], yes[:600], True)
    assert readable(probe, known(CODES[600:], yes[600:]), "y", True).value > 0.85
    chance = (np.random.default_rng(2).random(900) < 0.1).astype(float)
    probe = fitted(CODES[:600], chance[:600], True)
    assert abs(readable(probe, known(CODES[600:], chance[600:]), "y", True).value - 0.5) < 0.15
    assert balanced(np.full(10, -1.0), np.eye(10)[0]) == 0.5  # always no is no knowledge
    never = readable(probe, known(CODES[600:], np.zeros(300)), "y", True)
    assert np.isnan(never.value)


def test_one_step_is_one_deviation_of_what_the_probe_says():
    y = CODES @ WEIGHT
    probe = fitted(CODES, y, False)
    moved = probe.says(CODES + probe.step) - probe.says(CODES)
    np.testing.assert_allclose(moved, probe.says(CODES).std(), rtol=1e-4)


def test_codes_move_as_the_data_do_and_not_along_what_cancels_noise():
    signal, noise = np.random.default_rng(3).standard_normal((2, 900))
    codes = np.stack([signal + noise, noise], 1)  # the signal is the difference
    probe = fitted(codes, signal, False)
    assert probe.weight[1] < -0.9  # the second number only cancels
    assert abs(probe.step[1]) < 0.1 and probe.step[0] > 0.9


def test_pictures_of_one_person_are_no_independent_draws():
    noisy = CODES @ WEIGHT + 4.0 * np.random.default_rng(4).standard_normal(900)
    probe = fitted(CODES, noisy, False)
    few, which = CODES[:30], np.repeat(np.arange(30), 10)
    held = few[which]
    of_pictures = readable(probe, known(held, noisy[:30][which]), "y", False)
    of_people = readable(probe, known(held, noisy[:30][which], which), "y", False)
    assert of_people.value == of_pictures.value
    assert of_people.high - of_people.low > 2 * (of_pictures.high - of_pictures.low)


def test_effects_are_changes_from_the_first_to_the_last():
    moved = np.zeros((2, 3, 5, 1, 1, 1))
    moved[0] = np.linspace(-2, 2, 5)[:, None, None, None]  # the second is steered to no avail

    def read(images):
        level = images.reshape(-1, 1)
        return Read(None, None, np.zeros((len(level), 0)), np.concatenate([level, -level], 1))

    facts = Facts(READS, read, (), ("a", "b"))
    assert effects(moved, ("a", "b"), facts) == {
        "a": {"a": 4.0, "b": -4.0},
        "b": {"a": 0.0, "b": 0.0},
    }


# The reader


def pictures(n, seed):
    """Grey pictures: the class is the level, a trait whether the left is brighter, the years a slope downwards."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n)
    traits = rng.integers(0, 2, (n, 1))
    years = rng.uniform(0.0, 80.0, (n, 1))
    image = np.zeros((n, 16, 16, 1)) + 40 + 60 * label[:, None, None, None]
    image[:, :, :8] += 25 * traits[:, :, None, None]
    image += (years / 3)[:, :, None, None] * np.linspace(-1, 1, 16)[None, :, None, None]
    image += rng.normal(0, 4, image.shape)
    split = {"image": image.clip(0, 255).astype(np.uint8), "label": label.astype(np.int32)}
    return {**split, "traits": traits.astype(np.uint8), "years": years.astype(np.float32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def taught(folder):
    return READS.reading(pictures(512, 0), folder)


def test_a_reader_reads_class_trait_and_number_of_pictures_it_never_saw(taught):
    held = pictures(200, 1)
    sure = certainty(taught(held["image"]), READS.taught(held))
    assert sure["label"] > 0.9 and sure["answers"][0] > 0.9 and sure["numbers"][0] > 0.6


def test_a_trained_reader_is_read_back_and_is_an_extractor(taught, folder, capsys):
    assert len(list(folder.glob("reader-*.npz"))) == 1
    found = READS.fit(pictures(512, 0), folder)(pictures(9, 2)["image"])
    again = taught(pictures(9, 2)["image"])
    np.testing.assert_array_equal(found.features, again.features)
    assert found.features.shape == (9, 16) and found.logits.shape == (9, 3)
    assert found.answers.shape == (9, 1) and "training" not in capsys.readouterr().err


def test_a_watch_lets_the_reader_see_traits_and_measures_shares(folder):
    train, held = pictures(512, 0), pictures(200, 1)
    watch = Watch((Frechet(), Recognition(), Shares()), samples=100, extractor=READS)
    name = READS.name
    measure = watch.start(train, held, folder, Jit())
    values = measure(held["image"][:100], held["label"][:100])
    assert set(values) == set(watch.names()) and values[f"recognised_{name}"].value > 0.9
    brighter = held["image"][held["traits"][:, 0] == 1][:50]
    biased = measure(brighter, np.zeros(50, np.int32))
    assert biased[f"tv_attributes_{name}"].value > 0.3
    assert biased[f"tv_attributes_{name}"].floor < 0.15


def test_what_a_reader_cannot_be_told_is_refused():
    split = pictures(8, 0)
    with pytest.raises(UserError, match="no field 'hats'"):
        edit(READS, {"attributes": "hats"}).taught(split)
    with pytest.raises(UserError, match="labels of two classes"):
        READS.taught({**split, "label": np.zeros(8, np.int32)})
    fields = {"traits": Attributes(("left",)), "years": Points((2,))}
    assert READS.names(fields) == (("left",), ("years_0", "years_1"))
    with pytest.raises(UserError, match="must name the 2 numbers years_0, years_1"):
        edit(READS, {"called": ("age",)}).names(fields)


def test_variation_is_the_total_variation_of_shares():
    real = np.eye(4)[np.arange(100) % 4]
    alike = variation(real, real[::-1], 0.5)
    assert alike.value == 0.0 and alike.low == 0.0
    one = variation(real, np.eye(4)[np.zeros(100, int)], 0.5)
    assert one.value == pytest.approx(0.75)  # 3/4 of the probability is elsewhere
    with pytest.raises(ValueError, match="need a Reader"):
        seen = Seen(real, real, real, real)
        Shares()(seen, seen, seen, "x")


# The nearest training example


def test_copies_are_found_at_distance_0():
    train = np.random.default_rng(5).integers(0, 256, (50, 4, 4, 3)).astype(np.uint8)
    distance, number = nearest(train[[7, 3]] / 255.0, train)
    np.testing.assert_array_equal(number, [7, 3])
    np.testing.assert_allclose(distance, 0.0, atol=1e-6)
    lighter = np.clip(train[:5] / 255.0 * 0.5 + 0.25, 0, 1)
    some, _ = nearest(lighter, train)
    assert (some > 0.05).all()
    picture = beside(train[:3], train)
    high = picture.shape[0] // 2
    np.testing.assert_array_equal(picture[:high], picture[-high:])  # each over itself


def test_the_nearest_distance_has_held_out_examples_as_its_floor():
    images = np.random.default_rng(6).integers(0, 256, (60, 4, 4, 1)).astype(np.uint8)
    label = np.zeros(20, np.int32)
    train, real = (Seen(x, label, None, None) for x in (images[:40], images[40:]))
    metric = NearestTraining(n=20)
    (name,) = metric.names("pca64")
    assert metric(train, real, real, "")[name].value > 0.1
    assert metric.floor(train, real, real, "")[name].value > 0.1


# The comparison


def test_who_was_not_asked_for_classes_has_an_empty_cell():
    watch = Watch((Frechet(), Recognition()), extractor=READS)
    value = Value(0.5, None, None, 10, 0.9)
    values = dict.fromkeys(watch.names(), value)
    left = comparison.unasked(values, watch)
    assert list(left) == [f"fd_{READS.name}"]
    told = Outcome(np.zeros(0), {}, None, None, more={"linear age": 0.25})
    rows = {"asked": (values, told), "unasked": (left, told._replace(more=None))}
    head, _, floor, asked, unasked = comparison.table(rows).splitlines()
    assert head.count("|") == floor.count("|") == asked.count("|") == unasked.count("|")
    assert "0.250" in asked and asked.count("0.500") == 2
    assert unasked.count("0.500") == 1 and "0.250" not in unasked


def test_only_names_contenders():
    cfg = edit(faces.BASE, {"only": ("vea",), "watch.samples": 1})

    class Named:
        fields, main, classes, name = (
            {"image": faces.BASE.data.fields()["image"]},
            "image",
            4,
            "x",
        )
        test = {"image": np.zeros(9)}

    with pytest.raises(
        UserError, match="no contender is called 'vea', they are training_set, a"
    ):
        comparison.check(cfg, Named)


def test_steering_says_what_it_cannot_read():
    source = type("S", (), {"fields": Heads(16).fields(), "main": "image", "name": "heads"})
    with pytest.raises(UserError, match="nothing is called 'hats', there are female, "):
        edit(faces.STEER, {"of": ("hats",)}).check(None, source)
    faces.STEER.check(None, source)
    assert type(faces.STEER) is Steering


THIN = {
    "autoencoder": {"enc": nets.ConvEncoder((8,)), "dec": nets.ConvDecoder((8,))},
    "vae": {"enc": nets.ConvEncoder((8,)), "dec": nets.ConvDecoder((8,))},
    "r3gan": {
        "gen": nets.R3Generator((8,), patch=4),
        "disc": nets.R3Discriminator((8,), patch=4),
    },
    "stylegan2": {
        "synthesis": nets.StyleSynthesis((8, 8)),
        "disc": nets.StyleDiscriminator((8, 8)),
    },
    "flow": {"net": nets.DiT(patch=4, width=16, depth=1, heads=2), "schedule.steps": 2},
}


@pytest.mark.all
def test_all_families_are_trained_measured_and_steered(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    cfg = edit(faces.EXPERIMENTS["tiny"], {"runs": str(tmp_path / "runs"), "nearest": 4})
    thin = [cfg.contenders[0]]
    for entry in cfg.contenders[1:]:
        changes = {f"of.exp.algorithm.{path}": net for path, net in THIN[entry.name].items()}
        thin.append(edit(entry, changes))
    origin = {"command": "python", "question": "Which?", "differences": {}}
    comparison.compare(edit(cfg, {"contenders": tuple(thin)}), "faces", origin)
    out = capsys.readouterr().out
    for name in ("autoencoder", "vae", "r3gan", "stylegan2", "flow", "linear age", "tv_label"):
        assert name in out
    folders = sorted((tmp_path / "runs" / "compare").glob("*-*/"))
    assert len(folders) == 6
    for folder in folders:
        found = json.loads((folder / "results.json").read_text())
        assert found["metrics"]["nearest_pixels"]["n"] > 0
        asked = any(name.startswith("recognised") for name in found["metrics"])
        assert asked == (not folder.name.startswith(("vae", "stylegan2")))
        pngs = {path.stem for path in (folder / "samples").glob("*.png")}
        assert {"samples", "nearest"} <= pngs
        if not folder.name.startswith("training_set"):
            assert "steered" in pngs
            assert set(found["linear"]) == set(found["steered"]) == {"age", "yaw", "female"}
            assert 0 <= found["reader"]["label"] <= 1
