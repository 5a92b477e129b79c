"""A table of settings, from which flags, environment variables, a table of the TOML file and a document are made.

What counts, from weak to strong: the default, the file, the environment, the command line.
"""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from edgevc.errors import ConfigError
from edgevc.files import require_private
from edgevc.settings.kinds import FilePath, Kind, ModelPath, Secret, Switch, TwoPaths
from edgevc.settings.toml_file import CONFIG_VARIABLE, config_path, line_of, read_toml
from edgevc.text import shortened

TABLES = ("live", "trust", "relay", "mqtt", "home_assistant", "webhook", "program")
"""The tables that a file may have; who adds a `SettingsTable` adds its name, and any other one is a mistake."""

C = TypeVar("C")


@dataclass(frozen=True)
class Setting:
    """One setting: its flag, TOML key and environment variable have the same name."""

    field: str
    """Of the class that the table fills."""
    flag: str
    kind: Kind
    group: str
    help: str

    @property
    def variable(self) -> str:
        """In the environment."""
        return f"EDGEVC_{self.flag[2:].replace('-', '_').upper()}"


@dataclass(frozen=True)
class Resolved(Generic[C]):
    """Settings and where each one that is not a default came from."""

    config: C
    origins: Mapping[str, str]
    """Field to words such as "--voice" or "config.toml, line 3"."""
    path: Path | None
    """The file that was read."""


class SettingsTable(Generic[C]):
    """The settings of one part of edgevc; [name] is its table in the file."""

    def __init__(
        self,
        name: str,
        settings: Sequence[Setting],
        into: type[C],
        groups: Mapping[str, str],
        check: Callable[[C, Mapping[str, str]], None] = lambda config, origins: None,
        prefix: str = "",
    ) -> None:
        """Describe the table.

        Args:
            name: one of TABLES.
            settings: one for each field of `into`.
            into: a dataclass with a default for each field.
            groups: group of a setting to its title in help and document, in this order.
            check: refuses values that are right alone and wrong together; gets the config and the origins.
            prefix: of the flags, which the keys do not have: "mqtt-" makes --mqtt-host the key host.
        """
        self.name = name
        self.settings = tuple(settings)
        self.groups = groups
        self.into = into
        self._check = check
        self._prefix = prefix
        self._attribute = f"{name}_setting_"
        self._by_key = {self.key_of(setting): setting for setting in settings}
        self._by_field = {setting.field: setting for setting in settings}
        self.defaults: Mapping[str, Any] = {
            field.name: field.default
            for field in fields(into)  # type: ignore[arg-type]
            if field.default is not MISSING
        }
        """Field to its default."""

    def key_of(self, setting: Setting) -> str:
        """Return the key in the file's table."""
        return setting.flag[2:].removeprefix(self._prefix).replace("-", "_")

    # --- command line

    def add_arguments(self, parser: argparse.ArgumentParser, *, config: bool = True) -> None:
        """Add a flag for every setting but secrets, and --config unless another table of the command has added it."""
        if config:
            parser.add_argument(
                "--config",
                type=Path,
                metavar="PATH",
                help=f"TOML file with settings, or its variable {CONFIG_VARIABLE} (default: edgevc/config.toml in "
                "XDG_CONFIG_HOME or ~/.config, where it is there)",
            )
        for group, title in self.groups.items():
            section = parser.add_argument_group(title)
            for setting in self.settings:
                if setting.group != group:
                    continue
                if isinstance(setting.kind, Secret):
                    section.add_argument(
                        setting.flag,
                        action=_NoSecretHere,
                        nargs="?",
                        default=None,
                        help=argparse.SUPPRESS,
                        dest=self._attribute + setting.field,
                        const=setting.variable,
                    )
                    continue
                text = f"{setting.help} (default {shown(self.defaults[setting.field])})".replace("%", "%%")
                options: dict[str, Any] = {"dest": self._attribute + setting.field, "default": None, "help": text}
                if isinstance(setting.kind, Switch):
                    section.add_argument(setting.flag, action=argparse.BooleanOptionalAction, **options)
                elif isinstance(setting.kind, TwoPaths):
                    section.add_argument(setting.flag, nargs=2, metavar=("INPUT.wav", "OUTPUT.wav"), **options)
                else:
                    section.add_argument(setting.flag, metavar=setting.kind.metavar, **options)

    def given_flags(self, arguments: argparse.Namespace) -> list[str]:
        """Return the flags that were given, as words of a command line; what is to be read has an absolute path."""
        words = []
        config = getattr(arguments, "config", None)
        if config is not None:
            words += ["--config", str(Path(config).absolute())]
        for setting in self.settings:
            given = getattr(arguments, self._attribute + setting.field, None)
            if given is None:
                continue
            if isinstance(setting.kind, Switch):
                words.append(setting.flag if given else f"--no-{setting.flag[2:]}")
            elif isinstance(given, list):
                words += [setting.flag, *given]
            else:
                if isinstance(setting.kind, (FilePath, ModelPath)):
                    value = setting.kind.seen_from(Path.cwd(), setting.kind.from_text(given))
                    given = "" if value is None else value
                # one word with =, so that a value that begins with a dash is not taken for a flag
                words.append(f"{setting.flag}={given}")
        return words

    # --- values

    def resolve(self, arguments: argparse.Namespace) -> C:
        """Return the settings of a command whose parser went through `add_arguments`.

        Raises:
            ConfigError: a value breaks its rule, a key, table or variable is unknown, or the file cannot be read.
        """
        return self.resolve_with_origins(arguments).config

    def resolve_with_origins(
        self, arguments: argparse.Namespace, environment: Mapping[str, str] | None = None
    ) -> Resolved[C]:
        """Return the settings and where they came from; see `resolve`.

        Args:
            arguments: parsed by a parser that went through `add_arguments`; what it lacks was not given.
            environment: instead of the process's own.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        path = config_path(getattr(arguments, "config", None), environment)
        for source in (self._from_file(path), self._from_environment(environment), self._from_flags(arguments)):
            for setting, value, origin in source:
                values[setting.field] = value
                origins[setting.field] = origin
        config = self.into(**values)
        self._check(config, origins)
        return Resolved(config, origins, path)

    def with_values(self, config: C, values: Mapping[str, object]) -> C:
        """Return `config` with some of its fields set as a program sets them, each checked by its rule.

        Raises:
            ConfigError: there is no such setting, or a rule is broken.
        """
        checked: dict[str, object] = {}
        for field, value in values.items():
            if field not in self._by_field:
                raise ConfigError(f"unknown setting {field!r}; {nearest(field, self._by_field)}")
            setting = self._by_field[field]
            try:
                if value != self.defaults[field]:
                    value = setting.kind.from_value(_as_in_toml(value))
            except (ValueError, TypeError, RuntimeError) as error:
                raise _broken_rule(field, setting, value, "keyword", "change it") from error
            checked[field] = value
        if not checked:
            return config
        config = replace(config, **checked)  # type: ignore[type-var]
        self._check(config, dict.fromkeys(checked, "keyword"))
        return config

    def values_for_toml(self, config: C, names: Sequence[str]) -> dict[str, Any]:
        """Return key to value, as TOML has it, for these fields of a config; fields that are None are left out."""
        chosen = {name: getattr(config, name) for name in names}
        return {
            self.key_of(self._by_field[name]): self._by_field[name].kind.to_value(value)
            for name, value in chosen.items()
            if value is not None
        }

    def _from_file(self, path: Path | None) -> Iterator[tuple[Setting, object, str]]:
        if path is None:
            return
        content, text = read_toml(path)
        self._check_tables(content, path)
        for key, value in content.get(self.name, {}).items():
            line = line_of(text, key, self.name)
            where = f"{path}, line {line}" if line else f"{path}, key {key}"
            if key not in self._by_key:
                raise ConfigError(f"unknown setting {key!r} ({where}); {nearest(key, self._by_key)}")
            setting = self._by_key[key]
            try:
                found = setting.kind.from_value(value)
            except (ValueError, TypeError, RuntimeError) as error:
                raise _broken_rule(key, setting, value, where, "change that line") from error
            if isinstance(setting.kind, Secret) and found is not None:
                require_private(path, f"{key} of [{self.name}]")
            # a service has no working directory of its own, so what the file names lies relative to the file
            yield setting, setting.kind.seen_from(path.parent, found), where

    def _check_tables(self, content: Mapping[str, Any], path: Path) -> None:
        """Refuse what stands outside of a known table: a misspelt one would be ignored without a word."""
        for name, value in content.items():
            if name in TABLES and isinstance(value, list):
                raise ConfigError(f"{path}: [[{name}]] must be one table; write [{name}]")
            if not isinstance(value, dict):
                hint = (
                    f"it belongs below the line [{self.name}]" if name in self._by_key else nearest(name, self._by_key)
                )
                raise ConfigError(f"{path}: {name} stands outside any table; {hint}")
            if name not in TABLES:
                raise ConfigError(f"{path}: unknown table [{name}]; {nearest(name, TABLES, '[{}]')}")

    def _from_environment(self, environment: Mapping[str, str]) -> Iterator[tuple[Setting, object, str]]:
        known = {setting.variable: setting for setting in self.settings}
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
                    next_step = f"change it, or unset {name}"
                    raise _broken_rule(name, setting, text, "environment variable", next_step) from error

    def _from_flags(self, arguments: argparse.Namespace) -> Iterator[tuple[Setting, object, str]]:
        for setting in self.settings:
            given = getattr(arguments, self._attribute + setting.field, None)
            if given is None:
                continue
            try:
                value = setting.kind.from_text(given) if isinstance(given, str) else setting.kind.from_value(given)
            except (ValueError, TypeError, RuntimeError) as error:
                raise _broken_rule(setting.flag, setting, given, "command line", "see --help") from error
            yield setting, value, setting.flag

    # --- document

    def markdown(self) -> list[str]:
        """Return the lines of a document: a heading and a table for each group."""
        lines = []
        for group, title in self.groups.items():
            lines += ["", f"## {title[0].upper()}{title[1:]}", ""]
            lines += ["| flag | key | variable | value | default | what it does |", "|---|---|---|---|---|---|"]
            for setting in self.settings:
                if setting.group == group:
                    flag = "none" if isinstance(setting.kind, Secret) else f"`{setting.flag}`"
                    if isinstance(setting.kind, Switch):
                        flag += f", `--no-{setting.flag[2:]}`"
                    lines.append(
                        f"| {flag} | `{self.key_of(setting)}` | `{setting.variable}` | {setting.kind.rule} "
                        f"| {shown(self.defaults[setting.field])} | {setting.help} |"
                    )
        return lines


class _NoSecretHere(argparse.Action):
    """Refuses a secret on the command line; without it, its flag would be taken for a short form of another one."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Say where it belongs."""
        parser.error(
            f"{self.option_strings[0]} is no flag, since every user of a machine sees the command lines of all; set "
            f"{self.const}, or its key in the settings' file (chmod 600)"
        )


def shown(value: object) -> str:
    """Return a value as help and documents write it."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def nearest(name: str, known: Mapping[str, object] | Sequence[str], form: str = "{}") -> str:
    """Return the next step for a name that is not known: the nearest known one, or all of them."""
    # people write the field's or the flag's name as well
    near = difflib.get_close_matches(name.lower().replace("-", "_"), list(known), n=1)
    return f"did you mean {form.format(near[0])}?" if near else f"known: {', '.join(map(form.format, known))}"


def _as_in_toml(value: object) -> object:
    """Return what TOML has for a value of Python: text for a path, lists for tuples."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return [_as_in_toml(part) for part in value] if isinstance(value, (tuple, list)) else value


def _broken_rule(name: str, setting: Setting, value: object, where: str, next_step: str) -> ConfigError:
    got = "something else" if isinstance(setting.kind, Secret) else shortened(value)
    return ConfigError(f"{name} must be {setting.kind.rule}, got {got} ({where}); {next_step}")
