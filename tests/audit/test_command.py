"""`python -m genjax.audit detect`: what it says of files, as lines and as JSON, and what it refuses in one line."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from genjax.audit import alarms
from genjax.audit.__main__ import _known_share, _scores, main, told
from genjax.audit.detector import HELD, Detector
from genjax.audit.handling import Handling
from genjax.core import labelled
from genjax.data import Digits
from genjax.data.enlarged import Enlarged
from genjax.data.portions import Reals
from genjax.errors import UserError
from genjax.fields import Image as Pictures
from genjax.findings.detectors import Task, Told
from genjax.findings.generated import RealAndGenerated, Untouched
from genjax.nets import MLP
from genjax.training.experiment import Every, Experiment

FOUND = {
    "files": [
        {"file": "a.png", "score": 2.5, "false_alarms": 0.01, "low": 0.0, "high": 0.04, "flagged": True},
        {"file": "b.png", "score": -1.0, "false_alarms": 0.6, "low": 0.5, "high": 0.7, "flagged": False},
    ],
    "rate": 0.05,
    "threshold": 1.25,
    "held_out": 99,
    "flagged": [{"generated": 0.5, "real_of_flagged": {"value": 0.1, "low": 0.05, "high": 0.2}}],
}  # fmt: skip


def test_lines_say_what_was_found():
    first, second, bar, behind = told(FOUND)
    assert first == "a.png: score +2.50, as high of real pictures 1 % [0, 4]  FLAGGED"
    assert "FLAGGED" not in second and "60 % [50, 70]" in second
    assert "+1.25" in bar and "5 %" in bar and "99 held-out" in bar
    assert behind == "if 50 % of all files are generated, 10 % [5, 20] of flagged ones are real"


def test_of_no_flag_in_the_test_nothing_is_known_and_json_has_no_nan(capsys, monkeypatch):
    none = [{"generated": 0.5, "real_of_flagged": None}]
    *_, last = told({**FOUND, "flagged": none})
    assert (
        last
        == "no picture of the run's test was flagged, so what flagged files are is not known"
    )
    # an answer of texts, which says NaN there
    share = {"value": float("nan"), "low": 0.0, "high": 1.0}
    files = [{"file": "a.txt", "behind": [{"generated": 0.5, "real_of_flagged": share}]}]
    monkeypatch.setattr(
        "genjax.audit.__main__.detect",
        lambda *of: {"of": "texts", "files": files, "rate": 0.05},
    )
    assert main(["detect", "run", "a.txt", "--json"]) == 0
    said = capsys.readouterr().out
    [file] = json.loads(said)["files"]
    assert "NaN" not in said and file["behind"][0]["real_of_flagged"]["value"] is None
    behind = alarms.alarmed(np.zeros(5), np.zeros(5), 1.0)
    assert [_known_share(each) for each in behind] == [None, None]
    [seen] = alarms.alarmed(np.zeros(5), np.ones(5), 0.5, (0.5,))
    assert _known_share(seen)["value"] == 0.0


class Opened:
    """A run on 4x4 pixels that was halved and saved; its logit is the mean."""

    run = SimpleNamespace(spec=labelled(Pictures((4, 4, 1)), 2))
    config = SimpleNamespace(data=RealAndGenerated(handling=Handling(1, "WEBP", 50)))

    def evaluate(self, arrays):
        self.seen = arrays["image"]
        return {"logit": arrays["image"].mean((1, 2, 3))}


def test_a_file_goes_through_what_the_run_s_pictures_went_through(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    file, small = tmp_path / "a.png", tmp_path / "small.png"
    Image.fromarray(pixels).save(file)
    Image.fromarray(pixels[:4, :4]).save(small)
    run = Opened()
    _scores(run, [file])
    by_hand = run.config.data.handling(pixels[None, ..., None])
    np.testing.assert_array_equal(run.seen, by_hand)
    # of the run's size it may have been through anything
    with pytest.raises(UserError, match="4x4 pixels, .* of 8x8, halved to 4x4"):
        _scores(run, [small])


def refused(capsys, *argv) -> str:
    """The one line that a command ends with."""
    assert main(argv) == 2
    said = capsys.readouterr()
    assert not said.out
    return said.err


def test_what_can_be_told_without_a_run_is_told_first(capsys, tmp_path):
    file = tmp_path / "a.png"
    assert "is no file" in refused(capsys, "detect", str(tmp_path), str(file))
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(file)
    assert "is not a run" in refused(capsys, "detect", str(tmp_path), str(file))
    assert "nothing that can be asked" in refused(capsys, "bias", str(tmp_path), str(file))
    assert "below 1" in refused(capsys, "detect", str(tmp_path), str(file), "--rate=2")
    assert "expected detect RUN" in refused(capsys, "detect", str(tmp_path))


@pytest.mark.all
def test_files_are_scored_by_a_run_and_by_what_it_has_kept(capsys, tmp_path):
    reals = Reals(Enlarged(Digits(valid=300), side=16, border=0))
    data = RealAndGenerated(reals, Untouched(), train=60, held=40, test=50)
    every = Every(log=2, evaluate=0, sample=0, save=2)
    exp = Experiment(algorithm=Detector(net=MLP()), steps=2, batch=16, every=every)
    source, parts = data.halves()
    task = Task(data, *parts["train"], None, 0, str(tmp_path / "runs"))
    score = Told(exp).start("real-cnn", task)
    [run] = (tmp_path / "runs" / "detect").glob("real-cnn-*")
    real, _ = parts["test"]
    files = []
    for i in range(2):
        files.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(real[i, ..., 0]).save(files[-1])
    assert main(["detect", str(run), *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    with np.load(run / HELD) as kept:
        held = kept["held"]
        np.testing.assert_allclose(kept["real"], score(real), rtol=1e-5)
    for each, own in zip(found["files"], score(real[:2]), strict=True):
        assert each["score"] == pytest.approx(float(own), rel=1e-4)
        assert each["false_alarms"] == (np.sum(held >= np.float32(own)) + 1) / (len(held) + 1)
        assert each["flagged"] == (own > found["threshold"])
    assert [each["generated"] for each in found["flagged"]] == [0.01, 0.5]
    small = str(tmp_path / "small.png")
    Image.fromarray(real[0, :8, :8, 0]).save(small)
    assert "8x8 pixels" in refused(capsys, "detect", str(run), small)
    assert "too few for a rate" in refused(capsys, "detect", str(run), files[0], "--rate=0.001")
    (run / HELD).unlink()
    assert "no scores of real pictures" in refused(capsys, "detect", str(run), files[0])
