"""The settings of a relay: one table for each part.

python -m edgevc.relay.settings > docs/relay-settings.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from edgevc.devices.port import BACKENDS
from edgevc.errors import ConfigError
from edgevc.limits import CHUNK_HOPS, ENGINES
from edgevc.relay.config import (
    LISTEN,
    HomeAssistantConfig,
    MqttConfig,
    ProgramConfig,
    RelayConfig,
    WebhookConfig,
)
from edgevc.relay.template import Template
from edgevc.settings.kinds import (
    Choice,
    ControlAddress,
    FilePath,
    HostPort,
    Integer,
    IntegerChoice,
    ModelPath,
    Number,
    Secret,
    Switch,
    Text,
    Words,
    is_loopback,
    split_host_port,
)
from edgevc.settings.table import Setting, SettingsTable

_HEAR, _MQTT, _HOME_ASSISTANT, _WEBHOOK, _PROGRAM = "hear", "mqtt", "home_assistant", "webhook", "program"


def check_url(text: str, name: str, *, shown: str) -> None:
    """Refuse what is no address of a web server, or holds a password.

    Args:
        text: the address.
        name: of the setting.
        shown: what the message may show of the address.

    Raises:
        ConfigError: it is refused.
    """
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        # reading it checks it
        fine = fine and (parts.port is None or parts.port > 0)
    except ValueError:
        fine = False
    if not fine or not text.isascii():
        raise ConfigError(f"{name} must be http://HOST[:PORT]/... or https://..., without a user's name, got {shown}")


def _check_relay(config: RelayConfig, origins: Mapping[str, str]) -> None:
    if config.wyoming is None or config.wyoming_any_interface or is_loopback(split_host_port(config.wyoming)[0]):
        return
    raise ConfigError(
        f"wyoming of [relay] must be of this machine alone, got {config.wyoming} ({origins.get('wyoming', '')}); "
        "other machines may reach that without a password: use 127.0.0.1, or add --wyoming-any-interface"
    )


def _check_mqtt(config: MqttConfig, origins: Mapping[str, str]) -> None:
    for name in ("topic", "command_topic"):
        text = getattr(config, name)
        if text is not None:
            Template(text, name).require_topic()
    if config.command_payload is not None:
        Template(config.command_payload, "command_payload")
    if (config.certificate is None) != (config.key is None):
        raise ConfigError("certificate and key of [mqtt] must be given together; add the other one")
    if (config.ca_file or config.certificate) and not config.tls:
        raise ConfigError("ca_file, certificate and key of [mqtt] need tls = true (--mqtt-tls)")


def _check_home_assistant(config: HomeAssistantConfig, origins: Mapping[str, str]) -> None:
    if config.url is None:
        return
    check_url(config.url, "url of [home_assistant]", shown=config.url)
    if config.token is None and config.token_file is None:
        raise ConfigError(
            "Home Assistant needs a long-lived token (your profile, Security): write it into a file, chmod 600, and "
            "name it as token_file of [home_assistant]"
        )


def _check_webhook(config: WebhookConfig, origins: Mapping[str, str]) -> None:
    if config.url is not None:
        check_url(config.url.reveal(), "url of [webhook]", shown=repr(config.url))


def _check_program(config: ProgramConfig, origins: Mapping[str, str]) -> None:
    for word in config.run:
        Template(word, "run")


RELAY = SettingsTable(
    "relay",
    (
        Setting("commands", "--commands", FilePath(), _HEAR, "what may be said: a grammar (docs/commands.md)"),
        Setting("dictionary", "--dictionary", FilePath(), _HEAR, "pronunciations beside those of the CMU dictionary"),
        Setting("model", "--bundle", ModelPath(), _HEAR, "model whose encoder hears; none: the model default"),
        Setting("engine", "--engine", Choice(("auto", *ENGINES)), _HEAR, "inference engine; auto: LiteRT first"),
        Setting("chunk_hops", "--chunk-hops", IntegerChoice(CHUNK_HOPS), _HEAR, "hops of 10 ms per call of the model"),
        Setting(
            "listen",
            "--listen",
            Choice(LISTEN),
            _HEAR,
            "where sound comes from: a running `edgevc live`, a microphone of its own, or none",
        ),
        Setting("control", "--control", ControlAddress(), _HEAR, "control socket of the session; none: the user's own"),
        Setting("wyoming", "--wyoming", HostPort(), _HEAR, "let Wyoming clients connect here, and hear them as well"),
        Setting(
            "wyoming_any_interface",
            "--wyoming-any-interface",
            Switch(),
            _HEAR,
            "let --wyoming be where other machines reach it; Wyoming has no password",
        ),
        Setting("input", "--input", Text(), _HEAR, "microphone by name or glob; none: the default"),
        Setting(
            "output", "--output", Text(), _HEAR, "speaker that is opened with the microphone; nothing is played there"
        ),
        Setting("backend", "--backend", Choice(BACKENDS), _HEAR, "audio library, as in `edgevc live`"),
        Setting("block_ms", "--block-ms", Number(2.5, 100.0, "ms", "MS"), _HEAR, "block that the microphone gives"),
        Setting("device", "--device", Text(), _HEAR, "this machine's name for others; none: its host name"),
        Setting(
            "sensitivity",
            "--sensitivity",
            Number(0.0, 100.0, "%", "PERCENT"),
            _HEAR,
            "more takes more for commands: fewer are missed, and more sentences are taken wrongly",
        ),
        Setting(
            "time_to_live",
            "--time-to-live",
            Number(1.0, 3600.0, "s", "SECONDS"),
            _HEAR,
            "a command that could not be delivered for so long is not delivered any more",
        ),
        Setting("lines", "--lines", Switch(), _HEAR, "each sentence as a line of JSON on stdout"),
    ),
    RelayConfig,
    {_HEAR: "what is heard"},
    _check_relay,
)
MQTT = SettingsTable(
    "mqtt",
    (
        Setting("host", "--mqtt-host", Text("HOST"), _MQTT, "broker; none: nothing is sent over MQTT"),
        Setting("port", "--mqtt-port", Integer(0, 65535), _MQTT, "0: 1883, or 8883 with TLS"),
        Setting("username", "--mqtt-username", Text(), _MQTT, "for the broker"),
        Setting("password", "--mqtt-password", Secret(), _MQTT, "for the broker"),
        Setting("password_file", "--mqtt-password-file", FilePath(), _MQTT, "file that holds the password"),
        Setting("tls", "--mqtt-tls", Switch(), _MQTT, "encrypt, and check the broker's certificate"),
        Setting("ca_file", "--mqtt-ca-file", FilePath(), _MQTT, "who signs it; none: whom the system trusts"),
        Setting(
            "certificate", "--mqtt-certificate", FilePath(), _MQTT, "of this machine, where the broker asks for it"
        ),
        Setting("key", "--mqtt-key", FilePath(), _MQTT, "of that certificate"),
        Setting(
            "topic", "--mqtt-topic", Text("TOPIC"), _MQTT, "below it lie all topics; {device} is the device's name"
        ),
        Setting(
            "command_topic",
            "--mqtt-command-topic",
            Text("TEMPLATE"),
            _MQTT,
            "a topic of your own for each command, such as home/{room}/{command}; commands without that slot are not "
            "sent there",
        ),
        Setting(
            "command_payload",
            "--mqtt-command-payload",
            Text("TEMPLATE"),
            _MQTT,
            "what is sent there, such as {state}; none: the event as JSON",
        ),
        Setting("discovery", "--mqtt-discovery", Switch(), _MQTT, "announce the device to Home Assistant"),
        Setting("discovery_prefix", "--mqtt-discovery-prefix", Text("TOPIC"), _MQTT, "where Home Assistant looks"),
        Setting(
            "queue",
            "--mqtt-queue",
            FilePath(),
            _MQTT,
            "file of the commands that wait for the broker; none: in XDG_STATE_HOME/edgevc",
        ),
        Setting(
            "claim",
            "--mqtt-claim",
            Text(),
            _MQTT,
            "a name that relays within earshot of each other share: the first to hear a command acts alone",
        ),
    ),
    MqttConfig,
    {_MQTT: "MQTT"},
    _check_mqtt,
    "mqtt-",
)
HOME_ASSISTANT = SettingsTable(
    "home_assistant",
    (
        Setting("url", "--home-assistant-url", Text("URL"), _HOME_ASSISTANT, "such as http://homeassistant.local:8123"),
        Setting("token", "--home-assistant-token", Secret(), _HOME_ASSISTANT, "a long-lived access token"),
        Setting("token_file", "--home-assistant-token-file", FilePath(), _HOME_ASSISTANT, "file that holds the token"),
        Setting(
            "ask",
            "--home-assistant-ask",
            Choice(("intent", "conversation")),
            _HOME_ASSISTANT,
            "intent: the command's name is the intent; conversation: the words that were heard",
        ),
        Setting("language", "--home-assistant-language", Text("CODE"), _HOME_ASSISTANT, "of a conversation"),
        Setting("ca_file", "--home-assistant-ca-file", FilePath(), _HOME_ASSISTANT, "who signs its certificate"),
    ),
    HomeAssistantConfig,
    {_HOME_ASSISTANT: "Home Assistant, without a broker"},
    _check_home_assistant,
    "home-assistant-",
)
WEBHOOK = SettingsTable(
    "webhook",
    (
        Setting("url", "--webhook-url", Secret(), _WEBHOOK, "address that is sent each command as JSON"),
        Setting("secret", "--webhook-secret", Secret(), _WEBHOOK, "key of the signatures (Standard Webhooks)"),
        Setting("secret_file", "--webhook-secret-file", FilePath(), _WEBHOOK, "file that holds it"),
        Setting("ca_file", "--webhook-ca-file", FilePath(), _WEBHOOK, "who signs the server's certificate"),
    ),
    WebhookConfig,
    {_WEBHOOK: "a webhook"},
    _check_webhook,
    "webhook-",
)
PROGRAM = SettingsTable(
    "program",
    (
        Setting(
            "run",
            "--program-run",
            Words(),
            _PROGRAM,
            "a program and its arguments; {command}, {text}, {id} and each slot's {name} are filled in, and its stdin "
            "is the event as JSON; no shell",
        ),
        Setting("seconds", "--program-seconds", Number(0.1, 3600.0, "s", "SECONDS"), _PROGRAM, "then it is killed"),
        Setting("at_once", "--program-at-once", Integer(1, 32), _PROGRAM, "programs that run at the same time"),
    ),
    ProgramConfig,
    {_PROGRAM: "a program"},
    _check_program,
    "program-",
)
TABLES = (RELAY, MQTT, HOME_ASSISTANT, WEBHOOK, PROGRAM)


@dataclass(frozen=True)
class Settings:
    """All tables."""

    relay: RelayConfig
    mqtt: MqttConfig
    home_assistant: HomeAssistantConfig
    webhook: WebhookConfig
    program: ProgramConfig

    @classmethod
    def resolve(cls, arguments: argparse.Namespace) -> Settings:
        """Return what a command line, the environment and the file say.

        Raises:
            ConfigError: a rule is broken.
        """
        return cls(
            RELAY.resolve(arguments),
            MQTT.resolve(arguments),
            HOME_ASSISTANT.resolve(arguments),
            WEBHOOK.resolve(arguments),
            PROGRAM.resolve(arguments),
        )


def markdown() -> str:
    """Return docs/relay-settings.md."""
    lines = [
        "# Settings of the relay",
        "",
        "Made by `python -m edgevc.relay.settings > docs/relay-settings.md` from the tables that the program reads.",
        "How flags, variables and the file go together is said in [live settings](live-settings.md); [relay](relay.md)",
        "says what the parts do.",
        "",
        "What has no flag is a secret: it comes from the variable, from the settings' file, which others must not be",
        "able to read (`chmod 600`), or from a file of its own.",
    ]
    for table in TABLES:
        lines += table.markdown()
        lines += ["", f"These keys stand below the line `[{table.name}]`."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
