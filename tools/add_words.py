"""Takes the word lists of an evaluation into docs/results/words.json, in place of what a system of this name had there.

python tools/add_words.py --scores scores.json --name "studio, as shipped (int8)"
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vctrain.errors import UserError, one_line_errors

WORDS = Path(__file__).resolve().parents[1] / "docs" / "results" / "words.json"


@one_line_errors
def main() -> None:
    """Writes words.json anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True, help="what evaluate.py wrote, with --clones")
    parser.add_argument("--name", required=True, help="what the table calls the system")
    parser.add_argument("--words", type=Path, default=WORDS, help="default: %(default)s")
    args = parser.parse_args()
    scores, content = json.loads(args.scores.read_text()), json.loads(args.words.read_text())
    if "lists" not in scores:
        raise UserError(f"{args.scores} has no word lists; run evaluate.py with --clones and without --skip lists")
    lists = scores["lists"]["lists"]
    # which utterances they are is the same for every system, and stands in the file once
    for name, entry in lists.items():
        if (known := content["utterances"].setdefault(name, entry["utterances"])) != entry["utterances"]:
            raise UserError(f"{args.scores}: list {name} has other utterances than the {len(known)} of {args.words}")
    content["systems"][args.name] = {
        "lists": {name: {"n": entry["n"], "figures": entry["figures"]} for name, entry in lists.items()}
    }
    args.words.write_text(json.dumps(content, indent=1) + "\n")
    print(f"{args.words}: {args.name}, {', '.join(lists)}")


if __name__ == "__main__":
    main()
