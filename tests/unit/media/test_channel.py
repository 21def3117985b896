"""Messages and open files between two processes: nothing lost, nothing else made, nothing leaked."""

from __future__ import annotations

import array
import asyncio
import contextlib
import errno
import os
import pickle
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.core.end_reason import EndReason
from ringback.media import channel as channel_module
from ringback.media import plane
from ringback.media.channel import Channel
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
from unit.media.media_lab import Run

HEAD = struct.Struct("!IB")
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
    Figures(MediaCounters(packets_sent=3), PacerCounters(1, 2, 3, 4), 5, 6, 7.5, 8.5),
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
    PacerCounters(1, 2, 3, 4),
)


class Side:
    """One end, and what came out of it."""

    def __init__(self, connection: socket.socket) -> None:
        self.messages: list[object] = []
        self.files: list[socket.socket] = []
        self.ends = 0
        self.fails_on: object = None
        self._changed = asyncio.Event()
        self.channel = Channel(connection, MESSAGE_TYPES, self._received, self._closed)

    def _received(self, message: object, files: Sequence[int]) -> None:
        self.messages.append(message)
        self.files += [socket.socket(fileno=each) for each in files]
        self._changed.set()
        if self.fails_on is not None and message == self.fails_on:
            raise RuntimeError("as the test wants it")

    def _closed(self) -> None:
        self.ends += 1
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def came(self, count: int) -> list[object]:
        await self.until(lambda: len(self.messages) >= count)
        return self.messages

    async def broken(self) -> None:
        """It ends, and only once."""
        await self.until(lambda: self.ends > 0)
        await rounds()
        assert self.ends == 1


async def rounds() -> None:
    """What the loop has to do is done after some rounds."""
    for _ in range(10):
        await asyncio.sleep(0)


def descriptors() -> set[str]:
    """Those of this process that are open."""
    return {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[Side, Side]]:
    """Two ends; no descriptor is left over."""
    before = len(descriptors())
    one, other = (Side(each) for each in socket.socketpair())
    try:
        yield one, other
    finally:
        for side in (one, other):
            side.channel.close()
            for each in side.files:
                each.close()
    assert len(descriptors()) == before


@contextlib.asynccontextmanager
async def listener() -> AsyncIterator[tuple[socket.socket, Side]]:
    """A bare socket, and the channel that hears it."""
    before = len(descriptors())
    bare, theirs = socket.socketpair()
    side = Side(theirs)
    try:
        with bare:
            bare.setblocking(False)
            yield bare, side
    finally:
        side.channel.close()
        for each in side.files:
            each.close()
    assert len(descriptors()) == before


def framed(body: bytes, files: int = 0) -> bytes:
    return HEAD.pack(len(body), files) + body


# ---- messages -------------------------------------------------------------------------------


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


# ---- files ----------------------------------------------------------------------------------


def test_files_come_with_their_messages_and_work(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            mine: list[socket.socket] = []
            for number in range(20):
                one.channel.send(Ready())
                keep, give = socket.socketpair()
                mine.append(keep)
                one.channel.send(Attach(str(number), bytes(number)), [give])
            await other.came(40)
            assert [each for each in other.messages if isinstance(each, Attach)] == [
                Attach(str(number), bytes(number)) for number in range(20)
            ]
            for number, (keep, got) in enumerate(zip(mine, other.files, strict=True)):
                got.send(str(number).encode())
                assert keep.recv(10) == str(number).encode()
                assert not got.get_inheritable()
                keep.close()

    run(main())


def test_a_message_may_have_several_files(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            both = [socket.socketpair() for _ in range(channel_module.MAX_FILES)]
            one.channel.send(Link("a", "b"), [give for _, give in both])
            await other.came(1)
            for (keep, _), got in zip(both, other.files, strict=True):
                keep.send(b"x")
                assert got.recv(1) == b"x"
                keep.close()
            too_many = [socket.socket() for _ in range(channel_module.MAX_FILES + 1)]
            with pytest.raises(ValueError, match="files"):
                one.channel.send(Ready(), too_many)
            for each in too_many:
                each.close()

    run(main())


def test_files_wait_behind_megabytes(run: Run) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            one.channel.send(Answer(1, bytes(2_000_000)))
            keep, give = socket.socketpair()
            one.channel.send(Attach("c1", bytes(1_000_000)), [give])
            await other.came(2)
            other.files[0].send(b"x")
            assert keep.recv(1) == b"x"
            keep.close()

    run(main())


@pytest.mark.parametrize("gone", ["closed", "other side"])
def test_files_that_cannot_go_any_more_are_closed(run: Run, gone: str) -> None:
    async def main() -> None:
        async with pair() as (one, other):
            one.channel.send(Answer(1, bytes(2_000_000)))
            keep, give = socket.socketpair()
            one.channel.send(Attach("c1", b""), [give])
            (one if gone == "closed" else other).channel.close()
            await one.until(lambda: gone == "closed" or one.ends == 1)
            late, later = socket.socketpair()
            one.channel.send(Attach("c1", b""), [later])
            for each in (keep, late):
                each.settimeout(5)
                assert each.recv(1) == b""
                each.close()
            await one.channel.flushed()

    run(main())


def test_without_room_for_a_file_its_message_is_lost_and_no_other(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """Too many open files: the kernel leaves the file out (unix(7), MSG_CTRUNC)."""

    class Full(socket.socket):
        def recvmsg(self, *args: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
            data, ancillary, flags, address = super().recvmsg(*args)
            for _, _, content in ancillary:
                os.close(array.array("i", content)[0])
                return data, [], flags | socket.MSG_CTRUNC, address
            return data, [], flags, address

    async def main() -> None:
        before = len(descriptors())
        ours, theirs = socket.socketpair()
        one, other = Side(ours), Side(Full(fileno=theirs.detach()))
        keep, give = socket.socketpair()
        one.channel.send(Ready())
        one.channel.send(Attach("c1", b""), [give])
        one.channel.send(Link("a", "b"))
        assert await other.came(2) == [Ready(), Link("a", "b")]
        assert keep.recv(1) == b""
        keep.close()
        one.channel.close()
        await other.broken()
        assert len(descriptors()) == before

    run(main())
    assert "no room" in caplog.text


# ---- what is no message ---------------------------------------------------------------------


ran: list[str] = []


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, ("exit 3",)


class _Append:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return ran.append, ("x",)


@dataclass(frozen=True, slots=True)
class _Foreign:
    value: int


def _class_changed() -> bytes:
    """Sets an attribute of a message class, not of a message."""
    return b"\x80\x04cringback.media.metrics\nMediaCounters\n(N(Vadd\nI1\ndtb."


FOREIGN = {
    "os.system": framed(pickle.dumps(_Bomb())),
    "inside a message": framed(pickle.dumps(Answer(1, _Bomb()))),
    "a method": framed(pickle.dumps(_Append())),
    "another dataclass": framed(pickle.dumps(_Foreign(1))),
    "a class by another way": framed(b"\x80\x04cringback.media.channel\nos.system\n."),
    "a name that is dotted": framed(b"\x80\x04\x8c\x08builtins\x8c\x0cstr.__init__\x93."),
    "a plain name elsewhere": framed(b"\x80\x04cos\nstr\n."),
    "a change of a class": framed(_class_changed()),
    "rubbish": framed(b"rubbish"),
    "nothing": framed(b""),
    "a cut pickle": framed(pickle.dumps(Link("a", "b"))[:-3]),
    "too long": HEAD.pack(channel_module.MAX_MESSAGE + 1, 0),
    "missing files": framed(pickle.dumps(Ready()), 1),
    "too many files": framed(pickle.dumps(Ready()), 255),
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_is_no_message_closes_the_channel_once_and_runs_nothing(
    run: Run, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_add = MediaCounters.add
    ran.clear()
    monkeypatch.setattr(os, "system", ran.append)

    async def main() -> None:
        async with listener() as (bare, side):
            bare.send(framed(pickle.dumps(Ready(), 5)) + data + framed(pickle.dumps(Stop(), 5)))
            await side.broken()
            assert side.messages == [Ready()]
            side.channel.close()
            side.channel.send(Ready())
            assert bare.recv(10) == b""

    run(main())
    assert ran == []
    assert MediaCounters.add is real_add


def test_files_that_belong_to_no_message_close_the_channel_and_are_closed(run: Run) -> None:
    async def main() -> None:
        async with listener() as (bare, side):
            keep, give = socket.socketpair()
            for _ in range(3):
                socket.send_fds(bare, [framed(pickle.dumps(Ready(), 5))], [give.fileno()])
            give.close()
            await side.broken()
            assert keep.recv(1) == b""
            keep.close()

    run(main())


def test_types_that_a_pickle_could_change_are_refused(run: Run) -> None:
    @dataclass(slots=True)
    class Changeable:
        value: int

    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(TypeError, match="Changeable"):
            Channel(ours, [Changeable], lambda message, files: None, lambda: None)

    run(main())


# ---- the end --------------------------------------------------------------------------------


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
