"""Two endpoints, a network between them that loses, doubles and reorders, and virtual time.

The network is fair: of one and the same message it loses at most ``MAX_LOST_IN_A_ROW`` copies
one after another, so that what SIP retransmits to the end does arrive. ``cut`` makes it lose
everything instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from ringback.sip.endpoint import EndpointConfig
from ringback.sip.events import (
    ENDING_EVENTS,
    Event,
    IncomingInvite,
    OfferReceived,
    ReferReceived,
)
from ringback.sip.invite_session import InviteSession
from ringback.sip.message import parse_message
from ringback.sip.session_states import SessionState
from ringback.sip.transport import Flow, Hop, Transmission, Transport
from unit.sip.sipkit import ANSWER, Node, invite_request

MAX_LOST_IN_A_ROW = 2


@dataclass(frozen=True)
class Weather:
    """Shares of the messages lost and doubled, and the delay in seconds."""

    lost: float = 0.0
    doubled: float = 0.0
    fastest: float = 0.01
    slowest: float = 0.01


class Party:
    """One end: its node, its session once there is one, and what its owner saw."""

    def __init__(self, name: str, host: str, seed: int) -> None:
        random = Random(f"{seed}{name}")
        config = EndpointConfig(transfers=True)
        self.node = Node(config, host=host, prefix=name, random=random.random)
        self.host = host
        self.session: InviteSession | None = None
        self.seen: list[Event] = []
        self.on_offer: Callable[[InviteSession], None] = self.accept_offer

    @property
    def state(self) -> SessionState | None:
        return self.session.state if self.session is not None else None

    @property
    def endings(self) -> list[Event]:
        return [event for event in self.seen if isinstance(event, ENDING_EVENTS)]

    def accept_offer(self, session: InviteSession) -> None:
        session.respond_offer(ANSWER, now=self.node.now)

    def react(self, event: Event) -> None:
        self.seen.append(event)
        if isinstance(event, IncomingInvite):
            self.session = event.session
        elif isinstance(event, OfferReceived):
            self.on_offer(event.session)
        elif isinstance(event, ReferReceived):
            event.referral.accept(now=self.node.now)
            event.referral.report(486, now=self.node.now)


class Network:
    def __init__(self, seed: int, weather: Weather, transport: Transport = "udp") -> None:
        self.random = Random(seed)
        self.weather = weather
        self.transport: Transport = transport
        self.caller = Party("a", "192.0.2.1", seed)
        self.callee = Party("b", "192.0.2.2", seed)
        self.now = 1000.0
        self.cut = False
        self.watch: Callable[[], None] = lambda: None
        self._under_way: list[tuple[float, int, Party, bytes, Flow]] = []
        self._count = 0
        self._lost_in_a_row: Counter[bytes] = Counter()
        self._last_arrival: dict[str, float] = {}

    @property
    def parties(self) -> tuple[Party, Party]:
        return self.caller, self.callee

    def call(self, **changes: object) -> InviteSession:
        hop = Hop(self.transport, self.callee.host, 5060)
        session = self.caller.node.endpoint.invite(invite_request(**changes), [hop], now=self.now)
        self.caller.session = session
        self.settle_down()
        return session

    # ---- time ---------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, in order of arrivals and timers."""
        end = self.now + seconds
        while (moment := self._next()) is not None and moment <= end:
            self._move_to(moment)
            for party in self.parties:
                party.node.endpoint.handle_timeout(self.now)
            while self._under_way and self._under_way[0][0] <= self.now:
                _, _, party, data, flow = heappop(self._under_way)
                party.node.endpoint.receive(parse_message(data), flow, self.now)
                self.settle_down()
            self.settle_down()
        self._move_to(end)

    def _move_to(self, moment: float) -> None:
        self.now = moment
        for party in self.parties:
            party.node.now = moment

    def _next(self) -> float | None:
        moments = [party.node.endpoint.next_timer() for party in self.parties]
        if self._under_way:
            moments.append(self._under_way[0][0])
        return min((moment for moment in moments if moment is not None), default=None)

    # ---- messages -----------------------------------------------------------------------------

    def settle_down(self) -> None:
        """Drain both endpoints to the end and let their owners act."""
        busy = True
        while busy:
            busy = False
            for party in self.parties:
                endpoint = party.node.endpoint
                for transmission in endpoint.transmissions():
                    self._carry(transmission, party)
                for event in endpoint.events():
                    party.react(event)
                    busy = True
        self.watch()

    def _carry(self, transmission: Transmission, sender: Party) -> None:
        receiver = next(
            (p for p in self.parties if p.host == transmission.destination.hop.host), None
        )
        if receiver is None or self.cut:
            return
        reliable = self.transport != "udp"
        if not reliable and self._loses(transmission.data):
            return
        copies = 2 if not reliable and self.random.random() < self.weather.doubled else 1
        flow = Flow(Hop(self.transport, sender.host, 5060), None if not reliable else 1)
        for _ in range(copies):
            arrival = self.now + self.random.uniform(self.weather.fastest, self.weather.slowest)
            if reliable:
                arrival = max(arrival, self._last_arrival.get(sender.host, 0.0))
                self._last_arrival[sender.host] = arrival
            self._count += 1
            heappush(self._under_way, (arrival, self._count, receiver, transmission.data, flow))

    def _loses(self, data: bytes) -> bool:
        lost = self.random.random() < self.weather.lost
        if lost and self._lost_in_a_row[data] < MAX_LOST_IN_A_ROW:
            self._lost_in_a_row[data] += 1
            return True
        self._lost_in_a_row[data] = 0
        return False
