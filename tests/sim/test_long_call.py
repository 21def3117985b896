"""An hour on the phone: session timers, clocks 200 ppm apart, 2 % loss; in virtual time."""

from __future__ import annotations

import pytest

from ringback.sip.message import Request, parse_message
from ringback.sip.session_states import SessionState
from sim.network import Address, Conditions, Network, World
from sim.phone import SIP_PORT, Phone

HOUR = 3600.0
PPM = 1e-6
WEATHER = Conditions(loss=0.02, delay=0.03, jitter=0.02)
LONGEST_DELAY_MS = 250.0


class WatchedNetwork(Network):
    """Remembers which requests went over it."""

    def __init__(self, world: World, usual: Conditions) -> None:
        super().__init__(world, usual)
        self.requests: list[tuple[float, str, str]] = []

    def send(self, data: bytes, source: Address, target: Address) -> None:
        if target[1] == SIP_PORT:
            message = parse_message(data)
            if isinstance(message, Request):
                self.requests.append((self.world.now, source[0], message.method))
        super().send(data, source, target)


@pytest.mark.timeout(900)
@pytest.mark.requirement("media.clock-drift", "call.session-timer-long")
def test_a_call_of_an_hour_stays_up_and_in_sync() -> None:
    """One of the two hears a clock that is too fast, the other one that is too slow."""
    world = World(7)
    network = WatchedNetwork(world, WEATHER)
    caller = Phone("10.0.0.1", network, 7)
    callee = Phone("10.0.0.2", network, 7, drift=200 * PPM)
    caller.call(callee)
    world.run(5.0)
    for _ in range(6):
        before = [(phone.heard, phone.ticks) for phone in (caller, callee)]
        world.run(HOUR / 6)
        for phone, (heard, ticks) in zip((caller, callee), before, strict=True):
            assert phone.state is SessionState.CONFIRMED
            assert phone.endings == []
            assert (phone.heard - heard) / (phone.ticks - ticks) > 0.97
            assert phone.rtp.receiver.buffer_ms < LONGEST_DELAY_MS
    refreshes = {method for at, _, method in network.requests if at > 1100}
    assert refreshes <= {"UPDATE", "INVITE", "ACK"}
    assert len([m for at, _, m in network.requests if at > 1100 and m != "ACK"]) >= 3
    caller.hang_up()
    world.run(70.0)
    assert len(caller.endings) == len(callee.endings) == 1
    assert caller.endpoint.is_idle
    assert callee.endpoint.is_idle


@pytest.mark.requirement("call.session-timer-long")
def test_a_call_whose_peer_vanished_ends_by_its_session_timer() -> None:
    world = World(8)
    network = WatchedNetwork(world, Conditions())
    caller = Phone("10.0.0.1", network, 8, speaks=False)
    callee = Phone("10.0.0.2", network, 8, speaks=False)
    caller.call(callee)
    world.run(5.0)
    network.part("10.0.0.1", "10.0.0.2")
    world.run(HOUR)
    assert len(caller.endings) == len(callee.endings) == 1
