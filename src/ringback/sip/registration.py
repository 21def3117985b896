"""One binding of our Contact at one registrar (RFC 3261 section 10), kept alive."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ringback.sip.authentication import Credentials
from ringback.sip.headers import NameAddr
from ringback.sip.transport import Hop
from ringback.sip.uri import Uri


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """What to register. ``registrar`` is the Request-URI (``sip:domain``), ``aor`` the address of
    record (To and From). ``expires`` is what we ask for, in seconds, every time."""

    registrar: Uri
    aor: Uri
    contact_user: str
    credentials: Credentials | None = None
    expires: int = 300
    display_name: str = ""
    contact_params: tuple[tuple[str, str | None], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    routes: tuple[NameAddr, ...] = ()


class RegistrationState(StrEnum):
    UNREGISTERED = "unregistered"
    REGISTERING = "registering"
    REGISTERED = "registered"
    REFRESHING = "refreshing"
    FAILED = "failed"
    """Waiting for the next try."""
    UNREGISTERING = "unregistering"


class RegistrationStatus(StrEnum):
    REGISTERED = "registered"
    UNREGISTERED = "unregistered"
    UNKNOWN = "unknown"
    """Not tried yet, or stopped by us."""


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


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """The status, its reason, or the address the registrar sees us at changed.

    ``reason`` is a sentence for people. ``expires`` is what was granted (seconds), ``retry_in``
    when the next try comes, ``observed`` received and rport of the response's Via: what a NAT
    made of our address.
    """

    registration: Registration
    status: RegistrationStatus
    failure: RegistrationFailure | None = None
    reason: str = ""
    sip_status: int | None = None
    expires: float | None = None
    retry_in: float | None = None
    observed: tuple[str, int] | None = None


class Registration:
    """A registration that keeps itself alive until :meth:`unregister`."""

    request: RegistrationRequest
    state: RegistrationState
    status: RegistrationStatus
    failure: RegistrationFailure | None
    reason: str
    observed: tuple[str, int] | None

    def refresh(self, *, now: float) -> bool:
        """Register now rather than when it is due (a connection was lost, an address changed)."""
        raise NotImplementedError

    def unregister(self, *, now: float) -> bool:
        """Remove the binding (Expires: 0) and stop. The last ``RegistrationChanged`` has status
        ``unknown``; it comes with the response, or when there is none."""
        raise NotImplementedError

    def use_hops(self, hops: tuple[Hop, ...]) -> None:
        """Where to send from now on."""
        raise NotImplementedError
