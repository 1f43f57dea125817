"""What a user can get wrong: one line on stderr that names the thing and the remedy, exit code 2, and nothing lost."""

import functools
import gzip
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import (
    autoencoder,
    bits,
    diffusion,
    gan,
    gan_game,
    onestep,
    samplers,
    stacked,
    stylegan2,
    toy2d,
    vae,
)
from experiments import edit as edit_
from genjax import cli, config
from genjax.data import Digits, source
from genjax.training import loop as train
from genjax.training.log import Log
from genjax.training.preempt import alone

TINY = [
    "--steps=4",
    "--batch=8",
    "--algorithm.latent=2",
    "--algorithm.enc=MLP((8,))",
    "--algorithm.dec=MLP((8,))",
]
NOTES = ("run directory ", "preparing ", "step ", "skipped ")  # what a sound run tells


@pytest.fixture
def command(tmp_path, capsys):
    """command(*flags) -> (exit code, lines of stderr) of `python -m experiments.vae`, tiny and without a report."""

    def run(*flags):
        argv = ["--finish=()", f"--runs={tmp_path / 'runs'}", *TINY, *flags]
        with pytest.raises(SystemExit) as end:
            cli.main(vae.EXPERIMENTS, functools.partial(train.run, "vae"), vae.__doc__, argv)
        out, err = capsys.readouterr()
        assert not out and err.endswith("\n")
        return end.value.code, err.splitlines()

    return run


@pytest.fixture
def error(command):
    """error(*flags) -> the one line, without `error: `."""

    def run(*flags):
        code, lines = command(*flags)
        (line,) = [line for line in lines if not line.startswith(NOTES)]
        assert code == 2 and line == lines[-1] and line.startswith("error: ")
        return line.removeprefix("error: ")

    return run


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GENJAX_DATA", raising=False)
    monkeypatch.setattr(source, "DEBIAN", tmp_path / "not-installed")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("digit", "unknown ablation 'digit': choose from base, .* Did you mean digits"),
        ("digits --sed=1", "unknown flag --sed: .* Did you mean seed"),
        ("digits --beta=1", "unknown flag --beta: .* Did you mean algorithm.beta"),
        (
            "digits --algorithm.optimizer.lr=1",
            "optimizer.* Did you mean algorithm.optimiser.lr",
        ),
        ("digits --steps=many", "steps: expected int, got many"),
        ("digits --steps=1.5", r"steps: expected int, got 1\.5"),
        ("digits --algorithm.beta='4'", "algorithm.beta: expected float, got '4'"),
        ("digits --resident=1", "resident: expected bool, got 1"),
        ("digits --algorithm.likelihood=Bernouli()", "Did you mean Bernoulli"),
        ("digits --algorithm.enc=GateMLP((8,))", "Did you mean GatedMLP"),
        ("digits --layout=Jitt()", "constructors: Jit, Mesh, Pmap. Did you mean Jit"),
        (
            "--data=Digit()",
            "constructors: Aged, Blank, .* Digits, .* Toy, Unpaired, Workers. Did you mean Digits",
        ),
        ("digits --batch=0", "--batch=0 must be at least 1"),
        ("digits --steps=0", "--steps=0 must be at least 1"),
        ("digits --every.evaluate=-1", "--every.evaluate=-1 must be at least 0"),
        (f"digits --seed={2**32}", r"--seed=4294967296 must be less than 2\*\*32"),
        ("digits --seed=-1", "--seed=-1 must be at least 0"),
        ("digits --data=None", "must be configs: --data='Digits"),
        ("digits --algorithm=None", "must be configs: --data='Digits"),
        (
            "digits --algorithm.likelihood=Gaussian(scale=0.0)",
            "a Gaussian needs a scale above 0, got 0.0",
        ),
        ("digits --algorithm.likelihood=DiscretisedLogistic(1)", "at least 2 levels, got 1"),
        (
            "digits --algorithm.samples=2 --algorithm.beta=4 --algorithm.warmup=0",
            "has no KL term to weigh",
        ),
        ("digits --algorithm.enc=ConvEncoder((8,),patch=0)", "patch of at least 1"),
        ("--data=Toy(train=-1)", "--data.train=-1 must be at least 1"),
        ("--data=Toy(mixture=Ring(modes=0))", "at least one Gaussian"),
        (
            "digits --batch=1438",
            "batch 1438 is larger than the training set, 1437 examples: use --batch=1437 or less",
        ),
        ("digits --batch=6 --layout=Mesh()", "--batch=6 .*4 devices.* multiple of 4"),
        ("digits --batch=6 --layout=Pmap()", "--batch=6 .*4 devices.* multiple of 4"),
        (
            "digits --batch=6 --microbatches=4",
            "--microbatches=4 does not divide the 6 examples .* a multiple of 4",
        ),
        (
            "digits --batch=8 --microbatches=4 --layout=Mesh()",
            "--microbatches=4 .* 2 examples a device .* of 16",
        ),
        ("digits --microbatches=0", "--microbatches=0 must be at least 1"),
        ("digits --watchdog=-1", "--watchdog=-1.0 must be at least 0"),
        ("digits --hosts.count=2", "--hosts.count=2 needs --hosts.coordinator=host:port"),
        (
            "digits --hosts.coordinator=here --hosts.count=2",
            "--hosts.coordinator=here must be host:port",
        ),
        ("digits --layout=Mesh(fsdp=3)", r"Mesh\(data=-1, fsdp=3\) does not fill .*4 devices"),
        (
            "digits --data.valid=1437",
            "--data.valid=1437 must be at least 0 and less than the 1437 training examples",
        ),
        (
            "digits --algorithm.enc=ConvEncoder((8,8,8,8))",
            "divisible by 16, got .8, 8, 1.: change its patch or widths",
        ),
        ("--data=Folder()", "--data.path=FOLDER"),
        ("--data=Folder(path='/no/where')", "/no/where.* --data.path=FOLDER"),
        ("--data=Stock(name='mnist',data_dir='/no/where')", "mnist .*download_and_prepare"),
    ],
)
def test_a_wrong_flag_is_one_line(error, flags, told, tmp_path):
    line = error(*flags.split())
    assert re.search(told, line), line
    assert not list(tmp_path.glob("runs/*/*/checkpoints/*"))


# Data


def idx(path: Path, array: np.ndarray, lost: int = 0) -> None:
    """Writes an idx.gz file, on request without its last values."""
    content = (
        struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    )
    path.write_bytes(gzip.compress(content[: len(content) - lost]))


def fashion(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, n in (("train", 16), ("t10k", 8)):
        idx(
            folder / f"{part}-images-idx3-ubyte.gz",
            rng.integers(0, 256, (n, 28, 28)).astype(np.uint8),
        )
        idx(folder / f"{part}-labels-idx1-ubyte.gz", rng.integers(0, 10, n).astype(np.uint8))
    return folder


def test_a_missing_set_says_how_to_get_it(empty_cache, error, tmp_path):
    line = error()
    for told in (
        "Fashion-MNIST is not in",
        "apt-get install dataset-fashion-mnist",
        "--data.path=FOLDER",
        "GENJAX_DATA",
    ):
        assert told in line
    remedy = line.split("use ")[-1].strip(
        " ."
    )  # and the last remedy is a flag that the command line takes
    assert remedy == "--data=\"Stock(name='fashion_mnist')\""
    assert "fashion_mnist is not prepared" in error(
        remedy.replace('"', ""), f"--data.data_dir={tmp_path}"
    )


def test_a_truncated_file_is_named_and_its_mended_copy_is_taken(
    empty_cache, error, command, tmp_path
):
    folder = fashion(tmp_path / "fashion")
    images = folder / "t10k-images-idx3-ubyte.gz"
    whole = images.read_bytes()
    for cut in (gzip.compress(gzip.decompress(whole)[:-100]), whole[:-100]):
        images.write_bytes(cut)
        line = error(f"--data.path={folder}")
        assert (
            line.startswith(f"{images} is truncated")
            and "copy or download the file again" in line
        )
    images.write_bytes(whole)
    assert command(f"--data.path={folder}", "--every.evaluate=0", "--every.sample=0")[0] == 0


def pets(folder: Path, n: int = 12) -> Path:
    rng = np.random.default_rng(0)
    for name in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(rng.integers(0, 256, (9, 10, 3)).astype(np.uint8)).save(
                folder / name / f"{i}.png"
            )
    return folder


def test_an_unreadable_image_is_named_or_skipped_and_counted(
    empty_cache, error, command, tmp_path
):
    folder = pets(tmp_path / "pets")
    bad = folder / "train" / "dog" / "3.png"
    bad.write_bytes(bad.read_bytes()[:60])
    data = f"--data=Folder(path='{folder}', size=8)"
    line = error(data)
    assert (
        line.startswith(f"{bad} cannot be read as an image") and "--data.skip_bad=true" in line
    )
    code, lines = command(
        data, "--data.skip_bad=true", "--algorithm.condition=(Label(),)", "--every.sample=0"
    )
    assert code == 0 and lines[-1].startswith("done: ")
    (told,) = [line for line in lines if line.startswith("skipped ")]
    assert "skipped 1 unreadable of 48 images" in told and "train/dog/3.png" in told
    assert any("test bits_per_dim" in line for line in lines)


def test_a_set_without_test_examples_or_labels(empty_cache, error, tmp_path):
    folder = tmp_path / "flat"
    shutil.copytree(pets(tmp_path / "pets") / "train" / "cat", folder)
    data = f"--data=Folder(path='{folder}', size=8, test=0.0)"
    line = error(data)
    assert (
        line.startswith("flat has no test examples")
        and "--data.test=0.1" in line
        and "--every.evaluate=0" in line
    )
    line = error(data, "--algorithm.condition=(Label(),)", "--data.valid=2")
    assert (
        "--algorithm.condition=(Label(),) needs labels" in line
        and "use one with classes" in line
    )
    assert "batch 8 is larger than the training set, 7 examples" in error(
        data, "--data.valid=5"
    )


# The run directory


def test_a_run_directory_that_cannot_be_written(error, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for runs in ("/proc/genjax", tmp_path / "file"):
        line = error("digits", f"--runs={runs}")
        assert (
            line.startswith(f"cannot write {runs}") and "choose another run directory" in line
        )


@pytest.fixture
def trained(command, tmp_path):
    """The directory of a finished run of `digits`."""
    code, lines = command(
        "digits", "--every.evaluate=0", "--every.sample=0", "--every.save=2", "--chunk=1"
    )
    assert code == 0, lines
    (directory,) = tmp_path.glob("runs/vae/*")
    return directory


def contents(directory: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_checkpoints_that_cannot_be_gone_on_from(trained, command, error, tmp_path):
    before = contents(trained)
    flags = ["digits", "--every.evaluate=0", "--every.sample=0", "--every.save=2", "--chunk=1"]

    other = [
        *flags,
        "--algorithm.beta=4",
        "--seed=3",
    ]  # of another config: the directory was copied or renamed
    copy = trained.with_name(f"digits-{digest(other)}")
    shutil.copytree(trained, copy)
    line = error(*other)
    assert f"{copy}/checkpoints holds checkpoints of another config" in line
    assert (
        "algorithm.beta = 1.0 (now 4.0)" in line
        and "seed = 0 (now 3)" in line
        and "another run directory" in line
    )
    assert contents(copy) == before

    for step in (2, 4):  # none of them intact
        (trained / "checkpoints" / str(step) / "crc32.json").write_text("{")
    damaged = contents(trained)
    line = error(*flags)
    assert "no checkpoint in" in line and "step 4: " in line and "remove the directory" in line
    assert contents(trained) == damaged

    shutil.rmtree(trained / "checkpoints")  # the remedy
    (trained / "config.json").unlink()
    (trained / "config.json").mkdir()
    assert error(*flags).startswith(f"cannot write {trained}/config.json (Is a directory)")
    (trained / "config.json").rmdir()
    assert command(*flags)[0] == 0
    assert (trained / "metrics.jsonl").read_bytes() == before[Path("metrics.jsonl")]


def digest(flags: list[str]) -> str:
    """The digest of the config that the flags make."""
    found = []
    with pytest.raises(SystemExit):
        cli.main(
            vae.EXPERIMENTS,
            lambda cfg, name, origin: found.append(cfg),
            "",
            ["--finish=()", *TINY, *flags],
        )
    return config.digest(found[0])


def test_results_that_are_not_json(tmp_path):
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(
        train.UserError, match="results.json is not valid JSON: mend it or remove it"
    ):
        Log(tmp_path, 4, 8).result("iwae")


@pytest.mark.parametrize(
    "flag", ["--algorithm.latent=0", "--algorithm.samples=0", "--algorithm.beta=-1.0"]
)
def test_sizes_that_make_no_model(error, flag):
    assert error("digits", flag).startswith(f"{flag} must be at least ")


def test_what_makes_no_optimiser_is_refused(error):
    told = error("digits", "--algorithm.optimiser=Constant()")
    assert "--algorithm.optimiser=Constant() makes no optimiser" in told


def test_a_run_is_of_one_data_set(command, error, monkeypatch):
    # of sets that have no mark of their content the arrays tell it
    assert command("digits", "--batch=4")[0] == 0
    known = Digits.load
    monkeypatch.setattr(Digits, "load", lambda self: negative(known(self)))
    assert "was trained on other data" in error("digits", "--batch=4")


def negative(source):
    test = {**source.test, "image": 255 - source.test["image"]}
    return source._replace(test=test)


def test_one_process_at_a_time_has_a_run_directory(command, error, tmp_path):
    assert command("digits")[0] == 0
    (run,) = (tmp_path / "runs" / "vae").iterdir()
    with alone(run):
        assert error("digits").startswith(f"{run} is in use by another process")
    assert command("digits")[0] == 0


def test_an_experiment_refuses_what_its_report_cannot_measure(tmp_path, capsys):
    for module, flags, told in (
        (autoencoder, ["--data=Toy()"], "draws images"),
        (
            autoencoder,
            ["--data=Digits()", "--algorithm.dec=MLP((4,))"],
            "--finish.Reconstruction.angle=true",
        ),
        (
            autoencoder,
            ["plane", "--data=Digits()", "--algorithm.latent=3"],
            "leave --algorithm.latent",
        ),
        (toy2d, ["--data=Digits()"], "known density"),
        (vae, ["digits", "--finish.VaeBounds.by.samples=0"], "samples=0 must be at least 1"),
    ):
        with pytest.raises(SystemExit) as end:
            argv = [*flags, f"--runs={tmp_path}"]
            cli.main(
                module.EXPERIMENTS, functools.partial(train.run, "x"), module.__doc__, argv
            )
        assert end.value.code == 2 and told in capsys.readouterr().err


def test_results_of_an_earlier_training_are_forgotten(command, tmp_path):
    assert command("digits")[0] == 0
    (run,) = (tmp_path / "runs" / "vae").iterdir()
    (run / "results.json").write_text('{"iwae5000": {"log_p": -1.0}}')
    command("digits")
    assert (run / "results.json").exists()  # nothing was trained: they still hold
    shutil.rmtree(run / "checkpoints")
    command("digits")
    assert not (run / "results.json").exists()


@pytest.mark.parametrize(
    "module, flags, told",
    [
        (diffusion, ["--algorithm.net.patch=3"], "image 8x8 does not divide into patches of 3"),
        (
            diffusion,
            ["--algorithm.net=UNet(widths=(8,8,8),patch=4)"],
            "image 8x8 does not divide by 16",
        ),
        (
            diffusion,
            ["--algorithm.condition=()"],
            "sets the condition against none",
        ),
        (
            diffusion,
            ["--algorithm.schedule.steps=0"],
            "--algorithm.schedule.steps=0 must be at least 1",
        ),
        (
            diffusion,
            ["--finish.Samples.labels=(3,12)"],
            "digits has no class 12, its 10 classes are numbered from 0 to 9",
        ),
        (diffusion, ["--data=Toy()"], "this experiment draws images and ring has none"),
        (
            diffusion,
            ["--algorithm.ema=Power((0.5,))"],
            "an average's width must be above 0 and below 0.2887",
        ),
        (samplers, ["--finish.SamplerTables.steps=(4,0)"], "steps=0 must be at least 1"),
        (
            samplers,
            ["--finish.SamplerTables.scales=(2,2.0000001)"],
            "scales: two of its values are 2 in print: keep one",
        ),
        (
            edit_,
            ["--finish.Edits.coarse.factor=3"],
            "images of 8x8 do not divide into blocks of 3",
        ),
        (edit_, ["--finish.Edits.repeats=0"], "--finish.Edits.repeats=0 must be at least 1"),
        (edit_, ["--finish.Edits.jump=0"], "--finish.Edits.jump=0 must be at least 1"),
        (edit_, ["--finish.Edits.hole.top=0.9"], "a hole lies in the image"),
        (
            edit_,
            [
                "--algorithm.condition=(Picture(through=Grey()),)",
                "--algorithm.guidance=Guidance()",
                "--finish=()",
            ],
            "images (8, 8, 1) have no colour to lose",
        ),
        (
            edit_,
            ["--finish.Edits.strengths=(0.0,)"],
            "--finish.Edits.strengths=0.0 must be at least",
        ),
        (
            edit_,
            ["--algorithm.condition=(Label(),Picture(through=Coarse(2)))"],
            "leave Picture() out",
        ),
        (diffusion, ["--algorithm.schedule.first=1.0"], "noise levels that do not fall"),
        (
            diffusion,
            ["--algorithm.net=UNet((8,8),attention=(7,))"],
            "no map is 7 high, they are [4, 2]",
        ),
        (
            samplers,
            ["--finish.SamplerTables.widths=(0.4,)"],
            "widths: an average's width must be above 0",
        ),
        (bits, ["--finish.DiffusionBound.draws=0"], "draws=0 must be at least 1"),
        (bits, ["--algorithm.schedule.gamma_min=6.0"], "gamma_min=6 must be below"),
        (
            onestep,
            ["--algorithm.sampling_steps=0"],
            "--algorithm.sampling_steps=0 must be at least 1",
        ),
        (
            onestep,
            [
                "--algorithm.condition=()",
                "--finish.FewSteps.measure=Look()",
                "--algorithm.omega=2.0",
            ],
            "guide by the",
        ),
    ],
)
def test_diffusion_refuses_in_one_line_before_anything_is_compiled(
    module, flags, told, tmp_path, capsys
):
    with pytest.raises(SystemExit) as end:
        argv = ["digits", *flags, f"--runs={tmp_path}"]
        cli.main(module.EXPERIMENTS, functools.partial(train.run, "x"), module.__doc__, argv)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2 and error.startswith("error: ") and told in error
    assert not list(tmp_path.glob("x/*/checkpoints/[0-9]*"))


@pytest.mark.parametrize(
    "module, flags, told",
    [
        (
            gan,
            ["digits", "--algorithm.critic_steps=0"],
            "--algorithm.critic_steps=0 must be at least 1",
        ),
        (
            gan,
            ["digits", "--algorithm.critic_steps=5"],
            "critic_steps=5 does not divide the 64 examples",
        ),
        (
            gan,
            ["digits", "--algorithm.gen=R3Generator((8,8,8,8,8))"],
            "divisible by 16, got (8, 8, 1)",
        ),
        (
            gan,
            ["digits", "--algorithm.disc=ResnetDiscriminator((8,8,8,8))"],
            "divisible by 16, got (8, 8, 1)",
        ),
        (gan, ["digits", "--algorithm.augment=Ada(p=1.5)"], "p=1.5"),
        (
            gan,
            ["digits", "--algorithm.truncation=0.0"],
            "--algorithm.truncation=0.0 must be above 0",
        ),
        (gan, ["digits", "--watch.samples=30"], "got 30"),
        (gan, ["digits", "--data=Toy()"], "this experiment draws images and ring has none"),
        (gan_game, ["--data=Digits()"], "known density"),
        (
            gan_game,
            ["--algorithm.condition=(Label(),)"],
            "gan_game knows densities without labels only",
        ),
        (gan_game, ["--algorithm.augment=DiffAugment()"], "image"),
        (stylegan2, ["digits", "--finish.Styles.images=1000"], "images=1000 is more than the"),
        (
            stylegan2,
            ["digits", "--algorithm.synthesis.widths=(8,8,8,8,8,8)"],
            "cannot be halved 5 times",
        ),
        (stacked, ["--data=Digits()"], "stacked counts the 1000 modes"),
    ],
)
def test_gan_refuses_in_one_line(module, flags, told, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        argv = [*flags, f"--runs={tmp_path}"]
        cli.main(module.EXPERIMENTS, functools.partial(train.run, "x"), module.__doc__, argv)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2 and error.startswith("error: ") and told in error
    assert not list(tmp_path.glob("x/*/checkpoints/[0-9]*"))


def test_labels_outside_the_classes(monkeypatch, tmp_path, capsys):
    whole = Digits().load()
    wrong = whole.train | {"label": whole.train["label"] + 3}
    monkeypatch.setattr(Digits, "load", lambda self: whole._replace(train=wrong))
    with pytest.raises(SystemExit) as end:
        cli.main(
            diffusion.EXPERIMENTS,
            functools.partial(train.run, "x"),
            "",
            ["digits", f"--runs={tmp_path}"],
        )
    assert end.value.code == 2
    assert (
        "digits (train), field label has values from 3 to 12, expected 0 to 9"
        in capsys.readouterr().err
    )
