"""A set of zeros, for what asks for shapes alone: the rehearsal of a run whose data are not here."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from genjax.config import field
from genjax.data.source import Source
from genjax.errors import UserError, at_least
from genjax.fields import Category, Image, Points


@dataclasses.dataclass(frozen=True)
class Blank:
    """Examples of any kind, all zero: nothing can be learned from them."""

    kind: Image | Points | Any = field(Image(), "what an example is, of genjax.fields")
    classes: int = field(0, "labels, 0 = unlabelled")
    n: int = field(4096, "training examples, no fewer than a batch")

    def load(self) -> Source:
        """{"image": [N, *shape], "label": int32 [N]}, which take no memory; UserError for sizes that cannot be."""
        at_least(1, data__n=self.n)
        at_least(0, data__classes=self.classes)
        if not hasattr(self.kind, "dtype"):
            raise UserError(
                f"--data.kind={self.kind!r} is no kind of an example: name one, such as 'Image((32, 32, 3))'."
            )
        fields = {"image": self.kind, "label": Category(self.classes)}

        def split(n: int) -> dict[str, np.ndarray]:
            rows = {}
            for name, kind in fields.items():
                zero = np.zeros((), kind.dtype)
                # one number, seen from everywhere
                rows[name] = np.broadcast_to(zero, (n, *kind.shape))
            return rows

        return Source("blank", fields, split(self.n), split(self.n), split(self.n))
