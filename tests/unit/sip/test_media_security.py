"""Protection of the audio, agreed on by offer and answer under each policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ringback.sip import sdes
from ringback.sip.dtls_setup import Fingerprint
from ringback.sip.media_security import DtlsAssociation, SdesKeys, SecurityPolicy
from ringback.sip.offer_answer import LocalMedia, Negotiated, NotAcceptable, OfferAnswer
from ringback.sip.sdp import MediaDescription, SessionDescription
from ringback.sip.sdp_values import Crypto, Direction
from unit.sip.sdp_peers import LOCAL, PEER, answered, machine, sdp, wire

OURS = Fingerprint("sha-256", ":".join(["0A"] * 32))
THEIRS = Fingerprint("sha-256", ":".join(["B0"] * 32))
OTHERS = Fingerprint("sha-1", ":".join(["C0"] * 20))
SUITE = "AES_CM_128_HMAC_SHA1_80"


def counting() -> Callable[[int], bytes]:
    """A source of keys that are all different and tell their order."""
    made = iter(range(1, 256))
    return lambda size: bytes([next(made)]) * size


def policy(name: str) -> SecurityPolicy:
    return SecurityPolicy(
        plain=name in ("none", "optional"),
        sdes=name in ("optional", "required", "sdes"),
        dtls=name in ("optional", "required", "dtls"),
        new_key=counting(),
        fingerprint=OURS,
    )


def under(name: str, local: LocalMedia = LOCAL) -> OfferAnswer:
    return machine(replace(local, security=policy(name)))


def crypto(tag: int = 1, suite: str = SUITE, byte: int = 0xEE) -> str:
    return f"a=crypto:{sdes.line(tag, suite, bytes([byte]) * sdes.SUITES[suite])}"


FINGERPRINT = f"a=fingerprint:{THEIRS}"
PLAIN = sdp("audio 20000 RTP/AVP 8 101")
BEST_EFFORT = sdp("audio 20000 RTP/AVP 8 101", crypto())
SAVP = sdp("audio 20000 RTP/SAVP 8 101", crypto())
SAVPF = sdp("audio 20000 RTP/SAVPF 8 101", crypto())
DTLS = sdp("audio 20000 UDP/TLS/RTP/SAVPF 8 101", FINGERPRINT, "a=setup:actpass", "a=rtcp-mux")
OLD_DTLS = sdp("audio 20000 RTP/SAVPF 8 101", FINGERPRINT, "a=setup:actpass")
OFFERS = {
    "plain": PLAIN,
    "best effort": BEST_EFFORT,
    "SAVP": SAVP,
    "SAVPF": SAVPF,
    "DTLS": DTLS,
    "SAVPF with DTLS": OLD_DTLS,
}


def kind(result: Negotiated) -> str:
    match result.security:
        case SdesKeys():
            return "sdes"
        case DtlsAssociation():
            return "dtls"
        case _:
            return "plain"


MATRIX = {
    "none": {"plain": "plain", "best effort": "plain"},
    "optional": {
        "plain": "plain",
        "best effort": "sdes",
        "SAVP": "sdes",
        "SAVPF": "sdes",
        "DTLS": "dtls",
        "SAVPF with DTLS": "dtls",
    },
    "required": {
        "best effort": "sdes",
        "SAVP": "sdes",
        "SAVPF": "sdes",
        "DTLS": "dtls",
        "SAVPF with DTLS": "dtls",
    },
    "sdes": {"best effort": "sdes", "SAVP": "sdes", "SAVPF": "sdes"},
    "dtls": {"DTLS": "dtls", "SAVPF with DTLS": "dtls"},
}


@pytest.mark.requirement("media.srtp-policy", "media.srtp-profiles")
@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.parametrize("offer", OFFERS)
def test_each_policy_takes_the_offers_that_it_allows_and_mirrors_their_transport(
    name: str, offer: str
) -> None:
    oa = under(name)
    expected = MATRIX[name].get(offer)
    if expected is None:
        with pytest.raises(NotAcceptable) as caught:
            oa.receive_offer(OFFERS[offer])
        assert caught.value.encryption
        assert caught.value.warning_code == 302
        return
    answer, result = answered(oa, OFFERS[offer])
    assert kind(result) == expected
    assert answer.media[0].protocol == OFFERS[offer].media[0].protocol
    assert (answer.media[0].first("crypto") is not None) == (expected == "sdes")
    assert (answer.media[0].first("fingerprint") is not None) == (expected == "dtls")


# ---- SDES -----------------------------------------------------------------------------------


@pytest.mark.requirement("rfc4568.5.1", "media.srtp-sdes")
def test_an_answer_echoes_the_tag_and_brings_a_key_of_its_own() -> None:
    offer = sdp(
        "audio 20000 RTP/SAVP 8",
        "a=crypto:1 F8_128_HMAC_SHA1_80 inline:AAAA",
        crypto(3, "AEAD_AES_128_GCM", 0x11),
        crypto(9, SUITE, 0x22),
    )
    answer, result = answered(under("required"), offer)
    (line,) = answer.media[0].crypto
    assert (line.tag, line.suite) == (3, "AEAD_AES_128_GCM")
    assert result.security == SdesKeys("AEAD_AES_128_GCM", b"\x01" * 28, b"\x11" * 28)
    assert sdes.key_of(line) == b"\x01" * 28


@pytest.mark.requirement("rfc4568.5.1")
def test_both_sides_hold_the_same_two_keys() -> None:
    us, them = under("required"), under("required", PEER)
    them.receive_offer(wire(us.offer()))
    mine = us.receive_answer(wire(them.answer())).security
    peer = them.negotiated.security if them.negotiated else None
    assert isinstance(mine, SdesKeys)
    assert isinstance(peer, SdesKeys)
    assert (mine.suite, mine.local_key, mine.remote_key) == (
        peer.suite,
        peer.remote_key,
        peer.local_key,
    )


@pytest.mark.requirement("rfc4568.6.1", "media.srtp-sdes")
def test_an_offer_lists_every_suite_with_a_key_of_its_own() -> None:
    media = under("required").offer().media[0]
    assert media.protocol == "RTP/SAVP"
    assert [line.suite for line in media.crypto] == list(sdes.SUITES)
    assert [line.tag for line in media.crypto] == [1, 2, 3, 4]
    assert len({line.keys for line in media.crypto}) == 4


@pytest.mark.requirement("media.srtp-policy", "media.srtp-profiles")
def test_optional_offers_plain_rtp_with_keys_and_takes_either_answer() -> None:
    offer = under("optional").offer()
    assert offer.media[0].protocol == "RTP/AVP"
    assert len(offer.media[0].crypto) == len(sdes.SUITES)
    plain = under("optional")
    plain.offer()
    assert plain.receive_answer(PLAIN).security is None
    for answer in (BEST_EFFORT, SAVP):
        protected = under("optional")
        protected.offer()
        assert kind(protected.receive_answer(answer)) == "sdes"


@pytest.mark.requirement("media.srtp-policy")
@pytest.mark.parametrize(
    "answer",
    [
        PLAIN,
        sdp("audio 20000 RTP/SAVP 8"),
        sdp("audio 20000 RTP/SAVP 8", crypto(9)),
        sdp("audio 20000 RTP/SAVP 8", crypto(1, "AES_CM_128_HMAC_SHA1_32")),
        sdp("audio 20000 RTP/SAVP 8", f"a=crypto:1 {SUITE} inline:AAAA"),
        sdp("audio 20000 UDP/TLS/RTP/SAVPF 8", FINGERPRINT, "a=setup:active"),
    ],
)
def test_an_answer_without_a_key_that_was_offered_does_not_make_a_required_call(
    answer: SessionDescription,
) -> None:
    oa = under("required")
    oa.offer()
    with pytest.raises(NotAcceptable) as caught:
        oa.receive_answer(answer)
    assert caught.value.encryption
    assert oa.receive_answer(SAVP).security is not None


@pytest.mark.requirement("media.srtp-policy")
def test_a_plain_trunk_neither_offers_nor_takes_srtp() -> None:
    oa = under("none")
    media = oa.offer().media[0]
    assert (media.protocol, media.crypto) == ("RTP/AVP", ())
    with pytest.raises(NotAcceptable):
        oa.receive_answer(SAVP)
    assert oa.receive_answer(BEST_EFFORT).security is None


# ---- SDES in later rounds ---------------------------------------------------------------------


def keys(oa: OfferAnswer) -> tuple[bytes, bytes]:
    security = oa.negotiated.security if oa.negotiated else None
    assert isinstance(security, SdesKeys)
    return security.local_key, security.remote_key


def local_line(description: SessionDescription) -> Crypto:
    return description.media[0].crypto[0]


@pytest.mark.requirement("rfc4568.5.1")
def test_keys_stay_over_a_reoffer_that_does_not_change_them() -> None:
    oa = under("required")
    first, _ = answered(oa, SAVP)
    before = keys(oa)
    again, _ = answered(oa, sdp("audio 20000 RTP/SAVP 8 101", crypto(), "a=sendonly"))
    assert keys(oa) == before
    assert local_line(again) == local_line(first)
    ours = oa.offer(direction=Direction.SENDONLY)
    assert ours.media[0].protocol == "RTP/SAVP"
    assert sdes.key_of(local_line(ours)) == before[0]
    oa.receive_answer(SAVP)
    assert keys(oa) == before


@pytest.mark.requirement("rfc4568.5.1", "media.srtp-sdes")
def test_a_peer_that_renews_its_key_gets_a_new_one_of_ours() -> None:
    oa = under("required")
    answered(oa, SAVP)
    local, remote = keys(oa)
    answered(oa, sdp("audio 20000 RTP/SAVP 8 101", crypto(byte=0x77)))
    assert keys(oa)[1] == b"\x77" * 30 != remote
    assert keys(oa)[0] != local


def test_a_refused_reoffer_leaves_the_keys_as_they_were() -> None:
    oa = under("required")
    answered(oa, SAVP)
    before = keys(oa)
    oa.receive_offer(sdp("audio 20000 RTP/SAVP 8 101", crypto(byte=0x77)))
    oa.rollback()
    assert keys(oa) == before
    answered(oa, SAVP)
    assert keys(oa) == before


@pytest.mark.requirement("rfc4568.5.1")
def test_a_reoffer_names_the_suite_in_use_first_and_keeps_each_tag() -> None:
    oa = under("required")
    oa.offer()
    oa.receive_answer(sdp("audio 20000 RTP/SAVP 8", crypto(3, "AEAD_AES_128_GCM")))
    lines = oa.offer().media[0].crypto
    assert (lines[0].tag, lines[0].suite) == (3, "AEAD_AES_128_GCM")
    assert sorted(line.tag for line in lines) == [1, 2, 3, 4]


@pytest.mark.requirement("media.srtp-policy")
@pytest.mark.parametrize("name", ["optional", "required"])
@pytest.mark.parametrize("first", [SAVP, BEST_EFFORT, DTLS])
def test_a_protected_call_is_not_made_plain_by_a_reoffer(
    name: str, first: SessionDescription
) -> None:
    oa = under(name)
    answered(oa, first)
    before = oa.negotiated
    with pytest.raises(NotAcceptable) as caught:
        oa.receive_offer(PLAIN)
    assert caught.value.encryption
    assert oa.negotiated == before
    oa.offer()
    with pytest.raises(NotAcceptable):
        oa.receive_answer(PLAIN)


@pytest.mark.requirement("media.srtp-policy")
def test_a_plain_call_may_become_protected_where_that_is_allowed() -> None:
    oa = under("optional")
    answered(oa, PLAIN)
    assert answered(oa, SAVP)[1].security is not None
    plain = under("none")
    answered(plain, PLAIN)
    with pytest.raises(NotAcceptable):
        plain.receive_offer(SAVP)


@pytest.mark.requirement("media.srtp-policy")
def test_a_plain_call_is_reoffered_plain() -> None:
    oa = under("optional")
    answered(oa, PLAIN)
    media = oa.offer().media[0]
    assert (media.protocol, media.crypto) == ("RTP/AVP", ())


@pytest.mark.requirement("media.srtp-profiles")
def test_a_best_effort_call_stays_under_its_transport() -> None:
    oa = under("optional")
    answered(oa, BEST_EFFORT)
    media = oa.offer().media[0]
    assert media.protocol == "RTP/AVP"
    assert media.crypto


# ---- dual sections ----------------------------------------------------------------------------


DUAL = sdp("audio 20000 RTP/AVP 8 101", f"m=audio 20002 RTP/SAVP 8\n{crypto()}")
TURNED = sdp("audio 20002 RTP/SAVP 8", crypto(), "m=audio 20000 RTP/AVP 8")


@pytest.mark.requirement("media.srtp-profiles", "rfc3264.6")
@pytest.mark.parametrize(
    ("name", "port"), [("none", 20_000), ("optional", 20_002), ("required", 20_002)]
)
@pytest.mark.parametrize("offer", [DUAL, TURNED])
def test_of_a_plain_and_a_secure_section_the_policy_takes_one_and_rejects_the_other(
    name: str, port: int, offer: SessionDescription
) -> None:
    answer, result = answered(under(name), offer)
    assert result.remote.port == port
    assert [media.port != 0 for media in answer.media] == [m.port == port for m in offer.media]
    assert [media.protocol for media in answer.media] == [m.protocol for m in offer.media]
    assert (result.security is not None) == (name != "none")


@pytest.mark.requirement("media.srtp-profiles")
def test_a_dual_offer_again_keeps_the_section() -> None:
    oa = under("optional")
    answered(oa, DUAL)
    ours = oa.offer()
    assert [media.port for media in ours.media] == [0, 10_000]
    assert ours.media[1].protocol == "RTP/SAVP"


# ---- DTLS -------------------------------------------------------------------------------------


@pytest.mark.requirement("rfc5763.5", "media.srtp-dtls")
def test_a_dtls_offer_is_answered_as_the_client_with_our_fingerprint() -> None:
    answer, result = answered(under("required"), DTLS)
    media = answer.media[0]
    assert media.all("setup") == ["active"]
    assert media.all("fingerprint") == [str(OURS)]
    assert media.rtcp_mux
    assert result.security == DtlsAssociation(True, (THEIRS,))
    assert result.rtcp_mux


def session_level(*lines: str) -> SessionDescription:
    return sdp("audio 20000 UDP/TLS/RTP/SAVP 8", session="\n".join(lines))


@pytest.mark.requirement("rfc5763.5")
@pytest.mark.parametrize(
    ("setup", "ours", "active"),
    [("actpass", "active", True), ("passive", "active", True), ("active", "passive", False)],
)
def test_fingerprint_and_setup_may_stand_at_the_session(
    setup: str, ours: str, active: bool
) -> None:
    offer = session_level(FINGERPRINT, f"a=setup:{setup}", "a=tls-id:abc3de65cddef001be82")
    answer, result = answered(under("dtls"), offer)
    assert answer.media[0].all("setup") == [ours]
    assert result.security == DtlsAssociation(active, (THEIRS,))


@pytest.mark.requirement("rfc5763.5")
@pytest.mark.parametrize(
    "lines",
    [
        ("a=setup:actpass",),
        (FINGERPRINT, "a=setup:holdconn"),
        (FINGERPRINT, "a=setup:nonsense"),
        (f"a=fingerprint:md5 {':'.join(['AA'] * 16)}", "a=setup:actpass"),
    ],
)
def test_dtls_without_a_certificate_or_a_connection_is_not_agreed_to(
    lines: tuple[str, ...],
) -> None:
    with pytest.raises(NotAcceptable) as caught:
        under("required").receive_offer(session_level(*lines))
    assert caught.value.encryption


@pytest.mark.requirement("rfc5763.5")
def test_every_fingerprint_of_the_peer_counts_and_the_sections_own_before_the_sessions() -> None:
    offer = sdp(
        "audio 20000 UDP/TLS/RTP/SAVPF 8",
        f"a=fingerprint:{THEIRS}",
        f"a=fingerprint:{OTHERS}",
        "a=setup:actpass",
        session="a=fingerprint:sha-256 " + ":".join(["DD"] * 32),
    )
    security = answered(under("dtls"), offer)[1].security
    assert security == DtlsAssociation(True, (THEIRS, OTHERS))


@pytest.mark.requirement("rfc5763.5", "media.srtp-dtls")
@pytest.mark.parametrize(("setup", "active"), [("active", False), ("passive", True)])
def test_our_dtls_offer_leaves_the_role_to_the_answerer(setup: str, active: bool) -> None:
    oa = under("dtls")
    media = oa.offer().media[0]
    assert media.protocol == "UDP/TLS/RTP/SAVPF"
    assert media.all("setup") == ["actpass"]
    assert media.all("fingerprint") == [str(OURS)]
    assert media.rtcp_mux
    answer = sdp("audio 20000 UDP/TLS/RTP/SAVPF 8", FINGERPRINT, f"a=setup:{setup}", "a=rtcp-mux")
    assert oa.receive_answer(answer).security == DtlsAssociation(active, (THEIRS,))


@pytest.mark.requirement("rfc5763.5")
@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("a=setup:active",),
        (FINGERPRINT, "a=setup:actpass"),
        (FINGERPRINT, "a=setup:holdconn"),
        (crypto(),),
    ],
)
def test_an_answer_that_leaves_dtls_open_is_none(lines: tuple[str, ...]) -> None:
    oa = under("dtls")
    oa.offer()
    with pytest.raises(NotAcceptable) as caught:
        oa.receive_answer(sdp("audio 20000 UDP/TLS/RTP/SAVPF 8", *lines))
    assert caught.value.encryption


@pytest.mark.requirement("rfc5763.5")
def test_a_reoffer_keeps_the_role_unless_the_certificate_is_another() -> None:
    oa = under("dtls")
    passive = sdp("audio 20000 UDP/TLS/RTP/SAVPF 8", FINGERPRINT, "a=setup:active")
    assert answered(oa, passive)[1].security == DtlsAssociation(False, (THEIRS,))
    answer, result = answered(oa, DTLS)
    assert answer.media[0].all("setup") == ["passive"]
    assert result.security == DtlsAssociation(False, (THEIRS,))
    other = sdp("audio 20000 UDP/TLS/RTP/SAVPF 8", f"a=fingerprint:{OTHERS}", "a=setup:actpass")
    answer, result = answered(oa, other)
    assert answer.media[0].all("setup") == ["active"]
    assert result.security == DtlsAssociation(True, (OTHERS,))


@pytest.mark.requirement("media.srtp-policy")
def test_the_kind_in_use_goes_on_when_both_are_offered() -> None:
    both = sdp("audio 20000 RTP/SAVPF 8", crypto(), FINGERPRINT, "a=setup:actpass")
    assert kind(answered(under("required"), both)[1]) == "dtls"
    oa = under("required")
    answered(oa, SAVPF)
    assert kind(answered(oa, both)[1]) == "sdes"


@pytest.mark.requirement("media.srtp-policy")
def test_without_a_certificate_there_is_no_dtls() -> None:
    bare = replace(policy("dtls"), fingerprint=None)
    oa = machine(replace(LOCAL, security=bare))
    with pytest.raises(NotAcceptable) as caught:
        oa.offer()
    assert caught.value.encryption
    with pytest.raises(NotAcceptable):
        oa.receive_offer(DTLS)
    required = replace(policy("required"), fingerprint=None)
    both = sdp("audio 20000 RTP/SAVPF 8", crypto(), FINGERPRINT, "a=setup:actpass")
    assert kind(answered(machine(replace(LOCAL, security=required)), both)[1]) == "sdes"


@pytest.mark.requirement("rfc5763.5")
def test_two_machines_agree_on_dtls_with_one_client() -> None:
    us, them = under("dtls"), under("dtls", PEER)
    them.receive_offer(wire(us.offer()))
    mine = us.receive_answer(wire(them.answer()))
    assert them.negotiated is not None
    assert mine.security == DtlsAssociation(False, (OURS,))
    assert them.negotiated.security == DtlsAssociation(True, (OURS,))
    assert mine.rtcp_mux
    us.offer()
    assert us.local_description is not None


def test_a_rejected_section_shows_no_key() -> None:
    answer, _ = answered(under("none"), DUAL)
    assert answer.media[1] == MediaDescription("audio", 0, "RTP/SAVP", ("8",))


def test_keys_do_not_show_in_any_repr() -> None:
    oa = under("required")
    _, result = answered(oa, SAVP)
    shown = repr((result, oa.local, oa.local_description))
    assert "\\xee" not in shown
    assert "inline" not in shown
