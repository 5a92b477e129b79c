"""Tells the local network where a service is (zeroconf, mDNS), so that Home Assistant finds it."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator

from edgevc.errors import ConfigError, MissingPackageError, SessionError
from edgevc.wyoming.address import Address

KIND = "_wyoming._tcp.local."
_MDNS = ("224.0.0.251", 5353)


@contextlib.asynccontextmanager
async def announced(address: Address, name: str) -> AsyncIterator[None]:
    """Announce a service while the block runs.

    Args:
        address: where it listens; 0.0.0.0 is announced as the address that this machine has in the network.
        name: of the instance.

    Raises:
        MissingPackageError: the extra `wyoming` is not installed.
        ConfigError: nobody else can reach the address.
        SessionError: the network takes no announcement, or another service has the name.
    """
    try:
        from zeroconf import Error
        from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf
    except ImportError as error:
        raise MissingPackageError("announcing a service", "zeroconf", "wyoming") from error
    host = _reachable(address)
    service = AsyncServiceInfo(KIND, f"{name}.{KIND}", addresses=[socket.inet_aton(host)], port=address.port)
    try:
        network = AsyncZeroconf()
        await network.async_register_service(service)
    except (Error, OSError) as error:
        raise SessionError(
            f"{name} cannot be announced: {error or type(error).__name__}; try another --name"
        ) from error
    try:
        yield
    finally:
        await network.async_unregister_all_services()
        await network.async_close()


def _reachable(address: Address) -> str:
    """Return the IPv4 address under which other machines find it."""
    try:
        found = ipaddress.IPv4Address(address.host)
    except ValueError:
        found = None
    if found is None or found.is_loopback:
        raise ConfigError(
            f"--zeroconf announces an IPv4 address that others reach, got {address}; "
            "add --listen tcp://0.0.0.0:PORT --any-interface"
        )
    if not found.is_unspecified:
        return str(found)
    # nothing is sent: connecting a datagram's socket only chooses the way
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_MDNS)
        except OSError as error:
            raise SessionError(f"this machine has no network to be announced in: {error.strerror}") from error
        return str(probe.getsockname()[0])
