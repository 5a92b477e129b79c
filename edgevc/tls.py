"""How the other end of an encrypted connection is checked."""

from __future__ import annotations

import ssl
from pathlib import Path

from edgevc.errors import ConfigError


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return what checks a server's certificate: against a file, or whom the system trusts.

    Raises:
        ConfigError: the file holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{ca_file} must hold certificates in PEM: {error}; check the path") from error
