"""The translators beside PyTorch: sizes that follow the experiments, the same computation, the work counted by hand."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import common, translate, translate_genjax
from benchmarks.tasks import SIDE, TOLERANCE
from benchmarks.tasks import translate as tasks
from genjax.config import edit
from genjax.nets.patchgan import PatchGAN
from tests.benchmarks.translators import TINY

SIZED = {"pix2pix": "of", "cyclegan": "pairs", "munit": "a"}  # which part of the data says it


@pytest.fixture
def torch():
    """PyTorch on one thread: beside other work on the cores, threads that wait for each other are slow."""
    torch = pytest.importorskip("torch", reason="PyTorch is installed by `make bench`")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


def config(name):
    """The experiment's config with the numbers of `TINY`."""
    _, parts = tasks.KINDS[name]
    changes = {}
    for own, value in TINY[name]._asdict().items():
        if own in parts:
            changes |= {f"{own}.{part}": each for part, each in value._asdict().items()}
        elif own not in ("batch", "channels"):
            changes[own] = value
    return edit(translate_genjax.model(name), changes)


@pytest.mark.parametrize("name", TINY)
def test_sizes_follow_the_config_and_go_through_words(name):
    base = translate_genjax.BASES[name]
    found = translate_genjax.sizes(name, base.algorithm)
    assert found.batch == base.batch and found.disc.widths == base.algorithm.disc.widths
    small = translate_genjax.sizes(name, config(name))
    assert small._replace(batch=0, channels=0) == TINY[name]._replace(batch=0, channels=0)
    text = tasks.words(small)
    again = tasks.read(name, text)
    assert tasks.words(again) == text and again.work() == small.work() < found.work()
    # pictures of the size that the experiment's data have
    assert getattr(base.data, SIZED[name]).size == tasks.SIZE


@pytest.mark.parametrize("name", TINY)
def test_players_are_timed_at_one_rate_and_checked_with_a_pool_that_swaps(name):
    base, timed = translate_genjax.BASES[name].algorithm, translate_genjax.model(name)
    checked = translate_genjax.checked(timed)
    for player in ("optimiser", "disc_optimiser"):
        own, tx = getattr(timed, player), getattr(base, player)
        assert (own.lr, own.b1, own.weight_decay) == (tx.lr, tx.b1, tx.weight_decay)
        assert own.decay(own.lr, 10)(9) == own.lr and own.warmup == 0
        assert getattr(checked, player).lr == tasks.CHECK_LR
    pool = getattr(base, "pool", 0)
    swaps = getattr(checked, "pool", 0)
    assert (0 < swaps < translate_genjax.BASES[name].batch) == bool(pool)


def test_pictures_are_framed_for_both_sides(tmp_path):
    images = np.random.default_rng(0).integers(1, 256, (3000, SIDE, SIDE, 1), np.uint8)
    np.save(tmp_path / "images.npy", images)
    pictures = np.load(translate.framed(tmp_path / "images.npy", 3))
    assert pictures.shape == (2, tasks.EXAMPLES, tasks.SIZE, tasks.SIZE, 3)
    np.testing.assert_array_equal(pictures[1, 5, 2:-2, 2:-2, 2], images[1029, :, :, 0])
    assert not pictures[:, :, :2].any() and not pictures[:, :, :, -2:].any()
    for name in TINY:
        source = translate_genjax.data(name, str(tmp_path / "pictures-3.npy")).load()
        batch = translate_genjax.rows(source, 4)
        shown = translate_genjax.shown(batch)
        np.testing.assert_array_equal(shown["first"], pictures[0, :4])
        np.testing.assert_array_equal(shown["second"], pictures[1, :4])


def test_a_critic_on_blocks_is_one_with_strides():
    draw = np.random.default_rng(0).standard_normal
    x, folded, last = draw((2, 12, 16, 3)), draw((2, 2, 12, 5)), draw((4, 4, 5, 1))
    params = {
        "layer_0": {"kernel": folded, "bias": draw(5)},
        "score": {"kernel": last, "bias": np.zeros(1)},
    }
    scores = PatchGAN((5,), halvings=1).apply({"params": params}, x, None, (1,))

    def convolved(x, kernel, stride):
        kernel = np.asarray(kernel, np.float32)
        layout = ("NHWC", "HWIO", "NHWC")
        pads = [(1, 1), (1, 1)]
        return jax.lax.conv_general_dilated(
            np.asarray(x, np.float32), kernel, (stride, stride), pads, dimension_numbers=layout
        )

    h = convolved(x, translate_genjax.spread(folded), 2) + params["layer_0"]["bias"]
    wanted = convolved(jnp.where(h > 0.0, h, 0.2 * h), last, 1)
    np.testing.assert_allclose(scores, wanted, atol=1e-3)


def test_losses_agree_closer_than_gradients_that_have_kinks():
    ours = {"parameters": 3, "loss": [1.0], "grad_norm": [2.0]}
    near = ours | {"loss": [1.00001], "grad_norm": [2.001]}
    found = translate.metrics_agreement("net", ours, near)
    assert found == pytest.approx((1e-5, 5e-4), rel=1e-2)
    for other in ({"loss": [1.001]}, {"grad_norm": [2.01]}, {"parameters": 4}):
        with pytest.raises(SystemExit):
            translate.metrics_agreement("net", ours, ours | other)


@pytest.mark.all
@pytest.mark.parametrize("name", TINY)
def test_both_sides_of_a_translator_compute_the_same(name, torch, tmp_path, capsys):
    from benchmarks import translate_torch

    # height, width and channels all differ, so that none is taken for another
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 24, 32, 3), np.uint8)
    np.save(tmp_path / "pictures.npy", pictures)
    saved, said = tmp_path / "saved.npz", tmp_path / "said.npz"
    translate_genjax.check(name, str(tmp_path / "pictures.npy"), str(saved), config(name))
    ours = json.loads(capsys.readouterr().out)
    ours["sizes"]["channels"] = 3  # these pictures are in colour, whatever the experiment's are
    sizes = json.dumps(ours["sizes"])

    def same():
        translate_torch.check(name, sizes, str(saved), str(said))
        theirs = json.loads(capsys.readouterr().out)
        mine, others = np.load(saved), np.load(said)
        for what in others.files:
            common.samples_agreement(what, mine[what], others[what], TOLERANCE)
        translate.metrics_agreement(name, ours, theirs)
        return others.files

    assert "samples" in same()
    given = dict(np.load(saved))
    # what is drawn, and channels in another order, are seen
    wrong = {"pix2pix": "two", "cyclegan": "one", "munit": "gen.b.dec.up.norm.0.weight"}[name]
    np.savez(saved, **given | {wrong: given[wrong][::-1]})
    with pytest.raises(SystemExit):
        same()


@pytest.mark.parametrize("name", TINY)
def test_a_step_has_the_work_that_pytorch_counts(name, torch):
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks import translate_torch

    net = TINY[name]
    kind, _ = translate_torch.SYSTEMS[name]
    for calls in (1, 2):
        system = kind(net, calls)
        step, _ = translate_torch.stepper(name, system)
        shape = (net.batch, net.channels, tasks.SIZE, tasks.SIZE)
        x = torch.randint(0, 256, shape, dtype=torch.uint8)
        counter = FlopCounterMode(display=False)
        with counter:
            losses = step(x, x, *system.draw())
        assert counter.get_total_flops() == pytest.approx(net.work(), rel=0.01)
        assert all(torch.isfinite(loss) for loss in losses)


def test_a_pool_shows_what_ours_shows(torch):
    from benchmarks.translate_torch import Pool
    from genjax.translate.unpaired import empty_pool, pooled

    theirs, ours = Pool(3), empty_pool(3, (2,))
    show = jax.jit(pooled)
    for step in range(4):
        key = jax.random.fold_in(jax.random.key(0), step)
        fresh = np.arange(10, dtype=np.float32).reshape(5, 2) + 10 * step
        ours, shown = show(key, ours, fresh)
        own = jax.vmap(jax.random.split)(translate_genjax.fold_all(key, 5))
        coins = jax.vmap(jax.random.bernoulli)(own[:, 0])
        draw = functools.partial(jax.random.randint, shape=(), minval=0, maxval=3)
        places = jax.vmap(draw)(own[:, 1])
        found = theirs(torch.from_numpy(fresh), coins.tolist(), places.tolist())
        np.testing.assert_array_equal(found.numpy(), shown)
    assert not np.array_equal(shown, fresh)  # older ones were among them
