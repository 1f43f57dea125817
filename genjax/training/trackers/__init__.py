"""Where numbers and pictures of a run go besides its directory: TensorBoard, W&B, MLflow, or a class of one's own.

Off by default, see `Experiment.track`. The files of the run directory stay the record: trackers are told of what is in
them, by the same names ("train/loss", "samples/fd_pca64", and "speed/examples/s" of speed.jsonl), and nothing is read
back from a tracker but how far it has been told. So a run that was killed and resumed shows each point once. A tracker
that fails is switched off with one note. Of several processes the first one tracks. Libraries are imported when a
tracker is opened.
"""

from genjax.training.trackers.about import About, Opened, Row
from genjax.training.trackers.aside import Aside
from genjax.training.trackers.mlflow import MLflow
from genjax.training.trackers.tensorboard import TensorBoard
from genjax.training.trackers.tracking import Tracker, Tracking, check
from genjax.training.trackers.wandb import WandB

__all__ = [
    "About",
    "Aside",
    "MLflow",
    "Opened",
    "Row",
    "TensorBoard",
    "Tracker",
    "Tracking",
    "WandB",
    "check",
]
