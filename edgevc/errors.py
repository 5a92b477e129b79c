"""The exceptions of edgevc; every message gives the rule, the value and the next step."""

from __future__ import annotations

from typing import ClassVar

from edgevc.text import printable_lines


class EdgevcError(Exception):
    """Base of all errors that edgevc raises on purpose."""

    exit_code: ClassVar[int] = 1
    """What the command line ends with."""
    meaning: ClassVar[str] = "something failed"
    """What that code says, in a few words."""

    def __str__(self) -> str:
        """Return the message; what a file or a device calls itself cannot drive a terminal with it."""
        return printable_lines(super().__str__())


class ConfigError(EdgevcError, ValueError):
    """A setting or an argument is outside its range."""

    exit_code = 2
    meaning = "wrong arguments or settings"


class ModelError(EdgevcError):
    """A bundle is damaged, unknown or does not fit this runtime."""

    exit_code = 3
    meaning = "damaged or unknown model or voice"


class EngineError(EdgevcError):
    """An inference engine is missing or cannot be trusted on this machine."""

    exit_code = 4
    meaning = "no usable inference engine"


class AudioFileError(EdgevcError):
    """An audio file cannot be read."""

    exit_code = 5
    meaning = "audio cannot be read"


class AudioDeviceError(EdgevcError):
    """A sound device is missing, refuses a setting or stopped working."""

    exit_code = 6
    meaning = "no usable sound device"


class GateError(EdgevcError):
    """A quantized model is not as good as was asked for; nothing was written."""

    exit_code = 7
    meaning = "quantized model below its gate"


class OutputError(EdgevcError):
    """A file exists and may not be replaced, or cannot be written."""

    exit_code = 8
    meaning = "an output exists or cannot be written"


class SessionError(EdgevcError):
    """No live session answers, or another one is where this one wants to be."""

    exit_code = 9
    meaning = "no session answers, or its address is taken"


class ServiceError(EdgevcError):
    """The machine's service manager is missing or refuses."""

    exit_code = 10
    meaning = "the service manager is missing or refuses"


class MissingPackageError(EdgevcError):
    """A Python package is missing that belongs to an extra of edgevc."""

    exit_code = 11
    meaning = "a Python package is missing"

    def __init__(self, what: str, package: str, extra: str) -> None:
        """Say which package `what` needs, and the command that brings it.

        Args:
            what: the subject of the sentence, such as "drawing a plot".
            package: such as "matplotlib".
            extra: of edgevc, such as "plot".
        """
        super().__init__(f'{what} needs the package {package}; pip install "edgevc[{extra}]"')


ALL = (
    ConfigError,
    ModelError,
    EngineError,
    AudioFileError,
    AudioDeviceError,
    GateError,
    OutputError,
    SessionError,
    ServiceError,
    MissingPackageError,
)
"""Every kind, by exit code."""
NO_MARK = 20
"""Exit code of `edgevc detect` where it worked and found no watermark; no 1, which is a fault's."""
INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM, as shells have it."""
