"""Hold, conference, another leg, release of the agents and figures, through the plane's door."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import websockets
from websockets.exceptions import ConnectionClosed

from ringback.audio import codec, tones, wav
from ringback.core.errors import LimitReached
from ringback.media import bridge
from ringback.media.plane import (
    DtmfReceived,
    MediaTimedOut,
    SessionReport,
    VoiceSpec,
)
from ringback.rtp.dtmf import DtmfSender
from ringback.rtp.packet import RtpPacket, RtpPacketizer
from unit.media.media_lab import (
    LOCALHOST,
    Node,
    Run,
    audio,
    front_door,
    node,
    phone_socket,
    receive,
)


class Phone:
    """The far end of one leg: sends one level, and says what it hears."""

    def __init__(self, sock: socket.socket, port: int, name: str = "PCMU", number: int = 0) -> None:
        self.sock = sock
        self.gateway = (LOCALHOST, port)
        self.codec = codec.create(name)
        self.number = number
        self.rtp = RtpPacketizer(port, 1, 1)

    def send(self, level: int, frames: int = 1) -> None:
        samples = self.codec.sample_rate // 50
        for _ in range(frames):
            self.send_pcm(struct.pack(f"<{samples}h", *[level] * samples))

    def send_pcm(self, frame: bytes) -> None:
        payload = self.codec.encode(frame)
        data = self.rtp.pack(self.number, payload, self.codec.clock_rate // 50)
        self.sock.sendto(data, self.gateway)

    def hears(self) -> list[np.ndarray[tuple[int], np.dtype[np.int16]]]:
        heard: list[np.ndarray[tuple[int], np.dtype[np.int16]]] = []
        while True:
            try:
                packet = RtpPacket.parse(self.sock.recv(2048))
            except BlockingIOError:
                return heard
            except ValueError:
                continue
            if packet.payload_type == self.number:
                heard.append(np.frombuffer(self.codec.decode(packet.payload), np.int16))

    def level(self) -> int:
        """The mean of the last packet heard."""
        heard = self.hears()
        return round(float(heard[-1].mean())) if heard else 0


async def call(n: Node, sock: socket.socket, name: str = "c1") -> Phone:
    opened = await n.open(name)
    n.plane.negotiate(name, audio(sock.getsockname()[1]))
    n.plane.activate(name)
    return Phone(sock, opened.rtp_port)


async def datagrams_read() -> None:
    """Loopback delivers at once; the loop reads, and lets go of sockets, in its next rounds."""
    for _ in range(10):
        await asyncio.sleep(0)


async def talk(n: Node, seconds: float, *phones: tuple[Phone, int]) -> None:
    for _ in range(round(seconds * 50)):
        for phone, level in phones:
            phone.send(level)
        await datagrams_read()
        n.ticker.run(0.02)


@pytest.mark.requirement("call.conference")
def test_people_of_joined_sessions_hear_each_other_until_they_part(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            with phone_socket() as a, phone_socket() as b:
                one, two = await call(n, a, "one"), await call(n, b, "two")
                n.plane.join("two", "one")
                await talk(n, 0.4, (one, 1000), (two, 3000))
                assert abs(one.level() - 3000) < 150
                assert abs(two.level() - 1000) < 100
                n.plane.part("two")
                await talk(n, 0.4, (one, 1000), (two, 3000))
                assert (one.level(), two.level()) == (0, 0)

    run(main())


@pytest.mark.requirement("call.conference")
def test_the_end_of_the_conference_leaves_the_others_in_their_own_calls(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            with phone_socket() as a, phone_socket() as b:
                await call(n, a, "one")
                two = await call(n, b, "two")
                n.plane.start_voice("two", VoiceSpec("demo"))
                n.plane.join("two", "one")
                await n.plane.close("one")
                n.voices[0].port.play(struct.pack("<h", 2000) * 16_000)
                await talk(n, 0.2, (two, 1000))
                assert abs(two.level() - 2000) < 150
                assert n.voices[0].frames == 10

    run(main())


def test_a_full_conference_takes_nobody(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "MAX_PARTICIPANTS", 2)

    async def main() -> None:
        async with node() as n:
            for name in ("one", "two", "three"):
                await n.open(name)
            n.plane.join("two", "one")
            with pytest.raises(LimitReached):
                n.plane.join("three", "one")
            n.plane.join("one", "gone")
            n.plane.join("gone", "one")
            n.plane.join("one", "one")

    run(main())


@pytest.mark.requirement("media.music-on-hold")
def test_a_held_person_hears_the_file_is_not_heard_and_comes_back(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "music.wav"
    with wav.WavWriter(path, 16000, channels=1) as writer:
        writer.write(struct.pack("<h", 5000) * 16_000)

    async def main() -> None:
        async with node() as n:
            with phone_socket() as sock:
                phone = await call(n, sock)
                n.plane.start_voice("c1", VoiceSpec("demo"))
                voice = n.voices[0]
                n.plane.hold("c1", str(path))
                assert voice.log == ["start", "stop speaking"]
                n.ticker.run(0.02)
                await n.plane.music.loaded()
                await talk(n, 0.3, (phone, 2000))
                assert abs(phone.level() - 5000) < 250
                n.plane.hold("c1", "")
                await talk(n, 0.1, (phone, 2000))
                assert phone.level() == 0
                n.plane.resume("c1")
                voice.port.play(struct.pack("<h", 3000) * 8000)
                await talk(n, 0.1, (phone, 2000))
                assert abs(phone.level() - 3000) < 150

    run(main())


@pytest.mark.requirement("media.music-on-hold")
def test_without_a_file_the_node_s_own_tune_plays(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            with phone_socket() as sock:
                phone = await call(n, sock)
                n.plane.hold("c1")
                n.ticker.run(0.02)
                await n.plane.music.loaded()
                n.ticker.run(0.4)
                heard = np.concatenate(phone.hears()).astype(float)
                assert np.sqrt(np.mean(heard**2)) > 500

    run(main())


@pytest.mark.requirement("media.timeout")
def test_while_either_side_holds_no_rtp_is_expected(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open(patience=5.0)
            n.plane.negotiate("c1", audio(4000))
            n.plane.activate("c1")
            n.plane.hold("c1", "")
            n.ticker.run(20)
            n.plane.set_hold("c1", True)
            n.plane.resume("c1")
            n.ticker.run(20)
            n.plane.set_hold("c1", False)
            n.ticker.run(4.9)
            assert await n.reported() == []
            n.ticker.run(0.2)
            (event,) = await n.reported()
            assert isinstance(event, MediaTimedOut)

    run(main())


def test_another_leg_takes_the_place_and_everything_else_stays(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with node() as n, front_door(n.plane) as url:
            with phone_socket() as a, phone_socket() as b:
                opened = await n.open("c1")
                n.plane.negotiate("c1", audio(a.getsockname()[1]))
                n.plane.activate("c1", str(tmp_path / "call.wav"))
                first = Phone(a, opened.rtp_port)
                async with websockets.connect(url) as ws:
                    await ws.send(json.dumps({"type": "audio_config", "receive": True}))
                    await receive(ws)
                    await talk(n, 0.2, (first, 1000))
                    second = await call(n, b, "temporary")
                    n.plane.set_hold("c1", True)
                    n.plane.take_leg("c1", "temporary")
                    assert await n.plane.report("temporary") is None
                    assert await n.plane.close("temporary") == SessionReport("temporary")
                    await ws.send(struct.pack("<h", 4000) * 16_000)
                    await asyncio.wait_for(await ws.ping(), 5)
                    await talk(n, 0.4, (second, 3000))
                    assert abs(second.level() - 4000) < 250
                    assert all(packet.mean() == 0 for packet in first.hears())
                    heard = [await ws.recv() for _ in range(30)]
                    last = np.frombuffer(bytes(heard[-1]), np.int16)  # type: ignore[arg-type]
                    assert abs(last.mean() - 3000) < 150
                report = await n.plane.close("c1")
                assert report.packets_received == 30
                assert report.recorded_ms == 600
                assert len(n.plane) == n.ports.counters.in_use == 0

    run(main())


@pytest.mark.requirement("media.wideband")
def test_a_leg_that_comes_brings_the_rate_of_its_codec(run: Run) -> None:
    async def main() -> None:
        async with node() as n, front_door(n.plane) as url:
            with phone_socket() as a, phone_socket() as b:
                await n.open("c1")
                n.plane.negotiate("c1", audio(a.getsockname()[1]))
                n.plane.activate("c1")
                async with websockets.connect(url) as ws:
                    await ws.send(json.dumps({"type": "audio_config", "receive": True}))
                    assert (await receive(ws))["sample_rate"] == 8000
                    await n.open("temporary")
                    n.plane.negotiate("temporary", audio(b.getsockname()[1], 9, "G722"))
                    n.plane.take_leg("c1", "temporary")
                    told = await receive(ws)
                    assert (told["type"], told["sample_rate"]) == ("audio_config", 16_000)

    run(main())


def test_the_ports_of_the_leg_that_went_are_given_back_once(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            await n.open("c1")
            await n.open("c2")
            n.plane.take_leg("c1", "c2")
            await datagrams_read()
            assert n.ports.counters.in_use == 1
            n.plane.take_leg("c1", "c1")
            n.plane.take_leg("c1", "gone")
            n.plane.take_leg("gone", "c1")
            await n.open("c2")
            assert len(n.plane) == n.ports.counters.in_use == 2

    run(main())


def test_keys_of_the_leg_that_came_are_told_in_the_name_of_the_call(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            with phone_socket() as a, phone_socket() as b:
                await call(n, a, "c1")
                port = (await n.open("c2")).rtp_port
                n.plane.negotiate("c2", audio(b.getsockname()[1], dtmf_payload_type=101))
                n.plane.set_hold("c1", True)
                n.plane.take_leg("c1", "c2")
                press(b, port, "7")
                assert await n.until(1) == [DtmfReceived("c1", "7", 160)]

    run(main())


def press(sock: socket.socket, port: int, digits: str) -> None:
    sender, rtp = DtmfSender(), RtpPacketizer(5, 5, 5)
    sender.send(digits)
    while (event := sender.tick(rtp.timestamp)) is not None or sender.busy:
        if event is not None:
            data = rtp.pack_at(event.timestamp, 101, event.payload, event.marker)
            sock.sendto(data, (LOCALHOST, port))
        rtp.skip(160)


@pytest.mark.requirement("media.dtmf-once")
@pytest.mark.requirement("media.dtmf-inband")
def test_a_key_that_comes_as_event_tone_and_info_is_one(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            with phone_socket() as sock:
                phone = await call(n, sock)
                n.plane.negotiate("c1", audio(sock.getsockname()[1], dtmf_payload_type=101))
                tone = tones.dtmf("5", 100, 8000) + tones.silence(100, 8000)
                for at in range(0, len(tone), 320):
                    data = phone.rtp.pack(0, phone.codec.encode(tone[at : at + 320]), 160)
                    sock.sendto(data, phone.gateway)
                    await datagrams_read()
                    n.ticker.run(0.02)
                n.ticker.run(0.1)
                assert [event.digit for event in keys(await n.reported())] == ["5"]
                n.plane.dtmf("c1", "5", 100)
                n.ticker.run(0.2)
                assert [event.digit for event in keys(await n.reported())] == ["5"]
                n.plane.dtmf("c1", "5", 100)
                assert [event.digit for event in keys(await n.reported())] == ["5", "5"]

    run(main())


def keys(events: object) -> list[DtmfReceived]:
    assert isinstance(events, list)
    return [event for event in events if isinstance(event, DtmfReceived)]


def test_released_agents_leave_and_the_people_go_on(run: Run) -> None:
    async def main() -> None:
        async with node() as n, front_door(n.plane) as url:
            with phone_socket() as a, phone_socket() as b:
                one, two = await call(n, a, "c1"), await call(n, b, "c2")
                n.plane.start_voice("c1", VoiceSpec("demo"))
                n.plane.join("c2", "c1")
                async with websockets.connect(url) as ws:
                    n.plane.detach_agents("c1")
                    with pytest.raises(ConnectionClosed):
                        await asyncio.wait_for(ws.recv(), 5)
                    assert ws.close_code == 1000
                assert n.voices[0].log[:2] == ["start", "detached"]
                await talk(n, 0.3, (one, 1000), (two, 3000))
                assert abs(one.level() - 3000) < 150
                n.plane.say("c1", "nobody says this")
                n.plane.start_voice("c1", VoiceSpec("demo"))
                assert n.voices[1].log == ["start"]

    run(main())


@pytest.mark.requirement("media.wideband")
@pytest.mark.parametrize(
    ("name", "number", "rate", "hz"), [("G722", 9, 16_000, 5500), ("opus", 96, 48_000, 9000)]
)
def test_wideband_reaches_the_agent_as_wideband_and_the_stream_is_told(
    run: Run, name: str, number: int, rate: int, hz: int
) -> None:
    if name not in codec.names():
        pytest.skip(codec.missing()[name])

    async def main() -> None:
        async with node() as n, front_door(n.plane) as url:
            with phone_socket() as sock:
                opened = await n.open("c1")
                n.plane.negotiate("c1", audio(sock.getsockname()[1]))
                n.plane.activate("c1")
                async with websockets.connect(url) as ws:
                    await ws.send(json.dumps({"type": "audio_config", "receive": True}))
                    assert (await receive(ws))["sample_rate"] == 8000
                    wide = Phone(sock, opened.rtp_port, name, number)
                    n.plane.negotiate("c1", audio(sock.getsockname()[1], number, name))
                    told = await receive(ws)
                    assert (told["type"], told["sample_rate"]) == ("audio_config", rate)
                    assert told["native_sample_rate"] == rate
                    tone, frame = tones.sine(hz, 600, rate), rate // 25
                    heard = b""
                    for at in range(0, len(tone), frame):
                        wide.send_pcm(tone[at : at + frame])
                        await datagrams_read()
                        n.ticker.run(0.02)
                        heard += bytes(await ws.recv())  # type: ignore[arg-type]
                    tail = heard[-10 * frame :]
                    assert tones.goertzel(tail, hz, rate) > -26
                    assert tones.goertzel(tail, hz / 2, rate) < -50

    run(main())


def test_a_client_that_chose_its_rate_keeps_it(run: Run) -> None:
    async def main() -> None:
        async with node() as n, front_door(n.plane) as url:
            await n.open("c1")
            n.plane.negotiate("c1", audio(4000))
            async with websockets.connect(url) as ws:
                await ws.send(json.dumps({"type": "audio_config", "sample_rate": 24000}))
                await receive(ws)
                n.plane.negotiate("c1", audio(4000, number=9, codec="G722"))
                told = await receive(ws)
                assert (told["sample_rate"], told["native_sample_rate"]) == (24000, 16000)

    run(main())


@pytest.mark.requirement("media.mos")
def test_the_report_has_the_figures_before_and_after_the_end(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            with phone_socket() as sock:
                phone = await call(n, sock)
                live = await n.plane.report("c1")
                assert live is not None
                assert (live.mos, live.codec, live.security) == (None, "PCMU", "none")
                await talk(n, 1.0, (phone, 1000))
                for _ in range(5):
                    phone.rtp.pack(0, bytes(160), 160)
                await talk(n, 1.0, (phone, 1000))
                live = await n.plane.report("c1")
                assert live is not None
                assert live.mos is not None
                assert 2.5 < live.mos < 4.2
                report = await n.plane.close("c1")
                assert report == live
                assert (report.packets_lost, report.remote_mos) == (5, None)
                assert report.buffer_ms > 0
            assert await n.plane.report("c1") is None

    run(main())


@pytest.mark.requirement("ops.quality-metrics")
def test_who_watches_quality_sees_answered_calls_with_media_once(run: Run) -> None:
    async def main() -> None:
        seen: list[SessionReport] = []
        async with node(seen.append) as n:
            with phone_socket() as sock:
                await n.open("never answered")
                await n.open("never negotiated")
                n.plane.activate("never negotiated")
                await call(n, sock)
                for name in ("never answered", "never negotiated"):
                    await n.plane.close(name)
                assert seen == []
                report = await n.plane.close("c1")
        assert seen == [report]

    run(main())
