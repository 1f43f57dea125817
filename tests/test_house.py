"""The rules of the house that a program can check: which room may know which, and how dense a page may be."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "genjax"
FAMILIES = ("ae", "anomaly", "audit", "vae", "gan", "diffusion", "sequence")
LAYERS = (  # a room knows those above it in this list, and itself; rooms of one row do not know each other
    ("errors",),
    ("config",),
    ("machine", "optim", "ema", "corruptions"),
    ("pictures",),
    ("fields",),
    ("core",),
    ("conditions", "draws", "views"),
    ("nets", "data"),
    ("metrics", "classical", "report", "codec"),
    ("sweep",),
    ("cli",),
    FAMILIES,
    ("translate",),
    ("training",),
    ("findings",),
    ("command",),
    ("compress", "distance", "pack", "restore", "sample", "segment"),
)
HEIGHT = {room: height for height, row in enumerate(LAYERS) for room in row}
FILES = sorted(HOUSE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The rooms of genjax that a file names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "genjax":
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("genjax."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            inside = [name.name for name in node.names if name.name.startswith("genjax.")]
            found |= {name.split(".")[1] for name in inside}
    return found


def test_rooms_know_only_what_lies_below_them():
    for path in FILES:
        room = room_of(path)
        # a family's own command stands above all rooms, wherever it lies
        if room == "__init__" or path.name == "__main__.py":
            continue
        for other in imports(path) - {room}:
            assert HEIGHT[other] < HEIGHT[room], f"{path.relative_to(ROOT)} imports {other}"


def test_training_knows_the_contract_and_no_family():
    for path in (HOUSE / "training").glob("*.py"):
        assert not imports(path) & {*FAMILIES, "translate", "findings"}, path.name


def test_no_pickle_no_eval_no_jit_in_algorithms():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), path
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
                assert not {"pickle", "dill", "tensorflow"} & set(names), path
            if room_of(path) in (*FAMILIES, "translate") and isinstance(node, ast.Attribute):
                assert node.attr not in ("jit", "pmap"), path


# Density: syntax nodes a line of code. By this count optax 0.2.8 has 7.7.


def docstrings(tree: ast.AST) -> list[ast.stmt]:
    """The statements that are docstrings."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [node.body[0] for node in found if ast.get_docstring(node, clean=False) is not None]


def counted(path: Path) -> tuple[int, int, int, int]:
    """(syntax nodes, lines of code, lines with a comment, all lines) of a file; docstrings are no code."""
    text = path.read_text()
    tree = ast.parse(text)
    documents = docstrings(tree)
    told = {line for node in documents for line in range(node.lineno, node.end_lineno + 1)}
    code, comments = set(), set()
    layout = (
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    )
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in layout:
            code |= set(range(token.start[0], token.end[0] + 1))
    nodes = sum(1 for _ in ast.walk(tree)) - 2 * len(
        documents
    )  # an expression and its constant
    return nodes, len(code - told), len(comments), len(text.splitlines())


def test_pages_are_readable():
    totals = [0, 0, 0, 0]
    for path in FILES:
        counts = counted(path)
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
        nodes, lines, *_ = counts
        assert nodes <= DENSEST * max(lines, 4), (
            f"{path.name}: {nodes / lines:.1f} nodes a line"
        )
    nodes, lines, comments, everything = totals
    assert nodes / lines <= AVERAGE, f"{nodes / lines:.2f} nodes a line of code"
    assert comments / everything >= COMMENTED, f"{100 * comments / everything:.1f} % comments"


AVERAGE, DENSEST, COMMENTED = 10.0, 13.0, 0.07


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").glob("*.py")), ids=lambda p: p.stem
)
def test_an_experiment_is_a_question_and_configs(path):
    if path.stem in ("results", "numbers"):  # the two tools that keep the numbers
        return
    lines = path.read_text().splitlines()
    assert len(lines) <= 120, f"{path.name} has {len(lines)} lines"
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.ClassDef), f"{path.name} defines {node.name}"


ITERATORS = ("enumerate", "filter", "iter", "map", "reversed", "zip")


def test_cases_are_no_iterators():
    """An iterator that several tests share is empty for all but the first, and pytest tells no fault of it."""
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or len(node.args) < 2:
                continue
            # pytest.mark.parametrize(names, values)
            if getattr(node.func, "attr", "") != "parametrize":
                continue
            values = node.args[1]
            called = isinstance(values, ast.Call) and getattr(values.func, "id", "")
            if isinstance(values, ast.GeneratorExp) or called in ITERATORS:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found, f"make lists of the cases at {', '.join(found)}"
