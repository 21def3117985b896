"""What `ringback call` says when a call is over."""

import pytest

from ringback.cli.softphone import command
from ringback.cli.softphone.phone import CallResult
from ringback.connectors.contract import Cause
from ringback.core.end_reason import EndReason
from ringback.media.plane import SessionReport


def told(capsys: pytest.CaptureFixture[str], cause: Cause) -> str:
    report = SessionReport("call")
    command._tell(CallResult(answered=False, cause=cause, report=report))
    return " ".join(capsys.readouterr().out.split())


def test_a_place_where_nobody_answers_sip_is_told_with_what_to_look_at(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = told(capsys, Cause(EndReason.NETWORK_ERROR, 503, text="Service Unavailable"))
    assert "network error (SIP 503 Service Unavailable)" in words
    assert command.UNREACHABLE in words


def test_somebody_who_is_busy_was_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.UNREACHABLE not in told(capsys, Cause(EndReason.BUSY, 486, text="Busy Here"))
