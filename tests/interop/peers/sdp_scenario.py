"""A sipp scenario written from a list of offers: what sipp sends, and what each answer must say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Round:
    """One offer (its lines from ``m=`` on) with its final status, and extended regular expressions
    of which the response holds ``has`` and does not hold ``lacks``."""

    offer: Sequence[str]
    status: int = 200
    has: Sequence[str] = ()
    lacks: Sequence[str] = ()
    address: str = "IN IP4 [media_ip]"


def write(path: Path, rounds: Sequence[Round]) -> Path:
    """The first round is the INVITE, the others re-INVITEs; a call that stands ends with BYE."""
    steps, used = "", 0
    for number, each in enumerate(rounds, 1):
        steps += _send("INVITE", number, number > 1, each)
        for optional in ("100",) if number > 1 else ("100", "180", "183"):
            steps += f'  <recv response="{optional}" optional="true"/>\n'
        actions, names = _checks(each, used)
        used += len(names)
        rrs = ' rrs="true"' if number == 1 else ""
        steps += (
            f'  <recv response="{each.status}"{rrs}>\n    <action>{actions}</action>\n  </recv>\n'
        )
        if names:
            steps += f'  <Reference variables="{",".join(names)}"/>\n'
        steps += _send("ACK", number, True, None)
        steps += '  <pause milliseconds="200"/>\n'
    if rounds[0].status == 200:
        steps += _send("BYE", len(rounds) + 1, True, None) + '  <recv response="200"/>\n'
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="offers">\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{head}{steps}</scenario>\n")
    return path


def _checks(each: Round, used: int) -> tuple[str, list[str]]:
    actions = ""
    names: list[str] = []
    for patterns, inverse in ((each.has, "false"), (each.lacks, "true")):
        for pattern in patterns:
            names.append(f"c{used + len(names)}")
            actions += (
                f'<ereg regexp="{escape(pattern)}" search_in="msg" '
                f'check_it{"_inverse" if inverse == "true" else ""}="true" '
                f'assign_to="{names[-1]}"/>'
            )
    return actions, names


def _send(method: str, cseq: int, in_dialog: bool, each: Round | None) -> str:
    to = "[last_To:]" if in_dialog else "To: <sip:[user]@[remote_ip]:[remote_port]>"
    offer = [] if each is None else list(each.offer)
    body = ""
    if each is not None:
        head = ["v=0", f"o=flow 1 {cseq} {each.address}", "s=-", f"c={each.address}", "t=0 0"]
        body = "\n".join([*head, *offer]) + "\n"
    lines = [
        f"{method} sip:[user]@[remote_ip]:[remote_port] SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        "Max-Forwards: 70",
        "From: <sip:+4930123456@[local_ip]:[local_port]>;tag=[pid]s[call_number]",
        to,
        "Call-ID: [call_id]",
        f"CSeq: {cseq} {method}",
        "Contact: <sip:flow@[local_ip]:[local_port];transport=[transport]>",
    ]
    if each is not None:
        lines.append("Content-Type: application/sdp")
    lines += ["Content-Length: [len]", "", body]
    retrans = ' retrans="500"' if method != "ACK" else ""
    return f"  <send{retrans}><![CDATA[\n" + "\n".join(lines) + "\n]]></send>\n"
