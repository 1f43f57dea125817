"""Image -> image: what can a trained diffusion model do to a picture that it has never seen?

    python -m experiments.edit            on the model of experiments.diffusion: noise and back, holes, blocks, blends
    python -m experiments.edit digits     the same on the model of `experiments.diffusion digits`
    python -m experiments.edit coarse     a model that is trained to see the coarse image beside the noise
    python -m experiments.edit colour     colourising by a model that is trained to see the grey image

Trains the model first if its run is not there. Every restoration is measured: the mean squared error over what was lost
(lower is not better pictures: the mean of all answers has the least), and how far the result is from what was known.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from experiments import diffusion
from experiments.diffusion import check_images
from genjax import cli, latent
from genjax.config import edit, field
from genjax.core import averaged, example_normal
from genjax.data import Digits, Photographs
from genjax.data.corruptions import Coarse, Grey, Hole, Projection
from genjax.data.images import grid, signed, unsigned
from genjax.diffusion import edit as editing
from genjax.diffusion import gaussian, samplers
from genjax.diffusion.guidance import Guidance
from genjax.errors import at_least
from genjax.train import Experiment, Run, run


@dataclasses.dataclass(frozen=True)
class Edits:
    """After training: SDEdit, inpainting, restoration by guidance, interpolation in noise, as PNG and numbers."""

    images: int = field(8, "test images that are edited")
    steps: int = field(40, "denoising steps")
    strengths: tuple[float, ...] = field((0.3, 0.7, 1.5, 4.0), "noise levels sigma / alpha to which SDEdit goes up")
    hole: Hole = field(Hole(), "what is missing for inpainting")
    repeats: int = field(5, "RePaint's resampling of each step")
    coarse: Coarse = field(Coarse(4), "what super-resolution starts from")

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for edits that cannot be made."""
        check_images(source)
        at_least(1, finish__images=self.images, finish__steps=self.steps, finish__repeats=self.repeats)
        jax.eval_shape(self.coarse, jax.ShapeDtypeStruct((1, *source.shape), jnp.float32))  # refuses a bad factor

    def __call__(self, this: Run) -> None:
        for name, tiles, columns in self.pictures(this):
            this.log.note(f"picture {this.log.picture(name, grid(unsigned(tiles), columns))}")

    def pictures(self, this: Run) -> Iterator[tuple[str, jax.Array, int]]:
        """(name, images [N, *shape], columns): one column an image, the first row as it was."""
        n, cfg = self.images, edit(this.exp.algorithm, {"schedule.steps": self.steps})
        image = signed(this.source.test["image"][:n])
        given = {"index": jnp.arange(n, dtype=jnp.uint32), "label": jnp.asarray(this.source.test["label"][:n])}
        params, key = averaged(this.state), this.key(6)
        denoiser = gaussian.guided(params, given, cfg, this.spec)
        sigmas = cfg.schedule(cfg.path)

        def noise(i):
            return example_normal(jax.random.fold_in(key, i), given["index"], this.spec.shape)

        rows = [image]
        for strength in self.strengths:
            levels = jnp.concatenate([jnp.asarray([strength]), sigmas[sigmas < strength]])
            rows.append(jax.jit(lambda levels: editing.sdedit(cfg.sampler, denoiser, image, levels, noise))(levels))
            moved = float(jnp.sqrt(jnp.mean(jnp.square(rows[-1] - image))))
            this.log.note(f"SDEdit from level {strength:g}: {moved:.3f} from the image, root mean square in [-1, 1]")
        yield "sdedit", jnp.concatenate(rows), n

        mask = self.hole.mask(*this.spec.shape[:2])
        filled = jax.jit(lambda: editing.inpaint(denoiser, image, mask, sigmas, noise, self.repeats))()
        guided = self.restored(this, cfg, denoiser, image, self.hole, sigmas, noise)
        report(this, "RePaint", self.hole, image, filled)
        yield "inpainting", jnp.concatenate([image, self.hole(image), filled, *guided]), n

        guided = self.restored(this, cfg, denoiser, image, self.coarse, sigmas, noise)
        yield "super-resolution", jnp.concatenate([image, self.coarse(image), *guided]), n
        if this.spec.shape[-1] == 3:
            guided = self.restored(this, cfg, denoiser, image, Grey(), sigmas, noise)
            yield "colourisation", jnp.concatenate([image, Grey()(image), *guided]), n

        up = jax.jit(lambda: editing.invert(denoiser, image, sigmas))()
        back = jax.jit(lambda up: samplers.sample(samplers.Euler(), denoiser, up, sigmas, samplers.still(up)))(up)
        error = float(jnp.sqrt(jnp.mean(jnp.square(back - image))))
        this.log.result("inversion", {"error": error})
        this.log.note(f"inversion and back, {self.steps} steps each: {error:.4f} from the image, root mean square")
        yield "inversion", jnp.concatenate([image, up / jnp.sqrt(1 + sigmas[0] ** 2), back]), n
        yield "interpolation", self.interpolation(this, cfg, up, sigmas), 8

    def restored(self, this: Run, cfg, denoiser, image, known: Projection, sigmas, noise) -> list[jax.Array]:
        """By replacement and by guidance with the likelihood of what is known."""
        found = []
        for how in (editing.Replace(), editing.PseudoInverse(std=cfg.std)):
            restore = jax.jit(
                lambda how=how: editing.restore(how, known, samplers.DDIM(1.0), denoiser, image, sigmas, noise)
            )
            found.append(restore())
            report(this, repr(how).split("(")[0], known, image, found[-1])
        return found

    def interpolation(self, this: Run, cfg, up: jax.Array, sigmas: jax.Array) -> jax.Array:
        """Great arcs between the noises of pairs of test images, without label: [pairs * 8, *shape]."""
        a, b = up[: self.images // 2].reshape(-1, int(np.prod(this.spec.shape))), up[self.images // 2 :]
        paths = latent.slerp(a, b[: len(a)].reshape(a.shape), 8).reshape(-1, *this.spec.shape)
        label = jnp.zeros((len(paths), this.spec.classes)) if cfg.conditional else None
        denoiser = gaussian.denoiser(averaged(this.state), label, cfg, this.spec)
        return jax.jit(lambda x: samplers.sample(samplers.Euler(), denoiser, x, sigmas, samplers.still(x)))(paths)


def report(this: Run, name: str, known: Projection, image: jax.Array, restored: jax.Array) -> None:
    """Prints and records the error of what was lost, and of what was known, mean squares in [-1, 1]."""
    difference = restored - image
    values = {
        "lost": float(jnp.mean(jnp.square(difference - known(difference)))),
        "nothing_lost": float(jnp.mean(jnp.square(image - known(image)))),
        "known": float(jnp.mean(jnp.square(known(difference)))),
    }
    this.log.result(f"{name} {known!r}", values)
    this.log.note(
        f"{name} of {known!r}: squared error of the lost part {values['lost']:.4f} (left as it is: "
        f"{values['nothing_lost']:.4f}), of the known part {values['known']:.5f}"
    )


@dataclasses.dataclass(frozen=True)
class Conditioned:
    """After training a model that sees degraded images: test images, degraded, restored twice with different noise."""

    images: int = field(8, "test images in the picture")
    measured: int = field(500, "test images that are measured")

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for a model that is not given an image."""
        check_images(source)
        at_least(1, finish__images=self.images, finish__measured=self.measured)

    def __call__(self, this: Run) -> None:
        test, cfg = this.source.test, this.exp.algorithm
        n = min(self.measured, len(test["image"]))
        rows = {name: np.asarray(test[name][:n]) for name in ("image", "label")}
        x = [this.draw(this.algorithm.sample, rows | {"index": np.arange(i, i + n, dtype=np.uint32)}) for i in (0, n)]
        image = signed(rows["image"])
        report(this, "conditioned", cfg.given, image, signed(x[0]))
        k = self.images
        tiles = jnp.concatenate([image[:k], cfg.given(image[:k]), signed(x[0][:k]), signed(x[1][:k])])
        this.log.note(f"picture {this.log.picture('restored', grid(unsigned(tiles), k))}")


_PHOTOGRAPHS = {
    "data": Photographs(),
    "algorithm.conditional": False,
    "algorithm.guidance": Guidance(),
    "algorithm.given": Grey(),
    "finish": Conditioned(),
}

EXPERIMENTS = {
    "base": edit(diffusion.BASE, {"finish": Edits()}),
    "digits": edit(diffusion.EXPERIMENTS["digits"], {"finish": Edits(coarse=Coarse(2))}),
    "coarse": edit(
        diffusion.EXPERIMENTS["digits"], {"data": Digits(), "algorithm.given": Coarse(4), "finish": Conditioned()}
    ),
    "colour": edit(diffusion.BASE, {**_PHOTOGRAPHS, "steps": 3000}),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "diffusion"), __doc__)
