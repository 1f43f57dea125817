"""Bits back against what is known: -log p(x) with the exact posterior, -ELBO with another, and nothing is lost."""

import struct
import subprocess
import sys
import zlib

import jax
import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm

from genjax import pack
from genjax.config import edit
from genjax.data import Digits
from genjax.errors import UserError
from genjax.findings import packing
from genjax.machine.checksum import crc32
from genjax.nets import MLP
from genjax.optim import Adam
from genjax.pictures import lossless
from genjax.training import loop
from genjax.training.experiment import Every, Experiment
from genjax.vae import bitsback, packed, vae
from genjax.vae.bitsback import Buckets, Nets, Packed
from genjax.vae.likelihoods import Bernoulli, DiscretisedLogistic, Gaussian
from genjax.vae.vae import VAE

# Four pairs (z, x): z ~ N(0, 1), x is z with noise of deviation S, rounded to LEVELS values that are STEP apart.
LATENT, LEVELS, S, STEP = 4, 128, 0.5, 0.1
VALUES = (np.arange(LEVELS) - (LEVELS - 1) / 2) * STEP
EDGES = np.concatenate([[-np.inf], (VALUES[:-1] + VALUES[1:]) / 2, [np.inf]])
SHRINK = 1 / (1 + S**2)  # the posterior is N(SHRINK y, SHRINK S²) of y before it is rounded
LOG2_P = np.log2(np.diff(norm.cdf(EDGES / np.sqrt(1 + S**2))))


def line(width: float) -> Nets:
    """The model with its posterior, whose deviation is `width` times the exact one."""

    def posterior(x):
        return SHRINK * VALUES[x], np.full(LATENT, np.sqrt(SHRINK) * S * width)

    def likelihood(z):
        return np.diff(norm.cdf((EDGES - z[:, None]) / S), axis=1)

    return Nets(posterior, likelihood, LATENT, LEVELS)


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """300 examples of the model, [N, 4]."""
    y = np.random.default_rng(0).normal(0, np.sqrt(1 + S**2), (300, LATENT))
    return (np.searchsorted(EDGES, y) - 1).astype(np.int32)


@pytest.mark.parametrize("bits", [6, 16])
def test_with_the_exact_posterior_the_bits_are_those_of_log_p(drawn, bits):
    nets = line(1.0)._replace(buckets=Buckets(bits))
    made = bitsback.encode(drawn, nets)
    truth = -LOG2_P[drawn].sum(1)
    # whatever z was taken, an example costs -log p(x); coarse buckets add noise and no more than a thousandth
    error = made.costs[:, 3] - truth
    assert abs(error.sum() / truth.sum()) < (2e-3 if bits == 6 else 1e-4)
    assert error.std() < (0.5 if bits == 6 else 0.03)
    whole = 32 * len(made.words)
    assert whole - truth.sum() < 32 * made.borrowed + 32 + 2e-3 * truth.sum()
    back = bitsback.decode(made.words, made.borrowed, len(drawn), nets)
    np.testing.assert_array_equal(back, drawn)


def test_another_posterior_costs_its_divergence_and_fair_numbers_are_why(drawn):
    """KL(N(m, 4 v) || N(m, v)) = (4 - 1 - ln 4) / 2 nats a latent."""
    truth = -LOG2_P[drawn].sum(1)
    divergence = LATENT * (4 - 1 - np.log(4)) / 2 / np.log(2)
    excess = bitsback.encode(drawn, line(2.0)).costs[:, 3] - truth
    error = excess.std() / np.sqrt(len(excess))
    assert abs(excess.mean() - divergence) < 4 * error < 0.4 * divergence
    # codes that do not follow the prior give coins that are not fair
    as_they_are = line(2.0)._replace(buckets=Buckets(fair=False))
    unfair = bitsback.encode(drawn, as_they_are).costs[:, 3] - truth
    assert unfair.mean() - divergence > 5 * error


def test_the_parts_add_up_and_the_coder_adds_nothing(drawn):
    costs = bitsback.encode(drawn, line(1.0)._replace(buckets=Buckets(8))).costs
    given, prior, back, grown = costs.T
    np.testing.assert_array_equal(prior, LATENT * 8)
    assert abs((grown - given - prior + back).sum()) < 1e-4 * grown.sum()


def test_counts_are_whole_and_sum_to_what_the_coder_has_left():
    p = np.array([[0.3, 0.2, 0.5], [0.0, 0.0, 0.0], [1.0, 0.0, 1e-30]])
    found = bitsback.counts(p)
    np.testing.assert_array_equal(found, np.round(found))
    np.testing.assert_array_equal(found.sum(1), bitsback.WHOLE - 3)
    np.testing.assert_allclose(found[1], found[1, 0], atol=3)  # without any mass: uniform
    with pytest.raises(UserError, match="diverged"):
        bitsback.counts(np.array([[0.5, np.nan]]))


def test_tables_reach_the_coder_as_they_are():
    """A symbol that is coded often costs log2 of its whole number."""
    table = bitsback.counts(np.array([[0.7, 0.29, 0.01]]))
    for symbol in range(3):
        coder = bitsback.stack(bitsback.borrowed(4))
        before = bitsback.length(coder)
        many = np.full(1000, symbol)
        bitsback.push(coder, many, np.repeat(table, 1000, 0))
        expected = 1000 * bitsback.ideal(table, many[:1])
        np.testing.assert_allclose(bitsback.length(coder) - before, expected, rtol=2e-4)


@pytest.mark.parametrize("bits", [2, 7, 16])
def test_buckets_have_equal_mass_and_their_tables_are_the_normal(bits):
    buckets = Buckets(bits)
    number = np.arange((1 << bits) + 1)
    edges = buckets.edge(number)
    np.testing.assert_allclose(np.diff(norm.cdf(edges)), 2.0**-bits, rtol=1e-6)
    assert buckets.coarse + buckets.fine == bits
    # far out on either side the masses keep their digits
    tails = bitsback.masses(
        np.array([-9.0, 9.0]), np.ones(2), np.array([[-np.inf, 0.0, np.inf]])
    )
    np.testing.assert_allclose(tails[:, ::-1], tails[::-1], rtol=1e-9)
    np.testing.assert_allclose(tails[0, 1], norm.cdf(-9.0), rtol=1e-9)


# --- a VAE -----------------------------------------------------------------------------------------------------------

SMALL = MLP((32,))
NET = VAE(
    4,
    enc=SMALL,
    dec=SMALL,
    likelihood=DiscretisedLogistic(17, (-8.0, 2.0)),
    optimiser=Adam(3e-3),
)
PACKING = packing.Packing(60, Buckets(12), (Buckets(8), Buckets(12)), 30, 64)
EXP = Experiment(
    Digits(),
    NET,
    steps=300,
    batch=64,
    every=Every(log=300, evaluate=0, sample=0, save=300),
    finish=(PACKING,),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small VAE of digits, packed by the finding."""
    return loop.run(
        "packed", edit(EXP, {"runs": str(tmp_path_factory.mktemp("runs"))}), "digits"
    )


@pytest.fixture(scope="module")
def other(trained):
    """The same net with other weights: a run of another seed, hardly trained."""
    change = {"seed": 1, "steps": 1, "every.save": 1, "finish": ()}
    return loop.run("packed", edit(trained.exp, change), "other").log.directory


@pytest.fixture(scope="module")
def pictures(trained, tmp_path_factory):
    """(a .npy file of 25 digits, the file that they were packed into in chunks of 10)."""
    folder = tmp_path_factory.mktemp("pictures")
    x = np.asarray(trained.source.test["image"][:25])
    np.save(folder / "digits.npy", x)
    out = folder / "digits.gjx"
    pack.encode(trained.log.directory, folder / "digits.npy", out=str(out), chunk=10, bits=10)
    return folder / "digits.npy", out


@pytest.fixture
def command(capsys):
    """command(*arguments) -> (exit code, stdout, stderr)."""

    def run(*arguments):
        code = pack.main([str(each) for each in arguments])
        return code, *capsys.readouterr()

    return run


def test_the_finding_packs_test_images_to_their_bound(trained):
    found = trained.log.result("packing")
    parts = [found[name] for name in ("given", "rate", "coder", "head")]
    assert sum(parts) == pytest.approx(found["bits_per_dim"])
    assert found["bits_per_dim"] == pytest.approx(8 * found["bytes"] / (60 * 64))
    # 60 small images: an image's own z is a draw, and the file's head is a large part
    assert found["net_bits_per_dim"] == pytest.approx(found["elbo_bits_per_dim"], rel=0.03)
    assert found["ratio_low"] < found["ratio"] < found["ratio_high"]
    assert found["net_bits_per_dim"] < trained.log.result("codecs")["png_each"]
    assert set(trained.log.result("buckets")) == {"2^8", "2^12"}
    assert (trained.log.directory / "samples" / "packing.png").exists()


def test_the_bound_is_that_of_the_algorithm(trained):
    test = {name: array[:60] for name, array in trained.source.test.items()}
    bits, error = packing.bound(trained, test, 200)
    usual = trained.evaluate(test)["elbo"]  # one draw, with an exact KL
    scale = usual.std() + np.sqrt(64)
    assert abs(bits.sum() * np.log(2) + usual.sum()) < 4 * error + 4 * scale * np.sqrt(60) / 4


def test_tables_are_the_likelihoods_own():
    """Every level's probability is exp log_prob, in colour too, and they sum to one."""
    for likelihood in (DiscretisedLogistic(5), Bernoulli()):
        levels = getattr(likelihood, "levels", 2)
        out = jax.random.normal(jax.random.key(0), (1, 2, 3, 3 * likelihood.outputs))
        tables = jax.jit(bitsback.probabilities, static_argnums=(0, 2))
        table = np.asarray(tables(likelihood, out, levels))
        np.testing.assert_allclose(table.sum(1), 1.0, rtol=1e-4)
        x = np.random.default_rng(0).integers(0, levels, (1, 2, 3, 3))
        log_p = np.log(table[np.arange(18), x.ravel()]).sum()
        unit = (x / (levels - 1)).astype(np.float32)
        np.testing.assert_allclose(log_p, jax.jit(likelihood.log_prob)(out, unit)[0], rtol=1e-4)


def test_what_is_packed_is_what_the_bound_observes(trained):
    key = jax.random.key(5)
    batch = {name: array[:4] for name, array in trained.source.test.items()}
    batch["index"] = np.arange(4, dtype=np.uint32)
    cfg = edit(NET, {"likelihood": Bernoulli()})
    ours = bitsback.observed(key, batch, cfg, trained.spec)
    theirs = vae._observed(key, batch, cfg, trained.spec)
    np.testing.assert_array_equal(ours[0], theirs[0])
    assert set(np.unique(ours[0])) == {0.0, 1.0}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"likelihood": Gaussian()}, "use DiscretisedLogistic"),
        ({"likelihood": Bernoulli(dynamic=False)}, "use DiscretisedLogistic"),
    ],
)
def test_a_model_whose_bits_cannot_be_coded_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        bitsback.check(edit(NET, change))


# --- files -----------------------------------------------------------------------------------------------------------


def test_pictures_come_back_to_the_bit_and_cost_what_they_should(
    trained, pictures, tmp_path, command
):
    source, file = pictures
    out = tmp_path / "back.npy"
    code, said, _ = command("decode", trained.log.directory, file, f"--out={out}")
    assert code == 0 and f"25 pictures, {file.stat().st_size} bytes packed" in said
    assert crc32(out) == crc32(source)
    # three heads, three borrowings
    bits = 8 * file.stat().st_size / (25 * 64)
    assert bits < trained.log.result("packing")["bits_per_dim"] + 1.0


@pytest.mark.slow
def test_another_process_unpacks_it(trained, pictures, tmp_path):
    source, file = pictures
    out = tmp_path / "back.npy"
    arguments = ["decode", str(trained.log.directory), str(file), f"--out={out}"]
    # the passes that XLA leaves out in tests are left out there too: nets must round alike
    subprocess.run([sys.executable, "-m", "genjax.pack", *arguments], check=True)
    assert crc32(out) == crc32(source)


def test_a_folder_of_pictures_is_packed_as_it_is(trained, pictures, tmp_path, command):
    from genjax.pictures.draw import save_png

    x = np.load(pictures[0])[:3]
    for i, picture in enumerate(x):
        save_png(tmp_path / "in" / f"{i}.png", picture)
    run = trained.log.directory
    packed_, out = tmp_path / "p.gjx", tmp_path / "x.npy"
    assert command("encode", run, tmp_path / "in", f"--out={packed_}", "--no-verify")[0] == 0
    assert command("decode", run, packed_, f"--out={out}")[0] == 0
    np.testing.assert_array_equal(np.load(out), x)
    (tmp_path / "in" / "more").mkdir()
    code, _, said = command("encode", run, tmp_path / "in", f"--out={tmp_path}/y")
    assert code == 2 and "more is a folder in a folder of pictures" in said
    (tmp_path / "in" / "more").rmdir()
    save_png(tmp_path / "in" / "9.png", np.zeros((9, 8, 1), np.uint8))
    code, _, said = command("encode", run, tmp_path / "in", f"--out={tmp_path}/y")
    assert code == 2 and "9.png is 9x8 in mode L, and this model packs 8x8" in said
    # what is there stays, unless it is said that it need not
    before = out.read_bytes()
    code, _, said = command("encode", run, pictures[0], f"--out={out}")
    assert code == 2 and "x.npy exists and would be written over" in said
    assert out.read_bytes() == before
    assert command("encode", run, pictures[0], f"--out={out}", "--replace")[0] == 0
    assert out.read_bytes()[:8] == packed.MAGIC


def damaged(data: bytes, how: str) -> bytes:
    """A packed file after an accident."""
    at = packed.HEAD.size + packed.CRC.size
    if how == "cut in its head":
        return data[:20]
    if how == "cut in a chunk":
        return data[: at + packed.CHUNK.size + 7]
    if how == "cut before the last chunk":
        return data[: -len(data) // 8]
    if how == "a bit of the head":
        return data[:30] + bytes([data[30] ^ 1]) + data[31:]
    if how == "a bit of a chunk":
        return data[: at + 40] + bytes([data[at + 40] ^ 1]) + data[at + 41 :]
    if how == "longer":
        return data + b"x"
    return how.encode()


@pytest.mark.parametrize(
    "how, message",
    [
        ("cut in its head", "is cut short within its head (20 of"),
        ("cut in a chunk", "chunk 1 of 3, is cut short (7 of"),
        ("cut before the last chunk", "chunk 3 of 3, is cut short"),
        ("a bit of the head", "is damaged in its head"),
        ("a bit of a chunk", "chunk 1 of 3, is damaged"),
        ("longer", "has 1 bytes too many"),
        ("something else", "was not written by genjax.pack encode"),
    ],
)
def test_a_damaged_file_is_told_in_one_line_and_nothing_is_written(
    trained, pictures, tmp_path, command, how, message
):
    file, out = tmp_path / "bad.gjx", tmp_path / "x.npy"
    file.write_bytes(damaged(pictures[1].read_bytes(), how))
    code, said, error = command("decode", trained.log.directory, file, f"--out={out}")
    assert (code, said) == (2, "") and error.count("\n") == 1 and message in error
    assert [each.name for each in tmp_path.iterdir()] == ["bad.gjx"]


def test_other_weights_are_told_before_anything_is_decoded(other, pictures, tmp_path, command):
    out = tmp_path / "x.npy"
    code, _, said = command("decode", other, pictures[1], f"--out={out}")
    assert code == 2 and "was packed by a model with weights" in said and not out.exists()


def test_a_machine_that_rounds_otherwise_is_told(trained, pictures):
    data = pictures[1].read_bytes()
    head = packed.read_head("f", data)
    nets = packing.nets(trained)._replace(buckets=Buckets(head.bits))
    packed.check_reader("f", head, head.weights, head.shape, nets)

    def rounds(x):
        mean, deviation = nets.posterior(x)
        return np.nextafter(mean, np.float32(9)), deviation

    with pytest.raises(UserError, match="round otherwise"):
        packed.check_reader(
            "f", head, head.weights, head.shape, nets._replace(posterior=rounds)
        )
    # and if the fingerprint had not seen it, the pixels' checksum or the borrowed words do
    chunk = packed.read_chunks("f", data, head)[0]
    with pytest.raises(UserError, match="comes out otherwise"):
        packed.unpacked("f", chunk, nets._replace(posterior=lambda x: nets.posterior(x * 0)))


def test_a_head_made_up_with_a_right_checksum_is_refused(trained, pictures):
    head = packed.read_head("f", pictures[1].read_bytes())
    of = packing.nets(trained)._replace(buckets=Buckets(head.bits))
    for change in ({"levels": 1}, {"shape": (1 << 31, 1 << 31, 1)}):
        made_up = packed.read_head("f", packed.head_bytes(head._replace(**change)))
        with pytest.raises(UserError, match="is damaged: it tells of"):
            packed.check_reader("f", made_up, head.weights, trained.spec.shape, of)


def test_arrays_made_up_are_told_in_one_line(tmp_path):
    path = tmp_path / "x.npy"
    for begins in (b"PK\x03\x04 no archive", b"\x93NUMPY\x01\x00", b""):
        path.write_bytes(begins)
        with pytest.raises(UserError, match="cannot be read as a .npy file"):
            pack._array(path, (8, 8, 1))
    # more than there is, and than there is memory for
    with path.open("wb") as file:
        head = {"descr": "|u1", "fortran_order": False, "shape": (1 << 44, 8, 8, 1)}
        np.lib.format.write_array_header_1_0(file, head)
    with pytest.raises(UserError, match="cannot be read as a .npy file"):
        pack._array(path, (8, 8, 1))


def forged(data: bytes, n: int) -> bytes:
    """A file of one chunk that tells of n examples, with right checksums."""
    head = packed.read_head("f", data)
    one = packed.head_bytes(head._replace(count=n, chunk=n))
    first = packed.read_chunks("f", data, head)[0]
    stack = Packed(first.words, first.borrowed, None)
    chunk = bytearray(packed.chunk_bytes(np.zeros((0, 64)), stack))
    chunk[:4] = n.to_bytes(4, "little")
    return one + bytes(chunk)


def test_a_count_made_up_is_refused_before_anything_is_decoded(
    trained, pictures, tmp_path, command
):
    file, out = tmp_path / "forged.gjx", tmp_path / "x.npy"
    file.write_bytes(forged(pictures[1].read_bytes(), 2**32 - 1))
    run = trained.log.directory
    code, _, said = command("decode", run, file, f"--out={out}")
    assert code == 2 and "tells of 4294967295 pictures in" in said and said.count("\n") == 1
    assert not out.exists()
    # as many as there are bits are decoded, until the stack is empty or ends in something else
    few = forged(pictures[1].read_bytes(), 11)
    head = packed.read_head("f", few)
    (chunk,) = packed.read_chunks("f", few, head)
    nets = packing.nets(trained)._replace(buckets=Buckets(head.bits))
    with pytest.raises(bitsback.Mismatch):
        bitsback.decode(chunk.words, chunk.borrowed, 11, nets)
    # and who trusts the file may say so
    packed.read_chunks("f", forged(few, 10**6), packed.read_head("f", forged(few, 10**6)), 0.0)


def test_a_stack_is_empty_within_an_example():
    """A stack of one state holds no example of 4 latents of 16 bits."""
    with pytest.raises(bitsback.Mismatch, match="within an example"):
        bitsback.decode(np.array([1, 1], np.uint32), 0, 10**9, line(1.0))


def deep_png(shape: tuple[int, int]) -> bytes:
    """A PNG of 16 bits a channel in colour, which Pillow reads and does not write."""
    height, width = shape
    rows = (b"\0" + b"\x01\x02" * 3 * width) * height

    def part(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(part(*each) for each in parts)


def test_what_bytes_cannot_hold_is_not_dropped_without_a_word(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(deep_png((8, 8)))
    with pytest.raises(UserError, match="more than 8 bits a channel, which would be lost"):
        pack._picture(path, (8, 8, 3))
    path.write_bytes(b"P6 8 8 1023\n" + bytes(8 * 8 * 6))
    with pytest.raises(UserError, match="more than 8 bits a channel"):
        pack._picture(path, (8, 8, 3))
    plain = Image.new("RGB", (8, 8), (9, 8, 7))
    plain.save(path, transparency=(9, 8, 7))
    with pytest.raises(UserError, match="transparent pixels, which would be lost"):
        pack._picture(path, (8, 8, 3))
    plain.save(path, "TIFF", save_all=True, append_images=[plain])
    with pytest.raises(UserError, match="2 frames, which would be lost"):
        pack._picture(path, (8, 8, 3))
    for form in ("PNG", "TIFF", "PPM", "WEBP"):
        plain.save(path, form, lossless=True)
        assert (pack._picture(path, (8, 8, 3)) == (9, 8, 7)).all()


@pytest.mark.parametrize("verb", ["encode", "decode"])
def test_what_is_read_is_not_written_over(tmp_path, command, verb):
    path = tmp_path / "only.npy"
    path.write_bytes(b"the only copy")
    (tmp_path / "link").symlink_to(path)
    for out in (path, tmp_path / "link"):
        code, _, said = command(verb, tmp_path / "run", path, f"--out={out}")
        assert code == 2 and "is what is read" in said
    assert path.read_bytes() == b"the only copy"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("unpack", "RUN", "IN", "--out=x"), "is nothing to do: say encode or decode"),
        (("encode", "RUN", "IN"), "--out is not set"),
        (("encode", "RUN", "IN", "--out=x", "--bits=1"), "--bits=1 must be at least 2"),
        (("encode", "RUN", "none.npy", "--out=x"), "cannot be read as a .npy file"),
        (("encode", "RUN", "WIDE", "--out=x"), "and this model packs pictures of [8, 8, 1]"),
        (("encode", "RUN", "GREY", "--out=x"), "has the grey value 7, and the 17 levels"),
        (("decode", "RUN", "none.gjx", "--out=x"), "none.gjx cannot be read"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    trained, pictures, tmp_path, monkeypatch, command, arguments, message
):
    monkeypatch.chdir(tmp_path)
    np.save("wide.npy", np.zeros((2, 8, 9, 1), np.uint8))
    np.save("grey.npy", np.full((2, 8, 8), 7, np.uint8))
    names = {
        "RUN": trained.log.directory,
        "IN": pictures[0],
        "WIDE": "wide.npy",
        "GREY": "grey.npy",
    }
    code, _, said = command(*[names.get(each, each) for each in arguments])
    assert code == 2 and message in said and said.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_general_codecs_give_bytes():
    x = np.zeros((4, 8, 8, 1), np.uint8)
    x[:, 2:5] = 255
    grey, black = lossless.sizes(x), lossless.sizes(x, black=True)
    assert set(grey) == {"png_each", "png_sheet", "webp_each", "webp_sheet", "xz"}
    assert black["png_each"] <= grey["png_each"] and all(n > 0 for n in grey.values())
