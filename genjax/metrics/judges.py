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
from genjax.metrics.components import principal, rows


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
        machine = SVC(gamma=self.gamma, C=self.c)  # type: ignore  # its stub knows no numbers
        machine.fit(real, labels)
        return lambda images: machine.predict(rows(images))


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """Majority of the nearest training images on principal components, for larger sets."""

    k: int = field(5, "neighbours")
    components: int = field(64, "principal components")

    def fit(self, train: dict[str, Any]) -> Callable[[Any], np.ndarray]:
        """images [N, ...] -> labels [N]."""
        from sklearn.neighbors import KNeighborsClassifier

        labels = np.asarray(train["label"])
        # no more components than examples or pixels
        pca = principal(train["image"], self.components)
        known = pca.codes(rows(train["image"]))  # [N, k]
        vote = KNeighborsClassifier(self.k).fit(known, labels)

        def read(images: Any) -> np.ndarray:
            codes = pca.codes(rows(images))  # [N, k]
            return vote.predict(codes)

        return read


Classifier = Svm | Neighbours
