"""A file of any sample rate in, a 16 kHz file in another voice out: convert_file.py IN OUT.wav [VOICE]."""

import sys

from edgevc.audio.reader import read_audio
from edgevc.audio.wav_writer import write_wav
from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.dsp.resample import resample

source, target, voice = [*sys.argv[1:], "kathleen"][:3]
converter = VoiceConverter(ModelBundle.default())

samples, sample_rate, _ = read_audio(source)
if sample_rate != converter.sample_rate:
    samples = resample(samples, sample_rate, converter.sample_rate)
write_wav(target, converter.convert(samples, voice), converter.sample_rate)
print(f"{target}: {len(samples) / converter.sample_rate:.2f} s as {voice}")
