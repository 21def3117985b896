"""Live calls while scanners send 1,000 INVITEs a second: what the callers hear of it.

    python bench/scanner_flood.py --calls 20 --seconds 10 --rate 1000

The calls come over a trunk and are sent 50 packets a second; a *gap* is the time between two of
them as they arrive. It is measured without a flood, and then under each kind of flood: a scanner
that says so, a stranger with random numbers, the trunk's own address, and many addresses. Shown
are the gaps, lost packets, the gateway's processor, and what the scanners were told. Exit code 1
when a packet is lost or a flood adds more than 10 ms to the 99.9th percentile of the gaps.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import select
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from node import DID, LOCALHOST, Node
from raw_sip import SDP, audio_port, header, in_dialog, invite, udp

ALLOWED_EXTRA_MS = 10.0
BATCHES_PER_SECOND = 100
KINDS = ("scanner", "stranger", "trunk", "many")
SILENCE = bytes([0x80, 0]) + bytes(2) + bytes(8) + b"\xff" * 160


def say(text: str) -> None:
    print(text, flush=True)


class Phones:
    """``calls`` callers behind one SIP socket, each with a socket for its audio."""

    def __init__(self, calls: int, gateway: int) -> None:
        self._gateway = (LOCALHOST, gateway)
        self._sip = udp(LOCALHOST)
        self.port = int(self._sip.getsockname()[1])
        self._audio = [udp(LOCALHOST) for _ in range(calls)]
        self._answers: dict[str, str] = {}
        self._last: dict[int, tuple[float, int]] = {}
        self.gaps: list[float] = []
        self.lost = 0

    def call(self) -> None:
        for number, audio in enumerate(self._audio):
            body = SDP.format(host=LOCALHOST, port=audio.getsockname()[1])
            request = invite(LOCALHOST, self.port, number, DID, "Phone", body)
            self._sip.sendto(request, self._gateway)
            self._await_answer(number + 1)

    def _await_answer(self, count: int) -> None:
        until = time.monotonic() + 10
        while len(self._answers) < count:
            if time.monotonic() > until:
                raise RuntimeError("a call was not answered")
            if not select.select([self._sip], [], [], 0.5)[0]:
                continue
            text = self._sip.recv(65_535).decode()
            if text.startswith("SIP/2.0 200") and "INVITE" in text:
                self._answers[header(text, "Call-ID")] = text
                self._sip.sendto(in_dialog("ACK", text, LOCALHOST, self.port, 1), self._gateway)

    def listen(self, seconds: float) -> None:
        """Take what comes for ``seconds``, sending silence so that the calls live."""
        self._last, self.gaps, self.lost = {}, [], 0
        poll = select.epoll()
        by_number = {audio.fileno(): audio for audio in self._audio}
        for number in by_number:
            poll.register(number, select.EPOLLIN)
        until, beat = time.monotonic() + seconds, 0.0
        while (now := time.monotonic()) < until:
            for number, _ in poll.poll(0.005):
                self._hear(number, by_number[number])
            if now - beat > 1.0:
                beat = now
                self._keep_alive()
        poll.close()

    def _hear(self, number: int, audio: socket.socket) -> None:
        while True:
            try:
                data = audio.recv(2048)
            except BlockingIOError:
                return
            now, sequence = time.monotonic(), int.from_bytes(data[2:4], "big")
            before = self._last.get(number)
            self._last[number] = now, sequence
            if before is not None:
                self.gaps.append((now - before[0]) * 1000)
                step = (sequence - before[1]) & 0xFFFF
                self.lost += step - 1 if step < 0x8000 else -1  # one that was overtaken came

    def _keep_alive(self) -> None:
        for audio, text in zip(self._audio, self._answers.values(), strict=True):
            audio.sendto(SILENCE, (LOCALHOST, audio_port(text)))

    def hang_up(self) -> None:
        for text in self._answers.values():
            self._sip.sendto(in_dialog("BYE", text, LOCALHOST, self.port, 2), self._gateway)


def flood(kind: str, gateway: int, rate: int, seconds: float, told: multiprocessing.Queue) -> None:
    """Send, and count what is answered."""
    chance = random.Random(1)
    hosts = {
        "scanner": [f"{LOCALHOST[:-1]}2"],
        "stranger": [f"{LOCALHOST[:-1]}3"],
        "trunk": [LOCALHOST],
        "many": [f"127.9.{n // 250}.{n % 250 + 1}" for n in range(500)],
    }[kind]
    sockets = [udp(host) for host in hosts]
    agent = "friendly-scanner" if kind == "scanner" else "Phone 1.0"
    start, sent, answers = time.monotonic(), 0, Counter[str]()
    while (elapsed := time.monotonic() - start) < seconds:
        while sent < elapsed * rate:
            one = sockets[sent % len(sockets)]
            host, port = one.getsockname()
            user = str(chance.randrange(10**3, 10**9))
            one.sendto(invite(host, port, sent, user, agent), (LOCALHOST, gateway))
            sent += 1
        for one in select.select(sockets, [], [], 1 / BATCHES_PER_SECOND)[0]:
            answers[one.recv(65_535)[8:11].decode()] += 1
    told.put((sent, dict(answers)))


def measure(node: Node, phones: Phones, kind: str | None, rate: int, seconds: float) -> float:
    """Listen, with a flood or without; returns the 99.9th percentile of the gaps in ms."""
    told: multiprocessing.Queue[tuple[int, dict[str, int]]] = multiprocessing.Queue()
    process = None
    if kind is not None:
        arguments = (kind, node.sip_port, rate, seconds, told)
        process = multiprocessing.Process(target=flood, args=arguments)
        process.start()
    cpu, waited = node.cpu_seconds(), node.waiting_seconds()
    phones.listen(seconds)
    used = (node.cpu_seconds() - cpu) / seconds * 100
    kept = (node.waiting_seconds() - waited) / seconds * 100
    gaps = sorted(phones.gaps)
    late = gaps[int(len(gaps) * 0.999)]
    say(
        f"{kind or 'no flood':<9} {len(gaps):6} packets  gap median {statistics.median(gaps):5.1f}"
        f"  99.9 % {late:5.1f}  max {gaps[-1]:5.1f} ms  lost {phones.lost}  cpu {used:3.0f} %"
        f" (kept waiting for it {kept:3.0f} %)"
    )
    if process is not None:
        sent, answers = told.get(timeout=seconds + 30)
        process.join()
        say(f"          {sent} INVITEs sent; answers: {answers or 'none'}")
    return late


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=1000, help="INVITEs per second")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder, Node(Path(folder)) as node:
        phones = Phones(options.calls, node.sip_port)
        node.answer_calls_from(LOCALHOST, phones.port)
        phones.call()
        quiet = measure(node, phones, None, options.rate, options.seconds)
        good &= phones.lost == 0
        for kind in options.kinds:
            late = measure(node, phones, kind, options.rate, options.seconds)
            good &= phones.lost == 0 and late <= quiet + ALLOWED_EXTRA_MS
        figures = {name: value for name, value in node.metrics().items() if "_guard_" in name}
        dropped = {n: int(v) for n, v in figures.items() if "dropped" in n or "scanners" in n}
        say(f"guard: {dropped}")
        phones.hang_up()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
