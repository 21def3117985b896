"""One DTLS-SRTP handshake (RFC 5763, 5764) on OpenSSL: datagrams in, datagrams out, then keys.

No sockets: the owner feeds what came and sends what ``datagrams_to_send`` gives. Lost flights are
sent again by ``poll``, by OpenSSL's own timer (1 s, doubling). The certificates are self-signed;
what makes them trustworthy is the fingerprint in the signalling.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto

from ringback.media.srtp import SUITES, SrtpSuite

EXPORTER_LABEL: Final = b"EXTRACTOR-dtls_srtp"
MTU: Final = 1200
"""Bytes of a datagram: fits every path that voice takes, tunnels included."""
MAX_DATAGRAM: Final = 4096
MAX_DATAGRAMS: Final = 256
"""Taken by one handshake, the peer's retransmissions included; further ones are not looked at."""
CERTIFICATE_LIFETIME: Final = datetime.timedelta(days=365)
CLOCK_SKEW: Final = datetime.timedelta(days=1)

_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA"
_HASHES: Final[dict[str, Callable[[bytes], hashlib._Hash]]] = {
    "sha-1": hashlib.sha1,
    "sha-224": hashlib.sha224,
    "sha-256": hashlib.sha256,
    "sha-384": hashlib.sha384,
    "sha-512": hashlib.sha512,
}
"""Those of RFC 8122 5 without MD2 and MD5, which must not be used."""
_DTLS_1_2: Final = 0xFEFD
_RECORD_HEADER: Final = 13
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_BIO_BYTES: Final = 65536


class DtlsFailed(Exception):
    """The handshake will not give keys. ``certificate``: because of who the peer is."""

    def __init__(self, why: str, *, certificate: bool = False) -> None:
        super().__init__(why)
        self.certificate = certificate


@dataclass(frozen=True, slots=True)
class DtlsKeys:
    """What a handshake agreed on. Keys are master key and salt, joined."""

    suite: SrtpSuite
    local: bytes = field(repr=False)
    remote: bytes = field(repr=False)


class DtlsIdentity:
    """The certificate that this process shows: a new key at every start."""

    def __init__(self, now: datetime.datetime) -> None:
        """``now`` is wall clock time with a time zone."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ringback")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + CERTIFICATE_LIFETIME)
            .sign(key, hashes.SHA256())
        )
        self.fingerprint = ("sha-256", _colons(certificate.fingerprint(hashes.SHA256())))
        """Hash name and colon-separated hex, as in ``a=fingerprint``."""
        self.context = _context(key, certificate)


def _context(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(_DTLS_1_2)
    context.use_privatekey(key)
    context.use_certificate(certificate)
    context.set_cipher_list(_CIPHERS)
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_tlsext_use_srtp(":".join(s.dtls_name for s in SUITES.values()).encode())
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
    return context


def _verify(connection: SSL.Connection, shown: object, error: int, depth: int, ok: int) -> bool:
    """OpenSSL asks about each certificate of the chain, and more than once about a self-signed
    one. The first is the peer's, and the fingerprint decides."""
    handshake = connection.get_app_data()
    return depth > 0 or handshake.is_expected(shown)


class DtlsHandshake:
    """One association. ``active``: we begin (the DTLS client)."""

    def __init__(
        self, identity: DtlsIdentity, fingerprints: Iterable[tuple[str, str]], *, active: bool
    ) -> None:
        self.keys: DtlsKeys | None = None
        """There once the handshake is complete."""
        self.active = active
        self._fingerprints = [(name.lower(), _plain(value)) for name, value in fingerprints]
        self._wrong_certificate = False
        self._failed = False
        self._taken = 0
        self._connection = SSL.Connection(identity.context, None)
        self._connection.set_app_data(self)
        self._connection.set_ciphertext_mtu(MTU)
        if active:
            self._connection.set_connect_state()
            self._advance()
        else:
            self._connection.set_accept_state()

    def receive(self, datagram: bytes) -> None:
        """One datagram of the peer. What comes after the end is answered where the last flight
        was lost. Raises :class:`DtlsFailed`."""
        if self._failed or not 0 < len(datagram) <= MAX_DATAGRAM or self._taken >= MAX_DATAGRAMS:
            return
        self._taken += 1
        self._connection.bio_write(datagram)
        if self.keys is None:
            self._advance()
        else:
            self._after_the_end()

    @property
    def exhausted(self) -> bool:
        """Whether the peer has sent more than any handshake needs."""
        return self._taken >= MAX_DATAGRAMS

    def poll(self) -> None:
        """Send a lost flight again when it is time. Call it every so often until there are keys.
        Raises :class:`DtlsFailed`."""
        if self.keys is not None or self._failed:
            return
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            raise self._failure(error) from None

    def datagrams_to_send(self) -> list[bytes]:
        """What is to be sent now, in datagrams of at most ``MTU`` bytes."""
        waiting = b""
        while True:
            try:
                waiting += self._connection.bio_read(_BIO_BYTES)
            except SSL.Error:
                break
        return in_datagrams(waiting) if waiting else []

    def is_expected(self, certificate: object) -> bool:
        """Whether the peer's certificate matches a fingerprint of the signalling."""
        matches = False
        if isinstance(certificate, crypto.X509):
            encoded = certificate.to_cryptography().public_bytes(serialization.Encoding.DER)
            for name, expected in self._fingerprints:
                if name in _HASHES:
                    shown = _HASHES[name](encoded).hexdigest()
                    matches |= hmac.compare_digest(shown.encode(), expected.encode())
        self._wrong_certificate |= not matches
        return matches

    def _advance(self) -> None:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error as error:
            raise self._failure(error) from None
        self.keys = self._export()

    def _after_the_end(self) -> None:
        try:
            self._connection.recv(1)
        except SSL.Error:
            return

    def _export(self) -> DtlsKeys:
        """RFC 5764 4.2: both keys, then both salts, the client's first."""
        self._connection.set_app_data(None)
        name = self._connection.get_selected_srtp_profile().decode()
        suite = next((suite for suite in SUITES.values() if suite.dtls_name == name), None)
        if suite is None:
            self._failed = True
            raise DtlsFailed("the peer agreed to no SRTP protection profile")
        material = self._connection.export_keying_material(EXPORTER_LABEL, 2 * suite.master_bytes)
        key, salt = suite.key_bytes, suite.salt_bytes
        client = material[:key] + material[2 * key : 2 * key + salt]
        server = material[key : 2 * key] + material[2 * key + salt :]
        return DtlsKeys(suite, *((client, server) if self.active else (server, client)))

    def _failure(self, error: SSL.Error) -> DtlsFailed:
        self._failed = True
        self._connection.set_app_data(None)
        if self._wrong_certificate:
            why = "the peer's certificate is not the one whose fingerprint was signalled"
            return DtlsFailed(why, certificate=True)
        return DtlsFailed(f"the DTLS handshake failed: {_reason(error)}")


def client_random(datagram: bytes) -> bytes | None:
    """What makes a ClientHello unlike any other; ``None`` for everything else (RFC 6347 4.2.2)."""
    body = _RECORD_HEADER + 12
    is_hello = (
        len(datagram) >= body + 34
        and datagram[0] == _HANDSHAKE
        and datagram[3:5] == b"\0\0"  # the epoch before any keys
        and datagram[_RECORD_HEADER] == _CLIENT_HELLO
    )
    return datagram[body + 2 : body + 34] if is_hello else None


def in_datagrams(records: bytes, mtu: int = MTU) -> list[bytes]:
    """DTLS records, packed into as few datagrams of ``mtu`` bytes as they fit in whole."""
    datagrams = [b""]
    while records:
        length = min(_record_length(records), len(records))
        if datagrams[-1] and len(datagrams[-1]) + length > mtu:
            datagrams.append(b"")
        datagrams[-1] += records[:length]
        records = records[length:]
    return datagrams


def _record_length(records: bytes) -> int:
    """Of the first record: the header of DTLS 1.2, or the short one of DTLS 1.3 (RFC 9147 4)."""
    if records[0] & 0xE0 != 0x20:
        return _RECORD_HEADER + int.from_bytes(records[11:13], "big")
    at = 3 if records[0] & 0x08 else 2
    if not records[0] & 0x04:
        return len(records)
    return at + 2 + int.from_bytes(records[at : at + 2], "big")


def _reason(error: SSL.Error) -> str:
    """The last part of OpenSSL's own words, such as ``no shared cipher``."""
    queue = error.args[0] if error.args else ()
    if isinstance(queue, list) and queue:
        return str(queue[-1][-1])[:80]
    return type(error).__name__


def _colons(digest: bytes) -> str:
    return digest.hex(":").upper()


def _plain(fingerprint: str) -> str:
    return fingerprint.replace(":", "").strip().lower()
