"""Logs: their two formats, the values bound to them, and what they must never show."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from ringback.core.logging import configure_logging, log_context, mask_text


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_logs_are_one_object_per_line_from_every_library() -> None:
    out = io.StringIO()
    configure_logging("info", json=True, out=out)
    with log_context(call_id="call_1"):
        structlog.stdlib.get_logger("ours").info("call_answered", codec="PCMA")
        logging.getLogger("theirs").warning("slow %s", "peer")
    logging.getLogger("theirs").debug("unseen")
    ours, theirs = lines(out)
    assert ours["event"] == "call_answered"
    assert ours["codec"] == "PCMA"
    assert ours["call_id"] == theirs["call_id"] == "call_1"
    assert theirs["event"] == "slow peer"
    assert theirs["level"] == "warning"
    assert "timestamp" in ours


def test_logs_for_people_are_one_line() -> None:
    out = io.StringIO()
    configure_logging("debug", out=out)
    structlog.stdlib.get_logger("ours").debug("call_answered", codec="PCMA")
    assert out.getvalue().count("\n") == 1
    assert "call_answered" in out.getvalue()
    assert "codec=PCMA" in out.getvalue()


def test_an_exception_is_logged_with_its_traceback_and_without_its_secrets() -> None:
    out = io.StringIO()
    configure_logging("info", json=True, out=out)
    try:
        raise ValueError("cannot reach sip:bob:hunter2@host")
    except ValueError:
        structlog.stdlib.get_logger("ours").exception("failed")
    (line,) = lines(out)
    assert "ValueError" in str(line["exception"])
    assert "hunter2" not in out.getvalue()


def test_values_are_hidden_by_the_name_of_their_key() -> None:
    out = io.StringIO()
    configure_logging("info", json=True, out=out)
    structlog.stdlib.get_logger("ours").info(
        "x",
        sip_password="hunter2",
        headers={"Authorization": "hunter2", "Via": "SIP/2.0/UDP host"},
        things=[{"api_key": "hunter2"}],
        secret=None,
        raw=b"X-API-Key: hunter2\r\n",
    )
    (line,) = lines(out)
    assert "hunter2" not in out.getvalue()
    assert line["headers"] == {"Authorization": "***", "Via": "SIP/2.0/UDP host"}
    assert line["secret"] is None


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("key rb_live_7f3k2m9q_pT4vXz8wLq2n used", "key rb_live_7f3k2m9q_*** used"),
        (
            'Authorization: Digest username="bob", response="abc"\r\nTo: x',
            "Authorization: ***\nTo: x",
        ),
        ("proxy-authorization : Digest nonce", "proxy-authorization : ***"),
        ("sent Bearer abcdefghijkl to it", "sent Bearer *** to it"),
        ("sip:bob:pw@example.com;x", "sip:bob:***@example.com;x"),
        ("postgresql://u:pw@host/db", "postgresql://u:***@host/db"),
        ("GET /api/call/1/stream?api_key=abc&x=1", "GET /api/call/1/stream?api_key=***&x=1"),
        ('{"password": "pw", "user": "bob"}', '{"password": "***", "user": "bob"}'),
        ("sip:bob@example.com:5060", "sip:bob@example.com:5060"),
        ("http://host:8080/path@x", "http://host:8080/path@x"),
    ],
)
def test_secrets_within_a_text_are_hidden_and_the_rest_stays(text: str, masked: str) -> None:
    assert mask_text(text) == masked
