"""The OpenAPI document without a running node: for ``docs/openapi.json``."""

from __future__ import annotations

from typing import Any

from ringback.agents.service import AgentService
from ringback.core.bus import LocalBus
from ringback.core.clock import SystemClock
from ringback.core.database import Database
from ringback.core.metrics import Metrics
from ringback.core.secrets import SecretBox, generate_key
from ringback.front.web import Services, api
from ringback.telephony.service import Telephony


def document() -> dict[str, Any]:
    """What ``GET /openapi.json`` of this version answers."""
    # Routes only remember the services that they will call; nothing calls them here.
    unused: Any = object()
    database = Database("sqlite://", SecretBox([generate_key()]))
    clock = SystemClock()
    agents = AgentService(database, clock)
    return api(
        Services(
            accounts=unused,
            agents=agents,
            telephony=Telephony(database, clock, LocalBus(), agents),
            calls=unused,
            idempotency=unused,
            guard=unused,
            bus=LocalBus(),
            metrics=Metrics(),
            readiness=unused,
            speech=unused,
        )
    ).openapi()
