"""Sweeps: which runs they are, who carries out which, what becomes of those that fail, and the page at the end."""

import dataclasses
import functools
import json
import types

import numpy as np
import pytest

from experiments import vae
from genjax import cli
from genjax.config import digest, edit, field, to_json
from genjax.data import Folder
from genjax.errors import Preempted, UserError
from genjax.sweep import grid, share
from genjax.training import loop
from genjax.training.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class Net:
    width: int = field(8, "channels")


@dataclasses.dataclass(frozen=True)
class Wide:
    width: int = field(64, "channels")
    depth: int = field(2, "layers")


@dataclasses.dataclass(frozen=True)
class Exp:
    beta: float = field(1.0, "weight of the KL")
    net: Net | Wide = field(Net(), "the net")
    hidden: tuple[int, ...] = field((4,), "widths")
    steps: int = field(10, "of training")
    seed: int = field(0, "of all noise")
    chunk: int = field(1, "steps in one dispatch", execution=True)


BASE = Exp()
AXES = {"beta": (1, 2, 4), "seed": range(2)}
EXPERIMENTS = {
    "base": BASE,
    "betas": grid(edit(BASE, {"steps": 20}), AXES),
    "pairs": grid(BASE, {("beta", "steps"): ((1, 30), (2, 15))}),
    "bad": grid(BASE, {"bta": (1, 2)}),
}
NAMES = [f"betas_beta{beta}.0_seed{seed}" for beta in (1, 2, 4) for seed in (0, 1)]


def call(*argv, run=None, experiments=EXPERIMENTS):
    """(exit code, [(name, config)] of what was run)."""
    calls = []

    def note(cfg, name, origin):
        calls.append((name, cfg))
        return run(cfg, name) if run else None

    with pytest.raises(SystemExit) as end:
        cli.main(experiments, note, "What is asked.", argv)
    return end.value.code, calls


def refused(capsys, *argv, **more):
    """The one line of an error before anything is run."""
    code, calls = call(*argv, **more)
    out, err = capsys.readouterr()
    assert code == 2 and not calls and not out and err.count("\n") == 1
    return err.removeprefix("error: ").rstrip()


def test_every_combination_is_a_run_of_its_own():
    code, calls = call("betas")
    assert code == 0 and [name for name, _ in calls] == NAMES
    expected = [(beta, 20, seed) for beta in (1.0, 2.0, 4.0) for seed in (0, 1)]
    assert [(cfg.beta, cfg.steps, cfg.seed) for _, cfg in calls] == expected
    assert all(type(cfg.beta) is float for _, cfg in calls)  # settled, as by any edit


def test_fields_of_one_axis_change_together():
    _, calls = call("pairs")
    assert [(name, cfg.beta, cfg.steps) for name, cfg in calls] == [
        ("pairs_beta1.0_steps30", 1.0, 30),
        ("pairs_beta2.0_steps15", 2.0, 15),
    ]


def test_values_of_any_kind_name_a_directory():
    axes = {"net": [Net(), Wide()], "hidden": ((4, 4), (8,)), "beta": np.logspace(-1, 0, 2)}
    names = [member.name for member in grid(BASE, axes).members("s")]
    assert names[0] == "s_netNet_hidden4-4_beta0.1" and names[-1] == "s_netWide_hidden8_beta1.0"
    # what a value is called does not depend on the others: a longer axis keeps the runs that there are
    longer = {**axes, "net": [Wide(depth=3), Net(), Wide()]}
    assert set(names) <= {member.name for member in grid(BASE, longer).members("s")}


@pytest.mark.parametrize(
    "axes, told",
    [
        ({"bta": (1, 2)}, "bta: Exp has no field 'bta'. Did you mean beta?"),
        ({"width": (1, 2)}, "width: Exp has no field 'width'. Did you mean net.width?"),
        ({"steps": (1, 2.5)}, "steps: expected int, got 2.5 (float)"),
        ({"seed": ()}, "seed: the axis has no values"),
        ({"seed": range(0)}, "seed: the axis has no values"),
        ({"seed": 3}, "seed: the values of an axis are a tuple, a list or a range"),
        ({"seed": {1, 2}}, "seed: the values of an axis are a tuple"),
        ({"seed": np.array(3)}, "seed: the values of an axis are a tuple"),
        ({"seed": "12"}, "got '12' (str)"),
        ({3: (1, 2)}, "3 is no path of a field"),
        ({("seed", "beta"): (1, 2)}, "seed and beta: expected 2 values that go together"),
        ({("seed", "beta"): ((1, 2, 3),)}, "expected 2 values that go together, got (1, 2, 3)"),
        ({"beta": (1, 2, 1.0)}, "s_beta1.0 and s_beta1.0 are the same run"),
        ({"chunk": (1, 2)}, "s_chunk1 and s_chunk2 are the same run"),
    ],
)
def test_a_bad_axis_is_told_when_the_sweep_is_used(capsys, axes, told):
    experiments = {"base": BASE, "s": grid(BASE, axes)}  # no error yet
    for action in ([], ["--print"], ["--help"], ["--part=1/2"]):
        message = refused(capsys, "s", *action, experiments=experiments)
        assert message.startswith("sweep s: ") and told in message
    assert call("base", experiments=experiments) == (0, [("base", BASE)])
    assert call("--list", experiments=experiments) == (
        0,
        [],
    )  # the others are listed all the same
    assert told in capsys.readouterr().out.splitlines()[1]


def test_flags_edit_all_members_and_none_of_their_axes(capsys):
    _, calls = call("betas", "--net.width=3", "--chunk=2")
    assert {(cfg.net, cfg.chunk) for _, cfg in calls} == {(Net(3), 2)} and len(calls) == 6
    capsys.readouterr()
    for flag in ("--seed=7", "--beta=2"):
        assert "as one of its axes: leave the flag out" in refused(capsys, "betas", flag)
    nets = {"base": BASE, "nets": grid(BASE, {"net": (Net(), Wide())})}
    message = refused(capsys, "nets", "--net.width=3", experiments=nets)  # it would be lost
    assert "the sweep nets sets net itself" in message
    widths = {"base": BASE, "widths": grid(BASE, {"net.width": (1, 2)})}
    _, calls = call("widths", "--net=Wide(depth=5)", experiments=widths)
    assert [cfg.net for _, cfg in calls] == [Wide(1, 5), Wide(2, 5)]  # the axes come after it


@pytest.mark.parametrize("parts", range(1, 9))
def test_parts_share_the_members_out(parts):
    found = []
    for part in range(1, parts + 1):
        code, calls = call("betas", f"--part={part}/{parts}")
        assert code == 0 and len(calls) in (6 // parts, -(-6 // parts))
        found += [name for name, _ in calls]
    assert sorted(found) == sorted(NAMES)
    assert list(share(NAMES, 1, 1)) == NAMES


def test_bad_parts(capsys):
    for text in ("0/8", "9/8", "2", "a/b", "1/0", "-1/2", ""):
        assert "expected the number of a part" in refused(capsys, "betas", f"--part={text}")
    assert "expected the number of a part" in refused(capsys, "betas", "--part")
    message = refused(capsys, "base", "--part=1/2")
    assert (
        "base is one run, and only sweeps have parts: choose betas or pairs or bad." in message
    )


def test_list_print_and_help_tell_of_a_sweep(capsys):
    assert call("--list") == (0, [])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "betas  a sweep of 6: beta 1, 2, 4; seed 0, 1; all with --steps=20"
    assert call("betas", "--print", "--part=2/3") == (0, [])
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    marks = [digest(edit(BASE, {"steps": 20, "beta": beta, "seed": 1})) for beta in (1.0, 4.0)]
    assert rows[0] == [NAMES[1], marks[0], "--beta=1.0 --seed=1"]
    assert rows[1][:2] == [NAMES[4], digest(edit(BASE, {"steps": 20, "beta": 4.0}))]
    assert rows[2] == ["all", "with", "--steps=20"]
    assert call("betas", "--help") == (0, [])
    out = capsys.readouterr().out
    fields = {line.split()[0]: line for line in out.splitlines() if line.startswith("--")}
    assert "1, 2, 4" in fields["--beta"] and " 20 " in fields["--steps"] and "[--part=" in out
    assert call("--help") == (0, []) and "[--part=" not in capsys.readouterr().out


def stop(error, at):
    """A run that raises `error` for the configs that `at` is true of."""

    def run(cfg, name):
        if at(cfg):
            raise error(f"{name} is bad at {cfg.beta}")

    return run


def test_a_run_that_fails_does_not_stop_the_others(capsys):
    code, calls = call("betas", run=stop(UserError, lambda cfg: cfg.beta == 2))
    assert code == 2 and len(calls) == 6
    lines = capsys.readouterr().err.splitlines()
    failed = f"{NAMES[2]} ended in an error: {NAMES[2]} is bad at 2.0"
    assert lines.index(failed) < lines.index(
        f"betas: run 6 of 6, 2 ended in an error: {NAMES[5]}"
    )
    assert lines[-1] == (
        f"error: 2 of 6 runs of betas failed: {NAMES[2]}, {NAMES[3]}: betas is bad at 2.0"
    )


def test_what_stops_all_is_told_once(capsys):
    def run(cfg, name):
        raise UserError(f"cannot write /runs/{name}-0123abcd: no room")

    code, calls = call("betas", run=run)
    err = capsys.readouterr().err
    assert code == 2 and len(calls) == 6 and err.count("no room") == 1
    assert err.splitlines()[-1] == "error: cannot write /runs/betas: no room"


@pytest.mark.parametrize("error, expected", [(Preempted, 75), (KeyboardInterrupt, 130)])
def test_being_asked_to_stop_stops_all(error, expected):
    code, calls = call("betas", run=stop(error, lambda cfg: cfg.beta == 2))
    assert code == expected and [name for name, _ in calls] == NAMES[:3]


def kept(tmp_path, fails=()):
    """A run that leaves the directory of a finished one."""

    def run(cfg, name):
        if name in fails:
            raise UserError("not finite")
        home = tmp_path / "vae" / f"{name}-{digest(cfg)}"
        home.mkdir(parents=True, exist_ok=True)
        (home / "config.json").write_text(to_json(cfg))
        (home / "run.json").write_text(json.dumps({"experiment": "vae", "ablation": name}))
        return types.SimpleNamespace(log=types.SimpleNamespace(directory=home))

    return run


def test_whoever_finishes_last_compares_all(tmp_path, capsys):
    run = kept(tmp_path)
    assert call("betas", "--part=2/2", run=run)[0] == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        "betas: 3 of 6 runs are finished and will be compared when all are; missing: "
        f"{NAMES[0]}, {NAMES[2]}, {NAMES[4]}"
    )
    assert not list(tmp_path.rglob("*.html"))
    for _ in range(2):  # the second time all are only looked at
        assert call("betas", "--part=1/2", run=run)[0] == 0
        (page,) = (tmp_path / "vae").glob("betas-*.html")
        last = capsys.readouterr().err.splitlines()[-1]
        assert last == f"betas: 6 of 6 runs are compared in {page}"
    assert all(f">{name}<" in page.read_text() for name in NAMES)
    call("betas", "--steps=5", run=run)  # another sweep, which leaves that page alone
    assert len(list((tmp_path / "vae").glob("betas-*.html"))) == 2


def test_those_that_fail_are_left_out_of_the_page(tmp_path, capsys):
    assert call("betas", run=kept(tmp_path, fails=NAMES[:1]))[0] == 2
    (page,) = (tmp_path / "vae").glob("betas-*.html")
    assert f">{NAMES[1]}<" in page.read_text() and f">{NAMES[0]}<" not in page.read_text()
    err = capsys.readouterr().err.splitlines()
    assert err[-2].startswith("betas: 5 of 6 runs are compared in ")
    assert err[-1] == f"error: 1 of 6 runs of betas failed: {NAMES[0]}: not finite"


def test_a_config_that_knows_more_on_its_machine_is_asked_for_it(tmp_path, capsys):
    @dataclasses.dataclass(frozen=True)
    class Marked(Exp):
        mark: str = field("", "of the content")

        def resolved(self):
            return dataclasses.replace(self, mark="cafe")

    experiments = {"base": Marked(), "seeds": grid(Marked(), {"seed": (0, 1)})}
    marked = digest(edit(Marked(), {"mark": "cafe"}))
    assert call("--print", experiments=experiments) == (0, [])
    out = capsys.readouterr().out
    assert '"mark": "cafe"' in out and f"digest {marked}" in out
    assert call("seeds", "--print", experiments=experiments) == (0, [])
    assert marked in capsys.readouterr().out.splitlines()[0]
    run = kept(tmp_path)
    code, _ = call(
        "seeds", run=lambda cfg, name: run(cfg.resolved(), name), experiments=experiments
    )
    assert code == 0 and len(list((tmp_path / "vae").glob("seeds-*.html"))) == 1


STEPS = {"a": 8, "b": 8}  # the newest checkpoint of each run of other weights


@dataclasses.dataclass(frozen=True)
class Weights:
    """As `training.begin.Start`: where they lie is no part of a digest, whose they are is."""

    run: str = field("", "directory", execution=True)
    step: int | None = field(None, "None = the newest", execution=True)
    of: str = field("", "filled in")
    partial: bool = field(False, "begin anew what does not fit")

    def resolved(self):
        if self.run not in STEPS:
            raise UserError(f"--start={self.run} is not a run.")
        step = self.step or int(self.of.partition("@")[2] or STEPS[self.run])
        of = f"{self.run}@{step}"
        if self.of not in ("", of):
            raise UserError(f"this run began with {self.of}, not {of}")
        return dataclasses.replace(self, of=of)


@dataclasses.dataclass(frozen=True)
class Later(Exp):
    start: Weights | None = field(None, "other weights", added=True)

    def resolved(self):
        return self if self.start is None else edit(self, {"start": self.start.resolved()})


STARTS = {
    "base": Later(),
    "runs": grid(Later(), {"start": (None, Weights("a"), Weights("b"))}),
    "steps": grid(Later(start=Weights("a")), {"start.step": (4, 8)}),
    "fits": grid(Later(start=Weights("a")), {"start.partial": (False, True), "seed": (0, 1)}),
    "seeds": grid(Later(), {"seed": (0, 1)}),
    "named": grid(Later(start=Weights()), {"start.run": ("a", "b")}),
}


@pytest.mark.parametrize("name", [name for name in STARTS if name != "base"])
def test_what_a_run_begins_with_is_an_axis_as_any(name, tmp_path, capsys):
    assert call(name, "--print", experiments=STARTS)[0] == 0
    printed = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    code, calls = call(name, run=kept(tmp_path), experiments=STARTS)
    assert code == 0 and list((tmp_path / "vae").glob(f"{name}-*.html"))
    homes = [f"{title}-{digest(cfg)}" for title, cfg in calls]
    assert len(set(homes)) == len(homes) > 1
    told = ["-".join(row) for row in printed if row[0] != "all"]
    assert told == homes  # what is printed is what is run
    begun = [cfg.start.of for _, cfg in calls if cfg.start]
    expected = {
        "runs": ["a@8", "b@8"],
        "steps": ["a@4", "a@8"],
        "fits": ["a@8"] * 4,
        "seeds": [],
        "named": ["a@8", "b@8"],
    }
    assert begun == expected[name]


def test_sweeps_from_other_weights_have_pages_of_their_own(tmp_path, capsys):
    for start in ("a", "b", "a"):
        code, _ = call(
            "seeds", f"--start=Weights('{start}')", run=kept(tmp_path), experiments=STARTS
        )
        assert code == 0
    assert len(list((tmp_path / "vae").glob("seeds-*.html"))) == 2


def test_all_members_begin_with_the_weights_of_one_step(tmp_path, capsys, monkeypatch):
    keep = kept(tmp_path)

    def run(cfg, name):
        STEPS["a"] += 8  # the other run trains on meanwhile
        return keep(cfg.resolved(), name)

    monkeypatch.setitem(STEPS, "a", 8)
    code, calls = call("seeds", "--start=Weights('a')", run=run, experiments=STARTS)
    assert code == 0 and [cfg.start.of for _, cfg in calls] == ["a@8", "a@8"]
    assert "2 of 2 runs are compared" in capsys.readouterr().err.splitlines()[-1]


def test_what_only_tells_of_a_sweep_reads_no_files(capsys):
    gone = {**STARTS, "gone": grid(Later(start=Weights("c")), {"seed": (0, 1)})}
    for action in ("--help", "--list"):
        assert call("gone", action, experiments=gone) == (0, [])
        assert "seed" in capsys.readouterr().out
    message = refused(capsys, "gone", experiments=gone)
    assert message == "sweep gone: --start=c is not a run."


def test_where_a_run_comes_from_is_told_without_marks():
    origins = []
    with pytest.raises(SystemExit):
        cli.main(STARTS, lambda cfg, name, origin: origins.append(origin), "Why?", ["steps"])
    assert [list(origin["differences"]) for origin in origins] == [["start"]] * 2
    assert "of=" not in origins[0]["differences"]["start"][1]


def test_folders_are_an_axis(tmp_path):
    for name, content in (("a", b"1"), ("b", b"2"), ("copy", b"1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(content)
    paths = [str(tmp_path / name) for name in ("a", "b", "copy")]
    # the base by itself has no folder yet
    exp = Experiment(Folder(), vae.BASE.algorithm)
    members = grid(exp, {"data.path": paths[:2], "seed": (0, 1)}).members("s")
    assert len({member.digest for member in members}) == 4
    with pytest.raises(UserError, match="are the same run"):
        grid(exp, {"data.path": paths[::2]}).members("s")


@dataclasses.dataclass(frozen=True)
class Parted(Exp):
    nets: tuple[Net | Wide, ...] = field((Net(), Wide()), "several")


def test_a_part_of_a_tuple_is_known_by_its_number_and_its_name(capsys):
    experiments = {
        "base": Parted(),
        "named": grid(Parted(), {"nets.Wide.width": (1, 2)}),
        "numbered": grid(Parted(), {"nets.1.width": (1, 2)}),
    }
    for name in ("named", "numbered"):
        for flag in ("--nets.1.width=7", "--nets.Wide.width=7"):
            message = refused(capsys, name, flag, experiments=experiments)
            assert "as one of its axes: leave the flag out" in message
    for name in ("named", "numbered"):
        code, calls = call(
            name, "--nets.0.width=7", "--nets.Wide.depth=3", experiments=experiments
        )
        assert code == 0 and [cfg.nets for _, cfg in calls] == [
            (Net(7), Wide(1, 3)),
            (Net(7), Wide(2, 3)),
        ]


def test_members_are_ordinary_runs(tmp_path, capsys):
    """The sweep of the README, small: trained, compared, and only shown the second time."""
    nets = ["--algorithm.enc=MLP((8,))", "--algorithm.dec=MLP((8,))", "--algorithm.latent=2"]
    short = ["--steps=2", "--batch=8", "--every.log=1", "--every.evaluate=2", "--finish=()"]
    argv = ["betas", "--part=3/9", *nets, *short, "--every.sample=0", f"--runs={tmp_path}"]
    steps = []
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            cli.main(vae.EXPERIMENTS, functools.partial(loop.run, "vae"), vae.__doc__, argv)
        assert end.value.code == 0
        err = capsys.readouterr().err
        steps.append(err.count("step 2/2 loss"))
        assert "betas: 1 of 9 runs are finished" in err.splitlines()[-1]
    assert steps == [1, 0]
    (home,) = (tmp_path / "vae").iterdir()
    assert home.name.startswith("betas_beta0.5_seed2-")
    about = json.loads((home / "run.json").read_text())
    assert about["seed"] == 2 and about["differences"]["seed"] == ["0", "2"]
    assert "betas --part=3/9" in about["command"] and "nats" in about["question"]
