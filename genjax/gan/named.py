"""Named GANs as configs of one algorithm. The nets here suit images divisible by 4; any pair may take their place."""

from __future__ import annotations

from genjax.ema import Decay
from genjax.gan.games import Hinge, NonSaturating, Relativistic, Wasserstein
from genjax.gan.gan import GAN
from genjax.gan.penalties import R1, R2, Gradient
from genjax.nets import (
    DcganDiscriminator,
    DcganGenerator,
    R3Discriminator,
    R3Generator,
    ResnetDiscriminator,
    ResnetGenerator,
)
from genjax.optim import Adam

# Radford et al. 2016, arXiv:1511.06434
DCGAN = GAN(
    gen=DcganGenerator(),
    disc=DcganDiscriminator(),
    game=NonSaturating(),
    penalties=(),
    optimiser=Adam(2e-4, b1=0.5),
    disc_optimiser=Adam(2e-4, b1=0.5),
    ema=Decay(0.0),
)

# Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1, with Adam for its RMSProp
WGAN = GAN(
    gen=DcganGenerator(),
    disc=DcganDiscriminator(norm=False),
    game=Wasserstein(),
    penalties=(),
    critic_steps=5,
    weight_clip=0.01,
    optimiser=Adam(5e-5, b1=0.0, b2=0.9),
    disc_optimiser=Adam(5e-5, b1=0.0, b2=0.9),
    ema=Decay(0.0),
)

# Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1
WGAN_GP = GAN(
    gen=DcganGenerator(),
    disc=DcganDiscriminator(norm=False),
    game=Wasserstein(),
    penalties=(Gradient(10.0),),
    critic_steps=5,
    optimiser=Adam(1e-4, b1=0.0, b2=0.9),
    disc_optimiser=Adam(1e-4, b1=0.0, b2=0.9),
    ema=Decay(0.0),
)

# Miyato et al. 2018, arXiv:1802.05957, with two time scales (Heusel et al. 2017, arXiv:1706.08500)
SNGAN_HINGE = GAN(
    gen=ResnetGenerator(),
    disc=ResnetDiscriminator(),
    game=Hinge(),
    penalties=(),
    optimiser=Adam(1e-4, b1=0.0, b2=0.9),
    disc_optimiser=Adam(4e-4, b1=0.0, b2=0.9),
)

# Mescheder et al. 2018, arXiv:1801.04406; lazily as in StyleGAN2 (arXiv:1912.04958, app. B)
R1_NS = GAN(
    gen=ResnetGenerator(),
    disc=ResnetDiscriminator(spectral=False),
    game=NonSaturating(),
    penalties=(R1(1.0),),
    every=4,
    optimiser=Adam(2e-4, b1=0.0, b2=0.99),
    disc_optimiser=Adam(2e-4, b1=0.0, b2=0.99),
)

# Huang et al. 2024, arXiv:2501.05441
R3GAN = GAN(
    gen=R3Generator(),
    disc=R3Discriminator(),
    game=Relativistic(),
    penalties=(R1(1.0), R2(1.0)),
    optimiser=Adam(2e-4, b1=0.0, b2=0.99),
    disc_optimiser=Adam(2e-4, b1=0.0, b2=0.99),
)

ALL = {
    "dcgan": DCGAN,
    "wgan": WGAN,
    "wgan_gp": WGAN_GP,
    "sngan_hinge": SNGAN_HINGE,
    "r1_ns": R1_NS,
    "r3gan": R3GAN,
}
