"""The API's description is complete, and readable without the internet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from ringback.front.docs_page import docs_page
from ringback.front.openapi import document

METHODS = ("get", "post", "put", "patch", "delete")
OPEN_TO_ALL = {"/healthz", "/readyz", "/metrics", "/api/call/{call_id}/stream", "/api/events"}
DOCUMENTED = {
    ("post", "/api/call"),
    ("get", "/api/call/{call_id}"),
    ("delete", "/api/call/{call_id}"),
    ("post", "/api/call/{call_id}/say"),
    ("post", "/api/call/{call_id}/chat"),
    ("post", "/api/call/{call_id}/typing"),
    ("post", "/api/call/{call_id}/accept"),
    ("post", "/api/call/{call_id}/refuse"),
    ("get", "/api/calls"),
    ("get", "/api/account"),
    ("get", "/api/api-keys"),
    ("post", "/api/api-keys"),
    ("post", "/api/sip/trunk"),
    ("get", "/api/sip/trunk"),
    ("delete", "/api/sip/trunk"),
    ("post", "/api/sip/trunk/dids"),
    ("delete", "/api/sip/trunk/dids/{did_id}"),
    ("post", "/api/sip/trunk/dids/{did_id}/settings"),
}


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    return document()


def operations(openapi: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in openapi["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def test_every_documented_operation_is_there(openapi: dict[str, Any]) -> None:
    present = {(method, path) for method, path, _ in operations(openapi)}
    assert present >= DOCUMENTED


def test_every_operation_says_what_it_does_and_who_may(openapi: dict[str, Any]) -> None:
    for method, path, found in operations(openapi):
        where = f"{method} {path}"
        assert found.get("summary"), where
        assert found.get("description"), where
        assert found.get("tags"), where
        assert path in OPEN_TO_ALL or found.get("security"), where
        assert path in OPEN_TO_ALL or "401" in found["responses"], where


def test_what_may_go_wrong_anywhere_is_said_everywhere(openapi: dict[str, Any]) -> None:
    for method, path, found in operations(openapi):
        if path.startswith("/api/"):
            assert "503" in found["responses"], f"{method} {path}"
        if "requestBody" in found:
            assert {"408", "413"} <= set(found["responses"]), f"{method} {path}"


def test_operation_ids_are_unique(openapi: dict[str, Any]) -> None:
    ids = [found["operationId"] for _, _, found in operations(openapi)]
    assert len(ids) == len(set(ids))


def test_every_error_has_the_one_body(openapi: dict[str, Any]) -> None:
    for method, path, found in operations(openapi):
        for status, answer in found["responses"].items():
            if not status.startswith(("4", "5")) or path == "/readyz":
                continue
            schema = answer["content"]["application/json"]["schema"]
            assert schema["$ref"].endswith("/ErrorBody"), f"{method} {path} {status}"


def test_every_request_body_has_an_example(openapi: dict[str, Any]) -> None:
    for method, path, found in operations(openapi):
        if "requestBody" not in found:
            continue
        schema = found["requestBody"]["content"]["application/json"]["schema"]
        name = schema["$ref"].rpartition("/")[2]
        assert openapi["components"]["schemas"][name].get("example"), f"{method} {path}"


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in attrs:
            if name in ("src", "href") and value and re.match(r"(https?:)?//", value):
                self.outside.append(value)


def test_the_docs_page_needs_no_script_and_no_other_host(openapi: dict[str, Any]) -> None:
    page = docs_page(openapi, "http://127.0.0.1:8080/")
    links = _Links()
    links.feed(page)
    assert (links.outside, links.scripts) == ([], 0)
    for method, path, _ in operations(openapi):
        assert f"<b>{method.upper()}</b>{path}" in page
        assert f"curl -X {method.upper()} http://127.0.0.1:8080{path}" in page


def test_the_docs_page_escapes_what_it_shows() -> None:
    nasty = "<script>alert(1)</script>"
    openapi = {
        "info": {"title": nasty, "version": "1", "description": nasty},
        "paths": {
            "/x": {
                "post": {
                    "tags": [nasty],
                    "summary": nasty,
                    "description": f"`{nasty}` and `half",
                    "parameters": [{"name": nasty, "in": "query", "description": nasty}],
                    "requestBody": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/s/B"}}}
                    },
                    "responses": {"200": {"description": nasty}},
                }
            }
        },
        "components": {
            "schemas": {
                "B": {
                    "example": {"a": nasty},
                    "properties": {
                        "a": {"enum": [nasty]},
                        "b": {"anyOf": [{"type": "string"}, {"const": 1}]},
                        "c": {"type": "array", "items": {"$ref": "#/x/B"}},
                    },
                }
            }
        },
    }
    page = docs_page(openapi, f"http://{nasty}/")
    assert "<script" not in page
