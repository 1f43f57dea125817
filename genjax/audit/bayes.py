"""From p(x | y) to p(y | x) by Bayes' rule, and back to a test set whose classes have other shares.

    log p(x, y) = log p(x | y) + log p(y),   p(y | x) = softmax_y log p(x, y),   p(x) = sum_y p(x, y)

Of a classifier that knows p(y | x) alone, log p(y | x) takes the place of log p(x, y): the same softmax, no p(x).

Where p(y) is another at test and p(x | y) the same (Saerens, Latinne & Decaestecker 2002),

    p'(y | x) ~ p(y | x) p'(y) / p(y),      p'(y) <- mean over x of p'(y | x)     (their eq. 2.4, and EM's step, 2.9)

Arrays are numpy's; logarithms are natural.
"""

from __future__ import annotations

import numpy as np

from genjax.errors import UserError

TINY = 1e-300  # the least share whose logarithm is taken
STEPS = 10_000  # of EM, at most
NEAR = 1e-10  # no share moves by more in a step: EM has ended
RANGE = (-4.0, 10.0)  # ln of the temperatures that are looked at


def shares(label: np.ndarray, classes: int, name: str = "the data") -> np.ndarray:
    """p(y), the classes' shares [K] of labels [N]; UserError for none, and for a class without an example."""
    if classes < 2:
        raise UserError(
            f"{name} has no labels, and p(y | x) is of classes: use a set with two or more, --data='Digits()'."
        )
    count = np.bincount(label, minlength=classes)
    empty = np.flatnonzero(count == 0)
    if len(empty):
        raise UserError(
            f"{name}: class {empty[0]} has no training example, so nothing is known of p(x | {empty[0]}): leave that "
            "class out, or hold fewer examples out by --data.valid."
        )
    return count / count.sum()


def evidence(log_joint: np.ndarray) -> np.ndarray:
    """log p(x) [N] of log p(x, y) [N, K]."""
    top = log_joint.max(1)
    # the largest term is taken out: the others may be below the smallest float
    rest = np.exp(log_joint - top[:, None])
    return top + np.log(rest.sum(1))


def posterior(log_joint: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """p(y | x) [N, K] of log p(x, y) [N, K], each row to the power 1 / temperature."""
    joint = np.asarray(log_joint, np.float64) / temperature
    log_p = joint - evidence(joint)[:, None]
    return np.exp(log_p)


def nats(log_joint: np.ndarray, label: np.ndarray, temperature: float = 1.0) -> float:
    """The mean of -log p(label | x)."""
    joint = np.asarray(log_joint, np.float64) / temperature
    rows = np.arange(len(label))
    of_label = joint[rows, label]
    return float(np.mean(evidence(joint) - of_label))


def temperature(log_joint: np.ndarray, label: np.ndarray) -> float:
    """The temperature by which held-out labels [N] are likeliest (Guo et al. 2017, arXiv:1706.04599, sec. 4.2).

    Above 1 a classifier was too sure. Densities of many dimensions are, as they count alike pixels again and again.
    Where no held-out label is missed any lower temperature is likelier still, so ln T has the prior N(0, 1).
    """
    from scipy.optimize import minimize_scalar

    def of_log(log_t: float) -> float:
        # of the mean over N examples the prior is an N-th
        prior = 0.5 * log_t**2 / len(label)
        return nats(log_joint, label, np.exp(log_t)) + prior

    found = minimize_scalar(of_log, bounds=RANGE, method="bounded")
    return float(np.exp(found.x))


def reweighted(p: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """p'(y | x) [N, K] of p(y | x) [N, K] learned where p(y) was `old` [K], where it is `new` [K] (eq. 2.4)."""
    weighed = p * (new / old)
    total = weighed.sum(1, keepdims=True)
    # a row whose classes have all gone says nothing any more
    return weighed / np.maximum(total, TINY)


def shifted(p: np.ndarray, old: np.ndarray) -> np.ndarray:
    """p'(y) [K] of unlabelled examples by EM (eq. 2.9), of p(y | x) [N, K] learned where p(y) was `old` [K].

    The maximum of the likelihood of the examples, which is concave in p': where one starts does not matter.
    """
    new = old
    for _ in range(STEPS):
        # E: what the examples are taken for under the shares so far; M: their mean
        after = reweighted(p, old, new).mean(0)
        moved = np.abs(after - new).max()
        new = after
        if moved < NEAR:
            break
    return new
