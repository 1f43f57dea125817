"""Pictures in a folder as what is audited: the pictures and values that were put there, and what is refused."""

import shutil

import numpy as np
import pytest
from PIL import Image

from genjax.config import digest
from genjax.data.spoken.workers import OCCUPATIONS, Workers
from genjax.errors import UserError
from genjax.findings.audited import Audited, Filed, Task
from genjax.findings.auditing import Audit
from genjax.findings.tabled import filled

FEW = Workers(16, people=12, shots=1)


@pytest.fixture(scope="module")
def task():
    return Task(FEW, FEW.load(), "occupation", 40, 0, "runs", {})


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))


def noise(n: int, side: int = 16) -> np.ndarray:
    """n pictures of which no two are alike, uint8 [n, side, side, 3]."""
    return np.random.default_rng(side).integers(0, 256, (n, side, side, 3)).astype(np.uint8)


def saved(folder, images, names) -> None:
    """Each picture in the sub-folder of its name; "" = in the folder itself."""
    for i, (image, name) in enumerate(zip(images, names, strict=True)):
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i}.png")


def rows(images, asked) -> set:
    """What can be compared whatever the order."""
    return {(image.tobytes(), int(k)) for image, k in zip(images, asked, strict=True)}


def test_a_folder_gives_its_pictures_and_what_they_were_asked_for(task, tmp_path, cached):
    images = noise(12)
    # not in the order of names, by which a folder numbers its classes
    asked = np.array([3, 1, 0, 2] * 3)
    saved(tmp_path / "made", images, [OCCUPATIONS[k] for k in asked])
    (drawn,) = Filed(str(tmp_path / "made")).start("mine", task).values()
    assert rows(drawn.images, drawn.asked) == rows(images, asked)


def test_a_folder_without_sub_folders_was_asked_for_nothing(task, tmp_path, cached):
    images = noise(5)
    saved(tmp_path / "made", images, [""] * 5)
    (drawn,) = Filed(str(tmp_path / "made")).start("mine", task).values()
    assert drawn.asked is None
    assert rows(drawn.images, np.zeros(5)) == rows(images, np.zeros(5))


def test_a_folder_is_marked_by_what_it_holds(tmp_path, cached):
    def mark(folder) -> str:
        return digest(filled(Audit(samplers=(Audited("mine", Filed(str(folder))),))))

    first, second = tmp_path / "first", tmp_path / "second"
    saved(first, noise(3), [""] * 3)
    shutil.copytree(first, second)
    before = mark(first)
    # it may lie anywhere
    assert mark(second) == before
    saved(second, noise(4)[::-1], [""] * 4)
    assert mark(second) != before


def test_what_is_no_folder_of_samples_is_refused_in_one_line(task, tmp_path, cached):
    def refused(folder, told: str, **more) -> None:
        with pytest.raises(UserError, match=told) as caught:
            Filed(str(folder), **more).check(task)
        assert "\n" not in str(caught.value) and "--data.path" not in str(caught.value)

    refused(tmp_path / "nowhere", "Filed.path=.*nowhere' is no folder: name one")
    refused("", "Filed.path='' is no folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty holds no images.*name another by --samplers, Filed.path")
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.png").write_text("no picture")
    refused(bad, r"a\.png cannot be read as an image .*: mend or remove it\.$")
    refused(bad, r"a\.png cannot be read as an image", scaled=True)
    saved(tmp_path / "large", noise(3, 24), [""] * 3)
    refused(tmp_path / "large", r"is 24x24, and pictures of --data are 16x16: make all")
    saved(tmp_path / "strange", noise(5), [*OCCUPATIONS, "pilot"])
    refused(tmp_path / "strange", "sub-folder 'pilot' is no occupation: name them nurse, teach")
    saved(tmp_path / "some", noise(3), ["nurse", "nurse", "builder"])
    refused(tmp_path / "some", "no sub-folder has pictures of teacher, engineer: an audit")


def test_pictures_of_another_size_are_scaled_where_that_is_asked_for(task, tmp_path, cached):
    saved(tmp_path / "large", np.full((2, 32, 48, 3), 90, np.uint8), [""] * 2)
    (drawn,) = Filed(str(tmp_path / "large"), scaled=True).start("mine", task).values()
    assert drawn.images.shape == (2, 16, 16, 3) and (drawn.images == 90).all()


def test_too_few_pictures_for_the_groups_are_told_before_a_reader_learns(
    task, tmp_path, cached
):
    saved(tmp_path / "made", noise(6), [""] * 6)
    entry = Audited("mine", Filed(str(tmp_path / "made")))
    with pytest.raises(UserError, match="--samplers, mine: 6 pictures in 24 groups may leave"):
        Audit().check_folder(entry, task)
