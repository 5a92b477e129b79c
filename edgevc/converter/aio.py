"""The converter for programs that use asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator

import numpy as np
from numpy.typing import NDArray

from edgevc.converter.stream import ConverterStream


async def converted(
    stream: ConverterStream, blocks: AsyncIterable[NDArray[np.float32]]
) -> AsyncIterator[NDArray[np.float32]]:
    """Convert blocks as they come, each in a thread, so that the event loop goes on meanwhile.

    Args:
        stream: of `VoiceConverter.stream`; nobody else may use it meanwhile.
        blocks: float32 (T,) at 16 kHz, of any length each.

    Yields:
        Float32 (L,), L > 0: as many samples in all as came in, and `stream.latency` more.

    Example:
        >>> import asyncio, numpy, edgevc
        >>> async def blocks():
        ...     for _ in range(3):
        ...         yield numpy.zeros(480, numpy.float32)
        >>> async def main():
        ...     stream = edgevc.VoiceConverter().stream("slt")
        ...     return [len(block) async for block in edgevc.converted(stream, blocks())]
        >>> asyncio.run(main())
        [480, 480, 480, 480]
    """
    async for block in blocks:
        output = await asyncio.to_thread(stream.process, block)
        if len(output):
            yield output
    rest = await asyncio.to_thread(stream.flush)
    if len(rest):
        yield rest
