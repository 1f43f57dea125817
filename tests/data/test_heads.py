"""Heads: everything that a picture is said to show is there, and a person is the same wherever it is drawn."""

import shutil

import numpy as np
import pytest
from scipy import ndimage

from genjax.data import source
from genjax.data.apart import apart
from genjax.data.heads import (
    ATTRIBUTES,
    GROUPS,
    PARTS,
    Heads,
    attributes,
    draw_people,
    draw_shots,
    grey,
    group,
    model,
    plain_shots,
    render,
    split_of,
)
from genjax.data.heads import shapes as shapes_module
from genjax.data.heads.drawing import traits
from genjax.data.heads.people import macro
from genjax.data.heads.raster import EDGE, rasterise
from genjax.data.heads.rendering import placed
from genjax.errors import UserError

PART = {name: i for i, name in enumerate(PARTS)}
MARK = {name: i for i, name in enumerate(model().landmark_names)}


@pytest.fixture(scope="module")
def crowd():
    """200 pictures of 50 people, 32x32, with who and how."""
    people = draw_people(5, np.arange(50))
    shots = draw_shots(5, people, 4)
    return people, shots, render(people, shots, 32)


@pytest.fixture(scope="module")
def faces():
    """Twelve people from the front and at rest, 64x64."""
    people = draw_people(2, np.arange(12))
    shots = plain_shots(people)
    return people, shots, render(people, shots, 64)


def moved(shots, **shapes):
    """The shots with expressions of these weights."""
    expression = shots.expression.copy()
    for name, weight in shapes.items():
        expression[:, model().expressions.index(name)] = weight
    return shots._replace(expression=expression)


def seen(rendered, *names):
    """How many pixels of each picture show one of the parts."""
    return np.isin(rendered.parts, [PART[name] for name in names]).sum((1, 2))


# --- who is drawn ----------------------------------------------------------------------------------------------------


def test_a_person_is_the_same_whoever_else_is_drawn(crowd):
    people, shots, rendered = crowd
    some = draw_people(5, [7, 30])
    again = draw_shots(5, some, [3, 1])
    for name in people._fields:
        np.testing.assert_array_equal(getattr(some, name), getattr(people, name)[[7, 30]])
    rows = [4 * 7 + 3, 4 * 7 + 1, 4 * 30 + 3, 4 * 30 + 1]
    for name in shots._fields[1:]:
        np.testing.assert_array_equal(getattr(again, name), getattr(shots, name)[rows])
    # sums over shapes are rounded otherwise in other company
    image, parts, landmarks = render(some, again, 32)
    assert np.abs(image.astype(int) - rendered.image[rows]).mean() < 0.01
    assert (parts != rendered.parts[rows]).mean() < 0.001
    np.testing.assert_allclose(landmarks, rendered.landmarks[rows], atol=1e-3)
    assert (draw_people(6, [7]).identity != some.identity[:1]).any()


def test_people_come_from_raw_bits():
    bits = np.random.Philox(key=[5, 0], counter=[0, 0, 7, 0]).random_raw(2)
    male = (bits[0] >> np.uint64(11)) * 2.0**-53 < 0.5
    main = int(3 * ((bits[1] >> np.uint64(11)) * 2.0**-53))
    person = draw_people(5, [7])
    assert person.male[0] == male and person.ancestry[0].argmax() == main


def test_people_are_spread_as_they_are_said_to_be():
    people = draw_people(0, np.arange(1000))
    assert abs(people.male.mean() - 0.5) < 0.05
    np.testing.assert_allclose(people.ancestry.sum(1), 1, atol=1e-6)
    assert np.abs(people.ancestry.mean(0) - 1 / 3).max() < 0.05
    # faces, not caricatures, and the same on both sides
    assert people.identity.max() <= 0.7 and ((people.identity > 0).sum(1) <= 24).all()
    names = model().identity
    left = [i for i, name in enumerate(names) if name.startswith("l-")]
    right = [names.index("r-" + names[i][2:]) for i in left]
    np.testing.assert_array_equal(people.identity[:, left], people.identity[:, right])
    assert not people.identity[:, names.index("mouth-trans-in")].any()
    shots = draw_shots(0, people, 2)
    count = np.bincount(group(shots.years), minlength=4) / len(shots.years)
    assert np.abs(count - 0.25).max() < 0.04
    assert np.abs(shots.pitch).max() < 0.23 and np.abs(shots.yaw).max() < 0.63
    np.testing.assert_allclose(np.linalg.norm(shots.light, axis=1), 1, atol=1e-6)


def test_a_trait_is_a_shape_or_both_sides_of_one():
    rows = traits(["l-eye-up", "r-eye-up", "nose-down", "nose-trans-in", "l-cheek-trans-in"])
    wanted = [[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 1]]
    np.testing.assert_array_equal(rows, wanted)


def test_between_two_ages_shapes_are_mixed():
    years = np.array([1, 10, 17.5, 90.0])
    weight = macro(years, np.array([0, 1, 0.5, 1]), np.array([[0.5, 0.5, 0]] * 4))
    cube = weight.reshape(4, 4, 2, 4)  # ancestries and all, sexes, ages
    np.testing.assert_allclose(cube[0, 3], [[1, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(cube[1, 0], [[0, 0, 0, 0], [0, 0.5, 0, 0]])
    np.testing.assert_allclose(cube[2, 3], [[0, 0.25, 0.25, 0]] * 2)
    np.testing.assert_allclose(cube[3, :, 1, 3], [0.5, 0.5, 0, 1])


def test_groups_begin_at_their_years():
    years = np.array([1, 12.9, 13, 34.9, 35, 59.9, 60, 90])
    np.testing.assert_array_equal(group(years), [0, 0, 1, 1, 2, 2, 3, 3])


# --- what a picture shows --------------------------------------------------------------------------------------------


def test_landmarks_lie_on_what_they_name(faces):
    _, _, rendered = faces
    wanted = {
        "eye_l": ("iris", "eye white", "lashes"),
        "eye_r": ("iris", "eye white", "lashes"),
        "nose_tip": ("face",),
        "lip_top": ("lips",),
        "lip_bottom": ("lips",),
    }
    for name, parts in wanted.items():
        shown = np.isin(rendered.parts, [PART[part] for part in parts])
        # or on a pixel beside it: lids and lips have narrow edges
        near = ndimage.binary_dilation(shown, np.ones((1, 3, 3)))
        x, y = np.floor(rendered.landmarks[:, MARK[name]]).astype(int).T
        rows = np.arange(len(x))
        assert near[rows, y, x].all() and shown[rows, y, x].mean() > 0.5, name
    # left and right are the person's, which is seen from the front
    assert (rendered.landmarks[:, MARK["eye_l"], 0] > 32).all()
    assert (rendered.landmarks[:, MARK["ear_r"], 0] < 20).all()
    for part in ("skin", "face", "lips", "eye white", "hair", "ears", "iris", "lashes"):
        assert (seen(rendered, part) > 0).all(), part


def test_heads_turn_as_they_are_told(faces):
    people, shots, _ = faces
    first = people._replace(**{name: value[:1] for name, value in people._asdict().items()})
    one = plain_shots(first)
    row = type(one)(*(np.repeat(value, 5, 0) for value in one))
    angle = np.linspace(-0.6, 0.6, 5).astype(np.float32)
    x = render(first, row._replace(yaw=angle), 32).landmarks[:, MARK["nose_tip"], 0]
    y = render(first, row._replace(pitch=angle / 2), 32).landmarks[:, MARK["nose_tip"], 1]
    assert (np.diff(x) > 1).all() and (np.diff(y) < -0.5).all()
    np.testing.assert_allclose(x + x[::-1], 32, atol=1e-3)  # symmetric faces


def test_a_symmetric_face_in_frontal_light_makes_a_symmetric_picture(faces):
    _, _, rendered = faces
    image = rendered.image.astype(float)
    difference = np.abs(image - image[:, :, ::-1])
    assert difference.mean() < 1.0 and (difference > 24).mean() < 0.005
    assert (rendered.parts != rendered.parts[:, :, ::-1]).mean() < 0.01


def test_light_comes_from_where_it_is(faces):
    people, shots, _ = faces
    side = np.tile(np.array([-0.8, 0.0, 0.6], np.float32), (12, 1))
    image = render(people, shots._replace(light=side), 32).image.astype(float)
    assert (image[:, :, 8:16].mean((1, 2, 3)) > image[:, :, 16:24].mean((1, 2, 3)) + 10).all()
    assert attributes(people, shots._replace(light=side))[:, -1].all()


def test_expressions_move_what_they_name(faces):
    people, shots, rest = faces
    wide = render(people, moved(shots, jawOpen=1.0), 64)
    assert (seen(wide, "mouth", "teeth") > seen(rest, "mouth", "teeth") + 20).all()
    assert (wide.landmarks[:, MARK["chin"], 1] > rest.landmarks[:, MARK["chin"], 1] + 1).all()
    # the frame does not move with the face
    np.testing.assert_allclose(
        wide.landmarks[:, MARK["ear_l"]], rest.landmarks[:, MARK["ear_l"]], atol=0.5
    )
    closed = render(people, moved(shots, eyeBlinkLeft=1.0, eyeBlinkRight=1.0), 64)
    eyes = seen(closed, "iris", "eye white")
    assert (eyes < 0.4 * seen(rest, "iris", "eye white")).all()
    smile = render(people, moved(shots, mouthSmileLeft=1.0, mouthSmileRight=1.0), 64)
    for mark, way in (("mouth_l", 1), ("mouth_r", -1)):
        apart = smile.landmarks[:, MARK[mark]] - rest.landmarks[:, MARK[mark]]
        assert (way * apart[:, 0] > 0.3).all() and (apart[:, 1] < -0.3).all()


def test_years_make_heads_larger_and_hair_grey(faces):
    people, shots, _ = faces
    sides, marks, share, hair = [], [], [], []
    for years in (1, 5, 10, 18, 25, 50, 70, 90):
        aged = plain_shots(people, years)
        _, side = placed(model(), people, aged)
        rendered = render(people, aged, 32)
        sides.append(side)
        eyes = rendered.landmarks[:, [MARK["eye_l"], MARK["eye_r"]], 1].mean(1)
        marks.append(eyes)
        share.append(grey(people, aged))
        of_hair = (rendered.parts == PART["hair"])[..., None]
        light = (rendered.image * of_hair).sum((1, 2, 3)) / (3 * of_hair.sum((1, 2, 3)))
        hair.append(light)
    assert (np.diff(sides[:5], axis=0) > 0).all()
    # the foreheads of babies are high: their eyes lie lower in the face
    assert (marks[0] > marks[4] + 0.5).all()
    assert (np.diff(share, axis=0) >= 0).all() and (share[-1] > 0.8).all()
    assert hair[-1].mean() > hair[4].mean() + 60
    years = plain_shots(people, 90)
    assert attributes(people, years)[:, ATTRIBUTES.index("grey hair")].all()


def test_faces_have_no_holes_and_no_cut(crowd):
    people, shots, rendered = crowd
    short = np.flatnonzero(people.long[shots.person] == 0)
    assert len(short) > 100
    for i in short:  # between strands of long hair the background may be seen
        pieces, n = ndimage.label(rendered.parts[i] == 0)
        edge = np.concatenate([pieces[0], pieces[:, 0], pieces[:, -1]])
        assert set(range(1, n + 1)) <= set(edge.tolist()), i
    # nothing ends above the lower edge, and the neck reaches it
    low = rendered.parts[:, -3:]
    ends = (low[:, :-1] == PART["skin"]) & (low[:, 1:] == 0)
    assert not ends.any()
    assert (rendered.parts[:, -1, 13:19] > 0).all()
    # nor is a head cut off above
    assert (rendered.parts[:, 0] == 0).mean() > 0.97


def test_the_shoulders_of_babies_that_turn_go_on_below():
    people = draw_people(3, np.arange(8))
    shots = plain_shots(people, 1.0)
    turned = shots._replace(
        yaw=np.tile([0.6, -0.6], 4).astype(np.float32),
        pitch=np.repeat([0.22, -0.22], 4).astype(np.float32),
    )
    parts = render(people, turned, 32).parts
    low = parts[:, -3:]
    assert not ((low[:, :-1] == PART["skin"]) & (low[:, 1:] == 0)).any()
    assert ((low[:, -1] > 0).sum(1) > 10).all()


def test_any_number_of_threads_and_no_shots(faces):
    people, shots, rendered = faces
    for one, other in zip(rendered, render(people, shots, 64, threads=3), strict=True):
        np.testing.assert_array_equal(one, other)
    none = type(shots)(*(value[:0] for value in shots))
    empty = render(people, none, 8)
    assert empty.image.shape == (0, 8, 8, 3) and empty.landmarks.shape == (0, 14, 2)


# --- triangles to pixels ---------------------------------------------------------------------------------------------


def slow(points, triangles, both, side):
    """The nearest triangle of each cell by a loop, -1 for none."""
    found, best = np.full((side, side), -1), np.full((side, side), -np.inf)
    y, x = np.mgrid[:side, :side] + 0.5
    for number, corners in enumerate(triangles):
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = points[:, corners].T
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if area == 0 or (area > 0 and not both[number]):
            continue
        wb = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
        wc = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
        wa = 1 - wb - wc
        depth = wa * az + wb * bz + wc * cz
        nearer = (np.minimum(np.minimum(wa, wb), wc) >= -EDGE) & (depth > best)
        found[nearer], best[nearer] = number, depth[nearer]
    return found


def test_triangles_are_drawn_as_by_a_loop():
    rng = np.random.default_rng(0)
    side, n = 16, 3
    points = rng.uniform(-4, 20, (n, 3, 40)).astype(np.float32)
    triangles = rng.integers(0, 40, (60, 3))
    both = rng.random(60) < 0.3
    hits = rasterise(points, triangles, both, side)
    found = np.full(n * side * side, -1)
    found[hits.cell] = hits.triangle
    wanted = [slow(each.astype(float), triangles, both, side) for each in points]
    same = found == np.concatenate([each.reshape(-1) for each in wanted])
    assert same.mean() > 0.999  # two depths may be the same
    np.testing.assert_allclose(hits.weights.sum(0), 1, atol=1e-5)
    # the weights give back the place
    picture = hits.cell // side**2
    corners = points[picture[:, None], :, triangles[hits.triangle]]  # [M, 3, axis]
    place = np.einsum("km,mka->ma", hits.weights, corners)
    column, row = hits.cell % side + 0.5, hits.cell // side % side + 0.5
    np.testing.assert_allclose(place[:, :2], np.stack([column, row], 1), atol=1e-3)


def test_a_square_of_two_triangles_has_no_seam_and_nothing_outside():
    square = np.array([[2, 2, 6, 6], [2, 6, 6, 2], [0, 0, 0, 0]], np.float32)[None]
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    one_side = np.zeros(2, bool)
    hits = rasterise(square, triangles, one_side, 8)
    assert len(hits.cell) == 16
    # from behind there is nothing, but of what is seen from both sides
    assert not len(rasterise(square, triangles[:, ::-1], one_side, 8).cell)
    assert len(rasterise(square, triangles[:, ::-1], ~one_side, 8).cell) == 16
    assert not len(rasterise(square - 20, triangles, one_side, 8).cell)


# --- the set ---------------------------------------------------------------------------------------------------------


def test_the_set_is_the_same_cached_and_streamed_and_has_nobody_twice():
    cfg = Heads(size=8, people=13, shots=2)
    kept = cfg.load()
    streamed = Heads(size=8, people=13, shots=2, stream=True).load()
    for found in (kept, streamed):
        source.check(found)
        apart(found, "person")
        assert found.classes == 4 and found.class_names == GROUPS and found.main == "image"
    for split, arrays in kept.splits().items():
        other = streamed.splits()[split]
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, other[name][:])
    who = {split: set(arrays["person"].tolist()) for split, arrays in kept.splits().items()}
    assert who == {"train": {0, 3, 4, 5, 6, 7, 8, 9, 10}, "valid": {1, 11}, "test": {2, 12}}
    # more people leave the others where they are
    np.testing.assert_array_equal(split_of(np.arange(40))[:13], split_of(np.arange(13)))
    people = draw_people(0, [2, 12])
    shots = draw_shots(0, people, 2)
    test = kept.test
    np.testing.assert_array_equal(test["age"][:, 0], shots.years)
    np.testing.assert_array_equal(test["pose"], np.stack([shots.yaw, shots.pitch], 1))
    np.testing.assert_array_equal(test["label"], group(shots.years))
    np.testing.assert_array_equal(test["attributes"], attributes(people, shots))
    np.testing.assert_allclose(test["landmarks"], render(people, shots, 8).landmarks, atol=1e-3)


def test_attributes_are_what_was_drawn(crowd):
    people, shots, _ = crowd
    answer = dict(zip(ATTRIBUTES, attributes(people, shots).T, strict=True))
    np.testing.assert_array_equal(answer["female"], people.male[shots.person] == 0)
    of_one = sum(answer[name] for name in ("african", "asian", "caucasian"))
    assert of_one.max() == 1 and of_one.mean() > 0.9
    assert not (answer["beard"] & (shots.years < 18)).any()
    for name, column in answer.items():
        assert 0 < column.mean() < 1, name


@pytest.mark.parametrize(
    "cfg, message",
    [
        (Heads(size=7), "--data.size=7"),
        (Heads(people=2), "--data.people=2"),
        (Heads(shots=0), "--data.shots=0"),
        (Heads(seed=-1), "--data.seed=-1"),
        (Heads(seed=2**63), f"--data.seed={2**63} must be at most"),
    ],
)
def test_sizes_are_checked(cfg, message, cache_dir):
    with pytest.raises(UserError, match=message):
        cfg.load()
    assert not cache_dir.exists()


def test_a_file_that_is_missing_or_has_changed_is_told_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.npz.*cannot be read.*install genjax again"):
        model(tmp_path / "nothing.npz")
    changed = tmp_path / "changed.npz"
    shutil.copy(shapes_module.FILE, changed)
    with changed.open("r+b") as file:
        file.seek(5000)
        file.write(b"\0\1\2\3")
    with pytest.raises(UserError, match=r"changed\.npz.*has changed since") as error:
        model(changed)
    assert "\n" not in str(error.value)
