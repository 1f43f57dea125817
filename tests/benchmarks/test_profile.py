"""Where the time of a step goes: operations by name, summed by kind."""

import copy
import os
import sys
from collections import Counter

import jax
import jax.numpy as jnp
import pytest

from benchmarks import profile
from benchmarks.turns import Worker

NAMES = {
    "convolution": "convolutions",
    "conv_general_dilated": "convolutions",
    "aten::mkldnn_convolution": "convolutions",
    "aten::convolution_backward": "convolutions",
    "convert_fusion": "pointwise",
    "dot": "matrix products",
    "dot_general": "matrix products",
    "aten::addmm": "matrix products",
    "aten::bmm": "matrix products",
    "aten::_scaled_dot_product_flash_attention_for_cpu": "matrix products",
    "wrapped_reduce-window": "sums and norms",
    "multiply_reduce_fusion": "sums and norms",
    "aten::native_group_norm_backward": "sums and norms",
    "aten::_softmax": "sums and norms",
    "transpose_copy_fusion": "moving and reordering",
    "aten::copy_": "moving and reordering",
    "aten::silu_backward": "pointwise",
    "aten::_fused_adam_": "pointwise",
    "add_divide_fusion": "pointwise",
}


def test_every_kind_of_work_is_known_by_its_names():
    for name, kind in NAMES.items():
        assert profile.kinds({name: 1.0}) == {kind: 1.0}, name
    assert set(NAMES.values()) == set(filter(None, profile.KINDS))
    assert profile.kinds({"while": 1.0, "call": 1.0}) == {}  # what they hold is counted itself
    assert profile.kinds(dict.fromkeys(NAMES, 0.5)).total() == 0.5 * len(NAMES)


def test_a_product_is_seen_by_jax():
    product, found = jax.jit(lambda x: jnp.tanh(x @ x)), Counter()
    x = jnp.ones((300, 300))
    product(x).block_until_ready()
    with profile._jax(found):
        product(x).block_until_ready()
    assert profile.kinds(found)["matrix products"] > 0.0
    assert 0.0 < sum(found.values()) < 10.0


def test_a_product_is_seen_by_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is installed by `make bench`")
    found = Counter()
    with profile._torch(found):
        torch.tanh(torch.ones(300, 300) @ torch.ones(300, 300))
    assert profile.kinds(found)["matrix products"] > 0.0
    assert 0.0 < sum(found.values()) < 10.0


def test_a_worker_is_profiled_when_asked(monkeypatch, tmp_path):
    (tmp_path / "product.py").write_text(
        "import jax, jax.numpy as jnp\nfrom benchmarks.turns import blocks\n"
        "f, x = jax.jit(lambda x: x @ x), jnp.ones((400, 400))\n"
        "for steps in blocks():\n"
        "    for _ in range(steps):\n"
        "        f(x).block_until_ready()\n"
    )
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([os.getcwd(), str(tmp_path), *filter(None, sys.path)])
    )
    worker = Worker("product", "product")
    worker.block(2)
    assert worker.operations == {}
    worker.profile(5)
    worker.block(2)  # and again without
    worker.close()
    summed = profile.kinds(worker.operations)
    assert 0.0 < summed["matrix products"] <= 2.0 * worker.profiled
    other = copy.copy(worker)
    other.name = "other"
    table = profile.table(other, worker)
    assert "| matrix products |" in table and "Longest, product: `dot" in table
