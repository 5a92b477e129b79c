"""Zeroconf: what Home Assistant finds, and what is not announced."""

import asyncio
import warnings

import pytest
from helpers.wyoming_peers import run

from edgevc.errors import ConfigError
from edgevc.wyoming.address import Address
from edgevc.wyoming.announce import KIND, announced

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from zeroconf.asyncio import AsyncZeroconf

MILLISECONDS = 30_000


def test_a_service_is_found_by_its_kind_with_its_port_and_is_gone_afterwards():
    name = "edgevc under test"

    async def look(milliseconds):
        network = AsyncZeroconf()
        try:
            return await network.async_get_service_info(KIND, f"{name}.{KIND}", milliseconds)
        finally:
            await network.async_close()

    async def test():
        async with announced(Address("0.0.0.0", 10_399), name):
            found = await look(MILLISECONDS)
            assert found is not None
            assert found.port == 10_399
            (address,) = found.parsed_addresses()
            assert not address.startswith(("127.", "0."))
        await asyncio.sleep(1.5)
        assert await look(1500) is None

    run(test())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_what_nobody_else_can_reach_is_not_announced(host):
    async def test():
        async with announced(Address(host, 1), "x"):
            raise AssertionError

    with pytest.raises(ConfigError, match="announces an IPv4 address that others reach"):
        run(test())
