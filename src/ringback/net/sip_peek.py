"""What can be learnt of a SIP message in microseconds, without parsing it.

Only for deciding who may have it parsed. A message that hides its headers from these expressions
(folded lines, odd white space) is taken for one that belongs to nothing, and judged as such.
"""

from __future__ import annotations

import re

PEEKED_BYTES = 4096
"""How far into a datagram is looked."""

SCANNERS = (
    "conaito",
    "eyebeam release 3006o stamp 17551",
    "friendly-request",
    "friendly-scanner",
    "gulp",
    "iwar",
    "pplsip",
    "sip-scan",
    "siparmyknife",
    "sipcli",
    "sipscan",
    "sipvicious",
    "sivus",
    "smap",
    "sundayddr",
    "vaxipuseragent",
    "vaxsipuseragent",
)
"""How a User-Agent of a scanner begins a word, in lower case. The eyeBeam is one old release that
scanners have been passing themselves off as for years."""

FROM_SCANNERS = ("friendly-scanner", "sipvicious")
"""What scanners write into From; people may be called anything else."""

_CALL_ID = re.compile(rb"\n(?:call-id|i)[ \t]*:[ \t]*([^\s;,]+)", re.IGNORECASE)
_USUAL_CALL_ID = b"\nCall-ID: "
_CALL_ID_CHARACTERS = bytes(range(0x21, 0x7F)).translate(None, b";,")
_BRANCH = re.compile(rb"\n(?:via|v)[ \t]*:[^\r\n,]*?;[ \t]*branch[ \t]*=[ \t]*([^\s;,]+)", re.I)
_AGENT = re.compile(rb"\nuser-agent[ \t]*:([^\r\n]*)", re.IGNORECASE)
_FROM = re.compile(rb"\n(?:from|f)[ \t]*:([^\r\n]*)", re.IGNORECASE)
_LINE_PARAMETER = re.compile(rb";line=([^\s;>?]+)", re.IGNORECASE)


def is_response(data: bytes) -> bool:
    return data[:8].lstrip(b"\r\n")[:4].upper() == b"SIP/"


def call_id(data: bytes) -> str:
    """Empty where there is none."""
    usual = usual_call_id(data)
    return _first(_CALL_ID, data) if usual is None else usual.decode("latin-1")


def usual_call_id(data: bytes) -> bytes | None:
    """The Call-ID where it is written as nearly everybody does; ``None``: look for it elsewhere."""
    head = data.find(b"\r\n\r\n", 0, PEEKED_BYTES)
    start = data.find(_USUAL_CALL_ID, 0, head) if head > 0 else -1
    if start < 0:
        return None
    found = data[start + len(_USUAL_CALL_ID) : data.index(b"\r", start)]
    return found if found and not found.translate(None, _CALL_ID_CHARACTERS) else None


def branch(data: bytes) -> str:
    """Of the topmost Via; empty where there is none."""
    return _first(_BRANCH, data)


def contact_token(data: bytes) -> str:
    """The ``line`` parameter of the Request-URI, which only those know with whom we registered."""
    end = data.find(b"\n", 0, PEEKED_BYTES)
    found = _LINE_PARAMETER.search(data, 0, max(end, 0))
    return found[1].decode("latin-1") if found else ""


class ScannerNames:
    """Recognises scanners by what they call themselves; ``more`` are words of the operator's."""

    def __init__(self, more: tuple[str, ...] = ()) -> None:
        self._agent = _beginnings((*SCANNERS, *more))
        self._from = _beginnings(FROM_SCANNERS)

    def in_message(self, data: bytes) -> bool:
        """Of a message as it came."""
        agent, caller = (p.search(data, 0, PEEKED_BYTES) for p in (_AGENT, _FROM))
        return (agent is not None and self._agent.search(agent[1].lower()) is not None) or (
            caller is not None and self._from.search(caller[1].lower()) is not None
        )

    def in_headers(self, user_agent: str, from_: str) -> bool:
        """Of a message that was parsed already."""
        return bool(
            self._agent.search(user_agent.lower().encode("utf-8", "replace"))
            or self._from.search(from_.lower().encode("utf-8", "replace"))
        )


def _beginnings(words: tuple[str, ...]) -> re.Pattern[bytes]:
    wanted = "|".join(re.escape(word.strip().lower()) for word in words if word.strip())
    return re.compile(rf"(?<![a-z0-9])(?:{wanted})".encode())


def _first(pattern: re.Pattern[bytes], data: bytes) -> str:
    found = pattern.search(data, 0, PEEKED_BYTES)
    return found[1].decode("latin-1") if found else ""
