"""Says which knob to turn: a sentence for what a person can do about a session that does not go well."""

from __future__ import annotations

from edgevc.live.config import LiveConfig
from edgevc.live.stats import LiveStats

SILENCE_DB = -90.0
_SILENT_FOR_S = 5.0
_HIGH_LOAD = 0.7
_LATE = ("deadlines_missed", "hops_dropped", "hops_bypassed")


def advice(now: LiveStats, before: LiveStats, config: LiveConfig) -> str | None:
    """Return one sentence about what happened between two snapshots; None where all is well.

    Args:
        now: the newest snapshot.
        before: one of some seconds ago; only what was counted since then is spoken of.
        config: what the session runs with, so that the sentence can name the value to set.
    """
    if now.state == "reconnecting":
        return "the sound device is gone; plug it in again, it is looked for by name (`edgevc devices` lists names)"
    if now.feedback_events > before.feedback_events:
        return "feedback: the output was turned down; use headphones, or move microphone and speaker apart"
    late = sum(getattr(now, name) - getattr(before, name) for name in _LATE)
    if now.load >= _HIGH_LOAD and (late or now.load >= 0.9):
        return f"the machine is too slow for this: {_lighter(config)}"
    if late:
        return f"another program holds the processor at times: {_more_reserve(config)}; `edgevc doctor` looks further"
    if now.output_underflows > before.output_underflows:
        return f"the speaker ran empty: {_more_reserve(config)}"
    if now.input_overflows > before.input_overflows:
        return f"the microphone's samples were not fetched in time: set --block-ms {_more(config.block_ms, 100.0)}"
    if now.recording_errors > before.recording_errors:
        return "the recording cannot be written: free space on its disk, or record elsewhere"
    if now.bad_samples > before.bad_samples:
        return "the microphone's driver gives samples that are no numbers; they are taken as silence"
    if now.bad_frames > before.bad_frames or now.loud_hops > before.loud_hops:
        return "the model gives what is not speech and is turned down; choose another model with --bundle"
    return _of_the_level(now, before)


def _of_the_level(now: LiveStats, before: LiveStats) -> str | None:
    if now.state != "running" or now.mode != "convert" or now.seconds < _SILENT_FOR_S:
        return None
    if max(now.input_level, before.input_level) <= SILENCE_DB:
        return "the microphone is silent: unmute it, or choose another with --input (`edgevc devices`)"
    if min(now.input_level, before.input_level) >= -0.5:
        return "the microphone is too loud: lower its gain in the system's mixer"
    return None


def _more(value: float, most: float) -> str:
    return f"{min(2 * value, most):g}"


def _more_reserve(config: LiveConfig) -> str:
    if config.preroll_ms < 4 * config.block_ms:
        return f"set --preroll-ms {max(2 * config.preroll_ms, config.block_ms):g} (now {config.preroll_ms:g})"
    return f"set --block-ms {_more(config.block_ms, 100.0)} (now {config.block_ms:g})"


def _lighter(config: LiveConfig) -> str:
    if config.chunk_hops < 4:
        return f"set --chunk-hops {2 * config.chunk_hops}, or let `edgevc tune` choose"
    return "close other programs, or let `edgevc tune` choose; `edgevc doctor` looks at the processor's speed"
