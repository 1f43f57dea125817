"""Classifiers fitted on a data set's own training split, which read samples.

A judge is a config value; `fit(train)` of {"image": uint8 [N, H, W, C], "label": [N]} gives a function of
images, uint8 or float in [0, 1].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from genjax.config import field


def rows(images: Any) -> np.ndarray:
    """Images, bytes or floats in [0, 1] -> float32 [N, D] in [0, 1]; what is beyond is clipped, as in a picture."""
    x = np.asarray(images)
    scale = 255.0 if x.dtype == np.uint8 else 1.0
    flat = x.reshape(len(x), -1).astype(np.float32)  # [N, D]
    return np.clip(flat / scale, 0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Svm:
    """Support vector machine with a Gaussian kernel, for small sets: 98 % on the digits' test split."""

    gamma: float = field(0.1, "of exp(-gamma |x - y|²), pixels in [0, 1]")
    c: float = field(10.0, "weight of the errors")

    def fit(self, train: dict[str, Any]) -> Callable[[Any], np.ndarray]:
        """images [N, ...] -> labels [N]."""
        from sklearn.svm import SVC  # here, as it takes a second to import

        real = rows(train["image"])
        labels = np.asarray(train["label"])
        machine = SVC(gamma=self.gamma, C=self.c).fit(real, labels)
        return lambda images: machine.predict(rows(images))


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """Majority of the nearest training images on principal components, for larger sets."""

    k: int = field(5, "neighbours")
    components: int = field(64, "principal components")

    def fit(self, train: dict[str, Any]) -> Callable[[Any], np.ndarray]:
        """images [N, ...] -> labels [N]."""
        from sklearn.decomposition import PCA
        from sklearn.neighbors import KNeighborsClassifier

        real = rows(train["image"])
        labels = np.asarray(train["label"])
        # no more components than examples or pixels; by the covariance, [D, D] however many examples there are
        k = min(self.components, *real.shape)
        pca = PCA(k, svd_solver="covariance_eigh").fit(real)
        vote = KNeighborsClassifier(self.k).fit(pca.transform(real), labels)

        def read(images: Any) -> np.ndarray:
            codes = pca.transform(rows(images))  # [N, k]
            return vote.predict(codes)

        return read


Classifier = Svm | Neighbours
