"""Keeps a run's weights, in half precision and without optimizers, small enough for the repository.

    python tools/save_weights.py --run RUN --out tools/weights

The other steps take the result in place of a run: `--run tools/weights`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vctrain import checkpoint
from vctrain.errors import one_line_errors

KEPT = {
    "encoder.pt": ("model", "config", "step", "scores"),
    "decoder.pt": ("average", "config", "step", "f0_statistics"),
}


@one_line_errors
def main() -> None:
    """Writes OUT/encoder.pt and OUT/decoder.pt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    for name, keys in KEPT.items():
        saved = checkpoint.load(args.run / name)
        if saved is None:
            parser.error(f"expected {args.run / name}; train it first")
        kept = {key: saved[key] for key in keys}
        weights = "model" if "model" in kept else "average"
        kept[weights] = {k: v.half() if v.is_floating_point() else v for k, v in kept[weights].items()}
        checkpoint.save(args.out / name, **kept)
        print(f"{args.out / name}: {(args.out / name).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
