from __future__ import annotations

import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from ringback.media.metrics import MediaCounters
from ringback.media.srtp import (
    MAX_REMOTE_STREAMS,
    REKEY_OVERLAP_SECONDS,
    SUITES,
    SrtpCipher,
    SrtpError,
    SrtpReceiver,
    SrtpSender,
    suite_named,
)
from unit.media.srtp_reference import Reference, derive, exclusive_or, keystream

EVERY_SUITE = pytest.mark.parametrize("suite", sorted(SUITES))
SSRC = 0xCAFEBABE


def master(suite: str, seed: int = 1) -> bytes:
    return bytes((seed * 37 + n * 11) & 0xFF for n in range(SUITES[suite].master_bytes))


def rtp(sequence: int, ssrc: int = SSRC, payload: bytes = bytes(range(160))) -> bytes:
    head = struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, ssrc)
    return head + payload


def rtcp(ssrc: int = SSRC) -> bytes:
    return struct.pack("!BBHI", 0x80, 200, 6, ssrc) + bytes(range(20))


class Ends:
    """Two ciphers that know each other's keys."""

    def __init__(self, suite: str = "AES_CM_128_HMAC_SHA1_80") -> None:
        self.suite = SUITES[suite]
        self.counters = MediaCounters()
        self.here, self.there = SrtpCipher(self.counters), SrtpCipher(MediaCounters())
        self.rekey(1, 0.0)

    def rekey(self, seed: int, now: float) -> None:
        self.rekey_here(seed, now)
        self.rekey_there(seed, now)

    def rekey_here(self, seed: int, now: float) -> None:
        name = self.suite.name
        self.here.rekey(self.suite, master(name, seed), master(name, seed + 100), now)

    def rekey_there(self, seed: int, now: float) -> None:
        name = self.suite.name
        self.there.rekey(self.suite, master(name, seed + 100), master(name, seed), now)

    def arrives(self, sequence: int, now: float = 0.0) -> bool:
        packet = rtp(sequence)
        return self.here.unprotect(self.sent(packet), now) == packet

    def sent(self, packet: bytes) -> bytes:
        protected = self.there.protect(packet)
        assert protected is not None
        return protected


@pytest.mark.requirement("rfc3711.4.3")
def test_the_keys_of_rfc_3711_b_3_are_derived() -> None:
    key = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
    salt = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
    assert derive(key, salt, 0, 16) == bytes.fromhex("C61E7A93744F39EE10734AFE3FF7A087")
    assert derive(key, salt, 2, 14) == bytes.fromhex("30CBBC08863D8C85D49DB34A9AE1")
    assert derive(key, salt, 1, 20) == bytes.fromhex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4")
    packet = bytes.fromhex("800f1234decafbadcafebabe") + b"\xab" * 16
    ours = SrtpSender(SUITES["AES_CM_128_HMAC_SHA1_80"], key + salt).protect(packet)
    assert ours == Reference("AES_CM_128_HMAC_SHA1_80", key + salt).rtp(packet)
    assert ours == bytes.fromhex(
        "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"
    )


def test_the_key_stream_of_rfc_3711_b_2_is_the_reference_s() -> None:
    stream = keystream(
        bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C"),
        bytes.fromhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000"),
        48,
    )
    assert stream == bytes.fromhex(
        "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB"
        "41E95B3BB0A2E8DD477901E4FCA894C0"
    )


def test_the_packet_of_rfc_7714_16_1_1_is_the_reference_s() -> None:
    header = bytes.fromhex("8040f17b8041f8d35501a0b2")
    nonce = exclusive_or(struct.pack("!xxIIH", 0x5501A0B2, 0, 0xF17B), b"Quid pro quo")
    assert nonce == bytes.fromhex("51753c6580c2726f20718414")
    text = b"Gallia est omnis divisa in partes tres"
    assert AESGCM(bytes(range(16))).encrypt(nonce, text, header) == bytes.fromhex(
        "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833"
        "899d7f27beb16a9152cf765ee4390cce"
    )


@pytest.mark.requirement("rfc3711.4.3")
@EVERY_SUITE
@pytest.mark.requirement("rfc3711.3.3", "media.srtp-sdes")
def test_every_suite_protects_as_its_rfc_says(suite: str) -> None:
    sender = SrtpSender(SUITES[suite], master(suite))
    reference = Reference(suite, master(suite))
    assert sender.protect(rtp(7)) == reference.rtp(rtp(7))
    assert sender.protect_rtcp(rtcp()) == reference.rtcp(rtcp(), 1)
    assert sender.protect_rtcp(rtcp()) == reference.rtcp(rtcp(), 2)


@pytest.mark.requirement("rfc3711.3.3", "rfc3711.4.3", "media.srtp-sdes")
@EVERY_SUITE
def test_every_suite_opens_what_the_rfc_protects(suite: str) -> None:
    receiver = SrtpReceiver(SUITES[suite], master(suite))
    reference = Reference(suite, master(suite))
    assert receiver.unprotect(reference.rtp(rtp(7))) == rtp(7)
    assert receiver.unprotect_rtcp(reference.rtcp(rtcp(), 1)) == rtcp()


@pytest.mark.requirement("rfc3711.3.3")
def test_a_short_tag_is_for_rtp_alone() -> None:
    sender = SrtpSender(SUITES["AES_CM_128_HMAC_SHA1_32"], master("AES_CM_128_HMAC_SHA1_32"))
    protected, report = sender.protect(rtp(1)), sender.protect_rtcp(rtcp())
    assert protected is not None
    assert report is not None
    assert len(protected) == len(rtp(1)) + 4
    assert len(report) == len(rtcp()) + 4 + 10


@EVERY_SUITE
@pytest.mark.requirement("rfc3711.3.3")
def test_the_roll_over_counter_goes_on_over_hours(suite: str) -> None:
    ends = Ends(suite)
    reference = Reference(suite, master(suite, 101))
    step = 1000
    for index in range(60_000, 400_000, step):
        packet = rtp(index)
        protected = ends.sent(packet)
        assert protected == reference.rtp(packet, roc=index >> 16)
        assert ends.here.unprotect(protected, 0.0) == packet
    assert ends.counters.srtp_unauthentic == 0


@pytest.mark.requirement("rfc3711.3.3")
def test_packets_that_change_places_over_a_wrap_are_opened() -> None:
    ends = Ends()
    packets = [rtp(index) for index in range(65_530, 65_542)]
    protected = [ends.sent(packet) for packet in packets]
    order = [0, 3, 1, 2, 7, 5, 4, 6, 11, 8, 10, 9]
    assert [ends.here.unprotect(protected[n], 0.0) for n in order] == [packets[n] for n in order]


@EVERY_SUITE
@pytest.mark.requirement("media.srtp-replay", "rfc3711.3.3")
def test_replayed_forged_and_foreign_packets_are_dropped_and_counted(suite: str) -> None:
    ends = Ends(suite)
    protected = [ends.sent(rtp(n)) for n in range(1, 400)]
    report = ends.there.protect_rtcp(rtcp())
    assert report is not None
    for packet in protected:
        assert ends.here.unprotect(packet, 0.0) is not None
    assert ends.here.unprotect_rtcp(report, 0.0) == rtcp()

    for packet in (protected[-1], protected[-5], protected[0]):
        assert ends.here.unprotect(packet, 0.0) is None
    assert ends.here.unprotect_rtcp(report, 0.0) is None
    assert ends.counters.srtp_replayed == 4

    forged = ends.sent(rtp(500))
    for at in range(2, len(forged), 9):
        broken = forged[:at] + bytes([forged[at] ^ 0x40]) + forged[at + 1 :]
        assert ends.here.unprotect(broken, 0.0) is None
    stranger = SrtpSender(ends.suite, master(suite, 77)).protect(rtp(501))
    assert stranger is not None
    assert ends.here.unprotect(stranger, 0.0) is None
    assert ends.counters.srtp_unauthentic >= len(forged) // 9
    assert ends.here.unprotect(forged, 0.0) == rtp(500)


@pytest.mark.requirement("rfc3711.3.3")
def test_several_sources_have_their_own_packet_counts() -> None:
    ends = Ends()
    for ssrc in range(1, 5):
        for sequence in (65_534, 65_535, 65_536, 65_537):
            packet = rtp(sequence, ssrc)
            assert ends.here.unprotect(ends.sent(packet), 0.0) == packet
    for ssrc in range(1, 5):
        assert ends.here.unprotect(ends.sent(rtp(65_538, ssrc)), 0.0) == rtp(65_538, ssrc)


@pytest.mark.requirement("rfc3711.3.3")
def test_a_peer_with_the_key_cannot_make_us_remember_sources_without_end() -> None:
    receiver = SrtpReceiver(SUITES["AEAD_AES_128_GCM"], master("AEAD_AES_128_GCM"))
    reference = Reference("AEAD_AES_128_GCM", master("AEAD_AES_128_GCM"))
    for ssrc in range(1, 1000):
        assert receiver.unprotect(reference.rtp(rtp(1, ssrc))) == rtp(1, ssrc)
        assert receiver.unprotect_rtcp(reference.rtcp(rtcp(ssrc), 1)) == rtcp(ssrc)
    assert len(receiver._streams) == MAX_REMOTE_STREAMS
    assert receiver.unprotect(reference.rtp(rtp(2, 999))) == rtp(2, 999)


def test_a_change_of_keys_is_not_heard() -> None:
    ends = Ends()
    assert all(ends.arrives(n) for n in range(1, 5))
    under_way = [ends.sent(rtp(n)) for n in range(5, 8)]
    ends.rekey_here(2, 10.0)
    assert [ends.here.unprotect(p, 10.1) for p in under_way] == [rtp(n) for n in range(5, 8)]
    assert ends.arrives(8, 10.2)
    ends.rekey_there(2, 10.3)
    assert ends.arrives(9, 10.4)
    assert ends.counters.srtp_unauthentic == 0


def test_the_first_packet_under_the_new_key_ends_the_old_one() -> None:
    ends = Ends()
    late = ends.sent(rtp(1))
    ends.rekey(2, 10.0)
    assert ends.arrives(2, 10.1)
    assert ends.here.unprotect(late, 10.2) is None
    assert ends.counters.srtp_unauthentic == 1


def test_the_old_key_does_not_live_on_for_want_of_a_new_packet() -> None:
    ends = Ends()
    late = ends.sent(rtp(1))
    ends.rekey_here(2, 10.0)
    assert ends.here.unprotect(late, 10.0 + REKEY_OVERLAP_SECONDS + 0.1) is None
    assert ends.here.unprotect(late, 10.0) is None


@pytest.mark.requirement("rfc3711.3.3", "media.srtp-replay")
def test_a_replay_under_the_old_key_is_still_one() -> None:
    ends = Ends()
    first = ends.sent(rtp(1))
    assert ends.here.unprotect(first, 0.0) is not None
    ends.rekey_here(2, 1.0)
    assert ends.here.unprotect(first, 1.1) is None
    assert ends.counters.srtp_replayed == 1


@pytest.mark.requirement("rfc3711.3.3", "media.srtp-replay")
def test_keys_that_are_agreed_on_again_go_on_counting() -> None:
    ends = Ends()
    first = ends.sent(rtp(65_535))
    assert ends.here.unprotect(first, 0.0) is not None
    assert ends.arrives(65_536)
    ends.rekey(1, 5.0)
    assert ends.here.unprotect(first, 5.0) is None
    assert ends.arrives(65_537, 5.1)
    sent = ends.here.protect(rtp(3))
    ends.rekey(2, 6.0)
    ends.rekey(1, 7.0)
    assert ends.here.protect(rtp(3)) is None, "one key stream must not be used twice"
    assert sent is not None


def test_without_keys_nothing_passes() -> None:
    counters = MediaCounters()
    cipher = SrtpCipher(counters)
    assert not cipher.ready
    assert cipher.protect(rtp(1)) is cipher.protect_rtcp(rtcp()) is None
    assert cipher.unprotect(rtp(1), 0.0) is cipher.unprotect_rtcp(rtcp(), 0.0) is None
    assert counters.srtp_unkeyed == 2
    ends = Ends()
    ends.here.clear()
    assert not ends.arrives(1)
    assert ends.here.protect(rtp(1)) is None


@pytest.mark.requirement("rfc3711.4.3")
def test_a_wrong_key_length_or_suite_is_refused_without_telling_the_key() -> None:
    with pytest.raises(SrtpError, match="F8_128_HMAC_SHA1_80"):
        suite_named("F8_128_HMAC_SHA1_80")
    cipher = SrtpCipher(MediaCounters())
    good = master("AEAD_AES_256_GCM")
    for bad in (b"", good[:-1], good + b"x"):
        with pytest.raises(SrtpError, match="44 bytes") as caught:
            cipher.rekey(SUITES["AEAD_AES_256_GCM"], good, bad, 0.0)
        assert bad.hex() not in str(caught.value) or not bad
    assert not cipher.ready


@given(st.binary(max_size=1600), st.booleans())
def test_any_bytes_are_refused_quietly(data: bytes, control: bool) -> None:
    ends = Ends()
    unprotect = ends.here.unprotect_rtcp if control else ends.here.unprotect
    assert unprotect(data, 0.0) is None
    counters = ends.counters
    assert counters.srtp_unauthentic + counters.srtp_replayed + counters.dropped_malformed == 1


@EVERY_SUITE
@given(size=st.integers(0, 1300), sequence=st.integers(0, 65535), ssrc=st.integers(0, 2**32 - 1))
def test_what_is_protected_is_opened_again(suite: str, size: int, sequence: int, ssrc: int) -> None:
    ends = Ends(suite)
    packet = rtp(sequence, ssrc, bytes(size))
    protected = ends.sent(packet)
    assert protected[:12] == packet[:12]
    assert ends.here.unprotect(protected, 0.0) == packet


def test_what_is_too_long_is_not_sent() -> None:
    assert Ends().here.protect(rtp(1, payload=bytes(1400))) is None
    assert Ends().here.protect(b"no packet") is None
