"""Learned lossy compression: the model, its transforms and its priors. The coder that makes files is `genjax.codec`."""
