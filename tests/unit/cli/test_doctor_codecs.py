from __future__ import annotations

import asyncio

import pytest

from ringback.audio import opus_library
from ringback.cli.doctor import Finding, Level, codecs
from ringback.core.settings import load_settings


def findings() -> list[Finding]:
    async def collect() -> list[Finding]:
        return [finding async for finding in codecs(load_settings())]

    return asyncio.run(collect())


@pytest.mark.requirement("media.codecs")
def test_the_codecs_are_named_best_first() -> None:
    assert findings() == [Finding(Level.GOOD, "Codecs", "opus, G722, PCMA, PCMU")]


def test_a_missing_libopus_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opus_library, "load", lambda: None)
    missing, there = findings()
    assert (missing.level, missing.subject) == (Level.NOTE, "Codec opus")
    assert "libopus0" in missing.remedy
    assert there.text == "G722, PCMA, PCMU"
