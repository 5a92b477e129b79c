"""What all bindings promise: one thread at a time on an object, aligned arrays, checks before anything else."""

import copy
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from edgevc import _core

RATE = 16_000
LONG = np.random.default_rng(1).standard_normal(4 * RATE).astype(np.float32)
SHORT = LONG[:160].copy()
OUT, LONG_OUT = np.empty(2_000, np.float32), np.empty_like(LONG)
SEGMENT = 1 << 20
RING = 1 << 22
SECONDS = 30.0

OPTIONS = _core.LogMelOptions(
    sample_rate=RATE, win_length=400, hop_length=160, n_fft=512, window="hann", remove_dc=True, preemphasis=0.5,
    input_scale=1.0, n_mels=80, fmin=0.0, fmax=8_000.0, mel_scale="htk", mel_interpolation="hertz", mel_norm="none",
    log_floor=1e-5, log_floor_mode="add", primed=True,
)  # fmt: skip


def mfcc():
    return _core.Mfcc(OPTIONS, n_mfcc=13, lifter_type="none", lifter=22.0)


def overlap_add():
    return _core.OverlapAdd(np.ones(SEGMENT // 2, np.float32), SEGMENT // 2, SEGMENT)


def command_search():
    """One word of one phone."""
    settings = _core.CommandSearchSettings(
        floor=-7.0, acoustic_scale=1.0, word_penalty=-5.0, beam=100.0, filler=0.0, closed_end_frames=10,
        open_end_frames=50, unsure_end_frames=150, unsure_margin=40.0, max_sentence_frames=1_000,
    )  # fmt: skip
    return _core.CommandSearch(
        n_phones=2, n_nodes=2, start=0, silence=0, phone=[1], first=[0], last=[0], source=[0], target=[1], finals=[1],
        offsets=[0.0, 0.0], settings=settings,
    )  # fmt: skip


def equaliser():
    eq = _core.PeakingEq(RATE)
    for index in range(eq.max_filters):
        eq.set(index, 100.0 * (index + 1), 6.0, 1.0)
    return eq


def frames(width):
    return {
        "process": lambda o: o.process(SHORT),
        "process_into": lambda o: o.process_into(SHORT, np.empty((9, width), np.float32)),
        "frames_for": lambda o: o.frames_for(1),
        "reset": lambda o: o.reset(),
        "__copy__": copy.copy,
        "samples_in": lambda o: o.samples_in,
        "n_bad_samples": lambda o: o.n_bad_samples,
    }


IN_PLACE = {
    "process": lambda o: o.process(SHORT),
    "process_into": lambda o: o.process_into(SHORT, OUT[:160]),
    "reset": lambda o: o.reset(),
}
RESAMPLER = {
    "process": lambda o: o.process(SHORT),
    "process_into": lambda o: o.process_into(SHORT, OUT),
    "flush": lambda o: o.flush(),
    "reset": lambda o: o.reset(),
    "samples_in": lambda o: o.samples_in,
    "replaced_samples": lambda o: o.replaced_samples,
}
POSTERIORS = np.log(np.random.default_rng(2).dirichlet((1, 1), 50_000)).astype(np.float32)
FILTERS, F0 = np.zeros((400, _core.SourceFilter.n_filters), np.float32), np.full(400, 120, np.float32)


def synthesise(source, n):
    source.process_into(FILTERS[:n], F0[:n], LONG_OUT[: 160 * n])


def through(ring):
    ring.write(np.zeros(RING, np.float32))
    ring.read_into(np.empty(RING, np.float32))


# class: how it is made, a call that works for long, every call that touches what that call changes
CLASSES = {
    "LogMel": (lambda: _core.LogMel(OPTIONS), lambda o: o.process(LONG), frames(80)),
    "Mfcc": (mfcc, lambda o: o.process(LONG), frames(13)),
    "Resampler": (lambda: _core.Resampler(44_100, RATE), lambda o: o.process(LONG), RESAMPLER),
    "AdaptiveResampler": (
        lambda: _core.AdaptiveResampler(44_100, RATE),
        lambda o: o.process(LONG),
        {
            **RESAMPLER,
            "ratio": lambda o: o.ratio,
            "set_ratio": lambda o: o.set_ratio(1.001),
            "next_output": lambda o: o.next_output(10),
        },
    ),
    "HighPass": (
        lambda: _core.HighPass(RATE),
        lambda o: o.process(LONG),
        {**IN_PLACE, "__copy__": copy.copy, "replaced_samples": lambda o: o.replaced_samples},
    ),
    "Limiter": (
        lambda: _core.Limiter(RATE),
        lambda o: o.process(LONG),
        {**IN_PLACE, "limited_samples": lambda o: o.limited_samples},
    ),
    "PeakingEq": (
        equaliser,
        lambda o: o.process(LONG),
        {**IN_PLACE, "set": lambda o: o.set(0, 90.0, 3.0, 1.0), "clear": lambda o: o.clear(0)},
    ),
    "FadeGain": (
        lambda: _core.FadeGain(10_000_000, 0.5),
        lambda o: (o.set_target(o.target + 0.1), o.process(LONG), o.process(LONG)),
        {
            **IN_PLACE,
            "set_target": lambda o: o.set_target(0.3),
            "gain": lambda o: o.gain,
            "target": lambda o: o.target,
            "remaining": lambda o: o.remaining,
        },
    ),
    "FeedbackGuard": (
        _core.FeedbackGuard,
        lambda o: o.process(LONG, LONG),
        {
            "process": lambda o: o.process(SHORT, SHORT),
            "reset": lambda o: o.reset(),
            "gain": lambda o: o.gain,
            "events": lambda o: o.events,
            "correlation": lambda o: o.correlation,
            "delay": lambda o: o.delay,
        },
    ),
    "PitchTracker": (
        lambda: _core.PitchTracker(RATE),
        lambda o: o.process(LONG),
        {"process": lambda o: o.process(SHORT), "reset": lambda o: o.reset(), "__copy__": copy.copy},
    ),
    "SourceFilter": (
        _core.SourceFilter,
        lambda o: synthesise(o, 400),
        {
            "process_into": lambda o: o.process_into(FILTERS[:1], F0[:1], OUT[:160]),
            "reset": lambda o: o.reset(),
            "__copy__": copy.copy,
            "formant_ratio": lambda o: o.formant_ratio,
            "set_formant_ratio": lambda o: o.set_formant_ratio(1.1),
            "marked": lambda o: o.marked,
            "set_marked": lambda o: o.set_marked(True),
            "bad_frames": lambda o: o.bad_frames,
        },
    ),
    "OverlapAdd": (
        overlap_add,
        lambda o: o.process(np.zeros(SEGMENT, np.float32)),
        {"process": lambda o: o.process(np.zeros(SEGMENT, np.float32)), "reset": lambda o: o.reset()},
    ),
    "CommandSearch": (
        command_search,
        lambda o: o.process(POSTERIORS, True),
        {
            "process": lambda o: o.process(POSTERIORS[:1]),
            "best": lambda o: o.best(),
            "reset": lambda o: o.reset(),
            "n_frames": lambda o: o.n_frames,
            "best_phones": lambda o: o.best_phones,
            "dropped_words": lambda o: o.dropped_words,
            "bytes": lambda o: o.bytes,
        },
    ),
    "RingBuffer": (
        lambda: _core.RingBuffer(RING),
        through,
        {
            "write": lambda o: o.write(SHORT),
            "read": lambda o: o.read(1),
            "read_into": lambda o: o.read_into(OUT[:1]),
            "discard": lambda o: o.discard(1),
            "reset": lambda o: o.reset(),
        },
    ),
}
# what no call changes, and the ring buffer's positions, which any thread may read
FIXED = {
    "watermark_db",
    *("__init__", "filterbank", "window", "from_rate", "to_rate", "up", "down", "taps", "latency", "max_output"),
    *("sample_rate", "cutoff", "ceiling", "fade_length", "max_filters", "max_gain_db", "min_q", "max_q", "hop_length"),
    *("n_states", "f0_min", "f0_max", "n_filters", "capacity", "write_position", "read_position", "available", "space"),
}
KEEP_THE_GIL = {"CommandSearchSettings", "Copies", "LogMelOptions", "Rfft", "PitchMapper"}


def test_no_class_and_no_member_is_forgotten():
    classes = {name: value for name, value in vars(_core).items() if isinstance(value, type)}
    assert set(classes) == set(CLASSES) | KEEP_THE_GIL
    for name, (_, _, calls) in CLASSES.items():
        members = {n for n in vars(classes[name]) if n in ("__init__", "__copy__") or not n.startswith("_")}
        assert members - FIXED == set(calls), name


@pytest.mark.parametrize("name", CLASSES)
def test_two_threads_on_one_object_are_refused(name):
    make, work, calls = CLASSES[name]
    shared, stop, errors, done = make(), threading.Event(), [], []

    def guarded(call):
        """Whether the call was refused."""
        try:
            call(shared)
        except RuntimeError as error:
            errors.append(str(error))
            return True
        return False

    def loop():
        while not stop.is_set():
            done.append(guarded(work))

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        for member, call in calls.items():
            end = time.monotonic() + SECONDS
            while not guarded(call):
                assert time.monotonic() < end, f"{name}.{member} was never refused"
    finally:
        stop.set()
        thread.join()
    assert done
    assert set(errors) == {f"this {name} is in use by another thread; give each thread an object of its own"}
    # nothing stays locked, whoever was refused
    for call in (work, *calls.values()):
        call(shared)


def test_a_ring_buffer_has_a_thread_on_each_side():
    ring, n_blocks = _core.RingBuffer(1 << 14), 40
    block = np.arange(5_000, dtype=np.float32)
    received = []

    def write():
        for index in range(n_blocks):
            waiting = block + np.float32(index)
            while len(waiting):
                waiting = waiting[ring.write(waiting) :]

    writer = threading.Thread(target=write)
    writer.start()
    while sum(map(len, received)) < n_blocks * len(block):
        received.append(ring.read(5_000))
    writer.join()
    expected = np.concatenate([block + np.float32(index) for index in range(n_blocks)])
    assert np.array_equal(np.concatenate(received), expected)


def shifted(array):
    """The same values, a byte beyond where they should lie."""
    memory = np.empty(array.nbytes + 1, np.uint8)
    moved = memory[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    assert not moved.flags.aligned
    return moved


def misaligned_calls():
    rows = np.zeros((9, 80), np.float32)
    mapper, window = _core.PitchMapper(7.0), np.ones(4, np.float32)
    segments, spectrum = _core.OverlapAdd(window, 4, 4), np.zeros(5, np.complex64)
    three, four = np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32)
    cepstra = np.zeros((9, 13), np.float32)
    streams = (mfcc, cepstra), (CLASSES["LogMel"][0], rows), (CLASSES["Resampler"][0], OUT)
    for make, out in (*streams, (CLASSES["AdaptiveResampler"][0], OUT)):
        yield lambda m, make=make: make().process(m(SHORT))
        yield lambda m, make=make, out=out: make().process_into(m(SHORT), out)
        yield lambda m, make=make, out=out: make().process_into(SHORT, m(out))
    for make in (CLASSES["HighPass"][0], CLASSES["Limiter"][0], equaliser, CLASSES["FadeGain"][0]):
        yield lambda m, make=make: make().process(m(SHORT))
        yield lambda m, make=make: make().process_into(m(SHORT), OUT[:160])
        yield lambda m, make=make: make().process_into(SHORT, m(OUT[:160]))
    yield lambda m: _core.FeedbackGuard().process(m(SHORT), SHORT)
    yield lambda m: _core.FeedbackGuard().process(SHORT, m(SHORT))
    yield lambda m: _core.PitchTracker(RATE).process(m(SHORT))
    yield lambda m: _core.pitch_features(m(SHORT))
    yield lambda m: _core.pitch_probabilities(m(SHORT))
    yield lambda m: mapper.process_into(m(three), four, np.zeros(2, np.float32))
    yield lambda m: mapper.process_into(three, m(four), np.zeros(2, np.float32))
    yield lambda m: mapper.process_into(three, four, m(np.zeros(2, np.float32)))
    yield lambda m: _core.SourceFilter().process_into(m(FILTERS[:1]), F0[:1], OUT[:160])
    yield lambda m: _core.SourceFilter().process_into(FILTERS[:1], m(F0[:1]), OUT[:160])
    yield lambda m: _core.SourceFilter().process_into(FILTERS[:1], F0[:1], m(OUT[:160]))
    yield lambda m: _core.OverlapAdd(m(window), 4, 4)
    yield lambda m: segments.process(m(window))
    yield lambda m: _core.Rfft(8).forward(m(np.zeros(8, np.float32)))
    yield lambda m: _core.Rfft(8).inverse(m(spectrum))
    yield lambda m: command_search().process(m(POSTERIORS[:5]))
    yield lambda m: _core.RingBuffer(16).write(m(window))
    yield lambda m: _core.RingBuffer(16).read_into(m(window))
    yield lambda m: _core.count_beyond(m(SHORT), 1.0)
    yield lambda m: _core.scale_and_clip(m(SHORT), 1.0)


@pytest.mark.parametrize("call", list(misaligned_calls()))
def test_misaligned_arrays_are_refused(call):
    call(lambda array: array)
    with pytest.raises(ValueError, match=r"must begin at a multiple of 4 bytes, got an address \d beyond one; pass"):
        call(shifted)


def test_sizes_are_checked_before_anything_is_computed_from_them():
    largest = 2**31 - 1
    with pytest.raises(ValueError, match=r"n_mfcc must be in \[1, n_mels\], got n_mfcc=2147483647"):
        _core.Mfcc(OPTIONS, n_mfcc=largest, lifter_type="none", lifter=22.0)
    with pytest.raises(ValueError, match=r"segment_length <= 1048576, got 4, 4, 2147483647"):
        _core.OverlapAdd(np.ones(4, np.float32), 4, largest)
    for make in (_core.Limiter, _core.PeakingEq, _core.HighPass, _core.FadeGain, _core.Rfft, _core.RingBuffer):
        for size in (largest, -(2**31)):
            with pytest.raises(ValueError, match="must be"):
                make(size)


def test_a_wrong_shape_is_told_in_numpys_words():
    guard = _core.FeedbackGuard()
    for array, got in ((np.float32(1), r"\(\)"), (np.zeros((2, 0), np.float32), r"\(2, 0\)")):
        with pytest.raises(ValueError, match=rf"input must have shape \(any,\), got {got}"):
            guard.process(np.asarray(array), SHORT)
    with pytest.raises(ValueError, match=r"output must have shape \(160,\), got \(159,\)"):
        guard.process(SHORT, SHORT[:159])
    with pytest.raises(ValueError, match=r"filters must have shape \(any, 771\), got \(771,\)"):
        _core.SourceFilter().process_into(FILTERS[0], F0[:1], OUT[:160])


def test_python_may_end_while_a_thread_is_in_a_call():
    """It ends the thread where that asks for the GIL again, which C++ must let through."""
    code = """
import sys, threading, time
import numpy as np
from edgevc import _core
resampler = _core.Resampler(48_000, 16_000)
sound = np.zeros(200_000, np.float32)
def work():
    while True:
        resampler.process(sound)
threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
sys.exit(3)
"""
    # scripts/sanitized_python.sh names what its extensions cannot be loaded without
    environment = {**os.environ, "LD_PRELOAD": os.environ.get("SANITIZERS", "")}
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (3, "")
