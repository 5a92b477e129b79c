"""The judge of `tools/evaluate.py`: which trials, how one is scored, what the scores say together, one picture."""
