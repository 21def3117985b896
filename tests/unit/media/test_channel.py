"""Messages between two processes: whole, in order, and none lost."""

from __future__ import annotations

import asyncio
import errno
import os
import pickle
import socket
from enum import IntEnum, StrEnum
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.core.end_reason import EndReason
from ringback.media import channel as channel_module
from ringback.media import plane
from ringback.media.metrics import MediaCounters
from ringback.media.pacer import PacerCounters
from ringback.media.worker_messages import (
    MESSAGE_TYPES,
    Answer,
    Ask,
    Attach,
    Command,
    Configure,
    Event,
    Figures,
    Link,
    Observed,
    Ready,
    Refused,
    Stop,
)
from unit.media.channel_lab import Side, descriptors, framed, listener, pair, rounds
from unit.media.media_lab import Run

AUDIO = plane.NegotiatedAudio(
    plane.RtpAddress("2001:db8::1", 4000),
    "PCMU",
    0,
    security=plane.SdesSecurity("AES_CM_128_HMAC_SHA1_80", b"\0" * 30, b"\xff" * 30),
)
EXAMPLES: tuple[object, ...] = (
    Configure("media-1", 10000, 10999, "info", True),
    Ready(),
    Ask(7, "open", (plane.OpenSession("c1", "::1", 3.5, "c0"),)),
    Answer(7, plane.SessionOpened("c1", 10000, 10001, ("sha-256", "AA:BB"))),
    Refused(8, "limit", "Too many.", "conference_full", "Wait.", "digits"),
    Command("negotiate", ("c1", AUDIO)),
    Attach("c1", b"GET / HTTP/1.1\r\n\r\n"),
    Link("c1", "c2"),
    Event(plane.StreamCommand("c1", "s1", {"type": "say", "deep": [1, 2.5, None, {"a": True}]})),
    Observed(plane.SessionReport("c1", 1, 2, 3, 4, 5, 6.5, 7.5, "PCMU", recording="/r.wav")),
    Figures(MediaCounters(packets_sent=3), PacerCounters(1, 2, 3, 4, 5, 6), 5, 6, 7.5, 8.5),
    Stop(),
    plane.RtpAddress("192.0.2.1", 1),
    plane.SdesSecurity("s", b"a", b"b"),
    plane.DtlsSecurity(True, (("sha-256", "AA"),)),
    AUDIO,
    plane.OpenSession("c1"),
    plane.SessionOpened("c1", 1, 2),
    plane.VoiceSpec("demo", {"greeting": "Grüß Gott"}),
    plane.SessionReport("c1"),
    plane.DtmfReceived("c1", "#", 100),
    plane.MediaTimedOut("c1", 60.5),
    plane.MediaFailed("c1", EndReason.MEDIA_LOST, "It died."),
    plane.TranscriptLine("c1", "caller", "hello", 1, 2),
    plane.HangUpRequested("c1", "agent_hangup"),
    plane.StreamCommand("c1", "s1", {}),
    plane.StreamAttached("c1", "s1"),
    plane.StreamDetached("c1", "s1", 1000),
    MediaCounters(packets_received=1, music_failures=2),
    PacerCounters(1, 2, 3, 4, 5, 6),
)


def test_every_type_has_an_example() -> None:
    assert {type(each) for each in EXAMPLES} == set(MESSAGE_TYPES)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda each: type(each).__name__)
def test_a_message_comes_out_as_it_went_in(run: Run, message: object) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            one.channel.send(message)
            assert await other.came(1) == [message]
            assert type(other.messages[0]) is type(message)

    run(main())


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.lists(
        st.one_of(
            st.builds(plane.StreamCommand, st.text(), st.text(), st.dictionaries(st.text(), PLAIN)),
            st.builds(Answer, st.integers(), PLAIN),
            st.builds(Attach, st.text(), st.binary()),
            *(
                st.from_type(each)
                for each in (
                    Configure,
                    Refused,
                    Link,
                    plane.RtpAddress,
                    plane.SdesSecurity,
                    plane.DtlsSecurity,
                    plane.OpenSession,
                    plane.SessionOpened,
                    plane.DtmfReceived,
                    plane.TranscriptLine,
                )
            ),
        ),
        max_size=8,
    )
)
def test_any_messages_come_out_in_order(messages: list[object]) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            for each in messages:
                one.channel.send(each)
            assert await other.came(len(messages)) == messages

    asyncio.run(main())


class _Colour(StrEnum):
    RED = "red"


class _Code(IntEnum):
    OK = 1000


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (_Colour.RED, "red"),
        (_Code.OK, 1000),
        (np.float64(2.5), 2.5),
        (MappingProxyType({"a": _Colour.RED}), {"a": "red"}),
    ],
)
def test_what_is_nearly_plain_becomes_so(run: Run, value: object, plain: object) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            one.channel.send(Answer(1, value))
            (answer,) = await other.came(1)
            assert isinstance(answer, Answer)
            assert answer.value == plain
            assert type(answer.value) is type(plain)

    run(main())


@pytest.mark.parametrize(
    "nonsense",
    [object(), os.system, Side, _Colour, ..., NotImplemented, np.zeros(1), 1j],
    ids=repr,
)
def test_what_is_no_message_is_refused_where_it_comes_from(run: Run, nonsense: object) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            for message in (nonsense, Answer(1, nonsense), Answer(1, [{"a": (nonsense,)}])):
                with pytest.raises(TypeError):
                    one.channel.send(message)
            one.channel.send(Ready())
            assert await other.came(1) == [Ready()]

    run(main())


def test_what_is_too_long_is_refused_where_it_comes_from(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "MAX_MESSAGE", 1000)

    async def main() -> None:
        async with pair() as (one, other):
            with pytest.raises(ValueError, match="bytes"):
                one.channel.send(Answer(1, bytes(1000)))
            one.channel.send(Answer(1, bytes(800)))
            assert await other.came(1) == [Answer(1, bytes(800))]

    run(main())


def test_messages_of_megabytes_go_through_a_small_buffer_with_small_ones_between(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            one.channel._connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sent: list[object] = []
            for number in range(3):
                sent += [Answer(number, os.urandom(3_000_000)), Ready(), Link("a", str(number))]
            for each in sent:
                one.channel.send(each)
            assert await other.came(len(sent)) == sent

    run(main())


def test_many_small_messages_come_in_order_both_ways_at_once(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            for number in range(5000):
                one.channel.send(Answer(number, "x"))
                other.channel.send(Answer(-number, "y"))
            assert await other.came(5000) == [Answer(each, "x") for each in range(5000)]
            assert await one.came(5000) == [Answer(-each, "y") for each in range(5000)]

    run(main())


def test_a_message_may_come_byte_by_byte(run: Run) -> None:
    async def main() -> None:
        async with listener() as (bare, side):
            for byte in framed(pickle.dumps(Link("a", "b"), 5)):
                bare.send(bytes([byte]))
                await rounds()
            assert await side.came(1) == [Link("a", "b")]

    run(main())


def test_flushed_waits_for_the_last_byte_and_no_longer(run: Run) -> None:
    async def main() -> None:
        before = len(descriptors())
        ours, theirs = socket.socketpair()
        one = Side(ours)
        await one.channel.flushed()
        one.channel.send(Answer(1, bytes(2_000_000)))
        waiting = asyncio.ensure_future(one.channel.flushed())
        await rounds()
        assert not waiting.done()
        other = Side(theirs)
        await asyncio.wait_for(waiting, 5)
        assert await other.came(1)
        one.channel.close()
        await other.broken()
        assert len(descriptors()) == before

    run(main())


def test_what_the_receiver_raises_costs_that_message_only(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            other.fails_on = Link("b", "b")
            sent = [Link(name, name) for name in "abc"]
            for each in sent:
                one.channel.send(each)
            assert await other.came(3) == sent
            one.channel.send(Ready())
            assert await other.came(4) == [*sent, Ready()]
            assert other.ends == 0

    run(main())
    assert "Link failed" in caplog.text


# ---- the end -------------------------------------------------------------------------------


def test_the_end_of_the_other_side_is_told_once_after_its_last_message(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            for number in range(100):
                one.channel.send(Answer(number, bytes(1000)))
            await one.channel.flushed()
            one.channel.close()
            one.channel.close()
            await other.broken()
            assert len(other.messages) == 100
            assert one.ends == 0

    run(main())


def test_the_end_is_never_told_from_inside_a_send(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            one.channel._loop.remove_reader(one.channel._connection)
            other.channel.close()
            one.channel.send(Ready())
            assert one.ends == 0
            await one.broken()

    run(main())


def test_the_end_is_not_told_to_who_has_closed(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            one.channel._loop.remove_reader(one.channel._connection)
            other.channel.close()
            one.channel.send(Ready())
            one.channel.close()
            await rounds()
            assert one.ends == 0

    run(main())


def test_who_does_not_read_is_given_up(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channel_module, "MAX_QUEUED", 1_000_000)

    async def main() -> None:
        before = len(descriptors())
        ours, deaf = socket.socketpair()
        one = Side(ours)
        with deaf:
            one.channel.send(Answer(1, bytes(900_000)))
            await rounds()
            assert one.ends == 0
            for _ in range(8):
                one.channel.send(Answer(1, bytes(900_000)))
            await one.broken()
        assert len(descriptors()) == before

    run(main())
    assert "does not read" in caplog.text


def test_a_read_that_fails_is_the_end(run: Run) -> None:
    class Broken(socket.socket):
        def recvmsg(self, *args: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
            raise OSError(errno.ECONNRESET, "reset")

    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            side = Side(Broken(fileno=ours.detach()))
            theirs.send(b"x")
            await side.broken()

    run(main())
