"""The learned codec: densities against known entropies, whole-number nets against the nets, files against damage."""

import copy
import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image as Pillow

import genjax
from experiments.compress import BASE
from genjax import compress
from genjax.ae.compression import files
from genjax.ae.compression.coding import HyperCoder, deviations, learned_tables, scale_table
from genjax.ae.compression.density import (
    Learned,
    Logistic,
    Normal,
    learned_cumulative,
    quantile,
)
from genjax.ae.compression.files import Codec
from genjax.ae.compression.model import Compression, coded, finest
from genjax.ae.compression.priors import Factorised, Hyper
from genjax.ae.compression.transforms import Cosines, Told, between
from genjax.codec import exact
from genjax.codec.classical import Avif, Jpeg, WebP
from genjax.codec.container import MOST, Packed, pack, unpack
from genjax.codec.stream import Reader, Writer, read, written
from genjax.codec.tables import TOTAL, table
from genjax.config import edit
from genjax.core import labelled
from genjax.data import Photographs
from genjax.data.scenes import Photograph
from genjax.errors import UserError
from genjax.fields import Image
from genjax.findings import coding
from genjax.optim import Adam
from genjax.training.loop import run

SMALL = Compression(
    prior=Hyper(size=4, width=8),
    latent=48,
    width=8,
    blocks=1,
    knots=3,
    optimiser=Adam(1e-3),
    shown=(1.0,),  # each is a program of its own in an evaluation
)


def bits_of(shares):
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few steps, its codec, and a picture that no side of which divides."""
    exp = edit(
        BASE,
        {
            "data": Photographs(64, train=64, test=4),
            "algorithm": SMALL,
            "view": (),
            "steps": 3,
            "every.evaluate": 3,
            "every.sample": 0,
            "evaluate_batch": 4,
            "samples": 4,
            "finish": (),
            "runs": str(tmp_path_factory.mktemp("runs")),
        },
    )
    done = run("compress", exp, "small")
    folder = done.log.directory
    opened = genjax.open(folder)
    codec = Codec(SMALL, opened.params, 3, compiled=jax.jit)
    rows, columns = np.mgrid[0:100, 0:71]
    waves = np.sin(rows / 9.0) + np.cos(columns / 5.0)
    image = np.stack([waves, -waves, 0.5 * waves], -1) * 50 + 128
    return folder, opened, codec, image.astype(np.uint8)


@pytest.mark.parametrize("density", [Normal(), Logistic()])
@pytest.mark.parametrize("deviation", [0.3, 4.0])
def test_masses_of_all_whole_numbers_sum_to_one(density, deviation):
    v = jnp.arange(-60.0, 61.0) - 0.3
    bits = np.asarray(density.bits(v, deviation), np.float64)
    assert np.sum(2.0**-bits) == pytest.approx(1.0, abs=1e-5)
    below = density.cumulative(np.array([0.2, -0.8]), deviation)
    assert bits[60] == pytest.approx(-np.log2(below[0] - below[1]), rel=1e-4)


def test_bits_with_noise_are_those_of_rounded_numbers():
    rng = np.random.default_rng(0)
    y = 3.0 * rng.standard_normal(40_000)
    noisy = y + rng.uniform(-0.5, 0.5, y.size)
    of_noise = float(Normal().bits(jnp.asarray(noisy), 3.0).mean())
    of_rounded = float(Normal().bits(jnp.rint(y), 3.0).mean())
    assert of_noise == pytest.approx(of_rounded, abs=0.01)
    # a Gaussian's entropy in steps of 1
    assert of_rounded == pytest.approx(np.log2(3.0 * np.sqrt(2 * np.pi * np.e)), abs=0.02)


def test_a_learned_density_finds_the_entropy_of_a_laplace_source_and_its_file_too():
    rng = np.random.default_rng(1)
    values = rng.laplace(1.0, 2.0, (20_000, 1))
    net = Learned(1)
    weights = net.init(jax.random.key(0), jnp.zeros((1, 1)))
    tx = optax.adam(0.02)

    def loss(weights, x):
        return net.apply(weights, x, method="bits").mean()

    @jax.jit
    def step(weights, state, x):
        value, slope = jax.value_and_grad(loss)(weights, x)
        moved, state = tx.update(slope, state)
        return optax.apply_updates(weights, moved), state, value

    state = tx.init(weights)
    for _ in range(300):
        rows = rng.integers(0, len(values), 2000)
        noisy = values[rows] + rng.uniform(-0.5, 0.5, (2000, 1))
        weights, state, _ = step(weights, state, jnp.asarray(noisy, jnp.float32))

    edges = np.arange(-60, 62) - 0.5 - 1.0
    below = np.where(edges < 0, 0.5 * np.exp(edges / 2), 1 - 0.5 * np.exp(-edges / 2))
    entropy = bits_of(np.diff(below))
    whole = np.rint(values)
    found = float(net.apply(weights, jnp.asarray(whole), method="bits").mean())
    assert entropy - 0.03 < found < entropy + 0.06

    density = jax.tree.map(np.asarray, weights["params"])
    middle = quantile(learned_cumulative(density), 0.5, 1)
    assert middle[0] == pytest.approx(1.0, abs=0.3)  # the median
    tables = learned_tables(density, np.ones(1))
    writer = Writer()
    writer.code(whole[:, 0], np.zeros(len(whole), int), tables)
    real = 8.0 * sum(map(len, writer.parts())) / len(whole)
    assert real == pytest.approx(found, rel=0.01)


def test_learned_logits_rise_and_are_the_same_in_numpy():
    net = Learned(3)
    weights = net.init(jax.random.key(2), jnp.zeros((1, 3)))
    x = np.linspace(-5, 5, 41)[:, None] * np.ones(3)
    logits = np.asarray(net.apply(weights, jnp.asarray(x)))
    assert (np.diff(logits, axis=0) > 0).all()
    below = learned_cumulative(weights["params"])(x.T)
    np.testing.assert_allclose(below.T, 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_tables_hold_every_share_and_numbers_beyond_them_come_back():
    tables = [scale_table(Normal(), deviation) for deviation in deviations()]
    for each in tables:
        assert each.counts.sum() == TOTAL and each.counts.min() >= 1
    rng = np.random.default_rng(3)
    which = rng.integers(0, len(tables), 5000)
    values = np.rint(deviations()[which] * rng.standard_normal(5000))
    values[::500] = 10.0**6 * np.where(np.arange(10) % 2, 1, -1)
    writer = Writer()
    writer.code(values, which, tables)
    reader = Reader(*writer.parts())
    again = reader.code(np.zeros(5000), which, tables)
    assert np.array_equal(again, values) and reader.crc == writer.crc
    assert read(written([0, -1, 1, 63, -64, 64, 10**9, -(10**9)])) == [
        0, -1, 1, 63, -64, 64, 10**9, -(10**9),
    ]  # fmt: skip


def test_a_table_of_a_gaussian_costs_its_entropy():
    values = np.rint(2.0 * np.random.default_rng(4).standard_normal(50_000))
    own = table(lambda edges: Normal().cumulative(edges, 2.0), -30, 30)
    writer = Writer()
    writer.code(values, np.zeros(len(values), int), [own])
    entropy = np.log2(2.0 * np.sqrt(2 * np.pi * np.e))
    assert writer.bits / len(values) == pytest.approx(entropy, abs=0.02)
    real = 8 * len(writer.parts()[1])
    assert real == pytest.approx(writer.bits, rel=1e-3)


def test_whole_number_nets_do_not_depend_on_the_order_of_sums():
    rng = np.random.default_rng(5)
    x = exact.whole(rng.standard_normal((6, 5, 40)))
    kernel = rng.standard_normal((3, 3, 40, 7))
    params = {"kernel": kernel, "bias": rng.standard_normal(7)}
    order = rng.permutation(40)
    turned = {**params, "kernel": kernel[:, :, order]}
    found = exact.conv(x, params)
    assert np.array_equal(found, exact.conv(x[..., order], turned))
    plain = jax.lax.conv_general_dilated(
        x[None] / exact.FINE,
        kernel,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(found / exact.FINE, plain[0] + params["bias"], atol=0.02)
    with pytest.raises(UserError, match="too large"):
        exact.conv(x * 2.0**30, params)


def test_rates_between_knots_are_told_in_straight_lines():
    table = np.random.default_rng(6).standard_normal((5, 3)).astype(np.float32)
    rates = [0.0, 0.1, 0.5, 0.9, 1.0]
    net = Told(3, 5)
    told = net.apply({"params": {"table": table}}, jnp.array(rates))
    exactly = [exact.between(table, rate) for rate in rates]
    np.testing.assert_allclose(told, exactly, atol=1e-6)
    assert between(jnp.array([0.3]), 1).tolist() == [[1.0 - 0.0]]


def test_training_begins_with_the_cosine_transform():
    x = np.random.default_rng(7).random((1, 32, 32, 3)).astype(np.float32)
    whole = Cosines(16, 3, 768)
    np.testing.assert_allclose(whole.backward(whole.forward(x)), x, atol=1e-5)
    basis, _ = Cosines(16, 3, 48).basis()
    np.testing.assert_allclose(basis.T @ basis, np.eye(48), atol=1e-12)
    # where the loss of fine rounding is least: its derivative is 0
    step = 1.0 / finest(0.01)
    slope = 0.01 * 255**2 * step / 6 - 3 / (step * np.log(2))
    assert slope == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("prior", [SMALL.prior, Factorised(), Hyper(4, 8, context=False)])
def test_real_bytes_are_what_the_prior_says(prior):
    """Of numbers as they are: what a net makes of pixels has no part in it."""
    rng = np.random.default_rng(8)
    # about as wide as a net that has learned nothing says: what its tables lack costs bytes of its own
    y = jnp.asarray(rng.laplace(0.0, 0.7, (1, 8, 8, 48)), jnp.float32)
    rate = jnp.ones(1)
    levels = rng.uniform(0.5, 1.5, 48).astype(np.float32)
    params = jax.jit(lambda y: prior.init(jax.random.key(0), y, SMALL.knots))(y)
    # as if it were trained: no map is constant
    params = jax.tree.map(lambda a: a + 0.02 * rng.standard_normal(a.shape), params)
    said = jax.jit(lambda params, y: prior(params, y, jnp.exp(levels)[None], rate, None))
    code = said(params, y)
    z = jax.jit(prior.hidden)(params, y, rate)
    coder = prior.coder(jax.tree.map(np.asarray, params), levels.astype(np.float64), 1.0)
    writer = Writer()
    seen = coder.code(writer, np.asarray(y[0], np.float64), np.asarray(z[0], np.float64))
    estimate = float((code.bits + code.side)[0])
    real = 8 * sum(map(len, writer.parts()))
    assert 0.98 * estimate < real < 1.02 * estimate + 100  # the end of the coder
    again = coder.code(Reader(*writer.parts()), np.zeros(y.shape[1:]), np.zeros(z.shape[1:]))
    np.testing.assert_array_equal(again, seen)
    # a step is rounded otherwise here and there, where float32 and whole numbers differ
    assert np.abs(seen - code.seen[0]).mean() < 0.005


def test_real_bytes_and_pixels_are_what_the_model_says(trained):
    """Of a whole file, by programs that are compiled already, of weights as if they were trained."""
    rng = np.random.default_rng(8)
    _, opened, codec, image = trained
    params = jax.tree.map(
        lambda a: a + np.float32(0.02) * rng.standard_normal(a.shape, np.float32), codec.params
    )
    other = copy.copy(codec)
    other.params, other.digest = params, files.digest(params)
    # sides that are divided as they are: there is no rim whose bits nobody sees
    own = np.pad(image, [(0, 28), (0, 25), (0, 0)], mode="symmetric")
    found = other.encode(own, 1.0)
    x = jnp.asarray(own[None] / np.float32(255))
    whole = jax.jit(lambda params, x, rate: coded(params, x, rate, None, SMALL))
    made, code = whole(params, x, jnp.ones(1))
    estimate = float((code.bits + code.side)[0])
    real = 8 * len(found.content)
    overhead = 8 * 50  # bits of the head, and of the end of the coder
    assert 0.98 * estimate < real < 1.02 * estimate + overhead
    back = other.decode(found.content) / 255.0
    assert np.abs(back - np.clip(made[0], 0, 1)).mean() < 0.005


def test_a_file_comes_back_and_a_larger_rate_loses_less(trained):
    _, _, codec, image = trained
    errors = []
    for rate in (0.0, 1.0):
        found = codec.encode(image, rate)
        back = codec.decode(found.content)
        assert back.shape == image.shape and back.dtype == np.uint8
        errors.append(np.square(back / 255.0 - image / 255.0).mean())
    assert errors[1] < errors[0]


def test_tile_by_tile_is_the_whole(trained, monkeypatch):
    _, _, codec, _ = trained
    # four blocks one way and twelve the other: a first tile, one between and a last
    image = np.random.default_rng(9).integers(0, 256, (64, 192, 3)).astype(np.uint8)
    whole, _ = codec._numbers(image, 0.5)
    pixels = codec.render(whole, 0.5)
    monkeypatch.setattr(files, "TILE", 4)
    parts, _ = codec._numbers(image, 0.5)
    np.testing.assert_allclose(parts, whole, atol=1e-4)
    assert np.abs(codec.render(whole, 0.5).astype(int) - pixels).max() <= 1


def test_a_file_that_is_cut_changed_or_of_others_is_refused(trained):
    _, opened, codec, image = trained
    content = codec.encode(image, 0.3).content
    for end in (3, 20, 27, len(content) // 2, len(content) - 1):
        with pytest.raises(UserError, match="f.gxc is cut short"):
            codec.decode(content[:end], "f.gxc")
    for place in range(12, len(content), 37):
        broken = bytearray(content)
        broken[place] ^= 16
        with pytest.raises(UserError, match="damaged|cut short"):
            codec.decode(bytes(broken), "f.gxc")
    for head, told in ((b"PNG", "no file of this codec"), (b"GXC\x09", "of format 9")):
        with pytest.raises(UserError, match=told):
            codec.decode(head + content[len(head) :])
    other = jax.tree.map(lambda x: x + 1e-6, opened.params)
    with pytest.raises(UserError, match="written with other weights"):
        Codec(SMALL, other, 3).decode(content)
    packed = unpack(content, "f")
    for change, told in (
        ({"tables": 1}, "tables that come out otherwise"),
        ({"numbers": 1}, "other numbers"),
    ):
        with pytest.raises(UserError, match=told):
            codec.decode(pack(dataclasses.replace(packed, **change)))


@pytest.mark.parametrize(
    "change",
    [
        {"height": 1 << 31, "width": 1 << 31},
        {"height": MOST + 1, "width": 1},
        {"height": 0},
        {"width": -3},
    ],
)
def test_a_head_that_tells_of_no_picture_takes_no_memory(change):
    made_up = Packed(bytes(8), 0, 0, 255, 32, 32, 3, b"", b"")
    content = pack(dataclasses.replace(made_up, **change))
    with pytest.raises(UserError, match="f is damaged: its head tells of"):
        unpack(content, "f")


def test_a_number_that_never_ends_is_refused_at_once():
    endless = b"\xff" * 1_000_000
    with pytest.raises(ValueError, match="more than 9 bytes"):
        read(endless)
    head = pack(Packed(bytes(8), 0, 0, 255, 32, 32, 3, b"", b""))[:22]
    with pytest.raises(UserError, match="f is damaged: its head has a number"):
        unpack(head + endless + b"\0", "f")


def test_a_file_made_up_with_right_checksums_is_refused_in_one_line(trained):
    _, _, codec, image = trained
    packed = unpack(codec.encode(image, 0.3).content, "f")
    for change, told in (
        ({"channels": 1}, "tells of 1 channels"),
        ({"coded": packed.coded + b"x"}, "its bits are none of a picture"),
        ({"beyond": b"\xff" * 100}, "its bits are none of a picture"),
        ({"coded": b""}, "damaged|other numbers"),
    ):
        with pytest.raises(UserError, match=told):
            codec.decode(pack(dataclasses.replace(packed, **change)), "f")


def test_one_pixel_comes_back_as_one(trained):
    _, _, codec, image = trained
    back = codec.decode(codec.encode(image[:1, :1], 1.0).content)
    assert back.shape == (1, 1, 3)


def test_weights_and_pixels_that_are_no_numbers_are_refused(trained):
    _, _, codec, image = trained
    with pytest.raises(UserError, match="gone astray"):
        exact.conv(np.ones((2, 2, 1)), {"kernel": np.full((1, 1, 1, 1), np.nan)})
    with pytest.raises(UserError, match="pixels that are no numbers"):
        codec.render(np.full((2, 2, SMALL.latent), np.nan), 0.5)


def test_a_density_far_out_has_a_table_too():
    own = table(lambda edges: Normal().cumulative(edges - 1e5, 1.0), 99_990, 100_010)
    assert own.values >= 1 and own.counts.sum() == TOTAL
    writer = Writer()
    writer.code(np.array([1e5, 7.0]), np.zeros(2, int), [own])
    again = Reader(*writer.parts()).code(np.zeros(2), np.zeros(2, int), [own])
    assert again.tolist() == [1e5, 7.0]


def test_settings_that_cannot_be_are_refused():
    spec = labelled(Image((64, 64, 3)))
    for change, told in (
        ({"latent": 1000}, "a block has 768"),
        ({"knots": 1}, "tells the nets no rate"),
        ({"high": 1e-5}, "high=1e-05 must be at least"),
        ({"shown": ()}, "rates from 0 to 1"),
    ):
        with pytest.raises(UserError, match=told):
            edit(SMALL, change)(spec)
    with pytest.raises(UserError, match="divisible by 32"):
        SMALL(labelled(Image((28, 28, 1))))


def test_the_commands_write_files_and_refuse_what_they_cannot(trained, tmp_path, capsys):
    folder, _, codec, image = trained
    source = tmp_path / "photo.png"
    Pillow.fromarray(image).save(source)
    out = tmp_path / "out"
    assert compress.main(["encode", str(folder), str(source), f"--out={out}", "--rate=1"]) == 0
    assert compress.main(["decode", str(folder), str(out / "photo.gxc")]) == 0
    back = np.asarray(Pillow.open(out / "photo.png"))
    assert np.array_equal(back, codec.decode((out / "photo.gxc").read_bytes()))
    capsys.readouterr()

    Pillow.fromarray(image[..., 0]).save(tmp_path / "grey.png")
    (tmp_path / "text.png").write_text("no picture")
    told = {
        "encode RUN grey.png": "is in grey and the codec is of colour",
        "encode RUN text.png": "cannot be read as an image",
        "encode RUN none.png": "is no file",
        "decode RUN photo.png --out=unused": "no file of this codec",
        "encode RUN photo.png --rate=2": "rate=2.0 must be at most 1",
        "press RUN photo.png": "neither encode nor decode",
        "encode RUN": "expected encode|decode RUN FILE",
        # nor is the first written, where another is wrong
        "encode RUN photo.png text.png --out=UNUSED": "cannot be read as an image",
        "decode RUN out/photo.gxc text.png --out=UNUSED": "text.png is no file of this codec",
        "encode RUN photo.png --out=TEXT": "is a file: name a folder",
    }
    files_ = (".png", ".gxc")
    for words, message in told.items():
        argv = [word.replace("RUN", str(folder)) for word in words.split()]
        argv = [str(tmp_path / word) if word[-4:] in files_ else word for word in argv]
        argv = [word.replace("UNUSED", f"{tmp_path}/unused") for word in argv]
        argv = [word.replace("TEXT", f"{tmp_path}/text.png") for word in argv]
        before = sorted(tmp_path.rglob("*"))
        assert compress.main(argv) == 2, words
        error = capsys.readouterr().err
        assert message in error.replace("\n", " ") and len(error.splitlines()) == 1, error
        assert sorted(tmp_path.rglob("*")) == before


def test_the_commands_write_over_nothing(trained, tmp_path, capsys):
    folder, _, _, image = trained
    run = str(folder)
    photo = tmp_path / "photo.png"
    Pillow.fromarray(image).save(photo)
    Pillow.fromarray(image).save(tmp_path / "photo.webp")
    before = photo.read_bytes()
    # a flag's value may stand apart
    assert compress.main(["encode", run, str(photo), "--out", str(tmp_path)]) == 0
    coded_file = str(tmp_path / "photo.gxc")
    capsys.readouterr()
    for argv, told in (
        (["decode", run, coded_file], "photo.png exists and would be written over"),
        (["encode", run, str(photo)], "photo.gxc exists and would be written over"),
        (
            ["encode", run, str(photo), str(tmp_path / "photo.webp"), f"--out={tmp_path}/o"],
            "two of the files would become",
        ),
    ):
        assert compress.main(argv) == 2
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1
    assert photo.read_bytes() == before and not (tmp_path / "o").exists()
    assert compress.main(["decode", run, coded_file, "--replace"]) == 0
    assert photo.read_bytes() != before


def test_pictures_are_read_as_data_sets_are(tmp_path):
    clear = np.zeros((2, 3, 4), np.uint8)  # black beneath, and nothing of it is seen
    Pillow.fromarray(clear).save(tmp_path / "clear.png")
    assert (compress.picture(tmp_path / "clear.png", 3) == 255).all()
    deep = np.array([[0, 257, 65535]], np.uint16)
    Pillow.fromarray(deep).save(tmp_path / "deep.png")
    assert compress.picture(tmp_path / "deep.png", 1)[..., 0].tolist() == [[0, 1, 255]]
    exif = Pillow.Exif()
    exif[0x0112] = 6  # a quarter to the right
    plain = np.full((8, 16, 3), 90, np.uint8)
    Pillow.fromarray(plain).save(tmp_path / "turned.jpg", exif=exif)
    assert compress.picture(tmp_path / "turned.jpg", 3).shape == (16, 8, 3)
    exactly = np.random.default_rng(11).integers(0, 256, (17, 5, 3)).astype(np.uint8)
    Pillow.fromarray(exactly).save(tmp_path / "exact.png")
    assert np.array_equal(compress.picture(tmp_path / "exact.png", 3), exactly)


@pytest.mark.slow
def test_another_process_decodes_the_same_numbers(trained, tmp_path):
    folder, _, codec, image = trained
    path = tmp_path / "a.gxc"
    path.write_bytes(codec.encode(image, 0.7).content)
    words = ["-m", "genjax.compress", "decode", str(folder), str(path)]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    back = np.asarray(Pillow.open(tmp_path / "a.png"))
    assert np.abs(back.astype(int) - codec.decode(path.read_bytes())).max() <= 1


def made_up(name, sizes, decibels):
    """What a codec did with scenes of 10x10 pixels: of each the sizes of its files and their quality [dB]."""
    codec = coding.Tried(name, name, (), None, None)
    scenes = []
    for row in decibels:
        pairs = zip(sizes, row, strict=True)
        scenes.append([coding.Point(size, db, db, 0.0, 0.0, None) for size, db in pairs])
    return coding.Measured(codec, scenes)


class Heard:
    """A run's log that keeps what it is told."""

    def __init__(self):
        self.notes, self.results = [], {}

    def note(self, text):
        self.notes.append(text)

    def result(self, name, values):
        self.results[name] = values


def test_scenes_of_no_common_quality_are_left_out_and_counted():
    usual = [30.0, 35.0, 40.0]
    found = [
        made_up("learned", (5, 10, 20), [usual, usual, [50.0, 60.0, 70.0]]),
        made_up("JPEG", (10, 20, 40), [usual, usual, usual]),
    ]
    this = SimpleNamespace(log=Heard())
    scenes = [np.zeros((10, 10, 3))] * 3
    coding.Coding().compare(this, "learned", found, scenes)
    entry = this.log.results["coding learned"]
    assert entry["psnr"] == pytest.approx(-50.0) and entry["psnr_n"] == 2 and entry["n"] == 3
    assert "2 of 3 scenes" in this.log.notes[0]
    assert entry["psnr_overlap"] == 1.0 and len(this.log.notes) == 2
    found[0] = made_up("learned", (5, 10, 20), [usual, [39.0, 42.0, 45.0], usual])
    coding.Coding().compare(this, "learned", found, scenes)
    assert this.log.results["coding learned"]["psnr_overlap"] == pytest.approx(0.1 / 0.6)
    assert "doubtful: in 1 scenes" in this.log.notes[3]
    found[0] = made_up("learned", (5, 10, 20), [[50.0, 60.0, 70.0]] * 3)
    coding.Coding().compare(this, "learned", found, scenes)
    assert "reach no common psnr" in this.log.notes[-2]


def test_the_finding_measures_whole_scenes_by_their_files(trained, monkeypatch):
    _, opened, codec, _ = trained
    rows, columns = np.mgrid[0:180, 0:192]
    waves = np.sin(rows / 5.0) * np.cos(columns / 7.0)
    image = (np.stack([waves, -waves, waves], -1) * 90 + 128).astype(np.uint8)
    own = [
        Photograph(str(i), image[:, ::step], "", "", "test") for i, step in ((0, 1), (1, -1))
    ]
    monkeypatch.setattr(coding, "photographs", lambda: own)
    shown = {}
    monkeypatch.setattr(
        coding, "show", lambda run, name, picture: shown.update({name: picture})
    )
    this = SimpleNamespace(
        exp=SimpleNamespace(algorithm=SMALL),
        spec=opened.run.spec,
        state=opened.run.state,
        log=Heard(),
    )
    cfg = coding.Coding(
        least=(176, 192),
        rates=(0.0, 1.0),
        others=(Jpeg(0, (5, 50, 95)), Jpeg(2, (5, 50, 95)), WebP((1, 95))),
        crop=64,
        shown=2,
    )
    cfg.check(SimpleNamespace(algorithm=SMALL), this.spec)
    cfg(this)
    assert set(this.log.results) >= {"coding learned", "coding WebP", "coding times JPEG"}
    assert shown["details"].shape[0] == 2 * 2 * 64 and "rate-distortion" in shown
    size = coding.point(coding.ours(this, (0.5,)), image, 0.5).size
    assert size == len(codec.encode(image, 0.5).content)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"least": (100, 768)}, "least=100 must be at least 176"),
        ({"crop": 600}, "least=512 must be at least 600"),
        ({"rates": (0.0, 2.0)}, "rates from 0 to 1"),
        ({"against": "PNG"}, "is none of the codecs"),
        ({"others": (Avif(tune="beauty"),), "against": "AVIF"}, "has no AVIF 4:4:4 beauty"),
    ],
)
def test_what_the_finding_cannot_measure_is_told_before_training(change, told, monkeypatch):
    monkeypatch.setattr(coding, "photographs", list)
    source = SimpleNamespace(shape=(64, 64, 3), name="photographs")
    with pytest.raises(UserError, match=told):
        dataclasses.replace(coding.Coding(), **change).check(
            SimpleNamespace(algorithm=SMALL), source
        )


def test_a_hyper_coder_says_what_the_nets_say(trained):
    _, opened, _, _ = trained
    params = jax.tree.map(np.asarray, opened.params)
    levels = exact.between(params["gains"]["table"], 0.5)
    coder = HyperCoder(params["prior"], levels, 0.5, SMALL.prior.density)
    z = np.rint(np.random.default_rng(10).standard_normal((2, 2, 4)) * 3)
    _, moments = coder._told(z)
    net = SMALL.prior.nets(48, 3)["hyper_synthesis"]
    weights = {"params": params["prior"]["hyper_synthesis"]}
    _, plain = net.apply(weights, jnp.asarray(z[None], jnp.float32), jnp.array([0.5]))
    np.testing.assert_allclose(moments / exact.FINE, plain[0], atol=0.01)
