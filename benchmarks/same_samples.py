"""Compares the samples of two source trees with the core built in each, bit for bit: every model, voice and engine.

    python benchmarks/same_samples.py --before TREE [--after TREE] [--out docs/results/same_samples.json]

What came later than the older tree is left out in the newer one: the high-pass in front of the model and the watermark
behind it. Each tree converts with the models that it ships. Fails where one sample differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("default", "low-latency", "tiny")
SETTINGS = {"as it is": {}, "all settings": {"semitones": 3.5, "formant_semitones": -2.0, "gain_db": -4.0}}
CONVERT = """
import hashlib, json, logging, sys
import numpy as np
from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
try:
    from edgevc import VoiceSettings
except ImportError:
    VoiceSettings = None
logging.disable()
found = {}
sounds = np.load(sys.argv[1])
model, engine, hops, settings = sys.argv[2], sys.argv[3], int(sys.argv[4]), json.loads(sys.argv[5])
converter = VoiceConverter(ModelBundle.find(model), engine, hops)
for voice in sorted(voice.name for voice in converter.bundle.voices):
    for name, samples in sounds.items():
        if VoiceSettings is None:
            stream = converter.stream(voice, **settings)
        else:
            stream = converter.stream(voice, VoiceSettings(**settings, mark=False), high_pass=False)
        output = np.concatenate([stream.process(samples), stream.flush()])
        assert np.isfinite(output).all() and np.abs(output).max() > 0.01
        found[f"{voice}, {name}"] = [hashlib.sha256(output.tobytes()).hexdigest(), len(output)]
print(json.dumps(found))
"""


def sounds() -> dict[str, NDArray[np.float32]]:
    """What is converted: a sentence, and the same sentence louder in noise, with silence and a step of volume."""
    from edgevc.audio.reader import read_audio

    sentence = np.asarray(read_audio(ROOT / "examples" / "sentence.wav")[0], np.float32)
    rng = np.random.default_rng(1)
    noisy = 2.5 * sentence + 0.02 * rng.standard_normal(len(sentence)).astype(np.float32)
    pause = np.zeros(8_000, np.float32)
    return {"sentence": sentence, "noise": np.concatenate([noisy, pause, 0.1 * noisy]).astype(np.float32)}


def digests(tree: Path, words: list[str]) -> dict[str, list[object]]:
    environment = {**os.environ, "PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", CONVERT, *words]
    done = subprocess.run(command, env=environment, cwd="/", stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, list[object]] = json.loads(done.stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path, default=ROOT)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/sounds.npz"
        np.savez(path, **sounds())
        for model in MODELS:
            equal, samples, names = 0, 0, 0
            for engine in ("litert", "onnx"):
                for hops in ("1", "4"):
                    for title, settings in SETTINGS.items():
                        words = [path, model, engine, hops, json.dumps(settings)]
                        before, after = (digests(tree, words) for tree in (arguments.before, arguments.after))
                        if before.keys() != after.keys():
                            raise SystemExit(f"{model} has other voices: {sorted(before)} and {sorted(after)}")
                        for name, (digest, length) in before.items():
                            names += 1
                            samples += int(str(length))
                            equal += digest == after[name][0]
                            if digest != after[name][0]:
                                print(f"{model}, {engine}, {hops} hops, {title}, {name}: other samples")
            different += names - equal
            print(f"{model}: {equal} of {names} conversions have the same samples ({samples} in all)")
            command = "python benchmarks/same_samples.py --before TREE"
            rows += [
                {"name": f"{model}: {what}", "value": value, "unit": "", "command": command, "bar": bar}
                for what, value, bar in (
                    ("conversions by both engines, 1 and 4 hops per call, every voice", names, None),
                    ("samples compared", samples, None),
                    ("conversions with another sample", names - equal, 0),
                )
            ]
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
