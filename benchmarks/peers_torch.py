"""Two public repositories' own training loops, as their users run them: pythae's VAE and smalldiffusion's DiT.

Their nets, losses, optimisers and loaders with the settings they come with; only sizes and batch are given.
"""

from __future__ import annotations

import importlib.util
import itertools
import logging
import sys
import tempfile
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.tasks import CHANNELS, SIDE
from benchmarks.tasks.diffusion import CLASSES, DROP, LR
from benchmarks.tasks.diffusion import NETS as FLOWS
from benchmarks.tasks.vae import NETS as VAES
from benchmarks.turns import blocks

EPOCH = 50  # steps of pythae's VAE in an epoch, for it trains by epochs


class Labelled(Dataset):
    """(image [1, H, W] in [-1, 1], label), as a set of images gives them to a loader."""

    def __init__(self, path: str):
        images = np.load(path, mmap_mode="r")
        pixels = torch.from_numpy(np.ascontiguousarray(images[..., 0])).float()
        self._images = pixels.div_(127.5).sub_(1.0)[:, None]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self._images[i], i % CLASSES


def without_operators() -> None:
    """Lets PyPI's torchvision, which is built for CUDA, be imported beside a PyTorch that is not.

    Its operators are then missing; smalldiffusion imports it for transforms of images, which use none.
    """
    name = "torchvision._meta_registrations"  # says of each operator what shape it returns
    sys.modules[name] = types.ModuleType(name)


def denoiser(path: str) -> Iterator[Any]:
    """smalldiffusion's loop, a step at a time, on the DiT of its example for Fashion-MNIST in our sizes."""
    without_operators()
    from smalldiffusion import ScheduleDDPM, training_loop
    from smalldiffusion.model import CondEmbedderLabel
    from smalldiffusion.model_dit import DiT

    net = FLOWS["dit-196"]
    label = CondEmbedderLabel(net.width, CLASSES, DROP)
    sizes = {"patch_size": net.patch, "depth": net.depth, "head_dim": net.width // net.heads}
    model = DiT(SIDE, CHANNELS, num_heads=net.heads, cond_embed=label, **sizes)
    loader = DataLoader(Labelled(path), net.batch, shuffle=True, drop_last=True)
    yield from training_loop(loader, model, ScheduleDDPM(), lr=LR, conditional=True)


def autoencoder(path: str, folder: str) -> Iterator[Any]:
    """pythae's trainer, an epoch at a time, on the MLP that it takes where no net is named."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    logging.disable(logging.INFO)
    net = VAES["one layer"]
    images = np.load(path, mmap_mode="r")[: EPOCH * net.batch, ..., 0]
    pixels = torch.from_numpy(images / np.float32(255.0))[:, None]
    model = VAE(VAEConfig(input_dim=(CHANNELS, SIDE, SIDE), latent_dim=net.latent))
    settings = BaseTrainerConfig(folder, per_device_train_batch_size=net.batch)
    trainer = BaseTrainer(model, BaseDataset(pixels, torch.zeros(len(pixels))), None, settings)
    trainer.prepare_training()
    for epoch in itertools.count(1):
        yield trainer.train_step(epoch)


def need(peer: str) -> None:
    """Ends the program, with advice, where a repository is not installed."""
    if importlib.util.find_spec(peer) is None:
        sys.exit(f"{peer} is not installed in {sys.executable}: run `make bench-peers`")


def main(peer: str, path: str) -> None:
    """Blocks of so many steps."""
    need(peer)
    with tempfile.TemporaryDirectory() as folder:
        made = denoiser(path) if peer == "smalldiffusion" else autoencoder(path, folder)
        each = 1 if peer == "smalldiffusion" else EPOCH
        for steps in blocks():
            for _ in range(steps // each):
                next(made)


if __name__ == "__main__":
    main(*sys.argv[1:])
