"""Numbers in Markdown: each has its entry, a changed one is noticed, a run enters its own."""

import json
import re
import shutil

import pytest

from experiments import numbers, results
from genjax.report import facts

SETTING = {"text": "Adam at 1e-3", "why": "rate of learning"}
GAN = {
    "command": "python -m experiments.gan digits",
    "experiment": "gan",
    "ablation": "digits",
    "digest": "01234567",
    "printed_in": ["README.md#gans"],
    "figures": {
        "samples.recognised": {"value": 0.991, "text": "99.1 % of 2,000"},
        "samples.fd": {"value": 0.468, "row": "distance", "text": "0.468"},
        "steps/s": {"value": 8, "text": "8 steps/s"},
    },
}
PAGE = """# Page

## GANs

Adam at 1e-3, 28x28 pixels, batch 64, Python 3.11 and jax 0.10.2: **99.1 %** of 2,000 samples
are read, `0.77` is code.

    python -m experiments.gan digits --algorithm.beta=0.5   # 8 steps/s

| | samples |
|---|---|
| distance | 0.468 |
"""


@pytest.fixture
def committed(tmp_path):
    """A copy of the project's Markdown and results."""
    for path in numbers.documents():
        copy = tmp_path / path.relative_to(results.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    shutil.copytree(results.ROOT / results.FOLDER, tmp_path / results.FOLDER)
    return tmp_path


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A project of one page and one run, without the table."""
    monkeypatch.setattr(numbers, "_table_faults", lambda root: [])
    folder = tmp_path / results.FOLDER
    folder.mkdir(parents=True)
    results.save(folder / "gan.json", [GAN])
    (folder / results.SETTINGS).write_text(json.dumps([SETTING]))
    (tmp_path / "README.md").write_text(PAGE)
    return tmp_path


def faults(root):
    return numbers.look(root)[1]


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def finished(root, name="digits-89abcdef", **files):
    """A run directory as a run leaves it."""
    run = root / "runs" / "gan" / name
    run.mkdir(parents=True)
    measured = {
        "samples": {"recognised": 0.98765, "fd": 0.5},
        "metrics": {"kid": {"value": 0.25, "low": 0.2, "high": None, "n": 360}},
        "truncation": {"psi 1": {"recall": 0.75}},
        "variety": {"recall_by_class": [0.5, 0.25], "worst": "seven"},
    }
    about = {
        "experiment": "gan",
        "ablation": "digits",
        "seed": 3,
        "command": "python -m experiments.gan digits",
        "question": "Which game?",
        "hardware": "1 x CPU",
        "versions": {"jax": "0.11.0"},
        "memory_mib": 700.5,
    }
    contents = {
        "config.json": {"steps": 4000, "batch": 64, "seed": 3},
        "results.json": measured,
        "run.json": about,
    } | files
    for file, content in contents.items():
        (run / file).write_text(json.dumps(content))
    (run / "speed.jsonl").write_text(json.dumps({"step": 4000, "steps/s": 10.0}) + "\n")
    return run


def test_every_committed_figure_has_its_entry():
    found, wrong = numbers.look()
    assert wrong == []
    assert len(found) > 1000


def test_the_command_returns_0_and_lists_every_figure(capsys):
    assert numbers.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(numbers.look()[0])
    assert all(re.match(r"\S+\.md:\d+\t\S+#", line) for line in lines)


def test_a_changed_digit_of_committed_text_is_named_with_its_line(committed, capsys):
    page = committed / results.README
    change(page, "-22.770 nats", "-22.710 nats")
    line = page.read_text()[: page.read_text().index("-22.710")].count("\n") + 1
    assert numbers.main([], committed) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"experiments/README.md:{line}: -22.710 is in no entry of")
    assert "iwae500.elbo: '-22.770 nats' is not printed" in told[1]


@pytest.mark.parametrize("file", ["README.md", "experiments/README.md", "benchmarks/README.md"])
def test_a_changed_figure_of_any_file_is_noticed(committed, file):
    item = [item for item in numbers.look(committed)[0] if item.block.file == file][-1]
    path = committed / file
    lines = path.read_text().splitlines(keepends=True)
    last = item.text[-1]
    other = item.text[:-1] + str((int(last) + 1) % 10)
    lines[item.line - 1] = lines[item.line - 1].replace(item.text, other)
    path.write_text("".join(lines))
    assert any(fault.startswith(f"{file}:{item.line}: {other}") for fault in faults(committed))


def test_a_removed_entry_is_noticed(committed):
    folder = committed / results.FOLDER
    (folder / "edit.json").unlink()
    assert any("0.060 is in no entry" in fault for fault in faults(committed))
    (folder / "onestep.json").unlink()
    missing = "the table lacks an entry: .* no entry of `python -m experiments.onestep digits`"
    assert any(re.search(missing, fault) for fault in faults(committed))


def test_a_removed_figure_is_noticed(committed):
    path = committed / results.FOLDER / "stacked.json"
    runs = results.read(path)
    del runs[0]["figures"]["modes.kl_samples"]
    results.save(path, runs)
    (fault,) = faults(committed)
    assert "0.378 is in no entry of experiments/README.md#a-thousand-modes | stacked" in fault


def test_the_table_is_what_stands_between_the_marks(committed, capsys):
    text = (results.ROOT / results.README).read_text()
    begin, end = results.between_marks(text, results.README)
    assert results.main([]) == 0
    assert capsys.readouterr().out == text[begin:end].strip() + "\n"

    change(committed / results.README, "| 0.010378 MSE |", "| 0.010379 MSE |")
    assert any("experiments.results --write" in fault for fault in faults(committed))
    assert results.main(["--write"], committed) == 0
    assert (committed / results.README).read_text() == text


def test_what_looks_measured(small):
    found, wrong = numbers.look(small)
    assert wrong == []
    assert [item.text for item in found] == ["99.1", "8", "0.468"]


@pytest.mark.parametrize(
    "old, new",
    [
        ("99.1 %", "99.2 %"),
        ("8 steps/s", "9 steps/s"),
        ("0.468", "0.469"),
        ("are read,", "are read in 3 min,"),
        ("Adam at 1e-3", "Adam at 2e-3"),
        ("| distance |", "| recall |"),  # another row
        ("## GANs", "## VAEs"),
    ],
)
def test_a_change_is_a_fault(small, old, new):
    change(small / "README.md", old, new)
    assert faults(small)


def test_a_text_must_say_its_value(small):
    change(small / results.FOLDER / "gan.json", '"value": 0.468', '"value": 0.478')
    (fault,) = faults(small)
    assert "the text '0.468' does not say its value 0.478" in fault


def test_of_two_headings_of_one_name_the_second_has_a_number():
    used = {}
    anchors = [numbers._anchor(heading, used) for heading in ("## A: b", "### C", "## A: b")]
    assert anchors == ["a-b", "c", "a-b-1"]


def test_a_finished_run_replaces_its_entry_and_keeps_its_places(small, capsys):
    assert results.main(["--record", str(finished(small))], small) == 0
    assert "3 figures" not in capsys.readouterr().out
    (entry,) = results.read(small / results.FOLDER / "gan.json")
    assert (entry["digest"], entry["seed"], entry["machine"]) == ("89abcdef", 3, "1 x CPU")
    assert entry["versions"] == {"jax": "0.11.0"}
    assert entry["origin"] == "a run directory" and "transcribed" not in entry
    assert entry["cost"] == "4,000 steps of 64, 7 min"
    assert entry["printed_in"] == ["README.md#gans"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", entry["date"])
    assert entry["figures"] == {
        "samples.recognised": {"value": 0.98765, "text": "98.8 % of 2,000"},
        "samples.fd": {"value": 0.5, "row": "distance", "text": "0.500"},
        "metrics.kid": {"value": 0.25, "low": 0.2, "n": 360},
        "truncation.psi 1.recall": {"value": 0.75},
        "variety.recall_by_class": {"value": [0.5, 0.25]},
        "run.memory_mib": {"value": 700.5},
    }


def test_after_a_new_run_every_line_to_change_is_named(small):
    told = results.record(finished(small), small)
    assert "printed before, without a text now: steps/s" in told
    lines = [fault for fault in faults(small) if fault.startswith("README.md:")]
    assert [line.split(": ")[1].split()[0] for line in lines] == ["99.1", "8", "0.468"]


def test_a_run_without_entry_is_added(small):
    told = results.record(
        finished(small), small, "python -m experiments.edit base --finish.samples=3"
    )
    assert "printed_in" in told
    (entry,) = results.read(small / results.FOLDER / "edit.json")
    assert entry["command"] == "python -m experiments.edit --finish.samples=3"
    assert len(results.read(small / results.FOLDER / "gan.json")) == 1


@pytest.mark.parametrize(
    "text, old, new, printed",
    [
        ("99.1 % of 2,000", 0.991, 0.98765, "98.8 % of 2,000"),
        ("recall .639", 0.639, 0.6, "recall .600"),
        ("**227.956**", -227.956, -228.1, "**228.100**"),
        ("-22.770 nats", -22.77, -23.0, "-23.000 nats"),
        ("91,978", 91978, 1234567, "1,234,567"),
        ("3.509 ± 0.009", 3.509, 3.4, None),  # the error would be the old one
        ("1.27 (1.10, 1.44)", 1.27, 1.3, None),
        ("0.5 and 0.5", 0.5, 0.6, None),
    ],
)
def test_a_text_with_another_value(text, old, new, printed):
    assert results.reprint(text, old, new) == printed


def test_mistakes_are_one_line_and_exit_code_2(small, capsys):
    nothing = small / "nothing"
    unfinished = finished(small, "digits-00000000", **{"results.json": {}})
    unnamed = finished(small, "digits")
    silent = finished(small, "digits-00000001", **{"run.json": {"experiment": "gan"}})
    for arguments, words in (
        (["--record", str(nothing)], "is not a run directory"),
        (["--record", str(unfinished)], "holds no results"),
        (["--record", str(unnamed)], "must be named"),
        (["--record", str(silent)], "--command="),
        (["--wrte"], "usage: python -m experiments.results"),
        ([], "no entry of `python -m experiments.autoencoder linear64`"),
    ):
        assert results.main(arguments, small) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and words in err
    assert numbers.main(["--lst"], small) == 2
    (small / results.FOLDER / "gan.json").write_text("{")
    assert numbers.main([], small) == 2
    assert "is not valid JSON" in capsys.readouterr().err
    (small / results.FOLDER / "gan.json").write_text('[{"command": "x", "figures": {"a": 1}}]')
    assert numbers.main([], small) == 2
    assert "the figure 'a' of 'x' has no value" in capsys.readouterr().err


def test_committed_runs_tell_where_they_come_from():
    for path, runs in results.load().items():
        for run in runs:
            assert run["printed_in"] and run["figures"], path
            if path.name != results.PUBLISHED:
                assert {"command", "experiment", "versions", "machine", "date"} <= set(run), (
                    path
                )
            assert run.get("source") or run["origin"], path


def test_a_digest_is_that_of_the_directory(small):
    assert results.entry(facts.read(finished(small)))["digest"] == "89abcdef"
