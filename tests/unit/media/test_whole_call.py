from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import threading
from pathlib import Path
from typing import Any

import websockets
from websockets.exceptions import ConnectionClosed

from ringback.audio import codec
from ringback.core.clock import SystemClock
from ringback.media.local_plane import LocalMediaPlane
from ringback.media.pacer import PacerLoop
from ringback.media.plane import (
    OpenSession,
)
from ringback.media.recorder import RecorderThread
from ringback.net.rtp_ports import RtpPorts
from ringback.rtp.packet import RtpPacket, RtpPacketizer
from unit.media.media_lab import (
    LOCALHOST,
    Run,
    audio,
    front_door,
    tone,
)

PCMU = codec.create("PCMU")


class RealPhone(asyncio.DatagramProtocol):
    """Sends a packet for each one it gets, starting with one of its own."""

    def __init__(self, said: bytes) -> None:
        self.said = said
        self.heard = bytearray()
        self.packets = 0
        self.enough = asyncio.Event()
        self.rtp = RtpPacketizer(77, 1, 1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def speak(self, address: Any) -> None:
        frame, self.said = self.said[:320], self.said[320:]
        payload = PCMU.encode(frame) if frame else PCMU.silence(160)
        self.transport.sendto(self.rtp.pack(0, payload, 160), address)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard += PCMU.decode(RtpPacket.parse(data).payload)
        self.packets += 1
        self.speak(addr)
        if self.packets == 40:
            self.enough.set()


def test_a_call_is_carried_recorded_and_reported(run: Run, tmp_path: Path) -> None:
    recording = tmp_path / "call.wav"
    answer = tone(8000, 900.0)

    async def agent(url: str, ended: asyncio.Event) -> bytearray:
        heard = bytearray()
        async with websockets.connect(url) as ws:
            await ws.send(json.dumps({"type": "audio_config", "receive": True}))
            await ws.send(answer)
            with contextlib.suppress(ConnectionClosed):
                async for message in ws:
                    heard += message if isinstance(message, bytes) else b""
            assert ws.close_code == 1000
            ended.set()
        return heard

    async def main() -> None:
        clock = SystemClock()
        plane = LocalMediaPlane(
            RtpPorts(20000, 29999, clock=clock, quarantine=0.0),
            ticker=PacerLoop(clock),
            clock=clock,
            recorder=RecorderThread(),
        )
        opened = await plane.open(OpenSession("c1", LOCALHOST))
        assert opened.rtp_port % 2 == 0
        assert opened.rtcp_port == opened.rtp_port + 1
        loop = asyncio.get_running_loop()
        transport, phone = await loop.create_datagram_endpoint(
            lambda: RealPhone(tone(8000, 400.0)), (LOCALHOST, 0)
        )
        ended = asyncio.Event()
        async with front_door(plane) as url:
            plane.negotiate("c1", audio(transport.get_extra_info("sockname")[1]))
            task = asyncio.create_task(agent(url, ended))
            plane.activate("c1", str(recording))
            await asyncio.wait_for(phone.enough.wait(), 20)
            report = await plane.close("c1")
            await asyncio.wait_for(ended.wait(), 5)
            heard = await task
        transport.close()
        await plane.stop()
        assert report.packets_sent >= 40
        assert report.packets_received >= 30
        assert report.recording == str(recording)
        assert report.recorded_ms >= 600
        assert PCMU.decode(PCMU.encode(answer[:1600])) in bytes(phone.heard)
        said = PCMU.decode(PCMU.encode(tone(8000, 400.0)))
        arrived = [said[n : n + 320] in heard for n in range(0, 30 * 320, 320)]
        assert sum(arrived) > 15

    run(main())
    data = recording.read_bytes()
    samples = memoryview(data[44:]).cast("h")
    left, right = samples[::2], samples[1::2]
    assert max(left) > 7000
    assert max(right) > 7000


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_two_hundred_sessions_leave_nothing_behind(run: Run, tmp_path: Path) -> None:
    async def one_call(plane: LocalMediaPlane, url: str, number: int) -> None:
        session_id = f"c{number}"
        await plane.open(OpenSession(session_id, LOCALHOST))
        plane.negotiate(session_id, audio(4000))
        plane.activate(session_id, str(tmp_path / f"{number}.wav"))
        await plane.close(session_id)

    async def main() -> None:
        clock = SystemClock()
        pacer = PacerLoop(clock)
        ports = RtpPorts(20000, 29999, clock=clock, quarantine=0.0)
        recorder = RecorderThread()
        plane = LocalMediaPlane(ports, ticker=pacer, clock=clock, recorder=recorder)
        async with front_door(plane, "streamed") as url:
            await one_call(plane, url, 0)
            before, tasks = open_files(), len(asyncio.all_tasks())
            for batch in range(10):
                numbers = range(1 + batch * 20, 21 + batch * 20)
                await asyncio.gather(*(one_call(plane, url, number) for number in numbers))
            for _ in range(5):
                await plane.open(OpenSession("streamed", LOCALHOST))
                async with websockets.connect(url) as ws:
                    await plane.close("streamed")
                    await asyncio.wait_for(ws.wait_closed(), 5)
            assert (len(plane), len(pacer), ports.counters.in_use) == (0, 0, 0)
            assert pacer._timer is None
            for _ in range(20):
                # Transports let go of their sockets in the loop's next rounds.
                await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) <= tasks
            assert open_files() <= before
        await plane.stop()

    run(main())
    gc.collect()
    assert not [each for each in threading.enumerate() if each.name == "ringback-recorder"]
    assert len(list(tmp_path.iterdir())) == 201
