"""Audits of samplers whose truth is known: pictures that carry their groups, and a reader that errs as it is told."""

import dataclasses

import numpy as np
import pytest

from genjax.audit.association import cramers_v
from genjax.audit.confusion import known, perfect
from genjax.audit.tables import asked_table, cell_counts, margin, read_table
from genjax.conditions import Caption, Label
from genjax.config import edit
from genjax.data import Digits
from genjax.data.balanced import Balanced, Fewer, Weighed, independent
from genjax.data.heads import Heads
from genjax.data.spoken.sentences import groups
from genjax.data.spoken.workers import NAMES, SCALE, VALUES, Workers
from genjax.diffusion import named
from genjax.errors import UserError
from genjax.findings import auditwords
from genjax.findings.audited import Audited, Drawn, Held, Sampled, Task, names_of, says
from genjax.findings.auditing import Audit, crossed_names
from genjax.findings.judging import HeldOut, Judges, by_value, judges_of, served, within
from genjax.findings.planted import Errors, Faces, Planted, v_of
from genjax.metrics.features import Components
from genjax.metrics.frechet import moments
from genjax.metrics.intervals import Interval, share
from genjax.training.experiment import Experiment
from genjax.vae.vae import VAE

FEW = Workers(16, people=30, shots=2, bias=0.8)
READER = np.array([[0.9, 0.1], [0.2, 0.8]])
SIZES = {"occupation": 4, "sex": 2, "tone": 3, "age": 4}


def planted(n: int, bias: float, seed: int) -> dict[str, np.ndarray]:
    """n people, as many of each occupation, with sexes as planted."""
    rng = np.random.default_rng(seed)
    found = {name: rng.integers(0, size, n) for name, size in SIZES.items()}
    found["occupation"] = np.arange(n) % 4
    share = (1 + bias * np.array(SCALE)[found["occupation"]]) / 2
    found["sex"] = (rng.random(n) >= share).astype(int)
    return found


def pictures(values: dict[str, np.ndarray], seed: int) -> np.ndarray:
    """Pictures of noise whose first pixels are the values, uint8 [N, 4, 4, 3]."""
    rng = np.random.default_rng(seed)
    n = len(values["sex"])
    found = rng.integers(0, 256, (n, 4, 4, 3)).astype(np.uint8)
    found[:, 0, :, 0] = np.stack(list(values.values()), 1)
    return found


def answers(images: np.ndarray) -> np.ndarray:
    """What a reader says that errs in sex alone, as READER has it; a picture is always read alike."""
    rows = images.reshape(len(images), -1)[:, 13:].astype(np.uint64)
    chance = (rows.sum(1) * 2654435761 % 2**32) / 2**32
    parts = []
    for column, (name, size) in enumerate(SIZES.items()):
        value = images[:, 0, column, 0].astype(int)
        if name == "sex":
            value = np.where(chance < READER[value, 0], 0, 1)
        parts.append(np.eye(size)[value])
    return np.concatenate(parts, 1)


def judges(bias: float) -> Judges:
    """Of data of this bias."""
    data = planted(4000, bias, 1)
    images = pictures(data, 2)

    def features(x):
        return x.reshape(len(x), -1)[:, 20:24] / 255.0

    errors = {name: perfect(size) for name, size in SIZES.items()}
    errors["sex"] = known(READER)
    values = {name: tuple(own) for name, own in VALUES.items()}
    seen = features(images)
    return Judges(
        values=values,
        columns=groups(NAMES),
        answers=answers,
        errors=errors,
        features=features,
        distance="fd_pca4",
        data=data,
        real=by_value(seen, data, values),
        whole={"the data": moments(seen)},
    )


@pytest.fixture(scope="module")
def known_judges():
    return judges(0.4)


@pytest.fixture(scope="module")
def amplified(known_judges):
    """What is said of a sampler of twice the bias of its data."""
    audit = Audit(draws=600)
    values = planted(4000, 0.8, 3)
    drawn = Drawn(pictures(values, 4), values["occupation"])
    return audit.measured("model", drawn, known_judges)


def test_a_table_of_what_is_asked_for_keeps_its_shares():
    asked = np.repeat([0, 2], [30, 10])
    read = np.tile([0, 1], 20)
    table = asked_table(asked, read, 3, perfect(2), times=50)
    np.testing.assert_allclose(table.value, [[0.375, 0.375], [0, 0], [0.125, 0.125]])
    np.testing.assert_allclose(table.draws.sum(-1), np.tile([0.75, 0.0, 0.25], (50, 1)))
    np.testing.assert_allclose(margin(table).value, [0.5, 0.5])
    both = read_table(asked, read, perfect(3), perfect(2), times=50)
    np.testing.assert_allclose(both.value, table.value, atol=1e-9)


def test_amplification_and_v_are_found_behind_the_readers_errors(amplified, known_judges):
    tie = amplified.ties["sex"]
    truth = 0.8 * np.sqrt(np.mean(np.square(SCALE)))
    assert tie["V"].low <= truth <= tie["V"].high and tie["V"].high - tie["V"].low < 0.15
    counts = cell_counts([known_judges.data["occupation"], known_judges.data["sex"]], [4, 2])
    assert tie["V of the data"] == pytest.approx(cramers_v(counts / counts.sum()), abs=0.01)
    assert tie["p, as read"] < 0.01
    # each leading sex has (.8 - .4) |s| / 2 more
    more = 0.2 * np.mean(np.abs(SCALE))
    assert tie["amplification"].low <= more <= tie["amplification"].high
    assert tie["amplification"].low > 0 and tie["directional"].low > 0
    assert tie["p of directional"] < 0.05
    # nothing else was planted
    for other in ("tone", "age"):
        assert amplified.ties[other]["p, as read"] > 0.05
        assert amplified.ties[other]["amplification"].low < 0.03


def test_a_moved_margin_is_no_stronger_tie(known_judges):
    """Ages go with no occupation, in data and samples; the samples show one of them more, for all alike."""
    audit = Audit(draws=400, of=("age",))
    rng = np.random.default_rng(0)
    data = dict(known_judges.data, age=rng.choice(4, 4000, p=[0.4, 0.3, 0.2, 0.1]))
    words = []
    for seed in range(8):
        values = planted(2000, 0.4, 20 + seed)
        values["age"] = np.random.default_rng(seed).choice(4, 2000, p=[0.6, 0.2, 0.1, 0.1])
        drawn = Drawn(pictures(values, 4), values["occupation"])
        read = {name: values[name] for name in ("occupation", "age")}
        own = known_judges._replace(data=data)
        tables = {"age": audit.table(drawn, read, "age", own)}
        tie = audit.ties(tables, values["occupation"], read, own)["age"]
        assert tie["amplification"].low > 0.05
        words.append(tie["p of directional"] < 0.05 and tie["directional"].value > 0)
    assert sum(words) <= 1


def test_uncorrected_reading_would_miss_the_planted_share(amplified, known_judges):
    table = auditwords.within(amplified.tables["sex"])
    assert table.value[0, 0] == pytest.approx(0.9, abs=0.06)
    # as read it is .9 * .9 + .2 * .1
    assert table.value[0, 0] > 0.83 + 0.02
    women = next(each for each in amplified.shares if each.name == "sex=woman")
    assert not women.differs and women.share.low <= 0.5 <= women.share.high


def test_a_users_share_is_what_is_held_against(known_judges):
    audit = Audit(draws=1000, of=("sex",), reference=(("sex=woman", 0.8),))
    values = planted(2000, 0.4, 5)
    found = audit.measured("m", Drawn(pictures(values, 6), None), known_judges)
    women = next(each for each in found.shares if each.name == "sex=woman")
    assert women.reference == 0.8 and women.differs
    # nothing was asked for: nothing can be read back
    assert "read back" not in found.quality


def test_small_groups_are_said_and_not_averaged(known_judges):
    audit = Audit(draws=600, of=("sex", "age"), least=90)
    values = planted(2000, 0.4, 7)
    # hardly any old
    values["age"] = np.where(values["age"] == 3, 0, values["age"])
    values["age"][:20] = 3
    found = audit.measured("m", Drawn(pictures(values, 8), values["occupation"]), known_judges)
    assert any("nothing is said of old (20)" in note for note in found.notes)
    assert "age=old" not in found.quality["fd_pca4"]
    # of the samples hardly any are old, of the data a quarter: that is told
    old = [each for each in found.cells if "old" in each.name]
    assert len(old) == 2 and all(each.differs and each.reference > 0.1 for each in old)


def test_a_cell_that_neither_samples_nor_data_have_is_left_out(known_judges):
    audit = Audit(draws=300, of=("sex", "age"), least=90)
    values = planted(2000, 0.4, 7)
    values["age"] = values["age"] % 3
    data = dict(known_judges.data, age=known_judges.data["age"] % 3)
    read = {name: values[name] for name in SIZES}
    own = known_judges._replace(data=data)
    cells, note = audit.cells("m", read, own, np.full(4, 0.25))
    assert not any("old" in each.name for each in cells) and "woman, old (0)" in note


def test_intersections_are_held_against_the_occupations_that_were_asked_for(known_judges):
    """Data in which half are nurses: asked for all alike, women are fewer than in the data as they are."""
    audit = Audit(of=("sex", "age"))
    data = planted(8000, 0.8, 3)
    rows = np.concatenate(
        [np.arange(8000), np.tile(np.flatnonzero(data["occupation"] == 0), 3)]
    )
    data = {name: column[rows] for name, column in data.items()}
    own = known_judges._replace(data=data)
    women = audit.data_cells(own, np.full(4, 0.25)).reshape(2, 4).sum(1)[0]
    assert women == pytest.approx(0.5, abs=0.02) and np.mean(data["sex"] == 0) > 0.6


def test_a_group_that_is_drawn_worse_is_found(known_judges):
    audit = Audit(draws=300, of=("sex", "tone"))
    values = planted(3000, 0.4, 9)
    images = pictures(values, 10)
    dark = values["tone"] == 2
    images[dark] = np.where(
        np.arange(48).reshape(4, 4, 3) < 13, images[dark], images[dark] // 4
    )
    found = audit.measured("m", Drawn(images, values["occupation"]), known_judges)
    distance = found.quality["fd_pca4"]
    assert found.members["tone=dark"] == dark.sum() and sum(found.members.values()) == 6000
    assert distance["tone=dark"].low > 5 * distance["tone=light"].high
    assert found.quality["read back"]["tone=dark"].value == 1.0
    words = " ".join(auditwords.quality_in_words("m", found))
    assert "groups are not served alike" in words and "tone=dark" in words


def quality(rng: np.random.Generator) -> dict[str, Interval]:
    """Read-back of 250 pictures a group of 9 groups, of all of which it is .8."""
    found = {}
    for group in ("sex", "tone", "age"):
        for value in VALUES[group]:
            found[f"{group}={value}"] = share(rng.binomial(250, 0.8), 250)
    return found


def test_groups_that_are_served_alike_are_hardly_ever_told_apart(amplified):
    told = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        own = amplified._replace(quality={"read back": quality(rng)})
        told += bool(auditwords.quality_in_words("m", own))
    assert told <= 4
    # best and worst of two categories are no pair
    apart = {
        "sex=woman": Interval(0.5, 0.49, 0.51),
        "sex=man": Interval(0.5, 0.49, 0.51),
        "tone=light": Interval(0.9, 0.89, 0.91),
        "tone=dark": Interval(0.9, 0.89, 0.91),
    }
    assert not auditwords.quality_in_words("m", amplified._replace(quality={"q": apart}))
    (line,) = auditwords.quality_in_words(
        "m",
        amplified._replace(quality={"q": {**apart, "tone=dark": Interval(0.7, 0.69, 0.71)}}),
    )
    assert "tone=dark has 0.700" in line and "errors are not taken out" in line


def test_widened_ends_are_bonferronis():
    found = auditwords.widened(Interval(0.0, -1.96, 0.98), 10)
    # z of 1 - .05 / 20
    np.testing.assert_allclose(found, (0.0, -2.807, 1.4035), atol=2e-3)
    assert auditwords.widened(Interval(0.5, 0.4, 0.6), 1) == pytest.approx((0.5, 0.4, 0.6))


def test_words_say_what_is_found_and_no_more(amplified, known_judges):
    audit = Audit(draws=600)
    lines = auditwords.sentences(audit, known_judges, {"model": amplified})
    text = " ".join(lines)
    assert "in this order, by the stated scale: nurse, teacher, engineer, builder" in text
    assert "model, asked for nurse: woman in" in text and "asked for builder: woman in" in text
    assert "ties occupation to sex more than the data do" in text
    assert "no tie of occupation and tone can be told" in text
    tables = auditwords.tables(audit, known_judges, {"model": amplified})
    assert set(tables["Shares of sex by occupation"]) >= {"model: nurse", "model: builder"}
    picture = auditwords.figure(audit, known_judges, {"model": amplified})
    assert picture.dtype == np.uint8 and picture.shape[2] == 3


def test_of_what_cannot_have_been_read_so_nothing_is_said(known_judges):
    """Women are read as such in nine of ten: a sampler of whom all are read as women is not like real pictures."""
    audit = Audit(draws=600, of=("sex",))
    images = pictures(planted(800, 0.4, 11), 12)

    def odd(x):
        said = answers(x).copy()
        said[:, 4:6] = [1.0, 0.0]
        return said

    found = audit.measured(
        "m", Drawn(images, np.arange(800) % 4), known_judges._replace(answers=odd)
    )
    assert found.doubts == ("sex",) and "the reader errs otherwise" in found.notes[-1]
    words = " ".join(auditwords.sentences(audit, known_judges, {"m": found}))
    assert "more often than expected" not in words and "asked for nurse" not in words
    honest = audit.measured("m", Drawn(images, np.arange(800) % 4), known_judges)
    assert not honest.doubts


def test_the_readers_own_errors_are_told_by_group():
    true = {"sex": np.repeat([0, 1], 50), "tone": np.tile([0, 1], 50)}
    # men of the second tone are all read wrongly
    wrong = (true["sex"] == 1) & (true["tone"] == 1)
    read = {"sex": np.where(wrong, 0, true["sex"]), "tone": true["tone"]}
    rows = served(
        HeldOut(true, read, np.arange(100)), {"sex": ("w", "m"), "tone": ("a", "b")}, 20
    )
    assert rows["sex"]["sex=w"] == "1.000 [1.000, 1.000]"
    assert rows["sex"]["sex=m"].startswith("0.500") and rows["sex"]["tone=b"].startswith(
        "0.500"
    )
    assert (
        served(
            HeldOut(true, read, np.arange(100)), {"sex": ("w", "m"), "tone": ("a", "b")}, 51
        )["sex"]
        == {}
    )


def test_errors_are_told_apart_from_forty_of_a_cell_and_else_it_is_said(known_judges):
    class Log:
        def __init__(self):
            self.notes = []

        def note(self, line):
            self.notes.append(line)

        def result(self, name, numbers):
            pass

    # four ages in four occupations, 45 or 39 of each pair
    values = {"occupation": VALUES["occupation"], "age": VALUES["age"]}
    for each, kept in ((45, True), (39, False)):
        true = {
            "occupation": np.repeat(np.arange(4), 4 * each),
            "age": np.tile(np.arange(4), 4 * each),
        }
        tested = HeldOut(true, true, np.arange(16 * each))
        found = within(tested, values, ("occupation", "age"))
        assert ("age" in found) == kept
        log = Log()
        row = dict.fromkeys(known_judges.errors, {})
        Audit(of=("age",)).tell_reader(log, known_judges._replace(within=found, served=row))
        told = [line for line in log.notes if "errors in age are taken as the same" in line]
        assert len(told) == (not kept)


def test_names_of_cells():
    assert crossed_names([("a", "b"), ("x", "y")]) == ["a, x", "a, y", "b, x", "b, y"]


@pytest.fixture(scope="module")
def task():
    return Task(FEW, FEW.load(), "occupation", 40, 0, "runs", {})


def test_rows_ask_for_every_value_alike(task):
    rows, asked = Sampled().rows(task, words=False)
    assert np.bincount(asked).tolist() == [10, 10, 10, 10]
    np.testing.assert_array_equal(np.asarray(task.source.train["label"])[rows], asked)
    # in words the sentence says it and nothing else
    rows, asked = Sampled().rows(task, words=True)
    said = np.asarray(task.source.train["said"])[rows]
    assert (said.sum(1) == 4).all() and (said[:, task.columns] == 1).all()


def test_even_shares_are_asked_of_uneven_data():
    more = Workers(16, people=150, shots=2, bias=0.8)
    many = Task(more, more.load(), "occupation", 4000, 0, "runs", {})
    sex = np.asarray(many.source.train["sex"])
    label = np.asarray(many.source.train["label"])
    rows, asked = Sampled(even="sex").rows(many, words=False)
    for k in range(4):
        assert abs(np.mean(sex[label == k]) - 0.5) > 0.1
        assert np.mean(sex[rows[asked == k]]) == pytest.approx(0.5, abs=0.06)


def test_even_shares_of_what_never_comes_are_refused(task):
    train = dict(task.source.train)
    columns = groups(NAMES)["sex"]
    table = np.array(train["attributes"])
    # no nurse is a man
    nurse = np.asarray(train["label"]) == 0
    table[np.ix_(nurse, columns)] = [1, 0]
    source = task.source._replace(train={**train, "attributes": table})
    told = edit(Experiment(algorithm=named.FLOW), {"algorithm.condition": (Label("sex"),)})
    with pytest.raises(UserError, match="sex=man never comes with occupation=nurse"):
        Sampled(told, even="sex").check(task._replace(source=source))


def test_what_a_model_was_told_decides_what_it_is_held_to(task):
    for asks in (["label"], ["attributes"], ["sex", "caption"]):
        assert says(task.source, "occupation", asks)
    # these say nothing of the occupation, which has to be read
    for asks in ([], ["sex"], ["age", "person"]):
        assert not says(task.source, "occupation", asks)
    assert says(task.source, "sex", ["sex"]) and not says(task.source, "sex", ["label"])


def test_balanced_data_are_the_audits_own(task):
    pinned = Sampled(data=Balanced(Workers(bias=0.5), how=Fewer()))
    assert pinned.trained_on(task) == Balanced(FEW, how=Fewer())
    assert Sampled().trained_on(task) == FEW
    with pytest.raises(UserError, match=r"--samplers, data: its pictures are \(24, 24, 3\)"):
        Sampled(data=Workers(24, people=30)).check(task)


def test_pictures_of_another_size_are_refused_before_a_reader_learns(task, tmp_path):
    other = Workers(24, people=30).load()
    with pytest.raises(UserError, match=r"--judged: its pictures are \(24, 24, 3\) and those"):
        judges_of(task.source, other, ("occupation",), None, None, tmp_path, 40)


def test_a_sentence_cannot_be_asked_for_even_shares(task):
    words = edit(Experiment(algorithm=named.FLOW), {"algorithm.condition": (Caption(),)})
    with pytest.raises(UserError, match=r"told caption \(captions say occupation alone\): add"):
        Sampled(words, even="sex").check(task)


def test_what_was_held_out_is_audited_as_it_is(task):
    (drawn,) = Held().start("real", task).values()
    # a picture of each person out of training
    assert len(drawn.images) == 6 == len(drawn.asked)


def test_what_cannot_be_audited_is_refused_before_anything_is_trained(task):
    plain = Experiment(algorithm=named.FLOW)
    with pytest.raises(
        UserError, match="needs a model that is told it, and this one is told nothing"
    ):
        Sampled(plain, even="sex").check(task)
    with pytest.raises(
        UserError, match="no category 'shoe', it has occupation, sex, tone, age"
    ):
        Sampled(plain, even="shoe").check(task)
    with pytest.raises(UserError, match="has no guidance to try scales of"):
        Sampled(Experiment(algorithm=VAE()), scales=(2.0,)).check(task)
    with pytest.raises(
        UserError, match="an audit needs pictures of which the groups are known"
    ):
        names_of(Digits().load())
    for changes, told in (
        ({"about": "shoe"}, "no category 'shoe'"),
        ({"scale": (1.0, 2.0)}, "occupation has 4 values"),
        ({"draws": 900}, "--draws=900: 24 groups are compared together.*use at least 960"),
        ({"samples": 30}, "--samples: 30 pictures in 24 groups may leave none with --least=40"),
        ({"reference": (("sex=cat", 0.5),)}, "'sex=cat' is none of"),
        # as many as there are people out of training
        ({"samplers": (Audited("x", Held()),)}, "Held.*: 6 pictures in 24 groups"),
    ):
        cfg = dataclasses.replace(Audit(), **changes)
        with pytest.raises(UserError, match=told):
            cfg.check(task.source)


@pytest.mark.parametrize("how", [Weighed(), Fewer()])
def test_balanced_data_have_independent_fields(how):
    rng = np.random.default_rng(0)
    cell = rng.choice(4, 20_000, p=[0.4, 0.1, 0.2, 0.3])
    wanted = independent(cell, [2, 2])
    rows = how(cell, wanted, rng)
    shares = np.bincount(cell[rows], minlength=4) / len(rows)
    np.testing.assert_allclose(shares, [0.3, 0.2, 0.3, 0.2], atol=0.012)
    if isinstance(how, Fewer):
        assert len(np.unique(rows)) == len(rows) < len(cell)
    else:
        assert len(rows) == len(cell)


def test_balanced_leaves_the_other_splits_and_refuses_what_is_no_class():
    mild = dataclasses.replace(FEW, bias=0.0)
    source, before = Balanced(mild).load(), mild.load()
    assert len(source.train["label"]) == len(before.train["label"])
    np.testing.assert_array_equal(source.test["image"], before.test["image"])
    again = Balanced(mild).load()
    np.testing.assert_array_equal(source.train["label"], again.train["label"])
    with pytest.raises(UserError, match="no classes 'caption'"):
        Balanced(mild, ("label", "caption")).load()


def test_the_calibration_holds_what_it_plants_and_reading_alone_does_not():
    rng = np.random.default_rng(0)
    cfg = Planted(
        audits=10,
        draws=400,
        samples=2000,
        tested=2000,
        faces=Heads(people=6000, shots=1, seed=1),
    )
    man = np.arange(6000) % 2
    # a reader that errs on faces, whatever the coat
    sex = np.where(rng.random(6000) < READER[man, 0], 0, 1)
    work = np.tile(np.arange(4), (6000, 1))
    faces = Faces(man, np.tile(sex[:, None], (1, 4)), work)
    audits = []
    for audit in range(cfg.audits):
        order = rng.permutation(6000)
        errors = cfg.errors(faces, order[:2000], rng)
        asked, rows = cfg.drawn(faces, order[2000:], 0.5, rng)
        assert len(np.unique(rows)) == len(rows)
        audits.append(cfg.found(faces, rows, asked, errors, audit))
    row = cfg.row(0.5, audits)
    assert row["gap held"] >= 8 and row["gap, read held"] >= 8 and row["V held"] >= 8
    # 0.7 of the gap is what such a reader sees
    assert row["gap, uncorrected held"] <= 2
    assert isinstance(errors, Errors)


def test_v_of_what_is_planted():
    share = (1 + 0.5 * np.array(SCALE)) / 2
    joint = np.stack([share, 1 - share], 1) / 4
    assert v_of(0.5) == pytest.approx(cramers_v(joint))


def test_a_calibration_without_faces_enough_is_refused():
    with pytest.raises(UserError, match="--faces.people=100: 4000 for the reader's errors"):
        Planted(faces=Heads(people=100, shots=1, seed=1)).check()
    with pytest.raises(UserError, match="--faces.seed is that of --data"):
        Planted(faces=Heads(people=20_000, shots=1)).check()
    with pytest.raises(UserError, match="--faces.size=16: the reader learns from .* 32"):
        Planted(faces=Heads(16, people=20_000, shots=1, seed=1)).check()
    with pytest.raises(UserError, match="--faces.shots=2"):
        Planted(faces=Heads(people=20_000, shots=2, seed=1)).check()
    with pytest.raises(UserError, match="--tested=0"):
        Planted(tested=0).check()
    with pytest.raises(UserError, match="--biases=1.2"):
        Planted(biases=(1.2,)).check()
    assert Components(4).name == "pca4"
