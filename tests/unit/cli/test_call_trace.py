"""``ringback call-trace``: the drawing, the messages, and the capture file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import pytest
import typer
from typer.testing import CliRunner

from ringback.cli import call_trace
from ringback.core.errors import InvalidRequest

DRAWING = "2026-03-13 10:00:00 UTC\n\n10:00:00.000  |<-- INVITE sip:a@b [sdp] --|\n"


class FakeApi:
    def __init__(self, url: str | None, key: str | None) -> None: ...

    def get(self, path: str) -> Any:
        assert path == "/api/call/call_1/sip"
        ends = {"from": "192.0.2.1:5060", "to": "192.0.2.2:5060", "transport": "udp"}
        return {"messages": [{"at": "10:00", **ends, "text": "BYE sip:[b] SIP/2.0\r\nX: [1]\r\n"}]}

    def download(self, path: str, accept: str = "*/*") -> bytes:
        if path.endswith(".pcap"):
            return b"capture"
        assert accept == "text/plain"
        return DRAWING.encode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...


def shown(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(call_trace, "ApiClient", FakeApi)
    app = typer.Typer()
    app.command()(call_trace.call_trace)
    result = CliRunner().invoke(app, ["call_1", *arguments])
    assert result.exception is None, result.output
    return result.output


def test_the_drawing_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch) == DRAWING


def test_whole_messages_are_shown_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    output = shown(monkeypatch, "--full")
    assert "192.0.2.1:5060 -> 192.0.2.2:5060 udp" in output
    assert "BYE sip:[b] SIP/2.0\nX: [1]\n" in output


def test_a_capture_file_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown(monkeypatch, "--pcap", str(tmp_path / "call.pcap"))
    assert (tmp_path / "call.pcap").read_bytes() == b"capture"


def test_a_capture_file_that_cannot_be_written_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(call_trace, "ApiClient", FakeApi)
    app = typer.Typer()
    app.command()(call_trace.call_trace)
    target = tmp_path / "missing" / "call.pcap"
    result = CliRunner().invoke(app, ["call_1", "--pcap", str(target)])
    assert isinstance(result.exception, InvalidRequest)
    assert str(target) in result.exception.message
    assert "--pcap" in result.exception.hint
