"""Secrets at rest: the key file, the box, rotation and the column type."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import text

from ringback.core.database import Database
from ringback.core.errors import StartupError
from ringback.core.secrets import (
    KEY_FILE,
    MASK,
    SecretBox,
    SecretUnreadable,
    generate_key,
    mask,
    open_secret_box,
)
from ringback.core.vault import node_secret, rotate_all
from unit.core.stores import open_database, run


@given(st.text())
def test_what_goes_into_the_box_comes_out(plain: str) -> None:
    box = SecretBox([generate_key()])
    token = box.encrypt(plain)
    assert box.decrypt(token) == plain
    assert plain not in token or len(plain) < 3


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    old, new = generate_key(), generate_key()
    token = SecretBox([old]).encrypt("hush")
    both = SecretBox([new, old])
    assert both.decrypt(token) == "hush"
    rotated = both.rotate(token)
    assert SecretBox([new]).decrypt(rotated) == "hush"
    with pytest.raises(SecretUnreadable):
        SecretBox([old]).decrypt(rotated)


def test_a_tampered_secret_is_refused() -> None:
    box = SecretBox([generate_key()])
    token = box.encrypt("hush")
    for broken in (token[:-2] + "AA", "", "nonsense"):
        with pytest.raises(SecretUnreadable):
            box.decrypt(broken)
        with pytest.raises(SecretUnreadable):
            box.rotate(broken)


def test_the_box_shows_nothing() -> None:
    key = generate_key()
    assert key not in repr(SecretBox([key]))


def test_a_key_that_is_none_is_one_sentence() -> None:
    with pytest.raises(StartupError, match="not a Fernet key"):
        open_secret_box([SecretStr("hello")], Path("."))
    with pytest.raises(StartupError, match="No secret key"):
        SecretBox([])


def test_the_key_file_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    token = open_secret_box([], folder).encrypt("hush")
    path = folder / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(folder) == [KEY_FILE]
    assert open_secret_box([], folder).decrypt(token) == "hush"


def test_configured_keys_leave_no_key_file(tmp_path: Path) -> None:
    open_secret_box([SecretStr(generate_key())], tmp_path)
    assert not (tmp_path / KEY_FILE).exists()


def test_a_damaged_key_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("not a key\n")
    with pytest.raises(StartupError, match="does not hold a key") as caught:
        open_secret_box([], tmp_path)
    assert "backup" in caught.value.hint


def test_a_key_file_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(StartupError, match="cannot be used"):
        open_secret_box([], tmp_path / "data")


def test_a_mask_shows_only_that_there_is_a_secret() -> None:
    assert mask("x") == mask("a much longer secret") == MASK
    assert mask(None) is None
    assert mask("") is None


async def stored(database: Database) -> str:
    async with database.engine.connect() as connection:
        value = await connection.scalar(text("SELECT value FROM node_secrets WHERE name = 'n'"))
    assert isinstance(value, str)
    return value


def test_a_node_secret_is_made_once_and_stored_encrypted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_database(tmp_path) as database:
            secret = await node_secret(database, "n")
            assert len(secret) == 32
            assert await node_secret(database, "n") == secret
            assert await node_secret(database, "other") != secret
            assert secret.hex() not in await stored(database)

    run(scenario())


def test_another_key_than_the_databases_is_one_sentence(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_database(tmp_path) as database:
            await node_secret(database, "n")
        async with open_database(tmp_path) as database:
            with pytest.raises(StartupError, match="does not fit the database"):
                await node_secret(database, "n")

    run(scenario())


def test_rotation_encrypts_everything_with_the_new_key(tmp_path: Path) -> None:
    old, new = generate_key(), generate_key()

    async def scenario() -> None:
        async with open_database(tmp_path, SecretBox([old])) as database:
            secret = await node_secret(database, "n")
            await node_secret(database, "other")
        both = SecretBox([new, old])
        async with open_database(tmp_path, both) as database:
            assert await rotate_all(database, both) == 2
        async with open_database(tmp_path, SecretBox([new])) as database:
            assert await node_secret(database, "n") == secret

    run(scenario())


def test_rotation_without_the_old_key_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_database(tmp_path) as database:
            await node_secret(database, "n")
            before = await stored(database)
            with pytest.raises(SecretUnreadable):
                await rotate_all(database, SecretBox([generate_key()]))
            assert await stored(database) == before

    run(scenario())
