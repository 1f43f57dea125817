"""What has been measured: one row for each experiment, from the files of the runs themselves.

    python -m experiments.table                  prints the table of the runs in runs/
    python -m experiments.table --write          writes it into experiments/README.md between its two marks

A row stands for the run of a config as it is now: a run of another config has another directory and does not count.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from genjax.training.log import trained_for
from genjax.training.loop import directory

README = Path(__file__).parent / "README.md"
MARKS = ("<!-- table: python -m experiments.table --write -->", "<!-- end of the table -->")


class Row(NamedTuple):
    """An experiment with the number that answers its question."""

    experiment: str
    ablation: str
    entry: str  # of results.json
    name: str  # of the number
    unit: str
    home: str = ""  # the experiment's folder of runs, where it is another's


ROWS = (
    Row("autoencoder", "linear64", "reconstruction", "mse", "MSE"),
    Row("autoencoder", "deep64", "reconstruction", "mse", "MSE"),
    Row("autoencoder", "conv64", "reconstruction", "mse", "MSE"),
    Row("vae", "base", "iwae5000", "log_p", "nats"),
    Row("vae", "conditional", "iwae500", "log_p", "nats"),
    Row("bits", "base", "bits20", "bits_per_dim", "bits/dim"),
    Row("diffusion", "base", "samples", "fd_pca64", "fd_pca64"),
    Row("diffusion", "digits", "samples", "recognised", "read as asked"),
    Row("onestep", "digits", "steps1", "recognised", "read as asked, one step"),
    Row("toy2d", "edm", "truth", "kl", "nats, KL"),
    Row("gan", "base", "samples", "fd_pca64", "fd_pca64"),
    Row("gan", "digits", "samples", "recognised", "read as asked"),
    Row("gan_game", "base", "step 4000", "modes", "modes of 25"),
    Row("stylegan2", "digits", "samples", "recognised", "read as asked"),
    Row("stacked", "base", "modes", "modes_samples", "modes of 1,000"),
)


def load(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else {}


def row(spec: Row, runs: str) -> list[str]:
    """Question, command, cost, number here, number published."""
    module = importlib.import_module(f"experiments.{spec.experiment}")
    exp = module.EXPERIMENTS[spec.ablation]
    path = directory(exp, spec.home or spec.experiment, spec.ablation)
    path = Path(runs) / path.relative_to(exp.runs)
    question = " ".join(module.__doc__.strip().split("\n\n")[0].split())
    number = load(path / "results.json").get(spec.entry, {}).get(spec.name)
    number = number.get("value") if isinstance(number, dict) else number
    cost = (
        f"{exp.steps:,} steps of {exp.batch}, {trained_for(path) / 60:.0f} min"
        if number is not None
        else ""
    )
    published = [
        f"{p.value:g} ({p.source})"
        for p in exp.published
        if (p.entry, p.name) == (spec.entry, spec.name)
    ]
    command = f"`python -m experiments.{spec.experiment}{'' if spec.ablation == 'base' else ' ' + spec.ablation}`"
    shown = "not yet with this config" if number is None else f"{number:.5g} {spec.unit}"
    return [question, command, cost, shown, "; ".join(published)]


def table(runs: str = "runs") -> str:
    """The table as Markdown; a question that several rows share is told once."""
    lines, last = [["question", "command", "cost", "here", "published"], ["---"] * 5], ""
    for spec in ROWS:
        question, *rest = row(spec, runs)
        lines.append(["″" if question == last else question, *rest])
        last = question
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def write(text: str, path: Path = README) -> None:
    """Puts `text` between the two marks of a file."""
    old = path.read_text()
    if any(old.count(mark) != 1 for mark in MARKS):
        sys.exit(f"error: {path} must have each of these lines once: {' and '.join(MARKS)}")
    before, rest = old.split(MARKS[0])
    path.write_text(f"{before}{MARKS[0]}\n\n{text}\n{MARKS[1]}{rest.split(MARKS[1])[1]}")


if __name__ == "__main__":
    flags = sys.argv[1:]
    if set(flags) - {"--write"}:
        sys.exit("error: the only flag is --write")
    write(table()) if flags else print(table(), end="")
