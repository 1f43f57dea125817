"""GANs: paths between codes, how D scores what it sees, the game at every checkpoint, modes of stacked digits."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jax
import numpy as np

from genjax.conditions import told
from genjax.config import field
from genjax.core import State, averaged, size
from genjax.data import Digits
from genjax.data.stacked import CLASSES
from genjax.data.stacked import modes as stacked_modes
from genjax.errors import UserError, at_least
from genjax.findings.samples import check_images, show, some
from genjax.findings.truth import check_known, modes
from genjax.gan import game, gan
from genjax.metrics.judges import Classifier, Svm
from genjax.pictures.draw import grid
from genjax.pictures.figure import canvas, pixels
from genjax.pictures.latent import slerp
from genjax.training.experiment import Experiment
from genjax.training.run import Run


@dataclasses.dataclass(frozen=True)
class Interpolation:
    """Samples along great arcs between pairs of codes, a pair a row, each with the conditions of its row."""

    steps: int = field(8, "samples of a path")
    pairs: int = field(8, "paths")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what cannot be drawn."""
        check_images(source)

    def __call__(self, this: Run) -> None:
        cfg, spec, n = this.exp.algorithm, this.spec, self.steps

        def draw(key, state, given):
            z = gan.latents(key, given["index"], cfg.latent)  # [2 pairs, latent]
            starts, ends = z[0::2], z[1::2]
            # arcs, not lines: Gaussian codes lie near a sphere, and a line leaves it
            path = slerp(starts, ends, n)  # [pairs, n, latent]
            path = path.reshape(-1, cfg.latent)
            asked = {name: x[::2].repeat(n, 0) for name, x in given.items()}
            cond = told(cfg.condition, asked, spec)
            gen = averaged(state)["gen"]
            y = gan.generate(gen, path, cond, cfg, spec)
            return spec.decode(y)

        codes = 2 * self.pairs
        fixed = {}
        if "label" in this.algorithm.asks:  # both ends of a path are of one class
            classes = np.arange(codes) // 2 % spec.classes
            fixed = {"label": classes.astype(np.int32)}
        given = this.given(codes, **fixed)
        images = jax.jit(draw)(this.key(2), this.state, given)
        show(this, "interpolation", grid(images, n))


@dataclasses.dataclass(frozen=True)
class Balance:
    """How D scores training data, held-out data and samples: has it learned its training set by heart, does it win?"""

    examples: int = field(2000, "of each kind, at most")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for a number below 1."""
        at_least(1, finish__Balance__examples=self.examples)

    def __call__(self, this: Run) -> None:
        cfg = this.exp.algorithm
        n = min(self.examples, size(this.source.test))
        # as many of each: all shares are of pairs
        train = some(this.source.train, n)
        test = some(this.source.test, n)
        batch = min(n, 500)
        key = this.key(4)
        seen = game.outputs(key, this.state, cfg, this.spec, train, test, batch, jax.jit)
        higher = game.higher(seen.held, seen.samples)  # share of pairs
        this.log.note(
            f"D scores a training image above a held-out one in {100 * seen.overfitting:.1f} % of all pairs (50 % "
            f"unless it learned them by heart), a held-out one above a sample in {100 * higher:.1f} % (50 % in balance)"
        )
        steps = [int(this.state.step)]
        picture = game.picture(steps, [seen.held], [seen.samples], cfg.game)
        show(this, "outputs", picture)
        means = {"train": seen.train, "held_out": seen.held, "samples": seen.samples}
        values = {name: outputs.mean() for name, outputs in means.items()}
        values |= {"n": n, "overfitting": seen.overfitting, "higher": higher}
        this.log.result("balance", values)


@dataclasses.dataclass(frozen=True)
class GameCourse:
    """The game at every checkpoint, on data of a known density: D's outputs, distance from optimal, duality gap."""

    samples: int = field(10_000, "samples whose modes are counted")
    examples: int = field(4000, "held-out points that D is asked about")
    density: int = field(200_000, "samples from which the generator's density is found")
    descents: int = field(
        100, "steps of each player to its best response, for the duality gap; 0 = no gap"
    )

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for data whose density is not known."""
        check_known(exp)
        # the mixture's density is that of all classes together
        if exp.algorithm.condition:
            raise UserError(
                "gan_game knows densities without labels only: use --algorithm.condition='()'."
            )
        at_least(
            1,
            finish__GameCourse__samples=self.samples,
            finish__GameCourse__examples=self.examples,
        )
        at_least(1, finish__GameCourse__density=self.density)
        at_least(0, finish__GameCourse__descents=self.descents)

    def __call__(self, this: Run) -> None:
        steps, seen = [], []
        for step, state in this.snapshots():  # oldest first
            values, outputs = self.look(this, state)
            this.log.result(f"step {step}", values)
            told = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            this.log.note(f"step {step}: {told}")
            steps.append(step)
            seen.append(outputs)
        # five panels at most, with the first and the last checkpoint
        last = len(steps) - 1
        spaced = np.linspace(0, last, min(5, len(steps)))
        chosen = np.unique(spaced.round().astype(int))
        at = [steps[i] for i in chosen]
        real = [seen[i].held for i in chosen]
        fake = [seen[i].samples for i in chosen]
        outputs = game.picture(at, real, fake, this.exp.algorithm.game)
        show(this, "outputs", outputs)
        show(this, "curves", curves(this))
        # 4000 dots: denser clouds look alike
        show(this, "samples", this.picture(min(self.samples, 4000)))

    def look(self, this: Run, state: State) -> tuple[dict[str, float], game.Outputs]:
        """All measurements of one state, and D's outputs."""
        cfg, spec = this.exp.algorithm, this.spec
        mixture = this.exp.data.mixture()
        train = some(this.source.train, self.examples)
        test = some(this.source.test, self.examples)
        given = this.given(self.samples)
        x = this.draw(this.algorithm.sample, given, state)
        found, good = modes(mixture, x)
        # the same keys at every checkpoint: what changes is the state alone
        seen = game.outputs(this.key(4), state, cfg, spec, train, test, 2000, jax.jit)
        higher = game.higher(seen.held, seen.samples)
        values = {"modes": found, "good": good}
        values |= {"real": seen.held.mean(), "fake": seen.samples.mean()}
        values |= {"higher": higher, "overfitting": seen.overfitting}
        points, n, key = test[spec.main], self.density, this.key(5)
        distance = game.optimal_distance(
            key, state, cfg, spec, mixture, points, n, compile=jax.jit
        )
        # some games have no optimal D that is known
        if distance is not None:
            values |= {"from_optimal": distance.mean, "from_optimal_kept": distance.kept}
        if self.descents:
            # best responses are trained on all of the training set, judged on held-out points
            key, whole = this.key(6), this.source.train
            gap = game.duality_gap(
                key, state, cfg, spec, whole, test, self.descents, compile=jax.jit
            )
            values |= {"gap": gap.gap, "gap_error": gap.error}
        return {name: float(value) for name, value in values.items()}, seen


PANELS = {
    "output of D": {"real": "D(x)", "fake": "D(G(z))"},
    "gradient norm": {"grad_norm": "D", "gen_grad_norm": "G"},
    "pairs": {"higher": "D(x) > D(G(z))"},
}


def curves(this: Run) -> np.ndarray:
    """D's outputs, gradient norms of both and the share of pairs that D tells apart, over training: uint8 [H, W, 3]."""
    text = (this.log.directory / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    # other lines are of evaluations
    lines = [line for line in lines if "train/real" in line]
    steps = [line["step"] for line in lines]
    # three panels side by side
    figure, axes = canvas(1000, 280, 1, 3)
    for plot, (title, shown) in zip(axes[0], PANELS.items(), strict=True):
        for name, label in shown.items():
            values = [float(line[f"train/{name}"]) for line in lines]
            plot.plot(steps, values, label=label, linewidth=1.2)
        plot.set_title(title, fontsize=9)
        plot.set_xlabel("step", fontsize=8)
        plot.legend(fontsize=7)
    figure.tight_layout()
    return pixels(figure)


@dataclasses.dataclass(frozen=True)
class StackedModes:
    """The modes of stacked digits that a classifier of single digits reads, in samples and in as many real examples."""

    samples: int = field(26_000, "samples that are read")
    classifier: Classifier = field(Svm(), "reads single digits")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for other data."""
        check_images(source)
        at_least(1, finish__StackedModes__samples=self.samples)
        if source.classes != CLASSES:
            raise UserError(
                f"stacked counts the {CLASSES} modes of --data='StackedDigits()', not of {source.name}."
            )

    def __call__(self, this: Run) -> None:
        digits = Digits().load()
        read = self.classifier.fit(digits.train)
        # real examples show what the classifier itself gets wrong
        real = some(this.source.train, self.samples)["image"]
        values = {"n": self.samples}
        for name, images in (("samples", this.sample(self.samples)), ("real", real)):
            found, kl = stacked_modes(read, images)
            values |= {f"modes_{name}": found, f"kl_{name}": kl}
            this.log.note(
                f"{name}: {found} of {CLASSES} modes, KL from the uniform {kl:.3f} nats"
            )
        this.log.result("modes", values)
