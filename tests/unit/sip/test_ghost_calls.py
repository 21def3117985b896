"""No interleaving of answers, CANCELs, BYEs, offers, losses and delays leaves a ghost call.

A ghost is a call that one side believes in and the other does not. The one thing that SIP alone
cannot heal is a peer that is gone for good: that is the media timeout's business.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringback.sip.events import Acked, Answered, IncomingInvite
from ringback.sip.refer import ReferTo
from ringback.sip.session_states import SessionState
from ringback.sip.transport import Transport
from ringback.sip.uri import Uri
from unit.sip.sipkit import ANSWER, GIVE_UP, OFFER_2
from unit.sip.virtual_network import Network, Party, Weather

FINE = Weather()
ROUGH = Weather(lost=0.4, doubled=0.2, fastest=0.005, slowest=1.2)

CALLER_ACTIONS = ("cancel", "bye", "hang_up", "reinvite", "update", "refer", "info")
CALLEE_ACTIONS = (
    *("ring", "early", "accept", "reject", "bye", "hang_up"),
    *("reinvite", "update", "refer", "info"),
)
CAROL = ReferTo(Uri.parse("sip:carol@192.0.2.9"))


@dataclass(frozen=True)
class Step:
    wait: float
    caller: bool
    action: str


def act(party: Party, action: str, now: float) -> None:
    session = party.session
    if session is None:
        return
    match action:
        case "cancel":
            session.cancel(now=now)
        case "bye":
            session.bye(now=now)
        case "hang_up":
            session.hang_up(status=486, now=now)
        case "reinvite":
            session.reinvite(OFFER_2, now=now)
        case "info":
            session.info("application/dtmf", b"1", now=now)
        case "update":
            session.update(OFFER_2, now=now)
        case "refer":
            session.refer(CAROL, now=now)
        case "ring":
            session.progress(180, now=now)
        case "early":
            session.progress(183, sdp=ANSWER, now=now)
        case "accept":
            session.accept(ANSWER, now=now)
        case "reject":
            session.reject(603, now=now)


WAITS = st.sampled_from([0.0, 0.0, 0.005, 0.01, 0.02, 0.1, 0.3, 0.5, 1.0, 2.5, 7.0, 33.0])


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """Up to eight things that the two owners do, most often beginning with an answer."""
    of_caller = st.builds(Step, WAITS, st.just(True), st.sampled_from(CALLER_ACTIONS))
    of_callee = st.builds(Step, WAITS, st.just(False), st.sampled_from(CALLEE_ACTIONS))
    opening = draw(st.sampled_from(["", "accept", "ring accept", "early accept", "early ring"]))
    first = [Step(draw(WAITS) + 0.02, False, action) for action in opening.split()]
    return first + draw(st.lists(of_caller | of_callee, max_size=6))


class Watch:
    """Measures how long the two sides disagree about the call."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.since: float | None = None
        self.longest = 0.0
        network.watch = self.look

    def look(self) -> None:
        caller, callee = (party.state for party in self.network.parties)
        ghost = SessionState.CONFIRMED in (caller, callee) and caller is not callee
        if not ghost:
            self.since = None
            return
        if self.since is None:
            self.since = self.network.now
        self.longest = max(self.longest, self.network.now - self.since)


def play(network: Network, script: list[Step], reliable: bool = False) -> None:
    """``reliable``: the caller requires reliable provisional responses."""
    network.call(headers=(("Require", "100rel"),) if reliable else ())
    for step in script:
        network.advance(step.wait)
        act(network.caller if step.caller else network.callee, step.action, network.now)
        network.settle_down()


def everything_ended_once_and_nothing_is_left(network: Network) -> None:
    for party in network.parties:
        wanted = 1 if party.session is not None else 0
        assert len(party.endings) == wanted
        assert party.node.clean
        of_session = [event for event in party.seen if getattr(event, "session", None)]
        assert not party.endings or of_session[-1] is party.endings[0]
        answers = [event for event in party.seen if isinstance(event, Answered | Acked)]
        assert len(answers) <= 1


@pytest.mark.requirement("call.no-ghosts")
@settings(max_examples=400, deadline=None)
@given(
    script=steps(),
    seed=st.integers(0, 2**32),
    weather=st.sampled_from([FINE, ROUGH]),
    transport=st.sampled_from(["udp", "udp", "udp", "tcp"]),
    last=st.booleans(),
    reliable=st.booleans(),
)
def test_both_sides_agree_in_the_end_and_every_session_ends_once(
    script: list[Step],
    seed: int,
    weather: Weather,
    transport: Transport,
    last: bool,
    reliable: bool,
) -> None:
    network = Network(seed, weather, transport)
    watch = Watch(network)
    play(network, script, reliable)
    network.advance(3 * GIVE_UP)
    assert watch.longest <= GIVE_UP
    caller, callee = (party.state for party in network.parties)
    confirmed = SessionState.CONFIRMED
    assert (caller is confirmed) == (callee is confirmed)

    for party in (network.caller, network.callee) if last else (network.callee, network.caller):
        act(party, "hang_up", network.now)
        network.settle_down()
        network.advance(3 * GIVE_UP)
    assert {party.state for party in network.parties} <= {SessionState.ENDED, None}
    everything_ended_once_and_nothing_is_left(network)


@settings(max_examples=150, deadline=None)
@given(script=steps(), seed=st.integers(0, 2**32), cut_after=st.integers(0, 8))
def test_a_network_that_dies_leaves_nothing_behind_once_the_owners_hang_up(
    script: list[Step], seed: int, cut_after: int
) -> None:
    network = Network(seed, ROUGH)
    play(network, script[:cut_after])
    network.cut = True
    for step in script[cut_after:]:
        network.advance(step.wait)
        act(network.caller if step.caller else network.callee, step.action, network.now)
        network.settle_down()
    for _ in range(2):  # an INVITE that was under way may ring after the first time
        for party in network.parties:
            act(party, "hang_up", network.now)
        network.settle_down()
        network.advance(5 * GIVE_UP)
    everything_ended_once_and_nothing_is_left(network)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), lag=st.floats(0.0, 4.0))
def test_offers_of_both_sides_at_once_are_settled(seed: int, lag: float) -> None:
    network = Network(seed, Weather(fastest=0.01, slowest=0.2))
    play(network, [Step(0.5, False, "accept"), Step(2.0, True, "reinvite")])
    network.advance(lag)
    act(network.callee, "reinvite", network.now)
    network.settle_down()
    network.advance(GIVE_UP)
    for party in network.parties:
        assert party.state is SessionState.CONFIRMED
        session = party.session
        assert session is not None
        assert session.reinvite(OFFER_2, now=network.now)
        network.settle_down()
        network.advance(GIVE_UP)
        assert party.state is SessionState.CONFIRMED


@pytest.mark.requirement("call.no-ghosts", "call.cancel-crossing")
@pytest.mark.parametrize("wait", [0.0, 0.005, 0.01, 0.011, 0.015, 0.02, 0.021, 0.05])
def test_a_cancel_and_an_answer_that_cross_leave_no_call(wait: float) -> None:
    network = Network(1, FINE)
    watch = Watch(network)
    play(
        network,
        [Step(0.1, False, "ring"), Step(0.1, False, "accept"), Step(wait, True, "hang_up")],
    )
    network.advance(3 * GIVE_UP)
    assert watch.longest <= 1.0
    everything_ended_once_and_nothing_is_left(network)


def test_the_network_of_these_tests_does_carry_a_call() -> None:
    network = Network(7, ROUGH)
    play(network, [Step(5.0, False, "ring"), Step(3.0, False, "accept")])
    network.advance(GIVE_UP)
    assert [type(event) for event in network.callee.seen] == [IncomingInvite, Acked]
    assert network.caller.state is SessionState.CONFIRMED
    assert network.callee.state is SessionState.CONFIRMED
