"""SRTP once more, straight from RFC 3711 and RFC 7714 and slowly, to compare with."""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ringback.media.srtp import SUITES

RTP_LABELS = (0, 1, 2)
RTCP_LABELS = (3, 4, 5)
RTP_TAGS = {"AES_CM_128_HMAC_SHA1_80": 10, "AES_CM_128_HMAC_SHA1_32": 4}
RTCP_TAG = 10
ENCRYPTED = 0x80000000


def keystream(key: bytes, counter: bytes, length: int) -> bytes:
    """AES in counter mode (RFC 3711 4.1.1); ``counter`` has 16 bytes."""
    return Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor().update(bytes(length))


def derive(master_key: bytes, master_salt: bytes, label: int, length: int) -> bytes:
    """RFC 3711 4.3.1 with a key derivation rate of zero."""
    salt = int.from_bytes(master_salt.ljust(14, b"\0"), "big")
    return keystream(master_key, ((salt ^ label << 48) << 16).to_bytes(16, "big"), length)


def exclusive_or(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=False))


class Reference:
    """One direction of one suite. ``master`` is key and salt, joined."""

    def __init__(self, suite: str, master: bytes) -> None:
        known = SUITES[suite]
        self.suite = suite
        self.gcm = suite not in RTP_TAGS
        self.key, self.salt = master[: known.key_bytes], master[known.key_bytes :]

    def _session_keys(self, labels: tuple[int, int, int]) -> tuple[bytes, bytes, bytes]:
        encryption, authentication, salting = labels
        return (
            derive(self.key, self.salt, encryption, len(self.key)),
            derive(self.key, self.salt, authentication, 20),
            derive(self.key, self.salt, salting, len(self.salt)),
        )

    def rtp(self, packet: bytes, roc: int = 0) -> bytes:
        """A packet with a plain header of 12 bytes, protected."""
        key, authentication, salt = self._session_keys(RTP_LABELS)
        header, payload = packet[:12], packet[12:]
        sequence, ssrc = struct.unpack("!2xH4xI", header)
        if self.gcm:
            nonce = struct.pack("!xxIIH", ssrc, roc, sequence)
            return header + AESGCM(key).encrypt(exclusive_or(nonce, salt), payload, header)
        body = header + self._counter_mode(key, salt, ssrc, roc << 16 | sequence, payload)
        tag = hmac.digest(authentication, body + struct.pack("!I", roc), hashlib.sha1)
        return body + tag[: RTP_TAGS[self.suite]]

    def rtcp(self, packet: bytes, index: int) -> bytes:
        key, authentication, salt = self._session_keys(RTCP_LABELS)
        header, payload = packet[:8], packet[8:]
        (ssrc,) = struct.unpack("!4xI", header)
        trailer = struct.pack("!I", ENCRYPTED | index)
        if self.gcm:
            nonce = struct.pack("!xxIxxI", ssrc, index)
            sealed = AESGCM(key).encrypt(exclusive_or(nonce, salt), payload, header + trailer)
            return header + sealed + trailer
        body = header + self._counter_mode(key, salt, ssrc, index, payload) + trailer
        return body + hmac.digest(authentication, body, hashlib.sha1)[:RTCP_TAG]

    @staticmethod
    def _counter_mode(key: bytes, salt: bytes, ssrc: int, index: int, payload: bytes) -> bytes:
        initial = int.from_bytes(salt, "big") << 16 ^ ssrc << 64 ^ index << 16
        stream = keystream(key, initial.to_bytes(16, "big"), len(payload))
        return exclusive_or(payload, stream)
