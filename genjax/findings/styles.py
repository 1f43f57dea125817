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
from genjax.errors import UserError, at_least, distinct
from genjax.findings.samples import check_images, show, some
from genjax.findings.samples import told as told_distance
from genjax.gan import stylegan2
from genjax.gan.gan import latents
from genjax.gan.invert import Projector, invert, pca, sefa
from genjax.gan.stylegan2 import StyleGAN2
from genjax.metrics.evaluate import Extractor, check_count, distance
from genjax.metrics.features import Components
from genjax.metrics.judges import rows
from genjax.metrics.manifold import precision_recall
from genjax.pictures.draw import animation, grid
from genjax.pictures.latent import lerp
from genjax.training.experiment import Experiment
from genjax.training.run import Run


@dataclasses.dataclass(frozen=True)
class Styles:
    """Pictures of what styles do, and a film of a path in w."""

    psis: tuple[float, ...] = field((0.3, 0.5, 0.7, 1.0), "truncations")
    projector: Projector = field(
        Projector(steps=400, pull=1e-3), "how real images are projected"
    )
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
        of_pca = principal(this)  # [k, latent]
        show(this, "directions-pca", directions(this, of_pca, n))
        of_sefa = closed_form(this)
        show(this, "directions-sefa", directions(this, of_sefa, n))
        show(this, "projection", self.projection(this))
        path = this.log.directory / "samples" / "path.gif"
        frames = film(this)
        written = animation(path, frames)
        this.log.note(f"film {written}")

    def projection(self, this: Run) -> np.ndarray:
        """Test images over what comes nearest to them in w."""
        cfg, spec = this.exp.algorithm, this.spec
        gen = averaged(this.state)["gen"]
        test = some(this.source.test, self.images)
        target = spec.encode(test)  # [n, H, W, C] in [-1, 1]
        steps = self.projector.steps

        def make(w):
            return stylegan2.synthesise(gen, w, None, cfg, spec)

        def watch(i, loss):
            if (i + 1) % 100 == 0:
                error = float(loss.mean())
                this.log.note(f"projection, step {i + 1} of {steps}: error {error:.4f}")

        # from the mean style, where the generator is at its best
        mean = this.state.extra["w"]
        start = jnp.broadcast_to(mean, (self.images, cfg.latent))
        key = this.key(7)
        how = {"watch": watch, "compile": jax.jit}
        found = invert(key, make, target, start, self.projector, **how)
        compiled = jax.jit(make)
        real = spec.decode(target)
        x = spec.decode(compiled(found.w))
        # what any image costs without a projection: the yardstick of the error
        mean_style = spec.decode(compiled(start))
        mse = float(jnp.mean((x - real) ** 2))
        base = float(jnp.mean((mean_style - real) ** 2))
        values = {"mse": mse, "mse_of_the_mean_style": base, "n": self.images}
        this.log.result("projection", values)
        this.log.note(
            f"{self.images} test images projected: MSE {mse:.4f}, of the mean style {base:.4f}, pixels in [0, 1]"
        )
        rows = [np.asarray(real), np.asarray(x)]
        return grid(np.concatenate(rows), self.images)


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
        distinct("finish.TruncationCurve.psis", self.psis)
        n = min(self.samples, size(source.test))
        check_count(n, self.distance, source.shape)

    def __call__(self, this: Run) -> None:
        name, between = distance(self.distance, this.source.train)
        test = this.source.test
        # as many real examples as samples: precision and recall are of equal sets
        n = min(self.samples, size(test))
        places = chosen(n, size(test))
        images = test[this.spec.main][places]
        real = rows(images)  # [n, D]
        values = {"n": n, "real": between(images).value}
        for psi in self.psis:
            fn = functools.partial(_truncated, this.exp.algorithm, this.spec, psi)
            x = this.draw(fn, this.given(n))
            fake = rows(x)  # [n, D]
            precision, recall = precision_recall(real, fake, self.neighbours)
            far = between(x)
            shares = {"precision": precision, "recall": recall}
            values[f"psi {psi:g}"] = {
                name: far.value,
                "low": far.low,
                "high": far.high,
                **shares,
            }
            words = f"precision {precision:.3f}, recall {recall:.3f}"
            this.log.note(f"psi {psi:g}: {name} {told_distance(far)}, {words}")
        this.log.result("truncation", values)


# at the module's level, with what is fixed bound by `partial`: what is drawn depends on its arguments alone
def _truncated(cfg: StyleGAN2, spec, psi: float, key, state, given) -> jax.Array:
    gen = averaged(state)["gen"]
    mean = state.extra["w"]
    y = stylegan2.generated(gen, key, given, mean, psi, cfg, spec)
    return spec.decode(y)


def _codes(this: Run, n: int) -> tuple[dict, jax.Array, Cond | None]:
    """(generator, z [n, latent], what is told), labels in turn."""
    cfg = this.exp.algorithm
    fixed = {}
    if "label" in this.algorithm.asks:
        in_turn = np.arange(n) % this.spec.classes
        fixed = {"label": in_turn.astype(np.int32)}
    given = this.given(n, **fixed)
    z = latents(this.key(2), given["index"], cfg.latent)
    gen = averaged(this.state)["gen"]
    cond = told(cfg.condition, given, this.spec)
    return gen, z, cond


def _draw(this: Run, w: jax.Array) -> np.ndarray:
    """Images [B, *shape] in [0, 1] of styles [B, latent] or [B, layers, latent], all with the same noise."""
    cfg, spec = this.exp.algorithm, this.spec
    same = jnp.zeros(len(w), jnp.uint32)  # one index for all: only the styles differ
    keys = example_keys(this.key(8), same)

    def draw(gen, w):
        return stylegan2.synthesise(gen, w, keys, cfg, spec)

    gen = averaged(this.state)["gen"]
    # weights as an argument: as constants they would be compiled into the program
    y = jax.jit(draw)(gen, w)
    return np.asarray(spec.decode(y))


def truncation(this: Run, psis: tuple[float, ...], n: int) -> np.ndarray:
    """The same codes at every truncation, a row each."""
    gen, z, cond = _codes(this, n)
    w = stylegan2.w(gen, z, cond, this.exp.algorithm)  # [n, latent]
    mean = this.state.extra["w"]
    rows = [stylegan2.truncated(w, mean, psi) for psi in psis]
    images = _draw(this, jnp.concatenate(rows))
    return grid(images, n)


def mixing(this: Run, n: int) -> np.ndarray:
    """Coarse layers of the row's code, fine layers of the column's; first row and column: the codes alone."""
    cfg = this.exp.algorithm
    gen, z, cond = _codes(this, 2 * n)  # the rows' codes, then the columns'
    coarse = z[:n].repeat(n, 0)  # [n n, latent]: all columns of a row have its code
    fine = jnp.tile(z[n:], (n, 1))
    of_rows = jax.tree.map(lambda x: x[:n].repeat(n, 0), cond)
    middle = cfg.synthesis.layers // 2
    w = stylegan2.style_mix(gen, coarse, fine, middle, of_rows, cfg)
    mixed = _draw(this, w)
    mixed = mixed.reshape(n, n, *mixed.shape[1:])  # [row, column, H, W, C]
    w_alone = stylegan2.w(gen, z, cond, cfg)
    alone = _draw(this, w_alone)  # [2 n, H, W, C]
    corner = np.zeros_like(alone[:1])
    header = np.concatenate([corner, alone[n:]])
    lines = [header]
    for i in range(n):
        line = np.concatenate([alone[i : i + 1], mixed[i]])
        lines.append(line)
    return grid(np.concatenate(lines), n + 1)


def principal(this: Run) -> np.ndarray:
    """Principal directions of w, three standard deviations long (GANSpace, arXiv:2004.02546): [k, latent]."""
    gen, z, cond = _codes(this, 4000)

    def mapped(z):
        return stylegan2.w(gen, z, cond, this.exp.algorithm)

    w = jax.jit(mapped)(z)  # [4000, latent]
    axes, std = pca(np.asarray(w), 4)  # [4, latent], [4]
    return 3.0 * axes * std[:, None]


def closed_form(this: Run) -> np.ndarray:
    """The directions that move the styles of all layers most (SeFa, arXiv:2007.06600, eq. 5): [k, latent]."""
    synthesis = averaged(this.state)["gen"]["synthesis"]
    maps = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(synthesis):
        of_style = "style" in jax.tree_util.keystr(path)
        if of_style and leaf.ndim == 2:  # kernels [latent, channels], not biases
            maps.append(np.asarray(leaf))
    all_layers = np.concatenate(maps, 1)  # [latent, channels of all]
    axes, _ = sefa(all_layers, 4)
    # unit vectors as they come: as long as the first of PCA's, so that both pictures compare
    longest = principal(this)[0]
    return axes * float(np.linalg.norm(longest))


def directions(this: Run, axes: np.ndarray, n: int) -> np.ndarray:
    """One code moved along each direction, a row each, from - to +."""
    gen, z, cond = _codes(this, 1)
    steps = jnp.linspace(-1.0, 1.0, n)
    moves = steps[None, :, None] * axes[:, None]  # [k, n, latent]
    moves = moves.reshape(-1, axes.shape[1])
    centre = stylegan2.w(gen, z, cond, this.exp.algorithm)  # [1, latent]
    w = centre + moves
    return grid(_draw(this, w), n)


def film(this: Run, codes: int = 6, frames: int = 12, tiles: int = 4) -> np.ndarray:
    """Paths in w through some codes and back, `tiles` of them side by side: uint8 [frames, H, W, C]."""
    gen, z, cond = _codes(this, codes * tiles)
    w = stylegan2.w(gen, z, cond, this.exp.algorithm)  # code i, tile j is number i tiles + j
    following = jnp.roll(w, -tiles, 0)
    path = lerp(w, following, frames + 1)
    path = path[:, :-1]  # without ends: each is the start of the next path
    path = path.reshape(codes, tiles, frames, -1)
    in_time = jnp.moveaxis(path, 1, 2)  # [codes, frames, tiles, latent]
    in_time = in_time.reshape(codes * frames * tiles, -1)
    images = _draw(this, in_time)
    rows = images.reshape(codes * frames, tiles, *images.shape[1:])
    pictures = [grid(row, tiles) for row in rows]
    return np.stack(pictures)
