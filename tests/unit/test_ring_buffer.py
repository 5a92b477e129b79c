"""The ring buffer from Python: against a model of it, and between two threads."""

import threading
import time

import numpy as np
import pytest

from edgevc._core import RingBuffer


@pytest.mark.parametrize("capacity", [2, 16, 64, 1_024])
def test_random_interleavings_agree_with_a_plain_list(capacity, rng):
    ring = RingBuffer(capacity)
    model: list[float] = []
    n_written = n_read = 0
    for _ in range(5_000):
        n = int(rng.integers(0, capacity + 3))
        action = rng.integers(0, 20)
        if action < 9:
            samples = np.arange(n_written, n_written + n, dtype=np.float32)
            fitted = ring.write(samples)
            assert fitted == min(n, capacity - len(model))
            model += samples[:fitted].tolist()
            n_written += fitted
        elif action < 14:
            result = ring.read(n)
            assert result.dtype == np.float32
            assert result.tolist() == model[:n]
            del model[:n]
            n_read += result.size
        elif action < 18:
            out = np.full(n, -1.0, np.float32)
            got = ring.read_into(out)
            assert out[:got].tolist() == model[:n]
            assert np.all(out[got:] == -1.0)
            del model[:n]
            n_read += got
        else:
            dropped = ring.discard(n)
            assert dropped == min(n, len(model))
            del model[:n]
            n_read += dropped
        assert ring.available() == len(model)
        assert ring.space() == capacity - len(model)
        assert (ring.write_position, ring.read_position) == (n_written, n_read)


def test_all_of_the_capacity_can_be_used():
    ring = RingBuffer(8)
    assert ring.write(np.arange(10, dtype=np.float32)) == 8
    assert ring.space() == 0
    assert ring.write(np.ones(1, np.float32)) == 0
    assert ring.read(100).tolist() == list(range(8))
    assert ring.read(1).size == 0


def test_reset_equals_a_new_buffer():
    ring = RingBuffer(8)
    # Far enough that each side has looked at the other's position, and would remember it.
    for n in (8, 8, 5):
        ring.write(np.ones(n, np.float32))
        ring.read(n - 1)
    ring.reset()
    assert (ring.available(), ring.space(), ring.write_position, ring.read_position) == (0, 8, 0, 0)
    assert ring.read_into(np.zeros(8, np.float32)) == 0
    assert ring.write(np.arange(9, dtype=np.float32)) == 8
    assert ring.read(9).tolist() == list(range(8))


def test_two_threads_pass_a_sequence_whole(rng):
    ring = RingBuffer(512)
    total = 200_000
    lengths = rng.integers(1, 400, 97).tolist()

    def produce():
        position, turn = 0, 0
        while position < total:
            n = min(lengths[turn % 97], total - position)
            written = ring.write(np.arange(position, position + n, dtype=np.float32))
            position += written
            turn += 1
            if written < n:
                # Hands the GIL over, instead of asking again until its time is up.
                time.sleep(0)

    producer = threading.Thread(target=produce)
    producer.start()
    position, turn = 0, 50
    while position < total:
        result = ring.read(lengths[turn % 97])
        assert np.array_equal(result, np.arange(position, position + result.size, dtype=np.float32))
        position += result.size
        turn += 1
        if result.size == 0:
            time.sleep(0)
    producer.join()
    assert ring.available() == 0


@pytest.mark.parametrize("capacity", [-2, 0, 1, 3, 1_000, 1 << 29])
def test_capacities_that_are_no_power_of_two_in_range_are_refused(capacity):
    with pytest.raises(ValueError, match=f"power of two .* got {capacity}"):
        RingBuffer(capacity)


def test_wrong_arguments_are_refused():
    ring = RingBuffer(16)
    with pytest.raises(TypeError):
        ring.write(np.zeros(4))
    with pytest.raises(TypeError):
        ring.read_into(np.zeros(8, np.float32)[::2])
    with pytest.raises(ValueError, match=r"shape \(any,\), got \(2, 2\)"):
        ring.write(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="at least 0, got -1"):
        ring.read(-1)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        ring.discard(-1)
    frozen = np.zeros(4, np.float32)
    frozen.flags.writeable = False
    ring.write(np.ones(4, np.float32))
    with pytest.raises(ValueError, match="writ"):
        ring.read_into(frozen)
    assert ring.available() == 4
