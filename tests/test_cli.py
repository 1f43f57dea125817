from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import flax.linen as nn
import pytest

from genjax import cli
from genjax.config import digest, edit, field, from_json
from genjax.errors import Preempted, UserError


@dataclasses.dataclass(frozen=True)
class Bernoulli:
    pass


@dataclasses.dataclass(frozen=True)
class Gaussian:
    scale: float = field(1.0, "standard deviation")
    learn: bool = field(False, "learn it")

    def __call__(self, x):
        return x


@dataclasses.dataclass(frozen=True)
class Mixture:
    parts: tuple[Gaussian | Bernoulli, ...] = field((), "what is mixed")
    weight: float | None = field(None, "of the first")


class CliNet(nn.Module):
    hidden: tuple[int, ...] = field((4,), "widths")
    activation: Callable = field(Gaussian(), "after every layer")


class CliOwn(CliNet):
    depth: int = 1


class Shape(Protocol):
    def __call__(self, x): ...


@dataclasses.dataclass(frozen=True)
class VAE:
    enc: nn.Module = field(CliNet(), "x -> z")
    likelihood: Bernoulli | Gaussian | Mixture = field(Bernoulli(), "p(x | z)")
    prior: Gaussian | None = field(None, "p(z)")
    beta: float = field(1.0, "weight of the KL,\n    no unit")
    count: int = field(1, "importance samples")
    limits: tuple[float, float] = field((-6.0, 2.0), "of the log variance")
    shape: Shape = field(Gaussian(), "a protocol")
    extra: Any = field(None, "anything")


@dataclasses.dataclass(frozen=True)
class Mesh:
    fsdp: int = field(1, "devices")


@dataclasses.dataclass(frozen=True)
class Run:
    algorithm: VAE = field(VAE(), "what is trained")
    steps: int = field(100, "of training")
    resume: bool = field(True, "go on where it stopped")
    title: str = field("vae", "of the report")
    source: str | None = field(None, "the data")
    layout: Mesh = field(Mesh(), "over devices", execution=True)


BASE = Run()
EXPERIMENTS = {
    "base": BASE,
    "beta4": edit(BASE, {"algorithm.beta": 4.0, "steps": 10}),
    "gaussian": edit(BASE, {"algorithm.likelihood": Gaussian(0.1)}),
    "titled": edit(BASE, {"title": "as of 1"}),
}


def call(*argv, run=None):
    """Returns (exit code, what run was called with)."""
    calls = []
    with pytest.raises(SystemExit) as end:
        cli.main(
            EXPERIMENTS,
            run or (lambda cfg, name, origin: calls.append((cfg, name))),
            "What is asked.",
            argv,
        )
    return end.value.code, calls


def configured(*argv):
    code, [(cfg, _)] = call(*argv)
    assert code == 0
    return cfg


def error(capsys, *argv):
    code, calls = call(*argv)
    out, err = capsys.readouterr()
    assert code == 2 and not calls and not out
    assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1
    return err[7:-1]


def test_the_first_experiment_runs_unless_one_is_named():
    assert call() == (0, [(BASE, "base")])
    assert call("beta4") == (0, [(EXPERIMENTS["beta4"], "beta4")])


def test_flags_edit_the_named_ablation_in_both_spellings_and_in_order():
    cfg = configured("--steps=5", "beta4", "--algorithm.count", "3")
    assert cfg == edit(EXPERIMENTS["beta4"], {"steps": 5, "algorithm.count": 3})
    assert configured("--steps=5", "--steps", "6").steps == 6
    cfg = configured("--algorithm.likelihood=Gaussian()", "--algorithm.likelihood.scale=0.5")
    assert cfg.algorithm.likelihood == Gaussian(0.5)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("algorithm.beta=4", 4.0),
        ("algorithm.beta=-1e-3", -0.001),
        ("algorithm.beta=inf", math.inf),
        ("algorithm.beta=-inf", -math.inf),
        ("steps=1_000", 1000),
        ("resume=false", False),
        ("resume=True", True),
        ("title=None", "None"),
        ("title=3", "3"),
        ("title=a b", "a b"),
        ("title='quoted'", "quoted"),
        ("title=", ""),
        ("title=true", "true"),
        ("title=Gaussian(1)", "Gaussian(1)"),
        ("source=/data/x-1.zip", "/data/x-1.zip"),
        ("source=a=b", "a=b"),
        ("source=None", None),
        ("algorithm.limits=(-1, 2)", (-1.0, 2.0)),
        ("algorithm.limits=-1,2", (-1.0, 2.0)),
        ("algorithm.limits=[-inf, inf]", (-math.inf, math.inf)),
        ("algorithm.likelihood=Bernoulli()", Bernoulli()),
        ("algorithm.likelihood=Gaussian(2)", Gaussian(2.0)),
        ("algorithm.likelihood=Gaussian(2, learn=true)", Gaussian(2.0, True)),
        (
            "algorithm.likelihood=Mixture((Gaussian(1), Bernoulli()), weight=1)",
            Mixture((Gaussian(), Bernoulli()), 1.0),
        ),
        ("algorithm.prior=Gaussian(scale=3)", Gaussian(3.0)),
        ("algorithm.prior=None", None),
        ("algorithm.enc=CliOwn((1, 2), depth=3)", CliOwn((1, 2), depth=3)),
        ("algorithm.enc=CliNet(activation=Gaussian(0.5))", CliNet(activation=Gaussian(0.5))),
        (
            "algorithm.enc.activation=Gaussian(2)",
            Gaussian(2.0),
        ),  # Callable: the classes beside the current one
        ("algorithm.shape=Gaussian(2)", Gaussian(2.0)),
        ("algorithm.extra=(1, 'a')", (1, "a")),
        (f"algorithm.enc={__name__}.CliOwn()", CliOwn()),
    ],
)
def test_values_are_literals_or_constructor_calls(flag, value):
    path, _, text = flag.partition("=")
    for argv in ([f"--{flag}"], [f"--{path}", text]):
        found = cli.config.lookup(configured(*argv), path)[1]
        assert repr(found) == repr(value)


def test_nan_is_read():
    assert math.isnan(configured("--algorithm.beta=nan").algorithm.beta)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            "beta5",
            "unknown ablation 'beta5': choose from base, beta4, gaussian, titled. Did you mean beta4",
        ),
        (
            "beta4 base",
            "expected one ablation, got beta4 base: values are given as --path=value",
        ),
        (
            "--algorithm.bta=1",
            "unknown flag --algorithm.bta: VAE has no field 'bta'. Did you mean beta",
        ),
        (
            "--beta=1",
            "unknown flag --beta: Run has no field 'beta'. Did you mean algorithm.beta? See --help.",
        ),
        ("--verbose", "unknown flag --verbose: Run has no field 'verbose'. See --help."),
        ("-x", "unknown flag --x: Run has no field 'x'. See --help."),
        ("--help=1", "unknown flag --help: Run has no field 'help'."),
        ("--steps", "steps: missing value, expected int: write --steps=value"),
        ("--steps --resume=true", "steps: missing value, expected int: write --steps=value"),
        ("--steps=", "steps: expected int, got  (types need (), texts quotes)"),
        ("--steps=x", "steps: expected int, got x (types need (), texts quotes)"),
        ("--steps=1.5", "steps: expected int, got 1.5 (float)"),
        ("--steps=true", "steps: expected int, got True (bool)"),
        ("--resume=1", "resume: expected bool, got 1 (int)"),
        ("--steps=2**3", "steps: expected int, got 2 ** 3"),
        ("--steps=(1", "steps: expected int, got (1"),
        ("--algorithm.beta='x'", "algorithm.beta: expected float, got 'x' (str)"),
        (
            "--algorithm.beta=Gaussian()",
            "algorithm.beta: expected float, got a call of Gaussian",
        ),
        (
            "--algorithm.beta=__import__('os').system('x')",
            "algorithm.beta: expected float, got a call of __import__",
        ),
        (
            "--algorithm.likelihood=Gausian()",
            "algorithm.likelihood: expected Bernoulli | Gaussian | Mixture, got a call of Gausian; "
            "constructors: Bernoulli, Gaussian, Mixture. Did you mean Gaussian?",
        ),
        ("--algorithm.likelihood=Gaussian", "got Gaussian (types need (), texts quotes)"),
        (
            "--algorithm.likelihood=Mesh()",
            "got a call of Mesh; constructors: Bernoulli, Gaussian, Mixture.",
        ),
        (
            "--algorithm.likelihood=Gaussian(skale=1)",
            "likelihood.skale: Gaussian has no field 'skale'. Did you mean scale",
        ),
        (
            "--algorithm.likelihood=Gaussian(scale='1')",
            "algorithm.likelihood.scale: expected float, got '1' (str)",
        ),
        (
            "--algorithm.likelihood=Gaussian(1,False,3)",
            "algorithm.likelihood: Gaussian takes 2 values, got 3",
        ),
        (
            "--algorithm.likelihood=Gaussian(1,scale=2)",
            "algorithm.likelihood.scale: given twice",
        ),
        (
            "--algorithm.likelihood=Gaussian(**x)",
            "algorithm.likelihood.None: Gaussian has no field 'None'.",
        ),
        (
            "--algorithm.likelihood=Gaussian(*x)",
            "algorithm.likelihood.scale: expected float, got *x",
        ),
        (
            "--algorithm.likelihood=Mixture((Gausian(),))",
            "algorithm.likelihood.parts[0]: expected tuple[Gaussian | Bernoulli, ...], got a call of Gausian; "
            "constructors: Bernoulli, Gaussian. Did you mean Gaussian?",
        ),
        (
            "--algorithm.enc=CliNot()",
            "algorithm.enc: expected Module, got a call of CliNot; constructors: ",
        ),
        (
            "--algorithm.enc=Dense(3)",
            "algorithm.enc: expected Module, got a call of Dense; constructors: ",
        ),
        ("--algorithm.enc=CliNet(name='x')", "algorithm.enc.name: CliNet has no field 'name'."),
        (
            "--algorithm.extra=Gaussian()",
            "algorithm.extra: expected Any | None, got a call of Gaussian",
        ),
        (
            "--algorithm.extra=word",
            "algorithm.extra: expected Any | None, got word (types need (), texts quotes)",
        ),
    ],
)
def test_user_errors_are_one_line_on_stderr(capsys, argv, message):
    assert message in error(capsys, *argv.split())


def test_an_unknown_module_names_the_loaded_ones(capsys):
    message = error(capsys, "--algorithm.enc=CliNt()")
    assert (
        "CliNet" in message
        and "CliOwn" in message
        and "Did you mean CliNet" in message
        and "BatchNorm" not in message
    )


def test_a_name_with_two_meanings_is_written_in_full(capsys):
    here, there = (
        type("Twin", (nn.Module,), {"__module__": m, "__annotations__": {}})
        for m in ("here", "there")
    )
    message = error(capsys, "--algorithm.enc=Twin()")
    assert message == "algorithm.enc: Twin has several meanings: write here.Twin or there.Twin"
    assert type(configured("--algorithm.enc=there.Twin()").algorithm.enc) is there is not here


def test_exit_codes_of_run(capsys):
    def stop(error):
        def run(cfg, name, origin):
            print("some output")
            raise error

        return run

    assert call(run=stop(UserError("no data\nat /x")))[0] == 2
    assert capsys.readouterr() == ("some output\n", "error: no data at /x\n")
    assert call(run=stop(Preempted("saved step 7, run again")))[0] == 75
    assert capsys.readouterr().err == "preempted: saved step 7, run again\n"
    assert call(run=stop(KeyboardInterrupt()))[0] == 130
    assert capsys.readouterr().err == "interrupted\n"
    with pytest.raises(
        ZeroDivisionError
    ):  # a crash keeps its traceback, and Python's exit code 1
        cli.main(EXPERIMENTS, lambda cfg, name, origin: 1 / 0, "", [])


def test_help_shows_every_field_of_the_ablation(capsys):
    assert call("gaussian", "--help", "--steps=7") == (0, [])
    out = capsys.readouterr().out
    assert (
        out.startswith("What is asked.\n\nusage: python ")
        and "ablations: base, beta4, gaussian, titled" in out
    )
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("--")}
    assert rows["--steps"].split() == ["--steps", "int", "7", "of", "training"]
    assert rows["--algorithm.beta"].split(maxsplit=3) == [
        "--algorithm.beta",
        "float",
        "1.0",
        "weight of the KL, no unit",
    ]
    assert "Bernoulli | Gaussian | Mixture  Gaussian(...)" in rows["--algorithm.likelihood"]
    assert rows["--algorithm.likelihood.scale"].split()[1:3] == ["float", "0.1"]
    assert "--layout*" in rows and "--layout.fsdp*" in rows and "--steps*" not in rows
    assert out.splitlines()[-1].startswith("* does not change the result")
    header = next(line for line in out.splitlines() if line.startswith("field"))
    for path, text in (
        ("--steps", "of training"),
        ("--title", "of the report"),
        ("--layout.fsdp*", "devices"),
    ):
        assert rows[path].index(text) == header.index("meaning")
    assert call("-h") == (0, [])


def test_list_shows_what_each_ablation_changes_as_flags(capsys):
    assert call("--list") == (0, [])
    assert capsys.readouterr().out.splitlines() == [
        "base      the base",
        "beta4     --algorithm.beta=4.0 --steps=10",
        "gaussian  '--algorithm.likelihood=Gaussian(scale=0.1)'",
        "titled    '--title=as of 1'",
    ]


def test_a_listed_ablation_can_be_typed():
    for cfg in EXPERIMENTS.values():
        flags = shlex.split(cli._list({"base": BASE, "other": cfg}).splitlines()[1])[1:]
        assert configured(*flags if cfg != BASE else ()) == cfg


def test_print_shows_the_config_and_its_digest(capsys):
    assert call("beta4", "--print", "--layout.fsdp=2") == (0, [])
    text, _, last = capsys.readouterr().out.rstrip().rpartition("\n")
    assert from_json(text) == edit(EXPERIMENTS["beta4"], {"layout.fsdp": 2})
    assert last == f"digest {digest(EXPERIMENTS['beta4'])}"
    json.loads(text)


@pytest.mark.parametrize(
    "value",
    [
        Gaussian(0.5, learn=True),
        Mixture((Gaussian(2.0), Bernoulli()), math.inf),
        Bernoulli(),
        Mixture((Gaussian(),), -0.5),
    ],
)
def test_what_is_shown_is_read_back(value):
    assert cli.read("p", cli.show(value), Bernoulli | Gaussian | Mixture) == value


def test_a_misspelt_constructor_is_no_text():
    assert cli.read("p", "Gaussian(2)", str | Gaussian) == Gaussian(2.0)
    assert cli.read("p", "a word", str | Gaussian) == "a word"
    with pytest.raises(UserError, match=r"p: expected str \| Gaussian, got a call of Gausian"):
        cli.read("p", "Gausian(2)", str | Gaussian)


def test_open_annotations_admit_what_stands_beside_the_current_value(monkeypatch):
    elsewhere = dataclasses.make_dataclass("Elsewhere", [("a", int, 1)], frozen=True)
    elsewhere.__module__ = "elsewhere"
    monkeypatch.setattr(
        sys.modules[__name__], "Elsewhere", elsewhere, raising=False
    )  # imported, not defined here
    for hint in (Any, object, Callable, Callable[[int], int], Shape, Any | None):
        found = cli.constructors(hint, Gaussian())
        assert found[f"{__name__}.Mixture"] is Mixture and "elsewhere.Elsewhere" not in found
        assert cli.constructors(hint, None) == {}
    assert cli.read("p", "word", Any, "now a text") == "word"


@dataclasses.dataclass(frozen=True)
class Begin:
    """A type that reads itself from `run@step`."""

    run: str = field("", "a run")
    step: int = field(0, "of it")

    @classmethod
    def of_text(cls, text):
        run, at, step = text.partition("@")
        if not at:
            raise UserError(f"expected run@step, got {text}")
        return cls(run, int(step))


@pytest.mark.parametrize(
    "text, value",
    [
        ("runs/vae/base-7422f6eb@2000", Begin("runs/vae/base-7422f6eb", 2000)),
        ("3@4", Begin("3", 4)),
        ("None", None),
        ("Begin('x', 5)", Begin("x", 5)),
        ("Begin(step=6)", Begin("", 6)),
    ],
)
def test_a_type_may_read_itself_from_a_text(text, value):
    assert cli.read("start", text, Begin | None) == value


@pytest.mark.parametrize(
    "text, told",
    [
        ("runs/vae", "start: expected run@step, got runs/vae"),
        ("runs/vae@x", "start: invalid literal for int"),
        ("Begin(7)", "start.run: expected str, got 7"),
        ("Begn('x')", "got a call of Begn; constructors: Begin. Did you mean Begin?"),
    ],
)
def test_a_text_that_a_type_cannot_read_is_an_error(text, told):
    with pytest.raises(UserError) as error:
        cli.read("start", text, Begin | None)
    assert told in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "encoding, shown",
    [("ascii", "Frechet, 4x4 m2 +-1 - ... -> ?"), ("utf-8", "Fréchet, 4×4 m² ±1 – … → 漢")],
)
def test_what_a_terminal_cannot_show_is_spelt(monkeypatch, encoding, shown):
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    doc = "Fréchet, 4×4 m² ±1 – … → 漢"

    def run(cfg, name, origin):
        raise UserError(doc)

    for argv in (["--help"], ["--print", "--title=ü"], ["--list"], []):
        with pytest.raises(SystemExit):
            cli.main(EXPERIMENTS, run, doc, argv)
    for stream in streams.values():
        stream.flush()
    out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams.values())
    assert out.startswith(f"{shown}\n\nusage") and err == f"error: {shown}\n"


def test_a_reader_that_leaves_early_is_no_error(capfd, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert call("--help") == (0, [])
    assert capfd.readouterr() == ("", "")


SCRIPT = """
import dataclasses, sys
import flax.linen as nn
from genjax.cli import main
from genjax.config import field

class Mine(nn.Module):
    width: int = 3

@dataclasses.dataclass(frozen=True)
class Run:
    net: nn.Module = field(Mine(), "the net")

main({"base": Run()}, lambda cfg, name, origin: print("ran", cfg.net.width), "A question.")
"""


def test_as_a_program_classes_have_their_module_and_no_backend_starts(tmp_path):
    (tmp_path / "mine.py").write_text(SCRIPT)
    root = Path(cli.__file__).parents[1]
    env = os.environ | {
        "PYTHONPATH": str(root),
        "JAX_PLATFORMS": "none_such",
    }  # so that starting a backend fails
    program = (
        "import runpy, sys\n"
        "for argv in (['--help'], ['--list'], ['--print', '--net=Mine(5)'], ['--net=Mine(7)'], ['--net=Mine(x)']):\n"
        "    sys.argv = ['mine', *argv]\n"
        "    try: runpy.run_module('mine', run_name='__main__', alter_sys=True)\n"
        "    except SystemExit as end: print('exit', end.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    blocks = done.stdout.split("exit ")
    assert done.returncode == 0, done.stderr
    assert (
        "usage: python -m mine" in blocks[0]
        and '"__type__": "mine:Mine"' in blocks[2]
        and "ran 7" in blocks[3]
    )
    assert [block[0] for block in blocks[1:]] == list("00002"), done.stdout
    assert (
        done.stderr == "error: net.width: expected int, got x (types need (), texts quotes)\n"
    )
