"""Pictures with words: beside them or in a table, cut between characters, in one split; every fault with its place."""

import dataclasses
import re

import numpy as np
import pytest
from PIL import Image

from genjax import config
from genjax.data import Captions, source
from genjax.data.captions import LETTERS, encoded, text
from genjax.data.decoding import decode
from genjax.errors import UserError

RNG = np.random.default_rng(0)


@pytest.fixture
def root(tmp_path):
    """A folder without the cache of the tests, whose notes are text files too."""
    folder = tmp_path / "set"
    folder.mkdir()
    return folder


def save(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (4, 4, 3)).astype(np.uint8)).save(path)


def written(folder, captions):
    """Pictures with text files beside them, {name: text or bytes}; the config that reads them to the bit."""
    for name, said in captions.items():
        save(folder, f"{name}.png")
        data = said if isinstance(said, bytes) else said.encode()
        (folder / f"{name}.txt").write_bytes(data)
    return Captions(str(folder), size=4, length=16, test=0.0)


def told(cfg):
    with pytest.raises(UserError) as caught:
        cfg.load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pairs(folder, *splits):
    """{(name, caption)} of all examples; the pictures are told apart by their pixels."""
    names = {}
    for path in folder.rglob("*.png"):
        names[decode(path, 4, True).tobytes()] = path.relative_to(folder).as_posix()
    found = []
    for split in splits:
        captions = text(split["caption"][:])
        found += [
            (names[image.tobytes()], caption)
            for image, caption in zip(split["image"][:], captions, strict=True)
        ]
    return sorted(found)


SAID = {"a": "a cat", "b": "two dogs\nhounds\r\n\n", "x/c": "  ", "d": "ein Bär mit Öl — groß"}


@pytest.mark.parametrize("stream", [False, True])
def test_text_files_beside_pictures(root, stream):
    cfg = dataclasses.replace(written(root, SAID), stream=stream)
    for _ in range(2):  # built, and found
        found = cfg.load()
        source.check(found)
        assert found.main == "image" and found.fields["caption"].shape == (16,)
        assert pairs(root, found.train) == [
            ("a.png", "a cat"),
            ("b.png", "hounds"),
            ("b.png", "two dogs"),
            ("d.png", "ein Bär mit Öl"),
            ("x/c.png", ""),
        ]
        assert found.notes == (
            "1 pictures have several captions: each is an example of its own",
            "cut 1 captions of more than 16 bytes",
            "1 captions are empty",
        )
    one = dataclasses.replace(cfg, first=True).load()
    assert [said for _, said in pairs(root, one.train)][1:3] == [
        "two dogs",
        "ein Bär mit Öl",
    ]


def test_captions_are_cut_between_characters():
    for line, length, kept in [
        ("äöü", 6, "äöü"),
        ("äöü", 5, "äö"),
        ("a€", 3, "a"),
        ("€", 2, ""),
    ]:
        tokens, cut = encoded(line, length)
        assert text(tokens[None]) == [kept] and cut == (kept != line)
        assert tokens.dtype == np.int32 and len(tokens) == length
    assert text(np.array([[97, 255, 98, 0]])) == ["a\ufffdb"]  # of a model
    assert len(LETTERS) == 256 and LETTERS[97] == "a" and LETTERS[0] == " "


def test_all_captions_of_a_picture_are_in_one_split(root):
    said = {str(i): "\n".join(f"{i} {j}" for j in range(3)) for i in range(30)}
    found = dataclasses.replace(written(root, said), test=0.3).load()
    train, test = ({name for name, _ in pairs(root, its)} for its in (found.train, found.test))
    assert test and not train & test and len(train | test) == 30
    assert len(found.train["image"]) == 3 * len(train)


def test_a_table_of_captions(root):
    save(root, "1.png", "x/2.png", "3.png", "4.png")
    rows = [
        "file,caption",
        '1.png,"a cat, black"',
        './x/2.png,"a ""dog"""',
        "1.png,a tom",
        "3.png,",
        "4.png,é",
    ]
    (root / "captions.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    (root / "1.txt").write_text("not read")
    cfg = Captions(str(root), size=4, test=0.0)
    found = cfg.load()
    assert pairs(root, found.train) == [
        ("1.png", "a cat, black"),
        ("1.png", "a tom"),
        ("3.png", ""),
        ("4.png", "é"),
        ("x/2.png", 'a "dog"'),
    ]
    digest = config.digest(cfg.resolved())
    # of the same length, and the only file of many that has changed
    (root / "captions.csv").write_text("\n".join(rows).replace("tom", "Tom") + "  \n")
    assert config.digest(cfg.resolved()) != digest and ("1.png", "a Tom") in pairs(
        root, cfg.load().train
    )


def test_a_table_knows_the_splits(root):
    save(root, *(f"{i}.png" for i in range(5)))
    rows = ["split\tcaption\tfile"]
    rows += [
        f'{split}\tsays "{i}\t{i}.png'
        for i, split in enumerate(["train", "Test", "val", "train", "train"])
    ]
    (root / "captions.tsv").write_text("\n".join(rows))
    cfg = Captions(str(root), size=4, test=0.9)
    found = cfg.load()
    assert pairs(root, found.test) == [("1.png", 'says "1')]
    assert pairs(root, found.valid) == [("2.png", 'says "2')]
    assert len(found.train["image"]) == 3
    (root / "captions.csv").write_text("file,caption\n")
    assert "holds captions.csv and captions.tsv: keep one" in told(cfg)


def test_sub_folders_are_splits(root):
    cfg = written(
        root,
        {f"{split}/{i}": f"{split} {i}" for split in ("train", "test") for i in range(3)},
    )
    found = cfg.load()
    assert pairs(root, found.test) == [(f"test/{i}.png", f"test {i}") for i in range(3)]


def test_pictures_and_captions_without_each_other(root):
    cfg = written(root, {"a": "x"})
    save(root, *(f"{i}.png" for i in range(5)))
    (root / "lost.txt").write_text("?")
    assert re.search(
        r"of the pictures 5 files \(0.png, 1.png, 2.png, …\) have no caption, and of the captions 1 files \(lost.txt\)",
        told(cfg),
    )
    (root / "captions.csv").write_text("file,caption\na.png,x\nb.png,y\n")
    assert re.search(
        r"pictures 5 files \(0.*captions 1 files \(b.png\) have no picture", told(cfg)
    )
    save(root / "bare", "1.png")
    assert "bare holds no captions: write a text file" in told(Captions(str(root / "bare")))


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ("grün".encode("latin-1"), r"byte 2 \(0xfc\)"),
        ("ab".encode("utf-16-le"), r"byte 1 \(0x00\)"),
    ],
)
def test_what_is_no_utf8_is_told_with_its_place(root, data, place):
    cfg = written(root, {"a": "x", "b": data})
    assert re.search(rf"b\.txt is not UTF-8 at {place}: save it as UTF-8", told(cfg))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "line 1, has no column 'file', it has none"),
        ("name,caption\n", "line 1, has no column 'file', it has name, caption"),
        ("file,text\n", "line 1, has no column 'caption'"),
        ("file,caption\n1.png,a,b\n", "line 2, has 3 columns and not 2"),
        ("file,caption,split\n1.png,a,rain\n", "line 2, names the split 'rain': write train"),
        (
            "file,caption,split\n1.png,a,train\n\n1.png,b,test\n",
            "line 4, puts 1.png into test, and a line before it into train",
        ),
        (
            'file,caption\n1.png,"' + "a" * 140_000 + '"\n',
            r"line \d, cannot be read .field larger than",
        ),
    ],
)
def test_tables_that_are_none(root, table, message):
    save(root, "1.png")
    (root / "captions.csv").write_text(table)
    assert re.search(r"captions\.csv, " + message, told(Captions(str(root))))


def test_sizes_are_checked(root):
    cfg = written(root, {"a": "x"})
    assert "--data.length=0" in told(dataclasses.replace(cfg, length=0))
    assert "--data.path is not set" in told(Captions())
    assert config.from_json(config.to_json(cfg)) == cfg


def test_a_picture_with_several_captions_is_left_out_once(root):
    cfg = written(root, {"1": "a\nb\nc", "2": "d\ne"})
    (root / "1.png").write_text("no picture")
    found = dataclasses.replace(cfg, skip_bad=True).load()
    assert found.notes[0] == "skipped 1 unreadable of 2 images, for instance 1.png"


def test_a_link_in_the_place_of_a_picture_is_told(root):
    cfg = written(root, {"1": "a", "2": "b"})
    (root / "2.png").unlink()
    (root / "2.png").symlink_to("1.png")
    assert "write or remove those (1 links to a file that is there already count" in told(cfg)
    (root / "1.txt").unlink()
    (root / "2.txt").unlink()
    (root / "captions.csv").write_text("file,caption\n1.png,a\n2.png,b\n")
    assert "(1 links to a file that is there already count" in told(cfg)
