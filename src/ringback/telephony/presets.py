"""What is known about providers and PBXs, so that a trunk form can be filled in beforehand.

The facts are those of the providers' public documents; a server name that depends on the account
is left empty, and the note says where to find it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ringback.connectors.sip.directory import DEFAULT_CODECS
from ringback.telephony.numbers import DialFormat

Transport = Literal["udp", "tcp", "tls"]
TrunkMode = Literal["registration", "ip_allowlist"]


@dataclass(frozen=True, slots=True)
class TrunkPreset:
    """``port`` ``None`` lets DNS (SRV) decide; ``realm`` ``None`` takes the server's own.

    Carriers have G.711 alone: their calls come from the telephone network, and a wider codec would
    only be transcoded to it."""

    id: str
    name: str
    mode: TrunkMode
    host: str
    port: int | None
    transports: tuple[Transport, ...]
    dial_format: DialFormat
    notes: str
    realm: str | None = None
    other_hosts: tuple[str, ...] = ()
    codecs: tuple[str, ...] = DEFAULT_CODECS


PRESETS: tuple[TrunkPreset, ...] = (
    TrunkPreset(
        id="netelip",
        name="Netelip",
        mode="registration",
        host="sip.netelip.com",
        port=5060,
        transports=("udp",),
        dial_format=DialFormat.INTERNATIONAL,
        other_hosts=("sip-eu.netelip.com",),
        codecs=("PCMA", "PCMU"),
        notes="Spain and Latin America. Use the regional server that your account names. "
        "In Netelip's panel, route the DID to this SIP account.",
    ),
    TrunkPreset(
        id="zadarma",
        name="Zadarma",
        mode="registration",
        host="sip.zadarma.com",
        port=5060,
        transports=("udp", "tcp", "tls"),
        dial_format=DialFormat.E164_NO_PLUS,
        codecs=("PCMA", "PCMU"),
        notes="The user name is the SIP number in Zadarma's settings, not the e-mail address. "
        "Route the number to that SIP number there. TLS is on port 5061.",
    ),
    TrunkPreset(
        id="telnyx",
        name="Telnyx",
        mode="registration",
        host="sip.telnyx.com",
        port=5060,
        transports=("udp", "tcp", "tls"),
        dial_format=DialFormat.E164,
        codecs=("PCMU", "PCMA"),
        notes="Make a SIP connection with credentials and assign the number to it. TLS is on "
        "port 5061. Outbound calls need an outbound voice profile on the connection.",
    ),
    TrunkPreset(
        id="voipms",
        name="VoIP.ms",
        mode="registration",
        host="atlanta.voip.ms",
        port=5060,
        transports=("udp", "tcp", "tls"),
        dial_format=DialFormat.E164_NO_PLUS,
        codecs=("PCMU", "PCMA"),
        notes="North America, many servers: take one near you and route the DID to the same one. "
        "The user name is the main account or a sub-account (123456_name).",
    ),
    TrunkPreset(
        id="ovh",
        name="OVH",
        mode="registration",
        host="sip.ovh.net",
        port=5060,
        transports=("udp",),
        realm="sip-domain.io",
        dial_format=DialFormat.INTERNATIONAL,
        codecs=("PCMA", "PCMU"),
        notes="Europe. OVH answers REGISTER with 404 when the realm is missing. The server and "
        "realm of your line are in its SIP settings in the OVH manager.",
    ),
    TrunkPreset(
        id="twilio",
        name="Twilio Elastic SIP",
        mode="ip_allowlist",
        host="",
        port=5060,
        transports=("udp", "tcp", "tls"),
        dial_format=DialFormat.E164,
        codecs=("PCMU", "PCMA"),
        notes="No registration. The host is your trunk's termination URI (name.pstn.twilio.com); "
        "the origination URI is this gateway. Put Twilio's signalling addresses for your region, "
        "as published in its documents, into allowed_ips.",
    ),
    TrunkPreset(
        id="asterisk",
        name="Asterisk / FreePBX",
        mode="registration",
        host="",
        port=5060,
        transports=("udp", "tcp", "tls"),
        dial_format=DialFormat.E164,
        notes="Make a PJSIP extension for the gateway; the user name is its number, the realm is "
        "'asterisk' unless it was changed. Route the number to that extension.",
    ),
    TrunkPreset(
        id="freeswitch",
        name="FreeSWITCH",
        mode="registration",
        host="",
        port=5060,
        transports=("udp", "tcp", "tls"),
        dial_format=DialFormat.E164,
        codecs=("opus", "G722", "PCMU", "PCMA"),
        notes="Add a user to the directory; the host is the domain of that directory. The "
        "internal profile is on 5060, the external one on 5080.",
    ),
    TrunkPreset(
        id="3cx",
        name="3CX",
        mode="registration",
        host="",
        port=5060,
        transports=("udp", "tcp", "tls"),
        dial_format=DialFormat.E164,
        notes="Use an extension: the user name is the extension's number and auth_username its "
        "authentication ID, which 3CX makes different.",
    ),
    TrunkPreset(
        id="generic",
        name="Any SIP provider or PBX",
        mode="registration",
        host="",
        port=None,
        transports=("udp", "tcp", "tls"),
        dial_format=DialFormat.E164,
        notes="The provider tells the server, user name and password. Without a port, DNS (SRV) "
        "decides, and 5060 (TLS: 5061) where it says nothing. Set the realm if REGISTER is "
        "answered with 404.",
    ),
)

PRESET_IDS = tuple(preset.id for preset in PRESETS)
