"""Which paths, time laws and schedules belong together: all pairs, and every config of the experiments."""

import itertools

import pytest

from genjax.config import edit, walk
from genjax.core import labelled
from genjax.diffusion import named, ranges
from genjax.diffusion.consistency import Consistency
from genjax.diffusion.gaussian import Diffusion
from genjax.diffusion.guidance import Guidance
from genjax.diffusion.onestep import MeanFlow
from genjax.diffusion.paths import Cosine, CosineBeta, Exploding, Linear, LinearBeta
from genjax.diffusion.schedules import Karras, LogUniform, Times
from genjax.diffusion.times import Discrete, LogitNormal, LogNormal, Uniform
from genjax.errors import UserError
from genjax.fields import Points
from genjax.nets import TimeMLP
from tests.test_digests import configs

SPEC = labelled(Points((2,)), 0, 10)
OF_SHARES = [Linear(), Cosine(), LinearBeta(), CosineBeta()]  # paths with times in [0, 1]
OF_LEVELS = [Karras(), LogUniform()]

OUTSIDE = "draws .* % of its times outside"
NO_TIMES = "even steps in times up to 1"
UNTRAINED = "starts at time .* trains none above"
TOO_HIGH = "starts at the noise level .* has none above"
SHOWS = "standard deviation .* still show"


def verdict(path, law, schedule) -> str | None:
    """What is wrong with the three at their defaults, None = they belong together."""
    if isinstance(path, Exploding):
        if isinstance(schedule, Times):
            return NO_TIMES
        # the other laws train levels up to 1, and the schedules start at 80
        return None if isinstance(law, LogNormal) else UNTRAINED
    return OUTSIDE if isinstance(law, LogNormal) else None


LAWS = [Uniform(), Discrete(), LogitNormal(), LogNormal()]
ALL = list(itertools.product([*OF_SHARES, Exploding()], LAWS, [Times(), *OF_LEVELS]))


@pytest.mark.parametrize("path, law, schedule", ALL)
def test_all_pairs_at_their_defaults(path, law, schedule):
    wrong = verdict(path, law, schedule)
    if wrong is None:
        ranges.check(path, law, schedule, 0.5)
        return
    with pytest.raises(UserError, match=wrong) as refused:
        ranges.check(path, law, schedule, 0.5)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "path, law, schedule, std, wrong",
    [
        # numbers that make a pair fit
        (Linear(), LogNormal(-3.0, 0.9), Times(first=0.9), 0.5, None),  # 0.04 % above 1
        (Exploding(), Uniform(1e-3, 80.0), Karras(), 0.5, None),
        (Exploding(), LogNormal(-0.4, 1.0), Karras(), 0.5, None),  # EDM2, which trains up to 78
        (Exploding(), LogitNormal(), Karras(high=1.0), 0.1, None),
        (LinearBeta(), Discrete(), Times(first=1.0), 1.0, None),
        # and that spoil one
        (Linear(), LogNormal(-3.0, 1.0), Times(), 0.5, OUTSIDE),  # 0.13 %
        (Cosine(), Uniform(1e-4, 1.1), Times(), 0.5, OUTSIDE),
        (Linear(), Uniform(1e-4, 0.5), Times(), 0.5, UNTRAINED),
        (Linear(), LogitNormal(-2.0, 0.5), Times(), 0.5, UNTRAINED),
        (Exploding(), LogNormal(-1.2, 0.5), Karras(), 0.5, UNTRAINED),
        (LinearBeta(), Discrete(), Karras(high=200.0), 0.5, TOO_HIGH),  # 157 at its end
        (LinearBeta(), Discrete(), Times(first=1.2), 0.5, TOO_HIGH),
        (Exploding(), LogitNormal(), Karras(high=1.0), 0.5, SHOWS),
        (Linear(), LogitNormal(), Times(first=0.5), 0.5, SHOWS),
        (
            LinearBeta(high=2.0),
            Discrete(),
            Times(),
            0.5,
            SHOWS,
        ),  # no noise of its own is enough
        (Linear(), LogitNormal(), Times(first=1.0), 0.5, "do not fall, finite and above 0"),
        (CosineBeta(), LogitNormal(), Times(first=1.2), 0.5, "do not fall, finite and above 0"),
    ],
)
def test_their_numbers_decide(path, law, schedule, std, wrong):
    if wrong is None:
        ranges.check(path, law, schedule, std)
        return
    with pytest.raises(UserError, match=wrong) as refused:
        ranges.check(path, law, schedule, std)
    assert "\n" not in str(refused.value)


def test_algorithms_refuse_what_does_not_belong():
    net = {"net": TimeMLP((8,))}
    for cfg, wrong in [
        (edit(named.EDM, {**net, "schedule": Times()}), NO_TIMES),
        (edit(named.FLOW, {**net, "time": LogNormal()}), OUTSIDE),
        (MeanFlow(**net, time=Uniform(0.0, 2.0)), OUTSIDE),
        (MeanFlow(**net, time=Uniform(0.0, 0.5)), UNTRAINED),
        (Consistency(**net, time=LogNormal(-3.0, 0.5)), "--algorithm.most=80.0 " + UNTRAINED),
        (Consistency(**net, most=1.0), "--algorithm.most=1.0 starts at the noise level 1, "),
    ]:
        with pytest.raises(UserError, match=wrong):
            cfg(SPEC)


def models():
    """{name: model} of every diffusion model in the experiments, also of those that an experiment compares."""
    found = {f"named {name}": cfg for name, cfg in named.ALL.items()}
    for name, cfg in configs().items():
        for path, _, value, _, _ in walk(cfg):
            if isinstance(value, Diffusion | MeanFlow | Consistency):
                found[f"{name} {path}"] = value
    return found


def test_the_models_of_all_experiments_belong_together():
    found = models()
    assert len(found) > 30
    for cfg in found.values():
        # points and no condition: of the data nothing is asked here
        changes = {"net": TimeMLP((8,)), "condition": ()}
        guided = {"guidance": Guidance()} if isinstance(cfg, Diffusion) else {}
        built_in = {"omega": 1.0, "kappa": 0.0} if isinstance(cfg, MeanFlow) else {}
        edit(cfg, {**changes, **guided, **built_in})(SPEC)
