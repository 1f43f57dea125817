"""The training loop, for every family, and what a run writes and keeps."""
