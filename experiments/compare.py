"""The families side by side: which generative model is better, on the same data, with the same seconds of training?

    python -m experiments.compare           BASE: scikit-learn's digits, minutes on two cores
    python -m experiments.compare fashion   Fashion-MNIST

An autoencoder with a density of its codes, a VAE, a GAN and a flow, all class-conditional, beside densities that need
no deep learning (probabilistic PCA, Gaussian mixtures, kernel densities) and the training set itself. Prints one table
and writes it with pictures as one page; every contender has its own run directory and report. `rate` of a contender is
its steps a second on two cores, so that `--seconds` trains all for about as long; the table prints what it took.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.contenders import (
    Classical,
    Contender,
    Iwae,
    Ode,
    OfCodes,
    Outcome,
    Trained,
    TrainingSet,
    labels,
)
from genjax import cli, report
from genjax.ae import autoencoder as ae
from genjax.classical import KernelDensity, Mixture, Ppca
from genjax.config import edit, field
from genjax.data import Digits, FashionMNIST, Folder, Photographs, Stock, Toy
from genjax.diffusion import named, schedules
from genjax.diffusion.guidance import Guidance
from genjax.ema import Decay, Power
from genjax.errors import UserError, at_least
from genjax.gan import gan
from genjax.gan.penalties import R1, R2
from genjax.machine.parallel import Jit
from genjax.metrics.classifier import Convolutional
from genjax.metrics.evaluate import (
    Cas,
    DensityCoverage,
    Frechet,
    Memorisation,
    PrecisionRecall,
    Recognition,
)
from genjax.metrics.judges import Neighbours, Svm
from genjax.nets import MLP, DiT, GatedMLP, Gelu, R3Discriminator, R3Generator, TimeMLP
from genjax.optim import Adam, CosineDecay
from genjax.pictures.draw import grid, save_png
from genjax.training.loop import Experiment
from genjax.training.watch import Watch, told
from genjax.vae import vae
from genjax.vae.likelihoods import DiscretisedLogistic


@dataclasses.dataclass(frozen=True)
class Entry:
    """A contender under the name that the table gives it."""

    name: str = field("", "in the table and of the run directory")
    of: Contender = field(TrainingSet(), "what makes the samples")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The whole comparison."""

    data: Digits | FashionMNIST | Folder | Photographs | Stock | Toy | Any = field(
        Digits(), "the data set, images with labels"
    )
    contenders: tuple[Entry, ...] = field((), "who takes part")
    seconds: float = field(35.0, "of training for each that is trained, by their rates")
    watch: Watch = field(Watch(), "metrics, features, number of samples")
    likelihood: int = field(100, "test images whose log p is found, 0 = none")
    seed: int = field(0, "of everything")
    runs: str = field("runs", "folder of the run directories", execution=True)

    def count(self, source: Any) -> int:
        return self.watch.count(len(source.test["image"]))


def check(cfg: Comparison, source: Any) -> None:
    """Raises UserError for what cannot be compared."""
    at_least(0, likelihood=cfg.likelihood, seed=cfg.seed)
    if cfg.seconds <= 0:
        raise UserError(f"--seconds={cfg.seconds} must be above 0.")
    if not cfg.contenders or not cfg.watch.metrics:
        raise UserError(
            "--contenders and --watch.metrics must not be empty: there is nothing to compare."
        )
    if len(source.shape) != 3 or not source.classes:
        raise UserError(
            f"compare is of images with labels, and {source.name} has none: use --data='Digits()'."
        )
    cfg.watch.check(source.shape, True, len(source.test["image"]), False)


def compare(cfg: Comparison, name: str, origin: Mapping[str, Any]) -> None:
    """Runs every contender, measures all by the same yardstick, writes reports; prints the table."""
    begin, source = time.perf_counter(), cfg.data.load()
    check(cfg, source)
    measure = cfg.watch.start(source.train, source.test, Path(cfg.runs) / "features", Jit())
    label, rows, strips, folders = labels(cfg.count(source), source), {}, [], []
    for entry in cfg.contenders:
        made = entry.of(entry.name, cfg, source, {**origin, "differences": {}})
        values = measure(made.images, label)
        made.log.result("metrics", {key: value._asdict() for key, value in values.items()})
        made.log.result("cost", made.cost)
        if made.bits:
            made.log.result("likelihood", made.bits)
        made.log.picture(
            "samples", grid(made.images[: 6 * source.classes], source.classes)
        )  # a class a column
        made.log.note(f"{entry.name}: {told(values)}")
        report.write([made.log.directory])
        rows[entry.name] = (values, made)
        strips.append(made.images[:10])
        folders.append(made.log.directory)
    page = report.write(folders, Path(cfg.runs) / "compare" / f"{name}.html")
    save_png(page.with_suffix(".png"), grid(np.concatenate(strips), 10))
    text = table(rows)
    page.with_suffix(".md").write_text(text)
    print(text)
    print(f"{page} and a report for each; {time.perf_counter() - begin:.0f} s in all")


def table(rows: Mapping[str, tuple[dict, Outcome]]) -> str:
    """Markdown: a row a contender, the floors of real examples first."""
    first = next(iter(rows.values()))[0]
    head = [*first, "bits/dim", "parameters", "training s", "s per 1,000"]
    n = next(iter(first.values())).n
    floor = [f"{v.floor:.3f}" if v.floor is not None else "" for v in first.values()]
    lines = [["", *head], ["---"] * (len(head) + 1), [f"{n} real examples", *floor, "", "", "", ""]]
    for name, (values, made) in rows.items():
        bits = (
            f"{made.bits['bits_per_dim']:.2f} ± {made.bits['standard_error']:.2f}"
            if made.bits
            else ""
        )
        costs = [
            ("parameters", ",.0f"),
            ("training_seconds", ".1f"),
            ("seconds_per_1000_samples", ".2f"),
        ]
        told = [format(made.cost[key], form) if key in made.cost else "" for key, form in costs]
        lines.append([name, *(f"{v.value:.3f}" for v in values.values()), bits, *told])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


TX = Adam(1e-3, warmup=200, decay=CosineDecay())
GAME = Adam(5e-4, b1=0.0, b2=0.99, warmup=100, decay=CosineDecay(0.1))
HIDDEN = (512, 512)

AUTOENCODER = Trained(
    Experiment(
        algorithm=ae.Autoencoder(
            latent=16, enc=MLP(HIDDEN, Gelu()), dec=MLP(HIDDEN, Gelu()), optimiser=TX
        ),
        batch=128,
    ),
    rate=165.0,
    draw=OfCodes(Mixture(2, 16)),
)
VAE = Trained(
    Experiment(
        algorithm=vae.VAE(
            latent=16,
            enc=GatedMLP((256, 256)),
            dec=GatedMLP((256, 256)),
            likelihood=DiscretisedLogistic(),
            warmup=500,
            conditional=True,
            optimiser=TX,
        ),
        batch=128,
    ),
    rate=215.0,
    bits=Iwae(),
)
GAN = Trained(
    Experiment(
        algorithm=gan.GAN(
            latent=32,
            gen=MLP((256, 256), Gelu()),
            disc=MLP((256, 256), Gelu()),
            penalties=(R1(0.3), R2(0.3)),
            conditional=True,
            optimiser=GAME,
            disc_optimiser=GAME,
            ema=Decay(0.995),
        ),
        batch=128,
    ),
    rate=150.0,
)
FLOW = Trained(
    Experiment(
        algorithm=edit(
            named.FLOW,
            {
                "net": TimeMLP((256, 256, 256), waves=0),
                "std": 0.7,
                "conditional": True,
                "schedule": schedules.Times(steps=18),
                "guidance": Guidance(1.0),
                "optimiser": TX,
                "ema": Power((0.1,)),
            },
        ),
        batch=128,
    ),
    rate=120.0,
    bits=Ode(),
)
BASE = Comparison(
    contenders=(
        Entry("training_set", TrainingSet()),
        Entry("ppca", Classical(Ppca(16))),
        Entry("mixture", Classical(Mixture(2, 24))),
        Entry("kernels", Classical(KernelDensity())),
        Entry("autoencoder", AUTOENCODER),
        Entry("vae", VAE),
        Entry("gan", GAN),
        Entry("flow", FLOW),
    ),
    watch=Watch(
        (
            Frechet(),
            PrecisionRecall(),
            DensityCoverage(),
            Memorisation(),
            Recognition(),
            Cas(Svm()),
        ),
        extractor=Convolutional(),
    ),
)
EXPERIMENTS = {
    "digits": BASE,
    "fashion": edit(
        BASE,
        {
            "data": FashionMNIST(),
            "contenders": (
                Entry("training_set", TrainingSet()),
                Entry("ppca", Classical(Ppca(64))),
                Entry("mixture", Classical(Mixture(8, 64))),
                Entry("kernels", Classical(KernelDensity())),
                Entry(
                    "autoencoder",
                    edit(
                        AUTOENCODER,
                        {"exp.algorithm.latent": 32, "draw": OfCodes(Mixture(8, 32)), "rate": 80.0},
                    ),
                ),
                Entry(
                    "vae",
                    edit(
                        VAE,
                        {
                            "exp.algorithm.latent": 32,
                            "exp.algorithm.dec": GatedMLP((512, 512)),
                            "rate": 48.0,
                        },
                    ),
                ),
                Entry(
                    "gan",
                    edit(
                        GAN,
                        {
                            "exp.algorithm.gen": R3Generator((32, 64), patch=2),
                            "exp.algorithm.disc": R3Discriminator((32, 64), patch=2),
                            "exp.batch": 64,
                            "rate": 3.5,
                        },
                    ),
                ),
                Entry(
                    "flow",
                    edit(
                        FLOW,
                        {
                            "exp.algorithm.net": DiT(patch=4, width=128, depth=4, heads=4),
                            "exp.algorithm.guidance": Guidance(1.5),
                            "exp.batch": 64,
                            "rate": 5.5,
                        },
                    ),
                ),
            ),
            "seconds": 400.0,
            "watch.samples": 2000,
            "watch.metrics": (*BASE.watch.metrics[:-1], Cas(Neighbours())),
        },
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, compare, __doc__)
