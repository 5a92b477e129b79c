"""What `edgevc voices` and `edgevc info` say of a model."""

from __future__ import annotations

from typing import Any

from edgevc.bundle import ModelBundle
from edgevc.limits import ENGINES


def model_figures(bundle: ModelBundle) -> dict[str, Any]:
    """Name, algorithmic latency at 1 hop per call, work, and bytes of the graphs of the larger engine."""
    rate, hop = bundle.features.sample_rate, bundle.latency.hop_samples
    return {
        "name": bundle.name,
        "description": bundle.description,
        "algorithmic_latency_ms": 1000 * (bundle.latency.latency_samples + hop) / rate,
        "gmac_per_second": sum(graph.macs_per_hop for graph in bundle.graphs.values()) * rate / hop / 1e9,
        "bytes": max(
            sum(len(bundle.read(graph.files[engine])) for graph in bundle.graphs.values() if engine in graph.files)
            for engine in ENGINES
        ),
    }


def quality(bundle: ModelBundle) -> str:
    """What was measured of the model's speech, in a few words."""
    texts = {
        "similarity": "similarity {:.2f}",
        "wer_minus_source": "word errors {:+.1%}",
        "ovrl": "DNSMOS {:.2f}",
    }
    found = [text.format(bundle.quality[key]) for key, text in texts.items() if _is_number(bundle.quality.get(key))]
    return f"; {', '.join(found)}" if found else ""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
