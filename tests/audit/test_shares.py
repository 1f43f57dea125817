"""Shares behind a reader's errors: closed forms, an optimiser's answer, and intervals that hold the truth."""

import numpy as np
import pytest

from genjax.audit.association import conditional
from genjax.audit.comparisons import Alone, BenjaminiHochberg, Holm
from genjax.audit.confusion import (
    cells,
    confusion,
    corrected,
    crossed,
    differing,
    interval,
    known,
    perfect,
    plausible,
    tail,
    unmixed,
)
from genjax.audit.shares import asked_shares, enough, represented
from genjax.audit.tables import asked_table
from genjax.errors import UserError

SEXES = ("woman", "man")
# hits of women .9, of men .8
READER = np.array([[0.9, 0.1], [0.2, 0.8]])


def likelihood(pi, counts, matrix):
    return np.sum(counts * np.log(np.maximum(pi @ matrix, 1e-300)), -1)


def test_two_classes_are_rogan_and_gladen():
    counts = np.array([300, 700])
    found = corrected(counts, known(READER), times=10)
    # (said + specificity - 1) / (sensitivity + specificity - 1)
    expected = (0.3 - 0.2) / (0.9 + 0.8 - 1.0)
    np.testing.assert_allclose(found.value, [expected, 1 - expected], atol=1e-12)


def test_a_share_that_errors_alone_explain_is_0_as_the_likelihood_has_it():
    # fewer women are read than a set of men would give
    found = corrected(np.array([150, 850]), known(READER), times=10)
    np.testing.assert_allclose(found.value, [0.0, 1.0], atol=1e-9)


def test_three_classes_at_the_edge_of_the_simplex_are_the_best_of_a_fine_grid():
    matrix = np.array([[0.8, 0.15, 0.05], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7]])
    counts = np.array([500, 100, 300.0])
    assert (counts / 900 @ np.linalg.inv(matrix)).min() < 0
    found = corrected(counts, known(matrix), times=10).value
    steps = np.linspace(0, 1, 401)
    a, b = np.meshgrid(steps, steps)
    grid = np.stack([a, b, 1 - a - b], -1)[a + b <= 1 + 1e-12]
    grid = grid.clip(0, 1)
    best = grid[np.argmax(likelihood(grid, counts, matrix))]
    np.testing.assert_allclose(found, best, atol=0.003)
    assert likelihood(found, counts, matrix) >= likelihood(best, counts, matrix) - 1e-6


def test_inside_the_simplex_em_stays_where_the_inverse_is():
    rng = np.random.default_rng(0)
    pi = rng.dirichlet(np.ones(3), size=(5, 2))
    matrix = np.array([[0.8, 0.15, 0.05], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7]])[None].repeat(5, 0)
    # one that is outside makes all go through EM
    read = pi @ matrix
    read[0, 0] = [0.0, 0.0, 1.0]
    found = unmixed(read, matrix[:, None])
    np.testing.assert_allclose(found[1:], pi[1:], atol=1e-9)
    np.testing.assert_allclose(found[0, 0], [0, 0, 1], atol=1e-6)


def test_more_answers_than_truths_are_solved_by_em_alone():
    matrix = np.array([[0.7, 0.1, 0.2], [0.1, 0.6, 0.3]])
    pi = np.array([0.25, 0.75])
    found = unmixed((pi @ matrix)[None, None], matrix[None, None], rounds=2000)
    np.testing.assert_allclose(found[0, 0], pi, atol=1e-6)


def test_of_a_perfect_reader_the_interval_is_jeffreys():
    from scipy.stats import beta

    found = corrected(np.array([0, 50]), perfect(2), times=40_000)
    _, low, high = interval(found.value[0], found.draws[:, 0])
    np.testing.assert_allclose(high, beta.ppf(0.975, 0.5, 50.5), rtol=0.05)
    # at the end itself the end is in it
    assert low == 0.0


def test_errors_in_two_categories_cross_as_their_table_of_both():
    other = np.array([[0.7, 0.3], [0.1, 0.9]])
    both = crossed(known(READER), known(other))
    assert both.matrix[0 * 2 + 1, 1 * 2 + 0] == pytest.approx(0.1 * 0.1)
    np.testing.assert_allclose(both.matrix.sum(1), 1.0)
    a, b = np.array([0, 1, 1]), np.array([1, 0, 1])
    assert cells([a, b], [2, 2]).tolist() == [1, 2, 3]


def test_a_counted_matrix_is_its_shares_and_its_draws_lie_about_it():
    true = np.repeat([0, 1], [200, 100])
    read = np.concatenate([np.repeat([0, 1], [180, 20]), np.repeat([0, 1], [20, 80])])
    found = confusion("sex", true, read, SEXES)
    np.testing.assert_allclose(found.matrix, READER)
    draws = found.draws(np.random.default_rng(0), 4000)
    np.testing.assert_allclose(draws.mean(0), READER, atol=0.01)
    # of a share of n people: p (1 - p) / n
    np.testing.assert_allclose(draws[:, 0, 1].std(), np.sqrt(0.09 / 200), rtol=0.1)
    # several pictures of one person are less than as many people
    same = confusion(
        "sex", np.repeat(true, 4), np.repeat(read, 4), SEXES, np.repeat(np.arange(300), 4)
    )
    apart = confusion("sex", np.repeat(true, 4), np.repeat(read, 4), SEXES)
    rng = np.random.default_rng(0)
    assert same.draws(rng, 2000)[:, 0, 1].std() > 1.7 * apart.draws(rng, 2000)[:, 0, 1].std()


@pytest.mark.parametrize("bias", [0.0, 0.2, 0.5, 0.8])
def test_intervals_hold_a_planted_bias_and_are_a_tenth_wide(bias):
    """The calibration's statistics: a simulated reader, whose matrix is itself counted anew each time."""
    held, widths = 0, []
    truth = 0.5 + 0.5 * bias * np.array([1, 1 / 3, -1 / 3, -1])
    times = 40
    for seed in range(times):
        rng = np.random.default_rng(seed)
        tested = rng.multinomial(1500, READER[0]), rng.multinomial(1500, READER[1])
        # a picture of each person
        true = np.repeat([0, 1], 1500)
        read = np.concatenate([np.repeat([0, 1], row) for row in tested])
        errors = confusion("sex", true, read, SEXES)
        women = rng.binomial(2000, truth)
        said = rng.binomial(women, 0.9) + rng.binomial(2000 - women, 0.2)
        counts = np.stack([said, 2000 - said], 1)
        found = corrected(counts, errors, times=400, seed=seed)
        value = found.value[0, 0] - found.value[3, 0]
        _, low, high = interval(value, found.draws[:, 0, 0] - found.draws[:, 3, 0])
        held += low <= bias <= high
        widths.append(high - low)
    # 95 % of 40 are 38; fewer than 34 come by chance in 1 of 100
    assert held >= 34
    assert np.mean(widths) < 0.1


def test_errors_that_differ_by_what_is_asked_make_no_gap():
    """Half are women under both conditions; men of the second are called women twice as often as those of the first."""
    rng = np.random.default_rng(3)
    said_woman = np.array([[0.9, 0.9], [0.2, 0.4]])  # [T, K]

    def read(true, condition):
        return np.where(rng.random(len(true)) < said_woman[true, condition], 0, 1)

    faces = np.repeat(rng.integers(0, 2, 4000), 2)
    coat = np.tile([0, 1], 4000)
    said = read(faces, coat)
    who = np.arange(8000) // 2
    apart = differing(coat, faces, said, (2, 2), who)
    np.testing.assert_allclose(apart.matrix[:, :, 0], said_woman.T, atol=0.03)
    together = confusion("sex", faces, said, SEXES, who)
    held = 0
    for audit in range(20):
        asked = np.repeat([0, 1], 4000)
        shown = read(rng.integers(0, 2, 8000), asked)
        tables = [asked_table(asked, shown, 2, of, 400, audit) for of in (apart, together)]
        value, wrong = (conditional(table.value)[:, 0] for table in tables)
        draws = conditional(tables[0].draws)[:, :, 0]
        gap = interval(value[0] - value[1], draws[:, 0] - draws[:, 1])
        held += gap.low <= 0 <= gap.high
        # .1 more of the half that are men, over a slope of about .6
        assert wrong[0] - wrong[1] < -0.1
    assert held >= 17


def test_conditions_of_one_reader_are_what_it_is_without_them():
    counts = np.array([[300.0, 700.0], [550.0, 450.0]])
    true = np.repeat([0, 0, 1, 1], [90, 10, 20, 80])
    said = np.repeat([0, 1, 0, 1], [90, 10, 20, 80])
    coat = np.repeat([[0, 1]], len(true), 0)
    twice = [np.repeat(each, 2) for each in (true, said)]
    who = np.repeat(np.arange(len(true)), 2)
    apart = differing(coat.ravel(), *twice, (2, 2), who)
    one = confusion("sex", true, said, SEXES)
    found = corrected(counts, apart, 2000).value
    np.testing.assert_allclose(found, corrected(counts, one, 10).value, atol=1e-12)
    # the same people weigh the same: what they say of both is the same in every draw, but for the prior
    draws = apart.draws(np.random.default_rng(0), 500)
    assert np.corrcoef(draws[:, 0, 0, 0], draws[:, 1, 0, 0])[0, 1] > 0.9


def test_what_no_mixture_of_tested_pictures_can_be_read_as_is_not_plausible():
    # women are read as such in .9 of cases: more than that nothing explains
    assert plausible(np.array([980, 20]), known(READER)) < 0.001
    assert plausible(np.array([900, 100]), known(READER)) == pytest.approx(0.5, abs=0.1)
    assert plausible(np.array([500, 500]), known(READER)) == 1.0


def test_without_the_readers_own_doubt_intervals_are_too_narrow():
    """What the correction is for: a matrix taken as known, counted on few, holds the truth too rarely."""
    held = {"counted": 0, "taken as known": 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        true = np.repeat([0, 1], 60)
        read = np.where(rng.random(120) < READER[true, 0], 0, 1)
        errors = confusion("sex", true, read, SEXES)
        said = rng.binomial(1500, 0.9) + rng.binomial(3500, 0.2)
        counts = np.array([said, 5000 - said])
        for name, reader in (("counted", errors), ("taken as known", known(errors.matrix))):
            found = corrected(counts, reader, times=300, seed=seed)
            _, low, high = interval(found.value[0], found.draws[:, 0])
            held[name] += low <= 0.3 <= high
    assert held["counted"] >= 52
    assert held["taken as known"] < 36


def test_a_reader_that_is_no_better_than_chance_is_refused():
    true = np.tile([0, 1], 50)
    with pytest.raises(UserError, match=r"reads sex no better than chance .*train it longer"):
        confusion("sex", true, np.zeros(100, int), SEXES)
    worse = 1 - true
    with pytest.raises(UserError, match="no better than chance"):
        confusion("sex", true, worse, SEXES)
    # good in the mean, but one class is said of others as often
    true = np.repeat([0, 1, 2], 100)
    read = np.where(true == 2, np.arange(300) % 2, true)
    with pytest.raises(UserError, match="says tone 'dark' of other pictures as often"):
        confusion("tone", true, read, ("light", "medium", "dark"))
    with pytest.raises(
        UserError, match=r"'man' \(3\) there are fewer than 10 held-out pictures"
    ):
        confusion("sex", np.repeat([0, 1], [97, 3]), np.repeat([0, 1], [97, 3]), SEXES)


def test_adjusted_p_are_those_of_hand():
    p = np.array([0.01, 0.04, 0.03, 0.5])
    np.testing.assert_allclose(Holm()(p), [0.04, 0.09, 0.09, 0.5])
    np.testing.assert_allclose(BenjaminiHochberg()(p), [0.04, 0.16 / 3, 0.16 / 3, 0.5])
    np.testing.assert_allclose(Alone()(p), p)
    assert Holm()(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]


def test_holm_rarely_tells_anything_of_nothing():
    rng = np.random.default_rng(0)
    p = rng.random((2000, 12))
    any_ = {
        type(way).__name__: np.mean([way(row).min() < 0.05 for row in p])
        for way in (Holm(), Alone())
    }
    assert any_["Holm"] < 0.065 and any_["Alone"] > 0.4


def test_p_is_below_a_twentieth_where_the_interval_leaves_a_value_out():
    draws = np.random.default_rng(0).normal(size=2000)
    _, low, high = interval(0.0, draws)
    assert tail(draws, high + 0.05) < 0.05 < tail(draws, high - 0.05)
    assert tail(draws, 9.0) > 0.0
    assert tail(draws, low - 0.05) < 0.05


def test_shares_that_differ_are_told():
    found = corrected(np.array([900, 100]), perfect(2))
    rows = represented(found, SEXES, np.array([0.5, 0.5]))
    assert all(row.differs for row in rows) and rows[0].share.value == 0.9
    same = represented(found, SEXES, np.array([0.9, 0.1]))
    assert not any(row.differs for row in same) and same[0].n == 1000


def test_groups_of_too_few_are_said_and_none_at_all_is_an_error():
    kept = enough("sex x tone", np.array([40, 3, 30]), ("a", "b", "c"), 30)
    assert kept.rows.tolist() == [0, 2]
    assert kept.told == "sex x tone: nothing is said of b (3), of which there are fewer than 30"
    assert enough("sex", np.array([40, 50]), SEXES, 30).told == ""
    with pytest.raises(
        UserError, match="sex: no group has 30 members, the largest 5: ask for more"
    ):
        enough("sex", np.array([4, 5]), SEXES, 30)


def test_a_users_shares_take_the_place_of_the_datas():
    data = np.array([0.6, 0.3, 0.1])
    names = ("light", "medium", "dark")
    np.testing.assert_allclose(asked_shares({}, names, data, "reference"), data)
    told = asked_shares({"dark": 0.4}, names, data, "reference")
    np.testing.assert_allclose(told, [0.4, 0.2, 0.4])
    for wrong in ({"dark": -0.1}, {"dark": 1.2}, dict.fromkeys(names, 0.5)):
        with pytest.raises(UserError, match="--reference="):
            asked_shares(wrong, names, data, "reference")
