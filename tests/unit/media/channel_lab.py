"""Both ends of a channel in one process, and what came out of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence

from ringback.media.channel import Channel
from ringback.media.worker_messages import (
    MESSAGE_TYPES,
)

HEAD = struct.Struct("!IB")


class Side:
    """One end, and what came out of it."""

    def __init__(self, connection: socket.socket) -> None:
        self.messages: list[object] = []
        self.files: list[socket.socket] = []
        self.ends = 0
        self.fails_on: object = None
        self._changed = asyncio.Event()
        self.channel = Channel(connection, MESSAGE_TYPES, self._received, self._closed)

    def _received(self, message: object, files: Sequence[int]) -> None:
        self.messages.append(message)
        self.files += [socket.socket(fileno=each) for each in files]
        self._changed.set()
        if self.fails_on is not None and message == self.fails_on:
            raise RuntimeError("as the test wants it")

    def _closed(self) -> None:
        self.ends += 1
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def came(self, count: int) -> list[object]:
        await self.until(lambda: len(self.messages) >= count)
        return self.messages

    async def broken(self) -> None:
        """It ends, and only once."""
        await self.until(lambda: self.ends > 0)
        await rounds()
        assert self.ends == 1


async def rounds() -> None:
    """What the loop has to do is done after some rounds."""
    for _ in range(10):
        await asyncio.sleep(0)


def descriptors() -> set[str]:
    """Those of this process that are open."""
    return {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[Side, Side]]:
    """Two ends; no descriptor is left over."""
    before = len(descriptors())
    one, other = (Side(each) for each in socket.socketpair())
    try:
        yield one, other
    finally:
        for side in (one, other):
            side.channel.close()
            for each in side.files:
                each.close()
    assert len(descriptors()) == before


@contextlib.asynccontextmanager
async def listener() -> AsyncIterator[tuple[socket.socket, Side]]:
    """A bare socket, and the channel that hears it."""
    before = len(descriptors())
    bare, theirs = socket.socketpair()
    side = Side(theirs)
    try:
        with bare:
            bare.setblocking(False)
            yield bare, side
    finally:
        side.channel.close()
        for each in side.files:
            each.close()
    assert len(descriptors()) == before


def framed(body: bytes, files: int = 0) -> bytes:
    return HEAD.pack(len(body), files) + body
