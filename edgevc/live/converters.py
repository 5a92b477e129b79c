"""The converters of a live session: one for each number of hops per call, loaded and warmed up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.limits import CHUNK_HOPS, HOP_LENGTH
from edgevc.live.chain import Converter
from edgevc.live.config import LiveConfig

WARM_UP_CALLS = 20


def load_converters(config: LiveConfig) -> dict[int, VoiceConverter]:
    """Load the model once for each number of hops per call that the overload policy may need; return them by it.

    A model that hears in blocks is loaded once, for its block; see `edgevc.live.settings.with_hops_of`.

    Raises:
        ConfigError, EngineError, ModelError: see `VoiceConverter`; ModelError also where the voice is unknown.
    """
    bundle = ModelBundle.find(config.model)
    if config.voice is not None:
        bundle.voice(config.voice)
    first = VoiceConverter(bundle, config.engine, config.chunk_hops)
    several = config.overload == "batch" and bundle.block_hops is None
    more = [hops for hops in CHUNK_HOPS if hops > config.chunk_hops] if several else []
    return {first.chunk_hops: first} | {hops: VoiceConverter(bundle, first.engine, hops) for hops in more}


def warm_up(converters: Mapping[int, Converter], chunk_hops: int, voice: str) -> None:
    """Let the engine make what it makes at its first calls, before a device waits for them.

    Args:
        converters: hops per call to converter.
        chunk_hops: to begin with.
        voice: any of the bundle's.
    """
    for hops, converter in converters.items():
        stream = converter.stream(voice)
        for _ in range(WARM_UP_CALLS if hops == chunk_hops else 2):
            stream.process(np.zeros(hops * HOP_LENGTH, np.float32))
