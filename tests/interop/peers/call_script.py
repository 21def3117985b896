"""A sipp scenario written step by step: what sipp sends, and what it must be sent.

``CallScript.caller`` plays the calling, ``CallScript.callee`` the called end. Messages that are not
expected, and expected ones that do not match, fail the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Self

ME = "sip:+4930123456@[local_ip]:[local_port]"
AUDIO = ("m=audio [media_port] RTP/AVP 8", "a=rtpmap:8 PCMA/8000")


class CallScript:
    def __init__(self, name: str, *, calls: bool) -> None:
        self._name = name
        self._calls = calls
        self._steps: list[str] = []
        self._variables: list[str] = []
        self._cseq = 0
        self._invite_cseq = 0

    @classmethod
    def caller(cls, name: str) -> Self:
        return cls(name, calls=True)

    @classmethod
    def callee(cls, name: str) -> Self:
        return cls(name, calls=False)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self._name}.xml"
        names = dict.fromkeys(self._variables)
        reference = f'  <Reference variables="{",".join(names)}"/>\n' if names else ""
        path.write_text(
            f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{self._name}">\n'
            f"{''.join(self._steps)}{reference}</scenario>\n"
        )
        return path

    # ---- sending ----------------------------------------------------------------------------

    def invite(self, *headers: str, sdp: Sequence[str] | None = AUDIO) -> Self:
        """The first, or another within the call."""
        return self.request("INVITE", *headers, sdp=sdp)

    def request(
        self,
        method: str,
        *headers: str,
        sdp: Sequence[str] | None = None,
        body: str = "",
        content_type: str = "",
    ) -> Self:
        self._cseq += 1
        if method == "INVITE":
            self._invite_cseq = self._cseq
        return self._request(method, self._cseq, headers, *_payload(sdp, body, content_type))

    def ack(self) -> Self:
        return self._request("ACK", self._invite_cseq, (), [], "")

    def respond(
        self,
        status: int,
        *headers: str,
        sdp: Sequence[str] | None = None,
        to_invite: bool = False,
    ) -> Self:
        """Answer the last request; ``to_invite``: the INVITE, whatever came since."""
        extra, body = _payload(sdp, "", "")
        if to_invite:
            route = ["Via:[$invite_via]", "CSeq:[$invite_cseq]", *self._parties(response=True)]
        else:
            route = ["[last_Via:]", "[last_CSeq:]", "[last_From:]", "[last_To:]"]
        lines = [
            f"SIP/2.0 {status} So",
            *route,
            "[last_Call-ID:]",
            "Contact: <sip:flow@[local_ip]:[local_port];transport=[transport]>",
            *headers,
            *extra,
        ]
        return self._send(lines, body, retrans=False)

    def pause(self, milliseconds: int) -> Self:
        self._steps.append(f'  <pause milliseconds="{milliseconds}"/>\n')
        return self

    # ---- expecting --------------------------------------------------------------------------

    def expect(
        self, status: int, *has: str, optional: bool = False, keep: Sequence[str] = ()
    ) -> Self:
        """A response with what these regular expressions match. ``keep``: header fields whose
        value later messages may contain as ``[$name]``."""
        checks = _checks(has, len(self._variables))
        self._variables += [name for name, _ in checks]
        actions = [action for _, action in checks]
        if self._calls and status > 100:
            actions.append(self._kept("us", "To:"))
        actions += [self._kept(name.lower(), f"{name}:") for name in keep]
        flag = ' optional="true"' if optional else ""
        return self._recv(f'response="{status}" rrs="true" timeout="30000"{flag}', actions)

    def expect_request(self, method: str, *has: str, timeout: int = 30000) -> Self:
        checks = _checks(has, len(self._variables))
        self._variables += [name for name, _ in checks]
        actions = [action for _, action in checks]
        rrs = ""
        if method == "INVITE":
            actions += [self._kept("invite_via", "Via:"), self._kept("invite_cseq", "CSeq:")]
            rrs = ' rrs="true"'
            if not self._calls:
                actions += [self._kept("us", "From:"), self._kept("me", "To:")]
        return self._recv(f'request="{method}" timeout="{timeout}"{rrs}', actions)

    def answered(self, *headers: str) -> Self:
        """The caller's side of a call that is answered, from the INVITE to the ACK."""
        return (
            self.invite(*headers)
            .expect(100, optional=True)
            .expect(180, optional=True)
            .expect(183, optional=True)
            .expect(200)
            .ack()
        )

    def answers(self, *headers: str) -> Self:
        """The callee's side of a call that is answered at once."""
        return (
            self.expect_request("INVITE")
            .respond(200, *headers, sdp=AUDIO, to_invite=True)
            .expect_request("ACK")
        )

    def hangs_up(self) -> Self:
        return self.request("BYE").expect(200)

    def is_hung_up_on(self) -> Self:
        return self.expect_request("BYE").respond(200)

    # ---- writing ----------------------------------------------------------------------------

    def _parties(self, *, response: bool = False) -> list[str]:
        if self._calls:
            return [f"From: <{ME}>;tag=[pid]s[call_number]", "To:[$us]"]
        if response:
            return ["From:[$us]", "To:[$me];tag=sipp[call_number]"]
        return ["From:[$me];tag=sipp[call_number]", "To:[$us]"]

    def _request(
        self, method: str, cseq: int, headers: Sequence[str], extra: Sequence[str], body: str
    ) -> Self:
        first = self._calls and method == "INVITE" and cseq == 1
        target = "sip:[user]@[remote_ip]:[remote_port]"
        parties = self._parties()
        if first:
            parties = [parties[0], f"To: <{target}>"]
        lines = [
            f"{method} {target if first else '[next_url]'} SIP/2.0",
            "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
            *([] if first else ["[routes]"]),
            "Max-Forwards: 70",
            *parties,
            "Call-ID: [call_id]",
            f"CSeq: {cseq} {method}",
            "Contact: <sip:flow@[local_ip]:[local_port];transport=[transport]>",
            *headers,
            *extra,
        ]
        return self._send(lines, body, retrans=method != "ACK")

    def _send(self, lines: list[str], body: str, *, retrans: bool) -> Self:
        text = "\n".join([*lines, "Content-Length: [len]", "", body])
        flag = ' retrans="500"' if retrans else ""
        self._steps.append(f"  <send{flag}><![CDATA[\n{text}\n]]></send>\n")
        return self

    def _recv(self, what: str, actions: Sequence[str]) -> Self:
        inner = f"\n    <action>{''.join(actions)}</action>\n  " if actions else ""
        self._steps.append(f"  <recv {what}>{inner}</recv>\n")
        return self

    def _kept(self, name: str, header: str) -> str:
        self._variables.append(name)
        return (
            f'<ereg regexp=".*" search_in="hdr" header="{header}" check_it="true" '
            f'assign_to="{name}"/>'
        )


def _payload(sdp: Sequence[str] | None, body: str, content_type: str) -> tuple[list[str], str]:
    if sdp is not None:
        head = ("v=0", "o=flow 1 [cseq] IN IP4 [local_ip]", "s=-", "c=IN IP4 [media_ip]", "t=0 0")
        return ["Content-Type: application/sdp"], "\n".join((*head, *sdp)) + "\n"
    return ([f"Content-Type: {content_type}"], body) if body else ([], "")


def _checks(patterns: Sequence[str], used: int) -> list[tuple[str, str]]:
    return [
        (
            f"c{used + number}",
            f'<ereg regexp="{escape(pattern)}" search_in="msg" check_it="true" '
            f'assign_to="c{used + number}"/>',
        )
        for number, pattern in enumerate(patterns)
    ]
