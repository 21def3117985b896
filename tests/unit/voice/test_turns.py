from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.voice.turns import (
    TRANSITIONS,
    CloseRequested,
    Effect,
    Frame,
    KeyPressed,
    Phase,
    ReplyEnded,
    ReplyStarted,
    Signal,
    Turn,
    TurnConfig,
    TurnEvent,
    step,
)

CONFIG = TurnConfig()


class Machine:
    """Feeds frames of 20 ms and keeps what came out."""

    def __init__(self, config: TurnConfig = CONFIG) -> None:
        self.config = config
        self.turn = Turn()
        self.now = 0
        self.effects: list[Effect] = []

    def send(self, event: TurnEvent) -> None:
        self.turn, effects = step(self.turn, event, self.config)
        self.effects += effects

    def frames(self, milliseconds: int, *, voiced: bool = False, audible: bool = False) -> None:
        for _ in range(milliseconds // 20):
            self.now += 20
            self.send(Frame(self.now, voiced, audible))

    def agent_speaks(self, milliseconds: int) -> None:
        self.send(ReplyStarted(self.now))
        self.frames(milliseconds, audible=True)

    def is_in(self, phase: Phase) -> bool:
        return self.turn.phase is phase

    def taken(self) -> list[Effect]:
        effects, self.effects = self.effects, []
        return effects


def test_a_click_shorter_than_the_minimum_is_no_turn() -> None:
    machine = Machine()
    machine.frames(CONFIG.min_speech - 20, voiced=True)
    machine.frames(2000)
    assert machine.is_in(Phase.LISTENING)
    assert machine.taken() == []


def test_clicks_far_apart_do_not_add_up_to_a_turn() -> None:
    machine = Machine()
    for _ in range(10):
        machine.frames(60, voiced=True)
        machine.frames(200)
    assert machine.taken() == []


def test_syllables_close_together_add_up_to_a_turn() -> None:
    machine = Machine()
    for _ in range(3):
        machine.frames(40, voiced=True)
        machine.frames(60)
    assert machine.taken() == [Effect.START_UTTERANCE]


def test_a_turn_starts_where_its_first_voiced_frame_started() -> None:
    machine = Machine()
    machine.frames(1000)
    machine.frames(CONFIG.min_speech, voiced=True)
    assert machine.taken() == [Effect.START_UTTERANCE]
    assert machine.turn.utterance_since == 1000


def test_a_turn_is_over_after_the_endpointing_silence_and_not_a_frame_before() -> None:
    machine = Machine()
    machine.frames(500, voiced=True)
    machine.taken()
    machine.frames(CONFIG.endpointing - 20)
    assert machine.is_in(Phase.ENDPOINTING)
    assert machine.taken() == []
    machine.frames(20)
    assert machine.is_in(Phase.THINKING)
    assert machine.taken() == [Effect.END_UTTERANCE]
    assert machine.turn.last_voice == 500


def test_a_pause_shorter_than_endpointing_keeps_the_turn() -> None:
    machine = Machine()
    for _ in range(3):
        machine.frames(400, voiced=True)
        machine.frames(400)
    assert machine.taken() == [Effect.START_UTTERANCE]


def test_a_caller_who_never_stops_gets_an_answer_all_the_same() -> None:
    machine = Machine()
    machine.frames(CONFIG.max_utterance, voiced=True)
    assert machine.taken() == [Effect.START_UTTERANCE, Effect.END_UTTERANCE]


def test_barge_in_stops_the_agent_with_the_frame_that_makes_it_long_enough() -> None:
    machine = Machine()
    machine.agent_speaks(1000)
    machine.taken()
    machine.frames(180, voiced=True, audible=True)
    assert machine.is_in(Phase.MAYBE_INTERRUPTED)
    assert machine.taken() == []
    machine.frames(20, voiced=True, audible=True)
    assert machine.is_in(Phase.USER_SPEAKING)
    assert machine.taken() == [
        Effect.STOP_PLAYOUT,
        Effect.CANCEL_REPLY,
        Effect.AGENT_STOPPED,
        Effect.START_UTTERANCE,
    ]
    assert machine.turn.utterance_since == 1000
    assert not machine.turn.replying


def test_a_cough_does_not_stop_the_agent() -> None:
    machine = Machine()
    machine.agent_speaks(1000)
    machine.taken()
    machine.frames(140, voiced=True, audible=True)
    machine.frames(500, audible=True)
    assert machine.is_in(Phase.SPEAKING)
    assert machine.taken() == []


def test_without_barge_in_the_agent_speaks_on() -> None:
    machine = Machine(TurnConfig(barge_in=None))
    machine.agent_speaks(1000)
    machine.taken()
    machine.frames(3000, voiced=True, audible=True)
    assert machine.taken() == []
    machine.send(ReplyEnded(machine.now))
    machine.frames(40, voiced=True)
    assert machine.taken() == [Effect.AGENT_STOPPED, Effect.START_UTTERANCE]


def test_a_gap_between_two_sentences_is_not_the_end_of_the_reply() -> None:
    machine = Machine()
    machine.agent_speaks(500)
    machine.frames(300)
    machine.frames(500, audible=True)
    assert machine.is_in(Phase.SPEAKING)
    machine.send(ReplyEnded(machine.now))
    machine.frames(20)
    assert machine.is_in(Phase.LISTENING)
    assert machine.taken() == [Effect.AGENT_STARTED, Effect.AGENT_STOPPED]


def test_a_caller_who_goes_on_while_the_reply_is_made_takes_the_floor_back() -> None:
    machine = Machine()
    machine.frames(500, voiced=True)
    machine.frames(600)
    machine.send(ReplyStarted(machine.now))
    machine.taken()
    machine.frames(CONFIG.min_speech, voiced=True)
    assert machine.taken() == [Effect.CANCEL_REPLY, Effect.START_UTTERANCE]


def test_nothing_to_say_ends_the_thinking() -> None:
    machine = Machine()
    machine.frames(500, voiced=True)
    machine.frames(600)
    machine.send(ReplyEnded(machine.now))
    assert machine.is_in(Phase.LISTENING)


def test_the_silence_timeout_counts_from_the_end_of_the_agents_words() -> None:
    machine = Machine(TurnConfig(silence_timeout=5000))
    machine.agent_speaks(8000)
    machine.send(ReplyEnded(machine.now))
    machine.frames(20)
    machine.taken()
    machine.frames(4980)
    assert machine.taken() == []
    machine.frames(20)
    assert machine.taken() == [Effect.HANG_UP_SILENCE]
    assert machine.is_in(Phase.ENDED)


def test_a_reply_in_the_making_holds_off_the_silence_timeout() -> None:
    machine = Machine(TurnConfig(silence_timeout=1000))
    machine.send(ReplyStarted(0))
    machine.frames(5000)
    assert machine.taken() == []


def test_a_key_holds_off_the_silence_timeout() -> None:
    machine = Machine(TurnConfig(silence_timeout=1000))
    machine.frames(900)
    machine.send(KeyPressed(machine.now))
    machine.send(ReplyEnded(machine.now))
    machine.frames(900)
    assert machine.taken() == []


@pytest.mark.parametrize("audible", [False, True])
@pytest.mark.parametrize("voiced", [False, True])
def test_the_longest_duration_ends_the_call_whoever_speaks(audible: bool, voiced: bool) -> None:
    machine = Machine(TurnConfig(max_duration=3000))
    machine.frames(3000, voiced=voiced, audible=audible)
    assert machine.taken()[-1] is Effect.HANG_UP_MAX_DURATION


def test_a_goodbye_is_heard_to_its_end_and_not_interrupted() -> None:
    machine = Machine()
    machine.agent_speaks(100)
    machine.send(CloseRequested(machine.now))
    machine.frames(1000, voiced=True, audible=True)
    machine.send(ReplyEnded(machine.now))
    machine.taken()
    machine.frames(20, voiced=True)
    assert machine.taken() == [Effect.HANG_UP_AGENT]


def test_a_goodbye_without_end_is_cut() -> None:
    machine = Machine()
    machine.send(CloseRequested(0))
    machine.agent_speaks(CONFIG.closing)
    assert machine.taken() == [Effect.HANG_UP_AGENT]


def test_a_key_interrupts_the_agent_at_once_even_without_barge_in() -> None:
    machine = Machine(TurnConfig(barge_in=None))
    machine.agent_speaks(500)
    machine.taken()
    machine.send(KeyPressed(machine.now))
    assert machine.is_in(Phase.THINKING)
    assert machine.taken() == [Effect.STOP_PLAYOUT, Effect.CANCEL_REPLY, Effect.AGENT_STOPPED]


def test_a_key_in_the_middle_of_a_turn_ends_the_turn() -> None:
    machine = Machine()
    machine.frames(500, voiced=True)
    machine.taken()
    machine.send(KeyPressed(machine.now))
    assert machine.taken() == [Effect.END_UTTERANCE]


def test_every_phase_can_be_reached_and_only_the_end_cannot_be_left() -> None:
    reached, before = {Phase.LISTENING}, set[Phase]()
    while reached != before:
        before = set(reached)
        reached |= {to for (source, _), (to, _) in TRANSITIONS.items() if source in before}
    assert reached == set(Phase)
    assert {source for source, _ in TRANSITIONS} == set(Phase) - {Phase.ENDED}


def test_every_signal_means_something_somewhere() -> None:
    assert {signal for _, signal in TRANSITIONS} == set(Signal)


KINDS = st.sampled_from(["quiet", "voice", "agent", "both", "start", "end", "key", "close"])
SCRIPTS = st.lists(st.tuples(KINDS, st.integers(1, 60)), max_size=60)


def _play(machine: Machine, script: list[tuple[str, int]]) -> None:
    for kind, count in script:
        if kind == "start":
            machine.send(ReplyStarted(machine.now))
        elif kind == "end":
            machine.send(ReplyEnded(machine.now))
        elif kind == "key":
            machine.send(KeyPressed(machine.now))
        elif kind == "close":
            machine.send(CloseRequested(machine.now))
        else:
            voiced, audible = kind in ("voice", "both"), kind in ("agent", "both")
            machine.frames(count * 20, voiced=voiced, audible=audible)


@given(SCRIPTS)
def test_turns_of_the_caller_start_and_end_in_strict_alternation(
    script: list[tuple[str, int]],
) -> None:
    machine = Machine()
    _play(machine, script)
    bounds = [e for e in machine.effects if e in (Effect.START_UTTERANCE, Effect.END_UTTERANCE)]
    assert bounds[::2] == [Effect.START_UTTERANCE] * len(bounds[::2])
    assert bounds[1::2] == [Effect.END_UTTERANCE] * len(bounds[1::2])


@given(SCRIPTS)
def test_the_agent_starts_and_stops_in_strict_alternation(script: list[tuple[str, int]]) -> None:
    machine = Machine()
    _play(machine, script)
    bounds = [e for e in machine.effects if e in (Effect.AGENT_STARTED, Effect.AGENT_STOPPED)]
    assert bounds[::2] == [Effect.AGENT_STARTED] * len(bounds[::2])
    assert bounds[1::2] == [Effect.AGENT_STOPPED] * len(bounds[1::2])


@given(SCRIPTS)
def test_a_call_is_hung_up_once_at_most_and_nothing_follows(
    script: list[tuple[str, int]],
) -> None:
    machine = Machine(TurnConfig(silence_timeout=2000, max_duration=20_000))
    _play(machine, script)
    ends = [i for i, effect in enumerate(machine.effects) if effect.name.startswith("HANG_UP")]
    assert len(ends) <= 1
    assert not ends or ends[0] == len(machine.effects) - 1
    assert machine.is_in(Phase.ENDED) == bool(ends)


@given(SCRIPTS)
def test_silence_for_long_enough_always_ends_a_call_that_has_a_timeout(
    script: list[tuple[str, int]],
) -> None:
    machine = Machine()
    _play(machine, script)
    machine.send(ReplyEnded(machine.now))
    machine.frames(700)
    machine.send(ReplyEnded(machine.now))
    machine.frames(60_100)
    assert machine.is_in(Phase.ENDED)
