"""A reader's errors, and shares of what it reads with these errors taken out again.

A reader that says r of a picture whose truth is t with probability C[t, r] reads of pictures with true shares π

    q_r = sum_t π_t C[t, r],    sum_r q_r = 1,

so counts n_r of N pictures are multinomial in q, and the most likely π within the simplex is C's inverse applied to
n / N where that has no negative share, else the fixed point of (EM; Dempster, Laird & Rubin 1977)

    π_t <- π_t sum_r (n_r / N) C[t, r] / q_r.

Rogan & Gladen 1978 (doi:10.1093/oxfordjournals.aje.a112510) for two classes. C itself was counted on held-out real
pictures, so that it is uncertain too. Both are drawn together: q from a Dirichlet of n_r + 1/R, rows of C from counts
in which each held-out person weighs as much as an exponential draw (Rubin's Bayesian bootstrap, 1981) and each cell 1/R
more, and π from both. Quantiles of these draws are the interval. Of a reader without error and two classes they are
those of Jeffreys' interval, which at the ends behaves as Wilson's does (Brown, Cai & DasGupta 2001).

All of it holds as far as the reader errs on the pictures that are audited as it does on those that it was tested on. A
reader that errs otherwise in one coat than in another would make a gap between coats where there is none: `Differing`
has a C for each condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from genjax.errors import UserError
from genjax.metrics.intervals import Interval, share

TIMES = 2000  # draws of an interval
ROUNDS = 200  # of EM: a draw that has not come to rest is near its end
LEVEL = 0.95


class Confusion(NamedTuple):
    """What a reader says of pictures of each truth, of one category or of several that it errs in independently.

    parts: of each category the counts [P, T, R] of P people. known: C itself, for a reader of which it is known.
    """

    parts: tuple[np.ndarray, ...] = ()
    known: np.ndarray | None = None

    @property
    def matrix(self) -> np.ndarray:
        """C [T, R], rows of sum 1."""
        if self.known is not None:
            return self.known
        whole = [part.sum(0) for part in self.parts]
        return _crossed([_rows(counts) for counts in whole])

    def draws(self, rng: np.random.Generator, times: int) -> np.ndarray:
        """C as it may be, [S, T, R]."""
        if self.known is not None:
            return np.tile(self.known, (times, 1, 1))
        return _crossed(_drawn(self.parts, rng, times))

    @property
    def accuracy(self) -> float:
        """The mean over truths of how often they are read: balanced, whatever is frequent."""
        right = np.diag(self.matrix)
        return float(right.mean())


class Differing(NamedTuple):
    """What a reader says of pictures of each truth under each of K conditions: counts [P, T, R] of P people in each."""

    parts: tuple[np.ndarray, ...]

    @property
    def matrix(self) -> np.ndarray:
        """C of each condition, [K, T, R]."""
        return np.stack([_rows(part.sum(0)) for part in self.parts])

    def draws(self, rng: np.random.Generator, times: int) -> np.ndarray:
        """Them as they may be, [S, K, T, R]: the same people weigh the same under all."""
        return np.stack(_drawn(self.parts, rng, times), 1)

    def only(self, kept: np.ndarray) -> Differing:
        """Of the conditions [K] that are kept."""
        return Differing(tuple(self.parts[k] for k in np.flatnonzero(kept)))


class Estimate(NamedTuple):
    """Shares [..., T] with what they may be as well, [S, ..., T], of n pictures."""

    value: np.ndarray
    draws: np.ndarray
    n: int


def confusion(
    what: str,
    true: np.ndarray,
    read: np.ndarray,
    names: Sequence[str],
    who: np.ndarray | None = None,
    least: int = 10,
) -> Confusion:
    """The errors of a reader, counted on pictures [N] that it was not taught by; who: whose pictures they are.

    UserError for a class of fewer than `least` pictures, and for a reader that is no better than chance.
    """
    counts = _by_person(true, read, len(names), who)
    of_class = counts.sum((0, 2))
    few = []
    for t in np.flatnonzero(of_class < least):
        few.append(f"{names[t]!r} ({of_class[t]:.0f})")
    if few:
        raise UserError(
            f"the reader's errors in {what} cannot be told: of {', '.join(few)} there are fewer than {least} held-out "
            "pictures: use more people."
        )
    found = Confusion((counts,))
    check_better(what, found, names)
    return found


def differing(
    condition: np.ndarray,
    true: np.ndarray,
    read: np.ndarray,
    sizes: tuple[int, int],
    who: np.ndarray | None = None,
) -> Differing:
    """The errors of a reader under each condition [N] of K, sizes = (K, T); `who` may be under several."""
    conditions, classes = sizes
    # a condition and a truth are one class for counting
    both = cells([condition, true], sizes)
    counts = _by_person(both, read, conditions * classes, who)[..., :classes]
    apart = counts.reshape(-1, conditions, classes, classes)
    return Differing(tuple(apart[:, k] for k in range(conditions)))


def check_better(what: str, found: Confusion, names: Sequence[str]) -> None:
    """Raises UserError for a reader whose balanced accuracy may be chance, or that says a class as often of others."""
    matrix = found.matrix
    classes = len(matrix)
    n = found.parts[0].sum() if found.parts else np.inf
    # Wilson's lower end, as if all pictures were of one class
    low = found.accuracy if np.isinf(n) else share(found.accuracy * n, n).low
    if low <= 1.0 / classes:
        raise UserError(
            f"the reader reads {what} no better than chance (balanced accuracy {found.accuracy:.3f} of "
            f"{1.0 / classes:.3f} by guessing): train it longer, or do not audit {what}."
        )
    for t, name in enumerate(names):
        others = np.delete(matrix[:, t], t).mean()
        if matrix[t, t] <= others:
            raise UserError(
                f"the reader says {what} {name!r} of other pictures as often as of its own ({others:.3f} and "
                f"{matrix[t, t]:.3f}): train it longer, or do not audit {what}."
            )


def known(matrix: np.ndarray) -> Confusion:
    """A reader whose C [T, R] is known; ValueError for rows that are no shares."""
    matrix = np.asarray(matrix, np.float64)
    if matrix.ndim != 2 or (matrix < 0).any() or not np.allclose(matrix.sum(1), 1.0):
        raise ValueError("the rows of a confusion matrix are shares that sum to 1")
    return Confusion(known=matrix)


def perfect(classes: int) -> Confusion:
    """A reader without error: labels."""
    return known(np.eye(classes))


def crossed(*several: Confusion) -> Confusion:
    """Of several categories at once, the last one counted fastest, where errors in one do not depend on another."""
    if any(each.known is not None for each in several):
        return Confusion(known=_crossed([each.matrix for each in several]))
    return Confusion(tuple(part for each in several for part in each.parts))


def cells(columns: Sequence[np.ndarray], sizes: Sequence[int]) -> np.ndarray:
    """The number of the cell of each picture [N] in the table of several categories, as `crossed` counts them."""
    found = np.zeros(len(columns[0]), np.int64)
    for column, size in zip(columns, sizes, strict=True):
        found = found * size + np.asarray(column)
    return found


def corrected(
    counts: np.ndarray,
    errors: Confusion | Differing,
    times: int = TIMES,
    seed: int = 0,
) -> Estimate:
    """True shares behind counts of what was read, [R] -> [T], or of each of K conditions [K, R] -> [K, T].

    ValueError for a condition without a picture.
    """
    counts = np.asarray(counts, np.float64)
    rows = np.atleast_2d(counts)  # [K, R]
    total = rows.sum(1, keepdims=True)
    if (total <= 0).any():
        raise ValueError("shares of no pictures")
    rng = np.random.default_rng(seed)
    conditions, classes = rows.shape
    matrices = errors.draws(rng, times)
    whole = errors.matrix[None]
    if isinstance(errors, Confusion):
        # one C for all conditions
        matrices = matrices[:, None]  # [S, 1, T, R]
        whole = whole[:, None]
    size = (times, conditions, classes)
    gammas = rng.gamma(rows + 1.0 / classes, size=size)
    read = _rows(gammas)  # q, [S, K, R]
    draws = unmixed(read, matrices)
    # the same of what was counted, without a draw
    shares = (rows / total)[None]
    value = unmixed(shares, whole)[0]
    if counts.ndim == 1:
        value = value[0]
        draws = draws[:, 0]
    return Estimate(value, draws, int(total.sum()))


def plausible(
    counts: np.ndarray, errors: Confusion, times: int = TIMES, seed: int = 0
) -> float:
    """How many draws of what is read [R] have an answer that needs no negative share, T = R.

    A half or more where all groups are there; near 0 where no mixture of pictures that are read as the tested ones are
    can be read so: then the reader errs otherwise on these, and the shares mean little.
    """
    rng = np.random.default_rng(seed)
    matrices = errors.draws(rng, times)
    classes = len(counts)
    size = (times, 1, classes)
    gammas = rng.gamma(counts + 1.0 / classes, size=size)
    read = _rows(gammas)
    back = read @ np.linalg.pinv(matrices)
    inside = np.all(back >= 0, -1)
    return float(inside.mean())


def unmixed(read: np.ndarray, matrix: np.ndarray, rounds: int = ROUNDS) -> np.ndarray:
    """The most likely π [S, K, T] of shares that are read [S, K, R] by readers C [S, K or 1, T, R]."""
    truths, classes = matrix.shape[2:]
    shape = read.shape[:2]
    if truths == classes:
        # pinv: a draw of a poor reader may be near a matrix without an inverse
        back = np.linalg.pinv(matrix)
        start = np.einsum(
            "skr,skrt->skt", read, np.broadcast_to(back, (*shape, classes, truths))
        )
        inside = np.all(start >= 0, -1)
    else:
        start = np.full((*shape, truths), 1.0 / truths)
        inside = np.zeros(shape, bool)
    outside = ~inside
    if outside.any():
        each = np.broadcast_to(matrix, (*shape, truths, classes))
        start[outside] = _em(start[outside], read[outside], each[outside], rounds)
    return start


def _em(start: np.ndarray, read: np.ndarray, matrix: np.ndarray, rounds: int) -> np.ndarray:
    """π [M, T] by EM from a start, for shares that are read [M, R] by readers C [M, T, R]."""
    # a share of 0 would stay there
    pi = _rows(np.maximum(start, 1e-3))
    pi = pi[:, None]
    read = read[:, None]
    back = matrix.swapaxes(1, 2)
    for _ in range(rounds):
        q = pi @ matrix
        ratio = read / np.maximum(q, 1e-300)
        pi = pi * (ratio @ back)
    return _rows(pi[:, 0])


def interval(value: float, draws: np.ndarray, level: float = LEVEL) -> Interval:
    """The quantiles of draws [S] with the value between them."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(draws, ends)
    value = float(value)
    low = min(float(low), value)
    high = max(float(high), value)
    return Interval(value, low, high)


def tail(draws: np.ndarray, at: float) -> float:
    """How unlikely a value is by draws [S], two-sided p: below .05 where the 95 % interval does not hold it."""
    count = len(draws)
    below = np.sum(draws <= at)
    above = np.sum(draws >= at)
    # never 0: so many draws tell no more
    least = (min(below, above) + 1) / (count + 1)
    return float(min(1.0, 2.0 * least))


def _by_person(
    true: np.ndarray, read: np.ndarray, classes: int, who: np.ndarray | None
) -> np.ndarray:
    """What was read of which truth, counts [P, T, R] of each person; without `who` each picture is one."""
    who = np.arange(len(true)) if who is None else who
    _, person = np.unique(who, return_inverse=True)
    people = person.max(initial=-1) + 1
    counts = np.zeros((people, classes, classes))
    np.add.at(counts, (person, true, read), 1.0)
    return counts


def _drawn(
    parts: Sequence[np.ndarray], rng: np.random.Generator, times: int
) -> list[np.ndarray]:
    """Of counts [P, T, R] of the same people their rows as they may be, each [S, T, R]."""
    people = len(parts[0])
    rows = [part.reshape(people, -1) for part in parts]
    flat = np.concatenate(rows, 1)
    # people with the same counts weigh a gamma draw together: the sum of their exponential ones
    kinds, number = np.unique(flat, axis=0, return_counts=True)
    size = (times, len(number))
    weights = rng.gamma(number, size=size)
    # whoever is weighed is so in all parts
    counted = weights @ kinds
    widths = [row.shape[1] for row in rows]
    ends = np.cumsum(widths)[:-1]
    each = np.split(counted, ends, 1)
    drawn = []
    for part, own in zip(parts, each, strict=True):
        _, truths, classes = part.shape
        counts = own.reshape(times, truths, classes)
        # what was never read wrongly may be one day
        prior = rng.gamma(1.0 / classes, size=counts.shape)
        drawn.append(_rows(counts + prior))
    return drawn


def _rows(counts: np.ndarray) -> np.ndarray:
    """[..., T, R], rows of sum 1."""
    return counts / counts.sum(-1, keepdims=True)


def _crossed(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Kronecker's product of matrices [..., T_i, R_i]."""
    found = matrices[0]
    for matrix in matrices[1:]:
        both = np.einsum("...tr,...us->...turs", found, matrix)
        *lead, t, u, r, s = both.shape
        found = both.reshape(*lead, t * u, r * s)
    return found
