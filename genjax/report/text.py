"""Numbers, times and configs as a reader wants them: 4 significant digits, units where they are known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from genjax.report.facts import number

# metrics that are not here have no unit, or one of their own
UNITS = {
    "bits_per_dim": "bits/dim",
    "psnr": "dB",
    "elbo": "nats",
    "log_p": "nats",
    "largest_angle": "degrees",
    "mean_angle": "degrees",
    "steps/s": "1/s",
    "seconds": "s",
}
MOST = 24  # numbers of a list that are written out
SHORT = 60  # characters of a config that is shown whole


def unit(name: str) -> str:
    """A metric's name with its unit, where that is known."""
    if name not in UNITS:
        return name
    return f"{name} [{UNITS[name]}]"


def digits(value: Any) -> str:
    """A value of results.json as text: 4.907, 0.991, 231,500, 1.082e-15, nan; whole numbers in full."""
    if value is None:
        return "not measured"
    # before numbers, for a bool is an int to Python
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        # the end is cut, and its length told
        more = f", ... ({len(value)} in all)" if len(value) > MOST else ""
        return ", ".join(map(digits, value[:MOST])) + more
    found = number(value)  # "nan" and {"__float__": "inf"} are numbers too
    if found is None:
        return str(value)
    if _whole(found):
        return f"{found:,.0f}" if abs(found) >= 10_000 else f"{found:.0f}"
    if 1e4 <= abs(found) < 1e9:
        rounded = float(
            f"{found:.4g}"
        )  # 231456.7 -> 231500.0, which is written without a power
        return f"{rounded:,.0f}"
    return _four(found)


def _whole(found: float) -> bool:
    """Whether a number is written without decimals, all its digits told."""
    if isinstance(found, int):
        return True
    if not math.isfinite(found):  # int() takes no infinity
        return False
    # beyond it a float's last digits mean nothing
    return found == int(found) and abs(found) < 1e9


def _four(found: float) -> str:
    """Four significant digits; fewer where the number has no more."""
    short = f"{found:.4g}"
    if not math.isfinite(found) or float(short) == found:
        return short
    # rounded: `#` keeps the zeros at the end, which are digits as well
    return f"{found:#.4g}".rstrip(".")


def measured(value: dict[str, Any]) -> str:
    """A metric with its interval: `4.93 [4.81, 5.07], n 2000, real 4.91`."""
    low = value.get("low")
    high = value.get("high")
    n = value.get("n")
    floor = value.get("floor")
    text = digits(value.get("value"))
    if low is not None and high is not None:  # not every metric knows its interval
        text += f" [{digits(low)}, {digits(high)}]"
    if n is not None:
        text += f", n {digits(n)}"
    if floor is not None:
        text += f", real {digits(floor)}"
    return text


def duration(seconds: float) -> str:
    """Seconds as 38.7 s, 8 min 51 s, 1 h 30 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    # rounded first: 59.7 s of a minute must not become "60 s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours:  # nobody asks for the seconds of hours
        return f"{hours} h {minute} min"
    return f"{minutes} min {second} s"


def show(value: Any) -> str:
    """A value of config.json as the command line writes it: R1(gamma=0.3), (32, 64), None."""
    if isinstance(value, dict):
        if "__float__" in value:
            return str(value["__float__"])
        given = []
        for name, inner in value.items():
            if name != "__type__":
                given.append(f"{name}={show(inner)}")
        return f"{kind(value)}({', '.join(given)})"
    if isinstance(value, list):
        parts = ", ".join(map(show, value))
        comma = "," if len(value) == 1 else ""  # a tuple of one, as the command line wants it
        return f"({parts}{comma})"
    return repr(value)


def kind(value: dict[str, Any]) -> str:
    """The name of a config's type: GAN of genjax.gan.gan:GAN."""
    path = str(value.get("__type__", ""))
    _, _, name = path.rpartition(":")
    return name


def fields(config: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """(dotted path, text) of every field, a config's type before its own fields."""
    for name, value in config.items():
        if name == "__type__":  # told by the row of the config itself
            continue
        if name == "published" and not above:  # no part of what was run: beside the results
            continue
        path = _join(above, name)
        nested = isinstance(value, dict) and "__type__" in value
        yield path, kind(value) if nested else show(value)
        if nested:
            yield from fields(value, path)


def _join(above: str, name: str) -> str:
    """The dotted path of a field; "" is the whole config."""
    return f"{above}.{name}" if above else name


def differing(
    configs: list[dict[str, Any]], above: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """(dotted path, each config's text) where configs are not all the same.

    Values of different types are shown whole if they are short, else by their types and by what differs in them.
    """
    mixed = len({kind(config) for config in configs}) > 1
    # of two types some fields exist once: the types' own row says so
    implied = {"absent"} if mixed else set()  # a field that one type has is told by the type
    names = dict.fromkeys(name for config in configs for name in config)  # each once, in order
    for name in names:
        if name in ("__type__", "published"):
            continue
        path = _join(above, name)
        texts = [show(config[name]) if name in config else "absent" for config in configs]
        if len(set(texts) - implied) == 1:  # the same in all
            continue
        values = [config.get(name) for config in configs]
        # what is no config has no fields to go on with
        inner = [value if isinstance(value, dict) else {} for value in values]
        kinds = [kind(value) for value in inner]  # "" of what is no config
        several = len(set(kinds)) > 1
        short = max(map(len, texts)) <= SHORT
        if "" in kinds or (several and short):
            yield path, texts
            continue
        if several:
            yield path, kinds
        yield from differing(inner, path)
