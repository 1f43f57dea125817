"""Optimal transport within a batch: who goes to whom, so that all together go the least way.

Of n points and n places the assignment that minimises the sum of costs is found exactly, by shortest augmenting paths
(Jonker & Volgenant 1987, 10.1007/BF02278710; Crouse 2016, 10.1109/TAES.2016.140952): rows enter one by one, and each
takes the cheapest chain of moves to a free column. It is a loop of O(n³) in all that XLA runs, not differentiated.

Squared distances between two batches give the coupling of Tong et al. 2023 (arXiv:2302.00482, sec. 3.2) and Pooladian
et al. 2023 (arXiv:2304.14772): of two distributions the transport map in the limit of large batches, biased in small
ones.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genjax.config import field
from genjax.core import Batch
from genjax.errors import UserError, at_least

EXACT = jax.lax.Precision.HIGHEST  # near points differ in the last digits


class Duals(NamedTuple):
    """What rows and columns pay, and which row each column has."""

    # prices that leave every matched pair at cost 0 and no pair below it
    row: jax.Array  # [n]
    column: jax.Array  # [n + 1], the last is where every search begins
    owner: jax.Array  # int32 [n + 1], n = nobody


class Search(NamedTuple):
    """A shortest path on its way to a free column."""

    duals: Duals
    at: jax.Array  # the column that was reached last
    least: jax.Array  # [n + 1] the way to each column that is known so far
    before: jax.Array  # int32 [n + 1] the column before it on that way
    seen: jax.Array  # bool [n + 1]


def assignment(cost: jax.Array) -> jax.Array:
    """The column of each row, int32 [n], for costs [n, n]: a permutation of the least sum."""
    n = len(cost)
    # nobody goes to the column where searches begin
    last = jnp.full((n, 1), jnp.inf)
    wide = jnp.concatenate([cost, last], 1)  # [n, n + 1]
    nobody = jnp.full(n + 1, n, jnp.int32)
    # with nobody matched any prices will do
    start = Duals(jnp.zeros(n), jnp.zeros(n + 1), nobody)

    def enter(
        row: jax.Array,
        duals: Duals,
    ) -> Duals:
        return _entered(row, duals, wide)

    found = jax.lax.fori_loop(0, n, enter, start)
    # the inverse permutation: from columns' rows to rows' columns
    return jnp.argsort(found.owner[:n]).astype(jnp.int32)


def _entered(
    row: jax.Array,
    duals: Duals,
    cost: jax.Array,
) -> Duals:
    """One row more has a column, and the others may have changed theirs."""
    n = len(cost)
    rooted = duals.owner.at[n].set(row)
    search = Search(
        duals._replace(owner=rooted),
        at=jnp.int32(n),
        least=jnp.full(n + 1, jnp.inf),
        before=jnp.full(n + 1, n, jnp.int32),
        seen=jnp.zeros(n + 1, bool),
    )

    def searching(search: Search) -> jax.Array:
        taken = search.duals.owner[search.at] != n
        # of costs that are no numbers no column is nearest, and the search would not end
        return taken & ~search.seen[search.at]

    def further(search: Search) -> Search:
        return _further(search, cost)

    found = jax.lax.while_loop(searching, further, search)
    return _moved(found)


def _further(
    search: Search,
    cost: jax.Array,
) -> Search:
    """The search one column on: the nearest that was not seen."""
    duals = search.duals
    seen = search.seen.at[search.at].set(True)
    row = duals.owner[search.at]
    reduced = cost[row] - duals.row[row] - duals.column
    nearer = ~seen & (reduced < search.least)
    least = jnp.where(nearer, reduced, search.least)
    before = jnp.where(nearer, search.at, search.before)
    open_ = jnp.where(seen, jnp.inf, least)
    following = jnp.argmin(open_).astype(jnp.int32)
    way = open_[following]
    # all that was seen pays, so that the way so far costs nothing
    paid = jnp.where(seen, way, 0.0)
    rows = duals.row.at[duals.owner].add(paid, mode="drop")  # nobody is number n
    columns = duals.column - paid
    left = jnp.where(seen, least, least - way)
    return Search(duals._replace(row=rows, column=columns), following, left, before, seen)


def _moved(search: Search) -> Duals:
    """Every column on the path takes the row of the column before it."""
    n = len(search.before) - 1

    def unfinished(state: tuple) -> jax.Array:
        column, _ = state
        return column != n

    def move(state: tuple) -> tuple:
        column, owner = state
        earlier = search.before[column]
        return earlier, owner.at[column].set(owner[earlier])

    start = (search.at, search.duals.owner)
    _, owner = jax.lax.while_loop(unfinished, move, start)
    return search.duals._replace(owner=owner)


def squares(
    a: jax.Array,
    b: jax.Array,
) -> jax.Array:
    """Squared distances between rows of a [n, D] and of b [n, D], a dimension: [n, n]."""
    products = jnp.matmul(a, b.T, precision=EXACT)
    of_a = jnp.sum(jnp.square(a), -1)
    of_b = jnp.sum(jnp.square(b), -1)
    total = of_a[:, None] + of_b[None, :] - 2.0 * products
    return total / a.shape[-1]


@dataclasses.dataclass(frozen=True)
class Drawn:
    """The rows as they come: pairs, or of two domains an independent draw of each."""

    def check(self, domains: tuple[str, ...]) -> None:
        """All data have rows."""

    def __call__(
        self,
        a: jax.Array,
        b: jax.Array,
        batch: Batch,
        name: str,
    ) -> Batch:
        return batch


@dataclasses.dataclass(frozen=True)
class Transport:
    """Of two domains: within each block of a batch the rows of the least squared distance in all.

    Blocks and not the whole batch, so that every layout of devices couples alike: what a device has must divide by one.
    """

    block: int = field(32, "examples that are coupled with each other")

    def check(self, domains: tuple[str, ...]) -> None:
        """Raises UserError for data in pairs, which are coupled already."""
        at_least(2, algorithm__coupling__block=self.block)
        if not domains:
            raise UserError(
                "--algorithm.coupling=Transport() couples two domains, and these data are pairs: use Drawn(), or data "
                "without pairs, as Unpaired()."
            )

    def __call__(
        self,
        a: jax.Array,
        b: jax.Array,
        batch: Batch,
        name: str,
    ) -> Batch:
        """The batch with the rows of the domain `name`, encoded as b [B, ...], in the order that suits a [B, ...]."""
        n = len(a)
        if n % self.block:
            raise UserError(
                f"--algorithm.coupling.block={self.block} does not divide the {n} examples a device has: use a --batch "
                f"that is a multiple of {self.block} times the devices."
            )
        shape = (n // self.block, self.block, -1)

        def couple(blocks: tuple[jax.Array, jax.Array]) -> jax.Array:
            return assignment(squares(*blocks))

        # one after the other: side by side each would wait for the slowest
        within = jax.lax.map(couple, (a.reshape(shape), b.reshape(shape)))
        first = jnp.arange(0, n, self.block)[:, None]
        order = (first + within).reshape(-1)
        coupled: Any = jax.tree.map(lambda rows: rows[order], batch[name])
        return {**batch, name: coupled}


Coupling = Drawn | Transport
