"""The REST API as the management commands call it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

import httpx2

from ringback.core.errors import RingbackError, Unauthenticated, Unavailable
from ringback.core.settings import load_settings

TIMEOUT_SECONDS = 15.0


class ApiClient:
    """One node's API. ``url`` and ``key`` default to this machine's settings."""

    def __init__(self, url: str | None, key: str | None) -> None:
        settings = load_settings()
        host = "127.0.0.1" if settings.http_host in ("0.0.0.0", "::") else settings.http_host
        self.url = (url or f"http://{host}:{settings.http_port}").rstrip("/")
        known = settings.api_key.get_secret_value() if settings.api_key else None
        self._key = key or known
        if not self._key:
            raise Unauthenticated(
                "No API key given.",
                hint="Pass --key, or put RINGBACK_API_KEY into .env. "
                "Lost it? `ringback key add --here` makes another one on this machine.",
            )
        self._http = httpx2.Client(
            base_url=self.url,
            headers={"X-API-Key": self._key},
            timeout=TIMEOUT_SECONDS,
            trust_env=not _is_local(self.url),
        )

    def get(self, path: str, **params: str) -> Any:
        return self._call("GET", path, params=params)

    def download(self, path: str, accept: str = "*/*") -> bytes:
        """What is not JSON."""
        return self._send("GET", path, headers={"Accept": accept}).content

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._call("POST", path, json=dict(body or {}))

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call("PATCH", path, json=dict(body))

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._send(method, path, **arguments)
        return answer.json() if answer.content else None

    def _send(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx2.HTTPError as error:
            raise Unavailable(
                f"No answer from Ringback at {self.url} ({error}).",
                hint="Is it running (`make run`)? Another address: --url http://host:port",
            ) from error
        if answer.is_success:
            return answer
        raise _as_error(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()


def _is_local(url: str) -> bool:
    return "//127." in url or "//localhost" in url or "//[::1]" in url or "NO_PROXY" in os.environ


def _as_error(answer: httpx2.Response) -> RingbackError:
    try:
        body = answer.json()["error"]
        return RingbackError(str(body["message"]), code=str(body["code"]), hint=str(body["hint"]))
    except (ValueError, KeyError, TypeError):
        return RingbackError(f"{answer.request.url} answered {answer.status_code}.")
