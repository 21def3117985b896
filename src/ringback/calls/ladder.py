"""A call's signalling as text: who sent what to whom, one arrow per message, time going down."""

from __future__ import annotations

from collections.abc import Sequence

from ringback.connectors.contract import TracedMessage

COLUMN = 56
"""Characters from one end to the next."""
MAX_ENDS = 8
"""Far ends that get a column of their own; further ones share the last."""
OURS = "Ringback"


def first_line(data: bytes) -> str:
    """The start line of a message, printable."""
    text = data.lstrip(b"\r\n").split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    return "".join(char if char.isprintable() else "?" for char in text)


def summary(data: bytes) -> str:
    """The start line without what all of them say, and what it carries: ``INVITE sip:… [sdp]``,
    ``180 Ringing (INVITE)``."""
    line = first_line(data)
    if line.startswith("SIP/2.0 "):
        method = _field(data, b"cseq").rpartition(" ")[2]
        text = line.removeprefix("SIP/2.0 ") + (f" ({method})" if method else "")
    else:
        text = line.removesuffix(" SIP/2.0")
    kind = _field(data, b"content-type", b"c").partition(";")[0]
    return f"{text} [{kind.rpartition('/')[2]}]" if kind else text


def ladder(messages: Sequence[TracedMessage]) -> str:
    """The messages, oldest first, as a drawing with Ringback at the left. A message that is sent
    again is marked so. Empty for no messages."""
    if not messages:
        return ""
    ends = list(dict.fromkeys(message.remote for message in messages))[:MAX_ENDS]
    lines = [_header(messages, ends)]
    seen: set[tuple[bool, bytes]] = set()
    for message in messages:
        again = (message.outgoing, message.data) in seen
        seen.add((message.outgoing, message.data))
        lines.append(_arrow(message, ends, again))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _header(messages: Sequence[TracedMessage], ends: list[str]) -> str:
    begun = messages[0].at
    transports = {message.remote: message.transport for message in messages}
    names = [OURS, *(f"{end} {transports[end].upper()}" for end in ends)]
    row = " " * 14 + "".join(name.ljust(COLUMN) for name in names)
    return f"{begun:%Y-%m-%d %H:%M:%S} UTC\n\n{row}"


def _arrow(message: TracedMessage, ends: list[str], again: bool) -> str:
    column = ends.index(message.remote) if message.remote in ends else len(ends) - 1
    width = COLUMN * (column + 1) - 1
    mark = " (again)" if again else ""
    text, room = summary(message.data), width - 4 - len(mark)
    text = (text if len(text) <= room else f"{text[: room - 3]}...") + mark
    filled = f" {text} ".center(width - 2, "-")
    drawn = f"{filled}->" if message.outgoing else f"<-{filled}"
    rest = "".join(" " * (COLUMN - 1) + "|" for _ in ends[column + 1 :])
    return f"{message.at:%H:%M:%S.%f}"[:12] + f"  |{drawn}|{rest}"


def _field(data: bytes, *names: bytes) -> str:
    for line in data.split(b"\r\n\r\n", 1)[0].split(b"\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon and name.strip().lower() in names:
            return value.decode("utf-8", "replace").strip()
    return ""
