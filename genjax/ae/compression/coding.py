"""From numbers to a file's whole numbers and back: what a prior knows, as tables, computed exactly.

`code(port, y, z)` is encoder and decoder alike: a `Writer` takes the numbers, a `Reader` gives them, and between them
stands only what both know. Of y and z the decoder has the shapes alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genjax.ae.compression.density import (
    LARGEST,
    SMALLEST,
    Logistic,
    Normal,
    learned_cumulative,
    quantile,
)
from genjax.ae.compression.transforms import ABOVE, chessboard
from genjax.codec import exact
from genjax.codec.exact import FINE
from genjax.codec.stream import Port
from genjax.codec.tables import TAIL, Table, checksum, table

SCALES = 64  # deviations that there are tables of
MEANS = 2.0**8  # means are whole parts of this of a step
BACK = 2.0**16  # and units of a step whole parts of this of a unit
REACH = 12.0  # deviations that a table holds on each side, at most


class FactorisedCoder:
    """Tables of each channel."""

    def __init__(self, density: dict[str, Any], levels: np.ndarray) -> None:
        self._fine = np.exp(levels)
        self._tables = learned_tables(density, self._fine)
        self.mark = checksum(self._tables, exact.whole(self._fine))

    def code(
        self,
        port: Port,
        y: np.ndarray,
        z: np.ndarray,
    ) -> np.ndarray:
        """Writes or reads; returns y as the decoder sees it, [h, w, latent]."""
        which = np.broadcast_to(np.arange(y.shape[-1]), y.shape)
        steps = np.rint(y * self._fine)
        seen = port.code(steps, which, self._tables)
        return seen / self._fine


class HyperCoder:
    """Tables of deviations, chosen for each number by nets in whole numbers."""

    def __init__(
        self,
        params: dict[str, Any],
        levels: np.ndarray,
        rate: float,
        density: Normal | Logistic,
    ) -> None:
        self._params = params
        self._rate = rate
        self._fine = np.exp(levels)
        # exp may differ in its last digit between machines: what is rounded of it is in the checksum
        self._unit = exact.whole(self._fine)
        self._back = exact.whole(1.0 / self._fine, BACK)
        self._levels = exact.whole(levels)
        self._tables = [scale_table(density, each) for each in deviations()]
        # z is not scaled: a step is a unit
        channels = len(params["density"]["bias_0"])
        self._side = learned_tables(params["density"], np.ones(channels))
        # which table a number has hangs on a logarithm, as these do
        marks = self._unit, self._back, self._levels, borders()
        self.mark = checksum([*self._tables, *self._side], *marks)

    def code(
        self,
        port: Port,
        y: np.ndarray,
        z: np.ndarray,
    ) -> np.ndarray:
        """As `FactorisedCoder.code`."""
        channel = np.broadcast_to(np.arange(z.shape[-1]), z.shape)
        side = port.code(np.rint(z), channel, self._side)
        features, moments = self._told(side)
        height, width = y.shape[:2]
        unit = self._fine * MEANS  # parts of a step
        if "context" not in self._params:
            everywhere = np.ones((height, width), bool)
            seen = self._part(port, y, moments, everywhere)
            return seen / unit
        dark = chessboard(height, width)[..., 0] > 0
        first = self._part(port, y, moments, dark)
        # the light fields are coded knowing the dark ones
        more = self._around(first, features)
        second = self._part(port, y, moments + more, ~dark)
        return (first + second) / unit

    def _told(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`HyperSynthesis`, in whole numbers."""
        params = self._params["hyper_synthesis"]
        row = exact.between(params["told"]["table"], self._rate)
        told = exact.whole(row)
        h = exact.conv(exact.whole(z), params["first"])
        h = exact.leaky(h + told)
        h = exact.conv(h, params["up"])
        h = exact.leaky(exact.unfolded(h, ABOVE))
        h = exact.conv(h, params["second"])
        features = exact.leaky(h)
        return features, exact.conv(features, params["last"])

    def _around(self, seen: np.ndarray, features: np.ndarray) -> np.ndarray:
        """`Context`, in whole numbers; seen: parts of a step."""
        params = self._params["context"]
        # from parts of a step to parts of a unit, as activations are
        units = exact.coarser(seen * self._back, MEANS * BACK / FINE)
        around = exact.conv(units, params["around"])
        here = exact.conv(features, params["here"])
        h = exact.leaky(around + here)
        return exact.conv(h, params["last"])

    def _part(
        self, port: Port, y: np.ndarray, moments: np.ndarray, where: np.ndarray
    ) -> np.ndarray:
        """Codes the numbers at some places; the whole map as it is seen, in parts of a step, 0 elsewhere."""
        means, levels = np.split(moments[where], 2, -1)  # [n, latent]
        means = exact.coarser(means * self._unit, FINE * FINE / MEANS)
        # a product of units is a sum of logarithms
        which = np.searchsorted(borders(), levels + self._levels)
        steps = y[where] * self._fine
        off = np.rint(steps - means / MEANS)
        found = port.code(off, which, self._tables)
        seen = np.zeros(y.shape)
        seen[where] = found * MEANS + means
        return seen


def deviations() -> np.ndarray:
    """Those that there are tables of, [SCALES], each the same share above the one before."""
    return np.geomspace(SMALLEST, LARGEST, SCALES)


def borders() -> np.ndarray:
    """Between which logarithms a table is taken, whole parts, [SCALES - 1]."""
    levels = np.log(deviations())
    middle = (levels[1:] + levels[:-1]) / 2
    return exact.whole(middle)


def scale_table(density: Normal | Logistic, deviation: float) -> Table:
    """The table of a density about 0."""
    reach = np.ceil(REACH * deviation)
    last = int(reach) + 1

    def cumulative(edges: np.ndarray) -> np.ndarray:
        return density.cumulative(edges, deviation)

    return table(cumulative, -last, last)


def learned_tables(density: dict[str, Any], fine: np.ndarray) -> list[Table]:
    """A table for each channel of a `Learned`, of numbers that are `fine` [channels] steps a unit."""
    whole = learned_cumulative(density)
    low = quantile(whole, TAIL, len(fine)) * fine
    high = quantile(whole, 1.0 - TAIL, len(fine)) * fine
    found = []
    for channel, steps in enumerate(fine):
        # a density's parameters are rows of their own
        rows = {name: value[channel : channel + 1] for name, value in density.items()}
        own = learned_cumulative(rows)

        def cumulative(
            edges: np.ndarray,
            own: Any = own,
            steps: float = steps,
        ) -> np.ndarray:
            units = edges / steps
            return own(units[None])[0]

        first = int(np.floor(low[channel]))
        last = int(np.ceil(high[channel]))
        found.append(table(cumulative, first, last))
    return found
