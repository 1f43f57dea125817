"""What is compared, as plain data that both sides read: nets, batches, learning rates, and counts of their work.

A file for each family. Neither PyTorch nor JAX is imported here: a side's process has only its own library.
"""

from __future__ import annotations

CHECKED = 3  # steps in which both sides must agree; more would let rounding errors grow
TOLERANCE = 1e-4  # relative, of losses, gradient norms and samples in float32
SIDE, CHANNELS = 28, 1  # of the images that all families are timed on
SAMPLES = 64  # in the check
