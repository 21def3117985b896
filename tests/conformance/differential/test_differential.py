"""Our parser beside two others: each difference is known and explained, in ``divergences.toml``."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.differential.cases import all_cases
from conformance.differential.observing import FIELDS, PARSERS, REFUSED, ours

TABLE = Path(__file__).with_name("divergences.toml")
CASES = all_cases()


@dataclass(frozen=True)
class Entry:
    """One line of the table: a parser, an outcome, and one pattern of a case and a field."""

    parser: str
    outcome: str
    case: str
    field: str
    why: str

    def explains(self, divergence: Divergence) -> bool:
        return (
            fnmatchcase(divergence.parser, self.parser)
            and divergence.outcome == self.outcome
            and fnmatchcase(divergence.case, self.case)
            and fnmatchcase(divergence.field, self.field)
        )


@dataclass(frozen=True)
class Divergence:
    parser: str
    outcome: str
    case: str
    field: str
    ours: str
    theirs: str


def entries() -> list[Entry]:
    found = []
    for row in tomllib.loads(TABLE.read_text(encoding="utf-8"))["divergence"]:
        for pattern in row["cases"]:
            case, _, field = pattern.partition(": ")
            found.append(Entry(row["parser"], row["outcome"], case, field, row["why"]))
    return found


def divergences() -> list[Divergence]:
    found = []
    for case, data in CASES.items():
        mine = ours(data)
        for parser, observe in PARSERS.items():
            theirs = observe(data)
            for field in FIELDS:
                if mine[field] != theirs[field]:
                    outcome = _outcome(mine[field], theirs[field])
                    found.append(
                        Divergence(parser, outcome, case, field, mine[field], theirs[field])
                    )
    return found


def _outcome(mine: str, theirs: str) -> str:
    if mine == REFUSED:
        return "ours refuses"
    return "theirs refuses" if theirs == REFUSED else "differs"


@pytest.fixture(scope="module")
def found() -> list[Divergence]:
    return divergences()


@pytest.mark.requirement("bad.differential")
def test_every_divergence_is_explained(found: list[Divergence]) -> None:
    table = entries()
    unexplained = [d for d in found if not any(entry.explains(d) for entry in table)]
    assert unexplained == []


def test_every_explanation_explains_something(found: list[Divergence]) -> None:
    stale = [entry for entry in entries() if not any(entry.explains(d) for d in found)]
    assert stale == []
    assert all(entry.why.endswith(".") for entry in entries())


def test_messages_that_all_can_read_are_compared(found: list[Divergence]) -> None:
    """The table is no excuse for everything: most observations agree."""
    outcomes = Counter((d.parser, d.outcome) for d in found)
    assert len(CASES) > 130
    observations = len(CASES) * len(FIELDS)
    assert outcomes["aiosipua", "differs"] < observations * 0.02
    assert outcomes["sipmessage", "differs"] < observations * 0.04


# ---- messages without anything odd ------------------------------------------------------------

WORDS = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789", min_size=1, max_size=10)
HOSTS = st.sampled_from(["example.com", "sip.example.net", "192.0.2.7", "[2001:db8::7]"])
PORTS = st.sampled_from(["", ":5060", ":65535"])
NAMES = st.sampled_from(["", "Bob ", '"Bob Smith" ', '"Smith, Bob" ', '"a;b=c" '])


@st.composite
def addresses(draw: st.DrawFn, *, tag: bool) -> str:
    scheme = draw(st.sampled_from(["sip", "sips"]))
    uri = f"{scheme}:{draw(WORDS)}@{draw(HOSTS)}{draw(PORTS)}"
    params = draw(st.sampled_from(["", ";transport=tcp", ";user=phone;lr"]))
    text = f"{draw(NAMES)}<{uri}{params}>"
    return f"{text};tag={draw(WORDS)}" if tag else text


@st.composite
def plain_messages(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from(["INVITE", "ACK", "BYE", "REGISTER", "OPTIONS", "UPDATE"]))
    status = draw(st.sampled_from(["100 Trying", "200 OK", "486 Busy Here", "603 Decline"]))
    request = f"{method} sip:{draw(WORDS)}@{draw(HOSTS)}{draw(PORTS)} SIP/2.0"
    start = request if draw(st.booleans()) else f"SIP/2.0 {status}"
    body = draw(st.binary(max_size=40))
    transports = st.sampled_from(["UDP", "TCP", "TLS"])
    vias = st.builds(
        lambda transport, host, port, branch: (
            f"Via: SIP/2.0/{transport} {host}{port};branch=z9hG4bK{branch};rport"
        ),
        transports,
        HOSTS,
        PORTS,
        WORDS,
    )
    routes = [f"<sip:{host};lr>" for host in draw(st.lists(HOSTS, max_size=3))]
    fields = [
        *draw(st.lists(vias, min_size=1, max_size=3)),
        f"Max-Forwards: {draw(st.integers(0, 255))}",
        f"From: {draw(addresses(tag=True))}",
        f"To: {draw(addresses(tag=draw(st.booleans())))}",
        f"Call-ID: {draw(WORDS)}@{draw(WORDS)}",
        f"CSeq: {draw(st.integers(0, 2**31 - 1))} {method}",
        *([f"Route: {', '.join(routes)}"] if routes else []),
        f"Contact: {draw(addresses(tag=False))}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([start, *fields, "", ""]).encode() + body


@pytest.mark.requirement("bad.differential")
@settings(max_examples=300, deadline=None)
@given(plain_messages())
def test_a_message_without_anything_odd_is_read_alike_by_all(data: bytes) -> None:
    mine = ours(data)
    assert REFUSED not in mine.values()
    for observe in PARSERS.values():
        assert observe(data) == mine
