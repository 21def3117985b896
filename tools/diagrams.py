"""Draw docs/states.md from the tables in the source: `python tools/diagrams.py [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from ringback.calls import gather, transfer
from ringback.calls import states as call
from ringback.media import protection
from ringback.sip import (
    offer_answer,
    refer_states,
    registration,
    reliable_provisionals,
    session_states,
    session_timer,
    transaction_states,
)
from ringback.voice import turns

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "states.md"
Edge = tuple[str, str, str]
_State = TypeVar("_State", bound=StrEnum)
_Input = TypeVar("_Input", bound=StrEnum)

MACHINES = (
    transaction_states.INVITE_CLIENT,
    transaction_states.NON_INVITE_CLIENT,
    transaction_states.INVITE_SERVER,
    transaction_states.NON_INVITE_SERVER,
)

HEADER = """\
# State machines

Drawn by `tools/diagrams.py` from the tables in the source; do not edit.
"""


def diagram(title: str, source: str, edges: Iterable[Edge]) -> str:
    """One mermaid diagram; edges between the same two states share an arrow."""
    labels: dict[tuple[str, str], list[str]] = {}
    for start, label, end in edges:
        labels.setdefault((start, end), []).append(label)
    arrows = [f"    {a} --> {b}: {', '.join(names)}" for (a, b), names in labels.items()]
    body = "\n".join(["```mermaid", "stateDiagram-v2", *arrows, "```"])
    return f"\n## {title}\n\nTable: `{source}`\n\n{body}\n"


def word(value: StrEnum) -> str:
    return value.value.replace(" ", "_").replace("-", "_")


def label(value: StrEnum) -> str:
    return value.value.replace("_", " ")


def named(table: Mapping[tuple[_State, _Input], _State]) -> list[Edge]:
    return [(word(a), label(e), word(b)) for (a, e), b in table.items()]


SIP_TABLES = (
    (
        "Reliable provisional responses of ours (RFC 3262)",
        "src/ringback/sip/reliable_provisionals.py",
        named(reliable_provisionals.TRANSITIONS),
    ),
    (
        "A session timer (RFC 4028)",
        "src/ringback/sip/session_timer.py",
        named(session_timer.TRANSITIONS),
    ),
    (
        "A transfer that we ask for (RFC 3515)",
        "src/ringback/sip/refer_states.py",
        named(refer_states.ASKER),
    ),
    (
        "A transfer that the far end asks for (RFC 3515)",
        "src/ringback/sip/refer_states.py",
        named(refer_states.FOLLOWER),
    ),
)


def page() -> str:
    parts = [HEADER]
    parts.append(
        diagram(
            "A call",
            "src/ringback/calls/states.py",
            ((word(a), label(e), word(b)) for (a, e), b in call.TRANSITIONS.items()),
        )
    )
    parts.append(
        diagram(
            "Who holds a call",
            "src/ringback/calls/states.py",
            (
                (word(a), f"{party.value} {'holds' if held else 'resumes'}", word(b))
                for (a, party, held), b in call.HOLDING.items()
            ),
        )
    )
    parts.append(
        diagram(
            "A transfer",
            "src/ringback/calls/transfer.py",
            (
                (word(a), label(b), word(b))
                for a in transfer.STEPS
                for b in sorted(transfer.STEPS[a])
            ),
        )
    )
    parts.append(
        diagram(
            "Gathering keys",
            "src/ringback/calls/gather.py",
            ((word(a), label(e), word(b)) for (a, e), b in gather.TRANSITIONS.items()),
        )
    )
    parts.append(
        diagram(
            "A SIP session",
            "src/ringback/sip/session_states.py",
            ((word(a), label(e), word(b)) for (a, e), b in session_states.TRANSITIONS.items()),
        )
    )
    parts += [diagram(title, source, edges) for title, source, edges in SIP_TABLES]
    parts.append(
        diagram(
            "The protection of a leg's media (RFC 4568, 5764)",
            "src/ringback/media/protection.py",
            named(protection.TRANSITIONS),
        )
    )
    parts.append(
        diagram(
            "Offer and answer (RFC 3264)",
            "src/ringback/sip/offer_answer.py",
            (
                (word(a), label(e), word(b) if b else "before_the_offer")
                for (a, e), b in offer_answer.TRANSITIONS.items()
            ),
        )
    )
    parts.append(
        diagram(
            "A registration (RFC 3261 10)",
            "src/ringback/sip/registration.py",
            ((word(a), label(e), word(b)) for (a, e), b in registration.TRANSITIONS.items()),
        )
    )
    for machine in MACHINES:
        parts.append(
            diagram(
                f"{machine.name} transaction (RFC 3261 17, RFC 6026)",
                "src/ringback/sip/transaction_states.py",
                ((word(a), label(e), word(s.state)) for (a, e), s in machine.steps.items()),
            )
        )
    parts.append(
        diagram(
            "Taking turns",
            "src/ringback/voice/turns.py",
            ((word(a), label(e), word(b)) for (a, e), (b, _) in turns.TRANSITIONS.items()),
        )
    )
    return "".join(parts)


def main(check: bool) -> int:
    text = page()
    if not check:
        TARGET.write_text(text)
        return 0
    if TARGET.exists() and TARGET.read_text() == text:
        return 0
    print("docs/states.md is not what the tables say: run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
