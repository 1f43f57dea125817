"""Noise -> image by a game: which game, with which penalty, makes pictures that are both good and various?

    python -m experiments.gan            BASE: R3GAN's game, penalties and blocks on Fashion-MNIST, class-conditional
    python -m experiments.gan digits     8x8 digits in nine minutes on two cores, read back by a classifier
    python -m experiments.gan --list     the other games and penalties, and DCGAN, WGAN, WGAN-GP, SNGAN, R1

Prints the Fréchet distance of samples on whitened principal components, the share of samples that a classifier trained
on real images takes for the class asked for, precision and recall, and each class's recall: a collapsed class has none;
how D scores training images, held-out ones and samples. Beside each number stands that of real images. Costs and
numbers are in experiments/README.md.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np

from experiments.diffusion import check_count, check_images, measure
from genjax import cli
from genjax.config import edit, field
from genjax.core import averaged
from genjax.data import Digits, FashionMNIST
from genjax.ema import Decay
from genjax.errors import UserError, at_least
from genjax.gan import game, gan, named
from genjax.gan.augment import Ada, DiffAugment
from genjax.gan.games import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from genjax.gan.penalties import R1, R2
from genjax.metrics.evaluate import Extractor
from genjax.metrics.features import Components
from genjax.metrics.judges import Classifier, Neighbours, Svm, rows
from genjax.metrics.manifold import covered, precision_recall
from genjax.nets import R3Discriminator, R3Generator
from genjax.optim import Adam, CosineDecay
from genjax.pictures.draw import grid, unsigned
from genjax.pictures.latent import slerp
from genjax.training.loop import Experiment, run
from genjax.training.run import Run


@dataclasses.dataclass(frozen=True)
class Report:
    """After training: samples, paths between them; distance, recognition, precision and recall."""

    samples: int = field(2000, "samples that are measured, 0 = none")
    neighbours: int = field(3, "k of the balls of precision and recall")
    distance: Extractor = field(Components(), "Fréchet distance on these features")
    classifier: Classifier = field(
        Neighbours(), "reads the samples' classes, for a conditional model"
    )

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for what cannot be drawn or measured."""
        check_images(source)
        at_least(0, finish__samples=self.samples)
        at_least(1, finish__neighbours=self.neighbours)
        check_count(self.samples, self.distance, source)
        least = (self.neighbours + 1) * max(source.classes, 1)
        if 0 < self.samples < least:
            raise UserError(
                f"--finish.samples={self.samples} is too few for balls that reach to neighbour {self.neighbours} in "
                f"every class: use {least} or more, or 0 for none."
            )

    def __call__(self, this: Run) -> None:
        this.log.note(
            f"picture {this.log.picture('samples', this.source.picture(this.sample(this.exp.samples)))}"
        )
        this.log.note(f"picture {this.log.picture('interpolation', interpolation(this))}")
        if self.samples:
            x = this.sample(self.samples)
            measure(this, x, self.distance, self.classifier)
            variety(this, x, self.neighbours)
            balance(this, self.samples)


def balance(this: Run, most: int) -> dict[str, float]:
    """How D scores training data, held-out data and samples: has it learned its training set by heart, does it win?"""
    cfg, n = this.exp.algorithm, min(most, len(this.source.test["image"]))
    train, test = (
        {k: v[:n] for k, v in split.items()} for split in (this.source.train, this.source.test)
    )
    seen = game.outputs(this.key(4), this.state, cfg, this.spec, train, test, min(n, 500), jax.jit)
    values = {
        "n": n,
        "overfitting": seen.overfitting,
        "higher": game.higher(seen.held, seen.samples),
    }
    values |= {
        "train": seen.train.mean(),
        "held_out": seen.held.mean(),
        "samples": seen.samples.mean(),
    }
    this.log.note(
        f"D scores a training image above a held-out one in {100 * seen.overfitting:.1f} % of all pairs (50 % unless "
        f"it learned them by heart), a held-out one above a sample in {100 * values['higher']:.1f} % (50 % in balance)"
    )
    this.log.note(f"picture {this.log.picture('outputs', drawn(this, seen))}")
    this.log.result("balance", values)
    return values


def drawn(this: Run, seen: game.Outputs) -> np.ndarray:
    """D's outputs on held-out data and on samples."""
    return game.picture(
        [int(this.state.step)], [seen.held], [seen.samples], this.exp.algorithm.game
    )


def variety(this: Run, x: np.ndarray, k: int) -> dict[str, float]:
    """Precision and recall on pixels beside those of real images, and the recall of the worst class."""
    test, train = this.source.test, this.source.train
    n = min(len(x), len(test["image"]), len(train["image"]))
    real, other = rows(test["image"][:n]), rows(train["image"][:n])
    values = dict(zip(("precision", "recall"), precision_recall(real, rows(x[:n]), k), strict=True))
    values |= dict(
        zip(("precision_real", "recall_real"), precision_recall(real, other, k), strict=True)
    )
    this.log.note(
        f"precision {values['precision']:.3f}, recall {values['recall']:.3f} of {n} samples against {n} test images; "
        f"of {n} training images {values['precision_real']:.3f}, {values['recall_real']:.3f}"
    )
    if this.exp.algorithm.conditional:
        classes = np.array(
            [recalls(this, x, c, k) for c in range(this.spec.classes)]
        )  # [classes, 2]
        worst = int(classes[:, 0].argmin())
        values |= {
            "recall_by_class": classes[:, 0].tolist(),
            "recall_by_class_real": classes[:, 1].tolist(),
        }
        told = " ".join(f"{a:.2f} ({b:.2f})" for a, b in classes)
        name = this.source.class_names[worst]
        this.log.note(f"recall by class, in brackets that of real images: {told}; worst: {name}")
    this.log.result("variety", values)
    return values


def recalls(this: Run, x: np.ndarray, label: int, k: int) -> tuple[float, float]:
    """Recall of half the training images of a class, by samples of it and by as many of the other half."""
    train = this.source.train
    images = rows(train["image"][np.flatnonzero(train["label"] == label)[:2000]])
    samples = rows(x[this.given(len(x))["label"] == label])
    n = min(len(images) // 2, len(samples))
    return covered(images[:n], samples[:n], k), covered(images[:n], images[n : 2 * n], k)


def interpolation(this: Run, n: int = 8, pairs: int = 8) -> np.ndarray:
    """Samples along great arcs between pairs of codes, a pair a row, each with the label of its row."""
    cfg, spec = this.exp.algorithm, this.spec

    def draw(key, state, given):
        z = gan.latents(key, given["index"], cfg.latent)
        path = slerp(z[0::2], z[1::2], n).reshape(-1, cfg.latent)
        label = gan.one_hot({"label": given["label"][::2].repeat(n)}, cfg, spec)
        return unsigned(gan.generate(averaged(state)["gen"], path, label, cfg, spec))

    given = {"index": np.arange(2 * pairs, dtype=np.uint32)}
    given["label"] = (given["index"] // 2 % max(spec.classes, 1)).astype(np.int32)
    return grid(jax.jit(draw)(this.key(2), this.state, given), n)


TX = Adam(4e-4, b1=0.0, b2=0.99, warmup=200, decay=CosineDecay(0.1))

BASE = Experiment(
    data=FashionMNIST(),
    algorithm=edit(
        named.R3GAN,
        {
            "gen": R3Generator((32, 64), patch=2),
            "disc": R3Discriminator((32, 64), patch=2),
            "conditional": True,
            "penalties": (R1(0.3), R2(0.3)),
            "optimiser": TX,
            "disc_optimiser": TX,
            "ema": Decay(0.999),
        },
    ),
    steps=8000,
    batch=64,
    evaluate_every=1000,
    sample_every=1000,
    save_every=1000,
    log_every=100,
    finish=Report(),
)


def _named(cfg: gan.GAN) -> dict:
    return {"algorithm": edit(cfg, {"conditional": True}), "batch": 64 * cfg.critic_steps}


EXPERIMENTS = {
    "base": BASE,
    "minimax": edit(BASE, {"algorithm.game": Minimax()}),
    "non_saturating": edit(BASE, {"algorithm.game": NonSaturating()}),
    "least_squares": edit(BASE, {"algorithm.game": LeastSquares()}),
    "hinge": edit(BASE, {"algorithm.game": Hinge()}),
    "wasserstein": edit(BASE, {"algorithm.game": Wasserstein()}),
    "r1_alone": edit(BASE, {"algorithm.penalties": (R1(0.3),)}),
    "no_penalty": edit(BASE, {"algorithm.penalties": ()}),
    "diffaugment": edit(BASE, {"algorithm.augment": DiffAugment()}),
    "ada": edit(BASE, {"algorithm.augment": Ada(rate=1e-3), "algorithm.game": NonSaturating()}),
    **{name: edit(BASE, _named(cfg)) for name, cfg in named.ALL.items() if name != "r3gan"},
    "digits": edit(
        BASE,
        {
            "data": Digits(),
            "algorithm.gen": R3Generator((32, 64)),
            "algorithm.disc": R3Discriminator((32, 64)),
            "steps": 4000,
            "finish.distance": Components(16),
            "finish.classifier": Svm(),
        },
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "gan"), __doc__)
