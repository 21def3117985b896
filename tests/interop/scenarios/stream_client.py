"""An outside agent as the API's Python example has it: dial, open the stream, hear and speak.

Run with the base address, the API key, the platform and the target as arguments. One line per
frame or message goes to standard output.
"""

from __future__ import annotations

import asyncio
import json
import math
import struct
import sys

import httpx2 as httpx
import websockets

RATE = 24000
TONE_HZ = 1000
SECONDS = 3


def tone() -> bytes:
    """What a TTS would give: PCM s16le mono."""
    samples = (
        int(8000 * math.sin(2 * math.pi * TONE_HZ * n / RATE)) for n in range(RATE * SECONDS)
    )
    return b"".join(struct.pack("<h", sample) for sample in samples)


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(base: str, api_key: str, platform: str, meeting_url: str) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            f"{base}/api/call/",
            headers={"X-API-Key": api_key, "Content-Type": "application/json"},
            json={"platform": platform, "meeting_url": meeting_url, "transcripts": False},
        )
        if answer.is_error:
            tell(f"refused: {answer.status_code} {answer.text}")
            return
        call_id = answer.json()["call_id"]
    tell(f"call: {call_id}")

    url = f"{base.replace('http', 'ws', 1)}/api/call/{call_id}/stream?api_key={api_key}"
    async with websockets.connect(url) as ws:
        await ws.send(json.dumps({"type": "audio_config", "sample_rate": RATE, "receive": True}))

        async def reader() -> None:
            async for message in ws:
                if isinstance(message, bytes):
                    tell(f"audio frame: {len(message)} bytes")
                else:
                    tell(f"event: {message}")

        async def writer() -> None:
            await ws.send(tone())
            await ws.send(json.dumps({"type": "mark", "name": "spoken"}))

        await asyncio.gather(reader(), writer())
        tell(f"closed: {ws.close_code}")


asyncio.run(main(*sys.argv[1:]))
