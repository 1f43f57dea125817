"""What SECURITY.md says, sentence by sentence. (That reports escape what they show is in test_report.py.)"""

import ast
import contextlib
import functools
import gc
import io
import json
import os
import pickle
import shutil
import socket
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from flax import traverse_util
from PIL import EpsImagePlugin, Image

from experiments.vae import EXPERIMENTS
from genjax import cli
from genjax.config import edit, from_json, to_json
from genjax.data import Digits, Folder, Stock, cache
from genjax.data.files import FORMATS
from genjax.data.folder import decode, scan
from genjax.errors import UserError
from genjax.machine import hosts
from genjax.metrics import inception
from genjax.metrics.features import STRANGE, load_arrays, save_arrays
from genjax.nets import MLP
from genjax.training import loop as train
from genjax.training.checkpoint import SUMS, Checkpoints
from genjax.training.log import Log
from genjax.training.opened import open_run

ROOT = Path(__file__).parents[1]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n%%EOF\n"


def iptc(picture: bytes) -> bytes:
    """An IPTC file that holds a picture, which Pillow opens whatever its format."""

    def field(record: int, number: int, data: bytes) -> bytes:
        return struct.pack(">BBBH", 0x1C, record, number, len(data)) + data

    about = [(3, 60, b"\1\0"), (3, 65, b"\1"), (3, 20, b"\0\4"), (3, 30, b"\0\4")]
    head = b"".join(field(*each) for each in [*about, (3, 120, b"\5")])
    return head + field(8, 10, picture)


IPTC = iptc(EPS)


class Bait:
    """Whoever unpickles it opens `path` for writing."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def bait(tmp_path) -> Bait:
    """A bait that is known to work."""
    one = Bait(tmp_path / "sprung")
    pickle.loads(pickle.dumps(one)).close()
    one.path.unlink()
    return one


# --- no pickle is loaded ---------------------------------------------------------------------------------------------


def write_cache(directory: Path, content: bytes, shape: list[int], dtype: str) -> None:
    """A data cache with one array, its checksums as they should be: who plants a file mends them."""
    directory.mkdir(exist_ok=True)
    (directory / "train-image.npy").write_bytes(content)
    spec = {"shape": shape, "dtype": dtype, "crc32": zlib.crc32(content)}
    meta = {
        "version": cache.VERSION,
        "name": "x",
        "fingerprint": "m",
        "fields": {"image": {"kind": "Image", "shape": shape[1:]}},
        "notes": [],
    }
    meta |= {"splits": {"train": {"image": spec}}}
    meta["crc32"] = zlib.crc32(json.dumps(meta, sort_keys=True).encode())
    (directory / "meta.json").write_text(json.dumps(meta))


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def test_a_run_that_is_opened_imports_no_module_that_its_config_names(tmp_path, monkeypatch):
    run = tmp_path / "runs" / "sprung"
    run.mkdir(parents=True)
    (tmp_path / "planted_here.py").write_text(
        f"open({str(tmp_path / 'sprung')!r}, 'w').close()"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = {"__type__": "genjax.training.experiment:Experiment", "steps": 1}
    config["algorithm"] = [{"__type__": "planted_here:Anything"}]
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        UserError, match="names the class 'planted_here:Anything': if you trust"
    ):
        open_run(run)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(UserError):  # it has no such class, but it was asked
        open_run(run, trust=("planted_here",))
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("size", [3, 0], ids=["mapped", "read"])
@pytest.mark.parametrize("bare", [True, False], ids=["a bare pickle", "an array of objects"])
def test_a_pickle_in_the_data_cache_is_refused(tmp_path, bait, size, bare, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    shape = [size, 2, 2, 1]
    write_cache(tmp_path / "set", saved(np.ones(shape, np.uint8)), shape, "uint8")
    assert cache.read(tmp_path / "set", "m").splits["train"]["image"].shape == tuple(shape)
    content = pickle.dumps(bait) if bare else saved(_objects(bait, shape))
    write_cache(tmp_path / "set", content, shape, "object")
    with pytest.raises(cache.Changed):
        cache.read(tmp_path / "set", "m")
    assert not bait.path.exists()


def _objects(bait: Bait, shape) -> np.ndarray:
    array = np.empty(shape, object)
    array[...] = bait
    return array


@pytest.mark.parametrize("bare", [True, False], ids=["a bare pickle", "an array of objects"])
def test_a_pickle_among_features_and_inception_weights_is_refused(
    tmp_path, bait, bare, monkeypatch
):
    path, like = tmp_path / "weights.npz", {"a": {"b": jax.ShapeDtypeStruct((2,), np.float32)}}
    save_arrays(path, {"a": {"b": np.ones(2, np.float32)}})
    assert load_arrays(path, like)["a"]["b"].tolist() == [1.0, 1.0]
    with path.open("wb") as file:
        pickle.dump(bait, file) if bare else np.savez(file, **{"a/b": _objects(bait, (2,))})
    with pytest.raises(STRANGE):
        load_arrays(path, like)
    monkeypatch.setattr(inception, "shapes", lambda: like)
    with pytest.raises(UserError, match="holds no Inception weights"):
        inception.load(path)
    assert not bait.path.exists()


@pytest.mark.parametrize("bare", [True, False], ids=["a bare pickle", "torch.save"])
def test_a_pickle_for_pytorchs_weights_is_refused(tmp_path, bait, bare, capsys):
    torch = pytest.importorskip("torch", reason="PyTorch is installed by `make bench`")
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"a": bait}, protocol=2)) if bare else torch.save(
        {"a": bait}, path
    )
    assert inception.main(["convert", str(path), str(tmp_path / "out.npz")]) == 2
    assert "is not a state dict" in capsys.readouterr().err
    assert not bait.path.exists() and not (tmp_path / "out.npz").exists()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # Orbax leaves a coroutine where it fails
def test_a_pickle_in_any_file_of_a_checkpoint_is_not_loaded(tmp_path, bait):
    state = {"w": np.arange(8.0, dtype=np.float32), "n": np.int32(3)}
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
    checkpoints = Checkpoints(tmp_path / "good", "{}")
    checkpoints.save(1, state, {})
    checkpoints.close()
    files = [path for path in (tmp_path / "good" / "1").rglob("*") if path.is_file()]
    refused = 0
    for i, path in enumerate(files):
        bad = tmp_path / str(i)
        shutil.copytree(tmp_path / "good", bad)
        step = bad / "1"
        name = str(path.relative_to(tmp_path / "good" / "1"))
        (step / name).write_bytes(pickle.dumps(bait))
        sums = json.loads((tmp_path / "good" / "1" / SUMS).read_text())
        if name in sums:  # who plants a file mends its checksum
            (step / SUMS).write_text(json.dumps(sums | {name: zlib.crc32(pickle.dumps(bait))}))
        restorer = Checkpoints(bad, "{}")
        try:
            restorer.restore(like)
        except Exception:
            refused += 1
        finally:
            restorer.close()
    gc.collect()
    assert len(files) > 4 and refused >= 3 and not bait.path.exists()


# --- no text is evaluated --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "type_and_arguments",
    [
        {"__type__": "os:system", "command": "touch {}"},
        {"__type__": "builtins:eval", "source": "open('{}', 'w')"},
        {"__type__": "builtins:open", "file": "{}", "mode": "w"},
        {"__type__": "subprocess:Popen", "args": ["touch", "{}"]},
        {"__type__": "pathlib:Path", "path": "{}"},
        {"__type__": "genjax.config:importlib.import_module", "name": "this"},
        {"__type__": "genjax.data:Digits.load"},
        {"__type__": "dataclasses:make_dataclass", "cls_name": "X", "fields": []},
    ],
)
def test_a_config_names_config_types_and_nothing_else(tmp_path, type_and_arguments):
    text = json.dumps(type_and_arguments).replace("{}", str(tmp_path / "touched"))
    with pytest.raises(UserError, match="neither a frozen dataclass nor a linen module"):
        from_json(text)
    inside = json.loads(to_json(EXPERIMENTS["digits"])) | {"data": json.loads(text)}
    with pytest.raises(UserError, match="neither a frozen dataclass nor a linen module"):
        from_json(json.dumps(inside))
    assert not list(tmp_path.iterdir())


def test_reading_a_config_imports_the_modules_it_names(tmp_path, monkeypatch):
    (tmp_path / "planted_module.py").write_text(
        "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError):
        from_json('{"__type__": "planted_module:Anything"}')
    sys.modules.pop("planted_module", None)
    assert (
        tmp_path / "ran"
    ).exists()  # as SECURITY.md says: what is on Python's path is trusted


HOSTILE = (
    ("data", "__import__('os').system('touch PATH')"),
    ("data", "exec(\"open('PATH', 'w')\")"),
    ("data", "Digits(valid=open('PATH', 'w'))"),
    ("data", "Digits(open('PATH', 'w'))"),
    ("data", "Digits.load.__globals__['os'].system('touch PATH')"),
    ("algorithm", "(lambda: open('PATH', 'w'))()"),
    ("algorithm.beta", "open('PATH', 'w')"),
    ("algorithm.beta", "-open('PATH', 'w')"),
    ("algorithm.beta", "f\"{open('PATH', 'w')}\""),
    ("algorithm.beta", "4.0 if open('PATH', 'w') else 3.0"),
    ("algorithm.log_var", "(0.0, open('PATH', 'w'))"),
    ("steps", "[open('PATH', 'w') for _ in (1,)][0]"),
    ("steps", "(x := open('PATH', 'w'))"),
)


@pytest.mark.parametrize(("path", "text"), HOSTILE)
def test_a_value_on_the_command_line_is_not_evaluated(tmp_path, capsys, path, text):
    touched = tmp_path / "touched"
    text = text.replace("PATH", str(touched))
    with contextlib.suppress(Exception):
        eval(text, {"Digits": Digits})
    assert touched.exists(), "this text does nothing when it is evaluated, so it tests nothing"
    touched.unlink()
    with pytest.raises(SystemExit) as end:
        cli.main(
            EXPERIMENTS,
            lambda *_: pytest.fail("the run was started"),
            "A test.",
            [f"--{path}={text}"],
        )
    assert (
        end.value.code == 2
        and len(capsys.readouterr().err.splitlines()) == 1
        and not touched.exists()
    )


def test_a_text_on_the_command_line_stays_a_text(tmp_path):
    touched, seen = tmp_path / "touched", []
    text = f"__import__('os').system('touch {touched}')"
    with pytest.raises(SystemExit) as end:
        cli.main(
            EXPERIMENTS, lambda exp, *_: seen.append(exp.runs), "A test.", [f"--runs={text}"]
        )
    assert end.value.code == 0 and seen == [text] and not touched.exists()


# --- the source ------------------------------------------------------------------------------------------------------

UNPICKLE = {
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "yaml",
}
START = {"subprocess", "multiprocessing", "pty", "ctypes", "code", "codeop"}
NETWORK = {
    "socketserver",
    "http",
    "urllib",
    "requests",
    "ftplib",
    "smtplib",
    "xmlrpc",
    "asyncio",
    "aiohttp",
}
FORBIDDEN = UNPICKLE | START | NETWORK | {"tarfile"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {
    "extractall",
    "unpack_archive",
    "download_and_extract",
    "iter_archive",
    "start_server",
    "popen",
    "system",
}
# who may import a module by its name: the second imports its own package alone
IMPORTS = {"genjax/config.py", "genjax/training/migrate.py"}
READS = {  # who may read a config of a file
    "genjax/training/migrate.py",  # its types are checked first
    "genjax/training/opened.py",  # of a run that the user names
}
JOINS = {"genjax/machine/hosts.py"}  # who may join other processes
ASKS = {
    ("genjax/machine/platform.py", "ctypes")
}  # which calls malloc_trim of the C library, and nothing else


def offences(source: str, name: str = "genjax/x.py") -> set[str]:
    """What in a file SECURITY.md says is nowhere."""
    found, nodes = set(), list(ast.walk(ast.parse(source)))
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
    builtin = CALLS - (
        arguments & {"compile"}
    )  # some functions are given the function that compiles
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            above = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )
            modules = above or [
                alias.name for alias in node.names if isinstance(node, ast.Import)
            ]
            found |= {
                top
                for top in (module.split(".")[0] for module in modules)
                if (name, top) not in ASKS
            } & FORBIDDEN
            names = (
                {alias.name for alias in node.names}
                if isinstance(node, ast.ImportFrom)
                else set()
            )
            found |= names & (METHODS | CALLS | {"ZipFile"})
            found |= {
                module
                for module in modules
                if isinstance(node, ast.ImportFrom) and module == "socket"
            }
            if "import_module" in names and name not in IMPORTS:
                found.add("import_module")
        if isinstance(node, ast.Attribute):
            place = ast.unparse(node)
            if (
                node.attr in METHODS
                or place.startswith("os.exec")
                or place.startswith("os.spawn")
            ):
                found.add(place)
            if node.attr in CALLS and ast.unparse(node.value) == "builtins":
                found.add(place)
            if node.attr == "ZipFile" or (node.attr == "import_module" and name not in IMPORTS):
                found.add(node.attr)
            if place.startswith("socket.") and node.attr != "gethostname":
                found.add(place)
            if place == "jax.distributed.initialize" and name not in JOINS:
                found.add(place)
        if isinstance(node, ast.Call):
            given = {k.arg: ast.unparse(k.value) for k in node.keywords}
            called = ast.unparse(node.func)
            reads = called.split(".")[-1] == "from_json" and name not in READS
            if called in builtin or reads:
                found.add(called)
            if (
                given.get("allow_pickle", "False") != "False"
                or given.get("shell", "False") != "False"
            ):
                found.add("allow_pickle or shell")
            if called == "torch.load" and given.get("weights_only") != "True":
                found.add(called)
    return found


def test_the_source_has_none_of_it():
    files = [
        path for folder in ("genjax", "experiments") for path in (ROOT / folder).rglob("*.py")
    ]
    found = {
        str(path.relative_to(ROOT)): offences(path.read_text(), str(path.relative_to(ROOT)))
        for path in files
    }
    assert len(files) > 60 and not {name: what for name, what in found.items() if what}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, marshal as m",
        "from pickle import loads",
        "def f():\n    import shelve",
        "from yaml import load",
        "import tarfile",
        "eval('1')",
        "exec('1')",
        "__import__('os')",
        "compile('1', '', 'eval')",
        "import builtins\nf = builtins.eval",
        "os.system('ls')",
        "from os import system",
        "os.execv('ls', [])",
        "run('ls', shell=True)",
        "np.load(x, allow_pickle=True)",
        "np.load(x, allow_pickle=flag)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "zipfile.ZipFile(x)",
        "z.extractall()",
        "shutil.unpack_archive(x)",
        "importlib.import_module(x)",
        "from importlib import import_module",
        "import http.server",
        "from urllib.request import urlopen",
        "socket.socket()",
        "from socket import create_server",
        "jax.distributed.initialize()",
        "jax.profiler.start_server(1)",
        "config.from_json(text)",
    ],
)
def test_the_search_finds(source):
    assert offences(source)


def test_the_search_passes_over_what_only_sounds_so():
    calls = "module.eval(); jax.eval_shape(f); fn.lower(x).compile(); 'eval(1)'  # pickle"
    innocent = f"{calls}\nnp.load(x, allow_pickle=False)"
    assert not offences(innocent)
    assert not offences("torch.load(x, weights_only=True)\nexcept_ = zipfile.BadZipFile")
    assert not offences("jax.distributed.initialize()", "genjax/machine/hosts.py")


# --- nothing is written outside --------------------------------------------------------------------------------------


def tree(root: Path) -> dict[str, tuple]:
    """Every file and folder below, with the content of files."""
    paths = sorted(path for path in root.rglob("*") if not path.is_symlink())
    return {str(path): (path.is_file() and path.read_bytes(), path.is_dir()) for path in paths}


def test_a_member_of_an_archive_is_written_nowhere(tmp_path):
    path, nasty = (
        tmp_path / "a" / "b" / "features.npz",
        ("../../evil", f"{tmp_path}/absolute", "y/../../../evil"),
    )
    save_arrays(path, {"x": np.ones(2, np.float32)})
    with zipfile.ZipFile(path, "a") as archive:
        for name in nasty:
            archive.writestr(f"{name}.npy", archive.read("x.npy"))
        link = zipfile.ZipInfo("link.npy")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    before, like = tree(tmp_path), jax.ShapeDtypeStruct((2,), np.float32)
    with pytest.raises(ValueError):
        load_arrays(path, {"x": like})
    with pytest.raises(ValueError):
        load_arrays(
            path,
            traverse_util.unflatten_dict(dict.fromkeys(("x", "link", *nasty), like), sep="/"),
        )
    assert tree(tmp_path) == before


def save_image(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(path, "png")


def test_names_and_links_in_a_folder_of_images_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache" / "genjax"))
    names = (
        "..evil",
        "a\\..\\..\\evil",
        "%2e%2e%2fevil",
        f"$(touch {tmp_path.name})",
        "; touch x",
        "new\nline",
        "<b>",
    )
    folder = tmp_path / "images"
    for i, name in enumerate(names):
        safe = name.replace("/", "_")
        for j in range(3):
            save_image(folder / safe / f"`touch y`{j}$(touch z).png", 20 * i + j)
    outside = tmp_path / "outside"
    for i in range(3):
        save_image(outside / "class" / f"{i}.png", 200 + i)
    (folder / "leads_out").symlink_to(outside / "class")
    (folder / "<b>" / "link.png").symlink_to(outside / "class" / "0.png")
    before = {name: value for name, value in tree(tmp_path).items() if "/cache" not in name}
    here = sorted(os.listdir())
    source = Folder(str(folder), size=4, test=0.3).load()
    assert "leads_out" in source.class_names and "..evil" not in source.class_names
    # link.png leads to what is there by leads_out already
    assert len(source.train["image"]) + len(source.test["image"]) == 3 * (len(names) - 1) + 3
    after = {name: value for name, value in tree(tmp_path).items() if "/cache" not in name}
    assert after == before and sorted(os.listdir()) == here


@pytest.mark.parametrize(
    "links",
    [{"cat/up": ".."}, {"cat/self": "."}, {"cat/far": "../../far", "../far/back": "../root"}],
)
def test_links_that_lead_round_end(tmp_path, links):
    root = tmp_path / "root"
    for name in ("cat", "dog"):
        save_image(root / name / "0.png")
    (root / "other").symlink_to(root / "dog")  # not round, but to a place that is there
    (tmp_path / "far").mkdir()
    for name, to in links.items():
        (root / name).symlink_to(to)
    found = scan(root, 0.0)
    assert sorted(found.names()) == ["cat/0.png", "dog/0.png"]
    assert "links to what is there already" in found.notes[0]


# --- data start no program and no module -----------------------------------------------------------------------------


@pytest.fixture
def ghostscript(tmp_path, monkeypatch) -> Path:
    """The file that a program in ghostscript's place touches; Pillow is known to start that program."""
    ran, program = tmp_path / "ran", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] || : > '{ran}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    (tmp_path / "proof.eps").write_bytes(EPS)
    with contextlib.suppress(Exception), Image.open(tmp_path / "proof.eps") as image:
        image.load()
    assert ran.exists()
    ran.unlink()
    return ran


@pytest.mark.parametrize("content", [EPS, IPTC], ids=["EPS", "IPTC"])
def test_postscript_with_the_name_of_a_picture_is_not_run(tmp_path, ghostscript, content):
    (tmp_path / "proof").write_bytes(content)
    with contextlib.suppress(Exception), Image.open(tmp_path / "proof") as image:
        image.load()
    assert ghostscript.exists(), "Pillow starts nothing for this, so it tests nothing"
    ghostscript.unlink()
    for suffix in (".png", ".tga", ".psd"):
        (tmp_path / f"x{suffix}").write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as an image"):
            decode(tmp_path / f"x{suffix}", 4, True)
    assert not ghostscript.exists()


def test_the_formats_that_are_read_are_those_that_the_page_names():
    text = " ".join((ROOT / "SECURITY.md").read_text().split())
    named = text.partition("Only ")[2].partition(" are decoded")[0].replace(" and ", ", ")
    assert [name.replace(" ", "").upper() for name in named.split(", ")] == list(FORMATS)


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data))
            + kind
            + data
            + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    (tmp_path / "x.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    with pytest.raises(UserError, match="decompression bomb"):
        decode(tmp_path / "x.png", 4, True)


class PostscriptSet(tfds.core.GeneratorBasedBuilder):
    """A set of one picture, which is a PostScript program."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = Path(__file__).parent

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(4, 4, 3)),
            "label": tfds.features.ClassLabel(names=["x"]),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl):
        return {split: self._generate_examples() for split in ("train", "test")}

    def _generate_examples(self):
        yield 0, {"image": EPS, "label": 0}


def test_postscript_in_a_stock_set_is_not_run(tmp_path, ghostscript, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    PostscriptSet(data_dir=tmp_path / "tfds", file_format="array_record").download_and_prepare()
    with pytest.raises((UserError, OSError)):
        Stock("postscript_set", str(tmp_path / "tfds")).load()
    assert not ghostscript.exists()


NEW = {"pythonClassName": "MODULE.Evil", "jsonFeature": {"json": "{}"}}
SNAKE = {"python_class_name": "MODULE.Evil", "json_feature": {"json": "{}"}}
OLD = {"type": "MODULE.Evil", "content": {}}
DICT = "tensorflow_datasets.core.features.features_dict.FeaturesDict"


@pytest.mark.parametrize(
    "features",
    [
        NEW,
        OLD,
        {"pythonClassName": DICT, "featuresDict": {"features": {"image": NEW}}},
        {"python_class_name": DICT, "features_dict": {"features": {"image": SNAKE}}},
        {"type": DICT, "content": {"image": OLD}},
        {"pythonClassName": DICT, "jsonFeature": {"json": json.dumps({"image": OLD})}},
    ],
)
def test_a_stock_set_names_no_module_to_import(tmp_path, monkeypatch, features, request):
    module = f"planted_{abs(hash(request.node.name))}"
    text = json.dumps(features).replace("MODULE", module)
    (tmp_path / f"{module}.py").write_text(
        "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = tmp_path / "tfds" / "nasty" / "1.0.0"
    found.mkdir(parents=True)
    (found / "features.json").write_text(text)
    (found / "dataset_info.json").write_text(
        '{"name": "nasty", "version": "1.0.0", "fileFormat": "array_record"}'
    )
    with contextlib.suppress(Exception):
        tfds.features.FeatureConnector.from_config(str(found))
    assert (tmp_path / "ran").exists(), "TFDS imports nothing for this, so it tests nothing"
    (tmp_path / "ran").unlink()
    sys.modules.pop(module)
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="not of TFDS"):
        Stock("nasty", str(tmp_path / "tfds")).load()
    assert not (tmp_path / "ran").exists()


# --- nothing listens -------------------------------------------------------------------------------------------------

LISTEN = "0A"  # the state in /proc/net/tcp
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/net/tcp").exists(), reason="needs Linux's /proc"
)


def sockets() -> set[tuple[str, str, str]]:
    """(protocol, local address, state) of every internet socket of this process."""
    own = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            own.add(
                os.readlink(f"/proc/self/fd/{name}").removeprefix("socket:[").removesuffix("]")
            )
    found = set()
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        table = Path("/proc/self/net") / protocol
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, _, state, *rest = line.split()
            if rest[5] in own:
                found.add((protocol, local, state))
    return found


CALLED: list[
    str
] = []  # what Python has done with sockets, once `hear` is installed: an audit hook stays for ever


@functools.cache
def hear() -> None:
    heard = {f"socket.{what}" for what in ("connect", "bind", "getaddrinfo", "sendto")}
    sys.addaudithook(lambda event, _: CALLED.append(event) if event in heard else None)


@needs_proc
def test_a_run_opens_no_socket(tmp_path, monkeypatch):
    hear()
    before, seen, advance = sockets(), [], Log.advance
    CALLED.clear()
    with socket.create_server(("127.0.0.1", 0)):
        assert [state for *_, state in sockets() - before] == [LISTEN]  # one would be seen
    assert CALLED == ["socket.bind"]
    CALLED.clear()

    def hooked(self, step):
        advance(self, step)
        seen.append(sockets() - before)

    monkeypatch.setattr(Log, "advance", hooked)
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    small = {"enc": MLP((4,)), "dec": MLP((4,)), "latent": 2, "warmup": 0}
    changes = {f"algorithm.{name}": value for name, value in small.items()}
    changes |= {
        "steps": 4,
        "batch": 8,
        "chunk": 1,
        "every.evaluate": 2,
        "every.sample": 2,
        "every.save": 2,
    }
    exp = edit(
        EXPERIMENTS["digits"], changes | {"samples": 4, "finish": (), "runs": str(tmp_path)}
    )
    with pytest.raises(SystemExit) as end:
        cli.main({"base": exp}, functools.partial(train.run, "listen"), "A test.", [])
    assert end.value.code == 0
    assert len(seen) == 4 and not set().union(*seen) and not sockets() - before and not CALLED


@needs_proc
def test_one_host_joins_nobody():
    before = sockets()
    hosts.Hosts().join()
    assert sockets() == before and not jax.distributed.is_initialized()
