"""One module per target, each with ``run(data)``: it may raise nothing at all.

Errors that a parser documents are caught inside; what leaves ``run`` is a finding, be it an
exception that nobody announced or a :class:`Violation` of a property that must hold.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

NAMES = (
    "sip_message",
    "sip_stream",
    "sip_endpoint",
    "sip_glimpse",
    "digest",
    "sdp",
    "offer_answer",
    "rtp",
    "rtcp",
    "dtmf",
    "jitter_buffer",
    "stun",
    "stream_messages",
)

Target = Callable[[bytes], None]


class Violation(Exception):
    """A property that must hold for every input does not."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


def load(name: str) -> Target:
    """The target of this name; its imports happen now."""
    if name not in NAMES:
        raise KeyError(f"no target {name!r}; there are {', '.join(NAMES)}")
    found: Target = import_module(f"ringback_fuzz.targets.{name}").run
    return found
