"""How many calls one core carries: N phone legs, each with an echo agent on its call WebSocket.

    python bench/media_calls.py --calls 100 --seconds 20

The gateway (media plane, sockets, pacer, streams) runs in a process of its own on one core; this
process is the load on another: it sends 50 RTP packets a second for every call, every one with
its own content, and a WebSocket client that sends back what it hears. A packet is *returned* when
its content comes back by RTP. Gaps are measured between the kernel's receive timestamps of
consecutive packets of a call. Exit code 1 when a packet is missing, or more than 0.1 % of the
gaps are longer than 30 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import picows
import uvloop
from phone_packets import PAYLOAD_TYPES, SECURITY

from ringback.core.clock import SystemClock
from ringback.core.pauses import ShortPauses
from ringback.media.local_plane import LocalMediaPlane
from ringback.media.pacer import PacerLoop
from ringback.media.plane import NegotiatedAudio, OpenSession, RtpAddress
from ringback.media.recorder import RecorderThread
from ringback.media.stream_socket import duplicate_socket
from ringback.net.rtp_ports import RtpPorts
from ringback.rtp.packet import RtpPacketizer

LOCALHOST = "127.0.0.1"
FRAME_SECONDS = 0.02
SETTLE_SECONDS = 2.0
"""After the start (jitter buffers fill) and at the end (the last packets come home)."""
LONG_GAP_MS = 30.0
ALLOWED_LONG_GAPS = 0.001
SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@qq")
_STEP = 0.001
MARKER_BYTES = 8
FILLER = bytes((0x20, 0xA0)) * ((160 - MARKER_BYTES) // 2)
"""Loud enough never to be taken for a pause."""


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def pin(core: int) -> None:
    if core < (os.cpu_count() or 1):
        os.sched_setaffinity(0, {core})


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def waiting_seconds() -> float:
    """How long this process wanted the processor and somebody else had it."""
    return int(Path("/proc/self/schedstat").read_text("ascii").split()[1]) / 1e9


def memory_kb() -> int:
    """What this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() // 1024


# ---- the gateway process --------------------------------------------------------------------


class Gateway:
    """Obeys one JSON command a line on its standard input and answers with one."""

    def __init__(self, recordings: str | None) -> None:
        clock = SystemClock()
        self.pacer = PacerLoop(clock)
        self.plane = LocalMediaPlane(
            RtpPorts(20000, 32000, clock=clock),
            ticker=self.pacer,
            clock=clock,
            recorder=RecorderThread(),
        )
        self._recordings = recordings
        self._cpu = 0.0
        self._waiting = 0.0
        self._memory = 0
        self._handovers: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        server = await asyncio.start_server(self._accepted, LOCALHOST, 0)
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        pauses = ShortPauses(SystemClock(), lambda: len(self.plane))
        pauses.start()
        say(json.dumps({"http": server.sockets[0].getsockname()[1]}))
        while line := await reader.readline():
            say(json.dumps(await self._obey(json.loads(line))))
        pauses.stop()
        server.close()
        await self.plane.stop()

    async def _obey(self, command: dict[str, object]) -> dict[str, object]:
        match command:
            case {"open": str(call), "phone": int(phone)}:
                opened = await self.plane.open(OpenSession(call, LOCALHOST))
                codec = str(command.get("codec", "pcmu"))
                audio = NegotiatedAudio(
                    RtpAddress(LOCALHOST, phone),
                    codec,
                    PAYLOAD_TYPES[codec],
                    security=SECURITY if command.get("srtp") else None,
                )
                self.plane.negotiate(call, audio)
                path = f"{self._recordings}/{call}.wav" if self._recordings else None
                self.plane.activate(call, path)
                return {"rtp": opened.rtp_port}
            case {"measure": True}:
                self._cpu, self._waiting = cpu_seconds(), waiting_seconds()
                self._memory = memory_kb()
                return {}
            case _:
                counters = {k: v for k, v in asdict(self.plane.counters()).items() if v}
                return {
                    "cpu": cpu_seconds() - self._cpu,
                    "waiting": waiting_seconds() - self._waiting,
                    "memory_before_kb": self._memory,
                    "memory_kb": memory_kb(),
                    "counters": counters,
                    "pacer": asdict(self.pacer.counters),
                }

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._hand_over(reader, writer))
        self._handovers.add(task)
        task.add_done_callback(self._handovers.discard)

    async def _hand_over(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        connection = duplicate_socket(writer.transport)
        writer.transport.abort()
        self.plane.attach_stream(request.split(b"/", 4)[3].decode(), connection, request)


# ---- the load process -----------------------------------------------------------------------


class Call:
    """One phone: what it sent, what came back, and when."""

    def __init__(self, number: int) -> None:
        self.name = f"call{number}"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((LOCALHOST, 0))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        self.gateway = (LOCALHOST, 0)
        self.rtp = RtpPacketizer(number + 1, 0, 0)
        self.sent: set[bytes] = set()
        self.returned: set[bytes] = set()
        self.arrivals: list[int] = []
        self.measuring = False

    def send(self) -> None:
        payload = _marker(self.rtp.sequence) + FILLER
        if self.measuring:
            self.sent.add(payload)
        self.socket.sendto(self.rtp.pack(0, payload, 160), self.gateway)

    def receive(self) -> None:
        try:
            while True:
                data, ancillary, _, _ = self.socket.recvmsg(2048, 64)
                payload = data[12:]
                if payload in self.sent:
                    self.returned.add(payload)
                if self.measuring:
                    seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
                    self.arrivals.append(seconds * 1_000_000_000 + nanoseconds)
        except BlockingIOError:
            return

    def gaps_ms(self) -> list[float]:
        pairs = zip(self.arrivals, self.arrivals[1:], strict=False)
        return [(later - earlier) / 1e6 for earlier, later in pairs]


def _marker(number: int) -> bytes:
    """A number in µ-law codes that survive decoding and encoding (0x7f is a second zero)."""
    return bytes(0x10 + (number >> shift & 0x3) for shift in range(14, -2, -2))


class EchoAgent(picows.WSListener):
    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        transport.send(picows.WSMsgType.TEXT, '{"type":"audio_config","receive":true}')

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.BINARY:
            transport.send(picows.WSMsgType.BINARY, frame.get_payload_as_bytes())


class Load:
    def __init__(self, calls: int) -> None:
        self.calls = [Call(number) for number in range(calls)]
        self._running = True

    async def start(self, process: subprocess.Popen[str], http: int) -> None:
        loop = asyncio.get_running_loop()
        for call in self.calls:
            answer = ask(process, {"open": call.name, "phone": call.socket.getsockname()[1]})
            call.gateway = (LOCALHOST, int(str(answer["rtp"])))
            await picows.ws_connect(
                EchoAgent, f"ws://{LOCALHOST}:{http}/api/call/{call.name}/stream"
            )
            loop.add_reader(call.socket.fileno(), call.receive)

    async def send(self) -> None:
        """Every call has its own phase, so that packets come spread like on a real line."""
        start = time.monotonic()
        due = [start + FRAME_SECONDS * n / len(self.calls) for n in range(len(self.calls))]
        while self._running:
            now = time.monotonic()
            for number, call in enumerate(self.calls):
                if due[number] <= now:
                    due[number] += FRAME_SECONDS
                    call.send()
            await asyncio.sleep(_STEP)

    def stop(self) -> None:
        self._running = False


def ask(process: subprocess.Popen[str], command: dict[str, object]) -> dict[str, object]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the gateway has no pipes")
    process.stdin.write(json.dumps(command) + "\n")
    process.stdin.flush()
    answer: dict[str, object] = json.loads(process.stdout.readline())
    return answer


async def drive(process: subprocess.Popen[str], calls: int, seconds: float) -> bool:
    if process.stdout is None:
        raise RuntimeError("the gateway has no pipes")
    load = Load(calls)
    await load.start(process, json.loads(process.stdout.readline())["http"])
    sending = asyncio.create_task(load.send())
    await asyncio.sleep(SETTLE_SECONDS)
    ask(process, {"measure": True})
    for call in load.calls:
        call.measuring = True
    await asyncio.sleep(seconds)
    result = ask(process, {"result": True})
    for call in load.calls:
        call.measuring = False
    await asyncio.sleep(SETTLE_SECONDS)
    load.stop()
    await sending
    return show(load.calls, seconds, result)


def show(calls: Sequence[Call], seconds: float, result: dict[str, object]) -> bool:
    sent = sum(len(call.sent) for call in calls)
    returned = sum(len(call.returned) for call in calls)
    gaps = sorted(gap for call in calls for gap in call.gaps_ms())
    long_gaps = sum(gap > LONG_GAP_MS for gap in gaps)
    share = long_gaps / max(1, len(gaps))
    cpu = float(str(result["cpu"])) / seconds
    say(f"calls            {len(calls)} for {seconds:g} s")
    say(f"packets          {sent} sent, {returned} returned, {sent - returned} missing")
    points = ", ".join(
        f"p{name} {gaps[min(int(len(gaps) * float(name) / 100), len(gaps) - 1)]:.1f}"
        for name in ("0.1", "50", "99", "99.9")
    )
    say(f"gaps in ms       {points}, longest {gaps[-1]:.1f}")
    say(f"gaps > {LONG_GAP_MS:g} ms     {long_gaps} of {len(gaps)} ({share:.4%})")
    say(f"gateway CPU      {cpu:.1%} of a core, {cpu / len(calls):.3%} a call")
    waiting = float(str(result["waiting"])) / seconds
    say(f"gateway waiting  {waiting:.1%} of the time for a processor that others had")
    say(f"pacer            {result['pacer']}")
    say(f"counters         {result['counters']}")
    good = sent == returned and share < ALLOWED_LONG_GAPS
    say("every packet returned, gaps within bounds" if good else "NOT good enough")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--record", action="store_true", help="record every call to a file")
    parser.add_argument("--gateway", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--recordings", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.gateway:
        pin(0)
        uvloop.run(Gateway(options.recordings).run())
        return 0
    pin(1)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).resolve()), "--gateway"]
        if options.record:
            command += ["--recordings", folder]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            good = uvloop.run(drive(process, options.calls, options.seconds))
            if process.stdin is not None:
                process.stdin.close()
            process.wait(30)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
