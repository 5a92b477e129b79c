"""The exceptions of edgevc; every message gives the rule, the value and the next step."""

from __future__ import annotations


class EdgevcError(Exception):
    """Base of all errors that edgevc raises on purpose."""


class ConfigError(EdgevcError, ValueError):
    """A setting or an argument is outside its range."""


class ModelError(EdgevcError):
    """A bundle is damaged, unknown or does not fit this runtime."""


class EngineError(EdgevcError):
    """An inference engine is missing or cannot be trusted on this machine."""


class AudioFileError(EdgevcError):
    """An audio file cannot be read or written."""


class AudioDeviceError(EdgevcError):
    """A sound device is missing, refuses a setting or stopped working."""


class GateError(EdgevcError):
    """A quantized model is not as good as was asked for; nothing was written."""
