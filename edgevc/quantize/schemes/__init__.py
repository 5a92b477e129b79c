"""The ways to make int8, one module for each engine."""
