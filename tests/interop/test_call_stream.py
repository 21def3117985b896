"""The call WebSocket under a real phone: audio both ways, several listeners, bad messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from interop.peers import sound
from interop.peers.baresip import Baresip
from interop.peers.gateway import API_KEY, EventStream, Gateway
from interop.peers.stream import CallStream

DID = "+33612345678"
CALLERS_TONE = 440.0
FIRST_TONE, SECOND_TONE = 1000.0, 1700.0
CLEAR = 1000.0
"""The amplitude above which a tone is there; below ``ABSENT`` it is not."""
ABSENT = 100.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One for all tests here, with a number whose calls are answered for an outside agent."""
    with Gateway(tmp_path_factory.mktemp("gateway")) as running:
        trunk = running.post(
            "/api/trunks", {"name": "Neighbours", "mode": "ip_allowlist", "host": "127.0.0.1"}
        )
        agent = running.post("/api/agents", {"name": "Outside", "mode": "stream"})
        running.post(
            "/api/phone-numbers",
            {"number": DID, "trunk_id": trunk["id"], "agent_id": agent["id"], "auto_answer": True},
        )
        yield running


@contextmanager
def caller(folder: Path, gateway: Gateway, events: EventStream) -> Iterator[tuple[Baresip, str]]:
    """Somebody who hums on the line, and the id of the call."""
    folder.mkdir(parents=True, exist_ok=True)
    hums = sound.write_wav(folder / "hum.wav", sound.sine(CALLERS_TONE, 60, 8000), 8000)
    with Baresip(folder, speaks=hums) as alice:
        alice.dial(f"sip:{DID}@127.0.0.1:{gateway.sip_port}")
        call_id = events.wait("call_state", lambda e: e["state"] == "active")["call_id"]
        alice.wait_event("CALL_ESTABLISHED")
        yield alice, call_id


@pytest.mark.parametrize("sample_rate", [8000, 16000])
def test_audio_goes_both_ways_at_the_declared_rate(
    gateway: Gateway, events: EventStream, tmp_path: Path, sample_rate: int
) -> None:
    with caller(tmp_path / "alice", gateway, events) as (alice, call_id):
        with CallStream(gateway, call_id, sample_rate) as agent:
            assert agent.config["native_sample_rate"] == 8000
            agent.listen(0.5)
            assert sound.level(agent.listen(1), CALLERS_TONE, sample_rate) > CLEAR
            assert agent.frame_sizes == {sample_rate // 50 * 2}
            agent.send_raw(sound.sine(FIRST_TONE, 1.5, sample_rate))
            agent.send("mark", name="spoken")
            assert agent.wait("mark_played")["name"] == "spoken"
            alice.hang_up()
            assert agent.wait("call_state", lambda m: m["state"] == "ended")
            assert agent.wait_closed() == 1000
    (received,) = alice.heard()
    assert sound.tone_seconds(sound.mono(received.read_bytes()), FIRST_TONE) > 1


def test_each_listener_hears_everybody_but_itself(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with (
        caller(tmp_path / "alice", gateway, events) as (alice, call_id),
        CallStream(gateway, call_id) as first,
        CallStream(gateway, call_id, 16000) as second,
    ):
        first.send_raw(sound.sine(FIRST_TONE, 6, 8000))
        second.send_raw(sound.sine(SECOND_TONE, 6, 16000))
        for agent, own, others in (
            (first, FIRST_TONE, SECOND_TONE),
            (second, SECOND_TONE, FIRST_TONE),
        ):
            agent.listen(0.5)
            heard = agent.listen(1)
            assert sound.level(heard, CALLERS_TONE, agent.sample_rate) > CLEAR
            assert sound.level(heard, others, agent.sample_rate) > CLEAR
            assert sound.level(heard, own, agent.sample_rate) < ABSENT
        alice.hang_up()
        assert (first.wait_closed(), second.wait_closed()) == (1000, 1000)
    (received,) = alice.heard()
    track = sound.mono(received.read_bytes())
    assert sound.tone_seconds(track, FIRST_TONE) > 1
    assert sound.tone_seconds(track, SECOND_TONE) > 1
    assert sound.tone_seconds(track, CALLERS_TONE) == 0


def test_clear_says_how_much_was_dropped_and_marks_come_at_once(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with (
        caller(tmp_path / "alice", gateway, events) as (_, call_id),
        CallStream(gateway, call_id) as agent,
    ):
        agent.send_raw(sound.sine(FIRST_TONE, 30, 8000))
        agent.send("mark", name="end")
        agent.listen(0.5)
        agent.send("clear")
        assert 20_000 < agent.wait("cleared")["dropped_ms"] < 30_000
        assert agent.wait("mark_played")["name"] == "end"


def test_keys_go_both_ways(gateway: Gateway, events: EventStream, tmp_path: Path) -> None:
    with (
        caller(tmp_path / "alice", gateway, events) as (alice, call_id),
        CallStream(gateway, call_id) as agent,
    ):
        alice.press("5")
        assert agent.wait("dtmf")["digit"] == "5"
        agent.send("dtmf", digits="7#")
        alice.wait_event("CALL_DTMF_START", where=lambda e: e["param"] == "7")
        alice.wait_event("CALL_DTMF_START", where=lambda e: e["param"] == "#")


def test_an_agent_hangs_up_by_message(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with (
        caller(tmp_path / "alice", gateway, events) as (alice, call_id),
        CallStream(gateway, call_id) as agent,
    ):
        agent.send("hangup")
        alice.wait_event("CALL_CLOSED")
        assert agent.wait_closed() == 1000
    assert gateway.call(call_id)["end_reason"] == "agent_hangup"


BAD_MESSAGES: list[tuple[str | bytes, str]] = [
    (json.dumps({"type": "teleport"}), "unknown_type"),
    ('{"type": "say"', "invalid_json"),
    ("[1, 2, 3]", "invalid_json"),
    (bytes(321), "odd_byte_count"),
    (json.dumps({"type": "audio", "audio": "not base64!"}), "invalid_base64"),
    (json.dumps({"type": "audio", "audio": "AAAA"}), "odd_byte_count"),
    (json.dumps({"type": "audio_config", "sample_rate": 4000}), "invalid_field"),
    (json.dumps({"type": "dtmf", "digits": "no digits"}), "invalid_field"),
    (json.dumps({"type": "say", "text": ""}), "invalid_field"),
    (bytes(1_048_578), "message_too_large"),
    (json.dumps({"type": "say", "text": "a" * 2_000_000}), "message_too_large"),
]


def test_bad_messages_get_an_error_and_the_call_lives(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with (
        caller(tmp_path / "alice", gateway, events) as (_, call_id),
        CallStream(gateway, call_id) as agent,
        CallStream(gateway, call_id) as other,
    ):
        for message, _ in BAD_MESSAGES:
            agent.send_raw(message)
        agent.send("mark", name="after them")
        agent.wait("mark_played")
        codes = [m["code"] for m in agent.messages("call_error")]
        assert codes == [code for _, code in BAD_MESSAGES]
        assert sound.level(agent.listen(1), CALLERS_TONE, 8000) > CLEAR

        agent.send_raw(bytes(5 * 1024 * 1024))
        assert agent.wait_closed() == 1009
        assert sound.level(other.listen(1), CALLERS_TONE, 8000) > CLEAR
        assert gateway.call(call_id)["state"] == "active"
    assert "Traceback" not in gateway.process.output


@pytest.mark.parametrize(
    ("call_id", "key", "status"),
    [
        ("{live}", "rb_live_wrong_0123456789abcdefghijklmnop", 401),
        ("{live}", "", 401),
        ("call_01k9zv3n8q4e7m2c5x6t8r9w0y", API_KEY, 404),
        ("no-such-thing", API_KEY, 404),
    ],
)
def test_a_stream_needs_a_key_and_a_call_of_ones_own(
    gateway: Gateway, events: EventStream, tmp_path: Path, call_id: str, key: str, status: int
) -> None:
    with caller(tmp_path / "alice", gateway, events) as (_, live):
        path = f"/api/call/{call_id.format(live=live)}/stream?api_key={key}"
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(f"ws://127.0.0.1:{gateway.http_port}{path}", proxy=None),
        ):
            pass
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body)["error"]["code"]
        assert gateway.call(live)["state"] == "active"


def test_the_stream_of_a_call_that_is_over_is_not_found(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with caller(tmp_path / "alice", gateway, events) as (alice, call_id):
        alice.hang_up()
        events.wait_state(call_id, "ended")
    with pytest.raises(InvalidStatus) as refused, gateway.stream(call_id):
        pass
    assert refused.value.response.status_code == 404
