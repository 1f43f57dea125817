"""The named models of the field, each as a config of the one Gaussian loss; give each its net by `edit`.

    from genjax.config import edit
    mine = edit(named.EDM, {"net": UNet(), "std": 0.6, "predict.std": 0.6})

`std` is the data's standard deviation in [-1, 1] units. The variance-preserving ones take the data for unit variance,
so that their nets see z itself, as their papers have it.
"""

from __future__ import annotations

from genjax.diffusion import guidance, samplers, schedules, times
from genjax.diffusion.gaussian import Diffusion, MinSNR
from genjax.diffusion.paths import (
    Cosine,
    CosineBeta,
    Eps,
    Exploding,
    Linear,
    LinearBeta,
    Preconditioned,
    V,
    Velocity,
    X,
)

# Ho et al. 2020, arXiv:2006.11239: L_simple, 1000 discrete times, ancestral sampling of clipped images
DDPM = Diffusion(
    path=LinearBeta(),
    time=times.Discrete(1000),
    predict=Eps(),
    std=1.0,
    sampler=samplers.DDPM(),
    # from the last of the thousand times, where the linear schedule still has a little signal
    schedule=schedules.Times(steps=250, first=1.0),
    threshold=guidance.Static(),
)

# Nichol & Dhariwal 2021, arXiv:2102.09672: the same on the cosine schedule, whose last time has no signal
DDPM_COSINE = Diffusion(
    path=CosineBeta(),
    time=times.Discrete(1000),
    predict=Eps(),
    std=1.0,
    sampler=samplers.DDPM(),
    schedule=schedules.Times(steps=250, first=0.998),
    threshold=guidance.Static(),
)

# Salimans & Ho 2022, arXiv:2202.00512: v-prediction; here with the weight on x of Min-SNR-5, arXiv:2303.09556
V_PREDICTION = Diffusion(
    path=Cosine(),
    time=times.Uniform(1e-4, 0.9999),
    predict=V(),
    target=X(),
    weight=MinSNR(5.0),
    std=1.0,
    sampler=samplers.DDIM(),
    schedule=schedules.Times(steps=50, first=0.998),
)

# Karras et al. 2022, arXiv:2206.00364: lambda(sigma) c_out² = 1 there is weight one on F here
EDM = Diffusion(
    path=Exploding(),
    time=times.LogNormal(-1.2, 1.2),
    predict=Preconditioned(0.5),  # the same number as `std`: `gaussian.check` asks for it
    std=0.5,
    sampler=samplers.Heun(),
    schedule=schedules.Karras(steps=18),
)

# Lipman et al. 2023, arXiv:2210.02747, and Liu et al. 2023, arXiv:2209.03003; logit-normal times of arXiv:2403.03206
FLOW = Diffusion(
    path=Linear(),
    time=times.LogitNormal(0.0, 1.0),
    predict=Velocity(),
    sampler=samplers.FlowHeun(),
    schedule=schedules.Times(steps=25),
)

# Li & He 2025, arXiv:2511.13720 (JiT): the net says x, the loss is on the velocity, times lean towards noise
JIT = Diffusion(
    path=Linear(),
    time=times.LogitNormal(0.8, 0.8),
    predict=X(),
    target=Velocity(),
    sampler=samplers.FlowHeun(),
    schedule=schedules.Times(steps=25),
)

# by short names, to go through them all
ALL = {
    "ddpm": DDPM,
    "ddpm_cosine": DDPM_COSINE,
    "v": V_PREDICTION,
    "edm": EDM,
    "flow": FLOW,
    "jit": JIT,
}
