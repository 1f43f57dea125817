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


def inverse_digamma(y: np.ndarray) -> np.ndarray:
    """x with Ψ(x) = y, by Newton from the start of Minka's appendix C: five steps give fourteen digits."""
    from scipy.special import digamma, polygamma

    large = np.exp(np.minimum(y, 30.0)) + 0.5
    small = -1.0 / (y - digamma(1.0))
    x = np.where(y >= -2.22, large, small)
    for _ in range(5):
        slope = polygamma(1, x)
        x = x - (digamma(x) - y) / slope
    return x


def fitted(log_y: np.ndarray) -> np.ndarray:
    """a [K] of the greatest likelihood, of log probabilities [N, K]; UserError for fewer than two rows."""
    from scipy.special import digamma

    if len(log_y) < 2:
        raise UserError("a Dirichlet distribution is fitted to two examples or more.")
    logs = np.maximum(np.asarray(log_y, np.float64), np.log(LEAST))
    mean_log = logs.mean(0)  # [K]: all that the likelihood knows of the data
    a = _start(np.exp(logs), mean_log)
    for _ in range(STEPS):
        target = digamma(a.sum()) + mean_log
        new = inverse_digamma(target)
        change = np.max(np.abs(new - a) / a)
        a = new
        if change < 1e-7:
            break
    return a


def _start(y: np.ndarray, mean_log: np.ndarray) -> np.ndarray:
    """Wicker et al.: the means, times the precision that the logarithms tell of."""
    mean = y.mean(0)
    mean = mean / mean.sum()
    gaps = mean * (np.log(mean) - mean_log)  # above 0, by Jensen
    precision = (len(mean) - 1) / (2.0 * max(gaps.sum(), 1e-9))
    return np.clip(mean * precision, 1e-3, 1e6)


def log_density(log_y: np.ndarray, a: np.ndarray) -> np.ndarray:
    """log p(y; a) of log probabilities [N, K], [N]."""
    from scipy.special import gammaln

    logs = np.maximum(np.asarray(log_y, np.float64), np.log(LEAST))
    constant = gammaln(a.sum()) - gammaln(a).sum()
    return constant + logs @ (a - 1.0)
