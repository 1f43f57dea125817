"""Diffusion models and flows: one Gaussian loss, the variational bound, samplers, guidance, likelihood, one step."""
