"""Series: discords against loops, lines against their closed form, intervals over events, and the finding on a wave."""

import zipfile

import numpy as np
import pytest

from genjax.ae.autoencoder import Autoencoder
from genjax.ae.restoration import Restoration
from genjax.config import edit
from genjax.data import Digits, anomalous
from genjax.data.anomalous import Bleeding, Ends, Gait, Labelled, planted, windowed
from genjax.errors import UserError
from genjax.findings.series import Anomalies, Forecast, Moving, stretched
from genjax.metrics import discords
from genjax.metrics.events import blocks, events, over_blocks
from genjax.metrics.prediction import auroc
from genjax.nets import MLP
from genjax.training import loop
from genjax.training.experiment import Every, Experiment


def scaled(window):
    return (window - window.mean()) / window.std()


def slow_join(x, known, m, apart=0):
    """Discords by loops, of series without flat windows."""
    found = []
    for i in range(len(x) - m + 1):
        best = np.inf
        for j in range(len(known) - m + 1):
            if apart and abs(i - j) < apart:
                continue
            square = 0.0
            for channel in range(x.shape[1]):
                a = scaled(x[i : i + m, channel])
                b = scaled(known[j : j + m, channel])
                square += np.sum((a - b) ** 2) / x.shape[1]
            best = min(best, square)
        found.append(np.sqrt(best))
    return np.array(found)


@pytest.mark.parametrize("channels", [1, 2])
def test_discords_are_those_of_loops(channels, monkeypatch):
    monkeypatch.setattr(discords, "CHUNK", 7)  # parts must fit together
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(size=(50, channels)), 0) + 100.0
    known = np.cumsum(rng.normal(size=(40, channels)), 0)
    slow = slow_join(x, known, 8)
    np.testing.assert_allclose(discords.join(x, known, 8), slow, rtol=1e-6)
    slow = slow_join(x, x, 8, apart=4)
    np.testing.assert_allclose(discords.profile(x, 8), slow, rtol=1e-5, atol=1e-5)


def test_what_was_seen_is_near_at_any_scale_and_flat_windows_are_alike():
    rng = np.random.default_rng(1)
    known = rng.normal(size=(60, 1))
    seen = 3.0 * known[10:30] - 7.0
    np.testing.assert_allclose(discords.join(seen, known, 8), 0.0, atol=1e-5)
    flat = np.full((20, 1), 2.0)
    np.testing.assert_array_equal(discords.join(flat, flat + 1.0, 8), 0.0)
    np.testing.assert_allclose(discords.join(flat, known, 8), np.sqrt(8.0))


def test_a_points_score_is_the_mean_over_its_windows():
    np.testing.assert_allclose(discords.spread(np.array([1.0, 3.0]), 3), [1.0, 2.0, 3.0])
    of_points = np.array([[1.0, 2.0], [4.0, 8.0]])
    np.testing.assert_allclose(discords.spread(of_points, 3), [1.0, 3.0, 8.0])


def test_a_line_is_found_and_its_error_is_the_noise():
    """x_t = 1.2 x_{t-1} - .5 x_{t-2} + e: the residuals are e itself, in its own deviations."""
    rng = np.random.default_rng(0)
    e = rng.normal(size=4000)
    x = np.zeros((4000, 1))
    for t in range(2, 4000):
        x[t] = 1.2 * x[t - 1] - 0.5 * x[t - 2] + e[t]
    scores = discords.autoregression(x, x, 2, ridge=0.0)
    np.testing.assert_allclose(scores[2:], np.abs(e[2:]), atol=0.15)
    assert np.mean(scores[2:] ** 2) == pytest.approx(1.0, abs=1e-3)
    assert (scores[:2] == 0).all()


def test_moving_deviations_by_hand():
    x = np.array([[0.0], [2.0], [0.0], [2.0], [4.0]])
    # of 2, 0, 2 before: mean 4/3, deviation sqrt(8)/3
    assert discords.moving(x, 3)[-1] == pytest.approx((4 - 4 / 3) / (np.sqrt(8) / 3))
    assert (discords.moving(x, 3)[:3] == 0).all()


def test_a_series_shorter_than_a_window_is_told():
    x = np.zeros((5, 1))
    for call in (
        lambda: discords.join(x, x, 8),
        lambda: discords.profile(x, 4),
        lambda: discords.autoregression(x, x, 8),
        lambda: discords.moving(x, 8),
        lambda: discords.moving(np.full((9, 1), np.nan), 8),
    ):
        with pytest.raises(UserError) as error:
            call()
        assert "\n" not in str(error.value)


def test_events_and_blocks():
    anomaly = np.array([0, 1, 1, 0, 0, 0, 1], bool)
    assert events(anomaly) == [slice(1, 3), slice(6, 7)]
    found = blocks(anomaly, 2)
    assert np.concatenate(found).tolist() == [0, 3, 4, 5] and len(found) == 2


def test_intervals_know_that_points_of_a_block_are_alike():
    """Scores that are constant over blocks of 50: an interval that takes points for independent is far too narrow."""
    rng = np.random.default_rng(0)
    scores = np.repeat(rng.normal(size=60), 50)
    anomaly = np.zeros(3000, bool)
    for first in range(0, 3000, 300):
        anomaly[first : first + 50] = True
    area = over_blocks(lambda s, a: auroc(s, a).value, scores, anomaly, 50)
    assert area.value == auroc(scores, anomaly).value
    plain = auroc(scores, anomaly)
    assert area.high - area.low > 3 * (plain.high - plain.low)


def test_of_one_event_the_interval_is_of_the_normal_stretch():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=500)
    anomaly = np.arange(500) // 20 == 3

    def hits(scores, anomaly):
        return float(scores[anomaly].mean())

    # the event is held fixed
    value, low, high = over_blocks(hits, scores, anomaly, 20)
    assert low == pytest.approx(value) and high == pytest.approx(value)
    for bad in (np.zeros(500, bool), np.ones(500, bool), np.zeros(3, bool)):
        with pytest.raises(UserError):
            over_blocks(hits, scores, bad, 20)


# Series of a small wheel.

POINTS = {"bleeding": 7501, "gait": 7040}


def wheel(folder, marks=True, length=POINTS["bleeding"]):
    """A folder with a wheel: a wave with a stretch of noise, and nine waves."""
    rng = np.random.default_rng(0)
    t = np.arange(length)
    x = np.sin(2 * np.pi * t / 183)
    anomaly = ((t >= 4187) & (t < 4199)) & marks
    x = x + anomaly * rng.normal(0, 1, length)
    rows = [f"{i},{a:.5f},{int(b)}" for i, a, b in zip(t, x, anomaly, strict=True)]
    first = "\n".join(["timestamp,value,is_anomaly", *rows])
    t = np.arange(POINTS["gait"])
    waves = np.stack([np.sin(2 * np.pi * t / (50 + i)) for i in range(9)], 1)
    rows = [
        "1970-01-01 00:04:40.000," + ",".join(f"{v:.4f}" for v in row) + ",0" for row in waves
    ]
    second = "\n".join(["head", *rows])
    with zipfile.ZipFile(folder / "aeon-1.6.0-py3-none-any.whl", "w") as archive:
        home = "aeon/datasets/data"
        archive.writestr(f"{home}/KDD-TSAD_135/{anomalous.BLEEDING}", first)
        archive.writestr(f"{home}/Daphnet_S06R02E0/{anomalous.GAIT}", second)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return wheel(tmp_path_factory.mktemp("aeon"))


def test_windows_are_the_series_cut_where_it_is_told(folder):
    source = Bleeding(path=folder).load()
    test = stretched(source, "test")
    assert len(test.x) == 7501 - 1200 and test.x.shape[1] == 1
    assert events(test.anomaly) == [slice(4187 - 1200, 4199 - 1200)]
    train = stretched(source, "train")
    assert len(train.x) == 800
    np.testing.assert_allclose((train.x.mean(), train.x.std()), (0.0, 1.0), atol=1e-5)
    assert not train.anomaly.any() and not stretched(source, "valid").anomaly.any()


def test_anomalies_are_planted_in_the_test_alone_and_all_else_stays(folder):
    source = Gait(path=folder).load()
    test = stretched(source, "test")
    found = events(test.anomaly)
    assert len(found) == 12
    assert all(event.stop - event.start == 48 for event in found)
    x = np.random.default_rng(3).normal(size=(7040, 9))
    ends = Ends(1600, 3600, 4600, 7040)
    series = planted(x, Gait(), ends)
    np.testing.assert_array_equal(series.x[~series.anomaly], x[~series.anomaly])
    first, second, third = events(series.anomaly)[:3]
    held = (np.diff(series.x[first], axis=0) == 0).all(0)
    assert held.sum() == 1
    np.testing.assert_array_equal(series.x[second], x[second][::-1])
    np.testing.assert_allclose(series.x[third][::2], x[third][:24])


def test_what_series_cannot_be(folder, tmp_path):
    short = wheel(tmp_path, length=2000)
    for bad, told in (
        (Bleeding(500, path=folder), "longer than the stretch"),
        (Bleeding(path=short), "another file"),
        (Bleeding(path=str(tmp_path / "none")), "pip install aeon"),
        (Gait(length=500, path=folder), "at most"),
    ):
        with pytest.raises(UserError, match=told) as error:
            bad.load()
        assert "\n" not in str(error.value)
    early = Labelled(np.zeros((100, 1)), np.arange(100) == 5)
    with pytest.raises(UserError, match="before its test"):
        windowed("own", early, Ends(0, 40, 60, 100), 8)


NET = MLP((16,))
EXP = Experiment(
    None,
    Autoencoder(2, NET, NET),
    steps=2,
    batch=32,
    every=Every(log=2, evaluate=0, sample=0, save=2),
    finish=(Anomalies(),),
)


@pytest.fixture(scope="module")
def this(folder, tmp_path_factory):
    home = str(tmp_path_factory.mktemp("runs"))
    exp = edit(EXP, {"data": Bleeding(32, path=folder), "runs": home})
    return loop.run("series", exp, "tiny")


def test_noise_in_a_wave_is_found_by_what_knows_waves(this):
    rows = {}
    for name in ("model", "discord", "profile", "forecast", "moving"):
        rows[name] = this.log.result(f"series {name}")
        assert rows[name]["events"] == 1
        auroc_ = rows[name]["auroc"]
        assert auroc_["low"] <= auroc_["value"] <= auroc_["high"]
    # one event is held fixed, so of what it alone decides nothing is known
    assert (
        set(rows["discord"]["hits"]) == {"value"} and "low" in rows["discord"]["false_alarms"]
    )
    # the nearest window is nearer in a longer stretch: its threshold is of no other
    assert not {"hits", "false_alarms", "events_touched"} & set(rows["profile"])
    test = stretched(this.source, "test")
    score = discords.spread(
        discords.join(test.x, stretched(this.source, "train").x, 32), len(test.x)
    )
    # the same area as by `prediction.auroc`
    area = auroc(score[32:], test.anomaly[32:]).value
    assert rows["discord"]["auroc"]["value"] == pytest.approx(area, abs=1e-12)
    for name in ("discord", "forecast"):
        assert rows[name]["auroc"]["value"] > 0.99
        assert rows[name]["peak_in_event"] or name == "discord"
    assert (this.log.directory / "samples" / "series.png").exists()


def test_nobody_is_counted_where_somebody_is_silent():
    assert Anomalies().past(32) == 32
    longer = Anomalies(floors=(Forecast(order=100), Moving(window=50)))
    assert longer.past(32) == 100


def test_the_models_score_is_the_error_of_its_windows(this):
    finding = EXP.finish[0]
    test = stretched(this.source, "test")
    own = finding._own(this, test)
    windows = test.windows[100:132]  # all that hold point 131
    code = this.encode({"series": windows})
    made = this.algorithm.decode(this.key(1), this.state, code)
    squares = np.square(np.asarray(made) - windows)[..., 0]
    expected = np.mean([squares[i, 31 - i] for i in range(32)])
    assert own[131] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": Digits()}, "no series"),
        ({"algorithm": Restoration()}, "Autoencoder or a VAE"),
        ({"data.window": 250}, "less than"),
        ({"finish.Anomalies.false_alarms": 0.001}, "too few"),
    ],
)
def test_what_cannot_be_measured_is_told_before_training(folder, changes, told):
    exp = edit(edit(EXP, {"data": Bleeding(32, path=folder)}), changes)
    with pytest.raises(UserError, match=told) as error:
        exp.finish[0].check(exp, exp.data.load())
    assert "\n" not in str(error.value)


def test_a_test_without_an_anomaly_is_told(tmp_path):
    data = Bleeding(32, path=wheel(tmp_path, marks=False))
    exp = edit(EXP, {"data": data})
    with pytest.raises(UserError, match="no anomaly"):
        exp.finish[0].check(exp, data.load())
