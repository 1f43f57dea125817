"""Where the codes of a model come from, and how pictures are made of codes again: one small class for each family.

A space has `gather(this, facts, n)`, codes with what is known of their pictures, some to learn from and some held out,
and `render(this)`, a function (key, state, given) -> pictures in unit values that finds codes [B, D] in given["code"].
What an encoder makes of real pictures has their truth; of pictures that are drawn from codes it is what is read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.conditions import told
from genjax.core import averaged, example_keys
from genjax.diffusion import gaussian, samplers
from genjax.findings.samples import some
from genjax.gan import gan, stylegan2
from genjax.metrics.reader import Read, Reader
from genjax.training.run import Run

Values = dict[str, np.ndarray]  # name -> [N]; a yes or no as 0 or 1, or its probability


class Known(NamedTuple):
    """Codes with what is known of their pictures."""

    codes: np.ndarray  # [N, D]
    values: Values
    groups: (
        np.ndarray
    )  # [N], whom a picture is of: those of one person are no independent draws

    def rows(self, which: np.ndarray | slice) -> Known:
        """The codes at these places."""
        values = {}
        for name, value in self.values.items():
            values[name] = value[which]
        return Known(self.codes[which], values, self.groups[which])


class Facts(NamedTuple):
    """What can be known of a data set's pictures, by name."""

    reader: Reader
    read: Callable[[Any], Read]  # what the trained reader says of pictures
    answers: tuple[str, ...]
    numbers: tuple[str, ...]
    group: str = ""  # the field that says whom a picture is of; "" = each is of its own

    def true(self, split: Mapping[str, Any]) -> Values:
        """What is true of a split."""
        taught = self.reader.taught(split)
        return self._named(taught.answers, taught.numbers)

    def said(self, images: Any) -> Values:
        """What is read of pictures [N, H, W, C]."""
        found = self.read(images)
        return self._named(found.answers, found.numbers)

    def groups(self, split: Mapping[str, Any], n: int) -> np.ndarray:
        """Whom the n pictures of a split are of, [n]."""
        if not self.group:
            return np.arange(n)
        return np.asarray(split[self.group])

    def _named(self, answers: Any, numbers: Any) -> Values:
        columns = [*np.asarray(answers).T, *np.asarray(numbers).T]
        names = self.answers + self.numbers
        return dict(zip(names, columns, strict=True))


@dataclasses.dataclass(frozen=True)
class Codes:
    """What an encoder makes of real pictures, of training and of testing, whose truth is known."""

    def gather(self, this: Run, facts: Facts, n: int) -> tuple[Known, Known]:
        def encoded(split: dict[str, Any]) -> Known:
            part = some(split, n)
            codes = this.encode(part)
            flat = codes.reshape(len(codes), -1)
            return Known(flat, facts.true(part), facts.groups(part, len(flat)))

        return encoded(this.source.train), encoded(this.source.test)

    def render(self, this: Run) -> Callable:
        decode = this.algorithm.decode
        return lambda key, state, given: decode(key, state, given["code"])


def drawn(space: Any, this: Run, facts: Facts, n: int) -> tuple[Known, Known]:
    """n codes with what is read of the pictures that are made of them; a third is held out."""
    given = this.given(n)
    code = space.codes(this)
    codes = this.draw(code, given)
    render = space.render(this)
    images = this.draw(render, {**given, "code": codes})
    said = facts.said(images)
    # each picture is of its own: nobody is drawn twice
    known = Known(np.asarray(codes), said, np.arange(n))
    border = 2 * n // 3
    learned = known.rows(slice(border))
    held = known.rows(slice(border, n))
    return learned, held


@dataclasses.dataclass(frozen=True)
class Latents:
    """z of a GAN."""

    gather = drawn

    def codes(self, this: Run) -> Callable:
        size = this.exp.algorithm.latent
        return lambda key, state, given: gan.latents(key, given["index"], size)

    def render(self, this: Run) -> Callable:
        cfg, spec = this.exp.algorithm, this.spec

        def generated(key, state, given):
            gen = averaged(state)["gen"]
            cond = told(cfg.condition, given, spec)
            x = gan.generate(gen, given["code"], cond, cfg, spec)
            return spec.decode(x)

        return generated


@dataclasses.dataclass(frozen=True)
class Styles:
    """w of StyleGAN2, one for all layers."""

    gather = drawn

    def codes(self, this: Run) -> Callable:
        cfg, spec = this.exp.algorithm, this.spec

        def styles(key, state, given):
            at, _ = jax.random.split(key)  # as samples are drawn
            z = gan.latents(at, given["index"], cfg.latent)
            cond = told(cfg.condition, given, spec)
            gen = averaged(state)["gen"]
            return stylegan2.w(gen, z, cond, cfg)

        return styles

    def render(self, this: Run) -> Callable:
        cfg, spec = this.exp.algorithm, this.spec

        def synthesised(key, state, given):
            _, noise = jax.random.split(key)
            keys = example_keys(noise, given["index"])
            gen = averaged(state)["gen"]
            x = stylegan2.synthesise(gen, given["code"], keys, cfg, spec)
            return spec.decode(x)

        return synthesised


@dataclasses.dataclass(frozen=True)
class Noise:
    """The noise that a diffusion model or flow starts from, of unit variance."""

    gather = drawn

    def codes(self, this: Run) -> Callable:
        cfg, spec = this.exp.algorithm, this.spec

        def noise(key, state, given):
            x, sigmas, _ = gaussian.start(key, given["index"], cfg, spec)
            unit = x / sigmas[0]
            return unit.reshape(len(x), -1)

        return noise

    def render(self, this: Run) -> Callable:
        cfg, spec = this.exp.algorithm, this.spec

        def denoised(key, state, given):
            unit = given["code"].reshape(-1, *spec.shape)
            _, sigmas, fresh = gaussian.start(key, given["index"], cfg, spec)
            denoise = gaussian.guided(averaged(state), given, cfg, spec)
            x = sigmas[0] * unit
            x = samplers.sample(cfg.sampler, denoise, x, sigmas, fresh)
            return spec.decode(x)

        return denoised


Space = Codes | Latents | Styles | Noise
