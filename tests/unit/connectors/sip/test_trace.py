"""Which signalling is kept, and how little of it a flood can displace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ringback.connectors.sip import trace
from ringback.connectors.sip.trace import TraceBook
from ringback.sip.transport import Flow, Hop

PEER = Flow(Hop("udp", "203.0.113.7", 5062))


class Addresses:
    def advertised(self, hop: Hop) -> tuple[str, int]:
        return "198.51.100.1", 5060


class Wall:
    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at


def book() -> TraceBook:
    return TraceBook(Addresses(), Wall())


def invite(call_id: str, extra: str = "", method: str = "INVITE") -> bytes:
    return (
        f"{method} sip:bob@example.com SIP/2.0\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n"
        f"{extra}\r\n"
    ).encode()


def test_what_came_before_a_call_took_it_is_kept_with_the_call() -> None:
    kept = book()
    kept.tap(False, invite("a"), PEER)
    kept.tap(True, b"SIP/2.0 100 Trying\r\ni: a\r\nCSeq: 1 INVITE\r\n\r\n", PEER)
    assert kept.of_call("call_1") == ()
    kept.adopt("a", "call_1")
    kept.tap(True, b"SIP/2.0 180 Ringing\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\r\n", PEER)
    found = kept.of_call("call_1")
    assert [(m.outgoing, m.data[:11]) for m in found] == [
        (False, b"INVITE sip:"),
        (True, b"SIP/2.0 100"),
        (True, b"SIP/2.0 180"),
    ]
    assert (found[0].local, found[0].remote) == ("198.51.100.1:5060", "203.0.113.7:5062")
    assert found == kept.of(["a", "unknown"])


def test_retransmissions_are_kept_as_they_came() -> None:
    kept = book()
    kept.adopt("a", "call_1")
    for _ in range(3):
        kept.tap(False, invite("a"), PEER)
    assert len(kept.of_call("call_1")) == 3


def test_messages_of_nobodys_call_are_not_kept() -> None:
    kept = book()
    kept.tap(False, invite("reg", method="REGISTER"), PEER)
    kept.tap(False, b"garbage", PEER)
    assert kept.unconfirmed == 0


def test_a_flood_of_strangers_displaces_strangers_only() -> None:
    kept = book()
    kept.tap(False, invite("mine"), PEER)
    kept.adopt("mine", "call_1")
    for number in range(10 * trace.MAX_UNCONFIRMED):
        kept.tap(False, invite(f"stranger-{number}"), PEER)
    for _ in range(10 * trace.MAX_UNCONFIRMED_MESSAGES):
        kept.tap(False, invite("stranger-639"), PEER)
    assert kept.unconfirmed == trace.MAX_UNCONFIRMED
    assert kept.counters.displaced == 9 * trace.MAX_UNCONFIRMED
    assert len(kept.of_call("call_1")) == 1
    kept.adopt("stranger-639", "call_2")
    assert len(kept.of_call("call_2")) == trace.MAX_UNCONFIRMED_MESSAGES


def test_of_a_call_with_many_messages_the_first_and_the_last_are_kept() -> None:
    kept = book()
    kept.adopt("a", "call_1")
    total = trace.MAX_MESSAGES + 3 * trace.MAX_LAST
    for number in range(total):
        kept.tap(False, invite("a", f"X-N: {number}\r\n"), PEER)
    numbers = [int(m.data.split(b"X-N: ")[1]) for m in kept.of_call("call_1")]
    assert numbers == [*range(trace.MAX_MESSAGES), *range(total - trace.MAX_LAST, total)]
    assert kept.counters.left_out == 2 * trace.MAX_LAST


def test_of_a_giant_message_the_beginning_is_kept() -> None:
    kept = book()
    kept.adopt("a", "call_1")
    kept.tap(False, invite("a", "X: " + "y" * 60_000 + "\r\n"), PEER)
    assert [len(m.data) for m in kept.of_call("call_1")] == [trace.MAX_MESSAGE_BYTES]
    assert kept.counters.truncated == 1


@pytest.mark.requirement("ops.ladder")
def test_secrets_are_masked_before_they_are_stored() -> None:
    kept = book()
    kept.tap(True, invite("a", 'Authorization: Digest response="0123"\r\n'), PEER)
    kept.adopt("a", "call_1")
    assert b'response="****"' in kept.of_call("call_1")[0].data


def test_the_legs_of_one_call_are_one_story() -> None:
    kept = book()
    kept.adopt("a", "call_1")
    kept.adopt("b", "call_1")
    kept.tap(True, invite("a"), PEER)
    kept.tap(True, invite("b"), PEER)
    kept.tap(True, invite("a", method="BYE"), PEER)
    assert [m.data.split()[0] for m in kept.of_call("call_1")] == [b"INVITE", b"INVITE", b"BYE"]
    for number in range(2 * trace.MAX_DIALOGS_PER_CALL):
        kept.adopt(f"fork-{number}", "call_1")
    assert kept.counters.dialogs_refused == trace.MAX_DIALOGS_PER_CALL + 2


def test_a_finished_call_makes_room_before_a_live_one() -> None:
    kept = book()
    for number in range(trace.MAX_FINISHED + 10):
        kept.adopt(f"id-{number}", f"call_{number}")
        if number:
            kept.finish(f"call_{number}")
    assert kept.calls == trace.MAX_FINISHED + 1
    kept.tap(False, invite("id-0"), PEER)
    assert len(kept.of_call("call_0")) == 1
    assert kept.of_call("call_1") == ()
    kept.tap(False, invite("id-1"), PEER)
    assert kept.of_call("call_1") == ()
