"""The rules of the house that a program can check: which module may know which."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent / "genjax"
FAMILIES = {"ae", "vae", "gan", "diffusion"}
KNOWS = {  # package of genjax -> the packages of genjax that it may import
    "errors": set(),
    "platform": set(),
    "checksum": set(),
    "hosts": {"config", "errors"},
    "preempt": {"errors", "hosts"},
    "pulse": set(),
    "run": {
        "checkpoint",
        "config",
        "core",
        "data",
        "errors",
        "hosts",
        "log",
        "parallel",
        "pulse",
        "watch",
    },
    "config": {"errors"},
    "core": set(),
    "classical": {"config", "errors"},
    "ema": {"config"},
    "latent": set(),
    "metrics": {
        "config",
        "data",
        "errors",
        "nets",
        "optim",
        "parallel",
    },  # a classifier of features is trained there
    "report": {"errors"},
    "watch": {"config", "errors", "metrics"},
    "optim": {"config"},
    "parallel": {"config", "errors"},
    "log": {"data", "errors", "hosts"},  # data.images writes the pictures
    "checkpoint": {"checksum", "errors", "log", "platform"},
    "cli": {"config", "errors", "platform"},
    "nets": {"config", "errors"},
    "data": {"checksum", "config", "errors", "platform"},
    "train": {
        "checkpoint",
        "config",
        "core",
        "data",
        "errors",
        "hosts",
        "log",
        "parallel",
        "platform",
        "preempt",
        "pulse",
        "report",
        "run",
        "watch",
    },
    "__init__": {"platform"},
    **{family: {"config", "core", "data", "ema", "errors", "nets", "optim"} for family in FAMILIES},
}


def imports(path: Path) -> set[str]:
    """The packages of genjax that a file names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "genjax":
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("genjax."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {
                name.name.split(".")[1] for name in node.names if name.name.startswith("genjax.")
            }
    return found


def test_dependencies_go_one_way():
    for path in ROOT.rglob("*.py"):
        package = path.relative_to(ROOT).parts[0].removesuffix(".py")
        stranger = imports(path) - KNOWS[package] - {package}
        assert not stranger, f"{path.name} of {package} imports {stranger}"


def test_no_pickle_no_eval_no_jit_in_algorithms():
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), path
            if isinstance(node, ast.Import):
                assert not any(
                    name.name in ("pickle", "dill", "tensorflow") for name in node.names
                ), path
            if path.relative_to(ROOT).parts[0] in FAMILIES and isinstance(node, ast.Attribute):
                assert node.attr not in ("jit", "pmap"), path
