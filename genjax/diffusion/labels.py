"""What nets see of labels, and the one complaint about them; for every algorithm with a field `conditional`."""

from __future__ import annotations

from typing import Any

import jax

from genjax.core import Batch, Spec
from genjax.errors import UserError


def one_hot(given: Batch, cfg: Any, spec: Spec) -> jax.Array | None:
    """given["label"] [B] as [B, classes], or None for an unconditional model. A row of zeros means: no label."""
    return jax.nn.one_hot(given["label"], spec.classes) if cfg.conditional else None


def check_labels(cfg: Any, spec: Spec) -> None:
    """Raises UserError for a conditional model of unlabelled data."""
    if cfg.conditional and not spec.classes:
        raise UserError(
            "--algorithm.conditional=true needs labels and this data set has none: use one with classes, or false."
        )
