"""Talking heads of people who were not trained on: how near to the truth, and to whom they are to look like.

Of every held-out person K pictures are known, and the same further ones are to be made of their landmarks' drawings,
for all K. Rows that are measured alike: the model by K pictures, as it is and `fitted` to them, and what takes no
model: `nothing`, the first known picture as it is; `mean`, that of the K; `copy`, the one of the K whose landmarks are
nearest to those asked for; `nearest`, the same of the training person whose pictures' mean is nearest to theirs.
`truth` are the real pictures: what readers say of them is the end of what can be measured.

PSNR and SSIM are to the true picture. `landmarks` is the mean distance [pixels] of those that a reader finds from those
asked for. `csim` is the cosine of an identity reader's features of a picture and of another real one of that person
(Zakharov et al. 2019, arXiv:1905.08233, sec. 4); `stranger`, in the row of the truth, that of two people. `fd` is the
Fréchet distance from training people's pictures, whose floor is that of the truth. Readers learn of training people's
real pictures, and none was in a loss. Intervals are jackknives over people; `gains` are differences in decibels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax.config import field
from genjax.core import averaged, size
from genjax.data.batches import chosen
from genjax.data.landmarks import Drawing
from genjax.errors import UserError, at_least, distinct
from genjax.fields import Film, Points
from genjax.findings.restored import decibels, over_groups, window
from genjax.findings.samples import show, told
from genjax.findings.steering import members
from genjax.metrics.evaluate import Extractor
from genjax.metrics.features import RandomNet
from genjax.metrics.frechet import frechet, moments
from genjax.metrics.identity import CosFace, csim, verified
from genjax.metrics.images import mse, ssim
from genjax.metrics.intervals import Interval, by_group
from genjax.metrics.memorisation import neighbours
from genjax.metrics.reader import Reader
from genjax.optim import Adam, CosineDecay
from genjax.pictures.draw import animation, captioned, grid
from genjax.training.experiment import Experiment, home
from genjax.training.run import Run

TRUTH = "truth"
_TX = Adam(3e-3, weight_decay=0.02, warmup=50, decay=CosineDecay())
LANDMARKS = Reader(numbers=("landmarks",), steps=600, batch=64, optimiser=_TX)
IDENTITY = CosFace(steps=600, batch=64, optimiser=_TX)

Found = dict[str, Interval]
# images [N, H, W, C] -> numbers of each, [N, ...]
Reading = Callable[[Any], np.ndarray]


class People(NamedTuple):
    """Held-out people: P of them, S frames each, of which the last T are to be made."""

    frames: np.ndarray  # uint8 [P, S, H, W, C]
    landmarks: np.ndarray  # [P, S, 14, 2]
    drawings: np.ndarray  # [P, S, H, W, 3] in [0, 1]
    made: int  # T

    @property
    def truth(self) -> np.ndarray:
        """The pictures that are to be made, [P T, H, W, C] in [0, 1]."""
        return flat(self.frames[:, -self.made :]) / np.float32(255.0)

    @property
    def asked(self) -> np.ndarray:
        """Their landmarks, [P T, 14, 2]."""
        return flat(self.landmarks[:, -self.made :])

    @property
    def groups(self) -> np.ndarray:
        """Whose they are, [P T]."""
        return np.repeat(np.arange(len(self.frames)), self.made)


class Judges(NamedTuple):
    """What reads pictures."""

    landmarks: Reading  # [N, 14, 2]
    identity: Reading  # [N, D], embeddings
    features: Reading  # [N, D]
    training: Any  # moments of training pictures' features


@dataclasses.dataclass(frozen=True)
class Talking:
    """PSNR, SSIM, landmarks, identity and distances of pictures of new people, with intervals, floors and films."""

    shots: tuple[int, ...] = field((1, 8, 32), "K, pictures that are known of a person")
    fitted: tuple[bool, ...] = field(
        (False, True), "whether the model is fitted to them: each is a row"
    )
    people: int = field(24, "held-out people, at most")
    made: int = field(8, "pictures of each that are made, the last ones")
    library: int = field(4000, "training pictures that distances are from, at most")
    landmarks: Reader = field(LANDMARKS, "what finds landmarks in pictures")
    identity: CosFace = field(IDENTITY, "whose embeddings tell people apart")
    on: Extractor = field(RandomNet(), "features that the Fréchet distance is of")
    drawing: Drawing = field(Drawing(), "as the view has it")
    shown: int = field(6, "people in the picture and in the films", execution=True)
    between: int = field(6, "frames of a film from one pose to the next", execution=True)

    def check(
        self,
        exp: Experiment,
        source: Any,
    ) -> None:
        """Raises UserError for what cannot be measured, before anything is compiled."""
        kind = source.fields.get("image")
        marks = source.fields.get("landmarks")
        if not isinstance(kind, Film) or not isinstance(marks, Points):
            raise UserError(
                f"the finding Talking() is of people with several pictures, and {source.name} has "
                f"{', '.join(source.fields)}: use --data='Sittings()'."
            )
        if not hasattr(exp.algorithm, "portrayer"):
            name = type(exp.algorithm).__name__
            raise UserError(
                f"the finding Talking() asks a model for pictures of a person, and {name} makes none: use "
                "TalkingHeads() or TalkingFlow()."
            )
        at_least(1, "--finish.Talking.", made=self.made, library=self.library)
        at_least(2, "--finish.Talking.", people=self.people, shown=self.shown)
        at_least(1, "--finish.Talking.", between=self.between, shots=min(self.shots, default=0))
        distinct("finish.Talking.shots", self.shots)
        frames = kind.shape[0]
        most = max(self.shots)
        if most + self.made > frames:
            raise UserError(
                f"--finish.Talking.shots={self.shots}: {most} known pictures and {self.made} to be made are more than "
                f"the {frames} that people have: use fewer, or more --data.of.shots."
            )
        if size(source.test) < 2:
            raise UserError(
                f"--finish.Talking: {source.name} has {size(source.test)} people to test on, and an interval over "
                "people needs two: use more --data.of.people."
            )

    def __call__(self, this: Run) -> dict[str, float]:
        people = self.held_out(this)
        judges = self.judges(this)
        rows = self.floors(this, people)
        rows |= self.portraits(this, people)
        self.tell_readers(this, people, judges)
        self.tell(this, TRUTH, self.of_truth(people, judges))
        numbers = {}
        for name, pictures in rows.items():
            # of the last row, the most pictures: what a comparison of runs shows
            numbers = self.tell(this, name, self.of_row(pictures, people, judges))
        self.gains(this, people, rows)
        self.draw(this, people, rows)
        self.films(this, people, judges)
        return numbers

    def held_out(self, this: Run) -> People:
        """Test people, always the same draw."""
        test = this.source.test
        total = size(test)
        rows = chosen(min(self.people, total), total)
        frames = np.asarray(test["image"][rows])
        landmarks = np.asarray(test["landmarks"][rows], np.float32)
        drawings = self.drawing(landmarks, frames.shape[2:4])
        return People(frames, landmarks, drawings, self.made)

    def judges(self, this: Run) -> Judges:
        """Readers trained on real pictures of training people, each told with its error on held-out people."""
        train = this.source.train
        kept = home(this.exp) / "features"
        # picture by picture
        frames = train["image"].shape[1]
        whose = np.repeat(np.arange(size(train)), frames).astype(np.int32)
        lesson = {
            "image": flat(np.asarray(train["image"])),
            "landmarks": flat(np.asarray(train["landmarks"])),
            "person": whose,
            # a reader wants classes: two that say nothing of landmarks
            "label": whose % 2,
        }
        read = self.landmarks.reading(lesson, kept)
        known = self.identity.embedding_of(lesson, kept)

        def landmarks(images: Any) -> np.ndarray:
            return np.asarray(read(images).numbers).reshape(len(images), -1, 2)

        # of a part: a distance of laws needs no more
        rows = chosen(min(self.library, len(whose)), len(whose))
        some = {"image": lesson["image"][rows], "label": whose[rows]}
        extract = self.on.fit(some, kept)

        def features(images: Any) -> np.ndarray:
            return np.float64(extract(images).features)

        return Judges(landmarks, known, features, moments(features(some["image"])))

    def floors(
        self,
        this: Run,
        people: People,
    ) -> dict[str, np.ndarray]:
        """What takes no model, each [P T, H, W, C]."""
        unit = people.frames / np.float32(255.0)
        asked = people.landmarks[:, -self.made :]
        # whatever pose is asked for
        first = np.repeat(unit[:, :1], self.made, 1)
        found = {"nothing": flat(first)}
        for k in self.shots:
            shots = unit[:, :k]
            mean = shots.mean(1, keepdims=True)
            found[f"mean {k}"] = flat(np.repeat(mean, self.made, 1))
            found[f"copy {k}"] = flat(posed(shots, people.landmarks[:, :k], asked))
        train = this.source.train
        own = unit[:, : max(self.shots)].mean(1)
        # person by person: all of them as floats would not be small
        theirs = np.stack([np.mean(frames, 0) for frames in train["image"]])
        _, alike = neighbours(rows_of(own), rows_of(theirs / np.float32(255.0)))
        others = np.asarray(train["image"])[alike] / np.float32(255.0)
        theirs_marks = np.asarray(train["landmarks"])[alike]
        found["nearest"] = flat(posed(others, theirs_marks, asked))
        return found

    def portraits(
        self,
        this: Run,
        people: People,
    ) -> dict[str, np.ndarray]:
        """What the model makes, by K and fitted or not, [P T, H, W, C] each."""
        known_by = self.portrayer(this)
        asked = people.drawings[:, -self.made :]
        found = {}
        for fitted in self.fitted:
            for k in self.shots:
                made = []
                for i in range(len(people.frames)):
                    shots = people.frames[i, :k]
                    own = known_by(this.key(i), shots, people.drawings[i, :k], fitted)
                    made.append(np.asarray(own(asked[i])))
                name = f"fitted {k}" if fitted else f"model {k}"
                found[name] = np.clip(flat(np.stack(made)), 0.0, 1.0)
                this.log.note(f"{name}: pictures of {len(made)} people are made")
        return found

    def portrayer(self, this: Run) -> Any:
        """What makes pictures of a person, by the run's weights."""
        params = averaged(this.state)
        return this.exp.algorithm.portrayer(params, this.spec, jax.jit)

    def of_row(
        self,
        pictures: np.ndarray,
        people: People,
        judges: Judges,
    ) -> Found:
        """What is measured of pictures [P T, H, W, C]."""
        truth, groups = people.truth, people.groups
        # small pictures have a smaller window
        alike = ssim(pictures, truth, window(truth.shape[1:]))
        near = {
            "psnr": over_groups(decibels(mse(pictures, truth)), groups),
            "ssim": over_groups(alike, groups),
        }
        return near | self.read(pictures, people, judges)

    def read(
        self,
        pictures: np.ndarray,
        people: People,
        judges: Judges,
    ) -> Found:
        """What readers say of pictures [P T, H, W, C], real ones too."""
        groups = people.groups
        missed = judges.landmarks(pictures) - people.asked
        far = np.linalg.norm(missed, axis=-1).mean(-1)
        # another real picture of each person, the same for all rows
        other = flat(np.roll(people.frames[:, -self.made :], 1, 1))
        cosine = csim(judges.identity(pictures), judges.identity(other))
        return {
            "landmarks": over_groups(far, groups),
            "csim": over_groups(cosine, groups),
            "fd": apart(judges, judges.features(pictures), groups),
        }

    def of_truth(
        self,
        people: People,
        judges: Judges,
    ) -> Found:
        """The real pictures as readers see them, and how alike two people are."""
        truth = people.truth
        known = judges.identity(truth)
        # a person further on
        strangers = np.roll(known, self.made, 0)
        cosine = csim(known, strangers)
        found = self.read(truth, people, judges)
        return found | {"stranger": over_groups(cosine, people.groups)}

    def tell_readers(
        self,
        this: Run,
        people: People,
        judges: Judges,
    ) -> None:
        """The readers' own errors on real pictures of held-out people: no result can be finer."""
        truth = people.truth
        missed = judges.landmarks(truth) - people.asked
        far = np.linalg.norm(missed, axis=-1).mean(0)  # [14]
        # everybody is of one age here, so all pairs of a person are
        years = np.zeros(len(truth))
        found = verified(judges.identity(truth), people.groups, years)
        values = {
            "landmarks": float(far.mean()),
            "worst_landmark": float(far.max()),
            "auroc": found.auroc,
            "eer": found.eer,
        }
        this.log.result("readers", {**values, "n": len(truth)})
        this.log.note(
            f"readers on {len(truth)} real pictures of people they have not seen: landmarks {far.mean():.2f} pixels, "
            f"the worst of them {far.max():.2f}; who is who: auroc {found.auroc:.3f}, eer {found.eer:.3f}"
        )

    def tell(
        self,
        this: Run,
        name: str,
        found: Found,
    ) -> dict[str, float]:
        """Records a row, and its intervals; returns its numbers."""
        # numbers for tables, ends for who compares two rows
        numbers = {key: interval.value for key, interval in found.items()}
        ends = {f"{name} {key}": each._asdict() for key, each in found.items()}
        words = [f"{key} {told(interval)}" for key, interval in found.items()]
        this.log.result(f"talking: {name}", numbers)
        this.log.result("intervals", ends)
        this.log.note(f"{name}: {', '.join(words)}")
        return numbers

    def gains(
        self,
        this: Run,
        people: People,
        rows: Mapping[str, np.ndarray],
    ) -> None:
        """Differences in decibels, person by person: of more pictures, of fitting, and from the best floor."""
        truth = people.truth
        # one person's pictures are hard in every row: differences vary less than the rows do
        ratio = {name: decibels(mse(made, truth)) for name, made in rows.items()}
        pairs = []
        for before, after in zip(self.shots[:-1], self.shots[1:], strict=True):
            pairs += [(f"{kind} {after}", f"{kind} {before}") for kind in ("model", "fitted")]
        pairs += [(f"fitted {k}", f"model {k}") for k in self.shots]
        pairs += [(f"fitted {k}", f"copy {k}") for k in self.shots]
        found = {}
        for more, less in pairs:
            # a model that is not fitted has no such row
            if more in ratio and less in ratio:
                gain = over_groups(ratio[more] - ratio[less], people.groups)
                found[f"{more} over {less}"] = gain._asdict()
                this.log.note(f"{more} over {less}: {told(gain)} dB")
        this.log.result("gains", found)

    def draw(
        self,
        this: Run,
        people: People,
        rows: Mapping[str, np.ndarray],
    ) -> None:
        """One picture of each of a few people, a row for each way."""
        n = min(self.shown, len(people.frames))
        # the first that is made of each
        first = np.arange(n) * self.made
        shown = {"drawing": people.drawings[:n, -self.made]}
        shown |= {name: made[first] for name, made in rows.items()}
        shown[TRUTH] = people.truth[first]
        tiles = np.concatenate([np.float32(each) for each in shown.values()])
        picture = grid(tiles, n, zoom=max(1, 64 // tiles.shape[2]))
        show(this, "talking", captioned(picture, list(shown)))

    def films(
        self,
        this: Run,
        people: People,
        judges: Judges,
    ) -> None:
        """The first person's poses, one after the other, by the first people: as they are, and carried to each."""
        n = min(self.shown, len(people.frames))
        # the middle one: few pictures, but more than one
        k = sorted(self.shots)[len(self.shots) // 2]
        fitted = True in self.fitted
        known_by = self.portrayer(this)
        path = between(people.landmarks[0, -self.made :], self.between)
        sides = people.frames.shape[2:4]
        columns = [np.asarray(self.drawing(path, sides))]
        theirs = known_landmarks(people, 0, k)
        far, cosines = [], []
        for i in range(n):
            # what differs between two faces at rest stays with each
            marks = path + known_landmarks(people, i, k) - theirs
            own = known_by(this.key(i), people.frames[i, :k], people.drawings[i, :k], fitted)
            made = np.clip(np.asarray(own(self.drawing(marks, sides))), 0.0, 1.0)
            columns.append(made)
            # the first is driven by her own
            if i:
                missed = judges.landmarks(made) - marks
                far.append(np.linalg.norm(missed, axis=-1).mean())
                real = judges.identity(people.frames[i, :1])
                cosines.append(csim(judges.identity(made), real).mean())
        self._keep(this, np.stack(columns, 1), n + 1)
        found = {"landmarks": float(np.mean(far)), "csim": float(np.mean(cosines))}
        this.log.result("driven by another", {**found, "n": n - 1, "shots": k})
        this.log.note(
            f"driven by another's landmarks, {n - 1} people: landmarks {found['landmarks']:.2f} pixels, csim "
            f"{found['csim']:.3f}"
        )

    def _keep(
        self,
        this: Run,
        frames: np.ndarray,
        columns: int,
    ) -> None:
        """Frames [T, columns, H, W, C] as a film, and a few of them as a picture."""
        zoom = max(1, 64 // frames.shape[3])
        pictures = [grid(frame, columns, zoom=zoom) for frame in frames]
        path = this.log.directory / "samples" / "driven.gif"
        this.log.note(f"film {animation(path, np.stack(pictures), 0.1)}")
        # at the poses themselves
        still = frames[:: self.between]
        show(this, "driven", grid(flat(still), columns, zoom=zoom))


def flat(values: np.ndarray) -> np.ndarray:
    """[P, T, ...] as [P T, ...]."""
    return values.reshape(-1, *values.shape[2:])


def rows_of(pictures: np.ndarray) -> np.ndarray:
    """A row of numbers for each, [N, D]."""
    return np.float64(pictures).reshape(len(pictures), -1)


def posed(
    frames: np.ndarray,
    landmarks: np.ndarray,
    asked: np.ndarray,
) -> np.ndarray:
    """Of the frames [P, K, ...] of each person those with the landmarks nearest to those asked for, [P, T, ...]."""
    apart = asked[:, :, None] - landmarks[:, None]  # [P, T, K, 14, 2]
    nearest = np.square(apart).sum((-1, -2)).argmin(-1)  # [P, T]
    # beside every place the person's own row
    person = np.arange(len(frames))[:, None]
    return frames[person, nearest]


def known_landmarks(
    people: People,
    i: int,
    k: int,
) -> np.ndarray:
    """The mean landmarks of a person's K known pictures, [14, 2]."""
    return people.landmarks[i, :k].mean(0)


def between(
    landmarks: np.ndarray,
    steps: int,
) -> np.ndarray:
    """From one pose [T, 14, 2] to the next and back to the first, in even steps: float32 [T steps, 14, 2]."""
    # the last goes on to the first, so that a film has no end
    after = np.roll(landmarks, -1, 0)
    share = np.arange(steps) / steps
    share = share[:, None, None].astype(np.float32)
    moved = landmarks[:, None] + share * (after - landmarks)[:, None]
    return flat(moved).astype(np.float32)


def apart(
    judges: Judges,
    features: np.ndarray,
    groups: np.ndarray,
) -> Interval:
    """The Fréchet distance from the training pictures, with an interval over people where there are enough."""
    of_group = members(groups)

    def distance(rows: np.ndarray) -> float:
        return frechet(judges.training, moments(features[rows]))

    largest = max(len(rows) for rows in of_group)
    # a covariance needs more rows than features without any person too
    if len(features) - largest <= features.shape[1]:
        return Interval(distance(np.arange(len(features))), np.nan, np.nan)
    return by_group(distance, of_group)
