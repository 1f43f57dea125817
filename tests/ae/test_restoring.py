"""A restorer beside other methods, and on pictures of one's own: the same noise for all, tiles, and bad input."""

import dataclasses
import sys
from types import SimpleNamespace

import flax.linen as nn
import numpy as np
import pytest
from PIL import Image

from genjax import restore
from genjax.ae.autoencoder import Autoencoder
from genjax.ae.figures import Figures
from genjax.ae.floors import Bicubic, MeanFill, Nearest, NonLocalMeans, TotalVariation
from genjax.ae.restoration import Restoration
from genjax.config import edit
from genjax.corruptions import Blur, Coarse, Damaged, Gaussian, Holes, Lost
from genjax.corruptions import Pixels as Lacking
from genjax.data import Digits, Photographs, Toy
from genjax.errors import UserError
from genjax.findings import restored, restoring
from genjax.findings.restorer import restorer, unit_of
from genjax.findings.restoring import Restoring
from genjax.metrics.features import Pixels
from genjax.nets import MLP
from genjax.nets.plain import PlainUNet
from genjax.nets.veil import Unveil
from genjax.optim import Adam
from genjax.training import loop
from genjax.training.experiment import Every, Experiment
from genjax.views import Luma

USUAL = (Gaussian(25 / 255, 25 / 255), Gaussian(50 / 255, 50 / 255))
LARGER = Photographs(24, train=8, test=6)
NET = PlainUNet((4,), 1)
EXP = Experiment(
    Photographs(16, train=64, test=8),
    Restoration((Gaussian(0.0, 0.2),), NET, optimiser=Adam()),
    steps=4,
    batch=16,
    view=(Luma(),),
    every=Every(log=2, evaluate=0, sample=4, save=4),
    samples=2,
    finish=(Restoring(LARGER, damages=USUAL, figures=Figures(), tile=8, shown=2),),
)
BLURRED = {
    "algorithm.corruption": (Blur(),),
    "finish.Restoring.damages": (),
    "finish.Restoring.floors": (NonLocalMeans(),),
}
HOLES = {
    "data": Digits(),
    "view": (),
    "algorithm.corruption": (Holes(low=0.3),),
    "finish": (Restoring(crops=20, floors=(Nearest(), MeanFill()), judge=Pixels()),),
}


@dataclasses.dataclass(frozen=True)
class Mine:
    """A floor of one's own, which says nothing of amounts."""

    def check(self, shape):
        pass

    def __call__(self, seen, level, known):
        return np.full_like(seen, level)


OWN = {"finish.Restoring.damages": (), "finish.Restoring.floors": (Mine(),)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{name: run} of noise on grey pictures, and of holes that it is told of."""
    home = {"runs": str(tmp_path_factory.mktemp("runs"))}
    noise = loop.run("denoise", edit(EXP, home), "noise")
    holes = loop.run("inpaint", edit(EXP, home | HOLES), "holes")
    return {"noise": noise, "holes": holes}


def test_the_table_is_of_larger_pictures_with_noise_as_it_was_asked_for(runs):
    log = runs["noise"].log
    for sigma, title in ((25, "Gaussian 0.098"), (50, "Gaussian 0.196")):
        table = log.result(f"restored {title}")
        assert set(table) == {"input", "net"}  # the figures are of other pictures
        assert table["input"]["psnr"] == pytest.approx(20 * np.log10(255 / sigma), abs=0.2)
        above = table["net"]["psnr"] - table["input"]["psnr"]
        assert table["input"]["net_above"] == pytest.approx(above)
        assert table["input"]["low"] <= above <= table["input"]["high"]
        assert table["net"]["n"] == 6
        picture = Image.open(
            log.directory / "samples" / f"restored-{title.replace(' ', '-')}.png"
        )
        assert picture.height >= 3 * 24  # input, net, truth


def test_a_table_of_holes_tells_the_lost_part_and_the_features(runs):
    table = runs["holes"].log.result("restored Holes " + _level(runs["holes"]))
    assert list(table) == ["input", "net", "Nearest", "MeanFill"]
    for row in table.values():
        assert row["psnr_lost"] < row["psnr"]  # known pixels have no error
        assert 0.0 < row["features"] < 1.0
        assert row["n"] == 20
    # the features are the pixels: a mean is nearer than black
    assert table["MeanFill"]["features"] < table["input"]["features"]


def _level(this) -> str:
    held = restored.crops(this.source, (), 20)
    return f"{restored.spoilt(this.exp.algorithm.corruption, held).level.mean():.3f}"


def test_noise_is_of_a_picture_s_number_alone():
    source = Digits().load()
    few, many = (restored.crops(source, (), n) for n in (4, 360))
    np.testing.assert_array_equal(few.index, [0, 120, 239, 359])
    of_few = restored.spoilt((Gaussian(0.1, 0.1),), few)
    of_many = restored.spoilt((Gaussian(0.1, 0.1),), many)
    np.testing.assert_array_equal(of_few.x, of_many.x[few.index])
    assert of_few.x.min() < 0.0 and of_few.x.max() > 1.0  # nothing is clipped


def test_scenes_and_not_pictures_are_drawn_for_an_interval():
    rng = np.random.default_rng(0)
    of_scene = rng.normal(size=8)
    values = np.repeat(of_scene, 16)
    scenes = np.repeat(np.arange(8), 16)
    value, low, high = restored.over_groups(values, scenes)
    _, nearer, farther = restored.over_groups(values, np.arange(128))
    assert value == pytest.approx(values.mean())
    assert high - low > 2.5 * (farther - nearer)
    assert np.isnan(restored.over_groups(values, np.zeros(128)).low)


def test_errors_of_lost_pixels_and_of_all():
    clean = np.zeros((1, 12, 12, 2), np.float32)
    known = np.ones((1, 12, 12, 1), np.float32)
    known[0, :3, :4] = 0.0  # 12 of 144 pixels
    found = restored.measured(clean + 0.1 * (1 - known), clean, known)
    assert found.lost[0] == pytest.approx(20.0, abs=1e-4)
    assert found.psnr[0] == pytest.approx(20.0 + 10 * np.log10(12), abs=1e-4)
    whole = restored.measured(clean, clean, known)
    assert whole.psnr[0] == whole.lost[0] == 100.0
    assert restored.window((8, 9, 1)) == 7 and restored.window((256, 256, 1)) == 11


def test_tiles_of_a_run_are_the_whole_with_its_mask(runs):
    """Of the mask too: it is cut and mirrored as the picture is."""
    this = runs["holes"]
    rng = np.random.default_rng(0)
    x = rng.random((37, 23, 1)).astype(np.float32)
    known = (rng.random((37, 23, 1)) > 0.3).astype(np.float32)
    level = np.array([0.3])
    whole = restorer(this)(x * known, level, known)
    parts = restorer(this, 8)(x * known, level, known)
    assert whole.shape == x.shape
    np.testing.assert_allclose(parts, whole, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"algorithm": Autoencoder(2, MLP((4,)), MLP((4,)))}, "restores no pictures"),
        ({"data": Toy(), "view": ()}, "draws images"),
        ({"finish.Restoring.crops": 0}, "crops=0 must be at least 1"),
        ({"finish.Restoring.tile": 0}, "tile=0 must be at least 1"),
        ({"finish.Restoring.damages": (Holes(),)}, "told other things"),
        # as many numbers, of another unit
        ({"finish.Restoring.damages": (Blur(),)}, "told other things"),
        ({"finish.Restoring.damages": (Gaussian(-1.0, 0.1),)}, "0 <= low <= high"),
        (BLURRED, "how strong Gaussian.. is, and the damage is Blur"),
        ({"algorithm.corruption": (Blur(), Gaussian()), **OWN}, "does not say whose amount"),
        ({"finish.Restoring.floors": (Bicubic(5),)}, "whole blocks of that side"),
        ({"finish.Restoring.data": Digits(), "view": ()}, "of 1 channels, and the model"),
    ],
)
def test_what_cannot_be_measured_is_told_before_training(changes, said):
    exp = edit(EXP, changes)
    with pytest.raises(UserError, match=said) as told:
        exp.finish[0].check(exp, exp.data.load())
    assert "\n" not in str(told.value)


def test_of_several_damages_a_floor_is_told_the_amount_of_its_own():
    levels = np.array([1.5, 0.1])
    both = (Blur(), Gaussian(0.1, 0.1))
    told = Noise()
    method = restoring.levelled(told, restoring._place(told, both))
    np.testing.assert_allclose(method(np.zeros((2, 2, 1)), levels, None), 0.1)
    # who does not listen may stand anywhere, and so may anybody beside one damage
    assert restoring._place(Nearest(), both) == restoring._place(Mine(), both[:1]) == 0
    seen = restored.Seen(None, np.array([levels, levels]), None)
    assert restoring._title(both, seen) == "Blur 1.500 Gaussian 0.100"


class Noise(Mine):
    """The same, of noise."""

    undoes = (Gaussian,)


def test_a_blind_run_measured_on_other_damage_says_so(runs):
    """No level is told there, so it may be measured, and nobody should take it for what it was trained on."""
    this = runs["noise"]
    measure = Restoring(crops=2, damages=(Blur(1.0, 1.0),), shown=0)
    blind = edit(this.exp, {"algorithm.blind": True, "finish": (measure,)})
    measure.check(blind, this.source)
    # nor is a share of lost pixels another number for another kind of loss
    scattered = edit(runs["holes"].exp, {"finish.Restoring.damages": (Lacking(),)})
    scattered.finish[0].check(scattered, runs["holes"].source)
    notes = []
    log = SimpleNamespace(note=notes.append, result=lambda name, entry: None)
    other = dataclasses.replace(this, exp=blind, log=log)
    assert list(measure(other)) == ["psnr Blur 1.000 untrained"]
    assert "trained on Gaussian, never on Blur" in notes[0]


def test_a_floor_without_its_package_is_told_before_training(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "skimage.restoration", None)
    exp = edit(EXP, {"finish.Restoring.floors": (TotalVariation(),), "runs": str(tmp_path)})
    with pytest.raises(UserError, match="pip install"):
        loop.run("denoise", exp, "noise")


# --- pictures of one's own -------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    """A folder with a grey picture of an odd size, one in colour, masks, and what is none."""
    rng = np.random.default_rng(0)

    def save(name, *shape):
        levels = rng.integers(0, 256, shape)
        Image.fromarray(levels.astype(np.uint8)).save(tmp_path / name)

    save("grey.png", 37, 23)
    save("colour.png", 20, 20, 3)
    save("tiny.png", 1, 1)
    mask = np.full((37, 23), 255, np.uint8)
    mask[5:12, 4:9] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(mask[1:]).save(tmp_path / "small.png")
    (tmp_path / "text.png").write_text("no picture")
    return tmp_path


@pytest.fixture
def command(runs, pictures, capsys):
    """command(run, *arguments) -> (exit code, the folder, stdout, stderr); $ stands for the folder of pictures."""

    def call(run, *arguments):
        out = pictures / "out"
        given = [each.replace("$", str(pictures)) for each in arguments]
        code = restore.main([str(runs[run].log.directory), *given, f"--out={out}"])
        return code, out, *capsys.readouterr()

    return call


def test_a_picture_of_any_size_is_restored_as_the_run_does(command, pictures, runs):
    code, out, said, _ = command("noise", "$/grey.png", "--level=0.1", "--tile=8")
    assert code == 0 and str(out / "grey.png") in said
    found = np.asarray(Image.open(out / "grey.png"))
    seen = np.asarray(Image.open(pictures / "grey.png"))[..., None] / np.float32(255)
    whole = restorer(runs["noise"])(seen, np.array([0.1]), None)
    exact = 255 * np.clip(whole[..., 0], 0, 1)
    assert np.abs(found - exact).max() < 0.51  # rounded, and nothing else


def test_a_hole_is_told_by_a_mask(command, pictures, monkeypatch):
    monkeypatch.setenv(
        "HOME", str(pictures)
    )  # as a notebook hands paths over: no shell has seen them
    code, out, _, _ = command("holes", "~/grey.png", "--mask=~/mask.png")
    assert code == 0
    assert Image.open(out / "grey.png").size == (23, 37)


@pytest.mark.parametrize(
    ("run", "arguments", "said"),
    [
        ("noise", "$/grey.png", "give --level, for Gaussian of about"),
        ("noise", "$/grey.png --level=-1", "level=-1.0 must be at least 0"),
        (
            "noise",
            "$/grey.png --level=25",
            "far above what this model was trained on, Gaussian",
        ),
        ("noise", "$/grey.png --level=0.1 --tile=0", "tile=0 must be at least 1"),
        ("noise", "$/colour.png --level=0.1", "in colour and this model restores grey"),
        ("noise", "$/tiny.png --level=0.1", "tiny.png: .* smaller than the net's unit"),
        # nor is the first, where another is wrong
        ("noise", "$/grey.png $/tiny.png --level=0.1", "smaller than the net's unit"),
        ("noise", "$/text.png --level=0.1", "cannot be read as an image"),
        ("noise", "$/gone.png --level=0.1", "is no file"),
        ("noise", "$/grey.png $/grey.png --level=0.1", "2 of the pictures are called grey"),
        ("noise", "$/grey.png --level=0.1 --mask=$/mask.png", "leave --mask out"),
        ("noise", "", "expected RUN FILE..."),
        ("holes", "$/grey.png", "give a picture that is black there by --mask"),
        ("holes", "$/grey.png --mask=$/small.png", "is of 36x23 pixels and .* of 37x23"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(command, run, arguments, said):
    code, out, _, error = command(run, *arguments.split())
    assert code == 2 and not out.exists()
    assert len(error.strip().splitlines()) == 1
    with pytest.raises(UserError, match=said):
        raise UserError(error.strip())


def test_pixels_that_are_no_numbers_are_not_drawn_black():
    with pytest.raises(UserError, match="a.png becomes pixels that are no numbers"):
        restore._bytes(np.array([0.5, np.nan]), "a.png")


def test_a_grey_picture_is_not_taken_for_colour(pictures):
    spec = Photographs(16, train=8, test=8).load()
    with pytest.raises(UserError, match="is grey and this model restores colour"):
        restore._picture(pictures / "grey.png", spec)


def test_a_folder_that_is_not_empty_is_left_as_it_is(command, pictures):
    (pictures / "out").mkdir()
    (pictures / "out" / "mine").write_text("")
    code, out, _, error = command("noise", "$/grey.png", "--level=0.1")
    assert code == 2 and "holds other files" in error
    assert [each.name for each in out.iterdir()] == ["mine"]


class Whole(nn.Module):
    """A net of neither unit nor reach, which takes pictures of multiples of 16 alone."""

    @nn.compact
    def __call__(self, x, time, cond, out):
        assert x.shape[1:3] == out[:2] and not out[0] % 16 and not out[1] % 16
        return self.param("scale", nn.initializers.zeros, ()) * x


def test_a_net_that_sees_a_picture_whole_is_given_multiples_of_its_own(runs):
    this = runs["noise"]
    cfg = edit(this.exp.algorithm, {"net": Whole()})
    spec = this.spec
    batch = {spec.main: np.zeros((1, 16, 16, 1), np.uint8), "index": np.zeros(1, np.uint32)}
    state = cfg(spec).init(this.key(3), batch)
    other = type(this)(
        edit(this.exp, {"algorithm": cfg}), this.source, spec, None, None, state, {}
    )
    found = restorer(other, 8)(np.full((17, 20, 1), 0.5), np.array([0.1]), None)
    np.testing.assert_allclose(found, 0.5)  # its last layer starts at zero


def test_sides_are_multiples_of_what_the_net_folds():
    """A net around another folds as that does: a small picture of marks is no smaller than it."""
    inside = PlainUNet((4, 4), 1, patch=2)
    assert unit_of(inside, (32, 48, 3)) == unit_of(Unveil(inside), (32, 48, 3)) == 4
    assert unit_of(Whole(), (32, 48, 3)) == 96


def test_a_mark_is_no_hole():
    """What shines through it is left, and its level is the opacity and not how much is covered."""
    known = np.ones((4, 16, 16, 1), np.float32)
    known[:, :4] = 0.0
    share, opacity = np.full((4, 1), 0.25), np.full((4, 1), 0.6)
    hole = Damaged(known * 0.5, share, known)
    mark = Damaged(np.where(known, 0.5, 0.9), opacity, known)
    assert restore._blackens(hole) and not restore._blackens(mark)
    assert restore._of_share(hole) and not restore._of_share(mark)
    assert not restore._of_share(hole._replace(level=np.full((4, 2), [0.25, 0.1])))


def test_a_picture_that_has_lost_nothing_counts_for_no_hole():
    square = np.full((2, 4, 4, 1), 0.01)
    known = np.ones((2, 4, 4, 1))
    known[0, 0] = 0.0
    lost = restored.of_lost(square, known)
    assert lost[0] == pytest.approx(20.0) and np.isnan(lost[1])
    row = restoring._row(restored.Made(lost, lost, lost))
    assert row["psnr_lost"] == pytest.approx(20.0)


def test_super_resolution_has_one_level():
    cfg = Restoration((Lost(Coarse(4)),), NET)
    spec = Digits().load()
    drawn = restore._drawn(cfg, spec)
    assert restore._level(restore.Options(), cfg, drawn, None) == [1.0]
