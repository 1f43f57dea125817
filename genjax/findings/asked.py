"""Do pictures show what their captions ask for? Attributes read back, by language, for what training has and has not.

A reader that has learned from real training pictures names what it sees in each sample; an attribute that the caption
says is right where the two agree. Three rows stand beside the samples: `real`, held-out pictures with their own
captions, which is the most that this reader can find; `others`, samples judged by the captions of other pictures, which
is what pictures that do not listen would get; and the same samples at other scales of guidance.

Of pictures of which captions alone are known (`reader=None`) there are no attributes to read: what is left are
R-precision, a distance on features that need no labels, whose floor is the row `real`, and nearest training pictures.
R-precision chooses among captions of which each is wrong of what was asked for; beside it stands what chance gets.

Of a share over attributes the interval is a bootstrap over pictures, of a share of pictures Wilson's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.config import edit, field
from genjax.core import size
from genjax.data.captions import text
from genjax.data.spoken.sentences import TOGETHER, WORDING, groups
from genjax.errors import UserError, at_least
from genjax.findings.samples import check_images, show, some
from genjax.findings.steering import members
from genjax.metrics.evaluate import Extractor
from genjax.metrics.features import Components
from genjax.metrics.frechet import moments
from genjax.metrics.intervals import bootstrap, frechet_interval, share
from genjax.metrics.nearest import beside, nearest
from genjax.metrics.reader import Reader
from genjax.metrics.towers import Towers, chance, precision
from genjax.pictures import draw
from genjax.pictures.draw import captioned, grid, to_uint8
from genjax.training.experiment import Experiment, home
from genjax.training.run import Run

NEEDED = ("caption", "attributes", "said", "language", "together", "wording")
TIMES = 500  # repeats of a bootstrap
JACKKNIFE = 50  # groups of a jackknife
SAID = 6  # pictures of each language with their sentences


class Number(NamedTuple):
    """An estimate with its 95 % interval, of n pictures."""

    value: float
    low: float
    high: float
    n: int


Found = dict[str, Number]


class Judges(NamedTuple):
    """What has learned from the real training pictures, and those pictures."""

    names: tuple[str, ...]  # of the attributes
    languages: tuple[str, ...]
    unseen: tuple[str, str]  # what is new to training: "combination unseen", "wording unseen"
    read: Any  # images -> reader.Read; None = no attributes are known
    extract: Any  # images -> features.Extracted
    distance: str  # what the distance on those features is called
    match: Any  # (images, captions) -> their vectors; None = not asked
    train: Mapping[str, Any]
    features: Any  # moments of the training pictures' features


def check_reads(exp: Experiment, model: Any, flag: str) -> None:
    """Raises UserError for a model, `flag` on the command line, whose frozen encoder of sentences is one of chance."""
    net = getattr(model, "net", None)
    # it would read nothing, and no number would say why
    if getattr(net, "frozen", False) and exp.start is None:
        raise UserError(
            f"{flag}.net.frozen=true keeps an encoder that has learned nothing: name a run to begin with, --start=RUN "
            "--start.partial=true, or let it learn."
        )


@dataclasses.dataclass(frozen=True)
class Asked:
    """Samples of held-out captions: asked attributes, R-precision, distance of features, nearest training pictures."""

    reader: Reader | None = field(
        Reader("attributes"), "what names the attributes of a picture; None = none are known"
    )
    towers: Towers | None = field(
        Towers(), "what matches pictures with captions; None = no R-precision"
    )
    samples: int = field(1000, "held-out captions, and pictures of them")
    scales: tuple[float, ...] = field(
        (), "scales of guidance to try; () = that of the config alone"
    )
    shown: int = field(8, "pictures of each language that are shown")
    features: Extractor = field(
        Components(),
        "what the distance is measured on where nothing reads pictures",
        added=True,
    )

    def check(self, exp: Experiment, source: Any) -> None:
        """Raises UserError for data without sentences of which all is known, and for scales that cannot be tried."""
        check_images(source)
        at_least(2, finish__Asked__samples=self.samples)
        at_least(1, finish__Asked__shown=self.shown)
        for name in NEEDED if self.reader else ("caption",):
            if name not in source.fields:
                raise UserError(
                    f"--finish.Asked needs pictures of which all is known and {source.name} has no field {name!r}: use "
                    "DigitPairs, SpokenHeads or SpokenSigns, --finish.Asked.reader=None for captions alone, or "
                    "--finish='()'."
                )
        if self.reader is None and self.towers is None:
            raise UserError(
                "--finish.Asked: with reader=None and towers=None nothing tells what captions ask for: set one of them."
            )
        check_reads(exp, exp.algorithm, "--algorithm")
        guidance = getattr(exp.algorithm, "guidance", None)
        if self.scales and not hasattr(guidance, "scale"):
            name = type(exp.algorithm).__name__
            raise UserError(f"--finish.Asked.scales: {name} has no guidance to try: use ().")

    def __call__(self, this: Run) -> dict[str, float]:
        test = some(this.source.test, min(self.samples, size(this.source.test)))
        judges = self.judges(this)
        # held-out pictures with their own captions: the most that can be read
        real = np.asarray(test["image"])
        told = {"real": self.measured(judges, real, test)}
        scales = self.scales or (None,)
        # pictures are those of the config's own scale, where it is among them
        own = getattr(getattr(this.exp.algorithm, "guidance", None), "scale", None)
        shown = own if own in scales else scales[0]
        numbers = {}
        for scale in scales:
            pictures = self.drawn(this, test, scale)
            name = "samples" if scale is None else f"scale {scale:g}"
            told[name] = self.measured(judges, pictures, test)
            if scale == scales[0]:
                told |= self.others(judges, pictures, test)
            if scale == shown:
                self.draw(this, pictures, test, judges)
            first = told[name].get("r_precision" if judges.read is None else "asked")
            if first is not None:
                numbers[name] = first.value
        for name, found in told.items():
            tell(this, name, found)
        return numbers

    def judges(self, this: Run) -> Judges:
        """The reader, and what matches pictures with captions, trained or read from beside the runs."""
        train = this.source.train
        folder = home(this.exp) / "features"
        match = None if self.towers is None else self.towers.fit(train, folder)
        kinds = this.source.fields
        if self.reader is None:
            extract = self.features.fit(train, folder)
            seen = moments(np.float64(extract(train["image"]).features))
            name = f"fd_{self.features.name}"
            languages = getattr(kinds.get("language"), "names", ())
            return Judges((), languages, ("", ""), None, extract, name, match, train, seen)
        read = self.reader.reading(train, folder)
        seen = moments(np.float64(read(train["image"]).features))
        names = kinds["attributes"].names
        languages = kinds["language"].names
        # 1 is what training has not
        unseen = (kinds["together"].names[1], kinds["wording"].names[1])
        return Judges(names, languages, unseen, read, read, "fd_reader", match, train, seen)

    def others(
        self, judges: Judges, pictures: np.ndarray, test: Mapping[str, Any]
    ) -> dict[str, Found]:
        """The row of pictures that are judged by what others were asked for; none where nothing is read."""
        if judges.read is None:
            return {}
        other = turned(test, size(test) // 2)
        return {"others": self.attributes(judges, pictures, other)}

    def drawn(self, this: Run, test: Mapping[str, Any], scale: float | None) -> np.ndarray:
        """The pictures uint8 [N, H, W, C] of the captions of `test`, picture i with noise i."""
        sample = this.algorithm.sample
        if scale is not None:
            # the weights stay, and so do noise and captions
            other = edit(this.exp.algorithm, {"guidance.scale": scale})
            sample = other(this.spec).sample
        given = {name: np.asarray(test[name]) for name in this.algorithm.asks}
        given["index"] = np.arange(size(test), dtype=np.uint32)
        return to_uint8(this.draw(sample, given))

    def measured(
        self,
        judges: Judges,
        pictures: np.ndarray,
        test: Mapping[str, Any],
    ) -> Found:
        """All numbers of pictures [N, H, W, C] that were asked for by the captions of `test`."""
        found = {} if judges.read is None else self.attributes(judges, pictures, test)
        if judges.match is not None:
            hits = precision(judges.match, pictures, test, self.towers)
            # of captions of which none is wrong of another there is none
            if len(hits):
                floor = chance(test, self.towers)
                found["r_precision"] = share_right(hits)
                found["r_precision by chance"] = Number(floor, floor, floor, len(hits))
        features = np.float64(judges.extract(pictures).features)
        # a covariance needs more rows than features, without any of the jackknife's groups too
        n, size_of = features.shape
        enough = n >= JACKKNIFE and n - -(-n // JACKKNIFE) > size_of
        if enough:
            apart = frechet_interval(judges.features, features)
            found[judges.distance] = Number(*apart, len(features))
        # far below the distance of real held-out pictures they would be copies
        distance, _ = nearest(pictures, judges.train["image"])
        mean = bootstrap(lambda rows: distance[rows].mean(), len(distance), TIMES)
        found["nearest"] = Number(*mean, len(distance))
        return found

    def attributes(
        self,
        judges: Judges,
        pictures: np.ndarray,
        test: Mapping[str, Any],
    ) -> Found:
        """Shares of asked attributes that are right: of all, by attribute, and by language and by what is unseen."""
        names = judges.names
        answers = np.asarray(judges.read(pictures).answers)
        right = agreed(answers, np.asarray(test["attributes"]), names)  # [N, G]
        columns = [own[0] for own in groups(names).values()]
        said = np.asarray(test["said"])[:, columns] > 0  # [N, G]
        found = {"asked": asked(right, said)}
        # a picture is right as a whole where nothing that was asked is wrong
        whole = np.all(right | ~said, 1)
        found["all"] = share_right(whole)
        for g, group in enumerate(groups(names)):
            rows = said[:, g]  # of who is asked for it
            if rows.any():
                found[group] = share_right(right[rows, g])
        for name, rows in parts(test, judges.languages, judges.unseen).items():
            # an interval needs two
            if len(rows) > 1:
                found[name] = asked(right[rows], said[rows])
                found[f"{name}, all"] = share_right(whole[rows])
            # single attributes of a language, and of what is unseen in all of them
            if name in judges.languages or name.startswith("all, "):
                for g, group in enumerate(groups(names)):
                    own = rows[said[rows, g]]
                    if len(own) > 1:
                        found[f"{name}, {group}"] = share_right(right[own, g])
        return found

    def draw(
        self, this: Run, pictures: np.ndarray, test: Mapping[str, Any], judges: Judges
    ) -> None:
        """Pictures of each language, their captions in the log; and each above the training picture nearest to it."""
        # of captions alone nobody knows the language
        names = judges.languages or ("captions",)
        rows = by_language({"language": np.zeros(len(pictures), int), **test}, self.shown)
        captions = text(test["caption"])
        for number, places in rows.items():
            for place in places:
                this.log.note(f"{names[number]}: {captions[place]}")
        places = np.concatenate(list(rows.values()))
        # as many of each language
        tiles = grid(pictures[places], len(places) // len(rows))
        there = [names[number] for number in rows]
        show(this, "asked", captioned(tiles, there))
        # a column of each language, with what was said
        few = [own[:SAID] for own in rows.values()]
        places_said = np.stack(few, 1).ravel()
        said = [captions[place] for place in places_said]
        show(this, "sentences", draw.told(pictures[places_said], said, len(rows)))
        show(this, "nearest", beside(pictures[places], judges.train["image"]))


def agreed(answers: np.ndarray, true: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Whether what is read [N, A] of each group is true, bool [N, G]; of a group the likeliest value is read."""
    columns = []
    for own in groups(names).values():
        # a name without values is a yes or no
        if len(own) == 1:
            same = (answers[:, own[0]] > 0.5) == (true[:, own[0]] > 0)
        else:  # of these one is true
            same = answers[:, own].argmax(1) == true[:, own].argmax(1)
        columns.append(same)
    return np.stack(columns, 1)


def share_right(hits: np.ndarray) -> Number:
    """The share of pictures [N] that are right."""
    return Number(*share(hits.sum(), len(hits)), len(hits))


def asked(right: np.ndarray, said: np.ndarray) -> Number:
    """The share of attributes that are said [N, G] and are right [N, G]."""
    hits = np.sum(right & said, 1)
    count = np.sum(said, 1)

    def of(rows: np.ndarray) -> float:
        # a draw of captions that say nothing has no share
        return float(hits[rows].sum() / max(count[rows].sum(), 1))

    return Number(*bootstrap(of, len(hits), TIMES), len(hits))


def parts(
    test: Mapping[str, Any],
    languages: tuple[str, ...],
    unseen: tuple[str, str] = (TOGETHER[1], WORDING[1]),
) -> dict[str, np.ndarray]:
    """The rows of each part of the test: {"en, combination unseen": rows, …}, of all languages too.

    unseen: what 1 in the fields `together` and `wording` is called.
    """
    language = np.asarray(test["language"])
    together = np.asarray(test["together"])
    wording = np.asarray(test["wording"])
    everyone = np.ones(len(language), bool)
    found = {}
    which = {"all": everyone}
    for number, name in enumerate(languages):
        which[name] = language == number
    for name, own in which.items():
        if name != "all":
            found[name] = np.flatnonzero(own)
        # apart from each other
        seen = own & (together == 0) & (wording == 0)
        found[f"{name}, seen"] = np.flatnonzero(seen)
        new_pair = own & (together == 1) & (wording == 0)
        found[f"{name}, {unseen[0]}"] = np.flatnonzero(new_pair)
        new_words = own & (together == 0) & (wording == 1)
        found[f"{name}, {unseen[1]}"] = np.flatnonzero(new_words)
        new_both = own & (together == 1) & (wording == 1)
        found[f"{name}, both unseen"] = np.flatnonzero(new_both)
    return found


def turned(test: Mapping[str, Any], by: int) -> dict[str, np.ndarray]:
    """The rows of a split, each in the place of another."""
    return {name: np.roll(np.asarray(test[name]), by, 0) for name in NEEDED}


def by_language(test: Mapping[str, Any], most: int) -> dict[int, np.ndarray]:
    """The first rows of each language, as many of each as the one with the fewest has, `most` at most."""
    rows = members(np.asarray(test["language"]))
    least = min(most, *map(len, rows))
    numbers = np.unique(test["language"])
    return {int(number): own[:least] for number, own in zip(numbers, rows, strict=True)}


def tell(this: Run, name: str, found: Found) -> None:
    """Records a row with its intervals, and says the most important of it."""
    entry = {}
    for key, number in found.items():
        entry[key] = number._asdict()
    this.log.result(f"asked: {name}", entry)
    words = []
    for key, (value, low, high, _) in found.items():
        # parts and single attributes are in the table alone
        if key in ("asked", "all", "r_precision", "nearest") or key.startswith("fd_"):
            words.append(f"{key} {value:.3f} [{low:.3f}, {high:.3f}]")
        # known without a draw
        if key == "r_precision by chance":
            words.append(f"{key} {value:.3f}")
    this.log.note(f"{name}: {', '.join(words)}")
