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
from edgevc.recognition.command_set import CommandSet, read_grammar
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


def command_names(config: RelayConfig) -> tuple[str, ...]:
    """Return the names of all commands, without a model.

    Raises:
        ConfigError: the grammar is none.
    """
    if config.commands is None:
        return ()
    grammar = read_grammar(config.commands)
    outcomes = grammar.outcomes
    return tuple(dict.fromkeys(outcomes[key].intent if key in outcomes else key for key in grammar.groups))


def make_sinks(settings: Settings, controls: Controls, write: Callable[[str], None]) -> list[Sink]:
    """Return every sink that is set up; lines on stdout where there is no other.

    Args:
        settings: of all tables.
        controls: of the relay.
        write: takes a line for stdout.

    Raises:
        ConfigError: a secret, a file or an address is not as it must be.
        MissingPackageError: a sink's package is not installed.
    """
    sinks: list[Sink] = []
    if settings.mqtt.host is not None:
        sinks.append(_mqtt(settings.relay, settings.mqtt, controls))
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


def _mqtt(relay: RelayConfig, config: MqttConfig, controls: Controls) -> Sink:
    from edgevc.relay.mqtt.sink import MqttSink

    name = device_name(relay)
    return MqttSink(config, name, device_id(name), command_names(relay), controls)


def make_sources(config: RelayConfig, given: Input, controls: Controls, hear: Callable[[Event], None]) -> list[Source]:
    """Return the sources: those that the command line names, or what the settings say.

    Args:
        config: of the relay.
        given: by the command line.
        controls: of the relay.
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
        commands = _spoken_commands(config)

        def hearing(sample_rate: int, source: str) -> Hearing:
            return Hearing(commands, sample_rate, controls, hear, source, config.time_to_live)

        if given.files:
            sources.append(FileSource(list(given.files), hearing))
        elif given.raw is not None:
            sources.append(PipeSource(given.raw, given.raw_rate, hearing))
        else:
            sources.append(MicrophoneSource(lambda: open_port(config), hearing))
    elif not sources and config.listen == "live" and config.wyoming is None:
        sources.append(_live(config, controls, hear))
    if config.wyoming is not None:
        sources.append(_wyoming(config, config.wyoming, controls, hear))
    if not sources:
        raise ConfigError("there is nothing to hear; name recordings, or --listen live or microphone")
    return sources


def _live(config: RelayConfig, controls: Controls, hear: Callable[[Event], None]) -> LiveSource:
    address = config.control or default_address()
    if address is None:
        raise ConfigError("there is no XDG_RUNTIME_DIR to find the live session in; give its address with --control")
    grammar = read_grammar(_grammar_path(config))
    dictionaries = _dictionaries(config)

    def recognizer(phones: Sequence[str]) -> ArmedRecognizer:
        return CommandSet.of_grammar(grammar, phones, dictionaries).armed_recognizer()

    # what is wrong with the grammar is said now, not when a session comes
    recognizer(_bundle(config).phones)
    return LiveSource(address, recognizer, controls, hear, config.time_to_live)


def _wyoming(config: RelayConfig, where: str, controls: Controls, hear: Callable[[Event], None]) -> Source:
    from edgevc.relay.sources.wyoming import WyomingSource

    return WyomingSource(
        Address(*split_host_port(where)), _spoken_commands(config), controls, hear, config.time_to_live
    )


def _spoken_commands(config: RelayConfig) -> SpokenCommands:
    bundle = _bundle(config)
    grammar = read_grammar(_grammar_path(config))
    commands = CommandSet.of_grammar(grammar, bundle.phones, _dictionaries(config))
    return SpokenCommands(commands, bundle, config.engine, config.chunk_hops)


def _bundle(config: RelayConfig) -> ModelBundle:
    return ModelBundle.find(config.model or "default")


def _grammar_path(config: RelayConfig) -> Path:
    if config.commands is None:
        raise ConfigError("the relay needs to know what may be said; name a grammar with --commands (docs/commands.md)")
    return config.commands


def _dictionaries(config: RelayConfig) -> list[dict[str, list[str]]]:
    from edgevc.recognition.lexicon import read_dictionary

    return [] if config.dictionary is None else [read_dictionary(config.dictionary)]
