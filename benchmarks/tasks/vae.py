"""Two MLP VAEs and a convolutional one."""

from __future__ import annotations

from typing import NamedTuple

LR = 1e-3
DRAWN = 500  # samples in a draw that is timed


class Net(NamedTuple):
    """A VAE with a mirrored decoder: an MLP with `hidden` layers, or a convolutional one with `widths` by level."""

    latent: int
    batch: int
    hidden: tuple[int, ...] = ()
    gated: bool = False
    widths: tuple[int, ...] = ()  # of maps; empty: an MLP

    def __str__(self) -> str:
        sizes = (784, *self.hidden, *self.widths, self.latent)
        gated = "gated " * self.gated
        convolutional = "convolutional " * bool(self.widths)
        return f"{gated}{convolutional}{'-'.join(map(str, sizes))}"


NETS = {
    "published": Net(40, 100, (300, 300), gated=True),  # `python -m experiments.vae`
    "plain": Net(32, 128, (512, 256)),
    "one layer": Net(40, 100, (512,)),  # pythae's, where its user names no net
    "conv": Net(32, 64, widths=(32, 64)),  # the nets of `python -m experiments.vae conv`
}
