"""A stored number belongs to what it was measured on: of anything else it is measured again, and never shown."""

import dataclasses
import importlib
import json

import pytest

from experiments import results
from genjax.ae.restoration import Restoration
from genjax.config import edit, field, to_json
from genjax.corruptions import Gaussian, Holes
from genjax.data import Digits
from genjax.errors import UserError
from genjax.metrics.evaluate import Frechet, PrecisionRecall
from genjax.metrics.features import Pixels, RandomNet
from genjax.nets import PlainUNet
from genjax.report import facts
from genjax.training import basis
from genjax.training import loop as train
from genjax.training.experiment import Published
from genjax.training.watch import Watch
from tests.training.test_watch import BASE

OWN = Published("metrics", "fd_pixels", 1.0, "A", of=(("data", Digits()), ("steps", 20)))


@dataclasses.dataclass(frozen=True)
class Count:
    """A finding that counts how often it was worked out, and takes what it knows from results.json."""

    by: int = field(1, "what is added")

    def __call__(self, this):
        known = this.log.result("count")
        if known is None:
            self.worked_out.append(self.by)
            this.log.result("count", {f"by{self.by}": 1})

    worked_out = []


def run(folder, **changes):
    watch = Watch((Frechet(),), extractor=Pixels(), samples=200)
    base = edit(BASE, {"runs": str(folder), "steps": 20, "watch": watch, "finish": (Count(),)})
    return train.run("drift", edit(base, changes), "base")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run with its metrics, and its folder."""
    folder = tmp_path_factory.mktemp("runs")
    Count.worked_out.clear()
    this = run(folder, published=(OWN,))
    return folder, this.log.directory, this.log.result("metrics")["fd_pixels"]["value"]


def test_other_sampling_is_measured_again_and_the_config_stays(finished, capsys):
    folder, home, own = finished
    config = (home / "config.json").read_text()
    other = run(folder, **{"algorithm.spread": 0.0})
    assert other.log.directory == home  # an execution field: the same run
    found = other.log.result("metrics")["fd_pixels"]["value"]
    assert found != pytest.approx(own, rel=0.1)
    assert (home / "config.json").read_text() == config
    told = "measured with algorithm.spread=0.0"
    assert told in capsys.readouterr().err and told in (home / "report.html").read_text()
    with pytest.raises(UserError, match="algorithm.spread=0.0, which its command does not say"):
        results.entry(facts.read(home), "python -m experiments.vae digits")
    again = run(folder, published=(OWN,))
    assert again.log.result("metrics")["fd_pixels"]["value"] == own
    assert told not in (home / "report.html").read_text()


def test_a_field_that_was_added_is_no_other_setting(tmp_path):
    cfg = Restoration((Gaussian(), Holes()), PlainUNet())
    before = json.loads(to_json(cfg))
    del before["keep"], before["net"]["bias"]
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"algorithm": before}))
    assert basis.settings(path, cfg) == {}
    other = edit(cfg, {"keep": True, "net.bias": True})
    assert basis.settings(path, other) == {
        "algorithm.keep": "True",
        "algorithm.net.bias": "True",
    }
    del before["net"]["blocks"]  # never added: a file that lacks it is another's
    path.write_text(json.dumps({"algorithm": before}))
    assert list(basis.settings(path, cfg)) == ["algorithm.net.blocks"]


def test_what_is_known_is_read_and_what_was_asked_otherwise_is_not(finished):
    folder, *_ = finished
    run(folder)
    Count.worked_out.clear()
    run(folder)  # known
    assert Count.worked_out == []
    found = run(folder, **{"finish.Count.by": 2}).log.result("count")
    assert Count.worked_out == [2] and found == {"by2": 1}  # not merged with by1
    more = run(folder, **{"watch.samples": 100}).log.result("metrics")
    assert more["fd_pixels"]["n"] == 100


def test_names_tell_what_does_not_compare(finished):
    folder, *_ = finished
    metrics = (PrecisionRecall(), PrecisionRecall(20))
    found = run(folder, **{"watch.metrics": metrics}).log.result("metrics")
    assert list(found) == [
        "precision_pixels", "recall_pixels", "precision_pixels_k20", "recall_pixels_k20",
    ]  # fmt: skip
    assert found["precision_pixels"]["value"] < found["precision_pixels_k20"]["value"]
    narrow = run(folder, **{"watch.extractor": RandomNet(16)}).log.result("metrics")
    assert list(narrow) == ["fd_random_width16"]
    with pytest.raises(UserError, match="both measure precision_pixels: leave one"):
        run(folder, **{"watch.metrics": (PrecisionRecall(), PrecisionRecall())})


def test_a_published_number_stands_beside_its_own_data_and_settings_alone(finished, capsys):
    folder, home, _ = finished
    exp = run(folder, published=(OWN,)).exp
    assert "published 1: A" in capsys.readouterr().err
    assert "1 (A)" in (home / "report.html").read_text()
    assert OWN.stands(exp) and not OWN.stands(edit(exp, {"data": Digits(valid=100)}))
    assert not dataclasses.replace(OWN, of=()).stands(exp)  # of which data, nobody knows
    of = (*OWN.of, ("algorithm.latent", 3))  # no such setting here
    assert not dataclasses.replace(OWN, of=of).stands(exp)
    longer = edit(exp, {"steps": 30})
    home = train.run("drift", longer, "base").log.directory
    assert "published 1: A" not in capsys.readouterr().err
    assert "1 (A)" not in (home / "report.html").read_text()


CODE = '''
"""A module."""
import dataclasses

@dataclasses.dataclass(frozen=True)
class Written:
    x: int = 1

def used(x):
    return x + 1
'''


def test_code_is_compared_without_its_comments(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def mark(text):
        file = tmp_path / "written.py"
        file.write_text(text)
        importlib.invalidate_caches()
        module = importlib.import_module("written")
        found = basis.code((module.Written(),))
        monkeypatch.delitem(importlib.sys.modules, "written")
        importlib.import_module("linecache").checkcache()
        file.unlink()
        return found

    first = mark(CODE)
    assert set(first) == {"python", "Written"}
    said = mark(CODE.replace("A module.", "Other words.").replace("x + 1", "x + 1  # why"))
    assert basis.changed(first, said) == []
    other = mark(CODE.replace("x + 1", "x + 2"))  # a function beside the class
    assert basis.changed(first, other) == ["Written"]
    assert basis.changed(first | {"python": "3.0"}, other) == []  # cannot be compared


def test_code_that_changed_since_is_told(finished, capsys, monkeypatch):
    folder, home, _ = finished
    run(folder)
    monkeypatch.setattr(basis, "_mark", lambda cls: f"new {cls.__name__}")
    run(folder)
    told = capsys.readouterr().err
    assert "code changed since this run began: " in told and "Drift" in told
    assert "metrics was measured before the code of" in told


def test_results_of_an_earlier_release_are_measured_again(finished):
    folder, home, own = finished
    path = home / "results.json"
    run(folder)
    old = json.loads(path.read_text())
    old.pop("about")
    old["metrics"]["fd_pixels"]["value"] = -1.0
    path.write_text(json.dumps(old))
    assert run(folder).log.result("metrics")["fd_pixels"]["value"] == own
