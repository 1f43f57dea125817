"""Charts of curves as inline SVG: a colour, a dash pattern and a label at its end for every curve, a legend below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from genjax.report.markup import Html, tag
from genjax.report.style import COLOURS, DASHES
from genjax.report.text import digits

MOST = 400  # points drawn of one curve
WIDTH, HEIGHT, TOP, BOTTOM = 400, 230, 10, 34
GAP = 12.0  # between the labels at the ends of curves


class Curve(NamedTuple):
    """One curve: points (step, value); `slot` chooses its colour and dashes; `mark` is written at its end."""

    label: str
    points: Sequence[tuple[int, float]]
    slot: int
    mark: str


class Axis(NamedTuple):
    """A linear or logarithmic axis from `low` to `high` with its marks."""

    low: float
    high: float
    log: bool
    ticks: list[tuple[float, str]]

    def place(self, value: float) -> float:
        """0 at the lower end, 1 at the upper one."""
        if self.log:
            low = math.log(self.low)
            return (math.log(value) - low) / (math.log(self.high) - low)
        return (value - self.low) / (self.high - self.low)


def finite(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The points that can be drawn: a value beyond 1e300 is taken for infinite, as distances would overflow."""
    return [(step, value) for step, value in points if abs(value) < 1e300]


def thin(points: Sequence[tuple[int, float]], most: int = MOST) -> list[tuple[int, float]]:
    """At most `most` points: the first, the last, and the least and greatest value of equal stretches between."""
    if len(points) <= most:
        return list(points)
    inner, stretches = points[1:-1], (most - 2) // 2
    kept = []
    for i in range(stretches):
        part = inner[i * len(inner) // stretches : (i + 1) * len(inner) // stretches]
        ends = {
            min(range(len(part)), key=lambda j: part[j][1]),
            max(range(len(part)), key=lambda j: part[j][1]),
        }
        kept += [part[j] for j in sorted(ends)]
    return [points[0], *kept, points[-1]]


def linear(low: float, high: float, about: int = 5) -> Axis:
    """An axis that holds low and high, with marks at 1, 2 or 5 times a power of ten."""
    if high - low < 1e-300:
        low, high = low - max(abs(low), 1.0) * 1e-2, high + max(abs(high), 1.0) * 1e-2
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= 0.999 * rough)
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return Axis(
        low, high, False, [(k * step, _mark(k * step, step)) for k in range(first, last + 1)]
    )


def logarithmic(low: float, high: float) -> Axis:
    """A logarithmic axis; marks at powers of ten, below three of them also at 2 and 5 times."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = max(1, round(len(decades) / 6))
    times = (1, 2, 5) if high / low < 1e3 else (1,)
    ticks = [m * 10.0**k for k in decades if k % every == 0 for m in times]
    return Axis(
        low, high, True, [(t, _mark(t, t)) for t in ticks if low * 0.999 <= t <= high * 1.001]
    )


def spread(wanted: Sequence[float], low: float, high: float, gap: float = GAP) -> list[float]:
    """Places in [low, high] near those wanted, in their order and at least `gap` apart if there is room."""
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = [0.0] * len(wanted)
    for rank, i in enumerate(order):
        least = places[order[rank - 1]] + gap if rank else low
        places[i] = max(wanted[i], least)
    most = high
    for i in reversed(order):
        places[i] = min(places[i], most)
        most = places[i] - gap
    return places


def chart(title: str, curves: Sequence[Curve]) -> Html | None:
    """A figure of curves over training steps with their last values in the legend; None if no value is finite.

    The value axis is logarithmic where all values are positive and span more than 30 times.
    """
    shown = [curve._replace(points=finite(curve.points)) for curve in curves]
    shown = [curve for curve in shown if curve.points]
    if not shown:
        return None
    values = [value for curve in shown for _, value in curve.points]
    low, high = min(values), max(values)
    log = low > 0 and high > 30 * low
    room = 0.04 * (high - low)
    y = logarithmic(low / 1.1, high * 1.1) if log else linear(low - room, high + room)
    steps = [step for curve in shown for step, _ in curve.points]
    x = linear(min(0, *steps), max(steps), 4)
    left = 8 + 6.2 * max([len(text) for _, text in y.ticks], default=0)
    right = WIDTH - 14 - 6.0 * max(len(curve.mark) for curve in shown)
    floor = HEIGHT - BOTTOM
    across, up = (
        (lambda s: left + (right - left) * x.place(s)),
        (lambda v: floor - (floor - TOP) * y.place(v)),
    )
    ends = spread([up(curve.points[-1][1]) for curve in shown], TOP, floor)
    said = "; ".join(
        f"{c.label} from {digits(c.points[0][1])} to {digits(c.points[-1][1])}" for c in shown
    )
    drawing = tag(
        "svg",
        [_rule(left, right, up(v), text) for v, text in y.ticks],
        tag("line", x1=f"{left:.1f}", x2=f"{right:.1f}", y1=floor, y2=floor, class_="floor"),
        [_text(across(s), floor + 15, text, "middle") for s, text in x.ticks],
        _text((left + right) / 2, HEIGHT - 4, "step", "middle"),
        [_curve(curve, across, up) for curve in shown],
        [
            _end(c, across(c.points[-1][0]), up(c.points[-1][1]), right, e)
            for c, e in zip(shown, ends, strict=True)
        ],
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{title} over training steps: {said}",
    )
    name = tag("figcaption", title, tag("span", ", log scale") if log else None)
    named = shown if any(curve.mark for curve in shown) else []
    legend = tag("ul", [_entry(curve) for curve in named], class_="legend") if named else None
    lost = sum(len(curve.points) for curve in curves) - len(values)
    note = (
        tag("p", f"Values left out because they are not finite: {lost}.", class_="note")
        if lost
        else None
    )
    return tag("figure", name, drawing, legend, note, class_="chart")


def _mark(value: float, step: float) -> str:
    """A mark's text, with the decimals that tell it from its neighbours."""
    if value == 0:
        return "0"
    if abs(value) >= 1e4:
        power = 6 if abs(value) >= 1e6 else 3
        return (
            f"{value / 10**power:.4g}" + {6: "M", 3: "k"}[power]
            if abs(value) < 1e9
            else f"{value:.2g}"
        )
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:.{decimals}f}" if decimals <= 5 else f"{value:.3g}"


def _classes(slot: int, kind: str) -> str:
    return f"{kind} c{slot % COLOURS} d{slot % len(DASHES)}"


def _curve(curve: Curve, across, up) -> list[Html]:
    points = [(across(step), up(value)) for step, value in thin(curve.points)]
    drawn = []
    if len(points) > 1:
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        drawn.append(tag("polyline", points=path, class_=_classes(curve.slot, "curve")))
    if len(points) <= 12:  # few: a reader wants to see where it was measured
        dots = [tag("circle", cx=f"{a:.1f}", cy=f"{b:.1f}", r=2.6) for a, b in points]
        drawn.append(tag("g", dots, class_=f"c{curve.slot % COLOURS}"))
    return drawn


def _end(curve: Curve, a: float, b: float, right: float, place: float) -> list[Html]:
    """The label at the end of a curve, with a line to it where it had to give way."""
    if a < right - 30:  # a run that stopped earlier is labelled where it stopped
        return [_text(a + 4, b - 4, curve.mark, "start", "end")]
    line = tag("line", x1=f"{a:.1f}", y1=f"{b:.1f}", x2=f"{right + 8:.1f}", y2=f"{place:.1f}")
    leader = tag("g", line, class_=f"leader c{curve.slot % COLOURS}")
    return [leader, _text(right + 11, place + 3.5, curve.mark, "start", "end")]


def _rule(left: float, right: float, at: float, text: str) -> list[Html]:
    line = tag(
        "line", x1=f"{left:.1f}", x2=f"{right:.1f}", y1=f"{at:.1f}", y2=f"{at:.1f}", class_="grid"
    )
    return [line, _text(left - 5, at + 3.5, text, "end")]


def _text(x: float, y: float, text: str, anchor: str, class_: str | None = None) -> Html:
    return tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=class_)


def _entry(curve: Curve) -> Html:
    swatch = tag("line", x1=0, x2=30, y1=5, y2=5, class_=_classes(curve.slot, "curve"))
    mark = None if curve.mark == curve.label else f"{curve.mark} "
    value = tag("b", digits(curve.points[-1][1]))
    return tag(
        "li",
        tag("svg", swatch, viewBox="0 0 30 10", aria_hidden="true"),
        mark,
        curve.label,
        " ",
        value,
    )
