"""The first thing that a SIP message meets: who sent it, and whether it may be read at all.

What belongs to a live call, answers a request of ours, or comes from a trunk passes. All else is
a stranger's, and :class:`~ringback.net.source_guard.SourceGuard` decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ringback.net import sip_peek
from ringback.net.sip_peek import ScannerNames
from ringback.net.source_guard import Offence, SourceGuard, Verdict
from ringback.sip.errors import ParseError
from ringback.sip.message import Request, Response
from ringback.sip.transport import Flow


class GatedCore(Protocol):
    """What the gate asks ``ringback.sip.endpoint.SipEndpoint``; see there."""

    def serves(self, call_id: str) -> bool: ...
    def expects(self, branch: str) -> bool: ...
    def refuse_busy(self, message: bytes | Request, flow: Flow) -> None: ...


@dataclass(slots=True)
class GateCounters:
    known: int = 0
    """Strangers' messages that belonged to live calls or to requests of ours."""
    stray: int = 0
    """Responses and ACKs that belonged to nothing."""
    scanners: int = 0


class SipGate:
    """``knows_token`` says whether the ``line`` parameter of a Request-URI is that of a contact
    which we registered: whoever knows it is a trunk, wherever it calls from."""

    def __init__(
        self,
        guard: SourceGuard,
        core: GatedCore,
        *,
        knows_token: Callable[[str], bool] = lambda token: False,
        scanners: ScannerNames | None = None,
    ) -> None:
        self.guard = guard
        self.counters = GateCounters()
        self._core = core
        self._knows_token = knows_token
        self._scanners = scanners or ScannerNames()

    # ---- datagrams --------------------------------------------------------------------------

    def datagram(self, data: bytes, host: str, now: float) -> Verdict:
        """Whether a datagram may be parsed."""
        if self.guard.is_exempt(host, now):
            return self._trunk_datagram(data, host, now)
        call_id = sip_peek.call_id(data)
        if sip_peek.is_response(data):
            return self._response(sip_peek.branch(data), host, now)
        if call_id and self._core.serves(call_id):
            return self._known(host, now)
        if call_id and data.startswith(b"ACK "):
            return self._stray()
        if self._knows_token(sip_peek.contact_token(data)):
            return Verdict.ACCEPT
        if self.guard.is_banned(host, now, count=True):
            return Verdict.DROP
        return self._stranger(self._scanners.in_message(data), host, now)

    def _trunk_datagram(self, data: bytes, host: str, now: float) -> Verdict:
        """A trunk's calls are its own business; new ones have a bound, and no scanner is heard."""
        if sip_peek.is_response(data) or data.startswith(b"ACK "):
            return Verdict.ACCEPT
        if self._core.serves(sip_peek.call_id(data)):
            return Verdict.ACCEPT
        return self._trunk(self._scanners.in_message(data), host, now)

    # ---- connections ------------------------------------------------------------------------

    def is_exempt(self, host: str, now: float) -> bool:
        return self.guard.is_exempt(host, now)

    def is_near(self, host: str, now: float) -> bool:
        return self.guard.is_near(host, now)

    def connection(self, host: str, now: float) -> bool:
        """Whether a stranger may open one; it counts like a request."""
        return self.guard.judge(host, now) is Verdict.ACCEPT

    def message(self, message: Request | Response, host: str, now: float) -> Verdict:
        """Whether a message that came on a connection may be processed."""
        if self.guard.is_exempt(host, now):
            return self._trunk_message(message, host, now)
        if isinstance(message, Response):
            return self._response(_branch(message), host, now)
        if self.serves(message):
            return self._known(host, now)
        if message.method == "ACK":
            return self._stray()
        if self._knows_token(message.uri.params.get("line") or ""):
            return Verdict.ACCEPT
        if self.guard.is_banned(host, now, count=True):
            return Verdict.DROP
        return self._stranger(self._is_scanner(message), host, now)

    def _trunk_message(self, message: Request | Response, host: str, now: float) -> Verdict:
        if isinstance(message, Response) or message.method == "ACK" or self.serves(message):
            return Verdict.ACCEPT
        return self._trunk(self._is_scanner(message), host, now)

    def _is_scanner(self, message: Request) -> bool:
        agent = message.headers.get("User-Agent") or ""
        return self._scanners.in_headers(agent, message.headers.get("From") or "")

    def malformed(self, host: str, now: float) -> None:
        """Note what could not be read."""
        self.guard.offend(host, Offence.MALFORMED, now)

    def serves(self, message: Request | Response | ParseError) -> bool:
        """Whether it belongs to a call or a request that lives."""
        if not isinstance(message, Request):
            return False
        return self._core.serves(message.headers.get("Call-ID") or "")

    # ---- both -------------------------------------------------------------------------------

    def refuse(self, message: bytes | Request, flow: Flow) -> None:
        """Say 503, for :attr:`Verdict.BUSY`."""
        self._core.refuse_busy(message, flow)

    def _response(self, branch: str, host: str, now: float) -> Verdict:
        if branch and self._core.expects(branch):
            return self._known(host, now)
        return self._stray()

    def _known(self, host: str, now: float) -> Verdict:
        self.counters.known += 1
        return Verdict.ACCEPT if self.guard.judge_known(host, now) else Verdict.DROP

    def _stray(self) -> Verdict:
        self.counters.stray += 1
        return Verdict.DROP

    def _trunk(self, scanner: bool, host: str, now: float) -> Verdict:
        if scanner:
            self.counters.scanners += 1
            return Verdict.DROP
        return self.guard.judge(host, now)

    def _stranger(self, scanner: bool, host: str, now: float) -> Verdict:
        if scanner:
            self.counters.scanners += 1
            self.guard.offend(host, Offence.SCANNER, now)
            return Verdict.DROP
        return self.guard.judge(host, now)


def _branch(message: Response) -> str:
    try:
        return message.top_via.branch or ""
    except ParseError:
        return ""
