"""A call's signalling: drawn, as a capture file, and kept after the call."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from ringback.calls import signalling
from ringback.calls.ladder import ladder, summary
from ringback.calls.pcap import pcap
from ringback.calls.signalling import packed, unpacked
from ringback.connectors.contract import TracedMessage
from unit.calls.fakes import START, CallLab, FakeLeg
from unit.calls.rest import run

LOCAL = "198.51.100.1:5060"
PROVIDER = "203.0.113.7:5062"
OTHER = "[2001:db8::7]:5070"


def wire(start: str, cseq: str, body: str = "") -> bytes:
    kind = "Content-Type: application/sdp\r\n" if body else ""
    fields = (
        "Via: SIP/2.0/UDP 203.0.113.7:5062;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
        f"From: <sip:a@x>;tag=1\r\nTo: <sip:b@y>\r\nCall-ID: abc\r\nCSeq: {cseq}\r\n{kind}"
    )
    return f"{start}\r\n{fields}Content-Length: {len(body)}\r\n\r\n{body}".encode()


SDP = "v=0\r\no=- 1 1 IN IP4 203.0.113.7\r\ns=-\r\nc=IN IP4 203.0.113.7\r\nt=0 0\r\n"
INVITE = wire("INVITE sip:+33123456789@198.51.100.1 SIP/2.0", "1 INVITE", SDP)
TRYING = wire("SIP/2.0 100 Trying", "1 INVITE")
OK = wire("SIP/2.0 200 OK", "1 INVITE", SDP)
BYE = wire("BYE sip:a@203.0.113.7 SIP/2.0", "2 BYE")


DRAWN = Path(__file__).with_name("ladder.txt").read_text(encoding="utf-8")


def story() -> list[TracedMessage]:
    def message(
        ms: int, outgoing: bool, data: bytes, remote: str = PROVIDER, transport: str = "udp"
    ) -> TracedMessage:
        at = START + timedelta(milliseconds=ms)
        return TracedMessage(at, outgoing, transport, LOCAL, remote, data)

    return [
        message(0, False, INVITE),
        message(2, True, TRYING),
        message(500, False, INVITE),
        message(900, True, OK),
        message(1000, True, INVITE, OTHER, "tls"),
        message(4000, True, BYE),
    ]


@pytest.mark.requirement("ops.ladder")
def test_the_ladder_shows_who_said_what_to_whom() -> None:
    assert ladder(story()) == DRAWN


def test_a_line_that_is_too_long_or_not_printable_does_not_break_the_drawing() -> None:
    odd = TracedMessage(START, True, "udp", LOCAL, PROVIDER, b"X\x00\x1b[31m" + b"y" * 500)
    line = ladder([odd]).splitlines()[-1]
    assert line.isprintable()
    assert line.endswith("...->|") or "..." in line
    assert ladder([]) == ""
    assert summary(b"") == ""


@pytest.mark.requirement("ops.pcap")
def test_the_capture_has_right_lengths_and_checksums() -> None:
    data = pcap(story())
    assert struct.unpack_from("<IHH", data) == (0xA1B2C3D4, 2, 4)
    position, packets = 24, 0
    while position < len(data):
        seconds, micros, kept, original = struct.unpack_from("<IIII", data, position)
        packet = data[position + 16 : position + 16 + kept]
        assert kept == original == len(packet)
        assert (seconds + micros / 1e6) == pytest.approx(story()[packets].at.timestamp(), abs=1e-5)
        if packet[0] >> 4 == 4:
            assert _sum(packet[:20]) == 0xFFFF
            pseudo, datagram = packet[12:20], packet[20:]
        else:
            pseudo, datagram = packet[8:40], packet[40:]
        assert _sum(pseudo + struct.pack("!HH", len(datagram), 17) + datagram) == 0xFFFF
        assert datagram[8:] == story()[packets].data
        position += 16 + kept
        packets += 1
    assert packets == len(story())


def _sum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.requirement("ops.pcap")
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_the_capture_as_sip(tmp_path: Path) -> None:
    file = tmp_path / "call.pcap"
    file.write_bytes(pcap(story()))
    fields = ["-e", "sip.Method", "-e", "sip.Status-Code", "-e", "udp.srcport"]
    checks = ["-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    read = subprocess.run(
        ["tshark", "-n", "-r", str(file), *checks, "-T", "fields", *fields],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [line.split("\t") for line in read.stdout.splitlines()] == [
        ["INVITE", "", "5062"],
        ["", "100", "5060"],
        ["INVITE", "", "5062"],
        ["", "200", "5060"],
        ["INVITE", "", "5060"],
        ["BYE", "", "5060"],
    ]


def test_what_is_stored_comes_back_byte_for_byte() -> None:
    odd = TracedMessage(START, False, "tcp", LOCAL, OTHER, bytes(range(256)))
    assert unpacked(packed([*story(), odd])) == [*story(), odd]


class TracingLeg:
    """Gives a leg of the lab something to tell."""

    def __init__(self, leg: FakeLeg, monkeypatch: pytest.MonkeyPatch) -> None:
        self.messages: Sequence[TracedMessage] = story()[:2]
        monkeypatch.setattr(type(leg), "trace", lambda _: self.messages)


def test_a_live_call_shows_what_went_over_the_wire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        leg = await lab.connector.call_in(auto_answer=True)
        TracingLeg(leg, monkeypatch)
        await lab.settle()
        answer = (await api.get(f"/api/call/{leg.call_id}/sip")).json()
        assert answer["call_id"] == leg.call_id
        first, second = answer["messages"]
        assert (first["direction"], first["from"], first["to"]) == ("received", PROVIDER, LOCAL)
        assert (second["direction"], second["from"], second["to"]) == ("sent", LOCAL, PROVIDER)
        assert first["summary"] == "INVITE sip:+33123456789@198.51.100.1 SIP/2.0"
        assert first["text"] == INVITE.decode()
        assert (first["transport"], first["at"]) == ("udp", "2026-03-13T10:00:00Z")

    run(tmp_path, body)


@pytest.mark.requirement("ops.ladder", "ops.pcap")
def test_a_finished_call_keeps_its_signalling_with_the_last_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        leg = await lab.connector.call_in(auto_answer=True)
        tracing = TracingLeg(leg, monkeypatch)
        await lab.settle()
        path = f"/api/call/{leg.call_id}/sip"
        await api.delete(f"/api/call/{leg.call_id}")
        await lab.settle()
        assert len((await api.get(path)).json()["messages"]) == 2
        tracing.messages = story()  # the answer to the BYE came after the end
        lab.time.pass_by(signalling.SETTLE_SECONDS)
        await lab.settle()
        tracing.messages = []
        assert lab.control.signalling.pending == 0
        assert lab.control.signalling.counters.stored == 1
        assert len((await api.get(path)).json()["messages"]) == len(story())
        drawn = await api.get(path, headers={"Accept": "text/plain"})
        assert drawn.headers["content-type"].startswith("text/plain")
        assert drawn.text == ladder(story())
        capture = await api.get(f"{path}.pcap")
        assert capture.headers["content-type"] == "application/vnd.tcpdump.pcap"
        assert capture.content == pcap(story())

    run(tmp_path, body)


def test_a_stop_stores_what_had_no_time_to_settle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        leg = await lab.connector.call_in(auto_answer=True)
        TracingLeg(leg, monkeypatch)
        await lab.settle()
        await api.delete(f"/api/call/{leg.call_id}")
        await lab.settle()
        await lab.control.signalling.stop()
        assert lab.control.signalling.counters.stored == 1

    run(tmp_path, body)


def test_what_cannot_be_stored_is_tried_again_and_then_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        store = lab.control.signalling
        leg = await lab.connector.call_in(auto_answer=True)
        TracingLeg(leg, monkeypatch)
        await lab.settle()
        monkeypatch.setattr(signalling, "packed", _broken)
        await api.delete(f"/api/call/{leg.call_id}")
        await lab.settle()
        lab.time.pass_by(signalling.SETTLE_SECONDS)
        for _ in range(signalling.ATTEMPTS):
            assert store.counters.lost == 0
            await lab.settle()
            lab.time.pass_by(signalling.RETRY_SECONDS)
        assert (store.counters.lost, store.pending) == (1, 0)

    run(tmp_path, body)


def _broken(messages: Sequence[TracedMessage]) -> bytes:
    raise OSError("the disk is full")


def test_another_account_learns_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        lab.connector.account_id = "acct_other"
        leg = await lab.connector.call_in(auto_answer=True)
        TracingLeg(leg, monkeypatch)
        for path in ("sip", "sip.pcap"):
            answer = await api.get(f"/api/call/{leg.call_id}/{path}")
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "call_not_found"

    run(tmp_path, body)
