"""Many phones behind one SIP socket: they call, are answered, hang up. Audio is elsewhere."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from dataclasses import dataclass

from node import DID, LOCALHOST, Node
from raw_sip import SDP, audio_port, header, in_dialog, invite, ok, udp

AT_ONCE = 8
"""Calls that are being set up at the same time."""
ANSWER_SECONDS = 20.0
RESEND_SECONDS = 0.5
NO_SUCH_CALL = 481
"""The gateway has hung up already."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A live call: the gateway's port for its audio, and its name in the API."""

    rtp_port: int
    call_id: str


class Callers:
    """``number`` is what they dial; the node must know their ``port`` as a trunk's."""

    def __init__(self, node: Node, number: str = DID) -> None:
        self._node = node
        self._number = number
        self._gateway = (LOCALHOST, node.sip_port)
        self._sip = udp(LOCALHOST)
        self.port = int(self._sip.getsockname()[1])
        self._made = 0
        self._answers: dict[str, str] = {}
        self._waiting: dict[str, tuple[bytes, float]] = {}

    def call(self, audio_ports: Sequence[int]) -> list[Answered]:
        """One call for each port that a phone listens on, in their order."""
        identities = self._identities(len(audio_ports))
        marks = self._set_up(identities, audio_ports)
        live = {
            call["caller"]: call["call_id"] for call in self._node.api("GET", "/api/calls")["items"]
        }
        return [
            Answered(audio_port(self._answers[mark]), live[identity])
            for identity, mark in zip(identities, marks, strict=True)
        ]

    def ring_through(self, audio_ports: Sequence[int]) -> None:
        """``call`` for those who do not ask which calls they became."""
        self._set_up(self._identities(len(audio_ports)), audio_ports)

    def _identities(self, count: int) -> list[str]:
        return [f"+1555{self._made + n:07d}" for n in range(count)]

    def _set_up(self, identities: Sequence[str], audio_ports: Sequence[int]) -> list[str]:
        marks = []
        for identity, port in zip(identities, audio_ports, strict=True):
            body = SDP.format(host=LOCALHOST, port=port)
            asserted = f"P-Asserted-Identity: <sip:{identity}@{LOCALHOST}>\r\n"
            request = invite(
                LOCALHOST, self.port, self._made, self._number, "Phone", body, asserted
            )
            self._made += 1
            marks.append(header(request.decode(), "Call-ID"))
            self._ask(marks[-1], request)
            self._listen(AT_ONCE - 1)
        self._listen(0)
        return marks

    def _ask(self, mark: str, request: bytes) -> None:
        self._waiting[mark] = request, time.monotonic() + RESEND_SECONDS
        self._sip.sendto(request, self._gateway)

    def _listen(self, most: int) -> None:
        """Until no more than ``most`` requests are unanswered."""
        until = time.monotonic() + ANSWER_SECONDS
        while len(self._waiting) > most:
            if time.monotonic() > until:
                raise RuntimeError(f"{len(self._waiting)} requests were not answered")
            if select.select([self._sip], [], [], RESEND_SECONDS / 5)[0]:
                self._take(self._sip.recv(65_535).decode())
            self._resend()

    def _resend(self) -> None:
        now = time.monotonic()
        for mark, (request, due) in self._waiting.items():
            if due <= now:
                self._waiting[mark] = request, now + RESEND_SECONDS
                self._sip.sendto(request, self._gateway)

    def _take(self, text: str) -> None:
        mark, method = header(text, "Call-ID"), header(text, "CSeq").rpartition(" ")[2]
        if not text.startswith("SIP/2.0"):
            if text.startswith("BYE "):
                self._answers.pop(mark, None)
            self._sip.sendto(ok(text, LOCALHOST, self.port), self._gateway)
            return
        status = int(text[8:11])
        if status >= 300 and (method, status) != ("BYE", NO_SUCH_CALL):
            raise RuntimeError(f"the gateway refused: {text.splitlines()[0]}")
        if status < 200:
            return
        self._waiting.pop(mark, None)
        if method == "INVITE":
            self._answers[mark] = text
            self._sip.sendto(in_dialog("ACK", text, LOCALHOST, self.port, 1), self._gateway)

    def hang_up(self) -> None:
        """Every call that is up; returns when the gateway has confirmed."""
        for mark, text in list(self._answers.items()):
            self._ask(mark, in_dialog("BYE", text, LOCALHOST, self.port, 2))
            self._listen(AT_ONCE - 1)
        self._listen(0)
        self._answers.clear()

    def close(self) -> None:
        self._sip.close()
