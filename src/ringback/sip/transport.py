"""The words that the pure core shares with whatever moves its bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

Transport = Literal["udp", "tcp", "tls"]


@dataclass(frozen=True, slots=True)
class Hop:
    """One place to send to, as RFC 3263 finds it.

    ``host`` is an IP literal without brackets. ``server_name`` is what a TLS certificate must
    name (``None``: ``host`` itself) and ``verify`` whether it is checked at all.
    """

    transport: Transport
    host: str
    port: int
    server_name: str | None = None
    verify: bool = True

    @property
    def reliable(self) -> bool:
        return self.transport != "udp"


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a message came from, or where one goes.

    ``connection`` is the driver's number for an open TCP or TLS connection. To send on a flow
    means: on that connection while it is open, else on any connection to ``hop``, else on a new
    one dialled to ``hop``. Over UDP it is ``None``.
    """

    hop: Hop
    connection: int | None = None


def heard_on(sent_to: Hop, heard: Flow) -> Flow:
    """Where to send to whoever answered on ``heard`` what we sent to ``sent_to``.

    Over a connection that is the hop we dialled, with the name its certificate has to bear; over
    UDP it is the source of the answer.
    """
    return Flow(sent_to, heard.connection) if sent_to.reliable else heard


@dataclass(frozen=True, slots=True)
class Transmission:
    """Bytes that go out now. ``key`` names the transaction that wants to know if they cannot.
    ``repeated`` is the driver's mark: the connection that they were sent on first broke; and
    ``failure`` its words for why they could not be sent."""

    destination: Flow
    data: bytes
    key: str = ""
    repeated: bool = field(default=False, compare=False)
    failure: str = field(default="", compare=False)


class LocalAddresses(Protocol):
    def advertised(self, hop: Hop) -> tuple[str, int]:
        """Host and port to write into Via and Contact toward this peer. Must be constant for as
        long as requests sent with it are unanswered: responses are checked against it."""
        ...
