"""Offers as the field makes them, answered under the default preference and two policies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringback.sip.audio_stream import Negotiated
from ringback.sip.dtls_setup import Fingerprint
from ringback.sip.media_security import DtlsAssociation, SdesKeys, SecurityPolicy
from ringback.sip.offer_answer import LocalMedia, NotAcceptable, OfferAnswer
from ringback.sip.sdp import SessionDescription
from ringback.sip.sdp_values import G722, OPUS, PCMA, PCMU
from unit.sip.field_offers import FIELD_OFFERS, FieldOffer

PLAIN = LocalMedia("192.0.2.10", 10_000, codecs=(OPUS, G722, PCMA, PCMU), prefer_local=True)
OPTIONAL = replace(
    PLAIN,
    security=SecurityPolicy(
        plain=True,
        sdes=True,
        dtls=True,
        new_key=bytes,
        fingerprint=Fingerprint("sha-256", ":".join(["0A"] * 32)),
    ),
)


def protection(result: Negotiated) -> str:
    match result.security:
        case SdesKeys():
            return "sdes"
        case DtlsAssociation():
            return "dtls"
        case _:
            return "none"


@pytest.mark.requirement("media.codecs", "media.srtp-profiles", "rfc3264.6")
@pytest.mark.parametrize("policy", ["plain", "optional"])
@pytest.mark.parametrize("ends", [b"\r\n", b"\n"])
@pytest.mark.parametrize("name", FIELD_OFFERS)
def test_an_offer_of_the_field_gets_the_answer_that_it_is_owed(
    name: str, ends: bytes, policy: str
) -> None:
    offer = FIELD_OFFERS[name]
    expected = offer.plain if policy == "plain" else offer.optional
    remote = SessionDescription.parse(offer.data.replace(b"\r\n", ends))
    oa = OfferAnswer(PLAIN if policy == "plain" else OPTIONAL, 1)
    if expected is None:
        with pytest.raises(NotAcceptable) as caught:
            oa.receive_offer(remote)
        assert caught.value.encryption
        return
    oa.receive_offer(remote)
    answer = SessionDescription.parse(bytes(oa.answer()))
    result = oa.negotiated
    assert result is not None
    assert (result.codec, result.dtmf_payload_type) == (offer.codec, offer.dtmf)
    assert protection(result) == expected
    assert result.remote.host == offer.address
    assert len(answer.media) == offer.sections == len(remote.media)
    assert [m.kind for m in answer.media] == [m.kind for m in remote.media]
    assert [m.protocol for m in answer.media] == [m.protocol for m in remote.media]
    assert sum(m.port != 0 for m in answer.media) == 1
    offered = remote.media[[m.port != 0 for m in answer.media].index(True)]
    (taken,) = (m for m in answer.media if m.port)
    assert set(taken.formats) <= set(offered.formats)
    assert taken.rtcp_mux == offered.rtcp_mux


@pytest.mark.parametrize("name", FIELD_OFFERS)
def test_a_second_round_with_the_same_offer_changes_nothing(name: str) -> None:
    remote = SessionDescription.parse(FIELD_OFFERS[name].data)
    oa = OfferAnswer(OPTIONAL, 1)
    oa.receive_offer(remote)
    first, result = oa.answer(), oa.negotiated
    oa.receive_offer(remote)
    assert oa.answer() == first
    assert oa.negotiated == result


@pytest.mark.requirement("bad.sdp-size")
def test_a_thousand_candidates_are_left_out_and_the_address_of_the_section_counts() -> None:
    offer: FieldOffer = FIELD_OFFERS["browser"]
    candidates = "".join(
        f"a=candidate:{n} 1 udp 2122260223 198.51.100.{n % 250} {1024 + n} typ host\r\n"
        for n in range(1000)
    )
    data = offer.data.replace(b"a=ice-ufrag", candidates.encode() + b"a=ice-ufrag")
    remote = SessionDescription.parse(data)
    assert len(remote.media[0].attributes) < 30
    oa = OfferAnswer(OPTIONAL, 1)
    oa.receive_offer(remote)
    oa.answer()
    assert oa.negotiated is not None
    assert (oa.negotiated.remote.host, oa.negotiated.remote.port) == ("203.0.113.20", 54_609)
