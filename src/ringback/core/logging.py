"""Logs: one format for ours and the libraries', for people or as JSON, with no secret in it.

``configure_logging`` is called once by the program. Everything else takes a logger from
``structlog.stdlib.get_logger(__name__)`` (or the standard library's) and binds what every line of
a request or call should carry::

    with log_context(call_id=call_id):
        ...
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog
from structlog.contextvars import bound_contextvars
from structlog.typing import Processor

log_context = bound_contextvars
"""``with log_context(call_id=…)``: bind values to every log line of this task."""

HIDDEN = "***"

_SECRET_WORDS = (
    "password",
    "passwd",
    "secret",
    "api_key",
    "apikey",
    "token",
    "authorization",
    "credential",
    "cookie",
)

_SECRETS_IN_TEXT: tuple[tuple[re.Pattern[str], str], ...] = (
    # our own API keys; the id in the middle is public
    (re.compile(r"\b(rb_live_[0-9A-Za-z]+)_[0-9A-Za-z_-]+"), rf"\1_{HIDDEN}"),
    # HTTP and SIP headers that hold credentials, to the end of the line
    (
        re.compile(r"(?im)\b((?:proxy-)?authorization|x-api-key|cookie|set-cookie)(\s*:\s*).+"),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic|digest)\s+[0-9A-Za-z._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    # sip:user:password@host, postgresql://user:password@host
    (re.compile(r"((?:\bsips?:|://)[^\s:@/;?<>]+):[^\s@/;?<>]+@"), rf"\1:{HIDDEN}@"),
    # key=value in a query string or a JSON body
    (
        re.compile(r'(?i)\b(api_key|apikey|password|secret|token)("?\s*[=:]\s*"?)[^\s"&,;}]+'),
        rf"\1\2{HIDDEN}",
    ),
)

_QUIET_LIBRARIES = ("alembic", "aiosqlite", "httpx2", "httpcore2", "asyncio", "uvicorn.access")


def configure_logging(
    level: str = "info", *, json: bool = False, out: TextIO | None = None, lasting: bool = False
) -> None:
    """Send all logs of the process to ``out`` (default: standard error) at ``level``. ``lasting``:
    it is configured once, and loggers need not look again for every line."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        mask_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=lasting,
    )
    stream = out if out is not None else sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(json, colors=stream.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _renderer(json: bool, colors: bool) -> Processor:
    if json:
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback
    )


def mask_secrets(
    _logger: Any, _method: str, event_dict: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A structlog processor: hides values by the name of their key, and secrets within texts."""
    for key, value in event_dict.items():
        event_dict[key] = _masked(key, value)
    return event_dict


def _masked(key: str, value: Any) -> Any:
    if any(word in key.lower() for word in _SECRET_WORDS):
        return HIDDEN if value else value
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, bytes):
        return mask_text(value.decode("utf-8", "backslashreplace"))
    if isinstance(value, Mapping):
        return {name: _masked(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked("", inner) for inner in value]
    return value


def mask_text(text: str) -> str:
    """``text`` with credentials replaced: API keys, authorization headers, passwords in URIs."""
    for pattern, replacement in _SECRETS_IN_TEXT:
        text = pattern.sub(replacement, text)
    return text
