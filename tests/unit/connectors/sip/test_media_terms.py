"""A trunk's media fields as offer and answer need them, and what was agreed as media needs it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringback.audio import codec as audio_codecs
from ringback.connectors.sip.directory import DEFAULT_CODECS, MediaEncryption, Route
from ringback.connectors.sip.leg import mismatch_of
from ringback.connectors.sip.terms import (
    codecs_of,
    local_media,
    negotiated_audio,
    possible_media,
    security_policy,
    warning_of,
)
from ringback.core.end_reason import EndReason
from ringback.media.plane import DtlsSecurity, RtpAddress, SdesSecurity, SessionOpened
from ringback.sip.dtls_setup import Fingerprint
from ringback.sip.not_acceptable import NotAcceptable
from ringback.sip.offer_answer import Negotiated, OfferAnswer
from ringback.sip.sdp import SessionDescription
from ringback.sip.sdp_values import G722, OPUS, PCMA, PCMU
from unit.sip.field_offers import FIELD_OFFERS, SHA256

PRINT = ("sha-256", ":".join(["0A"] * 32))
OPENED = SessionOpened("call", 10_000, 10_001, PRINT)
ROUTE = Route("account", None, "+33612345678", True)


def agreed(name: str, encryption: MediaEncryption = MediaEncryption.OPTIONAL) -> Negotiated:
    media = local_media("192.0.2.1", OPENED, replace(ROUTE, media_encryption=encryption))
    oa = OfferAnswer(media, 1)
    oa.receive_offer(SessionDescription.parse(FIELD_OFFERS[name].data))
    oa.answer()
    assert oa.negotiated is not None
    return oa.negotiated


@pytest.mark.requirement("media.codecs")
def test_the_codecs_are_the_trunks_in_its_order_as_far_as_they_are_built_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audio_codecs, "names", lambda: ("opus", "G722", "PCMA", "PCMU"))
    assert codecs_of(DEFAULT_CODECS) == (OPUS, G722, PCMA, PCMU)
    assert codecs_of(("PCMU", "G729", "opus")) == (PCMU, OPUS)
    monkeypatch.setattr(audio_codecs, "names", lambda: ("PCMA", "PCMU"))
    assert codecs_of(DEFAULT_CODECS) == (PCMA, PCMU)
    assert codecs_of(("opus",)) == (PCMA, PCMU)


@pytest.mark.requirement("media.codecs", "rfc3264.5")
def test_the_media_session_tells_where_we_listen_and_the_trunk_on_which_terms() -> None:
    media = local_media("192.0.2.1", OPENED, replace(ROUTE, codecs=("PCMU", "PCMA")))
    assert (media.host, media.port, media.rtcp_port) == ("192.0.2.1", 10_000, 10_001)
    assert media.codecs == (PCMU, PCMA)
    assert media.prefer_local


@pytest.mark.requirement("media.srtp-policy")
@pytest.mark.parametrize(
    ("encryption", "plain", "by_sdes", "by_dtls"),
    [
        ("none", True, False, False),
        ("optional", True, True, True),
        ("required", False, True, True),
        ("sdes", False, True, False),
        ("dtls", False, False, True),
    ],
)
def test_each_word_of_the_trunk_is_a_policy(
    encryption: str, plain: bool, by_sdes: bool, by_dtls: bool
) -> None:
    policy = security_policy(MediaEncryption(encryption), PRINT)
    assert (policy.plain, policy.by_sdes, policy.by_dtls) == (plain, by_sdes, by_dtls)
    assert not security_policy(MediaEncryption(encryption), None).by_dtls
    assert policy.new_key is not None
    keys = {policy.new_key(30) for _ in range(8)}
    assert len(keys) == 8
    assert {len(key) for key in keys} == {30}


def test_an_offer_is_judged_before_there_is_a_media_session() -> None:
    route = replace(ROUTE, media_encryption=MediaEncryption.DTLS)
    oa = OfferAnswer(possible_media("192.0.2.1", route), 0)
    oa.receive_offer(SessionDescription.parse(FIELD_OFFERS["browser"].data))
    with pytest.raises(NotAcceptable):
        OfferAnswer(possible_media("192.0.2.1", route), 0).receive_offer(
            SessionDescription.parse(FIELD_OFFERS["carrier like Twilio"].data)
        )


@pytest.mark.requirement("media.srtp-sdes")
def test_keys_of_the_sdp_reach_the_media() -> None:
    result = agreed("carrier like Twilio")
    security = negotiated_audio(result).security
    assert isinstance(security, SdesSecurity)
    assert security.suite == "AES_CM_128_HMAC_SHA1_80"
    assert security.remote_key == b"sample key for the tests only!"
    assert len(security.local_key) == 30


@pytest.mark.requirement("media.srtp-dtls")
def test_role_and_certificates_reach_the_media() -> None:
    audio = negotiated_audio(agreed("browser"))
    assert audio.security == DtlsSecurity(True, (("sha-256", SHA256),))
    assert audio.rtcp_mux
    assert audio.remote == audio.remote_rtcp == RtpAddress("203.0.113.20", 54_609)


@pytest.mark.requirement(
    "media.opus", "media.telephone-event-rate", "media.payload-type-change", "media.comfort-noise"
)
def test_everything_else_that_was_agreed_reaches_the_media() -> None:
    audio = negotiated_audio(agreed("freeswitch", MediaEncryption.NONE))
    assert (audio.codec, audio.payload_type, audio.clock_rate) == ("opus", 102, 48_000)
    assert audio.fmtp == "useinbandfec=1; minptime=10"
    assert audio.receive_codecs == ((102, "opus"),)
    assert audio.dtmf_payload_type == 103
    assert audio.dtmf_receive_payload_types == ((103, 48_000), (101, 8000))
    assert audio.security is None
    cisco = negotiated_audio(agreed("cisco"))
    assert (cisco.codec, cisco.comfort_noise_payload_type) == ("PCMA", 19)


def test_what_stands_in_the_way_is_told_in_a_warning_and_an_end_reason() -> None:
    plain = NotAcceptable('the address "x\\y"', 301)
    assert warning_of(plain) == ("Warning", "301 ringback \"the address 'xy'\"")
    assert mismatch_of(plain) is EndReason.CODEC_MISMATCH
    assert mismatch_of(NotAcceptable("no", encryption=True)) is EndReason.ENCRYPTION_FAILED


def test_a_fingerprint_in_our_description_is_that_of_the_media_session() -> None:
    route = replace(ROUTE, media_encryption=MediaEncryption.DTLS)
    offer = OfferAnswer(local_media("192.0.2.1", OPENED, route), 1).offer()
    assert offer.media[0].first("fingerprint") == str(Fingerprint(*PRINT))
