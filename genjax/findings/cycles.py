"""What a cycle hides, and what styles do.

A cycle asks that a picture come back, not that it be seen in its translation: generators learn to write what they will
need into noise that nobody sees (Chu et al. 2017, arXiv:1712.02950). `Messages` disturbs translations a little, saves
them as bytes or adds noise, and tells how much worse the pictures come back. Where held-out rows are pairs, the true
picture of the other domain is sent back as well: nothing is hidden in it, so what comes back of it, and how little that
falls, is what an honest translation would do.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import field
from genjax.core import averaged, example_normal, size
from genjax.data.batches import domains
from genjax.errors import UserError, above, at_least, distinct
from genjax.findings.restored import decibels, evenly, over_groups, still
from genjax.findings.samples import check_images, show, told
from genjax.findings.translating import check_group, grouped
from genjax.pictures.draw import grid
from genjax.training.experiment import Experiment
from genjax.training.run import Run
from genjax.translate import munit

NOISE = 0xC1C1E  # the seed of all noise: no run's, so that all are disturbed alike
CLEAN, BYTES = "clean", "8 bits"


@dataclasses.dataclass(frozen=True)
class Messages:
    """PSNR of pictures that have gone there and back, their translations left alone, saved as bytes and noised.

    The picture `cycle` has a row for each example: it, its translation, what came back of that, undisturbed, as bytes
    and with each noise; of pairs the same of the true picture, which is last.
    """

    # as many as make the error of a mean small
    images: int = field(300, "test pictures that are measured, at most")
    # from below what a byte can hold to what anybody sees
    noises: tuple[float, ...] = field(
        (0.003, 0.01, 0.03, 0.1), "standard deviations of the noise, in units of the range"
    )
    shown: int = field(8, "pictures in the grid", execution=True)
    # shots of one person, signs of one design: near copies are no independent examples
    group: str = field(
        "",
        "field whose values tell what belongs together; none = each by itself",
        added=True,
    )
    cell: float = field(
        1.0,
        "how far apart values of one group may be, of a field of numbers",
        added=True,
    )

    def check(
        self,
        exp: Experiment,
        source: Any,
    ) -> None:
        """Raises UserError for models without a way back, for noise that is none, and a group that is no field."""
        check_images(source)
        check_tested("Messages", source)
        check_group("Messages", self.group, self.cell, source)
        least = {"images": self.images, "shown": self.shown}
        at_least(1, "--finish.Messages.", **least)
        # none at all is the row `clean`
        for noise in self.noises:
            above(0, "--finish.Messages.", noises=noise)
        distinct("finish.Messages.noises", self.noises)
        # asked by what it can do, not by its name
        if not hasattr(exp.algorithm, "ways"):
            name = type(exp.algorithm).__name__
            raise UserError(
                f"the finding Messages() is of models that translate there and back, and {name}() does not: use "
                "--finish='()'."
            )

    def __call__(self, this: Run) -> dict[str, float]:
        first, second = this.spec.domains
        there, back = this.exp.algorithm.ways(this.spec)
        x = seen(this, first, self.images)
        translated = sent(this, there, x)
        # what is sent back, by where it is from
        origins = {"translation": translated}
        # nothing is hidden in a true picture
        if this.source.aligned:
            origins["truth"] = seen(this, second, self.images)
        numbers: dict[str, float] = {}
        groups = self.groups(this, first)
        tiles = [x, translated]
        for origin, pictures in origins.items():
            psnr = {}
            for name, disturbed in disturbances(pictures, self.noises).items():
                returned = sent(this, back, disturbed)
                psnr[name] = fidelity(returned, x)
                tiles.append(returned)
            numbers |= self.tell(this, origin, psnr, groups)
        # last, beside what came back of it
        if "truth" in origins:
            tiles.append(origins["truth"])
        show(this, "cycle", rows_of(tiles, self.shown))
        return numbers

    def groups(self, this: Run, domain: str) -> np.ndarray:
        """The group of each test picture of a domain that is measured, int [n]."""
        arrays = this.source.test[domain]
        # the rows of `seen`
        rows = evenly(self.images, size(arrays))
        if not self.group:
            return rows
        return grouped(np.asarray(arrays[self.group][rows]), self.cell)

    def tell(
        self,
        this: Run,
        origin: str,
        psnr: dict[str, np.ndarray],
        groups: np.ndarray,
    ) -> dict[str, float]:
        """Records what comes back of one origin, and by how much it falls; returns the numbers."""
        numbers = {}
        words = []
        for name, values in psnr.items():
            whole = over_groups(values, groups)
            # picture by picture: what they share cancels
            fall = over_groups(psnr[CLEAN] - values, groups)
            entry = {
                "psnr": whole.value,
                "low": whole.low,
                "high": whole.high,
                "fall": fall.value,
                "fall_low": fall.low,
                "fall_high": fall.high,
                "n": len(values),
                "groups": len(np.unique(groups)),
            }
            this.log.result(f"cycle: {origin}, {name}", entry)
            numbers[f"{origin}, {name}"] = whole.value
            words.append(f"{name} {told(whole)}")
        this.log.note(f"back from the {origin}, PSNR [dB]: {', '.join(words)}")
        return numbers


@dataclasses.dataclass(frozen=True)
class Styled:
    """A picture of one input in several styles: drawn ones, and those of examples, which stand in the first row."""

    shown: int = field(8, "inputs, a row each", execution=True)

    def check(
        self,
        exp: Experiment,
        source: Any,
    ) -> None:
        """Raises UserError for models that have one answer to a picture."""
        check_images(source)
        check_tested("Styled", source)
        at_least(1, "--finish.Styled.", shown=self.shown)
        name = type(exp.algorithm).__name__
        if getattr(exp.algorithm, "styles", 1) < 2 or not hasattr(exp.algorithm, "reader"):
            raise UserError(
                f"the finding Styled() is of models with several answers to a picture, and {name}() is asked for one: "
                "use --algorithm='MUNIT()' with --algorithm.styles=4, or --finish='()'."
            )

    def __call__(self, this: Run) -> None:
        cfg = this.exp.algorithm
        first, second = this.spec.domains
        x = seen(this, first, self.shown)
        # as many of each kind of style
        examples = seen(this, second, cfg.styles)
        answers = in_styles(this, x) + like_examples(this, x, examples)
        columns = np.stack([x, *answers], 1)  # [n, 1 + 2 styles, H, W, C]
        # nothing stands over what is drawn
        blank = np.ones((1 + cfg.styles, *x.shape[1:]), np.float32)
        head = np.concatenate([blank, examples])
        tiles = np.concatenate([head, columns.reshape(-1, *x.shape[1:])])
        show(this, "modes", grid(tiles, len(head)))


def check_tested(name: str, source: Any) -> None:
    """Raises UserError where a domain has no test picture."""
    # of a set without a test split there is not even a domain
    found = [size(source.test[of]) for of in domains(source.test)]
    if not min(found, default=0):
        raise UserError(
            f"the finding {name}() is of test pictures of both domains, and {source.name} has none: give the data a "
            "test split, or use --finish='()'."
        )


def seen(
    this: Run,
    domain: str,
    most: int,
) -> np.ndarray:
    """`most` test pictures of a domain, or all, as the model sees them: float32 [n, H, W, C] in [0, 1]."""
    arrays = this.source.test[domain]
    # evenly: a head of the split would be of few designs
    rows = evenly(most, size(arrays))
    some = {name: np.asarray(values[rows]) for name, values in arrays.items()}
    of_views = still(this.exp.view, some)
    return np.asarray(this.spec.unit(of_views))


def sent(
    this: Run,
    way: Any,
    x: np.ndarray,
) -> np.ndarray:
    """What a way (weights, x) makes of pictures in [0, 1], in [0, 1]."""

    def run(
        key: jax.Array,
        state: Any,
        given: Any,
    ) -> jax.Array:
        pictures = this.spec.x.encode(given["x"])
        made = way(averaged(state)["gen"], pictures)
        return this.spec.decode(made)

    return np.asarray(this.draw(run, numbered(x)))


def numbered(x: np.ndarray) -> dict[str, np.ndarray]:
    """Pictures with their numbers, as `Run.draw` wants them."""
    return {"x": x, "index": np.arange(len(x), dtype=np.uint32)}


def disturbances(x: np.ndarray, noises: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Pictures [n, H, W, C] left alone, as bytes, and with white noise of each strength: {name: [n, H, W, C]}."""
    as_bytes = np.round(x * 255.0) / 255.0
    found = {CLEAN: x, BYTES: as_bytes.astype(np.float32)}
    # not clipped: what is white stays as noised as the rest
    key = jax.random.key(NOISE)
    index = jnp.arange(len(x))
    # the same noise for all strengths: one curve, not several draws
    noise = np.asarray(example_normal(key, index, x.shape[1:]))
    for strength in noises:
        found[f"noise {strength:g}"] = x + np.float32(strength) * noise
    return found


def fidelity(returned: np.ndarray, x: np.ndarray) -> np.ndarray:
    """PSNR of each picture that came back, cut to [0, 1] as any screen does, [n] dB."""
    shown = np.clip(returned, 0.0, 1.0)
    # in float64: a picture that is the same has 100 dB
    square = np.square(np.float64(shown) - x)
    return decibels(square.mean((1, 2, 3)))


def rows_of(tiles: list[np.ndarray], most: int) -> np.ndarray:
    """A picture with a row for each of some examples, from all over the set; tiles: a column each."""
    rows = evenly(most, len(tiles[0]))
    # a row an example, a column a tile
    columns = np.stack([tile[rows] for tile in tiles], 1)
    return grid(columns.reshape(-1, *columns.shape[2:]), len(tiles))


def in_styles(this: Run, x: np.ndarray) -> list[np.ndarray]:
    """Pictures in drawn styles, each of which is the same for all of them."""
    cfg, spec = this.exp.algorithm, this.spec

    def run(
        key: jax.Array,
        state: Any,
        given: Any,
    ) -> jax.Array:
        gen = averaged(state)["gen"]
        style = munit.drawn_styles(key, given["style"], cfg)
        made = munit.translated(cfg, spec, gen, spec.x.encode(given["x"]), style)
        return spec.decode(made)

    answers = []
    for number in range(cfg.styles):
        # the style is drawn by this number, and not by the picture's
        style = np.full(len(x), number, np.uint32)
        made = this.draw(run, {"style": style, **numbered(x)})
        answers.append(np.asarray(made))
    return answers


def like_examples(
    this: Run,
    x: np.ndarray,
    examples: np.ndarray,
) -> list[np.ndarray]:
    """Pictures in the style of each of some examples [n, H, W, C]."""
    cfg, spec = this.exp.algorithm, this.spec

    def run(
        key: jax.Array,
        state: Any,
        given: Any,
    ) -> jax.Array:
        gen = averaged(state)["gen"]
        of = spec.x.encode(given["example"])
        style = munit.example_styles(cfg, spec, gen, of)
        made = munit.translated(cfg, spec, gen, spec.x.encode(given["x"]), style)
        return spec.decode(made)

    answers = []
    for example in examples:
        # one example for all pictures
        same = np.broadcast_to(example, x.shape)
        made = this.draw(run, {"example": same, **numbered(x)})
        answers.append(np.asarray(made))
    return answers
