"""Pictures into pictures: what is given is translated, with pairs to learn from or without.

A translating algorithm asks for the pictures that are given, first of all, and for the truth, which it shows beside
what it makes; its `sample` gives pictures of the kind that is modelled. `genjax.findings.translating` measures any of
them beside floors.
"""
