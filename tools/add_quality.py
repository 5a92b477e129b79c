"""Writes what evaluate.py measured of a bundle into its manifest, for `edgevc voices` to show.

python tools/add_quality.py --bundle models/default --scores docs/results/voices.default.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgevc.bundle import ModelBundle, write_manifest

SHOWN = ("similarity", "wer_minus_source", "ovrl", "f0_correlation")


def main() -> None:
    """Writes manifest.json anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True)
    args = parser.parse_args()
    scores = json.loads(args.scores.read_text())
    bundle = ModelBundle.open(args.bundle)
    if scores["bundle"] != bundle.name:
        parser.error(f"--scores: expected those of {bundle.name}, got those of {scores['bundle']}")
    manifest = json.loads((args.bundle / "manifest.json").read_text())
    # an evaluation may have left out a judge
    quality = {key: round(scores["summary"][key]["mean"], 4) for key in SHOWN if key in scores["summary"]}
    manifest["quality"] = quality | {"speakers": "never heard in training", "command": "tools/evaluate.py"}
    write_manifest(args.bundle, manifest)
    print(f"{args.bundle}: {quality}")


if __name__ == "__main__":
    main()
