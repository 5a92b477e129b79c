"""`edgevc devices`: what can be heard from and spoken through."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from edgevc.devices.port import BACKENDS
from edgevc.errors import AudioDeviceError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = subparsers.add_parser(
        "devices",
        help="list the sound devices",
        description="List the sound devices by the names that `edgevc live --input` and `--output` take.",
        epilog="A device is meant by its whole name, with or without the host API, by a glob or by any part of it:\n"
        '  edgevc live --input "USB*" --output pulse\n\n'
        "examples:\n  edgevc devices\n  edgevc devices --json\n\n"
        "exit codes:\n  0 done   2 wrong arguments   6 no sound device can be used\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument(
        "--backend", choices=BACKENDS, default="auto", help="who drives the devices (default auto: the first there is)"
    )
    command.set_defaults(run=run)


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
        print(f"{device.name:{width}s}  {device.sample_rate} Hz  {use}  {device.address}".rstrip())
    print(f"through {library.backend}")
    return 0
