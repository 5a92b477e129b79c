"""Rows of utterances and embeddings for the tests of the evaluation."""

import numpy as np


def row(speaker, utterance, seconds, text=None):
    return {"speaker": speaker, "utterance": utterance, "seconds": seconds, "text": text, "split": "test"}


def unit(*values):
    vector = np.array(values, float)
    return (vector / np.linalg.norm(vector)).tolist()
