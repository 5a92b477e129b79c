"""What happens to speech on its way, each a function or a command of ffmpeg or sox; benchmarks/bench_mark.py uses them.

Each takes samples at 16 kHz and a generator, and returns samples at 16 kHz.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import mark_corpus
import numpy as np
from numpy.typing import NDArray

from edgevc import resample
from edgevc.audio.wav_writer import encode_pcm16
from edgevc.limits import SAMPLE_RATE

FloatArray = NDArray[np.float32]
Attack = Callable[[FloatArray, np.random.Generator], FloatArray]

RAW = "-f s16le -ar 16000 -ac 1"


def piped(*commands: str) -> Attack:
    """Return what a pipe of commands gives; raw 16-bit PCM goes in and comes out."""

    def attack(samples: FloatArray, rng: np.random.Generator) -> FloatArray:
        data = encode_pcm16(samples)
        for command in commands:
            data = subprocess.run(shlex.split(command), input=data, capture_output=True, check=True).stdout
        return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / np.float32(32_768)

    return attack


def codec(options: str, container: str) -> Attack:
    """Through an encoder of ffmpeg and back."""
    quiet = "ffmpeg -hide_banner -loglevel error"
    return piped(f"{quiet} {RAW} -i - {options} -f {container} -", f"{quiet} -i - {RAW} -")


def filtered(graph: str) -> Attack:
    """Through a filter of ffmpeg."""
    return piped(f"ffmpeg -hide_banner -loglevel error {RAW} -i - -af {graph} {RAW} -")


def sox(effect: str) -> Attack:
    """Through an effect of sox, 6 dB down so that nothing clips."""
    raw = "-t raw -r 16000 -e signed -b 16 -c 1"
    return piped(f"sox -D -V1 {raw} - {raw} - gain -6 {effect}")


def via(rate: int) -> Attack:
    """Resampled and back, 16 bits each time."""
    return codec(f"-ar {rate} -c:a pcm_s16le", "wav")


def gain(db: float) -> Attack:
    """Another level, 16 bits."""
    return lambda samples, rng: _pcm(samples * np.float32(10 ** (db / 20)))


def clipping(db: float) -> Attack:
    """So far beyond full scale, cut."""

    def attack(samples: FloatArray, rng: np.random.Generator) -> FloatArray:
        return np.clip(samples * np.float32(10 ** (db / 20) / np.abs(samples).max()), -1, 1)

    return attack


def at_snr(samples: FloatArray, noise: NDArray[np.floating], db: float) -> FloatArray:
    """Return speech and noise, the noise at the speech's mean power less `db`."""
    scale = np.sqrt(np.mean(samples**2) / np.mean(noise**2)) * 10 ** (-db / 20)
    mixed = samples + noise * scale
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)


def pink(db: float) -> Attack:
    """Noise of 3 dB less an octave, from 50 Hz on."""

    def attack(samples: FloatArray, rng: np.random.Generator) -> FloatArray:
        spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), len(samples) * 50 / SAMPLE_RATE))
        return at_snr(samples, np.fft.irfft(spectrum, len(samples)), db)

    return attack


def recorded(path: Path, db: float) -> Attack:
    """Somewhere in a recording: music, a kitchen."""
    sound = mark_corpus.load(path)

    def attack(samples: FloatArray, rng: np.random.Generator) -> FloatArray:
        start = int(rng.integers(max(1, len(sound) - len(samples))))
        return at_snr(samples, np.resize(sound[start : start + len(samples)], len(samples)), db)

    return attack


def room(seconds: float, direct_db: float) -> Attack:
    """A room of decaying noise: time to fall by 60 dB, and direct sound against all of the rest."""

    def attack(samples: FloatArray, rng: np.random.Generator) -> FloatArray:
        n = round(seconds * SAMPLE_RATE)
        response = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
        response[:40] = 0
        response *= 10 ** (-direct_db / 20) / np.sqrt(np.sum(response**2))
        response[0] = 1
        size = 1 << (len(samples) + n - 1).bit_length()
        wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)[: len(samples)]
        return (wet * np.sqrt(np.mean(samples**2) / np.mean(wet**2))).astype(np.float32)

    return attack


def speed(percent: float) -> Attack:
    """Faster, and higher with it."""
    rate = round(SAMPLE_RATE * (1 + percent / 100))
    return lambda samples, rng: resample(samples, rate, SAMPLE_RATE)


def cut(samples: FloatArray, rng: np.random.Generator) -> FloatArray:
    """73 ms taken out every 2 s."""
    return np.concatenate([samples[start : start + 32_000 - 1_168] for start in range(0, len(samples), 32_000)])


def converted_again(mark: bool) -> Attack:
    """Through another conversion by the default model; a multiple of a chunk."""
    from edgevc import VoiceSettings

    def attack(samples: FloatArray, rng: np.random.Generator) -> FloatArray:
        converter = mark_corpus.converter("default")
        voice = str(rng.choice(converter.voices))
        return converter.stream(voice, VoiceSettings(mark=mark)).process(samples)

    return attack


def loudspeaker(samples: FloatArray, rng: np.random.Generator) -> FloatArray:
    """A simulation of a re-recording: a small speaker's band and distortion, a room of 0.4 s at 3 dB, pink noise."""
    band = filtered("highpass=f=250,lowpass=f=6500")(samples, rng)
    bent = np.tanh(3 * band / np.abs(band).max()).astype(np.float32) * np.float32(0.3)
    return pink(20)(room(0.4, 3)(bent, rng), rng)


def _pcm(samples: FloatArray) -> FloatArray:
    return (np.rint(np.clip(samples, -1, 1) * 32_767) / 32_767).astype(np.float32)


def attacks(data: Path) -> dict[str, Attack]:
    """Name to attack; what moves formants is no attack but a setting of the conversion."""
    kitchen = data / "speech-to-intent-benchmark" / "data" / "noise" / "kitchen.wav"
    tune = mark_corpus.music(data)[0]
    return {
        "none": lambda samples, rng: samples,
        "Opus 32 kbit/s": codec("-c:a libopus -b:a 32k", "ogg"),
        "Opus 24 kbit/s": codec("-c:a libopus -b:a 24k", "ogg"),
        "Opus 16 kbit/s": codec("-c:a libopus -b:a 16k", "ogg"),
        "MP3 64 kbit/s": codec("-c:a libmp3lame -b:a 64k", "mp3"),
        "AAC 48 kbit/s": codec("-c:a aac -b:a 48k", "adts"),
        "mu-law, 8 kHz": codec("-ar 8000 -c:a pcm_mulaw", "wav"),
        "44.1 kHz and back": via(44_100),
        "48 kHz and back": via(48_000),
        "gain -20 dB, 16 bits": gain(-20),
        "clipping 6 dB": clipping(6),
        "denoiser (afftdn, 12 dB)": filtered("afftdn=nr=12"),
        "room, RT60 0.3 s, direct +6 dB": room(0.3, 6),
        "room, RT60 0.5 s, direct 0 dB": room(0.5, 0),
        "kitchen, 10 dB": recorded(kitchen, 10),
        "pink noise, 10 dB": pink(10),
        "music, 0 dB": recorded(tune, 0),
        "73 ms cut out every 2 s": cut,
        "speed +0.5 %": speed(0.5),
        "speed +2 %": speed(2),
        "tempo +3 % (sox)": sox("tempo -s 1.03"),
        "pitch +1 semitone (sox)": sox("pitch 100"),
        "Codec2 3200 bit/s": codec("-ar 8000 -c:a libcodec2 -mode 3200", "codec2"),
        "loudspeaker and room, simulated": loudspeaker,
        "converted again, unmarked": converted_again(False),
        "converted again, marked": converted_again(True),
    }
