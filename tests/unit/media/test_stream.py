from __future__ import annotations

import asyncio
import base64
import json

import pytest
from picows import WSCloseCode
from websockets.exceptions import ConnectionClosedOK

from ringback.media.stream_messages import MAX_AUDIO_BYTES, Json
from unit.media.media_lab import Run
from unit.media.stream_lab import (
    Host,
    ask,
    attached,
    level,
    receive,
    settle,
)

FRAME = 320


def test_audio_config_answers_a_query_with_the_documented_fields(run: Run) -> None:
    async def main() -> None:
        async with attached(Host()) as ws:
            answer = await ask(ws, {"type": "audio_config"})
            documented = {
                "type": "audio_config",
                "sample_rate": 8000,
                "native_sample_rate": 8000,
                "resampling": False,
                "format": "pcm_s16le",
                "channels": 1,
                "frame_duration_ms": 20,
                "frame_bytes": 320,
                "ready": True,
            }
            assert answer.items() >= documented.items()

    run(main())


def test_a_declared_rate_holds_for_both_directions(run: Run) -> None:
    async def main() -> None:
        host = Host(talking=False)
        async with attached(host) as ws:
            config = {"type": "audio_config", "sample_rate": 24000, "receive": True}
            answer = await ask(ws, config)
            assert (answer["sample_rate"], answer["frame_bytes"]) == (24000, 960)
            assert answer["resampling"] is True
            host.bridge.tick(0.0)
            assert len(await asyncio.wait_for(ws.recv(), 5)) == 960
            await ws.send(bytes(24000 * 2))
            await settle(ws)
            assert 990 <= host.bridge.ports[0].queued_ms <= 1000

    run(main())


@pytest.mark.parametrize("rate", [7999, 48001, "24000", 24000.0, True, -1])
def test_a_rate_that_cannot_be_is_refused_by_name(run: Run, rate: object) -> None:
    async def main() -> None:
        async with attached(Host()) as ws:
            answer = await ask(ws, {"type": "audio_config", "sample_rate": rate})
            assert (answer["type"], answer["code"]) == ("call_error", "invalid_field")
            assert answer["field"] == "sample_rate"
            assert "sample_rate" in answer["message"]
            assert (await ask(ws, {"type": "audio_config"}))["sample_rate"] == 8000

    run(main())


def test_pcm_is_played_byte_for_byte_and_heard_without_an_echo(run: Run) -> None:
    async def main() -> None:
        host = Host()
        host.leg.says = level(77)
        async with attached(host) as ws:
            await ask(ws, {"type": "audio_config", "receive": True})
            said = b"".join(level(n) for n in range(1, 6))
            for cut in (said[:2], said[2:900], said[900:]):
                await ws.send(cut)
            await settle(ws)
            for n in range(5):
                host.bridge.tick(n * 0.02)
            assert b"".join(frame or b"" for frame in host.leg.heard) == said
            for _ in range(5):
                assert await asyncio.wait_for(ws.recv(), 5) == level(77)

    run(main())


def test_nothing_is_heard_before_it_is_asked_for_and_after_it_is_declined(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            host.bridge.tick(0.0)
            await ask(ws, {"type": "audio_config", "receive": True})
            await ask(ws, {"type": "audio_config", "receive": False})
            host.bridge.tick(0.02)
            assert (await ask(ws, {"type": "audio_config"}))["receive"] is False

    run(main())


def test_base64_audio_is_played_at_its_own_rate(run: Run) -> None:
    async def main() -> None:
        host = Host(talking=False)
        async with attached(host) as ws:
            native = base64.b64encode(level(9)).decode()
            await ws.send(json.dumps({"type": "audio", "audio": native}))
            other = base64.b64encode(level(500, 4800)).decode()
            await ws.send(json.dumps({"type": "audio", "audio": other, "sample_rate": 24000}))
            await settle(ws)
            assert 210 <= host.bridge.ports[0].queued_ms <= 220
            host.bridge.talking = True
            host.bridge.tick(0.0)
            assert host.leg.heard[0] == level(9)

    run(main())


def test_clear_answers_how_much_was_dropped_and_marks_come_back(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            await ws.send(bytes(16000))
            await ws.send(json.dumps({"type": "mark", "name": "end"}))
            await settle(ws)
            host.bridge.tick(0.0)
            await ws.send(json.dumps({"type": "clear"}))
            assert await receive(ws) == {"type": "mark_played", "name": "end"}
            assert await receive(ws) == {"type": "cleared", "dropped_ms": 940}

    run(main())


def test_keys_go_both_ways(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            await ws.send(json.dumps({"type": "dtmf", "digits": "12,a#"}))
            await ws.send(json.dumps({"type": "dtmf", "digit": "*"}))
            await settle(ws)
            assert host.commands == [
                {"type": "dtmf", "digits": "12,A#"},
                {"type": "dtmf", "digits": "*"},
            ]
            host.bridge.dtmf("7", 160)
            assert await receive(ws) == {"type": "dtmf", "digit": "7", "duration_ms": 160}

    run(main())


@pytest.mark.parametrize(
    "message",
    [
        {"type": "say", "text": "Hello"},
        {"type": "send_chat", "text": "Hi", "sender_name": "Agent"},
        {"type": "stop_speaking"},
        {"type": "typing"},
        {"type": "hangup"},
        {"type": "hold"},
        {"type": "resume"},
        {"type": "transfer", "target": "sip:bob@example.com"},
        {"type": "transfer", "to_call_id": "call_2", "mode": "bridge", "timeout": 20.5},
        {"type": "cancel_transfer"},
        {"type": "add_participant", "call_id": "call_2"},
        {"type": "remove_participant", "call_id": "call_2", "keep": True},
        {"type": "gather", "id": "pin", "max_digits": 4, "terminator": None},
        {"type": "cancel_gather"},
        {"type": "dtmf", "digits": "1#", "method": "inband"},
    ],
)
def test_what_call_control_does_is_passed_on_whole(run: Run, message: Json) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            await ws.send(json.dumps(message))
            await settle(ws)
            assert host.commands == [message]

    run(main())


def base64_of(size: int) -> str:
    return base64.b64encode(bytes(size)).decode()


@pytest.mark.parametrize(
    ("sent", "code", "field"),
    [
        ("{", "invalid_json", None),
        ("[1]", "invalid_json", None),
        ("[" * 100_000, "invalid_json", None),
        ('{"type":"nonsense"}', "unknown_type", "type"),
        ('{"type":7}', "unknown_type", "type"),
        ("{}", "unknown_type", "type"),
        (b"\0", "odd_byte_count", "audio"),
        (bytes(MAX_AUDIO_BYTES + 2), "message_too_large", None),
        ('{"type":"audio"}', "invalid_field", "audio"),
        ('{"type":"audio","audio":"=?="}', "invalid_base64", "audio"),
        ('{"type":"audio","audio":"\u00e9"}', "invalid_base64", "audio"),
        ('{"type":"audio","audio":"AAAA","sample_rate":1}', "invalid_field", "sample_rate"),
        ('{"type":"audio","audio":"' + base64_of(3) + '"}', "odd_byte_count", "audio"),
        ('{"type":"say","text":""}', "invalid_field", "text"),
        ('{"type":"say","text":"' + "x" * 10_001 + '"}', "invalid_field", "text"),
        ('{"type":"mark"}', "invalid_field", "name"),
        ('{"type":"dtmf","digits":"1E"}', "invalid_field", "digits"),
        ('{"type":"transfer","target":["sip:b@c"]}', "invalid_field", "target"),
        ('{"type":"gather","prompt":"' + "x" * 2001 + '"}', "invalid_field", "prompt"),
        ('{"type":"dtmf","digits":"1","method":7}', "invalid_field", "method"),
        (json.dumps({"type": "hold"} | {f"f{n}": n for n in range(16)}), "invalid_field", None),
        ('{"type":"audio_config","receive":1}', "invalid_field", "receive"),
        ('{"type":"audio_config","format":"mp3"}', "invalid_field", "format"),
        ('{"type":"audio_config","frame_duration_ms":30}', "invalid_field", "frame_duration_ms"),
        ('{"type":"audio_config","frame_duration_ms":20.0}', "invalid_field", "frame_duration_ms"),
        (" " * 1_500_001, "message_too_large", None),
    ],
)
def test_a_bad_message_is_answered_and_the_connection_stays(
    run: Run, sent: str | bytes, code: str, field: str | None
) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            await ws.send(sent)
            answer = await receive(ws)
            assert (answer["type"], answer["code"]) == ("call_error", code)
            assert answer.get("field") == field
            assert answer["message"]
            assert (await ask(ws, {"type": "audio_config"}))["ready"] is True
            assert host.counters.stream_messages_rejected == 1

    run(main())


def test_a_full_megabyte_is_taken_in_one_message(run: Run) -> None:
    async def main() -> None:
        host = Host(talking=False)
        async with attached(host) as ws:
            await ask(ws, {"type": "audio_config", "sample_rate": 48000})
            await ws.send(bytes(MAX_AUDIO_BYTES))
            await settle(ws)
            assert host.bridge.ports[0].queued_ms > 10_900

    run(main())


def test_more_than_a_minute_of_audio_is_refused_with_a_hint(run: Run) -> None:
    async def main() -> None:
        async with attached(Host(talking=False)) as ws:
            await ws.send(bytes(960_000))
            await ws.send(b"\0\0")
            answer = await receive(ws)
            assert (answer["code"], bool(answer["hint"])) == ("playout_full", True)

    run(main())


def test_a_message_in_fragments_is_one_message(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            await ws.send([b"\1\0", b"\2", b"\0\3\0"])
            await ws.send(['{"type":', '"clear"}'])
            assert await receive(ws) == {"type": "cleared", "dropped_ms": 0}

    run(main())


def test_a_client_that_asks_for_longer_messages_gets_them_and_what_is_left_when_it_changes(
    run: Run,
) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            config = {"type": "audio_config", "receive": True, "frame_duration_ms": 60}
            answer = await ask(ws, config)
            assert (answer["frame_duration_ms"], answer["frame_bytes"]) == (60, 960)
            for number in range(4):
                host.leg.says = level(number)
                host.bridge.tick(number * 0.02)
            assert await asyncio.wait_for(ws.recv(), 5) == level(0) + level(1) + level(2)
            await ws.send(json.dumps({"type": "audio_config", "frame_duration_ms": 20}))
            assert await asyncio.wait_for(ws.recv(), 5) == level(3)
            assert (await receive(ws))["frame_duration_ms"] == 20
            host.bridge.tick(0.08)
            assert await asyncio.wait_for(ws.recv(), 5) == level(3)

    run(main())


def test_what_was_gathered_at_another_rate_says_so(run: Run) -> None:
    async def main() -> None:
        host = Host()
        host.leg.says = level(5)
        async with attached(host) as ws:
            config = {"type": "audio_config", "receive": True, "timestamps": True}
            await ask(ws, config | {"sample_rate": 8000, "frame_duration_ms": 100})
            host.bridge.tick(0.0)
            await ws.send(json.dumps({"type": "audio_config", "sample_rate": 16000}))
            audio = await receive(ws)
            assert (audio["type"], audio["sample_rate"]) == ("audio", 8000)
            assert len(base64.b64decode(audio["audio"])) == 320
            assert (await receive(ws))["sample_rate"] == 16000
            host.leg.says = None
            host.bridge.set_native_rate(16000)
            assert (await receive(ws))["native_sample_rate"] == 16000

    run(main())


def test_what_is_gathered_comes_before_the_end_of_the_call(run: Run) -> None:
    async def main() -> None:
        host = Host()
        host.leg.says = level(5)
        async with attached(host) as ws:
            await ask(ws, {"type": "audio_config", "receive": True, "frame_duration_ms": 100})
            host.bridge.tick(0.0)
            host.streams[0].close(WSCloseCode.OK, "the call is over")
            assert await asyncio.wait_for(ws.recv(), 5) == level(5)
            with pytest.raises(ConnectionClosedOK):
                await asyncio.wait_for(ws.recv(), 5)

    run(main())


def test_timestamps_come_with_the_audio_when_asked_for(run: Run) -> None:
    async def main() -> None:
        host = Host()
        host.leg.says = level(3)
        async with attached(host) as ws:
            config = {"type": "audio_config", "receive": True, "timestamps": True}
            assert (await ask(ws, config))["timestamps"] is True
            host.bridge.tick(0.0)
            message = await receive(ws)
            assert base64.b64decode(message.pop("audio")) == level(3)
            assert message == {"type": "audio", "sample_rate": 8000, "timestamp_ms": 1240}

    run(main())
