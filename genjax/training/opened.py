"""A run in a user's hands: `genjax.open("runs/vae/base-7422f6eb")`, finished or stopped, from any folder.

It needs the run's directory, moved or renamed as it may be, and not the data that the run was trained on; it writes
nothing, and may look at a run that is still training. No module is imported because config.json names it, but genjax's
own: classes of yours must be imported already, or their modules trusted.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genjax.config import edit, from_json, identity
from genjax.core import averaged, size
from genjax.data.source import Source
from genjax.errors import UserError, at_least, nearest
from genjax.machine import platform
from genjax.machine.files import place
from genjax.machine.hosts import Hosts
from genjax.machine.parallel import Jit, Layout
from genjax.training.basis import changed, code
from genjax.training.checkpoint import Reader, differing, leaves, misfit
from genjax.training.experiment import Experiment
from genjax.training.kept import kept
from genjax.training.log import Log
from genjax.training.run import Run
from genjax.training.task import bind, example_of


@dataclasses.dataclass(frozen=True)
class Opened:
    """A trained model: numbers in, numbers out. Pictures are float32 [n, H, W, C] in [0, 1], and so are those given.

    Bytes (uint8, 0 to 255) are taken too, and other data in their own units: `fields` says which.
    """

    directory: Path
    run: Run  # the run itself, of the data only what was kept: for what is not offered here

    @property
    def config(self) -> Experiment:
        """The whole config; its layout and runs are those of here."""
        return self.run.exp

    @property
    def step(self) -> int:
        """The step that the weights are of."""
        return int(self.run.state.step)

    @property
    def finished(self) -> bool:
        """Whether the training has come to its end."""
        return self.step >= self.config.steps

    @property
    def state(self) -> Any:
        """Everything that a checkpoint holds, see `core.State`."""
        return self.run.state

    @property
    def params(self) -> dict[str, Any]:
        """{network: its parameters} to evaluate and sample with: the averaged ones where there are any."""
        return averaged(self.run.state)

    @property
    def fields(self) -> dict[str, Any]:
        """{name: kind of genjax.fields} of the data; the first is what is modelled."""
        return self.run.source.fields

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the labels; where they have none their numbers."""
        return self.run.source.class_names

    def given(self, n: int, **fixed: Any) -> dict[str, Any]:
        """What `draw` wants: {"index": [n], and the fields that the model asks for}.

        fixed: label=3, label="cat", label=[3, 5], or any other field that it asks for; the rest is of held-out
        examples. UserError for a field that it does not ask for, and for a value that is none of it.
        """
        at_least(1, "", n=n)
        lacking = [name for name in self.run.algorithm.asks if name not in fixed]
        if lacking and not size(self.run.source.test):
            raise UserError(
                f"this run has kept no {lacking[0]!r} to sample with: give one, sample(n, {lacking[0]}=...)."
            )
        return self.run.given(n, **fixed)

    def draw(self, given: dict[str, Any], seed: int | None = None) -> Any:
        """Samples, one for each row of `given`, [n, ...] or {name: [n, ...]}; None = the seed of the training.

        Each is a function of (seed, its number in given["index"], what is given) alone, whatever is drawn beside it.
        Pictures are cut to [0, 1], which samples of diffusion models may leave: `run.sample` has them as they are.
        """
        run = self.run
        if run.algorithm.sample is None:
            name = type(self.config.algorithm).__name__
            raise UserError(f"{name} makes no samples: it is measured by `evaluate` alone.")
        if seed is not None:
            run = dataclasses.replace(run, exp=edit(run.exp, {"seed": seed}))
        drawn = run.draw(run.algorithm.sample, given)
        if not isinstance(drawn, Mapping):
            return self._cut(run.spec.main, drawn)
        return {name: self._cut(name, x) for name, x in drawn.items()}

    def _cut(self, name: str, x: np.ndarray) -> np.ndarray:
        """Samples within the range of the field of that name, where it has one."""
        cut = getattr(self.fields.get(name), "cut", np.asarray)
        return cut(x)

    def sample(self, n: int, seed: int | None = None, **fixed: Any) -> Any:
        """n samples: `draw` of `given`. Without a seed they are those that the training would have drawn."""
        return self.draw(self.given(n, **fixed), seed)

    def picture(self, samples: Any) -> np.ndarray:
        """Samples for people, uint8 [H, W, C]; of several outputs a column each."""
        return self.run.shown(samples)

    def encode(self, x: Any) -> np.ndarray:
        """Codes [N, ...] of examples: an array of what is modelled, or {field: [N, ...]} where labels are needed.

        UserError for a model that has no codes.
        """
        return self._looked(self.run.encode, x)

    def decode(self, codes: Any) -> np.ndarray:
        """Examples [N, *shape] of codes [N, ...]; UserError for a model that cannot."""
        decode = self.run.algorithm.decode
        if decode is None:
            name = type(self.config.algorithm).__name__
            raise UserError(f"{name} has no way back from codes to examples.")
        codes = np.asarray(codes, np.float32)
        at_least(1, "codes: ", n=len(codes))
        given = {"index": np.arange(len(codes), dtype=np.uint32), "code": codes}
        return self.run.draw(_Decoding(decode), given)

    def evaluate(self, arrays: Any) -> dict[str, np.ndarray]:
        """{name: [N]}: "loss" and its parts of each example; arrays as for `encode`."""
        return self._looked(self.run.evaluate, arrays)

    def _looked(self, look: Any, given: Any) -> Any:
        """look(arrays) of examples that a caller has given, once they are known to be what the fields say."""
        arrays = given if isinstance(given, Mapping) else {self.run.spec.main: given}
        whole = {}
        for name, values in arrays.items():
            if name not in self.fields:
                raise UserError(
                    f"the data have no field {name!r}: they have {', '.join(self.fields)}."
                    f"{nearest(name, self.fields)}"
                )
            whole[name] = np.asarray(values)
            self.fields[name].check(f"the {name} given", whole[name])
        at_least(1, "examples: ", n=size(whole))
        try:
            return look(whole)
        except KeyError as error:  # by which a dict says what it lacks
            if error.args[0] not in self.fields:
                raise
            lacking = error.args[0]
        raise UserError(f"this model needs the field {lacking!r} too: give {{{lacking!r}: …}}.")


@dataclasses.dataclass(frozen=True)
class _Decoding:
    """`decode` as `Run.draw` calls it; equal for equal functions, so that it is compiled once."""

    decode: Any

    def __call__(self, key: jax.Array, state: Any, given: dict[str, Any]) -> jax.Array:
        return self.decode(key, state, given["code"])


def open_run(
    path: str | Path,
    step: int | None = None,
    best: str | None = None,
    layout: Layout = Jit(),
    trust: Sequence[str] = (),
) -> Opened:
    """Opens a run directory to look at; nothing in it is written.

    step: of which checkpoint, None = the newest; best: that of the best state by this metric, as `--watch.best` kept
    it; layout: over which devices, one by default, whatever the run was trained on; trust: modules of your own that may
    be imported for classes that the config names. UserError where there is no run or no checkpoint, and for one that
    the code of now cannot read.
    """
    directory = place(path)
    exp = _config(directory, trust)
    platform.enable_compilation_cache()
    exp = edit(exp, {"layout": layout, "hosts": Hosts(), "runs": str(directory.parents[1])})
    source = _source(directory, exp)
    spec, algorithm = bind(exp, source)
    folder = directory / "checkpoints" if best is None else directory / "best" / best
    if best is not None and not folder.is_dir():
        kept_ = ", ".join(sorted(each.name for each in directory.glob("best/*"))) or "none"
        raise UserError(f"{directory} has kept no best state by {best!r}: it has {kept_}.")
    reader = Reader(folder)
    key = jax.random.key(exp.seed)
    like = layout.like(algorithm.init, key, example_of(source))
    found, about = reader.about(step)
    since = _fitting(directory, found, about, exp, like)
    try:
        state = reader.state(found, like)
    except Exception:
        if step is not None or found in reader.steps():
            raise
        # a run at work has saved a newer one meanwhile, and removed this
        found, about = reader.about()
        state = reader.state(found, like)
    log = Log(directory, exp.steps, exp.batch, found, writes=False)
    run = Run(exp, source, spec, algorithm, log, state, about["meta"])
    newest = Reader(directory / "checkpoints").steps()
    _tell(directory, max(newest, default=found), exp.steps, since)
    return Opened(directory, run)


def _fitting(
    directory: Path, step: int, about: dict[str, Any], exp: Experiment, like: Any
) -> list[str]:
    """The classes whose code has changed since a checkpoint's run began; UserError where it does not fit the code."""
    other = differing(about["config"], identity(exp))
    if other:
        raise UserError(
            f"{directory}: config.json is not that of its checkpoints: {other}. Put back the one that the run wrote, "
            "or bring a run of an earlier release up to date by python -m genjax.training.migrate."
        )
    since = changed(about["meta"].get("code", {}), code(exp))
    other = misfit(about["state"], leaves(like))
    if other:
        cause = f"the code of {', '.join(since)} has changed since" if since else "other code"
        raise UserError(
            f"{directory}: the checkpoint of step {step} does not fit this code: {other}; {cause}. Use the code that "
            "it was trained with."
        )
    return since


def _config(directory: Path, trust: Sequence[str]) -> Experiment:
    """The config of a run directory; UserError where there is none that can be read."""
    path = directory / "config.json"
    if not path.is_file():
        why = "it holds no config.json" if directory.is_dir() else "there is no such folder"
        near = sorted(str(each.parent) for each in directory.glob("*/config.json"))[:3]
        meant = f" Did you mean {', '.join(near)}?" if near else ""
        raise UserError(
            f"{directory} is not a run: {why}. Name one such as runs/vae/base-7422f6eb.{meant}"
        )
    try:
        text = path.read_text()
        _check_modules(path, json.loads(text), trust)
        exp = from_json(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not valid JSON ({type(error).__name__}): mend it."
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}): mend it.") from None
    except UserError as error:
        raise UserError(
            f"{path} does not fit this code: {error} A run of an earlier release is brought up to date by python -m "
            "genjax.training.migrate."
        ) from None
    if not isinstance(exp, Experiment):
        # a comparison has no weights: its models have folders of their own beside it
        raise UserError(
            f"{path} is of a {type(exp).__name__}, which compares runs: name the run of one model, such as those "
            "beside it."
        )
    return exp


def _check_modules(path: Path, tree: Any, trust: Sequence[str]) -> None:
    """Raises UserError for a class of a module that nobody has imported: a file must not choose what code runs."""
    if isinstance(tree, list):
        for part in tree:
            _check_modules(path, part, trust)
    if not isinstance(tree, dict):
        return
    named = str(tree.get("__type__", "genjax"))
    module = named.partition(":")[0]
    ours = module.partition(".")[0] == "genjax"
    if not (ours or module in sys.modules or module in trust):
        raise UserError(
            f"{path} names the class {named!r}: if you trust that module, import it first, or open the run with "
            f"trust=({module!r},); on the command line --trust='({module!r},)'."
        )
    for part in tree.values():
        _check_modules(path, part, trust)


def _source(directory: Path, exp: Experiment) -> Source:
    """The data set as far as it was kept; the whole one of a run that has kept nothing."""
    source = kept(directory)
    if source is not None:
        # data that are made by another run draw as that run does
        drawing = getattr(exp.data, "drawing", None)
        if drawing is None:
            return source
        return source._replace(drawn=drawing(source, directory.parents[1]))
    try:
        return exp.data.load()
    except UserError as error:
        raise UserError(
            f"{directory} has no data.json, as it is of an earlier release or of fields of your own, so it is opened "
            f"with its data, and: {error}"
        ) from None


def _tell(directory: Path, step: int, steps: int, since: list[str]) -> None:
    """Says on stderr what a user would not expect of a run whose newest checkpoint is of `step`."""
    if since:
        changes = ", ".join(since)
        print(f"note: code changed since this run began: {changes}", file=sys.stderr)
    if step >= steps:
        return
    state = "is training" if _training(directory) else "was stopped"
    print(f"note: {directory} {state}, it is at step {step} of {steps}", file=sys.stderr)


def _training(directory: Path) -> bool:
    """Whether a process has the lock of a run directory."""
    try:
        with (directory / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given back when it is closed
    except BlockingIOError:
        return True
    except OSError:  # there is none, or the disk knows no locks
        return False
    return False
