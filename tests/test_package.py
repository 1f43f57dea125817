"""What an installation brings: one top-level name with the experiments under it, and the release that it tells."""

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
import warnings
import zipfile
from pathlib import Path

import pytest

import genjax
from genjax.machine import distribution

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCES = (
    "pyproject.toml",
    "requirements.txt",
    "README.md",
    "LICENSE",
    "LICENSES",
    "genjax",
    "experiments",
)


def installed(folder: Path, name: str, version: str, summary: str) -> None:
    """Lays the metadata of a distribution into a folder, as an installer does."""
    home = folder / f"{name}-{version}.dist-info"
    home.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {summary}\n"
    (home / "METADATA").write_text(head)


def elsewhere(monkeypatch, folder: Path) -> None:
    """As if genjax lay in the site-packages `folder`, and nothing else did."""
    monkeypatch.setattr(sys, "path", [str(folder)])
    home = folder / "genjax" / "machine" / "distribution.py"
    monkeypatch.setattr(distribution, "__file__", str(home))


def warned() -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        distribution.warn_of_namesake()
    return [str(each.message) for each in found]


def test_windows_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(
        ImportError, match="on Linux and macOS, not on Windows itself .* use WSL"
    ):
        importlib.reload(genjax)


def test_the_release_of_a_clone_is_that_of_its_pyproject():
    assert genjax.__version__ == PROJECT["version"]
    assert PROJECT["name"] == distribution.NAME != distribution.OTHER
    assert PROJECT["description"] == distribution.SUMMARY


def test_the_release_of_an_installation_is_that_of_its_metadata(monkeypatch, tmp_path):
    installed(tmp_path, distribution.NAME, "7.8.9", distribution.SUMMARY)
    # the file that some other package has left behind
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\nversion = "1.0"\n')
    elsewhere(monkeypatch, tmp_path)
    assert genjax.__version__ == "7.8.9"


def test_files_that_were_copied_by_hand_have_no_release(monkeypatch, tmp_path):
    elsewhere(monkeypatch, tmp_path)
    assert genjax.__version__ == "unknown"


def test_the_other_project_is_told_of_in_one_line(monkeypatch, tmp_path):
    installed(tmp_path, "genjax", "1.0.14", "Vectorized probabilistic programming")
    elsewhere(monkeypatch, tmp_path)
    (line,) = warned()
    assert "1.0.14" in line and distribution.NAME in line and "\n" not in line


def test_our_own_old_name_and_no_name_are_passed_over(monkeypatch, tmp_path):
    elsewhere(monkeypatch, tmp_path)
    assert not warned()
    installed(tmp_path, "genjax", "0.1.0", distribution.SUMMARY)
    assert not warned()


def test_what_is_no_name_of_genjax_is_refused():
    with pytest.raises(AttributeError, match="has no attribute 'opne'"):
        genjax.opne  # noqa: B018


def test_importing_genjax_imports_no_jax():
    program = "import sys, genjax; print({'jax', 'numpy', 'tomllib'} & set(sys.modules))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_clone_has_the_experiments_under_both_names():
    for name in ("vae", "edit"):
        beside = importlib.import_module(f"experiments.{name}")
        within = importlib.import_module(f"genjax.experiments.{name}")
        assert within.EXPERIMENTS == beside.EXPERIMENTS
        assert Path(within.__file__) == Path(beside.__file__)


def test_experiments_find_each_other_under_either_name():
    """`from experiments import x` would look for the user's own folder in an installation."""
    for path in (ROOT / "experiments").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert not [name for name in names if name.split(".")[0] == "experiments"], path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel that `pip install .` makes, built of links to what it is made of."""
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        (source / name).symlink_to(ROOT / name)
    out = tmp_path_factory.mktemp("wheel")
    program = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    command = [sys.executable, "-c", program]
    subprocess.run(command, cwd=source, capture_output=True, check=True)
    (built,) = out.glob("*.whl")
    return built


def test_a_wheel_brings_one_name(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"genjax", f"{distribution.NAME}-{PROJECT['version']}.dist-info"}


def test_a_wheel_has_every_module_and_every_experiment(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {path.relative_to(ROOT).as_posix() for path in (ROOT / "genjax").rglob("*.py")}
    wanted |= {
        f"genjax/experiments/{path.name}" for path in (ROOT / "experiments").glob("*.py")
    }
    assert wanted <= names
    # the folder itself, not the file that points to it in a clone
    text = zipfile.ZipFile(wheel).read("genjax/experiments/__init__.py").decode()
    assert text == (ROOT / "experiments" / "__init__.py").read_text()


@pytest.mark.slow
def test_a_folder_experiments_of_ones_own_hides_nothing(wheel, tmp_path):
    home = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(home)
    own = tmp_path / "work" / "experiments"
    own.mkdir(parents=True)
    (own / "__init__.py").touch()
    (own / "vae.py").write_text("raise SystemExit('the wrong one')\n")
    command = [sys.executable, "-m", "genjax.experiments.edit", "--list"]
    environment = {**os.environ, "PYTHONPATH": str(home)}
    done = subprocess.run(
        command, cwd=own.parent, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("base ")


def test_the_release_is_told_alike_everywhere():
    citation = (ROOT / "CITATION.cff").read_text()
    changes = (ROOT / "CHANGELOG.md").read_text()
    # what is cited is the newest release; a clone may be on its way to the next
    (cited,) = re.findall(r"\nversion: (.*)\n", citation)
    on_the_way = PROJECT["version"].endswith(".dev0") and "\n## [Unreleased]\n" in changes
    assert PROJECT["version"] == cited or on_the_way
    assert f"\nlicense: {PROJECT['license']}\n" in citation
    for author in PROJECT["authors"]:
        assert f"- name: {author['name']}\n" in citation
    (released,) = re.findall(r'\ndate-released: "(.*)"\n', citation)
    newest, date = re.findall(r"\n## \[(\d.*)\] - (.*)\n", changes)[0]
    assert (newest, date) == (cited, released)
    assert changes.index("## [Unreleased]") < changes.index(f"## [{cited}]")


def test_open_is_that_of_the_runs():
    from genjax.training.opened import open_run

    assert genjax.open is open_run
