"""Between SIP's words and those of calls and media: identities, DTMF bodies, SDP results."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from ringback.audio import codec as audio_codecs
from ringback.connectors.sip.directory import InboundQuery, MediaEncryption, Route, TrunkAccount
from ringback.media.plane import (
    DtlsSecurity,
    MediaSecurity,
    NegotiatedAudio,
    RtpAddress,
    SdesSecurity,
    SessionOpened,
)
from ringback.sip.audio_stream import LocalMedia, Negotiated
from ringback.sip.dtls_setup import Fingerprint
from ringback.sip.errors import SipError
from ringback.sip.headers import NameAddr
from ringback.sip.media_security import DtlsAssociation, Security, SecurityPolicy
from ringback.sip.message import Request
from ringback.sip.not_acceptable import NotAcceptable
from ringback.sip.remembered import remembered
from ringback.sip.sdp_values import G722, OPUS, PCMA, PCMU, Codec
from ringback.sip.transport import Flow
from ringback.sip.uri import Uri

WARN_AGENT = "ringback"
CONTACT_TOKEN = "line"
"""The parameter of our registered Contact that carries a trunk's secret token."""

KNOWN_CODECS: Mapping[str, Codec] = {"opus": OPUS, "G722": G722, "PCMA": PCMA, "PCMU": PCMU}

REMEMBERED_TERMS = 256
"""What follows from the terms of a trunk, the same for each of its calls."""
DEFAULT_INFO_DTMF_MS = 160
_NUMBER = re.compile(r"\+?[0-9][0-9().\s-]{2,}$")
_SIGNAL = re.compile(rb"(?im)^\s*signal\s*=\s*([0-9a-d*#]|1[01])\s*$")
_DURATION = re.compile(rb"(?im)^\s*duration\s*=\s*([0-9]{1,5})\s*$")
_PLAIN_KEY = re.compile(rb"\s*([0-9a-dA-D*#]|1[01])\s*")


def codecs_of(names: tuple[str, ...]) -> tuple[Codec, ...]:
    """The codecs that this build has, in the order named; G.711 if none is known."""
    return _codecs_among(names, audio_codecs.names())


@lru_cache(REMEMBERED_TERMS)
def _codecs_among(names: tuple[str, ...], available: tuple[str, ...]) -> tuple[Codec, ...]:
    built_in = {name.lower() for name in available}
    known = (KNOWN_CODECS[n] for n in names if n in KNOWN_CODECS and n.lower() in built_in)
    return tuple(known) or (PCMA, PCMU)


def local_media(
    host: str, opened: SessionOpened, terms: TrunkAccount | Route, heard_from: str | None = None
) -> LocalMedia:
    """What we offer and answer with at ``host`` (an IP literal) on the terms of a trunk: its order
    of codecs counts, not the peer's. ``heard_from`` is where the peer's signalling comes from."""
    return LocalMedia(
        host,
        opened.rtp_port,
        rtcp_port=opened.rtcp_port,
        codecs=codecs_of(terms.codecs),
        prefer_local=True,
        security=security_policy(terms.media_encryption, opened.fingerprint),
        heard_from=heard_from,
    )


def new_session_id() -> int:
    """The number in ``o=`` by which a peer tells one description's author from another (RFC 8866
    5.2); far below what fits into 64 bits, for peers that count in signed ones."""
    return secrets.randbits(53)


def possible_media(
    host: str, terms: TrunkAccount | Route, heard_from: str | None = None
) -> LocalMedia:
    """As :func:`local_media` before there is a media session, to judge an offer by."""
    return local_media(host, SessionOpened("", 9, 10, _SOME_FINGERPRINT), terms, heard_from)


_SOME_FINGERPRINT = ("sha-256", ":".join(["00"] * 32))


@lru_cache(REMEMBERED_TERMS)
def security_policy(
    encryption: MediaEncryption, fingerprint: tuple[str, str] | None
) -> SecurityPolicy:
    """``fingerprint`` is that of the media session, ``None`` where it has no DTLS."""
    kind = MediaEncryption
    return SecurityPolicy(
        plain=encryption in (kind.NONE, kind.OPTIONAL),
        sdes=encryption in (kind.OPTIONAL, kind.REQUIRED, kind.SDES),
        dtls=encryption in (kind.OPTIONAL, kind.REQUIRED, kind.DTLS),
        new_key=secrets.token_bytes,
        fingerprint=None if fingerprint is None else Fingerprint(*fingerprint),
    )


def user_of(address: Uri) -> str:
    return address.user or ""


@remembered
def tidy_number(user: str) -> str:
    """A number without the punctuation people write, ``00`` as ``+``; anything else as it is."""
    if not _NUMBER.match(user):
        return user
    digits = re.sub(r"[().\s-]", "", user)
    return "+" + digits[2:] if digits.startswith("00") else digits


def inbound_query(request: Request, flow: Flow) -> InboundQuery:
    """Raises :class:`ringback.sip.errors.SipError` for headers that cannot be read."""
    called = name_addr(request, "P-Called-Party-ID")
    token = request.uri.params.get(CONTACT_TOKEN)
    return InboundQuery(
        source_host=flow.hop.host,
        request_user=user_of(request.uri),
        to_user=user_of(request.to.uri),
        called_party=user_of(called.uri) if called else "",
        from_user=user_of(request.from_.uri),
        contact_token=token or "",
    )


def name_addr(request: Request, header: str) -> NameAddr | None:
    """The first value of a name-addr header, ``None`` if absent or unreadable."""
    values = request.headers.values(header)
    if not values:
        return None
    try:
        return NameAddr.parse(values[0])
    except SipError:
        return None


def caller_of(request: Request, trusted: bool) -> tuple[str, str]:
    """Number (or user) and display name of the caller.

    P-Asserted-Identity (RFC 3325), then Remote-Party-ID, are believed from trusted trunks only;
    else From. A withheld identity in From gives way to an asserted one, never the reverse.
    """
    identity: NameAddr | None = None
    if trusted:
        identity = name_addr(request, "P-Asserted-Identity") or name_addr(
            request, "Remote-Party-ID"
        )
    chosen = identity or request.from_
    number = tidy_number(user_of(chosen.uri)) or str(chosen.uri)
    return number, chosen.display or request.from_.display or ""


def dtmf_of_info(content_type: str, body: bytes) -> tuple[str, int] | None:
    """Key and duration in ms of an INFO body (``application/dtmf-relay``, ``…/dtmf``)."""
    relay = content_type.partition(";")[0].strip().lower() == "application/dtmf-relay"
    match = _SIGNAL.search(body) if relay else _PLAIN_KEY.fullmatch(body)
    if match is None:
        return None
    key = {b"10": "*", b"11": "#"}.get(match[1]) or match[1].decode("ascii").upper()
    duration = _DURATION.search(body)
    return key, int(duration[1]) if duration else DEFAULT_INFO_DTMF_MS


def negotiated_audio(result: Negotiated, *, events: bool = True) -> NegotiatedAudio:
    """``result`` as media takes it. Without ``events`` keys are sent as tones, whatever the peer
    takes; those that it sends are heard all the same."""
    return NegotiatedAudio(
        remote=RtpAddress(result.remote.host, result.remote.port),
        codec=result.codec,
        payload_type=result.payload_type,
        clock_rate=result.clock_rate,
        ptime_ms=result.ptime,
        dtmf_payload_type=result.dtmf_payload_type if events else None,
        send=result.send,
        receive=result.receive,
        rtcp_mux=result.rtcp_mux,
        remote_rtcp=RtpAddress(result.remote_rtcp.host, result.remote_rtcp.port),
        receive_codecs=result.receive_codecs,
        dtmf_receive_payload_types=result.dtmf_receive_payload_types,
        comfort_noise_payload_type=result.comfort_noise_payload_type,
        fmtp=result.fmtp,
        security=media_security(result.security),
    )


def warning_of(error: NotAcceptable) -> tuple[str, str]:
    """The Warning header (RFC 3261 20.43) that says what stands in the way."""
    text = str(error).replace("\\", "").replace('"', "'")
    return "Warning", f'{error.warning_code} {WARN_AGENT} "{text}"'


def media_security(agreed: Security | None) -> MediaSecurity | None:
    match agreed:
        case None:
            return None
        case DtlsAssociation():
            pairs = tuple((item.algorithm, item.value) for item in agreed.fingerprints)
            return DtlsSecurity(agreed.active, pairs)
        case _:
            return SdesSecurity(agreed.suite, agreed.local_key, agreed.remote_key)


def confined(audio: NegotiatedAudio, host: str) -> NegotiatedAudio:
    """``audio`` with sound for ``host`` alone, whatever the description says.

    For callers whom nobody vouches for: a description that names somebody else's address would
    make us send 50 packets a second to them. Whoever really sends from there is followed by
    symmetric RTP all the same.
    """
    rtcp = audio.remote_rtcp
    return replace(
        audio,
        remote=replace(audio.remote, host=host),
        remote_rtcp=None if rtcp is None else replace(rtcp, host=host),
    )
