"""The hand counts of work against PyTorch's own counter. PyTorch is an extra: without it nothing is tested here."""

import pytest

pytest.importorskip("torch", reason="PyTorch is installed by `make bench`")


def test_a_gan_step_has_the_work_that_pytorch_counts():
    import torch
    from torch.utils.flop_counter import FlopCounterMode, _FlopCounterMode

    from benchmarks import gan, gan_torch

    for name, net in gan.NETS.items():
        step, _ = gan_torch.stepper(gan_torch.Game(name), gan_torch.as_is)
        image, z = torch.zeros(net.batch, 1, 28, 28, dtype=torch.uint8), torch.randn(net.batch, gan.LATENT)
        counter = FlopCounterMode(display=False)
        with _FlopCounterMode(counter):  # the public mode cannot look through torch.autograd.grad
            step(image, z, z)
        assert counter.get_total_flops() == pytest.approx(gan.work(name), rel=0.01)
