"""Pictures for people, of arrays alone."""
