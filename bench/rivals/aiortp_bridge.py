"""aiortp's sessions, as its companion aiosipua opens them for a call, and ``websockets``.

Paced sending (which keeps 20 ms between packets), its jitter buffer and its concealment, G.711 with
numpy. aiosipua itself is not in the way of the audio: no SIP is timed here.
"""

from __future__ import annotations

import asyncio

from aiortp import RTPSession
from control import FIRST_PORT, LAST_PORT, LOCALHOST, name_of, obey
from websockets.asyncio.server import ServerConnection, serve

PCMU = 0


class Bridge:
    def __init__(self) -> None:
        self._sessions: dict[str, RTPSession] = {}
        self._ports = iter(range(FIRST_PORT, LAST_PORT, 2))

    async def open_call(self, name: str, phone: int) -> int:
        port = next(self._ports)
        self._sessions[name] = await RTPSession.create(
            (LOCALHOST, port), (LOCALHOST, phone), payload_type=PCMU, paced=True
        )
        return port

    async def agent(self, socket: ServerConnection) -> None:
        session = self._sessions[name_of(socket.request.path if socket.request else "")]
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        session.on_audio = lambda pcm, timestamp: heard.put_nowait(pcm)

        async def listen() -> None:
            while True:
                await socket.send(await heard.get())

        listening = asyncio.create_task(listen())
        try:
            async for message in socket:
                if isinstance(message, bytes):
                    session.send_audio_pcm_auto(message)
        finally:
            listening.cancel()


async def main() -> None:
    bridge = Bridge()
    async with serve(bridge.agent, LOCALHOST, 0, compression=None) as server:
        await obey(server.sockets[0].getsockname()[1], bridge.open_call)


if __name__ == "__main__":
    asyncio.run(main())
