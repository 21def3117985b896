"""How the audio of a call is protected: policy, offer, answer, and what was agreed.

Keys come from the SDP (``a=crypto``, RFC 4568) or from DTLS (``a=fingerprint``, RFC 5763). Either
may stand under a secure profile (``RTP/SAVP``) or, as best effort, under a plain one (RFC 8643).
Random keys come in from outside (``SecurityPolicy.new_key``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ringback.sip import sdes
from ringback.sip.dtls_setup import (
    Fingerprint,
    active_as_offerer,
    active_in_answer,
    fingerprints,
)
from ringback.sip.not_acceptable import WARN_TRANSPORT, NotAcceptable
from ringback.sip.sdp import Attribute, MediaDescription, SessionDescription
from ringback.sip.sdp_values import PROFILES, Crypto, Profile

PLAIN = "RTP/AVP"
SECURE = "RTP/SAVP"
SECURE_DTLS = "UDP/TLS/RTP/SAVPF"


@dataclass(frozen=True, slots=True)
class SdesKeys:
    """SRTP with keys from the SDP: ours for what we send, the peer's for what it sends."""

    suite: str
    local_key: bytes = field(repr=False)
    remote_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DtlsAssociation:
    """SRTP with keys from DTLS. ``active``: we are the client; the peer's certificate matches one
    of ``fingerprints``."""

    active: bool
    fingerprints: tuple[Fingerprint, ...]


Security = SdesKeys | DtlsAssociation


@dataclass(frozen=True, slots=True)
class SecurityPolicy:
    """What may be agreed on. Plain RTP alone unless told otherwise.

    ``new_key(n)`` gives ``n`` random bytes and is needed for ``sdes``; ``fingerprint`` is that of
    our certificate, without which there is no DTLS.
    """

    plain: bool = True
    sdes: bool = False
    dtls: bool = False
    new_key: Callable[[int], bytes] | None = field(default=None, repr=False)
    fingerprint: Fingerprint | None = None

    @property
    def by_sdes(self) -> bool:
        return self.sdes and self.new_key is not None

    @property
    def by_dtls(self) -> bool:
        return self.dtls and self.fingerprint is not None


@dataclass(frozen=True, slots=True)
class SdesPlan:
    """The peer's line that we take."""

    crypto: Crypto
    remote_key: bytes = field(repr=False)


Plan = SdesPlan | DtlsAssociation | None
"""How a section of the peer's would be protected; ``None``: not at all."""


class SecurityNegotiation:
    """The keys and roles of one call over all its rounds.

    A key of ours lives as long as its context does: re-offers repeat it, and it is renewed in the
    answer to a peer that renews its own, because whoever has new keys counts packets anew.
    """

    def __init__(self) -> None:
        self.agreed: Security | None = None
        self._floor = False
        """An answer to our last offer must be protected, as the call was when we made it."""
        self._keys: dict[str, bytes] = {}

    # ---- we offer ---------------------------------------------------------------------------

    def offer(
        self, policy: SecurityPolicy, profile: str | None
    ) -> tuple[str, tuple[Attribute, ...]]:
        """The transport protocol of our offer and its attributes. ``profile`` is the one in use,
        ``None`` in a first offer. Raises :class:`NotAcceptable` without the means to protect."""
        self._floor = self.agreed is not None
        if isinstance(self.agreed, DtlsAssociation):
            return profile or SECURE_DTLS, self._dtls_lines(policy, "actpass")
        if isinstance(self.agreed, SdesKeys):
            return profile or SECURE, self._crypto_lines(policy)
        if profile is not None:
            return profile, ()
        if policy.by_sdes:
            return PLAIN if policy.plain else SECURE, self._crypto_lines(policy)
        if policy.plain:
            return PLAIN, ()
        return SECURE_DTLS, self._dtls_lines(policy, "actpass")

    def take_answer(
        self,
        policy: SecurityPolicy,
        ours: MediaDescription,
        remote: SessionDescription,
        theirs: MediaDescription,
    ) -> Security | None:
        """What the answer ``theirs`` to our section ``ours`` agrees on.

        Raises :class:`NotAcceptable` for an answer without the protection that there has to be, or
        with one that we did not offer."""
        profile = profile_of(theirs)
        agreed = self._answered_dtls(ours, remote, theirs) or self._answered_sdes(ours, theirs)
        if agreed is not None:
            return agreed
        if profile.secure:
            raise refused("the answer has no SRTP key that was offered")
        if self._floor or not policy.plain:
            raise refused("the answer leaves the audio unprotected")
        return None

    def _answered_dtls(
        self, ours: MediaDescription, remote: SessionDescription, theirs: MediaDescription
    ) -> DtlsAssociation | None:
        if ours.first("fingerprint") is None:
            return None
        certificates = fingerprints_of(remote, theirs)
        if not certificates:
            return None
        active = active_as_offerer(setup_of(remote, theirs))
        if active is None:
            raise refused("the answer does not say who opens DTLS")
        return DtlsAssociation(active, certificates)

    def _answered_sdes(self, ours: MediaDescription, theirs: MediaDescription) -> SdesKeys | None:
        offered = {crypto.tag: crypto for crypto in ours.crypto}
        for crypto in theirs.crypto[: sdes.MAX_LINES]:
            own = offered.get(crypto.tag)
            if own is None or own.suite.upper() != crypto.suite.upper():
                continue
            local, remote = sdes.key_of(own), sdes.key_of(crypto)
            if local is not None and remote is not None:
                return SdesKeys(own.suite, local, remote)
        return None

    # ---- the peer offers --------------------------------------------------------------------

    def plan(
        self, policy: SecurityPolicy, remote: SessionDescription, theirs: MediaDescription
    ) -> Plan:
        """How the offered section would be protected; changes nothing here.

        Raises :class:`NotAcceptable` where it cannot be as ``policy`` wants it, or where it would
        leave a call unprotected that is protected now."""
        profile = profile_of(theirs)
        found = self._best(policy, profile, remote, theirs)
        if found is not None:
            return found
        if profile.secure:
            raise refused(
                f"no SRTP key of the offer ({theirs.protocol}) can be used"
                if policy.by_sdes or policy.by_dtls
                else f"no support for the transport {theirs.protocol}"
            )
        if self.agreed is not None:
            raise refused("the offer would take the protection of the audio away")
        if not policy.plain:
            raise refused("audio is taken with SRTP only")
        return None

    def _best(
        self,
        policy: SecurityPolicy,
        profile: Profile,
        remote: SessionDescription,
        theirs: MediaDescription,
    ) -> SdesPlan | DtlsAssociation | None:
        """The kind in use goes on; else DTLS, whose keys nobody on the way can read."""
        by_dtls = self._plan_dtls(remote, theirs) if policy.by_dtls else None
        by_sdes = None
        if policy.by_sdes and not profile.dtls:
            usable = sdes.first_usable(theirs.crypto)
            by_sdes = SdesPlan(*usable) if usable is not None else None
        if isinstance(self.agreed, SdesKeys):
            return by_sdes or by_dtls
        return by_dtls or by_sdes

    def _plan_dtls(
        self, remote: SessionDescription, theirs: MediaDescription
    ) -> DtlsAssociation | None:
        certificates = fingerprints_of(remote, theirs)
        if not certificates:
            return None
        current = None
        if isinstance(self.agreed, DtlsAssociation) and self.agreed.fingerprints == certificates:
            current = self.agreed.active
        active = active_in_answer(setup_of(remote, theirs), current)
        return None if active is None else DtlsAssociation(active, certificates)

    def answer(
        self, policy: SecurityPolicy, plan: Plan
    ) -> tuple[Security | None, tuple[Attribute, ...]]:
        """Agree to ``plan``: what holds from now on, and the attributes of our answer."""
        if plan is None:
            return None, ()
        if isinstance(plan, DtlsAssociation):
            return plan, self._dtls_lines(policy, "active" if plan.active else "passive")
        suite, before = plan.crypto.suite.upper(), self.agreed
        kept = (
            isinstance(before, SdesKeys)
            and before.suite == suite
            and before.remote_key == plan.remote_key
        )
        if not kept:
            self._keys.pop(suite, None)
        key = self._key(policy, suite)
        answered = Attribute("crypto", str(sdes.line(plan.crypto.tag, plan.crypto.suite, key)))
        return SdesKeys(suite, key, plan.remote_key), (answered,)

    # ---- lines ------------------------------------------------------------------------------

    def _crypto_lines(self, policy: SecurityPolicy) -> tuple[Attribute, ...]:
        """Every suite under a tag of its own that never changes, the one in use first."""
        tags = {suite: tag for tag, suite in enumerate(sdes.SUITES, 1)}
        current = self.agreed.suite if isinstance(self.agreed, SdesKeys) else ""
        ordered = sorted(tags, key=lambda suite: (suite != current, tags[suite]))
        lines = (sdes.line(tags[suite], suite, self._key(policy, suite)) for suite in ordered)
        return tuple(Attribute("crypto", str(crypto)) for crypto in lines)

    def _key(self, policy: SecurityPolicy, suite: str) -> bytes:
        if suite not in self._keys:
            if policy.new_key is None:
                raise refused("there is no source of SRTP keys")
            self._keys[suite] = policy.new_key(sdes.SUITES[suite])
        return self._keys[suite]

    def _dtls_lines(self, policy: SecurityPolicy, setup: str) -> tuple[Attribute, ...]:
        if policy.fingerprint is None:
            raise refused("there is no certificate for DTLS-SRTP here")
        return (
            Attribute("fingerprint", str(policy.fingerprint)),
            Attribute("setup", setup),
        )


def refused(why: str) -> NotAcceptable:
    return NotAcceptable(why, WARN_TRANSPORT, encryption=True)


def profile_of(media: MediaDescription) -> Profile:
    """Raises :class:`NotAcceptable` for what is no RTP over UDP."""
    profile = PROFILES.get(media.protocol.upper())
    if profile is None:
        raise NotAcceptable(f"no support for the transport {media.protocol}", WARN_TRANSPORT)
    return profile


def fingerprints_of(remote: SessionDescription, media: MediaDescription) -> tuple[Fingerprint, ...]:
    """Those of the section, else those of the session."""
    return fingerprints(media.all("fingerprint") or remote.all("fingerprint"))


def setup_of(remote: SessionDescription, media: MediaDescription) -> str | None:
    own = media.first("setup")
    return own if own is not None else remote.first("setup")
