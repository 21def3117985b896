"""A SIP peer of a few lines: it sends and answers exactly what a test tells it to."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Self

from interop.peers.process import PeerFailed

WAIT = 10.0
SDP = (
    "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0\r\n"
)


class RawSip:
    """One UDP socket on ``host``; ``remote`` is the gateway's SIP port."""

    def __init__(self, remote: int, host: str = "127.0.0.1") -> None:
        self.host, self._remote = host, ("127.0.0.1", remote)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.settimeout(WAIT)
        self.port = int(self._socket.getsockname()[1])
        self._numbers = 0

    def send(self, data: str | bytes) -> None:
        self._socket.sendto(data if isinstance(data, bytes) else data.encode(), self._remote)

    def request(
        self, method: str, uri: str, *, agent: str = "Phone", call_id: str = "", body: str = ""
    ) -> str:
        """A new request outside of a dialog."""
        self._numbers += 1
        number = self._numbers
        named = call_id or f"raw-{self.port}-{number}"
        sent_by, branch = f"{self.host}:{self.port}", f"z9hG4bKraw{self.port}-{number}"
        return (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {sent_by};branch={branch};rport\r\n"
            f"From: <sip:raw@{self.host}>;tag=raw{number}\r\nTo: <{uri}>\r\nCall-ID: {named}\r\n"
            f"CSeq: 1 {method}\r\nContact: <sip:raw@{sent_by}>\r\n"
            f"User-Agent: {agent}\r\nMax-Forwards: 70\r\n"
            + ("Content-Type: application/sdp\r\n" if body else "")
            + f"Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def sdp(self, port: int = 9) -> str:
        return SDP.format(host=self.host, port=port)

    def wait(self, fits: Callable[[str], bool]) -> str:
        """The next message that fits; others are passed over."""
        while True:
            try:
                message = self._socket.recv(65_535).decode(errors="replace")
            except TimeoutError:
                raise PeerFailed("nothing that fits came from the gateway") from None
            if fits(message):
                return message

    def waiting(self) -> list[str]:
        """What has come so far and was not read."""
        found = []
        self._socket.setblocking(False)
        try:
            while True:
                found.append(self._socket.recv(65_535).decode(errors="replace"))
        except BlockingIOError:
            return found
        finally:
            self._socket.settimeout(WAIT)

    def answer(self, request: str, status: str, *, headers: str = "", body: str = "") -> None:
        """Answer a request as it came."""
        lines = [
            line
            for line in request.partition("\r\n\r\n")[0].split("\r\n")[1:]
            if line.split(":")[0].lower() in ("via", "from", "to", "call-id", "cseq")
        ]
        tagged = [
            f"{line};tag=peer" if line.lower().startswith("to:") and "tag=" not in line else line
            for line in lines
        ]
        head = "\r\n".join([f"SIP/2.0 {status}", *tagged])
        kind = "Content-Type: application/sdp\r\n" if body else ""
        contact = f"Contact: <sip:peer@{self.host}:{self.port}>\r\n" if not headers else headers
        self.send(f"{head}\r\n{contact}{kind}Content-Length: {len(body)}\r\n\r\n{body}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()


def header(message: str, name: str) -> str:
    """The value of the first header of that name."""
    found = re.search(rf"(?im)^{name}:[ \t]*(.*?)\r?$", message)
    return found[1] if found else ""
