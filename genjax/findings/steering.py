"""What a latent space holds of the things one can name, and what happens to pictures when it is steered by them.

A probe is a linear map from codes to one thing: an angle, an age, a yes or no. It is fitted on some codes, and what
counts is how well it reads others (Alain & Bengio 2016, arXiv:1610.01644). Of pictures that were drawn it is fitted to
what a `Reader` reads, so it can be no better than that.

Codes are steered along a probe's pattern, Cov(code, what the probe says) / its deviation: where codes lie that differ
by one standard deviation of what is said (Haufe et al. 2014, NeuroImage 87, eq. 6). The weights themselves would also
move codes along directions that only cancel noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.config import field
from genjax.errors import UserError, at_least
from genjax.findings.latents import Codes, Facts, Known, Space
from genjax.findings.samples import check_images, show, some
from genjax.metrics.intervals import Interval, bootstrap
from genjax.metrics.reader import Reader, certainty
from genjax.pictures.draw import captioned, grid
from genjax.training.experiment import Experiment, home
from genjax.training.run import Run

ALPHAS = tuple(10.0**power for power in range(-2, 7))  # penalties of a probe to choose from


class Probe(NamedTuple):
    """A linear map codes [N, D] -> what it says [N], with the codes' step for one standard deviation of that."""

    weight: np.ndarray  # [D]
    bias: float
    step: np.ndarray  # [D]

    def says(self, codes: np.ndarray) -> np.ndarray:
        return codes @ self.weight + self.bias


def fitted(codes: np.ndarray, values: np.ndarray, yes_no: bool) -> Probe:
    """The probe of codes [N, D] for values [N] by ridge regression, the penalty chosen by leaving each one out.

    A yes or no is told as 1 and -1, and the rarer answer weighs as much as the other in sum.
    """
    from sklearn.linear_model import RidgeCV

    mean = codes.mean(0)
    deviation = codes.std(0)
    scale = np.where(
        deviation > 1e-6, deviation, 1.0
    )  # a number that never changes says nothing
    unit = (codes - mean) / scale
    wanted, weights = values, None
    if yes_no:
        wanted, weights = _told(values)
    ridge = RidgeCV(alphas=ALPHAS)
    ridge.fit(unit, wanted, sample_weight=weights)
    weight = ridge.coef_ / scale
    bias = ridge.intercept_ - mean @ weight
    return Probe(weight, float(bias), _pattern(codes, weight))


def _told(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Yes and no as 1 and -1, and their weights; each [N]."""
    yes = values > 0.5
    share = np.mean(yes)
    share = np.clip(share, 1e-6, 1.0 - 1e-6)  # neither may be of no weight
    of_yes = 0.5 / share
    of_no = 0.5 / (1.0 - share)
    weights = np.where(yes, of_yes, of_no)
    wanted = np.where(yes, 1.0, -1.0)
    return wanted, weights


def _pattern(codes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Cov(code, said) / std(said), float32 [D]: how codes differ that differ by one deviation of what is said."""
    said = codes @ weight
    said = said - said.mean()
    deviation = float(said.std())
    spread = max(deviation, 1e-12)  # of a probe that always says the same
    centred = codes - codes.mean(0)
    covariance = centred.T @ said / len(codes)
    step = covariance / spread
    return step.astype(np.float32)


def r2(said: np.ndarray, true: np.ndarray) -> float:
    """1 - mean (true - said)² / var true: 1 where all is read, 0 where the mean would do as well, below for worse."""
    difference = true - said
    miss = np.mean(difference**2)
    variance = float(np.var(true))
    variance = max(variance, 1e-12)
    return float(1.0 - miss / variance)


def balanced(said: np.ndarray, true: np.ndarray) -> float:
    """The mean of the shares of right answers among yes and among no: 1/2 is chance, however rare a yes is."""
    shares = []
    for yes in (False, True):
        of_one = said[(true > 0.5) == yes]
        if len(of_one):  # a draw of few may lack one of them
            right = (of_one > 0.0) == yes
            shares.append(right.mean())
    return float(np.mean(shares))


def readable(probe: Probe, held: Known, name: str, yes_no: bool, times: int = 200) -> Interval:
    """How well a probe reads codes that it was not fitted on: R², of a yes or no the balanced accuracy.

    The interval is a bootstrap over groups: whole persons. NaN where all answers are yes, or all no.
    """
    said = probe.says(held.codes)
    true = held.values[name]
    if yes_no and len(np.unique(true > 0.5)) < 2:  # always right would be no knowledge
        return Interval(np.nan, np.nan, np.nan)
    score = balanced if yes_no else r2
    groups = members(held.groups)

    def of(chosen: np.ndarray) -> float:
        rows = [groups[i] for i in chosen]
        rows = np.concatenate(rows)
        return score(said[rows], true[rows])

    return bootstrap(of, len(groups), times)


def members(groups: np.ndarray) -> list[np.ndarray]:
    """The rows of each group, of groups [N]."""
    _, number, count = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(number, kind="stable")
    borders = np.cumsum(count)[:-1]
    return np.split(order, borders)


@dataclasses.dataclass(frozen=True)
class Steering:
    """How well some things are read from a model's codes by linear maps, and pictures of codes moved along these.

    Gives {"linear age": R², "linear glasses": balanced accuracy, …}, which a comparison shows beside its metrics.
    """

    space: Space = field(Codes(), "where codes come from")
    of: tuple[str, ...] = field((), "what is read: names of attributes and numbers; () = all")
    reader: Reader = field(Reader(), "what reads pictures that were drawn")
    group: str = field("", "name of the field that says whom a picture is of; '' = none")
    samples: int = field(
        3000, "codes at most, of each split; of drawn ones in all, a third held out"
    )
    starts: int = field(32, "held-out codes that are moved")
    shown: int = field(2, "of them in the picture")
    deviations: tuple[float, ...] = field(
        (-2.0, -1.0, 0.0, 1.0, 2.0), "how far, in standard deviations of what a probe says"
    )

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what cannot be read of this data set."""
        check_images(source)
        at_least(3, finish__Steering__samples=self.samples)
        at_least(1, finish__Steering__starts=self.starts, finish__Steering__shown=self.shown)
        answers, numbers = self.reader.names(source.fields)
        there = answers + numbers
        for name in self.of:
            if name not in there:
                known = ", ".join(there)
                raise UserError(
                    f"--finish.Steering.of: nothing is called {name!r}, there are {known}."
                )

    def __call__(self, this: Run) -> dict[str, float]:
        facts = self.facts(this)
        known, held = self.space.gather(this, facts, self.samples)
        wanted = self.of or tuple(known.values)
        probes = []
        found = {}
        for name in wanted:
            yes_no = name in facts.answers
            probe = fitted(known.codes, known.values[name], yes_no)
            probes.append(probe)
            found[name] = readable(probe, held, name, yes_no)
        self._tell(this, found, len(held.codes))
        certain = self._certain(this, facts)
        this.log.result("reader", certain)
        # from codes that no probe was fitted to
        starts = held.codes[: self.starts]
        moved = self.moved(this, starts, probes)
        changes = effects(moved, wanted, facts)
        this.log.result("steered", changes)
        self._show(this, moved, wanted)
        columns = {}
        for name, interval in found.items():
            columns[f"linear {name}"] = interval.value
        return columns

    def _show(self, this: Run, moved: np.ndarray, wanted: Sequence[str]) -> None:
        """A row for what is steered; some starts side by side, each from the first deviation to the last."""
        rows = moved[:, : self.shown]  # [P, shown, deviations, H, W, C]
        _, starts, deviations, *shape = rows.shape
        tiles = rows.reshape(-1, *shape)
        picture = grid(tiles, starts * deviations)
        show(this, "steered", captioned(picture, wanted))

    def facts(self, this: Run) -> Facts:
        """What can be known of the run's data, with a reader that has learned from its training split."""
        source = this.source
        # beside the runs: one reader of a data set serves them all
        read = self.reader.reading(source.train, home(this.exp) / "features")
        answers, numbers = self.reader.names(source.fields)
        return Facts(self.reader, read, answers, numbers, self.group)

    def _tell(self, this: Run, found: Mapping[str, Interval], n: int) -> None:
        entry = {}
        for name, (value, low, high) in found.items():
            entry[name] = {"value": value, "low": low, "high": high, "n": n}
            told = f"{value:.3f} [{low:.3f}, {high:.3f}]"
            this.log.note(f"linear {name} {told}")
        this.log.result("linear", entry)

    def _certain(self, this: Run, facts: Facts) -> dict[str, float]:
        """How well the reader reads held-out pictures: the most that can be said of drawn ones."""
        test = some(this.source.test, self.samples)
        read = facts.read(test["image"])
        taught = self.reader.taught(test)
        sure = certainty(read, taught)
        found = {"label": float(sure["label"])}
        for name, share in zip(facts.answers, sure["answers"], strict=True):
            found[name] = float(share)
        for name, r2 in zip(facts.numbers, sure["numbers"], strict=True):
            found[name] = float(r2)
        return found

    def moved(self, this: Run, codes: np.ndarray, probes: Sequence[Probe]) -> np.ndarray:
        """Pictures of codes [B, D] moved along each probe: [P, B, deviations, H, W, C]."""
        n, size = codes.shape
        steps = [probe.step for probe in probes]
        steps = np.stack(steps)[:, None, None]  # [P, 1, 1, D]
        far = np.asarray(self.deviations, np.float32)
        moves = far[:, None] * steps  # [P, 1, deviations, D]
        places = codes[:, None] + moves  # [P, B, deviations, D]
        flat = places.reshape(-1, size)
        # a start keeps what it is told, and its noise, wherever it is moved
        number = np.arange(len(flat)) // len(far)
        start = number % n
        given = this.given(n)
        given = jax.tree.map(lambda x: np.asarray(x)[start], given)
        given["code"] = flat.astype(np.float32)
        render = self.space.render(this)
        images = np.asarray(this.draw(render, given))
        return images.reshape(*places.shape[:3], *images.shape[1:])


def effects(
    moved: np.ndarray, wanted: Sequence[str], facts: Facts
) -> dict[str, dict[str, float]]:
    """What changes in pictures [P, B, deviations, H, W, C] from the first to the last: {steered: {read: change}}.

    Changes are means over starts, of numbers in their own units, of a yes or no in probability: what is steered should
    change, and what is not should stay.
    """
    ends = moved[:, :, [0, -1]]  # [P, B, 2, H, W, C]
    values = facts.said(ends.reshape(-1, *ends.shape[3:]))
    found = {}
    for i, steered in enumerate(wanted):
        changes = {}
        for name in wanted:
            first, last = np.moveaxis(values[name].reshape(ends.shape[:3])[i], -1, 0)  # [B]
            changes[name] = float(np.mean(last - first))
        found[steered] = changes
    return found
