"""What every algorithm must keep, whatever its family: one parametrised file."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import corruptions
from genjax.ae.autoencoder import Autoencoder, BernoulliError
from genjax.ae.restoration import BlindSpot, Restoration
from genjax.conditions import Label, Picture
from genjax.config import edit
from genjax.core import guarded, labelled
from genjax.corruptions import Coarse
from genjax.data.batches import batch_at
from genjax.diffusion.consistency import Consistency
from genjax.diffusion.gaussian import Diffusion
from genjax.diffusion.named import EDM, JIT
from genjax.diffusion.onestep import MeanFlow
from genjax.diffusion.vdm import VDM, MonotoneGamma
from genjax.ema import Decay, Power
from genjax.fields import Image
from genjax.gan.augment import Ada
from genjax.gan.games import Hinge, NonSaturating, Wasserstein
from genjax.gan.gan import GAN
from genjax.gan.penalties import R1, Gradient
from genjax.gan.stylegan2 import StyleGAN2
from genjax.machine.parallel import Jit, Mesh, Pmap
from genjax.nets import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    DcganGenerator,
    DiT,
    GatedMLP,
    Gelu,
    PlainUNet,
    ResnetDiscriminator,
    StyleDiscriminator,
    StyleMapping,
    StyleSynthesis,
    TimeMLP,
    UNet,
)
from genjax.nets.patchgan import PatchGAN
from genjax.optim import Adam, CosineDecay
from genjax.training.checkpoint import Checkpoints
from genjax.translate.bridge import Bridge
from genjax.translate.pix2pix import Pix2pix
from genjax.vae.likelihoods import DiscretisedLogistic, Gaussian
from genjax.vae.vae import VAE

PICTURE = Image((8, 8, 1))
KNOWN = labelled(PICTURE, 10, 100)
# translators ask for another picture of the row, the others do not look at it
SPEC, B = KNOWN._replace(fields=(*KNOWN.fields, ("input", PICTURE))), 64
TX = Adam(
    3e-3, eps=1e-4
)  # a bias before a norm has no gradient but noise: this eps keeps Adam from making steps of it
SMALL = {"enc": MLP((32,), Gelu()), "dec": MLP((32,))}
CONV = {"enc": ConvEncoder((8, 16)), "dec": ConvDecoder((8, 16))}
ALGORITHMS = {
    "ae-linear": Autoencoder(latent=8, optimiser=Adam(1e-2, eps=1e-4)),
    "ae-conv": Autoencoder(
        latent=8, **CONV, error=BernoulliError(), ema=Decay(0.9), optimiser=TX
    ),
    "restoration-conv": Restoration(
        (corruptions.Gaussian(0.2, 0.2), corruptions.Poisson(0.1, 0.2)),
        PlainUNet((8,), 1),
        teacher=BlindSpot(0.2),
        optimiser=TX,
    ),
    "vae": VAE(
        latent=8,
        enc=GatedMLP((64,)),
        dec=GatedMLP((64,)),
        warmup=10,
        ema=Decay(0.99),
        optimiser=TX,
    ),
    "vae-conditional-iwae": VAE(
        latent=4,
        **SMALL,
        condition=(Label(),),
        samples=3,
        likelihood=Gaussian(None),
        optimiser=TX,
    ),
    "vae-discretised": VAE(
        latent=4,
        **SMALL,
        likelihood=DiscretisedLogistic(),
        free_bits=0.1,
        optimiser=Adam(3e-3, eps=1e-4, warmup=5, decay=CosineDecay(), clip=100.0),
    ),
    "flow": Diffusion(
        net=TimeMLP((64,), waves=0), condition=(Label(),), ema=Power((0.1, 0.2)), optimiser=TX
    ),
    "jit-dit": edit(
        JIT,
        {
            "net": DiT(patch=4, width=16, depth=1, heads=2),
            "condition": (Picture(through=Coarse(2)),),
            "optimiser": TX,
        },
    ),
    "vdm": VDM(
        TimeMLP((64,)),
        MonotoneGamma(-6.0, 4.0, hidden=32),  # ends that let 30 steps matter
        fourier=False,
        condition=(Label(),),
        sampling_steps=8,
        optimiser=Adam(1e-2, eps=1e-4),
    ),
    "meanflow": MeanFlow(
        net=TimeMLP((64,), waves=0, frequency=2.0),
        p=0.0,
        condition=(Label(),),
        omega=1.5,
        optimiser=TX,
    ),
    "consistency": Consistency(
        net=TimeMLP((64,), waves=0, frequency=2.0), stages=1, optimiser=TX
    ),
    "gan-ada": GAN(
        latent=8,
        gen=MLP((32,), Gelu()),
        disc=MLP((32,), Gelu()),
        condition=(Label(),),
        game=NonSaturating(),
        augment=Ada(p=0.5, rate=0.01, geometry=False),
        penalties=(R1(0.1),),
        every=2,
        optimiser=TX,
        disc_optimiser=TX,
    ),
    "wgan-gp": GAN(
        latent=8,
        gen=MLP((32,), Gelu()),
        disc=MLP((32,), Gelu()),
        game=Wasserstein(),
        penalties=(Gradient(1.0),),
        critic_steps=2,
        ema=Decay(0.0),
        optimiser=TX,
        disc_optimiser=TX,
    ),
    "sngan-conv": GAN(
        latent=8,
        gen=DcganGenerator((8,)),
        disc=ResnetDiscriminator((8,)),
        game=Hinge(),
        penalties=(),
        condition=(Label(),),
        optimiser=TX,
        disc_optimiser=TX,
    ),
    "stylegan2-conv": StyleGAN2(
        latent=8,
        mapping=StyleMapping(depth=1, width=8),
        synthesis=StyleSynthesis((8, 8)),
        disc=StyleDiscriminator((8, 8)),
        r1=R1(0.1),
        condition=(Label(),),
        optimiser=TX,
        disc_optimiser=TX,
    ),
    "pix2pix-conv": Pix2pix(
        "input",
        PlainUNet((8,), 1, bias=True),
        PatchGAN((8,), side=3),
        latent=2,
        penalties=(R1(0.1),),
        optimiser=TX,
        disc_optimiser=TX,
    ),
    "bridge-conv": Bridge("input", PlainUNet((8,), 1, bias=True), optimiser=TX, ema=Decay(0.9)),
    "edm-unet-conv": edit(
        EDM, {"net": UNet((8, 16), blocks=1, attention=(2,), heads=2), "optimiser": TX}
    ),
}
DIGITS_LIKE = {"image": np.zeros((4096, 8, 8, 1), np.uint8), "label": np.zeros(4096, np.int32)}
LAYOUTS = {"pmap": Pmap(), "mesh": Mesh(), "mesh-fsdp": Mesh(data=2, fsdp=2, min_shard=64)}
FIRST = (
    "ae-linear",
    "vae",
    "flow",
    "gan-ada",
)  # one of each family; make test-all takes the others too


def case(name, *more):
    """The parameters of one case, left to make test-all unless the algorithm stands for its family."""
    marks = () if name in FIRST else (pytest.mark.all,)
    return pytest.param(name, *more, marks=marks)


def laid(name, layout):
    """As `case`; two of them, with noise and with a game, are in every layout, the others in the one that shards."""
    if layout == "mesh-fsdp" or name in ("vae", "gan-ada"):
        return case(name, layout)
    return pytest.param(name, layout, marks=pytest.mark.all)


# a list: an iterator would be empty for all tests but the first
cases = pytest.mark.parametrize("name", [case(name) for name in ALGORITHMS])


@pytest.fixture(scope="module")
def digits(digits):
    return {**digits, "input": 255 - digits["image"]}


@pytest.fixture(scope="module")
def play(digits):
    """play(name, layout, steps, start=None, chunk=1) -> (state, metrics of every step); compiled steps are kept."""
    compiled = {}

    def steps_of(name, layout):
        if (name, layout) not in compiled:
            algorithm = ALGORITHMS[name](SPEC)
            compiled[name, layout] = (
                algorithm,
                layout.train(guarded(algorithm.step), like(name, layout)),
            )
        return compiled[name, layout]

    def like(name, layout):
        return layout.like(
            ALGORITHMS[name](SPEC).init, jax.random.key(3), batch_at(digits, 0, 0, 4)
        )

    def run(name, layout, steps, start=None, chunk=1):
        algorithm, step = steps_of(name, layout)
        state = (
            layout.init(algorithm.init, jax.random.key(3), batch_at(digits, 0, 0, 4))
            if start is None
            else start
        )
        metrics = []
        first = int(state.step)
        for i in range(first, first + steps, chunk):
            batches = [batch_at(digits, 7, j, B) for j in range(i, i + chunk)]
            state, values = step(
                jax.random.key(1),
                state,
                {},
                layout.put(jax.tree.map(lambda *x: np.stack(x), *batches), 1),
            )
            values = jax.device_get(
                values
            )  # waits: virtual devices deadlock with many steps in flight
            metrics += [{k: v[j] for k, v in values.items()} for j in range(chunk)]
        return state, metrics

    run.like, run.step = like, steps_of
    return run


def arrays(state):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(arrays(a), arrays(b), strict=True))


@cases
def test_thirty_steps_lower_the_loss_and_stay_finite(name, play):
    state, metrics = play(name, Jit(), 30)
    assert all(np.isfinite(leaf).all() for leaf in arrays(state))
    assert int(state.step) == 30 and all(m["skipped"] == 0 for m in metrics)
    losses = [float(m["loss"]) for m in metrics]
    tail = losses[-5:] if not ALGORITHMS[name].__dict__.get("warmup") else losses[10:][-5:]
    head = (
        losses[:5] if not ALGORITHMS[name].__dict__.get("warmup") else losses[10:15]
    )  # after the KL weight has risen
    assert np.mean(tail) < 0.97 * np.mean(head)


@cases
def test_the_second_call_does_not_recompile(name, play):
    play(name, Jit(), 1)
    step = play.step(name, Jit())[1]
    before = step._cache_size()
    play(name, Jit(), 3)
    assert step._cache_size() == before == 1


@cases
def test_evaluate_is_per_example_and_sample_is_a_function_of_the_index(name, play, digits):
    algorithm = ALGORITHMS[name](SPEC)
    state, _ = play(name, Jit(), 1)
    batch = batch_at(digits, 0, 0, 12)
    values = jax.jit(algorithm.evaluate)(jax.random.key(0), state, batch)
    assert all(v.shape == (12,) and np.isfinite(v).all() for v in values.values())
    half = jax.tree.map(
        lambda x: x[6:], batch
    )  # the same examples in another batch: the same values
    for k, v in jax.jit(algorithm.evaluate)(jax.random.key(0), state, half).items():
        np.testing.assert_allclose(v, values[k][6:], rtol=1e-5, atol=1e-5)
    given = {
        "index": np.arange(6, dtype=np.uint32),
        "label": np.arange(6, dtype=np.int32),
        "image": batch["image"][:6],
        "input": batch["input"][:6],
    }
    x = jax.jit(algorithm.sample)(jax.random.key(0), state, given)
    y = jax.jit(algorithm.sample)(
        jax.random.key(0), state, jax.tree.map(lambda v: v[3:], given)
    )
    for each, again in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True):
        assert each.shape == (6, 8, 8, 1) and np.isfinite(each).all()
        np.testing.assert_allclose(each[3:], again, rtol=1e-5, atol=1e-5)
        assert np.abs(each[0] - each[1]).max() > 1e-6


@pytest.mark.parametrize(
    "name, layout",
    [
        laid(n, l)
        for n in ALGORITHMS
        for l in LAYOUTS
        if n.split("-")[-1] not in ("conv", "dit") or l == "mesh-fsdp"
    ],
)
def test_layouts_agree_in_parameters_and_gradient_norms(name, layout, play):
    one, metrics_one = play(name, Jit(), 4)
    other, metrics_other = play(name, LAYOUTS[layout], 4)
    for a, b in zip(metrics_one, metrics_other, strict=True):
        np.testing.assert_allclose(a["grad_norm"], b["grad_norm"], rtol=2e-4)
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=2e-5)
    lr = ALGORITHMS[name].optimiser.lr
    for a, b in zip(arrays(one.params), arrays(other.params), strict=True):
        np.testing.assert_allclose(
            a, b, atol=0.02 * lr
        )  # of the 4 lr that Adam may have moved it
    for a, b in zip(
        arrays((one.ema, one.extra)), arrays((other.ema, other.extra)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@cases
def test_resume_is_bit_identical_through_a_checkpoint(name, play, tmp_path):
    straight, metrics = play(name, Jit(), 6)
    half, _ = play(name, Jit(), 3)
    checkpoints = Checkpoints(tmp_path, "{}", 1)
    checkpoints.save(3, half, {})
    restored, _ = checkpoints.restore(play.like(name, Jit()))
    checkpoints.close()
    resumed, later = play(name, Jit(), 3, start=restored)
    assert same(straight, resumed)
    assert [m["loss"].item() for m in metrics[3:]] == [m["loss"].item() for m in later]


@pytest.mark.parametrize("name", ["vae", "ae-linear", "flow"])
def test_a_chunk_of_steps_is_the_single_steps(name, play, digits):
    single, metrics = play(name, Jit(), 4)
    chunk, later = play(name, Jit(), 4, chunk=4)
    assert same(single, chunk)  # to the bit
    assert [m["loss"].item() for m in metrics] == [m["loss"].item() for m in later]


@pytest.mark.parametrize(
    "name, layout",
    [case(n, Jit()) for n in ("vae-discretised", "flow", "vdm", "gan-ada", "wgan-gp")]
    + [case("vae", Pmap()), case("vae", Mesh())],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__.lower(),
)
def test_microbatches_are_one_batch(name, layout, play, digits):
    """Gradients of four parts, one after the other: the parameters, norms and metrics of the whole batch."""
    whole, metrics = play(name, Jit(), 2)
    algorithm = ALGORITHMS[name](SPEC._replace(microbatches=4))
    step = layout.train(guarded(algorithm.step), play.like(name, layout))
    state = layout.init(algorithm.init, jax.random.key(3), batch_at(digits, 0, 0, 4))
    for i in range(2):
        batch = layout.put(jax.tree.map(lambda x: x[None], batch_at(digits, 7, i, B)), 1)
        state, values = step(jax.random.key(1), state, {}, batch)
        values = jax.device_get(values)
        for key in metrics[i]:
            np.testing.assert_allclose(
                values[key][0], metrics[i][key], rtol=5e-4, atol=1e-5, err_msg=key
            )
    for a, b in zip(arrays(whole.params), arrays(state.params), strict=True):
        np.testing.assert_allclose(a, b, atol=0.02 * ALGORITHMS[name].optimiser.lr)


def test_microbatches_bound_the_memory_of_a_step():
    """What XLA sets aside for intermediate values falls with the number of parts."""
    algorithm = VAE(latent=4, enc=GatedMLP((512, 512)), dec=GatedMLP((512, 512)), optimiser=TX)

    def temporary(parts):
        bound, batch = (
            algorithm(SPEC._replace(microbatches=parts)),
            batch_at(DIGITS_LIKE, 0, 0, 4096),
        )
        state = jax.eval_shape(bound.init, jax.random.key(0), batch)
        return (
            jax.jit(bound.step)
            .lower(jax.random.key(0), state, batch)
            .compile()
            .memory_analysis()
            .temp_size_in_bytes
        )

    assert temporary(8) < 0.4 * temporary(1)


@pytest.mark.parametrize("layout", [Jit(), Pmap(), Mesh()], ids=["jit", "pmap", "mesh"])
def test_a_resident_set_gives_the_same_steps(layout, play, digits):
    streamed, _ = play("vae", layout, 2)
    algorithm, step = play.step("vae", layout)
    state = layout.init(algorithm.init, jax.random.key(3), batch_at(digits, 0, 0, 4))
    resident = layout.put(digits, None)
    for i in range(2):
        index = {"index": batch_at(digits, 7, i, B)["index"][None]}
        state, _ = jax.block_until_ready(
            step(jax.random.key(1), state, resident, layout.put(index, 1))
        )
    assert same(streamed, state)


@pytest.mark.parametrize(
    "name", ["ae-linear", "vae-conditional-iwae"]
)  # whose likelihoods see the pixels as they are
def test_a_step_with_nan_is_skipped_as_a_whole(name, play, digits):
    algorithm = ALGORITHMS[name](SPEC)
    state, _ = play(name, Jit(), 1)
    batch = batch_at(digits, 0, 0, 4)
    poisoned = batch | {
        "image": np.where(
            np.arange(4)[:, None, None, None] == 2, np.nan, batch["image"] / np.float32(255)
        ).astype(np.float32)
    }
    new, metrics = jax.jit(guarded(algorithm.step))(jax.random.key(0), state, poisoned)
    assert float(metrics["skipped"]) == 1 and not np.isfinite(float(metrics["loss"]))
    assert (
        same(dataclasses.replace(new, step=state.step), state)
        and int(new.step) == int(state.step) + 1
    )
    healthy, metrics = jax.jit(guarded(algorithm.step))(jax.random.key(0), new, batch)
    assert float(metrics["skipped"]) == 0 and not same(healthy.params, new.params)


def test_skipping_keeps_every_dtype_and_extra_state():
    def step(key, state, batch, axis=None):
        moved = jax.tree.map(lambda x: x + jnp.ones((), x.dtype), (state.params, state.extra))
        return state.replace(params=moved[0], extra=moved[1], step=state.step + 1), {
            "grad_norm": batch
        }

    from genjax.core import State

    params = {"net": {"w": jnp.ones(3, jnp.bfloat16), "n": jnp.zeros((), jnp.int32)}}
    state = State(jnp.zeros((), jnp.int32), params, {}, {}, {"count": jnp.zeros(2)})
    kept, _ = guarded(step)(None, state, jnp.inf)
    taken, _ = guarded(step)(None, state, jnp.ones(()))
    assert (
        same(kept.params, state.params)
        and same(kept.extra, state.extra)
        and kept.params["net"]["w"].dtype == jnp.bfloat16
    )
    assert not same(taken.params, state.params) and float(taken.extra["count"][0]) == 1
