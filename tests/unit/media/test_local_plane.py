from __future__ import annotations

import asyncio
import contextlib
import struct

import pytest

from ringback.audio import codec
from ringback.core.errors import Conflict, InvalidRequest, NotConfigured, Unavailable
from ringback.media.agent_port import BridgePort
from ringback.media.local_plane import LocalMediaPlane
from ringback.media.plane import (
    DtmfReceived,
    HangUpRequested,
    MediaEvent,
    MediaPlane,
    MediaTimedOut,
    OpenSession,
    SessionReport,
    TranscriptLine,
    VoiceSpec,
)
from ringback.media.port import AgentPort, VoiceHost
from ringback.media.recorder import RecorderThread
from ringback.media.session import MediaSession
from ringback.net.rtp_ports import RtpPorts
from ringback.rtp.dtmf import DtmfSender
from ringback.rtp.packet import RtpPacket, RtpPacketizer
from unit.media.media_lab import (
    LOCALHOST,
    HandClock,
    HandTicker,
    Run,
    audio,
    datagrams,
    node,
    phone_socket,
    tone,
)

PCMU = codec.create("PCMU")


def conforms(session: MediaSession, port: BridgePort, plane: LocalMediaPlane) -> None:
    """Read by the type checker: the contracts of ``plane.py`` and ``port.py`` are kept."""
    _: tuple[VoiceHost, AgentPort, MediaPlane] = (session, port, plane)


def test_ports_are_taken_and_given_back(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open("a")
            await n.open("b")
            assert (n.ports.counters.in_use, len(n.plane)) == (2, 2)
            await n.plane.close("a")
            assert (n.ports.counters.in_use, len(n.plane)) == (1, 1)
        assert n.ports.counters.in_use == 0

    run(main())


def test_a_session_id_is_open_once(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open()
            with pytest.raises(Conflict):
                await n.open()
            assert n.ports.counters.in_use == 1

    run(main())


def test_without_a_free_port_there_is_no_session(run: Run) -> None:
    async def main() -> None:
        clock = HandClock()
        ports = RtpPorts(20000, 20001, clock=clock)
        plane = LocalMediaPlane(
            ports, ticker=HandTicker(clock), clock=clock, recorder=RecorderThread()
        )
        with contextlib.suppress(Unavailable):
            # Somebody else may hold the one pair; then there is none at all.
            await plane.open(OpenSession("c1", LOCALHOST))
        with pytest.raises(Unavailable) as refused:
            await plane.open(OpenSession("c2", LOCALHOST))
        assert refused.value.code == "no_rtp_port"
        await plane.stop()

    run(main())


def test_commands_for_a_session_that_is_gone_are_ignored(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            n.plane.negotiate("gone", audio(4000))
            n.plane.activate("gone")
            n.plane.start_voice("gone", VoiceSpec("a"))
            n.plane.say("gone", "hello")
            n.plane.stop_speaking("gone")
            await n.plane.send_dtmf("gone", "1")
            n.plane.dtmf("gone", "1", 100)
            n.plane.set_hold("gone", True)
            n.plane.notify("gone", {"type": "x"})
            assert await n.plane.close("gone") == SessionReport("gone")

    run(main())


def test_closing_twice_and_at_the_same_time_gives_the_same_report(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open()
            n.plane.negotiate("c1", audio(4000))
            n.ticker.run(0.1)
            first, second = await asyncio.gather(n.plane.close("c1"), n.plane.close("c1"))
            assert first == second
            assert first.packets_sent == 5
            assert n.ticker.slot.members == []

    run(main())


def test_a_stopped_plane_opens_nothing(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open()
            await n.plane.stop()
            with pytest.raises(Unavailable):
                await n.open("c2")
            assert len(n.plane) == 0

    run(main())


@pytest.mark.requirement("media.timeout")
def test_no_rtp_on_an_active_call_is_reported_once(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open(patience=5.0)
            n.plane.negotiate("c1", audio(4000))
            n.ticker.run(10)
            n.plane.activate("c1")
            n.ticker.run(4.9)
            assert await n.reported() == []
            n.ticker.run(10)
            (event,) = await n.reported()
            assert isinstance(event, MediaTimedOut)
            assert event.seconds == pytest.approx(5.0, abs=0.03)

    run(main())


@pytest.mark.requirement("media.timeout")
def test_on_hold_no_rtp_is_expected_and_the_wait_starts_again_after_it(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open(patience=5.0)
            n.plane.negotiate("c1", audio(4000))
            n.plane.activate("c1")
            n.plane.set_hold("c1", True)
            n.ticker.run(60)
            n.plane.set_hold("c1", False)
            n.ticker.run(4.9)
            assert await n.reported() == []
            n.ticker.run(0.2)
            assert len(await n.reported()) == 1

    run(main())


@pytest.mark.requirement("media.timeout")
def test_a_call_that_only_sends_waits_for_nothing(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open(patience=5.0)
            n.plane.negotiate("c1", audio(4000, receive=False))
            n.plane.activate("c1")
            n.ticker.run(60)
            n.plane.negotiate("c1", audio(4000))
            n.ticker.run(4.9)
            assert await n.reported() == []

    run(main())


def test_the_voice_starts_with_the_call_and_ends_with_it(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open()
            n.plane.negotiate("c1", audio(4000))
            n.plane.start_voice("c1", VoiceSpec("demo"))
            (voice,) = n.voices
            assert voice.log == []
            n.plane.activate("c1")
            n.plane.activate("c1")
            n.plane.say("c1", "hello")
            n.plane.stop_speaking("c1")
            n.plane.dtmf("c1", "4", 100)
            n.ticker.run(0.2)
            assert voice.host.elapsed_ms == 200
            await n.plane.close("c1")
            assert voice.log == ["start", "say hello", "stop speaking", "detached", "close"]
            assert (voice.digits, voice.frames) == (["4"], 10)

    run(main())


def test_a_voice_that_comes_later_starts_at_once_and_replaces_the_first(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open()
            n.plane.activate("c1")
            n.plane.start_voice("c1", VoiceSpec("one"))
            n.plane.start_voice("c1", VoiceSpec("two"))
            n.plane.say("c1", "hello")
            await n.plane.close("c1")
            assert n.voices[0].log == ["start", "close", "detached"] or n.voices[0].log == [
                "start",
                "detached",
                "close",
            ]
            assert n.voices[1].log[:2] == ["start", "say hello"]

    run(main())


def test_a_voice_speaks_to_the_caller_and_reports_through_its_host(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            with phone_socket() as phone:
                await n.open()
                n.plane.negotiate("c1", audio(phone.getsockname()[1]))
                n.plane.start_voice("c1", VoiceSpec("demo"))
                n.plane.activate("c1")
                voice = n.voices[0]
                voice.port.play(tone(1600, 500.0, 16000))
                voice.port.mark("said")
                n.ticker.run(0.2)
                voice.host.transcript("agent", "hello", 0, 100)
                voice.host.hang_up("agent_hangup")
                await asyncio.sleep(0)
                packets = [RtpPacket.parse(data) for data in datagrams(phone)]
                loud = [
                    max(abs(s) for (s,) in struct.iter_unpack("<h", PCMU.decode(p.payload))) > 5000
                    for p in packets
                ]
                assert sum(loud) == 5
                assert "mark said" in voice.log
                assert await n.reported() == [
                    TranscriptLine("c1", "agent", "hello", 0, 100),
                    HangUpRequested("c1", "agent_hangup"),
                ]

    run(main())


def test_without_a_voice_the_caller_of_the_service_is_told(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open()
            with pytest.raises(NotConfigured):
                n.plane.start_voice("c1", VoiceSpec("mute"))
            n.plane.say("c1", "nobody says this")
        clock = HandClock()
        bare = LocalMediaPlane(
            n.ports, ticker=HandTicker(clock), clock=clock, recorder=RecorderThread()
        )
        with pytest.raises(NotConfigured) as refused:
            bare.start_voice("c1", VoiceSpec("demo"))
        assert refused.value.hint
        await bare.stop()

    run(main())


def test_a_voice_that_does_not_close_does_not_hold_the_call(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringback.media.agents.VOICE_CLOSE_SECONDS", 0.01)

    async def main() -> None:
        async with node() as n:
            await n.open()
            n.plane.start_voice("c1", VoiceSpec("demo"))
            n.voices[0].hangs = True
            await asyncio.wait_for(n.plane.close("c1"), 5)
            late = n.voices[0].host
            late.notify({"type": "speech_started"})
            assert not late.person_away
            assert late.attach(n.voices[0], 16000).queued_ms == 0

    run(main())


def test_hold_stops_the_voice_like_a_barge_in(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open()
            n.plane.start_voice("c1", VoiceSpec("demo"))
            n.plane.activate("c1")
            n.plane.set_hold("c1", True)
            n.plane.set_hold("c1", True)
            assert n.voices[0].log == ["start", "stop speaking"]

    run(main())


@pytest.mark.requirement("media.dtmf-rfc4733")
def test_a_key_from_the_phone_is_an_event_and_reaches_the_agents(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            with phone_socket() as phone:
                opened = await n.open()
                n.plane.negotiate("c1", audio(phone.getsockname()[1], dtmf_payload_type=101))
                n.plane.start_voice("c1", VoiceSpec("demo"))
                sender, rtp = DtmfSender(), RtpPacketizer(5, 5, 5)
                sender.send("9")
                while (event := sender.tick(rtp.timestamp)) is not None:
                    data = rtp.pack_at(event.timestamp, 101, event.payload, event.marker)
                    phone.sendto(data, (LOCALHOST, opened.rtp_port))
                assert await n.until(1) == [DtmfReceived("c1", "9", 160)]
                assert n.voices[0].digits == ["9"]

    run(main())


@pytest.mark.requirement("media.dtmf-info")
def test_keys_of_signalling_are_events_and_reach_the_agents(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open()
            n.plane.start_voice("c1", VoiceSpec("demo"))
            n.plane.dtmf("c1", "3", 250)
            assert n.voices[0].digits == ["3"]
            assert await n.reported() == [DtmfReceived("c1", "3", 250)]

    run(main())


def test_digits_that_are_none_are_refused(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open()
            with pytest.raises(InvalidRequest):
                await n.plane.send_dtmf("c1", "12x")

    run(main())


def test_a_listener_that_fails_loses_nobody_an_event(run: Run) -> None:
    async def main() -> None:
        async with node() as n:

            def fail(event: MediaEvent) -> None:
                raise RuntimeError("broken listener")

            later: list[MediaEvent] = []
            n.plane.subscribe(fail)
            n.plane.subscribe(later.append)
            await n.open()
            n.plane.start_voice("c1", VoiceSpec("demo"))
            for number in range(5):
                n.voices[0].host.hang_up(str(number))
            expected = [HangUpRequested("c1", str(number)) for number in range(5)]
            assert await n.reported() == expected
            assert later == expected
            assert n.plane.listener_errors == 5

    run(main())


def test_events_from_inside_a_listener_come_after_those_before(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open()
            n.plane.start_voice("c1", VoiceSpec("demo"))
            host = n.voices[0].host

            def echo_once(event: MediaEvent) -> None:
                if event == HangUpRequested("c1", "a"):
                    host.hang_up("c")

            n.plane.subscribe(echo_once)
            host.hang_up("a")
            host.hang_up("b")
            reasons = [getattr(event, "reason", "") for event in await n.reported()]
            assert reasons == ["a", "b", "c"]

    run(main())
