"""``/api/trunks``, ``/api/trunk-presets`` and ``/api/phone-numbers``."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, status

from ringback.core.http import CurrentAccount, PageOf, Paging, errors, page_of
from ringback.telephony.models import Trunk
from ringback.telephony.number_schemas import (
    PhoneNumberCreate,
    PhoneNumberUpdate,
    PhoneNumberView,
)
from ringback.telephony.presets import PRESETS
from ringback.telephony.schemas import (
    ID_LENGTH,
    TrunkCreate,
    TrunkPresetList,
    TrunkPresetView,
    TrunkStatusView,
    TrunkUpdate,
    TrunkView,
)
from ringback.telephony.service import Telephony
from ringback.telephony.sip_trunk_routes import sip_trunk_routes

TrunkId = Annotated[str, Path(description="The trunk's `id`.", max_length=ID_LENGTH)]
NumberId = Annotated[str, Path(description="The number's `id`.", max_length=ID_LENGTH)]


def telephony_routes(telephony: Telephony) -> APIRouter:
    """All routes over ``telephony``. ``/v1/phone-numbers`` is another name for the same ones."""
    router = APIRouter()
    router.include_router(_trunk_routes(telephony))
    router.include_router(sip_trunk_routes(telephony))
    numbers = _number_routes(telephony)
    router.include_router(numbers, prefix="/api/phone-numbers")
    router.include_router(numbers, prefix="/v1/phone-numbers", include_in_schema=False)
    return router


def _trunk_routes(telephony: Telephony) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["Trunks"])
    _read_trunks(router, telephony)
    _write_trunks(router, telephony)
    return router


def _read_trunks(router: APIRouter, telephony: Telephony) -> None:
    trunks = telephony.trunks

    @router.get("/trunk-presets", summary="List trunk presets", responses=errors(401, 429))
    async def list_trunk_presets(caller: CurrentAccount) -> TrunkPresetList:
        """Server, port, transport and notes of known providers and PBXs."""
        return TrunkPresetList(items=[TrunkPresetView.of(preset) for preset in PRESETS])

    @router.get(
        "/trunks",
        summary="List trunks",
        response_model=PageOf[TrunkView],
        responses=errors(400, 401, 422, 429),
    )
    async def list_trunks(caller: CurrentAccount, paging: Paging) -> object:
        """All trunks of the account, oldest first, each with its registration status."""
        found = await trunks.page(caller.account_id, paging)
        return page_of(found, partial(_shown, telephony))

    @router.get("/trunks/{trunk_id}", summary="Get a trunk", responses=errors(401, 404, 422, 429))
    async def get_trunk(trunk_id: TrunkId, caller: CurrentAccount) -> TrunkView:
        """One trunk with its registration status. Secrets are masked."""
        return _shown(telephony, await trunks.get(caller.account_id, trunk_id))

    @router.get(
        "/trunks/{trunk_id}/status",
        summary="Get a trunk's registration status",
        responses=errors(401, 404, 422, 429),
    )
    async def get_trunk_status(trunk_id: TrunkId, caller: CurrentAccount) -> TrunkStatusView:
        """`registered`, `unregistered` with the reason in words, or `unknown`."""
        trunk = await trunks.get(caller.account_id, trunk_id)
        return TrunkStatusView.of(telephony.status_of(trunk))


def _write_trunks(router: APIRouter, telephony: Telephony) -> None:
    trunks = telephony.trunks

    @router.post(
        "/trunks",
        summary="Create a trunk",
        status_code=status.HTTP_201_CREATED,
        responses=errors(400, 401, 408, 413, 422, 429),
    )
    async def create_trunk(body: TrunkCreate, caller: CurrentAccount) -> TrunkView:
        """Registration starts at once; its status is in `registration`."""
        return _shown(telephony, await trunks.create(caller.account_id, body))

    @router.patch(
        "/trunks/{trunk_id}",
        summary="Change a trunk",
        responses=errors(400, 401, 404, 408, 413, 422, 429),
    )
    async def update_trunk(
        trunk_id: TrunkId, body: TrunkUpdate, caller: CurrentAccount
    ) -> TrunkView:
        """Only the fields that are sent change. Takes effect at once; live calls go on."""
        return _shown(telephony, await trunks.update(caller.account_id, trunk_id, body))

    @router.delete(
        "/trunks/{trunk_id}",
        summary="Delete a trunk",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=errors(401, 404, 422, 429),
    )
    async def delete_trunk(trunk_id: TrunkId, caller: CurrentAccount) -> None:
        """The registration is removed. Its numbers stay in the account, without a trunk."""
        await trunks.delete(caller.account_id, trunk_id)


def _shown(telephony: Telephony, trunk: Trunk) -> TrunkView:
    return TrunkView.of(trunk, telephony.status_of(trunk))


def _number_routes(telephony: Telephony) -> APIRouter:
    router = APIRouter(tags=["Phone numbers"])
    numbers = telephony.numbers

    @router.get(
        "",
        summary="List phone numbers",
        response_model=PageOf[PhoneNumberView],
        responses=errors(400, 401, 422, 429),
    )
    async def list_phone_numbers(caller: CurrentAccount, paging: Paging) -> object:
        """All numbers of the account, oldest first."""
        return page_of(await numbers.page(caller.account_id, paging), PhoneNumberView.of)

    @router.post(
        "",
        summary="Add a phone number",
        status_code=status.HTTP_201_CREATED,
        responses=errors(400, 401, 408, 409, 413, 422, 429),
    )
    async def create_phone_number(
        body: PhoneNumberCreate, caller: CurrentAccount
    ) -> PhoneNumberView:
        """Calls to numbers that were not added are refused. With the `sip_` fields the number
        brings its own trunk."""
        return PhoneNumberView.of(await numbers.create(caller.account_id, body))

    @router.get("/{number_id}", summary="Get a phone number", responses=errors(401, 404, 422, 429))
    async def get_phone_number(number_id: NumberId, caller: CurrentAccount) -> PhoneNumberView:
        """One number of the account."""
        return PhoneNumberView.of(await numbers.get(caller.account_id, number_id))

    @router.patch(
        "/{number_id}",
        summary="Change a phone number",
        responses=errors(400, 401, 404, 408, 413, 422, 429),
    )
    async def update_phone_number(
        number_id: NumberId, body: PhoneNumberUpdate, caller: CurrentAccount
    ) -> PhoneNumberView:
        """Only the fields that are sent change."""
        return PhoneNumberView.of(await numbers.update(caller.account_id, number_id, body))

    @router.delete(
        "/{number_id}",
        summary="Remove a phone number",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=errors(401, 404, 422, 429),
    )
    async def delete_phone_number(number_id: NumberId, caller: CurrentAccount) -> None:
        """Calls to it are refused from now on. A trunk that came with it alone goes too."""
        await numbers.delete(caller.account_id, number_id)

    return router
