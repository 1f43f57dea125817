"""What the styles of StyleGAN2 steer: truncation, mixing, directions, real images projected into w, a film."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.conditions import Cond, told
from genjax.config import field
from genjax.core import averaged, example_keys, size
from genjax.data.batches import chosen
from genjax.errors import UserError, at_least
from genjax.findings.samples import check_images, show
from genjax.gan import stylegan2
from genjax.gan.gan import latents
from genjax.gan.invert import Projector, animation, invert, pca, sefa
from genjax.gan.stylegan2 import StyleGAN2
from genjax.metrics.evaluate import Extractor, check_count, distance
from genjax.metrics.features import Components
from genjax.metrics.judges import rows
from genjax.metrics.manifold import precision_recall
from genjax.pictures.draw import grid
from genjax.pictures.latent import lerp
from genjax.training.experiment import Experiment
from genjax.training.run import Run


@dataclasses.dataclass(frozen=True)
class Styles:
    """Pictures of what styles do, and a film of a path in w."""

    psis: tuple[float, ...] = field((0.3, 0.5, 0.7, 1.0), "truncations")
    projector: Projector = field(Projector(steps=400, pull=1e-3), "how real images are projected")
    images: int = field(8, "rows and columns of the pictures")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what cannot be drawn."""
        check_images(source)
        at_least(
            1,
            finish__Styles__images=self.images,
            finish__Styles__projector__steps=self.projector.steps,
        )
        n = size(source.test)
        if self.images > n:
            raise UserError(
                f"--finish.Styles.images={self.images} is more than the {n} test images."
            )

    def __call__(self, this: Run) -> None:
        n = self.images
        show(this, "truncation", truncation(this, self.psis, n))
        show(this, "mixing", mixing(this, n))
        show(this, "directions-pca", directions(this, principal(this), n))
        show(this, "directions-sefa", directions(this, closed_form(this), n))
        show(this, "projection", self.projection(this))
        path = this.log.directory / "samples" / "path.gif"
        this.log.note(f"film {animation(path, film(this))}")

    def projection(self, this: Run) -> np.ndarray:
        """Test images over what comes nearest to them in w."""
        cfg, spec, gen = this.exp.algorithm, this.spec, averaged(this.state)["gen"]
        target = spec.x.encode(this.source.test[spec.main][: self.images])
        steps = self.projector.steps

        def make(w):
            return stylegan2.synthesise(gen, w, None, cfg, spec)

        def watch(i, loss):
            if (i + 1) % 100 == 0:
                error = float(loss.mean())
                this.log.note(f"projection, step {i + 1} of {steps}: error {error:.4f}")

        start = jnp.broadcast_to(this.state.extra["w"], (self.images, cfg.latent))
        key, how = this.key(7), {"watch": watch, "compile": jax.jit}
        found = invert(key, make, target, start, self.projector, **how)
        real, compiled = spec.decode(target), jax.jit(make)
        x, mean_style = spec.decode(compiled(found.w)), spec.decode(compiled(start))
        mse, base = (float(jnp.mean((y - real) ** 2)) for y in (x, mean_style))
        this.log.result("projection", {"mse": mse, "mse_of_the_mean_style": base, "n": self.images})
        this.log.note(
            f"{self.images} test images projected: MSE {mse:.4f}, of the mean style {base:.4f}, pixels in [0, 1]"
        )
        return grid(np.concatenate([np.asarray(real), np.asarray(x)]), self.images)


@dataclasses.dataclass(frozen=True)
class TruncationCurve:
    """Distance, precision and recall of truncated samples."""

    samples: int = field(2000, "samples that are measured, at most as many as test images")
    psis: tuple[float, ...] = field((0.3, 0.5, 0.7, 1.0), "truncations")
    neighbours: int = field(3, "k of the balls of precision and recall")
    distance: Extractor = field(Components(), "Fréchet distance on these features")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what cannot be measured."""
        check_images(source)
        at_least(
            1,
            finish__TruncationCurve__samples=self.samples,
            finish__TruncationCurve__neighbours=self.neighbours,
        )
        check_count(min(self.samples, size(source.test)), self.distance, source.shape)

    def __call__(self, this: Run) -> None:
        name, between = distance(self.distance, this.source.train)
        n = min(self.samples, size(this.source.test))
        images = this.source.test[this.spec.main][chosen(n, size(this.source.test))]
        real, values = rows(images), {"n": n}
        for psi in self.psis:
            fn = functools.partial(_truncated, this.exp.algorithm, this.spec, psi)
            x = this.draw(fn, this.given(n))
            precision, recall = precision_recall(real, rows(x), self.neighbours)
            found = {name: between(x), "precision": precision, "recall": recall}
            values[f"psi {psi:g}"] = found
            told = ", ".join(f"{key} {value:.3f}" for key, value in found.items())
            this.log.note(f"psi {psi:g}: {told}")
        this.log.result("truncation", values)


def _truncated(cfg: StyleGAN2, spec, psi: float, key, state, given) -> jax.Array:
    gen, mean = averaged(state)["gen"], state.extra["w"]
    return spec.decode(stylegan2.generated(gen, key, given, mean, psi, cfg, spec))


def _codes(this: Run, n: int) -> tuple[dict, jax.Array, Cond | None]:
    """(generator, z [n, latent], what is told), labels in turn."""
    cfg, fixed = this.exp.algorithm, {}
    if "label" in this.algorithm.asks:
        fixed = {"label": (np.arange(n) % this.spec.classes).astype(np.int32)}
    given = this.given(n, **fixed)
    z = latents(this.key(2), given["index"], cfg.latent)
    return averaged(this.state)["gen"], z, told(cfg.condition, given, this.spec)


def _draw(this: Run, w: jax.Array) -> np.ndarray:
    """Images [B, *shape] in [0, 1] of styles [B, latent] or [B, layers, latent], all with the same noise."""
    cfg, spec = this.exp.algorithm, this.spec
    keys = example_keys(this.key(8), jnp.zeros(len(w), jnp.uint32))
    draw = jax.jit(lambda gen, w: stylegan2.synthesise(gen, w, keys, cfg, spec))
    return np.asarray(spec.decode(draw(averaged(this.state)["gen"], w)))


def truncation(this: Run, psis: tuple[float, ...], n: int) -> np.ndarray:
    """The same codes at every truncation, a row each."""
    gen, z, cond = _codes(this, n)
    w, mean = stylegan2.w(gen, z, cond, this.exp.algorithm), this.state.extra["w"]
    rows = [stylegan2.truncated(w, mean, psi) for psi in psis]
    return grid(_draw(this, jnp.concatenate(rows)), n)


def mixing(this: Run, n: int) -> np.ndarray:
    """Coarse layers of the row's code, fine layers of the column's; first row and column: the codes alone."""
    cfg, (gen, z, cond) = this.exp.algorithm, _codes(this, 2 * n)
    coarse, fine = z[:n].repeat(n, 0), jnp.tile(z[n:], (n, 1))
    of_rows = jax.tree.map(lambda x: x[:n].repeat(n, 0), cond)
    middle = cfg.synthesis.layers // 2
    mixed = _draw(this, stylegan2.style_mix(gen, coarse, fine, middle, of_rows, cfg))
    mixed = mixed.reshape(n, n, *mixed.shape[1:])
    alone = _draw(this, stylegan2.w(gen, z, cond, cfg))
    blank = np.zeros_like(alone[:1])
    lines = [np.concatenate([blank, alone[n:]])]
    lines += [np.concatenate([alone[i : i + 1], mixed[i]]) for i in range(n)]
    return grid(np.concatenate(lines), n + 1)


def principal(this: Run) -> np.ndarray:
    """Principal directions of w, three standard deviations long (GANSpace, arXiv:2004.02546): [k, latent]."""
    gen, z, cond = _codes(this, 4000)
    w = jax.jit(lambda z: stylegan2.w(gen, z, cond, this.exp.algorithm))(z)
    axes, std = pca(np.asarray(w), 4)
    return 3.0 * axes * std[:, None]


def closed_form(this: Run) -> np.ndarray:
    """The directions that move the styles of all layers most (SeFa, arXiv:2007.06600, eq. 5): [k, latent]."""
    leaves = jax.tree_util.tree_leaves_with_path(averaged(this.state)["gen"]["synthesis"])
    named = [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves]
    maps = [np.asarray(leaf) for name, leaf in named if "style" in name and leaf.ndim == 2]
    axes, _ = sefa(np.concatenate(maps, 1), 4)
    return axes * float(np.linalg.norm(principal(this)[0]))


def directions(this: Run, axes: np.ndarray, n: int) -> np.ndarray:
    """One code moved along each direction, a row each, from - to +."""
    gen, z, cond = _codes(this, 1)
    steps = jnp.linspace(-1.0, 1.0, n)
    moves = (steps[None, :, None] * axes[:, None]).reshape(-1, axes.shape[1])
    w = stylegan2.w(gen, z, cond, this.exp.algorithm) + moves
    return grid(_draw(this, w), n)


def film(this: Run, codes: int = 6, frames: int = 12, tiles: int = 4) -> np.ndarray:
    """Paths in w through some codes and back, `tiles` of them side by side: uint8 [frames, H, W, C]."""
    gen, z, cond = _codes(this, codes * tiles)
    w = stylegan2.w(gen, z, cond, this.exp.algorithm)  # code i, tile j is number i tiles + j
    path = lerp(w, jnp.roll(w, -tiles, 0), frames + 1)[:, :-1]
    path = path.reshape(codes, tiles, frames, -1)
    images = _draw(this, jnp.moveaxis(path, 1, 2).reshape(codes * frames * tiles, -1))
    rows = images.reshape(codes * frames, tiles, *images.shape[1:])
    return np.stack([grid(row, tiles) for row in rows])
