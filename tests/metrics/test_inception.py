"""Inception-2015 against torch-fidelity's numbers on weights made by a formula; resize, shapes and conversion."""

import hashlib
import sys
import zlib

import jax
import numpy as np
import pytest
from flax import traverse_util

from genjax.config import digest, to_json
from genjax.errors import UserError
from genjax.metrics.classifier import Convolutional
from genjax.metrics.features import Components, Pixels, RandomNet, save_arrays
from genjax.metrics.inception import Inception, convert, load, main, prepare, shapes, torch_name
from genjax.nets.inception import InceptionV3

# Made by torch-fidelity 0.4.0 (PyTorch 2.13, CPU): its FeatureExtractorInceptionV3 with the weights `made_up` below, on
# `picture(2, 32, 32, 3)`: of each level mean, standard deviation and last number; some of the 2048, two of every branch
# of the last block.
LEVELS = {
    "64": [[0.531321, 0.498391, 0.028332], [0.507234, 0.467092, 0.0135968]],
    "192": [[0.845608, 0.877108, 1.33142], [0.80731, 0.868081, 1.26542]],
    "768": [[1.22785, 1.61021, 1.2407], [1.13878, 1.50765, 1.09075]],
    "2048": [[1.83102, 2.46044, 0.628235], [1.71619, 2.30278, 0.721814]],
    "logits_unbiased": [[0.0476916, 3.07884, -2.35786], [0.0504858, 2.87532, -2.24585]],
}
PLACES = [2, 317, 320, 695, 704, 1082, 1089, 1468, 1473, 1852, 1859, 2047]
FEATURES = [
    [
        1.19704,
        1.84869,
        1.0043,
        0.368525,
        1.03692,
        1.19475,
        1.34967,
        0.426411,
        2.61391,
        2.7678,
        2.72858,
        0.628235,
    ],
    [
        1.05248,
        1.64799,
        0.83459,
        0.277917,
        0.890002,
        1.06402,
        1.20394,
        0.357876,
        2.21106,
        2.34596,
        2.99943,
        0.721814,
    ],
]
LOGITS = [
    [-3.12939, -0.116704, 1.38702, -2.35786],
    [-2.88099, -0.012273, 1.24984, -2.24585],
]  # 0, 1, 500 and 1007
KEYS = "d84f693f2abd7fea"  # of the keys and shapes of its state dict


def uniform(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers in [-1/2, 1/2) that are a function of key and shape under any numpy: raw draws of Philox."""
    raw = np.random.Philox(key=zlib.crc32(key.encode())).random_raw(int(np.prod(shape)))
    return ((raw >> np.uint64(11)) * 2.0**-53 - 0.5).reshape(shape)


def made_up(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The entry `key` of a state dict: kernels of variance 2 / fan in, batch norm near the identity."""
    u = uniform(key, shape)
    if key.endswith("conv.weight"):
        u *= np.sqrt(24.0 / np.prod(shape[1:]))
    elif key.endswith(("bn.weight", "bn.running_var")):
        u = 1.0 + 0.8 * u
    elif key == "fc.weight":
        u *= np.sqrt(12.0 / shape[1])
    return u.astype(np.float32)


def picture(n: int, h: int, w: int, c: int) -> np.ndarray:
    """Blocks of 8 x 8 pixels of one colour and noise, uint8 [n, h, w, c]; exact arithmetic of integers."""

    def bytes_(*shape):
        return np.floor((uniform(f"picture {shape}", shape) + 0.5) * 256).astype(np.int64)

    blocks = np.kron(bytes_(n, -(-h // 8), -(-w // 8), c), np.ones((1, 8, 8, 1), np.int64))[
        :, :h, :w
    ]
    return ((7 * blocks + bytes_(n, h, w, c)) // 8).astype(np.uint8)


def torch_shapes() -> dict[str, tuple[int, ...]]:
    """The keys and shapes of PyTorch's state dict, by our net."""
    order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    flat = traverse_util.flatten_dict(shapes())
    return {
        torch_name(path): tuple(s.shape[i] for i in order[len(s.shape)])
        for path, s in flat.items()
    }


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    return {key: made_up(key, shape) for key, shape in torch_shapes().items()}


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    """The file of the converted weights."""
    path = tmp_path_factory.mktemp("inception") / "made_up.npz"
    save_arrays(path, convert(state))
    return path


def test_structure():
    keys = torch_shapes()
    assert sum(key.endswith("conv.weight") for key in keys) == 94
    # torchvision counts 23,834,568 without the auxiliary head and with 1000 classes
    learned = sum(int(np.prod(shape)) for key, shape in keys.items() if "running" not in key)
    assert learned == 23_834_568 + 8 * (2048 + 1)
    lines = "\n".join(sorted(f"{key} {shape}" for key, shape in keys.items()))
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == KEYS
    out = jax.eval_shape(
        InceptionV3().apply, {"params": shapes()}, np.zeros((2, 299, 299, 3), np.float32)
    )
    widths = {name: int(name) if name.isdigit() else 1008 for name in LEVELS}
    assert {name: value.shape for name, value in out.items()} == {
        name: (2, n) for name, n in widths.items()
    }


def test_features_are_those_of_torch_fidelity(weights):
    extract = Inception(str(weights), batch=2).fit()
    found = extract(picture(2, 32, 32, 3))
    assert (
        found.features.dtype == np.float32
        and found.features.shape == (2, 2048)
        and found.logits.shape == (2, 1008)
    )
    np.testing.assert_allclose(found.features[:, PLACES], FEATURES, rtol=1e-4)
    np.testing.assert_allclose(found.logits[:, [0, 1, 500, 1007]], LOGITS, rtol=1e-4, atol=1e-4)
    as_floats = extract((picture(2, 32, 32, 3) + 0.3) / 255.0)  # rounded to bytes again
    np.testing.assert_array_equal(as_floats.features, found.features)
    net = jax.jit(lambda params, image: InceptionV3().apply({"params": params}, prepare(image)))
    for name, value in net(load(weights), picture(2, 32, 32, 3)).items():
        x = np.asarray(value, np.float64)
        np.testing.assert_allclose(
            np.stack([x.mean(1), x.std(1), x[:, -1]], 1), LEVELS[name], rtol=1e-4, atol=1e-4
        )


def test_resize_is_that_of_tensorflow_1():
    image = picture(1, 5, 400, 3)  # one side grows, one shrinks
    found = np.asarray(prepare(image))[0]
    assert found.shape == (299, 299, 3)

    def along(x: np.ndarray) -> np.ndarray:  # the formula, along the first axis
        rows = []
        for i in range(299):
            place = i * len(x) / 299
            low = int(place)
            rows.append(x[low] + (place - low) * (x[min(low + 1, len(x) - 1)] - x[low]))
        return np.stack(rows)

    wanted = along(along(image[0].astype(np.float64)).transpose(1, 0, 2)).transpose(1, 0, 2)
    np.testing.assert_allclose(found, (wanted - 128) / 128, atol=2e-6)
    grey = picture(2, 28, 28, 1)
    np.testing.assert_array_equal(prepare(grey), prepare(np.repeat(grey, 3, -1)))
    same = picture(1, 299, 299, 3)
    np.testing.assert_array_equal(prepare(same), (same - 128.0) / 128)


def test_converter_reads_what_torch_writes(state, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    tensors = {key: torch.from_numpy(array) for key, array in state.items()}
    extra = {
        key.replace("running_mean", "num_batches_tracked"): torch.tensor(7)
        for key in state
        if "_mean" in key
    }
    torch.save({**tensors, **extra}, tmp_path / "w.pth")
    assert main(["convert", str(tmp_path / "w.pth"), str(tmp_path / "out" / "w.npz")]) == 0
    read = load(tmp_path / "out" / "w.npz")
    np.testing.assert_array_equal(
        read["Mixed_6b"]["branch7x7_2"]["kernel"][0, 5, 3, 9],
        state["Mixed_6b.branch7x7_2.conv.weight"][9, 3, 0, 5],
    )
    np.testing.assert_array_equal(read["fc"]["kernel"], state["fc.weight"].T)
    np.testing.assert_array_equal(
        read["Conv2d_1a_3x3"]["var"], state["Conv2d_1a_3x3.bn.running_var"]
    )
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(read))
    torch.save({"fc.weight": [1, 2]}, tmp_path / "list.pth")
    (tmp_path / "text.pth").write_text("not a state dict")
    for name in ("list.pth", "text.pth", "none.pth"):
        assert main(["convert", str(tmp_path / name), str(tmp_path / "w.npz")]) == 2
        message = capsys.readouterr().err
        assert (
            message.startswith("error: ")
            and message.count("\n") == 1
            and "weights-inception-2015-12-05" in message
        )


def test_converter_says_what_does_not_match(state, tmp_path, monkeypatch, capsys):
    some = dict(state)
    kernel = some.pop("Mixed_7c.branch1x1.conv.weight")
    with pytest.raises(UserError, match="1 keys do not match, Mixed_7c.branch1x1.conv.weight"):
        convert(some)
    with pytest.raises(UserError, match="1 keys do not match, AuxLogits.fc.weight"):
        convert({**state, "AuxLogits.fc.weight": kernel})
    with pytest.raises(
        UserError, match=r"Mixed_7c.branch1x1.conv.weight has the shape \(320, 2047, 1, 1\)"
    ):
        convert({**some, "Mixed_7c.branch1x1.conv.weight": kernel[:, 1:]})
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "w.pth").write_bytes(b"")
    assert main(["convert", str(tmp_path / "w.pth"), str(tmp_path / "w.npz")]) == 2
    assert "pip install torch" in capsys.readouterr().err and not (tmp_path / "w.npz").exists()


def test_missing_and_strange_weights(tmp_path):
    path = tmp_path / "w.npz"
    command = f"python -m genjax.metrics.inception convert weights-inception-2015-12-05-6726825d.pth {path}"
    with pytest.raises(UserError, match="there are no Inception weights") as missing:
        Inception(str(path)).fit()
    assert command in str(missing.value) and "\n" not in str(missing.value)
    for content in ({"fc": {"kernel": np.zeros((2, 2), np.float32)}}, None):
        if content:
            save_arrays(path, content)
        else:
            path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(UserError, match="holds no Inception weights") as strange:
            Inception(str(path)).fit()
        assert command in str(strange.value)
    with pytest.raises(UserError, match="levels 64, 192, 768, 2048"):
        Inception(str(path), features=100).fit()
    assert Inception().name == "inception" and Inception(features=768).name == "inception768"


def test_the_logits_are_of_other_classes_than_the_datas():
    assert Inception().classes == "imagenet"
    assert Convolutional().classes == "data"
    # what an extractor is, not how it is set: no part of a config, so digests stay
    assert "classes" not in to_json(Inception()) + to_json(Convolutional())
    assert digest(Inception()) == "fe717945" and digest(Convolutional()) == "f02e5eb9"
    for without in (Components(), Pixels(), RandomNet()):
        assert not hasattr(without, "classes")  # they have no logits
