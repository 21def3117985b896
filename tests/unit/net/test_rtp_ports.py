from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ringback.core.errors import Unavailable
from ringback.net import rtp_ports as module
from ringback.net.rtp_ports import RtpPorts, RtpSockets
from unit.net.manual_clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def first() -> int:
    """The first of eight ports that are free now."""
    for start in range(21_000, 31_000, 16):
        held: list[socket.socket] = []
        try:
            for port in range(start, start + 8):
                probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                held.append(probe)
                probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for probe in held:
                probe.close()
        return start
    pytest.fail("no eight free ports in a row")


def close(*pairs: RtpSockets) -> None:
    for pair in pairs:
        pair.rtp.close()
        pair.rtcp.close()


def test_a_pair_is_an_even_port_and_the_next_one_really_bound(
    clock: ManualClock, first: int
) -> None:
    pair = RtpPorts(first, first + 7, clock=clock).bind("127.0.0.1")
    try:
        assert pair.port % 2 == 0
        assert pair.rtp.getsockname() == ("127.0.0.1", pair.port)
        assert pair.rtcp.getsockname() == ("127.0.0.1", pair.port + 1)
        assert not pair.rtp.getblocking()
        assert not pair.rtcp.getblocking()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ("127.0.0.1", pair.port))
        assert pair.rtp.recv(10) == b"x"
    finally:
        close(pair)


def test_an_odd_first_port_and_a_lone_last_port_are_left_out(
    clock: ManualClock, first: int
) -> None:
    assert RtpPorts(first + 1, first + 6, clock=clock).pairs == 2
    assert RtpPorts(first, first + 7, clock=clock).pairs == 4


@pytest.mark.parametrize(
    ("low", "high"), [(10_001, 10_002), (9, 9), (0, 0), (10, 4), (65534, 65536)]
)
def test_a_range_without_a_pair_is_refused(clock: ManualClock, low: int, high: int) -> None:
    with pytest.raises(ValueError, match="no pair"):
        RtpPorts(low, high, clock=clock)


def test_pairs_differ_until_the_range_is_used_up(clock: ManualClock, first: int) -> None:
    ports = RtpPorts(first, first + 7, clock=clock)
    pairs = [ports.bind("127.0.0.1") for _ in range(4)]
    try:
        assert [pair.port for pair in pairs] == [first, first + 2, first + 4, first + 6]
        with pytest.raises(Unavailable) as caught:
            ports.bind("127.0.0.1")
        assert caught.value.code == "no_rtp_port"
        assert caught.value.retryable
        assert (ports.counters.in_use, ports.counters.refused) == (4, 1)
    finally:
        close(*pairs)


@pytest.mark.parametrize("offset", [0, 1])
def test_a_pair_of_which_others_hold_one_port_is_skipped(
    clock: ManualClock, first: int, offset: int
) -> None:
    ports = RtpPorts(first, first + 7, clock=clock)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", first + offset))
        pair = ports.bind("127.0.0.1")
        close(pair)
    assert pair.port == first + 2
    assert ports.counters.skipped == 1


def test_a_skipped_pair_leaves_no_socket_open(clock: ManualClock, first: int) -> None:
    ports = RtpPorts(first, first + 1, clock=clock)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", first + 1))
        with pytest.raises(Unavailable):
            ports.bind("127.0.0.1")
    pair = ports.bind("127.0.0.1")
    close(pair)
    assert pair.port == first


@pytest.mark.requirement("media.port-drain")
def test_a_released_pair_rests_before_it_is_used_again(clock: ManualClock, first: int) -> None:
    ports = RtpPorts(first, first + 7, clock=clock, quarantine=30.0)
    one = ports.bind("127.0.0.1")
    ports.release(one)
    assert one.rtp.fileno() == one.rtcp.fileno() == -1
    clock.time += 29.9
    others = [ports.bind("127.0.0.1") for _ in range(2)]
    assert one.port not in [pair.port for pair in others]
    ports.release(others[0])
    clock.time += 0.1
    later = [ports.bind("127.0.0.1") for _ in range(2)]
    close(others[1], *later)
    assert [pair.port for pair in later] == [first + 6, one.port]
    assert ports.counters.early == 0


@pytest.mark.requirement("media.port-drain")
def test_the_longest_resting_pair_goes_to_work_early_when_no_other_is_left(
    clock: ManualClock, first: int
) -> None:
    ports = RtpPorts(first, first + 7, clock=clock)
    for _ in range(4):
        ports.release(ports.bind("127.0.0.1"))
        clock.time += 0.5
    early = ports.bind("127.0.0.1")
    with pytest.raises(Unavailable):
        ports.bind("127.0.0.1")
    clock.time += 0.5
    next_one = ports.bind("127.0.0.1")
    close(early, next_one)
    assert [early.port, next_one.port] == [first, first + 2]
    assert (ports.counters.early, ports.counters.refused) == (2, 1)


def test_a_range_of_ports_takes_calls_faster_than_its_quarantine_alone_would_let_it(
    clock: ManualClock, first: int
) -> None:
    ports = RtpPorts(first, first + 7, clock=clock)
    for _ in range(200):
        ports.release(ports.bind("127.0.0.1"))
        clock.time += module.MIN_REST / 4
    assert ports.counters.refused == 0
    assert ports.counters.early > 150


@pytest.mark.requirement("media.port-drain")
def test_ports_go_round_although_an_earlier_one_is_free_again(
    clock: ManualClock, first: int
) -> None:
    ports = RtpPorts(first, first + 7, clock=clock, quarantine=0.0)
    ports.release(ports.bind("127.0.0.1"))
    second = ports.bind("127.0.0.1")
    close(second)
    assert second.port == first + 2


def test_an_address_that_is_not_ours_is_named(clock: ManualClock, first: int) -> None:
    ports = RtpPorts(first, first + 7, clock=clock)
    with pytest.raises(Unavailable, match=r"192\.0\.2\.1"):
        ports.bind("192.0.2.1")
    assert ports.counters.skipped == 0
    close(ports.bind("127.0.0.1"))


def test_one_call_tries_a_bounded_number_of_pairs_and_the_next_goes_on(
    clock: ManualClock, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BIND_ATTEMPTS", 1)
    ports = RtpPorts(first, first + 7, clock=clock)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", first))
        with pytest.raises(Unavailable):
            ports.bind("127.0.0.1")
    pair = ports.bind("127.0.0.1")
    close(pair)
    assert pair.port == first + 2


def test_ipv6_pairs_are_bound(clock: ManualClock, first: int) -> None:
    pair = RtpPorts(first, first + 7, clock=clock).bind("::1")
    close(pair)
    assert pair.rtp.family is socket.AF_INET6


@pytest.fixture
def ephemeral(tmp_path: Path) -> Path:
    path = tmp_path / "ip_local_port_range"
    path.write_text("32768\t60999\n")
    return path


@pytest.mark.requirement("host.rtp-range")
def test_a_good_range_has_nothing_to_say(
    clock: ManualClock, ephemeral: Path, tmp_path: Path
) -> None:
    assert RtpPorts(10_000, 20_000, clock=clock).probe(ephemeral, tmp_path / "none") == []


@pytest.mark.requirement("host.rtp-range")
def test_a_range_that_the_kernel_hands_out_is_told_with_the_cure(
    clock: ManualClock, ephemeral: Path, tmp_path: Path
) -> None:
    reserved = tmp_path / "reserved"
    ports = RtpPorts(32_000, 33_000, clock=clock)
    (sentence,) = ports.probe(ephemeral, reserved)
    assert "32768-60999" in sentence
    assert "ip_local_reserved_ports=32000-33000" in sentence
    reserved.write_text("22,32000-33000\n")
    assert ports.probe(ephemeral, reserved) == []
    reserved.write_text("32000-32999\n")
    assert len(ports.probe(ephemeral, reserved)) == 1


@pytest.mark.requirement("host.rtp-range")
def test_a_small_range_is_told_with_its_number_of_calls(clock: ManualClock, tmp_path: Path) -> None:
    (sentence,) = RtpPorts(10_000, 10_007, clock=clock).probe(tmp_path / "a", tmp_path / "b")
    assert "4 calls" in sentence


def test_unreadable_kernel_settings_say_nothing(clock: ManualClock, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.write_text("not numbers here\n")
    assert RtpPorts(10_000, 20_000, clock=clock).probe(odd, odd) == []
