"""What the scores of several methods are worth: by normals alone, on the test of one class, over all classes.

Scores are arrays by name, "valid/<method>" of held-out normals, "made/<method>" of what was made of them, and
"test/<method>", with "label" and "anomalous" of the test: all that one run keeps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genjax.anomaly.areas import mean_area, mean_difference
from genjax.data.oneclass import TRUTH
from genjax.metrics.evaluate import Value
from genjax.metrics.intervals import Interval
from genjax.metrics.prediction import (
    auroc,
    auroc_difference,
    average_precision,
    rate,
    threshold,
)

FLOOR = "pixels_neighbours"  # what every method is to be better than
DRAWS = 100  # of the bootstrap of average precision: each sorts all examples
Arrays = dict[str, np.ndarray]


def methods_of(scores: Arrays) -> list[str]:
    """The names of all methods."""
    found = []
    for name in scores:
        split, _, method = name.partition("/")
        if split == "test":
            found.append(method)
    return found


def criterion(scores: Arrays, method: str) -> float:
    """How well a method parts held-out normals from what was made of them, an AUROC: no test example is in it."""
    normal = scores[f"valid/{method}"]
    made = scores[f"made/{method}"]
    both = np.concatenate([normal, made])
    # normals come first
    places = np.arange(len(both))
    truth = places >= len(normal)
    return auroc(both, truth).value


def chosen(members: list[Arrays]) -> str:
    """The method with the highest mean criterion over runs."""
    best = ""
    highest = -np.inf
    for method in methods_of(members[0]):
        values = [criterion(scores, method) for scores in members]
        mean = np.mean(values)
        # of equal ones the first
        if mean > highest:
            best, highest = method, mean
    return best


def numbers(scores: Arrays, false_alarms: float) -> dict[str, Any]:
    """{method: its numbers}: areas with intervals, the criterion, and what the threshold becomes on test."""
    truth = scores[TRUTH] == 1
    floor = scores[f"test/{FLOOR}"]
    n = len(truth)
    found = {}
    # test scores come in here alone, where nothing is chosen any more
    for method in methods_of(scores):
        values = scores[f"test/{method}"]
        area = auroc(values, truth)
        # on the same examples, so that what both find hard cancels
        above = auroc_difference(values, floor, truth)
        precision = average_precision(values, truth, DRAWS)
        # by normals that nothing was fitted on
        bound = threshold(scores[f"valid/{method}"], false_alarms)
        of_normals = values[~truth]
        of_anomalies = values[truth]
        alarms = rate(of_normals, bound)
        hits = rate(of_anomalies, bound)
        found[method] = {
            "auroc": kept(area, n),
            "above_neighbours": kept(above, n),
            "average_precision": kept(precision, n),
            "criterion": criterion(scores, method),
            "threshold": bound,
            "false_alarms": kept(alarms, len(of_normals)),
            "detected": kept(hits, len(of_anomalies)),
        }
    return found


def means(members: list[Arrays]) -> dict[str, Any]:
    """{method: its mean over classes}, {"chosen": method}; members in the order of the classes."""
    truths = [scores[TRUTH] == 1 for scores in members]
    floors = [scores[f"test/{FLOOR}"] for scores in members]
    # one test set, whose classes they all share
    strata = members[0]["label"]
    n = len(strata)
    found: dict[str, Any] = {}
    for method in methods_of(members[0]):
        values = [scores[f"test/{method}"] for scores in members]
        # of held-out normals: a mean of it may choose
        by_normals = [criterion(scores, method) for scores in members]
        areas = []
        for of_class, truth in zip(values, truths, strict=True):
            area = auroc(of_class, truth)
            areas.append(area.value)
        # the areas share their examples: no mean of ten intervals
        mean = mean_area(values, truths, strata)
        above = mean_difference(values, floors, truths, strata)
        found[method] = {
            "auroc": kept(mean, n),
            "above_neighbours": kept(above, n),
            "criterion": float(np.mean(by_normals)),
            "each": areas,
        }
    found["chosen"] = chosen(members)
    return found


def kept(interval: Interval, n: int) -> dict[str, Any]:
    """As results.json keeps a metric; without ends where they are not known."""
    value, low, high = interval
    if np.isnan(low):
        low, high = None, None
    metric = Value(value, low, high, n, None)
    return metric._asdict()


def percent(metric: dict[str, Any]) -> str:
    """A share with its interval in words [%]."""
    value = 100.0 * metric["value"]
    if metric["low"] is None:
        return f"{value:.1f}"
    low = 100.0 * metric["low"]
    high = 100.0 * metric["high"]
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def lines(found: dict[str, Any], methods: list[str]) -> list[str]:
    """A line for each method of `numbers`."""
    told = []
    for method in methods:
        its = found[method]
        words = [
            f"{method:18s} AUROC {percent(its['auroc'])}",
            f"above neighbours {percent(its['above_neighbours'])}",
            f"by normals {100.0 * its['criterion']:.1f}",
            f"false alarms {percent(its['false_alarms'])}",
            f"detected {percent(its['detected'])}",
        ]
        told.append("  ".join(words))
    return told


def table(found: dict[str, Any], methods: list[str]) -> list[str]:
    """A line for each method of `means`, the one that counts marked."""
    told = ["mean over classes, each normal once [%]:"]
    for method in methods:
        its = found[method]
        each = [f"{100.0 * area:.1f}" for area in its["each"]]
        words = [
            f"{method:18s} AUROC {percent(its['auroc'])}",
            f"above neighbours {percent(its['above_neighbours'])}",
            f"by normals {100.0 * its['criterion']:.1f}",
            f"each {' '.join(each)}",
        ]
        if method == found["chosen"]:
            words.append("<- chosen on normals alone")
        told.append("  ".join(words))
    return told
