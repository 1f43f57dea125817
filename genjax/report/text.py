"""Numbers, times and configs as a reader wants them: 4 significant digits, units where they are known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from genjax.report.facts import number

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
    return f"{name} [{UNITS[name]}]" if name in UNITS else name


def digits(value: Any) -> str:
    """A value of results.json as text: 4.907, 0.991, 231,500, 1.082e-15, nan; whole numbers in full."""
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        more = f", ... ({len(value)} in all)" if len(value) > MOST else ""
        return ", ".join(map(digits, value[:MOST])) + more
    found = number(value)
    if found is None:
        return str(value)
    if isinstance(found, int) or (
        math.isfinite(found) and found == int(found) and abs(found) < 1e9
    ):
        return f"{found:,.0f}" if abs(found) >= 10_000 else f"{found:.0f}"
    if 1e4 <= abs(found) < 1e9:
        return f"{float(f'{found:.4g}'):,.0f}"
    short = f"{found:.4g}"
    return (
        short if float(short) == found or not math.isfinite(found) else f"{found:#.4g}".rstrip(".")
    )


def measured(value: dict[str, Any]) -> str:
    """A metric with its interval: `4.93 [4.81, 5.07], n 2000, real 4.91`."""
    low, high, n, floor = (value.get(key) for key in ("low", "high", "n", "floor"))
    text = digits(value.get("value"))
    text += f" [{digits(low)}, {digits(high)}]" if low is not None and high is not None else ""
    text += f", n {digits(n)}" if n is not None else ""
    return text + (f", real {digits(floor)}" if floor is not None else "")


def duration(seconds: float) -> str:
    """Seconds as 38.7 s, 8 min 51 s, 1 h 30 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours} h {minute} min" if hours else f"{minutes} min {second} s"


def show(value: Any) -> str:
    """A value of config.json as the command line writes it: R1(gamma=0.3), (32, 64), None."""
    if isinstance(value, dict):
        if "__float__" in value:
            return str(value["__float__"])
        fields = ", ".join(f"{name}={show(v)}" for name, v in value.items() if name != "__type__")
        return f"{kind(value)}({fields})"
    if isinstance(value, list):
        return f"({', '.join(map(show, value))}{',' * (len(value) == 1)})"
    return repr(value)


def kind(value: dict[str, Any]) -> str:
    """The name of a config's type: GAN of genjax.gan.gan:GAN."""
    return str(value.get("__type__", "")).rpartition(":")[2]


def fields(config: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """(dotted path, text) of every field, a config's type before its own fields."""
    for name, value in config.items():
        if name == "__type__" or (name == "published" and not above):
            continue
        path = f"{above}.{name}" if above else name
        nested = isinstance(value, dict) and "__type__" in value
        yield path, kind(value) if nested else show(value)
        if nested:
            yield from fields(value, path)


def differing(configs: list[dict[str, Any]], above: str = "") -> Iterator[tuple[str, list[str]]]:
    """(dotted path, each config's text) where configs are not all the same.

    Values of different types are shown whole if they are short, else by their types and by what differs in them.
    """
    mixed = len({kind(config) for config in configs}) > 1
    for name in dict.fromkeys(name for config in configs for name in config):
        path, values = (
            f"{above}.{name}" if above else name,
            [config.get(name) for config in configs],
        )
        texts = [
            show(value) if name in config else "absent"
            for config, value in zip(configs, values, strict=True)
        ]
        implied = {"absent"} if mixed else set()  # a field that one type has is told by the type
        if name in ("__type__", "published") or len(set(texts) - implied) == 1:
            continue
        inner = [value if isinstance(value, dict) else {} for value in values]
        kinds = {kind(value) for value in inner}
        if "" in kinds or (len(kinds) > 1 and max(map(len, texts)) <= SHORT):
            yield path, texts
            continue
        if len(kinds) > 1:
            yield path, [kind(value) for value in inner]
        yield from differing(inner, path)
