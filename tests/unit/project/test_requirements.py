"""docs/requirements.toml is complete: every line is shown by tests that exist and say so."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import TypedDict

import pytest

ROOT = Path(__file__).resolve().parents[3]


class Requirement(TypedDict):
    id: str
    source: str
    text: str
    tests: list[str]


class Peer(TypedDict):
    name: str
    package: str
    tests: list[str]
    cannot: list[str]


class Manifest(TypedDict):
    requirement: list[Requirement]
    peer: list[Peer]


def manifest() -> Manifest:
    text = (ROOT / "docs" / "requirements.toml").read_text(encoding="utf-8")
    loaded: Manifest = tomllib.loads(text)  # type: ignore[assignment]  # its shape is checked below
    return loaded


def test_the_tests_of_the_manifest_are_those_that_carry_the_marks() -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "tools" / "requirements.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr


def test_no_requirement_is_listed_twice() -> None:
    counts = Counter(each["id"] for each in manifest()["requirement"])
    assert [i for i, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("requirement", manifest()["requirement"], ids=lambda each: each["id"])
def test_a_requirement_is_shown_by_a_test(requirement: Requirement) -> None:
    assert requirement["text"]
    assert requirement["source"]
    assert requirement["tests"], f"no test is marked with {requirement['id']!r}"


@pytest.mark.parametrize("peer", manifest()["peer"], ids=lambda each: each["name"])
def test_a_peer_has_tests_that_exist_and_a_package_that_is_installed(peer: Peer) -> None:
    assert peer["package"] in (ROOT / "tools" / "peers.sh").read_text(encoding="utf-8")
    assert peer["tests"]
    assert [each for each in peer["tests"] if not (ROOT / each).is_file()] == []
    assert all(peer["cannot"])
