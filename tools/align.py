"""Step 2 of training: frame-exact phones for every utterance, by pocketsphinx.

    python tools/align.py --data DATA --jobs 2
    python tools/align.py --data DATA --jobs 2 --recognise

Utterances with a transcript are aligned to it. With --recognise, those without one are first read by Whisper base,
which takes 0.17 s of a core per second of speech. Words that pocketsphinx does not know are pronounced by gruut, and a
recording that does not fit its words is left out: where the acoustic score of a frame is low in the mean, or many
phones are as short as can be. What is aligned already is kept, so the command can be stopped and started again; what
prepare_data.py has replaced since then is aligned anew.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from pocketsphinx import Decoder
from vctrain.data.alignment import same_recording
from vctrain.data.corpora import listed
from vctrain.data.pronounce import pronunciation
from vctrain.errors import one_line_errors
from vctrain.evaluation.whisper_asr import recognise_base, unpack
from vctrain.metrics import words


@cache
def _aligner() -> Decoder:
    return Decoder(samprate=16000, bestpath=False, loglevel="FATAL", lm=None)


LEAST_SCORE = -28.0
"""Acoustic score per frame that is not silence. Of right words -9 to -24, of another utterance's -30 to -80."""
SHORTEST, MOST_SHORTEST = 3, 0.25
"""Frames of the shortest phone that pocketsphinx's models allow, and the share of phones that may last no longer. Of
right words .00 to .16, of another utterance's .25 to .45."""


def fits(words_: list[list[list[Any]]]) -> bool:
    """Whether a recording says the words that it was aligned to, [[phone, first frame, frames, score], ...] each."""
    spoken = [phone for word in words_ for phone in word if phone[0] != "SIL"]
    frames = sum(phone[2] for phone in spoken)
    if not frames:
        return False
    short = sum(phone[2] <= SHORTEST for phone in spoken) / len(spoken)
    return sum(phone[3] for phone in spoken) / frames > LEAST_SCORE and short <= MOST_SHORTEST


def known(aligner: Decoder, spoken: list[str]) -> bool:
    """Whether the aligner can pronounce every word, after those that it lacks were added."""
    for word in spoken:
        if not aligner.lookup_word(word):
            phones = pronunciation(word)
            if phones is None:
                return False
            aligner.add_word(word, phones, True)
    return True


def _decode(decoder: Decoder, samples: bytes) -> None:
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()


def align(job: tuple[str, dict[str, Any]]) -> dict[str, Any] | None:
    """One utterance to its phones, or None.

    `{"path", "text", "seconds", "phones": [[name, first frame, frames], ...], "words": [first frame, ...]}`, the first
    three as listed; silence between words counts as a word.
    """
    root, row = job
    heard = sf.read(Path(root) / row["path"], dtype="int16")[0]
    samples, text = heard.tobytes(), row["text"]
    spoken = words(text) if text is not None else recognise_base(heard / np.float32(32768))
    aligner = _aligner()
    if not spoken or not known(aligner, spoken):
        return None
    try:
        aligner.set_align_text(" ".join(spoken))
        _decode(aligner, samples)
        aligner.set_alignment()
        _decode(aligner, samples)
        found = [[[p.name, p.start, p.duration, p.score] for p in word] for word in aligner.get_alignment()]
    except RuntimeError:
        # pocketsphinx found no path: the recording does not say the text
        return None
    if not fits(found):
        return None
    phones = [phone[:3] for word in found for phone in word]
    starts = [word[0][1] for word in found if word]
    return {key: row[key] for key in ("path", "text", "seconds")} | {"phones": phones, "words": starts}


def still_valid(data: Path) -> dict[str, dict[str, Any]]:
    """What DATA/phones.jsonl has of the recordings that are listed now, by path; nothing else stays there."""
    out = data / "phones.jsonl"
    rows = {row["path"]: row for row in listed(data)}
    found = listed(data, "phones") if out.exists() else []
    valid = {e["path"]: e for e in found if e["path"] in rows and same_recording(e, rows[e["path"]])}
    if len(valid) < len(found):
        print(f"{len(found) - len(valid)} alignments are of recordings that are no longer there", flush=True)
        part = out.with_suffix(".part")
        part.write_text("".join(json.dumps(entry) + "\n" for entry in valid.values()))
        part.replace(out)
    return valid


@one_line_errors
def main() -> None:
    """Writes DATA/phones.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--recognise", action="store_true", help="also the utterances without a transcript (slow)")
    args = parser.parse_args()
    if args.recognise:
        unpack(args.data)
    done = still_valid(args.data)
    rows = [r for r in listed(args.data) if r["path"] not in done and (args.recognise or r["text"] is not None)]
    kept = 0
    with ProcessPoolExecutor(args.jobs) as pool, (args.data / "phones.jsonl").open("a") as file:
        for i, result in enumerate(pool.map(align, [(str(args.data), row) for row in rows], chunksize=4), 1):
            if result is not None:
                kept += 1
                file.write(json.dumps(result) + "\n")
                file.flush()
            if i % 200 == 0 or i == len(rows):
                print(f"{i}/{len(rows)} utterances, {kept} aligned", flush=True)


if __name__ == "__main__":
    main()
