"""What every rival shares: it obeys lines on standard input, as ``media_calls.py --gateway`` does.

A rival is a program that brings a phone's RTP to a program's WebSocket and back. It runs in an
environment of its own, so nothing of Ringback may be imported here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import sys
from collections.abc import Awaitable, Callable

import numpy as np

LOCALHOST = "127.0.0.1"
FRAME_SECONDS = 0.02
SAMPLES = 160
FIRST_PORT, LAST_PORT = 20000, 30000
"""For those that cannot take whichever port is free: below the kernel's own range."""

OpenCall = Callable[[str, int], Awaitable[int]]
"""Takes the name of a call and the phone's port; returns the port for its RTP."""


def _linear(code: int) -> int:
    """One sample of G.711 mu-law."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -magnitude if code & 0x80 else magnitude


DECODE = np.array([_linear(code) for code in range(256)], np.int16)


def _encoder() -> np.ndarray:
    """For each sample, as an unsigned number, the code of the value next to it."""
    order = np.argsort(DECODE, kind="stable")
    values = DECODE[order].astype(np.int32)
    samples = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    nearest = np.searchsorted((values[1:] + values[:-1]) / 2, samples)
    return order[nearest].astype(np.uint8)


ENCODE = _encoder()


def decode(payload: bytes) -> bytes:
    return DECODE[np.frombuffer(payload, np.uint8)].tobytes()


def encode(pcm: bytes) -> bytes:
    return ENCODE[np.frombuffer(pcm, np.uint16)].tobytes()


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def say(value: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def name_of(path: str) -> str:
    """The call of ``/api/call/<name>/stream``."""
    return path.split("/")[3]


async def obey(http_port: int, open_call: OpenCall) -> None:
    """Until standard input ends."""
    logging.disable()  # agents that hang up are no error
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say({"http": http_port})
    before = 0.0
    while line := await reader.readline():
        command = json.loads(line)
        if "open" in command:
            say({"rtp": await open_call(command["open"], command["phone"])})
        elif "measure" in command:
            before = cpu_seconds()
            say({})
        else:
            say({"cpu": cpu_seconds() - before, "waiting": 0.0, "counters": {}})
