"""Faces rendered in numpy from MakeHuman's shapes, which are CC0: a data set, and its renderer as pure functions.

    from genjax.data.heads import draw_people, draw_shots, plain_shots, render

    people = draw_people(seed=0, numbers=[7])          # one person, the same in every set of this seed
    shots = plain_shots(people)                        # from the front, at rest, 25 years old
    old = render(people, shots._replace(years=shots.years + 50), size=64)

Ages are the renderer's years: MakeHuman's four ages are 1, 10, 25 and 90 years, and what lies between two of them is
a mixture. Hair greys and goes by a rule of its own. Skin is smooth at any age: age is seen in shape and hair.
"""

from genjax.data.heads.drawing import draw_people, draw_shots, plain_shots, toward
from genjax.data.heads.people import GROUPS, People, Shots, grey, group
from genjax.data.heads.rendering import Rendered, render
from genjax.data.heads.sets import ATTRIBUTES, Heads, attributes, examples, split_of
from genjax.data.heads.shapes import PARTS, Model, model

__all__ = [
    "ATTRIBUTES",
    "GROUPS",
    "PARTS",
    "Heads",
    "Model",
    "People",
    "Rendered",
    "Shots",
    "attributes",
    "draw_people",
    "draw_shots",
    "examples",
    "grey",
    "group",
    "model",
    "plain_shots",
    "render",
    "split_of",
    "toward",
]
