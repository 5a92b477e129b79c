"""Step 1 of training: decode the speech sets from local clones, synthesise more, list everything.

python tools/prepare_data.py --clones CLONES --out DATA
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import soundfile as sf
from vctrain.data import corpora, kokoro, synthetic
from vctrain.data.sources import NEEDED
from vctrain.data.speakers import VOICES
from vctrain.errors import UserError, one_line_errors


def fewer(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most `most` training recordings of each voice, by the hashes of their paths; everything else stays."""
    kept = set()
    for voice in VOICES:
        own = [row["path"] for row in rows if row["speaker"] == voice and row["split"] == "train"]
        kept |= set(sorted(own, key=lambda path: hashlib.sha256(path.encode()).hexdigest())[:most])
    return [row for row in rows if row["speaker"] not in VOICES or row["split"] != "train" or row["path"] in kept]


@one_line_errors
def main() -> None:
    """Writes DATA/audio/<speaker>/<utterance>.flac and DATA/utterances.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=Path, required=True, help="folder that holds the clones as OWNER+NAME")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--synthetic", type=int, default=700, help="sentences per synthetic voice (0: none)")
    parser.add_argument("--kokoro", type=int, default=0, help="sentences by Kokoro: 4 s each, a third of that to make")
    parser.add_argument("--voice-utterances", type=int, help="train on so many of each voice at most; default: all")
    args = parser.parse_args()
    # rather than after minutes
    for source in NEEDED:
        with corpora.Clone(args.clones / source.clone) as clone:
            if clone.revision != source.revision:
                print(f"{source.repository}: commit {clone.revision[:12]}, sources.toml has {source.revision[:12]}")
    if missing := [name for name in synthetic.PROGRAMS if args.synthetic and shutil.which(name) is None]:
        raise UserError(f"no {' and no '.join(missing)} here: apt install {' '.join(missing)}, or --synthetic 0")
    rows: list[dict[str, Any]] = []

    def keep(recording: corpora.Recording) -> None:
        samples = corpora.decode_audio(recording.audio)
        path = args.out / "audio" / recording.speaker / f"{recording.utterance}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, samples, corpora.SAMPLE_RATE, subtype="PCM_16")
        rows.append(
            {
                "speaker": recording.speaker,
                "utterance": recording.utterance,
                "text": recording.text,
                "split": recording.split,
                "path": str(path.relative_to(args.out)),
                "seconds": round(len(samples) / corpora.SAMPLE_RATE, 3),
            }
            | ({} if recording.age is None else {"age": recording.age})
        )

    for corpus in corpora.CORPORA:
        before = len(rows)
        for recording in corpus(args.clones):
            keep(recording)
        seconds = sum(row["seconds"] for row in rows[before:])
        print(f"{corpus.__name__}: {len(rows) - before} utterances, {seconds / 60:.1f} min", flush=True)
    before = len(rows)
    texts = corpora.sentences_to_speak(args.clones) if args.synthetic else []
    for recording in synthetic.recordings(texts, args.synthetic):
        keep(recording)
    for recording in kokoro.recordings(corpora.sentences_to_speak(args.clones), args.kokoro) if args.kokoro else ():
        keep(recording)
    print(f"synthetic: {len(rows) - before} utterances", flush=True)
    if args.voice_utterances is not None:
        rows = fewer(rows, args.voice_utterances)
    part = args.out / "utterances.part"
    part.write_text("".join(json.dumps(row) + "\n" for row in rows))
    part.replace(args.out / "utterances.jsonl")


if __name__ == "__main__":
    main()
