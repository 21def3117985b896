"""API keys as they cross the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from ringback.accounts.models import ApiKey
from ringback.core.http import ApiModel, api_example
from ringback.core.http.models import Name

KeyName = Annotated[Name, Field(description="What the key is for.", examples=["My bot"])]


class ApiKeyCreate(ApiModel):
    model_config = api_example(name="My bot")

    name: KeyName = "API key"


class ApiKeyView(ApiModel):
    """A key without its secret."""

    id: str = Field(examples=["key_01k9zv3n8q4e7m2c5x6t8r9w0y"])
    name: str = Field(examples=["My bot"])
    prefix: str = Field(description="The part that may be shown.", examples=["rb_live_7f3k2m9q"])
    created_at: datetime
    last_used_at: datetime | None = Field(description="To the minute; null: not used yet.")

    @classmethod
    def of(cls, key: ApiKey) -> ApiKeyView:
        return cls(
            id=key.id,
            name=key.name,
            prefix=key.prefix,
            created_at=key.created_at,
            last_used_at=key.last_used_at,
        )


class ApiKeyCreated(ApiKeyView):
    """A new key, with its secret for the only time."""

    key: str = Field(
        description="The whole key. It is not stored and cannot be shown again.",
        examples=["rb_live_7f3k2m9q_pT4vXz8wLq2nRs6yBd0kJm3hCf9gAe5u"],
    )
