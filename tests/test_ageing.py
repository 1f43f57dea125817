"""Ages changed, beside the renderer's truth: what is asked, what is measured of it, floors, and what is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import deage
from genjax.conditions import Numbers
from genjax.config import edit
from genjax.core import Spec
from genjax.data import Aged
from genjax.errors import UserError
from genjax.fields import Image, Points
from genjax.findings import ageing
from genjax.findings.ageing import Ageing, Competitor
from genjax.findings.tabled import carry_out
from genjax.findings.years import Edited, Translated, ages_told, told
from genjax.metrics.frechet import frechet, moments
from genjax.metrics.identity import CosFace
from genjax.metrics.reader import Read, Reader
from genjax.translate.pix2pix import Pix2pix

SMALL = edit(
    deage.EXPERIMENTS["quick"],
    {"data": Aged(16, people=40, shots=2, years=(20.0, 80.0)), "people": 4},
)


@pytest.mark.parametrize("change", [-40.0, 20.0])
def test_ages_lie_in_the_range_and_nothing_else_changes(change):
    asked = SMALL.asked(change)
    np.testing.assert_allclose(asked.years - asked.before, change, atol=1e-4)
    both = np.concatenate([asked.before, asked.years])
    assert len(asked.given) == 4 and both.min() >= 20 and both.max() <= 80
    # backgrounds are those of the truth: the corners, where no head is
    np.testing.assert_array_equal(asked.given[:, 0, 0], asked.truth[:, 0, 0])
    assert (asked.given != asked.truth).any((1, 2, 3)).all()
    # where there is no head in either picture nothing changes, but for pixels at its rim
    background = asked.background
    assert 0.1 < background.mean() < 0.9
    stays = (asked.given == asked.truth).all(-1)
    assert stays[background].mean() > 0.7 > 0.3 > stays[~background].mean()
    same = SMALL.asked(change)
    np.testing.assert_array_equal(asked.truth, same.truth)


def judge(wrong: float, turn: float = 0.0) -> ageing.Judges:
    """A reader that says the years of the truth and `wrong` more, a pose `turn` off, and never a smile."""
    asked = SMALL.asked(20.0)

    def read(pictures):
        years = asked.years + wrong
        places = asked.landmarks.reshape(len(pictures), -1) + np.tile([3.0, 4.0], 14)
        numbers = np.concatenate([years, places, asked.pose + [turn, 0.0]], 1)
        return Read(None, None, np.zeros((len(pictures), 12)), numbers)

    # an identity that is the mean colour
    def embed(pictures):
        return np.asarray(pictures).mean((1, 2))

    places = {"age": [0], "landmarks": list(range(1, 29)), "pose": [29, 30]}
    return ageing.Judges(None, read, places, embed, None, (5,))


def test_the_truth_and_the_input_have_the_numbers_that_are_theirs():
    asked = SMALL.asked(20.0)
    truth = np.float32(asked.truth / 255.0)
    found = ageing.measured(truth, asked, judge(-7.0, turn=0.2))
    assert found["age"].shape == (4,)
    found = ageing.intervals(found)
    assert found["age"].value == pytest.approx(7.0, rel=1e-5)
    assert found["landmarks"].value == pytest.approx(5.0, rel=1e-5)
    # of yaw and pitch the one is off
    assert found["pose"].value == pytest.approx(np.degrees(0.1), rel=1e-4)
    smiles = asked.attributes[:, 5].mean()
    assert found["expression"].value == pytest.approx(1.0 - smiles)
    assert found["CSIM to the truth"].value == pytest.approx(1.0, abs=1e-6)
    assert found["PSNR"].value > 99 and found["SSIM"].value == pytest.approx(1.0)
    given = np.float32(asked.given / 255.0)
    found = ageing.intervals(ageing.measured(given, asked, judge(0.0)))
    assert found["CSIM to the input"].value == pytest.approx(1.0, abs=1e-6)
    square = np.square(given - truth).mean((1, 2, 3))
    assert found["PSNR"].value == pytest.approx(np.mean(-10 * np.log10(square)), rel=1e-4)
    a, b = given.mean((1, 2)), truth.mean((1, 2))
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    assert found["CSIM to the truth"].value == pytest.approx(cosine.mean(), rel=1e-5)


def test_what_is_done_to_the_background_alone_is_told_apart():
    asked = SMALL.asked(20.0)
    truth = asked.truth / 255.0
    made = truth.copy()
    made[asked.background] += 0.1
    found = ageing.measured(made, asked, judge(0.0))
    # a tenth everywhere is 20 dB
    np.testing.assert_allclose(found["background"], 20.0, rtol=1e-6)
    made = truth.copy()
    made[~asked.background] += 0.1
    found = ageing.measured(made, asked, judge(0.0))
    np.testing.assert_allclose(found["background"], 100.0)


def test_shares_are_of_what_nothing_misses_and_of_what_two_real_pictures_have_alike():
    rows = {
        "nothing": {"age": np.array([20.0, 30.0, 10.0]), "CSIM to the input": np.ones(3)},
        "truth": {"age": np.zeros(3), "CSIM to the input": np.array([0.9, 0.5, 0.4])},
    }
    own = {"age": np.array([6.0, 1.0, 5.0]), "CSIM to the input": np.array([0.9, 0.5, 0.4])}
    found = ageing.shares(own, rows)
    age = found["age / nothing"]
    assert age.value == pytest.approx(12.0 / 60.0)
    # people come with both of their numbers: no draw lies beyond the best and the worst of them
    assert 1.0 / 30.0 <= age.low < age.value < age.high <= 5.0 / 10.0
    np.testing.assert_allclose(found["CSIM / truth"], 1.0)


def test_a_distance_leaves_out_a_person_with_all_her_pictures():
    rng = np.random.default_rng(0)
    real = moments(rng.normal(size=(500, 3)))
    # two changes of seven people
    features = rng.normal(size=(2, 7, 3)) + 0.5
    found = ageing.apart(real, features.reshape(14, 3), 7)
    whole = frechet(real, moments(features.reshape(14, 3)))
    assert found.value == pytest.approx(whole)
    without = []
    for i in range(7):
        rest = np.delete(features, i, 1).reshape(12, 3)
        without.append(frechet(real, moments(rest)))
    error = np.sqrt(6.0 / 7.0 * np.sum((without - np.mean(without)) ** 2))
    # Student's quantile of six degrees of freedom; the ends are moved by the bias
    assert found.high - found.low == pytest.approx(2 * 2.446912 * error, rel=1e-5)


def test_the_nearest_face_is_of_the_asked_age():
    asked = SMALL.asked(40.0)
    years = np.concatenate([asked.years[:, 0], asked.before[:, 0]])
    rng = np.random.default_rng(0)
    others = rng.integers(0, 256, asked.given.shape, np.uint8)

    class Source:
        # the inputs themselves are in the set, but not at the asked age
        train = {"image": np.concatenate([others, asked.given]), "age": years[:, None]}

    found = edit(SMALL, {"close": 0.0}).nearest(Source)(asked)
    np.testing.assert_allclose(found, others / 255.0)
    # where all ages count as near it is the input
    found = edit(SMALL, {"close": 90.0}).nearest(Source)(asked)
    np.testing.assert_allclose(found, asked.given / 255.0)


def test_ways_are_never_given_the_truth():
    asked = SMALL.asked(-20.0)
    given = told(asked)
    assert set(given) == {"input", "before", "age", "index"}
    assert not any(np.array_equal(value, asked.truth) for value in given.values())


class Known:
    """What is known of the data before they are rendered."""

    fields = {"image": Image((16, 16, 3)), "age": Points((1,)), "pose": Points((2,))}


@pytest.mark.parametrize(
    "changes, told",
    [
        (
            {"changes": (70.0,)},
            "--changes: 70 years lead out of the ages of the data, 20 to 80",
        ),
        ({"changes": (-61.0,)}, "--changes: -61 years"),
        (
            {"data.years": (10.0, 80.0)},
            "supervised is told ages of 18 to 85, and the data have",
        ),
        ({"reader": Reader("hats", ("age",))}, "no field 'hats'"),
        ({"reader": Reader(numbers=("age", "hats"))}, "no field 'hats'"),
        ({"reader": Reader(numbers=("pose",))}, "--reader.numbers=.*'age' must be read"),
        ({"identity": CosFace(group="family")}, "--identity.group=family: the data have"),
        ({"data.years": (0.0, 80.0)}, "--data.years"),
        ({"data.shots": 1}, "--data.shots=1 must be at least 2"),
        ({"people": 1}, "--people=1"),
        ({"ways": ()}, "--ways=\\(\\) leaves nothing"),
    ],
)
def test_what_cannot_be_asked_is_one_line(changes, told, tmp_path):
    cfg = edit(SMALL, {**changes, "runs": str(tmp_path / "runs")})
    with pytest.raises(UserError, match=told) as error:
        cfg("small", {})
    assert "\n" not in str(error.value) and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "way",
    [
        Translated(deage.trained(Pix2pix(play=0.0), 1)),
        Edited(deage.trained(Pix2pix(condition=(Numbers("age", 0.0, 1.0),)), 1)),
        edit(deage.FLOW.of, {"exp.algorithm.condition": ()}),
    ],
)
def test_a_way_that_is_not_told_years_is_refused(way):
    with pytest.raises(UserError, match="Numbers\\('age', 18.0, 85.0\\)"):
        way.check(Known)


def test_years_of_a_pair_are_asked_of_every_way():
    for entry in deage.BASE.ways:
        entry.of.check(Known)
        # StyleGAN2 is told nothing: its styles are moved
        assert ages_told(entry.of.exp.algorithm) or entry.name == "directed"
    assert type(deage.BASE) is Ageing and isinstance(deage.BASE.ways[0], Competitor)
    assert jnp.ndim(deage.YEARS({"age": jnp.ones((2, 1))}, None).vector) == 2


@pytest.mark.parametrize("name", ["base", "read"])
def test_every_way_has_nets_that_fit_the_pictures(name):
    cfg = deage.EXPERIMENTS[name]
    spec = Spec(tuple(cfg.data.fields().items()))
    # four of each: nothing is computed
    batch = {"index": jax.ShapeDtypeStruct((4,), jnp.uint32)}
    for field, kind in spec.fields:
        batch[field] = jax.ShapeDtypeStruct((4, *getattr(kind, "shape", ())), kind.dtype)
    for entry in cfg.ways:
        algorithm = entry.of.exp.algorithm(spec)
        jax.eval_shape(algorithm.init, jax.random.key(0), batch)


@pytest.mark.all
def test_the_quick_row_runs_to_its_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    cfg = edit(deage.EXPERIMENTS["quick"], {"runs": str(tmp_path / "runs")})
    carry_out(cfg, "quick", {"command": "python", "question": "Which?", "differences": {}})
    out = capsys.readouterr().out
    rows = ("truth", "nothing", "nearest", "supervised", "stargan", "directed", "sdedit")
    for name in (*rows, "+40 years, 6 people", "+0 years", "background [dB]", "pose [degrees]"):
        assert name in out
    (folder,) = (tmp_path / "runs" / "deage").glob("quick-*/")
    found = json.loads((folder / "results.json").read_text())
    assert found["-40 years: nothing"]["CSIM to the input"]["value"] == pytest.approx(
        1.0, abs=1e-5
    )
    assert found["-40 years: truth"]["PSNR"]["value"] > 90
    # asked for the input itself, who does nothing is right
    assert found["+0 years: nothing"]["PSNR"]["value"] > 90
    assert 0 < found["+0 years: directed"]["PSNR"]["value"] < 40
    assert found["+40 years: nothing"]["age / nothing"]["value"] == 1.0
    pictures = {path.stem for path in (folder / "samples").glob("*.png")}
    assert {"-40-years", "+0-years", "+40-years"} <= pictures
