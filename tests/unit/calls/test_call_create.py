"""The request that places a call: what its sender is told about a wrong field."""

import pytest
from pydantic import ValidationError

from ringback.calls.schemas import CallCreate


@pytest.mark.parametrize("name", ["target", "to", "number", "callee", "uri"])
def test_another_name_for_whom_to_call_is_refused_with_the_right_one(name: str) -> None:
    with pytest.raises(ValidationError, match="did you mean `meeting_url`"):
        CallCreate.model_validate({"platform": "sip", name: "+33612345678"})
