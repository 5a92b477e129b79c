"""Evaluation of converted speech (`tools/evaluate.py`): trials, systems, scores, tables, spectrograms."""
