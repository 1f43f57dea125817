"""Restorers that were never trained: their settings, and BM3D's figures.

    python -m benchmarks.floors_genjax search     settings, on three grey pictures of held-out scenes: minutes
    python -m benchmarks.floors_genjax bm3d       genjax/ae/bm3d.json, on the test scenes: an hour of a core; it goes
                                                  on where it was stopped

The first needs scikit-image and PyWavelets, the second the package bm3d, whose licence is for non-commercial use; both
the scenes of `genjax.data.Scenes`. All are given floats that nobody has clipped, and the deviation of their noise.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

import jax

from genjax.ae.figures import FILE, marks
from genjax.ae.floors import BM3D, NonLocalMeans, TotalVariation, Wavelets
from genjax.corruptions import Gaussian
from genjax.data import Scenes
from genjax.data.source import Source
from genjax.findings.restored import Crops, Seen, crops, spoilt, worked
from genjax.findings.restoring import levelled
from genjax.machine.files import whole
from genjax.views import Luma

SIGMAS = (15, 25, 50)  # of 255
GREY, COLOUR, SEARCHED = 64, 20, 3  # pictures at most
MIDDLE = 25  # the strength of the search
# of each picture
KEPT = ("crc32", "input", "psnr", "ssim", "seconds per megapixel")
# what is measured, with the views that it is seen through
KINDS = (("grey", (Luma(),), GREY), ("colour", (), COLOUR))
TRIED = (
    *(NonLocalMeans(h=h) for h in (0.4, 0.5, 0.6, 0.7, 0.8)),
    *(NonLocalMeans(h=h, patch=7) for h in (0.5, 0.6, 0.7)),
    *(TotalVariation(weight) for weight in (0.6, 0.75, 0.9, 1.0, 1.05)),
    *(Wavelets(wavelet) for wavelet in ("db1", "db2", "sym4", "sym8")),
    Wavelets(universal=True),
)


def noisy(source: Source, most: int, views: Sequence[Any]) -> Iterator[tuple[int, Crops, Seen]]:
    """(sigma of 255, pictures, what is seen of them) for each strength."""
    held = crops(source, views, most)
    for sigma in SIGMAS:
        yield sigma, held, spoilt((noise(sigma),), held)


def noise(sigma: int) -> Gaussian:
    return Gaussian(sigma / 255, sigma / 255)


def search() -> None:
    """Prints the mean PSNR of every setting on pictures of the valid split, in grey."""
    source = Scenes(256).load()
    # nothing is chosen by looking at test pictures
    source = source._replace(test=source.valid)
    held = crops(source, (Luma(),), SEARCHED)
    seen = spoilt((noise(MIDDLE),), held)
    for floor in TRIED:
        made = worked(levelled(floor), seen, held.image)
        print(f"{floor}: {made.psnr.mean():.3f} {made.seconds:.2f} s/Mpixel", flush=True)


def bm3d() -> None:
    """Measures BM3D on the test pictures and writes the file after every picture; what it has already is left."""
    source = Scenes(256).load()
    packages = ("bm3d", "bm4d", "jax", "numpy")
    content = {"method": "BM3D", "profile": BM3D().profile, "sets": []}
    if FILE.exists():
        content = json.loads(FILE.read_text())
    content["versions"] = {package: metadata.version(package) for package in packages}
    for name, views, most in KINDS:
        for sigma, held, seen in noisy(source, most, views):
            own = found_or_new(content["sets"], name, repr(noise(sigma)))
            for i in range(len(held.index)):
                one = jax.tree.map(lambda x, i=i: x[i : i + 1], (held, seen))
                if enter(own, *one):
                    with whole(FILE) as new:
                        new.write_text(json.dumps(content, indent=1) + "\n")
            mean = sum(own["psnr"]) / len(own["psnr"])
            print(f"{name} {sigma} {len(own['psnr'])}: {mean:.3f} dB", flush=True)


def found_or_new(sets: list[dict[str, Any]], kind: str, damage: str) -> dict[str, Any]:
    """The set of one kind and damage, which is put among them where it is missing."""
    for each in sets:
        if (each["kind"], each["damage"]) == (kind, damage):
            return each
    new = {"data": "Scenes(256)", "kind": kind, "damage": damage, **{name: [] for name in KEPT}}
    sets.append(new)
    return new


def enter(own: dict[str, Any], held: Crops, seen: Seen) -> bool:
    """Measures one picture for a set; False where it is there already."""
    known = marks(held.image, seen.x)
    if known.crc32[0] in own["crc32"]:
        return False
    made = worked(levelled(BM3D()), seen, held.image)
    values = (known.crc32[0], known.input[0], made.psnr[0], made.ssim[0], made.seconds)
    for name, value in zip(KEPT, values, strict=True):
        # to what is looked at: half a thousandth of a decibel is more than rounding in float32 leaves
        own[name].append(value if name == "crc32" else round(float(value), 5))
    return True


JOBS = {"search": search, "bm3d": bm3d}

if __name__ == "__main__":
    JOBS[sys.argv[1]]()
