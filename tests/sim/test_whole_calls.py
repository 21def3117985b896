"""Whole calls over a bad network: no ghosts, agreement, nothing left, and audio that comes back.

Hundreds of seeds each, in virtual time. A seed that fails is a test that can be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest

from ringback.sip.sdp_values import Direction
from ringback.sip.session_states import SessionState
from ringback.sip.timers import Timers
from sim.network import AWFUL, FINE, ROUGH, Conditions, Network, World
from sim.phone import TICK, Phone

GIVE_UP = Timers().give_up
A, B = "10.0.0.1", "10.0.0.2"
SETTLED = 2 * GIVE_UP
"""After so long in which nobody did anything, whatever was under way is decided."""


@dataclass
class Scene:
    world: World
    network: Network
    caller: Phone
    callee: Phone

    @property
    def phones(self) -> tuple[Phone, Phone]:
        return self.caller, self.callee

    @property
    def ghost(self) -> bool:
        """One side has a call that the other has not."""
        confirmed = [phone.state is SessionState.CONFIRMED for phone in self.phones]
        return confirmed[0] != confirmed[1]

    def hang_up(self) -> None:
        for phone in self.phones:
            phone.hang_up()
            self.world.run(SETTLED)


def scene(
    seed: int,
    usual: Conditions = FINE,
    *,
    speaks: bool = False,
    auto_answer: bool = True,
    drift: float = 0.0,
) -> Scene:
    world = World(seed)
    network = Network(world, usual)
    caller = Phone(A, network, seed, speaks=speaks)
    callee = Phone(B, network, seed, speaks=speaks, auto_answer=auto_answer, drift=drift)
    return Scene(world, network, caller, callee)


def act(phone: Phone, what: str) -> None:
    match what:
        case "answer":
            phone.answer()
        case "hold":
            phone.offer(Direction.SENDONLY)
        case "both-hold":
            phone.offer(Direction.INACTIVE)
        case "resume":
            phone.offer(Direction.SENDRECV)
        case "hang-up":
            phone.hang_up()


def play(played: Scene, random: Random) -> None:
    """Some of what people do, at moments that make the most of it."""
    deeds = ("answer", "answer", "hold", "resume", "both-hold", "resume", "hang-up")
    for _ in range(random.randrange(2, 9)):
        played.world.run(random.choice((0.0, 0.01, 0.05, 0.3, 1.0, 3.0, 12.0)))
        act(random.choice(played.phones), random.choice(deeds))


def nothing_is_left(played: Scene) -> None:
    for phone in played.phones:
        assert phone.endpoint.is_idle, phone.endpoint.counts
        assert phone.endpoint.counts.timers == 0
        assert len(phone.endings) == (0 if phone.session is None else 1)


@pytest.mark.requirement("call.no-ghosts", "bad.network")
@pytest.mark.parametrize("conditions", [FINE, ROUGH, AWFUL], ids=["fine", "rough", "awful"])
def test_both_sides_agree_and_every_call_ends_once(conditions: Conditions) -> None:
    for seed in range(100):
        played = scene(seed, conditions, auto_answer=seed % 2 == 0)
        played.caller.call(played.callee)
        play(played, Random(seed))
        played.world.run(SETTLED)
        assert not played.ghost, seed
        if played.caller.state is SessionState.CONFIRMED:
            they_agree_on_the_audio(played)
        played.hang_up()
        nothing_is_left(played)


def they_agree_on_the_audio(played: Scene) -> None:
    ours, theirs = played.caller.agreed, played.callee.agreed
    assert ours is not None
    assert theirs is not None
    assert played.caller.stable
    assert played.callee.stable
    assert (ours.send, ours.receive) == (theirs.receive, theirs.send)
    assert ours.codec == theirs.codec


@pytest.mark.requirement("call.2xx-retransmission")
def test_a_call_gets_through_where_a_third_of_everything_is_lost() -> None:
    up = 0
    for seed in range(60):
        played = scene(seed, AWFUL)
        played.caller.call(played.callee)
        played.world.run(SETTLED)
        up += played.caller.state is played.callee.state is SessionState.CONFIRMED
    assert up >= 58


@pytest.mark.requirement("call.no-ghosts", "bad.network")
def test_a_network_that_parts_and_heals_at_any_moment_leaves_no_ghost_for_long() -> None:
    """A BYE that was lost for good is made up for by the first request that nobody knows: the
    refresh of the session timer, at the latest."""
    for seed in range(60):
        random = Random(seed)
        played = scene(seed, ROUGH)
        played.caller.call(played.callee)
        played.world.run(random.random() * 3)
        both = random.random() < 0.5
        played.network.part(*random.sample((A, B), 2), both=both)
        played.world.run(random.random() * 50)
        act(random.choice(played.phones), random.choice(("hang-up", "hold", "resume")))
        played.world.run(random.random() * 50)
        played.network.heal()
        played.world.run(SETTLED + 3600.0)
        assert not played.ghost, seed
        played.hang_up()
        nothing_is_left(played)


def test_bad_weather_does_not_make_what_is_held_grow() -> None:
    """A hundred calls one after another over one pair of endpoints."""
    played = scene(5, AWFUL)
    most = 0
    for _ in range(100):
        played.caller.call(played.callee)
        played.world.run(8.0)
        played.caller.hang_up()
        played.callee.hang_up()
        played.world.run(2.0)
        counts = [phone.endpoint.counts for phone in played.phones]
        most = max(most, *(c.client_transactions + c.server_transactions for c in counts))
    assert most < 40
    played.world.run(SETTLED)
    assert all(phone.endpoint.is_idle for phone in played.phones)


# ---- with audio ---------------------------------------------------------------------------------


def talking(seed: int, conditions: Conditions = FINE, drift: float = 0.0) -> Scene:
    """A call that has been talked on for two seconds."""
    played = scene(seed, conditions, speaks=True, drift=drift)
    played.caller.call(played.callee)
    played.world.run(4.0)
    assert played.caller.state is played.callee.state is SessionState.CONFIRMED
    return played


def share_heard(played: Scene, phone: Phone, seconds: float) -> float:
    """Of the ticks of the next ``seconds``, those with sound for ``phone``."""
    before, ticks = phone.heard, phone.ticks
    played.world.run(seconds)
    return (phone.heard - before) / (phone.ticks - ticks)


def test_both_hear_each_other() -> None:
    played = talking(1)
    for phone in played.phones:
        assert share_heard(played, phone, 5.0) > 0.99


@pytest.mark.requirement("bad.network")
@pytest.mark.parametrize("seed", range(5))
def test_audio_comes_back_after_a_partition(seed: int) -> None:
    played = talking(seed, ROUGH)
    played.network.part(A, B)
    played.world.run(10.0)
    for phone in played.phones:
        assert share_heard(played, phone, 1.0) < 0.05
    played.network.heal()
    played.world.run(2.0)
    for phone in played.phones:
        assert share_heard(played, phone, 5.0) > 0.9
        assert phone.state is SessionState.CONFIRMED


@pytest.mark.requirement("call.remote-hold")
def test_who_is_held_is_not_heard_until_the_resume() -> None:
    played = talking(3)
    assert played.caller.offer(Direction.INACTIVE)
    played.world.run(2.0)
    for phone in played.phones:
        assert share_heard(played, phone, 2.0) < 0.05
    assert played.caller.offer(Direction.SENDRECV)
    played.world.run(2.0)
    for phone in played.phones:
        assert share_heard(played, phone, 5.0) > 0.99


def test_loss_is_concealed_and_reported() -> None:
    played = talking(4, Conditions(loss=0.02, jitter=0.02))
    assert share_heard(played, played.callee, 30.0) > 0.97
    lost = played.caller.rtp.remote_packets_lost
    assert lost is not None
    assert 10 < lost < 100
    assert played.caller.rtp.round_trip_ms == pytest.approx(60, abs=40)


def test_a_tick_is_what_it_is_said_to_be() -> None:
    played = talking(5, drift=1e-3)
    before = played.callee.ticks
    played.world.run(100.0)
    assert played.callee.ticks - before == pytest.approx(100 / TICK * 1.001, abs=2)
