"""Digest authentication, the server (RFC 3261 22, RFC 7616 3.3, 5.4 and 5.5).

Nonces are signed, so that none has to be stored until it is used. Time is passed in, in seconds.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from collections.abc import Iterable
from enum import StrEnum

from ringback.sip.auth import Challenge, Credentials
from ringback.sip.digest import DigestInput, digest_response, find_algorithm
from ringback.sip.errors import ParseError
from ringback.sip.grammar import encode
from ringback.sip.uri import Uri

NONCE_LIFETIME = 300.0
"""Seconds that a nonce is good for."""

MAX_TRACKED_NONCES = 10_000
"""Nonces in use whose counts are kept; older ones then count as stale."""

_STAMP = struct.Struct("!dQ")
_MAC_BYTES = 16


class Verdict(StrEnum):
    ACCEPTED = "accepted"
    WRONG = "wrong"
    """Wrong password, unknown user, or not an answer to our challenge."""
    STALE = "stale"
    """The right password with a nonce that is too old or was used already: challenge again with
    ``stale=true``."""


class DigestServer:
    """Issues challenges for one realm and verifies the answers.

    ``key`` signs the nonces; 32 random bytes that live as long as this object will do.
    ``algorithms`` are offered in this order, one challenge each.
    """

    def __init__(
        self,
        realm: str,
        key: bytes,
        *,
        algorithms: Iterable[str] = ("SHA-256", "MD5"),
        lifetime: float = NONCE_LIFETIME,
    ) -> None:
        self._realm = realm
        self._key = key
        self._algorithms = {
            found.name.lower(): found for name in algorithms if (found := find_algorithm(name))
        }
        self._lifetime = lifetime
        self._issued = 0
        self._counts: dict[int, int] = {}
        self._forgotten = 0

    def challenges(self, now: float, *, stale: bool = False) -> list[Challenge]:
        """One challenge for each algorithm, all with the same nonce, never issued before."""
        nonce = self._new_nonce(now)
        return [
            Challenge.digest(
                (
                    ("realm", self._realm),
                    ("nonce", nonce),
                    ("algorithm", algorithm.name),
                    ("qop", "auth,auth-int"),
                    ("stale", "true" if stale else None),
                )
            )
            for algorithm in self._algorithms.values()
        ]

    def verify(
        self,
        credentials: Credentials,
        method: str,
        password: str | None,
        now: float,
        *,
        uri: Uri | None = None,
        body: bytes = b"",
    ) -> Verdict:
        """Judge ``credentials``. ``password`` is ``None`` for a user that does not exist.

        With ``uri`` the credentials must be for an equivalent URI. The time taken does not tell
        an unknown user from a wrong password, nor how much of a response is right.
        """
        given = self._input(credentials, method, password or "", body)
        if given is None or (uri is not None and not _same_uri(credentials.uri, uri)):
            return Verdict.WRONG
        expected = digest_response(given)
        right = hmac.compare_digest(encode(expected), encode(credentials.response.lower()))
        if not right or password is None:
            return Verdict.WRONG
        return Verdict.ACCEPTED if self._use(credentials, now) else Verdict.STALE

    def _input(
        self, credentials: Credentials, method: str, password: str, body: bytes
    ) -> DigestInput | None:
        algorithm = self._algorithms.get(credentials.algorithm.lower())
        qop = credentials.qop
        if (
            not credentials.is_digest
            or algorithm is None
            or credentials.realm != self._realm
            or qop not in (None, "auth", "auth-int")
            or (qop is not None and (credentials.nc is None or credentials.cnonce is None))
        ):
            return None
        return DigestInput(
            algorithm,
            credentials.username,
            self._realm,
            password,
            method,
            credentials.uri,
            credentials.nonce,
            qop,
            credentials.get("nc") or "",
            credentials.cnonce or "",
            body,
        )

    def _new_nonce(self, now: float) -> str:
        self._issued += 1
        stamp = _STAMP.pack(now, self._issued)
        return base64.b64encode(stamp + self._sign(stamp)).decode("ascii")

    def _sign(self, stamp: bytes) -> bytes:
        return hmac.digest(self._key, stamp + encode(self._realm), "sha256")[:_MAC_BYTES]

    def _read_nonce(self, nonce: str) -> tuple[float, int] | None:
        try:
            raw = base64.b64decode(encode(nonce), validate=True)
        except (binascii.Error, ValueError):
            return None
        stamp, mac = raw[: _STAMP.size], raw[_STAMP.size :]
        if len(stamp) != _STAMP.size or not hmac.compare_digest(mac, self._sign(stamp)):
            return None
        issued_at, serial = _STAMP.unpack(stamp)
        return float(issued_at), int(serial)

    def _use(self, credentials: Credentials, now: float) -> bool:
        """Whether the nonce is ours, young and used for the first time with this count."""
        stamp = self._read_nonce(credentials.nonce)
        if stamp is None or now - stamp[0] > self._lifetime:
            return False
        serial = stamp[1]
        # Without qop there is no count, so that such a nonce serves once.
        count = 1 if credentials.qop is None else credentials.nc or 0
        if count <= self._counts.get(serial, 0):
            return False
        if serial not in self._counts and serial <= self._forgotten:
            return False
        self._counts[serial] = count
        while len(self._counts) > MAX_TRACKED_NONCES:
            oldest = next(iter(self._counts))
            del self._counts[oldest]
            self._forgotten = max(self._forgotten, oldest)
        return True


def _same_uri(text: str, uri: Uri) -> bool:
    try:
        return Uri.parse(text).equivalent(uri)
    except ParseError:
        return False
