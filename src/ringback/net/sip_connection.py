"""One TCP or TLS connection that carries SIP (RFC 3261 18, RFC 5626 keepalives)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from ringback.core.clock import Clock
from ringback.sip.errors import ParseError
from ringback.sip.message import Request, Response
from ringback.sip.stream import (
    PING,
    PONG,
    Malformed,
    MessageReceived,
    Ping,
    Pong,
    StreamBroken,
    StreamEvent,
    StreamFramer,
)
from ringback.sip.transport import Flow, Hop, Transmission

MAX_BUFFERED_BYTES = 512 * 1024
"""Bytes that wait to be sent on one connection; a peer that reads slower is cut off."""
MAX_REMEMBERED = 64
"""Requests that can be sent again when the connection turns out to be dead."""
FEED_BYTES = 8192
"""Bytes taken apart at a time, so that a peer that is cut off costs no more than these."""
PING_WINDOW = 10.0
MAX_PINGS = 100
"""Keepalives that one connection may send within ``PING_WINDOW`` seconds."""
RESEND_WINDOW = 4.0
"""Seconds within which a request on a connection that breaks is taken for lost."""


@dataclass(slots=True)
class StreamCounters:
    received: int = 0
    received_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    pings: int = 0
    accepted: int = 0
    refused: int = 0
    """Connections beyond a bound."""
    dialled: int = 0
    dial_failures: int = 0
    handshake_failures: int = 0
    malformed: int = 0
    broken: int = 0
    """Connections closed because nobody knows where the next message begins."""
    overflows: int = 0
    """Connections closed because the peer did not read."""
    idle_closed: int = 0
    ping_floods: int = 0
    """Connections closed because of too many keepalives."""
    cut_off: int = 0
    """Connections of strangers closed because of what they sent."""
    resent: int = 0
    """Transmissions sent again because their connection broke under them."""


class SipConnection(asyncio.Protocol):
    """``hop`` is the remote end. While it is being dialled, ``send`` queues.

    ``on_message`` gets each message, or the error that it came to, after which the connection
    may be closed; ``on_closed`` the end of a connection that was open.
    """

    def __init__(
        self,
        number: int,
        hop: Hop,
        *,
        outgoing: bool,
        clock: Clock,
        counters: StreamCounters,
        on_message: Callable[[SipConnection, Request | Response | ParseError], None],
        on_closed: Callable[[SipConnection], None],
    ) -> None:
        self.number = number
        self.hop = hop
        self.flow = Flow(hop, number)
        self.outgoing = outgoing
        """We opened it."""
        self.stranger = False
        """No trunk vouches for the peer, and it has had no call on this connection."""
        self.opened = False
        self.closed = False
        self.failure = ""
        """Why it could not be opened, in words."""
        self.quiet_since = clock.monotonic()
        """When bytes last went either way."""
        self.incomplete_since: float | None = None
        """When the message that is not complete yet began to come."""
        self.waiting: list[Transmission] = []
        self._waiting_bytes = 0
        self._clock = clock
        self._counters = counters
        self._on_message = on_message
        self._on_closed = on_closed
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._pings = 0
        self._pings_since = self.quiet_since
        self._recent: deque[tuple[float, Transmission]] = deque(maxlen=MAX_REMEMBERED)

    # ---- asyncio ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.closed:
            self._transport.abort()
            return
        self.opened = True
        self.quiet_since = self._clock.monotonic()
        waiting, self.waiting = self.waiting, []
        for transmission in waiting:
            self.send(transmission)

    def data_received(self, data: bytes) -> None:
        self.quiet_since = self._clock.monotonic()
        self._counters.received_bytes += len(data)
        self._recent.clear()  # whoever sends has been listening
        events: list[StreamEvent] = []
        for start in range(0, len(data), FEED_BYTES):
            events = self._framer.feed(data[start : start + FEED_BYTES])
            for event in events:
                if not self.closed:
                    self._take(event)
            if self.closed:
                return
        if events and not self._framer.buffered:
            self.incomplete_since = None
        elif self.incomplete_since is None:
            self.incomplete_since = self.quiet_since

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self.opened:
            self._on_closed(self)

    # ---- ours ---------------------------------------------------------------------------------

    def send(self, transmission: Transmission) -> bool:
        """``False`` if nothing can be sent here any more."""
        if self.closed:
            return False
        if self._transport is None:
            self._waiting_bytes += len(transmission.data)
            if self._waiting_bytes > MAX_BUFFERED_BYTES:
                self._counters.overflows += 1
                return False
            self.waiting.append(transmission)
            return True
        if self._transport.is_closing():
            return False
        if self._overflows():
            return False
        if transmission.key:
            self._recent.append((self._clock.monotonic(), transmission))
        self._counters.sent += 1
        self._write(transmission.data)
        return True

    def ping(self) -> None:
        """Ask for a sign of life (RFC 5626 4.4.1)."""
        if self._transport is not None and not self._transport.is_closing():
            self._write(PING)

    def unconfirmed_requests(self) -> list[Transmission]:
        """The requests sent just now and not followed by a single byte from the peer."""
        earliest = self._clock.monotonic() - RESEND_WINDOW
        return [
            transmission
            for when, transmission in self._recent
            if when >= earliest and not transmission.data.startswith(b"SIP/")
        ]

    def close(self) -> None:
        """Close after what is buffered has gone out."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def _take(self, event: StreamEvent) -> None:
        match event:
            case MessageReceived(message):
                self._counters.received += 1
                self._on_message(self, message)
            case Malformed(error):
                self._counters.malformed += 1
                self._on_message(self, error)
            case StreamBroken(error):
                self._counters.broken += 1
                self._on_message(self, error)
                self.close()
            case Ping() if not self.outgoing:
                # only the side that opened the connection pings; what we opened gets pongs
                self._counters.pings += 1
                if not self._overflows() and not self._floods():
                    self._write(PONG)
            case Ping() | Pong():
                pass

    def _overflows(self) -> bool:
        """Cut off a peer that does not read what it is sent."""
        transport = self._transport
        if transport is None or transport.get_write_buffer_size() <= MAX_BUFFERED_BYTES:
            return False
        self._counters.overflows += 1
        self.abort()
        return True

    def _floods(self) -> bool:
        """Cut off a peer that sends nothing but keepalives, and those without end."""
        if self.quiet_since - self._pings_since >= PING_WINDOW:
            self._pings, self._pings_since = 0, self.quiet_since
        self._pings += 1
        if self._pings <= MAX_PINGS:
            return False
        self._counters.ping_floods += 1
        self.abort()
        return True

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self.quiet_since = self._clock.monotonic()
            self._counters.sent_bytes += len(data)
            self._transport.write(data)
