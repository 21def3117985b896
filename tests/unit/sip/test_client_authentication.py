"""Challenges to requests of ours (RFC 3261 section 22, RFC 7616)."""

from __future__ import annotations

import hashlib

import pytest

from ringback.sip.auth import Credentials as CredentialsHeader
from ringback.sip.authentication import Authenticator, Credentials, Refusal
from ringback.sip.events import (
    Answered,
    Failure,
    InviteFailed,
    OfferAnswered,
    Redirected,
    ResponseReceived,
)
from ringback.sip.message import Request
from ringback.sip.out_of_dialog import OutgoingRequest
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri
from unit.sip.call_lab import OutboundCall
from unit.sip.sipkit import (
    ANSWER,
    OTHER,
    PEER,
    Node,
    Tokens,
    answer_to,
    nameaddr,
    request_from,
)

ALICE = Credentials("alice-auth", "secret")


def challenge(realm: str = "example.com", nonce: str = "n1", more: str = "") -> str:
    return f'Digest realm="{realm}", nonce="{nonce}", qop="auth"{more}'


def challenged(request: Request, *values: str, status: int = 407, tag: str = "p") -> bytes:
    name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
    headers = [(name, value) for value in values]
    return bytes(answer_to(request, status, tag=tag, headers=headers))


def credentials_in(request: Request, name: str = "Proxy-Authorization") -> CredentialsHeader:
    value = request.headers.get(name)
    if value is None:
        raise LookupError(name)
    return CredentialsHeader.parse(value, name)


@pytest.mark.requirement("trunk.challenge-same-host", "rfc3261.22")
def test_a_challenge_is_answered_at_the_same_hop_with_the_next_cseq() -> None:
    call = OutboundCall(OTHER, PEER, credentials=ALICE)
    first = call.invite
    call.node.receive(challenged(first, challenge()), OTHER)
    second = call.invite
    assert call.node.last("INVITE").destination.hop == OTHER
    assert second.cseq.number == first.cseq.number + 1
    assert (second.call_id, second.from_) == (first.call_id, first.from_)
    assert second.top_via.branch != first.top_via.branch
    assert second.body == first.body
    assert call.node.take_sent() == ["INVITE", "ACK", "INVITE"]
    call.hear(200, sdp=ANSWER)
    call.node.event(Answered)


def test_the_answer_is_the_digest_of_the_rfc() -> None:
    call = OutboundCall(credentials=ALICE)
    call.node.receive(challenged(call.invite, challenge()))
    sent = credentials_in(call.invite)

    def md5(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode()).hexdigest()

    ha1 = md5("alice-auth", "example.com", "secret")
    ha2 = md5("INVITE", "sip:bob@192.0.2.2")
    assert sent.username == "alice-auth"
    assert sent.nc == 1
    assert sent.response == md5(ha1, "n1", "00000001", sent.cnonce or "", "auth", ha2)


@pytest.mark.requirement("trunk.challenge-same-host")
def test_over_tcp_the_answer_goes_back_on_the_connection_of_the_challenge() -> None:
    hop = Hop("tcp", "192.0.2.2", 5060)
    call = OutboundCall(hop, credentials=ALICE)
    call.node.receive(challenged(call.invite, challenge()), Flow(hop, 5))
    assert call.node.last("INVITE").destination == Flow(hop, 5)


@pytest.mark.requirement("trunk.stale-nonce")
def test_wrong_credentials_are_not_tried_twice() -> None:
    call = OutboundCall(credentials=ALICE)
    call.node.receive(challenged(call.invite, challenge()))
    call.node.receive(challenged(call.invite, challenge(nonce="n2")))
    failed = call.node.event(InviteFailed)
    assert (failed.failure, failed.status) == (Failure.UNAUTHORIZED, 407)
    assert call.node.take_sent().count("INVITE") == 2
    assert call.is_over()


def test_without_credentials_a_challenge_is_a_failure() -> None:
    call = OutboundCall()
    call.node.receive(challenged(call.invite, challenge(), status=401))
    failed = call.node.event(InviteFailed)
    assert (failed.failure, failed.status) == (Failure.UNAUTHORIZED, 401)


@pytest.mark.requirement("trunk.stale-nonce", "rfc7616.3.3")
def test_a_stale_nonce_is_replaced_once() -> None:
    call = OutboundCall(credentials=ALICE)
    call.node.receive(challenged(call.invite, challenge(nonce="n1")))
    call.node.receive(challenged(call.invite, challenge(nonce="n2", more=", stale=true")))
    assert credentials_in(call.invite).nonce == "n2"
    call.node.receive(challenged(call.invite, challenge(nonce="n3", more=", stale=TRUE")))
    assert call.node.event(InviteFailed).failure is Failure.UNAUTHORIZED


@pytest.mark.requirement("rfc3261.22")
def test_a_proxy_and_the_server_behind_it_are_each_answered_once() -> None:
    call = OutboundCall(credentials=ALICE)
    call.node.receive(challenged(call.invite, challenge("proxy")))
    call.node.receive(challenged(call.invite, challenge("server", "s1"), status=401))
    assert credentials_in(call.invite).realm == "proxy"
    assert credentials_in(call.invite, "Authorization").realm == "server"
    call.hear(200, sdp=ANSWER)
    ack = call.node.last_request("ACK")
    assert credentials_in(ack).realm == "proxy"
    assert credentials_in(ack, "Authorization").realm == "server"


def test_a_new_realm_does_not_excuse_a_wrong_password_for_the_old_one() -> None:
    call = OutboundCall(credentials=ALICE)
    call.node.receive(challenged(call.invite, challenge("a")))
    call.node.receive(challenged(call.invite, challenge("a", "n2"), challenge("b", "n3")))
    assert call.node.event(InviteFailed).failure is Failure.UNAUTHORIZED


@pytest.mark.requirement("trunk.several-challenges")
def test_several_challenges_in_one_response_are_all_answered() -> None:
    call = OutboundCall(credentials=ALICE)
    call.node.receive(challenged(call.invite, challenge("a"), challenge("b", "n2")))
    values = call.invite.headers.get_all("Proxy-Authorization")
    realms = {CredentialsHeader.parse(value).realm for value in values}
    assert realms == {"a", "b"}


@pytest.mark.requirement("trunk.realm")
def test_the_realm_that_is_given_picks_its_challenge() -> None:
    call = OutboundCall(credentials=Credentials("alice", "secret", realm="b"))
    call.node.receive(challenged(call.invite, challenge("a"), challenge("b", "n2")))
    (value,) = call.invite.headers.get_all("Proxy-Authorization")
    assert CredentialsHeader.parse(value).realm == "b"


def test_a_lone_challenge_of_another_realm_is_answered_with_its_own() -> None:
    call = OutboundCall(credentials=Credentials("alice", "secret", realm="b"))
    call.node.receive(challenged(call.invite, challenge("a")))
    assert credentials_in(call.invite).realm == "a"


@pytest.mark.requirement("trunk.several-challenges", "rfc8760.2")
def test_of_two_algorithms_the_stronger_is_used() -> None:
    call = OutboundCall(credentials=ALICE)
    call.node.receive(
        challenged(
            call.invite,
            challenge(nonce="weak"),
            challenge(nonce="strong", more=", algorithm=SHA-256"),
        )
    )
    sent = credentials_in(call.invite)
    assert (sent.nonce, sent.algorithm) == ("strong", "SHA-256")


@pytest.mark.parametrize(
    "value", ["Basic realm=x", 'Digest realm="x", nonce="n", algorithm=ROT13', 'Digest realm="']
)
def test_a_challenge_that_we_cannot_read_or_answer_is_a_failure(value: str) -> None:
    call = OutboundCall(credentials=ALICE)
    call.node.receive(challenged(call.invite, value))
    assert call.node.event(InviteFailed).failure is Failure.UNAUTHORIZED


def test_a_407_without_challenge_is_a_failure() -> None:
    call = OutboundCall(credentials=ALICE)
    call.node.receive(challenged(call.invite))
    assert call.node.event(InviteFailed).failure is Failure.UNAUTHORIZED


def test_requests_in_the_call_carry_credentials_and_count_the_nonce() -> None:
    call = OutboundCall(credentials=ALICE)
    call.node.receive(challenged(call.invite, challenge()))
    call.hear(200, sdp=ANSWER)
    call.session.bye(now=call.node.now)
    call.node.drain()
    sent = credentials_in(call.node.last_request("BYE"))
    assert (sent.nonce, sent.nc) == ("n1", 2)


def test_a_challenged_bye_is_sent_again_with_credentials() -> None:
    call = OutboundCall(credentials=ALICE)
    call.hear(200, sdp=ANSWER)
    call.session.bye(now=call.node.now)
    call.node.drain()
    first = call.node.last_request("BYE")
    call.node.receive(challenged(first, challenge()))
    second = call.node.last_request("BYE")
    assert credentials_in(second).nonce == "n1"
    assert second.cseq.number == first.cseq.number + 1
    call.node.receive(answer_to(second, 200))
    assert call.is_over()


def test_a_nonce_that_expired_within_the_call_is_replaced_even_if_nobody_calls_it_stale() -> None:
    call = OutboundCall(credentials=ALICE)
    call.node.receive(challenged(call.invite, challenge()))
    call.hear(200, sdp=ANSWER)
    call.session.bye(now=call.node.now)
    call.node.drain()
    call.node.receive(challenged(call.node.last_request("BYE"), challenge(nonce="n2")))
    assert credentials_in(call.node.last_request("BYE")).nonce == "n2"


def test_a_challenged_reinvite_is_sent_again_with_credentials() -> None:
    call = OutboundCall(credentials=ALICE)
    call.hear(200, sdp=ANSWER)
    call.session.reinvite(ANSWER, now=call.node.now)
    call.node.drain()
    call.node.receive(challenged(call.invite, challenge()))
    assert credentials_in(call.invite).nonce == "n1"
    call.node.receive(answer_to(call.invite, 200, tag="peer", sdp=ANSWER))
    call.node.event(OfferAnswered)


def test_an_unauthorised_request_outside_of_a_call_is_sent_again_with_credentials() -> None:
    node = Node()
    wish = OutgoingRequest(
        "OPTIONS",
        Uri.parse("sip:192.0.2.2"),
        nameaddr("<sip:me@here>"),
        credentials=ALICE,
        contact_user="me",
    )
    node.endpoint.request(wish, [PEER], now=node.now)
    node.drain()
    first = node.last_request("OPTIONS")
    node.receive(challenged(first, challenge(), status=401))
    second = node.last_request("OPTIONS")
    assert second.cseq.number == first.cseq.number + 1
    node.receive(answer_to(second, 200))
    received = node.event(ResponseReceived)
    assert (received.request, received.status) == (wish, 200)


def test_the_number_of_realms_that_are_remembered_is_bounded() -> None:
    authenticator = Authenticator(ALICE, Tokens())
    for number in range(50):
        response = answer_to(
            request_from("OPTIONS"),
            407,
            headers=[("Proxy-Authenticate", challenge(f"realm{number}"))],
        )
        authenticator.round().answer(response)
    assert len(authenticator.challenges) == 8


def test_the_next_nonce_of_a_success_is_used() -> None:
    authenticator = Authenticator(ALICE, Tokens())
    round_ = authenticator.round()
    response = answer_to(request_from("OPTIONS"), 401, headers=[("WWW-Authenticate", challenge())])
    assert round_.answer(response)
    success = answer_to(
        request_from("OPTIONS"), 200, headers=[("Authentication-Info", 'nextnonce="n9"')]
    )
    authenticator.learn(success)
    request = request_from("OPTIONS", cseq=2)
    authenticator.round().authorize(request)
    assert credentials_in(request, "Authorization").nonce == "n9"


@pytest.mark.parametrize("value", ['nextnonce="', "=", ""])
def test_an_unreadable_authentication_info_changes_nothing(value: str) -> None:
    authenticator = Authenticator(ALICE, Tokens())
    authenticator.round().answer(
        answer_to(request_from("OPTIONS"), 401, headers=[("WWW-Authenticate", challenge())])
    )
    authenticator.learn(
        answer_to(request_from("OPTIONS"), 200, headers=[("Authentication-Info", value)])
    )
    (kept,) = authenticator.challenges.values()
    assert kept.nonce == "n1"


def test_refusals_say_why() -> None:
    def refusal(credentials: Credentials | None, *values: str) -> Refusal | None:
        round_ = Authenticator(credentials, Tokens()).round()
        headers = [("WWW-Authenticate", value) for value in values]
        round_.answer(answer_to(request_from("OPTIONS"), 401, headers=headers))
        return round_.refusal

    assert refusal(None, challenge()) is Refusal.NO_CREDENTIALS
    assert refusal(ALICE, "Basic realm=x") is Refusal.UNSUPPORTED
    assert refusal(ALICE, challenge()) is None


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(ALICE)


@pytest.mark.requirement("rfc3261.22")
@pytest.mark.parametrize(
    ("target", "hop", "knows_us"),
    [
        ("sip:bob@203.0.113.9", Hop("udp", "203.0.113.9", 5060), False),
        ("sip:bob@192.0.2.2:5080", Hop("udp", PEER.host, 5080), True),
        ("sip:bob@edge.example", PEER, True),
    ],
)
def test_a_redirection_takes_no_credentials_to_strangers(
    target: str, hop: Hop, knows_us: bool
) -> None:
    call = OutboundCall(credentials=ALICE)
    call.node.receive(challenged(call.invite, challenge()))
    call.hear(302, headers=[("Contact", f"<{target}>")])
    redirected = call.node.event(Redirected)
    assert call.session.follow_redirect(redirected.targets[0], (hop,), now=call.node.now)
    call.node.drain()
    assert str(call.invite.uri) == target
    assert ("Proxy-Authorization" in call.invite.headers) is knows_us
    call.node.take_sent()
    call.node.receive(challenged(call.invite, challenge(nonce="theirs", more=", stale=true")), hop)
    assert (call.node.take_sent() == ["ACK", "INVITE"]) is knows_us
    assert call.node.has_event(InviteFailed) is not knows_us
