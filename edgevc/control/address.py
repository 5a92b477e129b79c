"""Where a session's control socket lies: a unix socket of this user, or a port of this machine."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

from edgevc.errors import ConfigError, SessionError
from edgevc.files import runtime_dir
from edgevc.settings.kinds import is_loopback, split_host_port


def default_address() -> str | None:
    """Return the address that a session listens on if none is given; None where the system has no place for it."""
    folder = runtime_dir()
    return None if folder is None else f"unix:{folder}/edgevc.sock"


def open_socket(address: str) -> tuple[socket.socket, Any]:
    """Return a socket and what it binds or connects to.

    Raises:
        ConfigError: the address is malformed, or reaches other machines.
    """
    try:
        if address.startswith("unix:"):
            # an empty path, or one that begins with a zero byte, has no file and so no owner
            if not address[5:] or "\0" in address:
                raise ValueError
            return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), address[5:]
        host, port = split_host_port(address)
        if not is_loopback(host):
            raise ValueError
    except ValueError as error:
        raise ConfigError(f"the control address must be unix:PATH or 127.0.0.1:PORT, got {address!r}") from error
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM), (host, port)


class Listener:
    """A bound socket that listens, and removes its path when it is closed."""

    def __init__(self, address: str, backlog: int) -> None:
        """Bind and listen.

        Args:
            address: unix:PATH (the socket is for this user alone, mode 0600) or 127.0.0.1:PORT (for every user of this
                machine); port 0 takes a free one.
            backlog: connections that wait to be accepted.

        Raises:
            ConfigError: the address is malformed, or reaches other machines.
            SessionError: it is taken.
        """
        self._inode: tuple[int, int] | None = None
        self.socket, where = open_socket(address)
        try:
            if isinstance(where, str):
                _remove_stale(where)
                # no moment at which somebody else may connect
                mask = os.umask(0o177)
                try:
                    self.socket.bind(where)
                finally:
                    os.umask(mask)
                self._inode = _inode(where)
            else:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.socket.bind(where)
                address = f"{address.rpartition(':')[0]}:{self.socket.getsockname()[1]}"
            self.socket.listen(backlog)
        except (OSError, ValueError) as error:
            self.socket.close()
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise SessionError(
                f"cannot listen on {address}: {reason}; another session may run there, so choose another --control"
            ) from error
        self.address = address
        """With the port that was taken."""

    def close(self) -> None:
        """Close the socket and remove its path, unless another session's socket lies there by now."""
        self.socket.close()
        path, inode, self._inode = self.address[5:], self._inode, None
        if inode is not None and _inode(path) == inode:
            with contextlib.suppress(OSError):
                Path(path).unlink()


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _remove_stale(path: str) -> None:
    """Remove the socket of a session that died; one that answers stays, and so does what is no socket."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1.0)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        with contextlib.suppress(OSError):
            if Path(path).is_socket():
                Path(path).unlink()
    except OSError:
        # nothing is there; or it cannot be told, and binding will say so
        pass
    finally:
        probe.close()
