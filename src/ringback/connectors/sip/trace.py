"""The signalling of our calls as it went over the wire, kept in memory and bounded.

Every SIP message passes by here. Those of a Call-ID that became a call of ours are kept, and masked
before anybody sees them; those of an INVITE that nobody has taken yet wait in a small ring, so that
a flood of strangers displaces nothing but itself; all others are not kept at all.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ringback.connectors.contract import TracedMessage
from ringback.connectors.sip.masking import masked
from ringback.net.sip_peek import usual_call_id
from ringback.sip.transport import Flow, Hop

MAX_FINISHED = 1024
"""Calls that are over and still in memory: they are stored seconds after their end."""
MAX_DIALOGS_PER_CALL = 16
"""Call-IDs of one call: its legs one after another, redirects and transfers."""
MAX_MESSAGES = 256
"""Messages kept of one Call-ID, the first ones; a call that is longer than that has shown what it
is, and its end is kept in ``MAX_LAST`` more."""
MAX_LAST = 32
MAX_MESSAGE_BYTES = 8192
"""Bytes kept of one message."""
MAX_UNCONFIRMED = 64
"""Call-IDs that no call has taken yet."""
MAX_UNCONFIRMED_MESSAGES = 8

_CALL_ID = re.compile(rb"(?im)^(?:call-id|i)[ \t]*:[ \t]*([^\s,;]{1,255})[ \t]*\r?$")
_INVITE = re.compile(rb"(?im)^cseq[ \t]*:[ \t]*\d+[ \t]+INVITE[ \t]*\r?$")


class SeenFrom(Protocol):
    """How we look to a peer; ``net.public_address.PublicAddress`` fits."""

    def advertised(self, hop: Hop) -> tuple[str, int]: ...


@dataclass(slots=True)
class TraceCounters:
    kept: int = 0
    truncated: int = 0
    """Messages of which only the beginning is kept."""
    left_out: int = 0
    """Messages of a call that had too many."""
    displaced: int = 0
    """Unconfirmed Call-IDs that others took the place of."""
    dialogs_refused: int = 0


@dataclass(slots=True)
class _Raw:
    at: datetime
    outgoing: bool
    data: bytes
    hop: Hop
    local: tuple[str, int] = ("", 0)
    """How we look to the other end."""
    shown: TracedMessage | None = None
    """As everybody may see it, once somebody has asked; ``data`` is empty from then on."""

    def masked(self) -> TracedMessage:
        if self.shown is None:
            self.shown = TracedMessage(
                at=self.at,
                outgoing=self.outgoing,
                transport=self.hop.transport,
                local=_place(*self.local),
                remote=_place(self.hop.host, self.hop.port),
                data=masked(self.data),
            )
            self.data = b""
        return self.shown


@dataclass(slots=True)
class _Dialog:
    first: list[_Raw] = field(default_factory=list)
    last: list[_Raw] = field(default_factory=list)


@dataclass(slots=True)
class _Call:
    call_ids: list[bytes] = field(default_factory=list)


class TraceBook:
    """``tap`` takes every message; ``adopt`` says whose call a Call-ID is."""

    def __init__(self, addresses: SeenFrom, wall_clock: Callable[[], datetime]) -> None:
        self.counters = TraceCounters()
        self._addresses = addresses
        self._wall_clock = wall_clock
        self._dialogs: dict[bytes, _Dialog] = {}
        self._calls: dict[str, _Call] = {}
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._unconfirmed: OrderedDict[bytes, list[_Raw]] = OrderedDict()

    def tap(self, outgoing: bool, data: bytes, flow: Flow) -> None:
        """Take one message, retransmissions too. Fits ``SipTransport.on_message``."""
        key = usual_call_id(data) or _unusual_call_id(data)
        if not key:
            return
        if len(data) > MAX_MESSAGE_BYTES:
            self.counters.truncated += 1
            data = data[:MAX_MESSAGE_BYTES]
        raw = _Raw(self._wall_clock(), outgoing, data, flow.hop)
        dialog = self._dialogs.get(key)
        if dialog is not None:
            self._keep(dialog, raw)
        elif key in self._unconfirmed or _INVITE.search(data, 0, MAX_MESSAGE_BYTES):
            self._wait(key, raw)

    def adopt(self, sip_call_id: str, call_id: str) -> None:
        """The messages of ``sip_call_id`` (the Call-ID header) belong to the call ``call_id``."""
        key = sip_call_id.encode("utf-8", "surrogateescape")
        call = self._calls.setdefault(call_id, _Call())
        self._finished.pop(call_id, None)
        if key in self._dialogs:
            return
        if len(call.call_ids) >= MAX_DIALOGS_PER_CALL:
            self.counters.dialogs_refused += 1
            return
        call.call_ids.append(key)
        dialog = self._dialogs[key] = _Dialog()
        for raw in self._unconfirmed.pop(key, ()):
            self._keep(dialog, raw)

    def finish(self, call_id: str) -> None:
        """The call is over: what it has is still read and may still grow, until so many others
        are over too."""
        if call_id in self._calls:
            self._finished[call_id] = None
        while len(self._finished) > MAX_FINISHED:
            self.forget(next(iter(self._finished)))

    def forget(self, call_id: str) -> None:
        self._finished.pop(call_id, None)
        call = self._calls.pop(call_id, None)
        for key in call.call_ids if call is not None else ():
            self._dialogs.pop(key, None)

    def of_call(self, call_id: str) -> Sequence[TracedMessage]:
        """Everything that is kept of the call, oldest first; empty where nothing is."""
        call = self._calls.get(call_id)
        return _in_order(self._dialogs[key] for key in call.call_ids) if call is not None else ()

    def of(self, sip_call_ids: Iterable[str]) -> Sequence[TracedMessage]:
        """What is kept under these Call-IDs, oldest first."""
        keys = [text.encode("utf-8", "surrogateescape") for text in sip_call_ids]
        return _in_order(self._dialogs[key] for key in keys if key in self._dialogs)

    @property
    def calls(self) -> int:
        return len(self._calls)

    @property
    def unconfirmed(self) -> int:
        return len(self._unconfirmed)

    def _wait(self, key: bytes, raw: _Raw) -> None:
        waiting = self._unconfirmed.get(key)
        if waiting is None:
            if len(self._unconfirmed) >= MAX_UNCONFIRMED:
                self._unconfirmed.popitem(last=False)
                self.counters.displaced += 1
            waiting = self._unconfirmed[key] = []
        if len(waiting) < MAX_UNCONFIRMED_MESSAGES:
            waiting.append(raw)

    def _keep(self, dialog: _Dialog, raw: _Raw) -> None:
        self.counters.kept += 1
        raw.local = self._addresses.advertised(raw.hop)
        if len(dialog.first) < MAX_MESSAGES:
            dialog.first.append(raw)
            return
        dialog.last.append(raw)
        if len(dialog.last) > MAX_LAST:
            del dialog.last[0]
            self.counters.left_out += 1


def _unusual_call_id(data: bytes) -> bytes | None:
    found = _CALL_ID.search(data, 0, MAX_MESSAGE_BYTES)
    return None if found is None else found[1]


def _in_order(dialogs: Iterable[_Dialog]) -> Sequence[TracedMessage]:
    found = [raw.masked() for dialog in dialogs for raw in (*dialog.first, *dialog.last)]
    return sorted(found, key=lambda message: message.at)


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
