"""Finding our public address with the help of coturn."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.peers.coturn import Coturn
from ringback.core.clock import SystemClock
from ringback.net.public_address import PublicAddress
from ringback.net.stun import StunFailed, query
from ringback.net.stun_message import (
    TRANSACTION_ID_BYTES,
    binding_request,
    parse_binding_response,
)


@pytest.fixture
def coturn(tmp_path: Path) -> Iterator[Coturn]:
    with Coturn(tmp_path / "coturn") as running:
        yield running


@pytest.mark.requirement("trunk.public-address")
def test_coturn_tells_where_our_packets_come_from(coturn: Coturn) -> None:
    transaction_id = bytes(range(TRANSACTION_ID_BYTES))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(10)
        probe.connect(("127.0.0.1", coturn.port))
        probe.send(binding_request(transaction_id))
        mapped = parse_binding_response(probe.recv(2000), transaction_id)
        assert (mapped.host, mapped.port) == probe.getsockname()
    assert asyncio.run(query("127.0.0.1", coturn.port)).host == "127.0.0.1"


def test_an_address_of_our_own_side_of_the_nat_is_not_taken_for_public(coturn: Coturn) -> None:
    addresses = PublicAddress(clock=SystemClock(), stun_server=("127.0.0.1", coturn.port))
    assert asyncio.run(addresses.discover()) is False
    assert addresses.external_ip is None
    assert addresses.stun_failure is not None
    assert "127.0.0.1" in addresses.stun_failure


def test_a_coturn_that_is_stuck_is_waited_for_and_asked_again_later(coturn: Coturn) -> None:
    with coturn.silent(), pytest.raises(StunFailed, match="did not answer"):
        asyncio.run(query("127.0.0.1", coturn.port, within=0.7))
    assert asyncio.run(query("127.0.0.1", coturn.port, within=10)).host == "127.0.0.1"


def test_a_coturn_that_is_gone_is_known_at_once(coturn: Coturn) -> None:
    coturn.process.stop()
    with pytest.raises(StunFailed, match="refused"):
        asyncio.run(query("127.0.0.1", coturn.port, within=10))


def test_a_coturn_that_wants_credentials_says_so(tmp_path: Path) -> None:
    options = ("--secure-stun", "--lt-cred-mech", "--realm=test", "--user=a:b")
    with (
        Coturn(tmp_path / "coturn", *options) as coturn,
        pytest.raises(StunFailed, match="refused: 401"),
    ):
        asyncio.run(query("127.0.0.1", coturn.port))
