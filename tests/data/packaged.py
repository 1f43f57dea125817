"""Small stand-ins for the packages of scenes and stamps: our own .rcc writer, photographs and cut-outs from noise."""

import dataclasses
import io
import struct
import zlib

import numpy as np
from PIL import Image

from genjax.data import scenes, stamps

README = """\
Copyright: Ann Alpha, 2020
License: CC-BY-SA 4.0
Source: https://example.org/{0}
Files:
{0}.webp

Files: {1}.webp
Licence: Public domain
Copyright: Bo Beta
Comments: cropping,
 sharpening

Copyright: Cy Gamma
License: CC-BY 4.0
{2}.webp
lost.webp
Comment: based on a photo by Dee, source at https://example.org/{2}

Copyright: Di Delta
License: GPLv2+
Files:
{3}

Copyright: Vincent
License: Public Domain
Files: old.webp
Comment: based on an original painting
"""


def resources(files, version=3, packed=True):
    """The bytes of a Qt resource file of {"/folder/name": bytes}."""
    tree = {}
    for name, content in files.items():
        *folders, last = name.strip("/").split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = content
    nodes, names, data = [], b"", b""
    todo = [("", tree)]
    at = 1  # the children's numbers: breadth first
    while todo:
        name, content = todo.pop(0)
        place = len(names)
        encoded = name.encode("utf-16-be")
        names += struct.pack(">HI", len(encoded) // 2, 0) + encoded
        if isinstance(content, dict):
            nodes.append(struct.pack(">IHII", place, 2, len(content), at))
            at += len(content)
            todo += content.items()
        else:
            nodes.append(struct.pack(">IHHHI", place, int(packed), 0, 1, len(data)))
            blob = content
            if packed:
                blob = struct.pack(">I", len(content)) + zlib.compress(content)
            data += struct.pack(">I", len(blob)) + blob
    if version > 1:
        nodes = [node + bytes(8) for node in nodes]
    head = 20 + 4 * (version > 2)
    joined = b"".join(nodes)
    places = head, head + len(joined), head + len(joined) + len(data)
    start = b"qres" + struct.pack(">4I", version, *places) + bytes(head - 20)
    return start + joined + data + names


def photograph(seed, height=80, width=104):
    """A smooth picture, uint8 [H, W, 3], of which a lossy copy looks the same."""
    coarse = np.random.default_rng(seed).integers(20, 236, (5, 6, 3)).astype(np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def webp(image, **options):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "WEBP", **options)
    return content.getvalue()


def write_scenes(folder):
    """Two albums of a package: five hills and a painting, five seas, of which one is a hill again, and a drawing."""
    folder.mkdir(parents=True, exist_ok=True)
    root = "/gcompris/src/activities/hills/resource"
    hills = {f"{root}/{name}.webp": webp(photograph(i)) for i, name in enumerate("abcd")}
    readme = README.format("a", "b", "c", "d.webp\ne.webp").encode()
    more = {"e": photograph(7, 60, 72), "old": photograph(8), "unnamed": photograph(9)}
    hills |= {f"{root}/{name}.webp": webp(image) for name, image in more.items()}
    hills |= {f"{root}/README": readme, f"{root}/a.svg": b"<svg/>"}
    (folder / "hills.rcc").write_bytes(resources(hills))
    root = "/gcompris/src/activities/waters/resource/images/seas"
    seas = {f"{root}/sea{i}.webp": webp(photograph(10 + i)) for i in range(1, 5)}
    # the first hill, smaller and packed otherwise
    again = Image.fromarray(photograph(0)).resize((98, 76))
    seas[f"{root}/sea5.webp"] = webp(np.asarray(again), quality=50)
    seas[f"{root}/fish.webp"] = webp(photograph(20))
    seas[f"{root}/README"] = README.format(
        "sea1", "sea2", "sea3", "sea4.webp\nsea5.webp\nfish.webp"
    ).encode()
    (folder / "waters.rcc").write_bytes(resources(seas, version=2, packed=False))


def lay_scenes(monkeypatch):
    """The tables of `genjax.data.scenes` for the package that `write_scenes` writes."""
    albums = (
        scenes.Album("hills", "resource", "monuments", 5),
        scenes.Album("waters/seas", "resource/images/seas", "sea", 5, r"sea\d"),
    )
    monkeypatch.setattr(scenes, "ALBUMS", albums)
    package = dataclasses.replace(
        scenes.PACKAGE, files=("hills.rcc", "waters.rcc"), installed=()
    )
    monkeypatch.setattr(scenes, "PACKAGE", package)


# a thing of a class has one colour that no photograph here has
COLOURS = {"birds": (255, 0, 0), "vehicles": (0, 255, 0)}


def cutout(height, width, colour, border=0):
    """A thing with a hole, uint8 [H, W, 4], opaque or not at all."""
    thing = np.zeros((height, width, 4), np.uint8)
    thing[..., :3] = colour
    thing[..., 3] = 255
    thing[1, 1, 3] = 0
    return np.pad(thing, ((border, border), (border, border), (0, 0)))


def write_stamps(folder):
    """Eight cut-outs of two classes with captions; beside them a drawing and a mirrored copy."""
    things = {}
    for i in range(4):
        things[f"animals/birds/bird{i}x"] = cutout(4 + i, 5, COLOURS["birds"], border=i)
        things[f"vehicles/cars/car{i}x"] = cutout(6, 8 - i, COLOURS["vehicles"])
    for name in ("animals/birds/cartoon/tux", "vehicles/cars/car0x_mirror"):
        things[name] = cutout(5, 5, (0, 0, 255))
    for name, image in things.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        text = f"A {path.stem}.\nar.utf8=طائر.\nde.utf8=Ein Ding. \nxx.utf8=\n"
        path.with_suffix(".txt").write_text(text, encoding="utf-8")


def lay_stamps(monkeypatch):
    """The tables of `genjax.data.stamps` for the package that `write_stamps` writes."""
    shelves = (
        stamps.Shelf("birds", "animals/birds", 4),
        stamps.Shelf("vehicles", "vehicles", 4),
    )
    monkeypatch.setattr(stamps, "SHELVES", shelves)
    monkeypatch.setattr(stamps, "KINDS", ("birds", "vehicles"))
    files = ("animals/birds/**/*.png", "vehicles/**/*.png")
    package = dataclasses.replace(stamps.PACKAGE, files=files, installed=())
    monkeypatch.setattr(stamps, "PACKAGE", package)
