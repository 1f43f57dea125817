"""The exact assignment beside scipy's, and the coupling of batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from genjax.errors import UserError
from genjax.translate.transport import Drawn, Transport, assignment, squares

solve = jax.jit(assignment)


def points(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)


COSTS = {
    "normal": lambda n, seed: np.random.default_rng(seed).normal(size=(n, n)),
    # whole numbers have many assignments of the same cost
    "ties": lambda n, seed: np.random.default_rng(seed).integers(0, 4, (n, n)),
    "distances": lambda n, seed: np.asarray(squares(points(n, seed), points(n, seed + 1) + 1)),
}


@pytest.mark.parametrize("kind", COSTS)
@pytest.mark.parametrize("n", [1, 2, 24])
def test_it_costs_as_much_as_scipys(kind, n):
    for seed in range(8):
        cost = np.float32(COSTS[kind](n, seed))
        found = np.asarray(solve(cost))
        assert sorted(found) == list(range(n))
        rows, columns = linear_sum_assignment(cost)
        least = cost[rows, columns].sum()
        assert cost[np.arange(n), found].sum() == pytest.approx(least, abs=1e-4)


def test_costs_that_are_no_numbers_end_the_search():
    assert solve(np.full((5, 5), np.nan, np.float32)).shape == (5,)


def test_the_coupling_is_the_transport_map_where_that_is_known():
    # a symmetric positive map is the gradient of a convex function, so the optimal map from any points to their images
    matrix = jnp.array([[2.0, 0.5], [0.5, 1.0]])
    a = jax.random.normal(jax.random.key(0), (48, 2))
    b = a @ matrix + 3.0
    shuffled = np.random.default_rng(0).permutation(48)
    found = solve(squares(a, b[shuffled]))
    np.testing.assert_array_equal(shuffled[found], np.arange(48))


def batch_of(b: jax.Array) -> dict:
    index = jnp.arange(len(b), dtype=jnp.uint32)
    return {"index": index, "b": {"index": index, "image": b}}


def test_blocks_are_coupled_by_themselves_and_rows_stay_whole():
    a = jnp.arange(16.0)[:, None]
    b = a[::-1] + 0.1
    batch = batch_of(b)
    found = Transport(8)(a, b, batch, "b")
    order = np.asarray(found["b"]["index"])
    # within each half of the batch b falls, and a rises
    np.testing.assert_array_equal(order, [*range(7, -1, -1), *range(15, 7, -1)])
    np.testing.assert_array_equal(found["b"]["image"], b[order])
    assert Drawn()(a, b, batch, "b") is batch
    # whatever part of the batch a device has: halves are coupled as they are in the whole
    half = Transport(8)(a[8:], b[8:], batch_of(b[8:]), "b")
    np.testing.assert_array_equal(np.asarray(half["b"]["index"]) + 8, order[8:])


def test_blocks_that_do_not_fit_and_pairs_are_refused():
    a = jnp.zeros((12, 1))
    with pytest.raises(UserError, match="coupling.block=8 does not divide the 12"):
        Transport(8)(a, a, batch_of(a), "b")
    with pytest.raises(UserError, match="these data are pairs"):
        Transport().check(())
