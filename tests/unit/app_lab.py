"""A whole application on free ports of 127.0.0.1, with a telephone company of the test's own."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from ringback.app import Application, Foundation, PhoneStack, build
from ringback.core.clock import SystemClock
from ringback.core.settings import Settings, load_settings
from ringback.media.plane import MediaPlane
from ringback.net.public_address import PublicAddress
from ringback.telephony.service import Telephony
from unit.calls.fakes import FakeConnector

KEY = "a-key-that-the-operator-chose"


def free_pair() -> int:
    """An even UDP port that is free together with the next one."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1] & ~1
        if 1024 <= port < 65000:
            return port


def app_settings(folder: Path, **changes: object) -> Settings:
    first = free_pair()
    values: dict[str, object] = {
        "data_dir": folder / "data",
        "http_host": "127.0.0.1",
        "http_port": 0,
        "sip_host": "127.0.0.1",
        "sip_port": 0,
        "rtp_ports": f"{first}-{first + 201}",
        "api_key": KEY,
        "shutdown_grace": 0,
        "load_limit": 0,
    }
    return load_settings(values | changes, env_file=None)


@dataclass
class AppLab:
    """``phone`` is a connector that the test plays; ``api`` speaks to the real listener."""

    application: Application
    phone: FakeConnector
    api: httpx2.AsyncClient

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.application.http_port}"

    def stream(self, call_id: str) -> str:
        return f"ws://{self.host}/api/call/{call_id}/stream?api_key={KEY}"

    def events(self) -> str:
        return f"ws://{self.host}/api/events?api_key={KEY}"


@asynccontextmanager
async def app_lab(folder: Path, **changes: object) -> AsyncIterator[AppLab]:
    phones: list[FakeConnector] = []

    def make_phone(foundation: Foundation, telephony: Telephony, plane: MediaPlane) -> PhoneStack:
        phone = FakeConnector(plane)
        phone.account_id = "acct_owner"
        phones.append(phone)
        return PhoneStack(phone, PublicAddress(clock=SystemClock()))

    application = build(app_settings(folder, **changes), make_phone=make_phone)
    async with AsyncExitStack() as exits:
        await application.start()
        exits.push_async_callback(application.stop)
        api = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{application.http_port}",
            headers={"X-API-Key": KEY},
            trust_env=False,
        )
        await exits.enter_async_context(api)
        yield AppLab(application, phones[0], api)
