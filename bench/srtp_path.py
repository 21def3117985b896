"""What protecting a call's media costs: per packet of 20 ms, and per handshake.

    python bench/srtp_path.py [--calls 500]

The last column is what ``--calls`` calls spend on the step, in percent of one core: packets at 50
a second, handshakes once in a call of ``HANDSHAKE_EVERY`` seconds. Each figure is processor time,
the best of several runs.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from ringback.media.dtls import DtlsHandshake, DtlsIdentity
from ringback.media.latch import AddressPolicy
from ringback.media.metrics import MediaCounters
from ringback.media.plane import NegotiatedAudio, RtpAddress, SdesSecurity
from ringback.media.protection import MediaProtection
from ringback.media.srtp import SUITES, SrtpReceiver, SrtpSender, SrtpSuite
from ringback.rtp.packet import RtpPacketizer

PACKETS_PER_SECOND = 50
HANDSHAKE_EVERY = 60.0
PACKETS = 5000
HANDSHAKES = 50
REPEATS = 7
PHONE = ("192.0.2.10", 4000)

Run = Callable[[], None]


def best(prepare: Callable[[], Run], count: int) -> float:
    """Microseconds for each of the ``count`` things that a run does."""
    taken = []
    for _ in range(REPEATS):
        run = prepare()
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken) / count * 1e6


def packets() -> list[bytes]:
    packetizer = RtpPacketizer(7, 2, 3)
    return [packetizer.pack(0, bytes(160), 160) for _ in range(PACKETS)]


def master(suite: SrtpSuite) -> bytes:
    return bytes(range(suite.master_bytes))


def protecting(suite: SrtpSuite) -> Run:
    sender, plain = SrtpSender(suite, master(suite)), packets()

    def run() -> None:
        for packet in plain:
            sender.protect(packet)

    return run


def opening(suite: SrtpSuite) -> Run:
    sender, receiver = SrtpSender(suite, master(suite)), SrtpReceiver(suite, master(suite))
    protected = [packet for plain in packets() if (packet := sender.protect(plain))]

    def run() -> None:
        for packet in protected:
            receiver.unprotect(packet)

    return run


def refusing(suite: SrtpSuite) -> Run:
    receiver, forged = SrtpReceiver(suite, master(suite)), packets()

    def run() -> None:
        for packet in forged:
            receiver.unprotect(packet)

    return run


def layer(protected: bool) -> Run:
    """A packet in and a packet out through all of the layer between leg and sockets."""
    suite = SUITES["AES_CM_128_HMAC_SHA1_80"]
    key = master(suite)
    protection = MediaProtection(
        MediaCounters(),
        identity=None,
        policy=AddressPolicy(),
        send_rtp=lambda data, to: None,
        send_rtcp=lambda data, to: None,
        on_rtp=lambda data, source, now: None,
        on_rtcp=lambda data, source, now: None,
        on_failed=lambda why: None,
        on_verified=lambda source, now: None,
    )
    security = SdesSecurity(suite.name, key, key) if protected else None
    protection.negotiate(NegotiatedAudio(RtpAddress(*PHONE), "PCMU", 0, security=security), 0.0)
    plain = packets()
    sender = SrtpSender(suite, key)
    incoming = [sender.protect(packet) or b"" for packet in plain] if protected else plain

    def run() -> None:
        for come, go in zip(incoming, plain, strict=True):
            protection.on_rtp(come, PHONE, 1.0)
            protection.send_rtp(go, PHONE)

    return run


class Handshakes:
    """Our side of handshakes, timed; the peer's side is not."""

    def __init__(self, active: bool) -> None:
        self._active = active
        self._ours = DtlsIdentity(datetime.now(UTC))
        self._theirs = DtlsIdentity(datetime.now(UTC))
        self.spent = 0.0

    def one(self) -> None:
        start = time.process_time()
        us = DtlsHandshake(self._ours, [self._theirs.fingerprint], active=self._active)
        self.spent += time.process_time() - start
        them = DtlsHandshake(self._theirs, [self._ours.fingerprint], active=not self._active)
        while us.keys is None or them.keys is None:
            start = time.process_time()
            sent = us.datagrams_to_send()
            self.spent += time.process_time() - start
            for datagram in sent:
                them.receive(datagram)
            answers = them.datagrams_to_send()
            start = time.process_time()
            for datagram in answers:
                us.receive(datagram)
            self.spent += time.process_time() - start


def handshake(active: bool) -> float:
    """Microseconds."""
    taken = []
    for _ in range(REPEATS):
        handshakes = Handshakes(active)
        for _ in range(HANDSHAKES):
            handshakes.one()
        taken.append(handshakes.spent / HANDSHAKES)
    return min(taken) * 1e6


def rows() -> list[tuple[str, float, float]]:
    """Name, microseconds, and how often a second it happens in a call."""
    each = [
        [
            (f"{name}: protect", best(partial(protecting, suite), PACKETS)),
            (f"{name}: open", best(partial(opening, suite), PACKETS)),
            (f"{name}: refuse a forged one", best(partial(refusing, suite), PACKETS)),
        ]
        for name, suite in SUITES.items()
    ]
    whole = [
        ("the layer, in and out, plain", best(partial(layer, False), PACKETS)),
        ("the layer, in and out, SRTP", best(partial(layer, True), PACKETS)),
    ]
    shakes = [
        ("DTLS handshake, as the client", handshake(True)),
        ("DTLS handshake, as the server", handshake(False)),
    ]
    return [
        *((name, cost, PACKETS_PER_SECOND) for name, cost in itertools.chain(*each, whole)),
        *((name, cost, 1 / HANDSHAKE_EVERY) for name, cost in shakes),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=500, help="for the last column")
    calls = parser.parse_args().calls
    print(f"{'':44}{'us':>9}{f'{calls} calls':>12}")
    for name, cost, per_second in rows():
        print(f"{name:44}{cost:9.2f}{cost * per_second * calls / 1e4:11.1f}%")


if __name__ == "__main__":
    main()
