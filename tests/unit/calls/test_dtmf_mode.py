"""Keys go as the trunk has it, unless somebody asks for a way."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit.calls.fakes import ACCOUNT, CallLab
from unit.calls.scenario import active_call, run


@pytest.mark.requirement("media.dtmf-send")
@pytest.mark.parametrize(
    ("preferred", "asked", "sent"),
    [
        ("auto", "auto", "auto"),
        ("rtp", "auto", "rtp"),
        ("inband", "auto", "inband"),
        ("info", "rtp", "rtp"),
        ("info", "auto", None),
        ("inband", "info", None),
    ],
)
def test_keys_are_sent_in_the_way_that_counts(
    tmp_path: Path, preferred: str, asked: str, sent: str | None
) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        entry = lab.control.registry.get(call_id)
        assert entry is not None
        assert entry.leg is not None
        leg = lab.connector.legs[-1]
        leg.preferred_keys = preferred
        await lab.control.service.send_dtmf(ACCOUNT, call_id, "1#", asked)
        by_media = [c for c in lab.plane.commands if c[0] == "send_dtmf"]
        by_signalling = [word for word in leg.told if word.startswith("send_dtmf")]
        assert by_media == ([("send_dtmf", call_id, "1#", sent)] if sent else [])
        assert by_signalling == ([] if sent else ["send_dtmf 1#"])

    run(tmp_path, scenario)
