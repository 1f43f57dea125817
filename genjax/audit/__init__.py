"""Audits of models and of their samples: what is generated, who is shown, and what a generator knows of classes."""
