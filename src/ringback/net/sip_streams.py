"""All TCP and TLS connections of one node: listening, dialling, reusing, bounding, closing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Literal

from ringback.core.clock import Clock
from ringback.net.sip_connection import SipConnection, StreamCounters
from ringback.net.sip_gate import SipGate
from ringback.net.tls import TlsContexts
from ringback.sip.errors import ParseError
from ringback.sip.message import Request, Response
from ringback.sip.transport import Flow, Hop, Transmission

StreamTransport = Literal["tcp", "tls"]

BACKLOG = 512
ACCEPT_PAUSE = 1.0
"""Seconds for which nothing is accepted when descriptors have run out."""
ACCEPT_BATCH = 32
"""Connections taken per wake-up of a listener."""
DEAD_PEER_TIMEOUT = 20.0
"""Seconds that sent bytes may stay unacknowledged by the peer's TCP."""
CLOSE_TIMEOUT = 2.0
"""Seconds that connections get to send what they hold when the node stops."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds on connections; times in seconds."""

    connections: int = 4096
    connections_per_source: int = 256
    dial_timeout: float = 5.0
    """TCP connect and TLS handshake together, for connections that we open."""
    handshake_timeout: float = 10.0
    """TLS handshake of connections that we accept."""
    handshakes: int = 64
    """TLS handshakes of strangers at once."""
    stranger_connections: int = 1024
    """Connections of all strangers: whom no trunk vouches for and who have had no call on it."""
    stranger_connections_per_source: int = 32
    """Of one stranger that is not on this machine or on a private network."""
    stranger_idle_timeout: float = 60.0
    stranger_message_timeout: float = 10.0
    message_timeout: float = 30.0
    """From the first byte of a message to its last."""
    idle_timeout: float = 900.0
    """Without a byte either way; keepalives count."""
    keepalive_interval: float = 90.0
    """Quiet time after which we ping on connections that we opened; 0: never."""
    sweep_interval: float = 5.0
    """How often the times above are looked at."""


class SipStreams:
    """``on_message`` gets what came on a connection, ``on_closed`` the number of one that is
    gone, ``on_failure`` each transmission that could not be sent although ``send`` took it."""

    def __init__(
        self,
        *,
        clock: Clock,
        tls: TlsContexts,
        limits: StreamLimits,
        on_message: Callable[[Request | Response | ParseError, Flow], None],
        on_closed: Callable[[int], None],
        on_failure: Callable[[Transmission], None],
        gate: SipGate | None = None,
    ) -> None:
        self.counters = StreamCounters()
        self._gate = gate
        self._strangers = 0
        self._handshakes = 0
        self._clock = clock
        self._tls = tls
        self._limits = limits
        self._on_message = on_message
        self._on_closed = on_closed
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._listeners: list[socket.socket] = []
        self._connections: dict[int, SipConnection] = {}
        self._by_hop: dict[Hop, SipConnection] = {}
        self._sources: Counter[str] = Counter()
        self._numbers = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._sweeper = self._loop.call_later(limits.sweep_interval, self._sweep)

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    # ---- listening ----------------------------------------------------------------------------

    def listen(self, transport: StreamTransport, host: str, port: int) -> tuple[str, int]:
        """Returns the address bound. Raises ``OSError``."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        self._listeners.append(listener)
        self._loop.add_reader(listener, self._accept, listener, transport)
        bound = listener.getsockname()
        return str(bound[0]), int(bound[1])

    def _accept(self, listener: socket.socket, transport: StreamTransport) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                accepted, source = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(listener, transport, error)
                return
            host = str(source[0]).partition("%")[0]
            stranger = self._is_stranger(host)
            if self._is_too_many(host, transport, stranger):
                self.counters.refused += 1
                accepted.close()
                continue
            accepted.setblocking(False)
            hop = Hop(transport, host, int(source[1]))
            connection = self._new(hop, outgoing=False, stranger=stranger)
            self._spawn(connection, self._adopt(connection, accepted), accepted)

    def _is_stranger(self, host: str) -> bool:
        return self._gate is not None and not self._gate.is_exempt(host, self._clock.monotonic())

    def _is_too_many(self, host: str, transport: StreamTransport, stranger: bool) -> bool:
        limits, held, now = self._limits, self._sources[host], self._clock.monotonic()
        if len(self._connections) >= limits.connections or held >= limits.connections_per_source:
            return True
        if not stranger or self._gate is None:
            return False
        if held >= limits.stranger_connections_per_source and not self._gate.is_near(host, now):
            return True
        if self._strangers >= limits.stranger_connections:
            return True
        if transport == "tls" and self._handshakes >= limits.handshakes:
            return True
        return not self._gate.connection(host, now)

    def _pause(self, listener: socket.socket, transport: StreamTransport, error: OSError) -> None:
        """Out of descriptors or memory: leave callers in the backlog for a moment."""
        _log.warning("SIP connections cannot be accepted now: %s", error.strerror)
        self._loop.remove_reader(listener)

        def resume() -> None:
            if not self._closing:
                self._loop.add_reader(listener, self._accept, listener, transport)

        self._loop.call_later(ACCEPT_PAUSE, resume)

    async def _adopt(self, connection: SipConnection, accepted: socket.socket) -> None:
        secure = connection.hop.transport == "tls"
        self._handshakes += secure
        try:
            _tune(accepted)
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._tls.server if secure else None,
                ssl_handshake_timeout=self._limits.handshake_timeout if secure else None,
            )
            self.counters.accepted += 1
        except (OSError, TimeoutError):
            self.counters.handshake_failures += 1
        finally:
            self._handshakes -= secure

    # ---- sending ------------------------------------------------------------------------------

    def send(self, transmission: Transmission, *, dial: bool = True) -> bool:
        """Send on the connection of the flow, else on any to its hop, else on a new one; ``False``
        if that is not possible. A later failure goes to ``on_failure``."""
        flow = transmission.destination
        for connection in self._candidates(flow):
            if connection.send(transmission):
                return True
            if not connection.closed:
                return False  # it is still being dialled, and enough waits for it
        return dial and self._dial(transmission)

    def ping(self, flow: Flow) -> bool:
        """Keep the connection of ``flow`` alive; ``False`` if there is none."""
        for connection in self._candidates(flow):
            connection.ping()
            return True
        return False

    def _candidates(self, flow: Flow) -> list[SipConnection]:
        known = self._connections.get(flow.connection) if flow.connection is not None else None
        found = (known, self._by_hop.get(flow.hop))
        return [connection for connection in found if connection and not connection.closed]

    def _dial(self, transmission: Transmission) -> bool:
        hop = transmission.destination.hop
        if self._closing or hop.port == 0 or len(self._connections) >= self._limits.connections:
            self.counters.dial_failures += 1
            return False
        connection = self._new(hop, outgoing=True)
        if not connection.send(transmission):
            self._forget(connection)
            return False
        self._spawn(connection, self._connect(connection))
        return True

    async def _connect(self, connection: SipConnection) -> None:
        hop = connection.hop
        secure = hop.transport == "tls"
        try:
            async with asyncio.timeout(self._limits.dial_timeout):
                transport, _ = await self._loop.create_connection(
                    lambda: connection,
                    hop.host,
                    hop.port,
                    ssl=self._tls.client(verify=hop.verify) if secure else None,
                    server_hostname=(hop.server_name or hop.host) if secure else None,
                )
            _tune(transport.get_extra_info("socket"))
            self.counters.dialled += 1
        except (OSError, TimeoutError, ValueError, OverflowError) as error:
            self.counters.dial_failures += 1
            connection.failure = _words(error)
            _log.info("No %s connection to %s port %d: %s", *_place(hop), connection.failure)

    def welcome(self, flow: Flow) -> None:
        """The peer on this connection has a call: it is a stranger no more."""
        connection = self._connections.get(flow.connection or 0)
        if connection is not None and connection.stranger:
            connection.stranger = False
            self._strangers -= 1

    def cut_off(self, flow: Flow) -> None:
        """Close a connection that a stranger opened, at once."""
        connection = self._connections.get(flow.connection or 0)
        if connection is not None and connection.stranger:
            self.counters.cut_off += 1
            connection.abort()

    # ---- the life of a connection -------------------------------------------------------------

    def _new(self, hop: Hop, *, outgoing: bool, stranger: bool = False) -> SipConnection:
        self._numbers += 1
        connection = SipConnection(
            self._numbers,
            hop,
            outgoing=outgoing,
            clock=self._clock,
            counters=self.counters,
            on_message=self._received,
            on_closed=self._lost,
        )
        connection.stranger = stranger
        self._strangers += stranger
        self._connections[connection.number] = connection
        self._empty.clear()
        self._by_hop[hop] = connection
        if not outgoing:
            self._sources[hop.host] += 1
        return connection

    def _received(self, connection: SipConnection, item: Request | Response | ParseError) -> None:
        self._on_message(item, connection.flow)

    def _lost(self, connection: SipConnection) -> None:
        self._forget(connection)
        if self._closing:
            return
        self._on_closed(connection.number)
        for transmission in connection.unconfirmed_requests():
            if transmission.repeated:  # a server that hangs up on everybody, not a dead connection
                self._on_failure(transmission)
                continue
            self.counters.resent += 1
            hop = transmission.destination.hop
            again = replace(transmission, destination=Flow(hop), repeated=True)
            if not self.send(again):
                self._on_failure(again)

    def _forget(self, connection: SipConnection) -> None:
        if self._connections.pop(connection.number, None) is None:
            return
        self._strangers -= connection.stranger
        if not self._connections:
            self._empty.set()
        if self._by_hop.get(connection.hop) is connection:
            del self._by_hop[connection.hop]
        if connection.outgoing:
            return
        self._sources[connection.hop.host] -= 1
        if self._sources[connection.hop.host] <= 0:
            del self._sources[connection.hop.host]

    def _sweep(self) -> None:
        now, limits = self._clock.monotonic(), self._limits
        for connection in list(self._connections.values()):
            quiet = now - connection.quiet_since
            begun = connection.incomplete_since
            if not connection.opened or connection.closed:
                continue
            patience, idle = limits.message_timeout, limits.idle_timeout
            if connection.stranger:
                patience = limits.stranger_message_timeout
                idle = limits.stranger_idle_timeout
            if begun is not None and now - begun >= patience:
                self.counters.idle_closed += 1
                connection.abort()
            elif quiet >= idle:
                self.counters.idle_closed += 1
                connection.close()
            elif connection.outgoing and 0 < limits.keepalive_interval <= quiet:
                connection.ping()
        self._sweeper = self._loop.call_later(limits.sweep_interval, self._sweep)

    def stop_listening(self) -> None:
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        self._listeners.clear()

    async def close(self) -> None:
        """Stop listening, send what is buffered and close everything, in bounded time."""
        self._closing = True
        self._sweeper.cancel()
        self.stop_listening()
        for task in self._tasks:
            task.cancel()
        for connection in list(self._connections.values()):
            connection.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._empty.wait()
        for connection in list(self._connections.values()):
            connection.abort()

    def _spawn(
        self,
        connection: SipConnection,
        work: Coroutine[Any, Any, None],
        accepted: socket.socket | None = None,
    ) -> None:
        """Run what opens ``connection``; see that nothing is left if it fails or is cancelled,
        even before its first step."""

        def settle(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if connection.opened:
                return
            connection.closed = True
            self._forget(connection)
            if accepted is not None:
                accepted.close()
            for transmission in connection.waiting:
                self._on_failure(replace(transmission, failure=connection.failure))

        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(settle)


def _tune(connected: socket.socket) -> None:
    """No delay, because requests are small and wait for their answers; and a peer that vanished
    is noticed before SIP's own timers give up (best effort)."""
    with contextlib.suppress(OSError, AttributeError):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        milliseconds = int(DEAD_PEER_TIMEOUT * 1000)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _place(hop: Hop) -> tuple[str, str, int]:
    return hop.transport.upper(), hop.host, hop.port


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({error.verify_message})"
    if isinstance(error, TimeoutError) and not error.args:
        return "it took too long"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
