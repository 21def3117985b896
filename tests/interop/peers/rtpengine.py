"""rtpengine in the media path, in user space, and a client of its ng protocol (bencode, UDP)."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path
from typing import Self

from interop.peers.process import PeerFailed, Process, free_port, program

Value = str | int | list["Value"] | dict[str, "Value"]
NG_TIMEOUT = 5.0
PORTS = 40


def bencode(value: Value) -> bytes:
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        data = value.encode()
        return b"%d:%b" % (len(data), data)
    if isinstance(value, list):
        return b"l" + b"".join(bencode(item) for item in value) + b"e"
    items = (bencode(key) + bencode(value[key]) for key in sorted(value))
    return b"d" + b"".join(items) + b"e"


def bdecode(data: bytes) -> Value:
    value, rest = _decode(data)
    if rest:
        raise ValueError(f"{len(rest)} bytes after the value")
    return value


def _decode(data: bytes) -> tuple[Value, bytes]:
    kind = data[:1]
    if kind == b"i":
        digits, _, rest = data[1:].partition(b"e")
        return int(digits), rest
    if kind in (b"l", b"d"):
        items: list[Value] = []
        data = data[1:]
        while data[:1] != b"e":
            item, data = _decode(data)
            items.append(item)
        if kind == b"l":
            return items, data[1:]
        return {str(k): v for k, v in zip(items[::2], items[1::2], strict=True)}, data[1:]
    length, _, rest = data.partition(b":")
    return rest[: int(length)].decode(), rest[int(length) :]


class Rtpengine:
    """Forwards media between ports of 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        binary = program("rtpengine", "rtpengine-daemon")
        folder.mkdir(parents=True, exist_ok=True)
        self.ng_port = free_port()
        first = 31_000 + (self.ng_port % 20) * 2 * PORTS
        self.process = Process(
            [
                binary,
                "--config-file=none",
                "--foreground",
                "--log-stderr",
                "--log-level=6",
                "--table=-1",
                "--interface=127.0.0.1",
                f"--listen-ng=127.0.0.1:{self.ng_port}",
                f"--port-min={first}",
                f"--port-max={first + 2 * PORTS - 1}",
                "--num-threads=2",
            ],
            cwd=folder,
        )
        self.process.wait_for("Startup complete", 20)
        self._cookies = itertools.count(1)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(NG_TIMEOUT)
        self._socket.connect(("127.0.0.1", self.ng_port))

    def command(self, name: str, **fields: Value) -> dict[str, Value]:
        """Send one command (underscores in field names stand for hyphens); its answer."""
        message: dict[str, Value] = {key.replace("_", "-"): fields[key] for key in fields}
        cookie = f"c{next(self._cookies)}"
        self._socket.send(f"{cookie} ".encode() + bencode(message | {"command": name}))
        answered, _, answer = self._socket.recv(65536).partition(b" ")
        result = bdecode(answer)
        if answered.decode() != cookie or not isinstance(result, dict):
            raise PeerFailed(f"rtpengine: an odd answer to {name}: {answer!r}")
        if result.get("result") == "error":
            raise PeerFailed(f"rtpengine: {name}: {result}\n{self.process.output[-3000:]}")
        return result

    def offer(self, call_id: str, sdp: str, **fields: Value) -> str:
        """The SDP for the callee."""
        return str(
            self.command("offer", call_id=call_id, from_tag="caller", sdp=sdp, **fields)["sdp"]
        )

    def answer(self, call_id: str, sdp: str, **fields: Value) -> str:
        """The SDP for the caller."""
        return str(
            self.command(
                "answer", call_id=call_id, from_tag="caller", to_tag="callee", sdp=sdp, **fields
            )["sdp"]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()
        self.process.stop()
