"""How a client answers 401 and 407 (RFC 3261 section 22): once per realm, once more if stale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from ringback.sip.auth import AuthenticationInfo, Challenge
from ringback.sip.auth import Credentials as CredentialsHeader
from ringback.sip.digest import DigestClient, choose_challenge, may_retry, with_next_nonce
from ringback.sip.errors import ParseError
from ringback.sip.message import Request, Response

MAX_REALMS = 8
"""Realms that one client keeps a challenge of; further ones are not answered."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """``username`` is the authentication user, which need not be the SIP user. ``realm`` says
    which challenge they are for where there are several; a lone challenge is answered with its
    own realm."""

    username: str
    password: str = field(repr=False)
    realm: str | None = None


class Refusal(StrEnum):
    """Why a challenge was not answered."""

    NO_CREDENTIALS = "no_credentials"
    WRONG_PASSWORD = "wrong_password"
    """The answer brought the same challenge again."""
    UNSUPPORTED = "unsupported"
    """No scheme or algorithm that we know, or a header that cannot be read."""


@dataclass(frozen=True, slots=True)
class _Space:
    """A protection space: 401 and 407 of one realm are different ones."""

    proxy: bool
    realm: str

    @property
    def header(self) -> str:
        return "Proxy-Authorization" if self.proxy else "Authorization"


class Authenticator:
    """One user's credentials and the latest challenge of each realm, for a call or a registrar.

    Requests after the first challenge carry credentials unasked.
    """

    def __init__(self, credentials: Credentials | None, new_token: Callable[[], str]) -> None:
        self.credentials = credentials
        self.challenges: dict[_Space, Challenge] = {}
        self._new_token = new_token
        self._client = (
            DigestClient(credentials.username, credentials.password) if credentials else None
        )

    def round(self) -> AuthRound:
        """For one request and what is sent again of it."""
        return AuthRound(self)

    def credentials_for(self, challenge: Challenge, request: Request) -> CredentialsHeader | None:
        if self._client is None:
            return None
        return self._client.authorize(
            challenge, request.method, str(request.uri), self._new_token(), request.body
        )

    def learn(self, response: Response) -> None:
        """Take over the next nonce of a success (RFC 7616 3.5)."""
        for space in list(self.challenges):
            name = "Proxy-Authentication-Info" if space.proxy else "Authentication-Info"
            value = response.headers.get(name)
            if value is None:
                continue
            try:
                info = AuthenticationInfo.parse(value, name)
            except ParseError:
                continue
            self.challenges[space] = with_next_nonce(self.challenges[space], info)


class AuthRound:
    """The challenges to one request, however often it is sent again."""

    def __init__(self, authenticator: Authenticator) -> None:
        self.refusal: Refusal | None = None
        self._authenticator = authenticator
        self._sent: dict[_Space, CredentialsHeader] = {}
        self._retries: dict[_Space, int] = {}

    def authorize(self, request: Request) -> None:
        """Add credentials for every realm that has challenged us."""
        for space, challenge in self._authenticator.challenges.items():
            credentials = self._authenticator.credentials_for(challenge, request)
            if credentials is not None:
                self._sent[space] = credentials
                request.headers.add(space.header, credentials)

    def answer(self, response: Response) -> bool:
        """Whether ``response`` is a challenge and the request should be sent again with what was
        learnt from it. If it should not, ``refusal`` says why."""
        if response.status not in (401, 407):
            return False
        if self._authenticator.credentials is None:
            self.refusal = Refusal.NO_CREDENTIALS
            return False
        chosen = self._choose(response)
        if not chosen:
            self.refusal = Refusal.UNSUPPORTED
            return False
        if not all(self._may_answer(space, challenge) for space, challenge in chosen):
            self.refusal = Refusal.WRONG_PASSWORD
            return False
        for space, challenge in chosen:
            if space in self._sent:
                self._retries[space] = self._retries.get(space, 0) + 1
            self._authenticator.challenges[space] = challenge
        return True

    def _may_answer(self, space: _Space, challenge: Challenge) -> bool:
        sent = self._sent.get(space)
        return sent is None or may_retry(challenge, sent, self._retries.get(space, 0))

    def _choose(self, response: Response) -> list[tuple[_Space, Challenge]]:
        """The strongest answerable challenge of each realm; only ours if it is among them."""
        try:
            challenges = response.challenges
        except ParseError:
            return []
        known = self._authenticator.challenges
        wanted = self._authenticator.credentials
        chosen: list[tuple[_Space, Challenge]] = []
        for realm in dict.fromkeys(challenge.realm for challenge in challenges):
            challenge = choose_challenge(challenges, realm)
            space = _Space(response.status == 407, realm)
            if challenge is not None and (space in known or len(known) < MAX_REALMS):
                chosen.append((space, challenge))
        if wanted is None or wanted.realm is None:
            return chosen[:MAX_REALMS]
        ours = [entry for entry in chosen if entry[0].realm == wanted.realm]
        return ours or chosen[:MAX_REALMS]
