"""The modules of the benchmarks lie in layers: each knows only what is below it, so there is no circle."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = (  # from the lowest; a module imports from layers below its own, never from its own
    {"__init__", "tasks"},  # plain data: sizes, nets, learning rates
    {
        "tasks.vae",
        "tasks.diffusion",
        "tasks.gan",
        "tasks.growth",
        "tasks.text",
        "tasks.translate",
    },
    {"tasks.gpu", "gpu"},
    {"gpu.lines"},
    {"profile"},
    {"turns"},
    {"common"},
    {"side_torch", "side_genjax"},  # what the families of a side share
    {"translate_nets_torch"},
    {
        "vae_torch",
        "diffusion_torch",
        "gan_torch",
        "translate_torch",
        "text_torch",
        "peers_torch",
    },  # the workers
    {
        "vae_genjax",
        "diffusion_genjax",
        "gan_genjax",
        "translate_genjax",
        "text_genjax",
        "floors_genjax",
        "heads_genjax",
        "overhead_genjax",
        "components_genjax",
    },
    {"growth_genjax"},
    {"gpu.row", "gpu.speed_torch"},
    {"gpu.contract_genjax", "gpu.speed_genjax", "gpu.train_genjax"},
    {"gpu.resume_genjax", "gpu.flags_genjax"},
    {
        "vae",
        "diffusion",
        "gan",
        "translate",
        "text",
        "peers",
        "growth",
        "health",
        "overhead",
        "components",
    },  # the commands
    {"__main__", "gpu.__main__"},  # all of them in one table
)
HEIGHT = {module: height for height, layer in enumerate(LAYERS) for module in layer}
LIBRARIES = {  # of what is below the sides; imported inside of functions only
    "torch",
    "jax",
    "flax",
    "optax",
    "genjax",
    "experiments",
}


def module_of(path):
    """The name of a file below benchmarks/: "tasks.vae", and "tasks" of tasks/__init__.py."""
    parts = path.relative_to(ROOT / "benchmarks").with_suffix("").parts
    if len(parts) > 1 and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts)


FILES = {module_of(path): path for path in sorted((ROOT / "benchmarks").rglob("*.py"))}


def imported(nodes):
    """The absolute names that import statements name, "benchmarks.tasks.CHECKED" of an attribute too."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def neighbours(path):
    """The modules of the benchmarks that a file imports, inside of functions and for types too."""
    found = set()
    for name in imported(ast.walk(ast.parse(path.read_text()))):
        package, _, rest = name.partition(".")
        if package != "benchmarks":
            continue
        while rest and rest not in FILES:  # what is imported from a module
            rest = rest.rpartition(".")[0]
        found.add(rest or "__init__")
    return found


def test_every_module_has_its_layer():
    assert set(FILES) == set(HEIGHT)


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_module_knows_only_what_is_below_it(module):
    for neighbour in neighbours(FILES[module]):
        assert HEIGHT[neighbour] < HEIGHT[module], f"{module} imports {neighbour}"


@pytest.mark.parametrize("module", sorted(name for name in HEIGHT if "torch" not in name))
def test_a_library_is_imported_by_its_side_alone(module):
    body = ast.parse(FILES[module].read_text()).body
    libraries = {name.partition(".")[0] for name in imported(body)} & LIBRARIES
    if module.endswith("_genjax"):
        assert "torch" not in libraries
    else:
        assert not libraries


def test_no_side_of_pytorch_knows_jax():
    for module in (name for name in HEIGHT if name.endswith("_torch")):
        names = imported(ast.walk(ast.parse(FILES[module].read_text())))
        assert not {name.partition(".")[0] for name in names} & (LIBRARIES - {"torch"}), module


def test_plain_data_is_read_without_a_library():
    read = "; ".join(f"import benchmarks.{name}" for name in FILES if name.startswith("tasks"))
    told = (
        f"import sys; {read}; print({{'torch', 'jax', 'numpy', 'genjax'}} & set(sys.modules))"
    )
    said = subprocess.check_output([sys.executable, "-c", told], cwd=ROOT, text=True)
    assert said == "set()\n"
