"""The converters of a live session: one for each number of hops per call, loaded and warmed up."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from edgevc.bundle import ModelBundle, Voice
from edgevc.converter import VoiceConverter
from edgevc.errors import ModelError
from edgevc.limits import CHUNK_HOPS, HOP_LENGTH
from edgevc.live.chain import Converter
from edgevc.live.config import LiveConfig
from edgevc.voices.library import find_voice, installed, is_voice_file, load_voice

_LOG = logging.getLogger(__name__)
WARM_UP_CALLS = 20


def load_converters(config: LiveConfig) -> dict[int, VoiceConverter]:
    """Load the model once for each number of hops per call that the overload policy may need; return them by it.

    A model that hears in blocks is loaded once, for its block; see `edgevc.live.settings.with_hops_of`.

    Raises:
        ConfigError, EngineError, ModelError: see `VoiceConverter`; ModelError also where the voice is unknown.
    """
    bundle = ModelBundle.find(config.model)
    if config.voice is not None:
        find_voice(config.voice, bundle)
    first = VoiceConverter(bundle, config.engine, config.chunk_hops)
    several = config.overload == "batch" and bundle.block_hops is None
    more = [hops for hops in CHUNK_HOPS if hops > config.chunk_hops] if several else []
    return {first.chunk_hops: first} | {hops: VoiceConverter(bundle, first.engine, hops) for hops in more}


def own_voices(converter: Converter, wanted: str | None) -> tuple[str | None, dict[str, Voice]]:
    """Return the name of the voice that is wanted, and the voices of your own that the model can speak, by name.

    Those of the folder that are damaged or another model's are left out; the one that is wanted is not.

    Args:
        converter: of the session; one that is no `VoiceConverter` has no voices of your own.
        wanted: a name, or the path of a voice's file; None: whatever comes first.

    Raises:
        ModelError: the one that is wanted cannot be had.
    """
    if not isinstance(converter, VoiceConverter):
        return wanted, {}
    model, found = converter.bundle, {}
    for name, path in installed().items():
        try:
            found[name] = load_voice(path, model)
        except ModelError as error:
            _LOG.info("the voice %s is left out: %s", path, error)
    if wanted is None or (wanted in converter.voices and not is_voice_file(wanted)):
        return wanted, found
    voice = converter.voice(wanted)
    name = voice.spec.name
    if name in converter.voices:
        raise ModelError(f"the model has a voice {name!r} itself; call yours another name: `edgevc voice make --help`")
    return name, {**found, name: voice}


def warm_up(converters: Mapping[int, Converter], chunk_hops: int, voice: str | Voice) -> None:
    """Let the engine make what it makes at its first calls, before a device waits for them.

    Args:
        converters: hops per call to converter.
        chunk_hops: to begin with.
        voice: that it begins with.
    """
    for hops, converter in converters.items():
        stream = converter.stream(voice)
        for _ in range(WARM_UP_CALLS if hops == chunk_hops else 2):
            stream.process(np.zeros(hops * HOP_LENGTH, np.float32))
