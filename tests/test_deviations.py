"""docs/deviations.md has a row for every algorithm and what it is made of, and no row has a hole."""

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

from genjax.classical import Density
from genjax.diffusion import editing, guidance, samplers
from genjax.diffusion import named as diffusion
from genjax.gan import augment, games, penalties
from genjax.gan import named as gan
from genjax.metrics import evaluate
from genjax.training.migrate import known_classes
from genjax.vae import vae

PAGE = Path(__file__).parent.parent / "docs" / "deviations.md"
HEAD = ["algorithm", "paper, equation", "paper", "ours", "why"]
UNIONS = (
    games.Game,
    penalties.Penalty,
    augment.Augment,
    samplers.Sampler,
    guidance.Threshold,
    editing.Consistency,
    vae.Likelihood,
    Density,
    evaluate.Metric,
)


def title(value: type) -> str:
    """What a class goes by in the first column: onestep.MeanFlow."""
    room = value.__module__.rpartition(".")[2]
    return f"{room}.{value.__name__}"


def algorithms() -> list[type]:
    """The configs that a Spec turns into an Algorithm."""
    found = []
    for value in known_classes().values():
        call = vars(value).get("__call__")
        taken = inspect.signature(call) if call else None
        if taken and taken.return_annotation == "Algorithm":
            found.append(value)
    return found


def required() -> set[str]:
    """Everything that must have a row."""
    found = algorithms()
    for union in UNIONS:
        # `Own`, a user's own class, is of no paper
        found += [value for value in get_args(union) if value.__name__ != "Own"]
    names = {title(value) for value in found}
    for module in (diffusion, gan):
        configs = {name for name, value in vars(module).items() if type(value) in found}
        names |= {f"named.{name}" for name in configs if name.isupper()}
    return names


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table, heads and rules too."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def missing(text: str) -> set[str]:
    """What has no row: no first cell holds its name as code."""
    named = set()
    for first, *_ in rows(text):
        named |= set(re.findall(r"`([^`]+)`", first))
    return required() - named


def test_every_algorithm_has_a_row():
    absent = missing(PAGE.read_text(encoding="utf-8"))
    assert not absent, f"{PAGE.name} has no row of {', '.join(sorted(absent))}"


def test_every_row_has_five_cells_and_none_is_empty():
    for cells in rows(PAGE.read_text(encoding="utf-8")):
        assert len(cells) == len(HEAD), cells
        assert all(cells), cells
        assert cells == HEAD or set(cells) == {"---"} or cells[0].startswith("`"), cells


@pytest.mark.parametrize("name", ["vae.VAE", "named.WGAN", "samplers.DDPM", "evaluate.Cas"])
def test_a_removed_row_is_noticed(name):
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(f"| `{name}` |")]
    assert missing("\n".join(kept)) == {name}


def test_what_must_have_a_row_is_found():
    wanted = {"autoencoder.Autoencoder", "vdm.VDM", "gaussian.Diffusion", "onestep.MeanFlow"}
    wanted |= {"consistency.Consistency", "gan.GAN", "stylegan2.StyleGAN2", "vae.VAE"}
    wanted |= {"restoration.Restoration", "model.Compression", "segmentation.Segmentation"}
    wanted |= {"restoration.Restoration", "colourise.Colouring", "colourings.Colourings"}
    wanted |= {"pix2pix.Pix2pix", "palette.Palette", "bridge.Bridge", "stargan.StarGAN"}
    wanted |= {"cycle.CycleGAN", "cut.CUT", "munit.MUNIT", "unit.UNIT"}
    wanted |= {"geotrans.GeoTrans", "talking.TalkingHeads", "talkingflow.TalkingFlow"}
    wanted |= {"causal.Causal", "discrete.MaskedDiffusion", "matching.Contrastive"}
    wanted |= {"detector.Detector", "classifier.Classifier", "words.TextDetector"}
    assert {title(value) for value in algorithms()} == wanted
    found = [name for name in required() if name.startswith("named.")]
    assert len(found) == len(diffusion.ALL) + len(gan.ALL)
