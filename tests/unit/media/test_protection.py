from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.core.errors import InvalidRequest
from ringback.media.dtls_channel import HANDSHAKE_SECONDS
from ringback.media.latch import Address, AddressPolicy
from ringback.media.metrics import MediaCounters
from ringback.media.plane import DtlsSecurity, SdesSecurity
from ringback.media.protection import EARLY_SECONDS, TRANSITIONS, Event, MediaProtection, State
from ringback.media.srtp import SUITES, SrtpSender
from unit.media.dtls_lab import HERE, PHONE, STRANGER, End, carry, identity, negotiated

SUITE = "AES_CM_128_HMAC_SHA1_80"


def rtp(sequence: int = 1, ssrc: int = 7) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, sequence, sequence * 160, ssrc) + bytes(160)


def rtcp(ssrc: int = 7) -> bytes:
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


def key(seed: int, suite: str = SUITE) -> bytes:
    return bytes([seed]) * SUITES[suite].master_bytes


def sdes(local: int, remote: int, suite: str = SUITE) -> SdesSecurity:
    return SdesSecurity(suite, key(local, suite), key(remote, suite))


def keyed(*, mux: bool = False) -> tuple[End, End]:
    here, phone = End("ours", HERE), End("theirs", PHONE)
    here.protection.negotiate(negotiated(sdes(1, 2), PHONE, mux=mux), here.now)
    phone.protection.negotiate(negotiated(sdes(2, 1), HERE, mux=mux), phone.now)
    return here, phone


def met(*, mux: bool = True) -> tuple[End, End]:
    """Two ends whose handshake is over; the phone began it."""
    here, phone = End("ours", HERE), End("theirs", PHONE)
    here.agree("theirs", PHONE, active=False, mux=mux)
    phone.agree("ours", HERE, active=True, mux=mux)
    carry(here, phone)
    return here, phone


def say(source: End, target: End, sequence: int = 1) -> bool:
    """Whether an RTP packet that one leg sends reaches the other leg, and not in the clear."""
    packet = rtp(sequence)
    source.protection.send_rtp(packet, target.address)
    assert all(data != packet for data, _ in source.rtp)
    target.heard.clear()
    carry(source, target)
    return target.heard == [packet]


def report(source: End, target: End, *, mux: bool) -> bool:
    send = source.protection.send_rtp if mux else source.protection.send_rtcp
    send(rtcp(), target.address)
    target.heard.clear()
    target.reports.clear()
    carry(source, target)
    return (target.heard if mux else target.reports) == [rtcp()]


def test_every_state_knows_what_every_agreement_makes_of_it() -> None:
    agreements = (Event.PLAIN_AGREED, Event.KEYS_AGREED, Event.HANDSHAKE_AGREED)
    assert {(s, e) for s in State for e in agreements} <= set(TRANSITIONS)
    assert {TRANSITIONS[State.FAILED, event] for event in agreements} == {State.FAILED}


def test_without_security_everything_passes_as_it_is() -> None:
    here = End("ours", HERE)
    here.protection.negotiate(negotiated(None, PHONE), here.now)
    here.receive(rtp(), PHONE)
    here.receive(b"\x00\x01 stun", PHONE)
    here.protection.send_rtp(rtp(2), PHONE)
    here.protection.send_rtcp(rtcp(), PHONE)
    assert here.heard == [rtp(), b"\x00\x01 stun"]
    assert (here.rtp, here.rtcp) == ([(rtp(2), PHONE)], [(rtcp(), PHONE)])
    assert here.protection.suite == "none"


@pytest.mark.requirement("media.srtp-sdes")
@pytest.mark.parametrize("mux", [False, True])
def test_keys_of_the_sdp_protect_both_ways_at_once(mux: bool) -> None:
    here, phone = keyed(mux=mux)
    assert here.state() is State.KEYED
    assert here.protection.suite == SUITE
    for n in range(1, 5):
        assert say(here, phone, n)
        assert say(phone, here, n)
        assert report(here, phone, mux=mux)
        assert report(phone, here, mux=mux)


@pytest.mark.requirement("media.srtp-sdes", "media.srtp-replay")
def test_once_protection_is_agreed_on_nothing_in_the_clear_is_heard() -> None:
    here, _ = keyed()
    here.receive(rtp(), PHONE)
    here.receive(rtcp(), PHONE)
    here.protection.on_rtcp(rtcp(), PHONE, here.now)
    here.receive(b"\x00\x01" + bytes(18), PHONE)
    here.receive(b"\x16\xfe\xfd" + bytes(40), PHONE)
    assert here.heard == here.reports == []
    assert here.counters.srtp_unauthentic + here.counters.dropped_malformed == 3
    assert (here.counters.dropped_not_rtp, here.counters.dtls_dropped) == (1, 1)


@pytest.mark.requirement("media.srtp-sdes")
def test_a_re_offer_with_new_keys_is_not_heard() -> None:
    here, phone = keyed()
    assert say(phone, here, 1)
    here.protection.negotiate(negotiated(sdes(3, 4), PHONE), here.now)
    assert say(phone, here, 2)
    phone.protection.negotiate(negotiated(sdes(4, 3), HERE), phone.now)
    assert say(phone, here, 3)
    assert say(here, phone, 3)
    assert here.counters.srtp_unauthentic == 0


@pytest.mark.parametrize(
    "security",
    [sdes(1, 2).__class__("NULL_HMAC_SHA1_80", key(1), key(2)), SdesSecurity(SUITE, b"x", b"y")],
)
def test_keys_that_cannot_be_used_are_refused_and_change_nothing(security: SdesSecurity) -> None:
    here, phone = keyed()
    with pytest.raises(InvalidRequest) as caught:
        here.protection.negotiate(negotiated(security, PHONE), here.now)
    assert caught.value.code == "unknown_srtp_suite"
    assert say(phone, here, 9)


@pytest.mark.requirement("media.srtp-dtls", "rfc5764.5.1.2")
@pytest.mark.parametrize("mux", [True, False])
def test_a_handshake_protects_both_ways_and_reports_too(mux: bool) -> None:
    here, phone = met(mux=mux)
    for end in (here, phone):
        assert end.state() is State.KEYED
        assert end.counters.dtls_handshakes == (1 if mux else 2)
    assert here.verified == [PHONE]
    assert say(here, phone)
    assert say(phone, here)
    assert report(here, phone, mux=mux)
    assert report(phone, here, mux=mux)


@pytest.mark.requirement("media.srtp-dtls")
def test_without_a_shared_port_the_reports_have_keys_of_their_own() -> None:
    here, phone = met(mux=False)
    here.protection.send_rtcp(rtcp(), PHONE)
    ((data, _),) = here.rtcp
    phone.receive(data, HERE)
    assert phone.heard == []
    phone.protection.on_rtcp(data, HERE, phone.now)
    assert phone.reports == [rtcp()]


@pytest.mark.requirement("media.srtp-dtls")
def test_before_the_handshake_is_over_nothing_passes() -> None:
    here = End("ours", HERE)
    here.agree("theirs", PHONE, active=False)
    assert here.state() is State.HANDSHAKING
    here.receive(rtp(), PHONE)
    here.receive(rtcp(), PHONE)
    here.protection.send_rtp(rtp(), PHONE)
    here.protection.send_rtcp(rtcp(), PHONE)
    assert here.heard == []
    assert [here.rtp, here.rtcp] == [[], []]
    assert here.counters.srtp_unkeyed == 4
    assert here.protection.suite == "none"


@pytest.mark.requirement("media.srtp-dtls", "rfc5763.5")
def test_a_handshake_that_begins_before_the_answer_is_here_is_not_lost() -> None:
    here, phone = End("ours", HERE), End("theirs", PHONE)
    phone.agree("ours", HERE, active=True)
    ((hello, _),) = phone.rtp
    phone.rtp.clear()
    here.receive(hello, PHONE)
    assert here.rtp == []
    here.agree("theirs", PHONE, active=False)
    carry(here, phone)
    assert say(phone, here)


def test_an_early_beginning_is_kept_for_a_while_and_only_before_anything_is_agreed_on() -> None:
    here, phone = End("ours", HERE), End("theirs", PHONE)
    phone.agree("ours", HERE, active=True)
    ((hello, _),) = phone.rtp
    here.receive(hello, PHONE)
    here.tick(EARLY_SECONDS + 1)
    here.agree("theirs", PHONE, active=False)
    assert here.rtp == []
    plain = End("ours", HERE)
    plain.protection.negotiate(negotiated(None, PHONE), plain.now)
    plain.receive(hello, PHONE)
    plain.agree("theirs", PHONE, active=False)
    assert plain.rtp == []


@pytest.mark.requirement("media.srtp-dtls")
def test_a_wrong_certificate_is_told_once_and_silence_is_for_ever() -> None:
    here, impostor = End("ours", HERE), End("impostor", PHONE)
    here.agree("theirs", PHONE, active=False)
    impostor.agree("ours", HERE, active=True)
    carry(here, impostor)
    assert here.state() is State.FAILED
    assert len(here.failures) == 1
    assert "fingerprint" in here.failures[0]
    here.tick(HANDSHAKE_SECONDS + 1)
    assert len(here.failures) == 1
    for security in (None, sdes(1, 2)):
        here.protection.negotiate(negotiated(security, PHONE), here.now)
        here.protection.send_rtp(rtp(), PHONE)
        here.receive(rtp(), PHONE)
    assert here.heard == []
    assert here.rtp == []
    assert here.protection.suite == "none"


@pytest.mark.requirement("media.srtp-dtls")
def test_a_peer_that_never_begins_is_given_up_after_a_while() -> None:
    here = End("ours", HERE)
    here.agree("theirs", PHONE, active=False)
    here.tick(HANDSHAKE_SECONDS - 0.5)
    assert here.failures == []
    here.tick(1)
    assert here.failures == ["the peer made no DTLS handshake"]
    assert here.state() is State.FAILED


def test_a_call_goes_on_when_only_the_reports_find_no_keys() -> None:
    here, phone = End("ours", HERE), End("theirs", PHONE)
    here.agree("theirs", PHONE, active=False, mux=False)
    phone.agree("ours", HERE, active=True, mux=True)
    carry(here, phone)
    here.tick(HANDSHAKE_SECONDS + 1)
    assert here.failures == []
    assert say(phone, here)


@pytest.mark.requirement("rfc5763.5")
def test_the_same_sdp_again_keeps_the_association() -> None:
    here, phone = met()
    for end, other, active in ((here, phone, False), (phone, here, True)):
        end.agree(other.name, other.address, active=active)
    assert (here.rtp, phone.rtp) == ([], [])
    here.tick(HANDSHAKE_SECONDS + 1)
    assert here.failures == []
    assert here.state() is State.KEYED
    assert say(phone, here)
    assert here.counters.dtls_handshakes == 1


@pytest.mark.requirement("rfc5763.5")
def test_another_fingerprint_means_another_handshake_while_the_old_keys_serve() -> None:
    here, phone = met()
    here.agree("successor", STRANGER, active=False)
    assert here.state() is State.HANDSHAKING
    assert say(phone, here, 5)
    successor = End("successor", STRANGER)
    successor.agree("ours", HERE, active=True)
    carry(here, successor)
    assert here.state() is State.KEYED
    assert say(successor, here, 6)
    assert say(here, successor, 6)
    assert here.counters.dtls_handshakes == 2


def test_a_peer_that_starts_over_after_a_new_sdp_is_followed() -> None:
    here, phone = met()
    here.agree("theirs", PHONE, active=False)
    restarted = End("theirs", PHONE)
    restarted.agree("ours", HERE, active=True)
    carry(here, restarted)
    assert here.counters.dtls_handshakes == 2
    assert say(restarted, here, 2)
    assert say(here, restarted, 2)
    assert phone.counters.dtls_handshakes == 1


def test_without_a_new_sdp_nobody_starts_over() -> None:
    here, phone = met()
    again = End("theirs", PHONE)
    again.agree("ours", HERE, active=True)
    carry(here, again)
    assert again.counters.dtls_handshakes == 0
    assert say(phone, here, 2)


def test_after_a_failed_new_association_the_call_is_not_in_the_clear() -> None:
    here, phone = met()
    here.agree("successor", PHONE, active=False)
    impostor = End("impostor", PHONE)
    impostor.agree("ours", HERE, active=True)
    carry(here, impostor)
    assert here.state() is State.FAILED
    assert not say(phone, here, 3)
    here.protection.send_rtp(rtp(), PHONE)
    assert here.rtp == []


def test_a_switch_between_the_ways_of_agreeing_on_keys_works() -> None:
    here, phone = keyed()
    here.agree("theirs", PHONE, active=False)
    phone.agree("ours", HERE, active=True)
    carry(here, phone)
    assert say(here, phone, 2)
    assert here.protection.suite == "AEAD_AES_256_GCM"
    here.protection.negotiate(negotiated(sdes(5, 6), PHONE), here.now)
    phone.protection.negotiate(negotiated(sdes(6, 5), HERE), phone.now)
    assert say(phone, here, 3)
    assert here.protection.suite == SUITE


def test_a_plane_without_a_certificate_says_so() -> None:
    protection = MediaProtection(
        MediaCounters(),
        identity=None,
        policy=AddressPolicy(),
        send_rtp=lambda data, to: None,
        send_rtcp=lambda data, to: None,
        on_rtp=lambda data, source, now: None,
        on_rtcp=lambda data, source, now: None,
        on_failed=lambda why: None,
        on_verified=lambda source, now: None,
    )
    security = DtlsSecurity(False, (identity().fingerprint,))
    with pytest.raises(InvalidRequest) as caught:
        protection.negotiate(negotiated(security, PHONE), 0.0)
    assert caught.value.code == "dtls_not_available"
    assert protection.state is State.PLAIN


SOURCES = st.sampled_from([PHONE, STRANGER, ("192.0.2.10", 4001), ("224.0.0.1", 4000)])


@pytest.mark.requirement("bad.rtp-flood", "media.srtp-replay")
@given(st.lists(st.tuples(st.binary(max_size=200), SOURCES, st.booleans()), max_size=60))
def test_whatever_strangers_send_the_call_is_heard(
    noise: list[tuple[bytes, Address, bool]],
) -> None:
    here, phone = met()
    wrong = SrtpSender(SUITES[SUITE], key(9))
    sequence = 10
    for data, source, as_srtp in noise:
        forged = (wrong.protect(rtp(sequence)) or data) if as_srtp else data
        here.receive(forged, source)
        here.protection.on_rtcp(forged, source, here.now)
        sequence += 1
        assert say(phone, here, sequence)
    assert here.failures == []
    assert here.state() is State.KEYED
