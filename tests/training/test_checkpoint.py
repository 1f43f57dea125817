"""Checkpoints: exact in every dtype and layout, whole after a kill, and never silently wrong after damage."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.core import State
from genjax.errors import UserError
from genjax.training import checkpoint
from genjax.training.checkpoint import SUMS, Checkpoints

CONFIG = '{"algorithm": {"beta": 1.0, "net": {"width": 64}}, "seed": 0}'


def state_at(step: int, width: int = 16) -> State:
    """A state of every kind of leaf, all of which depend on `step`."""
    params = {
        "net": {
            "kernel": jnp.arange(width * 64.0).reshape(width, 64) + step / 3,
            "half": jnp.full(8, step, "bfloat16"),
        }
    }
    return State(
        step=jnp.int32(step),
        params=params,
        opt={"loss": optax.adamw(1e-3).init(params)},
        ema={},
        extra={
            "key": jax.random.key(step),
            "count": jnp.arange(5, dtype="uint32") * step,
            "on": jnp.array(step % 2 == 0),
        },
    )


def like(state, sharding=None):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), state
    )


def bits(tree):
    keys = jax.tree.map(
        lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x,
        tree,
    )
    return [(np.asarray(x).dtype, np.asarray(x).tobytes()) for x in jax.tree.leaves(keys)]


def write(directory, steps, keep=2):
    checkpoints = Checkpoints(directory, CONFIG, keep)
    for step in steps:
        checkpoints.save(step, state_at(step), {"loss": step / 3})
    checkpoints.close()


def read(directory, config=CONFIG, target=None):
    checkpoints = Checkpoints(directory, config)
    try:
        return checkpoints.restore(like(state_at(0)) if target is None else target)
    finally:
        checkpoints.close()


def newest_step(directory: Path) -> int:
    return max(
        (int(path.name) for path in directory.iterdir() if path.name.isdigit()), default=0
    )


def data_file(step_dir: Path) -> Path:
    """The largest file of the state: it holds the arrays."""
    return max(
        (path for path in (step_dir / "state").rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )


def run(code: str, *args, flags: str = "", **kwargs) -> subprocess.Popen:
    env = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}",
    }
    env |= {"XLA_FLAGS": flags} if flags else {}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


def test_restores_every_dtype_exactly_and_keeps_the_newest(tmp_path, capfd):
    assert read(tmp_path) is None
    write(tmp_path, [1, 2, 3])
    state, meta = read(tmp_path)
    assert jax.tree.structure(state) == jax.tree.structure(state_at(3))
    assert bits(state) == bits(state_at(3))
    assert meta == {"loss": 3 / 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]
    assert capfd.readouterr() == ("", "")


def test_meta_floats_are_exact(tmp_path):
    meta = {"best": 0.1 + 0.2, "tiny": 5e-324, "n": 2**60, "names": ["a", None, True]}
    checkpoints = Checkpoints(tmp_path, CONFIG)
    checkpoints.save(1, state_at(1), meta)
    assert checkpoints.restore(like(state_at(1)))[1] == meta
    checkpoints.close()


def test_saving_an_existing_or_older_step_is_a_no_op(tmp_path):
    write(tmp_path, [1, 2])
    before = (tmp_path / "2" / SUMS).stat().st_mtime_ns
    write(tmp_path, [2, 1])
    assert (tmp_path / "2" / SUMS).stat().st_mtime_ns == before
    assert bits(read(tmp_path)[0]) == bits(state_at(2))


def test_every_save_first_gives_back_what_the_last_one_left(tmp_path, monkeypatch):
    trims, trim = [], checkpoint.trim_memory
    monkeypatch.setattr(checkpoint, "trim_memory", lambda: trims.append(1) or trim())
    checkpoints = Checkpoints(tmp_path, "{}")
    for step in (1, 2, 3):
        checkpoints.save(step, {"a": jnp.ones(2)}, {})
        assert len(trims) == step
    checkpoints.close()


def test_donated_buffers_do_not_reach_a_save_in_the_background(tmp_path):
    add = jax.jit(lambda x: x + 1.0, donate_argnums=0)
    checkpoints = Checkpoints(tmp_path, CONFIG, keep=4)
    x = add(jnp.zeros((1024, 1024)))
    for step in (1, 2, 3):
        value = float(x.copy()[0, 0])
        checkpoints.save(step, {"x": x}, {})
        for _ in range(5):
            x = add(x)
        x.block_until_ready()
        restored, _ = checkpoints.restore({"x": jax.ShapeDtypeStruct(x.shape, x.dtype)})
        assert (np.asarray(restored["x"]) == value).all()
    checkpoints.close()


def truncate(file: Path):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_one_bit(file: Path):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    "damage", [truncate, flip_one_bit, Path.unlink, lambda file: file.write_bytes(b"garbage")]
)
@pytest.mark.parametrize(
    "find",
    [
        data_file,
        lambda d: d / "state/manifest.ocdbt",
        lambda d: d / "meta/metadata",
        lambda d: d / SUMS,
    ],
)
def test_a_corrupt_newest_checkpoint_gives_way_to_the_one_before(
    pair, tmp_path, capfd, damage, find
):
    directory = tmp_path / "run"
    shutil.copytree(pair, directory)
    damage(find(directory / "2"))
    state, meta = read(directory)
    assert bits(state) == bits(state_at(1)) and meta == {"loss": 1 / 3}
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "step 2" in err and "going on from step 1" in err
    assert sorted(path.name for path in directory.iterdir()) == ["1", "2.corrupt"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pair") / "run"
    write(directory, [1, 2])
    return directory


def test_a_step_moved_aside_can_be_saved_again(pair, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(pair, directory)
    for _ in range(2):  # twice: also over an older .corrupt
        flip_one_bit(data_file(directory / "2"))
        checkpoints = Checkpoints(directory, CONFIG)
        assert int(checkpoints.restore(like(state_at(0)))[0].step) == 1
        checkpoints.save(2, state_at(2), {})
        assert int(checkpoints.restore(like(state_at(0)))[0].step) == 2
        checkpoints.close()


def test_no_intact_checkpoint_is_an_error_that_touches_nothing(pair, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(pair, directory)
    truncate(data_file(directory / "1"))
    shutil.rmtree(directory / "2" / "state")
    for _ in range(2):
        with pytest.raises(
            UserError, match="no checkpoint in .* is intact .*remove the directory"
        ):
            read(directory)
    assert sorted(path.name for path in directory.iterdir()) == ["1", "2"]


def test_another_config_is_named_by_its_fields(pair):
    other = '{"algorithm": {"beta": 4.0, "net": {"width": 64, "depth": 2}}, "seed": 0}'
    with pytest.raises(
        UserError,
        match=r"algorithm\.beta = 1\.0 \(now 4\.0\), algorithm\.net\.depth = absent \(now 2\); choose",
    ):
        read(pair, other)


def test_another_state_is_named_by_its_leaf(pair):
    other = state_at(0, width=32)
    with pytest.raises(
        UserError, match=r"params\.net\.kernel is float32\[16,64\] \(now float32\[32,64\]\)"
    ):
        read(pair, target=like(other))
    with pytest.raises(UserError, match=r"ema\.net is absent \(now float32\[2\]\)"):
        read(pair, target=like(state_at(0).replace(ema={"net": jnp.zeros(2)})))


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for directory in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/genjax")):
        with pytest.raises(
            UserError,
            match="cannot write .*: free space, mend its permissions or choose another run",
        ):
            Checkpoints(directory, CONFIG)


def test_a_failed_write_keeps_the_previous_checkpoint(tmp_path):
    """A file size limit stands in for a full disk: the kernel refuses the bytes in the same way."""
    code = """
        import resource, sys
        from pathlib import Path
        from test_checkpoint import *
        checkpoints = Checkpoints(sys.argv[1], CONFIG)
        checkpoints.save(1, state_at(1), {})
        checkpoints.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        # a write that Orbax never came to, as is left now and then: Python would complain of it on stderr at exit
        exec(compile("async def write(): pass", "/somewhere/orbax/serialization.py", "exec"))
        never = write()
        rng = np.random.default_rng(0)
        big = {str(i): jnp.asarray(rng.standard_normal(20_000)) for i in range(40)}  # many arrays fail in many threads
        checkpoints.save(2, big, {})
        try:
            checkpoints.save(3, big, {})
        except UserError as error:
            print(error)
        print(checkpoints.all_steps(), sorted(path.name for path in Path(sys.argv[1]).iterdir()))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        checkpoints.save(2, state_at(2), {})
        print(int(checkpoints.restore(like(state_at(0)))[0].step))
        checkpoints.close()
    """
    out, err = run(code, tmp_path).communicate(timeout=60)
    message = f"disk full while saving step 2 in {tmp_path}: free some space and run the same command again; "
    assert out == f"{message}the checkpoint of step 1 is intact\n[1] ['1']\n2\n" and err == ""


@pytest.fixture
def small_disk(tmp_path):
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("mounting is not permitted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("left", [200_000, 0])
def test_a_full_disk_keeps_the_previous_checkpoint(small_disk, left):
    directory = small_disk / "run"
    checkpoints = Checkpoints(directory, CONFIG)
    checkpoints.save(1, state_at(1), {})
    checkpoints.wait()
    free = shutil.disk_usage(small_disk).free
    (small_disk / "ballast").write_bytes(bytes(free - left))
    x = jnp.asarray(np.random.default_rng(0).standard_normal(500_000))
    with pytest.raises(
        UserError, match="disk full while saving step 2 .* the checkpoint of step 1 is intact"
    ):
        checkpoints.save(2, {"x": x}, {})
        checkpoints.wait()
    assert checkpoints.all_steps() == [1]
    checkpoints.close()
    (small_disk / "ballast").unlink()
    assert bits(read(directory)[0]) == bits(state_at(1))


def test_a_kill_in_mid_save_leaves_only_whole_checkpoints(tmp_path):
    code = """
        import itertools, sys
        from test_checkpoint import *
        checkpoints = Checkpoints(sys.argv[1], CONFIG)
        found = checkpoints.restore(like(state_at(0, 256)))
        first = 0 if found is None else int(found[0].step)
        assert found is None or bits(found[0]) == bits(state_at(first, 256))
        print(first, flush=True)
        for step in itertools.count(first + 1):
            checkpoints.save(step, state_at(step, 256), {})
    """
    rng = np.random.default_rng(0)
    firsts, torn = [], 0
    while len(firsts) < 3 or (not torn and len(firsts) < 8):
        process = run(code, tmp_path)
        line = process.stdout.readline()
        assert line, process.stderr.read()
        firsts.append(int(line))
        deadline = time.monotonic() + 30
        while newest_step(tmp_path) == firsts[-1] and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2 * rng.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        torn += any("tmp" in path.name for path in tmp_path.iterdir())
    newest = newest_step(tmp_path)
    checkpoints = Checkpoints(tmp_path, CONFIG)
    state, _ = checkpoints.restore(like(state_at(0, 256)))
    checkpoints.close()
    assert int(state.step) == newest > firsts[-1] > firsts[0] == 0 and bits(state) == bits(
        state_at(newest, 256)
    )
    assert torn, "no kill came in the middle of a save"
    assert not list(tmp_path.glob("*tmp*")) and not list(tmp_path.glob("*.corrupt"))


def test_restores_on_another_number_of_devices(tmp_path):
    code = """
        import sys
        from test_checkpoint import *
        from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
        devices = np.array(jax.devices())
        want = np.random.default_rng(0).standard_normal((8, 4)).astype("float32")
        split = lambda n, *axes: NamedSharding(Mesh(devices[:n], "d"), P(*axes))
        save = {"x": jax.device_put(want, split(4, "d")), "key": jax.device_put(jax.random.key(3), split(4))}
        checkpoints = Checkpoints(sys.argv[1], CONFIG)
        checkpoints.save(1, save, {})
        for sharding in (split(2, None, "d"), split(1), split(3)):
            target = like(save, split(sharding.mesh.size))
            target["x"] = jax.ShapeDtypeStruct(want.shape, want.dtype, sharding=sharding)
            state, _ = checkpoints.restore(target)
            assert state["x"].sharding == sharding and (np.asarray(state["x"]) == want).all()
            assert bits(state["key"]) == bits(save["key"])
        checkpoints.close()
        print("same")
    """
    out, err = run(
        code, tmp_path, flags="--xla_force_host_platform_device_count=4"
    ).communicate(timeout=60)
    assert out == "same\n", err


def test_every_file_of_state_and_meta_has_a_checksum(pair):
    sums = json.loads((pair / "2" / SUMS).read_text())
    files = {
        str(path.relative_to(pair / "2")) for path in (pair / "2").rglob("*") if path.is_file()
    }
    assert {name for name in files if "/" in name} == set(sums)
