"""sippy's RTP endpoints (its I/O and pacing threads are C, in ``rtpsynth``) and ``websockets``.

Audio comes in chunks of 100 ms there; it is asked for 20 ms here, as the others give them.
"""

from __future__ import annotations

import asyncio

from control import FIRST_PORT, LAST_PORT, LOCALHOST, SAMPLES, name_of, obey
from sippy.Rtp.Codecs.G711 import G711Codec
from sippy.Rtp.Conf import RTPConf
from sippy.Rtp.Core.AudioChunk import AudioChunk
from sippy.Rtp.EPoint import RTPEPoint
from sippy.Rtp.Params import RTPParams
from websockets.asyncio.server import ServerConnection, serve

RATE = 8000


class Bridge:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._conf = RTPConf(FIRST_PORT, LAST_PORT)
        self._legs: dict[str, tuple[RTPEPoint, asyncio.Queue[bytes]]] = {}

    async def open_call(self, name: str, phone: int) -> int:
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        def audio_in(chunk: AudioChunk) -> None:
            self._loop.call_soon_threadsafe(heard.put_nowait, chunk.to_bytes())

        params = RTPParams((LOCALHOST, phone), out_sr=RATE)
        params.codec = G711Codec
        leg = RTPEPoint(self._conf, params, audio_in)
        leg.rsess.out_chunk_sz_samples = SAMPLES
        self._legs[name] = leg, heard
        return int(leg.rserv.local_addr[1])

    async def agent(self, socket: ServerConnection) -> None:
        leg, heard = self._legs[name_of(socket.request.path if socket.request else "")]

        async def listen() -> None:
            while True:
                await socket.send(await heard.get())

        listening = asyncio.create_task(listen())
        try:
            async for message in socket:
                if isinstance(message, bytes):
                    leg.soundout(AudioChunk(message, RATE))
        finally:
            listening.cancel()

    def close(self) -> None:
        for leg, _ in self._legs.values():
            leg.shutdown()


async def main() -> None:
    bridge = Bridge()
    async with serve(bridge.agent, LOCALHOST, 0, compression=None) as server:
        await obey(server.sockets[0].getsockname()[1], bridge.open_call)
    bridge.close()


if __name__ == "__main__":
    asyncio.run(main())
