"""The management commands: what they ask the API for, and what they print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ringback.cli import console, resources

LONG_ID = "trunk_01m7yra6ev509mercgz3zca93n"
REASON = "no SIP server found for example.com: " + "it is a long story; " * 10


class FakeApi:
    """Remembers what was posted and answers every list with ``page``."""

    page: Mapping[str, Any] = {"items": [], "next_cursor": None}
    posted: list[tuple[str, Mapping[str, Any]]] = []

    def __init__(self, url: str | None, key: str | None) -> None: ...

    def get(self, path: str, **params: str) -> Any:
        return self.page

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        self.posted.append((path, body))
        return {"id": "agent_1"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> type[FakeApi]:
    monkeypatch.setattr(FakeApi, "posted", [])
    monkeypatch.setattr(resources, "ApiClient", FakeApi)
    return FakeApi


def test_a_list_without_pages_is_shown(api: type[FakeApi], monkeypatch: pytest.MonkeyPatch) -> None:
    preset = {"id": "zadarma", "name": "Zadarma", "host": "sip.zadarma.com", "notes": ""}
    monkeypatch.setattr(api, "page", {"items": [preset]})
    result = CliRunner().invoke(resources.trunks, ["presets"])
    assert result.exception is None
    assert "sip.zadarma.com" in result.output


def test_the_prompt_is_the_agents_and_not_the_endpoints(api: type[FakeApi]) -> None:
    wanted = ["add", "Support", "--mode", "hosted", "--brain", "openai", "--model", "llama3.2"]
    result = CliRunner().invoke(resources.agents, [*wanted, "--prompt", "You answer the phone."])
    assert result.exception is None, result.output
    assert api.posted == [
        (
            "/api/agents",
            {
                "name": "Support",
                "mode": "hosted",
                "brain": "openai",
                "prompt": "You answer the phone.",
                "openai": {"model": "llama3.2"},
            },
        )
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_an_id_is_never_broken_and_a_piped_row_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    monkeypatch.setattr(console, "out", Console(width=80, force_terminal=terminal))
    console.table(["id", "status", "reason"], [[LONG_ID, "unregistered", REASON]])
    lines = capsys.readouterr().out.splitlines()
    assert LONG_ID in lines[1]
    assert (REASON.strip() in lines[1]) is not terminal


def test_a_trunks_media_policy_is_asked_for_and_its_warnings_are_shown(
    api: type[FakeApi], monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(self: FakeApi, path: str, body: Mapping[str, Any]) -> Any:
        self.posted.append((path, body))
        return {"id": LONG_ID, "warnings": ["SRTP keys travel in clear."]}

    monkeypatch.setattr(api, "post", post)
    flags = ["--codec", "opus", "--codec", "PCMA", "--media-encryption", "required"]
    result = CliRunner().invoke(resources.trunks, ["add", "pbx", *flags, "--dtmf-mode", "info"])
    assert result.exception is None, result.output
    ((_, body),) = api.posted
    assert body["codecs"] == ["opus", "PCMA"]
    assert (body["media_encryption"], body["dtmf_mode"]) == ("required", "info")
    assert "SRTP keys travel in clear." in result.output
