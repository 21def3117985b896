"""What the peer of a dialog says it can do: Allow and Supported of its messages."""

from __future__ import annotations

from ringback.sip.errors import ParseError
from ringback.sip.message import Message


class PeerAbilities:
    """A message without the header changes nothing; one that cannot be read neither."""

    __slots__ = ("_methods", "_option_tags")

    def __init__(self) -> None:
        self._methods: frozenset[str] = frozenset()
        self._option_tags: frozenset[str] = frozenset()

    def learn(self, message: Message) -> None:
        try:
            if (methods := message.allow) is not None:
                self._methods = frozenset(methods)
            if "Supported" in message.headers:
                self._option_tags = frozenset(message.supported)
        except ParseError:
            return

    def allows(self, method: str) -> bool:
        """It said so in an Allow header."""
        return method in self._methods

    def supports(self, option_tag: str) -> bool:
        return option_tag in self._option_tags

    def withdraw(self, method: str) -> None:
        """It refused the method after all (405, 501)."""
        self._methods -= {method}


def supports(message: Message, option_tag: str) -> bool:
    """``option_tag`` is in Supported or Require; ``False`` where they cannot be read."""
    try:
        return option_tag in message.supported or option_tag in message.require
    except ParseError:
        return False
