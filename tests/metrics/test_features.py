"""Extractors against exact answers: whitened components, a random net by hand, batches over devices, a classifier."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import config
from genjax.data.batches import order
from genjax.errors import UserError
from genjax.machine.parallel import Jit, Mesh, Pmap
from genjax.metrics import classifier, components
from genjax.metrics.classifier import ConvNet, Convolutional, accuracy, augment, fingerprint
from genjax.metrics.features import (
    Components,
    Extracted,
    Pixels,
    RandomNet,
    batched,
    load_arrays,
    random_weights,
    save_arrays,
)
from genjax.metrics.frechet import frechet, moments
from genjax.optim import Adam, CosineDecay

RISE = Adam(3e-3, weight_decay=0.02, warmup=20, decay=CosineDecay())
SMALL = Convolutional(
    widths=(16, 32), features=24, steps=200, batch=64, optimiser=RISE, extract_batch=100
)


@pytest.fixture(scope="module")
def halves(digits):
    """The training and the test split of `genjax.data.Digits`."""
    shuffled = order(0, 0, 1797)
    return tuple(
        {name: v[part] for name, v in digits.items()}
        for part in (shuffled[:1437], shuffled[1437:])
    )


@pytest.fixture(scope="module")
def fitted(halves, tmp_path_factory):
    """A small classifier of the digits and the folder that keeps it."""
    folder = tmp_path_factory.mktemp("fitted") / "new"
    return SMALL.fit(halves[0], folder), folder


def test_pixels_are_in_the_unit_interval(halves):
    extract, image = Pixels().fit(halves[0]), halves[1]["image"]
    found = extract(image)
    assert found.logits is None and found.features.dtype == np.float32
    np.testing.assert_array_equal(
        found.features, image.reshape(360, 64).astype(np.float32) / 255
    )
    np.testing.assert_allclose(extract(image / 255.0).features, found.features, rtol=1e-6)
    np.testing.assert_array_equal(
        extract(np.full((1, 1, 2, 1), [[[-1.0], [3.0]]])).features, [[0.0, 1.0]]
    )


def test_components_whiten_the_training_images(halves):
    train, test = halves
    extract = Components(16).fit(train)
    f = extract(train["image"]).features.astype(np.float64)
    assert f.shape == (1437, 16) and Components(16).name == "pca16"
    np.testing.assert_allclose(f.mean(0), 0.0, atol=1e-4)
    np.testing.assert_allclose(np.cov(f.T), np.eye(16), atol=2e-3)
    few = {name: v[:20] for name, v in train.items()}
    # 20 images less their mean vary in 19 directions
    assert Components(64).fit(few)(test["image"]).features.shape == (360, 19)
    same = {"image": np.full((9, 2, 2, 1), 7, np.uint8)}
    with pytest.raises(UserError, match="all training images are the same"):
        Components(2).fit(same)
    with pytest.raises(UserError, match="k must be at least 1"):
        Components(0).fit(train)


def test_a_trace_of_noise_is_no_distance(halves):
    """Three pixels of the digits are black in all images: a component of them is rounding, whitened."""
    image = halves[0]["image"] / np.float32(255.0)
    noise = 0.002 * np.random.default_rng(0).standard_normal(image.shape)
    extract = Components(64).fit(halves[0])
    real, noisy = (extract(x).features for x in (image, image + noise.astype(np.float32)))
    assert real.shape == (1437, 58)
    assert 0.0 < frechet(moments(real), moments(noisy)) < 0.2  # 4e8 with all 64


@pytest.mark.parametrize("n", [150, 400])
def test_components_are_those_of_scikit_learn_whichever_way_they_are_found(n, monkeypatch):
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(1)
    spectrum = 0.85 ** np.arange(240)
    basis = np.linalg.qr(rng.standard_normal((240, 240)))[0]
    x = 0.5 + 0.02 * (rng.standard_normal((n, 240)) * spectrum) @ basis
    images = x.astype(np.float32).reshape(n, 12, 20, 1)
    exact = PCA(10, svd_solver="full").fit(images.reshape(n, -1).astype(np.float64))
    monkeypatch.setattr(components, "CHUNK", 7000)  # several chunks
    for limit in (4096, 0):  # by the smaller side, by a range
        monkeypatch.setattr(components, "EXACT", limit)
        found = components.principal(images, 10)
        np.testing.assert_allclose(found.variance, exact.explained_variance_, rtol=1e-4)
        cosines = np.abs(np.sum(found.directions * exact.components_, 1))
        np.testing.assert_allclose(cosines, 1.0, atol=1e-4)
        np.testing.assert_allclose(found.mean, exact.mean_, atol=1e-6)


def test_random_net_is_what_its_weights_say(halves):
    train, test = halves
    image = test["image"][:5]
    found = RandomNet(8, seed=3, batch=3).fit(train)(image).features
    kernel, last = random_weights(3, 8, (8, 8, 1))
    x = np.pad(
        2.0 * image / 255.0 - 1.0, ((0, 0), (0, 1), (0, 1), (0, 0))
    )  # stride 2 reaches one beyond
    maps = np.zeros((5, 4, 4, 8))
    for a in range(3):
        for b in range(3):
            maps += x[:, a : a + 7 : 2, b : b + 7 : 2] @ kernel[a, b]
    np.testing.assert_allclose(
        found, np.maximum(maps, 0.0).reshape(5, -1) @ last, rtol=1e-4, atol=1e-5
    )
    assert not np.allclose(RandomNet(8, seed=4).fit(train)(image).features, found)
    assert 0.1 < RandomNet().fit(train)(test["image"]).features.std() < 10.0
    assert [w.shape for w in random_weights(0, 6, (64, 48, 3))[:2]] == [
        (3, 3, 3, 6),
        (3, 3, 6, 6),
    ]
    assert random_weights(0, 6, (64, 48, 3))[-1].shape == (4 * 3 * 6, 6)
    with pytest.raises(UserError, match="width of 1"):
        RandomNet(0).fit(train)


def test_batches_over_devices_give_the_same(halves, fitted):
    train, test = halves
    image = test["image"][:103]  # divides neither by the batch nor by the devices
    assert jax.device_count() == 4
    here = RandomNet(8, batch=30).fit(train)(image).features
    for layout in (Mesh(), Mesh(fsdp=2), Pmap()):
        there = RandomNet(8, batch=30).fit(train, None, layout)(image).features
        np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-5)
    extract, folder = fitted
    there = SMALL.fit(train, folder, Mesh())(image)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        there,
        extract(image),
    )


def test_the_batch_has_one_size_and_every_image_one_row():
    traced = []

    def fn(scale, image):
        traced.append(image.shape)
        return Extracted(scale * image[:, 0, 0, :].astype(jnp.float32), None)

    extract = batched(fn, jnp.float32(2.0), (1, 1, 1), Jit(), 4)
    for n in (1, 4, 11):
        found = extract(np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1))
        np.testing.assert_array_equal(found.features[:, 0], 2.0 * np.arange(n))
        assert found.logits is None
    assert traced == [(4, 1, 1, 1)]
    for wrong in (np.zeros((2, 1, 2, 1)), np.zeros((0, 1, 1, 1))):
        with pytest.raises(ValueError, match="features are of images"):
            extract(wrong)


def test_classifier_learns_the_digits(halves, fitted):
    extract, _ = fitted
    train, test = halves
    assert accuracy(extract, test) > 0.97
    found = extract(test["image"])
    assert found.features.shape == (360, 24) and found.logits.shape == (360, 10)
    assert accuracy(extract, {**test, "label": (test["label"] + 1) % 10}) < 0.05
    np.testing.assert_allclose(
        extract(test["image"] / 255.0).logits, found.logits, rtol=1e-3, atol=1e-3
    )
    with pytest.raises(ValueError, match="no logits"):
        accuracy(Pixels().fit(train), test)


def test_features_are_the_layer_before_the_logits(halves, fitted):
    extract, folder = fitted
    found = extract(halves[1]["image"])
    (path,) = folder.iterdir()
    with np.load(path, allow_pickle=False) as file:
        kernel, bias = file["params/Dense_1/kernel"], file["params/Dense_1/bias"]
    np.testing.assert_allclose(
        found.features @ kernel + bias, found.logits, rtol=1e-3, atol=1e-4
    )


def test_the_fit_is_stored_and_read_back(halves, fitted, tmp_path, monkeypatch, capsys):
    extract, folder = fitted
    train, test = halves
    assert len(list(folder.iterdir())) == 1
    trained = []
    real_train = classifier._train
    monkeypatch.setattr(
        classifier, "_train", lambda *args: trained.append(1) or real_train(*args)
    )
    again = SMALL.fit(train, str(folder))(test["image"])
    assert not trained
    jax.tree.map(np.testing.assert_array_equal, again, extract(test["image"]))
    quick = config.edit(SMALL, {"epochs": 1, "batch": 600})
    one = quick.fit(train, tmp_path)(test["image"])
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-500])  # damaged: trained again, to the same bits
    assert "2 steps of 600" in capsys.readouterr().err
    jax.tree.map(np.testing.assert_array_equal, quick.fit(train, tmp_path)(test["image"]), one)
    assert "warning: " in capsys.readouterr().err and len(trained) == 2
    quick.fit(train, tmp_path)
    config.edit(quick, {"extract_batch": 7}).fit(
        train, tmp_path
    )  # carried out otherwise, the same fit
    assert len(trained) == 2 and len(list(tmp_path.iterdir())) == 1
    other = {"image": train["image"], "label": train["label"][::-1]}
    for cfg, split in ((config.edit(quick, {"seed": 1}), train), (quick, other)):
        assert not np.array_equal(cfg.fit(split, tmp_path)(test["image"]).logits, one.logits)
    assert len(trained) == 4 and len(list(tmp_path.iterdir())) == 3


def test_fingerprint_sees_every_byte():
    split = {"image": np.zeros((5000, 2, 2, 1), np.uint8), "label": np.zeros(5000, np.int32)}
    marks = [fingerprint(split)]
    for name, place in (("image", (4999, 1, 1, 0)), ("label", 4095), ("label", 4096)):
        array = split[name].copy()
        array[place] = 1
        marks.append(fingerprint({**split, name: array}))
    marks.append(fingerprint({**split, "image": split["image"].reshape(5000, 1, 4, 1)}))
    assert len(set(marks)) == 5 and fingerprint(split) == marks[0]


def test_arrays_are_written_whole_and_checked(tmp_path):
    tree = {"a": {"b": np.arange(3, dtype=np.float32)}, "c": np.zeros((2, 2), np.float32)}
    save_arrays(tmp_path / "x.npz", tree)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    jax.tree.map(np.testing.assert_array_equal, load_arrays(tmp_path / "x.npz", tree), tree)
    for other in (
        {"c": tree["c"]},
        {**tree, "d": tree["c"]},
        {**tree, "c": np.zeros((4,), np.float32)},
    ):
        with pytest.raises(ValueError):
            load_arrays(tmp_path / "x.npz", other)
    with pytest.raises(ValueError, match="a/b is float32"):
        load_arrays(tmp_path / "x.npz", {**tree, "a": {"b": np.arange(3, dtype=np.float64)}})
    with pytest.raises(UserError, match="cannot write"):
        save_arrays(tmp_path / "x.npz" / "y.npz", tree)  # the folder is a file


def test_augmentation_moves_by_whole_pixels():
    x = np.random.default_rng(0).random((200, 8, 10, 2)).astype(np.float32)
    key = jax.random.key(0)
    np.testing.assert_array_equal(augment(key, x, 0.0, False), x)
    moved = np.asarray(augment(key, x, 0.1, False))  # one pixel of either side
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    places = [(i, j) for i in range(3) for j in range(3)]
    equal = np.array(
        [(wide[:, i : i + 8, j : j + 10] == moved).all((1, 2, 3)) for i, j in places]
    )
    assert (equal.sum(0) == 1).all() and (
        equal.sum(1) > 8
    ).all()  # all nine places, about as often
    mirrored = np.asarray(augment(key, x, 0.0, True))
    kept, turned = ((mirrored == y).all((1, 2, 3)) for y in (x, x[:, :, ::-1]))
    assert (kept ^ turned).all() and 70 < turned.sum() < 130


def test_the_net_takes_images_of_any_size():
    net = ConvNet((8, 16), 5, 3)
    for shape, side in (
        ((8, 8, 1), 4),
        ((28, 28, 1), 7),
        ((32, 32, 3), 8),
        ((64, 64, 3), 8),
        ((15, 15, 1), 8),
    ):
        image = jnp.zeros((2, *shape))
        variables = jax.eval_shape(net.init, jax.random.key(0), image)
        assert variables["params"]["Dense_0"]["kernel"].shape == (side * side * 16, 5)
        out = jax.eval_shape(net.apply, variables, image)
        assert out.features.shape == (2, 5) and out.logits.shape == (2, 3)


def test_the_defaults_learn_with_a_cosine_and_bad_input_is_said(halves):
    assert (
        isinstance(Convolutional().optimiser, Adam)
        and Convolutional().optimiser.decay == CosineDecay()
    )
    assert [e.name for e in (Pixels(), Components(), RandomNet(), Convolutional())] == [
        "pixels",
        "pca64",
        "random",
        "classifier",
    ]
    # distances of one name compare: what was set otherwise is in it
    assert RandomNet(width=16, seed=1).name == "random_width16_seed1"
    assert SMALL.name == f"classifier_{config.digest(SMALL)[:6]}" != "classifier"
    assert Convolutional(extract_batch=7).name == "classifier"  # changes no feature
    assert Convolutional().features == 64
    train = halves[0]
    for cfg, split, line in (
        (Convolutional(steps=0), train, "steps must be at least 1"),
        (Convolutional(widths=()), train, "at least one width"),
        (SMALL, {**train, "label": np.zeros(1437, np.int32)}, "labels of two classes"),
        (SMALL, {"image": train["image"][:, 0, 0, :], "label": train["label"]}, "images"),
    ):
        with pytest.raises(UserError, match=line):
            cfg.fit(split)
