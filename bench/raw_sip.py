"""SIP by hand: the few messages that a load generator needs, and the sockets that it sends from."""

from __future__ import annotations

import re
import socket

from node import LOCALHOST

SDP = (
    "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


def udp(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    made.bind((host, 0))
    made.setblocking(False)
    return made


def header(message: str, name: str) -> str:
    found = re.search(rf"(?im)^{name}:[ \t]*(.*?)\r?$", message)
    return found[1] if found else ""


def audio_port(message: str) -> int:
    found = re.search(r"m=audio (\d+)", message)
    return int(found[1]) if found else 9


def invite(
    host: str, port: int, number: int, user: str, agent: str, body: str = "", extra: str = ""
) -> bytes:
    """``extra`` are whole header lines."""
    mark = f"{host}-{port}-{number}"
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"INVITE sip:{user}@{LOCALHOST} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{mark};rport\r\n"
        f"From: <sip:caller@{host}>;tag={mark}\r\nTo: <sip:{user}@{LOCALHOST}>\r\n"
        f"Call-ID: {mark}\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@{host}:{port}>\r\n"
        f"User-Agent: {agent}\r\nMax-Forwards: 70\r\n{extra}{kind}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def in_dialog(method: str, answer: str, host: str, port: int, cseq: int) -> bytes:
    target = header(answer, "Contact").partition("<")[2].partition(">")[0]
    return (
        f"{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};"
        f"branch=z9hG4bK{method}{header(answer, 'Call-ID')};rport\r\n"
        f"From: {header(answer, 'From')}\r\nTo: {header(answer, 'To')}\r\n"
        f"Call-ID: {header(answer, 'Call-ID')}\r\nCSeq: {cseq} {method}\r\n"
        "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def ok(request: str, host: str, port: int, extra: str = "") -> bytes:
    """200 to a request in a dialog."""
    copied = "".join(
        f"{name}: {header(request, name)}\r\n" for name in ("Via", "From", "To", "Call-ID", "CSeq")
    )
    return (
        f"SIP/2.0 200 OK\r\n{copied}Contact: <sip:caller@{host}:{port}>\r\n{extra}"
        "Content-Length: 0\r\n\r\n"
    ).encode()
