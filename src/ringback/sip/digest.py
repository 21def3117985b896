"""Digest authentication, the computation and the client (RFC 3261 22, RFC 7616, RFC 8760).

Nothing here is random: the caller passes the client nonce in.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ringback.sip.auth import AuthenticationInfo, Challenge, Credentials
from ringback.sip.errors import SipError
from ringback.sip.grammar import encode

MAX_REMEMBERED_NONCES = 16
"""Nonces whose use a client counts; the least recently used is forgotten first."""


class UnsupportedChallenge(SipError):
    """No way to answer: unknown scheme, algorithm or quality of protection."""


@dataclass(frozen=True, slots=True)
class DigestAlgorithm:
    """``strength`` orders the algorithms; ``session`` marks the ``-sess`` variants."""

    name: str
    strength: int
    session: bool
    digest: Callable[[bytes], str]

    def hash(self, *parts: str) -> str:
        """Lower-case hexadecimal digest of ``parts`` joined with colons."""
        return self.digest(encode(":".join(parts)))


def _hasher(name: str) -> Callable[[bytes], str]:
    def digest(data: bytes) -> str:
        # MD5 is the protocol's, not ours to choose; this keeps it available under FIPS rules.
        return hashlib.new(name, data, usedforsecurity=False).hexdigest()

    return digest


def _algorithms() -> dict[str, DigestAlgorithm]:
    known = (("MD5", "md5"), ("SHA-256", "sha256"), ("SHA-512-256", "sha512_256"))
    found = {}
    for strength, (name, hash_name) in enumerate(known):
        if hash_name in hashlib.algorithms_available:
            for suffix in ("", "-sess"):
                full = name + suffix
                algorithm = DigestAlgorithm(full, strength, bool(suffix), _hasher(hash_name))
                found[full.lower()] = algorithm
    return found


ALGORITHMS = _algorithms()
"""By name in lower case. SHA-512-256 is absent where the TLS library has no such hash."""


def find_algorithm(name: str) -> DigestAlgorithm | None:
    return ALGORITHMS.get(name.lower())


@dataclass(frozen=True, slots=True)
class DigestInput:
    """Everything that goes into a response (RFC 7616 3.4.1).

    ``qop`` is ``None`` for RFC 2069 servers, whose responses have no ``nc`` and no ``cnonce``.
    ``body`` counts for ``auth-int`` only.
    """

    algorithm: DigestAlgorithm
    username: str
    realm: str
    password: str
    method: str
    uri: str
    nonce: str
    qop: str | None = None
    nc: str = ""
    cnonce: str = ""
    body: bytes = b""


def digest_response(given: DigestInput) -> str:
    """The ``response`` value in lower-case hexadecimal."""
    hash_ = given.algorithm.hash
    secret = hash_(given.username, given.realm, given.password)
    if given.algorithm.session:
        secret = hash_(secret, given.nonce, given.cnonce)
    target = [given.method, given.uri]
    if given.qop == "auth-int":
        target.append(given.algorithm.digest(given.body))
    if given.qop is None:
        return hash_(secret, given.nonce, hash_(*target))
    return hash_(secret, given.nonce, given.nc, given.cnonce, given.qop, hash_(*target))


def choose_qop(challenge: Challenge) -> str | None:
    """``auth`` where it is offered, else ``auth-int``, ``None`` where the challenge has no qop.

    Raises :class:`UnsupportedChallenge` where only others are offered.
    """
    offered = challenge.qop
    if not offered:
        return None
    for known in ("auth", "auth-int"):
        if known in offered:
            return known
    raise UnsupportedChallenge(f"no known quality of protection in {', '.join(offered)}")


def is_answerable(challenge: Challenge) -> bool:
    """Whether we know the scheme, the algorithm and a quality of protection of ``challenge``."""
    try:
        choose_qop(challenge)
    except UnsupportedChallenge:
        return False
    return (
        challenge.is_digest
        and find_algorithm(challenge.algorithm) is not None
        and challenge.get("realm") is not None
        and bool(challenge.nonce)
    )


def choose_challenge(challenges: Iterable[Challenge], realm: str | None = None) -> Challenge | None:
    """The answerable challenge with the strongest algorithm, the first of equals.

    ``realm`` leaves only challenges of that realm. ``None`` where nothing is left.
    """
    left = [
        challenge
        for challenge in challenges
        if is_answerable(challenge) and realm in (None, challenge.realm)
    ]
    return max(left, key=_strength, default=None)


def _strength(challenge: Challenge) -> int:
    algorithm = find_algorithm(challenge.algorithm)
    return -1 if algorithm is None else algorithm.strength


def may_retry(challenge: Challenge, rejected: Credentials, retries: int) -> bool:
    """Whether a second challenge can be answered with the same password.

    ``rejected`` are the credentials that brought the challenge and ``retries`` how often this
    request was answered again already. Once is allowed when the server says that the nonce was
    stale, or when a nonce that had worked before was exchanged for another one, which is how
    servers without ``stale`` say it.
    """
    if retries > 0 or challenge.nonce == rejected.nonce:
        return False
    return challenge.stale or (rejected.nc or 1) > 1


def with_next_nonce(challenge: Challenge, info: AuthenticationInfo) -> Challenge:
    """The challenge to answer next time after an Authentication-Info with ``nextnonce``."""
    nonce = info.next_nonce
    if not nonce:
        return challenge
    return replace(challenge, params=challenge.params.remove("stale").set("nonce", nonce))


@dataclass(slots=True)
class _NonceUse:
    count: int = 0
    cnonce: str = ""


class DigestClient:
    """Answers challenges with one user name and password, counting the use of each nonce.

    ``username`` is the authentication user, which need not be the SIP user. ``realm`` replaces
    the realm of the challenge where a provider wants another one.
    """

    def __init__(self, username: str, password: str, realm: str | None = None) -> None:
        self._username = username
        self._password = password
        self._realm = realm
        self._nonces: OrderedDict[str, _NonceUse] = OrderedDict()

    def __repr__(self) -> str:
        return f"DigestClient(username={self._username!r})"

    def authorize(
        self, challenge: Challenge, method: str, uri: str, cnonce: str, body: bytes = b""
    ) -> Credentials:
        """Credentials for one request. Raises :class:`UnsupportedChallenge`.

        ``uri`` is the Request-URI as it is sent. ``cnonce`` is a fresh random token. For
        ``-sess`` algorithms the first one of each nonce stays in use (RFC 7616 3.4.2).
        """
        algorithm = find_algorithm(challenge.algorithm)
        if not challenge.is_digest or algorithm is None:
            raise UnsupportedChallenge(f"{challenge.scheme} {challenge.algorithm} is not known")
        qop = choose_qop(challenge)
        use = self._count(challenge.nonce, cnonce)
        realm = challenge.realm if self._realm is None else self._realm
        given = DigestInput(
            algorithm,
            self._username,
            realm,
            self._password,
            method,
            uri,
            challenge.nonce,
            qop,
            f"{use.count:08x}",
            use.cnonce if algorithm.session else cnonce,
            body,
        )
        return self._credentials(challenge, given)

    def _count(self, nonce: str, cnonce: str) -> _NonceUse:
        use = self._nonces.setdefault(nonce, _NonceUse(cnonce=cnonce))
        self._nonces.move_to_end(nonce)
        while len(self._nonces) > MAX_REMEMBERED_NONCES:
            self._nonces.popitem(last=False)
        use.count += 1
        return use

    def _credentials(self, challenge: Challenge, given: DigestInput) -> Credentials:
        hidden = (challenge.get("userhash") or "").lower() == "true"
        user = given.algorithm.hash(given.username, given.realm) if hidden else given.username
        counted = given.qop is not None
        return Credentials.digest(
            (
                ("username", user),
                ("realm", given.realm),
                ("nonce", given.nonce),
                ("uri", given.uri),
                ("response", digest_response(given)),
                ("algorithm", challenge.get("algorithm")),
                ("cnonce", given.cnonce if counted or given.algorithm.session else None),
                ("opaque", challenge.opaque),
                ("qop", given.qop),
                ("nc", given.nc if counted else None),
                ("userhash", "true" if hidden else None),
            )
        )
