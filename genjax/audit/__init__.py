"""Trust: what is generated is told from what is real, and how sure that is."""
