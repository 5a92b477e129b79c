import pytest
from helpers.batch_runs import SENTENCE

import edgevc


@pytest.fixture
def corpus(tmp_path):
    """Twelve recordings of different lengths in three folders."""
    samples, rate = edgevc.read(SENTENCE)
    folder = tmp_path / "corpus"
    for i in range(12):
        path = folder / f"speaker{i % 3}" / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        edgevc.write(path, samples[: 4000 + 1600 * i], rate)
    return folder
