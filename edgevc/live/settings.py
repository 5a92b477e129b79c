"""The settings of a live session: one table from which flags, variables, the TOML file and their document are made.

What counts, from weak to strong: the default, the file, the environment, the command line.

    python -m edgevc.live.settings > docs/live-settings.md
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from edgevc.control.controls import MODES
from edgevc.devices.port import BACKENDS
from edgevc.errors import ConfigError
from edgevc.live.config import OVERLOAD_POLICIES, LiveConfig
from edgevc.settings.kinds import (
    Choice,
    ControlAddress,
    FilePath,
    Filters,
    HostPort,
    IntegerChoice,
    Kind,
    Number,
    Switch,
    Text,
    TwoPaths,
    is_loopback,
    split_host_port,
)

TABLE = "live"
"""The table of the TOML file that belongs to the live session; other parts of edgevc have tables of their own."""
CONFIG_VARIABLE = "EDGEVC_CONFIG"
_MAX_FILE_BYTES = 1 << 20
_ATTRIBUTE = "live_setting_"
"""Prefix of the parsed arguments, so that a command's own options cannot be mistaken for settings."""


@dataclass(frozen=True)
class Setting:
    """One setting: its flag, TOML key and environment variable have the same name."""

    field: str
    """Of LiveConfig."""
    flag: str
    kind: Kind
    group: str
    help: str

    @property
    def key(self) -> str:
        """In the TOML file's table."""
        return self.flag[2:].replace("-", "_")

    @property
    def variable(self) -> str:
        """In the environment."""
        return f"EDGEVC_{self.key.upper()}"


_DB = (-40.0, 40.0)
_SEMITONES = (-24.0, 24.0)

SETTINGS = (
    Setting(
        "model", "--bundle", FilePath(), "voice", "a model that comes along, or a folder or .zip of one; none: default"
    ),
    Setting("voice", "--voice", Text(), "voice", "target voice, `edgevc voices` lists them; none: the model's first"),
    Setting("engine", "--engine", Choice(("auto", "litert", "onnx")), "voice", "inference engine; auto: LiteRT first"),
    Setting(
        "chunk_hops",
        "--chunk-hops",
        IntegerChoice((1, 2, 4)),
        "voice",
        "hops of 10 ms per call of the model: more cost less CPU and add as much latency",
    ),
    Setting("mode", "--mode", Choice(MODES), "voice", "at the start: the other voice, the dry voice, or silence"),
    Setting(
        "listening",
        "--listening",
        Switch(),
        "voice",
        "go on hearing while muted or in bypass, for spoken commands: microphone and encoder stay on",
    ),
    Setting("input", "--input", Text(), "devices", "microphone by name or glob, such as 'USB*'; none: the default"),
    Setting("output", "--output", Text(), "devices", "speaker by name or glob; none: the default"),
    Setting(
        "virtual_mic",
        "--virtual-mic",
        Switch(),
        "devices",
        "play into a source named edgevc, from which any program can record (PulseAudio, PipeWire)",
    ),
    Setting(
        "backend",
        "--backend",
        Choice(BACKENDS),
        "devices",
        "who drives the devices; auto: PortAudio from C++ where it was built in, else PyAudio",
    ),
    Setting(
        "block_ms",
        "--block-ms",
        Number(2.5, 100.0, "ms", "MS"),
        "timing",
        "what the device exchanges at once: less is quicker, more survives a busy machine",
    ),
    Setting(
        "preroll_ms",
        "--preroll-ms",
        Number(0.0, 500.0, "ms", "MS"),
        "timing",
        "reserve in the playback queue beyond one block: adds as much latency, forgives as much lateness",
    ),
    Setting(
        "max_latency_ms",
        "--max-latency-ms",
        Number(20.0, 5000.0, "ms", "MS"),
        "timing",
        "cap of what waits in both queues; what is older is dropped and counted",
    ),
    Setting(
        "overload",
        "--overload",
        Choice(OVERLOAD_POLICIES),
        "timing",
        "when the machine is too slow: drop input, let the dry voice (bypass) or silence through, or take more "
        "hops per call (batch)",
    ),
    Setting(
        "realtime",
        "--realtime",
        Switch(),
        "timing",
        "try real-time priority and a memory lock; where they are not allowed it is said once",
    ),
    Setting("semitones", "--pitch", Number(*_SEMITONES, "semitones", "SEMITONES"), "sound", "raise or lower the pitch"),
    Setting(
        "formant_semitones",
        "--formant",
        Number(-12.0, 12.0, "semitones", "SEMITONES"),
        "sound",
        "make the speaker's throat shorter or longer",
    ),
    Setting("gain_db", "--gain", Number(*_DB, "dB", "DB"), "sound", "make the output louder or softer"),
    Setting("gate", "--gate", Switch(), "sound", "turn down what is no speech: room noise, breath, hum"),
    Setting(
        "eq",
        "--eq",
        Filters(8, hz=(20.0, 7900.0), db=(-24.0, 24.0), q=(0.1, 20.0)),
        "sound",
        "peaking filters, such as 200:-3,3000:4:0.7",
    ),
    Setting("backing", "--backing", FilePath(), "sound", "audio file mixed in, in time with the converted voice"),
    Setting("backing_gain_db", "--backing-gain", Number(*_DB, "dB", "DB"), "sound", "of the backing"),
    Setting(
        "feedback_guard",
        "--feedback-guard",
        Switch(),
        "sound",
        "turn the output down when the microphone hears the speaker (acoustic feedback)",
    ),
    Setting("record", "--record", TwoPaths(), "programs", "WAV files for the dry input and for the output"),
    Setting("control", "--control", ControlAddress(), "programs", "socket on which programs switch voice and mode"),
    Setting("metrics", "--metrics", HostPort(), "programs", "serve Prometheus metrics here"),
    Setting(
        "metrics_any_interface",
        "--metrics-any-interface",
        Switch(),
        "programs",
        "let --metrics listen where other machines reach it; metrics have no password",
    ),
)

_GROUPS = {
    "voice": "model and voice",
    "devices": "devices",
    "timing": "latency and load",
    "sound": "sound",
    "programs": "for other programs",
}
_BY_KEY = {setting.key: setting for setting in SETTINGS}
_BY_FIELD = {setting.field: setting for setting in SETTINGS}
DEFAULTS: Mapping[str, Any] = {
    field.name: field.default for field in fields(LiveConfig) if field.default is not MISSING
}
"""Field of LiveConfig to its default."""


@dataclass(frozen=True)
class Resolved:
    """Settings and where each one that is not a default came from."""

    config: LiveConfig
    origins: Mapping[str, str]
    """Field of LiveConfig to words such as "--voice" or "config.toml, line 3"."""
    path: Path | None
    """The file that was read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every setting, and --config."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="PATH",
        help="TOML file with settings, or its variable EDGEVC_CONFIG (default: edgevc/config.toml in XDG_CONFIG_HOME "
        "or ~/.config, where it is there)",
    )
    for group, title in _GROUPS.items():
        section = parser.add_argument_group(title)
        for setting in SETTINGS:
            if setting.group != group:
                continue
            text = f"{setting.help} (default {_shown(setting, DEFAULTS[setting.field])})".replace("%", "%%")
            options: dict[str, Any] = {"dest": _ATTRIBUTE + setting.field, "default": None, "help": text}
            if isinstance(setting.kind, Switch):
                section.add_argument(setting.flag, action="store_const", const="true", **options)
                options["help"] = argparse.SUPPRESS
                section.add_argument(f"--no-{setting.flag[2:]}", action="store_const", const="false", **options)
            elif isinstance(setting.kind, TwoPaths):
                section.add_argument(setting.flag, nargs=2, metavar=("INPUT.wav", "OUTPUT.wav"), **options)
            else:
                section.add_argument(setting.flag, metavar=setting.kind.metavar, **options)


def resolve(arguments: argparse.Namespace) -> LiveConfig:
    """Return the settings of a command whose parser went through `add_arguments`.

    Raises:
        ConfigError: a value breaks its rule, a key or variable is unknown, or the file cannot be read.
    """
    return resolve_with_origins(arguments).config


def given_flags(arguments: argparse.Namespace) -> list[str]:
    """Return the flags that were given, as words of a command line; the file of --config as an absolute path."""
    words = []
    config = getattr(arguments, "config", None)
    if config is not None:
        words += ["--config", str(Path(config).absolute())]
    for setting in SETTINGS:
        given = getattr(arguments, _ATTRIBUTE + setting.field, None)
        if given is None:
            continue
        if isinstance(setting.kind, Switch):
            words.append(setting.flag if given == "true" else f"--no-{setting.flag[2:]}")
        else:
            # one word with =, so that a value that begins with a dash is not taken for a flag
            words += [setting.flag, *given] if isinstance(given, list) else [f"{setting.flag}={given}"]
    return words


def resolve_with_origins(arguments: argparse.Namespace, environment: Mapping[str, str] | None = None) -> Resolved:
    """Return the settings and where they came from; see `resolve`.

    Args:
        arguments: parsed by a parser that went through `add_arguments`; what it lacks was not given.
        environment: instead of the process's own.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    path = config_path(getattr(arguments, "config", None), environment)
    for source in (_from_file(path), _from_environment(environment), _from_flags(arguments)):
        for setting, value, origin in source:
            values[setting.field] = value
            origins[setting.field] = origin
    config = LiveConfig(**values)
    _check_together(config, origins)
    return Resolved(config, origins, path)


def default_config_path(environment: Mapping[str, str] | None = None) -> Path | None:
    """Return where the file is looked for and written by `edgevc tune`; None where there is no home."""
    environment = os.environ if environment is None else environment
    base = environment.get("XDG_CONFIG_HOME", "")
    try:
        # The XDG specification: a relative path is to be ignored.
        folder = Path(base) if base and Path(base).is_absolute() else Path.home() / ".config"
    except RuntimeError:
        return None
    return folder / "edgevc" / "config.toml"


def config_path(asked: Path | None, environment: Mapping[str, str]) -> Path | None:
    """Return the file to read; None where none was asked for and the usual one is not there.

    Raises:
        ConfigError: a file that was asked for is not there.
    """
    variable = environment.get(CONFIG_VARIABLE, "")
    path, origin = (asked, "--config") if asked is not None else (Path(variable), CONFIG_VARIABLE)
    if asked is None and not variable:
        usual = default_config_path(environment)
        return usual if usual is not None and usual.is_file() else None
    if not path.is_file():
        raise ConfigError(f"{origin} must name a file, {path} is none; check the path, or write one with `edgevc tune`")
    return path


def read_toml(path: Path) -> tuple[dict[str, Any], str]:
    """Return a TOML file's values and its text.

    Raises:
        ConfigError: it cannot be read, or this Python has no reader for TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise ConfigError(
                f"reading {path} needs Python 3.11, or tomli on this Python; pip install tomli, or use EDGEVC_* "
                "variables instead of the file"
            ) from error
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ConfigError(f"{path} must have at most {_MAX_FILE_BYTES} bytes; give a file of settings")
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text), text
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    except (ValueError, RecursionError) as error:
        # TOMLDecodeError and UnicodeDecodeError; the former says line and column
        raise ConfigError(f"{path} is not TOML: {error}; correct that place") from error


def line_of(text: str, key: str, table: str = TABLE) -> int | None:
    """Return the line, counted from 1, in which TOML source sets `key` of `table`; None where it is not plain."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if heading := re.match(r"\s*\[\s*([^\[\]]*?)\s*\]", line):
            inside = heading[1].strip("\"'") == table
        elif inside and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
            return number
    return None


def _from_file(path: Path | None) -> Iterator[tuple[Setting, object, str]]:
    if path is None:
        return
    content, text = read_toml(path)
    table = content.get(TABLE, {})
    for key in content:
        if not isinstance(content[key], dict):
            hint = f"it belongs below the line [{TABLE}]" if key in _BY_KEY else _nearest(key, _BY_KEY)
            raise ConfigError(f"{path}: {key} stands outside any table; {hint}")
        if key != TABLE and difflib.get_close_matches(key, [TABLE], cutoff=0.7):
            raise ConfigError(f"{path}: unknown table [{key}]; did you mean [{TABLE}]?")
    if not isinstance(table, dict):
        return
    for key, value in table.items():
        line = line_of(text, key)
        where = f"{path}, line {line}" if line else f"{path}, key {key}"
        if key not in _BY_KEY:
            raise ConfigError(f"unknown setting {key!r} ({where}); {_nearest(key, _BY_KEY)}")
        setting = _BY_KEY[key]
        try:
            found = setting.kind.from_value(value)
        except (ValueError, TypeError, RuntimeError) as error:
            raise _broken_rule(key, setting, value, where, "change that line") from error
        # a service has no working directory of its own, so what the file names lies relative to the file
        yield setting, _absolute(found, path.parent), where


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[Setting, object, str]]:
    known = {setting.variable: setting for setting in SETTINGS}
    for name in environment:
        if name.startswith("EDGEVC_") and name not in known and name != CONFIG_VARIABLE:
            # other parts of edgevc have variables of their own; one that is nearly ours is a slip
            near = difflib.get_close_matches(name, [*known, CONFIG_VARIABLE], n=1, cutoff=0.85)
            if near:
                raise ConfigError(f"unknown environment variable {name}; did you mean {near[0]}?")
    for name, setting in known.items():
        text = environment.get(name, "")
        if text.strip():
            try:
                yield setting, setting.kind.from_text(text), name
            except (ValueError, TypeError, RuntimeError) as error:
                raise _broken_rule(
                    name, setting, text, "environment variable", f"change it, or unset {name}"
                ) from error


def _from_flags(arguments: argparse.Namespace) -> Iterator[tuple[Setting, object, str]]:
    for setting in SETTINGS:
        given = getattr(arguments, _ATTRIBUTE + setting.field, None)
        if given is None:
            continue
        try:
            value = setting.kind.from_text(given) if isinstance(given, str) else setting.kind.from_value(given)
        except (ValueError, TypeError, RuntimeError) as error:
            raise _broken_rule(setting.flag, setting, given, "command line", "see --help") from error
        yield setting, value, setting.flag


def _broken_rule(name: str, setting: Setting, value: object, where: str, next_step: str) -> ConfigError:
    shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
    return ConfigError(f"{name} must be {setting.kind.rule}, got {shown} ({where}); {next_step}")


def _nearest(name: str, known: Mapping[str, object]) -> str:
    # people write the field's or the flag's name as well
    near = difflib.get_close_matches(name.lower().replace("-", "_"), list(known), n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def _absolute(value: object, folder: Path) -> object:
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, tuple) and value and all(isinstance(part, Path) for part in value):
        return tuple(folder / part for part in value)
    return value


def _check_together(config: LiveConfig, origins: Mapping[str, str]) -> None:
    """Refuse values that are right alone and wrong together."""
    least = 2 * config.block_ms + config.preroll_ms + 10 * config.chunk_hops
    if config.max_latency_ms < least:
        raise ConfigError(
            "max_latency_ms must hold two blocks, the pre-roll and a chunk: at least "
            f"2 * {config.block_ms:g} + {config.preroll_ms:g} + {10 * config.chunk_hops} = {least:g} ms, "
            f"got {config.max_latency_ms:g} ({origins.get('max_latency_ms', 'default')}); "
            "raise it, or lower block_ms or preroll_ms"
        )
    if config.metrics is not None and not config.metrics_any_interface:
        host, _ = split_host_port(config.metrics)
        if not is_loopback(host):
            raise ConfigError(
                f"metrics must listen on this machine alone, got {config.metrics} "
                f"({origins.get('metrics', 'default')}), which other machines may reach without a password; "
                "use 127.0.0.1, or add --metrics-any-interface"
            )


def toml_values(config: LiveConfig, names: tuple[str, ...]) -> dict[str, str]:
    """Return TOML key to TOML source for these fields of a config; fields that are None are left out."""
    return {
        _BY_FIELD[name].key: _BY_FIELD[name].kind.to_toml(getattr(config, name))
        for name in names
        if getattr(config, name) is not None
    }


def _shown(setting: Setting, value: object) -> str:
    if value is None or value == ():
        return "none"
    return f"{value:g}" if isinstance(value, float) else setting.kind.to_toml(value).strip('"')


def markdown() -> str:
    """Return docs/live-settings.md."""
    lines = [
        "# Settings of the live session",
        "",
        "Made by `python -m edgevc.live.settings > docs/live-settings.md` from the table that the program reads.",
        "",
        "Every setting is a flag, an environment variable and a key of the TOML file. The command line counts more",
        "than the environment, the environment more than the file, the file more than the default. The file is",
        "`$XDG_CONFIG_HOME/edgevc/config.toml` (`~/.config/edgevc/config.toml`), or the one that `--config` or",
        f"`{CONFIG_VARIABLE}` names. `edgevc tune` writes it. Python 3.10 needs `pip install tomli` to read it.",
        "",
        "- Settings stand below the line `[live]`. An unknown key is refused, with the nearest known one.",
        "- A relative path in the file is taken from the file's folder. An empty text means none, the default.",
        "- A variable that is empty counts as not set.",
        "- `true or false`: the flag alone says true, `--no-...` says false; a variable takes 1, true, yes, on, or",
        "  0, false, no, off.",
        "",
        "```toml",
        f"[{TABLE}]",
        'voice = "kathleen"',
        'input = "USB*"',
        "block_ms = 20",
        "eq = [[200, -3, 1.0], [3000, 4, 0.7]]",
        "```",
    ]
    for group, title in _GROUPS.items():
        lines += ["", f"## {title[0].upper()}{title[1:]}", ""]
        lines += ["| flag | key | variable | value | default | what it does |", "|---|---|---|---|---|---|"]
        for setting in SETTINGS:
            if setting.group == group:
                default = _shown(setting, DEFAULTS[setting.field])
                lines.append(
                    f"| `{setting.flag}` | `{setting.key}` | `{setting.variable}` | {setting.kind.rule} "
                    f"| {default} | {setting.help} |"
                )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
