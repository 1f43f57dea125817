"""Which generator leaves which peak: spectra of generated pictures less those of real ones, drawn and in a table.

Rings of equal frequency tell a slope from none; the ring that is farthest from real pictures in standard errors is in
the table. Single frequencies tell a checkerboard or stripes (`audit.peaks`). Real pictures of other examples are in a
row of their own: what is there is chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.audit.fronts import radial
from genjax.audit.judged import Halves
from genjax.audit.peaks import (
    DECIBELS,
    Apart,
    Peak,
    apart,
    described,
    log_power,
    mean_of,
    peaks,
)
from genjax.findings.generated import OTHER
from genjax.findings.tabled import Row, keep_picture
from genjax.pictures.heat import centred, lines
from genjax.training.log import Log

CYCLES = "frequency [cycles a picture]"
AXES = ("across [cycles a picture]", "down [cycles a picture]")
LESS = "log power, generated less real [dB]"
CUT = 0.99  # share of a map's numbers that its colours tell apart


class Spectra(NamedTuple):
    """Log power of pictures."""

    rings: np.ndarray  # [N, K], without the mean grey
    plane: np.ndarray  # [N, H, W]
    group: np.ndarray  # what belongs together [N]


class Beside(NamedTuple):
    """Generated pictures against real ones."""

    rings: Apart  # [K]
    plane: np.ndarray  # d [H, W], frequency 0 first
    peaks: list[Peak]

    def ring(self) -> int:
        """The ring that is farthest apart in standard errors [cycles a picture]."""
        return 1 + int(np.argmax(np.abs(self.errors())))

    def errors(self) -> np.ndarray:
        """Differences of rings in standard errors [K]."""
        # where nothing varies a difference of nothing is none
        return self.rings.value / np.maximum(self.rings.error, 1e-12)


def tell(
    log: Log, halves: Mapping[str, tuple[np.ndarray, np.ndarray]], groups: Halves
) -> dict[str, dict[str, Row]]:
    """Records and draws the spectra of {generator: (real, generated)}, bytes [N, H, W, C]; the table of peaks.

    groups: what belongs together among the real pictures, and among those in the place of generated ones.
    """
    found: dict[str, Beside] = {}
    # the real pictures of all are the same
    first = next(iter(halves.values()))
    of_real = spectra(first[0], groups.real)
    for name, (_, generated) in halves.items():
        # what was generated is nobody's picture
        others = groups.generated if name == OTHER else np.arange(len(generated))
        found[name] = beside(of_real, spectra(generated, others))
    curves = {name: DECIBELS * each.rings.value for name, each in found.items()}
    log.result("spectra", {name: curve.tolist() for name, curve in curves.items()})
    log.result("peaks", {name: kept(each) for name, each in found.items()})
    draw_rings(log, curves)
    draw_planes(log, found)
    return {"spectra, generated less real pictures": {n: row(e) for n, e in found.items()}}


def spectra(images: np.ndarray, group: np.ndarray) -> Spectra:
    """The spectra of pictures uint8 [N, H, W, C] in groups [N]."""
    unit = np.float32(images) / np.float32(255.0)
    # ring 0 is the mean grey, which is no trace
    rings = np.float64(radial(unit))[:, 1:]
    return Spectra(rings, log_power(images), group)


def beside(real: Spectra, generated: Spectra) -> Beside:
    """What is apart between real and generated pictures."""
    of_real = mean_of(real.rings, real.group)
    of_generated = mean_of(generated.rings, generated.group)
    plane = generated.plane.mean(0) - real.plane.mean(0)
    found = peaks(real.plane, generated.plane, real.group, generated.group)
    return Beside(apart(of_real, of_generated), plane, found)


def kept(found: Beside) -> dict[str, Any]:
    """As results.json keeps it: the farthest ring, and each peak as [down, across, dB, p]."""
    k = found.ring() - 1
    listed = [[float(value) for value in peak] for peak in found.peaks]
    return {
        "ring": k + 1,
        "ring_db": float(DECIBELS * found.rings.value[k]),
        "ring_errors": float(found.errors()[k]),
        "peaks": listed,
    }


def row(found: Beside) -> Row:
    """The farthest ring and the highest peak."""
    k = found.ring() - 1
    cells = {
        "farthest ring [cycles a picture]": str(k + 1),
        "there [dB]": f"{DECIBELS * found.rings.value[k]:+.2f}",
        "in standard errors": f"{found.errors()[k]:+.1f}",
        "peaks": str(len(found.peaks)),
    }
    if found.peaks:
        highest = found.peaks[0]
        cells["highest (down, across) [cycles a pixel]"] = f"({highest.down}, {highest.across})"
        cells["which is"] = described(highest)
        cells["above its neighbours [dB]"] = f"{highest.height:.1f}"
    return cells


def draw_rings(log: Log, curves: Mapping[str, np.ndarray]) -> None:
    """The picture of differences over rings, {name: [K]} in dB."""
    over = {}
    for name, curve in curves.items():
        over[name] = {float(k + 1): float(value) for k, value in enumerate(curve)}
    picture = lines({"radial power spectrum": over}, LESS, across=CYCLES)
    keep_picture(log, "spectra", picture)


def draw_planes(log: Log, found: Mapping[str, Beside]) -> None:
    """The picture of differences over the plane of frequencies, peaks in circles."""
    maps = {}
    marks = {}
    for name, each in found.items():
        height, width = each.plane.shape
        shown = DECIBELS * each.plane
        shown[0, 0] = 0.0  # the mean grey
        maps[name] = np.fft.fftshift(shown)
        # of the pair the one that is in the map: it has -1/2 and no 1/2
        marks[name] = [(-float(p.down * height), -float(p.across * width)) for p in each.peaks]
    every = np.abs(np.stack(list(maps.values())))
    # one peak must not make all else pale
    reach = max(float(np.quantile(every, CUT)), 1.0)
    picture = centred(maps, *AXES, LESS, reach, marks)
    keep_picture(log, "peaks", picture)
