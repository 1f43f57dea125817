"""What has been measured: the table of the experiments, and how a new number gets into it.

    python -m experiments.results                    prints the table of experiments/README.md
    python -m experiments.results --write            writes it there, between its two marks
    python -m experiments.results --record RUNDIR    enters a finished run's numbers

Numbers are kept in `experiments/results/`, a file for each experiment, each a list of runs:

    command, experiment, ablation    what was run
    digest, seed                     of its config when it was entered
    versions, machine, date, cost    of a transcribed run the date is that of the text's commit
    origin                           "a run directory", or the file that it is transcribed from
    printed_in                       ["experiments/README.md#digits"]: file and heading of a link
    row                              the label of its row in a table, see experiments/numbers.py
    figures                          {"entry.name" of the run's results.json: figure}

A figure has a `value` (a number or a list), where they are known `unit`, `n`, `plus_minus`, `low`
and `high`, its own `row`, and its `text`: how it is printed, several texts as a list.

`published.json` holds numbers of others, with `source` in place of what only a run has, and with
`beside`, the runs of the table that they belong to. Benchmarks print tables and have no run
directories: their entries in `benchmarks.json` are edited by hand. A number without `transcribed`
came from a run directory.

Exit codes: 0 done, 2 a mistake of yours, named in one line.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genjax.errors import UserError
from genjax.report import facts
from genjax.training.log import trained_for

ROOT = Path(__file__).parent.parent
FOLDER = Path("experiments/results")
README = Path("experiments/README.md")
PUBLISHED = "published.json"
SETTINGS = "settings.json"
MARKS = ("<!-- table: python -m experiments.results --write -->", "<!-- end of the table -->")
FLAGS = "[--write | --record RUNDIR [--command='python -m ...']]"
USAGE = f"usage: python -m experiments.results {FLAGS}"
KEPT = ("printed_in", "row")  # what a run's new entry takes over from its old one
KEPT_BY_FIGURES = ("unit", "row")
NUMBER = re.compile(
    r"(?:(?<![^\s(|/])-|(?<![\w.#,-]))"  # a minus belongs to it at the start of a word
    r"(?:\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(?:\.\d+)*(?:e-?\d+)?(?!\w)"
)


class Row(NamedTuple):
    """A run with the figure that answers its experiment's question."""

    experiment: str
    ablation: str
    figure: str
    unit: str


ROWS = (
    Row("autoencoder", "linear64", "reconstruction.mse", "MSE"),
    Row("autoencoder", "deep64", "reconstruction.mse", "MSE"),
    Row("autoencoder", "conv64", "reconstruction.mse", "MSE"),
    Row("vae", "base", "iwae5000.log_p", "nats"),
    Row("vae", "conditional", "iwae500.log_p", "nats"),
    Row("bits", "base", "bits20.bits_per_dim", "bits/dim"),
    Row("diffusion", "base", "samples.fd_pca64", "fd_pca64"),
    Row("diffusion", "digits", "samples.recognised", "read as asked"),
    Row("onestep", "digits", "steps1.recognised", "read as asked, one step"),
    Row("toy2d", "edm", "truth.kl", "nats, KL"),
    Row("gan", "base", "samples.fd_pca64", "fd_pca64"),
    Row("gan", "digits", "samples.recognised", "read as asked"),
    Row("gan_game", "base", "step 4000.modes", "modes of 25"),
    Row("stylegan2", "digits", "samples.recognised", "read as asked"),
    Row("stacked", "base", "modes.modes_samples", "modes of 1,000"),
)


def load(root: Path = ROOT) -> dict[Path, list[dict[str, Any]]]:
    """{file: its runs} of the results under `root`; raises UserError for a bad file."""
    paths = sorted((root / FOLDER).glob("*.json"))
    if not paths:
        raise UserError(f"{root / FOLDER} holds no results: check out the repository's own.")
    files = {path: read(path) for path in paths if path.name != SETTINGS}
    for path, runs in files.items():
        for run in runs:
            _check(path, run)
    return files


def read(path: Path) -> list[dict[str, Any]]:
    """The objects of one JSON file, which must hold a list of them; raises UserError."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): mend it.") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}): mend it.") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{path} must hold a list of JSON objects: mend it.")
    return entries


def table(root: Path = ROOT) -> str:
    """The table as Markdown; a question that several rows share is told once. Raises UserError."""
    files = load(root)
    published = files.get(root / FOLDER / PUBLISHED, [])
    lines = [["question", "command", "cost", "here", "published"], ["---"] * 5]
    last = ""
    for spec in ROWS:
        path = root / FOLDER / f"{spec.experiment}.json"
        run = _run_of(spec, path, files.get(path, []))
        question = run.get("question", "")
        shown = "″" if question == last else question
        here = f"{_value(path, run, spec.figure):.5g} {spec.unit}"
        others = "; ".join(_beside(spec, published))
        lines.append([shown, f"`{run['command']}`", run.get("cost", ""), here, others])
        last = question
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def between_marks(text: str, path: Path) -> tuple[int, int]:
    """Where the table stands in a file's text, marks left out; raises UserError without them."""
    if any(text.count(mark) != 1 for mark in MARKS):
        raise UserError(f"{path} must have each of these lines once: {' and '.join(MARKS)}")
    return text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])


def write(root: Path = ROOT) -> Path:
    """Writes the table between the two marks of experiments/README.md; returns that path."""
    path = root / README
    text = path.read_text(encoding="utf-8")
    begin, end = between_marks(text, path)
    _replace(path, f"{text[:begin]}\n\n{table(root)}\n{text[end:]}")
    return path


def record(directory: Path, root: Path = ROOT, command: str = "") -> str:
    """Enters a finished run's numbers into its experiment's file; returns what was done, as text.

    The entry of the same command, or of the same digest, is replaced and keeps its places. A figure
    that goes on under its name keeps its row and, with the new digits, its text, so that
    `make numbers` names each line to change; a figure that the run has not measured goes.
    command: for a run whose run.json does not tell it, or which another command has measured (the
    samplers of a diffusion model). Raises UserError.
    """
    new = entry(facts.read(directory), command)
    path = root / FOLDER / f"{new['experiment']}.json"
    entries = read(path) if path.exists() else []
    places = [i for i, old in enumerate(entries) if _same_run(old, new)]
    if len(places) > 1:
        raise UserError(f"{path} has {len(places)} entries of {new['command']}: leave one.")
    old = entries[places[0]] if places else {}
    place = places[0] if places else len(entries)
    new = _carry_over(old, new)
    entries[place : place + 1] = [new]
    save(path, entries)
    return _told(path, old, new)


def entry(run: facts.Facts, command: str = "") -> dict[str, Any]:
    """A run's entry from the files of its directory; raises UserError for one that is not whole."""
    where = run.directory
    command = _plain(command or run.about.get("command", ""))
    if not run.results:
        raise UserError(f"{where} holds no results: run its command again until it ends.")
    if not run.digest:
        raise UserError(f"{where} must be named as its run named it: <ablation>-<digest>.")
    if not command:
        remedy = "add --command='python -m experiments...'"
        raise UserError(f"{where / 'run.json'} tells no command: {remedy}.")
    for name in run.results:
        settings = run.settings(name)
        if settings:
            raise UserError(
                f"{where}: {name} was measured with {settings}, which its command does not say: run that command again."
            )
    named = re.search(r"-m experiments\.(\w+)", command)
    finished = (where / "results.json").stat().st_mtime
    found = {
        "command": command,
        "experiment": named.group(1) if named else run.experiment,
        "ablation": run.ablation,
        "digest": run.digest,
        "seed": run.seed,
        "versions": run.about.get("versions", {}),
        "machine": run.about.get("hardware", ""),
        "date": datetime.date.fromtimestamp(finished).isoformat(),
        "cost": _cost(run),
        "question": run.about.get("question", ""),
        "origin": "a run directory",
        "figures": figures(run),
    }
    return {name: value for name, value in found.items() if value not in ("", {}, None)}


def figures(run: facts.Facts) -> dict[str, dict[str, Any]]:
    """{name: figure} of results.json, with what run.json tells of size and memory."""
    found = {}
    for name, content in run.results.items():
        found |= _flat(name, content)
    for name in ("parameters", "memory_mib"):
        if name in run.about:
            found[f"run.{name}"] = {"value": run.about[name]}
    return found


def save(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Writes the runs of a file, a figure to a line: a changed number is a changed line."""
    _replace(path, "[\n" + ",\n".join(map(_written, entries)) + "\n]\n")


def texts(figure: Mapping[str, Any]) -> list[str]:
    """How a figure is printed: no, one or several texts."""
    text = figure.get("text", [])
    return [text] if isinstance(text, str) else list(text)


def scale(number: str, value: float) -> int | None:
    """1 or 100 (percent) where a printed number is the value times that, rounded there; else None.

    Signs are left aside: a text may print -log p where the value is log p.
    """
    mantissa, _, exponent = number.replace(",", "").partition("e")
    if mantissa.count(".") > 1:  # a version
        return None
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    printed = abs(float(f"{mantissa}e{exponent or 0}"))
    half = 0.5001 * 10.0**-decimals
    fits = (factor for factor in (1, 100) if abs(abs(value) * factor - printed) <= half)
    return next(fits, None)


def reprint(text: str, old: float, new: float) -> str | None:
    """A text with a new value in place of the old one, with as many decimals.

    None where the text holds more than that value, an error or a range, which would be stale.
    """
    found = list(NUMBER.finditer(text))
    of_value = [match for match in found if scale(match.group(), old)]
    decimals = [match for match in found if "." in match.group()]
    if len(of_value) != 1 or "±" in text or set(decimals) - set(of_value):
        return None
    number, start, end = of_value[0].group(), *of_value[0].span()
    printed = f"{abs(new) * scale(number, old):,.{len(number.partition('.')[2])}f}"
    if number.lstrip("-").startswith("."):
        printed = printed.removeprefix("0")
    sign = "-" if number.startswith("-") else ""
    return text[:start] + sign + printed + text[end:]


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """The command line: returns 0, or 2 after one line on stderr."""
    try:
        _main(list(sys.argv[1:] if argv is None else argv), root)
        return 0
    except UserError as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr, flush=True)
        return 2


def _main(tokens: list[str], root: Path) -> None:
    match tokens:
        case []:
            print(table(root), end="")
        case ["--help" | "-h"]:
            print(__doc__.strip())
        case ["--write"]:
            print(write(root))
        case ["--record", directory]:
            print(record(Path(directory), root))
        case ["--record", directory, command] if command.startswith("--command="):
            print(record(Path(directory), root, command.partition("=")[2]))
        case _:
            raise UserError(f"cannot read {' '.join(tokens)}. {USAGE}")


def _check(path: Path, run: Mapping[str, Any]) -> None:
    """Raises UserError for a run, perhaps edited by hand, that lacks what every run has."""
    name = run.get("command", run.get("source"))
    if name is None:
        raise UserError(f"{path}: a run has neither command nor source: mend it.")
    named = run.get("figures")
    if not isinstance(named, dict):
        raise UserError(f"{path}: {name!r} has no figures: mend it.")
    for key, figure in named.items():
        if not isinstance(figure, dict) or "value" not in figure:
            raise UserError(f"{path}: the figure {key!r} of {name!r} has no value: mend it.")


def _run_of(spec: Row, path: Path, runs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The run that a row stands for: of the ablation as it is, without further flags."""
    found = [run for run in runs if run.get("ablation") == spec.ablation]
    plain = [run for run in found if "--" not in run["command"]]
    if not plain:
        command = f"python -m experiments.{spec.experiment} {spec.ablation}"
        raise UserError(
            f"{path} has no entry of `{command}`: run it and --record its directory."
        )
    return plain[0]


def _value(path: Path, run: Mapping[str, Any], name: str) -> float:
    figure = run["figures"].get(name)
    if figure is None:
        raise UserError(
            f"{path}: {run['command']} has no figure {name!r}: --record a whole run."
        )
    return figure["value"]


def _beside(spec: Row, published: Sequence[Mapping[str, Any]]) -> list[str]:
    """The published numbers of a row's figure, each with its source."""
    run = f"{spec.experiment} {spec.ablation}"
    return [
        f"{other['figures'][spec.figure]['value']:g} ({other['source']})"
        for other in published
        if run in other.get("beside", []) and spec.figure in other["figures"]
    ]


def _same_run(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    same_name = all(old.get(name) == new[name] for name in ("experiment", "ablation"))
    same_config = bool(new.get("digest")) and old.get("digest") == new.get("digest")
    return same_name and (same_config or old["command"] == new["command"])


def _carry_over(old: Mapping[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The new entry with the places, rows and texts of the old one."""
    before = old.get("figures", {})
    kept = {name: old[name] for name in KEPT if name in old}
    question = {"question": old["question"]} if "question" in old else {}
    carried = {
        name: _carry_over_figure(before.get(name, {}), figure)
        for name, figure in new["figures"].items()
    }
    return {**question, **new, **kept, "figures": carried}


def _carry_over_figure(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: old[name] for name in KEPT_BY_FIGURES if name in old}
    pair = (old.get("value"), new["value"])
    numbers = all(isinstance(value, int | float) for value in pair)
    printed = [reprint(text, *pair) for text in texts(old)] if numbers else []
    known = list(dict.fromkeys(text for text in printed if text is not None))
    text = {"text": known[0] if len(known) == 1 else known} if known else {}
    return {**new, **kept, **text}


def _written(run: Mapping[str, Any]) -> str:
    """A run as JSON, figures last."""

    def line(indent: int, name: str, value: Any) -> str:
        pair = (
            f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
        )
        return " " * indent + pair

    each = [line(6, *figure) for figure in run["figures"].items()]
    parts = [line(4, name, value) for name, value in run.items() if name != "figures"]
    parts.append('    "figures": {\n' + ",\n".join(each) + "\n    }")
    return "  {\n" + ",\n".join(parts) + "\n  }"


def _told(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    done = "replaced in" if old else "added to"
    lines = [f"{new['command']}: {len(new['figures'])} figures {done} {path}"]
    before, now = old.get("figures", {}), new["figures"]
    gone = [name for name in before if texts(before[name]) and not texts(now.get(name, {}))]
    if gone:
        lines.append(f"printed before, without a text now: {', '.join(gone)}")
    if not new.get("printed_in"):
        lines.append(
            "where it is printed is yours to add: printed_in, and a text of each figure"
        )
    return "\n".join(lines)


def _plain(command: str) -> str:
    """A command without the name of the base ablation, which needs no naming."""
    words = command.split()
    return " ".join(word for i, word in enumerate(words) if not (i == 3 and word == "base"))


def _cost(run: facts.Facts) -> str:
    steps, batch = run.config.get("steps"), run.config.get("batch")
    if not isinstance(steps, int) or not isinstance(batch, int):
        return ""
    return f"{steps:,} steps of {batch}, {trained_for(run.directory) / 60:.0f} min"


def _flat(name: str, content: Any) -> dict[str, dict[str, Any]]:
    """{dotted name: figure} of a value of results.json, however deep, without what is no number."""
    value = facts.number(content)
    if value is not None:
        return {name: {"value": value if abs(value) < float("inf") else str(value)}}
    if isinstance(content, list):
        numbers = bool(content) and all(facts.number(item) is not None for item in content)
        return {name: {"value": content}} if numbers else {}
    if isinstance(content, dict) and facts.number(content.get("value")) is not None:
        return {name: {key: value for key, value in content.items() if value is not None}}
    if not isinstance(content, dict):
        return {}
    inner = [_flat(f"{name}.{key}", value) for key, value in content.items()]
    return {key: figure for part in inner for key, figure in part.items()}


def _replace(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    try:
        new.write_text(text, encoding="utf-8")
        os.replace(new, path)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): mend it.") from None


if __name__ == "__main__":
    sys.exit(main())
