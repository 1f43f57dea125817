"""Measures of generated data as functions of arrays; they know no algorithm."""
