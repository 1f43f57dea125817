"""Models that write one token after the other."""
