"""How well do 64 numbers hold a picture of Fashion-MNIST: linear, deep and convolutional autoencoders against PCA.

    python -m experiments.autoencoder linear64     test MSE beside PCA's own, and the angle between the subspaces
    python -m experiments.autoencoder deep64
    python -m experiments.autoencoder conv64
    python -m experiments.autoencoder plane        two latents, autoencoder against VAE: which plane has holes?

Published for 64 latents (pixels in [0, 1], full test set): linear .01047, plain MLP .00971, ViT .00493.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from genjax import cli
from genjax.ae import autoencoder as ae
from genjax.config import edit, field
from genjax.core import averaged
from genjax.data import FashionMNIST
from genjax.errors import UserError
from genjax.nets import MLP, ConvDecoder, ConvEncoder, Gelu
from genjax.optim import Adam, CosineDecay
from genjax.pictures import latent
from genjax.pictures.draw import grid, to_float
from genjax.training.loop import Experiment, Published, run
from genjax.training.run import Run
from genjax.vae import vae

LARGEST = 4096  # values an image may have for PCA: its covariance has the square of that


@dataclasses.dataclass(frozen=True)
class Report:
    """After training: reconstructions and interpolations as PNG; the test error beside PCA's at the same size."""

    angle: bool = field(False, "compare the decoder's subspace with PCA's (linear nets)")

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError for what cannot be drawn or compared."""
        _check_images(source)
        if self.angle and getattr(exp.algorithm.dec, "hidden", None) != ():
            raise UserError(
                "--finish.angle=true compares linear nets with PCA: use --finish.angle=false with others."
            )

    def __call__(self, this: Run) -> None:
        for path in pictures(this):
            this.log.note(f"picture {path}")
        mse = float(this.evaluate(this.source.test)["mse"].mean(dtype=np.float64))
        this.log.note(f"test  MSE {mse:.5f} ({-10 * np.log10(mse):.2f} dB)")
        this.log.result("reconstruction", {"mse": mse})
        if np.prod(this.spec.shape) <= LARGEST:
            self.compare(this, mse)

    def compare(self, this: Run, mse: float) -> None:
        """PCA of the same size on the same data."""
        from sklearn.decomposition import PCA

        train, test = (
            np.asarray(split["image"], np.float32).reshape(len(split["image"]), -1) / 255
            for split in (this.source.train, this.source.test)
        )
        pca = PCA(min(this.exp.algorithm.latent, *train.shape), svd_solver="covariance_eigh").fit(
            train
        )
        floor = float(
            np.mean(np.square(pca.inverse_transform(pca.transform(test)) - test), dtype=np.float64)
        )
        values = {"pca_mse": floor, "ratio": mse / floor}
        if self.angle:
            values |= angles(averaged(this.state), pca.components_)
        this.log.result("reconstruction", values)
        this.log.note(f"      PCA {floor:.5f}, ratio {mse / floor:.4f}")
        if self.angle:
            largest, mean = values["largest_angle"], values["mean_angle"]
            this.log.note(
                f"      angles to PCA's subspace: largest {largest:.2f}, mean {mean:.2f} degrees"
            )


def _check_images(source) -> None:
    if len(source.shape) != 3:
        raise UserError(
            f"this experiment draws images and {source.name} has none: use --finish=None to train alone."
        )


def angles(params: dict, components: np.ndarray) -> dict[str, float]:
    """Principal angles [degrees] between a linear decoder's column space and the rows of `components` [k, D]."""
    from scipy.linalg import subspace_angles

    (layer,) = params["dec"].values()
    degrees = np.degrees(subspace_angles(np.asarray(layer["kernel"]).T, components.T))
    return {"largest_angle": float(degrees.max()), "mean_angle": float(degrees.mean())}


def pictures(this: Run, n: int = 8):
    """Writes the pictures of a trained autoencoder; yields their paths."""
    cfg, spec, params = this.exp.algorithm, this.spec, averaged(this.state)
    test = this.source.test["image"]
    x = jnp.asarray(test[np.arange(n * n // 2) % len(test)])  # a small set starts again
    z = jax.jit(ae.encode, static_argnums=2)(params, x, cfg)
    render = jax.jit(ae.render, static_argnums=(2, 3))
    rows = np.stack([np.asarray(to_float(x)), np.asarray(render(params, z, cfg, spec))], 1)
    yield this.log.picture("reconstructions", grid(rows.reshape(-1, *spec.shape), n))
    for name, path in (("linear", latent.lerp), ("spherical", latent.slerp)):
        codes = path(z[:n], z[n : 2 * n], n).reshape(n * n, -1)
        yield this.log.picture(f"interpolation-{name}", grid(render(params, codes, cfg, spec), n))


@dataclasses.dataclass(frozen=True)
class Plane:
    """After training an autoencoder with two latents, trains its VAE twin and compares the two planes.

    Both are decoded on a grid over the box that holds 96 % of each latent. Two numbers tell of holes: the share of that
    box's 32 x 32 cells in which no training image is encoded, and how far decoded points lie from the nearest training
    image, in units of the same distance for reconstructions of test images.
    """

    twin: vae.VAE = field(
        vae.VAE(latent=2), "the VAE beside it; its run is the autoencoder's in all else"
    )
    samples: int = field(1000, "points of the plane whose nearest training image is sought")

    def check(self, exp: Experiment, source) -> None:
        """Raises UserError unless both have planes of images."""
        _check_images(source)
        if exp.algorithm.latent != 2 or self.twin.latent != 2:
            raise UserError(
                "the planes of two models are compared: leave --algorithm.latent and --finish.twin.latent at 2."
            )

    def __call__(self, this: Run) -> None:
        other = run(
            "autoencoder",
            dataclasses.replace(this.exp, algorithm=self.twin, finish=None),
            "plane-vae",
        )
        cfg, twin = this.exp.algorithm, other.exp.algorithm
        params, twin_params = averaged(this.state), averaged(other.state)
        encode_ae = jax.jit(lambda x: ae.encode(params, x, cfg))
        encode_vae = jax.jit(lambda x: vae.encode(twin_params, to_float(x), None, twin)[0])
        render_ae = jax.jit(lambda z: ae.render(params, z, cfg, this.spec))
        render_vae = jax.jit(lambda z: vae.render(twin_params, z, {}, twin, this.spec))
        for name, encode, render in (
            ("autoencoder", encode_ae, render_ae),
            ("vae", encode_vae, render_vae),
        ):
            self.compare(this, name, encode, render)

    def compare(self, this: Run, name: str, encode, render) -> None:
        """Pictures and the two numbers of one model."""
        train, test = this.source.train, this.source.test
        codes = np.concatenate(
            [
                np.asarray(encode(jnp.asarray(train["image"][i : i + 1000])))
                for i in range(0, len(train["image"]), 1000)
            ]
        )
        low, high = np.quantile(codes, [0.02, 0.98], axis=0)
        counts, *_ = np.histogram2d(*codes.T, bins=32, range=np.stack([low, high], 1))
        box = low + (high - low) * np.random.default_rng(0).random((self.samples, 2))
        rebuilt = render(encode(jnp.asarray(test["image"][: self.samples])))
        away, near = (
            nearest(np.asarray(x), train["image"])
            for x in (render(jnp.asarray(box, jnp.float32)), rebuilt)
        )
        values = {
            "empty": float((counts == 0).mean()),
            "distance": float(away.mean() / near.mean()),
        }
        this.log.result(f"plane_{name}", values)
        tiles = render(
            latent.plane(jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32), 20)
        )
        points = scatter_codes(codes[:10_000], train["label"][:10_000], low, high)
        for kind, image in (("plane", grid(tiles, 20, pad=0, zoom=1)), ("codes", points)):
            this.log.note(f"picture {this.log.picture(f'{kind}-{name}', image)}")
        this.log.note(
            f"{name}: {100 * values['empty']:.1f} % of the plane's cells hold no code; decoded points lie "
            f"{values['distance']:.3f} times as far from the nearest training image as reconstructions do"
        )


def nearest(x: np.ndarray, train: np.ndarray, chunk: int = 10_000) -> np.ndarray:
    """Mean squared distance of each x [B, H, W, C] in [0, 1] to its nearest image of train (uint8), [B]."""
    x = x.reshape(len(x), -1)
    best = np.full(len(x), np.inf)
    for i in range(0, len(train), chunk):
        t = train[i : i + chunk].reshape(-1, x.shape[1]).astype(np.float32) / 255
        square = np.square(x).sum(1)[:, None] - 2 * x @ t.T + np.square(t).sum(1)[None]
        best = np.minimum(best, square.min(1))
    return best / x.shape[1]


def scatter_codes(
    codes: np.ndarray, labels: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Codes [N, 2] coloured by class, in coordinates of the box low..high."""
    from genjax.pictures.draw import scatter

    return scatter(2 * (codes - low) / (high - low) - 1, limit=1.3, colours=labels, side=480)


BASE = Experiment(
    data=FashionMNIST(),
    algorithm=ae.Autoencoder(latent=64, optimiser=Adam(1e-3, warmup=500, decay=CosineDecay())),
    steps=20_000,
    batch=256,
    log_every=500,
    evaluate_every=2000,
    sample_every=0,
    save_every=2000,
    chunk=10,
    published=(Published("reconstruction", "mse", 0.01047, "PCA, 64 components"),),
    finish=Report(angle=True),
)

_DEEP = {
    "algorithm.enc": MLP((512, 256), Gelu(), norm=True, skip=True),
    "algorithm.dec": MLP((256, 512), Gelu(), norm=True, skip=True),
}
_OTHERS = {
    "published": (
        Published("reconstruction", "mse", 0.00971, "plain MLP, 64 latents"),
        Published("reconstruction", "mse", 0.00493, "ViT, 64 latents"),
    ),
    "finish": Report(),
}
_PLANE = {
    "enc": MLP((512, 256), Gelu()),
    "dec": MLP((256, 512), Gelu()),
    "optimiser": Adam(1e-3, warmup=500, decay=CosineDecay()),
}

EXPERIMENTS = {
    "base": BASE,
    "linear64": BASE,
    "linear128": edit(
        BASE,
        {
            "algorithm.latent": 128,
            "published": (Published("reconstruction", "mse", 0.00653, "PCA, 128 components"),),
        },
    ),
    "deep64": edit(BASE, {**_DEEP, "steps": 30_000, "batch": 128, **_OTHERS}),
    "bernoulli64": edit(
        BASE, {**_DEEP, "batch": 128, "algorithm.error": ae.BernoulliError(), **_OTHERS}
    ),
    "conv64": edit(
        BASE,
        {
            "algorithm.enc": ConvEncoder((64,), patch=4, skip=True),
            "algorithm.dec": ConvDecoder((64,), patch=4, skip=True),
            "steps": 12_000,
            "batch": 64,
            "chunk": 1,  # convolutions
            **_OTHERS,
        },
    ),
    "plane": edit(
        BASE,
        {
            "algorithm": ae.Autoencoder(latent=2, **_PLANE),
            "steps": 10_000,
            "finish": Plane(vae.VAE(latent=2, **_PLANE)),
        },
    ),
}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "autoencoder"), __doc__)
