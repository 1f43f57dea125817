"""The audit of our own tools where it is known whom they serve worse: a detector and a classifier that are planted."""

import dataclasses
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from genjax.audit.disparities import disparities
from genjax.data import Digits
from genjax.data.portions import Reals
from genjax.data.source import Source
from genjax.data.spoken.workers import NAMES, TONES, VALUES, attributes
from genjax.errors import UserError
from genjax.fields import Attributes, Category, Image
from genjax.findings import servedwords
from genjax.findings.detectors import Entry
from genjax.findings.judging import values_of
from genjax.findings.served import Served

BRIGHT = 120.0  # of the first pixel, below it in people who are not dark


@dataclasses.dataclass(frozen=True)
class Crowd:
    """Pictures of noise, two of each person, whose first pixel may be brighter in dark people; tone is the label."""

    people: int = 8000
    unfair: bool = True

    def load(self) -> Source:
        rng = np.random.default_rng(5)
        true = {name: rng.integers(0, len(own), self.people) for name, own in VALUES.items()}
        person = np.repeat(np.arange(self.people), 2)
        image = rng.integers(0, 256, (len(person), 4, 4, 3)).astype(np.uint8)
        marked = (true["tone"] == 2) & self.unfair
        image[:, 0, 0, 0] = rng.random(len(person)) * (BRIGHT + 80.0 * marked[person])
        tone = true["tone"][person].astype(np.int32)
        columns = {
            "image": image,
            "label": tone,
            "attributes": attributes(true)[person],
            "person": person,
        }
        fields = {
            "image": Image((4, 4, 3)),
            "label": Category(3, TONES),
            "attributes": Attributes(NAMES),
            "person": Category(self.people),
        }
        splits = []
        for own in (person % 5 < 2, person % 5 == 2, person % 5 > 2):
            splits.append({name: column[own] for name, column in columns.items()})
        return Source("crowd", fields, *splits)


@dataclasses.dataclass(frozen=True)
class White:
    """A generator whose first pixel is always white."""

    name: str = "white"

    def pictures(self, cfg, source):
        rng = np.random.default_rng(6)
        found = {}
        for part, n in cfg.counts(source).items():
            found[part] = rng.integers(0, 256, (n, 4, 4, 3)).astype(np.uint8)
            found[part][:, 0, 0, 0] = 255
        return found


@dataclasses.dataclass(frozen=True)
class First:
    """A detector that looks at the first pixel alone."""

    learns: ClassVar[bool] = True

    def start(self, name, task):
        return lambda images: np.float64(images[:, 0, 0, 0])


class Blind:
    """A classifier that takes the dark for light half of the time, and is right on all others."""

    def fit(self, train, folder):
        def extract(images):
            first = images[:, 0, 1, 0].astype(int)
            bright = images[:, 0, 0, 0]
            # the label is written beside the first pixel by the test
            answer = np.where((first == 2) & (bright % 2 == 0), 0, first)
            return SimpleNamespace(logits=np.eye(3)[answer])

        return extract


def audit(unfair: bool) -> Served:
    """Of a crowd whose dark people are flagged more often, or as all are."""
    return Served(
        Reals(Crowd(unfair=unfair), "person"),
        (White(),),
        (Entry("first", First()),),
        rates=(0.05,),
        labels=("label",),
        crossed=("sex", "tone"),
        train=100,
        test=4000,
    )


def detected(cfg: Served):
    source = cfg.reals.load()
    people = cfg.tested(source)
    tools = list(cfg.detecting(people))
    rates = disparities({tool.name: tool.outcome for tool in tools}, cfg.compare)
    return people, tools, list(rates.values())


@pytest.fixture(scope="module")
def unfair():
    return detected(audit(True))


def test_people_count_once_and_are_those_of_their_pictures(unfair):
    people, _, _ = unfair
    cfg = audit(True)
    source = cfg.reals.load()
    portions = cfg.reals.portions(source)
    both = [portions["test"], portions["test_other"]]
    who = np.concatenate([half["person"] for half in both])[people.rows]
    tone = np.concatenate([half["label"] for half in both])[people.rows]
    assert len(set(who)) == len(who) == len(set(portions["test"]["person"])) > 2000
    np.testing.assert_array_equal(people.groups.members["tone=dark"], tone == 2)
    # nobody who sets the threshold is among them
    assert not set(who) & set(portions["held"]["person"])


def test_a_planted_detector_is_told_whom_it_flags(unfair):
    people, (tool, together), rates = unfair
    assert tool.name == "first against white" and together.name == "together against white"
    found = {rate.name: rate for rate in rates[0]}
    dark = found["tone=dark"]
    # nobody else reaches the threshold, which a twentieth of all do
    truth = np.mean(people.groups.members["tone=dark"])
    assert dark.share.low <= 0.05 / truth <= dark.share.high + 0.03 and dark.others == 0
    assert {name for name, rate in found.items() if tool.worse(rate)} == {
        "tone=dark",
        "woman, dark",
        "man, dark",
    }
    assert tool.caught.value == 1.0
    words = " ".join(servedwords.sentences([(tool, rates[0])], ["detectors, nothing"]))
    assert (
        "Served worse than everybody else: tone=dark (by first against white at 5 %)" in words
    )
    assert "flags real pictures of tone=dark more often than of everybody else" in words
    assert "flags real pictures of tone=light less often" in words
    assert "hardly" not in words and words.endswith("detectors, nothing.")


def test_a_detector_that_flags_all_alike_serves_nobody_worse():
    _, tools, rates = detected(audit(False))
    found = list(zip(tools, rates, strict=True))
    assert not any(rate.differs for own in rates for rate in own)
    assert "Of no group can it be told" in servedwords.verdict(found)
    # the threshold keeps what it promises of all
    assert 0.03 < servedwords.everybody(tools[0]).value < 0.07


def test_a_classifier_is_told_on_whom_it_errs():
    cfg = dataclasses.replace(audit(True), classifier=Blind())
    source = cfg.reals.load()
    for split in source.splits().values():
        split["image"][:, 0, 1, 0] = split["label"]
    people = cfg.asked(source)
    (tool,) = cfg.classifying(source, people)
    (rates,) = disparities({tool.name: tool.outcome}, cfg.compare).values()
    found = {rate.name: rate for rate in rates}
    assert found["tone=light"].share.value == 1.0
    dark = found["tone=dark"]
    assert dark.share.low < 0.5 < dark.share.high and tool.worse(dark)
    # more right answers are no harm
    assert found["tone=light"].differs and not tool.worse(found["tone=light"])
    words = " ".join(servedwords.sentences([(tool, rates)], []))
    assert "The classifier of label is right about 8" in words
    assert "is right about tone=dark less often than about everybody else" in words


def test_tables_and_figures_have_every_tool_and_group(unfair):
    _, tools, rates = unfair
    found = list(zip(tools, rates, strict=True))
    single, several = servedwords.tables(found, "Holm").values()
    assert list(single) == ["first against white", "together against white"]
    row = single["first against white"]
    assert row["tone=dark"].endswith(" *") and row["sex=man"].endswith("]")
    assert (
        row["generated"].startswith("1.000")
        and "woman, dark" in several["together against white"]
    )
    (picture,) = servedwords.figures(found).values()
    assert picture.ndim == 3 and picture.dtype == np.uint8


def test_what_cannot_be_audited_is_refused_before_anything_is_trained():
    few = Reals(Crowd(people=500), "person")
    source = few.load()
    assert values_of(source)["tone"] == TONES
    base = Served(few, labels=("label",))
    base.check(source)
    for changes, told in (
        ({"labels": ()}, "--detectors and --labels are both empty"),
        ({"labels": ("tone",)}, "--labels: crowd has no classes 'tone', it has label, person"),
        ({"of": ("shoe",)}, "--of: crowd has no category 'shoe'"),
        ({"crossed": ("sex", "shoe")}, "--crossed: crowd has no category 'shoe'"),
        ({"least": 0}, "--least=0"),
        ({"detectors": (Entry(),)}, "--generators and --detectors must not be empty"),
    ):
        with pytest.raises(UserError, match=told):
            dataclasses.replace(base, **changes).check(source)
    with pytest.raises(UserError, match="--reals.of: an audit needs pictures of which"):
        base.check(Digits().load())
    with pytest.raises(UserError, match="no group has 400 members"):
        dataclasses.replace(base, least=400).asked(source)
