from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from ringback.media import dtls
from ringback.media.dtls import (
    MAX_DATAGRAMS,
    MTU,
    DtlsFailed,
    DtlsHandshake,
    DtlsIdentity,
    client_random,
    in_datagrams,
)
from ringback.media.srtp import SUITES
from unit.media.dtls_lab import NOW, exchange, failure, handshake, identity


def peer_of(profiles: bytes, name: str = "theirs") -> DtlsIdentity:
    """An identity whose side offers other SRTP profiles."""
    changed = DtlsIdentity(NOW)
    if profiles:
        changed.context.set_tlsext_use_srtp(profiles)
    return changed


@pytest.mark.requirement("media.srtp-dtls", "rfc5764.4")
def test_both_ends_get_each_other_s_keys() -> None:
    client = handshake("ours", "theirs", active=True)
    server = handshake("theirs", "ours", active=False)
    exchange(client, server)
    assert client.keys is not None
    assert server.keys is not None
    assert client.keys.suite == server.keys.suite == SUITES["AEAD_AES_256_GCM"]
    assert (client.keys.local, client.keys.remote) == (server.keys.remote, server.keys.local)
    assert client.keys.local != client.keys.remote
    assert len(client.keys.local) == client.keys.suite.master_bytes


@pytest.mark.requirement("rfc5764.4")
@pytest.mark.parametrize("suite", sorted(SUITES))
def test_every_profile_can_be_agreed_on_and_its_keys_are_those_of_the_exporter(suite: str) -> None:
    known = SUITES[suite]
    theirs = peer_of(known.dtls_name.encode())
    client = DtlsHandshake(theirs, [identity().fingerprint], active=True)
    server = DtlsHandshake(identity(), [theirs.fingerprint], active=False)
    exchange(client, server)
    assert server.keys is not None
    assert server.keys.suite is known
    material = server._connection.export_keying_material(
        b"EXTRACTOR-dtls_srtp", 2 * known.master_bytes
    )
    key, salt = known.key_bytes, known.salt_bytes
    client_write = material[:key] + material[2 * key : 2 * key + salt]
    server_write = material[key : 2 * key] + material[2 * key + salt :]
    assert (server.keys.remote, server.keys.local) == (client_write, server_write)


def test_keys_do_not_show_in_words() -> None:
    client, server = handshake("a", "b", active=True), handshake("b", "a", active=False)
    exchange(client, server)
    assert client.keys is not None
    assert client.keys.local.hex() not in repr(client.keys)
    assert repr(client.keys.local) not in repr(client.keys)


@pytest.mark.requirement("media.srtp-dtls", "rfc5763.5")
@pytest.mark.parametrize("deceived", ["client", "server"])
def test_a_certificate_that_was_not_signalled_ends_it(deceived: str) -> None:
    expected = {"client": ("theirs", "impostor"), "server": ("impostor", "ours")}[deceived]
    client = handshake("ours", expected[0] if deceived == "client" else "theirs", active=True)
    server = handshake("impostor" if deceived == "client" else "theirs", "ours", active=False)
    if deceived == "server":
        client = handshake("impostor", "theirs", active=True)
    error = failure(client, server)
    assert error.certificate
    assert "fingerprint" in str(error)
    assert (client if deceived == "client" else server).keys is None


@pytest.mark.requirement("rfc5763.5", "media.srtp-dtls")
def test_any_of_several_fingerprints_and_hashes_will_do() -> None:
    encoded = _certificate_of("theirs")
    for name, digest in (
        ("SHA-512", hashlib.sha512(encoded)),
        ("sha-1", hashlib.sha1(encoded)),
        ("sha-384", hashlib.sha384(encoded)),
    ):
        fingerprints = [
            identity("impostor").fingerprint,
            ("md5", "00:11"),
            (name, digest.hexdigest()),
        ]
        client = DtlsHandshake(identity("ours"), fingerprints, active=True)
        exchange(client, handshake("theirs", "ours", active=False))
        assert client.keys is not None


@pytest.mark.requirement("rfc5763.5")
@pytest.mark.parametrize(
    "fingerprints",
    [[], [("md5", hashlib.md5(b"x").hexdigest())], [("sha-256", "")], [("sha-256", "\u00e9")]],
)
def test_without_a_fingerprint_that_counts_nobody_is_believed(
    fingerprints: list[tuple[str, str]],
) -> None:
    client = DtlsHandshake(identity("ours"), fingerprints, active=True)
    assert failure(client, handshake("theirs", "ours", active=False)).certificate


@pytest.mark.requirement("rfc5763.5")
def test_a_peer_that_shows_no_certificate_is_refused() -> None:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_tlsext_use_srtp(b"SRTP_AES128_CM_SHA1_80")
    context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
    anonymous = SSL.Connection(context, None)
    anonymous.set_connect_state()
    server = handshake("ours", "theirs", active=False)
    with pytest.raises(DtlsFailed):
        _against(anonymous, server)
    assert server.keys is None


@pytest.mark.requirement("rfc5764.4")
def test_a_peer_without_srtp_gets_no_keys() -> None:
    plain = SSL.Context(SSL.DTLS_METHOD)
    plain.set_verify(SSL.VERIFY_NONE, lambda *_: True)
    anonymous = SSL.Connection(plain, None)
    anonymous.set_accept_state()
    client = handshake("ours", "theirs", active=True)
    with pytest.raises(DtlsFailed):
        _against(anonymous, client)
    theirs = peer_of(b"")
    assert theirs.fingerprint != identity().fingerprint


def test_a_flight_fits_the_path_and_no_record_is_cut() -> None:
    client = handshake("ours", "theirs", active=True)
    server = handshake("theirs", "ours", active=False)
    flights = 0
    for _ in range(4):
        for source, target in ((client, server), (server, client)):
            for datagram in source.datagrams_to_send():
                flights += 1
                assert 0 < len(datagram) <= MTU
                target.receive(datagram)
    assert client.keys is not None
    assert flights >= 4


@given(st.lists(st.integers(0, 1100), min_size=1, max_size=12), st.booleans())
def test_records_are_packed_whole_and_in_order(sizes: list[int], short: bool) -> None:
    def record(size: int) -> bytes:
        if short:
            return b"\x2e\x00\x01" + size.to_bytes(2, "big") + bytes(size)
        return b"\x16\xfe\xfd" + bytes(8) + size.to_bytes(2, "big") + bytes(size)

    stream = b"".join(record(size) for size in sizes)
    datagrams = in_datagrams(stream)
    assert b"".join(datagrams) == stream
    assert all(0 < len(datagram) <= MTU for datagram in datagrams)
    ends = {0}
    for size in sizes:
        ends.add(max(ends) + len(record(size)))
    at = 0
    for datagram in datagrams:
        at += len(datagram)
        assert at in ends


def test_a_short_record_without_a_length_is_the_rest() -> None:
    assert in_datagrams(b"\x2a\x00\x01" + bytes(50)) == [b"\x2a\x00\x01" + bytes(50)]


def test_only_a_client_hello_has_a_random_to_tell_it_by() -> None:
    client = handshake("ours", "theirs", active=True)
    (hello,) = client.datagrams_to_send()
    random = client_random(hello)
    assert random is not None
    assert len(random) == 32
    server = handshake("theirs", "ours", active=False)
    server.receive(hello)
    assert all(client_random(datagram) is None for datagram in server.datagrams_to_send())
    assert client_random(hello[:40]) is None
    assert client_random(b"") is None


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_rubbish_gives_neither_keys_nor_surprises(datagrams: list[bytes]) -> None:
    server = handshake("theirs", "ours", active=False)
    for datagram in datagrams:
        try:
            server.receive(datagram)
        except DtlsFailed:
            break
    assert server.keys is None


def test_rubbish_between_does_not_keep_the_right_ones_from_their_keys() -> None:
    client = handshake("ours", "theirs", active=True)
    server = handshake("theirs", "ours", active=False)
    for _ in range(3):
        for source, target in ((client, server), (server, client)):
            for datagram in source.datagrams_to_send():
                target.receive(b"\x16\xfe\xfd" + bytes(30))
                target.receive(b"\x17\xfe\xfd\x00\x01" + bytes(20))
                target.receive(datagram)
                target.receive(datagram)
    assert client.keys is not None
    assert server.keys is not None


def test_a_handshake_looks_at_a_bounded_number_of_datagrams() -> None:
    server = handshake("theirs", "ours", active=False)
    for _ in range(MAX_DATAGRAMS):
        assert not server.exhausted
        server.receive(b"\x16\xfe\xfd" + bytes(30))
    assert server.exhausted
    client = handshake("ours", "theirs", active=True)
    (hello,) = client.datagrams_to_send()
    server.receive(hello)
    assert server.datagrams_to_send() == []


def test_the_certificate_is_new_at_every_start_and_has_a_p_256_key() -> None:
    one, other = DtlsIdentity(NOW), DtlsIdentity(NOW)
    assert one.fingerprint != other.fingerprint
    name, value = one.fingerprint
    assert name == "sha-256"
    assert len(value.split(":")) == 32
    assert value == value.upper()
    assert dtls.CERTIFICATE_LIFETIME > dtls.CLOCK_SKEW


def _against(other: SSL.Connection, ours: DtlsHandshake) -> None:
    """A bare OpenSSL connection as the peer."""
    for _ in range(6):
        for datagram in ours.datagrams_to_send():
            other.bio_write(datagram)
        try:
            other.do_handshake()
        except SSL.Error:
            pass
        try:
            sent = other.bio_read(65536)
        except SSL.Error:
            continue
        for datagram in in_datagrams(sent):
            ours.receive(datagram)


def _certificate_of(name: str) -> bytes:
    client = handshake("probe", name, active=True)
    exchange(client, handshake(name, "probe", active=False))
    shown = client._connection.get_peer_certificate()
    assert shown is not None
    return shown.to_cryptography().public_bytes(serialization.Encoding.DER)
