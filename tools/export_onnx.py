"""Step 5 of training: float and int8 ONNX graphs of a run, calibrated on streamed speech.

python tools/export_onnx.py --run RUN --data DATA --out EXPORT
python tools/export_onnx.py --run RUN --out EXPORT --float-only
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile as sf
import torch
from numpy.typing import NDArray
from vctrain.data.front_end import log_mel
from vctrain.data.voices import normalise, track_pitch
from vctrain.export import to_onnx, trained
from vctrain.export.graphs import DecoderGraph, EncoderGraph, FoldedDecoder, FoldedEncoder, conditioning_table
from vctrain.models.decoder import pitch_features

Frames = list[dict[str, NDArray[np.float32]]]
CALIBRATION_SPEAKERS = ("kathleen", "slt", "bdl", "ls26", "ls27")
KEEP_EVERY = 7
"""Of the streamed hops; neighbours are alike."""


def calibration_speech(data: Path, per_speaker: int) -> list[NDArray[np.float32]]:
    """Training recordings at levels from loud to quiet, whole hops."""
    rows = [json.loads(line) for line in (data / "utterances.jsonl").open()]
    speech = []
    for speaker in CALIBRATION_SPEAKERS:
        chosen = [r for r in rows if r["speaker"] == speaker and r["split"] == "train"][5::40][:per_speaker]
        for i, row in enumerate(chosen):
            samples = normalise(sf.read(data / row["path"], dtype="float32")[0][: 16_000 * 6])
            gain = 10 ** ((-12, 0, 6)[i % 3] / 20)
            speech.append((samples[: len(samples) // 160 * 160] * gain).astype(np.float32))
    return speech


def stream(
    path: Path, streamed: dict[str, NDArray[np.float32]], fixed: dict[str, NDArray[np.float32]]
) -> tuple[NDArray[np.float32], Frames]:
    """Plays frames through a float graph. Returns its first output (N, C) and every KEEP_EVERY-th set of inputs."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    states = {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs() if i.name.startswith("state_")}
    outputs, kept = [], []
    order = [o.name for o in session.get_outputs()]
    n_frames = len(next(iter(streamed.values())))
    for n in range(n_frames):
        feed = {k: v[n : n + 1] for k, v in streamed.items()} | fixed | states
        if n % KEEP_EVERY == 0:
            kept.append(feed)
        result = dict(zip(order, session.run(None, feed), strict=True))
        outputs.append(result[order[0]])
        states = {k: result[k[:-3] + "_out"] for k in states}
    return np.concatenate(outputs), kept


def main() -> None:
    """Writes EXPORT/{encoder,decoder}.{float,int8}.onnx."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="prepared data, for int8")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--utterances", type=int, default=3, help="calibration utterances per speaker")
    parser.add_argument("--float-only", action="store_true", help="no int8 graphs, so no --data is needed")
    args = parser.parse_args()
    if args.data is None and not args.float_only:
        parser.error("--data is needed to calibrate; or give --float-only")
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    model = trained.load(args.run)
    encoder, decoder = args.out / "encoder.float.onnx", args.out / "decoder.float.onnx"
    to_onnx.export_float(EncoderGraph(FoldedEncoder(model.encoder), None), encoder)
    to_onnx.export_float(DecoderGraph(FoldedDecoder(model.decoder), None), decoder)
    if args.float_only:
        return

    table = conditioning_table(model.decoder).numpy()
    encoder_frames: Frames = []
    decoder_frames: Frames = []
    for i, samples in enumerate(calibration_speech(args.data, args.utterances)):
        content, frames = stream(encoder, {"log_mel": log_mel(torch.from_numpy(samples)[None])[0].numpy()}, {})
        encoder_frames += frames
        pitch = torch.from_numpy(track_pitch(samples))
        features = pitch_features(pitch[:, 0], pitch[:, 1], pitch[:, 2]).numpy()
        voice = table[i % len(table)][None]
        decoder_frames += stream(decoder, {"content": content, "pitch": features}, {"voice": voice})[1]
    print(f"calibrating on {len(encoder_frames)} hops", flush=True)
    to_onnx.quantize(encoder, args.out / "encoder.int8.onnx", iter(encoder_frames))
    to_onnx.quantize(decoder, args.out / "decoder.int8.onnx", iter(decoder_frames))
    for file in sorted(args.out.glob("*.onnx")):
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
