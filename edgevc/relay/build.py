"""Makes a relay's parts out of its settings; what is wrong with them is said before anything runs."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgevc.bundle import ModelBundle
from edgevc.control.address import default_address
from edgevc.devices.catalogue import open_port
from edgevc.errors import ConfigError
from edgevc.recognition.armed import ArmedRecognizer
from edgevc.recognition.spoken_commands import SpokenCommands
from edgevc.relay.config import MqttConfig, RelayConfig
from edgevc.relay.controls import Controls
from edgevc.relay.event import Event, Sink, Source
from edgevc.relay.mqtt.claim import Claim
from edgevc.relay.settings import Settings
from edgevc.relay.sinks.home_assistant import HomeAssistantSink
from edgevc.relay.sinks.lines import LinesSink
from edgevc.relay.sinks.program import ProgramSink
from edgevc.relay.sinks.webhook import WebhookSink
from edgevc.relay.sources.hearing import Hearing
from edgevc.relay.sources.lines import LinesSource
from edgevc.relay.sources.live import LiveSource
from edgevc.relay.sources.sound import FileSource, MicrophoneSource, PipeSource
from edgevc.relay.vocabulary import Vocabulary
from edgevc.settings.kinds import split_host_port
from edgevc.wyoming.address import Address


@dataclass(frozen=True)
class Input:
    """What the command line names to be heard, instead of what the settings say."""

    files: Sequence[Path] = ()
    raw: BinaryIO | None = None
    """Raw PCM."""
    raw_rate: int = 16_000
    events: BinaryIO | None = None
    """Lines of JSON."""


def device_name(config: RelayConfig) -> str:
    """Return what this machine is called."""
    return config.device or socket.gethostname() or "edgevc"


def device_id(name: str) -> str:
    """Return a name that topics and Home Assistant's ids can have."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "edgevc"


def vocabulary_of(config: RelayConfig) -> Vocabulary | None:
    """Return what may be said; None where no grammar is named.

    Raises:
        ConfigError: the grammar is none.
    """
    return None if config.commands is None else Vocabulary(config.commands, config.dictionary)


def make_sinks(
    settings: Settings, controls: Controls, vocabulary: Vocabulary | None, write: Callable[[str], None]
) -> list[Sink]:
    """Return every sink that is set up; lines on stdout where there is no other.

    Args:
        settings: of all tables.
        controls: of the relay.
        vocabulary: what may be said.
        write: takes a line for stdout.

    Raises:
        ConfigError: a secret, a file or an address is not as it must be.
        MissingPackageError: a sink's package is not installed.
    """
    sinks: list[Sink] = []
    if settings.mqtt.host is not None:
        sinks.append(_mqtt(settings.relay, settings.mqtt, controls, vocabulary))
    if settings.home_assistant.url is not None:
        sinks.append(HomeAssistantSink(settings.home_assistant))
    if settings.webhook.url is not None:
        sinks.append(WebhookSink(settings.webhook))
    if settings.program.run:
        sinks.append(ProgramSink(settings.program))
    if settings.relay.lines or not sinks:
        sinks.append(LinesSink(write))
    return sinks


def claim_of(sinks: Sequence[Sink]) -> Claim | None:
    """Return what decides whether this relay acts; None where it always does."""
    return next((claim for sink in sinks if (claim := getattr(sink, "claim", None)) is not None), None)


def _mqtt(relay: RelayConfig, config: MqttConfig, controls: Controls, vocabulary: Vocabulary | None) -> Sink:
    from edgevc.relay.mqtt.sink import MqttSink

    name = device_name(relay)
    sink = MqttSink(config, name, device_id(name), () if vocabulary is None else vocabulary.names, controls)
    if vocabulary is not None:
        vocabulary.watch(sink.change_commands)
    return sink


def make_sources(
    config: RelayConfig,
    given: Input,
    controls: Controls,
    vocabulary: Vocabulary | None,
    hear: Callable[[Event], None],
) -> list[Source]:
    """Return the sources: those that the command line names, or what the settings say.

    Args:
        config: of the relay.
        given: by the command line.
        controls: of the relay.
        vocabulary: what may be said.
        hear: takes events from any thread.

    Raises:
        ConfigError: there is nothing to hear, or no grammar to hear it with.
        ModelError, EngineError: the model cannot be loaded.
    """
    sources: list[Source] = []
    if given.events is not None:
        sources.append(LinesSource(given.events, hear, config.time_to_live))
    sound = bool(given.files) or given.raw is not None
    if sound or (not sources and config.listen == "microphone"):
        commands = _spoken_commands(config, vocabulary)

        def hearing(sample_rate: int, source: str) -> Hearing:
            return Hearing(commands, sample_rate, controls, hear, source, config.time_to_live)

        if given.files:
            sources.append(FileSource(list(given.files), hearing))
        elif given.raw is not None:
            sources.append(PipeSource(given.raw, given.raw_rate, hearing))
        else:
            sources.append(MicrophoneSource(lambda: open_port(config), hearing))
    elif not sources and config.listen == "live" and config.wyoming is None:
        sources.append(_live(config, controls, vocabulary, hear))
    if config.wyoming is not None:
        sources.append(_wyoming(config, config.wyoming, controls, vocabulary, hear))
    if not sources:
        raise ConfigError("there is nothing to hear; name recordings, or --listen live or microphone")
    return sources


def _live(
    config: RelayConfig, controls: Controls, given: Vocabulary | None, hear: Callable[[Event], None]
) -> LiveSource:
    address = config.control or default_address()
    if address is None:
        raise ConfigError("there is no XDG_RUNTIME_DIR to find the live session in; give its address with --control")
    vocabulary = _required(given)

    def recognizer(phones: Sequence[str]) -> ArmedRecognizer:
        return vocabulary.compiled(phones).armed_recognizer()

    # what is wrong with the grammar is said now, not when a session comes
    recognizer(_bundle(config).phones)
    return LiveSource(address, recognizer, controls, hear, config.time_to_live, lambda: vocabulary.version)


def _wyoming(
    config: RelayConfig, where: str, controls: Controls, vocabulary: Vocabulary | None, hear: Callable[[Event], None]
) -> Source:
    from edgevc.relay.sources.wyoming import WyomingSource

    return WyomingSource(
        Address(*split_host_port(where)), _spoken_commands(config, vocabulary), controls, hear, config.time_to_live
    )


def _spoken_commands(config: RelayConfig, given: Vocabulary | None) -> SpokenCommands:
    vocabulary, bundle = _required(given), _bundle(config)
    spoken = SpokenCommands(vocabulary.compiled(bundle.phones), bundle, config.engine, config.chunk_hops)
    vocabulary.follow(spoken)
    return spoken


def _bundle(config: RelayConfig) -> ModelBundle:
    return ModelBundle.find(config.model or "default")


def _required(vocabulary: Vocabulary | None) -> Vocabulary:
    if vocabulary is None:
        raise ConfigError("the relay needs to know what may be said; name a grammar with --commands (docs/commands.md)")
    return vocabulary
