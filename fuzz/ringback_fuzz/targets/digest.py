"""Digest headers: read, written and read again, answered, and judged."""

from __future__ import annotations

from ringback.sip.auth import AuthenticationInfo, Challenge, Credentials
from ringback.sip.digest import DigestClient, UnsupportedChallenge, choose_challenge
from ringback.sip.digest_server import DigestServer
from ringback.sip.errors import ParseError, UnsafeValue
from ringback.sip.uri import Uri
from ringback_fuzz.targets import require

URI = Uri.parse("sip:registrar.example.com")


def run(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    _challenges(text)
    _credentials(text)
    try:
        info = AuthenticationInfo.parse(text)
    except ParseError:
        return
    require(str(AuthenticationInfo.parse(str(info))) == str(info), "Authentication-Info changes")


def _challenges(text: str) -> None:
    try:
        challenges = Challenge.parse_all(text, "WWW-Authenticate")
    except ParseError:
        return
    for challenge in challenges:
        (again,) = Challenge.parse_all(str(challenge), "WWW-Authenticate")
        require(str(again) == str(challenge) or not challenge.is_digest, "a challenge changes")
    chosen = choose_challenge(challenges)
    if chosen is None:
        return
    client = DigestClient("bob", "zanzibar")
    try:
        answer = client.authorize(chosen, "REGISTER", str(URI), "cnonce")
    except (UnsupportedChallenge, UnsafeValue):
        return
    require(Credentials.parse(str(answer)) == answer, "our credentials cannot be read")


def _credentials(text: str) -> None:
    try:
        credentials = Credentials.parse(text)
    except ParseError:
        return
    again = Credentials.parse(str(credentials))
    require(str(again) == str(credentials) or not again.is_digest, "credentials change")
    server = DigestServer("example.com", b"k" * 32)
    server.verify(credentials, "REGISTER", "secret", 1.0, uri=URI)
    server.verify(credentials, "REGISTER", None, 1.0)
