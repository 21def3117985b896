"""Secrets of the node itself, kept encrypted in the database, and the rotation of all secrets.

The first secret read at start also proves that the configured keys fit this database.
"""

from __future__ import annotations

import secrets

from sqlalchemy import String, Text, select, type_coerce, update
from sqlalchemy.orm import Mapped, mapped_column

from ringback.core.database import Base, Database
from ringback.core.errors import StartupError
from ringback.core.secrets import EncryptedText, SecretBox, SecretUnreadable


class NodeSecret(Base):
    """A random secret that every node of this database shares."""

    __tablename__ = "node_secrets"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(EncryptedText)


async def node_secret(database: Database, name: str) -> bytes:
    """The 32 random bytes called ``name``, made at the first call.

    Raises :class:`StartupError` when the database was encrypted with another key.
    """
    try:
        async with database.session() as session:
            stored = await session.get(NodeSecret, name)
            if stored is None:
                stored = NodeSecret(name=name, value=secrets.token_hex(32))
                session.add(stored)
            return bytes.fromhex(stored.value)
    except SecretUnreadable:
        raise StartupError(
            "The secret key does not fit the database: its passwords were encrypted with another "
            "key.",
            hint="Restore DATA_DIR/secret.key, or add the former key to RINGBACK_SECRET_KEYS.",
        ) from None


async def rotate_all(database: Database, box: SecretBox) -> int:
    """Encrypt every stored secret anew with the first key; returns how many there were.

    Raises :class:`SecretUnreadable` (and changes nothing) when one cannot be decrypted.
    """
    rotated = 0
    async with database.session() as session:
        for table in Base.metadata.sorted_tables:
            key = list(table.primary_key.columns)
            for column in table.columns:
                if not isinstance(column.type, EncryptedText):
                    continue
                raw = type_coerce(column, Text)
                rows = await session.execute(select(*key, raw).where(column.is_not(None)))
                for row in rows.all():
                    same_row = [part == value for part, value in zip(key, row, strict=False)]
                    token = type_coerce(box.rotate(row[-1]), Text)
                    await session.execute(
                        update(table).where(*same_row).values({column.name: token})
                    )
                    rotated += 1
    return rotated
