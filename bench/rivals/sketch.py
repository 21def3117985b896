"""The least that can be done in Python: uvloop datagrams, numpy tables, picows, and nothing else.

No jitter buffer, no statistics, no pacing: a frame leaves as soon as it is there. What a complete
gateway costs beyond it is what its care for audio costs.
"""

from __future__ import annotations

import asyncio
import struct

import picows
import uvloop
from control import LOCALHOST, SAMPLES, decode, encode, name_of, obey

HEADER = struct.Struct("!BBHII")


class Leg(asyncio.DatagramProtocol):
    def __init__(self, phone: int) -> None:
        self._phone = (LOCALHOST, phone)
        self._sequence = self._timestamp = 0
        self.agent: picows.WSTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        if self.agent is not None:
            self.agent.send(picows.WSMsgType.BINARY, decode(data[12:]))

    def say(self, pcm: bytes) -> None:
        header = HEADER.pack(0x80, 0, self._sequence, self._timestamp, 1)
        self._transport.sendto(header + encode(pcm), self._phone)
        self._sequence = self._sequence + 1 & 0xFFFF
        self._timestamp = self._timestamp + SAMPLES & 0xFFFFFFFF


class Agent(picows.WSListener):
    def __init__(self, leg: Leg) -> None:
        self._leg = leg

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._leg.agent = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.BINARY:
            self._leg.say(frame.get_payload_as_bytes())


async def main() -> None:
    legs: dict[str, Leg] = {}

    async def open_call(name: str, phone: int) -> int:
        transport, legs[name] = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Leg(phone), local_addr=(LOCALHOST, 0)
        )
        return int(transport.get_extra_info("sockname")[1])

    def listener(request: picows.WSUpgradeRequest) -> Agent:
        return Agent(legs[name_of(request.path.decode())])

    server = await picows.ws_create_server(listener, LOCALHOST, 0)
    await obey(server.sockets[0].getsockname()[1], open_call)


if __name__ == "__main__":
    uvloop.run(main())
