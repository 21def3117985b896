"""``/docs``: the API's description as one plain HTML page, made from the OpenAPI document.

No script and nothing from another host, so that it works on a machine without internet access.
It cannot send requests; each operation shows the ``curl`` line that does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Json = Mapping[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem;color:#1c2024}
h2{margin-top:2.5rem;border-bottom:2px solid #d9dde2}
details{border:1px solid #d9dde2;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer;font-family:ui-monospace,monospace}
summary b{display:inline-block;min-width:4.5rem}
summary span{font-family:system-ui,sans-serif;color:#5a6470;float:right}
pre{background:#f4f5f7;padding:.6rem;overflow:auto;border-radius:4px}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #e6e8eb;vertical-align:top}
code{font-family:ui-monospace,monospace}
@media(prefers-color-scheme:dark){body{background:#15181c;color:#e6e8eb}
pre{background:#20252b}details,h2,td,th{border-color:#39414a}summary span{color:#9aa4af}}
"""


def docs_page(openapi: Json, base_url: str) -> str:
    """The page. ``base_url`` is where the reader reached us, for the examples."""
    info = openapi["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
        *(f"<p>{_prose(text)}</p>" for text in info.get("description", "").split("\n\n")),
        "<p>This page is made from <a href='/openapi.json'>/openapi.json</a>, which any API "
        "tool can load. It does not send requests itself.</p>",
    ]
    schemas = openapi.get("components", {}).get("schemas", {})
    for tag, operations in _by_tag(openapi).items():
        parts.append(f"<h2>{escape(tag)}</h2>")
        parts += [
            _operation(method, path, found, schemas, base_url) for method, path, found in operations
        ]
    return "".join(parts)


def _by_tag(openapi: Json) -> dict[str, list[tuple[str, str, Json]]]:
    groups: dict[str, list[tuple[str, str, Json]]] = {}
    for path, item in openapi["paths"].items():
        for method in METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["Other"])[0]
                groups.setdefault(tag, []).append((method, path, item[method]))
    return groups


def _operation(method: str, path: str, found: Json, schemas: Json, base_url: str) -> str:
    body = _body_schema(found, schemas)
    return "".join(
        (
            f"<details><summary><b>{method.upper()}</b>{escape(path)}",
            f"<span>{escape(found.get('summary', ''))}</span></summary>",
            f"<p>{_prose(found.get('description', ''))}</p>",
            _table("Parameters", _parameters(found)),
            _table("Body", _fields(body, schemas)) if body else "",
            f"<pre>{escape(_curl(method, path, body, base_url))}</pre>",
            _table("Answers", _answers(found)),
            "</details>",
        )
    )


def _body_schema(found: Json, schemas: Json) -> Json | None:
    content = found.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    return _resolved(schema, schemas) if schema else None


def _resolved(schema: Json, schemas: Json) -> Json:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Json = schemas.get(name, schema) if name else schema
    return found


def _parameters(found: Json) -> Iterator[tuple[str, str, str]]:
    for parameter in found.get("parameters", ()):
        needed = "required" if parameter.get("required") else "optional"
        where = f"{parameter['in']}, {needed}"
        yield parameter["name"], where, parameter.get("description", "")


def _fields(body: Json, schemas: Json) -> Iterator[tuple[str, str, str]]:
    required = body.get("required", ())
    for name, schema in body.get("properties", {}).items():
        needed = "required" if name in required else "optional"
        yield name, f"{_type(schema, schemas)}, {needed}", schema.get("description", "")


def _type(schema: Json, schemas: Json) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(option, schemas) for option in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}), schemas)}"
    return kind


def _answers(found: Json) -> Iterator[tuple[str, str, str]]:
    for status, answer in found.get("responses", {}).items():
        schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
        yield status, str(schema.get("$ref", "")).rpartition("/")[2], answer.get("description", "")


def _curl(method: str, path: str, body: Json | None, base_url: str) -> str:
    lines = [f"curl -X {method.upper()} {base_url.rstrip('/')}{path}", "-H 'X-API-Key: rb_live_…'"]
    if body is not None:
        example = json.dumps(body.get("example", {}), ensure_ascii=False).replace("'", "'\\''")
        lines += ["-H 'Content-Type: application/json'", f"-d '{example}'"]
    return " \\\n  ".join(lines)


def _table(title: str, rows: Iterator[tuple[str, str, str]]) -> str:
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(kind)}<td>{_prose(text)}"
        for name, kind, text in rows
    )
    return f"<h4>{title}</h4><table>{cells}</table>" if cells else ""


def _prose(text: str) -> str:
    """Escaped text in which `words in backquotes` are code."""
    pieces = escape(text, quote=False).split("`")
    if len(pieces) % 2 == 0:
        return "`".join(pieces)
    return "".join(
        f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces)
    )
