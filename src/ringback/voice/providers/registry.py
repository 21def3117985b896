"""Finds vendors by name. To add one, put one module into this package.

``providers/<name>.py`` (or ``providers/<name>/vendor.py``) defines ``VENDOR = Vendor(...)``.
Nothing is imported until an agent names it, so a vendor may need an optional extra; there is no
list to edit.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ringback.core.errors import NotConfigured
from ringback.voice import providers
from ringback.voice.contract import SpeechToText, TextToSpeech

_NOT_VENDORS = frozenset({"registry"})


class Connection(Protocol):
    """A vendor on this node: what its calls share (a process, a pool of connections).

    ``settings`` are the vendor's own, from the agent. Raise ``InvalidRequest`` for a setting that
    cannot be right and ``NotConfigured`` for a language or voice that is not there.
    """

    def speech_to_text(self, settings: Mapping[str, object], language: str) -> SpeechToText: ...

    def text_to_speech(self, settings: Mapping[str, object], language: str) -> TextToSpeech: ...

    async def stop(self) -> None:
        """Let go of everything. Twice is once."""
        ...


@dataclass(frozen=True, slots=True)
class Vendor:
    """``connect`` must be cheap: what takes time starts at first use.

    ``missing`` says in words what must be installed or set up first, ``None`` when nothing is;
    ``caution`` is what an operator should know before relying on it.
    """

    name: str
    stt: bool
    tts: bool
    connect: Callable[[], Connection]
    missing: Callable[[], str | None]
    caution: str = ""


def vendor_names() -> tuple[str, ...]:
    """Every vendor that this installation has code for."""
    found = pkgutil.iter_modules(providers.__path__)
    return tuple(sorted(module.name for module in found if module.name not in _NOT_VENDORS))


def find_vendor(name: str) -> Vendor:
    """Raises ``NotConfigured`` (``unknown_voice_provider``) for a name that is none."""
    for module in pkgutil.iter_modules(providers.__path__):
        if module.name == name and name not in _NOT_VENDORS:
            path = f"{providers.__name__}.{name}" + (".vendor" if module.ispkg else "")
            vendor = importlib.import_module(path).VENDOR
            if not isinstance(vendor, Vendor):
                raise TypeError(f"{path}.VENDOR is not a Vendor")
            return vendor
    raise NotConfigured(
        f"there is no voice provider called {name[:64]!r}",
        code="unknown_voice_provider",
        hint=f"Use one of: {', '.join(vendor_names())}.",
    )
