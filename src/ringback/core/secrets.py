"""Secrets at rest: the key file, the box that encrypts, and the column type that uses it.

``SECRET_KEYS`` is a list of Fernet keys: the first encrypts, all decrypt, so that a key is
rotated by putting a new one in front and running ``rotate_all``. Without ``SECRET_KEYS`` a key is
made once in ``DATA_DIR/secret.key`` (mode 0600).
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr
from sqlalchemy import Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from ringback.core.errors import StartupError

KEY_FILE = "secret.key"
MASK = "••••••••"


class SecretUnreadable(Exception):
    """A stored secret was encrypted with a key that is not configured (or was tampered with)."""


class SecretBox:
    """Encrypts and decrypts short texts. Its ``repr`` shows nothing."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Raises :class:`StartupError` for a key that is not a Fernet key (32 bytes, base64)."""
        if not keys:
            raise StartupError("No secret key is configured.")
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except (ValueError, binascii.Error):
            raise StartupError(
                "RINGBACK_SECRET_KEYS holds a value that is not a Fernet key "
                "(32 bytes in URL-safe base64).",
                hint="Make one with: python -c 'from cryptography.fernet import Fernet as F; "
                "print(F.generate_key().decode())'",
            ) from None

    def __repr__(self) -> str:
        return "SecretBox()"

    def encrypt(self, plain: str) -> str:
        return self._fernet.encrypt(plain.encode()).decode("ascii")

    def decrypt(self, token: str) -> str:
        """Raises :class:`SecretUnreadable`."""
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken:
            raise SecretUnreadable("a stored secret cannot be decrypted") from None

    def rotate(self, token: str) -> str:
        """The same secret, encrypted with the first key. Raises :class:`SecretUnreadable`."""
        try:
            return self._fernet.rotate(token.encode()).decode("ascii")
        except InvalidToken:
            raise SecretUnreadable("a stored secret cannot be decrypted") from None


def generate_key() -> str:
    """A fresh Fernet key."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode("ascii")


def open_secret_box(keys: Sequence[SecretStr], data_dir: Path) -> SecretBox:
    """The box for the configured keys, or for the key file, which is made when there is none.

    Raises :class:`StartupError` with one sentence.
    """
    if keys:
        return SecretBox([key.get_secret_value() for key in keys])
    path = data_dir / KEY_FILE
    try:
        return SecretBox([_read_or_make_key(path)])
    except StartupError:
        raise StartupError(
            f"The secret key file {path} does not hold a key.",
            hint="Restore it from a backup: without it the stored passwords cannot be read.",
        ) from None
    except OSError as error:
        raise StartupError(
            f"The secret key file {path} cannot be used: {error.strerror or error}.",
            hint="Check the permissions of the data directory.",
        ) from error


def _read_or_make_key(path: Path) -> str:
    """Make the key file if there is none, so that a crash or a race leaves a whole key or none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(generate_key() + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
        finally:
            draft.unlink(missing_ok=True)
    return path.read_text().strip()


def mask(secret: str | None) -> str | None:
    """What a response shows in place of a secret: eight dots, or ``None`` where there is none."""
    return MASK if secret else None


_boxes: WeakKeyDictionary[Dialect, SecretBox] = WeakKeyDictionary()


def attach_secret_box(dialect: Dialect, box: SecretBox) -> None:
    """Let :class:`EncryptedText` columns of this engine use ``box``."""
    _boxes[dialect] = box


class EncryptedText(TypeDecorator[str]):
    """A text column that is encrypted in the database and plain in memory.

    Loading a row whose secret cannot be decrypted raises :class:`SecretUnreadable`.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else _boxes[dialect].encrypt(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else _boxes[dialect].decrypt(value)
