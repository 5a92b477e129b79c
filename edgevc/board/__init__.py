"""The machine: is it ready, what suits it, and its service."""
