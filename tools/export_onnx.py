"""Step 5 of training: a run's graphs as ONNX, in float.

python tools/export_onnx.py --run RUN --out EXPORT
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from vctrain.errors import one_line_errors
from vctrain.export import to_onnx, trained
from vctrain.export.model_graphs import graph_makers


@one_line_errors
def main() -> None:
    """Writes EXPORT/encoder.onnx and EXPORT/decoder.onnx."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    model = trained.load(args.run)
    for name, make in graph_makers(model).items():
        file = args.out / f"{name}.onnx"
        to_onnx.export(make(None), file)
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
