"""A result with everything in it: both engines, layers that stayed float, a poisoned one, a candidate that failed."""

from dataclasses import replace

import numpy as np

from edgevc.board.boards import estimate
from edgevc.quantize.report.result import (
    Candidate,
    ClockRow,
    GateFigure,
    LayerReport,
    Provenance,
    QuantizationResult,
)

POISONED = "blocks.3.expand"


def gate(tensor=38.2, snr=24.6, mel=0.041, drift=1.01):
    return (
        GateFigure("tensor", tensor, 35.0, tensor >= 35, at_least=True),
        GateFigure("snr", snr, None, True, at_least=True),
        GateFigure("mel", mel, 0.1, mel <= 0.1),
        GateFigure("drift", drift, 1.05, drift <= 1.05),
    )


def layers(n=24, engines=("litert", "onnx")):
    rng = np.random.default_rng(5)
    made = []
    for engine in engines:
        for i in range(n):
            name = f"blocks.{i // 2}.{'expand' if i % 2 else 'project'}"
            poisoned = name == POISONED
            head = i in (0, n - 1)
            size = int(rng.integers(20, 200)) * 1024
            made.append(
                LayerReport(
                    graph="encoder" if i < n // 2 else "decoder",
                    engine=engine,
                    name=name,
                    op="Gemm" if engine == "onnx" else "FULLY_CONNECTED",
                    bytes_float=size,
                    bytes_int8=size if head or poisoned else size // 4 + 128,
                    quantized=not (head or poisoned),
                    reason="fallback: worst layer" if poisoned else "output head" if head else "",
                    weight_sqnr_db=1.7 if poisoned else float(rng.uniform(36, 46)),
                    activation_sqnr_db=0.6 if poisoned else None if i == 5 else float(rng.uniform(33, 48)),
                    outlier_ratio=1013.0 if poisoned else float(rng.uniform(1.2, 6)),
                    outlier_channel=17 if poisoned else int(rng.integers(0, 100)),
                )
            )
    return tuple(made)


def candidates():
    kept = ("encoder/blocks.0.project", "decoder/blocks.11.expand")
    return (
        Candidate(
            "onnx", "float", (), 13_360_000, {1: 250.4, 2: 265.0, 4: 362.1}, gate(133, 120, 1e-5, 1.0), True, True
        ),
        Candidate("onnx", "static", kept, 3_750_000, {1: 146.2, 2: 152.0, 4: 202.0}, gate(36.6), True, True),
        Candidate(
            "onnx", "dynamic", kept, 3_680_000, {1: 149.0, 2: 159.0, 4: 206.0}, gate(12.7, 4.0, 0.31, 1.4), False
        ),
        Candidate(
            "onnx",
            "dynamic",
            (*kept, f"encoder/{POISONED}"),
            3_710_000,
            {1: 149.5, 2: 160.0, 4: 207.0},
            gate(39.7),
            True,
            True,
            True,
        ),
        Candidate("onnx", "weight-only", kept, 4_000_000, {1: 263.0, 2: 297.0, 4: 339.0}, gate(39.2), True),
        Candidate(
            "litert", "float", (), 13_300_000, {1: 208.0, 2: 430.0, 4: 449.0}, gate(129, 119, 1e-5, 1.0), True, True
        ),
        Candidate("litert", "dynamic", kept, 3_570_000, {1: 54.0, 2: 99.0, 4: 112.0}, gate(39.5), True, True, True),
        Candidate(
            "litert", "static", kept, 3_630_000, {1: 100.0, 2: 180.0, 4: 290.0}, gate(12.8, 5.0, 0.4, 2.2), False
        ),
    )


def nearest_fails():
    return (replace(candidates()[7], nearest=True),)


def clock():
    table = {
        ("litert", "float"): (208.0, 430.0, 449.0),
        ("litert", "int8"): (54.0, 99.0, 112.0),
        ("onnx", "float"): (250.4, 265.0, 362.1),
        ("onnx", "int8"): (149.5, 160.0, 379.0),
    }
    return tuple(
        ClockRow(engine, precision, hops, us, table[engine, "float"][i] / us)
        for (engine, precision), times in table.items()
        for i, (hops, us) in enumerate(zip((1, 2, 4), times, strict=True))
    )


def result(**changes):
    kept = ("encoder/blocks.0.project", "decoder/blocks.11.expand")
    made = QuantizationResult(
        model="default 0.1.0",
        kind="bundle",
        output="out/",
        passed=True,
        layers=layers(),
        candidates=candidates(),
        clock=clock(),
        drift={
            "litert": (0.0401, 0.0405, 0.0399, 0.0402, 0.0404, 0.0403, 0.0401, 0.0406, 0.0404, 0.0405),
            "onnx": (0.0385, 0.0388, 0.0383, 0.0386, 0.0384, 0.0386, 0.0388, 0.0383, 0.0387, 0.0386),
        },
        bytes_float={"litert": 13_300_000, "onnx": 13_360_000},
        bytes_int8={"litert": 3_570_000, "onnx": 3_710_000},
        cpu={
            "name": "AMD EPYC",
            "cores": 2,
            "int8": ["AVX2", "AVX512-VNNI"],
            "meaning": "int8 has dot products here",
            "estimates": [estimate("pi-4", 3_310_000, 3_570_000).as_dict()],
        },
        notes=("decoder: the output head stayed float (pattern *head*)",),
        provenance=Provenance(
            source="default",
            source_sha256="ab" * 32,
            calibration_sha256="cd" * 32,
            calibration_clips=12,
            calibration_seconds=47.5,
            method="min-max",
            schemes={"litert": "dynamic", "onnx": "dynamic"},
            excluded={"litert": kept, "onnx": (*kept, f"encoder/{POISONED}")},
            versions={"edgevc": "0.1.0", "onnxruntime": "1.31.1", "ai-edge-litert": "2.3.0", "numpy": "2.4.6"},
        ),
        seconds=93.4,
        peak_rss_mb=412.0,
    )
    return replace(made, **changes)


def bare_graph(name="model_1"):
    """The least that a result can hold: one graph, one engine, little measured."""
    layer = LayerReport(name, "onnx", "lstm", "LSTM", 512_000, 512_000, False, "no int8 kernel", None, None, None, None)
    return result(
        model=name,
        kind="graph",
        layers=(layer,),
        candidates=(Candidate("onnx", "static", (), 400_000, {}, (), False),),
        clock=(),
        drift={},
        bytes_float={"onnx": 1_458_237},
        bytes_int8={},
        cpu={},
        notes=(),
        passed=False,
    )
