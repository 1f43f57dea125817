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
LARGEST = 1e300  # distances between greater values would overflow
STEP = "step"
FEW = 12  # points that are marked one by one
GAP = 12.0  # between the labels at the ends of curves


class Curve(NamedTuple):
    """One curve: points (step, value); `slot` chooses its colour and dashes; `mark` is written at its end."""

    label: str
    points: Sequence[tuple[float, float]]
    slot: int
    mark: str  # short: there are a few pixels for it
    # (step, low, high): how far the value spreads there
    spread: Sequence[tuple[float, float, float]] = ()


class Axis(NamedTuple):
    """A linear or logarithmic axis from `low` to `high` with its marks."""

    low: float
    high: float
    log: bool
    ticks: list[tuple[float, str]]

    def place(self, value: float) -> float:
        """0 at the lower end, 1 at the upper one."""
        low = self.low
        high = self.high
        if self.log:
            low = math.log(low)
            high = math.log(high)
            value = math.log(value)
        return (value - low) / (high - low)


class _Frame(NamedTuple):
    """The rectangle in which curves are drawn, in pixels of the drawing, and its two axes."""

    left: float
    right: float
    floor: float
    x: Axis
    y: Axis

    def across(self, step: float) -> float:
        """Where a step lies, from the left."""
        width = self.right - self.left
        return self.left + width * self.x.place(step)

    def up(self, value: float) -> float:
        """Where a value lies; SVG counts from the top, so greater values have smaller places."""
        height = self.floor - TOP
        return self.floor - height * self.y.place(value)

    def spot(self, point: tuple[int, float]) -> tuple[float, float]:
        """Where a point (step, value) lies."""
        step, value = point
        return self.across(step), self.up(value)


def finite(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The points that can be drawn: a value beyond 1e300 is taken for infinite, as distances would overflow."""
    # nan compares as False and so is left out as well
    return [(step, value) for step, value in points if abs(value) < LARGEST]


def thin(points: Sequence[tuple[int, float]], most: int = MOST) -> list[tuple[int, float]]:
    """At most `most` points: the first, the last, and the least and greatest value of equal stretches between."""
    if len(points) <= most:
        return list(points)
    inner = points[1:-1]
    stretches = (most - 2) // 2  # two points are kept of each
    # least and greatest, not every n-th: a spike of one step must stay visible
    kept = []
    for i in range(stretches):
        start = i * len(inner) // stretches
        stop = (i + 1) * len(inner) // stretches
        kept += _extremes(inner[start:stop])
    first = points[0]
    last = points[-1]
    return [first, *kept, last]


def _extremes(part: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The points of the least and the greatest value, in their order; one where they are the same."""
    values = [value for _, value in part]
    least = values.index(min(values))
    greatest = values.index(max(values))
    places = sorted({least, greatest})
    # in the order of the steps, or the line would go backwards
    return [part[place] for place in places]


def linear(low: float, high: float, about: int = 5) -> Axis:
    """An axis that holds low and high, with marks at 1, 2 or 5 times a power of ten."""
    if high - low < 1e-300:  # one value: an axis needs some width around it
        below = max(abs(low), 1.0)
        above = max(abs(high), 1.0)
        low -= below * 1e-2
        high += above * 1e-2
    # round marks, about so many: they are read, not interpolated
    step = _step((high - low) / about)
    # a mark that rounding puts just beyond an end belongs to the axis
    first = math.ceil(low / step - 1e-6)
    last = math.floor(high / step + 1e-6)
    ticks = []
    for k in range(first, last + 1):
        value = k * step
        ticks.append((value, _mark(value, step)))
    return Axis(low, high, False, ticks)


def _step(rough: float) -> float:
    """The least of 1, 2, 5 or 10 times a power of ten that is at least (about) `rough`."""
    exponent = math.floor(math.log10(rough))
    power = 10.0**exponent
    enough = 0.999 * rough  # not 1: rounding must not double the step
    times = [m for m in (1, 2, 5, 10) if m * power >= enough]
    return power * times[0]


def logarithmic(low: float, high: float) -> Axis:
    """A logarithmic axis; marks at powers of ten, below three of them also at 2 and 5 times."""
    first = math.floor(math.log10(low))
    last = math.ceil(math.log10(high))
    decades = range(first, last + 1)
    every = max(1, round(len(decades) / 6))  # of many decades about six are marked
    times = (1, 2, 5) if high / low < 1e3 else (1,)
    marked = [k for k in decades if k % every == 0]
    values = [m * 10.0**k for k in marked for m in times]
    # a mark that rounding puts just beyond an end belongs to the axis
    inside = [v for v in values if low * 0.999 <= v <= high * 1.001]
    ticks = [(v, _mark(v, v)) for v in inside]
    return Axis(low, high, True, ticks)


def spread(wanted: Sequence[float], low: float, high: float, gap: float = GAP) -> list[float]:
    """Places in [low, high] near those wanted, in their order and at least `gap` apart if there is room."""
    # more labels than fit: they come closer rather than leave the chart
    room = (high - low) / max(len(wanted) - 1, 1)
    gap = min(gap, room)
    # by the places that are wanted, so that leaders do not cross
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = [0.0] * len(wanted)
    # upwards: each at least a gap above the one before, if need be beyond the end
    least = low
    for i in order:
        places[i] = max(wanted[i], least)
        least = places[i] + gap
    # downwards: those beyond the end push the others back
    most = high
    for i in reversed(order):
        places[i] = min(places[i], most)
        most = places[i] - gap
    return places


def chart(title: str, curves: Sequence[Curve], across: str = STEP) -> Html | None:
    """A figure of curves over training steps with their last values in the legend; None if no value is finite.

    across: what lies on the other axis, where that is no training step. An axis is logarithmic where all values are
    positive and span more than 30 times; that of steps is linear.
    """
    shown = _drawable(curves)
    if not shown:
        return None
    # one frame for all curves: they are compared by eye
    frame = _frame(shown, across)
    scale = tag("span", ", log scale") if frame.y.log else None
    # said in words: a curve that ends early might look finished
    lost = _count(curves) - _count(shown)
    return tag(
        "figure",
        tag("figcaption", title, scale),
        _drawing(title, shown, frame, across),
        _legend(shown),
        _note(lost),
        class_="chart",
    )


def _drawable(curves: Sequence[Curve]) -> list[Curve]:
    """The curves with their finite points, without those that have none."""
    shown = []
    for curve in curves:
        points = finite(curve.points)
        spread = [part for part in curve.spread if max(map(abs, part[1:])) < LARGEST]
        if points:
            shown.append(curve._replace(points=points, spread=spread))
    return shown


def _count(curves: Sequence[Curve]) -> int:
    """The number of points of all curves."""
    return sum(len(curve.points) for curve in curves)


def _frame(shown: Sequence[Curve], across: str) -> _Frame:
    """The axes that hold all points, with room for the texts beside them."""
    x = _steps(shown) if across == STEP else _places(shown)
    y = _values(shown)
    lengths = [len(text) for _, text in y.ticks]
    widest = max(lengths, default=0)
    # room on the right for the labels at the ends
    longest = max(len(curve.mark) for curve in shown)
    return _Frame(
        left=8 + 6.2 * widest,  # pixels a letter
        right=WIDTH - 14 - 6.0 * longest,
        floor=HEIGHT - BOTTOM,
        x=x,
        y=y,
    )


def _steps(shown: Sequence[Curve]) -> Axis:
    """The axis of training steps, from 0."""
    steps = [step for curve in shown for step, _ in curve.points]
    first = min(0, *steps)  # from 0, where training starts
    return linear(first, max(steps), 4)


def _places(shown: Sequence[Curve]) -> Axis:
    """The axis of what is no step."""
    return _roomy([place for curve in shown for place, _ in curve.points])


def _values(shown: Sequence[Curve]) -> Axis:
    """The axis of values and of how far they spread."""
    values = [value for curve in shown for _, value in curve.points]
    for curve in shown:
        values += [end for _, *ends in curve.spread for end in ends]
    return _roomy(values)


def _roomy(values: Sequence[float]) -> Axis:
    """An axis a little longer than the values need."""
    low = min(values)
    high = max(values)
    # a loss that falls by orders of magnitude is a flat line on a linear axis
    if low > 0 and high > 30 * low:
        return logarithmic(low / 1.1, high * 1.1)
    room = 0.04 * (high - low)
    return linear(low - room, high + room)


def _drawing(title: str, shown: Sequence[Curve], frame: _Frame, across: str) -> Html:
    """The SVG: grid, floor and marks first, so that curves and their labels lie above them."""
    left = frame.left
    right = frame.right
    floor = frame.floor
    rules = []
    for value, text in frame.y.ticks:
        rules.append(_rule(left, right, frame.up(value), text))
    steps = []
    for step, text in frame.x.ticks:
        steps.append(_text(frame.across(step), floor + 15, text, "middle"))
    ground = tag(
        "line",
        x1=f"{left:.1f}",
        x2=f"{right:.1f}",
        y1=floor,
        y2=floor,
        class_="floor",
    )
    middle = (left + right) / 2
    return tag(
        "svg",
        rules,
        ground,
        steps,
        _text(middle, HEIGHT - 4, across, "middle"),
        [_spread(curve, frame) for curve in shown],
        [_curve(curve, frame) for curve in shown],
        _ends(shown, frame),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        # one picture to a screen reader, which reads its label and not its lines
        role="img",
        aria_label=f"{title} over {'training steps' if across == STEP else across}: {_said(shown)}",
    )


def _said(shown: Sequence[Curve]) -> str:
    """The curves in words, for a reader who does not see them."""
    parts = []
    for curve in shown:
        _, first = curve.points[0]
        _, last = curve.points[-1]
        parts.append(f"{curve.label} from {digits(first)} to {digits(last)}")
    return "; ".join(parts)


def _legend(shown: Sequence[Curve]) -> Html | None:
    """The list of curves; None where none has a mark, as of a single one."""
    if not any(curve.mark for curve in shown):
        return None
    entries = [_entry(curve) for curve in shown]
    return tag("ul", entries, class_="legend")


def _note(lost: int) -> Html | None:
    """What is said of points that cannot be drawn."""
    if not lost:
        return None
    return tag("p", f"Values left out because they are not finite: {lost}.", class_="note")


def _mark(value: float, step: float) -> str:
    """A mark's text, with the decimals that tell it from its neighbours."""
    size = abs(value)
    if value == 0:
        return "0"
    if size >= 1e9:
        return f"{value:.2g}"
    if size >= 1e6:
        return f"{value / 10**6:.4g}M"
    if size >= 1e4:
        return f"{value / 10**3:.4g}k"
    # the step's first digit; 1e-9, as log10 of 0.001 may lie just below -3
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if decimals > 5:
        return f"{value:.3g}"
    return f"{value:.{decimals}f}"


def _colour(slot: int) -> str:
    """The class of a slot's colour; there are fewer colours than curves may be."""
    return f"c{slot % COLOURS}"


def _classes(slot: int, kind: str) -> str:
    # COLOURS and the number of dash patterns together tell many slots apart
    return f"{kind} {_colour(slot)} d{slot % len(DASHES)}"


def _spread(curve: Curve, frame: _Frame) -> Html | None:
    """How far the values of a curve spread: a band around it, or bars where its points are few."""
    if not curve.spread:
        return None
    every = -(-len(curve.spread) // MOST)  # rounded up
    lows, highs = [], []
    for place, low, high in curve.spread[::every]:
        lows.append(frame.spot((place, low)))
        highs.append(frame.spot((place, high)))
    if len(lows) > FEW:
        # up along the highs and back along the lows
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in [*highs, *reversed(lows)])
        return tag("polygon", points=path, class_=f"band {_colour(curve.slot)}")
    bars = []
    for (a, low), (_, high) in zip(lows, highs, strict=True):
        x = f"{a:.1f}"
        bars.append(tag("line", x1=x, x2=x, y1=f"{low:.1f}", y2=f"{high:.1f}"))
    return tag("g", bars, class_=_colour(curve.slot))


def _curve(curve: Curve, frame: _Frame) -> list[Html]:
    """A line through the points, and dots where they are few."""
    spots = [frame.spot(point) for point in thin(curve.points)]
    drawn = []
    if len(spots) > 1:
        # a tenth of a pixel is enough, and keeps the page small
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in spots)
        class_ = _classes(curve.slot, "curve")
        drawn.append(tag("polyline", points=path, class_=class_))
    if len(spots) <= FEW:  # few: a reader wants to see where it was measured
        dots = []
        for a, b in spots:
            dots.append(tag("circle", cx=f"{a:.1f}", cy=f"{b:.1f}", r=2.6))
        drawn.append(tag("g", dots, class_=_colour(curve.slot)))
    return drawn


def _ends(shown: Sequence[Curve], frame: _Frame) -> list[list[Html]]:
    """The labels of all curves, moved apart where ends lie close together."""
    # where curves end, which need not be the last step
    spots = [frame.spot(curve.points[-1]) for curve in shown]
    heights = [b for _, b in spots]
    places = spread(heights, TOP, frame.floor)
    ends = []
    for curve, (a, b), place in zip(shown, spots, places, strict=True):
        ends.append(_end(curve, a, b, frame.right, place))
    return ends


def _end(
    curve: Curve,
    a: float,  # the last point, in pixels
    b: float,
    right: float,
    place: float,  # the height that `spread` gave the label
) -> list[Html]:
    """The label at the end of a curve, with a line to it where it had to give way; nothing of a curve without one."""
    if not curve.mark:
        return []
    if a < right - 30:  # a run that stopped earlier is labelled where it stopped
        return [_text(a + 4, b - 4, curve.mark, "start", "end")]
    line = tag(
        "line",
        x1=f"{a:.1f}",
        y1=f"{b:.1f}",
        x2=f"{right + 8:.1f}",
        y2=f"{place:.1f}",
    )
    leader = tag("g", line, class_=f"leader {_colour(curve.slot)}")
    # 3.5 below: a text stands on its place, and this brings its middle there
    label = _text(right + 11, place + 3.5, curve.mark, "start", "end")
    return [leader, label]


def _rule(left: float, right: float, at: float, text: str) -> list[Html]:
    """A line of the grid with its mark to the left."""
    height = f"{at:.1f}"
    line = tag(
        "line",
        x1=f"{left:.1f}",
        x2=f"{right:.1f}",
        y1=height,
        y2=height,
        class_="grid",
    )
    mark = _text(left - 5, at + 3.5, text, "end")
    return [line, mark]


def _text(
    x: float,
    y: float,
    text: str,
    anchor: str,  # which part of the text stands at x: start, middle or end
    class_: str | None = None,
) -> Html:
    return tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=class_)


def _entry(curve: Curve) -> Html:
    """A curve in the legend: how its line looks, its mark, its name and its last value."""
    # dashes too: colours alone do not tell curves apart for everybody
    swatch = tag("line", x1=0, x2=30, y1=5, y2=5, class_=_classes(curve.slot, "curve"))
    mark = None if curve.mark == curve.label else f"{curve.mark} "  # once is enough
    _, last = curve.points[-1]
    sample = tag("svg", swatch, viewBox="0 0 30 10", aria_hidden="true")
    return tag(
        "li",
        sample,
        mark,
        curve.label,
        " ",
        tag("b", digits(last)),
    )
