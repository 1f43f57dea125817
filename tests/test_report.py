"""Reports: true to the files, whole without the network, readable by everyone, and clear about bad input."""

import base64
import io
import itertools
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import time
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from genjax import report
from genjax.errors import UserError
from genjax.report import page, read, style, svg, text
from genjax.report.facts import number
from genjax.report.groups import few_fields, groups_of, mean_of
from genjax.report.markup import Html, tag

NASTY = '<b title="x">&amp;\'</b><script>alert(1)</script>'
VOID = {"meta", "img", "br"}


def png(side=16, shade=0):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data))
            + kind
            + data
            + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + bytes([(shade + 7 * i) % 256] * side) for i in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def lines(objects):
    return "".join(json.dumps(item) + "\n" for item in objects)


def config(**changes):
    gen = {"__type__": "nets:Gen", "widths": [32, 64]}
    algorithm = {
        "__type__": "gan:GAN",
        "gen": gen,
        "latent": 32,
        "penalties": [{"__type__": "gan:R1", "gamma": 0.3}],
    }
    return {
        "__type__": "genjax.training.experiment:Experiment",
        "algorithm": algorithm,
        "batch": 64,
        "seed": 5,
        "steps": 400,
    } | changes


def make(folder, files, pictures=None):
    """A run directory; dicts are written as JSON, lists as its lines, None is left out."""
    folder.mkdir(parents=True)
    for name, content in ({"config.json": config()} | files).items():
        if content is not None:
            written = (
                content
                if isinstance(content, str)
                else lines(content)
                if isinstance(content, list)
                else None
            )
            (folder / name).write_text(json.dumps(content) if written is None else written)
    for name, data in (pictures or {}).items():
        (folder / "samples").mkdir(exist_ok=True)
        (folder / "samples" / name).write_bytes(data)
    return folder


ABOUT = {
    "experiment": "gan",
    "ablation": "digits",
    "question": "Which game?",
    "command": "python -m experiments.gan digits --seed=5",
    "differences": {"algorithm.latent": ["64", "32"]},
    "seed": 5,
    "versions": {"genjax": "0.1.0", "jax": "0.10.2"},
    "hardware": "2 cores AMD EPYC, cpu",
    "parameters": 123456,
    "memory_mib": 900.4,
}
METRICS = {
    "fd_pca64": {"value": 4.93, "low": 4.81, "high": 5.07, "n": 2000, "floor": 4.91},
    "recall": {"value": "nan", "low": None, "high": None, "n": 360, "floor": None},
}
PUBLISHED = [
    {
        "__type__": "genjax.training.experiment:Published",
        "entry": "metrics",
        "name": "fd_pca64",
        "value": 4.9,
        "source": "A [1]",
    },
    {
        "__type__": "genjax.training.experiment:Published",
        "entry": "samples",
        "name": "recall",
        "value": 0.61,
        "source": "B",
    },
    {
        "__type__": "genjax.training.experiment:Published",
        "entry": "bits",
        "name": "bits_per_dim",
        "value": 2.65,
        "source": "C",
    },
]


def full(folder, **changes):
    """A run that has everything."""
    files = {
        "config.json": config(published=[p | {"name": "other"} for p in PUBLISHED]),
        "run.json": ABOUT,
        "results.json": {
            "about": {"published": PUBLISHED},
            "samples": {
                "recognised": 0.99123,
                "recognised_real": 0.98,
                "by_class": [0.5, 0.25],
                "recall": 0.6,
            },
            "samplers": {
                "real": 4.9,
                "Euler() 1": {"distance": 36.5529},
                "Heun() 1": {"error": "inf"},
            },
            "metrics": METRICS,
        },
        "metrics.jsonl": [
            *(
                {"step": s, "train/loss": 1000.0 / s, "train/skipped": 0.0, "train/sign": -s}
                for s in range(1, 401)
            ),
            *({"step": s, "test/loss": 1200.0 / s} for s in (200, 400)),
        ],
        "speed.jsonl": [
            {"step": 100, "steps/s": 10.0, "examples/s": 640.0, "seconds": 20.5},
            {"step": 200, "steps/s": 12.0, "examples/s": 768.0, "seconds": 30.5},
            {"step": 300, "steps/s": 11.0, "examples/s": 704.0, "seconds": 9.0},  # resumed here
            {"step": 400, "steps/s": 14.0, "examples/s": 896.0, "seconds": 18.25},
        ],
    }
    pictures = {f"{50 * i:08d}.png": png(shade=i) for i in range(1, 9)} | {
        "samples.png": png(shade=8)
    }
    pictures |= {
        "interpolation-linear.png": png(40),
        "walk.gif": b"GIF89a" + struct.pack("<HH", 20, 10) + bytes(30),
    }
    return make(folder, files | changes, pictures)


class Page(HTMLParser):
    """A page taken apart; raises AssertionError where its tags are not balanced."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.texts, self.rows = [], [], [], []
        self.feed(source)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, name, attributes):
        assert len({key for key, _ in attributes}) == len(attributes), (
            f"an attribute twice in {attributes}"
        )
        self.tags.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)
        if name == "tr":
            self.rows.append([])
        if name in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, name):
        assert self.open and self.open.pop() == name, f"</{name}> closes another tag"

    def handle_data(self, data):
        self.texts.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    @property
    def text(self):
        return "".join(self.texts)

    def all(self, name):
        return [attributes for tag_, attributes in self.tags if tag_ == name]

    def row(self, first):
        return next(row for row in self.rows if row[0] == first)


def single(folder):
    return Page(report.write([folder]).read_text())


def test_what_was_run_stands_on_the_page(tmp_path):
    found = single(full(tmp_path / "gan" / "digits-0123abcd"))
    assert [t for t, _ in found.tags].count("h1") == 1 and "gan: digits" in found.text
    told = [
        "Which game?",
        "python -m experiments.gan digits --seed=5",
        "genjax 0.1.0, jax 0.10.2",
        "0123abcd",
    ]
    told += ["2 cores AMD EPYC, cpu", "123,456", "900 MiB", "12 a second"]
    for each in told:
        assert each in found.text, each
    assert found.row("algorithm.latent") == ["algorithm.latent", "64", "32"]
    assert [row for row in found.rows if row[0] == "algorithm.latent"][1] == [
        "algorithm.latent",
        "32 (not BASE's)",
    ]
    assert found.row("algorithm.gen") == ["algorithm.gen", "Gen"]
    assert found.row("algorithm.gen.widths") == ["algorithm.gen.widths", "(32, 64)"]
    assert found.row("algorithm.penalties") == ["algorithm.penalties", "(R1(gamma=0.3),)"]
    assert "Not recorded" not in found.text


def test_the_share_of_the_peak_is_told_where_it_was_measured(tmp_path):
    assert "Share of peak" not in single(full(tmp_path / "gan" / "a-0123abcd")).text
    speed = [{"step": i, "steps/s": 1.0, "mfu": 0.1 * i} for i in (1, 4, 3)]
    found = single(full(tmp_path / "gan" / "b-0123abcd", **{"speed.jsonl": speed}))
    assert "Share of peak30 % (median)" in found.text


def test_numbers_stand_beside_intervals_real_data_and_published_ones(tmp_path):
    found = single(full(tmp_path / "gan" / "digits-0123abcd"))
    assert found.row("fd_pca64") == [
        "fd_pca64",
        "4.93 [4.81, 5.07], n 2000, real 4.91",
        "4.9 (A [1])",
    ]
    assert found.row("recall") == [
        "recall",
        "nan, n 360",
        "",
    ]  # that of "metrics"; the published one is of "samples"
    assert found.row("recognised") == ["recognised", "0.9912", "0.98", ""]
    assert [row for row in found.rows if row[0] == "recall"][1] == [
        "recall",
        "0.6",
        "",
        "0.61 (B)",
    ]
    assert found.row("by_class")[1] == "0.5, 0.25" and "recognised_real" not in found.text
    assert found.row("bits_per_dim [bits/dim]") == [
        "bits_per_dim [bits/dim]",
        "not measured",
        "2.65 (C)",
    ]
    assert found.row("Euler() 1") == ["Euler() 1", "36.55", ""] and found.row("Heun() 1") == [
        "Heun() 1",
        "",
        "inf",
    ]


def test_entries_of_the_same_names_share_a_table(tmp_path):
    results = {f"step {i}": {"modes": i, "good": i / 10} for i in range(3)} | {
        "other": {"kl": 1.5}
    }
    found = single(make(tmp_path / "r", {"results.json": results}))
    assert ["entry", "modes", "good"] in found.rows and found.row("step 2") == [
        "step 2",
        "2",
        "0.2",
    ]
    assert found.row("kl") == ["kl", "1.5"]
    results = {"metrics": {"kl": {"value": 1.0, "low": 0.5, "high": 2.0}}, "other": {"kl": 3.0}}
    found = single(
        make(tmp_path / "s", {"results.json": results})
    )  # metrics have their intervals, so a table
    assert [row for row in found.rows if row[0] == "kl"] == [["kl", "1 [0.5, 2]"], ["kl", "3"]]


def test_times_add_up_over_the_sessions_of_a_run(tmp_path):
    facts = read(full(tmp_path / "r"))
    assert facts.seconds == 30.5 + 18.25 and facts.last_step == 400
    assert "48.8 s" in single(facts.directory).text
    short = make(tmp_path / "s", {"metrics.jsonl": [{"step": 100, "train/loss": 1.0}]})
    assert "100 of 400" in single(short).text


@pytest.mark.parametrize(
    "value, shown",
    [
        (4.93, "4.93"),
        (227.95568, "228.0"),
        (7203.98, "7204"),
        (0.00123449, "0.001234"),
        (1.0824603551085944e-15, "1.082e-15"),
        (231456.7, "231,500"),
        (123456, "123,456"),
        (2000, "2000"),
        (25.0, "25"),
        (-0.5, "-0.5"),
        ("nan", "nan"),
        ("-inf", "-inf"),
        ({"__float__": "inf"}, "inf"),
        (True, "yes"),
        ("a <word>", "a <word>"),
        ([1, 0.33333], "1, 0.3333"),
        (list(range(30)), ", ".join(map(str, range(24))) + ", ... (30 in all)"),
    ],
)
def test_four_significant_digits(value, shown):
    assert text.digits(value) == shown


def test_what_is_a_number():
    values = (3, 2.5, "inf", {"__float__": "-inf"}, True, None, "3", {}, [1])
    assert [number(value) for value in values] == [
        3,
        2.5,
        math.inf,
        -math.inf,
        None,
        None,
        None,
        None,
        None,
    ]


def test_what_differs_between_configs():
    one = {"a": {"__type__": "m:A", "x": 1, "y": 2.0}, "b": 1, "published": []}
    two = {"a": {"__type__": "m:A", "x": True, "y": 2.0}, "c": None, "published": [1]}
    three = {"a": {"__type__": "m:B", "x": 1}, "b": 1}
    assert dict(text.differing([one, two])) == {
        "a.x": ["1", "True"],
        "b": ["1", "absent"],
        "c": ["absent", "None"],
    }
    assert dict(text.differing([one, three])) == {"a": ["A(x=1, y=2.0)", "B(x=1)"]}
    assert not list(text.differing([one, one]))
    long = {"a": {"__type__": "m:B", "x": 1, "y": "y" * 60, "z": 3, "only": 5}}
    assert dict(
        text.differing([{"a": one["a"]}, long, long | {"a": long["a"] | {"z": 4}}])
    ) == {
        "a": ["A", "B", "B"],
        "a.y": ["2.0", repr("y" * 60), repr("y" * 60)],
        "a.z": ["absent", "3", "4"],
    }


def test_durations():
    assert [text.duration(s) for s in (3.14159, 59.96, 60, 531.2, 5406.4)] == [
        "3.14 s",
        "60 s",
        "1 min 0 s",
        "8 min 51 s",
        "1 h 30 min",
    ]


def polylines(found, of):
    """{label: points} of the curves in the chart with that title."""
    start = next(
        i
        for i, (t, a) in enumerate(found.tags)
        if t == "svg" and a.get("aria-label", "").startswith(of)
    )
    stop = next(i for i, (t, _) in enumerate(found.tags) if t == "ul" and i > start)
    points = [a["points"] for t, a in found.tags[start:stop] if t == "polyline"]
    return [[tuple(map(float, pair.split(","))) for pair in line.split()] for line in points]


def test_training_and_held_out_values_share_a_chart_on_the_right_scale(tmp_path):
    metrics = [
        {"step": s, "train/loss": 10.0**k, "train/mse": k * 5.0}
        for k, s in enumerate((10, 20, 30))
    ]
    metrics += [{"step": s, "test/loss": 10.0**k} for k, s in enumerate((10, 20, 30))]
    found = single(make(tmp_path / "r", {"metrics.jsonl": metrics}))
    train, test = polylines(found, "loss over training steps")
    assert (
        train == test and "loss, log scale" in found.text
    )  # spans 100 times: 1, 10, 100 lie in equal distances
    (mse,) = polylines(found, "mse over training steps")
    for (x0, y0), (x1, y1), (x2, y2) in (train, mse):
        assert (
            x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
            and y0 - y1 == pytest.approx(y1 - y2, abs=0.11)
            and y0 > y1
        )
    assert "mse, log scale" not in found.text  # it holds a zero
    classes = [a["class"] for a in found.all("polyline")]
    assert classes[:2] == ["curve c0 d0", "curve c1 d1"]
    assert (
        found.text.count("train 100") == 1 and found.text.count("test 100") == 1
    )  # last values, in the legend


@pytest.mark.parametrize("high, log", [(29.0, False), (31.0, True)])
def test_the_scale_is_logarithmic_beyond_a_span_of_thirty(high, log):
    drawn = svg.chart("x", [svg.Curve("a", [(0, 1.0), (1, high)], 0, "a")])
    assert ("log scale" in drawn) == log


def test_values_that_cannot_be_drawn_are_told(tmp_path):
    metrics = [
        {"step": s, "train/loss": "nan" if s == 2 else s, "train/bad": "inf", "train/n": 3}
        for s in range(4)
    ]
    found = single(make(tmp_path / "r", {"metrics.jsonl": metrics}))
    assert "Values left out because they are not finite: 1." in found.text
    assert "Never changed: n 3." in found.text and "Never finite: bad." in found.text
    (loss,) = polylines(found, "loss")
    assert len(loss) == 3


@pytest.mark.parametrize(
    "values",
    [
        [1e308, -1e308],
        [1e-320, 1.0],
        [0.0, 5e-324],
        [1e16, 1e16 + 2],
        [1.0, 1.0 + 2**-52],
        [-1e299, 1e299],
        [0.5],
    ],
)
def test_no_value_breaks_a_chart(values):
    drawn = svg.chart("x", [svg.Curve("a", list(enumerate(values)), 0, "a")])
    for place in re.findall(r' (?:cx|cy|x\d?|y\d?)="([^"]*)"', drawn or ""):
        assert math.isfinite(float(place))


def test_thinning_keeps_ends_and_extremes():
    points = [(i, math.sin(i / 50)) for i in range(5000)]
    points[1234], points[4321] = (1234, 9.0), (4321, -9.0)
    thin = svg.thin(points)
    assert len(thin) <= 400 and thin[0] == points[0] and thin[-1] == points[-1]
    assert (1234, 9.0) in thin and (4321, -9.0) in thin and thin == sorted(thin)
    assert svg.thin(points[:400]) == points[:400]


def test_labels_keep_apart_and_in_order():
    places = svg.spread([50.0, 51.0, 199.0, 52.0, 200.0], 10.0, 200.0, 12.0)
    assert places[0] == 50.0 and sorted(places) == [places[i] for i in (0, 1, 3, 2, 4)]
    assert (
        min(b - a for a, b in zip(sorted(places), sorted(places)[1:], strict=False))
        >= 12.0 - 1e-9
    )
    assert max(places) <= 200.0


def test_marks_of_axes():
    assert [t for _, t in svg.linear(0.0, 4000.0, 4).ticks] == [
        "0",
        "1000",
        "2000",
        "3000",
        "4000",
    ]
    assert [t for _, t in svg.linear(0.99991, 0.99995).ticks] == [
        "0.99991",
        "0.99992",
        "0.99993",
        "0.99994",
        "0.99995",
    ]
    assert [t for _, t in svg.linear(0.0, 400_000.0, 4).ticks] == [
        "0",
        "100k",
        "200k",
        "300k",
        "400k",
    ]
    assert [t for _, t in svg.logarithmic(0.5, 2000.0).ticks] == ["1", "10", "100", "1000"]
    assert svg.logarithmic(1.0, 100.0).place(10.0) == pytest.approx(0.5)


def test_pictures_are_in_the_page_each_once(tmp_path):
    folder = full(tmp_path / "gan" / "digits-0123abcd")
    (folder / "samples" / "torn.png").write_bytes(b"\x89PNG")
    found = single(folder)
    images = {attributes["alt"]: attributes for attributes in found.all("img")}
    steps = [50, 100, 150, 250, 300, 350, 400]  # six spread over training and the last
    assert [alt for alt in images if alt.startswith("samples")] == [
        f"samples after {s} steps of gan digits" for s in steps
    ]
    assert (
        "1 more grids are in samples/." in found.text
        and "400 steps (also samples.png)" in found.text
    )
    last = images["samples after 400 steps of gan digits"]
    assert base64.b64decode(last["src"].removeprefix("data:image/png;base64,")) == png(shade=8)
    assert (last["width"], last["height"]) == ("128", "128")  # 16 pixels, 8 times
    assert images["walk of gan digits"]["src"].startswith("data:image/gif;base64,")
    assert (images["walk of gan digits"]["width"], images["walk of gan digits"]["height"]) == (
        "140",
        "70",
    )
    assert len(images) == len(steps) + 2 and "Not readable as pictures: torn.png" in found.text


def test_a_config_alone_is_enough(tmp_path):
    found = single(make(tmp_path / "density" / "kernel-89abcdef", {}))
    assert "density: kernel" in found.text and "Not recorded" in found.text
    assert [attributes["id"] for attributes in found.all("h2")] == ["setup", "config"]
    assert not found.all("svg") and not found.all("img")


def test_a_torn_last_line_is_passed_over(tmp_path):
    whole = lines([{"step": 1, "train/loss": 2.0}, {"step": 2, "train/loss": 1.0}])
    facts = read(make(tmp_path / "r", {"metrics.jsonl": whole + '{"step": 3, "tra'}))
    assert facts.curves == {"train/loss": [(1, 2.0), (2, 1.0)]}


def test_everything_is_escaped(tmp_path):
    nested = {NASTY: {NASTY: 1.0}, "plain": NASTY, NASTY + "list": [NASTY]}
    about = dict.fromkeys(
        ("experiment", "ablation", "question", "command", "hardware", "data", "start"), NASTY
    )
    about |= {"differences": {NASTY: [NASTY, NASTY]}, "versions": {NASTY: NASTY}}
    published = [{"entry": NASTY, "name": NASTY, "value": NASTY, "source": NASTY}]
    files = {
        "run.json": about,
        "config.json": config(
            **{
                NASTY: NASTY,
                "published": published,
                "x": {"__type__": f"a:{NASTY}", NASTY: [NASTY]},
            }
        ),
        "results.json": {
            NASTY: nested,
            "metrics": {NASTY: {"value": NASTY, "low": NASTY, "high": NASTY}},
        },
        "metrics.jsonl": [
            {"step": s, f"{NASTY}/{NASTY}": s, "train/" + NASTY: 2 * s} for s in (1, 2, 3)
        ],
    }
    name = NASTY.replace("/", "|")
    runs = [
        make(tmp_path / f"{i}{name}", files, {f"{name}.png": png(), f"{name}.gif": b"GIF"})
        for i in range(2)
    ]
    for written in (report.write(runs[:1]), report.write(runs, tmp_path / "c.html")):
        found = Page(written.read_text())
        assert not found.all("script")
        assert all(
            not attributes for attributes in found.all("b")
        )  # the legend's own have none
        assert NASTY in found.text and "&amp;amp;" in written.read_text()
    assert tag("p", "<", Html("<br>"), class_='"') == '<p class="&quot;">&lt;<br></p>'


def pages(tmp_path):
    runs = [
        full(tmp_path / "gan" / "digits-0123abcd"),
        full(tmp_path / "gan" / "hinge-0123abce"),
    ]
    several = report.write(swept(tmp_path / "swept") + runs, tmp_path / "swept.html")
    return [report.write(runs[:1]), report.write(runs, tmp_path / "two.html"), several]


def test_pages_are_whole_and_sound(tmp_path):
    for written in pages(tmp_path):
        source, found = written.read_text(), Page(written.read_text())
        assert source.startswith("<!doctype html>") and found.all("html") == [{"lang": "en"}]
        assert not {"script", "link", "iframe", "object", "base"} & {
            name for name, _ in found.tags
        }
        for _, attributes in found.tags:
            assert attributes.get("src", "data:").startswith("data:") and attributes.get(
                "href", "#"
            ).startswith("#")
            assert not [key for key in attributes if key.startswith("on")]
        assert "url(" not in source and "@import" not in source
        policy = next(a["content"] for a in found.all("meta") if "http-equiv" in a)
        assert policy.startswith("default-src 'none';") and "http" not in policy
        ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
        assert len(set(ids)) == len(ids)
        pointed = [a["href"][1:] for a in found.all("a")] + [
            a["aria-labelledby"] for _, a in found.tags if "aria-labelledby" in a
        ]
        assert set(pointed) <= set(ids) and len(found.all("title")) == 1
        levels = [int(name[1]) for name, _ in found.tags if re.fullmatch("h[1-6]", name)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))
        assert found.all("img") and all(a["alt"].strip() for a in found.all("img"))
        assert all(a.get("aria-label") or a.get("aria-hidden") for a in found.all("svg"))
        assert found.all("th") and all(
            a["scope"] in ("row", "col", "colgroup") for a in found.all("th")
        )
        assert len(found.all("caption")) == len(found.all("table"))
        assert len(
            [a for a in found.all("div") if "scroll" in a.get("class", "").split()]
        ) == len(found.all("table"))


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_in_light_and_dark():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    schemes = [
        dict(re.findall(r"--(\w+): (#\w{6});", part))
        for part in re.findall(r":root \{([^}]*)\}", style.CSS)
    ]
    assert (
        len(schemes) == 2
        and luminance(schemes[0]["paper"]) > 0.9
        and luminance(schemes[1]["paper"]) < 0.05
    )
    for scheme in schemes:
        for ground in ("paper", "raised"):
            assert (
                min(contrast(scheme[name], scheme[ground]) for name in ("ink", "soft", "link"))
                >= 4.5
            )
        curves = [scheme[f"c{i}"] for i in range(style.COLOURS)]
        assert (
            min(contrast(colour, scheme["paper"]) for colour in curves) >= 3.0
            and len(set(curves)) == style.COLOURS
        )
    assert not set(re.findall(r"#[0-9a-fA-F]{3,8}\b", style.CSS)) - {
        c for scheme in schemes for c in scheme.values()
    }


def test_curves_are_told_apart_without_colour():
    looks = [svg._classes(slot, "curve") for slot in range(42)]
    assert len(set(looks)) == 42 and len(set(style.DASHES)) == len(style.DASHES)
    assert (
        len({look.split()[2] for look in looks[:7]}) == 7
    )  # seven runs differ in their dashes alone


def test_a_comparison_has_a_row_a_run(tmp_path, monkeypatch):
    second = {
        "metrics": {
            "fd_pca64": {"value": 5.5, "low": 5.4, "high": 5.6, "n": 2000, "floor": 4.91}
        },
        "samples": {"recognised": 0.5, "alone": 1.0},
        "samplers": {"Euler() 1": {"distance": 12.0}},
    }
    changed = config(algorithm=config()["algorithm"] | {"penalties": [], "latent": 16})
    one = full(tmp_path / "gan" / "digits-0123abcd")
    about = ABOUT | {"ablation": "hinge", "parameters": 99}
    two = full(
        tmp_path / "gan" / "hinge-0123abce",
        **{"results.json": second, "run.json": about, "config.json": changed},
    )
    monkeypatch.chdir(tmp_path)
    written = report.write([one, two, one])  # the same run twice is one run
    assert written == Path("comparison.html") and not (one / "report.html").exists()
    found = Page(written.read_text())
    assert "gan: 2 runs compared" in found.text and found.text.count("Which game?") == 1
    fields = ["algorithm.latent", "algorithm.penalties"]
    columns = ["metrics", "samples", "steps", "parameters", "training [s]"]
    assert found.rows[0] == ["run", "samples", *fields, *columns]
    assert found.rows[1] == ["fd_pca64", "recall", "recognised"]
    digits = ["32", "(R1(gamma=0.3),)", "4.93 [4.81, 5.07], n 2000, real 4.91", "nan, n 360"]
    assert found.rows[2] == ["digits", "", *digits, "0.9912", "400", "123,456", "48.75"]
    hinge = ["16", "()", "5.5 [5.4, 5.6], n 2000, real 4.91", ""]
    assert found.rows[3] == ["hinge", "", *hinge, "0.5", "400", "99", "48.75"]
    assert found.rows[4][:6] == ["published", "", "", "", "4.9 (A [1])", ""]
    assert found.rows[5] == ["run", *fields]
    assert found.rows[6:8] == [["digits", *digits[:2]], ["hinge", *hinge[:2]]]
    assert found.row("Euler() 1: distance") == ["Euler() 1: distance", "36.55", "12"]
    assert (
        "1 digits 2.5" in found.text and "2 hinge 2.5" in found.text
    )  # the legend of train/loss
    assert [a["id"] for a in found.all("details") if "id" in a] == ["run1", "run2"]
    assert "1-setup" in written.read_text() and "2-config" in written.read_text()


def swept(tmp_path, betas=(1.0, 2.0, 4.0), seeds=(0, 1, 2)):
    """The runs of a sweep: loss = beta + seed, kl = 10 beta + 2 seed, and curves that say so."""
    folders = []
    for beta in betas:
        for seed in seeds:
            name = f"betas_beta{beta}_seed{seed}"
            loss = beta + seed
            algorithm = {"__type__": "vae:VAE", "beta": beta}
            files = {
                "config.json": config(algorithm=algorithm, seed=seed, runs=f"runs{seed}"),
                "run.json": {"experiment": "vae", "ablation": name, "seed": seed},
                "results.json": {
                    "metrics": {"fd": {"value": 5.0, "low": 4.0, "high": 6.0, "n": 9}},
                    "bound": {"kl": 10 * beta + 2 * seed},
                    "each": {"zero": {"kl": seed}},
                },
                "metrics.jsonl": [
                    {"step": step, "train/loss": loss + 1 / step, "test/loss": loss}
                    for step in range(1, 21)
                ],
            }
            folders.append(make(tmp_path / "vae" / f"{name}-{len(folders):08x}", files))
    return folders


def bars(found, title):
    """The bars and bands in the chart of that title."""
    titles = [a.get("aria-label", "") for t, a in found.tags if t in ("svg", "line", "polygon")]
    start = next(i for i, label in enumerate(titles) if label.startswith(title))
    inside = [(t, a) for t, a in found.tags if t in ("svg", "line", "polygon")][start + 1 :]
    drawn = list(itertools.takewhile(lambda pair: "aria-label" not in pair[1], inside))
    upright = [a for t, a in drawn if t == "line" and a["x1"] == a["x2"]]
    return upright, [a for t, a in drawn if t == "polygon"]


def test_runs_that_differ_in_their_seed_alone_are_one_row(tmp_path):
    folders = swept(tmp_path)
    found = Page(report.write(folders, tmp_path / "c.html").read_text())
    table = found.rows.index(["runs", "algorithm.beta", "n", "metrics", "bound", "test, last"])
    assert found.rows[table + 1] == ["fd", "kl", "loss"]
    assert found.rows[table + 2 : table + 5] == [
        ["betas_beta1.0", "1.0", "3", "5 ± 0", "12 ± 2", "2 ± 1"],
        ["betas_beta2.0", "2.0", "3", "5 ± 0", "22 ± 2", "3 ± 1"],
        ["betas_beta4.0", "4.0", "3", "5 ± 0", "42 ± 2", "5 ± 1"],
    ]
    assert found.row("each, zero: kl")[1:] == ["1 ± 1"] * 3
    assert found.row("betas_beta2.0_seed1")[1:3] == ["2.0", "1"]  # beside the numbers of a run
    # mean curves with bands, and numbers over the field with bars
    upright, bands = bars(found, "loss, train, mean over seeds over training steps")
    assert not upright and len(bands) == 3
    upright, bands = bars(found, "kl, bound over algorithm.beta")
    assert not bands and len(upright) == 3 and len({bar["x1"] for bar in upright}) == 3
    (first, _, last), *_ = polylines(found, "kl, bound over algorithm.beta")
    x, low, high = (float(upright[0][name]) for name in ("x1", "y1", "y2"))
    assert first == (x, pytest.approx((low + high) / 2, abs=0.11)) and first[1] > last[1]
    assert not [a for a in found.all("svg") if a.get("aria-label", "").startswith("fd,")]


def test_a_seed_counts_once_and_alone_it_has_no_deviation(tmp_path):
    one, two = swept(tmp_path, betas=(1.0,), seeds=(0, 3))
    alone = swept(tmp_path / "alone", betas=(2.0,), seeds=(0,))
    copy = tmp_path / "copy" / "vae" / one.name
    shutil.copytree(one, copy)
    (two / "results.json").write_text(json.dumps({"bound": {"kl": "inf"}}))
    found = Page(report.write([one, two, copy, *alone], tmp_path / "c.html").read_text())
    rows = [
        row for row in found.rows if row[0].startswith("betas_beta") and "seed" not in row[0]
    ]
    assert rows == [
        ["betas_beta1.0", "1.0", "2", "5, n 1", "inf", "2.5 ± 2.1"],
        ["betas_beta2.0", "2.0", "1", "5", "20", "2"],
    ]
    found = Page(report.write([one, copy, *alone], tmp_path / "c.html").read_text())
    assert "Over seeds" not in found.text  # no two seeds of anything


def test_numbers_of_other_steps_and_settings_are_in_no_mean(tmp_path):
    folders = swept(tmp_path, betas=(1.0, 2.0, 4.0), seeds=(0, 1, 2))
    # one run was killed, of three another entry was measured with other settings
    killed = [
        {"step": step, "train/loss": 99.0, "test/loss": 100.0 + step} for step in range(1, 4)
    ]
    (folders[2] / "metrics.jsonl").write_text(lines(killed))
    (folders[2] / "results.json").unlink()
    results = json.loads((folders[3] / "results.json").read_text())
    settings = {"settings": {"sampler": "Heun(n=9)"}}
    for folder in folders[3:6]:
        kept = results | {"about": {"measured": {"bound": settings, "each": settings}}}
        (folder / "results.json").write_text(json.dumps(kept))
    other = results | {"about": {"measured": {"metrics": settings, "each": settings}}}
    (folders[6] / "results.json").write_text(json.dumps(other))
    found = Page(report.write(folders, tmp_path / "c.html").read_text())
    table = found.rows.index(["runs", "algorithm.beta", "n", "metrics", "bound", "test, last"])
    rows = found.rows[table + 2 : table + 5]
    assert [row[2:] for row in rows] == [
        ["3", "5 ± 0, n 2", "11 ± 1.4, n 2", "1.5 ± 0.71, n 2"],
        ["3", "5 ± 0", "20 ± 0, measured with sampler=Heun(n=9)", "3 ± 1"],
        ["3", "5 ± 0, n 2", "35.33 ± 13", "5 ± 1"],
    ]
    nested = found.row("each, zero: kl")[1:]
    assert nested == [
        "0.5 ± 0.71, n 2",
        "0 ± 0, measured with sampler=Heun(n=9)",
        "1.5 ± 0.71, n 2",
    ]
    early = "Left out: the last values of 1 run, of an earlier step than those of the others; "
    row_by_row = "metrics of 1 run, measured otherwise than in most; each of 1 run"
    assert early + row_by_row in found.text
    # a chart is of all rows: of one group it shows what most runs of the page have
    line, *_ = polylines(found, "kl, bound over algorithm.beta")
    assert len(line) == 2
    line, *_ = polylines(found, "loss, test, last over algorithm.beta")
    assert len(line) == 3 and f"{early}bound of 3 runs" in found.text


def test_a_group_that_ended_early_is_no_point_beside_the_others(tmp_path):
    folders = swept(tmp_path, betas=(1.0, 2.0, 3.0, 4.0), seeds=(0,))
    (folders[0] / "metrics.jsonl").write_text(lines([{"step": 3, "test/loss": 50.0}]))
    # who was asked for fewer steps is at its end
    config_of = json.loads((folders[1] / "config.json").read_text())
    (folders[1] / "config.json").write_text(json.dumps(config_of | {"steps": 3}))
    (folders[1] / "metrics.jsonl").write_text(lines([{"step": 3, "test/loss": 2.0}]))
    found = Page(report.write(folders, tmp_path / "c.html").read_text())
    line, *_ = polylines(found, "loss, test, last over algorithm.beta")
    assert len(line) == 3
    assert (
        "Left out: the last values of 1 run, of an earlier step than those of the others."
        in found.text
    )
    # what all have measured otherwise than their configs say, says so
    settings = {"about": {"measured": {"bound": {"settings": {"steps": "9"}}}}}
    for folder in folders:
        results = json.loads((folder / "results.json").read_text())
        (folder / "results.json").write_text(json.dumps(results | settings))
    found = Page(report.write(folders, tmp_path / "c.html").read_text())
    line, *_ = polylines(found, "kl, bound, measured with steps=9 over algorithm.beta")
    assert len(line) == 4


def test_what_changes_no_result_tears_no_seeds_apart(tmp_path):
    start = {"__type__": "genjax.training.begin:Start", "of": "0123abcd@8", "partial": False}
    data = {"__type__": "genjax.data.folder:Folder", "content": "cafe", "size": 8}
    inner = config(data=data | {"path": "a"}, seed=0, runs="x", track=[])
    encoded = {"__type__": "genjax.training.encoded:Encoded", "scaled": True}
    # a run from before there were some of the fields, on another machine, of a class that has moved since
    old = {"data": encoded | {"experiment": inner}, "start": start | {"run": "a", "step": None}}
    new = {
        "__type__": "genjax.elsewhere:Experiment",
        "data": encoded | {"experiment": inner | {"runs": "y", "data": data | {"path": "b"}}},
        "start": start | {"run": "b", "step": 8},
        "track": [{"__type__": "genjax.training.trackers:TensorBoard"}],
        "keep": 5,
        "watchdog": 0.0,
        "every": {"__type__": "genjax.training.experiment:Every", "log": 1},
        "view": [],
        "condition": None,
    }
    folders = []
    for i, changes in enumerate((old, new)):
        files = {"config.json": config(seed=i, **changes)}
        folders.append(read(make(tmp_path / "vae" / f"base-{i:08x}", files)))
    (group,) = groups_of(folders)
    assert len(group.runs) == 2 and not few_fields([group.config, group.config])
    assert [path for path, _ in few_fields([run.config for run in folders])] == ["seed"]
    # fields of the same names elsewhere, and what another run is of, do change results
    others = [
        {"algorithm": config()["algorithm"] | {"every": 4}},
        {"start": start | {"of": "0123abcd@4"}},
        {"data": encoded | {"experiment": inner | {"seed": 1}}},
        {"view": [{"__type__": "genjax.views:Flip"}]},
    ]
    for i, changes in enumerate(others, 2):
        files = {"config.json": config(seed=i, **{**old, **changes})}
        folders.append(read(make(tmp_path / "vae" / f"base-{i:08x}", files)))
    assert [len(group.runs) for group in groups_of(folders)] == [2, 1, 1, 1, 1]


def test_lines_over_a_field_are_those_of_the_others(tmp_path):
    folders = []
    for lr in (0.001, 0.01, 0.1):
        for width in (8, 16):
            algorithm = {"__type__": "vae:VAE", "lr": lr, "warmup": lr * 5, "width": width}
            files = {
                "config.json": config(algorithm=algorithm),
                "results.json": {"bound": {"kl": lr * width}},
            }
            folders.append(make(tmp_path / "vae" / f"lrs_lr{lr}_width{width}-0123abcd", files))
    found = Page(report.write(folders, tmp_path / "c.html").read_text())
    lines = polylines(found, "kl, bound over algorithm.lr")
    assert len(lines) == 2 and "1 width=8 " in found.text and "2 width=16 " in found.text
    (a, _), (b, _), (c, _) = lines[0]
    assert b - a == pytest.approx(c - b, abs=0.11)  # a rate spans decades
    assert "Over seeds" not in found.text


@pytest.mark.parametrize(
    "values, shown",
    [
        ([3.0], "3"),
        ([0.1, 0.1, 0.1], "0.1 ± 0"),
        ([1, 2], "1.5 ± 0.71"),
        ([1e200, -1e200], "0"),  # squares overflow: no deviation
        ([1.0, math.inf], "inf"),
        ([math.nan, 1.0], "nan"),
    ],
)
def test_means(values, shown):
    assert str(mean_of(values)) == shown


def test_what_is_no_run_is_passed_over_beside_those_that_are(tmp_path, capsys, monkeypatch):
    good, other = (
        make(tmp_path / "vae" / "a-01234567", {}),
        make(tmp_path / "vae" / "b-0123", {}),
    )
    page, locked = tmp_path / "vae" / "old.html", tmp_path / "vae" / "c-0123"
    page.write_text("x")
    locked.mkdir()
    (locked / "lock").touch()
    out = tmp_path / "x.html"
    assert report.main([str(p) for p in (good, page, locked, other)] + [f"--out={out}"]) == 0
    told = capsys.readouterr()
    assert told.out == f"{out}\n"
    assert told.err == f"passed over, as no run is there: {page}, {locked}\n"
    assert "2 runs compared" in out.read_text()
    assert report.main([str(page), str(good)]) == 0  # one is left: its own report
    assert capsys.readouterr().out == f"{good / 'report.html'}\n"
    out.unlink()
    (good / "report.html").unlink()
    (other / "config.json").write_text("{")
    bad = (
        ([page], "is not a run directory"),
        ([page, locked], "is not a run directory"),
        ([good, tmp_path / "vae" / "typo"], "there is no such folder"),
        ([good, other], "config.json is not valid JSON"),  # a run, to be mended and not missed
    )
    for paths, why in bad:
        assert report.main([str(path) for path in paths] + [f"--out={out}"]) == 2
        err = capsys.readouterr().err
        assert why in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*.html")] == ["old.html"]


def test_home_is_known_where_the_shell_has_not_seen_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    make(tmp_path / "vae" / "a-01234567", {})
    assert report.main(["~/vae/a-01234567", "--out=~/a.html"]) == 0
    assert (
        capsys.readouterr().out == f"{tmp_path / 'a.html'}\n" and (tmp_path / "a.html").exists()
    )
    assert report.main(["~nobody-of-that-name/a"]) == 2
    assert "~nobody-of-that-name/a is not a run directory" in capsys.readouterr().err


def test_names_that_a_terminal_cannot_show_are_spelt(tmp_path, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert report.main([str(make(tmp_path / "vae" / "größe-01234567", {}))]) == 0
    out.flush()
    assert b"/gro?e-01234567/report.html" in out.buffer.getvalue()


def test_runs_of_one_name_are_told_apart(tmp_path):
    folders = [
        tmp_path / "a" / "vae" / "base-00000000",
        tmp_path / "a" / "vae" / "base-00000001",
    ]
    folders += [
        tmp_path / "b" / "vae" / "base-00000001",
        tmp_path / "a" / "gan" / "base-00000001",
    ]
    found = Page(report.write([make(f, {}) for f in folders], tmp_path / "c.html").read_text())
    names = [row[0] for row in found.rows if row[0].startswith(("vae", "gan"))]
    assert len(set(names)) == 4 and names[0] == "vae base 00000000" and names[3] == "gan base"


def test_the_same_run_gives_the_same_bytes(tmp_path):
    folder = full(tmp_path / "gan" / "digits-0123abcd")
    first = report.write([folder]).read_bytes()
    assert (
        report.write([folder]) == folder / "report.html"
        and (folder / "report.html").read_bytes() == first
    )
    assert report.write([str(folder)], tmp_path / "x.html") == tmp_path / "x.html"
    assert not list(folder.glob("*.new"))


def _break(folder, name, content):
    (folder / name).write_bytes(content)
    return [str(folder)]


@pytest.mark.parametrize(
    "arguments, told",
    [
        (lambda f: [], "no run directory is given"),
        (lambda f: [str(f / "nowhere")], "is not a run directory: there is no such folder"),
        (lambda f: [str(f.parent)], "it holds no config.json. Did you mean"),
        (lambda f: [str(f / "config.json")], "is not a run directory"),
        (lambda f: [str(f), "--seed=3"], "unknown flag --seed=3"),
        (lambda f: [str(f), "--out"], "--out: missing value"),
        (lambda f: [str(f), "--out="], "--out: missing value"),
        (lambda f: [str(f), f"--out={f}"], "is a folder"),
        (lambda f: [str(f), "--out", str(f / "no" / "x.html")], "cannot write"),
        (lambda f: _break(f, "config.json", b"{"), "config.json is not valid JSON"),
        (lambda f: _break(f, "config.json", b"\xff\xfe"), "cannot read"),
        (lambda f: _break(f, "config.json", b"[1]"), "must hold a JSON object, got list"),
        (lambda f: _break(f, "results.json", b'{"a": '), "results.json is not valid JSON"),
        (
            lambda f: _break(f, "run.json", b'{"differences": 3}'),
            "'differences' has the wrong type (int)",
        ),
        (
            lambda f: _break(f, "run.json", b'{"differences": {"a": "b"}}'),
            "'differences' of 'a' must be",
        ),
        (
            lambda f: _break(f, "metrics.jsonl", b'{"step": 1}\nx\n{"step": 2}\n'),
            "metrics.jsonl, line 2 is not valid",
        ),
        (
            lambda f: _break(f, "speed.jsonl", b'{"seconds": 1}\n'),
            "line 1 must be a JSON object with an integer 'step'",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, told, tmp_path, capsys):
    folder = make(tmp_path / "vae" / "base-0123abcd", {})
    assert report.main(arguments(folder)) == 2
    shown = capsys.readouterr()
    assert (
        told in shown.err
        and shown.err.startswith("error: ")
        and shown.err.count("\n") == 1
        and not shown.out
    )
    assert not list(tmp_path.rglob("*.html*"))


def test_write_raises_what_main_prints(tmp_path):
    with pytest.raises(UserError, match="is not a run directory"):
        report.write([tmp_path])


def program(*arguments, **options):
    root = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, **options
    )


def test_the_command(tmp_path):
    folder = full(tmp_path / "gan" / "digits-0123abcd")
    done = program("-m", "genjax.report", str(folder))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{folder / 'report.html'}\n", "")
    failed = program("-m", "genjax.report", "nowhere", cwd=tmp_path)
    assert (
        failed.returncode == 2
        and failed.stderr.startswith("error: nowhere is not a run")
        and not failed.stdout
    )


def test_neither_jax_nor_matplotlib_is_imported():
    heavy = "{'jax', 'flax', 'numpy', 'matplotlib', 'PIL'}"
    done = program(
        "-c", f"import sys, genjax.report; print(sorted({heavy} & set(sys.modules)))"
    )
    assert done.stdout == "[]\n", done.stderr


def test_a_usual_report_takes_less_than_half_a_second(tmp_path):
    metrics = [
        {"step": s} | {f"train/m{k}": math.sin(s * k) for k in range(1, 13)}
        for s in range(1000)
    ]
    folder = full(tmp_path / "r", **{"metrics.jsonl": metrics})
    times = []
    for _ in range(3):
        start = time.process_time()  # its own work, whatever else the machine does
        written = report.write([folder])
        times.append(time.process_time() - start)
    assert min(times) < 0.5 and written.stat().st_size < 300_000
    assert len(Page(written.read_text()).all("polyline")) >= page.CHARTS


def chromium():
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    found += map(str, Path.home().glob(".cache/ms-playwright/chromium*/chrome-linux*/*chrome*"))
    return next(
        (path for path in found if path and os.access(path, os.X_OK) and Path(path).is_file()),
        None,
    )


def browse(folder, *flags):
    command = [
        chromium(),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        *flags,
    ]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=10000"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
@pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")
def test_a_browser_shows_it_on_a_phone_and_on_a_desk(tmp_path):
    from PIL import Image

    written = pages(tmp_path)
    for path in written:
        opened = re.sub(
            "<details", "<details open", re.sub("<meta http-equiv[^>]*>", "", path.read_text())
        )
        code = base64.b64encode(opened.encode()).decode()
        tell = "document.title = f.contentWindow.innerWidth + ' ' + f.contentDocument.documentElement.scrollWidth"
        frame = (
            tmp_path / "frame.html"
        )  # a headless window is at least 500 pixels wide, a frame in it is not
        frame.write_text(
            "<!doctype html><title></title><iframe id=f style='width:390px;height:3000px;border:0'></iframe><script>"
            f"const f = document.getElementById('f'); f.onload = () => {{ {tell} }};"
            f"f.srcdoc = new TextDecoder().decode(Uint8Array.from(atob('{code}'), c => c.charCodeAt(0)))</script>"
        )
        title = re.search(
            "<title>(.*?)</title>", browse(tmp_path, "--dump-dom", frame.as_uri()).stdout
        )
        inner, needed = map(int, title[1].split())
        assert inner == 390 and needed <= 390
    for flag, scheme in enumerate((style.DARK, style.LIGHT)):
        shot = tmp_path / f"{flag}.png"
        scheme_flag = f"--blink-settings=preferredColorScheme={flag}"
        browse(
            tmp_path,
            f"--screenshot={shot}",
            "--window-size=1280,3000",
            scheme_flag,
            written[0].as_uri(),
        )
        with Image.open(shot) as image:
            colours = {
                f"#{r:02x}{g:02x}{b:02x}"
                for _, (r, g, b) in image.convert("RGB").getcolors(1 << 24)
            }
            assert image.size == (1280, 3000)
        assert {
            scheme[name] for name in ("paper", "raised", "ink", "edge", "c0", "c1")
        } <= colours
