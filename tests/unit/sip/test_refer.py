"""Transfers by REFER, asked for and followed (RFC 3515, RFC 4488, RFC 3891)."""

from __future__ import annotations

import pytest

from ringback.sip.endpoint import EndpointConfig
from ringback.sip.events import (
    EndCause,
    Ended,
    ReferProgress,
    ReferReceived,
)
from ringback.sip.headers import NameAddr
from ringback.sip.message import Request
from ringback.sip.refer import ReferTo, sipfrag_status
from ringback.sip.refer_asker import MAX_SUBSCRIPTION
from ringback.sip.refer_follower import SUBSCRIPTION_SECONDS
from ringback.sip.refer_states import ASKER, FOLLOWER, AskerState, FollowerState, ReferStage
from ringback.sip.referral import Referral
from ringback.sip.session_states import SessionState
from ringback.sip.uri import Uri
from unit.sip.call_lab import InboundCall, peer_says
from unit.sip.sipkit import (
    GIVE_UP,
    Node,
    answer_to,
    request_from,
    state,
)

TRANSFERS = EndpointConfig(transfers=True)
CAROL = ReferTo(Uri.parse("sip:carol@example.com"))
ACCEPTED, PROGRESS, DONE = ReferStage.ACCEPTED, ReferStage.PROGRESS, ReferStage.DONE


def call() -> InboundCall:
    made = InboundCall(config=TRANSFERS).confirmed()
    made.node.take_sent()
    return made


def told(node: Node) -> list[tuple[ReferStage, int]]:
    return [(e.stage, e.status) for e in node.events if isinstance(e, ReferProgress)]


# ---- we ask -------------------------------------------------------------------------------------


def refer(to: ReferTo = CAROL) -> InboundCall:
    made = call()
    by = NameAddr.parse("<sip:alice@192.0.2.1>")
    assert made.session.refer(to, referred_by=by, now=made.node.now)
    made.node.drain()
    return made


def answer(made: InboundCall, status: int, **how: object) -> None:
    made.node.receive(answer_to(made.node.last_request("REFER"), status, **how))  # type: ignore[arg-type]


def notify(
    made: InboundCall,
    cseq: int,
    status: int | None,
    subscription: str = "active;expires=60",
    event: str = "refer",
) -> None:
    body = f"SIP/2.0 {status} So\r\n".encode() if status else b""
    peer_says(
        made,
        "NOTIFY",
        cseq,
        headers=[("Event", event), ("Subscription-State", subscription)],
        body=body,
        content_type="message/sipfrag",
        branch=f"z9hG4bKn{cseq}",
    )


@pytest.mark.requirement("call.refer-out-blind", "rfc3515.2.4")
def test_a_transfer_is_followed_from_the_202_to_the_last_notify() -> None:
    made = refer()
    request = made.node.last_request("REFER")
    assert request.headers.get("Refer-To") == "<sip:carol@example.com>"
    assert request.headers.get("Referred-By") == "<sip:alice@192.0.2.1>"
    assert request.contact is not None
    assert request.to.tag == "theirs"
    answer(made, 202)
    notify(made, 2, 100)
    notify(made, 3, 180)
    notify(made, 4, 200, "terminated;reason=noresource")
    assert told(made.node) == [(ACCEPTED, 202), (PROGRESS, 100), (PROGRESS, 180), (DONE, 200)]
    assert made.node.take_sent() == ["REFER", "200 NOTIFY", "200 NOTIFY", "200 NOTIFY"]
    notify(made, 5, 200, "terminated")
    assert made.node.take_sent() == ["481 NOTIFY"]
    assert state(made.session) is SessionState.CONFIRMED
    made.session.bye(now=made.node.now)
    assert made.is_over()


@pytest.mark.requirement("call.refer-out-blind")
@pytest.mark.parametrize("status", [403, 405, 486, 501, 603])
def test_a_refused_transfer_is_told_and_the_call_goes_on(status: int) -> None:
    made = refer()
    answer(made, status)
    assert told(made.node) == [(ReferStage.REFUSED, status)]
    assert state(made.session) is SessionState.CONFIRMED
    assert made.session.refer(CAROL, now=made.node.now)


@pytest.mark.requirement("call.refer-out-blind")
def test_a_transfer_whose_new_call_fails_is_told_with_its_status() -> None:
    made = refer()
    answer(made, 202)
    notify(made, 2, 486, "terminated;reason=noresource")
    assert told(made.node) == [(ACCEPTED, 202), (DONE, 486)]


@pytest.mark.requirement("rfc3515.2.4")
def test_a_notify_that_overtakes_the_202_counts() -> None:
    made = refer()
    notify(made, 2, 100)
    answer(made, 202)
    notify(made, 3, 200, "terminated")
    assert told(made.node) == [(PROGRESS, 100), (DONE, 200)]
    made = refer()
    notify(made, 2, 200)
    answer(made, 202)
    assert told(made.node) == [(DONE, 200)]


def test_the_result_counts_once_though_the_subscription_goes_on() -> None:
    made = refer()
    answer(made, 202)
    notify(made, 2, 200)
    notify(made, 3, 200, "terminated")
    assert told(made.node) == [(ACCEPTED, 202), (DONE, 200)]


def test_a_subscription_that_ends_without_a_result_is_done_with_what_was_heard_last() -> None:
    made = refer()
    answer(made, 202)
    notify(made, 2, 180)
    notify(made, 3, None, "terminated;reason=giveup")
    assert told(made.node)[-1] == (DONE, 180)


def test_a_far_end_that_tells_nothing_is_not_waited_for_for_ever() -> None:
    made = refer()
    answer(made, 202)
    made.node.advance(MAX_SUBSCRIPTION)
    assert told(made.node) == [(ACCEPTED, 202), (DONE, 202)]
    made.session.bye(now=made.node.now)
    assert made.is_over()


def test_an_acceptance_without_subscription_is_the_end_of_it() -> None:
    made = refer()
    answer(made, 202, headers=[("Refer-Sub", "false")])
    assert told(made.node) == [(ACCEPTED, 202), (DONE, 202)]
    notify(made, 2, 200)
    assert made.node.last("481 NOTIFY")


def test_one_transfer_at_a_time() -> None:
    made = refer()
    assert not made.session.refer(CAROL, now=made.node.now)


def test_a_transfer_before_the_answer_is_not_asked_for() -> None:
    made = InboundCall(config=TRANSFERS)
    assert not made.session.refer(CAROL, now=made.node.now)


def test_a_peer_that_forgot_the_call_ends_it() -> None:
    made = refer()
    answer(made, 481)
    assert told(made.node) == [(ReferStage.REFUSED, 481)]
    assert made.node.event(Ended).cause is EndCause.DIALOG_LOST


def test_a_call_that_ends_ends_its_transfer_silently() -> None:
    made = refer()
    answer(made, 202)
    peer_says(made, "BYE", 2)
    made.node.settle()
    made.node.advance(MAX_SUBSCRIPTION)
    assert told(made.node) == [(ACCEPTED, 202)]
    assert made.is_over()


@pytest.mark.parametrize("event", ["presence", "message-summary", "@"])
def test_notifies_of_other_events_are_489(event: str) -> None:
    made = refer()
    notify(made, 2, 200, event=event)
    assert made.node.last("489 NOTIFY")
    assert told(made.node) == []


def test_a_notify_that_nobody_asked_for_is_481() -> None:
    made = call()
    notify(made, 2, 200)
    assert made.node.take_sent() == ["481 NOTIFY"]


# ---- we are asked -------------------------------------------------------------------------------


def referred(*headers: tuple[str, str], to: str = "<sip:carol@example.com>") -> InboundCall:
    made = call()
    peer_says(made, "REFER", 2, headers=[("Refer-To", to), *headers])
    return made


def referral(made: InboundCall) -> Referral:
    return made.node.event(ReferReceived).referral


def notifies(made: InboundCall) -> list[Request]:
    return [
        sent.message
        for sent in made.node.log
        if isinstance(sent.message, Request) and sent.message.method == "NOTIFY"
    ]


def hears_notifies(made: InboundCall, status: int = 200) -> list[tuple[int, str]]:
    """Answer each NOTIFY; what they told, and the state of the subscription."""
    answered = 0
    while answered < len(notifies(made)):
        made.node.receive(answer_to(notifies(made)[answered], status))
        answered += 1
    return [
        ((sipfrag_status(n.body) or (0, ""))[0], n.headers.get("Subscription-State") or "")
        for n in notifies(made)
    ]


@pytest.mark.requirement("call.refer-in", "rfc3515.2.4")
def test_a_referral_is_accepted_and_its_progress_told() -> None:
    made = referred(("Referred-By", "<sip:bob@example.net>"))
    asked = referral(made)
    assert asked.refer_to == CAROL
    assert str(asked.referred_by) == "<sip:bob@example.net>"
    assert asked.accept(now=made.node.now)
    made.node.drain()
    assert made.node.take_sent() == ["202 REFER", "NOTIFY"]
    first = notifies(made)[0]
    assert first.headers.get("Event") == "refer;id=2"
    assert str(first.content_type) == "message/sipfrag;version=2.0"
    assert first.contact is not None
    hears_notifies(made)
    for status in (180, 200):
        assert asked.report(status, now=made.node.now)
        made.node.drain()
        hears_notifies(made)
    assert hears_notifies(made) == [
        (100, f"active;expires={SUBSCRIPTION_SECONDS}"),
        (180, f"active;expires={SUBSCRIPTION_SECONDS}"),
        (200, "terminated;reason=noresource"),
    ]
    assert not asked.report(200, now=made.node.now)
    assert not asked.open
    made.session.bye(now=made.node.now)
    assert made.is_over()


@pytest.mark.requirement("rfc3515.2.4")
def test_notifies_go_one_after_another_and_the_last_word_is_not_lost() -> None:
    made = referred()
    asked = referral(made)
    asked.accept(now=made.node.now)
    for status in (180, 183, 486):
        asked.report(status, now=made.node.now)
    made.node.drain()
    assert len(notifies(made)) == 1
    assert [status for status, _ in hears_notifies(made)] == [100, 486]


@pytest.mark.requirement("call.refer-in")
def test_a_referral_may_be_refused_and_the_call_goes_on() -> None:
    made = referred()
    assert referral(made).reject(403, now=made.node.now)
    made.node.drain()
    assert made.node.take_sent() == ["403 REFER"]
    assert not referral(made).accept(now=made.node.now)
    assert state(made.session) is SessionState.CONFIRMED


def test_an_owner_that_says_nothing_has_refused() -> None:
    made = referred()
    made.node.advance(GIVE_UP)
    assert made.node.last("500 REFER")
    assert not referral(made).accept(now=made.node.now)


@pytest.mark.requirement("rfc3515.2.4")
@pytest.mark.parametrize(
    ("to", "status"),
    [
        ("<sip:carol@example.com;method=BYE>", 603),
        ("<http://example.com/>", 416),
        ("<sip:carol@example.com?Replaces=x>", 400),
        ("nonsense", 400),
    ],
)
def test_a_referral_to_anything_but_a_call_is_refused(to: str, status: int) -> None:
    made = referred(to=to)
    assert made.node.take_sent() == [f"{status} REFER"]
    assert not made.node.has_event(ReferReceived)


def test_a_refer_without_refer_to_or_with_two_is_400() -> None:
    made = call()
    peer_says(made, "REFER", 2)
    to = ("Refer-To", "<sip:carol@example.com>")
    peer_says(made, "REFER", 3, headers=[to, to])
    assert made.node.take_sent() == ["400 REFER", "400 REFER"]


@pytest.mark.requirement("rfc3515.2.4")
def test_who_wants_no_subscription_gets_none() -> None:
    made = referred(("Refer-Sub", "false"), ("Supported", "norefersub"))
    asked = referral(made)
    asked.accept(now=made.node.now)
    made.node.drain()
    assert made.node.last_response("202 REFER").headers.get("Refer-Sub") == "false"
    assert asked.report(200, now=made.node.now)
    made.node.drain()
    assert notifies(made) == []


def test_a_second_referral_waits_for_the_first() -> None:
    made = referred()
    to = [("Refer-To", "<sip:dave@example.com>")]
    peer_says(made, "REFER", 3, headers=to)
    assert made.node.take_sent() == ["491 REFER"]
    referral(made).reject(603, now=made.node.now)
    made.node.drain()
    made.node.events.clear()
    peer_says(made, "REFER", 4, headers=to)
    assert referral(made).refer_to.target.user == "dave"


def test_a_far_end_that_unsubscribes_hears_no_more() -> None:
    made = referred()
    asked = referral(made)
    asked.accept(now=made.node.now)
    made.node.drain()
    hears_notifies(made)
    unsubscribe = [("Event", "refer;id=2"), ("Expires", "0")]
    peer_says(made, "SUBSCRIBE", 3, headers=unsubscribe)
    assert made.node.last_response("200 SUBSCRIBE").headers.get("Expires") == "0"
    assert hears_notifies(made)[-1][1] == "terminated;reason=timeout"
    assert asked.report(200, now=made.node.now)
    made.node.drain()
    assert len(notifies(made)) == 2
    peer_says(made, "SUBSCRIBE", 4, headers=unsubscribe)
    assert made.node.last("481 SUBSCRIBE")


def test_a_subscription_that_is_refreshed_goes_on() -> None:
    made = referred()
    referral(made).accept(now=made.node.now)
    made.node.drain()
    made.node.advance(10.0)
    peer_says(made, "SUBSCRIBE", 3, headers=[("Event", "refer")])
    expires = made.node.last_response("200 SUBSCRIBE").expires
    assert expires == SUBSCRIPTION_SECONDS - 10


def test_a_far_end_that_knows_no_subscription_hears_no_more() -> None:
    made = referred()
    asked = referral(made)
    asked.accept(now=made.node.now)
    made.node.drain()
    hears_notifies(made, 481)
    asked.report(200, now=made.node.now)
    made.node.drain()
    assert len(notifies(made)) == 1


def test_a_subscription_ends_by_itself() -> None:
    made = referred()
    asked = referral(made)
    asked.accept(now=made.node.now)
    made.node.drain()
    hears_notifies(made)
    made.node.advance(float(SUBSCRIPTION_SECONDS))
    assert hears_notifies(made)[-1][1] == "terminated;reason=timeout"
    assert asked.open


def test_a_call_that_ends_leaves_nothing_of_its_referral() -> None:
    made = referred()
    asked = referral(made)
    asked.accept(now=made.node.now)
    made.node.drain()
    hears_notifies(made)
    peer_says(made, "BYE", 9)
    assert asked.report(200, now=made.node.now)
    made.node.drain()
    assert len(notifies(made)) == 1
    assert made.is_over()


def test_a_referral_that_was_not_decided_when_the_call_ends_is_refused() -> None:
    made = referred()
    peer_says(made, "BYE", 9)
    assert made.node.last("487 REFER")
    assert made.is_over()


def test_a_refer_outside_of_a_call_is_403() -> None:
    node = Node(TRANSFERS)
    node.receive(request_from("REFER", headers=[("Refer-To", "<sip:x@y>")]))
    assert node.take_sent() == ["403 REFER"]


# ---- the tables ---------------------------------------------------------------------------------


def test_whatever_begins_can_end() -> None:
    assert set(ASKER.values()) | {AskerState.ASKED} == set(AskerState)
    assert not any(before is AskerState.OVER for before, _ in ASKER)
    assert set(FOLLOWER.values()) | {FollowerState.REQUESTED} == set(FollowerState)
    assert not any(before is FollowerState.OVER for before, _ in FOLLOWER)
