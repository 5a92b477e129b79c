"""Step 7 of training: exported graphs, voices and golden vectors to a float bundle, the source of `edgevc quantize`.

python tools/make_bundle.py --run RUN --export EXPORT --data DATA --out FLOAT/default

EXPORT is what export_onnx.py and export_litert.py made of this RUN; the engines' graphs are compared with it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from numpy.typing import NDArray
from vctrain.data.corpora import listed
from vctrain.data.front_end import N_MELS
from vctrain.data.sources import Source, training_data
from vctrain.data.speakers import BUNDLE_VOICES, VOICES, target_f0
from vctrain.data.voices import F0_RANGE, normalise, track_pitch
from vctrain.errors import UserError, one_line_errors
from vctrain.export import trained
from vctrain.export.graphs import conditioning_table
from vctrain.export.model_graphs import chunk_hops, graph_makers, latency, macs_per_hop, n_parameters
from vctrain.models.content_encoder import PHONES
from vctrain.models.decoder import N_PITCH, pitch_features
from vctrain.models.ear import WhisperEar
from vctrain.synthesis import N_FFT, N_FILTERS, SEGMENT_LENGTH
from vctrain.variants import VARIANTS

from edgevc.bundle import ModelBundle, write_manifest
from edgevc.dsp.features import LogMel
from edgevc.engines import load_graph
from edgevc.engines.base import Graph

ENGINE_FILES = {"litert": "tflite", "onnx": "onnx"}
GOLDEN_HOPS = 64
"""At least; a whole number of calls."""
GOLDEN_TOLERANCE = 1e-3
"""Relative RMS error."""
EXACT_DB = 60.0
"""Signal over error of a float graph against the run that it was made of, at least; measured 125 and more."""


STUDIO_DESCRIPTION = "Any speaker of English to four voices, 16 kHz, 250 ms: for files and for who can wait"
STUDIO_LICENCE = "Apache-2.0; the encoder began as that of Whisper base, MIT"
WHISPER = {
    "name": "Whisper base, whose encoder it began with",
    "licence": "MIT",
    "source": "github.com/openai/whisper",
}


def golden_inputs(data: Path, latency: int, n_hops: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Log-mels and pitch features of real speech, n_hops rows each."""
    rows = listed(data)
    row = next(r for r in rows if r["speaker"] == "kathleen" and r["split"] == "train")
    samples = normalise(sf.read(data / row["path"], dtype="float32")[0])[: 160 * (n_hops + 30)]
    pitch = torch.from_numpy(track_pitch(samples, latency))
    features = pitch_features(pitch[:, 0], pitch[:, 1], pitch[:, 2]).numpy()
    return LogMel(primed=True).process(samples)[30:], features[30:]


def play(graph: Graph, *inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Streams rows call by call; an input of one row is given to every call. Returns one array per output."""
    state, step = graph.new_state(), graph.chunk_hops
    n_hops = max(len(x) for x in inputs)
    calls = [
        [
            y.copy()
            for y in graph.run(state, *(x if len(x) == 1 else np.ascontiguousarray(x[i : i + step]) for x in inputs))
        ]
        for i in range(0, n_hops, step)
    ]
    return [np.concatenate(column) for column in zip(*calls, strict=True)]


def snr_db(found: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """Signal-to-noise ratio of a quantized output."""
    return float(10 * np.log10((exact**2).sum() / max(((found - exact) ** 2).sum(), 1e-20)))


class Assembly:
    """A bundle in the making: files in a folder, and the manifest that describes them."""

    def __init__(
        self, folder: Path, export: Path, model: trained.Trained, engines: Sequence[str], sources: list[Source]
    ) -> None:
        self.folder, self.model, self.engines, self.sources = folder, model, engines, sources
        self.graphs = {name: make(None) for name, make in graph_makers(model).items()}
        self.n_hops = -(-GOLDEN_HOPS // max(chunk_hops(model))) * max(chunk_hops(model))
        self.voices = self._voices()
        self.quantization: dict[str, dict[str, dict[str, object]]] = {"encoder": {}, "decoder": {}}
        for name in self.graphs:
            for engine in engines:
                shutil.copy(export / f"{name}.{ENGINE_FILES[engine]}", folder)
                self.quantization[name][engine] = {"recipe": "none"}

    def _voices(self) -> list[dict[str, object]]:
        table = dict(zip(VOICES, conditioning_table(self.model.decoder).numpy(), strict=True))
        mixed = [sum(share * table[part] for part, share in voice.mixture.items()) for voice in BUNDLE_VOICES.values()]
        np.stack(mixed).astype("<f4").tofile(self.folder / "voices.f32")
        voices = []
        for row, (name, voice) in enumerate(BUNDLE_VOICES.items()):
            mean, std = target_f0(name, self.model.f0_statistics)
            voices.append(
                {
                    "name": name,
                    "description": voice.description,
                    "licence": voice.licence,
                    "consent": voice.consent,
                    "consent_record": voice.consent_record,
                    "log2_f0_mean": round(mean, 4),
                    "log2_f0_std": round(std, 4),
                    "row": row,
                }
            )
        return voices

    def write(self, name: str, version: str, description: str, golden: dict[str, NDArray[np.float32]]) -> ModelBundle:
        """Writes golden.f32 and manifest.json and opens the result."""
        arrays, offset = [], 0
        with (self.folder / "golden.f32").open("wb") as file:
            for key, array in golden.items():
                arrays.append({"name": key, "shape": list(array.shape), "offset": offset})
                offset += file.write(array.astype("<f4").tobytes())
        lag = latency(self.model)
        studio = isinstance(self.model.encoder, WhisperEar)
        manifest = {
            "format_version": 1,
            "name": name,
            "version": version,
            "description": description,
            "licence": STUDIO_LICENCE if studio else "Apache-2.0",
            "training_data": [
                *({"name": s.manifest, "licence": s.licence, "source": s.source} for s in self.sources),
                *([WHISPER] if studio else []),
            ],
            "training_commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip(),
            "features": {
                **{
                    k: getattr(LogMel().config, k)
                    for k in ("sample_rate", "n_fft", "win_length", "hop_length", "n_mels", "fmin", "fmax", "log_floor")
                },
                "window": "hann",
                "filterbank_sha256": LogMel().filterbank_sha256,
            },
            "latency": {"lookahead_samples": lag - 200, "latency_samples": lag, "hop_samples": 160},
            "synthesis": {"kind": "source-filter", "n_fft": N_FFT, "segment_length": SEGMENT_LENGTH},
            "pitch": {"f0_min": F0_RANGE[0], "f0_max": F0_RANGE[1], "latency_samples": lag},
            "phones": list(PHONES),
            "graphs": {key: self._graph(key) for key in self.graphs},
            "voices": {"file": "voices.f32", "list": self.voices},
            "golden": {
                "file": "golden.f32",
                "n_hops": self.n_hops,
                "tolerance": dict.fromkeys(self.engines, GOLDEN_TOLERANCE),
                "arrays": arrays,
            },
            "files": [
                {"path": path}
                for path in (
                    "voices.f32",
                    "golden.f32",
                    *(f"{g}.{ENGINE_FILES[e]}" for g in self.graphs for e in self.engines),
                )
            ],
        }
        return write_manifest(self.folder, manifest)

    def _graph(self, name: str) -> dict[str, object]:
        graph = self.graphs[name]
        encoder, decoder = self.model.encoder.config, self.model.decoder.config
        shapes: dict[str, tuple[dict[str, list[object]], dict[str, list[object]]]] = {
            "encoder": (
                {"log_mel": ["hops", N_MELS]},
                {"content": ["hops", encoder.content_size], "phones": ["hops", encoder.n_phones]},
            ),
            "decoder": (
                {
                    "content": ["hops", decoder.content_size],
                    "pitch": ["hops", N_PITCH],
                    "voice": [1, decoder.conditioning_size],
                },
                {"filters": ["hops", N_FILTERS]},
            ),
        }
        inputs, outputs = shapes[name]
        states = zip(graph.state_names, graph.example_inputs(1)[len(graph.input_names) :], strict=True)

        def tensors(named: dict[str, list[object]]) -> list[dict[str, object]]:
            return [{"name": k, "shape": v, "dtype": "float32"} for k, v in named.items()]

        return {
            "inputs": tensors(inputs),
            "outputs": tensors(outputs),
            "states": tensors({name: list(state.shape) for name, state in states}),
            "chunk_hops": list(chunk_hops(self.model)),
            "macs_per_hop": macs_per_hop(graph),
            "n_parameters": n_parameters(graph),
            "files": {engine: f"{name}.{ENGINE_FILES[engine]}" for engine in self.engines},
            "quantization": self.quantization[name],
        }


def float_outputs(
    model: trained.Trained, log_mel: NDArray[np.float32], pitch: NDArray[np.float32], voice: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """What PyTorch computes, in float, for the golden inputs."""
    encoder, decoder = (make(None).eval() for make in graph_makers(model).values())
    calls = torch.from_numpy(log_mel).split(max(chunk_hops(model)))
    heard, states = [], encoder.example_inputs(1)[1:]
    with torch.no_grad():
        for call in calls:
            content, phones, *states = encoder(call, *states)
            heard.append((content, phones))
        content, phones = (torch.cat(parts) for parts in zip(*heard, strict=True))
        filters = decoder(content, torch.from_numpy(pitch), torch.from_numpy(voice), *decoder.example_inputs(1)[3:])[0]
    return {"content": content.numpy(), "phones": phones.numpy(), "filters": filters.numpy()}


def variants_description(model: trained.Trained) -> str:
    """Of the shipped variant that has this model's sizes; UserError where none has."""
    if isinstance(model.encoder, WhisperEar):
        return STUDIO_DESCRIPTION
    sizes = model.encoder.config, model.decoder.config
    for variant in VARIANTS.values():
        if (variant.encoder, replace(variant.decoder, n_voices=len(VOICES))) == sizes:
            return variant.description
    raise UserError("no variant has these sizes, so the bundle needs a --description, as `edgevc info` should show it")


@one_line_errors
def main() -> None:
    """Builds in a temporary folder beside OUT and then takes its place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--export", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--description", help="default: that of the variant whose sizes these are")
    parser.add_argument("--version", default="1.0")
    parser.add_argument("--engines", nargs="+", choices=ENGINE_FILES, default=list(ENGINE_FILES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = trained.load(args.run)
    description = args.description or variants_description(model)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out.parent) as temporary:
        heard = {row["speaker"] for row in listed(args.data) if row["split"] == "train"}
        assembly = Assembly(Path(temporary), args.export, model, args.engines, training_data(heard))
        voice = conditioning_table(model.decoder).numpy()[:1]
        log_mel, pitch = golden_inputs(args.data, latency(model), assembly.n_hops)
        exact = float_outputs(model, log_mel, pitch, voice)
        golden = {
            "encoder/input/log_mel": log_mel,
            "decoder/input/content": exact["content"],
            "decoder/input/pitch": pitch,
            "decoder/input/voice": voice,
        }
        # until the engines have spoken, PyTorch's outputs stand for theirs
        for engine in args.engines:
            golden |= {f"encoder/{engine}/{key}": exact[key] for key in ("content", "phones")}
            golden |= {f"decoder/{engine}/filters": exact["filters"]}
        draft = assembly.write(args.out.name, args.version, description, golden)
        hops = chunk_hops(model)[0]
        for engine in args.engines:
            content, phones = play(load_graph(draft, "encoder", engine, hops), log_mel)
            filters = play(load_graph(draft, "decoder", engine, hops), exact["content"], pitch, voice)[0]
            for graph, key, found in (
                ("encoder", "content", content),
                ("encoder", "phones", phones),
                ("decoder", "filters", filters),
            ):
                golden[f"{graph}/{engine}/{key}"] = found
                figure = round(snr_db(found, exact[key]), 1)
                assembly.quantization[graph][engine][f"{key}_snr_db"] = figure
                print(f"{graph} {key}, {engine} against PyTorch: {figure} dB")
                if figure < EXACT_DB:
                    raise UserError(
                        f"{args.export / graph}.{ENGINE_FILES[engine]} is not of {args.run}: its {key} are {figure} dB "
                        f"from it (limit {EXACT_DB:g}); export it again"
                    )
        bundle = assembly.write(args.out.name, args.version, description, golden)
        if args.out.exists():
            for extra in args.out.glob("*.md"):
                shutil.copy(extra, temporary)
            shutil.rmtree(args.out)
        shutil.copytree(temporary, args.out)
        suffixes = [ENGINE_FILES[engine] for engine in args.engines]
        size = {s: sum((args.out / f"{g}.{s}").stat().st_size for g in assembly.graphs) for s in suffixes}
        macs = sum(spec.macs_per_hop for spec in bundle.graphs.values())
        print(f"{args.out}: bytes {size}, {macs * 100 / 1e9:.3f} GMAC/s, bundle {bundle.sha256[:12]}")


if __name__ == "__main__":
    main()
