"""A file of any sample rate in, a file in another voice out: convert_file.py IN OUT.wav [VOICE]."""

import sys

import edgevc

source, target, voice = [*sys.argv[1:], "kathleen"][:3]
audio, rate = edgevc.read(source)
other = edgevc.VoiceConverter("default").convert(audio, voice, sample_rate=rate)
edgevc.write(target, other, rate)
print(f"{target}: {len(other) / rate:.2f} s as {voice}")
