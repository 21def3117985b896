"""What the agent can do in a call beside talking."""

from __future__ import annotations

import re
from typing import Protocol

from ringback.voice.contract import Tool, ToolCall

MAX_DIGITS = 64

HANG_UP = Tool(
    name="hang_up",
    description="End the phone call. Say goodbye in the same reply; it is spoken first.",
    parameters={"type": "object", "properties": {}, "additionalProperties": False},
)
SEND_DTMF = Tool(
    name="send_dtmf",
    description="Press keys on the phone, for example to get through a menu.",
    parameters={
        "type": "object",
        "properties": {
            "digits": {
                "type": "string",
                "pattern": "^[0-9A-D*#,]+$",
                "description": "The keys in order: 0-9, A-D, * and #; a comma waits half a second.",
            }
        },
        "required": ["digits"],
        "additionalProperties": False,
    },
)
CALL_TOOLS = (HANG_UP, SEND_DTMF)

_DIGITS = re.compile(rf"[0-9A-D*#,]{{1,{MAX_DIGITS}}}")


class CallActions(Protocol):
    def hang_up(self) -> None:
        """Once what is being said has been heard."""
        ...

    def send_dtmf(self, digits: str) -> None: ...


def run_tool(call: ToolCall, actions: CallActions) -> str:
    """Do what the model asked for; returns the result in words, for the model to read."""
    if call.name == HANG_UP.name:
        actions.hang_up()
        return "The call ends when you have finished speaking."
    if call.arguments is None:
        return "Error: the arguments are not a JSON object."
    if call.name == SEND_DTMF.name:
        digits = str(call.arguments.get("digits", "")).upper()
        if _DIGITS.fullmatch(digits) is None:
            return f"Error: digits must be 1 to {MAX_DIGITS} of 0-9, A-D, *, # and comma."
        actions.send_dtmf(digits)
        return f"Pressed {digits}."
    return "Error: there is no such tool."
