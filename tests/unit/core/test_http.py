"""The HTTP pieces: paths, bodies, errors, keys and the API description."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI, Query, WebSocket
from pydantic import Field
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.testclient import TestClient
from starlette.types import Message
from structlog.testing import capture_logs

from ringback.core.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    LimitReached,
    NotConfigured,
    NotFound,
    RingbackError,
    StartupError,
    Unauthenticated,
    Unavailable,
    UpstreamFailed,
)
from ringback.core.http import (
    ApiModel,
    CurrentAccount,
    HttpEdge,
    Principal,
    api_example,
    authenticate_websocket,
    errors,
    install_error_handlers,
    rule,
)
from ringback.core.http.edge import without_trailing_slash
from ringback.core.http.models import Name, Prose, snake_case

KEY = {"X-API-Key": "good"}


class Inner(ApiModel):
    base_url: str


class Body(ApiModel):
    model_config = api_example(agent_name="Ann")
    aliases = {"nick": "agent_name"}

    agent_name: Name
    allowed_ips: list[str] = []
    inner: Inner | None = None
    size: Annotated[int, Field(ge=1)] = 1
    note: Prose = ""


class OneKey:
    async def authenticate(self, key: str, source: str) -> Principal:
        if key == "good":
            return Principal("acct_1", source)
        if key == "flood":
            raise LimitReached("Too many.", code="too_many_wrong_keys")
        raise Unauthenticated("This API key is not valid.")


RAISED: dict[str, RingbackError] = {
    "invalid": InvalidRequest("No.", field="x"),
    "not_configured": NotConfigured("No.", code="no_sip_trunk", hint="Connect one."),
    "unauthenticated": Unauthenticated("No."),
    "forbidden": Forbidden("No."),
    "not_found": NotFound("No."),
    "conflict": Conflict("No."),
    "limit": LimitReached("No."),
    "upstream": UpstreamFailed("No."),
    "unavailable": Unavailable("No."),
    "startup": StartupError("No."),
}


def application() -> FastAPI:
    app = FastAPI(redirect_slashes=False)
    app.state.authenticator = OneKey()
    install_error_handlers(app)

    @app.post("/api/things", responses=errors(401, 422))
    async def create(body: Body, caller: CurrentAccount) -> Body:
        return body

    @app.get("/api/things/{thing_id}", responses=errors(404, 422))
    async def get(thing_id: str, limit: Annotated[int, Query(ge=1)] = 1) -> dict[str, str]:
        if thing_id in RAISED:
            raise RAISED[thing_id]
        return {"id": thing_id}

    things = APIRouter(prefix="/api/things")

    @things.delete("/{thing_id}", responses=errors(422))
    async def delete(thing_id: str) -> None: ...

    app.include_router(things)

    @app.get("/api/bug")
    async def bug() -> None:
        raise ZeroDivisionError("a bug")

    @app.get("/api/race")
    async def race() -> None:
        raise IntegrityError("INSERT", {}, Exception("UNIQUE constraint failed"))

    @app.get("/api/locked")
    async def locked() -> None:
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    @app.get("/api/exhausted")
    async def exhausted() -> None:
        raise PoolTimeoutError("QueuePool limit of size 5 overflow 10 reached")

    @app.get("/api/cut-off")
    async def cut_off() -> None:
        raise InterfaceError("SELECT", {}, Exception("the connection is closed"))

    @app.websocket("/api/events")
    async def socket(websocket: WebSocket) -> None:
        caller = await authenticate_websocket(websocket)
        await websocket.accept()
        await websocket.send_text(caller.account_id)
        await websocket.close()

    return app


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(HttpEdge(application(), max_body=2000)) as client:
        yield client


def error_of(response: Any) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    assert list(body["error"]) == ["code", "message", "hint", "retryable"]
    error: dict[str, Any] = body["error"]
    return error


# ---- paths --------------------------------------------------------------------------------------


def test_a_trailing_slash_is_the_same_route_without_a_redirect(client: TestClient) -> None:
    for path in ("/api/things", "/api/things/", "/api/things//"):
        response = client.post(path, json={"agent_name": "a"}, headers=KEY, follow_redirects=False)
        assert response.status_code == 200, path
    assert client.get("/api/things/x/").json() == {"id": "x"}


def test_a_websocket_path_may_end_in_a_slash_too(client: TestClient) -> None:
    for path in ("/api/events", "/api/events/"):
        with client.websocket_connect(f"{path}?api_key=good") as socket:
            assert socket.receive_text() == "acct_1"


@pytest.mark.parametrize(
    ("path", "plain"), [("/", "/"), ("/a", "/a"), ("/a/", "/a"), ("//", "/"), ("/a/b//", "/a/b")]
)
def test_only_slashes_at_the_end_are_dropped(path: str, plain: str) -> None:
    scope = without_trailing_slash({"path": path, "raw_path": path.encode()})
    assert scope["path"] == plain
    assert scope["raw_path"] == plain.encode()


def test_an_unknown_path_and_method_have_the_one_error_body(client: TestClient) -> None:
    missing = client.get("/api/nothing")
    assert missing.status_code == 404
    assert error_of(missing)["code"] == "unknown_path"
    wrong = client.put("/api/things", json={})
    assert wrong.status_code == 405
    assert error_of(wrong)["code"] == "method_not_allowed"
    assert wrong.headers["allow"] == "POST"
    assert client.put("/api/things/x").headers["allow"] == "GET, DELETE"


def test_a_path_with_a_nul_is_refused(client: TestClient) -> None:
    response = client.get("/api/things/a%00b")
    assert response.status_code == 400
    assert error_of(response)["code"] == "invalid_path"


# ---- request ids --------------------------------------------------------------------------------


def test_every_answer_has_a_request_id(client: TestClient) -> None:
    assert client.get("/api/things/x").headers["x-request-id"].startswith("req_")
    assert client.get("/nowhere").headers["x-request-id"].startswith("req_")


def test_a_sane_request_id_of_the_client_is_kept(client: TestClient) -> None:
    for given, kept in (("abc-1", True), ("a b", False), ("x" * 65, False)):
        answer = client.get("/api/things/x", headers={"X-Request-Id": given})
        assert (answer.headers["x-request-id"] == given) is kept


# ---- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("invalid", 400),
        ("not_configured", 400),
        ("unauthenticated", 401),
        ("forbidden", 403),
        ("not_found", 404),
        ("conflict", 409),
        ("limit", 429),
        ("startup", 500),
        ("upstream", 502),
        ("unavailable", 503),
    ],
)
def test_every_kind_of_error_has_its_status(client: TestClient, kind: str, status: int) -> None:
    response = client.get(f"/api/things/{kind}")
    assert response.status_code == status
    raised = RAISED[kind]
    assert error_of(response) == {
        "code": raised.code,
        "message": raised.message,
        "hint": raised.hint,
        "retryable": raised.retryable,
    }
    assert ("retry-after" in response.headers) is (status in (429, 503))
    assert ("www-authenticate" in response.headers) is (status == 401)


def test_a_bug_is_answered_with_500_and_logged_once_with_its_request_id() -> None:
    with (
        TestClient(HttpEdge(application()), raise_server_exceptions=False) as client,
        capture_logs() as logs,
    ):
        response = client.get("/api/bug")
    assert response.status_code == 500
    error = error_of(response)
    assert error["code"] == "internal_error"
    assert "a bug" not in response.text
    assert [entry["event"] for entry in logs] == ["unhandled_exception"]


def test_a_race_that_a_constraint_caught_is_a_conflict(client: TestClient) -> None:
    response = client.get("/api/race")
    assert response.status_code == 409
    assert error_of(response)["retryable"] is True


@pytest.mark.parametrize("path", ["/api/locked", "/api/exhausted", "/api/cut-off"])
def test_a_busy_database_is_503(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 503
    assert error_of(response)["code"] == "database_unavailable"


# ---- bodies -------------------------------------------------------------------------------------


def test_camel_case_and_snake_case_mean_the_same(client: TestClient) -> None:
    for body in (
        {"agent_name": "Ann", "allowed_ips": ["x"], "inner": {"base_url": "u"}},
        {"agentName": "Ann", "allowedIps": ["x"], "inner": {"baseUrl": "u"}},
        {"nick": "Ann", "allowedIPs": ["x"], "inner": {"base_url": "u"}},
    ):
        answer = client.post("/api/things", json=body, headers=KEY)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "agent_name": "Ann",
            "allowed_ips": ["x"],
            "inner": {"base_url": "u"},
            "size": 1,
            "note": "",
        }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "`agent_name` is required"),
        ({"agent_name": "a", "agent_nme": 1}, "`agent_nme` is not a field of this request"),
        ({"agent_nme": "a"}, "did you mean `agent_name`?"),
        ({"agent_name": "a", "agentName": "b"}, "`agent_name` is given twice, also as `agentName`"),
        ({"agent_name": "a", "inner": {"base": "u"}}, "`inner.base` is not a field"),
        ({"agent_name": "a", "size": 0}, "`size` must be 1 or more"),
        ({"agent_name": "a", "size": "x"}, "`size` must be a whole number"),
        ({"agent_name": "a\nb"}, "`agent_name` must be one line without control characters"),
        ({"agent_name": " "}, "`agent_name` must have at least 1 character"),
        ({"agent_name": "a", "note": "a\x00b"}, "`note` must not hold control characters"),
        ([], "the body must be a JSON object"),
    ],
)
def test_a_bad_body_is_answered_with_422_that_names_the_field(
    client: TestClient, body: object, message: str
) -> None:
    response = client.post("/api/things", json=body, headers=KEY)
    assert response.status_code == 422
    error = error_of(response)
    assert error["code"] == "invalid_request"
    assert message in error["message"]


def test_an_unknown_field_is_answered_with_the_known_ones(client: TestClient) -> None:
    response = client.post("/api/things", json={"x": 1}, headers=KEY)
    assert "agent_name, allowed_ips" in error_of(response)["hint"]


def test_a_bad_query_names_its_parameter(client: TestClient) -> None:
    response = client.get("/api/things/x?limit=none")
    assert response.status_code == 422
    assert "`limit`" in error_of(response)["message"]


@pytest.mark.parametrize("body", [b'{"agent', b'{"agent_name": "\xff"}', b"[" * 1999])
def test_a_body_that_is_not_json_is_400(client: TestClient, body: bytes) -> None:
    headers = {**KEY, "Content-Type": "application/json"}
    response = client.post("/api/things", content=body, headers=headers)
    assert response.status_code == 400
    assert error_of(response)["code"] == "invalid_json"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (rb'{"agent_name": "a", "\ud800": 1}', r"`\ud800` is not a field"),
        (rb'{"agent_name": "a", "inner": {"\udfff": 1}}', r"`inner.\udfff` is not a field"),
        (rb'{"agent_name": "\ud800"}', "`agent_name`"),
        (b'{"agent_name": "a", "%s": 1}' % (b"x" * 1500), "x" * 100 + "…` is not a field"),
    ],
)
def test_half_a_surrogate_pair_or_a_huge_name_is_a_complaint_like_any_other(
    client: TestClient, body: bytes, named: str
) -> None:
    headers = {**KEY, "Content-Type": "application/json"}
    response = client.post("/api/things", content=body, headers=headers)
    assert response.status_code == 422
    assert named in error_of(response)["message"]


def test_a_long_list_of_faults_is_cut(client: TestClient) -> None:
    body = {"agent_name": "a", "allowed_ips": [1] * 9}
    response = client.post("/api/things", json=body, headers=KEY)
    assert "and 4 more" in error_of(response)["message"]


def test_a_body_beyond_the_limit_is_413_whether_announced_or_not(client: TestClient) -> None:
    big = b'{"agent_name": "' + b"a" * 3000 + b'"}'
    headers = {**KEY, "Content-Type": "application/json"}
    for content in (big, iter([big[:1500], big[1500:]])):
        response = client.post("/api/things", content=content, headers=headers)
        assert response.status_code == 413
        assert error_of(response)["code"] == "body_too_large"


def test_a_body_that_does_not_come_is_408_and_ends_the_connection() -> None:
    sent: list[Message] = []

    async def request() -> None:
        pieces = iter([{"type": "http.request", "body": b"{", "more_body": True}])

        async def receive() -> Message:
            piece = next(pieces, None)
            return await asyncio.Future() if piece is None else piece

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json"), (b"x-api-key", b"good")]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/things",
            "query_string": b"",
            "headers": headers,
        }
        async with asyncio.timeout(30):
            await HttpEdge(application(), body_seconds=0.01)(scope, receive, send)

    asyncio.run(request())
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert b"request_timeout" in sent[1]["body"]


@pytest.mark.parametrize(
    ("camel", "snake"),
    [
        ("sipAuthUser", "sip_auth_user"),
        ("allowedIPs", "allowed_ips"),
        ("sipIp", "sip_ip"),
        ("baseURL", "base_url"),
        ("name", "name"),
        ("already_snake", "already_snake"),
        ("sipPort2", "sip_port2"),
    ],
)
def test_names_are_turned_into_snake_case(camel: str, snake: str) -> None:
    assert snake_case(camel) == snake


def test_a_rule_reads_on_from_the_fields_name() -> None:
    assert rule("must be even", "Add one.").message() == "must be even"


# ---- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": "good"},
        {"Authorization": "Bearer good"},
        {"authorization": "bearer good"},
        {"X-API-Key": "good", "Authorization": "Bearer bad"},
    ],
)
def test_a_key_is_taken_from_either_header(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/api/things", json={"agent_name": "a"}, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "missing_api_key"),
        ({"Authorization": "Basic good"}, 401, "missing_api_key"),
        ({"X-API-Key": ""}, 401, "missing_api_key"),
        ({"X-API-Key": "bad"}, 401, "invalid_api_key"),
        ({"X-API-Key": "flood"}, 429, "too_many_wrong_keys"),
    ],
)
def test_without_a_good_key_there_is_no_way_in(
    client: TestClient, headers: dict[str, str], status: int, code: str
) -> None:
    response = client.post("/api/things", json={"agent_name": "a"}, headers=headers)
    assert response.status_code == status
    assert error_of(response)["code"] == code


def test_a_websocket_takes_the_key_from_headers_as_well(client: TestClient) -> None:
    for headers in ({"X-API-Key": "good"}, {"Authorization": "Bearer good"}):
        with client.websocket_connect("/api/events", headers=headers) as socket:
            assert socket.receive_text() == "acct_1"


# ---- description --------------------------------------------------------------------------------


def test_the_api_description_documents_errors_keys_and_examples() -> None:
    description = application().openapi()
    operation = description["paths"]["/api/things"]["post"]
    assert {"401", "422"} <= set(operation["responses"])
    schema = operation["responses"]["422"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/ErrorBody"}
    assert "HTTPValidationError" not in description["components"]["schemas"]
    assert operation["security"] == [{"ApiKey": []}, {"Bearer": []}]
    body = description["components"]["schemas"]["Body"]
    assert body["example"] == {"agent_name": "Ann"}
    assert body["additionalProperties"] is False
    assert "agent_name" in body["properties"]
