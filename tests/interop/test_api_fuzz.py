"""Schemathesis against a running gateway, from the document that the gateway itself gives out.

Every operation gets its documented examples, the edges of its schema, and a few requests that
fit it and a few that do not. Ids are partly those of things that exist, or nothing but 404 would
be seen. The examples are the same in every run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS, not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.generation import GenerationMode

from interop.peers.gateway import API_KEY, Gateway
from ringback.front.openapi import document

EXAMPLES = 12
"""Generated requests per operation, beside the documented examples and the edges."""
SECONDS = 10
"""The most that one answer may take."""
UPGRADES = "/stream$|^/api/events$"
"""The WebSockets, which the document describes as the upgrades that they are."""
CHECKED = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)


@pytest.fixture(scope="module")
def busy_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of one account that has one of everything."""
    with Gateway(tmp_path_factory.mktemp("fuzzed") / "gateway") as running:
        yield running
        assert "Traceback" not in running.process.output


@pytest.fixture(scope="module")
def known_ids(busy_gateway: Gateway) -> dict[str, Callable[[], str]]:
    """For the path parameters: the id of a thing that exists, made anew where it was deleted."""
    post, numbers = busy_gateway.post, itertools.count(33612345000)

    def trunk() -> str:
        there = busy_gateway.get("/api/trunks")["items"]
        body = {
            "name": "Fuzzed",
            "mode": "ip_allowlist",
            "host": "127.0.0.1",
            "port": busy_gateway.sip_port,
        }
        return str(there[0]["id"] if there else post("/api/trunks", body)["id"])

    def number() -> str:
        there = busy_gateway.get("/api/phone-numbers")["items"]
        if there:
            return str(there[0]["id"])
        body = {"number": f"+{next(numbers)}", "trunk_id": trunk()}
        return str(post("/api/phone-numbers", body)["id"])

    def agent() -> str:
        there = [a for a in busy_gateway.get("/api/agents")["items"] if not a["built_in"]]
        body = {"name": "Fuzzed", "mode": "stream"}
        return str(there[0]["id"] if there else post("/api/agents", body)["id"])

    def key() -> str:
        there = busy_gateway.get("/api/api-keys")["items"]
        return str(there[1]["id"] if len(there) > 1 else post("/api/api-keys")["id"])

    def call() -> str:
        there = busy_gateway.get("/api/calls")["items"]
        if there:
            return str(there[0]["call_id"])
        target = f"sip:demo@127.0.0.1:{busy_gateway.sip_port}"
        body = {"platform": "sip", "meeting_url": target, "trunk_id": trunk()}
        return str(post("/api/call", body)["call_id"])

    return {
        "trunk_id": trunk,
        "number_id": number,
        "did_id": number,
        "agent_id": agent,
        "key_id": key,
        "call_id": call,
    }


schema = schemathesis.openapi.from_dict(
    document(),
    config=SchemathesisConfig(
        projects=ProjectsConfig(
            default=ProjectConfig(generation=GenerationConfig(deterministic=True))
        ),
        seed=1,
    ),
).exclude(path_regex=UPGRADES)


def test_the_gateway_gives_out_this_document(busy_gateway: Gateway) -> None:
    assert busy_gateway.get("/openapi.json") == document()


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_document_promises(
    case: Any, busy_gateway: Gateway, known_ids: dict[str, Callable[[], str]]
) -> None:
    for name, known in known_ids.items():
        if not _wrong_on_purpose(case) and len(str(case.path_parameters.get(name, ""))) % 2:
            case.path_parameters[name] = known()
    _do_not_wait_for_keys(case)
    case.call_and_validate(
        base_url=busy_gateway.url,
        headers={"X-API-Key": API_KEY},
        checks=[not_a_server_error, *CHECKS.get_by_names(list(CHECKED))],
        timeout=SECONDS,
    )


def _do_not_wait_for_keys(case: Any) -> None:
    """Nobody presses any here: the answer comes with the timeout."""
    gathers = case.method == "POST" and case.path.endswith("/gather")
    if gathers and isinstance(case.body, dict) and not _wrong_on_purpose(case):
        case.body |= {"first_timeout": 0.1, "prompt": ""}


def _wrong_on_purpose(case: Any) -> bool:
    return case.meta is not None and case.meta.generation.mode is GenerationMode.NEGATIVE
