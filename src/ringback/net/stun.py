"""Ask a STUN server which address our packets arrive from (RFC 8489)."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable

from ringback.core.errors import UpstreamFailed
from ringback.net.stun_message import (
    TRANSACTION_ID_BYTES,
    MappedAddress,
    StunError,
    binding_request,
    parse_binding_response,
)

DEFAULT_PORT = 3478
QUERY_TIMEOUT = 3.0
"""Seconds for everything: the name of the server, retransmissions, the answer."""
FIRST_RETRANSMISSION = 0.5
"""Seconds; doubles each time (RFC 8489 6.2.1)."""


class StunFailed(UpstreamFailed):
    default_code = "stun_failed"


async def query(
    host: str,
    port: int = DEFAULT_PORT,
    *,
    family: socket.AddressFamily = socket.AF_INET,
    within: float = QUERY_TIMEOUT,
    new_transaction_id: Callable[[], bytes] = lambda: secrets.token_bytes(TRANSACTION_ID_BYTES),
) -> MappedAddress:
    """The public address of this host as ``host`` sees it.

    Raises :class:`StunFailed` when the server cannot be found, does not answer within
    ``within`` seconds, or refuses.
    """
    try:
        async with asyncio.timeout(within):
            return await _exchange(host, port, family, new_transaction_id())
    except TimeoutError:
        why = f"it did not answer within {within:g} s"
    except StunError as error:
        why = str(error)
    except OSError as error:
        why = error.strerror or str(error)
    raise StunFailed(
        f"STUN server {host}:{port}: {why}.",
        hint="Set RINGBACK_EXTERNAL_IP, or another STUN server.",
    )


class _Exchange(asyncio.DatagramProtocol):
    """Waits for the one response that belongs to ``transaction_id``; drops all else."""

    def __init__(self, transaction_id: bytes) -> None:
        self._transaction_id = transaction_id
        self.answer: asyncio.Future[MappedAddress] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self.answer.done() or data[8:20] != self._transaction_id:
            return
        try:
            self.answer.set_result(parse_binding_response(data, self._transaction_id))
        except StunError as error:
            self.answer.set_exception(error)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _exchange(
    host: str, port: int, family: socket.AddressFamily, transaction_id: bytes
) -> MappedAddress:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _Exchange(transaction_id), remote_addr=(host, port), family=family
    )
    interval = FIRST_RETRANSMISSION
    try:
        while not protocol.answer.done():
            transport.sendto(binding_request(transaction_id))
            await asyncio.wait({protocol.answer}, timeout=interval)
            interval *= 2
        return protocol.answer.result()
    finally:
        transport.close()
        protocol.answer.cancel()
