"""How much does a VAE know about Fashion-MNIST, in nats?

    python -m experiments.vae            BASE: the published net (gated 2x300, latent 40), dynamically binarised
    python -m experiments.vae --list     the ablations

BASE prints -log p(x) by IWAE with 5,000 samples over the full test set, beside 228.70 +- 0.15, the figure of the
Exemplar VAE paper (Norouzi et al. 2020, arXiv:2004.04795) for this net with the prior N(0, I).
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from genjax import cli
from genjax.config import edit, field
from genjax.data import Digits, FashionMNIST
from genjax.errors import at_least
from genjax.nets import ConvDecoder, ConvEncoder, GatedMLP
from genjax.optim import Adam, CosineDecay
from genjax.pictures import latent
from genjax.pictures.draw import grid, to_float
from genjax.training.loop import Experiment, Published, run
from genjax.training.run import Run
from genjax.vae import vae
from genjax.vae.likelihoods import DiscretisedLogistic


@dataclasses.dataclass(frozen=True)
class Report:
    """After training: samples, reconstructions, interpolations, a traversal as PNG; ELBO and IWAE of the test set."""

    iwae: int = field(5000, "importance samples for log p(x)")
    chunk: int = field(50, "of them in memory at a time, at most")
    batch: int = field(100, "test images at a time")

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for numbers of samples below 1."""
        at_least(1, finish__iwae=self.iwae, finish__chunk=self.chunk, finish__batch=self.batch)

    def __call__(self, this: Run) -> None:
        for path in (
            pictures(this) if len(this.spec.shape) == 3 else ()
        ):  # points of the plane are no pictures
            this.log.note(f"picture {path}")
        name = f"iwae{self.iwae}"
        scores = this.log.result(name) or this.log.result(name, self.scores(this))
        elbo, distortion, rate, log_p = (
            scores[name] for name in ("elbo", "distortion", "rate", "log_p")
        )
        bits = f", {scores['bits_per_dim']:.4f} bits/dim" if "bits_per_dim" in scores else ""
        this.log.note(
            f"test  ELBO {elbo:.3f} nats = -{distortion:.3f} (distortion) - {rate:.3f} (rate)"
        )
        this.log.note(
            f"test  -log p(x) <= {-log_p:.3f} nats{bits} (IWAE, {self.iwae} samples, {scores['n']} images)"
        )

    def scores(self, this: Run) -> dict[str, float]:
        """Means over the test set, in nats."""
        cfg, test = this.exp.algorithm, this.source.test
        chunk = max(c for c in range(1, max(self.chunk, 1) + 1) if self.iwae % c == 0)
        log_p = functools.partial(_log_p, cfg, this.spec, self.iwae, chunk)
        parts = this.evaluate(test)
        parts["log_p"] = this.evaluate(test, log_p, self.batch)["log_p"]
        means = {name: float(value.mean(dtype=np.float64)) for name, value in parts.items()}
        if "bits_per_dim" in means:
            means["bits_per_dim"] = -means["log_p"] / (np.prod(this.spec.shape) * np.log(2))
        return {**means, "n": len(parts["log_p"])}


def _log_p(cfg, spec, k, chunk, key, state, batch):
    return {"log_p": vae.log_likelihood(vae.averaged(state), key, batch, cfg, spec, k, chunk)}


def pictures(this: Run, n: int = 8):
    """Writes the pictures of a trained VAE; yields their paths."""
    cfg, spec, test = this.exp.algorithm, this.spec, this.source.test
    params, draw = vae.averaged(this.state), this.source.picture
    index = np.arange(n * n // 2) % len(test["image"])  # a small set starts again
    batch = {name: jnp.asarray(array[index]) for name, array in test.items()}
    real = np.asarray(to_float(batch["image"]))
    yield this.log.picture("samples", draw(this.sample(n * n)))
    rows = np.stack(
        [
            real,
            np.asarray(jax.jit(vae.reconstruct, static_argnums=(2, 3))(params, batch, cfg, spec)),
        ],
        1,
    )
    yield this.log.picture("reconstructions", grid(rows.reshape(-1, *spec.shape), n))

    render = jax.jit(vae.render, static_argnums=(3, 4))
    labels = None if not cfg.conditional else jax.nn.one_hot(batch["label"], spec.classes)
    mu, _ = vae.encode(params, to_float(batch["image"]), labels, cfg)
    for name, path in (("spherical", latent.slerp), ("linear", latent.lerp)):
        z = path(mu[:n], mu[n : 2 * n], n)
        given = {"label": jnp.repeat(batch["label"][:n], n)}
        yield this.log.picture(
            f"interpolation-{name}", grid(render(params, z.reshape(n * n, -1), given, cfg, spec), n)
        )

    dims = jnp.argsort(-jnp.var(mu, 0))[:n]  # the latents that say most about these images
    z = latent.traverse(mu[0], dims, jnp.linspace(-3.0, 3.0, n))
    given = {"label": jnp.full(len(dims) * n, batch["label"][0])}
    yield this.log.picture(
        "traversal", grid(render(params, z.reshape(-1, cfg.latent), given, cfg, spec), n)
    )


BASE = Experiment(
    data=FashionMNIST(),
    algorithm=vae.VAE(warmup=60_000, optimiser=Adam(1e-3, warmup=1000, decay=CosineDecay())),
    steps=400_000,
    batch=100,
    chunk=10,
    evaluate_every=10_000,
    sample_every=20_000,
    save_every=10_000,
    log_every=2000,
    published=(
        Published(
            "iwae5000",
            "log_p",
            -228.70,
            "± 0.15, Exemplar VAE paper, same net and prior; 50,000 training images, ours 60,000",
        ),
    ),
    finish=Report(),
)

_SHORT = {"steps": 30_000, "algorithm.warmup": 5000, "published": (), "finish.iwae": 500}

EXPERIMENTS = {
    "base": BASE,
    "beta4": edit(BASE, {**_SHORT, "algorithm.beta": 4.0}),
    "latent2": edit(BASE, {**_SHORT, "algorithm.latent": 2}),
    "conv": edit(
        BASE,
        {
            **_SHORT,
            "algorithm.enc": ConvEncoder((32, 64)),
            "algorithm.dec": ConvDecoder((32, 64)),
            "steps": 10_000,
            "chunk": 1,
        },
    ),
    "conditional": edit(BASE, {**_SHORT, "algorithm.conditional": True}),
    "iwae": edit(BASE, {**_SHORT, "algorithm.samples": 5, "algorithm.warmup": 0}),
    "free_bits": edit(BASE, {**_SHORT, "algorithm.free_bits": 0.1}),
    "discretised": edit(BASE, {**_SHORT, "algorithm.likelihood": DiscretisedLogistic()}),
    "digits": edit(
        BASE,
        {
            **_SHORT,
            "data": Digits(),
            "algorithm.latent": 16,
            "algorithm.enc": GatedMLP((256, 256)),
            "algorithm.dec": GatedMLP((256, 256)),
            "algorithm.warmup": 1000,
            "steps": 6000,
            "log_every": 500,
            "evaluate_every": 1000,
            "sample_every": 2000,
            "save_every": 2000,
        },
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "vae"), __doc__)
