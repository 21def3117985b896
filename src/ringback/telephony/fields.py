"""The rules of single fields of trunks and numbers; each complaint says what to write instead."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from ringback.core.http import rule
from ringback.core.http.models import ONE_LINE
from ringback.telephony.numbers import NumberError, is_region, parse_e164

MAX_ALLOWED_IPS = 256
MAX_METADATA_BYTES = 16_384
MAX_METADATA_DEPTH = 16
SUPPORTED_CODECS = ("opus", "G722", "PCMA", "PCMU")
_WIDEST_V4 = 8
_WIDEST_V6 = 16

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_SCHEME = re.compile(r"(?i)(sips?|https?|udp|tcp|tls):(//)?")
_SIP_USER = re.compile(r"[A-Za-z0-9_.!~*'()&=+$,;?/%#-]+")
_DIGITS = re.compile(r"[0-9*#]*")

_CODEC_NAMES = {
    "OPUS": "opus",
    "G722": "G722",
    "G.722": "G722",
    "PCMA": "PCMA",
    "ALAW": "PCMA",
    "G711A": "PCMA",
    "G.711A": "PCMA",
    "PCMU": "PCMU",
    "ULAW": "PCMU",
    "MULAW": "PCMU",
    "G711U": "PCMU",
    "G.711U": "PCMU",
}


def host_name(text: str) -> str:
    """A host name in lower case, or an IP address without brackets."""
    text = text.strip()
    if _SCHEME.match(text):
        address = _SCHEME.sub("", text, count=1)
        bare = re.split(r":\d*$|[/;?]", address.partition("@")[2] or address, maxsplit=1)[0]
        raise rule(f"must be a host name or an IP address without a scheme, such as {bare}")
    if "@" in text:
        raise rule(
            f"must be a host name alone, such as {text.partition('@')[2]}: "
            "the user goes into its own field"
        )
    unbracketed = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(unbracketed))
    except ValueError:
        pass
    name, colon, port = text.rpartition(":")
    if colon and port.isascii() and port.isdigit():
        raise rule(f"must not carry a port: write {name}, and {port} into the port's own field")
    return _dns_name(text)


def _dns_name(text: str) -> str:
    try:
        ascii_text = text.rstrip(".").encode("idna").decode("ascii") if text else ""
    except UnicodeError:
        ascii_text = ""
    labels = ascii_text.split(".")
    if (
        not ascii_text
        or len(ascii_text) > 253
        or not all(_LABEL.fullmatch(label) for label in labels)
        or labels[-1].isdigit()
    ):
        raise rule("must be a host name or an IP address, such as sip.example.com")
    return ascii_text.lower()


def host_and_port(text: str) -> str:
    """``host`` or ``host:port`` (IPv6 in brackets), checked and tidied."""
    text = text.strip()
    if _SCHEME.match(text) or ";" in text:
        raise rule("must be host or host:port without a scheme or parameters")
    host, port = text, ""
    if text.startswith("["):
        host, _, rest = text.partition("]")
        host, port = host + "]", rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if port and (not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536):
        raise rule("must end in a port between 1 and 65535")
    name = host_name(host)
    name = f"[{name}]" if ":" in name else name
    return f"{name}:{port}" if port else name


def allowed_network(text: str) -> str:
    """An address or a network in CIDR notation."""
    text = text.strip()
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise rule(_network_remedy(text)) from None
    widest = _WIDEST_V4 if network.version == 4 else _WIDEST_V6
    if network.prefixlen < widest:
        raise rule(f"holds {text}, which would let nearly everybody in: name smaller networks")
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)


def _network_remedy(text: str) -> str:
    try:
        tidy = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return (
            f"holds {text!r}: write addresses or networks, such as 203.0.113.10 or 203.0.113.0/24"
        )
    return (
        f"holds {text}, whose host bits are set: did you mean {tidy} or {text.partition('/')[0]}?"
    )


def sip_user(text: str) -> str:
    """A SIP user part as providers hand it out."""
    text = text.strip()
    if "@" in text or _SCHEME.match(text):
        raise rule("must be the user name alone, without sip: and without @host")
    if _SIP_USER.fullmatch(text) is None:
        raise rule("must be letters, digits and the signs that a SIP user may have, no spaces")
    return text


def caller_id(text: str) -> str:
    """A number in E.164, or an extension or word that the PBX or provider knows."""
    text = text.strip()
    if text.startswith(("+", "00")):
        try:
            return parse_e164(text)
        except NumberError as error:
            raise rule(str(error)) from None
    if _SIP_USER.fullmatch(text) is None:
        raise rule("must be a number such as +33612345678, or an extension of your PBX")
    return text


def e164(text: str) -> str:
    try:
        return parse_e164(text)
    except NumberError as error:
        raise rule(str(error)) from None


def country_code(text: str) -> str:
    code = text.strip().upper()
    if not is_region(code):
        raise rule("must be a country's two letters, such as FR or US")
    return code


def codec_list(names: list[str]) -> list[str]:
    """Known codecs, in order, by their RTP names."""
    known: list[str] = []
    for name in names:
        codec = _CODEC_NAMES.get(name.partition("/")[0].strip().upper())
        if codec is None:
            raise rule(f"holds {name!r}: name some of {', '.join(SUPPORTED_CODECS)}")
        if codec not in known:
            known.append(codec)
    return known


def tech_prefix(text: str) -> str:
    if _DIGITS.fullmatch(text) is None:
        raise rule("must be digits, * and # only")
    return text


def _one_line_secret(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().isprintable():
        raise rule("must be one line without control characters")
    return value


def bounded_metadata(value: dict[str, Any]) -> dict[str, Any]:
    """JSON that can be stored and sent back: bounded in size and depth, no NaN, whole Unicode."""
    if _depth(value) > MAX_METADATA_DEPTH:
        raise rule(f"must not be nested more than {MAX_METADATA_DEPTH} levels deep")
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
    except UnicodeEncodeError:
        raise rule("must not hold broken Unicode (a lone surrogate)") from None
    except ValueError:
        raise rule("must not hold NaN or infinite numbers") from None
    if size > MAX_METADATA_BYTES:
        raise rule(f"must not exceed {MAX_METADATA_BYTES} bytes of JSON")
    if "\\u0000" in json.dumps(value):
        raise rule("must not hold NUL characters")
    return value


def _depth(value: object) -> int:
    """How deep ``value`` is nested; it stops counting beyond the bound."""
    deepest, pending = 0, [(value, 1)]
    while pending and deepest <= MAX_METADATA_DEPTH:
        item, level = pending.pop()
        if isinstance(item, dict | list):
            deepest = max(deepest, level)
            inner = item.values() if isinstance(item, dict) else item
            pending.extend((part, level + 1) for part in inner)
    return deepest


Host = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(host_name)]
HostPort = Annotated[
    str, StringConstraints(min_length=1, max_length=262), AfterValidator(host_and_port)
]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
SipUser = Annotated[str, StringConstraints(min_length=1, max_length=60), AfterValidator(sip_user)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=256), AfterValidator(_one_line_secret)]
Realm = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), ONE_LINE
]
CallerId = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(caller_id)]
E164 = Annotated[str, StringConstraints(min_length=1, max_length=40), AfterValidator(e164)]
Country = Annotated[
    str, StringConstraints(min_length=2, max_length=2), AfterValidator(country_code)
]
AllowedIp = Annotated[
    str, StringConstraints(min_length=1, max_length=50), AfterValidator(allowed_network)
]
AllowedIps = Annotated[list[AllowedIp], Field(max_length=MAX_ALLOWED_IPS)]
Codecs = Annotated[
    list[Annotated[str, StringConstraints(max_length=20)]],
    Field(min_length=1, max_length=10),
    AfterValidator(codec_list),
]
TechPrefix = Annotated[str, StringConstraints(max_length=16), AfterValidator(tech_prefix)]
Metadata = Annotated[dict[str, Any], AfterValidator(bounded_metadata)]
