"""An outside agent on the call WebSocket, as the documented Python client does it, end to end but
for the telephone company: the real listener, the real media plane, a connector of the test's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
import websockets
from websockets.asyncio.client import ClientConnection, connect

from unit.app_lab import KEY, AppLab, app_lab

SILENT_SECOND = bytes(2 * 24000)
CALL = {"platform": "sip", "meeting_url": "sip:+33612345678@sip.example.com"}


def run(folder: Path, body: Callable[[AppLab], Awaitable[None]], **changes: object) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60), app_lab(folder, **changes) as lab:
            await body(lab)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())


async def until(stream: ClientConnection, kind: str) -> dict[str, Any]:
    """The next JSON message of this type; others and audio are passed over."""
    async for message in stream:
        if isinstance(message, str) and json.loads(message)["type"] == kind:
            return dict(json.loads(message))
    raise AssertionError(f"the stream ended without {kind}")


def test_the_documented_client_works_with_host_key_and_platform_changed(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        wanted = {**CALL, "transcripts": False}
        response = await lab.api.post("/api/call/", json=wanted)
        response.raise_for_status()
        call_id = response.json()["call_id"]
        frames: list[bytes] = []
        heard: list[dict[str, Any]] = []

        async with websockets.connect(lab.stream(call_id), proxy=None) as ws:
            config = {"type": "audio_config", "sample_rate": 24000, "receive": True}
            await ws.send(json.dumps(config))

            async def reader() -> None:
                async for message in ws:
                    if isinstance(message, bytes):
                        frames.append(message)
                        if len(frames) == 10:
                            lab.phone.legs[0].sink.leg_answered(call_id)
                        if len(frames) == 25:
                            await lab.api.delete(f"/api/call/{call_id}")
                    else:
                        heard.append(json.loads(message))

            async def writer() -> None:
                await ws.send(SILENT_SECOND)

            await asyncio.gather(reader(), writer())

        assert {len(frame) for frame in frames} == {960}
        config_answer = next(m for m in heard if m["type"] == "audio_config")
        assert config_answer["sample_rate"] == 24000
        assert config_answer["native_sample_rate"] == 8000
        assert config_answer["resampling"] is True
        assert config_answer["frame_bytes"] == 960
        assert config_answer["ready"] is True
        states = [m["state"] for m in heard if m["type"] == "call_state"]
        assert states == ["connecting", "active", "ended"]

    run(tmp_path, body)


def test_an_inbound_call_is_accepted_on_the_api_and_recorded(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        async with connect(lab.events(), proxy=None) as events:
            assert json.loads(await events.recv())["type"] == "ready"
            leg = await lab.phone.call_in()
            invite = await until(events, "call_invite")
            assert invite["caller"] == "+33612345678"
            accepted = await lab.api.post(f"/api/call/{leg.call_id}/accept")
            assert accepted.json()["state"] == "active"
            assert (await until(events, "call_state"))["state"] == "active"
            async with connect(lab.stream(leg.call_id), proxy=None) as stream:
                assert (await until(stream, "call_state"))["state"] == "active"
                await stream.send(json.dumps({"type": "audio_config", "receive": True}))
                while not isinstance(await stream.recv(), bytes):
                    pass
                await stream.send(json.dumps({"type": "send_chat", "text": "hi"}))
                assert (await until(stream, "call_error"))["code"] == "capability_missing"
                await stream.send(json.dumps({"type": "hangup"}))
                assert (await until(stream, "call_state"))["state"] == "ended"
                await stream.wait_closed()
                assert stream.close_code == 1000
            ended = await until(events, "call_state")
            assert (ended["state"], ended["end_reason"]) == ("ended", "agent_hangup")
            await lab.application.call_released(leg.call_id)
            sound = await lab.api.get(f"/api/call/{leg.call_id}/recording")
            assert sound.headers["content-type"] == "audio/wav"
            assert sound.content[:4] == b"RIFF"

    run(tmp_path, body)


def test_a_stream_of_an_ended_call_is_refused_as_not_found(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        call_id = (await lab.api.post("/api/call", json=CALL)).json()["call_id"]
        await lab.api.delete(f"/api/call/{call_id}")
        with pytest.raises(websockets.InvalidStatus) as caught:
            await connect(lab.stream(call_id), proxy=None)
        assert caught.value.response.status_code == 404

    run(tmp_path, body)


def test_keys_and_speech_reach_the_call_by_rest(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        leg = await lab.phone.call_in(auto_answer=True)
        async with connect(lab.stream(leg.call_id), proxy=None) as stream:
            state = await until(stream, "call_state")
            if state["state"] != "active":
                await until(stream, "call_state")
            pressed = await lab.api.post(f"/api/call/{leg.call_id}/dtmf", json={"digits": "1#"})
            assert pressed.status_code == 200
            lab.phone.legs[0].sink.leg_dtmf(leg.call_id, "7", 160)
            assert (await until(stream, "dtmf"))["digit"] == "7"
            said = await lab.api.post(f"/api/call/{leg.call_id}/say", json={"text": "Hello."})
            assert said.status_code in (200, 400)
            if said.status_code == 400:
                assert said.json()["error"]["code"] == "tts_not_configured"

    run(tmp_path, body)


@pytest.mark.parametrize("query", ["", "?api_key=wrong-but-long-enough"])
def test_the_event_stream_wants_a_key(tmp_path: Path, query: str) -> None:
    async def body(lab: AppLab) -> None:
        with pytest.raises(websockets.InvalidStatus) as caught:
            await connect(f"ws://{lab.host}/api/events{query}", proxy=None)
        response = caught.value.response
        assert response.status_code == 401
        assert json.loads(response.body or b"")["error"]["code"] in (
            "missing_api_key",
            "invalid_api_key",
        )

    run(tmp_path, body)


def test_the_event_stream_answers_a_ping_and_ignores_the_rest(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        headers = {"Authorization": f"Bearer {KEY}"}
        url = f"ws://{lab.host}/api/events/"
        async with connect(url, additional_headers=headers, proxy=None) as events:
            for nonsense in ("{", "[]", "[" * 1000, '"ping"', "x" * 5000, '{"type": "pong"}'):
                await events.send(nonsense)
            await events.send(b"\x00\x01")
            await events.send('{"type": "ping"}')
            assert json.loads(await events.recv()) == {"type": "ready"}
            assert json.loads(await events.recv()) == {"type": "pong"}

    run(tmp_path, body)


def test_the_event_streams_of_an_account_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringback.front.event_stream.MAX_LISTENERS", 1)

    async def body(lab: AppLab) -> None:
        async with connect(lab.events(), proxy=None) as events:
            await events.recv()
            with pytest.raises(websockets.InvalidStatus) as caught:
                await connect(lab.events(), proxy=None)
            assert caught.value.response.status_code == 429
        async with connect(lab.events(), proxy=None) as events:
            assert json.loads(await events.recv()) == {"type": "ready"}

    run(tmp_path, body)


def test_event_streams_are_closed_politely_when_the_node_stops(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        async with connect(lab.events(), proxy=None) as events:
            await events.recv()
            await lab.application.stop()
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await events.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012

    run(tmp_path, body)
