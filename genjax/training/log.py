"""What a run writes besides checkpoints: metrics, speed, results, pictures and its progress on the terminal.

`metrics.jsonl` holds one JSON object a line, {"step": 100, "train/loss": 231.4}, and nothing that depends on the clock:
two runs of one seed give the same bytes, also when one of them was killed and resumed. Times go to `speed.jsonl`.
JSON has no NaN, so non-finite values are written as the strings "nan", "inf" and "-inf": `float` reads them all back.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import jax
import numpy as np
from tqdm import tqdm

from genjax.errors import UserError
from genjax.machine import hosts
from genjax.machine.files import whole
from genjax.training.trackers import Tracking

ABOUT = "about"  # of results.json: what its entries were measured on, and published numbers beside them


class Log:
    """The files and the progress of one run; of several processes only process 0 writes and prints."""

    def __init__(
        self,
        directory: str | Path,
        total_steps: int,
        batch: int,
        first_step: int = 0,
        stream: TextIO | None = None,
        begun: float | None = None,
        writes: bool = True,
        ideal: float | None = None,
    ):
        """Opens the logs of a run that starts after step `first_step` (0 = a new run), with `batch` examples a step.

        Lines of later steps and a torn last line are removed: they were written after the checkpoint that the run
        resumes from, and will be written again. So log the scalars of a step before you save it. Progress goes to
        `stream` (None = stderr). `begun`: when the work began by time.perf_counter, which goodput counts from (None =
        now). `writes`: False for a run that is only looked at: no file is touched, and nothing is told. `ideal`:
        seconds of a step with all devices at their peak, by which the share of the peak is told (None = not known, and
        not told). Raises UserError if the directory cannot be written.
        """
        self.directory = Path(directory)
        self.total_steps = total_steps  # of the whole run, also when it is resumed
        self.batch = batch
        self.stream = sys.stderr if stream is None else stream
        # who else hears of it: `loop.run` opens them
        self.tracking = Tracking()
        # the files are one run's, whatever the number of its processes
        self._writes = writes and jax.process_index() == 0
        self._bar = None  # where the stream is a terminal
        self._basis: Mapping[str, Any] | None = None  # of the results of now, see `measuring`
        self._ideal = ideal
        self._start = time.perf_counter() if begun is None else begun
        # (step, time) that the speed of the next interval is measured from.
        self._mark = (first_step, time.perf_counter())
        self._apart = 0.0  # seconds since the mark that were no steps
        self._productive = 0.0  # seconds of steps in all
        self._stepped = False
        if not self._writes:
            return
        # now rather than at the first line, which may be an hour away
        make_directory(self.directory)
        for name in ("metrics.jsonl", "speed.jsonl"):
            _forget_after(self.directory / name, first_step)
        if self.stream.isatty():
            size: dict[str, Any] = {"ncols": 80, "nrows": 24}
            if _has_size(self.stream):
                size = {"dynamic_ncols": True}
            self._bar = tqdm(
                total=total_steps, initial=first_step, file=self.stream, unit="step", **size
            )

    def advance(self, step: int) -> None:
        """Moves the bar to `step`: optional, cheap; the first call keeps compiling out of the measured speed."""
        # the first step compiles: the clock of the speed starts after it
        if not self._stepped:
            self._stepped = True
            self._mark = (step, time.perf_counter())
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def open(self, config: str, finished: bool) -> None:
        """Writes config.json; of a run that is not finished, forgets results: it will end with other parameters.

        A finished run keeps the config that it was trained by, whatever it is looked at with.
        """
        path = self.directory / "config.json"
        if not self._writes or (finished and path.exists()):
            return
        # before the config: results of another state must not outlive it
        (self.directory / "results.json").unlink(missing_ok=True)
        _replace(path, config)

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """What is done in it is no training: evaluation, pictures, saving. It does not count in speed and goodput."""
        start = time.perf_counter()
        yield
        self._apart += time.perf_counter() - start

    def scalars(self, step: int, values: Mapping[str, Any], kind: str = "train") -> None:
        """Appends scalars as "<kind>/<name>" to metrics.jsonl and shows them; those of "train" measure the speed."""
        if not self._writes:
            return
        # waits for the device, if the value is still to come
        values = {name: float(np.asarray(value)) for name, value in values.items()}
        line = {"step": int(step)}
        for name, value in values.items():
            line[f"{kind}/{name}"] = value
        self._append("metrics.jsonl", line)
        told = [f"{name} {_short(value)}" for name, value in values.items()]
        if kind == "train":
            self._progress(int(step), told)
        else:
            self.note(f"step {step}/{self.total_steps} {kind} {' '.join(told)}")
        # after the mark of the speed is set: opening a tracker is no training
        self.tracking.scalars(int(step), values, kind)

    def _progress(self, step: int, told: list[str]) -> None:
        """Measures the interval since the mark, writes its speed, shows it and sets the mark anew."""
        now = time.perf_counter()
        since, then = self._mark
        line = f"step {step}/{self.total_steps} {' '.join(told)}"
        extra = []
        if step > since:
            # More than 0, whatever the clock's resolution: it is divided by.
            seconds = max(now - then - self._apart, 1e-9)
            speed = (step - since) / seconds
            examples = speed * self.batch
            self._productive += seconds
            elapsed = now - self._start
            goodput = self._productive / max(elapsed, 1e-9)
            # at the speed of this interval, evaluations not counted
            left = _duration((self.total_steps - step) / speed)
            extra = [f"{_si(examples)} examples/s"]
            measured = {
                "steps/s": speed,
                "examples/s": examples,
                # since the process began, evaluations and compiling included
                "seconds": round(elapsed, 3),
                "goodput": goodput,
            }
            if self._ideal is not None:
                measured["mfu"] = speed * self._ideal
                extra.append(f"{100 * measured['mfu']:.3g} % of peak")
            line += f" | {_si(speed)} steps/s {' '.join(extra)} | {left} left"
            self._append("speed.jsonl", {"step": step, **measured})
            self.tracking.scalars(step, measured, "speed")
        self._stepped = True
        self._mark = (step, now)
        self._apart = 0.0
        if self._bar is None:
            self.note(line)
        else:
            short = told[:1] + extra  # the loss alone: a bar is one line
            self._bar.set_postfix_str(", ".join(short), refresh=False)
            self._bar.update(step - self._bar.n)
            self._bar.refresh()

    def note(self, text: str) -> None:
        """Prints a line without breaking the bar."""
        if not self._writes:
            return
        if self._bar is not None:
            self._bar.write(text, file=self.stream)
        else:
            print(text, file=self.stream, flush=True)

    @contextlib.contextmanager
    def measuring(self, basis: Mapping[str, Any]) -> Iterator[None]:
        """Within it results and pictures are of this basis (`basis.basis`): `result` reads no entry of another."""
        before = self._basis
        self._basis = basis
        try:
            yield
        finally:
            self._basis = before

    def picture(self, name: str, image: np.ndarray, step: int | None = None) -> Path:
        """Writes `image`, uint8 [H, W, C], to samples/<name>.png and returns that path.

        step: of a grid of training, which trackers show as one picture that changes.
        """
        # only who draws pays for the import
        from genjax.pictures.draw import save_png

        path = self.directory / "samples" / f"{name}.png"
        if self._writes:
            make_directory(path.parent)
            save_png(path, np.asarray(image))
            if step is not None:
                self.tracking.picture("samples/grid", np.asarray(image), step)
            if self._basis is not None:  # else a grid of training, which its step tells of
                results = self._results()
                self._measured(results)[f"samples/{name}"] = self._basis
                self._write_results(results)
        return path

    def result(
        self, name: str, values: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Merges `values`, if given, into entry `name` of results.json atomically; returns the entry or None.

        An entry that was measured on something else is None, and replaced instead of merged (see `measuring`). Of
        several processes all must call it: they get what process 0 read and wrote.
        """
        return hosts.from_first(self._result(name, values) if self._writes else None)

    def _result(self, name: str, values: Mapping[str, Any] | None) -> dict[str, Any] | None:
        # read anew each time: a finding may have written in between
        results = self._results()
        measured = self._measured(results)
        if self._basis is not None and name in results:
            known = measured.get(name, {}).get("hash")
            if known != self._basis["hash"]:
                del results[name]
        if values is not None:
            new = {key: _json(value) for key, value in values.items()}
            results[name] = results.get(name, {}) | new
            if self._basis is not None:
                measured[name] = self._basis
            self._write_results(results)
            self.tracking.results(name, new)
        return results.get(name)

    def beside(self, published: Sequence[Mapping[str, Any]]) -> None:
        """Keeps, in the place of those before, the published numbers that reports show beside the run's own."""
        if not self._writes:
            return
        results = self._results()
        about = results.get(ABOUT, {})
        new = _json(published)
        # none now and none before: no file for it
        if new != about.get("published", []):
            results[ABOUT] = {**about, "published": new}
            self._write_results(results)

    def measured(self) -> dict[str, Any]:
        """{entry of results.json, or samples/name of a picture: its basis}, of those of which it is known."""
        return hosts.from_first(self._measured(self._results()) if self._writes else None)

    def _measured(self, results: dict[str, Any]) -> dict[str, Any]:
        """{entry, or samples/name of a picture: its basis}, in results.json beside the entries."""
        about = results.setdefault(ABOUT, {})
        return about.setdefault("measured", {})

    def _results(self) -> dict[str, Any]:
        """results.json as it is now; {} before the first result."""
        path = self.directory / "results.json"
        try:
            return json.loads(path.read_text()) if path.exists() else {}
        except ValueError:
            raise UserError(f"{path} is not valid JSON: mend it or remove it") from None

    def _write_results(self, results: dict[str, Any]) -> None:
        about = results.pop(ABOUT, {})
        if any(about.values()):
            results[ABOUT] = about  # last: a reader of the file wants the numbers
        text = json.dumps(results, indent=2, allow_nan=False)
        _replace(self.directory / "results.json", text + "\n")

    def about(self, values: Mapping[str, Any]) -> None:
        """Writes run.json: where the run comes from and what it ran on."""
        if self._writes:
            text = json.dumps(_json(values), indent=2, allow_nan=False)
            _replace(self.directory / "run.json", text + "\n")

    def close(self) -> None:
        """Ends the bar; every line is on disk already."""
        if self._bar is not None:
            self._bar.close()

    def _append(self, name: str, line: dict[str, Any]) -> None:
        path = self.directory / name
        plain = {key: _json(value) for key, value in line.items()}
        text = json.dumps(plain, allow_nan=False)
        try:
            # Opened anew each time: the line is with the system before any checkpoint is.
            with path.open("a") as file:
                file.write(text + "\n")
        except OSError as error:
            raise _unwritable(path, error) from error


def trained_for(directory: Path) -> float:
    """Seconds of training steps of a run, without compiling, evaluation and pictures; 0 of one that never trained."""
    path = directory / "speed.jsonl"
    if not path.exists():
        return 0
    seconds = []
    first = 0  # of the interval that a line tells of: where the line before ended
    for text in path.read_text().splitlines():
        line = json.loads(text)
        seconds.append((line["step"] - first) / line["steps/s"])
        first = line["step"]
    return sum(seconds)  # which loses less to rounding than adding one by one


def make_directory(path: str | Path) -> Path:
    """Makes the directory `path` and proves that files can be written in it; raises UserError if not."""
    path = Path(path).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        # permissions do not tell: a full or read-only disk fails only when written to
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def _has_size(stream: TextIO) -> bool:
    """Whether a terminal tells its size: in some containers it is 0 x 0, where tqdm would show nothing."""
    try:
        return min(os.get_terminal_size(stream.fileno())) > 0
    except OSError:
        return False


def _unwritable(path: Path, error: OSError) -> UserError:
    remedy = "free space, mend its permissions or choose another run directory"
    return UserError(f"cannot write {path} ({error.strerror}): {remedy}")


def _forget_after(path: Path, step: int) -> None:
    """Keeps the whole lines of `path` up to `step`; of a new run (step 0) nothing is kept."""
    if not path.exists():
        return
    # a few MB at most: a line is written every `every.log` steps
    text = path.read_text()
    # of a new run nothing is kept: the lines are another's
    lines = text.splitlines(keepends=True) if step > 0 else []
    kept = "".join(line for line in lines if _step_of(line) <= step)
    if kept != text:  # a file that is right keeps its time
        _replace(path, kept)


def _step_of(line: str) -> float:
    if not line.endswith("\n"):  # torn by a kill
        return math.inf
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


def _replace(path: Path, text: str) -> None:
    try:
        with whole(path) as new:
            new.write_text(text)
    except OSError as error:
        raise _unwritable(path, error) from error


def _json(value: Any) -> Any:
    """Returns `value` as JSON can hold it: numpy numbers and arrays as Python's, non-finite floats as strings."""
    if isinstance(value, str | bool | int | None):  # as they are
        return value
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    array = np.asarray(value)
    if array.ndim:
        return [_json(item) for item in value]
    # Python's own: json knows no numpy
    number = array.item()
    if isinstance(number, float) and not math.isfinite(number):
        return str(number)  # JSON has none of the three
    return number


def _short(value: float) -> str:
    # `#` keeps zeros at the end, as they tell how far the number is known
    return f"{value:#.5g}".rstrip(".")


def _si(value: float) -> str:
    """Returns a rate in three digits: 0.42, 148, 14.8k, 1.20M."""
    for scale, unit in ((1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:#.3g}".rstrip(".") + unit
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _duration(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour:02d}h"
    if hours:
        return f"{hours}h{minute:02d}m"
    return f"{minute}m{second:02d}s" if minutes else f"{second}s"
