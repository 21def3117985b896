"""Drives a :class:`~ringback.sip.endpoint.SipEndpoint`: its sockets, its timer, its events.

After every input and every command the core is drained to the end: transmissions go to the
sockets, events to ``on_event`` in order, and the one timer is set anew. ``on_event`` may give
commands itself; what they bring about is drained in the same round.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

from ringback.core.clock import Clock
from ringback.core.errors import RingbackError, StartupError
from ringback.net.sip_gate import SipGate
from ringback.net.sip_streams import SipStreams, StreamLimits
from ringback.net.sip_udp import SipUdpSocket
from ringback.net.source_guard import Verdict
from ringback.net.tls import TlsContexts
from ringback.sip.errors import ParseError, UnsafeValue
from ringback.sip.events import Event, ResolveNeeded
from ringback.sip.message import Request, Response
from ringback.sip.transport import Flow, Hop, Transmission, Transport
from ringback.sip.uri import Uri
from ringback.sip.validation import response_to_error

LARGE_REQUEST = 1300
"""Bytes above which RFC 3261 18.1.1 wants TCP."""
MAX_RESOLUTIONS = 256
"""DNS resolutions for the core at once; beyond that the core is told that there is no hop."""

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

Tap = Callable[[bool, bytes, Flow], None]
"""Sees each SIP message that is sent (``True``) or received and processed (``False``), with its
bytes and the other end. What came on a connection is written anew: same fields, same order."""


@dataclass(frozen=True, slots=True)
class Listen:
    """A socket to listen on; ``host`` is an IP literal, port 0 means any."""

    transport: Transport
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SipTransportConfig:
    """``listen`` holds at most one UDP socket per address family. UDP can only be sent from
    one; TCP and TLS connections are dialled with or without listeners."""

    listen: tuple[Listen, ...]
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_ca_file: Path | None = None
    limits: StreamLimits = field(default_factory=StreamLimits)
    large_requests_over_tcp: bool = False
    """Send requests above ``LARGE_REQUEST`` bytes by TCP instead of UDP, and by UDP after all
    where there is no TCP (RFC 3261 18.1.1)."""


@dataclass(slots=True)
class SipTransportCounters:
    """What is not counted by a UDP socket or by the streams."""

    keepalives: int = 0
    """Datagrams of nothing but line ends or NUL."""
    failed: int = 0
    """Transmissions that the core was told could not be sent."""
    large_over_tcp: int = 0
    event_errors: int = 0
    """Events whose handler raised."""
    resolutions_refused: int = 0


class SipCore(Protocol):
    """What the driver needs of ``ringback.sip.endpoint.SipEndpoint``; see there."""

    def receive_datagram(self, data: bytes, flow: Flow, now: float) -> None: ...
    def receive(self, message: Request | Response, flow: Flow, now: float) -> None: ...
    def transport_failed(self, transmission: Transmission, now: float) -> None: ...
    def connection_closed(self, connection: int, now: float) -> None: ...
    def resolved(self, key: str, hops: Sequence[Hop], now: float, *, failure: str = "") -> None: ...
    def handle_timeout(self, now: float) -> None: ...
    def next_timer(self) -> float | None: ...
    def transmissions(self) -> list[Transmission]: ...
    def events(self) -> list[Event]: ...


@dataclass(frozen=True, slots=True)
class _OverTcp(Transmission):
    """A UDP transmission that is tried by TCP first."""

    original: Transmission | None = None


class SipTransport:
    """``on_event`` is called in order, from the event loop, and must not block; what it raises is
    logged. ``resolve`` answers the core's ``ResolveNeeded`` (``Resolver.resolve`` fits); without
    it they go to ``on_event``. ``gate`` judges what comes before it is read. Build it inside a
    running loop; ``start`` opens the sockets."""

    def __init__(
        self,
        endpoint: SipCore,
        config: SipTransportConfig,
        *,
        clock: Clock,
        on_event: Callable[[Event], None],
        resolve: Callable[[Uri], Awaitable[Sequence[Hop]]] | None = None,
        on_message: Tap | None = None,
        gate: SipGate | None = None,
    ) -> None:
        self.counters = SipTransportCounters()
        self.ports: dict[Transport, int] = {}
        """The port bound for each transport that is listened on, once started."""
        self._endpoint = endpoint
        self._config = config
        self._clock = clock
        self._on_event = on_event
        self._resolve = resolve
        self._tap = on_message
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._udp: dict[bool, SipUdpSocket] = {}
        self._tls = TlsContexts(config.tls_certificate, config.tls_key, config.tls_ca_file)
        self._streams: SipStreams | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._pumping = False
        self._closed = False
        self._resolutions: set[asyncio.Task[None]] = set()

    @property
    def udp_sockets(self) -> tuple[SipUdpSocket, ...]:
        return tuple(self._udp.values())

    @property
    def streams(self) -> SipStreams:
        if self._streams is None:
            raise RuntimeError("the SIP transport is not started")
        return self._streams

    # ---- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open every socket. Raises :class:`StartupError` when one cannot be; none is open
        then."""
        self._streams = SipStreams(
            clock=self._clock,
            tls=self._tls,
            limits=self._config.limits,
            on_message=self._received,
            on_closed=self._connection_closed,
            on_failure=self._failed,
            gate=self._gate,
        )
        try:
            for listen in self._config.listen:
                self.ports.setdefault(listen.transport, self._open(listen))
        except StartupError:
            await self.close()
            raise
        self.pump()

    async def close(self) -> None:
        """Send what the core still has, then close every socket, in bounded time."""
        if self._closed:
            return
        if self._streams is not None:
            self.pump()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._resolutions:
            task.cancel()
        await asyncio.gather(*self._resolutions, return_exceptions=True)
        if self._streams is not None:
            await self._streams.close()
        for udp in self._udp.values():
            udp.close()

    def reload_tls(self) -> None:
        """Read the certificate and key files again. Raises :class:`StartupError`."""
        self._tls.reload()

    def _open(self, listen: Listen) -> int:
        try:
            if listen.transport == "udp":
                return self._open_udp(listen)
            if listen.transport == "tls" and self._tls.server is None:
                raise StartupError(
                    "SIP over TLS needs a certificate.",
                    hint="Set RINGBACK_SIP_TLS_CERT and RINGBACK_SIP_TLS_KEY.",
                )
            return self.streams.listen(listen.transport, listen.host, listen.port)[1]
        except OSError as error:
            raise _cannot_listen(listen, error) from error

    def _open_udp(self, listen: Listen) -> int:
        ipv6 = ":" in listen.host
        if ipv6 in self._udp:
            raise StartupError("SIP can be sent from one UDP address per family only.")
        self._udp[ipv6] = SipUdpSocket(
            listen.host,
            listen.port,
            on_datagram=self._datagram,
            on_failure=self._failed,
        )
        return self._udp[ipv6].address[1]

    # ---- commands -----------------------------------------------------------------------------

    def run(self, command: Callable[[float], _Result]) -> _Result:
        """Give the core a command and drain it. ``command`` gets ``now``::

        session = transport.run(lambda now: endpoint.invite(request, hops, now=now))
        """
        try:
            return command(self._clock.monotonic())
        finally:
            self.pump()

    def pump(self) -> None:
        """Drain the core to the end and set the timer. Inside of ``on_event`` it does nothing:
        the round that is under way takes care. Before ``start`` everything waits."""
        if self._pumping or self._closed or self._streams is None:
            return
        self._pumping = True
        try:
            while True:
                transmissions, events = self._endpoint.transmissions(), self._endpoint.events()
                if not transmissions and not events:
                    break
                for transmission in transmissions:
                    self._send(transmission)
                for event in events:
                    self._deliver(event)
        finally:
            self._pumping = False
        self._set_timer()

    def keep_alive(self, flow: Flow) -> None:
        """Send a CRLF keepalive to ``flow`` (RFC 5626 4.4.1; over UDP it only holds a NAT
        binding). Does not open a connection."""
        if flow.hop.transport == "udp":
            self._send_udp(Transmission(flow, b"\r\n\r\n"))
        elif self._streams is not None:
            self._streams.ping(flow)

    # ---- input --------------------------------------------------------------------------------

    def _datagram(self, data: bytes, hop: Hop) -> None:
        if not data.strip(b"\r\n\0 "):
            self.counters.keepalives += 1
            return
        now = self._clock.monotonic()
        flow = Flow(hop)
        if self._gate is not None:
            verdict = self._gate.datagram(data, hop.host, now)
            if verdict is not Verdict.ACCEPT:
                if verdict is Verdict.BUSY:
                    self._gate.refuse(data, flow)
                    self.pump()
                return
        if self._tap is not None:
            self._tap(False, data, flow)
        self._endpoint.receive_datagram(data, flow, now)
        self.pump()

    def _received(self, item: Request | Response | ParseError, flow: Flow) -> None:
        now = self._clock.monotonic()
        if isinstance(item, ParseError):
            response = response_to_error(item, secrets.token_hex(8))
            if response is not None:
                self.streams.send(Transmission(flow, bytes(response)), dial=False)
            if self._gate is not None:
                self._gate.malformed(flow.hop.host, now)
            return
        if self._gate is not None and not self._may_pass(self._gate, item, flow, now):
            return
        if self._tap is not None:
            with contextlib.suppress(UnsafeValue):
                self._tap(False, bytes(item), flow)
        self._endpoint.receive(item, flow, now)
        self.pump()

    def _may_pass(self, gate: SipGate, item: Request | Response, flow: Flow, now: float) -> bool:
        """Whether a message on a connection may be processed. Whoever is not even answered loses
        the connection; whoever has a call is a stranger no more."""
        verdict = gate.message(item, flow.hop.host, now)
        if verdict is Verdict.ACCEPT:
            if gate.serves(item):
                self.streams.welcome(flow)
            return True
        if verdict is Verdict.BUSY and isinstance(item, Request):
            gate.refuse(item, flow)
            self.pump()
        elif not gate.guard.is_exempt(flow.hop.host, now):
            self.streams.cut_off(flow)
        return False

    def _connection_closed(self, number: int) -> None:
        self._endpoint.connection_closed(number, self._clock.monotonic())
        self.pump()

    def _failed(self, transmission: Transmission) -> None:
        if isinstance(transmission, _OverTcp) and transmission.original is not None:
            if not self._send_udp(transmission.original):
                self._report(transmission.original)
        else:
            self._report(transmission)
        self.pump()

    def _report(self, transmission: Transmission) -> None:
        self.counters.failed += 1
        self._endpoint.transport_failed(transmission, self._clock.monotonic())

    # ---- output -------------------------------------------------------------------------------

    def _send(self, transmission: Transmission) -> None:
        if transmission.destination.hop.transport != "udp":
            sent = self.streams.send(transmission)
        elif self._config.large_requests_over_tcp and _is_large_request(transmission.data):
            self.counters.large_over_tcp += 1
            sent = self.streams.send(_over_tcp(transmission)) or self._send_udp(transmission)
        else:
            sent = self._send_udp(transmission)
        if not sent:
            self._report(transmission)
        elif self._tap is not None:
            self._tap(True, transmission.data, transmission.destination)

    def _send_udp(self, transmission: Transmission) -> bool:
        udp = self._udp.get(":" in transmission.destination.hop.host)
        return udp is not None and udp.send(transmission)

    def _deliver(self, event: Event) -> None:
        if isinstance(event, ResolveNeeded) and self._resolve is not None:
            self._start_resolution(event)
            return
        try:
            self._on_event(event)
        except Exception:
            self.counters.event_errors += 1
            _log.exception("A SIP event could not be handled: %s", type(event).__name__)

    # ---- names --------------------------------------------------------------------------------

    def _start_resolution(self, event: ResolveNeeded) -> None:
        if len(self._resolutions) >= MAX_RESOLUTIONS:
            self.counters.resolutions_refused += 1
            now = self._clock.monotonic()
            self._endpoint.resolved(event.key, (), now, failure="too many DNS look-ups at once")
            return
        task = self._loop.create_task(self._answer(event))
        self._resolutions.add(task)
        task.add_done_callback(self._resolutions.discard)

    async def _answer(self, event: ResolveNeeded) -> None:
        hops: Sequence[Hop] = ()
        failure = ""
        try:
            if self._resolve is not None:
                hops = await self._resolve(event.uri)
        except RingbackError as error:
            failure = error.message
        except Exception:
            _log.exception("The hops of %s could not be found", event.uri.host)
            failure = "an internal error"
        self._endpoint.resolved(event.key, hops, self._clock.monotonic(), failure=failure)
        self.pump()

    # ---- time ---------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        """A timer that is set for an earlier moment stays: it looks again when it is over."""
        due = self._endpoint.next_timer()
        if due is None or (self._timer is not None and self._due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        delay = max(0.0, due - self._clock.monotonic())
        self._timer = self._loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        # the loop's own clock may be some milliseconds ahead of ours
        try:
            self._endpoint.handle_timeout(max(self._clock.monotonic(), self._due))
        finally:
            self.pump()  # sets the timer again: every other call depends on it


def _is_large_request(data: bytes) -> bool:
    return len(data) > LARGE_REQUEST and not data.startswith(b"SIP/")


def _over_tcp(transmission: Transmission) -> _OverTcp:
    hop = replace(transmission.destination.hop, transport="tcp")
    data = transmission.data.replace(b"Via: SIP/2.0/UDP ", b"Via: SIP/2.0/TCP ", 1)
    return _OverTcp(Flow(hop), data, transmission.key, original=transmission)


def _cannot_listen(listen: Listen, error: OSError) -> StartupError:
    where = f"{listen.transport.upper()} {listen.host} port {listen.port}"
    if error.errno == errno.EADDRINUSE:
        return StartupError(
            f"SIP cannot listen on {where}: another program uses it.",
            hint="Stop that program, or set RINGBACK_SIP_PORT (RINGBACK_SIP_TLS_PORT) to another.",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return StartupError(
            f"SIP cannot listen on {where}: this machine does not have that address.",
            hint="Set RINGBACK_SIP_HOST to one of its addresses, or to 0.0.0.0.",
        )
    return StartupError(f"SIP cannot listen on {where}: {error.strerror or error}.")
