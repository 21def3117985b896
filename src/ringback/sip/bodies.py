"""Finding the session description in a message body."""

from __future__ import annotations

import re

from ringback.sip.errors import ParseError
from ringback.sip.headers import MediaType
from ringback.sip.message import Message

SDP = "application/sdp"
MAX_PARTS = 16
"""Parts of a multipart body that are looked at."""

_END_OF_PART_HEAD = re.compile(rb"\r?\n\r?\n")
_PART_TYPE = re.compile(
    rb"^(?:content-type|c)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE
)


def session_description(message: Message) -> bytes | None:
    """The SDP of ``message``: its body, or the first SDP part of a multipart body (RFC 5621).

    ``None`` where there is none, or where nothing can be made of the Content-Type.
    """
    if not message.body:
        return None
    try:
        media_type = message.content_type
    except ParseError:
        return None
    if media_type is None or media_type.essence == SDP:
        return message.body
    boundary = media_type.params.get("boundary")
    if media_type.type != "multipart" or not boundary:
        return None
    return _sdp_part(message.body, boundary.encode("utf-8", "surrogateescape"))


def _sdp_part(body: bytes, boundary: bytes) -> bytes | None:
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS + 1)[1:]:
        if part.startswith(b"--"):
            return None
        content = part.partition(b"\n")[2]
        end = _END_OF_PART_HEAD.search(b"\r\n" + content)
        if end is None:
            continue
        head, text = (b"\r\n" + content)[: end.start()], (b"\r\n" + content)[end.end() :]
        found = _PART_TYPE.search(head)
        if found is not None and _essence(found.group(1)) == SDP:
            return text
    return None


def _essence(value: bytes) -> str | None:
    try:
        return MediaType.parse(value.decode("utf-8", "surrogateescape")).essence
    except ParseError:
        return None
