"""Every registering trunk kept registered, and the directory told how each of them fares."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from ringback.connectors.sip.directory import SipDirectory, TrunkAccount
from ringback.connectors.sip.leg import SipDriver
from ringback.connectors.sip.outbound import HopFinder, credentials_of, routes_of
from ringback.connectors.sip.terms import CONTACT_TOKEN
from ringback.sip.registration import (
    Registration,
    RegistrationChanged,
    RegistrationRequest,
    RegistrationStatus,
)
from ringback.sip.transport import Hop
from ringback.sip.uri import Uri

log = structlog.get_logger(__name__)

UNREGISTER_WAIT = 2.0
"""Seconds that a stop waits for registrars to confirm."""


@dataclass(slots=True)
class _Kept:
    trunk: TrunkAccount
    registration: Registration


class Registrations:
    """Follows the trunks of the directory: adds, replaces and removes registrations, so that an
    edit takes effect without a restart and without touching the others."""

    def __init__(self, directory: SipDirectory, driver: SipDriver, hops: HopFinder) -> None:
        self._directory = directory
        self._driver = driver
        self._hops = hops
        self._kept: dict[str, _Kept] = {}
        self._all_gone = asyncio.Event()
        self._stopping: set[Registration] = set()

    async def synchronise(self) -> None:
        """Make the registrations those of the directory."""
        wanted = {t.id: t for t in await self._directory.trunks() if t.registers}
        for trunk_id in [i for i, kept in self._kept.items() if wanted.get(i) != kept.trunk]:
            self._drop(trunk_id)
        for trunk in wanted.values():
            if trunk.id not in self._kept:
                self._add(trunk)
        self._driver.pump()

    def changed(self, event: RegistrationChanged) -> None:
        kept = next((k for k in self._kept.values() if k.registration is event.registration), None)
        if kept is None:
            self._stopping.discard(event.registration)
            if not self._stopping:
                self._all_gone.set()
            return
        log.info(
            "trunk registration",
            trunk=kept.trunk.id,
            status=event.status.value,
            why=event.reason,
            sip_status=event.sip_status,
        )
        self._directory.registration_changed(
            kept.trunk.id, event.status.value, event.reason, event.expires
        )

    async def hops_of(self, key: str) -> tuple[Hop, ...] | None:
        """Where the registrar of the registration ``key`` is: at the trunk's host, whatever domain
        its addresses carry. ``None``: no registration has this key.

        Raises ``UpstreamFailed`` when the name cannot be resolved.
        """
        trunk = next((k.trunk for k in self._kept.values() if k.registration.id == key), None)
        return None if trunk is None else await self._hops.trunk_hops(trunk)

    async def stop(self) -> None:
        """Unregister everything, waiting a moment for the registrars to say so."""
        self._all_gone.clear()
        for trunk_id in list(self._kept):
            self._drop(trunk_id)
        self._driver.pump()
        if self._stopping:
            try:
                await asyncio.wait_for(self._all_gone.wait(), UNREGISTER_WAIT)
            except TimeoutError:
                log.info("registrars did not confirm in time", count=len(self._stopping))

    def _add(self, trunk: TrunkAccount) -> None:
        registration = self._driver.endpoint.register(
            RegistrationRequest(
                registrar=Uri("sip", host=trunk.domain),
                aor=Uri("sip", user=trunk.username, host=trunk.domain),
                contact_user=trunk.username,
                credentials=credentials_of(trunk),
                expires=trunk.register_expires,
                contact_params=((CONTACT_TOKEN, trunk.contact_token),),
                routes=routes_of(trunk),
                server=trunk.outbound_proxy or trunk.host,
            ),
            (),
            now=self._driver.now(),
        )
        self._kept[trunk.id] = _Kept(trunk, registration)
        self._directory.registration_changed(
            trunk.id, RegistrationStatus.UNKNOWN.value, "Registering …", None
        )

    def _drop(self, trunk_id: str) -> None:
        kept = self._kept.pop(trunk_id)
        if kept.registration.unregister(now=self._driver.now()):
            self._stopping.add(kept.registration)
