"""Numbers of diffusion models that train or sample nothing: refused in one line, nan in the first place."""

import math

import pytest

from genjax.config import edit
from genjax.core import labelled
from genjax.diffusion import editing, gaussian, guidance, likelihood, named, paths, samplers
from genjax.diffusion import times as laws
from genjax.diffusion.consistency import Consistency
from genjax.diffusion.onestep import MeanFlow
from genjax.diffusion.vdm import VDM, LinearGamma, MonotoneGamma
from genjax.errors import UserError
from genjax.fields import Points
from genjax.nets import TimeMLP

NAN, INF = math.nan, math.inf
SPEC = labelled(Points((2,)), 0, 10)

PARTS = [
    (paths.LinearBeta, "low", (-0.1, 21.0, NAN, INF)),
    (paths.LinearBeta, "high", (0.0, NAN, INF)),
    (paths.CosineBeta, "s", (-0.1, NAN, INF)),
    (paths.Preconditioned, "std", (0.0, -0.5, NAN, INF)),
    (laws.Uniform, "low", (-0.1, 1.0, NAN)),
    (laws.Uniform, "high", (0.0, NAN, INF)),
    (laws.LogitNormal, "mean", (NAN, INF)),
    (laws.LogitNormal, "std", (0.0, -1.0, NAN, INF)),
    (laws.LogNormal, "mean", (NAN, INF)),
    (laws.LogNormal, "std", (0.0, -1.0, NAN, INF)),
    (guidance.Guidance, "scale", (NAN, INF)),
    (guidance.Guidance, "low", (NAN,)),
    (guidance.Guidance, "high", (-1.0, NAN)),
    (guidance.Static, "limit", (0.0, -1.0, NAN, INF)),
    (guidance.Dynamic, "limit", (0.0, -1.0, NAN, INF)),
    (guidance.Dynamic, "quantile", (0.0, 1.1, NAN)),
    (samplers.Heun, "churn", (-0.1, NAN, INF)),
    (samplers.Heun, "noise", (-0.1, NAN, INF)),
    (samplers.Heun, "low", (NAN,)),
    (samplers.Heun, "high", (-1.0, NAN)),
    (samplers.Churn, "churn", (-0.1, NAN, INF)),
    (samplers.Churn, "noise", (-0.1, NAN, INF)),
    (samplers.Churn, "low", (NAN, 51.0)),
    (samplers.DDIM, "eta", (-0.1, 1.1, NAN)),
    (editing.PseudoInverse, "scale", (NAN, INF)),
    (editing.PseudoInverse, "std", (0.0, NAN, INF)),
    (likelihood.Flow, "low", (0.0, 80.0, NAN)),
    (likelihood.Flow, "high", (0.001, NAN, INF)),
    (likelihood.Flow, "std", (0.0, NAN)),
    (likelihood.Flow, "tolerance", (0.0, NAN)),
    (likelihood.Flow, "most", (0,)),
    (gaussian.MinSNR, "most", (0.0, -1.0, NAN)),
    (MonotoneGamma, "slope", (0.0, NAN, INF)),
]


@pytest.mark.parametrize("part, name, wrong", PARTS)
def test_a_part_refuses_what_is_no_number_of_its_kind(part, name, wrong):
    part()
    for value in wrong:
        with pytest.raises(ValueError) as refused:
            part(**{name: value})
        assert str(value) in str(refused.value) and "\n" not in str(refused.value)


WHOLE = [
    (named.FLOW, "std", (0.0, NAN, INF), "--algorithm.std="),
    (named.FLOW, "drop", (-0.1, 1.1, NAN), "--algorithm.drop="),
    (Consistency(), "std", (0.0, NAN), "--algorithm.std="),
    (Consistency(), "q", (1.0, NAN, INF), "--algorithm.q="),
    (Consistency(), "k", (-1.0, NAN), "--algorithm.k="),
    (Consistency(), "b", (-1.0, NAN), "--algorithm.b="),
    (Consistency(), "huber", (0.0, NAN), "--algorithm.huber="),
    (Consistency(), "most", (0.1, NAN, INF), "--algorithm.most="),
    (Consistency(), "last", (0.0, NAN), "--algorithm.last="),
    (MeanFlow(), "share", (-0.1, 1.1, NAN), "--algorithm.share="),
    (MeanFlow(), "drop", (-0.1, 1.1, NAN), "--algorithm.drop="),
    (MeanFlow(), "p", (-1.0, NAN), "--algorithm.p="),
    (MeanFlow(), "c", (0.0, NAN), "--algorithm.c="),
    (MeanFlow(), "kappa", (-0.1, 1.0, NAN), "--algorithm.kappa="),
    (MeanFlow(), "omega", (NAN, INF), "--algorithm.omega="),
    (
        VDM(schedule=LinearGamma()),
        "schedule.gamma_min",
        (5.0, NAN, -INF),
        "schedule.gamma_min=",
    ),
    (VDM(schedule=LinearGamma()), "schedule.gamma_max", (NAN, INF), "schedule.gamma_max="),
]


@pytest.mark.parametrize("cfg, name, wrong, flag", WHOLE)
def test_an_algorithm_refuses_it_before_anything_is_compiled(cfg, name, wrong, flag):
    cfg = edit(cfg, {"net": TimeMLP((8,))})
    for value in wrong:
        with pytest.raises(UserError) as refused:
            edit(cfg, {name: value})(SPEC)
        assert flag in str(refused.value) and "\n" not in str(refused.value)
