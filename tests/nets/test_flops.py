"""Operations counted by hand against XLA's own count of the compiled net."""

import jax
import jax.numpy as jnp
import pytest

from genjax.conditions import Cond
from genjax.nets import (
    MLP,
    Context,
    DiT,
    GatedMLP,
    PlainUNet,
    TimeMLP,
    TokenEncoder,
    UNet,
    Worded,
)
from genjax.nets.fcn import FCN
from genjax.nets.flops import Told

SHAPE = (32, 32, 3)
TOLD = Told(vector=10, tokens=(12, 40), clocks=2)
PLAIN = Told(vector=10)
READER = TokenEncoder(width=96, depth=1, heads=4, stride=4)


def counted(net, shape, out, told, *clocks) -> float:
    """XLA's number of operations for one example of a batch of two."""
    words = jnp.zeros((2, *told.tokens)) if told.tokens[0] else None
    cond = Cond(vector=jnp.zeros((2, told.vector)), tokens=words)
    x = jnp.zeros((2, *shape))
    params = jax.eval_shape(lambda: net.init(jax.random.key(0), x, *clocks, cond, out))

    def forward(params, x, clocks, cond):
        return net.apply(params, x, *clocks, cond, out)

    program = jax.jit(forward).lower(params, x, clocks, cond).compile()
    return program.cost_analysis()["flops"] / 2


@pytest.mark.parametrize(
    "net, told, near",
    [
        (DiT(patch=4, width=192, depth=2, heads=3), PLAIN, 0.03),
        (DiT(patch=4, width=192, depth=1, heads=3), TOLD, 0.03),
        (DiT(patch=4, width=192, depth=1, heads=3, words=Context()), TOLD, 0.03),
        (Worded(DiT(patch=4, width=96, depth=1, heads=3), READER), TOLD, 0.04),
        (UNet((48, 64), blocks=1, patch=1, attention=(16,)), PLAIN, 0.03),
        (UNet((48, 64), blocks=1, patch=1, attention=(), words=(16,)), TOLD, 0.04),
        (TimeMLP((256, 128, 128)), TOLD, 0.01),
        (PlainUNet((48, 64), blocks=1, patch=1), PLAIN, 0.05),
        # taps that lie beyond the border are many on maps of one or two places
        (FCN((8, 16, 16, 16, 16), head=16), PLAIN, 0.12),
    ],
    ids=[
        "dit",
        "dit with words",
        "dit in context",
        "worded",
        "unet",
        "unet with words",
        "mlp",
        "plain unet",
        "fcn",
    ],
)
def test_denoisers_cost_what_xla_counts(net, told, near):
    time = jnp.zeros((2, told.clocks))
    theirs = counted(net, SHAPE, SHAPE, told, time)
    ours = net.flops(SHAPE, SHAPE, told)
    # norms, activations and softmax are in XLA's alone
    assert theirs == pytest.approx(ours, rel=near)


@pytest.mark.parametrize(
    "net", [MLP((256, 128), skip=True, waves=1), MLP(), GatedMLP((128, 64))], ids=str
)
def test_dense_nets_cost_what_xla_counts(net):
    theirs = counted(net, (28, 28, 1), (64,), PLAIN)
    assert theirs == pytest.approx(net.flops((28, 28, 1), (64,), PLAIN), rel=0.02)


def test_a_transformer_costs_what_its_paper_says():
    # Peebles & Xie 2022, table 4: Gflops of one forward pass, in multiply-adds
    sizes = {(1152, 28, 16): 118.64, (768, 12, 12): 23.01, (384, 12, 6): 6.06}
    for (width, depth, heads), paper in sizes.items():
        net = DiT(patch=2, width=width, depth=depth, heads=heads)
        found = net.flops((32, 32, 4), (32, 32, 8), Told(vector=1000))
        assert found / 2e9 == pytest.approx(paper, rel=0.01)


def test_attention_costs_the_square_of_the_tokens():
    net = DiT(patch=2, width=64, depth=3, heads=1)
    costs = [net.flops((n, n, 1), (n, n, 1)) for n in (32, 64, 128)]
    # four times the tokens: what is linear in them falls out of the difference
    linear, more = costs[1] - 4 * costs[0], costs[2] - 4 * costs[1]
    fixed = 3 * 2 * 6 * 64 * 64 + 2 * 2 * 64 * 64 + 2 * (128 * 64 + 64 * 64)
    square = 3 * 4 * 64 * (256**2)  # 2 products, 2 operations
    assert linear + 3 * fixed == (16 - 4) * square
    assert more + 3 * fixed == 16 * (16 - 4) * square
