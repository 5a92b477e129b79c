"""What `edgevc voices` and `edgevc info` say of a model."""

from __future__ import annotations

from typing import Any

from edgevc.bundle import ConsentRecord, ModelBundle
from edgevc.limits import ENGINES
from edgevc.signing.trusted import Signer
from edgevc.text import printable


def model_figures(bundle: ModelBundle) -> dict[str, Any]:
    """Name, algorithmic latency at 1 hop or one block per call, work, and bytes of the graphs of the larger engine."""
    rate, hop = bundle.features.sample_rate, bundle.latency.hop_samples
    chunk = hop * (bundle.block_hops or 1)
    return {
        "name": bundle.name,
        "description": bundle.description,
        "algorithmic_latency_ms": 1000 * (bundle.latency.latency_samples + chunk) / rate,
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


_BASES = {
    "spoken": "agreed, spoken",
    "written": "agreed in writing",
    "licence": "published for any use",
    "nobody": "nobody's voice",
}


def consent_text(record: ConsentRecord) -> str:
    """How the speaker of a voice agreed, in words."""
    facts = [_BASES[record.basis], *filter(None, (record.date, record.where))]
    return f"{'; '.join(map(printable, facts))}: {printable(record.statement)}"


def signature_text(signer: Signer | None) -> str:
    """Who signed a model, in words."""
    if signer is None:
        return "not signed"
    if not signer.trusted:
        return f"signed by key {signer.key_name}, which is not trusted here, so nothing is proven"
    owner = f"{printable(signer.owner)} (key {signer.key_name})" if signer.owner else f"key {signer.key_name}"
    return f"signed by {owner}: {printable(signer.comment)}" if signer.comment else f"signed by {owner}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
