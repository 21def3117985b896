"""Files that travel with messages, and what is no message: nothing is leaked and nothing is run."""

from __future__ import annotations

import array
import os
import pickle
import socket
from dataclasses import dataclass

import pytest

from ringback.media import channel as channel_module
from ringback.media.channel import Channel
from ringback.media.metrics import MediaCounters
from ringback.media.worker_messages import (
    Answer,
    Attach,
    Link,
    Ready,
    Stop,
)
from unit.media.channel_lab import HEAD, Side, descriptors, framed, listener, pair
from unit.media.media_lab import Run


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


# ---- what is no message --------------------------------------------------------------------


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
