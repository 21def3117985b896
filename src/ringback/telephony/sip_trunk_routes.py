"""``/api/sip/trunk``: the account's first trunk and its DIDs, in the documented shape."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, status

from ringback.core.http import CurrentAccount, errors
from ringback.telephony.models import Trunk
from ringback.telephony.number_schemas import (
    DidCreate,
    DidSettings,
    DidView,
    SipTrunkConnect,
    SipTrunkView,
)
from ringback.telephony.schemas import ID_LENGTH
from ringback.telephony.service import Telephony

DidId = Annotated[str, Path(description="The DID's `id`.", max_length=ID_LENGTH)]


def sip_trunk_routes(telephony: Telephony) -> APIRouter:
    """The routes over the account's first trunk."""
    router = APIRouter(prefix="/api/sip", tags=["SIP trunk"])

    async def shown(account_id: str, trunk: Trunk) -> SipTrunkView:
        dids = await telephony.dids(account_id, trunk)
        return SipTrunkView.of(trunk, telephony.status_of(trunk), dids)

    @router.get("/trunk", summary="Get the SIP trunk", responses=errors(401, 404, 429))
    async def get_sip_trunk(caller: CurrentAccount) -> SipTrunkView:
        """Host, port, user name, realm, caller ID, DIDs and registration; not the password."""
        return await shown(caller.account_id, await telephony.sip_trunk(caller.account_id))

    @router.post(
        "/trunk", summary="Connect a SIP trunk", responses=errors(400, 401, 408, 413, 422, 429)
    )
    async def connect_sip_trunk(body: SipTrunkConnect, caller: CurrentAccount) -> SipTrunkView:
        """Registration starts at once. A trunk that is connected already gets these values."""
        trunk = await telephony.connect_sip_trunk(caller.account_id, body)
        return await shown(caller.account_id, trunk)

    @router.delete(
        "/trunk",
        summary="Disconnect the SIP trunk",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=errors(401, 404, 429),
    )
    async def disconnect_sip_trunk(caller: CurrentAccount) -> None:
        """The registration is removed and all DIDs of the trunk are released."""
        await telephony.disconnect_sip_trunk(caller.account_id)

    @router.post(
        "/trunk/dids",
        summary="Add a DID",
        status_code=status.HTTP_201_CREATED,
        responses=errors(400, 401, 404, 408, 409, 413, 422, 429),
    )
    async def add_did(body: DidCreate, caller: CurrentAccount) -> DidView:
        """Calls to numbers that were not added are refused."""
        return DidView.of(await telephony.add_did(caller.account_id, body))

    @router.delete(
        "/trunk/dids/{did_id}",
        summary="Remove a DID",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=errors(401, 404, 422, 429),
    )
    async def remove_did(did_id: DidId, caller: CurrentAccount) -> None:
        """Calls to it are refused from now on."""
        await telephony.numbers.delete(caller.account_id, did_id)

    @router.post(
        "/trunk/dids/{did_id}/settings",
        summary="Change a DID",
        responses=errors(400, 401, 404, 408, 413, 422, 429),
    )
    async def set_did(did_id: DidId, body: DidSettings, caller: CurrentAccount) -> DidView:
        """Whether its calls are answered at once or ring until they are accepted."""
        return DidView.of(await telephony.set_did(caller.account_id, did_id, body.auto_answer))

    return router
