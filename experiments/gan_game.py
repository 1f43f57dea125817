"""Is the game in balance? Every game on 25 Gaussians, whose density is known, watched from the first step to the last.

    python -m experiments.gan_game            BASE: the relativistic game with R1 and R2
    python -m experiments.gan_game minimax    also: non_saturating, least_squares, hinge, wasserstein, wgan, wgan_gp,
                                              no_penalty, r1_alone, simple (eight Gaussians on a ring)

Prints, for each checkpoint: modes found and the share of samples within four standard deviations of one; D on held-out
data and on samples; the share of pairs in which the held-out example scores higher (1/2 at equilibrium, 1 when D wins)
and in which a training example scores higher than a held-out one (1/2 unless D has learned examples by heart); how far
D is from the optimal discriminator; an estimate of the duality gap. Pictures: samples, distributions of D, curves.
"""

from __future__ import annotations

import dataclasses
import functools
import json

import jax
import numpy as np

from experiments.toy2d import modes
from genjax import cli
from genjax.config import edit, field
from genjax.data import Grid, Ring, Toy
from genjax.ema import Decay
from genjax.errors import UserError, at_least
from genjax.gan import game
from genjax.gan.games import Hinge, LeastSquares, Minimax, NonSaturating, Relativistic, Wasserstein
from genjax.gan.gan import GAN
from genjax.gan.penalties import R1, R2, Gradient
from genjax.nets import MLP
from genjax.optim import Adam, CosineDecay
from genjax.training.loop import Experiment, run
from genjax.training.run import Run


@dataclasses.dataclass(frozen=True)
class Report:
    """After training: the game at every checkpoint."""

    samples: int = field(10_000, "samples whose modes are counted")
    examples: int = field(4000, "held-out points that D is asked about")
    density: int = field(200_000, "samples from which the generator's density is found")
    descents: int = field(
        100, "steps of each player to its best response, for the duality gap; 0 = no gap"
    )

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for data whose density is not known."""
        if not hasattr(exp.data, "mixture"):
            raise UserError(
                "gan_game measures against a known density: use --data='Toy(mixture=Grid())'."
            )
        if exp.algorithm.conditional:
            raise UserError(
                "gan_game knows densities without labels only: use --algorithm.conditional=false."
            )
        at_least(
            1,
            finish__samples=self.samples,
            finish__examples=self.examples,
            finish__density=self.density,
        )
        at_least(0, finish__descents=self.descents)

    def __call__(self, this: Run) -> None:
        steps, seen = [], []
        for step, state in this.snapshots():
            values, outputs = self.look(this, state)
            this.log.result(f"step {step}", values)
            told = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            this.log.note(f"step {step}: {told}")
            steps.append(step)
            seen.append(outputs)
        chosen = np.unique(np.linspace(0, len(steps) - 1, min(5, len(steps))).round().astype(int))
        real, fake = ([getattr(seen[i], name) for i in chosen] for name in ("held", "samples"))
        shown = game.picture([steps[i] for i in chosen], real, fake, this.exp.algorithm.game)
        pictures = {"outputs": shown, "curves": curves(this)}
        pictures["samples"] = this.source.picture(this.sample(min(self.samples, 4000)))
        for name, picture in pictures.items():
            this.log.note(f"picture {this.log.picture(name, picture)}")

    def look(self, this: Run, state) -> tuple[dict[str, float], game.Outputs]:
        """All measurements of one state, and D's outputs."""
        cfg, spec, mixture = this.exp.algorithm, this.spec, this.exp.data.mixture()
        train, test = (
            {k: v[: self.examples] for k, v in s.items()}
            for s in (this.source.train, this.source.test)
        )
        found, good = modes(
            mixture, this.draw(this.algorithm.sample, this.given(self.samples), state)
        )
        seen = game.outputs(this.key(4), state, cfg, spec, train, test, 2000, jax.jit)
        values = {
            "modes": found,
            "good": good,
            "real": seen.held.mean(),
            "fake": seen.samples.mean(),
        }
        values |= {"higher": game.higher(seen.held, seen.samples), "overfitting": seen.overfitting}
        distance = game.optimal_distance(
            this.key(5), state, cfg, spec, mixture, test["image"], self.density, compile=jax.jit
        )
        if distance is not None:
            values |= {"from_optimal": distance.mean, "from_optimal_kept": distance.kept}
        if self.descents:
            gap = game.duality_gap(
                this.key(6),
                state,
                cfg,
                spec,
                this.source.train,
                test,
                self.descents,
                compile=jax.jit,
            )
            values |= {"gap": gap.gap, "gap_error": gap.error}
        return {name: float(value) for name, value in values.items()}, seen


def curves(this: Run) -> np.ndarray:
    """D's outputs, gradient norms of both and the share of pairs that D tells apart, over training: uint8 [H, W, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [
        json.loads(line) for line in (this.log.directory / "metrics.jsonl").read_text().splitlines()
    ]
    lines = [line for line in lines if "train/real" in line]
    figure = Figure(figsize=(10.0, 2.8), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = {
        "output of D": ("real", "fake"),
        "gradient norm": ("grad_norm", "gen_grad_norm"),
        "pairs": ("higher",),
    }
    names = {
        "real": "D(x)",
        "fake": "D(G(z))",
        "grad_norm": "D",
        "gen_grad_norm": "G",
        "higher": "D(x) > D(G(z))",
    }
    for axes, (title, shown) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for name in shown:
            values = [float(line[f"train/{name}"]) for line in lines]
            axes.plot([line["step"] for line in lines], values, label=names[name], linewidth=1.2)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


TX = Adam(2e-3, b1=0.0, b2=0.99, decay=CosineDecay(0.1))
BASE = Experiment(
    data=Toy(Grid(), train=50_000),
    algorithm=GAN(
        latent=2,
        gen=MLP(
            (128, 128, 128), waves=3
        ),  # without waves in both nets the edges of modes stay soft
        disc=MLP((128, 128, 128), waves=4),
        game=Relativistic(),
        penalties=(R1(0.02), R2(0.02)),
        optimiser=TX,
        disc_optimiser=TX,
        ema=Decay(0.999),
    ),
    steps=4000,
    batch=256,
    evaluate_every=1000,
    sample_every=1000,
    save_every=1000,
    keep=4,
    log_every=50,
    samples=2000,
    finish=Report(),
)
# 256 examples a critic step
WGAN = {
    "algorithm.game": Wasserstein(),
    "algorithm.critic_steps": 5,
    "batch": 1280,
    "steps": 2000,
    "save_every": 500,
}

EXPERIMENTS = {
    "base": BASE,
    "minimax": edit(BASE, {"algorithm.game": Minimax()}),
    "non_saturating": edit(BASE, {"algorithm.game": NonSaturating()}),
    "least_squares": edit(BASE, {"algorithm.game": LeastSquares()}),
    "hinge": edit(BASE, {"algorithm.game": Hinge()}),
    "wasserstein": edit(BASE, {"algorithm.game": Wasserstein()}),
    "wgan": edit(BASE, {**WGAN, "algorithm.penalties": (), "algorithm.clip": 0.05}),
    "wgan_gp": edit(BASE, {**WGAN, "algorithm.penalties": (Gradient(1.0),)}),
    "r1_alone": edit(BASE, {"algorithm.penalties": (R1(0.02),)}),
    "no_penalty": edit(BASE, {"algorithm.penalties": ()}),
    "non_saturating_bare": edit(
        BASE, {"algorithm.game": NonSaturating(), "algorithm.penalties": ()}
    ),
    "simple": edit(BASE, {"data.mixture": Ring(), "steps": 2000, "save_every": 500}),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "gan_game"), __doc__)
