"""Errors as HTTP: one body shape and one table of statuses, for every route.

Every error answer is ``{"error": {"code", "message", "hint", "retryable"}}``.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from ringback.core.errors import ErrorKind, RingbackError
from ringback.core.http.complaints import validation_hint, validation_message

_NOT_JSON = ("invalid_json", "The body is not valid JSON.", "Send a JSON object in UTF-8.")

RETRY_AFTER_SECONDS = 5

_STATUS = {
    ErrorKind.INVALID: 400,
    ErrorKind.NOT_CONFIGURED: 400,
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 409,
    ErrorKind.LIMIT: 429,
    ErrorKind.STARTUP: 500,
    ErrorKind.UPSTREAM: 502,
    ErrorKind.UNAVAILABLE: 503,
}

log = structlog.stdlib.get_logger(__name__)


class ErrorDetail(BaseModel):
    model_config = ConfigDict(extra="forbid")

    code: str = Field(description="A stable word for programs.", examples=["not_found"])
    message: str = Field(description="What happened.", examples=["There is no such trunk."])
    hint: str = Field(description="What to do next; may be empty.", examples=[""])
    retryable: bool = Field(description="Whether the same request may succeed later.")


class ErrorBody(BaseModel):
    """The body of every error answer."""

    model_config = ConfigDict(extra="forbid")

    error: ErrorDetail


_DOCUMENTED: dict[int, tuple[str, ErrorDetail]] = {
    status: (description, ErrorDetail(code=code, message=message, hint=hint, retryable=retryable))
    for status, description, code, message, hint, retryable in (
        (
            400,
            "The request cannot be carried out as it is.",
            "invalid_request",
            "`cursor` is not one that this list has given out.",
            "Take `next_cursor` of the page before.",
            False,
        ),
        (
            401,
            "No API key, or one that is not valid.",
            "invalid_api_key",
            "This API key is not valid.",
            "Check the key, or make a new one.",
            False,
        ),
        (403, "This key may not do that.", "forbidden", "This key may not do that.", "", False),
        (
            404,
            "No such thing in this account.",
            "not_found",
            "There is no such thing in this account.",
            "",
            False,
        ),
        (
            408,
            "The body did not come in time.",
            "request_timeout",
            "The body was not complete within 30 s.",
            "",
            False,
        ),
        (
            409,
            "Not possible in the present state.",
            "conflict",
            "This number exists already.",
            "",
            False,
        ),
        (413, "The body is too large.", "body_too_large", "The body is too large.", "", False),
        (
            422,
            "The request is not valid; the message names the field.",
            "invalid_request",
            "The request is not valid: `name` is required.",
            "",
            False,
        ),
        (
            429,
            "A limit is reached.",
            "limit_reached",
            "Too many requests with a wrong key came from this address.",
            "Wait a minute.",
            True,
        ),
        (500, "A fault of Ringback.", "internal_error", "Something went wrong here.", "", True),
        (502, "A peer or vendor failed.", "upstream_failed", "The trunk refused.", "", True),
        (
            503,
            "Not now: overloaded or shutting down.",
            "unavailable",
            "This node is shutting down.",
            "Try again in a few seconds.",
            True,
        ),
    )
}


ERROR_SCHEMA = {"$ref": "#/components/schemas/ErrorBody"}
"""By name: a model that FastAPI builds for each status of each route takes time at every start.
The stream routes, which name the model itself, bring its component."""


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses=`` of a route: the error statuses it may answer with, documented."""
    return {status: _documented(status) for status in sorted({*statuses})}


def _documented(status: int) -> dict[str, Any]:
    description, detail = _DOCUMENTED[status]
    example = {"error": detail.model_dump()}
    return {
        "description": description,
        "content": {"application/json": {"example": example, "schema": ERROR_SCHEMA}},
    }


def status_of(error: RingbackError) -> int:
    return _STATUS[error.kind]


def error_content(
    code: str, message: str, hint: str = "", retryable: bool = False
) -> dict[str, Any]:
    """The body of an error answer, as plain data (for REST, WebSocket and MCP alike)."""
    return {
        "error": {"code": code, "message": message, "hint": hint, "retryable": retryable},
    }


def install_error_handlers(app: FastAPI) -> None:
    """Let every error of ``app`` have the one body."""
    app.add_exception_handler(RingbackError, _on_ringback_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(DBAPIError, _on_database_error)
    app.add_exception_handler(PoolTimeoutError, _on_database_error)
    app.add_exception_handler(Exception, _on_bug)


async def _on_ringback_error(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RingbackError):
        raise error
    status = status_of(error)
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    content = error_content(error.code, error.message, error.hint, error.retryable)
    return JSONResponse(content, status, headers)


async def _on_invalid_request(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    details = error.errors()
    if any(detail["type"] == "json_invalid" for detail in details):
        return JSONResponse(
            error_content(*_NOT_JSON),
            HTTPStatus.BAD_REQUEST,
        )
    return JSONResponse(
        error_content("invalid_request", validation_message(details), validation_hint(details)),
        HTTPStatus.UNPROCESSABLE_ENTITY,
    )


_HTTP_CODES = {
    400: _NOT_JSON,  # FastAPI's own: bytes that are not UTF-8, or nested beyond reason
    404: ("unknown_path", "There is nothing at this path.", "The API is described at /docs."),
    405: ("method_not_allowed", "This path does not take this method.", "See the Allow header."),
    413: ("body_too_large", "The body is too large.", ""),
}


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    fallback = (HTTPStatus(error.status_code).name.lower(), str(error.detail), "")
    code, message, hint = _HTTP_CODES.get(error.status_code, fallback)
    return JSONResponse(error_content(code, message, hint), error.status_code, headers)


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _allowed_methods(request: Request) -> list[str]:
    """The methods of this path over all routes: the router itself names those of one only."""
    routes = request.app.router.routes
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    ]


async def _on_database_error(_: Request, error: Exception) -> JSONResponse:
    """A race that a constraint caught, or a database that is busy, full or gone."""
    if isinstance(error, IntegrityError):
        content = error_content(
            "changed_meanwhile",
            "Something that this request refers to was changed at the same time.",
            "Look again, and repeat the request if it still makes sense.",
            retryable=True,
        )
        return JSONResponse(content, HTTPStatus.CONFLICT)
    if not isinstance(error, OperationalError | InterfaceError | PoolTimeoutError):
        raise error
    log.error("database_failed", why=str(getattr(error, "orig", error)))
    content = error_content(
        "database_unavailable", "The database does not answer now.", "Try again.", retryable=True
    )
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return JSONResponse(content, HTTPStatus.SERVICE_UNAVAILABLE, headers)


async def _on_bug(_: Request, error: Exception) -> JSONResponse:
    """The answer to a fault of ours. The edge logs it, with its traceback."""
    return JSONResponse(
        error_content("internal_error", "Something went wrong here.", "", retryable=True),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
