"""Messages, and open files with them, between two of the node's own processes.

One side of a ``socketpair``. A message is a dataclass of :mod:`ringback.media.worker_messages` or
:mod:`ringback.media.plane`; nothing else is made from what comes in, whatever it says (a process
that reads what strangers send is not trusted with the other's memory). On the wire: length of the
body (4 bytes), number of files (1 byte), the body; files travel with the first byte (SCM_RIGHTS,
unix(7)).
"""

from __future__ import annotations

import array
import asyncio
import io
import logging
import os
import pickle
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

MAX_MESSAGE = 16 * 1024 * 1024
MAX_QUEUED = 64 * 1024 * 1024
"""Bytes that wait for a process that does not read; beyond that it is given up."""
MAX_FILES = 4
_READ = 256 * 1024
_HEAD = struct.Struct("!IB")
_FD_SIZE = array.array("i").itemsize
_PLAIN: dict[str, type] = {"str": str, "int": int, "float": float, "dict": dict}
"""What enumerations, the numbers of numpy and other mappings travel as."""


class ChannelBroken(Exception):
    """What came is no message of ours."""


@dataclass(slots=True)
class _Outgoing:
    data: memoryview
    files: Sequence[socket.socket]


class Channel:
    """``received(message, files)`` is called on the event loop for each message, in order;
    the files (descriptors) belong to the callee. ``closed()`` is called once, when the other side
    is gone or broken, not after ``close`` and never from inside ``send``. What ``received``
    raises is logged, and the next message goes on."""

    def __init__(
        self,
        connection: socket.socket,
        types: Iterable[type],
        received: Callable[[object, Sequence[int]], None],
        closed: Callable[[], None],
    ) -> None:
        """Raises ``TypeError`` for a type that does not say how it is restored."""
        connection.setblocking(False)
        self._connection = connection
        self._types = frozenset(types)
        for each in self._types:
            # Without it a pickle may change the class itself (pickle, "BUILD").
            if not hasattr(each, "__setstate__"):
                raise TypeError(f"{each.__qualname__} has no __setstate__")
        self._named = {(each.__module__, each.__qualname__): each for each in self._types}
        self._received = received
        self._closed = closed
        self._incoming = bytearray()
        self._files: deque[list[int]] = deque()
        """Of each message that has any, those that could be taken."""
        self._outgoing: deque[_Outgoing] = deque()
        self._queued = 0
        self._open = True
        self._ending: asyncio.Handle | None = None
        self._flushed = asyncio.Event()
        self._flushed.set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection, self._read)

    # ---- out --------------------------------------------------------------------------------

    def send(self, message: object, files: Sequence[socket.socket] = ()) -> None:
        """Send ``message`` and hand ``files`` over; they are closed here once they are gone. To
        one that is gone nothing is sent. Raises ``TypeError`` for what is no message and
        ``ValueError`` for one that is too long: the files are the caller's then."""
        if not self._open:
            _close_all(files)
            return
        body = self._encode(message)
        if len(body) > MAX_MESSAGE or len(files) > MAX_FILES:
            raise ValueError(f"a message of {len(body)} bytes and {len(files)} files")
        data = memoryview(_HEAD.pack(len(body), len(files)) + body)
        self._queued += len(data)
        self._outgoing.append(_Outgoing(data, files))
        if len(self._outgoing) == 1:
            self._flushed.clear()
            self._flush()
        if self._queued > MAX_QUEUED:
            logger.error("a process of this node does not read what it is sent")
            self._give_up()

    def _encode(self, message: object) -> bytes:
        """Raises ``TypeError`` for what the other side would refuse."""
        body = io.BytesIO()
        _Writer(body, self._types).dump(message)
        return body.getvalue()

    def _flush(self) -> None:
        try:
            while self._outgoing:
                self._send_some(self._outgoing[0])
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._connection, self._flush)
            return
        except OSError:
            self._give_up()
            return
        self._loop.remove_writer(self._connection)
        self._flushed.set()

    async def flushed(self) -> None:
        """Returns when everything is sent, or lost."""
        await self._flushed.wait()

    def _send_some(self, first: _Outgoing) -> None:
        if first.files:
            descriptors = array.array("i", [each.fileno() for each in first.files])
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
            sent = self._connection.sendmsg([first.data], rights)
            _close_all(first.files)
            first.files = ()
        else:
            sent = self._connection.send(first.data)
        self._queued -= sent
        first.data = first.data[sent:]
        if not first.data:
            self._outgoing.popleft()

    # ---- in ---------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            data, ancillary, flags, _ = self._connection.recvmsg(
                _READ, socket.CMSG_SPACE(MAX_FILES * _FD_SIZE), socket.MSG_CMSG_CLOEXEC
            )
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._give_up()
            return
        # One read brings the files of one message at most (unix(7)); without room for more
        # descriptors in this process it brings fewer than were sent.
        taken = _descriptors(ancillary)
        if taken or flags & socket.MSG_CTRUNC:
            self._files.append(taken)
        if not data:
            self._give_up()
            return
        self._incoming += data
        try:
            self._take_messages()
        except ChannelBroken as error:
            logger.error("a process of this node sent what is no message: %s", error)
            self._give_up()

    def _take_messages(self) -> None:
        """Raises ``ChannelBroken``."""
        start = 0
        incoming = self._incoming
        while self._open and len(incoming) - start >= _HEAD.size:
            size, count = _HEAD.unpack_from(incoming, start)
            if size > MAX_MESSAGE or count > MAX_FILES or (count and not self._files):
                raise ChannelBroken(f"{size} bytes with {count} files")
            end = start + _HEAD.size + size
            if len(incoming) < end:
                break
            message = self._decode(bytes(incoming[start + _HEAD.size : end]))
            files = self._files.popleft() if count else []
            start = end
            self._hand_on(message, files, count)
        del incoming[:start]
        if len(self._files) > 1:
            raise ChannelBroken("files that belong to no message")

    def _hand_on(self, message: object, files: Sequence[int], count: int) -> None:
        """What fails costs this message and none of the others."""
        if len(files) != count:
            logger.error("%s is lost: no room for its files", type(message).__name__)
            close_descriptors(files)
            return
        try:
            self._received(message, files)
        except Exception:
            logger.exception("%s failed", type(message).__name__)

    def _decode(self, body: bytes) -> object:
        try:
            return _Reader(body, self._named).load()
        except ChannelBroken:
            raise
        except Exception as error:
            raise ChannelBroken(str(error)) from error

    # ---- the end ----------------------------------------------------------------------------

    def close(self) -> None:
        """Twice is once. What is queued is lost."""
        if self._ending is not None:
            self._ending.cancel()
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._connection)
        self._loop.remove_writer(self._connection)
        self._connection.close()
        for waiting in self._outgoing:
            _close_all(waiting.files)
        self._outgoing.clear()
        self._flushed.set()
        while self._files:
            close_descriptors(self._files.popleft())

    def _give_up(self) -> None:
        if self._open:
            self.close()
            self._ending = self._loop.call_soon(self._closed)


class _Writer(pickle.Pickler):
    """Messages and plain data only; what is nearly plain becomes so."""

    def __init__(self, file: io.BytesIO, types: frozenset[type]) -> None:
        super().__init__(file, protocol=5)
        self._types = types

    def reducer_override(self, obj: object, /) -> Any:
        if obj in self._types if isinstance(obj, type) else type(obj) in self._types:
            return NotImplemented
        if isinstance(obj, type) and _PLAIN.get(obj.__name__) is obj:
            return NotImplemented
        if isinstance(obj, str):
            return str, (str.__str__(obj),)
        if isinstance(obj, int):
            return int, (int.__int__(obj),)
        if isinstance(obj, float):
            return float, (float.__float__(obj),)
        if isinstance(obj, Mapping):
            return dict, (dict(obj),)
        raise TypeError(f"{type(obj).__qualname__} cannot be sent to another process")


class _Reader(pickle.Unpickler):
    """Makes our message types, and nothing else (pickle, "Restricting Globals")."""

    def __init__(self, body: bytes, types: dict[tuple[str, str], type]) -> None:
        super().__init__(io.BytesIO(body))
        self._types = types

    def find_class(self, module_name: str, global_name: str, /) -> type:
        found = self._types.get((module_name, global_name)) or _PLAIN.get(global_name)
        if found is None or found.__module__ != module_name:
            raise ChannelBroken(f"{module_name}.{global_name} is no message")
        return found


def close_descriptors(files: Iterable[int]) -> None:
    """For who is given files and has no use for them."""
    for each in files:
        os.close(each)


def _descriptors(ancillary: Iterable[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(content[: len(content) - len(content) % _FD_SIZE])
    return found.tolist()


def _close_all(files: Sequence[socket.socket]) -> None:
    for each in files:
        each.close()
