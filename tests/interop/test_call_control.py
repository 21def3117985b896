"""Hold, transfer, conference and gather, with real phones on every side."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interop.peers import sound
from interop.peers.baresip import Baresip
from interop.peers.gateway import API_KEY, EventStream, Gateway
from interop.peers.process import PeerFailed, wait_until
from interop.peers.rtp_ear import RtpEar
from interop.peers.sipp import Sipp
from interop.peers.stream import CallStream

SCENARIOS = Path(__file__).parent / "scenarios"
DID = "+33612345678"
ALICE, BOB, CAROL = 500.0, 700.0, 1100.0
"""What each of them hums, in Hz."""
AGENT, MUSIC = 1500.0, 2100.0
CLEAR = 1000.0
ABSENT = 150.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One for all tests here, with a number whose calls are answered for an outside agent, and
    whose conferences are spread over two processes."""
    folder = tmp_path_factory.mktemp("gateway")
    music = sound.write_wav(folder / "music.wav", sound.sine(MUSIC, 2, 8000), 8000)
    with Gateway(folder / "data", hold_music=str(music), media_workers=2) as running:
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
def phone(folder: Path, hum: float, **more: Any) -> Iterator[Baresip]:
    folder.mkdir(parents=True, exist_ok=True)
    hums = sound.write_wav(folder / "hum.wav", sound.sine(hum, 80, 8000), 8000)
    with Baresip(folder, user=folder.name, speaks=hums, **more) as baresip:
        yield baresip


@contextmanager
def caller(folder: Path, gateway: Gateway, events: EventStream) -> Iterator[tuple[Baresip, str]]:
    """Alice, who has called, and the id of her call."""
    with phone(folder / "alice", ALICE) as alice:
        alice.dial(f"sip:{DID}@127.0.0.1:{gateway.sip_port}")
        call_id = events.wait("call_invite")["call_id"]
        events.wait_state(call_id, "active")
        alice.wait_event("CALL_ESTABLISHED")
        yield alice, call_id


def reach(gateway: Gateway, baresip: Baresip) -> dict[str, Any]:
    """What a request says to call this phone: a trunk of its own leads there."""
    name = f"To {baresip.sip_port}"
    trunk = gateway.post(
        "/api/trunks",
        {"name": name, "mode": "ip_allowlist", "host": "127.0.0.1", "port": baresip.sip_port},
    )
    return {"target": baresip.uri, "trunk_id": trunk["id"]}


def heard(baresip: Baresip, *frequencies: float) -> list[bool]:
    """Whether each of the frequencies was there for a second at least, all in all."""
    track = [sound.mono(path.read_bytes()) for path in baresip.heard()]
    return [
        sum(sound.tone_seconds(one, frequency) for one in track) >= 1.0 for frequency in frequencies
    ]


def levels(stream: CallStream, *frequencies: float) -> list[float]:
    """How loud each of the frequencies is on the call now."""
    samples = stream.listen(0.4)
    return [sound.level(samples, frequency, 8000) for frequency in frequencies]


def listen_until(stream: CallStream, present: list[float], absent: list[float]) -> None:
    """Bounded wait until exactly these tones are there."""
    found: list[float] = []
    for _ in range(25):
        found = levels(stream, *present, *absent)
        there, not_there = found[: len(present)], found[len(present) :]
        if all(one > CLEAR for one in there) and all(one < ABSENT for one in not_there):
            return
    raise PeerFailed(f"{present} without {absent} never came: {found}")


@pytest.mark.requirement("call.local-hold", "media.music-on-hold")
def test_a_held_person_hears_the_music_of_the_node_and_nothing_else(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with (
        RtpEar() as ear,
        Sipp(
            tmp_path / "sipp", "-sf", str(SCENARIOS / "is_held.xml"), "-m", "1", "-key", "user",
            DID, "-key", "ear", str(ear.port), "-timeout", "40s",
            remote=f"127.0.0.1:{gateway.sip_port}",
        ) as sipp,
    ):  # fmt: skip
        call_id = events.wait("call_invite")["call_id"]
        events.wait_state(call_id, "active")
        with CallStream(gateway, call_id) as agent:
            agent.send_raw(sound.sine(AGENT, 30, 8000))
            ear.wait_for(AGENT, MUSIC)
            held = gateway.post(f"/api/call/{call_id}/hold")
            assert (held["state"], held["held_by"]) == ("on_hold", "agent")
            ear.wait_for(MUSIC, AGENT)
            agent.send("resume")
            ear.wait_for(AGENT, MUSIC)
            assert gateway.call(call_id)["held_by"] is None
            agent.send("hangup")
        assert sipp.process.wait(30) == 0, sipp.error_text()


@pytest.mark.requirement("call.local-hold")
def test_nobody_hears_a_person_who_is_held(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with (
        caller(tmp_path, gateway, events) as (_, call_id),
        CallStream(gateway, call_id) as agent,
    ):
        listen_until(agent, [ALICE], [])
        agent.send("hold", music=False)
        events.wait("call_state", lambda e: e["held_by"] == "agent")
        listen_until(agent, [], [ALICE])
        gateway.post(f"/api/call/{call_id}/resume")
        listen_until(agent, [ALICE], [])


@pytest.mark.requirement("call.refer-out-blind")
def test_a_phone_follows_our_refer_and_the_call_ends_as_transferred(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with (
        phone(tmp_path / "bob", BOB, auto_answer=True) as bob,
        caller(tmp_path, gateway, events) as (alice, call_id),
    ):
        gateway.post(f"/api/call/{call_id}/transfer", {**reach(gateway, bob), "mode": "refer"}, 202)
        bob.wait_event("CALL_ESTABLISHED")
        events.wait("call_transfer", lambda e: e["state"] == "done")
        ended = events.wait_state(call_id, "ended")
        assert ended["end_reason"] == "transferred"
        assert gateway.call(call_id)["transfers"][0]["mode"] == "refer"
        alice.hang_up()


@pytest.mark.requirement("call.refer-out-blind")
def test_a_phone_that_hangs_up_as_soon_as_it_has_the_refer_is_transferred(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with Sipp(
        tmp_path / "sipp", "-sf", str(SCENARIOS / "leaves_on_refer.xml"), "-m", "1", "-key",
        "user", DID, "-timeout", "40s", remote=f"127.0.0.1:{gateway.sip_port}",
    ) as sipp:  # fmt: skip
        call_id = events.wait("call_invite")["call_id"]
        events.wait_state(call_id, "active")
        gateway.post(f"/api/call/{call_id}/transfer", {"target": "+493012345678"}, 202)
        assert events.wait_state(call_id, "ended")["end_reason"] == "transferred"
        events.wait("call_transfer", lambda e: e["state"] == "done")
        assert sipp.process.wait(30) == 0, sipp.error_text()


@pytest.mark.requirement("call.refer-fallback")
def test_a_caller_who_knows_no_refer_is_joined_with_the_target_here(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with (
        phone(tmp_path / "bob", BOB, auto_answer=True) as bob,
        Sipp(
            tmp_path / "sipp", "-sf", str(SCENARIOS / "refuses_refer.xml"), "-m", "1", "-key",
            "user", DID, "-timeout", "40s",
            remote=f"127.0.0.1:{gateway.sip_port}",
        ) as sipp,
    ):  # fmt: skip
        call_id = events.wait("call_invite")["call_id"]
        events.wait_state(call_id, "active")
        gateway.post(f"/api/call/{call_id}/transfer", reach(gateway, bob), 202)
        done = events.wait("call_transfer", lambda e: e["state"] in ("done", "failed"))
        assert (done["state"], done["mode"]) == ("done", "bridge")
        bob.hang_up()
        assert sipp.process.wait(30) == 0, sipp.error_text()
        assert events.wait_state(call_id, "ended")["end_reason"] == "conference_ended"
        assert gateway.call(done["to_call_id"])["parent_call_id"] == call_id


@pytest.mark.requirement("call.refer-fallback")
def test_the_bridged_two_hear_each_other_and_not_the_agent(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with (
        phone(tmp_path / "bob", BOB) as bob,
        caller(tmp_path, gateway, events) as (alice, call_id),
        CallStream(gateway, call_id) as agent,
    ):
        agent.send("transfer", mode="bridge", **reach(gateway, bob))
        bob.wait_event("CALL_INCOMING")
        events.wait("call_transfer", lambda e: e["state"] == "ringing")
        agent.send_raw(sound.sine(AGENT, 30, 8000))
        listen_until(agent, [], [ALICE])
        agent.listen(1.5)
        bob.accept()
        done = events.wait("call_transfer", lambda e: e["state"] == "done")
        assert agent.wait_closed() == 1000
        with CallStream(gateway, call_id) as listener:
            listen_until(listener, [ALICE, BOB], [MUSIC, AGENT])
            listener.listen(1.5)
        alice.hang_up()
        bob.wait_event("CALL_CLOSED")
        events.wait_state(done["to_call_id"], "ended")
        assert heard(alice, MUSIC, BOB, AGENT) == [True, True, False]
        assert heard(bob, ALICE, AGENT, MUSIC) == [True, False, False]


def test_a_target_that_is_busy_brings_the_person_back(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with (
        phone(tmp_path / "bob", BOB) as bob,
        caller(tmp_path, gateway, events) as (alice, call_id),
        CallStream(gateway, call_id) as agent,
    ):
        gateway.post(
            f"/api/call/{call_id}/transfer", {**reach(gateway, bob), "mode": "bridge"}, 202
        )
        bob.wait_event("CALL_INCOMING")
        bob.hang_up()
        failed = events.wait("call_transfer", lambda e: e["state"] == "failed")
        assert (failed["sip_code"], failed["reason"]) in ((486, "busy"), (603, "declined"))
        listen_until(agent, [ALICE], [])
        assert gateway.call(call_id)["state"] == "active"


@pytest.mark.requirement("call.conference")
def test_three_people_and_an_agent_hear_each_other_and_not_themselves(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        bob = stack.enter_context(phone(tmp_path / "bob", BOB, auto_answer=True))
        carol = stack.enter_context(phone(tmp_path / "carol", CAROL, auto_answer=True))
        alice, call_id = stack.enter_context(caller(tmp_path, gateway, events))
        agent = stack.enter_context(CallStream(gateway, call_id))
        path = f"/api/call/{call_id}/participants"
        guests = []
        for guest in (bob, carol):
            guests.append(gateway.post(path, reach(gateway, guest), 201)["call_id"])
            events.wait("participant_joined", lambda e: e["participant_call_id"] == guests[-1])
        agent.send_raw(sound.sine(AGENT, 30, 8000))
        listen_until(agent, [ALICE, BOB, CAROL], [AGENT])
        agent.listen(1.5)
        assert [one["role"] for one in gateway.get(path)["items"]] == [
            "host",
            "participant",
            "participant",
        ]
        gateway.delete(f"{path}/{guests[1]}")
        carol.wait_event("CALL_CLOSED")
        listen_until(agent, [ALICE, BOB], [CAROL])
        alice.hang_up()
        bob.wait_event("CALL_CLOSED")
        assert events.wait_state(guests[0], "ended")["end_reason"] == "conference_ended"
        assert heard(alice, BOB, CAROL, AGENT, ALICE) == [True, True, True, False]
        assert heard(bob, ALICE, CAROL, AGENT, BOB) == [True, True, True, False]
        assert heard(carol, ALICE, BOB, AGENT, CAROL) == [True, True, True, False]


@pytest.mark.requirement("media.gather")
def test_keys_are_gathered_while_a_client_waits_and_no_longer(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    with caller(tmp_path, gateway, events) as (alice, call_id):
        path = f"/api/call/{call_id}/gather"
        answers: list[Any] = []

        def gather() -> None:
            """As soon as the requests below, which last a moment only, let us."""
            deadline = time.monotonic() + 15
            while not answers and time.monotonic() < deadline:
                answer = gateway.api.post(path, json={"max_digits": 3})
                if answer.status_code != 409:
                    answers.append(answer.json())

        waiting = threading.Thread(target=gather)
        waiting.start()
        _until_gathering(gateway, path)
        for count, key in enumerate("12#", 1):
            alice.press(key)
            _wait_keys(events, call_id, count)
        waiting.join(20)
        assert answers == [{"call_id": call_id, "digits": "12", "reason": "terminator"}]

        with httpx2.Client(base_url=gateway.url, headers={"X-API-Key": API_KEY}) as impatient:
            with pytest.raises(httpx2.TimeoutException):
                impatient.post(path, json={}, timeout=0.5)
        with CallStream(gateway, call_id) as agent:
            for _ in range(50):  # the gateway may see a moment later that the client is gone
                agent.send("gather", max_digits=1, id="again")
                agent.listen(0.1)
                if not agent.messages("call_error"):
                    break
            alice.press("7")
            result = agent.wait("gather_result")
            assert (result["digits"], result["reason"], result["id"]) == ("7", "complete", "again")


def _wait_keys(events: EventStream, call_id: str, count: int) -> None:
    seen: dict[str, Any] | None = None
    for _ in range(count):
        seen = events.wait("dtmf", lambda e: e["call_id"] == call_id, after=seen)


def _until_gathering(gateway: Gateway, path: str) -> None:
    """A second request is refused as soon as the first one is there."""
    wait_until(
        lambda: gateway.api.post(path, json={"first_timeout": 0.1}).status_code == 409, "a gather"
    )
