"""What one writes in an afternoon: asyncio datagrams, ``websockets``, a 20 ms timer a call.

No jitter buffer, no statistics, no concealment. With ``--uvloop`` on a faster event loop.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections import deque

from control import FRAME_SECONDS, LOCALHOST, SAMPLES, decode, encode, name_of, obey
from websockets.asyncio.server import ServerConnection, serve

HEADER = struct.Struct("!BBHII")
MOST_QUEUED = 50


class Leg(asyncio.DatagramProtocol):
    """A phone. What it says waits in ``heard``, what it is to hear in ``to_say``."""

    def __init__(self, phone: int) -> None:
        self._phone = (LOCALHOST, phone)
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.to_say: deque[bytes] = deque(maxlen=MOST_QUEUED)
        self._sequence = self._timestamp = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        self.heard.put_nowait(decode(data[12:]))

    async def pace(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += FRAME_SECONDS
            await asyncio.sleep(due - loop.time())
            if self.to_say:
                self._send(self.to_say.popleft())

    def _send(self, pcm: bytes) -> None:
        header = HEADER.pack(0x80, 0, self._sequence, self._timestamp, 1)
        self.transport.sendto(header + encode(pcm), self._phone)
        self._sequence = self._sequence + 1 & 0xFFFF
        self._timestamp = self._timestamp + SAMPLES & 0xFFFFFFFF


class Bridge:
    def __init__(self) -> None:
        self._legs: dict[str, Leg] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def open_call(self, name: str, phone: int) -> int:
        loop = asyncio.get_running_loop()
        transport, leg = await loop.create_datagram_endpoint(
            lambda: Leg(phone), local_addr=(LOCALHOST, 0)
        )
        self._legs[name] = leg
        self._tasks.append(asyncio.create_task(leg.pace()))
        return int(transport.get_extra_info("sockname")[1])

    async def agent(self, socket: ServerConnection) -> None:
        leg = self._legs[name_of(socket.request.path if socket.request else "")]

        async def listen() -> None:
            while True:
                await socket.send(await leg.heard.get())

        listening = asyncio.create_task(listen())
        try:
            async for message in socket:
                if isinstance(message, bytes):
                    leg.to_say.append(message)
        finally:
            listening.cancel()


async def main() -> None:
    bridge = Bridge()
    async with serve(bridge.agent, LOCALHOST, 0, compression=None) as server:
        await obey(server.sockets[0].getsockname()[1], bridge.open_call)


if __name__ == "__main__":
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
