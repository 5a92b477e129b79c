"""Converts block by block, as a sound device would ask for it: stream_blocks.py IN.wav [VOICE]."""

import sys
import time

import edgevc

BLOCK_SIZE = 256  # a device's choice; it need not fit the model's 160-sample hops

source, voice = [*sys.argv[1:], "kathleen"][:2]
converter = edgevc.VoiceConverter("default")
stream = converter.stream(voice)
print(f"algorithmic latency {converter.latency_ms:.0f} ms")

samples, sample_rate = edgevc.read(source)
if sample_rate != converter.sample_rate:
    sys.exit(f"{source} has {sample_rate} Hz, this example takes {converter.sample_rate}; see convert_file.py")

n_out, longest = 0, 0.0
for start in range(0, len(samples), BLOCK_SIZE):
    started = time.perf_counter()
    n_out += len(stream.process(samples[start : start + BLOCK_SIZE]))
    longest = max(longest, time.perf_counter() - started)
n_out += len(stream.flush())
print(f"{len(samples)} samples in, {n_out} out; the longest block took {1000 * longest:.2f} ms")
