"""The messages that are compared: RFC 4475's, changes of its valid ones, and what phones send."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

TORTURE = Path(__file__).resolve().parents[1] / "rfc4475" / "messages"
CHANGED = ("dblreq", "inv2543", "longreq", "regaut01", "sdp01", "transports", "noreason")
"""Messages of RFC 4475 that the changes below are made to."""

_COMPACT = {
    b"Call-ID": b"i",
    b"Contact": b"m",
    b"Content-Length": b"l",
    b"Content-Type": b"c",
    b"From": b"f",
    b"Supported": b"k",
    b"To": b"t",
    b"Via": b"v",
}


def _head(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    head, blank, body = data.partition(b"\r\n\r\n")
    return change(head) + blank + body


def _names(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    def renamed(found: re.Match[bytes]) -> bytes:
        return found[1] + change(found[2]) + found[3]

    return _head(data, lambda head: re.sub(rb"(\r\n)([\w-]+)([ \t]*:)", renamed, head))


def _with_bare_lf(data: bytes) -> bytes:
    head, _, body = data.partition(b"\r\n\r\n")
    return head.replace(b"\r\n", b"\n") + b"\n\n" + body


CHANGES: Mapping[str, Callable[[bytes], bytes]] = {
    "compact": lambda data: _names(data, lambda name: _COMPACT.get(name, name)),
    "upper": lambda data: _names(data, bytes.upper),
    "lower": lambda data: _names(data, bytes.lower),
    "spaced": lambda data: _head(data, lambda head: re.sub(rb"(\r\n[\w-]+):", rb"\1 \t: ", head)),
    "folded": lambda data: _head(data, lambda head: re.sub(rb"(\r\n[\w-]+: *)", rb"\1\r\n ", head)),
    "trailing-space": lambda data: _head(
        data, lambda head: re.sub(rb"(\r\n[\w-]+:[^\r\n]*)", rb"\1  ", head)
    ),
    "reversed": lambda data: _head(
        data,
        lambda head: b"\r\n".join(
            [head.split(b"\r\n")[0], *reversed(re.split(rb"\r\n(?![ \t])", head)[1:])]
        ),
    ),
    "bare-lf": _with_bare_lf,
    "leading-crlf": lambda data: b"\r\n\r\n" + data,
    "trailing-bytes": lambda data: data + b"\r\nmore",
    "cut": lambda data: data[: data.rfind(b"\r\n\r\n") + 2],
    "latin-1": lambda data: _head(data, lambda head: head + b"\r\nSubject: caf\xe9"),
}

FIELD: Mapping[str, str] = {
    "named-routes": """OPTIONS sip:bob@example.com SIP/2.0
Via: SIP/2.0/UDP host;branch=z9hG4bKh
From: <sip:a@example.com>;tag=11
To: <sip:b@example.com>
Call-ID: c8
CSeq: 8 OPTIONS
Route: "A" <sip:p1.example.com;lr>, "B" <sip:p2.example.com;lr>, "C" <sip:p3.example.com;lr>
Content-Length: 0""",
    "several-challenges": """SIP/2.0 401 Unauthorized
Via: SIP/2.0/UDP 10.0.0.5:5060;received=203.0.113.9;rport=34567;branch=z9hG4bKa
From: <sip:trunk@sip.example.net>;tag=1
To: <sip:trunk@sip.example.net>;tag=2
Call-ID: c1@10.0.0.5
CSeq: 1 REGISTER
WWW-Authenticate: Digest realm="a", nonce="1", qop="auth,auth-int", algorithm=SHA-256
WWW-Authenticate: Digest realm="a", nonce="1", qop="auth"
Content-Length: 0""",
    "hidden-caller": """INVITE sip:+33123456789@192.0.2.1;user=phone SIP/2.0
Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKb;rport
Max-Forwards: 69
From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=gK0c
To: <sip:+33123456789@192.0.2.1;user=phone>
Call-ID: 1-2@198.51.100.7
CSeq: 10086 INVITE
Contact: <sip:+33600000000@198.51.100.7:5060;transport=udp>
P-Asserted-Identity: <tel:+33600000000>
Content-Length: 0""",
    "quoted-comma": """INVITE sip:bob@example.com SIP/2.0
Via: SIP/2.0/TCP [2001:db8::9]:5070;branch=z9hG4bKc
From: "Smith, \\"JR\\" <x>" <sip:smith@example.com>;tag=3
To: <sip:bob@example.com>
Call-ID: c3
CSeq: 1 INVITE
Contact: "A, B" <sip:a@example.com>;expires=60, <sip:b@[2001:db8::1]:5061>;q=0.5
Route: <sip:p1.example.com;lr>, <sip:p2.example.com;lr>
Content-Length: 0""",
    "addr-spec": """BYE sip:bob@example.com:5062 SIP/2.0
Via: SIP/2.0/TLS host:5061;branch=z9hG4bKd, SIP/2.0/UDP other
From: sip:alice@example.com;tag=4
To: sip:bob@example.com;tag=5
Call-ID: c4
CSeq: 4294967295 BYE
Contact: sip:alice@example.com
Content-Length: 0""",
    "unregister-all": """REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/UDP host;branch=z9hG4bKe
From: <sip:a@example.com>;tag=6
To: <sip:a@example.com>
Call-ID: c5
CSeq: 2 REGISTER
Contact: *
Expires: 0
Content-Length: 0""",
    "empty-reason": """SIP/2.0 183\u0020
Via: SIP/2.0/UDP host;branch=z9hG4bKf;rport
From: <sip:a@example.com>;tag=7
To: <sip:b@example.com>;tag=8
Call-ID: c6
CSeq: 7 INVITE
Content-Length: 0""",
    "password-and-headers": """REFER sips:user:secret@example.com:5061?Subject=hi%20there SIP/2.0
Via: SIP/2.0/TLS host;branch=z9hG4bKg
From: Bob <sip:b@example.com>;tag=9
To: <sip:user@example.com>;tag=10;other="x;y,z"
Call-ID: c7
CSeq: 3 REFER
Max-Forwards: 70
Content-Length: 0""",
}


def all_cases() -> dict[str, bytes]:
    """The message of each case by its name: ``wsinv``, ``sdp01+folded``, ``field/addr-spec``."""
    torture = {path.stem: path.read_bytes() for path in sorted(TORTURE.glob("*.dat"))}
    changed = {
        f"{name}+{what}": change(torture[name])
        for name in CHANGED
        for what, change in CHANGES.items()
    }
    field = {
        f"field/{name}": text.replace("\n", "\r\n").encode() + b"\r\n\r\n"
        for name, text in FIELD.items()
    }
    return torture | changed | field
