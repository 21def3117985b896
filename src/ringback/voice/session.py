"""One call's hosted pipeline: hears through the listener, thinks in the dialogue, speaks through
the speaker; the turn machine says when.

Everything runs on the event loop of the call's media: the ear's methods are called from the media
tick and return at once. No failure of a vendor ends the call: the caller hears a short apology,
the log says why, and the next turn starts afresh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from ringback.core.end_reason import EndReason
from ringback.media.port import AgentPort, VoiceHost
from ringback.voice.contract import ChatModel, SpeechToText, TextToSpeech
from ringback.voice.dialogue import Dialogue
from ringback.voice.latency import LatencyLog
from ringback.voice.listener import Listener, Transcript
from ringback.voice.settings import VoiceSettings
from ringback.voice.speaker import Sentences, Speaker, sentences_of
from ringback.voice.spoken import Heard
from ringback.voice.turns import (
    CloseRequested,
    Effect,
    Frame,
    KeyPressed,
    Phase,
    ReplyEnded,
    ReplyStarted,
    Turn,
    TurnEvent,
    person_away,
    step,
)

SAMPLE_RATE = 8000
"""Hz, of the session's port: the telephone's own."""
MAX_SAID_CHARACTERS = 10_000
MAX_WAITING_SAYS = 16
"""Texts to say that may come before the call is active."""

NOT_UNDERSTOOD = "Sorry, I could not hear you. Please say that again."

log = structlog.stdlib.get_logger(__name__)


class Gate(Protocol):
    def is_speech(self, frame: bytes) -> bool:
        """Whether 20 ms of PCM s16le at ``SAMPLE_RATE`` are speech."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a session is made of. ``stt`` and ``gate`` are ``None`` for a mouth only, ``model``
    for one that never answers by itself."""

    tts: TextToSpeech
    stt: SpeechToText | None = None
    model: ChatModel | None = None
    gate: Gate | None = None
    greeting: str = ""


class HostedSession:
    """The :class:`ringback.media.port.VoiceSession` and ``AgentEar`` of one call."""

    def __init__(
        self, session_id: str, host: VoiceHost, settings: VoiceSettings, parts: Parts
    ) -> None:
        self._host = host
        self._settings = settings
        self._parts = parts
        self._log = log.bind(session_id=session_id)
        self._turn = Turn()
        self._port: AgentPort | None = None
        self._speaker: Speaker | None = None
        self._listener: Listener | None = None
        self._dialogue: Dialogue | None = None
        self._waiting: list[str] = []
        self._closed = False
        self._unanswered = False
        self.latency = LatencyLog()

    @property
    def phase(self) -> Phase:
        return self._turn.phase

    # ---- VoiceSession -----------------------------------------------------------------------

    def start(self) -> None:
        """Attach to the bridge, greet, listen. A second call changes nothing."""
        if self._port is not None or self._closed:
            return
        self._port = self._host.attach(self, SAMPLE_RATE)
        deadlines = self._settings.deadlines
        self._speaker = Speaker(
            self._port,
            self._parts.tts,
            deadline=deadlines.audio,
            now=lambda: self._host.elapsed_ms,
            on_first_audio=lambda: self.latency.first_audio(self._host.elapsed_ms),
            on_idle=self._nothing_to_say,
        )
        hints: Sequence[str] = ()
        if self._parts.model is not None:
            hints = self._parts.model.hints
            self._dialogue = Dialogue(
                self._parts.model,
                self,
                deadline=deadlines.token,
                on_first_token=lambda: self.latency.first_token(self._host.elapsed_ms),
            )
        if self._parts.stt is not None:
            self._listener = Listener(
                self._parts.stt,
                sample_rate=SAMPLE_RATE,
                language=self._settings.language,
                hints=hints,
                deadline=deadlines.transcript,
                on_transcript=self._transcribed,
                on_failure=self._not_understood,
            )
            self._listener.prepare()
        for text in [self._parts.greeting, *self._waiting]:
            self._speak_text(text)
        self._waiting.clear()

    def say(self, text: str) -> None:
        """Speak after what is being said already. Over-long text is cut, and that is logged."""
        if len(text) > MAX_SAID_CHARACTERS:
            self._log.warning("voice_say_cut", characters=len(text), most=MAX_SAID_CHARACTERS)
            text = text[:MAX_SAID_CHARACTERS]
        if self._speaker is not None:
            self._speak_text(text)
        elif not self._closed and len(self._waiting) < MAX_WAITING_SAYS:
            self._waiting.append(text)
        else:
            self._log.warning("voice_say_refused")

    def stop_speaking(self) -> None:
        if self._speaker is not None:
            self._stop_playout()
            self._nothing_to_say()

    async def close(self) -> None:
        """Leave the bridge and wait until no task of this session is left. Twice is once."""
        self._closed = True
        self._turn = Turn(phase=Phase.ENDED)
        if self._speaker is not None:
            self._report(self._speaker.stop())
            await self._speaker.close()
        if self._listener is not None:
            await self._listener.close()
        if self._port is not None:
            self._port.detach()

    # ---- AgentEar: called from the media tick --------------------------------------------------

    def on_audio(self, frame: bytes) -> None:
        speaker = self._speaker
        if speaker is None or self._turn.phase is Phase.ENDED:
            return
        now = self._host.elapsed_ms
        self._report(speaker.tick(now))
        if speaker.playing:
            self.latency.first_played(now)
        voiced = False
        if self._listener is not None and self._parts.gate is not None:
            voiced = self._parts.gate.is_speech(frame)
            self._listener.frame(frame)
        if self._host.person_away:
            self._turn = person_away(self._turn, now)
        self._advance(Frame(now, voiced, speaker.audible))

    def on_dtmf(self, digit: str, duration_ms: int) -> None:
        if self._dialogue is None or self._turn.phase is Phase.ENDED:
            return
        self._advance(KeyPressed(self._host.elapsed_ms))
        self._dialogue.caller_pressed(digit)
        self._unanswered = True
        self._answer()

    def on_mark(self, name: str) -> None:
        """This session sets no marks: it counts what was played."""

    def on_detached(self) -> None:
        self._turn = Turn(phase=Phase.ENDED)
        if self._speaker is not None:
            self._speaker.abandon()

    # ---- CallActions: what the model may do -----------------------------------------------------

    def hang_up(self) -> None:
        self._advance(CloseRequested(self._host.elapsed_ms))

    def send_dtmf(self, digits: str) -> None:
        self._host.send_dtmf(digits)

    # ---- inside -------------------------------------------------------------------------------

    def _advance(self, event: TurnEvent) -> None:
        self._turn, effects = step(self._turn, event, self._settings.turns)
        for effect in effects:
            self._perform(effect, event.now)

    def _perform(self, effect: Effect, now: int) -> None:
        match effect:
            case Effect.START_UTTERANCE:
                self._notify("speech_started", now, speaker="caller")
                if self._listener is not None:
                    self._listener.start_utterance()
            case Effect.END_UTTERANCE:
                self._end_utterance(now)
            case Effect.STOP_PLAYOUT:
                self._stop_playout()
            case Effect.CANCEL_REPLY:
                self._cancel_reply()
            case Effect.AGENT_STARTED:
                self._notify("agent_speaking", now, speaking=True)
            case Effect.AGENT_STOPPED:
                self._notify("agent_speaking", now, speaking=False)
            case Effect.HANG_UP_SILENCE:
                self._host.hang_up(EndReason.SILENCE)
            case Effect.HANG_UP_MAX_DURATION:
                self._host.hang_up(EndReason.MAX_DURATION)
            case Effect.HANG_UP_AGENT:
                self._host.hang_up(EndReason.AGENT_HANGUP)

    def _end_utterance(self, now: int) -> None:
        start, end = self._turn.utterance_since, self._turn.last_voice
        self._notify("speech_stopped", now, speaker="caller")
        self.latency.turn_ended(end, now)
        if self._listener is not None:
            self._listener.end_utterance(start, end)

    def _transcribed(self, transcript: Transcript) -> None:
        self.latency.transcribed(self._host.elapsed_ms)
        if transcript.text:
            self._host.transcript("caller", transcript.text, transcript.start_ms, transcript.end_ms)
            if self._dialogue is not None:
                self._dialogue.caller_said(transcript.text)
                self._unanswered = True
        self._answer()

    def _not_understood(self) -> None:
        if not self._unanswered and self._turn.phase is Phase.THINKING:
            self._speak_text(NOT_UNDERSTOOD)
        else:
            self._answer()

    def _answer(self) -> None:
        """Reply, unless the caller speaks again or another transcript is still to come."""
        if self._turn.phase in (Phase.USER_SPEAKING, Phase.ENDPOINTING, Phase.CLOSING):
            return
        if self._listener is not None and self._listener.pending:
            return
        if self._unanswered and self._dialogue is not None:
            self._unanswered = False
            self._speak(self._dialogue.reply())
        else:
            self.latency.abandoned()
            self._nothing_to_say()

    def _speak_text(self, text: str) -> None:
        if text.strip():
            self._speak(sentences_of(text))

    def _speak(self, sentences: Sentences) -> None:
        if self._speaker is None or self._closed or self._turn.phase is Phase.ENDED:
            return
        if self._speaker.speak(sentences):
            self._advance(ReplyStarted(self._host.elapsed_ms))
        else:
            self._log.warning("voice_say_refused", refused=self._speaker.refused)

    def _nothing_to_say(self) -> None:
        """Tell the turn machine when nothing more is on its way to the caller's ear."""
        waiting = self._listener is not None and self._listener.pending
        if self._speaker is not None and not self._speaker.busy and not waiting:
            self._advance(ReplyEnded(self._host.elapsed_ms))

    def _cancel_reply(self) -> None:
        """The caller goes on. A question nothing was heard about yet stays to be answered."""
        self.latency.abandoned()
        if self._speaker is not None:
            self._speaker.abandon()
        if self._dialogue is not None and self._dialogue.awaits_reply:
            self._unanswered = True

    def _stop_playout(self) -> None:
        if self._speaker is not None:
            self._report(self._speaker.stop())

    def _report(self, heard: Sequence[Heard]) -> None:
        """Put what the caller heard of the agent into the transcript and the context."""
        for sentence in heard:
            self._host.transcript("agent", sentence.text, sentence.start_ms, sentence.end_ms)
            if self._dialogue is not None:
                self._dialogue.agent_said(sentence.text)

    def _notify(self, kind: str, now: int, **fields: object) -> None:
        self._host.notify({"type": kind, "at_ms": now, **fields})
