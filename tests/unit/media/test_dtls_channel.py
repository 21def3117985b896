from __future__ import annotations

import pytest

from ringback.media.dtls import DtlsHandshake
from ringback.media.dtls_channel import (
    HANDSHAKE_SECONDS,
    MAX_FAILURES,
    MAX_STRANGERS,
    STALLED_SECONDS,
    DtlsChannel,
)
from ringback.media.latch import Address, AddressPolicy
from ringback.media.metrics import MediaCounters
from unit.media.dtls_lab import HERE, NAT, PHONE, STRANGER, handshake, identity


class Port:
    """A channel with a list for a socket, whose peer is expected to be ``theirs``."""

    def __init__(self, *, active: bool, policy: AddressPolicy | None = None) -> None:
        self.counters = MediaCounters()
        self.sent: list[tuple[bytes, Address]] = []
        self.now = 50.0
        self.channel = DtlsChannel(
            identity("ours"),
            [identity("theirs").fingerprint],
            active=active,
            policy=policy or AddressPolicy(),
            send=lambda data, to: self.sent.append((data, to)),
            counters=self.counters,
        )

    def aim(self, signalled: Address | None = PHONE) -> None:
        self.channel.aim(signalled, self.now)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            self.channel.poll(self.now)

    def take(self, peer: DtlsHandshake, source: Address) -> int:
        """What the peer sends next arrives from ``source``; how many datagrams."""
        datagrams = peer.datagrams_to_send()
        for datagram in datagrams:
            self.channel.receive(datagram, source, self.now)
        return len(datagrams)

    def answers(self) -> list[Address]:
        """Where the answers since the last time went."""
        sent, self.sent = self.sent, []
        return [to for _, to in sent]

    def meet(self, peer: DtlsHandshake, source: Address) -> None:
        """Carry datagrams both ways while there are any."""
        while self.take(peer, source) or self.sent:
            sent, self.sent = self.sent, []
            for data, to in sent:
                if to == source:
                    peer.receive(data)


def client(name: str = "theirs") -> DtlsHandshake:
    return handshake(name, "ours", active=True)


def server(name: str = "theirs") -> DtlsHandshake:
    return handshake(name, "ours", active=False)


def passive(signalled: Address | None = PHONE, policy: AddressPolicy | None = None) -> Port:
    port = Port(active=False, policy=policy)
    port.aim(signalled)
    return port


@pytest.mark.requirement("media.srtp-dtls", "rfc5763.5")
def test_the_passive_side_waits_and_the_active_side_begins() -> None:
    waiting, beginning = passive(), Port(active=True)
    assert waiting.sent == []
    beginning.aim()
    assert [to for _, to in beginning.sent] == [PHONE]
    beginning.meet(server(), PHONE)
    waiting.meet(client(), PHONE)
    assert waiting.channel.keys is not None
    assert beginning.channel.keys is not None
    assert waiting.counters.dtls_handshakes == beginning.counters.dtls_handshakes == 1


def test_a_peer_behind_nat_is_known_by_its_certificate() -> None:
    port = passive(("10.0.0.5", 4000))
    port.meet(client(), NAT)
    assert port.channel.keys is not None
    assert port.channel.peer == NAT


def test_the_signalled_address_takes_the_handshake_over_from_a_stranger() -> None:
    port = passive()
    port.take(client("impostor"), STRANGER)
    assert port.answers()[0] == STRANGER
    port.meet(client(), PHONE)
    assert port.channel.keys is not None
    assert port.channel.peer == PHONE


def test_a_stranger_s_handshake_that_stands_still_gives_way_to_another_one() -> None:
    port = passive(("10.0.0.5", 4000))
    port.take(client("impostor"), STRANGER)
    assert port.answers()[0] == STRANGER
    late = client()
    assert port.take(late, NAT) == 1
    assert port.answers() == []
    port.now += STALLED_SECONDS
    port.meet(client(), NAT)
    assert port.channel.keys is not None
    assert port.channel.peer == NAT


def test_a_stranger_with_a_certificate_of_its_own_ends_nothing() -> None:
    port = passive(("10.0.0.5", 4000))
    with pytest.raises(Exception, match="handshake"):
        port.meet(client("impostor"), STRANGER)
    assert port.counters.dtls_failed == 1
    assert port.channel.failure is None
    port.now += STALLED_SECONDS
    port.meet(client(), NAT)
    assert port.channel.keys is not None


@pytest.mark.requirement("media.srtp-dtls")
def test_a_wrong_certificate_at_the_signalled_address_is_final() -> None:
    port = passive()
    with pytest.raises(Exception, match="handshake"):
        port.meet(client("impostor"), PHONE)
    assert port.channel.failure is not None
    assert "fingerprint" in port.channel.failure
    assert port.channel.keys is None
    port.answers()
    port.take(client(), PHONE)
    assert port.answers() == []
    assert port.channel.keys is None


@pytest.mark.requirement("media.srtp-dtls")
def test_an_active_side_finds_out_that_the_server_is_another() -> None:
    port = Port(active=True)
    port.aim()
    with pytest.raises(Exception, match="handshake"):
        port.meet(server("impostor"), PHONE)
    assert port.channel.failure is not None
    assert "fingerprint" in port.channel.failure


@pytest.mark.requirement("media.srtp-dtls")
def test_nobody_comes() -> None:
    port = passive()
    port.wait(HANDSHAKE_SECONDS - 1)
    assert port.channel.failure is None
    port.wait(1.5)
    assert port.channel.failure == "the peer made no DTLS handshake"


def test_on_hold_without_an_address_the_time_does_not_run() -> None:
    port = Port(active=True)
    port.aim(None)
    port.wait(2 * HANDSHAKE_SECONDS)
    assert port.channel.failure is None
    assert port.sent == []
    port.aim()
    assert [to for _, to in port.sent] == [PHONE]
    port.wait(HANDSHAKE_SECONDS - 1)
    port.meet(server(), PHONE)
    assert port.channel.keys is not None


def test_a_multicast_or_own_address_is_never_answered() -> None:
    policy = AddressPolicy(own_ports=(20000,), is_here=lambda host: host == HERE[0])
    port = passive(PHONE, policy)
    for source in (("224.0.0.1", 4000), ("0.0.0.0", 4000), HERE):
        assert port.take(client(), source) == 1
    assert port.sent == []
    assert port.counters.dtls_dropped == 3


def test_what_is_no_beginning_makes_no_work() -> None:
    port = passive()
    for data in (b"\x16\xfe\xfd" + bytes(100), b"\x17\xfe\xfd" + bytes(40), b"\x15" + bytes(14)):
        port.channel.receive(data, PHONE, port.now)
        port.channel.receive(data, STRANGER, port.now)
    assert port.counters.dtls_dropped == 6
    assert port.counters.dtls_failed == 0


@pytest.mark.requirement("bad.rtp-flood")
def test_a_flood_of_strangers_makes_a_bounded_number_of_handshakes() -> None:
    port = passive(("10.0.0.5", 4000))
    (hello,) = client("impostor").datagrams_to_send()
    random = 27
    for n in range(2800):
        port.now += 0.01
        port.channel.poll(port.now)
        changed = hello[:random] + n.to_bytes(4, "big") + hello[random + 4 :]
        port.channel.receive(changed, ("203.0.113.66", 1024 + n), port.now)
    assert len(set(port.answers())) <= MAX_STRANGERS
    port.meet(client(), ("10.0.0.5", 4000))
    assert port.channel.keys is not None


@pytest.mark.requirement("bad.rtp-flood")
def test_a_flood_from_the_signalled_address_is_looked_at_up_to_a_bound() -> None:
    port = passive()
    port.take(client(), PHONE)
    before = port.counters.dtls_dropped
    for _ in range(1000):
        port.channel.receive(b"\x16\xfe\xfd" + bytes(60), PHONE, port.now)
    assert port.counters.dtls_dropped - before > 700


def test_a_peer_that_starts_over_is_followed_once_its_first_try_stands_still() -> None:
    port = passive()
    port.take(client(), PHONE)
    port.answers()
    again = client()
    port.take(again, PHONE)
    assert port.channel.keys is None
    port.now += STALLED_SECONDS
    port.answers()
    port.meet(client(), PHONE)
    assert port.channel.keys is not None


def test_as_the_client_a_better_claim_makes_us_start_over() -> None:
    port = Port(active=True)
    port.aim()
    stray = server()
    stray.receive(port.sent[0][0])
    port.take(stray, STRANGER)
    assert port.answers()[-1] == STRANGER
    port.channel.receive(b"\x16\xfe\xfd" + bytes(30), PHONE, port.now)
    port.meet(server(), PHONE)
    assert port.channel.keys is not None
    assert port.channel.peer == PHONE


def test_a_server_that_breaks_off_is_tried_again_a_few_times() -> None:
    port = Port(active=True)
    port.aim()
    alert = bytes.fromhex("15fefd0000000000000000") + b"\x00\x02\x02\x28"
    for attempt in range(1, MAX_FAILURES + 1):
        port.channel.receive(alert, PHONE, port.now)
        assert port.counters.dtls_failed == attempt
        port.wait(STALLED_SECONDS + 0.2)
    assert port.channel.failure is not None
    assert "fail" in port.channel.failure


def test_after_the_keys_only_the_peer_s_datagrams_are_looked_at() -> None:
    port = passive()
    port.meet(client(), PHONE)
    dropped = port.counters.dtls_dropped
    port.take(client(), STRANGER)
    assert port.counters.dtls_dropped == dropped + 1
    assert port.sent == []
