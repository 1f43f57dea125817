"""What do the styles of StyleGAN2 steer? Truncation, mixing, directions, real images projected into w, a film.

    python -m experiments.stylegan2           BASE: class-conditional on Fashion-MNIST
    python -m experiments.stylegan2 digits    8x8 digits on two cores

Prints what `experiments.gan` prints, distance and recall along the truncation curve, and the error of projected test
images. Pictures: samples, truncation, mixing, directions (principal ones of w, and those of closed form), projection;
a film of a path in w as GIF.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.diffusion import check_count, check_images
from experiments.gan import measure, variety
from genjax import cli
from genjax.config import edit, field
from genjax.core import averaged, example_keys
from genjax.data import Digits, FashionMNIST
from genjax.errors import UserError, at_least
from genjax.gan import stylegan2
from genjax.gan.gan import latents, one_hot
from genjax.gan.invert import Projector, animation, invert, pca, sefa
from genjax.gan.penalties import R1
from genjax.gan.stylegan2 import StyleGAN2
from genjax.metrics.evaluate import Extractor, distance
from genjax.metrics.features import Components
from genjax.metrics.judges import Classifier, Neighbours, Svm, rows
from genjax.metrics.manifold import precision_recall
from genjax.nets import StyleDiscriminator, StyleMapping, StyleSynthesis
from genjax.optim import Adam
from genjax.pictures.draw import grid, signed, unsigned
from genjax.pictures.latent import lerp
from genjax.training.loop import Experiment, run
from genjax.training.run import Run


@dataclasses.dataclass(frozen=True)
class Report:
    """After training: pictures of what styles do; distance, precision and recall along the truncation curve."""

    samples: int = field(2000, "samples that are measured, 0 = none")
    psis: tuple[float, ...] = field((0.3, 0.5, 0.7, 1.0), "truncations")
    projector: Projector = field(Projector(steps=400, pull=1e-3), "how real images are projected")
    images: int = field(8, "rows and columns of the pictures")
    neighbours: int = field(3, "k of the balls of precision and recall")
    distance: Extractor = field(Components(), "Fréchet distance on these features")
    classifier: Classifier = field(
        Neighbours(), "reads the samples' classes, for a conditional model"
    )

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for what cannot be drawn or measured."""
        check_images(source)
        at_least(0, finish__samples=self.samples)
        check_count(self.samples, self.distance, source)
        at_least(1, finish__images=self.images, finish__projector__steps=self.projector.steps)
        if self.images > len(source.test["image"]):
            raise UserError(
                f"--finish.images={self.images} is more than the {len(source.test['image'])} test images."
            )

    def __call__(self, this: Run) -> None:
        drawn = {"samples": this.source.picture(this.sample(this.exp.samples))}
        drawn |= {
            "truncation": truncation(this, self.psis, self.images),
            "mixing": mixing(this, self.images),
        }
        drawn |= {"directions-pca": directions(this, principal(this), self.images)}
        drawn |= {"directions-sefa": directions(this, closed_form(this), self.images)}
        drawn |= {"projection": self.projection(this)}
        for name, picture in drawn.items():
            this.log.note(f"picture {this.log.picture(name, picture)}")
        this.log.note(f"film {animation(this.log.directory / 'samples' / 'path.gif', film(this))}")
        if self.samples:
            x = this.sample(self.samples)
            measure(this, x, self.distance, self.classifier)
            variety(this, x, self.neighbours)
            self.curve(this)

    def curve(self, this: Run) -> None:
        """Distance, precision and recall of truncated samples."""
        (name, between), n = (
            distance(self.distance, this.source.train),
            min(self.samples, len(this.source.test["image"])),
        )
        real, values = rows(this.source.test["image"][:n]), {}
        for psi in self.psis:
            x = this.draw(
                functools.partial(_truncated, this.exp.algorithm, this.spec, psi), this.given(n)
            )
            precision, recall = precision_recall(real, rows(x), self.neighbours)
            values[f"psi {psi:g}"] = {name: between(x), "precision": precision, "recall": recall}
            told = ", ".join(f"{key} {value:.3f}" for key, value in values[f"psi {psi:g}"].items())
            this.log.note(f"psi {psi:g}: {told}")
        this.log.result("truncation", values)

    def projection(self, this: Run) -> np.ndarray:
        """Test images over what comes nearest to them in w, each with its own label."""
        cfg, spec, gen = this.exp.algorithm, this.spec, averaged(this.state)["gen"]
        target = signed(this.source.test["image"][: self.images])

        def make(w):
            return stylegan2.synthesise(gen, w, None, cfg, spec)

        def watch(i, loss):
            if (i + 1) % 100 == 0:
                this.log.note(
                    f"projection, step {i + 1} of {self.projector.steps}: error {float(loss.mean()):.4f}"
                )

        start = jnp.broadcast_to(this.state.extra["w"], (self.images, cfg.latent))
        found = invert(
            this.key(7), make, target, start, self.projector, watch=watch, compile=jax.jit
        )
        x = unsigned(jax.jit(make)(found.w))
        mse, base = (
            float(jnp.mean((y - unsigned(target)) ** 2))
            for y in (x, unsigned(jax.jit(make)(start)))
        )
        this.log.result("projection", {"mse": mse, "mse_of_the_mean_style": base, "n": self.images})
        this.log.note(
            f"{self.images} test images projected: MSE {mse:.4f}, of the mean style {base:.4f}, pixels in [0, 1]"
        )
        return grid(np.concatenate([np.asarray(unsigned(target)), np.asarray(x)]), self.images)


def _truncated(cfg: StyleGAN2, spec, psi: float, key, state, given) -> jax.Array:
    return unsigned(
        stylegan2.generated(averaged(state)["gen"], key, given, state.extra["w"], psi, cfg, spec)
    )


def _codes(this: Run, n: int) -> tuple[dict, jax.Array, jax.Array | None]:
    """(generator, z [n, latent], one-hot labels or None), labels in turn."""
    cfg, given = this.exp.algorithm, this.given(n)
    return (
        averaged(this.state)["gen"],
        latents(this.key(2), given["index"], cfg.latent),
        one_hot(given, cfg, this.spec),
    )


def _draw(this: Run, w: jax.Array) -> np.ndarray:
    """Images [B, *shape] in [0, 1] of styles [B, latent] or [B, layers, latent], all with the same noise."""
    cfg, spec = this.exp.algorithm, this.spec
    keys = example_keys(this.key(8), jnp.zeros(len(w), jnp.uint32))
    draw = jax.jit(lambda gen, w: stylegan2.synthesise(gen, w, keys, cfg, spec))
    return np.asarray(unsigned(draw(averaged(this.state)["gen"], w)))


def truncation(this: Run, psis: tuple[float, ...], n: int) -> np.ndarray:
    """The same codes at every truncation, a row each."""
    gen, z, label = _codes(this, n)
    w, mean = stylegan2.w(gen, z, label, this.exp.algorithm), this.state.extra["w"]
    return grid(
        _draw(this, jnp.concatenate([stylegan2.truncated(w, mean, psi) for psi in psis])), n
    )


def mixing(this: Run, n: int) -> np.ndarray:
    """Coarse layers of the row's code, fine layers of the column's; first row and column: the codes alone."""
    cfg, (gen, z, label) = this.exp.algorithm, _codes(this, 2 * n)
    coarse, fine = z[:n].repeat(n, 0), jnp.tile(z[n:], (n, 1))
    labels = None if label is None else label[:n].repeat(n, 0)
    mixed = _draw(
        this, stylegan2.style_mix(gen, coarse, fine, cfg.synthesis.layers // 2, labels, cfg)
    )
    alone = _draw(this, stylegan2.w(gen, z, label, cfg))
    mixed, blank = mixed.reshape(n, n, *mixed.shape[1:]), np.zeros_like(alone[:1])
    lines = [
        np.concatenate([blank, alone[n:]]),
        *(np.concatenate([alone[i : i + 1], mixed[i]]) for i in range(n)),
    ]
    return grid(np.concatenate(lines), n + 1)


def principal(this: Run) -> np.ndarray:
    """Principal directions of w, three standard deviations long (GANSpace, arXiv:2004.02546): [k, latent]."""
    gen, z, label = _codes(this, 4000)
    axes, std = pca(
        np.asarray(jax.jit(lambda z: stylegan2.w(gen, z, label, this.exp.algorithm))(z)), 4
    )
    return 3.0 * axes * std[:, None]


def closed_form(this: Run) -> np.ndarray:
    """The directions that move the styles of all layers most (SeFa, arXiv:2007.06600, eq. 5): [k, latent]."""
    tree = averaged(this.state)["gen"]["synthesis"]
    paths = jax.tree_util.tree_leaves_with_path(tree)
    maps = [
        np.asarray(leaf)
        for path, leaf in paths
        if "style" in jax.tree_util.keystr(path) and leaf.ndim == 2
    ]
    axes, _ = sefa(np.concatenate(maps, 1), 4)
    return axes * float(np.linalg.norm(principal(this)[0]))


def directions(this: Run, axes: np.ndarray, n: int) -> np.ndarray:
    """One code moved along each direction, a row each, from - to +."""
    gen, z, label = _codes(this, 1)
    steps = jnp.linspace(-1.0, 1.0, n)
    moves = (steps[None, :, None] * axes[:, None]).reshape(-1, axes.shape[1])
    w = stylegan2.w(gen, z, label, this.exp.algorithm) + moves
    return grid(_draw(this, w), n)


def film(this: Run, codes: int = 6, frames: int = 12, tiles: int = 4) -> np.ndarray:
    """Paths in w through some codes and back, `tiles` of them side by side: uint8 [frames, H, W, C]."""
    gen, z, label = _codes(this, codes * tiles)
    w = stylegan2.w(gen, z, label, this.exp.algorithm)  # code i, tile j is number i tiles + j
    path = lerp(w, jnp.roll(w, -tiles, 0), frames + 1)[:, :-1].reshape(codes, tiles, frames, -1)
    images = _draw(this, jnp.moveaxis(path, 1, 2).reshape(codes * frames * tiles, -1))
    return np.stack(
        [grid(row, tiles) for row in images.reshape(codes * frames, tiles, *images.shape[1:])]
    )


TX = Adam(1e-3, b1=0.0, b2=0.99, warmup=200)
BASE = Experiment(
    data=FashionMNIST(),
    algorithm=StyleGAN2(
        latent=64,
        mapping=StyleMapping(depth=4, width=64),
        synthesis=StyleSynthesis((32, 64, 64)),
        disc=StyleDiscriminator((32, 64, 64)),
        r1=R1(1.0),
        conditional=True,
        optimiser=TX,
        disc_optimiser=TX,
    ),
    steps=10_000,
    batch=32,
    evaluate_every=1000,
    sample_every=1000,
    save_every=500,
    log_every=100,
    finish=Report(),
)
EXPERIMENTS = {
    "base": BASE,
    "no_mixing": edit(BASE, {"algorithm.mixing": 0.0}),
    "no_path_length": edit(BASE, {"algorithm.path_weight": 0.0}),
    "digits": edit(
        BASE,
        {
            "data": Digits(),
            "algorithm.synthesis": StyleSynthesis((32, 64)),
            "algorithm.disc": StyleDiscriminator((32, 64), group=4),
            "algorithm.r1": R1(2.0),
            "algorithm.optimiser.lr": 2.5e-3,
            "algorithm.disc_optimiser.lr": 2.5e-3,
            "steps": 12_000,
            "save_every": 2000,
            "finish.distance": Components(16),
            "finish.classifier": Svm(),
        },
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "stylegan2"), __doc__)
