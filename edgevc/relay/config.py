"""What can be set of a relay; command line, environment and TOML file fill these (`edgevc.relay.settings`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgevc.relay.event import TIME_TO_LIVE
from edgevc.settings.secret import SecretText

LISTEN = ("live", "microphone", "none")
"""Where sound comes from while no recording is named: a running live session's phones, a microphone, or nowhere."""


@dataclass(frozen=True)
class RelayConfig:
    """[relay]: what is heard."""

    commands: Path | None = None
    """The grammar."""
    dictionary: Path | None = None
    """Pronunciations beside the CMU dictionary's."""
    model: str | Path | None = None
    """Whose encoder hears; None: the default model."""
    engine: str = "auto"
    chunk_hops: int = 1
    listen: str = "live"
    control: str | None = None
    """Of the live session."""
    wyoming: str | None = None
    """HOST:PORT where Wyoming clients connect whose sentences are events as well."""
    wyoming_any_interface: bool = False
    """Let `wyoming` be where other machines reach it."""
    input: str | None = None
    """Name or glob of the microphone; None: the system's default."""
    output: str | None = None
    """Of the device that is opened beside it, into which nothing is played."""
    backend: str = "auto"
    block_ms: float = 20.0
    device: str | None = None
    """What this machine is called by others; None: its host name."""
    sensitivity: float = 50.0
    """Per cent, see `Controls.least_certainty`."""
    time_to_live: float = TIME_TO_LIVE
    lines: bool = False
    """Write each sentence as a line of JSON to stdout."""


@dataclass(frozen=True)
class MqttConfig:
    """[mqtt]: a broker, and through it Home Assistant."""

    host: str | None = None
    """None: nothing is sent over MQTT."""
    port: int = 0
    """0: 1883, or 8883 with TLS."""
    username: str | None = None
    password: SecretText | None = None
    password_file: Path | None = None
    tls: bool = False
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    topic: str = "edgevc/{device}"
    """Below it lie all topics of this relay."""
    command_topic: str | None = None
    """Template of a topic of the user's own, to which each command is sent as well."""
    command_payload: str | None = None
    """Template of what is sent there; None: the event as JSON."""
    discovery: bool = True
    discovery_prefix: str = "homeassistant"
    queue: Path | None = None
    """File of the commands that wait; None: relay-DEVICE.sqlite in XDG_STATE_HOME/edgevc."""
    claim: str | None = None
    """Name that several relays share of which one shall act; None: this one always acts."""


@dataclass(frozen=True)
class HomeAssistantConfig:
    """[home_assistant]: its REST interface."""

    url: str | None = None
    """None: it is not called."""
    token: SecretText | None = None
    token_file: Path | None = None
    ask: str = "intent"
    """intent: the command's name is an intent and its slots are the data; conversation: the words that were heard."""
    language: str = "en"
    ca_file: Path | None = None


@dataclass(frozen=True)
class WebhookConfig:
    """[webhook]: an HTTP address that is told each command."""

    url: SecretText | None = None
    """Often whoever knows it may use it, so it is kept like a password."""
    secret: SecretText | None = None
    """Key of the signatures: whsec_ and base64."""
    secret_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True)
class ProgramConfig:
    """[program]: a program that is started for each command."""

    run: tuple[str, ...] = ()
    """It and its arguments; {command}, {text}, {id} and {NAME} of a slot stand for what was said."""
    seconds: float = 10.0
    """Then it is killed."""
    at_once: int = 2
