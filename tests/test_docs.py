"""What the pages of docs/ show is run: their Python, their commands, the files that they include, the notebook."""

import ast
import importlib
import re
import runpy
import shlex
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.diffusion import EXPERIMENTS as DIFFUSION
from genjax import cli, command
from genjax.config import edit
from genjax.core import labelled
from genjax.fields import Image
from genjax.training.loop import run

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
# commands are typed from these pages too
TYPED = (*PAGES, ROOT / "README.md", *sorted((ROOT / "genjax").rglob("*.md")))
NOTEBOOK = ROOT / "notebooks" / "tour.ipynb"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in one of the languages ("" = none is named), in order."""
    return [text for language, text in FENCE.findall(page.read_text()) if language in languages]


def carried_out(page: Path, **shorter: str) -> dict:
    """Runs the Python of a page, block by block, in the current folder; returns its names.

    shorter: numbers in it that are replaced, so that a run of minutes takes seconds.
    """
    names: dict = {"__name__": "page"}
    for number, text in enumerate(blocks(page, "python")):
        for old, new in shorter.items():
            text = text.replace(f'"{old}": 800', f'"{old}": {new}')
        exec(compile(text, f"{page.name}, block {number}", "exec"), names)
    return names


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A folder of one's own to stand in; the how-to's files can be imported, as from the folder that they lie in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(DOCS / "howto"))
    return tmp_path


def toured(names: dict) -> None:
    """What the tour says of its arrays."""
    assert names["samples"].shape == (64, 8, 8, 1) and names["between"].shape == (36, 8, 8, 1)
    assert names["samples"].min() >= 0.0 and names["samples"].max() <= 1.0
    assert names["name"] == "fd_pca16" and names["floor"].value < names["ours"].value
    assert names["threes"].shape == (10, 8, 8, 1)
    assert Path("samples.png").exists() and (names["home"] / "report.html").exists()


def test_the_tour_runs(home):
    toured(carried_out(DOCS / "tour.md", steps="20"))


@pytest.mark.all
def test_the_tour_as_it_is_written_has_digits_to_show(home):
    names = carried_out(DOCS / "tour.md")
    toured(names)
    # a model that has hardly learned is ten times as far
    assert names["ours"].value < 2.0


@pytest.mark.parametrize(
    "page", ["data", "measuring", pytest.param("runs", marks=pytest.mark.all)]
)
def test_the_python_of_a_page_runs(page, home):
    names = carried_out(DOCS / f"{page}.md")
    if page == "measuring":
        assert names["far"] and names["noise"].value > 10 * names["floor"].value
    if page == "runs":
        assert names["again"].shape == names["samples"].shape
        assert names["parts"]["elbo"].shape == (16,)


def test_the_lines_of_the_readme_open_a_run(home):
    changes = {"steps": 2, "algorithm.net.width": 16, "algorithm.net.depth": 1, "finish": ()}
    still = {"every.evaluate": 0, "every.sample": 0, "watch.metrics": ()}
    exp = edit(DIFFUSION["digits"], {**changes, **still})
    where = run("diffusion", exp, "digits").log.directory
    (lines,) = [text for text in blocks(ROOT / "README.md", "python") if "genjax.open" in text]
    there = re.sub(r'open\("runs/[^"]*"\)', f"open({str(where)!r})", lines)
    names: dict = {}
    exec(compile(there, "README.md", "exec"), names)
    assert str(where) in there and names["x"].shape == (50, 8, 8, 1)
    assert names["loss"].shape == (50,) and "net" in names["weights"]


@pytest.mark.parametrize("page", sorted((DOCS / "families").glob("*.md")), ids=lambda p: p.stem)
def test_the_config_of_a_family_s_page_fits_pictures(page, home):
    names = carried_out(page)
    plain = labelled(Image((8, 8, 1)), 10, 10)
    # what translates is given another picture
    spec = plain._replace(fields=(*plain.fields, ("input", plain.x)))
    # a page may name the data that its config is for
    spec = names.get("task", spec)
    batch = {name: np.zeros((8, *kind.shape), kind.dtype) for name, kind in spec.fields}
    batch["index"] = np.arange(8, dtype=np.uint32)
    if page.stem == "translation-unpaired":
        # two domains, of pictures that a critic's patch fits into
        spec = labelled(Image((16, 16, 1)), 10, 10, domains=("a", "b"))
        part = {**batch, "image": np.zeros((8, 16, 16, 1), np.uint8)}
        batch = {"index": batch["index"], "a": part, "b": part}
    algorithm = names["cfg"](spec)

    def one(key):
        return algorithm.step(key, algorithm.init(key, batch), batch)[1]

    metrics = jax.eval_shape(one, jax.random.key(0))
    # of a GAN each player has its own
    assert any(name.endswith("grad_norm") for name in metrics)


# Short enough for seconds; what they find is not of interest here.
HOWTO = {
    "algorithm": ("--steps=60", "--algorithm.couplings=2", "--every.log=20"),
    "dataset": ("--steps=20", "--every.log=20", "--every.evaluate=0"),
    "metric": (
        "--steps=20",
        "--every.log=20",
        "--watch.every=0",
        "--every.sample=0",
        "--every.evaluate=0",
    ),
    "finding": ("--steps=20", "--every.log=20", "--every.sample=0", "--every.evaluate=0"),
    "experiment": (
        "--steps=20",
        "--every.sample=0",
        "--every.evaluate=0",
        "--finish=(VaeBounds(Iwae(10)),)",
    ),
}


@pytest.mark.parametrize("name", HOWTO)
def test_a_file_of_the_howto_runs_as_it_is_typed(name, home, digits, monkeypatch, capsys):
    np.savez("pictures.npz", image=digits["image"][..., 0], label=digits["label"])
    monkeypatch.setattr(sys, "argv", [name, *HOWTO[name]])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    told = capsys.readouterr()
    assert end.value.code == 0, told.err
    (config,) = home.glob("runs/*/base-*/config.json")
    # as a module: a class of one's own has a name that genjax.open can import
    assert "__main__" not in config.read_text()
    results = config.with_name("results.json")
    found = results.read_text() if results.exists() else ""
    wanted = {"metric": "sliced_pca16", "finding": "held_out", "experiment": "iwae10"}
    assert wanted.get(name, "") in found


def test_the_flow_of_the_howto_is_a_density(home):
    """Its inverse is one, and its log density is that of the change of variables."""
    couplings = importlib.import_module("algorithm")
    cfg = couplings.Couplings(couplings=2)
    spec = labelled(couplings.Points((2,)), name="point")
    points = np.random.default_rng(0).standard_normal((4, 2)).astype(np.float32)
    batch = {"point": points, "index": np.arange(4, dtype=np.uint32)}

    @jax.jit
    def found(key):
        params = cfg(spec).init(key, batch).params
        z, log_det = couplings.forward(params, points, cfg)
        slopes = jax.vmap(jax.jacfwd(lambda x: couplings.forward(params, x[None], cfg)[0][0]))
        return couplings.inverse(params, z, cfg), log_det, slopes(points)

    again, log_det, slopes = found(jax.random.key(0))
    assert np.allclose(again, points, atol=1e-4)
    assert np.allclose(log_det, np.linalg.slogdet(slopes)[1], atol=1e-4)
    assert np.ptp(log_det) > 1e-3


def commands(page: Path) -> list[list[str]]:
    """The commands of a page as words, of experiments and over runs: of its blocks and its inline code."""
    text = page.read_text()
    lines = [line for block in blocks(page, "", "bash") for line in block.splitlines()]
    lines += re.findall(r"`(python -m [^`\n]+)`", FENCE.sub("", text))
    found = []
    for line in lines:
        _, start, rest = line.partition("python -m ")
        words = shlex.split(rest, comments=True) if start and "$" not in rest else []
        # … is left to the reader
        words = [word for word in words if word not in ("…", "...")]
        if words and re.fullmatch(
            r"genjax\.(sample|distance)|(genjax\.)?experiments\.\w+", words[0]
        ):
            found.append(words)
    return found


TOOLS = ("experiments.results", "experiments.numbers")  # no configs to print
OVER_RUNS = {
    "genjax.sample": ("RUN",),
    "genjax.distance": ("A", "B"),
}  # and what their words stand for


@pytest.mark.parametrize("page", TYPED, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_command_of_a_page_is_understood(page, capsys):
    """Flags, values and names of ablations are those of now."""
    for module, *words in commands(page):
        if module in TOOLS:
            continue
        program = importlib.import_module(module)
        if module in OVER_RUNS:
            command.read(words, OVER_RUNS[module], program.Options())
            continue
        # after the flags are read, and before a folder or a run that they name is looked for
        asked = [word for word in words if word not in ("--help", "--print")]
        with pytest.raises(SystemExit) as end:
            cli.main(program.EXPERIMENTS, print, "", [*asked, "--list"])
        assert end.value.code == 0, f"{module} {words}: {capsys.readouterr().err}"
        capsys.readouterr()


def test_commands_are_found_and_a_stale_one_is_noticed(tmp_path):
    assert len(commands(DOCS / "families" / "vaes.md")) > 3
    page = tmp_path / "page.md"
    page.write_text("```\npython -m experiments.vae --algorithm.lattent=2   # a slip\n```\n")
    with pytest.raises(AssertionError, match="lattent"):
        test_every_command_of_a_page_is_understood(page, Silent())


class Silent:
    """In the place of pytest's capture: what is printed is not of interest."""

    err = "lattent"

    def readouterr(self):
        return self


def test_every_page_is_reached_and_every_link_leads_somewhere():
    reached = set()
    for page in PAGES:
        text = page.read_text()
        for listed in re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL):
            lines = [line for line in listed.splitlines() if line and not line.startswith(":")]
            reached |= {DOCS / f"{line}.md" for line in lines}
        for target in LINK.findall(FENCE.sub("", text)):
            path, _, _ = target.partition("#")
            outside = "://" in target or not path
            assert outside or (page.parent / path).exists(), f"{page.name}: {target}"
        for included in re.findall(r"```\{(?:literalinclude|include)\} (\S+)", text):
            assert (page.parent / included).exists(), f"{page.name}: {included}"
    assert reached | {DOCS / "index.md"} == set(PAGES)


def test_every_file_of_the_howto_is_shown_and_run():
    files = {path.stem for path in (DOCS / "howto").glob("*.py")}
    shown = {path.stem for path in (DOCS / "howto").glob("*.md")}
    assert files == shown == set(HOWTO)


def test_every_module_is_in_the_reference():
    told = []
    for page in (DOCS / "api").glob("*.md"):
        told += re.findall(r"automodule:: (\S+)", page.read_text())
    modules = set()
    for path in (ROOT / "genjax").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        modules.add(name.removesuffix(".__init__"))
    # the package itself, programs, and what is documented elsewhere
    modules -= {"genjax", "genjax.experiments", *(m for m in modules if m.endswith("__main__"))}
    assert set(told) == modules
    assert len(told) == len(set(told))


def notebook():
    return pytest.importorskip("nbformat").read(NOTEBOOK, 4)


def test_the_notebook_is_short_told_and_without_outputs():
    cells = notebook().cells
    before = ["code", *(cell.cell_type for cell in cells)]
    for kind, cell in zip(before, cells, strict=False):
        if cell.cell_type != "code":
            continue
        assert not cell.outputs and cell.execution_count is None
        assert len(cell.source.splitlines()) <= 12
        assert kind == "markdown", f"no words before {cell.source!r}"
        ast.parse(cell.source)


@pytest.mark.slow
@pytest.mark.all
def test_the_notebook_runs(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = notebook()
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=300, resources=place).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 4
    printed = "".join(output.get("text", "") for output in outputs)
    assert re.search(r"^fd_pca16: samples 0|^fd_pca16: samples 1", printed, re.MULTILINE)


@pytest.mark.all
def test_the_site_is_built_without_a_warning_and_loads_nothing(tmp_path):
    pytest.importorskip("furo", reason="make docs installs it")
    build = importlib.import_module("sphinx.cmd.build")
    # the reference imports what it documents: nothing that is not imported here already
    arguments = ["-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "trees")]
    assert build.main([*arguments, str(DOCS), str(tmp_path / "site")]) == 0
    foreign = re.compile(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(?:https?:)?//")
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        assert not foreign.search(page.read_text()), page
    for sheet in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"url\(\"?https?:|@import", sheet.read_text()), sheet
