"""What `edgevc voices` and `edgevc voice` say of a voice's file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgevc.bundle import ModelBundle
from edgevc.cli.model_figures import consent_text, signature_text
from edgevc.errors import ModelError
from edgevc.text import printable
from edgevc.voices.library import open_voice, require_base


def own_figures(path: Path, model: ModelBundle) -> dict[str, Any]:
    """Return what is known of a voice's file: "error" where it is damaged, and whether the model can speak it."""
    try:
        bundle = open_voice(path)
    except ModelError as error:
        return {"file": str(path), "error": str(error)}
    return {**facts(bundle), "fits": misfit(bundle, model) is None}


def own_line(path: Path, model: ModelBundle) -> str:
    """Return the same in a line."""
    try:
        bundle = open_voice(path)
    except ModelError as error:
        return f"{printable(path.stem):10s} cannot be used: {error}"
    voice, base = bundle.voices[0], bundle.model
    of = f"{base.name} {base.version}" if base is not None else "an unknown model"
    use = f"for {of}" if misfit(bundle, model) is None else f"for another model, {of}"
    return f"{printable(path.stem):10s} {voice.description}; mean F0 {2**voice.log2_f0_mean:.0f} Hz; {use}"


def misfit(bundle: ModelBundle, model: ModelBundle) -> str | None:
    """Return why a model cannot speak a voice; None where it can."""
    try:
        require_base(bundle, model)
    except ModelError as error:
        return str(error)
    return None


def facts(bundle: ModelBundle) -> dict[str, Any]:
    """Return all that a voice's file says of itself."""
    return {
        "file": str(bundle.path),
        "sha256": bundle.sha256,
        "signature": None if bundle.signer is None else asdict(bundle.signer),
        "voice": asdict(bundle.voices[0]),
        "model": None if bundle.model is None else asdict(bundle.model),
        "quality": dict(bundle.quality),
    }


def fact_lines(bundle: ModelBundle) -> list[str]:
    """Return the same for people."""
    voice, base = bundle.voices[0], bundle.model
    lines = [
        f"{voice.name} {bundle.version}: {voice.description}",
        f"{printable(str(bundle.path))}, {bundle.path.stat().st_size / 1000:.0f} kB, licence {voice.licence}",
        f"mean F0 {2**voice.log2_f0_mean:.0f} Hz",
        f"consent: {printable(voice.consent)}",
    ]
    if voice.consent_record is not None:
        lines.append(consent_text(voice.consent_record))
    if base is not None:
        lines.append(f"made for the model {base.name} {base.version}")
    lines += [f"{name}: {_value(value)}" for name, value in bundle.quality.items()]
    return [*lines, "every file matches its sha256", signature_text(bundle.signer)]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(inner)}" for name, inner in value.items())
    return printable(str(value))
