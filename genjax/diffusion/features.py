"""What the middle of a diffusion net holds of a picture: the output of one block at one noise level, mean over places.

A net that takes noise away must know what it looks at: its middle layers separate classes that it was never told, best
at some noise level between none and all (Xiang et al. 2023, arXiv:2303.09769; Baranchuk et al. 2022, arXiv:2112.03126).
A level is told as sigma / alpha, the noise on one unit of data, which means the same on every path.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from genjax.conditions import blank
from genjax.core import Batch, Spec, example_normal
from genjax.diffusion.gaussian import Diffusion, apply
from genjax.diffusion.paths import over
from genjax.errors import UserError, above


def blocks(params: dict, batch: Batch, cfg: Diffusion, spec: Spec) -> dict[str, Any]:
    """{name: shape} of what can be read of this net: the outputs of its outer blocks; nothing is computed."""

    def run(params: dict, batch: Batch) -> Any:
        key = jax.random.key(0)
        return _seen(params, key, batch, cfg, spec, 1.0, "")

    made = jax.eval_shape(run, params, batch)
    return {name: value["__call__"][0].shape for name, value in made.items()}


def middle(
    params: dict,
    key: jax.Array,
    batch: Batch,
    cfg: Diffusion,
    spec: Spec,
    level: float,
    block: str = "middle",
) -> jax.Array:
    """Features [B, D] of the pictures of a batch; example i's noise is a function of (key, batch["index"][i]).

    Nothing is told to the net, whatever it was trained with: a label would be in its features. UserError for a level
    that the path does not have, and for a block that the net does not have.
    """
    above(0, "", level=level)
    made = _seen(params, key, batch, cfg, spec, level, block)
    if block not in made:
        known = ", ".join(blocks(params, batch, cfg, spec))
        raise UserError(f"this net has no block {block!r}: read one of {known}.")
    (maps,) = made[block]["__call__"]
    width = maps.shape[-1]
    # [B, places, D], whether the places are pixels or tokens
    places = maps.reshape(len(maps), -1, width)
    return jnp.mean(places.astype(jnp.float32), 1)


def _seen(
    params: dict,
    key: jax.Array,
    batch: Batch,
    cfg: Diffusion,
    spec: Spec,
    level: float,
    block: str,
) -> dict[str, Any]:
    """{name: {"__call__": (output,)}} of the outer blocks of that name, of all for ""."""
    x = spec.encode(batch)  # [B, *shape]
    ratio = jnp.full(len(x), level)
    t = cfg.path.time(ratio)  # [B], where sigma / alpha is the level
    eps = example_normal(key, batch["index"], spec.shape)
    z = over(cfg.path.alpha(t), x) * x + over(cfg.path.sigma(t), x) * eps
    cond = blank(cfg.condition, batch, spec)

    def chosen(module: Any, method: str) -> bool:
        # of the net's own parts, not of theirs
        outer = len(module.path) == 1 and method == "__call__"
        return outer and (not block or module.name == block)

    listening = {"capture_intermediates": chosen, "mutable": ["intermediates"]}
    _, heard = apply(params, z, t, cond, cfg, spec, **listening)
    return heard.get("intermediates", {})
