"""An API key made straight in this machine's database, for whoever lost theirs.

Whoever can read the data folder can read the secret key in it, so this gives nobody more than
they have.
"""

from __future__ import annotations

import asyncio

from ringback.accounts.models import OWNER_ACCOUNT_ID
from ringback.accounts.service import AccountService
from ringback.core.clock import SystemClock
from ringback.core.database import Database
from ringback.core.errors import StartupError
from ringback.core.secrets import open_secret_box
from ringback.core.settings import Settings, load_settings


def make_key_here(name: str) -> str:
    """Raises ``StartupError`` where no gateway was ever started with this data folder."""
    return asyncio.run(_make(load_settings(), name))


async def _make(settings: Settings, name: str) -> str:
    if settings.database_url is None and not (settings.data_dir / "ringback.db").exists():
        raise StartupError(
            f"There is no database in {settings.data_dir.absolute()}.",
            hint="Run this in the folder where the gateway was started, or set RINGBACK_DATA_DIR.",
        )
    box = open_secret_box(settings.secret_keys, settings.data_dir)
    database = Database(settings.resolved_database_url, box)
    try:
        await database.check()
        accounts = await AccountService.open(database, SystemClock())
        return (await accounts.create_key(OWNER_ACCOUNT_ID, name)).key
    finally:
        await database.dispose()
