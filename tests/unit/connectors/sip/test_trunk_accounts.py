"""What a trunk's settings make of its registration and its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from ringback.connectors.contract import DialRequest
from ringback.connectors.sip import registrations
from ringback.connectors.sip.directory import OutboundRoute, Refusal, TrunkAccount
from unit.connectors.sip.leg_lab import OFFER, STRANGER, TRUNK, Directory, Lab, result

ACCOUNT = replace(
    TRUNK, registers=True, auth_username="account-7", password="secret", contact_token="tok"
)
PROXIED = replace(ACCOUNT, outbound_proxy="192.0.2.2:5080")
CHALLENGE = [("WWW-Authenticate", 'Digest realm="provider", nonce="n1", qop="auth"')]
DIAL = DialRequest("other", "account", "+4930999")


@pytest.fixture(autouse=True)
def _no_farewell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrations, "UNREGISTER_WAIT", 0.0)


class Trunks(Directory):
    """One trunk that the test may edit; ``reported`` is what is told of its registration. It
    dials numbers with 00."""

    def __init__(self, trunk: TrunkAccount) -> None:
        super().__init__()
        self.trunk = trunk
        self.changed: Callable[[], None] = lambda: None
        self.reported: list[tuple[str, str]] = []

    async def trunks(self) -> Sequence[TrunkAccount]:
        return [self.trunk]

    def on_trunk_change(self, listener: Callable[[], None]) -> None:
        self.changed = listener

    async def route_outbound(self, request: DialRequest) -> OutboundRoute:
        route = await super().route_outbound(request)
        return replace(
            route, trunk=self.trunk, user=route.user.replace("+", "00"), caller_id="+33699"
        )

    def registration_changed(
        self, trunk_id: str, status: str, reason: str, expires_in: float | None
    ) -> None:
        self.reported.append((status, reason))


def run(trunk: TrunkAccount, test: Callable[[Lab, Trunks], Awaitable[None]]) -> None:
    async def inside(lab: Lab) -> None:
        directory = lab.directory
        assert isinstance(directory, Trunks)
        await test(lab, directory)

    Lab.run(inside, directory=Trunks(trunk))


async def registered(lab: Lab) -> None:
    await lab.settle()
    contact = str(lab.node.last_request("REGISTER").contact)
    await lab.answer("REGISTER", 200, contact=contact)


@pytest.mark.requirement("trunk.auth-username")
def test_a_trunk_answers_challenges_with_its_authentication_user() -> None:
    async def test(lab: Lab, trunks: Trunks) -> None:
        await lab.settle()
        assert lab.node.last_request("REGISTER").to.uri.user == "me"
        await lab.answer("REGISTER", 401, headers=CHALLENGE)
        credentials = lab.node.last_request("REGISTER").headers.get("Authorization") or ""
        assert 'username="account-7"' in credentials
        await registered(lab)
        await lab.connector.dial(DIAL)
        await lab.settle()
        await lab.answer("INVITE", 401, headers=CHALLENGE)
        invite = lab.node.last_request("INVITE")
        assert 'username="account-7"' in (invite.headers.get("Authorization") or "")
        await lab.answer("INVITE", 603)

    run(ACCOUNT, test)


@pytest.mark.requirement("trunk.outbound-proxy")
def test_the_proxy_of_a_trunk_is_a_loose_route_of_registrations_and_calls() -> None:
    async def test(lab: Lab, trunks: Trunks) -> None:
        await lab.settle()
        route = ["<sip:192.0.2.2:5080;lr>"]
        register = lab.node.last_request("REGISTER")
        assert register.headers.get_all("Route") == route
        assert register.uri.host == TRUNK.domain
        await registered(lab)
        await lab.connector.dial(DIAL)
        await lab.settle()
        assert lab.node.last_request("INVITE").headers.get_all("Route") == route
        await lab.answer("INVITE", 603)

    run(PROXIED, test)


@pytest.mark.requirement("trunk.edit-live")
def test_an_edit_registers_anew_and_leaves_the_calls_alone() -> None:
    async def test(lab: Lab, trunks: Trunks) -> None:
        await registered(lab)
        leg = await lab.called()
        trunks.trunk = replace(ACCOUNT, username="somebody")
        trunks.changed()
        await lab.settle()
        old, new = (sent.message for sent in lab.node.log[-2:] if sent.what == "REGISTER")
        assert old.headers.get("Expires") == "0"
        assert new.headers.get("Expires") == "300"
        assert (old.to.uri.user, new.to.uri.user) == ("me", "somebody")
        assert leg.answered
        assert not lab.sink.causes
        lab.sent()
        trunks.changed()
        await lab.settle()
        assert lab.sent() == []

    run(ACCOUNT, test)


@pytest.mark.requirement("trunk.status", "trunk.status-reasons")
def test_what_became_of_a_registration_is_told_in_words() -> None:
    async def test(lab: Lab, trunks: Trunks) -> None:
        await lab.settle()
        await lab.answer("REGISTER", 403)
        status, reason = trunks.reported[-1]
        assert status == "unregistered"
        assert "192.0.2.2 forbids this registration" in reason
        await lab.wait(60)
        await registered(lab)
        assert trunks.reported[-1] == ("registered", "")
        assert trunks.reported[0][0] == "unknown"

    run(ACCOUNT, test)


@pytest.mark.requirement("call.refer-out-blind", "call.number-formats")
@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("+4930123", "<sip:004930123@192.0.2.2:5060>"),
        ("sip:+4930123@192.0.2.2", "<sip:004930123@192.0.2.2>"),
    ],
)
def test_a_transfer_names_the_number_in_the_trunks_own_format(target: str, asked: str) -> None:
    async def test(lab: Lab, trunks: Trunks) -> None:
        leg = await lab.called()
        work = asyncio.create_task(leg.transfer(target))
        await lab.settle()
        assert lab.node.last_request("REFER").headers.get("Refer-To") == asked
        assert all(lease.released for lease in trunks.leases)
        await lab.answer("REFER", 603)
        assert (await result(work)).refused

    run(TRUNK, test)


# ---- a call that we place -----------------------------------------------------------------------


@pytest.mark.requirement("call.early-media")
def test_early_media_is_heard_and_the_call_is_not_answered_by_it() -> None:
    async def test(lab: Lab, trunks: Trunks) -> None:
        await lab.connector.dial(DIAL)
        await lab.settle()
        await lab.answer("INVITE", 183, sdp=OFFER)
        assert lab.plane.negotiated["other"].remote.port == 4000
        assert lab.sink.said == [("early media", "other")]
        await lab.answer("INVITE", 200, sdp=OFFER)
        assert lab.sink.said[-1] == ("answered", "other")

    run(TRUNK, test)


@pytest.mark.requirement("call.redirect", "guard.every-way")
def test_a_redirect_is_followed_to_the_same_number_only() -> None:
    async def test(lab: Lab, trunks: Trunks) -> None:
        await lab.connector.dial(DIAL)
        await lab.settle()
        await lab.answer("INVITE", 302, headers=[("Contact", "<sip:004930999@192.0.2.9>")])
        assert str(lab.node.last_request("INVITE").uri) == "sip:004930999@192.0.2.9"
        lab.sent()
        await lab.answer("INVITE", 302, headers=[("Contact", "<sip:00881777@192.0.2.9>")])
        assert "INVITE" not in lab.sent()
        (cause,) = lab.sink.causes
        assert cause.sip_code == 302

    run(TRUNK, test)


# ---- a call that we get -------------------------------------------------------------------------


@pytest.mark.requirement("call.late-offer")
@pytest.mark.parametrize("answered", [True, False])
def test_a_caller_without_an_offer_gets_ours_and_answers_it_in_the_ack(answered: bool) -> None:
    async def test(lab: Lab, trunks: Trunks) -> None:
        lab.invite.body = b""
        lab.invite.headers.remove("Content-Type")
        await lab.hear(lab.invite)
        assert lab.sink.leg is not None
        await lab.sink.leg.accept()
        await lab.settle()
        assert b"m=audio 10000 " in lab.node.last_response("200 INVITE").body
        assert lab.sink.said == []
        await lab.says("ACK", cseq=1, body=OFFER if answered else b"")
        if answered:
            assert lab.plane.negotiated["call"].remote.port == 4000
            assert lab.sink.said == [("answered", "call")]
        else:
            assert lab.node.last_request("BYE")
            assert ("answered", "call") not in lab.sink.said

    run(TRUNK, test)


@pytest.mark.requirement("call.caller-identity", "rfc3325.9", "call.diversion", "call.x-headers")
def test_what_a_trunk_says_of_its_caller_reaches_the_call() -> None:
    async def test(lab: Lab, trunks: Trunks) -> None:
        headers = lab.invite.headers
        headers.add("Remote-Party-ID", "<sip:+33600000001@pbx>")
        headers.add("P-Asserted-Identity", '"Ada" <sip:+33600000002@pbx>')
        headers.add("Diversion", "<sip:+33600000003@pbx>;reason=no-answer")
        headers.add("X-Customer", "42")
        await lab.hear(lab.invite)
        offer = lab.sink.offer
        assert offer is not None
        assert (offer.caller, offer.caller_name) == ("+33600000002", "Ada")
        assert dict(offer.headers) == {
            "Diversion": "<sip:+33600000003@pbx>;reason=no-answer",
            "X-Customer": "42",
        }

    run(TRUNK, test)


@pytest.mark.requirement("call.caller-identity", "rfc3325.9")
def test_a_strangers_assertion_is_not_believed() -> None:
    async def test(lab: Lab) -> None:
        lab.invite.headers.add("P-Asserted-Identity", "<sip:+33600000002@pbx>")
        await lab.hear(lab.invite)
        assert lab.sink.offer is not None
        assert lab.sink.offer.caller == "bob"

    Lab.run(test, STRANGER)


@pytest.mark.requirement("rfc3325.9")
def test_a_trunk_is_told_whose_number_calls() -> None:
    async def test(lab: Lab, trunks: Trunks) -> None:
        await lab.connector.dial(DIAL)
        await lab.settle()
        invite = lab.node.last_request("INVITE")
        assert invite.headers.get("P-Asserted-Identity") == "<sip:+33699@192.0.2.2>"
        await lab.answer("INVITE", 603)

    run(TRUNK, test)


@pytest.mark.requirement("call.refusals")
def test_a_trunk_with_too_many_calls_is_told_when_to_try_again() -> None:
    async def test(lab: Lab) -> None:
        await lab.hear(lab.invite)
        refused = lab.node.last_response("503 INVITE")
        assert refused.headers.get("Retry-After") == "10"

    Lab.run(test, Refusal(503, "Service Unavailable", "full"))
