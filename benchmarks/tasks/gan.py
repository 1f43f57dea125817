"""Two pairs of nets, each with its game, on images without labels; a StyleGAN2 for the steps of ours alone.

`dcgan`: the non-saturating game without a penalty; `r3gan`: the relativistic game with R1 and R2 at every step.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.tasks import CHANNELS, SIDE

LATENT = 64  # of z
LR = 2e-4  # of both players
CHECK_LR = (
    2e-5  # at LR the players turn so fast that rounding errors grow to 1e-3 in three steps
)
DECAY = 0.999  # of the average of the generator's weights
DRAWN = 500  # samples in a draw that is timed
BATCHES = 50  # made before the first block and then taken in turn


class Dcgan(NamedTuple):
    """`genjax.gan.named.DCGAN`."""

    widths: tuple[int, ...] = (64, 128)
    betas: tuple[float, float] = (0.5, 0.999)  # of Adam
    relativistic: bool = False
    gamma: float = 0.0  # of R1 and R2
    batch: int = 64

    def sizes(self) -> dict[str, object]:
        """What a net of the pair is built from."""
        return {"widths": self.widths}

    def generator(self) -> int:
        """Multiplications in a forward pass of one image."""
        return LATENT * self._features() + self._convolutions()

    def discriminator(self) -> int:
        """Multiplications in a forward pass of one image."""
        return self._convolutions() + self._features()

    def _features(self) -> int:
        side = SIDE // 2 ** len(self.widths)
        return side**2 * self.widths[-1]

    def _convolutions(self) -> int:
        """3x3 at half the size of every level, four times the narrower maps on one side; the same in both nets."""
        total, narrower = 0, CHANNELS
        for level, width in enumerate(self.widths, 1):
            pixels = (SIDE // 2**level) ** 2
            total += pixels * 9 * 4 * narrower * width
            narrower = width
        return total


class R3gan(NamedTuple):
    """The nets and the game of `python -m experiments.gan`, without labels."""

    widths: tuple[int, ...] = (32, 64)
    patch: int = 2
    expansion: int = 2
    betas: tuple[float, float] = (0.0, 0.99)  # of Adam
    relativistic: bool = True
    gamma: float = 0.3  # of R1 and R2
    batch: int = 64

    def sizes(self) -> dict[str, object]:
        """What a net of the pair is built from."""
        return {"widths": self.widths, "patch": self.patch, "expansion": self.expansion}

    def generator(self) -> int:
        """Multiplications in a forward pass of one image."""
        return LATENT * self.widths[-1] + self._convolutions()

    def discriminator(self) -> int:
        """Multiplications in a forward pass of one image."""
        return self._convolutions() + self.widths[-1]

    def _convolutions(self) -> int:
        """Pixels to maps or back, the blocks, and 1x1 between the levels at the smaller size; the same in both nets."""
        largest = SIDE // self.patch
        total, wider = SIDE**2 * CHANNELS * self.widths[0], 0
        for level, width in enumerate(self.widths):
            pixels = (largest // 2**level) ** 2
            inner = self.expansion * width
            block = 2 * width * inner + 9 * inner**2  # 1x1, 3x3, 1x1
            between = wider * width  # nothing above the first level
            total += pixels * (block + between)
            wider = width
        return total


NETS = {"dcgan": Dcgan(), "r3gan": R3gan()}


class Style(NamedTuple):
    """A StyleGAN2 on images of noise with three channels."""

    side: int
    widths: tuple[int, ...]
    batch: int


STYLES = {"full": Style(64, (32, 64, 128, 128, 128), 16), "quick": Style(16, (8, 16), 4)}


def work(name: str, job: str = "train") -> float:
    """FLOPs of the products and convolutions in a step or a draw, two for each multiplication, counted by hand.

    The gradient of a net's weights costs two more forward passes, that in its input alone one. With R1 and R2, D's
    input gradient is itself differentiated, so data and samples cost six passes of D each instead of three.
    """
    net = NETS[name]
    g, d = net.generator(), net.discriminator()
    if job == "sample":
        return 2.0 * DRAWN * g
    of_disc = g + 2 * d * (6 if net.gamma else 3)
    of_gen = 3 * g + d * (
        3 if net.relativistic else 2
    )  # a relativistic generator wants D(x) too
    return 2.0 * net.batch * (of_disc + of_gen)
