"""Legs and their descriptions: what is refused and how, and what the media plane is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ringback.connectors.contract import Cause, DialRequest
from ringback.connectors.sip.directory import (
    DtmfMode,
    MediaEncryption,
    OutboundRoute,
    Refusal,
    Route,
)
from ringback.connectors.sip.inbound import InboundCalls, InboundLeg
from ringback.connectors.sip.leg import LegServices, SipLeg
from ringback.connectors.sip.outbound import OutboundLeg
from ringback.core.end_reason import EndReason
from ringback.media.plane import (
    DtlsSecurity,
    NegotiatedAudio,
    OpenSession,
    SdesSecurity,
    SessionOpened,
)
from ringback.sip.events import IncomingInvite
from ringback.sip.message import Response
from ringback.sip.sdp import SessionDescription
from ringback.sip.transport import Hop
from unit.connectors.sip.test_sip_leg_errors import TRUNK, Driver
from unit.sip.call_lab import InboundCall
from unit.sip.field_offers import FIELD_OFFERS, SHA256
from unit.sip.sipkit import PEER, Node, answer_to

ROUTE = Route("account", None, "+33612345678", True, codecs=("PCMA", "PCMU"), trusted=True)
PLAIN = FIELD_OFFERS["carrier like Telnyx"].data
SDES = FIELD_OFFERS["asterisk with SDES"].data
BROWSER = FIELD_OFFERS["browser"].data


class Plane:
    """Remembers what it was told."""

    def __init__(self, fingerprint: tuple[str, str] | None = ("sha-256", SHA256)) -> None:
        self.fingerprint = fingerprint
        self.negotiated: list[NegotiatedAudio] = []
        self.held: list[bool] = []

    async def open(self, request: OpenSession) -> SessionOpened:
        return SessionOpened(request.session_id, 10_000, 10_001, self.fingerprint)

    def negotiate(self, session_id: str, audio: NegotiatedAudio) -> None:
        self.negotiated.append(audio)

    def set_hold(self, session_id: str, held: bool) -> None:
        self.held.append(held)


class Sink:
    def __init__(self) -> None:
        self.causes: list[Cause] = []

    def takes_calls(self) -> bool:
        return True

    async def offered(self, offer: object, leg: object) -> str:
        return "call"

    def leg_ended(self, call_id: str, cause: Cause) -> None:
        self.causes.append(cause)

    def leg_answered(self, call_id: str) -> None: ...

    def leg_ringing(self, call_id: str) -> None: ...

    def leg_held(self, call_id: str, held: bool) -> None: ...


class Lab:
    """One inbound call that is routed by ``route`` and answered at once."""

    def __init__(
        self, body: bytes, route: Route | Refusal = ROUTE, plane: Plane | None = None
    ) -> None:
        self.plane, self.sink = plane or Plane(), Sink()
        self.call = InboundCall(body)
        self.node = self.call.node
        self.driver = Driver(self.node)

        async def route_inbound(query: object) -> Route | Refusal:
            return route

        self.directory = SimpleNamespace(route_inbound=route_inbound)
        self.refusals: dict[int, int] = {}
        self.leg: InboundLeg | None = None

    async def run(self, then: Callable[[], None] = lambda: None) -> None:
        def nothing(leg: SipLeg) -> None: ...

        services = LegServices(
            self.driver, cast(Any, self.plane), cast(Any, self.sink), nothing, nothing
        )
        leg = InboundLeg(services, self.call.session)
        self.leg = leg
        self.driver.handle = leg.handle
        calls = InboundCalls(cast(Any, self.directory), services, "127.0.0.1")
        await calls.take(self.node.event(IncomingInvite), leg, "192.0.2.1")
        if not leg.over:
            await leg.accept()
        self.refusals = dict(calls.refusals)
        then()

    @property
    def response(self) -> Response:
        sent = [s.message for s in self.node.sent if isinstance(s.message, Response)]
        return sent[-1]

    def reoffer(self, body: bytes, cseq: int = 2) -> Response:
        self.call.hear("INVITE", cseq, body=body, branch=f"z9hG4bKre{cseq}")
        self.driver.pump()  # the leg acts
        self.driver.pump()  # what it wants is sent
        return self.response


def encrypted(encryption: MediaEncryption) -> Route:
    return replace(ROUTE, media_encryption=encryption)


@pytest.mark.requirement("call.refusals", "media.srtp-policy", "rfc3261.20.43", "bad.sdp-size")
@pytest.mark.parametrize(
    ("body", "encryption", "status", "warning"),
    [
        (PLAIN, MediaEncryption.REQUIRED, 488, "302"),
        (SDES, MediaEncryption.NONE, 488, "302"),
        (SDES, MediaEncryption.DTLS, 488, "302"),
        (PLAIN.replace(b"IP4 203.0.113.20", b"IP6 ff15::101"), MediaEncryption.NONE, 488, "301"),
        (PLAIN.replace(b"203.0.113.20", b"224.1.1.1"), MediaEncryption.NONE, 488, "301"),
        (PLAIN.replace(b"203.0.113.20", b"media.example"), MediaEncryption.NONE, 488, "301"),
        (PLAIN.replace(b"AVP 0 8", b"AVP 3 18"), MediaEncryption.NONE, 488, "305"),
        (PLAIN.replace(b"m=audio", b"m=video"), MediaEncryption.NONE, 488, "304"),
        (PLAIN + b"a=x\r\n" * 600, MediaEncryption.NONE, 413, None),
        (b"no description at all", MediaEncryption.NONE, 400, None),
    ],
)
def test_an_offer_that_cannot_be_taken_is_refused_before_anybody_rings(
    body: bytes, encryption: MediaEncryption, status: int, warning: str | None
) -> None:
    lab = Lab(body, encrypted(encryption))
    asyncio.run(lab.run())
    assert lab.response.status == status
    warnings = lab.response.headers.values("Warning")
    assert [text.split()[0] for text in warnings] == ([warning] if warning else [])
    assert lab.refusals == {status: 1}
    assert lab.sink.causes == []


def test_a_strangers_description_is_not_read() -> None:
    lab = Lab(b"no description at all", Refusal(403, "Forbidden", "a stranger"))
    asyncio.run(lab.run())
    assert lab.response.status == 403


@pytest.mark.requirement("media.srtp-sdes")
def test_an_offer_with_keys_is_answered_with_ours_and_the_media_get_both() -> None:
    lab = Lab(SDES, encrypted(MediaEncryption.REQUIRED))
    asyncio.run(lab.run())
    assert lab.response.status == 200
    answer = SessionDescription.parse(lab.response.body).media[0]
    assert (answer.protocol, answer.crypto[0].tag) == ("RTP/SAVP", 1)
    security = lab.plane.negotiated[-1].security
    assert isinstance(security, SdesSecurity)
    assert security.remote_key == b"sample key for the tests only!"


@pytest.mark.requirement("media.srtp-dtls")
def test_an_offer_with_a_certificate_is_answered_with_that_of_the_media_session() -> None:
    lab = Lab(BROWSER, encrypted(MediaEncryption.OPTIONAL))
    asyncio.run(lab.run())
    answer = SessionDescription.parse(lab.response.body).media[0]
    assert answer.first("fingerprint") == f"sha-256 {SHA256}"
    assert lab.plane.negotiated[-1].security == DtlsSecurity(True, (("sha-256", SHA256),))


def test_media_without_dtls_refuse_a_dtls_offer_after_all() -> None:
    lab = Lab(BROWSER, encrypted(MediaEncryption.DTLS), Plane(fingerprint=None))
    asyncio.run(lab.run())
    assert lab.response.status == 488
    assert [cause.reason for cause in lab.sink.causes] == [EndReason.ENCRYPTION_FAILED]


@pytest.mark.requirement("media.srtp-policy", "call.refusals")
def test_a_reoffer_that_takes_the_protection_away_is_refused_and_the_call_goes_on() -> None:
    lab = Lab(SDES, encrypted(MediaEncryption.OPTIONAL))

    def reoffer() -> None:
        lab.call.ack()
        lab.driver.pump()
        refused = lab.reoffer(PLAIN)
        assert refused.status == 488
        assert refused.headers.values("Warning")[0].startswith("302 ")
        lab.call.hear("ACK", 2, branch="z9hG4bKre2")
        assert len(lab.plane.negotiated) == 1
        held = lab.reoffer(SDES.replace(b"a=sendrecv", b"a=sendonly"), 3)
        assert held.status == 200
        assert lab.plane.held == [True]
        before, after = (item.security for item in lab.plane.negotiated)
        assert before == after

    asyncio.run(lab.run(reoffer))


@pytest.mark.parametrize(
    ("body", "status"), [(PLAIN + b"a=x\r\n" * 600, 413), (b"v=1\r\nnothing", 400)]
)
def test_a_reoffer_that_cannot_be_read_is_refused_and_the_call_goes_on(
    body: bytes, status: int
) -> None:
    lab = Lab(PLAIN)

    def reoffer() -> None:
        lab.call.ack()
        lab.driver.pump()
        assert lab.reoffer(body).status == status
        lab.call.hear("ACK", 2, branch="z9hG4bKre2")
        assert lab.reoffer(PLAIN, 3).status == 200

    asyncio.run(lab.run(reoffer))


@pytest.mark.requirement("media.dtmf-send")
@pytest.mark.parametrize(
    ("mode", "events", "method"),
    [
        (DtmfMode.AUTO, 101, "auto"),
        (DtmfMode.RTP, 101, "rtp"),
        (DtmfMode.INBAND, None, "inband"),
        (DtmfMode.INFO, 101, "info"),
    ],
)
def test_keys_go_out_as_the_trunk_has_it_and_come_in_every_way(
    mode: DtmfMode, events: int | None, method: str
) -> None:
    lab = Lab(PLAIN, replace(ROUTE, dtmf_mode=mode))
    asyncio.run(lab.run())
    (audio,) = lab.plane.negotiated
    assert audio.dtmf_payload_type == events
    assert audio.dtmf_receive_payload_types == ((101, 8000),)
    assert lab.leg is not None
    assert lab.leg.dtmf_method == method


# ---- outbound ---------------------------------------------------------------------------------


class Hops:
    async def trunk_hops(self, trunk: object) -> tuple[Hop, ...]:
        return (PEER,)

    def our_host(self, hop: Hop) -> str:
        return "192.0.2.1"


class Dialled:
    """A call that we place over a trunk with this protection."""

    def __init__(self, encryption: MediaEncryption, plane: Plane | None = None) -> None:
        self.node, self.sink, self.plane = Node(), Sink(), plane or Plane()
        self.driver = Driver(self.node)
        self.route = OutboundRoute(replace(TRUNK, media_encryption=encryption), "you")

    async def run(self, answer: bytes | None = None) -> None:
        def nothing(leg: SipLeg) -> None: ...

        services = LegServices(
            self.driver, cast(Any, self.plane), cast(Any, self.sink), nothing, nothing
        )
        request = DialRequest("call", "account", "sip:you@sip.example")
        leg = OutboundLeg(services, request, self.route, cast(Any, Hops()), "127.0.0.1")
        self.driver.handle = leg.handle
        leg.start()
        await asyncio.wait_for(asyncio.gather(*leg._tasks), 5)
        if answer is not None:
            self.node.receive(answer_to(self.node.last_request("INVITE"), 200, sdp=answer))
            self.driver.pump()
        leg._stop_ringing()

    @property
    def offer(self) -> SessionDescription:
        return SessionDescription.parse(self.node.last_request("INVITE").body)


@pytest.mark.requirement("media.srtp-policy")
@pytest.mark.parametrize(
    ("encryption", "protocol"),
    [
        (MediaEncryption.NONE, "RTP/AVP"),
        (MediaEncryption.OPTIONAL, "RTP/AVP"),
        (MediaEncryption.REQUIRED, "RTP/SAVP"),
        (MediaEncryption.SDES, "RTP/SAVP"),
        (MediaEncryption.DTLS, "UDP/TLS/RTP/SAVPF"),
    ],
)
def test_a_call_is_offered_as_the_trunk_wants_it(
    encryption: MediaEncryption, protocol: str
) -> None:
    dialled = Dialled(encryption)
    asyncio.run(dialled.run())
    assert dialled.offer.media[0].protocol == protocol


@pytest.mark.requirement("media.srtp-policy")
@pytest.mark.parametrize(
    "encryption", [MediaEncryption.REQUIRED, MediaEncryption.SDES, MediaEncryption.DTLS]
)
def test_an_answer_in_clear_to_a_protected_call_is_acknowledged_and_hung_up(
    encryption: MediaEncryption,
) -> None:
    dialled = Dialled(encryption)
    asyncio.run(dialled.run(PLAIN))
    assert dialled.node.take_sent()[-2:] == ["ACK", "BYE"]
    reason = dialled.node.last_request("BYE").headers.get("Reason")
    assert reason == 'Q.850;cause=88;text="Media encryption required"'
    dialled.node.receive(answer_to(dialled.node.last_request("BYE"), 200))
    dialled.driver.pump()
    assert [cause.reason for cause in dialled.sink.causes] == [EndReason.ENCRYPTION_FAILED]
    assert dialled.plane.negotiated == []


def test_a_dtls_call_without_a_certificate_is_not_placed() -> None:
    dialled = Dialled(MediaEncryption.DTLS, Plane(fingerprint=None))
    asyncio.run(dialled.run())
    assert [cause.reason for cause in dialled.sink.causes] == [EndReason.ENCRYPTION_FAILED]
    assert dialled.node.take_sent() == []
