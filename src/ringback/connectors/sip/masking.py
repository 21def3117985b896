"""What may not be kept of a signalling message: credentials, media keys, and pressed keys.

Each secret is overwritten by as many asterisks (digits by question marks, as ``*`` is a key), so
that lengths, and with them Content-Length, stay true. Everything else is left byte for byte.
"""

from __future__ import annotations

import re

_FOLDED = rb"(?:[^\r\n]|\r?\n[ \t])*"
_VALUE = rb'(?:"(?:[^"\\]|\\.)*"|[^\s,;>]+)'

_CREDENTIALS = re.compile(rb"(?im)^(?:proxy-)?authorization[ \t]*:" + _FOLDED)
_RESPONSE = re.compile(rb"(?i)(\bresponse[ \t]*=[ \t]*)(" + _VALUE + rb")")
_DIGEST = re.compile(rb"(?i)^[^:]*:\s*digest\b")
_SCHEME_REST = re.compile(rb"(?s)^([^:]*:\s*\S+\s*)(.*)$")
_AUTHENTICATION_INFO = re.compile(rb"(?im)^authentication-info[ \t]*:" + _FOLDED)
_RSPAUTH = re.compile(rb"(?i)(\brspauth[ \t]*=[ \t]*)(" + _VALUE + rb")")
_LINE = re.compile(rb"(?i)(;line=)([^\s;?>,&\"]+)")
_USER_INFO = re.compile(rb"(?<![^\s@;<>\"])[^\s@;<>\"]+(?=@)")
"""What stands before an ``@``, looked at once however often it says ``sip:``."""
_PASSWORD = re.compile(rb"(?is)(\bsips?:[^:]*:)(.+)")
_CRYPTO = re.compile(rb"(?im)^(a=crypto:[^\r\n]*)")
_INLINE = re.compile(rb"(?i)(inline:)([^\s|;]+)")
_ICE_PASSWORD = re.compile(rb"(?im)^(a=ice-pwd:)([^\r\n]+)")
_SIGNAL = re.compile(rb"(?im)^(signal[ \t]*=[ \t]*)([^\r\n]+)")
_DTMF_BODY = re.compile(rb"(?im)^(?:content-type|c)[ \t]*:[ \t]*application/dtmf[ \t]*(?:;|\r?$)")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


def masked(data: bytes) -> bytes:
    """``data`` (a SIP message as it went over the wire) without its secrets, as long as it was.

    Masked: ``response`` and ``rspauth`` of digests (RFC 7616) and the whole of any other
    credentials, the ``line`` token of our Contact, a password in a URI (RFC 3261 19.1.1), SDES keys
    (RFC 4568), ICE passwords (RFC 8839) and DTMF digits in INFO bodies.
    """
    end = _END_OF_HEAD.search(data)
    split = end.end() if end else len(data)
    head, body = data[:split], data[split:]
    if body:
        body = _masked_body(head, body)
    return _masked_head(head) + body


def _masked_head(head: bytes) -> bytes:
    lower = head.lower()
    if b"authorization" in lower:
        head = _CREDENTIALS.sub(_without_response, head)
    if b"authentication-info" in lower:
        head = _AUTHENTICATION_INFO.sub(lambda found: _RSPAUTH.sub(_stars, found[0]), head)
    if b";line=" in lower:
        head = _LINE.sub(_stars, head)
    if _perhaps_password(head):
        head = _USER_INFO.sub(lambda found: _PASSWORD.sub(_stars, found[0], count=1), head)
    return head


def _perhaps_password(head: bytes) -> bool:
    """Whether two colons stand before some ``@``; nearly no message has that."""
    for piece in head.split(b"@")[:-1]:
        start = max(piece.rfind(b"<"), piece.rfind(b" "), piece.rfind(b"\n")) + 1
        if piece.count(b":", start) > 1:
            return True
    return False


def _masked_body(head: bytes, body: bytes) -> bytes:
    if _DTMF_BODY.search(head):
        return re.sub(rb"[0-9A-Da-d*#]", b"?", body)
    lower = body.lower()
    if b"a=crypto" in lower:
        body = _CRYPTO.sub(lambda found: _INLINE.sub(_stars, found[0]), body)
    if b"a=ice-pwd" in lower:
        body = _ICE_PASSWORD.sub(_stars, body)
    if b"signal" in lower:
        body = _SIGNAL.sub(lambda found: found[1] + b"?" * len(found[2]), body)
    return body


def _stars(found: re.Match[bytes]) -> bytes:
    value = found[2]
    opened = b'"' if value.startswith(b'"') else b""
    closed = b'"' if opened and len(value) > 1 and value.endswith(b'"') else b""
    return found[1] + opened + b"*" * (len(value) - len(opened) - len(closed)) + closed


def _without_response(found: re.Match[bytes]) -> bytes:
    line = found[0]
    if _DIGEST.match(line):
        return _RESPONSE.sub(_stars, line)
    return _SCHEME_REST.sub(lambda parts: parts[1] + b"*" * len(parts[2]), line)
