r"""Quantizes streaming models that are not ours and measures them at their own work.

    git clone https://github.com/breizhn/DTLN
    git clone https://github.com/Xiaobin-Rong/gtcrn
    git clone https://github.com/aask1357/fastenhancer && git -C fastenhancer checkout a4d6c00
    pip download silero-vad==6.2.3 --no-deps && unzip silero_vad-6.2.3-py3-none-any.whl
    python3 -m venv sherpa && sherpa/bin/pip install sherpa-onnx
    python benchmarks/quantize_public.py --dtln DTLN/pretrained_model --silero silero_vad/data \
        --gtcrn gtcrn/stream/onnx_models --fastenhancer fastenhancer/onnx --sherpa-python sherpa/bin/python

DTLN, GTCRN and FastEnhancer (MIT) clean noisy speech, silero-vad (MIT) finds speech. All are fed as their authors do.
The speech is the packaged held-out set, which calibration has not heard. Writes docs/results/quantize_public.json;
the rows of a model that is not given stay as they are in that file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from edgevc.children import edgevc_command
from edgevc.quantize.calibration_speech import held_out_clips

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results" / "quantize_public.json"
DTLN_BLOCK, DTLN_HOP = 512, 128
SILERO_CONTEXT, SILERO_HOP = 64, 512
SNR_DB = 5.0
SPECTRUM, SPECTRUM_HOP = 512, 256
FASTENHANCER_HOPS = {"fastenhancer_t": 256, "fastenhancer_b": 256, "fastenhancer_s": 256, "fastenhancer_m": 160}

GTCRN_METADATA = {
    "model_type": "gtcrn", "version": "1", "sample_rate": "16000", "n_fft": "512", "hop_length": "256",
    "window_length": "512", "window_type": "hann_sqrt", "conv_cache_shape": "2,1,16,16,33",
    "tra_cache_shape": "2,3,1,1,16", "inter_cache_shape": "2,1,33,16",
}  # fmt: skip
"""What sherpa-onnx reads from a GTCRN file; its authors' files have none of it."""
SHERPA = """
import json, sys, wave
import numpy as np, sherpa_onnx
source, target, *models = sys.argv[1:]
samples = np.load(source)
found = []
for path in models:
    gtcrn = sherpa_onnx.OfflineSpeechDenoiserGtcrnModelConfig(model=path)
    model = sherpa_onnx.OfflineSpeechDenoiserModelConfig(gtcrn=gtcrn, num_threads=1, provider="cpu")
    config = sherpa_onnx.OfflineSpeechDenoiserConfig(model=model)
    assert config.validate(), path
    found.append(np.array(sherpa_onnx.OfflineSpeechDenoiser(config)(samples, 16000).samples, np.float32))
np.save(target, np.stack(found))
"""

OPTIONS = {
    "model_1": ["--state-pattern", "input_3=tf_op_layer_stack_2", "--feed", "input_2=magnitude:128"],
    # its states take minutes to settle, in float as in int8: by the fourth minute the error is 1.06 to 1.33 times the
    # first's, depending on the layers, and stays there, 35 dB and more below the signal
    "model_2": [
        *("--state-pattern", "input_5=tf_op_layer_stack_5", "--feed", "input_4=samples:128"),
        *("--gate", "tensor>=35,drift<=1.5"),
    ],
    "silero_vad_op18_ifless": [
        *("--state-pattern", "state=stateN", "--shape", "input=1x576"),
        *("--feed", "input=samples:512", "--feed", "sr=16000"),
    ],
    "gtcrn": ["--state-pattern", "*_cache=*_cache_out"],
    "gtcrn_simple": ["--state-pattern", "*_cache=*_cache_out"],
    **{stem: ["--state-pattern", "cache_in_*=cache_out_*"] for stem in FASTENHANCER_HOPS},
}
"""File name's stem to what `edgevc quantize` cannot see in the graph."""


def session(path: Path) -> onnxruntime.InferenceSession:
    """Load a graph on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def denoise(noisy: np.ndarray, one: onnxruntime.InferenceSession, two: onnxruntime.InferenceSession) -> np.ndarray:
    """Return what DTLN makes of (T,) at 16 kHz, 384 samples late: a mask on the magnitude, then a second look."""
    names = [[value.name for value in graph.get_inputs()] for graph in (one, two)]
    states = [np.zeros((1, 2, 128, 2), np.float32) for _ in range(2)]
    frame, added = np.zeros(DTLN_BLOCK, np.float32), np.zeros(DTLN_BLOCK, np.float32)
    output = np.zeros(len(noisy) // DTLN_HOP * DTLN_HOP, np.float32)
    for start in range(0, len(output), DTLN_HOP):
        frame = np.concatenate([frame[DTLN_HOP:], noisy[start : start + DTLN_HOP]])
        spectrum = np.fft.rfft(frame)
        magnitude = np.abs(spectrum).astype(np.float32).reshape(1, 1, -1)
        mask, states[0] = one.run(None, dict(zip(names[0], (magnitude, states[0]), strict=True)))
        block = np.fft.irfft(spectrum * mask.reshape(-1)).astype(np.float32).reshape(1, 1, -1)
        clean, states[1] = two.run(None, dict(zip(names[1], (block, states[1]), strict=True)))
        added = np.concatenate([added[DTLN_HOP:], np.zeros(DTLN_HOP, np.float32)]) + clean.reshape(-1)
        output[start : start + DTLN_HOP] = added[:DTLN_HOP]
    return output


def speech_probability(samples: np.ndarray, graph: onnxruntime.InferenceSession) -> np.ndarray:
    """Return silero-vad's probability of speech for each 512 samples."""
    wanted = {value.name for value in graph.get_inputs()}
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros(SILERO_CONTEXT, np.float32)
    probabilities = []
    for start in range(0, len(samples) - SILERO_HOP + 1, SILERO_HOP):
        block = np.concatenate([context, samples[start : start + SILERO_HOP]])
        context = block[-SILERO_CONTEXT:]
        values = {"input": block[None], "state": state, "sr": np.array(16_000, np.int64)}
        probability, state = graph.run(None, {name: value for name, value in values.items() if name in wanted})
        probabilities.append(float(probability.reshape(-1)[0]))
    return np.array(probabilities)


def material(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return held-out speech, each clip brought to -20 dB and with 0.5 s of silence before it, and noise for it."""
    parts = []
    for _, samples in held_out_clips():
        parts += [np.zeros(8_000, np.float32), samples * np.float32(0.1 / np.sqrt(np.mean(samples**2)))]
    speech = np.concatenate(parts)
    noise = np.convolve(rng.normal(0, 1, len(speech)), np.ones(4) / 4, "same").astype(np.float32)
    noise *= np.sqrt(np.mean(speech**2) / np.mean(noise**2)) / np.float32(10 ** (SNR_DB / 20))
    return speech, noise


def snr_db(reference: np.ndarray, found: np.ndarray) -> float:
    """Return signal over difference."""
    return float(10 * np.log10(np.sum(reference**2) / np.sum((found - reference) ** 2)))


def quantize(model: Path, folder: Path) -> tuple[Path, dict]:
    """Run `edgevc quantize` as a user does; return the int8 graph and the report."""
    out, report = folder / f"{model.stem}.int8.onnx", folder / f"{model.stem}.json"
    arguments = [*OPTIONS[model.stem], "--report", str(report)]
    subprocess.run(edgevc_command("quantize", str(model), "-o", str(out), *arguments), check=True)
    return out, json.loads(report.read_text(encoding="utf-8"))


def row(name: str, value: float, unit: str = "", bar: str | None = None) -> dict:
    """Return one measured figure."""
    return {"name": name, "value": value, "unit": unit, "bar": bar, "command": "python benchmarks/quantize_public.py"}


def rows_of(title: str, report: dict) -> list[dict]:
    """Return size, speed and gate of one graph."""
    (chosen,) = [candidate for candidate in report["candidates"] if candidate["chosen"]]
    (clock,) = [entry for entry in report["clock"] if entry["precision"] == "int8" and entry["hops"] == 1]
    (before,), (after,) = report["bytes_float"].values(), report["bytes_int8"].values()
    n_int8 = sum(layer["quantized"] for layer in report["layers"])
    rows = [
        row(f"{title}, {chosen['scheme']}, {n_int8} of {len(report['layers'])} layers: times smaller", before / after),
        row(f"{title}: times as fast as float", clock["ratio"]),
        row(f"{title}: one call, int8", clock["median_us"], "us"),
    ]
    names = {
        "tensor": ("worst output, signal over error", "dB"),
        "drift": ("error in the last minute over that in the first", ""),
    }
    for figure in chosen["gate"]:
        name, unit = names[figure["name"]]
        bar = f"{'>=' if figure['at_least'] else '<='} {figure['limit']:g}"
        rows.append(row(f"{title}: {name}", figure["value"], unit, bar))
    return rows


def measure_dtln(folder: Path, work: Path) -> list[dict]:
    """Quantize both graphs and clean noisy speech with float and with int8."""
    rows, pairs = [], []
    for stem in ("model_1", "model_2"):
        model = folder / f"{stem}.onnx"
        out, report = quantize(model, work)
        rows += rows_of(f"DTLN {stem}", report)
        pairs.append((model, out))
    speech, noise = material(np.random.default_rng(7))
    noisy = speech + noise
    late = DTLN_BLOCK - DTLN_HOP
    cleaned = [denoise(noisy, session(pairs[0][i]), session(pairs[1][i])) for i in (0, 1)]
    n = len(cleaned[0]) - late
    for what, samples in (("noisy", noisy[:n]), ("float", cleaned[0][late:]), ("int8", cleaned[1][late:])):
        rows.append(row(f"DTLN: SNR of speech, {what}", snr_db(speech[:n], samples), "dB"))
    return rows


def measure_silero(folder: Path, work: Path) -> list[dict]:
    """Quantize the graph and look for speech with float and with int8."""
    model = folder / "silero_vad_op18_ifless.onnx"
    out, report = quantize(model, work)
    speech, noise = material(np.random.default_rng(8))
    sound = np.concatenate([noise[:48_000], speech + 0.3 * noise, noise[:48_000]]).astype(np.float32)
    exact, found = (speech_probability(sound, session(path)) for path in (model, out))
    return [
        *rows_of("silero-vad", report),
        row("silero-vad: decisions that stay the same (threshold 0.5)", float(np.mean((exact > 0.5) == (found > 0.5)))),
        row("silero-vad: mean change of the probability", float(np.mean(np.abs(exact - found)))),
        row("silero-vad: share of blocks called speech, float", float(np.mean(exact > 0.5))),
        row("silero-vad: share of blocks called speech, int8", float(np.mean(found > 0.5))),
    ]


def clean_spectra(noisy: np.ndarray, graph: onnxruntime.InferenceSession) -> np.ndarray:
    """Return what GTCRN makes of (T,) at 16 kHz, 256 samples late: spectra in and out, sqrt-Hann on both sides."""
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SPECTRUM) / SPECTRUM)).astype(np.float32)
    names = [value.name for value in graph.get_outputs()]
    states = {v.name: np.zeros(v.shape, np.float32) for v in graph.get_inputs() if v.name != "mix"}
    frame, added = np.zeros(SPECTRUM, np.float32), np.zeros(SPECTRUM, np.float32)
    output = np.zeros(len(noisy) // SPECTRUM_HOP * SPECTRUM_HOP, np.float32)
    for start in range(0, len(output), SPECTRUM_HOP):
        frame = np.concatenate([frame[SPECTRUM_HOP:], noisy[start : start + SPECTRUM_HOP]])
        spectrum = np.fft.rfft(frame * window)
        mix = np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)[None, :, None, :]
        found = dict(zip(names, graph.run(None, {"mix": mix, **states}), strict=True))
        states = {name: found[f"{name}_out"] for name in states}
        block = np.fft.irfft(found["enh"][0, :, 0] @ np.array([1, 1j])).astype(np.float32) * window
        added = np.concatenate([added[SPECTRUM_HOP:], np.zeros(SPECTRUM_HOP, np.float32)]) + block
        output[start : start + SPECTRUM_HOP] = added[:SPECTRUM_HOP]
    return output


def clean_waveform(noisy: np.ndarray, graph: onnxruntime.InferenceSession, hop: int) -> np.ndarray:
    """Return what FastEnhancer makes of (T,) at 16 kHz, 512 - hop samples late."""
    names = [value.name for value in graph.get_outputs()]
    states = {v.name: np.zeros(v.shape, np.float32) for v in graph.get_inputs() if v.name != "wav_in"}
    frame = np.zeros(SPECTRUM, np.float32)
    output = np.zeros(len(noisy) // hop * hop, np.float32)
    for start in range(0, len(output), hop):
        frame = np.concatenate([frame[hop:], noisy[start : start + hop]])
        found = dict(zip(names, graph.run(None, {"wav_in": frame[None], **states}), strict=True))
        states = {name: found[name.replace("_in_", "_out_")] for name in states}
        output[start : start + hop] = found["wav_out"][0]
    return output


def rows_of_sound(title: str, cleaned: list[np.ndarray], late: int) -> list[dict]:
    """Compare float and int8, which are `late`, with the speech of `material(7)`, and with each other."""
    speech, noise = material(np.random.default_rng(7))
    n = min(map(len, cleaned)) - late
    exact, found = (samples[late : late + n] for samples in cleaned)
    sounds = (("noisy", speech[:n] + noise[:n]), ("float", exact), ("int8", found))
    rows = [row(f"{title}: SNR of speech, {what}", snr_db(speech[:n], samples), "dB") for what, samples in sounds]
    return [*rows, row(f"{title}: int8 against float, signal over difference", snr_db(exact, found), "dB")]


def described(model: Path, folder: Path) -> Path:
    """Return a copy of GTCRN's file with the metadata that sherpa-onnx reads."""
    graph = onnx.load(model)
    for key, value in GTCRN_METADATA.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value
    copy = folder / model.name
    onnx.save(graph, copy)
    return copy


def measure_gtcrn(folder: Path, work: Path, sherpa_python: str | None) -> list[dict]:
    """Quantize both exports at the defaults; clean noisy speech with float and int8, here and in sherpa-onnx."""
    rows = []
    speech, noise = material(np.random.default_rng(7))
    for stem in ("gtcrn_simple", "gtcrn"):
        model = described(folder / f"{stem}.onnx", work)
        out, report = quantize(model, work)
        title = f"GTCRN {stem}"
        kept = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
        same = sum(kept.get(key) == value for key, value in GTCRN_METADATA.items())
        rows += [*rows_of(title, report), row(f"{title}: metadata entries kept of 10", same, "", ">= 10")]
        cleaned = [clean_spectra(speech + noise, session(path)) for path in (model, out)]
        rows += rows_of_sound(title, cleaned, SPECTRUM - SPECTRUM_HOP)
        if sherpa_python is not None:
            source, target = work / "noisy.npy", work / "cleaned.npy"
            np.save(source, speech + noise)
            subprocess.run([sherpa_python, "-c", SHERPA, source, target, model, out], check=True)
            exact, found = np.load(target)
            title = f"{title} in sherpa-onnx's denoiser: int8 against float, signal over difference"
            rows.append(row(title, snr_db(exact, found), "dB", ">= 35"))
    return rows


def measure_fastenhancer(folder: Path, work: Path) -> list[dict]:
    """Quantize each size that is there at the defaults, and clean noisy speech with float and int8."""
    rows = []
    speech, noise = material(np.random.default_rng(7))
    for stem, hop in FASTENHANCER_HOPS.items():
        model = folder / f"{stem}.onnx"
        if not model.exists():
            continue
        out, report = quantize(model, work)
        title = f"FastEnhancer {stem[-1].upper()}"
        cleaned = [clean_waveform(speech + noise, session(path), hop) for path in (model, out)]
        rows += [*rows_of(title, report), *rows_of_sound(title, cleaned, SPECTRUM - hop)]
    return rows


def main() -> None:
    """Measures what is given and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtln", type=Path, help="folder with model_1.onnx and model_2.onnx")
    parser.add_argument("--silero", type=Path, help="folder with silero_vad_op18_ifless.onnx")
    parser.add_argument("--gtcrn", type=Path, help="folder with gtcrn.onnx and gtcrn_simple.onnx")
    parser.add_argument("--fastenhancer", type=Path, help="folder with fastenhancer_t.onnx, ..._b, ..._s or ..._m")
    parser.add_argument("--sherpa-python", help="the Python of an environment with sherpa-onnx, for GTCRN")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else []
    parts = {
        "DTLN": arguments.dtln and (lambda work: measure_dtln(arguments.dtln, work)),
        "silero-vad": arguments.silero and (lambda work: measure_silero(arguments.silero, work)),
        "GTCRN": arguments.gtcrn and (lambda work: measure_gtcrn(arguments.gtcrn, work, arguments.sherpa_python)),
        "FastEnhancer": arguments.fastenhancer and (lambda work: measure_fastenhancer(arguments.fastenhancer, work)),
    }
    for title, measure in parts.items():
        if not measure:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = measure(Path(folder))
        rows = [entry for entry in rows if not entry["name"].startswith(title)] + found
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        for entry in found:
            print(f"{entry['name']:70s} {entry['value']:10.4g} {entry['unit']}", flush=True)


if __name__ == "__main__":
    main()
