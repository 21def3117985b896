"""Who has the floor: the turn-taking machine, a pure reducer over a table.

One :class:`Frame` comes in every 20 ms with the verdict of the voice gate; :func:`step` gives
back the new state and what is to be done. Times are milliseconds on the session's clock and
come in with the events. Everything that affects a transition is in this file.

Each event yields at most one :class:`Signal`; ``TRANSITIONS`` says what it means in each phase,
and a pair that is not in the table changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

FRAME_MS = 20
ONSET_GAP_MS = 100
"""Voiced frames further apart than this do not belong to one beginning of speech."""


class Phase(StrEnum):
    LISTENING = "listening"
    """Nobody speaks."""
    USER_SPEAKING = "user_speaking"
    ENDPOINTING = "endpointing"
    """The caller paused; it is not yet clear whether the turn is over."""
    THINKING = "thinking"
    """The turn is over: transcript and reply are being made, nothing is heard yet."""
    SPEAKING = "speaking"
    MAYBE_INTERRUPTED = "maybe_interrupted"
    """The agent speaks and the caller's voice is heard, not yet long enough to be a barge-in."""
    CLOSING = "closing"
    """The agent has decided to hang up and finishes what it is saying."""
    ENDED = "ended"


class Signal(StrEnum):
    VOICE = "voice"
    ONSET = "onset"
    BARGE_IN = "barge_in"
    VOICE_LOST = "voice_lost"
    PAUSE = "pause"
    RESUME = "resume"
    TURN_OVER = "turn_over"
    TURN_TOO_LONG = "turn_too_long"
    AGENT_AUDIBLE = "agent_audible"
    AGENT_DONE = "agent_done"
    KEY = "key"
    NOTHING_TO_SAY = "nothing_to_say"
    SILENCE_TIMEOUT = "silence_timeout"
    MAX_DURATION = "max_duration"
    CLOSE = "close"
    CLOSED = "closed"


class Effect(StrEnum):
    START_UTTERANCE = "start_utterance"
    """The caller speaks, since ``turn.voice_since``."""
    END_UTTERANCE = "end_utterance"
    """The caller's turn is over; the last voice was at ``turn.last_voice``."""
    STOP_PLAYOUT = "stop_playout"
    CANCEL_REPLY = "cancel_reply"
    AGENT_STARTED = "agent_started"
    AGENT_STOPPED = "agent_stopped"
    HANG_UP_SILENCE = "hang_up_silence"
    HANG_UP_MAX_DURATION = "hang_up_max_duration"
    HANG_UP_AGENT = "hang_up_agent"


@dataclass(frozen=True, slots=True)
class TurnConfig:
    """Milliseconds. ``None`` switches a limit off."""

    endpointing: int = 600
    min_speech: int = 120
    """Voice shorter than this is a click or a cough, not a turn."""
    barge_in: int | None = 200
    """Caller's voice that stops the agent; ``None``: the agent cannot be interrupted."""
    max_utterance: int = 30_000
    silence_timeout: int | None = 60_000
    max_duration: int | None = None
    closing: int = 20_000
    """The longest that a goodbye may take."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The state. ``voice_since`` and ``last_voice`` bound the current run of the caller's voice."""

    phase: Phase = Phase.LISTENING
    replying: bool = False
    """Speech of the agent is being made: a silent moment is not the end of it."""
    voice_since: int | None = None
    voiced: int = 0
    last_voice: int = 0
    phase_since: int = 0
    utterance_since: int = 0
    quiet_since: int = 0
    """When the silence timeout began to count."""


@dataclass(frozen=True, slots=True)
class Frame:
    """20 ms ended at ``now``: did the caller speak, is there sound of the agent to be played."""

    now: int
    voiced: bool
    audible: bool


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """Something is going to be said (a greeting, a reply, ``say``)."""

    now: int


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """All of it is queued for playout, was given up, or there is nothing to say."""

    now: int


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """DTMF: it counts as a turn of the caller."""

    now: int


@dataclass(frozen=True, slots=True)
class CloseRequested:
    """The agent wants to hang up once it has finished speaking."""

    now: int


TurnEvent = Frame | ReplyStarted | ReplyEnded | KeyPressed | CloseRequested

_P, _S, _E = Phase, Signal, Effect

TRANSITIONS: Mapping[tuple[Phase, Signal], tuple[Phase, tuple[Effect, ...]]] = {
    (_P.LISTENING, _S.ONSET): (_P.USER_SPEAKING, (_E.START_UTTERANCE,)),
    (_P.LISTENING, _S.AGENT_AUDIBLE): (_P.SPEAKING, (_E.AGENT_STARTED,)),
    (_P.LISTENING, _S.KEY): (_P.THINKING, ()),
    (_P.LISTENING, _S.SILENCE_TIMEOUT): (_P.ENDED, (_E.HANG_UP_SILENCE,)),
    (_P.USER_SPEAKING, _S.PAUSE): (_P.ENDPOINTING, ()),
    (_P.USER_SPEAKING, _S.TURN_TOO_LONG): (_P.THINKING, (_E.END_UTTERANCE,)),
    (_P.USER_SPEAKING, _S.KEY): (_P.THINKING, (_E.END_UTTERANCE,)),
    (_P.ENDPOINTING, _S.RESUME): (_P.USER_SPEAKING, ()),
    (_P.ENDPOINTING, _S.TURN_OVER): (_P.THINKING, (_E.END_UTTERANCE,)),
    (_P.ENDPOINTING, _S.TURN_TOO_LONG): (_P.THINKING, (_E.END_UTTERANCE,)),
    (_P.ENDPOINTING, _S.KEY): (_P.THINKING, (_E.END_UTTERANCE,)),
    (_P.THINKING, _S.ONSET): (_P.USER_SPEAKING, (_E.CANCEL_REPLY, _E.START_UTTERANCE)),
    (_P.THINKING, _S.KEY): (_P.THINKING, (_E.CANCEL_REPLY,)),
    (_P.THINKING, _S.AGENT_AUDIBLE): (_P.SPEAKING, (_E.AGENT_STARTED,)),
    (_P.THINKING, _S.NOTHING_TO_SAY): (_P.LISTENING, ()),
    (_P.SPEAKING, _S.VOICE): (_P.MAYBE_INTERRUPTED, ()),
    (_P.SPEAKING, _S.KEY): (
        _P.THINKING,
        (_E.STOP_PLAYOUT, _E.CANCEL_REPLY, _E.AGENT_STOPPED),
    ),
    (_P.SPEAKING, _S.AGENT_DONE): (_P.LISTENING, (_E.AGENT_STOPPED,)),
    (_P.MAYBE_INTERRUPTED, _S.BARGE_IN): (
        _P.USER_SPEAKING,
        (_E.STOP_PLAYOUT, _E.CANCEL_REPLY, _E.AGENT_STOPPED, _E.START_UTTERANCE),
    ),
    (_P.MAYBE_INTERRUPTED, _S.VOICE_LOST): (_P.SPEAKING, ()),
    (_P.MAYBE_INTERRUPTED, _S.KEY): (
        _P.THINKING,
        (_E.STOP_PLAYOUT, _E.CANCEL_REPLY, _E.AGENT_STOPPED),
    ),
    (_P.MAYBE_INTERRUPTED, _S.AGENT_DONE): (_P.LISTENING, (_E.AGENT_STOPPED,)),
    (_P.CLOSING, _S.CLOSED): (_P.ENDED, (_E.HANG_UP_AGENT,)),
    **{
        (phase, _S.CLOSE): (_P.CLOSING, ())
        for phase in _P
        if phase not in (_P.CLOSING, _P.ENDED)
    },
    **{
        (phase, _S.MAX_DURATION): (_P.ENDED, (_E.HANG_UP_MAX_DURATION,))
        for phase in _P
        if phase is not _P.ENDED
    },
}  # fmt: skip

_IN_UTTERANCE = frozenset({_P.USER_SPEAKING, _P.ENDPOINTING})
_SPEAKING = frozenset({_P.SPEAKING, _P.MAYBE_INTERRUPTED})


def person_away(turn: Turn, now: int) -> Turn:
    """The person is on hold at ``now``: their silence does not count."""
    return replace(turn, quiet_since=now)


def step(turn: Turn, event: TurnEvent, config: TurnConfig) -> tuple[Turn, tuple[Effect, ...]]:
    """The next state and what is to be done now, in order."""
    match event:
        case Frame():
            turn = _track_voice(turn, event)
            signal = _signal_of_frame(turn, event, config)
        case ReplyStarted():
            turn, signal = replace(turn, replying=True), None
        case ReplyEnded():
            turn, signal = replace(turn, replying=False), Signal.NOTHING_TO_SAY
        case KeyPressed():
            turn, signal = replace(turn, quiet_since=event.now), Signal.KEY
        case CloseRequested():
            signal = Signal.CLOSE
    if signal is None:
        return turn, ()
    return _apply(turn, signal, event.now)


def _apply(turn: Turn, signal: Signal, now: int) -> tuple[Turn, tuple[Effect, ...]]:
    transition = TRANSITIONS.get((turn.phase, signal))
    if transition is None:
        return turn, ()
    phase, effects = transition
    turn = replace(turn, phase=phase, phase_since=now)
    if phase is Phase.LISTENING:
        turn = replace(turn, quiet_since=now)
    if Effect.START_UTTERANCE in effects:
        since = turn.voice_since if turn.voice_since is not None else now
        turn = replace(turn, utterance_since=since)
    if Effect.CANCEL_REPLY in effects:
        turn = replace(turn, replying=False)
    if Effect.END_UTTERANCE in effects:
        turn = replace(turn, voice_since=None, voiced=0)
    return turn, effects


def _track_voice(turn: Turn, frame: Frame) -> Turn:
    """The current run of voice: within an utterance it never breaks, outside a gap ends it."""
    if frame.voiced:
        if turn.voice_since is None:
            since = frame.now - FRAME_MS
            return replace(turn, voice_since=since, voiced=FRAME_MS, last_voice=frame.now)
        return replace(turn, voiced=turn.voiced + FRAME_MS, last_voice=frame.now)
    if turn.voice_since is None or turn.phase in _IN_UTTERANCE:
        return turn
    if frame.now - turn.last_voice >= ONSET_GAP_MS:
        return replace(turn, voice_since=None, voiced=0)
    return turn


def _signal_of_frame(turn: Turn, frame: Frame, config: TurnConfig) -> Signal | None:
    if config.max_duration is not None and frame.now >= config.max_duration:
        return Signal.MAX_DURATION
    phase = turn.phase
    if phase in _IN_UTTERANCE:
        return _signal_in_utterance(turn, frame, config)
    if phase in _SPEAKING:
        return _signal_while_speaking(turn, frame, config)
    if phase is Phase.CLOSING:
        silent = not turn.replying and not frame.audible
        overdue = frame.now - turn.phase_since >= config.closing
        return Signal.CLOSED if silent or overdue else None
    if frame.audible:
        return Signal.AGENT_AUDIBLE
    if turn.voice_since is not None and turn.voiced >= config.min_speech:
        return Signal.ONSET
    timeout = config.silence_timeout
    if timeout is not None and not turn.replying and frame.now - turn.quiet_since >= timeout:
        return Signal.SILENCE_TIMEOUT
    return None


def _signal_in_utterance(turn: Turn, frame: Frame, config: TurnConfig) -> Signal | None:
    if frame.now - turn.utterance_since >= config.max_utterance:
        return Signal.TURN_TOO_LONG
    if frame.voiced:
        return Signal.RESUME
    if frame.now - turn.last_voice >= config.endpointing:
        return Signal.TURN_OVER
    return Signal.PAUSE


def _signal_while_speaking(turn: Turn, frame: Frame, config: TurnConfig) -> Signal | None:
    if not frame.audible and not turn.replying:
        return Signal.AGENT_DONE
    if config.barge_in is None:
        return None
    if turn.phase is Phase.SPEAKING:
        return Signal.VOICE if frame.voiced else None
    if turn.voice_since is None:
        return Signal.VOICE_LOST
    return Signal.BARGE_IN if turn.voiced >= config.barge_in else None
