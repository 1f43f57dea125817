"""Digests of every config of the experiments, stored: a move, a rename or a new field must not orphan trained runs.

After a change that is meant, write them again: `python -m tests.test_digests`. Then every run made before it needs
a rule in genjax/training/migrate.py.
"""

import importlib
import json
from pathlib import Path

from genjax.config import digest, from_json, to_json
from genjax.sweep import Sweep

STORED = Path(__file__).parent / "digests.json"
EXPERIMENTS = (
    "anomaly", "autoencoder", "bias", "bits", "bridge", "classify", "colourise", "compare", "compress",
    "cyclegan", "deage", "defects", "denoise", "detect", "detect_text", "diffusion", "edit", "faces", "gan", "gan_game",
    "heads", "inpaint", "instruct", "latents", "likelihood", "lossless", "marks", "munit", "onestep", "pix2pix",
    "samplers", "segment", "series", "stacked", "stylegan2", "text", "text2image", "toy2d", "vae",
)  # fmt: skip


def configs() -> dict:
    """{"vae base": config} of every experiment and ablation."""
    found = {}
    for name in EXPERIMENTS:
        module = importlib.import_module(f"experiments.{name}")
        for key, cfg in module.EXPERIMENTS.items():
            if not isinstance(cfg, Sweep):  # its members are edits of another
                found[f"{name} {key}"] = cfg
    return found


def test_digests_are_those_that_runs_were_named_by():
    stored = json.loads(STORED.read_text())
    now = {name: digest(cfg) for name, cfg in configs().items()}
    moved = [name for name in stored if now.get(name) != stored[name]]
    assert not moved, (
        f"runs of {moved} would start from the beginning: see this file's docstring"
    )
    assert set(now) == set(stored), "new configs: write the digests again"


def test_every_config_comes_back_from_its_json():
    for name, cfg in configs().items():
        again = from_json(to_json(cfg))
        assert digest(again) == digest(cfg) and repr(again) == repr(cfg), name


if __name__ == "__main__":
    now = {name: digest(cfg) for name, cfg in configs().items()}
    STORED.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
