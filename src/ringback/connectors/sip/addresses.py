"""The addresses behind the host names of trunks that do not register.

Such a trunk is known by where its calls come from; a provider may move, so the names are looked
up again from time to time. A registering trunk is looked up by its registration.
"""

from __future__ import annotations

import asyncio

import structlog

from ringback.connectors.sip.directory import SipDirectory
from ringback.connectors.sip.outbound import HopFinder
from ringback.core.errors import RingbackError

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 300.0


class TrunkAddresses:
    def __init__(self, directory: SipDirectory, hops: HopFinder) -> None:
        self._directory = directory
        self._hops = hops
        self._changed = asyncio.Event()

    def refresh_now(self) -> None:
        self._changed.set()

    async def keep_fresh(self) -> None:
        """Look the names up at once, whenever told, and every ``REFRESH_SECONDS``; for ever."""
        while True:
            self._changed.clear()
            for trunk in await self._directory.trunks():
                if trunk.registers or not trunk.host:
                    continue
                try:
                    await self._hops.trunk_hops(trunk)
                except RingbackError as error:
                    log.warning("trunk not found", trunk=trunk.id, why=error.message)
            try:
                await asyncio.wait_for(self._changed.wait(), REFRESH_SECONDS)
            except TimeoutError:
                continue
