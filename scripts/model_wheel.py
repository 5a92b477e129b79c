"""Packs a bundle into a wheel of its own: once it is installed, edgevc finds the model by its name.

    python scripts/model_wheel.py models/low-latency --name low --out dist
    pip install dist/edgevc_low-1.0-py3-none-any.whl
    edgevc convert me.wav other.wav --bundle low --voice slt

For a model that is too large to come along with every copy of edgevc. The same bundle gives the same bytes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import re
import sys
import zipfile
from pathlib import Path

from edgevc.bundle import ModelBundle
from edgevc.bundle.shipped import GROUP, own_models
from edgevc.errors import ConfigError, EdgevcError
from edgevc.files import write_atomic
from edgevc.signing.minisign import SUFFIX

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
VERSION = re.compile(r"\d+(\.\d+)*")
"""Of both what the packaging rules allow in a file's name (PEP 427, PEP 440), less the rarer forms."""
OLDEST_DATE = (1980, 1, 1, 0, 0, 0)
"""What a zip file can say."""


def contents(bundle: ModelBundle, name: str) -> dict[str, bytes]:
    """Return path to content of everything in the wheel but its RECORD.

    Raises:
        ConfigError: the bundle is no folder, name or version cannot stand in a wheel's file name, or edgevc has a model
            of this name.
    """
    if not bundle.path.is_dir():
        raise ConfigError(f"a wheel is made of a bundle's folder, got the file {bundle.path}; unpack it")
    if not NAME.fullmatch(name):
        raise ConfigError(f"--name must be lower-case letters, digits and single underscores, got {name!r}")
    if name in own_models():
        raise ConfigError(f"--name: edgevc itself has a model {name}, which would be found instead; take another name")
    if not VERSION.fullmatch(bundle.version):
        raise ConfigError(f"the bundle's version must be numbers with dots, got {bundle.version!r}; write it anew")
    package, info = f"edgevc_{name}", f"edgevc_{name}-{bundle.version}.dist-info"
    found = {f"{package}/__init__.py": f'"""The model {name} of edgevc: data, nothing to import."""\n'.encode()}
    found |= {f"{package}/{path}": bundle.read(path) for path in sorted(bundle.files())}
    for beside in ("manifest.json", f"manifest.json{SUFFIX}", "CARD.md"):
        if (bundle.path / beside).is_file():
            found[f"{package}/{beside}"] = (bundle.path / beside).read_bytes()
    metadata = (
        f"Metadata-Version: 2.1\nName: edgevc-{name.replace('_', '-')}\nVersion: {bundle.version}\n"
        f"Summary: {bundle.description}\nLicense: {bundle.licence}\nRequires-Dist: edgevc\nRequires-Python: >=3.10\n"
    )
    found[f"{info}/METADATA"] = metadata.encode()
    found[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: edgevc\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    found[f"{info}/entry_points.txt"] = f"[{GROUP}]\n{name} = {package}\n".encode()
    return found


def record(found: dict[str, bytes], path: str) -> bytes:
    """Return the RECORD at `path`: each file with its hash and size."""
    lines = []
    for name, data in found.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    return "\n".join([*lines, f"{path},,", ""]).encode()


def write(bundle: ModelBundle, name: str, folder: Path) -> Path:
    """Write the wheel into a folder, whole or not at all; return its path.

    Raises:
        ConfigError: see `contents`.
        OutputError: it cannot be written.
    """
    found = contents(bundle, name)
    stem = f"edgevc_{name}-{bundle.version}"
    found[f"{stem}.dist-info/RECORD"] = record(found, f"{stem}.dist-info/RECORD")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{stem}-py3-none-any.whl"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as wheel:
        for path, data in found.items():
            entry = zipfile.ZipInfo(path, OLDEST_DATE)
            # weights in int8 hardly shrink
            shrinks = path.endswith((".json", ".md", ".py"))
            entry.compress_type = zipfile.ZIP_DEFLATED if shrinks else zipfile.ZIP_STORED
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, data)
    write_atomic(target, packed.getvalue())
    return target


def main() -> int:
    """Print where the wheel is, and its size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="folder of a bundle")
    parser.add_argument("--name", required=True, help="by which edgevc will find it")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder (default: dist)")
    arguments = parser.parse_args()
    try:
        bundle = ModelBundle.open(arguments.bundle)
        target = write(bundle, arguments.name, arguments.out)
    except (EdgevcError, OSError) as error:
        print(f"model_wheel.py: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, bundle {bundle.sha256[:12]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
