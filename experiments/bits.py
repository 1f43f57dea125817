"""How many bits does a picture of clothing hold? A variational diffusion bound on Fashion-MNIST with 256 grey levels.

    python -m experiments.bits            BASE: a U-Net with a learned noise schedule, continuous time
    python -m experiments.bits digits     8x8 digits, small and quick
    python -m experiments.bits --list     the ablations: 1000 steps, a straight schedule, a transformer …

Prints bits per dimension of the whole test set, an upper bound on -log2 p(x) with its three terms, beside Glow's 2.958.
Costs and numbers are in experiments/README.md.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from genjax import cli
from genjax.config import edit, field
from genjax.core import averaged
from genjax.data import Digits, FashionMNIST
from genjax.diffusion import samplers, vdm
from genjax.errors import UserError, at_least
from genjax.nets import DiT, UNet
from genjax.optim import Adam, CosineDecay
from genjax.pictures.draw import grid, unsigned
from genjax.training.loop import Experiment, Published, run
from genjax.training.run import Run

TERMS = ("prior", "reconstruction", "diffusion")


@dataclasses.dataclass(frozen=True)
class Report:
    """After training: samples, the way from noise to image and the learned schedule as PNG; the test set's bound."""

    draws: int = field(
        20, "times and noises a test image, evenly spaced in time; the bound is their mean"
    )
    batch: int = field(250, "test images at a time")

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for what cannot be measured or drawn."""
        at_least(1, finish__draws=self.draws, finish__batch=self.batch)
        if len(source.shape) != 3:
            raise UserError(
                f"bits are of images and {source.name} has none: use --data='Digits()' or --finish=None."
            )

    def __call__(self, this: Run) -> None:
        for path in pictures(this):
            this.log.note(f"picture {path}")
        name = f"bits{self.draws}"
        values = this.log.result(name) or this.log.result(name, self.scores(this))
        total, error = values["bits_per_dim"], values["standard_error"]
        this.log.note(
            f"test  {total:.4f} +- {error:.4f} bits/dim ({values['n']} images, {self.draws} draws each)"
        )
        this.log.note("      = " + " + ".join(f"{values[term]:.4f} ({term})" for term in TERMS))
        this.log.note(f"      gamma from {values['gamma_0']:.3f} to {values['gamma_1']:.3f}")

    def scores(self, this: Run) -> dict[str, float]:
        """Means over the test set, the standard error over its images, the ends of the schedule."""
        cfg, test = this.exp.algorithm, this.source.test
        parts = this.evaluate(
            test,
            functools.partial(_bound, cfg, this.spec, self.draws),
            min(self.batch, _count(test)),
        )
        bits = parts["bits_per_dim"].astype(np.float64)
        ends = np.asarray(
            vdm.gamma(averaged(this.state)["schedule"], jnp.array([0.0, 1.0]), cfg.schedule)
        )
        means = {name: float(value.mean(dtype=np.float64)) for name, value in parts.items()}
        error = bits.std(ddof=1) / np.sqrt(len(bits))
        return {
            **means,
            "standard_error": error,
            "n": len(bits),
            "gamma_0": ends[0],
            "gamma_1": ends[1],
        }


def _count(split) -> int:
    return len(split["image"])


def _bound(cfg, spec, draws, key, state, batch):
    return vdm.bound(averaged(state), key, batch, draws, cfg, spec)


def pictures(this: Run, n: int = 8, rows: int = 4):
    """Writes the pictures of a trained model; yields their paths.

    `backward`: samples on their way from noise, each in two rows: z_t, and what the model makes of it.
    """
    cfg, spec, params = this.exp.algorithm, this.spec, averaged(this.state)
    yield this.log.picture("samples", this.source.picture(this.sample(this.exp.samples)))
    yield this.log.picture("schedule", curve(params["schedule"], cfg.schedule))
    given = {name: jnp.asarray(value) for name, value in this.given(rows).items()}
    path = jax.jit(_trajectory, static_argnums=(3, 4))(params, this.key(2), given, cfg, spec)
    chosen = np.linspace(0, cfg.sampling_steps - 1, n).round().astype(int)
    both = jnp.stack([steps[chosen] for steps in path])  # [2, n, rows, *shape]
    tiles = jnp.transpose(both, (2, 0, 1, *range(3, both.ndim)))
    yield this.log.picture("backward", grid(unsigned(tiles.reshape(-1, *spec.shape)), n))


def _trajectory(params, key, given, cfg, spec):
    x, sigmas, noise = vdm.start(params, key, given["index"], cfg, spec)
    denoiser = vdm.denoiser(params, vdm.one_hot(given, cfg, spec), cfg, spec)
    noisy, denoised = samplers.sample(cfg.sampler, denoiser, x, sigmas, noise, keep=True)
    return noisy / jnp.sqrt(1.0 + sigmas**2).reshape(-1, *[1] * (noisy.ndim - 1)), denoised


def curve(params: dict, schedule: vdm.Schedule, side: int = 320) -> np.ndarray:
    """gamma(t), learned and (dashed) straight from gamma_min to gamma_max -> a uint8 picture [side, side, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second: only for who draws
    from matplotlib.figure import Figure

    t = np.linspace(0.0, 1.0, 201)
    figure = Figure(figsize=(side / 100, side / 100), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="t", ylabel="gamma = -ln SNR", xlim=(0, 1))
    axes.plot(t, np.asarray(vdm.gamma(params, jnp.asarray(t, jnp.float32), schedule)))
    axes.plot([0, 1], [schedule.gamma_min, schedule.gamma_max], "--", color="grey", linewidth=0.8)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


BASE = Experiment(
    data=FashionMNIST(),
    algorithm=vdm.VDM(
        net=UNet(widths=(32, 64), blocks=1),
        sampling_steps=100,
        optimiser=Adam(1e-3, warmup=500, decay=CosineDecay()),
    ),
    steps=8000,
    batch=64,
    evaluate_every=2000,
    sample_every=4000,
    save_every=500,
    log_every=100,
    samples=36,
    published=(Published("bits20", "bits_per_dim", 2.958, "Glow, recalled, not opened"),),
    finish=Report(),
)

EXPERIMENTS = {
    "base": BASE,
    "linear": edit(BASE, {"algorithm.schedule": vdm.LinearGamma()}),
    "fixed": edit(BASE, {"algorithm.schedule": vdm.LinearGamma(learn_ends=False)}),
    "discrete": edit(BASE, {"algorithm.steps": 1000}),
    "no_fourier": edit(BASE, {"algorithm.fourier": False}),
    "conditional": edit(
        BASE, {"algorithm.conditional": True, "published": ()}
    ),  # bits given the label
    "dit": edit(BASE, {"algorithm.net": DiT(patch=4, width=128, depth=6, heads=4)}),
    "digits": edit(
        BASE,
        {
            "data": Digits(),
            "algorithm.net": UNet(widths=(32, 64), blocks=1, patch=1, attention=(4,)),
            "steps": 2000,
            "batch": 64,
            "evaluate_every": 500,
            "sample_every": 1000,
            "published": (),
        },
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "bits"), __doc__)
