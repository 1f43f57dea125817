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
from genjax.data.batches import chosen
from genjax.errors import UserError
from genjax.findings.samples import check_images, show, some
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
    rows = chosen(n, size(test))  # [n]
    batch = {}
    for name, array in test.items():
        batch[name] = jnp.asarray(array[rows])
    return batch


def beside(first: Any, second: Any) -> np.ndarray:
    """Two sets of images [N, *shape] in turn, [2 N, *shape]: pairs next to each other in a grid."""
    left, right = np.asarray(first), np.asarray(second)
    pairs = np.stack([left, right], 1)  # [N, 2, *shape]
    return pairs.reshape(-1, *pairs.shape[2:])


def repeated(batch: dict[str, jax.Array], rows: int, times: int) -> dict[str, jax.Array]:
    """The first `rows` examples, each `times` times: a path between codes keeps the conditions of its start."""
    given = {}
    for name, value in batch.items():
        given[name] = jnp.repeat(value[:rows], times, 0)
    return given


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """An autoencoder's test error beside PCA's at the same size; pairs of images; paths between codes."""

    angle: bool = field(False, "compare the decoder's subspace with PCA's (linear nets)")
    images: int = field(8, "images in a row of a picture")

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for what cannot be drawn or compared."""
        check_images(source)
        if not self.angle:
            return
        hidden = getattr(exp.algorithm.dec, "hidden", None)
        # only a single linear layer has a column space to compare
        if hidden != ():
            raise UserError(
                "--finish.Reconstruction.angle=true compares linear nets with PCA: use false with others."
            )

    def __call__(self, this: Run) -> None:
        self.draw(this)
        test = this.source.test
        errors = this.evaluate(test)["mse"]  # [N]
        mse = float(errors.mean(dtype=np.float64))
        n = size(test)
        decibels = -10 * np.log10(mse)  # PSNR of pixels in [0, 1]
        this.log.note(f"test  MSE {mse:.5f} ({decibels:.2f} dB) of {n} images")
        this.log.result("reconstruction", {"mse": mse, "n": n})
        dimensions = np.prod(this.spec.shape)
        small = dimensions <= LARGEST
        if small:
            self.compare(this, mse)

    def draw(self, this: Run) -> None:
        """Test images beside their reconstructions, and paths between the codes of pairs of them."""
        n, cfg, spec = self.images, this.exp.algorithm, this.spec
        params = averaged(this.state)
        # each image takes two tiles: n²/2 of them fill an n x n grid
        examples = first_examples(this, n * n // 2)
        x = spec.unit(examples)  # [n²/2, *shape]
        encode = jax.jit(ae.encode, static_argnums=2)
        render = jax.jit(ae.render, static_argnums=(2, 3))
        z = encode(params, x, cfg)  # [n²/2, latent]
        rebuilt = render(params, z, cfg, spec)
        pairs = beside(x, rebuilt)
        show(this, "reconstructions", grid(pairs, n))
        starts, ends = z[:n], z[n : 2 * n]
        for name, path in (("linear", latent.lerp), ("spherical", latent.slerp)):
            codes = path(starts, ends, n)  # [n, n, latent]: a path a row
            images = render(params, codes.reshape(n * n, -1), cfg, spec)
            show(this, f"interpolation-{name}", grid(images, n))

    def compare(self, this: Run, mse: float) -> None:
        """PCA of the same size on the same data."""
        from sklearn.decomposition import PCA

        name = this.spec.main
        train = flat(this.source.train, name)  # [N, D]
        test = flat(this.source.test, name)
        # there are no more components than examples or pixels
        components = min(this.exp.algorithm.latent, *train.shape)
        # eigenvectors of the covariance [D, D]: quick where N is much larger than D
        pca = PCA(components, svd_solver="covariance_eigh")
        pca.fit(train)
        codes = pca.transform(test)
        rebuilt = pca.inverse_transform(codes)
        square = np.square(rebuilt - test)
        floor = float(np.mean(square, dtype=np.float64))
        ratio = mse / floor
        values = {"pca_mse": floor, "ratio": ratio}
        if self.angle:
            values |= angles(averaged(this.state), pca.components_)
        this.log.result("reconstruction", values)
        this.log.note(f"      PCA {floor:.5f}, ratio {ratio:.4f}")
        if self.angle:
            largest, mean = values["largest_angle"], values["mean_angle"]
            told = f"largest {largest:.2f}, mean {mean:.2f} degrees"
            this.log.note(f"      angles to PCA's subspace: {told}")


def flat(split: dict[str, Any], name: str) -> np.ndarray:
    """The images of a split as rows, float32 [N, D] in [0, 1]."""
    pixels = np.asarray(split[name], np.float32)
    return pixels.reshape(size(split), -1) / 255


def angles(params: dict, components: np.ndarray) -> dict[str, float]:
    """Principal angles [degrees] between a linear decoder's column space and the rows of `components` [k, D]."""
    from scipy.linalg import subspace_angles

    (layer,) = params["dec"].values()  # fails, as it should, for more than one layer
    kernel = np.asarray(layer["kernel"])  # [k, D]
    radians = subspace_angles(kernel.T, components.T)
    degrees = np.degrees(radians)  # [k], the largest first
    largest, mean = float(degrees.max()), float(degrees.mean())
    return {"largest_angle": largest, "mean_angle": mean}


@dataclasses.dataclass(frozen=True)
class VaePictures:
    """A VAE's samples, reconstructions, paths between codes, and a traversal of the latents that vary most."""

    images: int = field(8, "images in a row of a picture")

    def __call__(self, this: Run) -> None:
        n, cfg, spec = self.images, this.exp.algorithm, this.spec
        if len(spec.shape) != 3:  # points of the plane are no pictures
            return
        params = averaged(this.state)
        batch = first_examples(this, n * n // 2)
        x = spec.unit(batch)  # [n²/2, *shape]
        show(this, "samples", this.picture(n * n))
        reconstruct = jax.jit(vae.reconstruct, static_argnums=(2, 3))
        rebuilt = reconstruct(params, batch, cfg, spec)
        pairs = beside(x, rebuilt)
        show(this, "reconstructions", grid(pairs, n))

        render = jax.jit(vae.render, static_argnums=(3, 4))
        cond = told(cfg.condition, batch, spec)
        mu, _ = vae.encode(params, x, cond, cfg)  # [n²/2, latent]
        given = repeated(batch, n, n)
        for name, path in (("spherical", latent.slerp), ("linear", latent.lerp)):
            z = path(mu[:n], mu[n : 2 * n], n)  # [n, n, latent]: a path a row
            images = render(params, z.reshape(n * n, -1), given, cfg, spec)
            show(this, f"interpolation-{name}", grid(images, n))

        spread = jnp.var(mu, 0)  # [latent]
        dims = jnp.argsort(-spread)[:n]  # the latents that say most about these images
        values = jnp.linspace(-3.0, 3.0, n)  # three standard deviations of the prior
        z = latent.traverse(mu[0], dims, values)
        z = z.reshape(-1, cfg.latent)
        given = repeated(batch, 1, len(z))
        images = render(params, z, given, cfg, spec)
        show(this, "traversal", grid(images, n))


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
        latents = (exp.algorithm.latent, self.twin.latent)
        if latents != (2, 2):
            raise UserError(
                "the planes of two models are compared: leave --algorithm.latent and --finish.Plane.twin.latent at 2."
            )

    def __call__(self, this: Run) -> None:
        # without findings of its own, or it would train a twin in turn
        twin = dataclasses.replace(this.exp, algorithm=self.twin, finish=())
        other = run("autoencoder", twin, "plane-vae")
        self.compare(this, "autoencoder", this)
        self.compare(this, "vae", other)

    def compare(self, this: Run, name: str, model: Run) -> None:
        """Pictures and the two numbers of one model."""
        train, render = this.source.train, decoder(model)
        images = train[this.spec.main]
        codes = model.encode(train)  # [N, 2]
        low, high = np.quantile(codes, [0.02, 0.98], axis=0)  # the box's corners, [2] each
        empty = holes(codes, low, high)

        # the same points of the box for both models: the draws are uniform in [0, 1]²
        uniform = np.random.default_rng(0).random((self.samples, 2))
        box = low + (high - low) * uniform
        decoded = render(box.astype(np.float32))
        away = nearest(np.asarray(decoded), images)  # [samples]
        part = some(this.source.test, self.samples)
        rebuilt = render(model.encode(part))
        near = nearest(np.asarray(rebuilt), images)
        distance = float(away.mean() / near.mean())
        values = {"empty": empty, "distance": distance}
        this.log.result(f"plane_{name}", values)

        corners = [jnp.asarray(corner, jnp.float32) for corner in (low, high)]
        points = latent.plane(*corners, 20)  # [400, 2]
        tiles = render(points)
        plane = grid(tiles, 20, pad=0, zoom=1)
        show(this, f"plane-{name}", plane)
        # 10,000 dots: more of them hide one another
        some_codes = codes[:10_000]
        places = 2 * (some_codes - low) / (high - low) - 1  # in coordinates of the box
        colours = train["label"][:10_000] if "label" in train else None
        dots = scatter(places, limit=1.3, colours=colours, side=480)
        show(this, f"codes-{name}", dots)
        this.log.note(
            f"{name}: {100 * empty:.1f} % of the plane's cells hold no code; decoded points lie "
            f"{distance:.3f} times as far from the nearest training image as reconstructions do"
        )


def holes(codes: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """The share of the box's 32 x 32 cells without a code; codes [N, 2], corners [2]."""
    limits = np.stack([low, high], 1)  # [axis, (low, high)]
    counts, *_ = np.histogram2d(*codes.T, bins=32, range=limits)
    without = counts == 0
    return float(without.mean())


def decoder(this: Run) -> Callable[[Any], jax.Array]:
    """codes [B, latent] -> examples in unit values, compiled, with the run's weights as they are."""
    decode = jax.jit(this.algorithm.decode)
    key, state = this.key(1), this.state

    def rendered(codes: Any) -> jax.Array:
        return decode(key, state, jnp.asarray(codes))

    return rendered


def nearest(x: np.ndarray, train: np.ndarray, chunk: int = 10_000) -> np.ndarray:
    """Mean squared distance of each x [B, H, W, C] in [0, 1] to its nearest image of train (uint8), [B]."""
    x = x.reshape(len(x), -1)  # [B, D]
    dimensions = x.shape[1]
    x_square = np.square(x).sum(1)  # [B]
    best = np.full(len(x), np.inf)
    # in parts: the table of all distances [B, N] need not fit in memory
    for i in range(0, len(train), chunk):
        part = train[i : i + chunk]
        pixels = part.reshape(-1, dimensions).astype(np.float32)
        t = pixels / 255  # [chunk, D]
        t_square = np.square(t).sum(1)  # [chunk]
        products = x @ t.T
        # |x - t|² = |x|² - 2 x t + |t|²
        square = x_square[:, None] - 2 * products + t_square[None]  # [B, chunk]
        best = np.minimum(best, square.min(1))
    return best / dimensions
