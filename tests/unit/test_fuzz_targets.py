"""What the fuzzers begin with, what they found before, and a few changes of it: only edgevc's own errors come out.

`make fuzz` looks further, led by coverage.
"""

import pytest
from fuzz.targets import TARGETS, seeds

from edgevc.errors import EdgevcError

N_CHANGES = 150


def survives(target, data):
    message = ""
    try:
        TARGETS[target](data)
    except EdgevcError as error:
        message = str(error)
    # one line, or lines of text at most
    assert all(line.isprintable() for line in message.split("\n"))


@pytest.mark.parametrize("target", TARGETS)
def test_only_edgevcs_own_errors_come_out(target, rng):
    begun = list(seeds(target))
    assert begun
    for data in begun:
        survives(target, data)
    for _ in range(N_CHANGES):
        data = bytearray(begun[rng.integers(len(begun))])
        for _ in range(rng.integers(1, 6)):
            what, place = rng.integers(3), rng.integers(len(data) or 1)
            if what == 0 and data:
                data[place] = rng.integers(256)
            elif what == 1:
                del data[place : place + rng.integers(1, 20)]
            else:
                data[place:place] = rng.bytes(rng.integers(1, 8))
        survives(target, bytes(data))
