"""Gathering keys from the person: a number of them, up to a terminator, within timeouts.

Pure: ``now`` is in monotonic seconds. Keys that are pressed while the prompt is still spoken
count, and so does the time after it only once it is over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

ALL_KEYS = "0123456789*#ABCD"
MAX_DIGITS = 64
MAX_SECONDS = 300.0
"""The longest that one gathering may take, whatever its timeouts add up to."""
PROMPT_SECONDS = 5.0
PROMPT_SECONDS_PER_CHARACTER = 0.15
"""A prompt that is not heard to end within this counts as over (slow speech has 10 characters a
second)."""


class Phase(StrEnum):
    PROMPT = "prompt"
    FIRST = "first"
    """The prompt is over, no key has come."""
    MORE = "more"
    DONE = "done"


class GatherEvent(StrEnum):
    PROMPT_ENDED = "prompt_ended"
    KEY = "key"
    LAST_KEY = "last_key"
    TERMINATOR = "terminator"
    TIMEOUT = "timeout"
    STOPPED = "stopped"


class GatherReason(StrEnum):
    """Why a gathering is over."""

    COMPLETE = "complete"
    """``max_digits`` keys are there."""
    TERMINATOR = "terminator"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    HANGUP = "hangup"
    """The call ended."""


_P = Phase
_E = GatherEvent

TRANSITIONS: dict[tuple[Phase, GatherEvent], Phase] = {
    (_P.PROMPT, _E.PROMPT_ENDED): _P.FIRST,
    (_P.PROMPT, _E.TIMEOUT): _P.FIRST,
    (_P.PROMPT, _E.KEY): _P.MORE,
    (_P.PROMPT, _E.LAST_KEY): _P.DONE,
    (_P.PROMPT, _E.TERMINATOR): _P.DONE,
    (_P.PROMPT, _E.STOPPED): _P.DONE,
    (_P.FIRST, _E.KEY): _P.MORE,
    (_P.FIRST, _E.LAST_KEY): _P.DONE,
    (_P.FIRST, _E.TERMINATOR): _P.DONE,
    (_P.FIRST, _E.TIMEOUT): _P.DONE,
    (_P.FIRST, _E.STOPPED): _P.DONE,
    (_P.MORE, _E.KEY): _P.MORE,
    (_P.MORE, _E.LAST_KEY): _P.DONE,
    (_P.MORE, _E.TERMINATOR): _P.DONE,
    (_P.MORE, _E.TIMEOUT): _P.DONE,
    (_P.MORE, _E.STOPPED): _P.DONE,
}

_REASONS = {
    _E.LAST_KEY: GatherReason.COMPLETE,
    _E.TERMINATOR: GatherReason.TERMINATOR,
    _E.TIMEOUT: GatherReason.TIMEOUT,
}


@dataclass(frozen=True, slots=True)
class GatherWanted:
    """``terminator`` is one key or ``None``; before ``min_digits`` keys it is passed over. Timeouts
    are in seconds. Keys that are not ``allowed`` are passed over."""

    max_digits: int = MAX_DIGITS
    min_digits: int = 0
    terminator: str | None = "#"
    first_timeout: float = 5.0
    inter_digit_timeout: float = 5.0
    allowed: str = ALL_KEYS
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Gather:
    """How far it has got. ``due`` is when :func:`tick` has to be called next; ``reason`` is set
    exactly when it is over."""

    wanted: GatherWanted
    phase: Phase
    due: float
    ends_at: float
    digits: str = ""
    reason: GatherReason | None = None


def begin(wanted: GatherWanted, now: float) -> Gather:
    """Start, with the prompt where there is one."""
    ends_at = now + MAX_SECONDS
    if not wanted.prompt.strip():
        return Gather(wanted, Phase.FIRST, min(now + wanted.first_timeout, ends_at), ends_at)
    spoken_by = now + PROMPT_SECONDS + PROMPT_SECONDS_PER_CHARACTER * len(wanted.prompt)
    return Gather(wanted, Phase.PROMPT, min(spoken_by, ends_at), ends_at)


def key(gather: Gather, digit: str, now: float) -> Gather:
    """The person pressed ``digit``."""
    wanted = gather.wanted
    if digit == wanted.terminator:
        if len(gather.digits) < wanted.min_digits:
            return gather
        return _step(gather, GatherEvent.TERMINATOR, now)
    if gather.phase is Phase.DONE or digit not in wanted.allowed:
        return gather
    taken = replace(gather, digits=gather.digits + digit)
    last = len(taken.digits) >= wanted.max_digits
    return _step(taken, GatherEvent.LAST_KEY if last else GatherEvent.KEY, now)


def prompt_ended(gather: Gather, now: float) -> Gather:
    return _step(gather, GatherEvent.PROMPT_ENDED, now)


def tick(gather: Gather, now: float) -> Gather:
    """Time has passed; nothing changes before ``due``."""
    if now < gather.due:
        return gather
    if now >= gather.ends_at and gather.phase is Phase.PROMPT:
        return stop(gather, GatherReason.TIMEOUT)
    return _step(gather, GatherEvent.TIMEOUT, now)


def stop(gather: Gather, reason: GatherReason) -> Gather:
    """End it now, with the keys that are there."""
    if gather.phase is Phase.DONE:
        return gather
    phase = TRANSITIONS[gather.phase, GatherEvent.STOPPED]
    return replace(gather, phase=phase, reason=reason)


def _step(gather: Gather, event: GatherEvent, now: float) -> Gather:
    phase = TRANSITIONS.get((gather.phase, event))
    if phase is None:
        return gather
    if phase is Phase.DONE:
        return replace(gather, phase=phase, reason=_REASONS[event])
    wanted = gather.wanted
    wait = wanted.first_timeout if phase is Phase.FIRST else wanted.inter_digit_timeout
    return replace(gather, phase=phase, due=min(now + wait, gather.ends_at))
