"""`edgevc devices`: lists input and output devices."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from edgevc.cli.common import add_json, help_text, say
from edgevc.devices.port import BACKENDS
from edgevc.errors import AudioDeviceError, ConfigError

_EXAMPLES = """\
  edgevc devices
  edgevc devices --json
"""
_NOTES = """
A device is named by its whole name, with or without the host API, by a glob or by any part of it:
  edgevc live --input "USB*" --output pulse
"""
HELP = help_text(_EXAMPLES, (ConfigError, AudioDeviceError), notes=_NOTES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_json(parser)
    parser.add_argument(
        "--backend", choices=BACKENDS, default="auto", help="audio library (default auto: the first that is installed)"
    )


def run(arguments: argparse.Namespace) -> int:
    """List the devices; return the exit code."""
    from edgevc.devices.catalogue import sound_library

    with sound_library(arguments.backend) as library:
        devices = library.devices()
    if arguments.json:
        print(json.dumps({"backend": library.backend, "devices": [asdict(device) for device in devices]}, indent=1))
        return 0
    if not devices:
        raise AudioDeviceError("there is no sound device; connect one, or see `edgevc doctor`")
    width = max(len(device.name) for device in devices)
    for device in devices:
        use = ", ".join(
            f"{count} {side}{' (default)' if default else ''}"
            for side, count, default in (
                ("in", device.input_channels, device.is_default_input),
                ("out", device.output_channels, device.is_default_output),
            )
            if count
        )
        # what a device calls itself could drive the terminal
        say(f"{device.name:{width}s}  {device.sample_rate} Hz  {use}  {device.address}".rstrip())
    print(f"through {library.backend}")
    return 0
