"""How good predictions are, each number with its interval over the draw of the examples.

* Scores against yes-or-no truth: the area under the ROC curve, average precision, a threshold at a stated rate of false
  alarms. The interval of the area is DeLong's (DeLong, DeLong & Clarke-Pearson 1988), and so is that of the difference
  of two scores on the same examples.
* Probabilities against classes: log loss, Brier score (1950), expected calibration error (Guo et al. 2017,
  arXiv:1706.04599, eq. 3).

Arrays are numpy's; errors are UserError, one line each.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from genjax.errors import UserError
from genjax.metrics.intervals import Interval, bootstrap, share

EPSILON = 1e-12  # the least probability whose logarithm is taken


def _binary(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(scores of the positives [m], of the negatives [n]); UserError where one of the two is missing."""
    scores = np.asarray(scores, np.float64)
    truth = np.asarray(positive, bool)
    a_list = scores.ndim == 1
    same_length = scores.shape == truth.shape
    if not (a_list and same_length):
        raise UserError(
            f"scores {scores.shape} and truth {truth.shape} must be two lists of one length."
        )
    _finite(scores)
    positives = int(truth.sum())
    if positives in (0, len(truth)):
        which = "positive" if positives else "negative"
        raise UserError(
            f"all {len(truth)} examples are {which}: a ranking needs examples of both kinds."
        )
    return scores[truth], scores[~truth]


def _finite(scores: np.ndarray) -> np.ndarray:
    """Scores [N] as float64; UserError where one is no number."""
    scores = np.asarray(scores, np.float64)
    if not np.isfinite(scores).all():
        raise UserError("a score is NaN or infinite: no ranking has a place for it.")
    return scores


def _below(scores: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each score the share of `among` that lies below it, ties counted by half."""
    ordered = np.sort(among)
    below = np.searchsorted(ordered, scores, "left")
    not_above = np.searchsorted(ordered, scores, "right")
    # the mean of the two counts: a tie is half a win
    wins = 0.5 * (below + not_above)
    return wins / len(among)


def _components(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's structural components: V10 [m] of the positives, V01 [n] of the negatives; the mean of each is AUROC."""
    high, low = _binary(scores, positive)
    of_positives = _below(high, low)
    # a negative wins where positives lie above it
    beaten = _below(low, high)
    of_negatives = 1.0 - beaten
    return of_positives, of_negatives


def _normal(level: float) -> float:
    """z with a share `level` of the standard normal within ±z."""
    from scipy.stats import norm

    upper = (1.0 + level) / 2.0
    return float(norm.ppf(upper))


def auroc(scores: np.ndarray, positive: np.ndarray, level: float = 0.95) -> Interval:
    """The chance that a positive example has a higher score than a negative one, of scores [N] and truth [N].

    The interval is DeLong's on the scale of log(A / (1 - A)), which keeps it within [0, 1]. Where the two kinds are
    apart without an exception, A = 0 or 1, the variance is 0 and says nothing: there it is Wilson's for a share of as
    many examples as the smaller kind has.
    """
    v10, v01 = _components(scores, positive)
    area = float(np.mean(v10))
    smaller = min(len(v10), len(v01))
    variance = _variance(v10, v01)
    certain = area in (0.0, 1.0)
    if certain or variance == 0.0:
        around = share(area * smaller, smaller, level)
        return Interval(area, around.low, around.high)
    # d log(A / (1 - A)) = dA / (A (1 - A))
    rest = 1.0 - area
    error = np.sqrt(variance) / (area * rest)
    middle = np.log(area / rest)
    half = _normal(level) * error
    low = _sigmoid(middle - half)
    high = _sigmoid(middle + half)
    return Interval(area, low, high)


def _sigmoid(x: float) -> float:
    odds = np.exp(x)
    return float(odds / (1.0 + odds))


def _variance(v10: np.ndarray, v01: np.ndarray) -> float:
    """The variance of the means of components: S10 / m + S01 / n."""
    m, n = len(v10), len(v01)
    if min(m, n) < 2:
        return 0.0  # of a single example nothing is known
    s10 = np.var(v10, ddof=1)
    s01 = np.var(v01, ddof=1)
    return float(s10 / m + s01 / n)


def auroc_difference(
    scores: np.ndarray, others: np.ndarray, positive: np.ndarray, level: float = 0.95
) -> Interval:
    """AUROC of `scores` less that of `others` [N] on the same examples, which makes the interval far narrower."""
    a10, a01 = _components(scores, positive)
    b10, b01 = _components(others, positive)
    # example by example, so that what both find hard cancels
    d10 = a10 - b10
    d01 = a01 - b01
    value = float(np.mean(d10))
    if min(len(d10), len(d01)) < 2:
        return Interval(value, np.nan, np.nan)  # a width of 0 would be certainty
    error = np.sqrt(_variance(d10, d01))
    half = _normal(level) * error
    low = value - half
    high = value + half
    return Interval(value, low, high)


def _average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Sum of precision times the step in recall over all thresholds, equal scores being one threshold."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    hits = np.cumsum(truth[order])
    # the last of each run of equal scores
    changes = ordered[1:] != ordered[:-1]
    last = np.append(changes, True)
    hits = hits[last]
    # how many are called positive at this threshold
    called = np.flatnonzero(last) + 1
    precision = hits / called
    recall = hits / hits[-1]
    steps = np.diff(recall, prepend=0.0)
    total = np.sum(steps * precision)
    return float(total)


def average_precision(
    scores: np.ndarray, positive: np.ndarray, times: int = 1000, level: float = 0.95
) -> Interval:
    """The mean precision over recall, of scores [N] and truth [N]; of a random score the share of positives.

    Percentile bootstrap within each kind, since the share of positives is a choice and not a draw.
    """
    high, low = _binary(scores, positive)
    both = np.concatenate([high, low])
    places = np.arange(len(both))
    truth = places < len(high)
    rng = np.random.default_rng(0)
    values = []
    m, n = len(high), len(low)
    for _ in range(times):
        of_high = rng.integers(0, m, m)
        of_low = rng.integers(m, m + n, n)
        rows = np.concatenate([of_high, of_low])
        value = _average_precision(both[rows], truth)
        values.append(value)
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(values, ends)
    value = _average_precision(both, truth)
    return Interval(value, float(low), float(high))


def threshold(normal: np.ndarray, false_alarms: float) -> float:
    """The score above which a share of at most `false_alarms` of fresh normal examples is expected to lie.

    From held-out normal scores [N]: the k-th smallest, k = ⌈(N + 1)(1 - α)⌉, whose expected rate is no more than α
    whatever the scores' law (Vovk et al. 2005, conformal prediction). UserError where N is too few to promise it.
    """
    scores = np.sort(_finite(normal))
    n = len(scores)
    if not 0.0 < false_alarms < 1.0:
        raise UserError(f"a rate of false alarms lies between 0 and 1, got {false_alarms}.")
    k = _up((n + 1) * (1.0 - false_alarms))
    if k > n:
        fewest = _up(1.0 / false_alarms) - 1
        raise UserError(
            f"{n} normal examples are too few for a rate of {false_alarms:g} false alarms: hold out {fewest} or more."
        )
    return float(scores[k - 1])


def _up(x: float) -> int:
    """⌈x⌉, where 1 - α is no binary fraction: a part in 10¹² too much would be a rank too much."""
    rounded = np.round(x, 9)
    return int(np.ceil(rounded))


def rate(scores: np.ndarray, above: float, level: float = 0.95) -> Interval:
    """The share of scores [N] above a threshold: the hits of positives, the false alarms of negatives."""
    alarms = _finite(scores) > above
    hits = int(np.sum(alarms))
    return share(hits, len(alarms), level)


def _probabilities(
    probabilities: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Checked [N, K] and [N]; UserError for rows that are no distribution and labels that are no class."""
    p = np.asarray(probabilities, np.float64)
    y = np.asarray(label).astype(np.int64)
    a_table = p.ndim == 2
    if not a_table or not len(y) or len(p) != len(y):
        raise UserError(
            f"probabilities {p.shape} and labels {y.shape}: expected [N, K] and [N] of at least one example."
        )
    finite = np.isfinite(p).all()
    gaps = np.abs(p.sum(1) - 1.0)
    if not finite or p.min() < 0.0 or gaps.max() > 1e-3:
        raise UserError(
            "a row of probabilities is negative or does not sum to 1: give a softmax, not logits."
        )
    least, greatest = y.min(), y.max()
    classes = p.shape[1]
    if least < 0 or greatest >= classes:
        raise UserError(
            f"labels run from {least} to {greatest} and there are {classes} probabilities."
        )
    return p, y


def _mean(values: np.ndarray, level: float) -> Interval:
    """The mean of values [N] with its percentile bootstrap; of one value it is not known."""

    def mean(rows: np.ndarray) -> float:
        return float(np.mean(values[rows]))

    return _bootstrapped(mean, len(values), level)


def _bootstrapped(
    statistic: Callable[[np.ndarray], float], n: int, level: float, times: int = 1000
) -> Interval:
    """The statistic of n examples with its percentile bootstrap; of one example that is not known."""
    if n < 2:
        alone = np.arange(n)
        return Interval(statistic(alone), np.nan, np.nan)
    return bootstrap(statistic, n, times, level)


def log_loss(probabilities: np.ndarray, label: np.ndarray, level: float = 0.95) -> Interval:
    """The mean of -log p(label) [nats], of probabilities [N, K]; one of 0 counts as 1e-12."""
    p, y = _probabilities(probabilities, label)
    rows = np.arange(len(y))
    of_label = p[rows, y]
    # no infinite loss for a single certain mistake
    nats = -np.log(np.maximum(of_label, EPSILON))
    return _mean(nats, level)


def brier(probabilities: np.ndarray, label: np.ndarray, level: float = 0.95) -> Interval:
    """The mean squared distance of probabilities [N, K] from the label's one-hot, summed over classes: 0 to 2."""
    p, y = _probabilities(probabilities, label)
    one_hot = np.eye(p.shape[1])
    truth = one_hot[y]
    squares = np.square(p - truth)
    return _mean(squares.sum(1), level)


def calibration(
    probabilities: np.ndarray, label: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean confidence, accuracy, count) in `bins` equal bins of the largest probability: a reliability diagram.

    Bin b holds confidences in (b / bins, (b + 1) / bins]; of an empty one the first two are 0.
    """
    p, y = _probabilities(probabilities, label)
    confidence = p.max(1)
    taken_for = p.argmax(1)
    hit = taken_for == y
    # the upper end of a bin belongs to it; the least confidence is above 0 anyway
    number = np.ceil(confidence * bins).astype(int)
    place = np.clip(number - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    some = np.maximum(count, 1)  # no division by none
    total = np.bincount(place, confidence, bins)
    hits = np.bincount(place, hit, bins)
    return total / some, hits / some, count


def ece(
    probabilities: np.ndarray,
    label: np.ndarray,
    bins: int = 15,
    level: float = 0.95,
    times: int = 1000,
) -> Interval:
    """Expected calibration error: the mean over examples of |accuracy - confidence| of their bin.

    Upwards biased: even of a perfectly calibrated model it is about the sum of the bins' standard errors. The bootstrap
    has that bias twice, so its ends are reflected about the estimate (Efron & Tibshirani 1993, sec. 10.6), cut at 0.
    """
    p, y = _probabilities(probabilities, label)

    def error(rows: np.ndarray) -> float:
        confidence, accuracy, count = calibration(p[rows], y[rows], bins)
        gaps = np.abs(accuracy - confidence)
        # of all examples: an empty bin weighs nothing
        total = np.sum(count * gaps)
        return float(total / len(rows))

    value, low, high = _bootstrapped(error, len(y), level, times)
    reflected = np.maximum([2.0 * value - high, 2.0 * value - low], 0.0)
    return Interval(value, float(reflected[0]), float(reflected[1]))
