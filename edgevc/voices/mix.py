"""Mixtures of voices: of those in files and of the model's own, as a voice's file of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgevc.bundle import AdapterLayer, Adapters, ModelBundle, Voice
from edgevc.errors import ConfigError
from edgevc.voices.library import MAX_VOICE_BYTES, find_voice, require_name
from edgevc.voices.linear import FloatArray
from edgevc.voices.writer import write_voice

_ROOM = 12_000
"""Bytes of a voice's file beside adapters, offsets and row."""


def mix_voices(
    path: str | os.PathLike[str], model: ModelBundle, shares: Mapping[str, float], name: str
) -> tuple[ModelBundle, float]:
    """Write a mixture of voices as a voice's file; return it and the share of the adapters' energy that it keeps.

    What voices add to the decoder's weights is added up, each by its share. The rank of the sum is the sum of ranks;
    where the file would be too large for it, the nearest one of a lower rank is taken (Eckart and Young, 1936).

    Args:
        path: ends in .voice.
        model: that the voices belong to.
        shares: voice to share: names of the model's or of the folder, or paths of files.
        name: of the mixture.

    Raises:
        ConfigError: a share is not above 0, there is one voice only, or none of them is a voice's file.
        ModelError: a voice cannot be had.
        OutputError: the file cannot be written.
    """
    require_name(name)
    if len(shares) < 2 or not all(0 < share < np.inf for share in shares.values()):
        raise ConfigError(
            "a mixture is of two voices or more, each with a share above 0, such as me.voice=0.6 anon=0.4; got "
            + " ".join(f"{voice}={share:g}" for voice, share in shares.items())
        )
    total = sum(shares.values())
    parts = [(find_voice(voice, model), share / total) for voice, share in shares.items()]
    conditioning = sum((part.conditioning * np.float32(share) for part, share in parts), np.float32(0))
    own = [(part.adapters, share) for part, share in parts if part.adapters is not None]
    if not own:
        raise ConfigError("none of these voices is a file; mix the model's own with the name pseudo-KEY instead")
    row = np.asarray(conditioning, np.float32)
    adapters, kept = _added_up(own, _largest_rank(own[0][0], row.nbytes))
    figures = {"mixture_of": {part.spec.name: round(share, 3) for part, share in parts}, "kept": round(kept, 4)}
    return write_voice(path, model, _entry(parts, name), row, adapters, figures), kept


def _largest_rank(adapters: Adapters, row_bytes: int) -> int:
    """Return the highest rank whose file is small enough."""
    per_rank = 2 * sum(len(layer.up) + layer.down.shape[1] for layer in adapters.layers)
    return int((MAX_VOICE_BYTES - _ROOM - row_bytes - 2 * len(adapters.offsets)) // per_rank)


def _added_up(own: list[tuple[Adapters, float]], most: int) -> tuple[Adapters, float]:
    """Return the sum of adapters by their shares, of a rank of at most `most`, and the share of it that is kept."""
    layers, kept, whole = [], 0.0, 0.0
    for at in range(len(own[0][0].layers)):
        up = np.concatenate([adapters.layers[at].up * np.float32(share) for adapters, share in own], 1)
        down = np.concatenate([adapters.layers[at].down for adapters, _ in own])
        layer, values = _lower_rank(up, down, most)
        layers.append(layer)
        kept += float((values[:most] ** 2).sum())
        whole += float((values**2).sum())
    offsets = sum((adapters.offsets * np.float32(share) for adapters, share in own), np.float32(0))
    return Adapters(tuple(layers), np.asarray(offsets, np.float32), ""), kept / whole if whole else 1.0


def _lower_rank(up: FloatArray, down: FloatArray, most: int) -> tuple[AdapterLayer, FloatArray]:
    """Return the nearest product of a rank of at most `most`, and the singular values of the whole one."""
    # of the small factors only: the product is never formed
    left, right = np.linalg.qr(up.astype(np.float64)), np.linalg.qr(down.T.astype(np.float64))
    inner, values, outer = np.linalg.svd(left[1] @ right[1].T)
    rank = min(most, len(values))
    root = np.sqrt(values[:rank])
    layer = AdapterLayer(
        np.asarray(left[0] @ inner[:, :rank] * root, np.float32),
        np.asarray((right[0] @ outer[:rank].T * root).T, np.float32),
    )
    return layer, np.asarray(values, np.float32)


def _entry(parts: list[tuple[Voice, float]], name: str) -> dict[str, Any]:
    """Return the mixture's entry in the manifest; who agreed to a part has agreed to the mixture."""
    what = "A mixture of " + ", ".join(f"{share:.2f} {part.spec.name}" for part, share in parts) + "."
    specs = [part.spec for part, _ in parts]
    records = [spec.consent_record for spec in specs if spec.consent_record is not None]
    people = [record for record in records if record.basis != "nobody"]
    # the model's own are published for any use: what a person said of a file's voice says more
    people.sort(key=lambda record: record.basis == "licence")
    said = " ".join(f"{spec.name}: {spec.consent}" for spec in specs)
    record = {"basis": people[0].basis if people else "nobody", "statement": f"{what} {said}"}
    if people and people[0].where is not None:
        record["where"] = people[0].where
    return {
        "name": name,
        "description": what,
        "licence": "; ".join(dict.fromkeys(spec.licence for spec in specs)),
        "consent": said,
        "consent_record": record,
        "log2_f0_mean": round(sum(part.spec.log2_f0_mean * share for part, share in parts), 4),
        "log2_f0_std": round(sum(part.spec.log2_f0_std * share for part, share in parts), 4),
    }


def shares_of(words: list[str]) -> dict[str, float]:
    """Return voice to share of words like `me.voice=0.6`.

    Raises:
        ConfigError: one is no such word, or a voice stands there twice.
    """
    found: dict[str, float] = {}
    for word in words:
        voice, _, share = word.rpartition("=")
        try:
            value = float(share)
        except ValueError:
            value = float("nan")
        if not voice or value != value or voice in found:
            raise ConfigError(
                f"a part of a mixture is VOICE=SHARE, such as me.voice=0.6, each voice once; got {word!r}"
            )
        found[voice] = value
    return found
