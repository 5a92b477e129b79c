"""Step 6 of training: a run's graphs as LiteRT, in float. Needs its own environment, tools/requirements-litert.txt.

    python tools/export_litert.py --run RUN --out EXPORT

Every converted file is compared with PyTorch over a stream: litert-torch can mix up weights without a word.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from vctrain.errors import one_line_errors
from vctrain.export import to_litert, trained
from vctrain.export.graphs import names
from vctrain.export.model_graphs import Graph, chunk_hops, graph_makers

TOLERANCE = 1e-4
"""Largest relative RMS error against PyTorch; measured about 1e-6."""


def relative_error(path: Path, graph: Graph, n_frames: int, n_calls: int = 12) -> float:
    """Plays seeded noise through a LiteRT signature and the torch graph; largest relative RMS error of any output."""
    rng = torch.Generator().manual_seed(4)
    runner = Interpreter(str(path), num_threads=1).get_signature_runner(f"hops{n_frames}")
    expected_states = list(graph.example_inputs(n_frames)[len(graph.input_names) :])
    found_states = [s.numpy() for s in expected_states]
    input_names, output_names = names(graph)
    n_plain = len(graph.output_names)
    worst = 0.0
    for _ in range(n_calls):
        plain = [torch.randn(x.shape, generator=rng) for x in graph.example_inputs(n_frames)[: len(graph.input_names)]]
        with torch.no_grad():
            expected = graph(*plain, *expected_states)
        inputs = [x.numpy() for x in plain] + found_states
        result = runner(**dict(zip(input_names, inputs, strict=True)))
        found = [result[name] for name in output_names]
        expected_states, found_states = list(expected[n_plain:]), found[n_plain:]
        for a, b in zip(found, expected, strict=True):
            worst = max(worst, float(np.linalg.norm(a - b.numpy()) / (np.linalg.norm(b.numpy()) + 1e-9)))
    return worst


@one_line_errors
def main() -> None:
    """Writes EXPORT/encoder.tflite and EXPORT/decoder.tflite."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    model = trained.load(args.run)
    for name, make in graph_makers(model).items():
        file = args.out / f"{name}.tflite"
        to_litert.export(make, chunk_hops(model), file)
        for n_frames in chunk_hops(model):
            error = relative_error(file, make(n_frames).eval(), n_frames)
            print(f"{name}, {n_frames} hops: {error:.1e} from PyTorch", flush=True)
            if not error < TOLERANCE:
                raise SystemExit(f"{file} differs from PyTorch by {error:.1e} (limit {TOLERANCE}); not usable")
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
