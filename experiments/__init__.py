"""Experiment scripts: one file = one question."""
