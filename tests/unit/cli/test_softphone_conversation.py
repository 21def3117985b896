"""The script of the softphone takes its turn when the other side has finished."""

from __future__ import annotations

import pytest

from ringback.cli.softphone.conversation import FRAME_MS, Conversation, Cue, Patience
from ringback.cli.softphone.line import Account, OneLine, parse_target
from ringback.core.errors import InvalidRequest

PATIENCE = Patience(pause=100, reply=400, farewell=600)


def hear(conversation: Conversation, loud: bool, ms: int, speaking: bool = False) -> list[Cue]:
    cues = [conversation.hear(loud, speaking) for _ in range(ms // FRAME_MS)]
    return [cue for cue in cues if cue is not Cue.WAIT]


def test_it_speaks_in_the_pause_behind_the_greeting_and_leaves_behind_the_answer() -> None:
    talk = Conversation(1, PATIENCE)
    assert hear(talk, True, 1000) == []
    assert hear(talk, False, 80) == []
    assert hear(talk, False, 20) == [Cue.SPEAK]
    assert hear(talk, False, 500, speaking=True) == []
    assert hear(talk, True, 300) == []
    assert hear(talk, False, 100) == [Cue.LEAVE]


def test_a_short_pause_inside_of_speech_is_nobodys_turn() -> None:
    talk = Conversation(1, PATIENCE)
    for _ in range(5):
        assert hear(talk, True, 200) == []
        assert hear(talk, False, 80) == []


def test_a_side_that_never_speaks_is_spoken_to_and_then_left() -> None:
    talk = Conversation(1, PATIENCE)
    assert hear(talk, False, 400) == [Cue.SPEAK]
    hear(talk, False, 100, speaking=True)
    assert hear(talk, False, 600) == [Cue.LEAVE]


def test_what_is_heard_while_speaking_does_not_count_as_an_answer() -> None:
    talk = Conversation(2, PATIENCE)
    hear(talk, False, 400)
    assert hear(talk, True, 1000, speaking=True) == []
    assert hear(talk, False, 380) == []
    assert hear(talk, False, 20) == [Cue.SPEAK]


@pytest.mark.parametrize(
    ("target", "registrar", "uri"),
    [
        ("sip:demo@127.0.0.1:5070", None, "sip:demo@127.0.0.1:5070"),
        ("demo@host.test", None, "sip:demo@host.test"),
        ("+33612345678", "sip.example.com", "sip:+33612345678@sip.example.com"),
        ("sips:a@[2001:db8::1]", None, "sips:a@[2001:db8::1]"),
    ],
)
def test_a_target_is_an_address_or_a_number_at_the_registrar(
    target: str, registrar: str | None, uri: str
) -> None:
    assert str(parse_target(target, Account(registrar=registrar))) == uri


@pytest.mark.parametrize("target", ["+33612345678", "sip:host.only", "sip:a@@b", ""])
def test_what_cannot_be_called_is_told(target: str) -> None:
    with pytest.raises(InvalidRequest) as told:
        parse_target(target, Account())
    assert told.value.message


def test_a_line_registers_only_with_a_registrar() -> None:
    uri = parse_target("sip:a@host.test:5070", Account())
    assert not OneLine(Account(), uri).trunk.registers
    assert OneLine(Account(), uri).trunk.port == 5070
    account = Account("1001", "secret", "pbx.test:5080", "tcp")
    trunk = OneLine(account, parse_target("+1555", account)).trunk
    assert (trunk.registers, trunk.host, trunk.port, trunk.transport) == (
        True,
        "pbx.test",
        5080,
        "tcp",
    )
    assert "secret" not in repr(trunk)
