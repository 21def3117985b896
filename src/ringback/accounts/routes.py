"""``/api/api-keys``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, status

from ringback.accounts.schemas import ApiKeyCreate, ApiKeyCreated, ApiKeyView
from ringback.accounts.service import AccountService
from ringback.core.http import CurrentAccount, PageOf, Paging, errors, page_of

KeyId = Annotated[str, Path(description="The key's `id`.", max_length=64)]


def account_routes(accounts: AccountService) -> APIRouter:
    """The routes over ``accounts``."""
    router = APIRouter(prefix="/api", tags=["API keys"])

    @router.get(
        "/api-keys",
        summary="List API keys",
        response_model=PageOf[ApiKeyView],
        responses=errors(400, 401, 422, 429),
    )
    async def list_api_keys(caller: CurrentAccount, paging: Paging) -> object:
        """All keys of the account, oldest first, without their secrets."""
        return page_of(await accounts.list_keys(caller.account_id, paging), ApiKeyView.of)

    @router.post(
        "/api-keys",
        summary="Create an API key",
        status_code=status.HTTP_201_CREATED,
        responses=errors(400, 401, 408, 413, 422, 429),
    )
    async def create_api_key(body: ApiKeyCreate, caller: CurrentAccount) -> ApiKeyCreated:
        """The answer holds the whole key, for the only time: store it safely."""
        created = await accounts.create_key(caller.account_id, body.name)
        shown = ApiKeyView.of(created.record).model_dump()
        return ApiKeyCreated(**shown, key=created.key)

    @router.delete(
        "/api-keys/{key_id}",
        summary="Revoke an API key",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=errors(401, 404, 409, 422, 429),
    )
    async def revoke_api_key(key_id: KeyId, caller: CurrentAccount) -> None:
        """Takes effect at once. The last key of an account cannot be revoked."""
        await accounts.revoke_key(caller.account_id, key_id)

    return router
