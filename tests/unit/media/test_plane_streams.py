from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from pathlib import Path

import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ringback.audio import codec
from ringback.media.agents import MAX_STREAMS
from ringback.media.plane import (
    StreamAttached,
    StreamCommand,
    StreamDetached,
)
from unit.media.media_lab import (
    Run,
    audio,
    front_door,
    node,
    receive,
)

PCMU = codec.create("PCMU")


def test_a_new_stream_is_told_the_present_state_and_all_hear_what_is_notified(run: Run) -> None:
    async def main() -> None:
        async with node() as n, front_door(n.plane) as url:
            await n.open()
            n.plane.notify("c1", {"type": "call_state", "state": "ringing"})
            n.plane.notify("c1", {"type": "call_state", "state": "active"})
            n.plane.notify("c1", {"type": "call_transcript", "speaker": "caller", "text": "é"})
            async with websockets.connect(url) as one, websockets.connect(url) as two:
                for ws in (one, two):
                    assert await receive(ws) == {"type": "call_state", "state": "active"}
                n.plane.notify("c1", {"type": "call_transcript", "speaker": "a", "text": "é"})
                for ws in (one, two):
                    assert (await receive(ws))["text"] == "é"

    run(main())


def test_streams_attach_command_and_detach_in_order(run: Run) -> None:
    async def main() -> None:
        async with node() as n, front_door(n.plane) as url:
            await n.open()
            async with websockets.connect(url) as ws:
                await ws.send(json.dumps({"type": "say", "text": "hi"}))
                await asyncio.wait_for(await ws.ping(), 5)
            assert await n.until(3) == [
                StreamAttached("c1", "stream-1"),
                StreamCommand("c1", "stream-1", {"type": "say", "text": "hi"}),
                StreamDetached("c1", "stream-1", 1000),
            ]

    run(main())


def test_streams_of_a_session_are_bounded(run: Run) -> None:
    async def main() -> None:
        async with node() as n, front_door(n.plane) as url, contextlib.AsyncExitStack() as stack:
            await n.open()
            for _ in range(MAX_STREAMS):
                await stack.enter_async_context(websockets.connect(url))
            with pytest.raises(InvalidStatus) as refused:
                await websockets.connect(url)
            assert refused.value.response.status_code == 503
            assert n.plane.counters().streams_refused == 1

    run(main())


def test_a_stream_to_a_call_that_is_over_gets_404(run: Run) -> None:
    async def main() -> None:
        async with node() as n, front_door(n.plane) as url:
            with pytest.raises(InvalidStatus) as refused:
                await websockets.connect(url)
            assert refused.value.response.status_code == 404
            assert b"call_not_found" in (refused.value.response.body or b"")

    run(main())


def test_closing_the_session_closes_its_streams_normally(run: Run) -> None:
    async def main() -> None:
        async with node() as n, front_door(n.plane) as url:
            await n.open()
            async with websockets.connect(url) as ws:
                await n.plane.close("c1")
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(ws.recv(), 5)
                assert (ws.close_code, ws.close_reason) == (1000, "the call is over")

    run(main())


def test_two_agents_hear_each_other_and_the_recording_has_both(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with node() as n, front_door(n.plane) as url:
            await n.open()
            n.plane.negotiate("c1", audio(4000))
            n.plane.activate("c1", str(tmp_path / "two.wav"))
            async with websockets.connect(url) as one, websockets.connect(url) as two:
                for ws in (one, two):
                    await ws.send(json.dumps({"type": "audio_config", "receive": True}))
                    await receive(ws)
                await one.send(struct.pack("<160h", *[100] * 160))
                await two.send(struct.pack("<160h", *[7] * 160))
                for ws in (one, two):
                    await asyncio.wait_for(await ws.ping(), 5)
                n.ticker.run(0.02)
                assert await asyncio.wait_for(one.recv(), 5) == struct.pack("<160h", *[7] * 160)
                assert await asyncio.wait_for(two.recv(), 5) == struct.pack("<160h", *[100] * 160)
            await n.plane.close("c1")
        data = (tmp_path / "two.wav").read_bytes()
        assert struct.unpack_from("<hh", data, 44) == (0, 107)

    run(main())
