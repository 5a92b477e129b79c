"""The settings of a live session.

python -m edgevc.live.settings > docs/live-settings.md
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection, Mapping

from edgevc.control.controls import MODES
from edgevc.devices.port import BACKENDS
from edgevc.errors import ConfigError
from edgevc.limits import BACKING_GAIN_DB, CHUNK_HOPS, ENGINES, FORMANT_SEMITONES, GAIN_DB, HOP_MS, SEMITONES
from edgevc.live.config import OVERLOAD_POLICIES, LiveConfig
from edgevc.settings.kinds import (
    Choice,
    ControlAddress,
    FilePath,
    Filters,
    HostPort,
    IntegerChoice,
    ModelPath,
    Number,
    Switch,
    Text,
    TwoPaths,
    is_loopback,
    split_host_port,
)
from edgevc.settings.table import Setting, SettingsTable
from edgevc.settings.toml_file import CONFIG_VARIABLE

_GROUPS = {
    "voice": "model and voice",
    "devices": "devices",
    "timing": "latency and load",
    "sound": "sound",
    "programs": "for other programs",
}
SETTINGS = (
    Setting(
        "model",
        "--bundle",
        ModelPath(),
        "voice",
        "a built-in model, or path to a model folder or .zip; none: the model default",
    ),
    Setting(
        "voice",
        "--voice",
        Text(),
        "voice",
        "target voice, `edgevc voices` lists them, or a .voice file; none: the model's first",
    ),
    Setting("engine", "--engine", Choice(("auto", *ENGINES)), "voice", "inference engine; auto: LiteRT first"),
    Setting(
        "chunk_hops",
        "--chunk-hops",
        IntegerChoice(CHUNK_HOPS),
        "voice",
        "hops of 10 ms per call of the model: more hops need less CPU and add latency; a model that hears in blocks "
        "takes its own number",
    ),
    Setting(
        "mode",
        "--mode",
        Choice(MODES),
        "voice",
        "at the start: the converted voice, the unconverted voice (bypass), or nothing (mute)",
    ),
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
        "audio library; auto: PortAudio from C++ where it was built in, else PyAudio",
    ),
    Setting(
        "block_ms",
        "--block-ms",
        Number(2.5, 100.0, "ms", "MS"),
        "timing",
        "block that the device exchanges: a small one has less latency, a large one survives a busy machine",
    ),
    Setting(
        "preroll_ms",
        "--preroll-ms",
        Number(0.0, 500.0, "ms", "MS"),
        "timing",
        "reserve in the playback queue beyond one block: adds that much latency, and covers that much lateness",
    ),
    Setting(
        "max_latency_ms",
        "--max-latency-ms",
        Number(20.0, 5000.0, "ms", "MS"),
        "timing",
        "limit of what waits in both queues; older input is dropped and counted",
    ),
    Setting(
        "overload",
        "--overload",
        Choice(OVERLOAD_POLICIES),
        "timing",
        "when the CPU cannot keep up: drop input, play the unconverted voice (bypass) or silence, or process more "
        "hops per call (batch)",
    ),
    Setting(
        "realtime",
        "--realtime",
        Switch(),
        "timing",
        "use real-time scheduling and lock memory; warn once if the system refuses",
    ),
    Setting("semitones", "--pitch", Number(*SEMITONES, "semitones", "SEMITONES"), "sound", "raise or lower the pitch"),
    Setting(
        "formant_semitones",
        "--formant",
        Number(*FORMANT_SEMITONES, "semitones", "SEMITONES"),
        "sound",
        "shift the formants, pitch unchanged",
    ),
    Setting("gain_db", "--gain", Number(*GAIN_DB, "dB", "DB"), "sound", "make the output louder or softer"),
    Setting("gate", "--gate", Switch(), "sound", "turn down what is not speech: room noise, breath, hum"),
    Setting(
        "mark",
        "--mark",
        Switch(),
        "sound",
        "put the watermark into the converted voice, which says that it was made; turning it off is logged and shown",
    ),
    Setting(
        "eq",
        "--eq",
        Filters(8, hz=(20.0, 7900.0), db=(-24.0, 24.0), q=(0.1, 20.0)),
        "sound",
        "peaking filters, such as 200:-3,3000:4:0.7",
    ),
    Setting("backing", "--backing", FilePath(), "sound", "audio file mixed in, in time with the converted voice"),
    Setting("backing_gain_db", "--backing-gain", Number(*BACKING_GAIN_DB, "dB", "DB"), "sound", "level of the backing"),
    Setting(
        "feedback_guard",
        "--feedback-guard",
        Switch(),
        "sound",
        "turn the output down when the microphone hears the speaker (acoustic feedback)",
    ),
    Setting("record", "--record", TwoPaths(), "programs", "WAV files for the input and for the output"),
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


def least_latency_ms(config: LiveConfig) -> float:
    """Return what `max_latency_ms` must hold: two blocks of the device, the pre-roll and a chunk."""
    return 2 * config.block_ms + config.preroll_ms + HOP_MS * config.chunk_hops


def with_hops_of(config: LiveConfig, loaded: Collection[int]) -> LiveConfig:
    """Return the settings with the hops per call of a model that hears in blocks, and room for such a block.

    Args:
        config: valid settings; they stay as they are where the model takes as many hops as one likes.
        loaded: hops per call that the model was loaded for.
    """
    if config.chunk_hops in loaded:
        return config
    fitted = dataclasses.replace(config, chunk_hops=min(loaded))
    return dataclasses.replace(fitted, max_latency_ms=max(config.max_latency_ms, 2 * least_latency_ms(fitted)))


def check_together(config: LiveConfig, origins: Mapping[str, str]) -> None:
    """Refuse values that are right alone and wrong together."""
    least = least_latency_ms(config)
    if config.max_latency_ms < least:
        raise ConfigError(
            "max_latency_ms must hold two blocks, the pre-roll and a chunk: at least "
            f"2 * {config.block_ms:g} + {config.preroll_ms:g} + {HOP_MS * config.chunk_hops:g} = {least:g} ms, "
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


LIVE = SettingsTable("live", SETTINGS, LiveConfig, _GROUPS, check_together)


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
        "- Settings stand below the line `[live]`. An unknown key or table is refused, with the nearest known one.",
        "- The file is UTF-8. `edgevc tune` changes single values in it and keeps everything else, comments too; it",
        "  needs the package tomlkit, which the extra `audio` brings.",
        "- A relative path in the file is taken from the file's folder. An empty text means none, the default.",
        "- A variable that is empty counts as not set.",
        "- `true or false`: a variable takes 1, true, yes, on, or 0, false, no, off.",
        "",
        "```toml",
        "[live]",
        'voice = "kathleen"',
        'input = "USB*"',
        "block_ms = 20",
        "eq = [[200, -3, 1.0], [3000, 4, 0.7]]",
        "```",
    ]
    return "\n".join([*lines, *LIVE.markdown()]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
