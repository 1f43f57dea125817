"""The experiments under a name that no folder of a user's own can hide: `python -m genjax.experiments.vae`.

In a clone they lie beside genjax, in `experiments/`, and this file points there. An installation has that folder itself
in the place of this one (`package-dir` in pyproject.toml), so that genjax brings no second name to the top level.
"""

from pathlib import Path

_CLONE = Path(__file__).parent.parent.parent
# where Python looks for genjax.experiments.vae
__path__.append(str(_CLONE / "experiments"))
