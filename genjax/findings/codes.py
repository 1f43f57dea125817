"""Models with a latent space: reconstructions, paths between codes, the error beside PCA's, holes in the plane."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.ae import autoencoder as ae
from genjax.conditions import told
from genjax.config import field
from genjax.core import averaged, size
from genjax.errors import UserError
from genjax.findings.samples import check_images, show
from genjax.pictures import latent
from genjax.pictures.draw import grid, scatter
from genjax.training.experiment import Experiment
from genjax.training.loop import run
from genjax.training.run import Run
from genjax.vae import vae

LARGEST = 4096  # values an image may have for PCA: its covariance has the square of that


def first_examples(this: Run, n: int) -> dict[str, jax.Array]:
    """n test examples as a batch; a small set starts again."""
    test = this.source.test
    rows = np.arange(n) % size(test)
    return {name: jnp.asarray(array[rows]) for name, array in test.items()}


def beside(first: Any, second: Any) -> np.ndarray:
    """Two sets of images [N, *shape] in turn, [2 N, *shape]: pairs next to each other in a grid."""
    pairs = np.stack([np.asarray(first), np.asarray(second)], 1)
    return pairs.reshape(-1, *pairs.shape[2:])


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """An autoencoder's test error beside PCA's at the same size; pairs of images; paths between codes."""

    angle: bool = field(False, "compare the decoder's subspace with PCA's (linear nets)")
    images: int = field(8, "images in a row of a picture")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what cannot be drawn or compared."""
        check_images(source)
        if self.angle and getattr(exp.algorithm.dec, "hidden", None) != ():
            raise UserError(
                "--finish.Reconstruction.angle=true compares linear nets with PCA: use false with others."
            )

    def __call__(self, this: Run) -> None:
        self.draw(this)
        mse = float(this.evaluate(this.source.test)["mse"].mean(dtype=np.float64))
        n = size(this.source.test)
        this.log.note(f"test  MSE {mse:.5f} ({-10 * np.log10(mse):.2f} dB) of {n} images")
        this.log.result("reconstruction", {"mse": mse, "n": n})
        if np.prod(this.spec.shape) <= LARGEST:
            self.compare(this, mse)

    def draw(self, this: Run) -> None:
        """Test images beside their reconstructions, and paths between the codes of pairs of them."""
        n, cfg, spec, params = self.images, this.exp.algorithm, this.spec, averaged(this.state)
        x = spec.unit(first_examples(this, n * n // 2))
        z = jax.jit(ae.encode, static_argnums=2)(params, x, cfg)
        render = jax.jit(ae.render, static_argnums=(2, 3))
        show(this, "reconstructions", grid(beside(x, render(params, z, cfg, spec)), n))
        for name, path in (("linear", latent.lerp), ("spherical", latent.slerp)):
            codes = path(z[:n], z[n : 2 * n], n).reshape(n * n, -1)
            show(this, f"interpolation-{name}", grid(render(params, codes, cfg, spec), n))

    def compare(self, this: Run, mse: float) -> None:
        """PCA of the same size on the same data."""
        from sklearn.decomposition import PCA

        train, test = (
            np.asarray(split[this.spec.main], np.float32).reshape(size(split), -1) / 255
            for split in (this.source.train, this.source.test)
        )
        components = min(this.exp.algorithm.latent, *train.shape)
        pca = PCA(components, svd_solver="covariance_eigh").fit(train)
        rebuilt = pca.inverse_transform(pca.transform(test))
        floor = float(np.mean(np.square(rebuilt - test), dtype=np.float64))
        values = {"pca_mse": floor, "ratio": mse / floor}
        if self.angle:
            values |= angles(averaged(this.state), pca.components_)
        this.log.result("reconstruction", values)
        this.log.note(f"      PCA {floor:.5f}, ratio {mse / floor:.4f}")
        if self.angle:
            told = f"largest {values['largest_angle']:.2f}, mean {values['mean_angle']:.2f} degrees"
            this.log.note(f"      angles to PCA's subspace: {told}")


def angles(params: dict, components: np.ndarray) -> dict[str, float]:
    """Principal angles [degrees] between a linear decoder's column space and the rows of `components` [k, D]."""
    from scipy.linalg import subspace_angles

    (layer,) = params["dec"].values()
    degrees = np.degrees(subspace_angles(np.asarray(layer["kernel"]).T, components.T))
    return {"largest_angle": float(degrees.max()), "mean_angle": float(degrees.mean())}


@dataclasses.dataclass(frozen=True)
class VaePictures:
    """A VAE's samples, reconstructions, paths between codes, and a traversal of the latents that vary most."""

    images: int = field(8, "images in a row of a picture")

    def __call__(self, this: Run) -> None:
        n, cfg, spec = self.images, this.exp.algorithm, this.spec
        if len(spec.shape) != 3:  # points of the plane are no pictures
            return
        params, batch = averaged(this.state), first_examples(this, n * n // 2)
        show(this, "samples", this.picture(n * n))
        rebuilt = jax.jit(vae.reconstruct, static_argnums=(2, 3))(params, batch, cfg, spec)
        show(this, "reconstructions", grid(beside(spec.unit(batch), rebuilt), n))

        render = jax.jit(vae.render, static_argnums=(3, 4))
        mu, _ = vae.encode(params, spec.unit(batch), told(cfg.condition, batch, spec), cfg)
        for name, path in (("spherical", latent.slerp), ("linear", latent.lerp)):
            z = path(mu[:n], mu[n : 2 * n], n).reshape(n * n, -1)
            given = {key: jnp.repeat(value[:n], n, 0) for key, value in batch.items()}
            show(this, f"interpolation-{name}", grid(render(params, z, given, cfg, spec), n))

        dims = jnp.argsort(-jnp.var(mu, 0))[:n]  # the latents that say most about these images
        z = latent.traverse(mu[0], dims, jnp.linspace(-3.0, 3.0, n)).reshape(-1, cfg.latent)
        given = {key: jnp.repeat(value[:1], len(z), 0) for key, value in batch.items()}
        show(this, "traversal", grid(render(params, z, given, cfg, spec), n))


@dataclasses.dataclass(frozen=True)
class Plane:
    """Trains the VAE twin of an autoencoder with two latents, and compares the two planes.

    Both are decoded on a grid over the box that holds 96 % of each latent. Two numbers tell of holes: the share of that
    box's 32 x 32 cells in which no training image is encoded, and how far decoded points lie from the nearest training
    image, in units of the same distance for reconstructions of test images.
    """

    twin: vae.VAE = field(
        vae.VAE(latent=2), "the VAE beside it; its run is the autoencoder's in all else"
    )
    samples: int = field(1000, "points of the plane whose nearest training image is sought")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError unless both have planes of images."""
        check_images(source)
        if exp.algorithm.latent != 2 or self.twin.latent != 2:
            raise UserError(
                "the planes of two models are compared: leave --algorithm.latent and --finish.Plane.twin.latent at 2."
            )

    def __call__(self, this: Run) -> None:
        twin = dataclasses.replace(this.exp, algorithm=self.twin, finish=())
        for name, model in (("autoencoder", this), ("vae", run("autoencoder", twin, "plane-vae"))):
            self.compare(this, name, model)

    def compare(self, this: Run, name: str, model: Run) -> None:
        """Pictures and the two numbers of one model."""
        train, test = this.source.train, this.source.test
        render = decoder(model)
        codes = model.encode(train)
        low, high = np.quantile(codes, [0.02, 0.98], axis=0)
        counts, *_ = np.histogram2d(*codes.T, bins=32, range=np.stack([low, high], 1))
        uniform = np.random.default_rng(0).random((self.samples, 2))
        box = (low + (high - low) * uniform).astype(np.float32)
        some = {key: array[: self.samples] for key, array in test.items()}
        away = nearest(np.asarray(render(box)), train[this.spec.main])
        near = nearest(np.asarray(render(model.encode(some))), train[this.spec.main])
        distance = float(away.mean() / near.mean())
        values = {"empty": float((counts == 0).mean()), "distance": distance}
        this.log.result(f"plane_{name}", values)
        points = latent.plane(jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32), 20)
        show(this, f"plane-{name}", grid(render(points), 20, pad=0, zoom=1))
        places = 2 * (codes[:10_000] - low) / (high - low) - 1  # in coordinates of the box
        colours = train["label"][:10_000]
        show(this, f"codes-{name}", scatter(places, limit=1.3, colours=colours, side=480))
        this.log.note(
            f"{name}: {100 * values['empty']:.1f} % of the plane's cells hold no code; decoded points lie "
            f"{distance:.3f} times as far from the nearest training image as reconstructions do"
        )


def decoder(this: Run) -> Callable[[Any], jax.Array]:
    """codes [B, latent] -> examples in unit values, compiled, with the run's weights as they are."""
    decode, key, state = jax.jit(this.algorithm.decode), this.key(1), this.state
    return lambda codes: decode(key, state, jnp.asarray(codes))


def nearest(x: np.ndarray, train: np.ndarray, chunk: int = 10_000) -> np.ndarray:
    """Mean squared distance of each x [B, H, W, C] in [0, 1] to its nearest image of train (uint8), [B]."""
    x = x.reshape(len(x), -1)
    best = np.full(len(x), np.inf)
    for i in range(0, len(train), chunk):
        t = train[i : i + chunk].reshape(-1, x.shape[1]).astype(np.float32) / 255
        products = x @ t.T
        # |x - t|² = |x|² - 2 x t + |t|²
        square = np.square(x).sum(1)[:, None] - 2 * products + np.square(t).sum(1)[None]
        best = np.minimum(best, square.min(1))
    return best / x.shape[1]
