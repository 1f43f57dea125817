"""A data set of one's own: pictures and labels out of a file of arrays.

    python -m dataset --data.path=pictures.npz      as np.savez("pictures.npz", image=..., label=...) wrote it

`image` is [N, H, W, C] or [N, H, W], uint8 or floats in [0, 1]; `label` is [N], whole numbers from 0.
"""

import dataclasses
import functools
import zipfile
from pathlib import Path

import numpy as np

from genjax import cli
from genjax.ae.autoencoder import Autoencoder
from genjax.config import field
from genjax.data import Source
from genjax.errors import UserError
from genjax.fields import Category, Image
from genjax.nets import MLP, Gelu
from genjax.training.experiment import Every, Experiment
from genjax.training.loop import run


@dataclasses.dataclass(frozen=True)
class Arrays:
    """The pictures of an .npz file; every tenth is held out for testing."""

    # the same file elsewhere is the same set: a run knows its data by a hash of some examples
    path: str = field("pictures.npz", "the file", execution=True)
    tenth: int = field(0, "which tenth is the test split, 0 to 9")

    def load(self) -> Source:
        """UserError where the file cannot be read or lacks an array."""
        image, label = self._read()
        if image.ndim == 3:  # grey pictures without a channel
            image = image[..., None]
        # the first field is what is modelled; what the arrays hold is checked against the kinds, in one line
        fields = {
            "image": Image(image.shape[1:]),
            "label": Category(int(label.max()) + 1),
        }
        test = np.arange(len(image)) % 10 == self.tenth
        splits = {}
        for name, rows in (("train", ~test), ("test", test)):
            splits[name] = {"image": image[rows], "label": label[rows].astype(np.int32)}
        return Source(Path(self.path).stem, fields, valid={}, **splits)

    def _read(self) -> tuple[np.ndarray, np.ndarray]:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                return file["image"], file["label"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{self.path} is no file of arrays image and label ({error}): write one by np.savez, and name it by "
                "--data.path=FILE."
            ) from error


BASE = Experiment(
    data=Arrays(),
    algorithm=Autoencoder(16, MLP((256,), Gelu()), MLP((256,), Gelu())),
    steps=1000,
    batch=64,
    every=Every(log=100, evaluate=500, sample=0, save=500),
)
EXPERIMENTS = {"base": BASE}

if __name__ == "__main__":
    cli.main(EXPERIMENTS, functools.partial(run, "arrays"), __doc__)
