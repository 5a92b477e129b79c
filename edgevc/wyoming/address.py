"""Where Wyoming services listen: tcp://HOST:PORT."""

from __future__ import annotations

from typing import NamedTuple

from edgevc.errors import ConfigError
from edgevc.settings.kinds import is_loopback, split_host_port
from edgevc.text import shortened


class Address(NamedTuple):
    """A place in the network."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"


def read_address(text: str, flag: str) -> Address:
    """Return the address of tcp://HOST:PORT.

    Args:
        text: as somebody wrote it.
        flag: names it in the message.

    Raises:
        ConfigError: it is of another form.
    """
    scheme, _, place = text.strip().partition("://")
    try:
        if scheme != "tcp":
            raise ValueError
        return Address(*split_host_port(place.rstrip("/")))
    except ValueError:
        raise ConfigError(
            f"{flag} must be tcp://HOST:PORT, such as tcp://127.0.0.1:10300, got {shortened(text)}; see --help"
        ) from None


def require_loopback(address: Address, flag: str, *, any_interface: bool) -> None:
    """Refuse an address that other machines reach, unless they are meant to.

    Raises:
        ConfigError: it is one, and `any_interface` is False.
    """
    if not any_interface and not is_loopback(address.host):
        raise ConfigError(
            f"{flag} must be of this machine alone, got {address}, which other machines may reach without a password; "
            "use 127.0.0.1, or add --any-interface"
        )
