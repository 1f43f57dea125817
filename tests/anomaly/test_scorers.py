"""One-class scorers and what is made of their scores, against exact answers."""

import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM

from genjax.anomaly import areas, dirichlet, judged, made
from genjax.anomaly.gradients import Gradients, directed, pooled, tents
from genjax.anomaly.scorers import Mahalanobis, Neighbours, OneClassSvm
from genjax.anomaly.together import surprise, together
from genjax.errors import UserError
from genjax.metrics.prediction import auroc, auroc_difference

_BITS = np.random.default_rng(0)
ROWS, OTHERS = _BITS.normal(size=(200, 6)), _BITS.normal(size=(50, 6)) + 1.0


def test_mahalanobis_is_the_likelihood_ratio_of_a_wider_gaussian_and_has_its_area():
    rng = np.random.default_rng(1)
    d, n, width = 5, 4000, 1.6
    mix = rng.normal(size=(d, d))
    normals = rng.normal(size=(20_000, d)) @ mix + 3.0
    score = Mahalanobis(shrinkage=0.0).fit(normals)
    covariance = mix.T @ mix
    low = rng.normal(size=(n, d)) @ mix + 3.0
    high = width * rng.normal(size=(n, d)) @ mix + 3.0
    both = np.concatenate([low, high])
    narrow = stats.multivariate_normal(np.full(d, 3.0), covariance)
    wide = stats.multivariate_normal(np.full(d, 3.0), width**2 * covariance)
    ratio = wide.logpdf(both) - narrow.logpdf(both)
    # log ratio = (1 - 1 / w²) d² / 2 - D log w: by Neyman and Pearson no test is better
    exact = 0.5 * (1 - width**-2) * score(both) - d * np.log(width)
    np.testing.assert_allclose(exact, ratio, atol=0.05 * np.abs(ratio).max())
    area = auroc(score(both), np.arange(2 * n) >= n, level=0.999)
    closed = stats.f(d, d).cdf(width**2)  # P(w² X > Y) of two chi squares
    assert area.low < closed < area.high


def test_shrunk_wholly_it_is_the_plain_distance_and_ledoit_and_wolf_bear_few_rows():
    rng = np.random.default_rng(1)
    score = Mahalanobis(shrinkage=1.0).fit(ROWS)(OTHERS)
    centred = ROWS - ROWS.mean(0)
    plain = np.sum((OTHERS - ROWS.mean(0)) ** 2, 1) / np.mean(centred**2)
    np.testing.assert_allclose(score, plain, rtol=1e-9)
    few = rng.normal(size=(10, 40))
    assert np.isfinite(Mahalanobis().fit(few)(few)).all()


def test_neighbours_and_the_machine_are_those_of_scikit_learn():
    distance, _ = (
        NearestNeighbors(n_neighbors=5, algorithm="kd_tree").fit(ROWS).kneighbors(OTHERS)
    )
    np.testing.assert_allclose(Neighbours(5).fit(ROWS)(OTHERS), distance.mean(1), rtol=1e-6)
    machine = OneClassSVM(nu=0.2, gamma=0.3).fit(ROWS)
    np.testing.assert_allclose(
        OneClassSvm(0.2, 0.3).fit(ROWS)(OTHERS), -machine.decision_function(OTHERS)
    )


@pytest.mark.parametrize(
    ("scorer", "rows", "words"),
    [
        (Neighbours(0), ROWS, "k=0"),
        (Neighbours(201), ROWS, "k=201"),
        (OneClassSvm(nu=0.0), ROWS, "nu=0"),
        (Mahalanobis(shrinkage=2.0), ROWS, "shrinkage=2"),
        (Neighbours(), ROWS[0], "rows"),
        (Mahalanobis(), np.full((3, 2), np.nan), "diverged"),
    ],
)
def test_a_scorer_refuses_what_it_cannot_be_fitted_on(scorer, rows, words):
    with pytest.raises(UserError, match=words):
        scorer.fit(rows)


def test_a_dirichlet_is_found_again_and_has_its_density():
    a = np.array([0.7, 4.0, 12.0])
    y = stats.dirichlet(a).rvs(20_000, random_state=0)
    found = dirichlet.fitted(np.log(y))
    np.testing.assert_allclose(found, a, rtol=0.04)
    np.testing.assert_allclose(
        dirichlet.log_density(np.log(y[:9]), a),
        [stats.dirichlet(a).logpdf(row) for row in y[:9]],
    )
    # at the maximum no step in any direction is better
    best = dirichlet.log_density(np.log(y), found).mean()
    for k in range(3):
        for factor in (0.98, 1.02):
            near = found.copy()
            near[k] *= factor
            assert dirichlet.log_density(np.log(y), near).mean() < best


def test_digamma_is_inverted():
    from scipy.special import digamma

    x = np.array([1e-3, 0.1, 1.0, 7.0, 5e4])
    np.testing.assert_allclose(dirichlet.inverse_digamma(digamma(x)), x, rtol=1e-9)


def test_the_surprise_of_an_exponential_law_is_the_score_itself():
    rng = np.random.default_rng(1)
    normal = rng.exponential(size=40_000)
    scores = np.array([0.1, 1.0, 2.0, 5.0, 20.0])
    np.testing.assert_allclose(surprise(normal, scores), scores, rtol=0.05)
    line = np.linspace(-5.0, 60.0, 500)
    assert np.all(np.diff(surprise(normal, line)) >= 0.0)
    # a scale that differs is no other opinion
    np.testing.assert_allclose(
        together({"a": normal, "b": 7 * normal}, {"a": scores, "b": 7 * scores}),
        surprise(normal, scores),
    )
    with pytest.raises(UserError, match="too few"):
        surprise(normal[:19], scores)
    assert np.isfinite(surprise(np.ones(50), np.array([1.0, 1.1]))).all()


def one_against_the_rest() -> tuple[list, list, np.ndarray, list]:
    """Scores of three classes, normal in turn, by two methods on one test set."""
    rng = np.random.default_rng(1)
    strata = np.repeat(np.arange(3), (30, 60, 90))
    hard = rng.normal(size=len(strata))  # what all find hard
    truths = [strata != k for k in range(3)]
    scores = [t + hard + rng.normal(size=len(strata)) for t in truths]
    others = [0.5 * t + hard + rng.normal(size=len(strata)) for t in truths]
    return scores, truths, strata, others


def test_one_area_has_delong_s_variance_and_its_difference_too():
    scores, truths, _, others = one_against_the_rest()
    s, t, o = scores[0], truths[0], others[0]
    alone = areas.mean_area([s], [t], t)
    assert alone.value == pytest.approx(auroc(s, t).value)
    zero = areas.mean_difference([s], [o], [t], t)
    np.testing.assert_allclose(zero, auroc_difference(s, o, t), rtol=1e-9)
    assert areas.components(s, t)[~t].sum() == pytest.approx(alone.value)


def test_the_mean_area_s_interval_is_that_of_a_bootstrap_within_classes():
    rng = np.random.default_rng(1)
    scores, truths, strata, others = one_against_the_rest()
    ours = areas.mean_difference(scores, others, truths, strata)
    drawn = []
    for _ in range(300):
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(strata == k), np.sum(strata == k)) for k in range(3)]
        )
        value = 0.0
        for s, o, t in zip(scores, others, truths, strict=True):
            first = areas.components(s[rows], t[rows])[t[rows]].sum()
            value += first - areas.components(o[rows], t[rows])[t[rows]].sum()
        drawn.append(value / 3)
    assert (ours.high - ours.low) / (2 * 1.96) == pytest.approx(np.std(drawn), rel=0.2)
    # as if the three areas had nothing in common it would be another
    areas_ = areas.mean_area(scores, truths, strata)
    assert areas_.low < areas_.value < areas_.high


def test_edges_are_sorted_by_direction_and_shared_out_whole():
    picture = np.zeros((1, 12, 12), np.float32)
    picture[:, :, 6:] = 1.0  # the gradient points right: direction 0
    maps = directed(picture, 4)
    inside = maps[0, :, 1:-1, 1:-1].sum((1, 2))
    assert inside[0] > 0 and np.allclose(inside[1:], 0.0)
    # a quarter turn is half of the directions further
    turned = directed(np.rot90(picture, axes=(1, 2)), 4)
    np.testing.assert_allclose(np.rot90(maps, axes=(2, 3))[:, [2, 3, 0, 1]], turned, atol=1e-6)
    np.testing.assert_allclose(tents(28, 7).sum(1), 1.0, rtol=1e-6)
    flat = np.ones((1, 1, 28, 28), np.float32)
    np.testing.assert_allclose(pooled(flat, 4), 1.0, rtol=1e-5)


def test_gradients_of_bytes_and_floats_agree_and_wrong_cells_are_refused():
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (5, 9, 11, 3)).astype(np.uint8)
    rows = Gradients((3, 4))(pictures)
    assert rows.shape == (5, 8 * (3 * 4 + 2 * 3))
    np.testing.assert_allclose(rows, Gradients((3, 4))(pictures / 255.0), rtol=1e-4, atol=1e-6)
    for cells in ((), (0,), (10,)):
        with pytest.raises(UserError, match="cells"):
            Gradients(cells).check((9, 11, 3))


def test_what_is_made_breaks_every_picture_and_keeps_its_own_stream():
    rng = np.random.default_rng(1)
    x = rng.random((30, 9, 12, 2)).astype(np.float32)
    found = made.everything(x, seed=3)
    again = made.everything(x, seed=3)
    assert list(found) == list(made.KINDS)
    for kind, pictures in found.items():
        np.testing.assert_array_equal(pictures, again[kind])
        assert pictures.shape == x.shape and pictures.dtype == np.float32
        assert pictures.min() >= 0.0 and pictures.max() <= 1.0 + 1e-6
        changed = np.abs(pictures - x).max((1, 2, 3))
        assert (changed > 1e-3).all(), kind
    # quarters change places: every value of their part is there still
    whole = x[:, :8]
    np.testing.assert_allclose(
        np.sort(found["shuffled"][:, :8], axis=None), np.sort(whole, axis=None)
    )
    np.testing.assert_array_equal(found["halves"][:, :4], x[:, :4])


def kept_scores(shift: float, seed: int) -> dict:
    """Scores of a run by the floor and by one method that is better by `shift`, on held-out normals alone."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(2), 40)
    scores = {"label": label, "anomalous": (label != seed % 2).astype(np.int32)}
    for name, better in ((judged.FLOOR, 0.0), ("new", shift)):
        scores[f"valid/{name}"] = rng.normal(size=200)
        scores[f"made/{name}"] = rng.normal(size=400) + 1.0 + better
        # on the test the other way round: the choice must not see it
        scores[f"test/{name}"] = rng.normal(size=80) + (2.0 - better) * scores["anomalous"]
    return scores


def test_the_choice_sees_normals_alone_and_the_threshold_is_theirs():
    members = [kept_scores(1.5, 0), kept_scores(1.5, 1)]
    assert judged.chosen(members) == "new"
    assert judged.chosen([kept_scores(-1.0, 0)]) == judged.FLOOR
    found = judged.numbers(members[0], 0.05)
    its = found["new"]
    assert np.mean(members[0]["valid/new"] > its["threshold"]) <= 0.05
    normal = members[0]["anomalous"] == 0
    alarms = np.mean(members[0]["test/new"][normal] > its["threshold"])
    assert its["false_alarms"]["value"] == pytest.approx(alarms)
    assert found[judged.FLOOR]["above_neighbours"]["value"] == 0.0
    over = judged.means(members)
    assert over["chosen"] == "new"
    assert over["new"]["auroc"]["value"] == pytest.approx(np.mean(over["new"]["each"]))
    (marked,) = [line for line in judged.table(over, ["new", judged.FLOOR]) if "<-" in line]
    assert marked.startswith("new")
