"""Audio files under atheris: whatever the bytes, samples are finite or the error is one of edgevc's.

python tests/fuzz/fuzz_audio_files.py -max_total_time=20 FOUND tests/fuzz/corpus/audio_files
"""

import io
import logging
import sys

import atheris
import numpy as np

with atheris.instrument_imports(include=["edgevc.audio"]):
    from edgevc.audio.reader import AudioReader
from edgevc.errors import EdgevcError

# a small compressed file can hold hours
MOST_SAMPLES = 1 << 18


class Pipe(io.RawIOBase):
    """Cannot seek, and gives a few bytes at a time."""

    def __init__(self, content):
        self._content = io.BytesIO(content)

    def readable(self):
        return True

    def readinto(self, buffer):
        part = self._content.read(min(len(buffer), 501))
        buffer[: len(part)] = part
        return len(part)


def read(content):
    for source in (io.BytesIO(content), Pipe(content)):
        try:
            with AudioReader(source) as reader:
                n_samples = 0
                for block in reader.blocks(4_096):
                    assert np.isfinite(block).all()
                    n_samples += block.size
                    if n_samples > MOST_SAMPLES:
                        break
        except EdgevcError as error:
            if not str(error):
                raise


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()
