"""What a response to REGISTER means: the time that was granted, or the reason in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ringback.sip.authentication import Refusal
from ringback.sip.errors import ParseError
from ringback.sip.headers import NameAddr
from ringback.sip.message import Response
from ringback.sip.uri import Uri


class RegistrationFailure(StrEnum):
    WRONG_PASSWORD = "wrong_password"
    NO_CREDENTIALS = "no_credentials"
    FORBIDDEN = "forbidden"
    UNKNOWN_DOMAIN = "unknown_domain"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    NAME_NOT_FOUND = "name_not_found"
    """DNS knows no server for the domain."""
    REJECTED = "rejected"


NEEDS_ATTENTION = frozenset(
    {
        RegistrationFailure.WRONG_PASSWORD,
        RegistrationFailure.NO_CREDENTIALS,
        RegistrationFailure.FORBIDDEN,
        RegistrationFailure.UNKNOWN_DOMAIN,
    }
)
"""What will not get better before somebody changes a setting."""


@dataclass(frozen=True, slots=True)
class RegisterResult:
    """What one REGISTER came to. ``contact`` is the one it carried; ``failure`` is set where no
    response came, with ``detail`` in words if there is more to say; ``refusal`` where a challenge
    was not answered."""

    contact: NameAddr | None
    response: Response | None = None
    failure: RegistrationFailure | None = None
    detail: str = ""
    refusal: Refusal | None = None


def granted_expires(response: Response, contact: NameAddr, asked: int) -> int:
    """Seconds for which ``contact`` is bound now (RFC 3261 10.2.4).

    That of our own Contact in the response, which may list those of other devices; else the
    Expires header; else what we asked for.
    """
    ours = _our_binding(response, contact)
    if ours is not None and ours.expires is not None:
        return ours.expires
    try:
        expires = response.expires
    except ParseError:
        expires = None
    return asked if expires is None else expires


def _our_binding(response: Response, contact: NameAddr) -> NameAddr | None:
    """The same URI, or else one with our user part and parameters (NATs and proxies rewrite the
    address), or else the only one with our user part."""
    try:
        bindings = response.contacts
    except ParseError:
        return None
    if not isinstance(bindings, list):
        return None
    for binding in bindings:
        if binding.uri.equivalent(contact.uri):
            return binding
    same_user = [found for found in bindings if found.uri.user == contact.uri.user]
    if contact.uri.params:
        for binding in same_user:
            if all(pair in binding.uri.params.pairs for pair in contact.uri.params.pairs):
                return binding
    return same_user[0] if len(same_user) == 1 else None


def observed_address(response: Response) -> tuple[str, int] | None:
    """Where the registrar's side saw our request come from, by its Via (RFC 3581)."""
    try:
        via = response.top_via
    except ParseError:
        return None
    if via.received is None or via.rport is None:
        return None
    return via.received, via.rport


def retry_after(response: Response | None) -> int:
    """Seconds that the server asks us to stay away, 0 if it does not."""
    if response is None:
        return 0
    try:
        value = response.retry_after
    except ParseError:
        return 0
    return value.seconds if value is not None else 0


def explain(
    result: RegisterResult, registrar: Uri, username: str | None, server: str
) -> tuple[RegistrationFailure, str]:
    """The kind of failure and a sentence that says what to do about it. Whoever answered speaks
    for the domain; what did not answer is ``server``."""
    host = registrar.host
    if result.response is None:
        return _no_response(result, server)
    status, phrase = result.response.status, result.response.reason
    failure = RegistrationFailure
    match result.refusal, status:
        case Refusal.WRONG_PASSWORD, _:
            return failure.WRONG_PASSWORD, (
                f"wrong password: {host} does not accept the password of {username} ({status})"
            )
        case Refusal.NO_CREDENTIALS, _:
            return failure.NO_CREDENTIALS, (
                f"no password is set, and {host} asks for one ({status})"
            )
        case Refusal.UNSUPPORTED, _:
            return failure.REJECTED, (
                f"{host} asks for a kind of authentication that is not supported ({status})"
            )
        case _, 403:
            return failure.FORBIDDEN, (
                f"{host} forbids this registration (403 {phrase}): check the user name and the "
                "password, and with the provider that the account is active"
            )
        case _, 404:
            return failure.UNKNOWN_DOMAIN, (
                f"{host} does not know this user or domain (404 {phrase}): check the user name, "
                "and set the realm if the provider gives one that differs from its host"
            )
        case _, _ if status < 300:
            return failure.REJECTED, f"{host} accepted the registration for no time at all"
        case _, _:
            return failure.REJECTED, f"{host} refused the registration: {status} {phrase}"


def _no_response(result: RegisterResult, host: str) -> tuple[RegistrationFailure, str]:
    more = f": {result.detail}" if result.detail else ""
    match result.failure:
        case RegistrationFailure.TIMEOUT:
            return RegistrationFailure.TIMEOUT, (
                f"{host} did not answer: check host, port and transport, and the firewall{more}"
            )
        case RegistrationFailure.NAME_NOT_FOUND:
            return RegistrationFailure.NAME_NOT_FOUND, f"no SIP server found for {host}{more}"
        case _:
            return RegistrationFailure.UNREACHABLE, f"{host} cannot be reached{more}"
