from __future__ import annotations

from ringback.voice.latency import MAX_TURNS, LatencyLog


def test_each_stage_is_the_time_since_the_one_before() -> None:
    log = LatencyLog()
    log.turn_ended(1000, 1600)
    log.transcribed(1700)
    log.first_token(1900)
    log.first_token(1950)
    log.first_audio(2000)
    log.first_audio(2500)
    log.first_played(2020)
    log.first_played(9000)
    assert log.turns[0].stages == {
        "endpointing": 600,
        "transcription": 100,
        "first_token": 200,
        "first_audio": 100,
        "playout": 20,
    }


def test_a_turn_that_came_to_nothing_keeps_the_stages_it_reached() -> None:
    log = LatencyLog()
    log.turn_ended(1000, 1600)
    log.transcribed(1700)
    log.abandoned()
    log.first_token(5000)
    assert log.turns[0].stages == {"endpointing": 600, "transcription": 100}


def test_what_plays_before_the_reply_has_sound_is_not_the_reply() -> None:
    log = LatencyLog()
    log.turn_ended(0, 600)
    log.first_played(700)
    assert log.turns[0].first_played is None


def test_only_so_many_turns_are_kept() -> None:
    log = LatencyLog()
    for number in range(MAX_TURNS + 10):
        log.turn_ended(number, number)
    assert len(log.turns) == MAX_TURNS
    assert log.turns[0].turn_ended == 10
