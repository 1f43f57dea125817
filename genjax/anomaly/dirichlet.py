"""A Dirichlet distribution fitted to probabilities: what a classifier says of normal examples.

    log p(y; a) = log Γ(sum a) - sum log Γ(a_k) + sum (a_k - 1) log y_k

by the fixed point of Minka (2000, "Estimating a Dirichlet distribution", eq. 9), which climbs the likelihood,

    Ψ(a_k) = Ψ(sum a) + mean log y_k

from the start of Wicker et al. (2008), as Golan & El-Yaniv 2018 (arXiv:1805.10917, sec. 3.3) do.
"""

from __future__ import annotations

import numpy as np

from genjax.errors import UserError

LEAST = 1e-6  # a probability that is rounded to 0 has no logarithm
STEPS = 1000  # of the fixed point, at most
NEWTON = 5  # steps of the inverse: fourteen digits


def inverse_digamma(y: np.ndarray) -> np.ndarray:
    """x with Ψ(x) = y, by Newton from the start of Minka's appendix C."""
    from scipy.special import digamma, polygamma

    # Ψ(x) is about log(x - 1/2) of large x, and -1/x + Ψ(1) of small
    bounded = np.minimum(y, 30.0)
    large = np.exp(bounded) + 0.5
    below = np.minimum(y, -2.22)
    small = -1.0 / (below - digamma(1.0))
    x = np.where(y > -2.22, large, small)
    for _ in range(NEWTON):
        error = digamma(x) - y
        slope = polygamma(1, x)
        x = x - error / slope
    return x


def _logs(log_y: np.ndarray) -> np.ndarray:
    """Log probabilities as float64, bounded from below."""
    exact = np.asarray(log_y, np.float64)
    return np.maximum(exact, np.log(LEAST))


def fitted(log_y: np.ndarray) -> np.ndarray:
    """a [K] of the greatest likelihood, of log probabilities [N, K]; UserError for fewer than two rows."""
    from scipy.special import digamma

    if len(log_y) < 2:
        raise UserError("a Dirichlet distribution is fitted to two examples or more.")
    logs = _logs(log_y)
    mean_log = logs.mean(0)  # [K]: all that the likelihood knows of the data
    a = _start(np.exp(logs), mean_log)
    for _ in range(STEPS):
        target = digamma(a.sum()) + mean_log
        new = inverse_digamma(target)
        # relative: precisions reach from thousandths to millions
        change = np.abs(new - a) / a
        a = new
        if change.max() < 1e-7:
            break
    return a


def _start(y: np.ndarray, mean_log: np.ndarray) -> np.ndarray:
    """Wicker et al.: the means, times the precision that the logarithms tell of."""
    mean = y.mean(0)
    mean = mean / mean.sum()
    # above 0, by Jensen; 0 of rows that are all alike
    gaps = mean * (np.log(mean) - mean_log)
    spread = max(gaps.sum(), 1e-9)
    free = len(mean) - 1
    precision = free / (2.0 * spread)
    return np.clip(mean * precision, 1e-3, 1e6)


def log_density(log_y: np.ndarray, a: np.ndarray) -> np.ndarray:
    """log p(y; a) of log probabilities [N, K], [N]."""
    from scipy.special import gammaln

    logs = _logs(log_y)
    of_sum = gammaln(a.sum())
    of_each = gammaln(a)
    constant = of_sum - of_each.sum()
    return constant + logs @ (a - 1.0)
